"""How a claim compares with the slope along one direction: z, and the resolution rho."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradparity.backends.pytrees import aligned

from .leaves import Direction, Leaf, Span
from .slope import Directional, Slope, measure
from .thresholds import (
    AT_RANDOM,
    DIGITS,
    ENOUGH,
    FINER,
    LAST_BITS,
    LEAST_SHARE,
    MANY,
    ROUNDINGS,
    SETTLED,
    SMALL,
    VISIBLE,
    WRONG,
)

Region = tuple[Span, ...]
# Of squares beyond it, or beyond its inverse, some may have been lost.
SAFE = 1e-200
BLOCK = 2**15
FEW = 2**12  # for so few entries, BLAS takes one thread


@dataclass(frozen=True)
class RoundingBound:
    """What rounding is assumed to do to each entry of a leaf, where nobody has measured it.

    It is computed for the entries that are asked for: all of them take as much memory as the leaf.

    slopes: finite ones, of the reference, or else of the claim itself; size: their norm
    unit: the unit roundoff of the leaf
    """

    slopes: np.ndarray
    size: float
    unit: float

    def __getitem__(self, entries: Any) -> Any:
        bounds = np.abs(self.slopes[entries])
        bounds += self.size / math.sqrt(max(self.slopes.size, 1))
        bounds *= ROUNDINGS * self.unit
        return bounds


def rounding_bound(slopes: np.ndarray, unit: float) -> RoundingBound:
    size = norm(slopes)
    if not math.isfinite(size):
        slopes = np.where(np.isfinite(slopes), slopes, 0.0)
        size = norm(slopes)
    return RoundingBound(slopes, size, unit)


@dataclass(frozen=True)
class Claim:
    """Numbers that say they are a derivative, and what their rounding may amount to.

    slopes: for each leaf, flat, float64
    tolerance: for each leaf, how much its entries may be off, granted; read by parts
    sizes: a size of each leaf's slope, from the claim and from the reference: norms of the
        entries times their leaf's scale
    open: for each leaf, which entries are still to be judged; None for all
    accepted: for each leaf, what error of each entry the caller accepts; rtol: what error of a
        leaf as a whole, relative to its size
    slack: for each leaf, both of them and the errors of the claim's own method, relative
    share: for each leaf, by which part of its scale it moves along a direction
    """

    slopes: tuple[np.ndarray, ...]
    tolerance: Sequence[RoundingBound | np.ndarray]
    sizes: tuple[float, ...]
    open: tuple[np.ndarray | None, ...]
    accepted: tuple[np.ndarray | float, ...]
    slack: tuple[float, ...]
    rtol: float = 0.0
    share: tuple[float, ...] = ()

    @functools.cached_property
    def total(self) -> float:
        return max(self.sizes, default=0.0)

    def size(self, leaf: int) -> float:
        """Return the size that a leaf is measured by: the whole's, where it is but rounding."""
        return self.total if self.is_dust(leaf) else self.sizes[leaf]

    def is_dust(self, leaf: int) -> bool:
        """Tell whether a leaf's slope is zero but for rounding, beside the whole gradient's."""
        return self.sizes[leaf] <= LAST_BITS * self.total

    def unit(self, leaf: int) -> float:
        """Return the rounding of one entry, relative to its size, out of what was granted."""
        largest = float(np.abs(self.slopes[leaf]).max(initial=0.0))
        return float(self.tolerance[leaf][:].max(initial=0.0)) / largest if largest else 0.0

    @functools.cached_property
    def balanced(self) -> "Claim":
        """The claim along directions in which leaves with a large slope move less.

        The slope of every leaf counts alike in that of all of them, so that the large ones, their
        curvature and their noise do not drown the small ones.
        """
        seen = [leaf for leaf, size in enumerate(self.sizes) if size and not self.is_dust(leaf)]
        share, least = [1.0] * len(self.sizes), min((self.sizes[leaf] for leaf in seen), default=0)
        for leaf in seen:
            ratio = 2.0 ** math.frexp(least / self.sizes[leaf])[1]
            share[leaf] = min(max(ratio, LEAST_SHARE), 1.0)
        return replace(self, share=tuple(share) if min(share, default=1.0) < 1.0 else ())

    def resolves(self, leaf: int, resolution: float) -> bool:
        """Tell whether a resolution is as fine as "agree" promises, or as the caller wants."""
        return resolution <= DIGITS + self.slack[leaf]

    def without(self, decided: Mapping[int, Sequence[int] | np.ndarray]) -> "Claim":
        """Return the claim without the entries that have been judged, by leaf."""
        if not decided:
            return self  # a claim that was measured is known by itself
        masks = list(self.open)
        for leaf, entries in decided.items():
            mask = masks[leaf]
            mask = np.ones(self.slopes[leaf].size, bool) if mask is None else mask.copy()
            mask[_indices(entries)] = False
            masks[leaf] = mask
        return replace(self, open=tuple(masks))

    def without_leaves(self, leaves: Iterable[int]) -> "Claim":
        """Return the claim about all but some leaves."""
        return self.without({leaf: range(self.slopes[leaf].size) for leaf in leaves})

    def along(self, span: Span, weights: np.ndarray) -> tuple[float, float, float]:
        """Return the slope along weights of a span, and the norms of its parts and their rounding.

        All of them in one pass over the memory.
        """
        slopes, tolerance = self.slopes[span.leaf], self.tolerance[span.leaf]
        slope, parts, roundings = 0.0, [], []
        for block in blocks(span.size):
            there = slice(span.start + block.start, span.start + block.stop)
            products = slopes[there] * weights[block]
            slope += float(np.einsum("i->", products))
            parts.append(norm(products))
            roundings.append(norm(tolerance[there] * weights[block]))
        return slope, math.hypot(*parts), math.hypot(*roundings)

    def is_open(self, span: Span) -> bool:
        mask = self.open[span.leaf]
        return mask is None or bool(mask[span.start : span.stop].any())

    def whole(self) -> Region:
        """Return the spans of all leaves that have open entries."""
        spans = (Span(leaf, 0, slopes.size) for leaf, slopes in enumerate(self.slopes))
        return tuple(span for span in spans if span.size and self.is_open(span))


@dataclass(frozen=True)
class Score:
    """A claim before the slope along one direction.

    z: its distance from the interval, over bar and rounding: up to 1 it fits, from 8 on it is
        wrong, between them nobody can tell; NaN where nothing is known
    resolution: for each leaf of the region, bar and rounding over the size of its slope
    resolved: whether that is fine enough in all of them
    """

    z: float
    slope: Slope
    got: float
    resolution: Mapping[int, float]
    rounding: float
    resolved: bool

    @property
    def fits(self) -> bool:
        return self.z <= 1.0

    @property
    def is_excused(self) -> bool:
        """Tell whether it would not fit without the errors that the caller accepts."""
        return self.fits and self.slope.distance(self.got) > self.bar

    @property
    def bar(self) -> float:
        """How far a slope may be from the claim that is right, rounding included."""
        return self.slope.bar + self.rounding

    @property
    def is_wrong(self) -> bool:
        return self.z >= WRONG


class Directions:
    """Random directions through all leaves, and the scores of claims along them.

    kinds: what f was like along all that were measured
    """

    def __init__(self, function: Directional, seed: int) -> None:
        self.function = function
        self.seed = seed
        self.kinds: set[str] = set()
        self._drawn: tuple[int, list[np.ndarray]] | None = None
        self._last: tuple[Claim, Region, int, Score] | None = None

    def weights(self, round_: int) -> list[np.ndarray]:
        """Return random weights for each leaf, flat, scaled so that all leaves count alike.

        Signs are random, so that faults do not add up or cancel systematically. Sizes are spread
        over 0.5...1 times the leaf's scale: with equal sizes, two opposite faults, such as those
        of a transposed pair, would cancel in every second direction. In odd rounds, entries that
        are small beside their leaf move by their own size: they may be near the edge of a domain.
        """
        if self._drawn is None or self._drawn[0] != round_:
            rng = np.random.default_rng([self.seed, round_])
            self._drawn = None  # the last one's memory is free before more is taken
            drawn = [_draw(rng, leaf, round_) for leaf in self.function.leaves]
            if sum(leaf.size for leaf in self.function.leaves) > MANY:
                return drawn  # they are hardly asked for again, and take a copy of all parameters
            self._drawn = (round_, drawn)
        return self._drawn[1]

    def measure(
        self,
        direction: Direction,
        factor: float = 1.0,
        enough: Callable[[Slope], bool] | None = None,
    ) -> Slope:
        """Measure a slope, and note in `kinds` what f is like there."""
        slope = measure(self.function, direction, factor, enough)
        self.kinds.add(slope.kind)
        return slope

    def score(
        self,
        claim: Claim,
        region: Region,
        round_: int,
        factor: float = 1.0,
        signs: Sequence[np.ndarray] | None = None,
        known: float = 0.0,
    ) -> Score:
        """Score a claim along the random direction of a round, restricted to a region.

        signs: that the weights get instead of random ones, and zeros; known: a distance that is to
        be explained: the slope is measured until a sixteenth of it would be seen, and not only
        until the claim is known to fit
        """
        plain = signs is None and not known and factor == 1.0
        large = sum(span.size for span in region) > MANY and not self.function.unsteadiness
        factor *= FINER if large else 1.0
        if plain and self._last and self._last[0] is claim and self._last[1:3] == (region, round_):
            return self._last[3]  # who asked first passes on what it could not settle
        drawn = self.weights(round_)
        shares = [claim.share[span.leaf] if claim.share else 1.0 for span in region]
        largest = max(shares)
        direction, got, granted, accepted = {}, 0.0, [0.0], [0.0]
        sizes: dict[int, float] = {}
        for span, share in zip(region, shares, strict=True):
            weights = drawn[span.leaf][span.start : span.stop]
            if signs is not None:
                weights = np.abs(weights) * signs[span.leaf][span.start : span.stop]
            share /= largest
            if share != 1.0:
                own = None if self._drawn else weights  # that nobody asks for again
                weights = np.multiply(weights, share, out=own)
            mask = claim.open[span.leaf]
            if mask is not None:
                weights = np.where(mask[span.start : span.stop], weights, 0.0)
            direction[span] = weights
            slope_of_span, size, rounding = claim.along(span, weights)
            got += slope_of_span
            granted.append(rounding)
            share *= math.sqrt(span.size / claim.slopes[span.leaf].size)
            sizes[span.leaf] = max(size, share * claim.sizes[span.leaf])
            accepted.append(claim.rtol * sizes[span.leaf])
            allowed = claim.accepted[span.leaf]
            if not isinstance(allowed, float):
                accepted.append(norm(allowed[span.start : span.stop] * weights))
        del drawn, weights  # the memory of large ones that are not kept
        rounding, accept = math.hypot(*granted), math.hypot(*accepted)
        goals = iter(ENOUGH)
        # No number of digits of what is large shows more of what is zero beside it.
        seen = [size for leaf, size in sizes.items() if not claim.is_dust(leaf)]
        least = max(min(seen or sizes.values()), rounding)
        whole = max(math.hypot(*seen), least)

        def enough(slope: Slope) -> bool:
            goal = next(goals)
            if not slope.known or slope.kind not in ("smooth", "kink"):
                return False
            if slope.kind == "kink":  # it is taken apart, whatever more is known of it
                return slope.bar <= goal * (slope.high - slope.low)
            if known:
                return slope.bar + rounding <= known / (2 * WRONG)
            fits = slope.distance(got) <= slope.bar + rounding + accept
            if large:  # that each leaf is known in many digits would cost as many calls again
                return fits and slope.bar <= min(SETTLED / FINER * least, ENOUGH[-1] * whole)
            return fits and slope.bar <= goal * least

        slope = self.measure(direction, factor, enough)
        spread = slope.spread + rounding + accept
        if len(region) == 1 and slope.known:
            (leaf,) = sizes
            sizes[leaf] = max(sizes[leaf], abs(slope.low), abs(slope.high))
        total = claim.total or slope.rise
        if not total and slope.known and not (slope.grain or self.function.unsteadiness):
            spread = 0.0  # f has one value wherever it was called, and no grain that hides others
        known_to = {leaf: resolution(spread, size, total) for leaf, size in sizes.items()}
        score = Score(
            distance_in_bars(slope, got, rounding, accept),
            slope,
            got,
            known_to,
            rounding,
            all(claim.resolves(leaf, rho) for leaf, rho in known_to.items()),
        )
        self._last = (claim, region, round_, score) if plain else self._last
        return score


def resolution(spread: float, size: float, total: float) -> float:
    """Return rho: bar and rounding over the size of a slope.

    A slope that is zero but for rounding is measured against the whole gradient's, if it would
    have been seen beside that.
    total: of the whole gradient, or what f rises by, where that is zero
    """
    if not math.isfinite(spread):
        return math.inf
    if size <= LAST_BITS * total and spread <= VISIBLE * total or not size:
        return spread / total if total else (math.inf if spread else 0.0)
    return spread / size


def distance_in_bars(slope: Slope, got: float, rounding: float, accepted: float = 0.0) -> float:
    """Return z: the distance of a claimed slope over its bar and rounding; NaN if nothing is known.

    accepted: an error that the caller accepts, of random sign along the direction: what is within
    it fits, and only what exceeds a few times as much can be wrong
    """
    distance, bar = slope.distance(got), slope.bar + rounding
    if not math.isfinite(distance):
        return math.nan
    if distance <= bar + accepted:
        return distance / (bar + accepted) if bar + accepted else 0.0
    beyond = max(distance - AT_RANDOM * accepted, 0.0)
    return max(beyond / bar if bar else math.inf, math.nextafter(1.0, math.inf))


def _draw(rng: np.random.Generator, leaf: Leaf, round_: int) -> np.ndarray:
    array, scale = leaf.array.reshape(-1), leaf.scale
    drawn = aligned(array.shape)
    for block in blocks(array.size):
        weights = drawn[block]
        rng.random(out=weights)
        weights -= weights < 0.5
        weights *= scale
        if round_ % 2:
            own = np.abs(array[block])
            small = np.flatnonzero((own > 0) & (own < SMALL * scale))
            weights[small] *= own[small] / scale
    return drawn


def _indices(entries: Sequence[int] | np.ndarray) -> slice | np.ndarray | Sequence[int]:
    if isinstance(entries, range):  # of thousands of entries, as a rule
        return slice(entries.start, entries.stop, entries.step)
    return entries if isinstance(entries, np.ndarray) else [*entries]


def inner(one: np.ndarray, other: np.ndarray) -> float:
    """Return the inner product of two flat arrays, on one thread.

    BLAS takes several from some ten thousand entries on, which wait for each other for a hundred
    times as long as the product takes where the machine has other work.
    """
    return float(np.dot(one, other) if one.size < FEW else np.einsum("i,i->", one, other))


def blocks(size: int) -> Iterator[slice]:
    """Yield parts of a flat array, each of which stays in the processor's cache meanwhile."""
    return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))


def norm(array: np.ndarray) -> float:
    """Return the Euclidean norm, whose squares neither overflow nor underflow."""
    flat = array.reshape(-1)
    if flat.size > BLOCK:
        return math.hypot(*(norm(flat[block]) for block in blocks(flat.size)))
    flat = np.abs(flat) if flat.dtype.kind == "c" else flat
    square = inner(flat, flat)
    if SAFE < square < 1 / SAFE:
        return math.sqrt(square)
    peak = float(np.abs(flat).max(initial=0.0))
    if not peak or not math.isfinite(peak):
        return peak
    return peak * float(np.linalg.norm(flat / peak))
