"""Helpers for every network: layers in a row, He initialization, and counts of its size."""

import math

from mxnet import gluon, init
from mxnet.gluon import nn


def sequential(*layers):
    """A net that applies the layers in order. `hybridize` compiles it if every layer allows that."""
    hybrid = all(isinstance(layer, gluon.HybridBlock) for layer in layers)
    net = nn.HybridSequential() if hybrid else nn.Sequential()
    net.add(*layers)
    return net


def he(scale=1.0):
    """He initialization: normal weights of variance 2 / (inputs per unit), multiplied by `scale`.

    Source: He et al. 2015b, section 2.2, equation 10.
    """
    return init.Xavier("gaussian", "in", magnitude=2 * scale**2)


def count(net):
    """The number of trainable parameters, without running statistics. Call the net on an input
    first, so that all shapes are known."""
    return sum(p.data().size for p in net.collect_params().values() if p.grad_req != "null")


def multiply_adds(net, X):
    """How many multiplications, each with an addition, the net needs for the batch X.

    Counts convolutions and dense layers: each weight once for every position of the layer's output,
    zeros around the image included. Biases, normalizations, activations and pooling are left out.
    The net is left uncompiled (`hybridize(False)`): in a compiled one, layers cannot be watched.
    """
    counts, hooks = [], []

    def add(layer, inputs, output):
        positions = output.size // layer.weight.shape[0]  # images, times height and width
        counts.append(positions * math.prod(layer.weight.shape))

    def watch(layer):
        if isinstance(layer, nn.Conv2D | nn.Dense):
            hooks.append(layer.register_forward_hook(add))

    net.hybridize(False)
    net.apply(watch)
    net(X)
    for hook in hooks:
        hook.detach()
    return sum(counts)
