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
        "Two images of one channel: all eight numbers share one mean, 5, and one variance.",
        "The squared distances from 5 are 36, 36 and six times 0: the variance is 72 / 8 = 9, "
        "so the standard deviation is 3. Then multiply by gamma and add beta.",
    ),
)
def batch_by_hand(trial, numbers):
    """numbers: the eight numbers of the output, in the order of the input, flat or nested."""
    X = numpy.array([5.0, 5, 5, 11, 5, 5, 5, -1])
    gamma, beta = 10, 1  # so that no two of the mistakes below agree
    if isinstance(numbers, str):
        numbers = trial.numbers("eight numbers", numbers)
    Y = trial.array("eight numbers", numbers, shape=None)
    trial.holds("eight numbers", Y.size == 8, "Two images of 2 x 2 pixels.", Y.size, 8)
    Y = Y.reshape(8)
    centred = X - X.mean()
    X_hat = centred / X.std()
    by_image = (X.reshape(2, 4) - X.reshape(2, 4).mean(axis=1, keepdims=True)).reshape(8)
    spread = X.reshape(2, 4).std(axis=1).repeat(4)
    by_pixel = numpy.array([0, 0, 0, 1, 0, 0, 0, -1.0])  # where only two numbers share a mean
    mistakes = [
        (NO_GAMMA, X_hat),
        ("beta is missing: add 1 at the end.", gamma * X_hat),
        (f"gamma is missing: multiply by {gamma} before you add beta.", X_hat + beta),
        (f"gamma is {gamma} and beta is {beta}, not the other way round.", X_hat + gamma),
        (
            f"gamma is no variance: the factor is {gamma} itself, not its root.",
            gamma**0.5 * X_hat + beta,
        ),
        (NO_ROOT, gamma * centred / X.var() + beta),
        (NO_ROOT, centred / X.var()),
        ("So far only the mean is subtracted: divide by the standard deviation.", centred),
        ("Divide by the standard deviation before you scale.", gamma * centred + beta),
        ("Divide by the standard deviation, then multiply by gamma.", centred + beta),
        (
            "The variance is a mean: divide the sum of squares by 8.",
            gamma * centred / 72**0.5 + beta,
        ),
        (BIASED, gamma * centred / X.std(ddof=1) + beta),
        (
            "Both images share one mean: average over them too.",
            gamma * by_image / spread + beta,
        ),
        ("Average over the positions too: one mean for all eight.", gamma * by_pixel + beta),
    ]
    hint = next((its for its, wrong in mistakes if numpy.allclose(Y, wrong, atol=0.02)), None)
    if not hint and numpy.allclose(abs(Y), abs(gamma * X_hat + beta), atol=0.02):
        hint = "Only a sign is wrong. Which numbers are below the mean?"
    steps = "Subtract the mean of the channel, divide by its standard deviation, scale, shift."
    trial.equal("their mean is beta", Y.mean(), beta, hint or steps)
    trial.equal("their standard deviation is gamma", Y.std(), gamma, hint or steps)
    trial.equal(
        "each number is in its place",
        Y,
        gamma * X_hat + beta,
        hint or "The mean and the spread are right: look at the order and the signs.",
    )


what_comes_out = choice(
    "1.2",
    "What comes out",
    hints=(
        "Standardizing shifts and stretches the values. Can that change the shape of their histogram?",
        "A negative gamma mirrors the histogram. A standard deviation is never negative.",
    ),
    options={
        "a": (
            False,
            "Subtracting a constant and dividing by a constant keeps the shape of a histogram: what "
            "was skewed stays skewed.",
        ),
        "b": (False, "Multiplying by gamma multiplies the variance by gamma squared, here 9."),
        "c": (
            True,
            "beta is the mean, the absolute value of gamma is the standard deviation, and the minus "
            "sign mirrors the skew.",
        ),
        "d": (False, "gamma scales and beta shifts, not the other way round."),
    },
)


@exercise(
    "1.3",
    "Layer norm",
    hints=(
        "Average over all axes but the first. gamma and beta still belong to axis 1.",
        "axes = tuple(range(1, X.ndim)). Everything else is as in the function above.",
    ),
)
def layer_norm(trial, function):
    """function(X, gamma, beta, eps) -> Y; X: (N, C) or (N, C, H, W), gamma and beta: (1, C) or
    (1, C, 1, 1).

    Source: Ba et al. 2016, section 3; for images as in Wu & He 2018, with one gamma for each channel.
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
                    "For an image, average over its positions too: axes 1, 2 and 3.",
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
                    "Exceeds input": "Axes written as numbers fit one shape only: X has 2 axes or 4.",
                    "broadcast": "Which two shapes meet here? keepdims=True keeps an averaged axis, "
                    "with length 1, so that a mean of each example fits X. gamma and beta fit as "
                    "they are.",
                },
            ),
            X_hat,
            "Go through the formula for one example: its mean, its variance, epsilon under the root, then "
            "gamma and beta.",
            mistakes,
        )
        trial.equal(
            f"gamma and beta scale and shift channel by channel ({kind})",
            trial.call(function, X, gamma, beta, eps, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "gamma and beta belong to the channels, axis 1, and already have the right shape.",
            unscaled(X_hat, gamma, beta),
        )
        trial.equal(
            "training and prediction are the same",
            trial.call(function, X, gamma, beta, eps),
            affine(X_hat, gamma, beta),
            "There are no running statistics here: do not ask for the mode.",
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
    signs = "Both the mean and the projection are subtracted: check the signs."
    return [
        ("This treats mean and std as constants. They depend on X.", g / std),
        (
            "The projection on X_hat is missing (it has the mean of the products, not the product of "
            "the means).",
            (g - mean) / std,
        ),
        ("The mean of the incoming gradient is missing.", (g - projection) / std),
        ("Divide by std, not by its square.", right / std**2),
        ("The division by std is still missing.", right),
        ("Divide by std instead of multiplying by it.", right * std),
        (signs, (g + mean + projection) / std),
        (signs, (g - mean + projection) / std),
        (signs, (g + mean - projection) / std),
        (
            "These should be means, not sums: divide by how many values share a mean.",
            (g - m * (mean + projection)) / std,
        ),
        ("A projection has a direction: multiply that mean by X_hat.", (g - mean - product) / std),
        (
            "X_hat appears once inside the mean and once in front of it, not squared.",
            (g - mean - X_hat**2 * product) / std,
        ),
        (
            "`axes` is an argument: average over those axes only.",
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
        "keepdims=True. Divide the whole difference by std.",
    ),
)
def normalized_backward(trial, function):
    """function(dX_hat, X_hat, std, axes) -> dX, for X_hat = (X - mean) / std over any axes.

    Source: Ioffe & Szegedy 2015, section 3, simplified.
    """
    own_axes = "`axes` is an argument: average over those axes only."
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
                hint="Do the means still broadcast? keepdims=True keeps an averaged axis, with length 1.",
            ),
            dX,
            "Write the three terms in the bracket one by one, and compare each with the formula.",
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
        "Begin with a rate at which you are sure that it trains, and go up from one of the six rates "
        "to the next; near the limit, try more than one seed.",
        "Without batch normalization, try 0.1 and 0.3, the second with several seeds. With batch "
        "normalization, try 1 and 3.",
    ),
)
def largest_rate(trial, largest_without, largest_with):
    """largest_without, largest_with: the largest rates that you found, compared with recorded runs.

    Right is the largest recorded rate at which all seeds train, and any rate that is nearer to it
    than to the next one. "Trains": a training accuracy above 0.5 in the third epoch.
    """
    runs = final(
        "momentum", "train_accuracy", "norm", "lr", lost=0.0
    )  # a run that was lost does not train
    how_many, seeds = runs.agg(lambda accuracy: (accuracy > 0.5).sum()), runs.count().max()
    for name, norm, rate in (("without", "none", largest_without), ("with", "batch", largest_with)):
        rate = trial.number(f"the rate {name} batch normalization", rate)
        trains = how_many[norm]
        works = trains.index[trains == seeds].max()
        below = trains.index[trains.index < works].max()
        above = trains.index[trains.index > works].min()
        trial.holds(
            f"{name} batch normalization: not too small",
            rate > (works + below) / 2,
            f"A larger rate also trains with all {seeds} seeds: measure at the next ones.",
            f"{rate:g}",
            f"the largest rate at which all {seeds} recorded runs train",
        )
        trial.holds(
            f"{name} batch normalization: not too large",
            rate < (works + above) / 2,
            f"At {above:g} only {trains[above]} of {seeds} recorded runs train. One run is not "
            "a result: what trains once may fail with other seeds.",
            f"{rate:g}",
            f"the largest rate at which all {seeds} recorded runs train",
        )


@exercise(
    "1.6",
    "Group norm, forward and backward",
    hints=(
        "Reshape X to (N, groups, -1): then a group's numbers lie along the last axis. Reshape back "
        "before gamma and beta, which belong to channels.",
        "Backward: dbeta and dgamma are sums over axes 0, 2 and 3, with keepdims=True. dX_hat is "
        "gamma * dY. Reshape dX_hat and X_hat to groups, use your line from exercise 1.4 there, and "
        "reshape back.",
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
        sizes = X.reshape(N, -1, groups, 3, 2)  # `groups` taken for the size of a group
        strided = normalize(sizes, (1, 3, 4), eps)[0].reshape(X.shape)
        as_size = normalize(sizes, (2, 3, 4), eps)[0].reshape(X.shape)
        in_two = normalize(X.reshape(N, 2, -1), (2,), eps)[0].reshape(X.shape)
        slipped = slips(rows, std, eps, rows.shape[2])
        trial.equal(
            f"forward, {here}",
            trial.call(group_norm, X, gamma, beta, groups, eps, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "There is one mean for each example and group, over the group's channels and all "
            "positions; then come gamma and beta, channel by channel.",
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
                    "Each channel has a mean of its own here: that is instance norm.",
                    affine(normalize(X, (2, 3), eps)[0], gamma, beta),
                ),
                (
                    "`groups` is the number of groups, not the size of one.",
                    affine(as_size, gamma, beta),
                ),
                (
                    "A group is a run of neighbouring channels: 0, 1, 2, then 3, 4, 5.",
                    affine(strided, gamma, beta),
                ),
                (
                    "The number of groups is not always 2: use the argument `groups`.",
                    affine(in_two, gamma, beta),
                ),
            ],
        )
        trial.call(group_norm, 2 - X * X, gamma, beta, groups, eps)  # X is no longer the last input
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
                ("This should be a sum, not a mean.", g.mean(axis=axes, keepdims=True)),
                ("Check the order: return dX, dgamma, dbeta.", dgamma),
            ],
        )
        trial.equal(
            f"dgamma, {here}",
            by_channel(trial, f"dgamma, {here}", result[1], dgamma),
            dgamma,
            "dgamma sums dY * X_hat over everything but the channels.",
            [
                ("This should be a sum, not a mean.", (g * X_hat).mean(axis=axes, keepdims=True)),
                ("gamma multiplies X_hat, not X.", (g * x).sum(axis=axes, keepdims=True)),
            ],
        )
        scale, m = float64(gamma), rows.shape[2]
        dX_hat, unscaled_rows = (scale * g).reshape(rows.shape), g.reshape(rows.shape)
        late = backward(unscaled_rows, rows, std, (2,)).reshape(X.shape)
        dX_rows = backward(dX_hat, rows, std, (2,))
        counts = X.size, X.size // C, X[0].size, 3 * 2, C // groups, C, N  # mistaken for m
        trial.equal(
            f"dX agrees with the derivative, {here}",
            result[0],
            dX_rows.reshape(X.shape),
            "dX is the line of exercise 1.4, with means over the numbers of a group.",
            [
                (
                    "gamma differs among the channels of a group: multiply dY by it first, then "
                    "average.",
                    scale * late,
                ),
                ("gamma is missing: dX_hat = gamma * dY.", late),
                *(
                    (hint, wrong.reshape(X.shape))
                    for hint, wrong in backward_mistakes(dX_hat, rows, std, (2,))
                ),
                *(
                    (
                        "The sums are divided by a wrong count: C / groups * H * W numbers share a mean.",
                        ((dX_hat - (dX_hat - std * dX_rows) * m / count) / std).reshape(X.shape),
                    )
                    for count in counts
                    if count != m
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
        "Nothing has been trained. In prediction the layer divides by the root of the running variance.",
        "What must the running mean and variance of a new layer be, so that it leaves its input as it is?",
    ),
    options={
        "a": (
            False,
            "Nothing has been trained yet, so no learning rate was used. Look at the layer's initial values.",
        ),
        "b": (False, "gamma starts at one, and that is right: see `__init__`."),
        "c": (
            True,
            "The root of zero plus epsilon is 0.003, and dividing by that multiplies by 316.",
        ),
        "d": (False, "The input is harmless: it has mean 0 and standard deviation 1."),
    },
)
def moving_variance(trial, hypothesis_a, layer_class):
    """hypothesis_a: a letter; layer_class(num_features): the repaired layer for inputs (N, C)."""
    symptom = "The symptom is still there: look at the two lines that start the running statistics."
    layer, norm, X = layers.trained(trial, layer_class, symptom)
    start = (
        "Only parameters are saved: change where the running statistics start, not what they are."
    )
    layers.kept(trial, layer_class, layer, norm, X, start)
    layers.modes(trial, layer_class, layer, norm, X)
    layers.settings(trial, layer_class, X)
    layers.small_variance(trial, layer, norm, X)


@exercise(
    "1.7b",
    "Zoo: a single image comes out empty",
    hints=(
        "How many numbers share a mean in the specimen? And in lesson 01, section 3?",
        "Average over every axis but the channel axis, in both lines: axis=(0, 2, 3).",
    ),
    options={
        "a": (False, "Epsilon is 0.00001: it only matters for inputs that are nearly constant."),
        "b": (
            True,
            "The mean of a single image over axis 0 is the image itself, and subtracting it leaves zeros.",
        ),
        "c": (False, "gamma is one and beta is zero: they change nothing here."),
        "d": (
            False,
            "A batch of one is a problem for dense layers. An image has many positions to average over.",
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
            (0, 1, 2, 3): "Now the channels share a mean. Each channel is a feature of its own.",
            (2, 3): "Now each image has a mean of its own: average over the examples too.",
        }
        trial.equal(
            f"each channel is normalized over examples and positions, batch of {N}",
            trial.call(function, X, gamma, beta, eps, context=autograd.train_mode),
            affine(X_hat, gamma, beta),
            "Which numbers share a mean? All numbers of one channel, in every image.",
            [
                *(
                    (hint, affine(normalize(X, wrong, eps)[0], gamma, beta))
                    for wrong, hint in wrong_axes.items()
                ),
                (
                    "The mean is right now; the variance needs the same axes.",
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
    "Zoo: a bias that grows forever",
    hints=(
        "Adding a number to all inputs of the layer changes nothing in its output. So what must "
        "the gradient with respect to that number be?",
        "Autograd sees only what is computed while it records. What is hidden from it here?",
    ),
    options={
        "a": (
            False,
            "The rate is not the cause: this gradient should be zero, and then no rate would move the bias.",
        ),
        "b": (False, "Epsilon has hardly any effect: the variance of the values is about one."),
        "c": (False, "The loss is right: it is the same at each step, because the output is."),
        "d": (
            True,
            "Autograd takes the mean for a constant, so it computes a gradient as if the bias changed the output.",
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
        "autograd finds the gradient with respect to the input",
        found[0],
        dX,
        "Compute mean and variance where autograd records.",
        [
            (UNREACHED.format("the input"), 0 * dX),
            ("The symptom is still there: mean and variance are constants to autograd.", g / std),
            (
                "Autograd sees the mean now. The variance is still hidden (var() hides it too).",
                (g - g.mean(axis=0, keepdims=True)) / std,
            ),
            (
                "Autograd sees the variance now. The mean is still hidden.",
                (g - X_hat * (g * X_hat).mean(axis=0, keepdims=True)) / std,
            ),
        ],
    )
    has_gradients(trial, found, (dX, *expected))


@exercise(
    "1.7d",
    "Zoo: an average that does not average",
    hints=(
        "After one batch of mean 5 the running mean should be 0.5. What is it?",
        "In this course, as in Gluon, momentum is the weight of the old value.",
    ),
    options={
        "a": (
            False,
            "The running mean starts at 0, as it should, and after 50 batches that start is forgotten.",
        ),
        "b": (
            True,
            "The old value gets the weight 0.1, so the running mean is little more than the last batch's mean.",
        ),
        "c": (
            False,
            "Small batches do have noisy means, but smoothing that noise is what a running mean is for.",
        ),
        "d": (False, "The variance plays no part in the running mean."),
    },
)
def momentum_reversed(trial, hypothesis_d, function):
    """hypothesis_d: a letter; function(moving, value, momentum) -> the new running mean."""
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
            f"momentum is the weight of the old value, the rest that of the new one ({which})",
            trial.call(function, moving, value, momentum),
            old + move,
            "Do it by hand: momentum times the old value, plus 1 - momentum times the new one. These two "
            "weights and the three arguments are all there is.",
            [
                (
                    "Here momentum is still the weight of the new value, and should be that of the old one.",
                    (1 - momentum) * old + momentum * new,
                ),
                (
                    "This adds the whole new value: the two weights must add up to one.",
                    momentum * old + new,
                ),
                ("Use the argument momentum; it is not always 0.9.", 0.9 * old + 0.1 * new),
                ("It moves the wrong way: check the sign.", old - move),
                ("The new value has no weight: the running mean never moves.", old),
                ("The old value has no weight: nothing is averaged.", new),
            ],
            tolerance=EXACT,
        )
