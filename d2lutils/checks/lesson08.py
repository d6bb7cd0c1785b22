"""The checks of exercises 08, the families."""

from functools import partial

import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import Block, nn

from ..families import branch, cifar_resnet, make_block, make_shortcut, make_stem
from ..nets import sequential
from . import blocks, running
from .blocks import REASSIGNED, conv, num_parameters, relu
from .engine import Wrong, by_position, exercise
from .reference import float64


def _norm():
    return [nn.BatchNorm()]


def _norm_relu():
    return [nn.BatchNorm(), relu()]


def _numbers(trial, what, result, number, hint):
    """What a function returned, as an array of so many numbers."""
    found = trial.numbers(what, result)
    if len(found) != number:
        expected = f"{number} numbers, as a list or an array of shape ({number},)"
        raise Wrong(what, hint, f"{len(found)} number(s)", expected)
    return found


def _here(sizes, seen, right, near):
    """The call whose numbers are furthest from the right ones, or nothing when all are near."""
    apart = numpy.abs(numpy.subtract(seen, right)).max(axis=1)
    worst = int(apart.argmax())
    return ", here function({}, {}, {})".format(*sizes[worst]) if apart[worst] > near else ""


# --- 8.1 ---


@exercise(
    "8.1",
    "Two counts by hand",
    hints=(
        "First count: four convolutions, 256 to 128, 128 to 128, 128 to 512, and the projection from "
        "256 to 512; after each of them a normalization. Second count: with c channels, 9 c k "
        "weights are compared with 4 k c + 9 * 4 k * k.",
        "The three convolutions of the branch have 245,760 weights, the projection has "
        "256 * 512. The normalizations have 2 * (128 + 128 + 512 + 512). In the second count "
        "5 c must be more than 36 k.",
    ),
)
def counted_by_hand(trial, parameters, channels):
    """parameters: of make_block(256, 512, strides=2, bottleneck=True), trained; channels: the fewest at
    which a bottleneck layer with growth rate 12 has fewer weights than a 3x3 convolution."""
    what = "the parameters of the bottleneck block"
    found = trial.number(what, parameters)
    c, inside, out = 256, 128, 512
    right = num_parameters(make_block(c, out, strides=2, bottleneck=True), np.zeros((1, c, 4, 4)))
    projection, norms = c * out, 2 * (inside + inside + out + out)
    narrow, wide = (
        c * w + 9 * w * w + w * out + c * out + 2 * (2 * w + 2 * out) for w in (c // 4, out)
    )
    mistakes = [
        (
            "The shape changes, so the shortcut has a projection, with a normalization.",
            right - projection - 2 * out,
        ),
        (
            "131,072 weights are missing: the 1x1 convolution in the shortcut, or eight of the nine "
            "weights in each kernel of the 3x3.",
            right - projection,
        ),
        (
            "Two normalizations have 512 channels: one at the end of the branch, one after the "
            "projection.",
            right - 2 * out,
        ),
        ("The normalizations are missing: each has a gamma and a beta.", right - norms),
        ("A normalization trains two numbers for each channel.", right - norms // 2),
        ("Running statistics are not trained.", right + norms),
        ("No convolution has a bias here.", right + norms // 2),
        ("The channels inside are a quarter of 512, the channels that come out.", narrow),
        ("Inside the branch there are a quarter of the channels.", wide),
        ("The first convolution reads the 256 channels that come in.", right + c * inside),
        (
            "The projection is a 1x1 convolution: one weight for each pair of channels.",
            right + 8 * projection,
        ),
        ("The projection reads the block's input, 256 channels.", right + out * out - projection),
        (
            "65,536 weights are missing. Does the projection make all 512 channels that come out? Or "
            "is the last 1x1 of the branch left out?",
            right + c * c - projection,
        ),
        (
            "The projection makes all 512 channels that come out, and so a normalization of 512 "
            "follows it.",
            right + c * c - projection - 2 * (out - c),
        ),
        ("A stride changes how often a weight is used, not how many there are.", right / 4),
    ]
    hint = (
        f"The number is {'larger' if found < right else 'smaller'} than yours. Write down the "
        "channels on both ways: 256, 128, 128, 512 in the branch, and 256, 512 in the shortcut."
    )
    trial.equal(what, found, right, hint, mistakes, tolerance=1e-8, secret=True)

    what, k = "the number of channels from which a bottleneck layer pays off", 12
    found = trial.number(what, channels)
    right = 36 * k // 5 + 1
    mistakes = [
        (
            "With 86 channels the 3x3 alone still has fewer weights: 9,288 against 9,312.",
            right - 1,
        ),
        ("That is where both are equal. Which whole number comes next?", 7.2 * k),
        ("That is for a growth rate of 32, as in the lesson.", 230),
        ("That is for a growth rate of 32, as in the lesson.", 231),
        ("That is for a growth rate of 32, as in the lesson.", 230.4),
        ("The channels are that many times the growth rate: multiply by 12.", 7.2),
        ("The 1x1 convolution makes 4 k channels, not k.", 9 * k // 8 + 1),
        (
            "Each of the 4 k channels inside has nine weights in the 3x3 convolution.",
            4 * k // 5 + 1,
        ),
        ("The 3x3 convolution inside reads 4 k channels, not k.", 9 * k // 5 + 1),
    ]
    hint = (
        f"The number is {'larger' if found < right else 'smaller'} than yours. Write both counts "
        "with the letters c and k, and divide by k."
    )
    trial.equal(what, found, right, hint, mistakes, tolerance=1e-8, secret=True)


# --- 8.2 ---


def _projections(depth, width, version, norm=2, area=1, stage_1=0, only_c=0, period=6, first=1):
    """The parameters that the shortcuts A, B and C add; the keywords make mistakes."""
    n = (depth - 2) // period

    def projection(a, b):
        return area * a * b + (norm * b if version == 1 else 0)

    w = [width, 2 * width, 4 * width]
    B = projection(w[0], w[1]) + projection(w[1], w[2])
    same = [(n - stage_1) * projection(w[0], w[0])]
    same += [(n - first) * projection(b, b) for b in w[1:]]
    return [0, B, sum(same) + (0 if only_c else B)]


def _always(version):
    return lambda depth, width, _: _projections(depth, width, version)


def _three_in_b(depth, width, version):
    _, B, C = _projections(depth, width, version)
    return [0, B + width**2 + (2 * width if version == 1 else 0), C]


@exercise(
    "8.2",
    "What the shortcuts add",
    hints=(
        "Draw depth 14, with two blocks in each stage, and write at each block how many channels it "
        "reads and makes. Where does B have a projection, and where does C? What does a projection "
        "from a to b channels cost in version 2, and what comes with it in version 1?",
        "With n = (depth - 2) // 6 and p(a, b) = a * b + (2 * b if version == 1 else 0): "
        "B = p(w, 2 w) + p(2 w, 4 w), and C = B + n p(w, w) + (n - 1) (p(2 w, 2 w) + p(4 w, 4 w)).",
    ),
)
def shortcuts_counted(trial, function):
    """function(depth, width, version) -> three numbers: the parameters that A, B and C add to
    cifar_resnet. The check builds the networks and counts."""
    what, sizes, seen, right = "the parameters that A, B and C add", [], [], []
    depths = trial.rng.permutation([14, 20, 26]).tolist()  # three: the depth must count
    for depth, version in zip(depths, (1, 2, 1)):
        width = trial.integer(3, 8)
        size = depth, width, version
        sizes.append(size)
        hint = "It should end with: return a, b, c, one number for each shortcut."
        found = _numbers(trial, what, trial.call(function, *size), 3, hint)
        seen.append(found)
        counts = [
            num_parameters(
                cifar_resnet(depth, version=version, width=width, shortcut=option),
                np.zeros((1, 1, 8, 8)),
            )
            for option in "ABC"
        ]
        right.append([n - counts[0] for n in counts])
        if found[0] > 0 and numpy.allclose(found - found[0], right[-1], atol=0.1):
            hint = "These are the parameters of the whole networks. How many more than A are there?"
            raise Wrong(what, hint, f"{found[0]:,.0f} for A", "0 for A")
        hint = "A has no projection, so it adds nothing. The numbers come in the order A, B, C."
        if abs(found[0]) > 0.1:
            raise Wrong(what, hint, f"{found[0]:,.0f} for A", "0 for A")
    mistakes = [
        (
            "In version 2 a projection is a convolution alone: no normalization follows it.",
            _always(1),
        ),
        (
            "In version 1 each projection has a normalization, with 2 b parameters.",
            partial(_projections, norm=0),
        ),
        (
            "A normalization trains two numbers for each channel: gamma and beta.",
            partial(_projections, norm=1),
        ),
        ("Running statistics are not trained.", partial(_projections, norm=4)),
        ("The versions are swapped.", lambda d, w, v: _projections(d, w, 3 - v)),
        ("A projection is a 1x1 convolution.", partial(_projections, area=9)),
        (
            "In C all n blocks of the first stage have a projection, its first block too.",
            partial(_projections, stage_1=1),
        ),
        (
            "C has the two projections of B as well: they are not among the n - 1 others.",
            partial(_projections, only_c=1),
        ),
        (
            "The first block of stages 2 and 3 has one projection, not two: n - 1 others are left.",
            partial(_projections, first=0),
        ),
        (
            "In C the first block of stages 2 and 3 reads half as many channels as the others.",
            partial(_projections, only_c=1, first=0),
        ),
        ("Each of the three stages has (depth - 2) / 6 blocks.", partial(_projections, period=3)),
        ("Each of the three stages has (depth - 2) / 6 blocks.", partial(_projections, period=2)),
        ("The argument width has no effect.", lambda d, w, v: _projections(d, 16, v)),
        ("The first stage keeps the stem's channels: no projection there in B.", _three_in_b),
    ]
    what += _here(sizes, seen, right, 0.5)
    trial.equal(
        what,
        seen,
        right,
        "How many projections are there, from how many channels to how many? Draw depth 14.",
        [(hint, [its(*size) for size in sizes]) for hint, its in mistakes],
        tolerance=1e-6,
        names="ABC",
    )


# --- 8.3 ---


def _half(num_channels):
    return num_channels // 2


def _grouped(
    num_channels,
    strides=1,
    groups=32,
    inside=_half,
    place=1,
    grouped=(1,),
    joints=(_norm_relu, _norm_relu),
    end=list,
    **settings,
):
    """The branch of ResNeXt; the keywords make mistaken ones."""
    widths, layers = (inside(num_channels), inside(num_channels), num_channels), []
    for i, (width, size, joint) in enumerate(zip(widths, (1, 3, 1), (*joints, end))):
        its = {"groups": groups} if i in grouped else {}
        layers += [conv(width, size, strides if i == place else 1, **its, **settings), *joint()]
    return sequential(*layers)


BRANCHES = [
    (hint, partial(_grouped, **differences))
    for hint, differences in [
        ("The 3x3 convolution has no groups.", {"grouped": ()}),
        ("Only the 3x3 convolution has groups.", {"grouped": (0, 1)}),
        ("Only the 3x3 convolution has groups.", {"grouped": (1, 2)}),
        ("Only the 3x3 convolution has groups.", {"grouped": (0, 1, 2)}),
        ("It is the 3x3 convolution that has groups.", {"grouped": (0,)}),
        ("It is the 3x3 convolution that has groups.", {"grouped": (2,)}),
        (
            "Here half of the channels are inside. A quarter is for the bottleneck of ResNet.",
            {"inside": lambda c: c // 4},
        ),
        ("Half of the channels are inside, not all of them.", {"inside": lambda c: c}),
        ("The stride belongs to the 3x3 convolution, not to the first 1x1.", {"place": 0}),
        ("The stride belongs to the 3x3 convolution, not to the last 1x1.", {"place": 2}),
        ("The argument strides has no effect.", {"place": None}),
        ("The convolutions have no bias.", {"use_bias": True}),
        (
            "The 3x3 convolution keeps height and width, apart from its stride: padding=1.",
            {"padding": 0},
        ),
        ("Only the 3x3 convolution has padding.", {"padding": 1}),
        (
            "A branch ends with its last convolution: the block adds the normalization after it.",
            {"end": _norm},
        ),
        (
            "A branch ends with its last convolution: the block adds what comes after it.",
            {"end": _norm_relu},
        ),
        ("Normalization and ReLU come between two convolutions.", {"joints": (list, list)}),
        (
            "The ReLUs are missing: normalization and ReLU come between two convolutions.",
            {"joints": (_norm, _norm)},
        ),
        (
            "The normalizations are missing: normalization and ReLU come between two convolutions.",
            {"joints": (lambda: [relu()],) * 2},
        ),
        ("Normalization first, then ReLU.", {"joints": (lambda: [relu(), nn.BatchNorm()],) * 2}),
        ("A ReLU also follows the first normalization.", {"joints": (_norm, _norm_relu)}),
        ("A ReLU also follows the second normalization.", {"joints": (_norm_relu, _norm)}),
    ]
] + [
    (
        "The argument groups has no effect.",
        lambda num_channels, strides=1, groups=32: _grouped(num_channels, strides, 1),
    ),
    (
        "The argument groups has no effect: the 3x3 always has 32.",
        lambda num_channels, strides=1, groups=32: _grouped(num_channels, strides, 32),
    ),
]


@exercise(
    "8.3",
    "ResNeXt",
    hints=(
        "Start from `branch` in section 1 of the lesson, with bottleneck=True and the stride in the "
        "3x3. Two things change: num_channels // 2 inside, and groups in the 3x3.",
        "sequential(convolution(num_channels // 2, 1), normalized(nn.Conv2D(num_channels // 2, 3, "
        "strides, padding=1, groups=groups, use_bias=False)), normalized(convolution(num_channels, "
        "1))).",
    ),
)
def resnext_branch(trial, make):
    """make(num_channels, strides=1, groups=32) -> a branch: 1x1, grouped 3x3, 1x1.

    Source: Xie et al. 2017, table 1 and figure 3 (c).
    """
    few, many = (4, 8) if trial.integer(0, 1) else (8, 4)  # with 32, too, mistakes can be built
    for case, arguments, X in [
        ("groups", (64 * trial.integer(1, 2), 1, few), trial.normal(3, 24, 4, 5)),
        ("stride 2", (64, 2, many), trial.normal(3, 16, 5, 6)),
        ("32 groups by default", (128,), trial.normal(3, 32, 4, 3)),
    ]:
        blocks.same(
            trial,
            case,
            make,
            dict(zip(("num_channels", "strides", "groups"), arguments)),
            X,
            [_grouped],
            BRANCHES,
            shapes="1x1 to half of the channels, 3x3 in groups to the same number, 1x1 to "
            "num_channels.",
            hints={
                "divide group size": "Both numbers of channels of a grouped convolution must be "
                "multiples of the number of groups. Which numbers meet here?"
            },
            what="Your function",
            initialized=False,
        )


# --- 8.4 ---


class _Excited(nn.Block):
    """A block of version 1 with squeeze and excitation, and a switch for one fault."""

    def __init__(self, branch, num_channels, shortcut=None, reduction=16, fault=None):
        super().__init__()
        self.fault, self.branch, self.bn, self.shortcut = fault, branch, nn.BatchNorm(), shortcut
        inside = num_channels // (16 if fault == "always 16" else reduction)
        if fault == "reduction units":
            inside = reduction
        bias = fault != "no biases"
        self.narrow = nn.Dense(inside, use_bias=bias)
        self.wide = nn.Dense(num_channels, use_bias=bias)

    def scaled(self, X, by=None):
        S = X if by is None else by
        if self.fault == "whole batch":
            S = S.mean(axis=0, keepdims=True)
        S = S.max(axis=(2, 3)) if self.fault == "maximum" else S.mean(axis=(2, 3))
        S = self.narrow(S)
        S = self.wide(S if self.fault == "no ReLU inside" else npx.relu(S))
        last = {"no sigmoid": lambda S: S, "softmax": npx.softmax, "ReLU twice": npx.relu}
        S = last.get(self.fault, npx.sigmoid)(S).reshape(*S.shape, 1, 1)
        if self.fault == "added":
            return X + S
        return S + 0 * X if self.fault == "scales alone" else X * S

    def forward(self, X):
        shortcut, Y, fault = self.shortcut(X) if self.shortcut else X, self.branch(X), self.fault
        if fault == "before the normalization":
            return npx.relu(self.bn(self.scaled(Y)) + shortcut)
        before, Y = Y, self.bn(Y)
        if fault == "squeezes before":
            return npx.relu(self.scaled(Y, by=before) + shortcut)
        if fault == "after the addition":
            return npx.relu(self.scaled(Y + shortcut))
        if fault == "scales the sum":  # before or after ReLU: the scales are positive
            return npx.relu(self.scaled(Y + shortcut, by=Y))
        if fault == "after the ReLU":
            return self.scaled(npx.relu(Y + shortcut))
        if fault == "shortcut":
            return npx.relu(Y + self.scaled(shortcut))
        if fault == "squeezes the shortcut":
            return npx.relu(self.scaled(Y, by=shortcut) + shortcut)
        if fault == "ReLU before":
            return npx.relu(self.scaled(npx.relu(Y)) + shortcut)
        Y = self.scaled(Y)
        if fault == "no addition":
            return npx.relu(Y)
        return Y + shortcut if fault == "no ReLU" else npx.relu(Y + shortcut)


EXCITED = {
    "before the normalization": "First the normalization at the end of the branch, then the "
    "scaling: a normalization would undo part of it.",
    "after the addition": "Scale the branch alone, before the shortcut is added.",
    "scales the sum": "Scale the branch alone, before the shortcut is added.",
    "after the ReLU": "Scale the branch alone, before the shortcut is added.",
    "squeezes before": "The squeeze comes after the normalization: take the means of its output.",
    "whole batch": "Each image has its own scales: the mean is over height and width alone, axes 2 and 3.",
    "shortcut": "Scale the branch, not the shortcut.",
    "squeezes the shortcut": "The scales come from the means of the branch, after its normalization.",
    "maximum": "Squeeze by the mean of each channel, not by its maximum.",
    "no ReLU inside": "A ReLU stands between the two dense layers.",
    "no sigmoid": "A sigmoid follows the second dense layer.",
    "softmax": "A sigmoid, not a softmax: each scale is a number of its own between 0 and 1.",
    "ReLU twice": "A sigmoid follows the second dense layer, not a ReLU.",
    "added": "The scales multiply the channels; they are not added.",
    "scales alone": "The scales multiply the channels of the branch; they do not replace them.",
    "always 16": "The argument reduction has no effect.",
    "reduction units": "The first dense layer has num_channels // reduction units, not reduction.",
    "no biases": "Leave the two dense layers their biases.",
    "ReLU before": "The ReLU comes after the addition, not before it.",
    "no addition": "The shortcut is missing: add it after the scaling.",
    "no ReLU": "The ReLU after the addition is missing.",
}


TWO_DENSE = (
    "The first goes to num_channels // reduction units, the second back to num_channels; both have "
    "biases."
)


def _around(block_class):
    """A function that makes the block around a bottleneck; with stride 2 there is a projection."""

    def make(num_channels, strides, *reduction):
        shortcut = make_shortcut("B", num_channels, num_channels, strides, version=1)
        its = branch(num_channels, strides, bottleneck=True)
        return by_position(block_class)(its, num_channels, shortcut, *reduction)

    return make


@exercise(
    "8.4",
    "Squeeze and excitation",
    hints=(
        "Start from BlockV1. After Y = self.bn(self.branch(X)) comes S: the mean of Y over axes 2 "
        "and 3, the first dense layer, ReLU, the second dense layer, sigmoid. Then Y * S, with S in the "
        "shape (N, C, 1, 1).",
        "In __init__: nn.Dense(num_channels // reduction, activation='relu') and "
        "nn.Dense(num_channels, activation='sigmoid'). In hybrid_forward: S = "
        "self.wide(self.narrow(Y.mean(axis=(2, 3)))), then Y = Y * S.reshape(-1, "
        "self.num_channels, 1, 1), then the addition and the ReLU as in BlockV1.",
    ),
)
def squeeze_excitation(trial, block_class):
    """block_class(branch, num_channels, shortcut=None, reduction=16): a block of version 1.

    Source: Hu et al. 2018, section 3 and figure 3.
    """
    if not callable(block_class) or isinstance(block_class, Block):
        trial.build(block_class)
    c, r = 4 * trial.integer(25, 30), 2 * trial.integer(1, 2) + 1  # 20 units: not all are dead
    for case, arguments in [
        ("identity", (c, 1, r)),
        ("projection, stride 2", (c, 2, r)),
        ("reduction 16 by default", (320, 1)),
    ]:
        try:
            blocks.same(
                trial,
                case,
                _around(block_class),
                dict(zip(("num_channels", "strides", "reduction"), arguments)),
                trial.normal(4, arguments[0], 4, 3),
                [_around(_Excited)],
                [
                    (hint, _around(partial(_Excited, fault=fault)))
                    for fault, hint in EXCITED.items()
                ],
                shapes="Besides the branch and the shortcut that it gets, the block has one "
                f"normalization and two dense layers. {TWO_DENSE}",
                order="The layers are there. Is the order right? The branch, its normalization, the "
                "means over axes 2 and 3, both dense layers, the product, the sum with the shortcut, "
                "and ReLU at the end.",
                hints={
                    "'NoneType' object is not callable": "The shortcut may be None, which stands for "
                    "the identity: then add X itself, as BlockV1 does.",
                    "broadcast": "Look at the two shapes in the message. Scales of shape (N, C) "
                    "must become (N, C, 1, 1) before they multiply. If a height differs, the "
                    "shortcut was not applied to X.",
                    "expand_dims": "In MXNet expand_dims adds one axis at a time. "
                    "S.reshape(-1, self.num_channels, 1, 1) adds both.",
                    "Changing attribute type": REASSIGNED,
                },
            )
        except Wrong as wrong:
            if wrong.hint == blocks.DENSE:
                wrong.hint = f"Look at the dense layers: there are two. {TWO_DENSE}"
                if "with 1 inputs" in str(wrong.seen):  # the means of another axis, too
                    wrong.hint = EXCITED["whole batch"]
            raise


# --- 8.5 ---


def _on_the_way(
    depth,
    growth_rate,
    compression,
    stem=None,
    period=6,
    grows=1,
    keep=lambda c, theta: int(c * theta),
    n=None,
):
    """Stem, block, transition, block, transition, block; the keywords make mistakes."""
    n = n or (depth - 4) // period
    c = stem(growth_rate) if stem else 2 * growth_rate if compression < 1 else 16
    found = [c]
    for i in range(3):
        if i:
            c = keep(c, compression)
            found.append(c)
        c += n * grows * growth_rate
        found.append(c)
    return found


@exercise(
    "8.5",
    "Channels on the way",
    hints=(
        "Start with 2 k (16 if the compression is 1). Three times: add n k with n = (depth - 4) // 6. "
        "Between them: int(channels * compression). For the limit: if a block begins with c "
        "channels and the next one too, then c = (c + n k) / 4.",
        "Keep a list and a number. Stem: append. Then for each of three blocks add n k and append, "
        "and after the first two also multiply, round down, append. The limit: 4 c = c + 192.",
    ),
)
def channels_on_the_way(trial, function, limit):
    """function(depth, growth_rate, compression) -> six numbers, of densenet_bc; limit: a number."""
    parts, sizes, seen = "the channels after each of the six parts", [], []
    for compression in (0.5, 0.25, 0.75, 1):
        n = 5 if compression == 0.25 else trial.integer(2, 5)
        k = 4 * trial.integer(2, 4) + 1  # 7 k / 4 ends in .75: up, down and nearest differ
        sizes.append((6 * n + 4, k, compression))
        hint = (
            "Six numbers: stem, block, transition, block, transition, block. No transition follows "
            "the last block."
        )
        seen.append(_numbers(trial, parts, trial.call(function, *sizes[-1]), 6, hint))
    mistakes = [
        (hint, partial(_on_the_way, **differences))
        for hint, differences in [
            ("With a compression of 1 the stem makes 16 channels.", {"stem": lambda k: 2 * k}),
            (
                "With a compression below 1 the stem makes twice the growth rate.",
                {"stem": lambda k: 16},
            ),
            (
                "The stem makes 2 k channels, not k, if the compression is below 1.",
                {"stem": lambda k: k},
            ),
            (
                "A layer has two convolutions here: n is (depth - 4) / 6.",
                {"period": 3},
            ),
            ("Each of the n layers adds k channels: the 4 k are only inside.", {"grows": 4}),
            ("A transition rounds down to a whole number.", {"keep": lambda c, theta: c * theta}),
            (
                "A transition rounds down: int(channels * compression).",
                {"keep": lambda c, theta: -int(-c * theta // 1)},
            ),
            (
                "A transition rounds down: int(channels * compression).",
                {"keep": lambda c, theta: round(c * theta)},
            ),
            ("The argument compression has no effect.", {"keep": lambda c, theta: c // 2}),
            ("A transition keeps the share `compression`.", {"keep": lambda c, theta: c}),
            (
                "The compression is the share that is kept, not the one that is dropped.",
                {"keep": lambda c, theta: c - int(c * theta)},
            ),
            ("A block has n layers, not one.", {"n": 1}),
        ]
    ]
    right = [_on_the_way(*size) for size in sizes]
    what = parts
    what += _here(sizes, seen, right, 0.1)
    trial.equal(
        what,
        seen,
        right,
        "A block adds n k channels, a transition keeps a share of what it gets, rounded down.",
        [(hint, [its(*size) for size in sizes]) for hint, its in mistakes],
        tolerance=1e-6,
        names=("the stem", "block 1", "transition 1", "block 2", "transition 2", "block 3"),
    )

    what = "the channels with which a block begins, after many blocks"
    found = trial.number(what, limit)
    mistakes = [
        ("That is for a compression of 1/2.", 192),
        ("That is at the end of a block. What does the next one begin with?", 256),
        ("A block appends: its input passes through the transition, too.", 48),
        ("That is the stem, before any transition.", 24),
        ("One layer adds 12 channels, and a block has 16 of them.", 4),
    ]
    hint = "Once the number no longer changes from block to block, c = (c + n k) / 4."
    trial.equal(what, found, 64, hint, mistakes, secret=True, tolerance=1e-3)


# --- 8.6 ---


def _row():
    return sequential(
        nn.Conv2D(5, 3, padding=1),
        nn.BatchNorm(),
        relu(),
        nn.Conv2D(6, 1),
        nn.BatchNorm(epsilon=0.01),
        nn.GlobalAvgPool2D(),
        nn.Dense(4),
    )


def _row_with_others():
    """A ReLU and a pooling between, a bias that is not there, a normalization in front."""
    net = nn.Sequential()
    net.add(
        nn.BatchNorm(),
        nn.Conv2D(7, 3, padding=1, use_bias=False),
        nn.BatchNorm(),
        nn.Conv2D(5, 1),
        relu(),
        nn.BatchNorm(),
        nn.Conv2D(6, 3, padding=1),
        nn.BatchNorm(),
        relu(),
        nn.Dense(9),
    )
    return net


def _row_with_activations():
    """A bias inside an activation cannot move; those of the other layers can."""
    return sequential(
        nn.Conv2D(5, 3, padding=1, activation="relu"),
        nn.BatchNorm(),
        nn.Conv2D(6, 1),
        nn.BatchNorm(),
        nn.Dense(9, activation="sigmoid"),
        nn.BatchNorm(),
        nn.Dense(7),
    )


def _row_of_dense():
    return sequential(nn.Dense(8), nn.BatchNorm(), relu(), nn.Dense(3), nn.BatchNorm())


def _pairs(net, activated=False):
    """Each layer that has a bias, with the normalization directly behind that bias or None.

    activated: overlook the activation that a layer may have of its own.
    """
    layers = list(net)
    for layer, after in zip(layers, [*layers[1:], None]):
        if getattr(layer, "bias", None) is not None:
            free = activated or getattr(layer, "act", None) is None
            yield layer, after if free and isinstance(after, nn.BatchNorm) else None


def _emptied(
    net,
    sign=-1,
    into="running_mean",
    adjacent=True,
    activated=False,
    spared=None,
    share=lambda norm: 1,
    stays=False,
    old=1,
):
    """Move each bias into the normalization behind it; the keywords make mistakes.

    spared: empty all biases, but not in so many layers at the end; share: the factor of a bias.
    """
    layers = list(net)
    emptied = [] if spared is None else layers[: len(layers) - spared]
    for layer, norm in _pairs(net, activated):
        if not adjacent:  # the next one that fits, whatever stands between
            later = [n for n in layers[layers.index(layer) :] if isinstance(n, nn.BatchNorm)]
            norm = next((n for n in later if n.gamma.shape == layer.bias.shape), None)
        if norm is not None and into:
            target = getattr(norm, into)
            target.set_data(old * target.data() + sign * share(norm) * layer.bias.data())
        if (norm is not None and not stays) or layer in emptied:
            layer.bias.set_data(0 * layer.bias.data())
    return net


def _slope(norm):
    return (norm.running_var.data() + norm._kwargs["eps"]) ** -0.5


MOVED = [
    (
        "This is the output without the biases: the running mean does not make up for them. Does "
        "it change? Is the bias read before it is set to zero?",
        partial(_emptied, into=None),
    ),
    (
        "The running mean is right, but the bias is still there and counts twice: set it to zero.",
        partial(_emptied, stays=True),
    ),
    (
        "Subtract the bias from the running mean that is there: m - b, not -b.",
        partial(_emptied, old=0),
    ),
    *(
        (
            "The bias moves into the running mean as it is: without gamma, and not divided by a "
            "standard deviation.",
            partial(_emptied, share=share),
        )
        for share in (
            _slope,
            lambda norm: _slope(norm) * norm.gamma.data(),
            lambda norm: norm.running_var.data() ** -0.5,
            lambda norm: norm.running_var.data() ** -1,
        )
    ),
    ("Look at the sign: (x + b) - m is x - (m - b).", partial(_emptied, sign=1)),
    (
        "The bias moves into the running mean, not into beta.",
        partial(_emptied, sign=1, into="beta"),
    ),
    ("The bias moves into the running mean, not into beta.", partial(_emptied, into="beta")),
    (
        "In a layer with an activation of its own the bias comes before that activation, so it has "
        "to stay.",
        partial(_emptied, activated=True),
    ),
    (
        "A bias can move only into a normalization that follows directly. With a ReLU in between, "
        "it has to stay.",
        partial(_emptied, adjacent=False),
    ),
    (
        "A bias with no normalization directly behind it has to stay.",
        partial(_emptied, spared=0),
    ),
    (  # in pairs of neighbours the last layer is never the first of two
        "A bias with no normalization directly behind it has to stay.",
        partial(_emptied, spared=1),
    ),
    (
        "A bias with no normalization directly behind it has to stay.",
        partial(_emptied, adjacent=False, spared=0),
    ),
]


@exercise(
    "8.6",
    "Biases into running means",
    hints=(
        "Go through pairs of neighbours: zip(net, net[1:]). In which pairs can the bias go, and what "
        "does the first layer of such a pair have, and what not? For the new running mean: (x + b) - m "
        "is x - (m - b).",
        "if isinstance(after, nn.BatchNorm) and getattr(layer, 'bias', None) is not None and "
        "layer.act is None: after.running_mean.set_data(after.running_mean.data() - "
        "layer.bias.data()), then layer.bias.set_data(np.zeros_like(layer.bias.data())). At the "
        "end: return net.",
    ),
)
def biases_moved(trial, function):
    """function(net) -> the net, layers in a row, without biases in front of normalizations."""
    for case, make, shape in [
        ("convolutions", _row, (4, 3, 5, 4)),
        ("other layers between", _row_with_others, (4, 3, 5, 4)),
        ("layers with an activation", _row_with_activations, (4, 3, 5, 4)),
        ("dense layers", _row_of_dense, (6, 5)),
    ]:
        X = trial.normal(*shape)

        def prepared(make=make, X=X):
            return trial.tie(trial.build(make, like=X))

        given = prepared()
        hints = {
            "'bias'": "Not every layer has a bias: getattr(layer, 'bias', None) gives None then.",
            "Changing attribute type": "Keep the bias, and set its numbers to zero: set_data(...).",
            "'NoneType'": "A layer made with use_bias=False has the bias None: leave it alone.",
            "attribute 'act'": "Only convolutions and dense layers have layer.act: ask for the bias "
            "first, or write getattr(layer, 'act', None).",
        }
        net = trial.call(function, given, hints=hints)
        running.is_a_net(net)
        for mode, context in blocks.MODES.items():
            trial.equal(
                f"{case}: the output in {mode} mode is unchanged",
                trial.forward(net, X, context),
                trial.forward(prepared(), X, context),
                "Only a bias with a normalization directly behind it may go, and the running mean "
                "of that normalization has to change by as much. Nothing else may change."
                if mode == "prediction"
                else "In prediction mode it is right. In training mode a normalization subtracts "
                "the mean of the batch, with any bias in it: so beta and gamma have to stay.",
                (  # made only if the output differs
                    (hint, trial.forward(its(prepared()), X, context))
                    for hint, its in (MOVED if mode == "prediction" else [])
                ),
            )
        in_a_row = isinstance(net, nn.Sequential | nn.HybridSequential)
        hint = "Change the net that you were given, and return it: return net"
        trial.holds("the result is layers in a row", in_a_row, hint, type(net).__name__)
        left = [
            layer
            for layer, norm in _pairs(net)
            if norm is not None and float64(layer.bias.data()).any()
        ]
        trial.holds(
            f"{case}: no bias is left in front of a normalization",
            not left,
            "The output is right, but a convolution or dense layer with a normalization directly "
            "behind it still has its bias: set it to zero.",
            f"{len(left)} layer(s) with a bias",
            "none",
        )


# --- the zoo ---


class _Starting(nn.HybridBlock):
    """The block of the specimen 8.7a, with a switch for one fault."""

    def __init__(self, num_channels, zeros=(2,), fault=None):
        super().__init__()
        self.conv1, self.conv2 = conv(num_channels), conv(num_channels)
        self.bn1, self.bn2 = (
            nn.BatchNorm(gamma_initializer="zeros" if i in zeros else "ones") for i in (1, 2)
        )
        self.fault = fault

    def hybrid_forward(self, F, X):
        Y = self.bn1(self.conv1(X))
        if self.fault != "no inner ReLU":
            Y = F.npx.relu(Y)
        Y = self.bn2(self.conv2(Y))
        if self.fault == "no shortcut":
            return F.npx.relu(Y)
        return Y + X if self.fault == "no ReLU" else F.npx.relu(Y + X)


@exercise(
    "8.7a",
    "Zoo: a branch that never learns",
    hints=(
        "Follow a number through the branch: what does the first normalization output if its gamma "
        "and beta are zero? What does the ReLU pass back?",
        "The gamma that starts at zero belongs to the last normalization, bn2. bn1 starts with a "
        "gamma of one, as usual: nn.BatchNorm() without an argument.",
    ),
    options={
        "a": (
            False,
            "With any learning rate a gradient of zero changes nothing. And beta of the last "
            "normalization does move.",
        ),
        "b": (
            False,
            "The gradient goes both ways: the shortcut gets all of it, and so does the branch.",
        ),
        "c": (
            True,
            "With gamma and beta zero, the first normalization outputs zeros. The ReLU passes no "
            "gradient where its input is not positive, and the second convolution sees only zeros.",
        ),
        "d": (
            False,
            "It subtracts a mean and divides by a standard deviation in every block, and other "
            "blocks learn. Here it gets only zeros.",
        ),
    },
)
def never_learns(trial, hypothesis_a, block_class):
    """hypothesis_a: a letter; block_class(num_channels): the repaired block, starts as its shortcut."""
    c = trial.integer(4, 6)
    X = trial.normal(6, c, 5, 4)
    faults = {
        "no ReLU": "The ReLU after the addition is missing.",
        "no inner ReLU": "The ReLU between the convolutions belongs there.",
        "no shortcut": "The shortcut is missing: add X to the branch.",
    }
    mistakes = [(hint, partial(_Starting, fault=fault)) for fault, hint in faults.items()]
    arguments = {"num_channels": c}
    blocks.same(trial, "the layers", block_class, arguments, X, [_Starting], mistakes)
    block = trial.build(block_class, c, like=X)
    trial.holds(
        "a new block starts as ReLU(X)",
        bool((trial.forward(block, X, autograd.train_mode) == npx.relu(X)).all()),
        "A new block should still start as its shortcut. Which normalization comes last before the "
        "addition? Its gamma starts at zero.",
        "another output",
        "ReLU(X)",
    )
    still = trial.call(_unmoved, block, X, what="Training your block")
    trial.holds(
        "after three steps every parameter has moved",
        still == 0,
        "The symptom is still there: the first normalization still starts with gamma = 0.",
        f"{still} of 6 have not moved",
        "all 6 have moved",
    )


def _unmoved(block, X, steps=3):
    """How many trained parameters stay as they are in some steps towards fixed numbers."""
    trained = running.trained(block)
    before = [p.data().copy() for p in trained]
    trainer = gluon.Trainer(trained, "sgd", {"learning_rate": 0.1})
    target = npx.relu(X[::-1])
    for _ in range(steps):
        with autograd.record():
            loss = ((block(X) - target) ** 2).mean(axis=(1, 2, 3))
        loss.backward()
        trainer.step(len(X))
    return sum(bool((p.data() == old).all()) for p, old in zip(trained, before))


def _deep(depth, num_classes=10, shared=False, more=0, end=_norm_relu, version=2, strides=2):
    """What the specimen 8.7b builds, repaired; the keywords make mistakes."""
    number, channels, net = (depth - 2) // 6, 16, sequential(*make_stem("small", 16))
    for width in (16, 32, 64):
        first = make_block(channels, width, 1 if width == 16 else strides, version)
        if shared:
            rest = [make_block(width, width, version=version)] * (number - 1)
        else:
            rest = [make_block(width, width, version=version) for _ in range(number - 1 + more)]
        net.add(first, *rest)
        channels = width
    net.add(*end(), nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


DEEP = [
    (hint, partial(_deep, **differences))
    for hint, differences in [
        ("The symptom is still there: a stage repeats one and the same block.", {"shared": True}),
        ("One block too many in each stage: number includes the first one.", {"more": 1}),
        ("In version 2 a last normalization and ReLU follow the blocks.", {"end": list}),
        ("The blocks are of version 2.", {"version": 1}),
        ("The second and third stage halve height and width.", {"strides": 1}),
    ]
] + [
    (
        "The argument num_classes has no effect.",
        lambda depth, num_classes=10: _deep(depth),
    ),
]


@exercise(
    "8.7b",
    "Zoo: deeper, but not larger",
    hints=(
        "Build the network with depth 32 and compare two blocks of a stage: print(net[4] is net[5]).",
        "[block] * 3 is a list with the same block three times. "
        "[make_block(...) for _ in range(number - 1)] makes a new block each time.",
    ),
    options={
        "a": (
            False,
            "More depth brings more running statistics, but it should bring more weights too, and "
            "count includes those.",
        ),
        "b": (
            False,
            "An identity has no parameters, but each block also has a branch with two convolutions.",
        ),
        "c": (
            False,
            "Depths 20, 32 and 56 give 3, 5 and 9 blocks a stage: the number of blocks is right.",
        ),
        "d": (
            True,
            "A list times a number repeats the same object. The block is applied again and again, "
            "with one set of weights.",
        ),
    },
)
def not_larger(trial, hypothesis_b, deep_net):
    """hypothesis_b: a letter; deep_net(depth, num_classes=10): the repaired builder."""
    for case, arguments in [
        ("14 layers", (14,)),
        ("deeper, other classes", (26, trial.integer(3, 9))),  # two blocks in turns show
    ]:
        blocks.same(
            trial,
            case,
            deep_net,
            dict(zip(("depth", "num_classes"), arguments)),
            trial.normal(4, 1, 8, 8),
            [_deep],
            DEEP,
            shapes="Each stage has (depth - 2) // 6 blocks, the first one included.",
            what="Your function",
        )
