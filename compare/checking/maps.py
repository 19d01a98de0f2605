"""Claims about maps with many outputs, as claims about real functions of one kind or another.

A Jacobian J of F claims that <w, F(x + t v)> has the slope <w, J v>, for every w and v. With w
fixed it is a gradient, with v fixed a pushforward, whose entries are those of the output. A Hessian
is the Jacobian of a gradient.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from gradparity.backends.checks import is_floating
from gradparity.backends.errors import NonScalarLoss
from gradparity.backends.precision import EPSILON, dtype_name
from gradparity.backends.pytrees import PyTree, flatten, leaf_names, private_numpy

from .function import Direction, Function, Leaf, complex_numpy, real_parts, typical_size
from .thresholds import LAST_BITS, OTHER_SCALE


class Outputs:
    """The outputs of F at x + t v as a function of t: what a pushforward claims slopes of.

    Its directions are weights of the outputs, so that F is evaluated once for all of them.

    function: of F, with any cotangent; tangent: v, flat, for each of its leaves
    leaves: of the output, each at the scale of 1 over its size
    """

    def __init__(self, function: Function, tangent: Sequence[np.ndarray]) -> None:
        self.function = function
        self._tangent = tangent
        # A shift of 1 moves the leaf that is moved most, relatively, by its own size.
        ratios = [
            leaf.scale / float(np.abs(v).max())
            for leaf, v in zip(function.leaves, tangent, strict=True)
            if v.any()
        ]
        self._unit = 2.0 ** round(math.log2(min(ratios))) if ratios else 1.0
        self._seen: dict[float, np.ndarray | None] = {}
        origin = function.outputs({})
        self.value = float(function.value)
        self.leaves = output_leaves(origin)
        self._seen[0.0] = _flat(origin, self.leaves)
        again = _flat(function.outputs({}), self.leaves)
        here = self._seen[0.0]
        assert here is not None
        apart = np.abs(again - here)
        size = np.maximum(np.abs(again), np.abs(here))
        self.random = not bool(
            np.all((apart <= LAST_BITS * size) | (np.isnan(again) & np.isnan(here)))
        )
        self.again = again
        self._cuts = np.cumsum([0, *(leaf.size for leaf in self.leaves)])

    @property
    def evaluations(self) -> int:
        return self.function.evaluations

    @property
    def unsteadiness(self) -> float:
        here = self._seen[0.0]
        assert here is not None
        return (
            0.0 if self.random else float(np.abs(self.again - here).max(initial=0.0)) / self._unit
        )

    @property
    def blocked(self) -> str:
        here = self._seen[0.0]
        assert here is not None
        if self.random:
            entry = int(np.argmax(np.abs(self.again - here)))
            return (
                f"f gives {here[entry]:.10g} and {self.again[entry]:.10g} at the same point: fix "
                "its seed, or call model.eval()"
            )
        if not np.isfinite(here).all():
            return "f is not finite at the parameters: there is no derivative to compare with"
        return ""

    @property
    def remarks(self) -> tuple[str, ...]:
        return self.function.remarks

    def along(self, direction: Direction) -> Callable[[float], float]:
        """Return `t -> <weights, F(x + t unit v)> / unit`, of which the slope is <weights, J v>."""

        def value(shift: float) -> float:
            if shift not in self._seen:
                moved = {
                    position: leaf.array
                    + shift * self._unit * self._tangent[position].reshape(leaf.array.shape)
                    for position, leaf in enumerate(self.function.leaves)
                    if self._tangent[position].any()
                }
                output = self.function.outputs(moved)
                self._seen[shift] = None if output is None else _flat(output, self.leaves)
            there = self._seen[shift]
            if there is None:
                return math.nan
            total = 0.0
            for span, weights in direction.items():
                start = self._cuts[span.leaf]
                part = slice(start + span.start, start + span.stop)
                with np.errstate(all="ignore"):  # outputs beyond a domain may be infinite
                    total += float(there[part] @ weights)
            return total / self._unit

        return value

    def entry_steps(self, leaf: int, entry: int) -> tuple[float, float]:
        """Return two unrelated steps for the slope of one output."""
        return 1.0, OTHER_SCALE

    def resolution(self, direction: Direction) -> float:
        """Return the spacing of shifts that the moved entries can tell apart."""
        spacings = [
            EPSILON
            * float(np.abs(leaf.array).max(initial=0.0))
            / float(np.abs(v).max())
            / self._unit
            for leaf, v in zip(self.function.leaves, self._tangent, strict=True)
            if v.any()
        ]
        return max(spacings, default=0.0)


def output_leaves(output: PyTree) -> tuple[Leaf, ...]:
    """Return the leaves of an output, each at the scale 1 over its typical size."""
    leaves = []
    for name, leaf in zip(leaf_names(output), flatten(output)[0], strict=True):
        is_complex = dtype_name(leaf).startswith("complex")
        array = complex_numpy(leaf) if is_complex else private_numpy(leaf, "float64")
        if not is_complex and not is_floating(array.dtype):
            raise NonScalarLoss(
                f"f returned {array.dtype} in leaf {name or 'output'}, expected floating numbers"
            )
        if is_complex:
            array = real_parts(array)
        leaves.append(
            Leaf(name, np.asarray(array), 1 / typical_size(np.asarray(array)), is_complex)
        )
    return tuple(leaves)


def _flat(output: PyTree, leaves: Sequence[Leaf]) -> np.ndarray:
    parts = []
    for leaf, described in zip(flatten(output)[0], leaves, strict=True):
        if described.is_complex:
            parts.append(complex_numpy(leaf).reshape(-1).view(np.float64))
        else:
            parts.append(private_numpy(leaf, "float64").reshape(-1))
    return np.concatenate(parts) if parts else np.zeros(0)
