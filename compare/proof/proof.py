"""A gradient enclosed by arithmetic that cannot err, and what that proves of a candidate."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gradparity.backends.displayed import Displayed
from gradparity.backends.pytrees import PyTree

from ..verdicts import Suspect

# For type checkers, as `VerdictText` is.
ProofText: TypeAlias = Literal["proved right", "proved wrong", "not proved"]

if TYPE_CHECKING:

    class ProofVerdict:
        RIGHT: ProofText
        WRONG: ProofText
        NOT_PROVED: ProofText

else:

    class ProofVerdict(StrEnum):
        """What a proof has come to."""

        RIGHT = "proved right"
        WRONG = "proved wrong"
        NOT_PROVED = "not proved"


@dataclass(frozen=True)
class LeafProof:
    """What is proven of one leaf.

    digits: of its least known entry; largest: |entry|, at least
    error: of the candidate's worst entry, at most; relative_error: error / largest;
        entry_error: the largest error of an entry over the entry itself. NaN without a candidate
    """

    leaf: str
    shape: tuple[int, ...]
    digits: float
    largest: float
    error: float = math.nan
    relative_error: float = math.nan
    entry_error: float = math.nan


@dataclass(frozen=True, eq=False)
class Proof(Displayed):
    """Enclosures of all entries of a gradient, and what they prove of a candidate.

    value, radius: pytrees like params, of float64: each exact derivative lies within value ± radius
    digits: to which every entry is known, in the balls themselves; entries below 10**-digits of
        their leaf's largest are counted as if they were of that size
    verdict: "proved right" also where no candidate was given and every entry has its digits
    error, relative_error, entry_error: the worst leaf's, see `LeafProof`
    suspects: entries proved wrong, with got, expected ± error_bar
    precision: bits of the balls' midpoints; enclosures: the balls, `flint.arb`, like params
    """

    value: PyTree
    radius: PyTree
    digits: float
    verdict: ProofText
    reason: str
    leaves: tuple[LeafProof, ...]
    suspects: tuple[Suspect, ...] = ()
    precision: int = 0
    seconds: float = 0.0
    enclosures: PyTree = field(default=None, repr=False)

    @property
    def worst(self) -> LeafProof | None:
        """The leaf in which a candidate is farthest off, relative to the leaf's largest entry."""
        known = [leaf for leaf in self.leaves if not math.isnan(leaf.relative_error)]
        return max(known, key=lambda leaf: leaf.relative_error, default=None)

    @property
    def error(self) -> float:
        return max((leaf.error for leaf in self.leaves), default=math.nan)

    @property
    def relative_error(self) -> float:
        return max((leaf.relative_error for leaf in self.leaves), default=math.nan)

    @property
    def entry_error(self) -> float:
        return max((leaf.entry_error for leaf in self.leaves), default=math.nan)

    def lines(self) -> list[str]:
        from .proof_report import report

        return report(self).splitlines()

    def _repr_html_(self) -> str:
        from .proof_report import to_html

        return to_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        from .proof_report import to_dict

        return to_dict(self)
