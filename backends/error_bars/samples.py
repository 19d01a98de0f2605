"""Values of a function of one variable around 0, and the noise measured in them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .noise import difference_table_noise

EPSILON = float(np.finfo(np.float64).eps)
# Four neighbours on each side: differences of order 3 and 4 on one side, up to 8 on both. Round-off
# in equally spaced numbers can be as regular as the function, so the spacing is not.
NEIGHBOURS = (1.0, 2.31, 3.43, 4.87)
# Enough for steps without a pattern, few enough for x + t to be exact at the usual steps.
STEP_BITS = 26
# With fewer numbers than these within a step, round-off is no longer random.
NUMBERS_WITHIN = 64
FINEST_LEVEL = 60
# Noise that differences across 0 see and those of one side do not is a kink or a jump at 0.
ACROSS = 8.0
# Noise that vanishes to this degree when phi(0) is left out is a jump there.
AT_ORIGIN = 2.0**-10
# A side that is constant this far out, in units of the scale, is a plateau and not a staircase.
PLATEAU = 2.0**-7
# The standard deviation of an error that is evenly spread over one unit.
ROUNDING = 12**-0.5
# The round-off of float32.
SINGLE = 2.0**-24


@dataclass(frozen=True)
class Look:
    """The noise left and right of 0 as seen at one spacing; NaN where most neighbours are equal.

    size: the largest value around
    """

    step: float
    left: float
    right: float
    size: float

    @property
    def flat(self) -> bool:
        return math.isnan(self.left) and math.isnan(self.right)

    @property
    def noise(self) -> float:
        """The lesser of both: a kink on one side looks like noise there."""
        return float(np.fmin(self.left, self.right))


class Samples:
    """phi at 0 and at +-t for a growing set of steps t, each evaluated once.

    phi: varies on the scale 1, or finer; what is not finite, and errors of the kind that leaving a
    domain causes, count as NaN away from 0
    resolution: the spacing of the numbers t that phi can tell apart, near 0
    """

    def __init__(self, phi: Callable[[float], float], resolution: float) -> None:
        self._phi = phi
        # x may be at the end of its binade, and beyond, numbers are twice as far apart.
        self._grain = 2.0 ** (math.ceil(math.log2(resolution)) + 2) if resolution > 0 else 0.0
        self.finest_step = max(NUMBERS_WITHIN * self._grain, 2.0**-FINEST_LEVEL)
        self.evaluations = 0
        self.looks: list[Look] = []
        self._discarded = 0.0
        self._values: dict[float, float] = {}
        self._steps = np.zeros(0)
        self._sides: dict[int, np.ndarray] = {}
        self.origin = math.nan

    def start(self) -> float:
        """Return phi(0); must come first."""
        self.origin = self._value(0.0)
        return self.origin

    def step(self, level: float) -> float:
        """Return about 2**-level, irregular so that no period can hide between the steps."""
        # The golden section spreads the factors evenly over 0.9...1.1.
        return self._rounded(2.0**-level * (0.9 + 0.2 * ((level * 0.6180339887) % 1.0)))

    def pair(self, level: float) -> None:
        """Evaluate phi at a step to the right and to the left."""
        step = self.step(level)
        self._value(step)
        self._value(-step)

    def look(self, level: float) -> None:
        """Evaluate phi at the multiples of a small step, and measure the noise there."""
        step = self.step(level)
        steps = np.array([0.0, *(self._rounded(k * step) for k in NEIGHBOURS)])
        sides = [np.array([self._value(sign * t) for t in steps]) for sign in (-1, 1)]
        left, right = (_side_noise(steps, side) for side in sides)
        if left >= 0 and right >= 0:  # neither is NaN
            nodes = np.concatenate([-steps[:0:-1], steps])
            across = difference_table_noise(nodes, np.concatenate([sides[0][:0:-1], sides[1]]))
            if across <= ACROSS * min(left, right):
                left = right = across
        size = float(np.nanmax(np.abs(np.concatenate(sides))))
        self.looks.append(Look(step, left, right, size))
        self.looks.sort(key=lambda look: look.step)

    def at(self, t: float) -> float:
        """Evaluate phi at t, without keeping the value as a sample."""
        self.evaluations += 1
        try:
            value = self._phi(t)
        except (ArithmeticError, ValueError):
            if t == 0:
                raise
            return math.nan
        return value if math.isfinite(value) else math.nan

    def steps(self) -> np.ndarray:
        self._collect()
        return self._steps

    def side(self, sign: int) -> np.ndarray:
        """Return phi at sign * steps, up to the first step that is not finite."""
        self._collect()
        return self._sides[sign]

    def _collect(self) -> None:
        """Line up what was evaluated since the last time."""
        if self._sides:
            return
        steps = sorted(t for t in self._values if t > 0 and t >= self._discarded)
        self._steps = np.array(steps)
        for sign in (-1, 1):
            values = np.array([self._values[sign * t] for t in steps])
            finite = np.isfinite(values)
            self._sides[sign] = values if finite.all() else values[: int(np.argmin(finite))]

    def deviations(self, sign: int, quantum: float) -> np.ndarray:
        """Return the standard deviation of each value of a side, from the look next below it."""
        values = self.side(sign)
        steps = self.steps()[: len(values)]
        floor = np.maximum(EPSILON * np.abs(values), quantum * ROUNDING)
        deviations: np.ndarray = floor
        seen = 0.0
        for look in self.looks:
            noise = look.right if sign > 0 else look.left
            if not math.isnan(noise):
                # What is noise at fine steps is noise at all coarser ones.
                lowest, seen = seen == 0, max(seen, noise)
                growth = np.maximum(1.0, np.abs(values) / (look.size or np.inf))
                above = (steps >= look.step) | lowest
                deviations = np.where(above, np.maximum(seen * growth, floor), deviations)
        return deviations

    def discard_below(self, step: float) -> None:
        """Forget what was seen at finer steps, and stay away from there."""
        self._discarded = self.finest_step = step
        self._sides.clear()
        self.looks = [look for look in self.looks if look.step >= step]

    def rise(self, reach: float) -> float:
        """Return the largest change of phi within the reach."""
        steps = self.steps()
        changes = [np.abs(self.side(sign) - self.origin) for sign in (-1, 1)]
        return max(float(c[steps[: len(c)] <= reach].max(initial=0.0)) for c in changes)

    def steepest(self) -> float:
        """Return the largest slope of phi from 0 to any step."""
        steps = self.steps()
        slopes = [
            np.abs(self.side(sign) - self.origin) / steps[: len(self.side(sign))]
            for sign in (-1, 1)
        ]
        return max(float(side.max(initial=0.0)) for side in slopes)

    def plateau(self, sign: int) -> float:
        """Return how far phi is constant on a side; 0 if not even at the two finest steps."""
        side = self.side(sign)
        same = np.logical_and.accumulate(side == side[:1])
        if not same[1:2].any():
            return 0.0
        return float(self.steps()[: len(side)][same].max())

    def on_plateaus(self) -> bool:
        """Tell whether phi is constant around 0."""
        near = [self.side(sign)[:2] for sign in (-1, 1)]
        return all(len(side) == 2 and (side == self.origin).all() for side in near)

    def quantum(self) -> float:
        """Return the spacing of the values of phi where they are coarser than float64, else 0.

        That is the height of the stairs of a staircase, and of the roundings of a function that
        computes in float32 or subtracts what it has added before.
        """
        values = sorted({*self.side(-1).tolist(), *self.side(1).tolist(), self.origin})
        quantum = min((_last_bit(value) for value in values if value), default=0.0)
        if len(values) > 1 and self.on_plateaus() and all(look.flat for look in self.looks):
            quantum = max(quantum, float(np.diff(values).min()))
        stairs = quantum > SINGLE * max(abs(self.origin), 1.0)
        on_plateau = stairs and max(self.plateau(sign) for sign in (-1, 1)) >= PLATEAU
        return 0.0 if on_plateau else quantum

    def _rounded(self, step: float) -> float:
        """Return the step with few enough bits for x + t to be exact where it can be."""
        grain = max(2.0 ** (math.frexp(step)[1] - STEP_BITS), self._grain)
        return max(round(step / grain), 1) * grain

    def _value(self, t: float) -> float:
        if t not in self._values:
            self._values[t] = self.at(t)
            self._sides.clear()
        return self._values[t]


def _last_bit(value: float) -> float:
    """Return the largest power of two that value is a multiple of."""
    mantissa, exponent = math.frexp(value)
    integer = int(math.ldexp(mantissa, 53))
    return math.ldexp(float(integer & -integer), exponent - 53)


def _side_noise(steps: np.ndarray, values: np.ndarray) -> float:
    """Return the noise on one side; the first value is that at 0."""
    moves = np.diff(values)
    if not np.isfinite(values).all() or np.count_nonzero(moves) <= len(moves) // 2:
        return math.nan
    noise = difference_table_noise(steps, values)
    beside = difference_table_noise(steps[1:], values[1:])
    return beside if beside < AT_ORIGIN * noise else noise
