"""A slope from few evaluations, to confirm a prediction or to follow a fault; never to convict.

That a gradient and a difference, which know nothing of each other, coincide in ten digits is
evidence that a few evaluations can give. Where they do not coincide the arbiter is asked, whose
error bar holds on its own.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

EPSILON = 2.0**-52
# Each step is a quarter of the last; nine reach from 1/8 of the scale down to 2e-6 of it.
LEVELS = 2
MOST_PAIRS = 9
LAST_LEVEL = 45
# Where so many more steps do not shorten the bar, round-off has taken over.
PATIENCE = 2
FIRST_LEVEL = 3.0
# A kink is plain where steps of 16 : 4 : 1 show it to the same size.
STEADY = 1e-3
# A few steps more tell its sides so well that a slope at the end of their interval is known.
EXACT = 1e-8
MOST_PAIRS_AT_A_KINK = 7
# A few roundings in f, as sums and exponentials have; the arbiter measures the noise instead.
ROUNDINGS = 8


@dataclass(frozen=True)
class QuickSlope:
    """A slope at 0 by Ridders' extrapolation, and what speaks against it.

    error: the change from the next lower orders, which overestimates the truncation where the
        steps converge, plus round-off; noise: round-off alone
    settled: whether the caller's question was answered, by values that show no kink
    level: where to begin along similar directions
    kink: the slopes from both sides, ascending, where these are plainly different
    kink_error: a bar for each of them
    """

    value: float
    error: float
    noise: float
    settled: bool
    level: float
    kink: tuple[float, float] | None = None
    kink_error: float = math.inf


def quick_slope(
    phi: Callable[[float], float],
    origin: float,
    level: float,
    enough: Callable[[float, float, float], bool],
) -> QuickSlope:
    """Difference phi symmetrically at steps 2**-level, a quarter of that, ... until it is enough.

    origin: phi(0); enough: told (value, error, noise), says whether to stop
    """
    steps: list[float] = []
    levels: list[float] = []
    row: list[float] = []
    evens: list[float] = []
    left: list[float] = []
    right: list[float] = []
    best = QuickSlope(math.nan, math.inf, math.inf, False, level)
    largest, idle = abs(origin), 0
    while len(steps) < MOST_PAIRS and level < LAST_LEVEL:
        step = _step(level)
        ahead, behind = phi(step), phi(-step)
        if not (math.isfinite(ahead) and math.isfinite(behind)):
            # Outside the domain: only finer steps can be used.
            steps, levels, row, evens, left, right = [], [], [], [], [], []
            level += 2 * LEVELS
            continue
        largest = max(largest, abs(ahead), abs(behind))
        noise = ROUNDINGS * EPSILON * largest / step
        steps.append(step)
        levels.append(level)
        level += LEVELS
        evens.append((ahead - origin + (behind - origin)) / step)
        row, error, order = _extrapolate(row, (ahead - behind) / (2 * step), steps)
        error += noise
        left, left_error, left_order = _extrapolate(left, (origin - behind) / step, steps, 1)
        right, right_error, right_order = _extrapolate(right, (ahead - origin) / step, steps, 1)
        if len(steps) < 2 or _kinked(evens, steps, noise):
            sides = sorted((left[left_order], right[right_order]))
            sides_error = max(left_error, right_error) + 2 * noise
            exact = sides_error <= EXACT * (sides[1] - sides[0])
            if _steady(evens) and (exact or len(steps) == MOST_PAIRS_AT_A_KINK):
                return dataclasses.replace(best, kink=(sides[0], sides[1]), kink_error=sides_error)
            continue
        if error >= best.error:
            idle += 1
            if idle == PATIENCE:
                break
            continue
        best = QuickSlope(row[order], error, noise, False, levels[-1 - order])
        if enough(best.value, best.error, best.noise):
            return dataclasses.replace(best, settled=True)
    return best


def _step(level: float) -> float:
    # Irregular by up to a tenth, so that no period of f hides between the steps; the golden
    # section spreads the factors, and ten bits of them keep most sums x + t v exact.
    factor = 0.9 + 0.2 * ((level * 0.6180339887) % 1.0)
    return math.ldexp(round(factor * 1024) / 1024, -int(level))


def _extrapolate(
    previous: list[float], newest: float, steps: list[float], power: int = 2
) -> tuple[list[float], float, int]:
    """Return Neville's next row in step**power, the least error in it, and where that is.

    C. J. F. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Softw. 4, 1982.
    """
    row = [newest]
    least, where = math.inf, 0
    for order, coarser in enumerate(previous, start=1):
        ratio = (steps[-1 - order] / steps[-1]) ** power
        row.append(row[-1] + (row[-1] - coarser) / (ratio - 1))
        error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarser))
        if error < least:
            least, where = error, order
    return row, least, where


def _kinked(evens: list[float], steps: list[float], noise: float) -> bool:
    """Tell whether [phi(t) + phi(-t) - 2 phi(0)] / t fails to vanish with t."""
    if abs(evens[-1]) <= 4 * noise:
        return False
    return abs(evens[-1]) > 2 * steps[-1] / steps[-2] * abs(evens[-2])


def _steady(evens: list[float]) -> bool:
    """Tell whether the same has settled to a value that is not 0, as it does at a kink alone."""
    if len(evens) < 3:
        return False
    last = evens[-3:]
    return max(last) - min(last) <= STEADY * min(map(abs, last))
