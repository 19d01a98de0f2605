"""A backend that is exact without any framework: the imaginary part of f at x + ih, over h."""

from typing import Any, ClassVar

import numpy as np
from array_api_compat import numpy as numpy_namespace

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction, Operator
from gradparity.backends.pytrees import Array, PyTree, flatten, unflatten

STEP = 1e-30  # its square is lost beside 1: there is no truncation, and no difference to round


class ComplexStep(Backend):
    """Differentiate analytic functions of NumPy arrays."""

    name: ClassVar[str] = "complex"
    requirement: ClassVar[str] = "numpy"

    @property
    def xp(self) -> Any:
        return numpy_namespace

    def to_native(self, array: np.ndarray) -> Array:
        return array

    def differentiate(self, f: ModelFunction) -> Operator:
        unchecked = f.__wrapped__  # the check of the contract refuses complex values

        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            leaves, structure = flatten(params)
            gradient = [np.zeros_like(leaf) for leaf in leaves]
            for position, leaf in enumerate(leaves):
                for entry in np.ndindex(leaf.shape):
                    moved = leaf.astype(complex)
                    moved[entry] += STEP * 1j
                    tree = unflatten(
                        structure, [*leaves[:position], moved, *leaves[position + 1 :]]
                    )
                    gradient[position][entry] = unchecked(tree, *args).imag / STEP
            return f(params, *args), unflatten(structure, gradient)

        return value_and_gradient


class OffByAThousandth(ComplexStep):
    """Be wrong, for checks to find it."""

    name: ClassVar[str] = "liar"

    def differentiate(self, f: ModelFunction) -> Operator:
        honest = super().differentiate(f)

        def scaled(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            value, gradient = honest(params, *args)
            leaves, structure = flatten(gradient)
            return value, unflatten(structure, [leaf * 1.001 for leaf in leaves])

        return scaled
