"""The checks of exercises 04, DenseNet."""

from functools import partial

import numpy
from mxnet import np
from mxnet.gluon import nn

from ..densenet import DenseBlock, conv_block, densenet
from ..nets import sequential
from . import blocks
from .blocks import conv, num_parameters, relu
from .engine import Wrong, choice, exercise

LIMIT = 100_000  # of trainable parameters, in exercise 4.5


# --- what several checks share ---


def _norm_relu():
    return [nn.BatchNorm(), relu()]


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
        "Six numbers: the stem makes 16. A block appends 3 times 12 channels to its input; a "
        "transition keeps half of its input.",
        "16 + 36 = 52, and half of that is 26. Continue from 26.",
    ),
)
def ledger(trial, channels):
    """channels: six numbers, of densenet(num_channels=16, growth_rate=12, num_convs=(3, 3, 3))."""
    stem, k, num_convs = 16, 12, (3, 3, 3)
    what, right = "the channels after each of the six parts", _ledger(stem, k, num_convs)
    seen = list(trial.numbers(what, channels))
    if seen[:1] == right[1:2]:
        raise Wrong(what, "The list begins with the stem, which makes 16.", "52 first", "16 first")
    if len(seen) != len(right):
        hint = "Six numbers: stem, block, transition, block, transition, block."
        if len(seen) == len(right) + 1:
            hint = "No transition follows the last block: the maps do not have to shrink any more."
        raise Wrong(what, hint, f"{len(seen)} number(s)", len(right))
    halves = "A transition halves what comes in: the channels of the block before it, all of them."
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
    for part, theirs, number in zip(parts, seen, right):  # the right ones are the answer
        trial.holds(f"the channels after {part}", theirs == number, hint, theirs)


what_it_saves = choice(
    "4.2",
    "What it saves",
    hints=(
        "A training step holds the weights, their gradients and momentum, and the activations. "
        "Which of these grow with the size of the images?",
        "Section 6 of the lesson, in MiB for a batch of 128: activations about 88 (DenseNet) and 66 "
        "(ResNet-18), the rest 9 and 128. What are the two sums if the images have 49 times the area?",
    ),
    options={
        "a": (
            False,
            "A fifteenth of the parameters means a fifteenth of the weights, gradients and momentum. "
            "But its activations take more.",
        ),
        "b": (
            False,
            "Its activations take more, its parameters less. With 128 small images the parameters "
            "decide, and its step needs less in all.",
        ),
        "c": (
            False,
            "Activations grow with the batch, parameters do not: a larger batch is worse for "
            "DenseNet, not better.",
        ),
        "d": (
            True,
            "Few parameters, many activations. Activations grow with the area of the images, "
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
        "The layers read c, c + k, ..., c + (L - 1) k. Their sum is L c + k L (L - 1) / 2. Multiply it "
        "by (2 + 9 k).",
    ),
)
def block_parameters(trial, function):
    """function(c, k, L) -> the trainable parameters of DenseBlock(L, k) on c channels, a number.

    The check counts those of d2lutils' block.
    """
    what, sizes = "the parameters of dense blocks of random sizes", []
    for L in (3, 4, 1, 5, 2 * trial.integer(3, 4)):  # odd and even
        k = trial.integer(2, 9)
        sizes.append((k * trial.integer(1, 4) + trial.integer(1, k - 1), k, L))
    seen = [trial.number(what, trial.call(function, *size)) for size in sizes]
    right = [num_parameters(DenseBlock(L, k), np.zeros((1, c, 2, 2))) for c, k, L in sizes]
    mistakes = [
        ("The normalizations have parameters too.", partial(_block_count, norm=0)),
        (
            "A normalization has two trainable numbers for each channel: gamma and beta.",
            partial(_block_count, norm=1),
        ),
        (
            "Running statistics are not trained: no gradient moves them.",
            partial(_block_count, norm=4),
        ),
        ("The convolutions have no bias.", lambda c, k, L: _block_count(c, k, L) + L * k),
        ("Every layer reads k channels more than the one before.", partial(_block_count, grows=0)),
        (
            "The first layer reads c channels, not c + k: the sum starts at l = 0.",
            partial(_block_count, first=1),
        ),
        (
            "The normalization comes before the convolution: it has as many channels as the layer "
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
            "Divide last: L // 2 loses a half if L is odd, L * (L - 1) // 2 loses nothing.",
            lambda c, k, L: (2 + 9 * k) * (L * c + k * (L - 1) * (L // 2)),
        ),
    ]
    worst = numpy.argmax(numpy.abs(numpy.subtract(seen, right)))
    if abs(seen[worst] - right[worst]) > 0.5:
        what += ", here function({}, {}, {})".format(*sizes[worst])
    trial.equal(
        what,
        seen,
        right,
        "Add up over the layers: how many channels does each of them read?",
        [(hint, [count(*size) for size in sizes]) for hint, count in mistakes],
        tolerance=1e-6,
    )


# --- 4.4 ---


def _transition(width, first=_norm_relu, size=1, pool=nn.AvgPool2D, **settings):
    """first: what stands before the convolution."""
    return sequential(*first(), conv(width, size, **settings), *([pool(2, 2)] if pool else []))


def _compression(num_channels, compression, width=lambda m, theta: int(theta * m), **differences):
    return _transition(width(num_channels, compression), **differences)


def _late_transition(num_channels, compression):
    return sequential(conv(int(compression * num_channels), 1), *_norm_relu(), nn.AvgPool2D(2, 2))


TRANSITIONS = [
    (hint, partial(_compression, **differences))
    for hint, differences in [
        (
            "Round down: floor(compression * num_channels).",
            {"width": lambda m, theta: int(theta * m) + 1},
        ),
        (
            "The compression is the fraction that is kept, not the fraction that is dropped.",
            {"width": lambda m, theta: m - int(theta * m)},
        ),
        ("At this compression all channels are kept.", {"width": lambda m, theta: m}),
        ("The compression does not have to be 0.5.", {"width": lambda m, theta: m // 2}),
        ("The convolution has no bias.", {"use_bias": True}),
        ("The normalization is missing.", {"first": lambda: [relu()]}),
        ("The ReLU is missing: BN, ReLU, convolution.", {"first": lambda: [nn.BatchNorm()]}),
        ("The normalization comes first, then the ReLU.", {"first": lambda: _norm_relu()[::-1]}),
        ("Average pooling, not max pooling.", {"pool": nn.MaxPool2D}),
        (
            "A convolution with stride 2 skips three quarters of the positions: use pooling instead.",
            {"pool": None, "strides": 2},
        ),
        ("The pooling is missing.", {"pool": None}),
        ("The kernel of the convolution is 1x1, not 3x3.", {"size": 3}),
    ]
] + [("Normalization and ReLU come before the convolution.", _late_transition)]


@exercise(
    "4.4",
    "A transition with compression",
    hints=(
        "The lesson's transition_block has the four layers in the right order. Only the number of "
        "channels is new: int() of a positive number rounds down.",
        "BatchNorm, relu, Conv2D(int(compression * num_channels), kernel_size=1, use_bias=False), "
        "AvgPool2D(pool_size=2, strides=2).",
    ),
)
def transition(trial, make):
    """make(num_channels, compression) -> a block: (N, num_channels, H, W) to half the size.

    Source: Huang et al. 2017, section 3, "Pooling layers" and "Compression"; Table 1.
    """
    for compression in (0.25, 0.5, 0.75, 0.4):
        C = 4 * trial.integer(2, 4) + 3  # so that rounding up, down and to the nearest differ
        blocks.same(
            trial,
            f"compression {compression:g}",
            make,
            {"num_channels": C, "compression": compression},
            trial.normal(3, C, 6, 4, mean=0.5),
            [_compression],
            TRANSITIONS,
            shapes="BN, ReLU, 1x1 convolution to floor(compression * num_channels) channels, average "
            "pooling.",
            what="Your function",
            initialized=False,
        )


# --- 4.5 and 4.6 ---


@exercise(
    "4.5",
    "The largest growth rate",
    hints=(
        "Loop over k: make densenet(growth_rate=k), initialize it, pass one image, count.",
        "You have found k if the count is below 100,000 at k and not at k + 1. Look between 5 and "
        "15.",
    ),
)
def growth_rate(trial, k):
    """k: the largest growth rate that stays below the limit. The check counts at k and at k + 1."""
    what = "the growth rate is a whole number from 1 to 1,000"
    k = trial.number(what, k)
    fits = 1 <= k <= 1000 and k == int(k)
    trial.holds(what, fits, "One whole number, for example 32.", k)

    def count(k, trained_only=True):
        return num_parameters(densenet(growth_rate=k), np.zeros((1, 1, 32, 32)), trained_only)

    k = int(k)
    fits, more_fits = count(k) < LIMIT, count(k + 1) < LIMIT
    trial.holds(
        f"growth rate {k} has {count(k):,}: {'below' if fits else 'not below'} the limit",
        fits,
        "Too many. Is it one step too far? The count must stay below the limit, not just close to it."
        if count(max(k - 1, 1)) < LIMIT
        else f"Too many: the limit is {LIMIT:,}, and the count grows with the square of the growth rate.",
        f"{count(k):,}",
        f"fewer than {LIMIT:,}",
    )
    trial.holds(
        f"growth rate {k + 1} has {count(k + 1):,}: "
        + (f"still below the limit, so {k} is not the largest" if more_fits else "not below it"),
        not more_fits,
        f"Growth rate {k + 1} fits too. Did you count more there? Running statistics (grad_req "
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
        "Channel 10 itself is part of the output. Channels 11 to 13 do not read it. Layers 3, 4 and "
        "5 all do.",
    ),
)
def who_reads_whom(trial, channels):
    """channels: the numbers, from 0, of the output channels that can change; in any order."""
    c, k, L, layer = 6, 4, 5, 2
    seen = {*trial.numbers("the channels that can change", channels)}
    disturbed, later, end = c + (layer - 1) * k, c + layer * k, c + L * k
    right = {disturbed, *range(later, end)}
    mistakes = [
        (
            "The changed channel is itself part of the block's output.",
            range(later, end),
        ),
        (
            "The channels of one layer do not read each other: 11, 12 and 13 stay the same.",
            range(disturbed, end),
        ),
        (
            "That is a chain. In a dense block, not only the next layer reads a channel.",
            [disturbed, *range(later, later + k)],
        ),
        ("Layer 3 reads it, and layers 4 and 5 too.", range(later, later + k)),
        (
            "Every later layer reads it, and changes too.",
            [disturbed],
        ),
        ("Count the channels from 0.", {number + 1 for number in right}),
        ("Layer 1 is the first layer: it appends channels 6 to 9.", [14, *range(18, end)]),
        ("The first six channels are the block's input.", {number - c for number in right}),
        ("No layer reads what comes later: the earlier channels stay the same.", range(end)),
        ("Write the numbers of the channels, not how many there are.", [len(right)]),
        ("The last channel is missing: range leaves out its end.", right - {end - 1}),
        ("The last channel is missing: range leaves out its end.", range(later, end - 1)),
        ("The output has 26 channels, numbered from 0: the last is 25.", right | {end}),
        ("Only one channel of layer 2 is changed. Which layers read it?", range(disturbed, later)),
        ("Channel 10 is changed; 11, 12 and 13 do not read it.", range(disturbed + 1, end)),
    ]
    hint = next(
        (hint for hint, wrong in mistakes if seen == set(wrong)),
        "Which channel is changed, which layers come after it, and which channels are theirs?",
    )
    trial.holds(
        "the channels that can change, and no others",
        seen == right,
        hint,
        ", ".join(f"{number:g}" for number in sorted(seen)[:30]) or "none",
        f"{len(right)} channels",
    )


# --- networks and dense blocks with mistakes ---


def _along(axis):
    return lambda F, maps: F.np.concatenate(maps, axis=axis)


_append = _along(1)
OLD_FIRST = "The old maps come first, the new ones after them."
NEW_FIRST = {"join": lambda F, maps: _append(F, maps[::-1])}


class _Maps(nn.HybridBlock):
    """A dense block of any layers, where join, read and give say how mistaken ones differ.

    Each layer gets join(read(all maps so far)); the output is join(give(all maps)).
    """

    def __init__(self, layers, join=_append, read=slice(None), give=slice(None)):
        super().__init__()
        self.layers, self.join, self.read, self.give = sequential(*layers), join, read, give

    def hybrid_forward(self, F, X):
        maps = [X]
        for layer in self.layers:
            maps.append(layer(self.join(F, maps[self.read])))
        return self.join(F, maps[self.give])


def _maps(num_convs, growth_rate, **differences):
    return _Maps([conv_block(growth_rate) for _ in range(num_convs)], **differences)


def _half(channels):
    return channels // 2


def _widths(channels, k, num_convs, out=_half, keep=None, grow=lambda n: n):
    """What transitions make: out(the count), where the count then goes on from keep(the count)."""
    widths = []
    for n in num_convs:
        channels += grow(n) * k
        widths.append(out(channels))
        channels = (keep or out)(channels)
    return widths


def _net(stem, dense_blocks, widths, classes=10, end=_norm_relu, **settings):
    """A densely connected network; widths: the channels that the transitions make."""
    net = sequential(*stem)
    for i, block in enumerate(dense_blocks):
        net.add(block)
        if i < len(widths):
            net.add(_transition(widths[i], **settings))
    net.add(*end(), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net


# --- 4.7 ---


def _bottleneck(k, width=4, middle=_norm_relu, **settings):
    """The layer of DenseNet-BC."""
    convs = conv(width * k, 1, **settings), conv(k, **settings)
    return sequential(*_norm_relu(), convs[0], *middle(), convs[1])


def _late(k):
    """Convolutions first, as a mistake."""
    return sequential(conv(4 * k, 1), *_norm_relu(), conv(k), *_norm_relu())


def _bc(
    depth,
    growth_rate,
    num_classes=10,
    count=lambda depth: (depth - 4) // 6,
    start=lambda k: 2 * k,
    stem=None,
    layer=_bottleneck,
    last=-1,
    rule=None,
    dense=None,
    end=_norm_relu,
    **s,
):
    """DenseNet-BC; the keywords make mistaken ones. s: settings of the convolutions."""
    k, n = growth_rate, count(depth)
    widths = _widths(start(k), k, (n, n, n), **(rule or {}))[:last]
    dense_blocks = [_Maps([layer(k, **s) for _ in range(n)], **(dense or {})) for _ in range(3)]
    stem = stem(k) if stem else [conv(start(k), **s)]
    return _net(stem, dense_blocks, widths, num_classes, end, **s)


def _book_stem(k):
    return [conv(2 * k, 7, strides=2), *_norm_relu(), nn.MaxPool2D(3, 2, 1)]


_WIDE = "The first convolution makes 2 * growth_rate channels."
NETWORKS = [
    (hint, partial(_bc, **differences))
    for hint, differences in [
        (
            "Each layer holds two convolutions: n = (depth - 4) / 6.",
            {"count": lambda depth: (depth - 4) // 3},
        ),
        ("Each block has (depth - 4) / 6 layers.", {"count": lambda depth: (depth - 4) // 6 + 1}),
        (
            "The 1x1 convolution makes 4 * growth_rate channels.",
            {"layer": partial(_bottleneck, width=1)},
        ),
        ("The B is missing: a 1x1 convolution before each 3x3.", {"layer": conv_block}),
        ("Normalization and ReLU come before each convolution.", {"layer": _late}),
        (
            "A ReLU comes before the 3x3 convolution too.",
            {"layer": partial(_bottleneck, middle=lambda: [nn.BatchNorm()])},
        ),
        (
            "The C is missing: transitions keep half of the channels.",
            {"rule": {"out": lambda c: c}},
        ),
        (
            "Halve your count of the channels too, or the next transition makes too many.",
            {"rule": {"keep": lambda c: c}},
        ),
        (
            "If half of the channels is not a whole number, round down.",
            {"rule": {"out": lambda c: -(-c // 2)}},
        ),
        ("The last normalization and ReLU are missing.", {"end": list}),
        ("The last ReLU is missing.", {"end": lambda: [nn.BatchNorm()]}),
        ("The last normalization is missing.", {"end": lambda: [relu()]}),
        ("No transition follows the last block.", {"last": None}),
        (_WIDE, {"stem": lambda k: [conv(k)]}),
        (_WIDE, {"stem": lambda k: [conv(16)]}),
        (_WIDE, {"start": lambda k: k}),
        (_WIDE, {"start": lambda k: 16}),
        (
            "No normalization follows the first convolution: the first layer of the block normalizes.",
            {"stem": lambda k: [conv(2 * k), *_norm_relu()]},
        ),
        ("That is the book's stem. Here the stem is one 3x3 convolution.", {"stem": _book_stem}),
        (
            "No pooling after the first convolution.",
            {"stem": lambda k: [conv(2 * k), nn.MaxPool2D(3, 2, 1)]},
        ),
        ("The convolutions have no bias.", {"use_bias": True}),
        (OLD_FIRST, {"dense": NEW_FIRST}),
        ("Each layer reads all earlier maps of its block.", {"dense": {"read": slice(-1, None)}}),
    ]
] + [
    (
        "The argument num_classes has no effect.",
        lambda depth, growth_rate, num_classes=10: _bc(depth, growth_rate),
    ),
    (
        "The argument growth_rate has no effect.",
        lambda depth, growth_rate, num_classes=10: _bc(depth, 12, num_classes),
    ),
]


def _what_raised(make, *arguments):
    """The name of what make(*arguments) raises, or what it returns instead, as text."""
    try:
        result = make(*arguments)
    except ValueError as error:
        return "ValueError" if str(error).strip() else "a ValueError without a message"
    except Exception as error:
        return type(error).__name__
    return f"no error, but {type(result).__name__}"


@exercise(
    "4.7",
    "DenseNet-BC",
    hints=(
        "Start from the lesson's densenet. Replace the stem, and give a dense block the longer layer; "
        "the transitions can stay. Then compare the channels: 2k, then + n k, // 2, + n k, // 2, "
        "+ n k.",
        "A layer: BN, ReLU, Conv2D(4 * growth_rate, 1), BN, ReLU, Conv2D(growth_rate, 3, padding=1), "
        "all convolutions with use_bias=False. Its output is appended to its input. Stem: "
        "Conv2D(2 * growth_rate, 3, padding=1, use_bias=False) and nothing else.",
    ),
)
def densenet_bc(trial, make):
    """make(depth, growth_rate, num_classes) -> a block for images (N, any number of colours, 32, 32).

    Source: Huang et al. 2017, section 3; the order inside a layer: "Bottleneck layers".
    """
    for case, depth, more in [
        ("depth 16", 16, {"num_classes": trial.integer(5, 9)}),
        ("depth 10", 10, {}),  # n is odd, and so are the numbers of channels to halve
        ("another depth", 12 * trial.integer(1, 2) + 10, {"num_classes": trial.integer(11, 15)}),
    ]:
        k, colours = 2 * trial.integer(1, 2) + 1, trial.integer(1, 3)
        raised = trial.call(_what_raised, make, depth, k)
        if "ValueError" in raised:
            raise Wrong(
                "depths that fit are not refused",
                f"Depth {depth} fits, n is {(depth - 4) // 6}. Does your condition refuse it?",
                f"depth {depth}: {raised}",
            )
        blocks.same(
            trial,
            case,
            make,
            {"depth": depth, "growth_rate": k, **more},
            trial.normal(2, colours, 32, 32),
            [_bc],
            NETWORKS,
            shapes="Count by hand, part by part: the stem, each block, each transition, the end.",
            order="The weights are right: look at the order, the ReLUs, the padding, the pooling.",
            what="Your function",
            initialized=False,
        )
    raised = {
        d: trial.call(_what_raised, make, d, 4, 10) for d in (*range(11, 16), 17, 20, 21, 39, 101)
    }
    depth = next((d for d in raised if raised[d] != "ValueError"), 21)
    trial.holds(
        "depths that do not fit are refused",
        raised[depth] == "ValueError",
        f"({depth} - 4) / 6 is not a whole number: raise ValueError, with a message that says which "
        "depths fit.",
        f"depth {depth}: {raised[depth]}",
        "ValueError",
    )


# --- 4.8 ---


def _thin(num_channels=16, growth_rate=12, num_convs=(3, 3, 3), last=-1, end=_norm_relu, **rule):
    """What the specimen 4.8a builds, repaired; the keywords make mistaken ones."""
    dense_blocks = [DenseBlock(n, growth_rate) for n in num_convs]
    widths = _widths(num_channels, growth_rate, num_convs, **rule)[:last]
    return _net([conv(num_channels)], dense_blocks, widths, end=end)


THIN = [
    (hint, partial(_thin, **differences))
    for hint, differences in [
        ("The symptom is still there: num_channels is not halved.", {"keep": lambda c: c}),
        (
            "Halved twice: now the transitions keep a quarter.",
            {"out": lambda c: c // 4, "keep": _half},
        ),
        ("Halved twice: now the transitions keep a quarter.", {"out": lambda c: c // 4}),
        ("The transitions no longer halve.", {"out": lambda c: c}),
        (
            "If half of the channels is not a whole number, round down.",
            {"out": lambda c: -(-c // 2)},
        ),
        ("No transition follows the last block.", {"last": None}),
        ("No transition follows the last block.", {"last": None, "keep": lambda c: c}),
        ("A block appends: num_channels must grow before it is halved.", {"grow": lambda n: 0}),
        ("Each of a block's layers appends growth_rate channels.", {"grow": lambda n: 1}),
    ]
]


@exercise(
    "4.8a",
    "Zoo: more channels than the ledger",
    hints=(
        "Follow num_channels by hand: what is it before the second transition? And how many channels "
        "really arrive there?",
        "After a transition, num_channels must be the number that the transition made: "
        "num_channels //= 2 first, then transition_block(num_channels).",
    ),
    options={
        "a": (False, "The blocks append 36 channels each, three times 12, and that is right."),
        "b": (
            True,
            "num_channels is not halved together with the maps, so the next transition halves a "
            "number that is no longer right.",
        ),
        "c": (False, "Pooling changes height and width; it leaves the channels as they are."),
        "d": (
            False,
            "After the last block the channels go to the dense layer. Look before that: where does "
            "the ledger first go wrong?",
        ),
    },
)
def too_wide(trial, hypothesis_a, thin_net):
    """hypothesis_a: a letter; thin_net(num_channels, growth_rate, num_convs): the repaired builder."""
    for case, number in (
        ("three blocks", 3),
        ("two blocks", 2),
        ("four blocks", 4),
        ("default", 0),
    ):
        # two odd numbers to halve: 3 modulo 4 channels, to which 0 modulo 4 are appended
        arguments = {
            "num_channels": 4 * trial.integer(3, 4) + 3,  # so many that no two mistakes agree
            "growth_rate": 4 * trial.integer(2, 3),
            "num_convs": tuple(trial.integer(2, 3) for _ in range(number)),
        }
        arguments = arguments if number else {}
        blocks.same(
            trial,
            case,
            thin_net,
            arguments,
            trial.normal(3, 1, 16, 16),
            [_thin],
            THIN,
            shapes="Part by part: the stem makes num_channels, each of a block's layers appends "
            "growth_rate, a transition makes half of what reaches it.",
            what="Your function",
        )


DENSE_BLOCKS = [
    (hint, partial(_maps, **differences))
    for hint, differences in [
        ("The input of the block is missing in its output.", {"give": slice(1, None)}),
        ("Only the maps of the last layer come out.", {"give": slice(-1, None)}),
        ("Each layer should read all maps so far, not only the last.", {"read": slice(-1, None)}),
        (
            "A layer reads the last two now. It should read all maps so far.",
            {"read": slice(-2, None)},
        ),
        ("Every layer reads the block's input only.", {"read": slice(0, 1)}),
        (OLD_FIRST, NEW_FIRST),
    ]
]
JOINTS = [
    (hint, partial(_maps, join=join))  # possible where growth_rate is the number of channels
    for hint, join in [
        ("The symptom is still there: the maps are joined along axis 0.", _along(0)),
        ("Now the images grow taller: axis 2 is the height.", _along(2)),
        ("Now the images grow wider: the last axis is the width.", _along(3)),
        ("That is an addition, as in ResNet. DenseNet appends.", lambda F, maps: sum(maps)),
    ]
]


@exercise(
    "4.8b",
    "Zoo: more images than went in",
    hints=(
        "A batch is (N, C, H, W). Which of the four numbers should a dense block change?",
        "Unless told otherwise, np.concatenate joins along axis 0.",
    ),
    options={
        "a": (
            False,
            "The growth rate may be any number. The two are equal here. That is why nothing crashes; "
            "it is not the bug.",
        ),
        "b": (False, "Height and width stay the same: the padding is right."),
        "c": (False, "Pooling belongs to the transition. A dense block keeps the size."),
        "d": (
            True,
            "The new maps become additional images in the batch, axis 0, instead of additional "
            "channels, axis 1.",
        ),
    },
)
def batch_doubles(trial, hypothesis_b, MapsAppended):
    """hypothesis_b: a letter; MapsAppended(num_convs, growth_rate): the repaired class, a dense block."""
    k = trial.integer(3, 6)
    for case, C, mistakes in (
        ("as large as", k, JOINTS + DENSE_BLOCKS),
        ("unlike", k + 2, DENSE_BLOCKS),
    ):
        blocks.same(
            trial,
            f"growth rate {case} the number of channels",
            MapsAppended,
            {"num_convs": trial.integer(3, 4), "growth_rate": k},
            trial.normal(3, C, 5, 4),
            [_maps],
            mistakes,
            shapes="Batch, height and width stay the same; the channels grow by growth_rate in each layer.",
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
            "Layers two and three read 12 channels, but should read 28 and 40: this is a chain that "
            "returns everything at the end.",
        ),
        "b": (False, "Every layer appends 12 channels, as it should: 16 + 3 times 12 is 52."),
        "c": (
            False,
            "16 + 36 = 52 channels come out: the input is there. But what does each layer get?",
        ),
        "d": (
            False,
            "Biases would be 36 numbers. Thousands are missing. Besides, a bias before a "
            "normalization has no effect.",
        ),
    },
)
def only_the_last(trial, hypothesis_c, MapsCollected):
    """hypothesis_c: a letter; MapsCollected(num_convs, growth_rate): the repaired class, a dense block."""
    reads = (
        "For each layer: which maps does it read, in which order? Old ones first, new ones after."
    )
    blocks.same(
        trial,
        "the repaired block",
        MapsCollected,
        {"num_convs": trial.integer(3, 4), "growth_rate": trial.integer(3, 5)},
        trial.normal(3, trial.integer(6, 9), 5, 5),
        [_maps],
        DENSE_BLOCKS,
        shapes=reads,
        order=reads,
    )


def _short(growth_rate, num_convs, end=(nn.BatchNorm, relu), **differences):
    """What the specimen 4.8d builds, repaired; end: what stands before the pooling."""
    num_channels = 2 * growth_rate
    layers = [layer() for layer in end]
    return _thin(num_channels, growth_rate, num_convs, end=lambda: layers, **differences)


SHORT = [
    (hint, partial(_short, **differences))
    for hint, differences in [
        ("The symptom is still there: nothing normalizes the maps of the last block.", {"end": ()}),
        ("That is half of it: a ReLU follows the normalization.", {"end": (nn.BatchNorm,)}),
        ("A ReLU alone passes every factor on: normalize first.", {"end": (relu,)}),
        ("Normalize before the ReLU.", {"end": (relu, nn.BatchNorm)}),
        (
            "Both come before the pooling, not after it.",
            {"end": (nn.GlobalAvgPool2D, nn.BatchNorm, relu)},
        ),
        (
            "Too much: a transition also halves the channels, the height and the width.",
            {"end": (), "last": None},
        ),
        ("Too much: no transition follows the last block.", {"last": None}),
    ]
]


@exercise(
    "4.8d",
    "Zoo: scores ten times as large",
    hints=(
        "What reads the maps of the last block? And what does every other part do before it reads maps?",
        "Put between the last dense block and the pooling what every layer begins with: "
        'nn.BatchNorm(), nn.Activation("relu").',
    ),
    options={
        "a": (
            False,
            "We multiplied them by ten. A network that normalizes all maps before it reads them does not notice.",
        ),
        "b": (
            False,
            "The bias is zero before training, so it adds nothing. And only convolutions are multiplied.",
        ),
        "c": (
            True,
            "Everything else normalizes maps before it reads them; the pooling takes the maps of "
            "the last block as they are.",
        ),
        "d": (False, "If all values are ten times as large, so is their maximum."),
    },
)
def unfinished(trial, hypothesis_d, short_net):
    """hypothesis_d: a letter; short_net(growth_rate, num_convs): the repaired builder."""
    for case, number in (("two blocks", 2), ("three blocks", 3)):
        blocks.same(
            trial,
            case,
            short_net,
            {
                "growth_rate": trial.integer(3, 5),
                "num_convs": tuple(trial.integer(1, 3) for _ in range(number)),
            },
            trial.normal(4, 1, 12, 12),
            [_short],
            SHORT,
            shapes="What comes between the last dense block and the pooling? Everything else was right.",
            what="Your function",
        )
