"""The checks of exercises 01, batch normalization from scratch."""

import numpy
from mxnet import autograd, np

from ..experiments import load
from .engine import Wrong, choice, described, exercise
from .reference import affine, normalize, per_channel, single

ROOT = "Epsilon belongs under the root: sqrt(var + eps), not sqrt(var) + eps."
BIASED = (
    "Divide by the number of values, not by one less: batch normalization uses the biased variance."
)
NO_GAMMA = "These are the normalized values. gamma and beta come after them."


@exercise(
    "1.1",
    "A batch by hand",
    hints=(
        "Two pictures of one channel: all eight numbers share one mean, 5, and one variance.",
        "The squared distances from 5 are 36, 36 and six times 0: the variance is 72 / 8 = 9, "
        "so the standard deviation is 3. Then times gamma, plus beta.",
    ),
)
def batch_by_hand(trial, Y):
    """Y: the eight numbers of the output, in the order of the input, in any nesting."""
    X = numpy.array([5.0, 5, 5, 11, 5, 5, 5, -1])
    gamma, beta = 3, 1
    what = "all eight numbers of the output"
    Y = trial.array(what, Y, shape=None)
    Y = Y.reshape(8) if Y.size == 8 else Y
    centred = X - X.mean()
    X_hat = centred / X.std()
    pixels = numpy.array([0, 0, 0, 1, 0, 0, 0, -1.0])  # where only two numbers share a mean
    trial.equal(
        what,
        Y,
        gamma * X_hat + beta,
        "Subtract the mean of the channel, divide by its standard deviation, scale, shift.",
        mistakes=[
            (NO_GAMMA, X_hat),
            ("beta is missing: add 1 at the end.", gamma * X_hat),
            ("gamma is missing: multiply by 3 before you add beta.", X_hat + beta),
            ("Divide by the standard deviation, the root of 9.", gamma * centred / X.var() + beta),
            (BIASED, gamma * centred / X.std(ddof=1) + beta),
            ("Average over the positions of both pictures too.", gamma * pixels + beta),
        ],
    )


what_comes_out = choice(
    "1.2",
    "What comes out",
    hints=(
        "Standardizing moves and stretches the values. Can that change the shape of their histogram?",
        "A negative gamma mirrors the histogram. A standard deviation is never negative.",
    ),
    options={
        "a": (
            False,
            "Subtracting and dividing by constants keeps the shape of a histogram: what was skewed "
            "stays skewed.",
        ),
        "b": (False, "Multiplying by gamma multiplies the variance by gamma squared, here 9."),
        "c": (
            True,
            "beta is the mean, the absolute value of gamma the standard deviation, and minus "
            "mirrors the skew.",
        ),
        "d": (False, "gamma scales and beta shifts, not the other way round."),
    },
)


@exercise(
    "1.3",
    "Layer norm",
    hints=(
        "Only the axes change: all but the first. With keepdims=True the shapes fit by themselves.",
        "axes = tuple(range(1, X.ndim)), and no moving averages: an example needs no company, so "
        "prediction and training are the same.",
    ),
)
def layer_norm(trial, function):
    """function(X, gamma, beta, eps) -> Y; X: (N, C) or (N, C, H, W), gamma and beta: (C,).

    Source: Ba et al. 2016, section 3; for pictures as Wu & He 2018 count it, gamma a channel's.
    """
    eps = 0.1  # large enough to see where it stands
    for shape in [(4, 6), (3, 5, 4, 2), (1, 8)]:
        X = trial.normal(*shape, mean=2, std=0.7)
        C, m = shape[1], X[0].size
        gamma, beta = trial.uniform(C, low=0.5, high=2), trial.normal(C)
        X_hat, std = normalize(X, tuple(range(1, len(shape))), eps)
        centred, plain_std = X_hat * std, numpy.sqrt(std**2 - eps)
        unbiased = numpy.sqrt((std**2 - eps) * m / (m - 1) + eps)
        mistakes = [
            (
                "This is batch normalization: it averages over the examples of the batch.",
                normalize(X, (0, *range(2, len(shape))), eps)[0],
            ),
            (ROOT, centred / (plain_std + eps)),
            (BIASED, centred / unbiased),
            ("eps has no effect yet: add it under the root.", centred / plain_std),
            ("Divide by the root of the variance.", centred / std**2),
        ]
        if len(shape) == 4:
            mistakes += [
                (
                    "For a picture, average over its positions too: axes 1, 2 and 3.",
                    normalize(X, (1,), eps)[0],
                ),
                (
                    "This averages within a channel: that is instance norm.",
                    normalize(X, (2, 3), eps)[0],
                ),
            ]
        kind = "dense" if len(shape) == 2 else "convolutional"
        trial.equal(
            f"with gamma 1 and beta 0, each example is normalized over all its numbers ({kind})",
            trial.call(function, X, np.ones(C), np.zeros(C), eps, context=autograd.train_mode),
            X_hat,
            "Which numbers share a mean? Those of one example, whatever its shape.",
            mistakes,
        )
        trial.equal(
            f"gamma and beta scale and shift channel by channel ({kind})",
            trial.call(function, X, gamma, beta, eps, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "gamma and beta belong to the channels, axis 1: reshape them as batch_norm does.",
            [("gamma and beta have no effect yet.", X_hat)],
        )
        trial.equal(
            "training and prediction are the same",
            trial.call(function, X, gamma, beta, eps),
            affine(X_hat, gamma, beta),
            "No moving averages here: do not ask for the mode.",
        )


@exercise(
    "1.4",
    "The backward pass in one line",
    hints=(
        "Notebook 01, section 6, in words: subtract the mean of the incoming gradient, subtract "
        "its projection on X_hat, rescale.",
        "The projection is X_hat times the mean of dX_hat * X_hat, over the same axes, with "
        "keepdims=True. All of it divided by std.",
    ),
)
def normalized_backward(trial, function):
    """function(dX_hat, X_hat, std, axes) -> dX, for X_hat = (X - mean) / std over any axes.

    Source: Ioffe & Szegedy 2015, section 3, simplified.
    """
    for shape, axes in [
        ((7, 3), (0,)),
        ((4, 6), (1,)),
        ((3, 4, 2, 5), (0, 2, 3)),
        ((3, 4, 2, 5), (1, 2, 3)),
    ]:
        X, g = trial.normal(*shape, mean=1, std=2), trial.normal(*shape)
        X_hat, std = normalize(X, axes)
        dX = _backward(g.asnumpy(), X_hat, std, axes)
        g64 = g.asnumpy().astype("float64")
        mean = g64.mean(axis=axes, keepdims=True)
        projection = X_hat * (g64 * X_hat).mean(axis=axes, keepdims=True)
        m = numpy.prod([shape[axis] for axis in axes])
        trial.equal(
            f"agrees with the derivative, averages over axes {axes} of {shape}",
            trial.call(function, g, single(X_hat), single(std), axes),
            dX,
            "Three terms in a bracket, and one factor before it.",
            [
                ("This treats mean and std as constants. They depend on X.", g64 / std),
                ("The projection on X_hat is missing.", (g64 - mean) / std),
                ("The mean of the incoming gradient is missing.", (g64 - projection) / std),
                ("Divide by std once, not by its square.", dX / std),
                ("Not divided by std yet.", dX * std),
                ("The first two terms subtract: mind the signs.", (g64 + mean + projection) / std),
                (
                    "Means, not sums: divide by how many values share a mean.",
                    (g64 - m * mean - m * projection) / std,
                ),
                (
                    "The mean of the products, not the product of the means.",
                    (g64 - mean - X_hat * mean * X_hat.mean(axis=axes, keepdims=True)) / std,
                ),
            ],
        )


def _backward(g, X_hat, std, axes):
    mean = g.mean(axis=axes, keepdims=True)
    return (g - mean - X_hat * (g * X_hat).mean(axis=axes, keepdims=True)) / std


@exercise(
    "1.5",
    "The largest learning rate",
    hints=(
        "Multiply the rate by about 1.5 until the accuracy falls to a tenth, that of guessing.",
        "Look at notebook 01, section 8: the table of recorded runs tells between which two rates "
        "each network gives up.",
    ),
)
def largest_rate(trial, without_bn, with_bn):
    """without_bn, with_bn: the largest rates that you found, checked against the recorded runs."""
    rows = load("learning_rates")
    accuracy = rows[rows.epoch == rows.epoch.max()].groupby(["norm", "lr"]).train_accuracy.mean()
    found = {"without": without_bn, "with": with_bn}
    found = {
        key: float(trial.array(f"the rate {key} batch normalization", rate, ()))
        for key, rate in found.items()
    }
    for key, norm in (("without", "none"), ("with", "batch")):
        means, rate = accuracy[norm], found[key]
        works, fails = means.index[means > 0.5].max(), means.index[means < 0.3].min()
        trial.holds(
            f"{key} batch normalization: not too careful",
            rate >= works,
            f"Over five recorded seeds {works:g} still trains (mean accuracy {means[works]:.2f}).",
            f"{rate:g}",
            f"at least {works:g}",
        )
        trial.holds(
            f"{key} batch normalization: not too bold",
            rate < fails,
            f"Over five recorded seeds {fails:g} ends in guessing (mean accuracy {means[fails]:.2f}). "
            "One lucky run is not a result: try other seeds.",
            f"{rate:g}",
            f"below {fails:g}",
        )


@exercise(
    "1.6",
    "Group norm, forward and backward",
    hints=(
        "Reshape X to (N, groups, -1): then a group's numbers lie along the last axis. Shape back "
        "before gamma and beta, which belong to channels.",
        "Backward: dbeta and dgamma are sums over axes 0, 2 and 3. dX_hat is gamma * dY. Reshape "
        "dX_hat and X_hat to groups, use your line from exercise 1.4 there, and reshape back.",
    ),
)
def group_norm(trial, forward, backward):
    """forward(X, gamma, beta, groups, eps) -> Y; backward(dY, X, gamma, groups, eps) -> dX, dgamma, dbeta.

    X, dY, Y, dX: (N, C, H, W); gamma, beta: (C,). Source: Wu & He 2018, section 3.
    """
    for N, C, groups in [(3, 6, 2), (2, 8, 4), (2, 4, 1), (2, 4, 4)]:
        X, dY = trial.normal(N, C, 3, 2, mean=1), trial.normal(N, C, 3, 2)
        X = X * trial.uniform(1, C, 1, 1, low=0.3, high=3)
        gamma, beta = trial.uniform(C, low=0.5, high=2), trial.normal(C)
        rows, std = normalize(X.reshape(N, groups, -1), (2,))
        X_hat = rows.reshape(X.shape)
        per_image = normalize(X, (1, 2, 3))[0]
        strided = X.asnumpy().reshape(N, C // groups, groups, 3, 2).transpose(0, 2, 1, 3, 4)
        strided = normalize(single(strided), (2, 3, 4))[0].transpose(0, 2, 1, 3, 4).reshape(X.shape)
        trial.equal(
            f"forward, {C} channels in groups of {C // groups}",
            trial.call(forward, X, gamma, beta, groups, 1e-5, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "One mean for each example and group: the group's channels at all positions.",
            [
                (NO_GAMMA, X_hat),
                (
                    "All channels share one mean here: that is layer norm.",
                    affine(per_image, gamma, beta),
                ),
                (
                    "This is batch norm: no average may cross examples.",
                    affine(normalize(X, (0, 2, 3))[0], gamma, beta),
                ),
                (
                    "A mean for each channel: that is instance norm.",
                    affine(normalize(X, (2, 3))[0], gamma, beta),
                ),
                (
                    "A group is a run of neighbouring channels: 0, 1, 2, then 3, 4, 5.",
                    affine(strided, gamma, beta),
                ),
            ],
        )
        dY64 = dY.asnumpy().astype("float64")
        scaled = per_channel(gamma.asnumpy(), dY) * dY64
        dX = _backward(scaled.reshape(rows.shape), rows, std, (2,)).reshape(X.shape)
        late = _backward(dY64.reshape(rows.shape), rows, std, (2,)).reshape(X.shape)
        result = trial.call(backward, dY, X, gamma, groups, 1e-5)
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise Wrong(
                f"The backward pass returned {described(result)}, not three arrays.",
                "return dX, dgamma, dbeta",
            )
        axes = (0, 2, 3)
        trial.equal(
            "dbeta",
            result[2],
            dY64.sum(axis=axes),
            "dbeta sums dY over everything but the channels.",
            [("A sum, not a mean.", dY64.mean(axis=axes))],
        )
        trial.equal(
            "dgamma",
            result[1],
            (dY64 * X_hat).sum(axis=axes),
            "dgamma sums dY * X_hat over everything but the channels.",
            [
                ("A sum, not a mean.", (dY64 * X_hat).mean(axis=axes)),
                ("X_hat, not X, is what gamma multiplies.", (dY64 * X.asnumpy()).sum(axis=axes)),
            ],
        )
        trial.equal(
            f"dX agrees with the derivative, groups of {C // groups} channels",
            result[0],
            dX,
            "dX is the line of exercise 1.4 with a group's numbers sharing each mean.",
            [
                (
                    "gamma differs among the channels of a group: multiply dY by it first, average then.",
                    per_channel(gamma.asnumpy(), dY) * late,
                ),
                ("gamma is missing: dX_hat = gamma * dY.", late),
                (
                    "This treats mean and std as constants.",
                    (scaled.reshape(rows.shape) / std).reshape(X.shape),
                ),
            ],
        )


def _fresh(trial, layer_class, C):
    X = trial.normal(32, C, mean=3, std=2)
    return trial.build(layer_class, C, like=X), X


@exercise(
    "1.7a",
    "Zoo: hundreds before the first step",
    hints=(
        "Nothing has been trained. In prediction the layer divides by the root of the moving variance.",
        "What must a fresh layer's moving mean and variance be, so that it leaves its input as it is?",
    ),
    options={
        "a": (
            False,
            "Nobody has trained yet: no learning rate has acted. Look at what the layer was given at birth.",
        ),
        "b": (False, "gamma starts at one, and that is right: see the constructor."),
        "c": (
            True,
            "A root of zero plus epsilon is 0.003, and dividing by that multiplies by 316.",
        ),
        "d": (False, "The input is harmless: normal numbers. Print them, and see."),
    },
)
def moving_variance(trial, hypothesis, layer_class):
    """hypothesis: a letter; layer_class(num_features): the repaired layer for inputs (N, C)."""
    layer, _ = _fresh(trial, layer_class, 4)
    X = trial.normal(16, 4)
    trial.equal(
        "a fresh layer leaves its input as it is in prediction",
        trial.forward(layer, X),
        X.asnumpy() / numpy.sqrt(1 + 1e-5),
        "The symptom is still there: look at the two lines that start the running statistics.",
        [
            (
                "Prediction normalizes with its own batch now: it should use the moving averages.",
                normalize(X, (0,))[0],
            )
        ],
    )
    batch = trial.normal(64, 4, mean=5, std=3)
    Y = trial.train(layer, batch, trial.normal(64, 4))
    trial.equal(
        "training still uses the batch's own statistics",
        Y,
        normalize(batch, (0,))[0],
        "Leave the training branch as it was.",
        [
            (
                "A large epsilon hides the symptom and does harm in training: put it back.",
                normalize(batch, (0,), eps=1.0)[0],
            )
        ],
    )
    mean, var = 0.1 * batch.asnumpy().mean(axis=0), 0.9 + 0.1 * batch.asnumpy().var(axis=0)
    trial.equal(
        "and after one batch the averages have moved by a tenth",
        trial.forward(layer, X),
        (X.asnumpy() - mean) / numpy.sqrt(var + 1e-5),
        "Prediction must use the moving averages, which start at mean 0 and variance 1.",
    )


@exercise(
    "1.7b",
    "Zoo: a single picture comes out empty",
    hints=(
        "How many numbers share a mean in the specimen? In notebook 01, section 3?",
        "Average over every axis but the channels', in both lines: axis=(0, 2, 3).",
    ),
    options={
        "a": (False, "Epsilon is one hundred-thousandth: it only matters for constant inputs."),
        "b": (
            True,
            "The mean of one picture over axis 0 is the picture itself, and subtracting it leaves zeros.",
        ),
        "c": (False, "gamma is one and beta zero: they change nothing here."),
        "d": (
            False,
            "A batch of one is a problem for dense layers. A picture has many positions to average over.",
        ),
    },
)
def pooled_axes(trial, hypothesis, function):
    """hypothesis: a letter; function(X, gamma, beta, eps): the repaired one, X: (N, C, H, W)."""
    for N in (1, 5):
        X = trial.normal(N, 3, 4, 6, mean=2) * trial.uniform(1, 3, 4, 6, low=0.5, high=2)
        gamma, beta = trial.uniform(3, low=0.5, high=2), trial.normal(3)
        trial.equal(
            f"each channel is normalized over examples and positions, batch of {N}",
            trial.call(function, X, gamma, beta, 1e-5, context=autograd.train_mode),
            affine(normalize(X, (0, 2, 3))[0], gamma, beta),
            "Which numbers share a mean? All of one channel, in every picture.",
            [
                (
                    "The symptom is still there: the means are taken over axis 0 only.",
                    affine(normalize(X, (0,))[0], gamma, beta),
                ),
                (
                    "The channels share a mean now. Each channel is a feature of its own.",
                    affine(normalize(X, (0, 1, 2, 3))[0], gamma, beta),
                ),
                (
                    "Each picture has a mean of its own now: average over the examples too.",
                    affine(normalize(X, (2, 3))[0], gamma, beta),
                ),
                (
                    "The mean is right now; the variance has axes too.",
                    affine(_half_repaired(X), gamma, beta),
                ),
            ],
        )


def _half_repaired(X):
    X = X.asnumpy().astype("float64")
    mean = X.mean(axis=(0, 2, 3), keepdims=True)
    return (X - mean) / numpy.sqrt(((X - mean) ** 2).mean(axis=0, keepdims=True) + 1e-5)


@exercise(
    "1.7c",
    "Zoo: a bias that grows for ever",
    hints=(
        "Adding a number to all inputs of the layer changes nothing in its output. So what must "
        "the gradient with respect to that number be?",
        "Autograd sees only what is computed while it records: nothing may be hidden from it.",
    ),
    options={
        "a": (
            False,
            "The rate is innocent: a gradient of zero moves nothing, at any rate. This gradient should be zero.",
        ),
        "b": (False, "Epsilon has hardly any effect: the values' variance is about one."),
        "c": (False, "The loss is right: it is the same at each step, because the output is."),
        "d": (
            True,
            "To autograd the mean is a constant, so it believes that the bias moves the output, and pushes.",
        ),
    },
)
def hidden_gradient(trial, hypothesis, function):
    """hypothesis: a letter; function(X, gamma, beta, eps): the repaired one, X: (N, C)."""
    X, dY = trial.normal(8, 3, mean=1, std=2), trial.normal(8, 3)
    gamma, beta = trial.uniform(3, low=0.5, high=2), trial.normal(3)
    X_hat, std = normalize(X, (0,))
    trial.equal(
        "the output is batch normalization's",
        trial.call(function, X, gamma, beta, 1e-5, context=autograd.train_mode),
        affine(X_hat, gamma, beta),
        "The forward pass was right: change only what autograd sees.",
    )
    seen = X.copy()
    seen.attach_grad()
    scaled = gamma.asnumpy() * dY.asnumpy().astype("float64")

    def differentiate():
        with autograd.record():
            Y = function(seen, gamma, beta, 1e-5)
        Y.backward(dY)
        return seen.grad

    centred = (scaled - scaled.mean(axis=0, keepdims=True)) / std
    no_variance = (
        "The mean is seen now; the variance is still hidden from autograd (or computed by var())."
    )
    no_mean = scaled / std - X_hat * (scaled * X_hat).mean(axis=0, keepdims=True) / std
    trial.equal(
        "the gradient is batch normalization's",
        trial.call(differentiate),
        _backward(scaled, X_hat, std, (0,)),
        "Compute mean and variance where autograd records.",
        [
            (
                "The symptom is still there: mean and variance are constants to autograd.",
                scaled / std,
            ),
            (no_variance, centred),
            ("The variance is seen now; the mean is still hidden from autograd.", no_mean),
        ],
    )


@exercise(
    "1.7d",
    "Zoo: an average that does not average",
    hints=(
        "After one batch of mean 5 the moving mean should be 0.5. What is it?",
        "In this course, as in Gluon, momentum is the weight of the old value.",
    ),
    options={
        "a": (
            False,
            "The moving mean starts at 0, as it should; after 50 batches that is forgotten either way.",
        ),
        "b": (
            True,
            "The old value gets the weight 0.1, so the moving mean is little more than the last batch's mean.",
        ),
        "c": (
            False,
            "Small batches have noisy means, true; a moving average is there to smooth just that.",
        ),
        "d": (False, "The variance does not enter the moving mean."),
    },
)
def momentum_reversed(trial, hypothesis, function):
    """hypothesis: a letter; function(moving, value, momentum) -> the new moving average."""
    for momentum in (0.9, trial.integer(60, 80) / 100):
        moving, value = trial.normal(5), trial.normal(5, mean=5)
        old, new = moving.asnumpy(), value.asnumpy()
        trial.equal(
            "momentum weighs the old value, the rest the new one",
            trial.call(function, moving, value, momentum),
            momentum * old + (1 - momentum) * new,
            "Two weights that add up to one.",
            [
                (
                    "The symptom is still there: momentum weighs the new value.",
                    (1 - momentum) * old + momentum * new,
                ),
                (
                    "This moves by all of the new value: the weights must add up to one.",
                    momentum * old + new,
                ),
                ("The new value is missing its place: the average never moves.", old),
            ],
        )
