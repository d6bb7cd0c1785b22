"""`batch_norm`, its gradient and its layer against NumPy, autograd, finite differences and Gluon."""

from d2lutils import BatchNorm, batch_norm, batch_norm_backward, lenet
from d2lutils.norm import GroupNorm, load_parameters, make_norm, normalize

import mxnet as mx
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet import autograd, gluon, np
from mxnet.gluon import nn

EPS = 1e-5
sizes = st.tuples(st.integers(2, 9), st.integers(1, 5))
images = st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
shapes = sizes | images
seeds = st.integers(0, 2**32 - 1)
SHAPES = [(8, 5), (4, 5, 3, 2)]


def broadcast(shape):
    """The shape of gamma, beta and the averages for an X of this shape."""
    return (1, shape[1]) + (1,) * (len(shape) - 2)


def algorithm_1(X, gamma, beta, eps):
    """Ioffe & Szegedy 2015, Algorithm 1, one channel after the other; output, means, variances."""
    Y, means, variances = numpy.empty_like(X), [], []
    gamma, beta = gamma.ravel(), beta.ravel()
    for c in range(X.shape[1]):
        x = X[:, c].ravel()
        m = len(x)
        mean = sum(x) / m
        variance = sum((x - mean) ** 2) / m
        x_hat = (X[:, c] - mean) / (variance + eps) ** 0.5
        Y[:, c] = gamma[c] * x_hat + beta[c]
        means.append(mean)
        variances.append(variance)
    return Y, numpy.reshape(means, broadcast(X.shape)), numpy.reshape(variances, broadcast(X.shape))


def draw(shape, seed=0):
    """X with a mean and a spread of its own in each channel, and gamma, beta, mean, variance."""
    rng = numpy.random.default_rng(seed)
    broad = broadcast(shape)
    X = rng.normal(size=shape) * rng.uniform(0.5, 3, broad) + rng.normal(size=broad) * 5
    gamma, beta = rng.uniform(-2, 2, broad), rng.normal(size=broad)
    return X, gamma, beta, rng.normal(size=broad), rng.uniform(0.1, 4, broad)


def arrays(*values, dtype="float64"):
    return [np.array(value, dtype=dtype) for value in values]


def run(X, gamma, beta, mean, var, eps=EPS, momentum=0.9, training=True):
    """`batch_norm` in float64 on NumPy arrays, in training or prediction mode."""
    with autograd.train_mode() if training else autograd.predict_mode():
        results = batch_norm(*arrays(X, gamma, beta, mean, var), eps, momentum)
    assert all(result.dtype == "float64" for result in results)
    return [result.asnumpy() for result in results]


def close(a, b, bound=1e-10):
    """Equal shapes, and values equal up to `bound` of the largest."""
    a, b = (v if isinstance(v, numpy.ndarray) else v.asnumpy() for v in (a, b))
    return a.shape == b.shape and numpy.abs(a - b).max() <= bound * max(1, numpy.abs(b).max())


# --- the function ---


@given(shapes, seeds, st.sampled_from([0.0, 1e-5, 0.1]))
def test_training_is_algorithm_1(shape, seed, eps):
    state = draw(shape, seed)
    expected, *_ = algorithm_1(*state[:3], eps)
    assert close(run(*state, eps=eps)[0], expected, 1e-7)


@given(shapes, seeds, st.floats(0, 1, allow_subnormal=False))  # MXNet reads no such scalar
def test_momentum_weighs_the_old_average_and_the_variance_is_biased(shape, seed, momentum):
    X, gamma, beta, old_mean, old_var = draw(shape, seed)
    _, mean, var = algorithm_1(X, gamma, beta, EPS)
    _, new_mean, new_var = run(X, gamma, beta, old_mean, old_var, momentum=momentum)
    assert close(new_mean, momentum * old_mean + (1 - momentum) * mean)
    assert close(new_var, momentum * old_var + (1 - momentum) * var)


@given(shapes, seeds)
def test_each_channel_comes_out_with_mean_beta_and_deviation_gamma(shape, seed):
    X, gamma, beta, *averages = draw(shape, seed)
    Y, *_ = run(X, gamma, beta, *averages, eps=0)
    pooled = (0, *range(2, len(shape)))
    assert close(Y.mean(axis=pooled, keepdims=True), beta, 1e-7)
    assert close(Y.std(axis=pooled, keepdims=True), numpy.abs(gamma), 1e-7)


@given(
    shapes,
    seeds,
    st.floats(0.01, 100) | st.floats(-100, -0.01),
    st.floats(-100, 100),
    st.booleans(),
)
def test_scale_and_shift_of_the_input_do_not_show(shape, seed, scale, shift, with_eps):
    X, *state = draw(shape, seed)
    Y, *_ = run(X, *state, eps=0)
    gamma, beta, *_ = state
    if with_eps:  # eps scaled along with the variance
        Y, *_ = run(X, *state, eps=EPS / scale**2)
        moved, *_ = run(scale * X + shift, *state, eps=EPS)
    else:
        moved, *_ = run(scale * X + shift, *state, eps=0)
    turned = numpy.sign(scale) * (Y - beta) + beta
    assert close(moved, turned, 1e-5)


@given(shapes, seeds)
def test_channels_do_not_meet(shape, seed):
    X, *state = draw(shape, seed)
    Y, *averages = run(X, *state)
    for c in range(shape[1]):
        channel = slice(c, c + 1)
        alone = run(X[:, channel], *(value[:, channel] for value in state))
        assert close(Y[:, channel], alone[0])
        assert all(close(value[:, channel], one) for value, one in zip(averages, alone[1:]))


@given(shapes, seeds)
def test_prediction_uses_the_averages_and_leaves_them(shape, seed):
    X, gamma, beta, mean, var = draw(shape, seed)
    Y, same_mean, same_var = run(X, gamma, beta, mean, var, training=False)
    assert close(Y, gamma * (X - mean) / numpy.sqrt(var + EPS) + beta)
    assert (same_mean == mean).all() and (same_var == var).all()


@given(shapes, seeds)
def test_prediction_does_not_depend_on_companions(shape, seed):
    X, *state = draw(shape, seed)
    together, *_ = run(X, *state, training=False)
    alone = [run(X[i : i + 1], *state, training=False)[0] for i in range(len(X))]
    assert (together == numpy.concatenate(alone)).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype, bound", [("float16", 2e-2), ("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_type_of_number_stays_itself(shape, dtype, bound, training):
    state = draw(shape)
    exact = run(*state, training=training)
    variables = arrays(*state, dtype=dtype)
    for variable in variables[:3]:
        variable.attach_grad()
    with autograd.record(train_mode=training):
        results = batch_norm(*variables, EPS, 0.9)
    results[0].backward(train_mode=training)
    assert all(result.dtype == dtype for result in results)
    assert all(variable.grad.dtype == dtype for variable in variables[:3])
    assert all(close(a.astype("float64"), b, bound) for a, b in zip(results, exact))
    gradients = batch_norm_backward(variables[0], *variables[:2], EPS)
    assert all(gradient.dtype == dtype for gradient in gradients)


@pytest.mark.parametrize("training", [True, False])
def test_the_arguments_stay_as_they_are(training):
    state = arrays(*draw((4, 3)))
    copies = [value.copy() for value in state]
    with autograd.train_mode() if training else autograd.predict_mode():
        batch_norm(*state, EPS, 0.9)
    assert all((value == copy).all() for value, copy in zip(state, copies))


# --- its gradient ---


def by_autograd(dY, X, gamma, beta):
    variables = arrays(X, gamma, beta)
    for variable in variables:
        variable.attach_grad()
    zero, one = arrays(numpy.zeros_like(gamma), numpy.ones_like(gamma))
    with autograd.record():
        Y, *_ = batch_norm(*variables, zero, one, EPS, 0.9)
    Y.backward(*arrays(dY))
    return [variable.grad for variable in variables]


@given(shapes, seeds)
def test_the_formula_is_what_autograd_finds(shape, seed):
    X, gamma, beta, *_ = draw(shape, seed)
    dY = numpy.random.default_rng(seed + 1).normal(size=shape)
    formula = batch_norm_backward(*arrays(dY, X, gamma), EPS)
    for ours, theirs in zip(formula, by_autograd(dY, X, gamma, beta)):
        assert close(ours, theirs, 1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_formula_is_what_finite_differences_find(shape):
    values = list(draw(shape)[:3])
    dY = numpy.random.default_rng(1).normal(size=shape)
    formula = batch_norm_backward(*arrays(dY, *values[:2]), EPS)
    for which, gradient in enumerate(formula):
        numeric, h = numpy.empty_like(values[which]), 1e-5
        for index in numpy.ndindex(numeric.shape):
            sides = []
            for step in (h, -h):
                moved = [value.copy() for value in values]
                moved[which][index] += step
                sides.append((dY * algorithm_1(*moved, EPS)[0]).sum())
            numeric[index] = (sides[0] - sides[1]) / (2 * h)
        assert close(gradient, numeric, 1e-7)


@given(shapes, seeds)
def test_the_gradient_sums_to_zero_and_is_orthogonal_to_the_output(shape, seed):
    X, gamma, _, *_ = draw(shape, seed)
    dY = numpy.random.default_rng(seed + 1).normal(size=shape)
    dX, *_ = batch_norm_backward(*arrays(dY, X, gamma), 0.0)
    dX, pooled = dX.asnumpy(), (0, *range(2, len(shape)))
    size = numpy.abs(dX).max() + 1
    assert numpy.abs(dX.sum(axis=pooled)).max() < 1e-9 * size
    centred = X - X.mean(axis=pooled, keepdims=True)
    assert numpy.abs((dX * centred).sum(axis=pooled)).max() < 1e-6 * size


# --- the layer ---


def layer_like(shape, dtype="float64", **settings):
    layer = BatchNorm(shape[1], len(shape), **settings)
    layer.initialize()
    layer.cast(dtype)
    return layer


def statistics(layer):
    names = ("gamma", "beta", "moving_mean", "moving_var", "running_mean", "running_var")
    found = [getattr(layer, name, None) for name in names]
    return [p.data().asnumpy() for p in found if p is not None]


def flat(arrays):
    """Ours (1, C, ...) and Gluon's (C,) as (C,)."""
    return [array.reshape(-1) for array in arrays]


def test_a_new_layer_changes_nothing_but_eps():
    layer = layer_like((4, 3))
    gamma, beta, mean, var = statistics(layer)
    assert (gamma == 1).all() and (beta == 0).all() and (mean == 0).all() and (var == 1).all()
    assert (layer.eps, layer.momentum) == (1e-5, 0.9)
    X = draw((4, 3))[0]
    assert close(layer(*arrays(X)), X / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("eps", "momentum", "bound"),
    [
        (1e-5, 0.9, 1e-6),
        (0.01, 0.75, 1e-9),
    ],  # Gluon keeps the momentum in float32, where 0.9 is not
)
def test_it_is_gluons_layer_over_several_steps(shape, eps, momentum, bound):
    ours = layer_like(shape, eps=eps, momentum=momentum)
    theirs = nn.BatchNorm(in_channels=shape[1], epsilon=eps, momentum=momentum)
    theirs.initialize()
    theirs.cast("float64")
    nets = (ours, theirs)
    trainers = [gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5}) for net in nets]
    for step in range(5):
        found = []
        for net, trainer in zip(nets, trainers):
            (X,) = arrays(draw(shape, seed=step)[0])
            X.attach_grad()
            with autograd.record():
                Y = net(X)
                loss = (Y**3).mean()
            loss.backward()
            trained = [Y, X.grad, *flat([net.gamma.grad(), net.beta.grad()])]
            trainer.step(1)
            mx.npx.waitall()  # Gluon's statistics move in backward
            found.append((trained, [*flat(statistics(net)), net(X)]))
        (ours_now, ours_after), (theirs_now, theirs_after) = found
        assert len(ours_after) == len(theirs_after) == 5
        assert all(close(a, b, 1e-9) for a, b in zip(ours_now, theirs_now))
        assert all(close(a, b, bound) for a, b in zip(ours_after, theirs_after))


def test_the_statistics_move_in_training_mode_only():
    layer = layer_like((6, 3))
    (X,) = arrays(draw((6, 3))[0])
    layer(X)
    with autograd.record(train_mode=False):
        layer(X)
    assert (layer.moving_mean.data() == 0).all() and (layer.moving_var.data() == 1).all()
    for mode in (autograd.record, autograd.train_mode):
        before = statistics(layer)
        with mode():
            layer(X)
        _, mean, var = algorithm_1(X.asnumpy(), *before[:2], EPS)
        assert close(layer.moving_mean.data(), 0.9 * before[2] + 0.1 * mean)
        assert close(layer.moving_var.data(), 0.9 * before[3] + 0.1 * var)


def test_the_statistics_are_parameters_that_nobody_trains():
    layer = layer_like((4, 3))
    parameters = layer.collect_params().values()
    kinds = {p.name.removeprefix(layer.prefix): p.grad_req for p in parameters}
    fixed = {"moving_mean": "null", "moving_var": "null"}
    assert kinds == {"gamma": "write", "beta": "write"} | fixed
    trainer = gluon.Trainer(layer.collect_params(), "sgd", {"learning_rate": 1.0, "wd": 0.1})
    with autograd.record():
        loss = (layer(*arrays(draw((4, 3))[0])) ** 3).sum()
    loss.backward()
    before = statistics(layer)
    trainer.step(1)
    changed = [(a != b).any() for a, b in zip(statistics(layer), before)]
    assert changed == [True, True, False, False]


def trained(shape):
    """A layer whose four parameters are no longer what they were."""
    layer = layer_like(shape, "float32")
    layer.gamma.set_data(np.arange(1, shape[1] + 1).reshape(broadcast(shape)))
    layer.beta.set_data(np.arange(shape[1]).reshape(broadcast(shape)))
    with autograd.train_mode():
        layer(*arrays(draw(shape)[0], dtype="float32"))
    return layer


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("initialized", [True, False])
def test_everything_is_saved_and_loaded_with_a_network(tmp_path, shape, initialized):
    net, fresh = nn.Sequential(), nn.Sequential()
    net.add(trained(shape))
    fresh.add(BatchNorm(shape[1], len(shape)))
    if initialized:
        fresh.initialize()
    net.save_parameters(str(tmp_path / "net"))
    fresh.load_parameters(str(tmp_path / "net"))
    assert all((a == b).all() for a, b in zip(statistics(fresh[0]), statistics(net[0])))
    (X,) = arrays(draw(shape, seed=1)[0], dtype="float32")
    assert (fresh(X) == net(X)).all()
    with autograd.train_mode():
        assert (fresh(X) == net(X)).all()
    assert all((a == b).all() for a, b in zip(statistics(fresh[0]), statistics(net[0])))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_alone_is_loaded_into_one_never_initialized(tmp_path, shape):
    layer, fresh = trained(shape), BatchNorm(shape[1], len(shape))
    layer.save_parameters(str(tmp_path / "layer"))
    fresh.load_parameters(str(tmp_path / "layer"))
    (X,) = arrays(draw(shape, seed=1)[0], dtype="float32")
    assert (fresh(X) == layer(X)).all()


@pytest.mark.parametrize("dtype, bound", [("float16", 2e-2), ("float64", 1e-5)])
def test_everything_is_cast(dtype, bound):
    layer = trained((4, 3))
    (X,) = arrays(draw((4, 3))[0], dtype="float32")
    expected = layer(X)
    layer.cast(dtype)
    assert all(p.data().dtype == dtype for p in layer.collect_params().values())
    with autograd.train_mode():
        assert layer(X.astype(dtype)).dtype == dtype
    assert layer.moving_var.data().dtype == dtype
    layer = trained((4, 3))
    layer.cast(dtype)
    assert close(layer(X.astype(dtype)).astype("float32"), expected, bound)


def test_everything_moves_to_another_device():
    layer, device = trained((4, 3)), mx.cpu(1)
    (X,) = arrays(draw((4, 3))[0], dtype="float32")
    expected = layer(X)
    layer.collect_params().reset_ctx(device)
    assert all(p.list_ctx() == [device] for p in layer.collect_params().values())
    assert layer(X.as_in_ctx(device)).ctx == device
    assert (layer(X.as_in_ctx(device)).as_in_ctx(mx.cpu()) == expected).all()
    with autograd.train_mode():
        layer(X.as_in_ctx(device))
    assert layer.moving_mean.data().ctx == device


@pytest.mark.parametrize("num_dims", [1, 3, 5, None])
def test_another_number_of_dimensions_is_refused(num_dims):
    with pytest.raises(ValueError, match=rf"num_dims must be 2 .* or 4 .*, not {num_dims}\."):
        BatchNorm(3, num_dims)


@pytest.mark.parametrize(("eps", "momentum"), [(-1e-5, 0.9), (1e-5, 1.1), (1e-5, -0.1)])
def test_settings_that_make_no_sense_are_refused(eps, momentum):
    with pytest.raises(ValueError, match=rf"not {eps} and {momentum}\."):
        BatchNorm(3, 4, eps, momentum)


@pytest.mark.parametrize(
    ("num_dims", "shape", "expected"),
    [
        (2, (4, 7), "(N, 3), not (4, 7)"),
        (2, (4, 3, 2, 2), "(N, 3), not (4, 3, 2, 2)"),
        (4, (4, 3), "(N, 3, H, W), not (4, 3)"),
        (4, (4, 2, 3, 3), "(N, 3, H, W), not (4, 2, 3, 3)"),
    ],
)
def test_an_input_of_another_shape_is_refused(num_dims, shape, expected):
    layer = BatchNorm(3, num_dims)
    layer.initialize()
    with pytest.raises(ValueError) as caught:
        layer(np.ones(shape))
    assert str(caught.value) == f"BatchNorm expects an input of shape {expected}."


def test_it_prints_what_it_is():
    net = nn.Sequential()
    net.add(BatchNorm(6, num_dims=4), BatchNorm(84, num_dims=2, momentum=0.5))
    assert "(0): BatchNorm(6, num_dims=4, eps=1e-05, momentum=0.9)" in str(net)
    assert "(1): BatchNorm(84, num_dims=2, eps=1e-05, momentum=0.5)" in str(net)


# --- any axes ---

AXES = [(0, 2, 3), (1, 2, 3), (2, 3), (3,)]


@pytest.mark.parametrize("axes", AXES)
@given(images, seeds, st.booleans())
def test_numbers_that_share_a_mean_are_normalized_together(axes, shape, seed, center):
    X = numpy.random.default_rng(seed).normal(1, 2, shape)
    expected, kept = numpy.empty_like(X), [a for a in range(4) if a not in axes]
    for index in numpy.ndindex(*(shape[a] for a in kept)):
        group = [slice(None)] * 4
        for axis, i in zip(kept, index):
            group[axis] = i
        values = X[tuple(group)]
        values = values - values.mean() if center else values
        expected[tuple(group)] = values / numpy.sqrt((values**2).mean() + EPS)
    (Y,) = arrays(X)
    assert close(normalize(Y, axes, EPS, center), expected, 1e-7) and (Y.asnumpy() == X).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_over_images_and_positions_it_is_batch_norm_with_its_gradient(shape):
    X, *_ = draw(shape)
    ones, zeros = numpy.ones(broadcast(shape)), numpy.zeros(broadcast(shape))
    dY = numpy.random.default_rng(1).normal(size=shape)
    (ours,) = arrays(X)
    ours.attach_grad()
    with autograd.record():
        Y = normalize(ours, (0, *range(2, len(shape))))
    Y.backward(*arrays(dY))
    assert close(Y, run(X, ones, zeros, zeros, ones)[0])
    assert close(ours.grad, by_autograd(dY, X, ones, zeros)[0], 1e-8)


# --- files of either layer ---


def normed(norm, *shape, num_classes=10):
    """LeNet with a normalization, as if trained: no parameter is what it was at the start."""
    net = lenet(norm, "relu", num_classes)
    net.initialize()
    net(np.zeros((1, 1, 32, 32)))
    rng = numpy.random.default_rng(num_classes)
    for p in net.collect_params().values():
        p.set_data(np.array(rng.uniform(0.1, 0.5, p.shape)))
    return net


@pytest.mark.parametrize("saved", [BatchNorm, nn.BatchNorm])
@pytest.mark.parametrize("asked", [BatchNorm, nn.BatchNorm])
def test_a_file_of_either_layer_is_loaded_into_either(tmp_path, saved, asked):
    net, other, X = normed(saved), lenet(asked, "relu"), np.random.normal(size=(3, 1, 32, 32))
    net.save_parameters(str(tmp_path / "net"))
    other.initialize()
    other(X)
    load_parameters(other, str(tmp_path / "net"))
    assert close(other(X), net(X), 1e-5)
    pairs = zip(*(n.collect_params().values() for n in (net, other)))
    assert all((p.data().reshape(-1) == q.data().reshape(-1)).all() for p, q in pairs)


def test_a_layer_alone_is_loaded_as_well(tmp_path):
    layer, other = trained((4, 3, 2, 2)), nn.BatchNorm(in_channels=3)
    layer.save_parameters(str(tmp_path / "layer"))
    other.initialize()
    load_parameters(other, str(tmp_path / "layer"))
    assert all((a == b).all() for a, b in zip(flat(statistics(layer)), statistics(other)))


def test_nothing_is_loaded_from_the_file_of_another_net(tmp_path):
    net, other = normed(nn.BatchNorm), normed(BatchNorm, num_classes=7)
    net.save_parameters(str(tmp_path / "net"))
    before = [p.data().copy() for p in other.collect_params().values()]
    with pytest.raises(ValueError, match=r"another net, .*compare the shapes\."):
        load_parameters(other, str(tmp_path / "net"))
    without = lenet(None, "relu")
    without.initialize()
    without(np.zeros((1, 1, 32, 32)))
    with pytest.raises(ValueError, match=r"another net, .*compare \['1.beta', '1.gamma'"):
        load_parameters(without, str(tmp_path / "net"))
    after = [p.data() for p in other.collect_params().values()]
    assert all((a == b).all() for a, b in zip(before, after))


@pytest.mark.parametrize("initialized", [True, False])
def test_a_net_without_weights_is_told_what_it_lacks(tmp_path, initialized):
    normed(BatchNorm).save_parameters(str(tmp_path / "net"))
    net = lenet(nn.BatchNorm, "relu")
    if initialized:
        net.initialize()
    with pytest.raises(RuntimeError, match="has not been initialized"):
        load_parameters(net, str(tmp_path / "net"))


# --- which layer a network gets ---


def test_norm_is_called_with_what_it_asks_for():
    seen = []

    def both(num_features, num_dims, eps=1e-5):
        seen.append((num_features, num_dims, eps))
        return nn.BatchNorm()

    def one(num_features):
        seen.append(num_features)
        return nn.BatchNorm()

    assert isinstance(make_norm(both, 6, 4), nn.BatchNorm)
    assert isinstance(make_norm(one, 7, 2), nn.BatchNorm)
    assert seen == [(6, 4, 1e-5), 7]
    assert isinstance(make_norm(nn.BatchNorm, 6, 4), nn.BatchNorm)
    assert (
        make_norm(lambda momentum=0.5: nn.BatchNorm(momentum=momentum), 6, 4)._kwargs["momentum"]
        == 0.5
    )
    assert make_norm(BatchNorm, 6, 4).gamma.shape == (1, 6, 1, 1)
    assert make_norm(BatchNorm, 6, 2).gamma.shape == (1, 6)
    assert make_norm(GroupNorm, 6, 4).gamma.shape == (6,)


@pytest.mark.parametrize("norm", [nn.BatchNorm(), 3, "batch", lambda: None, lambda n, dims: n])
def test_what_makes_no_layer_is_refused(norm):
    with pytest.raises(ValueError, match=r"that makes a layer, such as nn.BatchNorm"):
        make_norm(norm, 6, 4)
