"""The ledger: the numbers that the course quotes from its recorded runs, each computed from its file.

What else a sentence says of a file is asserted in the notebook, in the cell beside the sentence.
"""

import json
import re
from fractions import Fraction
from pathlib import Path

from d2lutils import experiments
from d2lutils.experiments import final
from d2lutils.experiments.runs import EXPERIMENTS as RECORDED
from d2lutils.training import learning_rate

import nbformat
import pytest
import results

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "data/results"
ABOUT = {
    name: json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in RECORDED
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/[0-9]*.ipynb"))
WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
VALUES = {word: str(value) for value, word in enumerate(WORDS, start=2)}
VALUES |= {"thousand": "1000", "half": "1/2", "quarter": "1/4"}
VALUES["one"] = "one"  # not 1, which it rarely means
NUMBER = rf"\d+(?:,\d{{3}})*(?:\.\d+)?|\b(?:{'|'.join(VALUES)})\b"


def numbers(text):
    """The numbers in a text, in order, "five" as "5" and "60,000" as "60000"."""
    found = re.findall(NUMBER, text.lower())
    return [VALUES.get(number, number.replace(",", "")) for number in found]


def written(value):
    """A number as `numbers` finds it: 3.0 as "3"; a text, such as "0.890", stays as it is."""
    if isinstance(value, str):
        return value.replace(",", "")
    return str(value) if isinstance(value, Fraction) else f"{value:g}"


def in_order(expected, found):
    """Whether one list has the other's members in their order, whatever stands between them."""
    rest = iter(found)
    return all(number in rest for number in expected)


def paragraphs(place):
    """The lines of a Markdown file, or of the prose of a notebook: a paragraph or a table's row."""
    if place == "README":
        return (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    cells = nbformat.read(ROOT / f"notebooks/{place}.ipynb", as_version=4).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return "\n".join(prose).splitlines()


def how_many(count):
    """A count as the prose has it, "one seed" but rates of 1."""
    return "one" if count == 1 else count


def mean_and_spread(values, digits=3):
    """Mean and standard deviation as the prose has them, the two numbers of 0.890 ± 0.002."""
    return f"{values.mean():.{digits}f}", f"{values.std():.{digits}f}"


# Each function is named after an experiment. It yields where the course quotes it: the file, a word
# or two that only this paragraph has beside these numbers, and the numbers in their order.


def sweep(network, norm):
    """The mean accuracy of a network for each learning rate."""
    accuracy = final("learning_rates", "train_accuracy", "network", "norm", "lr", lost=0.1)
    return accuracy.mean()[network, norm]


def largest(accuracy):
    """The largest setting at which a network trains on average."""
    return accuracy.index[accuracy > 0.5].max()


def learning_rates():
    without, with_bn = sweep("LeNet", "none"), sweep("LeNet", "batch")
    plain, normalized = largest(without), largest(with_bn)
    too_much, far_too_much = (a.index[a.index > largest(a)].min() for a in (without, with_bn))
    times = normalized / plain
    rates = without.index
    yield "00_start_here", "impossible", far_too_much
    yield "00_start_here", "depends on the seed", plain, plain, times
    scratch = "01_batch_norm_from_scratch"
    yield scratch, "you will write", normalized, plain
    yield scratch, "## 8. LeNet", times
    yield scratch, "constant rate", plain, normalized
    yield scratch, "recorded in", len(rates)
    yield scratch, "neither works", plain, far_too_much
    yield scratch, "your own layer: LeNet", normalized, plain
    for kind in ("exercises", "solutions"):
        text = "constant rate of", plain, too_much, normalized, far_too_much
        yield f"{kind}/{scratch}", *text


def careful_start():
    accuracy = final("careful_start", "train_accuracy", "network", "norm", "lr", lost=0.1)
    mean, about, why = accuracy.mean(), ABOUT["careful_start"], "05_why_it_works"
    rates = mean.index.unique("lr")
    yield why, "do the three curves", 20, about["epochs"], rates[0], rates[-2]

    most = mean.groupby(["network", "norm"]).agg(lambda a: largest(a.droplevel([0, 1])))
    lenet, lenet_bn, deep_bn = (
        most["LeNet", "none"],
        most["LeNet", "batch"],
        most["plain-20", "batch"],
    )
    text = lenet, lenet_bn, 20, 0.01, 0.03, deep_bn, most["LeNet", "once"], rates[-1]
    yield why, "that diverged count as guessing", about["seeds"], *text
    reached = accuracy.max()["plain-20", "none"]
    assert reached[0.3:].max() < 0.12
    best = f"{reached[0.1]:.2f}"
    yield why, "first half of the prediction", lenet_bn, lenet, 20, 0.3, 0.1, best

    shown = mean.map("{:.2f}".format)
    gain = (mean["LeNet", "batch"] - mean["LeNet", "none"]).map("{:.2f}".format)
    deep = [shown["plain-20", norm, 0.01] for norm in ("batch", "none", "once")]
    yield why, "second half holds", gain[0.3], 0.3, gain[0.01], 0.01, 5, 20, 0.01, *deep[:2]
    lenet = shown["LeNet", "once", 0.01], shown["LeNet", "batch", 0.01]
    lost = accuracy.agg(lambda a: (a == 0.1).sum())[:, "once", 0.3].sum()
    best = [mean[network, "batch"].idxmax() for network in ("LeNet", "plain-20")]
    assert best == [0.3, 0.3]
    text = *lenet, 20, deep[2], deep[0], best[0], lost, 2 * about["seeds"]
    yield why, "grey curve", 0.01, *text


def where_all_train(counts):
    """The largest learning rate at which all five seeds train."""
    return counts.index[counts == 5].max()


def momentum():
    accuracy = final("momentum", "train_accuracy", "norm", "lr", lost=0.1)
    trains = accuracy.agg(lambda a: (a > 0.5).sum())
    all_train = [where_all_train(trains[norm]) for norm in ("none", "batch")]
    solutions = "solutions/01_batch_norm_from_scratch"
    edge = 0.3
    some = how_many(trains["none", edge])
    yield solutions, "recorded runs train", 5, *all_train, edge, some, 5
    before = final("learning_rates", "train_accuracy", "network", "norm", "lr", lost=0.1)
    trained = before.agg(lambda a: (a > 0.5).sum())["LeNet"]
    old, old_with_bn = (where_all_train(trained[norm]) for norm in ("none", "batch"))
    failed = how_many(5 - trained["none", edge])
    text = all_train[1] / all_train[0], old_with_bn, all_train[1], failed, 5, edge, old
    yield solutions, "still train", *all_train, *text, 1 / (1 - 0.9)


def noise():
    accuracy = final("noise", "train_accuracy", "lr", "norm", lost=0.1).mean()
    shown = accuracy.map("{:.2f}".format)
    noisy, clean, none = (shown[:, norm] for norm in ("batch and noise", "batch", "none"))
    points = round(100 * (float(clean[0.1]) - float(noisy[0.1])))
    high = 1, noisy[1.0], clean[1.0], 0.1, points, noisy[0.1], clean[0.1]
    low = 0.01, noisy[0.01], none[0.01], clean[0.01]
    yield "05_why_it_works", "noisy network would be no better", *high, *low
    epochs, seeds = ABOUT["noise"]["epochs"], ABOUT["noise"]["seeds"]
    yield "05_why_it_works", "with batch normalization and the noise", 20, epochs, seeds


def noise_controls():
    on, off = (
        final("noise_controls", what, "lr", "norm", lost=0.1).mean().map("{:.2f}".format)
        for what in ("noise_on", "noise_off")
    )
    rates = (1.0, 0.1, 0.01)
    noisy = [a[lr, "batch and noise"] for lr in rates for a in (off, on)]
    clean = [off[lr, "batch"] for lr in rates]
    alone = off[0.01, "noise"], off[0.01, "batch and noise"]
    text = *noisy[:2], 1, *noisy[2:4], 0.1, *noisy[4:], 0.01, *clean, 0.01, *alone
    yield "05_why_it_works", "both objections", *text


def initial_scale():
    mean = final("initial_scale", "train_accuracy", "norm", "scale", lost=0.1).mean()
    trains = mean["none"].index[mean["none"] > 0.5]
    scales = mean.index.unique("scale")
    low, high = trains.min(), trains.max()
    least, most = f"{mean['batch'].min():.2f}", f"{mean['batch'].max():.2f}"
    text = low, high, high / low, high, scales[-1] / scales[0], least, most
    yield "05_why_it_works", "initial scale", *text
    yield "05_why_it_works", "hidden layers multiplied by", scales[0], scales[-1]
    epochs = ABOUT["initial_scale"]["epochs"]
    yield "05_why_it_works", "perfectly flat", scales[-1], scales[-1] ** 2
    larger = round(scales[0] ** -2, -3)
    yield "05_why_it_works", "does the training not diverge", larger
    best = f"{mean['none', 1.0]:.2f}"
    yield "05_why_it_works", "random hidden weights", scales[-1], epochs, 1, best


def frozen_layers():
    found = final("frozen_layers", "train_accuracy", "scale", "hidden").mean().map("{:.3f}".format)
    yield "05_why_it_works", "freezing them costs", found[30.0, "frozen"], found[30.0, "trained"]


def effective_rate():
    rows, about = experiments.load("effective_rate"), ABOUT["effective_rate"]
    why = "05_why_it_works"
    steps = about["epochs"] * about["images"] // 32
    yield why, "by how many degrees", 0.3, steps, 32, *sorted(rows.decay.unique())
    by_epoch = rows.groupby(["decay", "epoch"])[["length", "degrees", "train_accuracy"]].mean()
    last = by_epoch.xs(about["epochs"], level="epoch")
    turns = by_epoch.degrees[0.0]
    length = [f"{last.length[decay]:.2f}" for decay in (0.0, 0.01)]
    text = about["seeds"], length[0], 0.001, 0.01, length[1], f"{turns.max():.1f}"
    yield why, "smallest to largest value is shaded", *text, f"{turns.iloc[-1]:.1f}"
    settled = [f"{last.degrees[decay]:.2f}" for decay in (0.001, 0.01)]
    yield why, "there is no balance", *settled
    accuracy = last.train_accuracy.map("{:.2f}".format)
    yield why, "faster pace", accuracy[0.0], accuracy[0.001], 0.001, accuracy[0.01], 0.01


def ghost_batches():
    found = {
        what: final("ghost_batches", what, "size").mean()
        for what in ("train_accuracy", "test_accuracy", "test_loss")
    }
    train, test, loss = found.values()
    about, why = ABOUT["ghost_batches"], "05_why_it_works"
    sizes = sorted(train.index, reverse=True)
    yield why, "ghost batches", sizes[0], *train.index, 8, about["images"], about["epochs"]
    text = *(f"{train[size]:.3f}" for size in (16, 256)), about["seeds"]
    text = *text, *(f"{loss[size]:.2f}" for size in (16, 256))
    best = experiments.load("ghost_batches").groupby(["size", "seed"]).test_loss.min()
    text = *text, *(f"{best[size].mean():.2f}" for size in (16, 256)), "one"
    text = *text, *(f"{test[size]:.3f}" for size in (256, 16)), about["seeds"], 64
    yield why, "fits the training images less closely", *text


def batch_size():
    errors = 1 - final("batch_size", "test_accuracy", "norm", "batch_size", lost=0.1).mean()
    errors = errors.unstack("norm")
    others = errors.drop(columns="batch")
    best = errors.index[errors["batch"] < others.min(axis=1)].min()
    worst = errors.index[errors["batch"] > others.max(axis=1)].max()
    rise = 100 * (errors["batch"][worst] - errors["batch"][best])
    about = ABOUT["batch_size"]
    steps = about["epochs"] * about["images"] // 256
    why = "05_why_it_works"
    yield why, "within one image", 8, about["epochs"]
    yield why, "the worst at", about["epochs"], about["seeds"], len(errors.columns), best, worst
    yield why, "on the left", best, worst, int(rise)
    yield why, "do not separate", about["epochs"], steps, 256


def placement():
    seeds = final("placement", "test_accuracy", "place").count()
    assert seeds.nunique() == 1
    yield "02_batch_norm_with_gluon", "seeds", seeds["before"]


def depth():
    loss = final("depth", "train_loss", "depth", "shortcut").mean()
    depths = loss.index.unique("depth")
    _, shallow, _, deep = depths
    epochs = ABOUT["depth"]["epochs"]
    yield "03_resnet", "recorded in", len(depths)
    yield "03_resnet", "degradation problem", deep, shallow, epochs
    for kind in ("exercises", "solutions"):
        place = f"{kind}/03_resnet"
        yield place, "mean of", epochs, ABOUT["depth"]["seeds"]
        for layers, shortcut in ((shallow, False), (deep, False), (deep, True)):
            name = "residual" if shortcut else "plain"
            yield place, name, layers, f"{loss[layers, shortcut]:.2f}"


def families():
    accuracy = final("families", "test_accuracy", "network", "version", "lr", lost=0.1)
    rates = accuracy.mean().groupby(["network", "version"]).idxmax()
    lesson, about = "08_the_families", ABOUT["families"]
    kinds = "20 layers, basic", "56 layers, basic", "56 layers, bottleneck"
    tried = sorted({setting["lr"] for setting in about["settings"]})
    text = 20, 56, 56, about["images"], about["epochs"], about["seeds"], len(tried), *tried[::3]
    yield lesson, "holds runs of six networks", *text

    best = {key: accuracy.get_group(rates[key]).to_numpy() for key in rates.index}
    shallow, deep = (mean_and_spread(accuracy.get_group(rates[kind, 1])) for kind in kinds[:2])
    yield lesson, "but no better", 56, 20, *deep, *shallow
    gains = [abs((best[kind, 2] - best[kind, 1]).mean()) for kind in kinds]
    yield lesson, "is behind with each", about["seeds"], *(f"{gain:.3f}" for gain in gains)
    at_1 = [
        f"{accuracy.get_group((kind, v, 1.0)).mean():.3f}" for kind in kinds[1:] for v in (2, 1)
    ]
    yield lesson, "lose less", *at_1


def batch_and_rate():
    keys, lesson, about = ("norm", "batch_size", "lr"), "09_beyond_batches", ABOUT["batch_and_rate"]
    held_out = 1 - final("batch_and_rate", "val_accuracy", *keys, lost=0.1).mean()
    best = held_out.groupby(["norm", "batch_size"]).idxmin()
    sizes, rates = (sorted({setting[key] for setting in about["settings"]}) for key in keys[1:])
    val, seeds = about["images"] // 5, about["seeds"]
    train = about["images"] - val
    cost = len(rates), rates[0], rates[-1], about["epochs"], train, seeds, val
    steps = [about["epochs"] * train // size for size in sizes]
    yield lesson, "separate the two", *sizes, *cost, 0.9, *steps

    accuracy = final("batch_and_rate", "test_accuracy", *keys, lost=0.1)
    error = {key: 1 - accuracy.get_group(best[key]).to_numpy() for key in best.index}
    small = sizes[0]
    ahead = int((error["none", small] < error["batch", small]).sum())
    text = [f"{error[norm, small].mean():.3f}" for norm in ("batch", "group", "none")]
    slow = [f"{held_out[norm, small, rates[0]]:.3f}" for norm in ("batch", "group")]
    assert ahead == 1  # "with one seed of the five"
    told = small, *text[:2], seeds, text[2], rates[0], *slow, *sizes[1:]
    yield lesson, "with its best rate", *told
    recalibrated = final("batch_and_rate", "renewed_accuracy", *keys, lost=0.1)
    change = [
        abs((1 - recalibrated.get_group(best["batch", size]) - error["batch", size]).mean())
        for size in sizes
    ]
    assert max(change) < 0.0015, change  # "by 0.001 or less"
    for norm in ("none", "layer", "group"):
        assert error[norm, small].mean() == min(error[norm, size].mean() for size in sizes), norm
    pair = [f"{error['batch', size].mean():.3f}" for size in sizes[:2]]
    yield lesson, "cost it something", pair[0], small, pair[1], sizes[1]


def without_norm():
    keys, lesson, about = ("depth", "kind", "lr"), "09_beyond_batches", ABOUT["without_norm"]
    right = final("without_norm", "val_accuracy", *keys, lost=0.1).mean()
    best = right.groupby(["depth", "kind"]).idxmax()
    val = about["images"] // 5
    rates = [
        limit
        for depth, kind in ((20, "batch"), (20, "he"))
        for limit in (right[depth, kind].index.min(), right[depth, kind].index.max())
    ]
    lowest = right[44, "he"].index.min()
    text = about["epochs"], about["images"] - val, about["seeds"], val, 0.1, *rates, 44, lowest
    yield lesson, "give each network its best rate", 20, 44, *text

    accuracy = final("without_norm", "test_accuracy", *keys, lost=0.1)
    mean = {key: f"{accuracy.get_group(setting).mean():.3f}" for key, setting in best.items()}
    kinds = "batch", "he", "he, limit 0.1", "he, limit 0.01", "fixup"
    at_20 = [mean[20, kind] for kind in kinds]
    yield lesson, "at 20 layers everything trains", *at_20[:2], 0.1, at_20[2], 0.01, *at_20[3:]
    he = mean_and_spread(accuracy.get_group(best[44, "he"]))
    assert round(best[44, "batch"][2] / best[44, "he"][2]) == 100  # "a hundred times smaller"
    yield lesson, "loses nothing", 44, mean[44, "batch"], *he, mean[44, "fixup"]
    assert max(mean[44, kind] for kind in kinds[2:4]) < mean[44, "he"]  # "lower still"


def large_batches():
    lab, by = "11_scaling_out", ("batch_size", "warm_up", "lr")
    right = final("large_batches", "val_accuracy", *by, lost=0.1).mean()
    tested = final("large_batches", "test_accuracy", *by, lost=0.1).mean()
    about = ABOUT["large_batches"]
    batches, train = (32, 128, 512, 2048), 4 * about["images"] // 5
    base = 0.02

    def scaled(batch):
        return round(base * batch / batches[0], 2)

    def best(batch, warm_up):
        return batch, warm_up, right[batch, warm_up].idxmax()

    def text(setting):
        return f"{tested[setting]:.3f}"

    steps = [about["epochs"] * train // batch for batch in (32, 2048)]
    yield lab, "(`large_batches`)", 8, about["epochs"], train, steps[0], 32, steps[1], 2048
    yield lab, "we start from", 32, base, 2048, 64, scaled(2048)
    yield lab, "mean of five seeds, without warm-up", about["images"] // 5, about["seeds"]
    kept = (32, False, base), (128, False, scaled(128))
    yield lab, "almost keeps the accuracy", *map(text, kept), base, 2048, text((2048, False, base))
    gains = [100 * (tested[b, False, scaled(b)] - tested[b, False, base]) for b in batches[1:]]
    yield lab, "right in direction", *[round(gain) for gain in gains]
    plateau = right[32, False][0.04:0.32]
    assert plateau.max() - plateau.min() < 0.01
    yield lab, "64-fold", 0.04, 0.32, 64 * 0.04, text((2048, False, 2.56))
    warm, cold = best(2048, True), best(2048, False)
    yield lab, "best result at 2,048", text(warm), warm[2], text(cold)


def networks():
    accuracy = final("networks", "test_accuracy", "network", "recipe")
    about = ABOUT["networks"]
    cost = {
        "LeNet": ("61,706", "0.4"),
        "BN-LeNet": ("62,158", "0.4"),
        "ResNet-18": ("11,175,370", "35.4"),
        "DenseNet": ("757,322", "14.3"),
    }
    for name, price in cost.items():
        course, book = (mean_and_spread(accuracy.get_group((name, r))) for r in ("course", "book"))
        yield "README", f"| {name} ", *price, *course, *book
    size = how_many(about["epochs"]), about["images"], about["seeds"]
    yield "README", "test accuracy after", *size, 2, ABOUT["swing"]["epochs"]
    yield "04_densenet", "recipes:", len(cost), about["images"], 2
    course, book = (accuracy.mean()[:, recipe] for recipe in ("course", "book"))
    lifted = course["BN-LeNet"] - course["LeNet"]
    points = Fraction(round(200 * (course["ResNet-18"] - course["BN-LeNet"])), 2)
    yield "04_densenet", "lifts LeNet", f"{lifted:.3f}", points
    apart, lost = course.max() - course.min(), (course - book).min()
    yield "04_densenet", "recipe matters more", round(100 * apart), int(100 * lost)
    alone = accuracy.get_group(("LeNet", "book"))
    stuck = (alone < 0.15).sum(), len(alone), f"{alone.min():.3f}"
    yield "04_densenet", "says little", f"{alone.mean():.3f}", *stuck


def swing():
    rows = experiments.load("swing")
    about = ABOUT["swing"]
    constant, cosine = (rows[rows.schedule == name] for name in ("constant", "cosine"))
    late, end = constant[constant.epoch > 5], constant[constant.epoch == 10]
    lab = "06_test_accuracy"
    rate = constant.lr.max()
    yield "README", "jumping up and down", about["seeds"], about["epochs"], about["seeds"]
    yield lab, "batches of", about["images"], rate, about["epochs"], about["seeds"]

    def points(accuracy):
        return how_many(round(100 * (accuracy.max() - accuracy.min())))

    low, high = end.test_accuracy.min(), end.test_accuracy.max()
    jump = round(100 * constant.groupby("seed").test_accuracy.diff().abs().max())
    text = f"{low:.3f}", f"{high:.3f}", points(end.test_accuracy), jump, f"{high:.2f}"
    yield lab, "training accuracies end", about["seeds"], points(end.train_accuracy), *text

    def chance(accuracy, images):
        """The standard deviation of a mean accuracy, measured on new images."""
        p = accuracy.mean()
        return (p * (1 - p) / images) ** 0.5

    before, after = late.test_accuracy, late.recalibrated
    times = round(before.std() / chance(before, 10_000))
    larger = round(chance(before, 1_000) / chance(before, 10_000))
    yield lab, "size of the test set", times, 10_000, 1_000, 10_000, larger

    jumps = constant.groupby("seed")[["test_accuracy", "recalibrated"]].diff().abs()
    jumps = jumps[constant.epoch > 6].mean()
    text = [f"{v:.3f}" for v in (before.mean(), after.mean(), *jumps)]
    yield lab, "no weight changed", (after > before).sum(), len(late), *text
    yield lab, "spread", f"{after.std():.3f}", round(after.std() / chance(after, 10_000))

    last_rate = learning_rate("cosine", rate, 1 - 0.5 / about["epochs"])
    yield lab, "almost nothing", rate, f"{last_rate:.3f}"
    yield lab, "come together", rate, rate, about["seeds"]
    yield lab, "worst seed at", late.groupby("seed").recalibrated.mean().idxmin()
    yield lab, "falling rate**", *mean_and_spread(cosine[cosine.epoch == 10].test_accuracy)
    yield lab, "averaging**", *mean_and_spread(end.averaged)


def swing_rates():
    rows = experiments.load("swing_rates")
    largest, smallest = rows.lr.max(), rows.lr.min()
    yield "06_test_accuracy", "control", largest, smallest

    def gap_and_fall(runs):
        late, steps = runs[runs.epoch > 5], runs.groupby("seed").recalibrated.diff()
        gap = (late.recalibrated - late.test_accuracy).mean()
        return f"{gap:.3f}", f"{-steps[runs.epoch > 6].min():.3f}"

    constant = experiments.load("swing")
    constant = constant[constant.schedule == "constant"]
    gap, fall = gap_and_fall(rows[rows.lr == largest])
    slow = rows[rows.lr == smallest]
    text = gap, gap_and_fall(constant)[0], constant.lr.max(), fall, *gap_and_fall(slow)
    reached = slow[slow.epoch > 5].recalibrated.mean()
    yield "06_test_accuracy", "tenth of the rate nothing", *text, f"{reached:.3f}"


EXPERIMENTS = (
    learning_rates,
    careful_start,
    momentum,
    initial_scale,
    frozen_layers,
    batch_size,
    placement,
    depth,
    families,
    noise,
    noise_controls,
    effective_rate,
    ghost_batches,
    batch_and_rate,
    without_norm,
    large_batches,
    networks,
    swing,
    swing_rates,
)


@pytest.mark.parametrize("quotes", EXPERIMENTS, ids=lambda quotes: quotes.__name__)
def test_the_course_quotes_what_was_recorded(quotes):
    for place, anchor, *values in quotes():
        expected = [written(value) for value in values]
        found = [numbers(line) for line in paragraphs(place) if anchor.lower() in line.lower()]
        fitting = [line for line in found if in_order(expected, line)]
        assert len(fitting) == 1, (
            f"{place}: by data/results/{quotes.__name__} one paragraph with {anchor!r} should have "
            f"the numbers {', '.join(expected)} in this order. Such paragraphs have: {found}"
        )


def test_a_number_of_seeds_is_the_recorded_one():
    (seeds,) = {about["seeds"] for about in ABOUT.values()}
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", RESULTS / "README.md", *NOTEBOOKS]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        for quoted in re.findall(rf"(?:{NUMBER})(?: \w+)? seeds", text, re.IGNORECASE):
            assert numbers(quoted) == [str(seeds)], (
                f"{path.name} says {quoted}, recorded are {seeds}"
            )


def test_every_recorded_experiment_is_quoted():
    here = {quotes.__name__ for quotes in EXPERIMENTS}
    assert here == set(RECORDED), "each experiment has a function here, of its name"


def test_the_index_of_results_is_what_is_recorded():
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert text == results.index(), "run make notebooks: data/results/README.md"
    what = "Plain and residual nets of 8 to 44 layers on 16x16 images."
    row = f"| [`depth`](depth.csv) | {what} | 10,240 × 3 | 22 | [03](../../notebooks/03_resnet.ipynb), [05](../../notebooks/05_why_it_works.ipynb) |"
    assert row in text.splitlines()


@pytest.mark.parametrize("name", RECORDED)
def test_a_notebook_reads_each_result(name):
    assert list(results.readers(name))
