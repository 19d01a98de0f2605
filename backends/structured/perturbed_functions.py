"""How elementwise functions, sums and functions along axes carry blocks; and any other function.

Each rule is given the unperturbed result, then the function's arguments, some of them perturbed,
and returns the perturbed result. Products and indexing have modules of their own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import CopiesDiffer
from ..pytrees import PyTree, flatten, tree_map, unflatten
from .block_memory import empty_blocks
from .perturbed_array import PerturbedArray, Places, align

# NumPy adds blocks one after the other, which loses a digit at a hundred summands, while a sum of
# changes is so small that it loses nothing. That is worth a subtraction for a loss, and for sums
# so long that they would lose more.
LONG_SUM = 1024


def elementwise(
    result: np.ndarray, function: Callable[..., Any], *operands: Any, **settings: Any
) -> PerturbedArray:
    """Evaluate the function on the blocks; what one operand spans, the result spans."""
    aligned = align([x for x in operands if isinstance(x, PerturbedArray)], result.ndim)
    places = aligned[0].places
    moved = iter(aligned)
    blocks = []
    for operand in operands:
        if isinstance(operand, PerturbedArray):
            blocks.append(next(moved).values)
        elif isinstance(operand, np.ndarray) and operand.ndim:
            blocks.append(places.gather(operand))
        else:
            blocks.append(operand)
    if isinstance(function, np.ufunc):
        shape = [n if at is None else 1 for n, at in zip(result.shape, places.at, strict=True)]
        settings["out"] = empty_blocks(shape, len(places.copies), result.dtype, in_place=True)
    return PerturbedArray(result, function(*blocks, **settings), places)


def add_up(result: np.ndarray, array: PerturbedArray, axis: int) -> PerturbedArray:
    """Sum along one axis, which is kept: the blocks, or the base's sum and what changed of it.

    Changes are only taken where all summands of the base are finite, so that they mean something.
    """
    spanned = array.places.at[axis] is None
    exact = result.dtype.kind not in "fc"
    short = array.base.shape[axis] <= LONG_SUM and result.size > 1
    if (spanned and (short or exact)) or not np.isfinite(result).all():
        return along_axes(result, np.sum, array, (axis,), axis=axis, keepdims=True)
    change = array.change().sum(axis=axis, keepdims=True)
    at = tuple(None if a == axis else index for a, index in enumerate(array.places.at))
    if axis in array.places.split:
        kept = [a for a, index in enumerate(at) if index is not None]
        places, group = array.places.group(kept, array.base.shape)
        change = _sums_of_groups(change, group, len(places.copies))
    else:
        places = Places(array.places.copies, at, array.places.split)
    return PerturbedArray(result, places.gather(result) + change, places)


def along_axes(
    result: np.ndarray,
    function: Callable[..., Any],
    array: PerturbedArray,
    axes: tuple[int, ...],
    **settings: Any,
) -> PerturbedArray:
    """Evaluate a function that mixes entries along `axes` only, and keeps all axes."""
    array = array.spanning(axes)
    return PerturbedArray(result, function(array.values, **settings), array.places)


def one_by_one(
    result: PyTree, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> PyTree:
    """Evaluate any function on each copy in full, and return its results, a pytree like `result`.

    raises: CopiesDiffer where a result has another structure, shape or dtype than the base's
    """
    arguments, structure = flatten((args, kwargs))
    full = {
        position: leaf.each_copy()
        for position, leaf in enumerate(arguments)
        if isinstance(leaf, PerturbedArray)
    }
    copies = np.unique(np.concatenate([numbers for numbers, _ in full.values()]))
    leaves = [leaf.base if isinstance(leaf, PerturbedArray) else leaf for leaf in arguments]
    rows = {
        # Indexed with an ellipsis, as a copy of a 0-d array is to stay an array.
        position: {number: values[row, ...] for row, number in enumerate(numbers.tolist())}
        for position, (numbers, values) in full.items()
    }
    outcomes = []
    for copy in copies.tolist():
        for position, by_copy in rows.items():
            leaves[position] = by_copy.get(copy, arguments[position].base)
        copy_args, copy_kwargs = unflatten(structure, leaves)
        outcomes.append(function(*copy_args, **copy_kwargs))
    return tree_map(lambda base, *others: _stacked(base, others, copies), result, *outcomes)


def same_in_all_copies(result: np.ndarray, array: PerturbedArray) -> None:
    """Refuse to go on where Python has read a value that differs between copies.

    raises: CopiesDiffer
    """
    if not np.array_equal(array.values, np.broadcast_to(_at_places(array), array.values.shape)):
        raise CopiesDiffer(
            "f takes a value out of an array, as float(), bool() or an if do, "
            "and that value differs between perturbed copies"
        )
    return None


def _at_places(array: PerturbedArray) -> np.ndarray:
    return array.places.gather(array.base)


def _stacked(base: Any, others: tuple[Any, ...], copies: np.ndarray) -> Any:
    if not isinstance(base, np.ndarray):
        if any(other != base for other in others):
            raise CopiesDiffer(f"f computes {base!r} for some perturbed copies, not for others")
        return base
    arrays = [np.asarray(other) for other in others]
    for array in arrays:
        if (array.shape, array.dtype) != (base.shape, base.dtype):
            raise CopiesDiffer(
                f"f computes an array of shape {base.shape} and dtype {base.dtype} for some "
                f"perturbed copies, {array.shape} and {array.dtype} for others"
            )
    return PerturbedArray(base, np.stack(arrays, axis=-1), Places(copies, (None,) * base.ndim))


def _sums_of_groups(change: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    if change.size == len(group) and change.dtype == np.float64:
        totals = np.bincount(group, change.reshape(-1), groups)
        return totals.reshape(*change.shape[:-1], groups)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(groups))
    return np.add.reduceat(change[..., order], starts, axis=-1)
