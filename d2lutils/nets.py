"""What every network is made with: layers in a row, He initialization, the number of parameters."""

from mxnet import gluon, init
from mxnet.gluon import nn


def sequential(*layers):
    """The layers in a row. The net can be compiled (`hybridize`) if each of the layers can."""
    hybrid = all(isinstance(layer, gluon.HybridBlock) for layer in layers)
    net = nn.HybridSequential() if hybrid else nn.Sequential()
    net.add(*layers)
    return net


def he(scale=1.0):
    """He initialization: normal weights of variance 2 / (inputs of a unit), multiplied by `scale`.

    Source: He et al. 2015b, section 2.2, equation 10.
    """
    return init.Xavier("gaussian", "in", magnitude=2 * scale**2)


def count(net):
    """How many numbers the net trains, running statistics left out. Its shapes must be known:
    call the net once first."""
    return sum(p.data().size for p in net.collect_params().values() if p.grad_req != "null")
