"""f as a real function of a list of real arrays, whatever it takes and gives."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.base import check_scalar
from gradparity.backends.pytrees import (
    Array,
    PyTree,
    check_same_shapes,
    flatten,
    is_array,
    tree_map,
    unflatten,
)

from .leaves import assembler, holds_complex

RANDOM = object()
"""A cotangent that is drawn for the output that f turns out to have."""


def scalarised(
    f: Callable[..., Any], structure: Any, given: Sequence[Any], cotangent: PyTree | None
) -> Callable[..., Any]:
    """Return f as a real function of a list of real arrays.

    cotangent: the structure of f's output, native; None where f gives one real number
    """
    whole = assembler(given)

    def scalar(leaves: list[Array], *args: PyTree) -> Any:
        output = f(unflatten(structure, whole(leaves)), *args)
        if cotangent is None:
            check_scalar(f, output)
            return output
        weights = cotangent(output) if isinstance(cotangent, functools.partial) else cotangent
        return real_product(weights, output)

    functools.update_wrapper(scalar, f, assigned=("__name__", "__qualname__"), updated=())
    return scalar


def random_cotangent(backend: Backend, output: PyTree) -> PyTree:
    """Return weights for an output whose form nobody knows before: the same for the same form."""

    def weights(leaf: Any) -> Any:
        rng = np.random.default_rng(np.shape(leaf))
        return backend.to_native(rng.uniform(0.5, 1.0, np.shape(leaf)))

    return tree_map(weights, output)


def real_product(cotangent: PyTree, output: PyTree) -> Any:
    """Return the sum of the products of two trees, the real part of it where they are complex."""
    check_same_shapes("cotangent", cotangent, "the output of f", output)
    total: Any = 0.0
    for weight, leaf in zip(flatten(cotangent)[0], flatten(output)[0], strict=True):
        if holds_complex(leaf):
            product = weight.real * leaf.real
            if holds_complex(weight):
                product = product + weight.imag * leaf.imag
        else:
            product = weight * leaf
        total = total + (product.sum() if is_array(product) else product)
    return total
