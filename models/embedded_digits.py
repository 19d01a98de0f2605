"""The subset of MNIST that ships with gradparity: 5,000 training and 1,000 test digits.

MNIST is by Yann LeCun, Corinna Cortes and Christopher J.C. Burges, under CC BY-SA 3.0, and so is
the subset; embedded_digits.license.txt beside it says so to those who see only the files. It was
drawn from the full set by `tests/draw_embedded_digits.py`.
"""

from importlib import resources

import numpy as np

from gradparity.backends.errors import InvalidData

from .mnist_files import Digits

FILE_NAME = "embedded_digits.npz"
ATTRIBUTION = (
    "MNIST by Yann LeCun, Corinna Cortes and Christopher J.C. Burges "
    "(http://yann.lecun.com/exdb/mnist/), "
    "CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0/)"
)


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
