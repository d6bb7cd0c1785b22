"""Networks as graphs, and batch normalization folded: the same numbers, and only where it is right."""

import d2lutils
from d2lutils import densenet, lenet, resnet18
from d2lutils.graph import fold_batch_norm, to_graph, to_net

import pytest
from mxnet import np
from mxnet.gluon import nn


def made(net, *shape):
    """The network with random statistics and scales, as a trained one has, and a batch for it."""
    d2lutils.seed_everything(0)
    net.initialize()
    X = np.random.normal(size=shape)
    net(X)
    for name, p in net.collect_params().items():
        if name.endswith(("gamma", "running_var")):
            p.set_data(np.random.uniform(0.5, 2, p.shape))
        elif name.endswith(("beta", "running_mean", "bias")):
            p.set_data(np.random.normal(size=p.shape))
    return net, X


def row(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def far(Y, Z):
    """The largest difference, as a fraction of the largest number."""
    return (np.abs(Y - Z).max() / np.abs(Z).max()).item()


def normalizations(graph):
    return [node["name"] for node in graph["nodes"] if node["op"] == "BatchNorm"]


class Joined(nn.HybridBlock):
    """A convolution and a normalization, and a second use of what the convolution gives."""

    def __init__(self, join):
        super().__init__()
        self.conv, self.bn, self.join = nn.Conv2D(3, 1), nn.BatchNorm(), join

    def hybrid_forward(self, F, X):
        return self.join(F, self.conv(X), X, self.bn)


class Shared(nn.HybridBlock):
    """Two convolutions with the same weights, the first with a normalization."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2D(3, 1), nn.BatchNorm()

    def hybrid_forward(self, F, X):
        return self.conv(self.bn(self.conv(X)))


NETS = {"resnet18": resnet18, "densenet": densenet, "lenet": lambda: lenet(nn.BatchNorm, "relu")}


@pytest.mark.parametrize("name", NETS)
def test_to_a_graph_and_back_changes_no_bit(name):
    net, X = made(NETS[name](), 3, 1, 32, 32)
    assert (to_net(*to_graph(net))(X) == net(X)).all()


def test_a_graph_with_several_heads_is_a_net_with_several_outputs():
    net, X = made(row(nn.Conv2D(2, 3), nn.BatchNorm()), 2, 1, 5, 5)
    graph, weights = to_graph(net)
    inner = [i for i, node in enumerate(graph["nodes"]) if node["op"] != "null"]
    first, second = to_net({**graph, "heads": [[i, 0, 0] for i in inner]}, weights)(X)
    assert (first == net[0](X)).all() and (second == net(X)).all()


def test_a_missing_weight_is_an_error():
    graph, weights = to_graph(made(row(nn.Conv2D(2, 3)), 2, 1, 5, 5)[0])
    del weights[next(iter(weights))]
    with pytest.raises(AssertionError, match="is missing"):
        to_net(graph, weights)


def test_the_example_by_hand():
    net = row(nn.Conv2D(1, 1, in_channels=1), nn.BatchNorm(in_channels=1, epsilon=0))
    net.initialize()
    values = {"weight": 2, "bias": 1, "gamma": 6, "beta": 1, "running_mean": 3, "running_var": 4}
    for name, p in net.collect_params().items():
        p.set_data(np.full(p.shape, next(v for k, v in values.items() if name.endswith(k))))
    folded = to_net(*fold_batch_norm(*to_graph(net)))
    found = [p.data().item() for p in folded.collect_params().values()]
    assert found == [6, 1 + 3 * (1 - 3)]
    assert folded(np.full((1, 1, 1, 1), 5)).item() == 6 * 5 - 5 == 25


@pytest.mark.parametrize("name, stay", [("resnet18", 0), ("densenet", 20), ("lenet", 2)])
def test_a_folded_network_gives_the_same_scores(name, stay):
    net, X = made(NETS[name](), 4, 1, 32, 32)
    whole = to_graph(net)
    graph, weights = fold_batch_norm(*whole)
    assert len(normalizations(graph)) == stay
    assert far(to_net(graph, weights)(X), net(X)) < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {"use_bias": False},
        {"use_bias": True},
        {"strides": 2, "padding": 1},
        {"groups": 2, "dilation": 2},
    ],
)
def test_any_convolution_can_be_folded(settings):
    net, X = made(row(nn.Conv2D(6, 3, **settings), nn.BatchNorm(epsilon=1e-2)), 2, 4, 9, 9)
    graph, weights = fold_batch_norm(*to_graph(net))
    assert normalizations(graph) == []
    assert far(to_net(graph, weights)(X), net(X)) < 1e-5


JOINS = {
    "after an addition": lambda F, Y, X, bn: bn(Y + X),
    "after a concatenation": lambda F, Y, X, bn: bn(F.np.concatenate([Y, X], axis=1)),
    "one reader of several": lambda F, Y, X, bn: bn(Y) + Y,
    "after a ReLU": lambda F, Y, X, bn: bn(F.npx.relu(Y)),
}


@pytest.mark.parametrize("way", JOINS)
def test_what_cannot_be_folded_stays(way):
    net, X = made(Joined(JOINS[way]), 2, 3, 4, 4)
    graph, weights = fold_batch_norm(*to_graph(net))
    assert len(normalizations(graph)) == 1
    assert far(to_net(graph, weights)(X), net(X)) < 1e-6


def test_a_convolution_whose_output_is_wanted_stays():
    net, X = made(row(nn.Conv2D(2, 3), nn.BatchNorm()), 2, 1, 5, 5)
    graph, weights = to_graph(net)
    conv, norm = (i for i, node in enumerate(graph["nodes"]) if node["op"] != "null")
    graph, weights = fold_batch_norm({**graph, "heads": [[conv, 0, 0], [norm, 0, 0]]}, weights)
    first, second = to_net(graph, weights)(X)
    assert (first == net[0](X)).all() and (second == net(X)).all()


def test_shared_weights_stay():
    net, X = made(Shared(), 2, 3, 4, 4)
    graph, weights = fold_batch_norm(*to_graph(net))
    assert len(normalizations(graph)) == 1
    assert (to_net(graph, weights)(X) == net(X)).all()


class OneForTwo(nn.HybridBlock):
    """Two convolutions, and the same normalization after each of them."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.bn = nn.Conv2D(3, 1), nn.Conv2D(3, 1), nn.BatchNorm()

    def hybrid_forward(self, F, X):
        return self.bn(self.first(X)) + self.bn(self.second(X))


def test_a_shared_normalization_stays():
    net, X = made(OneForTwo(), 2, 3, 4, 4)
    graph, weights = fold_batch_norm(*to_graph(net))
    assert len(normalizations(graph)) == 2
    assert (to_net(graph, weights)(X) == net(X)).all()


def test_folding_changes_neither_the_net_nor_its_graph():
    net, X = made(resnet18(), 2, 1, 32, 32)
    graph, weights = to_graph(net)
    before, Y = str(graph), net(X)
    copies = {name: value.copy() for name, value in weights.items()}
    fold_batch_norm(graph, weights)
    assert str(graph) == before and (net(X) == Y).all()
    assert all((weights[name] == value).all() for name, value in copies.items())
