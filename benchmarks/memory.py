"""The memory of DenseNet's training step: by the formula, measured, and when most is forgotten.

To go backward, a network must remember what went forward. `backward_in_parts` remembers only what
enters each part of the network, and computes its inside again when the backward pass gets there:
less memory for one more forward pass (Chen et al. 2016, arXiv:1604.06174; on DenseNet, Pleiss et
al. 2017, arXiv:1707.06990). It is a way to go backward and not a block that any loop can train,
for such a block finds no sound place in MXNet 1.9.1:

- `autograd.Function` goes backward on a thread of its own. What it starts there races with the rest
  of the pass: most gradients come out wrong unless the function waits for its own result. And it
  writes the gradients of the block's parameters late: `Trainer.step` raises (with
  `ignore_stale_grad` it hangs) unless the loop waits, too. With both waits the gradients are right.
- MXNET_BACKWARD_DO_MIRROR=1 asks MXNet to recompute, but Gluon does not heed it (issues 16754 and
  18543 of apache/mxnet, and a row of each table). MXNET_MEMORY_OPT belongs to a later version.

Linux only, for the peak is the kernel's.
"""

import ctypes
from pathlib import Path

from side_by_side import Contender, Table, seconds

STEPS = 5  # in one round


def backward_in_parts(parts, X):
    """Write the gradients of `parts[-1](...parts[0](X))` into the parameters. One part: as usual.

    On the way forward nothing is recorded. On the way back each part runs again, recorded, and goes
    backward at once: the inside of one part is in memory at a time. Two parts must not share a
    parameter, whose gradient the second would overwrite. Running statistics move once a step, for
    MXNet moves them in the backward pass.
    """
    from mxnet import autograd

    inputs, dY = [X], None
    with autograd.train_mode():
        for part in parts[:-1]:
            inputs.append(part(inputs[-1]))
    for part in reversed(parts):
        X = inputs.pop()
        if inputs:  # nobody asks for the gradient of the images
            X.attach_grad()
        with autograd.record():
            Y = part(X)
        Y.backward(dY)
        dY = X.grad


def numbers_stored(channels=64, k=32, num_convs=(4, 4, 4, 4), side=8):
    """Notebook 04's formula for one image: a list for each part, whose last entry is its output.

    Counted are the inputs of normalizations and convolutions.
    """
    parts = [[2 * channels * (4 * side**2), channels * side**2]]  # stem: conv, ReLU; pooled
    for i, n in enumerate(num_convs):
        parts.append([])
        for _ in range(n):
            parts[-1] += [channels * side**2, (channels + k) * side**2]  # ReLU; concatenation
            channels += k
        if i < len(num_convs) - 1:
            parts.append([(channels + channels // 2) * side**2])  # ReLU, 1x1 convolution
            channels, side = channels // 2, side // 2
            parts[-1].append(channels * side**2)  # pooled
    return [*parts, [channels * side**2]]  # the last ReLU


def mib_by_formula(batch_size, in_parts):
    """Everything stored; in parts: the worst sum of one part's inside and the inputs up to it."""
    parts = numbers_stored()
    worst = max(sum(p[-1] for p in parts[:i]) + sum(part) for i, part in enumerate(parts))
    return 4 * batch_size * (worst if in_parts else sum(map(sum, parts))) / 2**20


def make(in_parts, hybridize):
    """A DenseNet, the same at each call, and its parts; `hybridize`: how, or None."""
    from d2lutils import densenet, seed_everything
    from d2lutils.nets import he

    from mxnet import np

    seed_everything(0)
    net = densenet()
    net.initialize(he())
    net(np.zeros((1, 1, 32, 32)))  # the weights get their shapes and values
    parts = [net[:4], *net[4:11], net[11:]] if in_parts else [net]  # stem, blocks between, head
    for part in parts:
        if hybridize is not None:
            part.hybridize(**hybridize)
    return net, parts


def gradients_and_statistics(net, parts, X, y):
    """What one backward pass writes: gradients, and for parameters without one the new values."""
    backward_in_parts(with_loss(parts, y), X)
    parameters = net.collect_params().values()
    return [p.data() if p.grad_req == "null" else p.grad() for p in parameters]


def with_loss(parts, y):
    """The parts, the last one followed by the loss."""
    from mxnet import gluon

    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    return [*parts[:-1], lambda X: loss(parts[-1](X), y)]


def training_step(batch_size, in_parts=False, hybridize=None):
    """The function of one round: peak memory and time of a step, above what stood before any."""
    import d2lutils  # before MXNet, whose threads it sets

    from mxnet import gluon, np, npx

    X, y = d2lutils.fashion_mnist(batch_size)[0]  # the test set goes at once
    net, parts = make(in_parts, hybridize)
    if in_parts:
        ordinary = gradients_and_statistics(*make(False, None), X[:16], y[:16])
        for a, b in zip(ordinary, gradients_and_statistics(net, parts, X[:16], y[:16])):
            assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max(), "the gradients differ"
        del ordinary, a, b
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9})

    def step(X, y):
        backward_in_parts(with_loss(parts, y), X)
        trainer.step(len(y))
        npx.waitall()

    step(X[:2], y[:2])  # from here on weights, gradients and momentum stand
    ctypes.CDLL(None).malloc_trim(0)  # the C library gives back what is free
    before = status("VmRSS")
    step(X, y)

    def play():
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        time = seconds(lambda: [step(X, y) for _ in range(STEPS)])
        return {
            "peak, MiB": status("VmHWM") - before,
            "stored by the formula, MiB": mib_by_formula(batch_size, in_parts),
            "ms": 1000 * time / STEPS,
        }

    return play


def status(name):
    """VmRSS, the memory of this process now, or VmHWM, its peak; in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _contenders(batch_size):
    static = {"static_alloc": True, "static_shape": True}
    tight = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # the C library gives freed memory back at once
    rows = {
        "hybridized, static memory (as `fit`)": (False, static, {}),
        "hybridized": (False, {}, {}),
        "hybridized, mirror": (False, {}, {"MXNET_BACKWARD_DO_MIRROR": "1"}),
        "in parts, hybridized": (True, {}, {}),
        "hybridized, freed memory given back": (False, {}, tight),
        "in parts, hybridized, freed memory given back": (True, {}, tight),
        "in parts, static memory, freed memory given back": (True, static, tight),
    }
    return {
        label: Contender(training_step, (batch_size, *row), environment=environment)
        for label, (*row, environment) in rows.items()
    }


TABLES = [
    Table(
        f"Memory of DenseNet's training step, 32x32, batch {batch_size}",
        f"One round is {STEPS} steps. The peak is above what stood before the first step of this "
        "size. The formula counts what is stored for the backward pass, no gradients or workspace. "
        "In parts: the inputs of nine parts are kept, and their insides computed again.",
        _contenders(batch_size),
        rounds=3,
    )
    for batch_size in (128, 32)
]
