"""The checks of exercises 07, on speed.

A measured time is never compared with a number of seconds, only with another time that the check
measures beside it, and with a wide margin. Where two measurements of the check itself disagree, it
says so instead of a verdict.
"""

import linecache
import statistics
import sys
import time
from contextlib import contextmanager

import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.base import _LIB
from mxnet.gluon import nn

from ..nets import sequential
from ..timing import seconds
from .engine import EXACT, LIBRARIES, Unsettled, Wrong, described, exercise
from .reference import float64, single
from .words import NO_EPS, NO_ROOT, ROOT

NEAR = 1.4  # a ratio of times may be off by this factor: mistakes are off by more
FASTER = 3  # times as fast as a loop: without the loop it is twenty times or more


def _times_apart(a, b):
    """How many times as large the larger of two positive numbers is."""
    return max(a / b, b / a) if min(a, b) > 0 else numpy.inf


def _settled(measure, what="The check compared the same two things twice"):
    """The mean of two measurements of one ratio, or Unsettled if they are too far apart."""
    for _ in range(3):
        found = measure(), measure()
        if _times_apart(*found) < 1.25:
            return statistics.mean(found)
    raise Unsettled(
        f"{what} and found {found[0]:.2f} and {found[1]:.2f}: other programs disturb the "
        "measurement. Run the check again when the machine has less to do."
    )


def _ratio(work, other, rounds=5):
    """How many times as long `work` takes as `other`: the median over rounds in turns."""
    seconds(work), seconds(other)
    return statistics.median(seconds(work) / seconds(other) for _ in range(rounds))


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
    9: (True, "item() makes a Python number of an array, and so needs the number."),
}


@exercise(
    "7.1",
    "Which lines wait?",
    hints=(
        "Go through the lines one by one. Does Python need a *number* to go on, or only an array "
        "whose numbers may come later? Three of the nine lines need one.",
        "An `if` needs a number, and so does printing one or making a Python number of it: lines "
        "6, 7 and 9.",
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
                "Does this line need a number to go on, or only an array that may be filled later?",
                "it waits" if number in found else "it does not wait",
                "the other",
            )
        trial.holds(f"line {number}: {reason}", True, "")


# --- 7.2 ---


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
            ("This is the number of weights. Each is used at every position.", weights),
            (
                "This is for one position. The output has 10 * 10 in each channel and image.",
                adds / 100 / 100,
            ),
        ],
        tolerance=EXACT,
    )
    trial.equal(
        "the bytes that the convolution moves",
        conv_bytes,
        moved,
        "The input once, the weights once, the output once, 4 bytes for each number.",
        [
            ("These are numbers. Each has 4 bytes.", moved / 4),
            ("The weights are read as well.", 4 * 2 * numbers),
            ("The output is written as well.", 4 * (numbers + weights)),
            ("There are 64 * 64 * 3 * 3 weights.", 4 * (2 * numbers + 576)),
            ("This is bits, not bytes: 4 bytes for each number.", 8 * moved),
        ],
        tolerance=2e-4,
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
        tolerance=3e-4,  # scale and shift of each channel, if somebody counts them
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
    """Work of a known length: it sleeps. `longer(call)` multiplies the time of each call, counted
    from 0. The list `calls` may be shared."""

    def __init__(self, milliseconds, longer=lambda call: 1, calls=None):
        self.milliseconds, self.longer = milliseconds, longer
        self.calls, self.off = [] if calls is None else calls, []

    def __call__(self):
        asked = self.milliseconds / 1000 * self.longer(len(self.calls))
        self.calls.append(self)
        start = time.perf_counter()
        time.sleep(asked)
        self.off.append((time.perf_counter() - start) / asked)


def _naps(case):
    """Works of a known length: fresh ones each time."""
    if case == "three of different length":
        return [_Nap(6), _Nap(3), _Nap(12)]
    if case == "a long first call":
        return [_Nap(6), _Nap(3, lambda call: 50 if call == 0 else 1)]
    if case == "some interrupted calls":
        return [_Nap(3, lambda call: 10 if call % 4 == 2 else 1), _Nap(6)]
    calls = []  # of both together
    slower = {"longer": lambda call: 1 + min(call, 16) / 4, "calls": calls}
    return [_Nap(6, **slower), _Nap(3, **slower)]


CASES = {
    "three of different length": "",
    "a long first call": "The first call took fifty times as long as the others, as if it had "
    "compiled something. Call each function once before you measure.",
    "some interrupted calls": "Every fourth call of one function took ten times as long, as if "
    "another program had interrupted it. The mean and the sum suffer from that, the median does "
    "not.",
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
        for _ in range(3):  # a disturbance passes, a mistake stays
            works = _naps(case)
            lengths = numpy.array([work.milliseconds for work in works])
            right = lengths / lengths.min()
            found = trial.call(function, works)
            off = [statistics.median(work.off) for work in works if work.off]
            found = trial.array(f"{case}: the ratios", found, right.shape)
            if all(_times_apart(*pair) < NEAR for pair in zip(found, right)):
                break
        else:
            calm = len(off) == len(works) and max(off) < 1.3
            known = _known(found, lengths) if not hint else ""
            if not calm and not known and off:
                raise Unsettled(
                    f"{case}: a pause that should take 3 ms takes {3 * max(off):.1f} ms: other "
                    "programs disturb the measurement. Run the check again when the machine has "
                    "less to do."
                )
            unused = "Each function in the list should be called, several times."
            seen = ", ".join(f"{value:.3g}" for value in found)
            expected = "about " + ", ".join(f"{value:g}" for value in right)
            hint = hint or known or "Divide each time by that of the fastest function."
            raise Wrong(f"{case}: the ratios", hint if off else unused, seen, expected)
        trial.holds(f"{case}: the ratios", True, hint)
    what = "work that goes on in the background: the ratios"
    A, b = trial.normal(800, 800), trial.normal(8, 8)

    def large():
        np.dot(A, A)

    def small():
        for _ in range(40):
            np.dot(b, b)

    right = _settled(lambda: _ratio(large, small))
    for _ in range(3):
        found = trial.array(what, trial.call(function, [small, large]), (2,))
        if _times_apart(found[1], right) < 1.8 and _times_apart(found[0], 1) < 1.1:
            break
    again = _settled(lambda: _ratio(large, small))
    if _times_apart(right, again) > NEAR:
        raise Unsettled(
            f"{what}: the check itself found {right:.1f} before and {again:.1f} afterwards. Run it "
            "again when the machine has less to do."
        )
    trial.holds(
        what,
        _times_apart(found[1], right) < 1.8 and _times_apart(found[0], 1) < 1.1,
        "np.dot returns before the product is there. Wait with npx.waitall() before you stop the "
        "clock.",
        ", ".join(f"{value:.3g}" for value in found),
        f"about 1, {right:.3g}",
    )


def _known(found, lengths):
    """A hint for times that were divided by something else, or by nothing."""
    mistakes = (
        ("Divide by the time of the fastest. These are relative to the first.", lengths[0]),
        ("Divide by the time of the fastest. These are relative to the slowest.", lengths.max()),
        ("These are times, in seconds. Divide each by that of the fastest function.", 1000),
        ("These are times. Divide each by that of the fastest function.", 1),
    )
    for hint, divisor in mistakes:
        if all(_times_apart(*pair) < NEAR for pair in zip(found, lengths / divisor)):
            return hint
    if all(_times_apart(*pair) < NEAR for pair in zip(found, lengths.min() / lengths)):
        return "These say how many times as fast. Asked is how many times as long: 1 or more."
    return ""


# --- 7.4 ---

WAITING = ("MXNDArraySyncCopyToCPU", "MXNDArrayWaitToRead", "MXNDArrayWaitAll")
FEW = 5  # waits that do not depend on the number of batches


@contextmanager
def _counted(lines):
    """Note each wait for the processor as the line of the learner's code that waits."""
    kept = {name: getattr(_LIB, name) for name in WAITING}

    def counting(function):
        def wait(*arguments):
            lines.append(_line(sys._getframe(1)))
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
    return sequential(nn.Dense(12, in_units=20), nn.Activation("relu"), nn.Dense(3, in_units=12))


def _trainer(net):
    settings = {"learning_rate": 0.1, "momentum": 0.8}
    return gluon.Trainer(net.collect_params(), "sgd", settings)


def _epoch(net, trainer, parts):
    """The mean loss and the accuracy over all images, in the plainest way."""
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    total, correct, images = 0, 0, 0
    for X, y in parts:
        with autograd.record():
            scores = net(X)
            losses = loss_function(scores, y)
        losses.backward()
        trainer.step(len(y))
        total += losses.sum().item()
        correct += (scores.argmax(axis=1) == y).sum().item()
        images += len(y)
    return total / images, correct / images


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
        net, plain = (trial.tie(trial.build(_small_net)) for _ in range(2))
        before, lines = _weights(net), []
        right = _epoch(plain, _trainer(plain), parts)
        returned = trial.call(_counting, function, net, parts, lines)
        values = trial.several(returned, ("mean_loss", "accuracy"))
        images, every = 16 * (count - 1) + 5, "Divide by the number of all images."
        for name, found, expected in zip(("mean loss", "accuracy"), values, right):
            trial.equal(
                f"{count} batches: the {name}",
                found,
                expected,
                f"It should be that of all {images} images together. The last batch is smaller.",
                [
                    (f"This is a sum. {every}", expected * images),
                    (
                        f"{every} This is divided by the number of batches.",
                        expected * images / count,
                    ),
                ],
                tolerance=1e-3,
            )
        trial.equal(
            f"{count} batches: the weights after the epoch",
            trial.call(_weights, net),
            _weights(plain),
            "Each batch needs one backward pass and one step, as before.",
            [("The weights are what they were: does the trainer make a step?", before)],
        )
        most = max(lines, key=lines.count, default="")
        times = lines.count(most)
        trial.holds(
            f"{count} batches: it waits at most {FEW} times",
            len(lines) <= FEW,
            f"It still waits in each batch. This line waits {times} times: {most}"
            if most and times > 1
            else "It still waits in each batch.",
            len(lines),
            f"at most {FEW}, however many batches there are",
        )
    for what, value in (("NaN", "nan"), ("infinite", "inf")):
        parts = _parts(trial, [16, 16, 16])
        parts[1][0][2] = float(value)
        net = trial.tie(trial.build(_small_net))
        trial.holds(
            f"images with a number that is {what}: a ValueError",
            trial.call(_raises, function, net, parts),
            "It should still raise a ValueError if a loss is not finite. After the last batch is "
            "early enough.",
        )


def _parts(trial, sizes):
    return [
        (trial.normal(n, 20), np.array(trial.rng.integers(0, 3, n), dtype="int64")) for n in sizes
    ]


def _counting(function, net, parts, lines):
    trainer = _trainer(net)
    with _counted(lines):
        return function(net, trainer, parts)


def _raises(function, net, parts):
    try:
        function(net, _trainer(net), parts)
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


_HYBRID = {  # a piece of a message, and the hint for it
    "unexpected keyword argument": "hybrid_forward gets each parameter of the block as an argument "
    "with the name of its attribute: def hybrid_forward(self, F, X, gamma, beta).",
    "has no attribute 'shape'": "A placeholder has no shape. Write what you compute without it: "
    "X.mean(axis=(2, 3), keepdims=True).",
    "has no attribute 'data'": "In hybrid_forward a parameter is an argument, without .data().",
    "Symbol": "Placeholders come in while the graph is recorded: write F.np.square(X), not "
    "np.square(X), and loop over nothing.",
}


@exercise(
    "7.5",
    "Mend a slow layer",
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
    for shape in ((3, 5, 4, 7), (2, 4, 1, 6)):
        X = single(trial.rng.normal(1, 0.01, shape))  # eps matters beside such a variance
        dY = trial.normal(*shape)
        block, slow = _tied(trial, make, X), _tied(trial, LoopNorm, X)
        found, right = trial.step(block, X, dY, hints=_HYBRID), trial.step(slow, X, dY)
        where = f"{shape[0]} images of {shape[1]} channels"
        trial.equal(f"{where}: the output", found.Y, right.Y, *_mistaken(X, slow))
        for what, theirs, ours in (
            ("X", found.dX, right.dX),
            ("gamma and beta", _flat(found.gradients), _flat(right.gradients)),
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
    X, dY = trial.normal(8, 16, 8, 8), trial.normal(8, 16, 8, 8)
    block, slow = _tied(trial, make, X), _tied(trial, LoopNorm, X)
    block.hybridize()
    ratio = _settled(lambda: _ratio(_both_ways(slow, X, dY), _both_ways(block, X, dY), rounds=3))
    trial.holds(
        f"it is at least {FASTER} times as fast as the loop",
        ratio >= FASTER,
        "Something still goes through the images or channels one at a time.",
        ratio,
        f"{FASTER} or more",
    )


def _tied(trial, make, X):
    return trial.tie(trial.build(make, X.shape[1], like=X, hints=_HYBRID))


def _flat(gradients):
    """All gradients in one array, in an order that depends on their kinds and shapes."""
    return numpy.concatenate([a for key in sorted(gradients, key=str) for a in gradients[key]])


def _mistaken(X, slow):
    """The hint for a wrong output, and pairs of a hint and the output of that mistake."""
    X = float64(X)
    gamma, beta = float64(slow.gamma.data()), float64(slow.beta.data())

    def normalized(axes=(2, 3), divisor=lambda var: numpy.sqrt(var + 1e-5)):
        centred = X - X.mean(axis=axes, keepdims=True)
        return gamma * centred / divisor((centred**2).mean(axis=axes, keepdims=True)) + beta

    n = X.shape[2] * X.shape[3]
    return "Each map has a mean and a variance of its own: that of its height and width.", [
        ("This is batch normalization: here the images are not averaged.", normalized((0, 2, 3))),
        ("This is layer normalization: each channel by itself.", normalized((1, 2, 3))),
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
        before = [trial.forward(block, batch) for batch in (X, more)]
        block.hybridize()
        for batch, expected, which in zip((X, more), before, ("", ", also for other sizes")):
            trial.equal(
                f"hybridized it gives the same{which}",
                trial.forward(block, batch, hints=_HYBRID),
                expected,
                "Hybridized, it gives something else: does Python loop, or keep a size of the "
                "first input?",
                tolerance=EXACT,
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


def _both_ways(block, X, dY):
    X = X.copy()
    X.attach_grad()

    def work():
        with autograd.record():
            Y = block(X)
        Y.backward(dY)

    return work


# --- 7.6 ---


@exercise(
    "7.6a",
    "Zoo: every layer takes the same",
    hints=(
        "When the second clock is read, is the output of the layer there already?",
        "Between X = layer(X) and the second time.perf_counter() there belongs npx.waitall().",
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
    units = 1000
    layers = [
        trial.build(lambda: nn.Activation("relu")),
        trial.build(lambda: nn.Dense(units, in_units=units, use_bias=False)),
        trial.build(lambda: nn.Activation("relu")),
        trial.build(lambda: nn.Dense(2, in_units=units)),
    ]
    X = trial.normal(400, units)

    def measured(measure):
        runs = [measure() for _ in range(5)]
        return numpy.median(numpy.array(runs), axis=0)

    def own():
        return measured(lambda: _milliseconds(layers, X))[1]

    what = "the milliseconds of each layer"

    def learners():
        return trial.array(what, trial.call(function, layers, X), (len(layers),))

    _milliseconds(layers, X)
    large = _settled(own)
    found = measured(learners)
    again = _settled(own)
    if _times_apart(large, again) > NEAR:
        raise Unsettled(
            f"The check itself found {large:.1f} ms before and {again:.1f} ms afterwards for one "
            "layer. Run it again when the machine has less to do."
        )
    seen = ", ".join(f"{ms:.2g}" for ms in found)
    late = found[-1] > large / 2 or found[2] > large / 2
    hint = "The symptom is still there: the clock is stopped before the work is done."
    if _times_apart(1000 * found[1], large) < 2:
        hint = "These are seconds. The function returned milliseconds."
    elif late:
        hint = "The time of the large layer is counted with a later one: wait after each layer."
    elif found[1] > 2 * large:
        hint = "Each layer should run once, and its time should count once."
    trial.holds(
        "a large dense layer takes as long as when it is measured alone",
        _times_apart(found[1], large) < 2,
        hint,
        f"{seen} ms",
        f"{large:.2g} ms for the second of four",
    )
    trial.holds(
        "and small layers take much less",
        max(found[0], found[2], found[3]) < found[1] / 2,
        hint if late else "The time of a layer begins when the layer before it has finished.",
        f"{seen} ms",
    )


def _milliseconds(layers, X):
    times = []
    for layer in layers:
        npx.waitall()
        start = time.perf_counter()
        X = layer(X)
        npx.waitall()
        times.append(1000 * (time.perf_counter() - start))
    return times


class _Traced(nn.HybridBlock):
    """Does nothing, and takes its time whenever Python runs it: when its graph is recorded."""

    def hybrid_forward(self, F, X):
        time.sleep(0.06)
        return F.npx.relu(X)


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
            "that is timed first pays for that. When it is timed again, nothing is left to record.",
        ),
        "c": (False, "Ten calls are few, but the same happens each time, and always to the first."),
        "d": (False, "Both times it is the same network, with the same number of threads."),
    },
)
def first_call_timed(trial, hypothesis_b, function):
    """hypothesis_b: a letter; function(net, other, X) -> how many times as long, repaired."""
    X = trial.normal(200, 400)

    def net(depth):
        def make():
            layers = [nn.Dense(400, in_units=400, use_bias=False) for _ in range(depth)]
            return sequential(_Traced(), *layers)

        return trial.build(make)

    one, small, large = net(2), net(1), net(6)
    cases = {
        "a network and itself": (one, one),
        "a small network and a large one": (small, large),
        "a large network and a small one": (large, small),
    }
    for what, pair in cases.items():
        for each in pair:
            each.hybridize()
        ratio = _settled(lambda pair=pair: _ratio(lambda: pair[0](X), lambda: pair[1](X), rounds=9))
        for _ in range(3):  # a disturbance passes, a mistake stays
            for each in pair:
                each.hybridize(False)
            found = trial.number(f"{what}: the ratio", trial.call(function, *pair, X))
            if _times_apart(found, ratio) < NEAR:
                break
        trial.holds(
            f"{what}: the ratio",
            _times_apart(found, ratio) < NEAR,
            "This is the other way round: how many times as long the first takes."
            if _times_apart(found, 1 / ratio) < NEAR
            else "A first call is still in the measured time. Call each network once before the "
            "clock starts, after hybridize().",
            found,
            ratio,
        )
