"""The derivative at 0 from the left, from the right and from both sides, out of samples."""

import math
from dataclasses import dataclass, replace

import numpy as np

from .extrapolation import (
    STANDARD_DEVIATIONS,
    Bars,
    Limit,
    bars,
    best_limit,
    extrapolate,
    pole,
)
from .samples import Samples


@dataclass(frozen=True)
class Reading:
    """What samples say about the derivative at 0.

    value, error: the derivative and a bar that covers the one-sided derivatives, too
    driver: the limit whose bar decides the error; None if there is none
    left, right: the one-sided derivatives; None where phi is not finite on that side
    kink: the one-sided derivatives differ by more than their bars
    """

    value: float
    error: float
    driver: Limit | None
    left: Limit | None
    right: Limit | None
    kink: bool = False


NOTHING = Reading(math.nan, math.inf, None, None, None)


def read(
    samples: Samples, reach: float, *, beyond: float = 0.0, until: float = math.inf
) -> Reading:
    """Differentiate at 0 as well as the samples allow.

    reach: see `best_limit`; beyond, until: leave out samples at smaller and larger steps
    """
    return _Sides(samples, reach, beyond, until).reading()


class _Sides:
    """Both sides of a function, scaled so that its values near 0 are of the order 1."""

    def __init__(self, samples: Samples, reach: float, beyond: float, until: float) -> None:
        self.reach = reach
        sides = {sign: samples.side(sign) for sign in (-1, 1)}
        largest = max(abs(value) for value in (samples.origin, *sides[-1][:1], *sides[1][:1]))
        # A power of two keeps every digit; its inverse has to be finite, too.
        self.unit = 2.0 ** min(max(math.frexp(largest)[1], -1000), 1000) if largest else 1.0
        self.origin = samples.origin / self.unit
        kept = (samples.steps() >= beyond) & (samples.steps() < until)
        self.steps = samples.steps()[kept]
        self.values, self.deviations = {}, {}
        quantum = samples.quantum()
        for sign, side in sides.items():
            inside = kept[: len(side)]
            self.values[sign] = side[inside] / self.unit
            self.deviations[sign] = samples.deviations(sign, quantum)[inside] / self.unit

    def reading(self) -> Reading:
        central, covering = self._central()
        left, right = (self._one_sided(sign, covering) for sign in (-1, 1))
        if left is None and right is None:
            return NOTHING
        candidates = []
        if left is not None and right is not None:
            between = _between(left, right)
            if between.kink:
                return self._in_units(between)
            gap = abs(right.value - left.value)
            candidates = [between] + [
                Reading(side.value, side.error + gap, between.driver, left, right)
                for side in (left, right)
            ]
        else:
            side = left or right
            assert side is not None
            candidates = [Reading(side.value, side.error, side, left, right)]
        if central is not None:
            candidates.insert(0, Reading(central.value, central.error, central, left, right))
        return self._in_units(min(candidates, key=lambda one: one.error))

    def _one_sided(self, sign: int, covering: tuple[Bars, ...]) -> Limit | None:
        values, deviations = self.values[sign], self.deviations[sign]
        if len(values) < 2:
            return None
        steps = self.steps[: len(values)]
        changes = sign * (values - self.origin)
        deviations = np.hypot(deviations, deviations[0])  # phi(0) is as noisy as the first
        windows = extrapolate(changes / steps, deviations / steps, steps, 1)
        limit = best_limit(windows, bars(windows, steps), covering, steps, self.reach)
        inside = (steps >= limit.finest) & (steps <= limit.coarsest)
        jump = extrapolate(changes[inside], deviations[inside], steps[inside], 1)
        bar = jump.truncation[-1] + STANDARD_DEVIATIONS * jump.noise[-1]
        return replace(limit, detached=bool(abs(jump.limit[-1]) > bar))

    def _central(self) -> tuple[Limit | None, tuple[Bars, ...]]:
        """Return the limit of both sides, and the bars of its windows, which cover each side."""
        count = min(len(side) for side in self.values.values())
        if count < 2:
            return None, ()
        steps = self.steps[:count]
        left, right = (self.values[sign][:count] for sign in (-1, 1))
        noise = np.hypot(*(self.deviations[sign][:count] for sign in (-1, 1)))
        windows = extrapolate((right - left) / (2 * steps), noise / (2 * steps), steps, 2)
        # The even part of a smooth function is a polynomial in t**2 times t**2. What it has of t
        # itself is half the difference of the slopes on both sides: a kink, seen or hidden.
        bends = ((right - self.origin) + (left - self.origin)) / (2 * steps**2)
        kinks = pole(bends, steps, 2)
        own = bars(windows, steps, np.abs(kinks))
        return best_limit(windows, own, (), steps, self.reach), (own,)

    def _in_units(self, reading: Reading) -> Reading:
        return replace(
            reading,
            value=reading.value * self.unit,
            error=reading.error * self.unit,
            driver=_scaled(reading.driver, self.unit),
            left=_scaled(reading.left, self.unit),
            right=_scaled(reading.right, self.unit),
        )


def _between(left: Limit, right: Limit) -> Reading:
    """Return the middle of the one-sided derivatives, with a bar that covers both."""
    gap = abs(right.value - left.value)
    driver = max(left, right, key=lambda side: side.error)
    kink = gap > left.error + right.error
    value = left.value / 2 + right.value / 2
    return Reading(value, gap / 2 + driver.error, driver, left, right, kink)


def _scaled(limit: Limit | None, unit: float) -> Limit | None:
    if limit is None:
        return None
    return replace(
        limit, value=limit.value * unit, error=limit.error * unit, noise=limit.noise * unit
    )
