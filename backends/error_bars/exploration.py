"""Decide where a function of one variable has to be sampled to differentiate it at 0."""

import math
from collections.abc import Callable

from .extrapolation import NOTHING, STANDARD_DEVIATIONS, Reading, read
from .samples import CLEARLY, Samples

# Steps from an eighth of the scale down to 1/250,000 of it show at once where phi is smooth.
# After each part the caller is asked.
LADDER = ((3, 6, 9), (12, 15))
FIRST_LOOK = 18
# Where phi is constant, up to 64 times the scale tells whether it ever changes; and where it jumps
# once, whether it does so again.
FAR = (0, -3, -6)
NEXT_LOOK = 12
# A bar as short as this, relative to the derivative, is worth no further evaluation; at a kink,
# relative to the difference of both: the bars of one that is merely near are its distance over the
# step.
GOAL = 1e-8
# A bar as long as this tells hardly more than the sign.
POOR = 0.1
# Where there is only noise, the next pairs are less than so many octaves farther out.
STRIDE = 4


def explore(samples: Samples, enough: Callable[[Reading], bool] | None) -> Reading:
    """Sample until the error bar is short or does not get any shorter, or the caller has enough."""
    if not math.isfinite(samples.origin):
        return NOTHING
    reach = samples.step(LADDER[0][0])
    for rungs in LADDER:
        samples.pairs(*rungs)
        if samples.is_flat():
            samples.pairs(*FAR)
        if enough and enough(reading := read(samples, reach)):
            return reading
    samples.look(FIRST_LOOK)
    reading = read(samples, reach)
    while True:
        if (closer := _closer(samples, reading)) is not None:
            samples.look(closer)
            _discard_roundings(samples, reach)
            reading = read(samples, reach)
        elif (farther := _farther(samples, reading)) is not None:
            samples.pairs(*farther)
            before, reading = reading, read(samples, reach)
            if not reading.error < before.error / 2:
                return min(before, reading, key=lambda one: one.error)
        else:
            return reading


def _closer(samples: Samples, reading: Reading) -> float | None:
    """Return the level of a closer look, if one is wanted and numbers are fine enough for it."""
    edge = reading.left is None or reading.right is None
    unresolved = samples.is_noisy(samples.looks[0].noise)
    poor = not _is_noise(reading) and reading.error > POOR * abs(reading.value)
    if not (edge or unresolved or (reading.kink or poor) and not _is_good(samples, reading)):
        return None
    deepest, bottom = _level(samples.looks[0].step), _level(samples.finest_step)
    if bottom - deepest < NEXT_LOOK / 4:
        return None
    return round(min(deepest + NEXT_LOOK, bottom), 1)


def _farther(samples: Samples, reading: Reading) -> tuple[float, float] | None:
    """Return the levels of two pairs next beyond the window, if they may lessen noise."""
    driver = reading.driver
    if driver is None or reading.kink or not _is_noise(reading) or _is_good(samples, reading):
        return None
    near, beyond = _level(driver.coarsest), samples.steps[samples.steps > driver.coarsest]
    far = _level(beyond[0]) if len(beyond) else near - STRIDE
    third = (near - far) / 3
    return round(near - third, 1), round(far + third, 1)


def _is_noise(reading: Reading) -> bool:
    return reading.driver is not None and reading.driver.noise > 0.3 * reading.driver.error


def _is_good(samples: Samples, reading: Reading) -> bool:
    if reading.driver is None:
        return False
    if reading.kink:
        assert reading.left is not None
        assert reading.right is not None
        gap = abs(reading.right.value - reading.left.value)
        return reading.left.error + reading.right.error <= GOAL * gap
    rise = samples.rise(reading.driver.coarsest)
    # Where the derivative is 0, the slopes around take its place.
    slope = max(abs(reading.value), rise / reading.driver.coarsest)
    return rise == 0 or reading.error <= GOAL * slope


def _discard_roundings(samples: Samples, reach: float) -> None:
    """Forget the closest looks if what they see is the inside of a rounding.

    Between two roundings of an intermediate result, a function is smooth, but with a slope that
    has nothing to do with its derivative: (1 - cos x) / x**2 at x = 1e-3 is 2e-10 / x**2 as long as
    cos x rounds to the same number. Unlike a fine structure, roundings end in a jump.
    """
    finest, *coarser = samples.looks
    clear = CLEARLY * finest.noise
    noisy = [look for look in coarser if samples.is_noisy(look.noise) and look.noise > clear]
    if not noisy:
        return
    outside = noisy[0].step
    inside = read(samples, reach, until=outside)
    if inside.driver is None:
        return
    departure = samples.departure(1 if inside.right is not None else -1, inside.value)
    noise = STANDARD_DEVIATIONS * finest.noise
    if samples.jump_after(departure, finest.step, outside, lambda t: inside.error * t + noise):
        samples.discard_below(outside)


def _level(step: float) -> float:
    return -math.log2(step)
