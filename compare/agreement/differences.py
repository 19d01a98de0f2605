"""By how much gradients differ, pair by pair and leaf by leaf."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from .comparison import LeafDifference
from .engines import Answer, Point


def leaf_differences(
    answers: Mapping[str, Answer], point: Point, round_off: Callable[[str, str], float]
) -> Iterator[LeafDifference]:
    """Yield the largest difference of every pair of engines in every leaf that is not empty.

    round_off: how much is none for two labels, relative to the leaf's largest entry
    """
    for (first, mine), (second, theirs) in itertools.combinations(answers.items(), 2):
        for leaf, name in enumerate(point.names):
            known = np.intersect1d(mine.known(leaf), theirs.known(leaf))
            if not known.size:
                continue
            a, b = (given.leaves[leaf].reshape(-1)[known] for given in (mine, theirs))
            with np.errstate(invalid="ignore"):
                distance = np.where(a == b, 0.0, np.abs(a - b))  # infinities of one sign are equal
            distance[np.isnan(a) & np.isnan(b)] = 0.0
            # Where one of two is NaN so is the distance, and argmax finds it first.
            worst = int(np.argmax(distance))
            size = float(np.fmax(np.abs(a), np.abs(b)).max())
            largest = float(distance[worst])
            # The size is 0 where the one gradient is zero and the other is NaN.
            relative = largest / (size or math.nan) if largest else 0.0
            # A leaf that f does not depend on holds what cancelling slopes of f's size leave.
            reach = float(np.abs(point.leaves[leaf]).max()) or 1.0
            residue = round_off(first, second) * abs(mine.value) / reach
            index = np.unravel_index(known[worst], point.leaves[leaf].shape)
            yield LeafDifference(
                first,
                second,
                name,
                int(known.size),
                largest,
                relative,
                tuple(map(int, index)),
                not (relative <= round_off(first, second) or largest <= residue),
            )
