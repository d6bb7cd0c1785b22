"""Compare a learner's block with a right one, for lessons 03, 04 and 08.

Both blocks get the same numbers: parameters of the same kind and shape are filled alike, so names
and the order of the layers do not matter. Then both must give the same output, in prediction mode
and in training mode, and the same gradients, those of the parameters in any order. The gradients
also reveal a layer that is used in place of another one of its shape, which the output does not.
"""

import inspect
from collections import Counter
from functools import partial

import numpy
from mxnet import autograd, np
from mxnet.gluon import Block, HybridBlock, nn

from .engine import Wrong

MODES = {"prediction": autograd.pause, "training": autograd.train_mode}
TOLERANCE = 5e-3  # relative to the largest output: several normalizations in float32

SHAPES = (
    "Compare the weights with the text, layer by layer: kernel size, channels in, channels out."
)
ORDER = (
    "The layers are there. Follow the data through them: is the order right? Are strides, padding, "
    "pooling and ReLUs where they should be? Are the right arrays added or concatenated? Are all "
    "other settings the usual ones?"
)
ONLY_TRAINING = (
    "The output in prediction mode is right. What does your block do differently in training mode? "
    "There a normalization uses the mean and variance of the batch. Are its settings the usual ones?"
)
UNTRAINED = (
    "The layers are there, but not all of them learn: leave grad_req, scale and center at their "
    "defaults."
)
BIASES = "No convolution has a bias here: write use_bias=False in each of them."
DENSE = "Look at the dense layer at the end: its outputs, its inputs, its bias."
HIDDEN = (
    "The output is right, but autograd does not see the whole computation: detach(), asnumpy(), "
    "autograd.pause(), and MXNet's var() and std() hide what they touch."
)
NORM_MISSING = "A normalization is missing, or one is used in two places."
NORM_TOO_MANY = "There is a normalization too many, or one has the wrong number of channels."
TOO_FEW = "The layers are of the right kinds, but there are too few of them. Is one used twice?"
TOO_MANY = "The layers are of the right kinds, but there are too many of them."
IDLE = "This layer is made but does nothing: is another layer of the same shape used in its place?"
STATISTICS = (
    "Each normalization keeps a running mean and a running variance, in parameters that are not "
    "trained."
)
WITHOUT_RELU = (
    "In MXNet 1.9.1 nn.BatchNormReLU leaves out its ReLU: use nn.BatchNorm() and "
    'nn.Activation("relu") instead.'
)
NOT_INITIALIZED = "Do not call initialize(): the text asks for a block that is not initialized."
CALLED_AGAIN = (
    "A second call makes another network: does the first one change a list it should not?"
)
SHARED = "Make new layers in each call: two blocks must not share a layer."
REASSIGNED = (
    "An attribute that holds a layer takes no layer of another class: assign it once, with all that "
    "belongs to it."
)
STILL = (
    "Each normalization should change its running mean and variance in training mode. (With "
    "use_global_stats=True it does not.)"
)


# --- layers, for right and wrong blocks ---


def conv(num_channels, size=3, strides=1, **settings):
    """A convolution without bias that keeps the size if strides is 1; settings may change that."""
    settings = {"padding": size // 2, "use_bias": False, **settings}
    return nn.Conv2D(num_channels, size, strides, **settings)


def relu():
    return nn.Activation("relu")


def num_parameters(block, X, trained_only=True):
    """How many numbers a block has that are trained, or all, for an input of the shape of X."""
    block.infer_shape(X)  # without arrays: fast
    parameters = block.collect_params().values()
    return sum(
        int(numpy.prod(p.shape)) for p in parameters if p.grad_req != "null" or not trained_only
    )


# --- one block ---


class Tried:
    """A block from `make`, with numbers that depend only on kinds and shapes of its parameters."""

    def __init__(self, trial, make, arguments, X, what="Your class", hints=None):
        self.trial, self.X = trial, X
        make = _called_with(make, arguments)
        self.block = trial.build(make, like=X[:1], what=what, hints=hints)
        unused = [p for p in self.block.collect_params().values() if min(p.shape or (1,)) < 1]
        if unused:
            hint = "A layer is made but never used."
            raise Wrong("every layer is used", hint, f"not used: {unused[0].name}")
        trial.tie(self.block)
        self.trained, self.statistics, self.fixed = {}, {}, {}  # parameter: (kind, shape)
        for p, *key in trial.parameters(self.block):
            fixed = self.statistics if key[0] in ("mean", "var") else self.fixed
            (fixed if p.grad_req == "null" else self.trained)[p] = tuple(key)
        self.counts = Counter(self.trained.values())
        self.size = len(self.block.collect_params().values())
        self.numbers = {p: p.data().copy() for p in self.statistics}

    def restore(self):
        """Reset the running statistics: some layers change them in the forward pass, some later."""
        for parameter, values in self.numbers.items():
            parameter.set_data(values)

    def output(self, mode):
        self.restore()
        return self.trial.forward(self.block, self.X, MODES[mode])

    def step(self, X, dY):
        self.restore()
        return self.trial.step(self.block, X, dY)

    def has(self, kind):
        """Whether the block contains a layer of this class."""
        found = []
        self.block.apply(lambda layer: found.append(isinstance(layer, kind)))
        return any(found)

    def is_idle(self, parameter):
        """Whether the output stays the same with other numbers in this parameter."""
        values, before = parameter.data().copy(), self.output("training")
        parameter.set_data(1 - 2 * values)
        after = self.output("training")
        parameter.set_data(values)
        return bool((before == after).all())


def _called_with(make, arguments):
    """`make` with its arguments: by position, or by name if it takes some by name only."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # not a function, or one written in C
        parameters = ()
    if not callable(make) or isinstance(make, Block):
        return make
    if any(p.kind is p.KEYWORD_ONLY and p.name in arguments for p in parameters):
        return partial(make, **arguments)
    return partial(make, *arguments.values())


# --- two blocks ---


def same(
    trial,
    case,
    make,
    arguments,
    X,
    right,
    mistakes=(),
    shapes=SHAPES,
    order=ORDER,
    hints=None,
    what="Your class",
    initialized=True,
):
    """Note that the learner's block does the same as one of the right blocks, or raise Wrong.

    make, right: a function that makes the learner's block, and functions that make right ones.
    mistakes: pairs of a hint and a function that makes a block with that mistake, called only if
    something differs. shapes, order: the hints if no mistake fits. hints: for errors, as in
    `Trial.call`. initialized: False refuses a block that has weights already.
    Returns the learner's block and the right one, each as a `Tried`.
    """
    before = len(trial.passed)
    try:
        theirs = Tried(trial, make, arguments, X, what, hints)
        rights = [Tried(trial, maker, arguments, X) for maker in right]
        try:
            _same_parameters(trial, f"{case}: the parameters", theirs, rights[0], shapes)
            for mode in MODES:
                hint = order if mode == "prediction" else ONLY_TRAINING
                nearest = _same_output(trial, case, mode, theirs, rights, hint)
        except Wrong as wrong:
            wrong.hint = _mistake(theirs, mistakes, arguments) or wrong.hint
            if theirs.has(nn.BatchNormReLU):
                wrong.hint = WITHOUT_RELU
            raise
        _same_gradients(trial, case, theirs, nearest)
        again = trial.call(_called_with(make, arguments), what=what).collect_params().values()
        trial.holds(
            f"{case}: called again, it makes the same", len(again) == theirs.size, CALLED_AGAIN
        )
        shared = {*theirs.trained} & {*again}
        trial.holds(f"{case}: each call makes a new block", not shared, SHARED)
        if not initialized:
            weights = any(p._data or p._deferred_init for p in again)
            trial.holds("the returned block is not initialized", not weights, NOT_INITIALIZED)
    except Wrong as wrong:
        shown = ", ".join(map(str, arguments.values()))
        wrong.what = f"called with ({shown}): {wrong.what}"
        raise
    trial.passed[before:] = [f"{case}: the parameters, the outputs, the gradients"]
    return theirs, nearest


def _mistake(theirs, mistakes, arguments):
    """The hint for the mistake that makes the same block, or None."""
    for hint, maker in mistakes:
        if _trained(theirs.trial, maker(*arguments.values()), theirs.X) in (None, theirs.counts):
            other = Tried(theirs.trial, maker, arguments, theirs.X)
            try:
                if other.counts == theirs.counts and all(
                    _close(theirs.output(mode), other.output(mode)) for mode in MODES
                ):
                    return hint
            except Wrong:  # their block fails in training mode
                return None
    return None


def _trained(trial, block, X):
    """Count a hybrid block's trained parameters by kind and shape, without making arrays, which is
    much faster; None for any other block."""
    if not isinstance(block, HybridBlock):
        return None
    block.infer_shape(X)
    return Counter(tuple(key) for p, *key in trial.parameters(block) if p.grad_req != "null")


def _close(some, other):
    return (
        isinstance(some, np.ndarray)
        and some.shape == other.shape
        and bool(np.abs(some - other).max() <= TOLERANCE * np.abs(other).max())
    )


def _same_parameters(trial, what, theirs, right, hint):
    found, expected = theirs.counts, right.counts
    extra, missing = found - expected, expected - found
    lost = Counter(right.statistics.values()) - Counter(theirs.statistics.values())
    if not (extra or missing or lost):
        return trial.holds(what, True, None)
    shapes = {
        key: parameter.shape
        for block in (right, theirs)
        for parameter, key in (block.trained | block.statistics).items()
    }
    kinds = {
        kind if kind != "weight" else len(shapes[kind, shape]) for kind, shape in extra | missing
    }
    if not (extra or missing):
        hint = STATISTICS
    elif not extra and not missing - Counter(theirs.fixed.values()):
        hint = UNTRAINED
    elif _biases(theirs) > _biases(right):
        hint = BIASES
    elif kinds <= {2, "beta"}:
        hint = DENSE
    elif kinds <= {"gamma", "beta"}:
        hint = NORM_TOO_MANY if extra else NORM_MISSING
    elif found.keys() == expected.keys() and not (extra and missing):
        hint = TOO_MANY if extra else TOO_FEW
    seen = f"too many: {_listed(extra, shapes)}"
    if not extra:
        word = "not trained" if hint == UNTRAINED else "missing"
        seen = f"{word}: {_listed(missing or lost, shapes)}"
    raise Wrong(what, hint, seen, _listed(missing, shapes) if extra and missing else None)


def _biases(block):
    """How many convolutions have a bias. Any other beta belongs to a gamma or to a dense layer."""
    kinds = Counter(kind for kind, _ in block.trained.values())
    dense = sum(len(parameter.shape) == 2 for parameter in block.trained)
    return kinds["beta"] - kinds["gamma"] - dense


def _listed(counts, shapes):
    """Layers in words, one per line, convolutions first; a gamma stands for its normalization."""
    texts = [
        _in_words(*key, shapes[key]) + (f" ({number} times)" if number > 1 else "")
        for key, number in sorted(counts.items(), reverse=True)
        if key[0] in ("weight", "gamma") or ("gamma", key[1]) not in counts
    ]
    return f",\n{'':20}".join(texts[:3]) + (" ..." if len(texts) > 3 else "")


def _in_words(kind, short, shape):
    if kind == "weight" and len(shape) == 4:
        return f"a {shape[2]}x{shape[3]} convolution from {shape[1]} to {shape[0]} channels"
    if kind == "weight" and len(shape) == 2:
        return f"a dense layer with {shape[1]} inputs and {shape[0]} outputs"
    if kind == "weight":
        return f"an array of weights of shape {shape}"
    word = {"gamma": "normalization", "mean": "running mean", "var": "running variance"}
    return f"a {word.get(kind, 'bias')} of {short[0] if short else 1} channels"


def _same_output(trial, case, mode, theirs, rights, hint):
    """Note that the output equals that of one of the right blocks; returns that block."""
    what = f"{case}: the output in {mode} mode"
    Y, expected = theirs.output(mode), [right.output(mode).asnumpy() for right in rights]
    if isinstance(Y, np.ndarray) and Y.shape != expected[0].shape:
        hint = "Which layers change height and width, and which change the number of channels?"
        raise Wrong(what, hint, f"shape {Y.shape}", f"shape {expected[0].shape}")
    Y = trial.array(what, Y, expected[0].shape)
    nearest = numpy.argmin([numpy.abs(one - Y).max() for one in expected])
    trial.equal(what, Y, expected[nearest], hint, tolerance=TOLERANCE)
    return rights[nearest]


def _same_gradients(trial, case, theirs, right):
    output_shape = right.output("prediction").shape
    for _ in range(3):  # rounding may switch a ReLU near zero: then try other inputs
        X, dY = trial.normal(*theirs.X.shape), trial.normal(*output_shape)
        found, expected = theirs.step(X, dY), right.step(X, dY)
        moved = [p for p, numbers in theirs.numbers.items() if (p.data() != numbers).any()]
        pairs = [(found.dX.asnumpy(), expected.dX.asnumpy())]
        for key, gradients in expected.gradients.items():
            left = list(found.gradients[key])
            for gradient in gradients:  # each with the nearest: equal layers come in any order
                nearest = numpy.argmin([numpy.linalg.norm(other - gradient) for other in left])
                pairs.append((left.pop(nearest), gradient))
        rounding = 1e-5 * max(numpy.linalg.norm(gradient) for _, gradient in pairs)
        same = [
            numpy.linalg.norm(one - other) <= 0.05 * numpy.linalg.norm(other) + rounding
            for one, other in pairs
        ]
        if all(same):
            break
    what = f"{case}: every parameter gets a gradient"
    for parameter, key in theirs.trained.items():
        if not parameter.grad().asnumpy().any():
            hint = IDLE if theirs.is_idle(parameter) else HIDDEN
            raise Wrong(what, hint, f"none for {_in_words(*key, parameter.shape)}")
    trial.holds(what, True, None)
    trial.holds(f"{case}: the gradient with respect to the input", same[0], HIDDEN)
    trial.holds(f"{case}: the gradients with respect to the parameters", all(same), HIDDEN)
    what = f"{case}: the running means and variances change"
    trial.holds(what, len(moved) >= len(right.statistics), STILL)
