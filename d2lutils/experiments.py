"""Recorded experiments: `python -m d2lutils.experiments NAME` makes data/results/NAME.csv anew.

One row for each setting, seed and epoch; beside it NAME.json tells the command, the date, the
versions and the processor. Notebooks read these files with `load` and never run an experiment.
"""

import argparse
import datetime
import itertools
import json
import math
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pandas
from mxnet import init
from mxnet.gluon import nn

from .data import fashion_mnist
from .densenet import densenet
from .lenet import lenet
from .resnet import resnet18, small_resnet
from .runtime import physical_cores, seed_everything
from .training import fit

FOLDER = Path(__file__).resolve().parent.parent / "data" / "results"
NUM_TRAIN = 10_240


def gluon_norm(num_features, num_dims):
    return nn.BatchNorm()


def half_size(data):
    """Images averaged over 2x2 pixels: (N, 1, 32, 32) -> (N, 1, 16, 16)."""
    X, y = data
    return X.reshape(-1, 1, 16, 2, 16, 2).mean(axis=(3, 5)), y


def norm_last(net):
    """The same layers, each normalization moved behind the activation that follows it."""
    layers = list(net)
    for i in range(len(layers) - 1):
        if isinstance(layers[i], nn.BatchNorm) and isinstance(layers[i + 1], nn.Activation):
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
    moved = nn.HybridSequential()
    moved.add(*layers)
    return moved


def learning_rates():
    """LeNet with ReLU at constant rates, without and with batch normalization (notebooks 00, 01)."""
    yield from _constant_rates((0.03, 0.1, 0.3, 1.0, 3.0, 10.0), momentum=0.0)


def momentum():
    """LeNet as in `learning_rates`, with momentum 0.9 (exercise 1.5)."""
    yield from _constant_rates((0.01, 0.03, 0.1, 0.3, 1.0, 3.0), momentum=0.9)


def _constant_rates(rates, momentum):
    for lr, norm in itertools.product(rates, (None, gluon_norm)):
        setting = {"norm": "batch" if norm else "none", "lr": lr}
        training = {"num_epochs": 3, "lr": lr, "schedule": "constant", "momentum": momentum}
        yield setting, lambda norm=norm: lenet(norm, "relu"), training


def placement():
    """BN-LeNet with the normalization before and after the activation (notebook 02)."""
    training = {"num_epochs": 3, "lr": 0.3, "momentum": 0.0}
    yield {"place": "before"}, lambda: lenet(gluon_norm, "relu"), training
    yield {"place": "after"}, lambda: norm_last(lenet(gluon_norm, "relu")), training


def depth():
    """Plain and residual nets of 20 and 44 layers on 16x16 images (notebook 03)."""
    for layers, shortcut in itertools.product((20, 44), (False, True)):
        setting = {"depth": layers, "shortcut": shortcut}
        training = {"num_epochs": 3, "lr": 0.1, "schedule": "constant"}
        yield setting, lambda a=layers, b=shortcut: small_resnet(a, width=8, shortcut=b), training


def networks():
    """The course's four networks, 4 epochs of one cycle, He initialization (notebook 04).

    The rates were chosen by the training loss.
    """
    nets = {
        "LeNet": (lambda: lenet(None, "relu"), 0.1),
        "BN-LeNet": (lambda: lenet(gluon_norm, "relu"), 0.2),
        "ResNet-18": (resnet18, 0.03),
        "DenseNet": (densenet, 0.1),
    }
    for name, (make, lr) in nets.items():
        yield {"network": name}, make, {"num_epochs": 4, "lr": lr}


EXPERIMENTS = {f.__name__: f for f in (learning_rates, momentum, placement, depth, networks)}


def load(name):
    """The rows of a recorded experiment, a pandas table.

    Raises ValueError for a name that no experiment has, FileNotFoundError when it was never run.
    """
    path = _path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"data/results/{name}.csv is missing: restore it with `git checkout -- data/results`, "
            f"or make it with `python -m d2lutils.experiments {name}`."
        )
    return pandas.read_csv(path)


def run(name, seeds=5, num_train=NUM_TRAIN):
    """Run an experiment for the seeds 0, 1, ... and write its two files when all of it is done."""
    path = _path(name)
    train, test = fashion_mnist(num_train)
    if name == "depth":
        train, test = half_size(train), half_size(test)
    rows, settings = [], list(EXPERIMENTS[name]())
    for (setting, make, training), seed in itertools.product(settings, range(seeds)):
        seed_everything(seed)
        net = make()
        net.initialize(init.MSRAPrelu("in", slope=0) if name == "networks" else init.Xavier())
        history = _fit(net, train, test, seed=seed, **training)
        for epoch, values in enumerate(history, start=1):
            rows.append({**setting, "seed": seed, "epoch": epoch, **values})
        print(f"{name} {setting} seed {seed}: {rows[-1]}", flush=True)
    about = {
        "command": f"python -m d2lutils.experiments {name} --seeds {seeds}",
        "images": num_train,
        "settings": [{**setting, **training} for setting, _, training in settings],
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "mxnet": version("mxnet"),
        "numpy": version("numpy"),
        "processor": _processor(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", physical_cores())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, pandas.DataFrame(rows).round(4).to_csv(index=False))
    _write(path.with_suffix(".json"), json.dumps(about, indent=2) + "\n")


def _fit(net, train, test, num_epochs, **training):
    """The epochs of a run as dictionaries; after a divergence the rest of them hold no values."""
    try:
        history = fit(net, train, test, num_epochs=num_epochs, verbose=False, **training)
    except FloatingPointError as error:
        history = error.history
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    columns = [getattr(history, name) for name in names]
    return [
        {name: values[i] if i < len(values) else math.nan for name, values in zip(names, columns)}
        for i in range(num_epochs)
    ]


def _path(name):
    if name not in EXPERIMENTS:
        raise ValueError(f"There is no experiment {name!r}: choose from {', '.join(EXPERIMENTS)}.")
    return FOLDER / f"{name}.csv"


def _write(path, text):
    """Write a file whole or not at all."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    run(options.name, options.seeds)


if __name__ == "__main__":
    main()
