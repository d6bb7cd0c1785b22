"""Right and wrong answers to exercises 11. A wrong one comes with a piece of the hint it must get."""

import contextlib
import io
import math
import os
import re
import shutil
import tempfile
from pathlib import Path

from d2lutils.checks import lesson11

import numpy
from mxnet import autograd, np

# --- 11.1 ---


def step_bytes(n, servers, workers):
    return 8 * n, 8 * n * workers / servers


def parameter_by_parameter(*, n, servers, workers):
    push = pull = 4 * n
    return [push + pull, str(workers * (push + pull) / servers)]


def bytes_as(worker, server):
    """An answer that makes one of the mistakes which the check knows."""
    return lambda *a: (lesson11.WORKER[worker][1](*a), lesson11.SERVER[server][1](*a))


# --- 11.2 ---


def merge(counts, means, variances):
    n = counts.reshape(-1, 1)
    mean = (n * means).sum(axis=0) / n.sum()
    return mean, (n * (variances + np.square(means - mean))).sum(axis=0) / n.sum()


def two_by_two(*, counts, means, variances):
    """Chan, Golub and LeVeque: merge one worker after the other."""
    counts, means, variances = (a.asnumpy().astype("float64") for a in (counts, means, variances))
    n, mean, var = counts[0], means[0], variances[0]
    for m, other, its in zip(counts[1:], means[1:], variances[1:]):
        apart = other - mean
        mean = mean + apart * m / (n + m)
        var = (n * var + m * its) / (n + m) + apart**2 * n * m / (n + m) ** 2
        n += m
    return [mean, var]


def by_squares(counts, means, variances, kind="float64"):
    n, m, v = (a.asnumpy().astype(kind) for a in (counts.reshape(-1, 1), means, variances))
    mean = (n * m).sum(axis=0) / n.sum()
    return mean, (n * (v + m**2)).sum(axis=0) / n.sum() - mean**2


def variances_as(change):
    """The right means, and variances changed by a function of (counts, means, variances, mean, var)."""

    def function(counts, means, variances):
        mean, var = merge(counts, means, variances)
        return mean, change(counts.reshape(-1, 1), means, variances, mean, var)

    return function


# --- 11.3 ---


def shards(order, batch_size, rank, workers):
    starts = range(0, len(order), batch_size)
    return [order[i : i + batch_size][rank::workers] for i in starts]


def in_pieces(*, order, batch_size, rank, workers):
    for i in range(0, len(order), batch_size):
        yield numpy.array_split(order[i : i + batch_size], workers)[rank].tolist()


def by_position_in_the_batch(order, batch_size, rank, workers):
    found = [[] for _ in range(math.ceil(len(order) / batch_size))]
    for i, image in enumerate(order):
        if (i % batch_size) % workers == rank:
            found[i // batch_size].append(int(image))
    return tuple(found)


def whole_batches_only(order, batch_size, rank, workers):
    n = len(order) // batch_size * batch_size
    return shards(order[:n], batch_size, rank, workers)


def last_one_empty(order, batch_size, rank, workers):
    found = shards(order, batch_size, rank, workers)
    if len(order) % batch_size:
        found[-1] = found[-1][:0]
    return found


def cut_first(order, batch_size, rank, workers):
    """Divides the epoch, not each batch; as many steps as there are batches."""
    mine = numpy.array_split(order, workers)[rank]
    return numpy.array_split(mine, math.ceil(len(order) / batch_size))


def without_rest(order, batch_size, rank, workers):
    size = batch_size // workers
    starts = range(0, len(order), batch_size)
    return [order[i + rank * size : i + (rank + 1) * size] for i in starts]


def without_empty(order, batch_size, rank, workers):
    return [part for part in shards(order, batch_size, rank, workers) if len(part)]


def positions(order, batch_size, rank, workers):
    return shards(numpy.arange(len(order)), batch_size, rank, workers)


def first_part_twice(order, batch_size, rank, workers):
    """With three workers, two have the same part."""
    return shards(order, batch_size, max(rank - 1, 0) if workers == 3 else rank, workers)


def the_rest_to_the_last(order, batch_size, rank, workers):
    size, found = batch_size // workers, []
    for i in range(0, len(order), batch_size):
        end = (rank + 1) * size if rank < workers - 1 else batch_size
        found.append(order[i : i + batch_size][rank * size : end])
    return found


# --- 11.4 ---


def contribution(w, X, y, batch_size):
    return np.dot(X.T, np.dot(X, w) - y) / batch_size


def by_autograd(*, w, X, y, batch_size):
    w.attach_grad()
    with autograd.record():
        loss = (0.5 * np.square(np.dot(X, w) - y)).sum() / batch_size
    loss.backward()
    return w.grad


def image_by_image(w, X, y, batch_size):
    w, X, y = w.asnumpy(), X.asnumpy(), y.asnumpy()
    return sum((x @ w - label) * x for x, label in zip(X, y)) / batch_size


# --- 11.5 ---


def machines(compute, n, bits_per_second):
    def seconds(W):
        return compute / W + 64 * n * W / bits_per_second

    W = 1
    while seconds(W + 1) < seconds(W):
        W += 1
    return W


def by_root(*, compute, n, bits_per_second):
    W = max(1, math.floor(math.sqrt(compute * bits_per_second / (64 * n))))
    return min((W, W + 1), key=lambda W: compute / W + 8 * 8 * n * W / bits_per_second)


def of_a_table(compute, n, bits_per_second):
    W = numpy.arange(1, 1000)
    return numpy.argmin(compute / W + 8 * n * W / (bits_per_second / 8)) + 1


def machines_as(i):
    return lesson11.MACHINES[i][1]


# --- 11.6 ---


def save(path, write):
    aside = path.with_name(path.name + ".partial")
    try:
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return path.stat().st_size


def in_a_temporary_file(*, path, write):
    descriptor, aside = tempfile.mkstemp(dir=path.parent)
    done = False
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            size = file.tell()
            file.flush()
            os.fsync(file)
        Path(aside).replace(path)
        done = True
    finally:
        if not done:
            os.remove(aside)
    return str(size)


def with_a_reason(path, write):
    """Unbuffered; tells the path of the file that could not be written."""
    aside = f"{path}.{os.getpid()}"
    try:
        with open(aside, "wb", buffering=0) as file:
            write(file)
            os.fsync(file.fileno())
        os.rename(aside, path)
    except OSError as error:
        os.remove(aside)
        raise RuntimeError(f"{path.name} cannot be written") from error
    except KeyboardInterrupt:
        os.remove(aside)
        raise
    return os.path.getsize(path)


def saving(
    aside=lambda path: path.with_name(path.name + ".partial"),
    mode="wb",
    sync=True,
    flush=True,
    caught=BaseException,
    clean=True,
    again=True,
    finish=lambda aside, path: os.replace(aside, path),
    size=lambda path: path.stat().st_size,
):
    """An answer with something wrong."""

    def function(path, write):
        there = aside(path)
        try:
            with open(there, mode) as file:
                write(file)
                if flush:
                    file.flush()
                if sync:
                    os.fsync(file.fileno())
            finish(there, path)
        except caught:
            if clean:
                there.unlink(missing_ok=True)
            if again:
                raise
        return size(path) if path.exists() else 0

    return function


def directly(path, write):
    with open(path, "wb") as file:
        write(file)
    return path.stat().st_size


def in_memory(path, write):
    content = io.BytesIO()
    write(content)
    return path.write_bytes(content.getvalue())


def renamed_too_early(path, write):
    aside = path.with_name(path.name + ".partial")
    try:
        with open(aside, "wb") as file:
            write(file)
            os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return path.stat().st_size


def synced_too_late(path, write):
    saving(sync=False)(path, write)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


def removed_first(aside, path):
    path.unlink(missing_ok=True)
    os.replace(aside, path)


def always_cleaned(path, write):
    aside = path.with_name(path.name + ".partial")
    try:
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        os.remove(aside)
    return path.stat().st_size


def shared_and_careful(path, write):
    """One name for the unfinished files of all workers; looks whether there still is one."""
    return saving(
        aside=lambda path: path.parent / "aside",
        finish=lambda aside, path: aside.exists() and os.replace(aside, path),
    )(path, write)


def copied(aside, path):
    shutil.copyfile(aside, path)
    aside.unlink()


def with_a_path(path, write):
    write(path.with_name("aside"))


def tidy(path, write):
    """Removes whatever else is in the folder."""
    try:
        return save(path, write)
    except BaseException:
        for other in path.parent.iterdir():
            if other != path:
                other.unlink()
        raise


def elsewhere(path):
    return Path(tempfile.gettempdir()) / f"{path.name}-{os.getpid()}"


def last_common(names, workers):
    found = {}
    for name in names:
        match = re.fullmatch(r"epoch-(\d+)-worker-(\d+)", name)
        if match:
            found.setdefault(int(match[1]), set()).add(int(match[2]))
    return max((e for e, who in found.items() if who >= set(range(workers))), default=0)


def by_sets(*, names, workers):
    of_each = [
        {e for e in range(100) if f"epoch-{e:04}-worker-{rank}" in names} for rank in range(workers)
    ]
    return str(max(set.intersection(*of_each) | {0}))


def most_have(names, workers):
    """As many workers as there are now, whichever they are."""
    pairs = of_all_names([name for name in names if not name.endswith("partial")])
    ranks = {e: {r for other, r in pairs if other == e} for e, _ in pairs}
    return max((e for e, who in ranks.items() if len(who) >= workers), default=0)


def of_all_names(names):
    """Pairs of epoch and worker, unfinished ones included."""
    return [tuple(map(int, re.findall(r"\d+", name))) for name in names if "worker" in name]


def smallest_of_the_last(names, workers):
    pairs = of_all_names([name for name in names if not name.endswith("partial")])
    return min((max([e for e, r in pairs if r == rank], default=0)) for rank in range(workers))


def with_unfinished(names, workers):
    pairs = set(of_all_names(names))
    return max((e for e in range(100) if all((e, r) in pairs for r in range(workers))), default=0)


def by_beginning(names, workers):
    found = [0]
    for e in range(100):
        its = [n for n in names if not n.endswith("l") and n.startswith(f"epoch-{e:04}-")]
        if all(any(f"worker-{r}" in n for n in its) for r in range(workers)):
            found.append(e)
    return found[-1]


def unguarded(names, workers):
    pairs = set(of_all_names([name for name in names if not name.endswith("partial")]))
    return max(e for e in range(100) if all((e, r) in pairs for r in range(workers)))


# --- 11.7 ---


def warmed_up(step, steps_warm, base_lr, k):
    share = min(step / steps_warm, 1) if steps_warm else 1
    return base_lr * (1 + (k - 1) * share)


def with_interp(*, step, steps_warm, base_lr, k):
    if step >= steps_warm:
        return k * base_lr
    return numpy.interp(step, [0, steps_warm], [base_lr, k * base_lr])


def rates_as(i):
    def function(step, steps_warm, base_lr, k):
        return lesson11.RATES[i][1](step, steps_warm, base_lr, k)

    return function


# --- 11.8 ---


def epoch_of(rank, workers, number, batch_size, seed, cut=None, rng=None):
    order = (rng or numpy.random.default_rng)(seed).permutation(number)
    mine = order[rank::workers] if cut is None else cut(order, rank, workers)
    size = batch_size // workers
    return [mine[i : i + size] for i in range(0, len(mine), size)]


def blocks(*, rank, workers, number, batch_size, seed):
    rng = numpy.random.RandomState(seed)
    order = list(range(number))
    rng.shuffle(order)
    share, size = number // workers, batch_size // workers
    mine = order[rank * share : (rank + 1) * share]
    return (mine[i : i + size] for i in range(0, share, size))


def of_each_batch(rank, workers, number, batch_size, seed):
    order = numpy.random.default_rng(seed).permutation(number)
    return shards(order, batch_size, rank, workers)


def epochs_cut(cut):
    return lambda *a: epoch_of(*a, cut=cut)


def own_seed(rank, workers, number, batch_size, seed):
    return epoch_of(
        rank, workers, number, batch_size, seed + rank, cut=lambda o, r, w: o[: len(o) // w]
    )


def without_seed(rank, workers, number, batch_size, seed):
    return epoch_of(rank, workers, number, batch_size, 0)


def for_file(states):
    found = dict(states[0])
    for name in found:
        if name.endswith("running_mean"):
            var = name.replace("mean", "var")
            mean = sum(state[name] for state in states) / len(states)
            spread = [state[var] + np.square(state[name] - mean) for state in states]
            found[name], found[var] = mean, sum(spread) / len(states)
    return found


def by_mean_squares(states):
    found = {}
    for name in states[0]:
        values = numpy.array([state[name].asnumpy() for state in states], "float64")
        found[name] = values[0]
        if "running_mean" in name:
            found[name] = values.mean(axis=0)
        if "running_var" in name:
            means = numpy.array(
                [s[name.replace("_var", "_mean")].asnumpy() for s in states], "float64"
            )
            found[name] = (values + means**2).mean(axis=0) - means.mean(axis=0) ** 2
    return found


def averaged(states):
    return {name: sum(state[name] for state in states) / len(states) for name in states[0]}


def file_as(end, change):
    """The right file, the arrays whose names end so changed by a function of their list."""

    def function(states):
        found = for_file(states)
        for name in found:
            if name.endswith(end):
                found[name] = change([state[name] for state in states], found[name])
        return found

    return function


def suppressed(path, write):
    with contextlib.suppress(OSError, KeyboardInterrupt):
        save(path, write)
    return path.stat().st_size if path.exists() else 0


RIGHT = {
    "step_bytes": [
        (4_000_000, 4_000_000, 32_000_000, step_bytes),
        ("4,000,000", 4e6, "32 000 000", parameter_by_parameter),
    ],
    "merged_shards": [(merge,), (two_by_two,), (by_squares,)],
    "shards": [(shards,), (in_pieces,), (by_position_in_the_batch,)],
    "unequal_parts": [(6, 4, contribution), ("6", 4.0, by_autograd), ([6], "4", image_by_image)],
    "machines_that_pay": [(5, machines), ("5", by_root), (5.0, of_a_table)],
    "whole_or_none": [
        (save, last_common),
        (in_a_temporary_file, by_sets),
        (with_a_reason, last_common),
    ],
    "scaled_rate": [(3.2, warmed_up), ("3.2", with_interp)],
    "same_images": [("c", epoch_of), ("(C)", blocks), ("c.", of_each_batch)],
    "one_file": [("c", for_file), ("C", by_mean_squares)],
}

WRONG = {
    "step_bytes": [
        ((1e6, 4e6, 32e6, step_bytes), "number of parameters"),
        ((32e6, 4e6, 32e6, step_bytes), "not bits"),
        ((8e6, 4e6, 32e6, step_bytes), "both directions"),
        ((16e6, 4e6, 32e6, step_bytes), "all four workers"),
        ((5e6, 4e6, 32e6, step_bytes), "each parameter once"),
        ((4e6, 16e6, 32e6, step_bytes), "gets back the sum"),
        ((4e6, 4e6, 16e6, step_bytes), "one direction"),
        ((4e6, 4e6, 20e6, step_bytes), "once for each"),
        ((4e6, 4e6, 30e6, step_bytes), "All four workers send"),
        *(
            ((4e6, 4e6, 32e6, lambda *a, its=its: (its(*a), 0)), hint)
            for hint, its in lesson11.WORKER
        ),
        *(
            ((4e6, 4e6, 32e6, lambda *a, its=its: (8 * a[0], its(*a))), hint)
            for hint, its in lesson11.SERVER
        ),
        ((4e6, 4e6, 32e6, lambda n, s, w: 8 * n), "return of_worker, of_server"),
        ((4e6, 4e6, 32e6, lambda n, s, w: (8 * n, 3 * n)), "for every worker"),
    ],
    "merged_shards": [
        ((lambda n, m, v: (m.mean(axis=0), v.mean(axis=0)),), "mean of the means"),
        ((lambda n, m, v: (merge(n, m, v)[0] * n.sum(), v),), "number of all rows"),
        ((lambda n, m, v: merge(n, m, v)[::-1],), "The mean comes first"),
        ((lambda n, m, v: (n * m).sum(axis=0),), "multiplies row by row"),
        ((lambda n, m, v: merge(n, m, v)[0],), "return mean, var"),
        (
            (variances_as(lambda n, m, v, mean, var: (n * v).sum(axis=0) / n.sum()),),
            "spread of the",
        ),
        ((variances_as(lambda n, m, v, mean, var: v.mean(axis=0)),), "and a worker with more"),
        (
            (variances_as(lambda n, m, v, mean, var: var * n.sum() / (n.sum() - 1)),),
            "unbiased variance",
        ),
        (
            (variances_as(lambda n, m, v, mean, var: (v + (m - mean) ** 2).mean(axis=0)),),
            "the variance is not",
        ),
        (
            (
                variances_as(
                    lambda n, m, v, mean, var: (
                        (n * v).sum(axis=0) / n.sum() + ((m - mean) ** 2).mean(axis=0)
                    )
                ),
            ),
            "spread of the means has to be weighted",
        ),
        ((variances_as(lambda n, m, v, mean, var: np.sqrt(var)),), "standard deviation"),
        ((variances_as(lambda n, m, v, mean, var: 2 * var),), "distance from the common mean"),
        ((lambda *a: by_squares(*a, kind="float32"),), "loses the digits"),
    ],
    "shards": [
        ((lambda order, size, rank, workers: shards(order, size, 0, workers),), "use rank"),
        ((lambda order, size, rank, workers: shards(order, size, 0, 1),), "use rank"),
        ((lambda order, size, rank, workers: order[rank::workers],), "has one axis"),
        ((lambda *a: shards(*a)[0],), "has one axis"),
        ((lambda *a: 7,), "one for each step"),
        ((lambda order, size, *a: shards(order, 2 * size, *a),), "keeps them waiting"),
        ((lambda order, size, *a: shards(order, size // 2, *a),), "images of all workers"),
        ((whole_batches_only,), "also of the last, incomplete one"),
        ((without_empty,), "keeps them waiting"),
        ((last_one_empty,), "may be incomplete"),
        ((without_rest,), "leaves a rest of 2"),
        ((cut_first,), "Cut into global batches first"),
        ((the_rest_to_the_last,), "wait for the worker with the largest part"),
        ((positions,), "not their positions"),
        (
            (first_part_twice,),
            "must not overlap",
        ),
    ],
    "unequal_parts": [
        ((4, 4, contribution), "mean of all four"),
        ((12, 4, contribution), "That is their sum"),
        ((5, 4, contribution), "the other's 10"),
        ((6, 6, contribution), "mean of the means"),
        ((6, 16, contribution), "the sum of all four"),
        ((6, 5, contribution), "one mean"),
        ((6, 4, lambda w, X, y, n: n / len(X) * contribution(w, X, y, n)), "counts more"),
        ((6, 4, lambda w, X, y, n: n * contribution(w, X, y, n)), "Divide by batch_size"),
        ((6, 4, lambda w, X, y, n: contribution(w, X, y, n) / len(X)), "divides twice"),
        ((6, 4, lambda w, X, y, n: 2 * contribution(w, X, y, n)), "The half in the loss"),
        ((6, 4, lambda w, X, y, n: -contribution(w, X, y, n)), "other way round"),
        ((6, 4, lambda w, X, y, n: contribution(w, X, 0 * y, n)), "y are missing"),
        ((6, 4, lambda w, X, y, n: 3 * contribution(w, X, y, n)), "(x·w - y) x"),
        ((6, 4, lambda w, X, y, n: contribution(w, X, y, n)[1:]), "shape"),
        ((6, 4, lambda w, X, y: w), "how many, and in which order"),
    ],
    "machines_that_pay": [
        ((15, machines), "in bits per second"),
        ((8, machines), "Both directions"),
        ((6, machines), "T(6) = 0.756"),
        ((4, machines), "T(4) = 0.782"),
        ((2, machines), "1 Gbit/s"),
        ((17, machines), "100 Gbit/s"),
        ((5.33, machines), "is whole"),
        ((40, machines), "Go on"),
        *(((5, its), hint) for hint, its in lesson11.MACHINES),
        ((5, lambda c, n, b: 1), "smallest T(W)"),
        ((5, lambda c, n, b: round(math.sqrt(c * b / (64 * n)))), "always one machine"),
        ((5, lambda c, n, b: 1 if c * b < 256 * n else machines(c, n, b)), "smallest T(W)"),
        (
            (5, lambda c, n, b: 0 if c * b / (64 * n) < 1 else machines(c, n, b)),
            "always one machine",
        ),
        (
            (5, lambda c, n, b: max(2, machines(c, n, b))),
            "costs more than it brings",
        ),
    ],
    "whole_or_none": [
        ((save, most_have), "Only the workers 0 to"),
        ((directly, last_common), "give it the name with os.replace"),
        ((saving(aside=lambda path: path), last_common), "Write into another file"),
        ((in_memory, last_common), "may not fit into the memory"),
        ((saving(aside=elsewhere), last_common), "from another disk"),
        ((saving(finish=copied), last_common), "do not copy it"),
        ((saving(finish=removed_first), last_common), "there was no file at all"),
        ((saving(finish=lambda *_: None), last_common), "Nothing has this name"),
        ((saving(finish=lambda a, p: shutil.copyfile(a, p)), last_common), "do not copy it"),
        ((saving(sync=False), last_common), "if the power fails"),
        ((saving(flush=False), last_common), "file.flush() before"),
        ((synced_too_late, last_common), "comes before the renaming"),
        ((renamed_too_early, last_common), "still in Python's buffer"),
        ((always_cleaned, last_common), "the other name is gone"),
        ((saving(mode="w"), last_common), "binary mode"),
        ((with_a_path, last_common), "an open file, not a path"),
        ((lambda path, write: 5, last_common), "Call write(file)"),
        (
            (saving(finish=lambda a, p: os.link(a, p) if not p.exists() else 0), last_common),
            "Another file is left",
        ),
        ((saving(size=lambda path: 7), last_common), "Return the file's size"),
        ((saving(clean=False), last_common), "Remove the other file"),
        ((saving(caught=Exception), last_common), "KeyboardInterrupt is no Exception"),
        ((saving(caught=OSError), last_common), "KeyboardInterrupt is no Exception"),
        ((saving(again=False), last_common), "raise` the error again"),
        ((suppressed, last_common), "raise` the error again"),
        ((tidy, last_common), "another worker's file"),
        ((saving(aside=lambda path: path.parent / "aside"), last_common), "Both use the same name"),
        ((shared_and_careful, last_common), "Both use the same name"),
        ((save, smallest_of_the_last), "need not be one"),
        ((save, with_unfinished), "never finished"),
        ((save, by_beginning), "worker-10 for worker-1"),
        ((save, unguarded), "return 0 then"),
        ((save, lambda names, workers: max(names) and 5), "last of them, or 0"),
        ((save, lambda names, workers: max(e for e, _ in of_all_names(names))), "has no epoch 5"),
        ((save, lambda names, workers: int(sorted(names)[0][6:10])), "Both have a later one"),
        ((save, lambda names, workers: [n.split("-")[3] for n in names]), "may hold other files"),
    ],
    "scaled_rate": [
        ((32, warmed_up), "That is k"),
        ((0.003125, warmed_up), "multiply by k"),
        ((0.1 * 32**0.5, warmed_up), "rule is linear"),
        ((0.1, warmed_up), "Nothing has changed"),
        ((1.6, warmed_up), "k = 8192 / 256"),
        *(((3.2, rates_as(i)), hint) for i, (hint, _) in enumerate(lesson11.RATES)),
        ((3.2, lambda s, n, b, k: b * (1 + (k - 1) * min(s / n, 1))), "steps_warm may be 0"),
        ((3.2, lambda s, n, b, k: warmed_up(s, n, b, k) if n else b), "steps_warm may be 0"),
        ((3.2, lambda s, n, b, k: 1.5 * warmed_up(s, n, b, k)), "a straight line"),
    ],
    "same_images": [
        (("a", epoch_of), "parts would overlap by chance"),
        (("b", epoch_of), "as it should be"),
        (("d", epoch_of), "without a remainder"),
        (("c", epochs_cut(lambda o, r, w: o[: len(o) // w])), "The symptom is still there"),
        (("c", epochs_cut(lambda o, r, w: o)), "Keep the sizes"),
        (("c", own_seed), "Do they all cut the same order"),
        (("c", epochs_cut(lambda o, r, w: numpy.sort(o)[r::w])), "not shuffled any more"),
        (("c", without_seed), "not shuffled any more"),
        (("c", lambda *a: epoch_of(*a[:4], None)), "on the seed alone"),
        (("c", epochs_cut(lambda o, r, w: o[r::w] + 1)), "not their positions"),
        (("c", epochs_cut(lambda o, r, w: numpy.repeat(o[r :: 2 * w], 2))), "twice"),
    ],
    "one_file": [
        (("a", for_file), "Renewing changes no weight"),
        (("b", for_file), "They are in the file"),
        (("d", for_file), "both files would give the same"),
        (("c", lambda states: states[0]), "The symptom is still there"),
        (("c", lambda states: dict(states[-1])), "The symptom is still there"),
        (("c", averaged), "mean of the variances"),
        (("c", file_as("mean", lambda values, right: sum(values))), "number of workers"),
        (("c", file_as("var", lambda values, right: sum(values))), "number of workers"),
        (("c", file_as("var", lambda values, right: 2 * right)), "(mean - merged mean) ** 2"),
        (("c", file_as("mean", lambda values, right: 2 * right + 1)), "mean of the workers' means"),
        (("c", file_as("weight", lambda values, right: sum(values))), "leave them as they are"),
        (("c", lambda states: list(for_file(states))), "by name"),
        (("c", lambda states: {"weight": 1}), "all of them and no others"),
    ],
}
