"""The course's three networks once more in PyTorch: layer for layer, parameter for parameter."""

import torch
from torch import nn


def lenet(num_classes=10):
    """`d2lutils.lenet` with batch normalization and ReLU."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(400, 120), nn.BatchNorm1d(120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.BatchNorm1d(84), nn.ReLU()),
        nn.Linear(84, num_classes),
    )


def _stem(num_channels):
    return [
        nn.Conv2d(1, num_channels, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(num_channels),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]


def _head(num_channels, num_classes):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_channels, num_classes)]


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, as `d2lutils.Residual`."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Identity()
        if stride > 1:
            projection = nn.Conv2d(before, after, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(after))

    def forward(self, X):
        return torch.relu(self.body(X) + self.shortcut(X))


def resnet18(num_classes=10):
    """`d2lutils.resnet18` for images of one colour."""
    stages, before = [], 64
    for after in (64, 128, 256, 512):
        stride = 1 if after == before else 2
        stages += [Residual(before, after, stride), Residual(after, after, 1)]
        before = after
    return nn.Sequential(*_stem(64), *stages, *_head(512, num_classes))


class DenseLayer(nn.Sequential):
    """Batch normalization, ReLU and a 3x3 convolution whose output joins the input's channels."""

    def __init__(self, num_channels, growth_rate):
        convolution = nn.Conv2d(num_channels, growth_rate, 3, padding=1, bias=False)
        super().__init__(nn.BatchNorm2d(num_channels), nn.ReLU(), convolution)

    def forward(self, X):
        return torch.cat([X, super().forward(X)], dim=1)


def densenet(num_channels=64, growth_rate=32, num_convs=(4, 4, 4, 4), num_classes=10):
    """`d2lutils.densenet` for images of one colour."""
    layers = _stem(num_channels)
    for i, n in enumerate(num_convs):
        if i > 0:  # a transition
            layers += [nn.BatchNorm2d(num_channels), nn.ReLU()]
            layers += [nn.Conv2d(num_channels, num_channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            num_channels //= 2
        for _ in range(n):
            layers.append(DenseLayer(num_channels, growth_rate))
            num_channels += growth_rate
    layers += [nn.BatchNorm2d(num_channels), nn.ReLU()]
    return nn.Sequential(*layers, *_head(num_channels, num_classes))
