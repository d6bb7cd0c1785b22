"""Threads, the import of MXNet, seeds, and the two modes.

Nothing here imports a package at the top, and all of it is Python 3.6: the environment report
(`python -m d2lutils`) uses it where nothing else runs.
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
SPIN_COUNT = (
    "10000"  # rounds an idle OpenMP thread waits awake; long waits starve whoever shares the cores
)
_COUNT = r"\s*\+?0*[1-9]\d{0,3}\s*"
SETTINGS = {  # with any other value MXNet ends Python, hangs, or prints on stderr
    "OMP_NUM_THREADS": (f"{_COUNT}(,{_COUNT})*", "a number from 1 to 9999, or a list of such"),
    "GOMP_SPINCOUNT": (r"\s*([+-]?\d{1,9}\s*[kmgt]?|infinite|infinity)\s*", "a number of rounds"),
    "MXNET_CPU_WORKER_NTHREADS": (f"({_COUNT})?", "a number from 1 to 9999"),
}


def physical_cores():
    """How many physical cores this process may use, at least 1.

    Two hyper-threads of a core count as one. On Linux the process's CPU affinity and a
    container's CPU quota are heeded.
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
    """CPUs that the container's control group grants, rounded down; infinite where there is no limit."""
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
    """How many processors other programs keep busy, a fraction included; 0 where nobody can tell.

    That is the load average of the last minute. It also remembers programs that have ended, such as
    this notebook before its restart. So where it shows any, Linux is asked how many processors work
    while this process sleeps for a moment, and the smaller number counts.
    """
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has none, and others may fail to find out
        return 0.0
    return min(load, _busy_now()) if round(load) else load


def _busy_now():
    """How many processors work while this process sleeps; infinite where the system does not say."""
    try:
        idle, start = _idle_seconds(), time.perf_counter()
        time.sleep(0.2)
        idle, seconds = _idle_seconds() - idle, time.perf_counter() - start
    except OSError:
        return math.inf
    return max(0.0, os.cpu_count() - idle / seconds)


def _idle_seconds():
    """How long the processors have been idle or waiting for a disk, since the start, all added up."""
    idle, waiting = (PROC / "stat").read_text().split()[4:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")


def set_threads():
    """Choose MXNet's threads, by the environment variables it reads when imported.

    OMP_NUM_THREADS: as many as there are physical cores, but no more than processors that other
    programs leave free, and at least one. (A hyper-thread is a processor of its own here. MXNet
    would take half of all processors.) Two threads where one processor is free wait for each other
    and are slower than one. GOMP_SPINCOUNT: short.

    What is set already stays; of a list, which MXNet cannot read, the first number. Returns a
    sentence on the choice. Raises ValueError for a setting that MXNet cannot live with. Warns when
    MXNet was imported before and has made its choice.
    """
    for name, (pattern, meaning) in SETTINGS.items():
        value = os.environ.get(name)
        if value is not None and not re.fullmatch(pattern, value, re.ASCII | re.IGNORECASE):
            raise ValueError(f"{name} must be {meaning}, not {value!r}: set it anew, or unset it.")
    chosen = os.environ.get("OMP_NUM_THREADS")
    if chosen is None and "mxnet" in sys.modules:
        message = (
            "MXNet was imported before d2lutils and runs on half of the processors: "
            "restart, and put `import d2lutils` first."
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
    """Import MXNet, switch its NumPy interface on, and return it.

    The switch (`npx.set_np()`) holds for the calling thread only: call this again in another.
    Raises ImportError, one sentence with the cure, where MXNet cannot be imported: another Python
    than 3.11, NumPy 1.24 or newer, a missing package or system library, a damaged library.
    """
    check_python()
    check_numpy()
    try:
        with warnings.catch_warnings():  # what is deprecated in MXNet is not the course's to mend
            warnings.simplefilter("ignore", DeprecationWarning)
            import mxnet
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}: {INSTALL}.") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: MXNet's own library is not there
        reason = str(error).partition("\n")[0]
        ours = "mxnet|openblas|gfortran"  # these come with MXNet
        library = re.match(rf"lib(?!{ours})\S+(?=: cannot open)", reason)
        if library is None:
            raise ImportError(
                f"MXNet's library is damaged, or of another system ({reason}): {REPAIR}."
            ) from None
        raise ImportError(
            f"MXNet needs the system library {library[0]}, which is missing: install it "
            "(Debian, Ubuntu: apt install libgomp1 libquadmath0)."
        ) from None
    mxnet.npx.set_np()
    return mxnet


INSTALL = "run the course from its own environment, which `make lab` lays"
REPAIR = "lay the environment anew with `sh tools/venv.sh`"


def check_python():
    """The version of Python; raises ImportError when it is not 3.11, the one the course is made for."""
    found = platform.python_version()
    if sys.version_info[:2] != (3, 11):  # MXNet needs distutils, which is gone in 3.12
        raise ImportError(
            f"This is Python {found}, and the course runs on 3.11 only: "
            "use Python 3.11 (`make lab` finds or fetches one)."
        )
    return found


def check_numpy():
    """The version of NumPy; raises ImportError when it is missing, or too new for MXNet."""
    try:
        import numpy
    except ImportError as error:
        raise ImportError(f"{error}: {INSTALL}.") from None
    if tuple(int(part) for part in numpy.__version__.split(".")[:2]) >= (1, 24):
        raise ImportError(
            f"MXNet 1.9.1 needs numpy.bool, which NumPy {numpy.__version__} has no more: "
            f"install numpy<1.24, or {INSTALL}."
        )
    return numpy.__version__


def seed_everything(seed):
    """Seed the global generators of MXNet, NumPy and Python; seed: an integer from 0 to 2**32 - 1.

    Raises ValueError for any other number.
    """
    import mxnet
    import numpy

    numpy.random.seed(seed)  # refuses what is out of range, before anything else is seeded
    random.seed(seed)
    mxnet.random.seed(seed)


def quick_or_full(quick, full):
    """`full` when the environment has COURSE_FULL=1, `quick` when it has 0 or nothing.

    Raises ValueError when COURSE_FULL is anything else.
    """
    choice = os.environ.get("COURSE_FULL", "")
    if choice not in ("", "0", "1"):
        raise ValueError(
            f"COURSE_FULL must be 1 (all images), 0 or unset (a subset), not {choice!r}."
        )
    return full if choice == "1" else quick
