"""LeNet-5 (LeCun et al. 1998), with or without a normalization before each activation."""

from mxnet.gluon import nn

from .nets import sequential
from .norm import make_norm


def lenet(norm=None, activation="sigmoid", num_classes=10):
    """LeNet for images (N, 1, 32, 32); returns scores (N, num_classes).

    norm: makes the normalization between each layer and its activation, such as `nn.BatchNorm`
    or `BatchNorm` (see `make_norm`); None for no normalization.
    activation: a name that `nn.Activation` knows, such as "sigmoid" or "relu".
    Source: LeCun et al. 1998, section II.B, with average pooling and a plain output layer.
    """

    def step(layer, num_features, num_dims):
        normalization = [make_norm(norm, num_features, num_dims)] if norm else []
        return [layer, *normalization, nn.Activation(activation)]

    return sequential(
        *step(nn.Conv2D(6, kernel_size=5), 6, 4),  # (N, 6, 28, 28)
        nn.AvgPool2D(pool_size=2, strides=2),  # (N, 6, 14, 14)
        *step(nn.Conv2D(16, kernel_size=5), 16, 4),  # (N, 16, 10, 10)
        nn.AvgPool2D(pool_size=2, strides=2),  # (N, 16, 5, 5)
        *step(nn.Dense(120), 120, 2),
        *step(nn.Dense(84), 84, 2),
        nn.Dense(num_classes),
    )
