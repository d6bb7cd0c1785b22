"""Bring notebooks/zh/ up to date with the English notebooks.

Code cells and outputs are copied. A Markdown cell keeps its translation, and its metadata hold the
checksum of the English cell that it renders (`"english"`). A cell whose English has changed, or
that is not translated yet, gets the tag "stale": translate it in Jupyter and remove the tag. The
exercises take their text from the solutions. Drawings take their words from figures/words.json.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from copy import deepcopy
from html import escape, unescape
from pathlib import Path

import nbformat
from blanks import is_unsaved

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
FOLDERS = [".", "solutions", "exercises"]  # exercises last: they read the translated solutions
LINK = re.compile(r"(?<=\]\()[^()\s]+(?=\))")


def checksum(source):
    """What a translated cell remembers of the English cell."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def twin(link, place):
    """What a link of notebooks/PLACE is in notebooks/zh/PLACE."""
    if re.match(r"[a-z]+:|#", link):
        return link
    path, mark, anchor = link.partition("#")
    target = Path(os.path.normpath((NOTEBOOKS / place).parent / path))
    if target.is_relative_to(NOTEBOOKS) and target.suffix in {".ipynb", ".svg"}:
        return link  # the Chinese notebooks lie to each other as the English ones do
    if target == ROOT / "README.md":
        target = ROOT / "README.zh.md"
    relative = os.path.relpath(target, (NOTEBOOKS / "zh" / place).parent)
    return Path(relative).as_posix() + mark + anchor


def translate(cell, known, place):
    """The Chinese twin of an English cell; `known` finds a translated cell by its id or checksum."""
    new = deepcopy(cell)
    if cell.cell_type != "markdown":
        return new
    now = checksum(cell.source)
    old = known.get(now) or known.get(cell.id)
    tags = cell.metadata.get("tags", [])
    if old is None or old.metadata.get("english") != now or "stale" in old.metadata.get("tags", []):
        tags = [*tags, "stale"]
    links = {link: twin(link, place) for link in LINK.findall(cell.source)}
    text = cell.source if old is None else old.source
    new.source = LINK.sub(lambda link: links.get(link[0], link[0]), text)
    new.metadata["english"] = now
    if tags:
        new.metadata["tags"] = tags
    return new


def translations(notebook):
    """The translated cells of a Chinese notebook, by id and by checksum."""
    cells = [cell for cell in notebook.cells if "english" in cell.metadata]
    return {cell.id: cell for cell in cells} | {
        cell.metadata["english"]: cell
        for cell in cells
        if "stale" not in cell.metadata.get("tags", [])
    }


def committed(place):
    """The sources of the cells of notebooks/PLACE that git has."""
    command = ["git", "show", f"HEAD:./{place.as_posix()}"]
    shown = subprocess.run(command, cwd=NOTEBOOKS, capture_output=True, text=True, encoding="utf-8")
    if shown.returncode != 0:
        return set()
    return {cell.source for cell in nbformat.reads(shown.stdout, as_version=4).cells}


def losses(old, new, place):
    """What of the old notebook is not in the new one: a translation, or somebody's code."""
    kept = {cell.source for cell in new.cells} | committed(place)
    sources = {cell.id: cell.source for cell in new.cells}
    for cell in old.cells:
        moved = cell.cell_type == "markdown" and cell.id in sources
        if cell.source.strip() and cell.source not in kept and not moved:
            yield cell.source.splitlines()[0]


def write(place, check=False):
    """Write notebooks/zh/PLACE, or only check it; returns whether it is as it should be."""
    path = NOTEBOOKS / "zh" / place
    old = nbformat.read(path, as_version=4) if path.exists() else nbformat.v4.new_notebook()
    if place.parent.name == "exercises":
        source = nbformat.read(NOTEBOOKS / "zh" / "solutions" / place.name, as_version=4)
    else:
        source = old
    new = nbformat.read(NOTEBOOKS / place, as_version=4)
    known = translations(source)
    new.cells = [translate(cell, known, place) for cell in new.cells]
    if new == old:
        return True
    if check:
        print(f"notebooks/zh/{place} is out of date: run make zh", file=sys.stderr)
        return False
    lost = list(losses(old, new, place))
    if lost and is_unsaved(path):
        print(
            f"notebooks/zh/{place} holds cells that are neither committed nor in the English "
            f"notebook; the first begins with {lost[0]!r}. Commit them or move them away. Left as "
            "it is.",
            file=sys.stderr,
        )
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new, path)
    return True


def drawing(svg, words):
    """A drawing with its words in Chinese; words that the table lacks stay as they are."""

    def word(match):
        text = unescape(match[1])
        return ">" + escape(words.get(text, text), quote=False) + "</text>"

    return re.sub(r">([^<>]*)</text>", word, svg)


def write_drawings():
    """Write notebooks/zh/figures/ from notebooks/figures/*.svg and the table of words."""
    folder = NOTEBOOKS / "zh" / "figures"
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    for path in sorted((NOTEBOOKS / "figures").glob("*.svg")):
        text = drawing(path.read_text(encoding="utf-8"), words)
        (folder / path.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    places = [
        path.relative_to(NOTEBOOKS)
        for folder in FOLDERS
        for path in sorted((NOTEBOOKS / folder).glob("*.ipynb"))
    ]
    check = "--check" in sys.argv
    written = [write(place, check) for place in places]
    if not check:
        write_drawings()
    sys.exit(not all(written))
