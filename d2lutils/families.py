"""The families at full size: ResNet of both versions and DenseNet, for large and for small images.

He et al. 2015 (version 1) and 2016 (version 2), Huang et al. 2017. Every network here takes images
(N, C, H, W) and returns scores (N, num_classes).
"""

from mxnet.gluon import nn

from .densenet import DenseBlock, transition_block
from .nets import sequential

RESNETS = {  # depth: whether its blocks are bottlenecks, and blocks in each stage
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}
DENSENETS = {  # depth: channels of the first layer, growth rate, layers in each dense block
    121: (64, 32, (6, 12, 24, 16)),
    161: (96, 48, (6, 12, 36, 24)),
    169: (64, 32, (6, 12, 32, 32)),
    201: (64, 32, (6, 12, 48, 32)),
}


def convolution(num_channels, size, strides=1):
    """A convolution without bias that keeps height and width, or divides them by `strides`."""
    return nn.Conv2D(num_channels, size, strides, padding=size // 2, use_bias=False)


def normalized(layer):
    """Batch normalization and ReLU, then the layer."""
    return sequential(nn.BatchNorm(), nn.Activation("relu"), layer)


# --- the residual block, in both versions ---


def branch(num_channels, strides=1, bottleneck=False, stride_in="1x1"):
    """The convolutions of a residual block, with batch normalization and ReLU between two of them.

    Two 3x3 convolutions; as a `bottleneck` 1x1, 3x3 and 1x1, the first two with a quarter of the
    channels. stride_in: "1x1" or "3x3", the convolution of a bottleneck that has the stride.
    Source: He et al. 2015, figure 5.
    """
    if not bottleneck:
        return sequential(
            convolution(num_channels, 3, strides), normalized(convolution(num_channels, 3))
        )
    first, second = (strides, 1) if stride_in == "1x1" else (1, strides)
    return sequential(
        convolution(num_channels // 4, 1, first),
        normalized(convolution(num_channels // 4, 3, second)),
        normalized(convolution(num_channels, 1)),
    )


class BlockV1(nn.HybridBlock):
    """Version 1: normalize the branch, add the shortcut, then ReLU.

    zero_gamma: start with gamma = 0 in that normalization, so that the block begins as its
    shortcut. Source: He et al. 2015, section 3.2; zero_gamma: Goyal et al. 2017, section 5.1.
    """

    def __init__(self, branch, shortcut=None, zero_gamma=False):
        super().__init__()
        self.branch = branch
        self.bn = nn.BatchNorm(gamma_initializer="zeros" if zero_gamma else "ones")
        self.shortcut = shortcut

    def hybrid_forward(self, F, X):
        Y = self.bn(self.branch(X))
        return F.npx.relu(Y + (self.shortcut(X) if self.shortcut else X))


class BlockV2(nn.HybridBlock):
    """Version 2: normalization and ReLU come before the branch, and nothing after the addition.

    Source: He et al. 2016, equation 9 and figure 4 (e).
    """

    def __init__(self, branch, shortcut=None):
        super().__init__()
        self.bn = nn.BatchNorm()
        self.branch, self.shortcut = branch, shortcut

    def hybrid_forward(self, F, X):
        Z = F.npx.relu(self.bn(X))
        return self.branch(Z) + (self.shortcut(Z) if self.shortcut else X)


class ZeroPadding(nn.HybridBlock):
    """Shortcut A, without parameters: every `strides`-th pixel, and zeros as the new channels.

    (N, C, H, W) -> (N, times * C, H / strides, W / strides).
    """

    def __init__(self, times, strides):
        super().__init__()
        self.times, self.pixels = times, nn.MaxPool2D(pool_size=1, strides=strides)

    def hybrid_forward(self, F, X):
        X = self.pixels(X)
        return F.np.concatenate([X] + [F.np.zeros_like(X)] * (self.times - 1), axis=1)


def make_shortcut(option, channels_in, num_channels, strides, version):
    """The shortcut of a block, or None for the identity.

    option: "A" pads with zeros where the shape changes, "B" projects there, "C" projects in every
    block. A projection is a 1x1 convolution, in version 1 with batch normalization.
    Source: He et al. 2015, sections 3.3 and 4.1.
    """
    if option != "C" and channels_in == num_channels and strides == 1:
        return None
    if option == "A":
        return ZeroPadding(num_channels // channels_in, strides)
    projection = convolution(num_channels, 1, strides)
    return sequential(projection, nn.BatchNorm()) if version == 1 else projection


def make_block(
    channels_in,
    num_channels,
    strides=1,
    version=1,
    bottleneck=False,
    shortcut="B",
    stride_in="1x1",
    zero_gamma=False,
):
    """A residual block (N, channels_in, H, W) -> (N, num_channels, H / strides, W / strides).

    shortcut: see `make_shortcut`; bottleneck, stride_in: see `branch`; zero_gamma: see `BlockV1`.
    Raises ValueError for an unknown option.
    """
    _one_of((1, 2), version=version)
    _one_of(("A", "B", "C"), shortcut=shortcut)
    _one_of(("1x1", "3x3"), stride_in=stride_in)
    if version == 2 and zero_gamma:
        raise ValueError(
            "zero_gamma is for version 1: in version 2 no normalization ends a branch."
        )
    body = branch(num_channels, strides, bottleneck, stride_in)
    around = make_shortcut(shortcut, channels_in, num_channels, strides, version)
    return BlockV1(body, around, zero_gamma) if version == 1 else BlockV2(body, around)


# --- residual networks ---


def residual_net(stem, channels, widths, numbers, num_classes, version=1, **options):
    """The layers of the stem, stages of blocks, global average pooling and a dense layer.

    channels: what comes out of the stem. widths, numbers: channels and blocks of each stage; from
    the second on, a stage begins with stride 2. options: those of `make_block`.
    """
    net = sequential(*stem)
    for i, (width, number) in enumerate(zip(widths, numbers)):
        for j in range(number):
            strides = 2 if i > 0 and j == 0 else 1
            net.add(make_block(channels, width, strides, version, **options))
            channels = width
    if version == 2:  # nothing has normalized the last sum
        net.add(nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


def make_stem(stem, num_channels, in_channels=0):
    """The layers before the first block.

    stem: "large", a 7x7 convolution and a pooling, each with stride 2; "small", a 3x3 convolution.
    in_channels: channels of the images, 0 to take them from the first batch.
    """
    _one_of(("large", "small"), stem=stem)
    size, strides = (7, 2) if stem == "large" else (3, 1)
    first = nn.Conv2D(
        num_channels, size, strides, size // 2, use_bias=False, in_channels=in_channels
    )
    layers = [first, nn.BatchNorm(), nn.Activation("relu")]
    return layers + [nn.MaxPool2D(pool_size=3, strides=2, padding=1)] * (stem == "large")


def resnet(depth, version=1, num_classes=1000, stem="large", in_channels=0, **options):
    """ResNet-18, 34, 50, 101 or 152.

    version: 1 or 2. stem, in_channels: see `make_stem`; the large stem is for images of 32x32 to
    224x224 and more. options: shortcut, stride_in, zero_gamma, see `make_block`.
    Raises ValueError for any other depth or option.
    Source: He et al. 2015, table 1; 2016, figure 4 (e).
    """
    bottleneck, numbers = _one_of(RESNETS, depth=depth)
    widths = [256, 512, 1024, 2048] if bottleneck else [64, 128, 256, 512]
    layers = make_stem(stem, 64, in_channels)
    return residual_net(
        layers, 64, widths, numbers, num_classes, version, bottleneck=bottleneck, **options
    )


def cifar_resnet(
    depth, version=1, num_classes=10, width=16, bottleneck=False, in_channels=0, **options
):
    """A ResNet for small images: 20, 32, 44, 56 or 110 layers, or any other 6n + 2.

    Three stages of `width`, 2 * width and 4 * width channels, and shortcut A unless options say
    otherwise. As a `bottleneck` it has four times the channels and 9n + 2 layers (164, 1001).
    version, in_channels, options: as in `resnet`. Raises ValueError for any other depth or option.
    Source: He et al. 2015, section 4.2; 2016, section 4 and appendix.
    """
    period, known = (9, "29, 56, 110, 164, 1001") if bottleneck else (6, "20, 32, 44, 56, 110")
    if depth not in range(2 + period, 10**4, period):
        raise ValueError(f"depth must be {period}n + 2, such as {known}, not {depth!r}.")
    widths = [times * width * (4 if bottleneck else 1) for times in (1, 2, 4)]
    numbers = [(depth - 2) // period] * 3
    options = {"bottleneck": bottleneck, "shortcut": "A", **options}
    layers = make_stem("small", width, in_channels)
    return residual_net(layers, width, widths, numbers, num_classes, version, **options)


def _one_of(known, **argument):
    """The argument's value, or its entry if `known` is a dict; ValueError if it is not known."""
    ((name, value),) = argument.items()
    if isinstance(value, bool) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}.")
    return known[value] if isinstance(known, dict) else value


# --- densely connected networks ---


def dense_block(num_convs, growth_rate, bottleneck=True):
    """A `DenseBlock`; as a `bottleneck`, a 1x1 convolution to 4 * growth_rate channels comes first.

    Source: Huang et al. 2017, section 3, "Bottleneck layers".
    """
    if not bottleneck:
        return DenseBlock(num_convs, growth_rate)
    block = DenseBlock(0, growth_rate)
    for _ in range(num_convs):
        narrow, wide = convolution(4 * growth_rate, 1), convolution(growth_rate, 3)
        block.layers.add(sequential(normalized(narrow), normalized(wide)))
    return block


def dense_net(stem, channels, growth_rate, numbers, num_classes, bottleneck=True, compression=0.5):
    """The layers of the stem, dense blocks with transitions between them, and the last layers.

    channels: what comes out of the stem. numbers: layers of each dense block. compression: the
    share of the channels that a transition keeps.
    """
    net = sequential(*stem)
    for i, n in enumerate(numbers):
        net.add(dense_block(n, growth_rate, bottleneck))
        channels += n * growth_rate
        if i < len(numbers) - 1:
            channels = int(channels * compression)
            net.add(transition_block(channels))
    net.add(nn.BatchNorm(), nn.Activation("relu"), nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


def densenet(depth, num_classes=1000, stem="large", in_channels=0):
    """DenseNet-121, 161, 169 or 201, with bottlenecks, and half the channels after each block.

    stem, in_channels: as in `resnet`. Raises ValueError for any other depth.
    Source: Huang et al. 2017, table 1 (161 in earlier versions of it).
    """
    num_channels, growth_rate, numbers = _one_of(DENSENETS, depth=depth)
    layers = make_stem(stem, num_channels, in_channels)
    return dense_net(layers, num_channels, growth_rate, numbers, num_classes)


def densenet_bc(
    depth, growth_rate, bottleneck=True, compression=0.5, num_classes=10, in_channels=0
):
    """A DenseNet for small images: three dense blocks of equal length.

    bottleneck: two convolutions a layer instead of one. compression: the share of the channels that
    a transition keeps, above 0 and at most 1. With both it is the paper's DenseNet-BC, with
    bottleneck=False and compression=1 its plain DenseNet.
    Raises ValueError for a depth that is not 6n + 4 with bottlenecks, 3n + 4 without them, and for
    any other compression. Source: Huang et al. 2017, section 3, "Implementation Details".
    """
    period, known = (6, "40, 100, 190, 250") if bottleneck else (3, "40, 100")
    if depth not in range(4 + period, 10**4, period):
        raise ValueError(f"depth must be {period}n + 4, such as {known}, not {depth!r}.")
    if not 0 < compression <= 1:
        raise ValueError(f"compression must be above 0 and at most 1, not {compression!r}.")
    num_channels = 2 * growth_rate if bottleneck and compression < 1 else 16
    layers = [nn.Conv2D(num_channels, 3, padding=1, use_bias=False, in_channels=in_channels)]
    numbers = [(depth - 4) // period] * 3
    return dense_net(
        layers, num_channels, growth_rate, numbers, num_classes, bottleneck, compression
    )
