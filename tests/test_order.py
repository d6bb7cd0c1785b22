"""Notebooks run as learners run them: a section alone, sections back to front, everything twice.

Each notebook is one kernel's life, so this takes about three times as long as the notebooks do:
`make test-order` runs it, not `make test`. What must hold is what the cells assert.
"""

import itertools
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PRACTICE = sorted((ROOT / "notebooks").glob("[es]*/*.ipynb"))  # exercises and solutions

pytestmark = [pytest.mark.order, pytest.mark.timeout(1800)]
KEEP = "_kept = dict(globals())"
FORGET = """
for _name in globals().keys() - _kept.keys() - {"_kept", "_name"}:
    del globals()[_name]
globals().update(_kept)
"""


def parts(path):
    """The code cells of each part that a heading `## ...` begins, as (title, cells)."""
    title, found = "the beginning", []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            headings = [line for line in cell.source.splitlines() if line.startswith("## ")]
            title = headings[-1] if headings else title
        elif cell.cell_type == "code":
            found.append((title, cell))
    return [
        (title, [cell for _, cell in group])
        for title, group in itertools.groupby(found, key=lambda pair: pair[0])
    ]


def code(source, metadata=None):
    return nbformat.v4.new_code_cell(source, metadata=metadata or {})


def run(path, steps):
    """Execute (title, cells) one after the other in one kernel, and say where it stopped."""
    steps = [(title, code(cell.source, cell.metadata)) for title, cells in steps for cell in cells]
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(
        cells=[cell for _, cell in steps], metadata={"kernelspec": kernel}
    )
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}})
    with client.setup_kernel():
        for i, (title, cell) in enumerate(steps):
            try:
                client.execute_cell(cell, i)
            except CellExecutionError as error:
                pytest.fail(f"{path.name}, {title}:\n\n{error}", pytrace=False)


def back_to_front(path):
    """The set-up, then each section with nothing but what the set-up left, the last one first."""
    setup, *sections = parts(path)
    yield setup
    yield "set-up", [code(KEEP)]
    for title, cells in reversed(sections):
        yield f"alone: {title}", cells
        yield "forgetting", [code(FORGET)]


def named(paths):
    return {"argvalues": paths, "ids": [f"{path.parent.name}/{path.stem}" for path in paths]}


@pytest.mark.parametrize("path", **named(LESSONS))
def test_each_section_runs_alone(path):
    run(path, back_to_front(path))


@pytest.mark.parametrize("path", **named(LESSONS + PRACTICE))
def test_everything_runs_twice_in_one_kernel(path):
    run(path, [(f"time {n}: {title}", cells) for n in (1, 2) for title, cells in parts(path)])
