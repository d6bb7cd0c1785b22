"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017) from the files in data/, and minibatches of it."""

import gzip
import hashlib
from pathlib import Path

import mxnet as mx
import numpy
from mxnet import np

FOLDER = Path(__file__).resolve().parent.parent / "data" / "fashion_mnist"
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def fashion_mnist(num_train=60_000, seed=0):
    """Fashion-MNIST as two pairs of arrays, (X_train, y_train) and (X_test, y_test).

    X: float32 (N, 1, 32, 32) in [0, 1], the 28x28 originals inside a border of two zeros;
    y: int64 (N,), classes 0 to 9. The test set always has all its 10,000 images.

    num_train: how many of the 60,000 training images to draw, as many of each class as of the
    others (give or take one), chosen by `seed`.

    Raises ValueError when num_train is not an integer from 10 to 60,000 or a file was altered,
    FileNotFoundError when a file is missing.
    """
    if not isinstance(num_train, int) or not 10 <= num_train <= 60_000:
        raise ValueError(f"num_train must be an integer from 10 to 60,000, not {num_train!r}.")
    X, y = _read("train-images-idx3-ubyte.gz"), _read("train-labels-idx1-ubyte.gz")
    if num_train < len(y):
        chosen = _stratified(y, num_train, numpy.random.default_rng(seed))
        X, y = X[chosen], y[chosen]
    test = _read("t10k-images-idx3-ubyte.gz"), _read("t10k-labels-idx1-ubyte.gz")
    return _arrays(X, y), _arrays(*test)


def batches(data, batch_size, seed=None, drop_last=False):
    """Yield minibatches (X, y) of `data`, a pair of arrays of equal length, copied one at a time.

    seed: None keeps the order. An integer shuffles by a generator of its own; a
    `numpy.random.Generator` shuffles by that one, differently at each call.
    drop_last: leave out the last batch when it is smaller than batch_size.

    Raises ValueError when the lengths differ or batch_size is not a positive integer.
    """
    X, y = data
    if len(X) != len(y):
        raise ValueError(f"X and y must have the same length, not {len(X)} and {len(y)}.")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}.")
    order = numpy.arange(len(X))
    if seed is not None:
        order = numpy.random.default_rng(seed).permutation(order)
    stop = len(X) - len(X) % batch_size if drop_last else len(X)
    return _batches(X, y, order[:stop], batch_size)


def half_size(data):
    """Images averaged over 2x2 pixels: (N, 1, 32, 32) -> (N, 1, 16, 16)."""
    X, y = data
    return X.reshape(-1, 1, 16, 2, 16, 2).mean(axis=(3, 5)), y


def verify():
    """Check all four files against their SHA-256; raises as `fashion_mnist` does."""
    for name in SHA256:
        _checked(name)


def _batches(X, y, order, batch_size):
    for start in range(0, len(order), batch_size):
        rows = np.array(order[start : start + batch_size], dtype="int32")
        yield X.take(rows, axis=0), y.take(rows, axis=0)


def _checked(name):
    """The compressed bytes of a file, after a look at its checksum."""
    path = FOLDER / name
    cure = "restore it with `git restore data/fashion_mnist` or clone the repository again."
    if not path.is_file():
        raise FileNotFoundError(f"data/fashion_mnist/{name} is missing: {cure}")
    packed = path.read_bytes()
    if hashlib.sha256(packed).hexdigest() != SHA256[name]:
        raise ValueError(f"data/fashion_mnist/{name} is not the published file: {cure}")
    return packed


def _read(name):
    """An IDX file as an array of bytes: (N, 28, 28) images or (N,) labels."""
    unpacked = gzip.decompress(_checked(name))
    ndim = unpacked[3]  # an IDX header: four bytes, the last the rank, then a size for each axis
    shape = numpy.frombuffer(unpacked, ">i4", count=ndim, offset=4)
    return numpy.frombuffer(unpacked, numpy.uint8, offset=4 + 4 * ndim).reshape(shape)


def _stratified(y, num, rng):
    """Sorted indices of `num` examples, num // 10 or one more of each class."""
    sizes = num // 10 + (numpy.arange(10) < num % 10)
    per_class = [rng.permutation(numpy.flatnonzero(y == k))[:size] for k, size in enumerate(sizes)]
    return numpy.sort(numpy.concatenate(per_class))


def _arrays(images, labels):
    X = numpy.zeros((len(images), 1, 32, 32), "float32")
    numpy.divide(images, numpy.float32(255), out=X[:, 0, 2:30, 2:30])
    return tuple(
        mx.nd.from_numpy(array, zero_copy=True).as_np_ndarray()
        for array in (X, labels.astype("int64"))
    )
