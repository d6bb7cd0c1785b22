"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017) from the files in data/, and minibatches of it."""

import gzip
import hashlib
import numbers
from pathlib import Path
from typing import NamedTuple

import mxnet as mx
import numpy
from mxnet import np, npx

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
    y: int64 (N,), classes 0 to 9. The test set always has all 10,000 images.

    num_train: how many of the 60,000 training images to draw. Each class gets the same number, give
    or take one. `seed` chooses the images.

    Raises ValueError if num_train is not an integer from 10 to 60,000, if the seed is not valid or
    if a file was altered, FileNotFoundError if a file is missing.
    """
    if not is_integer(num_train) or not 10 <= num_train <= 60_000:
        raise ValueError(f"num_train must be an integer from 10 to 60,000, not {num_train!r}.")
    rng = generator(seed)
    X, y = _read("train-images-idx3-ubyte.gz"), _read("train-labels-idx1-ubyte.gz")
    if num_train < len(y):
        chosen = _stratified(y, num_train, rng)
        X, y = X[chosen], y[chosen]
    test = _read("t10k-images-idx3-ubyte.gz"), _read("t10k-labels-idx1-ubyte.gz")
    return _arrays(X, y), _arrays(*test)


class Pair(NamedTuple):
    """Images and labels that `checked` has accepted."""

    X: np.ndarray
    y: np.ndarray


def checked(data, name="data"):
    """`data`, a pair (X, y), as a `Pair` of arrays: X floats (N, ...), y int64 (N,).

    X and y may be arrays of `mxnet.np`, of the classic `mxnet.nd` or of NumPy. X is not copied and
    keeps its type, except that NumPy's floats become float32. y may have any numeric type, as long
    as its values are whole numbers from 0. A `Pair` is returned as it is.

    Raises ValueError, which says what is wrong with `name`, for anything else: other objects or
    shapes, empty data, an X of integers, or an X with a value that is not finite.
    """
    if isinstance(data, Pair):
        return data
    if not npx.is_np_array():
        raise ValueError("MXNet's NumPy interface is off in this thread: call npx.set_np() first.")
    if not isinstance(data, tuple | list) or len(data) != 2:
        kind = type(data).__name__
        raise ValueError(f"{name} must be a pair (X, y) of arrays, not of type {kind}.")
    for which, array in zip("Xy", data):
        if not isinstance(array, numpy.ndarray | mx.nd.NDArray):
            raise ValueError(
                f"{which} of {name} must be an array of MXNet or NumPy, not of type "
                f"{type(array).__name__}: np.array(...) makes one of numbers in a list."
            )
    X, y = data
    if y.ndim != 1:
        cure = "y.argmax(axis=1)" if y.ndim == 2 and y.shape[1] > 1 else "y.reshape(-1)"
        raise ValueError(f"y of {name} must have the shape (N,), not {y.shape}: use {cure}.")
    if X.shape[:1] != y.shape:
        raise ValueError(
            f"X and y of {name} must have the same length; their shapes are {X.shape} and {y.shape}."
        )
    if X.size == 0:
        raise ValueError(f"{name} is empty: X has the shape {X.shape}.")
    return Pair(_images(X, f"X of {name}"), _labels(y, f"y of {name}"))


def batches(data, batch_size, seed=None, drop_last=False, part=(0, 1)):
    """Yield batches (X, y) of `data`, a pair of arrays that `checked` accepts, copied one at a time.

    seed: None keeps the order. An integer shuffles the examples, always in the same way. A
    `numpy.random.Generator` shuffles them differently at each call.
    drop_last: skip the last batch if it is smaller than batch_size, unless it is the only one.
    part: (i, n) yields only the examples i, i + n, i + 2 n, ... of each batch, for worker i of n.

    Raises ValueError for data that `checked` refuses, for a batch_size that is not a positive
    integer, and for an invalid seed.
    """
    X, y = checked(data)
    if not is_integer(batch_size) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}.")
    order = numpy.arange(len(X))
    if seed is not None:
        order = generator(seed).permutation(order)
    if drop_last and len(X) > batch_size:
        order = order[: len(X) - len(X) % batch_size]
    return _batches(X, y, order, batch_size, *part)


def is_integer(value):
    """Whether `value` is an integer of Python or NumPy; True and False do not count."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def generator(seed):
    """NumPy's random generator for a seed: an integer from 0, a list of them, or a generator."""
    try:
        if seed is None or isinstance(seed, bool):
            raise TypeError
        return numpy.random.default_rng(seed)
    except (TypeError, ValueError):
        raise ValueError(f"seed must be an integer, 0 or larger, not {seed!r}.") from None


def half_size(data):
    """Images averaged over 2x2 pixels: (N, 1, 32, 32) -> (N, 1, 16, 16)."""
    X, y = data
    return X.reshape(-1, 1, 16, 2, 16, 2).mean(axis=(3, 5)), y


def verify():
    """Check all four files against their SHA-256; raises as `fashion_mnist` does."""
    for name in SHA256:
        _sound(name)


def _batches(X, y, order, batch_size, rank, workers):
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size][rank::workers]
        rows = np.array(rows, dtype="int32")
        yield X.take(rows, axis=0), y.take(rows, axis=0)


def _images(X, what):
    """X as an MXNet array, once its type and all its values are checked."""
    if numpy.dtype(X.dtype).kind != "f":
        raise ValueError(
            f"{what} must hold floats, not {numpy.dtype(X.dtype)}: "
            'if they are images with values from 0 to 255, use X.astype("float32") / 255.'
        )
    if isinstance(X, numpy.ndarray):
        X = _array(numpy.ascontiguousarray(X, "float32"))
    X = X.as_np_ndarray()
    for start in range(0, len(X), 1024):  # in pieces, since each is copied to NumPy
        finite = numpy.isfinite(X[start : start + 1024].asnumpy())
        if not finite.all():
            i = start + numpy.argmin(finite.reshape(len(finite), -1).all(axis=1))
            raise ValueError(f"{what} has a value that is not finite, in example {i}.")
    return X


def _labels(y, what):
    """y as an array of int64."""
    values = y if isinstance(y, numpy.ndarray) else y.asnumpy()
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{what} must hold whole numbers, 0 or larger, not {values.dtype}.")
    labels = values.astype("int64")
    wrong = values[(labels != values) | (labels < 0)]
    if len(wrong):
        raise ValueError(f"{what} must hold whole numbers, 0 or larger, not {wrong[0]}.")
    return _array(labels)


def _array(array):
    """A NumPy array as an MXNet array that shares its memory."""
    shared = array.view()  # MXNet makes the array it is given read-only
    return mx.nd.from_numpy(shared, zero_copy=True).as_np_ndarray()


def _sound(name):
    """The compressed bytes of a file, once its checksum is verified."""
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
    unpacked = gzip.decompress(_sound(name))
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
    return _array(X), _array(labels.astype("int64"))
