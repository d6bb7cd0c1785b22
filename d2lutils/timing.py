"""Measure how long work takes in MXNet: compare two ways, and ask the profiler, as notebook 07 does.

Work is a function of no arguments.
"""

import json
import statistics
import tempfile
import time

from mxnet import npx, profiler


def seconds(work):
    """How long one call of `work` takes, until its last result is there."""
    start = time.perf_counter()
    work()
    npx.waitall()
    return time.perf_counter() - start


def median_ratio(work, other, rounds=7):
    """How many times as long `work` takes as `other`: the median over rounds in which they alternate.

    Both run once before anything is measured.
    """
    seconds(work), seconds(other)  # the first call compiles and allocates memory
    return statistics.median(seconds(work) / seconds(other) for _ in range(rounds))


def milliseconds_by_operator(work, steps=3):
    """Milliseconds that each operator takes in one call of `work`, by MXNet's profiler.

    The mean of `steps` calls, after one that is not measured.
    """
    seconds(work)  # the first call compiles and allocates memory
    with tempfile.TemporaryDirectory() as folder:
        profiler.set_config(
            profile_all=False,
            profile_imperative=True,
            profile_symbolic=True,
            aggregate_stats=True,
            continuous_dump=False,
            filename=folder + "/profile.json",
        )
        profiler.set_state("run")
        for _ in range(steps):
            seconds(work)
        profiler.set_state("stop")
        table = json.loads(profiler.dumps(reset=True, format="json"))
    return {name: row["Total"] / steps for name, row in table["Time"]["operator"].items()}
