"""The browser that is installed."""

import os
import shutil

QUIET = [  # nothing of the browser's own goes out
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
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


def launch(playwright):
    """Start Chromium (`CHROMIUM` names another program than those it looks for)."""
    programs = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    program = next(filter(None, map(shutil.which, programs)), None)
    assert program, "no Chromium found: sudo apt install chromium"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=program, args=[*QUIET, *sandbox])
