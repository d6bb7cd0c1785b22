"""The checks of exercises 05, why batch normalization works."""

import math
import re

import numpy
from mxnet import autograd, gluon, np
from mxnet.gluon import nn

from ..nets import sequential
from .engine import Wrong, described, exercise
from .reference import backward, float64, single
from .running import trained
from .words import BIASED, NO_EPS, NO_ROOT, ROOT

ROUNDED = 0.006  # relative: two digits are enough where one computes by hand
EPS = 1e-5


@exercise(
    "5.1",
    "One unit by hand",
    hints=(
        "Perpendicular: 3 * 8 + 4 * second = 0. Longer weights have shorter gradients: divide by the "
        "factor. For the squared length use Pythagoras, or compute the new weights and their length.",
        "second is -6, so the gradient is (8, -6), of length 10. At twice the weights it is (4, -3). "
        "The step leads to (-1, 7). And lr / |w| ** 2 has to stay the same, while |w| doubles.",
    ),
)
def one_unit(trial, second, at_double, squared_length, rate_at_double):
    """Four answers about the weights (3, 4), whose gradient begins with 8, and a step of 0.5."""
    trial.equal(
        "the second component of the gradient",
        second,
        -6,
        "The gradient is perpendicular to the weights: 3 * 8 + 4 * second = 0.",
        [
            ("The sign: 3 * 8 + 4 * second must be 0.", 6),
            ("That is parallel to the weights. The gradient is perpendicular to them.", 32 / 3),
            ("4 and 3 are the other way round: 3 * 8 + 4 * second = 0.", -32 / 3),
        ],
        tolerance=ROUNDED,
        secret=True,
    )
    what = "the gradient at (6, 8)"
    trial.equal(
        what,
        trial.numbers(what, at_double),
        (4, -3),
        "At the point a * w the gradient is 1 / a times that at w. Here a = 2.",
        [
            ("It is not the same: longer weights have shorter gradients.", (8, -6)),
            ("It gets shorter, not longer: divide by 2.", (16, -12)),
            ("Divide by 2, not by 4: the square comes in with the learning rate.", (2, -1.5)),
            ("Mind the sign: it has the direction of the gradient at (3, 4).", (4, 3)),
            ("Mind the sign: it has the direction of the gradient at (3, 4).", (-4, 3)),
        ],
        tolerance=ROUNDED,
        secret=True,
    )
    trial.equal(
        "the squared length after the step",
        squared_length,
        50,
        "Pythagoras: the step is perpendicular to the weights, so the squared lengths add.",
        [
            ("The square of it is asked for.", 50**0.5),
            ("A step of finite size does not only turn the weights: it makes them longer.", 25),
            ("The step is 0.5 times as long as the gradient.", 125),
            ("The learning rate is squared, too: the step has length 0.5 * 10.", 75),
            ("The step and the weights are perpendicular: their squared lengths add.", 0),
            ("That adds the lengths. Pythagoras adds their squares.", 100),
        ],
        tolerance=ROUNDED,
        secret=True,
    )
    trial.equal(
        "the learning rate at (6, 8) that turns the weights as far",
        rate_at_double,
        2,
        "lr / |w| ** 2 decides how far a step turns the weights, and |w| has doubled.",
        [
            ("With that rate the step turns them only a quarter as far.", 0.5),
            (
                "The weights are twice as long, and the gradient is half as long as well: both count.",
                1,
            ),
            ("Longer weights need a larger rate, not a smaller one.", 0.125),
            ("Longer weights need a larger rate, not a smaller one.", 0.25),
            ("How many times as large is not the question: the rate is. Before, it was 0.5.", 4),
        ],
        tolerance=ROUNDED,
        secret=True,
    )


# --- paths ---


def _problem(trial, inputs, units):
    """A batch and targets for units in front of a normalization, in float64."""
    shapes = {"X": (20, inputs), "V": (units, 2), "target": (20, 2)}
    return {name: trial.rng.normal(0, 1, shape) for name, shape in shapes.items()}


def _path(problem, weights, rates, decay=0.0):
    """The losses of gradient descent, and each unit's direction at the end.

    weights: (units, ...); rates: for each step a number, or an array with one for each unit. The
    outputs of the units are normalized over the batch, without epsilon.
    """
    X, V, target = (np.array(problem[name], dtype="float64") for name in ("X", "V", "target"))
    w, losses = float64(weights).reshape(len(weights), -1), []
    for rate in rates:
        W = np.array(w, dtype="float64")
        W.attach_grad()
        with autograd.record():
            z = np.dot(X, W.T)
            centred = z - z.mean(axis=0)
            x_hat = centred / np.sqrt((centred**2).mean(axis=0))
            loss = ((np.dot(np.tanh(x_hat), V) - target) ** 2).mean()
        loss.backward()
        rate = float64(rate).reshape(-1, 1)
        w = (1 - rate * decay) * w - rate * float64(W.grad)
        losses.append(loss.item())
    return numpy.array(losses), w / numpy.linalg.norm(w, axis=1, keepdims=True)


def _same_path(trial, what, found, expected, hint):
    """Note that two results of `_path` agree: evidence for the learner, whose numbers are right."""
    for which, one, other in zip(("losses", "directions at the end"), found, expected):
        trial.equal(f"{what}: the same {which}", one, other, hint)


# --- 5.2 ---


@exercise(
    "5.2",
    "Length one",
    hints=(
        "The length of a unit's weights is the root of the sum of their squares, over all axes but "
        "the first. Divide the weights by it, and the learning rate by its square.",
        "axes = tuple(range(1, w.ndim)), then length = np.sqrt((w**2).sum(axis=axes, keepdims=True)), "
        "then return w / length, lr / length**2. For the last question: the rate grows by 3 ** 2, "
        "and rate * decay stays what it was.",
    ),
)
def unit_length(trial, function, rate, decay):
    """function(w, lr) -> the weights with units of length 1, a rate for each unit; rate, decay: for
    weights three times as long, instead of 0.1 and 0.01."""
    for name, shape in (("convolution", (5, 2, 3, 3)), ("dense layer", (4, 7))):
        spread = trial.rng.uniform(0.2, 3, (shape[0], *[1] * (len(shape) - 1)))
        w = spread * trial.rng.normal(0.3, 1, shape)
        lr = trial.rng.uniform(0.05, 0.5)
        result = trial.call(
            function,
            np.array(w, dtype="float64"),
            lr,
            hints={
                "eduction axis": "A dense layer has two axes, a convolution four. All but the first "
                "are tuple(range(1, w.ndim)).",
            },
        )
        weights, rates = trial.several(result, ("weights", "rates"))
        axes = tuple(range(1, w.ndim))
        length = numpy.sqrt((w**2).sum(axis=axes, keepdims=True))
        whole = numpy.sqrt((w**2).sum())
        inner = numpy.sqrt((w**2).sum(axis=w.ndim - 1, keepdims=True))
        std = w.std(axis=axes, keepdims=True)
        mistakes = [
            (
                "That is the length of all weights together. Each unit has its own normalization "
                "behind it, so each unit counts for itself.",
                w / whole,
            ),
            ("The length is the root of the sum of the squares.", w / length**2),
            (
                "The sum of the squares, not their mean: this is not length 1.",
                w / length * (w[0].size ** 0.5),
            ),
            (
                "Nothing but the length may change: do not subtract the mean.",
                (w - w.mean(axis=axes, keepdims=True)) / std,
            ),
            ("The lengths are what they were: divide each unit's weights by their length.", w),
        ]
        if w.ndim == 4:
            rows = numpy.sqrt((w**2).sum(axis=(2, 3), keepdims=True))
            per_input = "All weights of a unit count together: sum over every axis but the first."
            mistakes += [(per_input, w / rows), (per_input, w / inner)]
        trial.equal(
            f"a {name}: the weights of each unit have length 1, and their old direction",
            weights,
            w / length,
            "Divide the weights of each unit by their length: sum over every axis but the first.",
            mistakes,
        )
        what = f"a {name}: the learning rate for each unit"
        found = trial.array(what, rates, shape=None)
        try:
            found = numpy.broadcast_to(found, w.shape)
        except ValueError:
            raise Wrong(
                what,
                "rates * gradient should multiply the gradient of each unit by its rate: sum with "
                "keepdims=True.",
                f"of shape {found.shape}",
                f"of shape {length.shape}",
            ) from None
        trial.equal(
            what,
            found,
            numpy.broadcast_to(lr / length**2, w.shape),
            "lr / |w| ** 2 has to stay what it was, and the new |w| is 1.",
            [
                (hint, numpy.broadcast_to(wrong, w.shape))
                for hint, wrong in (
                    (
                        "Divide by the square of the length: shorter weights have longer gradients "
                        "as well.",
                        lr / length,
                    ),
                    (
                        "The other way round: a unit with long weights learns slowly, so with length 1 "
                        "it needs a smaller rate.",
                        lr * length**2,
                    ),
                    (
                        "The other way round: a unit with long weights learns slowly, so with length 1 "
                        "it needs a smaller rate.",
                        lr * length,
                    ),
                    (
                        "The rate is what it was. Should it be? If you divide it by length ** 2, is "
                        "`length` still that of the old weights?",
                        lr,
                    ),
                    (
                        "Each unit has a length of its own, so each gets its own rate.",
                        lr / whole**2,
                    ),
                )
            ],
        )
        problem = _problem(trial, w[0].size, len(w))
        rates = found.reshape(len(w), -1)[:, 0]
        _same_path(
            trial,
            f"a {name}, 20 steps from the old and from the new weights",
            _path(problem, trial.array("the weights", weights, w.shape), 20 * [rates]),
            _path(problem, w, 20 * [lr]),
            "lr / |w| ** 2 has to stay what it was, for each unit.",
        )
    trial.equal(
        "the rate for weights three times as long",
        rate,
        0.9,
        "lr / |w| ** 2 has to stay what it was.",
        [
            ("The square of the length counts: 3 ** 2.", 0.3),
            ("Longer weights need a larger rate.", 0.1 / 9),
            ("Longer weights need a larger rate.", 0.1 / 3),
            ("Longer weights have shorter gradients: the rate has to change.", 0.1),
            ("That is how many times as large it is. Before, it was 0.1.", 9),
        ],
        tolerance=ROUNDED,
        secret=True,
    )
    trial.equal(
        "the decay for weights three times as long",
        decay,
        0.01 / 9,
        "Each step multiplies the weights by 1 - rate * decay. That factor does not depend on how "
        "long they are, so rate * decay has to stay what it was.",
        [
            (
                "The same decay at a larger rate shrinks the weights faster: rate * decay has to stay "
                "what it was.",
                0.01,
            ),
            ("The rate has grown by 9, not by 3.", 0.01 / 3),
            ("rate * decay has to stay what it was, and the rate has become larger.", 0.09),
            ("That is rate * decay. Divide by the new rate.", 0.001),
        ],
        tolerance=0.02,
        secret=True,
    )


# --- 5.3 ---


@exercise(
    "5.3",
    "Decay as a schedule",
    hints=(
        "Before step t the shrinking has multiplied the weights by the product P of all factors "
        "1 - rate * decay so far. Put w = P * v on both sides of the step, and divide by the "
        "product that includes this step's factor.",
        "before = 1; for each rate: after = before * (1 - rate * decay); the new rate is "
        "rate / (before * after); before = after. For the steps: 0.99995 ** (-2 * t) = 10.",
    ),
)
def decay_as_schedule(trial, function, steps):
    """function(rates, decay) -> rates without decay; steps: until they are ten times as large.

    Source: Li & Arora 2020, section 2; here without momentum, at any rates.
    """
    decay = trial.rng.uniform(0.15, 0.25)
    falling = numpy.linspace(0.6, 0.1, 9) * trial.rng.uniform(0.9, 1.1)
    cases = {
        "a constant rate, 6 steps": numpy.full(6, trial.rng.uniform(0.3, 0.5)),
        "a falling rate, 9 steps": falling,
        "a rate that rises from 0, 7 steps": numpy.linspace(0, trial.rng.uniform(0.5, 0.7), 7),
    }
    for name, rates in cases.items():
        T = len(rates)
        hints = {"'cumprod'": "MXNet's np has no cumprod, NumPy has: numpy.cumprod."}
        result = trial.call(function, rates.tolist(), decay, hints=hints)
        what = f"{name}: the rates without decay"
        found = trial.numbers(what, result)
        factors = 1 - rates * decay
        after = numpy.cumprod(factors)
        before = after / factors
        late = "The factor 1 - rate * decay differs from step to step: multiply those of all steps so far."
        mean = (1 - rates.mean() * decay) ** -(2 * numpy.arange(T) + 1.0)
        trial.equal(
            what,
            found,
            rates / (before * after),
            "Write w = P * v, where P is the product of the factors 1 - rate * decay of all steps "
            "before. What becomes of w - rate * gradient when you divide it by the next P?",
            [
                ("These are the rates that you were given.", rates),
                (
                    "The shrinking counts twice: you divide the step by P, and the gradient at the "
                    "shorter weights is longer by 1 / P.",
                    rates / before,
                ),
                (
                    "The shrinking counts twice: you divide the step by P, and the gradient at the "
                    "shorter weights is longer by 1 / P.",
                    rates / after,
                ),
                (
                    "Nearly: the new weights are divided by the product that includes this step's "
                    "factor, so there is one factor more.",
                    rates / before**2,
                ),
                (
                    "Nearly: the gradient is taken before this step's factor, so there is one factor "
                    "less.",
                    rates / after**2,
                ),
                (
                    "Your products start one step late: P_0 is 1, and numpy.cumprod begins with the "
                    "first factor.",
                    rates / (after**2 * factors),
                ),
                (
                    "Only the first rate is wrong: at t = 0, P[t - 1] is the last product, since -1 "
                    "counts from the end. There it should be 1.",
                    rates / (after * numpy.roll(after, 1)),
                ),
                ("The rate has to grow: divide by the factors.", rates * before * after),
                (late, rates * factors ** -(2 * numpy.arange(T) + 1.0)),
                (late, rates * factors[0] ** -(2 * numpy.arange(T) + 1.0)),
                (late, rates * mean),
            ],
        )
        problem, w = _problem(trial, 6, 3), trial.rng.normal(0, 1, (3, 6))
        _same_path(
            trial,
            f"{name}, with decay and with your rates",
            _path(problem, w, found),
            _path(problem, w, rates, decay),
            "The two should take the same path.",
        )
    what = "after how many steps the rate is ten times as large"
    growth = -2 * math.log(1 - 0.1 * 0.0005)
    right = math.log(10) / growth
    answer = trial.number(what, steps)
    trial.equal(
        what,
        right if abs(answer / right - 1) < ROUNDED else answer,
        right,
        "The rate grows by the factor (1 - 0.1 * 0.0005) ** -2 at each step.",
        [
            ("The rate grows by 1 / rho ** 2 at each step, not by 1 / rho.", 2 * right),
            ("That many steps make it e times as large.", 1 / growth),
            (
                "The factor is 1 - rate * decay: the rate 0.1 is missing.",
                math.log(10) / (-2 * math.log(1 - 0.0005)),
            ),
            (
                "The factor is 1 - rate * decay: the decay 0.0005 is missing.",
                math.log(10) / (-2 * math.log(0.9)),
            ),
        ],
        tolerance=ROUNDED,
        secret=True,
    )


# --- 5.4 ---


@exercise(
    "5.4",
    "Standardize the weights",
    hints=(
        "Mean and variance of each output channel are over the axes 1, 2 and 3 of the weight, with "
        "keepdims=True. Write the variance as ((weight - mean) ** 2).mean(...).",
        "mean = weight.mean(axis=(1, 2, 3), keepdims=True); centred = weight - mean; var = "
        "(centred**2).mean(axis=(1, 2, 3), keepdims=True); then pass centred / F.np.sqrt(var + 1e-5) "
        "to super().hybrid_forward in place of weight.",
    ),
)
def standardized_convolution(trial, make):
    """make(channels, in_channels) -> a convolution of 3x3 with padding 1 and standardized weights.

    Source: Qiao et al. 2019.
    """
    for channels, in_channels, size in ((5, 3, (3, 3, 7, 6)), (4, 1, (2, 1, 5, 5))):
        _standardized(trial, make, channels, in_channels, size)


_AS_SYMBOL = (
    "hybridize() passes placeholders instead of arrays. In hybrid_forward write F.np and F.npx for np "
    "and npx, and use the weight that it is given, not self.weight.data()."
)
_GIVEN = "In hybrid_forward `weight` is the array already: leave out .data()."
_NO_SHAPE = (
    "hybridize() passes placeholders instead of arrays, and a placeholder has no shape, length or "
    "numbers. Compute without them: weight.mean(axis=(1, 2, 3), keepdims=True) needs no shape and no "
    "loop."
)
_KNOWN_SHAPE = "Pass in_channels on to nn.Conv2D: the shape of the weight has to be known before the first image."
_MESSAGES = {
    "'ndarray' object has no attribute 'data'": _GIVEN,
    "_Symbol' object has no attribute": _NO_SHAPE,
    ">' is not iterable": _NO_SHAPE,
    "does not support len()": _NO_SHAPE,
    "not implemented for Symbol": _NO_SHAPE,
    "mxnet.numpy.ndarray'> not supported": _AS_SYMBOL,
    "_Symbol": _AS_SYMBOL,
    "must be Symbol": _AS_SYMBOL,
    "shape cannot be inferred": _KNOWN_SHAPE,
    "initialization was deferred": _KNOWN_SHAPE,
}


def _standardized(trial, make, channels, in_channels, size):
    X, dY = trial.normal(*size), trial.normal(size[0], channels, *size[2:])
    block = trial.build(make, channels, in_channels, hints=_MESSAGES)
    trial.forward(block, X, hints=_MESSAGES)
    shape = (channels, in_channels, 3, 3)
    trained = [p for p in block.collect_params().values() if p.grad_req != "null"]
    where = f"{channels} channels from {in_channels}"
    trial.holds(
        f"{where}: one trained parameter, the weight",
        [p.shape for p in trained] == [shape],
        "The only parameter is the weight: use_bias=False, and kernel_size=3. It is the weight itself "
        "that is trained; its standardized form is computed anew at each call.",
        ", ".join(str(p.shape) for p in trained) or "none",
        str(shape),
    )
    [weight] = trained
    scale = numpy.resize([1.0, 0.001, 3.0], channels)  # epsilon matters for the 0.001, in and
    scale = scale.reshape(-1, 1, 1, 1)  # outside of the root, by more than the tolerance
    w = scale * (trial.rng.normal(0, 1, shape) + trial.rng.uniform(0.5, 1, (channels, 1, 1, 1)))
    w = float64(single(w))
    trial.call(lambda: weight.set_data(single(w)) or 0)

    axes = (1, 2, 3)
    centred = w - w.mean(axis=axes, keepdims=True)
    var = w.var(axis=axes, keepdims=True)
    std, count = numpy.sqrt(var + EPS), w[0].size
    all_of_it = numpy.sqrt(w.var() + EPS)

    def over(axes):
        found = w - w.mean(axis=axes, keepdims=True)
        return found / numpy.sqrt(w.var(axis=axes, keepdims=True) + EPS)

    kernels = [
        ("The weights are used as they are: standardize them first.", w),
        ("Divide by the standard deviation as well.", centred),
        ("Subtract the mean as well.", w / std),
        (NO_ROOT, centred / (var + EPS)),
        (NO_EPS, centred / numpy.sqrt(var)),
        (ROOT, centred / (numpy.sqrt(var) + EPS)),
        (BIASED, centred / numpy.sqrt(var * count / (count - 1) + EPS)),
        (
            "These are mean and variance of all weights together. Each output channel has its own.",
            (w - w.mean()) / all_of_it,
        ),
        (
            "The output channels are axis 0 of the weight. Average over the others.",
            over((0, 2, 3)),
        ),
    ]
    if in_channels > 1:
        per_pair = "Average over axis 1 as well: the inputs of a channel count together."
        kernels += [(per_pair, over((2, 3)))]
    dY = dY * single(std.reshape(1, -1, 1, 1))  # or the gradient of one channel hides the others'
    x, g = float64(X), float64(dY)
    right = _convolved(x, centred / std)
    alone = trial.forward(block, X, hints=_MESSAGES)
    trial.equal(
        f"{where}: the output",
        alone,
        right,
        "It is the convolution with (weight - mean) / sqrt(var + eps), for each output channel.",
        [(hint, _convolved(x, kernel)) for hint, kernel in kernels],
    )
    trial.holds(
        f"{where}: the weight itself is what it was",
        numpy.allclose(trial.call(lambda: float64(weight.data())), w, rtol=1e-6),
        "Do not write into the weight: compute its standardized form anew at each call.",
    )
    dW = numpy.einsum("nohw,nchwij->ocij", g, _windows(x))  # with respect to the standardized ones
    dX = _convolved(g, (centred / std)[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    expected = backward(dW, centred / std, std, axes)
    constant_var = (dW - dW.mean(axis=axes, keepdims=True)) / std
    for way in ("", ", hybridized"):
        if way:
            trial.call(lambda: block.hybridize() or 0)
        step = trial.step(block, X, dY, hints=_MESSAGES)
        trial.equal(
            f"{where}: the output in a training step{way}",
            step.Y,
            right,
            "In a training step it should be the same: the weights are standardized in both modes.",
        )
        trial.equal(
            f"{where}: the gradient with respect to the weight{way}",
            trial.call(lambda: float64(weight.grad())),
            expected,
            "It should be the gradient with respect to the weight itself, through mean and variance.",
            [
                (
                    "No gradient flows through the variance. The gradient of MXNet's var() and std() "
                    "is silently zero: write ((weight - mean) ** 2).mean(...).",
                    constant_var,
                ),
                (
                    "No gradient flows through mean and variance: are they detached, computed under "
                    "pause(), or converted to NumPy?",
                    dW / std,
                ),
                (
                    "This is the gradient with respect to the standardized weights. From them it should go "
                    "on to the weight itself, through the division and the mean.",
                    dW,
                ),
                (
                    "No gradient reaches the weight at all: is it detached, computed with under "
                    "pause(), or converted to NumPy?",
                    0 * dW,
                ),
            ],
        )
        trial.equal(
            f"{where}: the gradient with respect to the input{way}",
            step.dX,
            dX,
            "No gradient should be lost on the way to X: is X detached, or converted to NumPy?",
        )


def _windows(x):
    """The 3x3 windows of images (N, C, H, W) with a border of zeros, (N, C, H, W, 3, 3)."""
    padded = numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return numpy.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))


def _convolved(x, kernel):
    return numpy.einsum("nchwij,ocij->nohw", _windows(x), kernel)


# --- 5.5 ---


@exercise(
    "5.5",
    "Paired or not?",
    hints=(
        "Paired: take the differences, and divide their mean by their standard deviation over the "
        "root of how many there are. Not paired: divide the difference of the two means by the root "
        "of var(a) / len(a) + var(b) / len(b). Both with ddof=1.",
        "d = numpy.array(a) - numpy.array(b); paired: d.mean() / (d.std(ddof=1) / len(d) ** 0.5). The "
        "ghost batches are paired, the paper's runs are not. Compare |t| with 2.78 for the five pairs.",
    ),
)
def paired_or_not(trial, function, ghost, paper, loss_settled, accuracy_settled):
    """function(a, b, paired) -> t; ghost, paper: "paired" or "unpaired"; the last two: "yes", "no"."""
    cases = {  # how many runs, whether they are paired, and the sign of t
        "five pairs": (5, 5, True, 1),
        "seven pairs": (7, 7, True, -1),
        "five runs and five, unpaired": (5, 5, False, -1),
        "eight runs and four, unpaired": (8, 4, False, 1),
    }
    for name, (n, m, paired, sign) in cases.items():
        while True:  # until t has this sign and each mistake gives a value of its own
            common = trial.rng.normal(0, 0.02, n)
            a = 0.84 + sign * 0.01 + common + trial.rng.normal(0, 0.01, n)
            b = 0.84 - sign * 0.01 + common[:m] + trial.rng.normal(0, 0.02, m)
            right, mistakes = _t_values(a, b, paired)
            values = numpy.sort([right, *(value for _, value in mistakes)])
            apart = (numpy.diff(values) > 0.01 * numpy.abs(values[1:])).all()
            if apart and sign * right > 0.1:
                break
        trial.equal(
            f"{name}: t",
            trial.call(function, a.tolist(), b.tolist(), paired),
            right,
            "t is the difference divided by its standard error, as in the formula for this case.",
            mistakes,
        )
    for what, answer, right, hint in (
        (
            "the ghost batches: paired or not",
            ghost,
            "paired",
            "With the same seed, both start from the same weights and see the images in the same order.",
        ),
        (
            "your runs and the paper's: paired or not",
            paper,
            "unpaired",
            "Your seed 3 has nothing in common with the third run of somebody else.",
        ),
    ):
        words = re.sub("[^a-z]", "", answer.lower()) if isinstance(answer, str) else None
        said = {"paired": "paired", "unpaired": "unpaired", "notpaired": "unpaired"}.get(words)
        if said is None:
            raise Wrong(what, 'Answer "paired" or "unpaired".', described(answer))
        trial.holds(what, said == right, hint)
    for what, answer, right, hint in (
        (
            "the test loss: beyond chance or not",
            loss_settled,
            True,
            "All five differences are negative, and they scatter little. Compare |t| of the paired "
            "differences with 2.78.",
        ),
        (
            "the test accuracy: beyond chance or not",
            accuracy_settled,
            False,
            "These runs are paired, so t comes from the five differences, and its threshold is 2.78. "
            "The other t and its threshold are for other data.",
        ),
    ):
        words = re.findall("[a-z]+", answer.lower()) if isinstance(answer, str) else []
        said = {"yes": True, "y": True, "no": False, "n": False}.get(words[0]) if words else None
        said = bool(answer) if isinstance(answer, bool | numpy.bool_) else said
        if said is None:
            raise Wrong(what, 'Answer "yes" or "no".', described(answer))
        trial.holds(what, said == right, hint)


def _t_values(a, b, paired):
    """t, and pairs of a hint and the result of a mistake."""
    n, m, difference = len(a), len(b), a.mean() - b.mean()
    errors = {ddof: numpy.sqrt(a.var(ddof=ddof) / n + b.var(ddof=ddof) / m) for ddof in (0, 1)}
    welch = difference / errors[1]
    biased = "Divide by n - 1 in the variance: ddof=1. NumPy divides by n unless told."
    sign = "The sign: a minus b, without abs()."
    one_less = "Divide by n here: the n - 1 is inside the standard deviation already."
    if paired:
        d = a - b
        t = d.mean() / (d.std(ddof=1) / n**0.5)
        return t, [
            (sign, -t),
            (biased, d.mean() / (d.std() / n**0.5)),
            ("The standard error is the standard deviation divided by the root of n.", t / n**0.5),
            ("Divide by the root of n, not by n: this t is too large.", t * n**0.5),
            (
                "This t is too small by the factor n. Python divides from left to right: put the "
                "standard error in brackets, mean / (s / root of n).",
                t / n,
            ),
            (one_less, t * ((n - 1) / n) ** 0.5),
            (
                "This is the t for unpaired runs. With pairs, take the differences first: their "
                "spread counts, not that of the runs. (`paired` is True or False, not a word.)",
                welch,
            ),
        ]
    pooled = ((n - 1) * a.var(ddof=1) + (m - 1) * b.var(ddof=1)) / (n + m - 2)
    mistakes = [
        (sign, -welch),
        (biased, difference / errors[0]),
        (
            "Divide each variance by how many runs it comes from.",
            difference / numpy.sqrt(a.var(ddof=1) + b.var(ddof=1)),
        ),
        (
            "Variances add, standard deviations do not: add first, then take the root.",
            difference / (a.std(ddof=1) / n**0.5 + b.std(ddof=1) / m**0.5),
        ),
        ("Take the root: the standard error is not the variance.", difference / errors[1] ** 2),
        (
            "Under the root belong the variances: var(ddof=1), or std(ddof=1) ** 2.",
            difference / numpy.sqrt(a.std(ddof=1) / n + b.std(ddof=1) / m),
        ),
        (
            one_less,
            difference / numpy.sqrt(a.var(ddof=1) / (n - 1) + b.var(ddof=1) / (m - 1)),
        ),
    ]
    if n != m:
        both = a.var(ddof=1) + b.var(ddof=1)
        numbers = "The two may have different numbers of runs: divide each variance by its own."
        mistakes += [
            (numbers, difference / numpy.sqrt(both / n)),
            (numbers, difference / numpy.sqrt(both / m)),
            (
                "This takes one common variance for both. Keep the two apart: each is divided by its "
                "own number of runs.",
                difference / numpy.sqrt(pooled * (1 / n + 1 / m)),
            ),
        ]
    else:
        d = a - b
        mistakes += [
            (
                "This is the t for pairs. Without pairs the order of the runs means nothing.",
                d.mean() / (d.std(ddof=1) / n**0.5),
            )
        ]
    return welch, mistakes


# --- 5.6 ---


@exercise(
    "5.6a",
    "Zoo: a decay that cannot do harm",
    hints=(
        "Print p.name and p.wd_mult for all parameters after the call. What is wd_mult where nobody "
        "set it?",
        "wd_mult is 1 unless somebody sets it. Set it for every parameter: 1.0 for the weights of the "
        "convolutions, 0.0 for all others.",
    ),
    options={
        "a": (
            False,
            "Short weights do no harm in front of a normalization: it divides by their length.",
        ),
        "b": (
            False,
            "Repaired, the network trains with the same learning rate and the same decay.",
        ),
        "c": (
            True,
            "Every parameter has wd_mult 1 unless somebody sets it. So the last layer and the gamma and "
            "beta in front of it decay as well, and no normalization follows that would make up for it: "
            "the scores go to 0.",
        ),
        "d": (
            False,
            "It is a single run, but the loss is ln 10 with every seed: all ten classes get the same "
            "probability.",
        ),
    },
)
def decay_everywhere(trial, hypothesis_a, function):
    """hypothesis_a: a letter; function(net, lr, decay) -> a Trainer, repaired."""
    for lr, decay in ((0.1, 0.3), (0.5, 0.04)):
        X, y = trial.normal(9, 2, 6, 6), np.array(trial.rng.integers(0, 3, 9), dtype="int64")
        net = trial.tie(trial.build(_two_convolutions, like=X))
        trainer = trial.call(function, net, lr, decay)
        if not callable(getattr(trainer, "step", None)):
            raise Wrong(
                f"Your function returned {described(trainer)}, not a trainer.",
                "It should end with: return gluon.Trainer(...)",
            )
        before = {n: float64(p.data()) for n, p in net.collect_params().items()}
        gradients = trial.call(_one_step, net, trainer, X, y, what="A step of your trainer")
        groups = {"the weights of the convolutions": True}
        groups |= {
            name: False for name in ("gamma and beta", "the biases", "the last layer's weights")
        }
        after = {n: float64(p.data()) for n, p in net.collect_params().items()}
        for group, decays in groups.items():
            names = [n for n in gradients if _group(net, n) == group]
            found, w, g = (
                numpy.concatenate([arrays[n].ravel() for n in names])
                for arrays in (after, before, gradients)
            )
            kept, shrunk = w - lr * g, (1 - lr * decay) * w - lr * g
            trial.equal(
                f"rate {lr:g}, decay {decay:g}: {group} " + ("decay" if decays else "do not decay"),
                found,
                shrunk if decays else kept,
                "After a step they should be (1 - lr * decay) * w - lr * gradient."
                if decays
                else "After a step they should be w - lr * gradient.",
                [
                    (
                        "These should decay: their wd_mult should be 1, and the trainer's wd the decay.",
                        kept,
                    )
                ]
                if decays
                else [
                    (f"The symptom is still there: {group} decay. Set their wd_mult to 0.", shrunk),
                    ("These should still be trained, without decay: give them to the trainer.", w),
                ],
                tolerance=1e-4,
            )


def _two_convolutions():
    layers = []
    for _ in range(2):
        layers += [nn.Conv2D(4, kernel_size=3, padding=1), nn.BatchNorm(), nn.Activation("relu")]
    return sequential(*layers, nn.GlobalAvgPool2D(), nn.Dense(3))


def _group(net, name):
    if name.endswith(("gamma", "beta")):
        return "gamma and beta"
    if name.endswith("bias"):
        return "the biases"
    convolution = len(net.collect_params()[name].shape) == 4
    return "the weights of the convolutions" if convolution else "the last layer's weights"


def _one_step(net, trainer, X, y):
    """The gradients of the mean loss of a batch, after a step along them."""
    with autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y)
    loss.backward()
    gradients = {p.name: float64(p.grad()) / len(y) for p in trained(net)}
    trainer.step(len(y))
    return gradients


@exercise(
    "5.6b",
    "Zoo: a measurement that trains",
    hints=(
        "Print norm(start[0]) before and after the first set_to. `start` should remember where the "
        "parameters were. Does it?",
        "p.data() is the parameter's own array, and set_data writes into it. A copy is needed: "
        "start = [p.data().copy() for p in parameters].",
    ),
    options={
        "a": (
            True,
            "p.data() is the array of the parameter itself. set_data writes into it, so `start` moves "
            "along, and each rate is added to the ones before.",
        ),
        "b": (
            False,
            "The walk does change them, since it runs in training mode. But the losses here are "
            "computed with the statistics of the batch.",
        ),
        "c": (
            False,
            "Nothing in the walk draws random numbers: both runs see the same batches in the same "
            "order.",
        ),
        "d": (
            False,
            "With rate 0 the last line writes `start` back. That is right, if `start` is where the walk "
            "began.",
        ),
    },
)
def measurement_trains(trial, hypothesis_b, function):
    """hypothesis_b: a letter; function(net, X, y, lr) -> the losses of the four places, repaired."""
    makers = {
        "with normalization": _two_convolutions,
        "without": lambda: sequential(nn.Dense(6, activation="relu"), nn.Dense(3)),
    }
    for name, make in makers.items():
        X, y = trial.normal(9, 2, 6, 6), np.array(trial.rng.integers(0, 3, 9), dtype="int64")
        lr = 0.1
        net, ours = (trial.tie(trial.build(make, like=X)) for _ in range(2))
        right = _walked(ours, X, y, lr, (lr / 2, lr, 2 * lr, 4 * lr))
        summed = _walked(ours, X, y, lr, numpy.cumsum([lr / 2, lr, 2 * lr, 4 * lr]))
        start = [(p, p.data().copy()) for p in trained(net)]
        result = trial.call(
            function,
            net,
            X,
            y,
            lr,
            hints={
                "numpy.ndarray'> not supported": "That is a NumPy array, as the message says: "
                "p.data().copy() gives one of MXNet's.",
            },
        )
        back = all(
            numpy.allclose(float64(p.data()), float64(before), atol=1e-6) for p, before in start
        )
        trial.holds(
            f"a net {name}: after the walk each parameter is where it was",
            back,
            "The symptom is still there: the parameters have moved.",
        )
        what = f"a net {name}: the losses at the four places"
        trial.equal(
            what,
            trial.numbers(what, result),
            right,
            "They are the losses at half, one, two and four times the rate, each from where the net is.",
            [
                (
                    "Each place should be reached from the start, not from the place before.",
                    summed,
                ),
            ],
        )


def _walked(net, X, y, lr, rates):
    """The losses at these rates along the gradient; the net stays where it is."""
    parameters = trained(net)
    start = [p.data().copy() for p in parameters]

    def loss():
        with autograd.record():
            mean = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y).mean()
        mean.backward()
        return mean.item()

    loss()
    direction, losses = [p.grad().copy() for p in parameters], []
    for rate in (*rates, 0):
        for p, w, g in zip(parameters, start, direction):
            p.set_data(w - float(rate) * g)
        losses.append(loss())
    return losses[:-1]
