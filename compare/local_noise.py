"""The noise of a function of one variable next to a point."""

import math
from collections.abc import Callable

import numpy as np

from gradparity.backends.error_bars.noise import difference_table_noise

EPSILON = 2.0**-52
POINTS = 9


def noise_beside(phi: Callable[[float], float], reach: float) -> float:
    """Return the standard deviation of the noise of phi between 0 and reach, 0 left out.

    At least a rounding of the values; infinite where one of them is not finite
    """
    # Irregular by the golden section, so that no staircase of rounded values looks like a line.
    nodes = 1 + np.arange(POINTS) + 0.5 * (np.arange(POINTS) * 0.6180339887 % 1.0)
    shifts = reach * nodes / nodes[-1]
    values = np.array([phi(float(shift)) for shift in shifts])
    if not np.isfinite(values).all():
        return math.inf
    measured = difference_table_noise(np.abs(shifts), values)
    return max(measured, EPSILON * float(np.abs(values).max()))
