"""Right and wrong answers to exercises 02. A wrong one comes with a piece of the hint it must get."""

from d2lutils import batch_norm, batches

import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

from . import layers

# --- 2.3 ---


def merge(means, variances, counts):
    weights = (counts / counts.sum()).reshape(-1, 1)
    mean = (weights * means).sum(axis=0)
    return mean, (weights * (variances + (means - mean) ** 2)).sum(axis=0)


def merge_one_by_one(means, variances, counts):
    """Two at a time, as Chan et al. have it."""
    n, mean, squares = 0, 0, 0
    for m, v, k in zip(means.asnumpy(), variances.asnumpy(), counts.asnumpy()):
        gap = m - mean
        squares = squares + v * k + gap**2 * n * k / (n + k)
        mean = mean + gap * k / (n + k)
        n += k
    return [mean, squares / n]


def merge_in_one_array(means, variances, counts):
    return np.stack(merge(means, variances, counts))


def merge_by_moments(means, variances, counts):
    n = counts.sum().item()
    mean = np.dot(counts, means) / n
    return mean, np.dot(counts, variances + means**2) / n - mean**2


def other_var(var_of):
    """merge, with another variance; var_of(means, variances, weights, mean)."""

    def function(means, variances, counts):
        weights, mean = (counts / counts.sum()).reshape(-1, 1), merge(means, variances, counts)[0]
        return mean, var_of(means, variances, weights, mean)

    return function


def merge_counts_less_one(means, variances, counts):
    mean, var = merge(means, variances, counts)
    return mean, var - variances.sum(axis=0) / counts.sum()


# --- 2.4 ---


def folding(weight, bias, gamma, beta, mean, var, eps):
    scale = gamma / np.sqrt(var + eps)
    return weight * scale.reshape(-1, 1, 1, 1), scale * (bias - mean) + beta


def folding_in_numpy(*arguments):
    w, b, g, s, m, v = (a.asnumpy() for a in arguments[:-1])
    std = (v + arguments[-1]) ** 0.5
    return [numpy.einsum("o,oikl->oikl", g / std, w), s + g * b / std - m * g / std]


def folding_by_loop(weight, bias, gamma, beta, mean, var, eps):
    weight, bias = weight.copy(), bias.copy()
    for i in range(len(bias)):
        factor = gamma[i] / (var[i] + eps) ** 0.5
        weight[i] *= factor
        bias[i] = (bias[i] - mean[i]) * factor + beta[i]
    return weight, bias


def folding_with(scale_of=None, bias_of=None, weight_of=None):
    """folding with a mistake in the scale, the weight or the bias."""

    def function(weight, bias, gamma, beta, mean, var, eps):
        scale = gamma / np.sqrt(var + eps)
        if scale_of:
            scale = scale_of(gamma, var, eps)
        new_bias = scale * (bias - mean) + beta
        if bias_of:
            new_bias = bias_of(scale, bias, mean, beta)
        if weight_of:
            return weight_of(weight, scale), new_bias
        return scale.reshape(-1, 1, 1, 1) * weight, new_bias

    return function


# --- 2.6 ---


def is_norm(layer):
    return isinstance(layer, nn.BatchNorm)


def by_layers(net, X, batch_size):
    """Exact statistics, from front to back."""
    Y = X
    for layer in net:
        if is_norm(layer):
            axes = (0, *range(2, Y.ndim))
            layer.running_mean.set_data(Y.mean(axis=axes))
            layer.running_var.set_data(Y.var(axis=axes))
        Y = layer(Y)
    return net


def by_steps(passes, step=lambda net: None, context=autograd.record):
    """Moving averages of some passes, each in another order."""

    def function(net, X, batch_size):
        for seed in range(passes):
            for rows, _ in batches((X, np.zeros(len(X))), batch_size, seed=seed):
                with context():
                    loss = (net(rows) ** 2).mean()
                loss.backward()
                step(net)
        return net

    return function


def by_cumulative_average(net, X, batch_size):
    """One pass; the momentum is such that all batches weigh the same."""
    norms = [layer for layer in net if is_norm(layer)]
    for k, start in enumerate(range(0, len(X), batch_size)):
        for layer in norms:
            layer._kwargs["momentum"] = k / (k + 1)
        with autograd.record():
            Y = net(X[start : start + batch_size])
        Y.backward()
    for layer in norms:
        layer._kwargs["momentum"] = 0.9
    return net


def by_one_large_batch(net, X, batch_size):
    for _ in range(60):
        with autograd.record():
            Y = net(X)
        Y.backward()
    return net


def momentum_left(net, X, batch_size):
    by_cumulative_average(net, X, batch_size)
    for layer in net:
        if is_norm(layer):
            layer._kwargs["momentum"] = 0.95
    return net


def gradients_left_off(net, X, batch_size):
    net.collect_params().setattr("grad_req", "null")
    return by_layers(net, X, batch_size)


def one_batch_again_and_again(net, X, batch_size):
    return by_one_large_batch(net, X[:batch_size], batch_size)


def batches_of_four(net, X, batch_size):
    return by_steps(1)(net, X[:400], 4)


def by_layers_with(mean_of, var_of):
    """by_layers, writing something else; the functions get the old value and the right one."""

    def function(net, X, batch_size):
        Y = X
        for layer in net:
            if is_norm(layer):
                axes, mean, var = (0, *range(2, Y.ndim)), layer.running_mean, layer.running_var
                mean.set_data(mean_of(mean.data(), Y.mean(axis=axes)))
                var.set_data(var_of(var.data(), Y.var(axis=axes)))
            Y = layer(Y)
        return net

    return function


def forward_only(net, X, batch_size):
    for _ in range(5):
        for start in range(0, len(X), batch_size):
            with autograd.record():
                net(X[start : start + batch_size])
    return net


def first_batches(count, momentum=0.9, last=False):
    def function(net, X, batch_size):
        for layer in net:
            if is_norm(layer):
                layer._kwargs["momentum"] = momentum
        starts = list(range(0, len(X), batch_size))[-count if last else 0 :][:count]
        for start in starts:
            with autograd.record():
                Y = net(X[start : start + batch_size])
            Y.backward()
        return net

    return function


def training_step(net):
    gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01}).step(1)


def new_gamma(net, X, batch_size):
    by_layers(net, X, batch_size)
    for layer in net:
        if is_norm(layer):
            layer.gamma.set_data(np.ones(layer.gamma.shape))
    return net


def by_layers_stale(net, X, batch_size):
    """What reaches each layer is computed with the old statistics of the layers before it."""
    inputs, Y = [], X
    for layer in net:
        inputs.append(Y)
        Y = layer(Y)
    for layer, Y in zip(net, inputs):
        if is_norm(layer):
            axes = (0, *range(2, Y.ndim))
            layer.running_mean.set_data(Y.mean(axis=axes))
            layer.running_var.set_data(Y.var(axis=axes))
    return net


def reset(net, X, batch_size):
    for layer in net:
        if is_norm(layer):
            layer.running_mean.set_data(np.zeros(layer.running_mean.shape))
            layer.running_var.set_data(np.ones(layer.running_var.shape))
    return net


def a_new_net(net, X, batch_size):
    by_layers(net, X, batch_size)
    other = nn.HybridSequential()
    other.add(nn.Dense(3))
    other.initialize()
    return other


# --- 2.7a ---


def predicting(context):
    def function(net, X, batch_size=250):
        with context():
            parts = [net(X[i : i + batch_size]) for i in range(0, len(X), batch_size)]
        return np.concatenate(parts)

    return function


def plain_call(net, X, batch_size):
    return net(X).asnumpy()


def one_by_one(net, X, batch_size):
    return predicting(autograd.record)(net, X, batch_size=1)


def first_batch(net, X, batch_size):
    for start in range(0, len(X), batch_size):
        return net(X[start : start + batch_size])


def overlapping(net, X, batch_size):
    parts = [net(X[start : start + 2 * batch_size]) for start in range(0, len(X), batch_size)]
    return np.concatenate(parts)


def last_batch_first(net, X, batch_size):
    scores = []
    for start in range(0, len(X), batch_size):
        scores.insert(0, net(X[start : start + batch_size]))
    return np.concatenate(scores)


def after_refreshing(net, X, batch_size):
    right = net(X)
    by_steps(1)(net, X, len(X))
    return right


def with_global_statistics(net, X, batch_size):
    for layer in net:
        if is_norm(layer):
            layer._kwargs["use_global_stats"] = True
    return predicting(autograd.record)(net, X, batch_size)


def with_frozen_parameters(net, X, batch_size):
    net.collect_params().setattr("grad_req", "null")
    return net(X)


# --- 2.7d ---


def by_mxnet(X, gamma, beta, moving_mean, moving_var, eps, momentum):
    """The output by MXNet's operator, which has no gradient for the statistics."""
    flat = [array.reshape(-1).copy() for array in (gamma, beta, moving_mean, moving_var)]
    training = autograd.is_training()
    Y = npx.batch_norm(X, *flat, eps=eps, fix_gamma=False, use_global_stats=not training)
    if training:
        _, moving_mean, moving_var = batch_norm(
            X, gamma, beta, moving_mean, moving_var, eps, momentum
        )
    return Y, moving_mean, moving_var


def by_mode(trains):
    """batch_norm with another question for its branch."""

    def function(X, gamma, beta, mean, var, eps, momentum):
        mode = autograd.train_mode if trains() else autograd.predict_mode
        with mode():
            return batch_norm(X, gamma, beta, mean, var, eps, momentum)

    return function


def spelled_out(X, *others):
    *others, eps, m = others
    g, b, mu, v = (values.reshape(-1) for values in others)
    rows = X.transpose(0, 2, 3, 1).reshape(-1, X.shape[1])
    batch_mean = rows.mean(axis=0)
    batch_var = (rows**2).mean(axis=0) - batch_mean**2
    training = autograd.is_training()
    used = (batch_mean, batch_var) if training else (mu, v)
    rows = g * (rows - used[0]) / (used[1] + eps) ** 0.5 + b
    N, C, H, W = X.shape
    if training:
        mu, v = mu + (1 - m) * (batch_mean - mu), v + (1 - m) * (batch_var - v)
    Y = rows.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return [Y, mu.reshape(1, C, 1, 1), v.reshape(1, C, 1, 1)]


def picture_norm(var_of=None, std_of=lambda var, eps: np.sqrt(var + eps)):
    """The repaired specimen, with another variance or divisor."""

    def function(X, gamma, beta, moving_mean, moving_var, eps, momentum):
        axes = (0, 2, 3)
        if autograd.is_training():
            mean = X.mean(axis=axes, keepdims=True)
            var = np.square(X - mean).mean(axis=axes, keepdims=True)
            if var_of:
                var = var_of(X, axes)
            moving_mean = momentum * moving_mean + (1 - momentum) * mean
            moving_var = momentum * moving_var + (1 - momentum) * var
        else:
            mean, var = moving_mean, moving_var
        X_hat = (X - mean) / std_of(var, eps)
        return gamma * X_hat + beta, moving_mean, moving_var

    return function


def prediction_detached(X, *others):
    return batch_norm(X if autograd.is_training() else X.detach() + 0 * X, *others)


def switched_off(*arguments):
    result = batch_norm(*arguments)
    autograd.set_training(False)
    return result


def frozen_averages(X, gamma, beta, mean, var, eps, momentum):
    return batch_norm(X, gamma, beta, mean, var, eps, momentum)[0], mean, var


RIGHT = {
    "running_mean": [(1.9,), (np.array(1.9),)],
    "saliency": [("c",), (" (C) ",)],
    "merged": [(merge,), (merge_one_by_one,), (merge_by_moments,), (merge_in_one_array,)],
    "fold": [(folding,), (folding_in_numpy,), (folding_by_loop,)],
    "smallest_batch": [(3, 1, 2), (3.0, np.array(1), numpy.int64(2))],
    "recalibrated": [
        (by_layers,),
        (by_steps(3),),
        (by_cumulative_average,),
        (by_one_large_batch,),
    ],
    "wrong_alone": [
        ("b", predicting(autograd.predict_mode)),
        ("B", plain_call),
        ("b", predicting(lambda: autograd.record(train_mode=False))),
    ],
    "forgets": [("d", layer) for layer in layers.RIGHT],
    "predicting_changes": [("a", layer) for layer in layers.RIGHT],
    "asks_recording": [
        ("c", batch_norm),
        ("c", spelled_out),
        ("c", picture_norm()),
        ("c", by_mxnet),
    ],
}

WRONG = {
    "running_mean": [
        ((3.439,), "every forward pass in training"),
        ((4.0951,), "the prediction too"),
        ((2.71,), "that has no backward pass"),
        ((1.0,), "One change too few"),
        ((9.9,), "weight of the old value"),
        ((9,), "weight of the old value"),
        ((0.19,), "have mean 10"),
        ((19,), "have mean 10"),
        ((2.0,), "keeps only 0.9"),
        ((10,), "in backward(), whatever"),
    ],
    "saliency": [(("a",), "another score"), (("b",), "plain backward()"), (("d",), "raises")],
    "merged": [
        ((lambda m, v, n: (m.mean(axis=0), merge(m, v, n)[1]),), "not equally large"),
        ((lambda m, v, n: ((n.reshape(-1, 1) * m).sum(axis=0), v[0]),), "number of all values"),
        ((lambda m, v, n: ((n.reshape(-1, 1) * m).mean(axis=0), v[0]),), "number of parts"),
        ((lambda m, v, n: merge(m, v, n)[::-1],), "mean first"),
        ((lambda m, v, n: merge(m, v, n)[0],), "return mean, var"),
        ((lambda m, v, n: (merge(m, v, n)[0], v),), "Compare the two shapes"),
        ((lambda m, v, n: ((n * m).sum(axis=0) / n.sum(), v),), "counts.reshape(-1, 1)"),
        ((other_var(lambda m, v, w, mean: (w * v).sum(axis=0)),), "which adds to the variance"),
        ((other_var(lambda m, v, w, mean: v.mean(axis=0)),), "weight the variances"),
        ((other_var(lambda m, v, w, mean: (w * (m - mean) ** 2).sum(axis=0)),), "within the parts"),
        (
            (other_var(lambda m, v, w, mean: (v + (m - mean) ** 2).mean(axis=0)),),
            "weight both terms",
        ),
        (
            (
                other_var(
                    lambda m, v, w, mean: (
                        (w * v).sum(axis=0) + ((m - m.mean(axis=0)) ** 2).mean(axis=0)
                    )
                ),
            ),
            "spread of the means as well",
        ),
        *(
            ((other_var(var_of),), "spread of the means as well")
            for var_of in (
                lambda m, v, w, mean: (w * v).sum(axis=0) + ((m - mean) ** 2).mean(axis=0),
                lambda m, v, w, mean: (w * v).sum(axis=0) + ((m - mean) ** 2).sum(axis=0),
            )
        ),
        (
            (
                lambda m, v, n: (
                    merge(m, v, n)[0],
                    merge(m, v, n)[1] * n.sum() / (n.sum() - 1),
                ),
            ),
            "biased variance is asked",
        ),
        ((lambda m, v, n: (merge(m, v, n)[0], merge(m, v, n)[1] ** 0.5),), "standard deviation"),
        (
            (
                other_var(
                    lambda m, v, w, mean: (w * (v + (m - m.mean(axis=0)) ** 2)).sum(axis=0),
                ),
            ),
            "in which large parts count more",
        ),
        ((other_var(lambda m, v, w, mean: (w * (v + m**2)).sum(axis=0)),), "is not subtracted"),
        ((merge_counts_less_one,), "counts - 1"),
        ((lambda m, v, n: [np.round(part, 2) for part in merge(m, v, n)],), "all digits"),
    ],
    "fold": [
        ((folding_with(lambda g, v, e: g / np.sqrt(v)),), "eps is not used"),
        ((folding_with(lambda g, v, e: g / np.sqrt(v + 1e-5)),), "eps is not used"),
        ((folding_with(lambda g, v, e: g / v),), "the root of var"),
        ((folding_with(lambda g, v, e: abs(g) / np.sqrt(v + e)),), "can be negative"),
        ((folding_with(lambda g, v, e: g / (np.sqrt(v) + e)),), "under the root"),
        ((folding_with(lambda g, v, e: g / np.sqrt(v) + e),), "under the root"),
        ((folding_with(lambda g, v, e: g / np.sqrt(v + e**2)),), "not its square"),
        ((folding_with(lambda g, v, e: g / (v + e)),), "the root of var"),
        ((folding_with(lambda g, v, e: 1 / np.sqrt(v + e)),), "gamma is missing"),
        ((folding_with(weight_of=lambda w, s: w),), "is unchanged"),
        ((folding_with(weight_of=lambda w, s: s.reshape(1, -1, 1, 1) * w),), "input channels"),
        ((folding_with(weight_of=lambda w, s: s * w),), "kernel's width"),
        ((folding_with(bias_of=lambda s, b, m, beta: s * b + beta),), "running mean is missing"),
        ((folding_with(bias_of=lambda s, b, m, beta: b - s * m + beta),), "scale it"),
        ((folding_with(bias_of=lambda s, b, m, beta: beta - s * m),), "old bias is missing"),
        ((folding_with(bias_of=lambda s, b, m, beta: s * (b - m)),), "beta is missing"),
        ((folding_with(bias_of=lambda s, b, m, beta: s * b - m + beta),), "mean is scaled"),
        ((folding_with(bias_of=lambda s, b, m, beta: s * (b + m) + beta),), "not added"),
        ((folding_with(bias_of=lambda s, b, m, beta: s * (b - m + beta)),), "beta comes last"),
        ((lambda *a: folding(*a)[0],), "return weight, bias"),
        ((lambda *a: [np.round(part, 3) for part in folding(*a)],), "all digits"),
    ],
    "smallest_batch": [
        ((2, 1, 1), "+1 and -1"),
        ((1, 1, 2), "the output is beta"),
        ((3, 2, 2), "Too careful"),
        ((3, 1, 1), "+1 and -1"),
        ((128, 1, 2), "Too careful"),
        ((0, 1, 2), "whole number"),
        ((2.5, 1, 2), "whole number"),
        ((3, 1, [2, 3]), "One number"),
    ],
    "recalibrated": [
        ((forward_only,), "Nothing has changed"),
        ((by_steps(3, context=lambda: autograd.record(train_mode=False)),), "Nothing has changed"),
        ((by_steps(1),), "one pass is 20 steps"),
        ((first_batches(1),), "one step"),
        ((first_batches(20, momentum=0),), "Average over the batches"),
        ((first_batches(1, momentum=0, last=True),), "Average over the batches"),
        ((by_steps(3, training_step),), "no step"),
        ((new_gamma,), "no new initialization"),
        ((by_layers_stale,), "first normalization is right"),
        ((reset,), "of all of X"),
        ((one_batch_again_and_again,), "A few images"),
        ((lambda net, X, n: by_layers(net, X[:n], n),), "A few images"),
        ((batches_of_four,), "smaller than batch_size"),
        ((by_layers_with(lambda old, new: new, lambda old, new: new**0.5),), "not its root"),
        ((by_layers_with(lambda old, new: new, lambda old, new: old),), "still the stale ones"),
        ((by_layers_with(lambda old, new: old, lambda old, new: new),), "means are still stale"),
        ((momentum_left,), "set back what you set"),
        ((gradients_left_off,), "here grad_req"),
        ((lambda net, X, n: by_layers(net, X, n)(X),), "return it"),
        ((a_new_net,), "Return the net that you were given"),
    ],
    "wrong_alone": [
        (("d", plain_call), "in which the images went in"),
        (("b", predicting(autograd.record)), "still there"),
        (("b", predicting(autograd.train_mode)), "still there"),
        (("b", one_by_one), "one by one"),
        (("b", lambda *a: plain_call(*a).argmax(axis=1)), "Compare the two shapes"),
        (("b", first_batch), "Compare the two shapes"),
        (("b", lambda net, X, n: net(X[:n])), "Compare the two shapes"),
        (("b", overlapping), "Compare the two shapes"),
        (("b", last_batch_first), "order of the images"),
        (("b", after_refreshing), "must not change"),
        (("b", with_global_statistics), "set back what you set"),
        (("b", with_frozen_parameters), "set back what you set"),
    ],
    "forgets": [
        (("a", layers.Kept), "parameters, so they are saved"),
        *((("d", layer), word) for layer, word in layers.WRONG),
    ],
    "predicting_changes": [
        (("b", layers.Kept), "not change at all"),
        (("a", layers.formula(moves=lambda self: True)), "Only training may"),
        (("a", layers.formula(moves=lambda self: False)), "do not change"),
        (("a", layers.formula(moves=lambda self: autograd.is_recording())), "Only training may"),
        (("a", layers.MOVES_IN_BOTH_MODES), "not for recording"),
        (("a", layers.NO_EPS_IN_PREDICTION), "eps has no effect"),
        (("a", layers.InPlainArrays), "not saved"),
        (("a", layers.InTheClass), "Every new layer starts"),
    ],
    "asks_recording": [
        (("d", batch_norm), "before it is called"),
        (("c", by_mode(autograd.is_recording)), "still there"),
        (
            ("c", by_mode(lambda: autograd.is_recording() and autograd.is_training())),
            "with or without recording",
        ),
        (("c", by_mode(lambda: autograd.is_recording() or autograd.is_training())), "still there"),
        (("c", by_mode(lambda: False)), "is training mode"),
        (("c", by_mode(lambda: True)), "Outside of training"),
        (("c", by_mode(lambda: autograd.is_training)), "without its brackets"),
        (("c", picture_norm(var_of=lambda X, axes: X.var(axis=axes, keepdims=True))), "var() used"),
        (("c", picture_norm(std_of=lambda var, eps: np.sqrt(var))), "under the root"),
        (("c", picture_norm(std_of=lambda var, eps: np.sqrt(var) + eps)), "under the root"),
        (("c", frozen_averages), "change in training"),
        (("c", prediction_detached), "through the other branch"),
        (("c", switched_off), "switches back at the end"),
    ],
}
