"""LeNet, ResNet and DenseNet: shapes, parameters counted by formula, and what makes each of them."""

from functools import partial

import d2lutils
from d2lutils import (
    BatchNorm,
    DenseBlock,
    Residual,
    conv_block,
    densenet,
    families,
    lenet,
    resnet18,
    small_resnet,
    transition_block,
)
from d2lutils.nets import count, he, multiply_adds, normalize_once
from d2lutils.norm import make_norm
from d2lutils.resnet import plain_net, stage

import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision


def made(net, *shape):
    """The network, initialized, after a batch of that shape; and what came out."""
    d2lutils.seed_everything(0)
    net.initialize()
    return net, net(np.random.normal(size=shape))


def shapes_after(layers, X):
    """The shapes that X takes on its way through the layers."""
    shapes = []
    for layer in layers:
        X = layer(X)
        shapes.append(X.shape)
    return shapes


def layers_in(net, kind):
    """All layers of a kind, in the order in which they were added."""
    found = [net] if isinstance(net, kind) else []
    return found + [layer for child in net._children.values() for layer in layers_in(child, kind)]


def conv(in_channels, out_channels, side):
    return in_channels * out_channels * side**2


def bn(channels):
    return 2 * channels  # gamma and beta


def dense(inputs, outputs):
    return (inputs + 1) * outputs


NETS = {
    "lenet": lenet,
    "lenet with BN": lambda: lenet(nn.BatchNorm, "relu"),
    "resnet18": resnet18,
    "small_resnet": lambda: small_resnet(8, width=4),
    "plain": lambda: small_resnet(8, width=4, shortcut=False),
    "densenet": densenet,
    "densenet121": lambda: families.densenet(121, num_classes=10, stem="small"),
    "densenet_bc": lambda: families.densenet_bc(16, 4),
    "plain densenet": lambda: families.densenet_bc(10, 4, bottleneck=False, compression=1),
}
for version in (1, 2):
    NETS |= {
        f"resnet v{version}": partial(families.resnet, 18, version, num_classes=10),
        f"bottlenecks v{version}": partial(families.resnet, 50, version, num_classes=10),
        f"cifar_resnet v{version}": partial(families.cifar_resnet, 8, version, width=4),
        f"cifar bottlenecks v{version}": partial(
            families.cifar_resnet, 11, version, width=4, bottleneck=True
        ),
    }


@pytest.mark.parametrize("name", NETS)
def test_compiled_or_not_it_is_the_same_network(name):
    net, Y = made(NETS[name](), 3, 1, 32, 32)
    assert Y.shape == (3, 10)
    X = np.random.normal(size=(2, 1, 32, 32))
    Y = net(X)
    net.hybridize(static_alloc=True, static_shape=True)
    assert np.abs(net(X) - Y).max() < 1e-4 * np.abs(Y).max()


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_gets_a_gradient(name):
    net, _ = made(NETS[name](), 2, 1, 32, 32)
    with autograd.record():
        loss = (net(np.random.normal(size=(2, 1, 32, 32))) ** 2).sum()
    loss.backward()
    trained = [p for p in net.collect_params().values() if p.grad_req != "null"]
    assert [p.name for p in trained if np.abs(p.grad()).max() == 0] == []


@pytest.mark.parametrize("make", [lenet, resnet18, densenet, lambda **n: small_resnet(8, **n)])
def test_the_number_of_classes_is_a_choice(make):
    assert made(make(num_classes=7), 2, 1, 32, 32)[1].shape == (2, 7)


@pytest.mark.parametrize("make", [resnet18, densenet, lambda: small_resnet(8)])
def test_no_bias_stands_before_a_normalization(make):
    net, _ = made(make(), 2, 1, 32, 32)
    assert layers_in(net, nn.Conv2D)
    assert [layer for layer in layers_in(net, nn.Conv2D) if layer.bias is not None] == []


def test_multiply_adds_of_a_layer():
    """A weight of a convolution for each position, one of a dense layer once."""
    convolution, _ = made(nn.Conv2D(5, 3, padding=1), 2, 4, 8, 6)
    assert multiply_adds(convolution, np.zeros((2, 4, 8, 6))) == 2 * (8 * 6) * (3 * 3 * 4 * 5)
    layer, _ = made(nn.Dense(7), 3, 5)
    assert multiply_adds(layer, np.zeros((3, 5))) == 3 * 5 * 7


def test_multiply_adds_of_a_network():
    net, X = lenet(nn.BatchNorm), np.zeros((2, 1, 32, 32))
    net.initialize()  # the shapes may still be unknown
    convolutions = 28**2 * conv(1, 6, 5) + 10**2 * conv(6, 16, 5)
    expected = convolutions + 400 * 120 + 120 * 84 + 84 * 10
    net.hybridize()
    for images in (1, 2, 2):  # nothing of the last time is left
        assert multiply_adds(net, X[:images]) == images * expected
    net, _ = made(resnet18(), 1, 1, 32, 32)
    assert multiply_adds(net, X[:1]) == 35_410_944


# --- LeNet ---


def test_lenet_has_61706_parameters():
    net, _ = made(lenet(), 2, 1, 32, 32)
    convolutions = (25 * 1 + 1) * 6 + (25 * 6 + 1) * 16
    assert count(net) == 61_706
    assert count(net) == convolutions + dense(400, 120) + dense(120, 84) + dense(84, 10)


def test_the_shapes_of_lenet():
    net, _ = made(lenet(), 2, 1, 32, 32)
    shapes = shapes_after(net, np.zeros((2, 1, 32, 32)))
    kept = [s[1:] for layer, s in zip(net, shapes) if not isinstance(layer, nn.Activation)]
    images = [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]
    assert kept == [*images, (120,), (84,), (10,)]


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("norm", [None, BatchNorm, nn.BatchNorm])
def test_a_normalization_stands_between_layer_and_activation(norm, activation):
    asked = []

    def noted(num_features, num_dims):
        asked.append((num_features, num_dims))
        return make_norm(norm, num_features, num_dims)

    net, Y = made(lenet(norm and noted, activation), 2, 1, 32, 32)
    extra = [] if norm is None else [type(make_norm(norm, 1, 2))]
    image = [nn.Conv2D, *extra, nn.Activation, nn.AvgPool2D]
    vector = [nn.Dense, *extra, nn.Activation]
    assert [type(layer) for layer in net] == [*image, *image, *vector, *vector, nn.Dense]
    assert asked == ([] if norm is None else [(6, 4), (16, 4), (120, 2), (84, 2)])
    assert {layer._act_type for layer in layers_in(net, nn.Activation)} == {activation}
    norms = sum(map(bn, (6, 16, 120, 84))) if norm else 0
    assert count(net) == 61_706 + norms and Y.shape == (2, 10)


def test_lenet_is_compiled_where_all_its_layers_can_be():
    assert isinstance(lenet(), gluon.HybridBlock)
    assert isinstance(lenet(nn.BatchNorm), gluon.HybridBlock)
    assert not isinstance(lenet(BatchNorm), gluon.HybridBlock)


def test_the_sigmoid_is_the_default():
    assert {layer._act_type for layer in layers_in(lenet(), nn.Activation)} == {"sigmoid"}


# --- the residual block ---


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize(
    ("projection", "strides", "shape"),
    [
        (False, 1, (2, 6, 8, 8)),
        (True, 1, (2, 6, 8, 8)),
        (True, 2, (2, 6, 4, 4)),
        (True, 2, (2, 12, 4, 4)),
    ],
)
def test_the_shapes_of_a_residual_block(projection, strides, shape, shortcut):
    block, Y = made(Residual(shape[1], projection, strides, shortcut), 2, 6, 8, 8)
    assert Y.shape == shape and Y.min() >= 0


def test_the_first_convolution_carries_the_stride():
    block, _ = made(Residual(4, projection=True, strides=2), 2, 3, 8, 8)
    X = np.ones((2, 3, 8, 8))
    assert block.conv1(X).shape == (2, 4, 4, 4)
    assert block.conv2(block.conv1(X)).shape == (2, 4, 4, 4)
    assert [type(layer) for layer in block.projection] == [nn.Conv2D, nn.BatchNorm]
    assert block.projection(X).shape == (2, 4, 4, 4)
    assert block.projection[0].weight.shape == (4, 3, 1, 1)


def normalized(layer, Y):
    """What a new layer in prediction mode makes of Y: eps alone differs from nothing."""
    return Y / np.sqrt(np.array(1 + layer._kwargs["eps"]))


@pytest.mark.parametrize("way", ["identity", "projection", "plain"])
def test_a_residual_block_step_by_step(way):
    block = Residual(3, way == "projection", shortcut=way != "plain")
    block, _ = made(block, 2, 3, 5, 5)
    X = np.random.normal(size=(2, 3, 5, 5))
    Y = npx.relu(normalized(block.bn1, block.conv1(X)))
    Y = normalized(block.bn2, block.conv2(Y))
    if way == "projection":
        Y = Y + normalized(block.projection[1], block.projection[0](X))
    elif way == "identity":
        Y = Y + X
    assert np.abs(block(X) - npx.relu(Y)).max() < 1e-5


def test_with_a_silent_branch_an_identity_block_is_a_relu():
    block, _ = made(Residual(3), 2, 3, 5, 5)
    block.bn2.gamma.set_data(np.zeros(3))
    X = np.random.normal(size=(2, 3, 5, 5))
    with autograd.train_mode():
        Y = block(X)
    assert (npx.relu(X) == Y).all() and (X < 0).any()


def test_a_plain_block_with_a_silent_branch_is_silent():
    block, _ = made(Residual(3, shortcut=False), 2, 3, 5, 5)
    block.bn2.gamma.set_data(np.zeros(3))
    assert (block(np.random.normal(size=(2, 3, 5, 5))) == 0).all()


def test_a_stride_without_a_projection_is_refused():
    with pytest.raises(ValueError, match="strides=2 .*needs projection=True"):
        Residual(4, strides=2)
    Residual(4, strides=2, shortcut=False)  # nothing to project


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("strides", [1, 2])
def test_only_the_first_block_of_a_stage_shrinks(strides, shortcut):
    blocks, _ = made(stage(6, 3, strides, shortcut), 2, 6, 8, 8)
    side = 8 // strides
    assert shapes_after(blocks, np.ones((2, 6, 8, 8))) == 3 * [(2, 6, side, side)]
    projections = [block.projection is not None for block in blocks]
    assert projections == [shortcut and strides == 2, False, False]
    assert {block.shortcut for block in blocks} == {shortcut}


# --- ResNet ---


def residual(inputs, channels, projection):
    """Parameters of one block."""
    shortcut = conv(inputs, channels, 1) + bn(channels) if projection else 0
    return conv(inputs, channels, 3) + conv(channels, channels, 3) + 2 * bn(channels) + shortcut


def resnet18_parameters(image_channels, num_classes):
    total = conv(image_channels, 64, 7) + bn(64) + 2 * residual(64, 64, False)
    for inputs in (64, 128, 256):
        channels = 2 * inputs
        total += residual(inputs, channels, True) + residual(channels, channels, False)
    return total + dense(512, num_classes)


@pytest.mark.parametrize(
    ("image_channels", "num_classes", "known"),
    [(1, 10, 11_175_370), (3, 1000, 11_689_512)],  # the second is torchvision's
)
def test_resnet18_is_counted(image_channels, num_classes, known):
    net, _ = made(resnet18(num_classes), 1, image_channels, 32, 32)
    assert count(net) == resnet18_parameters(image_channels, num_classes) == known


def test_resnet18_is_the_one_of_the_model_zoo():
    ours, _ = made(resnet18(), 1, 1, 64, 64)
    theirs, _ = made(vision.resnet18_v1(classes=10), 1, 1, 64, 64)
    X = np.random.normal(size=(2, 1, 64, 64))
    with autograd.record():  # so that no running statistic is what it was
        Y = theirs(X)
    Y.backward()
    npx.waitall()
    assert count(ours) == count(theirs)
    mine, other = ours.collect_params().values(), theirs.collect_params().values()
    assert len(mine) == len(other)
    for p, q in zip(mine, other):
        p.set_data(q.data())
    assert np.abs(ours(X) - theirs(X)).max() < 1e-4 * np.abs(theirs(X)).max()


def test_resnet18_has_a_normalization_for_each_convolution():
    net = resnet18()
    assert len(layers_in(net, nn.Conv2D)) == len(layers_in(net, nn.BatchNorm)) == 1 + 16 + 3
    assert len(layers_in(net, Residual)) == 8
    assert all(block.shortcut for block in layers_in(net, Residual))


@pytest.mark.parametrize("make", [resnet18, densenet])
def test_the_stem_is_that_of_the_papers(make):
    convolution, norm, activation, pool = list(make())[:4]
    kinds = [nn.Conv2D, nn.BatchNorm, nn.Activation, nn.MaxPool2D]
    assert [type(layer) for layer in (convolution, norm, activation, pool)] == kinds
    assert activation._act_type == "relu"
    for layer, side, padding in ((convolution, 7, 3), (pool, 3, 1)):
        settings = [layer._kwargs[name] for name in ("kernel", "stride", "pad")]
        assert settings == [(side, side), (2, 2), (padding, padding)]


@pytest.mark.parametrize(("side", "sides"), [(32, (8, 8, 4, 2, 1)), (64, (16, 16, 8, 4, 2))])
def test_the_shapes_of_resnet18(side, sides):
    net, _ = made(resnet18(), 1, 1, side, side)
    shapes = shapes_after(net, np.ones((1, 1, side, side)))
    stem = (1, 64, side // 2, side // 2)
    stages = [(1, c, s, s) for c, s in zip((64, 64, 128, 256, 512), sides)]
    assert shapes == [stem, stem, stem, *stages, (1, 512, 1, 1), (1, 10)]


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_small_resnet_is_as_large_as_in_table_6(depth, millions):
    """He et al. 2015, Table 6: colour images, shortcuts without parameters, as the plain net has."""
    plain, _ = made(small_resnet(depth, shortcut=False), 1, 3, 32, 32)
    assert round(count(plain) / 1e6, 2) == millions
    net, _ = made(small_resnet(depth), 1, 3, 32, 32)
    projections = conv(16, 32, 1) + bn(32) + conv(32, 64, 1) + bn(64)
    assert count(net) - count(plain) == projections


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("depth", [8, 20])
def test_small_resnet_is_counted(depth, width):
    net, _ = made(small_resnet(depth, width), 1, 1, 32, 32)
    n = (depth - 2) // 6
    total = conv(1, width, 3) + bn(width) + n * residual(width, width, False)
    for inputs in (width, 2 * width):
        channels = 2 * inputs
        total += residual(inputs, channels, True) + (n - 1) * residual(channels, channels, False)
    assert count(net) == total + dense(4 * width, 10)


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("depth", [8, 20])
def test_the_depth_counts_what_the_paper_counts(depth, shortcut):
    net, _ = made(small_resnet(depth, width=4, shortcut=shortcut), 1, 1, 32, 32)
    convolutions = [c for c in layers_in(net, nn.Conv2D) if c.weight.shape[2:] == (3, 3)]
    assert len(convolutions) + len(layers_in(net, nn.Dense)) == depth
    assert len(layers_in(net, nn.Conv2D)) - len(convolutions) == (2 if shortcut else 0)
    assert all(block.shortcut == shortcut for block in layers_in(net, Residual))


def test_the_shapes_of_small_resnet():
    net, _ = made(small_resnet(8), 1, 1, 32, 32)
    shapes = shapes_after(net, np.ones((1, 1, 32, 32)))
    stages = [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
    assert shapes == [*3 * [(1, 16, 32, 32)], *stages, (1, 64, 1, 1), (1, 10)]


@pytest.mark.parametrize("depth", [2, 7, 10, 19, 21, -4])
def test_another_depth_is_refused(depth):
    with pytest.raises(ValueError, match=rf"depth must be 6n \+ 2 .*, not {depth}"):
        small_resnet(depth)


# --- DenseNet ---


def test_a_layer_normalizes_before_it_convolves():
    layer, Y = made(conv_block(5), 2, 3, 6, 6)
    assert [type(part) for part in layer] == [nn.BatchNorm, nn.Activation, nn.Conv2D]
    assert layer[1]._act_type == "relu"
    assert layer[2].weight.shape == (5, 3, 3, 3) and Y.shape == (2, 5, 6, 6)


def test_a_dense_block_keeps_its_input_and_appends():
    block, Y = made(DenseBlock(3, growth_rate=4), 2, 5, 6, 6)
    assert Y.shape == (2, 5 + 3 * 4, 6, 6)
    X = np.random.normal(size=(2, 5, 6, 6))
    Y = block(X)
    assert (Y[:, :5] == X).all()
    assert [layer[2].weight.shape[1] for layer in block.layers] == [5, 9, 13]
    for i, layer in enumerate(block.layers):  # each reads all that stands before its own
        start = 5 + 4 * i
        assert np.abs(Y[:, start : start + 4] - layer(Y[:, :start])).max() < 1e-5


def test_a_transition_halves_the_image():
    block, Y = made(transition_block(3), 2, 8, 6, 6)
    assert Y.shape == (2, 3, 3, 3)
    kinds = [nn.BatchNorm, nn.Activation, nn.Conv2D, nn.AvgPool2D]
    assert [type(part) for part in block] == kinds
    assert block[1]._act_type == "relu" and block[2].weight.shape == (3, 8, 1, 1)
    before = block[2](npx.relu(normalized(block[0], np.ones((1, 8, 2, 2)))))
    after = block(np.ones((1, 8, 2, 2)))
    assert np.abs(after[0, :, 0, 0] - before.mean(axis=(0, 2, 3))).max() < 1e-5  # the mean of four


def test_the_channels_of_densenet():
    net, _ = made(densenet(), 1, 1, 32, 32)
    shapes = shapes_after(net, np.ones((1, 1, 32, 32)))
    ledger = [shape[1] for shape in shapes[3:11]]
    assert ledger == [64, 192, 96, 224, 112, 240, 120, 248]
    assert [shape[2] for shape in shapes[3:11]] == [8, 8, 4, 4, 2, 2, 1, 1]
    assert shapes[0] == (1, 64, 16, 16)
    kinds = [nn.BatchNorm, nn.Activation, nn.GlobalAvgPool2D, nn.Dense]
    assert [type(layer) for layer in list(net)[11:]] == kinds
    assert net[12]._act_type == "relu" and shapes[13] == (1, 248, 1, 1)


def densenet_parameters(channels, growth_rate, num_convs, num_classes):
    total = conv(1, channels, 7) + bn(channels)
    for i, layers in enumerate(num_convs):
        for _ in range(layers):
            total += bn(channels) + conv(channels, growth_rate, 3)
            channels += growth_rate
        if i < len(num_convs) - 1:
            total += bn(channels) + conv(channels, channels // 2, 1)
            channels //= 2
    return total + bn(channels) + dense(channels, num_classes)


@pytest.mark.parametrize(
    "settings", [(64, 32, (4, 4, 4, 4), 10), (16, 12, (2, 3, 1), 5), (15, 5, (1, 2), 10)]
)
def test_densenet_is_counted(settings):
    net, _ = made(densenet(*settings), 1, 1, 32, 32)
    assert count(net) == densenet_parameters(*settings)


def test_densenet_is_the_books_without_its_biases():
    net, _ = made(densenet(), 1, 1, 32, 32)
    biases = 64 + 16 * 32 + 96 + 112 + 120
    assert count(net) == 758_226 - biases


# --- the plain net with any normalization ---


def test_plain_net_is_the_small_resnet_without_shortcuts():
    ours, _ = made(plain_net(14, width=4, norm=nn.BatchNorm), 2, 1, 16, 16)
    theirs, X = made(small_resnet(14, width=4, shortcut=False), 2, 1, 16, 16)
    assert count(ours) == count(theirs)
    X = np.random.normal(size=(8, 1, 16, 16))
    with autograd.record():  # so that no running statistic is what it was
        Y = theirs(X)
    Y.backward()
    npx.waitall()
    mine, other = ours.collect_params().values(), theirs.collect_params().values()
    assert len(mine) == len(other)
    for p, q in zip(mine, other):
        p.set_data(q.data())
    assert np.abs(ours(X) - theirs(X)).max() < 1e-4 * np.abs(theirs(X)).max()


@pytest.mark.parametrize("depth", [8, 20])
def test_without_a_normalization_the_convolutions_have_biases(depth):
    net, Y = made(plain_net(depth, width=4), 2, 1, 32, 32)
    convolutions = layers_in(net, nn.Conv2D)
    assert len(convolutions) + 1 == depth and Y.shape == (2, 10)
    assert all(layer.bias is not None for layer in convolutions)
    norms = sum(bn(layer.weight.shape[0]) for layer in convolutions)
    biases = sum(layer.weight.shape[0] for layer in convolutions)
    normed, _ = made(plain_net(depth, width=4, norm=nn.BatchNorm), 2, 1, 32, 32)
    assert count(net) == count(normed) - norms + biases


def test_a_plain_net_asks_for_a_normalization_before_each_relu():
    asked = []

    def noted(num_features, num_dims):
        asked.append((num_features, num_dims))
        return BatchNorm(num_features, num_dims)

    net, Y = made(plain_net(8, width=4, norm=noted, num_classes=7), 2, 1, 32, 32)
    assert asked == 3 * [(4, 4)] + 2 * [(8, 4)] + 2 * [(16, 4)]
    kinds = [nn.Conv2D, BatchNorm, nn.Activation]
    assert [type(layer) for layer in net] == 7 * kinds + [nn.GlobalAvgPool2D, nn.Dense]
    sides = [shape[2] for shape in shapes_after(net, np.ones((1, 1, 32, 32)))[:-2]]
    assert sides == 9 * [32] + 6 * [16] + 6 * [8]
    assert Y.shape == (2, 7)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm, BatchNorm])
def test_a_plain_net_learns_with_any_normalization(fashion, norm):
    net = plain_net(8, width=4, norm=norm)
    assert isinstance(net, gluon.HybridBlock) == (norm is not BatchNorm)
    made(net, 2, 1, 32, 32)
    before = [p.data().copy() for p in net.collect_params().values() if p.grad_req != "null"]
    X, y = (part[:32] for part in fashion[0])
    d2lutils.fit(net, (X, y), num_epochs=1, lr=0.1, schedule="constant", verbose=False)
    after = [p.data() for p in net.collect_params().values() if p.grad_req != "null"]
    assert all((a != b).any() for a, b in zip(before, after))


@pytest.mark.parametrize("depth", [2, 7, 9, 21, -4])
def test_a_plain_net_of_another_depth_is_refused(depth):
    with pytest.raises(ValueError, match=rf"depth must be 6n \+ 2 .*, not {depth}"):
        plain_net(depth)


@pytest.mark.parametrize("make", [lambda: lenet(None, "relu"), lambda: plain_net(20, width=4)])
def test_normalized_once_each_hidden_channel_has_mean_0_and_variance_1(make):
    d2lutils.seed_everything(0)
    net, X = make(), np.random.uniform(size=(64, 1, 32, 32))
    net.initialize(he())
    normalize_once(net, X)
    *hidden, last = [layer for layer in net if isinstance(layer, nn.Conv2D | nn.Dense)]
    for layer in net:
        X = layer(X)
        if layer in hidden:
            axes = (0, *range(2, X.ndim))
            values = X.asnumpy().astype("float64")
            assert abs(values.mean(axis=axes)).max() < 1e-3
            assert abs(values.std(axis=axes) - 1).max() < 1e-3
    assert (last.bias.data() == 0).all() and abs(X.asnumpy().std() - 1) > 1e-3
