"""Pytrees of parameters: nested dicts, lists and tuples, with arrays as leaves."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import optree

from .errors import InvalidParameters

PyTree: TypeAlias = Any
Array: TypeAlias = Any


def flatten(tree: PyTree) -> tuple[list[Array], Any]:
    """Return the leaves, dict keys sorted as JAX sorts them, and the structure."""
    leaves, structure = optree.tree_flatten(tree)
    return leaves, structure


def unflatten(structure: Any, leaves: Iterable[Array]) -> PyTree:
    return optree.tree_unflatten(structure, leaves)


def tree_map(function: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    return optree.tree_map(function, tree, *rest)


def leaf_names(tree: PyTree) -> tuple[str, ...]:
    """Name each leaf as Python would reach it: "W1", "layers[0].b", "" for a bare array."""
    return tuple(_path_name(path) for path in optree.tree_paths(tree))


def _path_name(path: Iterable[Any]) -> str:
    name = ""
    for step in path:
        if isinstance(step, str) and step.isidentifier():
            name += f".{step}" if name else step
        else:
            name += f"[{step!r}]"
    return name


def is_array(leaf: Any) -> bool:
    """Tell arrays of any framework from Python numbers, strings and other objects."""
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def private_numpy(leaf: Any, dtype: str | None = None) -> np.ndarray:
    """Return a contiguous, writable NumPy copy, floating leaves in `dtype` where one is given.

    leaf: number or array of any framework; read-only, big-endian and negatively strided ones too
    raises: InvalidParameters for complex numbers and for what is no number
    """
    if hasattr(leaf, "detach"):  # torch refuses to hand over a tensor that requires a gradient
        leaf = leaf.detach().cpu().numpy()
    array = np.array(leaf, order="C", copy=True)
    if array.dtype.kind not in "biuf" and "float" not in array.dtype.name:
        raise InvalidParameters(
            f"got {array.dtype} ({type(leaf).__name__}), expected an array of real numbers"
        )
    if array.dtype.kind in "biu":
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.astype(dtype or array.dtype.newbyteorder("="), copy=False)
