"""Functions of arrays in balls: shapes, indexing, sums, products and orders.

Each takes and returns `Enclosed` arrays, and has its pullback beside it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arithmetic import arb, arb_mat
from .elementwise import SHARE, smooth
from .enclosed import (
    Enclosed,
    NotProved,
    balls,
    computed,
    constant,
    each,
    nothing,
    place,
    rounded,
    scaled,
    settled,
    short,
)

# Shapes and indexing: entries move, and nothing is computed.


def moved(name: str, x: Enclosed, value: np.ndarray, back: Callable[[np.ndarray], Any]) -> Enclosed:
    """Return x with its entries elsewhere; `back` brings cotangents to where they came from."""
    return computed(name, value, (x,), lambda cotangent: (np.asarray(back(cotangent)),))


def reshape(x: Enclosed, shape: Any) -> Enclosed:
    return moved("reshape", x, np.reshape(x.value, shape), lambda c: np.reshape(c, x.shape))


def permute(x: Enclosed, axes: Sequence[int]) -> Enclosed:
    back = np.argsort(axes)
    return moved("permute_dims", x, np.transpose(x.value, axes), lambda c: np.transpose(c, back))


def broadcast(x: Enclosed, shape: tuple[int, ...]) -> Enclosed:
    def back(cotangent: np.ndarray) -> np.ndarray:
        leading = cotangent.ndim - x.ndim
        summed = np.asarray(np.sum(cotangent, axis=tuple(range(leading))))
        axes = tuple(a for a, n in enumerate(x.shape) if n == 1 and summed.shape[a] != 1)
        return np.asarray(np.sum(summed, axis=axes, keepdims=True)) if axes else summed

    return moved("broadcast_to", x, np.broadcast_to(x.value, shape), back)


def index(x: Enclosed, key: Any) -> Enclosed:
    """Return x[key] for slices, whole numbers and arrays of them, or booleans."""

    def back(cotangent: np.ndarray) -> np.ndarray:
        gathered = nothing(x.shape)
        np.add.at(gathered, key, cotangent)
        return gathered

    return moved("getitem", x, np.asarray(x.value[key]), back)


def flip(x: Enclosed, axes: Sequence[int]) -> Enclosed:
    return moved("flip", x, np.flip(x.value, tuple(axes)), lambda c: np.flip(c, tuple(axes)))


def concat(arrays: Sequence[Enclosed], axis: int) -> Enclosed:
    exact = all(x.value.dtype != object and x.ties is None for x in arrays)
    values = [x.value if exact else balls(x.value) for x in arrays]
    edges = np.cumsum([x.shape[axis] for x in arrays])[:-1]
    return computed(
        "concat",
        np.concatenate(values, axis=axis),
        arrays,
        lambda cotangent: tuple(np.split(cotangent, edges, axis=axis)),
    )


# Sums and products.


def total(x: Enclosed, axes: tuple[int, ...], keepdims: bool = False) -> Enclosed:
    axes = tuple(axis % x.ndim for axis in axes)
    if settled(x).value.dtype.kind in "biu":
        return constant(np.sum(x.value, axis=axes, keepdims=keepdims))
    value = rounded(np.asarray(np.sum(rounded(balls(x.value)), axis=axes, keepdims=keepdims)))
    if 0 in x.shape:
        value = balls(np.zeros(value.shape))
    return computed("sum", value, (x,), lambda c: (np.array(_spread(c, x.shape, axes, keepdims)),))


def _spread(reduced: np.ndarray, shape: tuple[int, ...], axes: Any, keepdims: bool) -> np.ndarray:
    """Repeat what belongs to reduced axes along them."""
    expanded = reduced if keepdims else np.expand_dims(reduced, tuple(axes))
    return np.broadcast_to(expanded, shape)


def _in_front(x: Enclosed, axes: tuple[int, ...]) -> tuple[Enclosed, tuple[int, ...]]:
    """Return x as a matrix whose columns are reduced, and the shape of what remains."""
    axes = tuple(axis % x.ndim for axis in axes)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in kept)
    return reshape(permute(x, (*axes, *kept)), (-1, math.prod(shape))), shape


def _as_reduced(
    result: Enclosed, x: Enclosed, axes: tuple[int, ...], shape: tuple[int, ...], keepdims: bool
) -> Enclosed:
    axes = tuple(axis % x.ndim for axis in axes)
    if keepdims:
        shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    return reshape(result, shape)


def product(x: Enclosed, axes: tuple[int, ...], keepdims: bool = False) -> Enclosed:
    rows, shape = _in_front(x, axes)
    values = rounded(balls(rows.value))
    ones = np.full((1, values.shape[1]), arb(1), object)
    before = np.multiply.accumulate(np.concatenate([ones, values]), axis=0)
    after = np.multiply.accumulate(np.concatenate([ones, values[::-1]]), axis=0)[::-1]

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray]:
        return (rounded(np.asarray(scaled(cotangent[None, :], before[:-1] * after[1:]))),)

    return _as_reduced(
        computed("prod", rounded(before[-1]), (rows,), pullback), x, axes, shape, keepdims
    )


def cumulative_sum(x: Enclosed, axis: int, reverse: bool = False) -> Enclosed:
    def along(values: np.ndarray, backwards: bool) -> np.ndarray:
        values = rounded(values)
        if backwards:
            return np.flip(np.add.accumulate(np.flip(values, axis), axis=axis), axis)
        return np.add.accumulate(values, axis=axis)

    return computed(
        "cumulative_sum",
        along(balls(x.value), reverse),
        (x,),
        lambda c: (along(c, not reverse),),
    )


def cumulative_product(x: Enclosed, axis: int) -> Enclosed:
    values = np.moveaxis(rounded(balls(x.value)), axis, 0)
    ones = np.full((1, *values.shape[1:]), arb(1), object)
    result = np.multiply.accumulate(values, axis=0)
    before = np.concatenate([ones, result[:-1]])

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray]:
        cotangent = np.moveaxis(cotangent, axis, 0)
        # reached[j] sums cotangent[k] times the factors between j and k.
        reached = nothing(values.shape)
        later = nothing(values.shape[1:])
        for j in reversed(range(len(values))):
            later = cotangent[j] + (later * values[j + 1] if j + 1 < len(values) else later)
            reached[j] = later * before[j]
        return (np.moveaxis(reached, 0, axis),)

    return computed("cumulative_prod", np.moveaxis(result, 0, axis), (x,), pullback)


def matmul(a: Enclosed, b: Enclosed) -> Enclosed:
    """Return the products of matrices of at least two axes, the leading ones broadcast."""
    if all(settled(x).value.dtype.kind in "biu" for x in (a, b)):
        return constant(a.value @ b.value)
    left, right = a.value, b.value

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray | None, ...]:
        to_a = to_b = None
        if a.depends:
            to_a = summed_to(matrix_products(cotangent, np.swapaxes(right, -1, -2)), a.shape)
        if b.depends:
            to_b = summed_to(matrix_products(np.swapaxes(left, -1, -2), cotangent), b.shape)
        return to_a, to_b

    return computed("matmul", matrix_products(left, right), (a, b), pullback)


def summed_to(cotangent: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    leading = cotangent.ndim - len(shape)
    summed = np.asarray(np.sum(cotangent, axis=tuple(range(leading))))
    axes = tuple(a for a, n in enumerate(shape) if n == 1 and summed.shape[a] != 1)
    return np.asarray(np.sum(summed, axis=axes, keepdims=True)) if axes else summed


def matrix_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Multiply arrays of balls or exact numbers as `matmul` does, by matrices of balls."""
    left, right = rounded(left), rounded(right)
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    rows, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    result = np.empty((*batch, rows, columns), object)
    if not result.size:
        return result
    if not inner:
        return np.asarray(balls(np.zeros(result.shape)))
    wholes = [matrix(x) if x.ndim == 2 else None for x in (left, right)]
    spread = [np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (left, right)]
    for at in np.ndindex(batch):
        first, second = (
            matrix(x[at]) if whole is None else whole
            for whole, x in zip(wholes, spread, strict=True)
        )
        result[at] = entries(first * second)
    return rounded(result)


def matrix(values: np.ndarray) -> arb_mat:
    """Return a matrix of balls of an array with two axes."""
    rows, columns = values.shape
    flat = values.astype(object) if values.dtype.kind in "biu" else values
    return arb_mat(rows, columns, flat.ravel().tolist())


def entries(of: arb_mat) -> np.ndarray:
    flat = np.empty(of.nrows() * of.ncols(), object)
    flat[:] = of.entries()
    return flat.reshape(of.nrows(), of.ncols())


def contract(
    a: Enclosed,
    b: Enclosed,
    batch: tuple[Sequence[int], Sequence[int]],
    summed: tuple[Sequence[int], Sequence[int]],
) -> Enclosed:
    """Multiply over pairs of batch axes and sum over pairs of others.

    The result's axes: batch, the rest of a, the rest of b.
    """
    rest = [
        [axis for axis in range(x.ndim) if axis not in (*batch[k], *summed[k])]
        for k, x in enumerate((a, b))
    ]
    shape = [a.shape[axis] for axis in batch[0]]
    count = math.prod(a.shape[axis] for axis in summed[0])
    sizes = [math.prod(x.shape[axis] for axis in rest[k]) for k, x in enumerate((a, b))]
    left = reshape(permute(a, (*batch[0], *rest[0], *summed[0])), (*shape, sizes[0], count))
    right = reshape(permute(b, (*batch[1], *summed[1], *rest[1])), (*shape, count, sizes[1]))
    free = [x.shape[axis] for k, x in enumerate((a, b)) for axis in rest[k]]
    return reshape(matmul(left, right), (*shape, *free))


def convolve(
    x: Enclosed,
    kernel: Enclosed,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int = 1,
) -> Enclosed:
    """Return the correlation of (N, C, ...) with a kernel (O, C / groups, ...), as nets use it.

    One matrix product for each place of the kernel.
    """
    for axis, (before, after) in enumerate(padding, 2):
        parts = [
            constant(np.zeros((*x.shape[:axis], max(n, 0), *x.shape[axis + 1 :])))
            for n in (before, after)
        ]
        kept = slice(max(-before, 0), x.shape[axis] - max(-after, 0))
        x = concat([parts[0], index(x, (slice(None),) * axis + (kept,)), parts[1]], axis)
    spatial = kernel.shape[2:]
    lengths = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, d, s in zip(x.shape[2:], spatial, dilation, strides, strict=True)
    ]
    channels, outputs = kernel.shape[1], kernel.shape[0] // groups
    results = []
    for group in range(groups):
        total_ = None
        for place_ in np.ndindex(spatial):
            cut = tuple(
                slice(p * d, p * d + s * (n - 1) + 1, s)
                for p, d, s, n in zip(place_, dilation, strides, lengths, strict=True)
            )
            mine = slice(group * channels, (group + 1) * channels)
            taken = index(x, (slice(None), mine, *cut))
            rows = slice(group * outputs, (group + 1) * outputs)
            weights = index(kernel, (rows, slice(None), *place_))
            part = contract(taken, weights, ((), ()), ((1,), (1,)))
            total_ = part if total_ is None else smooth("add", total_, part)
        assert total_ is not None
        results.append(permute(total_, (0, total_.ndim - 1, *range(1, total_.ndim - 1))))
    return concat(results, 1)


def dilated(x: Enclosed, factors: Sequence[int]) -> Enclosed:
    """Put zeros between the entries along the last axes, so many less one."""
    for axis, factor in enumerate(factors, x.ndim - len(factors)):
        shape, length = x.shape, x.shape[axis]
        gaps = constant(np.zeros((*shape[: axis + 1], factor - 1, *shape[axis + 1 :])))
        spread = concat([reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :])), gaps], axis + 1)
        wide = reshape(spread, (*shape[:axis], length * factor, *shape[axis + 1 :]))
        x = index(wide, (slice(None),) * axis + (slice((length - 1) * factor + 1),))
    return x


# Orders, as far as balls decide them.


def extreme(name: str, x: Enclosed, axes: tuple[int, ...], keepdims: bool, sign: int) -> Enclosed:
    """Return the largest entry, or the smallest for sign -1; where several may be it, a kink."""
    if x.value.dtype != object and not x.depends:
        function = np.max if sign > 0 else np.min
        return constant(function(x.value, axis=axes, keepdims=keepdims))
    rows, shape = _in_front(x, axes)
    values = balls(rows.value)
    best = values[0]
    for row in values[1:]:
        best = each(arb.max if sign > 0 else arb.min, best, row)
    candidates = _candidates(values, sign)
    kinks = {
        _unravel(int(column), x, axes, shape, keepdims): _closest(values[:, column], sign)
        for column in np.flatnonzero(candidates.sum(axis=0) > 1)
    }
    share = candidates.astype(int).astype(object)
    share[:, candidates.sum(axis=0) > 1] *= SHARE

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray]:
        gathered = nothing(values.shape)
        for row, column in np.argwhere(candidates):
            part = share[row, column]
            arriving = cotangent[column]
            gathered[row, column] = arriving if type(part) is int else scaled(arriving, part)
        return (gathered,)

    node = computed(name, best, (rows,), pullback)
    reduced = _as_reduced(node, x, axes, shape, keepdims)
    if kinks and x.depends:
        reduced.operation, reduced.kinks = name, kinks
    return reduced


def _candidates(values: Any, sign: int) -> np.ndarray:
    """Return which entries of each column may be the largest."""
    chosen = np.zeros(values.shape, bool)
    for column in range(values.shape[1]):
        entries_ = [sign * v for v in values[:, column]]
        if not all(entry.is_finite() or abs(entry) == arb("inf") for entry in entries_):
            chosen[:, column] = True
            continue
        top = max(entry.lower() for entry in entries_)
        chosen[:, column] = [not (entry < top) for entry in entries_]
    return chosen


def _closest(column: np.ndarray, sign: int) -> Any:
    """Return the gap between the two entries that come first."""
    ordered = sorted((sign * entry for entry in column), key=lambda ball: -ball.mid())
    return ordered[0] - ordered[1]


def _unravel(
    column: int, x: Enclosed, axes: tuple[int, ...], shape: tuple[int, ...], keepdims: bool
) -> tuple[int, ...]:
    at = [int(i) for i in np.unravel_index(column, shape)]
    if keepdims:
        axes = tuple(axis % x.ndim for axis in axes)
        rest = iter(at)
        at = [0 if axis in axes else next(rest) for axis in range(x.ndim)]
    return tuple(at)


def order(x: Enclosed, axis: int, name: str = "argsort") -> np.ndarray:
    """Return the indices that sort x; equal constants keep their order.

    raises: NotProved where balls do not tell the order of entries, or two of them are equal
    """
    if settled(x).value.dtype != object and not x.depends:
        return np.argsort(x.value, axis=axis, kind="stable")
    values = np.moveaxis(balls(x.value), axis, -1)
    found = np.empty(values.shape, np.intp)
    for at in np.ndindex(values.shape[:-1]):
        row = values[at]
        if not all(ball.is_finite() for ball in row):
            raise NotProved(f"entries are not finite in {name}")
        ranked = sorted(range(len(row)), key=lambda k: row[k].mid())
        for one, other in zip(ranked, ranked[1:], strict=False):
            gap = row[other] - row[one]
            if not gap > 0 and (x.depends or not gap == 0):
                node = Enclosed(x.value, name, (x,))
                where = list(at)
                where.insert(axis % x.ndim, one)
                exact = gap == 0
                how = "an exact tie" if exact else f"to within {short(gap)}"
                raise NotProved(
                    f"{place(node, tuple(where))} is as large as another entry in {name}, {how}",
                    hopeless=exact,
                )
        found[at] = ranked
    return np.moveaxis(found, -1, axis)


def sort(x: Enclosed, axis: int, descending: bool = False) -> Enclosed:
    """Sort along an axis; entries whose order balls do not tell are a kink."""
    if x.value.dtype != object and not x.depends:
        ordered = np.sort(x.value, axis=axis)
        return constant(np.flip(ordered, axis) if descending else ordered)
    values = np.moveaxis(balls(x.value), axis, -1)
    places = np.empty(values.shape, np.intp)
    result: Any = np.empty(values.shape, object)
    groups: list[tuple[tuple[int, ...], slice]] = []
    kinks: dict[tuple[int, ...], Any] = {}
    for at in np.ndindex(values.shape[:-1]):
        row = values[at]
        if not all(ball.is_finite() for ball in row):
            raise NotProved("entries are not finite in sort")
        ranked = sorted(range(len(row)), key=lambda k: row[k].mid())
        places[at] = ranked
        for start, stop in _together(row[ranked]):
            result[(*at, slice(start, stop))] = row[ranked[start:stop]]
            if stop - start == 1:
                continue
            groups.append((at, slice(start, stop)))
            low = sorted(ball.lower() for ball in row[ranked[start:stop]])
            high = sorted(ball.upper() for ball in row[ranked[start:stop]])
            for k in range(start, stop):
                kinks[_moved((*at, k), axis, x.ndim)] = row[ranked[stop - 1]] - row[ranked[start]]
                result[(*at, k)] = low[k - start].union(high[k - start])

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray]:
        arriving: Any = np.moveaxis(cotangent, axis, -1).copy()
        for at, group in groups:
            part = [arb(c) if type(c) is int else c for c in arriving[(*at, group)]]
            hull = part[0]
            for one in part[1:]:
                hull = hull.union(one)
            arriving[(*at, group)] = hull
        gathered = nothing(values.shape)
        np.put_along_axis(gathered, places, arriving, -1)
        return (np.moveaxis(gathered, -1, axis),)

    node = computed(
        "sort", np.moveaxis(result, -1, axis), (x,), pullback, kinks=kinks if x.depends else {}
    )
    return flip(node, (axis,)) if descending else node


def _together(ordered: np.ndarray) -> list[tuple[int, int]]:
    """Cut a row, ordered by midpoints, into groups within which balls do not tell the order."""
    edges, top = [0], ordered[0].upper()
    for k in range(1, len(ordered)):
        if ordered[k].lower() > top:
            edges.append(k)
        upper = ordered[k].upper()
        top = upper if upper > top else top
    edges.append(len(ordered))
    return list(zip(edges, edges[1:], strict=False))


def _moved(index: tuple[int, ...], axis: int, ndim: int) -> tuple[int, ...]:
    moved = list(index[:-1])
    moved.insert(axis % ndim, index[-1])
    return tuple(moved)


def along_axis(x: Enclosed, places: np.ndarray, axis: int) -> Enclosed:
    """Return what `take_along_axis` does."""
    axis %= x.ndim
    grid = list(np.ogrid[tuple(slice(n) for n in places.shape)])
    return index(x, (*grid[:axis], places, *grid[axis + 1 :]))


def best_place(x: Enclosed, axes: tuple[int, ...], keepdims: bool, sign: int) -> Enclosed:
    """Return what `argmax` does, or `argmin` for sign -1.

    raises: NotProved where several entries may be it
    """
    name = "argmax" if sign > 0 else "argmin"
    if x.value.dtype != object and not x.depends:
        (axis,) = axes
        return constant(getattr(np, name)(x.value, axis=axis, keepdims=keepdims))
    rows, shape = _in_front(x, axes)
    candidates = _candidates(balls(rows.value), sign)
    for column in np.flatnonzero(candidates.sum(axis=0) > 1):
        gap = _closest(balls(rows.value)[:, column], sign)
        if x.depends or not gap == 0:
            how = "an exact tie" if gap == 0 else f"to within {short(gap)}"
            raise NotProved(f"two entries are as large in {name}, {how}", hopeless=bool(gap == 0))
    places = np.argmax(candidates, axis=0)
    return _as_reduced(constant(places), x, axes, shape, keepdims)
