"""Pytrees of parameters: nested dicts, lists and tuples, with arrays as leaves."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

import optree

PyTree: TypeAlias = Any
Array: TypeAlias = Any


def flatten(tree: PyTree) -> tuple[list[Array], optree.PyTreeSpec]:
    """Return the leaves, dict keys sorted as JAX sorts them, and the structure."""
    return cast("tuple[list[Array], optree.PyTreeSpec]", optree.tree_flatten(tree))


def unflatten(structure: optree.PyTreeSpec, leaves: Iterable[Array]) -> PyTree:
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
