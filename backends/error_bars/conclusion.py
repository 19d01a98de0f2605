"""Turn what the samples of a function say into an estimate of its derivative."""

import math

from .estimate import Estimate, Smoothness
from .fine_structure import with_ripples
from .one_sided import Reading
from .samples import EPSILON, PLATEAU, SINGLE, Samples
from .singularities import Side, settle

# Stairs that are wider than this part of the scale, or higher than some roundings of float32, may
# be meant as such, with a slope of 0; others come from a function that computes with few digits.
STAIRS = 2.0**-16
HIGH = 8 * SINGLE
# The end of a plateau is found to a thousandth of it; a jump there is steeper than all else.
BISECTIONS = 10
STEEP = 16.0


def conclude(samples: Samples, reading: Reading) -> Estimate:
    """Return the estimate in the units of the samples."""
    left, right = (settle(samples, reading, sign) for sign in (-1, 1))
    value, error, smoothness = _conclude(samples, reading, left, right)
    one_sided, bars = (left.value, right.value), (left.error, right.error)
    if smoothness == "smooth" and "absent" not in (left.kind, right.kind):
        one_sided, bars = (value, value), (error, error)
    noise = next((look.noise for look in samples.looks if not look.flat), math.nan)
    return Estimate(value, error, samples.evaluations, smoothness, one_sided, bars, noise)


def undefined(samples: Samples) -> Estimate:
    """Return the estimate for a function that is not finite at 0."""
    nothing, unknown = (math.nan, math.nan), (math.inf, math.inf)
    return Estimate(math.nan, math.inf, samples.evaluations, "not finite", nothing, unknown)


def _conclude(
    samples: Samples, reading: Reading, left: Side, right: Side
) -> tuple[float, float, Smoothness]:
    sides = [side for side in (left, right) if side.kind != "absent"]
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
    if not (left.settled or right.settled):
        value, error = with_ripples(samples, reading)
        return value, max(error, _hidden(samples, value)), "kink" if reading.kink else "smooth"
    gap = abs(right.value - left.value)
    error = gap / 2 + max(left.error, right.error)
    kink = gap > left.error + right.error
    return left.value / 2 + right.value / 2, error, "kink" if kink else "smooth"


def _hidden(samples: Samples, value: float) -> float:
    """Return how much of a slope may be hidden by a plateau, or be only the slope of stairs."""
    if not samples.on_plateaus():
        return 0.0
    left, right = (samples.plateau(sign) for sign in (-1, 1))
    if min(left, right) >= PLATEAU:
        return EPSILON  # a saturated function has a slope that rounds to nothing
    if max(left, right) >= PLATEAU:
        return 0.0
    if _ends_in_a_jump(samples, 1, right) or _ends_in_a_jump(samples, -1, left):
        # Stairs: they are flat where f rounds, and rise where it does not.
        return max(abs(value), samples.steepest())
    high = samples.quantum() > HIGH * max(abs(samples.origin), samples.rise(1.0))
    return abs(value) if high or min(left, right) > STAIRS else 0.0


def _ends_in_a_jump(samples: Samples, sign: int, plateau: float) -> bool:
    """Tell whether a narrow plateau ends in a jump, not in a bend, by bisection."""
    beyond = samples.steps()[samples.steps() > plateau]
    if not plateau or not len(beyond):
        return False
    flat, moved = plateau, float(beyond[0])
    rise = abs(samples.at(sign * moved) - samples.origin)
    for _ in range(BISECTIONS):
        middle = (flat + moved) / 2
        change = abs(samples.at(sign * middle) - samples.origin)
        if change == 0:
            flat = middle
        else:
            moved, rise = middle, change
    # A bend rises from nothing: so near its edge it would have a small part of the slope.
    return rise > STEEP * samples.steepest() * (moved - flat)
