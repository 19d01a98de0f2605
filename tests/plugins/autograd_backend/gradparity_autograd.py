"""HIPS autograd as a gradparity backend: reverse mode that traces plain NumPy."""

from typing import Any, ClassVar

import autograd.numpy
import numpy as np
from autograd.core import make_vjp
from autograd.extend import Box, defvjp

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction, Operator
from gradparity.backends.pytrees import Array, PyTree, flatten, unflatten

# Functions of the array API that autograd wraps, but has no rule for.
defvjp(
    autograd.numpy.matrix_transpose,
    lambda transposed, x: lambda cotangent: autograd.numpy.swapaxes(cotangent, -1, -2),
)


class HipsAutograd(Backend):
    """Differentiate by tracing NumPy calls; native arrays are NumPy's, traced ones are boxes."""

    name: ClassVar[str] = "autograd"
    requirement: ClassVar[str] = "autograd"

    @property
    def xp(self) -> Any:
        return autograd.numpy

    def to_native(self, array: np.ndarray) -> Array:
        return array

    def _is_native(self, leaf: Any) -> bool:
        return isinstance(leaf, np.ndarray | Box)

    def _adopt(self, leaf: Any) -> Array:
        native = super()._adopt(leaf)
        if isinstance(native, np.ndarray):  # a function that writes into its inputs is stopped
            native = native.view()
            native.flags.writeable = False
        return native

    def differentiate(self, f: ModelFunction) -> Operator:
        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            leaves, structure = flatten(params)

            def of_leaves(boxed: Any) -> Array:
                return f(unflatten(structure, [boxed[k] for k in range(len(leaves))]), *args)

            pull, value = make_vjp(of_leaves, tuple(leaves))
            return value, unflatten(
                structure, map(_as_array, pull(autograd.numpy.ones_like(value)))
            )

        return value_and_gradient


def _as_array(leaf: Any) -> Array:
    """Undo NumPy's habit of turning arrays of shape () into numbers."""
    return leaf if isinstance(leaf, Box) else np.asarray(leaf)
