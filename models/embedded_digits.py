"""The subset of MNIST that ships with gradparity: 5,000 training and 1,000 test digits.

MNIST is by Yann LeCun, Corinna Cortes and Christopher J.C. Burges, under CC BY-SA 3.0, and so is
the subset; embedded_digits.license.txt beside it says so to those who see only the files. It was
made by `write_embedded_digits(path, draw_subset(read_digits(directory)))` from the full set.
"""

import io
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.errors import InvalidData

from .atomic_file import write_atomically
from .mnist_files import CLASSES, Digits

FILE_NAME = "embedded_digits.npz"
ATTRIBUTION = (
    "MNIST by Yann LeCun, Corinna Cortes and Christopher J.C. Burges "
    "(http://yann.lecun.com/exdb/mnist/), "
    "CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0/)"
)
# The year of the paper that introduced MNIST: any seed would do, this one was not chosen by result.
SEED = 1998
TRAIN_PER_CLASS = 500
TEST_PER_CLASS = 100


def draw_subset(digits: Digits) -> Digits:
    """Draw the embedded subset from the full MNIST.

    returns: 500 training and 100 test images of each digit, classes mixed
    raises: InvalidData, when a class has fewer
    """
    train = draw_balanced(digits.train_labels, TRAIN_PER_CLASS)
    test = draw_balanced(digits.test_labels, TEST_PER_CLASS)
    return Digits(
        digits.train_images[train],
        digits.train_labels[train],
        digits.test_images[test],
        digits.test_labels[test],
    )


def draw_balanced(labels: NDArray[np.uint8], per_class: int, seed: int = SEED) -> NDArray[np.intp]:
    """Return the positions of `per_class` labels of each class, in random order.

    Every position gets a random key, and each class gives those with its smallest keys.
    """
    # The raw stream of PCG64 is fixed for good; NumPy may change what Generator makes of it.
    keys = np.random.PCG64(seed).random_raw(len(labels))
    shuffled = np.argsort(keys, kind="stable")
    kept = np.zeros(len(labels), dtype=bool)
    for digit in range(CLASSES):
        positions = shuffled[labels[shuffled] == digit][:per_class]
        if len(positions) < per_class:
            raise InvalidData(
                f"labels: got {len(positions)} of class {digit}; expected at least {per_class}; "
                "draw from the full set"
            )
        kept[positions] = True
    return shuffled[kept[shuffled]]


def write_embedded_digits(path: Path, digits: Digits) -> None:
    """Write a subset with its origin to a compressed NumPy archive."""
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        train_images=digits.train_images,
        train_labels=digits.train_labels,
        test_images=digits.test_images,
        test_labels=digits.test_labels,
        attribution=np.array(ATTRIBUTION),
        changes=np.array(f"subset, balanced by class, drawn with seed {SEED}"),
    )
    write_atomically(path, archive.getvalue())


def read_embedded_digits() -> Digits:
    """Read the subset that was installed with gradparity.

    raises: InvalidData, when the installation lost or damaged it
    """
    try:
        with (
            resources.files("gradparity.models").joinpath(FILE_NAME).open("rb") as file,
            np.load(file) as archive,
        ):
            return Digits(
                archive["train_images"],
                archive["train_labels"],
                archive["test_images"],
                archive["test_labels"],
            )
    # Damage shows as whatever zlib, zipfile or NumPy's header parser stumbles over.
    except Exception as error:
        raise InvalidData(
            f"{FILE_NAME}: cannot be read ({error}); expected the archive that ships with "
            "gradparity; install gradparity afresh"
        ) from error
