"""Batch normalization as notebook 01 builds it (Ioffe & Szegedy 2015, Algorithms 1 and 2), other
normalizations, and `make_norm`, through which a network gets its normalization."""

import inspect

from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn


def batch_norm(X, gamma, beta, moving_mean, moving_var, eps, momentum):
    """Normalize each channel of X; return the output, the running mean and the running variance.

    X: (N, C) or (N, C, H, W), of any floating-point type (float16 if a channel has fewer than
    65,504 numbers). The other four arrays have X's type and the shape (1, C) or (1, C, 1, 1).
    In training mode, mean and variance are those of the batch, and the running statistics are
    updated: `momentum` is the weight of the old value, and the variance is biased (divided by the
    number of values). In prediction mode, the running statistics are used instead.
    Source: Ioffe & Szegedy 2015, section 3; momentum and variance as in MXNet.
    """
    axes = (0, *range(2, X.ndim))  # every axis but the channels'
    if autograd.is_training():
        mean = X.mean(axis=axes, keepdims=True)
        var = np.square(X - mean).mean(axis=axes, keepdims=True)  # faster than ** 2
        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_var = momentum * moving_var + (1 - momentum) * var
    else:
        mean, var = moving_mean, moving_var
    X_hat = (X - mean) / np.sqrt(var + eps)
    return gamma * X_hat + beta, moving_mean, moving_var


def batch_norm_backward(dY, X, gamma, eps):
    """Gradients of a loss with respect to X, gamma and beta, given dY, that with respect to Y.

    dY, X: (N, C) or (N, C, H, W); gamma, its gradient and beta's: (1, C) or (1, C, 1, 1).
    For training mode, where the batch's own statistics are used.
    Source: Ioffe & Szegedy 2015, section 3, simplified; notebook 01 derives it.
    """
    axes = (0, *range(2, X.ndim))
    mean = X.mean(axis=axes, keepdims=True)
    var = np.square(X - mean).mean(axis=axes, keepdims=True)
    X_hat = (X - mean) / np.sqrt(var + eps)
    dbeta = dY.sum(axis=axes, keepdims=True)
    dgamma = (dY * X_hat).sum(axis=axes, keepdims=True)
    m = X.size // X.shape[1]  # numbers that share a mean
    dX = gamma / np.sqrt(var + eps) * (dY - dbeta / m - X_hat * dgamma / m)
    return dX, dgamma, dbeta


class BatchNorm(nn.Block):
    """`batch_norm` as a layer: parameters and running statistics are saved, cast and moved with it.

    num_features: the number of channels C. num_dims: 2 for inputs (N, C), 4 for (N, C, H, W).
    Raises ValueError for another num_dims, for an eps or momentum that makes no sense, and for an
    input of another shape.
    """

    def __init__(self, num_features, num_dims, eps=1e-5, momentum=0.9):
        super().__init__()
        if num_dims not in (2, 4):
            raise ValueError(f"num_dims must be 2 (dense) or 4 (convolution), not {num_dims!r}.")
        if not (eps >= 0 and 0 <= momentum <= 1):
            raise ValueError(f"eps must be >= 0, momentum in [0, 1], not {eps} and {momentum}.")
        self.eps, self.momentum = eps, momentum
        shape = (1, num_features) + (1,) * (num_dims - 2)
        fixed = {"shape": shape, "differentiable": False}
        self.gamma = self.params.get("gamma", shape=shape, init="ones")
        self.beta = self.params.get("beta", shape=shape, init="zeros")
        self.moving_mean = self.params.get("moving_mean", init="zeros", **fixed)
        self.moving_var = self.params.get("moving_var", init="ones", **fixed)

    def forward(self, X):
        _, C, *positions = self.gamma.shape  # what the shape of X must fit
        if X.ndim != len(self.gamma.shape) or X.shape[1] != C:
            expected = f"(N, {C}, H, W)" if positions else f"(N, {C})"
            raise ValueError(f"BatchNorm expects an input of shape {expected}, not {X.shape}.")
        parameters = (self.gamma, self.beta, self.moving_mean, self.moving_var)
        gamma, beta, mean, var = (p.data(X.ctx).as_np_ndarray() for p in parameters)
        Y, new_mean, new_var = batch_norm(X, gamma, beta, mean, var, self.eps, self.momentum)
        with autograd.pause():  # bookkeeping, not part of the gradient
            mean[:], var[:] = new_mean, new_var
        return Y

    def __repr__(self):
        shape = tuple(self.gamma.shape)
        return f"BatchNorm({shape[1]}, num_dims={len(shape)}, eps={self.eps}, momentum={self.momentum})"


def load_parameters(net, path):
    """Load a file written by `save_parameters` into `net`; either may use our layer or Gluon's.

    nn.BatchNorm keeps the same four arrays as `BatchNorm`, but with shape (C,), and calls two of
    them running_mean and running_var. Everything else must agree. Call net on an input first.
    Raises ValueError, and loads nothing, if the file belongs to another net.
    """

    def common(name):
        return name.replace("running_", "moving_")

    parameters = {common(name): p for name, p in net._collect_params_with_prefix().items()}
    values = {common(name): value for name, value in npx.load(path).items()}
    shapes = {name: p.data().squeeze().shape for name, p in parameters.items()}
    if shapes != {name: value.squeeze().shape for name, value in values.items()}:
        wrong = sorted(shapes.keys() ^ values.keys()) or "the shapes"
        raise ValueError(f"This file belongs to another net, nothing was loaded: compare {wrong}.")
    for name, p in parameters.items():
        p.set_data(values[name].reshape(p.shape))


def normalize(X, axes, eps=1e-5, center=True):
    """Subtract the mean of X over `axes`, then divide by the root of (mean square + eps).

    X: an array of any shape; the result has the same. axes: a tuple. For images (N, C, H, W), batch
    normalization takes (0, 2, 3), layer normalization (1, 2, 3), instance normalization (2, 3).
    With center=False the mean stays, as in RMS normalization (Zhang & Sennrich 2019).
    """
    if center:
        X = X - X.mean(axis=axes, keepdims=True)
    mean_square = np.square(X).mean(axis=axes, keepdims=True)  # of centred numbers: the variance
    return X / np.sqrt(mean_square + eps)


class GroupNorm(nn.Block):
    """Normalize groups of channels within each image (N, C, H, W); with one group, layer norm.

    num_groups must divide num_channels, or ValueError is raised. MXNet's fast batch normalization
    does the work twice: first it treats each group of each image as a channel; then, frozen at
    mean 0 and variance 1, it applies gamma and beta, both (C,).
    Source: Wu & He 2018, section 3. (Gluon's own layer has one gamma per group and no NumPy
    interface.)
    """

    def __init__(self, num_channels, num_groups=1, eps=1e-5):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"{num_channels} channels cannot be split into {num_groups} equal groups."
            )
        self.num_groups, self.eps = num_groups, eps
        self.gamma = self.params.get("gamma", shape=(num_channels,), init="ones")
        self.beta = self.params.get("beta", shape=(num_channels,), init="zeros")

    def forward(self, X):
        rows = X.shape[0] * self.num_groups
        zero, one = np.zeros(rows, ctx=X.ctx), np.ones(rows, ctx=X.ctx)
        with autograd.train_mode():  # always with the statistics of its own input
            Z = X.reshape(1, rows, -1)
            Y = npx.batch_norm(Z, one, zero, zero.copy(), one.copy(), eps=self.eps)
        channels = X.shape[1]
        zero, one = np.zeros(channels, ctx=X.ctx), np.ones(channels, ctx=X.ctx)
        affine = {"eps": 0, "fix_gamma": False, "use_global_stats": True}
        gamma, beta = self.gamma.data(X.ctx), self.beta.data(X.ctx)
        return npx.batch_norm(Y.reshape(X.shape), gamma, beta, zero, one, **affine)


class Noise(nn.Block):
    """In training mode, scale and shift each channel of each image at random, anew at each call.

    The means of scale and shift change from step to step too, so no layer sees the same
    distribution twice.
    Source: Santurkar et al. 2018, section 2.1 and its appendix on noise.
    """

    def forward(self, X):  # (N, C, H, W)
        if not autograd.is_training():
            return X
        channels = (1, X.shape[1], 1, 1)
        shift, scale = np.random.uniform(-0.5, 0.5, channels), np.random.uniform(1, 1.25, channels)
        images = (*X.shape[:2], 1, 1)
        shift = shift + np.random.uniform(-0.1, 0.1, images)
        scale = scale + 0.1 * np.random.normal(0, 1, images)
        return X * scale.as_in_ctx(X.ctx) + shift.as_in_ctx(X.ctx)


def make_norm(norm, num_features, num_dims):
    """Make a layer with `norm`, for inputs (N, num_features), or (N, num_features, H, W).

    num_dims: 2 or 4, the number of axes of that input.
    norm: a class or function that takes num_features and num_dims, num_features alone, or nothing,
    such as `BatchNorm`, `GroupNorm` and `nn.BatchNorm`. Other arguments keep their defaults.
    Raises ValueError if norm makes no layer, or is a layer itself.
    """
    cure = "norm must be a class or function that makes a layer, such as nn.BatchNorm (without ())"
    if isinstance(norm, gluon.Block) or not callable(norm):
        raise ValueError(f"{cure}, not {norm!r}.")
    asked = [p for p in inspect.signature(norm).parameters.values() if p.default is p.empty]
    asked = [p for p in asked if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    layer = norm(*(num_features, num_dims)[: len(asked)])
    if not isinstance(layer, gluon.Block):
        raise ValueError(f"{cure}; this one made {layer!r}.")
    return layer
