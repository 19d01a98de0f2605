"""Recorded operations, evaluated for copies that are perturbed in some leaves of the parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import TooMuchMemory, TooMuchWork
from ..pytrees import flatten, unflatten
from .block_memory import BlockMemory, block_memory
from .perturbed_array import PerturbedArray
from .perturbed_functions import one_by_one, same_in_all_copies
from .recorded_array import RecordedArray
from .recording import CALL, Operation, Recording, effort_of_an_entry

# Evaluating a rule, besides its blocks.
RULE = 30_000
# A copy that is made in full, evaluated alone and put back, against one that only is evaluated.
ONE_BY_ONE = 8


@dataclass
class Work:
    """What it took to evaluate operations for some copies, in array entries.

    computed: in all, weighed by effort; largest: in one array; held: in all arrays that were still
        needed, when they were most
    """

    copies: int
    computed: float = 0.0
    largest: int = 0
    held: int = 0


class State:
    """The perturbed arrays that later steps need, by number, and their memory."""

    def __init__(
        self,
        arrays: dict[int, PerturbedArray],
        copies: int,
        memory: BlockMemory,
        limit: float,
        most_work: float,
    ) -> None:
        self.arrays = dict(arrays)
        self.work = Work(copies)
        self._memory = memory
        self._limit = limit
        self._most_work = most_work
        self._held = sum(array.values.size for array in arrays.values())
        for array in arrays.values():
            memory.hold(array.values)

    def add(self, node: int, array: PerturbedArray, effort: float) -> None:
        size = array.values.size
        self._memory.hold(array.values)
        self._held += size
        self.arrays[node] = array
        work = self.work
        work.computed += effort
        work.largest = max(work.largest, size)
        work.held = max(work.held, self._held)
        if self._held > self._limit:
            raise TooMuchMemory(
                f"{self._held} array entries are held, the limit is {self._limit:.0f}"
            )
        if work.computed > self._most_work:
            raise TooMuchWork(
                f"{work.computed:.0f} array entries were computed, the limit is "
                f"{self._most_work:.0f}"
            )

    def remove(self, nodes: list[int]) -> None:
        for node in nodes:
            array = self.arrays.pop(node, None)
            if array is not None:
                self._memory.release(array.values)
                self._held -= array.values.size

    def settle(self) -> None:
        self._memory.settle()


@dataclass(frozen=True)
class Step:
    """An operation, with what need not be found out for every batch of copies.

    operands: with unperturbed values in place; nested: whether they must be unflattened
    perturbable: positions and numbers of those that may differ
    finished: numbers of arrays that no later step needs
    """

    operation: Operation
    operands: list[Any]
    nested: bool
    perturbable: list[tuple[int, int]]
    finished: list[int]

    def evaluate(self, state: State) -> None:
        """Replace perturbed arrays that are finished by outcomes that differ between copies."""
        arrays = state.arrays
        if not any(node in arrays for _, node in self.perturbable):
            return
        operation, operands = self.operation, self.operands.copy()
        for position, node in self.perturbable:
            operands[position] = arrays.get(node, operands[position])
        state.remove(self.finished)
        outcome = operation.rule(
            operation.result,
            *(unflatten(operation.structure, operands) if self.nested else operands),
        )
        outcomes = [outcome] if len(operation.outputs) == 1 else flatten(outcome)[0]
        for output, array in zip(operation.outputs, outcomes, strict=True):
            if output is None or output in self.finished:
                continue
            if isinstance(array, PerturbedArray) and len(array.places.copies):
                state.add(output, array, _effort(operation, operands, array.values))
        state.settle()


@dataclass(frozen=True)
class Program:
    """The steps from some leaves of the parameters to the function's result.

    reads: whether Python reads values on the way, which may differ between copies
    """

    steps: list[Step]
    result: int | None
    reads: bool

    @classmethod
    def of(cls, recording: Recording, leaves: Iterable[int]) -> "Program":
        result = recording.result.node if isinstance(recording.result, RecordedArray) else None
        operations = _needed(_reached(recording.operations, leaves), result)
        steps: list[Step] = []
        needed_later = {result}
        for operation in reversed(operations):
            inputs = operation.inputs
            used = inputs.union(node for node in operation.outputs if node is not None)
            finished = sorted(used - needed_later)
            needed_later |= inputs
            steps.append(_step(operation, finished))
        reads = any(step.operation.rule is same_in_all_copies for step in steps)
        return cls(steps[::-1], result, reads)

    def run(
        self,
        arrays: dict[int, PerturbedArray],
        copies: int,
        limit: float = np.inf,
        most_work: float = np.inf,
    ) -> tuple[PerturbedArray | None, Work]:
        """Return the result for copies that differ in leaves, by number; None if none differs.

        copies: how many there are; limit: how many array entries may be held at once
        most_work: how many may be computed, weighed by effort
        raises: TooMuchMemory and TooMuchWork beyond the limits, CopiesDiffer where the operations
            would not be the same for all copies
        """
        # What overflows in f itself is seen where f itself runs.
        with block_memory() as memory, np.errstate(all="ignore"):
            state = State(arrays, copies, memory, limit, most_work)
            for step in self.steps:
                step.evaluate(state)
            result = state.arrays.get(-1 if self.result is None else self.result)
            state.remove(list(state.arrays))
        return result, state.work


def _effort(operation: Operation, operands: list[Any], values: np.ndarray) -> float:
    """Return what computing the blocks of an outcome took, in elementwise entries."""
    if operation.rule is one_by_one:
        copies = values.shape[-1]
        made = sum(x.base.size for x in operands if isinstance(x, PerturbedArray))
        return float(ONE_BY_ONE * (values.size + made * copies) + CALL * copies)
    return float(values.size) * effort_of_an_entry(operation.rule, operands)


def _step(operation: Operation, finished: list[int]) -> Step:
    operands = [x.value if isinstance(x, RecordedArray) else x for x in operation.operands]
    perturbable = [
        (position, x.node)
        for position, x in enumerate(operation.operands)
        if isinstance(x, RecordedArray) and x.node is not None
    ]
    nested = flatten(tuple(operands))[1] != operation.structure
    return Step(operation, operands, nested, perturbable, finished)


def _reached(operations: list[Operation], leaves: Iterable[int]) -> list[Operation]:
    nodes, reached = set(leaves), []
    for operation in operations:
        if not nodes.isdisjoint(operation.inputs):
            nodes.update(node for node in operation.outputs if node is not None)
            reached.append(operation)
    return reached


def _needed(operations: list[Operation], result: int | None) -> list[Operation]:
    """Leave out what the result does not need; a check has no outputs, and stays."""
    nodes, needed = {result}, []
    for operation in reversed(operations):
        if not operation.outputs or not nodes.isdisjoint(operation.outputs):
            nodes |= operation.inputs
            needed.append(operation)
    return needed[::-1]
