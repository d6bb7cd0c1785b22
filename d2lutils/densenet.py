"""Densely connected networks (Huang et al. 2017), as notebook 04 builds them."""

from mxnet.gluon import nn


def conv_block(num_channels):
    """Batch normalization, ReLU, 3x3 convolution: one layer H of Huang et al. 2017, section 3."""
    block = nn.HybridSequential()
    block.add(
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.Conv2D(num_channels, kernel_size=3, padding=1, use_bias=False),
    )
    return block


class DenseBlock(nn.HybridBlock):
    """A row of layers; each reads all earlier feature maps of the block and appends its own.

    (N, C, H, W) -> (N, C + num_convs * growth_rate, H, W).
    Source: Huang et al. 2017, section 3, equation 2.
    """

    def __init__(self, num_convs, growth_rate):
        super().__init__()
        self.layers = nn.HybridSequential()
        for _ in range(num_convs):
            self.layers.add(conv_block(growth_rate))

    def hybrid_forward(self, F, X):
        for layer in self.layers:
            X = F.np.concatenate([X, layer(X)], axis=1)
        return X


def transition_block(num_channels):
    """(N, C, H, W) -> (N, num_channels, H / 2, W / 2): fewer channels by a 1x1 convolution, then pooling.

    Source: Huang et al. 2017, section 3, "Pooling layers" and "Compression".
    """
    block = nn.HybridSequential()
    block.add(
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.Conv2D(num_channels, kernel_size=1, use_bias=False),
        nn.AvgPool2D(pool_size=2, strides=2),
    )
    return block


def densenet(num_channels=64, growth_rate=32, num_convs=(4, 4, 4, 4), num_classes=10):
    """The book's DenseNet for images (N, C, H, W) of at least 32x32; returns scores (N, num_classes).

    num_channels: channels of the first layer. num_convs: layers in each dense block. A transition
    between two blocks halves channels, height and width.
    """
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(num_channels, kernel_size=7, strides=2, padding=3, use_bias=False),
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1),
    )
    for i, n in enumerate(num_convs):
        net.add(DenseBlock(n, growth_rate))
        num_channels += n * growth_rate
        if i < len(num_convs) - 1:
            num_channels //= 2
            net.add(transition_block(num_channels))
    net.add(nn.BatchNorm(), nn.Activation("relu"), nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net
