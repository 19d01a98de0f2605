"""Gradients that somebody claims, entry by entry against the balls that hold the true ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree

from gradparity.backends.errors import InvalidParameters, ShapeMismatch
from gradparity.backends.pytrees import PyTree, leaf_names

from ..verdicts import Suspect
from .arithmetic import arb
from .enclosed import upper
from .enclosing import Enclosure

# Significant bits of a number of each dtype.
BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


@dataclass(frozen=True)
class Claimed:
    """One leaf of a gradient that somebody claims: its numbers, and the bits of their dtype."""

    values: np.ndarray
    bits: int


def read_claim(
    gradient: PyTree, names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> list[Claimed]:
    """Line a gradient up with the parameters by the paths of its leaves; None counts as zeros.

    raises: ShapeMismatch for a leaf that is missing or has another shape, InvalidParameters for
        what is no real number
    """
    leaves = optree.tree_leaves(gradient, none_is_leaf=True)
    paths = leaf_names(optree.tree_map(lambda leaf: 0, gradient, none_is_leaf=True))
    offered = dict(zip(paths, leaves, strict=True))
    claims = []
    for name, shape in zip(names, shapes, strict=True):
        if name not in offered:
            listed = ", ".join(repr(path) for path in paths[:4])
            raise ShapeMismatch(
                f"the gradient has no leaf {name!r}; got {listed or 'no leaves'}, expected a "
                "pytree like params"
            )
        claim = _read_leaf(name, offered[name], shape)
        if claim.values.shape != shape:
            raise ShapeMismatch(
                f"leaf {name or 'params'}: the gradient has shape {claim.values.shape}, expected "
                f"that of the parameters, {shape}"
            )
        claims.append(claim)
    return claims


def _read_leaf(name: str, leaf: Any, shape: tuple[int, ...]) -> Claimed:
    if leaf is None:
        return Claimed(np.zeros(shape), BITS["float64"])
    dtype = str(getattr(leaf, "dtype", "float64")).removeprefix("torch.")
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu()
        leaf = (leaf.float() if dtype == "bfloat16" else leaf).numpy()
    array = np.asarray(leaf)
    if array.dtype.kind not in "biuf" and dtype not in BITS:
        raise InvalidParameters(
            f"leaf {name or 'params'}: the gradient holds {array.dtype}, expected real numbers"
        )
    return Claimed(array.astype(np.float64), BITS.get(dtype, 53))


@dataclass(frozen=True)
class Judgement:
    """How far the entries of a claimed leaf are from their balls.

    error: at most so far off, for each entry; wrong: entries that are proven to be off by more than
        rounding may be; right: those that are proven not to be; far: those off by `FAR` times that
    """

    error: np.ndarray
    wrong: np.ndarray
    right: np.ndarray
    far: np.ndarray

    @property
    def clear(self) -> bool:
        """Whether a bound that is measured better would change nothing."""
        return bool((self.right | self.far).all())


# No better measurement of rounding explains what is so many times beyond a rough one.
FAR = 64
Bound = Callable[[int, int, np.ndarray], Any]


def judge(claim: Claimed, enclosure: Enclosure, leaf: int, allowed: Sequence[Bound]) -> Judgement:
    """Judge one leaf.

    allowed: of bits, leaf and balls, how far off each entry may be: first what is within rounding
        of any f, then measurements, each better than the one before it
    """
    for number, bound in enumerate(allowed):
        judgement = _judged(
            claim, enclosure.leaves[leaf], bound(claim.bits, leaf, enclosure.leaves[leaf])
        )
        if judgement.right.all() or number > 0 and judgement.clear:
            break
    return judgement


def _judged(claim: Claimed, balls: Any, bounds: Any) -> Judgement:
    shape = balls.shape
    error = np.full(shape, np.inf)
    wrong, right, far = (np.zeros(shape, bool) for _ in range(3))
    for index in np.ndindex(shape):
        ball, number = balls[index], float(claim.values[index])
        if not ball.is_finite():
            continue
        if not np.isfinite(number):
            wrong[index] = far[index] = True
            continue
        off = abs(ball - arb(number))
        error[index] = upper(off)
        wrong[index] = off.abs_lower() > bounds[index]
        right[index] = off.abs_upper() <= bounds[index]
        far[index] = off.abs_lower() > FAR * bounds[index]
    return Judgement(error, wrong, right, far)


def relative_errors(values: np.ndarray, ball: arb) -> np.ndarray:
    """Return how far numbers are from what a ball holds, at most, over the size of that."""
    return np.asarray([upper((ball - arb(float(v))) / ball) for v in values.ravel()]).reshape(
        values.shape
    )


def suspects(name: str, claim: Claimed, balls: np.ndarray, judgement: Judgement) -> list[Suspect]:
    found = []
    for index in map(tuple, np.argwhere(judgement.wrong)):
        ball = balls[index]
        value = float(ball.mid())
        found.append(
            Suspect(
                leaf=name,
                index=tuple(int(i) for i in index),
                got=float(claim.values[index]),
                expected=value,
                error_bar=upper(ball - arb(value)),
            )
        )
    return found
