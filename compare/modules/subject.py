"""A model and its loss, as a pure function of the parameters that are trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradparity.backends.precision import is_floating
from gradparity.backends.pytrees import PyTree, is_array, private_numpy, tree_map


@dataclass(frozen=True)
class Subject:
    """What a model comes down to: f(params, *batch), and the gradient that is to be judged.

    backend: the name of whose arrays it computes with
    gradient: a pytree like params, or `callable(params, *batch)`
    notes: what a reader should know of how the model was run
    """

    f: Callable[..., Any]
    params: PyTree
    batch: tuple[PyTree, ...]
    backend: str
    gradient: PyTree | Callable[..., PyTree]
    notes: tuple[str, ...] = ()


def in_float64(params: PyTree) -> PyTree:
    """Return a tree with its floating arrays as float64 ones, a tensor on its device.

    The mathematics of a backward pass is judged there: rounding hides no fault, and is none.
    """
    return tree_map(_in_float64, params)


def _in_float64(leaf: Any) -> Any:
    if not is_array(leaf) or not is_floating(leaf.dtype):
        return leaf
    return leaf.detach().double() if hasattr(leaf, "detach") else private_numpy(leaf, "float64")


def some(names: list[str], most: int = 4) -> str:
    """List the first names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
