"""What the tests of every module share."""

import signal

import d2lutils  # first: it sets the threads of MXNet
from d2lutils import fashion_mnist
from d2lutils.plotting import plt

import hypothesis
import pytest

# A failure must come back at the next run, and the first call of an MXNet operator takes its time.
hypothesis.settings.register_profile("course", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.load_profile("course")

# `make test &` in a script hands down that Ctrl-C is ignored; what the tests start must hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fashion():
    """300 training and 200 test images."""
    train, (X, y) = fashion_mnist(num_train=300)
    return train, (X[:200], y[:200])


@pytest.fixture(autouse=True)
def no_figure_stays():
    yield
    plt.close("all")
