"""What every comparison ends in: a verdict, and the entries that are suspected."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Whether gradients agree, as far as could be told."""

    AGREE = "agree"
    DIFFER = "differ"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Suspect:
    """One gradient entry that is wrong by more than the arbiter's error bar.

    leaf: path such as "W1" or "layers[0].b", "" for a bare array; index: position in the leaf
    got: the candidate's derivative; expected: the arbiter's, known to within error_bar
    backend: whose gradient it is, where several are compared
    """

    leaf: str
    index: tuple[int, ...]
    got: float
    expected: float
    error_bar: float
    backend: str | None = None
