"""Time to accuracy: seconds from the first import to a network trained on all of Fashion-MNIST.

The recipes were chosen on 6,000 images split off the training images. The test set says how good
the finished network is, and decides on nothing; but for the book's recipes, which stop at the
first epoch that reaches the target, as a reader who watches the curve would.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import time

from side_by_side import Contender, Table

RECIPES = {"quick": {"num_epochs": 3, "lr": 0.2}, "good": {"num_epochs": 9, "lr": 0.2}}


def network(name):
    """(N, 1, 28, 28) to scores, with the first layer's `Flip`; hybridized but for that layer."""
    from d2lutils.resnet import Residual

    from mxnet import autograd, init, np
    from mxnet.gluon import nn

    class Flip(nn.Block):
        """While training, show every other image in a mirror, by chance."""

        def forward(self, X):
            if not autograd.is_training():
                return X
            mirrored = np.random.uniform(size=(len(X), 1, 1, 1)) < 0.5
            return np.where(mirrored, np.flip(X, 3), X)

    def convolution(num_channels, kernel_size=3, strides=1):
        padding = kernel_size // 2
        yield nn.Conv2D(num_channels, kernel_size, strides, padding, use_bias=False)
        yield from (nn.BatchNorm(), nn.Activation("relu"))

    body = nn.HybridSequential()
    if name == "quick":
        body.add(*convolution(16, kernel_size=5, strides=2), *convolution(32), nn.MaxPool2D())
        body.add(*convolution(64), nn.MaxPool2D(), *convolution(128))
    else:
        body.add(*convolution(16), nn.MaxPool2D(), *convolution(48), nn.MaxPool2D())
        body.add(*convolution(96), Residual(96))
    body.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    body.initialize(init.MSRAPrelu(slope=0))
    body.hybridize(static_alloc=True, static_shape=True)
    net = nn.Sequential()
    net.add(Flip(), body)
    return net


def course(name, seed):
    """One run of a recipe in this process: seconds since the start, and the test accuracy."""
    start = time.perf_counter()
    from d2lutils import evaluate, fashion_mnist, fit, seed_everything

    seed_everything(seed)
    train, test = (((X[:, :, 2:30, 2:30] - 0.286) / 0.353, y) for X, y in fashion_mnist())
    net = network(name)
    fit(net, train, weight_decay=5e-4, seed=seed, verbose=False, **RECIPES[name])
    trained = time.perf_counter() - start
    return {"s": trained, "test accuracy": evaluate(net, test)[1]}


def book(name, seed, target=0.9, num_epochs=10):
    """The book's loop, loader and settings until the first epoch that reaches the target, if any."""
    start = time.perf_counter()
    from loading import book_loader, the_book

    d2l = the_book()
    from d2lutils import lenet, resnet18, seed_everything
    from d2lutils.experiments import gluon_norm

    seed_everything(seed)
    net, lr = (lenet(gluon_norm), 1.0) if name == "BN-LeNet" else (resnet18(), 0.05)
    accuracies, evaluate = [], d2l.evaluate_accuracy_gpu

    def watch(net, loader):
        accuracies.append(evaluate(net, loader))
        if accuracies[-1] >= target:
            raise StopIteration
        return accuracies[-1]

    d2l.evaluate_accuracy_gpu = watch
    with contextlib.suppress(StopIteration):
        loaders = book_loader(256), book_loader(256, part="t10k")
        d2l.train_ch6(net, *loaders, num_epochs, lr, d2l.try_gpu())
    return {"s": time.perf_counter() - start, "test accuracy": accuracies[-1]}


def runs(function, name):
    """The function of one round: a run in a fresh process, the next seed each time."""
    seeds = itertools.count()

    def play():
        command = [sys.executable, __file__, function, name, str(next(seeds))]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(answer.stdout.splitlines()[-1])

    return play


TABLES = [
    Table(
        "90 % in less than a minute",
        "Three epochs of a small network: 5x5 convolution with stride 2, three of 3x3, 16 to 128 "
        "channels. Below it the book's LeNet with batch normalization, ten epochs or until 0.9.",
        {
            "the course's quick recipe": Contender(runs, ("course", "quick")),
            "the book's BN-LeNet, until 0.9": Contender(runs, ("book", "BN-LeNet")),
        },
        limit=1800,
    ),
    Table(
        "93 % in less than eight minutes",
        "Nine epochs of a residual network, images mirrored by chance.",
        {"the course's good recipe": Contender(runs, ("course", "good"))},
        limit=1800,
        compare=False,
    ),
    Table(
        "The book's ResNet-18, here at 32x32",
        "One run, ten epochs or until 0.9.",
        {"the book's ResNet-18, until 0.9": Contender(runs, ("book", "ResNet-18"))},
        rounds=1,
        limit=7200,
        compare=False,
    ),
]

if __name__ == "__main__":
    function, name, seed = sys.argv[1:]
    print("\n" + json.dumps({"course": course, "book": book}[function](name, int(seed))))
