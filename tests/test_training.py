"""`fit` and `evaluate` against NumPy by hand, and what they say, where and when."""

import contextlib
import itertools
import math

import d2lutils
from d2lutils import BatchNorm, History, batches, evaluate, fit, lenet, training
from d2lutils.training import renew_statistics

import mxnet as mx
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

LISTS = ["train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds", "step_loss"]


def example(n, features=4, classes=3, seed=0):
    """n random examples whose class hangs on their features, a little."""
    rng = numpy.random.default_rng(seed)
    X = rng.normal(size=(n, features)).astype("float32")
    y = (X[:, :classes] + rng.normal(size=(n, classes))).argmax(axis=1)
    return np.array(X), np.array(y, dtype="int64")


def initialized(net, seed=0):
    d2lutils.seed_everything(seed)
    net.initialize(init.Xavier())
    return net


def linear(classes=3):
    return initialized(nn.Dense(classes))


def weights(net):
    return [p.data().asnumpy() for p in net.collect_params().values()]


# --- against a loop by hand ---


def softmax(scores):
    p = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def cross_entropy(W, b, X, y):
    """Sum of the losses, number of right answers, and the gradients of the mean loss."""
    scores = X @ W.T + b
    p = softmax(scores)
    loss = -numpy.log(p[range(len(y)), y]).sum()
    p[range(len(y)), y] -= 1
    correct = (scores.argmax(axis=1) == y).sum()
    return loss, correct, p.T @ X / len(y), p.mean(axis=0)


def rate(schedule, lr, done):
    if schedule == "constant":
        return lr
    if schedule == "cosine":
        return lr * (0.5 + 0.5 * math.cos(math.pi * done))
    if done < 0.25:
        return lr * 4 * done
    return lr * (0.5 + 0.5 * math.cos(math.pi * (done - 0.25) / 0.75))


@pytest.mark.parametrize(
    ("schedule", "momentum", "weight_decay"),
    [
        ("constant", 0.0, 0.0),
        ("constant", 0.9, 0.0),
        ("constant", 0.0, 0.1),
        ("cosine", 0.9, 0.1),
        ("one-cycle", 0.9, 0.1),
    ],
)
@pytest.mark.parametrize("seed", [0, 5])
def test_fit_is_a_loop_that_one_can_write_by_hand(schedule, momentum, weight_decay, seed):
    train, test = example(23), example(11, seed=1)
    net = linear()
    net(train[0])
    W, b = (value.astype("float64") for value in weights(net))
    (X, y), (X_test, y_test) = ([a.asnumpy() for a in data] for data in (train, test))
    rng = numpy.random.default_rng(seed)
    num_epochs, batch_size, steps = 3, 5, 5  # four batches of five and one of three
    expected, velocity = History(), [0, 0]
    for epoch in range(num_epochs):
        order, loss_sum, num_correct = rng.permutation(len(y)), 0, 0
        for step in range(steps):
            rows = order[step * batch_size : (step + 1) * batch_size]
            loss, correct, *gradients = cross_entropy(W, b, X[rows], y[rows])
            lr = rate(schedule, 0.5, (epoch * steps + step + 1) / (num_epochs * steps))
            for i, (value, gradient) in enumerate(zip((W, b), gradients)):
                velocity[i] = momentum * velocity[i] - lr * (gradient + weight_decay * value)
                value += velocity[i]
            expected.step_loss.append(loss / len(rows))
            loss_sum, num_correct = loss_sum + loss, num_correct + correct
        expected.train_loss.append(loss_sum / len(y))
        expected.train_accuracy.append(num_correct / len(y))
        loss, correct, *_ = cross_entropy(W, b, X_test, y_test)
        expected.test_loss.append(loss / len(y_test))
        expected.test_accuracy.append(correct / len(y_test))

    settings = {"momentum": momentum, "weight_decay": weight_decay, "batch_size": batch_size}
    found = fit(net, train, test, num_epochs, 0.5, schedule, seed=seed, verbose=False, **settings)
    for value, by_hand in zip(weights(net), (W, b)):
        assert numpy.abs(value - by_hand).max() < 1e-4
    for name in LISTS:
        if name != "seconds":
            assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-4), name


def test_evaluate_weighs_a_smaller_last_batch_right():
    net, data = linear(), example(23)
    net(data[0])
    loss, correct, *_ = cross_entropy(*weights(net), *(a.asnumpy() for a in data))
    for batch_size in (1, 5, 23, 256):
        assert evaluate(net, data, batch_size) == pytest.approx((loss / 23, correct / 23), abs=1e-6)


@pytest.mark.parametrize("norm", [BatchNorm, lambda num_features, num_dims: nn.BatchNorm()])
def test_evaluate_predicts_and_changes_nothing(fashion, norm):
    (X, y), test = fashion
    net = initialized(lenet(norm, "relu"))
    fit(net, (X, y), num_epochs=1, verbose=False)
    before = weights(net)
    together = evaluate(net, test)
    assert all((a == b).all() for a, b in zip(weights(net), before))
    assert evaluate(net, test, batch_size=1) == pytest.approx(together, rel=1e-4)  # no companions


# --- learning ---

KINDS = {
    "hybrid": lambda: lenet(lambda *sizes: nn.BatchNorm(), "relu"),
    "sequential with our own layer": lambda: lenet(BatchNorm, "relu"),
    "without normalization": lambda: lenet(activation="relu"),
}


class Plain(nn.Block):
    """A network that is neither hybrid nor a stack."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Dense(32, activation="relu"), nn.Dense(10)

    def forward(self, X):
        return self.out(self.hidden(X))


@pytest.mark.parametrize("make", [*KINDS.values(), Plain], ids=[*KINDS, "plain block"])
def test_every_kind_of_block_learns(fashion, make):
    train, test = fashion
    net = initialized(make())
    history = fit(net, train, test, num_epochs=8, lr=0.1, batch_size=32, verbose=False)
    assert history.train_loss[-1] < 0.8 * history.train_loss[0]
    assert history.train_accuracy[-1] > 0.5 and history.test_accuracy[-1] > 0.4
    lengths = [len(getattr(history, name)) for name in LISTS]
    assert lengths == [8, 8, 8, 8, 8, 8 * 10]
    assert all(seconds > 0 for seconds in history.seconds)
    assert evaluate(net, test) == (history.test_loss[-1], history.test_accuracy[-1])


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_seed_repeats_the_training_to_the_last_bit(fashion, make):
    def run(seed):
        net = initialized(make())
        history = fit(net, *fashion, num_epochs=1, batch_size=64, seed=seed, verbose=False)
        return history.step_loss, history.test_loss, [w.tolist() for w in weights(net)]

    assert run(0) == run(0)
    assert run(0)[0] != run(1)[0]


def test_seconds_are_those_of_the_training(monkeypatch):
    now = [0.0]

    def lasting(seconds, function):
        def slower(*args):
            now[0] += seconds
            return function(*args)

        return slower

    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(training, "batches", lasting(7, batches))
    monkeypatch.setattr(training, "evaluate", lasting(100, lambda *args: (0.5, 0.5)))
    monkeypatch.setattr(training, "_not_finite", lasting(1000, lambda net: None))
    assert fit(linear(), example(10), example(10), 3, verbose=False).seconds == [7, 7, 7]


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, FloatingPointError])
def test_nothing_is_pending_when_fit_returns(monkeypatch, end):
    happened = []

    def stream(*args):
        for i, batch in enumerate(batches(*args)):
            happened.append("batch")
            if i == 1 and end is not None:
                raise end
            yield batch

    monkeypatch.setattr(training, "batches", stream)
    monkeypatch.setattr(training.npx, "waitall", lambda: happened.append("wait"))
    with contextlib.nullcontext() if end is None else pytest.raises(end):
        fit(linear(), example(10), num_epochs=1, batch_size=5, verbose=False)
    assert happened == ["batch", "batch", "wait"]


def test_without_a_test_set_nothing_is_evaluated(fashion):
    history = fit(linear(10), fashion[0], num_epochs=2, verbose=False)
    assert (history.test_loss, history.test_accuracy, len(history.train_loss)) == ([], [], 2)


def test_what_is_left_out_is_one_cycle_over_four_epochs(fashion):
    settings = {"num_epochs": 4, "lr": 0.1, "schedule": "one-cycle", "momentum": 0.9, "seed": 0}
    more = {"weight_decay": 0.0, "batch_size": 128, "verbose": False}
    expected = fit(linear(10), fashion[0], test=None, **settings, **more)
    assert fit(linear(10), fashion[0], verbose=False).step_loss == expected.step_loss


def test_a_second_call_goes_on_where_the_first_ended(fashion):
    net = linear(10)
    first = fit(net, fashion[0], num_epochs=3, schedule="constant", verbose=False)
    second = fit(net, fashion[0], num_epochs=1, schedule="constant", verbose=False)
    assert second.train_loss[0] < first.train_loss[0]


# --- the schedules ---


@pytest.mark.parametrize(
    ("schedule", "rates"),  # at 0, 1/8, 1/4, 1/2, 5/8 and 1
    [
        ("constant", [2, 2, 2, 2, 2, 2]),
        ("cosine", [2, 1 + math.cos(math.pi / 8), 1 + 0.5**0.5, 1, 1 - math.sin(math.pi / 8), 0]),
        ("one-cycle", [0, 1, 2, 1.5, 1, 0]),
    ],
)
def test_the_rate_at_chosen_points(schedule, rates):
    points = [0, 1 / 8, 1 / 4, 1 / 2, 5 / 8, 1]
    assert [training.learning_rate(schedule, 2, p) for p in points] == pytest.approx(rates)


fractions = st.floats(0, 1)


@given(fractions, fractions, st.sampled_from(training.SCHEDULES))
def test_the_rate_rises_and_falls_at_most_once(a, b, schedule):
    a, b = sorted((a, b))
    first, second = (training.learning_rate(schedule, 0.3, done) for done in (a, b))
    assert 0 <= first <= 0.3 and 0 <= second <= 0.3
    if schedule == "one-cycle" and b <= 0.25:
        assert first <= second
    elif schedule != "one-cycle" or a >= 0.25:
        assert first >= second


# --- arguments ---


@pytest.mark.parametrize(
    ("argument", "value", "sentence"),
    [
        ("schedule", "step", "schedule must be one of one-cycle, cosine, constant, not 'step'"),
        ("num_epochs", 0, "num_epochs must be a positive integer, not 0"),
        ("num_epochs", 1.5, "not 1.5"),
        ("num_epochs", True, "num_epochs must be a positive integer, not True"),
        ("lr", 0, "lr must be a positive number, not 0"),
        ("lr", -0.1, "not -0.1"),
        ("lr", math.nan, "lr must be a positive number, not nan"),
        ("lr", math.inf, "not inf"),
        ("lr", "0.1", "lr must be a positive number, not '0.1'"),
        ("lr", True, "not True"),
        ("lr", None, "not None"),
        ("momentum", 1.0, "momentum must be a number from 0 to less than 1, not 1.0"),
        ("momentum", -0.1, "not -0.1"),
        ("momentum", math.nan, "not nan"),
        ("momentum", "0.9", "not '0.9'"),
        ("weight_decay", -1e-4, "weight_decay must be 0 or a positive number, not -0.0001"),
        ("weight_decay", math.inf, "not inf"),
        ("weight_decay", "1e-4", "not '1e-4'"),
        ("batch_size", 0, "batch_size must be a positive integer, not 0"),
        ("batch_size", -4, "batch_size must be a positive integer, not -4"),
        ("batch_size", 2.5, "batch_size must be a positive integer, not 2.5"),
        ("batch_size", True, "not True"),
        ("seed", -1, "seed must be an integer, 0 or larger, not -1"),
        ("seed", 1.5, "not 1.5"),
        ("seed", "a", "not 'a'"),
        ("seed", None, "seed must be an integer, 0 or larger, not None"),
        ("seed", True, "not True"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(argument, value, sentence):
    net = linear()
    net(example(10)[0])
    before = weights(net)
    with pytest.raises(ValueError, match=sentence):
        fit(net, example(10), verbose=False, **{argument: value})
    assert all((a == b).all() for a, b in zip(weights(net), before))


def test_numbers_of_numpy_are_numbers():
    exact = {"num_epochs": 2, "batch_size": 200, "lr": 0.5, "momentum": 0.5, "seed": 3}
    theirs = {
        "num_epochs": numpy.int64(2),
        "batch_size": numpy.uint8(200),  # 200 + 200 is more than it can hold
        "lr": numpy.float64(0.5),
        "momentum": numpy.float32(0.5),
        "seed": numpy.int32(3),
    }
    train = example(450)
    first, second = (fit(linear(), train, verbose=False, **given) for given in (exact, theirs))
    assert first.step_loss == second.step_loss and len(first.step_loss) == 6


# --- other people's data (the rest of it in test_data.py) ---


USES = {
    "fit": lambda net, data: fit(net, data, num_epochs=1, batch_size=8, verbose=False),
    "its test set": lambda net, data: fit(net, example(9), data, 1, 0.1, "constant", verbose=False),
    "evaluate": evaluate,
    "renew_statistics": renew_statistics,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda X, y: (X, y[:9]), r"same length; their shapes are \(10, 4\) and \(9,\)"),
        (lambda X, y: X, r"must be a pair \(X, y\) of arrays, not of type ndarray"),
        (lambda X, y: (X.tolist(), y), "X of .* must be an array of MXNet or NumPy, not of type l"),
        (lambda X, y: (X[:0], y[:0]), "is empty"),
        (lambda X, y: (X.astype("uint8"), y), "X of .* must hold floats, not uint8"),
        (lambda X, y: (X / 0, y), "X of .* has a value that is not finite"),
        (lambda X, y: (X, y.reshape(-1, 1)), r"shape \(N,\), not \(10, 1\): use y.reshape"),
        (lambda X, y: (X, y - 1), "y of .* must hold whole numbers, 0 or larger, not -1"),
    ],
)
def test_data_that_make_no_sense_are_refused(use, spoil, sentence):
    net = linear()
    net(example(10)[0])
    before = weights(net)
    with pytest.raises(ValueError, match=sentence):
        use(net, spoil(*example(10)))
    assert all((a == b).all() for a, b in zip(weights(net), before))


def test_the_data_that_are_wrong_are_named():
    with pytest.raises(ValueError, match="X of train has"):
        fit(linear(), (example(10)[0] / 0, example(10)[1]), verbose=False)
    with pytest.raises(ValueError, match="X of test has"):
        fit(linear(), example(10), (example(10)[0] / 0, example(10)[1]), verbose=False)


@pytest.mark.parametrize("use", [*USES][:3])
def test_a_label_without_a_score_is_refused_before_a_step(use):
    net, (X, y) = linear(), example(10)
    net(X)
    before = weights(net)
    y[7] = 3
    with pytest.raises(ValueError, match="y holds the label 3, .* scores for 3 classes, 0 to 2"):
        USES[use](net, (X, y))
    assert all((a == b).all() for a, b in zip(weights(net), before))


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_gets_its_data_in_the_type_of_its_weights(use, dtype):
    net, (X, y) = linear(), example(10)
    net(X)
    net.cast(dtype)
    for form in (X, X.astype("float16"), X.astype("float64"), X.asnumpy(), X.as_nd_ndarray()):
        USES[use](net, (form, y.astype("uint8")))
    assert net.weight.dtype == dtype


def test_another_form_of_the_data_is_another_form_only():
    X, y = example(40)
    expected = fit(linear(), (X, y), verbose=False).step_loss
    for form in (
        (X.asnumpy(), y.asnumpy()),
        (X.asnumpy().astype("float64"), y.asnumpy().astype("uint8")),
        [X.as_nd_ndarray(), y.as_nd_ndarray().astype("float32")],
    ):
        assert fit(linear(), form, form, verbose=False).step_loss == expected


class Gives(nn.Block):
    """A network whose answer is made of a dense layer's by a function."""

    def __init__(self, function):
        super().__init__()
        self.dense, self.function = nn.Dense(3), function

    def forward(self, X):
        return self.function(self.dense(X))


@pytest.mark.parametrize("use", [fit, evaluate])
@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda scores: (scores, scores), "not of type builtins.tuple"),
        (lambda scores: scores.asnumpy(), "not of type numpy.ndarray"),
        (lambda scores: scores.reshape(-1), r"not \(30,\)"),
        (lambda scores: scores.reshape(-1, 3, 1), r"not \(10, 3, 1\)"),
        (lambda scores: scores[:9], r"not \(9, 3\)"),
    ],
)
def test_scores_of_another_form_are_refused(use, function, found):
    with pytest.raises(ValueError, match=rf"scores of shape \(10, classes\) .*, {found}\."):
        use(initialized(Gives(function)), example(10))


@pytest.mark.parametrize("use", [fit, evaluate])
@pytest.mark.parametrize(
    "make", [lambda: nn.Dense(3, in_units=7), lambda: nn.Conv2D(3, 3), lambda: BatchNorm(7, 2)]
)
def test_an_input_that_the_network_cannot_take_is_named_by_its_shape(use, make, capfd):
    with pytest.raises(ValueError, match=r"^The network cannot take an X of shape \(10, 4\): .+$"):
        use(initialized(make()), example(10))


@pytest.mark.parametrize("use", [fit, evaluate])
def test_what_is_no_block_is_refused(use):
    with pytest.raises(ValueError, match="net must be a Gluon block, not of type function"):
        use(lambda X: X, example(10))


def body_and_head():
    net = nn.HybridSequential()
    net.add(nn.Dense(5), nn.BatchNorm(), nn.Dense(3))
    return initialized(net)


def test_a_frozen_network_is_refused_a_frozen_part_stays():
    net, train = body_and_head(), example(20)
    net[:2].collect_params().setattr("grad_req", "null")
    net(train[0])
    before = weights(net)
    fit(net, train, num_epochs=1, batch_size=4, verbose=False)
    assert [(a == b).all() for a, b in zip(weights(net), before)] == 6 * [True] + 2 * [False]
    net.collect_params().setattr("grad_req", "null")
    with pytest.raises(ValueError, match='every parameter is frozen. Set grad_req = "write"'):
        fit(net, train, verbose=False)
    evaluate(net, train)


def test_gradients_that_add_up_are_refused():
    net = linear()
    net.bias.grad_req = "add"
    with pytest.raises(ValueError, match='grad_req = "write" where it is "add"'):
        fit(net, example(10), verbose=False)


def test_under_record_it_is_refused_to_train():
    with pytest.raises(ValueError, match="outside of autograd.record"), autograd.record():
        fit(linear(), example(10), verbose=False)


@pytest.mark.parametrize("mode", [autograd.record, autograd.train_mode])
@pytest.mark.parametrize("norm", [BatchNorm, lambda num_features, num_dims: nn.BatchNorm()])
def test_evaluate_predicts_in_every_mode(fashion, norm, mode):
    net, (X, y) = initialized(lenet(norm, "relu")), fashion[1]
    order = np.argsort(y)  # classes apart, so that a batch's own statistics are of one class
    data = X[order], y[order]
    fit(net, fashion[0], num_epochs=1, verbose=False)
    expected, before = evaluate(net, data, 20), weights(net)
    with mode():
        assert evaluate(net, data, 20) == expected
    assert all((a == b).all() for a, b in zip(weights(net), before))


# --- the last batch ---


@pytest.mark.parametrize(
    ("num", "batch_size", "sizes"),
    [
        (41, 20, [20, 20]),
        (44, 20, [20, 20]),
        (45, 20, [20, 20, 5]),
        (40, 20, [20, 20]),
        (9, 4, [4, 4]),
        (10, 4, [4, 4]),
        (11, 4, [4, 4, 3]),
        (9, 2, [2, 2, 2, 2]),
        (3, 1, [1, 1, 1]),
        (2, 20, [2]),
        (1, 20, [1]),
    ],
)
def test_a_small_last_batch_is_left_out_unless_it_is_the_only_one(
    monkeypatch, num, batch_size, sizes
):
    seen = []

    def stream(*args):
        for X, y in batches(*args):
            seen.append(len(y))
            yield X, y

    monkeypatch.setattr(training, "batches", stream)
    rates = []
    monkeypatch.setattr(gluon.Trainer, "set_learning_rate", lambda self, rate: rates.append(rate))
    history = fit(linear(), example(num), num_epochs=1, batch_size=batch_size, verbose=False)
    assert seen == sizes and len(history.step_loss) == len(sizes)
    assert rates[-1] == pytest.approx(0, abs=1e-9)  # the schedule ends with the last step


def test_what_one_epoch_leaves_out_another_sees(monkeypatch):
    X, y = np.arange(21).reshape(21, 1) / 21, np.zeros(21)
    seen = []

    def stream(*args):
        for batch in batches(*args):
            seen.extend(batch[0].reshape(-1).tolist())
            yield batch

    monkeypatch.setattr(training, "batches", stream)
    fit(linear(), (X, y), num_epochs=3, batch_size=20, verbose=False)
    assert len(seen) == 60 and len(set(seen)) == 21


@pytest.mark.parametrize("use", [fit, evaluate])
@pytest.mark.parametrize("make", [lambda: nn.Dense(3), lambda: nn.Dense(3, in_units=4), lenet])
def test_a_network_without_weights_is_refused(use, make):
    with pytest.raises(ValueError, match=r"no weights yet: call net\.initialize\(\) first"):
        use(make(), example(10))


# --- the device ---


def test_the_network_goes_where_the_device_is(monkeypatch):
    device, data = mx.cpu(1), example(20)
    monkeypatch.setattr(training.d2l, "try_gpu", lambda: device)
    deferred, shaped = initialized(nn.Dense(3)), initialized(nn.Dense(3, in_units=4))
    own = nn.Sequential()
    own.add(nn.Dense(4), BatchNorm(4, 2), nn.Dense(3))
    for net in (deferred, shaped, initialized(own)):
        fit(net, data, data, num_epochs=1, batch_size=8, verbose=False)
        evaluate(net, data)
        assert all(p.list_ctx() == [device] for p in net.collect_params().values())


def test_a_network_is_compiled_once_with_static_memory(monkeypatch):
    calls, original = [], gluon.HybridBlock.hybridize

    def noted(self, *args, **settings):
        if self is net:
            calls.append((args, settings))
        original(self, *args, **settings)

    monkeypatch.setattr(gluon.HybridBlock, "hybridize", noted)
    net = linear()
    for _ in range(2):
        fit(net, example(10), num_epochs=1, verbose=False)
        evaluate(net, example(10))
    assert calls == [((), {"static_alloc": True, "static_shape": True})]


# --- a loss that is not finite ---


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 4, 17, 20])
def test_a_loss_that_is_not_finite_is_named_with_its_step(monkeypatch, step, value):
    taken = [0]

    def poisoned(*args):
        for X, y in batches(*args):
            taken[0] += 1
            yield X * (value if taken[0] == step else 1), y

    monkeypatch.setattr(training, "batches", poisoned)
    with pytest.raises(FloatingPointError) as caught:
        fit(linear(), example(40), lr=0.02, batch_size=2, seed=3, verbose=False)
    sentence, history = str(caught.value), caught.value.history
    assert f"in epoch 1, step {step}:" in sentence
    assert "learning rate (at most 0.02) is probably too large" in sentence
    assert len(history.step_loss) == step and not math.isfinite(history.step_loss[-1])
    assert all(math.isfinite(loss) for loss in history.step_loss[:-1])
    assert history.train_loss == []
    # Nobody waits for the device at each step, and nobody goes on for long after the fault.
    assert taken[0] == min(step + training.AHEAD, 20)


def test_the_epoch_of_the_fault_is_named_and_the_ones_before_are_kept(monkeypatch):
    epochs = itertools.count(1)

    def poisoned(*args):
        epoch = next(epochs)
        for step, (X, y) in enumerate(batches(*args), start=1):
            yield X * (math.nan if (epoch, step) == (3, 4) else 1), y

    monkeypatch.setattr(training, "batches", poisoned)
    with pytest.raises(FloatingPointError, match=r"became nan in epoch 3, step 4:") as caught:
        fit(linear(), example(20), batch_size=2, verbose=False)
    history = caught.value.history
    assert (len(history.train_loss), len(history.step_loss)) == (2, 2 * 10 + 4)


def test_too_large_a_rate_is_found_out():
    X, y = example(40)
    with pytest.raises(FloatingPointError, match=r"learning rate \(at most 1e\+38\)"):
        fit(linear(), (X * 100, y), lr=1e38, schedule="constant", batch_size=8, verbose=False)


def spoil_a_weight(net):
    """A hidden layer gives NaN, and ReLU turns it into 0: the loss stays finite."""
    net[0].weight.data()[0, 0] = math.nan


def hidden_and_out():
    net = nn.HybridSequential()
    net.add(nn.Dense(5, activation="relu"), nn.Dense(3))
    initialized(net)(example(1)[0])
    return net


def test_a_weight_that_is_not_finite_ends_the_training_after_the_epoch(monkeypatch):
    net, epochs = hidden_and_out(), itertools.count(1)

    def spoilt(*args):
        if next(epochs) == 2:
            spoil_a_weight(net)
        yield from batches(*args)

    monkeypatch.setattr(training, "batches", spoilt)
    with pytest.raises(
        FloatingPointError, match=r"After epoch 2, dense\d+_weight has values"
    ) as at:
        fit(net, example(20), num_epochs=4, batch_size=4, verbose=False)
    history = at.value.history
    assert len(history.train_loss) == 1 and len(history.step_loss) == 10
    assert all(math.isfinite(loss) for loss in history.step_loss)


@pytest.mark.parametrize("use", [fit, evaluate])
def test_a_network_that_is_lost_is_refused(use):
    net = hidden_and_out()
    spoil_a_weight(net)
    with pytest.raises(
        FloatingPointError, match=r"^dense\d+_weight has values .* make a new network"
    ):
        use(net, example(20))


# --- Ctrl-C ---


def interrupted(monkeypatch, epoch, step):
    """Let the `step`-th batch of an epoch be Ctrl-C."""
    epochs = itertools.count(1)

    def stream(*args):
        now = next(epochs)
        for i, batch in enumerate(batches(*args), start=1):
            if (now, i) == (epoch, step):
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(training, "batches", stream)


def test_ctrl_c_keeps_history_and_network(monkeypatch, capsys):
    interrupted(monkeypatch, epoch=2, step=9)
    net, train = linear(), example(40)
    net(train[0])
    before = weights(net)
    history = fit(net, train, batch_size=4, num_epochs=5)
    assert [len(getattr(history, name)) for name in LISTS[:5]] == [1, 0 + 1, 0, 0, 1]
    assert 10 < len(history.step_loss) <= 10 + 8
    assert all((a != b).any() for a, b in zip(weights(net), before))
    assert evaluate(net, train)[0] < math.inf
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == str(history)
    assert lines[1] == "stopped by hand in epoch 2"


def test_ctrl_c_in_the_first_epoch_is_raised_and_leaves_the_network_usable(monkeypatch, capsys):
    interrupted(monkeypatch, epoch=1, step=9)
    net, train = linear(), example(40)
    net(train[0])
    before = weights(net)
    with pytest.raises(KeyboardInterrupt):
        fit(net, train, batch_size=4, num_epochs=5)
    assert capsys.readouterr().out == "stopped by hand in epoch 1\n"
    monkeypatch.undo()
    assert all((a != b).any() for a, b in zip(weights(net), before))
    assert len(fit(net, train, num_epochs=1, verbose=False).seconds) == 1


def test_ctrl_c_is_raised_when_nobody_would_read_of_it(monkeypatch):
    interrupted(monkeypatch, epoch=3, step=2)
    with pytest.raises(KeyboardInterrupt):
        fit(linear(), example(20), num_epochs=5, batch_size=4, verbose=False)


def test_ctrl_c_while_testing_leaves_lists_of_one_length(monkeypatch, capsys):
    calls = itertools.count(1)

    def stopped(net, data):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(net, data)

    monkeypatch.setattr(training, "evaluate", stopped)
    history = fit(linear(), example(20), example(10), num_epochs=3)
    assert len({len(getattr(history, name)) for name in LISTS[:5]}) == 1
    assert str(history) == capsys.readouterr().out.splitlines()[0]
    history.plot()


# --- what it says ---


def test_a_quiet_training_says_nothing(capsys):
    fit(linear(), example(20), example(10), num_epochs=2, verbose=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("test", [None, example(10)], ids=["alone", "with a test set"])
def test_one_line_an_epoch_where_nobody_watches(capsys, test):
    history = fit(linear(), example(100), test, num_epochs=3, batch_size=2)
    out, err = capsys.readouterr()
    assert (out, err) == (str(history) + "\n", "")
    assert out.count("\n") == 3 and "\r" not in out


def test_a_line_names_its_numbers():
    history = History([0.51234, 0.4], [0.8, 0.85], [0.6, 0.5], [0.79, 0.82], [1.26, 10.0])
    first, second = str(history).splitlines()
    assert first == "epoch  1  loss 0.512  train 0.800  test 0.790    1.3 s"
    assert second == "epoch  2  loss 0.400  train 0.850  test 0.820   10.0 s"
    alone = History([0.5], [0.8], seconds=[2.0])
    assert str(alone) == "epoch  1  loss 0.500  train 0.800    2.0 s"


def test_a_history_plots_itself():
    history = History([2, 1], [0.3, 0.6], seconds=[1, 1])
    axes = history.plot("plain", color="#123456")
    assert [line.get_ydata().tolist() for line in axes[0].lines] == [[2, 1]]
    assert axes[1].lines[0].get_color() == "#123456"
    assert "plain" in axes[0].lines[0].get_label()
    again = history.plot("again", axes=axes)
    assert again is axes and len(axes[0].lines) == 2


# --- running statistics made anew ---


@pytest.mark.parametrize("kind", ["gluon", "the course's"])
def test_after_a_recalibration_the_running_statistics_are_those_of_the_data(kind):
    X, y = example(25_600)
    net = nn.Sequential() if kind == "the course's" else nn.HybridSequential()
    norm = BatchNorm(5, 2) if kind == "the course's" else nn.BatchNorm()
    net.add(nn.Dense(5), norm, nn.Dense(3))
    initialized(net)
    fit(net, (X[:500], y[:500]), num_epochs=1, lr=0.1, batch_size=50, verbose=False)
    net[0].bias.set_data(np.arange(5))  # now the statistics are of other weights
    net[0].weight.set_data(3 * net[0].weight.data())
    mean, var = list(norm.collect_params().values())[2:]
    before = {p.name: p.data().asnumpy() for p in net.collect_params().values()}
    renew_statistics(net, (X, y))
    W, b, *_ = (value.astype("float64") for value in before.values())
    Z = X.asnumpy() @ W.T + b
    assert numpy.abs(mean.data().asnumpy() - Z.mean(axis=0)).max() < 0.05 * Z.std()
    assert var.data().asnumpy().reshape(-1) == pytest.approx(Z.var(axis=0), rel=0.1)
    for p in net.collect_params().values():
        assert (p.data().asnumpy() == before[p.name]).all() == (p not in (mean, var)), p.name


def test_a_recalibration_is_a_moving_average_over_shuffled_batches():
    X, y = example(70)
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(momentum=0.5, in_channels=4))
    initialized(net)
    renew_statistics(net, (X, y), batch_size=30)
    mean = 0
    for batch, _ in batches((X, y), 30, seed=0, drop_last=True):
        mean = (mean + batch.asnumpy().mean(axis=0)) / 2
    assert net[0].running_mean.data().asnumpy() == pytest.approx(mean, abs=1e-6)


def test_a_recalibration_is_over_when_it_returns():
    net = nn.HybridSequential()
    net.add(nn.Dense(4), nn.BatchNorm(), nn.Dense(3))
    fit(initialized(net), example(20), num_epochs=1, verbose=False)
    for _ in range(50):
        renew_statistics(net, example(20))
        at_once = net[1].running_mean.data().asnumpy().copy()
        npx.waitall()
        assert (net[1].running_mean.data().asnumpy() == at_once).all()


def test_a_recalibration_goes_where_the_network_was_trained(monkeypatch):
    device, data = mx.cpu(1), example(20)
    monkeypatch.setattr(training.d2l, "try_gpu", lambda: device)
    net = nn.HybridSequential()
    net.add(nn.Dense(4), nn.BatchNorm(), nn.Dense(3))
    fit(initialized(net), data, num_epochs=1, verbose=False)
    before = net[1].running_mean.data().asnumpy()
    renew_statistics(net, data)
    assert (net[1].running_mean.data().asnumpy() != before).all()
    assert all(p.list_ctx() == [device] for p in net.collect_params().values())


def test_a_recalibration_reaches_frozen_layers():
    net, train = body_and_head(), example(600)
    net(train[0])
    net.collect_params().setattr("grad_req", "null")
    renew_statistics(net, train)
    hidden = net[0](train[0])
    expected = (1 - 0.9**2) * hidden.mean(axis=0)  # two batches of 256
    assert numpy.abs((net[1].running_mean.data() - expected).asnumpy()).max() < 0.1
    assert (net[1].running_mean.data() != 0).all()
