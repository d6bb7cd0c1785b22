"""Loading: from the files on disk to the first batch, and the batches of an epoch."""

import gzip
from pathlib import Path

from side_by_side import Contender, Table, seconds

FILES = Path(__file__).resolve().parent.parent / "data" / "fashion_mnist"
BATCH = 128


def pixels(num_images=None, part="train"):
    """The first images as bytes (N, 1, 32, 32), inside a border of zeros, and labels (N,).

    num_images: None for all. part: "train", or "t10k" for the test images.
    """
    import numpy

    images = gzip.decompress((FILES / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((FILES / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    X = numpy.frombuffer(images, numpy.uint8, offset=16).reshape(-1, 1, 28, 28)[:num_images]
    y = numpy.frombuffer(labels, numpy.uint8, offset=8)[:num_images]
    return numpy.pad(X, [(0, 0), (0, 0), (2, 2), (2, 2)]), y


def the_book():
    """d2l's module, with the threads that MXNet chooses when nobody else does."""
    import warnings

    import matplotlib

    matplotlib.use("agg")
    import mxnet  # before d2lutils, which would choose

    with warnings.catch_warnings(action="ignore"):
        import d2lutils
    from d2l import mxnet as d2l

    mxnet.npx.set_np()
    return d2l


def book_loader(batch_size, num_images=None, part="train"):
    """What `d2l.load_data_fashion_mnist` builds, on our files: ToTensor in four processes."""
    from d2l import mxnet as d2l
    from mxnet import gluon, np

    X, y = pixels(num_images, part)
    images = np.array(X.transpose(0, 2, 3, 1), dtype="uint8")  # (N, H, W, C), as Gluon stores them
    data = gluon.data.ArrayDataset(images, y.astype("int32"))
    data = data.transform_first(gluon.data.vision.transforms.ToTensor())
    return gluon.data.DataLoader(
        data, batch_size, shuffle=part == "train", num_workers=d2l.get_dataloader_workers()
    )


def one_pass(start):
    """The function of one round; `start` reads the files and returns an iterator over batches."""

    def play():
        batches, count = None, 0

        def first():
            nonlocal batches
            batches = iter(start())
            next(batches)[0].sum().item()

        def others():
            nonlocal count
            for X, _ in batches:
                count += len(X)
            X.sum().item()  # the last one has arrived

        to_first, to_last = seconds(first), seconds(others)
        return {"images/s": count / to_last, "s to the first batch": to_first}

    play()
    return play


def course():
    """`fashion_mnist` and `batches`; all 70,000 images are read and their checksums compared."""
    from d2lutils import batches, fashion_mnist

    return one_pass(lambda: batches(fashion_mnist()[0], BATCH, seed=0))


def book():
    """Gluon's DataLoader as the book sets it up."""
    import d2lutils

    return one_pass(lambda: book_loader(BATCH))


def pytorch(num_workers):
    """PyTorch's DataLoader on tensors in memory."""
    from torch import from_numpy, tensor
    from torch.utils.data import DataLoader, TensorDataset

    def start():
        X, y = pixels()
        data = TensorDataset(from_numpy(X).float().div(255), tensor(y).long())
        return DataLoader(data, BATCH, shuffle=True, num_workers=num_workers)

    return one_pass(start)


TABLES = [
    Table(
        f"60,000 images in batches of {BATCH}, shuffled",
        "One round reads the files and takes every batch once.",
        {
            "`batches`": Contender(course),
            "d2l's DataLoader, four processes": Contender(book),
            "PyTorch's DataLoader": Contender(pytorch, (0,), "peers"),
            "PyTorch's DataLoader, four processes": Contender(pytorch, (4,), "peers"),
        },
    )
]
