"""Normalization and its gradients in float64, as the formulas have them: the checks' reference."""

import numpy
from mxnet import np


def float64(values):
    """Numbers from MXNet, NumPy or Python as a NumPy array in float64."""
    return numpy.asarray(values.asnumpy() if hasattr(values, "asnumpy") else values, "float64")


def single(array):
    """A NumPy array as an MXNet array in float32."""
    return np.array(array, dtype="float32")


def channel_shape(X):
    """(1, C) or (1, C, 1, 1): the shape of an array with one number for each channel of X."""
    return (1, X.shape[1]) + (1,) * (X.ndim - 2)


def per_channel(values, X):
    """Values of any shape, one for each channel of X, in the shape (1, C) or (1, C, 1, 1)."""
    return float64(values).reshape(channel_shape(X))


def normalize(X, axes, eps=1e-5):
    """X normalized over the axes, and its divisor sqrt(var + eps), both in float64."""
    X = float64(X)
    std = numpy.sqrt(X.var(axis=axes, keepdims=True) + eps)
    return (X - X.mean(axis=axes, keepdims=True)) / std, std


def affine(X_hat, gamma, beta):
    return per_channel(gamma, X_hat) * X_hat + per_channel(beta, X_hat)


def backward(g, X_hat, std, axes):
    """The gradient with respect to X, given g, the gradient with respect to X_hat."""
    mean = g.mean(axis=axes, keepdims=True)
    return (g - mean - X_hat * (g * X_hat).mean(axis=axes, keepdims=True)) / std


def gradients(dY, X_hat, std, axes, gamma):
    """The gradients with respect to X, gamma and beta, given dY, that with respect to the output
    gamma * X_hat + beta."""
    dY, batch = float64(dY), (0, *range(2, X_hat.ndim))
    dX = backward(per_channel(gamma, X_hat) * dY, X_hat, std, axes)
    shape = channel_shape(X_hat)
    return dX, (dY * X_hat).sum(axis=batch).reshape(shape), dY.sum(axis=batch).reshape(shape)


def flat(gradients):
    """All arrays of a dictionary of lists in one, in an order that depends on its keys alone."""
    return numpy.concatenate([a for key in sorted(gradients, key=str) for a in gradients[key]])
