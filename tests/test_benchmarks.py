"""The benchmarks' machinery, and that the results fit the code. Nothing here is timed."""

import importlib
import importlib.util
import math
import os
import re
import sys
import types
from pathlib import Path

import pytest
import scaling
from side_by_side import HERE, Contender, Table, markdown

ROOT = Path(__file__).resolve().parent.parent
TOY = """
import sys, time

def counts(start):
    numbers = iter(range(start, 100))
    print("noise on stdout")
    return lambda: {"count": float(next(numbers)), "twice": 2.0}

def fails():
    raise RuntimeError("no\\nluck")

def refuses():
    from side_by_side import CannotRun
    raise CannotRun("not on this machine")

def sleeps():
    time.sleep(60)

def dies(after):
    rounds = iter(range(after))
    return lambda: {"count": float(next(rounds)), "twice": 2.0}
"""


def counts(): ...
def fails(): ...
def refuses(): ...
def sleeps(): ...
def dies(): ...


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A topic in a folder of its own, with the machinery beside it."""
    (tmp_path / "toy.py").write_text(TOY)
    machinery = tmp_path / "side_by_side.py"
    machinery.write_text((HERE / "side_by_side.py").read_text())
    spec = importlib.util.spec_from_file_location("copy_of_side_by_side", machinery)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def main_module():
    spec = importlib.util.spec_from_file_location("benchmarks_main", HERE / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_contender_plays_every_round(toy):
    rows = {"a": Contender(counts, (10,)), "b": Contender(counts, (20,))}
    results = toy.measure("toy", Table("title", "text", rows, rounds=3))
    assert [row["count"] for row in results["a"]] == [10, 11, 12]
    assert [row["count"] for row in results["b"]] == [20, 21, 22]


def test_a_neighbour_runs_until_the_load_average_shows_it_before_a_row_starts(toy, monkeypatch):
    events, start = [], toy._Process
    wait = types.SimpleNamespace(sleep=events.append)
    monkeypatch.setattr(toy, "time", wait)
    monkeypatch.setattr(toy, "_Process", lambda *args: events.append("row") or start(*args))
    rows = {"a": Contender(counts, (10,)), "b": Contender(counts, (20,))}
    results = toy.measure("toy", Table("title", "text", rows, rounds=1, busy=True))
    assert events == [toy.NOTICED, "row", "row"] and len(results["b"]) == 1
    assert 1 - math.exp(-toy.NOTICED / 60) > 0.7  # of an average over a minute, on an idle machine


def test_a_table_without_a_neighbour_does_not_wait(toy, monkeypatch):
    monkeypatch.setattr(toy, "time", None)
    rows = {"a": Contender(counts, (10,))}
    assert len(toy.measure("toy", Table("title", "text", rows, rounds=1))["a"]) == 1


def test_a_contender_that_fails_says_why_and_holds_up_nobody(toy, capfd):
    rows = {
        "good": Contender(counts, (1,)),
        "fails": Contender(fails),
        "refuses": Contender(refuses),
        "sleeps": Contender(sleeps),
        "dies": Contender(dies, (1,)),
    }
    table = Table("title", "text", rows, rounds=2, limit=2)
    results = toy.measure("toy", table)
    assert len(results["good"]) == 2
    assert results["fails"] == "RuntimeError: no luck"
    assert results["refuses"] == "not on this machine"
    printed = capfd.readouterr().err
    assert "no\nluck" in printed and "CannotRun" not in printed
    assert results["sleeps"] == "died, or took over 2 s"
    assert results["dies"].startswith("StopIteration")
    assert "| fails | RuntimeError: no luck |  |  |" in markdown(table, results)


def test_the_table_has_medians_spreads_and_ratios():
    table = Table("Title", "Text.", {"first": Contender(counts), "other": Contender(counts)})
    results = {
        "first": [{"images/s": v} for v in (200.0, 300.0, 400.0)],
        "other": [{"images/s": v} for v in (100.0, 100.0, 100.0)],
    }
    lines = markdown(table, results).splitlines()
    assert lines[:3] == ["### Title", "", "Text."]
    assert lines[4:] == [
        "| | images/s | first row / this |",
        "|---|---|---|",
        "| first | 300 (200 to 400) |  |",
        "| other | 100 | **3 (2 to 4)** |",
    ]


@pytest.mark.parametrize("topic", main_module().TOPICS)
def test_a_topic_has_tables_of_its_own_functions(topic):
    module = importlib.import_module(topic)
    for table in module.TABLES:
        for contender in table.contenders.values():
            assert getattr(module, contender.function.__name__) is contender.function


@pytest.mark.parametrize("workers, threads", [(1, 8), (2, 4), (4, 2), (16, 1)])
def test_a_job_shares_the_cores_and_gives_what_a_worker_prints(monkeypatch, workers, threads):
    started = []

    def launch(script, *arguments, workers, show):
        started.append((script, arguments, workers, os.environ["OMP_NUM_THREADS"]))
        for line in ("worker 1: a word", 'worker 1: {"images/s": 812.5}'):
            show(line)

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr("d2lutils.launch.launch", launch)
    monkeypatch.setattr("d2lutils.runtime.physical_cores", lambda: 8)
    assert scaling.job("BN-LeNet", workers)() == {"images/s": 812.5}
    assert started == [(scaling.__file__, ("BN-LeNet",), workers, str(threads))]


def test_a_process_without_a_store_runs_the_script_of_the_workers(monkeypatch, capsys):
    def run(command, **_):
        assert command == [sys.executable, scaling.__file__, "BN-LeNet"]
        assert os.environ["OMP_NUM_THREADS"] == "1"
        scaling.worker(command[-1])
        return types.SimpleNamespace(stdout="a word\n" + capsys.readouterr().out)

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(scaling.subprocess, "run", run)
    monkeypatch.setitem(scaling.JOB, "BN-LeNet", 128)
    assert scaling.job("BN-LeNet", 0, 1)()["images/s"] > 0


@pytest.mark.parametrize("saves", [False, True])
def test_an_epoch_leaves_a_checkpoint_on_disk_only_if_it_saves_one(monkeypatch, tmp_path, saves):
    monkeypatch.setattr(scaling, "HERE", tmp_path)
    monkeypatch.setitem(scaling.IMAGES, "BN-LeNet", 128)
    figures = scaling.epoch("BN-LeNet", saves)()
    weights = 62_158 * 4 / 2**20  # MiB, and as much for their momentum
    assert figures["s"] > 0
    assert 2 * weights * saves <= figures["MiB on disk"] <= 3 * weights * saves
    assert not list(tmp_path.iterdir())


def test_a_section_takes_the_place_of_its_older_self(tmp_path, monkeypatch):
    main = main_module()
    monkeypatch.setattr(main, "RESULTS", tmp_path / "RESULTS.md")
    headings = list(main.TOPICS.values())
    for heading, text in [
        (headings[1], "### a\n\nold"),
        (headings[0], "first"),
        (headings[1], "new"),
    ]:
        main.write(heading, text)
    text = main.RESULTS.read_text()
    assert re.findall(r"^## (.*)", text, flags=re.M) == headings[:2]
    assert text.startswith(main.OPENING) and "new" in text and "old" not in text


def test_the_results_are_those_of_the_code():
    """Every section that was measured has the tables that the code has now, and their rows; only a
    notebook may be missing, when it is newer than the measurement."""
    main = main_module()
    sections = main.sections()
    assert sections and set(sections) <= set(main.TOPICS.values())
    for topic, heading in main.TOPICS.items():
        if heading in sections:
            tables = importlib.import_module(topic).TABLES
            titles = re.findall(r"^### (.+)", sections[heading], flags=re.M)
            assert titles == [table.title for table in tables]
            found = re.findall(r"^\| ([^|]+?) \|", sections[heading], flags=re.M)
            rows = [label for table in tables for label in table.contenders]
            assert found == [row for row in rows if row in found or not row.endswith(".ipynb")]


def test_notebook_07_says_what_the_results_say():
    """The sentences of notebook 07 on time to accuracy are those of the measured rows."""
    section = main_module().sections()["Time to accuracy"]
    rows = re.findall(r"^\| (the .+?) \| ([\d.]+).*? \| ([\d.]+)", section, flags=re.M)
    quick, good, again, lenet, resnet = ((float(s), accuracy) for _, s, accuracy in rows)
    text = (ROOT / "notebooks" / "07_fast_on_a_cpu.ipynb").read_text()
    assert 3.5 < lenet[0] / again[0] < 4 and "more than three and a half times as long" in text
    assert 20 < resnet[0] / again[0] < 25 and "more than twenty times as long" in text
    assert f"ended at {lenet[1]}." in text and f"ended at {resnet[1]}." in text
    assert 6 < good[0] / quick[0] < 7
    assert f"from {quick[1]} to {good[1]} takes more than six times as long" in text
