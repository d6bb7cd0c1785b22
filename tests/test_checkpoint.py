"""Checkpoints: `fit(..., resume=FOLDER)` ends where an uninterrupted run ends, and loses nothing."""

import errno
import gc
import json
import os
import subprocess
import sys
import time

import d2lutils
from d2lutils import checkpoint, fit, lenet, training

import mxnet as mx
import numpy
import pytest
from mxnet import init, np
from mxnet.gluon import nn

SETTINGS = {"num_epochs": 4, "lr": 0.1, "batch_size": 32, "weight_decay": 0.01, "verbose": False}
LISTS = ["train_loss", "train_accuracy", "test_loss", "test_accuracy", "step_loss"]


class Stop(Exception):
    pass


def small(dropout=0.0, with_weights=True):
    d2lutils.seed_everything(0)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(2, 5, strides=4), nn.BatchNorm(), nn.Activation("relu"))
    net.add(*([nn.Dropout(dropout)] if dropout else []), nn.Dense(10))
    net.initialize(init.Xavier())
    if with_weights:
        net(np.zeros((1, 1, 32, 32)))
    return net


def weights(net):
    return [p.data().asnumpy() for p in net.collect_params().values()]


def assert_same(net, history, expected, wanted):
    for ours, theirs in zip(weights(net), weights(expected)):
        assert numpy.array_equal(ours, theirs)
    for name in LISTS:
        assert getattr(history, name) == getattr(wanted, name), name
    assert len(history.seconds) == len(wanted.seconds)


def interrupt(monkeypatch, step, error=Stop):
    """Let `fit` raise in a step, counted from 0, of all of its steps."""
    count, rate = iter(range(10**6)), training.learning_rate

    def stopping(*arguments):
        if next(count) == step:
            raise error
        return rate(*arguments)

    monkeypatch.setattr(training, "learning_rate", stopping)


@pytest.mark.parametrize("step", [0, 3, 10, 15, 29, 39], ids=lambda step: f"step {step}")
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_it_ends_bit_for_bit_where_an_uninterrupted_run_ends(
    step, dropout, fashion, tmp_path, monkeypatch
):
    train, test = fashion  # 300 images: 10 steps an epoch, the last of 12 images
    expected = small(dropout)
    wanted = fit(expected, train, test, **SETTINGS, resume=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Stop):
        interrupt(patch, step)
        fit(small(dropout), train, test, **SETTINGS, resume=tmp_path / "broken")
    mx.random.seed(7)  # another process would have drawn other numbers
    net = small(dropout)
    history = fit(net, train, test, **SETTINGS, resume=tmp_path / "broken")
    assert_same(net, history, expected, wanted)


def test_checkpoints_change_nothing(fashion, tmp_path):
    expected, net = small(), small()
    wanted = fit(expected, *fashion, **SETTINGS)
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path), expected, wanted)


def test_it_goes_on_three_times(fashion, tmp_path, monkeypatch):
    expected = small()
    wanted = fit(expected, *fashion, **SETTINGS, schedule="constant")
    for step in (12, 11, 5):
        with monkeypatch.context() as patch, pytest.raises(Stop):
            interrupt(patch, step)
            fit(small(), *fashion, **SETTINGS, schedule="constant", resume=tmp_path)
    net = small()
    history = fit(net, *fashion, **SETTINGS, schedule="constant", resume=tmp_path)
    assert_same(net, history, expected, wanted)


def test_names_do_not_matter(fashion, tmp_path, monkeypatch):
    """A Trainer sorts what it gets by name, and "dense10" comes before "dense9"."""

    def make(last):
        d2lutils.seed_everything(0)
        net = nn.HybridSequential()
        net.add(nn.Conv2D(2, 5, strides=4, prefix="dense9_"), nn.Dense(10, prefix=last))
        net.initialize(init.Xavier())
        return net

    expected = make("dense10_")
    wanted = fit(expected, *fashion, **SETTINGS, resume=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Stop):
        interrupt(patch, 25)
        fit(make("output_"), *fashion, **SETTINGS, resume=tmp_path / "broken")
    net = make("dense10_")
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path / "broken"), expected, wanted)


def test_a_network_may_get_its_weights_from_the_checkpoint(fashion, tmp_path):
    """Gluon draws the weights when a network meets its first input."""
    expected = small(with_weights=False)
    wanted = fit(expected, *fashion, **SETTINGS, resume=tmp_path)
    net = small(with_weights=False)
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path), expected, wanted)


def test_numbers_of_numpy_are_settings_too(fashion, tmp_path):
    settings = SETTINGS | {"num_epochs": numpy.int64(2), "lr": numpy.float32(0.1)}
    expected, net = small(), small()
    for seed in (0, lambda: numpy.random.Generator(numpy.random.MT19937(1))):
        folder = tmp_path / str(callable(seed))
        for trained in (expected, net):
            again = seed() if callable(seed) else seed
            fit(trained, fashion[0], **settings, seed=again, resume=folder)
        assert all(map(numpy.array_equal, weights(expected), weights(net)))


def test_a_finished_training_is_read_not_repeated(fashion, tmp_path, monkeypatch):
    expected = small()
    wanted = fit(expected, *fashion, **SETTINGS, resume=tmp_path)
    interrupt(monkeypatch, 0)
    net = small()
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path), expected, wanted)


def test_the_last_two_epochs_are_kept(fashion, tmp_path):
    fit(small(), *fashion, **SETTINGS, resume=tmp_path / "new" / "folder")
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["epoch-0003-worker-0", "epoch-0004-worker-0"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("norm", [None, d2lutils.BatchNorm, nn.BatchNorm])
def test_every_kind_of_layer_and_type_comes_back(norm, dtype, fashion, tmp_path, monkeypatch):
    def run(**more):
        d2lutils.seed_everything(1)
        net = lenet(norm, "relu")
        net.initialize(init.Xavier())
        net(np.zeros((1, 1, 32, 32)))
        net.cast(dtype)
        return net, fit(net, fashion[0], **(SETTINGS | {"num_epochs": 2}), **more)

    expected, wanted = run(resume=tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Stop):
        interrupt(patch, 15)
        run(resume=tmp_path / "broken")
    net, history = run(resume=tmp_path / "broken")
    assert weights(net)[0].dtype == dtype
    assert_same(net, history, expected, wanted)


OTHER = {
    "num_epochs": 5,
    "lr": 0.2,
    "batch_size": 16,
    "weight_decay": 0.02,
    "momentum": 0.5,
    "schedule": "cosine",
    "seed": 1,
}


@pytest.mark.parametrize("name", OTHER)
def test_other_settings_are_refused(name, fashion, tmp_path):
    fit(small(), fashion[0], **SETTINGS, resume=tmp_path)
    with pytest.raises(ValueError, match=f"with {name} = .*Use the same, or another folder"):
        fit(small(), fashion[0], **(SETTINGS | {name: OTHER[name]}), resume=tmp_path)


def test_other_data_are_refused(fashion, tmp_path):
    X, y = fashion[0]
    fit(small(), (X, y), **SETTINGS, resume=tmp_path)
    for data in ((X[:200], y[:200]), (X, y[::-1])):
        with pytest.raises(ValueError, match="with train = "):
            fit(small(), data, **SETTINGS, resume=tmp_path)


def test_another_network_is_refused_before_it_is_changed(fashion, tmp_path):
    fit(small(), fashion[0], **SETTINGS, resume=tmp_path)
    net = lenet()
    net.initialize()
    net(fashion[0][0][:1])
    before = weights(net)
    with pytest.raises(ValueError, match="another network"):
        fit(net, fashion[0], **SETTINGS, resume=tmp_path)
    assert all(map(numpy.array_equal, before, weights(net)))


@pytest.mark.parametrize("file", ["about.json", "parameters.npz", "optimizer"])
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "changed"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_still_serves(
    file, damage, fashion, tmp_path
):
    expected = small()
    wanted = fit(expected, *fashion, **SETTINGS, resume=tmp_path)
    path = tmp_path / "epoch-0004-worker-0" / file
    content = path.read_bytes()
    path.unlink()
    changed = content[:-20] + bytes([content[-20] ^ 4]) + content[-19:]
    kinds = {"cut": content[: len(content) // 2], "empty": b"", "changed": changed}
    if damage != "missing":
        path.write_bytes(kinds[damage])
    with pytest.raises(ValueError, match="epoch-0004-worker-0 is damaged: delete it"):
        fit(small(), *fashion, **SETTINGS, resume=tmp_path)
    checkpoint.shutil.rmtree(path.parent)
    net = small()
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path), expected, wanted)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_told_and_nothing_is_lost(fashion, tmp_path, monkeypatch):
    expected = small()
    wanted = fit(expected, *fashion, **SETTINGS)
    save, calls = numpy.savez, []

    def full(path, *arrays):
        calls.append(path)
        with open(path if len(calls) < 3 else "/dev/full", "wb") as file:
            save(file, *arrays)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.numpy, "savez", full)
        with pytest.raises(OSError, match="epoch-0003.*No space left.*unharmed") as caught:
            fit(small(), *fashion, **SETTINGS, resume=tmp_path)
    assert caught.value.errno == errno.ENOSPC
    del caught
    gc.collect()  # zipfile complains of a file that it could not finish; not in a later test
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["epoch-0001-worker-0", "epoch-0002-worker-0"], "nothing lost, no litter"
    net = small()
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path), expected, wanted)


@pytest.mark.parametrize("place", ["partial", "named"])
def test_a_crash_while_saving_loses_one_epoch_at_most(place, fashion, tmp_path, monkeypatch):
    expected = small()
    wanted = fit(expected, *fashion, **SETTINGS)
    rename, calls = os.rename, []

    def crash(*paths):
        calls.append(paths)
        if len(calls) == 3:
            if place == "named":
                rename(*paths)
            raise Stop
        rename(*paths)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(checkpoint.os, "rename", crash)
        fit(small(), *fashion, **SETTINGS, resume=tmp_path)
    net = small()
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path), expected, wanted)
    assert not list(tmp_path.glob("*.partial"))


def test_a_folder_that_is_a_file_is_told_before_training(fashion, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    interrupt(monkeypatch, 0)
    with pytest.raises(OSError, match="file"):
        fit(small(), *fashion, **SETTINGS, resume=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_ctrl_c_loses_nothing(fashion, tmp_path, monkeypatch, capsys):
    expected = small()
    wanted = fit(expected, *fashion, **SETTINGS)
    with monkeypatch.context() as patch:
        interrupt(patch, 25, KeyboardInterrupt)
        stopped = fit(small(), *fashion, **(SETTINGS | {"verbose": True}), resume=tmp_path)
    assert len(stopped.seconds) == 2
    net = small()
    assert_same(net, fit(net, *fashion, **SETTINGS, resume=tmp_path), expected, wanted)


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_checkpoint import SETTINGS, small
from d2lutils import fashion_mnist, fit
train, _ = fashion_mnist(300)
fit(small(), train, **(SETTINGS | {"num_epochs": 60}), resume=sys.argv[2])
"""


@pytest.mark.timeout(300)  # three processes, one after the other
def test_a_killed_process_goes_on(tmp_path):
    """SIGKILL at a moment that nobody chose, then on to the same end, in another process."""

    def start(folder):
        command = [sys.executable, "-c", SCRIPT, os.path.dirname(__file__), str(tmp_path / folder)]
        return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})

    process = start("killed")
    while not list(tmp_path.glob("killed/epoch-*[0-9]")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not list(tmp_path.glob("killed/epoch-0060*")), "it was killed too late"
    about = []
    for folder in ("killed", "whole"):
        assert start(folder).wait() == 0
        text = (tmp_path / folder / "epoch-0060-worker-0/about.json").read_text(encoding="utf-8")
        about.append(json.loads(text))
        del about[-1]["history"]["seconds"]
    assert about[0] == about[1]  # the checksums of parameters and optimizer among the rest
