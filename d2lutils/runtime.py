"""Threads, the import of MXNet, seeds, and quick or full training.

This module imports no package at the top and is valid Python 3.6, because the environment report
(`python -m d2lutils`) must be able to use it where nothing else works.
"""

import math
import os
import platform
import random
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")
# How long an idle OpenMP thread spins; long spinning slows other programs down.
SPIN_COUNT = "10000"
_COUNT = r"\s*\+?0*[1-9]\d{0,3}\s*"
SETTINGS = {  # with any other value MXNet crashes, hangs, or prints on stderr
    "OMP_NUM_THREADS": (f"{_COUNT}(,{_COUNT})*", "a number from 1 to 9999, or a list of them"),
    "GOMP_SPINCOUNT": (r"\s*([+-]?\d{1,9}\s*[kmgt]?|infinite|infinity)\s*", "a number of rounds"),
    "MXNET_CPU_WORKER_NTHREADS": (f"({_COUNT})?", "a number from 1 to 9999"),
}


def physical_cores():
    """The number of physical cores this process may use, at least 1.

    Two hyper-threads of a core count as one. On Linux, the CPU affinity of the process and the CPU
    quota of a container are respected.
    """
    if sys.platform == "darwin":
        return int(subprocess.check_output(["sysctl", "-n", "hw.physicalcpu"]))
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
    siblings = "devices/system/cpu/cpu{}/topology/thread_siblings_list"
    try:
        cores = len({(SYS / siblings.format(cpu)).read_text() for cpu in cpus})
    except OSError:
        cores = len(cpus)
    return max(1, min(cores, _cpu_quota()))


def _cpu_quota():
    """The container's CPU quota in CPUs, rounded down; infinite if there is no limit."""
    group = SYS / "fs/cgroup"
    try:
        if (group / "cpu.max").exists():  # version 2
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu/cpu.cfs_quota_us").read_text()
            period = (group / "cpu/cpu.cfs_period_us").read_text()
        return int(quota) // int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no control group, or "max"
        return math.inf


def busy_processors():
    """The number of processors that other programs keep busy, with fractions; 0 if it is unknown.

    This is the load average of the last minute. It still includes programs that have just ended,
    such as this notebook before a restart. So if it is not 0, we also ask Linux how many processors
    work while this process sleeps for a moment, and return the smaller number.
    """
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has no load average
        return 0.0
    return min(load, _busy_now()) if round(load) else load


def _busy_now():
    """The number of processors that work while this process sleeps; infinite if it is unknown."""
    try:
        idle, start = _idle_seconds(), time.perf_counter()
        time.sleep(0.2)
        idle, seconds = _idle_seconds() - idle, time.perf_counter() - start
    except OSError:
        return math.inf
    return max(0.0, os.cpu_count() - idle / seconds)


def _idle_seconds():
    """The time that all processors together have been idle or waiting for a disk since the start."""
    idle, waiting = (PROC / "stat").read_text().split()[4:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")


def set_threads():
    """Set the environment variables from which MXNet takes its number of threads when imported.

    OMP_NUM_THREADS becomes the number of physical cores, but at most the number of processors that
    other programs leave free, and at least one. (Here each hyper-thread counts as a processor. MXNet
    itself would take half of all processors.) Two threads on one free processor wait for each other
    and are slower than one thread. GOMP_SPINCOUNT becomes short.

    A value that is already set stays; MXNet cannot read a list, so of a list the first number stays.
    Returns a sentence about the choice. Raises ValueError for a value that MXNet cannot use. Warns
    if MXNet was imported before, because then it is too late.
    """
    for name, (pattern, meaning) in SETTINGS.items():
        value = os.environ.get(name)
        if value is not None and not re.fullmatch(pattern, value, re.ASCII | re.IGNORECASE):
            raise ValueError(f"{name} must be {meaning}, not {value!r}: change it or unset it.")
    chosen = os.environ.get("OMP_NUM_THREADS")
    if chosen is None and "mxnet" in sys.modules:
        message = (
            "MXNet was imported before d2lutils and uses half of the processors: "
            "restart Python and put `import d2lutils` first."
        )
        warnings.warn(message, stacklevel=3)
        return message
    cores = physical_cores()
    if chosen is None:
        processors, busy = os.cpu_count() or 1, busy_processors()
        threads = max(1, min(cores, processors - round(busy)))
        reason = f"; other programs keep {busy:.1f} of {processors} processors busy"
    else:
        threads, reason = int(chosen.split(",")[0]), ", as OMP_NUM_THREADS says"
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    return f"{threads} on {cores} physical cores{reason}"


def import_mxnet():
    """Import MXNet, switch on its NumPy interface, and return it.

    The NumPy interface (`npx.set_np()`) is on for the calling thread only: in another thread, call
    this again. Raises ImportError, which says how to fix it, if MXNet cannot be imported: because of
    a Python other than 3.11, NumPy 1.24 or newer, or a missing or damaged library.
    """
    check_python()
    check_numpy()
    try:
        with warnings.catch_warnings():  # deprecations inside MXNet cannot be fixed here
            warnings.simplefilter("ignore", DeprecationWarning)
            import mxnet
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}: {INSTALL}.") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: MXNet's own library is missing
        reason = str(error).partition("\n")[0]
        ours = "mxnet|openblas|gfortran"  # these come with MXNet
        library = re.match(rf"lib(?!{ours})\S+(?=: cannot open)", reason)
        if library is None:
            raise ImportError(
                f"MXNet's library is damaged or built for another system ({reason}): {REPAIR}."
            ) from None
        raise ImportError(
            f"MXNet needs the system library {library[0]}, which is missing: install it "
            "(Debian, Ubuntu: apt install libgomp1 libquadmath0)."
        ) from None
    mxnet.npx.set_np()
    return mxnet


INSTALL = "run the course in its own environment, which `make lab` sets up"
REPAIR = "set the environment up again with `sh tools/venv.sh`"


def check_python():
    """The version of Python. Raises ImportError if it is not 3.11, which the course needs."""
    found = platform.python_version()
    if sys.version_info[:2] != (3, 11):  # MXNet needs distutils, which is gone in 3.12
        raise ImportError(
            f"This is Python {found}, but the course runs only on 3.11: "
            "use Python 3.11 (`make lab` finds or fetches one)."
        )
    return found


def check_numpy():
    """The version of NumPy. Raises ImportError if it is missing or too new for MXNet."""
    try:
        import numpy
    except ImportError as error:
        raise ImportError(f"{error}: {INSTALL}.") from None
    if tuple(int(part) for part in numpy.__version__.split(".")[:2]) >= (1, 24):
        raise ImportError(
            f"MXNet 1.9.1 needs numpy.bool, which NumPy {numpy.__version__} no longer has: "
            f"install numpy<1.24, or {INSTALL}."
        )
    return numpy.__version__


def seed_everything(seed):
    """Seed the global random generators of MXNet, NumPy and Python.

    seed: an integer from 0 to 2**32 - 1; any other number raises ValueError.
    """
    import mxnet
    import numpy

    numpy.random.seed(seed)  # raises if it is out of range, before anything is seeded
    random.seed(seed)
    mxnet.random.seed(seed)


def quick_or_full(quick, full):
    """`full` if the environment variable COURSE_FULL is 1, `quick` if it is 0 or not set.

    Raises ValueError if COURSE_FULL is anything else.
    """
    choice = os.environ.get("COURSE_FULL", "")
    if choice not in ("", "0", "1"):
        raise ValueError(f"COURSE_FULL must be 1 (all images) or 0 (a subset), not {choice!r}.")
    return full if choice == "1" else quick
