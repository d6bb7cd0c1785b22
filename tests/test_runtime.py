"""Threads, import, seeds, modes and the report, the failures simulated in processes of their own."""

import os
import random
import runpy
import subprocess
import sys
import types
import warnings
from pathlib import Path

import d2lutils
from d2lutils import runtime

import mxnet
import numpy
import pytest

ROOT = Path(__file__).parent.parent
NEW_NUMPY = {"numpy": "__version__ = '1.24.0'"}
NO_LIBRARY = {
    "mxnet": "raise OSError('libquadmath.so.0: cannot open shared object file: No such file')"
}


def python(*args, folder=None, modules=None, **environment):
    """Run Python with fake `modules` (name: source) before the installed ones."""
    for name, source in (modules or {}).items():
        (folder / f"{name}.py").write_text(source + "\n")
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    }
    path = os.pathsep.join(str(place) for place in (folder, ROOT) if place)
    return subprocess.run(
        [sys.executable, *args],
        env=inherited | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


# --- threads ---


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A Linux machine of four processors on two cores, 0 and 2 on the first."""
    for cpu in range(4):
        folder = tmp_path / f"devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    monkeypatch.setattr(runtime, "SYS", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    return tmp_path


def test_two_threads_of_a_core_count_once(machine):
    assert runtime.physical_cores() == 2


def test_affinity_is_heeded(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 3})
    assert runtime.physical_cores() == 1


def test_without_topology_each_processor_counts(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    assert runtime.physical_cores() == 6


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "800000 100000"}, 2),
        ({"cpu.max": "max 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 2),
    ],
)
def test_the_quota_of_a_container_is_heeded(machine, files, cores):
    for name, text in files.items():
        file = machine / "fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert runtime.physical_cores() == cores


def test_macos_is_asked_by_sysctl(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "check_output", lambda command: b"6\n")
    assert runtime.physical_cores() == 6


def test_elsewhere_all_processors_count(monkeypatch):
    monkeypatch.setattr(sys, "platform", "freebsd")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert runtime.physical_cores() == 3


SHOW = "import os, d2lutils; print(os.environ['OMP_NUM_THREADS'], os.environ['GOMP_SPINCOUNT'])"


def test_import_sets_the_threads_and_numpy_mode():
    result = python("-c", SHOW + "; from mxnet import npx; print(npx.is_np_array())")
    assert result.stdout.split() == [str(runtime.physical_cores()), "10000", "True"]
    assert result.stderr == ""


def test_what_the_user_has_set_stays():
    result = python("-c", SHOW, OMP_NUM_THREADS="1", GOMP_SPINCOUNT="7")
    assert (result.stdout.split(), result.stderr) == (["1", "7"], "")


def test_mxnet_imported_too_early_is_said():
    result = python("-c", "import mxnet\nimport d2lutils")
    assert result.returncode == 0
    assert "put `import d2lutils` first" in result.stderr


def test_no_warning_where_the_user_chose_the_threads():
    result = python("-c", "import mxnet, d2lutils", OMP_NUM_THREADS="1")
    assert (result.returncode, result.stderr) == (0, "")


def test_setting_twice_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtime.set_threads()


# --- import ---


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        (NEW_NUMPY, "install numpy<1.24"),
        (NO_LIBRARY, "system library libquadmath.so.0"),
        (
            {"mxnet": "raise OSError('libgomp.so.1: cannot open shared object file')"},
            "libgomp.so.1",
        ),
        ({"mxnet": "raise OSError('wrong ELF class')"}, "does not load (wrong ELF class)"),
        ({"mxnet": "import no_such_thing"}, "No module named 'no_such_thing'"),
        ({"numpy": "raise ImportError('broken')"}, "broken: run the course"),
    ],
)
def test_a_broken_import_is_one_sentence(tmp_path, modules, sentence):
    result = python("-c", "import d2lutils", folder=tmp_path, modules=modules)
    assert result.returncode == 1
    *_, last = result.stderr.splitlines()
    assert last.startswith("ImportError: ") and sentence in last
    assert result.stderr.count("Traceback") == 1  # not "during handling of ..., another"


def test_a_python_without_distutils_is_named(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    with pytest.raises(ImportError, match="use Python 3.11"):
        runtime.import_mxnet()


# --- seeds and modes ---


def test_one_seed_for_three_generators():
    def draw():
        d2lutils.seed_everything(3)
        return random.random(), numpy.random.rand(), mxnet.np.random.uniform().item()

    assert draw() == draw()


def test_a_seed_out_of_range_seeds_nothing():
    random.seed(0)
    state = random.getstate()
    with pytest.raises(ValueError, match="between 0 and 2"):
        d2lutils.seed_everything(-1)
    assert random.getstate() == state


@pytest.mark.parametrize(("choice", "chosen"), [(None, 1), ("", 1), ("0", 1), ("1", 2)])
def test_quick_or_full(monkeypatch, choice, chosen):
    monkeypatch.delenv("COURSE_FULL", raising=False)
    if choice is not None:
        monkeypatch.setenv("COURSE_FULL", choice)
    assert d2lutils.quick_or_full(quick=1, full=2) == chosen


def test_another_mode_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_FULL", "yes")
    with pytest.raises(ValueError, match="COURSE_FULL.*'yes'"):
        d2lutils.quick_or_full(1, 2)


# --- the report ---


def lines(text):
    """Mark and text of each line of a report, by its name."""
    rows = (line.split(maxsplit=2) for line in text.splitlines())
    return {name: (mark, rest) for mark, name, rest in rows}


NAMES = ["Python", "NumPy", "MXNet", "d2l", "threads", "GPU", "data", "speed"]


def test_all_is_well_here(capsys):
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("d2lutils", run_name="__main__")
    rows = lines(capsys.readouterr().out)
    assert stop.value.code == 0, rows
    assert list(rows) == NAMES and {mark for mark, _ in rows.values()} == {"[ok]"}


@pytest.mark.parametrize(
    ("modules", "wrong", "sentence"),
    [(NEW_NUMPY, "NumPy", "NumPy 1.24.0"), (NO_LIBRARY, "MXNet", "libquadmath.so.0")],
)
def test_the_report_runs_where_mxnet_does_not(tmp_path, modules, wrong, sentence):
    result = python("-m", "d2lutils", folder=tmp_path, modules=modules)
    rows = lines(result.stdout)
    assert (result.returncode, result.stderr, list(rows)) == (1, "", NAMES)
    assert rows[wrong][0] == "[!!]" and sentence in rows[wrong][1]
    assert rows["Python"][0] == rows["threads"][0] == "[ok]"
    assert rows["data"] == ("[!!]", "not checked: it needs MXNet, see above.")


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("MXNet", lambda patch: patch.setattr(mxnet, "__version__", "2.0"), "2.0 is here"),
        (
            "d2l",
            lambda patch: patch.setattr(runtime, "version", lambda name: "1.0.3"),
            "1.0.3 is here",
        ),
        ("d2l", lambda patch: patch.setitem(sys.modules, "d2l.mxnet", None), "d2l.mxnet"),
        ("threads", lambda patch: patch.setenv("OMP_NUM_THREADS", "999"), "unset it"),
        ("threads", lambda patch: patch.setenv("OMP_NUM_THREADS", "2,1"), "unset it"),
        (
            "data",
            lambda patch: patch.setitem(
                sys.modules, "d2lutils.data", types.SimpleNamespace(verify=lambda: 1 / 0)
            ),
            "division by zero",
        ),
    ],
)
def test_each_fault_marks_its_line(monkeypatch, capsys, name, change, sentence):
    monkeypatch.setattr(runtime, "_check_speed", lambda: "not measured")
    change(monkeypatch)
    assert not runtime.report()
    rows = lines(capsys.readouterr().out)
    assert [name for name, (mark, _) in rows.items() if mark == "[!!]"] == [name]
    assert sentence in rows[name][1]


def test_a_gpu_is_counted(monkeypatch):
    monkeypatch.setattr(mxnet.context, "num_gpus", lambda: 2)
    assert runtime._check_gpu() == "2 found"
