"""What has been found out about a claim, part by part."""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WrongEntry:
    """An entry that is wrong: what was claimed, and the slope with its bar, per unit of it.

    measured: whether differences of f said so themselves, and not a certified reference
    """

    leaf: int
    entry: int
    got: float
    expected: float
    bar: float
    measured: bool = True


@dataclass(frozen=True)
class LegalEntry:
    """An entry at a kink: every slope in the interval is a derivative there."""

    leaf: int
    entry: int
    got: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Found:
    """The findings about some region of a claim; those of two regions add up.

    resolution: for each leaf that fits, the worst of what its parts are known to
    wrong: entries; wrong_leaves: leaves that are wrong as a whole, whether or not an entry shows it
    decided: entries that have been judged one by one, by leaf
    unknown: by leaf, why it cannot be told
    """

    resolution: Mapping[int, float] = field(default_factory=dict)
    entry_resolution: Mapping[int, float] = field(default_factory=dict)
    wrong: tuple[WrongEntry, ...] = ()
    legal: tuple[LegalEntry, ...] = ()
    wrong_leaves: frozenset[int] = frozenset()
    unknown: tuple[tuple[int, str], ...] = ()
    decided: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: "Found") -> "Found":
        return Found(
            _worst(self.resolution, other.resolution),
            _worst(self.entry_resolution, other.entry_resolution),
            tuple(dict.fromkeys(self.wrong + other.wrong)),
            self.legal + other.legal,
            self.wrong_leaves | other.wrong_leaves,
            self.unknown + other.unknown,
            self.decided + other.decided,
        )

    @property
    def all_fits(self) -> bool:
        return not (self.wrong or self.wrong_leaves or self.unknown)

    def decided_by_leaf(self) -> dict[int, list[int]]:
        entries: dict[int, list[int]] = {}
        for leaf, entry in self.decided:
            entries.setdefault(leaf, []).append(entry)
        return entries

    def decided_in(self, leaf: int) -> int:
        return len({entry for where, entry in self.decided if where == leaf})

    def wrong_in(self, leaf: int) -> int:
        return self._wrong_entries[leaf]

    @functools.cached_property
    def _wrong_entries(self) -> Counter[int]:
        return Counter(one.leaf for one in self.wrong)

    @functools.cached_property
    def unknown_leaves(self) -> frozenset[int]:
        return frozenset(leaf for leaf, _ in self.unknown)


def _worst(first: Mapping[int, float], second: Mapping[int, float]) -> Mapping[int, float]:
    if not (first and second):
        return first or second
    worst = dict(first)
    for leaf, resolution in second.items():
        worst[leaf] = max(worst.get(leaf, 0.0), resolution)
    return worst
