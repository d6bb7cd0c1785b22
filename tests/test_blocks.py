"""The comparison of blocks: each mistake gets its own hint, and equal outputs are not enough."""

import inspect

from d2lutils import checks as check
from d2lutils.checks import blocks, engine

import pytest
from answers import lesson03, lesson04
from mxnet import autograd, np
from mxnet.gluon import nn

RIGHT = {**lesson03.RIGHT, **lesson04.RIGHT}
EXERCISES = {**check.exercises("03"), **check.exercises("04")}
BLOCKS = [
    name
    for name, (answers, *_) in RIGHT.items()
    if callable(answers[-1]) and name != "block_parameters"
]
each_exercise = pytest.mark.parametrize("name", BLOCKS)


@pytest.fixture
def say(capsys):
    """Call a check with a letter, where it wants one, and a maker; returns what it printed."""

    def call(name, make):
        EXERCISES[name](*RIGHT[name][0][:-1], make)
        return " ".join(capsys.readouterr().out.split())

    return call


@each_exercise
def test_each_mistake_gets_its_hint(name, say, monkeypatch):
    mistakes = {}

    def noting(*arguments, same=blocks.same, **keywords):
        bound = inspect.signature(same).bind(*arguments, **keywords)
        mistakes.update({id(pair): pair for pair in bound.arguments["mistakes"]})
        return same(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "same", noting)
        say(name, RIGHT[name][0][-1])
    assert len(mistakes) >= 4
    for hint, make in mistakes.values():
        said = say(name, make)
        assert EXERCISES[name].state == "not right yet" and f"hint 1 of 3: {hint}" in said


# --- what equal outputs do not show ---


class Around(nn.Block):
    """A block, with something done to its input or its output."""

    def __init__(self, inner, before=None, after=None):
        super().__init__()
        self.inner, self.before, self.after = inner, before, after

    def forward(self, X):
        Y = self.inner(self.before(X) if self.before else X)
        return self.after(Y) if self.after else Y


class Paused(Around):
    def forward(self, X):
        with autograd.pause(train_mode=autograd.is_training()):
            return self.inner(X)


class Counting(Around):
    """It counts its calls in a parameter that is not trained."""

    def __init__(self, inner):
        super().__init__(inner)
        self.calls = self.params.get("calls", shape=(1,), init="zeros", differentiable=False)

    def forward(self, X):
        with autograd.pause():
            self.calls.set_data(self.calls.data() + 1)
        return self.inner(X)


def around(wrap):
    return lambda make: lambda *arguments: wrap(make(*arguments))


def set_in_each_norm(name, value):
    def wrap(block):
        block.apply(lambda b: b._kwargs.update({name: value}) if type(b) is nn.BatchNorm else None)
        return block

    return around(wrap)


def untrained(block):
    """The block with its last gamma or beta, or bias, out of training."""
    found = [p for p in block.collect_params().values() if p.grad_req != "null"]
    found[-1].grad_req = "null"
    return block


def kept(make):
    blocks_made = {}
    return lambda *arguments: blocks_made.setdefault(arguments, make(*arguments))


GRADIENTS = {
    "detached": (around(lambda b: Around(b, after=lambda Y: Y.detach())), "detached"),
    "paused": (around(Paused), "detached"),
    "NumPy's": (around(lambda b: Around(b, after=lambda Y: np.array(Y.asnumpy()))), "detached"),
    "input detached": (around(lambda b: Around(b, before=lambda X: X.detach())), "hide what they"),
    "half of it": (
        around(lambda b: Around(b, after=lambda Y: Y / 2 + (Y / 2).detach())),
        "hide what they",
    ),
    "untrained": (around(untrained), "not all of them learn"),
    "kept": (kept, "new layers in each call"),
    "still": (set_in_each_norm("use_global_stats", True), "in training mode"),
}


@pytest.mark.parametrize("what", GRADIENTS)
@each_exercise
def test_equal_outputs_are_not_enough(name, what, say):
    change, word = GRADIENTS[what]
    said = say(name, change(RIGHT[name][-1][-1]))
    assert EXERCISES[name].state == "not right yet" and word in said.split("hint 1 of 3")[1], said


@each_exercise
def test_a_counter_of_ones_own_is_no_fault(name, say):
    said = say(name, around(Counting)(RIGHT[name][0][-1]))
    assert EXERCISES[name].state == "right", said


@pytest.mark.parametrize("disturbed, state", [(1, "right"), (99, "not right yet")])
def test_other_numbers_are_tried_where_a_relu_went_the_other_way(
    say, monkeypatch, disturbed, state
):
    step, calls = engine.Trial.step, []

    def disturbing(trial, block, X, dY, hints=None):
        calls.append(block)
        found = step(trial, block, X, dY, hints)
        times = len(calls) // 2  # a learner's block and a right one in turn
        return found._replace(dX=2 * found.dX) if len(calls) % 2 and times < disturbed else found

    monkeypatch.setattr(engine.Trial, "step", disturbing)
    said = say("only_grows", RIGHT["only_grows"][0][-1])
    assert EXERCISES["only_grows"].state == state and len(calls) == (4 if disturbed == 1 else 6), (
        said
    )
