"""A function at its parameters, recorded: its values at many perturbed copies of them.

Entries are numbered over all leaves, one after the other, each in row-major order.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import TooMuchMemory
from ..pytrees import PyTree, flatten, unflatten
from .perturbed_array import Index, PerturbedArray, Places
from .recorded_array import RecordedArray
from .recording import Recording
from .replay import RULE, Program, Work

Group = tuple[int, ...]
"""Neighbouring leaves whose entries are evaluated together."""

# A product of two perturbed arrays spans, reorders and multiplies both: seven arrays besides those
# that the program holds.
SPARE_ROOM = 8


# How much of what the plain loop takes may be spent on recording f.
RECORDING = 0.1


@dataclass(frozen=True)
class RecordedProblem:
    """f(params, *args), to be evaluated where entries of params have other values.

    params: float64 leaves; max_bytes: about what the blocks of one evaluation may take up
    share: how much of what the plain loop takes may be spent on recording f
    A copy in another process records f for itself.
    """

    f: Callable[..., Any]
    params: PyTree
    args: tuple[PyTree, ...]
    max_bytes: int
    share: float = RECORDING

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in self.__dataclass_fields__}

    @cached_property
    def leaves(self) -> list[np.ndarray]:
        return flatten(self.params)[0]

    @cached_property
    def starts(self) -> np.ndarray:
        """The number of each leaf's first entry, and that of all entries."""
        return np.cumsum([0, *(leaf.size for leaf in self.leaves)])

    @cached_property
    def recording(self) -> Recording:
        with np.errstate(all="ignore"):  # what there is to warn about, the plain loop shows
            evaluations = 2 * int(self.starts[-1])
            return Recording.of(self.f, self.params, self.args, most_work=self.share * evaluations)

    @cached_property
    def groups(self) -> list[Group]:
        """All leaves in order: together while evaluating rules takes longer than their blocks."""
        operations = self.recording.operations
        work = sum(operation.work for operation in operations)
        most = RULE * len(operations) / max(2 * work, 1.0)
        groups: list[list[int]] = []
        entries = 0
        for leaf, array in enumerate(self.leaves):
            entries += array.size
            if not groups or entries > most:
                groups.append([])
                entries = array.size
            groups[-1].append(leaf)
        return [tuple(group) for group in groups]

    @cached_property
    def _programs(self) -> dict[Group, Program]:
        return {}

    def program(self, group: Group) -> Program:
        if group not in self._programs:
            self._programs[group] = Program.of(self.recording, group)
        return self._programs[group]

    def size(self, group: Group) -> int:
        return int(self.starts[group[-1] + 1] - self.starts[group[0]])

    def located(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the leaf of each entry, and its flat index there."""
        leaves = np.searchsorted(self.starts, entries, side="right") - 1
        return leaves, entries - self.starts[leaves]

    def group_entries(self, group: Group, start: int, stop: int) -> np.ndarray:
        """Return entries of a group; those of a single leaf are taken column by column."""
        numbers = np.arange(start, stop)
        shape = self.leaves[group[0]].shape
        if len(group) == 1 and len(shape) > 1:
            numbers = np.ravel_multi_index(np.unravel_index(numbers, shape, order="F"), shape)
        return np.asarray(numbers + self.starts[group[0]])

    def batch_edges(self, group: Group, batch: int) -> list[int]:
        """Return where to cut a group into batches.

        A single leaf is cut within a last index evenly, or between them. Copies of one batch then
        mostly share their last index, and blocks of the base need no copying.
        """
        size = self.size(group)
        if len(group) > 1:
            return [*range(0, size, batch), size]
        shape = self.leaves[group[0]].shape
        column, columns = math.prod(shape[:-1]), math.prod(shape[-1:])
        if batch >= column:
            return [*range(0, size, batch - batch % column), size]
        cuts = np.linspace(0, column, -(-column // batch), endpoint=False).astype(int)
        return [*np.add.outer(np.arange(columns) * column, cuts).flat, size]

    # Values.

    @property
    def unperturbed_loss(self) -> float:
        result = self.recording.result
        return float(result.value if isinstance(result, RecordedArray) else result)

    def loss_at(self, entry: int, value: float) -> float:
        """Return f itself with one entry set to a value."""
        return self.loss_with(np.asarray([entry]), np.asarray([value]))

    def loss_with(self, entries: np.ndarray, values: np.ndarray) -> float:
        """Return f itself with some entries set to values."""
        leaves, structure = self.leaves.copy(), flatten(self.params)[1]
        for leaf, flat, value in zip(*self.located(entries), values, strict=True):
            if leaves[leaf] is self.leaves[leaf]:
                leaves[leaf] = leaves[leaf].copy()
            leaves[leaf].flat[flat] = value
        with np.errstate(all="ignore"):
            return float(self.f(unflatten(structure, leaves), *self.args))

    def replayed_with(self, group: Group, entries: np.ndarray, values: np.ndarray) -> float:
        """Return what the recording gives with some entries set to values, one of each leaf."""
        arrays = self._copies(group, entries, values)
        one = np.zeros(1, np.intp)
        for leaf, array in arrays.items():
            places = Places(one, array.places.at)
            arrays[leaf] = PerturbedArray(array.base, array.values, places)
        result, _ = self.program(group).run(arrays, 1)
        return self.unperturbed_loss if result is None else float(result.values[0])

    def losses(
        self, group: Group, entries: np.ndarray, values: np.ndarray, most_work: float = np.inf
    ) -> tuple[np.ndarray, Work]:
        """Return f where one entry of the group has another value, for each entry and value.

        most_work: as `Program.run` takes it, for all of them
        """
        limit = self.max_bytes / (SPARE_ROOM * np.dtype(np.float64).itemsize)
        try:
            result, work = self.program(group).run(
                self._copies(group, entries, values), len(entries), limit, most_work
            )
        except TooMuchMemory:
            if len(entries) == 1:
                raise
            halves = zip(np.array_split(entries, 2), np.array_split(values, 2), strict=True)
            (first, work), (second, _) = (
                self.losses(group, *half, most_work=most_work) for half in halves
            )
            return np.concatenate([first, second]), work
        losses = np.full(len(entries), self.unperturbed_loss)
        if result is not None:
            losses[result.places.copies] = result.values
        return losses, work

    def _copies(
        self, group: Group, entries: np.ndarray, values: np.ndarray
    ) -> dict[int, PerturbedArray]:
        """Return the leaves that are perturbed, each copy in one entry of one of them."""
        leaves, flat = self.located(entries)
        arrays = {}
        for leaf in group:
            copies = np.flatnonzero(leaves == leaf)
            if not len(copies):
                continue
            array = self.leaves[leaf]
            indices = np.unravel_index(flat[copies], array.shape) if array.ndim else ()
            places = Places(
                copies,
                tuple(
                    _index(index) if length > 1 else None
                    for index, length in zip(indices, array.shape, strict=True)
                ),
            )
            blocks = values[copies].reshape((1,) * array.ndim + (-1,))
            arrays[leaf] = PerturbedArray(array, blocks, places)
        return arrays


def _index(index: np.ndarray) -> Index:
    return int(index[0]) if (index == index[0]).all() else index
