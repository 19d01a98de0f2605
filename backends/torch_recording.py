"""The tensor operations of a function, recorded while it runs, autograd's own among them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .pytrees import PyTree, flatten, tree_map, unflatten

aten = torch.ops.aten

# Operations whose result, or its shape, follows from values, or that draw random numbers.
UNREPEATABLE = frozenset(
    {
        torch.Tag.data_dependent_output,
        torch.Tag.dynamic_output_shape,
        torch.Tag.nondeterministic_seeded,
    }
)
# A program of as many takes a second to prepare, and proportionally more beyond.
MOST_STEPS = 2000
# Of the operations that change a shape in place, those that PyTorch's own functions use.
RESHAPING = frozenset({aten.squeeze_, aten.unsqueeze_, aten.t_, aten.transpose_})


class NotRecordable(Exception):
    """A function did what the list of its tensor operations does not tell."""


class Register(int):
    """The place of a tensor in a recording."""


@dataclass(frozen=True)
class Step:
    """One operation; `leaves` are those of its arguments, with registers for tensors."""

    operation: Callable[..., Any]
    leaves: tuple[Any, ...]
    structure: Any
    results: tuple[Register, ...]


@dataclass(frozen=True)
class Recording:
    """The operations that lead from some tensors to others, without branches or derivatives.

    structure: that of the function's result, whose leaves are the results
    """

    steps: tuple[Step, ...]
    results: tuple[Register, ...]
    structure: Any

    def run(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Take the steps with other tensors of the same shapes, strides and dtypes."""
        registers = list(tensors)
        for step in self.steps:
            leaves = [registers[leaf] if type(leaf) is Register else leaf for leaf in step.leaves]
            args, kwargs = unflatten(step.structure, leaves)
            registers.extend(flatten(step.operation(*args, **kwargs))[0])
        return tuple(registers[result] for result in self.results)


def record(f: Callable[..., PyTree], args: tuple[PyTree, ...]) -> Recording:
    """Run f(*args), all of whose leaves are tensors, and return the operations that it takes.

    raises: NotRecordable where f reads a value, draws a random number, changes an argument or uses
        a tensor from elsewhere; what f itself raises
    """
    recorder = _Recorder()
    inputs = tree_map(recorder.stand_in, args)
    recorder.protected = {memory(leaf.held) for leaf in flatten(inputs)[0]}
    with recorder:
        results = f(*inputs)
    leaves, structure = flatten(results)
    if recorder.refusal is None and not all(type(leaf) is StandIn for leaf in leaves):
        recorder.refuse("returned what is no tensor, or a tensor from elsewhere")
    if recorder.refusal is not None:  # raised within f, which may have caught it
        raise recorder.refusal
    return Recording(tuple(recorder.steps), tuple(leaf.register for leaf in leaves), structure)


class StandIn(torch.Tensor):
    """A tensor without memory, in place of a real one: it can be computed with, but not read.

    So no value can become part of a recording: whatever would read it, such as `.numpy()`, `float`
    or an `if`, is refused.
    """

    held: torch.Tensor
    register: Register
    recorder: "_Recorder"

    @staticmethod
    def __new__(cls, held: torch.Tensor, register: Register, recorder: "_Recorder") -> "StandIn":
        stand_in: StandIn = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), dtype=held.dtype, device=held.device
        )
        stand_in.held, stand_in.register, stand_in.recorder = held, register, recorder
        return stand_in

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, operation: Any, *call: Any) -> Any:
        raise NotRecordable(f"{operation} was called outside the recording")

    def _refuse_reading(self, *args: object, **kwargs: object) -> Any:
        self.recorder.refuse("read the values of a tensor")

    numpy = tolist = data_ptr = storage = untyped_storage = _refuse_reading
    __array__ = __dlpack__ = __reduce_ex__ = __deepcopy__ = _refuse_reading


class _Recorder(TorchDispatchMode):
    """Runs every operation on the tensors that stand-ins hold, and notes it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.refusal: NotRecordable | None = None
        self.protected: set[int] = set()
        self._registers = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise the first recording would load torch._dynamo, for over a second

    def refuse(self, reason: str) -> None:
        self.refusal = NotRecordable(reason)
        raise self.refusal

    def stand_in(self, tensor: torch.Tensor) -> StandIn:
        register = Register(self._registers)
        self._registers += 1
        return StandIn(tensor, register, self)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if not UNREPEATABLE.isdisjoint(operation.tags):
            self.refuse(f"called {operation}, whose result depends on values or on chance")
        reshaping = torch.Tag.inplace_view in operation.tags
        if reshaping and operation.overloadpacket not in RESHAPING:
            self.refuse(f"called {operation}, which changes a tensor's shape or memory")
        leaves, structure = flatten((args, kwargs or {}))
        held_args, held_kwargs = unflatten(structure, map(self._held, leaves))
        self._refuse_changed_arguments(operation, held_args, held_kwargs)
        results = operation(*held_args, **held_kwargs)
        if reshaping:
            with torch._C._DisableTorchDispatch():  # the same for the stand-in's own shape
                operation(*args, **(kwargs or {}))
        if operation is aten.detach.default:  # autograd's alone: the same tensor
            return StandIn(results, leaves[0].register, self)
        return self._note(operation, leaves, structure, results)

    def _held(self, leaf: Any) -> Any:
        if type(leaf) is StandIn and leaf.recorder is self:
            return leaf.held
        if isinstance(leaf, torch.Tensor):
            self.refuse("used a tensor that is none of its arguments")
        return leaf

    def _refuse_changed_arguments(self, operation: Any, args: Any, kwargs: Any) -> None:
        if not operation._schema.is_mutable:
            return
        for position, argument in enumerate(operation._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            written = args[position] if position < len(args) else kwargs.get(argument.name)
            if any(memory(tensor) in self.protected for tensor in flatten(written)[0]):
                self.refuse(f"changed an argument by {operation}")

    def _note(self, operation: Any, leaves: list[Any], structure: Any, results: Any) -> Any:
        outputs, output_structure = flatten(results)
        if not all(isinstance(output, torch.Tensor) for output in outputs):
            self.refuse(f"called {operation}, which returned what is no tensor")
        if len(self.steps) == MOST_STEPS:
            self.refuse(f"called more than {MOST_STEPS} operations")
        given = {id(leaf.held): leaf for leaf in leaves if type(leaf) is StandIn}
        stand_ins = [self.stand_in(output) for output in outputs]
        self.steps.append(
            Step(
                operation,
                tuple(leaf.register if type(leaf) is StandIn else leaf for leaf in leaves),
                structure,
                tuple(stand_in.register for stand_in in stand_ins),
            )
        )
        # An operation in place returns the very tensor that it was given.
        return unflatten(
            output_structure,
            [given.get(id(stand_in.held), stand_in) for stand_in in stand_ins],
        )


def memory(tensor: torch.Tensor) -> int:
    """Identify the memory of a tensor, which it shares with its views."""
    return int(tensor.untyped_storage()._cdata)
