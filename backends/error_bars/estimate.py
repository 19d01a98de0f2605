"""A derivative with an error bar, concluded from samples of a function."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..precision import EPSILON
from .exploration import POOR
from .extrapolation import SLOWEST_CONVERGENCE, STANDARD_DEVIATIONS, Reading, read
from .samples import CLEARLY, NARROW, NEAR, NEIGHBOURS, PLATEAU, Samples, difference_table_noise

Smoothness = Literal["smooth", "stairs", "kink", "jump", "not finite"]

# Stairs that are wider than this part of the scale may be meant as such, with a slope of 0; others
# come from a function that computes with few digits.
STAIRS = 2.0**-20
# Stairs that slope are looked for within this part of the scale, where a slope changes by so much
# of itself: farther out whatever is curved does.
STEPPED = 2.0**-5
TELLING = 1e-5
# More than one stair has been risen.
GOES_ON = 1.5
# A trend shows near 0 if its bar is no longer than this part of it.
TREND = 0.05
# A jump changes the slopes at looks, 12 octaves apart, by 2**12; the steepest infinite slope that
# is told from it, by 2**11.
JUMP = 2.0**11


@dataclass(frozen=True)
class Estimate:
    """The derivative of a function of one variable at a point, measured from its values.

    value: the derivative; the middle of the one-sided ones at a kink, the only one at the edge of
    the domain or beside a jump, infinite with the sign of its slope where that grows without bound
    error: |derivative - value| <= error; at a kink every value between the one-sided derivatives
    is within it, on stairs their slope too; infinite where there is no derivative, and where none
    can be told
    evaluations: calls of the function
    smoothness: "smooth" where there is a derivative, if only on one side of an edge; "stairs" where
    it is that of one step, beyond which the function goes on in jumps; "kink" where the one-sided
    derivatives differ; "jump" where the function does; "not finite" where the function or its slope
    is not
    one_sided, one_sided_error: the derivatives from the left and from the right, and their bars;
    NaN on a side where the function is not finite
    noise: the standard deviation of the values around the point, in units of the function; NaN
    where it is constant there
    """

    value: float
    error: float
    evaluations: int
    smoothness: Smoothness
    one_sided: tuple[float, float]
    one_sided_error: tuple[float, float]
    noise: float = math.nan


def along_the_sum(parts: Sequence[Estimate]) -> Estimate:
    """Return the derivative along the sum of several directions.

    It is the sum of theirs where the function has a gradient, and where at most one of them meets
    a kink; else its error is infinite.
    """
    rough = [part for part in parts if part.smoothness != "smooth"]
    additive = len(rough) < 2

    def both(name: str) -> tuple[float, float]:
        pairs = [getattr(part, name) for part in parts]
        return sum(left for left, _ in pairs), sum(right for _, right in pairs)

    return Estimate(
        sum(part.value for part in parts),
        sum(part.error for part in parts) if additive else math.inf,
        sum(part.evaluations for part in parts),
        rough[0].smoothness if rough else "smooth",
        both("one_sided"),
        both("one_sided_error") if additive else (math.inf, math.inf),
        max(part.noise for part in parts),
    )


def conclude(samples: Samples, reading: Reading) -> Estimate:
    """Return what samples and their reading say about the derivative of their function."""
    sides = [_settle(samples, reading, sign) for sign in (-1, 1)]
    there = [side for side in sides if side.kind != "absent"]
    value, error, smoothness = _conclude(samples, reading, there)
    if smoothness == "smooth" and len(there) == 2:
        sides = [_Side(value, error)] * 2
    left, right = sides
    noises = (look.noise for look in samples.looks)
    return Estimate(
        value / samples.unit,
        error / samples.unit,
        samples.evaluations,
        smoothness,
        (left.value / samples.unit, right.value / samples.unit),
        (left.error / samples.unit, right.error / samples.unit),
        next((noise for noise in noises if not math.isnan(noise)), math.nan),
    )


@dataclass(frozen=True)
class _Side:
    """The derivative on one side: infinite for an infinite slope or a jump, NaN off the domain.

    doubt: how much of its error comes from a limit that the slopes approach slowly
    """

    value: float
    error: float
    kind: Literal["finite", "infinite", "jump", "absent"] = "finite"
    doubt: float = 0.0


def _settle(samples: Samples, reading: Reading, sign: int) -> _Side:
    """Return the one-sided derivative, in the light of the slopes at three looks if it is poor.

    Three values of a geometric sequence give its limit (A. C. Aitken, "On Bernoulli's numerical
    solution of algebraic equations", Proc. Roy. Soc. Edinburgh 46, 1926).
    """
    limit = reading.right if sign > 0 else reading.left
    if limit is None:
        return _Side(math.nan, math.inf, "absent")
    slopes = _slopes(samples, sign) if limit.error > POOR * abs(limit.value) else []
    if len(slopes) < 3:
        return _Side(limit.value, limit.error)
    finest, middle, coarse = slopes[:3]
    last, former = finest - middle, middle - coarse
    gain = last / former if former else 0.0
    if gain > SLOWEST_CONVERGENCE and abs(finest) > abs(middle) > abs(coarse):
        infinite = math.copysign(math.inf, last)
        return _Side(infinite, math.inf, "jump" if gain > JUMP else "infinite")
    settled = finest + last * gain / (1 - gain) if abs(gain) < 1 else limit.value
    doubt = 2 * abs(settled - limit.value)
    return _Side(limit.value, limit.error + doubt, doubt=doubt)


def _slopes(samples: Samples, sign: int) -> list[float]:
    """Return the slopes at the looks, finest first; none if they are no more than noise."""
    values, steps = samples.sides[sign], samples.steps
    found: list[float] = []
    for look in samples.looks:
        start = int(np.searchsorted(steps, look.step))
        near = slice(start, start + len(NEIGHBOURS))
        if near.stop > len(values):
            continue
        # phi(0) is left out of the noise: it may lie on the other side of a jump.
        noise = difference_table_noise(steps[near], values[near])
        rises = values[near] - samples.origin
        growth = np.diff(np.abs(rises))
        steady = (np.all(growth >= 0) or np.all(growth <= 0)) and len(set(np.sign(rises))) == 1
        if not steady or abs(rises[0]) <= STANDARD_DEVIATIONS * noise:
            return []
        found.append(sign * float(rises[0]) / look.step)
    return found


def _conclude(
    samples: Samples, reading: Reading, sides: list[_Side]
) -> tuple[float, float, Smoothness]:
    """Return the derivative, its bar and the smoothness; sides: those where phi is finite."""
    kinds = {side.kind for side in sides}
    if not sides:
        return math.nan, math.inf, "not finite"
    if "jump" in kinds:
        finite = [side.value for side in sides if side.kind == "finite"]
        return finite[0] if finite else math.nan, math.inf, "jump"
    if "infinite" in kinds:
        values = {side.value for side in sides}
        return values.pop() if len(values) == 1 else math.nan, math.inf, "not finite"
    if len(sides) == 1:
        return sides[0].value, sides[0].error, "smooth"
    stairs = _flat_stairs(samples) or _sloping_stairs(samples, reading)
    error = max(_with_ripples(samples, reading), _hidden(samples, reading.value))
    kind: Smoothness = "kink" if reading.kink else "stairs" if stairs > error else "smooth"
    error = max(error, stairs) + max(side.doubt for side in sides)
    return reading.value, error, kind


def _with_ripples(samples: Samples, reading: Reading) -> float:
    """Return a bar that covers the slope of the trend under fine ripples, too.

    Whether they are noise or meant is for the caller to know: "cannot tell" is the right answer.
    An oscillation too fast for the finest look drowns the trend; its slope is unknown.
    """
    noises = [look.noise for look in samples.looks]
    finest = next((noise for noise in noises if not math.isnan(noise)), 0.0)
    if samples.is_noisy(finest) and samples.rise(NEAR) < CLEARLY * finest:
        return math.inf
    for look in samples.looks[:0:-1]:
        if samples.is_noisy(look.noise) and look.noise > CLEARLY * finest:
            trend = read(samples, NEAR, beyond=look.step)
            if trend.error < TREND * abs(trend.value):
                return abs(trend.value - reading.value) + max(trend.error, reading.error)
    return reading.error


# Between two roundings of an intermediate result a function is flat, or smooth with a slope that
# leaves out what has been rounded; farther out it rises in stairs. Their slope is meant as often as
# that of the one step that the point is on: a bar covers both.


def _flat_stairs(samples: Samples) -> float:
    """Return the steepest slope of stairs that are flat, at the point and around; 0 for none."""
    left, right = (samples.plateau(sign) for sign in (-1, 1))
    wide = min(left, right) >= PLATEAU
    if not (left and right) or (max(left, right) >= PLATEAU and not wide):
        return 0.0
    rounding = EPSILON * abs(samples.origin)
    for sign, flat in ((1, right), (-1, left)):
        rises = np.abs(samples.sides[sign] - samples.origin)
        beyond = samples.steps[: len(rises)] > flat
        # Wide ones of integers are counts, and meant; so may be a single jump far away.
        if not beyond.any() or (wide and not (rises % 1).any()):
            continue
        departure, next_one = samples.departure(sign), float(samples.steps[beyond.argmax()])
        end = samples.end_of_line(departure, flat, next_one, lambda t: rounding)
        # A bend rises on, and a stair is flat.
        if end <= STAIRS or departure(end) != departure(end * (1 + NARROW**2)):
            continue
        if not wide or rises.max() > GOES_ON * departure(end):
            return departure(end) / end if wide else samples.steepest()
    return 0.0


def _sloping_stairs(samples: Samples, reading: Reading) -> float:
    """Return how far the slopes of stairs are from that of the step at the point; 0 for none."""
    if reading.driver is None or reading.kink:
        return 0.0
    count = min(map(len, samples.sides.values()))
    steps = samples.steps[:count]
    quotients = (samples.sides[1][:count] - samples.sides[-1][:count]) / (2 * steps)
    telling = max(CLEARLY * reading.error, TELLING * float(np.abs(quotients).max(initial=0.0)))
    first = max(1, int(np.searchsorted(steps, reading.driver.coarsest)))
    for edge in range(first, int(np.searchsorted(steps, STEPPED)) - 1):
        finer, coarse, beyond = steps[edge - 1 : edge + 2]
        bend = (quotients[edge] - quotients[edge - 1]) / (coarse**2 - finer**2)
        if abs(quotients[edge + 1] - reading.value - bend * beyond**2) > telling:
            break
    else:
        return 0.0
    departure = samples.departure(0, reading.value)
    least = departure(beyond) / 8 / CLEARLY  # there are no more than eight stairs to it
    jump = samples.jump_after(departure, coarse, beyond, lambda t: max(reading.error * t, least))
    apart = np.abs(quotients[edge + 1 :] - reading.value)
    goes_on = (apart * steps[edge + 1 :]).max() > GOES_ON * departure(jump)
    return float(apart.max()) if jump and goes_on else 0.0


def _hidden(samples: Samples, value: float) -> float:
    """Return how much of a slope may be hidden by a plateau."""
    left, right = (samples.plateau(sign) for sign in (-1, 1))
    if not (left and right):
        return 0.0
    if min(left, right) >= PLATEAU:
        return EPSILON  # a saturated function has a slope that rounds to nothing
    return abs(value) if STAIRS < min(left, right) and max(left, right) < PLATEAU else 0.0
