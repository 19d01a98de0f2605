"""The slope of the branch that f takes at a point where it jumps."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..local_noise import noise_beside

EPSILON = 2.0**-52
# From 2**-6 down to 2**-36 of the scale, each step a quarter of the last: what f does over the
# last of them no smooth function does, unless it varies on a billionth of its argument's scale.
FIRST_LEVEL, LAST_LEVEL = 6, 36
# Noise is measured over 2**-13 of the scale, where a smooth f is a parabola; a jump is larger than
# any noise, of which eight standard deviations are not exceeded.
NOISE_REACH = 2.0**-13
DEVIATIONS = 8
# By how much f changes from one step to the next: a quarter where it is smooth, a half where its
# slope is infinite, as that of a square root; next to nothing behind a jump.
JUMP = 0.7
# A side whose slope is known to four digits is continuous.
DIGITS = 1e-4


@dataclass(frozen=True)
class Branch:
    """What f does on both sides of a point where it jumps.

    slope, error: of the side on which f is continuous; None and infinite where neither is
    """

    slope: float | None
    error: float


def branch_at_jump(phi: Callable[[float], float], scale: float) -> Branch | None:
    """Return the branch that f takes at 0 if it jumps there, on one side or on both; else None.

    phi: shift -> f; scale: of the variable, in whose units the slope is
    """
    origin = phi(0.0)
    sides = {sign: _side(phi, origin, sign * scale) for sign in (-1, 1)}
    if not any(jumps for jumps, _, _ in sides.values()):
        return None
    continuous = [(slope, error) for jumps, slope, error in sides.values() if not jumps]
    if len(continuous) == 1 and continuous[0][1] <= DIGITS * max(
        abs(continuous[0][0]), abs(origin) / scale
    ):
        return Branch(*continuous[0])
    return Branch(None, math.inf)


def _side(phi: Callable[[float], float], origin: float, scale: float) -> tuple[bool, float, float]:
    """Return whether f jumps on one side, and its slope there with a bar."""
    steps = [scale * 2.0**-level for level in range(FIRST_LEVEL, LAST_LEVEL + 1, 2)]
    values = [phi(step) for step in steps]
    rises = [abs(value - origin) for value in values]
    noise = DEVIATIONS * noise_beside(phi, NOISE_REACH * scale)
    noise = max(noise, EPSILON * abs(origin))
    last, before = rises[-1], rises[-2]
    if not math.isfinite(last):
        # Outside the domain there is no jump, at an infinite value there is one.
        return not math.isnan(last), math.nan, math.inf
    if last > noise and not last <= JUMP * before:
        return True, math.nan, math.inf
    best, error = math.nan, math.inf
    slopes = [(value - origin) / step for value, step in zip(values, steps, strict=True)]
    for coarse, fine, step in zip(slopes, slopes[1:], steps[1:], strict=False):
        extrapolated = (4 * fine - coarse) / 3
        bar = abs(extrapolated - fine) + noise / abs(step)
        if bar < error:
            best, error = extrapolated, bar
    return False, best, error
