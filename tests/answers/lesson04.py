"""Right and wrong answers to exercises 04. A wrong one comes with a piece of the hint it must get."""

from d2lutils import BatchNorm, DenseBlock, conv_block, densenet, transition_block
from d2lutils.nets import sequential

import numpy
from mxnet import nd, np, npx
from mxnet.gluon import nn


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
    """Average and 1x1 convolution can change places; the course's own normalization."""

    def __init__(self, m, theta):
        super().__init__()
        self.pool = nn.AvgPool2D(pool_size=(2, 2))
        self.conv = nn.Conv2D(int(numpy.floor(m * theta)), 1, in_channels=m, use_bias=False)
        self.norm = BatchNorm(m, num_dims=4)

    def forward(self, X):
        return self.conv(self.pool(npx.relu(self.norm(X))))


def of_width(width):
    return lambda m, theta: transition_block(width(m, theta))


def of_layers(*layers):
    return lambda m, theta: sequential(*(layer(int(m * theta)) for layer in layers))


def pooled_slowly(m, theta):
    """The pooling moves by one pixel, not by two."""
    layers = nn.BatchNorm(), relu(), conv(int(m * theta), 1)
    return sequential(*layers, nn.AvgPool2D(2, strides=1))


# --- 4.7 ---


class Bottleneck(nn.Block):
    """One layer of DenseNet-BC that appends its own maps; the normalization is its own too."""

    def __init__(self, k, inputs, norms=2):
        super().__init__()
        self.grow, self.squeeze = conv(k), conv(4 * k, 1)
        self.norm1 = BatchNorm(inputs, 4)
        self.norm2 = BatchNorm(4 * k, 4) if norms == 2 else relu()

    def forward(self, X):
        Y = self.squeeze(npx.relu(self.norm1(X)))
        Y = self.grow(npx.relu(self.norm2(Y)))
        return np.concatenate([X, Y], axis=1)


class BC(nn.Block):
    """DenseNet-BC layer by layer; what can go wrong is an argument or an attribute."""

    refuse, norms, stem_bias, read = ValueError("depth must be 6n + 4"), 2, False, None

    def __init__(self, depth, growth_rate, num_classes=10):
        super().__init__()
        if (depth - 4) % 6 and self.refuse:
            raise self.refuse
        self.features, channels = nn.Sequential(), 2 * growth_rate
        self.features.add(conv(channels, use_bias=self.stem_bias))
        for i in range(3):
            for _ in range((depth - 4) // 6):
                self.features.add(Bottleneck(growth_rate, channels, self.norms))
                channels += growth_rate
            self.features.add(BatchNorm(channels, 4), relu())
            if i < 2:
                channels //= 2
                self.features.add(conv(channels, 1), nn.AvgPool2D())
        self.output = sequential(nn.AvgPool2D(8), nn.Dense(num_classes))

    def forward(self, X):
        return self.output(self.features(X))


def bc(**differences):
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
            squeezing = nn.Conv2D(4 * k, (1, 1), use_bias=False)
            block.layers.add(sequential(*list(first)[:2], squeezing, second))
        parts += [block] + ([Transition(m[i] + n * k, 0.5)] if i < 2 else [])
    net = nn.Sequential()
    net.add(*parts, nn.BatchNorm(), relu())
    net.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(num_classes))
    return net


def refusing(condition):
    """DenseNet-BC that raises its ValueError under another condition."""

    def make(depth, k, classes=10):
        if condition(depth):
            raise ValueError("choose another depth")
        return bc(refuse=None)(depth, k, classes)

    return make


# --- 4.8a and 4.8d ---


def thin_net(
    num_channels=16,
    growth_rate=12,
    num_convs=(3, 3, 3),
    last=(nn.BatchNorm, relu),
    start=1,
    most=9,
):
    """The specimen, repaired. Both exercises want the same. most: how many transitions halve."""
    net = sequential(conv(start * num_channels))
    for i, n in enumerate(num_convs):
        net.add(DenseBlock(n, growth_rate))
        num_channels += n * growth_rate
        if i < len(num_convs) - 1:
            num_channels = num_channels // 2 if i < most else num_channels
            net.add(transition_block(num_channels))
    net.add(*(layer() for layer in last), nn.GlobalAvgPool2D(), nn.Dense(10))
    return net


def emptied(num_channels=16, growth_rate=12, num_convs=[3, 3, 3]):  # noqa: B006
    """Every other call finds the default list empty."""
    net = thin_net(num_channels, growth_rate, tuple(num_convs))
    if isinstance(num_convs, list):
        num_convs[:] = [] if num_convs else [3, 3, 3]
    return net


class ThinNet(nn.Block):
    """The same in other words, with the course's own normalization."""

    def __init__(self, num_channels=16, growth_rate=12, num_convs=(3, 3, 3)):
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
        self.last, self.dense = BatchNorm(flowing, 4), nn.Dense(10)

    def forward(self, X):
        X = npx.relu(self.last(self.parts(X)))
        return self.dense(X.mean(axis=(2, 3)))


def short_net(growth_rate, num_convs, **differences):
    return thin_net(2 * growth_rate, growth_rate, num_convs, **differences)


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


class Fixed(Appending):
    """It takes the growth rate for the number of channels that come in."""

    def __init__(self, num_convs, growth_rate):
        super().__init__(0, growth_rate)
        for i in range(num_convs):
            inputs = (i + 1) * growth_rate
            convolution = conv(growth_rate, in_channels=inputs)
            self.layers.add(sequential(nn.BatchNorm(), relu(), convolution))


def joining(join):
    return type("Joining", (Appending,), {"join": lambda self, X, new: join(X, new)})


class Collecting(Appending):
    """A dense block that keeps a list."""

    def forward(self, X):
        features = [X]
        for layer in self.layers:
            features.append(layer(self.read(features)))
        return np.concatenate(features, axis=1)

    def read(self, features):
        return np.concatenate(features, axis=1)


def reading(read):
    return type("Reading", (Collecting,), {"read": lambda self, maps: cat(read(maps))})


class Filling(nn.Block):
    """A dense block that writes all maps into one array made beforehand: autograd refuses that."""

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
    "growth_rate": [(9,), (np.array([9]),), ("9",)],
    "who_reads_whom": [
        ([10, *range(14, 26)],),
        ({*range(10, 26)} - {11, 12, 13},),
        (np.array([25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 10]),),
        ("10, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24 and 25".replace(" and", ","),),
    ],
    "densenet_bc": [(BC,), (bc_by_parts,)],
    "too_wide": [("b", ThinNet), ("B", thin_net)],
    "batch_doubles": [
        ("d", Appending),
        ("d", DenseBlock),
        ("(d)", joining(lambda X, new: np.hstack((X, new)))),
    ],
    "only_the_last": [("a", Collecting), ("a", Appending)],
    "unfinished": [("c", ShortNet), ("c", short_net)],
}

WRONG = {  # beside the mistakes that the checks know, which the tests feed back
    "ledger": [
        (([16, 52, 52, 88, 88, 124],), "The transitions halve"),
        (([16, 28, 14, 26, 13, 25],), "three layers appends 12"),
        (([8, 44, 22, 58, 29, 65],), "only transitions halve"),
        (([16, 52, 26, 62, 31, 67, 33],), "No transition follows"),
        (([16, 52, 26, 62, 44, 80],), "the block before it, all of them"),
        (([16, 36, 18, 36, 18, 36],), "its own input"),
        (([52, 26, 62, 31, 67],), "begins with the stem"),
        (([52, 26, 62, 31, 67, 33],), "begins with the stem"),
        (([16, 52, 26, 62, 31],), "Six numbers"),
        (([16, 52, 26, 62, 31, 68],), "A block appends"),
        (("sixteen",), "its type"),
    ],
    "what_it_saves": [
        (("a",), "its activations take more"),
        (("b",), "the parameters decide"),
        (("c",), "grow with the batch"),
    ],
    "block_parameters": [
        ((lambda c, k, L: (2 + 9 * k) * k * (L * (c // k) + L * (L - 1) // 2),), "Add up"),
        ((lambda c, k, L: 1 + by_loop(c, k, L),), "Add up"),
        ((lambda c, k, L: by_loop(c, k, L) if L > 2 else 0,), "Add up"),
        ((summed(lambda c, k: 2 * c + 9 * c * k + k),), "no bias"),
    ],
    "transition": [
        ((of_width(lambda m, theta: round(m * theta)),), "Round down"),
        ((of_width(lambda m, theta: m // round(1 / theta)),), "all channels are kept"),
        ((of_width(lambda m, theta: int(m * theta) - 1),), "BN, ReLU, 1x1 conv"),
        ((lambda m, theta: DenseBlock(1, int(m * theta)),), "BN, ReLU, 1x1 conv"),
        ((lambda m, theta: "block",), "Return a block"),
        ((pooled_slowly,), "Which layers change height and width"),
        (
            (of_layers(lambda w: conv(w, 1), lambda w: relu(), lambda w: nn.AvgPool2D()),),
            "normalization is missing",
        ),
    ],
    "growth_rate": [
        ((8,), "Running statistics"),
        ((10,), "one step too far"),
        ((12,), "the limit is 100,000"),
        ((5,), "There is room"),
        ((32,), "grows with the square"),
        ((9.5,), "One whole number"),
        (([8, 9],), "One number is asked for"),
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
        ((range(26),), "No layer reads what comes later"),
        (([2],), "which layers come after it"),
        ((13,), "not how many"),
        (([10, *range(14, 25)],), "range leaves out its end"),
        ((range(14, 25),), "range leaves out its end"),
        (([10, *range(14, 27)],), "the last is 25"),
        ((range(10, 14),), "Which layers read it"),
        ((range(11, 26),), "Channel 10 is changed"),
    ],
    "densenet_bc": [
        ((bc(stem_bias=True),), "No convolution has a bias"),
        ((bc(norms=1),), "A normalization is missing"),
        ((refusing(lambda depth: depth % 2),), "(12 - 4) / 6 is not"),
        ((refusing(lambda depth: depth % 3 != 1),), "(13 - 4) / 6 is not"),
        ((refusing(lambda depth: depth % 6 == 0),), "(11 - 4) / 6 is not"),
        ((refusing(lambda depth: depth % 6),), "Depth 16 fits"),
        ((refusing(lambda depth: depth < 16),), "Depth 10 fits"),
        ((refusing(lambda depth: depth not in (10, 16, 40)),), "fits, n is"),
        ((bc(refuse=None),), "raise ValueError"),
        ((bc(refuse=AssertionError("depth")),), "raise ValueError"),
        ((bc(refuse=ValueError()),), "with a message"),
        ((lambda depth, k, classes: BC(depth, k, classes),), "how many, and in which order"),
        ((lambda depth, k, classes=100: BC(depth, k, classes),), "dense layer at the end"),
        (
            (lambda depth, k, classes=10: densenet(num_channels=2 * k, growth_rate=k),),
            "Count by hand",
        ),
    ],
    "too_wide": [
        (("a", thin_net), "append 36"),
        (("c", thin_net), "Pooling changes"),
        (("d", thin_net), "first go wrong"),
        (("b", lambda *numbers: thin_net(*numbers, start=2)), "Part by part"),
        (("b", emptied), "A second call"),
        (("b", lambda *numbers: thin_net(*numbers, last=(nn.BatchNorm,))), "The layers are there"),
        (("b", lambda *numbers: thin_net(*numbers, most=2)), "Part by part"),
    ],
    "batch_doubles": [
        (("a", Appending), "why nothing crashes"),
        (("b", Appending), "padding is right"),
        (("c", Appending), "belongs to the transition"),
        (("d", joining(lambda X, new: new)), "the channels grow"),
        (("d", Filling), "build a new one"),
        (("d", Fixed), "inputs of another shape"),
        (("d", joining(lambda X, new: np.concatenate([X, new], dim=1))), "PyTorch's name"),
    ],
    "only_the_last": [
        (("b", Collecting), "appends 12 channels"),
        (("c", Collecting), "the input is there"),
        (("d", Collecting), "Thousands are missing"),
        (("a", reading(lambda maps: maps[::-1])), "in which order"),
        (("a", reading(lambda maps: [maps[0], maps[-1]])), "which maps does it read"),
        (("a", reading(lambda maps: [m.detach() for m in maps])), "hide what they touch"),
    ],
    "unfinished": [
        (("a", ShortNet), "multiplied them by ten"),
        (("b", ShortNet), "bias is zero"),
        (("d", ShortNet), "so is their maximum"),
        (("c", lambda *numbers: short_net(*numbers, start=2)), "the last dense block"),
        (("c", lambda *numbers: short_net(*numbers, most=1)), "the last dense block"),
    ],
}
