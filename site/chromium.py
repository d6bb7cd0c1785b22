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


def launch(playwright):
    """Start Chromium (`CHROMIUM` names another program than those it looks for)."""
    programs = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    program = next(filter(None, map(shutil.which, programs)), None)
    assert program, "no Chromium found: sudo apt install chromium"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=program, args=[*QUIET, *sandbox])
