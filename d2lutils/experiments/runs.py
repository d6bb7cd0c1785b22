"""The course's recorded experiments: `python -m d2lutils.experiments NAME` makes one anew.

Notebooks read the results with `load` and never run an experiment.
"""

import argparse
import functools
import math
import signal
from collections import deque
from pathlib import Path

from d2lutils.runtime import import_mxnet, set_threads

if __name__ == "__main__":  # `python -m` has imported the package without MXNet
    set_threads()
    import_mxnet()

from mxnet import autograd, init, np, npx
from mxnet.gluon import nn

from .data import batches, fashion_mnist
from .densenet import densenet
from .lenet import lenet
from .recording import Experiment, grid, read, record
from .resnet import plain_net, resnet18, small_resnet
from .training import evaluate, fit, learning_rate, renew_statistics

FOLDER = Path(__file__).resolve().parent.parent / "data" / "results"


# What the experiments put together.


def gluon_norm(num_features, num_dims):
    return nn.BatchNorm()


class GroupNorm(nn.Block):
    """Normalize the channels of each image in groups, for (N, C, H, W); one group: layer norm.

    Both halves are done by MXNet's fast batch normalization: the first takes each group of each
    image for a channel, the second is frozen at mean 0 and variance 1, and applies gamma and beta.
    Source: Wu & He 2018, section 3. (Gluon's own has one gamma a group, and no NumPy interface.)
    """

    def __init__(self, num_channels, num_groups, eps=1e-5):
        super().__init__()
        self.num_groups, self.eps = num_groups, eps
        self.gamma = self.params.get("gamma", shape=(num_channels,), init="ones")
        self.beta = self.params.get("beta", shape=(num_channels,), init="zeros")

    def forward(self, X):
        rows = X.shape[0] * self.num_groups
        zero, one = np.zeros(rows, ctx=X.ctx), np.ones(rows, ctx=X.ctx)
        with autograd.train_mode():  # always by its own statistics
            Z = X.reshape(1, rows, -1)
            Y = npx.batch_norm(Z, one, zero, zero.copy(), one.copy(), eps=self.eps)
        channels = X.shape[1]
        zero, one = np.zeros(channels, ctx=X.ctx), np.ones(channels, ctx=X.ctx)
        affine = {"eps": 0, "fix_gamma": False, "use_global_stats": True}
        gamma, beta = self.gamma.data(X.ctx), self.beta.data(X.ctx)
        return npx.batch_norm(Y.reshape(X.shape), gamma, beta, zero, one, **affine)


class Noise(nn.Block):
    """While training, a random scale and shift for each image and channel, drawn anew each time.

    Around means that change from step to step, so no layer sees the same distribution twice.
    Source: Santurkar et al. 2018, section 2.1 and its appendix on noise.
    """

    def forward(self, X):  # (N, C, H, W)
        if not autograd.is_training():
            return X
        channels = (1, X.shape[1], 1, 1)
        shift, scale = np.random.uniform(-0.5, 0.5, channels), np.random.uniform(1, 1.25, channels)
        images = (*X.shape[:2], 1, 1)
        shift = shift + np.random.uniform(-0.1, 0.1, images)
        scale = scale + 0.1 * np.random.normal(0, 1, images)
        return X * scale.as_in_ctx(X.ctx) + shift.as_in_ctx(X.ctx)


def noisy_norm(num_features, num_dims):
    net = nn.Sequential()
    net.add(nn.BatchNorm(), Noise())
    return net


NORMS = {
    "none": None,
    "batch": gluon_norm,
    "layer": lambda num_features, num_dims: GroupNorm(num_features, num_groups=1),
    "group": lambda num_features, num_dims: GroupNorm(num_features, num_groups=4),
    "batch and noise": noisy_norm,
}


def he(scale=1.0):
    """He initialization (He et al. 2015b), all weights multiplied by `scale`."""
    return init.Xavier("gaussian", "in", magnitude=2 * scale**2)


def norm_last(net):
    """The same layers, each normalization moved behind the activation that follows it."""
    layers = list(net)
    for i in range(len(layers) - 1):
        if isinstance(layers[i], nn.BatchNorm) and isinstance(layers[i + 1], nn.Activation):
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
    moved = nn.HybridSequential()
    moved.add(*layers)
    return moved


def half_size(data):
    """Images averaged over 2x2 pixels: (N, 1, 32, 32) -> (N, 1, 16, 16)."""
    X, y = data
    return X.reshape(-1, 1, 16, 2, 16, 2).mean(axis=(3, 5)), y


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
    """What `fit` measured in each epoch; after a divergence nothing, the rest of the epochs."""
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


# The experiments: each function is one run, its docstring says what is compared.


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


def momentum(images, epochs, seed, norm, lr):
    """LeNet as in `learning_rates`, with momentum 0.9."""
    return learning_rates(images, epochs, seed, "LeNet", norm, lr, momentum=0.9)


def initial_scale(images, epochs, seed, norm, scale):
    """LeNet, the weights of its hidden layers multiplied by a number, without and with BN."""
    net = lenet(NORMS[norm], "relu")
    *hidden, last = net
    last.initialize(he())
    for layer in hidden:
        layer.initialize(he(scale))
    train, _ = _images(images)
    return _epochs(net, train, None, epochs, seed=seed, lr=0.1, schedule="constant", momentum=0.0)


def batch_size(images, epochs, seed, norm, batch_size):
    """A plain net of 8 layers at batch sizes from 2 to 256, four kinds of normalization."""
    net = plain_net(8, width=8, norm=NORMS[norm])
    net.initialize(he())
    train, test = _images(images, 16)
    lr = 0.1 * batch_size / 128
    return _epochs(net, train, test, epochs, seed=seed, lr=lr, batch_size=batch_size)


def placement(images, epochs, seed, place):
    """BN-LeNet with the normalization before and after the activation."""
    net = lenet(gluon_norm, "relu")
    net = norm_last(net) if place == "after" else net
    net.initialize(init.Xavier())
    return _epochs(net, *_images(images), epochs, seed=seed, lr=0.3, momentum=0.0)


def depth(images, epochs, seed, depth, shortcut):
    """Plain and residual nets of 8 to 44 layers on 16x16 images."""
    net = small_resnet(depth, width=8, shortcut=shortcut)
    net.initialize(init.Xavier())
    return _epochs(net, *_images(images, 16), epochs, seed=seed, lr=0.1, schedule="constant")


def noise(images, epochs, seed, norm, lr):
    """A plain net of 20 layers: without normalization, with it, and with noise after it."""
    return learning_rates(images, epochs, seed, "plain-20", norm, lr)


def networks(images, epochs, seed, network, recipe):
    """The four networks with the course's recipe and with the book's.

    Course: ReLU, He initialization, one cycle, momentum 0.9, batches of 128; the rates were
    chosen by the training loss. Book: its activations and constant rates, Xavier, batches of 256.
    """
    norm, rates = {
        "LeNet": (None, {"course": 0.1, "book": 0.9}),
        "BN-LeNet": (gluon_norm, {"course": 0.2, "book": 1.0}),
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
    net, averaged = lenet(gluon_norm), lenet(gluon_norm)
    for block in (net, averaged):
        block.initialize(init.Xavier())
        block(train[0][:2])  # the weights exist from here on
    weights, rows = deque(maxlen=5), []
    for epoch in range(epochs):
        rate = learning_rate(schedule, lr, (epoch + 0.5) / epochs)
        settings = {"lr": rate, "schedule": "constant", "momentum": 0.0, "batch_size": 256}
        row = _epochs(net, train, test, 1, seed=[seed, epoch], **settings)[0]
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
EXPERIMENTS = {
    "learning_rates": Experiment(
        learning_rates, grid(network=["LeNet", "plain-20"], norm=BOTH, lr=RATES)
    ),
    "momentum": Experiment(momentum, grid(norm=BOTH, lr=RATES[:-1])),
    "initial_scale": Experiment(
        initial_scale, grid(norm=BOTH, scale=[0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
    ),
    "batch_size": Experiment(
        batch_size,
        grid(norm=["none", "batch", "layer", "group"], batch_size=[2, 8, 32, 256]),
        epochs=2,
    ),
    "placement": Experiment(placement, grid(place=["before", "after"])),
    "depth": Experiment(depth, grid(depth=[8, 20, 32, 44], shortcut=[False, True])),
    "noise": Experiment(noise, grid(norm=[*BOTH, "batch and noise"], lr=[0.01, 0.1, 1.0])),
    "networks": Experiment(
        networks,
        grid(network=["LeNet", "BN-LeNet", "ResNet-18", "DenseNet"], recipe=["course", "book"]),
        images=60_000,
        epochs=1,
    ),
    "swing": Experiment(
        swing, grid(schedule=["constant", "cosine"], lr=[1.0]), images=60_000, epochs=10
    ),
}


def load(name):
    """The rows of a recorded experiment, a pandas table: one for each setting, seed and epoch.

    Raises ValueError for a name that no experiment has and for a damaged file, FileNotFoundError
    when it was never recorded.
    """
    experiment, path = _find(name)
    return read(path, name, list(experiment.settings[0]))


def run(name, seeds=5, full=False):
    """Run an experiment for the seeds 0, 1, ... and record it; with `full`, as NAME_full.

    Goes on where it was cut off. Raises ValueError for a name that no experiment has.
    """
    experiment, path = _find(name)
    command = f"python -m d2lutils.experiments {name} --seeds {seeds}"
    if full:
        path, command = path.with_stem(f"{name}_full"), f"{command} --full"
    record(experiment.full if full else experiment, path, seeds, command)


def _find(name):
    if name not in EXPERIMENTS:
        raise ValueError(f"There is no experiment {name!r}: choose from {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name], FOLDER / f"{name}.csv"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="without a name: list the experiments")
    parser.add_argument("--seeds", type=int, default=5, help="how many (5)")
    parser.add_argument("--full", action="store_true", help="60,000 images, ten epochs")
    options = parser.parse_args(arguments)
    if options.name is None:
        for name, experiment in EXPERIMENTS.items():
            what = experiment.train.__doc__.splitlines()[0]
            epochs = f"{experiment.epochs} epoch" + "s" * (experiment.epochs > 1)
            print(f"{name:<15} {what}")
            print(
                f"{'':<15} {len(experiment.settings)} settings, {experiment.images:,} images, {epochs}"
            )
        return
    try:
        _find(options.name)
    except ValueError as error:
        parser.error(str(error))
    if options.seeds < 1:
        parser.error(f"seeds must be a positive integer, not {options.seeds}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the workers stop too
    run(options.name, options.seeds, options.full)


if __name__ == "__main__":
    from d2lutils.experiments import main  # under its own name, so that workers find it

    main()
