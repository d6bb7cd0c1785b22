"""Right and wrong answers to exercises 07. A wrong one comes with a piece of the hint it must get."""

import statistics
import time

from d2lutils.checks.lesson07 import LoopNorm
from d2lutils.timing import median_ratio, seconds

import numpy
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

# --- 7.2 ---

RIGHT_LIMITS = (368_640_000, 5_267_456, 5_120_000, "norm", 7.2)


def limits_with(i, value):
    return (*RIGHT_LIMITS[:i], value, *RIGHT_LIMITS[i + 1 :])


# --- 7.3 ---


def race(rounds=7, first=1, middle=statistics.median, measure=seconds, relative_to=min):
    """Times in turns."""

    def function(works):
        for work in works * first:
            measure(work)
        times = [[] for _ in works]
        for _ in range(rounds):
            for work, its in zip(works, times):
                its.append(measure(work))
        middles = [middle(its) for its in times]
        return [m / relative_to(middles) for m in middles]

    return function


def by_ratios(*, works):
    """Against the first, by the lesson's function; then against the fastest."""
    ratios = numpy.array([median_ratio(work, works[0], rounds=5) for work in works])
    return ratios / ratios.min()


def by_rounds(works):
    """Ratios within each round, in a table of NumPy."""
    [seconds(work) for work in works]
    table = numpy.array([[seconds(work) for work in works] for _ in range(9)])
    fastest = numpy.median(table, axis=0).argmin()
    return np.array(numpy.median(table / table[:, [fastest]], axis=0))


def one_after_the_other(works):
    middles = []
    for work in works:
        seconds(work)
        middles.append(statistics.median(seconds(work) for _ in range(7)))
    return tuple(m / min(middles) for m in middles)


def without_waiting(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def mean_of_ratios(to):
    """The mean of the ratios within each round, to one of the functions or to the fastest."""

    def function(works):
        [seconds(work) for work in works]
        table = numpy.array([[seconds(work) for work in works] for _ in range(7)])
        which = numpy.median(table, axis=0).argmin() if to == "fastest" else to
        ratios = (table / table[:, [which]]).mean(axis=0)
        return ratios / ratios.min()

    return function


def inverted(works):
    return [1 / ratio for ratio in race()(works)]


# --- 7.4 ---


def epoch(read=lambda array: array, finish=float, stop="late", images_of=len, steps=1):
    """An epoch that reads each sum by `read` in the loop, and the totals by `finish` after it."""

    def function(net, trainer, parts):
        loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
        total, correct, images = 0, 0, 0
        for X, y in parts:
            with autograd.record():
                scores = net(X)
                losses = loss_function(scores, y)
            losses.backward()
            for _ in range(steps):
                trainer.step(len(y))
            if stop == "early" and not np.isfinite(losses).all():
                raise ValueError("the loss is not finite")
            total = total + read(losses.sum())
            correct = correct + read((scores.argmax(axis=1) == y).sum())
            images += images_of(y)
        total = finish(total)
        if stop == "late" and not numpy.isfinite(float(total)):
            raise ValueError("the loss is not finite")
        return total / images, finish(correct) / images

    return function


def trained(net, trainer, parts):
    """Train on each batch; yields its scores, its losses and its classes."""
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    for X, y in parts:
        with autograd.record():
            scores = net(X)
            losses = loss_function(scores, y)
        losses.backward()
        trainer.step(len(y))
        yield scores, losses, y


def with_lists(net, trainer, parts):
    losses, hits = [], []
    for scores, loss, y in trained(net, trainer, parts):
        losses.append(loss)
        hits.append(scores.argmax(axis=1) == y)
    losses = np.concatenate(losses).asnumpy()
    if not numpy.isfinite(losses).all():
        raise ValueError
    return losses.mean(), np.concatenate(hits).asnumpy().mean()


def with_a_flag(*, net, trainer, parts):
    """The flag is an array, too."""
    fine, sums, images = np.ones(()), np.zeros(2), sum(len(y) for _, y in parts)
    for scores, losses, y in trained(net, trainer, parts):
        fine = fine * np.isfinite(losses).all()
        hits = (scores.argmax(axis=1) == y).astype("float32").sum()
        sums = sums + np.stack([losses.sum(), hits])
    if not fine:
        raise ValueError
    return sums / images


def stepping(backward, size, predict=lambda net, X, scores: scores):
    """An epoch whose steps are others: backward(losses) is called, then trainer.step(size(y))."""

    def function(net, trainer, parts):
        loss_function, sums, images = gluon.loss.SoftmaxCrossEntropyLoss(), np.zeros(2), 0
        for X, y in parts:
            with autograd.record():
                scores = net(X)
                losses = loss_function(scores, y)
                loss = backward(losses)
            loss.backward()
            trainer.step(size(y))
            hits = (predict(net, X, scores).argmax(axis=1) == y).astype("float32").sum()
            sums, images = sums + np.stack([losses.sum(), hits]), images + len(y)
        return sums / images

    return function


def reading_later(read):
    """An epoch that keeps the losses, and reads them after the loop: read(list) -> total."""

    def function(net, trainer, parts):
        kept, hits, images = [], 0, 0
        for scores, losses, y in trained(net, trainer, parts):
            kept.append(losses)
            hits, images = hits + (scores.argmax(axis=1) == y).sum(), images + len(y)
        return read(kept) / images, hits.item() / images

    return function


def checked(losses_of):
    """An epoch that looks for what is not finite in losses_of(a list of the losses) only."""

    def read(kept):
        if not numpy.isfinite(losses_of(kept).asnumpy()).all():
            raise ValueError("not finite")
        return np.concatenate(kept).sum().item()

    return reading_later(read)


def finite(total):
    if not numpy.isfinite(total):
        raise ValueError("not finite")
    return total


def in_a_second_loop(kept):
    total = 0
    for losses in kept:
        total += losses.sum().item()
    return finite(total)


def all_finite(kept):
    sums = [losses.sum() for losses in kept]
    if not all(np.isfinite(loss) for loss in sums):
        raise ValueError("not finite")
    return sum(sums).item()


def with_and(net, trainer, parts):
    """`and` needs True or False in each batch."""
    fine, sums, images = True, np.zeros(2), 0
    for scores, losses, y in trained(net, trainer, parts):
        fine = np.isfinite(losses).all() and fine
        hits = (scores.argmax(axis=1) == y).astype("float32").sum()
        sums, images = sums + np.stack([losses.sum(), hits]), images + len(y)
    if not fine:
        raise ValueError("not finite")
    return sums / images


def waiting_for_all(net, trainer, parts):
    result = None
    for i in range(len(parts)):
        npx.waitall()
        result = i
    assert result is not None
    return epoch()(net, trainer, parts)


def in_prediction(net, trainer, parts):
    sums, images = np.zeros(2), 0
    for X, y in parts:
        scores = net(X)
        losses = gluon.loss.SoftmaxCrossEntropyLoss()(scores, y)
        hits = (scores.argmax(axis=1) == y).astype("float32").sum()
        sums, images = sums + np.stack([losses.sum(), hits]), images + len(y)
    return sums / images


def by_batches(net, trainer, parts):
    one = epoch(finish=lambda array: array, stop="never")
    return np.array([list(map(float, one(net, trainer, [part]))) for part in parts]).mean(axis=0)


def not_training(net, trainer, parts):
    """The right numbers from a copy: the net itself stays."""
    numbers = [p.data().copy() for p in net.collect_params().values()]
    found = epoch()(net, trainer, parts)
    for p, values in zip(net.collect_params().values(), numbers):
        p.set_data(values)
    return found


# --- 7.5 ---


class Mended(nn.HybridBlock):
    def __init__(self, num_channels, eps=1e-5):
        super().__init__()
        self.eps = eps
        shape = (1, num_channels, 1, 1)
        self.gamma = self.params.get("gamma", shape=shape, init="ones")
        self.beta = self.params.get("beta", shape=shape, init="zeros")

    def hybrid_forward(self, F, X, gamma, beta):
        centred = X - X.mean(axis=(2, 3), keepdims=True)
        var = F.np.square(centred).mean(axis=(2, 3), keepdims=True)
        return gamma * centred / F.np.sqrt(var + self.eps) + beta


class ByMoments(nn.HybridBlock):
    """Other names, parameters of shape (C,), flat maps."""

    def __init__(self, channels):
        super().__init__()
        self.scale = self.params.get("scale", shape=(channels,), init=init.One())
        self.shift = self.params.get("shift", shape=(channels,), init=init.Zero())

    def hybrid_forward(self, F, x, scale, shift):
        flat = F.npx.reshape(x, (-2, -2, -1))
        mean = F.np.mean(flat, axis=2, keepdims=True)
        flat = flat - mean
        flat = flat / (F.np.mean(flat * flat, axis=2, keepdims=True) + 1e-5) ** 0.5
        flat = flat * F.np.expand_dims(scale, 1) + F.np.expand_dims(shift, 1)
        return F.npx.reshape_like(flat, x)


class OfBlocks(nn.HybridBlock):
    """One block normalizes, the other scales; a keyword-only argument."""

    def __init__(self, *, num_channels):
        super().__init__()
        self.inner = Centred()
        self.affine = Affine(num_channels)

    def hybrid_forward(self, F, X):
        return self.affine(self.inner(X))


class Centred(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        X = X - F.np.mean(X, axis=(2, 3), keepdims=True)
        return X / F.np.sqrt((X**2).mean(axis=(2, 3), keepdims=True) + 1e-5)


class Affine(nn.HybridBlock):
    def __init__(self, num_channels):
        super().__init__()
        self.gamma = self.params.get("gamma", shape=(1, num_channels, 1, 1), init="ones")
        self.beta = self.params.get("beta", shape=(1, num_channels, 1, 1), init="zeros")

    def hybrid_forward(self, F, X, gamma, beta):
        return X * gamma + beta


def mended(formula):
    """Mended with another formula: formula(F, X, gamma, beta) -> output."""

    class Other(Mended):
        def hybrid_forward(self, F, X, gamma, beta):
            return formula(F, X, gamma, beta)

    return Other


def normal_over(axes=(2, 3), root=lambda F, var: F.np.sqrt(var + 1e-5), center=None):
    def formula(F, X, gamma, beta):
        centred = X - X.mean(axis=axes, keepdims=True)
        var = F.np.square(centred).mean(axis=axes, keepdims=True)
        return gamma * centred / root(F, var) + beta

    return mended(formula)


def with_var(F, X, gamma, beta):
    mean = X.mean(axis=(2, 3), keepdims=True)
    return gamma * (X - mean) / F.np.sqrt(F.np.var(X, axis=(2, 3), keepdims=True) + 1e-5) + beta


def without_beta(F, X, gamma, beta):
    return Mended.hybrid_forward(Mended(1), F, X, gamma, 0 * beta)


class PlainBlock(LoopNorm):
    """Without a loop, and without hybrid_forward."""

    def forward(self, X):
        return Mended.hybrid_forward(self, _MX, X, self.gamma.data(), self.beta.data())


class WithForward(Mended):
    """A HybridBlock whose forward is its own: hybridize() changes nothing."""

    def forward(self, X):
        return self.hybrid_forward(_MX, X, self.gamma.data(), self.beta.data())


class _MX:
    np, npx = np, npx


class OverChannels(Mended):
    """A loop over the channels, which can be recorded."""

    def __init__(self, num_channels):
        super().__init__(num_channels)
        self.channels = num_channels

    def hybrid_forward(self, F, X, gamma, beta):
        maps = [X[:, c] for c in range(self.channels)] if F is not None else None
        done = []
        for x in maps:
            x = x - x.mean(axis=(1, 2), keepdims=True)
            done.append(x / F.np.sqrt((x * x).mean(axis=(1, 2), keepdims=True) + self.eps))
        return gamma * F.np.stack(done, axis=1) + beta


class WithShape(Mended):
    def hybrid_forward(self, F, X, gamma, beta):
        n = X.shape[2] * X.shape[3]
        centred = X - X.sum(axis=(2, 3), keepdims=True) / n
        var = F.np.square(centred).sum(axis=(2, 3), keepdims=True) / n
        return gamma * centred / F.np.sqrt(var + self.eps) + beta


class OverImages(Mended):
    """The inner loop is gone, the outer one is still there."""

    def hybrid_forward(self, F, X, gamma, beta):
        images = []
        for image in X:
            centred = image - image.mean(axis=(1, 2), keepdims=True)
            var = F.np.square(centred).mean(axis=(1, 2), keepdims=True)
            images.append(centred / F.np.sqrt(var + self.eps))
        return gamma * F.np.stack(images) + beta


class WithLength(Mended):
    def hybrid_forward(self, F, X, gamma, beta):
        return super().hybrid_forward(F, X, gamma, beta) * (len(X) > 0)


class WithKeptSize(Mended):
    """The size of the first image is kept for good."""

    size = None

    def hybrid_forward(self, F, X, gamma, beta):
        if hasattr(X, "shape"):
            self.size = X.shape[2] * X.shape[3]
        centred = X - X.sum(axis=(2, 3), keepdims=True) / self.size
        var = F.np.square(centred).sum(axis=(2, 3), keepdims=True) / self.size
        return gamma * centred / F.np.sqrt(var + self.eps) + beta


class WithData(Mended):
    def hybrid_forward(self, F, X, gamma, beta):
        return super().hybrid_forward(F, X, self.gamma.data(), self.beta.data())


class WithoutNames(Mended):
    def hybrid_forward(self, F, X):
        return X


class NumpySquare(Mended):
    def hybrid_forward(self, F, X, gamma, beta):
        return super().hybrid_forward(_MX, X, gamma, beta)


# --- 7.6a ---


def of_each(before=npx.waitall, after=lambda X: npx.waitall(), at_end=lambda X: None, unit=1000):
    def function(layers, X):
        times = []
        for layer in layers:
            before()
            start = time.perf_counter()
            X = layer(X)
            after(X)
            times.append(unit * (time.perf_counter() - start))
        start = time.perf_counter()
        at_end(X)
        times[-1] += unit * (time.perf_counter() - start)
        return times

    return function


def nothing(*_):
    """Do not wait."""


def by_differences(layers, X):
    """The clock runs on."""
    npx.waitall()
    clock = [time.perf_counter()]
    for layer in layers:
        X = layer(X)
        X.wait_to_read()
        clock.append(time.perf_counter())
    return 1000 * numpy.diff(clock)


def by_seconds(layers, X, wait=npx.waitall):
    times = []
    for layer in layers:
        times.append(1000 * seconds(lambda layer=layer, X=X: layer(X)))
        X = layer(X)
        wait()
    return times


def not_passed_on(layers, X):
    return [1000 * seconds(lambda layer=layer: layer(X)) for layer in layers]


def piling_up(layers, X):
    return list(numpy.cumsum(of_each()(layers, X)))


# --- 7.6b ---


def warmed(calls=10, hybridize=True, first=(0, 1), other_way=False):
    def function(net, other, X):
        taken = []
        for i, each in enumerate((net, other)):
            if hybridize:
                each.hybridize()
            if i in first:
                each(X)
        npx.waitall()
        for each in (net, other):
            start = time.perf_counter()
            for _ in range(calls):
                each(X)
            npx.waitall()
            taken.append(time.perf_counter() - start)
        return taken[1] / taken[0] if other_way else taken[0] / taken[1]

    return function


def in_turns(net, other, X):
    for each in (net, other):
        each.hybridize()
    return median_ratio(lambda: net(X), lambda: other(X))


def in_turns_static(*, net, other, X):
    for each in (net, other):
        each.hybridize(static_alloc=True, static_shape=True)
        each(X).wait_to_read()
    times = [(seconds(lambda: net(X)), seconds(lambda: other(X))) for _ in range(9)]
    a, b = numpy.median(times, axis=0)
    return np.array(a / b)


def once_too_early(net, other, X):
    """The first call comes before hybridize()."""
    net(X), other(X)
    npx.waitall()
    return warmed(first=())(net, other, X)


RIGHT = {
    "lines_that_wait": [([6, 7, 9],), ({9, 7, 6},), ("6, 7, 9",), (np.array([6, 7, 9]),)],
    "limited_by": [
        RIGHT_LIMITS,
        ("368,640,000", "5,267,456", 5_120_512, " Norm.", "7.2"),
        ((368, 640, 0), np.array(5_267_456), 5_121_024, "the norm", 7.20),
        (3.69e8, 5_270_000, 5.12e6, "norm", 7.2),
    ],
    "raced": [(race(),), (by_ratios,), (by_rounds,), (race(rounds=5, middle=min),)],
    "waits_removed": [
        (epoch(),),
        (with_lists,),
        (with_a_flag,),
        (epoch(finish=lambda a: a),),
        (checked(np.concatenate),),
        (reading_later(lambda kept: finite(sum(losses.sum() for losses in kept).item())),),
    ],
    "loop_removed": [(Mended,), (ByMoments,), (OfBlocks,), (lambda n: Mended(n, eps=1e-5),)],
    "stopped_too_early": [
        ("b", of_each()),
        ("B)", of_each(before=nothing, after=lambda X: X.wait_to_read())),
        ("b", by_differences),
        ("b", by_seconds),
        ("b", of_each(before=nothing, after=lambda X: X.asnumpy())),
    ],
    "first_call_timed": [
        ("b", warmed()),
        ("(b)", in_turns),
        ("b", in_turns_static),
        ("b", warmed(calls=25)),
    ],
}

WRONG = {
    "lines_that_wait": [
        (([6, 7],), "Does this line need a number"),
        (([6, 7, 9, 3],), "Does this line need a number"),
        (([2, 6, 7, 9],), "known before the product"),
        (([5, 7, 9],), "only an array"),
        (([10],), "from 1 to 9"),
        (([],), "from 1 to 9"),
    ],
    "limited_by": [
        (limits_with(0, 3_686_400), "for one image"),
        (limits_with(0, 640_000 * 9), "64 channels in the input"),
        (limits_with(0, 640_000 * 64), "nine positions"),
        (limits_with(0, 2 * 368_640_000), "together count as one"),
        (limits_with(0, 36_864), "number of weights"),
        (limits_with(1, 1_316_864), "Each has 4 bytes"),
        (limits_with(1, 5_120_000), "The weights are read"),
        (limits_with(1, 5_122_304), "all 64 * 64 * 3 * 3 of them"),
        (limits_with(1, 2_707_456), "output is written"),
        (limits_with(2, 2_560_000), "and it writes its output"),
        (limits_with(2, 1_280_000), "Each has 4 bytes"),
        (limits_with(3, "conv"), "takes longer than its multiply-adds"),
        (limits_with(3, "both"), "takes longer than its multiply-adds"),
        (limits_with(3, "memory"), 'Answer "conv"'),
        (limits_with(4, 576), "ratio of the multiply-adds"),
        (limits_with(4, 1.03), "ratio of the bytes"),
        (limits_with(4, 0.139), "other way round"),
        (limits_with(4, 8.13), "not their sum"),
        (limits_with(4, 7), "rounded too far"),
    ],
    "raced": [
        ((one_after_the_other,), "take turns"),
        ((race(measure=without_waiting),), "npx.waitall()"),
        ((race(middle=statistics.mean),), "The median does not"),
        ((race(first=0, middle=statistics.mean),), "first call"),
        ((race(relative_to=lambda middles: 1),), "These are times, in seconds"),
        ((race(relative_to=max),), "relative to the slowest"),
        ((race(relative_to=lambda middles: middles[0]),), "relative to the first"),
        ((inverted,), "exercise asks how many times as long"),
        ((mean_of_ratios(0),), "those of ratios too"),
        ((mean_of_ratios(-1),), "those of ratios too"),
        ((mean_of_ratios("fastest"),), "those of ratios too"),
        ((lambda works: [1.0] * len(works),), "should be called"),
        ((lambda works: race()(works[:-1]),), "Compare the two shapes"),
    ],
    "waits_removed": [
        ((epoch(read=lambda a: a.item()),), "This line waits 24 times: total"),
        ((epoch(read=float, stop="late"),), "still waits in each batch"),
        ((epoch(stop="early"),), "if stop =="),
        ((epoch(stop="early"),), "need True or False at once"),
        ((waiting_for_all,), "npx.waitall()"),
        ((epoch(stop="never"),), "After the last batch is early enough"),
        ((epoch(images_of=lambda y: 1),), "divided by the number of batches"),
        ((epoch(images_of=lambda y: 1 / 1e9),), "of all"),
        ((by_batches,), "The last batch is smaller"),
        ((in_prediction,), "does the trainer make a step"),
        ((not_training,), "does the trainer make a step"),
        ((epoch(steps=2),), "A step needs a backward pass"),
        ((stepping(lambda losses: losses.mean(), len),), "The steps are too small"),
        ((stepping(lambda losses: losses.sum(), lambda y: 1),), "The steps are too large"),
        ((stepping(lambda losses: 2 * losses, len),), "The steps differ"),
        (
            (stepping(lambda losses: losses, len, predict=lambda net, X, scores: net(X)),),
            "by the scores from before the step",
        ),
        (
            (reading_later(lambda kept: sum(losses.sum().item() for losses in kept)),),
            "if only after the loop",
        ),
        ((reading_later(in_a_second_loop),), "if only after the loop"),
        ((reading_later(all_finite),), "This line waits 4 times: if not all("),
        ((with_and,), "and `not` need True or False at once"),
        ((checked(lambda kept: kept[-1]),), "One loss in the first batch is infinite"),
        ((checked(lambda kept: kept[-1][-1]),), "One loss in the first batch is infinite"),
    ],
    "loop_removed": [
        ((LoopNorm,), "Derive the class from nn.HybridBlock"),
        ((PlainBlock,), "Derive the class from nn.HybridBlock"),
        ((WithForward,), "leave out forward"),
        ((OverChannels,), "a loop over the channels"),
        ((WithShape,), "A placeholder has no shape"),
        ((WithLength,), "A placeholder has no shape"),
        ((OverImages,), "A placeholder cannot be looped over"),
        ((WithKeptSize,), "keep a size"),
        ((WithData,), "without .data()"),
        ((WithoutNames,), "with the name of its attribute"),
        ((NumpySquare,), "F.np.square"),
        ((normal_over((0, 2, 3)),), "batch normalization. Here each image is"),
        ((normal_over((1, 2, 3)),), "layer normalization. Here each channel of each image is"),
        ((normal_over(root=lambda F, var: F.np.sqrt(var) + 1e-5),), "under the root"),
        ((normal_over(root=lambda F, var: F.np.sqrt(var)),), "eps has no effect"),
        ((normal_over(root=lambda F, var: var + 1e-5),), "root of the variance"),
        ((mended(with_var),), "var()"),
        ((mended(without_beta),), "beta is missing"),
    ],
    "stopped_too_early": [
        (("a", of_each()), "less than a millionth"),
        (("c", of_each()), "has been called before"),
        (("d", of_each()), "Even a fast library"),
        (("b", of_each(before=nothing, after=nothing)), "The symptom is still there"),
        (("b", of_each(after=nothing)), "The symptom is still there"),
        (
            ("b", of_each(before=nothing, after=nothing, at_end=lambda X: npx.waitall())),
            "later one",
        ),
        (("b", of_each(unit=1)), "These are seconds"),
        (("b", piling_up), "The times add up"),
        (("b", not_passed_on), "takes the output of the one before"),
        (("b", lambda *a: by_seconds(*a, wait=nothing)), "later one"),
    ],
    "first_call_timed": [
        (("a", warmed()), "npx.waitall() is there"),
        (("c", warmed()), "both sides of 1"),
        (("d", warmed()), "the same network"),
        (("b", warmed(first=())), "still includes a first call"),
        (("b", warmed(first=(0,))), "still includes a first call"),
        (("b", warmed(calls=50, first=())), "more calls only dilute it"),
        (("b", warmed(calls=1000, first=())), "ten calls are enough"),
        (("b", warmed(hybridize=False)), "Both networks should be hybridized"),
        (("b", warmed(hybridize=False, first=())), "Both networks should be hybridized"),
        (("b", once_too_early), "still includes a first call"),
        (("b", warmed(other_way=True)), "the other way round"),
    ],
}
