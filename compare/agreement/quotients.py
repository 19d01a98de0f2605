"""Judge a difference quotient as what it is: exact for its own step, not for the limit."""

import math

import numpy as np

from ..checking.black_box import BlackBox, Span
from ..local_noise import noise_beside

EPSILON = 2.0**-52
# A step that the backend chooses is at most 2**-15 max(|x|, 1). Where f is rough it is down to
# (6 eps |f| / third difference)**(1/3) of a probe of eps**(1/5) times the leaf's size: 2**-30.
LONGEST_STEP = 2.0**-15
SMALLEST_STEP = 2.0**-30
RELATIVE_STEP = EPSILON ** (1 / 3)
# Noise of two values, four standard deviations of each.
DEVIATIONS = 8
# Rounded values look smooth until they vary by several roundings; f is still a parabola there.
NOISE_REACH = 16


def is_a_quotient(
    black_box: BlackBox, leaf: int, entry: int, got: float, step: float | None, epsilon: float
) -> bool:
    """Tell whether `got` is a central difference of f by one entry, whatever its step was.

    At a kink or a jump within the step, and where f is noisy, a quotient is far from the
    derivative and still not wrong: it has to lie between quotients of neighbouring steps, or
    within their noise.

    step: the one that was taken; None where the backend chose it; epsilon: of its results' dtype
    """
    phi = black_box.along({Span(leaf, entry, entry + 1): np.ones(1)})
    size = max(abs(float(black_box.leaves[leaf].reshape(-1)[entry])), black_box.scales[leaf])
    steps = _ladder(size) if step is None else np.array([step, step / 2])
    quotients = np.array([(phi(h) - phi(-h)) / (2 * h) for h in steps])
    reach = NOISE_REACH * (
        RELATIVE_STEP * size if step is None else min(step, RELATIVE_STEP * size)
    )
    slack = DEVIATIONS * noise_beside(phi, reach) / steps + epsilon * abs(got)
    if not math.isfinite(got):
        return not np.isfinite(quotients).all()
    low, high = quotients - slack, quotients + slack
    # Between two rungs the quotient passes through every value between theirs.
    return bool(
        np.any((np.minimum(low[:-1], low[1:]) <= got) & (got <= np.maximum(high[:-1], high[1:])))
    )


def _ladder(size: float) -> np.ndarray:
    largest = LONGEST_STEP * max(size, 1.0)
    rungs = math.ceil(math.log2(largest / (size * SMALLEST_STEP)))
    return largest * 2.0 ** -np.arange(rungs + 1)
