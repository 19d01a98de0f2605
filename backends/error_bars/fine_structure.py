"""Tell noise from a fine structure that is meant, where more is seen than round-off explains."""

import numpy as np

from .one_sided import Reading, read
from .samples import EPSILON, Look, Samples

# More noise than so many roundings of the largest value near 0 needs an explanation.
ROUNDINGS = 128
NEAR = 2.0**-5
# A closer look that sees this much less noise has resolved it.
RESOLVED = 16.0
# A jump is seen within this factor of the step.
NARROW = 1.02
# Ripples this much smaller than the function's own change may be noise to the one who calls.
RIPPLE = 2.0**-9
# Less change than this many times the noise at every look is no more than noise.
DROWNED = 16.0
# Within this part of the scale a trend shows, if its bar is no longer than this part of it.
PLAIN = 0.2
TREND = 0.05


def is_noisy(samples: Samples, noise: float) -> bool:
    """Tell whether there is more noise than round-off explains."""
    return noise > ROUNDINGS * EPSILON * max(abs(samples.origin), samples.rise(NEAR))


def discard_roundings(samples: Samples, reach: float) -> bool:
    """Forget the closest looks if what they see is the inside of a rounding; tell whether so.

    Between two roundings of an intermediate result, a function is smooth, but with a slope that
    has nothing to do with its derivative: (1 - cos x) / x**2 at x = 1e-3 is 2e-10 / x**2 as long as
    cos x rounds to the same number. Unlike a fine structure, roundings end in a jump.
    """
    finest = samples.looks[0]
    noisy = [
        look
        for look in samples.looks[1:]
        if is_noisy(samples, look.noise) and look.noise > RESOLVED * finest.noise
    ]
    if not noisy or not _ends_in_a_jump(samples, finest, noisy[0], reach):
        return False
    samples.discard_below(noisy[0].step)
    return True


def _ends_in_a_jump(samples: Samples, fine: Look, noisy: Look, reach: float) -> bool:
    """Follow the slope at the fine look out to where it ends."""
    inside = read(samples, reach, until=noisy.step)
    if inside.driver is None:
        return False
    sign = 1 if inside.right is not None else -1

    def departure(t: float) -> tuple[float, float]:
        """Return how far phi(t) is from the straight line, and how far it may be by the bars."""
        change = samples.at(sign * t) - samples.origin
        return abs(sign * change - inside.value * t), inside.error * t + 8 * fine.noise

    straight, bent = fine.step, noisy.step
    distance, bar = departure(straight)
    if distance > bar:
        return False  # it is curved already, and not by a jump
    while bent > NARROW * straight:
        middle = float(np.sqrt(straight * bent))
        distance, bar = departure(middle)
        if distance <= bar:
            straight = middle
        else:
            bent = middle
    distance, bar = departure(bent)
    return distance > max(16 * bar, noisy.noise / 4)


def with_ripples(samples: Samples, reading: Reading) -> tuple[float, float]:
    """Return the derivative of the trend, with a bar that covers that of fine ripples on it.

    Whether they are noise or meant is for the caller to know: "cannot tell" is the right answer.
    An oscillation too fast for the finest look drowns the trend; its slope is unknown.
    """
    finest = next((look.noise for look in samples.looks if not look.flat), 0.0)
    if is_noisy(samples, finest) and samples.rise(PLAIN) < DROWNED * finest:
        return reading.value, np.inf
    for look in samples.looks[:0:-1]:
        ripple = is_noisy(samples, look.noise) and look.noise > RESOLVED * finest
        if ripple and look.noise < RIPPLE * samples.rise(PLAIN):
            trend = read(samples, PLAIN, beyond=look.step)
            if trend.error < TREND * abs(trend.value):
                error = abs(trend.value - reading.value) + max(trend.error, reading.error)
                return trend.value, error
    return reading.value, reading.error
