"""Threads, import, seeds, modes and the report, the failures simulated in processes of their own."""

import ast
import itertools
import os
import platform
import random
import subprocess
import sys
import types
import warnings
from pathlib import Path

import d2lutils
from d2lutils import __main__ as report
from d2lutils import runtime

import mxnet
import numpy
import pytest

ROOT = Path(__file__).parent.parent
NEW_NUMPY = {"numpy": "__version__ = '1.24.0'"}
NO_LIBRARY = {
    "mxnet": "raise OSError('libquadmath.so.0: cannot open shared object file: No such file')"
}

DYING = "import os, signal; os.kill(os.getpid(), signal.SIGBUS)"  # so does half a library
EMPTY_LIBRARY = "raise OSError('/there/libmxnet.so: file too short')"


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
        ({"cpu.max": "199999 100000"}, 1),  # the rest of a processor is no processor
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


@pytest.fixture
def load(machine, monkeypatch):
    """A function that sets what the machine says: load average, and processors that work now."""

    def says(average, now):
        monkeypatch.setattr(os, "getloadavg", lambda: (average, 9.0, 9.0))
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        clock, stat = itertools.count(), machine / "stat"

        def idle(seconds):
            ticks = round(seconds * os.sysconf("SC_CLK_TCK"))
            stat.write_text(f"cpu  70 1 20 {ticks + 50} 40 0 3 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0\n")

        idle(100)
        monkeypatch.setattr(runtime, "PROC", machine)
        monkeypatch.setattr(runtime.time, "perf_counter", lambda: next(clock))
        monkeypatch.setattr(runtime.time, "sleep", lambda seconds: idle(100 + 4 - now))

    return says


@pytest.mark.parametrize(
    ("average", "now", "busy"),
    [
        (0.3, 4.0, 0.3),  # what only came up this moment does not count
        (1.2, 1.0, 1.0),
        (0.9, 3.0, 0.9),
        (2.0, 0.1, 0.1),  # nor what has ended, such as this notebook before its restart
        (7.0, 4.0, 4.0),
        (2.0, -0.1, 0.0),  # the clocks differ a little
    ],
)
def test_busy_is_what_was_at_work_and_still_is(load, average, now, busy):
    load(average, now)
    assert runtime.busy_processors() == pytest.approx(busy, abs=0.01)


def test_an_idle_machine_is_not_watched(load, monkeypatch):
    load(0.4, 0.0)
    monkeypatch.setattr(runtime.time, "sleep", None)
    assert runtime.busy_processors() == 0.4


def test_waiting_for_a_disk_is_not_busy(load, machine, monkeypatch):
    load(3.0, 4.0)
    stat, ticks = machine / "stat", 2 * os.sysconf("SC_CLK_TCK")
    stat.write_text("cpu  70 1 20 100 40 0 3 0 0 0\n")
    later = f"cpu  70 1 20 100 {40 + ticks} 0 3 0 0 0\n"
    monkeypatch.setattr(runtime.time, "sleep", lambda seconds: stat.write_text(later))
    assert runtime.busy_processors() == pytest.approx(2)


def test_without_a_count_of_idle_time_the_load_average_decides(load, machine):
    load(2.5, 0.0)
    (machine / "stat").unlink()
    assert runtime.busy_processors() == 2.5


def test_a_machine_that_does_not_tell_its_load_counts_as_idle(monkeypatch):
    def unknown():
        raise OSError("the load average is not available")

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert runtime.busy_processors() == 0
    monkeypatch.delattr(os, "getloadavg")  # Windows
    assert runtime.busy_processors() == 0


@pytest.fixture
def unset(monkeypatch):
    """As in a fresh process: nothing is chosen, and MXNet is not imported."""
    for name in runtime.SETTINGS:
        monkeypatch.setenv(name, "")  # so that what the test sets is put back
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "mxnet")


@pytest.mark.parametrize(
    ("busy", "threads"), [(0.0, 2), (0.49, 2), (2.4, 2), (2.6, 1), (3.0, 1), (4.0, 1), (99.0, 1)]
)
def test_threads_are_the_cores_but_no_more_than_free_processors(load, unset, busy, threads):
    load(busy, busy)
    said = runtime.set_threads()
    assert os.environ["OMP_NUM_THREADS"] == str(threads)
    assert said == (
        f"{threads} on 2 physical cores; "
        f"other programs keep {min(busy, 99):.1f} of 4 processors busy"
    )


def test_one_neighbour_on_two_processors_leaves_one(load, unset, monkeypatch):
    load(0.8, 1.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(runtime, "_busy_now", lambda: 1.0)
    assert runtime.set_threads().startswith("1 on 2 physical cores")


SHOW = "import os, d2lutils; print(os.environ['OMP_NUM_THREADS'], os.environ['GOMP_SPINCOUNT'])"
IDLE = "import os; os.getloadavg = lambda: (0.0, 0.0, 0.0)\n"


def test_import_sets_the_threads_and_numpy_mode():
    numpy_mode = "; from mxnet import npx; print(npx.is_np_array())"
    result = python("-c", IDLE + SHOW + numpy_mode, PYTHONWARNINGS="default")
    assert result.stdout.split() == [str(runtime.physical_cores()), "10000", "True"]
    assert result.stderr == ""


def test_what_the_user_has_set_counts_on_a_busy_machine_too(load, unset, monkeypatch):
    load(4.0, 4.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert runtime.set_threads() == "2 on 2 physical cores, as OMP_NUM_THREADS says"


@pytest.mark.parametrize(
    ("value", "threads"),
    [("2", 2), (" 2 ", 2), ("2,1", 2), ("3 , 2, 1", 3), ("+2", 2), ("02", 2), ("9999", 9999)],
)
def test_a_legal_number_of_threads_is_taken(unset, monkeypatch, value, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    runtime.set_threads()
    assert os.environ["OMP_NUM_THREADS"] == str(threads)


@pytest.mark.parametrize(
    "value",
    [
        "all",
        "0",
        "-1",
        "1.5",
        "",
        " ",
        "2,",
        ",2",
        "2,,1",
        "2,0",
        "2 1",
        "0x2",
        "1_0",
        "1٢",
        "²",
        "10000",
    ],
)
def test_an_illegal_number_of_threads_is_refused(unset, monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    with pytest.raises(ValueError, match="OMP_NUM_THREADS must be a number from 1 to 9999, or a"):
        runtime.set_threads()


@pytest.mark.parametrize(
    ("name", "legal", "illegal"),
    [
        ("GOMP_SPINCOUNT", ["0", " 7 ", "20 k", "5G", "infinite", "INFINITY"], ["", "long", "1.5"]),
        ("MXNET_CPU_WORKER_NTHREADS", ["", "1", " 4 "], ["0", "many", "2,1", "-1"]),
    ],
)
def test_other_settings_that_would_end_or_hang_mxnet_are_refused(
    unset, monkeypatch, name, legal, illegal
):
    for value in legal:
        monkeypatch.setenv(name, value)
        runtime.set_threads()
        assert os.environ[name] == value
    for value in illegal:
        monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match=f"{name} must be a number .*, not {value!r}"):
            runtime.set_threads()


def test_what_the_user_has_set_stays_where_mxnet_can_live_with_it():
    result = python("-c", SHOW, OMP_NUM_THREADS="2 ,1", GOMP_SPINCOUNT=" 1k ")
    assert (result.stdout.split(), result.stderr) == (["2", "1k"], "")


def test_mxnet_is_not_reached_by_what_is_illegal():
    result = python("-c", SHOW, OMP_NUM_THREADS="all")
    assert result.returncode == 1 and "libgomp" not in result.stderr
    *_, last = result.stderr.splitlines()
    assert last.startswith("ValueError: OMP_NUM_THREADS must be a number from 1")


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
        (
            {"mxnet": EMPTY_LIBRARY},
            "library is damaged or built for another system (/there/libmxnet.so:",
        ),
        ({"mxnet": "raise OSError('libopenblas.so.0: cannot open shared')"}, "library is damaged"),
        ({"mxnet": "raise RuntimeError('Not found.\\nList:')"}, "system (Not found.): set the"),
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


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13), (3, 12, 0), (4, 11, 0)])
def test_another_python_is_named(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(platform, "python_version", lambda: ".".join(map(str, version)))
    with pytest.raises(ImportError, match=rf"Python {version[0]}\.{version[1]}.*use Python 3.11"):
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


NAMES = ["Python", "NumPy", "threads", "MXNet", "d2l", "GPU", "data", "speed"]


def test_all_is_well_here(capsys):
    assert report.main([]) == 0
    rows = lines(capsys.readouterr().out)
    assert list(rows) == NAMES and {mark for mark, _ in rows.values()} == {"[ok]"}


@pytest.mark.parametrize(
    ("modules", "wrong", "sentence"),
    [
        (NEW_NUMPY, "NumPy", "NumPy 1.24.0"),
        (NO_LIBRARY, "MXNet", "system library libquadmath.so.0, which is missing"),
        ({"mxnet": EMPTY_LIBRARY}, "MXNet", "set the environment up again with `sh tools/venv.sh`"),
        ({"mxnet": DYING}, "MXNet", "damaged and crashes Python (SIGBUS)"),
        ({"mxnet": "import sys; sys.exit('Oh!')"}, "MXNet", "damaged and crashes Python (Oh!)"),
    ],
)
def test_the_report_runs_where_mxnet_does_not(tmp_path, modules, wrong, sentence):
    result = python("-X", "dev", "-m", "d2lutils", folder=tmp_path, modules=modules)
    rows = lines(result.stdout)
    assert (result.returncode, result.stderr, list(rows)) == (1, "", NAMES)
    assert rows[wrong][0] == "[!!]" and sentence in rows[wrong][1]
    assert rows["Python"][0] == rows["threads"][0] == "[ok]"
    assert rows["data"] == ("[!!]", "not checked: it needs MXNet, see above.")


def test_the_report_runs_on_another_python(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    monkeypatch.delitem(sys.modules, "mxnet")
    assert report.main([]) == 1
    rows = lines(capsys.readouterr().out)
    assert {name for name, (mark, _) in rows.items() if mark == "[ok]"} == {"NumPy", "threads"}
    assert "runs only on 3.11" in rows["Python"][1]
    assert rows["MXNet"][1] == "not checked: it needs the right Python and NumPy, see above."


@pytest.mark.parametrize("file", ["__init__.py", "__main__.py", "runtime.py"])
def test_the_report_can_be_read_by_python_3_6(file):
    ast.parse((ROOT / "d2lutils" / file).read_text(), feature_version=(3, 6))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("MXNet", lambda patch: patch.setattr(mxnet, "__version__", "2.0"), "found 2.0, but"),
        (
            "d2l",
            lambda patch: patch.setattr("importlib.metadata.version", lambda name: "1.0.3"),
            "found 1.0.3, but",
        ),
        ("d2l", lambda patch: patch.setitem(sys.modules, "d2l.mxnet", None), "d2l.mxnet"),
        ("threads", lambda patch: patch.setenv("OMP_NUM_THREADS", "999"), "unset it"),
        ("threads", lambda patch: patch.setenv("OMP_NUM_THREADS", "0"), "from 1 to 9999"),
        ("threads", lambda patch: patch.setenv("OMP_NUM_THREADS", "all"), "not 'all'"),
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
    monkeypatch.setattr(report, "check_speed", lambda: "not measured")
    monkeypatch.setattr(report, "_try_mxnet", lambda: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    change(monkeypatch)
    assert not report.report()
    rows = lines(capsys.readouterr().out)
    assert [name for name, (mark, _) in rows.items() if mark == "[!!]"] == [name]
    assert sentence in rows[name][1]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MXNET_OMP_MAX_THREADS", "many", "Invalid Parameter format for MXNET_OMP_MAX_THREADS"),
        ("OMP_DYNAMIC", "0", "libgomp: Invalid value for environment variable OMP_DYNAMIC"),
    ],
)
def test_the_report_names_a_setting_that_mxnet_cannot_read(monkeypatch, name, value, sentence):
    monkeypatch.setenv(name, value)
    with pytest.raises(ImportError, match=f"environment variable has an invalid value.*{sentence}"):
        report.check_mxnet()


def test_the_report_says_what_it_does():
    result = python("-Im", "d2lutils", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert (
        "usage: python -m d2lutils [-h]" in result.stdout and "[!!] and how to fix" in result.stdout
    )


def test_the_report_refuses_what_it_does_not_know():
    result = python("-m", "d2lutils", "-v")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: python -m d2lutils") and "-v" in result.stderr


def test_after_a_wrong_number_of_threads_mxnet_can_be_checked_all_the_same(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    with pytest.raises(ValueError, match="not 'all'"):
        report.check_threads()
    assert report.check_mxnet() == "1.9.1"


def test_another_module_that_is_run_sets_the_threads_and_imports_mxnet_itself(tmp_path):
    result = python("-m", "d2lutils.experiments", OMP_NUM_THREADS="0")
    assert result.returncode == 1 and "ValueError: OMP_NUM_THREADS" in result.stderr
    result = python("-m", "d2lutils.experiments", folder=tmp_path, modules=NO_LIBRARY)
    assert result.returncode == 1 and "ImportError: MXNet needs the system" in result.stderr


def test_the_speed_is_all_multiplications_and_additions_over_the_time(monkeypatch):
    now = itertools.count(0, 0.05)
    monkeypatch.setattr(report.time, "perf_counter", lambda: next(now))
    forward = 32 * 28 * 28 * 64 * (64 * 9) * 2  # images, positions, outputs; weights of each
    steps, seconds = 19, 1.05  # the clock is read at the start, before each step and at the end
    found = int(report.check_speed().partition(" GFLOP/s")[0])
    assert found == pytest.approx(3 * forward * steps / seconds / 1e9, abs=6)  # give or take a step


@pytest.mark.parametrize("check", [report.check_d2l, report.check_gpu, report.check_data])
def test_what_needs_mxnet_does_not_import_it(monkeypatch, check):
    class Watch:
        def find_spec(self, name, *args):
            assert name.partition(".")[0] not in ("mxnet", "d2l")

    monkeypatch.delitem(sys.modules, "mxnet")
    monkeypatch.delitem(sys.modules, "d2l.mxnet")
    monkeypatch.delitem(sys.modules, "d2lutils.data")
    monkeypatch.setattr(sys, "meta_path", [Watch(), *sys.meta_path])
    with pytest.raises(ImportError, match="not checked: it needs MXNet, see above"):
        check()


def test_a_gpu_is_counted(monkeypatch):
    monkeypatch.setattr(mxnet.context, "num_gpus", lambda: 2)
    assert report.check_gpu() == "2 found"
