"""A trained network as a graph of operations, and batch normalization folded into convolutions.

A graph is what MXNet writes into a `-symbol.json` file, as a dictionary: `nodes`, each of
them after those that it reads, and `heads`, the nodes whose outputs the network returns. A node
whose operation is "null" is an array: the input "data" or a weight. Weights are a
dictionary of arrays by name.
"""

import json
from collections import Counter
from copy import deepcopy

from mxnet import cpu, gluon, np, sym


def to_graph(net):
    """The graph of `net`, a HybridBlock with one input, and copies of its parameters by name.

    Call the net on a batch first, so that all shapes are known. Running statistics are among the
    parameters. Not for what `to_net` returns: MXNet gives no graph of a SymbolBlock (TypeError).
    """
    data = sym.var("data", dtype="float32").as_np_ndarray()
    weights = {p.name: p.data().copy() for p in net.collect_params().values()}
    return json.loads(net(data).tojson()), weights


def to_net(graph, weights):
    """A network (SymbolBlock) that computes `graph` with `weights`, a dictionary of arrays by name.

    With several heads it returns a list. Raises AssertionError when a weight is missing.
    """
    symbol = sym.load_json(json.dumps(graph)).as_np_ndarray()
    net = gluon.SymbolBlock(symbol, sym.var("data", dtype="float32").as_np_ndarray())
    net.collect_params().load_dict(weights, cpu(), ignore_extra=True)
    return net


def fold_batch_norm(graph, weights):
    """Fold each batch normalization that allows it into the convolution before it, for prediction.

    Returns a new graph and new weights: the convolution has gamma / std times its weights, and a bias
    under the name of beta. A normalization stays if it reads something other than a convolution, or if
    something else reads the convolution, its weights or the beta too. In prediction mode the result
    is the same up to rounding; in training mode a folded normalization no longer uses the batch's statistics.
    """
    graph, weights = deepcopy(graph), dict(weights)
    nodes = graph["nodes"]
    readers = Counter(i for node in nodes for i, *_ in node["inputs"])
    readers.update(i for i, *_ in graph["heads"])
    for node in [node for node in nodes if node["op"] == "BatchNorm"]:
        before, *others = (i for i, *_ in node["inputs"])
        gamma, beta, mean, var = (nodes[i]["name"] for i in others)
        conv = nodes[before]
        if conv["op"] != "Convolution" or readers[before] > 1 or readers[conv["inputs"][1][0]] > 1:
            continue
        if readers[others[1]] > 1:  # the normalization, and so its beta, is used twice
            continue
        W, *b = (nodes[i]["name"] for i, *_ in conv["inputs"][1:])
        scale = weights[gamma] / np.sqrt(weights[var] + float(node["attrs"]["eps"]))
        bias = weights[b[0]] if b else 0
        weights[W] = weights[W] * scale.reshape(-1, 1, 1, 1)
        weights[beta] = weights[beta] + scale * (bias - weights[mean])
        node["op"], node["attrs"] = "Convolution", conv["attrs"] | {"no_bias": "False"}
        node["inputs"] = [*conv["inputs"][:2], node["inputs"][2]]  # data, weights, and beta as bias
    return graph, weights
