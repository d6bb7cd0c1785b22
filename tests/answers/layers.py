"""Layers for inputs (N, C), right and wrong, that the zoos of lessons 01 and 02 get as answers."""

from d2lutils import BatchNorm, batch_norm

from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn


class Kept(BatchNorm):
    """The course's layer."""

    def __init__(self, num_features):
        super().__init__(num_features, num_dims=2)


class GluonInside(nn.HybridBlock):
    """Gluon's layer, whose averages move in backward()."""

    def __init__(self, num_features):
        super().__init__()
        self.norm = nn.BatchNorm(in_channels=num_features)

    def hybrid_forward(self, F, X):
        return self.norm(X)


class Formula(nn.Block):
    """A right layer, spelled out, to exchange parts of."""

    momentum = 0.9
    shape_of = staticmethod(lambda n: (1, n))
    statistic = None  # what makes the running statistics

    def __init__(self, num_features):
        super().__init__()
        shape, get = self.shape_of(num_features), self.params.get
        self.gamma = get("gamma", shape=shape, init="ones")
        self.beta = get("beta", shape=shape, init="zeros")
        get = self.statistic or get
        self.mean = get("running_mean", shape=shape, init="zeros", differentiable=False)
        self.var = get("running_var", shape=shape, init="ones", differentiable=False)

    def training(self):
        return autograd.is_training()

    def moves(self):
        return self.training()

    def moved(self, old, new):
        return self.momentum * old + (1 - self.momentum) * new

    def write(self, mean, var):
        self.mean.set_data(self.moved(self.mean.data(), mean))
        self.var.set_data(self.moved(self.var.data(), var))

    def statistics(self, X):
        mean = X.mean(axis=0, keepdims=True)
        return mean, np.square(X - mean).mean(axis=0, keepdims=True)

    def std(self, var):
        return np.sqrt(var + 1e-5)

    def affine(self, X_hat):
        return self.gamma.data() * X_hat + self.beta.data()

    def forward(self, X):
        mean, var = self.statistics(X)
        if self.moves():
            with autograd.pause():
                shape = self.mean.shape
                self.write(mean.reshape(shape), var.reshape(shape))
        if not self.training():
            mean, var = self.mean.data(), self.var.data()
        return self.affine((X - mean) / self.std(var))


def formula(**parts):
    """Formula with other parts: functions in the place of methods."""
    return type("Changed", (Formula,), parts)


class Renamed(nn.Block):
    """Names that say nothing, shapes (C,), no inheritance, and a counter."""

    def __init__(self, units):
        super().__init__()
        fixed = {"shape": (units,), "grad_req": "null"}
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(units,), init=init.One())
            self.shift = self.params.get("shift", shape=(units,), init=init.Constant(0))
            self.mu = self.params.get("mu", init="zeros", **fixed)
            self.sigma2 = self.params.get("sigma2", init=init.Constant(1), **fixed)
            self.steps = self.params.get("steps", shape=(1,), init="zeros", grad_req="null")

    def forward(self, X):
        mu, sigma2 = self.mu.data(), self.sigma2.data()
        if autograd.is_training():
            mu = X.mean(axis=0)
            sigma2 = ((X - mu) ** 2).mean(axis=0)
            with autograd.pause():
                self.steps.set_data(self.steps.data() + 1)
                self.mu.set_data(0.9 * self.mu.data() + 0.1 * mu)
                self.sigma2.set_data(0.9 * self.sigma2.data() + 0.1 * sigma2)
        return self.scale.data() * (X - mu) / (sigma2 + 1e-5) ** 0.5 + self.shift.data()


class NamedByPyTorch(nn.Block):
    """weight and bias are gamma and beta."""

    def __init__(self, num_features):
        super().__init__()
        shape, get = (1, num_features), self.params.get
        self.weight = get("weight", shape=shape, init=init.One())
        self.bias = get("bias", shape=shape, init=init.Zero())
        self.running_mean = get("running_mean", shape=shape, init="zeros", differentiable=False)
        self.running_var = get("running_var", shape=shape, init="ones", differentiable=False)

    def forward(self, X):
        mean, var = self.running_mean.data(), self.running_var.data()
        parameters = self.weight.data(), self.bias.data(), mean, var
        Y, new_mean, new_var = batch_norm(X, *parameters, eps=1e-5, momentum=0.9)
        with autograd.pause():
            mean[:], var[:] = new_mean, new_var
        return Y


class Compiled(nn.HybridBlock):
    """By MXNet's operator."""

    def __init__(self, num_features):
        super().__init__()
        shape, get = (num_features,), self.params.get
        self.gamma = get("gamma", shape=shape, init="ones")
        self.beta = get("beta", shape=shape, init="zeros")
        self.mean = get("mean", shape=shape, init="zeros", differentiable=False)
        self.var = get("var", shape=shape, init="ones", differentiable=False)

    def hybrid_forward(self, F, X, gamma, beta, mean, var):
        return F.npx.batch_norm(X, gamma, beta, mean, var, eps=1e-5, fix_gamma=False)


class InPlainArrays(nn.Block):
    """The specimen of 2.7b: the averages are arrays."""

    def __init__(self, num_features):
        super().__init__()
        shape = (1, num_features)
        self.gamma = self.params.get("gamma", shape=shape, init="ones")
        self.beta = self.params.get("beta", shape=shape, init="zeros")
        self.mean, self.var = np.zeros(shape), np.ones(shape)

    def forward(self, X):
        gamma, beta = self.gamma.data(), self.beta.data()
        Y, mean, var = batch_norm(X, gamma, beta, self.mean, self.var, 1e-5, 0.9)
        with autograd.pause():
            self.mean[:], self.var[:] = mean, var
        return Y


class OneArrayKept(Formula):
    """The mean is a parameter, the variance an array."""

    def __init__(self, num_features):
        super().__init__(num_features)
        self.plain = np.ones((1, num_features))

    def write(self, mean, var):
        self.mean.set_data(self.moved(self.mean.data(), mean))
        self.plain = self.moved(self.plain, var)

    def forward(self, X):
        if autograd.is_training():
            return super().forward(X)
        return self.affine((X - self.mean.data()) / self.std(self.plain))


class OnesByItself(Formula):
    """Its own initialize() sets the variance to one, and a net's does not call it."""

    def __init__(self, num_features):
        super().__init__(num_features)
        self.var.init = "zeros"

    def initialize(self, *arguments, **settings):
        super().initialize(*arguments, **settings)
        self.var.set_data(np.ones(self.var.shape))


class InTheClass(Formula):
    """The averages are one for all layers, though each has parameters that look like it."""

    shared = None

    def forward(self, X):
        if InTheClass.shared is None or InTheClass.shared[0].shape != self.mean.shape:
            InTheClass.shared = [self.mean.data() * 0, self.var.data() * 0 + 1]
        self.mean.set_data(InTheClass.shared[0])
        self.var.set_data(InTheClass.shared[1])
        Y = super().forward(X)
        InTheClass.shared = [self.mean.data().copy(), self.var.data().copy()]
        return Y


class Inherits(Formula):
    """Its first step goes on where another layer of the class ended."""

    last = None

    def forward(self, X):
        if not hasattr(self, "started"):
            self.started = True
            if Inherits.last is not None and Inherits.last[0].shape == self.mean.shape:
                self.mean.set_data(Inherits.last[0])
                self.var.set_data(Inherits.last[1])
        Y = super().forward(X)
        if autograd.is_training():
            Inherits.last = [self.mean.data().copy(), self.var.data().copy()]
        return Y


ONE = {}


def one_for_all(num_features):
    """The same layer at every call."""
    return ONE.setdefault(num_features, Kept(num_features))


def alone(*arguments, **settings):
    """A parameter that is saved and not in collect_params()."""
    parameter = gluon.Parameter(*arguments, **settings)
    parameter.initialize()
    return parameter


class StatisticsTrained(Kept):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.moving_var._differentiable = True
        self.moving_var.grad_req = "write"


class NothingTrained(Kept):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.gamma.grad_req = "null"


class FixedGamma(nn.Block):
    """scale=False: gamma is one for ever."""

    def __init__(self, num_features):
        super().__init__()
        self.norm = nn.BatchNorm(in_channels=num_features, scale=False)

    def forward(self, X):
        return self.norm(X)


class GlobalStatistics(nn.Block):
    """use_global_stats: training normalizes with the averages, too."""

    def __init__(self, num_features):
        super().__init__()
        self.norm = nn.BatchNorm(in_channels=num_features, use_global_stats=True)

    def forward(self, X):
        return self.norm(X)


class Unpaused(Kept):
    def forward(self, X):
        old = self.moving_mean.data(), self.moving_var.data()
        Y, *new = batch_norm(X, self.gamma.data(), self.beta.data(), *old, 1e-5, 0.9)
        old[0][:], old[1][:] = new
        return Y


class OwnBatch(Kept):
    def forward(self, X):
        with autograd.train_mode():
            return super().forward(X)


def spread(power=1, less=0, detached=False):
    """The statistics of a batch with a slip in the variance."""

    def statistics(self, X):
        mean = X.mean(axis=0, keepdims=True)
        seen = X.detach() if detached else X
        return mean, ((seen - mean) ** 2).sum(axis=0, keepdims=True) / (len(X) - less)

    return statistics


def both_modes(layer):
    return autograd.is_training() and autograd.is_recording()


BOTH_MODES = formula(training=both_modes)
MOVES_IN_BOTH_MODES = formula(moves=both_modes)
NO_EPS_IN_PREDICTION = formula(std=lambda self, var: np.sqrt(var + 1e-5 * self.training()))

RIGHT = [
    Kept,
    GluonInside,
    Formula,
    Renamed,
    NamedByPyTorch,
    Compiled,
    lambda num_features: nn.BatchNorm(),
    formula(shape_of=staticmethod(lambda n: (n,))),
    lambda num_features: nn.BatchNorm(in_channels=num_features),
    lambda n: BatchNorm(n, num_dims=2, momentum=0.9),
]

WRONG = [
    (formula(affine=lambda self, X_hat: X_hat), "gamma and beta have no effect"),
    (formula(affine=lambda self, X_hat: self.gamma.data() * X_hat), "beta is missing"),
    (formula(affine=lambda s, Z: s.gamma.data() * Z - s.beta.data()), "not subtracted"),
    (formula(affine=lambda s, Z: s.gamma.data() ** 2 * Z + s.beta.data()), "its sign counts"),
    (formula(affine=lambda s, Z: abs(s.gamma.data()) * Z + s.beta.data()), "its sign counts"),
    (formula(affine=lambda s, Z: s.gamma.data().detach() * Z + s.beta.data()), "back to gamma"),
    (formula(affine=lambda s, Z: s.gamma.data() * Z + s.beta.data().detach()), "back to beta"),
    (formula(statistics=spread(less=1)), "biased"),
    (formula(statistics=spread(detached=True)), "var() used"),
    (formula(statistics=lambda self, X: (X.mean(axis=0), X.var(axis=0))), "var() used"),
    (formula(std=lambda self, var: np.sqrt(var)), "eps has no effect"),
    (formula(std=lambda self, var: np.sqrt(var) + 1e-5), "under the root"),
    (NO_EPS_IN_PREDICTION, "eps has no effect"),
    (formula(affine=lambda s, Z: Formula.affine(s, Z) if s.training() else Z), "no effect"),
    (formula(momentum=0.1), "weight of the old value"),
    (formula(momentum=0.99), "0.9 times its old value"),
    (formula(write=lambda *_: None), "do not change"),
    (formula(moves=lambda self: True), "Only training may"),
    (formula(training=lambda self: autograd.is_recording()), "Recording is not training"),
    (formula(training=lambda self: autograd.is_training), "without its brackets"),
    (BOTH_MODES, "Recording still decides"),
    (MOVES_IN_BOTH_MODES, "not for recording"),
    (OnesByItself, "initial value"),
    (Inherits, "Every new layer starts"),
    (OwnBatch, "the batch's own mean"),
    (Unpaused, "autograd.pause()"),
    (lambda n: nn.BatchNorm(in_channels=n, epsilon=1e-3), "epsilon is 1e-5"),
    (lambda n: nn.LayerNorm(in_channels=n), "Every new layer starts"),
    (FixedGamma, "is one missing"),
    (StatisticsTrained, "differentiable=False"),
    (NothingTrained, "is one missing"),
    (one_for_all, "Every new layer starts"),
    (InTheClass, "Every new layer starts"),
    (GlobalStatistics, "the batch's own mean"),
    (InPlainArrays, "not saved"),
    (OneArrayKept, "variance is not"),
    (formula(statistic=staticmethod(alone)), "self.params.get"),
]
