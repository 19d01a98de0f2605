"""The result of comparing the gradients of several backends."""

import math
from dataclasses import dataclass
from typing import Any

from gradparity.backends.displayed import Displayed
from gradparity.backends.errors import GradparityError

from ..checking.result import LeafCheck
from ..strict_json import strict
from ..verdicts import Suspect, VerdictText


@dataclass(frozen=True)
class LeafDifference:
    """By how much two backends differ in one leaf.

    entries: how many were compared; a sample where one backend pays for each
    largest: the largest absolute difference, at `index`; NaN where one of the two is NaN
    relative: that over the largest entry of the leaf in either backend, in [0, 2]; of a leaf that
        is zero but for rounding, over what the whole gradient has
    beyond_round_off: whether it is more than roundings of that entry explain
    """

    first: str
    second: str
    leaf: str
    entries: int
    largest: float
    relative: float
    index: tuple[int, ...]
    beyond_round_off: bool


@dataclass(frozen=True)
class Convention:
    """What the backends return at a kink, where every slope between left and right is legal.

    interval: the one-sided derivatives, sorted; values: one for each backend
    """

    leaf: str
    index: tuple[int, ...]
    interval: tuple[float, float]
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class SecondOpinion:
    """Whether another way to the gradient inside one backend gives the same.

    way: such as "forward mode" or "jit"; wrong: the way that was found wrong, if any
    """

    backend: str
    way: str
    agrees: bool
    wrong: str | None = None


@dataclass(frozen=True)
class Comparison(Displayed):
    """Whether gradients agree, and if not, whose is wrong and where.

    blamed: backends whose gradient, or value where there are three, is wrong
    suspects: the wrong entries, each with its backend; pattern: a guess at what happened
    evaluations: calls of f by the checks; smoothness: the worst that it met
    leaves: for each leaf, what is said of the worst backend's
    resolution: the smallest error of a leaf, relative to its size, that would have been seen; of
        the worst leaf and backend, NaN where nothing was judged
    differences: every pair of backends and leaf; aliases: a backend's own names for leaves
    values: f as each backend computes it; left_out: backends not compared, with the reason
    seed: of the random directions and of samples
    """

    verdict: VerdictText
    blamed: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    reason: str
    backends: tuple[str, ...]
    dtype: str
    seed: int
    parameters: int
    values: tuple[tuple[str, float], ...]
    leaves: tuple[LeafCheck, ...] = ()
    differences: tuple[LeafDifference, ...] = ()
    conventions: tuple[Convention, ...] = ()
    second_opinions: tuple[SecondOpinion, ...] = ()
    notes: tuple[str, ...] = ()
    pattern: str = ""
    evaluations: int = 0
    smoothness: str = "smooth"
    resolution: float = math.nan
    left_out: tuple[tuple[str, str], ...] = ()
    aliases: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()

    def lines(self) -> list[str]:
        from .comparison_report import report

        return report(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; numbers that JSON lacks become "nan", "inf" or "-inf"."""
        content: dict[str, Any] = strict(self)
        for pairs in ("values", "left_out", "aliases"):
            content[pairs] = dict(content[pairs])
        content["aliases"] = {name: dict(leaves) for name, leaves in content["aliases"].items()}
        for convention in content["conventions"]:
            convention["values"] = dict(convention["values"])
        return content


class Disagreement(GradparityError, AssertionError):
    """Gradients were asserted to agree, and do not; the message is the report."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(str(comparison))
        self.comparison = comparison
