"""Gradients made wrong on purpose, in the ways that gradients go wrong in practice."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

Leaves = list[np.ndarray]
# Where a fault sits; an index of None stands for the whole leaf.
Place = tuple[int, tuple[int, ...] | None]


@dataclass(frozen=True)
class PlantedFault:
    """A right gradient made wrong: what was done, the wrong leaves, and where they are wrong."""

    pattern: str
    leaves: Leaves
    leaf: int
    index: tuple[int, ...] | None


Planter = Callable[[Leaves, Generator, int], tuple[Leaves, Place] | None]

# A fault in one entry is this share of its leaf's largest entry.
ENTRY_SHARE = 1e-4
# A difference smaller than this share of the largest entry is none that could be asked for: the
# arbiter's own bars are about a tenth of it.
SMALLEST_FAULT = 1e-9


def plant_faults(leaves: Leaves, generator: Generator, batch: int) -> list[PlantedFault]:
    """Return the gradient with each fault that can be planted in it.

    leaves: a right gradient; batch: how many samples its loss is the mean of, 1 if of none
    """
    faults = []
    for pattern, planter in PLANTERS.items():
        planted = planter([leaf.copy() for leaf in leaves], generator, batch)
        if planted is None:
            continue
        wrong, (leaf, index) = planted
        if _matters(leaves[leaf], wrong[leaf]):
            faults.append(PlantedFault(pattern, wrong, leaf, index))
    return faults


def _matters(right: np.ndarray, wrong: np.ndarray) -> bool:
    if right.shape != wrong.shape:
        return True
    scale = float(np.max(np.abs(right), initial=0.0))
    return bool(np.max(np.abs(wrong - right), initial=0.0) > SMALLEST_FAULT * scale)


def _changed(change: Callable[[np.ndarray], np.ndarray]) -> Planter:
    """Return a planter that changes one leaf, drawn at random, as a whole."""

    def plant(leaves: Leaves, generator: Generator, batch: int) -> tuple[Leaves, Place]:
        leaf = int(generator.integers(len(leaves)))
        leaves[leaf] = change(leaves[leaf])
        return leaves, (leaf, None)

    return plant


def _missing_mean(leaves: Leaves, generator: Generator, batch: int) -> tuple[Leaves, Place] | None:
    if batch < 2:
        return None
    leaf = int(generator.integers(len(leaves)))
    leaves[leaf] = leaves[leaf] * batch
    return leaves, (leaf, None)


def _transposed(leaves: Leaves, generator: Generator, batch: int) -> tuple[Leaves, Place] | None:
    matrices = [
        leaf for leaf, array in enumerate(leaves) if array.ndim == 2 and min(array.shape) > 1
    ]
    if not matrices:
        return None
    leaf = int(generator.choice(matrices))
    leaves[leaf] = np.ascontiguousarray(leaves[leaf].T).reshape(leaves[leaf].shape)
    return leaves, (leaf, None)


def _unsummed(leaves: Leaves, generator: Generator, batch: int) -> tuple[Leaves, Place] | None:
    vectors = [leaf for leaf, array in enumerate(leaves) if array.ndim == 1]
    if batch < 2 or not vectors:
        return None
    leaf = int(generator.choice(vectors))
    leaves[leaf] = np.broadcast_to(leaves[leaf] / batch, (batch, *leaves[leaf].shape)).copy()
    return leaves, (leaf, None)


def _swapped(leaves: Leaves, generator: Generator, batch: int) -> tuple[Leaves, Place] | None:
    pairs = [
        (first, second)
        for first in range(len(leaves))
        for second in range(first + 1, len(leaves))
        if leaves[first].shape == leaves[second].shape
    ]
    if not pairs:
        return None
    first, second = pairs[int(generator.integers(len(pairs)))]
    leaves[first], leaves[second] = leaves[second], leaves[first]
    return leaves, (first, None)


def _one_entry(leaves: Leaves, generator: Generator, batch: int) -> tuple[Leaves, Place]:
    leaf = int(generator.integers(len(leaves)))
    index = tuple(int(generator.integers(length)) for length in leaves[leaf].shape)
    leaves[leaf][index] += ENTRY_SHARE * np.max(np.abs(leaves[leaf]))
    return leaves, (leaf, index)


PLANTERS: dict[str, Planter] = {
    "sign": _changed(lambda leaf: -leaf),
    "factor 2": _changed(lambda leaf: 2 * leaf),
    "missing 1/N": _missing_mean,
    "transposed": _transposed,
    "unsummed broadcast": _unsummed,
    "detached (zero)": _changed(np.zeros_like),
    "swapped leaves": _swapped,
    "one entry": _one_entry,
    "rounded to float32": _changed(lambda leaf: leaf.astype(np.float32).astype(np.float64)),
}
