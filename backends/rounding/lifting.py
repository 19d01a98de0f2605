"""Run a function in float64 with every cast to a lower precision inside it ignored."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import GradparityError
from ..pytrees import PyTree, flatten, is_array, tree_map, unflatten
from .instrument import Cast, Instrument, Unmeasured, find_instrument
from .numpy_lifting import NumpyInstrument


class CannotLift(GradparityError, TypeError):
    """A function that no framework can run without its casts."""


class Lifted:
    """f in float64, without its casts: to be called in place of f.

    Floating arguments, of whatever framework and dtype, become float64 arrays of the backend's
    own. `casts` are those that the last call ignored; `widened` is how many arrays of a lower
    precision it met that f holds itself.
    """

    def __init__(self, f: Callable[..., Any], instrument: Instrument) -> None:
        self.f = f
        self.casts: tuple[Cast, ...] = ()
        self.widened = 0
        self._instrument = instrument
        self.__name__ = getattr(f, "__name__", "f")

    def __call__(self, *args: PyTree) -> Any:
        """Return what f gives, arrays of the backend's own."""
        return self.on_native(*self._doubles(args))

    def on_native(self, *args: PyTree) -> Any:
        """Return what f gives for the backend's own float64 arrays, which are handed over as is."""
        output, self.casts, self.widened = self._instrument.lifted_output(self.f, args)
        return output

    def lowers(self, *args: PyTree) -> bool:
        """Tell whether f would compute in less than float64 at the backend's own float64 arrays."""
        return self._instrument.lowers(self.f, args)

    def value_and_gradient(self, params: PyTree, *args: PyTree) -> tuple[float, PyTree]:
        """Return f's value and its gradient, float64 arrays of NumPy like params."""
        outputs, gradient = self.pullback(params, None, *args)
        return float(outputs[0]), gradient

    def pullback(
        self, params: PyTree, cotangent: PyTree, *args: PyTree
    ) -> tuple[list[np.ndarray], PyTree]:
        """Return the leaves of f's output, and the VJP, float64 arrays of NumPy like params."""
        native = self._doubles((params, *args))
        found, self.casts = self._instrument.lifted(
            self.f, native[0], native[1:], self._doubles((cotangent,))[0]
        )
        return found.outputs, unflatten(flatten(params)[1], found.leaves)

    def _doubles(self, trees: tuple[PyTree, ...]) -> Any:
        return tree_map(
            lambda leaf: self._instrument.native(leaf, "float64") if is_array(leaf) else leaf, trees
        )


def lift(f: Callable[..., Any], backend_name: str) -> Lifted:
    """Return f without its casts to a lower precision, run in float64 by a backend's framework.

    backend_name: "torch", "jax", or "numerical", which runs NumPy's arrays and has no gradients
    raises: CannotLift where the framework is missing, or is another
    """
    if backend_name == "numerical":
        return Lifted(f, NumpyInstrument())
    instrument = find_instrument(backend_name)
    if isinstance(instrument, Unmeasured):
        raise CannotLift(f"{getattr(f, '__name__', 'f')} keeps its casts: {instrument.reason}")
    return Lifted(f, instrument)
