"""A function of many parameters along a line, as a function of one variable."""

import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidParameters, NonScalarLoss
from ..precision import EPSILON
from ..pytrees import (
    Array,
    PyTree,
    check_same_shapes,
    flatten,
    leaf_names,
    private_numpy,
    unflatten,
)

# Entries whose round-off differs more than this move by a step that suits all of them.
LARGEST_RATIO = 2.0**30
# Steps stay where their inverses, and those of the finest ones, are finite.
SMALLEST, NEAREST, FARTHEST = 2.0**-1060, 2.0**-960, 2.0**1000


@dataclass(frozen=True)
class Direction:
    """phi(t) = f(x + t v) for part of a tangent, the scale of t, and its resolution."""

    phi: Callable[[float], float]
    scale: float
    resolution: float


class Line:
    """phi(t) = f(x + t tangent, *args), on private float64 copies of x.

    Leaves that are Python floats reach f as Python floats, all others as NumPy arrays.
    raises: InvalidParameters for leaves that are not real, finite floating numbers, ShapeMismatch
    """

    def __init__(
        self, f: Callable[..., Any], x: PyTree, tangent: PyTree, args: tuple[PyTree, ...]
    ) -> None:
        originals, self._structure = flatten(x)
        check_same_shapes("tangent", tangent, "x", x)
        self._f, self._args = f, args
        self._plain = [isinstance(leaf, float) for leaf in originals]
        names = leaf_names(x)
        self._x, self._v = (
            [_float64(what, name, leaf) for name, leaf in zip(names, leaves, strict=True)]
            for what, leaves in (("x", originals), ("tangent", flatten(tangent)[0]))
        )
        self.evaluations = 0
        self._origin: float | None = None

    def value(self) -> float:
        """Return f(x), which is evaluated once."""
        if self._origin is None:
            self._origin = self._at(0.0, self._v)
        return self._origin

    def directions(self) -> Iterator[Direction]:
        """Split the tangent into directions within which one step suits every entry.

        Where an entry x is so large that x + t v rounds to x for the steps t that other entries
        need, its part of the derivative would be lost without a trace.
        """
        resolutions = [_resolutions(x, v) for x, v in zip(self._x, self._v, strict=True)]
        while coarsest := max((float(leaf.max(initial=0.0)) for leaf in resolutions), default=0.0):
            members = [leaf > coarsest / LARGEST_RATIO for leaf in resolutions]
            v = [np.where(own, leaf, 0.0) for own, leaf in zip(members, self._v, strict=True)]
            # A step of this size moves the leaf that is moved most by its own size.
            steps = [
                _typical(_sizes(x)[own]) / _typical(leaf[own])
                for x, own, leaf in zip(self._x, members, v, strict=True)
                if own.any()
            ]

            def phi(t: float, v: list[np.ndarray] = v) -> float:
                return self._at(t, v) if t else self.value()

            yield Direction(phi, min(max(min(steps), NEAREST), FARTHEST), coarsest)
            for own, leaf in zip(members, resolutions, strict=True):
                leaf[own] = 0.0

    def _at(self, t: float, v: list[np.ndarray]) -> float:
        self.evaluations += 1
        moved = [x + t * own for x, own in zip(self._x, v, strict=True)]
        leaves = [
            float(leaf) if plain else leaf for leaf, plain in zip(moved, self._plain, strict=True)
        ]
        return real_number(self._f(unflatten(self._structure, leaves), *self._args))


def real_number(value: Array) -> float:
    """Return the number that f gave, whatever framework it comes from.

    raises: NonScalarLoss unless it is one real number
    """
    if hasattr(value, "detach"):  # torch warns when a tensor with a gradient becomes a number
        value = value.detach()
    shape = getattr(value, "shape", () if isinstance(value, numbers.Real) else None)
    if shape is None or tuple(shape) != () or "complex" in str(getattr(value, "dtype", "")):
        got = f"{value!r:.60}" if not shape else f"shape {tuple(shape)}"
        raise NonScalarLoss(
            f"f returned {got}; expected one real number: reduce it, for instance with xp.sum"
        )
    return float(value)


def _float64(what: str, name: str, leaf: Any) -> np.ndarray:
    try:
        array = private_numpy(leaf, "float64")
    except InvalidParameters as error:
        raise InvalidParameters(f"leaf {name or what} of {what}: {error}") from error
    if what == "tangent" and array.dtype.kind in "iu":
        array = array.astype(np.float64)  # only x has to move by less than 1
    if array.dtype != np.float64:
        raise InvalidParameters(
            f"leaf {name or what} of {what}: got {array.dtype}, expected real floating numbers; "
            "a small step would be lost in it, so convert it, for instance with .astype('float64')"
        )
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidParameters(
            f"leaf {name or what} of {what}: got {array[index]} at index {index}, expected finite "
            "numbers"
        )
    return array


def _resolutions(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the smallest step t for which x + t v is another number; 0 where v is."""
    with np.errstate(over="ignore", divide="ignore"):
        steps = np.clip(EPSILON * _sizes(x) / np.abs(v), SMALLEST, FARTHEST)
    return np.where(v != 0, steps, 0.0)


def _sizes(x: np.ndarray) -> np.ndarray:
    """Return the size of each entry; zeros count as what is typical for their leaf."""
    return np.where(x == 0, _typical(x) or 1.0, np.abs(x))


def _typical(entries: np.ndarray) -> float:
    """Return the root of the mean square, whose squares neither overflow nor underflow."""
    peak = float(np.abs(entries).max(initial=0.0))
    return peak * float(np.sqrt(np.mean((entries / peak) ** 2))) if peak else 0.0
