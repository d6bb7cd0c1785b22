"""The checks of exercises 09, normalization beyond batches."""

import copy
import re
from functools import partial

import numpy
from mxnet import autograd, gluon, np
from mxnet.gluon import Block, nn

from ..nets import sequential
from . import layers
from .engine import CLOSE, Unanswered, Wrong, by_position, described, exercise
from .layers import (
    CHANNELS,
    CONTEXTS,
    EPS,
    Norm,
    has_gradients,
    set_gamma_and_beta,
    slips,
    unscaled,
)
from .lesson01 import backward_mistakes
from .reference import affine, float64, gradients, normalize, per_channel, single
from .reference import backward as of_batch_norm
from .words import BIASED, HIDDEN, NO_ROOT, PAUSED, UNREACHED

BATCH = (0, 2, 3)  # the axes of a batch of images that share a mean in batch normalization

# --- 9.1 ---

MEANS = {  # the right number, and wrong ones with their hints
    "batch normalization": (12, {8: "One for each channel.", 96: "Images share it."}),
    "layer normalization": (8, {12: "One for each image.", 96: "Channels share it."}),
    "instance normalization": (96, {20: "Multiply, do not add.", 12: "12 in each image."}),
    "group normalization": (24, {32: "3 groups of 4 channels.", 3: "3 for each image."}),
    "batch normalization in parts": (
        48,
        {24: "2 images each: 4 parts.", 12: "Each part has its own."},
    ),
}
_POSITIONS, _ONE = "5x5 positions belong to it too.", "Only one channel of one image shares it."
SHARING = {
    "batch normalization": (200, {25: "All images belong to it.", 8: _POSITIONS}),
    "layer normalization": (300, {25: "All 12 channels belong to it.", 12: _POSITIONS}),
    "instance normalization": (25, {5: "Height times width.", 200: _ONE, 300: _ONE}),
    "group normalization": (100, {75: "A group has 12 / 3 = 4 channels.", 4: _POSITIONS}),
    "batch normalization in parts": (50, {100: "A part has 2 images, not 4.", 2: _POSITIONS}),
}


@exercise(
    "9.1",
    "Who shares a mean",
    hints=(
        "The batch has 8 * 12 * 5 * 5 = 2,400 numbers. How many means there are, times how many "
        "numbers share one, is always 2,400.",
        "Batch: one for each channel. Layer: for each image. Instance: for each channel of each image. "
        "Group: 3 for each image. In parts: for each channel of each of 4 parts. nn.LayerNorm(): one "
        "for each row of pixels, 8 * 12 * 5.",
    ),
)
def who_shares(trial, means, sharing, layer_norm_means):
    """means, sharing: five numbers each; layer_norm_means: how many nn.LayerNorm() computes."""
    product = "Means times numbers that share one must give 8 * 12 * 5 * 5 = 2,400."
    swapped = "`means` is how many means there are, `sharing` is how many numbers share one."
    tables = {"means": (means, MEANS, SHARING), "numbers share one": (sharing, SHARING, MEANS)}
    for what, (answer, table, other) in tables.items():
        found = trial.numbers(f"how many {what}", answer)
        if found.size != len(table):
            hint = "Five numbers in brackets, one for each normalization: [1, 2, 3, 4, 5]."
            raise Wrong(f"how many {what}", hint, f"{found.size} number(s)", "5 numbers")
        for one, (name, (right, wrong)) in zip(found, table.items()):
            mistakes = [(swapped, other[name][0]), *((hint, n) for n, hint in wrong.items())]
            _count(trial, f"{name}: how many {what}", one, right, product, mistakes)
    last = "It averages over the last axis alone, the width: each row of 5 pixels has its own mean."
    _count(
        trial,
        "nn.LayerNorm() on images: how many means",
        layer_norm_means,
        480,
        "Without an argument it averages over the last axis alone. How many rows of 5 pixels are there?",
        [(last, 8), (last, 96), (last, 200), ("That is how many numbers share one mean.", 5)],
    )


def _count(trial, what, found, right, hint, mistakes):
    trial.equal(what, found, right, hint, mistakes, tolerance=1e-8, secret=True)


# --- 9.2 ---


def _root_mean_square(x, eps):
    return numpy.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)


def _divided(x, eps, mean_square):
    return x / numpy.sqrt(mean_square + eps)


@exercise(
    "9.2",
    "RMS normalization, forward and backward",
    hints=(
        "Forward: X / np.sqrt(np.square(X).mean(axis=-1, keepdims=True) + eps), times gamma. Backward: "
        "dY * gamma is the gradient with respect to X_hat. The root depends on every x of its row, with "
        "derivative x_j / (F r).",
        "g = dY * gamma; dX = (g - X_hat * (g * X_hat).mean(axis=-1, keepdims=True)) / r. And dgamma is "
        "dY * X_hat, summed over all axes but the last: tuple(range(X.ndim - 1)).",
    ),
)
def rms_norm(trial, rms_norm, rms_norm_backward):
    """rms_norm(X, gamma, eps) -> Y; rms_norm_backward(dY, X, gamma, eps) -> dX, dgamma.

    X: (N, F) or (N, L, F); gamma: (F,). Source: Zhang & Sennrich 2019.
    """
    cases = [((4, 6), 0.1), ((3, 2, 5), 0.1), ((1, 7), 0.3)]
    axes_hint = {
        "broadcast": "Which two shapes meet here? keepdims=True keeps the averaged axis, with length "
        "1. gamma, of shape (F,), fits the last axis as it is.",
    }
    for shape, eps in cases:
        here, n = f"X of shape {shape}", shape[-1]
        X, dY = trial.normal(*shape, mean=1.5), trial.normal(*shape)
        gamma = trial.factors(n)
        x, g_out, scale = float64(X), float64(dY), float64(gamma)
        r, all_axes = _root_mean_square(x, eps), tuple(range(len(shape)))
        x_hat, squares = x / r, x**2
        by = partial(_divided, scale * x, eps)
        centred, std = normalize(x, (-1,), eps)
        trial.equal(
            f"forward, {here}",
            trial.call(rms_norm, X, gamma, eps, hints=axes_hint),
            scale * x_hat,
            "eps belongs under the root: divide by the root of (mean square + eps). Take the mean "
            "square over the last axis only. Then multiply by gamma.",
            [
                ("gamma is missing: multiply by it.", x_hat),
                ("The mean stays: this is layer normalization.", scale * centred),
                ("This is the standard deviation, not the root mean square.", scale * x / std),
                (NO_ROOT.replace("variance", "mean square"), scale * x / r**2),
                (
                    "eps belongs under the root: sqrt(mean square + eps), not sqrt(mean square) + eps.",
                    scale * x / (_root_mean_square(x, 0) + eps),
                ),
                (
                    "Add eps to the mean square, under the root.",
                    scale * x / _root_mean_square(x, 0),
                ),
                (
                    "The mean of the squares, not their sum.",
                    by(n * squares.mean(-1, keepdims=True)),
                ),
                ("Over the last axis only.", by(squares.mean(axis=all_axes[1:], keepdims=True))),
                ("Axis 1 is not always the last axis.", by(squares.mean(axis=1, keepdims=True))),
                ("No average may cross examples: the last axis only.", by(squares.mean())),
            ],
        )
        g = g_out * scale
        product = (g * x_hat).mean(axis=-1, keepdims=True)
        dx = (g - x_hat * product) / r
        for_gamma = (g_out * x_hat).sum(axis=all_axes[:-1])
        found = trial.gradients(rms_norm, (X, gamma, eps), dY)
        for name, its, right in zip(("X", "gamma"), found, (dx, for_gamma)):
            what = f"forward, {here}: autograd finds the gradient with respect to {name}"
            trial.equal(what, its, right, HIDDEN, [(UNREACHED.format(name), 0 * right)])
        result = trial.call(rms_norm_backward, dY, X, gamma, eps, hints=axes_hint)
        found = trial.several(result, ("dX", "dgamma"))
        plain = g_out - x_hat * (g_out * x_hat).mean(axis=-1, keepdims=True)
        trial.equal(
            f"backward, {here}: dX",
            found[0],
            dx,
            "Write down r, its derivative x_j / (F r), and the two ways in which x_j reaches the loss: "
            "through its own quotient, and through r in all quotients of its row.",
            [
                ("This treats r as a constant. It depends on x.", g / r),
                (
                    "That is the gradient of layer normalization. Without the subtraction of the mean "
                    "that term goes too.",
                    (g - g.mean(axis=-1, keepdims=True) - x_hat * product) / r,
                ),
                ("gamma is missing: it multiplies dY first.", plain / r),
                ("gamma multiplies dY before the mean is taken, not after it.", scale * plain / r),
                ("The second term is subtracted.", (g + x_hat * product) / r),
                ("The mean of the products, not their sum.", (g - x_hat * n * product) / r),
                ("The division by r is missing.", r * dx),
                ("The second term contains X_hat, not X.", (g - x * product) / r),
                ("Multiply the mean of the products by X_hat.", (g - product) / r),
            ],
        )
        trial.equal(
            f"backward, {here}: dgamma",
            found[1],
            for_gamma,
            "gamma multiplies X_hat in every row: sum dY * X_hat over all axes but the last.",
            [
                ("X_hat, not X: gamma comes after the division.", (g_out * x).sum(all_axes[:-1])),
                ("X_hat is missing: gamma multiplies it.", g_out.sum(axis=all_axes[:-1])),
                ("Multiply X_hat by dY alone: gamma is not in its gradient.", scale * for_gamma),
                ("The sum over all rows, not the mean.", for_gamma * n / x.size),
            ],
        )


# --- 9.3 ---


@exercise(
    "9.3",
    "Weight normalization, initialized from data",
    hints=(
        "The length of each row of v is np.sqrt(np.square(v).sum(axis=1, keepdims=True)). g has to "
        "multiply the rows: g.reshape(-1, 1). For the start, compute t, the output with g = 1 and "
        "bias = 0, and its mean and standard deviation over axis 0.",
        "output: w = g.reshape(-1, 1) * v / length, then np.dot(X, w.T) + bias. start: "
        "t = np.dot(X, (v / length).T), std = np.sqrt(np.square(t - t.mean(axis=0)).mean(axis=0)), "
        "return 1 / std, -t.mean(axis=0) / std.",
    ),
)
def weight_norm(trial, output, start):
    """output(X, v, g, bias) -> Y, of a dense layer with w = g v / |v|; start(X, v) -> g, bias, so that
    each unit has mean 0 and variance 1 on X.

    X: (N, inputs), v: (units, inputs), g and bias: (units,).
    Source: Salimans & Kingma 2016, sections 2 and 3.
    """
    broadcast = "g has shape (units,). To multiply the rows of v it needs the shape (units, 1)."
    for N, units, inputs in ((9, 4, 6), (5, 3, 8)):
        here, spread = f"{units} units, {inputs} inputs", trial.uniform(units, 1, low=0.3, high=3)
        X, dY = trial.normal(N, inputs, mean=1, std=2), trial.normal(N, units)
        v = trial.normal(units, inputs, mean=0.4) * spread
        g, bias = trial.factors(units), trial.normal(units, mean=1)
        x, rows, b, column = float64(X), float64(v), float64(bias), float64(g)[:, None]
        length, raw = numpy.linalg.norm(rows, axis=1, keepdims=True), x @ rows.T
        direction, standardized = rows / length, normalize(rows, (1,), 0)[0]
        weights = [  # of mistakes
            ("v is used as it is: divide each row by its length.", column * rows),
            ("g is missing: it is the length of the weights.", direction),
            ("Each row has its own length.", column * rows / numpy.linalg.norm(rows)),
            ("A row is a unit: sum over axis 1.", column * rows / numpy.linalg.norm(rows, axis=0)),
            ("The length is the root of the sum of the squares.", column * direction / length),
            ("The sum of the squares, not their mean.", column * direction * inputs**0.5),
            ("Do not subtract a mean: that is weight standardization.", column * standardized),
        ]
        trial.equal(
            f"output, {here}: that of a dense layer with w = g v / |v|",
            trial.call(output, X, v, g, bias, hints={"broadcast": broadcast}),
            x @ (column * direction).T + b,
            "Each unit has a row of v. Divide the row by its length, multiply it by its g.",
            [
                *((hint, x @ w.T + b) for hint, w in weights),
                ("bias is missing: add it at the end.", x @ (column * direction).T),
                (
                    "Only the weights are normalized, not the outputs.",
                    float64(g) * normalize(raw, (0,))[0] + b,
                ),
            ],
        )
        dw = float64(dY).T @ x
        along = (dw * direction).sum(axis=1, keepdims=True)
        dv = column / length * (dw - along * direction)
        expected = float64(dY) @ (column * direction), dv, along[:, 0], float64(dY).sum(axis=0)
        found = trial.gradients(output, (X, v, g, bias), dY)
        for name, its, right in zip(("X", "v", "g", "bias"), found, expected):
            constant = [("The length is a constant here but depends on v.", column / length * dw)]
            mistakes = [(UNREACHED.format(name), 0 * right), *(constant if name == "v" else [])]
            what = f"output, {here}: autograd finds the gradient with respect to {name}"
            trial.equal(what, its, right, HIDDEN, mistakes)

        t = x @ direction.T
        mean, std = t.mean(axis=0), t.std(axis=0)
        biased = (N / (N - 1)) ** 0.5
        what = f"start, {here}: "
        result = trial.call(start, X, v, hints={"broadcast": broadcast})
        found = trial.several(result, ("g", "bias"))
        trial.equal(
            what + "g",
            found[0],
            1 / std,
            "With g = 1 and bias = 0 a unit outputs t. Which g gives it variance 1?",
            [
                ("Take one over it: g has to undo the standard deviation.", std),
                ("Divide by the standard deviation, not the variance.", 1 / std**2),
                ("t is what comes out with w = v / |v|, not with v.", 1 / raw.std(axis=0)),
                (BIASED, 1 / (std * biased)),
                (
                    "Each unit has its own standard deviation: over axis 0 only.",
                    numpy.full(units, 1 / t.std()),
                ),
                ("That is bias. Return g first.", -mean / std),
            ],
        )
        trial.equal(
            what + "bias",
            found[1],
            -mean / std,
            "With your g a unit outputs g t + bias. Which bias gives it mean 0?",
            [
                ("The mean of g t, not of t: divide by std too.", -mean),
                ("The sign is wrong: the bias has to remove the mean.", mean / std),
                ("Multiply the mean by g, which is 1 / std.", -mean * std),
                ("t is what comes out with w = v / |v|.", -raw.mean(axis=0) / std),
            ],
        )


# --- 9.4 ---

SHAPES = {
    "broadcast": "Which two shapes meet here? With keepdims=True a sum over (0, 2, 3) has the shape "
    "(1, C, 1, 1). Without it, the shape is (C,), and the sum has to be reshaped.",
}
COUNT = "A channel has images times positions numbers: X.size // X.shape[1]."
NEGATIVE = f"Is the variance negative? Both means are sums divided by the same m. {COUNT}"
UNWEIGHTED = (
    "The devices have different numbers of images, so the mean of their means is not the mean of "
    "all, whatever you divide by. Send sums, and how many numbers were added up."
)


def _added(trial, which, function, calls, channels):
    """What the devices send, added up: in the form in which the function returned it."""
    what = f"{which}: what the devices send"
    sent = []
    for arguments in calls:
        result = trial.call(function, *arguments, what=f"Your function {which}")
        parts = list(result) if isinstance(result, tuple | list) else [result]
        for i, part in enumerate(parts):
            trial.array(what, part, shape=None)
            if isinstance(part, tuple | list):
                parts[i] = single(float64(part))
        sent.append(parts)
    shapes = [[numpy.shape(float64(part)) for part in parts] for parts in sent]
    if any(its != shapes[0] for its in shapes):
        raise Wrong(
            what,
            "What is sent is added up, number by number. So its shape must not depend on how many "
            "images a device has: send sums, not images.",
            "arrays whose shapes differ from device to device",
        )
    numbers = sum(int(numpy.prod(shape)) for shape in shapes[0])
    trial.holds(
        f"{which}: no more than three numbers for each channel are sent",
        numbers <= 3 * channels,
        "Two sums for each channel, and a count of its numbers, are enough.",
        f"{numbers} numbers, of shapes {shapes[0]}",
        f"at most {3 * channels} for {channels} channels",
    )
    total = [sum(parts[1:], parts[0]) for parts in zip(*sent)]
    return tuple(total) if isinstance(result, tuple | list) else total[0]


def _sent(sums, values):
    """Whether these values, one for each channel, are among what was sent."""
    parts = map(float64, sums if isinstance(sums, tuple) else (sums,))
    rows = [part.reshape(-1, values.size) for part in parts if part.size % values.size == 0]
    return any(numpy.allclose(row, values, rtol=CLOSE, atol=CLOSE) for part in rows for row in part)


@exercise(
    "9.4",
    "Only sums travel",
    hints=(
        "Forward: send how many numbers a channel has (images times positions), the sum of X and the "
        "sum of its squares. Then mean = sum / m, and var = sum of squares / m - mean ** 2. Backward: "
        "send the sums of dY and of dY * X_hat.",
        "local_sums: X.size // X.shape[1], X.sum(axis=(0, 2, 3), keepdims=True), np.square(X).sum(...). "
        "backward: gamma / np.sqrt(var + eps) * (dY - dbeta / m - X_hat * dgamma / m), with m, mean and "
        "var from `sums` and dbeta, dgamma from `back_sums`.",
    ),
)
def only_sums(trial, local_sums, normalize_part, local_sums_back, backward):
    """local_sums(X), normalize_part(X, sums, eps), local_sums_back(dY, X_hat), backward(dY, X_hat,
    sums, back_sums, gamma, eps): the work of one device; sums are added over the devices."""
    for C, counts in ((3, (2, 5, 1)), (5, (3, 3))):
        _shared(trial, local_sums, normalize_part, local_sums_back, backward, C, counts)


def _shared(trial, local_sums, normalize_part, local_sums_back, backward, C, counts, eps=0.2):
    """Compare what devices with so many images compute with the results for the whole batch."""
    here = "devices with " + ", ".join(map(str, counts)) + " images"
    size = C, 2, 4  # the width is not C: an array of shape (C,) must not fit the last axis
    Xs = [trial.normal(n, *size, mean=2 - 1.5 * i, std=1 + i) for i, n in enumerate(counts)]
    dYs = [trial.normal(n, *size, mean=0.5 - i) for i, n in enumerate(counts)]
    gamma = trial.factors(1, C, 1, 1)
    x, dy = (numpy.concatenate([float64(part) for part in parts]) for parts in (Xs, dYs))
    m, shares = x.size // C, numpy.array(counts)[:, None] / sum(counts)
    X_hat, std = normalize(x, BATCH, eps)

    def whole(what, function, *arguments):
        """The results of all devices in one array. arguments: for each device a tuple."""
        results = [trial.call(function, *its, hints=SHAPES) for its in zip(*arguments)]
        try:
            return numpy.concatenate([trial.array(what, Y, X.shape) for Y, X in zip(results, Xs)])
        except Wrong as wrong:
            if "NaN" in str(wrong.seen):
                wrong.hint = NEGATIVE
            raise

    def by(mean, var):
        return (x - per_channel(mean, x)) / numpy.sqrt(per_channel(var, x) + eps)

    sums = _added(trial, "local_sums", local_sums, [(X,) for X in Xs], C)
    what = f"{here}: each normalizes with the statistics of the whole batch"
    means, variances = (
        numpy.array([f(float64(X), axis=BATCH) for X in Xs]) for f in (numpy.mean, numpy.var)
    )
    alone = numpy.concatenate([normalize(X, BATCH, eps)[0] for X in Xs])
    mean, middle = (shares * means).sum(axis=0), means.mean(axis=0)
    more = "A device with more images counts more: divide the sums by m, both over all devices."
    mistakes = [
        ("Each device uses its own statistics. Use `sums`.", alone),
        (
            "This leaves out how far apart the devices' means are.",
            by(mean, (shares * variances).sum(0)),
        ),
        (
            "Subtract the square of the mean from the mean of the squares.",
            by(mean, (x**2).mean(BATCH)),
        ),
        *slips(X_hat, std, eps, m),
        (more, by(middle, (variances + means**2).mean(axis=0) - middle**2)),
        (more, by(middle, variances.mean(axis=0))),
    ]
    for wrong_m in (x.size, len(x)):
        its_mean, its_square = (power.sum(axis=BATCH) / wrong_m for power in (x, x**2))
        if (its_square - its_mean**2 + eps > 0).all():  # otherwise the result is NaN
            mistakes.insert(0, (COUNT, by(its_mean, its_square - its_mean**2)))
    hint = "mean and variance must be those of all images on all devices, computed from `sums`."
    if _sent(sums, means.sum(axis=0)):
        hint = UNWEIGHTED
    many = len(counts)
    found = whole(what, normalize_part, Xs, [sums] * many, [eps] * many)
    trial.equal(what, found, X_hat, hint, mistakes[: None if len(set(counts)) > 1 else -2])

    X_hats = [single(part) for part in numpy.split(X_hat, numpy.cumsum(counts)[:-1])]
    sent = list(zip(dYs, X_hats))
    back = _added(trial, "local_sums_back", local_sums_back, sent, C)
    what = f"{here}: the gradients are those of the whole batch"
    found = whole(what, backward, dYs, X_hats, *([a] * many for a in (sums, back, gamma, eps)))
    g, dx = float64(gamma) * dy, gradients(dy, X_hat, std, BATCH, gamma)[0]
    both = g.sum(axis=BATCH, keepdims=True) + X_hat * (g * X_hat).sum(axis=BATCH, keepdims=True)
    local = numpy.repeat([m * n / sum(counts) for n in counts], counts).reshape(-1, 1, 1, 1)
    own = [of_batch_norm(float64(gamma) * float64(dY), float64(h), 1, BATCH) for dY, h in sent]
    trial.equal(
        what,
        found,
        dx,
        "It is the formula of section 6.2. m, mean and variance come from `sums`, the two sums over "
        "all devices from `back_sums`.",
        [
            ("Each device uses its own two sums. Use `back_sums`.", numpy.concatenate(own) / std),
            ("m counts the numbers of a channel on all devices.", (g - both / local) / std),
            ("m counts the positions too, not only images.", (g - both / len(x)) / std),
            ("gamma is missing.", dx / float64(gamma)),
            *backward_mistakes(g, X_hat, std, BATCH)[:-1],
        ],
    )


# --- 9.5 ---

NO_PARTS = "In prediction mode there are no parts, and any number of rows is allowed."
REFUSED = "This is prediction mode, where there are no parts: test the number of rows in training mode only."
BY_BASE = "With BatchNorm as the base class, super().forward(X) moves them."
ONE_PART = (
    "With one part, the part is the whole batch: subtract its mean, divide by the root of its "
    "variance plus eps, then apply gamma and beta. If you reshape: is the shape (num_parts, "
    "N / num_parts, C), and is the mean taken over axis 1? num_parts is how many parts there are."
)
STILL = (
    f"The running statistics do not change in training mode. {BY_BASE} Otherwise write into the "
    "arrays of the parameters, with [:] = or set_data. (Under pause(), is_training() is False.)"
)
GHOST_HINTS = {
    "Cannot reshape": NO_PARTS,
    "equal division": NO_PARTS,
    "already in a computational graph": PAUSED,
}


@exercise(
    "9.5",
    "Ghost batches as a layer",
    hints=(
        "Derive the class from d2lutils.BatchNorm. super().forward(X) does all that prediction mode "
        "needs, and in training mode it changes the running statistics with the whole batch. Only its "
        "output has to be replaced there.",
        "In training mode: parts = X.reshape(self.num_parts, -1, X.shape[1]), then self.gamma.data() * "
        "normalize(parts, (1,), self.eps).reshape(X.shape) + self.beta.data(). Before that: if len(X) % "
        'self.num_parts: raise ValueError("...").',
    ),
)
def ghost_layer(trial, layer_class):
    """layer_class(num_features, num_parts, eps=1e-5, momentum=0.9): batch normalization of (N, C) in
    parts. Source: Hoffer et al. 2017, algorithm 1; here with running statistics of the whole batch."""
    if not callable(layer_class) or isinstance(layer_class, Block):
        trial.build(layer_class)
    its = by_position(layer_class)

    def one_part(num_features):
        return its(num_features, 1)

    layer, norm, X = layers.trained(trial, one_part, first_batch=ONE_PART, still=STILL)
    layers.kept(trial, one_part, layer, norm, X)
    for parts, sizes, settings in ((2, (6, 8, 10), ()), (3, (12, 15), (0.5, 0.6))):

        def made(num_features, num_parts, settings=settings):
            return its(num_features, num_parts, *settings)

        _in_parts(trial, made, parts, sizes, Norm(*settings))


def _parts(x, parts, eps):
    """Rows normalized in parts of neighbours, and their divisors."""
    X_hat, std = normalize(float64(x).reshape(parts, -1, CHANNELS), (1,), eps)
    return X_hat.reshape(x.shape), numpy.broadcast_to(std, (parts, len(x) // parts, CHANNELS))


def _predicted(trial, layer, X):
    what = "The forward pass of your block"
    return trial.call(layer, X, what=what, hint=REFUSED, hints=GHOST_HINTS)


def _in_parts(trial, make, parts, sizes, norm):
    """Compare training steps on batches of some sizes, and predictions after them."""
    layer, here = trial.build(make, CHANNELS, parts, hints=GHOST_HINTS), f"{parts} parts"
    if norm.eps != EPS:
        here += f", eps={norm.eps}, momentum={norm.momentum}"
    _predicted(trial, layer, trial.normal(5, CHANNELS))
    set_gamma_and_beta(trial, layer, norm)
    within, in_turn = norm.var, copy.copy(norm)
    for n in sizes:
        slope = numpy.linspace(-3, 3, n)[:, None]  # so that the parts differ
        x, dY = float64(trial.normal(n, CHANNELS, mean=1)) + slope, trial.normal(n, CHANNELS)
        step = trial.step(layer, single(x), dY, GHOST_HINTS)
        X_hat, std = _parts(x, parts, norm.eps)
        mixed = normalize(x.reshape(-1, parts, CHANNELS), (0,), norm.eps)[0].reshape(x.shape)
        of_size = _parts(x, n // parts, norm.eps)[0]
        trial.equal(
            f"{here}: in training mode each part is normalized by itself",
            step.Y,
            norm.affine(X_hat),
            "The first part is the first N / num_parts rows. Subtract the mean of the part, divide by "
            "the root of its variance plus eps, then apply gamma and beta.",
            [
                ("This is the whole batch, without parts.", norm.normalized(x)),
                (
                    "The rows of a part follow each other: reshape to (parts, rows, C).",
                    norm.affine(mixed),
                ),
                ("num_parts is how many parts there are, not their size.", norm.affine(of_size)),
                *unscaled(X_hat, norm.gamma, norm.beta)[:3],
            ],
        )
        of_gamma, of_beta = sorted(step.gradients, key=lambda key: key[0] != "gamma")
        found = [step.dX, step.gradients[of_gamma][0], step.gradients[of_beta][0]]
        g, shape = norm.gamma * float64(dY), std.shape
        dX = of_batch_norm(g.reshape(shape), X_hat.reshape(shape), std, (1,)).reshape(x.shape)
        expected = gradients(dY, X_hat, 1, (0,), norm.gamma)[1:]
        has_gradients(trial, found, (dX, *expected), f", {here}")
        norm.train(x)
        pieces = numpy.split(x, parts)
        var = numpy.mean([piece.var(axis=0) for piece in pieces], axis=0)
        within = norm.momentum * within + (1 - norm.momentum) * var
        for piece in pieces:
            in_turn.train(piece)
    for n in (5, 6):
        X = trial.normal(n, CHANNELS, mean=1)
        mistakes = [
            (
                "The running variance averages those of the parts. It leaves out how far apart the "
                "means of the parts are: take the variance of the whole batch.",
                norm.predict(X, var=within),
            ),
            ("One update a step, with the whole batch, not one for each part.", in_turn.predict(X)),
            *norm.unmoved(X, f"With parts, the running statistics do not change. {BY_BASE}"),
        ]
        if n % parts == 0:
            mistakes += [(NO_PARTS, norm.affine(_parts(X, parts, norm.eps)[0]))]
        trial.equal(
            f"{here}: prediction mode uses the running statistics, for {n} rows",
            _predicted(trial, layer, X),
            norm.predict(X),
            "Each training step moves the running mean and variance once, with the mean and variance "
            "of the whole batch, by the layer's momentum; prediction uses the layer's eps.",
            mistakes,
        )
    n = 3 * parts + 1
    said = trial.call(_attempt, layer, trial.normal(n, CHANNELS), context=autograd.train_mode)
    trial.holds(
        f"{here}: {n} rows in training mode raise a ValueError",
        said == "a ValueError",
        'In training mode, if len(X) % self.num_parts: raise ValueError("...").',
        said,
        "a ValueError",
    )


def _attempt(layer, X):
    """What happens when the layer is called."""
    try:
        layer(X).wait_to_read()
    except Exception as error:
        return f"a {type(error).__name__}"
    return "no error"


# --- 9.6 ---

PROPERTY = {
    "a": "normalizes with the images on the same device only",
    "b": "makes all devices wait for each other at every normalization",
    "c": "normalizes in training with 32 images at a time",
    "d": "hides the brightness and the contrast of an image, together for the channels of a group",
    "e": "hides the brightness and the contrast of an image in each channel",
    "f": "normalizes the features of a single position",
    "g": "normalizes weights and by itself hides no difference between images",
}
SITUATIONS = [  # the right letter, and a question for all others
    (
        "d",
        "Two images on each device, no exchange: what normalizes activations without other images, "
        "and keeps the differences between channels?",
    ),
    (
        "b",
        "It must stay batch normalization, and be folded. Two images are too few for it, but here the "
        "devices can exchange sums quickly.",
    ),
    (
        "a",
        "One device, 64 images, and folded for prediction. Is anything wrong with the ordinary choice?",
    ),
    (
        "c",
        "The loss that is minimized depends on how many images normalize each other. How many were "
        "there when the network was tuned?",
    ),
    (
        "f",
        "Sentences differ in length, and a position may depend neither on other sentences nor on "
        "words that come later.",
    ),
    ("e", "The contrast should be hidden in each channel by itself, one photograph at a time."),
    (
        "g",
        "Consecutive images are not a fair sample of all images, and a darker image must give another "
        "output.",
    ),
]


@exercise(
    "9.6",
    "Which one?",
    hints=(
        "Each letter is right exactly once. Ask of each situation: how many images normalize each other? "
        "May the output depend on them? Which differences have to stay visible?",
        "Painting: instance. Sentences: RMS. 64 images: batch, as usual. 4,096 images: in parts. The "
        "first detector needs group, the second synchronized batch normalization. One is left.",
    ),
)
def which_one(trial, choices):
    """choices: seven letters, one for each situation."""
    if isinstance(choices, list | tuple):
        if any(letter is None or letter is ... for letter in choices):
            raise Unanswered("Some of it is still blank.")
        choices = " ".join(map(str, choices))
    letters = re.sub(r"[\s,;.()\[\]'\"-]", "", choices.lower()) if isinstance(choices, str) else ""
    if len(letters) != len(SITUATIONS) or set(letters) - set(PROPERTY):
        seen = described(choices)
        hint = 'Seven letters from A to G, in the order of the situations: "A B C D E F G".'
        raise Wrong("seven letters", hint, seen)
    for i, (letter, (right, question)) in enumerate(zip(letters, SITUATIONS), start=1):
        hint = f"({letter.upper()}) {PROPERTY[letter]}. {question}"
        trial.holds(f"situation {i}: ({letter.upper()})", letter == right, hint)


# --- the zoo ---

NO_GRADIENT = {
    "_NoGradient": "MXNet cannot differentiate this: no gradient goes through the running mean and "
    "variance. Let npx.batch_norm compute the statistics itself.",
}


@exercise(
    "9.7a",
    "Zoo: no running statistics, and yet",
    hints=(
        "Call the layer in both modes on the same images, and compare with X itself. What does "
        "npx.batch_norm divide by in prediction mode?",
        "npx.batch_norm asks autograd.is_training(). Put its call into `with autograd.train_mode():`, so "
        "that it always uses the statistics of its own input.",
    ),
    options={
        "a": (False, "This layer keeps none: it makes new zeros and ones in each call."),
        "b": (False, "Each image is normalized by itself: their number plays no part."),
        "c": (
            True,
            "In prediction mode npx.batch_norm uses the running mean and variance that it is given. "
            "Here they are 0 and 1, so it does nothing.",
        ),
        "d": (
            False,
            "The operator sets that gamma to 1, as it should. The layer's gamma comes after it.",
        ),
    },
)
def group_modes(trial, hypothesis_a, layer_class):
    """hypothesis_a: a letter; layer_class(num_channels, num_groups): the repaired layer."""
    for C, groups in ((6, 2), (4, 1)):
        X, dY = trial.normal(3, C, 3, 2, mean=2, std=3), trial.normal(3, C, 3, 2)
        layer = trial.tie(trial.build(layer_class, C, groups, like=X))
        values = {kind: p.data() for p, kind, shape in trial.parameters(layer) if shape == (C,)}
        trial.holds(
            "gamma and beta: one for each channel",
            values.keys() == {"gamma", "beta"},
            "The layer has two parameters, gamma and beta, as in the specimen.",
        )
        gamma, beta = values["gamma"], values["beta"]
        rows, std = normalize(float64(X).reshape(3, groups, -1), (2,), EPS)
        X_hat, of_batch = rows.reshape(X.shape), normalize(X, BATCH)[0]
        for name, (context, _) in CONTEXTS.items():
            still = "The symptom is still there: in this mode nothing is normalized."
            trial.equal(
                f"{C} channels, {groups} group(s), {name}: each group has mean 0 and variance 1",
                trial.forward(layer, X, context),
                affine(X_hat, gamma, beta),
                "In both modes: subtract the mean of each group of each image, divide by its "
                "standard deviation, then apply gamma and beta.",
                [
                    (still, affine(float64(X), gamma, beta)),
                    (
                        "The other images play no part: one mean for each group of each image.",
                        affine(of_batch, gamma, beta),
                    ),
                    *unscaled(X_hat, gamma, beta)[:3],
                ],
            )
        step = trial.step(layer, X, dY, NO_GRADIENT)
        g = (per_channel(gamma, X) * float64(dY)).reshape(rows.shape)
        dX = of_batch_norm(g, rows, std, (2,)).reshape(X.shape)
        found = [step.dX, step.gradients["gamma", (C,)][0], step.gradients["beta", (C,)][0]]
        has_gradients(trial, found, (dX, *gradients(dY, X_hat, 1, BATCH, gamma)[1:]))


def _small_net():
    return sequential(nn.Dense(6, activation="tanh"), nn.Dense(4))


@exercise(
    "9.7b",
    "Zoo: twice the images, half the step",
    hints=(
        "loss has one number for each image, so backward() adds up their gradients. In which line are "
        "they divided by how many there are: before the clipping, or after it?",
        "Clip the gradient of the mean loss: `loss = loss_function(net(X), y).mean()` under record(), and "
        "trainer.step(1) at the end, since nothing is left to divide.",
    ),
    options={
        "a": (False, "If nothing is clipped, the same images twice give the same step."),
        "b": (False, "A row of the weights is a unit: all axes but the first are summed."),
        "c": (False, "These are the same images twice: the mean gradient is the same."),
        "d": (
            True,
            "The gradient that is clipped is the sum over the images. step(len(X)) divides the clipped "
            "gradient by their number, so the limit itself is divided.",
        ),
    },
)
def clipped_sums(trial, hypothesis_b, function):
    """hypothesis_b: a letter; function(net, trainer, X, y, limit) -> the mean loss before the step."""
    for n, clips in ((3, True), (8, False)):
        X, y = trial.normal(n, 5), np.array(trial.rng.integers(0, 4, n), dtype="int64")
        net, ours = (trial.tie(trial.build(_small_net, like=X)) for _ in range(2))
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
        before, (sums, loss) = _numbers_of(net), _summed_gradients(ours, X, y)
        mean = [g / n for g in sums]
        ratios = numpy.concatenate([_size(g) / _size(w) for w, g in zip(before, mean)])
        limit = float(numpy.median(ratios) if clips else 1.5 * ratios.max())
        here = f"{n} images, {'half of the units are' if clips else 'no unit is'} clipped"
        trial.equal(
            f"{here}: the mean loss is returned",
            trial.call(function, net, trainer, X, y, limit, what="Your step"),
            loss,
            "Return the mean of the images' losses, as the specimen does: one number.",
            [("That is the sum of the losses, not their mean.", n * loss)],
        )
        clipped, of_sum = (_clipped(before, gradient, limit) for gradient in (mean, sums))
        too_far = "The sum is clipped now. Units below the limit should move by the mean."
        still = "The symptom is still there: the sum is clipped, and divided after that."
        twice = "Divided twice: after .mean() nothing is left to divide, so trainer.step(1)."
        changes = [
            ("Nothing has moved: is trainer.step(...) missing?", [0 * g for g in sums]),
            (still, [g / n for g in of_sum]),
            (twice, [g / n for g in clipped]),
            (too_far, of_sum),
            *([("Nothing is clipped any more.", mean)] if clips else []),
        ]
        trial.equal(
            f"{here}: the step is that of the clipped gradient of the mean loss",
            _stepped(_numbers_of(net), [0 * g for g in sums]),
            _stepped(before, clipped),
            "w should become w - rate * clipped, where clipped is the gradient of the mean loss after "
            "clipping.",
            [(hint, _stepped(before, change)) for hint, change in changes],
            tolerance=1e-4,
        )


def _stepped(numbers, change, rate=0.5):
    """All parameters after a step, in one array."""
    return numpy.concatenate([(w - rate * g).ravel() for w, g in zip(numbers, change)])


def _size(values):
    """The length of each unit, at least 0.001."""
    return numpy.maximum(numpy.linalg.norm(values.reshape(len(values), -1), axis=1), 1e-3)


def _clipped(weights, gradients, limit):
    """The gradients, clipped for each unit."""
    factors = [numpy.minimum(1, limit * _size(w) / _size(g)) for w, g in zip(weights, gradients)]
    return [g * f.reshape(-1, *[1] * (g.ndim - 1)) for g, f in zip(gradients, factors)]


def _numbers_of(net):
    return [float64(p.data()) for p in net.collect_params().values()]


def _summed_gradients(net, X, y):
    """The gradients of the summed loss, and the mean loss."""
    with autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y)
    loss.backward()
    return [float64(p.grad()) for p in net.collect_params().values()], loss.mean().item()
