"""The course's recorded experiments. Notebooks read them with `load` and `final`.

`python -m d2lutils.experiments NAME` records one again.
"""

from pathlib import Path

from .recording import read

FOLDER = Path(__file__).resolve().parents[2] / "data" / "results"


def load(name):
    """A recorded experiment as a pandas table, with one row for each setting, seed and epoch.

    Raises ValueError for an unknown name and for a damaged file, FileNotFoundError if one of its
    two files is missing.
    """
    recorded = sorted({path.name.split(".")[0] for path in FOLDER.iterdir()} - {"README"})
    if name not in recorded:
        raise ValueError(
            f"There is no recorded experiment {name!r}: choose from {', '.join(recorded)}."
        )
    return read(FOLDER / f"{name}.csv", name)


def final(name, column, *by, lost=None):
    """A column of a recorded experiment in its last epoch, grouped by settings (a pandas group-by).

    `final("depth", "train_loss", "depth", "shortcut").mean()` is the mean over the seeds for each
    depth, without and with shortcuts. lost: a value to use for runs that diverged; without one,
    they are left out of means and counts.
    """
    rows = load(name)
    rows = rows[rows.epoch == rows.epoch.max()]
    if lost is not None:
        rows = rows.fillna({column: lost})
    return rows.groupby(list(by) if len(by) > 1 else by[0])[column]
