"""The gradient of an engine in float64: believed only where slopes of f certify it."""

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gradparity.backends import Backend, BackendUnavailable
from gradparity.backends.precision import dtype_name
from gradparity.backends.pytrees import is_array, private_numpy, tree_map
from gradparity.backends.rounding import Lifted

from .function import Function, float64_backend, native_args

# A value that an engine computes otherwise than f does is another function's.
SAME_VALUE = 1e-9


@dataclass(frozen=True)
class Reference:
    """What an engine says is the gradient, flat float64 leaves, and who it is.

    moved: told by how much to move all inputs, relatively, and a seed, returns the gradient there;
        None where it has none
    """

    engine: str
    slopes: tuple[np.ndarray, ...]
    moved: Callable[[float, int], tuple[np.ndarray, ...] | None]


def reference_of(function: Function, load: bool = False) -> Reference | None:
    """Return the gradient of f by the first engine that can differentiate it.

    load: whether engines may be imported that nobody has used yet
    """
    for backend in _engines(function, load):
        slopes = gradient_by(function, backend) or ()
        # Zeros are what an engine says of a function that it cannot follow, such as float(...).
        if any(leaf.any() for leaf in slopes) and all(np.isfinite(leaf).all() for leaf in slopes):

            def moved(
                rounding: float, seed: int, backend: Backend = backend
            ) -> tuple[np.ndarray, ...] | None:
                return gradient_by(function, backend, rounding, seed)

            return Reference(backend.name, slopes, moved)
    return None


def gradient_by(
    function: Function, backend: Backend, rounding: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, ...] | None:
    """Return the engine's gradient at the point, or None where it has none.

    rounding: by which all inputs are moved at random, relatively
    """
    rng = np.random.default_rng(seed)

    def moved(array: np.ndarray) -> np.ndarray:
        return array * (1 + rounding * rng.uniform(-1, 1, array.shape)) if rounding else array

    def moved_arg(leaf: object) -> object:
        if not (rounding and is_array(leaf) and dtype_name(leaf).startswith(("float", "bfloat"))):
            return leaf
        return moved(private_numpy(leaf, "float64"))

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            leaves = [backend.asarray(moved(leaf.array)) for leaf in function.leaves]
            args = native_args(
                backend, tuple(tree_map(moved_arg, arg) for arg in function.given_args)
            )
            scalar = function.scalar_for(backend)
            function.count()
            if isinstance(scalar, Lifted):
                value, gradient = scalar.value_and_gradient(leaves, *args)
            else:
                value, gradient = backend.value_and_gradient(scalar)(leaves, *args)
            number = float(private_numpy(value))
            if not rounding and abs(number - function.value) > SAME_VALUE * abs(function.value):
                return None
            return tuple(
                np.asarray(private_numpy(leaf), np.float64).reshape(-1) for leaf in gradient
            )
    except Exception:  # the budget is spent, or the framework says in its own way that it cannot
        return None


def _engines(function: Function, load: bool) -> Iterator[Backend]:
    own = function.backend
    if own.cheap_mode == "reverse":
        yield own
        return
    for name in ("torch", "jax"):
        if name in sys.modules or load:
            try:
                yield float64_backend(name)
            except BackendUnavailable:
                continue
