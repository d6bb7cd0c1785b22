"""The training step: `fit` beside a bare loop, the book's loop and PyTorch, at the same work."""

from side_by_side import Contender, Table, seconds

BATCH = 128
IMAGES = {"BN-LeNet": 10_240, "ResNet-18": 1_280, "DenseNet": 2_560}  # in one round


def course_net(name):
    """A network of the course, with the initialization that suits it."""
    import d2lutils
    from d2lutils import densenet, lenet, resnet18
    from d2lutils.nets import he

    from mxnet.gluon import nn

    make = {"BN-LeNet": lambda: lenet(nn.BatchNorm, "relu"), "ResNet-18": resnet18}
    net = make.get(name, densenet)()
    net.initialize(he())
    return net


def rate(train_one_epoch, name):
    """The function of one round: images/s of an epoch, after one that compiles."""
    train_one_epoch()
    return lambda: {"images/s": IMAGES[name] / seconds(train_one_epoch)}


def course(name):
    """`d2lutils.training.fit` as the notebooks call it."""
    from d2lutils import fashion_mnist, fit

    train, _ = fashion_mnist(IMAGES[name])
    net = course_net(name)
    return rate(lambda: fit(net, train, num_epochs=1, lr=0.01, verbose=False), name)


def bare_loop(name):
    """Forward, backward and step, and not a line more."""
    from d2lutils import batches, fashion_mnist

    from mxnet import autograd, gluon, npx

    train, _ = fashion_mnist(IMAGES[name])
    net = course_net(name)
    net.hybridize(static_alloc=True, static_shape=True)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()

    def epoch():
        settings = {"learning_rate": 0.01, "momentum": 0.9}
        trainer = gluon.Trainer(net.collect_params(), "sgd", settings)
        for X, y in batches(train, BATCH, seed=0):
            with autograd.record():
                losses = loss_function(net(X), y)
            losses.backward()
            trainer.step(BATCH)
        npx.waitall()

    return rate(epoch, name)


def book_loop(name):
    """`d2l.train_ch6` with the book's loader; the environment decides on the threads."""
    from loading import book_loader, the_book

    d2l = the_book()
    net = course_net(name)
    train, test = book_loader(BATCH, IMAGES[name]), book_loader(BATCH, BATCH)
    return rate(lambda: d2l.train_ch6(net, train, test, 1, 0.01, d2l.try_gpu()), name)


def pytorch(name, memory_format):
    """Eager PyTorch, float32, the arrays in memory."""
    import torch
    import torch_nets
    from loading import pixels

    channels_last = {"memory_format": getattr(torch, memory_format)}
    net = getattr(
        torch_nets, {"BN-LeNet": "lenet", "ResNet-18": "resnet18"}.get(name, "densenet")
    )()
    net = net.to(**channels_last)
    images, labels = pixels(IMAGES[name])
    X, y = torch.from_numpy(images).float().div(255), torch.tensor(labels).long()
    loss_function = torch.nn.CrossEntropyLoss()

    def epoch():
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        for rows in torch.randperm(len(X)).split(BATCH):
            loss = loss_function(net(X[rows].contiguous(**channels_last)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return rate(epoch, name)


def _contenders(name):
    return {
        "`fit`": Contender(course, (name,)),
        "bare MXNet loop": Contender(bare_loop, (name,)),
        "`d2l.train_ch6`, MXNet's own threads": Contender(book_loop, (name,)),
        "PyTorch": Contender(pytorch, (name, "contiguous_format"), "peers"),
        "PyTorch, channels last": Contender(pytorch, (name, "channels_last"), "peers"),
    }


TABLES = [
    Table(
        f"{name}, 32x32, batch {BATCH}",
        f"One round is an epoch of {IMAGES[name]:,} images, loading included.",
        _contenders(name),
    )
    for name in IMAGES
]
