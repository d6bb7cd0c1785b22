"""Batch normalization alone, forward and backward: as taught, other ways to write it, others' layers."""

from side_by_side import Contender, Table, seconds

STEPS = 20
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}


def with_power(X, gamma, beta, eps=1e-5):
    """As one writes it first, with `** 2`."""
    from mxnet import np

    axes = (0, 2, 3)
    mean = X.mean(axis=axes, keepdims=True)
    var = ((X - mean) ** 2).mean(axis=axes, keepdims=True)
    X_hat = (X - mean) / np.sqrt(var + eps)
    return gamma * X_hat + beta


def on_rows(X, gamma, beta, eps=1e-5):
    """A row for each channel, centred values reused."""
    from mxnet import np

    by_channel = X.swapaxes(0, 1)
    rows = by_channel.reshape(X.shape[1], -1)  # (C, m): a row is what shares a mean
    centred = rows - rows.mean(axis=1, keepdims=True)
    var = np.square(centred).mean(axis=1, keepdims=True)
    Y = gamma.reshape(-1, 1) / np.sqrt(var + eps) * centred + beta.reshape(-1, 1)
    return Y.reshape(by_channel.shape).swapaxes(0, 1)


def sums_as_products(X, gamma, beta, eps=1e-5):
    """The same, each sum along a row a product with ones."""
    from mxnet import np

    by_channel = X.swapaxes(0, 1)
    rows = by_channel.reshape(X.shape[1], -1)
    ones = np.ones_like(rows[0])  # (m,)
    centred = rows - (np.dot(rows, ones) / len(ones)).reshape(-1, 1)
    var = (np.dot(np.square(centred), ones) / len(ones)).reshape(-1, 1)
    Y = gamma.reshape(-1, 1) / np.sqrt(var + eps) * centred + beta.reshape(-1, 1)
    return Y.reshape(by_channel.shape).swapaxes(0, 1)


def outer_products(X, gamma, beta, eps=1e-5):
    """The same, and each number that stands beside a whole row an outer product with ones."""
    from mxnet import np

    by_channel = X.swapaxes(0, 1)
    rows = by_channel.reshape(X.shape[1], -1)
    ones = np.ones_like(rows[0])
    centred = rows - np.outer(np.dot(rows, ones) / len(ones), ones)
    var = np.dot(np.square(centred), ones) / len(ones)
    scale = gamma.reshape(-1) / np.sqrt(var + eps)
    Y = np.outer(scale, ones) * centred + np.outer(beta.reshape(-1), ones)
    return Y.reshape(by_channel.shape).swapaxes(0, 1)


def function(name, shape):
    """One of the functions above, gamma and beta with gradients."""
    import d2lutils

    from mxnet import np

    broadcast = (1, shape[1], 1, 1)
    gamma, beta = np.ones(broadcast), np.zeros(broadcast)
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
    from d2lutils.nets import he

    from mxnet.gluon import nn

    train, _ = fashion_mnist()
    net = lenet({"taught": BatchNorm, "gluon": nn.BatchNorm}[norm], "relu")
    net.initialize(he())
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
            "two and a half copies of the array. Copies vary too much from round to round to be a bound.",
            {
                "`d2lutils.BatchNorm`": Contender(taught, (shape,)),
                "the same, freed memory kept": Contender(taught, (shape,), environment=KEPT),
                "with `** 2` for `np.square`": Contender(function, ("with_power", shape)),
                "a row for each channel": Contender(function, ("on_rows", shape)),
                "and sums as products": Contender(function, ("sums_as_products", shape)),
                "and outer products": Contender(function, ("outer_products", shape)),
                "`nn.BatchNorm`": Contender(gluon, (shape,)),
                "PyTorch's `BatchNorm2d`": Contender(pytorch, (shape,), "peers"),
                "copies of the array": Contender(copies, (shape,), "peers"),
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
