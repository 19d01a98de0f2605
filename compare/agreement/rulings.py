"""What the arbiter says of a single number that claims to be a derivative."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ..checking.black_box import Span
from ..checking.candidate import EPSILONS, Candidate
from ..checking.entries import examine
from ..checking.meter import Meter
from ..checking.trial import Trial
from ..verdicts import Suspect
from .branches import Branch, branch_at_jump

Kind: TypeAlias = Literal["right", "legal", "not a number", "open", "wrong"]

# By so much a smooth slope does not change over a millionth of its argument's scale.
BEND = 2.0**-10


@dataclass(frozen=True)
class Ruling:
    """What the arbiter says of a number that claims to be the derivative by one entry.

    kind: "legal" and "not a number" are said where there is no derivative, "open" where there is
        not even one on a side
    interval: of legal values, each known to within bar; suspect: the entry if it is wrong
    """

    kind: Kind
    interval: tuple[float, float]
    bar: float
    suspect: Suspect | None = None


class Rulings:
    """Rules on numbers by what can be measured of one function, each number only once."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._rulings: dict[tuple[int, int, str], Ruling] = {}
        self._branches: dict[tuple[int, int], Branch | None] = {}

    def rule(self, leaves: Sequence[np.ndarray], leaf: int, entry: int, got: float) -> Ruling:
        """Return what the arbiter says of a number that claims to be the derivative by one entry.

        leaves: the float64 gradient that the number belongs to

        Where f jumps and is continuous on one side, the branch that f takes at the point is known,
        and with it the derivative.
        """
        key = (leaf, entry, repr(got))  # NaN is not equal to itself
        if key not in self._rulings:
            own = tuple(np.array(array) for array in leaves)
            own[leaf].reshape(-1)[entry] = got
            exact = (EPSILONS["float64"],) * len(own)
            trial = Trial(self._meter, Candidate(own, exact, (), {}))
            branch = self._branch(leaf, entry)
            self._rulings[key] = (
                _rule_at_jump(trial, branch, leaf, entry, got)
                if branch is not None
                else self._rule(trial, leaf, entry, got)
            )
        return self._rulings[key]

    def _rule(self, trial: Trial, leaf: int, entry: int, got: float) -> Ruling:
        estimate = self._meter.entry(leaf, entry)
        if examine(trial, leaf, entry):
            suspect = trial.suspects[-1]
            if meeting := _kinks_meet(self._meter, suspect, leaf, entry):
                return Ruling("legal", meeting, suspect.error_bar)
            return Ruling("wrong", (suspect.expected, suspect.expected), suspect.error_bar, suspect)
        if trial.kinks:
            kind: Kind = "not a number" if math.isnan(got) else "legal"
            return Ruling(kind, trial.kinks[-1].interval, max(estimate.one_sided_error))
        if estimate.smoothness != "smooth":
            return Ruling("open", (-math.inf, math.inf), math.inf)
        return Ruling("right", (estimate.value, estimate.value), estimate.error)

    def _branch(self, leaf: int, entry: int) -> Branch | None:
        if (leaf, entry) not in self._branches:
            black_box = self._meter.black_box
            phi = black_box.along({Span(leaf, entry, entry + 1): np.ones(1)})
            self._branches[leaf, entry] = branch_at_jump(phi, black_box.scales[leaf])
        return self._branches[leaf, entry]


def _kinks_meet(
    meter: Meter, suspect: Suspect, leaf: int, entry: int
) -> tuple[float, float] | None:
    """Return the slopes around a point, if they differ and a value lies between them.

    Where several kinks meet, f may be smooth along each entry and not in between, as the largest
    minus the smallest of equal numbers is.
    """
    got, expected = suspect.got, suspect.expected
    if not abs(got - expected) >= BEND * max(abs(got), abs(expected)):
        return None
    low, high = meter.slopes_nearby(leaf, entry, got, (expected, expected))
    return (low, high) if low <= got <= high else None


def _rule_at_jump(trial: Trial, branch: Branch, leaf: int, entry: int, got: float) -> Ruling:
    if branch.slope is None:
        return Ruling("open", (-math.inf, math.inf), math.inf)
    legal = (branch.slope, branch.slope)
    if math.isnan(got):
        return Ruling("not a number", legal, branch.error)
    slack = branch.error + float(trial.tolerance[leaf][entry])
    if abs(got - branch.slope) <= slack:
        return Ruling("right", legal, branch.error)
    name, shape = trial.black_box.names[leaf], trial.black_box.leaves[leaf].shape
    index = tuple(map(int, np.unravel_index(entry, shape)))
    return Ruling(
        "wrong", legal, branch.error, Suspect(name, index, got, branch.slope, branch.error)
    )
