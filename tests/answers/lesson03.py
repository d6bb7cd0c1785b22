"""Right and wrong answers to exercises 03. A wrong one comes with a piece of the hint it must get."""

from d2lutils import BatchNorm, Residual, small_resnet

from mxnet import np, npx
from mxnet.gluon import nn

# --- blocks in one style: functions of functions ---


def conv(num_channels, size=3, strides=1, bias=False):
    return nn.Conv2D(num_channels, size, strides, padding=size // 2, use_bias=bias)


def row(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def relu_layer():
    return nn.Activation("relu")


class Sum(nn.Block):
    """end(shortcut(x) + before(body(x)))"""

    def __init__(self, body, shortcut=None, before=None, end=npx.relu):
        super().__init__()
        self.body, self.shortcut, self.before, self.end = body, shortcut, before, end

    def forward(self, X):
        Y = self.body(X)
        Y = self.before(Y) if self.before else Y
        Y = Y + (self.shortcut(X) if self.shortcut else X)
        return self.end(Y) if self.end else Y


# --- 3.4 ---


def bottleneck(
    place=0,
    bias=False,
    bare=False,
    relus=(1, 1),
    last=4,
    default=1,
    early=False,
    scale=True,
    epsilon=1e-5,
    active=False,
    **ends,
):
    """early: each ReLU before its normalization; active: one on the projection."""

    def make(num_channels, projection=False, strides=default):
        c, layers = num_channels, []
        for i, (channels, size) in enumerate([(c, 1), (c, 3), (last * c, 1)]):
            layers += [conv(channels, size, strides if i == place else 1, bias)]
            then = [nn.BatchNorm(scale=scale, epsilon=epsilon)] + (
                [relu_layer()] if i < 2 and relus[i] else []
            )
            layers += then[::-1] if early else then
        shortcut = [conv(last * c, 1, strides, bias)] + ([] if bare else [nn.BatchNorm()])
        shortcut += [relu_layer()] if active else []
        return Sum(row(*layers), row(*shortcut) if projection else None, **ends)

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


def plain_bottleneck(*arguments):
    return row(bottleneck()(*arguments).body, relu_layer())


# --- 3.5 ---


class PreAct(nn.HybridBlock):
    """The projection reads what follows the first ReLU, as the authors' code has it."""

    end, norm_on_projection, overwritten, late = None, False, False, False

    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm(), nn.BatchNorm()
        first, second = (1, strides) if self.late else (strides, 1)
        self.conv1, self.conv2 = conv(num_channels, 3, first), conv(num_channels, 3, second)
        self.projection = None
        if projection:
            norm = [nn.BatchNorm()] if self.norm_on_projection else []
            self.projection = row(conv(num_channels, 1, strides), *norm)

    def before(self, norm, X):
        return npx.relu(norm(X))

    def hybrid_forward(self, F, X):
        Y = self.before(self.bn1, X)
        if self.projection:
            X = self.projection(Y)
        elif self.overwritten:
            X = Y
        Y = X + self.conv2(self.before(self.bn2, self.conv1(Y)))
        return self.end(Y) if self.end else Y


class PreActReLU(PreAct):
    end = staticmethod(npx.relu)


class PreActNormalized(PreAct):
    norm_on_projection = True


class PreActOverwritten(PreAct):
    overwritten = True


class PreActLate(PreAct):
    late = True


class PreActLinear(PreAct):
    def before(self, norm, X):
        return norm(X)


class PreActOneReLU(PreAct):
    def before(self, norm, X):
        return norm(X) if norm is self.bn2 else npx.relu(norm(X))


class PreActReLUFirst(PreAct):
    def before(self, norm, X):
        return norm(npx.relu(X))


class PreActBiased(PreAct):
    def __init__(self, num_channels, projection=False, strides=1):
        super().__init__(num_channels, projection, strides)
        if projection:
            self.projection = row(conv(num_channels, 1, strides, bias=True))


def preact_in_a_row(num_channels, projection=False, strides=1, late=False):
    """The projection reads x; all of F in one row of layers."""
    body = row(
        nn.BatchNorm(),
        relu_layer(),
        conv(num_channels, 3, 1 if late else strides),
        nn.BatchNorm(),
        relu_layer(),
        conv(num_channels, 3, strides if late else 1),
    )
    return Sum(body, conv(num_channels, 1, strides) if projection else None, end=None)


def preact_late_in_a_row(num_channels, projection=False, strides=1):
    return preact_in_a_row(num_channels, projection, strides, late=True)


def preact_strided(num_channels, projection=False, strides=2):
    return preact_in_a_row(num_channels, projection, strides)


def postact(num_channels, projection=False, strides=1, end=None, before=None):
    body = row(
        conv(num_channels, 3, strides),
        nn.BatchNorm(),
        relu_layer(),
        conv(num_channels),
        nn.BatchNorm(),
    )
    return Sum(body, conv(num_channels, 1, strides) if projection else None, before, end)


def postact_twice(num_channels, projection=False, strides=1):
    return postact(num_channels, projection, strides, before=npx.relu)


def postact_relu(num_channels, projection=False, strides=1):
    return postact(num_channels, projection, strides, npx.relu)


# --- 3.7 ---


class Padded(nn.Block):
    """Subsample and append zeros."""

    def __init__(self, pad=None, step=2):
        super().__init__()
        self.pad, self.step = pad, step

    def forward(self, X):
        if self.pad == "corner":
            X = X[:, :, : X.shape[2] // 2, : X.shape[3] // 2]
        elif self.step == 2:
            X = X[:, :, ::2, ::2]
        zeros = np.zeros(X.shape)
        if self.pad == "ones":
            zeros = zeros + 1
        if self.pad == "nothing":
            X = zeros
        if self.pad == "both sides":
            half = zeros[:, ::2]
            return np.concatenate([half, X, half], axis=1)
        return np.concatenate([zeros, X] if self.pad == "front" else [X, zeros], axis=1)


class PooledAndPadded(nn.Block):
    """The same in other words, or with the average."""

    def __init__(self, size=1):
        super().__init__()
        self.pool = nn.AvgPool2D(pool_size=size, strides=2)

    def forward(self, X):
        X = self.pool(X)
        return np.pad(X, ((0, 0), (0, X.shape[1]), (0, 0), (0, 0)), mode="constant")


class Filled(nn.Block):
    """Right until autograd records: it does not follow assignments to slices."""

    def forward(self, X):
        N, C, H, W = X.shape
        Y = np.zeros((N, 2 * C, H // 2, W // 2))
        Y[:, :C] = X[:, :, ::2, ::2]
        return Y


def cifar(
    shortcut=Padded,
    halves=(1, 2, 2),
    n=lambda depth: (depth - 2) // 6,
    bias=False,
    widths=(16, 32, 64),
    stem=(nn.BatchNorm, relu_layer),
    pool=nn.GlobalAvgPool2D,
    row_of=nn.Sequential,
    more=(),
    **ends,
):
    def make(depth, num_classes=10):
        net = row_of()
        net.add(conv(widths[0], 3, 1, bias), *(layer() for layer in stem))
        for stage, num_channels in enumerate(widths):
            for i in range(n(depth)):
                strides = halves[stage] if i == 0 else 1
                body = row(
                    conv(num_channels, 3, strides, bias),
                    nn.BatchNorm(),
                    relu_layer(),
                    conv(num_channels, 3, 1, bias),
                    nn.BatchNorm(),
                )
                first = i == 0 and stage > 0
                net.add(Sum(body, shortcut() if first else None, **ends))
        net.add(pool(), nn.Dense(num_classes), *(layer() for layer in more))
        return net

    return make


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


def halving(
    stride_1=True, stride_2=False, stride_projection=True, norm=True, relu=True, shortcut=None
):
    def make(num_channels, strides):
        body = row(
            conv(num_channels, 3, strides if stride_1 else 1),
            nn.BatchNorm(),
            relu_layer(),
            conv(num_channels, 3, strides if stride_2 else 1),
            nn.BatchNorm(),
        )
        layers = [conv(num_channels, 1, strides if stride_projection else 1)]
        layers += [nn.BatchNorm()] if norm else []
        return Sum(body, row(*layers), end=npx.relu if relu else None)

    return make


class Halving(nn.HybridBlock):
    def __init__(self, num_channels, strides):
        super().__init__()
        self.short = row(conv(num_channels, 1, strides), nn.BatchNorm())
        self.one, self.two = (row(conv(num_channels, 3, s), nn.BatchNorm()) for s in (strides, 1))

    def hybrid_forward(self, F, X):
        return F.npx.relu(self.short(X) + self.two(F.npx.relu(self.one(X))))


class TwoConvolutions(nn.Block):
    """The lesson's block, its end in the hands of a class below."""

    norms, momentum = 2, 0.9

    def __init__(self, num_channels):
        super().__init__()
        self.first, self.second = conv(num_channels), conv(num_channels)
        made = [
            nn.BatchNorm(momentum=self.momentum, in_channels=num_channels)
            for _ in range(self.norms)
        ]
        self.norm1, self.norm2, self.norm3 = (made + made[-1:] * 2)[:3]

    def forward(self, X):
        return self.end(X, self.second(npx.relu(self.norm1(self.first(X)))))

    def end(self, X, Y):
        return npx.relu(X + self.norm2(Y))


class ReLUBefore(TwoConvolutions):
    def end(self, X, Y):
        return X + npx.relu(self.norm2(Y))


class ReLUTwice(TwoConvolutions):
    def end(self, X, Y):
        return npx.relu(X + npx.relu(self.norm2(Y)))


class NoReLU(TwoConvolutions):
    def end(self, X, Y):
        return X + self.norm2(Y)


class NoShortcut(TwoConvolutions):
    def end(self, X, Y):
        return npx.relu(self.norm2(Y))


class LateNorm(TwoConvolutions):
    def end(self, X, Y):
        return npx.relu(self.norm2(X + Y))


class OneNorm(TwoConvolutions):
    norms = 1

    def end(self, X, Y):
        return npx.relu(X + Y)


class NormAtTheEnd(TwoConvolutions):
    norms = 3

    def end(self, X, Y):
        return npx.relu(self.norm3(X + self.norm2(Y)))


class NormedShortcut(TwoConvolutions):
    norms = 3

    def end(self, X, Y):
        return npx.relu(self.norm3(X) + self.norm2(Y))


class Shared(TwoConvolutions):
    norms = 1


class Idle(TwoConvolutions):
    """Two normalizations are made; one of them is used, twice."""

    def end(self, X, Y):
        return npx.relu(X + self.norm1(Y))


class UsedOnce(Shared):
    def end(self, X, Y):
        return npx.relu(X + Y)


class Quick(TwoConvolutions):
    momentum = 0.5


class IdleWithoutShape(Idle):
    def __init__(self, num_channels):
        super().__init__(num_channels)
        self.norm2 = nn.BatchNorm()


def in_a_row(num_channels):
    return Sum(
        row(
            conv(num_channels),
            nn.BatchNorm(),
            relu_layer(),
            conv(num_channels),
            nn.BatchNorm(),
        )
    )


class Detached(TwoConvolutions):
    def end(self, X, Y):
        return npx.relu(X.detach() + self.norm2(Y))


def other_scores(num_classes=None, use_bias=True):
    """The right network with another layer at its end."""

    def make(depth, classes=10):
        layers = list(cifar()(depth, classes))
        net = nn.Sequential()
        net.add(*layers[:-1], nn.Dense(num_classes or classes, use_bias=use_bias))
        return net

    return make


R34 = 21_283_530

RIGHT = {
    "block_by_hand": [((0, 0, 4),), (np.array([[0, 0, 4]]),)],
    "why_deeper_is_worse": [("d",), (" (D) ",)],
    "resnet34_parameters": [(R34,), (float(R34),), (np.array(R34),)],
    "bottleneck": [(BottleneckByHand,), (bottleneck(),), (bottleneck(place=1),)],
    "preactivation": [(PreAct,), (preact_in_a_row,)],
    "smallest_picture": [(33,), (np.array(33.0),)],
    "cifar_resnet": [(CifarNet,), (cifar(),), (cifar(PooledAndPadded),)],
    "shapes_differ": [
        ("b", Halving),
        ("(B)", lambda num_channels, strides: Residual(num_channels, True, strides)),
        ("b", halving()),
    ],
    "only_grows": [("d", TwoConvolutions), ("D", Residual), ("d", in_a_row)],
    "no_identity": [("c", TwoConvolutions), ("C ", in_a_row)],
    "shared_norm": [("a", TwoConvolutions), ("A", in_a_row)],
}

WRONG = {
    "block_by_hand": [
        (((-1, -0.5, 4),), "ReLU after them is missing"),
        (((2, -0.5, 4),), "alone. It comes after"),
        (((2, 0, 4),), "F(x) goes into it as it is"),
        (((2, 0.5, 4),), "not one for each part"),
        (((0, 0.5, 1),), "a plain block"),
        (((0, 0.5, 4),), "x goes into it as it is"),
        (((-1, 0.5, 4),), "to x alone"),
        (((1, 2, 3),), "each number by itself"),
    ],
    "why_deeper_is_worse": [
        (("a",), "Overfitting is"),
        (("b",), "twice the parameters"),
        (("c",), "size of gradients"),
    ],
    "resnet34_parameters": [
        ((11_175_370,), "That is ResNet-18"),
        ((21_797_672,), "three colours"),
        ((R34 + 990 * 513,), "not 1,000"),
        ((R34 - 172_032 - 1_792,), "projections are missing"),
        ((R34 - 1_792,), "a normalization too"),
        ((R34 + 17_024,), "not trained"),
        ((R34 - 17_024,), "normalizations are missing"),
        ((R34 - 10,), "has biases"),
        ((R34 + 4_224,), "need no projection"),
        ((R34 + 8_512,), "no bias here"),
        ((21_275_018,), "two numbers for each channel"),
        ((21_280_970,), "is 7x7"),
        ((22_202_698,), "Only the first block"),
        ((21_094_474,), "Projections and normalizations"),
        ((22_831_818,), "half as many channels"),
        ((19_513_034,), "in this order"),
        ((21e6,), "Build it up"),
    ],
    "bottleneck": [
        ((plain_bottleneck,), "The shortcut is missing"),
        ((bottleneck(end=None),), "ReLU after the addition is missing"),
        ((bottleneck(before=npx.relu),), "No ReLU at the end of F"),
        ((bottleneck(before=npx.relu, end=None),), "not before it"),
        ((bottleneck(relus=(0, 0)),), "the first two normalizations"),
        ((bottleneck(relus=(1, 0)),), "the second normalization"),
        ((bottleneck(bare=True),), "has a normalization too"),
        ((bottleneck(bias=True),), "No convolution has a bias"),
        ((bottleneck(relus=(0, 1)),), "the first normalization"),
        ((bottleneck(early=True),), "Normalization first"),
        ((bottleneck(active=True),), "No ReLU on the projection"),
        ((bottleneck(default=2),), "as defaults"),
        ((lambda c, projection, strides: bottleneck()(c, projection, strides),), "as defaults"),
        ((bottleneck(epsilon=1e-2),), "usual settings"),
        ((bottleneck(scale=False),), "usual settings"),
        ((bottleneck(place=2),), "not in the last"),
        ((bottleneck(last=1),), "lead to 4 * num_channels"),
        ((lambda c, p, s: Residual(4 * c, p, s),), "Compare the weights"),
    ],
    "preactivation": [
        ((PreActReLU,), "Nothing follows the addition"),
        ((PreActNormalized,), "a bare 1x1 convolution"),
        ((PreActOverwritten,), "overwrite it"),
        ((PreActLate,), "carries the stride"),
        ((preact_late_in_a_row,), "carries the stride"),
        ((preact_strided,), "as defaults"),
        ((PreActBiased,), "No convolution has a bias"),
        ((postact_twice,), "before each convolution, not after"),
        ((PreActLinear,), "The ReLUs are missing"),
        ((PreActOneReLU,), "before the second convolution"),
        ((PreActReLUFirst,), "Normalization first"),
        ((postact,), "before each convolution, not after"),
        ((postact_relu,), "block of 2015"),
        ((lambda *a: preact_in_a_row(*a).body,), "The shortcut is missing"),
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
    ],
    "cifar_resnet": [
        (
            (lambda depth, num_classes=10: small_resnet(depth, num_classes=num_classes),),
            "do not project",
        ),
        ((cifar(n=lambda depth: (depth - 2) // 3),), "too many of them: how many blocks"),
        ((cifar(n=lambda depth: 1),), "too few of them: how many blocks"),
        ((cifar(row_of=nn.HybridSequential),), "nn.Sequential"),
        ((cifar(bias=True),), "No convolution has a bias"),
        ((cifar(lambda: Padded("nothing")),), "still brings every second pixel"),
        ((cifar(lambda: Padded("ones")),), "not ones"),
        ((cifar(lambda: Padded("corner")),), "not the first half"),
        ((cifar(pool=nn.GlobalMaxPool2D),), "not the maximum"),
        ((cifar(more=[lambda: nn.Lambda(npx.softmax)]),), "no softmax"),
        ((cifar(widths=(16, 32, 32), shortcut=Padded),), "does the message complain"),
        ((cifar(Filled),), "build a new one"),
        ((other_scores(num_classes=10),), "dense layer at the end"),
        ((other_scores(use_bias=False),), "dense layer at the end"),
        ((cifar(lambda: Padded("both sides")),), "none in front"),
        ((cifar(lambda: Padded("front")),), "behind the channels"),
        ((cifar(lambda: PooledAndPadded(2)),), "do not average"),
        ((cifar(lambda: Padded(step=1), halves=(1, 1, 1)),), "halve height and width"),
        ((cifar(end=None),), "ReLU after the addition is missing"),
        ((cifar(stem=(nn.BatchNorm,)),), "come a normalization and a ReLU"),
        ((cifar(stem=(relu_layer,)),), "A normalization is missing"),
    ],
    "shapes_differ": [
        (("a", halving()), "With padding 1"),
        (("c", halving()), "The channels agree"),
        (("d", halving()), "leaves the shape"),
        (("b", halving(stride_projection=False)), "still there"),
        (("b", halving(stride_1=False, stride_projection=False)), "Nothing halves"),
        (("b", halving(stride_1=False, stride_2=True)), "leave it there"),
        (("b", halving(norm=False)), "belongs there"),
        (("b", halving(relu=False)), "ReLU after the addition"),
    ],
    "only_grows": [
        (("a", Residual), "would still only add"),
        (("b", Residual), "identity fits"),
        (("c", Residual), "many values get smaller"),
        (("d", ReLUBefore), "still there"),
        (("d", ReLUTwice), "still there too"),
        (("d", NoReLU), "no ReLU at the end"),
        (("d", NoShortcut), "shortcut is missing"),
    ],
    "no_identity": [
        (("a", Residual), "weight of exactly zero"),
        (("b", Residual), "with ReLU(x)"),
        (("d", Residual), "512 numbers"),
        (("c", LateNorm), "still there"),
        (("c", OneNorm), "It belongs to F"),
        (("c", NormAtTheEnd), "outside F"),
        (("c", NormedShortcut), "outside F"),
        (("c", NoReLU), "ReLU after the addition"),
    ],
    "shared_norm": [
        (("b", Residual), "0.00003"),
        (("c", Residual), "nothing is missing"),
        (("d", Residual), "random"),
        (("a", Shared), "one of its own"),
        (("a", OneNorm), "one of its own"),
        (("a", Detached), "hide what they touch"),
        (("a", UsedOnce), "one of its own"),
        (("a", Quick), "default, 0.9"),
        (("a", Idle), "followed by its own"),
        (("a", IdleWithoutShape), "never used"),
        (("a", NormAtTheEnd), "too many"),
    ],
}
