"""Train and evaluate any Gluon block on arrays in memory."""

import math
import numbers
import time
from collections import deque
from dataclasses import dataclass, field

import numpy
from d2l import mxnet as d2l
from mxnet import MXNetError, autograd, gluon, np, npx

from . import checkpoint, workers
from .data import batches, checked, generator, is_integer
from .guard import beat
from .progress import Progress

AHEAD = 4  # steps that Python may queue before it looks at a result
SCHEDULES = ("one-cycle", "cosine", "constant")


@dataclass
class History:
    """What `fit` measured: one number per epoch in each list below, one per step in `step_loss`.

    Losses are mean cross-entropies in nats, accuracies are fractions from 0 to 1. Training losses
    and accuracies are means over an epoch in which the network changes.
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
        loss, accuracy = self.train_loss[i], self.train_accuracy[i]
        line = f"epoch {i + 1:2d}  loss {loss:.3f}  train {accuracy:.3f}"
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
    kvstore=None,
    resume=None,
):
    """Train `net`, an initialized block, by SGD on the cross-entropy; returns a `History`.

    train, test: pairs (X, y) of arrays, as `d2lutils.data.checked` describes: X of any shape
    (N, ...), y the classes, integers from 0. Without `test`, nothing is evaluated. X is cast, batch
    by batch, to the type of the net's weights.
    lr: the largest learning rate. schedule: "constant"; "cosine", from lr down to 0;
    "one-cycle", up to lr in the first quarter of the steps, then down to 0 like "cosine".
    batch_size: the last batch of an epoch is skipped if it has fewer than a quarter of batch_size
    examples, or fewer than three, because it would distort batch normalization's running
    statistics. Each epoch skips other examples.
    seed: sets the order of the examples. For the initial weights, call `seed_everything` before you
    make the network.
    kvstore: from `d2lutils.workers.connect`, to train with several workers; each calls `fit` with
    the same arguments. batch_size counts the examples of one step on all workers together. Worker
    i of n takes the examples i, i + n, i + 2 n, ... of each batch; the gradients are added up. So
    all workers have the same weights, those of worker 0 from the start, but running statistics and
    `History` of a worker's own examples (see `merge_statistics`).
    resume: a folder for checkpoints, one after each epoch. If it has one already, `fit` goes on
    from there, and on one thread ends bit for bit where it would have ended without interruption.

    Uses a GPU if there is one. Ctrl-C stops the training: `fit` prints a line and returns the
    completed epochs. If there are none, or if nothing is displayed (verbose=False, or a display
    that failed), it raises KeyboardInterrupt. The net keeps what it has learned in both cases.
    Raises ValueError for arguments that make no sense. Raises FloatingPointError as soon as a loss
    is not finite, or if a weight is not finite after an epoch; its attribute `history` holds the
    history so far.
    """
    _check_settings(num_epochs, lr, schedule, momentum, weight_decay, batch_size)
    if autograd.is_recording():
        raise ValueError("fit records by itself: call it outside of autograd.record().")
    rng, train = generator(seed), checked(train, "train")
    part = workers.place(kvstore, min(batch_size, len(train.y)))
    test = None if test is None else checked(test, "test")
    device, dtype = _prepare(net)
    _check_gradients(net)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    settings = {"lr": lr, "schedule": schedule, "momentum": momentum, "weight_decay": weight_decay}
    settings |= {"batch_size": batch_size}  # what must be the same to go on from a checkpoint
    optimizer = {"learning_rate": lr, "momentum": momentum, "wd": weight_decay}
    parameters = list(net.collect_params().values())  # a dictionary would be sorted by name
    trainer = gluon.Trainer(parameters, "sgd", optimizer, kvstore, update_on_kvstore=False)
    highest = max(int(data.y.max()) for data in (train, test) if data is not None)
    rest = len(train.y) % batch_size
    drop_last = 0 < rest < max(3 * part[1], batch_size / 4) and rest < len(train.y)
    steps_per_epoch = math.ceil(len(train.y) / batch_size) - drop_last
    history, progress = History(), Progress(verbose)
    if kvstore is not None or resume is not None:
        workers.same_start(trainer, net, train.X[:2].as_in_ctx(device).astype(dtype, copy=False))
    training = net, trainer, rng, history
    epochs = checkpoint.epochs(resume, num_epochs, kvstore, training, train, settings)

    def lost(what):
        error = FloatingPointError(
            f"{what}: the learning rate (at most {lr}) is probably too large."
        )
        error.history = history
        return error

    def settle(epoch, waiting):
        """Read the oldest result that has not been read yet."""
        loss_sum, num_correct, size = waiting.popleft()
        loss = float(loss_sum) / size
        history.step_loss.append(loss)
        if not math.isfinite(loss):
            step = (len(history.step_loss) - 1) % steps_per_epoch + 1
            raise lost(f"The loss became {loss} in epoch {epoch + 1}, step {step}")
        return numpy.array([loss * size, float(num_correct), size])

    try:
        for epoch in epochs:
            start, totals, waiting = time.perf_counter(), numpy.zeros(3), deque()
            for i, (X, y) in enumerate(batches(train, batch_size, rng, drop_last, part)):
                X, y = X.as_in_ctx(device).astype(dtype, copy=False), y.as_in_ctx(device)
                done = (epoch + (i + 1) / steps_per_epoch) / num_epochs
                trainer.set_learning_rate(learning_rate(schedule, lr, done))
                with autograd.record():
                    scores = _scores(net, X, highest)
                    losses = loss_function(scores, y)
                losses.backward()
                beat()  # before the step, in which workers wait for each other
                trainer.step(min(batch_size, len(train.y) - i * batch_size))  # of all workers
                waiting.append((losses.sum(), (scores.argmax(axis=1) == y).sum(), len(y)))
                if len(waiting) > AHEAD:
                    totals += settle(epoch, waiting)
                    progress.bar(epoch, (i + 1) / steps_per_epoch)
            while waiting:
                totals += settle(epoch, waiting)
            seconds = time.perf_counter() - start
            if name := _not_finite(net):  # a loss may stay finite, since ReLU turns NaN into 0
                raise lost(f"After epoch {epoch + 1}, {name} has values that are not finite")
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
        if not (progress.verbose and history.seconds):
            raise
    finally:
        npx.waitall()
        progress.close()
    return history


def evaluate(net, data, batch_size=256):
    """Mean cross-entropy and accuracy of `net` on `data`, a pair (X, y), in prediction mode.

    Uses prediction mode even inside `autograd.record()`, and does not change the net. Raises
    ValueError for arguments that make no sense, FloatingPointError for weights that are not finite.
    """
    data = checked(data)
    device, dtype = _prepare(net)
    highest = int(data.y.max())
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    loss, correct = 0.0, 0.0
    with autograd.pause():
        for X, y in batches(data, batch_size):
            X, y = X.as_in_ctx(device).astype(dtype, copy=False), y.as_in_ctx(device)
            scores = _scores(net, X, highest)
            loss = loss + loss_function(scores, y).sum()
            correct = correct + (scores.argmax(axis=1) == y).sum()
    return float(loss) / len(data.y), float(correct) / len(data.y)


def renew_statistics(net, data, batch_size=256):
    """Update the running statistics of batch normalization to fit the current weights.

    Runs `data`, a pair (X, y), through the net in training mode, without changing a weight. MXNet
    updates the statistics in the backward pass, so there is one; its gradients are not used. An
    incomplete last batch is skipped.
    """
    weight = next(iter(net.collect_params().values()))
    for X, _ in batches(data, batch_size, seed=0, drop_last=True):
        X = X.as_in_ctx(weight.list_ctx()[0]).astype(weight.dtype)
        X.attach_grad()  # so that the backward pass reaches layers whose weights are frozen
        with autograd.record():
            scores = net(X)
        scores.backward()
    npx.waitall()  # the engine does not know that backward() writes the statistics


def learning_rate(schedule, lr, done):
    """The learning rate of the step after which the fraction `done` (0 to 1) of all steps is done."""
    if schedule == "constant":
        return lr
    warm_up = 0.25 if schedule == "one-cycle" else 0.0
    if done < warm_up:
        return lr * done / warm_up
    return lr * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2


def _check_settings(num_epochs, lr, schedule, momentum, weight_decay, batch_size):
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}.")
    if not is_integer(num_epochs) or num_epochs < 1:
        raise ValueError(f"num_epochs must be a positive integer, not {num_epochs!r}.")
    if not is_integer(batch_size) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}.")
    if not _is_finite(lr) or lr <= 0:
        raise ValueError(f"lr must be a positive number, not {lr!r}.")
    if not _is_finite(momentum) or not 0 <= momentum < 1:
        raise ValueError(f"momentum must be a number from 0 to less than 1, not {momentum!r}.")
    if not _is_finite(weight_decay) or weight_decay < 0:
        raise ValueError(f"weight_decay must be 0 or a positive number, not {weight_decay!r}.")


def _is_finite(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _prepare(net):
    """Move the net to the device and hybridize it if possible.

    Returns the device and the type of the weights.
    """
    if not isinstance(net, gluon.Block):
        raise ValueError(f"net must be a Gluon block, not of type {type(net).__name__}.")
    device = d2l.try_gpu()
    parameters = net.collect_params()
    if any(p._data is None and not p._deferred_init for p in parameters.values()):
        raise ValueError("The network has no weights yet: call net.initialize() first.")
    if any(p.list_ctx() != [device] for p in parameters.values()):
        parameters.reset_ctx(device)
    if name := _not_finite(net):
        raise FloatingPointError(f"{name} has values that are not finite: make a new network.")
    if isinstance(net, gluon.HybridBlock) and not net._active:
        net.hybridize(static_alloc=True, static_shape=True)
    return device, next((p.dtype for p in parameters.values()), "float32")


def _check_gradients(net):
    kinds = {p.grad_req for p in net.collect_params().values()}
    if kinds <= {"null"}:
        raise ValueError(
            'There is nothing to train: every parameter is frozen. Set grad_req = "write" for some.'
        )
    if "add" in kinds:
        raise ValueError(
            'Gradients would add up from step to step: set grad_req = "write" where it is "add".'
        )


def _not_finite(net):
    """The name of the first parameter with a value that is not finite, or None."""
    parameters = [p for p in net.collect_params().values() if p._data is not None]
    return next((p.name for p in parameters if not numpy.isfinite(p.data().asnumpy()).all()), None)


def _scores(net, X, highest):
    """The net's scores for a batch, once their shape is checked; `highest`: the largest label."""
    try:
        scores = net(X)
    except (MXNetError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"The network cannot take an X of shape {X.shape}: {reason}") from error
    ours = isinstance(scores, np.ndarray)
    if not ours or scores.ndim != 2 or len(scores) != len(X):
        found = (
            scores.shape if ours else f"of type {type(scores).__module__}.{type(scores).__name__}"
        )
        raise ValueError(
            f"The network must give scores of shape ({len(X)}, classes) for {len(X)} examples, "
            f"one array of mxnet.np, not {found}."
        )
    if highest >= scores.shape[1]:
        raise ValueError(
            f"y holds the label {highest}, but the network has scores for {scores.shape[1]} classes, "
            f"0 to {scores.shape[1] - 1}."
        )
    return scores
