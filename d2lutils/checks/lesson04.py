"""The checks of exercises 04, DenseNet."""

from collections import Counter
from contextlib import contextmanager
from functools import partial

import numpy
from mxnet import autograd, nd, np
from mxnet.gluon import nn

from ..densenet import DenseBlock, conv_block, densenet
from .engine import Unanswered, Wrong, choice, described, exercise, kind_of

LIMIT = 100_000  # of trainable parameters, in exercise 4.5
TOLERANCE = 5e-3  # of the largest output: float32, and several normalizations


# --- what several checks share ---


def _numbers(what, value, hint="Write a list of numbers, such as [1, 2, 3]."):
    """A learner's list, set or array of numbers as a flat array; raises Wrong for anything else."""
    if isinstance(value, nd.NDArray):
        value = value.asnumpy()
    if isinstance(value, list | tuple | set | frozenset | range):
        value = list(value)
        if any(item is None or item is ... for item in value):
            raise Unanswered(f"Some of it is still blank: {what}.")
    try:
        return numpy.asarray(value, dtype="float64").reshape(-1)
    except (TypeError, ValueError):
        raise Wrong(what, hint, described(value), "a number or numbers") from None


def _shapes(block, trained_only=True):
    """The shapes of a block's parameters, without the running statistics or with them."""
    parameters = block.collect_params().values()
    return sorted(p.shape for p in parameters if p.grad_req != "null" or not trained_only)


def _count(shapes):
    return int(sum(numpy.prod(shape) for shape in shapes))


def _told(shapes):
    return f"{_count(shapes):,} numbers in {len(shapes)} arrays"


@contextmanager
def _called_with(*arguments):
    """Say in what went wrong which arguments, mostly random, it went wrong with."""
    try:
        yield
    except Wrong as wrong:
        wrong.what = f"called with {arguments}: {wrong.what}"
        raise


def _same(trial, what, make, arguments, X, reference, hint, mistakes, same_weights=None):
    """Note that make(*arguments) has the parameters of reference() and computes the same.

    mistakes: pairs of a hint and a function that makes the block with that mistake. They are built
    only when something differs. same_weights: the hint where the parameters do not differ.
    """
    with _called_with(*arguments):
        theirs = trial.build(make, *arguments, like=X, what="Your function or class")
        _compare(trial, what, theirs, X, reference, hint, mistakes, same_weights)


def _compare(trial, what, theirs, X, reference, hint, mistakes, same_weights):
    shapes = _shapes(theirs)
    if any(size < 1 for shape in shapes for size in shape):
        raise Wrong(
            f"{what}: every layer is used",
            "One of your layers never sees an input: is each of them called in the forward pass?",
        )
    ours = _shaped(reference, X)
    seen, expected = _computed(trial, theirs, X), _computed(trial, trial.build(lambda: ours), X)
    if shapes != _shapes(ours) or not _alike(seen, expected):
        other = _other_kinds(theirs, ours)
        if same_weights and shapes == _shapes(ours):
            other = same_weights
        hint = next((h for h, make in mistakes if _is(trial, make, X, shapes, seen)), other or hint)
    parameters = f"{what}: the trainable parameters"
    trial.holds(parameters, shapes == _shapes(ours), hint, _told(shapes), _told(_shapes(ours)))
    for mode, output in seen.items():
        right = expected[mode]
        if isinstance(output, np.ndarray) and output.shape != right.shape:
            raise Wrong(f"{what}: the output's shape", hint, str(output.shape), str(right.shape))
        trial.equal(f"{what}: the output in {mode}", output, right, hint, tolerance=TOLERANCE)


def _shaped(make, X):
    """A block of ours that knows its shapes, by one pass of symbols: faster than by layers."""
    block = make()
    block.infer_shape(X)
    return block


def _other_kinds(theirs, ours):
    """A hint where a block has biases too many or normalizations too few, or None."""
    seen, right = (
        Counter(kind_of(p) for p in block.collect_params().values()) for block in (theirs, ours)
    )
    if seen["bias"] > right["bias"]:
        return "No convolution has a bias: use_bias=False in each of them."
    if seen["gamma"] < right["gamma"]:
        return f"There should be {right['gamma']} normalizations, and there are {seen['gamma']}."
    return None


def _is(trial, make, X, shapes, seen):
    """Whether a mistaken block has these parameters and computes what was seen."""
    block = _shaped(make, X)
    return _shapes(block) == shapes and _alike(
        seen, _computed(trial, trial.build(lambda: block), X)
    )


def _computed(trial, block, X):
    """What a block computes with parameters that depend on their shapes only."""
    trial.tie(block)
    training = trial.forward(block, X, autograd.train_mode)
    return {"prediction": trial.forward(block, X), "training": training}


def _alike(some, others):
    """Whether all outputs are the same up to rounding."""
    return all(
        isinstance(some[mode], np.ndarray)
        and some[mode].shape == other.shape
        and bool(np.abs(some[mode] - other).max() <= TOLERANCE * np.abs(other).max())
        for mode, other in others.items()
    )


def _row(*layers):
    """Layers one after another, as a block."""
    block = nn.HybridSequential()
    block.add(*layers)
    return block


def _relu():
    return nn.Activation("relu")


def _conv(num_channels, size=3, **settings):
    return nn.Conv2D(num_channels, size, padding=size // 2, **{"use_bias": False, **settings})


def _norm_relu():
    return [nn.BatchNorm(), _relu()]


def _along(axis):
    return lambda F, maps: F.np.concatenate(maps, axis=axis)


_append = _along(1)
_NEW_FIRST = {"join": lambda F, maps: _append(F, maps[::-1])}


class _Maps(nn.HybridBlock):
    """A dense block of any layers, where join, read and give say how mistaken ones differ.

    Each layer gets join(read(all maps so far)); the output is join(give(all maps)).
    """

    def __init__(self, layers, join=_append, read=slice(None), give=slice(None)):
        super().__init__()
        self.layers, self.join, self.read, self.give = _row(*layers), join, read, give

    def hybrid_forward(self, F, X):
        maps = [X]
        for layer in self.layers:
            maps.append(layer(self.join(F, maps[self.read])))
        return self.join(F, maps[self.give])


def _maps(num_convs, growth_rate, **differences):
    return _Maps([conv_block(growth_rate) for _ in range(num_convs)], **differences)


# --- 4.1 to 4.3 ---


def _ledger(channels, k, num_convs, halved=lambda c: c // 2):
    """Stem, block, transition, block, ..., block."""
    channels = [channels]
    for i, n in enumerate(num_convs):
        if i:
            channels.append(halved(channels[-1]))
        channels.append(channels[-1] + n * k)
    return channels


@exercise(
    "4.1",
    "The ledger",
    hints=(
        "Six numbers: the stem makes 16. A block appends 3 times 12 to what it gets; a transition "
        "keeps half of what it gets.",
        "16 + 36 = 52, and half of that is 26. Go on from 26.",
    ),
)
def ledger(trial, channels):
    """channels: six numbers, of densenet(num_channels=16, growth_rate=12, num_convs=(3, 3, 3))."""
    stem, k, num_convs = 16, 12, (3, 3, 3)
    what, right = "the channels after each of the six parts", _ledger(stem, k, num_convs)
    seen = list(_numbers(what, channels))
    if seen[:1] == right[1:2]:
        raise Wrong(what, "The list begins with the stem: it makes 16.", "52 first", "16 first")
    if len(seen) != len(right):
        hint = "Six numbers: stem, block, transition, block, transition, block."
        if len(seen) == len(right) + 1:
            hint = "No transition follows the last block: the picture has not to shrink any more."
        raise Wrong(what, hint, f"{len(seen)} number(s)", len(right))
    halves = "A transition halves what comes in: 62 channels, so 31."
    mistakes = [
        ("The transitions halve the channels.", _ledger(stem, k, num_convs, lambda c: c)),
        ("Each of a block's three layers appends 12 channels.", _ledger(stem, k, (1, 1, 1))),
        (
            "The stem makes num_channels = 16; only transitions halve.",
            _ledger(stem // 2, k, num_convs),
        ),
        (halves, [16, 52, 26, 62, 44, 80]),
        (halves, [16, 52, 26, 88, 44, 124]),
        ("A block's output begins with its own input: 16 + 36, not 36.", [16, 36, 18, 36, 18, 36]),
    ]
    hint = next(
        (h for h, wrong in mistakes if wrong == seen), "A block appends, a transition halves."
    )
    parts = "the stem", "block 1", "transition 1", "block 2", "transition 2", "block 3"
    for part, theirs, number in zip(parts, seen, right):
        trial.holds(f"the channels after {part}", theirs == number, hint, f"{theirs:g}", number)


what_it_saves = choice(
    "4.2",
    "What it saves",
    hints=(
        "A training step holds the weights, their gradients and momentum, and the activations. "
        "Which of these grow with the picture?",
        "Section 6 of the lesson, for a batch of 128: activations 83 against 64 MiB, the rest 9 "
        "against 128. What becomes of the sums when the pictures have 49 times the area?",
    ),
    options={
        "a": (
            False,
            "A fifteenth of the parameters is a fifteenth of the weights, gradients and momentum. "
            "The activations are more.",
        ),
        "b": (
            False,
            "Its activations are more, its parameters fewer: with 128 small pictures the parameters "
            "decide, and its step needs less.",
        ),
        "c": (
            False,
            "Activations grow with the batch, parameters do not: a larger batch speaks against "
            "DenseNet, not for it. At 32x32 its step needs more from some 800 pictures on.",
        ),
        "d": (
            True,
            "Few parameters, many activations. Activations grow with the area of the picture, "
            "and from some size on they decide.",
        ),
    },
)


def _block_count(c, k, L, norm=2, area=9, first=0, grows=1):
    reads = [c + grows * (first + i) * k for i in range(L)]
    return sum(norm * r + area * r * k for r in reads)


@exercise(
    "4.3",
    "The parameters of a dense block",
    hints=(
        "A layer that reads r channels has 2 r parameters in its normalization and 9 r k in its "
        "convolution: (2 + 9 k) r. Which r do the L layers read?",
        "The layers read c, c + k, ..., c + (L - 1) k. Added up that is L c + k L (L - 1) / 2, times "
        "(2 + 9 k).",
    ),
)
def block_parameters(trial, function):
    """function(c, k, L) -> the trainable parameters of DenseBlock(L, k) on c channels, a number.

    The check counts those of d2lutils' block.
    """
    what, sizes = "the parameters of dense blocks of random sizes", []
    for L in (3, 4, 5, 2 * trial.integer(3, 4)):  # odd and even
        k = trial.integer(2, 9)
        sizes.append((k * trial.integer(1, 4) + trial.integer(1, k - 1), k, L))
    seen, right = [], []
    for c, k, L in sizes:
        with _called_with(c, k, L):
            seen.append(trial.array(what, trial.call(function, c, k, L), ()).item())
        right.append(_count(_shapes(_shaped(partial(DenseBlock, L, k), np.zeros((1, c, 2, 2))))))
    mistakes = [
        ("The normalizations have parameters too.", partial(_block_count, norm=0)),
        (
            "A normalization has two trainable numbers for a channel: gamma and beta.",
            partial(_block_count, norm=1),
        ),
        (
            "Running statistics are not trained: no gradient moves them.",
            partial(_block_count, norm=4),
        ),
        ("The convolutions have no bias.", lambda c, k, L: _block_count(c, k, L) + L * k),
        ("Every layer reads k channels more than the one before.", partial(_block_count, grows=0)),
        (
            "The first layer reads c channels, not c + k: the sum begins with l = 0.",
            partial(_block_count, first=1),
        ),
        (
            "The normalization stands before the convolution: it has as many channels as the layer "
            "reads, not k.",
            lambda c, k, L: 2 * L * k + _block_count(c, k, L, norm=0),
        ),
        ("A 3x3 kernel has nine weights.", partial(_block_count, area=3)),
        ("The kernel is 3x3, not 1x1: nine weights.", partial(_block_count, area=1)),
        ("The order is function(c, k, L).", lambda c, k, L: _block_count(k, c, L)),
        (
            "The sum 0 + 1 + ... + (L - 1) is half of L (L - 1).",
            lambda c, k, L: (2 + 9 * k) * (L * c + k * L * (L - 1)),
        ),
        (
            "Halve last: L // 2 drops a half where L is odd, L * (L - 1) // 2 drops nothing.",
            lambda c, k, L: (2 + 9 * k) * (L * c + k * (L - 1) * (L // 2)),
        ),
    ]
    hint = next(
        (
            h
            for h, wrong in mistakes
            if numpy.allclose(seen, [wrong(*size) for size in sizes], 1e-9)
        ),
        "Add up over the layers: how many channels does each of them read?",
    )
    for size, theirs, number in zip(sizes, seen, right):
        with _called_with(*size):
            trial.equal(what, theirs, number, hint, tolerance=1e-9)


# --- 4.4 ---


def _transition(width, pool=nn.AvgPool2D, first=None, size=1, **settings):
    """first: what stands before the convolution, if not BN and ReLU."""
    first = _norm_relu() if first is None else first
    return _row(*first, _conv(width, size, **settings), *([pool(2, 2)] if pool else []))


def _transition_mistakes(C, compression):
    width = int(compression * C)

    def at(hint, width=width, **differences):
        return hint, lambda: _transition(width, **differences)

    return [
        at("Round down: floor(compression * num_channels).", width=width + 1),
        at("The compression has no effect yet.", width=C),
        at("The compression need not be a half.", width=C // 2),
        at("The convolution has no bias.", use_bias=True),
        at("The normalization is missing.", first=[_relu()]),
        at("The ReLU is missing: BN, ReLU, convolution.", first=[nn.BatchNorm()]),
        at("The normalization comes first, then the ReLU.", first=[_relu(), nn.BatchNorm()]),
        at("Average pooling, not max pooling.", pool=nn.MaxPool2D),
        at(
            "A convolution with stride 2 skips three quarters of the positions: pool instead.",
            pool=None,
            strides=2,
        ),
        at("The pooling is missing.", pool=None),
        at("The kernel of the convolution is 1x1, not 3x3.", size=3),
        (
            "Normalization and ReLU come before the convolution.",
            lambda: _row(_conv(width, 1), *_norm_relu(), nn.AvgPool2D(2, 2)),
        ),
    ]


@exercise(
    "4.4",
    "A transition with compression",
    hints=(
        "The lesson's transition_block has the four layers in their order. What is new is the "
        "number of channels: int() of a positive number rounds down.",
        "BatchNorm, relu, Conv2D(int(compression * num_channels), kernel_size=1, use_bias=False), "
        "AvgPool2D(pool_size=2, strides=2).",
    ),
)
def transition(trial, make):
    """make(num_channels, compression) -> a block: (N, num_channels, H, W) to half the size.

    Source: Huang et al. 2017, section 3, "Pooling layers" and "Compression"; Table 1.
    """
    for compression in (0.5, 0.25, 0.75):
        C = 4 * trial.integer(2, 4) + 3  # so that rounding up, down and to the nearest differ
        _same(
            trial,
            f"compression {compression:g}",
            make,
            (C, compression),
            trial.normal(3, C, 6, 4, mean=0.5),
            partial(_transition, int(compression * C)),
            "BN, ReLU, 1x1 convolution to floor(compression * num_channels) channels, average "
            "pooling.",
            _transition_mistakes(C, compression),
        )


# --- 4.5 and 4.6 ---


@exercise(
    "4.5",
    "The largest growth rate",
    hints=(
        "A loop over k: make densenet(growth_rate=k), initialize it, pass one picture, count.",
        "Two neighbours show that you have it: at k the count is below 100,000, at k + 1 it is not. "
        "Look between 5 and 15.",
    ),
)
def growth_rate(trial, k):
    """k: the largest growth rate that stays below the limit. The check counts at k and at k + 1."""
    what = "the growth rate is a whole number from 1 to 1,000"
    whole = "One whole number, for example 32."
    seen = _numbers(what, k, whole)
    fits = len(seen) == 1 and 1 <= seen[0] <= 1000 and seen[0] == int(seen[0])
    trial.holds(what, fits, whole, described(k))

    def count(k, trained_only=True):
        net = densenet(growth_rate=k)
        net.infer_shape(np.zeros((1, 1, 32, 32)))
        return _count(_shapes(net, trained_only))

    k = int(seen[0])
    fits, more_fits = count(k) < LIMIT, count(k + 1) < LIMIT
    trial.holds(
        f"growth rate {k} has {count(k):,}: {'below' if fits else 'not below'} the limit",
        fits,
        "Too many. Is it one step too far? The count must stay below the limit, not come nearest."
        if k <= 12
        else "Too many by far: the count grows with the square of the growth rate.",
        f"{count(k):,}",
        f"fewer than {LIMIT:,}",
    )
    trial.holds(
        f"growth rate {k + 1} has {count(k + 1):,}: "
        + (f"still below the limit, so {k} is not the largest" if more_fits else "not below it"),
        not more_fits,
        f"Growth rate {k + 1} fits too. If you counted more there: running statistics (grad_req "
        '"null") are not trained.'
        if count(k + 1, trained_only=False) >= LIMIT
        else f"There is room for more: try {k + 1}.",
        f"{count(k + 1):,}",
        f"{LIMIT:,} or more",
    )


@exercise(
    "4.6",
    "Who reads whom",
    hints=(
        "Number the channels: 0 to 5 are the block's input, 6 to 9 layer 1's, 10 to 13 layer 2's. "
        "Which layers read channel 10, and which of their channels come from it?",
        "Channel 10 itself is in the output as it is. Channels 11 to 13 do not read it. All of "
        "layers 3, 4 and 5 do.",
    ),
)
def who_reads_whom(trial, channels):
    """channels: the numbers, from 0, of the output channels that can change; in any order."""
    c, k, L, layer = 6, 4, 5, 2
    seen = {float(number) for number in _numbers("the channels that can change", channels)}
    disturbed, later, end = c + (layer - 1) * k, c + layer * k, c + L * k
    right = {disturbed, *range(later, end)}
    mistakes = [
        (
            "The disturbed channel is itself part of the block's output.",
            range(later, end),
        ),
        (
            "The channels of one layer do not read each other: 11, 12 and 13 stay.",
            range(disturbed, end),
        ),
        (
            "That is a chain. In a dense block not only the next layer reads it.",
            [disturbed, *range(later, later + k)],
        ),
        ("Layer 3 reads it, and layers 4 and 5 too.", range(later, later + k)),
        (
            "Every later layer reads it, and changes.",
            [disturbed],
        ),
        ("Count the channels from 0.", {number + 1 for number in right}),
        ("Layer 1 is the first layer: it appends channels 6 to 9.", [14, *range(18, end)]),
        ("The first six channels are the block's input.", {number - c for number in right}),
        ("Nobody reads what comes later: the earlier channels stay.", range(end)),
        ("Write the channels' numbers, not how many they are.", [len(right)]),
        ("The last channel is missing: range leaves its end out.", right - {end - 1}),
        ("The last channel is missing: range leaves its end out.", range(later, end - 1)),
        ("The output has 26 channels, numbered from 0: the last is 25.", right | {end}),
        ("Only one of layer 2's channels is disturbed. And who reads it?", range(disturbed, later)),
        ("Channel 10 is disturbed; 11, 12 and 13 do not read it.", range(disturbed + 1, end)),
    ]
    hint = next(
        (hint for hint, wrong in mistakes if seen == set(wrong)),
        "Which channel is the disturbed one, which layers come after it, which channels are theirs?",
    )
    trial.holds(
        "the channels that can change, and no others",
        seen == right,
        hint,
        ", ".join(f"{number:g}" for number in sorted(seen)[:30]) or "none",
        f"{len(right)} channels",
    )


# --- 4.7 ---


def _widths(channels, k, num_convs, out=lambda c: c // 2, keep=None):
    """What transitions make: out(the count), where the count then goes on from keep(the count)."""
    widths = []
    for n in num_convs:
        channels += n * k
        widths.append(out(channels))
        channels = (keep or out)(channels)
    return widths


def _net(stem, blocks, widths, classes=10, end=_norm_relu, **settings):
    """A densely connected network; widths: the channels that the transitions make."""
    net = _row(*stem)
    for i, block in enumerate(blocks):
        net.add(block)
        if i < len(widths):
            net.add(_transition(widths[i], **settings))
    net.add(*end(), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net


def _bottleneck(k, width=4, middle=_norm_relu, **settings):
    """The layer of DenseNet-BC."""
    convs = _conv(width * k, 1, **settings), _conv(k, **settings)
    return _row(*_norm_relu(), convs[0], *middle(), convs[1])


def _late(k):
    """Convolutions first, as a mistake."""
    return _row(_conv(4 * k, 1), *_norm_relu(), _conv(k), *_norm_relu())


def _bc(
    n,
    k,
    classes,
    start=None,
    layer=_bottleneck,
    stem=None,
    last=2,
    rule=None,
    dense=None,
    end=_norm_relu,
    **s,
):
    """DenseNet-BC; the keywords make mistaken ones. s: settings of the convolutions."""
    start = start or 2 * k
    widths = _widths(start, k, (n, n, n), **(rule or {}))[:last]
    blocks = [_Maps([layer(k, **s) for _ in range(n)], **(dense or {})) for _ in range(3)]
    return _net(stem or [_conv(start, **s)], blocks, widths, classes, end, **s)


def _bc_mistakes(n, k, classes):
    def at(hint, n=n, k=k, classes=classes, **differences):
        return hint, lambda: _bc(n, k, classes, **differences)

    stem, small_pool = [_conv(2 * k)], nn.MaxPool2D(3, 2, 1)
    book = [_conv(2 * k, 7, strides=2), *_norm_relu(), nn.MaxPool2D(3, 2, 1)]
    wide = "The first convolution makes 2 * growth_rate channels."
    return [
        at("Each layer holds two convolutions: n = (depth - 4) / 6.", n=2 * n),
        at("Each block has (depth - 4) / 6 layers.", n=n + 1),
        at(
            "The 1x1 convolution makes 4 * growth_rate channels.",
            layer=partial(_bottleneck, width=1),
        ),
        at("The B is missing: a 1x1 convolution before each 3x3.", layer=conv_block),
        at("Normalization and ReLU come before each convolution.", layer=_late),
        at(
            "A ReLU stands before the 3x3 convolution too.",
            layer=partial(_bottleneck, middle=lambda: [nn.BatchNorm()]),
        ),
        at("The C is missing: transitions keep half of the channels.", rule={"out": lambda c: c}),
        at(
            "Halve your count of the channels too, or the next transition is too wide.",
            rule={"keep": lambda c: c},
        ),
        at("Where half of the channels is no whole number, round down.", rule={"out": _rounded_up}),
        at("The last normalization and ReLU are missing.", end=list),
        at("The last ReLU is missing.", end=lambda: [nn.BatchNorm()]),
        at("The last normalization is missing.", end=lambda: [_relu()]),
        at("No transition follows the last block.", last=3),
        at(wide, stem=[_conv(k)]),
        at(wide, stem=[_conv(16)]),
        at(wide, start=k),
        at(wide, start=16),
        at("The argument num_classes has no effect.", classes=10),
        at("The argument growth_rate has no effect.", k=12),
        at(
            "No normalization follows the first convolution: the first layer normalizes.",
            stem=[*stem, *_norm_relu()],
        ),
        at("That is the book's stem. Here: one 3x3 convolution.", stem=book),
        at("No pooling after the first convolution.", stem=[*stem, small_pool]),
        at("The convolutions have no bias.", use_bias=True),
        at("Old maps first, new ones after them.", dense=_NEW_FIRST),
        at("Each layer reads all earlier maps of its block.", dense={"read": slice(-1, None)}),
    ]


def _rounded_up(c):
    return -(-c // 2)


def _what_raised(make, *arguments):
    """The name of what make(*arguments) raises, or what it returns instead, as text."""
    try:
        result = make(*arguments)
    except ValueError as error:
        return "ValueError" if str(error).strip() else "a ValueError without a sentence"
    except Exception as error:
        return type(error).__name__
    return f"no error, but {type(result).__name__}"


@exercise(
    "4.7",
    "DenseNet-BC",
    hints=(
        "Start from the lesson's densenet. Exchange the stem; give a dense block the longer layer; "
        "the transitions are there. Then compare the channels: 2k, then + n k, // 2, + n k, // 2, "
        "+ n k.",
        "A layer: BN, ReLU, Conv2D(4 * growth_rate, 1), BN, ReLU, Conv2D(growth_rate, 3, padding=1), "
        "all convolutions with use_bias=False. Its output is appended to its input. Stem: "
        "Conv2D(2 * growth_rate, 3, padding=1, use_bias=False) and nothing else.",
    ),
)
def densenet_bc(trial, make):
    """make(depth, growth_rate, num_classes) -> a block for pictures (N, any colours, 32, 32).

    Source: Huang et al. 2017, section 3; the order inside a layer: "Bottleneck layers".
    """
    for depth in (16, 10):  # with n = 1, several mistakes look the same
        n, k = (depth - 4) // 6, 2 * trial.integer(1, 2) + 1
        classes, colours = trial.integer(5, 9), trial.integer(1, 3)
        try:
            _same(
                trial,
                f"depth {depth}",
                make,
                (depth, k, classes),
                trial.normal(3, colours, 32, 32),
                partial(_bc, n, k, classes),
                "Count by hand, part by part: the stem, each block, each transition, the end.",
                _bc_mistakes(n, k, classes),
                "The weights are right: look at the order, the ReLUs, the padding, the pooling.",
            )
        except Wrong as wrong:
            if "class raised ValueError" in wrong.what:
                wrong.hint = f"Depth {depth} fits, n is {n}: is it your condition that refuses it?"
            raise
    raised = {d: trial.call(_what_raised, make, d, 4, 10) for d in (*range(11, 16), 21)}
    depth = next((d for d in raised if raised[d] != "ValueError"), 21)
    trial.holds(
        "depths that do not fit are refused",
        raised[depth] == "ValueError",
        f"({depth} - 4) / 6 is not a whole number: raise ValueError, with a sentence that tells what "
        "fits.",
        f"depth {depth}: {raised[depth]}",
        "ValueError",
    )


# --- 4.8 ---


def _small(channels, k, num_convs, widths, **differences):
    """What the specimens 4.8a and 4.8d build, repaired."""
    blocks = [DenseBlock(n, k) for n in num_convs]
    return _net([_conv(channels)], blocks, widths, **differences)


def _halving_mistakes(channels, k, num_convs):
    def at(hint, last=2, num_convs_counted=num_convs, **rule):
        widths = _widths(channels, k, num_convs_counted, **rule)[:last]
        return hint, lambda: _small(channels, k, num_convs, widths)

    return [
        at("The symptom is still there: num_channels is not halved.", keep=lambda c: c),
        at(
            "Halved twice: now the transitions make a quarter.",
            out=lambda c: c // 4,
            keep=lambda c: c // 2,
        ),
        at("Halved twice: now the transitions make a quarter.", out=lambda c: c // 2 // 2),
        at("The transitions do not halve any more.", out=lambda c: c),
        at("No transition follows the last block.", last=3),
        at("No transition follows the last block.", last=3, keep=lambda c: c),
        at(
            "A block appends: num_channels must grow before it is halved.", num_convs_counted=(0, 0)
        ),
        at("Each of a block's layers appends growth_rate channels.", num_convs_counted=(1, 1)),
    ]


@exercise(
    "4.8a",
    "Zoo: wider than the ledger",
    hints=(
        "Keep the builder's book by hand: what is num_channels before the second transition? And "
        "how many channels really arrive there?",
        "After a transition, num_channels must be what the transition made: num_channels //= 2 "
        "first, then transition_block(num_channels).",
    ),
    options={
        "a": (False, "The blocks append 36 channels each, three times 12, and that is right."),
        "b": (
            True,
            "The count num_channels is not halved with the maps: the next transition halves a number "
            "that is no longer true.",
        ),
        "c": (False, "Pooling changes height and width; it leaves the channels as they are."),
        "d": (
            False,
            "After the last block the channels go to the dense layer. Count before that: where "
            "does the ledger first go wrong?",
        ),
    },
)
def too_wide(trial, hypothesis_a, thin_net):
    """hypothesis_a: a letter; thin_net(num_channels, growth_rate, num_convs): the repaired builder."""
    channels, k = trial.integer(4, 5), trial.integer(8, 10)  # so that no two mistakes agree
    num_convs = tuple(trial.integer(2, 3) for _ in range(3))
    _same(
        trial,
        "the repaired network",
        thin_net,
        (channels, k, num_convs),
        trial.normal(3, 1, 12, 12),
        partial(_small, channels, k, num_convs, _widths(channels, k, num_convs)[:2]),
        "Each transition makes half of the channels that reach it, rounded down.",
        _halving_mistakes(channels, k, num_convs),
    )


_WRONG_AXES = {
    "The symptom is still there: the maps are joined along axis 0.": {"join": _along(0)},
    "Now the pictures grow taller: axis 2 is the height.": {"join": _along(2)},
    "Now the pictures grow wider: the last axis is the width.": {"join": _along(3)},
    "That is an addition, as in ResNet. DenseNet appends.": {"join": lambda F, maps: sum(maps)},
}  # these can be built only where growth_rate is the number of channels
_WRONG_MAPS = {
    "The input of the block is missing in its output.": {"give": slice(1, None)},
    "Only the last layer's maps come out.": {"give": slice(-1, None)},
    "Each layer should read all maps so far, not only the last.": {"read": slice(-1, None)},
    "A layer reads the last two now. It should read all maps so far.": {"read": slice(-2, None)},
    "Every layer reads the block's input only.": {"read": slice(0, 1)},
    "Old maps first, new ones after them.": _NEW_FIRST,
}


def _dense_mistakes(num_convs, growth_rate, table):
    return [(hint, partial(_maps, num_convs, growth_rate, **d)) for hint, d in table.items()]


@exercise(
    "4.8b",
    "Zoo: more pictures than went in",
    hints=(
        "A batch is (N, C, H, W). Which of the four numbers should a dense block change?",
        "Unless told otherwise, np.concatenate joins along axis 0.",
    ),
    options={
        "a": (
            False,
            "It may be any number. That the two are equal here is why nothing crashes, not why it "
            "is wrong.",
        ),
        "b": (False, "Height and width come out as they went in: the padding is right."),
        "c": (False, "Pooling belongs to the transition. A dense block keeps the size."),
        "d": (
            True,
            "The new maps stand as further pictures in the batch, axis 0, not as further channels, "
            "axis 1.",
        ),
    },
)
def batch_doubles(trial, hypothesis_b, MapsAppended):
    """hypothesis_b: a letter; MapsAppended(num_convs, growth_rate): the repaired class, a dense block."""
    k, L = trial.integer(3, 6), trial.integer(2, 3)
    for C, mistakes in ((k, {**_WRONG_AXES, **_WRONG_MAPS}), (k + 2, _WRONG_MAPS)):
        _same(
            trial,
            f"growth rate {'as large as' if k == C else 'unlike'} the number of channels",
            MapsAppended,
            (L, k),
            trial.normal(2, C, 5, 4),
            partial(_maps, L, k),
            "The batch, the height and the width stay; the channels grow by growth_rate a layer.",
            _dense_mistakes(L, k, mistakes),
        )


@exercise(
    "4.8c",
    "Zoo: the right shape, too few weights",
    hints=(
        "Print the shape of each convolution's weights: its second number is how many channels "
        "the layer reads. What should those numbers be?",
        "The list features holds all maps so far. A layer must read all of them, concatenated.",
    ),
    options={
        "a": (
            True,
            "Layers two and three read 12 channels, where they should read 28 and 40: this is a "
            "chain, with everything handed out at the end.",
        ),
        "b": (False, "Every layer appends 12 channels, as it should: 16 + 3 times 12 is 52."),
        "c": (
            False,
            "16 + 36 = 52 come out: the input is there. What each layer gets is another matter.",
        ),
        "d": (
            False,
            "Biases would be 36 numbers. Thousands are missing; and before a normalization a bias "
            "does nothing.",
        ),
    },
)
def only_the_last(trial, hypothesis_c, MapsCollected):
    """hypothesis_c: a letter; MapsCollected(num_convs, growth_rate): the repaired class, a dense block."""
    k, C, L = trial.integer(3, 5), trial.integer(6, 9), trial.integer(3, 4)
    _same(
        trial,
        "the repaired block",
        MapsCollected,
        (L, k),
        trial.normal(3, C, 5, 5),
        partial(_maps, L, k),
        "Layer by layer: which maps does it read? The block's input and those of all layers before.",
        _dense_mistakes(L, k, _WRONG_MAPS),
    )


@exercise(
    "4.8d",
    "Zoo: scores ten times as large",
    hints=(
        "Who reads the maps of the last block? What does every other reader of maps do first?",
        "Between the last dense block and the pooling belongs what every reader begins with: "
        'nn.BatchNorm(), nn.Activation("relu").',
    ),
    options={
        "a": (
            False,
            "Ten times is our doing. A network in which every reader normalizes does not notice it.",
        ),
        "b": (
            False,
            "The bias is zero before training. And it is the one thing here that is not multiplied.",
        ),
        "c": (
            True,
            "Every other reader of a map normalizes it first; the pooling takes the last block's "
            "maps raw.",
        ),
        "d": (False, "The maximum of ten times the values is ten times the maximum."),
    },
)
def unfinished(trial, hypothesis_d, short_net):
    """hypothesis_d: a letter; short_net(growth_rate, num_convs): the repaired builder."""
    k, num_convs = trial.integer(3, 5), (trial.integer(1, 2), trial.integer(2, 3))

    def net(last=1, end=_norm_relu):
        return _small(2 * k, k, num_convs, _widths(2 * k, k, num_convs)[:last], end=end)

    def at(hint, *layers, **differences):
        return hint, lambda: net(end=lambda: [layer() for layer in layers], **differences)

    def pool():
        return nn.GlobalAvgPool2D()

    _same(
        trial,
        "the repaired network",
        short_net,
        (k, num_convs),
        trial.normal(4, 1, 12, 12),
        net,
        "What stands between the last dense block and the pooling? All else was right, the pooling too.",
        [
            at("The symptom is still there: nobody normalizes the last block's maps."),
            at("Half of it: a ReLU follows the normalization.", nn.BatchNorm),
            at("A ReLU alone lets every factor through: normalize first.", _relu),
            at("Normalize before the ReLU.", _relu, nn.BatchNorm),
            at("Both belong before the pooling, not after it.", pool, nn.BatchNorm, _relu),
            at("Too much: a transition also halves channels and picture.", last=2),
            at("Too much: no transition follows the last block.", nn.BatchNorm, _relu, last=2),
        ],
    )
