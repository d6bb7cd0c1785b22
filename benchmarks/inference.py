"""Predictions of one trained ResNet-18: float32, batch normalization folded, int8, and PyTorch."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy
from side_by_side import CannotRun, Contender, Table, seconds

IMAGES = {1: 500, 32: 2_560, 128: 10_000}  # in one round, by batch size
CLASSIC = {  # operators of the NumPy interface that oneDNN's fusion does not know, and their twins
    "_npx_relu": ("Activation", {"act_type": "relu"}),
    "_npi_add": ("elemwise_add", {}),
}


def trained():
    """Weights in the order of the layers, calibration images, test images and labels.

    Calibration images are 1,280 of the training set. Who comes first trains.

    The others find a file, and a later run finds it again as long as the code is the same.
    """
    here = Path(__file__).resolve()
    code = [here, *sorted((here.parent.parent / "d2lutils").glob("*.py"))]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"resnet18-{key}.npz"
    if not path.exists():
        _train(path)
    with numpy.load(path) as file:
        *weights, calibration, images, labels = (file[name] for name in file.files)
    return weights, calibration, images, labels


def _train(path):
    """Two short epochs; the file appears all at once, so that nobody reads half of it."""
    from d2lutils import fashion_mnist, fit, resnet18, seed_everything
    from d2lutils.nets import he

    seed_everything(0)
    train, test = fashion_mnist(10_240)
    net = resnet18()
    net.initialize(he())
    fit(net, train, num_epochs=2, lr=0.03, verbose=False)
    arrays = [parameter.data() for parameter in net.collect_params().values()]
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    numpy.savez(unfinished, *(array.asnumpy() for array in (*arrays, train[0][:1_280], *test)))
    unfinished.replace(path)


def rate(predict, convert, batch):
    """The function of one round: images/s and accuracy of `predict`, which returns NumPy scores.

    convert: makes the framework's own array. The last batch starts over with the first images.
    """
    *_, images, labels = trained()
    images, labels = images[: IMAGES[batch]], labels[: IMAGES[batch]]
    num_batches = -(-len(images) // batch)
    full = numpy.resize(images, (num_batches, batch, *images.shape[1:]))
    inputs, scores = [convert(X) for X in full], []

    def predict_all():
        scores[:] = [predict(X) for X in inputs]

    def play():
        images_per_second = num_batches * batch / seconds(predict_all)
        right = numpy.concatenate(scores)[: len(labels)].argmax(axis=1) == labels
        return {"images/s": images_per_second, "accuracy": float(right.mean())}

    predict_all()  # the first time compiles
    return play


def course_net():
    """The trained network in Gluon."""
    from d2lutils import resnet18

    from mxnet import np

    net = resnet18()
    net.initialize()
    net(np.zeros((1, 1, 32, 32)))  # now all shapes are known
    for parameter, weight in zip(net.collect_params().values(), trained()[0]):
        parameter.set_data(np.array(weight))
    return net


def fold(net):
    """Move each batch normalization into the convolution before it; for prediction only.

    gamma * (W x - mean) / std + beta is again a convolution: its weights are W * gamma / std,
    its bias is beta - mean * gamma / std. Gluon has no public way to exchange a layer, hence
    the names with an underscore.
    """
    from mxnet import np
    from mxnet.gluon import nn

    before = None
    for name, layer in list(net._children.items()):
        if isinstance(layer, nn.BatchNorm) and isinstance(before, nn.Conv2D):
            std = np.sqrt(layer.running_var.data() + layer._kwargs["eps"])
            scale = layer.gamma.data() / std
            before.weight.set_data(before.weight.data() * scale.reshape(-1, 1, 1, 1))
            before.bias = before.params.get("bias", shape=scale.shape)
            before.bias.initialize()
            before.bias.set_data(layer.beta.data() - layer.running_mean.data() * scale)
            before._kwargs["no_bias"] = False
            vars(net)[name] = net._children[name] = nn.HybridLambda(lambda F, X: X)
        fold(layer)
        before = layer


def gluon(batch, folded=False):
    """The network as `fit` leaves it, or folded: then its scores must be the same to 1e-5."""
    import d2lutils  # before MXNet: sets its threads

    from mxnet import np

    net = course_net()
    if folded:
        X = np.array(trained()[2][:128])
        expected = net(X).asnumpy()
        fold(net)
        numpy.testing.assert_allclose(net(X).asnumpy(), expected, rtol=1e-5, atol=1e-5)
    net.hybridize(static_alloc=True, static_shape=True)
    return rate(lambda X: net(X).asnumpy(), np.array, batch)


def onednn(batch, int8=False):
    """The network as a graph: oneDNN's convolutions absorb normalization, ReLU and addition.

    int8: convolutions compute on 8-bit integers, whose scales 1,280 training images settle. The
    last layer remains float32: quantized too, it fails as soon as MXNet keeps memory between
    calls, and a graph that keeps none quantizes all weights anew in each call.
    """
    import d2lutils  # before MXNet: sets its threads

    import mxnet as mx
    from mxnet.contrib.quantization import quantize_model_mkldnn

    net = course_net()
    graph = json.loads(net(mx.sym.var("data").as_np_ndarray()).tojson())
    weights = {p.name: p.data().as_nd_ndarray() for p in net.collect_params().values()}
    calibration = mx.nd.array(trained()[1])

    mx.npx.reset_np()  # quantization knows the classic interface only
    for node in graph["nodes"]:
        node["op"], node["attrs"] = CLASSIC.get(node["op"], (node["op"], node.get("attrs", {})))
    symbol = mx.sym.load_json(json.dumps(graph))
    statistics = {name: weights.pop(name) for name in symbol.list_auxiliary_states()}
    if int8:
        symbol, weights, statistics = quantize_model_mkldnn(
            symbol,
            weights,
            statistics,
            label_names=None,
            excluded_sym_names=[net[-1].name + "_fwd"],
            calib_mode="naive",  # from the smallest to the largest value seen
            calib_data=mx.io.NDArrayIter(calibration, batch_size=128),  # 32 fails with AVX-512
            quantized_dtype="auto",  # unsigned where nothing is negative
            quantize_mode="full",
        )
    weights["data"] = mx.nd.zeros((batch, 1, 32, 32))
    bound = symbol.bind(mx.cpu(), weights, aux_states=statistics, grad_req="null")

    def predict(X):
        try:
            return bound.forward(data=X)[0].asnumpy()
        except mx.MXNetError as error:
            if "TBlob for MKLDNN data" not in str(error):
                raise
            reason = "MXNet 1.9.1 cannot run this graph at this batch size with AVX-512"
            raise CannotRun(reason) from error

    return rate(predict, mx.nd.array, batch)


def pytorch(batch, memory_format="contiguous_format", compiled=False):
    """The same weights in PyTorch, eager or compiled (which needs g++), the weights as constants."""
    import torch

    layout = {"memory_format": getattr(torch, memory_format)}
    net = torch_net().to(**layout)
    if compiled:
        torch._inductor.config.freezing = True
        net.compile()
    predict = torch.inference_mode()(lambda X: net(X).numpy())
    return rate(predict, lambda X: torch.from_numpy(X).contiguous(**layout), batch)


def pytorch_int8(batch):
    """PyTorch's convolutions on 8-bit integers, calibrated on the same images as MXNet's.

    Its tools for this are marked as deprecated; their successor is a package of its own, torchao.
    """
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    calibration = torch.from_numpy(trained()[1])
    net = prepare_fx(torch_net(), get_default_qconfig_mapping("x86"), (calibration[:1],))
    with torch.inference_mode():
        for X in calibration.split(128):
            net(X)
    net = convert_fx(net)
    return rate(torch.inference_mode()(lambda X: net(X).numpy()), torch.from_numpy, batch)


def torch_net():
    """The trained network in PyTorch."""
    import torch
    import torch_nets

    net = torch_nets.resnet18().eval()
    names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
    weights = {name: torch.from_numpy(weight) for name, weight in zip(names, trained()[0])}
    net.load_state_dict(weights, strict=False)
    return net


def _contenders(batch):
    """The rows. At a batch of 1 all have one thread: MXNet is several times slower with two."""
    threads = {"OMP_NUM_THREADS": "1"} if batch == 1 else {}

    def mxnet(function, *arguments):
        return Contender(function, (batch, *arguments), environment=threads)

    def torch(function, *arguments):
        return Contender(function, (batch, *arguments), "peers", threads)

    return {
        "MXNet, int8": mxnet(onednn, True),
        "MXNet, hybridized": mxnet(gluon),
        "MXNet, batch normalization folded": mxnet(gluon, True),
        "MXNet, fused by oneDNN": mxnet(onednn),
        "PyTorch": torch(pytorch),
        "PyTorch, channels last": torch(pytorch, "channels_last"),
        "PyTorch, compiled": torch(pytorch, "contiguous_format", True),
        "PyTorch, channels last, compiled": torch(pytorch, "channels_last", True),
        "PyTorch, int8": torch(pytorch_int8),
    }


TABLES = [
    Table(
        f"Inference, trained ResNet-18, 32x32, batch {batch}",
        f"One round predicts the first {images:,} test images; float32 where no more is said. "
        + ("One thread each." if batch == 1 else "A thread for each physical core."),
        _contenders(batch),
        rounds=3,
    )
    for batch, images in IMAGES.items()
]
