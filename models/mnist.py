"""Handwritten digits, ready for a model: from a directory, the download cache, or embedded."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.errors import InvalidData, InvalidSetting

from .embedded_digits import read_embedded_digits
from .mnist_download import cache_directory
from .mnist_files import CLASSES, CREDIT, MNIST_FILES, Digits, find_file, read_digits

SIDE = 28
"""Pixels along the side of an image."""

DATA_VARIABLE = "GRADPARITY_DATA"
"""The environment variable that names the digits of a run: a directory, or "embedded"."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels for training and testing, in arrays of the dataset's own.

    train_x, test_x: images as `load_mnist` was asked for them, one a row
    train_t, test_t: labels, int64 of shape (N,) or one-hot float32 of shape (N, 10)
    source: which digits these are, in words

    >>> x, t = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 3
    >>> gp.Dataset(x[:15], t[:15], x[15:], t[15:], source="noise").train_x.shape
    (15, 4)
    """

    train_x: NDArray[Any]
    train_t: NDArray[Any]
    test_x: NDArray[Any]
    test_t: NDArray[Any]
    source: str


def load_mnist(
    source: str | os.PathLike[str] = "auto",
    *,
    normalize: bool = True,
    flatten: bool = True,
    one_hot: bool = False,
) -> Dataset:
    """Load handwritten digits.

    source: a directory with the four IDX files, .gz or not; "embedded" for the 5,000 training and
        1,000 test digits that ship with gradparity; "auto" for what GRADPARITY_DATA names, else
        what `fetch_mnist` downloaded, else the embedded ones
    normalize: pixels as float32 in [0, 1], else as uint8 in 0..255
    flatten: images of shape (N, 784), else (N, 1, 28, 28)
    one_hot: labels of shape (N, 10) in float32, else (N,) in int64
    raises: InvalidData, naming the file, what it holds, and what it should hold

    >>> digits = gp.load_mnist("embedded")
    >>> digits.train_x.shape, digits.test_t.shape
    ((5000, 784), (1000,))
    """
    digits, origin = _read_auto() if source == "auto" else _read_named(source)
    return Dataset(
        train_x=_prepare_images(digits.train_images, normalize, flatten),
        train_t=_prepare_labels(digits.train_labels, one_hot),
        test_x=_prepare_images(digits.test_images, normalize, flatten),
        test_t=_prepare_labels(digits.test_labels, one_hot),
        source=f"{len(digits.train_labels):,} training and "
        f"{len(digits.test_labels):,} test digits, {origin}",
    )


def shrink(dataset: Dataset, side: int) -> Dataset:
    """Return the flattened digits with each image averaged down to side x side pixels.

    side: a divisor of 28, so that every new pixel is the mean of a whole block
    raises: InvalidSetting

    >>> gp.shrink(gp.load_mnist("embedded"), 7).train_x.shape
    (5000, 49)
    """
    if side < 1 or SIDE % side:
        raise InvalidSetting(f"got side {side}, expected a divisor of {SIDE}, such as 7")
    block = SIDE // side

    def averaged(images: NDArray[Any]) -> NDArray[Any]:
        blocks = images.reshape(-1, side, block, side, block)
        return np.asarray(blocks.mean(axis=(2, 4))).reshape(len(images), side * side)

    return replace(
        dataset,
        train_x=averaged(dataset.train_x),
        test_x=averaged(dataset.test_x),
        source=f"{dataset.source}, shrunk to {side}x{side} pixels",
    )


def _read_auto() -> tuple[Digits, str]:
    """Return the digits that are at hand and their origin in words."""
    named = os.environ.get(DATA_VARIABLE, "")
    if named not in ("", "auto"):
        try:
            return _read_named(named)
        except InvalidData as error:
            raise InvalidData(f"{DATA_VARIABLE}={named}: {error}") from error
    cache = cache_directory()
    if all(find_file(cache, file) for file in MNIST_FILES):
        return read_digits(cache, official=True), f"the full {CREDIT} in {cache}"
    return _read_named("embedded")


def _read_named(source: str | os.PathLike[str]) -> tuple[Digits, str]:
    if source == "embedded":
        return read_embedded_digits(), f"the embedded subset of {CREDIT}"
    directory = Path(os.path.expanduser(source))
    return read_digits(directory), f"the IDX files in {directory}"


def _prepare_images(images: NDArray[np.uint8], normalize: bool, flatten: bool) -> NDArray[Any]:
    shaped = images.reshape(len(images), -1) if flatten else images[:, np.newaxis]
    if not normalize:
        return shaped.copy()  # what a file was read into is read-only
    return np.divide(shaped, np.float32(255), dtype=np.float32)


def _prepare_labels(labels: NDArray[np.uint8], one_hot: bool) -> NDArray[Any]:
    if one_hot:
        return np.eye(CLASSES, dtype=np.float32)[labels]
    return labels.astype(np.int64)
