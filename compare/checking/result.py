"""The result of checking a derivative: one frozen record for every kind of claim."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gradparity.backends.displayed import Displayed

from ..low_precision.judging import Measurement
from ..low_precision.yardstick import Yardstick
from ..strict_json import strict
from ..verdicts import Suspect, VerdictText
from .candidate import Problem

if TYPE_CHECKING:
    from ..proof.proof import Proof


@dataclass(frozen=True)
class Kink:
    """An entry at which f has no derivative, and every slope in the interval is legal."""

    leaf: str
    index: tuple[int, ...]
    got: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class LeafCheck:
    """What a check says about one leaf.

    error: how far off it is, the norm of what is wrong over the leaf's norm; NaN where unknown
    resolution: the smallest error of the leaf, relative to its size, that would have been seen:
        bars of f's slopes, noise, and the rounding granted; NaN if it was not judged
    entry_resolution: the same for a single entry of typical size
    pattern: a guess at what is wrong, "" if nothing is
    more: whether more entries are wrong than are listed among the suspects
    share: the error over the measured rounding of eager's own gradient; NaN where none was measured
    """

    leaf: str
    shape: tuple[int, ...]
    verdict: VerdictText
    error: float
    resolution: float
    entry_resolution: float
    pattern: str = ""
    more: bool = False
    share: float = math.nan


@dataclass(frozen=True)
class GradientCheck(Displayed):
    """Whether a derivative is right, and if not, how far off it is and where.

    claim: what was checked, such as "gradient" or "Jacobian"
    reason: the verdict in one sentence
    suspects: wrong entries with what is right and its bar, each once, the worst first
    pattern: a guess at what happened; problems: leaves of the wrong structure, shape or dtype
    kinks: entries where f has no derivative, with the interval of legal values
    unknown: what could not be judged, and why; notes: what else there is to know
    evaluations: calls of f; smoothness: the worst met
    resolution: of the worst leaf, relative; see LeafCheck
    value: of f; seed: of the random directions; reference: the engine whose gradient was certified
    proof: where one was asked for
    rounding: how the error compares with measured rounding, in words; "" where none was measured
    measurement: what that rests on: engine, dtype, runs and confidence
    yardstick: the accuracy beside that of another gradient, where one was given
    """

    verdict: VerdictText
    reason: str
    suspects: tuple[Suspect, ...]
    pattern: str
    problems: tuple[Problem, ...]
    leaves: tuple[LeafCheck, ...]
    kinks: tuple[Kink, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    evaluations: int
    smoothness: str
    resolution: float
    value: float
    seed: int
    claim: str = "gradient"
    reference: str = ""
    proof: "Proof | None" = None
    rounding: str = ""
    measurement: Measurement | None = None
    yardstick: Yardstick | None = None

    @property
    def entry_resolution(self) -> float:
        """The smallest error of a single entry of typical size that would have been seen."""
        known = [leaf.entry_resolution for leaf in self.leaves]
        return max((one for one in known if not math.isnan(one)), default=math.nan)

    def lines(self) -> list[str]:
        from .report import report

        return report(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; numbers that JSON lacks become "nan", "inf" or "-inf"."""
        content: dict[str, Any] = strict(replace(self, proof=None))
        if self.proof is not None:
            content["proof"] = self.proof.to_dict()
        if self.yardstick is not None:
            content["yardstick"] = strict(self.yardstick.to_dict())
        return content
