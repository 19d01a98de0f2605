"""Recognise faults of whole leaves, and pick the entries that show them."""

from collections.abc import Iterable, Sequence

import numpy as np

from .bisection import EXAMPLES, search_entries
from .black_box import Direction
from .directions import restrict
from .entries import examine
from .fault_patterns import is_rounded_to_float32, repairs
from .trial import Finding, Trial

# Entries tried, largest first; rounding one to float32 may happen to change little.
TRIES = 8
# Slopes known so well tell repairs apart.
SHARP = 1e-6
RESOLVED = 1e-3
# A repair has to explain nearly all of what is wrong along both directions.
EXPLAINED = 1e-2
FLOAT32 = 2.0**-23


class Recognition:
    """Undo known faults of a leaf; a repair counts where it fits along another direction, too.

    counts: lengths that a mean may have been taken over; round_: whose directions confirm
    """

    def __init__(self, counts: Iterable[int], round_: int) -> None:
        self.counts = tuple(counts)
        self.round = round_

    def __call__(self, trial: Trial, finding: Finding, weights: Sequence[np.ndarray]) -> bool:
        """Deal with a whole leaf at fault; return False where its entries must be searched."""
        (span,) = finding.region.spans
        record, given = trial.records[span.leaf], trial.original[span.leaf]
        if not given.any():
            record.pattern, record.closed = "detached (zero)", True
            record.more = bool(search_entries(trial, finding, weights, EXAMPLES))
            return True
        if given.size == 1:
            return False
        return self._rounded(trial, finding) or self._repair(trial, finding, weights)

    def _repair(self, trial: Trial, finding: Finding, weights: Sequence[np.ndarray]) -> bool:
        leaf, region = finding.region.spans[0].leaf, finding.region
        names, shapes = trial.black_box.names, [like.shape for like in trial.black_box.leaves]
        shaped = [flat.reshape(shape) for flat, shape in zip(trial.gradient, shapes, strict=True)]
        others = [(names[i], other) for i, other in enumerate(shaped) if i != leaf]
        witness = _Witness(trial, leaf, restrict(weights, region))
        if not witness.resolved:
            return False
        second: _Witness | None = None
        factor = witness.slope / witness.predicted if witness.predicted else 0.0
        repaired_leaves = (
            *repairs(shaped[leaf], others, self.counts),
            (f"constant factor {1 / factor if factor else 0:.6g}", shaped[leaf] * factor),
        )
        for pattern, repaired in repaired_leaves:
            if not witness.confirms(repaired):
                continue
            second = second or _Witness(trial, leaf, restrict(trial.weights(self.round), region))
            if second.confirms(repaired):
                return self._accept(trial, leaf, pattern, repaired)
        return False

    def _accept(self, trial: Trial, leaf: int, pattern: str, repaired: np.ndarray) -> bool:
        """Examine the entries that the repair changes most: one of them has to be wrong."""
        record, fault = trial.records[leaf], trial.gradient[leaf]
        trial.gradient[leaf] = np.ascontiguousarray(repaired).reshape(-1).copy()
        gaps = np.abs(trial.original[leaf] - trial.gradient[leaf])
        wrong = int(np.count_nonzero(gaps > trial.tolerance[leaf]))
        suspects = sum(examine(trial, leaf, int(entry)) for entry in np.argsort(-gaps)[:EXAMPLES])
        if not suspects:
            trial.gradient[leaf] = fault
            return False
        record.pattern, record.more = pattern, wrong > suspects
        return True

    def _rounded(self, trial: Trial, finding: Finding) -> bool:
        (span,) = finding.region.spans
        leaf, record = span.leaf, trial.records[span.leaf]
        given = trial.original[leaf]
        if not (
            abs(finding.residual) <= FLOAT32 * trial.sizes[leaf]
            and trial.epsilons[leaf] < FLOAT32
            and is_rounded_to_float32(given)
        ):
            return False
        before = len(trial.suspects)
        for entry in np.argsort(-np.abs(given))[:TRIES]:
            examine(trial, leaf, int(entry))
            if len(trial.suspects) - before == EXAMPLES:
                break
        if len(trial.suspects) == before:
            return False
        record.pattern, record.more, record.closed = "rounded to float32", True, True
        return True


class _Witness:
    """The slope of f along one direction, and whether a repaired leaf would explain it."""

    def __init__(self, trial: Trial, leaf: int, direction: Direction) -> None:
        ((_, self._weights),) = direction.items()
        self.slope, error = trial.meter.slope(direction, SHARP)
        self.predicted = trial.predicted(direction)
        self._uncertain = error + trial.allowance(direction)
        self._residual = abs(self.predicted - self.slope)

    @property
    def resolved(self) -> bool:
        """Tell whether the slope is known so well that only a right leaf would explain it."""
        return self._uncertain <= RESOLVED * abs(self.slope)

    def confirms(self, repaired: np.ndarray) -> bool:
        residual = abs(float(repaired.reshape(-1) @ self._weights) - self.slope)
        return residual <= EXPLAINED * self._residual and residual <= 2 * self._uncertain
