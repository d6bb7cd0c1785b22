"""Write data/architectures.csv: each network that d2lutils builds, counted, beside what was published."""

import csv
from pathlib import Path

import d2lutils
from d2lutils import families
from d2lutils.nets import count, multiply_adds

from mxnet import np

FILE = Path(__file__).resolve().parent.parent / "data" / "architectures.csv"
COLUMNS = [
    "network",
    "built by",
    "input",
    "parameters",
    "published",
    "multiply-adds",
    "published multiply-adds",
    "source",
]
HE15, HE16, HUANG = "He et al. 2015", "He et al. 2016", "Huang et al. 2017"
IMAGENET, CIFAR, FASHION = (3, 224, 224), (3, 32, 32), (1, 32, 32)


def networks():
    """Name, call, input, published parameters and multiply-adds, source."""
    yield "LeNet", "d2lutils.lenet()", FASHION, "", "", "this course"
    yield "ResNet-18 of notebook 03", "d2lutils.resnet18()", FASHION, "", "", "this course"
    yield "DenseNet of notebook 04", "d2lutils.densenet()", FASHION, "", "", "this course"
    published = {
        18: ("11,689,512", "1.8 G"),
        34: ("21,797,672", "3.6 G"),
        50: ("25,557,032", "3.8 G"),
        101: ("44,549,160", "7.6 G"),
        152: ("60,192,808", "11.3 G"),
    }
    source = f"torchvision; {HE15}, table 1"
    for depth, (parameters, work) in published.items():
        yield f"ResNet-{depth}", f"resnet({depth})", IMAGENET, parameters, work, source
    for depth, work in {50: "4.1 G", 101: "7.8 G", 152: "11.5 G"}.items():
        call, name = f'resnet({depth}, stride_in="3x3")', f"ResNet-{depth}, stride in the 3x3"
        yield name, call, IMAGENET, published[depth][0], work, "torchvision"
    for depth, parameters in {
        20: "0.27 M",
        32: "0.46 M",
        44: "0.66 M",
        56: "0.85 M",
        110: "1.7 M",
    }.items():
        name = f"ResNet-{depth} for CIFAR-10"
        yield name, f"cifar_resnet({depth})", CIFAR, parameters, "", f"{HE15}, table 6"
    for depth, parameters in {164: "1.7 M", 1001: "10.2 M"}.items():
        call = f'cifar_resnet({depth}, version=2, shortcut="B", bottleneck=True)'
        yield f"pre-activation ResNet-{depth}", call, CIFAR, parameters, "", f"{HE16}, table 4"
    for depth, parameters in {
        121: "7,978,856",
        161: "28,681,000",
        169: "14,149,480",
        201: "20,013,928",
    }.items():
        yield f"DenseNet-{depth}", f"densenet({depth})", IMAGENET, parameters, "", "torchvision"
    for depth, k, bc, parameters in [
        (40, 12, False, "1.0 M"),
        (100, 12, False, "7.0 M"),
        (100, 24, False, "27.2 M"),
        (100, 12, True, "0.8 M"),
        (250, 24, True, "15.3 M"),
        (190, 40, True, "25.6 M"),
    ]:
        name = f"DenseNet{'-BC' if bc else ''} (L = {depth}, k = {k})"
        call = f"densenet_bc({depth}, {k}" + (")" if bc else ", bottleneck=False, compression=1)")
        yield name, call, CIFAR, parameters, "", f"{HUANG}, table 2"


def build(call):
    """The network that a call of the table builds."""
    return eval(call, {"d2lutils": d2lutils, **vars(families)})


def rows():
    """The rows of the table; each network is built and counted."""
    for name, call, shape, published, published_work, source in networks():
        net = build(call)
        net.initialize()
        X = np.zeros((1, *shape))
        work = multiply_adds(net, X)
        pixels = f"{shape[0]} × {shape[1]} × {shape[2]}"
        work = f"{work / 1e9:.2f} G" if work > 1e9 else f"{work / 1e6:.1f} M"
        yield [name, call, pixels, f"{count(net):,}", published, work, published_work, source]


if __name__ == "__main__":
    d2lutils.seed_everything(0)
    with FILE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows()])
