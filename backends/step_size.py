"""Choose the steps of central differences: balance truncation against round-off."""

from collections.abc import Callable

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
# Truncation of a central difference grows as h**2, round-off as eps/h: they meet near cbrt(eps).
RELATIVE_STEP = EPSILON ** (1 / 3)
# A third difference has truncation h**2 and round-off eps/h**3: they meet near eps**(1/5).
PROBE_STEP = EPSILON ** (1 / 5)
PROBED_ENTRIES = 3
# Where f shows no third derivative, round-off asks for ever longer steps; but the longer a step,
# the more kinks it crosses, as of ReLU: 1e-4 does for 0.8 % of the weights of a small net.
LONGEST_STEP = 2.0**-15


def automatic_steps(
    along_entry: Callable[[int], Callable[[float], float]], leaf: np.ndarray
) -> np.ndarray:
    """Return a step for each entry of one leaf, in the leaf's shape.

    With the third derivative measured at a few entries, (3 eps |f| / |f'''|)**(1/3) minimises the
    sum of truncation h**2 |f'''| / 6 and round-off eps |f| / h (Press et al., Numerical Recipes,
    5.7). Entries beyond that scale take steps in proportion; none exceeds 2**-15 max(|x|, 1).

    along_entry: gives for a flat index the function `shift -> f` that moves this entry alone
    """
    sizes = np.abs(leaf)
    longest = LONGEST_STEP * np.maximum(sizes, 1.0)
    typical = float(np.sqrt(np.mean(leaf**2))) if leaf.size else 0.0
    if not (leaf.size and np.isfinite(typical)):
        return np.asarray(longest)
    typical = typical or 1.0
    probed = np.unique(np.linspace(0, leaf.size - 1, PROBED_ENTRIES).astype(int))
    balanced = min(_balanced_step(along_entry(int(entry)), typical) for entry in probed)
    steps: np.ndarray = np.minimum(longest, balanced * np.maximum(sizes / typical, 1.0))
    return steps


def _balanced_step(along: Callable[[float], float], scale: float) -> float:
    """Return the balanced step along one entry, or infinity where no third derivative shows."""
    value = abs(along(0.0))
    probe = PROBE_STEP * scale
    while probe < max(scale, 1.0):
        up, far_up, down, far_down = (along(k * probe) for k in (1, 2, -1, -2))
        third_difference = abs(far_up - 2 * up + 2 * down - far_down)
        # Where f passes through zero, values around it still are rounded, and say by how much.
        size = max(value, *map(abs, (up, far_up, down, far_down)))
        # Six roundings of values of the size of f; ten times that is a signal.
        if third_difference > 10 * 6 * EPSILON * size:
            third_derivative = third_difference / (2 * probe**3)
            return float((3 * EPSILON * size / third_derivative) ** (1 / 3))
        if not np.isfinite(third_difference):
            break
        probe *= 10
    return float("inf")
