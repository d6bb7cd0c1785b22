"""Right and wrong answers to exercises 04. A wrong one comes with a piece of the hint it must get."""

from d2lutils import DenseBlock, conv_block, densenet, transition_block

import numpy
from mxnet import nd, np, npx
from mxnet.gluon import nn


def row(*layers):
    block = nn.HybridSequential()
    block.add(*layers)
    return block


def conv(num_channels, size=3, **settings):
    settings = {"use_bias": False, "padding": size // 2, **settings}
    return nn.Conv2D(num_channels, size, **settings)


def relu():
    return nn.Activation("relu")


# --- 4.3 ---


def by_loop(c, k, L):
    total = 0
    for _ in range(L):
        total += c + c  # gamma and beta
        total += 3 * 3 * c * k
        c += k
    return total


def by_building(c, k, L):
    block = DenseBlock(L, k)
    block.infer_shape(np.zeros((1, c, 2, 2)))
    sizes = [numpy.prod(p.shape) for p in block.collect_params().values() if p.grad_req != "null"]
    return float(sum(sizes))


def summed(term):
    return lambda c, k, L: sum(term(c + i * k, k) for i in range(L))


# --- 4.4 ---


class Transition(nn.HybridSequential):
    def __init__(self, num_channels, compression):
        super().__init__()
        self.add(nn.BatchNorm(), relu())
        self.add(conv(int(compression * num_channels), 1), nn.AvgPool2D(2, 2))


class PooledFirst(nn.Block):
    """Average and 1x1 convolution can change places."""

    def __init__(self, m, theta):
        super().__init__()
        self.pool = nn.AvgPool2D(pool_size=(2, 2))
        self.conv = nn.Conv2D(int(numpy.floor(m * theta)), 1, in_channels=m, use_bias=False)
        self.norm = nn.BatchNorm(in_channels=m)

    def forward(self, X):
        return self.conv(self.pool(npx.relu(self.norm(X))))


def of_width(width):
    return lambda m, theta: transition_block(width(m, theta))


def of_layers(layers):
    return lambda m, theta: row(*layers(int(m * theta)))


# --- 4.7 ---


class Bottleneck(nn.HybridBlock):
    """One layer of DenseNet-BC that appends its own maps."""

    def __init__(self, k, wide=4, new_first=False, **settings):
        super().__init__()
        self.new_first = new_first
        self.grow = conv(k, **settings)
        self.squeeze = conv(wide * k, 1, **settings)
        self.norms = nn.HybridSequential()
        self.norms.add(nn.BatchNorm(), nn.BatchNorm())

    def hybrid_forward(self, F, X):
        Y = self.squeeze(F.npx.relu(self.norms[0](X)))
        Y = self.grow(F.npx.relu(self.norms[1](Y)))
        return F.np.concatenate([Y, X] if self.new_first else [X, Y], axis=1)


class BC(nn.HybridBlock):
    """DenseNet-BC; what can go wrong is an attribute of a subclass."""

    stem = end = divisor = None
    layer = Bottleneck
    settings, more = {}, {}
    refuse = ValueError("depth must be 6n + 4")

    def __init__(self, depth, growth_rate, num_classes=10):
        super().__init__()
        k = growth_rate
        if (depth - 4) % 6 and self.refuse:
            raise self.refuse
        n = (depth - 4) // (self.divisor or 6)
        settings = self.settings
        self.features = self.stem(k) if self.stem else row(conv(2 * k, **settings))
        channels = 2 * k
        for i in range(3):
            for _ in range(n):
                self.features.add(self.layer(k, **settings, **self.more))
                channels += k
            if i < 2:
                channels = self.after(channels)
                self.features.add(nn.BatchNorm(), relu())
                self.features.add(conv(channels, 1, **settings), nn.AvgPool2D())
        self.features.add(*(self.end() if self.end else [nn.BatchNorm(), relu()]))
        self.output = row(nn.AvgPool2D(8), nn.Dense(num_classes))

    def after(self, channels):
        return channels // 2

    def hybrid_forward(self, F, X):
        return self.output(self.features(X))


def bc(**differences):
    differences = {
        name: staticmethod(value) if name in ("stem", "end") else value
        for name, value in differences.items()
    }
    return type("Other", (BC,), differences)


def bc_by_parts(depth, growth_rate, num_classes=10):
    """From parts that are there: each layer of the dense block is exchanged after it is made."""
    if depth % 6 != 4:
        raise ValueError("choose a depth of 6n + 4")
    n, k = (depth - 4) // 6, growth_rate
    m = [2 * k]
    m.append((m[0] + n * k) // 2)
    m.append((m[1] + n * k) // 2)
    parts = [conv(2 * k)]
    for i in range(3):
        block = DenseBlock(0, k)
        for _ in range(n):
            first, second = conv_block(4 * k), conv_block(k)
            block.layers.add(
                row(*list(first)[:2], nn.Conv2D(4 * k, (1, 1), use_bias=False), second)
            )
        parts += [block] + ([Transition(m[i] + n * k, 0.5)] if i < 2 else [])
    net = nn.Sequential()
    net.add(*parts, nn.BatchNorm(), relu())
    net.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(num_classes))
    return net


class Plain(nn.HybridBlock):
    """A layer without bottleneck that appends its own maps."""

    def __init__(self, k):
        super().__init__()
        self.layer = conv_block(k)

    def hybrid_forward(self, F, X):
        return F.np.concatenate([X, self.layer(X)], axis=1)


class Late(Plain):
    def __init__(self, k):
        super().__init__(k)
        self.layer = row(conv(4 * k, 1), nn.BatchNorm(), relu(), conv(k), nn.BatchNorm(), relu())


class LessNonlinear(Plain):
    def __init__(self, k):
        super().__init__(k)
        self.layer = row(nn.BatchNorm(), relu(), conv(4 * k, 1), nn.BatchNorm(), conv(k))


class OneNorm(Plain):
    def __init__(self, k):
        super().__init__(k)
        self.layer = row(nn.BatchNorm(), relu(), conv(4 * k, 1), relu(), conv(k))


class Swapped(Plain):
    """ReLU before normalization."""

    def __init__(self, k):
        super().__init__(k)
        first, second = [relu(), nn.BatchNorm()], [relu(), nn.BatchNorm()]
        self.layer = row(*first, conv(4 * k, 1), *second, conv(k))


def refusing(condition):
    """DenseNet-BC that raises its ValueError under another condition."""

    def make(depth, k, classes=10):
        if condition(depth):
            raise ValueError("choose another depth")
        return bc(refuse=None)(depth, k, classes)

    return make


def bc_of_stem(width):
    """DenseNet-BC with as many channels at the start, and the count going on from there."""

    def make(depth, k, classes=10):
        channels, net = width(k), row(conv(width(k)))
        for i in range(3):
            net.add(*(Bottleneck(k) for _ in range((depth - 4) // 6)))
            channels += (depth - 4) // 6 * k
            if i < 2:
                net.add(Transition(channels, 0.5))
                channels //= 2
        net.add(nn.BatchNorm(), relu(), nn.GlobalAvgPool2D(), nn.Dense(classes))
        return net

    return make


# --- 4.8a and 4.8d ---


def thin(halve, start=lambda c: c, end=lambda: [nn.BatchNorm(), relu()], one_more=False):
    """halve(the count) -> what the transition makes, where the count goes on from."""

    def make(num_channels, growth_rate, num_convs):
        net = row(conv(start(num_channels)))
        for i, n in enumerate(num_convs):
            net.add(DenseBlock(n, growth_rate))
            num_channels += n * growth_rate
            if i < len(num_convs) - 1 or one_more:
                width, num_channels = halve(num_channels)
                net.add(transition_block(width))
        net.add(*end(), nn.GlobalAvgPool2D(), nn.Dense(10))
        return net

    return make


class ThinNet(nn.Block):
    """The channels are read from the maps themselves: no count to keep."""

    def __init__(self, num_channels, growth_rate, num_convs):
        super().__init__()
        self.parts = nn.Sequential()
        self.parts.add(nn.Conv2D(num_channels, 3, padding=1, use_bias=False))
        flowing = num_channels
        for place, n in enumerate(num_convs, start=1):
            self.parts.add(DenseBlock(n, growth_rate))
            flowing = flowing + growth_rate * n
            if place == len(num_convs):
                break
            flowing = int(flowing / 2)
            self.parts.add(transition_block(flowing))
        self.last, self.dense = nn.BatchNorm(in_channels=flowing), nn.Dense(10)

    def forward(self, X):
        X = npx.relu(self.last(self.parts(X)))
        return self.dense(X.mean(axis=(2, 3)))


def without_growth(num_channels, growth_rate, num_convs):
    net = row(conv(num_channels))
    for i, n in enumerate(num_convs):
        net.add(DenseBlock(n, growth_rate))
        if i < len(num_convs) - 1:
            num_channels //= 2
            net.add(transition_block(num_channels))
    net.add(nn.BatchNorm(), relu(), nn.GlobalAvgPool2D(), nn.Dense(10))
    return net


def honest(c):
    return c // 2, c // 2


thin_with_one_more = thin(honest, one_more=True)


def short(*end, halve=honest, make=thin):
    """The specimen of 4.8d with other layers before its dense layer; they replace the pooling."""

    def short_net(growth_rate, num_convs):
        layers = [layer() for layer in end]
        return make(halve, end=lambda: layers)(2 * growth_rate, growth_rate, num_convs)

    return short_net


class ShortNet(ThinNet):
    def __init__(self, growth_rate, num_convs):
        super().__init__(2 * growth_rate, growth_rate, num_convs)


# --- 4.8b and 4.8c ---


class Appending(nn.Block):
    """A dense block that joins by `join`, whatever that does."""

    def __init__(self, num_convs, growth_rate):
        super().__init__()
        self.layers = nn.Sequential()
        for _ in range(num_convs):
            self.layers.add(conv_block(growth_rate))

    def forward(self, X):
        for layer in self.layers:
            X = self.join(X, layer(X))
        return X

    def join(self, X, new):
        return np.concatenate((X, new), axis=-3)


def joining(join):
    return type("Joining", (Appending,), {"join": lambda self, X, new: join(X, new)})


class Collecting(Appending):
    """A dense block that keeps a list."""

    def forward(self, X):
        features = [X]
        for layer in self.layers:
            features.append(layer(self.read(features)))
        return self.give(features)

    def read(self, features):
        return np.concatenate(features, axis=1)

    give = read


def collecting(**methods):
    methods = {name: lambda self, maps, f=function: f(maps) for name, function in methods.items()}
    return type("Other", (Collecting,), methods)


class Filling(nn.Block):
    """A dense block that writes all maps into one array made beforehand."""

    def __init__(self, num_convs, growth_rate):
        super().__init__()
        self.k = growth_rate
        self.names = [f"layer{i}" for i in range(num_convs)]
        for name in self.names:
            setattr(self, name, conv_block(growth_rate))

    def forward(self, X):
        N, c, H, W = X.shape
        maps = np.zeros((N, c + len(self.names) * self.k, H, W))
        maps[:, :c] = X
        for name in self.names:
            maps[:, c : c + self.k] = getattr(self, name)(maps[:, :c])
            c += self.k
        return maps


def appended_by_hstack(num_convs, growth_rate):
    return joining(lambda X, new: np.hstack((X, new)))(num_convs, growth_rate)


def cat(maps):
    return np.concatenate(maps, axis=1)


RIGHT = {
    "ledger": [
        ([16, 52, 26, 62, 31, 67],),
        (np.array([16, 52, 26, 62, 31, 67]),),
        (nd.array([16, 52, 26, 62, 31, 67]),),
    ],
    "what_it_saves": [("d",), (" (D) ",)],
    "block_parameters": [
        (lambda c, k, L: (2 + 9 * k) * (L * c + k * L * (L - 1) / 2),),
        (by_loop,),
        (by_building,),
    ],
    "transition": [(Transition,), (PooledFirst,), (of_width(lambda m, theta: int(m * theta)),)],
    "growth_rate": [(9,), (np.array(9),), (9.0,)],
    "who_reads_whom": [
        ([10, *range(14, 26)],),
        ({*range(10, 26)} - {11, 12, 13},),
        (np.array([25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 10]),),
    ],
    "densenet_bc": [(BC,), (bc_by_parts,)],
    "too_wide": [("b", ThinNet), ("B", thin(honest))],
    "batch_doubles": [("d", Appending), ("d", DenseBlock), ("(d)", appended_by_hstack)],
    "only_the_last": [("a", Collecting), ("a", Appending)],
    "unfinished": [("c", ShortNet), ("c", short(nn.BatchNorm, relu))],
}

WRONG = {
    "ledger": [
        (([16, 52, 52, 88, 88, 124],), "The transitions halve"),
        (([16, 28, 14, 26, 13, 25],), "three layers appends 12"),
        (([8, 44, 22, 58, 29, 65],), "only transitions halve"),
        (([16, 52, 26, 62, 31, 67, 33],), "No transition follows"),
        (([16, 52, 26, 62, 44, 80],), "62 channels, so 31"),
        (([16, 36, 18, 36, 18, 36],), "its own input"),
        (([52, 26, 62, 31, 67],), "begins with the stem"),
        (([52, 26, 62, 31, 67, 33],), "begins with the stem"),
        (([16, 52, 26, 62, 31],), "Six numbers"),
        (([16, 52, 26, 62, 31, 68],), "A block appends"),
        (("16, 52, 26, 62, 31, 67",), "Write a list"),
    ],
    "what_it_saves": [
        (("a",), "The activations are more"),
        (("b",), "the parameters decide"),
        (("c",), "grow with the batch"),
    ],
    "block_parameters": [
        ((summed(lambda c, k: 9 * c * k),), "The normalizations have parameters"),
        ((summed(lambda c, k: c + 9 * c * k),), "gamma and beta"),
        ((summed(lambda c, k: 4 * c + 9 * c * k),), "Running statistics"),
        ((summed(lambda c, k: 2 * c + 9 * c * k + k),), "no bias"),
        ((lambda c, k, L: L * (2 + 9 * k) * c,), "Every layer reads"),
        ((lambda c, k, L: (2 + 9 * k) * (L * c + k * L * (L + 1) // 2),), "not c + k"),
        ((summed(lambda c, k: 2 * k + 9 * c * k),), "before the convolution"),
        ((summed(lambda c, k: 2 * c + 3 * c * k),), "nine weights"),
        ((summed(lambda c, k: 2 * c + c * k),), "not 1x1"),
        ((lambda c, k, L: (2 + 9 * k) * (L * c + k * L * (L - 1)),), "is half of"),
        ((lambda c, k, L: (2 + 9 * k) * (L * c + k * (L - 1) * (L // 2)),), "Halve last"),
        ((lambda c, k, L: (2 + 9 * k) * k * (L * (c // k) + L * (L - 1) // 2),), "Add up"),
        ((lambda k, c, L: by_loop(c, k, L),), "function(c, k, L)"),
        ((lambda c, k, L: 1 + by_loop(c, k, L),), "Add up over the layers"),
    ],
    "transition": [
        ((of_width(lambda m, theta: -int(-m * theta // 1)),), "Round down"),
        ((lambda m, theta: transition_block(m),), "no effect yet"),
        ((lambda m, theta: transition_block(m // 2),), "need not be a half"),
        (
            (of_layers(lambda w: [nn.BatchNorm(), relu(), nn.Conv2D(w, 1), nn.AvgPool2D()]),),
            "no bias",
        ),
        ((of_layers(lambda w: [relu(), conv(w, 1), nn.AvgPool2D()]),), "normalization is missing"),
        ((of_layers(lambda w: [nn.BatchNorm(), conv(w, 1), nn.AvgPool2D()]),), "ReLU is missing"),
        (
            (of_layers(lambda w: [relu(), nn.BatchNorm(), conv(w, 1), nn.AvgPool2D()]),),
            "then the ReLU",
        ),
        (
            (of_layers(lambda w: [nn.BatchNorm(), relu(), conv(w, 1), nn.MaxPool2D()]),),
            "not max pooling",
        ),
        (
            (of_layers(lambda w: [nn.BatchNorm(), relu(), conv(w, 1, strides=2)]),),
            "pool instead",
        ),
        ((of_layers(lambda w: [nn.BatchNorm(), relu(), conv(w, 1)]),), "pooling is missing"),
        (
            (of_layers(lambda w: [nn.BatchNorm(), relu(), conv(w, 3), nn.AvgPool2D()]),),
            "1x1, not 3x3",
        ),
        (
            (of_layers(lambda w: [conv(w, 1), nn.BatchNorm(), relu(), nn.AvgPool2D()]),),
            "come before the convolution",
        ),
        ((lambda m, theta: DenseBlock(1, int(m * theta)),), "BN, ReLU, 1x1 conv"),
        ((lambda m, theta: "block",), "Return a block"),
        ((of_layers(lambda w: [conv(w, 1), relu(), nn.AvgPool2D()]),), "there are 0"),
    ],
    "growth_rate": [
        ((8,), "running statistics"),
        ((10,), "one step too far"),
        ((5,), "There is room"),
        ((32,), "Too many by far"),
        ((9.5,), "One whole number"),
        (([8, 9],), "One whole number"),
        ((99483,), "One whole number"),
    ],
    "who_reads_whom": [
        ((range(14, 26),), "is itself part"),
        ((range(10, 26),), "do not read each other"),
        (([10, 14, 15, 16, 17],), "a chain"),
        (([14, 15, 16, 17],), "layers 4 and 5 too"),
        (([10],), "Every later layer"),
        (([11, *range(15, 27)],), "from 0"),
        (([14, *range(18, 26)],), "Layer 1 is the first"),
        (([4, *range(8, 20)],), "first six channels"),
        ((range(26),), "Nobody reads what comes later"),
        (([2],), "which layers come after it"),
        ((13,), "not how many"),
        (([10, *range(14, 25)],), "range leaves its end out"),
        ((range(14, 25),), "range leaves its end out"),
        (([10, *range(14, 27)],), "the last is 25"),
        ((range(10, 14),), "who reads it"),
        ((range(11, 26),), "Channel 10 is disturbed"),
    ],
    "densenet_bc": [
        ((bc(divisor=3),), "two convolutions"),
        ((bc(more={"wide": 1}),), "4 * growth_rate"),
        ((bc(layer=Plain),), "The B is missing"),
        ((bc(layer=Late),), "before each convolution"),
        ((bc(layer=LessNonlinear),), "before the 3x3 convolution too"),
        ((bc(after=lambda self, c: c),), "The C is missing"),
        ((bc(after=lambda self, c: -(-c // 2)),), "round down"),
        ((bc(end=lambda: [nn.AvgPool2D(1)]),), "normalization and ReLU are missing"),
        ((bc(end=lambda: [nn.BatchNorm()]),), "last ReLU is missing"),
        ((bc(end=lambda: [relu()]),), "last normalization is missing"),
        ((bc(stem=lambda k: row(conv(16))),), "2 * growth_rate"),
        ((bc(stem=lambda k: row(conv(2 * k), nn.BatchNorm(), relu())),), "No normalization"),
        ((bc(settings={"use_bias": True}),), "no bias"),
        ((bc(more={"new_first": True}),), "Old maps first"),
        ((bc(stem=lambda k: row(conv(2 * k, use_bias=True))),), "No convolution has a bias"),
        ((bc(layer=OneNorm),), "There should be"),
        ((bc_of_stem(lambda k: k),), "2 * growth_rate"),
        ((bc_of_stem(lambda k: 16),), "2 * growth_rate"),
        ((lambda depth, k, classes=10: BC(depth, k),), "num_classes has no effect"),
        ((lambda depth, k, classes=10: BC(depth, 12, classes),), "growth_rate has no effect"),
        ((lambda depth, k, classes=10: BC(depth + 6, k, classes),), "has (depth - 4) / 6 layers"),
        ((bc(layer=Swapped),), "The weights are right"),
        ((refusing(lambda depth: depth % 2),), "(12 - 4) / 6 is not"),
        ((refusing(lambda depth: depth % 3 != 1),), "(13 - 4) / 6 is not"),
        ((refusing(lambda depth: depth % 6 == 0),), "(11 - 4) / 6 is not"),
        ((refusing(lambda depth: depth % 6),), "Depth 16 fits"),
        ((refusing(lambda depth: depth < 16),), "Depth 10 fits"),
        ((bc(refuse=None),), "raise ValueError"),
        ((bc(refuse=AssertionError("depth")),), "raise ValueError"),
        ((bc(refuse=ValueError()),), "with a sentence"),
        (
            (lambda depth, k, classes=10: densenet(num_channels=2 * k, growth_rate=k),),
            "Count by hand",
        ),
    ],
    "too_wide": [
        (("a", thin(honest)), "append 36"),
        (("c", thin(honest)), "Pooling changes"),
        (("d", thin(honest)), "first go wrong"),
        (("b", thin(lambda c: (c // 2, c))), "still there"),
        (("b", thin(lambda c: (c // 4, c // 2))), "Halved twice"),
        (("b", thin(lambda c: (c // 2 // 2, c // 2 // 2))), "Halved twice"),
        (("b", thin(lambda c: (c, c))), "do not halve any more"),
        (("b", thin_with_one_more), "No transition follows"),
        (("b", thin(lambda c: (c // 2, c), one_more=True)), "No transition follows"),
        (("b", without_growth), "A block appends"),
        (("b", thin(honest, start=lambda c: c // 2)), "Each transition makes half"),
    ],
    "batch_doubles": [
        (("a", Appending), "why nothing crashes"),
        (("b", Appending), "padding is right"),
        (("c", Appending), "belongs to the transition"),
        (("d", joining(lambda X, new: np.concatenate([X, new]))), "still there"),
        (("d", joining(lambda X, new: np.concatenate([X, new], axis=2))), "taller"),
        (("d", joining(lambda X, new: np.concatenate([X, new], axis=-1))), "wider"),
        (("d", joining(lambda X, new: X + new)), "an addition"),
        (("d", joining(lambda X, new: np.concatenate([new, X], axis=1))), "Old maps first"),
        (("d", collecting(give=lambda maps: maps[-1])), "Only the last layer"),
        (("d", joining(lambda X, new: new)), "the channels grow"),
        (("d", Filling), "build a new one"),
    ],
    "only_the_last": [
        (("b", Collecting), "appends 12 channels"),
        (("c", Collecting), "the input is there"),
        (("d", Collecting), "Thousands are missing"),
        (("a", collecting(read=lambda maps: maps[-1])), "not only the last"),
        (("a", collecting(read=lambda maps: cat(maps[-2:]))), "the last two"),
        (("a", collecting(read=lambda maps: maps[0])), "input only"),
        (("a", collecting(give=lambda maps: cat(maps[1:]))), "missing in its output"),
        (("a", collecting(give=lambda maps: maps[-1])), "Only the last layer"),
        (("a", collecting(read=lambda maps: cat(maps[::-1]))), "which maps does it read"),
        (("a", collecting(read=lambda maps: cat([maps[0], maps[-1]]))), "which maps does it read"),
    ],
    "unfinished": [
        (("a", ShortNet), "our doing"),
        (("b", ShortNet), "bias is zero"),
        (("d", ShortNet), "ten times the maximum"),
        (("c", short()), "still there"),
        (("c", short(nn.BatchNorm)), "a ReLU follows"),
        (("c", short(relu)), "normalize first"),
        (("c", short(relu, nn.BatchNorm)), "Normalize before the ReLU"),
        (("c", short(nn.GlobalAvgPool2D, nn.BatchNorm, relu)), "before the pooling"),
        (
            ("c", lambda k, num_convs: thin_with_one_more(2 * k, k, num_convs)),
            "no transition follows",
        ),
    ],
}
