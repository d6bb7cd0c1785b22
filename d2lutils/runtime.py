"""Threads, the import of MXNet, seeds, the two modes, and the environment report.

Nothing here imports a package at the top: the report must run where MXNet cannot.
"""

import importlib
import math
import os
import platform
import random
import re
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

SYS = Path("/sys")
SPIN_COUNT = (
    "10000"  # rounds an idle OpenMP thread waits awake; long waits starve whoever shares the cores
)


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


def set_threads():
    """Let MXNet use all physical cores, by the environment variables it reads when imported.

    OMP_NUM_THREADS: MXNet's own choice is half of the processors it sees. GOMP_SPINCOUNT: short.
    What is set already stays. Warns when MXNet was imported before and has made its choice.
    """
    if "mxnet" in sys.modules and "OMP_NUM_THREADS" not in os.environ:
        warnings.warn(
            "MXNet was imported before d2lutils and runs on half of the processors: "
            "restart, and put `import d2lutils` first.",
            stacklevel=3,
        )
        return
    os.environ.setdefault("OMP_NUM_THREADS", str(physical_cores()))
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def import_mxnet():
    """Import MXNet, switch its NumPy interface on, and return it.

    The switch (`npx.set_np()`) holds for the calling thread only: call this again in another.
    Raises ImportError, one sentence with the cure, where MXNet cannot be imported: Python 3.12 or
    newer, NumPy 1.24 or newer, a missing package or system library.
    """
    _check_python()
    _check_numpy()
    try:
        import mxnet
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}: {_INSTALL}.") from None
    except OSError as error:
        library = re.search(r"lib\w+\.so[.\d]*", str(error))
        if library is None:
            raise ImportError(f"MXNet's library does not load ({error}): {_INSTALL}.") from None
        raise ImportError(
            f"MXNet needs the system library {library[0]}, which is missing: install it "
            "(Debian, Ubuntu: apt install libgomp1 libquadmath0)."
        ) from None
    mxnet.npx.set_np()
    return mxnet


_INSTALL = "run the course from its own environment, which `make lab` lays"


def _check_python():
    if sys.version_info >= (3, 12):
        raise ImportError(
            f"MXNet 1.9.1 needs distutils, which Python {platform.python_version()} has no more: "
            "use Python 3.11 (`make lab` finds or fetches one)."
        )
    return platform.python_version()


def _check_numpy():
    try:
        import numpy
    except ImportError as error:
        raise ImportError(f"{error}: {_INSTALL}.") from None
    if tuple(int(part) for part in numpy.__version__.split(".")[:2]) >= (1, 24):
        raise ImportError(
            f"MXNet 1.9.1 needs numpy.bool, which NumPy {numpy.__version__} has no more: "
            f"install numpy<1.24, or {_INSTALL}."
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


def report():
    """Print one line for each thing the course rests on, [ok] or [!!] with the cure; takes seconds.

    Returns True when all lines are [ok]. Raises nothing: it is there for when things are broken.
    """
    set_threads()
    checks = {
        "Python": _check_python,
        "NumPy": _check_numpy,
        "MXNet": _check_mxnet,
        "d2l": _check_d2l,
        "threads": _check_threads,
        "GPU": _check_gpu,
        "data": _check_data,
        "speed": _check_speed,
    }
    everything = True
    for name, check in checks.items():
        try:
            mark, text = "ok", check()
        except Exception as error:  # whatever it is, it belongs on this line
            mark, text, everything = "!!", " ".join(str(error).split()), False
        print(f"[{mark}] {name:<8} {text}", flush=True)
    return everything


def _mxnet():
    try:
        return import_mxnet()
    except ImportError:
        raise ImportError("not checked: it needs MXNet, see above.") from None


def _check_mxnet():
    found = import_mxnet().__version__
    if found != "1.9.1":
        raise ImportError(f"{found} is here, the course is written for 1.9.1: {_INSTALL}.")
    return found


def _check_d2l():
    _mxnet()
    try:
        importlib.import_module("d2l.mxnet")
        found = version("d2l")
    except ImportError as error:
        raise ImportError(f"{error}: {_INSTALL}.") from None
    if found != "0.17.0":
        raise ImportError(f"{found} is here, the course is written for 0.17.0: {_INSTALL}.")
    return found


def _check_threads():
    threads, cores = os.environ.get("OMP_NUM_THREADS", ""), physical_cores()
    if not threads.isdigit() or int(threads) > cores:
        raise ValueError(
            f"OMP_NUM_THREADS is {threads!r}, there are {cores} physical cores: "
            "unset it, and the course sets the right number."
        )
    return f"{threads} for OpenMP, on {cores} physical cores"


def _check_gpu():
    gpus = _mxnet().context.num_gpus()
    return f"{gpus} found" if gpus else "none found, the processor does the work"


def _check_data():
    _mxnet()
    from .data import verify

    verify()
    return "Fashion-MNIST is here and its checksums are right"


def _check_speed():
    """Billions of multiplications and additions a second in a convolution, forward and backward."""
    mx = _mxnet()
    batch, channels, side = 32, 64, 28
    X = mx.np.ones((batch, channels, side, side))
    conv = mx.gluon.nn.Conv2D(channels, kernel_size=3, padding=1, in_channels=channels)
    conv.initialize()
    X.attach_grad()

    def step():
        with mx.autograd.record():
            Y = conv(X)
        Y.backward()
        mx.npx.waitall()

    step()  # the first one sets up
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < 1:
        step()
        steps += 1
    seconds = (time.perf_counter() - start) / steps
    operations = 3 * 2 * batch * channels**2 * 9 * side**2  # backward costs twice the forward
    return f"{operations / seconds / 1e9:.0f} GFLOP/s in a 3x3 convolution, forward and backward"
