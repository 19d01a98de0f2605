"""The four files of MNIST, as they are found in a directory, read and checked."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.errors import InvalidData

from .idx_files import REMEDY, decode_idx, read_unpacked

CREDIT = "MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0)"
CLASSES = 10
IMAGE_SHAPE = (28, 28)
"""Pixels, rows by columns."""


@dataclass(frozen=True)
class MnistFile:
    """One of the four files: its published name, and the SHA-256 and bytes when unpacked."""

    name: str
    sha256: str
    size: int

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names under which the file goes about, unpacked ones first."""
        dotted = self.name.replace("-idx", ".idx")
        return (self.name, dotted, f"{self.name}.gz", f"{dotted}.gz")


TRAIN_IMAGES = MnistFile(
    "train-images-idx3-ubyte",
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    47_040_016,
)
TRAIN_LABELS = MnistFile(
    "train-labels-idx1-ubyte",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    60_008,
)
TEST_IMAGES = MnistFile(
    "t10k-images-idx3-ubyte",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    7_840_016,
)
TEST_LABELS = MnistFile(
    "t10k-labels-idx1-ubyte",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    10_008,
)
MNIST_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


@dataclass(frozen=True, eq=False)
class Digits:
    """Images (N, 28, 28) and labels (N,) as the files hold them: uint8, possibly read-only."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def find_file(directory: Path, file: MnistFile) -> Path | None:
    """Return where the file is in the directory, under any of its spellings, or None."""
    candidates = (directory / spelling for spelling in file.spellings)
    # os.path answers False where pathlib raises, as for a folder that may not be searched.
    return next((path for path in candidates if os.path.exists(path)), None)


def read_digits(directory: Path, *, official: bool = False) -> Digits:
    """Read the four files of a directory.

    official: demand the SHA-256 of the published MNIST; without it, any set of 28x28 images in
        ten classes will do, such as a subset or Fashion-MNIST
    raises: InvalidData, naming the file, what it holds and what it should hold
    """
    paths = _find_all(directory)
    train_images, train_labels = _read_pair(paths, TRAIN_IMAGES, TRAIN_LABELS, official)
    test_images, test_labels = _read_pair(paths, TEST_IMAGES, TEST_LABELS, official)
    return Digits(train_images, train_labels, test_images, test_labels)


def find_mismatch(content: bytes, file: MnistFile) -> str | None:
    """Return how unpacked `content` differs from the published file, or None if it does not."""
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.sha256:
        return None
    return (
        f"the unpacked content ({len(content)} bytes) has SHA-256 {digest}; "
        f"expected {file.sha256}, that of MNIST's {file.name}"
    )


def check_official(content: bytes, file: MnistFile, path: Path) -> None:
    """Raise InvalidData unless the unpacked content of `path` is the published file."""
    mismatch = find_mismatch(content, file)
    if mismatch is not None:
        raise InvalidData(f"{path}: {mismatch}; {REMEDY}")


def _find_all(directory: Path) -> dict[MnistFile, Path]:
    if not os.path.isdir(directory):
        found = "is a file" if os.path.exists(directory) else "does not exist"
        raise InvalidData(
            f"{directory}: {found}; expected a directory with the four IDX files of MNIST; "
            "give one that has them, 'embedded', or run 'gradparity fetch-mnist'"
        )
    found_at = {file: find_file(directory, file) for file in MNIST_FILES}
    paths = {file: path for file, path in found_at.items() if path is not None}
    missing = [file.name for file in MNIST_FILES if file not in paths]
    if missing:
        present = ", ".join(path.name for path in paths.values()) or "none of the four files"
        raise InvalidData(
            f"{directory}: {', '.join(missing)} missing, got {present}; expected each of the four "
            "files, .gz or not; copy them there, or run 'gradparity fetch-mnist'"
        )
    return paths


def _read_pair(
    paths: dict[MnistFile, Path], images_file: MnistFile, labels_file: MnistFile, official: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = _read_array(paths[images_file], images_file, 3, official)
    labels = _read_array(paths[labels_file], labels_file, 1, official)
    if images.shape[1:] != IMAGE_SHAPE or not len(images):
        raise InvalidData(
            f"{paths[images_file]}: got images of shape {images.shape}; expected (N, 28, 28) with "
            "at least one image; crop or pad the images to MNIST's format"
        )
    if len(images) != len(labels):
        raise InvalidData(
            f"{paths[labels_file]}: got {len(labels)} labels; expected {len(images)}, one for each "
            f"image in {paths[images_file].name}; take both files from the same set"
        )
    if labels.max() >= CLASSES:
        position = int(np.argmax(labels >= CLASSES))
        raise InvalidData(
            f"{paths[labels_file]}: got label {labels[position]} at position {position}; expected "
            f"labels 0 to {CLASSES - 1}; renumber the classes, or leave out the others"
        )
    return images, labels


def _read_array(path: Path, file: MnistFile, dimensions: int, official: bool) -> NDArray[np.uint8]:
    content = read_unpacked(path, file.size) if official else read_unpacked(path)
    if official:
        check_official(content, file, path)
    return decode_idx(content, dimensions, str(path))
