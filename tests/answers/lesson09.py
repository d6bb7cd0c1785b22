"""Right and wrong answers to exercises 09. A wrong one comes with a piece of the hint it must get."""

import d2lutils
from d2lutils.norm import GroupNorm, normalize

import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

MEANS, SHARING = [12, 8, 96, 24, 48], [200, 300, 25, 100, 50]

# --- 9.2 ---


def rms_norm(X, gamma, eps):
    return gamma * X / np.sqrt(np.square(X).mean(axis=-1, keepdims=True) + eps)


def rms_norm_backward(dY, X, gamma, eps):
    r = np.sqrt(np.square(X).mean(axis=-1, keepdims=True) + eps)
    X_hat, g = X / r, dY * gamma
    dX = (g - X_hat * (g * X_hat).mean(axis=-1, keepdims=True)) / r
    return dX, (dY * X_hat).sum(axis=tuple(range(X.ndim - 1)))


def on_rows(X, gamma, eps):
    rows = X.reshape(-1, X.shape[-1])
    return (gamma * normalize(rows, (1,), eps, center=False)).reshape(X.shape)


def on_rows_backward(dY, X, gamma, eps):
    n = X.shape[-1]
    rows, dY_rows = X.reshape(-1, n), dY.reshape(-1, n)
    r = ((rows * rows).sum(axis=1) / n + eps).reshape(-1, 1) ** 0.5
    products = (dY_rows * gamma * rows).sum(axis=1, keepdims=True)
    dX = dY_rows * gamma / r - rows * products / (n * r**3)
    return [dX.reshape(X.shape), np.dot((dY_rows * rows / r).T, np.ones(len(rows)))]


def by_autograd(dY, X, gamma, eps):
    X, gamma = X.copy(), gamma.copy()
    X.attach_grad()
    gamma.attach_grad()
    with autograd.record():
        Y = rms_norm(X, gamma, eps)
    Y.backward(dY)
    return X.grad, gamma.grad


def by_names(*, X, gamma, eps):
    return rms_norm(X, gamma, eps)


def layer_norm(X, gamma, eps):
    return gamma * normalize(X, (X.ndim - 1,), eps)


def over_all_but_batch(X, gamma, eps):
    return gamma * normalize(X, tuple(range(1, X.ndim)), eps, center=False)


def root_plus_eps(X, gamma, eps):
    return gamma * X / (np.sqrt(np.square(X).mean(axis=-1, keepdims=True)) + eps)


def over_axis_1(X, gamma, eps):
    return gamma * normalize(X, (1,), eps, center=False)


def root_plus_eps_and_1(X, gamma, eps):
    """No known mistake: the general hint has to name eps and the axis."""
    return gamma * X / (np.sqrt(np.square(X).mean(axis=1, keepdims=True)) + 2 * eps)


def in_numpy(X, gamma, eps):
    x = X.asnumpy()
    return np.array(x / numpy.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)) * gamma


def with_gradient(dX=None, dgamma=None):
    """A backward pass with one of the two changed: functions of g, X_hat, r, and of dY, X_hat, X."""

    def function(dY, X, gamma, eps):
        r = np.sqrt(np.square(X).mean(axis=-1, keepdims=True) + eps)
        right = rms_norm_backward(dY, X, gamma, eps)
        return (
            dX(dY * gamma, X / r, r) if dX else right[0],
            dgamma(dY, X / r, X) if dgamma else right[1],
        )

    return function


def constant_root(g, X_hat, r):
    return g / r


def layer_norms(g, X_hat, r):
    means = (a.mean(axis=-1, keepdims=True) for a in (g, g * X_hat))
    return (g - next(means) - X_hat * next(means)) / r


def leading(X):
    return tuple(range(X.ndim - 1))


# --- 9.3 ---


def output(X, v, g, bias):
    length = np.sqrt(np.square(v).sum(axis=1, keepdims=True))
    return np.dot(X, (g.reshape(-1, 1) * v / length).T) + bias


def start(X, v):
    t = np.dot(X, (v / np.sqrt(np.square(v).sum(axis=1, keepdims=True))).T)
    mean = t.mean(axis=0)
    std = np.sqrt(np.square(t - mean).mean(axis=0))
    return 1 / std, -mean / std


def scaled_afterwards(X, v, g, bias):
    return np.dot(X, v.T) * (g / (v**2).sum(axis=1) ** 0.5) + bias


def by_transposing(X, v, g, bias):
    w = (v.T / np.linalg.norm(v, axis=1)) * g
    return npx.fully_connected(X, w.T, bias, num_hidden=len(g), no_bias=False)


def start_in_numpy(X, v):
    x, v = X.asnumpy(), v.asnumpy()
    t = x @ v.T / numpy.linalg.norm(v, axis=1)
    return [1 / t.std(axis=0), -t.mean(axis=0) / t.std(axis=0)]


def start_by_output(X, v):
    """The output with g = 1 and bias = 0."""
    t = output(X, v, np.ones(len(v)), np.zeros(len(v)))
    g = 1 / t.std(axis=0)
    return g, -(g * t).mean(axis=0)


def unnormalized(X, v, g, bias):
    return np.dot(X, (g.reshape(-1, 1) * v).T) + bias


def without_column(X, v, g, bias):
    return np.dot(X, (g * v / np.sqrt(np.square(v).sum(axis=1, keepdims=True))).T) + bias


def wrong_axis(X, v, g, bias):
    return np.dot(X, (g.reshape(-1, 1) * v / np.sqrt(np.square(v).sum(axis=0))).T) + bias


def detached(X, v, g, bias):
    length = np.sqrt(np.square(v).sum(axis=1, keepdims=True)).detach()
    return np.dot(X, (g.reshape(-1, 1) * v / length).T) + bias


def normalizing(X, v, g, bias):
    return g * normalize(np.dot(X, v.T), (0,)) + bias


def changed_start(change):
    """change(mean, std) -> g, bias."""

    def function(X, v):
        g, bias = start(X, v)
        return change(-bias / g, 1 / g)

    return function


def start_over_all_units(X, v):
    t = output(X, v, np.ones(len(v)), np.zeros(len(v)))
    std = np.sqrt(np.square(t - t.mean()).mean())
    return np.ones(len(v)) / std, -t.mean(axis=0) / std


# --- 9.4 ---

AXES = {"axis": (0, 2, 3), "keepdims": True}


def local_sums(X):
    return X.size // X.shape[1], X.sum(**AXES), np.square(X).sum(**AXES)


def _moments(sums):
    m, total, squares = sums
    mean = total / m
    return m, mean, squares / m - np.square(mean)


def normalize_part(X, sums, eps):
    m, mean, var = _moments(sums)
    return (X - mean) / np.sqrt(var + eps)


def local_sums_back(dY, X_hat):
    return dY.sum(**AXES), (dY * X_hat).sum(**AXES)


def backward(dY, X_hat, sums, back_sums, gamma, eps):
    m, mean, var = _moments(sums)
    dbeta, dgamma = back_sums
    return gamma / np.sqrt(var + eps) * (dY - dbeta / m - X_hat * dgamma / m)


def one_array(X):
    """Three rows: ones, the sum, the sum of the squares, for each channel."""
    rows = X.transpose(1, 0, 2, 3).reshape(X.shape[1], -1)
    return np.stack([np.ones_like(rows).sum(axis=1), rows.sum(axis=1), (rows**2).sum(axis=1)])


def from_one_array(X, sums, eps):
    m, a, b = sums
    mean, var = a / m, b / m - (a / m) ** 2
    C = X.shape[1]
    return (X - mean.reshape(1, C, 1, 1)) / (var + eps).reshape(1, C, 1, 1) ** 0.5


def back_array(dY, X_hat):
    return np.stack([dY.sum(axis=(0, 2, 3)), (dY * X_hat).sum(axis=(0, 2, 3))])


def from_back_array(dY, X_hat, sums, back_sums, gamma, eps):
    m, a, b = sums
    s = np.sqrt(b / m - (a / m) ** 2 + eps)
    d = (back_sums / m).reshape(2, 1, -1, 1, 1)
    return gamma * (dY - d[0] - X_hat * d[1]) / s.reshape(1, -1, 1, 1)


def merging_sums(X):
    """Counts times mean, and counts times mean square, as NumPy arrays, in a list."""
    x = X.asnumpy()
    m = x[:, 0].size
    return [float(m), m * x.mean((0, 2, 3)), m * (x**2).mean((0, 2, 3))]


def from_numpy(X, sums, eps):
    m, a, b = sums
    mean, var = (v.reshape(1, -1, 1, 1) for v in (a / m, b / m - (a / m) ** 2))
    return (X.asnumpy() - mean) / numpy.sqrt(var + eps)


def numpy_back(*, dY, X_hat):
    return [(dY.asnumpy() * a).sum((0, 2, 3), keepdims=True) for a in (1, X_hat.asnumpy())]


def from_numpy_back(dY, X_hat, sums, back_sums, gamma, eps):
    m, a, b = sums
    s = numpy.sqrt((b / m - (a / m) ** 2) + eps).reshape(1, -1, 1, 1)
    dY, X_hat = dY.asnumpy(), X_hat.asnumpy()
    return gamma.asnumpy() / s * (dY - back_sums[0] / m - X_hat * back_sums[1] / m)


def own_statistics(X, sums, eps):
    return normalize(X, (0, 2, 3), eps)


def averages(X):
    """Of each device, with its share of the devices."""
    mean = X.mean(**AXES)
    return 1, mean, np.square(X - mean).mean(**AXES)


def by_averages(X, sums, eps):
    devices, mean, var = sums
    return (X - mean / devices) / np.sqrt(var / devices + eps)


def without_square(X, sums, eps):
    m, total, squares = sums
    return (X - total / m) / np.sqrt(squares / m + eps)


def local_m(dY, X_hat, sums, back_sums, gamma, eps):
    _, _, var = _moments(sums)
    m = dY.size // dY.shape[1]
    dbeta, dgamma = back_sums
    return gamma / np.sqrt(var + eps) * (dY - dbeta / m - X_hat * dgamma / m)


def own_sums(dY, X_hat, sums, back_sums, gamma, eps):
    m, _, var = _moments(sums)
    own = [v / (dY.size // dY.shape[1]) for v in local_sums_back(dY, X_hat)]
    return gamma / np.sqrt(var + eps) * (dY - own[0] - X_hat * own[1])


def without_gamma(dY, X_hat, sums, back_sums, gamma, eps):
    return backward(dY, X_hat, sums, back_sums, 1, eps)


def changed_count(count):
    """local_sums with another count of the numbers of a channel."""
    return lambda X: (count(X), *local_sums(X)[1:])


def without_keepdims(X):
    return X.size // X.shape[1], X.sum(axis=(0, 2, 3)), np.square(X).sum(axis=(0, 2, 3))


def negative_variance(X, sums, eps):
    m, total, squares = sums
    return (X - total / m) / np.sqrt(np.square(total / m) - squares / m - eps)


def by_two_averages(X, sums, eps):
    """Divided by a guessed number of devices."""
    return by_averages(X, (2, *sums[-2:]), eps)


# --- 9.5 ---


class Derived(d2lutils.BatchNorm):
    def __init__(self, num_features, num_parts, eps=1e-5, momentum=0.9):
        super().__init__(num_features, num_dims=2, eps=eps, momentum=momentum)
        self.num_parts = num_parts

    def forward(self, X):
        if not autograd.is_training():
            return super().forward(X)
        if len(X) % self.num_parts:
            raise ValueError(f"{len(X)} rows do not make {self.num_parts} equal parts.")
        super().forward(X)
        parts = X.reshape(self.num_parts, -1, X.shape[1])
        return (
            self.gamma.data() * normalize(parts, (1,), self.eps).reshape(X.shape) + self.beta.data()
        )


class FromScratch(nn.Block):
    def __init__(self, num_features, num_parts, *, eps=1e-5, momentum=0.9):
        super().__init__()
        self.k, self.eps, self.momentum = num_parts, eps, momentum
        fixed = {"shape": (num_features,), "differentiable": False}
        self.scale = self.params.get("scale", shape=(num_features,), init="ones")
        self.shift = self.params.get("shift", shape=(num_features,), init="zeros")
        self.m = self.params.get("m", init="zeros", **fixed)
        self.v = self.params.get("v", init="ones", **fixed)

    def statistics(self, X):
        mean = X.mean(axis=0)
        return mean, np.square(X - mean).mean(axis=0)

    def in_parts(self, X):
        size, rest = divmod(len(X), self.k)
        if rest:
            raise ValueError("parts of unequal size")
        done = []
        for i in range(self.k):
            part = X[i * size : (i + 1) * size]
            mean, var = self.statistics(part)
            done.append((part - mean) / np.sqrt(var + self.eps))
        return np.concatenate(done)

    def forward(self, X):
        if autograd.is_training():
            X_hat = self.in_parts(X)
            with autograd.pause():
                for p, new in zip((self.m, self.v), self.statistics(X)):
                    p.set_data(self.momentum * p.data() + (1 - self.momentum) * new)
        else:
            X_hat = (X - self.m.data()) / np.sqrt(self.v.data() + self.eps)
        return self.scale.data() * X_hat + self.shift.data()


class AroundGluon(nn.Block):
    """Gluon's layer for the statistics: it moves them only if its output counts in the loss."""

    used = False

    def __init__(self, num_features, num_parts, eps=1e-5, momentum=0.9):
        super().__init__()
        self.num_parts, self.eps = num_parts, eps
        self.bn = nn.BatchNorm(epsilon=eps, momentum=momentum, in_channels=num_features)

    def forward(self, X):
        Y = self.bn(X)
        if not autograd.is_training():
            return Y
        if len(X) % self.num_parts:
            raise ValueError("unequal parts")
        parts = X.reshape(self.num_parts, -1, X.shape[1])
        X_hat = normalize(parts, (1,), self.eps).reshape(X.shape)
        return self.bn.gamma.data() * X_hat + self.bn.beta.data() + (0 * Y if self.used else 0)


class AroundGluonUsed(AroundGluon):
    """Its output counts, times zero."""

    used = True


class OfParts(FromScratch):
    """Averages the statistics of the parts."""

    def statistics(self, X):
        if len(X) % self.k or self.k == 1:
            return super().statistics(X)
        found = [FromScratch.statistics(self, part) for part in np.split(X, self.k)]
        return [sum(values) / self.k for values in zip(*found)]

    def in_parts(self, X):
        if len(X) % self.k:
            raise ValueError("unequal parts")
        return normalize(X.reshape(self.k, -1, X.shape[1]), (1,), self.eps).reshape(X.shape)


class InTurn(Derived):
    """One update for each part."""

    def forward(self, X):
        if not autograd.is_training():
            return super().forward(X)
        if len(X) % self.num_parts:
            raise ValueError("unequal parts")
        return np.concatenate(
            [d2lutils.BatchNorm.forward(self, part) for part in np.split(X, self.num_parts)]
        )


class Unrefusing(Derived):
    def forward(self, X):
        if autograd.is_training() and len(X) % self.num_parts:
            return d2lutils.BatchNorm.forward(self, X)
        return super().forward(X)


class AlwaysParts(Derived):
    """In prediction mode too, where the rows can be split."""

    def forward(self, X):
        if autograd.is_training() or len(X) % self.num_parts or self.num_parts == 1:
            return super().forward(X)
        parts = normalize(X.reshape(self.num_parts, -1, X.shape[1]), (1,), self.eps)
        return self.gamma.data() * parts.reshape(X.shape) + self.beta.data()


class AlwaysRefusing(Derived):
    def forward(self, X):
        X.reshape(self.num_parts, -1, X.shape[1])
        return super().forward(X)


class Interleaved(Derived):
    def forward(self, X):
        if not autograd.is_training() or len(X) % self.num_parts:
            return super().forward(X)
        super().forward(X)
        parts = X.reshape(-1, self.num_parts, X.shape[1])
        return (
            self.gamma.data() * normalize(parts, (0,), self.eps).reshape(X.shape) + self.beta.data()
        )


class SizeOfAPart(Derived):
    """num_parts taken for how many rows a part has; one part is the whole batch."""

    def forward(self, X):
        k = self.num_parts
        self.num_parts = len(X) // k if k > 1 and len(X) % k == 0 else k
        Y = super().forward(X)
        self.num_parts = k
        return Y


class InPartsOver(Derived):
    """Normalizes the parts in another shape or over another axis; `base`: calls the base class."""

    base, axis = True, 1

    def shape(self, X):
        return self.num_parts, -1, X.shape[1]

    def forward(self, X):
        if not autograd.is_training() or len(X) % self.num_parts:
            return super().forward(X)
        if self.base:
            super().forward(X)
        parts = normalize(X.reshape(self.shape(X)), (self.axis,), self.eps)
        return self.gamma.data() * parts.reshape(X.shape) + self.beta.data()


class OverAxis0(InPartsOver):
    axis = 0


class PartsOfSomeRows(InPartsOver):
    def shape(self, X):
        return -1, self.num_parts, X.shape[1]


class WithoutBase(InPartsOver):
    base = False


class WithoutBaseInParts(InPartsOver):
    """Calls the base class with one part only."""

    @property
    def base(self):
        return self.num_parts == 1


class RefusingPredictions(Derived):
    def forward(self, X):
        if len(X) % self.num_parts:
            raise ValueError("Some rows are left over.")
        return super().forward(X)


class HiddenInParts(Derived):
    """Right outputs, and statistics of the parts that autograd takes for constants."""

    def forward(self, X):
        if not autograd.is_training() or self.num_parts == 1 or len(X) % self.num_parts:
            return super().forward(X)
        super().forward(X)
        parts = X.reshape(self.num_parts, -1, X.shape[1])
        mean = parts.mean(axis=1, keepdims=True).detach()
        std = np.sqrt(np.square(parts - mean).mean(axis=1, keepdims=True) + self.eps).detach()
        return self.gamma.data() * ((parts - mean) / std).reshape(X.shape) + self.beta.data()


def by_default(num_features, num_parts, eps=1e-5, momentum=0.9):
    return Derived(num_features, num_parts)


def usual_momentum(num_features, num_parts, eps=1e-5, momentum=0.9):
    return Derived(num_features, num_parts, eps)


def whole_batch(num_features, num_parts, eps=1e-5, momentum=0.9):
    return d2lutils.BatchNorm(num_features, 2, eps, momentum)


# --- the zoo ---


class AlwaysTraining(nn.Block):
    """The specimen, repaired; `context` can undo it."""

    context = autograd.train_mode

    def __init__(self, num_channels, num_groups):
        super().__init__()
        self.num_groups = num_groups
        self.gamma = self.params.get("gamma", shape=(1, num_channels, 1, 1), init="ones")
        self.beta = self.params.get("beta", shape=(1, num_channels, 1, 1), init="zeros")

    def forward(self, X):
        rows = X.shape[0] * self.num_groups
        mean, var = np.zeros(rows), np.ones(rows)
        with type(self).context():
            Z = X.reshape(1, rows, -1)
            X_hat = npx.batch_norm(Z, np.ones(rows), np.zeros(rows), mean, var, eps=1e-5)
        return self.gamma.data() * X_hat.reshape(X.shape) + self.beta.data()


class ByNormalize(AlwaysTraining):
    def forward(self, X):
        groups = X.reshape(X.shape[0], self.num_groups, -1)
        X_hat = normalize(groups, (2,)).reshape(X.shape)
        return self.gamma.data() * X_hat + self.beta.data()


class StillTheSame(AlwaysTraining):
    context = autograd.pause


class Specimen(AlwaysTraining):
    def forward(self, X):
        rows = X.shape[0] * self.num_groups
        Z, one, zero = X.reshape(1, rows, -1), np.ones(rows), np.zeros(rows)
        X_hat = npx.batch_norm(Z, one, zero, zero.copy(), one.copy(), eps=1e-5)
        return self.gamma.data() * X_hat.reshape(X.shape) + self.beta.data()


class OwnAsRunning(AlwaysTraining):
    """Hands the input's own statistics to the operator, as running ones."""

    def forward(self, X):
        rows = X.shape[0] * self.num_groups
        Z = X.reshape(1, rows, -1)
        mean = Z.mean(axis=(0, 2))
        var = np.square(Z - mean.reshape(1, -1, 1)).mean(axis=(0, 2))
        X_hat = npx.batch_norm(Z, np.ones(rows), np.zeros(rows), mean, var, eps=1e-5)
        return self.gamma.data() * X_hat.reshape(X.shape) + self.beta.data()


class OverTheBatch(AlwaysTraining):
    def forward(self, X):
        return self.gamma.data() * normalize(X, (0, 2, 3)) + self.beta.data()


class PerGroup(ByNormalize):
    """A gamma and a beta for each group, as Gluon has it."""

    def __init__(self, num_channels, num_groups):
        super().__init__(num_groups, num_groups)

    def forward(self, X):
        gamma, beta = (
            np.repeat(p.data(), X.shape[1] // self.num_groups, axis=1)
            for p in (self.gamma, self.beta)
        )
        groups = X.reshape(X.shape[0], self.num_groups, -1)
        return gamma * normalize(groups, (2,)).reshape(X.shape) + beta


class Hidden(AlwaysTraining):
    def forward(self, X):
        groups = X.reshape(X.shape[0], self.num_groups, -1)
        mean = groups.mean(axis=2, keepdims=True).detach()
        std = np.sqrt(np.square(groups - mean).mean(axis=2, keepdims=True) + 1e-5).detach()
        return self.gamma.data() * ((groups - mean) / std).reshape(X.shape) + self.beta.data()


class Unaffine(AlwaysTraining):
    def forward(self, X):
        groups = X.reshape(X.shape[0], self.num_groups, -1)
        return normalize(groups, (2,)).reshape(X.shape)


class WithoutBeta(AlwaysTraining):
    def forward(self, X):
        return ByNormalize.forward(self, X) - self.beta.data()


loss_function = gluon.loss.SoftmaxCrossEntropyLoss()


def clipped(weight, gradient, limit):
    axes = tuple(range(1, weight.ndim))
    size = np.sqrt(np.square(weight).sum(axis=axes, keepdims=True))
    length = np.sqrt(np.square(gradient).sum(axis=axes, keepdims=True))
    return gradient * np.minimum(1, limit * np.maximum(size, 1e-3) / np.maximum(length, 1e-6))


def stepping(mean=True, factor=lambda n: 1, divide=lambda n: 1, clip=True, step=True, result=None):
    """A step that clips; the gradient before it is multiplied by `factor`."""

    def function(net, trainer, X, y, limit):
        with autograd.record():
            losses = loss_function(net(X), y)
            loss = losses.mean() if mean else losses
        loss.backward()
        for p in net.collect_params().values():
            g = factor(len(X)) * p.grad()
            p.grad()[:] = clipped(p.data(), g, limit) if clip else g
        if step:
            trainer.step(divide(len(X)))
        return losses.mean() if result is None else result(losses)

    return function


def number(n):
    return n


def larger_limit(net, trainer, X, y, limit):
    return stepping(mean=False, divide=number)(net, trainer, X, y, limit * len(X))


def own_update(net, trainer, X, y, limit):
    """Without the trainer's step, rows one by one."""
    with autograd.record():
        loss = loss_function(net(X), y).mean()
    loss.backward()
    for p in net.collect_params().values():
        w, g = p.data().asnumpy(), p.grad().asnumpy()
        for i in range(len(w)):
            most = limit * max(numpy.linalg.norm(w[i]), 1e-3)
            length = numpy.linalg.norm(g[i])
            w[i] -= trainer.learning_rate * g[i] * min(1, most / max(length, 1e-9))
        p.set_data(np.array(w))
    return loss.item()


RIGHT = {
    "who_shares": [
        (MEANS, SHARING, 480),
        ("12, 8, 96, 24, 48", np.array(SHARING), "480"),
        (tuple(MEANS), numpy.array([SHARING]), [480.0]),
    ],
    "rms_norm": [
        (rms_norm, rms_norm_backward),
        (on_rows, on_rows_backward),
        (by_names, by_autograd),
    ],
    "weight_norm": [
        (output, start),
        (scaled_afterwards, start_in_numpy),
        (by_transposing, start_by_output),
    ],
    "only_sums": [
        (local_sums, normalize_part, local_sums_back, backward),
        (one_array, from_one_array, back_array, from_back_array),
        (merging_sums, from_numpy, numpy_back, from_numpy_back),
    ],
    "ghost_layer": [(Derived,), (FromScratch,), (AroundGluonUsed,)],
    "which_one": [("D B A C F E G",), (["d", "b", "a", "c", "f", "e", "g"],), ("dbacfeg",)],
    "group_modes": [("c", AlwaysTraining), ("(C)", ByNormalize), ("c", GroupNorm)],
    "clipped_sums": [
        ("d", stepping()),
        ("D", stepping(mean=False, factor=lambda n: 1 / n)),
        ("d", larger_limit),
        ("d", own_update),
    ],
}

WRONG = {  # beside the mistakes that the checks know, which the tests feed back
    "who_shares": [
        ((SHARING, MEANS, 480), "`means` is how many means there are"),
        ((MEANS[:4], SHARING, 480), "Five numbers"),
        (([12, 8, 96, 32, 48], SHARING, 480), "3 groups of 4 channels"),
        ((MEANS, [200, 300, 25, 100, 100], 480), "A part has 2 images"),
        ((MEANS, [25, 300, 25, 100, 50], 480), "All images belong"),
        ((MEANS, SHARING, 8), "last axis alone"),
        ((MEANS, SHARING, 47), "rows of 5 pixels"),
        (([13, 8, 96, 24, 48], SHARING, 480), "2,400"),
    ],
    "rms_norm": [
        ((layer_norm, rms_norm_backward), "The mean stays"),
        ((lambda X, gamma, eps: rms_norm(X, 1, eps), rms_norm_backward), "gamma is missing"),
        ((over_all_but_batch, rms_norm_backward), "Over the last axis only"),
        ((root_plus_eps, rms_norm_backward), "not sqrt(mean square) + eps"),
        ((over_axis_1, rms_norm_backward), "not always the last"),
        ((root_plus_eps_and_1, rms_norm_backward), "eps belongs under the root: divide by"),
        ((root_plus_eps_and_1, rms_norm_backward), "over the last axis only"),
        ((in_numpy, rms_norm_backward), "No gradient flows back to X"),
        ((rms_norm, with_gradient(dX=constant_root)), "treats r as a constant"),
        ((rms_norm, with_gradient(dX=layer_norms)), "gradient of layer normalization"),
        (
            (rms_norm, with_gradient(dgamma=lambda dY, X_hat, X: (dY * X).sum(axis=leading(X)))),
            "X_hat, not X",
        ),
        (
            (
                rms_norm,
                with_gradient(dgamma=lambda dY, X_hat, X: (dY * X_hat).mean(axis=leading(X))),
            ),
            "not the mean",
        ),
        (
            (rms_norm, with_gradient(dgamma=lambda dY, X_hat, X: dY * X_hat)),
            "Compare the two shapes",
        ),
        ((rms_norm, lambda *a: rms_norm_backward(*a)[0]), "return dX, dgamma"),
    ],
    "weight_norm": [
        ((unnormalized, start), "used as it is"),
        ((without_column, start), "(units, 1)"),
        ((wrong_axis, start), "sum over axis 1"),
        ((detached, start), "The length is a constant"),
        ((normalizing, start), "Only the weights are normalized"),
        (
            (output, changed_start(lambda mean, std: (std, -mean / std))),
            "undo the standard deviation",
        ),
        ((output, changed_start(lambda mean, std: (1 / std, -mean))), "divide by std too"),
        ((output, start_over_all_units), "Each unit has its own standard deviation"),
        ((output, changed_start(lambda mean, std: (-mean / std, 1 / std))), "Return g first"),
        ((output, changed_start(lambda mean, std: 1 / std)), "return g, bias"),
    ],
    "only_sums": [
        ((local_sums, own_statistics, local_sums_back, backward), "its own statistics"),
        ((averages, by_averages, local_sums_back, backward), "more images counts more"),
        ((averages, by_two_averages, local_sums_back, backward), "mean of their means"),
        (
            (lambda X: averages(X)[1:], by_two_averages, local_sums_back, backward),
            "mean of their means",
        ),
        (
            (changed_count(len), normalize_part, local_sums_back, backward),
            "images times positions",
        ),
        (
            (changed_count(lambda X: X.size), normalize_part, local_sums_back, backward),
            "images times positions",
        ),
        ((local_sums, negative_variance, local_sums_back, backward), "Is the variance negative"),
        ((without_keepdims, normalize_part, local_sums_back, backward), "keepdims=True"),
        (
            (
                local_sums,
                normalize_part,
                lambda dY, X_hat: [a[0, :, 0, 0] for a in local_sums_back(dY, X_hat)],
                backward,
            ),
            "keepdims=True",
        ),
        (
            (local_sums, without_square, local_sums_back, backward),
            "Subtract the square of the mean",
        ),
        ((lambda X: X, normalize_part, local_sums_back, backward), "send sums, not images"),
        (
            (lambda X: X.sum(axis=0), normalize_part, local_sums_back, backward),
            "Two sums for each channel",
        ),
        ((local_sums, normalize_part, local_sums_back, local_m), "on all devices"),
        (
            (local_sums, normalize_part, local_sums_back, own_sums),
            "Each device uses its own two sums",
        ),
        ((local_sums, normalize_part, local_sums_back, without_gamma), "gamma is missing"),
        (
            (local_sums, normalize_part, lambda dY, X_hat: (dY, X_hat), backward),
            "send sums, not images",
        ),
    ],
    "ghost_layer": [
        ((whole_batch,), "without parts"),
        ((AroundGluon,), "do not change"),
        ((OfParts,), "how far apart"),
        ((InTurn,), "One update a step"),
        ((Unrefusing,), "raise ValueError"),
        ((AlwaysParts,), "In prediction mode there are no parts"),
        ((AlwaysRefusing,), "In prediction mode there are no parts"),
        ((Interleaved,), "follow each other"),
        ((SizeOfAPart,), "how many parts there are"),
        ((OverAxis0,), "taken over axis 1"),
        ((PartsOfSomeRows,), "(num_parts, N / num_parts, C)"),
        ((WithoutBase,), "super().forward(X) moves them"),
        ((WithoutBaseInParts,), "super().forward(X) moves them"),
        ((RefusingPredictions,), "in training mode only"),
        ((HiddenInParts,), "is something hidden from autograd"),
        ((by_default,), "plus eps"),
        ((usual_momentum,), "by the layer's momentum"),
        ((lambda n, k: Derived(n, k),), "how many, and in which order"),
    ],
    "which_one": [
        (("D B A C F E D",), "a darker image must give another output"),
        (("A B D C F E G",), "Two images on each device"),
        (("D A B C F E G",), "Two images are too few"),
        (("D B A C F E",), "Seven letters"),
        (("D B A C F E H",), "Seven letters"),
        (("DBAC FGE",), "hidden in each channel"),
        (([1, 2, 3, 4, 5, 6, 7],), "Seven letters"),
    ],
    "group_modes": [
        (("a", AlwaysTraining), "new zeros and ones in each call"),
        (("b", AlwaysTraining), "their number plays no part"),
        (("d", AlwaysTraining), "comes after it"),
        (("c", Specimen), "The symptom is still there"),
        (("c", StillTheSame), "The symptom is still there"),
        (("c", OwnAsRunning), "Let npx.batch_norm compute the statistics itself"),
        (("c", OverTheBatch), "The other images play no part"),
        (("c", PerGroup), "as in the specimen"),
        (("c", Hidden), "is something hidden from autograd"),
        (("c", Unaffine), "gamma and beta have no effect"),
        (("c", WithoutBeta), "beta is missing"),
    ],
    "clipped_sums": [
        (("a", stepping()), "If nothing is clipped"),
        (("b", stepping()), "A row of the weights"),
        (("c", stepping()), "the same images twice"),
        (("d", stepping(mean=False, divide=number)), "The symptom is still there"),
        (("d", stepping(mean=False)), "by the mean"),
        (("d", stepping(divide=number)), "Divided twice"),
        (("d", stepping(clip=False)), "Nothing is clipped"),
        (("d", stepping(step=False)), "Nothing has moved"),
        (("d", stepping(result=lambda losses: losses.sum())), "sum of the losses"),
        (("d", stepping(result=lambda losses: losses)), "One number is asked for"),
    ],
}
