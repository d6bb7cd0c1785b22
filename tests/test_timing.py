"""How notebook 07 measures time."""

import time
from contextlib import nullcontext

from d2lutils import timing
from d2lutils.timing import median_ratio, milliseconds_by_operator, seconds

import numpy
import pytest
from mxnet import np, npx


def test_seconds_wait_for_the_result(monkeypatch):
    events = []
    monkeypatch.setattr(npx, "waitall", lambda: events.append("wait"))
    monkeypatch.setattr(time, "perf_counter", lambda: events.append("clock") or len(events))
    assert seconds(lambda: events.append("work")) == 3
    assert events == ["clock", "work", "wait", "clock"]


def test_the_ratio_is_a_median_in_turns_without_the_first_calls(monkeypatch):
    now, log = [0.0], []

    def takes(name, durations):
        durations = iter(durations)

        def work():
            log.append(name)
            now[0] += next(durations)

        return work

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    work, other = takes("a", [99, 2, 6, 4]), takes("b", [1, 1, 2, 50])
    assert median_ratio(work, other, rounds=3) == pytest.approx(2)
    assert log == ["a", "b"] * 4


def test_the_profiler_names_the_operators_of_one_call():
    X = np.random.normal(size=(300, 300))
    calls = []

    def work():
        calls.append(np.dot(X, X))
        return np.exp(X)

    found = milliseconds_by_operator(work, steps=2)
    assert len(calls) == 3
    assert all(any(word in name for name in found) for word in ("dot", "exp")), found
    assert all(numpy.isfinite(ms) and ms > 0 for ms in found.values())


def test_no_file_is_written_in_the_background(monkeypatch, tmp_path):
    """MXNet would write one each second, at times into a folder that is just being deleted."""
    dumps, files = timing.profiler.dumps, []

    def look_and_dump(**how):
        files.extend(tmp_path.iterdir())
        return dumps(**how)

    monkeypatch.setattr(timing.profiler, "dumps", look_and_dump)
    monkeypatch.setattr(timing.tempfile, "TemporaryDirectory", lambda: nullcontext(str(tmp_path)))
    X = np.random.normal(size=(300, 300))
    milliseconds_by_operator(lambda: [np.dot(X, X).wait_to_read(), time.sleep(0.6)])
    assert not files and list(tmp_path.iterdir())


def test_another_measurement_starts_at_zero():
    X = np.random.normal(size=(300, 300))
    milliseconds_by_operator(lambda: np.dot(X, X))
    assert not any("dot" in name for name in milliseconds_by_operator(lambda: np.exp(X)))
