"""What the checks of all exercises share: they answer in sentences, never with a traceback.

A check calls the learner's code on copies of fresh random inputs, within a time limit. It leaves
the learner's random generators and autograd modes unchanged.
"""

import inspect
import random
import re
import signal
import sys
import textwrap
import threading
import traceback
import zlib
from collections import defaultdict, namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy
from mxnet import autograd, init, np, npx, operator, util
from mxnet.gluon import Block

from .reference import float64

SECONDS = 10.0  # the limit for one call of a learner's function
READING = 30.0  # for the rest of a check: an answer may be an object with code of its own
CLOSE = 2e-3  # tolerance after a few layers in float32, relative to the largest number
EXACT = 5e-5  # for a single formula; numbers rounded for printing are not that close
COURSE = str(Path(__file__).resolve().parents[1])
LIBRARIES = (COURSE, sys.prefix, sys.base_prefix)

_last = None  # the exercise checked last, for `hint`


class Unanswered(Exception):
    """There is nothing to check yet."""


class Wrong(Exception):
    """A property does not hold. hint: the first hint, chosen for this property."""

    def __init__(self, what, hint=None, seen=None, expected=None):
        super().__init__(what)
        self.what, self.hint, self.seen, self.expected = what, hint, seen, expected


class Unsettled(Exception):
    """The machine, not the answer, is the reason why there is no verdict."""


class TimeUp(BaseException):
    """Not an Exception, so that a learner's `except Exception` does not catch it.

    A bare `except:` does catch it, and the code goes on. But then nothing refers to this object any
    more, so it is deleted, and the next line that runs raises another one.
    """

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def __del__(self):
        self.limit.insist(sys._getframe(1))


class Exercise:
    """A check: called with a learner's answers, it prints the verdict and what it tested.

    test(trial, *answers) returns if everything is right, and raises Unanswered, Wrong or Unsettled
    otherwise.
    hints: the second and the third; the first one depends on what went wrong. options: a dictionary
    from letters to pairs (is it right, why); with options, the first answer is a letter.
    """

    def __init__(self, number, title, test, hints, options=None):
        self.number, self.title, self.test, self.options = number, title, test, options
        self.hints, self.state, self.done = [None, *hints], "not checked yet", False
        self.__doc__ = test.__doc__

    def __call__(self, *answers, **named):
        global _last
        _last = self
        trial = Trial()
        try:
            with _undisturbed(), _Limit(READING):
                self._test(trial, answers, named)
        except Unanswered as reason:
            self._say("not answered yet", _report(trial) + (f"\n  {reason}" if str(reason) else ""))
        except Wrong as wrong:
            self.hints[0] = wrong.hint or self.hints[1]
            self._say("not right yet", _report(trial, wrong) + f"\n  {self._hint(1)}")
        except Unsettled as reason:
            self._say("not checked yet", _report(trial) + f"\n  {_wrapped(str(reason))}")
        except TimeUp:
            self._say(
                "not checked yet",
                f"\n  Stopped: reading this answer took more than {READING:g} seconds.",
            )
        except KeyboardInterrupt:
            self._say("not checked yet", "\n  The check was interrupted.")
        except Exception as error:
            self._say(
                "not checked yet", f"\n  The check cannot read this answer. It {_raised(error)}"
            )
        else:
            self.hints[0] = None
            for letter, (right, reason) in (self.options or {}).items():
                if not right:
                    trial.passed.append(f"({letter}) is wrong: {reason}")
            self._say("right", _report(trial))

    def hint(self, number):
        """Print one of the three hints; the first is known after a wrong answer."""
        if number not in (1, 2, 3):
            print(f"There are three hints: hint(1), hint(2), hint(3), not hint({number!r}).")
        elif self.hints[number - 1] is None:
            print(f"{self.number} {self.title}: the first hint comes after a wrong answer.")
        else:
            print(f"{self.number} {self.title}, {self._hint(number)}")

    def _test(self, trial, answers, named):
        _, *names = inspect.signature(self.test).parameters
        try:
            answers = inspect.signature(self.test).bind(trial, *answers, **named).args[1:]
        except TypeError:
            takes = f"This check takes {len(names)} answer(s): {', '.join(names)}."
            raise Wrong(takes, "Call the check as in the original cell.") from None
        blank = [name for name, answer in zip(names, answers) if answer is None or answer is ...]
        if blank:
            raise Unanswered(f"Still blank: {', '.join(blank)}." if len(names) > 1 else "")
        if self.options is not None:
            self._choose(trial, answers[0])
        self.test(trial, *answers)

    def _choose(self, trial, answer):
        text = answer.lower().replace("_", " ") if isinstance(answer, str) else ""
        letter, *others = re.findall(r"\b[a-z]\b", text) or [None]
        if letter not in self.options or set(others) - {letter}:
            letters = ", ".join(f'"{letter}"' for letter in self.options)
            raise Wrong(f"Your choice is {described(answer)}.", f"Choose one of {letters}.")
        right, reason = self.options[letter]
        if not right:
            raise Wrong(f"({letter}) is wrong.", reason)
        trial.passed.append(f"({letter}) is right: {reason}")

    def _say(self, state, text):
        self.state, self.done = state, self.done or state == "right"
        print(f"{self.number} {self.title}: {state}.{text}")

    def _hint(self, number):
        more = f" [hint({number + 1}) says more]" if number < 3 else ""
        return _wrapped(f"hint {number} of 3: {self.hints[number - 1]}{more}")


def exercise(number, title, hints, options=None):
    """Turn the function below, the test, into an `Exercise`."""
    return lambda test: Exercise(number, title, test, hints, options)


def choice(number, title, hints, options):
    """An `Exercise` that asks for one letter and nothing else."""

    def test(trial, letter):
        """letter: one of the options, as text."""

    return Exercise(number, title, test, hints, options)


def hint(number=1):
    """Print hint 1, 2 or 3 of the exercise that was checked last."""
    if _last is None:
        print("Run a check first: hints belong to the exercise that was checked last.")
    else:
        _last.hint(number)


KINDS = {"gamma": "gamma", "beta": "beta", "bias": "beta", "mean": "mean", "var": "var"}


def kind_of(parameter):
    """The kind of a parameter: gamma, beta (any bias), mean, var or weight. The end of its name
    decides, or else its shape and initial values, since PyTorch calls a gamma "weight" too."""
    end = parameter.name.rsplit("_", 1)[-1]
    if end in KINDS:
        return KINDS[end]
    if sum(size > 1 for size in parameter.shape) > 1:
        return "weight"
    start = init.create(parameter.init) if parameter.init else None
    value = getattr(start, "value", {init.One: 1, init.Zero: 0}.get(type(start)))
    trained = parameter.grad_req != "null"
    if value == 1:
        return "gamma" if trained else "var"
    if value == 0:
        return "beta" if trained else "mean"
    return "weight"


Step = namedtuple("Step", "Y dX gradients statistics")


class Trial:
    """One run of a check: fresh random inputs, safe calls, and what has passed so far."""

    def __init__(self):
        self.rng = numpy.random.default_rng()
        self.key = self.integer(0, 2**31)
        self.passed = []

    # --- inputs ---

    def normal(self, *shape, mean=0.0, std=1.0):
        """A float32 array of normally distributed numbers, not drawn from MXNet's generator."""
        return np.array(self.rng.normal(mean, std, shape), dtype="float32")

    def uniform(self, *shape, low=0.0, high=1.0):
        """A float32 array of uniformly distributed numbers, not drawn from MXNet's generator."""
        return np.array(self.rng.uniform(low, high, shape), dtype="float32")

    def factors(self, *shape):
        """Random gammas of absolute value 0.5 to 2; the first and every other one are negative."""
        signs = numpy.resize([-1.0, 1.0], shape)
        return np.array(signs * self.rng.uniform(0.5, 2, shape), dtype="float32")

    def integer(self, low, high):
        """An integer from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    # --- the learner's code ---

    def call(
        self,
        function,
        *arguments,
        context=autograd.pause,
        what="Your function",
        hint=None,
        hints=None,
    ):
        """The result of function(*copies of the arguments), after MXNet has finished all work.

        Raises Unanswered for None or `...`, and Wrong if the function raises an error, does not end
        or changes its arguments. hints: a dictionary from a piece of an error's message to a hint;
        hint: for other errors. Keyword-only parameters get the arguments in their order.
        """
        if not callable(function):
            raise Wrong(
                f"The answer is {described(function)}, which cannot be called.",
                "Pass the function or class itself: its name, without quotes or brackets.",
            )
        copies = [_copy(argument) for argument in arguments]
        function = by_position(function)
        try:
            with _Limit(SECONDS), context():
                modes = autograd.is_recording(), autograd.is_training()
                result = function(*copies)
                npx.waitall()
                switched = modes != (autograd.is_recording(), autograd.is_training())
        except TimeUp:
            raise Wrong(
                f"{what} was still running after {SECONDS:g} seconds.",
                "Look for a loop that never ends. The inputs are small.",
            ) from None
        except NotImplementedError:
            raise Unanswered(f"{what} raised NotImplementedError: {_UNWRITTEN}") from None
        except (Exception, SystemExit) as error:
            reason = _reason(error, hints or {}) or hint or _READ
            raise Wrong(f"{what} {_raised(error)}", reason) from None
        parts = result if isinstance(result, tuple | list) else [result]
        if all(part is None or part is ... for part in parts):
            nothing = f"{what} returned None: is `return` missing? (.add() returns None too.)"
            raise Unanswered(nothing if result is None else "")
        if switched:
            raise Wrong(
                f"{what} switched recording or training mode and did not switch it back.",
                "Use `with autograd.record():` or the like, which switches back at the end.",
            )
        for before, after in zip(arguments, copies):
            if isinstance(before, np.ndarray) and (
                before.shape != after.shape or not bool((before == after).all())
            ):
                raise Wrong(
                    f"{what} changed an array that it was given.",
                    "`a += b` and `a[:] = b` change the caller's array; `a = a + b` makes a new one.",
                )
        return result

    def build(self, make, *arguments, like=None, what="Your class", hints=None):
        """The block make(*arguments), initialized, and called once on `like` if that is given."""
        if not callable(make):
            self.call(make)
        if isinstance(make, Block):
            hint = "Pass the function or class itself, not what it made."
            raise Wrong(f"The answer is {described(make)}.", hint)
        make = by_position(make)

        def made(*arguments):
            block = make(*arguments)
            if isinstance(block, Block):
                block.initialize(_Drawn(self.rng), force_reinit=True)
            return block

        block = self.call(made, *arguments, what=what, hints=hints)
        if not isinstance(block, Block):
            raise Wrong(
                f"{what} made {described(block)}, not a Gluon block.",
                "Return a block, or derive the class from nn.Block or nn.HybridBlock.",
            )
        if like is not None:
            self.forward(block, like, hints=hints)
        return block

    def forward(self, block, X, context=autograd.pause, hints=None):
        """block(X), without compiling the block."""
        what = "The forward pass of your block"
        return self.call(block, X, context=context, what=what, hints=hints)

    def step(self, block, X, dY, hints=None):
        """The results of a forward pass under record() and its backward pass, as a `Step`.

        gradients are those of the trained parameters; statistics are the other parameters. Both
        map kind and shape (without ones) to a list of flat float64 arrays, in an order that depends
        only on their numbers. So two blocks that compute the same agree. The gradient of a layer
        that is not used is zero.
        """

        def train(X):
            for parameter in block.collect_params().values():
                if parameter.grad_req != "null":
                    parameter.grad()[:] = 0
            X.attach_grad()
            with autograd.record():
                Y = block(X)
            Y.backward(dY)
            return Y, X.grad

        Y, dX = self.call(train, X, what="A training step of your block", hints=hints)
        gradients, statistics = defaultdict(list), defaultdict(list)
        for parameter, kind, shape in self.parameters(block):
            if parameter.grad_req == "null":
                statistics[kind, shape].append(float64(parameter.data()).ravel())
            else:
                gradients[kind, shape].append(float64(parameter.grad()).ravel())
        for lists in (gradients, statistics):
            for (_, shape), arrays in lists.items():
                direction = self._rng("order", shape).normal(size=arrays[0].size)
                arrays.sort(key=direction.dot)
        return Step(Y, dX, dict(gradients), dict(statistics))

    def train(self, block, X, dY):
        """The output of a forward pass under record(), after its backward pass."""
        return self.step(block, X, dY).Y

    def gradients(self, function, arguments, dY):
        """The list of gradients that autograd finds with respect to the arrays among the arguments,
        for Y = function(*arguments) in training mode, given dY, the gradient with respect to Y."""
        function = by_position(function)

        def differentiate(dY, *arguments):
            arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
            for array in arrays:
                array.attach_grad()
            with autograd.record():
                Y = function(*arguments)
            Y.backward(dY)
            return [array.grad for array in arrays]

        hint = "Use mxnet.np for all arrays, and hide no step of the computation from autograd."
        what = "The forward and backward pass of your function"
        return self.call(differentiate, dY, *arguments, what=what, hint=hint)

    def gradient(self, function, X, dY, *more):
        """The gradient with respect to X, for Y = function(X, *more); otherwise as `gradients`."""
        return self.gradients(function, (X, *more), dY)[0]

    def parameters(self, block):
        """Yield each parameter of the block with its kind and its shape without ones: (1, C, 1, 1)
        is (C,). Counters are left out: integers, or a single number that is not trained."""
        for parameter in block.collect_params().values():
            shape = tuple(size for size in parameter.shape if size > 1)
            counts = not shape and parameter.grad_req == "null"
            if not counts and numpy.dtype(parameter.dtype).kind == "f":
                yield parameter, kind_of(parameter), shape

    def tie(self, block):
        """Give parameters of the same kind and shape the same random numbers; returns the block.

        Then two blocks that compute the same agree, whatever the names and the order of their
        layers. A parameter that is neither trained nor a running statistic, such as a fixed kernel,
        stays as it is. The block must have been called on an input.
        """
        for parameter, kind, shape in self.parameters(block):
            if parameter.grad_req == "null" and kind not in ("mean", "var"):
                continue
            rng = self._rng(kind, shape)
            if kind in ("gamma", "var"):
                values = rng.uniform(0.5, 2, parameter.shape)
            else:
                inputs = max(1, numpy.prod(shape[1:]))
                spread = numpy.sqrt(2 / inputs) if kind == "weight" else 0.5  # few ReLUs stay at 0
                values = rng.normal(0, spread, parameter.shape)
            parameter.set_data(np.array(values, dtype="float32"))
        return block

    def _rng(self, word, shape):
        return numpy.random.default_rng([self.key, zlib.crc32(word.encode()), *shape])

    # --- verdicts ---

    def holds(self, what, condition, hint, seen=None, expected=None):
        """Note that a property holds, or raise Wrong."""
        if not condition:
            raise Wrong(what, hint, seen, expected)
        if what not in self.passed:
            self.passed.append(what)

    def array(self, what, value, shape):
        """A learner's value as a NumPy array of float64; raises Wrong unless it has `shape`.

        With shape None, any shape will do.
        """
        if value is None or value is ...:
            raise Unanswered(f"Still blank: {what}.")
        if isinstance(value, list | tuple) and any(item is None or item is ... for item in value):
            raise Unanswered(f"Some of it is still blank: {what}.")
        try:
            found = float64(value)
        except (TypeError, ValueError):
            hint = "Look at its type: it should be a number, or an array of numbers."
            raise Wrong(what, hint, described(value), _shape(shape)) from None
        if shape is not None and found.shape != tuple(shape):
            hint = (
                "Compare the two shapes: is a number or an axis missing, or is there one too many?"
            )
            raise Wrong(what, hint, _shape(found.shape), _shape(shape))
        if not numpy.isfinite(found).all():
            hint = (
                "Look for a division by zero, a root of a negative number, or an array that was "
                "never filled."
            )
            seen = "NaN (not a number)" if numpy.isnan(found).any() else "infinity"
            raise Wrong(what, hint, seen, "finite numbers")
        return found

    def number(self, what, value):
        """A learner's number as a float. It may be an array with one number, or "21,266,506", as
        text or without quotes, which Python reads as a tuple."""
        if isinstance(value, str):
            text = value.strip()
            if re.fullmatch(r"[-+]?\d{1,3}([,_ ]\d{3})+(\.\d*)?", text):
                text = re.sub("[,_ ]", "", text)
            try:
                value = float(text)
            except ValueError:
                hint = "Type a number in digits, with a point before the decimals."
                raise Wrong(what, hint, described(value), "a number") from None
        found = self.array(what, value, shape=None)
        if isinstance(value, tuple) and found.size > 1:
            whole = [isinstance(part, int) and 0 <= part < 1000 for part in value]
            if all(whole) and value[0] > 0:
                return float("".join([str(value[0]), *(f"{part:03d}" for part in value[1:])]))
        if found.size != 1:
            raise Wrong(what, "One number is asked for.", described(value), "a number")
        return found.item()

    def numbers(self, what, value):
        """A learner's list, set, range, array of numbers or text with commas as a flat array."""
        if isinstance(value, str):
            value = re.findall(r"[^\s,;()\[\]]+", value)
        elif not hasattr(value, "shape") and hasattr(value, "__iter__"):
            value = list(value)
        return self.array(what, value, shape=None).reshape(-1)

    def several(self, result, names):
        """The learner's result as a tuple with one part for each name; raises Wrong otherwise."""
        arrays = isinstance(result, np.ndarray | numpy.ndarray) and result.ndim > 0
        if not (arrays or isinstance(result, tuple | list)) or len(result) != len(names):
            what = f"Your function returned {described(result)}, not {len(names)} arrays."
            raise Wrong(what, f"It should end with: return {', '.join(names)}")
        return tuple(result)

    def equal(
        self, what, seen, expected, hint, mistakes=(), tolerance=CLOSE, secret=False, names=()
    ):
        """Note that `seen` equals `expected` up to rounding, or raise Wrong.

        mistakes: pairs of a hint and the result of that mistake; the first result that equals
        `seen` decides the hint. tolerance: relative to the largest expected number, or to 1e-6 if
        that is larger. secret: the verdict does not show what was expected. names: words for the
        places of the last axis, for a learner who returned its numbers and knows no index.
        """
        expected = float64(expected)
        if expected.shape:
            seen = self.array(what, seen, expected.shape)
        else:
            seen = numpy.array(self.number(what, seen))
        bound = tolerance * max(numpy.abs(expected).max(initial=0), 1e-6)
        if numpy.abs(seen - expected).max(initial=0) <= bound:
            return self.holds(what, True, hint)
        for its_hint, wrong in mistakes:
            wrong = float64(wrong)
            if wrong.shape == seen.shape and numpy.abs(seen - wrong).max() <= bound:
                hint = its_hint
                break
        else:
            if any(_rounded(seen, expected, places) for places in range(1, 5)):
                hint = "This looks rounded: give all digits, and round only what you print."
        place = numpy.unravel_index(numpy.abs(seen - expected).argmax(), seen.shape)
        where = f" at [{', '.join(str(int(i)) for i in place)}]" if place else ""
        if names:
            where = f" for {names[place[-1]]}"
        known = "another number" if secret else digits(expected[place])
        raise Wrong(what, hint, f"{digits(seen[place])}{where}", known)


def _rounded(seen, expected, places):
    """Whether `seen` is `expected` with so many decimals. A number in the middle may have gone up
    or down: float32 does not tell."""
    if (numpy.abs(seen - expected) > 0.5001 * 0.1**places + 1e-6).any():
        return False
    return numpy.allclose(seen, seen.round(places), rtol=0, atol=1e-6)


_READ = "What does the message complain about? Print the values in that line and their shapes."
_UNWRITTEN = (
    "an nn.Block needs forward(self, X), an nn.HybridBlock needs hybrid_forward(self, F, X)."
)


class _Drawn(init.Initializer):
    """Normal weights of variance 2 / inputs, drawn by NumPy: MXNet's generator is the learner's."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng

    def _init_weight(self, _, arr):
        inputs = max(1, numpy.prod(arr.shape[1:]))
        arr[:] = self.rng.normal(0, numpy.sqrt(2 / inputs), arr.shape)

    _init_default = _init_weight


@contextmanager
def _undisturbed():
    """Restore Python's and NumPy's random generators, autograd's modes and MXNet's switches at the
    end. Inside, nothing is recorded, and the NumPy interface is on, even if the learner turned it
    off."""
    state = random.getstate(), numpy.random.get_state()
    modes = autograd.is_recording(), autograd.is_training()
    try:
        with autograd.pause(), util.np_shape(True), util.np_array(True):
            yield
    finally:
        random.setstate(state[0])
        numpy.random.set_state(state[1])
        autograd.set_recording(modes[0])
        autograd.set_training(modes[1])


class _Limit:
    """Raises TimeUp inside its `with` after some seconds, again and again until the `with` ends.
    Works in the main thread only, since signals reach no other. An outer limit is paused."""

    def __init__(self, seconds):
        self.seconds, self.running = seconds, False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self.running, self.trace = True, sys.gettrace()
            self.handler = signal.signal(signal.SIGALRM, self._stop)
            # Again every second, in case an `except:` caught the first one and the code goes on.
            self.timer = signal.setitimer(signal.ITIMER_REAL, self.seconds, 1.0)

    def __exit__(self, *_):
        if self.running:
            signal.setitimer(signal.ITIMER_REAL, *self.timer)
            signal.signal(signal.SIGALRM, self.handler)
            sys.settrace(self.trace)
            self.running = False

    def _stop(self, _, frame):
        # Python swallows an error in a destructor, and MXNet crashes if one leaves its callbacks.
        while frame:
            code, frame = frame.f_code, frame.f_back
            if code.co_name == "__del__" or code.co_filename == operator.__file__:
                signal.setitimer(signal.ITIMER_REAL, 0.001, 1.0)
                return
        raise TimeUp(self)

    def insist(self, frame):
        """Raise TimeUp at the next line of this frame or of any of its callers, up to the check."""

        def trace(frame, event, _):
            if frame.f_code.co_filename == __file__:
                return None
            if event == "line":
                raise TimeUp(self)
            return trace

        if self.running:
            while frame and frame.f_code.co_filename != __file__:
                frame.f_trace = trace
                frame = frame.f_back
            sys.settrace(trace)


def _copy(value):
    return value.copy() if isinstance(value, np.ndarray | numpy.ndarray) else value


def by_position(function):
    """The function, callable by position even if it has keyword-only parameters (after a *)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # not a Python function: it has no such parameters
        return function
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if not names or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return function
    first = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return lambda *values: function(*values[:first], **dict(zip(names, values[first:])))


_ADD = "In Gluon, layers are added after the network is made: net = nn.Sequential(), net.add(a, b)."
_NO_LIST = "add() takes the layers themselves, not a list of them: add(a, b), or add(*layers)."
_CHANNELS_OUT = (
    "Gluon's nn.Conv2D takes the number of output channels and infers the input channels: "
    "nn.Conv2D(channels, kernel_size=3)."
)
_REASONS = (  # a piece of an exception's message, and the hint for it
    ("Sequential' object has no attribute '_children'", _ADD),
    ("Sequential.__init__() takes", _ADD),
    ("no attribute 'endswith'", _ADD),
    ("unhashable type: 'list'", _NO_LIST),
    ("has type <class 'list'>", _NO_LIST),
    (
        "has no attribute 'collect_params'",
        'A layer is needed there, such as nn.Activation("relu").',
    ),
    (
        "Channel axis out of range",
        "nn.BatchNorm takes an axis first, not the number of channels: write nn.BatchNorm().",
    ),
    ("multiple values for argument 'kernel_size'", _CHANNELS_OUT),
    ("kernel size exceed input", f"This kernel is larger than its input. {_CHANNELS_OUT}"),
    (
        "for +: 'int' and 'str'",
        "Did you write nn.Dense(inputs, units)? Gluon's nn.Dense takes units only.",
    ),
    (
        "No module named 'torch'",
        "This course uses MXNet: np, npx and nn, as the first cell imports them.",
    ),
    (
        "name 'torch' is not",
        "This course uses MXNet: np, npx and nn, as the first cell imports them.",
    ),
    ("name 'F' is not", "What PyTorch has in F is in npx and np here: npx.relu(X), for example."),
    ("positional argument", "Compare the arguments with the text: how many, and in which order?"),
    (
        "must also be HybridBlock",
        "A hybrid block can contain only hybrid blocks: use nn.Sequential here.",
    ),
    ("object has no attribute '_", "Does __init__ begin with super().__init__()?"),
    (
        "has not been initialized",
        "Is each layer an attribute of the block or in an nn.Sequential, and each parameter made "
        "with self.params.get? initialize() finds no others.",
    ),
    ("nplace operations", "While autograd records, no array may be overwritten: build a new one."),
    (
        "Cannot differentiate",
        "This was not recorded: was it computed under pause(), detached, or converted to NumPy?",
    ),
    (
        "'numpy.ndarray' object",
        "That is a NumPy array: autograd and MXNet need arrays from mxnet.np.",
    ),
    ("'Parameter' object", "A parameter is not an array, but its .data() is."),
    ("Parameter'> not supported", "A parameter is not an array, but its .data() is."),
    ("interpreted as an integer", "An integer is needed there: // divides and rounds down."),
    ("<class 'float'> to node", "An integer is needed there: // divides and rounds down."),
    ("expect int", "An integer is needed there: int(...) rounds down."),
    ("one NDArray or one Symbol", "Pass the function or class itself, not what it made."),
    (
        "expected float32",
        "Two types of numbers meet here: use float32, the type of MXNet's arrays.",
    ),
    (
        "Type inconsistent",
        "Two types of numbers meet here: use float32, the type of MXNet's arrays.",
    ),
    (
        "Shape inconsistent",
        "A layer was made for inputs of another shape. Did you set in_channels or in_units?",
    ),
)


_TORCH = {  # PyTorch's name of a function or an argument, and what to write here
    "ReLU": 'nn.Activation("relu"), or npx.relu(X)',
    "relu": "npx.relu(X)",
    "Linear": "nn.Dense(units)",
    "Conv2d": "nn.Conv2D(channels, kernel_size=3)",
    "BatchNorm1d": "nn.BatchNorm()",
    "BatchNorm2d": "nn.BatchNorm()",
    "MaxPool2d": "nn.MaxPool2D(pool_size=2)",
    "AvgPool2d": "nn.AvgPool2D(pool_size=2)",
    "AdaptiveAvgPool2d": "nn.GlobalAvgPool2D()",
    "Identity": "an empty nn.Sequential()",
    "Module": "nn.Block",
    "ModuleList": "nn.Sequential()",
    "Parameter": "self.params.get(name, shape=..., init=...)",
    "register_buffer": "self.params.get(name, shape=..., init=..., differentiable=False)",
    "cat": "np.concatenate([A, B], axis=1)",
    "view": "X.reshape(...)",
    "permute": "X.transpose(...)",
    "unsqueeze": "np.expand_dims(X, axis)",
    "clamp": "np.clip(X, low, high)",
    "pow": "X ** 2",
    "rsqrt": "1 / np.sqrt(X)",
    "no_grad": "autograd.pause()",
    "training": "autograd.is_training()",
    "dim": "axis",
    "keepdim": "keepdims",
    "stride": "strides",
    "kernel_size": "pool_size",
    "bias": "use_bias",
    "in_features": "in_units, or leave it out",
    "out_features": "units",
    "out_channels": "channels",
    "num_features": "in_channels, or leave it out",
}


def _reason(error, hints):
    """A hint for an exception, from `hints` or from those that all exercises share, or None."""
    for piece, hint in (*hints.items(), *_REASONS):
        if piece in str(error):
            return hint
    word = re.search(r"(?:no attribute|unexpected keyword argument) '(\w+)'", str(error))
    if word and word[1] in _TORCH:
        return f"{word[1]} is PyTorch's name. Here it is {_TORCH[word[1]]}."
    if "unexpected keyword argument" in str(error):
        return "The function has no argument with this name: help() lists its arguments."
    if isinstance(error, AttributeError):
        return (
            "Is the attribute spelled correctly, and is the type in the message the one you expect?"
        )
    if _of_init(error):
        return (
            f"{error.name} is an argument of __init__, and other methods do not see it. Keep it there: "
            f"self.{error.name} = {error.name}. Then write self.{error.name} here."
        )
    if isinstance(error, NameError):
        return "Is the name spelled correctly, and did you run the cell that defines it?"
    return None


def _of_init(error):
    """Whether a method used a name that only the __init__ of its class knows, as an argument."""
    if not isinstance(error, NameError):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    method = frame.f_code.co_name
    init = getattr(type(frame.f_locals.get("self")), "__init__", None)
    known = inspect.signature(init).parameters if inspect.isfunction(init) else ()
    return method != "__init__" and error.name in known


def _raised(error):
    """What a learner's code raised, and in which line."""
    message = str(error)
    if message.startswith("Traceback"):  # from MXNet's own sources; the last line has the message
        message = message.strip().splitlines()[-1].removeprefix(f"{type(error).__name__}: ")
        message = re.sub(r"\[[\d:]+\] \S+:\d+: ", "", message)
    message = textwrap.shorten(message, 300, placeholder=" ...")
    text = f"raised {type(error).__name__}: {message}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.line and not frame.filename.startswith(LIBRARIES)
    ]
    if frames:
        text += f"\n  in line {frames[-1].lineno} of its cell: {frames[-1].line}"
    return text


def described(value):
    """A value in a few words."""
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if hasattr(value, "shape"):
        return f"an array, {_shape(value.shape)}"
    return f"the {type(value).__name__} {str(value)[:40]!r}"


def digits(number):
    """A number as people write it: an integer in full, others to five digits."""
    return f"{number:,.0f}" if number == round(number) else f"{number:.5g}"


def _shape(shape):
    if shape is None:
        return "numbers"
    return f"of shape {tuple(shape)}" if tuple(shape) else "a single number"


def _report(trial, wrong=None):
    failed = wrong and wrong.what  # it may have held in an easier case before
    lines = [_wrapped(f"ok      {what}") for what in trial.passed if what != failed]
    if wrong is not None:
        lines.append(_wrapped(f"failed  {wrong.what}"))
        for name in ("seen", "expected"):
            value = getattr(wrong, name)
            if value is not None:
                value = digits(value) if isinstance(value, int | float) else value
                lines.append(f"        {name:<8}  {value}")
    return "".join(f"\n  {line}" for line in lines)


def _wrapped(text):
    lines = text.splitlines()
    lines[0] = textwrap.fill(
        lines[0],
        width=98,
        subsequent_indent=" " * 10,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)
