"""Chunks of a structured sweep: entries whose perturbed copies are evaluated together.

A chunk is a unit of work for a thread or a process. Within it, batches of entries are evaluated one
after the other, so that memory stays bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import GradparityError
from .block_memory import block_memory
from .recorded_problem import Group, RecordedProblem
from .replay import Work

Loop = Callable[[int, np.ndarray], np.ndarray]
"""The plain loop: (position of a leaf, flat indices of entries) -> their differences."""

# What a wrong rule, or an f that is not made for recorded arrays, may raise: not the timeouts and
# interrupts that come from elsewhere.
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    GradparityError,
    LookupError,
    MemoryError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Problem:
    """What all chunks share: a recorded function, and a step for each entry of each leaf."""

    recorded: RecordedProblem
    steps: tuple[np.ndarray, ...]
    loop: Loop

    def looped(self, entries: np.ndarray) -> np.ndarray:
        """Return the plain loop's differences at entries, numbered over all leaves."""
        leaves, flat = self.recorded.located(entries)
        if leaves[0] == leaves[-1] and (leaves == leaves[0]).all():
            return self.loop(int(leaves[0]), flat)
        differences = np.empty(len(entries))
        for leaf in np.unique(leaves).tolist():
            differences[leaves == leaf] = self.loop(leaf, flat[leaves == leaf])
        return differences

    def points(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values that these entries take, a step ahead and a step behind."""
        leaves, flat = self.recorded.located(entries)
        start, step = np.empty(len(entries)), np.empty(len(entries))
        for leaf in np.unique(leaves).tolist():
            at = leaves == leaf
            start[at] = self.recorded.leaves[leaf].reshape(-1)[flat[at]]
            step[at] = self.steps[leaf].reshape(-1)[flat[at]]
        return start + step, start - step


@dataclass(frozen=True)
class Chunk:
    """Entries of one group of leaves, in the order in which they are evaluated.

    edges: where batches of entries that are evaluated together begin, and the end of the last
    structured: whether they are, or the plain loop takes the entries one by one
    """

    group: Group
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
                values = [structured_differences(problem, chunk.group, b)[0] for b in batches]
            return Differences(np.concatenate(values))
        except FAILURES as error:  # the plain loop tells whether f is to blame
            doubt = explained(error)
    return Differences(problem.looped(entries), doubt)


def structured_differences(
    problem: Problem, group: Group, entries: np.ndarray, most_work: float = np.inf
) -> tuple[np.ndarray, Work]:
    """Return the differences at entries of a group, from copies evaluated together.

    Where f itself is not finite they are the plain loop's, which knows of steps out of a domain.
    most_work: as `Program.run` takes it
    raises: what f raises on recorded arrays; CopiesDiffer; FloatingPointError where only the copies
        are not finite; TooMuchWork
    """
    recorded = problem.recorded
    ahead, behind = problem.points(entries)
    moved, values = np.concatenate([entries, entries]), np.concatenate([ahead, behind])
    losses, work = recorded.losses(group, moved, values, most_work)
    with np.errstate(all="ignore"):
        differences = np.subtract(*np.split(losses, 2)) / (ahead - behind)
    differences[ahead == behind] = 0.0  # the step is lost in a large entry, and f does not move
    strange = ~np.isfinite(differences)
    if strange.any():
        one = int(np.argmax(strange))
        alone = [recorded.loss_at(int(entries[one]), x[one]) for x in (ahead, behind)]
        if np.isfinite(alone).all():
            raise FloatingPointError(f"perturbed copies are not finite where f is {alone[0]!r}")
        differences[strange] = problem.looped(entries[strange])
    return differences, work


def chunk_entries(problem: Problem, chunk: Chunk) -> np.ndarray:
    """Return the entries of a chunk, numbered over all leaves."""
    return problem.recorded.group_entries(chunk.group, chunk.edges[0], chunk.edges[-1])


def explained(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
