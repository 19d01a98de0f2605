"""A function of many parameters along a line, as a function of one variable."""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import check_same_shapes
from ..errors import InvalidParameters, NonScalarLoss
from ..pytrees import Array, PyTree, flatten, leaf_names, private_numpy, unflatten

EPSILON = float(np.finfo(np.float64).eps)
# Entries whose round-off differs more than this move by a step that suits all of them.
LARGEST_RATIO = 2.0**30
# Steps stay where their inverses, and those of the finest ones, are finite.
SMALLEST, NEAREST, FARTHEST = 2.0**-1060, 2.0**-960, 2.0**1000


class Line:
    """phi(t) = f(x + t v, *args), on private float64 copies of x.

    Leaves that are Python floats reach f as Python floats, all others as NumPy arrays. The
    derivative of phi is `stretch` times that along `tangent`: v is the tangent divided by the
    mantissa that its entries share, if they do, so that x + t v is exact for more steps t.

    raises: InvalidParameters for leaves that are not real, finite floating numbers, ShapeMismatch
    """

    def __init__(
        self, f: Callable[..., Any], x: PyTree, tangent: PyTree, args: tuple[PyTree, ...]
    ) -> None:
        originals, self._structure = flatten(x)
        check_same_shapes("tangent", tangent, "x", x)
        names = leaf_names(x)
        self._f, self._args = f, args
        self._plain = [isinstance(leaf, float) for leaf in originals]
        self._x = [_float64("x", name, leaf) for name, leaf in zip(names, originals, strict=True)]
        self._v = [
            _float64("tangent", name, leaf)
            for name, leaf in zip(names, flatten(tangent)[0], strict=True)
        ]
        self.stretch = _shared_mantissa(self._v)
        self._v = [leaf / self.stretch for leaf in self._v]
        self.evaluations = 0
        self._origin: float | None = None

    def groups(self) -> list["Direction"]:
        """Split the tangent into directions within which one step suits every entry.

        Where an entry x is so large that x + t v rounds to x for the steps t that other entries
        need, its part of the derivative would be lost without a trace.
        """
        with np.errstate(over="ignore"):
            resolutions = [
                np.divide(EPSILON * size, np.abs(v), out=np.zeros(v.shape), where=v != 0)
                for size, v in zip(map(_sizes, self._x), self._v, strict=True)
            ]
        resolutions = [
            np.where(v != 0, np.clip(leaf, SMALLEST, FARTHEST), 0.0)
            for leaf, v in zip(resolutions, self._v, strict=True)
        ]
        groups = []
        while largest := max((float(leaf.max(initial=0.0)) for leaf in resolutions), default=0.0):
            members = [leaf > largest / LARGEST_RATIO for leaf in resolutions]
            v = [np.where(chosen, v, 0.0) for chosen, v in zip(members, self._v, strict=True)]
            groups.append(Direction(self, v, self._scale(members, v), largest))
            resolutions = [
                np.where(chosen, 0.0, leaf)
                for chosen, leaf in zip(members, resolutions, strict=True)
            ]
        return groups

    def _scale(self, members: list[np.ndarray], v: list[np.ndarray]) -> float:
        """Return the step that moves the leaf that is moved most by its own size."""
        steps = [
            _typical(_sizes(x)[chosen]) / _typical(moved[chosen])
            for x, chosen, moved in zip(self._x, members, v, strict=True)
            if chosen.any()
        ]
        return min(max(min(steps), NEAREST), FARTHEST)

    def value(self) -> float:
        """Return f(x), which is evaluated once."""
        if self._origin is None:
            self._origin = self._evaluate([leaf.copy() for leaf in self._x])
        return self._origin

    def displaced(self, t: float, v: list[np.ndarray]) -> float:
        return self._evaluate([x + t * direction for x, direction in zip(self._x, v, strict=True)])

    def _evaluate(self, leaves: list[np.ndarray]) -> float:
        self.evaluations += 1
        return real_number(self._f(self._arguments(leaves), *self._args))

    def _arguments(self, leaves: list[np.ndarray]) -> PyTree:
        return unflatten(
            self._structure,
            [
                float(leaf) if plain else leaf
                for leaf, plain in zip(leaves, self._plain, strict=True)
            ],
        )


class Direction:
    """One part of the tangent: phi(t), the scale of t, and the resolution of x + t v."""

    def __init__(self, line: Line, v: list[np.ndarray], scale: float, resolution: float) -> None:
        self._line, self._v = line, v
        self.scale, self.resolution = scale, resolution

    def __call__(self, t: float) -> float:
        return self._line.displaced(t, self._v) if t else self._line.value()


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


def _sizes(x: np.ndarray) -> np.ndarray:
    """Return the size of each entry; zeros count as what is typical for their leaf."""
    return np.where(x == 0, _typical(x) or 1.0, np.abs(x))


def _typical(entries: np.ndarray) -> float:
    """Return the root of the mean square, whose squares neither overflow nor underflow."""
    peak = float(np.abs(entries).max(initial=0.0))
    return peak * float(np.sqrt(np.mean((entries / peak) ** 2))) if peak else 0.0


def _shared_mantissa(leaves: list[np.ndarray]) -> float:
    """Return twice the mantissa that all entries other than 0 have in common, else 1."""
    mantissas = [np.frexp(np.abs(leaf[leaf != 0]))[0] for leaf in leaves]
    lowest = min((float(leaf.min(initial=1.0)) for leaf in mantissas), default=1.0)
    highest = max((float(leaf.max(initial=0.5)) for leaf in mantissas), default=1.0)
    return 2 * lowest if lowest == highest else 1.0
