"""Residual networks (He et al. 2015): the block, ResNet-18 and the small nets for CIFAR-size images."""

from mxnet.gluon import nn

from .nets import sequential
from .norm import make_norm


class Residual(nn.HybridBlock):
    """Two 3x3 convolutions, each with batch normalization, and a shortcut around them.

    (N, C, H, W) -> (N, num_channels, H / strides, W / strides). The shortcut is the identity,
    or with `projection` a 1x1 convolution and batch normalization. The first 3x3 convolution
    has the stride. With shortcut=False the block is plain.
    Source: He et al. 2015, section 3.2 and figure 2.
    """

    def __init__(self, num_channels, projection=False, strides=1, shortcut=True):
        super().__init__()
        if strides != 1 and shortcut and not projection:
            raise ValueError(
                f"strides={strides} shrinks the image: the shortcut needs projection=True."
            )
        self.conv1 = nn.Conv2D(num_channels, 3, strides, padding=1, use_bias=False)
        self.bn1 = nn.BatchNorm()
        self.conv2 = nn.Conv2D(num_channels, 3, padding=1, use_bias=False)
        self.bn2 = nn.BatchNorm()
        self.shortcut = shortcut
        self.projection = None
        if shortcut and projection:
            self.projection = nn.HybridSequential()
            self.projection.add(nn.Conv2D(num_channels, 1, strides, use_bias=False), nn.BatchNorm())

    def hybrid_forward(self, F, X):
        Y = F.npx.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.shortcut:
            Y = Y + (self.projection(X) if self.projection else X)
        return F.npx.relu(Y)


def stage(num_channels, num_blocks, strides, shortcut=True):
    """A row of residual blocks. If strides is not 1, the first one changes channels and size."""
    blocks = nn.HybridSequential()
    for i in range(num_blocks):
        first = i == 0 and strides != 1
        blocks.add(Residual(num_channels, first, strides if first else 1, shortcut))
    return blocks


def resnet18(num_classes=10):
    """ResNet-18 for images (N, C, H, W) of at least 32x32; returns scores (N, num_classes).

    Source: He et al. 2015, Table 1.
    """
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(64, kernel_size=7, strides=2, padding=3, use_bias=False),
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1),
        stage(64, 2, strides=1),
        stage(128, 2, strides=2),
        stage(256, 2, strides=2),
        stage(512, 2, strides=2),
        nn.GlobalAvgPool2D(),
        nn.Dense(num_classes),
    )
    return net


def _blocks_in_a_stage(depth):
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"depth must be 6n + 2 (8, 14, 20, ...), not {depth!r}.")
    return (depth - 2) // 6


def small_resnet(depth, width=16, shortcut=True, num_classes=10):
    """The residual net for small images, or with shortcut=False the plain net of the same depth.

    Three stages of `width`, 2 * width and 4 * width channels; depth = 6n + 2 counts the 3x3
    convolutions and the last layer, not the projections.
    Raises ValueError for another depth. Source: He et al. 2015, section 4.2.
    """
    n = _blocks_in_a_stage(depth)
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(width, kernel_size=3, padding=1, use_bias=False),
        nn.BatchNorm(),
        nn.Activation("relu"),
        stage(width, n, strides=1, shortcut=shortcut),
        stage(2 * width, n, strides=2, shortcut=shortcut),
        stage(4 * width, n, strides=2, shortcut=shortcut),
        nn.GlobalAvgPool2D(),
        nn.Dense(num_classes),
    )
    return net


def plain_net(depth, width=16, norm=None, num_classes=10):
    """The plain net of `small_resnet`'s shape, with any normalization or none.

    norm: makes the normalization between each convolution and its ReLU, as in `lenet`; without
    one, the convolutions have biases.
    Raises ValueError for a depth that is not 6n + 2.
    """
    n = _blocks_in_a_stage(depth)
    layers = []
    channels = [width] + [width] * 2 * n + [2 * width] * 2 * n + [4 * width] * 2 * n
    for before, c in zip([width, *channels], channels):
        strides = 2 if c > before else 1
        layers.append(nn.Conv2D(c, 3, strides, padding=1, use_bias=norm is None))
        layers += [make_norm(norm, c, 4)] if norm else []
        layers.append(nn.Activation("relu"))
    return sequential(*layers, nn.GlobalAvgPool2D(), nn.Dense(num_classes))
