"""Batch normalization alone, forward and backward: as taught, other ways to write it, others' layers."""

from side_by_side import Contender, Table, seconds

STEPS = 20
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}


def over_axes(X, gamma, beta):
    """As one would write it first: means over axes, broadcasting, everything twice."""
    from mxnet import np

    axes, shape = (0, 2, 3), (1, -1, 1, 1)
    mean = X.mean(axis=axes).reshape(shape)
    var = ((X - mean) ** 2).mean(axis=axes).reshape(shape)
    X_hat = (X - mean) / np.sqrt(var + 1e-5)
    return gamma.reshape(shape) * X_hat + beta.reshape(shape)


def on_rows(X, gamma, beta, square=lambda A: A**2):
    """A row for each channel, centred values reused, means and broadcasting kept."""
    from mxnet import np

    by_channel = X.swapaxes(0, 1)
    rows = by_channel.reshape(X.shape[1], -1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    var = square(centred).mean(axis=1, keepdims=True)
    Y = gamma.reshape(-1, 1) / np.sqrt(var + 1e-5) * centred + beta.reshape(-1, 1)
    return Y.reshape(by_channel.shape).swapaxes(0, 1)


def with_square(X, gamma, beta):
    """The same with `np.square`, which needs no general power function."""
    from mxnet import np

    return on_rows(X, gamma, beta, np.square)


def function(name, shape):
    """One of the functions above, gamma and beta with gradients."""
    import d2lutils

    from mxnet import np

    gamma, beta = np.ones(shape[1]), np.zeros(shape[1])
    for parameter in (gamma, beta):
        parameter.attach_grad()
    return step(lambda X: globals()[name](X, gamma, beta), shape)


def taught(shape):
    """`d2lutils.BatchNorm`, running statistics included."""
    from d2lutils import BatchNorm

    layer = BatchNorm(shape[1], len(shape))
    layer.initialize()
    return step(layer, shape)


def gluon(shape):
    """`nn.BatchNorm`, hybridized."""
    import d2lutils

    from mxnet.gluon import nn

    layer = nn.BatchNorm()
    layer.initialize()
    layer.hybridize(static_alloc=True, static_shape=True)
    return step(layer, shape)


def step(layer, shape):
    """Forward and backward of an MXNet layer, by the clock."""
    from mxnet import autograd, np, npx

    X, dY = np.random.normal(size=shape), np.random.normal(size=shape)
    X.attach_grad()

    def forward_and_backward():
        with autograd.record():
            Y = layer(X)
        Y.backward(dY)
        npx.waitall()

    return milliseconds(forward_and_backward)


def pytorch(shape):
    """`torch.nn.BatchNorm2d`."""
    import torch

    layer = torch.nn.BatchNorm2d(shape[1])
    X, dY = torch.randn(shape, requires_grad=True), torch.randn(shape)

    def forward_and_backward():
        X.grad = None
        layer(X).backward(dY)

    return milliseconds(forward_and_backward)


def copies(shape):
    """The memory's limit: reading X and writing Y, reading X and dY and writing dX is 5/2 of a copy."""
    import torch

    X = torch.randn(shape)
    Y = torch.empty_like(X)
    copy = milliseconds(lambda: Y.copy_(X))
    return lambda: {"ms": 2.5 * copy()["ms"]}


def epoch(norm):
    """`fit` on LeNet with ReLU and one of the course's two layers: all 60,000 images once."""
    from d2lutils import BatchNorm, fashion_mnist, fit, lenet
    from d2lutils.experiments import gluon_norm

    from mxnet import init

    train, _ = fashion_mnist()
    net = lenet({"taught": BatchNorm, "gluon": gluon_norm}[norm], "relu")
    net.initialize(init.MSRAPrelu(slope=0))
    return lambda: {"s": seconds(lambda: fit(net, train, num_epochs=1, lr=0.01, verbose=False))}


def milliseconds(work):
    """The function of one round: the mean of some steps, after one that sets up."""
    work()
    return lambda: {"ms": 1000 / STEPS * seconds(lambda: [work() for _ in range(STEPS)])}


TABLES = [
    *(
        Table(
            f"Batch normalization at {shape}",
            f"Forward and backward pass; one round is {STEPS} of them. The last row is not a layer, but "
            "two and a half copies of the array: what a layer has to read and write at least.",
            {
                "`d2lutils.BatchNorm`": Contender(taught, (shape,)),
                "the same, freed memory kept": Contender(taught, (shape,), environment=KEPT),
                "means over axes": Contender(function, ("over_axes", shape)),
                "rows, centred values reused": Contender(function, ("on_rows", shape)),
                "rows and `np.square`": Contender(function, ("with_square", shape)),
                "`nn.BatchNorm`": Contender(gluon, (shape,)),
                "PyTorch's `BatchNorm2d`": Contender(pytorch, (shape,), "peers"),
                "limit of the memory": Contender(copies, (shape,), "peers"),
            },
        )
        for shape in ((128, 64, 14, 14), (128, 6, 24, 24))
    ),
    Table(
        "An epoch of LeNet, 60,000 images",
        "ReLU, batch 128. One round is an epoch; the first one compiles.",
        {
            "`d2lutils.BatchNorm`": Contender(epoch, ("taught",)),
            "`nn.BatchNorm`": Contender(epoch, ("gluon",)),
        },
        rounds=3,
    ),
]
