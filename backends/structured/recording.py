"""What a function computes from its parameters, written down as a list of array operations.

The function runs once, on recorded arrays; `replay` evaluates the operations for perturbed copies.
That is right as long as the function does the same operations for every copy. So whatever Python
reads out of an array on the way, for an `if` or a `float()`, is written down too, and checked.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import CannotRecord, TooMuchWork
from ..pytrees import PyTree, flatten, tree_map, unflatten
from .perturbed_functions import one_by_one, same_in_all_copies
from .perturbed_products import matmul, summands
from .recorded_array import RecordedArray, active_recorder
from .recorded_definitions import ABOUT_SHAPES, definition

Rule = Callable[..., PyTree]

# Efforts are in entries of an elementwise function, about a nanosecond each.
# Multiplications in a matrix product that take as long as one entry.
MULTIPLICATIONS = 16
# A call of a NumPy function for a small array, and for a scalar.
CALL, SCALAR_CALL = 1_500, 150
# Writing down a call.
WRITING = 25_000
# So many calls are written down before their effort is compared with that of f itself.
FIRST_CALLS = 8


@dataclass(frozen=True)
class Operation:
    """One step, `rule(result, *operands)`.

    operands: flattened, with recorded arrays among them; structure: to unflatten them
    result: the unperturbed result; outputs: numbers of its leaves, None for what is no array
    """

    rule: Rule
    operands: list[Any]
    structure: Any
    result: PyTree
    outputs: list[int | None]

    @property
    def inputs(self) -> set[int]:
        """Return the numbers of the operands that depend on parameters."""
        nodes = (x.node for x in self.operands if isinstance(x, RecordedArray))
        return {node for node in nodes if node is not None}

    @functools.cached_property
    def work(self) -> float:
        """What evaluating it once takes besides the call of a function."""
        entries = sum(map(np.size, flatten(self.result)[0]))
        return entries * effort_of_an_entry(self.rule, self.operands)


def effort_of_an_entry(rule: Rule, operands: list[Any]) -> float:
    """Return the effort of an entry of a result: more than 1 where it is a sum of products."""
    return 1.0 + summands(*operands) / MULTIPLICATIONS if rule is matmul else 1.0


def _call_effort(result: PyTree) -> float:
    return float(CALL if any(map(np.ndim, flatten(result)[0])) else SCALAR_CALL)


@dataclass
class Recording:
    """The recorder of one run of a function.

    constants: whether arrays of floats that depend on no parameter have numbers too, so that what
        is computed from them is written down; `constant_values` holds them
    most_work: how many times the effort of f itself recording it may take
    effort: that of f itself, in elementwise entries; calls: how many have been written down
    """

    operations: list[Operation] = field(default_factory=list)
    count: int = 0
    result: Any = None
    constants: bool = False
    constant_values: dict[int, np.ndarray] = field(default_factory=dict)
    most_work: float = math.inf
    effort: float = 0.0
    calls: int = 0

    @classmethod
    def of(
        cls,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[PyTree, ...],
        *,
        constants: bool = False,
        most_work: float = math.inf,
    ) -> "Recording":
        """Run f(params, *args) on recorded arrays; the leaves of params get the first numbers.

        raises: what f raises; TooMuchWork where recording f takes too much beside f itself
        """
        recording = cls(constants=constants, most_work=most_work)
        leaves, structure = flatten(params)
        recorded = [recording._numbered(leaf) for leaf in leaves]
        lifted = tree_map(recording._lifted, args)
        token = active_recorder.set(recording)
        try:
            recording.result = f(unflatten(structure, recorded), *lifted)
        finally:
            active_recorder.reset(token)
        return recording

    # Recording.

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Evaluate a function of arrays, and write it down if any of them depends on parameters."""
        self.calls += 1
        if self.calls > FIRST_CALLS and self.calls * WRITING > self.most_work * self.effort:
            raise TooMuchWork(
                f"recording {self.calls} calls takes more than {self.most_work:.0f} times as long "
                "as they do"
            )
        operands, structure = flatten((args, kwargs))
        if self.constants:
            operands = [self._lifted(leaf) for leaf in operands]
        if not _any_depends(operands) or name in ABOUT_SHAPES:
            plain_args, plain_kwargs = unflatten(structure, map(_value, operands))
            constant = function(*plain_args, **plain_kwargs)
            self.effort += _call_effort(constant) + sum(map(np.size, flatten(constant)[0]))
            return tree_map(self._lifted, constant)
        if kwargs.get("out") is not None:
            raise CannotRecord(f"f calls {name} with out=; use what the function returns")
        args, kwargs = unflatten(structure, map(self._lifted, operands))
        define = definition(name, function)
        if define is not None and _takes(define, args, kwargs):
            result = define(*args, **kwargs)
            if result is not NotImplemented:
                return result
        plain_args, plain_kwargs = tree_map(_value, (args, kwargs))
        return self.record(
            one_by_one, function(*plain_args, **plain_kwargs), function, args, kwargs
        )

    def record(self, rule: Rule, value: PyTree, *operands: Any) -> PyTree:
        """Write down an operation unless its value is the same whatever the parameters."""
        leaves, structure = flatten(operands)
        if not _any_depends(leaves):
            return tree_map(self._lifted, value)
        results, result_structure = flatten(value)
        results = [self._numbered(leaf) if _is_array(leaf) else leaf for leaf in results]
        nodes = [leaf.node if isinstance(leaf, RecordedArray) else None for leaf in results]
        plain = unflatten(result_structure, map(_value, results))
        self.operations.append(Operation(rule, leaves, structure, plain, nodes))
        self.effort += _call_effort(plain) + self.operations[-1].work
        return unflatten(result_structure, results)

    def read(self, array: RecordedArray) -> np.ndarray:
        if array.depends:
            leaves, structure = flatten((array,))
            check = Operation(same_in_all_copies, leaves, structure, array.value, [])
            self.operations.append(check)
        return array.value

    def _numbered(self, array: Any) -> RecordedArray:
        value = _read_only(array)
        if not value.size:
            return RecordedArray(self, value)  # nothing in it can differ
        self.count += 1
        return RecordedArray(self, value, self.count - 1)

    def _lifted(self, leaf: Any) -> Any:
        """Turn an array into a recorded one that depends on no parameter."""
        if not _is_array(leaf):
            return leaf
        if isinstance(leaf, np.ndarray) and leaf.flags.writeable:
            leaf = leaf.copy()  # f may go on filling an array of its own
        if self.constants and leaf.dtype.kind == "f":
            numbered = self._numbered(leaf)
            if numbered.node is not None:
                self.constant_values[numbered.node] = numbered.value
            return numbered
        return RecordedArray(self, _read_only(leaf))


def _takes(define: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        _signature(define).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


_signature = functools.lru_cache(maxsize=1024)(inspect.signature)


def _any_depends(leaves: list[Any]) -> bool:
    return any(isinstance(leaf, RecordedArray) and leaf.depends for leaf in leaves)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.generic)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, RecordedArray) else leaf


def _read_only(array: Any) -> np.ndarray:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
