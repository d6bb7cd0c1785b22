"""Time to accuracy: seconds from the first import to a network trained on all of Fashion-MNIST.

The recipes were chosen on 6,000 images split off the training images. The test set says how good
the finished network is, and decides on nothing; but for the book's recipes, which stop at the
first epoch that reaches 0.9, as a reader who watches the curve would, and at the first one that
ends after eight minutes.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import time

from side_by_side import Contender, Table

RECIPES = {"quick": ((16, 32, 64, 128), 3), "good": ((32, 64, 128, 128), 12)}  # channels, epochs


def network(channels):
    """(N, 1, 28, 28) to scores: four convolutions, the first with stride 2, in a `Mirrored` block."""
    from d2lutils.nets import he

    from mxnet import autograd, np
    from mxnet.gluon import nn

    class Mirrored(nn.Block):
        """Train on images mirrored by chance, predict from an image and its mirror image."""

        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, X):
            mirror = np.flip(X, 3)
            if autograd.is_training():
                heads = np.random.uniform(size=(len(X), 1, 1, 1)) < 0.5
                return self.body(np.where(heads, mirror, X))
            return self.body(X) + self.body(mirror)

    def convolution(num_channels, kernel_size=3, strides=1):
        padding = kernel_size // 2
        yield nn.Conv2D(num_channels, kernel_size, strides, padding, use_bias=False)
        yield from (nn.BatchNorm(), nn.Activation("relu"))

    first, second, third, fourth = channels
    body = nn.HybridSequential()
    body.add(*convolution(first, kernel_size=5, strides=2), *convolution(second), nn.MaxPool2D())
    body.add(*convolution(third), nn.MaxPool2D(), *convolution(fourth))
    body.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    body.initialize(he())
    body.hybridize(static_alloc=True, static_shape=True)
    return Mirrored(body)


def course(name, seed):
    """One run of a recipe in this process: seconds since the start, and the test accuracy."""
    start = time.perf_counter()
    from d2lutils import evaluate, fashion_mnist, fit, seed_everything

    seed_everything(seed)
    train, test = (((X[:, :, 2:30, 2:30] - 0.286) / 0.353, y) for X, y in fashion_mnist())
    channels, num_epochs = RECIPES[name]
    net = network(channels)
    fit(net, train, num_epochs=num_epochs, lr=0.2, weight_decay=5e-4, seed=seed, verbose=False)
    trained = time.perf_counter() - start
    return {"s": trained, "test accuracy": evaluate(net, test)[1]}


def book(name, seed, target=0.9, num_epochs=10, patience=480):
    """The book's loop, loader and settings until an epoch reaches the target or ends too late."""
    start = time.perf_counter()
    from loading import book_loader, the_book

    d2l = the_book()
    from d2lutils import lenet, resnet18, seed_everything

    from mxnet.gluon import nn

    seed_everything(seed)
    net, lr = (lenet(nn.BatchNorm), 1.0) if name == "BN-LeNet" else (resnet18(), 0.05)
    accuracies, evaluate = [], d2l.evaluate_accuracy_gpu

    def watch(net, loader):
        accuracies.append(evaluate(net, loader))
        if accuracies[-1] >= target or time.perf_counter() - start > patience:
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
        "Three epochs of four convolutions with 16, 32, 64 and 128 channels, the first one 5x5 with "
        "stride 2. Five seeds.",
        {"the course's quick recipe": Contender(runs, ("course", "quick"))},
        limit=1800,
        compare=False,
    ),
    Table(
        "93 % in less than eight minutes",
        "Twelve epochs of the same with 32, 64, 128 and 128 channels. Five seeds.",
        {"the course's good recipe": Contender(runs, ("course", "good"))},
        limit=1800,
        compare=False,
    ),
    Table(
        "The book's recipes",
        "At most ten epochs; until 0.9, or until an epoch ends after eight minutes. ResNet-18 at "
        "32x32, where the book has 96x96. One run each.",
        {
            "the course's quick recipe": Contender(runs, ("course", "quick")),
            "the book's BN-LeNet": Contender(runs, ("book", "BN-LeNet")),
            "the book's ResNet-18": Contender(runs, ("book", "ResNet-18")),
        },
        rounds=1,
        limit=3600,
    ),
]

if __name__ == "__main__":
    function, name, seed = sys.argv[1:]
    print("\n" + json.dumps({"course": course, "book": book}[function](name, int(seed))))
