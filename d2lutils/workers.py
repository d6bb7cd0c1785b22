"""Several workers that train one network: MXNet's key-value store adds up what they compute.

Each worker is a process with a copy of the network. The servers of the store add up the gradients
of all workers and give each of them the sum. `python -m d2lutils.launch` starts them all.
Source: Li et al. 2014, "Scaling Distributed Machine Learning with the Parameter Server".
"""

import atexit
import os

import mxnet as mx
from mxnet import np, npx

FIRST_KEY = 1_000_000  # the Trainer's keys are the numbers of the parameters, from 0


def connect():
    """The store that connects the workers of a job; waits until all of them have called it.

    Its `rank` is the number of this worker, from 0; `num_workers` is how many there are. Raises
    RuntimeError in a process that is no worker of a job.
    """
    if os.environ.get("DMLC_ROLE") != "worker":
        raise RuntimeError(
            "This process is not a worker of a job: start the script with "
            "`python -m d2lutils.launch --workers 2 SCRIPT`."
        )
    kvstore = mx.kv.create("dist_sync")
    atexit.register(_leave, kvstore)
    return kvstore


def _leave(kvstore):
    """Close the store before Python ends. A network keeps it open, and then MXNet aborts the process."""
    npx.waitall()
    kvstore.__del__()
    kvstore.handle = type(kvstore.handle)()  # none, for when Python deletes the object


def place(kvstore, batch_size):
    """The rank of this worker and how many workers there are: (0, 1) without a store.

    Raises ValueError if `kvstore` is not from `connect` (or of its kind), if a network was trained
    with it before, or if there are fewer examples in a batch than workers.
    """
    if kvstore is None:
        return 0, 1
    if "dist_sync" not in str(getattr(kvstore, "type", "")):
        raise ValueError(
            f"kvstore must come from d2lutils.workers.connect(), or be None, not {kvstore!r}."
        )
    if getattr(kvstore, "is_used", False):  # its keys hold that network's gradients
        raise ValueError("kvstore has trained a network: each job can call fit with it only once.")
    if batch_size < kvstore.num_workers:
        raise ValueError(
            f"batch_size, the examples of a step on all workers together, is {batch_size}: "
            f"it must be at least their number, {kvstore.num_workers}."
        )
    kvstore.is_used = True
    return kvstore.rank, kvstore.num_workers


def same_start(trainer, net, X):
    """Give every worker the weights of worker 0. X: a few examples, from which shapes are inferred.

    The Trainer would do so in its first step, but send the gradients along: a slow worker may then
    get gradients in place of weights. Here each worker has its weights before it goes on.
    """
    net(X)
    # For predictions, oneDNN lays out weights in an order of its own, which MXNet cannot send.
    net.collect_params().reset_ctx(X.ctx)
    trainer._init_kvstore()
    trainer._init_params()
    npx.waitall()


def total(kvstore, array):
    """The sum over all workers of `array`; each has one of the same shape, and gets the same sum."""
    kvstore.num_totals = getattr(kvstore, "num_totals", 0) + 1  # each sum has a key of its own
    key, summed = FIRST_KEY + kvstore.num_totals, array.copy()
    kvstore.broadcast(key, np.zeros_like(array), out=np.zeros_like(array))
    kvstore.pushpull(key, summed)  # in place; with `out`, MXNet would change the array sent, too
    return summed


def merge_statistics(net, kvstore):
    """Give all workers the same running statistics of batch normalization, merged from theirs.

    The merged mean is the mean of the workers' means. The merged variance is the mean of their
    variances plus the variance of their means. That is exact for the moments of one batch in equal
    parts. Running averages of parts differ less than the parts, so their merged variance is a
    little smaller than the running average of the whole batch's variance.
    """
    parameters = net.collect_params(".*(running|moving)_(mean|var)")
    for name in [name for name in parameters if name.endswith("_mean")]:
        mean, var = parameters[name], parameters[name.removesuffix("mean") + "var"]
        merged = total(kvstore, mean.data()) / kvstore.num_workers
        spread = var.data() + (mean.data() - merged) ** 2
        mean.set_data(merged)
        var.set_data(total(kvstore, spread) / kvstore.num_workers)
