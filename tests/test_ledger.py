"""The ledger: sentences that rest on recorded runs, word for word, and what makes each of them true."""

from pathlib import Path

from d2lutils import experiments
from d2lutils.experiments import final
from d2lutils.experiments.runs import EXPERIMENTS as RECORDED

import nbformat
import pytest
import results

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "data/results"


def words(path):
    """The prose of a notebook or a Markdown file, every run of white space one space."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return " ".join(text.split())


def quoted(values, digits=2):
    """A mean and a standard deviation as the prose has them."""
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"


def survives(accuracy, *where):
    """The largest learning rate at which the network trains on average."""
    mean = accuracy.mean()[where]
    return mean[mean > 0.5].index.max()


# Each function yields (file, sentence, whether it is true).


def learning_rates():
    lenet = final("learning_rates", "train_accuracy", "network", "norm", "lr", lost=0.1)
    mean, std = lenet.mean(), lenet.std()
    at_most = {norm: survives(lenet, "LeNet", norm) for norm in ("none", "batch")}
    ten_times = at_most == {"none": 0.3, "batch": 3.0}
    uneven = std["LeNet", "none", 0.3] > 5 * std["LeNet", "none", 0.1]
    yield (
        "00_start_here",
        "with ReLU up to a rate of about 0.3 (at 0.3 it depends on the seed), "
        "with batch normalization at ten times that.",
        ten_times and uneven,
    )
    yield (
        "00_start_here",
        "That is harder, not impossible: at a rate of 10 it happens as well.",
        mean["LeNet", "batch", 10.0] < 0.2,
    )
    yield (
        "01_batch_norm_from_scratch",
        "LeNet at a rate of 3, ten times what it survives without.",
        ten_times,
    )
    yield (
        "01_batch_norm_from_scratch",
        "At 0.01 three epochs are too few for the plain network, "
        "and at 0.3 it works for some seeds better than for others. At 10 neither works",
        mean["LeNet", "none", 0.01] < mean["LeNet", "none", 0.03] - 0.1
        and uneven
        and mean["LeNet", :, 10.0].max() < 0.2,
    )
    yield (
        "05_why_it_works",
        "LeNet without batch normalization (red) trains up to a rate of 0.3 and guesses from 1 on; "
        "with it (teal) it trains up to 3.",
        ten_times and mean["LeNet", "none"][1.0:].max() < 0.15,
    )
    for kind in ("exercises", "solutions"):
        yield (
            f"{kind}/01_batch_norm_from_scratch",
            "LeNet with ReLU trained at a constant rate of 0.3 and no longer at 1; "
            "with batch normalization at 3 and no longer at 10.",
            ten_times,
        )
    deep = mean["plain-20", "none"].max(), mean["plain-20", "batch"][:3.0].min()
    yield (
        "05_why_it_works",
        "The plain network of 20 layers gets no further than a quarter of the images on average "
        "without it, at any rate; with it, it trains from 0.01 to 3. At 10 nothing trains.",
        round(deep[0], 2) <= 0.25 and deep[1] > 0.4 and mean[:, :, 10.0].max() < 0.15,
    )
    gain = mean["LeNet", "batch"] - mean["LeNet", "none"]
    yield (
        "05_why_it_works",
        "Towards small rates the curves do not come together, at 0.01 the gain is largest.",
        gain[:0.3].idxmax() == 0.01 and gain[:0.3].min() > 0.1,
    )


def momentum():
    trains = final("momentum", "train_accuracy", "norm", "lr", lost=0.1).agg(
        lambda a: (a > 0.5).sum()
    )
    yield (
        "solutions/01_batch_norm_from_scratch",
        "So every answer from 0.1 to below 1, and from 1 to below 3, is right.",
        (trains["none"][:0.1] == 5).all()
        and 0 < trains["none", 0.3] < 5
        and trains["none", 1.0] == 0
        and trains["batch", 1.0] == 5
        and trains["batch", 3.0] == 0,
    )


def noise():
    accuracy = final("noise", "train_accuracy", "lr", "norm", lost=0.1).mean()
    noisy, clean, none = (accuracy[:, norm] for norm in ("batch and noise", "batch", "none"))
    yield (
        "05_why_it_works",
        "At a rate of 1 the noisy network trains nearly as well as the clean one "
        f"({noisy[1.0]:.2f} against {clean[1.0]:.2f}), at 0.1 ten points worse "
        f"({noisy[0.1]:.2f} against {clean[0.1]:.2f}), "
        "and without normalization both rates are hopeless.",
        clean[1.0] - noisy[1.0] < 0.05
        and 0.09 < clean[0.1] - noisy[0.1] < 0.11
        and none[0.1:].max() < 0.15,
    )
    yield (
        "05_why_it_works",
        f"At 0.01 it passes: the noisy network ({noisy[0.01]:.2f}) is no better than the one "
        f"without normalization ({none[0.01]:.2f}), and the clean one is ({clean[0.01]:.2f}).",
        noisy[0.01] < none[0.01] < clean[0.01] - 0.1,
    )


def initial_scale():
    accuracy = final("initial_scale", "train_accuracy", "norm", "scale", lost=0.1)
    mean, std = accuracy.mean(), accuracy.std()
    without = mean["none"]
    yield (
        "05_why_it_works",
        "LeNet trains from 0.3 to 3, a factor of ten, and at 3 it depends on the seed; "
        "outside it guesses.",
        without[0.3:3.0].min() > 0.5
        and without.drop([0.3, 1.0, 3.0]).max() < 0.15
        and std["none", 3.0] > 5 * std["none", 1.0],
    )
    low, high = mean["batch"].min(), mean["batch"].max()
    yield (
        "05_why_it_works",
        f"it trains over the whole factor of a thousand, between {low:.2f} and {high:.2f}.",
        True,
    )


def swing():
    rows = experiments.load("swing")
    constant, cosine = (rows[rows.schedule == name] for name in ("constant", "cosine"))
    late, end = constant[constant.epoch > 5], constant[constant.epoch == 10]
    chance = (0.88 * 0.12 / 10_000) ** 0.5
    points = 100 * end.train_accuracy.agg(lambda a: a.max() - a.min())
    apart = 100 * end.test_accuracy.agg(lambda a: a.max() - a.min())
    jump = 100 * constant.groupby("seed").test_accuracy.diff().abs().max()
    yield (
        "06_test_accuracy",
        "The five training accuracies end within about one point of each other. The test "
        f"accuracies lie between {end.test_accuracy.min():.3f} and {end.test_accuracy.max():.3f}, "
        f"five points apart, and one and the same run jumps by up to {jump:.0f} points",
        round(points) == 1 and round(apart) == 5,
    )
    yield (
        "06_test_accuracy",
        "The swing is eight times what chance can do with 10,000 images.",
        round(late.test_accuracy.std() / chance) == 8,
    )
    apart = late.small_test_accuracy - late.test_accuracy
    yield (
        "06_test_accuracy",
        f"the first 1,000 differ from all 10,000 by {apart.std():.3f} (standard deviation), "
        "not by 0.010, and add next to nothing to the swing.",
        late.small_test_accuracy.std() < 1.05 * late.test_accuracy.std(),
    )
    before, after = late.test_accuracy, late.recalibrated
    jumps = constant.groupby("seed")[["test_accuracy", "recalibrated"]].diff().abs()
    jump = jumps[constant.epoch > 6].mean()
    yield (
        "06_test_accuracy",
        f"the accuracy rises in {(after > before).sum()} of 25 cases, on average from "
        f"{before.mean():.3f} to {after.mean():.3f}; the mean jump shrinks from "
        f"{jump.test_accuracy:.3f} to {jump.recalibrated:.3f}. "
        "Each test batch's own statistics give the same picture.",
        len(late) == 25 and abs(late.batch_statistics.mean() - after.mean()) < 0.002,
    )
    yield (
        "06_test_accuracy",
        f"But the spread that is left, {after.std():.3f}, is still four times what chance explains.",
        round(after.std() / chance) == 4,
    )
    yield (
        "06_test_accuracy",
        "seed 1 is the worst at the constant rate, "
        "yet with the falling rate it ends with the others.",
        late.groupby("seed").recalibrated.mean().idxmin() == 1
        and cosine[(cosine.epoch == 10) & (cosine.seed == 1)].test_accuracy.item()
        > cosine[cosine.epoch == 10].test_accuracy.mean() - 0.003,
    )
    first, final = cosine[cosine.epoch.between(2, 5)], cosine[cosine.epoch == 10]
    yield (
        "06_test_accuracy",
        "While the rate is high the right panel jumps like the left one. "
        "In the last epochs the five lines run together.",
        first.test_accuracy.std() > 0.8 * constant[constant.epoch.between(2, 5)].test_accuracy.std()
        and cosine[cosine.epoch > 8].test_accuracy.std() < 0.004,
    )
    yield (
        "06_test_accuracy",
        f"recalibrating adds nothing: {quoted(final.test_accuracy, 3)}, as it is.",
        abs(final.test_accuracy - final.recalibrated).max() < 0.003,
    )
    yield (
        "06_test_accuracy",
        f"At the constant rate it gives {quoted(end.averaged, 3)}: what the schedule gives",
        abs(end.averaged.mean() - final.test_accuracy.mean()) < 0.003,
    )


def placement():
    accuracy = final("placement", "test_accuracy", "place").mean()
    yield (
        "02_batch_norm_with_gluon",
        "Both work, and over five seeds the difference is small.",
        accuracy.min() > 0.8 and abs(accuracy["before"] - accuracy["after"]) < 0.01,
    )


def depth():
    loss = final("depth", "train_loss", "depth", "shortcut")
    mean = loss.mean()
    plain, residual = mean[:, False], mean[:, True]
    yield (
        "03_resnet",
        "The plain network's loss (amber) rises with every step in depth, "
        "the residual one's (blue) stays in a narrow band.",
        plain.is_monotonic_increasing and residual.max() - residual.min() < 0.15,
    )
    yield (
        "03_resnet",
        "With shortcuts 44 layers still trail 20 a little, for three epochs are too few for depth "
        "to pay, but the collapse is gone.",
        0 < residual[44] - residual[20] < 0.1 and plain[44] - plain[20] > 0.3,
    )
    for kind in ("exercises", "solutions"):
        yield (
            f"{kind}/03_resnet",
            f"| plain, 20 layers | {plain[20]:.2f} | | plain, 44 layers | {plain[44]:.2f} | "
            f"| residual, 44 layers | {residual[44]:.2f} |",
            True,
        )


def networks():
    accuracy = final("networks", "test_accuracy", "network", "recipe")
    cost = {
        "LeNet": "61,706 | 0.4 M",
        "BN-LeNet": "62,158 | 0.4 M",
        "ResNet-18": "11,175,370 | 35.4 M",
        "DenseNet": "757,322 | 14.3 M",
    }
    for name, price in cost.items():
        course, book = (quoted(accuracy.get_group((name, r)), 3) for r in ("course", "book"))
        yield "README", f"| {name} | {price} | {course} | {book} |", True
    mean, std = accuracy.mean(), accuracy.std()
    better = mean[:, "course"]
    yield (
        "04_densenet",
        "DenseNet (purple) and ResNet-18 (blue) come out level with that, within half a point, at "
        "34 and 85 times the arithmetic. Hollow: all lower, BN-LeNet and DenseNet with long bars; "
        "LeNet with sigmoids has left guessing with one seed of the five.",
        abs(better[["DenseNet", "ResNet-18"]] - better["BN-LeNet"]).max() < 0.005
        and (mean[:, "book"] < better).all()
        and std[:, "book"][["BN-LeNet", "DenseNet"]].min() > 0.02
        and (accuracy.get_group(("LeNet", "book")) > 0.15).sum() == 1,
    )
    yield (
        "04_densenet",
        "Between two recipes for one network lie more points than between the networks.",
        (better - mean[:, "book"]).max() > better.max() - better.min(),
    )
    yield (
        "04_densenet",
        "in the table it is level with the large ones.",
        better.max() - better["BN-LeNet"] < 0.005,
    )


def batch_size():
    error = 1 - final("batch_size", "test_accuracy", "norm", "batch_size", lost=0.1).mean()
    errors = error.unstack("norm")
    best, worst = errors.idxmin(axis=1), errors.idxmax(axis=1)
    yield (
        "05_why_it_works",
        "Batch normalization (teal) is the best of the four from 8 images on, and the worst at 2.",
        (best[8:] == "batch").all() and worst[2] == "batch",
    )
    yield (
        "05_why_it_works",
        "On the right all curves rise; the one without normalization (red) leaves the picture.",
        (errors.loc[256] > errors.loc[32] + 0.03).all() and errors["none"][256] > 0.8,
    )
    rises = 100 * (errors.loc[2] - errors.loc[8])
    yield (
        "05_why_it_works",
        "from 8 images to 2 the error of batch normalization rises by over four points, "
        "that of group normalization stays within a point.",
        4 < rises["batch"] < 5 and abs(rises["group"]) < 1,
    )


EXPERIMENTS = (
    learning_rates,
    momentum,
    initial_scale,
    batch_size,
    placement,
    depth,
    noise,
    networks,
    swing,
)


@pytest.mark.parametrize("claims", EXPERIMENTS, ids=lambda claims: claims.__name__)
def test_what_the_course_says_is_what_was_recorded(claims):
    for name, sentence, true in claims():
        path = ROOT / ("README.md" if name == "README" else f"notebooks/{name}.ipynb")
        assert sentence in words(path), f"{path.name} does not say: {sentence}"
        assert true, (
            f"{path.name} says what data/results/{claims.__name__}.csv does not: {sentence}"
        )


def test_every_recorded_experiment_is_quoted():
    here = {claims.__name__ for claims in EXPERIMENTS}
    assert here == set(RECORDED), "each experiment has a function here, of its name"


def test_the_index_of_results_is_what_is_recorded():
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert text == results.index(), "run make notebooks: data/results/README.md"
    what = "Plain and residual nets of 8 to 44 layers on 16x16 images."
    row = f"| [`depth`](depth.csv) | {what} | 10,240 × 3 | 22 | [03](../../notebooks/03_resnet.ipynb) |"
    assert row in text.splitlines()


@pytest.mark.parametrize("name", RECORDED)
def test_a_notebook_reads_each_result(name):
    assert list(results.readers(name))
