"""Right and wrong answers to exercises 01. A wrong one comes with a piece of the hint it must get.

Mistakes that a check lists are fed back to it by test_checks.py and are not repeated here.
"""

from d2lutils import batch_norm, batch_norm_backward

from mxnet import autograd, np, npx

from . import layers


def by_channel(values, X):
    return values.reshape((1, -1) + (1,) * (X.ndim - 2))


def all_but_first(X):
    return tuple(range(1, X.ndim))


# --- 1.3 ---


def ln(axes=all_but_first, variance=None, affine=lambda X_hat, g, b: g * X_hat + b):
    """Layer norms that differ in the axes, the variance and what is done with gamma and beta."""

    def layer_norm(X, gamma, beta, eps):
        mean = X.mean(axis=axes(X), keepdims=True)
        var = np.square(X - mean).mean(axis=axes(X), keepdims=True)
        if variance:
            var = variance(X, axes(X))
        return affine((X - mean) / np.sqrt(var + eps), gamma, beta)

    return layer_norm


def ln_by_loop(X, g, b, e):
    rows = []
    for i in range(len(X)):
        mean = X[i].mean()
        rows.append((X[i] - mean) / (((X[i] - mean) ** 2).mean() + e) ** 0.5)
    return by_channel(g, X) * np.stack(rows) + by_channel(b, X)


def ln_flat(inputs, *, gamma, beta, eps):
    flat = inputs.reshape(len(inputs), -1)
    squares = (flat**2).mean(axis=1, keepdims=True) - flat.mean(axis=1, keepdims=True) ** 2
    flat = (flat - flat.mean(axis=1, keepdims=True)) / (squares + eps) ** 0.5
    return flat.reshape(inputs.shape) * gamma + beta


def ln_of_mxnet(X, gamma, beta, eps):
    ones = np.ones(X[0].size)
    flat = npx.layer_norm(X.reshape(len(X), -1), ones, 0 * ones, axis=-1, eps=eps)
    return gamma * flat.reshape(X.shape) + beta


def ln_in_place(X, gamma, beta, eps):
    X -= X.mean(axis=all_but_first(X), keepdims=True)
    return X


def ln_filled(X, gamma, beta, eps):
    Y = np.zeros_like(X)
    for i in range(len(X)):
        Y[i] = ln()(X[i : i + 1], gamma, beta, eps)[0]
    return Y


# --- 1.4 ---


def mean_of(values, axes):
    return values.mean(axis=axes, keepdims=True)


def backward(dX_hat, X_hat, std, axes):
    return (dX_hat - mean_of(dX_hat, axes) - X_hat * mean_of(dX_hat * X_hat, axes)) / std


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
    runs = [X[:, i : i + size] for i in range(0, X.shape[1], size)]
    return np.concatenate([ln()(run, 1, 0, eps) for run in runs], axis=1) * gamma + beta


def gn_in_numpy(X, gamma, beta, groups, eps):
    return gn(X, gamma, beta, groups, eps).asnumpy()


def gn_backward(dY, X, gamma, groups, eps, first=True, line=backward, keepdims=False):
    rows = grouped(X, groups)
    mean = rows.mean(axis=2, keepdims=True)
    std = np.sqrt(((rows - mean) ** 2).mean(axis=2, keepdims=True) + eps)
    rows = (rows - mean) / std
    X_hat = rows.reshape(X.shape)
    scale = by_channel(gamma, X)
    g = grouped(scale * dY if first else dY, groups)
    dX = line(g, rows, std, (2,)).reshape(X.shape)
    dgamma, dbeta = (a.sum(axis=(0, 2, 3), keepdims=keepdims) for a in (dY * X_hat, dY))
    return dX if first else scale * dX, dgamma, dbeta


def divided_by(count):
    """The line of exercise 1.4 with a wrong number of values that share a mean."""

    def line(g, x, s, axes):
        sums = g.sum(axis=axes, keepdims=True) + x * (g * x).sum(axis=axes, keepdims=True)
        return (g - sums / count(x)) / s

    return line


def gn_backward_by_autograd(dY, X, gamma, groups, eps):
    X, gamma, beta = X.copy(), gamma.copy(), np.zeros_like(gamma)
    for v in (X, gamma, beta):
        v.attach_grad()
    with autograd.record():
        Y = gn(X, gamma, beta, groups, eps)
    Y.backward(dY)
    return [X.grad, gamma.grad, beta.grad]


def flat_gamma(*arguments):
    return gn_backward(*arguments, keepdims=True)


def shaped_gamma(*arguments):
    return gn_backward(*arguments, keepdims=False)


# --- 1.7 ---


class FromZero(layers.Formula):
    """The specimen of 1.7a, in other words than the notebook has."""

    def __init__(self, num_features):
        super().__init__(num_features)
        self.var.init = "zeros"


class LargeEps(FromZero):
    def std(self, var):
        return np.sqrt(var + 1)


class HidesTheZero(FromZero):
    """Right as long as nothing was trained."""

    def std(self, var):
        return np.sqrt(np.where(var == 0, np.ones_like(var), var) + 1e-5)


class GammaZero(layers.Kept):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.gamma.init = "zeros"


def pooled(axes=(0, 2, 3), var_axes=None, variance=None, hide=lambda values: values):
    def function(X, gamma, beta, eps):
        mean = X.mean(axis=axes, keepdims=True)
        var = np.square(X - mean).mean(axis=var_axes or axes, keepdims=True)
        if variance:
            var = variance(X, axes)
        return hide(gamma) * (X - mean) / np.sqrt(var + eps) + beta

    return function


def pooled_on_rows(X, gamma, beta, eps):
    rows = X.transpose(1, 0, 2, 3).reshape(X.shape[1], -1)
    mean = rows.mean(axis=1, keepdims=True)
    rows = (rows - mean) / np.sqrt(((rows - mean) ** 2).mean(axis=1, keepdims=True) + eps)
    N, C, H, W = X.shape
    rows = rows.reshape(C, N, H, W).transpose(1, 0, 2, 3)
    return rows * by_channel(gamma, X) + by_channel(beta, X)


def pooled_by_mxnet(X, gamma, beta, eps):
    gamma, beta, C = gamma.reshape(-1), beta.reshape(-1), X.shape[1]
    return npx.batch_norm(X, gamma, beta, np.zeros(C), np.ones(C), eps=eps, fix_gamma=False)


def hidden(mean_of=lambda X: X.mean(axis=0), var_of=None, hide=lambda values: values):
    def function(X, gamma, beta, eps):
        mean = mean_of(X)
        var = (var_of or var_seen)(X, mean)
        return hide(gamma) * (X - mean) / np.sqrt(var + eps) + beta

    return function


def var_seen(X, mean):
    return ((X - mean) ** 2).mean(axis=0)


def mean_hidden(X):
    return X.detach().mean(axis=0)


def mean_hidden_from_var(X, mean):
    return var_seen(X, X.mean(axis=0))


def var_hidden(X, mean):
    return var_seen(X, mean).detach()


def detached(values):
    return values.detach()


RIGHT = {
    "batch_by_hand": [
        ([1, 1, 1, 21, 1, 1, 1, -19],),
        (np.array([[[1, 1], [1, 21]], [[1, 1], [1, -19]]]),),
        ([np.array([1, 1, 1, 21]), np.array([1, 1, 1, -19])],),
    ],
    "what_comes_out": [("c",), (" (C) ",)],
    "layer_norm": [(ln(),), (ln_by_loop,), (ln_flat,), (ln_of_mxnet,)],
    "normalized_backward": [(backward,), (backward_in_numpy,)],
    "largest_rate": [(0.1, 1), (0.09, 0.8), (0.3 / 3, "1.5"), (np.array([0.15]), [1.0])],
    "group_norm": [
        (gn, shaped_gamma),
        (gn_by_loop, gn_backward_by_autograd),
        (gn_in_numpy, flat_gamma),
    ],
    "moving_variance": [("c", layer) for layer in layers.RIGHT],
    "pooled_axes": [
        ("b", pooled()),
        ("b", pooled_on_rows),
        ("b", pooled_by_mxnet),
        ("b", lambda X, g, b, e: batch_norm(X, g, b, 0, 1, e, 0.9)[0]),
    ],
    "hidden_gradient": [
        ("d", hidden()),
        ("d)", lambda X, gamma, beta, eps: batch_norm(X, gamma, beta, 0, 1, eps, 0.9)[0]),
    ],
    "momentum_reversed": [
        ("b", lambda moving, value, momentum: momentum * moving + (1 - momentum) * value),
        ("b", lambda old, new, m: old + (new - old) * (1 - m)),
    ],
}

WRONG = {
    "batch_by_hand": [
        (([0, 0, 0, 2, 0, 0, 0, -2],), "gamma and beta come after"),
        (([1, 1, 1, 19.71, 1, 1, 1, -17.71],), "biased"),
        (([1, 1, 1, 7.32, 1, 1, 1, -5.32],), "gamma is no variance"),
        (([1, 1, 1, 11, 1, 1, 1, -9],), "Average over the positions"),
        (([1, 1, 1, 21, 1, 1, 1, 19],), "Only a sign is wrong"),
        (([21, 1, 1, 1, -19, 1, 1, 1],), "look at the order"),
        (([2, 2, 2, 2, 2, 2, 2, 2],), "scale, shift"),
        (([1, 1, 1, 21, 1, 1, 1],), "Two images of 2 x 2"),
        (([[1, 1], [7]],), "array of numbers"),
    ],
    "what_comes_out": [(("a",), "skewed"), (("b",), "squared"), (("d",), "other way round")],
    "layer_norm": [
        ((ln(lambda X: (0, *range(2, X.ndim))),), "This is batch normalization"),
        ((ln(variance=lambda X, axes: X.var(axis=axes, keepdims=True)),), "hidden from autograd"),
        ((ln(affine=lambda Z, g, b: g.mean() * Z + b.mean()),), "belong to the channels"),
        ((ln(affine=lambda Z, g, b: g.detach() * Z + b),), "back to gamma"),
        ((ln(affine=lambda Z, g, b: g * Z + np.array(b.asnumpy())),), "back to beta"),
        ((lambda X, g, b, e: g * (X - X.mean(axis=1)) + b,), "fits X"),
        ((lambda *a: ln()(*a).asnumpy(),), "That is a NumPy array"),
        ((ln_in_place,), "makes a new one"),
        ((ln_filled,), "no array may be overwritten"),
        ((lambda *a: ln()(*a) * (1 if autograd.is_training() else 2),), "do not ask for the mode"),
        ((lambda X, g, b, e: np.mean(X, dim=1),), "Here it is axis"),
    ],
    "normalized_backward": [
        ((lambda g, x, s, axes: g / s,), "as constants"),
        ((lambda g, x, s, axes: backward(g, x, s, 0),), "`axes` is an argument"),
        ((lambda *a: np.round(backward(*a), 3),), "all digits"),
        ((lambda g, x, s, axes: backward(g, x, s, axes) * (1 + 0.1 * s),), "one by one"),
        (
            (lambda g, x, s, axes: (g - g.mean(axis=axes) - x * (g * x).mean(axis=axes)) / s,),
            "keepdims",
        ),
    ],
    "largest_rate": [
        ((0.03, 1), "A larger rate also trains"),
        ((0.3, 1), "One run is not"),
        ((0.99, 1), "One run is not"),
        ((0.1, 0.1), "A larger rate also trains"),
        ((0.1, 2.99), "One run is not"),
        (([0.1, 0.3], 1), "One number"),
    ],
    "group_norm": [
        ((lambda X, g, b, groups, e: gn(X, g, b, 1, e), gn_backward), "layer norm"),
        ((lambda X, g, b, groups, e: gn(X, g, b, 2, e), gn_backward), "argument `groups`"),
        ((gn, lambda *a: gn_backward(*a, first=False)), "multiply dY by it first"),
        ((gn, lambda *a: gn_backward(*a)[0]), "return dX, dgamma, dbeta"),
        ((gn, lambda *a: gn_backward(*a)[::-1]), "Compare the two shapes"),
        ((gn, lambda *a: tuple(gn_backward(*a)[i] for i in (0, 2, 1))), "Check the order"),
        ((gn, lambda dY, X, g, n, e: gn_backward(dY, X, g, n, 0)), "dgamma sums"),
        ((gn, lambda *a: (a[0], *gn_backward(*a)[1:])), "exercise 1.4"),
        ((gn, lambda *a: gn_backward(*a, line=divided_by(lambda x: len(x) * 6))), "a wrong count"),
        ((gn, lambda *a: gn_backward(*a, line=divided_by(lambda x: 6))), "a wrong count"),
        ((gn, lambda dY, X, *a: batch_norm_backward(dY, X, a[0], a[-1])), "dgamma sums"),
    ],
    "moving_variance": [
        (("a", layers.Kept), "initial values"),
        (("c", FromZero), "still there"),
        (("c", LargeEps), "A large epsilon hides"),
        (("c", HidesTheZero), "still there"),
        (("c", GammaZero), "gamma must start at one"),
        (("c", layers.InPlainArrays), "not what they are"),
        (("c", layers.OwnBatch), "the batch's own mean"),
        (("c", layers.BOTH_MODES), "Recording still decides"),
        (("c", layers.NO_EPS_IN_PREDICTION), "eps has no effect"),
        (("c", layers.StatisticsTrained), "differentiable=False"),
        (("c", layers.InTheClass), "Every new layer starts"),
    ],
    "pooled_axes": [
        (("d", pooled()), "many positions"),
        (("b", pooled((0,))), "still there"),
        (("b", pooled(var_axes=(0,))), "the variance needs the same axes"),
        (
            ("b", pooled(variance=lambda X, axes: X.var(axis=axes, keepdims=True))),
            "hidden from autograd",
        ),
        (("b", pooled(hide=detached)), "back to gamma"),
    ],
    "hidden_gradient": [
        (("a", hidden()), "rate is not the cause"),
        (("d", hidden(mean_hidden, var_hidden)), "still there"),
        (("d", hidden(var_of=var_hidden)), "variance is still hidden"),
        (("d", hidden(mean_hidden, mean_hidden_from_var)), "mean is still"),
        (("d", lambda X, gamma, beta, eps: X), "forward pass was right"),
        (("d", hidden(hide=detached)), "back to gamma"),
    ],
    "momentum_reversed": [
        (("c", lambda a, b, m: m * a + (1 - m) * b), "smoothing that noise"),
        (("b", lambda a, b, m: (1 - m) * a + m * b), "still the weight of the new"),
        (("b", lambda a, b, m: (a + b) / 2), "two weights"),
        (("b", lambda a, b, m: 0.9 * a + 0.1 * b), "not always 0.9"),
        (("b", lambda a, b, m: np.round(m * a + (1 - m) * b, 3)), "all digits"),
        (("b", lambda a, b, m: np.where(a == 0, b, m * a + (1 - m) * b)), "add up to one"),
    ],
}
