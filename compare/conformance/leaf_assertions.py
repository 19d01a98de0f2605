"""Compare what a backend answers with what it should, leaf by leaf."""

import numpy as np

from gradparity.backends.base import Backend
from gradparity.backends.pytrees import PyTree, flatten, leaf_names

# Fourth-order differences of float64 values, and round-off of the dtype with room for the
# conditioning of the scenarios; a gradient off by a thousandth breaks both.
TOLERANCE = {"float64": 1e-6, "float32": 2e-4}


def tolerance(backend: Backend) -> float:
    """Return by how much derivatives in the backend's dtype may be off, relative to their size."""
    return TOLERANCE[backend.dtype]


def assert_close(actual: PyTree, expected: PyTree, tolerance: float) -> None:
    """Compare leaf by leaf: the largest difference over the largest entry, 1 at least."""
    leaves, structure = flatten(actual)
    references, expected_structure = flatten(expected)
    assert structure == expected_structure, f"structure {structure}, not {expected_structure}"
    for name, leaf, reference in zip(leaf_names(expected), leaves, references, strict=True):
        got, want = np.asarray(leaf, np.float64), np.asarray(reference, np.float64)
        assert got.shape == want.shape, f"leaf {name}: shape {got.shape}, not {want.shape}"
        if not got.size:
            continue
        difference = float(np.max(np.abs(got - want)))
        scale = max(1.0, float(np.max(np.abs(want))))
        assert difference <= tolerance * scale, (  # false for NaN, as it should be
            f"leaf {name or '(bare)'}: off by {difference:.3g}, "
            f"more than {tolerance:.0e} of {scale:.3g}"
        )


def assert_equal(actual: PyTree, expected: PyTree) -> None:
    """Compare leaf by leaf, to the last bit."""
    for name, leaf, reference in zip(
        leaf_names(expected), flatten(actual)[0], flatten(expected)[0], strict=True
    ):
        assert np.array_equal(leaf, reference), f"leaf {name or '(bare)'} was changed"
