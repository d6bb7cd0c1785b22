"""Train and evaluate any Gluon block on arrays in memory."""

import math
import time
from collections import deque
from dataclasses import dataclass, field

import numpy
from d2l import mxnet as d2l
from mxnet import autograd, gluon, npx

from .data import batches
from .progress import Progress

AHEAD = 4  # steps that Python may queue before it looks at a result
SCHEDULES = ("one-cycle", "cosine", "constant")


@dataclass
class History:
    """What `fit` saw: a list with one number an epoch for each name below, and every step's loss.

    Losses are means of the cross-entropy in nats, accuracies fractions from 0 to 1. Training
    figures are averages over the epoch, taken while the network learns.
    """

    train_loss: list = field(default_factory=list)
    train_accuracy: list = field(default_factory=list)
    test_loss: list = field(default_factory=list)
    test_accuracy: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    step_loss: list = field(default_factory=list)

    def plot(self, label="", color=None, axes=None):
        """Loss and accuracy against epochs on a pair of axes; returns the pair."""
        from .plotting import plot_history

        return plot_history(self, label, color, axes)

    def __str__(self):
        return "\n".join(self._line(i) for i in range(len(self.seconds)))

    def _line(self, i):
        line = (
            f"epoch {i + 1:2d}  loss {self.train_loss[i]:.3f}  train {self.train_accuracy[i]:.3f}"
        )
        if self.test_accuracy:
            line += f"  test {self.test_accuracy[i]:.3f}"
        return line + f"  {self.seconds[i]:5.1f} s"


def fit(
    net,
    train,
    test=None,
    num_epochs=4,
    lr=0.1,
    schedule="one-cycle",
    momentum=0.9,
    weight_decay=0.0,
    batch_size=128,
    seed=0,
    verbose=True,
):
    """Train `net`, an initialized block, by SGD on the cross-entropy; returns a `History`.

    train, test: pairs (X, y) of arrays; without `test` nothing is evaluated.
    lr: the highest learning rate. schedule: "constant"; "cosine", from lr down to 0;
    "one-cycle", up to lr in the first quarter of the steps, then as cosine.
    seed: of the order of the examples; `seed_everything` before the network is made seeds the rest.

    Runs on a GPU where there is one. Ctrl-C ends the training: `fit` says so and returns the
    epochs that are complete. When none is, or with verbose=False, where nobody would be told, it
    raises KeyboardInterrupt. Either way the net keeps what it has learned.
    Raises ValueError for arguments that make no sense, FloatingPointError at the first loss
    that is not finite (the history so far is its attribute `history`).
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}.")
    if not isinstance(num_epochs, int) or num_epochs < 1:
        raise ValueError(f"num_epochs must be a positive integer, not {num_epochs!r}.")
    if not lr > 0:
        raise ValueError(f"lr must be positive, not {lr!r}.")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}.")
    device = _prepare(net)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    settings = {"learning_rate": lr, "momentum": momentum, "wd": weight_decay}
    trainer = gluon.Trainer(net.collect_params(), "sgd", settings)
    rng = numpy.random.default_rng(seed)
    steps_per_epoch = math.ceil(len(train[1]) / batch_size)
    history, progress = History(), Progress(verbose)

    def settle(epoch, waiting):
        """Read the oldest result that is still on the device."""
        loss_sum, num_correct, size = waiting.popleft()
        loss = float(loss_sum) / size
        history.step_loss.append(loss)
        if not math.isfinite(loss):
            step = (len(history.step_loss) - 1) % steps_per_epoch + 1
            error = FloatingPointError(
                f"The loss became {loss} in epoch {epoch + 1}, step {step}: the learning rate "
                f"(at most {lr}) is probably too large, or the input has a value that is not finite."
            )
            error.history = history
            raise error
        return numpy.array([loss * size, float(num_correct), size])

    try:
        for epoch in range(num_epochs):
            start, totals, waiting = time.perf_counter(), numpy.zeros(3), deque()
            for i, (X, y) in enumerate(batches(train, batch_size, rng)):
                X, y = X.as_in_ctx(device), y.as_in_ctx(device)
                done = (epoch + (i + 1) / steps_per_epoch) / num_epochs
                trainer.set_learning_rate(learning_rate(schedule, lr, done))
                with autograd.record():
                    scores = net(X)
                    losses = loss_function(scores, y)
                losses.backward()
                trainer.step(len(y))
                waiting.append((losses.sum(), (scores.argmax(axis=1) == y).sum(), len(y)))
                if len(waiting) > AHEAD:
                    totals += settle(epoch, waiting)
                    progress.bar(epoch, (i + 1) / steps_per_epoch)
            while waiting:
                totals += settle(epoch, waiting)
            seconds = time.perf_counter() - start
            tested = None if test is None else evaluate(net, test)
            # Only now, so that Ctrl-C during the evaluation leaves lists of one length.
            history.train_loss.append(totals[0] / totals[2])
            history.train_accuracy.append(totals[1] / totals[2])
            history.seconds.append(seconds)
            if tested is not None:
                history.test_loss.append(tested[0])
                history.test_accuracy.append(tested[1])
            progress.line(history._line(epoch))
    except KeyboardInterrupt:
        progress.line(f"stopped by hand in epoch {len(history.seconds) + 1}")
        if not (verbose and history.seconds):
            raise
    finally:
        npx.waitall()
        progress.close()
    return history


def evaluate(net, data, batch_size=256):
    """Mean cross-entropy and accuracy of `net` on `data`, a pair (X, y), in prediction mode."""
    device = _prepare(net)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    loss, correct = 0.0, 0.0
    for X, y in batches(data, batch_size):
        X, y = X.as_in_ctx(device), y.as_in_ctx(device)
        scores = net(X)
        loss = loss + loss_function(scores, y).sum()
        correct = correct + (scores.argmax(axis=1) == y).sum()
    return float(loss) / len(data[1]), float(correct) / len(data[1])


def renew_statistics(net, data, batch_size=256):
    """Let the running statistics of batch normalization follow the present weights.

    Runs `data`, a pair (X, y), through the net in training mode without a step. MXNet moves the
    statistics in the backward pass, so there is one, whose gradients nobody uses.
    """
    device = next(iter(net.collect_params().values())).list_ctx()[0]
    for X, _ in batches(data, batch_size, seed=0):
        with autograd.record():
            scores = net(X.as_in_ctx(device))
        scores.backward()
    npx.waitall()  # the engine does not know that backward() writes the statistics


def learning_rate(schedule, lr, done):
    """The rate of a step that completes the fraction `done` (0 to 1) of all steps."""
    if schedule == "constant":
        return lr
    warm_up = 0.25 if schedule == "one-cycle" else 0.0
    if done < warm_up:
        return lr * done / warm_up
    return lr * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2


def _prepare(net):
    """Move the net to the device, hybridize it where it can be; returns the device."""
    device = d2l.try_gpu()
    parameters = net.collect_params()
    if any(p._data is None and not p._deferred_init for p in parameters.values()):
        raise ValueError("The network has no weights yet: call net.initialize() first.")
    if any(p.list_ctx() != [device] for p in parameters.values()):
        parameters.reset_ctx(device)
    if isinstance(net, gluon.HybridBlock) and not net._active:
        net.hybridize(static_alloc=True, static_shape=True)
    return device
