"""How the embedded digits were drawn from the full MNIST.

write_embedded_digits(path, draw_subset(read_digits(directory)))
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.errors import InvalidData
from gradparity.models.atomic_file import write_atomically
from gradparity.models.embedded_digits import ATTRIBUTION
from gradparity.models.mnist_files import CLASSES, Digits

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
