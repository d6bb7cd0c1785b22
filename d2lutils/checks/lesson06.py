"""The checks of exercises 06, the lab on the test accuracy."""

import itertools
import re

import numpy
from mxnet import autograd, gluon, np
from mxnet.gluon import nn

from .. import norm as course
from ..nets import sequential
from ..training import evaluate, renew_statistics
from . import running
from .engine import EXACT, Wrong, described, exercise
from .reference import float64, single
from .words import BIASED

ROUNDED = 0.006  # relative: two digits are enough where one computes by hand
QUARTER = 1 / 4  # of a standard deviation: moving averages come closer than that
SOUND, SPOILED = 0.93, 0.75  # test accuracies of the nets to diagnose: at least, at most


@exercise(
    "6.1",
    "Chance or not?",
    hints=(
        "The standard deviation is sqrt(p * (1 - p) / n), with p = 0.9. Compare each difference "
        "with three times that.",
        "sqrt(0.9 * 0.1 / 1,000) is about 0.0095, and 0.9 * 0.1 / n = 0.001 ** 2 gives n. The "
        "difference 0.02 is less than three times 0.0095, and more than three times 0.003.",
    ),
)
def chance(trial, error_1000, error_10000, images, chance_1000, chance_10000):
    """Three numbers, and "yes" or "no" twice: can a difference of 0.02 be chance?"""
    p, by_chance = 0.9, {}
    percent = "Give it as a fraction, like the accuracy 0.9, not in percent."
    for n, answer in ((1_000, error_1000), (10_000, error_10000)):
        by_chance[n] = (p * (1 - p) / n) ** 0.5
        trial.equal(
            f"the standard deviation by chance, {n:,} images",
            answer,
            by_chance[n],
            "It is sqrt(p * (1 - p) / n), with p = 0.9: lesson 06, section 2.",
            [
                ("Take the root at the end: this is p * (1 - p) / n.", p * (1 - p) / n),
                ("n belongs under the root.", (p * (1 - p)) ** 0.5 / n),
                ("The factor p * (1 - p) is missing under the root.", n**-0.5),
                (percent, by_chance[n] * 100),
                (percent, round(by_chance[n] * 100, 2)),
                (
                    "This is the value for the other number of images.",
                    (p * (1 - p) / (11_000 - n)) ** 0.5,
                ),
                ("The factor 1 - p is missing.", (p / n) ** 0.5),
            ],
            tolerance=ROUNDED,
            secret=True,
        )
    what = "how many images for a standard deviation of 0.001"
    found = trial.number(what, images)
    trial.equal(
        what,
        90_000 if abs(found - 90_000) < 500 else found,  # from a rounded value
        90_000,
        "Solve 0.001 = sqrt(p * (1 - p) / n) for n.",
        [
            ("Square 0.001 as well: n stands under the root.", p * (1 - p) / 0.001),
            ("Square both sides: this is sqrt(p * (1 - p)) / 0.001.", 300),
            (
                "A third of the standard deviation needs more than three times as many images: n "
                "stands under the root.",
                30_000,
            ),
            ("The factor p * (1 - p) is missing.", 1_000_000),
            ("The factor 1 - p is missing.", 900_000),
        ],
        tolerance=EXACT,
        secret=True,
    )
    for n, answer, right in ((1_000, chance_1000, True), (10_000, chance_10000, False)):
        said = _yes(answer)
        what = f"whether 0.02 between two test sets of {n:,} images can be chance"
        if said is None:
            raise Wrong(what, 'Answer "yes" or "no".', described(answer), '"yes" or "no"')
        trial.holds(
            what,
            said == right,
            f"Three times the standard deviation is {3 * by_chance[n]:.3f} here, and the difference "
            f"is 0.02: lesson 06, section 2.",
        )


def _yes(answer):
    """Whether a learner's answer says yes; None if it says neither yes nor no."""
    if isinstance(answer, bool | numpy.bool_):
        return bool(answer)
    words = re.findall("[a-z]+", answer.lower()) if isinstance(answer, str) else []
    found = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}
    return found.get(words[0]) if words else None


# --- nets with several normalizations ---


class _Residual(nn.HybridBlock):
    """A convolution and a normalization beside a skip connection: a norm inside a block."""

    def __init__(self, channels, **settings):
        super().__init__()
        self.conv = nn.Conv2D(channels, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm(**settings)

    def hybrid_forward(self, F, X):
        return F.npx.relu(X + self.norm(self.conv(X)))


def _net(momentum=0.9):
    """Three normalizations of images (N, 1, 6, 6), one of them inside a block."""
    settings = {"momentum": momentum}
    first = nn.Conv2D(6, kernel_size=3), nn.BatchNorm(**settings), nn.Activation("relu")
    last = nn.Dense(8), nn.BatchNorm(**settings), nn.Activation("relu"), nn.Dense(3)
    return sequential(*first, _Residual(6, **settings), *last)


def _numbers(net):
    """Copies of all parameters by name, the running statistics among them."""
    return {name: p.data().copy() for name, p in net.collect_params().items()}


def _put(net, numbers):
    for name, parameter in net.collect_params().items():
        parameter.set_data(numbers[name])


def _same(net, numbers):
    found = _numbers(net)
    return all(numpy.array_equal(found[n].asnumpy(), numbers[n].asnumpy()) for n in numbers)


# --- 6.2 ---


@exercise(
    "6.2",
    "Average and recalibrate",
    hints=(
        "Three steps: the mean of each trained parameter over the snapshots, `set_data`, and then "
        "forward and backward passes in training mode, at least forty batches, without a step.",
        "for name, p in net.collect_params().items(): p.set_data(sum(s[name] for s in snapshots) / "
        "len(snapshots)). Then renew_statistics(net, train, batch_size=40), then return net.",
    ),
)
def weights_averaged(trial, function):
    """function(net, snapshots, train) -> net; snapshots: dictionaries from names to arrays.

    Source: Izmailov et al. 2018, Algorithm 1.
    """
    for count in (3, 4):
        _average(trial, function, count, "Recalibrate after the averaged weights are in the net.")


def _average(trial, function, count, too_early, kind=dict):
    """Compare the weights and the statistics of a net with averaged weights.

    count: how many snapshots; kind: dict or list, what a snapshot is; too_early: the hint for
    statistics of the weights that were in the net before.
    """
    X = trial.normal(2000, 1, 6, 6, mean=1)
    train = X, np.array(trial.rng.integers(0, 3, len(X)), dtype="int64")
    net = trial.tie(trial.build(_net, like=X[:2]))
    middle, snapshots = _numbers(net), []
    for _ in range(count + 1):
        for p in running.trained(net):
            spread = 1.5 * float(numpy.std(middle[p.name].asnumpy())) or 0.5
            p.set_data(middle[p.name] + trial.normal(*p.shape, std=spread))
        running.renew(net, X)
        snapshots.append(_numbers(net))
    now = snapshots.pop()  # what is in the net when the function gets it
    means = {n: sum(s[n] for s in snapshots) / count for n in now}

    _put(net, {**means})
    averaged_statistics = running.statistics(net)
    true = running.renew(net, X)
    right = trial.forward(net, X[:20])
    _put(net, now)
    before = running.statistics(net)
    last = _of(snapshots[-1], net)
    given = [{n: a.copy() for n, a in s.items()} for s in snapshots]
    passed = given if kind is dict else [list(s.values()) for s in given]
    returned = trial.call(function, net, passed, train)
    running.is_a_net(returned)
    names = [p.name for p in running.trained(net)]

    def flat(numbers):
        return numpy.concatenate([float64(numbers[n]).reshape(-1) for n in names])

    norms_left = {n: now[n] if n.endswith(("gamma", "beta")) else means[n] for n in names}
    halves = snapshots[0]
    for s in snapshots[1:]:
        halves = {n: (halves[n] + s[n]) / 2 for n in names}
    trial.equal(
        f"{count} snapshots: weights, biases, gamma and beta are their means",
        trial.call(lambda: flat(_numbers(net))),
        flat(means),
        "Each trained parameter is the sum of its snapshots, divided by how many there are.",
        [
            ("The weights are what they were: write the means with set_data.", flat(now)),
            (
                "This is the sum of the snapshots. Divide by how many there are.",
                flat(means) * count,
            ),
            (
                "Divide by len(snapshots): there are not always as many.",
                flat(means) * count / (7 - count),
            ),
            ("These are the weights of the last snapshot alone.", flat(snapshots[-1])),
            ("These are the weights of the first snapshot alone.", flat(snapshots[0])),
            (
                "The weights that were in the net count, too, in your mean. Only the snapshots "
                "should.",
                (flat(means) * count + flat(now)) / (count + 1),
            ),
            ("Average gamma and beta as well: they are trained.", flat(norms_left)),
            (
                "Halving again and again gives the last snapshot half of the weight. Add all, "
                "then divide once.",
                flat(halves),
            ),
        ],
    )
    unchanged = all(
        numpy.array_equal(a.asnumpy(), b[n].asnumpy())
        for s, b in zip(given, snapshots)
        for n, a in s.items()
    )
    trial.holds(
        "the snapshots are what they were",
        unchanged,
        "`total += array` changes the first snapshot: write total = total + array.",
    )
    found = trial.call(lambda: running.statistics(net))
    guesses = (
        (
            "These are the means of the snapshots' statistics. No network ever had them.",
            averaged_statistics,
        ),
        (
            f"These are the statistics of the weights that were in the net before. {too_early}",
            before,
        ),
        ("These are the statistics of the last snapshot.", last),
    )
    hint = (
        "They should be those of the averaged weights. Are there enough batches? k batches leave "
        "0.9 ** k of the old value: lesson 06, section 3."
    )
    for its_hint, guess in guesses:
        if running.close(found, guess, 0.12):
            hint = its_hint
            break
    running.fits(trial, f"{count} snapshots, ", found, true, QUARTER, hint)
    trial.equal(
        "the net that comes back predicts with them",
        trial.forward(returned, X[:20]),
        right,
        "Return the net that you were given.",
        tolerance=0.5,
    )
    running.trains_as_before(trial, net, _net, X[:30])


def _of(numbers, net):
    """The statistics in a dictionary of parameters, for each normalization of the net."""
    return [
        (float64(numbers[n.running_mean.name]), float64(numbers[n.running_var.name]))
        for n in running.norms(net)
    ]


# --- 6.3 ---


@exercise(
    "6.3",
    "Stale, restless or neither",
    hints=(
        "Two accuracies decide: as the net is, and recalibrated. Which of them are low in a stale net, "
        "which in a restless one?",
        "as_it_is >= 0.85: neither. Otherwise keep copies of all parameters, recalibrate "
        "in forty batches or more, evaluate, put the copies back. If the accuracy rose by 0.05 or "
        "more: stale. If not: restless.",
    ),
)
def diagnosed(trial, function):
    """function(net, train, test) -> "stale", "restless" or "neither"."""
    X, y = _classes(trial, 1700)
    train, test = (X[:1200], y[:1200]), (X[1200:], y[1200:])
    net, sound = _sound(trial, train, test)
    cases = {
        "a sound net": (
            "neither",  # its moving averages are never quite right
            _a_little_off(trial, net, sound, train, test),
        ),
        "a net with the running means of other weights": (
            "stale",
            _spoiled(trial, net, sound, test, _shifted),
        ),
        "a net after a last large step": ("restless", _moved(net, sound, train, test)),
        "a net with running means far from its own": ("stale", _far_off(trial, net, sound, test)),
        "a net with the running variances of other weights": (
            "stale",
            _spoiled(trial, net, sound, test, lambda m, v, s: (m, v * numpy.exp(2 * s))),
        ),
    }
    for what, (right, numbers) in cases.items():
        _put(net, numbers)
        as_it_is = evaluate(net, test)[1]
        running.renew(net, train[0])
        seen = f"accuracy {as_it_is:.2f} as it is, {evaluate(net, test)[1]:.2f} recalibrated"
        _put(net, numbers)
        said = trial.call(function, net, train, test)
        word = said.strip().lower() if isinstance(said, str) else None
        if word not in _MISTAKEN:
            hint = 'Return one of "stale", "restless" and "neither", as text.'
            raise Wrong(f"Your function returned {described(said)}.", hint)
        trial.holds(
            what,
            word == right,
            _MISTAKEN[right].get(word),
            f'"{word}" ({seen})',
            f'"{right}"',
        )
        trial.holds(
            "the net comes back as it was",
            trial.call(_same, net, numbers),
            "A diagnosis changes nothing: keep copies of all parameters first, running statistics "
            "among them, and put them back with set_data before you return.",
        )


_MISTAKEN = {  # what is right, what was said: the hint
    "neither": {
        "stale": "Recalibrating changes little here. A difference of less than 0.05 means nothing "
        "on 500 images: ask for more than any gain at all.",
        "restless": "This accuracy is what the net had before anything happened to it.",
    },
    "stale": {
        "neither": "This accuracy is low: something happened to the net. Does recalibrating help?",
        "restless": "Recalibrating brings the accuracy back, so the weights are good. If it does not "
        "in your function: did you go through forty batches or more?",
    },
    "restless": {
        "stale": "Recalibrating does not bring the accuracy back, so the statistics are not to "
        "blame. Compare the accuracy before and after it.",
        "neither": "Recalibrating changes nothing, and the accuracy is low all the same: the weights "
        "are to blame.",
    },
}


def _classes(trial, n):
    """Noisy images (n, 1, 6, 6) of three classes, and their labels."""
    patterns = numpy.linalg.qr(trial.rng.normal(size=(36, 3)))[0].T  # all equally far apart
    y = trial.rng.integers(0, 3, n)
    X = 6 * patterns[y].reshape(n, 1, 6, 6) + trial.rng.normal(0, 1.8, (n, 1, 6, 6)) + 1
    return single(X), np.array(y, dtype="int64")


def _step(net, X, y, lr):
    """One step of gradient descent."""
    with autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y).mean()
    loss.backward()
    for p in running.trained(net):
        p.set_data(p.data() - lr * p.grad())


def _sound(trial, train, test):
    """A trained net with statistics that fit, and its numbers."""
    X, y = train
    while True:  # some initial weights learn slowly
        net = trial.build(_net, like=X[:2])
        for _ in range(4):
            for start in range(0, len(X), 60):
                _step(net, X[start : start + 60], y[start : start + 60], 0.1)
        running.renew(net, X)
        if evaluate(net, test)[1] >= SOUND:
            return net, _numbers(net)


def _shifted(mean, var, shift):
    return mean + shift * numpy.sqrt(var), var


def _spoiled(trial, net, sound, test, change, below=SPOILED):
    """The numbers with statistics spoiled until the accuracy is low enough; change(mean, var,
    shift) -> mean, var."""
    _put(net, sound)
    right = running.statistics(net)
    shifts = [trial.rng.normal(size=len(mean)) for mean, _ in right]
    size = 0.1
    while evaluate(net, test)[1] > below:
        running.write(net, [change(*pair, size * shift) for pair, shift in zip(right, shifts)])
        size *= 1.15
    return _numbers(net)


def _a_little_off(trial, net, sound, train, test):
    """The numbers with statistics so little off that recalibrating gains something, but nothing that
    counts.
    """
    _put(net, sound)
    best = evaluate(net, test)[1]
    while True:
        numbers = _spoiled(trial, net, sound, test, _shifted, below=best - 0.006)
        _put(net, numbers)
        as_it_is = evaluate(net, test)[1]
        renew_statistics(net, train, batch_size=30)
        if 0.004 <= evaluate(net, test)[1] - as_it_is <= 0.03:
            return numbers


def _far_off(trial, net, sound, test):
    """The numbers with running means so far off that recalibrating in four batches does not help."""
    _put(net, sound)
    right = running.statistics(net)
    while True:
        shifts = [trial.rng.normal(0, 4, len(mean)) for mean, _ in right]
        accuracies = []
        for left in (1, 0.9**4):  # what four batches leave
            pairs = zip(right, shifts)
            running.write(net, [_shifted(*pair, left * shift) for pair, shift in pairs])
            accuracies.append(evaluate(net, test)[1])
        if max(accuracies) < SPOILED and max(accuracies) - accuracies[0] < 0.02:
            running.write(net, [_shifted(*pair, s) for pair, s in zip(right, shifts)])
            return _numbers(net)


def _moved(net, sound, train, test):
    """The numbers after a large step, with statistics that fit the new weights."""
    lr = 0.5
    while True:
        _put(net, sound)
        _step(net, train[0][:60], train[1][:60], lr)
        running.renew(net, train[0])
        if evaluate(net, test)[1] <= SPOILED:
            return _numbers(net)
        lr *= 1.5


# --- 6.4 ---


@exercise(
    "6.4",
    "Precise statistics for every norm",
    hints=(
        "From each batch take the mean, the variance and the number of images, for each "
        "normalization. The variance of everything is the mean of the variances plus the variance "
        "of the means, where each batch weighs as much as it has images.",
        "Keep each norm's inputs with a hook, in training mode: seen[layer].append(inputs[0]). At "
        "the end values = np.concatenate(seen[layer]), and its mean and variance over all axes but "
        "1 are the statistics. Detach the hooks.",
    ),
)
def precise_statistics(trial, function):
    """function(net, X, batch_size) -> net.

    Source: Wu & Johnson 2021, section 3.
    """
    for N, size in ((70, 16), (60, 20)):
        _precise(trial, function, N, size)


def _precise(trial, function, N, size):
    """Compare the statistics that the function writes, for N images in batches of this size."""
    drift = numpy.linspace(-2, 2, N).reshape(-1, 1, 1, 1)  # so that the batches differ
    X = single(trial.rng.normal(1, 1, (N, 1, 6, 6)) + drift)

    def make():
        return _net(momentum=0.8)

    net = trial.tie(trial.build(make, like=X[:2]))
    stale = running.statistics(net)
    parts = [X[i : i + size] for i in range(0, N, size)]
    batch_inputs = running.inputs(net, parts)
    true = [running.moments(numpy.concatenate(x)) for x in batch_inputs]
    whole = [running.moments(numpy.concatenate(x[:-1])) for x in batch_inputs]
    at_once = [running.moments(x[0]) for x in running.inputs(net, [X])]
    predicted = [
        running.moments(numpy.concatenate(x)) for x in running.inputs(net, parts, autograd.pause)
    ]
    running.write(net, true)
    right = trial.forward(net, X[:5])
    running.write(net, stale)
    before = {p.name: p.data().copy() for p in running.trained(net)}
    returned = trial.call(function, net, X, size)
    running.is_a_net(returned)
    trial.holds(
        "weights, biases, gamma and beta are what they were",
        trial.call(_same, net, before),
        "Only the running statistics may change.",
    )
    found = trial.call(lambda: running.statistics(net))
    for i, (mean, var) in enumerate(true):
        moments = numpy.array(
            [running.moments(x) for x in batch_inputs[i]]
        )  # (batches, 2, channels)
        counts = numpy.array([len(x) for x in parts]).reshape(-1, 1)
        inside = (counts * moments[:, 1]).sum(axis=0) / N
        moving = numpy.array(stale[i])
        for batch in moments:
            moving = 0.8 * moving + 0.2 * batch
        values = sum(x[:, 0].size for x in batch_inputs[i])  # that share a mean
        where = f"{N} images in batches of {size}, normalization {i + 1}"
        shared = [
            ("This is what it was before: write it with set_data.", stale[i]),
            ("This is a moving average. Each image should count the same.", moving),
            ("These are the values of the last batch alone.", moments[-1]),
            ("The last batch is missing. It counts, too, even if it is smaller.", whole[i]),
            (
                "The last batch is smaller. Let each batch weigh as much as it has images.",
                (
                    moments[:, 0].mean(axis=0),
                    moments[:, 1].mean(axis=0) + moments[:, 0].var(axis=0),
                ),
            ),
            (
                "These are the values when the earlier normalizations use the statistics of all "
                "of X. It is a good way, too. Here each of them should use those of its batch.",
                at_once[i],
            ),
            (
                "These are the values when the net predicts, with its old statistics. Run it in "
                "training mode: under autograd.train_mode().",
                predicted[i],
            ),
        ]
        trial.equal(
            f"{where}: the running mean",
            found[i][0],
            mean,
            "It is the mean of everything that reaches this normalization in training mode.",
            [(hint, wrong[0]) for hint, wrong in shared],
        )
        trial.equal(
            f"{where}: the running variance",
            found[i][1],
            var,
            "It is the variance of everything that reaches this normalization in training mode.",
            [
                (
                    "This is the mean of the variances. The means of the batches differ as well.",
                    inside,
                ),
                ("This is the standard deviation: write the variance.", numpy.sqrt(var)),
                (BIASED, var * values / (values - 1)),
                (
                    "This is the variance of the means. Each batch has its own variance, too.",
                    var - inside,
                ),
                *((hint, wrong[1]) for hint, wrong in shared),
            ],
            tolerance=5e-3,  # a squared mean, subtracted in float32, loses digits
        )
    trial.equal(
        "the net that comes back predicts with them",
        trial.forward(returned, X[:5]),
        right,
        "Return the net that you were given.",
        tolerance=0.02,
    )
    hooks = sum(len(layer._forward_hooks) + len(layer._forward_pre_hooks) for layer in _all(net))
    trial.holds(
        "no hook is left behind",
        hooks == 0,
        "Call detach() on each handle at the end, or the net keeps every input from now on.",
    )
    running.trains_as_before(trial, net, make, X[:30])


def _all(net):
    found = []
    net.apply(found.append)
    return found


# --- 6.5 ---


@exercise(
    "6.5",
    "More than chance?",
    hints=(
        "Take the differences, one for each seed. itertools.product((1, -1), repeat=n) gives all "
        "patterns of signs. Count those whose sum is at least as far from 0 as the sum that you "
        "saw.",
        "With five seeds there are 32 patterns, and at best two of them are as extreme: all plus "
        "and all minus. With n seeds that is 2 / 2 ** n.",
    ),
)
def sign_flip(trial, function, smallest_p, seeds):
    """function(a, b) -> p; smallest_p: with five seeds; seeds: how many for a p below 0.01."""

    def recipe(n):
        return trial.rng.normal(0.85, 0.02, n).round(6)

    while True:  # until each mistake gives a value of its own
        a, b = recipe(7), recipe(7)
        right, mistakes = _p_values(a, b)
        values = [right, *(value for _, value in mistakes[1:])]
        if len(set(values)) == len(values):
            break
    low = recipe(5)
    cases = {
        "seven pairs": (a, b),
        "four pairs": (recipe(4), recipe(4)),
        "five pairs, b always better": (low, low + trial.rng.uniform(0.001, 0.02, 5).round(6)),
        "six pairs without any difference": (recipe(6),) * 2,
        "six pairs with four digits, as accuracies have them": _with_ties(trial),
    }
    for what, (a, b) in cases.items():
        right, mistakes = _p_values(a, b)
        trial.equal(
            f"{what}: the p-value",
            trial.call(function, a.tolist(), b.tolist()),
            right,
            "It is the fraction of the 2 ** n patterns of signs whose mean difference is at least "
            "as far from 0 as the one that you saw.",
            mistakes,
            tolerance=EXACT,
        )
    trial.equal(
        "the smallest p-value that five seeds can give",
        smallest_p,
        2 / 32,
        "Suppose b is better with every seed. How many of the 32 patterns are as extreme?",
        [
            ("Two patterns are as extreme: all plus and all minus.", 1 / 32),
            ("What you saw is one of the 32 patterns: it is never 0.", 0),
            ("Give p as a fraction, not in percent.", 6.25),
        ],
        tolerance=0.01,
        secret=True,
    )
    trial.equal(
        "how many seeds for a p-value below 0.01",
        seeds,
        8,
        "The smallest p-value with n seeds is 2 / 2 ** n.",
        [
            ("1 / 128 is below 0.01, but two patterns are always as extreme: 2 / 128.", 7),
            ("That is enough, but fewer will do.", 9),
            ("That is enough, but fewer will do.", 10),
        ],
        secret=True,
    )


def _p_values(a, b):
    """The p-value of the paired differences, and pairs of a hint and the result of a mistake."""
    d = numpy.round(a - b, 9)
    patterns = numpy.array(list(itertools.product((1, -1), repeat=len(d))))
    sums, saw = numpy.round(patterns @ d, 9), round(d.sum(), 9)
    extreme = (numpy.abs(sums) >= abs(saw)).sum()
    pool, n = numpy.concatenate([a, b]), len(a)
    splits = [
        abs(2 * pool[list(rows)].sum() - pool.sum())
        for rows in itertools.combinations(range(2 * n), n)
    ]
    votes = numpy.abs(patterns.sum(axis=1)) >= abs(numpy.sign(d).sum())
    mistakes = [
        (
            "Rounding breaks ties: sums that are equal on paper differ in the last digit "
            "here. Count a pattern if its sum is at least the one that you saw, minus 1e-9.",
            _naive(a, b),
        ),
        (
            "The pattern that you saw counts as well: at least as far, not farther.",
            (numpy.abs(sums) > abs(saw)).mean(),
        ),
        ("Both directions count: compare absolute values.", (sums >= saw).mean()),
        ("Both directions count: compare absolute values.", (sums <= saw).mean()),
        (
            "You mix the 2n numbers. They are pairs: only the sign of each difference may flip.",
            (numpy.array(splits) >= abs(saw) - 1e-9).mean(),
        ),
        (
            "You count signs only. Sizes matter: add the differences with their signs.",
            votes.mean(),
        ),
        (
            "All patterns are listed here, so nothing is added: divide the count by 2 ** n.",
            (extreme + 1) / (len(sums) + 1),
        ),
        ("Divide by 2 ** n: this is the count.", extreme),
        ("This is the probability of the others: 1 - p.", 1 - extreme / len(sums)),
    ]
    return extreme / len(sums), mistakes


def _naive(a, b):
    """The p-value with rounding errors: sums that are equal on paper may not be."""
    d = [x - y for x, y in zip(a.tolist(), b.tolist())]
    sums = [
        sum(s * x for s, x in zip(signs, d)) for signs in itertools.product((1, -1), repeat=len(d))
    ]
    return sum(abs(s) >= abs(sum(d)) for s in sums) / len(sums)


def _with_ties(trial):
    """Two lists of accuracies of four digits for which `_naive` is wrong."""
    while True:
        a = trial.rng.integers(8500, 8520, 6) / 10_000
        b = trial.rng.integers(8500, 8520, 6) / 10_000
        d = numpy.rint((a - b) * 10_000)
        patterns = numpy.array(list(itertools.product((1, -1), repeat=6)))
        p = (numpy.abs(patterns @ d) >= abs(d.sum())).mean()
        if p != _naive(a, b):
            return a, b


# --- 6.6 ---


@exercise(
    "6.6a",
    "Zoo: worse than each of its parts",
    hints=(
        "Follow the running statistics through the function, line by line. Which weights were in "
        "the net when they were computed, and what became of them afterwards?",
        "The line with renew_statistics belongs after the loop that writes the means.",
    ),
    options={
        "a": (
            False,
            "The mean of two unrelated networks is useless, but these are snapshots of one run. "
            "Repaired, the function shows that their mean is good.",
        ),
        "b": (
            False,
            "The sum of the snapshots is divided by how many there are: these are their means.",
        ),
        "c": (
            True,
            "The statistics are computed while other weights are in the net. No batch has passed "
            "through the averaged net.",
        ),
        "d": (False, "evaluate() is in prediction mode, and what it measures is true."),
    },
)
def renewed_too_early(trial, hypothesis_a, function):
    """hypothesis_a: a letter; function(net, snapshots, train) -> net, repaired."""
    for count in (3, 4):
        _average(trial, function, count, "The symptom is still there: recalibrate last.", list)


@exercise(
    "6.6b",
    "Zoo: a report too good to be true",
    hints=(
        "In which mode is the net when its scores on the test images are computed?",
        "Two lines are indented too far: compute test_scores and accuracy outside of `with "
        "autograd.record():`, before it or after trainer.step.",
    ),
    options={
        "a": (
            False,
            "No gradient comes from the test images: the loss is that of the training batch alone.",
        ),
        "b": (
            True,
            "Under record() the net is in training mode: the test images are normalized with their "
            "own mean and variance, and a layer that updates its statistics in the forward pass "
            "learns from them.",
        ),
        "c": (
            False,
            "500 test images are few, but both numbers come from the same 500 images.",
        ),
        "d": (
            False,
            "One step changes the accuracy, too, but by far less: call evaluate() before and after "
            "a step.",
        ),
    },
)
def looked_while_recording(trial, hypothesis_b, function):
    """hypothesis_b: a letter; function(net, trainer, X, y, test) -> a test accuracy, repaired."""
    images, labels = _classes(trial, 250)
    X, y, test = images[:33], labels[:33], (images[33:], labels[33:])
    makers = {
        "nn.BatchNorm": nn.BatchNorm,
        "d2lutils.BatchNorm": lambda: course.BatchNorm(6, 4),
    }
    for name, norm in makers.items():

        def make(norm=norm):
            first = nn.Conv2D(6, kernel_size=3, in_channels=1), norm(), nn.Activation("relu")
            return sequential(*first, nn.Dense(3, in_units=96))

        while True:  # until the two modes give accuracies that differ
            trial.key += 1  # other numbers
            net, plain, third = (trial.tie(trial.build(make, like=X)) for _ in range(3))
            accuracies = [_accuracy(plain, test)]
            in_training = _accuracy(third, test, autograd.train_mode)
            with autograd.record():
                loss = gluon.loss.SoftmaxCrossEntropyLoss()(plain(X), y)
            accuracies.append(_accuracy(plain, test))
            loss.backward()
            _trainer(plain).step(len(X))
            accuracies.append(_accuracy(plain, test))
            if min(abs(a - in_training) for a in accuracies) > 0.02:
                break
        accuracy = trial.call(_looked, function, net, X, y, test)
        numbers, right = _numbers(net), _numbers(plain)
        for kind, sample in (
            ("the weights after the step", [p.grad_req != "null" for p in _parameters(net)]),
            ("the running statistics", [p.grad_req == "null" for p in _parameters(net)]),
        ):
            flat = [
                numpy.concatenate(
                    [float64(v).reshape(-1) for v, take in zip(n.values(), sample) if take]
                )
                for n in (numbers, right)
            ]
            trial.equal(
                f"a net with {name}: {kind} are those of a net that nobody tested",
                *flat,
                "Testing may leave no trace. Train with one forward pass of X under record(), "
                "backward() and one step, and test outside of record().",
            )
        what = f"a net with {name}: the accuracy is one of prediction mode"
        found = trial.number(what, accuracy)
        in_record = abs(found - in_training) < 1e-4
        trial.holds(
            what,
            min(abs(found - a) for a in accuracies) < 1e-4,
            "The symptom is still there: this is the accuracy in training mode."
            if in_record
            else "It should be that of the net before the step or after it, as a fraction of all "
            "test images.",
            found,
            accuracies[0],
        )


def _parameters(net):
    return list(net.collect_params().values())


def _trainer(net):
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})


def _looked(function, net, X, y, test):
    return function(net, _trainer(net), X, y, test)


def _accuracy(net, data, context=autograd.pause):
    with context():
        scores = net(data[0])
    return float((scores.argmax(axis=1) == data[1]).mean())
