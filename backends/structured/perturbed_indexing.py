"""How reshaping, joining and indexing carry blocks: values move, and so do the blocks' places."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .perturbed_array import Index, PerturbedArray, Places, align, join_indices, several


def permute_dims(
    result: np.ndarray, array: PerturbedArray, axes: tuple[int, ...]
) -> PerturbedArray:
    places = array.places
    return PerturbedArray(
        result,
        array.values.transpose(*axes, len(axes)),
        places.moved([places.at[axis] for axis in axes], axes.index),
    )


def broadcast_to(result: np.ndarray, array: PerturbedArray) -> PerturbedArray:
    array = array.padded(result.ndim)
    values = np.broadcast_to(
        array.values, (*_block_shape(result.shape, array.places.at), array.values.shape[-1])
    )
    return PerturbedArray(result, values, array.places)


def reshape(result: np.ndarray, array: PerturbedArray) -> PerturbedArray:
    """Reshape; where axes are merged or cut of which only some are pinned, span them all."""
    groups = list(_axis_groups(array.base.shape, result.shape))
    mixed = [
        axis
        for before, _ in groups
        if not all(array.places.at[axis] is not None for axis in before)
        for axis in before
    ]
    array = array.spanning(mixed)
    places = array.places
    at: list[Index | None] = [None] * result.ndim
    split: set[int] = set()
    for before, after in groups:
        if not before or not after or places.at[before[0]] is None:
            continue
        flat = _ravelled(
            [places.at[axis] for axis in before], [array.base.shape[a] for a in before]
        )
        for axis, index in zip(
            after, np.unravel_index(flat, [result.shape[a] for a in after]), strict=True
        ):
            at[axis] = int(index) if isinstance(flat, int) else index
        if places.split.intersection(before):
            split.update(after)
    values = array.values.reshape(*_block_shape(result.shape, at), array.values.shape[-1])
    return PerturbedArray(result, values, Places(places.copies, tuple(at), frozenset(split)))


def concat(
    result: np.ndarray, arrays: Sequence[PerturbedArray | np.ndarray], axis: int
) -> PerturbedArray:
    """Join along an axis: the blocks side by side where each has one place along it."""
    starts = np.cumsum([0] + [_base(array).shape[axis] for array in arrays]).tolist()
    perturbed = [
        (array, start)
        for array, start in zip(arrays, starts, strict=False)
        if isinstance(array, PerturbedArray)
    ]
    if all(a.places.at[axis] is not None or a.base.shape[axis] == 1 for a, _ in perturbed):
        return _side_by_side(result, perturbed, axis)
    aligned = align([array.spanning((axis,)) for array, _ in perturbed], result.ndim)
    moved = iter(aligned)
    blocks = [
        next(moved).values if isinstance(array, PerturbedArray) else aligned[0].places.gather(array)
        for array in arrays
    ]
    shape = list(np.broadcast_shapes(*(_without(block.shape, axis) for block in blocks)))
    blocks = [
        np.broadcast_to(block, (*shape[:axis], block.shape[axis], *shape[axis:]))
        for block in blocks
    ]
    return PerturbedArray(result, np.concatenate(blocks, axis=axis), aligned[0].places)


def _side_by_side(
    result: np.ndarray, arrays: Sequence[tuple[PerturbedArray, int]], axis: int
) -> PerturbedArray:
    pinned = set.intersection(*({axis, *array.places.pinned()} for array, _ in arrays))
    others = set(range(result.ndim)) - pinned
    pieces = [(array.spanning(others), start) for array, start in arrays]
    moved = []
    for array, start in pieces:
        at = list(array.places.at)
        index = at[axis]
        at[axis] = start if index is None else index + start
        moved.append(Places(array.places.copies, tuple(at), array.places.split))
    copies = np.concatenate([places.copies for places in moved])
    joined = tuple(join_indices(moved, a) if a in pinned else None for a in range(result.ndim))
    apart = [a for a in pinned if isinstance(joined[a], np.ndarray)]
    split = moved[0].split if len(moved) == 1 else several(copies, apart)
    values = np.concatenate([array.values for array, _ in pieces], axis=-1)
    return PerturbedArray(result, values, Places(copies, joined, split))


def slices(result: np.ndarray, array: PerturbedArray, key: tuple[slice, ...]) -> PerturbedArray:
    """Take one slice along each axis, `key` having a start, a stop and a step for each."""
    places, values = array.places, array.values
    at = list(places.at)
    inside = np.ones(len(places.copies), bool)
    for axis, (index, part) in enumerate(zip(places.at, key, strict=True)):
        if index is None:
            values = values[(slice(None),) * axis + (part,)]
            continue
        position, rest = np.divmod(index - part.start, part.step)
        inside &= (rest == 0) & (position >= 0) & (position < result.shape[axis])
        at[axis] = int(position) if isinstance(index, int) else position
    places = Places(places.copies, tuple(at), places.split)
    if not inside.all():
        places, values = places.selected(inside), values[..., inside]
    return PerturbedArray(result, values, _without_unit_axes(places, result.shape))


def pick(
    result: np.ndarray, array: PerturbedArray, key: tuple[np.ndarray | slice, ...]
) -> PerturbedArray:
    """Index with integer arrays along some axes, the others being taken whole."""
    places, ndim = array.places, array.base.ndim
    picked = [axis for axis, part in enumerate(key) if isinstance(part, np.ndarray)]
    rest = [axis for axis in range(ndim) if axis not in picked]
    indices = np.broadcast_arrays(*(np.asarray(key[axis]) for axis in picked))
    shape = indices[0].shape
    # NumPy puts the picked axes where they were if they are neighbours, else first.
    first = picked[0] if picked[-1] - picked[0] + 1 == len(picked) else 0
    new_axes = range(first, first + len(shape))
    new_rest = [axis for axis in range(result.ndim) if axis not in new_axes]
    at: list[Index | None] = [None] * result.ndim
    pinned = [axis for axis in picked if places.at[axis] is not None]
    if not pinned:
        values = array.values[key]
        split = {new_rest[rest.index(axis)] for axis in places.split}
    else:
        wanted = _ravelled(
            [indices[picked.index(axis)].reshape(-1) for axis in pinned],
            [array.base.shape[axis] for axis in pinned],
        )
        held = _ravelled(
            [places.at[axis] for axis in pinned], [array.base.shape[axis] for axis in pinned]
        )
        entries, blocks = _matches(np.asarray(wanted), np.broadcast_to(held, places.copies.shape))
        inner = [
            np.zeros_like(blocks) if axis in pinned else index.reshape(-1)[entries]
            for axis, index in zip(picked, indices, strict=True)
        ]
        values = array.values.transpose(*rest, *picked, ndim)[(..., *inner, blocks)]
        values = np.expand_dims(values, tuple(new_axes))
        split = {new_rest[rest.index(axis)] for axis in places.split if axis in rest}
        split.update(new_axes)
        places = places.selected(blocks)
        for axis, index in zip(new_axes, np.unravel_index(entries, shape), strict=True):
            at[axis] = index
    for axis, new in zip(rest, new_rest, strict=True):
        at[new] = places.at[axis]
    places = Places(places.copies, tuple(at), frozenset(split))
    return PerturbedArray(result, values, _without_unit_axes(places, result.shape))


def _matches(wanted: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of positions, in `wanted` and in `held`, where the two are equal."""
    order = np.argsort(wanted, kind="stable")
    ascending = wanted[order]
    start = np.searchsorted(ascending, held, side="left")
    counts = np.searchsorted(ascending, held, side="right") - start
    pairs = np.repeat(np.arange(len(held)), counts)
    nth = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[start[pairs] + nth], pairs


def _without_unit_axes(places: Places, shape: Sequence[int]) -> Places:
    """Return places that span axes of length one, as broadcasting takes for granted."""
    at = tuple(None if n == 1 else index for n, index in zip(shape, places.at, strict=True))
    return Places(places.copies, at, frozenset(axis for axis in places.split if shape[axis] > 1))


def _axis_groups(
    before: Sequence[int], after: Sequence[int]
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the shortest runs of axes, before and after a reshape, that hold as many entries."""
    old = [axis for axis, length in enumerate(before) if length > 1]
    new = [axis for axis, length in enumerate(after) if length > 1]
    while old:
        ends = [1, 1]
        while difference := _entries(before, old[: ends[0]]) - _entries(after, new[: ends[1]]):
            ends[difference > 0] += 1
        yield old[: ends[0]], new[: ends[1]]
        old, new = old[ends[0] :], new[ends[1] :]


def _entries(shape: Sequence[int], axes: Sequence[int]) -> int:
    return math.prod(shape[axis] for axis in axes)


def _ravelled(indices: Sequence[Any], shape: Sequence[int]) -> Index:
    flat = indices[0] if len(indices) == 1 else np.ravel_multi_index(tuple(indices), tuple(shape))
    return flat if isinstance(flat, np.ndarray) else int(flat)


def _block_shape(shape: Sequence[int], at: Sequence[Index | None]) -> list[int]:
    return [n if index is None else 1 for n, index in zip(shape, at, strict=True)]


def _base(array: PerturbedArray | np.ndarray) -> np.ndarray:
    return array.base if isinstance(array, PerturbedArray) else array


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]
