"""Helpers for every network: layers in a row, He initialization, the number of parameters."""

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
