"""What a framework has to offer so that rounding can be measured and casts be lifted."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..pytrees import PyTree

LOW_PRECISION = ("float32", "bfloat16", "float16")
SMALLEST_SUBNORMAL = {
    "float64": 2.0**-1074,
    "float32": 2.0**-149,
    "bfloat16": 2.0**-133,
    "float16": 2.0**-24,
}


class Gradient(NamedTuple):
    """What f gave and its gradient, leaf by leaf, as float64 arrays of NumPy.

    rounded_to: the dtypes to which a randomly rounded run rounded
    """

    outputs: list[np.ndarray]
    leaves: list[np.ndarray]
    rounded_to: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cast:
    """A cast to a lower precision that was ignored.

    to: the dtype that f asked for; where: the line that asked, "" where no line is known
    count: how often it was met
    """

    to: str
    where: str
    count: int

    def __str__(self) -> str:
        times = "" if self.count == 1 else f" ({self.count} times)"
        return f"to {self.to}{' at ' + self.where if self.where else ''}{times}"


@dataclass(frozen=True)
class Unmeasured:
    """Rounding that could not be measured, and why."""

    reason: str


class Instrument(Protocol):
    """One framework's way to run a function under random rounding, or without its casts."""

    def native(self, leaf: Any, dtype: str | None) -> Any:
        """Return a private array of the framework; a floating one rounded to `dtype` if given."""

    def doubles(self, array: Any) -> np.ndarray:
        """Return one of the framework's arrays as float64 of NumPy."""

    def rounded(
        self,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[Any, ...],
        cotangent: PyTree,
        double: bool = False,
    ) -> Callable[[int | None], Gradient]:
        """Return `seed -> gradient`: f's eager gradient under random rounding, None for without.

        double: whether what is rounded to float64 is rounded at random too
        """

    def lifted(
        self, f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], cotangent: PyTree
    ) -> tuple[Gradient, tuple[Cast, ...]]:
        """Return f's gradient in float64 without its casts, and the casts."""

    def lifted_output(
        self, f: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Cast, ...], int]:
        """Return what f(*args) gives in float64 without its casts, native, and the casts.

        The number is that of the arrays of a lower precision that f uses beside its arguments.
        """

    def lowers(self, f: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        """Tell whether f(*args) makes or uses an array of less than float64."""


def find_instrument(name: str) -> Instrument | Unmeasured:
    """Return the instrument of a backend, or why it has none here."""
    if name not in ("torch", "jax"):
        return Unmeasured(f"backend {name!r} cannot round at random; torch and jax can")
    if importlib.util.find_spec(name) is None:
        return Unmeasured(f"{name} is not installed: pip install 'gradparity[{name}]'")
    if name == "torch":
        from .torch_modes import TorchInstrument

        return TorchInstrument()
    from .jax_interpreter import JaxInstrument

    return JaxInstrument()


def asking_line(*libraries: str) -> str:
    """Name the innermost line outside of libraries and this package that is being run."""
    frame = sys._getframe(2)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in (*libraries, "gradparity"):
            file = frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
            return f"{file}:{frame.f_lineno}, in {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
