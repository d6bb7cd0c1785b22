"""The checks of the exercises: right answers pass, wrong ones get the word that fits, none raises."""

import importlib
import os
import random
import signal
import sys
import threading
import time

import d2lutils
from d2lutils import checks as check
from d2lutils.checks import engine

import numpy
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import Block, nn

ANSWERS = {lesson: importlib.import_module(f"answers.lesson{lesson}") for lesson in check.LESSONS}
RIGHT = {name: right for module in ANSWERS.values() for name, right in module.RIGHT.items()}
WRONG = {name: wrong for module in ANSWERS.values() for name, wrong in module.WRONG.items()}
ROUNDS = int(os.environ.get("CHECK_ROUNDS", "1"))  # inputs are random: more of them find more
NAMES = {n: found for lesson in check.LESSONS for n, found in check.exercises(lesson).items()}


@pytest.fixture
def say(capsys):
    """Call a check; returns what it printed."""

    def call(exercise, *answers):
        exercise(*answers)
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


@pytest.mark.parametrize("name, answers", each(RIGHT))
def test_a_right_answer_is_accepted_in_the_same_words(say, name, answers):
    words = set()
    for _ in range(ROUNDS + 1):  # fresh inputs each time
        said = say(NAMES[name], *answers)
        assert NAMES[name].state == "right", said
        assert "ok" in said and "failed" not in said
        words.add(said)
    assert len(words) == 1, "nbval compares them"


@pytest.mark.parametrize("name", [name for name in NAMES if NAMES[name].options])
def test_a_right_choice_gets_the_reason_of_every_option(say, name):
    said = " ".join(say(NAMES[name], *RIGHT[name][0]).split())
    for letter, (right, reason) in NAMES[name].options.items():
        assert f"({letter}) is {'right' if right else 'not'}: {reason}" in said


@pytest.mark.parametrize("name, wrong", each(WRONG))
def test_a_wrong_answer_gets_the_hint_that_fits(say, name, wrong):
    answers, word = wrong
    for _ in range(ROUNDS):
        said = say(NAMES[name], *answers)
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
    for _ in range(200):
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
    "shape": (in_each_array(lambda a: a.reshape((1, 1, 1, *a.shape))), "shape"),
}


def with_each_callable(name):
    """The right answers of an exercise, one callable at a time left to be replaced."""
    answers = RIGHT[name][0]
    for i, answer in enumerate(answers):
        if callable(answer):
            yield answer, lambda new, i=i: (*answers[:i], new, *answers[i + 1 :])


TAKING_CALLABLES = [name for name in NAMES if any(callable(a) for a in RIGHT[name][0])]


@pytest.mark.parametrize("kind", CALLABLE)
@pytest.mark.parametrize("name", TAKING_CALLABLES)
def test_code_that_does_not_work_gets_a_sentence(say, monkeypatch, name, kind):
    if kind == "never returns":  # the others may meet a garbage collection of 0.3 seconds
        monkeypatch.setattr(engine, "SECONDS", 0.3)
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


@pytest.mark.parametrize("value", [float("nan"), [float("nan")] * 8, [1.0] * 99])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TAKING_CALLABLES])
def test_a_value_that_is_no_number_or_too_long_gets_a_sentence(say, name, value):
    said = say(NAMES[name], *[value] * len(RIGHT[name][0]))
    assert NAMES[name].state == "not right yet" and "hint 1 of 3" in said


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

    assert "Stopped by hand" in say(check.layer_norm, interrupted)


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
    "a shape": (lambda X, *_: X.reshape(7, 7, 7), "Print what stands in that line"),
}
BLOCK_EXCEPTIONS = {
    "no super": (Unprepared, "super().__init__()"),
    "no parameter": (Unregistered, "are found"),
    "no data": (WithoutData, "its .data() is"),
    "another method": (Misnamed, "an nn.Block needs forward(self, X)"),
    "a block in a hybrid one": (
        lambda n: mixed(nn.HybridSequential, nn.Lambda("relu")),
        "use nn.Sequential",
    ),
    "half a channel": (lambda n: nn.Conv2D(n / 8, 1), "int(...) rounds down"),
    "an instance": (nn.Dense(3), "not what it made"),
    "a fixed shape": (lambda n: nn.Dense(n, in_units=99), "in_channels, perhaps"),
    "nothing": (lambda n: nn.Sequential().add(nn.Dense(n)), "what .add() returns"),
}
RECORDED_EXCEPTIONS = {
    "filled": (filled, "build a new one"),
    "overwritten": (overwritten, "no array may be overwritten"),
    "detached": (lambda X, *_: X.detach(), "Nothing of this was recorded"),
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


def test_a_partly_blank_answer_is_not_answered_yet(say):
    assert "Some of it is still blank" in say(check.batch_by_hand, [1, 1, ..., 9, 1, 1, 1, -7])


def test_a_swallowed_time_limit_comes_again(say, monkeypatch):
    monkeypatch.setattr(engine, "SECONDS", 0.2)

    def stubborn(*_):
        try:
            endless(_)
        except:  # noqa: E722
            endless(_)

    assert "still running" in say(check.layer_norm, stubborn)


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


def test_the_time_limit_leaves_timers_alone():
    pytests = signal.signal(signal.SIGALRM, failing), signal.setitimer(signal.ITIMER_REAL, 50, 7)
    try:
        with engine._limit(5):
            pass
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 40 < left <= 50 and interval == 7
        assert signal.getsignal(signal.SIGALRM) is failing
    finally:
        signal.signal(signal.SIGALRM, pytests[0])
        signal.setitimer(signal.ITIMER_REAL, *pytests[1])


def test_outside_the_main_thread_there_is_no_limit():
    said = []

    def run():
        npx.set_np()
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
    assert "comes with a wrong answer" in capsys.readouterr().out


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


def test_a_summary_of_an_unknown_lesson(capsys):
    check.summary(1)
    assert "no lesson 1" in capsys.readouterr().out
