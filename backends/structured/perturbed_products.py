"""How matrix products carry blocks.

In a @ b with one index of the contracted axis moved, the product changes by an outer product of
that change with one row of b. Where most of the change is zero, as zeros of an input or of a ReLU
make it, only the rows of the product that do change are kept, each in a block of its own.
"""

from typing import Any

import numpy as np

from .block_memory import empty_blocks
from .perturbed_array import PerturbedArray, Places, align

# Rows in blocks of their own are gathered one by one, at about the cost of computing them.
SPARSE = 0.5


def matmul(
    result: np.ndarray, a: PerturbedArray | np.ndarray, b: PerturbedArray | np.ndarray
) -> PerturbedArray:
    """Return a @ b for operands of at least two axes."""
    if isinstance(a, PerturbedArray):
        if isinstance(b, PerturbedArray):
            return _both_perturbed(result, a, b)
        return _left_perturbed(result, a, b)
    assert isinstance(b, PerturbedArray)
    return _transposed(_left_perturbed(result.mT, _transposed(b), a.mT))  # (a b)' = b' a'


def summands(a: Any, b: Any) -> int:
    """Return how many products an entry of a @ b is the sum of; each may be perturbed."""
    if isinstance(a, PerturbedArray):
        return int(a.values.shape[-2])
    return int(b.values.shape[-3] if isinstance(b, PerturbedArray) else b.shape[-2])


def _left_perturbed(result: np.ndarray, a: PerturbedArray, b: np.ndarray) -> PerturbedArray:
    a = a.padded(result.ndim)
    *outer, contracted = range(result.ndim)
    index = a.places.at[contracted]
    if index is None or contracted in a.places.split or not np.isfinite(result).all():
        return _whole_rows(result, a.spanning((contracted,)), b)
    change, places = _rows_that_change(a)
    row = Places(places.copies, (*places.at[:-2], places.at[contracted], None)).gather(b)
    places = Places(places.copies, (*places.at[:-1], None), places.split)
    shape = np.broadcast_shapes(change.shape[:-1], row.shape[:-1])
    values = empty_blocks(shape, len(places.copies), result.dtype)
    np.multiply(change, row, out=values)
    values += places.gather(result)
    return PerturbedArray(result, values, places)


def _rows_that_change(a: PerturbedArray) -> tuple[np.ndarray, Places]:
    """Return the change along a pinned contracted axis, in blocks of rows where it is sparse."""
    change, places = a.change(), a.places
    if np.count_nonzero(change) >= SPARSE * change.size:
        return change, places
    flat = np.flatnonzero(change != 0)
    rows, blocks = np.divmod(flat, len(places.copies))
    indices = np.unravel_index(rows, change.shape[:-1])
    places = places.selected(blocks)
    spanned = [axis for axis, length in enumerate(change.shape[:-1]) if length > 1]
    at = [indices[axis] if axis in spanned else index for axis, index in enumerate(places.at)]
    return (
        change.reshape(-1)[flat].reshape((1,) * len(at) + (-1,)),
        Places(places.copies, tuple(at), places.split.union(spanned)),
    )


def _whole_rows(result: np.ndarray, a: PerturbedArray, b: np.ndarray) -> PerturbedArray:
    """Multiply blocks that span the contracted axis."""
    ndim = result.ndim
    places = a.places
    factor = Places(places.copies, (*places.at[:-2], None, None)).gather(b)
    if factor.shape[-1] > 1:
        return PerturbedArray(result, _block_by_block(a.values, factor), places)
    if any(length > 1 for length in factor.shape[:-3]):
        transposed = np.swapaxes(factor[..., 0], -1, -2)[..., None, :, :]
        return PerturbedArray(result, transposed @ a.values, places)
    # One matrix for all rows: one product, with the contracted axis first, as in memory.
    rows = a.values.transpose(*reversed(range(ndim)), ndim)
    weights = factor.reshape(factor.shape[-3:-1])
    values = (weights.T @ rows.reshape(len(rows), -1)).reshape(-1, *rows.shape[1:])
    return PerturbedArray(result, values.transpose(*reversed(range(ndim)), ndim), places)


def _both_perturbed(result: np.ndarray, a: PerturbedArray, b: PerturbedArray) -> PerturbedArray:
    matrix = (result.ndim - 2, result.ndim - 1)
    a, b = align([x.padded(result.ndim).spanning(matrix) for x in (a, b)], result.ndim)
    return PerturbedArray(result, _block_by_block(a.values, b.values), a.places)


def _block_by_block(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # BLAS wants each matrix contiguous, and so the blocks first.
    left, right = (np.ascontiguousarray(np.moveaxis(x, -1, 0)) for x in (a, b))
    return np.moveaxis(left @ right, 0, -1)


def _transposed(array: PerturbedArray) -> PerturbedArray:
    ndim = array.base.ndim
    axes = [*range(ndim - 2), ndim - 1, ndim - 2]
    places = array.places
    return PerturbedArray(
        array.base.mT,
        array.values.transpose(*axes, ndim),
        places.moved([places.at[axis] for axis in axes], axes.index),
    )
