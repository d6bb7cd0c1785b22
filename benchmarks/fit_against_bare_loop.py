"""Images/s of `fit` against a bare loop of forward, backward and step: interleaved, medians.

.venv/bin/python benchmarks/fit_against_bare_loop.py [rounds]
"""

import statistics
import sys
import time

import d2lutils
from d2lutils import batches, densenet, fashion_mnist, fit, lenet
from d2lutils.experiments import gluon_norm

from mxnet import autograd, gluon, init, npx


def bare_loop(net, train, lr):
    net.hybridize(static_alloc=True, static_shape=True)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    settings = {"learning_rate": lr, "momentum": 0.9}
    trainer = gluon.Trainer(net.collect_params(), "sgd", settings)
    for X, y in batches(train, 128, seed=0):
        with autograd.record():
            loss = loss_function(net(X), y)
        loss.backward()
        trainer.step(128)


def with_fit(net, train, lr):
    fit(net, train, num_epochs=1, lr=lr, verbose=False)


def seconds(train_one_epoch, net, train):
    start = time.perf_counter()
    train_one_epoch(net, train, 0.01)
    npx.waitall()
    return time.perf_counter() - start


def main(rounds=5):
    train, _ = fashion_mnist(10_240)
    for name, make in {"BN-LeNet": lambda: lenet(gluon_norm, "relu"), "DenseNet": densenet}.items():
        net = make()
        net.initialize(init.Xavier())
        with_fit(net, train, 0.01)  # compiles
        ratios = [
            seconds(bare_loop, net, train) / seconds(with_fit, net, train) for _ in range(rounds)
        ]
        print(
            f"{name}: fit at {statistics.median(ratios):.2f} of the bare loop's speed "
            f"({min(ratios):.2f} to {max(ratios):.2f} in {rounds} rounds)"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
