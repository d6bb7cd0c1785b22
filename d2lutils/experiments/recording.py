"""Record an experiment over several seeds, and read what was recorded.

A recorded experiment is a table NAME.csv, one row for each setting, seed and epoch, and beside it
NAME.json with the command, settings, versions, processor, date and the table's checksum.
"""

import csv
import datetime
import hashlib
import io
import itertools
import json
import numbers
import os
import platform
import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas
from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from ..runtime import physical_cores, seed_everything


@dataclass(frozen=True)
class Experiment:
    """What one run does, and with which settings, images and epochs.

    train(images, epochs, seed, **setting) does one run and returns a dictionary of measured
    values for each epoch. settings: a list of dictionaries with the same keys.
    """

    train: Callable
    settings: list
    images: int = 10_240
    epochs: int = 3

    @property
    def full(self):
        """The same on all images, for ten epochs."""
        return Experiment(self.train, self.settings, images=60_000, epochs=10)


def grid(**values):
    """All combinations: grid(a=[1, 2], b=[3]) is [{"a": 1, "b": 3}, {"a": 2, "b": 3}]."""
    return [dict(zip(values, chosen)) for chosen in itertools.product(*values.values())]


def record(experiment, path, seeds, command):
    """Run every setting with the seeds 0, 1, ... and write `path`, a .csv, and the .json beside it.

    Each run has one thread, in one of as many processes as there are cores, so the numbers do not
    depend on the number of cores. Finished runs are kept in NAME.unfinished.json until all are
    done. After an interruption, call it again: it continues from there. (Delete that file if you
    have changed the code.)
    """
    if isinstance(seeds, bool) or not isinstance(seeds, numbers.Integral) or seeds < 1:
        raise ValueError(f"seeds must be a positive integer, not {seeds!r}.")
    seeds = int(seeds)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished.json")
    about = _about(experiment, seeds, command)
    plan = list(itertools.product(range(len(experiment.settings)), range(seeds)))
    done = _finished(unfinished, about)
    missing = [run for run in plan if run not in done]
    random.Random(0).shuffle(missing)  # long and short runs mixed: a fair estimate of the time left
    jobs = (delayed(_run)(experiment, *run) for run in missing)
    with (
        warnings.catch_warnings(),
        parallel_config("loky", inner_max_num_threads=1),
        tqdm(total=len(plan), initial=len(done), desc=path.stem, unit="run") as progress,
    ):
        # joblib replaces a worker whose memory has grown, which is no news.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs")
        # At least two: for one, joblib would run them in this process, with all its threads.
        workers = Parallel(
            max(2, physical_cores()),
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="n_jobs",
        )
        for run, result in workers(jobs):
            done[run] = result
            _write(unfinished, json.dumps({"about": about, "runs": list(done.items())}))
            progress.update()
    _publish(path, experiment, about, {run: done[run] for run in plan})
    unfinished.unlink()


def read(path, name):
    """A recorded table as a pandas table, complete with every setting, seed and epoch.

    Raises FileNotFoundError if the table or its .json is missing, ValueError if a row is cut short,
    if a column or a row is missing, or if a value was changed.
    """
    cure = (
        "restore it with `git checkout -- data/results`, "
        f"or record it again with `python -m d2lutils.experiments {name}`."
    )
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(f"data/results/{file.name} is missing: {cure}")
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        columns, num_rows, checksum = about["columns"], about["rows"], about["sha256"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"data/results/{path.stem}.json is damaged: {cure}") from None
    where = f"data/results/{path.name}"
    header, *lines = list(csv.reader(io.StringIO(text))) or [[]]
    for column in columns:
        if column not in header:
            raise ValueError(f"{where} has no column {column!r}: {cure}")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise ValueError(
                f"{where}, line {number}, has {len(line)} values, not {len(header)}: {cure}"
            )
    if len(lines) != num_rows:
        raise ValueError(f"{where} has {len(lines)} rows, not {num_rows}: {cure}")
    if _sha256(text) != checksum:
        raise ValueError(f"{where} is not what was recorded, a value was changed: {cure}")
    return pandas.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def _run(experiment, setting, seed):
    """One run, in a process of its own."""
    start = time.perf_counter()
    seed_everything(seed)
    epochs = experiment.train(
        images=experiment.images,
        epochs=experiment.epochs,
        seed=seed,
        **experiment.settings[setting],
    )
    if len(epochs) != experiment.epochs:
        raise RuntimeError(f"A run gave {len(epochs)} epochs instead of {experiment.epochs}.")
    return (setting, seed), {"epochs": epochs, "seconds": time.perf_counter() - start}


def _about(experiment, seeds, command):
    return {
        "command": command,
        "images": experiment.images,
        "epochs": experiment.epochs,
        "seeds": seeds,
        "settings": experiment.settings,
        "python": platform.python_version(),
        "mxnet": version("mxnet"),
        "numpy": version("numpy"),
        "processor": _processor(),
        "threads": 1,
    }


def _finished(unfinished, about):
    """The runs that an earlier call finished, or none when that was another experiment."""
    if not unfinished.is_file():
        return {}
    try:
        earlier = json.loads(unfinished.read_text(encoding="utf-8"))
        known = earlier["about"] == about
    except (ValueError, KeyError, TypeError):  # what a power failure left
        known = False
    if not known:
        print(f"{unfinished.name} was begun with other settings or versions: starting again.")
        return {}
    return {tuple(run): result for run, result in earlier["runs"]}


def _publish(path, experiment, about, done):
    rows = [
        {
            **experiment.settings[setting],
            "seed": seed,
            "epoch": epoch,
            **{name: round(value, 4) for name, value in values.items()},
        }
        for (setting, seed), result in done.items()
        for epoch, values in enumerate(result["epochs"], start=1)
    ]
    table = pandas.DataFrame(rows)
    text = table.to_csv(index=False)
    about = {
        **about,
        "date": datetime.date.today().isoformat(),
        "core_minutes": round(sum(result["seconds"] for result in done.values()) / 60, 1),
        "columns": list(table.columns),
        "rows": len(table),
        "sha256": _sha256(text),
    }
    _write(path, text)
    _write(path.with_suffix(".json"), json.dumps(about, indent=1) + "\n")


def _write(path, text):
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)


def _sha256(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor()
