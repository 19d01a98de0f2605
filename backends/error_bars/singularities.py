"""Tell slow limits, infinite slopes and jumps apart where no extrapolation converges."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .extrapolation import STANDARD_DEVIATIONS
from .noise import difference_table_noise
from .one_sided import Reading
from .samples import NEIGHBOURS, Look, Samples

# Slopes at three looks, 12 octaves apart, change by r and then by r**2 when they converge like a
# power of the step: 0.87 for a power of 1/60, 1 for a logarithm, which does not converge.
SLOWEST = 0.85
# A jump changes them by 2**12, the steepest infinite slope that is told from it by 2**11.
JUMP = 2.0**11
LEAST_RATIO = 2.0**-11
# A bar longer than this part of the slope is worth a second thought.
DOUBTFUL = 0.01


@dataclass(frozen=True)
class Side:
    """The derivative on one side: infinite for an infinite slope or a jump, NaN off the domain.

    settled: it was found from the slopes at three looks, not from a window of steps
    """

    value: float
    error: float
    kind: Literal["finite", "infinite", "jump", "absent"] = "finite"
    settled: bool = False


def settle(samples: Samples, reading: Reading, sign: int) -> Side:
    """Return the one-sided derivative, from the slopes at three looks where a limit is doubtful.

    Three values of a geometric sequence give its limit (A. C. Aitken, "On Bernoulli's numerical
    solution of algebraic equations", Proc. Roy. Soc. Edinburgh 46, 1926).
    """
    limit = reading.right if sign > 0 else reading.left
    if limit is None:
        return Side(math.nan, math.inf, "absent")
    known = reading.error <= DOUBTFUL * abs(reading.value) and not reading.kink
    slopes = _slopes(samples, sign)
    if known or limit.error <= DOUBTFUL * abs(limit.value) or len(slopes) < 3:
        return Side(limit.value, limit.error)
    finest, middle, coarse = slopes[:3]
    last, former = finest - middle, middle - coarse
    gain = last / former if former else 0.0
    if gain > SLOWEST and abs(finest) > abs(middle) > abs(coarse):
        kind: Literal["infinite", "jump"] = "jump" if gain > JUMP else "infinite"
        return Side(math.copysign(math.inf, last), math.inf, kind)
    if abs(gain) > SLOWEST:
        return Side(limit.value, limit.error)
    correction = last * gain / (1 - gain)
    return Side(finest + correction, abs(last) + 2 * abs(correction), settled=True)


def _slopes(samples: Samples, sign: int) -> list[float]:
    """Return the slopes at the looks, finest first; none if they are no more than noise."""
    values, steps = samples.side(sign), samples.steps()
    found: list[float] = []
    for look in _apart(samples.looks):
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


def _apart(looks: list[Look]) -> list[Look]:
    """Return the looks that are as far apart as looks usually are, finest first."""
    kept = looks[-1:]
    for look in looks[-2::-1]:
        if look.step < kept[0].step * LEAST_RATIO:
            kept.insert(0, look)
    return kept
