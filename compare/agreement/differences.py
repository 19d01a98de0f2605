"""By how much gradients differ, pair by pair and leaf by leaf."""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from gradparity.backends.precision import UNIT_ROUNDOFF

from ..checking.candidate import rounding_bounds
from ..checking.checker import GradientChecker
from ..checking.thresholds import DIGITS
from ..engines.engines import Answer, Engine
from .comparison import LeafDifference

# Roundings of the whole gradient that a leaf may hold, and be zero but for them.
DUST_UNITS = 64
DOUBLE = UNIT_ROUNDOFF["float64"]

if TYPE_CHECKING:
    from .comparing import Opinion


def leaf_differences(
    opinions: Mapping[str, "Opinion"],
    answers: Mapping[str, Answer],
    checkers: Mapping[str, GradientChecker],
) -> Iterator[LeafDifference]:
    """Yield the largest difference of every pair of engines in every leaf that is not empty."""
    read = {label: answers[label].read(checkers[label].function).slopes for label in opinions}
    for pair in itertools.combinations(opinions, 2):
        first, second = pair
        total = max(float(np.nanmax(np.abs(one), initial=0.0)) for one in read[first])
        for position, leaf in enumerate(checkers[first].function.leaves):
            a, b = (read[label][position] for label in (first, second))
            known = _known_to_both(answers[first], answers[second], position)
            if known is not None:
                a, b = a[known], b[known]
            if not a.size:
                continue
            with np.errstate(invalid="ignore"):
                distance = np.abs(a - b)
            if not np.isfinite(distance.max()):
                # Infinities of one sign are equal, and two NaN.
                distance[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
            # Where one of two is NaN so is the distance, and argmax finds it first.
            worst = int(np.argmax(distance))
            size = float(np.fmax(np.abs(a), np.abs(b)).max())
            largest = float(distance[worst])
            granted = _granted(opinions[first].engine, opinions[second].engine, a, b)
            # A leaf that is zero but for rounding is measured against the whole gradient.
            whole = max(total, abs(answers[first].value) / leaf.scale)
            beyond = not (largest <= granted[worst] or largest <= DUST_UNITS * DOUBLE * whole)
            unit = max(UNIT_ROUNDOFF[opinions[label].engine.backend.dtype] for label in pair)
            size = whole if size <= DUST_UNITS * unit * whole else size
            relative = largest / size if largest and size else math.nan if largest else 0.0
            yield LeafDifference(
                first,
                second,
                leaf.name,
                a.size,
                largest,
                relative,
                leaf.index(worst if known is None else int(known[worst])),
                beyond,
            )


def _known_to_both(first: Answer, second: Answer, position: int) -> np.ndarray | None:
    """Return the flat indices of a leaf for which both engines were asked, None for all."""
    asked = [one.entries[position] for one in (first, second) if one.entries is not None]
    return functools.reduce(np.intersect1d, asked) if asked else None


def _granted(first: Engine, second: Engine, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how much of a difference is rounding, or the error of differences."""
    if first.differences or second.differences:
        (granted,) = rounding_bounds([np.fmax(np.abs(a), np.abs(b))], [DIGITS])
        return granted
    unit = max(UNIT_ROUNDOFF[engine.backend.dtype] for engine in (first, second))
    (granted,) = rounding_bounds([np.fmax(np.abs(a), np.abs(b))], [32 * unit])
    return granted
