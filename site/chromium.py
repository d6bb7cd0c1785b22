"""The browser that is installed."""

import contextlib
import os
import shutil

from playwright.sync_api import sync_playwright

QUIET = ["--disable-gpu", "--disable-quic"]
SETTLED = """async () => {
  if (!document.querySelector("script[src*=mathjax]")) return true;
  for (let i = 0; !window.MathJax?.startup?.promise; i += 1) {
    if (i > 1500) throw new Error("MathJax did not come within 30 seconds");
    await new Promise((done) => setTimeout(done, 20));
  }
  await MathJax.startup.promise;
  await MathJax.startup.document.lazyTypesetAll?.();
  return true;
}"""  # every formula of the page is set


@contextlib.contextmanager
def started():
    """Chromium (`CHROMIUM` names another program than those it looks for)."""
    programs = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    program = next(filter(None, map(shutil.which, programs)), None)
    assert program, "no Chromium found: sudo apt install chromium"
    try:
        playwright = sync_playwright().start()
    except Exception as error:
        raise RuntimeError("Playwright does not start: sudo apt install libatomic1") from error
    try:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()
    finally:
        playwright.stop()
