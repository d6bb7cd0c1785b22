"""Write data/results/README.md: what each experiment compares, its cost, and who quotes it."""

import json
from pathlib import Path

from d2lutils.experiments import FOLDER
from d2lutils.experiments.runs import EXPERIMENTS

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

TEXT = """\
<!-- Written by tools/results.py, which `make notebooks` runs. -->
# Recorded experiments

Each table has one row for each setting, seed and epoch. The `.json` beside it says how it was recorded: command, settings, images, versions, processor, date, and the table's checksum. Each setting was run with five seeds, one thread per run. An empty value means that the run had diverged by that epoch.

`.venv/bin/python -m d2lutils.experiments NAME` records a table again, with as many runs at a time as there are cores. You can stop it: started again, it continues. With `--full` it uses all 60,000 images and ten epochs, and writes `NAME_full.csv`. Without a GPU, that takes hours to days.

| file | compares | images × epochs | core minutes | quoted in |
|---|---|---|---|---|
{rows}

Core minutes are the times of all runs added up, {total:.0f} in total, on the processor named in the `.json`, which did other work too. On two cores it takes half as long. [`tests/test_ledger.py`](../../tests/test_ledger.py) computes the numbers that the course quotes from these files and looks for them in the text. Other statements about a file are asserted in the notebook, in the cell beside them.
"""


def readers(name):
    """A link to each notebook that loads the experiment: 01, solutions 01."""
    for path in sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("[es]*/*.ipynb")]):
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
