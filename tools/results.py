"""Write data/results/README.md: what each recorded experiment compares, its cost, who quotes it."""

import json
from pathlib import Path

from d2lutils.experiments import FOLDER
from d2lutils.experiments.runs import EXPERIMENTS

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

TEXT = """\
<!-- Written by tools/results.py, which `make notebooks` runs. -->
# Recorded experiments

Each table has one row for each setting, seed and epoch. The `.json` beside it says how it was made: command, settings, images, versions, processor, date, and the table's checksum. Each setting was run with five seeds, one thread a run. An empty value means that the run diverged before that epoch.

`.venv/bin/python -m d2lutils.experiments NAME` makes a table again, with as many runs at a time as there are cores. It can be stopped and goes on where it was. With `--full` it takes all 60,000 images and ten epochs and writes `NAME_full.csv`. That takes hours to days without a GPU.

| file | compares | images × epochs | core minutes | quoted in |
|---|---|---|---|---|
{rows}

Core minutes are the runs' own times added up, {total:.0f} in all, on the processor named in the `.json` while it did other work too. Two cores need half as many. [`tests/test_ledger.py`](../../tests/test_ledger.py) computes the numbers that the course quotes from these files and looks for them in its text. What else the text says of a file is asserted in the notebook, beside the sentence.
"""


def readers(name):
    """A link to each notebook that loads the experiment: 01, solutions 01."""
    for path in sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("[!.]*/*.ipynb")]):
        text = path.read_text(encoding="utf-8")
        if any(f'{function}(\\"{name}\\"' in text for function in ("load", "final")):
            place = path.relative_to(NOTEBOOKS)
            label = " ".join([*place.parts[:-1], path.name[:2]])
            yield f"[{label}](../../notebooks/{place.as_posix()})"


def index():
    """The text of data/results/README.md."""
    rows, total = [], 0
    for name, experiment in EXPERIMENTS.items():
        about = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        what = experiment.train.__doc__.splitlines()[0]
        size = f"{about['images']:,} × {about['epochs']}"
        minutes = about["core_minutes"]
        links = ", ".join(readers(name))
        rows.append(f"| [`{name}`]({name}.csv) | {what} | {size} | {minutes:.0f} | {links} |")
        total += minutes
    return TEXT.format(rows="\n".join(rows), total=total)


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(index(), encoding="utf-8")
