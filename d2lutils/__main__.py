"""The environment report: `python -m d2lutils`.

It must work even where nothing else does: on Python 3.6, without MXNet, or with an MXNet that
crashes Python.
"""

import argparse
import importlib
import os
import re
import signal
import subprocess
import sys
import time

from .runtime import (
    INSTALL,
    REPAIR,
    SETTINGS,
    check_numpy,
    check_python,
    import_mxnet,
    physical_cores,
    set_threads,
)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m d2lutils",
        description="Check everything the course needs. Each line says [ok], "
        "or [!!] and how to fix the problem. The exit status is 0 if all is well, else 1.",
    )
    parser.parse_args(arguments)
    return 0 if report() else 1


def report():
    """Print one line for each thing the course needs: [ok], or [!!] and how to fix it. Takes seconds.

    Returns True if all lines are [ok]. Raises nothing: it is made for broken environments.
    """
    checks = {
        "Python": check_python,
        "NumPy": check_numpy,
        "threads": check_threads,  # before MXNet is imported
        "MXNet": check_mxnet,
        "d2l": check_d2l,
        "GPU": check_gpu,
        "data": check_data,
        "speed": check_speed,
    }
    everything = True
    for name, check in checks.items():
        try:
            mark, text = "ok", check()
        except Exception as error:  # any error at all belongs on this line
            mark, text, everything = "!!", " ".join(str(error).split()), False
        print(f"[{mark}] {name:<8} {text}", flush=True)
    return everything


def check_threads():
    try:
        choice = set_threads()
    except ValueError:
        for name in SETTINGS:  # so that the checks of MXNet do not fail for the same reason
            os.environ.pop(name, None)
        raise
    threads, cores = int(os.environ["OMP_NUM_THREADS"]), physical_cores()
    if threads > cores:
        raise ValueError(
            f"OMP_NUM_THREADS is {threads}, but there are only {cores} physical cores: "
            "unset it, and the course chooses the right number."
        )
    return choice


def check_mxnet():
    try:
        check_python()
        check_numpy()
    except ImportError:
        raise ImportError("not checked: it needs the right Python and NumPy, see above.") from None
    _try_mxnet()
    found = import_mxnet().__version__
    if found != "1.9.1":
        raise ImportError(f"found {found}, but the course is written for 1.9.1: {INSTALL}.")
    return found


def _try_mxnet():
    """Import MXNet in another process first: a crash there does not end the report."""
    code = "try: import mxnet\nexcept Exception: pass"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    refused = re.search(r"(Invalid Parameter format|libgomp:) .*", run.stderr)
    if refused:
        raise ImportError(f"an environment variable has an invalid value, unset it ({refused[0]}).")
    if run.returncode:
        how = signal.Signals(-run.returncode).name if run.returncode < 0 else run.stderr.strip()
        raise ImportError(f"MXNet's library is damaged and crashes Python ({how}): {REPAIR}.")


def _mxnet():
    if "mxnet" not in sys.modules:
        raise ImportError("not checked: it needs MXNet, see above.")
    return sys.modules["mxnet"]


def check_d2l():
    _mxnet()
    try:
        from importlib.metadata import version  # not in Python 3.7

        importlib.import_module("d2l.mxnet")
        found = version("d2l")
    except ImportError as error:
        raise ImportError(f"{error}: {INSTALL}.") from None
    if found != "0.17.0":
        raise ImportError(f"found {found}, but the course is written for 0.17.0: {INSTALL}.")
    return found


def check_gpu():
    gpus = _mxnet().context.num_gpus()
    return f"{gpus} found" if gpus else "none found, the course runs on the CPU"


def check_data():
    _mxnet()
    from .data import verify

    verify()
    return "Fashion-MNIST is complete, and its checksums are right"


def check_speed():
    """Billions of multiplications and additions per second in a convolution, forward and backward."""
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

    step()  # the first call is slower
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < 1:
        step()
        steps += 1
    seconds = (time.perf_counter() - start) / steps
    operations = 3 * 2 * batch * channels**2 * 9 * side**2  # backward costs twice the forward
    return f"{operations / seconds / 1e9:.0f} GFLOP/s in a 3x3 convolution, forward and backward"


if __name__ == "__main__":
    sys.exit(main())
