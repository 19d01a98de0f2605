"""What every comparison ends in: a verdict, and the entries that are suspected."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

# What type checkers take a verdict for. They let an Enum of strings be compared with any text, and
# nobody would hear that `check.verdict == "agrees"` is never true.
VerdictText: TypeAlias = Literal["agree", "differ", "cannot tell"]

if TYPE_CHECKING:

    class Verdict:
        AGREE: VerdictText
        DIFFER: VerdictText
        CANNOT_TELL: VerdictText

else:

    class Verdict(StrEnum):
        """Whether gradients agree, as far as could be told."""

        AGREE = "agree"
        DIFFER = "differ"
        CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Suspect:
    """One gradient entry that is wrong by more than the error bar of what is right.

    leaf: path such as "W1" or "layers[0].b", "" for a bare array; index: position in the leaf
    got: the candidate's derivative; expected: what f has, known to within error_bar; complex
    numbers where the parameter is complex
    backend: whose gradient it is, where several are compared
    parameter: what the parameter is there; None where the leaf is one of f's output
    """

    leaf: str
    index: tuple[int, ...]
    got: float | complex
    expected: float | complex
    error_bar: float
    backend: str | None = None
    parameter: float | complex | None = None
