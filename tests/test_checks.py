"""The checks of the exercises: right answers pass, wrong ones get the word that fits, none raises."""

import importlib
import os
import random
import signal
import sys
import threading
import time
import zlib

import d2lutils
from d2lutils import checks as check
from d2lutils.checks import engine, lesson07

import numpy
import pytest
from mxnet import autograd, gluon, init, np, npx
from mxnet.base import _LIB
from mxnet.gluon import Block, nn

ANSWERS = {lesson: importlib.import_module(f"answers.lesson{lesson}") for lesson in check.LESSONS}
RIGHT = {name: right for module in ANSWERS.values() for name, right in module.RIGHT.items()}
WRONG = {name: wrong for module in ANSWERS.values() for name, wrong in module.WRONG.items()}
ROUNDS = int(os.environ.get("CHECK_ROUNDS", "1"))  # inputs are random: more of them find more
SEED = int(os.environ.get("CHECK_SEED", "0"))
NAMES = {n: found for lesson in check.LESSONS for n, found in check.exercises(lesson).items()}


def rounds(number=ROUNDS):
    """Other inputs each time, for answers that draw from the generators of everybody, too."""
    for i in range(number):
        d2lutils.seed_everything(SEED + i)
        yield


@pytest.fixture(autouse=True)
def a_failure_comes_back(monkeypatch, request):
    """What is fresh for a learner is the same at each run of a test, until the seed is another."""
    make = numpy.random.default_rng
    seeds = make([SEED, zlib.crc32(request.node.name.encode())])
    d2lutils.seed_everything(SEED)
    monkeypatch.setattr(
        numpy.random,
        "default_rng",
        lambda seed=None: make(seeds.integers(2**63) if seed is None else seed),
    )


@pytest.fixture
def say(capsys):
    """Call a check; returns what it printed."""

    def call(exercise, *answers, **named):
        exercise(*answers, **named)
        printed = capsys.readouterr()
        assert printed.err == ""
        assert "Traceback" not in printed.out and "cannot read" not in printed.out, printed.out
        assert printed.out.startswith(f"{exercise.number} {exercise.title}: {exercise.state}.")
        return printed.out

    return call


def each(table):
    return [
        pytest.param(name, item, id=f"{name}-{i}")
        for name, items in table.items()
        for i, item in enumerate(items)
    ]


# --- right and wrong answers ---


def test_every_exercise_has_its_answers():
    assert set(NAMES) == set(RIGHT) == set(WRONG)
    assert all(getattr(check, name) is found for name, found in NAMES.items())
    assert [name for name in NAMES if len(RIGHT[name]) < 2 or len(WRONG[name]) < 3] == []


STOPWATCHES = {"raced", "stopped_too_early", "first_call_timed"}


def verdict(say, name, answers, word):
    """What the check says. Other programs can disturb a stopwatch: it may have a second and a third
    try to say the word."""
    for _ in range(3 if name in STOPWATCHES else 1):
        said = say(NAMES[name], *answers)
        if word in " ".join(said.split()):
            break
    return said


@pytest.mark.parametrize("name, answers", each(RIGHT))
def test_a_right_answer_is_accepted_in_the_same_words(say, name, answers):
    words = set()
    for _ in rounds(ROUNDS + 1):
        said = verdict(say, name, answers, ": right.")
        assert NAMES[name].state == "right", said
        assert "ok" in said and "failed" not in said
        words.add(said)
    assert len(words) == 1, "nbval compares them"


@pytest.mark.parametrize("name", [name for name in NAMES if NAMES[name].options])
def test_a_right_choice_gets_the_reason_of_every_option(say, name):
    said = " ".join(say(NAMES[name], *RIGHT[name][0]).split())
    for letter, (right, reason) in NAMES[name].options.items():
        assert f"({letter}) is {'right' if right else 'wrong'}: {reason}" in said


@pytest.mark.parametrize("name, wrong", each(WRONG))
def test_a_wrong_answer_gets_the_hint_that_fits(say, name, wrong):
    answers, word = wrong
    for _ in rounds():
        said = verdict(say, name, answers, word)
        assert NAMES[name].state == "not right yet", said
        assert "failed" in said
        first = said.split("hint 1 of 3: ")[1].split("[hint(2)")[0]
        assert word in " ".join(first.split()), said


@pytest.mark.parametrize("name", NAMES)
def test_there_are_three_hints_and_no_more(capsys, name):
    exercise = NAMES[name]
    exercise(*WRONG[name][0][0])
    for number in (1, 2, 3):
        capsys.readouterr()
        check.hint(number)
        assert f"{exercise.title}, hint {number} of 3: " in capsys.readouterr().out
    check.hint(3)
    assert "says more" not in capsys.readouterr().out
    check.hint(4)
    assert "three hints" in capsys.readouterr().out


# --- whatever else somebody may pass ---


class Changed(nn.Block):
    """A block with its output changed."""

    def __init__(self, inner, change):
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, X):
        return self.change(self.inner(X))


def changed(answer, change):
    """The same function, or a function that makes the same blocks, with its results changed."""

    def function(*arguments):
        result = answer(*arguments)
        return Changed(result, change) if isinstance(result, Block) else change(result)

    return function


def in_each_array(change):
    def apply(result):
        if isinstance(result, tuple | list):
            return tuple(apply(part) for part in result)
        return change(np.array(result, dtype="float32"))

    return apply


def endless(_):
    """Much longer than the time limit, and not for ever, should the limit fail."""
    for _ in range(2000):
        time.sleep(0.01)


def unwritten(_):
    raise NotImplementedError


def failing(*_):
    raise ValueError("the sky is green")


CALLABLE = {
    "nothing": (lambda _: None, "not answered yet"),
    "dots": (lambda _: ..., "not answered yet"),
    "not written": (unwritten, "not answered yet"),
    "raises": (failing, "raised ValueError: the sky is green"),
    "exits": (lambda _: sys.exit(3), "raised SystemExit: 3"),
    "never returns": (endless, "still running after 0.3 seconds"),
    "text": (lambda _: "forty-two", "forty-two"),
    "NaN": (in_each_array(lambda a: a * float("nan")), "NaN"),
    "shape": (in_each_array(lambda a: np.stack([a, a])), "shape"),
}


def with_each_callable(name):
    """The right answers of an exercise, one callable at a time left to be replaced."""
    answers = RIGHT[name][0]
    for i, answer in enumerate(answers):
        if callable(answer):
            yield answer, lambda new, i=i: (*answers[:i], new, *answers[i + 1 :])


TAKING_CALLABLES = [name for name in NAMES if any(callable(a) for a in RIGHT[name][0])]
RETURNING_WORDS = {
    "diagnosed",
    "decay_everywhere",
    "for_pytorch",
    "one_file",
    "renewed_for_export",
}  # a word, a trainer, dictionaries: no numbers that could be NaN or of another shape


@pytest.mark.parametrize("kind", CALLABLE)
@pytest.mark.parametrize("name", TAKING_CALLABLES)
def test_code_that_does_not_work_gets_a_sentence(say, monkeypatch, name, kind):
    if kind == "never returns":  # the others may meet a garbage collection of 0.3 seconds
        monkeypatch.setattr(engine, "SECONDS", 0.3)
    if name in RETURNING_WORDS and kind in ("NaN", "shape"):
        pytest.skip("its result is no number")
    change, word = CALLABLE[kind]
    for answer, put in with_each_callable(name):
        said = say(NAMES[name], *put(changed(answer, change)))
        assert word in " ".join(said.split()), said
        assert NAMES[name].state in ("not right yet", "not answered yet")


OTHER_KINDS = {"42": 42, "text": "text", "list": [1, 2], "array": np.ones(3), "object": object()}


@pytest.mark.parametrize("what", OTHER_KINDS.values(), ids=OTHER_KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_of_another_kind_gets_a_sentence(say, name, what):
    for i in range(len(RIGHT[name][0])):
        answers = list(RIGHT[name][0])
        answers[i] = what
        said = say(NAMES[name], *answers)
        assert NAMES[name].state == "not right yet" and "hint 1 of 3" in said


@pytest.mark.parametrize("blank", [None, ...])
@pytest.mark.parametrize("name", NAMES)
def test_a_blank_is_not_answered_yet(say, name, blank):
    for i in range(len(RIGHT[name][0])):
        answers = list(RIGHT[name][0])
        answers[i] = blank
        say(NAMES[name], *answers)
        assert NAMES[name].state == "not answered yet"


@pytest.mark.parametrize("name", NAMES)
def test_another_number_of_answers_gets_a_sentence(say, name):
    said = say(NAMES[name], *RIGHT[name][0], 1)
    assert f"takes {len(RIGHT[name][0])} answer(s)" in said


def test_answers_can_be_named(say):
    say(check.smallest_batch, smallest_1x2=2, smallest_5x5=1, smallest_dense=3)
    assert check.smallest_batch.state == "right"
    said = say(check.smallest_batch, 3, 1, smallest=2)
    assert "takes 3 answer(s): smallest_dense, smallest_5x5, smallest_1x2." in said


@pytest.mark.parametrize(
    "letter", ["c", "C", " c) ", "(c)", "c.", "**c)**", "'c'", "_c_", "option c"]
)
def test_a_letter_is_read_with_whatever_stands_around_it(say, letter):
    say(check.what_comes_out, letter)
    assert check.what_comes_out.state == "right"


@pytest.mark.parametrize("letter", ["a or c", "c, d", "", "e", "cd", 3, ["c"]])
def test_what_is_not_one_letter_is_no_choice(say, letter):
    assert "Choose one of" in say(check.what_comes_out, letter)


NUMBERS = [11175370, 11175370.0, "11,175,370", "11175370", "11_175_370", " 11 175 370 "]
NUMBERS += [(11, 175, 370), [11175370], np.array([[11175370]], dtype="int64")]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_a_number_is_read_as_people_write_it(value):
    assert engine.Trial().number("it", value) == 11175370


@pytest.mark.parametrize("value", [(0, 1), "0,1", "eleven", "1,23", (1, 2000), [11, 175], (), 1j])
def test_what_may_mean_another_number_is_not_guessed(value):
    with pytest.raises(engine.Wrong):
        engine.Trial().number("it", value)


def test_small_numbers_with_zeros_between_commas():
    assert engine.Trial().number("it", (1, 0, 5)) == 1_000_005
    assert engine.Trial().number("it", "0.1") == engine.Trial().number("it", [0.1]) == 0.1


@pytest.mark.parametrize("value", [float("nan"), [float("nan")] * 8, [1.0] * 99])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TAKING_CALLABLES])
def test_a_value_that_is_no_number_or_too_long_gets_a_sentence(say, name, value):
    said = say(NAMES[name], *[value] * len(RIGHT[name][0]))
    assert NAMES[name].state == "not right yet" and "hint 1 of 3" in said


# --- checks with a stopwatch ---


def test_a_disturbed_measurement_gives_no_verdict(say, monkeypatch):
    sleep, calls = time.sleep, iter(range(10**6))
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds * (1 + next(calls) % 3)))
    said = say(check.raced, RIGHT["raced"][0][0])
    assert check.raced.state == "not checked yet" and "disturb the measurement" in said


def test_waits_are_no_longer_counted_after_the_check(say):
    before = [getattr(_LIB, name) for name in lesson07.WAITING]
    for function in (RIGHT["waits_removed"][0][0], failing):
        say(check.waits_removed, function)
    assert before == [getattr(_LIB, name) for name in lesson07.WAITING]


# --- the engine ---


@pytest.mark.parametrize("name", NAMES)
def test_the_learners_state_stays(capsys, name):
    def draws():
        return random.random(), numpy.random.rand(), np.random.normal(size=1).item()

    d2lutils.seed_everything(3)
    before = draws()
    d2lutils.seed_everything(3)
    with autograd.record(train_mode=False):
        for answers in RIGHT[name]:
            NAMES[name](*answers)
        modes = autograd.is_recording(), autograd.is_training()
    assert modes == (True, False)
    assert draws() == before


def test_what_a_learners_code_seeds_and_switches_is_put_back(say):
    def meddling(X, *_):
        random.seed(1)
        numpy.random.seed(1)
        autograd.set_recording(True)
        autograd.set_training(True)
        return X

    random.seed(5)
    numpy.random.seed(5)
    expected = random.random(), numpy.random.rand()
    random.seed(5)
    numpy.random.seed(5)
    say(check.normalized_backward, meddling)
    assert (random.random(), numpy.random.rand()) == expected
    assert not autograd.is_recording() and not autograd.is_training()


def test_an_interrupted_check_says_so(say):
    def interrupted(*_):
        raise KeyboardInterrupt

    assert "was interrupted" in say(check.layer_norm, interrupted)


def test_the_line_that_failed_is_named(say):
    def wrong(X, gamma, beta, eps):
        return X @ np.ones((1000, 3))

    said = say(check.layer_norm, wrong)
    assert "in line" in said and "return X @ np.ones((1000, 3))" in said


class Unprepared(nn.Block):
    def __init__(self, num_features):
        self.layer = nn.Dense(num_features)


class Unregistered(nn.Block):
    def __init__(self, num_features):
        super().__init__()
        self.weight = gluon.Parameter("weight", shape=(num_features,))

    def forward(self, X):
        return X * self.weight.data()


class WithoutData(nn.Block):
    def __init__(self, num_features):
        super().__init__()
        self.gamma = self.params.get("gamma", shape=(num_features,), init="ones")

    def forward(self, X):
        return X * self.gamma


class Misnamed(nn.Block):
    def __init__(self, num_features):
        super().__init__()

    def hybrid_forward(self, F, X):
        return X


def filled(X, *_):
    Y = np.zeros_like(X)
    Y[0] = 2 * X[0]
    return 2 * Y


def overwritten(X, *_):
    Y = 2 * X
    Y += 1
    return Y


def mixed(outer, inner):
    block = outer()
    block.add(inner)
    return block


EXCEPTIONS = {  # what goes wrong, and the word for it
    "arguments": (lambda X: X, "how many, and in which order"),
    "a name": (lambda *_: unheard_of, "spelled"),  # noqa: F821
    "an attribute": (lambda X, *_: X.maen(), "spelled"),
    "an integer": (lambda *_: range(2.0), "// divides"),
    "two types": (lambda X, *_: X.T @ np.ones(X.shape, dtype="float64"), "float32"),
    "a shape": (lambda X, *_: X.reshape(7, 7, 7), "Print the values in that line"),
}
BLOCK_EXCEPTIONS = {
    "no super": (Unprepared, "super().__init__()"),
    "no parameter": (Unregistered, "finds no others"),
    "no data": (WithoutData, "its .data() is"),
    "another method": (Misnamed, "an nn.Block needs forward(self, X)"),
    "a block in a hybrid one": (
        lambda n: mixed(nn.HybridSequential, nn.Lambda("relu")),
        "use nn.Sequential",
    ),
    "half a channel": (lambda n: nn.Conv2D(n / 8, 1), "int(...) rounds down"),
    "an instance": (nn.Dense(3), "not what it made"),
    "a fixed shape": (lambda n: nn.Dense(n, in_units=99), "in_channels or in_units"),
    "nothing": (lambda n: nn.Sequential().add(nn.Dense(n)), ".add() returns None too"),
}
LAYERS = {  # what people write who know PyTorch, and the word for it
    "layers at birth": (lambda n: nn.Sequential(nn.Dense(n), nn.Dense(n)), "net.add(a, b)"),
    "three at birth": (lambda n: nn.Sequential(nn.Dense(n), nn.Dense(n), nn.Dense(n)), "net.add"),
    "a list at birth": (lambda n: nn.Sequential([nn.Dense(n), nn.Dense(n)]), "net.add(a, b)"),
    "a list": (lambda n: filled_with(nn.Sequential, [nn.Dense(n)]), "not a list of them"),
    "a hybrid list": (lambda n: filled_with(nn.HybridSequential, [nn.Dense(n)]), "not a list"),
    "a function": (lambda n: filled_with(nn.Sequential, npx.relu), "A layer is needed there"),
    "channels": (lambda n: nn.BatchNorm(n), "not the number of channels"),
    "in and out": (lambda n: nn.Conv2D(n, 9, 3), "the number of output channels"),
    "in and out, size": (lambda n: nn.Conv2D(n, 9, kernel_size=3), "the number of output channels"),
    "inputs": (lambda n: nn.Dense(n, 9), "takes units only"),
    "ReLU": (lambda n: nn.ReLU(), 'nn.Activation("relu")'),
    "Linear": (lambda n: nn.Linear(n, n), "nn.Dense(units)"),
    "BatchNorm2d": (lambda n: nn.BatchNorm2d(n), "nn.BatchNorm()"),
    "F": (lambda n: nn.Lambda(lambda X: F.relu(X)), "npx.relu(X)"),  # noqa: F821
    "dim": (lambda n: nn.Lambda(lambda X: X.mean(dim=0)), "Here it is axis"),
    "keepdim": (lambda n: nn.Lambda(lambda X: X.mean(0, keepdim=True)), "Here it is keepdims"),
    "stride": (lambda n: nn.Conv2D(n, 1, stride=2), "Here it is strides"),
    "cat": (lambda n: nn.Lambda(lambda X: np.cat([X, X])), "np.concatenate"),
    "an unknown argument": (lambda n: nn.Dense(n, size=2), "no argument with this name"),
    "torch": (lambda n: __import__("torch"), "This course uses MXNet"),
}


def filled_with(kind, layers):
    net = kind()
    net.add(layers)
    return net


@pytest.mark.parametrize("what", LAYERS)
def test_a_word_of_pytorch_gets_that_of_mxnet(what):
    make, word = LAYERS[what]
    trial = engine.Trial()
    with pytest.raises(engine.Wrong) as raised:
        trial.build(make, 16, like=trial.normal(2, 3, 8, 8))
    assert word in raised.value.hint


RECORDED_EXCEPTIONS = {
    "filled": (filled, "build a new one"),
    "overwritten": (overwritten, "no array may be overwritten"),
    "detached": (lambda X, *_: X.detach(), "This was not recorded"),
    "NumPy": (lambda X, *_: X.asnumpy(), "That is a NumPy array"),
}


@pytest.mark.parametrize("what", EXCEPTIONS)
def test_an_exception_of_a_function_gets_a_hint(say, what):
    function, word = EXCEPTIONS[what]
    assert word in " ".join(say(check.layer_norm, function).split())


@pytest.mark.parametrize("what", BLOCK_EXCEPTIONS)
def test_an_exception_of_a_block_gets_a_hint(say, what):
    make, word = BLOCK_EXCEPTIONS[what]
    assert word in " ".join(say(check.moving_variance, "c", make).split())


@pytest.mark.parametrize("what", RECORDED_EXCEPTIONS)
def test_an_exception_under_record_gets_a_hint(what):
    function, word = RECORDED_EXCEPTIONS[what]
    trial = engine.Trial()
    with pytest.raises(engine.Wrong) as raised:
        trial.gradient(function, trial.normal(2, 3), trial.normal(2, 3))
    assert word in raised.value.hint


def test_parameters_that_can_only_be_named_are_filled_in_their_order(say):
    def layer_norm(X, *, gamma, beta, eps=1.0):
        return RIGHT["layer_norm"][0][0](X, gamma, beta, eps)

    class Layer(RIGHT["moving_variance"][0][1]):
        def __init__(self, *, num_features):
            super().__init__(num_features)

    say(check.layer_norm, layer_norm)
    say(check.moving_variance, "c", Layer)
    assert check.layer_norm.state == check.moving_variance.state == "right"


# --- what a training step leaves ---


class Named(nn.Block):
    """Batch normalization of (N, C) under names that say nothing, with a counter."""

    def __init__(self, num_features):
        super().__init__()
        self.counter = self.params.get("steps", shape=(1,), init="zeros", grad_req="null")
        self.a = self.params.get("a", shape=(1, num_features), init=init.Constant(1))
        self.b = self.params.get("b", shape=(num_features,), init="zeros")
        self.c = self.params.get("c", shape=(num_features,), init="zeros", grad_req="null")
        self.d = self.params.get("d", shape=(num_features,), init=init.One(), grad_req="null")

    def forward(self, X):
        c, d = self.c.data(), self.d.data()
        Y, c[:], d[:] = batch_norm(X, self.a.data(), self.b.data(), c, d, 1e-5, 0.9)
        return Y


def batch_norm(X, gamma, beta, mean, var, eps, momentum):
    Y, mean, var = d2lutils.batch_norm(X, gamma, beta, mean, var, eps, momentum)
    return Y, mean.detach().reshape(-1), var.detach().reshape(-1)


def net_of(*layers):
    net = nn.Sequential()
    net.add(*layers)
    return net


def alike(one, other):
    same = one.keys() == other.keys()
    return same and all(
        len(one[key]) == len(other[key]) and numpy.allclose(one[key], other[key], atol=1e-4)
        for key in one
    )


def steps_of(*nets):
    trial = engine.Trial()
    X, dY = trial.normal(6, 5), trial.normal(6, 5)
    for net in nets:
        trial.tie(trial.build(lambda net=net: net, like=X))
    return [trial.step(net, X, dY) for net in nets]


def test_layers_that_compute_the_same_agree_whatever_their_names():
    for layer in (d2lutils.BatchNorm(5, 2), Named(5)):
        theirs, ours = steps_of(net_of(nn.Dense(5), layer), net_of(nn.Dense(5), nn.BatchNorm()))
        assert numpy.allclose(theirs.Y, ours.Y, atol=1e-4)
        assert alike(theirs.gradients, ours.gradients)
        assert alike(theirs.statistics, ours.statistics)


class Idle(nn.Block):
    """Two layers, of which it uses one twice."""

    def __init__(self):
        super().__init__()
        self.first, self.twin = nn.Dense(5), nn.Dense(5, in_units=5)

    def forward(self, X):
        return self.first(self.first(X))


class Turned(Idle):
    """The layer that was made last comes first."""

    def forward(self, X):
        return self.first(self.twin(X))


def test_a_twin_that_is_idle_is_seen():
    twice, both = steps_of(Idle(), net_of(nn.Dense(5), nn.Dense(5)))
    assert numpy.allclose(twice.Y, both.Y, atol=1e-4)
    assert not alike(twice.gradients, both.gradients)
    for _ in range(9):
        both, turned = steps_of(net_of(nn.Dense(5), nn.Dense(5)), Turned())
        assert alike(both.gradients, turned.gradients)


def test_kinds_go_by_names_first():
    layer, norm = nn.Dense(2, in_units=2), nn.BatchNorm(in_channels=2)
    found = [engine.kind_of(p) for net in (layer, norm) for p in net.collect_params().values()]
    assert found == ["weight", "beta", "gamma", "beta", "mean", "var"]


def test_what_held_in_an_easier_case_is_not_listed_when_it_fails(capsys):
    def test(trial, answer):
        for case in (True, False):
            trial.holds("it is so", case, "hint")

    engine.Exercise("9", "Twice", test, ("two", "three"))(1)
    out = capsys.readouterr().out
    assert "failed  it is so" in out and "ok" not in out


def test_gradients_that_pile_up_begin_at_zero():
    piling, plain = nn.Dense(5), nn.Dense(5)
    piling.collect_params().setattr("grad_req", "add")
    trial = engine.Trial()
    X, dY = trial.normal(6, 5), trial.normal(6, 5)
    for layer in (piling, plain):
        trial.tie(trial.build(lambda layer=layer: layer, like=X))
        trial.step(layer, X, dY)
    assert alike(trial.step(piling, X, dY).gradients, trial.step(plain, X, dY).gradients)


def test_gradients_of_a_function_come_for_each_array():
    trial = engine.Trial()
    a, b, dY = trial.normal(2, 3), trial.normal(1, 3), trial.normal(2, 3)
    found = trial.gradients(lambda a, k, b: k * a * b.detach() + 0 * b, (a, 5, b), dY)
    assert len(found) == 2 and not found[1].any()
    assert numpy.allclose(found[0], 5 * b * dY, rtol=1e-4)


@pytest.mark.parametrize(
    "seen, rounded",
    [(0.426, True), (0.427, True), (0.43, True), (0.4, True)]
    + [(0.425, False), (0.42, False), (0.5, False), (0.4263, False)],
)
def test_a_number_is_rounded_up_or_down(seen, rounded):
    with pytest.raises(engine.Wrong) as raised:
        engine.Trial().equal("it", [seen, 1], [0.4265, 1], "hint", tolerance=1e-6)
    assert ("looks rounded" in raised.value.hint) == rounded


def test_a_secret_stays_one():
    with pytest.raises(engine.Wrong) as raised:
        engine.Trial().equal("it", 1, 2, "hint", secret=True)
    assert raised.value.expected == "another number" and raised.value.seen == "1"


@pytest.mark.parametrize(
    "name, place, word",
    [
        ("shortcuts_counted", 2, "for C"),
        ("channels_on_the_way", 0, "for the stem"),
        ("channels_on_the_way", 4, "for transition 2"),
    ],
)
def test_a_wrong_number_among_several_is_named(say, name, place, word):
    function, *more = RIGHT[name][0]

    def with_one_off(*size):
        found = [*function(*size)]
        found[place] += 1000
        return found

    said = say(NAMES[name], with_one_off, *more)
    (seen,) = [line for line in said.splitlines() if line.split()[0] == "seen"]
    assert seen.endswith(word)


def test_a_hint_of_the_call_comes_before_the_engines():
    with pytest.raises(engine.Wrong) as raised:
        engine.Trial().call(failing, hints={"sky": "Look up."})
    assert raised.value.hint == "Look up."


# --- mistakes that the checks know ---


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_out_by_a_mistake_gets_its_hint(say, monkeypatch, name):
    equal, rows = engine.Trial.equal, {}

    def feed_back(trial, what, seen, expected, hint, mistakes=(), **more):
        line, known = sys._getframe(1).f_lineno, list(mistakes)
        for i, (its_hint, wrong) in enumerate(known):
            got = None
            try:
                equal(trial, what, wrong, expected, hint, known, **more)
            except engine.Wrong as verdict:
                got = verdict.hint
            which = sum(earlier == its_hint for earlier, _ in known[:i])
            key = line, its_hint, which
            rows[key] = rows.get(key, False) or got == its_hint
        equal(trial, what, seen, expected, hint, known, **more)

    monkeypatch.setattr(engine.Trial, "equal", feed_back)
    for _ in rounds():
        rows.clear()
        say(NAMES[name], *RIGHT[name][0])
        assert NAMES[name].state == "right"
        assert [row for row, hinted in rows.items() if not hinted] == []


def test_a_partly_blank_answer_is_not_answered_yet(say):
    assert "Some of it is still blank" in say(check.batch_by_hand, [1, 1, ..., 9, 1, 1, 1, -7])


def test_a_swallowed_time_limit_comes_again(say, monkeypatch):
    monkeypatch.setattr(engine, "SECONDS", 0.2)

    def stubborn(*_):
        try:
            endless(_)
        except:  # noqa: E722
            endless(_)

    start = time.perf_counter()
    assert "still running" in say(check.layer_norm, stubborn)
    assert time.perf_counter() - start < 10


def test_a_swallowed_time_limit_leaves_nothing_behind(say, monkeypatch):
    """The function hears the limit, and returns: what it returns counts, and nothing is raised."""
    monkeypatch.setattr(engine, "SECONDS", 0.2)
    handler = signal.getsignal(signal.SIGALRM)

    def returns(*_):
        try:
            endless(_)
        except:  # noqa: E722
            return 1

    for _ in range(3):
        assert "failed" in say(check.layer_norm, returns)
    assert signal.getsignal(signal.SIGALRM) is handler


def test_except_exception_does_not_swallow_the_time_limit(say, monkeypatch):
    monkeypatch.setattr(engine, "SECONDS", 0.2)

    def careful(*_):
        try:
            endless(_)
        except Exception:
            return 1

    start = time.perf_counter()
    assert "still running" in say(check.layer_norm, careful)
    assert time.perf_counter() - start < 1  # the first signal ended it, not the second


def test_the_time_limit_waits_for_the_end_of_a_destructor():
    class Slow:
        def __del__(self):
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                pass

    start = time.monotonic()
    with pytest.raises(engine.TimeUp), engine._Limit(0.1):
        Slow()
        while time.monotonic() < start + 30:
            pass


def test_the_time_limit_leaves_timers_alone():
    pytests = signal.signal(signal.SIGALRM, failing), signal.setitimer(signal.ITIMER_REAL, 50, 7)
    try:
        with engine._Limit(5):
            pass
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 40 < left <= 50 and interval == 7
        assert signal.getsignal(signal.SIGALRM) is failing
    finally:
        signal.signal(signal.SIGALRM, pytests[0])
        signal.setitimer(signal.ITIMER_REAL, *pytests[1])


def deaf():
    """Hears no exception at all, and goes on; a hundred times as long as the limit, not for ever."""
    end = time.perf_counter() + 20
    while time.perf_counter() < end:
        try:
            while time.perf_counter() < end:
                try:
                    time.sleep(0.01)
                except:  # noqa: E722
                    continue
        except:  # noqa: E722
            pass


def watching(frame, event, arg):
    """What a debugger traces with."""


class Endless:
    """Has an item for every index, for a long while."""

    shape = (3,)

    def __init__(self):
        self.end = time.perf_counter() + 20

    def __len__(self):
        return 3

    def __getitem__(self, i):
        if time.perf_counter() > self.end:
            raise IndexError
        return 1.0


def test_a_bare_except_in_an_endless_loop_does_not_hang(say, monkeypatch):
    monkeypatch.setattr(engine, "SECONDS", 0.2)
    before, start = sys.gettrace(), time.perf_counter()
    sys.settrace(watching)
    try:
        assert "still running" in say(check.layer_norm, lambda *_: deaf())
        assert sys.gettrace() is watching
    finally:
        sys.settrace(before)
    assert time.perf_counter() - start < 5


def test_an_endless_answer_does_not_hang(say, monkeypatch):
    monkeypatch.setattr(engine, "READING", 0.5)
    start = time.perf_counter()
    assert "reading this answer took more than 0.5 seconds" in say(
        check.merged, lambda *_: [Endless()] * 2
    )
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("switch", [npx.reset_np, lambda: npx.set_np(array=False)])
def test_a_switch_that_is_off_does_not_matter_and_stays_off(say, switch):
    switch()
    try:
        before = npx.is_np_array(), npx.is_np_shape()
        for name in ("layer_norm", "moving_variance", "wrong_alone"):
            say(NAMES[name], *RIGHT[name][0])
            assert NAMES[name].state == "right"
        assert (npx.is_np_array(), npx.is_np_shape()) == before
    finally:
        npx.set_np()


def test_outside_the_main_thread_there_is_no_limit():
    said = []

    def run():
        check.normalized_backward(RIGHT["normalized_backward"][0][0])
        said.append(check.normalized_backward.state)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert said == ["right"]


def test_a_hint_before_any_answer(capsys, monkeypatch):
    monkeypatch.setattr(engine, "_last", None)
    check.hint(1)
    assert "Run a check first" in capsys.readouterr().out


def test_the_first_hint_comes_with_an_answer(capsys):
    fresh = engine.choice("9", "Fresh", ("two", "three"), {"a": (True, "why")})
    fresh(...)
    check.hint(1)
    assert "comes after a wrong answer" in capsys.readouterr().out


def test_the_course_does_not_hide_its_own_mistakes_in_a_traceback(capsys):
    def broken(trial, answer):
        raise KeyError("ours")

    engine.Exercise("9", "Broken", broken, ("two", "three"))(1)
    out = capsys.readouterr().out
    assert "not checked yet" in out and "KeyError" in out


@pytest.mark.parametrize("lesson", check.LESSONS)
def test_the_summary_lists_what_is_done(capsys, lesson):
    found = check.exercises(lesson)
    for exercise in found.values():
        exercise.state, exercise.done = "not checked yet", False
    name = next(iter(found))
    found[name](*RIGHT[name][0])
    capsys.readouterr()
    check.summary(lesson)
    out = capsys.readouterr().out
    assert f"1 of {len(found)} done" in out and out.count("[x]") == 1
    assert [e.number for e in found.values() if f" {e.number} " not in out] == []


@pytest.mark.parametrize("length", [1, 41, 42, 90])
def test_the_summary_has_room_for_every_title(capsys, monkeypatch, length):
    found = list(check.exercises("01").values())
    for exercise in found:
        monkeypatch.setattr(exercise, "done", False)
        monkeypatch.setattr(exercise, "state", "not answered yet")
    monkeypatch.setattr(found[0], "title", "T" * length)
    check.summary("01")
    _, *lines = capsys.readouterr().out.splitlines()
    assert f" {'T' * length} " in lines[0]
    columns = {line.index("not answered yet") for line in lines}
    assert len(columns) == 1, "the states should stand in one column"


def test_a_summary_of_an_unknown_lesson(capsys):
    check.summary(1)
    assert "no lesson 1" in capsys.readouterr().out
