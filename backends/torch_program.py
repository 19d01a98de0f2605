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

# What the operations of a function may follow from, besides values.
_facts = attrgetter("__class__", "shape", "dtype", "device", "requires_grad")

Call = Callable[..., PyTree]


@dataclass(frozen=True)
class Program:
    """Recorded operations in PyTorch's own interpreter; structure: that of their results."""

    run: Callable[..., tuple[torch.Tensor, ...]]
    structure: Any


def repeatable(f: Call) -> Call:
    """Return f as a function that becomes a program at its fourth call with tensors of one kind.

    A program is the tensor operations of f, those of its derivatives among them, without Python,
    graphs and checks in between. The second call also records f, the third one runs both f and the
    program, and only if they agree in every bit, the program stays; until then f itself answers.
    An f that reads values, branches on them, draws random numbers, changes its arguments or uses
    tensors from elsewhere always runs as it is. Equal functions share their programs.
    """
    return _repeatable(f) if isinstance(f, Hashable) else _repeatable.__wrapped__(f)


@functools.lru_cache(maxsize=64)
def _repeatable(f: Call) -> Call:
    calls: dict[Hashable, int] = {}
    recordings: dict[Hashable, Recording] = {}
    programs: dict[Hashable, Program] = {}
    given_up = False

    @functools.wraps(f)
    def call(*args: PyTree) -> PyTree:
        if given_up:
            return f(*args)
        leaves, structure = flatten(args)
        try:
            kind = (structure, *map(_facts, leaves), *map(torch.Tensor.stride, leaves))
        except (AttributeError, TypeError, RuntimeError):  # an argument that is no dense tensor
            return f(*args)
        if _followed():
            return f(*args)
        program = programs.get(kind)
        if program is None:
            return prepare(kind, leaves, args)
        try:
            return unflatten(program.structure, program.run(*leaves))
        except RuntimeError:  # such as an index out of range, which f itself reports better
            return f(*args)

    def prepare(kind: Hashable, leaves: list[torch.Tensor], args: tuple[PyTree, ...]) -> PyTree:
        nonlocal given_up
        earlier = calls.get(kind, 0)
        if earlier == 1 and all(map(_plain, leaves)):
            # What f raises, it raises again below.
            with contextlib.suppress(Exception):
                recordings[kind] = record(f, args)
        result = f(*args)
        calls[kind] = earlier + 1
        if earlier == 2 and kind in recordings:
            program = _proved(recordings.pop(kind), leaves, result)
            if program is not None:
                programs[kind] = program
        given_up = earlier >= 2 and not programs
        return result

    return call


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
    return Program(run, structure)


def _equal(expected: torch.Tensor, got: torch.Tensor) -> bool:
    if (expected.shape, expected.dtype) != (got.shape, got.dtype):
        return False
    both_nan = (expected != expected) & (got != got)
    return bool(((expected == got) | both_nan).all())
