"""The checks of exercises 11, scaling out. Workers are calls of the learner's function."""

import errno
import itertools
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import numpy
from mxnet.gluon import nn

from ..nets import sequential
from .blocks import conv, relu
from .engine import Wrong, by_position, described, exercise
from .reference import float64, single

# --- 11.1 ---


def _worker(n, servers, workers):
    return 8 * n


def _server(n, servers, workers):
    return 8 * n * workers / servers


BITS = "Count bytes, not bits: a float32 has 4 bytes."
COUNT = "That is the number of parameters: each is a float32 and has 4 bytes."
THE_SUM = "A worker gets back the sum, not the gradients of all the others."
ONE_WAY = "That is one direction. Gradients come in, and sums go out."
TO_EACH = "The sum goes to every worker, so it leaves the server's machine once for each."
WORKER = [
    ("Every worker sends the gradients of all parameters, however many servers share them.",
     lambda n, s, w: 8 * n / s),
    ("A parameter lives on one server only: more servers do not mean more bytes.",
     lambda n, s, w: 8 * n * s),
    ("That is all workers together.", lambda n, s, w: 8 * n * w),
    ("That is one direction. A worker sends gradients and receives sums.", lambda n, s, w: 4 * n),
    (THE_SUM, lambda n, s, w: 4 * n * (1 + w)),
    (BITS, lambda n, s, w: 64 * n),
    ("A float32 has 4 bytes.", lambda n, s, w: 2 * n),
]  # fmt: skip
SERVER = [
    ("The servers share the parameters: each gets its part.", lambda n, s, w: 8 * n * w),
    ("Each server talks to all workers.", lambda n, s, w: 8 * n / s),
    (ONE_WAY, lambda n, s, w: 4 * n * w / s),
    (TO_EACH, lambda n, s, w: 4 * n * (1 + w) / s),
    (BITS, lambda n, s, w: 64 * n * w / s),
    ("More servers: fewer bytes for each.", lambda n, s, w: 8 * n * w * s),
]


@exercise(
    "11.1",
    "Bytes of a step",
    hints=(
        "Follow one parameter through a step: from each worker to its server 4 bytes, and back to "
        "each worker 4 bytes.",
        "A worker sends 4 n bytes and receives 4 n. Through the machines of all servers together "
        "pass 8 n W bytes, and each of the S servers has its share of them.",
    ),
)
def step_bytes(trial, sent, received, through_server, function):
    """sent, received: bytes of one of 4 workers in a step, 1,000,000 parameters, one server;
    through_server: bytes through its machine; function(n, servers, workers) -> bytes that one
    worker sends and receives, bytes through the machine of each server."""
    known = [
        (COUNT, 1e6),
        (BITS, 32e6),
        ("This is both directions: give each by itself.", 8e6),
    ]
    hint = "One worker sends the gradient of each parameter once, 4 bytes."
    together = [("That is all four workers together.", 16e6)]
    what = "bytes that one worker sends"
    trial.equal(what, sent, 4e6, hint, known + together, secret=True, tolerance=1e-9)
    hint = "One worker receives the sum of each parameter's gradients once, 4 bytes."
    what, several = "bytes that one worker receives", [(THE_SUM, 16e6), (THE_SUM, 12e6)]
    trial.equal(what, received, 4e6, hint, known + several, secret=True, tolerance=1e-9)
    known = [
        (ONE_WAY, 16e6),
        (TO_EACH, 20e6),
        ("That is one worker of the four.", 8e6),
        (BITS, 256e6),
    ]
    hint = "All four workers send to the server, and all four receive from it."
    what = "bytes through the server's machine"
    trial.equal(what, through_server, 32e6, hint, known, secret=True, tolerance=1e-9)

    cases = [(trial.integer(10**5, 10**7), s, w) for s, w in ((1, 5), (2, 7), (3, 8), (5, 2))]
    found = [
        trial.several(trial.call(function, *case), ("of_worker", "of_server")) for case in cases
    ]
    for i, what, right, mistakes, hint in (
        (0, "one worker: other numbers", _worker, WORKER, "4 bytes a parameter, both ways."),
        (1, "one of several servers", _server, SERVER, "Its part of 4 bytes a parameter, both ways, "
         "for every worker."),
    ):  # fmt: skip
        seen = [trial.number(what, pair[i]) for pair in found]
        known = [(its_hint, [its(*case) for case in cases]) for its_hint, its in mistakes]
        trial.equal(what, seen, [right(*case) for case in cases], hint, known, tolerance=1e-6)


# --- 11.2 ---


def _merge(counts, means, variances, spread=1.0, weighted=True):
    """Mean and biased variance of all rows, in float64; the keywords make mistakes."""
    n = counts[:, None] if weighted else numpy.ones((len(counts), 1))
    mean = (n * means).sum(axis=0) / n.sum()
    return mean, (n * (variances + spread * (means - mean) ** 2)).sum(axis=0) / n.sum()


def _wrong_variances(counts, means, variances):
    n, N = counts[:, None], counts.sum()
    mean, var = _merge(counts, means, variances)
    apart = (means - mean) ** 2
    return [
        (
            "The spread of the means is missing: rows of different workers differ also because their "
            "means do.",
            _merge(counts, means, variances, spread=0.0)[1],
        ),
        (
            "This is the unbiased variance of all rows: divide by their number, not by one less.",
            var * N / (N - 1),
        ),
        (
            "The spread of the means is missing, and a worker with more rows should count more.",
            variances.mean(axis=0),
        ),
        (
            "The mean is weighted, but the variance is not: a worker with more rows counts more there "
            "too.",
            (variances + apart).mean(axis=0),
        ),
        (
            "The spread of the means has to be weighted with the counts, too.",
            (n * variances).sum(axis=0) / N + apart.mean(axis=0),
        ),
        (
            "The variances have to be weighted with the counts, too.",
            variances.mean(axis=0) + (n * apart).sum(axis=0) / N,
        ),
        (
            "The spread of the means is added, not subtracted.",
            _merge(counts, means, variances, spread=-1.0)[1],
        ),
        (
            "The variances given are biased: a worker's sum of squares is n * var, not (n - 1) * var.",
            ((n - 1) * variances + n * apart).sum(axis=0) / (N - 1),
        ),
        ("This is the standard deviation.", numpy.sqrt(var)),
    ]


DIGITS = (
    "The mean is large here, compared with the variance. Then the mean of the squares and the square "
    "of the mean are nearly equal, and float32 loses the digits of their difference. Add to each "
    "variance the square of how far its mean is from the common one."
)
ONE_COLUMN = (
    "The counts have shape (W,), the means (W, C): counts.reshape(-1, 1) multiplies row by row."
)


@exercise(
    "11.2",
    "Shards of different sizes",
    hints=(
        "The sum of all rows is the sum of count times mean. For the variance, take the rows of one "
        "worker: how far are they, in the mean square, from the common mean? (Lesson 09, section 6.1.)",
        "n = counts.reshape(-1, 1); mean = (n * means).sum(axis=0) / n.sum(); var = (n * (variances + "
        "(means - mean) ** 2)).sum(axis=0) / n.sum().",
    ),
)
def merged_shards(trial, function):
    """function(counts, means, variances) -> mean and biased variance of the rows of all workers.

    counts: (W,); means and variances: (W, C), the variances biased; the results have shape (C,).
    """
    for case, sizes, level in (
        ("two workers", (4, 12), 0.0),
        ("five workers, one with a single row", (9, 1, 3, 16, 6), 0.0),
        ("a mean of about 2,000", (7, 20, 5), 2000.0),
    ):
        c = trial.integer(3, 5)
        parts = [
            trial.rng.normal(level + trial.rng.normal(0, 2, c), trial.rng.uniform(1, 3), (n, c))
            for n in sizes
        ]
        moments = [[part.mean(axis=0) for part in parts], [part.var(axis=0) for part in parts]]
        arguments = [single(values) for values in (sizes, *moments)]
        result = trial.call(function, *arguments, hints={"broadcast": ONE_COLUMN})
        mean, var = trial.several(result, ("mean", "var"))
        arguments = [float64(argument) for argument in arguments]
        right = _merge(*arguments)
        mistakes = [
            (
                "This is the mean of the means: a worker with more rows has to count more.",
                arguments[1].mean(axis=0),
            ),
            ("Divide by the number of all rows.", right[0] * sum(sizes)),
            ("The mean comes first, then the variance.", right[1]),
        ]
        hint = "count times mean is the sum of a worker's rows."
        trial.equal(f"{case}: the mean", mean, right[0], hint, mistakes, tolerance=1e-5)
        hint = "Each row's distance from the common mean counts."
        mistakes = _wrong_variances(*arguments)
        what = f"{case}: the variance"
        trial.equal(what, var, right[1], DIGITS if level else hint, mistakes)


# --- 11.3 ---


def _listed(function):
    """The function, whose result may also be a generator."""
    function = by_position(function)

    def call(*arguments):
        result = function(*arguments)
        return list(result) if isinstance(result, Iterator) else result

    return call


def _steps(trial, function, *arguments):
    """What a worker does: a flat array of numbers for each step. Raises Wrong for something else."""
    result = trial.call(_listed(function), *arguments)
    if not hasattr(result, "__iter__") or isinstance(result, str | Mapping):
        what = (
            f"Your function returned {described(result)}, not a list with the images of each step."
        )
        raise Wrong(what, "Return a list of lists or arrays, one for each step.")
    found, what = [], "the images of a step are a list or an array of numbers"
    for part in result:
        numbers = trial.array(what, part, shape=None)
        hint = "Each entry of the list belongs to one step, and has one axis: this worker's images."
        trial.holds(what, numbers.ndim == 1, hint, described(part))
        found.append(numbers)
    return found


def _each_once(trial, parts, numbers, where, twice, lost):
    """All numbers once. twice, lost: the hints."""
    seen = numpy.concatenate([step for steps in parts for step in steps])
    strange = set(seen) - set(numbers)
    hint = "Give the entries of the order, that is, the numbers of the images, not their positions."
    what = "the numbers are those of the images"
    trial.holds(what, not strange, hint, f"{where}: {min(strange, default=0):g} is none of them")
    repeated = len(seen) - len(set(seen))
    trial.holds("no image is seen twice", repeated == 0, twice, f"{where}: {repeated} are")
    missing = len(numbers) - len(set(seen))
    trial.holds("no image is left out", missing == 0, lost, f"{where}: {missing} are")


@exercise(
    "11.3",
    "Shards of every batch",
    hints=(
        "First cut the order into global batches, as one worker alone would do. Then give each worker "
        "a part of each of them.",
        "[order[i : i + batch_size][rank::workers] for i in range(0, len(order), batch_size)]",
    ),
)
def shards(trial, function):
    """function(order, batch_size, rank, workers) -> a list: this worker's images of each step."""
    for number, size, workers in ((12, 4, 1), (24, 6, 2), (30, 8, 3), (41, 10, 4), (8, 20, 5)):
        order = trial.rng.choice(numpy.arange(100, 1000), number, replace=False)
        batches = [order[i : i + size] for i in range(0, number, size)]
        parts = [_steps(trial, function, order, size, rank, workers) for rank in range(workers)]
        where = f"{number} images, batches of {size}, {workers} worker{'s' * (workers > 1)}"
        lengths = [len(steps) for steps in parts]
        hint = (
            "A worker with fewer steps than the others keeps them waiting for ever. Each has a part of "
            "each global batch, also of the last, incomplete one; a part may be empty."
            if max(lengths) <= len(batches)
            else f"There are {len(batches)} global batches: batch_size counts the images of all workers."
        )
        trial.holds(
            "every worker has as many steps as there are global batches",
            set(lengths) == {len(batches)},
            hint,
            f"{where}: {', '.join(map(str, lengths))} steps",
            len(batches),
        )
        alike = all(
            numpy.array_equal(step, other)
            for steps in parts
            for step, other in zip(steps, parts[0])
        )
        twice = "Two workers have the same image: parts must not overlap."
        if alike and workers > 1:
            twice = "All workers have the same images: use rank."
        lost = "Some images of a batch are in no part."
        rest, workers_left = len(batches[-1]) < size, size % workers
        if rest and all(len(steps[-1]) == 0 for steps in parts):
            lost = "The last batch may be incomplete. Its images count, too."
        elif workers_left:
            lost = f"{size} // {workers} leaves a rest of {workers_left}: somebody has to take it."
        _each_once(trial, parts, order, where, twice, lost)
        same = all(
            set(numpy.concatenate([steps[i] for steps in parts])) == set(batch)
            for i, batch in enumerate(batches)
        )
        hint = (
            "The images of a step, of all workers together, have to be those of one worker alone. Cut "
            "into global batches first, then each batch into parts."
        )
        what = "together, the parts of a step are the batch that one worker alone would see"
        trial.holds(what, same, hint, where)
        sizes = [[len(steps[i]) for steps in parts] for i in range(len(batches))]
        uneven = [row for row in sizes if max(row) - min(row) > 1]
        hint = "All wait for the worker with the largest part. batch[rank::workers] has even parts."
        seen = f"{where}: parts of {uneven[0]}" if uneven else None
        trial.holds("the parts of a step differ by one image at most", not uneven, hint, seen)


# --- 11.4 ---


def _sums(w, X, y, batch_size, error=lambda X, w, y: X @ w - y):
    return X.T @ error(X, w, y)


CONTRIBUTIONS = [
    (
        "Each worker's mean was handed in. Their sum is not the mean of the batch, and an image in a "
        "small part counts more than one in a large part. Hand in the sum, divided by batch_size.",
        lambda *a: _sums(*a) / len(a[1]),
    ),
    ("That is the gradient of the sum. Divide by batch_size.", _sums),
    (
        "This divides twice: by the size of the part, and by batch_size.",
        lambda *a: _sums(*a) / len(a[1]) / a[3],
    ),
    ("The half in the loss takes away the factor 2.", lambda *a: 2 * _sums(*a) / a[3]),
    ("The sign is the other way round.", lambda *a: -_sums(*a) / a[3]),
    (
        "The labels y are missing.",
        lambda *a: _sums(*a, error=lambda X, w, y: X @ w) / a[3],
    ),
]


@exercise(
    "11.4",
    "Parts of different sizes",
    hints=(
        "The mean over the batch is a sum over all its images, divided by their number. A sum can be "
        "cut into parts of any size. The division is the same for all of them.",
        "By hand: (1 + 2 + 3) / 3 = 2, so (2 + 10) / 2, and (1 + 2 + 3 + 10) / 4. In code: "
        "np.dot(X.T, np.dot(X, w) - y) / batch_size.",
    ),
)
def unequal_parts(trial, mean_of_means, mean_of_all, function):
    """mean_of_means, mean_of_all: for gradients 1, 2, 3 on one worker and 10 on the other;
    function(w, X, y, batch_size) -> what a worker hands in, to be added up."""
    what, hint = "the mean of the two means", "One worker's mean is 2, the other's 10."
    mistakes = [("That is the mean of all four.", 4), ("That is their sum.", 12)]
    trial.equal(what, mean_of_means, 6, hint, mistakes, secret=True, tolerance=1e-6)
    what, hint = "the gradient of the mean loss of all four", "Four gradients, one mean."
    mistakes = [("That is the mean of the means.", 6), ("That is the sum of all four.", 16)]
    trial.equal(what, mean_of_all, 4, hint, mistakes, secret=True, tolerance=1e-6)

    for case, sizes in {
        "one worker": (6,),
        "equal parts": (4, 4),
        "parts of 5, 2 and 1 images": (5, 2, 1),
    }.items():
        d, n = trial.integer(3, 5), sum(sizes)
        w, label = trial.normal(d), trial.normal(n, mean=2)
        X, ends = trial.normal(n, d, mean=1), numpy.cumsum(sizes)
        parts = [(w, X[e - s : e], label[e - s : e], n) for s, e in zip(sizes, ends)]
        what = f"{case}: added up, the gradient of the mean loss"
        seen = sum(trial.array(what, trial.call(function, *part), (d,)) for part in parts)
        parts = [(*map(float64, part[:3]), n) for part in parts]
        mistakes = [(hint, sum(its(*part) for part in parts)) for hint, its in CONTRIBUTIONS]
        hint = "The gradient of one image's loss is (x·w - y) x."
        trial.equal(what, seen, sum(_sums(*part) for part in parts) / n, hint, mistakes)


# --- 11.5 ---


def _time(machines, compute, n, bits):
    return compute / machines + 64 * n * machines / bits


def _machines(compute, n, bits, per_parameter=64):
    """The first number of machines with which a step takes no longer than with one more."""
    ratio = compute * bits / (per_parameter * n)  # of W (W + 1)
    return max(1, math.ceil(math.sqrt(ratio + 0.25) - 0.5))


def _root(compute, n, bits):
    return math.sqrt(compute * bits / (64 * n))


IN_BITS = "The bandwidth is in bits per second, 8 n W counts bytes. A byte has 8 bits."
MACHINES = [
    (IN_BITS, lambda c, n, b: _machines(c, n, b, per_parameter=8)),
    ("Both directions count: 8 bytes for each parameter and machine.",
     lambda c, n, b: _machines(c, n, b, per_parameter=32)),
    ("Both directions count, and a byte has 8 bits.",
     lambda c, n, b: _machines(c, n, b, per_parameter=4)),
    ("The number of machines is whole. Compare T(W) with T(W + 1).", _root),
    ("Rounding up may give one machine too many. Compare T(W) with T(W + 1).",
     lambda *a: math.ceil(_root(*a))),
    ("Rounding down may give one machine too few. Compare T(W) with T(W + 1).",
     lambda *a: math.floor(_root(*a))),
    ("This one does not pay any more: the number before it is asked for.",
     lambda *a: _machines(*a) + 1),
    ("One fewer than the best.", lambda *a: _machines(*a) - 1),
    ("This W makes both terms equal, but without the root.",
     lambda c, n, b: c * b / (64 * n)),
]  # fmt: skip


@exercise(
    "11.5",
    "How many machines pay",
    hints=(
        "Compute T(1), T(2), T(3) ... until the next one is not smaller. The seconds for the "
        "communication are bits divided by bits per second: 8 bits a byte.",
        "W = 1, then: while T(W + 1) < T(W): W += 1, with T(W) = compute / W + 8 * 8 * n * W / "
        "bits_per_second.",
    ),
)
def machines_that_pay(trial, by_hand, function):
    """by_hand: for 2 seconds, 11 million parameters, 10 Gbit/s; function(compute, n,
    bits_per_second) -> the number of machines beyond which another does not pay."""
    mistakes = [
        (IN_BITS, 15),
        ("Both directions count: 8 bytes for each parameter and machine.", 8),
        ("T(6) = 0.756 seconds, T(5) = 0.752 seconds.", 6),
        ("T(4) = 0.782 seconds, T(5) = 0.752 seconds.", 4),
        ("That is for 1 Gbit/s.", 2),
        ("That is for 100 Gbit/s.", 17),
        ("The number of machines is whole. Compare T(5) with T(6).", math.sqrt(20 / 0.704)),
    ]
    what = "2 seconds, 11 million parameters, 10 Gbit/s"
    hint = "T(1) = 2 + 0.0704 seconds, T(2) = 1 + 0.1408 seconds. Go on."
    trial.equal(what, by_hand, 5, hint, mistakes, secret=True, tolerance=2e-3)

    cases = []
    roots = (3, 0.4), (9, -0.3), (trial.integer(12, 30), 0.3), (6, -0.4), (2, -0.268)
    for machines, above in roots:
        n, bits = trial.integer(10**5, 10**8), 10 ** trial.rng.uniform(8.5, 11)
        cases.append(((machines + above) ** 2 * 64 * n / bits, n, bits))
    what = "other networks and bandwidths"
    seen = [trial.number(what, trial.call(function, *case)) for case in cases]
    right = [_machines(*case) for case in cases]
    hint = "Which W has the smallest T(W)? If two have the same, take the smaller."
    known = [(its_hint, [its(*case) for case in cases]) for its_hint, its in MACHINES]
    trial.equal(what, seen, right, hint, known, tolerance=1e-6)
    found = trial.call(function, 0.1 * 64 * 10**8 / 10**9, 10**8, 10**9)
    hint = "With so slow a network, the second machine already costs more than it brings: return 1."
    mistakes = [("There is always one machine.", 0)]
    trial.equal("one machine, where the network is slow", found, 1, hint, mistakes)


# --- 11.6 ---


class _Disk:
    """A folder, what `write` sees in it, and which of `os.fsync` and `os.replace` were called."""

    def __init__(self, folder, rng):
        self.folder = Path(folder)
        self.path, self.other = (self.folder / f"epoch-0003-worker-{i}.npz" for i in (0, 1))
        self.old, self.new, self.theirs = (rng.bytes(300_000) for _ in range(3))

    def writer(self, content, error=None, between=None, look=True):
        """A function `write(file)`; with an error, it raises that after half of the content."""

        def write(file):
            half = len(content) // 2
            file.write(content[:half])
            if look:
                self.look(file)
            if between:
                between()
            if error:
                raise error
            file.write(content[half:-1000])
            file.write(content[-1000:])  # so few bytes stay in Python's buffer

        return write

    def look(self, file):
        self.written = self.name_is_free = self.beside = None
        try:
            there = os.fstat(file.fileno())
        except (AttributeError, OSError):
            return
        self.written = there.st_dev, there.st_ino
        names = {_identity(path): path for path in self.folder.iterdir()}
        self.beside = self.written in names
        self.name_is_free = names.get(self.written) != self.path

    @contextmanager
    def watched(self):
        """Note the calls of `os.fsync`, which costs no time here, `os.replace` and `os.rename`."""

        def note(name, file):
            found = os.stat(file)
            self.events.append((name, (found.st_dev, found.st_ino), found.st_size))

        def fsync(file):
            note("fsync", file if isinstance(file, int) else file.fileno())

        def noting(real):
            def rename(source, *more, **named):
                with suppress(OSError, TypeError):  # the real one tells what is wrong
                    note("rename", source)
                self.gap = self.gap or (self.had and not self.path.exists())
                return real(source, *more, **named)

            return rename

        changed = {"fsync": fsync, "replace": noting(os.replace), "rename": noting(os.rename)}
        with mock.patch.multiple(os, **changed):
            yield

    def names(self):
        return {path.name for path in self.folder.iterdir()}

    def clear(self, *kept):
        for path in self.folder.iterdir():
            path.unlink()
        for path, content in kept:
            path.write_bytes(content)
        self.events, self.gap, self.had = [], False, self.path.exists()
        self.written = "nothing"


def _identity(path):
    found = path.stat()
    return found.st_dev, found.st_ino


ASIDE = (
    "Write into another file in the same folder, and give it the name with os.replace when it is "
    "complete."
)
HALF = "a failure half-way"
SAVING = {
    "must be str": 'Open the file in binary mode, "wb".',
    "has no attribute 'write'": "write takes an open file, not a path: with open(aside, 'wb') as "
    "file: write(file).",
    "closed file": "write needs the file open, and so do flush() and fileno().",
    "No such file": "After os.replace the other name is gone: remove the file only if saving failed.",
    "unexpected keyword argument": "write takes one argument, the open file.",
}


def _saved(trial, save, disk):
    """Saving that succeeds: with no earlier file, and in place of one."""
    for case, kept in (("a new file", []), ("an earlier one", [(disk.path, disk.old)])):
        disk.clear(*kept)
        size = trial.call(save, disk.path, disk.writer(disk.new), hints=SAVING)
        hint = "Call write(file) once, with a file that is open for writing in binary mode."
        trial.holds("write was called", disk.written != "nothing", hint)
        hint = (
            "Give write a file on the disk: two copies of a checkpoint may not fit into the memory."
        )
        trial.holds("it wrote into a file", disk.written is not None, hint)
        trial.holds("under another name at first", disk.name_is_free, ASIDE)
        hint = "Make the other file in the folder of path: os.replace cannot move it from another disk."
        trial.holds("in the same folder", disk.beside, hint)
        hint = f"Nothing has this name in the end. {ASIDE}"
        trial.holds("then the file has its name", disk.path.exists(), hint)
        hint = "The content is not what write wrote, once."
        whole = disk.path.read_bytes() == disk.new
        trial.holds(
            "and its content", whole, hint, f"{disk.path.stat().st_size:,} bytes", "300,000"
        )
        renamed = _identity(disk.path) == disk.written
        hint = "Rename the file, do not copy it: a copy can fail half-way, too. os.replace renames."
        trial.holds("it was renamed, not copied", renamed, hint)
        hint = "For a moment there was no file at all. os.replace replaces: remove nothing before."
        trial.holds("there was always one of the two", not disk.gap, hint)
        mine = [event for event in disk.events if event[1] == disk.written]
        early = any(name == "rename" and n < len(disk.new) for name, _, n in mine)
        hint = (
            "When it got its name, a part of the content was still in Python's buffer. Rename after "
            "the `with` that closes the file."
        )
        trial.holds("it was complete when it got its name", not early, hint)
        before = itertools.takewhile(lambda event: event[0] == "fsync", mine)
        synced = [n for _, _, n in before]
        hint = (
            "The disk may keep the new name and lose the content if the power fails. Before you rename, "
            "with the file still open: file.flush(), then os.fsync(file.fileno()). (Write it with os., "
            "or the check does not see it.)"
        )
        if synced:
            hint = "A part was still in Python's buffer at os.fsync: call file.flush() before it."
        elif any(name == "fsync" for name, _, _ in mine):
            hint = "os.fsync comes before the renaming."
        on_disk = len(disk.new) in synced
        trial.holds("and on the disk (os.fsync)", on_disk, hint)
        litter = disk.names() - {disk.path.name}
        trial.holds(
            "nothing else is left in the folder",
            not litter,
            "Another file is left beside it.",
            ", ".join(sorted(litter)),
        )
        trial.equal(f"{case}: the number of bytes", size, len(disk.new), "Return the file's size.")


def _attempt(save, error):
    """A call of `save` that tells whether this error reached the caller."""

    def attempt(path, write):
        try:
            save(path, write)
        except BaseException as caught:
            if type(caught) is type(error) or caught.__cause__ is error:
                return "an error"
            raise
        return "no error"

    return attempt


def _failed(trial, save, disk):
    """Saving that fails half-way."""
    for case, error in (
        ("the disk is full", OSError(errno.ENOSPC, "No space left on device")),
        ("Ctrl-C", KeyboardInterrupt()),
    ):
        for kept in ([(disk.path, disk.old), (disk.other, disk.theirs)], []):
            disk.clear(*kept)
            write = disk.writer(disk.new, error)
            told = trial.call(_attempt(save, error), disk.path, write, hints=SAVING)
            now = disk.path.read_bytes() if disk.path.exists() else None
            hint = f"After the failure, the earlier file is gone or damaged. {ASIDE}"
            kept_whole = now == disk.old if kept else now is None
            if not kept:
                hint = f"After the failure, half a file has the name. {ASIDE}"
            trial.holds(f"{case}: the name has the earlier content, or none", kept_whole, hint)
            litter = disk.names() - {path.name for path, _ in kept}
            trial.holds(
                f"{case}: nothing is left in the folder",
                not litter,
                "Remove the other file when saving fails."
                if isinstance(error, OSError)
                else "KeyboardInterrupt is no Exception, and `except Exception` does not see it: use "
                "`except BaseException` and `raise` again, or `finally`.",
                ", ".join(sorted(litter)),
            )
            hint = "The caller has to know that nothing was saved: `raise` the error again."
            trial.holds(f"{case}: the caller gets the error", told == "an error", hint)
            if kept:
                hint = "This is another worker's file: leave it alone."
                same = disk.other.exists() and disk.other.read_bytes() == disk.theirs
                trial.holds("the file of another worker is unharmed", same, hint)


def _at_once(trial, save, disk):
    """Two workers save at the same time: the second begins and ends while the first one writes."""
    disk.clear()
    other = disk.writer(disk.theirs, look=False)
    write = disk.writer(disk.new, between=lambda: save(disk.other, other), look=False)
    what = "two workers that save at the same time"
    hint = (
        "Both use the same name for their unfinished file. Make it from the name of the path, as "
        "path.with_name(path.name + '.partial')."
    )
    hints = {"No such file": hint}
    trial.call(save, disk.path, write, what="With two workers at the same time, save", hints=hints)
    wrong = [
        path.name
        for path, content in ((disk.path, disk.new), (disk.other, disk.theirs))
        if not path.exists() or path.read_bytes() != content
    ]
    trial.holds(what, not wrong, hint, f"damaged: {', '.join(wrong)}")


def _folders(*epochs):
    """The names of finished checkpoints: for each worker, its epochs."""
    return [f"epoch-{e:04}-worker-{i}" for i, its in enumerate(epochs) for e in its]


UNFINISHED = "A name that ends in .partial is of a checkpoint that was never finished."
LAST = [  # the case, the names, the number of workers, the answer, hints for other answers
    ("both have the same", _folders([3, 4], [3, 4]), 2, 4, {3: "Both have a later one."}),
    (
        "one is an epoch ahead",
        _folders([4, 5], [3, 4]),
        2,
        4,
        {
            5: "Worker 1 has no epoch 5. Which is the last that all have?",
            3: "Both have a later one.",
        },
    ),
    (
        "a checkpoint was not finished",
        [*_folders([6, 7], [5, 6]), "epoch-0007-worker-1.partial"],
        2,
        6,
        {7: UNFINISHED},
    ),
    (
        "eleven workers",
        _folders([9, 10], [8, 9], *[[9, 10]] * 9),
        11,
        9,
        {
            10: "Worker 1 has no epoch 10. Did you take worker-10 for worker-1? Compare whole numbers."
        },
    ),
    (
        "an earlier job had three workers",
        _folders([2, 3], [2], [3]),
        2,
        2,
        {3: "Worker 1 has no epoch 3. Only the workers 0 to workers - 1 count."},
    ),
    (
        "ten epochs and more",
        _folders([9, 10], [9, 10]),
        2,
        10,
        {9: "10 is more than 9: as numbers."},
    ),
    (
        "no epoch that all have",
        _folders([5], [3, 4]),
        2,
        0,
        {
            4: "Worker 0 has no epoch 4: the smallest of the workers' last epochs need not be one that "
            "all have.",
            5: "Worker 1 has no epoch 5.",
        },
    ),
    ("an empty folder", [], 2, 0, {}),
]


@exercise(
    "11.6",
    "A whole file or none",
    hints=(
        "Four steps: open another file beside path, write(file), flush and os.fsync, then, after the "
        "file is closed, os.replace(aside, path). Around them a try: if anything goes wrong, remove "
        "the other file and raise again. For last_common, collect for each epoch the set of its "
        "workers.",
        "aside = path.with_name(path.name + '.partial'); try: with open(aside, 'wb') as file: "
        "write(file); file.flush(); os.fsync(file.fileno()). After the `with`: os.replace(aside, "
        "path). except BaseException: aside.unlink(missing_ok=True); raise. At the end return "
        "path.stat().st_size. A name fits "
        "re.fullmatch(r'epoch-(\\d+)-worker-(\\d+)', name), or it does not count.",
    ),
)
def whole_or_none(trial, save, last_common):
    """save(path, write) -> the number of bytes; write(file) writes the content and may fail;
    last_common(names, workers) -> the last epoch that all workers have, or 0."""
    save = by_position(save)
    with tempfile.TemporaryDirectory() as folder:
        disk = _Disk(folder, trial.rng)
        with disk.watched():
            _saved(trial, save, disk)
            _failed(trial, save, disk)
            _at_once(trial, save, disk)
    hints = {
        "invalid literal": UNFINISHED,
        "empty": "No epoch may be common to all, or the folder may be empty: return 0 then.",
        "not enough values": "A folder may hold other files, too.",
        "list index out of range": "A folder may hold other files, too.",
    }
    for case, names, workers, right, known in LAST:
        names = list(trial.rng.permutation([*names, "notes.txt"]).tolist())
        what = f"{case}: the last epoch that all have"
        found = trial.call(last_common, names, workers, hints=hints, what="Your second function")
        hint = "Which epochs has every worker from 0 to workers - 1? Take the last of them, or 0."
        mistakes = [(its_hint, number) for number, its_hint in known.items()]
        trial.equal(what, found, right, hint, mistakes, tolerance=1e-6)


# --- 11.7 ---


def _warmed(step, steps_warm, base_lr, k):
    share = min(step / steps_warm, 1) if steps_warm else 1
    return base_lr * (1 + (k - 1) * share)


RATES = [
    ("The ramp begins at base_lr, not at 0.",
     lambda s, n, b, k: k * b * min(s / n, 1)),
    ("The ramp begins at base_lr, not at 0, and step 0 is the first.",
     lambda s, n, b, k: k * b * min((s + 1) / n, 1)),
    ("One step too early: step 0 has the rate base_lr, step steps_warm has k * base_lr.",
     lambda s, n, b, k: b * (1 + (k - 1) * min((s + 1) / n, 1))),
    ("One step too early: k * base_lr comes at step steps_warm, not at the step before.",
     lambda s, n, b, k: b * (1 + (k - 1) * min(s / (n - 1), 1))),
    ("That is an exponential ramp. In a linear one, each step adds the same.",
     lambda s, n, b, k: b * k ** min(s / n, 1)),
    ("After the warm-up the rate stays at k * base_lr: it must not grow further.",
     lambda s, n, b, k: b * (1 + (k - 1) * s / n)),
    ("The ramp ends at k * base_lr, not at (k + 1) * base_lr.",
     lambda s, n, b, k: b * (1 + k * min(s / n, 1))),
    ("That is a jump: during the warm-up the rate grows from step to step.",
     lambda s, n, b, k: b if s < n else k * b),
    ("The warm-up has no effect.", lambda s, n, b, k: k * b),
    ("k has no effect.", lambda s, n, b, k: b),
]  # fmt: skip


@exercise(
    "11.7",
    "Scaled and warmed up",
    hints=(
        "By hand: the batch is 32 times as large. For the function: which share of the warm-up is over "
        "at this step, 0 at the first and 1 at the end? The rate is base_lr plus that share of "
        "(k - 1) * base_lr.",
        "share = min(step / steps_warm, 1) if steps_warm else 1; return base_lr * (1 + (k - 1) * "
        "share). And 0.1 * 8192 / 256.",
    ),
)
def scaled_rate(trial, scaled_rate, function):
    """scaled_rate: the rate for batches of 8,192, if 0.1 is right for 256; function(step, steps_warm,
    base_lr, k) -> the rate of a step."""
    mistakes = [
        ("That is k.", 32),
        ("The rate grows with the batch: multiply by k.", 0.1 / 32),
        ("That is the root of k. The rule is linear.", 0.1 * math.sqrt(32)),
        ("Nothing has changed.", 0.1),
    ]
    what, hint = "the scaled rate for 8,192 images", "k = 8192 / 256: the rate is k times as large."
    trial.equal(what, scaled_rate, 3.2, hint, mistakes, secret=True, tolerance=1e-6)
    n, base, k = trial.integer(5, 9), trial.rng.uniform(0.05, 0.2), trial.integer(11, 19)
    groups = {
        "the first step": [0],
        "the steps of the warm-up": range(1, n),
        "the step after it, and all later ones": (n, n + 1, 3 * n),
    }
    everything, found = [s for steps in groups.values() for s in steps], {}
    zero = "steps_warm may be 0: then there is no warm-up."
    for step in everything:
        rate = trial.call(function, step, n, base, k)
        found[step] = trial.number(f"the rate of step {step} of {n}", rate)
    seen = numpy.array([found[step] for step in everything])
    right = numpy.array([_warmed(step, n, base, k) for step in everything])
    known = [(hint, numpy.array([its(s, n, base, k) for s in everything])) for hint, its in RATES]
    hint = next((hint for hint, its in known if numpy.allclose(seen, its, rtol=1e-5)), None)
    for what, steps in groups.items():
        places = [everything.index(step) for step in steps]
        own = hint or "Step 0: base_lr. Step steps_warm: k * base_lr. Between: a straight line."
        trial.equal(f"{what}: the rate", seen[places], right[places], own, tolerance=1e-5)
    rates = [trial.call(function, s, 0, base, k, hints={"division by zero": zero}) for s in (0, 3)]
    what = "no warm-up at all"
    rates = [trial.number(what, rate) for rate in rates]
    trial.equal(what, rates, [k * base] * 2, zero, tolerance=1e-5)


# --- the zoo ---


@exercise(
    "11.8a",
    "Zoo: many hands, one job",
    hints=(
        "Write down `order` and `mine` for 8 images and 2 workers, for rank 0 and for rank 1.",
        "mine = order[rank::workers]",
    ),
    options={
        "a": (
            False,
            "Then each would shuffle in its own way. Their parts would overlap by chance, and other "
            "images would be in no part.",
        ),
        "b": (False, "The seed is the same, so the order is the same. That is as it should be."),
        "c": (True, "All take the beginning of the same order: rank is used nowhere."),
        "d": (False, "128 images are divided by 2 and by 4 without a remainder."),
    },
)
def same_images(trial, hypothesis_a, epoch_of):
    """hypothesis_a: a letter; epoch_of(rank, workers, number, batch_size, seed): the repaired
    function -> a list with this worker's images of each step."""
    for number, size, workers in ((48, 8, 1), (60, 12, 2), (72, 12, 4), (90, 15, 5)):
        seed = trial.integer(0, 10**6)
        where = f"{number} images, batches of {size}, {workers} worker{'s' * (workers > 1)}"
        parts = [_steps(trial, epoch_of, r, workers, number, size, seed) for r in range(workers)]
        sizes = {len(step) for steps in parts for step in steps}
        lengths = {len(steps) for steps in parts}
        hint = "Keep the sizes: each worker has batch_size // workers images in a step."
        what = "each worker has its share of each batch"
        even = sizes == {size // workers} and lengths == {number // size}
        trial.holds(what, even, hint, where)
        own = [set(numpy.concatenate(steps)) for steps in parts]
        twice = "Two workers have the same image. Do they all cut the same order?"
        if workers > 1 and all(part == own[0] for part in own):
            twice = "The symptom is still there: all workers see the same images."
        elif any(len(part) != number // workers for part in own):
            twice = "A worker sees an image twice."
        lost = "Some images are in no part."
        _each_once(trial, parts, numpy.arange(number), where, twice, lost)
        again, other = (
            _steps(trial, epoch_of, 0, workers, number, size, s) for s in (seed, seed + 1)
        )
        hint = "The order has to depend on the seed alone, the same in each call."
        same = all(numpy.array_equal(a, b) for a, b in zip(parts[0], again))
        trial.holds("the same seed gives the same order", same, hint)
        hint = "The images are not shuffled any more: keep the permutation."
        moved = any(not numpy.array_equal(a, b) for a, b in zip(parts[0], other))
        trial.holds("another seed gives another order", moved, hint)


def _states(trial, workers):
    """For each worker a dictionary of arrays: the same weights, and statistics of its own."""
    net = sequential(conv(4), nn.BatchNorm(), relu(), conv(3), nn.BatchNorm(), nn.Dense(3))
    trial.tie(trial.build(lambda: net, like=trial.normal(2, 2, 5, 5)))
    states = []
    for _ in range(workers):
        state = {name: p.data().copy() for name, p in net.collect_params().items()}
        for name, value in state.items():
            if name.endswith("running_mean"):
                state[name] = trial.normal(*value.shape, mean=1, std=2)
            elif name.endswith("running_var"):
                state[name] = trial.uniform(*value.shape, low=0.5, high=2)
        states.append(state)
    return states


@exercise(
    "11.8b",
    "Zoo: one file, two accuracies",
    hints=(
        "Which arrays are the same on all workers, and which are not? Print the differences.",
        "For each name that ends in running_mean, with its variance under name.replace('mean', "
        "'var'): mean = sum of the workers' means / workers; the variance is the mean of var + "
        "(their mean - mean) ** 2. Everything else comes from states[0].",
    ),
    options={
        "a": (False, "Renewing changes no weight: the weights are the same on both workers."),
        "b": (False, "They are in the file: those of worker 0."),
        "c": (
            True,
            "Each worker has averaged the statistics of its own images. Those of one worker do not "
            "fit the images of all.",
        ),
        "d": (
            False,
            "In prediction mode it uses the running statistics. With the batch's own, both files would "
            "give the same accuracy.",
        ),
    },
)
def one_file(trial, hypothesis_b, for_file):
    """hypothesis_b: a letter; for_file(states): the repaired function -> a dictionary of arrays.

    states: a dictionary of names and arrays for each worker.
    """
    for workers in (2, 3, 1):
        states = _states(trial, workers)
        given = [dict(state) for state in states]
        result = trial.call(for_file, given)
        if not isinstance(result, Mapping):
            what = f"Your function returned {described(result)}, not a dictionary."
            raise Wrong(what, "It should return the arrays by name, as in the specimen.")
        names = set(result) == set(states[0])
        hint = "The names have to be those of states[0], all of them and no others."
        trial.holds("the names are those of the network", names, hint)
        for name in states[0]:
            values = [float64(state[name]) for state in states]
            if name.endswith("running_var"):
                means = [float64(s[name.removesuffix("var") + "mean"]) for s in states]
                spread = numpy.var(means, axis=0)
                what, right = "the running variances", numpy.mean(values, axis=0) + spread
                mistakes = [
                    (
                        "This is the mean of the variances. How far apart the means are is missing.",
                        right - spread,
                    ),
                    (
                        "The spread of the means is their biased variance: divide by the number of "
                        "workers.",
                        right - spread + spread * workers / max(workers - 1, 1),
                    ),
                    ("Divide by the number of workers.", numpy.sum(values, axis=0)),
                ]
                hint = "The variance of all is the mean of var + (mean - merged mean) ** 2."
            elif name.endswith("running_mean"):
                what, right = "the running means", numpy.mean(values, axis=0)
                mistakes = [("Divide by the number of workers.", numpy.sum(values, axis=0))]
                hint = "The merged mean is the mean of the workers' means."
            else:
                what, right, mistakes = "the weights", values[0], []
                hint = "The weights, gamma and beta are the same on all workers: leave them as they are."
            still = "The symptom is still there: these are the statistics of one worker."
            if what != "the weights":
                mistakes += [(still, value) for value in values]
            label = what if workers == 1 else f"{workers} workers: {what}"
            label = f"one worker: {label}" if workers == 1 else label
            trial.equal(label, result[name], right, hint, mistakes, tolerance=1e-4)
