"""The families: every builder against the papers' numbers and against Gluon's model zoo."""

import csv
import re
import subprocess
import sys

from d2lutils import densenet as the_books_densenet
from d2lutils import families
from d2lutils.families import (
    BlockV1,
    BlockV2,
    ZeroPadding,
    cifar_resnet,
    densenet,
    densenet_bc,
    resnet,
)
from d2lutils.nets import count, multiply_adds
from d2lutils.resnet import Residual, resnet18, small_resnet

import architectures
import numpy
import pytest
from mxnet import init, np
from mxnet.gluon.model_zoo import vision


def made(net, *shape):
    """The network, initialized, after a batch of that shape; and what came out."""
    net.initialize()
    return net, net(np.random.normal(size=shape))


def shapes_after(net, X):
    """The shapes, without the batch, that X takes on its way through the layers of a net."""
    shapes = []
    for layer in net:
        X = layer(X)
        shapes.append(X.shape[1:])
    return shapes


def changes(shapes):
    """The shapes, each once as long as it stays the same."""
    return [shape for before, shape in zip([None, *shapes], shapes) if shape != before]


# --- parameters and multiply-adds: what the papers print, to their last digit ---

RESNET = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
RESNET_GIGA = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}  # He et al. 2015, table 1
RESNET_GIGA_3X3 = {50: 4.1, 101: 7.8, 152: 11.5}  # torchvision
DENSENET = {121: 7_978_856, 161: 28_681_000, 169: 14_149_480, 201: 20_013_928}
CIFAR = {
    20: "0.27",
    32: "0.46",
    44: "0.66",
    56: "0.85",
    110: "1.73",
    1202: "19.42",
}  # 2015, table 6: 1.7, 19.4


@pytest.mark.parametrize("depth", RESNET)
def test_resnets_have_the_parameters_of_others(depth):
    net, Y = made(resnet(depth), 1, 3, 64, 64)
    assert count(net) == RESNET[depth]
    assert Y.shape == (1, 1000)


@pytest.mark.parametrize("depth", DENSENET)
def test_densenets_have_the_parameters_of_others(depth):
    net, Y = made(densenet(depth), 1, 3, 64, 64)
    assert count(net) == DENSENET[depth]
    assert Y.shape == (1, 1000)


@pytest.mark.parametrize("depth", RESNET)
def test_multiply_adds_of_resnets(depth):
    """Table 1 rounds 3.66 down to 3.6 and 3.86 to 3.8."""
    net, X = resnet(depth), np.zeros((1, 3, 224, 224))
    net.initialize()
    assert abs(multiply_adds(net, X) / 1e9 - RESNET_GIGA[depth]) < 0.07


@pytest.mark.parametrize("depth", RESNET_GIGA_3X3)
def test_the_stride_in_the_3x3_costs_more_and_has_the_same_parameters(depth):
    net, X = resnet(depth, stride_in="3x3"), np.zeros((1, 3, 224, 224))
    net.initialize()
    assert abs(multiply_adds(net, X) / 1e9 - RESNET_GIGA_3X3[depth]) < 0.05
    assert count(net) == RESNET[depth]


@pytest.mark.parametrize("depth", CIFAR)
def test_small_resnets_have_the_parameters_of_the_paper(depth):
    net, _ = made(cifar_resnet(depth), 1, 3, 32, 32)
    assert f"{count(net) / 1e6:.2f}" == CIFAR[depth]


@pytest.mark.parametrize(
    "depth, growth_rate, bc, millions",
    [
        (40, 12, False, "1.0"),
        (100, 12, False, "7.0"),
        (100, 24, False, "27.2"),
        (100, 12, True, "0.8"),
        (250, 24, True, "15.3"),
        (190, 40, True, "25.6"),
    ],
)
def test_small_densenets_have_the_parameters_of_the_paper(depth, growth_rate, bc, millions):
    """Huang et al. 2017, table 2."""
    net = densenet_bc(depth, growth_rate, bottleneck=bc, compression=0.5 if bc else 1)
    net, _ = made(net, 1, 3, 32, 32)
    assert f"{count(net) / 1e6:.1f}" == millions


with architectures.FILE.open(encoding="utf-8") as file:
    TABLE = list(csv.DictReader(file))


def test_the_table_of_networks_has_each_network_and_what_is_published():
    first = [row["network"] for row in TABLE]
    assert first == [name for name, *_ in architectures.networks()], "run tools/architectures.py"
    published = {row["built by"]: row["published"] for row in TABLE}
    for depth, parameters in RESNET.items():
        assert published[f"resnet({depth})"] == f"{parameters:,}"
    for depth, parameters in DENSENET.items():
        assert published[f"densenet({depth})"] == f"{parameters:,}"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["network"])
def test_a_row_of_the_table_is_what_the_network_has(row):
    """Multiply-adds of small networks only: the large ones are tested above."""
    net = architectures.build(row["built by"])
    channels, height, width = map(int, row["input"].split(" × "))
    net.initialize()
    net(np.zeros((1, channels, min(height, 64), min(width, 64))))
    assert f"{count(net):,}" == row["parameters"], "run tools/architectures.py"
    if "1001" in row["network"]:
        assert row["published"] == "10.2 M", "the weights alone: tested below"
    elif row["published"]:
        value, unit = re.fullmatch(r"([\d.,]+)( M)?", row["published"]).groups()
        decimals = len(value.partition(".")[2])
        assert f"{count(net) / (1e6 if unit else 1):,.{decimals}f}" == value
    if "M" in row["multiply-adds"]:
        work = multiply_adds(net, np.zeros((1, channels, height, width)))
        assert f"{work / 1e6:.1f} M" == row["multiply-adds"], "run tools/architectures.py"


def test_version_2_of_164_and_1001_layers():
    """He et al. 2016, table 4: 1.7 M for 164 layers, 10.2 M for 1001 (10.3 here, 10.2 without gamma, beta and biases)."""
    for depth, parameters, weights in [
        (164, 1_703_290, 1_679_024),
        (1001, 10_327_738, 10_178_480),
    ]:
        net = cifar_resnet(depth, version=2, shortcut="B", bottleneck=True)
        net, _ = made(net, 1, 3, 32, 32)
        assert count(net) == parameters
        assert sum(p.data().size for p in net.collect_params(".*weight").values()) == weights


def layers(net):
    """Convolutions of stem and branches, and the dense layer."""
    convolutions = net.collect_params(".*conv.*weight")
    projections = [
        name
        for layer in net
        if getattr(layer, "shortcut", None)
        for name in layer.shortcut.collect_params(".*weight")
    ]
    return len(convolutions.keys()) - len(projections) + 1


@pytest.mark.parametrize("version", [1, 2])
def test_the_names_count_layers(version):
    for depth in RESNET:
        assert layers(resnet(depth, version)) == depth
    for depth in (20, 110):
        assert layers(cifar_resnet(depth, version)) == depth
    assert layers(cifar_resnet(164, version, bottleneck=True, shortcut="B")) == 164
    for depth in DENSENET:
        assert layers(densenet(depth)) == depth
    assert layers(densenet_bc(100, 12)) == 100
    assert layers(densenet_bc(40, 12, bottleneck=False, compression=1)) == 40


# --- shapes ---


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("depth", RESNET)
def test_the_shapes_of_resnets(depth, version):
    """He et al. 2015, table 1, column "output size"."""
    net, X = resnet(depth, version), np.zeros((1, 3, 224, 224))
    net.initialize()
    times = 4 if depth >= 50 else 1
    stages = [(64 * times, 56, 56), (128 * times, 28, 28), (256 * times, 14, 14)]
    stages += [(512 * times, 7, 7), (512 * times, 1, 1), (1000,)]
    stem = [(64, 112, 112)] + [(64, 56, 56)] * (times == 4)
    assert changes(shapes_after(net, X)) == stem + stages


@pytest.mark.parametrize("depth", DENSENET)
def test_the_shapes_of_densenets(depth):
    """Huang et al. 2017, table 1: height and width, and half of the channels in a transition."""
    first, growth_rate, numbers = families.DENSENETS[depth]
    net, X = densenet(depth), np.zeros((1, 3, 224, 224))
    net.initialize()
    expected, channels, side = [(first, 112, 112), (first, 56, 56)], first, 56
    for i, n in enumerate(numbers):
        channels += n * growth_rate
        expected.append((channels, side, side))
        if i < 3:
            channels, side = channels // 2, side // 2
            expected.append((channels, side, side))
    assert changes(shapes_after(net, X)) == expected + [(channels, 1, 1), (1000,)]


@pytest.mark.parametrize("option", "ABC")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bottleneck, depth", [(False, 8), (True, 11)])
def test_the_shapes_of_small_resnets(option, version, bottleneck, depth):
    net = cifar_resnet(depth, version, width=4, bottleneck=bottleneck, shortcut=option)
    net.initialize()
    w = 16 if bottleneck else 4
    stem = [(4, 32, 32)] * bottleneck
    stages = [(w, 32, 32), (2 * w, 16, 16), (4 * w, 8, 8), (4 * w, 1, 1), (10,)]
    assert changes(shapes_after(net, np.zeros((2, 1, 32, 32)))) == stem + stages


def test_a_small_stem_keeps_the_size():
    for make in (resnet, densenet):
        net = make(18 if make is resnet else 121, num_classes=7, stem="small", in_channels=1)
        net.initialize()
        shapes = shapes_after(net, np.zeros((1, 1, 32, 32)))
        assert shapes[0] == (64, 32, 32) and shapes[-1] == (7,)
        with pytest.raises(Exception, match="channel|shape|Shape"):
            net(np.zeros((1, 3, 32, 32)))


# --- what the names promise; tests/test_networks.py has more of these networks ---


def test_the_nets_of_the_course_are_members():
    """ResNet-18 and the small residual nets, with projections, have the same parameters in order."""
    pairs = [
        (resnet18(), resnet(18, num_classes=10)),
        (small_resnet(14, width=4), cifar_resnet(14, shortcut="B", width=4)),
        (
            the_books_densenet(),
            families.dense_net(families.make_stem("large", 64), 64, 32, (4, 4, 4, 4), 10, False),
        ),
    ]
    X = np.random.normal(size=(2, 1, 32, 32))
    for ours, member in pairs:
        for net in (ours, member):
            net.initialize()
            net(X)
        theirs = sorted(p.shape for p in ours.collect_params().values())
        assert sorted(p.shape for p in member.collect_params().values()) == theirs
        assert multiply_adds(ours, X) == multiply_adds(member, X)


def test_a_block_of_version_1_is_the_one_of_notebook_03():
    ours = Residual(6, projection=True, strides=2)
    shortcut = families.make_shortcut("B", 4, 6, 2, version=1)
    block = BlockV1(families.branch(6, 2), shortcut)
    X = np.random.normal(size=(2, 4, 8, 8))
    for each in (ours, block):
        each.initialize()
        each(X)
    mine = [ours.conv1, ours.bn1, ours.conv2, ours.bn2, *ours.projection]
    (conv1, (bn1, _, conv2)) = block.branch
    theirs = [conv1, bn1, conv2, block.bn, *block.shortcut]
    for one, other in zip(mine, theirs):
        for p, q in zip(one.collect_params().values(), other.collect_params().values()):
            values = np.random.uniform(0.5, 1.5, size=p.shape)
            p.set_data(values)
            q.set_data(values)
    assert np.abs(ours(X) - block(X)).max() < 1e-5 * np.abs(ours(X)).max()


def test_version_2_passes_its_input_on_untouched():
    """With a branch of zeros the block is the identity, negative numbers included."""
    block = BlockV2(families.branch(3))
    block.initialize(init.Zero())
    X = np.random.normal(size=(2, 3, 5, 5))
    assert (block(X) == X).all()


@pytest.mark.parametrize("option", "ABC")
def test_shortcuts(option):
    def shortcut(channels_in, num_channels, strides, version=1):
        return families.make_shortcut(option, channels_in, num_channels, strides, version)

    same = shortcut(4, 4, 1)
    assert (same is None) == (option != "C")
    X = np.random.normal(size=(2, 4, 6, 6))
    for version in (1, 2):
        layer, Y = made(shortcut(4, 8, 2, version), 2, 4, 6, 6)
        assert Y.shape == (2, 8, 3, 3)
        if option == "A":
            assert isinstance(layer, ZeroPadding) and not list(layer.collect_params())
            Y = layer(X)
            assert (Y[:, :4] == X[:, :, ::2, ::2]).all() and not Y[:, 4:].any()
        else:
            norms = [p for p in layer.collect_params() if p.endswith("gamma")]
            assert len(norms) == (version == 1)


def test_zero_gamma_starts_each_block_as_its_shortcut():
    net, _ = made(cifar_resnet(8, shortcut="B", width=4, zero_gamma=True), 2, 1, 32, 32)
    blocks = [layer for layer in net if isinstance(layer, BlockV1)]
    assert len(blocks) == 3
    for block in blocks:
        X = np.abs(np.random.normal(size=(2, block.branch[0].weight.shape[1], 8, 8)))
        expected = block.shortcut(X) if block.shortcut else X
        assert (block(X) == np.maximum(expected, 0)).all()


def test_bottleneck_layers_of_a_dense_block():
    """Huang et al. 2017: the 1x1 convolution makes four times the growth rate."""
    block, _ = made(families.dense_block(2, 3), 1, 5, 4, 4)
    weights = [p.shape for p in block.collect_params().values() if len(p.shape) == 4]
    assert weights == [(12, 5, 1, 1), (3, 12, 3, 3), (12, 8, 1, 1), (3, 12, 3, 3)]


# --- bad arguments ---


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: resnet(20), "18, 34, 50, 101, 152, not 20"),
        (lambda: resnet("50"), "not '50'"),
        (lambda: resnet(True), "not True"),
        (lambda: resnet(18, version=3), "version must be one of 1, 2"),
        (lambda: resnet(18, version=True), "version must be one of 1, 2"),
        (lambda: resnet(18, shortcut="D"), "'A', 'B', 'C', not 'D'"),
        (lambda: resnet(50, stride_in="2x2"), "'1x1', '3x3', not '2x2'"),
        (lambda: resnet(18, stem="tiny"), "'large', 'small', not 'tiny'"),
        (lambda: resnet(18, version=2, zero_gamma=True), "version 1"),
        (lambda: cifar_resnet(21), "6n [+] 2, such as 20, 32, 44, 56, 110, not 21"),
        (lambda: cifar_resnet(2), "not 2"),
        (lambda: cifar_resnet(20.5), "not 20.5"),
        (lambda: cifar_resnet(44, bottleneck=True), "9n [+] 2, such as .*164.*, not 44"),
        (lambda: cifar_resnet(20, version=0), "version must be"),
        (lambda: cifar_resnet(20, shortcut=None), "not None"),
        (lambda: densenet(120), "121, 161, 169, 201, not 120"),
        (lambda: densenet(121, stem=None), "stem must be"),
        (lambda: densenet_bc(41, 12), "6n [+] 4, such as 40, 100, .*not 41"),
        (lambda: densenet_bc(4, 12), "not 4"),
        (lambda: densenet_bc(41, 12, bottleneck=False), "3n [+] 4"),
        (lambda: densenet_bc(40, 12, compression=0), "above 0 and at most 1, not 0"),
        (lambda: densenet_bc(40, 12, compression=1.5), "not 1.5"),
    ],
)
def test_what_is_no_member_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("depth, bottleneck", [(50, False), (34, True)])
def test_the_depth_decides_about_bottlenecks(depth, bottleneck):
    with pytest.raises(TypeError, match="bottleneck"):
        resnet(depth, bottleneck=bottleneck)


# --- equal to Gluon's model zoo ---


def fill(net, rng):
    """Put random numbers into all parameters of an initialized net."""
    for name, p in net.collect_params().items():
        positive = name.endswith(("gamma", "var"))
        inputs = max(1, int(numpy.prod(p.shape[1:])))
        values = (
            rng.uniform(0.5, 1.5, p.shape) if positive else rng.normal(0, inputs**-0.5, p.shape)
        )
        p.set_data(np.array(values, dtype="float32"))


def copy_parameters(pairs, net):
    """Copy (name, array) of another net's parameters into the net, in order.

    The zoo has biases before some normalizations, ours has none: a normalization takes off its
    running mean, so a bias moves there, with the other sign.
    """
    pairs, bias = iter(pairs), 0
    for name, p in net.collect_params().items():
        other, values = next(pairs)
        if other.endswith("bias") and not name.endswith("bias"):
            bias = values
            other, values = next(pairs)
        assert name.rsplit("_")[-1] == other.rsplit("_")[-1] and p.shape == values.shape
        if name.endswith("running_mean"):
            values, bias = values - bias, 0
        p.set_data(np.array(values, dtype="float32"))
    assert next(pairs, None) is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("depth", RESNET)
def test_a_resnet_with_the_weights_of_the_zoo_gives_its_output(depth, version):
    rng = numpy.random.default_rng(depth)
    X = np.array(rng.normal(size=(2, 3, 64, 64)), dtype="float32")
    zoo = vision.get_resnet(version, depth)
    net = resnet(depth, version, stride_in="1x1" if version == 1 else "3x3")
    for each in (zoo, net):
        each.initialize()
        each(X)
    fill(zoo, rng)
    pairs = [(name, p.data().asnumpy()) for name, p in zoo.collect_params().items()]
    expected = zoo(X)
    biases = 5 * sum(64 * 2**i * n for i, n in enumerate(families.RESNETS[depth][1]))
    more = biases if version == 1 and depth >= 50 else 0  # c + 4c in each bottleneck of version 1
    assert count(zoo) - count(net) == more
    if version == 2:  # the zoo first normalizes the images, without trained parameters
        X, pairs = zoo.features[0](X), pairs[4:]
    copy_parameters(pairs, net)
    assert np.abs(net(X) - expected).max() < 1e-5 * np.abs(expected).max()


A_DENSENET_OF_THE_ZOO = """
import sys
import mxnet, numpy
from mxnet.gluon.model_zoo import vision

depth, path = int(sys.argv[1]), sys.argv[2]
rng = numpy.random.default_rng(depth)
zoo = vision.get_model(f"densenet{depth}")
zoo.initialize()
X = mxnet.nd.array(rng.normal(size=(1, 3, 224, 224)))
zoo(X)
arrays = {"X": X.asnumpy()}
for i, (name, p) in enumerate(zoo.collect_params().items()):
    if name.endswith(("gamma", "var")):
        values = rng.uniform(0.5, 1.5, p.shape)
    else:
        values = rng.normal(0, max(1, numpy.prod(p.shape[1:])) ** -0.5, p.shape)
    p.set_data(mxnet.nd.array(values))
    arrays[f"{i:04} {name}"] = p.data().asnumpy()
numpy.savez(path, Y=zoo(X).asnumpy(), **arrays)
"""


@pytest.mark.parametrize("depth", DENSENET)
def test_densenets_with_the_weights_of_the_zoo_give_its_output(depth, tmp_path):
    """The zoo's DenseNets refuse NumPy arrays: a process without them writes parameters, input and
    output."""
    path = tmp_path / "zoo.npz"
    subprocess.run([sys.executable, "-c", A_DENSENET_OF_THE_ZOO, str(depth), path], check=True)
    arrays = dict(numpy.load(path))
    X, expected = np.array(arrays.pop("X"), dtype="float32"), arrays.pop("Y")
    net, _ = made(densenet(depth), 1, 3, 64, 64)
    copy_parameters(arrays.items(), net)
    error = numpy.abs(net(X).asnumpy() - expected).max()
    assert error < 1e-5 * numpy.abs(expected).max()
