"""Batch normalization as notebook 01 builds it (Ioffe & Szegedy 2015, Algorithms 1 and 2)."""

from mxnet import autograd, np
from mxnet.gluon import nn


def batch_norm(X, gamma, beta, moving_mean, moving_var, eps, momentum):
    """Normalize each channel of X; return the output and both moving averages.

    X: (N, C) or (N, C, H, W), float32 or float64. The other four arrays: (C,). While training,
    mean and variance are those of the batch and the averages move: `momentum` is the weight of
    the old value, the variance is biased (divided by the number of values). In prediction the
    averages are used.
    Source: Ioffe & Szegedy 2015, section 3; momentum and variance as in MXNet.
    """
    by_channel = X.swapaxes(0, 1)  # (C, N) or (C, N, H, W)
    rows = by_channel.reshape(X.shape[1], -1)  # (C, m): a row is what shares a mean
    ones = np.ones_like(rows[0])  # (m,)
    training, m = autograd.is_training(), len(ones)
    mean = np.dot(rows, ones) / m if training else moving_mean
    centred = rows - np.outer(mean, ones)
    var = np.dot(np.square(centred), ones) / m if training else moving_var
    scale = gamma / np.sqrt(var + eps)
    Y = np.outer(scale, ones) * centred + np.outer(beta, ones)
    if training:
        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_var = momentum * moving_var + (1 - momentum) * var
    return Y.reshape(by_channel.shape).swapaxes(0, 1), moving_mean, moving_var


def batch_norm_backward(dY, X, gamma, eps):
    """Gradients of a loss with respect to X, gamma and beta, given dY, that with respect to Y.

    dY, X: (N, C) or (N, C, H, W); gamma: (C,). Training mode: the batch's own statistics.
    Source: Ioffe & Szegedy 2015, section 3, simplified; notebook 01 derives it.
    """
    axes = (0, *range(2, X.ndim))
    shape = (1, -1) + (1,) * (X.ndim - 2)
    centred = X - X.mean(axis=axes, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=axes, keepdims=True) + eps)
    X_hat = centred / std
    dgamma = (dY * X_hat).sum(axis=axes)
    dbeta = dY.sum(axis=axes)
    m = X.size // X.shape[1]  # values in a channel
    projected = (dbeta.reshape(shape) + X_hat * dgamma.reshape(shape)) / m
    return gamma.reshape(shape) / std * (dY - projected), dgamma, dbeta


class BatchNorm(nn.Block):
    """`batch_norm` with parameters and running statistics, all of them saved, cast and moved.

    num_features: the number of channels C. num_dims: 2 for inputs (N, C), 4 for (N, C, H, W).
    Raises ValueError for another num_dims and for an input of another shape.
    """

    def __init__(self, num_features, num_dims, eps=1e-5, momentum=0.9):
        super().__init__()
        if num_dims not in (2, 4):
            raise ValueError(f"num_dims must be 2 (dense) or 4 (convolution), not {num_dims!r}.")
        self.num_dims, self.eps, self.momentum = num_dims, eps, momentum
        shape = (num_features,)
        fixed = {"shape": shape, "differentiable": False}
        self.gamma = self.params.get("gamma", shape=shape, init="ones")
        self.beta = self.params.get("beta", shape=shape, init="zeros")
        self.moving_mean = self.params.get("moving_mean", init="zeros", **fixed)
        self.moving_var = self.params.get("moving_var", init="ones", **fixed)

    def forward(self, X):
        C = self.gamma.shape[0]
        if X.ndim != self.num_dims or X.shape[1] != C:
            expected = f"(N, {C})" if self.num_dims == 2 else f"(N, {C}, H, W)"
            raise ValueError(f"BatchNorm expects an input of shape {expected}, not {X.shape}.")
        parameters = (self.gamma, self.beta, self.moving_mean, self.moving_var)
        gamma, beta, mean, var = (p.data(X.ctx).as_np_ndarray() for p in parameters)
        Y, new_mean, new_var = batch_norm(X, gamma, beta, mean, var, self.eps, self.momentum)
        if autograd.is_training():
            with autograd.pause():  # bookkeeping, not part of the gradient
                mean[:], var[:] = new_mean, new_var
        return Y
