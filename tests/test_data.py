"""Fashion-MNIST as its files say, each fault of a file in one sentence, and minibatches."""

import functools
import gzip
import hashlib
import math
import re
import shutil
import struct
import subprocess
import sys

from d2lutils import batches, data, fashion_mnist

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet import np, npx

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = data.SHA256
COUNT = "import re; print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"


def idx(name):
    """An IDX file read by the format's description: sizes as big-endian integers, then bytes."""
    content = gzip.decompress((data.FOLDER / name).read_bytes())
    zero, kind, ndim = struct.unpack(">HBB", content[:4])
    assert (zero, kind) == (0, 0x08)  # unsigned bytes
    shape = struct.unpack(f">{ndim}I", content[4 : 4 + 4 * ndim])
    return numpy.frombuffer(content[4 + 4 * ndim :], "uint8").reshape(shape)


@pytest.fixture(scope="module", autouse=True)
def unpacked_once():
    """The same bytes are unpacked once: a quarter of a second for each test that loads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gzip, "decompress", functools.cache(gzip.decompress))
        yield


# --- the files ---


def test_the_checksums_are_those_of_the_folder():
    lines = (data.FOLDER / "SHA256SUMS").read_text().splitlines()
    assert {name: digest for digest, name in map(str.split, lines)} == data.SHA256


def test_the_test_set_is_what_the_file_holds():
    _, (X, y) = fashion_mnist(num_train=10)
    assert (X.shape, X.dtype, y.dtype) == ((10_000, 1, 32, 32), "float32", "int64")
    X, images = X.asnumpy(), idx(TEST_IMAGES)
    assert images.shape == (10_000, 28, 28)
    assert (X[:, 0, 2:-2, 2:-2] == images / numpy.float32(255)).all()
    X[:, :, 2:-2, 2:-2] = 0
    assert not X.any()  # the border
    assert (y.asnumpy() == idx(TEST_LABELS)).all()


def test_all_training_images_come_in_the_order_of_the_file():
    (X, y), _ = fashion_mnist()
    assert (X.shape, X.dtype, y.dtype) == ((60_000, 1, 32, 32), "float32", "int64")
    assert (y.asnumpy() == idx(LABELS)).all()
    assert (X.min().item(), X.max().item()) == (0, 1)
    images = gzip.decompress((data.FOLDER / IMAGES).read_bytes())[16:]
    for i in (0, 31_415, 59_999):
        image = numpy.frombuffer(images[784 * i : 784 * (i + 1)], "uint8").reshape(28, 28)
        assert (X[i, 0, 2:-2, 2:-2].asnumpy() == image / numpy.float32(255)).all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_loading_everything_takes_little_memory():
    code = f"import d2lutils; {COUNT}; d2lutils.fashion_mnist(); {COUNT}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    before, after = map(int, result.stdout.split())
    assert (after - before) / 1024 < 400  # MB; the arrays themselves have 273


# --- a subset ---


@pytest.mark.parametrize("num_train", [10, 25, 1_000, 59_999])
def test_a_subset_is_stratified(num_train):
    (X, y), (_, y_test) = fashion_mnist(num_train)
    counts = numpy.bincount(y.asnumpy(), minlength=10)
    assert len(X) == len(y) == counts.sum() == num_train
    assert counts.max() - counts.min() <= 1 and len(y_test) == 10_000


def test_a_subset_has_the_images_of_its_labels_each_once():
    (X, y), _ = fashion_mnist(500)
    (X_all, y_all), _ = fashion_mnist()
    rows = {image.tobytes(): i for i, image in enumerate(X_all.asnumpy())}
    chosen = [rows[image.tobytes()] for image in X.asnumpy()]
    assert len(set(chosen)) == 500 and chosen == sorted(chosen)  # in the order of the file
    assert (y_all.asnumpy()[chosen] == y.asnumpy()).all()


def test_the_seed_chooses_the_subset():
    def images(seed):
        return fashion_mnist(20, seed)[0][0].asnumpy()

    assert (images(3) == images(3)).all()
    assert (images(3) != images(4)).any()
    assert (fashion_mnist(20)[0][0].asnumpy() == images(0)).all()


@pytest.mark.parametrize("num_train", [9, 60_001, -1, 100.0, "100", True, None])
def test_another_size_is_refused(num_train):
    with pytest.raises(ValueError, match=f"num_train .* 10 to 60,000, not {num_train!r}"):
        fashion_mnist(num_train)


# --- faults ---


def remove(path):
    path.unlink()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("name", data.SHA256)
@pytest.mark.parametrize("damage", [remove, truncate, alter, empty])
@pytest.mark.parametrize("load", [fashion_mnist, data.verify])
def test_a_damaged_file_is_named_with_the_cure(tmp_path, monkeypatch, load, damage, name):
    for file in data.SHA256:  # copies of what is damaged, links to the rest
        (tmp_path / file).symlink_to(data.FOLDER / file)
    (tmp_path / name).unlink()
    shutil.copy(data.FOLDER / name, tmp_path)
    damage(tmp_path / name)
    monkeypatch.setattr(data, "FOLDER", tmp_path)
    expected = FileNotFoundError if damage is remove else ValueError
    with pytest.raises(expected) as caught:
        load()
    sentence = str(caught.value)
    assert f"data/fashion_mnist/{name} " in sentence
    assert "git restore data/fashion_mnist" in sentence
    assert sentence.count("\n") == 0 and str(tmp_path) not in sentence


def test_the_files_here_are_sound():
    data.verify()
    for name, digest in data.SHA256.items():
        assert hashlib.sha256((data.FOLDER / name).read_bytes()).hexdigest() == digest


# --- minibatches ---


def numbered(n):
    """n examples that carry their own number, and a label that follows from it."""
    return np.arange(2 * n).reshape(n, 2), np.arange(n, dtype="int64") * 10


def numbers(*args, **kwargs):
    """The examples' numbers, batch by batch, after a look at shapes and labels."""
    seen = []
    for X, y in batches(*args, **kwargs):
        assert X.shape == (len(y), 2) and y.dtype == "int64"
        rows = X.asnumpy()
        assert (rows[:, 1] == rows[:, 0] + 1).all() and (y.asnumpy() == 5 * rows[:, 0]).all()
        seen.append((rows[:, 0] / 2).astype(int).tolist())
    return seen


@given(n=st.integers(1, 70), batch_size=st.integers(1, 80), seed=st.none() | st.integers(0, 9))
def test_no_example_is_dropped_or_repeated(n, batch_size, seed):
    seen = numbers(numbered(n), batch_size, seed)
    assert sorted(sum(seen, [])) == list(range(n))
    assert all(len(batch) == batch_size for batch in seen[:-1])
    assert all(0 < len(batch) <= batch_size for batch in seen)


@given(n=st.integers(1, 70), batch_size=st.integers(1, 80), seed=st.none() | st.integers(0, 9))
def test_drop_last_leaves_out_the_smaller_batch_unless_it_is_the_only_one(n, batch_size, seed):
    first, *rest = numbers(numbered(n), batch_size, seed)
    whole = [first] + [b for b in rest if len(b) == batch_size]
    assert numbers(numbered(n), batch_size, seed, drop_last=True) == whole


def test_without_a_seed_the_order_stays():
    assert numbers(numbered(7), 3) == [[0, 1, 2], [3, 4, 5], [6]]


def test_an_integer_gives_the_same_order_each_time_a_generator_another():
    example = numbered(50)
    assert numbers(example, 50, 1) == numbers(example, 50, 1)
    assert numbers(example, 50, 1) != numbers(example, 50, 2)
    assert numbers(example, 50, 0) != numbers(example, 50)
    rng = numpy.random.default_rng(1)
    first, second = numbers(example, 50, rng), numbers(example, 50, rng)
    assert first == numbers(example, 50, 1) and second != first


def test_the_order_has_a_generator_of_its_own():
    numpy.random.seed(0)
    expected = numpy.random.rand()
    numpy.random.seed(0)
    first = numbers(numbered(20), 20, 5)
    assert numpy.random.rand() == expected  # nothing was drawn from the global one
    assert numbers(numbered(20), 20, 5) == first


def test_a_batch_is_copied_when_its_turn_comes():
    X, y = numbered(6)
    stream = batches((X, y), 3)
    first, _ = next(stream)
    X[:] = 7
    second, _ = next(stream)
    assert first[0].tolist() == [0, 1] and (second == 7).all()


@pytest.mark.parametrize(
    ("example", "batch_size", "sentence"),
    [
        (numbered(3), 0, "batch_size must be a positive integer, not 0"),
        (numbered(3), -1, "not -1"),
        (numbered(3), 2.0, "not 2.0"),
        (numbered(3), True, "not True"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_the_call(example, batch_size, sentence):
    with pytest.raises(ValueError, match=sentence):
        batches(example, batch_size)  # before the first batch is asked for


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, False])
def test_a_seed_that_is_none_is_refused(seed):
    for use in (lambda: batches(numbered(3), 2, seed), lambda: fashion_mnist(10, seed)):
        with pytest.raises(ValueError, match=f"seed must be an integer, 0 or larger, not {seed!r}"):
            use()


def test_a_size_or_a_seed_may_be_a_number_of_numpy():
    assert numbers(numbered(600), numpy.uint8(200), numpy.int64(3)) == numbers(
        numbered(600), 200, 3
    )
    (X, y), _ = fashion_mnist(numpy.int64(20), numpy.int64(1))
    assert (fashion_mnist(20, 1)[0][0] == X).all() and len(y) == 20
    assert numbers(numbered(9), 3, [1, 2]) == numbers(
        numbered(9), 3, numpy.random.default_rng([1, 2])
    )


# --- what is an array of images and labels ---


def images():
    """Ten examples, whose labels are 0, 1 and 2."""
    return np.arange(60).reshape(10, 1, 2, 3) / 60, np.array([0, 1, 2, 2, 1, 0, 0, 1, 2, 0])


FORMS = {
    "mxnet.np": lambda array: array,
    "mxnet.nd": lambda array: array.as_nd_ndarray(),
    "NumPy": lambda array: array.asnumpy(),
    "NumPy, every other row": lambda array: numpy.repeat(array.asnumpy(), 2, axis=0)[::2],
    "NumPy, big-endian": lambda array: array.asnumpy().astype(array.dtype.newbyteorder(">")),
    "NumPy, read only": lambda array: numpy.frombuffer(
        array.asnumpy().tobytes(), array.dtype
    ).reshape(array.shape),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_arrays_of_every_kind_become_floats_and_labels(form):
    X, y = images()
    for floats in ("float16", "float32", "float64"):
        for whole in ("int64", "int32", "int8", "uint8", "float32", "float64"):
            given = form(X.astype(floats))
            found = data.checked([given, form(y.astype(whole))])
            assert found.X.dtype == ("float32" if type(given) is numpy.ndarray else floats)
            assert found.y.dtype == "int64"
            assert found.X.shape == X.shape and numpy.abs((found.X - X).asnumpy()).max() < 1e-3
            assert found.y.tolist() == y.tolist()
            assert all(type(array) is np.ndarray for array in found)


def test_answers_of_yes_and_no_are_two_classes():
    X, y = images()
    for labels in (y == 0, (y == 0).asnumpy()):
        found = data.checked((X, labels)).y
        assert found.dtype == "int64" and found.tolist() == [1, 0, 0, 0, 0, 1, 1, 0, 0, 1]


def test_float32_is_not_copied_and_stays_writable():
    X, y = images()
    ours, classic = X.asnumpy(), X.as_nd_ndarray()
    for array in (X, ours, classic):
        found = data.checked((array, y)).X
        array[3] = 7
        assert (found[3] == 7).all()


def test_a_pair_is_looked_at_once():
    pair = data.checked(images())
    pair.X[0] = math.nan
    assert data.checked(pair) is pair


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("kind", ["mxnet", "numpy"])
def test_a_look_at_all_images_takes_little_memory(kind):
    code = "import d2lutils; X, y = d2lutils.fashion_mnist()[0]; "
    code += "X = X.asnumpy(); " if kind == "numpy" else ""
    reset = "open('/proc/self/clear_refs', 'w').write('5')"  # the peak starts anew
    code += f"{reset}; {COUNT}; d2lutils.data.checked((X, y)); {COUNT}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    before, after = map(int, result.stdout.split())
    assert (after - before) / 1024 < 60  # MB; the images have 246


def classes(*labels):
    return np.array([*labels, *[0] * (10 - len(labels))])


@pytest.mark.parametrize("check", [data.checked, lambda example: batches(example, 4)])
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda X, y: X, "data must be a pair (X, y) of arrays, not of type ndarray."),
        (lambda X, y: (X,), "data must be a pair (X, y) of arrays, not of type tuple."),
        (lambda X, y: (X, y, y), "data must be a pair (X, y) of arrays, not of type tuple."),
        (lambda X, y: None, "data must be a pair (X, y) of arrays, not of type NoneType."),
        (
            lambda X, y: (X.tolist(), y),
            "X of data must be an array of MXNet or NumPy, not of type list: "
            "np.array(...) makes one of numbers in a list.",
        ),
        (lambda X, y: ((X, y), (X, y)), "X of data must be an array .*, not of type tuple: .*"),
        (lambda X, y: (X, y.tolist()), "y of data must be an array .*, not of type list: .*"),
        (lambda X, y: (X, None), "y of data must be an array .*, not of type NoneType: .*"),
        (
            lambda X, y: (X, y.reshape(-1, 1)),
            "y of data must have the shape (N,), not (10, 1): use y.reshape(-1).",
        ),
        (
            lambda X, y: (X, npx.one_hot(y, 3)),
            "y of data must have the shape (N,), not (10, 3): use y.argmax(axis=1).",
        ),
        (
            lambda X, y: (X, y[0]),
            "y of data must have the shape (N,), not (): use y.reshape(-1).",
        ),
        (
            lambda X, y: (X, y[:9]),
            "X and y of data must have the same length; their shapes are (10, 1, 2, 3) and (9,).",
        ),
        (
            lambda X, y: (X[0, 0, 0, 0], y),
            "X and y of data must have the same length; their shapes are () and (10,).",
        ),
        (lambda X, y: (X[:0], y[:0]), "data is empty: X has the shape (0, 1, 2, 3)."),
        (lambda X, y: (X.reshape(10, -1)[:, :0], y), "data is empty: X has the shape (10, 0)."),
        (
            lambda X, y: ((X * 255).astype("uint8"), y),
            "X of data must hold floats, not uint8: if they are images with values from 0 to 255, "
            'use X.astype("float32") / 255.',
        ),
        (
            lambda X, y: (X.astype("int64").asnumpy(), y),
            "X of data must hold floats, not int64: .*",
        ),
        (lambda X, y: (X > 0, y), "X of data must hold floats, not bool: .*"),
        (lambda X, y: (X.asnumpy().astype(str), y), "X of data must hold floats, not <U.*: .*"),
        (lambda X, y: (X.asnumpy() * 1j, y), "X of data must hold floats, not complex.*: .*"),
        (lambda X, y: (X, classes(0, 1, -1)), "y of data .* 0 or larger, not -1.0."),
        (lambda X, y: (X, classes(0, 1.5, 1)), "y of data .* 0 or larger, not 1.5."),
        (lambda X, y: (X, classes(math.nan)), "y of data .* 0 or larger, not nan."),
        (lambda X, y: (X, classes(math.inf)), "y of data .* 0 or larger, not inf."),
        (lambda X, y: (X, classes(1e30)), "y of data .* 0 or larger, not 1.0.*."),
        (
            lambda X, y: (X, numpy.array(["shirt"] * 10)),
            "y of data must hold whole numbers, 0 or larger, not <U5.",
        ),
        (lambda X, y: (X, numpy.array([None] * 10)), "y of data .* 0 or larger, not object."),
    ],
)
def test_what_is_no_example_is_refused_in_a_sentence(check, spoil, sentence):
    with pytest.raises(ValueError) as caught:
        check(spoil(*images()))
    pattern = ".*".join(map(re.escape, sentence.split(".*")))
    assert re.fullmatch(pattern, str(caught.value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("form", [*FORMS][:3])
def test_one_value_that_is_not_finite_is_found_with_its_example(value, form):
    for dtype in ("float16", "float32", "float64"):
        for i in (0, 1023, 1024, 2499):
            X, y = np.zeros((2_500, 1, 2, 3), dtype=dtype), np.zeros(2_500)
            X[i, 0, 1, 2] = value
            with pytest.raises(ValueError, match=rf"X of data has a value .* in example {i}\."):
                data.checked((FORMS[form](X), y))


def test_large_values_are_finite():
    X, y = np.full((2_000, 30), 3e38), np.zeros(2_000)
    assert (data.checked((X, y)).X == X).all()


def test_without_the_numpy_interface_the_cure_is_named():
    try:
        npx.reset_np()
        with pytest.raises(ValueError, match=r"call npx.set_np\(\) first"):
            batches((np.zeros((3, 1)), np.zeros(3)), 2)
    finally:
        npx.set_np()
