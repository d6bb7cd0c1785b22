"""Write notebooks/exercises/ from notebooks/solutions/: each notebook without its cells tagged "solution".

A blank that says the same already is left alone, outputs and all. One with changes that git does
not know, perhaps somebody's answers, is not overwritten.
"""

import subprocess
import sys
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def blank(solutions):
    """The notebook without its solutions and without outputs."""
    cells = [c for c in solutions.cells if "solution" not in c.metadata.get("tags", [])]
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.from_dict({**solutions, "cells": cells})


def contents(notebook):
    """What a notebook says, apart from what came out when it was run."""
    return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in notebook.cells]


def is_unsaved(path):
    """Whether the file differs from what git has, or git cannot tell."""
    command = ["git", "status", "--porcelain", "--", path.name]
    status = subprocess.run(command, cwd=path.parent, capture_output=True)
    return status.returncode != 0 or status.stdout != b""


def write(notebooks=NOTEBOOKS):
    """Write the blanks that are missing or out of date; returns whether all of them could be."""
    everything = True
    for source in sorted((notebooks / "solutions").glob("*.ipynb")):
        target = notebooks / "exercises" / source.name
        new = blank(nbformat.read(source, as_version=4))
        if target.exists():
            if contents(nbformat.read(target, as_version=4)) == contents(new):
                continue
            if is_unsaved(target):
                print(
                    f"{target.relative_to(notebooks.parent)} was changed and not committed, perhaps "
                    "somebody's answers: commit it, or move it away. Left as it is.",
                    file=sys.stderr,
                )
                everything = False
                continue
        target.parent.mkdir(exist_ok=True)
        nbformat.write(new, target)
    return everything


if __name__ == "__main__":
    sys.exit(not write())
