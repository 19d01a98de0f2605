"""Choose the steps of central differences: balance truncation against round-off."""

from collections.abc import Callable, Sequence

import numpy as np

from .precision import EPSILON
from .pytrees import PyTree, flatten, unflatten

# Truncation of a central difference grows as h**2, round-off as eps/h: they meet near cbrt(eps).
RELATIVE_STEP = EPSILON ** (1 / 3)
# A third difference has truncation h**2 and round-off eps/h**3: they meet near eps**(1/5).
PROBE_STEP = EPSILON ** (1 / 5)
PROBED_ENTRIES = 3
# A probe without a signal is followed by one so many times as long; after so many of them, as for
# entries near 1e-150 of which f takes no notice, by ever longer ones.
LONGER, PATIENCE = 10.0, 8
# Where f shows no third derivative, round-off asks for ever longer steps; but the longer a step,
# the more kinks it crosses, as of ReLU: 1e-4 does for 0.8 % of the weights of a small net.
LONGEST_STEP = 2.0**-15

Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(entries, numbered over all leaves; a value for each) -> f with that entry moved there alone."""


def automatic_steps(losses: Losses, value: float, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a step for each entry of each leaf, in the leaf's shape.

    With the third derivative measured at a few entries, (3 eps |f| / |f'''|)**(1/3) minimises the
    sum of truncation h**2 |f'''| / 6 and round-off eps |f| / h (Press et al., Numerical Recipes,
    5.7). Entries beyond that scale take steps in proportion; none exceeds 2**-15 max(|x|, 1).

    value: f itself
    """
    scales = [_typical_size(leaf) for leaf in leaves]
    entries, owners, first = [], [], 0
    for owner, (leaf, scale) in enumerate(zip(leaves, scales, strict=True)):
        if leaf.size and np.isfinite(scale):
            probed = np.unique(np.linspace(0, leaf.size - 1, PROBED_ENTRIES).astype(int))
            entries.extend((first + probed).tolist())
            owners.extend([owner] * len(probed))
        first += leaf.size
    flat = np.concatenate([np.zeros(0), *(leaf.reshape(-1) for leaf in leaves)])
    numbers, probed_scales = np.array(entries, int), np.array([scales[owner] for owner in owners])
    balanced = _balanced_steps(losses, abs(value), numbers, flat[numbers], probed_scales)
    shortest = np.full(len(leaves), np.inf)
    np.minimum.at(shortest, np.array(owners, int), balanced)
    steps = []
    for leaf, scale, step in zip(leaves, scales, shortest, strict=True):
        sizes = np.abs(leaf)
        longest = LONGEST_STEP * np.maximum(sizes, 1.0)
        steps.append(np.asarray(np.minimum(longest, step * np.maximum(sizes / scale, 1.0))))
    return steps


def moved_losses(f: Callable[..., object], params: PyTree, args: tuple[PyTree, ...]) -> Losses:
    """Return `Losses` that evaluate f itself, once for each entry."""
    leaves, structure = flatten(params)
    starts = np.cumsum([0, *(leaf.size for leaf in leaves)])

    def losses(entries: np.ndarray, values: np.ndarray) -> np.ndarray:
        found = np.empty(len(entries))
        owners = np.searchsorted(starts, entries, side="right") - 1
        for place, (owner, entry, x) in enumerate(zip(owners, entries, values, strict=True)):
            moved = leaves[owner].copy()
            moved.flat[entry - starts[owner]] = x
            moved.flags.writeable = False
            changed = [*leaves[:owner], moved, *leaves[owner + 1 :]]
            found[place] = float(f(unflatten(structure, changed), *args))  # type: ignore[arg-type]
        return found

    return losses


def _typical_size(leaf: np.ndarray) -> float:
    """Return the root of the mean square of the entries, or 1 where all are zero."""
    largest = float(np.max(np.abs(leaf), initial=0.0))
    if not largest or not np.isfinite(largest):
        return largest or 1.0
    return largest * float(np.sqrt(np.mean((leaf / largest) ** 2)))  # a square may overflow


def _balanced_steps(
    losses: Losses, value: float, entries: np.ndarray, starts: np.ndarray, scales: np.ndarray
) -> np.ndarray:
    """Return the balanced step of each entry, or infinity where no third derivative shows."""
    steps = np.full(len(entries), np.inf)
    probes = PROBE_STEP * scales
    searching = np.arange(len(entries))
    for attempt in range(1000):
        searching = searching[probes[searching] < np.maximum(scales[searching], 1.0)]
        if not len(searching):
            break
        shifts = np.multiply.outer([1, 2, -1, -2], probes[searching])
        moved = (starts[searching] + shifts).reshape(-1)
        up, far_up, down, far_down = losses(np.tile(entries[searching], 4), moved).reshape(4, -1)
        third_difference = np.abs(far_up - 2 * up + 2 * down - far_down)
        # Where f passes through zero, values around it still are rounded, and say by how much.
        size = np.max(np.abs([up, far_up, down, far_down]), axis=0, initial=value)
        # Six roundings of values of the size of f; ten times that is a signal.
        signal = third_difference > 10 * 6 * EPSILON * size
        # With f''' = third_difference / (2 probe**3), which may be out of range by itself.
        ratio = 6 * EPSILON * size[signal] / third_difference[signal]
        steps[searching[signal]] = probes[searching[signal]] * ratio ** (1 / 3)
        searching = searching[~signal & np.isfinite(third_difference)]
        probes[searching] *= LONGER ** max(1, attempt - PATIENCE)
    return steps
