"""What notebook 00b says of MXNet to those who come from PyTorch, row by row of its table."""

import inspect
from pathlib import Path

import nbformat
import pytest
from mxnet import autograd, gluon, np
from mxnet.gluon import nn

X = np.full((2, 3, 8, 8), 10.0)


def trained(layer):
    """The layer after one batch of tens, forward and backward."""
    layer.initialize()
    with autograd.record():
        Y = layer(X)
    Y.backward()
    return layer


def gradient_after_two_passes():
    x = np.ones(3)
    x.attach_grad()
    for _ in range(2):
        with autograd.record():
            y = (5 * x).sum()
        y.backward()
    return x.grad


def arguments(layer):
    return list(inspect.signature(layer).parameters)


ROWS = {
    "nn.Linear": lambda: trained(nn.Dense(4)).weight.shape == (4, 3 * 8 * 8),
    "nn.Conv2d": lambda: arguments(nn.Conv2D)[:3] == ["channels", "kernel_size", "strides"],
    "nn.BatchNorm2d": lambda: arguments(nn.BatchNorm)[0] == "axis",
    "momentum=0.1": lambda: np.abs(trained(nn.BatchNorm()).running_mean.data() - 1).max() < 1e-5,
    "nn.ReLU()": lambda: (nn.Activation("relu")(-X) == 0).all(),
    "nn.Sequential(a, b)": lambda: nn.Sequential().add(nn.Dense(1)) is None,
    "torch.cat": lambda: np.concatenate([X, X], axis=1).shape == (2, 6, 8, 8),
    "net.train()": lambda: not hasattr(nn.Dense(4), "train") and not hasattr(nn.Dense(4), "eval"),
    "optimizer.zero_grad()": lambda: (gradient_after_two_passes() == 5).all(),
    "the loss is a mean": lambda: gluon.loss.L2Loss()(X, X).shape == (2,),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table(row):
    notebook = Path(__file__).parent.parent / "notebooks/00b_the_tools.ipynb"
    lines = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
    assert [line for line in lines.splitlines() if line.startswith("|") and row in line]
    assert ROWS[row]()
