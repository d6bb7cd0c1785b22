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
    for row in X:
        mean = float(row.mean())
        var = float(((row - mean) ** 2).mean())
        shape = (-1,) + (1,) * (row.ndim - 1)
        rows.append(g.reshape(shape) * (row - mean) / (var + e) ** 0.5 + b.reshape(shape))
    return np.stack(rows)


def ln_flat(inputs, scale, shift, epsilon):
    flat = inputs.reshape(len(inputs), -1)
    squares = (flat**2).mean(axis=1, keepdims=True) - flat.mean(axis=1, keepdims=True) ** 2
    flat = (flat - flat.mean(axis=1, keepdims=True)) / (squares + epsilon) ** 0.5
    return flat.reshape(inputs.shape) * by_channel(scale, inputs) + by_channel(shift, inputs)


def ln_in_place(X, gamma, beta, eps):
    X -= X.mean(axis=tuple(range(1, X.ndim)), keepdims=True)
    return X


def ln_by_mode(X, gamma, beta, eps):
    return ln()(X, gamma, beta, eps) if autograd.is_training() else by_channel(gamma, X) * X


# --- 1.4 ---


def backward(dX_hat, X_hat, std, axes):
    mean = dX_hat.mean(axis=axes, keepdims=True)
    return (dX_hat - mean - X_hat * (dX_hat * X_hat).mean(axis=axes, keepdims=True)) / std


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


def gn_backward(dY, X, gamma, groups, eps, first=True, gather=lambda a: a.sum(axis=(0, 2, 3))):
    rows = grouped(X, groups)
    mean = rows.mean(axis=2, keepdims=True)
    std = np.sqrt(((rows - mean) ** 2).mean(axis=2, keepdims=True) + eps)
    rows = (rows - mean) / std
    X_hat = rows.reshape(X.shape)
    scale = by_channel(gamma, X)
    g = grouped(scale * dY if first else dY, groups)
    dX = backward(g, rows, std, (2,)).reshape(X.shape)
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


def pooled(axes, var_axes=None):
    def function(X, gamma, beta, eps):
        mean = X.mean(axis=axes, keepdims=True)
        var = ((X - mean) ** 2).mean(axis=var_axes or axes, keepdims=True)
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
    "batch_by_hand": [([1, 1, 1, 7, 1, 1, 1, -5],), ([[[1, 1], [1, 7]], [[1, 1], [1, -5]]],)],
    "what_comes_out": [("c",), (" (C) ",)],
    "layer_norm": [(ln(),), (ln_by_loop,), (ln_flat,)],
    "normalized_backward": [(backward,), (backward_in_numpy,)],
    "largest_rate": [(0.3, 3), (0.7, np.array(9.0))],
    "group_norm": [(gn, gn_backward), (gn_by_loop, gn_backward_by_autograd)],
    "moving_variance": [
        ("c", Repaired),
        ("C", Plain),
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
        (([0, 0, 0, 6, 0, 0, 0, -6],), "beta is missing"),
        (([1, 1, 1, 3, 1, 1, 1, -1],), "gamma is missing"),
        (([1, 1, 1, 4, 1, 1, 1, -2],), "both pictures"),
        (([1, 1, 1, 6.6125, 1, 1, 1, -4.6125],), "biased"),
        (([1, 1, 1, 5, 1, 1, 1, -3],), "scale, shift"),
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
        ((ln_in_place,), "makes a new one"),
        ((ln_by_mode,), "do not ask for the mode"),
    ],
    "normalized_backward": [
        ((lambda g, x, s, axes: g / s,), "as constants"),
        ((lambda g, x, s, axes: (g - g.mean(axis=axes, keepdims=True)) / s,), "projection"),
        (
            (lambda g, x, s, axes: (g - x * (g * x).mean(axis=axes, keepdims=True)) / s,),
            "The mean of the incoming gradient is missing",
        ),
        ((lambda g, x, s, axes: backward(g, x, s, axes) / s,), "not by its square"),
        ((lambda g, x, s, axes: backward(g, x, s, axes) * s,), "Not divided by std"),
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
        ((lambda g, x, s, axes: backward(g, x, s, 0),), "Three terms"),
    ],
    "largest_rate": [
        ((0.03, 3), "still trains"),
        ((3, 3), "ends in guessing"),
        ((0.3, 0.3), "still trains"),
        ((0.3, 30), "lucky run"),
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
        ((gn, lambda *a: gn_backward(*a)[0]), "return dX, dgamma, dbeta"),
        ((gn, lambda *a: (a[0], *gn_backward(*a)[1:])), "exercise 1.4"),
    ],
    "moving_variance": [
        (("a", Repaired), "at birth"),
        (("c", FromZero), "still there"),
        (("c", LargeEps), "A large epsilon hides"),
        (("c", OwnBatch), "moving averages"),
    ],
    "pooled_axes": [
        (("d", pooled((0, 2, 3))), "many positions"),
        (("b", pooled((0,))), "still there"),
        (("b", pooled((0, 1, 2, 3))), "The channels share a mean"),
        (("b", pooled((2, 3))), "over the examples too"),
        (("b", pooled((0, 2, 3), var_axes=(0,))), "the variance has axes too"),
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
    ],
}
