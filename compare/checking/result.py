"""The result of checking a derivative: one frozen record for every kind of claim, and its report.

A report is a few lines that a person can act on.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from gradparity.backends.displayed import MOST_LINES, Displayed

from ..low_precision.judging import Measurement
from ..low_precision.yardstick import Yardstick
from ..strict_json import strict
from ..verdicts import Suspect, Verdict, VerdictText
from .candidate import Problem

if TYPE_CHECKING:
    from ..proof.proof import Proof

Item = TypeVar("Item")

MOST_SUSPECTS = 10
# Of everything else, so that suspects find room.
MOST_OTHERS, MOST_NOTES = 3, 6


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
        bars of f's slopes, noise, and the rounding granted; relative to the whole gradient's size
        where the leaf is zero, or zero beside it but for rounding; NaN if it was not judged
    entry_resolution: the same for a single entry of typical size
    pattern: a guess at what is wrong, "" if nothing is
    more: whether more entries are wrong than are listed among the suspects
    share: the error over the measured rounding of eager's own gradient; NaN where none was measured
    at_least: whether the error is that of the suspects alone, where more entries are wrong
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
    at_least: bool = False

    def known_to(self, resolution: float) -> "LeafCheck":
        """Return it as no finer known than to a resolution."""
        one = max(self.entry_resolution, resolution * math.sqrt(math.prod(self.shape)))
        return replace(self, resolution=max(self.resolution, resolution), entry_resolution=one)


@dataclass(frozen=True)
class GradientCheck(Displayed):
    """Whether a derivative is right, and if not, how far off it is and where.

    claim: what was checked, such as "gradient" or "Jacobian"
    reason: the verdict in one sentence
    suspects: wrong entries with what is right and its bar, each once, the worst first
    pattern: a guess at what happened; problems: leaves of the wrong structure, shape or dtype
    kinks: entries where f has no derivative, with the interval of legal values
    unknown: what could not be judged, and why; notes: what else there is to know
    evaluations: calls of f; smoothness: the worst met, of smooth, stairs, kink, jump, not finite
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
        """Return the verdict, what it rests on, and the entries at fault; at most 25 lines."""
        above = [
            f"{self.verdict}: {self.reason}",
            *[f"the pattern is: {self.pattern}"] * bool(self.pattern),
            f"f = {self.value:.10g}, {self.smoothness} along all directions tried; "
            f"{self.evaluations} evaluations, seed {self.seed}",
            *[f"rounding: {self.measurement}"] * (self.measurement is not None),
            *[f"beside the yardstick {self.yardstick}"] * (self.yardstick is not None),
            *_some(self.problems, MOST_OTHERS, "leaves", _problem),
        ]
        below = [
            *_some(self.kinks, MOST_OTHERS, "kinks", _kink),
            *_some(self.unknown, MOST_OTHERS, "reasons", str),
            *_some(self.notes, MOST_NOTES, "notes", lambda note: f"note: {note}"),
            *_leaves(self.leaves),
        ]
        if self.suspects:
            room = max(MOST_LINES - len(above) - len(below) - 2, 1)
            above.append("wrong entries (got, expected ± error bar):")
            most = min(MOST_SUSPECTS, room)
            above += _some(self.suspects, most, "of them", _at_its_parameter)
        return above + below

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; numbers that JSON lacks become "nan", "inf" or "-inf"."""
        content: dict[str, Any] = strict(replace(self, proof=None))
        if self.proof is not None:
            content["proof"] = self.proof.to_dict()
        if self.yardstick is not None:
            content["yardstick"] = strict(self.yardstick.to_dict())
        return content


def place(leaf: str, index: Sequence[int]) -> str:
    """Write an entry as Python does: "W1[3, 1]"."""
    return (leaf or "params") + (f"[{', '.join(map(str, index))}]" if index else "")


def how_far_off(leaf: LeafCheck) -> str:
    """Write the error of a leaf as a person says it: "5 % off", "off by 1e-06 of its size"."""
    error, least = leaf.error, "at least " * leaf.at_least
    if math.isnan(error):
        return "wrong"
    if math.isinf(error):
        return "not finite, or not zero where it should be"
    if error >= 10:
        return f"off by {least}{error:.3g} times its size"
    if error >= 1e-3:
        return f"{least}{100 * error:.3g} % off"
    return f"off by {least}{error:.1e} of its size"


def sentence(check: GradientCheck, accepted: str = "") -> str:
    """Return the reason of a verdict: what it rests on, or what is wrong and by how much."""
    parameters = sum(math.prod(leaf.shape) for leaf in check.leaves)
    leaves = f"{len(check.leaves)} {'leaf' if len(check.leaves) == 1 else 'leaves'}"
    over = f"over {parameters:,} parameters in {leaves}"
    if check.verdict is Verdict.AGREE:
        return f"the {check.claim} is {_agreement(check, accepted)} {over}"
    if check.verdict is Verdict.CANNOT_TELL:
        if check.unknown:
            return check.unknown[0]
        if math.isnan(check.resolution):
            return f"nothing was resolved {over}"
        return (
            f"no error of the {check.claim} below {check.resolution:.1e} of its size "
            f"can be seen {over}"
        )
    wrong = [leaf for leaf in check.leaves if leaf.verdict is Verdict.DIFFER]
    foreign = [problem.text for problem in check.problems if not problem.leaf]
    if not wrong or (foreign and not check.suspects):
        return (foreign or [check.problems[0].text])[0]
    worst = max(wrong, key=lambda leaf: -1.0 if math.isnan(leaf.error) else leaf.error)
    text = f"{worst.leaf or f'the {check.claim}'} is {how_far_off(worst)}"
    if suspect := next((one for one in check.suspects if one.leaf == worst.leaf), None):
        text += f" (worst entry {_suspect(suspect)})"
    if len(wrong) > 1:
        names = ", ".join(leaf.leaf or "params" for leaf in wrong[:4] if leaf is not worst)
        more = f" and {len(wrong) - 4} more leaves" if len(wrong) > 4 else ""
        text += f"; {names}{more} wrong, too"
    return text


def _agreement(check: GradientCheck, accepted: str) -> str:
    within = f" within {accepted}" if accepted else ""
    if math.isnan(check.resolution):
        return f"legal at every kink{within}"
    if check.resolution == 0:
        return (
            f"exactly right{within}; f does not depend on params here: this proves nothing, and "
            "there is nothing to see"
        )
    entry = check.entry_resolution
    if check.rounding:
        return f"right to {check.resolution:.1e}, {check.rounding}{within}"
    return f"right to {check.resolution:.1e} (relative; a single entry to {entry:.1e}){within}"


def _problem(problem: Problem) -> str:
    return f"{problem.leaf}: {problem.text}" if problem.leaf else problem.text


def _suspect(suspect: Suspect) -> str:
    return (
        f"{place(suspect.leaf, suspect.index)}: got {suspect.got:.12g}, expected "
        f"{suspect.expected:.12g} ± {suspect.error_bar:.1e}"
    )


def _at_its_parameter(suspect: Suspect) -> str:
    at = "" if suspect.parameter is None else f", parameter {suspect.parameter:.6g}"
    return _suspect(suspect) + at


def _kink(kink: Kink) -> str:
    low, high = kink.interval
    legal = "is not a number" if math.isnan(kink.got) else "is legal"
    where = place(kink.leaf, kink.index)
    return f"{where}: a kink, {kink.got:.6g} {legal} (slopes {low:.6g} to {high:.6g})"


def _leaves(leaves: Sequence[LeafCheck]) -> list[str]:
    wrong = [leaf for leaf in leaves if leaf.verdict is Verdict.DIFFER]
    doubtful = [leaf for leaf in leaves if leaf.verdict is Verdict.CANNOT_TELL]
    lines = _some(wrong, MOST_OTHERS, "wrong leaves", _wrong_leaf) if len(wrong) > 1 else []
    lines += _some(doubtful, MOST_OTHERS, "leaves", _doubtful_leaf)
    more = [leaf.leaf or "params" for leaf in wrong if leaf.more]
    if more:
        names = ", ".join(more[:MOST_OTHERS]) + (", ..." if len(more) > MOST_OTHERS else "")
        lines.append(f"more entries than these are wrong in {names}")
    return lines


def _wrong_leaf(leaf: LeafCheck) -> str:
    return f"{leaf.leaf or 'params'}: {how_far_off(leaf)}" + (
        f" ({leaf.pattern})" if leaf.pattern else ""
    )


def _doubtful_leaf(leaf: LeafCheck) -> str:
    name = leaf.leaf or "params"
    if math.isnan(leaf.resolution):
        return f"{name}: resolved to nothing"
    return (
        f"{name}: errors below {leaf.resolution:.1e} of its size, or {leaf.entry_resolution:.1e} "
        "of a single entry's, cannot be seen"
    )


def _some(
    items: Sequence[Item], most: int, what: str, describe: Callable[[Item], str]
) -> list[str]:
    lines = [f"  {describe(item)}" for item in items[:most]]
    if len(items) > most:
        lines.append(f"  and {len(items) - most} more {what}")
    return lines
