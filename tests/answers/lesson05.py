"""Right and wrong answers to exercises 05. A wrong one comes with a piece of the hint it must get."""

import itertools
import statistics

import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

# --- 5.2 ---


def by_axes(w, lr):
    axes = tuple(range(1, w.ndim))
    length = np.sqrt((w**2).sum(axis=axes, keepdims=True))
    return w / length, lr / length**2


def by_rows(w, lr):
    """Each unit's weights as a row; the rates in the full shape."""
    rows = w.reshape(len(w), -1)
    squares = (rows * rows).sum(axis=1).reshape(len(w), *[1] * (w.ndim - 1))
    return w / squares**0.5, lr / squares * np.ones_like(w)


def in_numpy(*, weights, learning_rate):
    w = weights.asnumpy()
    new, rates = numpy.empty_like(w), numpy.empty((len(w),) + (1,) * (w.ndim - 1))
    for i, unit in enumerate(w):
        length = numpy.linalg.norm(unit.ravel())
        new[i], rates[i] = unit / length, learning_rate / length**2
    return [new, rates]


def with_lengths(new, rates):
    """new(w, length), rates(lr, length), where length has a number for each unit."""

    def function(w, lr):
        length = np.sqrt((w**2).sum(axis=tuple(range(1, w.ndim)), keepdims=True))
        return new(w, length), rates(lr, length)

    return function


def divided(w, length):
    return w / length


def squared(lr, length):
    return lr / length**2


def whole(w, lr):
    length = np.sqrt((w**2).sum())
    return w / length, lr / length**2


def units_whole_rate(w, lr):
    return by_axes(w, lr)[0], whole(w, lr)[1]


def over_the_kernel(w, lr):
    length = np.sqrt((w**2).sum(axis=(2, 3) if w.ndim == 4 else 1, keepdims=True))
    return w / length, lr / length**2


def four_axes(w, lr):
    length = np.sqrt((w**2).sum(axis=(1, 2, 3), keepdims=True))
    return w / length, lr / length**2


def over_the_last(w, lr):
    length = np.sqrt((w**2).sum(axis=-1, keepdims=True))
    return w / length, lr / length**2


def like_a_normalization(w, lr):
    axes = tuple(range(1, w.ndim))
    return (w - w.mean(axis=axes, keepdims=True)) / w.std(axis=axes, keepdims=True), lr


def root_mean_square(w, lr):
    length = np.sqrt((w**2).mean(axis=tuple(range(1, w.ndim)), keepdims=True))
    return w / length, lr / length**2


def flat_rates(w, lr):
    new, rates = by_axes(w, lr)
    return new, rates.reshape(-1)


def measured_again(w, lr):
    """Takes the length anew after the division."""
    axes = tuple(range(1, w.ndim))
    w = w / np.sqrt((w**2).sum(axis=axes, keepdims=True))
    return w, lr / np.sqrt((w**2).sum(axis=axes, keepdims=True)) ** 2


def turned_around(w, lr):
    new, rates = by_axes(w, lr)
    return -new, rates


# --- 5.3 ---


def by_products(rates, decay):
    found, before = [], 1.0
    for rate in rates:
        after = before * (1 - rate * decay)
        found.append(rate / (before * after))
        before = after
    return found


def by_cumprod(rates, decay):
    factors = 1 - decay * numpy.array(rates)
    after = numpy.cumprod(factors)
    return numpy.array(rates) * factors / after**2


def by_accumulate(schedule, strength):
    factors = [1 - rate * strength for rate in schedule]
    after = list(itertools.accumulate(factors, lambda a, b: a * b))
    return tuple(r / (p * p / f) for r, p, f in zip(schedule, after, factors))


def of_products(combine):
    """combine(rate, before, after, rho, t) -> a new rate."""

    def function(rates, decay):
        found, before = [], 1.0
        for t, rate in enumerate(rates):
            rho = 1 - rate * decay
            found.append(combine(rate, before, before * rho, rho, t))
            before *= rho
        return found

    return function


def a_step_late(rates, decay):
    rates = numpy.array(rates)
    factors = 1 - decay * rates
    P = numpy.cumprod(factors)
    return rates / (P * P * factors)


def wrapped_round(rates, decay):
    P = numpy.cumprod(1 - decay * numpy.array(rates))
    return [rate / (P[t] * P[t - 1]) for t, rate in enumerate(rates)]


def of_the_mean_rate(rates, decay):
    rho = 1 - decay * sum(rates) / len(rates)
    return [rate * rho ** -(2 * t + 1) for t, rate in enumerate(rates)]


def as_in_the_lesson(rates, decay):
    rho = 1 - rates[0] * decay
    return [rate * rho ** -(2 * t + 1) for t, rate in enumerate(rates)]


# --- 5.4 ---


class Standardized(nn.Conv2D):
    """The kernel that `change` makes of the weight: (F, weight) -> kernel."""

    def __init__(self, channels, in_channels, change=None, **settings):
        settings = {"use_bias": False, "padding": 1, "in_channels": in_channels, **settings}
        super().__init__(channels, kernel_size=3, **settings)
        self.change = change or standardize

    def hybrid_forward(self, F, X, weight, bias=None):
        return super().hybrid_forward(F, X, self.change(F, weight), bias)


def standardize(F, weight, axis=(1, 2, 3), eps=1e-5):
    mean = F.np.mean(weight, axis=axis, keepdims=True)
    centred = weight - mean
    return centred / F.np.sqrt(F.np.mean(centred**2, axis=axis, keepdims=True) + eps)


class InForward(nn.Block):
    """A block that is not hybrid, with a weight of another name, over rows."""

    def __init__(self, *, filters, inputs):
        super().__init__()
        self.w = self.params.get("w", shape=(filters, inputs, 3, 3))

    def forward(self, X):
        w = self.w.data()
        rows = w.reshape(len(w), -1)
        rows = rows - rows.mean(axis=1, keepdims=True)
        var = np.square(rows).mean(axis=1, keepdims=True)
        kernel = (rows / np.sqrt(var + 1e-5)).reshape(w.shape)
        settings = {"kernel": (3, 3), "pad": (1, 1), "num_filter": len(w), "no_bias": True}
        return npx.convolution(X, kernel, **settings)


class Around(nn.HybridBlock):
    """A hybrid block of its own, by moments: the mean of the squares minus the squared mean."""

    def __init__(self, channels, in_channels):
        super().__init__()
        self.channels = channels
        self.weight = self.params.get("weight", shape=(channels, in_channels, 3, 3))

    def hybrid_forward(self, F, X, weight):
        mean = weight.mean(axis=(1, 2, 3), keepdims=True)
        var = (weight * weight).mean(axis=(1, 2, 3), keepdims=True) - mean * mean
        kernel = (weight - mean) / (var + 1e-5) ** 0.5
        settings = {"kernel": (3, 3), "pad": (1, 1), "num_filter": self.channels}
        return F.npx.convolution(X, kernel, no_bias=True, **settings)


class Overwriting(nn.Conv2D):
    """Standardizes the weight itself."""

    def __init__(self, channels, in_channels):
        settings = {"padding": 1, "use_bias": False, "in_channels": in_channels}
        super().__init__(channels, kernel_size=3, **settings)

    def forward(self, X):
        with autograd.pause():
            self.weight.set_data(standardize(mxnet_modules, self.weight.data()))
        return super().forward(X)


class AroundALayer(nn.HybridBlock):
    """Takes the weight of a layer inside: as an array, even if symbols are asked for."""

    def __init__(self, channels, inputs, **settings):
        super().__init__()
        settings = {"padding": 1, "use_bias": False, **settings}
        self.layer = nn.Conv2D(channels, kernel_size=3, **settings)

    def hybrid_forward(self, F, X):
        kernel = standardize(mxnet_modules, self.layer.weight.data())
        settings = {"kernel": (3, 3), "pad": (1, 1), "num_filter": len(kernel), "no_bias": True}
        return F.npx.convolution(X, kernel, **settings)


class ItsOwnData(Standardized):
    """Asks the layer for the array instead of taking the weight that it is given."""

    def __init__(self, channels, in_channels):
        super().__init__(channels, in_channels, lambda F, _: self.kernel())

    def kernel(self):
        w = self.weight.data()
        centred = w - w.mean(axis=(1, 2, 3), keepdims=True)
        return centred / ((centred**2).mean(axis=(1, 2, 3), keepdims=True) + 1e-5) ** 0.5


class OnlyPredicting(nn.Conv2D):
    """Standardizes in prediction mode alone."""

    def __init__(self, channels, in_channels):
        settings = {"padding": 1, "use_bias": False, "in_channels": in_channels}
        super().__init__(channels, kernel_size=3, **settings)

    def hybrid_forward(self, F, X, weight, bias=None):
        kernel = weight if autograd.is_training() else standardize(F, weight)
        return super().hybrid_forward(F, X, kernel, bias)


class Detaching(InForward):
    """Its input gets no gradient."""

    def forward(self, X):
        return super().forward(X.detach())


class mxnet_modules:  # what F is outside of hybridize()
    np = np
    npx = npx


def kernel(change):
    return lambda channels, in_channels: Standardized(channels, in_channels, change)


def moments(F, w, axis=(1, 2, 3)):
    mean = w.mean(axis=axis, keepdims=True)
    return mean, ((w - mean) ** 2).mean(axis=axis, keepdims=True)


def centred_over(denominator, axis=(1, 2, 3)):
    def change(F, w):
        mean, var = moments(F, w, axis)
        return (w - mean) / denominator(F, var)

    return kernel(change)


def not_centred(F, w):
    return w / F.np.sqrt(moments(F, w)[1] + 1e-5)


def with_var(F, w):
    mean = w.mean(axis=(1, 2, 3), keepdims=True)
    return (w - mean) / F.np.sqrt(w.var(axis=(1, 2, 3), keepdims=True) + 1e-5)


def with_np(F, w):
    mean = np.mean(w, axis=(1, 2, 3), keepdims=True)
    var = np.mean((w - mean) ** 2, axis=(1, 2, 3), keepdims=True)
    return (w - mean) / np.sqrt(var + 1e-5)


def paused(F, w):
    with autograd.pause():
        mean, var = moments(F, w)
    return (w - mean) / F.np.sqrt(var + 1e-5)


def by_reshape(F, w):
    rows = w.reshape(w.shape[0], -1)
    mean = rows.mean(axis=1).reshape(-1, 1, 1, 1)
    return (w - mean) / F.np.sqrt(((w - mean) ** 2).mean(axis=(1, 2, 3), keepdims=True) + 1e-5)


def by_size(F, w):
    count = w.size / len(w)
    centred = w - w.sum(axis=(1, 2, 3), keepdims=True) / count
    return centred / F.np.sqrt((centred**2).sum(axis=(1, 2, 3), keepdims=True) / count + 1e-5)


def by_len(F, w):
    return standardize(F, w.reshape(len(w), -1, 3, 3))


def by_loop(F, w):
    return F.np.stack([standardize(F, channel, axis=(0, 1, 2)) for channel in w])


def if_needed(F, w):
    return standardize(F, w) if w.mean() != 0 else w


def of_its_data(F, w):
    return standardize(F, w.data())


def of_numpy(F, w):
    return standardize(F, np.array(w.asnumpy()))


# --- 5.5 ---


def t_by_numpy(a, b, paired):
    a, b = numpy.array(a), numpy.array(b)
    if paired:
        d = a - b
        return d.mean() / (d.std(ddof=1) / numpy.sqrt(len(d)))
    return (a.mean() - b.mean()) / numpy.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


def t_by_statistics(first, second, *, pairs):
    if pairs:
        d = [x - y for x, y in zip(first, second)]
        return statistics.mean(d) / (statistics.stdev(d) / len(d) ** 0.5)
    error = sum(statistics.variance(runs) / len(runs) for runs in (first, second))
    return (statistics.mean(first) - statistics.mean(second)) / error**0.5


def t_by_hand(a, b, paired):
    def mean_and_error(values):
        mean = sum(values) / len(values)
        squares = sum((v - mean) ** 2 for v in values)
        return mean, squares / (len(values) - 1) / len(values)

    if paired:
        mean, error = mean_and_error([x - y for x, y in zip(a, b)])
    else:
        (mean_a, error_a), (mean_b, error_b) = mean_and_error(a), mean_and_error(b)
        mean, error = mean_a - mean_b, error_a + error_b
    return np.array(mean / error**0.5)


def t_of(ddof=1, pair=None, power=0.5, scale=lambda n: n**0.5):
    """t_by_numpy with another ddof, always or never paired, another power of the variance."""

    def t(a, b, paired):
        a, b = numpy.array(a), numpy.array(b)
        if pair if pair is not None and len(a) == len(b) else paired:
            d = a - b
            return d.mean() / (d.std(ddof=ddof) / scale(len(d)))
        error = a.var(ddof=ddof) / len(a) + b.var(ddof=ddof) / len(b)
        return (a.mean() - b.mean()) / error**power

    return t


def t_unpaired_is(function):
    def t(a, b, paired):
        return t_by_numpy(a, b, True) if paired else function(numpy.array(a), numpy.array(b))

    return t


def pooled(a, b):
    n, m = len(a), len(b)
    var = ((n - 1) * a.var(ddof=1) + (m - 1) * b.var(ddof=1)) / (n + m - 2)
    return (a.mean() - b.mean()) / numpy.sqrt(var * (1 / n + 1 / m))


def errors_added(a, b):
    errors = [runs.std(ddof=1) / len(runs) ** 0.5 for runs in (a, b)]
    return (a.mean() - b.mean()) / sum(errors)


def not_divided(a, b):
    return (a.mean() - b.mean()) / numpy.sqrt(a.var(ddof=1) + b.var(ddof=1))


def of_standard_deviations(a, b):
    error = numpy.sqrt(a.std(ddof=1) / len(a) + b.std(ddof=1) / len(b))
    return (a.mean() - b.mean()) / error


def of_the_first_number(a, b):
    return (a.mean() - b.mean()) / numpy.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))


def of_the_second_number(a, b):
    return (a.mean() - b.mean()) / numpy.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(b))


def one_run_less(a, b):
    error = a.var(ddof=1) / (len(a) - 1) + b.var(ddof=1) / (len(b) - 1)
    return (a.mean() - b.mean()) / numpy.sqrt(error)


def without_brackets(a, b, paired):
    d = numpy.array(a) - numpy.array(b)
    return d.mean() / d.std(ddof=1) / len(d) ** 0.5


def of_a_word(a, b, paired):
    return t_by_numpy(a, b, paired == "paired")


# --- 5.6a ---


def is_convolution(p):
    return len(p.shape) == 4


def by_wd_mult(net, lr, decay):
    for p in net.collect_params().values():
        p.wd_mult = float(is_convolution(p))
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr, "wd": decay})


def by_layers(net, lr, decay):
    net.collect_params().setattr("wd_mult", 0.0)

    def switch(layer):
        if isinstance(layer, nn.Conv2D):
            layer.weight.wd_mult = 1.0

    net.apply(switch)
    return gluon.Trainer(net.collect_params(), gluon_sgd(lr, decay))


def gluon_sgd(lr, decay):
    import mxnet

    return mxnet.optimizer.SGD(learning_rate=lr, wd=decay)


class TwoTrainers:
    """One trainer with decay and one without."""

    def __init__(self, net, lr, decay):
        parameters = net.collect_params().values()
        groups = (
            [p for p in parameters if is_convolution(p)],
            [p for p in parameters if not is_convolution(p)],
        )
        self.trainers = [
            gluon.Trainer(group, "sgd", {"learning_rate": lr, "wd": wd})
            for group, wd in zip(groups, (decay, 0.0))
        ]

    def step(self, batch_size):
        for trainer in self.trainers:
            trainer.step(batch_size)


def decaying(decays):
    """A trainer whose decay acts on the parameters for which decays(p) is true."""

    def function(net, lr, decay):
        for p in net.collect_params().values():
            p.wd_mult = float(decays(p))
        return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr, "wd": decay})

    return function


def decay_forgotten(net, lr, decay):
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr})


def convolutions_alone(net, lr, decay):
    parameters = [p for p in net.collect_params().values() if is_convolution(p)]
    return gluon.Trainer(parameters, "sgd", {"learning_rate": lr, "wd": decay})


def the_other_way_round(net, lr, decay):
    for p in net.collect_params().values():
        if is_convolution(p):
            p.wd_mult = 0.0
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr, "wd": decay})


def half_the_rate(net, lr, decay):
    return by_wd_mult(net, lr / 2, decay)


# --- 5.6b ---


def trained(net):
    return [p for p in net.collect_params().values() if p.grad_req != "null"]


def loss_and_gradient(net, X, y):
    with autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y).mean()
    loss.backward()
    return loss.item(), [p.grad().copy() for p in trained(net)]


def walking(keep=lambda a: a.copy(), back=True, multiples=(0.5, 1, 2, 4), from_here=False):
    def walk(net, X, y, lr):
        parameters = trained(net)
        start = [keep(p.data()) for p in parameters]
        _, direction = loss_and_gradient(net, X, y)
        losses = []
        for multiple in multiples:
            for p, w, g in zip(parameters, start, direction):
                p.set_data((p.data() if from_here else w) - multiple * lr * g)
            losses.append(loss_and_gradient(net, X, y)[0])
        if back:
            for p, w in zip(parameters, start):
                p.set_data(w)
        return losses

    return walk


def walking_back(net, X, y, lr):
    """Keeps nothing: takes each step back."""
    _, direction = loss_and_gradient(net, X, y)
    losses = []
    for rate in (lr / 2, lr, 2 * lr, 4 * lr):
        for sign in (1, -1):
            for p, g in zip(trained(net), direction):
                p.set_data(p.data() - sign * rate * g)
            if sign == 1:
                losses.append(loss_and_gradient(net, X, y)[0])
    return tuple(losses)


def walking_in_numpy(net, X, y, lr):
    start = {n: p.data().asnumpy() for n, p in net.collect_params().items()}
    _, direction = loss_and_gradient(net, X, y)
    losses = []
    for rate in (lr / 2, lr, 2 * lr, 4 * lr):
        for p, g in zip(trained(net), direction):
            p.set_data(np.array(start[p.name]) - rate * g)
        losses.append(loss_and_gradient(net, X, y)[0])
    for n, p in net.collect_params().items():  # the running statistics, too
        p.set_data(np.array(start[n]))
    return numpy.array(losses)


RIGHT = {
    "one_unit": [
        (-6, (4, -3), 50, 2),
        (-6.0, [4.0, -3.0], "50", "2"),
        ("-6", np.array([4, -3]), 50.0, np.array(2)),
        (-6, "(4, -3)", "50.0", 2.0),
    ],
    "unit_length": [
        (by_axes, 0.9, 0.01 / 9),
        (by_rows, "0.9", 0.00111),
        (in_numpy, 0.90, "0.0011"),
    ],
    "decay_as_schedule": [
        (by_products, 23_026),
        (by_cumprod, "23,000"),
        (by_accumulate, 23025.3),
    ],
    "standardized_convolution": [(Standardized,), (InForward,), (Around,)],
    "paired_or_not": [
        (t_by_numpy, "paired", "unpaired", "yes", "no"),
        (t_by_statistics, "Paired.", "not paired", True, False),
        (t_by_hand, "PAIRED", "un-paired", "Yes", "No."),
    ],
    "decay_everywhere": [("c", by_wd_mult), ("C)", by_layers), ("c", TwoTrainers)],
    "measurement_trains": [
        ("a", walking()),
        ("(a)", walking_back),
        ("a", walking_in_numpy),
        ("a", walking(keep=lambda a: 1 * a)),
    ],
}


def one_unit_with(i, value):
    return (*RIGHT["one_unit"][0][:i], value, *RIGHT["one_unit"][0][i + 1 :])


def paired_with(i, value):
    return (*RIGHT["paired_or_not"][0][:i], value, *RIGHT["paired_or_not"][0][i + 1 :])


WRONG = {
    "one_unit": [
        (one_unit_with(0, 6), "The sign"),
        (one_unit_with(0, 10.667), "parallel"),
        (one_unit_with(0, -10.667), "the other way round"),
        (one_unit_with(0, 0), "is perpendicular to the weights"),
        (one_unit_with(1, (8, -6)), "not the same"),
        (one_unit_with(1, (16, -12)), "not longer"),
        (one_unit_with(1, (2, -1.5)), "not by 4"),
        (one_unit_with(1, (4, 3)), "Mind the sign"),
        (one_unit_with(1, (4,)), "axis missing"),
        (one_unit_with(2, 7.07), "The square of it"),
        (one_unit_with(2, 25), "makes them longer"),
        (one_unit_with(2, 125), "0.5 times as long"),
        (one_unit_with(2, 75), "squared, too"),
        (one_unit_with(3, 0.5), "a quarter as far"),
        (one_unit_with(3, 1), "both count"),
        (one_unit_with(3, 0.125), "a larger rate"),
        (one_unit_with(3, 4), "Before, it was 0.5"),
    ],
    "unit_length": [
        ((whole, 0.9, 0.01 / 9), "length of all weights together"),
        ((over_the_kernel, 0.9, 0.01 / 9), "every axis but the first"),
        ((four_axes, 0.9, 0.01 / 9), "a convolution four"),
        ((over_the_last, 0.9, 0.01 / 9), "every axis but the first"),
        ((like_a_normalization, 0.9, 0.01 / 9), "do not subtract the mean"),
        ((root_mean_square, 0.9, 0.01 / 9), "not their mean"),
        ((with_lengths(lambda w, n: w / n**2, squared), 0.9, 0.01 / 9), "the root of the sum"),
        ((with_lengths(lambda w, n: w, squared), 0.9, 0.01 / 9), "divide each unit's weights"),
        ((with_lengths(divided, lambda lr, n: lr / n), 0.9, 0.01 / 9), "square of the length"),
        ((with_lengths(divided, lambda lr, n: lr * n**2), 0.9, 0.01 / 9), "other way round"),
        ((with_lengths(divided, lambda lr, n: lr), 0.9, 0.01 / 9), "Should it be?"),
        ((measured_again, 0.9, 0.01 / 9), "that of the old weights"),
        ((units_whole_rate, 0.9, 0.01 / 9), "each gets its own rate"),
        ((flat_rates, 0.9, 0.01 / 9), "keepdims=True"),
        ((turned_around, 0.9, 0.01 / 9), "Divide the weights of each unit"),
        ((by_axes, 0.3, 0.01 / 9), "The square of the length counts"),
        ((by_axes, 0.0111, 0.01 / 9), "a larger rate"),
        ((by_axes, 0.9, 0.01), "shrinks the weights faster"),
        ((by_axes, 0.9, 0.00333), "by 9, not by 3"),
        ((by_axes, 0.9, 0.09), "has become larger"),
    ],
    "decay_as_schedule": [
        ((lambda rates, decay: rates, 23_026), "that you were given"),
        ((of_products(lambda r, b, a, rho, t: r / b), 23_026), "counts twice"),
        ((of_products(lambda r, b, a, rho, t: r / a), 23_026), "counts twice"),
        ((of_products(lambda r, b, a, rho, t: r / b**2), 23_026), "one factor more"),
        ((of_products(lambda r, b, a, rho, t: r / a**2), 23_026), "one factor less"),
        ((of_products(lambda r, b, a, rho, t: r * a * b), 23_026), "has to grow"),
        ((of_products(lambda r, b, a, rho, t: r * rho ** -(2 * t + 1)), 23_026), "step to step"),
        ((lambda rates, decay: np.cumprod(np.array(rates)), 23_026), "numpy.cumprod"),
        ((as_in_the_lesson, 23_026), "step to step"),
        ((of_the_mean_rate, 23_026), "step to step"),
        ((a_step_late, 23_026), "one step late"),
        ((wrapped_round, 23_026), "counts from the end"),
        ((by_products, 46_052), "not by 1 / rho"),
        ((by_products, 10_000), "e times as large"),
        ((by_products, 2_302), "the rate 0.1 is missing"),
        ((by_products, 10.93), "the decay 0.0005 is missing"),
        ((by_products, 5_000), "at each step"),
    ],
    "standardized_convolution": [
        ((kernel(lambda F, w: w),), "standardize them first"),
        ((kernel(lambda F, w: w - w.mean(axis=(1, 2, 3), keepdims=True)),), "standard deviation"),
        ((kernel(not_centred),), "Subtract the mean as well"),
        ((centred_over(lambda F, var: var + 1e-5),), "not by the variance"),
        ((centred_over(lambda F, var: F.np.sqrt(var)),), "eps has no effect"),
        ((centred_over(lambda F, var: F.np.sqrt(var) + 1e-5),), "under the root"),
        (
            (centred_over(lambda F, var: F.np.sqrt(var + 1e-5), axis=None),),
            "all weights together",
        ),
        ((centred_over(lambda F, var: F.np.sqrt(var + 1e-5), (0, 2, 3)),), "are axis 0"),
        ((centred_over(lambda F, var: F.np.sqrt(var + 1e-5), (2, 3)),), "axis 1 as well"),
        ((kernel(with_var),), "silently zero"),
        ((kernel(paused),), "No gradient flows through mean and variance"),
        ((kernel(with_np),), "In hybrid_forward write F.np"),
        ((lambda c, i: AroundALayer(c, i, in_channels=i),), "not self.weight.data()"),
        ((ItsOwnData,), "not self.weight.data()"),
        ((kernel(by_reshape),), "a placeholder has no shape"),
        ((kernel(by_size),), "a placeholder has no shape"),
        ((kernel(by_len),), "a placeholder has no shape"),
        ((kernel(by_loop),), "no loop"),
        ((kernel(if_needed),), "or numbers"),
        ((kernel(of_its_data),), "leave out .data()"),
        ((kernel(of_numpy),), "No gradient reaches the weight"),
        ((AroundALayer,), "Pass in_channels on"),
        ((OnlyPredicting,), "in both modes"),
        ((Detaching,), "is X detached"),
        ((Overwriting,), "Do not write into the weight"),
        ((lambda c, i: Standardized(c, i, use_bias=True),), "use_bias=False"),
        ((lambda c, i: Standardized(c, 0),), "Pass in_channels on"),
        ((lambda c, i: Standardized(c, i, padding=0),), "Compare the two shapes"),
        ((lambda c, i: nn.Conv2D(c, 3, padding=1, use_bias=False),), "standardize them first"),
    ],
    "paired_or_not": [
        (paired_with(0, lambda a, b, paired: -t_by_numpy(a, b, paired)), "a minus b"),
        (paired_with(0, lambda *runs: abs(t_by_numpy(*runs))), "without abs()"),
        (paired_with(0, t_of(ddof=0)), "ddof=1"),
        (paired_with(0, t_of(pair=False)), "t for unpaired runs"),
        (paired_with(0, of_a_word), "True or False, not a word"),
        (paired_with(0, without_brackets), "in brackets"),
        (paired_with(0, t_of(scale=lambda n: (n - 1) ** 0.5)), "inside the standard deviation"),
        (paired_with(0, t_of(pair=True)), "t for pairs"),
        (paired_with(0, t_of(power=1)), "Take the root"),
        (paired_with(0, t_of(scale=lambda n: 1)), "divided by the root of n"),
        (paired_with(0, t_of(scale=lambda n: n)), "not by n"),
        (paired_with(0, t_unpaired_is(pooled)), "one common variance"),
        (paired_with(0, t_unpaired_is(errors_added)), "Variances add"),
        (paired_with(0, t_unpaired_is(not_divided)), "how many runs it comes from"),
        (paired_with(0, t_unpaired_is(of_standard_deviations)), "Under the root belong"),
        (paired_with(0, t_unpaired_is(of_the_first_number)), "different numbers of runs"),
        (paired_with(0, t_unpaired_is(of_the_second_number)), "different numbers of runs"),
        (paired_with(0, t_unpaired_is(one_run_less)), "inside the standard deviation"),
        (paired_with(0, lambda a, b, paired: 1000.0), "divided by its standard error"),
        (paired_with(1, "unpaired"), "the same weights"),
        (paired_with(2, "paired"), "nothing in common"),
        (paired_with(2, "perhaps"), '"paired" or "unpaired"'),
        (paired_with(3, "no"), "scatter little"),
        (paired_with(4, "yes"), "threshold is 2.78"),
        (paired_with(4, 1.85), 'Answer "yes" or "no"'),
    ],
    "decay_everywhere": [
        (("a", by_wd_mult), "divides by their length"),
        (("b", by_wd_mult), "the same decay"),
        (("d", by_wd_mult), "with every seed"),
        (("c", decaying(lambda p: True)), "gamma and beta decay"),
        (("c", decaying(lambda p: not p.name.endswith(("gamma", "beta")))), "the biases decay"),
        (("c", decaying(lambda p: p.name.endswith("weight"))), "last layer's weights decay"),
        (("c", decaying(lambda p: False)), "These should decay"),
        (("c", decay_forgotten), "the trainer's wd"),
        (("c", the_other_way_round), "their wd_mult should be 1"),
        (("c", convolutions_alone), "should still be trained"),
        (("c", half_the_rate), "After a step they should be"),
        (("c", lambda net, lr, decay: net), "return gluon.Trainer"),
    ],
    "measurement_trains": [
        (("b", walking()), "does change them"),
        (("c", walking()), "draws random numbers"),
        (("d", walking()), "That is right, if"),
        (("a", walking(keep=lambda a: a)), "parameters have moved"),
        (("a", walking(back=False)), "parameters have moved"),
        (("a", walking(keep=lambda a: a.asnumpy())), "p.data().copy()"),
        (("a", walking(from_here=True)), "not from the place before"),
        (("a", walking(multiples=(1, 2, 4, 8))), "half, one, two and four"),
        (("a", walking(multiples=(0.5, 1, 2))), "Compare the two shapes"),
    ],
}
