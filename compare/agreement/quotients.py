"""Judge a difference quotient as what it is: exact for its own step, not for the limit."""

import math
from collections.abc import Callable

import numpy as np

from gradparity.backends.error_bars.samples import difference_table_noise
from gradparity.backends.precision import EPSILON, UNIT_ROUNDOFF

from ..checking.function import Function, Span

# A step that the backend chooses is at most 2**-15 max(|x|, 1), and where f is rough down to
# 2**-30 of the entry's size.
LONGEST_STEP = 2.0**-15
SMALLEST_STEP = 2.0**-30
# Roundings of two values of f; what f does within them is noise to a quotient.
ROUNDINGS = 64
# Noise of two values, four standard deviations of each.
DEVIATIONS = 8
# Rounded values look smooth until they vary by several roundings; f is still a parabola there.
NOISE_REACH = 16
POINTS = 9


def is_a_quotient(
    function: Function, leaf: int, entry: int, got: float, step: float | None, dtype: str
) -> bool:
    """Tell whether `got` is a central difference of f by one entry, whatever its step was.

    At a kink or a jump within the step, and where f is noisy, a quotient is far from the
    derivative and no error of the one who took it: it lies between quotients of neighbouring
    steps, or within their noise.

    step: the one that was taken; None where the backend chose it; dtype: of its results
    """
    phi = function.along({Span(leaf, entry, entry + 1): np.ones(1)})
    described = function.leaves[leaf]
    size = max(abs(float(described.array.reshape(-1)[entry])), described.scale)
    steps = _ladder(size) if step is None else np.array([step, step / 2])
    values = np.array([[phi(h), phi(-h)] for h in steps])
    quotients = (values[:, 0] - values[:, 1]) / (2 * steps)
    if not math.isfinite(got):
        return not np.isfinite(quotients).all()
    reach = NOISE_REACH * min(float(steps.max()), EPSILON ** (1 / 3) * size)
    noise = np.maximum(
        ROUNDINGS * EPSILON * np.abs(values).max(axis=1), DEVIATIONS * _noise_beside(phi, reach)
    )
    slack = noise / steps + 2 * UNIT_ROUNDOFF[dtype] * abs(got)
    low, high = quotients - slack, quotients + slack
    # Between two rungs the quotient passes through every value between theirs.
    return bool(
        np.any((np.minimum(low[:-1], low[1:]) <= got) & (got <= np.maximum(high[:-1], high[1:])))
    )


def _noise_beside(phi: Callable[[float], float], reach: float) -> float:
    """Return the standard deviation of the noise of phi between 0 and reach, 0 left out."""
    # Irregular by the golden section, so that no staircase of rounded values looks like a line.
    nodes = 1 + np.arange(POINTS) + 0.5 * (np.arange(POINTS) * 0.6180339887 % 1.0)
    shifts = reach * nodes / nodes[-1]
    values = np.array([phi(float(shift)) for shift in shifts])
    return difference_table_noise(shifts, values) if np.isfinite(values).all() else math.inf


def _ladder(size: float) -> np.ndarray:
    largest = LONGEST_STEP * max(size, 1.0)
    rungs = math.ceil(math.log2(largest / (size * SMALLEST_STEP)))
    return largest * 2.0 ** -np.arange(rungs + 1)
