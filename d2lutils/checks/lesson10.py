"""The checks of exercises 10, from training to use."""

import json
import math
from collections.abc import Mapping
from functools import partial

import numpy
from mxnet import gluon, init, np, sym
from mxnet.gluon import nn

from ..nets import sequential
from . import running
from .blocks import conv, relu
from .engine import Wrong, described, exercise
from .reference import float64
from .words import NO_EPS, NO_ROOT, ROOT

# --- 10.1 ---


def _batches(momentum, left, whole=math.ceil):
    return whole(math.log(left) / math.log(momentum))


BATCHES = [
    (
        "More than this share is still left: round up, not down.",
        partial(_batches, whole=math.floor),
    ),
    ("One batch fewer is enough already.", lambda m, left: _batches(m, left) + 1),
    ("The number of batches is whole: round up.", partial(_batches, whole=float)),
    ("The momentum is the weight of the old value.", lambda m, left: _batches(1 - m, left)),
    ("`left` is what may be left, not what has to be gone.", lambda m, left: _batches(m, 1 - left)),
    ("The argument left has no effect.", lambda m, left: _batches(m, 0.01)),
]
FEWER = "So many batches are enough, but fewer are enough too. Look for the smallest k."


@exercise(
    "10.1",
    "How many batches",
    hints=(
        "After k batches, momentum ** k of the old value is left. Multiply until it is small enough, "
        "and count.",
        "k = 1, then: while momentum**k > left: k += 1. At the end return k. By hand: 0.9 ** 43 is "
        "0.0108. And PyTorch's 0.01 is a momentum of 0.99 here.",
    ),
)
def batches_until(trial, by_hand, in_pytorch, function):
    """by_hand: batches until 1 % is left, momentum 0.9; in_pytorch: the same with PyTorch's momentum
    0.01; function(momentum, left) -> the smallest number of batches."""
    mistakes = [
        ("0.9 ** 43 is 0.0108, a little more than 1 %.", 43),
        ("That is the lesson's number: 1.5 % is left after it.", 40),
        ("0.9 is the weight of the old value, so one batch leaves 90 % of it.", 2),
        ("The number is whole.", math.log(0.01) / math.log(0.9)),
    ]
    what = "batches until at most 1 % is left, momentum 0.9"
    hint = "0.9 ** k has to be at most 0.01. Try values of k between 30 and 60."
    hint = FEWER if trial.number(what, by_hand) > 44 else hint
    trial.equal(what, by_hand, 44, hint, mistakes, secret=True, tolerance=1e-6)
    mistakes = [
        ("PyTorch's momentum is the weight of the new value: 99 % stays after each batch.", 1),
        ("0.99 ** 458 is 0.01002, a little more than 1 %.", 458),
        ("That is for PyTorch's default, 0.1. Here it is 0.01.", 44),
        ("The number is whole.", math.log(0.01) / math.log(0.99)),
    ]
    what = "the same with PyTorch's momentum 0.01"
    hint = "PyTorch's momentum is the weight of the new value. What is that of the old one?"
    hint = FEWER if trial.number(what, in_pytorch) > 459 else hint
    trial.equal(what, in_pytorch, 459, hint, mistakes, secret=True, tolerance=1e-6)

    what, sizes, seen = "batches for other momenta and shares", [], []
    for momentum in (0.5, 0.8, 0.97):
        k = trial.integer(3, 9) + trial.rng.uniform(0.2, 0.4)  # rounding up and down differ
        sizes.append((momentum, momentum**k))
        seen.append(trial.number(what, trial.call(function, *sizes[-1])))
    right = [_batches(*size) for size in sizes]
    worst = int(numpy.abs(numpy.subtract(seen, right)).argmax())
    if abs(seen[worst] - right[worst]) > 1e-6:
        what += ", here function({:g}, {:.4f})".format(*sizes[worst])
    hint = "momentum ** k is left after k batches. Which k is the first that is large enough?"
    known = [(its_hint, [its(*size) for size in sizes]) for its_hint, its in BATCHES]
    trial.equal(what, seen, right, hint, known, tolerance=1e-6)
    no_logarithm = "The logarithm of 0 does not exist: treat momentum 0 by itself."
    hints = dict.fromkeys(("math domain error", "divi", "infinity"), no_logarithm)
    found = trial.call(function, 0.0, 0.02, hints=hints)
    hint = "With momentum 0 the first batch already replaces the old value."
    trial.equal("one batch with momentum 0", found, 1, hint)
    found = trial.call(function, 0.5, 0.25)
    hint = "0.5 ** 2 is exactly 0.25, and *at most* that share may be left."
    trial.equal("two batches with momentum 0.5 and the share 0.25", found, 2, hint)


# --- 10.2 ---


OTHERS = "The first normalization reads the first convolution. But who else reads it?"
READS = "The second normalization of each reads conv1, and nothing else does."
FOLDABLE = {  # for each network in the text the right number, then hints for other numbers
    "row": {
        2: None,
        5: "fold_batch_norm folds only what reads a convolution directly.",
        3: "The lesson's function looks for convolutions, not for dense layers.",
        4: "The second normalization reads a ReLU, the fourth a pooling.",
        1: "Two normalizations read a convolution directly, the first and the third.",
    },
    "pre_activation": {
        2: None,
        5: "What does the first normalization of each block read, and what the last one?",
        3: OTHERS,
        0: f"There are two blocks. {READS}",
        1: "There are two blocks, and both are built alike.",
        4: "An addition has no weights that could take the factor.",
    },
    "bottlenecks": {
        3: None,
        7: "A normalization that reads a concatenation stays.",
        4: OTHERS,
        1: "Each of the three layers has a normalization that reads its 1x1 convolution.",
        0: f"There are three layers. {READS}",
    },
    "twice": {
        0: None,
        2: "Both convolutions have one and the same weights. Can they be multiplied by two "
        "different scales?",
        1: "If the weights change for one of the two, the other one computes something else.",
    },
}


@exercise(
    "10.2",
    "Which of them can go",
    hints=(
        "Go through the normalizations one by one, and ask three questions. Does it read a "
        "convolution? Does anything else read that convolution? Does anything else use its weights?",
        "In the row: the first and the third. With pre-activation: the second of each block. In the "
        "bottlenecks: the second of each layer. With shared weights: none.",
    ),
)
def foldable(trial, row, pre_activation, bottlenecks, twice):
    """Each a number: how many normalizations of this network fold_batch_norm folds."""
    answers = dict(row=row, pre_activation=pre_activation, bottlenecks=bottlenecks, twice=twice)
    for name, answer in answers.items():
        what, ((right, _), *known) = f"the network {name}", FOLDABLE[name].items()
        found = trial.number(what, answer)
        hint = f"The function folds {'more' if found < right else 'fewer'}. Which ones read a convolution?"
        mistakes = [(its_hint, number) for number, its_hint in known]
        trial.equal(what, found, right, hint, mistakes, secret=True, tolerance=1e-6)


# --- 10.3 ---


def _scale(n):
    return n["gamma"] / numpy.sqrt(n["var"] + n["eps"])


def _spread(W, values):
    """One value for each input channel, in the shape of the weights W."""
    later = W.reshape(len(W), len(values), -1)
    return (0 * later + values.reshape(1, -1, 1)).reshape(W.shape)


def _forward(W, b, n, scale=_scale):
    """The weight and the bias of the folded layer, in float64."""
    s = scale(n)
    shift = (W * _spread(W, n["beta"] - s * n["mean"])).reshape(len(W), -1).sum(axis=1)
    return W * _spread(W, s), b + shift


SCALES = [
    (NO_EPS, lambda n: n["gamma"] / numpy.sqrt(n["var"])),
    (NO_ROOT, lambda n: n["gamma"] / (n["var"] + n["eps"])),
    (ROOT, lambda n: n["gamma"] / (numpy.sqrt(n["var"]) + n["eps"])),
    ("gamma belongs to the scale, too.", lambda n: _scale({**n, "gamma": 1.0})),
    ("Multiply the weights by the scale, do not divide them.", lambda n: 1 / _scale(n)),
    ("The weights have to change, too: multiply them by the scale.", lambda n: n["gamma"] ** 0),
]
AXIS = (
    "The scale belongs to the channels that the layer reads. In the weights this is axis 1, not "
    "axis 0."
)
FLAT = (
    "A dense layer reads the flattened images: all pixels of channel 0, then all of channel 1. So "
    "each scale is repeated for the pixels of its channel (np.repeat); do not repeat the whole row."
)


def _wrong_weights(W, b, n):
    s = _scale(n)
    found = [(hint, _forward(W, b, n, scale)[0]) for hint, scale in SCALES]
    if W.shape[1] > len(s):
        found.append((FLAT, W * numpy.tile(s, W.shape[1] // len(s))))
    if len(W) == len(s):
        found.append((AXIS, W * s.reshape(-1, *[1] * (W.ndim - 1))))
    return found


def _wrong_biases(W, b, n):
    s = _scale(n)

    def summed(values, W=W):
        return (W * _spread(W, values)).reshape(len(W), -1).sum(axis=1)

    shift = n["beta"] - s * n["mean"]
    found = [
        ("beta and the mean reach the output too: as a constant for each output.", b),
        ("The layer's own bias is missing.", summed(shift)),
        (
            "The constant beta - s * mean passes through the old weights: the scale is already in it.",
            b + summed(shift, W * _spread(W, s)),
        ),
        ("The mean is subtracted: beta - s * mean.", b + summed(n["beta"] + s * n["mean"])),
        ("The mean is scaled before it is subtracted.", b + summed(n["beta"] - n["mean"])),
        ("beta is not scaled: beta - s * mean.", b + summed(s * (n["beta"] - n["mean"]))),
        ("beta is missing.", b + summed(-s * n["mean"])),
        ("The mean is missing.", b + summed(n["beta"])),
    ]
    hint = "Sum over the pixels of the kernel too (axes 1, 2 and 3), do not take their mean."
    found.append((hint, b + summed(shift) / W[0, 0].size))
    if W.shape[1] > len(s):
        found.append((FLAT, b + W @ numpy.tile(shift, W.shape[1] // len(s))))
    return found


@exercise(
    "10.3",
    "Fold it forward",
    hints=(
        "The normalization is s * x + t for each channel, with s = gamma / sqrt(var + eps) and t = "
        "beta - s * mean. So the layer computes the sum of w * (s * x + t), plus b. Collect the "
        "terms with x. For the padding: which x makes s * x + t zero?",
        "W = weight.reshape(len(weight), len(gamma), -1), which serves for both kinds of layer. The "
        "new weight is (W * s.reshape(1, -1, 1)).reshape(weight.shape), the new bias is bias + (W * "
        "t.reshape(1, -1, 1)).sum(axis=(1, 2)). The padding is -t / s.",
    ),
)
def folded_forward(trial, function, padding):
    """function(gamma, beta, mean, var, eps, weight, bias) -> the weight and bias of the layer after
    the normalization; padding(gamma, beta, mean, var, eps) -> a number for each channel."""
    a = trial.integer(3, 5)
    cases = {
        "a convolution": (a + 1, a, 2, 3),
        "as many channels out as in": (a, a, 3, 3),
        "a dense layer": (a + 2, a),
        "a dense layer that reads images": (a + 1, 6 * a),
    }
    hints = {
        "broadcast": f"{AXIS} Give the scales the shape (1, -1, 1, 1) for a convolution, and one "
        "for each column of the weights of a dense layer.",
        "expand_dims": "In MXNet expand_dims adds one axis at a time; reshape adds all.",
    }
    norms = []
    for case, shape in cases.items():
        n = dict(
            gamma=trial.factors(a),
            beta=trial.normal(a, mean=1),
            mean=trial.normal(a, mean=2),
            var=trial.uniform(a, low=0.5, high=2),
        )
        n["eps"] = float(trial.rng.uniform(0.1, 0.3))
        weight, bias = trial.normal(*shape), trial.normal(shape[0])
        result = trial.call(function, *n.values(), weight, bias, hints=hints)
        found = trial.several(result, ("new_weight", "new_bias"))
        norms.append(n)
        n, W, b = {k: float64(v) for k, v in n.items()}, float64(weight), float64(bias)
        right = _forward(W, b, n)
        hint = "Each input channel has its own scale, s = gamma / sqrt(var + eps)."
        trial.equal(f"{case}: the weight", found[0], right[0], hint, _wrong_weights(W, b, n))
        hint = "What is the output of the layer if every x is zero?"
        trial.equal(f"{case}: the bias", found[1], right[1], hint, _wrong_biases(W, b, n))
    for n in norms[:2]:
        found = trial.call(padding, *n.values(), what="Your second function")
        n = {k: float64(v) for k, v in n.items()}
        s = _scale(n)
        mistakes = [
            ("A zero in front of the normalization does not stay zero.", 0 * s),
            ("The mean becomes beta, not zero.", n["mean"]),
            ("That is what the normalization makes of a zero.", n["beta"] - s * n["mean"]),
            ("Divide by the scale at the end: s * x + t = 0.", s * n["mean"] - n["beta"]),
            ("Look at the sign of beta.", n["mean"] + n["beta"] / s),
            ("beta is divided by the scale s, not multiplied.", n["mean"] - n["beta"] * s),
        ]
        hint = "Which x does the normalization turn into zero?"
        trial.equal("the padding", found, n["mean"] - n["beta"] / s, hint, mistakes)


# --- 10.4 ---


def _int8(x, r):
    return numpy.clip(numpy.rint(x * 127 / r), -127, 127)


def _error(x, r, power=2):
    return (numpy.abs(_int8(x, r) * r / 127 - x) ** power).mean()


@exercise(
    "10.4",
    "Integers and their range",
    hints=(
        "First the factor 127 / r, then numpy.rint, then numpy.clip from -127 to 127, and "
        "astype('int8') last. For the range: compute the mean square error for each, and keep the "
        "range with the smallest.",
        "to_int8: numpy.clip(numpy.rint(x * 127 / r), -127, 127).astype('int8'). best_range: r = "
        "min(ranges, key=lambda r: ((to_int8(x, r) * (r / 127) - x) ** 2).mean()), then return r, "
        "(abs(x) > r).sum().",
    ),
)
def integers(trial, to_int8, best_range):
    """to_int8(x, r) -> integers of type int8; best_range(x, ranges) -> the range with the least mean
    square error, and how many numbers of x lie outside of it."""
    what = "the integers"
    for r in (2.0, 0.3, 40.0):
        q = trial.rng.permutation([-300, -200, -128, -127, -31, 0, 6, 124, 127, 128, 200, 290])
        q = q + trial.rng.uniform(0.2, 0.45, q.shape) * trial.rng.choice([-1, 1], q.shape)
        x = numpy.float32(q * r / 127).reshape(3, 4)
        result = trial.call(to_int8, x, r)
        right, steps = _int8(x, r), float64(x) * 127 / r
        mistakes = [
            (
                "A number outside of the range comes back at the other end: clip before astype('int8').",
                numpy.rint(steps).astype("int64").astype("int8"),
            ),
            (
                "An int8 holds nothing above 127: numbers wrap around. Clip first, and convert to "
                "int8 last.",
                numpy.clip(numpy.rint(steps).astype("int64").astype("int8"), -127, 127),
            ),
            ("astype drops the decimals: round first.", numpy.trunc(numpy.clip(steps, -127, 127))),
            ("The factor is 127 / r.", numpy.clip(numpy.rint(steps * 128 / 127), -127, 127)),
            ("The smallest integer is -127, not -128.", numpy.clip(numpy.rint(steps), -128, 127)),
            ("These are the numbers that the integers represent.", right * r / 127),
            ("Numbers outside of the range have to be clipped.", numpy.rint(steps)),
            ("r should become 127: the factor is 127 / r.", _int8(x, 127**2 / r)),
        ]
        hint = "Multiply by 127 / r, round, clip to -127 ... 127."
        trial.equal(what, result, right, hint, mistakes, tolerance=1e-3)
        kind = str(getattr(result, "dtype", type(result).__name__))
        hint = "The numbers are right. Turn the array into 8-bit integers last: astype('int8')."
        trial.holds("their type is int8", kind == "int8", hint, kind, "int8")

    for _ in range(2):
        x, ranges = _long_tailed(trial)
        result = trial.call(best_range, x, list(ranges), what="Your second function")
        found = trial.several(result, ("r", "clipped"))
        error = {r: _error(x, r) for r in ranges}
        best = min(ranges, key=error.get)
        mistakes = [
            ("The largest range clips nothing, but its steps are coarse.", ranges.max()),
            (
                "This has the least mean absolute error. Square the errors.",
                min(ranges, key=partial(_error, x, power=1)),
            ),
            ("The range comes first, then the number.", (numpy.abs(x) > best).sum()),
            (
                "This is a position in the list: return the range itself.",
                list(ranges).index(best),
            ),
        ]
        hint = "For each range: the mean of the squares of to_int8(x, r) * r / 127 - x."
        trial.equal("the best range", found[0], best, hint, mistakes, tolerance=1e-4)
        outside = numpy.abs(x) > best
        mistakes = [
            ("Negative numbers can lie outside, too: take the absolute value.", (x > best).sum()),
            ("Give how many numbers, not what share of them.", outside.mean()),
            ("These lie inside.", (~outside).sum()),
            (
                "Some numbers outside still round to 127. Compare the numbers with r instead.",
                (numpy.abs(numpy.rint(x * 127 / best)) > 127).sum(),
            ),
            (
                "This counts the integers at the ends, -127 and 127. Some of them lie inside.",
                (numpy.abs(_int8(x, best)) == 127).sum(),
            ),
        ]
        hint = "Count the numbers whose absolute value is larger than the best range."
        what = "how many numbers lie outside of it"
        trial.equal(what, found[1], outside.sum(), hint, mistakes, tolerance=1e-6)


def _long_tailed(trial):
    """Numbers with few large ones, and ranges of which the best is clearly so."""
    while True:
        x = trial.rng.normal(size=20_000)
        ranges = trial.rng.permutation(numpy.abs(x).max() * numpy.geomspace(0.4, 1.4, 13))
        best = min(ranges, key=partial(_error, x))
        far = (numpy.abs(x) > 1.01 * best).sum()
        close = numpy.repeat([1.003, -1.003, 0.9985], (9, 4, 1))  # so that mistakes count otherwise
        x = numpy.float32([*x, *(best * close)])
        square, absolute = ([_error(x, r, p) for r in ranges] for p in (2, 1))
        first, second = numpy.sort(square)[:2]
        middle = far > 1 and ranges.min() < best < ranges.max()
        if middle and second > 1.02 * first and numpy.argmin(square) != numpy.argmin(absolute):
            return x, ranges


# --- 10.5 ---


def _for_pytorch(layers):
    """The entries that PyTorch expects for some layers, in float64."""
    found = {}
    for name, layer in layers.items():
        if isinstance(layer, nn.BatchNorm):
            its = {"weight": layer.gamma, "bias": layer.beta}
            its |= {"running_mean": layer.running_mean, "running_var": layer.running_var}
            found[f"{name}.num_batches_tracked"] = numpy.zeros(())
        else:
            its = {"weight": layer.weight}
            if layer.bias is not None:
                its["bias"] = layer.bias
        found |= {f"{name}.{end}": float64(p.data()) for end, p in its.items()}
    return found


NO_BIAS = "A layer that was made with use_bias=False has the bias None: leave it out."
COUNTER = "numpy.array(0): a single number, 0, not a row with one number in it."
OTHER_NAMES = "nn.BatchNorm has gamma and beta, not weight and bias."


def _names(trial, found, right, layers):
    """Compare the names of the entries."""
    missing, extra = ([n for n in a if n not in b] for a, b in ((right, found), (found, right)))
    ends = {str(name).rsplit(".", 1)[-1] for name in extra}
    lacking = {name.rsplit(".", 1)[-1] for name in missing}
    hint = "An entry is missing. Go through the layers: is each kind there?"
    if ends & {"gamma", "beta"}:
        hint = "PyTorch calls gamma weight and beta bias."
    elif ends & {"running_variance", "moving_mean", "moving_var", "mean", "var"}:
        hint = "PyTorch's names are running_mean and running_var."
    elif "bias" in ends and all(str(name).rpartition(".")[0] in layers for name in extra):
        hint = NO_BIAS
    elif extra and not ends & {"weight", "bias", "running_mean"}:
        hint = 'Each name is one of the dictionary, a dot and the kind: "stem.0.weight".'
    elif extra:
        hint = "Each name begins with a name of the dictionary and a dot, and nothing else comes before."
    elif lacking == {"bias"}:
        hint = "A layer that has a bias (or a beta) needs an entry for it, too."
    elif lacking == {"num_batches_tracked"}:
        hint = "Each normalization has a fifth entry, num_batches_tracked: an array with the integer 0."
    seen = [f"{name} is missing" for name in missing[:2]] + [f"{n} is extra" for n in extra[:2]]
    trial.holds("the names", not missing and not extra, hint, "; ".join(seen))


@exercise(
    "10.5",
    "Into PyTorch, array by array",
    hints=(
        "Two cases: isinstance(layer, nn.BatchNorm), with gamma, beta, running_mean and running_var; "
        "and all others, with weight, and bias if layer.bias is not None. p.data().asnumpy() makes a "
        "NumPy array of a parameter.",
        "In a loop over layers.items(), for a normalization: found[f'{name}.weight'] = "
        "layer.gamma.data().asnumpy(), the same for bias, running_mean and running_var, and "
        "found[f'{name}.num_batches_tracked'] = numpy.array(0). Then return found.",
    ),
)
def for_pytorch(trial, function):
    """function(layers) -> a dictionary of names and NumPy arrays for PyTorch's load_state_dict.

    layers: a dictionary from names of PyTorch's layers to Gluon's layers.
    """
    c = trial.integer(3, 5)
    net = sequential(
        nn.Conv2D(c, 3, use_bias=False), nn.BatchNorm(), relu(), nn.Conv2D(c + 2, (1, 2)),
        nn.BatchNorm(), nn.Dense(c + 1), nn.BatchNorm(), nn.Dense(c + 4, use_bias=False),
    )  # fmt: skip
    X = trial.normal(3, 2, 6, 5)
    trial.tie(trial.build(lambda: net, like=X))
    for norm in running.norms(net):  # tie gives the running mean and beta similar numbers
        norm.running_mean.set_data(trial.normal(*norm.running_mean.shape, mean=5))
    places = {"stem.0": 0, "stem.1": 1, "layer1.0.conv2": 3, "layer1.0.bn2": 4}
    places |= {"hidden": 5, "norm": 6, "fc": 7}
    layers = {name: net[i] for name, i in places.items()}
    hints = {
        "'NoneType'": NO_BIAS,
        "has no attribute 'weight'": OTHER_NAMES,
        "has no attribute 'bias'": OTHER_NAMES,
        "has no attribute 'gamma'": "Only a normalization has gamma and beta: ask isinstance first.",
    }
    found, right = trial.call(function, dict(layers), hints=hints), _for_pytorch(layers)
    if not isinstance(found, Mapping):
        what = f"Your function returned {described(found)}, not a dictionary."
        raise Wrong(what, "Begin with found = {}, fill it in a loop, and return found.")
    _names(trial, found, right, layers)
    for name, value in found.items():
        hint = (
            "PyTorch takes NumPy arrays: p.data() is an array of MXNet, p.data().asnumpy() one of "
            "NumPy, and numpy.array(0) turns an integer into one."
        )
        kind = f"{name} is of type {type(value).__module__}.{type(value).__name__}"
        numpys = isinstance(value, numpy.ndarray | numpy.generic)
        trial.holds("the values are NumPy arrays", numpys, hint, kind, "numpy.ndarray")
        counts = name.endswith("num_batches_tracked")
        trial.holds(
            "their types are floats, and integers where batches are counted",
            value.dtype.kind in ("iu" if counts else "f"),
            "num_batches_tracked counts, so it is an integer: numpy.array(0)."
            if counts
            else "Weights and statistics are floats. Leave the type as it is.",
            f"{name} has the type {value.dtype}",
        )
    for name, expected in right.items():
        prefix, _, end = name.rpartition(".")
        counts = end == "num_batches_tracked"
        hint = COUNTER if counts else "The outputs come first in both: do not transpose."
        shape = found[name].shape
        trial.holds("the shapes", shape == expected.shape, hint, f"{shape} for {name}")
        others = [n for n in right if n.startswith(f"{prefix}.") and n != name]
        others = [n for n in others if right[n].shape == expected.shape]
        mistakes = [(f"this is {n.split('.')[-1]} of the same layer.", right[n]) for n in others]
        if end == "running_var":
            mistakes += [("PyTorch keeps the variance, not its root.", numpy.sqrt(expected))]
            mistakes += [("PyTorch adds eps itself: give it the variance alone.", expected + 1e-5)]
        mistakes = [(f"{name}: {its_hint}", value) for its_hint, value in mistakes]
        hint = COUNTER if counts else f"{name}: copy the array as it is. Is it from another layer?"
        trial.equal("the values", found[name], expected, hint, mistakes, tolerance=1e-6)


# --- 10.6 ---


def _moved(x, right, down):
    """Images (N, C, H, W) moved by whole pixels."""
    *_, H, W = x.shape
    wide = numpy.pad(x, ((0, 0), (0, 0), (H, H), (W, W)))
    return wide[:, :, H - down : 2 * H - down, W - right : 2 * W - right]


def _shifts(x, y, most):
    """By how much each image of x was moved to give that of y: right and down, or None."""
    found = [None] * len(x)
    for right in range(-most, most + 1):
        for down in range(-most, most + 1):
            same = numpy.abs(_moved(x, right, down) - y).max(axis=(1, 2, 3)) < 1e-5
            for i in numpy.flatnonzero(same):
                found[i] = right, down
    return found


def _not_moved(x, y):
    """A hint for a result that is not the image moved."""
    H, W = x.shape[1:]
    for d in range(H):
        for r in range(W):
            if numpy.abs(numpy.roll(x, (d, r), axis=(1, 2)) - y).max() < 1e-5:
                return (
                    "What leaves the image on one side must not come in on the other. What comes in "
                    "is dark, 0. (np.roll wraps the image around.)"
                )
    if not y.any():
        return "An image has become all dark."
    return (
        "Each image should be a copy of the original, moved by whole pixels, with zeros where nothing "
        "was. Its lightness stays as it is."
    )


@exercise(
    "10.6",
    "Train with moved images",
    hints=(
        "Draw two whole numbers for each image. Put the image into the middle of a larger image of "
        "zeros, and cut out a window of the old size, at a place that depends on the two numbers.",
        "wide = np.pad(X, ((0, 0), (0, 0), (most, most), (most, most))). For each image i: r, d = "
        "numpy.random.randint(0, 2 * most + 1, size=2), then wide[i, :, d:d + H, r:r + W]. A window "
        "that begins at most leaves the image where it was. Put the windows together with np.stack.",
    ),
)
def moved_at_random(trial, function):
    """function(X, most) -> images of the same shape, each moved by its own random number of pixels."""
    pieces = ("get_with_shape", "same shape", "inhomogeneous", "broadcast")
    hints = {
        "randint": "The call is numpy.random.randint(low, high, size=...), with whole numbers.",
        "slice indices": "A number of MXNet is no index: draw with numpy.random, not with np.random.",
    } | dict.fromkeys(
        pieces,
        "Two shapes do not fit. The images of this check are not 32x32, and not square: take H and W "
        "from X.shape.",
    )
    for most, (C, H, W) in ((1, (1, 5, 6)), (3, (2, 6, 5))):
        X = trial.uniform(240, C, H, W, low=0.2, high=1.0)
        Y, again = (
            trial.array("the moved images", trial.call(function, X, most, hints=hints), X.shape)
            for _ in range(2)
        )
        x, farthest = float64(X), min(H, W) - 1
        shifts = _shifts(x, Y, farthest)
        lost = shifts.index(None) if None in shifts else None
        trial.holds(
            "each image is the original, moved by whole pixels, with zeros around it",
            lost is None,
            _not_moved(x[lost], Y[lost]) if lost is not None else "",
            f"image {lost} is something else",
        )
        seen = set(shifts)
        largest = max(max(abs(r), abs(d)) for r, d in seen)
        trial.holds(
            "none is moved by more than `most`, in either direction",
            largest <= most,
            f"The numbers go from -{most} to {most} here, with most = {most}.",
            f"{largest} pixels",
            f"at most {most}",
        )
        if len(seen) == 1:
            hint = "All images were moved alike: draw two new numbers for each image."
        elif len({r for r, _ in seen}) == 1 or len({d for _, d in seen}) == 1:
            hint = "The images move in one direction only: move them right or left, and also up or down."
        elif all(abs(r) == abs(d) for r, d in seen):
            hint = "The two numbers of an image depend on each other: draw one for each direction."
        elif max(r for r, _ in seen) < most or max(d for _, d in seen) < most:
            hint = "The largest number, `most`, never comes up: randint leaves out its upper limit."
        elif min(r for r, _ in seen) > -most or min(d for _, d in seen) > -most:
            hint = "The smallest number, -most, never comes up."
        else:
            hint = "Some combinations never come up: draw the two numbers independently."
        values = [{s[axis] for s in seen} for axis in (0, 1)]
        every = all(len(v) == 2 * most + 1 for v in values) and (most > 1 or len(seen) == 9)
        count = f"{len(seen)} different shifts"
        trial.holds("all shifts come up, in both directions", every, hint, count)
        hint = "Two calls gave the same result. Do not set the seed inside the function."
        trial.holds("each call draws new shifts", bool((again != Y).any()), hint)


# --- the zoo ---


def _output(graph, weights, X):
    """What a graph computes. Like `to_net`, but nothing is drawn from MXNet's generator."""
    symbol = sym.load_json(json.dumps(graph)).as_np_ndarray()
    net = gluon.SymbolBlock(symbol, sym.var("data", dtype="float32").as_np_ndarray())
    for name, p in net.collect_params().items():
        p.shape = weights[name].shape
        p.initialize(init.Zero())
        p.set_data(weights[name])
    return net(X)


NOTHING_LEFT = "A folded network has no statistics left that could be renewed."


@exercise(
    "10.7a",
    "Zoo: renewed, and no better",
    hints=(
        "Follow the running statistics: where does to_graph get them, and when does renew_statistics "
        "change them?",
        "First renew_statistics(net, data, batch_size=16), then fold_batch_norm(*to_graph(net)).",
    ),
    options={
        "a": (
            False,
            "0.9 ** 120 is 0.000003, so almost nothing of the old statistics would be left.",
        ),
        "b": (False, "fold_batch_norm reads eps from the graph, for each layer."),
        "c": (False, "to_graph copies all parameters, and the running statistics are among them."),
        "d": (
            True,
            "The graph has copies of the statistics as they were, and folding has multiplied them into "
            "the weights. What changes in the network afterwards does not reach them.",
        ),
    },
)
def renewed_for_export(trial, hypothesis_a, for_export):
    """hypothesis_a: a letter; for_export(net, data): the repaired function -> graph, weights."""

    def make():
        return sequential(
            conv(4), nn.BatchNorm(epsilon=0.05), relu(), conv(5), nn.BatchNorm(), relu(), nn.Dense(3)
        )  # fmt: skip

    X = trial.normal(960, 2, 5, 4, mean=1)
    net = trial.tie(trial.build(make, like=X[:8]))
    for norm in running.norms(net):
        norm.running_mean.set_data(trial.normal(*norm.gamma.shape, mean=-1))
        norm.running_var.set_data(trial.uniform(*norm.gamma.shape, low=0.1, high=0.3))
    stale = float64(net(X[:64]))
    data = X, np.zeros(len(X))
    result = trial.call(for_export, net, data, hints={"is not iterable": NOTHING_LEFT})
    pair = isinstance(result, tuple | list) and len(result) == 2
    if not pair or not all(isinstance(part, Mapping) for part in result):
        raise Wrong(
            f"Your function returned {described(result)}, not a graph and its weights.",
            "It should end with: return graph, weights, as in the specimen.",
        )
    output = trial.call(partial(_output, *result), X[:64], what="What your function returned")
    Y = trial.array("the output", output, stale.shape)
    running.renew(net, X)
    right = float64(net(X[:64]))
    error = numpy.abs(Y - right).max() / numpy.abs(right).max()
    as_before = numpy.abs(Y - stale).max() <= 0.03 * numpy.abs(stale - right).max()
    trial.holds(
        "the output is that of a network with renewed statistics",
        error <= 0.12,  # 0.01 to 0.05 for batches of 16, 0.24 or more for batches of 64
        f"The symptom is still there: the statistics in the graph are the old ones. {NOTHING_LEFT}"
        if as_before
        else "Part of the old statistics is still in the output. Did all batches of 16 images pass "
        "through the network in training mode? Larger batches would be fewer, and so renew less. Are "
        "both normalizations renewed?",
        f"off by {error:.0%} of the largest score",
        "at most 12%",
    )
    left = sum(node["op"] == "BatchNorm" for node in result[0]["nodes"])
    hint = "The output is right, but the normalizations are still there. Fold them after renewing."
    trial.holds("no normalization is left in the graph", left == 0, hint, f"{left} of 2", "none")


def _ranges(net, X, batch_size=64, over=numpy.max, of=numpy.abs, skip=False, parts=slice(None)):
    """The largest absolute value that each layer puts out; the keywords make mistakes."""
    found = []
    for start in list(range(0, len(X), batch_size))[parts]:
        Y = X[start : start + batch_size]
        if not (skip and len(Y) < batch_size):
            found.append([])
            for layer in net:
                Y = layer(Y)
                found[-1].append(of(float64(Y)).max())
    return over(found, axis=0)


RANGES = [
    ("The symptom is still there: a batch overwrites earlier ones.", {"parts": slice(-1, None)}),
    ("Only the first batch counts.", {"parts": slice(1)}),
    ("The last, incomplete batch counts too, with all its images.", {"skip": True}),
    ("Take the largest of all batches, not their mean.", {"over": numpy.mean}),
    ("Do not add them up: keep the larger one.", {"over": numpy.sum}),
    ("Negative numbers count, too: keep np.abs.", {"of": lambda Y: Y}),
]


@exercise(
    "10.7b",
    "Zoo: one more image",
    hints=(
        "With 641 images and batches of 64, how many images are in the last batch? What is in found "
        "after it?",
        "found[i] = max(found[i], np.abs(Y).max().item())",
    ),
    options={
        "a": (False, "Then the range would be larger with it, and nothing would lie outside."),
        "b": (False, "A slice may end beyond the array: X[640:704] has one image."),
        "c": (True, "Each batch overwrites earlier maxima. Only those of a single image remain."),
        "d": (False, "Without record() or train_mode() a network is in prediction mode."),
    },
)
def calibrated(trial, hypothesis_b, largest):
    """hypothesis_b: a letter; largest(net, X, batch_size=64): the repaired function -> a list."""
    net = sequential(conv(4), nn.BatchNorm(), relu(), nn.Conv2D(3, 1), nn.GlobalAvgPool2D())
    for case, (number, places, size) in {
        "the largest numbers in the middle": (131, [70], 64),
        "in the first batch": (129, [5], 64),
        "in the last, incomplete batch": (130, [129, 100], 64),
        "in batches of another size": (50, [12], 10),
    }.items():
        X = trial.normal(number, 2, 4, 5)
        trial.tie(trial.build(lambda: net, like=X[:3]))
        for place, factor in zip(places, (-12, 4)):
            X[place] = factor * X[place]
        Y = net[0](X)
        X = -X if Y.max() > -Y.min() else X  # so that the largest are negative: np.abs matters
        hints = {"index out of range": "found needs a place for each layer before the loop."}
        found = trial.call(largest, net, X, *([size] if size != 64 else []), hints=hints)
        if isinstance(found, Mapping):
            found = [found[key] for key in sorted(found)]
        right = _ranges(net, X, size)
        hint = "For each layer, the largest absolute value of its outputs, over all images."
        mistakes = [(its_hint, _ranges(net, X, size, **its)) for its_hint, its in RANGES]
        trial.equal(f"{case}: the ranges", found, right, hint, mistakes, tolerance=1e-4)
