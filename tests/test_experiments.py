"""The course's experiments: what they are made of, that each runs, and what was recorded."""

import inspect
import json
import math
import subprocess
import sys

from d2lutils import History, evaluate, experiments, fit, lenet, seed_everything, training
from d2lutils.data import half_size
from d2lutils.experiments import __main__ as command
from d2lutils.experiments import recording, runs
from d2lutils.experiments.recording import Experiment
from d2lutils.experiments.runs import EXPERIMENTS, NORMS
from d2lutils.families import cifar_resnet
from d2lutils.nets import he
from d2lutils.norm import GroupNorm, Noise, make_norm
from d2lutils.resnet import plain_net

import numpy
import pytest
from joblib import parallel_config
from mxnet import autograd, init, np
from mxnet.gluon import nn


def made(net, *shape):
    """The network, initialized, and random images that have been through it."""
    seed_everything(0)
    net.initialize()
    X = np.random.normal(size=shape)
    net(X)
    return net, X


def layers_in(net, kind):
    found = [net] if isinstance(net, kind) else []
    return found + [layer for child in net._children.values() for layer in layers_in(child, kind)]


# --- normalizations ---


def group_norm(X, groups, eps=1e-5):
    parts = X.reshape(len(X), groups, -1)
    mean, var = parts.mean(axis=2, keepdims=True), parts.var(axis=2, keepdims=True)
    return ((parts - mean) / numpy.sqrt(var + eps)).reshape(X.shape)


@pytest.mark.parametrize("groups", [1, 4])
def test_group_norm_and_its_gradients_are_numpys(groups):
    layer = GroupNorm(8, groups)
    layer.initialize()
    rng = numpy.random.default_rng(0)
    X, dY = rng.normal(1, 2, (2, 8, 3, 2)), rng.normal(size=(2, 8, 3, 2))
    gamma, beta = (rng.normal(size=(1, 8, 1, 1)) for _ in range(2))
    layer.gamma.set_data(np.array(gamma.ravel()))
    layer.beta.set_data(np.array(beta.ravel()))

    def loss(X):
        return (dY * (gamma * group_norm(X, groups) + beta)).sum()

    differences = numpy.zeros_like(X)
    for i in range(X.size):
        step = numpy.zeros(X.size)
        step[i] = 1e-4
        step = step.reshape(X.shape)
        differences.flat[i] = (loss(X + step) - loss(X - step)) / 2e-4
    inputs = np.array(X, dtype="float32")
    inputs.attach_grad()
    with autograd.record():
        Y = layer(inputs)
    Y.backward(np.array(dY, dtype="float32"))
    expected = gamma * group_norm(X, groups) + beta
    assert numpy.abs(Y.asnumpy() - expected).max() < 1e-5
    assert numpy.abs(layer(inputs).asnumpy() - expected).max() < 1e-5  # prediction is no different
    assert numpy.abs(inputs.grad.asnumpy() - differences).max() < 1e-4
    dgamma = (dY * group_norm(X, groups)).sum(axis=(0, 2, 3))
    assert numpy.abs(layer.gamma.grad().asnumpy() - dgamma).max() < 1e-4
    assert numpy.abs(layer.beta.grad().asnumpy() - dY.sum(axis=(0, 2, 3))).max() < 1e-4


def test_noise_does_nothing_in_prediction():
    X = np.random.normal(size=(2, 3, 4, 4))
    assert (Noise()(X) == X).all()


def test_noise_scales_and_shifts_each_image_and_channel_anew_while_training():
    seed_everything(0)
    layer, X = Noise(), np.random.normal(size=(2000, 2, 1, 2))
    with autograd.train_mode():
        runs = [layer(X).asnumpy().astype("float64") for _ in range(40)]
    X = X.asnumpy()
    scales = numpy.array([(Y[..., 1] - Y[..., 0]) / (X[..., 1] - X[..., 0]) for Y in runs])[..., 0]
    shifts = numpy.array([Y[..., 0, 0] for Y in runs]) - scales * X[..., 0, 0]
    kept = numpy.abs(X[..., 0, 1] - X[..., 0, 0]) > 0.1  # no division by next to nothing
    scales, shifts = (numpy.where(kept, values, numpy.nan) for values in (scales, shifts))
    # Between steps and channels: uniform in [1, 1.25] and [-0.5, 0.5].
    means = numpy.nanmean(scales, axis=1)
    assert means.min() > 0.98 and means.max() < 1.27 and 0.05 < means.std() < 0.095
    assert abs(numpy.corrcoef(means.T)[0, 1]) < 0.5
    means = numpy.nanmean(shifts, axis=1)
    assert abs(means).max() < 0.52 and 0.2 < means.std() < 0.36
    # Between the images of a step: a normal scale and a uniform shift.
    assert numpy.nanstd(scales, axis=1) == pytest.approx(numpy.full((40, 2), 0.1), abs=0.01)
    assert numpy.nanstd(shifts, axis=1) == pytest.approx(
        numpy.full((40, 2), 3**-0.5 / 10), abs=0.01
    )


def test_each_normalization_has_its_name():
    assert EXPERIMENTS["noise"].settings[-1]["norm"] == "batch and noise"
    layers = {name: norm and make_norm(norm, 8, 4) for name, norm in NORMS.items()}
    assert layers["none"] is None and isinstance(layers["batch"], nn.BatchNorm)
    assert [type(layer) for layer in layers["batch and noise"]] == [nn.BatchNorm, Noise]
    groups = {name: layers[name].num_groups for name in ("layer", "group")}
    assert groups == {"layer": 1, "group": 4}


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="8 channels cannot be split into 3 equal groups"):
        GroupNorm(8, 3)


def test_normalization_moves_behind_the_activation():
    before = lenet(nn.BatchNorm, "relu")
    after = [type(layer) for layer in runs.norm_last(before)]
    before = [type(layer) for layer in before]
    image, vector = [nn.Conv2D, nn.AvgPool2D], [nn.Dense]
    for kinds, both in (
        (before, [nn.BatchNorm, nn.Activation]),
        (after, [nn.Activation, nn.BatchNorm]),
    ):
        conv, dense = [image[0], *both, image[1]], [*vector, *both]
        assert kinds == [*conv, *conv, *dense, *dense, nn.Dense]


# --- weights and images ---


@pytest.mark.parametrize("scale", [0.03, 1.0, 30.0])
def test_he_scales_the_standard_deviation(scale):
    seed_everything(0)
    net = nn.Dense(300, in_units=200)
    net.initialize(he(scale))
    found = net.weight.data().asnumpy()
    assert found.std() == pytest.approx(scale * (2 / 200) ** 0.5, rel=0.02)
    assert (numpy.abs(found) > 3 * found.std()).any()  # normal, not uniform


def test_half_size_averages_four_pixels():
    X = np.zeros((1, 1, 32, 32))
    X[0, 0, 0, 0] = 4
    small, _ = half_size((X, np.zeros(1)))
    assert small.shape == (1, 1, 16, 16) and small[0, 0, 0, 0] == 1 and small.sum() == 1


@pytest.fixture
def few(fashion, monkeypatch):
    """Fashion-MNIST with 60 test images."""
    (X, y), test = fashion
    test = tuple(part[:60] for part in test)
    monkeypatch.setattr(runs, "fashion_mnist", lambda num: ((X[:num], y[:num]), test))
    runs._images.cache_clear()
    yield (X, y), test
    runs._images.cache_clear()


def test_images_come_in_three_sizes(few):
    (X, y), (X_test, y_test) = few
    for size in (32, 28, 16):
        (images, labels), (test_images, test_labels) = runs._images(50, size)
        assert images.shape == (50, 1, size, size) and (labels == y[:50]).all()
        assert test_images.shape == (60, 1, size, size) and (test_labels == y_test).all()
    cut = runs._images(50, 28)[0][0]
    assert (cut == X[:50, :, 2:30, 2:30]).all() and cut.sum() == X[:50].sum()


# --- what a run measures ---


def test_a_divergence_gives_nothing_for_the_rest_of_the_epochs(monkeypatch):
    def diverges(*args, **kwargs):
        error = FloatingPointError("loss")
        error.history = History([0.5], [0.8], [0.6], [0.7], [1.0])
        raise error

    monkeypatch.setattr(runs, "fit", diverges)
    first, *rest = runs._epochs(None, None, "test images", 3)
    names = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert first == dict(zip(names, [0.5, 0.8, 0.6, 0.7]))
    assert len(rest) == 2 and all(list(row) == names for row in rest)
    assert all(math.isnan(value) for row in rest for value in row.values())
    assert list(runs._epochs(None, None, None, 3)[2]) == names[:2]


def test_a_run_that_was_stopped_by_hand_is_no_result(monkeypatch):
    def ctrl_c(net, data):
        raise KeyboardInterrupt

    net, _ = made(nn.Dense(2), 8, 3)
    train = np.ones((8, 3)), np.zeros(8, dtype="int64")
    assert len(runs._epochs(net, train, None, 2)) == 2
    epochs = iter([evaluate, ctrl_c])
    monkeypatch.setattr(training, "evaluate", lambda *args: next(epochs)(*args))
    with pytest.raises(KeyboardInterrupt):
        runs._epochs(net, train, train, 2)


def test_accuracy_by_batch_takes_the_statistics_of_each_batch_and_leaves_the_net_alone(fashion):
    X, y = (np.concatenate([part, part[:20]]) for part in fashion[0])  # batches of 250 and of 70
    net, _ = made(lenet(nn.BatchNorm, "relu"), 2, 1, 32, 32)
    fit(net, fashion[0], num_epochs=1, lr=0.1, verbose=False)
    before = [p.data().asnumpy() for p in net.collect_params().values()]
    accuracy = runs._accuracy_by_batch(net, (X, y))
    assert all(
        (a == p.data().asnumpy()).all() for a, p in zip(before, net.collect_params().values())
    )
    right = []
    for rows in (slice(0, 250), slice(250, 320)):
        with autograd.train_mode():
            right += (net(X[rows]).argmax(axis=1) == y[rows]).tolist()
    assert len(right) == 320 and accuracy == pytest.approx(numpy.mean(right))
    assert accuracy != pytest.approx(evaluate(net, (X, y))[1])


# --- the experiments ---


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_settings_of_an_experiment_fit_together(name):
    experiment = EXPERIMENTS[name]
    assert experiment.train.__name__ == name and experiment.train.__doc__
    parameters = inspect.signature(experiment.train).parameters.values()
    keys = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    assert keys[:3] == ["images", "epochs", "seed"]
    assert {tuple(setting) for setting in experiment.settings} == {tuple(keys[3:])}
    assert json.loads(json.dumps(experiment.settings)) == experiment.settings
    texts = [json.dumps(setting) for setting in experiment.settings]
    assert len(set(texts)) == len(texts)
    numbers = [v for s in experiment.settings for v in s.values() if isinstance(v, float)]
    assert all(round(number, 4) == number for number in numbers)  # as many places as are recorded


def covering(settings):
    """As few of the settings as have every value once."""
    seen, chosen = set(), []
    for setting in settings:
        if not seen.issuperset(setting.items()):
            chosen.append(setting)
            seen.update(setting.items())
    return chosen


TRAIN, TEST = ["train_loss", "train_accuracy"], ["test_loss", "test_accuracy"]
FIVE_WAYS = [
    *TRAIN,
    *TEST,
    "small_test_accuracy",
    "batch_statistics",
    "recalibrated",
    "averaged",
]
COLUMNS = {name: TRAIN + TEST for name in EXPERIMENTS} | {
    "learning_rates": TRAIN,
    "careful_start": TRAIN,
    "momentum": TRAIN,
    "initial_scale": TRAIN,
    "frozen_layers": [*TRAIN, "degrees"],
    "noise": TRAIN,
    "noise_controls": [*TRAIN, "noise_on", "noise_off"],
    "effective_rate": [*TRAIN, "length", "degrees"],
    "swing": FIVE_WAYS,
    "swing_rates": FIVE_WAYS,
    "batch_and_rate": [*TRAIN, "val_accuracy", "test_accuracy", "renewed_accuracy"],
    "large_batches": [*TRAIN, "val_accuracy", "test_accuracy"],
    "without_norm": ["train_loss", "val_accuracy", "test_accuracy"],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs(few, name):
    learned = 0
    for setting in covering(EXPERIMENTS[name].settings):
        seed_everything(0)
        images = 32 if name == "networks" else 100
        rows = EXPERIMENTS[name].train(images=images, epochs=1, seed=0, **setting)
        assert [list(row) for row in rows] == [COLUMNS[name]]
        assert all(isinstance(value, float) for value in rows[0].values())
        assert not any(math.isinf(value) for value in rows[0].values())
        others = ("loss", "degrees", "length")
        accuracies = [value for key, value in rows[0].items() if not key.endswith(others)]
        assert all(math.isnan(value) or 0 <= value <= 1 for value in accuracies)
        learned += math.isfinite(rows[0]["train_loss"])
    assert learned >= len(covering(EXPERIMENTS[name].settings)) / 2


@pytest.fixture
def trained(few, monkeypatch):
    """Each call of `fit`: the net, the shape of an image, whether there is a test, the settings."""
    calls = []

    def noted(net, train, test, num_epochs, verbose, **settings):
        net(train[0][:2])
        calls.append((net, train[0].shape[1:], test is not None, settings))
        return History(*[[0.5] * num_epochs for _ in range(5)])

    monkeypatch.setattr(runs, "fit", noted)
    return calls


def deviations(net):
    """The standard deviation of each layer's weights, times the root of its inputs."""
    layers = [layer for layer in layers_in(net, (nn.Conv2D, nn.Dense))]
    found = [layer.weight.data().asnumpy() for layer in layers]
    return [w.std() * w[0].size ** 0.5 for w in found]


CONSTANT = {"schedule": "constant", "momentum": 0.0, "seed": 7}


def depth_of(net):
    """Convolutions of 3x3 and dense layers."""
    kernels = [layer.weight.shape[2:] for layer in layers_in(net, nn.Conv2D)]
    return kernels.count((3, 3)) + len(layers_in(net, nn.Dense))


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("network", ["LeNet", "plain-20"])
def test_learning_rates_are_constant_and_alone(trained, network, norm):
    runs.learning_rates(20, 3, 7, network, norm, 0.3)
    [(net, shape, tested, settings)] = trained
    assert settings == CONSTANT | {"lr": 0.3} and not tested
    assert bool(layers_in(net, nn.BatchNorm)) == (norm == "batch")
    assert {layer._act_type for layer in layers_in(net, nn.Activation)} == {"relu"}
    if network == "LeNet":
        assert shape == (1, 32, 32) and len(layers_in(net, nn.Conv2D)) == 2
    else:
        assert shape == (1, 16, 16) and depth_of(net) == 20
        assert numpy.mean(deviations(net)[2:-1]) == pytest.approx(2**0.5, rel=0.05)


@pytest.mark.parametrize("norm", ["none", "once", "batch"])
@pytest.mark.parametrize("network", ["LeNet", "plain-20"])
def test_a_careful_start_is_the_same_for_all_three(few, monkeypatch, network, norm):
    calls = []

    def noted(net, train, test, num_epochs, verbose, **settings):
        calls.append((net, train, test, settings))
        return History(*[[0.5] * num_epochs for _ in range(5)])

    monkeypatch.setattr(runs, "fit", noted)
    seed_everything(0)
    runs.careful_start(200, 3, 7, network, norm, 0.3)
    [(net, (X, _), tested, settings)] = calls
    assert settings == CONSTANT | {"lr": 0.3} and tested is None
    assert X.mean().item() == pytest.approx(0, abs=1e-4)
    assert X.std().item() == pytest.approx(1, abs=1e-4)
    assert X.shape[1:] == ((1, 32, 32) if network == "LeNet" else (1, 16, 16))
    net(X[:2])
    assert bool(layers_in(net, nn.BatchNorm)) == (norm == "batch")
    if norm == "once":
        first = list(net)[0](X).asnumpy()
        assert numpy.abs(first.mean(axis=(0, 2, 3))).max() < 1e-3
        assert first.std(axis=(0, 2, 3)) == pytest.approx(1, abs=1e-3)
    else:
        assert numpy.mean(deviations(net)[1:-1]) == pytest.approx(2**0.5, rel=0.1)


def test_momentum_is_0_9(trained):
    runs.momentum(20, 3, 7, "batch", 0.3)
    [(net, shape, tested, settings)] = trained
    assert settings == CONSTANT | {"lr": 0.3, "momentum": 0.9} and not tested
    assert shape == (1, 32, 32) and len(layers_in(net, nn.BatchNorm)) == 4


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_the_initial_scale_is_that_of_the_hidden_layers(trained, norm, scale):
    seed_everything(0)
    runs.initial_scale(20, 3, 7, norm, scale)
    [(net, _, _, settings)] = trained
    assert settings == CONSTANT | {"lr": 0.1}
    *hidden, last = deviations(net)
    assert hidden == pytest.approx([scale * 2**0.5] * 4, rel=0.15)
    assert last == pytest.approx(2**0.5, rel=0.1)
    norms = layers_in(net, nn.BatchNorm)
    assert len(norms) == (4 if norm == "batch" else 0)
    assert all((layer.gamma.data() == 1).all() for layer in norms)


def test_frozen_layers_do_not_turn(few):
    seed_everything(0)
    [row] = runs.frozen_layers(200, 1, 7, 1.0, "frozen")
    assert row["degrees"] == 0 and row["train_accuracy"] > 0
    rows = {}
    for scale in (1.0, 30.0):
        seed_everything(0)
        rows[scale] = runs.frozen_layers(200, 2, 7, scale, "trained")
    (first, second), (slow, _) = rows[1.0], rows[30.0]
    assert 0 < first["degrees"] < second["degrees"]
    assert slow["degrees"] < first["degrees"] / 100


def test_an_angle_is_measured_in_degrees_however_small():
    a = np.array([1.0, 0.0])
    assert runs._degrees(a, np.array([3.0, 3.0])) == pytest.approx(45)
    assert runs._degrees(a, np.array([-2.0, 0.0])) == pytest.approx(180)
    assert runs._degrees(a, np.array([1.0, 1e-5])) == pytest.approx(math.degrees(1e-5), rel=1e-4)


@pytest.mark.parametrize(("size", "rate"), [(2, 0.1 / 64), (256, 0.2)])
def test_the_rate_grows_with_the_batch(trained, size, rate):
    runs.batch_size(20, 3, 7, "group", size)
    [(net, shape, tested, settings)] = trained
    assert settings == {"lr": pytest.approx(rate), "batch_size": size, "seed": 7} and tested
    assert shape == (1, 16, 16) and depth_of(net) == 8
    assert {layer.num_groups for layer in layers_in(net, GroupNorm)} == {4}


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_normalization_stands_where_placement_says(trained, place):
    runs.placement(20, 3, 7, place)
    [(net, _, tested, settings)] = trained
    assert settings == {"lr": 0.3, "momentum": 0.0, "seed": 7} and tested
    kinds = [type(layer) for layer in net]
    order = [nn.BatchNorm, nn.Activation] if place == "before" else [nn.Activation, nn.BatchNorm]
    assert kinds[1:3] == order


@pytest.mark.parametrize("shortcut", [False, True])
def test_depth_is_that_of_the_net(trained, shortcut):
    runs.depth(20, 3, 7, 14, shortcut)
    [(net, shape, tested, settings)] = trained
    assert settings == {"lr": 0.1, "schedule": "constant", "seed": 7} and tested
    assert shape == (1, 16, 16) and depth_of(net) == 14
    assert len(layers_in(net, nn.Conv2D)) == 13 + (2 if shortcut else 0)


@pytest.mark.parametrize("norm", ["none", "batch", "batch and noise"])
def test_noise_stands_behind_each_normalization(trained, norm):
    runs.noise(20, 3, 7, norm, 0.1)
    [(net, shape, tested, settings)] = trained
    assert settings == CONSTANT | {"lr": 0.1} and not tested and shape == (1, 16, 16)
    counts = [len(layers_in(net, kind)) for kind in (nn.BatchNorm, Noise)]
    assert counts == {"none": [0, 0], "batch": [19, 0], "batch and noise": [19, 19]}[norm]


@pytest.mark.parametrize("norm", ["noise", "batch", "batch and noise"])
def test_the_noise_is_measured_on_and_off(few, norm):
    seed_everything(0)
    [row] = runs.noise_controls(200, 1, 7, norm, 0.1)
    assert (row["noise_on"] == row["noise_off"]) == (norm == "batch")


def test_noise_is_put_in_front_of_each_activation():
    quiet, X = made(plain_net(8, width=4), 2, 1, 16, 16)
    noisy = runs._noisy(quiet)
    assert [layer for layer in noisy if not isinstance(layer, Noise)] == list(quiet)
    kinds = [type(layer) for layer in noisy]
    assert kinds[:4] == [nn.Conv2D, Noise, nn.Activation, nn.Conv2D] and kinds.count(Noise) == 7
    assert (noisy(X) == quiet(X)).all()


def test_what_is_measured_of_a_lost_run_is_nothing(monkeypatch):
    losses = iter([0.5, math.nan])
    monkeypatch.setattr(runs, "_epochs", lambda *_, **__: [{"train_loss": next(losses)}])
    first, *rest = runs._epoch_by_epoch(None, None, 3, 7, lambda: {"found": 1.0})
    assert first == {"train_loss": 0.5, "found": 1.0}
    assert len(rest) == 2 and all(list(row) == list(first) for row in rest)
    assert all(math.isnan(value) for row in rest for value in row.values())


def test_an_effective_rate_is_measured_in_the_training_of_fit(few):
    seed_everything(0)
    [row] = runs.effective_rate(96, 1, 7, 0.0)
    seed_everything(0)
    net = lenet(nn.BatchNorm, "relu")
    net.initialize(he())
    train, _ = runs._images(96)
    net(train[0][:2])
    start = [w.data().copy() for w in runs._hidden_weights(net)]
    settings = {"batch_size": 32, "schedule": "constant", "momentum": 0.0}
    history = fit(net, train, None, 1, 0.3, seed=[7, 0], verbose=False, **settings)
    assert [row[name] for name in TRAIN] == pytest.approx(
        [getattr(history, name)[0] for name in TRAIN], rel=1e-4
    )
    grown = [runs._norm(w.data()) / runs._norm(s) for s, w in zip(start, runs._hidden_weights(net))]
    assert len(grown) == 4 and row["length"] == pytest.approx(numpy.prod(grown) ** 0.25, rel=1e-4)
    assert row["length"] > 1 and row["degrees"] > 0


def test_only_hidden_weights_decay(few, monkeypatch):
    nets = []
    monkeypatch.setattr(runs, "lenet", lambda *args: nets.append(lenet(*args)) or nets[-1])
    seed_everything(0)
    [row] = runs.effective_rate(96, 1, 7, 0.5)
    [net] = nets
    decaying = [p for p in net.collect_params().values() if p.wd_mult]
    assert [p.shape for p in decaying] == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120)]
    assert row["length"] < 0.7  # 0.85 ** 3 = 0.61, and the gradient lengthens them


def test_a_whole_ghost_batch_is_a_batch(few):
    seed_everything(0)
    [row] = runs.ghost_batches(300, 1, 7, 256)
    seed_everything(0)
    net = plain_net(8, width=8, norm=nn.BatchNorm)
    net.initialize(he())
    train, test = runs._images(300, 16)
    fit(net, train, None, 1, 0.2, batch_size=256, seed=[7, 0], verbose=False)
    training.renew_statistics(net, train)
    expected = [*evaluate(net, train), *evaluate(net, test)]
    assert list(row.values()) == pytest.approx(expected, rel=1e-3)


def test_the_size_of_ghost_batches_matters_to_normalization_alone(few, monkeypatch):
    def losses():
        for size in (64, 256):
            seed_everything(0)
            yield runs.ghost_batches(300, 2, 7, size)[1]["train_loss"]

    small, large = losses()
    assert small != pytest.approx(large, rel=1e-3)
    monkeypatch.setitem(NORMS, "batch", None)
    small, large = losses()
    assert small == pytest.approx(large, rel=1e-5)


def test_images_to_choose_by_are_nobody_elses(few):
    train, val, test = runs._held_out(100)
    assert [len(y) for _, y in (train, val, test)] == [80, 20, 60]
    together = np.concatenate([train[0], val[0]])
    assert abs(together.mean().item()) < 1e-4 and abs(together.std().item() - 1) < 1e-4
    (X, y), _ = runs._images(100, 16)
    assert (np.concatenate([train[1], val[1]]) == y).all()
    assert numpy.corrcoef(together.asnumpy().ravel(), X.asnumpy().ravel())[0, 1] > 0.9999


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_statistics_are_renewed_after_the_last_epoch_of_batch_norm_only(few, norm, monkeypatch):
    renewed = []
    monkeypatch.setattr(
        runs, "renew_statistics", lambda net, data, batch_size: renewed.append(len(data[1]))
    )
    seed_everything(0)
    first, last = runs.batch_and_rate(100, 2, 7, norm, 8, 0.01)
    assert renewed == ([80] if norm == "batch" else [])
    assert math.isnan(first["test_accuracy"]) and math.isfinite(last["test_accuracy"])
    assert last["renewed_accuracy"] == last["test_accuracy"]  # nothing was renewed here


@pytest.mark.parametrize("depth", [8, 20])
def test_a_careful_start_passes_the_images_on_and_gives_equal_scores(depth):
    net, X = made(runs.unnormalized_resnet(depth, 8), 4, 1, 16, 16)
    net.initialize(he(), force_reinit=True)
    blocks = layers_in(net, runs.UnnormalizedBlock)
    before = [block.body[0].weight.data().copy() for block in blocks]
    runs.start_at_zero(net)
    assert (net(X) == 0).all()
    Y = net[1](net[0](X))
    for old, block in zip(before, blocks):
        assert (block(Y) == (block.shortcut(Y) if block.shortcut else Y)).all()
        Y = block(Y)
        ratio = old / block.body[0].weight.data()
        assert numpy.abs(ratio.asnumpy() - len(blocks) ** 0.5).max() < 1e-3
    assert len(blocks) == (depth - 2) // 2 and Y.shape == (4, 32, 4, 4)


@pytest.mark.parametrize("depth", [8, 20])
def test_without_normalization_the_layers_are_the_same(depth):
    net, _ = made(runs.unnormalized_resnet(depth, 8), 2, 1, 16, 16)
    with_norm, _ = made(cifar_resnet(depth, width=8), 2, 1, 16, 16)
    shapes = [
        [p.shape for p in model.collect_params(".*weight").values()] for model in (net, with_norm)
    ]
    assert shapes[0] == shapes[1] and not layers_in(net, nn.BatchNorm)


def test_a_gradient_is_clipped_unit_by_unit():
    rng = numpy.random.default_rng(0)
    weight, gradient = rng.normal(size=(5, 2, 3, 3)), rng.normal(size=(5, 2, 3, 3))
    weight[0] = 0  # counts as 1e-3
    gradient[1] *= 1e-3  # short enough
    gradient[2] = 0
    found = runs.clip_adaptively(np.array(weight), np.array(gradient), 0.1).asnumpy()
    for w, g, clipped in zip(weight, gradient, found):
        most = 0.1 * max(numpy.linalg.norm(w), 1e-3)
        length = numpy.linalg.norm(g)
        expected = g if length <= most else g * most / length
        assert numpy.abs(clipped - expected).max() < 1e-6


@pytest.mark.parametrize("kind", ["batch", "he", "he, limit 0.1", "he, limit 0.01", "fixup"])
def test_only_what_is_asked_for_is_clipped_and_started_with_care(few, kind, monkeypatch):
    calls = {"clip": [], "start": 0}

    def clip(weight, gradient, limit):
        calls["clip"].append((weight.ndim, limit))
        return gradient

    def start(net):
        calls["start"] += 1

    monkeypatch.setattr(runs, "clip_adaptively", clip)
    monkeypatch.setattr(runs, "start_at_zero", start)
    seed_everything(0)
    runs.without_norm(80, 1, 7, 8, kind, 0.01)  # two steps of 32
    assert calls["start"] == ("fixup" in kind)
    limit = kind.split(" limit ")[1:]
    assert calls["clip"] == ([(4, float(limit[0]))] * 7 * 2 if limit else [])


def test_without_clipping_it_is_the_training_of_fit(few):
    seed_everything(0)
    [row] = runs.without_norm(80, 1, 7, 8, "he", 0.01)
    seed_everything(0)
    net = runs.unnormalized_resnet(8, 8)
    net.initialize(he())
    train, _, test = runs._held_out(80)
    net(train[0][:2])
    settings = {"seed": [7, 0], "lr": 0.01, "batch_size": 32, "verbose": False}
    history = fit(net, train, test, num_epochs=1, **settings)
    assert row["train_loss"] == pytest.approx(history.train_loss[0], rel=1e-3)
    assert row["test_accuracy"] == pytest.approx(history.test_accuracy[0], abs=0.04)


def test_a_net_that_diverged_without_norm_gives_nothing(few, monkeypatch):
    seed_everything(0)
    rows = runs.without_norm(100, 3, 7, 8, "he", 1e6)
    assert len(rows) == 3 and all(list(row) == COLUMNS["without_norm"] for row in rows)
    assert all(math.isnan(value) for value in rows[-1].values())


@pytest.mark.parametrize("network", ["LeNet", "BN-LeNet", "ResNet-18", "DenseNet"])
@pytest.mark.parametrize("recipe", ["course", "book"])
def test_a_recipe_is_one_and_the_same_for_all_networks(trained, network, recipe):
    seed_everything(0)
    runs.networks(20, 3, 7, network, recipe)
    [(net, shape, tested, settings)] = trained
    assert 0 < settings.pop("lr") <= 1 and tested and shape == (1, 32, 32)
    book = CONSTANT | {"batch_size": 256}
    assert settings == (book if recipe == "book" else {"seed": 7})
    convolutions = {"LeNet": 2, "BN-LeNet": 2, "ResNet-18": 20, "DenseNet": 20}[network]
    assert len(layers_in(net, nn.Conv2D)) == convolutions
    assert bool(layers_in(net, nn.BatchNorm)) == (network != "LeNet")
    if "LeNet" in network:
        kinds = {layer._act_type for layer in layers_in(net, nn.Activation)}
        assert kinds == {"relu" if recipe == "course" else "sigmoid"}
    if recipe == "course":
        assert numpy.mean(deviations(net)[1:]) == pytest.approx(2**0.5, rel=0.1)
    else:
        weights = layers_in(net, nn.Conv2D)[-1].weight.data().asnumpy()
        assert numpy.abs(weights).max() < 1.8 * weights.std()  # uniform, not normal


def test_swing_measures_without_a_trace_in_the_training(few):
    """The losses and test accuracies are those of a net that is trained and nothing else."""
    seed_everything(0)
    rows = runs.swing(100, 3, 7, "cosine", 0.5)
    train, test = runs._images(100, 28)
    seed_everything(0)
    net = lenet(nn.BatchNorm)
    for block in (net, lenet(nn.BatchNorm)):
        block.initialize(init.Xavier())
        block(train[0][:2])
    small = tuple(part[:1000] for part in test)
    for epoch, row in enumerate(rows):
        rate = 0.5 * (1 + math.cos(math.pi * (2 * epoch + 1) / 6)) / 2
        settings = {"schedule": "constant", "momentum": 0.0, "batch_size": 256}
        history = fit(net, train, test, 1, rate, seed=[7, epoch], verbose=False, **settings)
        values = [row[name] for name in TRAIN + TEST]
        assert values == [getattr(history, name)[0] for name in TRAIN + TEST]
        assert row["small_test_accuracy"] == evaluate(net, small)[1]
        assert row["batch_statistics"] == runs._accuracy_by_batch(net, test)


def test_swing_averages_the_weights_of_the_last_five_epochs(few, monkeypatch):
    nets, weights, averages = [], [], []

    def noted(net, *args, **settings):
        history = fit(net, *args, **settings)
        nets.append(net)
        weights.append(list(net.collect_params().values())[0].data().asnumpy())
        return history

    def seen(net, data):
        assert len(data[1]) == 100
        if net is not nets[0]:
            averages.append(list(net.collect_params().values())[0].data().asnumpy())

    monkeypatch.setattr(runs, "fit", noted)
    monkeypatch.setattr(runs, "renew_statistics", seen)
    runs.swing(100, 7, 7, "constant", 1.0)
    assert len(averages) == len(weights) == 7
    for epoch, found in enumerate(averages):
        expected = numpy.mean(weights[max(0, epoch - 4) : epoch + 1], axis=0)
        assert numpy.abs(found - expected).max() < 1e-6


def test_an_average_of_one_is_the_net_itself(few):
    [row] = runs.swing(300, 1, 7, "constant", 1.0)
    assert row["averaged"] == row["recalibrated"]


def test_swing_goes_on_to_the_end_when_an_epoch_diverges(few, monkeypatch):
    epochs = iter([fit])

    def diverges_in_the_second_epoch(*args, **settings):
        for train in epochs:
            return train(*args, **settings)
        error = FloatingPointError("loss")
        error.history = History()
        raise error

    monkeypatch.setattr(runs, "fit", diverges_in_the_second_epoch)
    first, *rest = runs.swing(100, 4, 7, "constant", 1.0)
    assert list(first) == FIVE_WAYS and all(map(math.isfinite, first.values()))
    assert len(rest) == 3 and all(math.isnan(value) for row in rest for value in row.values())


def test_swing_rates_are_constant_and_change_nothing_else(few, monkeypatch):
    monkeypatch.setattr(runs, "swing", lambda *arguments: arguments)
    assert runs.swing_rates(100, 3, 7, 0.1) == (100, 3, 7, "constant", 0.1)


# --- load, run and the command ---


def one(images, epochs, seed, norm):
    return [{"loss": seed + epoch / 10} for epoch in range(epochs)]


def lost(images, epochs, seed, norm):
    return [{"loss": math.nan if seed == 1 else seed + epoch / 10} for epoch in range(epochs)]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """An experiment of two settings; results go to a folder of their own."""
    for module in (experiments, command):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    settings = [{"norm": "none"}, {"norm": "batch"}]
    monkeypatch.setitem(EXPERIMENTS, "tiny", Experiment(one, settings, images=20, epochs=2))
    return tmp_path


@pytest.fixture
def recorded(monkeypatch):
    """What `record` is called with, and no more than that."""
    calls = []
    monkeypatch.setattr(command, "record", lambda *args: calls.append(args))
    return calls


def test_what_was_run_can_be_loaded(tiny, monkeypatch):
    monkeypatch.setattr(
        recording, "parallel_config", lambda *_, **__: parallel_config("sequential")
    )
    command.run("tiny", seeds=2)
    rows = experiments.load("tiny")
    assert list(rows.columns) == ["norm", "seed", "epoch", "loss"]
    assert rows.norm.tolist() == 4 * ["none"] + 4 * ["batch"]
    assert rows.loss.tolist() == 2 * [0.0, 0.1, 1.0, 1.1]
    about = json.loads((tiny / "tiny.json").read_text())
    assert about["command"] == "python -m d2lutils.experiments tiny --seeds 2"
    (tiny / "tiny.csv").write_text("seed,epoch,loss\n")
    with pytest.raises(ValueError, match=r"data/results/tiny\.csv has no column 'norm'"):
        experiments.load("tiny")


def test_unknown_and_missing_results_are_named(tiny):
    (tiny / "depth.csv").touch()
    (tiny / "README.md").touch()
    with pytest.raises(ValueError, match=r"no recorded experiment 'tinny': choose from depth\."):
        experiments.load("tinny")
    for missing in ("csv", "json"):
        (tiny / "tiny.csv").unlink(missing_ok=True)
        (tiny / "tiny.csv").with_suffix(".json" if missing == "csv" else ".csv").touch()
        with pytest.raises(
            FileNotFoundError, match=rf"tiny.{missing} is missing.*experiments tiny"
        ):
            experiments.load("tiny")
        (tiny / "tiny.json").unlink(missing_ok=True)


def test_final_groups_the_last_epoch(tiny, monkeypatch):
    monkeypatch.setattr(
        recording, "parallel_config", lambda *_, **__: parallel_config("sequential")
    )
    monkeypatch.setitem(EXPERIMENTS, "tiny", Experiment(lost, EXPERIMENTS["tiny"].settings, 20, 2))
    command.run("tiny", seeds=3)
    by_norm = experiments.final("tiny", "loss", "norm")
    assert by_norm.count().to_dict() == {"none": 2, "batch": 2}
    assert by_norm.mean().to_dict() == {"none": 1.1, "batch": 1.1}
    assert experiments.final("tiny", "loss", "norm", lost=10.0).max().to_dict()["none"] == 10.0
    both = experiments.final("tiny", "loss", "norm", "seed", lost=10.0).mean()
    assert both["batch", 1] == 10.0 and both["none", 2] == 2.1


@pytest.mark.parametrize(("given", "seeds"), [([], 5), (["--seeds", "3"], 3)])
def test_the_command_runs_an_experiment(tiny, recorded, given, seeds):
    command.main(["tiny", *given])
    line = f"python -m d2lutils.experiments tiny --seeds {seeds}"
    assert recorded == [(EXPERIMENTS["tiny"], tiny / "tiny.csv", seeds, line)]


def test_full_is_another_file_with_all_images(tiny, recorded):
    command.main(["tiny", "--full"])
    [(experiment, path, seeds, line)] = recorded
    assert (experiment.images, experiment.epochs) == (60_000, 10)
    assert experiment.settings == EXPERIMENTS["tiny"].settings and experiment.train is one
    assert path == tiny / "tiny_full.csv" and seeds == 5
    assert line == "python -m d2lutils.experiments tiny --seeds 5 --full"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tinny"], "invalid choice: 'tinny' (choose from 'learning_rates',"),
        (["tiny", "--seeds", "0"], "seeds must be a positive integer, not 0"),
        (["tiny", "--seeds", "many"], "invalid int value: 'many'"),
    ],
)
def test_a_command_that_makes_no_sense_ends_with_a_sentence(tiny, capsys, arguments, sentence):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and sentence in err and "Traceback" not in err and not out
    assert list(tiny.iterdir()) == []


def test_without_a_name_the_experiments_are_listed():
    done = subprocess.run(
        [sys.executable, "-m", "d2lutils.experiments"],
        cwd=experiments.FOLDER.parent.parent,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(EXPERIMENTS)
    sizes = dict(zip(EXPERIMENTS, (line.strip() for line in lines[1::2])))
    assert sizes["networks"].startswith("8 settings, 60,000 images, 1 epoch")
    assert sizes["depth"] == "8 settings, 10,240 images, 3 epochs"


# --- what was recorded ---


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_recorded_results_are_those_of_the_code(name):
    rows = experiments.load(name)
    about = json.loads((experiments.FOLDER / f"{name}.json").read_text())
    experiment = EXPERIMENTS[name]
    for what in ("settings", "images", "epochs"):
        assert about[what] == getattr(experiment, what)
    assert about["command"] == f"python -m d2lutils.experiments {name} --seeds {about['seeds']}"
    assert about["seeds"] >= 5 and about["mxnet"] == "1.9.1" and about["threads"] == 1
    keys = list(experiment.settings[0])
    assert about["columns"] == [*keys, "seed", "epoch", *COLUMNS[name]] == list(rows.columns)
    expected = [
        [*setting.values(), seed, epoch]
        for setting in experiment.settings
        for seed in range(about["seeds"])
        for epoch in range(1, experiment.epochs + 1)
    ]
    assert rows[[*keys, "seed", "epoch"]].values.tolist() == expected
