"""What notebook 10 defines to quantize and to export, on small networks with known answers."""

import ast
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import d2lutils
from d2lutils import densenet
from d2lutils.graph import fold_batch_norm, to_graph
from d2lutils.resnet import small_resnet

import nbformat
import numpy
import pytest
from mxnet import init, np
from mxnet.gluon import nn

FILE = Path(__file__).parent.parent / "notebooks/10_from_training_to_use.ipynb"
NAMES = ["classic", "ranges", "limits", "quantize", "as_onnx", "run_onnx"]
NETS = {
    "resnet": lambda: small_resnet(8, width=8),
    "densenet": lambda: densenet(16, growth_rate=8, num_convs=(2, 2)),
}
on_x86 = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64",
    reason="MXNet documents 8-bit integers for Linux, and they were tried on x86",
)


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook that quantize and export, and what its first cell imports."""
    code = [
        cell.source for cell in nbformat.read(FILE, as_version=4).cells if cell.cell_type == "code"
    ]
    space = {}
    exec(code[0], space)
    tops = [node for source in code for node in ast.parse(source).body]
    wanted = [node for node in tops if getattr(node, "name", None) in NAMES]
    assert [node.name for node in wanted] == NAMES
    exec(compile(ast.Module(wanted, []), str(FILE), "exec"), space)
    return SimpleNamespace(**space)


def made(name):
    """The network with random statistics, as a trained one has."""
    d2lutils.seed_everything(0)
    net = NETS[name]()
    net.initialize(d2lutils.nets.he())
    net(np.zeros((1, 1, 32, 32)))
    for key, p in net.collect_params().items():
        if key.endswith(("gamma", "running_var")):
            p.set_data(np.random.uniform(0.5, 2, p.shape))
        elif key.endswith(("beta", "running_mean")):
            p.set_data(np.random.normal(0, 0.1, p.shape))
    return net


class Copies(nn.HybridBlock):
    """relu(x + x), then copied; a convolution copies the first x, and with `both` the second too."""

    def __init__(self, both):
        super().__init__()
        one = {"kernel_size": 1, "use_bias": False, "in_channels": 1}
        self.first, self.last = nn.Conv2D(1, **one), nn.Conv2D(1, **one)
        self.second = nn.Conv2D(1, **one) if both else None
        self.initialize(init.One())

    def hybrid_forward(self, F, X):
        return self.last(F.npx.relu(self.first(X) + (self.second(X) if self.second else X)))


def copies(lesson, both, lowest):
    """Graph and weights, numbers from `lowest` to 1 as an image, and the ranges for them."""
    X = np.linspace(lowest, 1, 1024).reshape(1, 1, 32, 32)
    whole = to_graph(Copies(both))
    return whole, X, lesson.ranges(*whole, X)


def test_ranges_are_the_smallest_and_the_largest_numbers_of_all_batches(lesson):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(1, 1, in_channels=1), nn.Activation("relu"))
    net.initialize()
    net[0].weight.set_data(np.full((1, 1, 1, 1), 2))
    net[0].bias.set_data(np.array([-1]))
    X = np.zeros((300, 1, 1, 1))
    X[3], X[200], X[299] = 1, -3, 5  # one in each batch of 128
    found = lesson.ranges(*to_graph(net), X)
    names = ["data", net[0].name + "_fwd", net[1].name + "_fwd"]
    assert found == dict(zip(names, [(-3, 5), (-7, 9), (0, 9)]))


@on_x86
@pytest.mark.parametrize("both, lowest, largest", [(True, -1, 4), (False, -1, 4), (False, 0, 2)])
def test_only_a_fused_sum_with_negative_numbers_gets_twice_its_range(lesson, both, lowest, largest):
    (graph, _), _, found = copies(lesson, both, lowest)
    with lesson.mx.util.np_array(False), lesson.mx.util.np_shape(False):
        fused = lesson.classic(graph).get_backend_symbol("MKLDNN_QUANTIZE")
    for repaired, expected in ((True, largest), (False, 2)):
        limits = lesson.limits(fused, found, repaired)
        (high,) = (high for name, (_, high) in limits.items() if "conv_add_act" in name)
        assert high == expected
        assert {limits[f"{name}_output"] for name in found} == set(found.values())


@on_x86
def test_int8_sums_with_a_projection_reach_their_range_only_with_the_workaround(lesson):
    whole, X, found = copies(lesson, both=True, lowest=-1)
    largest = {
        repaired: lesson.quantize(*whole, found, 1, repaired)(X).max().item()
        for repaired in (True, False)
    }
    assert largest[False] <= 1 and 1.95 < largest[True] <= 2.05


@on_x86
def test_int8_sums_of_numbers_that_are_never_negative_need_no_workaround(lesson):
    whole, X, found = copies(lesson, both=False, lowest=0)
    assert 1.95 < lesson.quantize(*whole, found, 1, repaired=False)(X).max().item() <= 2.05


@on_x86
@pytest.mark.parametrize("batch_size", [1, 32, 128])
@pytest.mark.parametrize("name", NETS)
def test_int8_scores_are_close_to_those_of_float32(lesson, name, batch_size):
    net = made(name)
    graph, weights = fold_batch_norm(*to_graph(net))
    found = lesson.ranges(graph, weights, lesson.few[0][:256])
    predict = lesson.quantize(graph, weights, found, batch_size)
    X = lesson.some[0][:128]
    parts = [X[start : start + batch_size] for start in range(0, len(X), batch_size)]
    Y, Z = net(X), np.concatenate([predict(part) for part in parts])
    assert (Y.argmax(axis=1) == Z.argmax(axis=1)).mean() > 0.9
    assert np.abs(Y - Z).max() < 0.05 * np.abs(Y).max()


@on_x86
@pytest.mark.parametrize("instructions", ["AVX2", "SSE41"])
def test_the_same_holds_on_a_processor_with_fewer_instructions(instructions):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "int8"]
    env = os.environ | {"DNNL_MAX_CPU_ISA": instructions}
    done = subprocess.run([*command, __file__], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_an_exported_network_gives_the_same_scores(lesson, name, fold, tmp_path):
    pytest.importorskip("onnx.mapping", reason="gone in onnx 1.19")
    pytest.importorskip("onnxruntime")
    net = made(name)
    whole = to_graph(net)
    path = str(tmp_path / "net.onnx")
    lesson.as_onnx(*(fold_batch_norm(*whole) if fold else whole), path)
    for batch_size in (1, 5):
        X = lesson.some[0][:batch_size]
        here = net(X).asnumpy()
        elsewhere = lesson.run_onnx(path, X)
        assert numpy.abs(elsewhere - here).max() < 1e-5 * numpy.abs(here).max()
