"""The checks of exercises 01, batch normalization from scratch."""

import numpy
from mxnet import autograd, np

from ..experiments import final
from . import layers
from .engine import EXACT, Wrong, choice, described, exercise
from .layers import by_channel, has_gradients, slips, unscaled
from .reference import affine, backward, channel_shape, float64, gradients, normalize, single
from .words import BIASED, NO_EPS, NO_ROOT, UNREACHED

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
def batch_by_hand(trial, numbers):
    """numbers: the eight of the output, in the order of the input, in any nesting."""
    X = numpy.array([5.0, 5, 5, 11, 5, 5, 5, -1])
    gamma, beta = 4, 1
    if isinstance(numbers, str):
        numbers = trial.numbers("eight numbers", numbers)
    Y = trial.array("eight numbers", numbers, shape=None)
    trial.holds("eight numbers", Y.size == 8, "Two pictures of 2 x 2 pixels.", Y.size, 8)
    Y = Y.reshape(8)
    centred = X - X.mean()
    X_hat = centred / X.std()
    by_picture = (X.reshape(2, 4) - X.reshape(2, 4).mean(axis=1, keepdims=True)).reshape(8)
    spread = X.reshape(2, 4).std(axis=1).repeat(4)
    by_pixel = numpy.array([0, 0, 0, 1, 0, 0, 0, -1.0])  # where only two numbers share a mean
    mistakes = [
        (NO_GAMMA, X_hat),
        ("beta is missing: add 1 at the end.", gamma * X_hat),
        ("gamma is missing: multiply by 4 before you add beta.", X_hat + beta),
        ("gamma is 4 and beta is 1, not the other way round.", X_hat + gamma),
        (NO_ROOT, gamma * centred / X.var() + beta),
        (NO_ROOT, centred / X.var()),
        ("Only the mean is subtracted yet: divide by the standard deviation.", centred),
        ("Divide by the standard deviation before you scale.", gamma * centred + beta),
        ("Divide by the standard deviation, then multiply by gamma.", centred + beta),
        (
            "The variance is a mean: divide the sum of squares by 8.",
            gamma * centred / 72**0.5 + beta,
        ),
        (BIASED, gamma * centred / X.std(ddof=1) + beta),
        (
            "Both pictures share one mean: average over them too.",
            gamma * by_picture / spread + beta,
        ),
        ("Average over the positions, too: one mean for all eight.", gamma * by_pixel + beta),
    ]
    hint = next((its for its, wrong in mistakes if numpy.allclose(Y, wrong, atol=0.02)), None)
    steps = "Subtract the mean of the channel, divide by its standard deviation, scale, shift."
    trial.equal("their mean is beta", Y.mean(), beta, hint or steps)
    trial.equal("their standard deviation is gamma", Y.std(), gamma, hint or steps)
    trial.equal(
        "each number is in its place",
        Y,
        gamma * X_hat + beta,
        hint or "Mean and spread are right: look at the order, and at the signs.",
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
        "Average over all axes but the first. gamma and beta stay where they are: axis 1.",
        "axes = tuple(range(1, X.ndim)). All else is as in the function above.",
    ),
)
def layer_norm(trial, function):
    """function(X, gamma, beta, eps) -> Y; X: (N, C) or (N, C, H, W), gamma and beta: (1, C) or
    (1, C, 1, 1).

    Source: Ba et al. 2016, section 3; for pictures as Wu & He 2018 count it, gamma a channel's.
    """
    eps = 0.1  # large enough to see where it stands
    for shape, kind in [((4, 6), "dense"), ((3, 5, 4, 2), "convolutional"), ((1, 8), "dense")]:
        X, dY = trial.normal(*shape, mean=2, std=0.7), trial.normal(*shape)
        axes, channels = tuple(range(1, len(shape))), channel_shape(X)
        gamma, beta = trial.factors(*channels), trial.normal(*channels)
        X_hat, std = normalize(X, axes, eps)
        mistakes = [
            (
                "This is batch normalization: it averages over the examples of the batch.",
                normalize(X, (0, *axes[1:]), eps)[0],
            ),
            *slips(X_hat, std, eps, X[0].size),
        ]
        if kind == "convolutional":
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
        trial.equal(
            f"with gamma 1 and beta 0, each example is normalized over all its numbers ({kind})",
            trial.call(
                function,
                X,
                np.ones(channels),
                np.zeros(channels),
                eps,
                context=autograd.train_mode,
                hints={
                    "broadcast": "The means belong to examples now, gamma and beta to channels: "
                    "which two shapes meet here?"
                },
            ),
            X_hat,
            "Which numbers share a mean? Those of one example, whatever its shape.",
            mistakes,
        )
        trial.equal(
            f"gamma and beta scale and shift channel by channel ({kind})",
            trial.call(function, X, gamma, beta, eps, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "gamma and beta belong to the channels, axis 1, and have the shape for it.",
            unscaled(X_hat, gamma, beta),
        )
        trial.equal(
            "training and prediction are the same",
            trial.call(function, X, gamma, beta, eps),
            affine(X_hat, gamma, beta),
            "No moving averages here: do not ask for the mode.",
        )
        has_gradients(
            trial,
            trial.gradients(function, (X, gamma, beta, eps), dY),
            gradients(dY, X_hat, std, axes, gamma),
            f" ({kind})",
        )


def backward_mistakes(g, X_hat, std, axes):
    """Hints for what comes out of `backward` with a slip."""
    mean = g.mean(axis=axes, keepdims=True)
    product = (g * X_hat).mean(axis=axes, keepdims=True)
    projection, m = X_hat * product, numpy.prod([X_hat.shape[axis] for axis in axes])
    right = g - mean - projection
    signs = "Both the mean and the projection are subtracted: mind the signs."
    return [
        ("This treats mean and std as constants. They depend on X.", g / std),
        (
            "The projection on X_hat is missing (the mean of the products, not the product of the "
            "means).",
            (g - mean) / std,
        ),
        ("The mean of the incoming gradient is missing.", (g - projection) / std),
        ("Divide by std once, not by its square.", right / std**2),
        ("Not divided by std yet.", right),
        ("Divide by std, do not multiply.", right * std),
        (signs, (g + mean + projection) / std),
        (signs, (g - mean + projection) / std),
        (signs, (g + mean - projection) / std),
        (
            "Means, not sums: divide by how many values share a mean.",
            (g - m * (mean + projection)) / std,
        ),
        ("A projection has a direction: multiply that mean by X_hat.", (g - mean - product) / std),
        (
            "X_hat stands once in the mean and once before it, not squared.",
            (g - mean - X_hat**2 * product) / std,
        ),
        (
            "`axes` is an argument: average over just those axes.",
            (g - g.mean() - X_hat * (g * X_hat).mean()) / std,
        ),
    ]


@exercise(
    "1.4",
    "The backward pass in one line",
    hints=(
        "Lesson 01, section 6, in words: subtract the mean of the incoming gradient, subtract "
        "its projection on X_hat, rescale.",
        "The projection is X_hat times the mean of dX_hat * X_hat, over the same axes, with "
        "keepdims=True. All of it divided by std.",
    ),
)
def normalized_backward(trial, function):
    """function(dX_hat, X_hat, std, axes) -> dX, for X_hat = (X - mean) / std over any axes.

    Source: Ioffe & Szegedy 2015, section 3, simplified.
    """
    own_axes = "`axes` is an argument: average over just those axes."
    for shape, axes in [
        ((7, 3), (0,)),
        ((4, 6), (1,)),
        ((3, 4, 2, 5), (0, 2, 3)),
        ((3, 4, 2, 5), (1, 2, 3)),
    ]:
        X, dX_hat = trial.normal(*shape, mean=1, std=2), trial.normal(*shape)
        X_hat, std = normalize(X, axes, eps=0.5)
        g = float64(dX_hat)
        dX, m = backward(g, X_hat, std, axes), numpy.prod([shape[axis] for axis in axes])
        batch = (0, *range(2, len(shape)))
        trial.equal(
            f"agrees with the derivative, averages over axes {axes} of {shape}",
            trial.call(
                function,
                dX_hat,
                single(X_hat),
                single(std),
                axes,
                hint="Do the means still broadcast? keepdims=True keeps the averaged axes as 1.",
            ),
            dX,
            "Write the three terms of the bracket one by one, and compare each with the formula.",
            [
                *backward_mistakes(g, X_hat, std, axes),
                (own_axes, backward(g, X_hat, std, batch)),
                (own_axes, backward(g, X_hat, std, (0,))),
                (
                    "Divide by how many numbers share a mean, not by the batch size.",
                    (g - (g - std * dX) * m / shape[0]) / std,
                ),
            ],
            tolerance=EXACT,
        )


@exercise(
    "1.5",
    "The largest learning rate",
    hints=(
        "Begin where you are sure that it trains, and go up by a factor of three at a time; near "
        "the edge, with more than one seed.",
        "Without batch normalization, try 0.1 and 0.3, the second with several seeds. With it, 1 "
        "and 3.",
    ),
)
def largest_rate(trial, largest_without, largest_with):
    """largest_without, largest_with: the largest rates that you found, compared with recorded runs.

    Right is the largest rate at which all seeds train, and what lies nearer to it than to the next
    rate; "trains": a training accuracy above 0.5 in the third epoch.
    """
    runs = final(
        "momentum", "train_accuracy", "norm", "lr", lost=0.0
    )  # what is lost does not train
    how_many, seeds = runs.agg(lambda accuracy: (accuracy > 0.5).sum()), runs.count().max()
    for name, norm, rate in (("without", "none", largest_without), ("with", "batch", largest_with)):
        rate = trial.number(f"the rate {name} batch normalization", rate)
        trains = how_many[norm]
        works = trains.index[trains == seeds].max()
        below, above = (
            trains.index[trains.index < works].max(),
            trains.index[trains.index > works].min(),
        )
        trial.holds(
            f"{name} batch normalization: not too careful",
            rate > (works + below) / 2,
            f"At {works:g} all {seeds} recorded runs train.",
            f"{rate:g}",
            f"nearer to the largest rate at which all {seeds} train",
        )
        trial.holds(
            f"{name} batch normalization: not too bold",
            rate < (works + above) / 2,
            f"At {above:g} only {trains[above]} of {seeds} recorded runs train. One lucky run is no "
            "result: try other seeds.",
            f"{rate:g}",
            f"nearer to the largest rate at which all {seeds} train",
        )


@exercise(
    "1.6",
    "Group norm, forward and backward",
    hints=(
        "Reshape X to (N, groups, -1): then a group's numbers lie along the last axis. Shape back "
        "before gamma and beta, which belong to channels.",
        "Backward: dbeta and dgamma are sums over axes 0, 2 and 3, keepdims=True. dX_hat is gamma * dY. Reshape "
        "dX_hat and X_hat to groups, use your line from exercise 1.4 there, and reshape back.",
    ),
)
def group_norm(trial, group_norm, group_norm_backward):
    """group_norm(X, gamma, beta, groups, eps) -> Y; group_norm_backward(dY, X, gamma, groups, eps)
    -> dX, dgamma, dbeta.

    X, dY, Y, dX: (N, C, H, W); gamma, beta: (1, C, 1, 1), dgamma and dbeta too, or (C,).
    Source: Wu & He 2018, section 3.
    """
    eps, axes = 0.1, (0, 2, 3)
    for N, C, groups in [(3, 6, 2), (2, 12, 4), (2, 4, 1), (2, 4, 4)]:
        here = f"{C} channels, groups={groups}"
        X, dY = trial.normal(N, C, 3, 2, mean=1), trial.normal(N, C, 3, 2)
        X = X * trial.uniform(1, C, 1, 1, low=0.3, high=3)
        gamma, beta = trial.factors(1, C, 1, 1), trial.normal(1, C, 1, 1)
        rows, std = normalize(X.reshape(N, groups, -1), (2,), eps)
        X_hat = rows.reshape(X.shape)
        sizes = X.reshape(N, -1, groups, 3, 2)  # groups read as the size of one
        strided = normalize(sizes, (1, 3, 4), eps)[0].reshape(X.shape)
        as_size = normalize(sizes, (2, 3, 4), eps)[0].reshape(X.shape)
        in_two = normalize(X.reshape(N, 2, -1), (2,), eps)[0].reshape(X.shape)
        slipped = slips(rows, std, eps, rows.shape[2])
        trial.equal(
            f"forward, {here}",
            trial.call(group_norm, X, gamma, beta, groups, eps, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "One mean for each example and group, over the group's channels and all positions; "
            "then gamma and beta, channel by channel.",
            [
                (NO_GAMMA, X_hat),
                *unscaled(X_hat, gamma, beta)[1:],
                *((hint, affine(wrong.reshape(X.shape), gamma, beta)) for hint, wrong in slipped),
                (
                    "All channels share one mean here: that is layer norm.",
                    affine(normalize(X, (1, 2, 3), eps)[0], gamma, beta),
                ),
                (
                    "This is batch norm: no average may cross examples.",
                    affine(normalize(X, axes, eps)[0], gamma, beta),
                ),
                (
                    "A mean for each channel: that is instance norm.",
                    affine(normalize(X, (2, 3), eps)[0], gamma, beta),
                ),
                (
                    "`groups` is how many there are, not how large one is.",
                    affine(as_size, gamma, beta),
                ),
                (
                    "A group is a run of neighbouring channels: 0, 1, 2, then 3, 4, 5.",
                    affine(strided, gamma, beta),
                ),
                (
                    "How many groups there are is the argument `groups`.",
                    affine(in_two, gamma, beta),
                ),
            ],
        )
        trial.call(group_norm, 2 - X * X, gamma, beta, groups, eps)  # and X is no more the last
        result = trial.call(group_norm_backward, dY, X, gamma, groups, eps)
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise Wrong(
                f"The backward pass returned {described(result)}, not three arrays.",
                "return dX, dgamma, dbeta",
            )
        g, x = float64(dY), float64(X)
        dgamma = (g * X_hat).sum(axis=axes, keepdims=True)
        dbeta = g.sum(axis=axes, keepdims=True)
        trial.equal(
            f"dbeta, {here}",
            by_channel(trial, f"dbeta, {here}", result[2], dbeta),
            dbeta,
            "dbeta sums dY over everything but the channels.",
            [
                ("A sum, not a mean.", g.mean(axis=axes, keepdims=True)),
                ("Mind the order: return dX, dgamma, dbeta.", dgamma),
            ],
        )
        trial.equal(
            f"dgamma, {here}",
            by_channel(trial, f"dgamma, {here}", result[1], dgamma),
            dgamma,
            "dgamma sums dY * X_hat over everything but the channels.",
            [
                ("A sum, not a mean.", (g * X_hat).mean(axis=axes, keepdims=True)),
                ("X_hat, not X, is what gamma multiplies.", (g * x).sum(axis=axes, keepdims=True)),
            ],
        )
        scale = float64(gamma)
        dX_hat, unscaled_rows = (scale * g).reshape(rows.shape), g.reshape(rows.shape)
        late = backward(unscaled_rows, rows, std, (2,)).reshape(X.shape)
        trial.equal(
            f"dX agrees with the derivative, {here}",
            result[0],
            backward(dX_hat, rows, std, (2,)).reshape(X.shape),
            "dX is the line of exercise 1.4 with a group's numbers sharing each mean.",
            [
                (
                    "gamma differs among the channels of a group: multiply dY by it first, average "
                    "then.",
                    scale * late,
                ),
                ("gamma is missing: dX_hat = gamma * dY.", late),
                *(
                    (hint, wrong.reshape(X.shape))
                    for hint, wrong in backward_mistakes(dX_hat, rows, std, (2,))
                ),
                (
                    NO_EPS,
                    backward(dX_hat, *normalize(X.reshape(N, groups, -1), (2,), 0), (2,)).reshape(
                        X.shape
                    ),
                ),
            ],
        )


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
        "d": (False, "The input is harmless: it has mean 0 and standard deviation 1."),
    },
)
def moving_variance(trial, hypothesis_a, layer_class):
    """hypothesis_a: a letter; layer_class(num_features): the repaired layer for inputs (N, C)."""
    symptom = "The symptom is still there: look at the two lines that start the running statistics."
    layer, norm, X = layers.trained(trial, layer_class, symptom)
    start = "What is not a parameter is not saved: change where they start, not what they are."
    layers.kept(trial, layer_class, layer, norm, X, start)
    layers.modes(trial, layer_class, layer, norm, X)
    layers.settings(trial, layer_class, X)
    layers.small_variance(trial, layer, norm, X)


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
def pooled_axes(trial, hypothesis_b, function):
    """hypothesis_b: a letter; function(X, gamma, beta, eps): the repaired one, X: (N, C, H, W)."""
    eps, axes = 0.1, (0, 2, 3)
    for N in (1, 5):
        X, dY = trial.normal(N, 3, 4, 6, mean=2), trial.normal(N, 3, 4, 6)
        X = X * trial.uniform(1, 3, 4, 6, low=0.5, high=2)
        gamma, beta = trial.factors(1, 3, 1, 1), trial.normal(1, 3, 1, 1)
        X_hat, std = normalize(X, axes, eps)
        centred = X_hat * std
        half_repaired = centred / numpy.sqrt((centred**2).mean(axis=0, keepdims=True) + eps)
        wrong_axes = {
            (0,): "The symptom is still there: the means are taken over axis 0 only.",
            (0, 1, 2, 3): "The channels share a mean now. Each channel is a feature of its own.",
            (2, 3): "Each picture has a mean of its own now: average over the examples too.",
        }
        trial.equal(
            f"each channel is normalized over examples and positions, batch of {N}",
            trial.call(function, X, gamma, beta, eps, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "Which numbers share a mean? All of one channel, in every picture.",
            [
                *(
                    (hint, affine(normalize(X, wrong, eps)[0], gamma, beta))
                    for wrong, hint in wrong_axes.items()
                ),
                (
                    "The mean is right now; the variance has axes too.",
                    affine(half_repaired, gamma, beta),
                ),
                *(
                    (hint, affine(wrong, gamma, beta))
                    for hint, wrong in slips(X_hat, std, eps, N * 24)
                ),
            ],
        )
        has_gradients(
            trial,
            trial.gradients(function, (X, gamma, beta, eps), dY),
            gradients(dY, X_hat, std, axes, gamma),
        )


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
def hidden_gradient(trial, hypothesis_c, function):
    """hypothesis_c: a letter; function(X, gamma, beta, eps): the repaired one, X: (N, C)."""
    X, dY, eps = trial.normal(8, 3, mean=1, std=2), trial.normal(8, 3), 0.1
    gamma, beta = trial.factors(1, 3), trial.normal(1, 3)
    X_hat, std = normalize(X, (0,), eps)
    trial.equal(
        "the output is batch normalization's",
        trial.call(function, X, gamma, beta, eps, context=autograd.train_mode),
        affine(X_hat, gamma, beta),
        "The forward pass was right: change only what autograd sees.",
        [(hint, affine(wrong, gamma, beta)) for hint, wrong in slips(X_hat, std, eps, 8)],
    )
    g = float64(gamma) * float64(dY)
    found = trial.gradients(function, (X, gamma, beta, eps), dY)
    dX, *expected = gradients(dY, X_hat, std, (0,), gamma)
    trial.equal(
        "autograd finds the gradient of its input",
        found[0],
        dX,
        "Compute mean and variance where autograd records.",
        [
            (UNREACHED.format("its input"), 0 * dX),
            ("The symptom is still there: mean and variance are constants to autograd.", g / std),
            (
                "The mean is seen now; the variance is still hidden (var() hides it, too).",
                (g - g.mean(axis=0, keepdims=True)) / std,
            ),
            (
                "The variance is seen now; the mean is still hidden from autograd.",
                (g - X_hat * (g * X_hat).mean(axis=0, keepdims=True)) / std,
            ),
        ],
    )
    has_gradients(trial, found, (dX, *expected))


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
def momentum_reversed(trial, hypothesis_d, function):
    """hypothesis_d: a letter; function(moving, value, momentum) -> the new moving average."""
    for start, momentum, which in (
        (1, 0.9, "momentum 0.9"),
        (1, trial.integer(60, 80) / 100, "another"),
        (1, trial.integer(20, 40) / 100, "a small one"),
        (0, trial.integer(60, 80) / 100, "the first step"),
    ):
        moving, value = start * trial.normal(5), trial.normal(5, mean=5)
        old, new = moving.asnumpy(), value.asnumpy()
        move = (1 - momentum) * (new - old)
        trial.equal(
            f"momentum weighs the old value, the rest the new one ({which})",
            trial.call(function, moving, value, momentum),
            old + move,
            "Two weights, momentum and 1 - momentum: one for the old value, one for the new.",
            [
                (
                    "The symptom is still there: momentum weighs the new value.",
                    (1 - momentum) * old + momentum * new,
                ),
                (
                    "This moves by all of the new value: the weights must add up to one.",
                    momentum * old + new,
                ),
                ("Use the argument momentum; it is not always 0.9.", 0.9 * old + 0.1 * new),
                ("It moves the wrong way: mind the sign.", old - move),
                ("The new value has no weight: the average never moves.", old),
                ("The old value has no weight: nothing is averaged.", new),
            ],
            tolerance=EXACT,
        )
