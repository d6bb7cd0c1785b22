"""Right and wrong answers to exercises 03. A wrong one comes with a piece of the hint it must get."""

from d2lutils import BatchNorm, Residual, small_resnet
from d2lutils.nets import sequential

from mxnet import autograd, np, npx
from mxnet.gluon import nn


def conv(num_channels, size=3, strides=1, bias=False):
    return nn.Conv2D(num_channels, size, strides, padding=size // 2, use_bias=bias)


def relu():
    return nn.Activation("relu")


class Sum(nn.Block):
    """end(shortcut(x) + body(x))"""

    def __init__(self, body, shortcut=None, end=npx.relu):
        super().__init__()
        self.body, self.shortcut, self.end = body, shortcut, end

    def forward(self, X):
        Y = self.body(X) + (self.shortcut(X) if self.shortcut else X)
        return self.end(Y) if self.end else Y


class OwnNorm(nn.Block):
    """A normalization with PyTorch's names, which counts. Without running statistics it is wrong."""

    def __init__(self, num_features, statistics=True, moving=True, less=0):
        super().__init__()
        ours, fixed = {"shape": (num_features,)}, {"differentiable": False}
        self.weight = self.params.get("weight", init="ones", **ours)
        self.bias = self.params.get("bias", init="zeros", **ours)
        self.steps = self.params.get("steps", shape=(1,), init="zeros", **fixed)
        self.statistics, self.moving, self.less = statistics, moving, less
        if statistics:
            self.average = self.params.get("average", init="zeros", **ours, **fixed)
            self.spread = self.params.get("spread", init="ones", **ours, **fixed)

    def forward(self, X):
        axes = {"axis": (0, 2, 3)}
        mean = X.mean(**axes)
        values = X.size // X.shape[1]  # that share a mean; less=1: the unbiased variance
        var = np.square(X - X.mean(**axes, keepdims=True)).sum(**axes) / (values - self.less)
        if self.statistics and not autograd.is_training():
            mean, var = self.average.data(), self.spread.data()
        elif self.moving:
            with autograd.pause():
                self.average.set_data(0.9 * self.average.data() + 0.1 * mean)
                self.spread.set_data(0.9 * self.spread.data() + 0.1 * var)
                self.steps.set_data(self.steps.data() + 1)
        values = mean, var, self.weight.data(), self.bias.data()
        mean, var, gamma, beta = (value.reshape(1, -1, 1, 1) for value in values)
        return (X - mean) / np.sqrt(var + 1e-5) * gamma + beta


def gluons(num_features):
    return nn.BatchNorm()


# --- 3.4 ---


def bottleneck(places=(0,), bias=False, last=4, default=1, norm=gluons, more=(), padding=1):
    def make(num_channels, projection=False, strides=default):
        layers = []
        for i, (factor, size) in enumerate([(1, 1), (1, 3), (last, 1)]):
            strided = strides if i in places else 1
            c = factor * num_channels
            padded = padding if size == 3 else 0
            layers += [nn.Conv2D(c, size, strided, padded, use_bias=bias), norm(c), relu()]
        shortcut = sequential(conv(c, 1, strides, bias), norm(c))
        return Sum(sequential(*layers[:-1], *more), shortcut if projection else None)

    return make


class BottleneckByHand(nn.Block):
    """The shortcut's layers first, the stride in the 3x3, the course's own normalization."""

    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__()
        wide = 4 * num_channels
        self.last = nn.Conv2D(wide, kernel_size=1, use_bias=False)
        if projection:
            self.project = nn.Conv2D(wide, kernel_size=1, strides=strides, use_bias=False)
            self.project_norm = BatchNorm(wide, 4)
        self.norms = nn.Sequential()
        for channels in (num_channels, num_channels, wide):
            self.norms.add(BatchNorm(channels, num_dims=4))
        self.middle = nn.Conv2D(num_channels, 3, strides, 1, use_bias=False)
        self.reduce = nn.Conv2D(num_channels, kernel_size=1, use_bias=False)
        self.has_projection = projection

    def forward(self, X):
        Y = X
        for convolution, norm in zip((self.reduce, self.middle), self.norms):
            Y = np.maximum(norm(convolution(Y)), 0)
        Y = self.norms[2](self.last(Y))
        Y = Y + (self.project_norm(self.project(X)) if self.has_projection else X)
        return np.where(Y > 0, Y, np.zeros_like(Y))


class IdleTwins(BottleneckByHand):
    """The second normalization is used nowhere, the first one twice."""

    def forward(self, X):
        Y = npx.relu(self.norms[0](self.reduce(X)))
        Y = npx.relu(self.norms[0](self.middle(Y)))
        Y = self.norms[2](self.last(Y))
        return npx.relu(Y + (self.project_norm(self.project(X)) if self.has_projection else X))


class WithoutReLU(BottleneckByHand):
    """A layer of Gluon's that does not do what its name says."""

    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__(num_channels, projection, strides)
        self.norms = nn.Sequential()
        self.norms.add(nn.BatchNormReLU(), nn.BatchNormReLU(), nn.BatchNorm())

    def forward(self, X):
        Y = self.last(self.norms[1](self.middle(self.norms[0](self.reduce(X)))))
        shortcut = self.project_norm(self.project(X)) if self.has_projection else X
        return npx.relu(self.norms[2](Y) + shortcut)


def by_name(num_channels, *, strides=1, projection=False):
    return bottleneck()(num_channels, projection, strides)


# --- 3.5 ---


class PreAct(nn.HybridBlock):
    """The projection reads what follows the first ReLU, as the authors' code has it."""

    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm(), nn.BatchNorm(in_channels=num_channels)
        self.conv1, self.conv2 = conv(num_channels, 3, strides), conv(num_channels)
        self.projection = conv(num_channels, 1, strides) if projection else None

    def hybrid_forward(self, F, X):
        Y = npx.relu(self.bn1(X))
        X = self.projection(Y) if self.projection else X
        return X + self.conv2(npx.relu(self.bn2(self.conv1(Y))))


class PreActBiased(PreAct):
    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__(num_channels, projection, strides)
        if projection:
            self.projection = conv(num_channels, 1, strides, bias=True)


class PreActReassigned(PreAct):
    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__(num_channels, projection, strides)
        if projection:
            self.projection = sequential(self.projection)


class PreActTwice(PreAct):
    """bn1 is used twice: right outputs, as long as both have the same numbers."""

    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__(num_channels, projection, strides)
        self.bn1 = nn.BatchNorm(in_channels=0 if projection else num_channels)
        self.used = self.bn2 if projection else self.bn1

    def hybrid_forward(self, F, X):
        Y = npx.relu(self.bn1(X))
        X = self.projection(Y) if self.projection else X
        return X + self.conv2(npx.relu(self.used(self.conv1(Y))))


class PreActPaused(PreAct):
    """The first normalization is hidden from autograd."""

    def hybrid_forward(self, F, X):
        with autograd.pause(train_mode=autograd.is_training()):
            Y = npx.relu(self.bn1(X))
        X = self.projection(Y) if self.projection else X
        return X + self.conv2(npx.relu(self.bn2(self.conv1(Y))))


def preact_in_a_row(num_channels, projection=False, strides=1, less=0):
    """The projection reads x; all of F in one row of layers. less=1: the second variance is unbiased."""
    layers = [nn.BatchNorm(), relu(), conv(num_channels, 3, strides)]
    second = OwnNorm(num_channels, less=1) if less else nn.BatchNorm()
    body = sequential(*layers, second, relu(), conv(num_channels))
    return Sum(body, conv(num_channels, 1, strides) if projection else None, end=None)


def preact_unbiased(num_channels, projection=False, strides=1):
    return preact_in_a_row(num_channels, projection, strides, less=1)


def preact_strided(num_channels, projection=False, strides=2):
    return preact_in_a_row(num_channels, projection, strides)


# --- 3.7 ---


class Padded(nn.Block):
    """Subsample and append zeros."""

    def forward(self, X):
        X = X[:, :, ::2, ::2]
        return np.concatenate([X, np.zeros(X.shape)], axis=1)


class PooledAndPadded(nn.Block):
    """The same in other words."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2D(pool_size=1, strides=2)

    def forward(self, X):
        X = self.pool(X)
        return np.pad(X, ((0, 0), (0, X.shape[1]), (0, 0), (0, 0)), mode="constant")


class Picked(nn.Block):
    """The same by a convolution with a kernel that is not trained."""

    def __init__(self):
        super().__init__()
        self.kernels = self.params.get("kernels", allow_deferred_init=True, grad_req="null")

    def forward(self, X):
        C = X.shape[1]
        if self.kernels.shape is None:
            self.kernels.shape = (2 * C, C, 1, 1)
            self.kernels._finish_deferred_init()
            self.kernels.set_data(np.eye(2 * C, C).reshape(2 * C, C, 1, 1))
        return npx.convolution(
            X, self.kernels.data(), kernel=(1, 1), stride=(2, 2), num_filter=2 * C, no_bias=True
        )


class Filled(nn.Block):
    """Right until autograd records: it does not follow assignments to slices."""

    def forward(self, X):
        N, C, H, W = X.shape
        Y = np.zeros((N, 2 * C, H // 2, W // 2))
        Y[:, :C] = X[:, :, ::2, ::2]
        return Y


class Remembering(nn.Block):
    """Its zeros are as many as the first batch has."""

    zeros = None

    def forward(self, X):
        X = X[:, :, ::2, ::2]
        if self.zeros is None:
            self.zeros = np.zeros(X.shape)
        return np.concatenate([X, self.zeros], axis=1)


def cifar(
    shortcut=Padded,
    n=lambda depth: (depth - 2) // 6,
    bias=False,
    widths=(16, 32, 64),
    stem=(nn.BatchNorm, relu),
    row_of=nn.Sequential,
    last=nn.Dense,
):
    def make(depth, num_classes=10):
        net = row_of()
        net.add(conv(widths[0], 3, 1, bias), *(layer() for layer in stem))
        for stage, num_channels in enumerate(widths):
            for i in range(n(depth)):
                halves = i == 0 and stage > 0
                body = sequential(
                    conv(num_channels, 3, 2 if halves else 1, bias),
                    nn.BatchNorm(),
                    relu(),
                    conv(num_channels, 3, 1, bias),
                    nn.BatchNorm(),
                )
                net.add(Sum(body, shortcut() if halves else None))
        net.add(nn.GlobalAvgPool2D(), last(num_classes))
        return net

    return make


def cifar_repeated(depth, num_classes=10):
    """From its second block on, each stage repeats one and the same block."""
    layers = list(cifar()(depth, num_classes))
    n = (depth - 2) // 6
    net = nn.Sequential()
    net.add(*layers[:3])
    for first in (3, 3 + n, 3 + 2 * n):
        net.add(layers[first], *layers[first + 1 : first + 2] * (n - 1))
    net.add(*layers[-2:])
    return net


class CifarNet(nn.Block):
    """Layers by name, the dense layer made first."""

    def __init__(self, depth, num_classes=10):
        super().__init__()
        self.scores = nn.Dense(num_classes)
        self.n = (depth - 2) // 6
        for i in range(6 * self.n + 1):
            channels = 16 * 2 ** (max(i - 1, 0) // (2 * self.n))
            strides = 2 if i in (2 * self.n + 1, 4 * self.n + 1) else 1
            setattr(self, f"conv{i}", conv(channels, 3, strides))
            setattr(self, f"norm{i}", nn.BatchNorm())

    def step(self, i, X):
        return getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(X))

    def forward(self, X):
        X = npx.relu(self.step(0, X))
        for i in range(1, 6 * self.n + 1, 2):
            Y = self.step(i + 1, npx.relu(self.step(i, X)))
            if Y.shape != X.shape:
                X = X[:, :, ::2, ::2]
                X = np.concatenate([X, 0 * X], axis=1)
            X = npx.relu(X + Y)
        return self.scores(X.mean(axis=(2, 3)))


# --- 3.8 ---


class Halving(nn.HybridBlock):
    def __init__(self, num_channels, strides):
        super().__init__()
        self.short = sequential(conv(num_channels, 1, strides), nn.BatchNorm())
        self.one, self.two = (
            sequential(conv(num_channels, 3, s), nn.BatchNorm()) for s in (strides, 1)
        )

    def hybrid_forward(self, F, X):
        return F.npx.relu(self.short(X) + self.two(F.npx.relu(self.one(X))))


def half_halving(num_channels, strides):
    block = Halving(num_channels, strides)
    block.short = sequential(conv(num_channels, 1), nn.BatchNorm())
    return block


class TwoConvolutions(nn.Block):
    """The lesson's block, its end in the hands of a class below."""

    norms = 2

    def __init__(self, num_channels, **settings):
        super().__init__()
        self.first, self.second = conv(num_channels), conv(num_channels)
        for i in range(self.norms):
            setattr(self, f"norm{i + 1}", nn.BatchNorm(in_channels=num_channels, **settings))

    def forward(self, X):
        return self.end(X, self.second(npx.relu(self.norm1(self.first(X)))))

    def end(self, X, Y):
        return npx.relu(X + self.norm2(Y))


class NormedShortcut(TwoConvolutions):
    norms = 3

    def end(self, X, Y):
        return npx.relu(self.norm3(X) + self.norm2(Y))


class Idle(TwoConvolutions):
    """Two normalizations are made; one of them is used, twice."""

    def end(self, X, Y):
        return npx.relu(X + self.norm1(Y))


class IdleWithoutShape(Idle):
    def __init__(self, num_channels):
        super().__init__(num_channels)
        self.norm2 = nn.BatchNorm()


class Detached(TwoConvolutions):
    def end(self, X, Y):
        return npx.relu(X.detach() + self.norm2(Y))


def quick(num_channels):
    return TwoConvolutions(num_channels, momentum=0.5)


def in_a_row(num_channels, norm=gluons):
    layers = [conv(num_channels), norm(num_channels), relu()]
    return Sum(sequential(*layers, conv(num_channels), norm(num_channels)))


def in_a_row_by_hand(num_channels):
    return in_a_row(num_channels, lambda num_features: BatchNorm(num_features, num_dims=4))


def in_a_row_own(num_channels):
    return in_a_row(num_channels, OwnNorm)


R34 = 21_283_530

RIGHT = {
    "block_by_hand": [((0, 0, 4),), (np.array([[0, 0, 4]]),)],
    "why_deeper_is_worse": [("d",), (" (D) ",)],
    "resnet34_parameters": [(R34,), ("21,283,530",), (np.array([R34]),)],
    "bottleneck": [
        (BottleneckByHand,),
        (by_name,),
        (bottleneck(places=(1,), norm=OwnNorm),),
        (bottleneck(places=(1,)),),
    ],
    "preactivation": [(PreAct,), (preact_in_a_row,)],
    "smallest_picture": [(33,), (np.array(33.0),)],
    "cifar_resnet": [(CifarNet,), (cifar(),), (cifar(PooledAndPadded),), (cifar(Picked),)],
    "shapes_differ": [
        ("b", Halving),
        ("(B)", lambda num_channels, strides: Residual(num_channels, True, strides)),
    ],
    "only_grows": [("d", TwoConvolutions), ("D", Residual), ("d", in_a_row)],
    "no_identity": [("c", TwoConvolutions), ("C ", in_a_row)],
    "shared_norm": [
        ("a", in_a_row_by_hand),
        ("a", in_a_row_own),
        ("A", in_a_row),
        ("a)", TwoConvolutions),
    ],
}

WRONG = {  # beside the mistakes that the checks know, which the tests feed back
    "block_by_hand": [
        (((1, 2, 3),), "each number by itself"),
        (((0, 4),), "one too many"),
        (("none, none, four",), "its type"),
    ],
    "why_deeper_is_worse": [
        (("a",), "Overfitting is"),
        (("b",), "twice the parameters"),
        (("c",), "size of gradients"),
    ],
    "resnet34_parameters": [
        ((21e6,), "larger. Build it up"),
        (("21,283,531",), "smaller. Build it up"),
        (("many",), "in digits"),
    ],
    "bottleneck": [
        ((bottleneck(bias=True),), "No convolution has a bias"),
        ((bottleneck(default=2),), "as defaults"),
        ((lambda c, projection, strides: bottleneck()(c, projection, strides),), "as defaults"),
        ((bottleneck(norm=lambda c: nn.BatchNorm(epsilon=1e-2)),), "settings the usual ones"),
        ((bottleneck(norm=lambda c: nn.BatchNorm(scale=False)),), "not all of them learn"),
        ((bottleneck(last=1),), "4 * num_channels channels"),
        ((bottleneck(padding=0),), "has padding 1"),
        ((bottleneck(places=(0, 1)),), "exactly one convolution"),
        ((lambda c, p, s: Residual(4 * c, p, s),), "Compare the weights"),
        ((bottleneck(norm=lambda c: OwnNorm(c, False, False)),), "keeps a running mean"),
        ((bottleneck(norm=lambda c: OwnNorm(c, moving=False)),), "change its running mean"),
        ((WithoutReLU,), "leaves out its ReLU"),
        ((bottleneck(more=[nn.Dropout(0.5)]),), "in training mode"),
        ((IdleTwins,), "does nothing"),
        ((BottleneckByHand(4),), "not what it made"),
    ],
    "preactivation": [
        ((preact_strided,), "as defaults"),
        ((PreActBiased,), "No convolution has a bias"),
        ((PreActReassigned,), "assign it once"),
        ((PreActTwice,), "does nothing"),
        ((PreActPaused,), "hide what they touch"),
        ((preact_unbiased,), "in training mode"),
    ],
    "smallest_picture": [
        ((32,), "single position"),
        ((31,), "single position"),
        ((64,), "too"),
        ((224,), "is it the smallest"),
        ((34,), "33 works too"),
        ((32.5,), "whole number"),
        ((-1,), "At least one pixel"),
        ((1_000_000,), "not thousands"),
        ((1,), "single position"),
        (("33 x 33",), "in digits"),
    ],
    "cifar_resnet": [
        ((cifar(n=lambda depth: (depth - 2) // 3),), "there are too many of them"),
        ((cifar(n=lambda depth: 1),), "there are too few of them"),
        ((cifar(n=lambda depth: (depth - 2) // 6 - 1),), "does a stage have"),
        ((cifar_repeated,), "Is one used twice?"),
        ((cifar(row_of=nn.HybridSequential),), "nn.Sequential"),
        ((cifar(bias=True),), "No convolution has a bias"),
        ((cifar(widths=(16, 32, 32), shortcut=Padded),), "does the message complain"),
        ((cifar(Filled),), "build a new one"),
        ((cifar(Remembering),), "Print the values in that line"),
        ((cifar(last=lambda num_classes: nn.Dense(10)),), "dense layer at the end"),
        (
            (cifar(last=lambda num_classes: nn.Dense(num_classes, use_bias=False)),),
            "dense layer at",
        ),
        ((cifar(stem=(relu,)),), "A normalization is missing"),
    ],
    "shapes_differ": [
        (("a", Halving), "With padding 1"),
        (("c", Halving), "the same number of channels"),
        (("d", Halving), "leaves the shape"),
        (("b", half_halving), "still there"),
    ],
    "only_grows": [
        (("a", Residual), "would still only add"),
        (("b", Residual), "identity fits"),
        (("c", Residual), "many values get smaller"),
    ],
    "no_identity": [
        (("a", Residual), "weight of exactly zero"),
        (("b", Residual), "with ReLU(x)"),
        (("d", Residual), "512 numbers"),
        (("c", NormedShortcut), "a normalization too many"),
    ],
    "shared_norm": [
        (("b", Residual), "0.00003"),
        (("c", Residual), "nothing is missing"),
        (("d", Residual), "random"),
        (("a", Detached), "hide what they touch"),
        (("a", quick), "default, 0.9"),
        (("a", Idle), "does nothing"),
        (("a", IdleWithoutShape), "never used"),
    ],
}
