"""Account for a claim by slopes alone: it fits as a whole, or is taken apart until it is known."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradparity.backends.precision import EPSILON

from .found import Found, LegalEntry, WrongEntry
from .function import Span
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
    OTHER_SCALE,
    PAIRS,
    ROUNDINGS,
    SHORTER,
    WRONG,
)

# Directions of later rounds, so that they have nothing to do with the first two.
CONFIRMING_ROUNDS = (20, 21)
CONFIRMING_FACTORS = (1.0, OTHER_SCALE)
SMALL_ROUND = 40


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
        for round_ in (0, 1):
            region = tuple(span for span in claim.whole() if span.leaf not in found.wrong_leaves)
            if region:
                found += self._region(claim, region, round_)
                claim = claim.without(found.decided_by_leaf())
        return found + self._small(claim, found) if self.entries else found

    def _small(self, claim: Claim, found: Found) -> Found:
        """Judge entries that the largest of their leaf drown, along a direction of their own.

        They are off by no more than their own rounding, or nobody can tell: that of the large ones
        may be theirs, too.
        """
        judged = [leaf for leaf in found.resolution if leaf not in found.wrong_leaves]
        groups, tolerance = {}, list(claim.tolerance)
        for leaf in judged:
            size = np.abs(claim.slopes[leaf])
            small = size <= DROWNED * size.max(initial=0.0)
            mask = claim.open[leaf]
            small &= True if mask is None else mask
            if small.any() and size.any():
                groups[leaf] = small
                tolerance[leaf] = np.where(small, ROUNDINGS * size * claim.unit(leaf), 0.0)
        if not groups:
            return Found()
        masks = tuple(
            groups.get(leaf, np.zeros(s.size, bool)) for leaf, s in enumerate(claim.slopes)
        )
        alone = replace(claim, open=masks, tolerance=tuple(tolerance))
        region = alone.whole()
        for factor in (1.0, SHORTER):
            try:
                score = self.directions.score(alone, region, SMALL_ROUND, factor)
            except BudgetSpent:
                return self._unknown(region, self.why)
            if score.fits:
                return Found()
            if self.spent:
                return self._unknown(region, self.why)
        number = sum(int(small.sum()) for small in groups.values())
        why = f"{number} entries are so small beside others that rounding may hide a fault in them"
        return Found(unknown=tuple((leaf, why) for leaf in groups))

    def at_once(self, claim: Claim) -> Found | None:
        """Return what is found where the claim fits as a whole, and as finely as promised."""
        found = Found()
        for round_ in (0, 1):
            if self.spent:
                return None
            try:
                score = self.directions.score(claim, claim.whole(), round_)
            except BudgetSpent:
                return None
            if not (score.fits and score.resolved):
                return None
            found += Found(score.resolution)
        found += self._small(claim, found)
        return found if found.all_fits else None

    def _region(self, claim: Claim, region: Region, round_: int) -> Found:
        region = tuple(span for span in region if claim.is_open(span))
        if not region:
            return Found()
        if self.spent:
            return self._unknown(region, self.why)
        try:
            return self._within(claim, region, round_)
        except BudgetSpent:
            return self._unknown(region, self.why)

    def _within(self, claim: Claim, region: Region, round_: int) -> Found:
        if self.entries and len(region) == 1 and region[0].size == 1:
            return self.entry(claim, region[0].leaf, region[0].start)
        score = self.directions.score(claim, region, round_)
        if score.fits and score.resolved:
            return Found(score.resolution)
        if score.fits and claim.share:  # noise drowns all leaves as much as the smallest one
            return self._within(replace(claim, share=()), region, round_)
        dust = tuple(span for span in region if claim.is_dust(span.leaf))
        if score.fits and dust and self._is_resolved_but(claim, score, dust):
            # What is zero but for rounding is seen beside nothing but its like.
            rest = {leaf: rho for leaf, rho in score.resolution.items() if not claim.is_dust(leaf)}
            return Found(rest) + self._region(claim, dust, round_)
        if score.fits and score.slope.noisy:  # parts have smaller slopes and the same noise
            return Found(score.resolution)
        if score.fits and len(region) == 1 and score.rounding > score.slope.spread:
            return Found(score.resolution)  # and its rounding shrinks with a leaf's own part
        if score.fits and score.slope.kind == "smooth":
            # Kinks around, not noise: shorter steps stay between them.
            shorter = self.directions.score(claim, region, round_, SHORTER)
            if shorter.fits and shorter.resolved:
                return Found(shorter.resolution)
        if score.is_wrong and score.slope.kind == "smooth" and self.entries:
            found = self._chase(claim, region, round_, score)
            if found.wrong:
                return found
        return self._parts(claim, region, round_, score)

    @staticmethod
    def _is_resolved_but(claim: Claim, score: Score, dust: Region) -> bool:
        """Tell whether all of a region is resolved but some of its leaves, and they are not all."""
        apart = {span.leaf for span in dust}
        rest = [leaf for leaf in score.resolution if leaf not in apart]
        return bool(rest) and all(claim.resolves(leaf, score.resolution[leaf]) for leaf in rest)

    def _chase(self, claim: Claim, region: Region, round_: int, score: Score) -> Found:
        """Name wrong entries one after the other until the rest fits, or enough are known."""
        found = Found()
        while score.is_wrong and score.slope.kind == "smooth":
            try:
                one = self._follow(claim, region, round_, score)
            except BudgetSpent:
                break
            if not one.wrong:
                break
            found += one
            claim = claim.without(found.decided_by_leaf())
            region = tuple(
                span
                for span in region
                if claim.is_open(span) and not self._is_known(found, span.leaf)
            )
            if not region or self.spent:
                return found
            try:
                score = self.directions.score(claim, region, round_)
            except BudgetSpent:
                break
        return found + self._region(claim, region, round_) if found.wrong else found

    def _parts(self, claim: Claim, region: Region, round_: int, score: Score) -> Found:
        """Judge the halves of a region that does not fit, or is not resolved."""
        halves = self._halves(claim, region)
        if halves is None:
            (span,) = region
            if score.fits:
                return Found(score.resolution)
            if math.isnan(score.z):
                return self._unknown(region, f"no slope could be measured ({score.slope.kind})")
            return self._unknown(region, f"off by {score.z:.2g} bars, {score.slope.kind} there")
        found = Found()
        for half in halves:
            if all(self._is_known(found, span.leaf) for span in half):
                break  # the leaves are wrong, and more need not be known
            found += self._region(claim.without(found.decided_by_leaf()), half, round_)
        if found.legal or not found.all_fits:
            return found
        if not score.is_wrong or score.slope.kind != "smooth":
            return found
        # Each part is within its bar, the whole is not: spread over entries, if it is so again.
        if self.is_wrong_again(claim, region):
            return found + Found(wrong_leaves=frozenset(span.leaf for span in region))
        return found + self._unknown(region, "its parts fit, the whole does not")

    def _is_known(self, found: Found, leaf: int) -> bool:
        """Tell whether enough wrong entries of a leaf are known: all of a small one."""
        small = self.directions.function.leaves[leaf].size <= LISTED
        return found.wrong_in(leaf) >= CONFIRMED and not small

    def is_wrong_again(self, claim: Claim, region: Region) -> bool:
        """Tell whether a region is wrong along further directions, at unrelated steps."""
        for round_, factor in zip(CONFIRMING_ROUNDS, CONFIRMING_FACTORS, strict=True):
            again = self.directions.score(claim, region, round_, factor, hurry=False)
            if not (again.is_wrong and again.slope.kind == "smooth"):
                return False
        return True

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
        while not (len(region) == 1 and region[0].size == 1):
            halves = self._halves(claim, region)
            assert halves is not None
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
        accepted = claim.accepted[leaf]
        accepted = accepted if isinstance(accepted, float) else float(accepted[entry])
        described = self.directions.function.leaves[leaf]
        slopes: list[Slope] = []
        done = ((leaf, entry),)
        typical = claim.sizes[leaf] / described.scale / math.sqrt(claim.slopes[leaf].size)

        def is_clear(slope: Slope) -> bool:
            return slope.distance(got) - accepted >= WRONG * (slope.bar + tolerance)

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
                spread = bar
                total = claim.total / described.scale or slope.rise
                rho = resolution(spread, size, total) if total else 0.0
                legal = (
                    (LegalEntry(leaf, entry, got, (slope.low, slope.high)),)
                    if slope.kind == "kink"
                    else ()
                )
                return Found({leaf: rho}, {leaf: rho}, legal=legal, decided=done)
        if sum(map(is_clear, slopes)) >= 2 and _consistent(slopes):
            best = min(slopes, key=lambda slope: slope.bar)
            if (beside := self.surroundings.explain(leaf, entry, got, best)) is not None:
                return beside
            # Few long steps may leap over what f does between them; the shortest ones do not.
            close = self._close_by(leaf, entry, got, best)
            if hurry and not _all_near(close, best.value, got):
                return self.entry(claim, leaf, entry, hurry=False)
            if not _all_near(close, got, best.value):
                wrong = WrongEntry(leaf, entry, got, best.value, best.reach)
                return Found(wrong=(wrong,), wrong_leaves=frozenset((leaf,)), decided=done)
        if not math.isfinite(got) and all(s.kind == "kink" for s in slopes):
            best = min(slopes, key=lambda slope: slope.bar)
            legal = (LegalEntry(leaf, entry, got, (best.low, best.high)),)
            return Found(legal=legal, decided=done)
        return Found(unknown=((leaf, _doubt(described.index(entry), got, slopes)),), decided=done)

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
        kinks = [known[place] for place in sorted(known)]
        pairs = list(itertools.pairwise(kinks))
        leaves = self.directions.function.leaves
        for one, other in pairs[:: math.ceil(len(pairs) / PAIRS) or 1]:
            try:
                if self.spent or self.surroundings.allow((one, other)):
                    continue
            except BudgetSpent:
                return Found(unknown=((one.leaf, self.why),))
            first, second = (list(leaves[kink.leaf].index(kink.entry)) for kink in (one, other))
            beside = "" if one.leaf == other.leaf else leaves[other.leaf].name
            why = f"{first} and {beside}{second} are legal at kinks one by one, but not together"
            return Found(unknown=((one.leaf, why),))
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

    @staticmethod
    def _unknown(region: Region, why: str) -> Found:
        return Found(unknown=tuple((span.leaf, why) for span in region))


def _all_near(quotients: tuple[float, ...], one: float, other: float) -> bool:
    """Tell whether all are so near one of two slopes that the other one is out of the question."""
    return all(abs(quotient - one) <= abs(one - other) / 4 for quotient in quotients)


def _consistent(slopes: Sequence[Slope]) -> bool:
    """Tell whether measurements of one slope do not contradict each other."""
    return all(
        max(one.low - other.high, other.low - one.high, 0.0) <= 2 * (one.bar + other.bar)
        for one, other in itertools.combinations(slopes, 2)
    )


def _doubt(index: tuple[int, ...], got: float, slopes: list[Slope]) -> str:
    place = f"[{', '.join(map(str, index))}] " if index else ""
    if any(slope.kind in ("jump", "not finite") for slope in slopes):
        kind = next(slope.kind for slope in slopes if slope.kind in ("jump", "not finite"))
        what = "f jumps there" if kind == "jump" else "its slope is not finite there"
        return f"{place}got {got:.6g}, and {what}"
    best = min(slopes, key=lambda slope: slope.bar)
    return f"{place}got {got:.6g}, measured {best.value:.6g} ± {best.spread:.1e}"
