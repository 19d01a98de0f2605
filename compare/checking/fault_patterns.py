"""Guess what went wrong with a leaf: undo each known fault, and see whether the result fits."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

# Of axes to permute; five axes would give 120 orders to try.
MOST_AXES = 4


def repairs(
    leaf: np.ndarray, others: Sequence[tuple[str, np.ndarray]], counts: Iterable[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (pattern, the leaf with that fault undone), the likeliest first.

    others: name and gradient of the other leaves
    counts: lengths that a mean may have been taken over, such as the batch size
    """
    yield "sign", -leaf
    yield "factor 2", leaf / 2
    yield "factor 1/2", leaf * 2
    for count in sorted({count for count in counts if count > 2}):
        yield f"missing 1/N (N = {count})", leaf / count
        yield f"1/N too many (N = {count})", leaf * count
    yield from _rearranged(leaf)
    for name, other in others:
        if other.shape == leaf.shape:
            yield f"swapped with {name}", other
        elif leaf.ndim == 2 and other.shape == leaf.shape[::-1]:
            yield f"swapped with {name}, transposed", other.T


def _rearranged(leaf: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if not 2 <= leaf.ndim <= MOST_AXES:
        return
    for order in itertools.permutations(range(leaf.ndim)):
        if order == tuple(range(leaf.ndim)):
            continue
        permuted_shape = tuple(leaf.shape[axis] for axis in order)
        # With equal axes both are the transpose itself; otherwise memory was read in another order.
        yield "transposed", leaf.reshape(permuted_shape).transpose(np.argsort(order))
        if permuted_shape != leaf.shape:
            yield "transposed", leaf.transpose(order).reshape(leaf.shape)
    for count in range(1, leaf.ndim + 1):
        for axes in itertools.combinations(range(leaf.ndim), count):
            yield "flipped", np.flip(leaf, axes)


def stray_repairs(array: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (pattern, repaired) for a leaf that does not have the parameter's shape."""
    summed = _summed(array, shape)
    if summed is not None:
        yield "unsummed broadcast", summed
        yield "unsummed broadcast", summed / (array.size / max(summed.size, 1))
    if array.ndim == len(shape) <= MOST_AXES:
        for order in itertools.permutations(range(array.ndim)):
            if tuple(array.shape[axis] for axis in order) == shape:
                yield "transposed", array.transpose(order)
    if array.size == int(np.prod(shape)):
        yield "reshaped", array.reshape(shape)


def _summed(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the sum over the axes that broadcasting `shape` to the array's shape adds."""
    try:
        if np.broadcast_shapes(array.shape, shape) != array.shape:
            return None
    except ValueError:
        return None
    leading = array.ndim - len(shape)
    stretched = [
        leading + axis
        for axis, length in enumerate(shape)
        if length == 1 and array.shape[leading + axis] != 1
    ]
    total = array.sum(axis=(*range(leading), *stretched), keepdims=True)
    return np.asarray(total.reshape(shape))


def is_rounded_to_float32(leaf: np.ndarray) -> bool:
    """Tell whether all entries are float32 numbers, and not just round ones."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.array_equal(leaf.astype(np.float32).astype(np.float64), leaf)
        return rounded and not np.array_equal(leaf.astype(np.float16).astype(np.float64), leaf)
