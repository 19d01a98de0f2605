"""Slopes of one black box: quick ones to confirm and follow, the arbiter's to decide."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from gradparity.backends.error_bars.derivative import derivative_at_zero
from gradparity.backends.error_bars.estimate import Estimate

from .black_box import BlackBox, Direction, Span
from .directions import random_weights
from .parameters import typical_size
from .quick_slope import EPSILON, FIRST_LEVEL, QuickSlope, quick_slope

# A tiny parameter may have a slope that only steps of the size of 1 lift above round-off.
LARGER_SCALES = (2.0**10, 2.0**20, 2.0**30, 2.0**40)
# ... if f changes by more than round-off there, and the slope has at least two digits.
VISIBLE = 1e-6
RESOLVED = 1e-2
# Points around a kink: so near that f is straight between its kinks there.
NEIGHBOURS = 128
NEIGHBOURHOOD = 2.0**-20
# An entry is small beside its leaf.
MUCH_SMALLER = 1 / 16
# No power of two: the second opinion's steps coincide with none of the first's.
ANOTHER_SCALE = 0.375


class Meter:
    """Measure slopes of f along directions; what is known of f serves every candidate.

    seed: of the random directions; most_evaluations: calls of f after which `exhausted` is True
    """

    def __init__(self, black_box: BlackBox, seed: int, most_evaluations: int) -> None:
        self.black_box = black_box
        self.seed = seed
        self.most_evaluations = most_evaluations
        self._last = 0
        self._levels: dict[tuple[int, ...], float] = {}
        self._weights: dict[int, tuple[np.ndarray, ...]] = {}
        self._entries: dict[tuple[int, int], Estimate] = {}
        self._kinks: dict[tuple[int, int], tuple[float, float, float] | None] = {}
        self._perturbed: dict[float, tuple[Meter, ...]] = {}

    def since_last(self) -> int:
        """Return the calls of f since this was last asked."""
        last, self._last = self._last, self.black_box.evaluations
        return self._last - last

    @property
    def exhausted(self) -> bool:
        return self.black_box.evaluations - self._last >= self.most_evaluations

    def weights(self, round_: int) -> tuple[np.ndarray, ...]:
        if round_ not in self._weights:
            self._weights[round_] = random_weights(self.black_box, self.seed, round_)
        return self._weights[round_]

    def quick(
        self, direction: Direction, enough: Callable[[float, float, float], bool]
    ) -> QuickSlope:
        """Return a slope from a few pairs of evaluations; see `quick_slope`."""
        key = tuple(span.leaf for span in direction)
        level = self._levels.get(key, FIRST_LEVEL)
        slope = quick_slope(self.black_box.along(direction), self.black_box.value, level, enough)
        if slope.settled:
            # Similar directions vary on a similar scale: begin the next where this one was exact.
            self._levels[key] = slope.level
        return slope

    def slope(self, direction: Direction, relative: float) -> tuple[float, float]:
        """Return a slope and its bar, the arbiter's unless a quick one is good to `relative`."""
        quick = self.quick(direction, lambda value, error, noise: error <= relative * abs(value))
        if quick.settled:
            return quick.value, quick.error
        estimate = self.arbitrate(direction)
        smooth = estimate.smoothness == "smooth"
        return estimate.value, estimate.error if smooth else math.inf

    def arbitrate(self, direction: Direction, wanted: float = math.inf) -> Estimate:
        """Return the derivative with an error bar that holds on its own.

        wanted: a bar for which steps far beyond the entries' own sizes are tried, too
        """
        natural = self._arbitrate(direction, 1.0)
        if natural.smoothness != "smooth" or natural.error <= wanted:
            return natural
        return self.magnify(direction, natural.value, natural.error) or natural

    def magnify(self, direction: Direction, value: float, error: float) -> Estimate | None:
        """Return a slope that only larger steps lift above round-off, if there is one.

        The derivative by a tiny parameter may hold on a much larger scale than its own; it counts
        where it is consistent with what is known, `value` to within `error`.
        """
        phi = self.black_box.along(direction)
        if self._moves(phi, 1.0):
            return None  # there is more to see on its own scale than round-off
        for scale in LARGER_SCALES:
            if not self._moves(phi, scale):
                continue
            larger = self._arbitrate(direction, scale)
            if (
                larger.smoothness == "smooth"
                and larger.error <= RESOLVED * abs(larger.value)
                and abs(larger.value - value) <= larger.error + error
            ):
                return larger
        return None

    def _moves(self, phi: Callable[[float], float], scale: float) -> bool:
        values = (phi(-scale), self.black_box.value, phi(scale))
        return max(values) - min(values) > VISIBLE * max(map(abs, values))

    def _arbitrate(self, direction: Direction, scale: float) -> Estimate:
        resolution = max(
            (self._resolution(span.leaf, weights) for span, weights in direction.items()),
            default=0.0,
        )
        return derivative_at_zero(self.black_box.along(direction), scale, resolution=resolution)

    def _resolution(self, leaf: int, weights: np.ndarray) -> float:
        """Return the spacing of shifts that the entries can tell apart."""
        size = float(np.abs(self.black_box.leaves[leaf]).max(initial=0.0))
        weight = float(np.abs(weights).max(initial=0.0))
        return EPSILON * size / weight if weight else 0.0

    def entry(self, leaf: int, entry: int, wanted: float = math.inf) -> Estimate:
        """Return the arbiter's derivative by a single entry, per unit of that entry."""
        if (leaf, entry) not in self._entries:
            self._entries[leaf, entry] = self._entry(leaf, entry, 1.0, wanted)
        return self._entries[leaf, entry]

    def entry_again(self, leaf: int, entry: int) -> Estimate:
        """Return the same derivative from other steps."""
        return self._entry(leaf, entry, ANOTHER_SCALE, math.inf)

    def _entry(self, leaf: int, entry: int, factor: float, wanted: float) -> Estimate:
        scale = factor * self.black_box.scales[leaf]
        estimate = self._entry_at(leaf, entry, scale, wanted)
        own = abs(float(self.black_box.leaves[leaf].reshape(-1)[entry]))
        irregular = estimate.smoothness != "smooth" or estimate.error > wanted
        if irregular and 0 < own < MUCH_SMALLER * scale:
            # The edge of a domain may be as near as the entry is small.
            closer = self._entry_at(leaf, entry, typical_size(np.array(own)), wanted)
            if closer.smoothness == "smooth" and not closer.error >= estimate.error:
                return closer
        return estimate

    def _entry_at(self, leaf: int, entry: int, scale: float, wanted: float) -> Estimate:
        direction = {Span(leaf, entry, entry + 1): np.array([scale])}
        return per_unit(self.arbitrate(direction, scale * wanted), scale)

    def plain_kink(self, leaf: int, entry: int) -> tuple[float, float, float] | None:
        """Return the slopes of both sides, ascending, and their bar, where few values tell them."""
        if (leaf, entry) not in self._kinks:
            scale = self.black_box.scales[leaf]
            direction = {Span(leaf, entry, entry + 1): np.array([scale])}
            slope = self.quick(direction, lambda value, error, noise: True)
            self._kinks[leaf, entry] = slope.kink and (
                slope.kink[0] / scale,
                slope.kink[1] / scale,
                slope.kink_error / scale,
            )
        return self._kinks[leaf, entry]

    def slopes_nearby(
        self, leaf: int, entry: int, got: float, interval: tuple[float, float]
    ) -> tuple[float, float]:
        """Return an interval widened by the slopes at points around, until it holds `got`.

        Where kinks meet, automatic differentiation may return a slope that f has next to the
        point, between other branches, though on neither side along the entry itself.
        """
        slopes = list(interval)
        black_box = self.black_box
        step = NEIGHBOURHOOD / 64 * black_box.scales[leaf]
        for neighbour in range(NEIGHBOURS):
            rng = np.random.default_rng([self.seed, leaf, entry, neighbour])
            moved = {
                position: np.asarray(
                    array + NEIGHBOURHOOD * scale * rng.uniform(-1, 1, array.shape)
                )
                for position, (array, scale) in enumerate(
                    zip(black_box.leaves, black_box.scales, strict=True)
                )
            }
            ahead, behind = (self._shifted(moved, leaf, entry, sign * step) for sign in (1, -1))
            slopes.append((ahead - behind) / (2 * step))
            if min(slopes) <= got <= max(slopes):
                break
        finite = [slope for slope in slopes if math.isfinite(slope)]
        return min(finite), max(finite)

    def _shifted(self, moved: dict[int, np.ndarray], leaf: int, entry: int, shift: float) -> float:
        array = moved[leaf].copy()
        array.reshape(-1)[entry] += shift
        return self.black_box.at({**moved, leaf: array})

    def perturbed(self, epsilon: float, count: int) -> tuple["Meter", ...]:
        """Return meters of the same f with all inputs changed by up to epsilon, relatively."""
        if epsilon not in self._perturbed:
            self._perturbed[epsilon] = tuple(
                Meter(self.black_box.perturbed(epsilon, [self.seed, index]), self.seed, 0)
                for index in range(count)
            )
        return self._perturbed[epsilon]


def per_unit(estimate: Estimate, scale: float) -> Estimate:
    left, right = estimate.one_sided
    below, above = estimate.one_sided_error
    return dataclasses.replace(
        estimate,
        value=estimate.value / scale,
        error=estimate.error / scale,
        one_sided=(left / scale, right / scale),
        one_sided_error=(below / scale, above / scale),
    )


def norm(gradient: Sequence[np.ndarray], direction: Direction) -> float:
    """Return the root of the sum of (g_j w_j)**2: the typical size of a slope along +-w."""
    return math.hypot(
        *(
            root_of_squares(gradient[span.leaf][span.start : span.stop] * weights)
            for span, weights in direction.items()
        )
    )


def root_of_squares(array: np.ndarray) -> float:
    """Return the root of the sum of squares; squares of large or small numbers do not overflow."""
    largest = float(np.abs(array).max(initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(np.ravel(array) / largest))
