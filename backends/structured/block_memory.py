"""Memory for blocks, used again and again while one thread evaluates chunk after chunk.

Arrays of a megabyte that are freed go back to the operating system, which hands out zeroed pages
for the next one: that takes longer than most array operations on them.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

_pool: ContextVar["BlockMemory | None"] = ContextVar("block memory", default=None)


class BlockMemory:
    """Buffers, each used by some number of arrays; what none uses any more is handed out again."""

    def __init__(self) -> None:
        self._users: dict[int, int] = {}
        # By the number of bits of their sizes, so that few of many have to be looked at.
        self._free: defaultdict[int, list[np.ndarray]] = defaultdict(list)
        self._released: list[np.ndarray] = []

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any], in_place: bool) -> np.ndarray:
        """Return an uninitialised array.

        in_place: it may take the buffer of an array that was released but may still be read
        """
        size = math.prod(shape) * dtype.itemsize
        buffer = _fitting(self._released, size) if in_place else None
        if buffer is None:
            for bits in (size.bit_length(), size.bit_length() + 1):
                if buffer is None and bits in self._free:
                    buffer = _fitting(self._free[bits], size)
        if buffer is None:
            buffer = np.empty(size, np.uint8)
        return buffer[:size].view(dtype).reshape(shape)

    def hold(self, array: np.ndarray) -> None:
        """Count this array as a user of its buffer."""
        buffer = _buffer(array)
        self._users[id(buffer)] = self._users.get(id(buffer), 0) + 1

    def release(self, array: np.ndarray) -> None:
        """Stop counting it; after the next `settle` a buffer without users is free."""
        buffer = _buffer(array)
        self._users[id(buffer)] -= 1
        if not self._users[id(buffer)]:
            del self._users[id(buffer)]
            if buffer.dtype == np.uint8 and buffer.ndim == 1:
                self._released.append(buffer)

    def settle(self) -> None:
        """Free what was released and is not used again, by a view: nothing reads it any more."""
        for buffer in self._released:
            if id(buffer) not in self._users:
                self._free[buffer.nbytes.bit_length()].append(buffer)
        self._released.clear()


@contextmanager
def block_memory() -> Iterator[BlockMemory]:
    """Let `empty_blocks` in this context use memory again, until the context ends."""
    memory = _pool.get()
    if memory is not None:
        yield memory
        return
    memory = BlockMemory()
    token = _pool.set(memory)
    try:
        yield memory
    finally:
        _pool.reset(token)


def empty_blocks(
    shape: Sequence[int], blocks: int, dtype: np.dtype[Any], *, in_place: bool = False
) -> np.ndarray:
    """Return uninitialised values, shape (*shape, blocks), the first axes innermost in memory.

    in_place: they are written by a ufunc, which may do so where an operand of it was
    """
    ndim = len(shape)
    memory = _pool.get()
    backwards = (*reversed(shape), blocks)
    if memory is None:
        empty = np.empty(backwards, dtype)
    else:
        empty = memory.empty(backwards, dtype, in_place)
    return empty.transpose(*reversed(range(ndim)), ndim)


def _fitting(buffers: list[np.ndarray], size: int) -> np.ndarray | None:
    """Take out the last buffer, which is most likely cached, that is not much too large."""
    for place in reversed(range(len(buffers))):
        if size <= buffers[place].nbytes <= 2 * size:
            return buffers.pop(place)
    return None


def _buffer(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
