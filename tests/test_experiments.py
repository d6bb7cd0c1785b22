"""Recorded experiments: what they write, and what the notebooks read."""

import json

from d2lutils import History, experiments

import numpy
import pytest
from mxnet import np
from mxnet.gluon import nn


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Two settings of a small network on 64 images; results go to a folder of their own."""
    rng = numpy.random.default_rng(0)
    data = (
        np.array(rng.random((64, 1, 32, 32)), dtype="float32"),
        np.array(rng.integers(0, 10, 64), dtype="int64"),
    )

    def dense():
        net = nn.HybridSequential()
        net.add(nn.Flatten(), nn.Dense(10))
        return net

    def settings():
        for lr in (0.01, 0.1):
            yield {"lr": lr}, dense, {"num_epochs": 2, "lr": lr}

    monkeypatch.setattr(experiments, "fashion_mnist", lambda num_train: (data, data))
    monkeypatch.setattr(experiments, "FOLDER", tmp_path / "results")
    monkeypatch.setitem(experiments.EXPERIMENTS, "tiny", settings)
    return tmp_path / "results"


def test_a_run_writes_a_row_for_each_setting_seed_and_epoch(tiny):
    experiments.run("tiny", seeds=3, num_train=64)
    rows = experiments.load("tiny")
    assert len(rows) == 2 * 3 * 2
    assert not rows.duplicated(["lr", "seed", "epoch"]).any()
    assert rows.train_loss.between(0, 20).all() and rows.test_accuracy.between(0, 1).all()
    assert sorted(path.name for path in tiny.iterdir()) == ["tiny.csv", "tiny.json"]


def test_a_run_says_how_it_came_about(tiny):
    experiments.run("tiny", seeds=1, num_train=64)
    about = json.loads((tiny / "tiny.json").read_text())
    assert about["command"] == "python -m d2lutils.experiments tiny --seeds 1"
    assert about["mxnet"] == "1.9.1" and about["images"] == 64 and about["threads"] >= 1
    assert [setting["lr"] for setting in about["settings"]] == [0.01, 0.1]


def test_the_same_seeds_give_the_same_file(tiny):
    experiments.run("tiny", seeds=2, num_train=64)
    first = (tiny / "tiny.csv").read_bytes()
    experiments.run("tiny", seeds=2, num_train=64)
    assert (tiny / "tiny.csv").read_bytes() == first


def test_a_run_that_is_cut_off_leaves_the_old_result_alone(tiny, monkeypatch):
    experiments.run("tiny", seeds=1, num_train=64)
    first = (tiny / "tiny.csv").read_bytes()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiments.run("tiny", seeds=1, num_train=64)
    assert (tiny / "tiny.csv").read_bytes() == first


def test_a_network_that_diverges_keeps_its_earlier_epochs(tiny, monkeypatch):
    def diverges(*args, **kwargs):
        error = FloatingPointError("loss")
        error.history = History([0.5], [0.8], [0.6], [0.7], [1.0])
        raise error

    monkeypatch.setattr(experiments, "fit", diverges)
    experiments.run("tiny", seeds=1, num_train=64)
    rows = experiments.load("tiny")
    assert rows.epoch.tolist() == [1, 2, 1, 2]
    assert rows.train_accuracy.isna().tolist() == [False, True, False, True]


def test_unknown_and_missing_experiments_are_named(tiny):
    with pytest.raises(ValueError, match=r"no experiment 'tinny'.*networks"):
        experiments.load("tinny")
    with pytest.raises(
        FileNotFoundError, match=r"data/results/tiny.csv is missing.*experiments tiny"
    ):
        experiments.load("tiny")


def test_half_size_averages_four_pixels():
    X = np.zeros((1, 1, 32, 32))
    X[0, 0, 0, 0] = 4
    small, _ = experiments.half_size((X, np.zeros(1)))
    assert small.shape == (1, 1, 16, 16) and small[0, 0, 0, 0] == 1 and small.sum() == 1


def test_normalization_can_stand_on_either_side():
    kinds = [[type(layer) for layer in make()] for _, make, _ in experiments.placement()]
    before, after = kinds
    assert before.index(nn.BatchNorm) + 1 == before.index(nn.Activation)
    assert after.index(nn.Activation) + 1 == after.index(nn.BatchNorm, after.index(nn.Activation))
    assert after.index(nn.Activation) < after.index(nn.BatchNorm)
    assert sorted(map(str, before)) == sorted(map(str, after))


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_recorded_results_are_whole(name):
    """Each setting has the same seeds and epochs, at least three seeds, and the file says so."""
    rows = experiments.load(name)
    about = json.loads((experiments.FOLDER / f"{name}.json").read_text())
    settings = [setting for setting, _, _ in experiments.EXPERIMENTS[name]()]
    epochs = {training["num_epochs"] for _, _, training in experiments.EXPERIMENTS[name]()}
    assert about["command"].endswith(f"{name} --seeds {rows.seed.nunique()}")
    assert rows.seed.nunique() >= 3
    assert len(rows) == len(settings) * rows.seed.nunique() * epochs.pop()
    assert not rows[list(settings[0])].isna().any().any()
