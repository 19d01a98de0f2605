"""Chunks of a structured sweep: entries of one leaf whose perturbed copies are evaluated together.

A chunk is a unit of work for a thread or a process. Within it, batches of entries are evaluated one
after the other, so that memory stays bounded.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import TooMuchMemory
from ..pytrees import PyTree, flatten, unflatten
from .block_memory import block_memory
from .perturbed_array import Index, PerturbedArray, Places
from .recorded_array import RecordedArray
from .recording import Recording
from .replay import Program, Work

Loop = Callable[[int, np.ndarray], np.ndarray]
"""The plain loop: (position of a leaf, flat indices of entries) -> their differences."""

# A product of two perturbed arrays spans, reorders and multiplies both: seven arrays besides those
# that the program holds.
SPARE_ROOM = 8


@dataclass(frozen=True)
class Problem:
    """What all chunks share: f(params, *args) and a step for each entry of each leaf.

    params: float64 leaves; max_bytes: about what one chunk's blocks may take up
    A copy in another process records f for itself.
    """

    f: Callable[..., Any]
    params: PyTree
    args: tuple[PyTree, ...]
    steps: tuple[np.ndarray, ...]
    loop: Loop
    max_bytes: int

    @cached_property
    def leaves(self) -> list[np.ndarray]:
        return flatten(self.params)[0]

    @cached_property
    def recording(self) -> Recording:
        with np.errstate(all="ignore"):  # what there is to warn about, the plain loop shows
            return Recording.of(self.f, self.params, self.args)

    @cached_property
    def programs(self) -> list[Program]:
        return [Program.of(self.recording, leaf) for leaf in range(len(self.leaves))]

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Chunk:
    """Entries of one leaf, numbered in column-major order.

    edges: where batches of entries that are evaluated together begin, and the end of the last
    structured: whether they are, or the plain loop takes the entries one by one
    """

    leaf: int
    edges: tuple[int, ...]
    structured: bool = True


@dataclass(frozen=True)
class Differences:
    """One value for each entry of a chunk; `doubt` says why they are the plain loop's, if so."""

    values: np.ndarray
    doubt: str | None = None


def difference_chunk(problem: Problem, chunk: Chunk) -> Differences:
    """Return the central differences of f at the entries of a chunk, in its order."""
    entries = chunk_entries(problem, chunk)
    doubt = None
    if chunk.structured:
        batches = np.split(entries, np.subtract(chunk.edges[1:-1], chunk.edges[0]))
        try:
            with block_memory():
                values = [structured_differences(problem, chunk.leaf, b)[0] for b in batches]
            return Differences(np.concatenate(values))
        except Exception as error:  # whatever it is: the plain loop tells whether f is to blame
            doubt = explained(error)
    return Differences(problem.loop(chunk.leaf, entries), doubt)


def structured_differences(
    problem: Problem, leaf: int, entries: np.ndarray
) -> tuple[np.ndarray, Work]:
    """Return the differences at entries, flat indices of one leaf, from copies evaluated together.

    Where f itself is not finite they are the plain loop's, which knows of steps out of a domain.
    raises: what f raises on recorded arrays; CopiesDiffer; FloatingPointError where only the copies
        are not finite
    """
    array, steps = problem.leaves[leaf], problem.steps[leaf]
    at = np.unravel_index(entries, array.shape)
    ahead, behind = array[at] + steps[at], array[at] - steps[at]
    copies = np.concatenate([ahead, behind])
    places = Places(
        np.arange(len(copies)),
        tuple(
            _index(np.tile(index, 2)) if length > 1 else None
            for index, length in zip(at, array.shape, strict=True)
        ),
    )
    values = copies.reshape((1,) * array.ndim + (-1,))
    limit = problem.max_bytes / (SPARE_ROOM * array.itemsize)
    try:
        perturbed, work = problem.programs[leaf].run(PerturbedArray(array, values, places), limit)
    except TooMuchMemory:
        if len(entries) == 1:
            raise
        (first, work), (second, _) = (
            structured_differences(problem, leaf, half) for half in np.array_split(entries, 2)
        )
        return np.concatenate([first, second]), work
    losses = np.full(len(copies), unperturbed_loss(problem))
    if perturbed is not None:
        losses[perturbed.places.copies] = perturbed.values
    with np.errstate(all="ignore"):
        differences = np.subtract(*np.split(losses, 2)) / (ahead - behind)
    differences[ahead == behind] = 0.0  # the step is lost in a large entry, and f does not move
    strange = ~np.isfinite(differences)
    if strange.any():
        one = int(np.argmax(strange))
        alone = [loss_at(problem, leaf, int(entries[one]), x[one]) for x in (ahead, behind)]
        if np.isfinite(alone).all():
            raise FloatingPointError(f"perturbed copies are not finite where f is {alone[0]!r}")
        differences[strange] = problem.loop(leaf, entries[strange])
    return differences, work


def batch_edges(shape: tuple[int, ...], batch: int) -> list[int]:
    """Return where to cut a leaf into batches: within a last index evenly, or between them.

    Copies of one batch then mostly share their last index, and blocks of the base need no copying.
    """
    column, columns = math.prod(shape[:-1]), math.prod(shape[-1:])
    if batch >= column:
        return [*range(0, column * columns, batch - batch % column), column * columns]
    cuts = np.linspace(0, column, -(-column // batch), endpoint=False).astype(int)
    return [*np.add.outer(np.arange(columns) * column, cuts).flat, column * columns]


def chunk_entries(problem: Problem, chunk: Chunk) -> np.ndarray:
    """Return the flat indices of the entries of a chunk."""
    shape = problem.leaves[chunk.leaf].shape
    numbers = np.arange(chunk.edges[0], chunk.edges[-1])
    if not shape:
        return numbers
    return np.ravel_multi_index(np.unravel_index(numbers, shape, order="F"), shape)


def explained(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _index(index: np.ndarray) -> Index:
    return int(index[0]) if (index == index[0]).all() else index


def loss_at(problem: Problem, leaf: int, entry: int, value: float) -> float:
    """Return f with one entry, a flat index, set to a value."""
    leaves, structure = flatten(problem.params)
    moved = leaves[leaf].copy()
    moved.flat[entry] = value
    with np.errstate(all="ignore"):
        return float(
            problem.f(
                unflatten(structure, [*leaves[:leaf], moved, *leaves[leaf + 1 :]]), *problem.args
            )
        )


def unperturbed_loss(problem: Problem) -> float:
    result = problem.recording.result
    return float(result.value if isinstance(result, RecordedArray) else result)
