"""The comparison of blocks, for lessons 03 and 04.

A learner's block and a right one get the same numbers in their parameters: those of one kind and
shape are alike, so names and the order of the layers do not matter. Both must then give the same
output, in prediction and in training, and the same gradients, those of the parameters in any
order. The gradients also show a layer that does the work of an idle twin: its output is right.
"""

import inspect
import zlib
from collections import Counter
from functools import partial

import numpy
from mxnet import autograd, np
from mxnet.gluon import nn

from .engine import Wrong

MODES = {"prediction": autograd.pause, "training": autograd.train_mode}
TOLERANCE = 5e-3  # of the largest output: float32, and several normalizations

SHAPES = "Compare the weights: (channels out, channels in, height, width)."
ORDER = (
    "The layers are there. Follow the data through them: what comes before what, where do the strides "
    "and the ReLUs stand, what is joined with what, and do all layers have their usual settings?"
)
ONLY_TRAINING = (
    "In prediction all is right. What does your block do otherwise while training? There a "
    "normalization uses the mean and variance of its own batch."
)
UNTRAINED = (
    "The layers are there, but not all of them learn: leave grad_req, scale and center as they are."
)
BIASES = "No convolution has a bias: use_bias=False in each of them."
DENSE = "Look at the dense layer at the end: its outputs, its inputs, its biases."
HIDDEN = (
    "The output is right, but autograd does not see all of it: detach(), asnumpy() or "
    "autograd.pause() hide what they touch."
)
IDLE = "It is made and does nothing: another layer of this shape does its work as well as its own."
STATISTICS = (
    "Each normalization keeps a running mean and variance, parameters that are not trained."
)
SHARED = "Make the layers anew in each call: none may be shared by two blocks."
STILL = (
    "While training, each normalization moves its running mean and variance: use_global_stats=True "
    "would keep it from that."
)


# --- layers, for right blocks and mistaken ones ---


def row(*layers):
    """Layers one after another, as a block."""
    block = nn.HybridSequential()
    block.add(*layers)
    return block


def conv(num_channels, size=3, strides=1, **settings):
    """A convolution that keeps the size where strides is 1; without bias, unless settings say so."""
    settings = {"padding": size // 2, "use_bias": False, **settings}
    return nn.Conv2D(num_channels, size, strides, **settings)


def relu():
    return nn.Activation("relu")


# --- one block ---

KINDS = {"gamma": "scale", "beta": "offset", "bias": "offset", "mean": "mean", "var": "variance"}


def _kind_and_shape(parameter):
    """What a parameter is, and its shape without ones: (1, C, 1, 1) is as good as (C,).

    Where the name is not one of Gluon's, its dimensions and its first values tell what it is.
    """
    shape = tuple(size for size in parameter.shape if size != 1)
    kind, trained = KINDS.get(parameter.name.rsplit("_", 1)[-1]), parameter.grad_req != "null"
    if kind is None and len(shape) > 1:
        kind = "weight"
    elif kind is None:
        zero = not parameter.data().asnumpy().any()
        kind = ("offset" if zero else "scale") if trained else ("mean" if zero else "variance")
    return kind, shape


class Tried:
    """make(**arguments), which has seen the first picture of X."""

    def __init__(self, trial, make, arguments, X, what="Your class"):
        self.trial, self.X = trial, X
        self.block = trial.build(_called_with(make, arguments), like=X[:1], what=what)
        found = self.block.collect_params().values()
        unused = [p.name for p in found if min(p.shape or (1,)) < 1]
        if unused:
            raise Wrong(
                "every layer is used",
                "A layer is made and never used: it has not even learned its shape.",
                f"not used: {unused[0]}",
            )
        self.kinds = {p: _kind_and_shape(p) for p in found}
        self.trained = [p for p in found if p.grad_req != "null"]
        self.fixed = [p for p in found if p.grad_req == "null"]
        self.statistics = [p for p in self.fixed if self.kinds[p][0] in ("mean", "variance")]
        self.tie(self.trained)

    def count(self, parameters):
        """How many of these parameters there are of each kind and shape."""
        return Counter(self.kinds[parameter] for parameter in parameters)

    def tie(self, parameters):
        """Give parameters of one kind and shape the same numbers."""
        for parameter in parameters:
            kind, shape = self.kinds[parameter]
            rng = numpy.random.default_rng([self.trial.key, zlib.crc32(kind.encode()), *shape])
            if kind in ("scale", "variance"):
                values = rng.uniform(0.5, 2, parameter.shape)
            else:
                spread = numpy.sqrt(2 / numpy.prod(shape[1:])) if kind == "weight" else 0.5
                values = rng.normal(0, spread, parameter.shape)
            parameter.set_data(np.array(values, dtype="float32"))

    def output(self, mode):
        self.tie(self.statistics)  # some normalizations move them in every forward pass
        return self.trial.forward(self.block, self.X, MODES[mode])

    def gradients(self, dY):
        """Of the input and of each trained parameter; and which statistics have moved."""

        def step(X, dY):
            X.attach_grad()
            for parameter in self.trained:
                parameter.grad()[:] = 0
            with autograd.record():
                Y = self.block(X)
            Y.backward(dY)
            return X.grad

        self.tie(self.statistics)
        before = [parameter.data().asnumpy() for parameter in self.statistics]
        of_input = self.trial.call(
            step, self.X, dY, what="Autograd, on its way back through your block,", hint=HIDDEN
        )
        moved = [p for p, old in zip(self.statistics, before) if (p.data().asnumpy() != old).any()]
        return of_input.asnumpy(), {p: p.grad().asnumpy() for p in self.trained}, moved

    def is_idle(self, parameter):
        """Whether the output is the same with other numbers in this parameter."""
        before = self.output("training")
        parameter.set_data(1 - 2 * parameter.data())
        after = self.output("training")
        self.tie([parameter])
        return bool((before == after).all())


def _called_with(make, arguments):
    """make with its arguments: by place, or by name where it takes them only so."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # not a function, or one of C
        parameters = ()
    if not callable(make):
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
    raised=None,
    what="Your class",
):
    """Note that make(**arguments) is one of the right blocks, up to names and the order of layers.

    right: makers of blocks. mistakes: pairs of a hint and the maker of a block with that mistake;
    they are built only when something differs. shapes, order: the hints where it is none of them.
    raised: pieces of an error's message, each with the hint for it. Returns the learner's block
    and the right one, as `Tried`.
    """
    before = len(trial.passed)
    try:
        theirs = Tried(trial, make, arguments, X, what)
        rights = [Tried(trial, maker, arguments, X) for maker in right]
        try:
            _same_parameters(trial, f"{case}: the parameters", theirs, rights[0], shapes)
            for mode in MODES:
                hint = order if mode == "prediction" else ONLY_TRAINING
                nearest = _same_output(trial, case, mode, theirs, rights, hint)
        except Wrong as wrong:
            wrong.hint = _mistake(theirs, mistakes, arguments) or wrong.hint
            raise
        _same_gradients(trial, case, theirs, nearest)
        again = trial.build(_called_with(make, arguments), what=what)
        shared = {*theirs.kinds} & {*again.collect_params().values()}
        trial.holds(f"{case}: each call makes a block of its own", not shared, SHARED)
    except Wrong as wrong:
        wrong.hint = next(
            (h for piece, h in (raised or {}).items() if piece in wrong.what), wrong.hint
        )
        shown = ", ".join(map(str, arguments.values()))
        wrong.what = f"called with ({shown}): {wrong.what}"
        raise
    trial.passed[before:] = [f"{case}: the parameters, the outputs, the gradients"]
    return theirs, nearest


def _mistake(theirs, mistakes, arguments):
    """The hint of the mistake that makes the same block, or None."""
    for hint, maker in mistakes:
        try:
            other = Tried(theirs.trial, maker, arguments, theirs.X)
            if theirs.count(theirs.trained) == other.count(other.trained) and all(
                _close(theirs.output(mode), other.output(mode)) for mode in MODES
            ):
                return hint
        except Wrong:  # it cannot be made here, or theirs fails in training
            continue
    return None


def _close(some, other):
    return (
        isinstance(some, np.ndarray)
        and some.shape == other.shape
        and bool(np.abs(some - other).max() <= TOLERANCE * np.abs(other).max())
    )


def _same_parameters(trial, what, theirs, right, hint):
    found, expected = theirs.count(theirs.trained), right.count(right.trained)
    extra, missing = found - expected, expected - found
    lost = right.count(right.statistics) - theirs.count(theirs.statistics)
    if not (extra or missing or lost):
        return trial.holds(what, True, None)
    shapes = {key: p.shape for block in (right, theirs) for p, key in block.kinds.items()}
    differing = {
        kind if kind != "weight" else len(shapes[kind, shape]) for kind, shape in extra | missing
    }
    if not (extra or missing):
        hint = STATISTICS
    elif missing and not extra and not missing - theirs.count(theirs.fixed):
        hint = UNTRAINED
    elif _biases(theirs) > _biases(right):
        hint = BIASES
    elif differing <= {2, "offset"}:
        hint = DENSE
    elif not differing & {2, 4}:
        hint = "A normalization is missing, or one serves two layers."
        if extra:
            hint = "One normalization too many, or one of another number of channels."
    elif found.keys() == expected.keys() and not (extra and missing):
        hint = "The layers are of the right kinds, and there are too few of them. Does one serve twice?"
        if extra:
            hint = "The layers are of the right kinds, and there are too many of them."
    raise Wrong(
        what,
        hint,
        f"too many: {_listed(extra, shapes)}"
        if extra
        else f"missing: {_listed(missing or lost, shapes)}",
        f"instead: {_listed(missing, shapes)}" if extra and missing else None,
    )


def _biases(block):
    """How many convolutions have a bias: all else with an offset has a scale, or is dense."""
    kinds = [block.kinds[parameter][0] for parameter in block.trained]
    dense = sum(len(parameter.shape) == 2 for parameter in block.trained)
    return kinds.count("offset") - kinds.count("scale") - dense


def _listed(counts, shapes):
    """Layers in words, one a line, convolutions first; a scale stands for its normalization."""
    texts = [
        _in_words(key, shapes[key]) + (f" ({number} times)" if number > 1 else "")
        for key, number in sorted(counts.items(), reverse=True)
        if key[0] != "offset" or ("scale", key[1]) not in counts
    ]
    return f",\n{'':20}".join(texts[:3]) + (" ..." if len(texts) > 3 else "")


def _in_words(key, shape):
    kind, short = key
    if kind == "weight" and len(shape) == 4:
        return f"a {shape[2]}x{shape[3]} convolution from {shape[1]} to {shape[0]} channels"
    if kind == "weight" and len(shape) == 2:
        return f"a dense layer from {shape[1]} to {shape[0]} numbers"
    if kind == "scale" and len(short) == 1:
        return f"a normalization of {short[0]} channels"
    return f"{kind} of shape {shape}"


def _same_output(trial, case, mode, theirs, rights, hint):
    """Note that the output is one of the right ones; returns the block that it is of."""
    what = f"{case}: the output in {mode}"
    Y, expected = theirs.output(mode), [right.output(mode).asnumpy() for right in rights]
    if isinstance(Y, np.ndarray) and Y.shape != expected[0].shape:
        hint = "Which layers change height and width, and which the number of channels?"
        raise Wrong(what, hint, f"shape {Y.shape}", f"shape {expected[0].shape}")
    Y = trial.array(what, Y, expected[0].shape)
    nearest = numpy.argmin([numpy.abs(one - Y).max() for one in expected])
    trial.equal(what, Y, expected[nearest], hint, tolerance=TOLERANCE)
    return rights[nearest]


def _same_gradients(trial, case, theirs, right):
    dY = trial.normal(*right.output("prediction").shape)
    of_input, of_parameters, moved = theirs.gradients(dY)
    right_of_input, right_of_parameters, right_moved = right.gradients(dY)
    what = f"{case}: every parameter gets a gradient"
    for parameter, gradient in of_parameters.items():
        if not gradient.any():
            name = _in_words(theirs.kinds[parameter], parameter.shape)
            hint = IDLE if theirs.is_idle(parameter) else HIDDEN
            raise Wrong(what, hint, f"none for {name}")
    trial.holds(what, True, None)
    trial.holds(f"{case}: the gradient of the input", _near(of_input, right_of_input), HIDDEN)
    left = dict(of_parameters)
    for parameter, expected in right_of_parameters.items():
        alike = [p for p in left if theirs.kinds[p] == right.kinds[parameter]]
        expected = expected.reshape(alike[0].shape)
        best = min(
            alike, key=lambda p: numpy.square(left[p].reshape(-1) - expected.reshape(-1)).sum()
        )
        near = _near(left.pop(best).reshape(-1), expected.reshape(-1))
        name = _in_words(right.kinds[parameter], parameter.shape)
        what = f"{case}: the gradients of the parameters"
        trial.holds(what, near, HIDDEN, f"another gradient for {name}")
    what = f"{case}: the running statistics move"
    trial.holds(what, len(moved) >= len(right_moved), STILL, len(moved), len(right_moved))


def _near(gradient, expected):
    """On the whole: a ReLU may go the other way for single numbers near zero."""
    error = numpy.linalg.norm(gradient - expected)
    return error <= 0.01 * max(numpy.linalg.norm(expected), 1e-6)
