"""Many slightly different copies of one array: the array, and the blocks where copies differ.

A central difference needs f at x + h e_i and x - h e_i for every entry i. All these inputs are
copies of x that differ from it in one entry, and much of what f computes from them does not differ
at all: of x @ W with one entry of W moved, one column does. So f is computed once, and for a chunk
of copies only the blocks that differ are carried from operation to operation:

    copy k of an array  =  base, but in each block b with copies[b] == k:  values[..., b]

A block spans, along each axis, either all of it or one index. For W with entry (i, j) moved it is
the entry; for x @ W it is column j; after the next `@` it is whole rows. The rules that carry
blocks through NumPy's functions (`perturbed_functions`, `perturbed_products`,
`perturbed_indexing`) evaluate the function itself on blocks. Where one index of a summed axis
moved they update the sum, base + (moved - unmoved), which is what the sum of the moved copy is, up
to round-off. No rule knows a derivative: what comes out are values of f.

Blocks lie along the last axis of `values`, and memory is ordered the other way round, first axes
innermost. So NumPy's inner loops run over many blocks at a stretch, however short an axis is.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .block_memory import empty_blocks

Index = int | np.ndarray
"""Where blocks lie along an axis: all at one index, or each at its own, shape (blocks,)."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where copies differ from their base.

    copies: shape (blocks,), the copy that each block belongs to
    at: for each axis, the index of the blocks, or None where they span the axis
    split: axes along which one copy may have several blocks; the copy and the indices on these
        axes tell any two blocks apart, so that blocks of one copy never overlap
    """

    copies: np.ndarray
    at: tuple[Index | None, ...]
    split: frozenset[int] = frozenset()

    def pinned(self) -> tuple[int, ...]:
        """Return the axes along which blocks do not span the array."""
        return tuple(axis for axis, index in enumerate(self.at) if index is not None)

    def coincide(self, other: "Places") -> bool:
        """Tell whether both come from the same blocks, without looking at any index array."""
        return self.copies is other.copies and all(
            a is b or (type(a) is type(b) is int and a == b)
            for a, b in zip(self.at, other.at, strict=True)
        )

    def moved(self, at: Sequence[Index | None], axes: Callable[[int], int]) -> "Places":
        """Return the same blocks under another numbering of axes."""
        return Places(self.copies, tuple(at), frozenset(map(axes, self.split)))

    def padded(self, ndim: int) -> "Places":
        """Return places in an array with leading axes of length one, as broadcasting adds them."""
        added = ndim - len(self.at)
        return self.moved((None,) * added + self.at, lambda axis: axis + added) if added else self

    def selected(self, blocks: np.ndarray) -> "Places":
        """Return the places of some of the blocks, given as a mask or as indices."""
        at = tuple(index[blocks] if isinstance(index, np.ndarray) else index for index in self.at)
        return Places(self.copies[blocks], at, self.split)

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Return the blocks of an unperturbed array that broadcasts to the perturbed one.

        array: at most as many axes as `at`; an axis of length one is left as it is
        returns: shape (*block, blocks), or (*block, 1) where all blocks are equal
        """
        ndim = len(self.at)
        array = array.reshape((1,) * (ndim - array.ndim) + array.shape)
        apart = []
        for axis, index in enumerate(self.at):
            if index is None or array.shape[axis] == 1:
                continue
            if isinstance(index, int):
                array = array[(slice(None),) * axis + (slice(index, index + 1),)]
            else:
                apart.append(axis)
        if not apart:
            # Ordered as blocks are, so that NumPy's loops over both go the same way.
            return np.asarray(array, order="F")[..., None]
        spanned = [axis for axis in reversed(range(ndim)) if axis not in apart]
        shape = [array.shape[axis] for axis in spanned]
        flat = _flat_index([self.at[axis] for axis in apart], [array.shape[a] for a in apart])
        columns = array.transpose(spanned + apart)
        columns = columns.reshape(*shape, math.prod(columns.shape[len(shape) :]))
        taken = np.take(columns, flat, axis=-1).reshape(*shape, *(1,) * len(apart), len(flat))
        order = np.argsort(spanned + apart).tolist()
        return np.asarray(np.transpose(taken, (*order, ndim)))

    def group(self, keep: Collection[int], shape: Sequence[int]) -> tuple["Places", np.ndarray]:
        """Join the blocks that one copy has at the same indices on the axes to keep.

        shape: of the array; returns: the joined places, and the joined block of each block
        """
        axes = [axis for axis in keep if isinstance(self.at[axis], np.ndarray)]
        sizes = [int(self.copies.max(initial=0)) + 1, *(shape[axis] for axis in axes)]
        keys = _flat_index([self.copies, *(self.at[axis] for axis in axes)], sizes)
        if _ascend(keys):  # as those of a sum that has grown by another leaf
            group = np.arange(len(keys))
        else:
            keys, group = np.unique(keys, return_inverse=True)
        copies, *indices = np.unravel_index(keys, sizes)
        at = [self.at[axis] if axis in keep else None for axis in range(len(self.at))]
        for axis, index in zip(axes, indices, strict=True):
            at[axis] = index
        return Places(copies, tuple(at), several(copies, axes)), group


@dataclass(frozen=True, eq=False)
class PerturbedArray:
    """An array, and copies of it that differ in blocks.

    base: the unperturbed array; values: shape (*block, blocks) and dtype of base, a block having
    length one along the axes where `places` gives an index
    """

    base: np.ndarray
    values: np.ndarray
    places: Places

    def change(self) -> np.ndarray:
        """Return the blocks less what the base has there."""
        return np.asarray(self.values - self.places.gather(self.base))

    def padded(self, ndim: int) -> "PerturbedArray":
        added = ndim - self.base.ndim
        if not added:
            return self
        return PerturbedArray(
            self.base.reshape((1,) * added + self.base.shape),
            self.values.reshape((1,) * added + self.values.shape),
            self.places.padded(ndim),
        )

    def spanning(self, axes: Collection[int]) -> "PerturbedArray":
        """Return the same copies, held in blocks that span the given axes."""
        at = self.places.at
        axes = [axis for axis in self.places.pinned() if axis in axes]
        if not axes:
            return self
        kept = [axis for axis in self.places.pinned() if axis not in axes]
        if self.places.split.intersection(axes):
            places, group = self.places.group(kept, self.base.shape)
        else:
            spans = tuple(None if axis in axes else index for axis, index in enumerate(at))
            places = Places(self.places.copies, spans, self.places.split)
            group = np.arange(len(places.copies))
        return self._placed(places, axes, group)

    def regrouped(self, places: Places, group: np.ndarray) -> "PerturbedArray":
        """Return the same copies in other blocks, pinned on the same axes.

        places: among them every block of this array; group: where each of them is there
        """
        return self._placed(places, (), group)

    def _placed(self, places: Places, axes: Collection[int], group: np.ndarray) -> "PerturbedArray":
        """Start from the base at `places` and write the own blocks into it."""
        blocks, ndim = len(places.copies), self.base.ndim
        gathered = places.gather(self.base)
        filled = empty_blocks(gathered.shape[:-1], blocks, self.base.dtype)
        filled[...] = gathered
        rest = [axis for axis in range(ndim) if axis not in axes]
        target = filled.transpose(*rest, *axes, ndim)
        indices = [self.places.at[axis] for axis in axes]
        target[(..., *indices, group)] = self.values.transpose(*rest, *axes, ndim).reshape(
            [self.values.shape[axis] for axis in rest] + [-1]
        )
        return PerturbedArray(self.base, filled, places)

    def each_copy(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the perturbed copies in full: their numbers, and shape (copies, *base.shape)."""
        full = self.spanning(range(self.base.ndim))
        return full.places.copies, np.ascontiguousarray(np.moveaxis(full.values, -1, 0))


def align(arrays: Sequence[PerturbedArray], ndim: int) -> list[PerturbedArray]:
    """Return the same arrays with `ndim` axes, all with blocks at the same places.

    arrays: broadcastable to one another; an axis of length one counts as spanned
    """
    arrays = [array.padded(ndim) for array in arrays]
    if all(array.places.coincide(arrays[0].places) for array in arrays[1:]):
        return arrays
    pinned = set.intersection(*(set(array.places.pinned()) for array in arrays))
    arrays = [array.spanning(set(range(ndim)) - pinned) for array in arrays]
    if all(array.places.coincide(arrays[0].places) for array in arrays[1:]):
        return arrays
    together = Places(
        np.concatenate([array.places.copies for array in arrays]),
        tuple(
            join_indices([array.places for array in arrays], axis) if axis in pinned else None
            for axis in range(ndim)
        ),
        frozenset(pinned),
    )
    shape = [max(array.base.shape[axis] for array in arrays) for axis in range(ndim)]
    places, groups = together.group(pinned, shape)
    ends = np.cumsum([len(array.places.copies) for array in arrays])[:-1]
    return [
        array.regrouped(places, group)
        for array, group in zip(arrays, np.split(groups, ends), strict=True)
    ]


def join_indices(places: Sequence[Places], axis: int) -> Index:
    """Return where the blocks of all places, one after the other, lie along a pinned axis."""
    indices: list[Any] = [place.at[axis] for place in places]
    if all(isinstance(index, int) and index == indices[0] for index in indices):
        return int(indices[0])
    return np.concatenate(
        [np.broadcast_to(i, p.copies.shape) for i, p in zip(indices, places, strict=True)]
    )


def several(copies: np.ndarray, axes: Collection[int]) -> frozenset[int]:
    """Return the axes that tell blocks apart: none where every copy has at most one."""
    alone = _ascend(copies) or len(np.unique(copies)) == len(copies)
    return frozenset() if alone else frozenset(axes)


def _ascend(numbers: np.ndarray) -> bool:
    """Tell whether each number is larger than the one before: sorted, and each there once."""
    return bool((numbers[1:] > numbers[:-1]).all())


def _flat_index(indices: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    if len(indices) == 1:
        return np.asarray(indices[0])
    if math.prod(shape) > np.iinfo(np.intp).max:
        raise OverflowError(f"cannot number the entries of shape {tuple(shape)}")
    return np.asarray(np.ravel_multi_index(tuple(indices), tuple(shape)))
