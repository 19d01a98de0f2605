"""Definitions of functions that reshape, join and index, by the few of them that have rules."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import perturbed_indexing as rules
from .recorded_array import RecordedArray

Axes = int | tuple[int, ...] | None


def axis_numbers(x: RecordedArray, axis: Axes) -> tuple[int, ...]:
    """Return axes as numbers from 0; all of them for None."""
    if axis is None:
        return tuple(range(x.ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(np.lib.array_utils.normalize_axis_index(int(a), x.ndim) for a in axes)


def reshape(x: RecordedArray, shape: Any, *, copy: bool | None = None) -> Any:
    reshaped = np.reshape(x.value, shape)
    return x if reshaped.shape == x.shape else x.recorder.record(rules.reshape, reshaped, x)


def ravel(x: RecordedArray) -> Any:
    return reshape(x, (-1,))


def expand_dims(x: RecordedArray, axis: Any = 0) -> Any:
    return reshape(x, np.expand_dims(x.value, axis).shape)


def squeeze(x: RecordedArray, axis: Axes = None) -> Any:
    return reshape(x, np.squeeze(x.value, axis).shape)


def permute_dims(x: RecordedArray, axes: Any = None) -> Any:
    axes = axis_numbers(x, tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))
    return x.recorder.record(rules.permute_dims, np.transpose(x.value, axes), x, axes)


def moveaxis(x: RecordedArray, source: Any, destination: Any) -> Any:
    return permute_dims(x, np.moveaxis(_numbered_axes(x), source, destination).shape)


def swapaxes(x: RecordedArray, axis1: int, axis2: int) -> Any:
    return permute_dims(x, np.swapaxes(_numbered_axes(x), axis1, axis2).shape)


def matrix_transpose(x: RecordedArray) -> Any:
    return swapaxes(x, -1, -2)


def broadcast_to(x: RecordedArray, shape: Any) -> Any:
    return x.recorder.record(rules.broadcast_to, np.broadcast_to(x.value, shape), x)


def broadcast_arrays(*arrays: RecordedArray) -> Any:
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple(broadcast_to(x, shape) for x in arrays)


def concat(arrays: Sequence[RecordedArray], axis: int | None = 0) -> Any:
    if axis is None:
        return concat([ravel(x) for x in arrays], 0)
    joined = np.concatenate([x.value for x in arrays], axis=axis)
    if any(x.dtype != joined.dtype for x in arrays):
        return NotImplemented
    (axis,) = axis_numbers(arrays[0], axis)
    return arrays[0].recorder.record(rules.concat, joined, list(arrays), axis)


def stack(arrays: Sequence[RecordedArray], axis: int = 0) -> Any:
    return concat([expand_dims(x, axis) for x in arrays], axis)


def unstack(x: RecordedArray, *, axis: int = 0) -> Any:
    return tuple(moveaxis(x, axis, 0))


def flip(x: RecordedArray, axis: Axes = None) -> Any:
    axes = axis_numbers(x, axis)
    return x[tuple(slice(None, None, -1 if a in axes else 1) for a in range(x.ndim))]


def roll(x: RecordedArray, shift: Any, axis: Axes = None) -> Any:
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), x.shape)
    for one, by in np.broadcast(axis_numbers(x, axis), shift):
        x = take(x, np.roll(np.arange(x.shape[one]), by), axis=int(one))
    return x


def repeat(x: RecordedArray, repeats: Any, axis: int | None = None) -> Any:
    if axis is None:
        return repeat(ravel(x), repeats, 0)
    times = _fixed(repeats)
    if times is None:
        return NotImplemented
    return take(x, np.repeat(np.arange(x.shape[axis]), times), axis=axis)


def tile(x: RecordedArray, repetitions: Any) -> Any:
    times = tuple(np.atleast_1d(repetitions).tolist())
    ndim = max(x.ndim, len(times))
    x = reshape(x, (1,) * (ndim - x.ndim) + x.shape)
    for axis, count in enumerate((1,) * (ndim - len(times)) + times):
        x = take(x, np.tile(np.arange(x.shape[axis]), count), axis=axis)
    return x


def take(x: RecordedArray, indices: Any, axis: int | None = None) -> Any:
    if axis is None:
        return take(ravel(x), indices, 0)
    (axis,) = axis_numbers(x, axis)
    return getitem(x, (slice(None),) * axis + (indices,))


def take_along_axis(x: RecordedArray, indices: Any, axis: int = -1) -> Any:
    (axis,) = axis_numbers(x, axis)
    grid = list(np.ogrid[tuple(slice(n) for n in x.shape)])
    return getitem(x, (*grid[:axis], indices, *grid[axis + 1 :]))


def diagonal(x: RecordedArray, *, offset: int = 0) -> Any:
    rows = np.arange(max(-offset, 0), min(x.shape[-2], x.shape[-1] - offset))
    return getitem(x, (..., rows, rows + offset))


def numpy_diagonal(x: RecordedArray, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Record NumPy's diagonal, along any two axes and with its arguments by position."""
    return diagonal(moveaxis(x, (axis1, axis2), (-2, -1)), offset=offset)


def diff(x: RecordedArray, *, axis: int = -1, n: int = 1) -> Any:
    if x.dtype.kind == "b":
        return NotImplemented
    (axis,) = axis_numbers(x, axis)
    before = (slice(None),) * axis
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


def getitem(x: RecordedArray, key: Any) -> Any:
    """Index in up to three steps: slices, then new and dropped axes, then integer arrays."""
    parts = _parts(x, key)
    if parts is None:
        return NotImplemented
    x.value[tuple(parts)]  # raises for a key that does not fit, as NumPy does
    by_arrays = any(isinstance(part, np.ndarray) for part in parts)
    lengths = iter(x.shape)
    cuts: list[slice] = []
    shape: list[int] = []
    picks: list[Any] = []
    for part in parts:
        if part is None:
            shape.append(1)
            picks.append(slice(None))
            continue
        length = next(lengths)
        if isinstance(part, slice):
            cuts.append(_definite(part, length))
            shape.append(len(range(*part.indices(length))))
            picks.append(slice(None))
        elif by_arrays:
            cuts.append(slice(0, length, 1))
            shape.append(length)
            picks.append(np.where(np.less(part, 0), np.add(part, length), part))
        else:
            start = part + length if part < 0 else part
            cuts.append(slice(start, start + 1, 1))
    if any(cut != slice(0, length, 1) for cut, length in zip(cuts, x.shape, strict=True)):
        x = x.recorder.record(rules.slices, x.value[tuple(cuts)], x, tuple(cuts))
    x = reshape(x, tuple(shape))
    if by_arrays:
        x = x.recorder.record(rules.pick, x.value[tuple(picks)], x, tuple(picks))
    return x


def _parts(x: RecordedArray, key: Any) -> list[Any] | None:
    """Return one slice, int or integer array for each axis, and None for new axes.

    Return None instead of a list where the key depends on parameters.
    """
    parts: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, RecordedArray | list | np.ndarray):
            array = _fixed(part)
            if array is None:
                return None
            if array.dtype == bool:
                if not array.ndim:
                    return None
                parts.extend(array.nonzero())
            else:
                parts.append(array if array.ndim else int(array))
        elif part is None or part is Ellipsis or isinstance(part, slice):
            parts.append(part)
        else:
            parts.append(operator.index(part))
    indexed = sum(part is not None and part is not Ellipsis for part in parts)
    rest = [slice(None)] * (x.ndim - indexed)
    where = [place for place, part in enumerate(parts) if part is Ellipsis]
    if not where:
        return parts + rest
    return parts[: where[0]] + rest + parts[where[0] + 1 :]


def _definite(part: slice, length: int) -> slice:
    start, stop, step = part.indices(length)
    return slice(start, stop if stop >= 0 else None, step)


def _fixed(array: Any) -> np.ndarray | None:
    """Return the value of an array that depends on no parameter, else None."""
    if isinstance(array, RecordedArray):
        return None if array.depends else array.value
    return np.asarray(array)


def _numbered_axes(x: RecordedArray) -> np.ndarray:
    """Return an empty array whose shape is (0, 1, 2, ...), to see where axes go."""
    return np.empty(range(x.ndim))
