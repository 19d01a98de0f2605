"""Pytrees of parameters: nested dicts, lists and tuples, with arrays as leaves."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import optree

from .errors import InvalidParameters, ShapeMismatch
from .framework_trees import FrameworkStructure, framework_flatten, remedy

PyTree: TypeAlias = Any
Array: TypeAlias = Any

DOTTED = re.compile(r"\w+([./]\w+)+")  # torch's "layers.0.weight", Keras' "dense/kernel"
MANY = 2**16  # entries from which on to find aligned memory costs nothing beside the copy
PLAIN = (int, float, complex, str, bytes)  # leaves that no framework takes apart


def flatten(tree: PyTree) -> tuple[list[Array], Any]:
    """Return the leaves, dict keys sorted as JAX sorts them, and the structure.

    Of a tree that only its framework can take apart (a torch, Equinox or nnx module, a dataclass
    registered with JAX) the leaves are the floating arrays to be differentiated, and the
    structure holds the rest.
    """
    leaves, structure = optree.tree_flatten(tree)
    strangers = [
        leaf for leaf in leaves if not hasattr(leaf, "dtype") and not isinstance(leaf, PLAIN)
    ]
    return (strangers and framework_flatten(tree, strangers)) or (leaves, structure)


def unflatten(structure: Any, leaves: Iterable[Array]) -> PyTree:
    return structure.unflatten(leaves)


def tree_map(function: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    leaves, structure = flatten(tree)
    others = [structure.flatten_up_to(other) for other in rest]
    return structure.unflatten(map(function, leaves, *others))


def tree_paths(tree: PyTree) -> list[tuple[Any, ...]]:
    """Return for each leaf the keys, attributes and indices that lead to it."""
    structure = flatten(tree)[1]
    if isinstance(structure, FrameworkStructure):
        return list(structure.paths)
    return list(structure.paths())


def leaf_names(tree: PyTree) -> tuple[str, ...]:
    """Name each leaf as Python would reach it: "W1", "layers[0].b", "" for a bare array."""
    return tuple(_path_name(path) for path in tree_paths(tree))


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Return the leaves by their names, a None that stands for an array among them."""
    leaves, structure = flatten(tree)
    if isinstance(structure, FrameworkStructure):
        return dict(zip(map(_path_name, structure.paths), leaves, strict=True))
    paths, leaves, _ = optree.tree_flatten_with_path(tree, none_is_leaf=True)
    return dict(zip(map(_path_name, paths), leaves, strict=True))


def _path_name(path: Iterable[Any]) -> str:
    name = ""
    for step in path:
        if isinstance(step, str) and (step.isidentifier() or DOTTED.fullmatch(step)):
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
    array = numpy_view(leaf)
    own = array.dtype.newbyteorder("=")
    wanted = own if array.dtype.kind in "biu" else np.dtype(dtype or own)
    copy = aligned(array.shape, wanted)
    copy[...] = array
    return copy


def numpy_view(leaf: Any) -> np.ndarray:
    """Return the numbers of a leaf, in its own memory where it can be.

    raises: as `private_numpy`
    """
    if hasattr(leaf, "detach"):  # torch refuses to hand over a tensor that requires a gradient
        leaf = leaf.detach().cpu()
        leaf = (leaf.float() if str(leaf.dtype) == "torch.bfloat16" else leaf).numpy()
    array = np.asarray(leaf)
    if array.dtype.kind not in "biuf" and "float" not in array.dtype.name:
        raise InvalidParameters(
            f"got {array.dtype} ({type(leaf).__name__}), expected an array of real numbers"
            f"{remedy(leaf)}"
        )
    return array


def aligned(shape: tuple[int, ...], dtype: np.dtype | str = "float64") -> np.ndarray:
    """Return an empty array in memory that JAX can use as it is, where it starts at 64 bytes."""
    entries = math.prod(shape)
    if entries < MANY:
        return np.empty(shape, dtype)
    size = entries * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def check_same_shapes(what: str, tree: PyTree, reference_name: str, reference: PyTree) -> None:
    """Refuse a tree whose structure or leaf shapes differ from the reference's."""
    leaves, structure = flatten(tree)
    expected, expected_structure = flatten(reference)
    if structure != expected_structure:
        raise ShapeMismatch(
            f"{what} has structure {structure}; expected that of {reference_name}, "
            f"{expected_structure}"
        )
    for name, leaf, like in zip(leaf_names(reference), leaves, expected, strict=True):
        if getattr(leaf, "shape", ()) != getattr(like, "shape", ()):
            raise ShapeMismatch(
                f"leaf {name or what}: {what} has shape {tuple(getattr(leaf, 'shape', ()))}; "
                f"expected that of {reference_name}, {tuple(getattr(like, 'shape', ()))}"
            )
