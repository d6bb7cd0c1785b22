"""The bar of a training: where it shows what, and that no display ends a training."""

import contextlib
import io
import itertools
import subprocess
import sys
import types

from d2lutils import fit, progress, training
from d2lutils.progress import Progress

import nbclient
import nbformat
import numpy
import pytest
from mxnet import np
from mxnet.gluon import nn


class Terminal(io.TextIOWrapper):
    """What a terminal of an encoding is sent; `fails` raises an exception instead."""

    def __init__(self, encoding="utf-8", fails=None):
        super().__init__(io.BytesIO(), encoding)
        self.fails = fails

    def isatty(self):
        return True

    def write(self, text):
        if self.fails is not None:
            raise self.fails
        return super().write(text)

    def sent(self):
        return self.buffer.getvalue().decode(self.encoding)

    def lines(self):
        """Those that stay: what follows a carriage return writes over the line."""
        lines = []
        for line in self.sent().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return [line for line in lines if line]

    def bars(self):
        return [part for part in self.sent().replace("\n", "\r").split("\r") if "%" in part]


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second whenever somebody looks."""
    seconds = itertools.count(1.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(seconds))


def train(stdout, **settings):
    """Forty examples in ten batches an epoch; returns the history."""
    X = np.array(numpy.random.default_rng(0).normal(size=(40, 4)), dtype="float32")
    net = nn.Dense(3)
    net.initialize()
    with contextlib.redirect_stdout(stdout):
        return fit(net, (X, np.zeros(40)), batch_size=4, **settings)


# --- where it shows what ---


def test_a_bar_moves_on_a_terminal_and_does_not_stay(clock):
    terminal = Terminal()
    history = train(terminal, num_epochs=2)
    assert terminal.lines() == str(history).splitlines()
    bars = terminal.bars()
    assert len(bars) == 2 * (10 - training.AHEAD)
    assert bars[0].rstrip() == "epoch  1  " + 15 * "█" + 15 * "░" + "   50%"
    assert bars[-1].rstrip() == "epoch  2  " + 30 * "█" + "  100%"


def test_a_line_covers_the_bar_before_it(clock):
    terminal = Terminal()
    with contextlib.redirect_stdout(terminal):
        shown = Progress(True)
        shown.bar(0, 1.0)
        shown.line("short")
    assert terminal.lines() == ["short"]


def test_the_bar_does_not_move_at_each_step(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress.time, "perf_counter", lambda: 100.0)
    train(terminal, num_epochs=1)
    assert len(terminal.bars()) == 1


def test_a_file_gets_lines_only(clock):
    file = io.StringIO()
    history = train(file, num_epochs=2)
    assert file.getvalue() == str(history) + "\n"


def test_a_quiet_one_says_nothing(clock):
    terminal = Terminal()
    train(terminal, num_epochs=2, verbose=False)
    assert terminal.sent() == ""


def test_ctrl_c_on_a_terminal_leaves_no_bar(monkeypatch, clock):
    def stopped(*args):
        for i, batch in enumerate(batches(*args)):
            if i == 8:
                raise KeyboardInterrupt
            yield batch

    terminal, batches = Terminal(), training.batches
    monkeypatch.setattr(training, "batches", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(terminal)
    assert terminal.lines() == ["stopped by hand in epoch 1"]


def test_a_notebook_keeps_one_line_an_epoch():
    cells = [
        "import d2lutils\nfrom mxnet import np\nfrom mxnet.gluon import nn\n"
        "train = np.random.normal(size=(512, 4)), np.zeros(512, dtype='int64')\n"
        "net = nn.Dense(3)\nnet.initialize()",
        "history = d2lutils.fit(net, train, train, num_epochs=2, batch_size=2)",
        "d2lutils.fit(net, train, num_epochs=2, verbose=False);",
        "train[0][:] *= 100\ntry:\n    d2lutils.fit(net, train, num_epochs=2, lr=1e38)\n"
        "except FloatingPointError as error:\n    print(error.history.train_loss)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=60, store_widget_state=True).execute()
    _, loud, quiet, failed = (cell.outputs for cell in notebook.cells)
    assert len(loud) == 1 and loud[0].output_type == "display_data"
    assert list(loud[0].data) == ["text/plain"]
    lines = loud[0].data["text/plain"].splitlines()
    assert [line[:15] for line in lines] == ["epoch  1  loss ", "epoch  2  loss "]
    assert all(" test " in line for line in lines)
    assert quiet == [] and "widgets" not in notebook.metadata
    assert [output.output_type for output in failed] == ["display_data", "stream"]
    assert failed[0].data["text/plain"] == "" and failed[1].text == "[]\n"


def test_a_notebook_keeps_no_bar_of_a_training_that_failed(monkeypatch, clock):
    shown = []
    handle = types.SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))
    monkeypatch.setattr(progress, "get_ipython", lambda: True)
    monkeypatch.setattr(progress, "display", lambda *args, **settings: handle)
    bar = Progress(True)
    bar.line("epoch  1")
    bar.bar(1, 0.5)
    assert shown[-1] == "epoch  1\nepoch  2  " + 15 * "█" + 15 * "░" + "   50%"
    bar.close()
    assert shown[-1] == "epoch  1"


# --- displays that fail ---


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_blocks_gets_plain_characters(clock, encoding):
    terminal = Terminal(encoding)
    history = train(terminal, num_epochs=2)
    assert terminal.lines() == str(history).splitlines()
    bars = terminal.bars()
    assert len(bars) == 2 * (10 - training.AHEAD) - 1  # all but the first, which found it out
    assert bars[0].rstrip() == "epoch  1  " + 18 * "#" + 12 * "-" + "   60%"


@pytest.mark.parametrize(
    "stdout",
    [
        Terminal(fails=BrokenPipeError()),
        Terminal(fails=OSError(5, "Input/output error")),
        None,  # pythonw, a daemon
        types.SimpleNamespace(write=len),
    ],
    ids=["a pipe nobody reads", "a terminal that is gone", "none", "half a file"],
)
def test_where_nothing_can_be_shown_it_trains_in_silence(clock, stdout):
    assert len(train(stdout, num_epochs=2).seconds) == 2


def test_a_closed_stdout_is_silence(clock):
    terminal = Terminal()
    terminal.close()
    assert len(train(terminal, num_epochs=2).seconds) == 2


class Display:
    """A notebook's output; it fails from the call `fails` on."""

    def __init__(self, fails):
        self.calls, self.fails = 0, fails

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls >= self.fails:
            raise RuntimeError("this display is gone")
        return types.SimpleNamespace(update=self)


@pytest.mark.parametrize("fails", [1, 2, 5, 100])
def test_a_notebook_whose_display_fails_trains_on(monkeypatch, clock, fails):
    shown, stdout = Display(fails), io.StringIO()
    monkeypatch.setattr(progress, "get_ipython", lambda: True)
    monkeypatch.setattr(progress, "display", shown)
    assert len(train(stdout, num_epochs=2).seconds) == 2
    assert stdout.getvalue() == ""
    assert shown.calls >= min(fails, 10)


def test_ctrl_c_is_raised_where_the_display_failed(monkeypatch, clock):
    def stopped(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return batches(*args)

    calls, batches = [], training.batches
    monkeypatch.setattr(training, "batches", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(Terminal(fails=BrokenPipeError()))
    assert len(calls) == 3


def test_a_pipe_that_nobody_reads_leaves_the_training_alone():
    code = (
        "import sys, d2lutils\nfrom mxnet import np\nfrom mxnet.gluon import nn\n"
        "net = nn.Dense(2)\nnet.initialize()\n"
        "history = d2lutils.fit(net, (np.ones((8, 3)), np.zeros(8)), num_epochs=50)\n"
        "print(len(history.seconds), file=sys.stderr)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read().startswith("50\n")
    process.wait()
    process.stderr.close()
