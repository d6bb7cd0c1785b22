"""The checks of exercises 03, residual networks.

Right blocks stand here with a switch for one fault each, which tells a learner's mistake.
"""

from collections import Counter
from functools import partial

import numpy
from mxnet import autograd, init, np, npx
from mxnet.gluon import nn

from ..resnet import Residual, stage
from . import blocks
from .blocks import REASSIGNED, conv, relu
from .engine import Wrong, choice, exercise

CHANNELS = 64, 128, 256, 512  # of ResNet-34's stages
PADDED = "Each 3x3 convolution has padding 1."
STRIDED = "In F exactly one convolution has the strides, and the projection has them too."
ENDS = {  # what else one makes of the end of a block
    "no shortcut": "The shortcut is missing: add the block's input (or its projection) to F.",
    "no ReLU": "The ReLU after the addition is missing.",
    "ReLU before": "The ReLU comes after the addition, not before it: relu(F + x).",
    "ReLU twice": "No ReLU at the end of F, just before the addition: only after it.",
}


@exercise(
    "3.1",
    "A block by hand",
    hints=(
        "Add first, number by number: x + F(x). What does a ReLU make of a negative sum?",
        "The sums are 2 - 3, -1 + 0.5 and 3 + 1. Two of them are negative.",
    ),
)
def block_by_hand(trial, y):
    """y: three numbers, in the order of x."""
    x, F = numpy.array([2, -1, 3.0]), numpy.array([-3, 0.5, 1])
    what = "the three numbers of y"
    found = trial.numbers(what, y)
    mistakes = [
        ("The sums are right. The ReLU after them is missing.", x + F),
        ("That is ReLU(F(x)), a plain block: add x before the ReLU.", _relu(F)),
        ("The ReLU is applied to F(x) alone. It comes after the addition.", x + _relu(F)),
        ("One ReLU, after the addition: F(x) goes into it as it is.", _relu(x + _relu(F))),
        ("One ReLU, after the addition, not one for each part.", _relu(x) + _relu(F)),
        ("One ReLU, after the addition: x goes into it as it is.", _relu(_relu(x) + F)),
        ("The ReLU is applied to x alone. It comes after the addition.", _relu(x) + F),
    ]
    hint = "y = ReLU(F(x) + x), each number by itself."
    trial.equal(what, found, _relu(x + F), hint, mistakes, secret=True)


def _relu(values):
    return numpy.maximum(values, 0)


why_deeper_is_worse = choice(
    "3.2",
    "Why deeper is worse",
    hints=(
        "These are losses on the training images, and nothing else. Which statement follows from them?",
        "Let 24 of the 44 layers copy their input. How low a loss could such a network reach?",
    ),
    options={
        "a": (
            False,
            "Overfitting is a low training loss with a high test loss. Here the training loss is high.",
        ),
        "b": (
            False,
            "44 plain layers have more than twice the parameters of 20 and fit worse; the residual "
            "network of 44 has hardly more parameters than the plain one, and fits well.",
        ),
        "c": (
            False,
            "A loss says nothing about the size of gradients. In section 3 of the lesson they grow "
            "on their way back to the first layers, and the authors found healthy ones.",
        ),
        "d": (
            True,
            "Layers that copy would be enough, so better weights exist: training has not found them.",
        ),
    },
)


@exercise(
    "3.3",
    "ResNet-34's parameters",
    hints=(
        "Four stages with 3, 4, 6 and 3 blocks. A block has two 3x3 convolutions, each with a "
        "normalization. A stage that changes the channels also has a projection with its own.",
        "The first convolution and its normalization have 3,264, the dense layer has 5,130. The "
        "stages have 221,952, then 1,116,416, then 6,822,400; only the last is left.",
    ),
)
def resnet34_parameters(trial, parameters):
    """parameters: how many are trained, for one colour and ten classes; counted in a built net."""
    sizes = _sizes((3, 4, 6, 3))
    what = "the number of trained parameters"
    found = trial.number(what, parameters)
    right = sum(sizes.values())
    normalizations = sizes["gamma"] + sizes["beta"]
    projections = 64 * 128 + 128 * 256 + 256 * 512
    their_norms = 2 * (128 + 256 + 512)
    classes, colours = 990 * (512 + 1), 2 * 49 * 64
    projected_start = "The first stage keeps its 64 channels: its blocks need no projection."
    conv_biases = "Convolutions have no biases here: a normalization follows each."
    imagenet = "Ten classes here, not 1,000: the dense layer has 512 * 10 weights and 10 biases."
    statistics = "Running means and variances are not trained: a normalization counts 2b, not 4b."
    halved_inputs = 9 * sum(c * c - c * c // 2 for c in CHANNELS[1:])
    more_projections = sum(n * (c * c + 2 * c) for n, c in zip((3, 3, 5, 2), CHANNELS))
    swapped = 2 * 2 * (9 * 256 * 256 + 2 * 256 - 9 * 128 * 128 - 2 * 128)
    blocks_of_18 = sum(2 * n * (9 * c * c + 2 * c) for n, c in zip((1, 2, 4, 1), CHANNELS))
    mistakes = [
        ("That is ResNet-18. How many blocks does each stage have here?", right - blocks_of_18),
        (
            "The projections are missing: stages 2, 3 and 4 each begin with one.",
            right - projections - their_norms,
        ),
        ("Each projection has a normalization too: 2b more.", right - their_norms),
        (
            "The projections' normalizations are counted, but not their 1x1 convolutions.",
            right - projections,
        ),
        (statistics, right + normalizations),
        ("The normalizations are missing: 2b for each convolution.", right - normalizations),
        (imagenet, right + classes),
        ("One colour here, not three: the first convolution has 49 * 64.", right + colours),
        ("That is for 1,000 classes and three colours.", right + classes + colours),
        ("The dense layer has biases, one for each class.", right - sizes["bias"]),
        ("The dense layer is missing.", right - 513 * 10),
        ("The first convolution is missing.", right - 49 * 64 - 128),
        ("The first convolution has a normalization too.", right - 128),
        (projected_start, right + 64 * 64 + 128),
        (conv_biases, right + normalizations // 2),
        (
            "A normalization trains two numbers for each channel, and no convolution has a bias.",
            right - normalizations // 2,
        ),
        ("The first convolution is 7x7.", right - 40 * 64),
        ("Only the first block of stages 2, 3 and 4 projects.", right + more_projections),
        ("Projections and normalizations are missing.", right - projections - normalizations),
        (
            "In stages 2, 3 and 4 the first convolution gets half as many channels.",
            right + halved_inputs,
        ),
        ("The stages have 3, 4, 6 and 3 blocks, in this order.", right - swapped),
    ]
    hint = (
        f"The number is {'larger' if found < right else 'smaller'}. Build it up: first convolution, "
        "four stages, dense layer. hint(3) lists most of the sizes."
    )
    trial.equal(what, found, right, hint, mistakes, tolerance=1e-8, secret=True)


def _sizes(blocks):
    """How many weights, biases, gammas and betas are trained in a ResNet with these stages."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(64, 7, 2, 3, use_bias=False), nn.BatchNorm(), nn.MaxPool2D(3, 2, 1))
    for i, (num_channels, num_blocks) in enumerate(zip(CHANNELS, blocks)):
        net.add(stage(num_channels, num_blocks, strides=1 if i == 0 else 2))
    net.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    net.infer_shape(np.zeros((1, 1, 32, 32)))  # no arrays for 21 million numbers
    sizes = Counter()
    for name, parameter in net.collect_params().items():
        if parameter.grad_req != "null":
            sizes[name.rsplit("_", 1)[-1]] += int(numpy.prod(parameter.shape))
    return sizes


# --- blocks ---


def _same_with_all_shortcuts(trial, block_class, right, mistakes, c, wide):
    """Test block_class(c, projection, strides) with each shortcut; wide: its channels out."""
    inputs = wide + trial.integer(1, 3)
    channels = "4 * num_channels" if wide > c else "num_channels"
    meet = f"Both parts of the sum need the same height and width, and {channels} channels. "
    for case, settings, X in [
        ("identity", (False, 1), trial.normal(3, wide, 3, 4)),  # few numbers share a mean
        ("identity, by default", (), trial.normal(3, wide, 4, 3)),
        ("projection, stride 1", (True, 1), trial.normal(3, inputs, 3, 4)),
        ("projection, as many channels", (True, 1), trial.normal(3, wide, 4, 3)),
        ("projection, stride 2", (True, 2), trial.normal(3, inputs, 5, 4)),
    ]:
        arguments = {"num_channels": c, **dict(zip(("projection", "strides"), settings))}
        size = STRIDED if settings[1:] == (2,) else PADDED
        hints = {"broadcast": meet + size, "Changing attribute type": REASSIGNED}
        try:
            blocks.same(trial, case, block_class, arguments, X, right, mistakes, hints=hints)
        except Wrong as wrong:
            if not settings:  # with the same settings, said aloud, it was right
                wrong.hint = "The text asks for projection=False, strides=1 as defaults."
            raise


def _makers(make, hints):
    """Pairs of a hint and a maker of the block with that fault."""
    return [(hint, partial(make, fault=fault)) for fault, hint in hints.items()]


def _end(X, Y, fault=None):
    """The addition and the ReLU at the end of a block, or what `ENDS` makes of them."""
    if fault in ("ReLU before", "ReLU twice"):
        Y = npx.relu(Y)
    if fault != "no shortcut":
        Y = X + Y
    return Y if fault in ("no ReLU", "ReLU before") else npx.relu(Y)


class _Bottleneck(nn.Block):
    def __init__(self, num_channels, projection=False, strides=1, place=0, fault=None):
        super().__init__()
        self.fault = fault
        place = 2 if fault == "stride last" else place
        channels = (num_channels, num_channels, 4 * num_channels)
        self.F = nn.Sequential()
        linear = {"no inner ReLU": (0, 1, 2), "no ReLU 1": (0, 2), "no ReLU 2": (1, 2)}
        for i, size in enumerate((1, 3, 1)):
            self.F.add(conv(channels[i], size, strides if i == place else 1))
            then = [nn.BatchNorm()]
            if i not in linear.get(fault, (2,)):
                then.insert(0 if fault == "ReLU first" else 1, relu())
            self.F.add(*then)
        self.shortcut = nn.Sequential()
        if projection:
            self.shortcut.add(conv(channels[2], 1, strides))
            if fault != "bare projection":
                self.shortcut.add(nn.BatchNorm())
            if fault == "ReLU on projection":
                self.shortcut.add(relu())

    def forward(self, X):
        if self.fault == "late norm":
            return npx.relu(self.F[-1](self.F[:-1](X) + self.shortcut(X)))
        return _end(self.shortcut(X), self.F(X), self.fault)


@exercise(
    "3.4",
    "The bottleneck",
    hints=(
        "Write down the channels on the way: 4c in, c, c, 4c out. A ReLU follows the first and "
        "the second normalization, but not the third: that is where the addition is.",
        "relu(bn1(conv1(X))), then relu(bn2(conv2(Y))), then bn3(conv3(Y)); add the shortcut, "
        "which is X or bn4(conv4(X)) with conv4 a 1x1 convolution to 4 * num_channels with the "
        "strides; then relu. Only conv2 has padding, and only conv1 or conv2 has the strides.",
    ),
)
def bottleneck(trial, block_class):
    """block_class(num_channels, projection, strides): a block to 4 * num_channels channels.

    The stride may sit in the first 1x1 convolution or in the 3x3. Source: He et al. 2015, figure 5.
    """
    mistakes = _makers(
        _Bottleneck,
        {
            **ENDS,
            "no inner ReLU": "A ReLU also follows each of the first two normalizations.",
            "no ReLU 1": "A ReLU follows the first normalization too.",
            "no ReLU 2": "A ReLU follows the second normalization too.",
            "ReLU first": "Normalization first, then ReLU.",
            "ReLU on projection": "There is no ReLU on the projection: the only ReLU outside F comes last.",
            "late norm": "The third normalization comes before the addition.",
            "stride last": "The stride belongs to the first 1x1 convolution or to the 3x3, not to the last one.",
            "bare projection": "The projection has a normalization too.",
        },
    )
    right = [_Bottleneck, partial(_Bottleneck, place=1)]
    c = trial.integer(3, 5)
    _same_with_all_shortcuts(trial, block_class, right, mistakes, c, 4 * c)


class _PreActivation(nn.Block):
    def __init__(self, num_channels, projection=False, strides=1, reads_x=False, fault=None):
        super().__init__()
        self.fault, self.reads_x = fault, reads_x
        late = fault == "stride second"
        self.conv1 = conv(num_channels, 3, 1 if late else strides)
        self.conv2 = conv(num_channels, 3, strides if late else 1)
        self.bn1, self.bn2 = nn.BatchNorm(), nn.BatchNorm()
        self.shortcut = nn.Sequential()
        if projection:
            self.shortcut.add(conv(num_channels, 1, strides))
            if fault == "normalized projection":
                self.shortcut.add(nn.BatchNorm())

    def forward(self, X):
        fault = self.fault
        ends = {"post-activation": "no ReLU", "post-activation, twice": "ReLU before"}
        if fault == "post-activation, ReLU" or fault in ends:
            Y = self.bn2(self.conv2(npx.relu(self.bn1(self.conv1(X)))))
            return _end(self.shortcut(X), Y, ends.get(fault))
        Y = self._before(1, self.bn1, X)
        reads_x = self.reads_x if len(self.shortcut) else fault != "identity reads activation"
        before_relu = fault == "projection before ReLU" and len(self.shortcut)
        shortcut = self.shortcut(self.bn1(X) if before_relu else X if reads_x else Y)
        Y = self.conv2(self._before(2, self.bn2, self.conv1(Y)))
        if fault == "no shortcut":
            return Y
        return _end(shortcut, Y, None if fault == "ReLU after" else "no ReLU")

    def _before(self, place, norm, X):
        """What stands before a convolution: normalization, then ReLU."""
        if self.fault in (f"no ReLU {place}", "no ReLUs"):
            return norm(X)
        return norm(npx.relu(X)) if self.fault == "ReLU first" else npx.relu(norm(X))


@exercise(
    "3.5",
    "Pre-activation, with a projection",
    hints=(
        "Start from PreActivation in section 6 of the lesson. The stride goes into conv1, and the "
        "only new layer is a 1x1 convolution without bias, with the same stride.",
        "Y = relu(bn1(X)); the shortcut is X, or the 1x1 convolution of Y (or of X); then "
        "conv2(relu(bn2(conv1(Y)))) plus the shortcut, and nothing else.",
    ),
)
def preactivation(trial, block_class):
    """block_class(num_channels, projection, strides): normalization and ReLU before each convolution.

    The projection may read the input or what follows the first ReLU. Source: He et al. 2016, figure 1.
    """
    after = "Normalization and ReLU come before each convolution, not after it."
    hints = {
        "ReLU after": "Nothing follows the addition, not even a ReLU.",
        "no ReLUs": "Before each convolution: normalization, then ReLU. The ReLUs are missing.",
        "no ReLU 1": "The ReLU before the first convolution is missing.",
        "no ReLU 2": "The ReLU before the second convolution is missing.",
        "ReLU first": "Normalization first, then ReLU.",
        "post-activation": after,
        "post-activation, twice": after,
        "post-activation, ReLU": "This is the block of 2015. Here normalization and ReLU come "
        "before each convolution, and nothing follows the addition.",
        "normalized projection": "The projection is a bare 1x1 convolution: no normalization on it.",
        "projection before ReLU": "The projection reads the block's input or the output of the "
        "first ReLU, not the input of that ReLU.",
        "identity reads activation": "Without a projection the shortcut is the block's input itself, "
        "before any normalization. Did you overwrite it?",
        "stride second": "The first 3x3 convolution carries the stride.",
        "no shortcut": ENDS["no shortcut"],
    }
    right = [_PreActivation, partial(_PreActivation, reads_x=True)]
    mistakes = [pair for maker in right for pair in _makers(maker, hints)]
    c = trial.integer(3, 5)
    _same_with_all_shortcuts(trial, block_class, right, mistakes, c, c)


@exercise(
    "3.6",
    "The smallest image",
    hints=(
        "The outer weights of a kernel need a second position. How many positions does the last "
        "stage have at 32, and at 64? Search between them, or count: five layers halve the side.",
        "Halving rounds up: a side of n becomes (n + 1) // 2. After five times, 2 must be left. "
        "The largest image that ends as a single position has a side of 32.",
    ),
)
def smallest_picture(trial, side):
    """side: of a square image, in pixels. Measured in a chain of one channel, strided as ResNet-18."""
    side = trial.number("the side in pixels", side)
    trial.holds(
        "the side is a whole number",
        side == int(side),
        "An image has a whole number of pixels on each side.",
        side,
    )
    side = int(side)
    trial.holds(
        "the side is between 1 and 1,024",
        1 <= side <= 1024,
        "At least one pixel, and not thousands: the smallest image is far from that.",
        side,
    )
    used = _weights_used(side)
    trial.holds(
        f"a side of {side}: all nine weights get a gradient",
        used == 9,
        "Here the last block still sees a single position, as at the lesson's 32. Try a larger side.",
        used,
        9,
    )
    used = _weights_used(side - 1)
    trial.holds(
        f"a side of {side - 1}: not all nine do",
        used < 9,
        f"It works, but is it the smallest? A side of {side - 1} works too. Try halfway to 32.",
        used,
        "fewer than 9",
    )


def _weights_used(side):
    """How many of a kernel's nine weights get a gradient, behind the strides of ResNet-18."""
    chain = nn.Sequential()
    chain.add(conv(1, 7, 2), nn.MaxPool2D(3, 2, 1), *(conv(1, 3, 2) for _ in range(3)))
    chain.add(conv(1, 3))
    chain.initialize(init.One())
    with autograd.record():
        total = chain(np.ones((1, 1, side, side))).sum()
    total.backward()
    return int((chain[-1].weight.grad() > 0).sum())


class _CifarBlock(nn.Block):
    def __init__(self, inputs, num_channels, strides, fault=None):
        super().__init__()
        self.fault, self.strides, self.more = fault, strides, num_channels - inputs
        late = fault == "stride second"
        self.conv1 = conv(num_channels, 3, 1 if late else strides)
        self.conv2 = conv(num_channels, 3, strides if late else 1)
        self.bn1, self.bn2 = nn.BatchNorm(), nn.BatchNorm()
        self.projection = None
        if self.more and fault in ("projection", "bare projection"):
            self.projection = nn.Sequential()
            self.projection.add(conv(num_channels, 1, strides))
            if fault == "projection":
                self.projection.add(nn.BatchNorm())

    def forward(self, X):
        Y = self.conv1(X)
        Y = self.bn1(Y) if self.fault == "no inner ReLU" else npx.relu(self.bn1(Y))
        Y = self.bn2(self.conv2(Y))
        return _end(self.projection(X) if self.projection else self._padded(X), Y, self.fault)

    def _padded(self, X):
        s = self.strides
        if self.fault == "averaged" and s == 2:
            X = npx.pooling(X, kernel=(2, 2), stride=(2, 2), pool_type="avg")
        elif self.fault == "largest" and s == 2:
            X = npx.pooling(X, kernel=(2, 2), stride=(2, 2), pool_type="max")
        elif self.fault == "corner":
            X = X[:, :, : X.shape[2] // s, : X.shape[3] // s]
        else:
            start = s - 1 if self.fault == "other pixels" else 0
            X = X[:, :, start::s, start::s]
        if not self.more:
            return X
        if self.fault == "repeated":
            return np.concatenate([X, X], axis=1)
        if self.fault == "nothing":
            return 0
        before = {"both sides": self.more // 2, "in front": self.more}.get(self.fault, 0)
        zeros = np.zeros((len(X), self.more, *X.shape[2:])) + (1 if self.fault == "ones" else 0)
        return np.concatenate([zeros[:, :before], X, zeros[:, before:]], axis=1)


def _cifar_resnet(depth, num_classes=10, fault=None):
    places = {"no strides": (1, 1, 1), "early strides": (2, 2, 1), "three strides": (2, 2, 2)}
    net = nn.Sequential()
    net.add(conv(16, 3), nn.BatchNorm())
    if fault != "no first ReLU":
        net.add(relu())
    inputs = 16
    for num_channels, strides in zip((16, 32, 64), places.get(fault, (1, 2, 2))):
        for i in range((depth - 2) // 6):
            net.add(_CifarBlock(inputs, num_channels, strides if i == 0 else 1, fault))
            inputs = num_channels
    pool = nn.GlobalMaxPool2D if fault == "max pooling" else nn.GlobalAvgPool2D
    net.add(pool(), nn.Dense(num_classes))
    if fault == "softmax":
        net.add(nn.Lambda(npx.softmax))
    return net


@exercise(
    "3.7",
    "The networks for CIFAR",
    hints=(
        "One class of blocks is enough: its shortcut is X, or, where the channels double, every "
        "second pixel of X followed by as many channels of zeros.",
        "X[:, :, ::2, ::2], then np.concatenate([X, np.zeros_like(X)], axis=1). Three stages of "
        "(depth - 2) // 6 blocks; only the first block of stages 2 and 3 has stride 2.",
    ),
)
def cifar_resnet(trial, make):
    """make(depth, num_classes=10): a block for (N, C, H, W), with even H and W; depth = 6n + 2.

    Shortcuts without parameters: option A. Source: He et al. 2015, sections 3.3 and 4.2.
    """
    projection = "Shortcuts have no parameters: take every second pixel and append zeros."
    hints = {
        **{
            fault: hint for fault, hint in ENDS.items() if fault != "ReLU before"
        },  # as "ReLU twice"
        "projection": projection,
        "bare projection": projection,
        "no inner ReLU": "The ReLU between the two convolutions of a block is missing.",
        "no first ReLU": "After the first convolution come a normalization and a ReLU.",
        "averaged": "Take every second pixel; do not average over four.",
        "largest": "Take every second pixel, not the largest of four.",
        "other pixels": "Start with the first pixel: 0, 2, 4 and so on.",
        "both sides": "All zeros come after the existing channels, none before them.",
        "in front": "The zeros come after the existing channels, not before them.",
        "repeated": "The new channels of the shortcut are zeros, not copies.",
        "ones": "The new channels of the shortcut are zeros, not ones.",
        "nothing": "Where the channels double, the shortcut still carries every second pixel of X.",
        "corner": "Every second pixel, not the first half of them.",
        "max pooling": "At the end comes global average pooling, not the maximum.",
        "softmax": "The network ends with the dense layer, which gives scores: no softmax.",
        "stride second": "The first 3x3 convolution of the block carries the stride.",
        "no strides": "Stages 2 and 3 halve height and width.",
        "early strides": "The first stage keeps the size; stages 2 and 3 halve it.",
        "three strides": "The first stage keeps the size; only stages 2 and 3 halve it.",
    }
    mistakes = _makers(_cifar_resnet, hints)
    n = trial.integer(3, 4)  # with two blocks, one repeated n - 1 times would look like two
    num_classes = trial.integer(3, 9)  # not the default of ten
    for case, arguments, colours in [
        ("8 layers, one colour", (8,), 1),
        ("deeper, other classes, three colours", (6 * n + 2, num_classes), 3),
    ]:
        X = trial.normal(4, colours, 12, 8)
        arguments = dict(zip(("depth", "num_classes"), arguments))
        blocks.same(
            trial,
            case,
            make,
            arguments,
            X,
            [_cifar_resnet],
            mistakes,
            shapes=f"How many blocks does a stage have? Depth 8 has one in each. {blocks.SHAPES}",
            hints={"exceeds input": "Pool over whatever is left: the check's images are 12x8."},
            what="Your function",
            initialized=False,
        )


# --- the zoo ---


class _Variant(nn.Block):
    """The block of the lesson with one fault."""

    def __init__(self, num_channels, projection=False, strides=1, fault=None):
        super().__init__()
        self.fault = fault
        first = {"stride second": 1, "no strides": 1}.get(fault, strides)
        self.conv1 = conv(num_channels, 3, first)
        self.conv2 = conv(num_channels, 3, strides if fault == "stride second" else 1)
        self.bn1 = nn.BatchNorm()
        self.bn2 = {"one norm": None, "shared norm": self.bn1}.get(fault, nn.BatchNorm())
        self.bn3 = nn.BatchNorm() if fault == "norm at the end" else None
        self.shortcut = nn.Sequential()
        if projection:
            self.shortcut.add(conv(num_channels, 1, 1 if fault == "no strides" else strides))
            if fault != "bare projection":
                self.shortcut.add(nn.BatchNorm())

    def forward(self, X):
        fault = self.fault
        Y = self.conv2(npx.relu(self.bn1(self.conv1(X))))
        X = self.shortcut(X)
        if fault == "late norm":
            return npx.relu(self.bn2(X + Y))
        if self.bn2:
            Y = self.bn2(Y)
        if fault == "norm at the end":
            return npx.relu(self.bn3(X + Y))
        return _end(X, Y, fault)


@exercise(
    "3.8a",
    "Zoo: it runs until the image halves",
    hints=(
        "Write down height and width along both paths for an image of 8x8. Where do they differ?",
        "Whatever shrinks the image on one path must shrink it on the other: the third argument "
        "of Conv2D.",
    ),
    options={
        "a": (
            False,
            "With padding 1 a 3x3 convolution keeps the size, and with stride 2 it halves it, as it should.",
        ),
        "b": (
            True,
            "F(x) is halved and its shortcut is not: 8x8 numbers cannot be added to 4x4.",
        ),
        "c": (
            False,
            "Both paths have the same number of channels: both shapes in the message have a 16.",
        ),
        "d": (False, "A normalization leaves the shape as it is."),
    },
)
def shapes_differ(trial, hypothesis_a, block_class):
    """hypothesis_a: a letter; block_class(num_channels, strides): the repaired block, with projection."""
    hints = {
        **ENDS,
        "no strides": "Nothing halves the image any more. Both paths should.",
        "stride second": "The first 3x3 convolution carries the stride: leave it there.",
        "bare projection": "The projection's normalization belongs there: leave it.",
    }

    def projected(maker):
        return lambda c, strides, **fault: maker(c, True, strides, **fault)

    mistakes = _makers(projected(_Variant), hints)
    c, inputs = trial.integer(3, 5), trial.integer(6, 8)
    for strides, meet in [
        (1, "Both paths keep height and width here, and end with num_channels channels."),
        (2, "The symptom is still there: the paths end in different heights."),
    ]:
        X, arguments = trial.normal(4, inputs, 8, 6), {"num_channels": c, "strides": strides}
        case, right = f"stride {strides}", [projected(Residual)]
        blocks.same(
            trial, case, block_class, arguments, X, right, mistakes, hints={"broadcast": meet}
        )


def _is_the_lessons_block(trial, block_class, hints):
    """Test a repaired block without projection; returns it and the right one, as tried."""
    c = trial.integer(3, 6)
    X, mistakes = trial.normal(4, c, 6, 5), _makers(_Variant, hints)
    return blocks.same(
        trial, "the block", block_class, {"num_channels": c}, X, [Residual], mistakes
    )


@exercise(
    "3.8b",
    "Zoo: it only grows",
    hints=(
        "Which numbers can the last layer of F put out?",
        "One ReLU comes too early, and one is missing where it should be. It is the same ReLU.",
    ),
    options={
        "a": (
            False,
            "gamma starts at one in the lesson's block too. With a smaller gamma, F would still only add.",
        ),
        "b": (False, "As many channels go in as come out, so the identity fits."),
        "c": (
            False,
            "F goes through that ReLU in the lesson's block too, where many values get smaller.",
        ),
        "d": (
            True,
            "F ends in a ReLU, so no value can ever be corrected downwards.",
        ),
    },
)
def only_grows(trial, hypothesis_b, block_class):
    """hypothesis_b: a letter; block_class(num_channels): the repaired block, the lesson's."""
    hints = {
        **ENDS,
        "ReLU before": "The symptom is still there: F ends in a ReLU, so it can only add.",
        "ReLU twice": "The ReLU after the addition is there now. The one before it is still there too.",
        "no ReLU": "Now there is no ReLU at the end at all: the lesson's block has one after the addition.",
    }
    _is_the_lessons_block(trial, block_class, hints)


@exercise(
    "3.8c",
    "Zoo: a zero that changes everything",
    hints=(
        "With F = 0, follow x alone through the block. What does it pass on its way?",
        "Everything that belongs to F must be done before the addition.",
    ),
    options={
        "a": (False, "A weight of exactly zero does no harm: it makes F zero, as intended."),
        "b": (
            False,
            "That ReLU is expected: the comparison is with ReLU(x), not with x.",
        ),
        "c": (
            True,
            "It normalizes x together with F(x), so the shortcut is no longer an identity.",
        ),
        "d": (False, "There are 512 numbers in each channel: enough for a mean and a variance."),
    },
)
def no_identity(trial, hypothesis_c, block_class):
    """hypothesis_c: a letter; block_class(num_channels): the repaired block, the lesson's."""
    hints = {
        **ENDS,
        "late norm": "The symptom is still there: the second normalization comes after the addition.",
        "one norm": "The second normalization is gone. It belongs to F, after the second convolution.",
        "norm at the end": "F has its normalization now; there is one too many outside F.",
    }
    _is_the_lessons_block(trial, block_class, hints)


@exercise(
    "3.8d",
    "Zoo: two answers to one batch",
    hints=(
        "Count the parameters by formula: two convolutions of 9 * 8 * 8, two normalizations of 2 * 8.",
        "A normalization keeps one running mean and one running variance for each channel. How many "
        "different things pass through this one?",
    ),
    options={
        "a": (
            True,
            "Its running statistics mix those of two convolutions, and fit neither.",
        ),
        "b": (
            False,
            "After the same batch 100 times, 0.9 ** 100 = 0.00003 of the starting values is left.",
        ),
        "c": (
            False,
            "The normalization subtracts the mean, and any bias with it: nothing is missing.",
        ),
        "d": (False, "Nothing in this block is random, in either mode."),
    },
)
def shared_norm(trial, hypothesis_d, block_class):
    """hypothesis_d: a letter; block_class(num_channels): the repaired block, the lesson's."""
    hints = {
        **ENDS,
        "shared norm": "The symptom is still there: one normalization serves both convolutions.",
        "one norm": "Two convolutions, so two normalizations: each convolution needs one of its own.",
    }
    block, right = _is_the_lessons_block(trial, block_class, hints)
    trial.equal(
        "after three batches the running statistics give the right prediction",
        trial.call(_prediction_after_training, block),
        _prediction_after_training(right),
        "Only the running statistics can differ: is their momentum the default, 0.9?",
        tolerance=5e-3,
    )


def _prediction_after_training(tried):
    """What a block predicts after the same batch three times."""
    tried.restore()
    for _ in range(3):
        with autograd.record():
            Y = tried.block(tried.X)
        Y.backward()
    return tried.block(tried.X)
