"""Several workers: what they add up, whose weights they have, and what they make of the examples."""

import json
from pathlib import Path
from types import SimpleNamespace

import d2lutils
from d2lutils import batches, fit, lenet
from d2lutils.data import generator
from d2lutils.launch import JobFailed, launch
from d2lutils.workers import connect, place

import numpy
import pytest
from mxnet import init, np
from mxnet.gluon import nn

TESTS = Path(__file__).parent


# --- the examples of each worker ---


@pytest.mark.parametrize("num", [1, 7, 64, 100, 257])
@pytest.mark.parametrize("batch_size", [1, 4, 32, 300])
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_the_parts_of_a_batch_are_the_batch(num, batch_size, workers):
    data = np.arange(num).reshape(-1, 1), np.zeros(num, dtype="int64")
    whole = [X.asnumpy().ravel() for X, _ in batches(data, batch_size, seed=3)]
    parts = [
        [X.asnumpy().ravel() for X, _ in batches(data, batch_size, seed=3, part=(rank, workers))]
        for rank in range(workers)
    ]
    for batch, *shares in zip(whole, *parts):
        for rank, share in enumerate(shares):
            assert share.tolist() == batch[rank::workers].tolist()
        assert sorted(numpy.concatenate(shares)) == sorted(batch)
    assert sorted(numpy.concatenate(whole)) == list(range(num))


def test_each_epoch_has_another_order_the_same_for_all():
    data = np.arange(50).reshape(-1, 1), np.zeros(50, dtype="int64")
    orders = []
    for rank in range(2):
        rng = generator(1)
        orders.append([[X for X, _ in batches(data, 10, rng, part=(rank, 2))] for _ in range(2)])
    seen = [
        [numpy.concatenate([x.asnumpy().ravel() for x in epoch]).tolist() for epoch in worker]
        for worker in orders
    ]
    for epoch in range(2):
        assert sorted(seen[0][epoch] + seen[1][epoch]) == list(range(50))
    assert seen[0][0] != seen[0][1]


# --- the store ---


def store(workers=2, kind="dist_sync"):
    return SimpleNamespace(type=kind, rank=1, num_workers=workers)


def test_the_place_of_a_worker():
    assert place(None, 1) == (0, 1)
    assert place(store(), 2) == (1, 2)


@pytest.mark.parametrize(
    ("kvstore", "batch_size", "message"),
    [
        ("dist_sync", 8, r"from d2lutils.workers.connect\(\), or be None, not 'dist_sync'"),
        (store(kind="local"), 8, "must come from"),
        (store(kind="dist_async"), 8, "must come from"),
        (store(workers=5), 4, "is 4: it must be at least their number, 5"),
    ],
)
def test_what_is_no_store_of_a_job_is_refused(kvstore, batch_size, message, fashion):
    with pytest.raises(ValueError, match=message):
        place(kvstore, batch_size)
    net = lenet()
    net.initialize()
    with pytest.raises(ValueError, match=message):
        fit(net, fashion[0], num_epochs=1, batch_size=batch_size, kvstore=kvstore)


def test_a_store_serves_one_network():
    """The Trainer numbers its gradients from 0: a second network would get those of the first."""
    kvstore = store()
    place(kvstore, 8)
    with pytest.raises(ValueError, match="only once"):
        place(kvstore, 8)


def test_outside_of_a_job_nobody_waits(monkeypatch):
    for role in (None, "server"):
        monkeypatch.delenv("DMLC_ROLE", raising=False)
        if role:
            monkeypatch.setenv("DMLC_ROLE", role)
        with pytest.raises(RuntimeError, match="python -m d2lutils.launch"):
            connect()


# --- real workers ---


def network(norm):
    """The same network in the job and here, without and with batch normalization."""
    return lenet(nn.BatchNorm if norm else None, "relu")


SETTINGS = {"lr": 0.05, "num_epochs": 2, "batch_size": 30, "verbose": False}
SCRIPT = """
import sys
import numpy
import d2lutils
from d2lutils import fashion_mnist, fit
from d2lutils.workers import connect, merge_statistics, total
from mxnet import init, np
sys.path.insert(0, sys.argv[1])
from test_scaling import SETTINGS, network

kvstore = connect()
rank = kvstore.rank
mine = np.array([[rank, 1.0, 2.0**rank]])
sums = [total(kvstore, mine).tolist() for _ in range(2)]
norm = sys.argv[2] == "norm"
net = network(norm)
d2lutils.seed_everything(rank)  # other weights at first: those of worker 0 count
net.initialize(init.Xavier())
train, _ = fashion_mnist(300)
history = fit(net, train, **SETTINGS, kvstore=kvstore)

def parameters():
    return {p.name: p.data().asnumpy().tolist() for p in net.collect_params().values()}

said = {"rank": rank, "sums": sums, "losses": history.step_loss, "before": parameters()}
merge_statistics(net, kvstore)
said["after"] = parameters()
try:
    fit(network(norm), train, **SETTINGS, kvstore=kvstore)
except ValueError as error:
    said["again"] = str(error)
say(said)
"""


SAY = """
import json, pathlib
def say(words):
    path = pathlib.Path(__file__).with_name(f"worker-{words['rank']}.json")
    path.write_text(json.dumps(words))
    print(words["rank"])
"""


def job(script, tmp_path, *arguments, workers=2, **settings):
    """What the workers of a job say, by rank."""
    path, lines = tmp_path / "script.py", []
    path.write_text(SAY + script, encoding="utf-8")
    launch(path, TESTS, *arguments, workers=workers, show=lines.append, **settings)
    expected = [f"worker {rank}: {rank}" for rank in range(workers)]
    # A process in which coverage is measured prints more as it ends.
    assert sorted(line for line in lines if line in expected) == expected
    return [json.loads((tmp_path / f"worker-{i}.json").read_text()) for i in range(workers)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return job(SCRIPT, tmp_path_factory.mktemp("plain"), "plain", servers=2)


@pytest.fixture(scope="module")
def normalized(tmp_path_factory):
    return job(SCRIPT, tmp_path_factory.mktemp("normalized"), "norm")


def alone(norm, fashion):
    net = network(norm)
    d2lutils.seed_everything(0)
    net.initialize(init.Xavier())
    return net, fit(net, fashion[0], **SETTINGS)


def test_a_total_is_the_sum_over_all_workers(plain):
    for worker in plain:
        assert worker["sums"] == [[[1.0, 2.0, 3.0]]] * 2


def test_two_workers_have_the_losses_of_one_process(plain, fashion):
    """Without batch normalization, the mean of the halves is the whole: for 20 steps, to 1e-5."""
    _, history = alone(False, fashion)
    first, second = (numpy.array(worker["losses"]) for worker in plain)
    assert len(history.step_loss) == 20
    assert numpy.abs((first + second) / 2 - history.step_loss).max() < 1e-5
    assert numpy.abs(first - second).max() > 0.01, "they should have seen different examples"


def test_all_workers_have_the_same_weights_bit_for_bit(plain, normalized, fashion):
    for workers in (plain, normalized):
        first, second = (worker["before"] for worker in workers)
        for name, values in first.items():
            assert (values == second[name]) == ("running" not in name), name
    net, _ = alone(False, fashion)
    for ours, p in zip(plain[0]["before"].values(), net.collect_params().values()):
        assert numpy.abs(numpy.array(ours) - p.data().asnumpy()).max() < 1e-5


def test_with_batch_normalization_two_workers_are_not_one_process(normalized, fashion):
    _, history = alone(True, fashion)
    first, second = (numpy.array(worker["losses"]) for worker in normalized)
    assert numpy.abs((first + second) / 2 - history.step_loss).max() > 1e-3


def test_statistics_are_merged_as_moments_are(normalized):
    before = [worker["before"] for worker in normalized]
    name = next(name for name in before[0] if "running_mean" in name)
    means, variances = (
        numpy.array([words[n] for words in before])
        for n in (name, name.replace("running_mean", "running_var"))
    )
    assert numpy.abs(means[0] - means[1]).max() > 1e-4
    merged = means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)
    for worker in normalized:
        for n, expected in zip((name, name.replace("running_mean", "running_var")), merged):
            assert worker["after"][n] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert worker["after"] == normalized[0]["after"], "bit for bit"
        for n, values in worker["before"].items():
            assert "running" in n or worker["after"][n] == values, "weights stay"


def test_a_second_network_is_refused(plain):
    assert all("only once" in worker["again"] for worker in plain)


OWN_LAYER = """
import sys
import d2lutils
from d2lutils import BatchNorm
from d2lutils.workers import connect, merge_statistics
from mxnet import np
kvstore = connect()
layer = BatchNorm(1, 2)
layer.initialize()
layer.moving_mean.set_data(np.array([[2.0 * kvstore.rank]]))
merge_statistics(layer, kvstore)
values = [float(p.data()) for p in (layer.moving_mean, layer.moving_var)]
say({"rank": kvstore.rank, "values": values})
"""


def test_statistics_of_our_own_layer_are_merged(tmp_path):
    """Means 0 and 2, variances 1 and 1: together mean 1, variance 1 + 1. By three workers: 0, 2, 4."""
    assert [w["values"] for w in job(OWN_LAYER, tmp_path)] == [[1.0, 2.0]] * 2
    three = job(OWN_LAYER, tmp_path, workers=3)
    assert [w["values"] for w in three] == [[2.0, pytest.approx(1 + 8 / 3)]] * 3


REST = """
import sys
import numpy
import d2lutils
from d2lutils import fit
from d2lutils.workers import connect
from mxnet import np
from mxnet.gluon import nn
kvstore = connect()
X, y = np.arange(22).reshape(22, 1), np.zeros(22, dtype="int64")
seen = []
class Watch(nn.Block):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(2)
    def forward(self, X):
        seen.extend(X.asnumpy().ravel().tolist())
        return self.dense(X / 22)
net = Watch()
net.initialize()
fit(net, (X, y), num_epochs=1, batch_size=8, kvstore=kvstore, verbose=False)
say({"rank": kvstore.rank, "seen": seen[2:], "bias": net.dense.bias.data().tolist()})
"""


def test_a_smaller_last_batch_is_shared_too(tmp_path):
    """22 examples by 8: the rest of 6 makes a step, of 3 examples for each worker."""
    workers = job(REST, tmp_path)
    assert [len(worker["seen"]) for worker in workers] == [4 + 4 + 3] * 2
    assert sorted(workers[0]["seen"] + workers[1]["seen"]) == list(range(22))
    assert workers[0]["bias"] == workers[1]["bias"]


RESUMED = """
import sys
import numpy
import d2lutils
from d2lutils import fashion_mnist, fit, training
from d2lutils.workers import connect
from mxnet import init
sys.path.insert(0, sys.argv[1])
from test_scaling import SETTINGS, network

kvstore = connect()
if kvstore.rank == int(sys.argv[3]):  # it fails in the third epoch
    rate, steps = training.learning_rate, iter(range(1000))
    def failing(*arguments):
        if next(steps) == 25:
            raise RuntimeError("the power is out")
        return rate(*arguments)
    training.learning_rate = failing
net = network(True)
d2lutils.seed_everything(0)
net.initialize(init.Xavier())
train, _ = fashion_mnist(300)
history = fit(net, train, **(SETTINGS | {"num_epochs": 4}), kvstore=kvstore, resume=sys.argv[2])
values = [p.data().asnumpy().tolist() for p in net.collect_params().values()]
say({"rank": kvstore.rank, "values": values, "losses": history.step_loss})
"""


def test_a_job_goes_on_from_the_last_epoch_that_all_have(tmp_path):
    whole = job(RESUMED, tmp_path, tmp_path / "whole", -1)
    with pytest.raises(JobFailed, match="worker 1 failed.*(.|\n)*RuntimeError: the power is out"):
        job(RESUMED, tmp_path, tmp_path / "broken", 1)
    saved = sorted(path.name for path in (tmp_path / "broken").glob("epoch-*[0-9]"))
    assert "epoch-0002-worker-1" in saved
    ahead = tmp_path / "broken/epoch-0002-worker-1"
    ahead.rename(ahead.with_name("gone"))  # as if it had been ended while it saved the second
    assert job(RESUMED, tmp_path, tmp_path / "broken", -1) == whole
