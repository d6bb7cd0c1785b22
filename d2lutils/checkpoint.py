"""Checkpoints, from which `fit` goes on after a crash."""

import hashlib
import json
import os
import shutil
import zlib
from pathlib import Path

import mxnet as mx
import numpy
from mxnet import np

from .workers import total

KEPT = 2  # when a job is killed, one worker may have saved an epoch that another has not


def epochs(folder, num_epochs, kvstore, training, data, settings):
    """Yield the epochs that are still to be done, counted from 0, and save each when it is done.

    folder: where the checkpoints are; None: yield all epochs, save nothing.
    training: (net, trainer, rng, history); they are changed to what the last checkpoint holds.
    data, settings: what must be the same when the training goes on: a pair (X, y), known again by
    X's shape and y's checksum, and a dictionary of names and values.

    MXNet's random numbers (for dropout) are seeded before each epoch by the state of `rng`, so that
    they do not depend on what was done before. Raises ValueError for a folder that cannot be one,
    for other settings and another network, and for a damaged checkpoint; OSError if one cannot be
    written: the earlier ones stay.
    """
    if folder is None:
        yield from range(num_epochs)
        return
    folder, rank = Path(folder), kvstore.rank if kvstore else 0
    rng = training[2]
    train = f"{data.X.shape}, {zlib.crc32(data.y.asnumpy().tobytes())}"
    settings = {"num_epochs": num_epochs, **settings, "train": train}
    settings |= {"seed": rng.bit_generator.state, "workers": kvstore.num_workers if kvstore else 1}
    settings = json.loads(_json(settings))  # as they come back from a file
    folder.mkdir(parents=True, exist_ok=True)
    done = _last(folder, rank, num_epochs, kvstore)
    if done:
        _restore(_path(folder, done, rank), training, settings)
    for epoch in range(done, num_epochs):
        mx.random.seed(zlib.crc32(_json(rng.bit_generator.state).encode()) + rank)
        yield epoch
        _save(_path(folder, epoch + 1, rank), training, settings)
        shutil.rmtree(_path(folder, epoch + 1 - KEPT, rank), ignore_errors=True)


def _json(value):
    """JSON of what may hold NumPy's numbers and arrays."""
    return json.dumps(value, default=lambda array: array.tolist())


def _path(folder, epoch, rank):
    return folder / f"epoch-{epoch:04}-worker-{rank}"


def _last(folder, rank, num_epochs, kvstore):
    """The last epoch, counted from 1, that every worker has saved; 0 if there is none."""
    has = np.array([e == 0 or _path(folder, e, rank).is_dir() for e in range(num_epochs + 1)])
    has = has.astype("float32")
    everywhere = has if kvstore is None else total(kvstore, has) == kvstore.num_workers
    return int(numpy.flatnonzero(everywhere.asnumpy()).max())


def _save(path, training, settings):
    """Write a checkpoint whole or not at all: into a folder that gets its name when it is complete."""
    net, trainer, rng, history = training
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        arrays = [p.data().asnumpy() for p in net.collect_params().values()]
        numpy.savez(partial / "parameters.npz", *arrays)  # reports a full disk; MXNet does not
        trainer.save_states(str(partial / "optimizer"))
        about = {"settings": settings, "order": rng.bit_generator.state, "history": vars(history)}
        about["sha256"] = {file.name: _sha256(file) for file in partial.iterdir()}
        (partial / "about.json").write_text(_json(about), encoding="utf-8")
        for file in partial.iterdir():
            _to_disk(file)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(partial, path)
        _to_disk(path.parent)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OSError(
            error.errno,
            f"The checkpoint {path} cannot be written ({error.strerror}). Earlier ones are unharmed: "
            "make room, then call fit again with the same arguments to go on from there",
        ) from error


def _to_disk(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _restore(path, training, settings):
    net, trainer, rng, history = training
    try:
        about = json.loads((path / "about.json").read_text(encoding="utf-8"))
        whole = all(_sha256(path / name) == sum_ for name, sum_ in about["sha256"].items())
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"The checkpoint {path} is damaged: delete it, and call fit again.")
    for name, value in settings.items():
        if about["settings"].get(name) != value:
            raise ValueError(
                f"resume: {path.parent} holds a training with {name} = "
                f"{about['settings'].get(name)!r}, not {value!r}. Use the same, or another folder."
            )
    parameters = list(net.collect_params().values())
    with numpy.load(path / "parameters.npz") as file:
        arrays = [file[name] for name in file.files]
    if [p.shape for p in parameters] != [array.shape for array in arrays]:
        raise ValueError(f"resume: {path.parent} holds a training of another network.")
    for p, array in zip(parameters, arrays):
        p.set_data(np.array(array, dtype=array.dtype))
    trainer.load_states(str(path / "optimizer"))
    rng.bit_generator.state = about["order"]
    vars(history).update(about["history"])
