"""Right and wrong answers to exercises 01. A wrong one comes with a piece of the hint it must get."""

from d2lutils import BatchNorm, batch_norm

from mxnet import autograd, np
from mxnet.gluon import nn


def by_channel(values, X):
    return values.reshape((1, -1) + (1,) * (X.ndim - 2))


# --- 1.3 ---


def ln(axes=None, divide=None, scale=by_channel):
    """Layer norms that differ in the axes, the divisor and where gamma goes."""

    def layer_norm(X, gamma, beta, eps):
        over = axes(X) if axes else tuple(range(1, X.ndim))
        mean = X.mean(axis=over, keepdims=True)
        var = ((X - mean) ** 2).mean(axis=over, keepdims=True)
        std = divide(X, var, eps) if divide else np.sqrt(var + eps)
        return scale(gamma, X) * (X - mean) / std + scale(beta, X)

    return layer_norm


def ln_by_loop(X, g, b, e):
    rows = []
    for i in range(len(X)):
        row = X[i]
        mean = row.mean()
        var = ((row - mean) ** 2).mean()
        shape = (-1,) + (1,) * (row.ndim - 1)
        rows.append(g.reshape(shape) * (row - mean) / (var + e) ** 0.5 + b.reshape(shape))
    return np.stack(rows)


def ln_flat(inputs, scale, shift, epsilon):
    flat = inputs.reshape(len(inputs), -1)
    squares = (flat**2).mean(axis=1, keepdims=True) - flat.mean(axis=1, keepdims=True) ** 2
    flat = (flat - flat.mean(axis=1, keepdims=True)) / (squares + epsilon) ** 0.5
    return flat.reshape(inputs.shape) * by_channel(scale, inputs) + by_channel(shift, inputs)


def var_method(X, var, eps):
    return np.sqrt(X.var(axis=tuple(range(1, X.ndim)), keepdims=True) + eps)


def ln_in_place(X, gamma, beta, eps):
    X -= X.mean(axis=tuple(range(1, X.ndim)), keepdims=True)
    return X


def ln_by_mode(X, gamma, beta, eps):
    return ln()(X, gamma, beta, eps) if autograd.is_training() else by_channel(gamma, X) * X


# --- 1.4 ---


def backward(dX_hat, X_hat, std, axes):
    mean = dX_hat.mean(axis=axes, keepdims=True)
    return (dX_hat - mean - X_hat * (dX_hat * X_hat).mean(axis=axes, keepdims=True)) / std


def mean_of(values, axes):
    return values.mean(axis=axes, keepdims=True)


def backward_in_numpy(g, x, s, axes):
    g, x, s = g.asnumpy(), x.asnumpy(), s.asnumpy()
    m = x.size // g.sum(axis=axes).size
    total, product = g.sum(axis=axes, keepdims=True), (g * x).sum(axis=axes, keepdims=True)
    return (m * g - total - x * product) / (m * s)


# --- 1.6 ---


def grouped(X, groups):
    return X.reshape(X.shape[0], groups, -1)


def gn(X, gamma, beta, groups, eps):
    rows = grouped(X, groups)
    mean = rows.mean(axis=2, keepdims=True)
    rows = (rows - mean) / np.sqrt(((rows - mean) ** 2).mean(axis=2, keepdims=True) + eps)
    return by_channel(gamma, X) * rows.reshape(X.shape) + by_channel(beta, X)


def gn_by_loop(X, gamma, beta, groups, eps):
    size = X.shape[1] // groups
    parts = [
        ln()(X[:, i : i + size], np.ones(size), np.zeros(size), eps)
        for i in range(0, X.shape[1], size)
    ]
    return np.concatenate(parts, axis=1) * by_channel(gamma, X) + by_channel(beta, X)


def gn_backward(
    dY, X, gamma, groups, eps, first=True, gather=lambda a: a.sum(axis=(0, 2, 3)), line=None
):
    rows = grouped(X, groups)
    mean = rows.mean(axis=2, keepdims=True)
    std = np.sqrt(((rows - mean) ** 2).mean(axis=2, keepdims=True) + eps)
    rows = (rows - mean) / std
    X_hat = rows.reshape(X.shape)
    scale = by_channel(gamma, X)
    g = grouped(scale * dY if first else dY, groups)
    dX = (line or backward)(g, rows, std, (2,)).reshape(X.shape)
    return dX if first else scale * dX, gather(dY * X_hat), gather(dY)


def gn_backward_by_autograd(dY, X, gamma, groups, eps):
    X, gamma, beta = X.copy(), gamma.copy(), np.zeros_like(gamma)
    for v in (X, gamma, beta):
        v.attach_grad()
    with autograd.record():
        Y = gn(X, gamma, beta, groups, eps)
    Y.backward(dY)
    return [X.grad, gamma.grad, beta.grad]


# --- 1.7 ---


class FromZero(BatchNorm):
    """The specimen of 1.7a, in other words than the notebook has."""

    start, eps_here = 0.0, 1e-5

    def __init__(self, num_features):
        super().__init__(num_features, num_dims=2, eps=self.eps_here)
        self.moving_var.init = {0.0: "zeros", 1.0: "ones"}[self.start]


class LargeEps(FromZero):
    eps_here = 1.0


class Repaired(FromZero):
    start = 1.0


class AtLeastOne(FromZero):
    """Hides the zero at the start, and every variance below one after it."""

    def forward(self, X):
        if not autograd.is_training():
            ones = np.ones_like(self.moving_var.data())
            var = np.maximum(self.moving_var.data(), ones)
            return (X - self.moving_mean.data()) / np.sqrt(var + self.eps)
        return super().forward(X)


class Trained(Repaired):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.moving_var._differentiable = True
        self.moving_var.grad_req = "write"


class GammaZero(Repaired):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.gamma.init = "zeros"


class MeanOne(Repaired):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.moving_mean.init = "ones"


class OwnBatch(FromZero):
    def forward(self, X):
        with autograd.train_mode():
            return super().forward(X)


class Plain(nn.Block):
    """The repaired layer on arrays of its own."""

    def __init__(self, num_features):
        super().__init__()
        self.mean, self.var = np.zeros(num_features), np.ones(num_features)

    def forward(self, X):
        ones = np.ones_like(self.mean)
        Y, self.mean, self.var = batch_norm(X, ones, 0 * ones, self.mean, self.var, 1e-5, 0.9)
        return Y


def by_definition(X, mean, axes):
    return ((X - mean) ** 2).mean(axis=axes, keepdims=True)


def pooled(axes, var_axes=None, variance=by_definition):
    def function(X, gamma, beta, eps):
        mean = X.mean(axis=axes, keepdims=True)
        var = variance(X, mean, var_axes or axes)
        return by_channel(gamma, X) * (X - mean) / np.sqrt(var + eps) + by_channel(beta, X)

    return function


def pooled_on_rows(X, gamma, beta, eps):
    rows = X.transpose(1, 0, 2, 3).reshape(X.shape[1], -1)
    mean = rows.mean(axis=1, keepdims=True)
    rows = (rows - mean) / np.sqrt(((rows - mean) ** 2).mean(axis=1, keepdims=True) + eps)
    N, C, H, W = X.shape
    return rows.reshape(C, N, H, W).transpose(1, 0, 2, 3) * by_channel(gamma, X) + by_channel(
        beta, X
    )


def hidden(mean_of, var_of):
    def function(X, gamma, beta, eps):
        mean = mean_of(X)
        return gamma * (X - mean) / np.sqrt(var_of(X, mean) + eps) + beta

    return function


def mean_seen(X):
    return X.mean(axis=0)


def mean_hidden(X):
    return X.detach().mean(axis=0)


def var_seen(X, mean):
    return ((X - mean) ** 2).mean(axis=0)


def var_hidden(X, mean):
    return ((X - mean) ** 2).mean(axis=0).detach()


RIGHT = {
    "batch_by_hand": [
        ([1, 1, 1, 9, 1, 1, 1, -7],),
        (np.array([[[1, 1], [1, 9]], [[1, 1], [1, -7]]]),),
    ],
    "what_comes_out": [("c",), (" (C) ",)],
    "layer_norm": [(ln(),), (ln_by_loop,), (ln_flat,)],
    "normalized_backward": [(backward,), (backward_in_numpy,)],
    "largest_rate": [(0.1, 1), (0.5, np.array(2.0))],
    "group_norm": [(gn, gn_backward), (gn_by_loop, gn_backward_by_autograd)],
    "moving_variance": [
        ("c", Repaired),
        ("c", lambda num_features: nn.BatchNorm(in_channels=num_features)),
    ],
    "pooled_axes": [("b", pooled((0, 2, 3))), ("b", pooled_on_rows)],
    "hidden_gradient": [
        ("d", hidden(mean_seen, var_seen)),
        ("d", lambda X, gamma, beta, eps: batch_norm(X, gamma, beta, 0, 1, eps, 0.9)[0]),
    ],
    "momentum_reversed": [
        ("b", lambda moving, value, momentum: momentum * moving + (1 - momentum) * value),
        ("b", lambda old, new, m: old + (new - old) * (1 - m)),
    ],
}

WRONG = {
    "batch_by_hand": [
        (([0, 0, 0, 2, 0, 0, 0, -2],), "gamma and beta come after"),
        (([0, 0, 0, 8, 0, 0, 0, -8],), "beta is missing"),
        (([1, 1, 1, 3, 1, 1, 1, -1],), "gamma is missing"),
        (([4, 4, 4, 6, 4, 4, 4, 2],), "the other way round"),
        (([1, 1, 1, 3.67, 1, 1, 1, -1.67],), "root of the variance"),
        (([0, 0, 0, 6, 0, 0, 0, -6],), "Only the mean is subtracted"),
        (([1, 1, 1, 25, 1, 1, 1, -23],), "before you scale"),
        (([1, 1, 1, 7, 1, 1, 1, -5],), "then multiply by gamma"),
        (([1, 1, 1, 5, 1, 1, 1, -3],), "one mean for all eight"),
        (([1, 1, 1, 3.83, 1, 1, 1, -1.83],), "divide the sum of squares by 8"),
        (([1, 1, 1, 8.48, 1, 1, 1, -6.48],), "biased"),
        (([-1.31] * 3 + [7.93] + [3.31] * 3 + [-5.93],), "Both pictures share one mean"),
        (([9, 1, 1, 1, -7, 1, 1, 1],), "look at the order"),
        (([1, 1, 1, -7, 1, 1, 1, 9],), "look at the order"),
        (([2, 2, 2, 2, 2, 2, 2, 2],), "scale, shift"),
        (([1, 1, 1, 9, 1, 1, 1],), "Two pictures of 2 x 2"),
        (([[1, 1], [7]],), "array of numbers"),
    ],
    "what_comes_out": [(("a",), "skewed"), (("b",), "squared"), (("d",), "other way round")],
    "layer_norm": [
        ((ln(lambda X: (0, *range(2, X.ndim))),), "This is batch normalization"),
        ((ln(lambda X: 1),), "average over its positions"),
        ((ln(lambda X: (2, 3) if X.ndim == 4 else 1),), "instance norm"),
        ((ln(divide=lambda X, var, eps: np.sqrt(var) + eps),), "under the root"),
        ((ln(divide=lambda X, var, eps: np.sqrt(var)),), "no effect yet"),
        ((ln(divide=lambda X, var, eps: var + eps),), "root of the variance"),
        (
            (ln(divide=lambda X, var, eps: np.sqrt(var * X[0].size / (X[0].size - 1) + eps)),),
            "biased",
        ),
        ((ln(scale=lambda values, X: values.mean()),), "belong to the channels"),
        ((lambda X, g, b, e: ln()(X, g, 0 * b, e),), "beta is missing"),
        ((lambda X, g, b, e: ln()(X, g**0, b, e),), "gamma is missing"),
        ((lambda X, g, b, e: ln()(X, g**0, 0 * b, e),), "no effect yet"),
        ((lambda X, g, b, e: g * (X - X.mean(axis=1)) + b,), "belong to examples now"),
        ((lambda X, g, b, e: undefined,), "spelled"),  # noqa: F821
        ((ln(divide=var_method),), "hidden from autograd"),
        ((lambda *a: ln()(*a).asnumpy(),), "That is a NumPy array"),
        ((ln_in_place,), "makes a new one"),
        ((ln_by_mode,), "do not ask for the mode"),
    ],
    "normalized_backward": [
        ((lambda g, x, s, axes: g / s,), "as constants"),
        ((lambda g, x, s, axes: (g - mean_of(g, axes)) / s,), "projection"),
        (
            (
                lambda g, x, s, axes: (
                    (g - mean_of(g, axes) - x * mean_of(g, axes) * mean_of(x, axes)) / s
                ),
            ),
            "the mean of the products",
        ),
        (
            (lambda g, x, s, axes: (g - x * mean_of(g * x, axes)) / s,),
            "incoming gradient is missing",
        ),
        ((lambda g, x, s, axes: backward(g, x, s, axes) / s,), "not by its square"),
        ((lambda g, x, s, axes: backward(g, x, s, axes) * s,), "Not divided by std"),
        ((lambda g, x, s, axes: backward(g, x, s, axes) * s * s,), "do not multiply"),
        ((lambda g, x, s, axes: (g + mean_of(g, axes) + x * mean_of(g * x, axes)) / s,), "signs"),
        ((lambda g, x, s, axes: (g - mean_of(g, axes) - mean_of(g * x, axes)) / s,), "direction"),
        (
            (lambda g, x, s, axes: (g - mean_of(g, axes) - x * x * mean_of(g * x, axes)) / s,),
            "not squared",
        ),
        (
            (
                lambda g, x, s, axes: (
                    (
                        g
                        - g.sum(axis=axes, keepdims=True)
                        - x * (g * x).sum(axis=axes, keepdims=True)
                    )
                    / s
                ),
            ),
            "Means, not sums",
        ),
        (
            (
                lambda g, x, s, axes: (
                    (
                        g
                        - g.sum(axis=axes, keepdims=True) / len(g)
                        - x * (g * x).sum(axis=axes, keepdims=True) / len(g)
                    )
                    / s
                ),
            ),
            "not by the batch size",
        ),
        ((lambda g, x, s, axes: backward(g, x, s, 0),), "`axes` is an argument"),
        (
            (lambda g, x, s, axes: backward(g, x, s, (0, *range(2, g.ndim))),),
            "`axes` is an argument",
        ),
        ((lambda g, x, s, axes: (g - g.mean() - x * (g * x).mean()) / s,), "`axes` is an argument"),
        (
            (
                lambda g, x, s, axes: (
                    backward(g, x, s, axes)
                    - x * (mean_of(g * x, axes) / mean_of(x * x, axes) - mean_of(g * x, axes)) / s
                ),
            ),
            "one by one",
        ),
        (
            (lambda g, x, s, axes: (g - g.mean(axis=axes) - x * (g * x).mean(axis=axes)) / s,),
            "keepdims",
        ),
    ],
    "largest_rate": [
        ((0.03, 1), "recorded runs train"),
        ((1, 1), "none of 5"),
        ((0.1, 0.1), "recorded runs train"),
        ((0.1, 3), "lucky run"),
        (([0.1], 1), "Compare the two shapes"),
    ],
    "group_norm": [
        ((lambda X, g, b, groups, e: gn(X, g, b, 1, e), gn_backward), "layer norm"),
        ((lambda X, g, b, groups, e: gn(X, g, b, X.shape[1], e), gn_backward), "instance norm"),
        (
            (lambda X, g, b, groups, e: gn(X, g**0, 0 * b, groups, e), gn_backward),
            "come after them",
        ),
        ((gn, lambda *a: gn_backward(*a, first=False)), "multiply dY by it first"),
        ((gn, lambda *a: gn_backward(*a, gather=lambda g: g.mean(axis=(0, 2, 3)))), "A sum"),
        ((lambda X, g, b, groups, e: gn(X, g, 0 * b, groups, e), gn_backward), "beta is missing"),
        ((lambda X, g, b, groups, e: gn(X, g, b, groups, 0), gn_backward), "no effect yet"),
        ((lambda X, g, b, n, e: gn(X, g, b, X.shape[1] // n, e), gn_backward), "not how large"),
        ((gn, lambda *a: gn_backward(*a)[0]), "return dX, dgamma, dbeta"),
        ((gn, lambda *a: gn_backward(*a)[::-1]), "Compare the two shapes"),
        ((gn, lambda *a: tuple(gn_backward(*a)[i] for i in (0, 2, 1))), "Mind the order"),
        ((gn, lambda *a: gn_backward(*a, line=lambda g, x, s, axes: g / s)), "as constants"),
        (
            (gn, lambda *a: gn_backward(*a, line=lambda g, x, s, axes: backward(g, x, 1, axes))),
            "Not divided",
        ),
        ((gn, lambda dY, X, g, n, e: gn_backward(dY, X, g, n, 0)), "dgamma sums"),
        ((gn, lambda *a: (a[0], *gn_backward(*a)[1:])), "exercise 1.4"),
    ],
    "moving_variance": [
        (("a", Repaired), "at birth"),
        (("c", FromZero), "still there"),
        (("c", LargeEps), "A large epsilon hides"),
        (("c", OwnBatch), "moving averages"),
        (("c", Plain), "is not saved"),
        (("c", GammaZero), "gamma was right"),
        (("c", MeanOne), "The mean was right"),
        (("c", AtLeastOne), "start at mean 0 and variance 1"),
        (("c", Trained), "differentiable=False"),
    ],
    "pooled_axes": [
        (("d", pooled((0, 2, 3))), "many positions"),
        (("b", pooled((0,))), "still there"),
        (("b", pooled((0, 1, 2, 3))), "The channels share a mean"),
        (("b", pooled((2, 3))), "over the examples too"),
        (("b", pooled((0, 2, 3), var_axes=(0,))), "the variance has axes too"),
        (
            ("b", pooled((0, 2, 3), variance=lambda X, mean, axes: X.var(axes, keepdims=True))),
            "hidden from autograd",
        ),
    ],
    "hidden_gradient": [
        (("a", hidden(mean_seen, var_seen)), "rate is innocent"),
        (("d", hidden(mean_hidden, var_hidden)), "still there"),
        (("d", hidden(mean_seen, var_hidden)), "variance is still hidden"),
        (("d", hidden(mean_seen, lambda X, mean: X.var(axis=0))), "variance is still hidden"),
        (("d", hidden(mean_hidden, lambda X, mean: var_seen(X, mean_seen(X)))), "mean is still"),
        (("d", lambda X, gamma, beta, eps: X), "forward pass was right"),
    ],
    "momentum_reversed": [
        (("c", lambda a, b, m: m * a + (1 - m) * b), "smooth just that"),
        (("b", lambda a, b, m: (1 - m) * a + m * b), "still there"),
        (("b", lambda a, b, m: m * a + b), "add up to one"),
        (("b", lambda a, b, m: a), "never moves"),
        (("b", lambda a, b, m: (a + b) / 2), "Two weights"),
        (("b", lambda a, b, m: 0.9 * a + 0.1 * b), "not always 0.9"),
        (("b", lambda a, b, m: a - (1 - m) * (b - a)), "sign"),
        (("b", lambda a, b, m: b), "nothing is averaged"),
    ],
}
