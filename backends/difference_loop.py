"""The plain loop of central differences: two evaluations for each entry, as the book has it."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .base import ModelFunction
from .pytrees import PyTree, flatten, unflatten
from .step_size import RELATIVE_STEP

# As many chunks make a smooth progress bar and can be shared among many workers.
CHUNKS = 200
# Fewer entries to a chunk, and handing chunks to workers takes a share of the time that shows.
SMALL_CHUNK = 25
FEWEST_CHUNKS = 8


def chunk_size(entries: int) -> int:
    """Return how many of the entries of a plain loop make a chunk of work."""
    return max(1, entries // min(CHUNKS, max(entries // SMALL_CHUNK, FEWEST_CHUNKS)))


class Sweep(NamedTuple):
    """What all tasks of a sweep share, float64 params and a step for each entry of each leaf.

    One tuple, since joblib's Dask backend would put a larger array that is an argument by itself
    on one worker, and whatever dies with a worker and was not computed is lost.
    """

    f: ModelFunction
    params: PyTree
    args: tuple[PyTree, ...]
    steps: tuple[np.ndarray, ...]


def difference_entries(sweep: Sweep, position: int, entries: Iterable[int]) -> np.ndarray:
    """Return the central differences of f at some entries, flat indices, of one leaf."""
    f, params, args, steps = sweep
    moved, flat = with_own_leaf(params, position)
    flat_steps = steps[position].reshape(-1)

    def difference(entry: int, step: float) -> float:
        start = flat[entry]
        flat[entry] = ahead = start + step
        f_ahead = float(f(moved, *args))
        flat[entry] = behind = start - step
        f_behind = float(f(moved, *args))
        flat[entry] = start
        # The step that was taken is the one that start + step rounds to; a fixed one may be lost
        # in a large entry, and f then seems flat.
        taken = float(ahead - behind)
        return (f_ahead - f_behind) / taken if taken else 0.0

    differences = np.empty(len(list(entries)))
    for index, entry in enumerate(entries):
        differences[index] = difference(entry, flat_steps[entry])
        if not np.isfinite(differences[index]) and flat[entry] != 0:
            # The step may have left the domain, as log does near 0: stay within the entry's size.
            with np.errstate(all="ignore"):
                differences[index] = difference(entry, RELATIVE_STEP * abs(flat[entry]))
    return differences


def with_own_leaf(params: PyTree, position: int) -> tuple[PyTree, np.ndarray]:
    """Return params with one leaf copied, which f sees read-only, and that copy, flat."""
    leaves, structure = flatten(params)
    own = leaves[position].copy()
    view = read_only(own)
    return unflatten(structure, [*leaves[:position], view, *leaves[position + 1 :]]), own.reshape(
        -1
    )


def read_only(leaf: np.ndarray) -> np.ndarray:
    view = np.asarray(leaf).view()
    view.flags.writeable = False
    return view
