"""Which of the ways to follow a function in balls is taken: recorded NumPy, a jaxpr, or torch."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from gradparity.backends import get_backend
from gradparity.backends.pytrees import PyTree, flatten
from gradparity.backends.registry import device_of

from .enclosed import Enclosed, IsRandom, NotProved
from .recorded_program import RecordedProgram


class Program(Protocol):
    """A function at a point, as operations that balls can follow.

    value: f's, as it is without balls
    """

    value: np.ndarray

    def follow(self, leaves: Sequence[Enclosed]) -> Enclosed:
        """Return f's result, with one entry, for enclosed leaves of the parameters."""


def read_program(
    f: Callable[..., Any], params: PyTree, numbers: PyTree, args: tuple[PyTree, ...]
) -> Program:
    """Read a function as a list of operations.

    params: as they were given, which tells the framework; numbers: the same in float64 NumPy arrays
    raises: NotProved where no way leads through f, and what f itself raises
    """
    framework = framework_of((params, args))
    if device := device_of(framework, flatten((params, args))[0]):
        numbers = get_backend(framework, device=device).asarray(numbers)
    failures = []
    for name, read in READERS.items():
        if framework not in ("", name) or name != "numpy" and name not in sys.modules:
            continue
        try:
            return read(f, numbers, args)
        except IsRandom:
            raise
        except NotProved as refusal:
            failures.append(f"{refusal}")
        except Exception as error:
            if framework or name == "numpy" and not (_has("jax") or _has("torch")):
                raise
            failures.append(f"with {name}: {type(error).__name__}: {error}")
    raise NotProved("f cannot be read as a list of operations: " + "; ".join(failures))


def _has(framework: str) -> bool:
    return framework in sys.modules


def framework_of(tree: PyTree) -> str:
    """Return "jax" or "torch" where a leaf is one of theirs, else ""."""
    for leaf in flatten(tree)[0]:
        module = type(leaf).__module__.partition(".")[0]
        if module in ("jax", "jaxlib"):
            return "jax"
        if module == "torch":
            return "torch"
    return ""


def _recorded(f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...]) -> Program:
    return RecordedProgram(f, params, args)


def _of_jax(f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...]) -> Program:
    from .jax_program import JaxProgram

    return JaxProgram(f, params, args)


def _of_torch(f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...]) -> Program:
    from .torch_program import TorchProgram

    return TorchProgram(f, params, args)


READERS: dict[str, Callable[..., Program]] = {
    "numpy": _recorded,
    "jax": _of_jax,
    "torch": _of_torch,
}
