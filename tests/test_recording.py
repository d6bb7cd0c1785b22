"""Recorded experiments: what is written, what stays after a cut, and what a reader refuses."""

import contextlib
import datetime
import functools
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import d2lutils
from d2lutils import fit
from d2lutils.experiments import recording
from d2lutils.experiments.recording import Experiment, grid, read, record

import numpy
import pytest
from joblib import parallel_config
from mxnet import np
from mxnet.gluon import nn

HERE = Path(__file__).parent
SETTINGS = grid(kind=["none", "NA"], lr=[0.5, 0.1])
KEYS = ["kind", "lr", "seed", "epoch"]


def train(images, epochs, seed, kind, lr, calls=None, until=None):
    """A linear classifier on random images; its weights and data come from both generators.

    Once the file `until` is there, a run waits for the end of its process.
    """
    if calls:
        (calls / f"{kind} {lr} {seed} {uuid.uuid4()}").touch()
    while until and until.is_file():
        time.sleep(0.02)
    X = np.random.uniform(size=(images, 4))
    y = np.array(numpy.random.randint(0, 3, images), dtype="int64")
    net = nn.Dense(3, use_bias=kind == "none")
    net.initialize()
    history = fit(net, (X, y), num_epochs=epochs, lr=lr, batch_size=16, seed=seed, verbose=False)
    return [{"loss": loss} for loss in history.train_loss]


def environment(images, epochs, seed, here):
    return [{"threads": int(os.environ["OMP_NUM_THREADS"]), "elsewhere": os.getpid() != here}]


def breaks_down(images, epochs, seed, kind, lr, calls):
    rows = train(images, epochs, seed, kind, lr, calls)
    if len(list(calls.iterdir())) > 3:
        raise RuntimeError("the disk is full")
    return rows


def stops_early(images, epochs, seed, kind, lr):
    return train(images, epochs, seed, kind, lr)[:-1]


def diverges(images, epochs, seed, kind, lr):
    return [{"loss": 1.23456}, {"loss": math.nan}]


def tiny(train=train, settings=SETTINGS, epochs=2, **more):
    return Experiment(functools.partial(train, **more), settings, images=64, epochs=epochs)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def here(monkeypatch):
    """The runs are done in this process, which takes no time to start."""
    monkeypatch.setattr(
        recording, "parallel_config", lambda *_, **__: parallel_config("sequential")
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished record."""
    path = tmp_path_factory.mktemp("finished") / "results" / "tiny.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "parallel_config", lambda *_, **__: parallel_config("sequential"))
        record(tiny(), path, 2, "a command")
    return path.parent


@pytest.fixture
def results(finished, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(finished, tmp_path / "results")


@pytest.fixture
def calls(tmp_path):
    """A folder in which each run leaves a file."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


# --- what is written ---


def test_a_grid_has_all_combinations():
    assert grid(a=[1, 2], b=["x"]) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    assert [list(setting.values()) for setting in grid(a=[2, 1], b=[4, 3])] == [
        [2, 4],
        [2, 3],
        [1, 4],
        [1, 3],
    ]


def test_full_is_all_images_for_ten_epochs():
    assert tiny().full.settings == SETTINGS
    assert (tiny().full.images, tiny().full.epochs) == (60_000, 10)


def test_there_is_a_row_for_each_setting_seed_and_epoch_in_this_order(finished):
    rows = read(finished / "tiny.csv", "tiny")
    expected = itertools.product(["none", "NA"], [0.5, 0.1], [0, 1], [1, 2])
    assert rows[KEYS].values.tolist() == [list(row) for row in expected]
    assert rows.loss.between(0.5, 3).all() and rows.loss.nunique() == 16
    assert names(finished) == ["tiny.csv", "tiny.json"]


def test_the_json_says_how_the_table_came_about(finished):
    about = json.loads((finished / "tiny.json").read_text())
    assert about["command"] == "a command"
    assert (about["images"], about["epochs"], about["seeds"]) == (64, 2, 2)
    assert about["settings"] == SETTINGS
    assert about["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (about["mxnet"], about["numpy"]) == ("1.9.1", numpy.__version__)
    assert isinstance(about["processor"], str) and about["threads"] == 1
    assert datetime.date.fromisoformat(about["date"]) <= datetime.date.today()
    assert about["core_minutes"] >= 0
    assert about["columns"] == [*KEYS, "loss"] and about["rows"] == 16
    assert about["sha256"] == hashlib.sha256((finished / "tiny.csv").read_bytes()).hexdigest()


def test_a_run_takes_the_images_epochs_and_seed_that_it_is_told(here, tmp_path):
    path = tmp_path / "tiny.csv"
    record(tiny(settings=SETTINGS[:1]), path, 1, "")
    d2lutils.seed_everything(0)
    by_hand = [round(row["loss"], 4) for row in train(64, 2, 0, "none", 0.5)]
    assert read(path, "tiny").loss.tolist() == by_hand


@pytest.mark.parametrize("cores", [1, 2])
def test_the_same_seeds_give_the_same_file_on_any_number_of_cores(
    finished, tmp_path, monkeypatch, cores
):
    monkeypatch.setattr(recording, "physical_cores", lambda: cores)
    record(tiny(), tmp_path / "tiny.csv", 2, "a command")
    assert (tmp_path / "tiny.csv").read_bytes() == (finished / "tiny.csv").read_bytes()


@pytest.mark.parametrize("cores", [1, 2])
def test_a_run_has_one_thread_and_is_not_in_the_process_that_writes(tmp_path, monkeypatch, cores):
    monkeypatch.setattr(recording, "physical_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    path = tmp_path / "tiny.csv"
    record(tiny(environment, grid(here=[os.getpid()]), epochs=1), path, 4, "")
    rows = read(path, "tiny")
    assert rows.threads.tolist() == [1, 1, 1, 1] and rows.elsewhere.all()


def test_a_divergence_stays_and_text_stays_text(here, tmp_path):
    path = tmp_path / "tiny.csv"
    record(tiny(diverges, SETTINGS[::2]), path, 1, "")
    rows = read(path, "tiny")
    assert rows.kind.tolist() == ["none", "none", "NA", "NA"]
    assert rows.loss[[0, 2]].tolist() == [1.2346, 1.2346]
    assert rows.loss.isna().tolist() == [False, True, False, True]


def test_the_number_of_seeds_may_be_one_of_numpy(tmp_path):
    record(tiny(), tmp_path / "tiny.csv", numpy.int64(1), "")
    assert set(read(tmp_path / "tiny.csv", "tiny").seed) == {0}


@pytest.mark.parametrize("seeds", [0, -1, 1.5, "2", True])
def test_a_number_of_seeds_that_makes_no_sense_is_refused(tmp_path, seeds):
    with pytest.raises(ValueError, match=f"seeds must be a positive integer, not {seeds!r}"):
        record(tiny(), tmp_path / "results" / "tiny.csv", seeds, "")
    assert names(tmp_path) == []


# --- a cut ---


def record_and_wait(path, calls, how):
    """Record until something is kept, then wait to be cut off."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    recording.physical_cores = lambda: 2
    if how != "SIGINT":  # the only one that workers get too; they take their time to start
        recording.parallel_config = lambda *_, **__: parallel_config("sequential")
    path = Path(path)
    slow = tiny(calls=Path(calls), until=path.with_name("tiny.unfinished.json"))
    record(slow, path, 2, "a command")


def plan():
    return {(s["kind"], s["lr"], seed) for s in SETTINGS for seed in range(2)}


def called(calls):
    """The runs that left a file: kind, rate and seed; a run that was made twice is there twice."""
    parts = [name.split() for name in names(calls)]
    return sorted((kind, float(lr), int(seed)) for kind, lr, seed, _ in parts)


def kept(unfinished):
    runs = json.loads(unfinished.read_text())["runs"]
    return {(*SETTINGS[setting].values(), seed) for (setting, seed), _ in runs}


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_after_a_cut_the_old_result_is_there_and_a_second_call_makes_what_is_missing(
    here, finished, tmp_path, calls, how
):
    path = tmp_path / "results" / "tiny.csv"
    record(tiny(epochs=1), path, 1, "an earlier command")
    earlier = [path.read_bytes(), path.with_suffix(".json").read_bytes()]
    unfinished = path.with_name("tiny.unfinished.json")
    arguments = f"{str(path)!r}, {str(calls)!r}, {how!r}"
    code = f"import test_recording as t; t.record_and_wait({arguments})"
    search = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": search, "PATH": ""},  # a bare Debian has no pgrep
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 60
        while not unfinished.is_file() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if how == "SIGINT":  # Ctrl-C goes to the workers too
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.Signals[how])
        _, said = process.communicate(timeout=90) if how == "SIGINT" else (process.wait(30), b"")
    finally:
        with contextlib.suppress(ProcessLookupError):  # nobody is left
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode != 0 and (how != "SIGINT" or b"KeyboardInterrupt" in said)
    assert [path.read_bytes(), path.with_suffix(".json").read_bytes()] == earlier
    assert names(path.parent)[:3] == ["tiny.csv", "tiny.json", "tiny.unfinished.json"]
    done = kept(unfinished)
    assert 0 < len(done) < len(plan())

    for file in calls.iterdir():
        file.unlink()
    record(tiny(calls=calls), path, 2, "a command")
    assert called(calls) == sorted(plan() - done)
    assert path.read_bytes() == (finished / "tiny.csv").read_bytes()
    assert names(path.parent) == ["tiny.csv", "tiny.json"]
    assert len(read(path, "tiny")) == 16


@pytest.fixture
def half(here, results, calls):
    """A record that broke down, beside the result of an earlier one; no file in `calls`."""
    with pytest.raises(RuntimeError, match="the disk is full"):
        record(tiny(breaks_down, calls=calls), results / "tiny.csv", 2, "a command")
    for file in calls.iterdir():
        file.unlink()
    return results / "tiny.unfinished.json"


def test_a_run_that_fails_does_not_cost_the_others(finished, half, calls):
    done = kept(half)
    assert 1 <= len(done) <= 3
    assert half.with_name("tiny.csv").read_bytes() == (finished / "tiny.csv").read_bytes()
    record(tiny(calls=calls), half.with_name("tiny.csv"), 2, "a command")
    assert called(calls) == sorted(plan() - done)
    assert half.with_name("tiny.csv").read_bytes() == (finished / "tiny.csv").read_bytes()
    assert not half.exists()


@pytest.mark.parametrize("other", ["settings", "epochs", "seeds", "version"])
def test_runs_of_another_record_are_not_mixed_in(half, calls, monkeypatch, capsys, other):
    runs = json.loads(half.read_text())
    runs["runs"] = [
        [run, {"epochs": 9 * [{"loss": 99.0}], "seconds": 0}] for run, _ in runs["runs"]
    ]
    half.write_text(json.dumps(runs))
    settings, epochs, seeds = SETTINGS, 2, 2
    if other == "settings":
        settings = SETTINGS[::-1]
    elif other == "epochs":
        epochs = 1
    elif other == "seeds":
        seeds = 3
    else:
        monkeypatch.setattr(recording, "version", lambda package: "1.9.2")
    path = half.with_name("tiny.csv")
    record(tiny(settings=settings, epochs=epochs, calls=calls), path, seeds, "a command")
    assert "tiny.unfinished.json was begun with other settings" in capsys.readouterr().out
    assert len(called(calls)) == len(settings) * seeds
    assert read(path, "tiny").loss.max() < 90
    assert not half.exists()


@pytest.mark.parametrize("text", ["", '{"about": {', '{"runs": []}'])
def test_an_unfinished_file_that_nobody_can_read_is_begun_anew(here, results, calls, text):
    (results / "tiny.unfinished.json").write_text(text)
    record(tiny(calls=calls), results / "tiny.csv", 2, "a command")
    assert called(calls) == sorted(plan())


def test_a_run_with_too_few_epochs_is_refused(here, tmp_path):
    with pytest.raises(RuntimeError, match="1 epochs instead of 2"):
        record(tiny(stops_early), tmp_path / "tiny.csv", 1, "")
    assert not (tmp_path / "tiny.csv").exists()


@pytest.mark.parametrize("ending", [".unfinished.json", ".csv", ".json"])
def test_a_write_that_dies_midway_leaves_whole_files(
    here, finished, tmp_path, calls, monkeypatch, ending
):
    path = tmp_path / "results" / "tiny.csv"
    record(tiny(epochs=1), path, 1, "an earlier command")
    files = {file: file.read_bytes() for file in (path, path.with_suffix(".json"))}

    def full_disk(source, target, replace=os.replace):
        if Path(target).name == f"tiny{ending}":
            raise OSError("No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "replace", full_disk)
        record(tiny(calls=calls), path, 2, "a command")
    if ending == ".json":
        with pytest.raises(ValueError, match=r"tiny\.csv has 16 rows, not 4"):
            read(path, "tiny")
    else:
        assert {file: file.read_bytes() for file in files} == files
    record(tiny(calls=calls), path, 2, "a command")
    assert ending == ".unfinished.json" or len(called(calls)) == 8
    assert path.read_bytes() == (finished / "tiny.csv").read_bytes()
    assert names(path.parent) == ["tiny.csv", "tiny.json"]


# --- what a reader refuses ---

CURE = re.escape(
    "restore it with `git checkout -- data/results`, "
    "or record it again with `python -m d2lutils.experiments tiny`."
)


def change(path, edit):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(edit(lines)) + "\n")


@pytest.mark.parametrize("ending", [".csv", ".json"])
def test_a_missing_file_is_named(results, ending):
    (results / f"tiny{ending}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"data/results/tiny\{ending} is missing: {CURE}"):
        read(results / "tiny.csv", "tiny")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda lines: [line[5:] for line in lines], "has no column 'kind'"),
        (lambda lines: [line.rsplit(",", 1)[0] for line in lines], "has no column 'loss'"),
        (lambda lines: [*lines[:3], lines[3][:9], *lines[4:]], ", line 4, has 3 values, not 5"),
        (
            lambda lines: [*lines[:-1], lines[-1].rsplit(",", 1)[0]],
            ", line 17, has 4 values, not 5",
        ),
        (lambda lines: [*lines[:5], *lines[6:]], "has 15 rows, not 16"),
        (lambda lines: [*lines, lines[-1]], "has 17 rows, not 16"),
        (lambda lines: lines[:1], "has 0 rows, not 16"),
        (lambda lines: [*lines[:-1], lines[-1] + "1"], "a value was changed"),
        (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], "a value was changed"),
    ],
)
def test_a_damaged_table_is_named(results, edit, sentence):
    change(results / "tiny.csv", edit)
    with pytest.raises(ValueError, match=rf"^data/results/tiny\.csv.*{sentence}.*{CURE}"):
        read(results / "tiny.csv", "tiny")


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe"])
def test_a_table_that_is_none_is_named(results, text):
    (results / "tiny.csv").write_bytes(text)
    with pytest.raises(ValueError, match=rf"^data/results/tiny\.csv.*{CURE}"):
        read(results / "tiny.csv", "tiny")


@pytest.mark.parametrize("text", ["", '{"rows": 16,', "{}", "[]", '{"columns": [], "rows": 16}'])
def test_a_damaged_json_is_named(results, text):
    (results / "tiny.json").write_text(text)
    with pytest.raises(ValueError, match=rf"^data/results/tiny\.json.*{CURE}"):
        read(results / "tiny.csv", "tiny")


def test_the_line_ends_of_windows_are_no_damage(results):
    path = results / "tiny.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read(path, "tiny")) == 16
