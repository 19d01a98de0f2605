"""The point at which a gradient is judged, as private float64 leaves."""

import math
from typing import Any

import numpy as np

from gradparity.backends.checks import is_floating
from gradparity.backends.errors import InvalidParameters
from gradparity.backends.pytrees import private_numpy


def float64_leaves(given: list[Any], names: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """Return private, read-only copies in float64.

    raises: InvalidParameters for leaves that are not finite floating numbers, or for none at all
    """
    leaves = []
    for name, leaf in zip(names, given, strict=True):
        where = f"leaf {name}" if name else "params"
        try:
            array = private_numpy(leaf)
        except (InvalidParameters, TypeError, ValueError) as error:
            raise InvalidParameters(f"{where}: {error}") from None
        if not is_floating(array.dtype):
            raise InvalidParameters(
                f"{where}: got dtype {array.dtype}, expected floating numbers; convert them, for "
                "instance with .astype('float64'), or pass them as an argument after params"
            )
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            first = np.argwhere(~np.isfinite(array))[0]
            raise InvalidParameters(
                f"{where}: got {array[tuple(first)]} at index {tuple(map(int, first))}, expected "
                "finite numbers; there is no derivative at such a point"
            )
        array.flags.writeable = False
        leaves.append(array)
    if not any(leaf.size for leaf in leaves):
        raise InvalidParameters(
            f"params: got {len(leaves)} leaves without a single entry, expected a pytree with at "
            "least one number to differentiate by"
        )
    return tuple(leaves)


def typical_size(leaf: np.ndarray) -> float:
    """Return a power of two near the median size of the entries that are not 0; 1 for zeros.

    A step that is a power of two is not rounded when it is added to a number of its scale.
    """
    sizes = np.abs(leaf[leaf != 0])
    if not sizes.size:
        return 1.0
    return math.ldexp(1.0, math.frexp(float(np.median(sizes)))[1])
