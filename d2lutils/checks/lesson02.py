"""The checks of exercises 02, batch normalization with Gluon."""

import numpy
from mxnet import autograd, np, npx
from mxnet.gluon import nn

from . import layers, running
from .engine import EXACT, Wrong, by_position, choice, exercise
from .layers import CONTEXTS, RECORDED, by_channel, has_gradients, slips, unscaled
from .reference import affine, float64, gradients, normalize, per_channel, single
from .words import REVERSED, ROOT, UNCALLED, UNSAVED

ONE_COUNT_A_ROW = (
    "means has a row for each part and a column for each channel, counts one number for each part: "
    "counts.reshape(-1, 1) puts them into rows."
)
EIGHTH = 1 / 8  # of a standard deviation: what three passes over the images come close to


@exercise(
    "2.1",
    "How often does it change?",
    hints=(
        "Lesson 02, section 3: for Gluon's layer, count the backward passes, not the forward passes.",
        "It changes twice. The first time: 0.9 * 0 + 0.1 * 10 = 1. The second time it keeps 0.9 of "
        "that and adds 0.1 * 10.",
    ),
)
def running_mean(trial, answer):
    """answer: the running mean after the listing, a number; measured here on Gluon's layer."""
    X = single([[8], [12]])
    layer = trial.build(lambda: nn.BatchNorm(in_channels=1), like=X)

    def sequence():
        with autograd.record():
            Y = layer(X)
        Y.backward()
        layer(X)
        with autograd.train_mode():
            layer(X)
        with autograd.record():
            layer(X)
            Y = layer(X)
        Y.backward()
        return layer.running_mean.data().item()

    def after(moves, momentum=0.9):
        return 10 * (1 - momentum**moves)

    in_backward = (
        "Gluon's layer changes its running mean in backward(), whatever the forward passes do."
    )
    reversed_momentum = (
        "Momentum is the weight of the old value: each change adds 0.1 of the new one."
    )
    factor_ten = "The batches have mean 10, and each change adds a tenth of that."
    mistakes = [
        (f"You counted every forward pass in training mode. {in_backward}", after(4)),
        (f"You counted every call, the prediction too. {in_backward}", after(5)),
        (f"You counted a forward pass that has no backward pass. {in_backward}", after(3)),
        ("One change too few: there are two backward passes.", after(1)),
        (reversed_momentum, after(1, 0.1)),
        (reversed_momentum, after(2, 0.1)),
        (factor_ten, after(2) / 10),
        (factor_ten, after(2) * 10),
        ("Each change also keeps only 0.9 of the old value.", 2),
    ]
    trial.equal(
        "the running mean at the end",
        answer,
        trial.call(sequence),
        in_backward,
        mistakes,
        tolerance=5e-4,
        secret=True,
    )


saliency = choice(
    "2.2",
    "The gradient of a prediction",
    hints=(
        "There are two modes to set: that of the forward pass and that of the backward pass.",
        "The end of section 2 in lesson 02 shows both calls.",
    ),
    options={
        "a": (
            False,
            "Under record() the network is in training mode: the image is normalized by its own mean "
            "and variance, so this is the gradient of another score.",
        ),
        "b": (
            False,
            "The score is right, but plain backward() applies the formula of training mode to the "
            "running statistics. The result is the gradient of neither mode.",
        ),
        "c": (
            True,
            "Both passes are in prediction mode, so both treat the running statistics as constants.",
        ),
        "d": (
            False,
            "Under predict_mode() nothing is recorded, so backward() has nothing to differentiate and "
            "raises an error.",
        ),
    },
)


@exercise(
    "2.3",
    "Statistics of parts",
    hints=(
        "Weight each part by its count. The variance of everything has two sources: the variances "
        "within the parts, and the distances between their means.",
        "The numbers of a part have the mean squared distance variances + (means - mean) ** 2 from "
        "the common mean. Average that over the parts, weighted by counts.",
    ),
)
def merged(trial, function):
    """function(means, variances, counts) -> mean, var; (B, C), (B, C), (B,) -> (C,), (C,).

    Source: Chan, Golub & LeVeque 1983, for two parts; here the weighted sums for any number.
    """
    for B, C in [(4, 3), (6, 1), (1, 2)]:
        counts = numpy.array([trial.integer(2, 4) + 3 * i for i in range(B)])
        parts = [
            0.1 * float64(trial.normal(n, C, mean=2 * i - 1, std=1 + i))
            for i, n in enumerate(counts)
        ]
        means = numpy.stack([part.mean(axis=0) for part in parts])
        variances = numpy.stack([part.var(axis=0) for part in parts])
        everything = numpy.concatenate(parts)
        mean, var, n = everything.mean(axis=0), everything.var(axis=0), counts.sum()
        weights = counts[:, None] / n
        inside = (weights * variances).sum(axis=0)
        between = (weights * (means - mean) ** 2).sum(axis=0)
        already_biased = "The variances are biased: multiply by counts, not by counts - 1."
        one_less = ((counts[:, None] - 1) * variances).sum(axis=0)
        spread_unweighted = (
            "The parts are not equally large: weight the spread of the means as well."
        )
        arguments = single(means), single(variances), single(counts)
        result = trial.call(function, *arguments, hints={"broadcast": ONE_COUNT_A_ROW})
        found = trial.several(result, ("mean", "var"))
        trial.equal(
            f"the mean of everything, B = {B}, C = {C}",
            found[0],
            mean,
            "A part with twice as many numbers counts twice as much.",
            [
                (
                    "The parts are not equally large: weight each mean by its count.",
                    means.mean(axis=0),
                ),
                ("Divide by the number of all values, the sum of counts.", mean * n),
                ("Divide by the sum of counts, not by the number of parts.", mean * n / B),
                ("That is the variance. Return the mean first.", var),
            ],
            tolerance=EXACT,
        )
        trial.equal(
            f"the variance of everything, B = {B}, C = {C}",
            found[1],
            var,
            "The mean squared distance from the common mean: within the parts and between them.",
            [
                ("The means of the parts differ, which adds to the variance.", inside),
                (
                    "So far this is the spread of the means only: add the variances within the parts.",
                    between,
                ),
                ("The parts are not equally large: weight the variances.", variances.mean(axis=0)),
                (
                    "The parts are not equally large: weight the variances as well.",
                    variances.mean(axis=0) + between,
                ),
                (spread_unweighted, inside + means.var(axis=0)),
                (spread_unweighted, inside + ((means - mean) ** 2).mean(axis=0)),
                (spread_unweighted, inside + ((means - mean) ** 2).sum(axis=0)),
                (
                    "The parts are not equally large: weight both terms.",
                    (variances + (means - mean) ** 2).mean(axis=0),
                ),
                (
                    "The biased variance is asked for: divide by the number of values.",
                    var * n / (n - 1),
                ),
                (already_biased, one_less / n + between),
                (already_biased, (one_less + n * between) / (n - 1)),
                ("The square of the common mean is not subtracted yet.", var + mean**2),
                (
                    "Measure the distances from the common mean, in which large parts count more.",
                    inside + (weights * (means - means.mean(axis=0)) ** 2).sum(axis=0),
                ),
                (
                    "Variances add up, standard deviations do not: take no root before averaging.",
                    (weights * numpy.sqrt(variances)).sum(axis=0) ** 2 + between,
                ),
                ("That is the standard deviation. The variance is asked for.", numpy.sqrt(var)),
                (
                    "Square the means before you average, and subtract the square of the average.",
                    inside + (weights * means).sum(axis=0) - mean**2,
                ),
            ],
            tolerance=EXACT,
        )


@exercise(
    "2.4",
    "Two layers in one",
    hints=(
        "In prediction the normalization multiplies channel i by s[i] = gamma[i] / "
        "sqrt(var[i] + eps) and adds a constant. Put both into the convolution.",
        "The new weight is s.reshape(-1, 1, 1, 1) * weight. The new bias is what the normalization "
        "makes of the old bias: subtract mean, multiply by s, add beta.",
    ),
)
def fold(trial, function):
    """function(weight, bias, gamma, beta, mean, var, eps) -> new weight, new bias.

    weight: (b, a, k, k), all others (b,). Source: Jacob et al. 2018, section 3.2.
    """
    eps = 0.1  # large enough to see where it stands
    for b, a, k in [(3, 3, 3), (4, 2, 1), (2, 5, 3)]:
        weight, bias = trial.normal(b, a, k, k), trial.normal(b)
        gamma, beta = trial.factors(b), trial.normal(b)
        gamma[0] = -abs(gamma[0])
        mean, var = trial.normal(b, mean=1), trial.uniform(b, low=0.2, high=3)
        arguments = weight, bias, gamma, beta, mean, var, eps
        found = trial.several(trial.call(function, *arguments), ("weight", "bias"))
        w, c, g, shift, mu, v = (float64(argument) for argument in arguments[:-1])
        s = g / numpy.sqrt(v + eps)

        def scaled(factor, w=w):
            return factor.reshape(-1, 1, 1, 1) * w

        no_root = "Divide by the standard deviation, the root of var + eps."
        mistakes = [
            (
                "The argument eps is not used: it belongs under the root, as in the layer.",
                scaled(g / numpy.sqrt(v)),
            ),
            (ROOT, scaled(g / (numpy.sqrt(v) + eps))),
            (ROOT, scaled(g / numpy.sqrt(v) + eps)),
            (
                "The eps under the root is eps itself, not its square.",
                scaled(g / (v + eps**2) ** 0.5),
            ),
            (no_root, scaled(g / (v + eps))),
            (no_root, scaled(g / v)),
            ("A gamma can be negative and keeps its sign.", scaled(abs(s))),
            ("The factor gamma is missing.", scaled(1 / numpy.sqrt(v + eps))),
            ("Divide by the standard deviation, do not multiply.", scaled(g * numpy.sqrt(v + eps))),
            ("The weight is unchanged. The normalization scales it.", w),
        ]
        if a == b:
            along_inputs = "This scales the input channels. The output channels are axis 0."
            mistakes.append((along_inputs, s.reshape(1, -1, 1, 1) * w))
        if a == b == k:
            mistakes.append(
                ("This scales along the kernel's width: reshape to (b, 1, 1, 1).", s * w)
            )
        trial.equal(
            f"the weight, {a} channels to {b}, kernel {k}",
            found[0],
            scaled(s),
            "Each output channel has one factor for all of its weights.",
            mistakes,
            tolerance=EXACT,
        )
        trial.equal(
            f"the bias, {a} channels to {b}",
            found[1],
            s * (c - mu) + shift,
            "The old bias goes through the normalization like any other number: minus mean, times "
            "the factor, plus beta.",
            [
                ("The running mean is missing.", s * c + shift),
                ("The old bias goes through the normalization too: scale it.", c - s * mu + shift),
                ("The old bias is missing.", shift - s * mu),
                ("The shift beta is missing.", s * (c - mu)),
                (
                    "The mean is scaled as well: subtract it before you multiply.",
                    s * c - mu + shift,
                ),
                ("The mean is subtracted, not added.", s * (c + mu) + shift),
                ("The shift beta comes last, after the scaling.", s * (c - mu + shift)),
                ("The bias is unchanged. The normalization changes it.", c),
            ],
            tolerance=EXACT,
        )
        X = trial.normal(2, a, 5, 4)
        options = {"kernel": (k, k), "num_filter": b, "pad": (k // 2, k // 2)}
        both = float64(npx.convolution(X, weight, bias, **options))
        normalized = (both - per_channel(mu, both)) / per_channel(numpy.sqrt(v + eps), both)
        new = [single(trial.array("both", part, like.shape)) for part, like in zip(found, (w, c))]
        trial.equal(
            "one convolution gives what the two layers gave, on random images",
            npx.convolution(X, *new, **options),
            affine(normalized, gamma, beta),
            "Check the sign and the axis of each part again.",
        )


@exercise(
    "2.5",
    "The smallest batch that learns",
    hints=(
        "Count how many numbers share a mean: examples times positions. Run gradient_size on a few "
        "shapes, starting with one example.",
        "With one number nothing is left, with two they become +1 and -1; from three on a gradient "
        "passes. How many examples make three numbers?",
    ),
)
def smallest_batch(trial, smallest_dense, smallest_5x5, smallest_1x2):
    """Three whole numbers, compared with what is measured here on Gluon's layer."""
    answers = {(): smallest_dense, (5, 5): smallest_5x5, (1, 2): smallest_1x2}
    names = {(): "the dense layer", (5, 5): "the 5 x 5 output", (1, 2): "the 1 x 2 output"}
    for positions, answer in answers.items():
        name = names[positions]
        N = trial.number(f"the batch for {name}", answer)
        if N < 1 or int(N) != N:
            hint = "How many examples? That is a whole number, at least 1."
            raise Wrong(f"the batch for {name}", hint, N, "1, or 2, or 3, ...")
        numbers = int(N * numpy.prod(positions))
        size = _gradient_size(trial, (min(int(N), 8), 200, *positions))
        trial.holds(
            f"{name}: a gradient passes",
            size > 0.01,
            "One number shares its mean with no other: the output is beta, whatever the input is."
            if numbers == 1
            else "Two numbers that share a mean become +1 and -1, whatever they were. What is the "
            "gradient of a constant?",
            f"typically {size:.0e}",
            "more than 0.01",
        )
        size = _gradient_size(trial, (min(int(N), 8) - 1, 200, *positions)) if N > 1 else 0.0
        trial.holds(
            f"{name}: with one example fewer none does",
            size <= 0.01,
            "Too careful: a smaller batch lets a gradient pass too."
            + (" Count positions as well as examples." if positions else ""),
            f"with one fewer typically {size:.2f}",
            "at most 0.01",
        )


def _gradient_size(trial, shape):
    """The median absolute gradient at the input; the mean would depend on a few close pairs."""
    X, dY = trial.normal(*shape), trial.normal(*shape)
    layer = trial.build(nn.BatchNorm, like=X)
    return float(numpy.median(numpy.abs(float64(trial.gradient(layer, X, dY)))))


@exercise(
    "2.6",
    "Recalibrate a network",
    hints=(
        "A forward pass under record() and a backward() keep 0.9 of the old statistics. After how "
        "many of these is a hundredth left?",
        "Three passes over X, or more, in batches: with autograd.record(): Y = net(batch). Then "
        "Y.backward(), and no Trainer. At the end, return net.",
    ),
)
def recalibrated(trial, function):
    """function(net, X, batch_size) -> net; net: nn.HybridSequential, X: (2000, 1, 6, 6).

    Source: Ioffe & Szegedy 2015, Algorithm 2; Wu & Johnson 2021, section 3.
    """
    X, batch_size = trial.normal(2000, 1, 6, 6, mean=1), 100
    net = trial.tie(trial.build(_small_net, like=X))
    true = running.renew(net, X)
    right = trial.forward(net, X[:20])
    last = running.renew(trial.tie(trial.build(_small_net, like=X)), X[-batch_size:])
    running.write(net, [(mean + 1.5 * numpy.sqrt(var), 4 * var) for mean, var in true])
    stale = [running.moments(x) for [x] in running.inputs(net, [X], autograd.predict_mode)]

    trained = running.trained(net)
    before = [p.data().asnumpy() for p in trained]
    returned = trial.call(function, net, X, batch_size)
    running.is_a_net(returned)
    after = trial.call(lambda: [p.data().asnumpy() for p in trained])
    trial.holds(
        "weights, biases, gamma and beta are what they were",
        all(map(numpy.array_equal, before, after)),
        "Only the running statistics may change: no Trainer, no step, no new initialization.",
    )
    found = trial.call(lambda: running.statistics(net))
    trial.holds(
        "the statistics are not those of the last batch alone",
        not running.close(found, last, 0.02),
        "Average over the batches: each counts as much as the last one.",
    )
    running.fits(trial, "", found, true, EIGHTH, _what_is_stale(found, true, stale))
    trial.equal(
        "the net that comes back predicts with them",
        trial.forward(returned, X[:20]),
        right,
        "Return the net that you were given.",
        tolerance=0.3,
    )
    running.trains_as_before(trial, net, _small_net, X[:30])


def _what_is_stale(found, true, stale):
    """A hint, from what the statistics are; stale: what reaches each layer with the stale ones."""
    m, v = true[0]
    first_is_right = running.close(found[:1], true[:1], EIGHTH)
    guesses = [
        ("The means are right. The variances are still the stale ones.", (m, 4 * v)),
        ("The variances have changed. The means are still stale.", (m + 1.5 * numpy.sqrt(v), v)),
        ("Put the variance into running_var, not its root.", (m, numpy.sqrt(v))),
    ]
    for hint, guess in guesses:
        if not first_is_right and running.close(found[:1], [guess], EIGHTH):
            return hint
    left = [(f[0] - t[0]) / numpy.sqrt(t[1]) / 1.5 for f, t in zip(found, true)]
    left, spread = numpy.mean(numpy.concatenate(left)), numpy.std(numpy.concatenate(left))
    if spread < 0.1 and left > 0.95:
        return (
            "Nothing has changed. Gluon's statistics change in backward(), after a forward pass in "
            "training mode: lesson 02, section 3."
        )
    if spread < 0.1 and left > 0.85:
        return (
            "That is one step, which changes a tenth: go through all batches, and more than once."
        )
    if spread < 0.1 and left > 0.05:
        return (
            f"About {left:.0%} of the stale values is left: k steps leave 0.9 ** k, and one pass "
            "is 20 steps. More are needed."
        )
    if first_is_right and running.close(found[1:], stale[1:], EIGHTH):
        return (
            "The first normalization is right, the next is not: it must get the output of the first "
            "with its new statistics, or with those of the batch."
        )
    second = (found[1][0] - true[1][0]) / numpy.sqrt(true[1][1]) / 1.5
    if first_is_right and numpy.std(second) < 0.1 and numpy.mean(second) > 0.95:
        return "The first normalization is right, the second is as it was: go through all of them."
    return (
        "A normalization needs the mean and the variance of what reaches it, channel by channel. Are "
        "yours those of all of X? A few images, or batches smaller than batch_size, are not enough."
    )


def _small_net():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, kernel_size=3), nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.Dense(32), nn.BatchNorm(), nn.Activation("relu"), nn.Dense(3))
    return net


@exercise(
    "2.7a",
    "Zoo: worse when sorted",
    hints=(
        "The same images in another order get other scores. What does the score of an image depend "
        "on in training mode?",
        "record() switches training mode on. Predicting needs no gradient, so it needs no record().",
    ),
    options={
        "a": (
            False,
            "evaluate() finds the same network good, whatever the order. It has learned enough.",
        ),
        "b": (
            True,
            "Under record() the network is in training mode, and each batch is normalized by its "
            "own mean and variance.",
        ),
        "c": (
            False,
            "Larger batches would hide the damage on mixed images. In prediction mode the size does "
            "not matter at all.",
        ),
        "d": (False, "The scores come back in the order in which the images went in."),
    },
)
def wrong_alone(trial, hypothesis_a, function):
    """hypothesis_a: a letter; function(net, X, batch_size) -> scores (N, classes), repaired."""
    X = trial.normal(10, 1, 6, 6, mean=1)
    net = trial.tie(trial.build(_small_net, like=X))
    right = trial.forward(net, X)

    def trained(N, batch_size):
        parts = [X[:N][i : i + batch_size] for i in range(0, N, batch_size)]
        return np.concatenate([trial.forward(net, part, autograd.train_mode) for part in parts])

    mode = "The symptom is still there: the network is in training mode. The mode decides, not "
    for N, batch_size in ((10, 4), (1, 4), (9, 3)):
        trial.equal(
            f"{N} image(s), batch_size={batch_size}: the scores of all, as in prediction mode",
            trial.call(function, net, X[:N], batch_size),
            right[:N],
            "Each row of scores belongs to one image and depends on no other.",
            [
                (mode + "recording.", trained(N, batch_size)),
                (mode + "recording.", trained(N, N)),
                (
                    "Feeding them one by one does not change the mode: now each image is normalized "
                    "by itself.",
                    trained(N, 1),
                ),
                (
                    "The scores should come in the order of the images.",
                    np.concatenate(
                        [right[:N][i : i + batch_size] for i in reversed(range(0, N, batch_size))]
                    ),
                ),
                (
                    "These add up to 1: return the scores, as the specimen does.",
                    npx.softmax(right[:N]),
                ),
            ],
        )
        trial.equal(
            "and the network is what it was",
            trial.forward(net, X),
            right,
            "Predicting must not change the running statistics.",
        )
    running.trains_as_before(trial, net, _small_net, X)


@exercise(
    "2.7b",
    "Zoo: forgetful overnight",
    hints=(
        "save_parameters saves parameters and nothing else. What does the layer keep elsewhere?",
        "In the constructor: self.params.get(name, shape=..., init=..., differentiable=False). In "
        "forward: .data() to read, and [:] = under autograd.pause() to write.",
    ),
    options={
        "a": (
            False,
            "Both are parameters, so they are saved: print them before and after.",
        ),
        "b": (
            False,
            "The running statistics have settled after fifty batches: before saving, the predictions are right.",
        ),
        "c": (False, "Both predictions are made in the same mode, prediction mode."),
        "d": (
            True,
            "They are plain arrays. After loading they are what the constructor made them, 0 and 1.",
        ),
    },
)
def forgets(trial, hypothesis_b, layer_class):
    """hypothesis_b: a letter; layer_class(num_features): the repaired layer for inputs (N, C)."""
    layer, norm, X = layers.trained(trial, layer_class)
    layers.kept(trial, layer_class, layer, norm, X, f"The symptom is still there. {UNSAVED}")
    layers.modes(trial, layer_class, layer, norm, X)
    layers.settings(trial, layer_class, X)
    layers.small_variance(trial, layer, norm, X)


@exercise(
    "2.7c",
    "Zoo: two evaluations, two results",
    hints=(
        "Nobody trained between the two evaluations. What in the layer has changed nevertheless?",
        "Only training mode may write: put all of `with autograd.pause():` inside "
        "`if autograd.is_training():`, since under pause() is_training() is False.",
    ),
    options={
        "a": (
            True,
            "The update ignores the mode, so each prediction changes the running statistics.",
        ),
        "b": (
            False,
            "Momentum sets how fast the statistics change in training mode. In prediction mode they "
            "should not change at all.",
        ),
        "c": (
            False,
            "With fixed statistics a prediction is a fixed formula: nothing in it is random.",
        ),
        "d": (
            False,
            "In prediction mode it normalizes with the running statistics, as it should.",
        ),
    },
)
def predicting_changes(trial, hypothesis_c, layer_class):
    """hypothesis_c: a letter; layer_class(num_features): the repaired layer for inputs (N, C)."""
    layer, norm, X = layers.trained(trial, layer_class)
    layers.kept(trial, layer_class, layer, norm, X)
    layers.modes(trial, layer_class, layer, norm, X)
    layers.settings(trial, layer_class, X)
    layers.small_variance(trial, layer, norm, X)


@exercise(
    "2.7d",
    "Zoo: a score that changes when you look at it",
    hints=(
        "record(train_mode=False) records, in prediction mode. Which of the two does the specimen ask "
        "about?",
        "Ask autograd.is_training() instead of autograd.is_recording().",
    ),
    options={
        "a": (False, "Momentum plays no part in the output Y, in either branch."),
        "b": (
            False,
            "Epsilon is in both branches, and too small to matter beside these variances.",
        ),
        "c": (
            True,
            "record(train_mode=False) is recording without training. The function takes one for the "
            "other.",
        ),
        "d": (
            False,
            "backward() computes neither of the scores: they differ before it is called.",
        ),
    },
)
def asks_recording(trial, hypothesis_d, function):
    """hypothesis_d: a letter; function(X, gamma, beta, mean, var, eps, momentum) -> Y, mean, var.

    X, Y: (N, C, H, W), all others (1, C, 1, 1); the mean and variance that come back are the new.
    """
    axes, channels, eps = (0, 2, 3), (1, 3, 1, 1), 0.1  # so large that its place can be told
    function = by_position(function)
    for N in (4, 1):
        X, dY = trial.normal(N, 3, 5, 2, mean=2), trial.normal(N, 3, 5, 2)
        gamma, beta = trial.factors(*channels), trial.normal(*channels)
        mean, var = trial.normal(*channels), trial.uniform(*channels, low=0.5, high=2)
        momentum = trial.integer(60, 80) / 100
        arguments = (X, gamma, beta, mean, var, eps, momentum)
        x, old = float64(X), (float64(mean), float64(var))
        batch = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
        X_hat, std = normalize(X, axes, eps)
        moving_std = numpy.sqrt(old[1] + eps)
        resting = (x - old[0]) / moving_std
        for name, (context, training) in CONTEXTS.items():
            Y, *averages = trial.several(
                trial.call(function, *arguments, context=context),
                ("Y", "moving_mean", "moving_var"),
            )
            normal, other = (X_hat, resting) if training else (resting, X_hat)
            divisor = std if training else moving_std
            if name == RECORDED:
                hint = "The symptom is still there: recording decides. Ask for training instead."
            elif training:
                hint = (
                    f"{name} is training mode, with or without recording. Ask is_training() and nothing "
                    "else."
                )
            else:
                hint = f"Outside of training mode the running statistics normalize. {UNCALLED}"
            trial.equal(
                f"{name}: {'the batch' if training else 'the running statistics'} normalize"
                + "s" * training,
                Y,
                affine(normal, gamma, beta),
                "Leave the formulas of both branches as they were.",
                [
                    (hint, affine(other, gamma, beta)),
                    *unscaled(normal, gamma, beta),
                    *(
                        (slip, affine(wrong, gamma, beta))
                        for slip, wrong in slips(normal, divisor, eps, 10 * N)
                    ),
                ],
            )
            for what, value, before, new in zip(("mean", "variance"), averages, old, batch):
                what = f"{name}: the running {what} {'changes' if training else 'stays'}"
                moved = momentum * before + (1 - momentum) * new
                right = moved if training else before
                trial.equal(
                    what,
                    by_channel(trial, what, value, right),
                    right,
                    "In training mode: momentum times the old one, the rest times that of the batch, biased."
                    if training
                    else "Running statistics change in training mode, and only there.",
                    [
                        ("Running statistics change in training mode, and only there.", before),
                        (REVERSED, (1 - momentum) * before + momentum * new),
                        (
                            "Use the argument momentum: it is not always 0.9.",
                            0.9 * before + 0.1 * new,
                        ),
                    ]
                    if training
                    else [("Running statistics change in training mode, and only there.", moved)],
                )
        # The statistics need no gradient, and not every operator has one for them.
        found = trial.gradients(
            lambda *values, rest=arguments[3:]: function(*values, *rest)[0], arguments[:3], dY
        )
        has_gradients(trial, found, gradients(dY, X_hat, std, axes, gamma))
        trial.equal(
            "autograd finds the gradient of a prediction",
            trial.call(_gradient_of_a_prediction, function, dY, *arguments),
            float64(dY) * float64(gamma) / moving_std,
            "Under record(train_mode=False) it must be able to go back through the other branch.",
        )


def _gradient_of_a_prediction(function, dY, X, *others):
    X.attach_grad()
    with autograd.record(train_mode=False):
        Y = function(X, *others)[0]
    Y.backward(dY, train_mode=False)
    return X.grad
