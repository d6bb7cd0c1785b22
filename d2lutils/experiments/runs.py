"""What is run: each experiment is a function that does one run, and an entry in EXPERIMENTS."""

import functools
import math
from collections import deque

import numpy
from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn

from ..data import batches, fashion_mnist, half_size
from ..densenet import densenet
from ..families import ZeroPadding, cifar_resnet
from ..lenet import lenet
from ..nets import he, normalize_once, sequential
from ..norm import GroupNorm, Noise
from ..resnet import plain_net, resnet18, small_resnet
from ..training import evaluate, fit, learning_rate, renew_statistics
from .recording import Experiment, grid

NORMS = {
    "none": None,
    "batch": nn.BatchNorm,
    "layer": lambda num_features: GroupNorm(num_features, num_groups=1),
    "group": lambda num_features: GroupNorm(num_features, num_groups=4),
    "batch and noise": lambda: sequential(nn.BatchNorm(), Noise()),
}


def norm_last(net):
    """The same layers, each normalization moved behind the activation that follows it."""
    layers = list(net)
    for i in range(len(layers) - 1):
        if isinstance(layers[i], nn.BatchNorm) and isinstance(layers[i + 1], nn.Activation):
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
    return sequential(*layers)


@functools.cache
def _images(num_train, size=32):
    """Training and test images of 32x32, 28x28 (without the border) or 16x16 pixels."""
    data = fashion_mnist(num_train)
    if size == 16:
        return [half_size(part) for part in data]
    border = (32 - size) // 2
    inside = slice(border, 32 - border)
    return [(X[:, :, inside, inside], y) for X, y in data]


def _epochs(net, train, test, epochs, **settings):
    """What `fit` measured in each epoch; after a divergence, NaN for the rest of the epochs."""
    try:
        history = fit(net, train, test, num_epochs=epochs, verbose=False, **settings)
    except FloatingPointError as error:
        history = error.history
    names = ["train_loss", "train_accuracy"] + ["test_loss", "test_accuracy"] * (test is not None)
    columns = [getattr(history, name) for name in names]
    return [
        {name: values[i] if i < len(values) else math.nan for name, values in zip(names, columns)}
        for i in range(epochs)
    ]


def _epoch_by_epoch(net, train, epochs, seed, measure, **settings):
    """As `_epochs`, with what `measure()` finds after each epoch; it too is nothing when lost."""
    rows = []
    for epoch in range(epochs):
        if not rows or math.isfinite(rows[-1]["train_loss"]):
            [row] = _epochs(net, train, None, 1, seed=[seed, epoch], **settings)
            found = measure()
            if math.isnan(row["train_loss"]):
                found = dict.fromkeys(found, math.nan)
            row |= found
        rows.append(row)
    return rows


def _hidden_weights(net):
    """The weights of the convolutions and dense layers of layers in a row, but for the last."""
    layers = [layer for layer in net if isinstance(layer, nn.Conv2D | nn.Dense)]
    return [layer.weight for layer in layers[:-1]]


def _degrees(before, after):
    """The angle between two arrays, exact for small angles too."""
    u, v = (a.asnumpy().astype("float64").ravel() for a in (before, after))
    u, v = u / numpy.linalg.norm(u), v / numpy.linalg.norm(v)
    return math.degrees(2 * math.asin(min(1.0, numpy.linalg.norm(u - v) / 2)))


# Each function is one run; the first line of its docstring says what is compared.


def learning_rates(images, epochs, seed, network, norm, lr, momentum=0.0):
    """Constant learning rates, without and with batch normalization: LeNet and a plain net."""
    if network == "LeNet":
        net, size = lenet(NORMS[norm], "relu"), 32
        net.initialize(init.Xavier())
    else:
        net, size = plain_net(20, width=8, norm=NORMS[norm]), 16
        net.initialize(he())
    train, _ = _images(images, size)
    settings = {"lr": lr, "schedule": "constant", "momentum": momentum}
    return _epochs(net, train, None, epochs, seed=seed, **settings)


def careful_start(images, epochs, seed, network, norm, lr):
    """`learning_rates` from a careful start: without BN, normalized once before training, with BN.

    All three have He initialization and centred images, of mean 0 and variance 1.
    """
    layer = NORMS["batch"] if norm == "batch" else None
    if network == "LeNet":
        net, size = lenet(layer, "relu"), 32
    else:
        net, size = plain_net(20, width=8, norm=layer), 16
    net.initialize(he())
    (X, y), _ = _images(images, size)
    X = (X - X.asnumpy().mean()) / X.asnumpy().std()
    if norm == "once":
        normalize_once(net, X[:512])
    settings = {"lr": lr, "schedule": "constant", "momentum": 0.0}
    return _epochs(net, (X, y), None, epochs, seed=seed, **settings)


def momentum(images, epochs, seed, norm, lr):
    """LeNet as in `learning_rates`, with momentum 0.9."""
    return learning_rates(images, epochs, seed, "LeNet", norm, lr, momentum=0.9)


def initial_scale(images, epochs, seed, norm, scale):
    """LeNet, the weights of its hidden layers multiplied by a number, without and with BN."""
    net = _scaled_lenet(norm, scale)
    train, _ = _images(images)
    return _epochs(net, train, None, epochs, seed=seed, lr=0.1, schedule="constant", momentum=0.0)


def _scaled_lenet(norm, scale):
    net = lenet(NORMS[norm], "relu")
    *hidden, last = net
    last.initialize(he())
    for layer in hidden:
        layer.initialize(he(scale))
    return net


def frozen_layers(images, epochs, seed, scale, hidden):
    """BN-LeNet as in `initial_scale`, the weights of its hidden layers trained, or left as drawn.

    gamma, beta and the last layer learn either way. degrees: how far the weights of a hidden layer
    point away from their start after the epoch, the mean of the four layers.
    """
    net = _scaled_lenet("batch", scale)
    train, _ = _images(images)
    net(train[0][:2])  # the weights exist from here on
    weights = _hidden_weights(net)
    start = [w.data().copy() for w in weights]
    for w in weights:
        w.grad_req = "null" if hidden == "frozen" else "write"

    def measure():
        turned = [_degrees(before, w.data()) for before, w in zip(start, weights)]
        return {"degrees": float(numpy.mean(turned))}

    settings = {"lr": 0.1, "schedule": "constant", "momentum": 0.0}
    return _epoch_by_epoch(net, train, epochs, seed, measure, **settings)


def batch_size(images, epochs, seed, norm, batch_size):
    """A plain net of 8 layers at batch sizes from 2 to 256, four kinds of normalization."""
    net = plain_net(8, width=8, norm=NORMS[norm])
    net.initialize(he())
    train, test = _images(images, 16)
    lr = 0.1 * batch_size / 128
    return _epochs(net, train, test, epochs, seed=seed, lr=lr, batch_size=batch_size)


def placement(images, epochs, seed, place):
    """BN-LeNet with the normalization before and after the activation."""
    net = lenet(nn.BatchNorm, "relu")
    net = norm_last(net) if place == "after" else net
    net.initialize(init.Xavier())
    return _epochs(net, *_images(images), epochs, seed=seed, lr=0.3, momentum=0.0)


def depth(images, epochs, seed, depth, shortcut):
    """Plain and residual nets of 8 to 44 layers on 16x16 images."""
    net = small_resnet(depth, width=8, shortcut=shortcut)
    net.initialize(init.Xavier())
    return _epochs(net, *_images(images, 16), epochs, seed=seed, lr=0.1, schedule="constant")


def families(images, epochs, seed, network, version, lr):
    """Residual nets of both versions on 16x16 images, with 20 and 56 layers and with bottlenecks."""
    depth, block = network.split(" layers, ")
    net = cifar_resnet(int(depth), version, width=8, bottleneck=block == "bottleneck")
    net.initialize(he())
    return _epochs(net, *_images(images, 16), epochs, seed=seed, lr=lr)


def noise(images, epochs, seed, norm, lr):
    """A plain net of 20 layers: without normalization, with it, and with noise after it."""
    return learning_rates(images, epochs, seed, "plain-20", norm, lr)


def noise_controls(images, epochs, seed, norm, lr):
    """The net of `noise`, measured after each epoch with its noise on and off; noise without BN.

    Both are accuracies on 2,560 training images, in batches of 250 with their own statistics.
    """
    quiet = plain_net(20, width=8, norm=NORMS["batch"] if "batch" in norm else None)
    quiet.initialize(he())
    net = _noisy(quiet) if "noise" in norm else quiet
    train, _ = _images(images, 16)
    sample = tuple(part[:2560] for part in train)

    def measure():
        pair = {"noise_on": net, "noise_off": quiet}
        return {name: _accuracy_by_batch(block, sample) for name, block in pair.items()}

    settings = {"lr": lr, "schedule": "constant", "momentum": 0.0}
    return _epoch_by_epoch(net, train, epochs, seed, measure, **settings)


def _noisy(net):
    """The same layers, with noise in front of each activation."""
    layers = []
    for layer in net:
        layers += [Noise(), layer] if isinstance(layer, nn.Activation) else [layer]
    return sequential(*layers)


def effective_rate(images, epochs, seed, decay):
    """BN-LeNet with weight decay on its hidden weights alone: their length, and how they turn.

    length: of a layer's weights after the epoch, as a multiple of their start, the geometric mean of
    the four hidden layers. degrees: by which a step turns a layer, root mean square over the layers
    and the steps of the epoch.
    """
    net = lenet(NORMS["batch"], "relu")
    net.initialize(he())
    train, _ = _images(images)
    net(train[0][:2])  # the weights exist from here on
    net.hybridize()
    weights = _hidden_weights(net)
    for p in net.collect_params().values():
        p.wd_mult = float(any(p is w for w in weights))
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.3, "wd": decay})
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    start, rows = [w.data().copy() for w in weights], []
    for epoch in range(epochs):
        losses, correct, squares = [], [], []
        for X, y in batches(train, 32, [seed, epoch]):
            before = [w.data().copy() for w in weights]
            with autograd.record():
                scores = net(X)
                loss = loss_function(scores, y)
            loss.backward()
            trainer.step(len(y))
            losses += loss.asnumpy().tolist()
            correct += (scores.argmax(axis=1) == y).asnumpy().tolist()
            squares += [_degrees(old, w.data()) ** 2 for old, w in zip(before, weights)]
        logs = [numpy.log(_norm(w.data()) / _norm(old)) for old, w in zip(start, weights)]
        row = {"train_loss": numpy.mean(losses), "train_accuracy": numpy.mean(correct)}
        row |= {"length": numpy.exp(numpy.mean(logs)), "degrees": numpy.mean(squares) ** 0.5}
        rows.append({name: float(value) for name, value in row.items()})
    return rows


def _norm(array):
    return numpy.linalg.norm(array.asnumpy().astype("float64"))


def ghost_batches(images, epochs, seed, size):
    """A plain net of 8 layers, each batch of 256 normalized in parts of 16 to 256 images.

    All take the same steps at the same rates, one cycle with momentum 0.9. Measured after each epoch
    in prediction mode, with running statistics made anew from all training images, on these and on
    5,000 test images.
    """
    net = plain_net(8, width=8, norm=NORMS["batch"])
    net.initialize(he())
    net.hybridize()
    train, test = _images(images, 16)
    test = tuple(part[:5000] for part in test)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9})
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    rows, steps_per_epoch = [], max(1, images // 256)
    for epoch in range(epochs):
        for step, (X, y) in enumerate(batches(train, 256, [seed, epoch], drop_last=True), start=1):
            done = (epoch + step / steps_per_epoch) / epochs
            trainer.set_learning_rate(learning_rate("one-cycle", 0.2, done))
            with autograd.record():  # only a normalization connects the images of a part
                parts = [slice(i, i + size) for i in range(0, len(y), size)]
                losses = [loss_function(net(X[part]), y[part]) for part in parts]
            autograd.backward(losses)
            trainer.step(len(y))
        renew_statistics(net, train)
        (train_loss, train_accuracy), (test_loss, test_accuracy) = (
            evaluate(net, data) for data in (train, test)
        )
        names = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
        rows.append(dict(zip(names, (train_loss, train_accuracy, test_loss, test_accuracy))))
    return rows


def _held_out(images):
    """16x16 images, mean 0 and variance 1: four fifths for training, a fifth for choosing, the test."""
    (X, y), (X_test, y_test) = _images(images, 16)
    mean, std = X.asnumpy().mean(), X.asnumpy().std()
    X, first = (X - mean) / std, 4 * len(y) // 5
    return (X[:first], y[:first]), (X[first:], y[first:]), ((X_test - mean) / std, y_test)


def batch_and_rate(images, epochs, seed, norm, batch_size, lr):
    """A plain net of 8 layers at batch sizes 2, 8 and 64, each at six learning rates.

    Centred images, one cycle, momentum 0.9. A fifth of the training images is held out for
    choosing the rate (val_accuracy). renewed_accuracy: with running statistics recalibrated on the
    training images.
    """
    net = plain_net(8, width=8, norm=NORMS[norm])
    net.initialize(he())
    train, val, test = _held_out(images)
    settings = {"seed": seed, "lr": lr, "batch_size": batch_size}
    rows = _epochs(net, train, val, epochs, **settings)
    for row in rows:  # measured once, after the last epoch
        row["val_accuracy"] = row.pop("test_accuracy")
        del row["test_loss"]
        row |= {"test_accuracy": math.nan, "renewed_accuracy": math.nan}
    if math.isfinite(rows[-1]["train_loss"]):
        rows[-1]["test_accuracy"] = evaluate(net, test)[1]
        if norm == "batch":
            renew_statistics(net, train, batch_size=64)
        rows[-1]["renewed_accuracy"] = evaluate(net, test)[1]
    return rows


def large_batches(images, epochs, seed, batch_size, warm_up, lr):
    """A residual net of 8 layers at batch sizes 32 to 2,048, with and without warm-up.

    All see the same images equally often, so a batch 64 times as large takes 64 times fewer steps.
    Centred images, momentum 0.9, a rate that falls like a cosine; with warm-up ("one-cycle") it
    rises during the first quarter of the steps. A fifth of the training images is held out for
    choosing the rate (val_accuracy). Both accuracies are measured once, after the last epoch, with
    running statistics recalibrated on the training images: few steps do not bring them up to date.
    """
    net = small_resnet(8, width=8)
    net.initialize(he())
    train, val, test = _held_out(images)
    settings = {"seed": seed, "lr": lr, "batch_size": batch_size}
    schedule = "one-cycle" if warm_up else "cosine"
    rows = _epochs(net, train, None, epochs, schedule=schedule, **settings)
    for row in rows:
        row |= {"val_accuracy": math.nan, "test_accuracy": math.nan}
    if math.isfinite(rows[-1]["train_loss"]):
        renew_statistics(net, train, batch_size=min(128, len(train[1])))
        names = {"val_accuracy": val, "test_accuracy": test}
        rows[-1] |= {name: evaluate(net, data)[1] for name, data in names.items()}
    return rows


class UnnormalizedBlock(nn.HybridBlock):
    """A residual block without normalization: two convolutions with biases, and shortcut A.

    (N, C, H, W) -> (N, num_channels, H / strides, W / strides).
    """

    def __init__(self, num_channels, strides=1):
        super().__init__()
        self.body = sequential(
            nn.Conv2D(num_channels, 3, strides, padding=1),
            nn.Activation("relu"),
            nn.Conv2D(num_channels, 3, padding=1),
        )
        self.shortcut = ZeroPadding(times=2, strides=2) if strides == 2 else None

    def hybrid_forward(self, F, X):
        return F.npx.relu(self.body(X) + (self.shortcut(X) if self.shortcut else X))


def unnormalized_resnet(depth, width):
    """`cifar_resnet(depth, width=width)` without normalization, and with biases instead."""
    n = (depth - 2) // 6
    net = sequential(nn.Conv2D(width, 3, padding=1), nn.Activation("relu"))
    for i in range(3 * n):
        strides = 2 if i in (n, 2 * n) else 1  # half the size, twice the channels
        net.add(UnnormalizedBlock(width * 2 ** (i // n), strides))
    net.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    return net


def start_at_zero(net):
    """Change He initialization as Fixup does, in an initialized `unnormalized_resnet`.

    The last convolution of each block and the last layer become zero. The first convolution of each
    block is divided by the square root of the number of blocks. Call the net on an input first.
    Source: Zhang et al. 2019, section 3, rules 1 and 2, for blocks of two layers.
    """
    blocks = [layer for layer in net if isinstance(layer, UnnormalizedBlock)]
    for block in blocks:
        first, last = block.body[0], block.body[-1]
        first.weight.set_data(first.weight.data() / len(blocks) ** 0.5)
        last.weight.set_data(np.zeros(last.weight.shape))
    net[-1].weight.set_data(np.zeros(net[-1].weight.shape))


def clip_adaptively(weight, gradient, limit, eps=1e-3):
    """Shorten the gradient of each unit to at most `limit` times the length of its weights.

    weight, gradient: (units, ...). Weights shorter than eps count as having length eps.
    Source: Brock et al. 2021, section 4.
    """
    axes = tuple(range(1, weight.ndim))
    most = limit * np.maximum(np.sqrt(np.square(weight).sum(axis=axes, keepdims=True)), eps)
    length = np.sqrt(np.square(gradient).sum(axis=axes, keepdims=True))
    return gradient * np.minimum(1, most / np.maximum(length, 1e-6))


def without_norm(images, epochs, seed, depth, kind, lr):
    """Residual nets of 20 and 44 layers: BN, He's start without or with clipping, Fixup's start.

    Centred images, one cycle, momentum 0.9, batches of 32. A fifth of the training images is held
    out for choosing the rate (val_accuracy). With a limit, the gradients of all convolutions are
    clipped adaptively.
    """
    train, val, test = _held_out(images)
    net = cifar_resnet(depth, width=8) if kind == "batch" else unnormalized_resnet(depth, 8)
    net.initialize(he())
    net(train[0][:2])  # the weights exist from here on
    if "fixup" in kind:
        start_at_zero(net)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9})
    convolutions = [p for p in net.collect_params().values() if len(p.shape) == 4]
    _, clipping, limit = kind.partition(", limit ")
    clipped = convolutions if clipping else []
    loss_function, rows = gluon.loss.SoftmaxCrossEntropyLoss(), []
    steps_per_epoch = max(1, len(train[1]) // 32)
    for epoch in range(epochs):
        losses = []
        for step, (X, y) in enumerate(batches(train, 32, [seed, epoch], drop_last=True), start=1):
            done = (epoch + step / steps_per_epoch) / epochs
            trainer.set_learning_rate(learning_rate("one-cycle", lr, done))
            with autograd.record():
                loss = loss_function(net(X), y).mean()
            loss.backward()
            for p in clipped:
                p.grad()[:] = clip_adaptively(p.data(), p.grad(), float(limit))
            trainer.step(1)  # the loss is a mean already
            losses.append(loss.item())
        row = {"train_loss": float(numpy.mean(losses))}
        try:
            row |= {"val_accuracy": evaluate(net, val)[1], "test_accuracy": evaluate(net, test)[1]}
        except FloatingPointError:
            row["train_loss"] = math.nan
        if not math.isfinite(row["train_loss"]):
            lost = dict.fromkeys(["train_loss", "val_accuracy", "test_accuracy"], math.nan)
            return rows + [lost] * (epochs - epoch)
        rows.append(row)
    return rows


def networks(images, epochs, seed, network, recipe):
    """The four networks with the course's recipe and with the book's.

    Course: ReLU, He initialization, one cycle, momentum 0.9, batches of 128; the rates were
    chosen by the training loss. Book: its activations and constant rates, Xavier, batches of 256.
    """
    norm, rates = {
        "LeNet": (None, {"course": 0.1, "book": 0.9}),
        "BN-LeNet": (nn.BatchNorm, {"course": 0.2, "book": 1.0}),
        "ResNet-18": (None, {"course": 0.03, "book": 0.05}),
        "DenseNet": (None, {"course": 0.1, "book": 0.1}),
    }[network]
    activation = "relu" if recipe == "course" else "sigmoid"
    nets = {"ResNet-18": resnet18, "DenseNet": densenet}
    net = nets[network]() if network in nets else lenet(norm, activation)
    settings = {"lr": rates[recipe]}
    if recipe == "book":
        settings |= {"schedule": "constant", "momentum": 0.0, "batch_size": 256}
    net.initialize(he() if recipe == "course" else init.Xavier())
    return _epochs(net, *_images(images), epochs, seed=seed, **settings)


def swing(images, epochs, seed, schedule, lr):
    """The book's BN-LeNet with its own settings: test accuracy after each epoch, taken five ways.

    With the running statistics on 10,000 and on 1,000 test images; with each test batch's own
    statistics; with running statistics made anew; with the mean of the last five epochs' weights.
    The cosine moves from epoch to epoch, not from step to step.
    """
    train, test = _images(images, 28)
    net, averaged = lenet(nn.BatchNorm), lenet(nn.BatchNorm)
    for block in (net, averaged):
        block.initialize(init.Xavier())
        block(train[0][:2])  # the weights exist from here on
    weights, rows = deque(maxlen=5), []
    for epoch in range(epochs):
        rate = learning_rate(schedule, lr, (epoch + 0.5) / epochs)
        settings = {"lr": rate, "schedule": "constant", "momentum": 0.0, "batch_size": 256}
        row = _epochs(net, train, test, 1, seed=[seed, epoch], **settings)[0]
        if math.isnan(row["train_loss"]):  # it diverged, and nothing more can be measured
            return rows + [row] * (epochs - epoch)
        row["small_test_accuracy"] = evaluate(net, tuple(part[:1000] for part in test))[1]
        row["batch_statistics"] = _accuracy_by_batch(net, test)
        parameters = net.collect_params().values()
        kept = [p.data().copy() for p in parameters]
        weights.append(kept)
        sample = tuple(part[:10_240] for part in train)
        renew_statistics(net, sample)
        row["recalibrated"] = evaluate(net, test)[1]
        for p, value in zip(parameters, kept):
            p.set_data(value)
        for p, values in zip(averaged.collect_params().values(), zip(*weights)):
            p.set_data(sum(values) / len(values))
        renew_statistics(averaged, sample)
        row["averaged"] = evaluate(averaged, test)[1]
        rows.append(row)
    return rows


def swing_rates(images, epochs, seed, lr):
    """The network of `swing` at smaller constant rates, measured in the same five ways."""
    return swing(images, epochs, seed, "constant", lr)


def _accuracy_by_batch(net, data):
    """Accuracy when each batch of 250 is normalized by its own statistics."""
    device = next(iter(net.collect_params().values())).list_ctx()[0]
    correct = 0.0
    for X, y in batches(data, 250):
        with autograd.train_mode():  # no backward pass, so the running statistics stay
            scores = net(X.as_in_ctx(device))
        correct = correct + (scores.argmax(axis=1) == y.as_in_ctx(device)).sum()
    return float(correct) / len(data[1])


RATES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
BOTH = ["none", "batch"]
LARGE_RATES = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12]
EXPERIMENTS = {
    "learning_rates": Experiment(
        learning_rates, grid(network=["LeNet", "plain-20"], norm=BOTH, lr=RATES)
    ),
    "careful_start": Experiment(
        careful_start,
        grid(network=["LeNet", "plain-20"], norm=["none", "once", "batch"], lr=RATES),
    ),
    "momentum": Experiment(momentum, grid(norm=BOTH, lr=RATES[:-1])),
    "initial_scale": Experiment(
        initial_scale, grid(norm=BOTH, scale=[0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
    ),
    "frozen_layers": Experiment(
        frozen_layers, grid(scale=[1.0, 30.0], hidden=["trained", "frozen"])
    ),
    "batch_size": Experiment(
        batch_size,
        grid(norm=["none", "batch", "layer", "group"], batch_size=[2, 8, 32, 256]),
        epochs=2,
    ),
    "placement": Experiment(placement, grid(place=["before", "after"])),
    "depth": Experiment(depth, grid(depth=[8, 20, 32, 44], shortcut=[False, True])),
    "families": Experiment(
        families,
        grid(
            network=["20 layers, basic", "56 layers, basic", "56 layers, bottleneck"],
            version=[1, 2],
            lr=[0.03, 0.1, 0.3, 1.0],
        ),
    ),
    "noise": Experiment(noise, grid(norm=[*BOTH, "batch and noise"], lr=[0.01, 0.1, 1.0])),
    "noise_controls": Experiment(
        noise_controls,
        grid(norm=["batch", "batch and noise"], lr=[0.01, 0.1, 1.0])
        + grid(norm=["noise"], lr=[0.01]),
    ),
    "effective_rate": Experiment(
        effective_rate, grid(decay=[0.0, 0.001, 0.01]), images=5120, epochs=10
    ),
    "ghost_batches": Experiment(ghost_batches, grid(size=[16, 64, 256]), images=2560, epochs=30),
    "batch_and_rate": Experiment(
        batch_and_rate,
        grid(
            norm=["none", "batch", "layer", "group"],
            batch_size=[2, 8, 64],
            lr=[0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
        ),
        images=5120,
        epochs=2,
    ),
    "large_batches": Experiment(
        large_batches,
        grid(batch_size=[32], warm_up=[False, True], lr=LARGE_RATES[:6])
        + grid(batch_size=[128], warm_up=[False, True], lr=LARGE_RATES[1:8])
        + grid(batch_size=[512, 2048], warm_up=[False, True], lr=LARGE_RATES[2:10])
        + grid(batch_size=[32], warm_up=[False, True], lr=LARGE_RATES[6:7])
        + grid(batch_size=[128], warm_up=[False, True], lr=LARGE_RATES[8:9])
        + grid(batch_size=[2048], warm_up=[False, True], lr=LARGE_RATES[10:]),
        epochs=6,
    ),
    "without_norm": Experiment(
        without_norm,
        grid(depth=[20, 44], kind=["batch", "fixup"], lr=[0.01, 0.03, 0.1, 0.3, 1.0])
        + grid(
            depth=[20, 44],
            kind=["he", "he, limit 0.1", "he, limit 0.01"],
            lr=[0.001, 0.003, 0.01, 0.03, 0.1],
        )
        + grid(depth=[44], kind=["he", "he, limit 0.1", "he, limit 0.01"], lr=[0.0001, 0.0003]),
        images=5120,
    ),
    "networks": Experiment(
        networks,
        grid(network=["LeNet", "BN-LeNet", "ResNet-18", "DenseNet"], recipe=["course", "book"]),
        images=60_000,
        epochs=1,
    ),
    "swing": Experiment(
        swing, grid(schedule=["constant", "cosine"], lr=[1.0]), images=60_000, epochs=10
    ),
    "swing_rates": Experiment(swing_rates, grid(lr=[0.1, 0.01]), images=60_000, epochs=10),
}
