"""The checks of exercises 07, on speed.

A measured time is never judged by itself, only its ratio to another one, and with a wide margin.
What the learner's functions have to measure is sleep: its length is known, and other programs hardly
change it. Where they do all the same, the check says so and gives no verdict.
"""

import linecache
import re
import statistics
import sys
import time
from contextlib import contextmanager

import numpy
from mxnet import autograd, gluon, nd, np, npx, operator
from mxnet.base import _LIB
from mxnet.gluon import nn

from ..nets import sequential
from .engine import LIBRARIES, Unsettled, Wrong, by_position, described, exercise
from .reference import flat, float64, single
from .words import NO_EPS, NO_ROOT, ROOT

NEAR = 1.4  # a ratio of times may be off by this factor: mistakes are off by more


def _apart(found, right):
    """The largest factor between numbers that should be equal and positive."""
    pairs = zip(numpy.ravel(found), numpy.ravel(right))
    return max(max(a / b, b / a) if min(a, b) > 0 else numpy.inf for a, b in pairs)


_overslept = []  # the length of each sleep, divided by the length that was asked for


def _sleep(seconds):
    start = time.perf_counter()
    time.sleep(seconds)
    _overslept.append((time.perf_counter() - start) / seconds)


class _InBackground(operator.CustomOp):
    """The operator of `_asleep`."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, is_train, req, in_data, out_data, aux):
        _sleep(self.seconds)
        self.assign(out_data[0], req[0], in_data[0])


@operator.register("d2lutils_asleep")
class _Properties(operator.CustomOpProp):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = float(seconds)

    def create_operator(self, ctx, shapes, dtypes):
        return _InBackground(self.seconds)


def _asleep(X, milliseconds):
    """X, after this time: MXNet sleeps in the background, and the call returns at once."""
    settings = {"op_type": "d2lutils_asleep", "seconds": milliseconds / 1000}
    return nd.Custom(X.as_nd_ndarray(), **settings).as_np_ndarray()


def _judge(trial, what, answer, right, hint, near=NEAR):
    """Note that answer() gives numbers near the right ones, or raise Wrong with hint(numbers).

    A disturbance passes, a mistake stays: so answer() is called until two wrong answers agree, or
    six times.
    """
    last = None
    for _ in range(6):
        _overslept.clear()
        found = answer()
        if _apart(found, right) < near:
            return trial.holds(what, True, "")
        if last is not None and numpy.allclose(found, last, rtol=0.1, atol=0):
            break
        last = found
    if statistics.median(_overslept or [1]) > 1.2:
        raise Unsettled(
            "Sleeps take longer here than they should: other programs disturb the measurement. Run "
            "the check again when the machine has less to do."
        )
    seen, expected = (", ".join(f"{n:.3g}" for n in numpy.ravel(a)) for a in (found, right))
    raise Wrong(what, hint(found), seen, f"about {expected}")


# --- 7.1 ---

LINES = {  # the number of a line: does it wait, and why
    1: (False, "np.dot puts the product into the queue and returns at once."),
    2: (False, "The shape is known without computing: it follows from the shape of B."),
    3: (False, "A sum is an array like any other, and it goes into the queue."),
    4: (False, "A list can hold an array whose number is not there yet: nobody reads it."),
    5: (False, "A comparison of arrays gives an array, whose True or False comes later."),
    6: (True, "`if` needs to know now whether it is True or False."),
    7: (True, "To print a number, Python needs its digits."),
    8: (False, "A part of an array, divided by an array, is an array: nobody reads it."),
    9: (True, "item() turns an array into a Python number, and so needs the number."),
}
ABOUT_LINES = {2: "Is the shape known before the product has been computed?"}


@exercise(
    "7.1",
    "Which lines wait?",
    hints=(
        "Go through the lines one by one. Does Python need a *number* out of an array to go on, or "
        "only an array whose numbers may come later? Three of the nine lines need a number.",
        "An `if` needs to know True or False, printing a number needs the number, and so does "
        "turning an array into a Python number: lines 6, 7 and 9.",
    ),
)
def lines_that_wait(trial, lines):
    """lines: the numbers of the lines that wait for the processor."""
    found = trial.numbers("your lines", lines)
    unknown = [number for number in found if number not in LINES]
    if unknown or not len(found):
        seen = described(lines) if not unknown else unknown[0]
        raise Wrong("your lines", "Give the numbers of lines, from 1 to 9, as a list.", seen)
    for number, (waits, reason) in LINES.items():
        if (number in found) != waits:
            raise Wrong(
                f"line {number}",
                ABOUT_LINES.get(
                    number,
                    "Does this line need a number out of an array to go on, or only an array that "
                    "may be filled later?",
                ),
                "you say that it waits" if number in found else "you say that it does not wait",
            )
        trial.holds(f"line {number}: {reason}", True, "")


# --- 7.2 ---

ROUNDED = 5e-3  # three digits; leaving out the weights is 3 percent


@exercise(
    "7.2",
    "Limited by what?",
    hints=(
        "The output of either layer has 100 * 64 * 10 * 10 = 640,000 numbers. For each of them the "
        "convolution needs 64 * 3 * 3 = 576 multiply-adds. A number has 4 bytes. Each layer takes "
        "as long as the slower of its two tasks.",
        "Convolution: 640,000 * 576 multiply-adds, 3.69 ms; 4 * (2 * 640,000 + 64 * 576) bytes, "
        "0.53 ms. Normalization: 0.0064 ms for the arithmetic; 4 * 2 * 640,000 bytes, 0.512 ms. "
        "Divide the larger time of the one by the larger time of the other.",
    ),
)
def limited_by(trial, conv_adds, conv_bytes, norm_bytes, limited, times):
    """Three numbers by hand, the layer that memory limits, and a ratio of times."""
    numbers, weights = 100 * 64 * 10 * 10, 64 * 64 * 3 * 3
    adds, moved = numbers * 576, 4 * (2 * numbers + weights)
    trial.equal(
        "the multiply-adds of the convolution",
        conv_adds,
        adds,
        "For each number of the output: 3 * 3 positions in each of the 64 input channels.",
        [
            ("This is for one image. The batch has 100.", adds / 100),
            ("There are 64 channels in the input, and 64 in the output.", adds / 64),
            ("The kernel is 3 by 3: nine positions.", adds / 9),
            ("A multiplication and an addition together count as one.", adds * 2),
            (
                "This is the number of weights. Each is used at every position of every image.",
                weights,
            ),
        ],
        tolerance=ROUNDED,
    )
    trial.equal(
        "the bytes that the convolution moves",
        conv_bytes,
        moved,
        "The input once, the weights once, the output once, 4 bytes for each number.",
        [
            ("These are numbers. Each has 4 bytes.", moved / 4),
            ("The weights are read as well, all 64 * 64 * 3 * 3 of them.", 4 * 2 * numbers),
            ("The output is written as well.", 4 * (numbers + weights)),
            ("This is bits, not bytes: 4 bytes for each number.", 8 * moved),
        ],
        tolerance=ROUNDED,
    )
    trial.equal(
        "the bytes that the normalization moves",
        norm_bytes,
        4 * 2 * numbers,
        "The input once and the output once, 4 bytes for each number.",
        [
            ("These are numbers. Each has 4 bytes.", 2 * numbers),
            ("It reads its input, and it writes its output.", 4 * numbers),
            ("It has no weights of a convolution.", moved),
        ],
        tolerance=ROUNDED,  # the scale and shift of each channel may be counted, too
    )
    word = limited.lower() if isinstance(limited, str) else ""
    said = {name for name in ("conv", "norm", "both", "neither") if name in word}
    said = {"both"} if said == {"conv", "norm"} else said
    what = "which layer is limited by memory"
    if len(said) != 1:
        choices = '"conv", "norm", "both" or "neither"'
        raise Wrong(what, f"Answer {choices}.", described(limited), choices)
    trial.holds(
        what,
        said == {"norm"},
        "A layer is limited by memory if moving its bytes takes longer than its multiply-adds. "
        "Compute both times for each of the two layers.",
    )
    conv, norm = adds / 100e9, 8 * numbers / 10e9
    trial.equal(
        "how many times as long the convolution takes, at least",
        times,
        conv / norm,
        "Each layer takes at least the larger of its two times. Divide that of the convolution by "
        "that of the normalization.",
        [
            (
                "This is the ratio of the multiply-adds. The normalization does few of them, and "
                "waits for its bytes.",
                576,
            ),
            (
                "This is the ratio of the bytes. The convolution moves its bytes in time, and is "
                "busy with its multiply-adds.",
                moved / (8 * numbers),
            ),
            ("This is the other way round: the convolution takes longer.", norm / conv),
            ("One decimal more, please: this is rounded too far.", 7),
            (
                "The two tasks go on at the same time: take the larger of the two times, not "
                "their sum.",
                (conv + moved / 10e9) / (norm + numbers / 100e9),
            ),
        ],
        tolerance=0.015,
    )


# --- 7.3 ---


class _Nap:
    """Work of a known length. `longer(call)` multiplies the time of each call, counted from 0. The
    list `calls` may be shared."""

    def __init__(self, milliseconds, longer=lambda call: 1, calls=None, background=False):
        self.milliseconds, self.longer, self.background = milliseconds, longer, background
        self.calls = [] if calls is None else calls

    def __call__(self):
        milliseconds = self.milliseconds * self.longer(len(self.calls))
        self.calls.append(self)
        if self.background:
            _asleep(np.ones(1), milliseconds)
        else:
            _sleep(milliseconds / 1000)


def _interrupted(call):
    return 60 if call % 5 == 3 else 1


def _naps(case):
    """Works of a known length: fresh ones each time."""
    if case == "three of different length":
        return [_Nap(6), _Nap(3), _Nap(12)]
    if case == "work in the background":
        return [_Nap(length, background=True) for length in (48, 6, 24)]
    if case == "a long first call":
        return [_Nap(6), _Nap(3, lambda call: 50 if call == 0 else 1)]
    if case == "some interrupted calls":
        return [_Nap(3, _interrupted), _Nap(6)]
    if case == "interrupted calls of the slower function":
        return [_Nap(3), _Nap(6, _interrupted)]
    calls = []  # of both together
    slower = {"longer": lambda call: 1 + min(call, 16) / 4, "calls": calls}
    return [_Nap(6, **slower), _Nap(3, **slower)]


INTERRUPTED = (
    "Every fifth call of one function took sixty times as long, as if another program had "
    "interrupted it. Means and sums suffer from that, those of ratios too. The median does not."
)
CASES = {
    "three of different length": "Divide each time by that of the fastest function.",
    "work in the background": "MXNet works in the background: the call returned before the work was "
    "done. Wait with npx.waitall() before you stop the clock.",
    "a long first call": "The first call took fifty times as long as the others, as if it had "
    "compiled something. Call each function once before you measure.",
    "some interrupted calls": INTERRUPTED,
    "interrupted calls of the slower function": INTERRUPTED,
    "a machine that gets slower": "While you measured, the machine became slower and slower. So "
    "take turns: each function once, then each of them again, and compare within a round.",
}


@exercise(
    "7.3",
    "A fair race",
    hints=(
        "Call each function once and throw that time away. Then, in each of about seven rounds, "
        "time each function once, with npx.waitall() before you stop the clock. Keep a list of "
        "times for each function.",
        "For each function take the median over the rounds, with statistics.median. Divide each "
        "median by the smallest of them: [median / min(medians) for median in medians].",
    ),
)
def raced(trial, function):
    """function(works) -> for each function in the list, how many times as long as the fastest."""
    for case, hint in CASES.items():
        works = []

        def answer(case=case, works=works):
            works[:] = _naps(case)
            found = trial.call(function, list(works))
            return trial.array(f"{case}: the ratios", found, (len(works),))

        lengths = numpy.array([work.milliseconds for work in _naps(case)])

        def its_hint(found, hint=hint, works=works, lengths=lengths):
            if not all(work in work.calls for work in works):
                return "Each function in the list should be called, several times."
            return _known(found, lengths) or hint

        _judge(trial, f"{case}: the ratios", answer, lengths / lengths.min(), its_hint)


def _known(found, lengths):
    """A hint for times that were divided by something else, or by nothing."""
    mistakes = (
        ("Divide by the time of the fastest. These are relative to the first.", lengths[0]),
        ("Divide by the time of the fastest. These are relative to the slowest.", lengths.max()),
        ("These are times, in seconds. Divide each by that of the fastest function.", 1000),
        ("These are times. Divide each by that of the fastest function.", 1),
    )
    for hint, divisor in mistakes:
        if _apart(found, lengths / divisor) < NEAR:
            return hint
    if _apart(found, lengths.min() / lengths) < NEAR:
        return (
            "These say how many times as fast. The exercise asks how many times as long: 1 or more."
        )
    return None


# --- 7.4 ---

WAITING = ("MXNDArraySyncCopyToCPU", "MXNDArrayWaitToRead", "MXNDArrayWaitAll")
FEW = 5  # waits that do not depend on the number of batches


@contextmanager
def _counted(waits, trainer):
    """Note each wait for the processor: the line of the learner's code that waits, and how many
    steps the trainer had made."""
    kept = {name: getattr(_LIB, name) for name in WAITING}

    def counting(function):
        def wait(*arguments):
            waits.append((_line(sys._getframe(1)), trainer.steps))
            return function(*arguments)

        return wait

    for name, function in kept.items():
        setattr(_LIB, name, counting(function))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(_LIB, name, function)


def _line(frame):
    """The innermost line of this frame and its callers that is in no library, or ""."""
    while frame and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() if frame else ""


def _small_net():
    return sequential(nn.Dense(12, in_units=20), nn.Dense(3, in_units=12))


class _Trainer(gluon.Trainer):
    """Counts its steps. A frozen one makes none: the weights stay what they are."""

    def __init__(self, net, frozen=False):
        settings = {"learning_rate": 0.1, "momentum": 0.8}
        super().__init__(net.collect_params(), "sgd", settings)
        self.steps, self.frozen = 0, frozen

    def step(self, batch_size, ignore_stale_grad=False):
        if not self.frozen:
            super().step(batch_size, ignore_stale_grad)
        self.steps += 1


def _epoch(net, trainer, parts, size=len):
    """The mean loss and the accuracy over all images, in the plainest way."""
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    total, correct, images = 0, 0, 0
    for X, y in parts:
        with autograd.record():
            scores = net(X)
            losses = loss_function(scores, y)
        losses.backward()
        trainer.step(size(y))
        total += losses.sum().item()
        correct += (scores.argmax(axis=1) == y).sum().item()
        images += len(y)
    return total / images, correct / images


_STALE = {
    "has not been updated by backward": "A step needs a backward pass before it: one for each batch."
}


def _weights(net):
    return numpy.concatenate([float64(p.data()).ravel() for p in net.collect_params().values()])


@exercise(
    "7.4",
    "Find what waits",
    hints=(
        "Keep total and correct as arrays while the loop runs: without item(), float() or bool() "
        "nothing is read. Read them once, after the loop, and look there whether the total is "
        "finite: one loss that is NaN or infinite makes the total NaN or infinite, too.",
        "In the loop: total = total + losses.sum() and correct = correct + (scores.argmax(axis=1) "
        "== y).sum(). After it: total = total.item(); if not numpy.isfinite(total): raise "
        "ValueError(...). Then return total / images, correct.item() / images.",
    ),
)
def waits_removed(trial, function):
    """function(net, trainer, parts) -> mean loss, accuracy; parts: a list of pairs (X, y)."""
    for count in (4, 12):
        parts = _parts(trial, [16] * (count - 1) + [5])
        net, plain, *others = (trial.tie(trial.build(_small_net)) for _ in range(4))
        before, waits = _weights(net), []
        right = _epoch(plain, _Trainer(plain), parts)
        for other, size in zip(others, (lambda y: len(y) ** 2, lambda y: 1)):
            _epoch(other, _Trainer(other), parts, size)
        mean, undivided = map(_weights, others)
        returned = trial.call(_counting, function, net, parts, waits, hints=_STALE)
        values = trial.several(returned, ("mean_loss", "accuracy"))
        trial.equal(
            f"{count} batches: the weights after the epoch",
            trial.call(_weights, net),
            _weights(plain),
            "The steps differ. Compare backward() and trainer.step() with the original: one of "
            "each for each batch.",
            [
                ("The weights are what they were: does the trainer make a step?", before),
                (
                    "The steps are too small: trainer.step(len(y)) divides by the number of images, "
                    "and so does mean(). Call backward() on the losses or on their sum.",
                    mean,
                ),
                (
                    "The steps are too large: the sum of the losses has to be divided by the number "
                    "of images, by trainer.step(len(y)).",
                    undivided,
                ),
            ],
        )
        images, every = 16 * (count - 1) + 5, "Divide by the number of all images."
        for name, found, expected, scores in zip(
            ("mean loss", "accuracy"), values, right, ("", ", by the scores from before the step")
        ):
            trial.equal(
                f"{count} batches: the {name}",
                found,
                expected,
                f"It should be that of all {images} images together{scores}. The last batch is "
                "smaller.",
                [
                    (f"This is a sum. {every}", expected * images),
                    (
                        f"{every} This is divided by the number of batches.",
                        expected * images / count,
                    ),
                ],
                tolerance=1e-3,
            )
        trial.holds(
            f"{count} batches: it waits at most {FEW} times",
            len(waits) <= FEW,
            _what_waits(waits, count),
            len(waits),
            f"at most {FEW}, however many batches there are",
        )
    parts = _parts(trial, [16, 16, 16])
    parts[1][0][2] = float("nan")
    net = trial.tie(trial.build(_small_net))
    trial.holds(
        "a batch whose loss is NaN raises a ValueError",
        trial.call(_raises, function, net, parts),
        "It should still raise a ValueError if a loss is not finite. After the last batch is early "
        "enough.",
    )
    net, parts = _infinite(trial)
    trial.holds(
        "a single infinite loss raises a ValueError",
        trial.call(_raises, function, net, parts, True),
        "One loss in the first batch is infinite, and all other losses are finite. Their sum shows "
        "it: it is infinite or NaN, too, and numpy.isfinite() finds both.",
    )


def _what_waits(waits, count):
    """The hint for the line that waits most often."""
    lines = [line for line, _ in waits]
    most = max(lines, key=lines.count, default="")
    times = lines.count(most)
    if not most or times == 1:
        return "It still waits in each batch."
    named = f"This line waits {times} times: {most}"
    if all(steps == count for line, steps in waits if line == most):
        return (
            "It reads a number for each batch, if only after the loop. Add them up as arrays, and "
            f"read the sum. {named}"
        )
    if re.search(r"\b(and|or|not|if|while|assert)\b", most):
        named += (
            ". Words such as `if`, `and`, `or` and `not` need True or False at once. Look at the "
            "total after the loop."
        )
    return f"It still waits in each batch. {named}"


def _infinite(trial):
    """A net, and three batches of which the first has an infinite loss. All scores are finite."""
    net = trial.build(lambda: sequential(nn.Dense(3, in_units=20, use_bias=False)))
    for parameter in net.collect_params().values():
        parameter.set_data(np.eye(3, 20))
    parts = _parts(trial, [16, 16, 16])
    X, y = parts[0]
    X[2], y[2] = 0, 1
    X[2, 0], X[2, 1] = 2e38, -2e38
    return net, parts


def _parts(trial, sizes):
    return [
        (trial.normal(n, 20), np.array(trial.rng.integers(0, 3, n), dtype="int64")) for n in sizes
    ]


def _counting(function, net, parts, waits):
    trainer = _Trainer(net)
    with _counted(waits, trainer):
        return by_position(function)(net, trainer, parts)


def _raises(function, net, parts, frozen=False):
    try:
        by_position(function)(net, _Trainer(net, frozen), parts)
    except ValueError:
        return True
    return False


# --- 7.5 ---


class LoopNorm(nn.Block):
    """Normalizes each channel of each image by itself, in a loop."""

    def __init__(self, num_channels, eps=1e-5):
        super().__init__()
        self.eps = eps
        shape = (1, num_channels, 1, 1)
        self.gamma = self.params.get("gamma", shape=shape, init="ones")
        self.beta = self.params.get("beta", shape=shape, init="zeros")

    def forward(self, X):
        images = []
        for image in X:
            maps = []
            for x in image:
                centred = x - x.mean()
                maps.append(centred / np.sqrt(np.square(centred).mean() + self.eps))
            images.append(np.stack(maps))
        return self.gamma.data() * np.stack(images) + self.beta.data()


NO_SHAPE = (
    "A placeholder has no shape. Write what you compute without it: X.mean(axis=(2, 3), "
    "keepdims=True)."
)
MAPS = "This is layer normalization. Here each channel of each image is normalized by itself."
_HYBRID = {  # a piece of a message, and the hint for it
    "unexpected keyword argument": "hybrid_forward gets each parameter of the block as an argument "
    "with the name of its attribute: def hybrid_forward(self, F, X, gamma, beta).",
    "has no attribute 'shape'": NO_SHAPE,
    "has no attribute 'size'": NO_SHAPE,
    "does not support len()": NO_SHAPE,
    "has no attribute 'data'": "In hybrid_forward a parameter is an argument, without .data().",
    ">' is not iterable": "A placeholder cannot be looped over: its length is not known yet. One line "
    "does all maps: X.mean(axis=(2, 3), keepdims=True).",
    "Symbol": "Placeholders come in while the graph is recorded, and one of them met np or an array "
    "there. Write F.np.square(X), not np.square(X), and take gamma and beta from the arguments, "
    "without .data().",
}


@exercise(
    "7.5",
    "Speed up a slow layer",
    hints=(
        "The mean of each map is one line: X.mean(axis=(2, 3), keepdims=True), of shape (N, C, 1, "
        "1). Broadcasting does the rest, with gamma and beta of shape (1, C, 1, 1).",
        "hybrid_forward(self, F, X, gamma, beta): mean = X.mean(axis=(2, 3), keepdims=True); "
        "var = F.np.square(X - mean).mean(axis=(2, 3), keepdims=True); return gamma * (X - mean) "
        "/ F.np.sqrt(var + self.eps) + beta. Derive the class from nn.HybridBlock.",
    ),
)
def loop_removed(trial, make):
    """A class: the block of num_channels, as LoopNorm computes, without a loop."""
    for shape, std in (((3, 5, 4, 7), 0.3), ((2, 4, 1, 9), 0.002)):
        X = single(trial.rng.normal(1, std, shape))  # in the second, eps matters
        dY = trial.normal(*shape)
        block, slow = _tied(trial, make, X), _tied(trial, LoopNorm, X)
        where = f"{shape[0]} images of {shape[1]} channels"
        outputs = [trial.forward(each, X, hints=_HYBRID) for each in (block, slow)]
        trial.equal(f"{where}: the output", *outputs, *_mistaken(X, slow))
        found, right = trial.step(block, X, dY, hints=_HYBRID), trial.step(slow, X, dY)
        for what, theirs, ours in (
            ("X", found.dX, right.dX),
            ("gamma and beta", flat(found.gradients), flat(right.gradients)),
        ):
            trial.equal(
                f"{where}: the gradient with respect to {what}",
                theirs,
                ours,
                "The output is right, its gradient is not. Is something hidden from autograd, or "
                "is var() used? (The gradient of MXNet's var() is zero.)",
                tolerance=5e-3,
            )
    trial.holds(
        "it is an nn.HybridBlock",
        isinstance(block, nn.HybridBlock),
        "Derive the class from nn.HybridBlock, with hybrid_forward in place of forward.",
    )
    _hybridized(trial, make)


def _tied(trial, make, X):
    return trial.tie(trial.build(make, X.shape[1], like=X, hints=_HYBRID))


def _mistaken(X, slow):
    """The hint for a wrong output, and pairs of a hint and the output of that mistake."""
    X = float64(X)
    gamma, beta = float64(slow.gamma.data()), float64(slow.beta.data())

    def normalized(axes=(2, 3), divisor=lambda var: numpy.sqrt(var + 1e-5)):
        centred = X - X.mean(axis=axes, keepdims=True)
        return gamma * centred / divisor((centred**2).mean(axis=axes, keepdims=True)) + beta

    n = X.shape[2] * X.shape[3]
    return "Each map has a mean and a variance of its own: that of its height and width.", [
        (
            "This is batch normalization. Here each image is normalized by itself.",
            normalized((0, 2, 3)),
        ),
        (MAPS, normalized((1, 2, 3))),
        (ROOT, normalized(divisor=lambda var: numpy.sqrt(var) + 1e-5)),
        (NO_EPS, normalized(divisor=numpy.sqrt)),
        (NO_ROOT, normalized(divisor=lambda var: var + 1e-5)),
        (
            "Divide by the number of values, not by one less: LoopNorm has the biased variance.",
            normalized(divisor=lambda var: numpy.sqrt(var * n / (n - 1) + 1e-5)),
        ),
        ("gamma multiplies, and beta is added.", (normalized() - beta) / gamma),
        ("beta is missing.", normalized() - beta),
    ]


def _hybridized(trial, make):
    """Compare the block with itself before and after hybridize(), and count what it records."""
    nodes = []
    for channels in (3, 9):
        X, more = trial.normal(4, channels, 5, 5), trial.normal(7, channels, 6, 3)
        block = _tied(trial, make, X)
        batches = [(batch, trial.normal(*batch.shape)) for batch in (X, more)]
        before = [trial.step(block, *batch) for batch in batches]
        block.hybridize()
        for batch, right, which in zip(batches, before, ("", ", also for other sizes")):
            found = trial.step(block, *batch, hints=_HYBRID)
            for what, theirs, ours in (
                ("output", found.Y, right.Y),
                ("gradient with respect to X", found.dX, right.dX),
            ):
                trial.equal(
                    f"hybridized it gives the same {what}{which}",
                    theirs,
                    ours,
                    "Hybridized, it gives something else: does Python loop, or keep a size of the "
                    "first input?",
                    tolerance=1e-3,
                )
        graph = getattr(block, "_cached_graph", None)
        trial.holds(
            "MXNet has a graph of it",
            bool(graph),
            "It still runs in Python: compute in hybrid_forward(self, F, X, ...), and leave out "
            "forward.",
        )
        nodes.append(len(graph[1].get_internals()))
    trial.holds(
        "its graph is as long for 9 channels as for 3",
        nodes[0] == nodes[1],
        "There is still a loop over the channels. One line computes the means of all maps.",
        f"{nodes[1]} steps for 9 channels, {nodes[0]} for 3",
    )


# --- 7.6 ---


@exercise(
    "7.6a",
    "Zoo: no slow layer anywhere",
    hints=(
        "When the second clock is read, is the output of the layer there already?",
        "Put npx.waitall() between X = layer(X) and the second time.perf_counter().",
    ),
    options={
        "a": (
            False,
            "perf_counter() counts in less than a millionth of a second. These times are longer.",
        ),
        "b": (
            True,
            "MXNet puts the work of a layer into a queue and returns. The clock is stopped before "
            "the work is done, so it shows how long the queueing takes.",
        ),
        "c": (
            False,
            "Each layer has been called before, so nothing is compiled or allocated anew.",
        ),
        "d": (
            False,
            "The whole network takes far longer than the sum. Even a fast library needs time for "
            "each multiplication.",
        ),
    },
)
def stopped_too_early(trial, hypothesis_a, function):
    """hypothesis_a: a letter; function(layers, X) -> milliseconds of each layer, repaired."""
    lengths = numpy.array([20, 90, 40, 20])  # long beside what waking up takes on a busy machine
    layers = [_Narrowing(length, width) for length, width in zip(lengths, (9, 8, 7, 6))]
    X, what = trial.normal(3, 9), "the milliseconds of each layer"
    hints = {_Narrowing.COMPLAINT: "Each layer takes the output of the one before: X = layer(X)."}

    def answer():
        found = trial.array(what, trial.call(function, layers, X, hints=hints), (len(layers),))
        if max(found) > 0 and _apart(1000 * max(found), max(lengths)) < NEAR:
            raise Wrong(what, "These are seconds. The function returned milliseconds.")
        return found

    def hint(found):
        if _apart(found[1:], numpy.cumsum(lengths)[1:]) < NEAR:  # the first is short, and so jumps
            return "The times add up: start the clock anew for each layer."
        if max(found[2:]) > lengths[1]:
            return (
                "The time of one layer is counted with a later one: wait for the end of each layer, "
                "before you stop its clock."
            )
        return (
            "The symptom is still there: a clock is stopped before the work of its layer is done."
        )

    _judge(trial, what, answer, lengths, hint)


class _Sleeper(nn.Block):
    """A layer that takes a known time, in the background, and does nothing else."""

    def __init__(self, milliseconds):
        super().__init__()
        self.milliseconds = milliseconds

    def forward(self, X):
        return _asleep(X, self.milliseconds)


class _Narrowing(_Sleeper):
    """Takes inputs of one width only, and leaves out their first column."""

    COMPLAINT = "this layer was made for an input of shape"

    def __init__(self, milliseconds, width):
        super().__init__(milliseconds)
        self.width = width

    def forward(self, X):
        if X.shape[1] != self.width:
            raise ValueError(f"{self.COMPLAINT} (3, {self.width}), not {X.shape}")
        return super().forward(X)[:, 1:]


class _Compiled(_Sleeper):
    """Takes longer in its first call after hybridize(), and in every call without hybridize()."""

    first, recorded, active, last, calls = 0.1, False, False, 0, 0

    def hybridize(self, active=True, **settings):
        self.recorded, self.active = False, active

    def forward(self, X):
        if not self.recorded:
            _sleep(self.first)
        self.recorded = self.active
        self.calls += 1
        if self.calls % 20 == 0:
            npx.waitall()  # so that the queue stays short, should the time limit end the loop
        self.last = super().forward(X + 0 * self.last)  # one call after the other
        return self.last


DILUTED = (
    "The layers of the check are slow, and ten calls are enough. More calls only dilute what is "
    "wrong: look at the first one."
)


@exercise(
    "7.6b",
    "Zoo: slower than itself",
    hints=(
        "What happens in the first call after hybridize() that does not happen in the second?",
        "Before the clock starts, call each network once and wait: net(X), other(X), "
        "npx.waitall().",
    ),
    options={
        "a": (False, "npx.waitall() is there, before the clock is stopped."),
        "b": (
            True,
            "After hybridize() the first call records the graph and reserves memory. The network "
            "that is timed first pays for that. When it is timed again, nothing is left to record. "
            "Each call of the function pays anew: hybridize() discards the old graph.",
        ),
        "c": (
            False,
            "Ten calls are few, and the numbers jump. But chance would jump to both sides of 1.",
        ),
        "d": (False, "Both times it is the same network, with the same number of threads."),
    },
)
def first_call_timed(trial, hypothesis_b, function):
    """hypothesis_b: a letter; function(net, other, X) -> how many times as long, repaired."""
    X = trial.normal(3, 4)
    one, small, large = _Compiled(10), _Compiled(10), _Compiled(40)
    cases = [  # what a call takes besides its sleep blurs the ratio of unequal networks
        ("a network and itself", (one, one), NEAR),
        ("a network and itself", (one, one), NEAR),
        ("a small network and a large one", (small, large), 2),
        ("a large network and a small one", (large, small), 2),
    ]
    for case, pair, near in cases:
        what = f"{case}: the ratio"

        def answer(pair=pair, what=what):
            for each in pair:
                each.hybridize(False)
                each.calls = 0
            try:
                found = trial.number(what, trial.call(function, *pair, X))
            except Wrong as wrong:
                if "still running" in wrong.what:
                    wrong.hint = DILUTED
                    npx.waitall()
                raise
            if not all(each.active for each in pair):
                raise Wrong(what, "Both networks should be hybridized, as the docstring says.")
            return found

        def hint(found, pair=pair):
            if _apart(found, pair[1].milliseconds / pair[0].milliseconds) < NEAR:
                return "This is the other way round: how many times as long the first takes."
            return (
                "The measured time still includes a first call, and more calls only dilute it. "
                "Call each network once before the clock starts, after hybridize()."
            )

        _judge(trial, what, answer, pair[0].milliseconds / pair[1].milliseconds, hint, near)
        if pair == (one, one):  # a first call as long as all others, so that they do not dilute it
            one.first = one.calls / 2 * one.milliseconds / 1000
            small.first = large.first = one.calls / 2 * large.milliseconds / 1000
