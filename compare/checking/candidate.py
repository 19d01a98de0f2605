"""A gradient handed over by anyone, as float64 leaves beside those of the parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree

from gradparity.backends.checks import is_floating
from gradparity.backends.errors import InvalidParameters
from gradparity.backends.pytrees import PyTree, leaf_names, private_numpy

NO_GRADIENT = "None"
EPSILONS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@dataclass(frozen=True)
class Problem:
    """What is wrong with a leaf before any of its numbers is looked at.

    leaf: its name; text: what, got and expected; pattern: a guess at the cause, or ""
    """

    leaf: str
    text: str
    pattern: str = ""


@dataclass(frozen=True)
class Candidate:
    """A gradient whose leaves line up with those of the parameters.

    leaves: float64, the shape of the parameter; zeros where there is nothing to use
    epsilons: the spacing of each leaf's own dtype at 1, which its round-off is counted in
    problems: by the position of the leaf; -1 for a leaf that the parameters do not have
    strays: leaves whose shape is not the parameter's, as they came, by position
    """

    leaves: tuple[np.ndarray, ...]
    epsilons: tuple[float, ...]
    problems: tuple[tuple[int, Problem], ...]
    strays: dict[int, np.ndarray]


def read_candidate(
    gradient: PyTree, names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> Candidate:
    """Line a gradient up with the parameters by the paths of its leaves.

    Lists and tuples count alike: torch.autograd.grad returns a tuple whatever it was given.

    names, shapes: of the leaves of the parameters
    """
    offered = _by_path(gradient)
    problems: list[tuple[int, Problem]] = []
    leaves, epsilons, strays = [], [], {}
    for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        array, epsilon, problem = _read_leaf(name, name in offered, offered.get(name), shape)
        if problem is not None:
            problems.append((position, problem))
        if array is not None and array.shape != shape:
            strays[position] = array
            array = None
        leaves.append(np.zeros(shape) if array is None else array)
        epsilons.append(epsilon)
    strangers = [name for name, leaf in offered.items() if name not in names and leaf is not None]
    if strangers:
        listed = ", ".join(strangers[:4]) + (", ..." if len(strangers) > 4 else "")
        text = f"got {len(strangers)} leaves that the parameters do not have: {listed}"
        problems.append((-1, Problem("", text, "structure")))
    return Candidate(tuple(leaves), tuple(epsilons), tuple(problems), strays)


def _by_path(tree: PyTree) -> dict[str, Any]:
    leaves = optree.tree_leaves(tree, none_is_leaf=True)
    numbers = optree.tree_map(lambda leaf: 0, tree, none_is_leaf=True)
    return dict(zip(leaf_names(numbers), leaves, strict=True))


def _read_leaf(
    name: str, offered: bool, leaf: Any, shape: tuple[int, ...]
) -> tuple[np.ndarray | None, float, Problem | None]:
    exact = EPSILONS["float64"]
    if not offered:
        return None, exact, Problem(name, f"got no such leaf, expected shape {shape}", "structure")
    if leaf is None:
        return None, exact, Problem(name, f"got None, expected shape {shape}", NO_GRADIENT)
    if getattr(leaf, "is_sparse", False):  # torch gives such gradients for embeddings
        leaf = leaf.to_dense()
    try:
        array = private_numpy(leaf)
    except (InvalidParameters, TypeError, ValueError, RuntimeError) as error:
        return None, exact, Problem(name, f"{error}", "dtype")
    epsilon = EPSILONS.get(array.dtype.name, exact)
    values = array.astype(np.float64)
    if values.shape != shape:
        text = f"got shape {values.shape}, expected {shape}"
        return values, epsilon, Problem(name, text, "shape")
    if not is_floating(array.dtype) and not isinstance(leaf, int):
        return (
            values,
            epsilon,
            Problem(name, f"got dtype {array.dtype}, expected floating numbers", "dtype"),
        )
    return values, epsilon, None
