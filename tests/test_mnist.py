import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pooch
import pytest

from gradparity.backends.errors import InvalidData, InvalidSetting
from gradparity.models import load_mnist, shrink
from gradparity.models.embedded_digits import read_embedded_digits
from gradparity.models.mnist_files import (
    MNIST_FILES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    find_mismatch,
)

FULL_MNIST = Path(__file__).parents[2] / "shared" / "mnist"


def encode_idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def small_set():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28, 28)).astype(np.uint8)
    labels = np.arange(50, dtype=np.uint8) % 10
    return {
        TRAIN_IMAGES: pixels[:30],
        TRAIN_LABELS: labels[:30],
        TEST_IMAGES: pixels[30:],
        TEST_LABELS: labels[30:],
    }


def write_set(directory, spelling=0, arrays=None):
    directory.mkdir(parents=True, exist_ok=True)
    for file, array in (arrays or small_set()).items():
        path = directory / file.spellings[spelling]
        content = encode_idx(array)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return directory


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty cache and no variable, as on a new machine; the directory of the cache."""
    monkeypatch.delenv("GRADPARITY_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "gradparity" / "mnist"


# What comes back


def test_pixels_are_floats_between_zero_and_one_by_default(tmp_path):
    dataset = load_mnist(write_set(tmp_path))
    assert dataset.train_x.dtype == dataset.test_x.dtype == np.float32
    pixels = small_set()[TRAIN_IMAGES].reshape(30, 784)
    assert np.array_equal(dataset.train_x, pixels.astype(np.float32) / np.float32(255))
    assert dataset.train_x.min() == 0
    assert dataset.train_x.max() == 1


def test_pixels_stay_bytes_when_they_are_not_normalized(tmp_path):
    dataset = load_mnist(write_set(tmp_path), normalize=False)
    assert dataset.test_x.dtype == np.uint8
    assert np.array_equal(dataset.test_x, small_set()[TEST_IMAGES].reshape(20, 784))


@pytest.mark.parametrize("normalize", [True, False])
def test_images_have_a_channel_when_they_are_not_flattened(tmp_path, normalize):
    directory = write_set(tmp_path)
    flat = load_mnist(directory, normalize=normalize)
    square = load_mnist(directory, normalize=normalize, flatten=False)
    assert square.train_x.shape == (30, 1, 28, 28)
    assert square.test_x.shape == (20, 1, 28, 28)
    assert np.array_equal(square.train_x.reshape(30, 784), flat.train_x)


def test_labels_are_integers_by_default(tmp_path):
    dataset = load_mnist(write_set(tmp_path))
    assert dataset.train_t.dtype == dataset.test_t.dtype == np.int64
    assert dataset.train_t.tolist() == [n % 10 for n in range(30)]


def test_labels_are_rows_of_zeros_and_one_when_one_hot(tmp_path):
    dataset = load_mnist(write_set(tmp_path), one_hot=True)
    assert dataset.train_t.dtype == np.float32
    assert dataset.train_t.shape == (30, 10)
    assert np.array_equal(dataset.train_t[:10], np.eye(10))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("embedded", [True, False])
def test_the_arrays_may_be_changed_without_changing_the_next_load(
    tmp_path, normalize, one_hot, embedded
):
    source = "embedded" if embedded else write_set(tmp_path)

    def load():
        return load_mnist(source, normalize=normalize, one_hot=one_hot)

    first = load()
    for array in (first.train_x, first.train_t, first.test_x, first.test_t):
        array[...] = 1
    second = load()
    assert second.train_x.min() == second.train_t.min() == 0
    assert second.test_x.min() == second.test_t.min() == 0


def test_a_dataset_cannot_be_reassigned():
    with pytest.raises(AttributeError):
        load_mnist("embedded").train_x = None


# Where it comes from


@pytest.mark.parametrize("spelling", range(4), ids=TRAIN_IMAGES.spellings)
@pytest.mark.parametrize("as_given", [str, Path])
def test_a_directory_may_spell_the_files_in_each_usual_way(tmp_path, spelling, as_given):
    directory = write_set(tmp_path / "digits", spelling)
    dataset = load_mnist(as_given(directory))
    assert len(dataset.train_x) == 30
    assert dataset.source == f"30 training and 20 test digits, the IDX files in {directory}"


def test_the_unpacked_file_goes_before_the_packed_one(tmp_path):
    write_set(tmp_path, spelling=0)
    write_set(tmp_path, spelling=2, arrays={TEST_LABELS: np.zeros(20, np.uint8)})
    assert load_mnist(tmp_path).test_t.tolist() == small_set()[TEST_LABELS].tolist()


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_set(tmp_path / "digits")
    assert len(load_mnist("~/digits").train_x) == 30


def test_the_embedded_digits_name_their_authors_and_licence():
    dataset = load_mnist("embedded", normalize=False)
    assert dataset.source == (
        "5,000 training and 1,000 test digits, "
        "the embedded subset of MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0)"
    )
    assert np.array_equal(
        dataset.train_x.reshape(5000, 28, 28), read_embedded_digits().train_images
    )


@pytest.mark.parametrize("source", ["embedded", "auto"])
def test_a_folder_called_as_a_source_is_reached_by_a_path(tmp_path, monkeypatch, elsewhere, source):
    monkeypatch.chdir(tmp_path)
    write_set(Path(source))
    assert len(load_mnist(source).train_x) == 5000
    assert len(load_mnist(Path(source)).train_x) == 30


def test_auto_takes_the_embedded_digits_on_a_new_machine(elsewhere):
    assert load_mnist().source == load_mnist("embedded").source


@pytest.mark.parametrize("value", ["", "auto", "embedded"])
def test_the_variable_may_be_empty_or_name_no_directory(elsewhere, monkeypatch, value):
    monkeypatch.setenv("GRADPARITY_DATA", value)
    assert load_mnist().source == load_mnist("embedded").source


def test_auto_takes_the_directory_of_the_variable_before_the_cache(
    elsewhere, monkeypatch, tmp_path
):
    write_set(elsewhere)
    monkeypatch.setenv("GRADPARITY_DATA", str(write_set(tmp_path / "digits")))
    assert load_mnist().source.endswith(f"the IDX files in {tmp_path / 'digits'}")


def test_an_explicit_source_goes_before_the_variable(elsewhere, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADPARITY_DATA", str(tmp_path / "absent"))
    assert len(load_mnist("embedded").train_x) == 5000


def test_a_variable_that_misleads_is_named(elsewhere, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADPARITY_DATA", str(tmp_path / "absent"))
    with pytest.raises(InvalidData, match=r"^GRADPARITY_DATA=.*absent: .*does not exist; expected"):
        load_mnist()


def test_an_incomplete_cache_is_passed_over(elsewhere):
    arrays = small_set()
    del arrays[TEST_LABELS]
    write_set(elsewhere, arrays=arrays)
    assert load_mnist().source == load_mnist("embedded").source


def test_a_cache_with_other_content_than_mnist_is_refused(elsewhere):
    write_set(elsewhere)
    with pytest.raises(InvalidData, match="has SHA-256 [0-9a-f]{64}; expected ba891046") as caught:
        load_mnist()
    assert str(elsewhere / TRAIN_IMAGES.name) in str(caught.value)
    assert "fetch-mnist" in str(caught.value)


@pytest.mark.skipif(
    not FULL_MNIST.is_dir(),
    reason="the full MNIST is not beside the repository, in ../shared/mnist",
)
def test_a_complete_cache_gives_the_full_set(elsewhere):
    elsewhere.parent.mkdir(parents=True)
    elsewhere.symlink_to(FULL_MNIST)
    dataset = load_mnist()
    assert dataset.source == (
        "60,000 training and 10,000 test digits, "
        f"the full MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0) in {elsewhere}"
    )
    assert dataset.train_x.shape == (60000, 784)
    # The label counts of the published training set.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(dataset.train_t).tolist() == counts


# What is refused


def with_bytes(file, change):
    def damage(directory):
        path = directory / file.name
        path.write_bytes(change(path.read_bytes()))

    return damage


def with_array(file, array):
    return with_bytes(file, lambda content: encode_idx(array))


def without(*files):
    def damage(directory):
        for file in files:
            (directory / file.name).unlink()

    return damage


def labels(*values):
    return np.array(values, np.uint8)


REFUSED = {
    "truncated images": (
        with_bytes(TRAIN_IMAGES, lambda content: content[:-100]),
        TRAIN_IMAGES,
        "truncated by 100 bytes, got 23436 bytes; expected 23536 for the shape (30, 28, 28)",
    ),
    "trailing bytes": (
        with_bytes(TEST_LABELS, lambda content: content + b"xy"),
        TEST_LABELS,
        "2 trailing bytes, got 30 bytes; expected 28",
    ),
    "labels called images": (
        with_array(TEST_IMAGES, labels(*range(10))),
        TEST_IMAGES,
        "starts with 00 00 08 01 (IDX labels); expected 00 00 08 03 (IDX images)",
    ),
    "images called labels": (
        with_array(TRAIN_LABELS, np.zeros((30, 28, 28), np.uint8)),
        TRAIN_LABELS,
        "starts with 00 00 08 03 (IDX images); expected 00 00 08 01 (IDX labels)",
    ),
    "a wrong magic number": (
        with_bytes(TRAIN_LABELS, lambda content: b"\x89PNG" + content),
        TRAIN_LABELS,
        "starts with 89 50 4e 47 (no IDX file); expected 00 00 08 01",
    ),
    "a corrupted gzip": (
        with_bytes(TEST_IMAGES, lambda content: gzip.compress(content)[:-20]),
        TEST_IMAGES,
        "the gzip stream is truncated or corrupted",
    ),
    "fewer labels than images": (
        with_array(TRAIN_LABELS, labels(*range(9))),
        TRAIN_LABELS,
        f"got 9 labels; expected 30, one for each image in {TRAIN_IMAGES.name}",
    ),
    "more labels than images": (
        with_array(TEST_IMAGES, np.zeros((19, 28, 28), np.uint8)),
        TEST_LABELS,
        f"got 20 labels; expected 19, one for each image in {TEST_IMAGES.name}",
    ),
    "a label above 9": (
        with_array(TEST_LABELS, labels(*[1] * 7, 10, *[1] * 12)),
        TEST_LABELS,
        "got label 10 at position 7; expected labels 0 to 9",
    ),
    "images of another size": (
        with_array(TEST_IMAGES, np.zeros((20, 32, 32), np.uint8)),
        TEST_IMAGES,
        "got images of shape (20, 32, 32); expected (N, 28, 28)",
    ),
    "no images at all": (
        with_array(TRAIN_IMAGES, np.zeros((0, 28, 28), np.uint8)),
        TRAIN_IMAGES,
        "got images of shape (0, 28, 28); expected (N, 28, 28) with at least one image",
    ),
    "a folder in place of a file": (
        lambda directory: [
            without(TRAIN_LABELS)(directory),
            (directory / TRAIN_LABELS.name).mkdir(),
        ],
        TRAIN_LABELS,
        "expected a readable IDX file",
    ),
}


@pytest.mark.parametrize(("damage", "file", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_file_is_named_with_what_was_found_expected_and_a_remedy(
    tmp_path, damage, file, found
):
    directory = write_set(tmp_path / "digits")
    assert load_mnist(directory).source  # whole before the damage
    damage(directory)
    with pytest.raises(InvalidData) as caught:
        load_mnist(directory)
    message = str(caught.value)
    assert message.startswith(f"{directory / file.name}: ")
    assert found in message
    assert message.count("; ") >= 2  # found; expected; remedy


def test_missing_files_are_listed_with_those_that_are_there(tmp_path):
    directory = write_set(tmp_path / "digits")
    without(TRAIN_IMAGES, TEST_LABELS)(directory)
    with pytest.raises(InvalidData, match="train-images-idx3-ubyte, t10k-labels-idx1-ubyte miss"):
        load_mnist(directory)
    with pytest.raises(InvalidData, match="got train-labels-idx1-ubyte, t10k-images-idx3-ubyte;"):
        load_mnist(directory)


def test_an_empty_directory_is_refused(tmp_path):
    with pytest.raises(InvalidData, match="got none of the four files; expected each"):
        load_mnist(tmp_path)


def test_a_path_that_is_no_directory_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidData, match="is a file; expected a directory with the four IDX"):
        load_mnist(tmp_path / "file")
    with pytest.raises(InvalidData, match="does not exist; expected a directory"):
        load_mnist(tmp_path / "absent")
    with pytest.raises(InvalidData, match="does not exist; expected a directory"):
        load_mnist("~no-such-user/" + "long" * 100)


# What it costs


def test_loading_the_embedded_digits_imports_nothing_that_downloads():
    program = (
        "import sys; from gradparity.models import load_mnist; load_mnist('embedded'); "
        "print(sorted({'pooch', 'requests', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.skipif(
    not FULL_MNIST.is_dir(),
    reason="the full MNIST is not beside the repository, in ../shared/mnist",
)
@pytest.mark.parametrize("file", MNIST_FILES, ids=lambda file: file.name)
def test_the_checksums_are_those_of_the_published_files(file):
    content = gzip.decompress((FULL_MNIST / f"{file.name}.gz").read_bytes())
    assert find_mismatch(content, file) is None
    assert "SHA-256" in find_mismatch(content[:-1], file)


def test_shrinking_averages_blocks_of_pixels():
    digits = load_mnist("embedded")
    small = shrink(digits, 7)
    assert small.train_x.shape == (5000, 49)
    image = digits.test_x[3].reshape(28, 28)
    np.testing.assert_allclose(small.test_x[3, 8], image[4:8, 4:8].mean(), rtol=1e-6)
    assert "7x7" in small.source


@pytest.mark.parametrize("side", [0, 5, 56])
def test_shrinking_to_a_side_that_does_not_divide_is_refused(side):
    with pytest.raises(InvalidSetting, match=f"got side {side}"):
        shrink(load_mnist("embedded"), side)
