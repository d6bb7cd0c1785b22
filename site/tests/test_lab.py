"""The course in JupyterLab, as a learner uses it: run, watched, answered, stopped."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import nbformat
import pytest
from conftest import ROOT
from playwright.sync_api import expect

FOLDER = ROOT / "build" / "lab"  # copies: JupyterLab saves what it shows
pytestmark = pytest.mark.xdist_group("lab")
STOPPED = """
from d2lutils import fashion_mnist, fit, lenet
train, _ = fashion_mnist(num_train=10_240)
net = lenet(None, "relu")
net.initialize()
fit(net, train, num_epochs=1000, lr=0.01)
"""


@pytest.fixture(scope="module")
def lab():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", FOLDER)
    shutil.copy(ROOT / "notebooks" / "exercises" / "03_resnet.ipynb", FOLDER)
    cells = [nbformat.v4.new_code_cell(STOPPED), nbformat.v4.new_code_cell('print("goes", "on")')]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, FOLDER / "stopped.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=course",
        "--LabApp.workspaces_dir=build/lab/workspaces",  # what was open before stays closed
        "--no-browser",
    ]
    command = ["make", "lab", "PAGE=build/lab/00_start_here.ipynb", f"LAB={' '.join(options)}"]
    with (FOLDER / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=course", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (FOLDER / "log").read_text()
                time.sleep(0.5)
        else:
            raise TimeoutError((FOLDER / "log").read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


@pytest.fixture
def page(browser):
    # So tall that JupyterLab, which draws only what is in view, draws every cell.
    context = browser.new_context(viewport={"width": 1280, "height": 16_000})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def menu(page, name, item):
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{name}$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{item}$")).click()


def wait_until_idle(page):
    """Wait for the status bar: the sign in the toolbar is idle before there is a kernel, too."""
    page.locator(".jp-StatusBar-TextItem", has_text="| Idle").first.wait_for()


def read(name):
    return nbformat.read(FOLDER / name, as_version=4).cells


def save(page, name):
    before = (FOLDER / name).stat().st_mtime_ns
    page.keyboard.press("Control+S")
    for _ in range(120):
        if (FOLDER / name).stat().st_mtime_ns > before:
            break
        time.sleep(0.5)
    time.sleep(1)  # until all of it is written


def test_make_lab_opens_a_page_and_it_runs_to_its_end(lab, page):
    page.goto(f"{lab}/?token=course")
    page.wait_for_url("**/build/lab/00_start_here.ipynb")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    wait_until_idle(page)
    menu(page, "Edit", "Clear Outputs of All Cells")  # and the counts of the recorded run
    menu(page, "Run", "Run All Cells")
    count = sum(cell.cell_type == "code" for cell in read("00_start_here.ipynb"))
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(last).to_have_text(re.compile(rf"\[{count}\]"), timeout=600_000)
    save(page, "00_start_here.ipynb")
    cells = [cell for cell in read("00_start_here.ipynb") if cell.cell_type == "code"]
    assert [c.execution_count for c in cells] == list(range(1, count + 1))
    assert not [o for c in cells for o in c.outputs if o.output_type == "error"]


def fill(page, cell, text):
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def test_an_exercise_is_answered_wrongly_and_then_rightly(lab, page):
    page.goto(f"{lab}/lab/tree/build/lab/03_resnet.ipynb?reset&token=course")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    wait_until_idle(page)
    setup, answer, check = (page.locator(".jp-CodeCell").nth(i) for i in range(3))
    answer.locator(".cm-content", has_text="y = ...").wait_for()
    setup.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    for given, verdict in {"y = (2, -1, 3)": "not right yet", "y = (0, 0, 4)": "right"}.items():
        fill(page, answer, given)
        page.keyboard.press("Control+Enter")
        check.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        check.locator(
            ".jp-OutputArea-output", has_text=f"3.1 A block by hand: {verdict}"
        ).wait_for()


# Every state of the bar that is drawn, however short.
WATCH = """() => {
  window.seen = new Set();
  new MutationObserver((changes) => changes.forEach(({ target }) => {
    const found = /[█░]{30} +(\\d+)%/.exec(target.textContent.slice(-200));
    if (found) window.seen.add(found[1]);
  })).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def test_the_bar_moves_and_the_stop_button_stops_a_training(lab, page):
    page.goto(f"{lab}/lab/tree/build/lab/stopped.ipynb?reset&token=course")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    wait_until_idle(page)
    training, after = (page.locator(".jp-CodeCell").nth(i) for i in range(2))
    training.locator(".cm-content").click()
    page.evaluate(WATCH)
    page.keyboard.press("Control+Enter")
    training.locator(".jp-OutputArea-output", has_text="epoch  3").first.wait_for()
    seen = page.evaluate("() => [...window.seen]")
    assert len(seen) > 3, f"the bar was seen at {seen} %"
    page.locator("[data-command='notebook:interrupt-kernel']").first.click()
    wait_until_idle(page)
    after.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    after.locator(".jp-OutputArea-output", has_text="goes on").wait_for()
