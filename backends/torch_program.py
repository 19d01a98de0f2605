"""Functions of PyTorch tensors, turned into programs once they have been seen to be repeatable."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch.autograd import forward_ad

from .pytrees import PyTree, flatten, unflatten
from .torch_recording import Recording, memory, record

_facts = attrgetter("__class__", "shape", "dtype", "device", "requires_grad")
_strides = torch.Tensor.stride

Call = Callable[..., PyTree]
Kind = tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """Recorded operations in PyTorch's own interpreter, and what their results are like."""

    run: Callable[..., tuple[torch.Tensor, ...]]
    structure: Any
    kind: Kind


def repeatable(f: Call) -> "Repeatable":
    """Return f as a function that may become a program; equal functions share their programs."""
    return _shared(f) if isinstance(f, Hashable) else Repeatable(f)


class Repeatable:
    """A function that becomes a program at its fourth call with tensors of one kind.

    A program is the tensor operations of f, those of its derivatives among them, without Python,
    graphs and checks in between. The second call also records f, the third one runs both f and the
    program, and only if they agree in every bit, the program stays; until then f itself answers.
    An f that reads values, branches on them, draws random numbers, changes its arguments or uses
    tensors from elsewhere always runs as it is.
    """

    def __init__(self, f: Call) -> None:
        functools.update_wrapper(self, f)
        self._f = f
        self._calls: dict[Hashable, int] = {}
        self._recordings: dict[Hashable, Recording] = {}
        self._programs: dict[Hashable, Program] = {}
        self._given_up = False

    def __call__(self, *args: PyTree) -> PyTree:
        if self._given_up:
            return self._f(*args)
        leaves, structure = flatten(args)
        kind = _kind(leaves)
        if kind is None or _followed():
            return self._f(*args)
        program = self._programs.get((structure, kind))
        if program is None:
            return self._prepare((structure, kind), leaves, args)
        try:
            return unflatten(program.structure, program.run(*leaves))
        except RuntimeError:  # such as an index out of range, which f itself reports better
            return self._f(*args)

    def __reduce__(self) -> tuple[Callable[[Call], "Repeatable"], tuple[Call]]:
        return repeatable, (self._f,)  # programs stay in the process that prepared them

    def scan(
        self, carry: PyTree, batches: PyTree, constants: tuple[PyTree, ...]
    ) -> tuple[PyTree, list[PyTree]]:
        """Return the last carry, and each output of f(carry, batch, *constants)."""
        columns, batch_structure = flatten(batches)
        length: int = columns[0].shape[0]
        outputs: list[PyTree] = []
        while len(outputs) < length:
            batch = unflatten(batch_structure, [column[len(outputs)] for column in columns])
            program = self._looping((carry, batch, *constants))
            if program is not None:
                break
            carry, output = self(carry, batch, *constants)
            outputs.append(output)
        else:
            return carry, outputs
        # What a program gives is of one kind each time: from here on nothing has to be looked at.
        leaves, fixed = flatten(carry)[0], flatten(constants)[0]
        carry_structure, output_structure = program.structure.children()
        for index in range(len(outputs), length):
            results = program.run(*leaves, *[column[index] for column in columns], *fixed)
            leaves, output = list(results[: len(leaves)]), results[len(leaves) :]
            outputs.append(unflatten(output_structure, output))
        return unflatten(carry_structure, leaves), outputs

    def _looping(self, args: tuple[PyTree, ...]) -> Program | None:
        """Return the program for these arguments if it gives the first one's like again."""
        leaves, structure = flatten(args)
        program = self._programs.get((structure, _kind(leaves)))
        if program is None or _followed():
            return None
        carry, carry_structure = flatten(args[0])
        same = program.structure.children()[0] == carry_structure
        return program if same and program.kind[: len(carry)] == _kind(carry) else None

    def _prepare(
        self, kind: Hashable, leaves: list[torch.Tensor], args: tuple[PyTree, ...]
    ) -> PyTree:
        earlier = self._calls.get(kind, 0)
        if earlier == 1 and all(map(_plain, leaves)):
            # What f raises, it raises again below.
            with contextlib.suppress(Exception):
                self._recordings[kind] = record(self._f, args)
        result = self._f(*args)
        self._calls[kind] = earlier + 1
        if earlier == 2 and kind in self._recordings:
            program = _proved(self._recordings.pop(kind), leaves, result)
            if program is not None:
                self._programs[kind] = program
        self._given_up = earlier >= 2 and not self._programs
        return result


_shared = functools.lru_cache(maxsize=64)(Repeatable)


def _kind(leaves: list[Any]) -> Kind | None:
    """Return all that the operations of a function may follow from besides values.

    None where a leaf is no dense tensor
    """
    try:
        return tuple(zip(map(_facts, leaves), map(_strides, leaves), strict=True))
    except (AttributeError, TypeError, RuntimeError):
        return None


def _followed() -> bool:
    """Tell whether a transform, a forward derivative or a change of precision is under way."""
    return (
        torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
    )


def _plain(leaf: torch.Tensor) -> bool:
    # On other devices PyTorch's interpreter fuses operations, which changes their round-off.
    return type(leaf) is torch.Tensor and not leaf.requires_grad and leaf.device.type == "cpu"


def _proved(recording: Recording, leaves: list[torch.Tensor], result: PyTree) -> Program | None:
    """Return the program if it gives this result of f, in tensors that are new at every run."""
    try:
        with warnings.catch_warnings():
            # Deprecated in favour of torch.compile, which takes seconds where this takes 5 ms.
            warnings.simplefilter("ignore", DeprecationWarning)
            run = torch.jit.trace(recording.run, tuple(leaves), check_trace=False)
        # The interpreter observes its first run, and keeps to what it makes of it from the second.
        earlier, got = run(*leaves), run(*leaves)
    except RuntimeError:
        return None
    expected, structure = flatten(result)
    if structure != recording.structure or not all(map(_equal, expected, got)):
        return None
    if any(memory(a) == memory(b) for a, b in zip(earlier, got, strict=True)):
        return None
    return Program(run, structure, _kind(list(got)) or ())


def _equal(expected: torch.Tensor, got: torch.Tensor) -> bool:
    if (expected.shape, expected.dtype) != (got.shape, got.dtype):
        return False
    both_nan = (expected != expected) & (got != got)
    return bool(((expected == got) | both_nan).all())
