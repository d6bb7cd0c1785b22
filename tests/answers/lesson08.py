"""Right and wrong answers to exercises 08. A wrong one comes with a piece of the hint it must get."""

from d2lutils import BatchNorm
from d2lutils.families import (
    BlockV1,
    branch,
    cifar_resnet,
    convolution,
    densenet_bc,
    make_block,
    make_stem,
    normalized,
)
from d2lutils.nets import sequential

import numpy
from mxnet import init, np, npx
from mxnet.gluon import nn

# --- 8.2 ---


def by_formula(depth, width, version):
    n, w = (depth - 2) // 6, width
    both = 10 * w**2 + (12 * w if version == 1 else 0)
    others = n * w**2 + (n - 1) * 20 * w**2
    if version == 1:
        others += n * 2 * w + (n - 1) * 12 * w
    return 0, both, both + others


def by_building(*, depth, width, version):
    """Counts two networks and takes the difference."""
    counts = []
    for option in "ABC":
        net = cifar_resnet(depth, version=version, width=width, shortcut=option)
        net.infer_shape(np.zeros((1, 3, 8, 8)))
        parameters = net.collect_params().values()
        counts.append(sum(numpy.prod(p.shape) for p in parameters if p.grad_req != "null"))
    return np.array(counts) - counts[0]


def by_blocks(depth, width, version):
    """Goes from block to block; text is a number too."""
    channels, sums = width, {"A": 0, "B": 0, "C": 0}
    for stage in range(3):
        for _ in range((depth - 2) // 6):
            out = width * 2**stage
            its = channels * out + 2 * out * (version == 1)
            sums["B"] += its * (channels != out)
            sums["C"] += its
            channels = out
    return [f"{n:d}" for n in sums.values()]


def _c_of_full_width(depth, width, version):
    """C as if every block read as many channels as it makes."""
    n, c = (depth - 2) // 6, [width, 2 * width, 4 * width]
    return sum(n * b * b + (n * 2 * b if version == 1 else 0) for b in c)


def whole(depth, width, version):
    """The parameters of the whole networks."""
    base = cifar_resnet(depth, version=version, width=width)
    base.infer_shape(np.zeros((1, 1, 8, 8)))
    parameters = base.collect_params().values()
    total = sum(numpy.prod(p.shape) for p in parameters if p.grad_req != "null")
    return [total + more for more in by_formula(depth, width, version)]


def whole_on_colours(depth, width, version):
    """The same with three channels in the stem."""
    return [27 * width - 9 * width + total for total in whole(depth, width, version)]


# --- 8.3 ---


def resnext_branch(num_channels, strides=1, groups=32):
    inside = num_channels // 2
    grouped = nn.Conv2D(inside, 3, strides, padding=1, groups=groups, use_bias=False)
    return sequential(
        convolution(inside, 1), normalized(grouped), normalized(convolution(num_channels, 1))
    )


class Grouped(nn.HybridBlock):
    """In a class, under names of its own."""

    def __init__(self, num_channels, *, strides=1, groups=32):
        super().__init__()
        self.last, self.first = convolution(num_channels, 1), nn.Conv2D(num_channels // 2, 1)
        self.first = nn.Conv2D(num_channels // 2, kernel_size=(1, 1), use_bias=False)
        self.middle = nn.Conv2D(
            num_channels // 2, (3, 3), (strides, strides), (1, 1), groups=groups, use_bias=False
        )
        self.bn2, self.bn1 = nn.BatchNorm(), nn.BatchNorm()

    def hybrid_forward(self, F, X):
        Y = F.npx.relu(self.bn1(self.first(X)))
        return self.last(F.npx.relu(self.bn2(self.middle(Y))))


class Split(nn.Block):
    """The groups one by one, put together by hand: a kernel for each group."""

    def __init__(self, num_channels, strides=1, groups=32):
        super().__init__()
        self.strides, self.groups, self.inside = strides, groups, num_channels // 2
        self.weight = self.params.get("weight", shape=(self.inside, self.inside // groups, 3, 3))
        self.before = sequential(convolution(self.inside, 1), BatchNorm(self.inside, 4))
        self.after = sequential(BatchNorm(self.inside, 4))
        self.last = convolution(num_channels, 1)

    def forward(self, X):
        Y, W = npx.relu(self.before(X)), self.weight.data()
        parts = []
        for one, kernel in zip(np.split(Y, self.groups, axis=1), np.split(W, self.groups)):
            s = (self.strides,) * 2
            its = {"kernel": (3, 3), "stride": s, "pad": (1, 1), "no_bias": True}
            parts.append(npx.convolution(one, kernel, num_filter=len(kernel), **its))
        return self.last(npx.relu(self.after(np.concatenate(parts, axis=1))))


def of_resnet(num_channels, strides=1, groups=32):
    return branch(num_channels, strides, bottleneck=True, stride_in="3x3")


def indivisible(num_channels, strides=1, groups=32):
    grouped = nn.Conv2D(num_channels // 2 + 1, 3, strides, 1, groups=groups, use_bias=False)
    return sequential(convolution(num_channels // 2 + 1, 1), normalized(grouped))


def unpadded(num_channels, strides=1, groups=32, padding=0):
    its = {"padding": padding, "groups": groups, "use_bias": False}
    grouped = nn.Conv2D(num_channels // 2, 3, strides, **its)
    inside = convolution(num_channels // 2, 1)
    return sequential(inside, normalized(grouped), normalized(convolution(num_channels, 1)))


def padded(num_channels, strides=1, groups=32):
    """Padding in the 1x1 convolutions, too."""
    narrow = nn.Conv2D(num_channels // 2, 1, padding=1, use_bias=False)
    grouped = nn.Conv2D(num_channels // 2, 3, strides, 1, groups=groups, use_bias=False)
    wide = nn.Conv2D(num_channels, 1, padding=1, use_bias=False)
    return sequential(narrow, normalized(grouped), normalized(wide))


# --- 8.4 ---


class SEBlock(nn.HybridBlock):
    def __init__(self, branch, num_channels, shortcut=None, reduction=16):
        super().__init__()
        self.branch, self.shortcut, self.bn = branch, shortcut, nn.BatchNorm()
        self.num_channels = num_channels
        self.narrow = nn.Dense(num_channels // reduction, activation="relu")
        self.wide = nn.Dense(num_channels, activation="sigmoid")

    def hybrid_forward(self, F, X):
        Y = self.bn(self.branch(X))
        S = self.wide(self.narrow(Y.mean(axis=(2, 3))))
        Y = Y * S.reshape(-1, self.num_channels, 1, 1)
        return F.npx.relu(Y + (self.shortcut(X) if self.shortcut else X))


class ByConvolutions(nn.Block):
    """Dense layers as 1x1 convolutions, as others write them."""

    def __init__(self, branch, num_channels, *, shortcut=None, reduction=16):
        super().__init__()
        self.body, self.way = branch, shortcut or sequential()
        self.norm = BatchNorm(num_channels, 4)
        self.scale = sequential(
            nn.GlobalAvgPool2D(),
            nn.Conv2D(num_channels // reduction, 1),
            nn.Activation("relu"),
            nn.Conv2D(num_channels, 1),
            nn.Activation("sigmoid"),
        )

    def forward(self, X):
        Y = self.norm(self.body(X))
        return npx.relu(Y * self.scale(Y) + self.way(X))


class Scaling(nn.Block):
    """A layer of its own for the scaling, and a longhand sigmoid."""

    def __init__(self, num_channels, reduction):
        super().__init__()
        self.squeeze, self.excite = nn.Dense(num_channels // reduction), nn.Dense(num_channels)

    def forward(self, X):
        means = X.reshape(*X.shape[:2], -1).mean(axis=2)
        scales = 1 / (1 + np.exp(-self.excite(np.maximum(self.squeeze(means), 0))))
        return X * scales.reshape(*scales.shape, 1, 1)


class FromBlockV1(BlockV1):
    """The lesson's block with a longer normalization at the end of its branch."""

    def __init__(self, branch, num_channels, shortcut=None, reduction=16):
        nn.HybridBlock.__init__(self)
        self.branch, self.shortcut = branch, shortcut
        self.bn = sequential(nn.BatchNorm(), HybridScaling(num_channels, reduction))


class HybridScaling(nn.HybridBlock):
    def __init__(self, num_channels, reduction):
        super().__init__()
        self.layers = sequential(
            nn.GlobalAvgPool2D(),
            nn.Dense(num_channels // reduction, activation="relu"),
            nn.Dense(num_channels),
        )

    def hybrid_forward(self, F, X):
        S = F.npx.sigmoid(self.layers(X))
        return X * F.np.expand_dims(F.np.expand_dims(S, axis=2), axis=3)


class Unshaped(SEBlock):
    def hybrid_forward(self, F, X):
        Y = self.bn(self.branch(X))
        Y = Y * self.wide(self.narrow(Y.mean(axis=(2, 3))))
        return F.npx.relu(Y + (self.shortcut(X) if self.shortcut else X))


class TwoAxesAtOnce(SEBlock):
    def hybrid_forward(self, F, X):
        Y = self.bn(self.branch(X))
        S = self.wide(self.narrow(Y.mean(axis=(2, 3))))
        Y = Y * F.np.expand_dims(S, axis=(2, 3))
        return F.npx.relu(Y + (self.shortcut(X) if self.shortcut else X))


class Forgotten(SEBlock):
    """What the text writes, without self."""

    def hybrid_forward(self, F, X):
        Y = self.bn(self.branch(X))
        S = self.wide(self.narrow(Y.mean(axis=(2, 3))))
        Y = Y * S.reshape(-1, num_channels, 1, 1)  # noqa: F821
        return F.npx.relu(Y + (self.shortcut(X) if self.shortcut else X))


class WithFaults(SEBlock):
    """The block with one line changed at a time."""

    fault = None

    def __init__(self, branch, num_channels, shortcut=None, reduction=16):
        super().__init__(branch, num_channels, shortcut, reduction)
        if self.fault == "divided":
            self.narrow = nn.Dense(num_channels / reduction, activation="relu")

    def scales(self, Y):
        S = self.wide(self.narrow(self.squeezed(Y)))
        return S.reshape(-1, self.num_channels, 1, 1)

    def squeezed(self, Y):
        if self.fault == "batch":
            return Y.mean(axis=(0, 2, 3), keepdims=True)
        if self.fault == "batch, one axis":
            return Y.mean(axis=(0, 2, 3))
        return Y.mean(axis=(1, 2, 3) if self.fault == "channels" else (2, 3))

    def hybrid_forward(self, F, X):
        around = X if self.shortcut is None and self.fault != "None" else self.shortcut(X)
        before = self.branch(X)
        Y = self.bn(before)
        if self.fault == "squeezed early":
            return F.npx.relu(Y * self.scales(before) + around)
        if self.fault == "sum":
            Y = Y + around
            return F.npx.relu(Y * self.scales(Y))
        if self.fault == "sum by the branch":
            return F.npx.relu((Y + around) * self.scales(Y))
        if self.fault == "end by the branch":
            return F.npx.relu(Y + around) * self.scales(Y)
        if self.fault == "something else":
            return F.npx.relu(Y * self.scales(2 * Y) + around)
        return F.npx.relu(Y * self.scales(Y) + around)


def with_fault(fault):
    return type("Faulty", (WithFaults,), {"fault": fault})


class Detached(ByConvolutions):
    def forward(self, X):
        Y = self.norm(self.body(X))
        return npx.relu(Y * self.scale(Y.detach()) + self.way(X))


class WithoutNorm(nn.Block):
    def __init__(self, branch, num_channels, shortcut=None, reduction=16):
        super().__init__()
        self.body, self.way = branch, shortcut or sequential()
        self.scale = Scaling(num_channels, reduction)

    def forward(self, X):
        return npx.relu(self.scale(self.body(X)) + self.way(X))


class WithNorm(WithoutNorm):
    """Another class for the scaling, and the normalization appended to the branch."""

    def __init__(self, branch, num_channels, shortcut=None, reduction=16):
        super().__init__(sequential(branch, nn.BatchNorm()), num_channels, shortcut, reduction)


class OneDense(SEBlock):
    """The second dense layer reads the means."""

    def hybrid_forward(self, F, X):
        Y = self.bn(self.branch(X))
        Y = Y * self.wide(Y.mean(axis=(2, 3))).reshape(-1, self.num_channels, 1, 1)
        return F.npx.relu(Y + (self.shortcut(X) if self.shortcut else X))


def no_default(branch, num_channels, shortcut, reduction):
    return SEBlock(branch, num_channels, shortcut, reduction)


# --- 8.5 ---


def channels_on_the_way(depth, growth_rate, compression):
    n = (depth - 4) // 6
    channels = 2 * growth_rate if compression < 1 else 16
    found = [channels]
    for i in range(3):
        if i > 0:
            channels = int(channels * compression)
            found.append(channels)
        channels += n * growth_rate
        found.append(channels)
    return found


def measured(depth, growth_rate, compression):
    """Builds the network and looks."""
    net = densenet_bc(depth, growth_rate, compression=compression)
    net.initialize(init.Zero())
    X, found = np.zeros((1, 1, 8, 8)), []
    for layer in [*net][:6]:
        X = layer(X)
        found.append(X.shape[1])
    return np.array(found)


def in_one_row(*, depth, growth_rate, compression):
    more, stem = (depth - 4) / 6 * growth_rate, 2 * growth_rate if compression != 1 else 16
    b1 = stem + more
    t1 = b1 * compression // 1
    b2 = t1 + more
    t2 = b2 * compression // 1
    return stem, b1, t1, b2, t2, t2 + more


# --- 8.6 ---


def without_biases(net):
    for layer, after in zip(net, net[1:]):
        biased = getattr(layer, "bias", None) is not None
        if biased and layer.act is None and isinstance(after, nn.BatchNorm):
            mean, bias = after.running_mean, layer.bias
            mean.set_data(mean.data() - bias.data())
            bias.set_data(np.zeros_like(bias.data()))
    return net


def in_place(net):
    """From the end, with arrays changed in place."""
    layers = [layer for layer in net]
    for i in reversed(range(1, len(layers))):
        before, norm = layers[i - 1], layers[i]
        linear = type(before) in (nn.Conv2D, nn.Dense) and before.act is None
        if linear and type(norm) is nn.BatchNorm and before.bias:
            norm.running_mean.data()[:] -= before.bias.data()
            before.bias.data()[:] = 0
    return net


def rebuilt(net):
    """A new net, whose layers have no bias there."""
    layers = list(net)
    for i, after in enumerate(layers[1:]):
        old = layers[i]
        linear = getattr(old, "bias", None) is not None and not old.act
        if linear and isinstance(after, nn.BatchNorm):
            if isinstance(old, nn.Dense):
                new = nn.Dense(len(old.bias.data()), use_bias=False, in_units=old.weight.shape[1])
            else:
                channels, inputs, *size = old.weight.shape
                padding = old._kwargs["pad"]
                new = nn.Conv2D(channels, size, 1, padding, use_bias=False, in_channels=inputs)
            new.initialize(init.Zero())
            new.weight.set_data(old.weight.data())
            after.running_mean.set_data(after.running_mean.data() - old.bias.data())
            layers[i] = new
    return sequential(*layers)


def in_pairs(change, biased=lambda layer: getattr(layer, "bias", None) is not None):
    """A function that changes each such layer and the normalization directly behind it."""

    def without(net):
        for layer, after in zip(net, net[1:]):
            if biased(layer) and isinstance(after, nn.BatchNorm):
                change(layer.bias, after)
        return net

    return without


def moved(bias, norm):
    """Right, but not for a layer with an activation of its own."""
    norm.running_mean.set_data(norm.running_mean.data() - bias.data())
    bias.set_data(np.zeros_like(bias.data()))


def read_too_late(bias, norm):
    bias.set_data(np.zeros_like(bias.data()))
    norm.running_mean.set_data(norm.running_mean.data() - bias.data())


def left_in_place(bias, norm):
    norm.running_mean.set_data(norm.running_mean.data() - bias.data())


def divided(bias, norm):
    std = np.sqrt(norm.running_var.data() + norm._kwargs["eps"])
    norm.running_mean.set_data(norm.running_mean.data() - bias.data() / std)
    bias.set_data(np.zeros_like(bias.data()))


def replaced(bias, norm):
    norm.running_mean.set_data(-bias.data())
    bias.set_data(np.zeros_like(bias.data()))


def mostly_moved(bias, norm):
    norm.running_mean.set_data(norm.running_mean.data() - 0.9 * bias.data())
    bias.set_data(np.zeros_like(bias.data()))


def emptied_in_pairs(net):
    """Sets a bias to zero in each pair of neighbours, whatever comes second."""
    for layer, after in zip(net, net[1:]):
        if getattr(layer, "bias", None) is not None:
            if isinstance(after, nn.BatchNorm):
                after.running_mean.set_data(after.running_mean.data() - layer.bias.data())
            layer.bias.set_data(np.zeros_like(layer.bias.data()))
    return net


def by_names(net):
    """By the order of the parameters alone: a bias, and after it the next running mean."""
    bias = None
    for name, p in net.collect_params().items():
        if name.endswith("bias"):
            bias = p
        if name.endswith("running_mean") and bias is not None:
            p.set_data(p.data() - bias.data())
            bias.set_data(0 * bias.data())
            bias = None
    return net


def unguarded(net):
    for layer, after in zip(net, net[1:]):
        if isinstance(after, nn.BatchNorm):
            after.running_mean.set_data(after.running_mean.data() - layer.bias.data())
            layer.bias.set_data(0 * layer.bias.data())
    return net


def into_beta(net):
    for layer, after in zip(net, net[1:]):
        if isinstance(after, nn.BatchNorm) and getattr(layer, "bias", None) is not None:
            std = np.sqrt(after.running_var.data() + after._kwargs["eps"])
            more = after.gamma.data() * layer.bias.data() / std
            after.beta.set_data(after.beta.data() + more)
            layer.bias.set_data(0 * layer.bias.data())
    return net


def convolutions_only(net):
    for layer, after in zip(net, net[1:]):
        linear = isinstance(layer, nn.Conv2D) and layer.bias and not layer.act
        if linear and isinstance(after, nn.BatchNorm):
            after.running_mean.set_data(after.running_mean.data() - layer.bias.data())
            layer.bias.set_data(0 * layer.bias.data())
    return net


def first_only(net):
    for layer, after in zip(net, net[1:]):
        if isinstance(after, nn.BatchNorm) and getattr(layer, "bias", None) is not None:
            after.running_mean.set_data(after.running_mean.data() - layer.bias.data())
            layer.bias.set_data(0 * layer.bias.data())
            return net


class Wrapped(nn.Block):
    """Around the net."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, X):
        return self.net(X)


# --- 8.7 ---


class Starting(nn.HybridBlock):
    def __init__(self, num_channels, zero=(2,)):
        super().__init__()
        self.conv1, self.conv2 = convolution(num_channels, 3), convolution(num_channels, 3)
        self.bn1 = nn.BatchNorm(gamma_initializer="zeros" if 1 in zero else "ones")
        self.bn2 = nn.BatchNorm(gamma_initializer=init.Zero() if 2 in zero else "ones")

    def hybrid_forward(self, F, X):
        Y = F.npx.relu(self.bn1(self.conv1(X)))
        return F.npx.relu(self.bn2(self.conv2(Y)) + X)


class FrozenStart(Starting):
    """It starts as its shortcut because a gamma is zero and stays zero."""

    def __init__(self, num_channels):
        super().__init__(num_channels)
        self.bn2.gamma.grad_req = "null"


def deep_net(depth, num_classes=10):
    number, channels = (depth - 2) // 6, 16
    net = sequential(*make_stem("small", 16))
    for width, strides in ((16, 1), (32, 2), (64, 2)):
        net.add(make_block(channels, width, strides, version=2))
        for _ in range(number - 1):
            net.add(make_block(width, width, version=2))
        channels = width
    net.add(nn.BatchNorm(), nn.Activation("relu"), nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


def in_stages(depth, num_classes=10):
    """Stages as networks in the network."""
    stages, channels = [], 16
    for stage in range(3):
        its = []
        for i in range((depth - 2) // 6):
            its.append(make_block(channels, 16 * 2**stage, 1 + (stage > 0 and i == 0), version=2))
            channels = 16 * 2**stage
        stages.append(sequential(*its))
    end = nn.BatchNorm(), nn.Activation("relu"), nn.GlobalAvgPool2D(), nn.Dense(num_classes)
    return sequential(*make_stem("small", 16), *stages, *end)


def two_in_turns(depth, num_classes=10):
    """Half of the repair: two blocks that take turns."""
    net, channels = sequential(*make_stem("small", 16)), 16
    for width, strides in ((16, 1), (32, 2), (64, 2)):
        net.add(make_block(channels, width, strides, version=2))
        two = [make_block(width, width, version=2) for _ in range(2)]
        net.add(*[two[i % 2] for i in range((depth - 2) // 6 - 1)])
        channels = width
    net.add(nn.BatchNorm(), nn.Activation("relu"), nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


RIGHT = {
    "counted_by_hand": [
        (379_392, 87),
        ("379,392", "87"),
        (np.array([379_392], dtype="int64"), [87.0]),
    ],
    "shortcuts_counted": [(by_formula,), (by_building,), (by_blocks,)],
    "resnext_branch": [(resnext_branch,), (Grouped,), (Split,)],
    "squeeze_excitation": [
        (SEBlock,),
        (ByConvolutions,),
        (FromBlockV1,),
        (WithNorm,),
    ],
    "channels_on_the_way": [(channels_on_the_way, 64), (measured, "64"), (in_one_row, 64.0)],
    "biases_moved": [(without_biases,), (in_place,), (rebuilt,)],
    "never_learns": [
        ("c", Starting),
        ("(C)", lambda num_channels: make_block(num_channels, num_channels, zero_gamma=True)),
        ("c", lambda c: BlockV1(branch(c), zero_gamma=True)),
    ],
    "not_larger": [
        ("d", deep_net),
        ("D", in_stages),
        (
            "d",
            lambda depth, num_classes=10: cifar_resnet(
                depth, version=2, num_classes=num_classes, shortcut="B"
            ),
        ),
    ],
}

WRONG = {  # beside the mistakes that the checks know, which the tests feed back
    "counted_by_hand": [
        ((379_391, 87), "The number is larger"),
        ((400_000, 87), "The number is smaller"),
        ((376_832, 87), "normalizations are missing"),
        ((247_296, 87), "the shortcut has a projection"),
        ((379_392 - 65_536, 87), "make all 512 channels"),
        ((379_392 - 65_536 - 512, 87), "a normalization of 512"),
        ((379_392 - 30_000, 87), "256, 512 in the shortcut"),
        ((379_392, 86), "9,288 against 9,312"),
        ((379_392, 86.4), "Which whole number"),
        ((379_392, 231), "growth rate of 32"),
        ((379_392, 100), "The number is smaller"),
        ((379_392, 1), "The number is larger"),
    ],
    "shortcuts_counted": [
        ((lambda d, w, v: by_formula(d, w, 1),), "a convolution alone"),
        ((lambda d, w, v: by_formula(d, w, 2),), "each projection has a normalization"),
        ((lambda d, w, v: by_formula(d, 16, v),), "width has no effect"),
        ((lambda d, w, v: by_formula(d, w, v)[1:],), "one number for each shortcut"),
        ((lambda d, w, v: sum(by_formula(d, w, v)),), "one number for each shortcut"),
        ((lambda d, w, v: by_formula(d, w, v)[::-1],), "in the order A, B, C"),
        ((lambda d, w, v: [n + 7 for n in by_formula(d, w, 3 - v)],), "A has no projection"),
        ((whole,), "How many more than A"),
        ((whole_on_colours,), "How many more than A"),
        (
            (lambda d, w, v: by_formula(d, w, v)[:2] + ((d - 2) // 2 * 21 * w * w,),),
            "How many projections",
        ),
        (
            (lambda d, w, v: (*by_formula(d, w, v)[:2], _c_of_full_width(d, w, v)),),
            "of stages 2 and 3 reads half",
        ),
        ((lambda d, w, v: by_formula(14, w, v),), "How many projections"),
    ],
    "resnext_branch": [
        ((of_resnet,), "1x1 to half of the channels"),
        ((lambda c, s=1, g=32: resnext_branch(c, s, g)[:2],), "1x1 to half of the channels"),
        ((lambda c, s=1, g=32: resnext_branch(2 * c, s, g),), "1x1 to half of the channels"),
        ((lambda c, s=1, g=32: resnext_branch(c, 1, g),), "strides has no effect"),
        ((lambda c, s=1, g=4: resnext_branch(c, s, g),), "1x1 to half of the channels"),
        ((indivisible,), "multiples of the number of groups"),
        ((lambda c, s=1, groups=32: resnext_branch(c, s, 32),), "groups has no effect"),
        ((unpadded,), "padding=1"),
        ((padded,), "Only the 3x3 convolution has padding"),
        ((lambda c, s=1, g=32: unpadded(c, s, g, 2),), "Which layers change height and width"),
        ((lambda c, s, g: resnext_branch(c, s, g),), "how many, and in which order"),
    ],
    "squeeze_excitation": [
        ((Unshaped,), "must become (N, C, 1, 1)"),
        ((TwoAxesAtOnce,), "one axis at a time"),
        ((Forgotten,), "Then write self.num_channels"),
        ((with_fault("sum"),), "before the shortcut is added"),
        ((with_fault("sum by the branch"),), "before the shortcut is added"),
        ((with_fault("end by the branch"),), "before the shortcut is added"),
        ((with_fault("squeezed early"),), "after the normalization"),
        ((with_fault("batch"),), "Each image has its own scales"),
        ((with_fault("batch, one axis"),), "Each image has its own scales"),
        ((with_fault("channels"),), "axes 2 and 3"),
        ((with_fault("divided"),), "// divides and rounds down"),
        ((with_fault("None"),), "stands for the identity"),
        ((with_fault("something else"),), "the sum with the shortcut"),
        ((Detached,), "hide what they touch"),
        ((WithoutNorm,), "A normalization is missing"),
        ((OneDense,), "never used"),
        ((no_default,), "how many, and in which order"),
        ((lambda branch, c, way=None, r=16: BlockV1(branch, way),), "there are two"),
        (
            (lambda branch, c, way=None, r=16: SEBlock(branch, c, None, r),),
            "the shortcut was not applied",
        ),
    ],
    "channels_on_the_way": [
        ((lambda d, k, c: channels_on_the_way(d, k, c)[:5], 64), "Six numbers"),
        ((lambda d, k, c: [*channels_on_the_way(d, k, c), 9], 64), "No transition follows"),
        ((lambda d, k, c: channels_on_the_way(d, k, 0.5), 64), "A block adds n k"),
        ((lambda d, k, c: channels_on_the_way(2 * d - 4, k, c), 64), "two convolutions here"),
        ((lambda d, k, c: channels_on_the_way(d, k, c)[::-1], 64), "A block adds n k"),
        ((channels_on_the_way, 192), "compression of 1/2"),
        ((channels_on_the_way, 256), "at the end of a block"),
        ((channels_on_the_way, 100), "no longer changes"),
    ],
    "biases_moved": [
        ((lambda net: net,), "still has its bias"),
        ((by_names,), "that follows directly"),
        ((in_pairs(moved),), "an activation of its own"),
        (
            (in_pairs(moved, lambda layer: layer.act is None and layer.bias),),
            "ask for the bias first",
        ),
        ((in_pairs(read_too_late),), "read before it is set to zero"),
        ((in_pairs(left_in_place),), "counts twice"),
        ((in_pairs(divided),), "not divided by"),
        ((in_pairs(replaced),), "m - b, not -b"),
        ((in_pairs(mostly_moved),), "Only a bias with a normalization directly behind it may go"),
        ((emptied_in_pairs,), "no normalization directly behind it has to stay"),
        ((unguarded,), "leave it alone"),
        ((into_beta,), "beta and gamma have to stay"),
        ((convolutions_only,), "still has its bias"),
        ((first_only,), "still has its bias"),
        ((lambda net: Wrapped(without_biases(net)),), "the net that you were given"),
        ((lambda net: (without_biases(net), 1),), "return net"),
        ((lambda net: sequential(*list(net)[:2]),), "shape"),
    ],
    "never_learns": [
        (("a", Starting), "a gradient of zero"),
        (("b", Starting), "goes both ways"),
        (("d", Starting), "It subtracts a mean"),
        (("c", lambda c: Starting(c, zero=(1,))), "The symptom is still there"),
        (("c", lambda c: Starting(c, zero=(1, 2))), "The symptom is still there"),
        (("c", lambda c: Starting(c, zero=())), "should still start as its shortcut"),
        (("c", FrozenStart), "not all of them learn"),
        (("c", lambda c: make_block(c, c, version=2)), "order"),
    ],
    "not_larger": [
        (("a", deep_net), "count includes"),
        (("b", deep_net), "two convolutions"),
        (("c", deep_net), "the number of blocks is right"),
        (("d", two_in_turns), "Is one used twice"),
        (("d", lambda depth, classes=10: deep_net(depth + 6, classes)), "One block too many"),
        (("d", lambda depth, classes=10: deep_net(depth)), "num_classes has no effect"),
        (("d", lambda depth, classes=100: deep_net(depth, classes)), "dense layer at the end"),
    ],
}
