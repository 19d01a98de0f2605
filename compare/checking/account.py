"""Account for a claim by slopes alone: it fits as a whole, or is taken apart until it is known."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradparity.backends.precision import EPSILON

from .leaves import Span
from .score import Claim, Directions, Region, Score, resolution
from .slope import Slope
from .spending import BudgetSpent
from .surroundings import Surroundings
from .thresholds import (
    CLEAR,
    CONFIRMED,
    DROWNED,
    ENOUGH,
    GRAINS,
    LISTED,
    ORDER,
    OTHER_SCALE,
    PAIRS,
    PLAINLY,
    ROUNDINGS,
    SHORTER,
    WRONG,
)

# Directions of later rounds, so that they have nothing to do with the first two.
CONFIRMING_ROUNDS = (20, 21)
# Below the exponent of every number.
UNACCEPTED = -(2**12)
SMALL_ROUND = 40


@dataclass(frozen=True)
class WrongEntry:
    """An entry that is wrong: what was claimed, and the slope with its bar, per unit of it."""

    leaf: int
    entry: int
    got: float
    expected: float
    bar: float


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

    @functools.cached_property
    def wrong_in(self) -> Counter[int]:
        """The number of wrong entries that are known, by leaf."""
        return Counter(one.leaf for one in self.wrong)

    @functools.cached_property
    def decided_in(self) -> dict[int, list[int]]:
        """The entries that have been judged one by one, by leaf."""
        entries: dict[int, list[int]] = {}
        for leaf, entry in dict.fromkeys(self.decided):
            entries.setdefault(leaf, []).append(entry)
        return entries

    @functools.cached_property
    def unknown_leaves(self) -> frozenset[int]:
        return frozenset(leaf for leaf, _ in self.unknown)


def unknown(leaves: Sequence[int], why: str) -> Found:
    return Found(unknown=tuple((leaf, why) for leaf in leaves))


def _worst(first: Mapping[int, float], second: Mapping[int, float]) -> Mapping[int, float]:
    if not (first and second):
        return first or second
    worst = dict(first)
    for leaf, rho in second.items():
        worst[leaf] = max(worst.get(leaf, 0.0), rho)
    return worst


@dataclass(frozen=True)
class Account:
    """Judges claims about one function by its slopes.

    last: the number of evaluations after which the budget is spent; why: what is said then
    entries: whether single entries are judged, or only leaves
    """

    directions: Directions
    last: int
    entries: bool = True
    why: str = "the budget of evaluations was spent"

    @property
    def spent(self) -> bool:
        return self.directions.function.evaluations > self.last

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(self.directions)

    def of(self, claim: Claim) -> Found:
        """Judge all that is open, along two independent random directions."""
        found = Found()
        for part, round_ in itertools.product(_levels(claim), (0, 1)):
            part = part.without(found.decided_in)
            region = tuple(span for span in part.whole() if span.leaf not in found.wrong_leaves)
            found += self._region(part, region, round_)
        claim = claim.without(found.decided_in)
        return found + self._small(claim, found) if self.entries else found

    def at_once(self, claim: Claim) -> Found | None:
        """Return what is found where the claim fits as a whole, and as finely as promised."""
        found = Found()
        if len(_levels(claim)) > 1:
            return None
        try:
            for round_ in (0, 1):
                score = self._score(claim, claim.whole(), round_)
                if not (score.fits and score.resolved) or score.is_excused:
                    return None
                found += Found(score.resolution)
        except BudgetSpent:
            return None
        found += self._small(claim, found)
        return found if found.all_fits else None

    def _score(self, claim: Claim, region: Region, round_: int, factor: float = 1.0) -> Score:
        """Score a claim, as long as evaluations are left."""
        if self.spent:
            raise BudgetSpent(self.why)
        return self.directions.score(claim, region, round_, factor)

    def _small(self, claim: Claim, found: Found) -> Found:
        """Judge entries that the largest of their leaf drown, along a direction of their own.

        They are off by no more than their own rounding, or nobody can tell: that of the large ones
        may be theirs, too.
        """
        masks = [np.zeros(slopes.size, bool) for slopes in claim.slopes]
        tolerance = list(claim.tolerance)
        for leaf in found.resolution.keys() - found.wrong_leaves:
            size, mask = np.abs(claim.slopes[leaf]), claim.open[leaf]
            largest = size.max(initial=0.0)
            small = (size <= DROWNED * largest) & (True if mask is None else mask)
            if largest and small.any():
                masks[leaf] = small
                tolerance[leaf] = np.where(small, ROUNDINGS * size * claim.unit(leaf), 0.0)
        alone = replace(claim, open=tuple(masks), tolerance=tuple(tolerance))
        region = alone.whole()
        if not region:
            return Found()
        leaves = [span.leaf for span in region]
        try:
            if self.directions.score(alone, region, SMALL_ROUND).fits:
                return Found()
        except BudgetSpent:
            return unknown(leaves, self.why)
        number = sum(int(mask.sum()) for mask in masks)
        why = f"{number} entries are so small beside others that rounding may hide a fault in them"
        return unknown(leaves, why)

    def _region(self, claim: Claim, region: Region, round_: int) -> Found:
        region = tuple(span for span in region if claim.is_open(span))
        if not region:
            return Found()
        try:
            return self._within(claim, region, round_)
        except BudgetSpent:
            return unknown([span.leaf for span in region], self.why)

    def _within(self, claim: Claim, region: Region, round_: int) -> Found:
        alone = len(region) == 1
        if self.entries and alone and region[0].size == 1:
            return self.entry(claim, region[0].leaf, region[0].start)
        score = self._score(claim, region, round_)
        smooth = score.slope.kind == "smooth"
        # Where few entries are excused together, each of them can be excused by itself.
        few = sum(span.size for span in region) <= LISTED and not claim.rtol
        if score.is_excused and few and self.entries:
            return self._parts(claim, region, round_, score)
        if score.fits and score.resolved:
            return Found(score.resolution)
        if score.fits and claim.share:  # noise drowns all leaves as much as the smallest one
            return self._within(replace(claim, share=()), region, round_)
        # Parts have smaller slopes and the same noise, and rounding shrinks with a leaf's own part.
        if score.fits and (score.slope.noisy or alone and score.rounding > score.slope.spread):
            return Found(score.resolution)
        if score.fits and smooth:  # waves or kinks around, not noise: shorter steps resolve them
            shorter = self._score(claim, region, round_, SHORTER)
            if shorter.fits and shorter.resolved:
                return Found(shorter.resolution)
        if score.is_wrong and smooth and self.entries:
            found = self._chase(claim, region, round_, score)
            if found.wrong:
                return found
        return self._parts(claim, region, round_, score)

    def _chase(self, claim: Claim, region: Region, round_: int, score: Score) -> Found:
        """Name wrong entries one after the other until the rest fits, or enough are known."""
        found = Found()
        try:
            while region and score.is_wrong and score.slope.kind == "smooth":
                one = self._follow(claim, region, round_, score)
                if not one.wrong:
                    break
                found += one
                claim = claim.without(one.decided_in)
                region = tuple(
                    span
                    for span in region
                    if claim.is_open(span) and not self._is_known(found, span.leaf)
                )
                if region:
                    score = self._score(claim, region, round_)
        except BudgetSpent:
            return found
        return found + self._region(claim, region, round_) if found.wrong else found

    def _parts(self, claim: Claim, region: Region, round_: int, score: Score) -> Found:
        """Judge the halves of a region that does not fit, or is not resolved."""
        leaves = [span.leaf for span in region]
        halves = self._halves(claim, region)
        if halves is None:
            if score.fits:
                return Found(score.resolution)
            if math.isnan(score.z):
                return unknown(leaves, f"no slope could be measured ({score.slope.kind})")
            return unknown(leaves, f"off by {score.z:.2g} bars, {score.slope.kind} there")
        found = Found()
        for half in halves:
            if all(self._is_known(found, span.leaf) for span in half):
                break  # the leaves are wrong, and more need not be known
            found += self._region(claim.without(found.decided_in), half, round_)
        if found.all_fits and not found.legal and score.is_wrong and score.slope.kind == "smooth":
            return found + unknown(leaves, "its parts fit, the whole does not")
        return found

    def _is_known(self, found: Found, leaf: int) -> bool:
        """Tell whether enough wrong entries of a leaf are known: all of a small one."""
        small = self.directions.function.leaves[leaf].size <= LISTED
        return found.wrong_in[leaf] >= CONFIRMED and not small

    def _halves(self, claim: Claim, region: Region) -> tuple[Region, Region] | None:
        if len(region) > 1:
            # The large leaves apart from the small ones, whose slopes they drown.
            order = sorted(region, key=lambda span: claim.sizes[span.leaf])
            middle = len(order) // 2
            return tuple(order[:middle]), tuple(order[middle:])
        (span,) = region
        if not self.entries or span.size == 1:
            return None
        left, right = span.halves()
        return (left,), (right,)

    def _follow(self, claim: Claim, region: Region, round_: int, score: Score) -> Found:
        """Follow what is off into the half that holds the most of it, down to an entry.

        Slopes of halves add up to that of the whole, so that one of them needs no measurement.
        """
        off = score.got - score.slope.value
        bar = score.slope.bar
        while halves := self._halves(claim, region):
            first = self.directions.score(claim, halves[0], round_, known=abs(off))
            if first.slope.kind != "smooth" or not first.slope.known:
                return Found()
            part = first.got - first.slope.value
            if abs(part) >= abs(off - part):
                region, off, bar = halves[0], part, first.slope.bar
            else:
                region, off, bar = halves[1], off - part, bar + first.slope.bar
            if abs(off) < WRONG / 2 * bar:
                return Found()  # spread too thinly to be followed
        (span,) = region
        found = self.entry(claim, span.leaf, span.start)
        return found if found.wrong else Found()

    def entry(self, claim: Claim, leaf: int, entry: int, hurry: bool = True) -> Found:
        """Judge one entry by differences, at two unrelated steps unless it fits at once.

        hurry: whether to measure no longer than it takes to see that the entry is wrong
        """
        got = float(claim.slopes[leaf][entry])
        tolerance = float(claim.tolerance[leaf][entry])
        accepted = float(np.broadcast_to(claim.accepted[leaf], claim.slopes[leaf].shape)[entry])
        described = self.directions.function.leaves[leaf]
        whole = claim.sizes[leaf] / described.scale
        typical = whole / math.sqrt(described.size)
        slopes: list[Slope] = []
        done = ((leaf, entry),)

        def is_clear(slope: Slope) -> bool:
            beyond = slope.distance(got) - accepted
            return beyond > 0 and beyond >= WRONG * (slope.bar + tolerance)

        for step in self.directions.function.entry_steps(leaf, entry):
            if len(slopes) == 2 and (is_clear(slopes[1]) or not is_clear(slopes[0])):
                break
            slope = self.slope_of_entry(leaf, entry, step, got if hurry else None)
            slopes.append(slope)
            size = max(abs(got), typical, abs(slope.low), abs(slope.high))
            bar = slope.bar + tolerance + accepted + claim.rtol * size
            if any(is_clear(one) and one.distance(got) <= bar for one in slopes):
                continue  # it could not have seen what an earlier step saw
            if slope.distance(got) <= bar and math.isfinite(bar):
                total = claim.total / described.scale or slope.rise
                rho, known = (
                    resolution(b, size, total) if total else 0.0 for b in (bar, bar - accepted)
                )
                known += accepted / whole if whole else 0.0  # which is granted to the whole leaf
                at_kink = LegalEntry(leaf, entry, got, (slope.low, slope.high))
                legal = (at_kink,) if slope.kind == "kink" else ()
                return Found({leaf: known}, {leaf: rho}, legal=legal, decided=done)
        if sum(map(is_clear, slopes)) >= 2:
            best = min(slopes, key=lambda slope: slope.bar)
            around = self.surroundings.explain(leaf, entry, got, best)
            if isinstance(around, tuple):
                return Found(legal=(LegalEntry(leaf, entry, got, around),), decided=done)
            if around is not None:
                return Found(unknown=((leaf, around),), decided=done)
            # Few long steps may leap over what f does between them; the shortest ones do not.
            close = self._close_by(leaf, entry, got, best)
            if hurry and not _all_near(close, best.value, got):
                return self.entry(claim, leaf, entry, hurry=False)
            if not _all_near(close, got, best.value):
                wrong = WrongEntry(leaf, entry, got, best.value, best.reach)
                return Found(wrong=(wrong,), wrong_leaves=frozenset((leaf,)), decided=done)
        why = _doubt(described.index(entry), got, slopes)
        return Found(unknown=((leaf, why),), decided=done)

    def _close_by(self, leaf: int, entry: int, got: float, slope: Slope) -> tuple[float, ...]:
        """Return two difference quotients at steps so short that they just tell two slopes apart.

        Their rounding, eight grains of f and that of the entry, is then an eighth of the slopes'
        distance.
        """
        direction = {Span(leaf, entry, entry + 1): np.ones(1)}
        function, value = self.directions.function, self.directions.function.along(direction)
        rounding = GRAINS * max(EPSILON * abs(function.value), function.unsteadiness)
        rounding += function.resolution(direction) * max(abs(got), abs(slope.value))
        step = GRAINS * (rounding or EPSILON) / slope.distance(got)
        return tuple(
            (value(shift) - value(-shift)) / (2 * shift) for shift in (step, step / OTHER_SCALE)
        )

    def together(self, legal: Sequence[LegalEntry]) -> Found:
        """Judge neighbours among entries that are legal at kinks alone, two at a time.

        By each of some equal numbers the largest may have the slope 1, and by no two of them at
        once: along both, f rises no faster anywhere around than it says.
        """
        known = {(one.leaf, one.entry): one for one in legal if math.isfinite(one.got)}
        pairs = list(itertools.pairwise(known[place] for place in sorted(known)))
        leaves = self.directions.function.leaves
        for pair in pairs[:: math.ceil(len(pairs) / PAIRS) or 1]:
            along, got, size = {}, 0.0, 0.0
            for one in pair:
                low, high = one.interval
                weight = math.copysign(leaves[one.leaf].scale, one.got - (low + high) / 2)
                along[Span(one.leaf, one.entry, one.entry + 1)] = np.array([weight])
                got += weight * one.got
                size += abs(weight) * max(abs(low), abs(high), abs(one.got))
            first, second = pair
            try:
                if self.spent or self.surroundings.allow(along, got, size):
                    continue
            except BudgetSpent:
                return unknown([first.leaf], self.why)
            places = [list(leaves[one.leaf].index(one.entry)) for one in pair]
            beside = "" if first.leaf == second.leaf else leaves[second.leaf].name
            why = f"{places[0]} and {beside}{places[1]} are legal at kinks one by one, but not"
            return unknown([first.leaf], f"{why} together")
        return Found()

    def slope_of_entry(
        self, leaf: int, entry: int, step: float, wrong: float | None = None
    ) -> Slope:
        """Return the slope by one entry, per unit of it.

        wrong: a claim that it need only be told from, clearly
        """
        direction = {Span(leaf, entry, entry + 1): np.ones(1)}
        distances, goals = iter(CLEAR), iter(ENOUGH)

        def enough(slope: Slope) -> bool:
            clear, goal = next(distances), next(goals)
            assert wrong is not None
            if slope.kind == "kink":
                return slope.bar <= goal * (slope.high - slope.low)
            return slope.kind == "smooth" and slope.distance(wrong) >= clear * slope.bar

        return self.directions.measure(direction, step, None if wrong is None else enough)


def _levels(claim: Claim) -> list[Claim]:
    """Return claims about entries of which errors of the same order are accepted.

    Together, what is accepted of one entry would excuse another one of the same leaf.
    """
    levels = [
        np.where(np.asarray(own) > 0, np.frexp(own)[1] // ORDER, UNACCEPTED)
        for own in claim.accepted
    ]
    if all(own.size == 0 or own.min() == own.max() for own in levels):
        return [claim]
    parts = [
        claim.without({leaf: np.flatnonzero(own != level) for leaf, own in enumerate(levels)})
        for level in np.unique(np.concatenate(levels))
    ]
    return [part for part in parts if part.whole()]


def _all_near(quotients: tuple[float, ...], one: float, other: float) -> bool:
    """Tell whether all are so near one of two slopes that the other one is out of the question."""
    return all(abs(quotient - one) <= PLAINLY * abs(one - other) for quotient in quotients)


def _doubt(index: tuple[int, ...], got: float, slopes: list[Slope]) -> str:
    place = f"[{', '.join(map(str, index))}] " if index else ""
    if any(slope.kind in ("jump", "not finite") for slope in slopes):
        kind = next(slope.kind for slope in slopes if slope.kind in ("jump", "not finite"))
        what = "f jumps there" if kind == "jump" else "its slope is not finite there"
        return f"{place}got {got:.6g}, and {what}"
    best = min(slopes, key=lambda slope: slope.bar)
    return f"{place}got {got:.6g}, measured {best.value:.6g} ± {best.spread:.1e}"
