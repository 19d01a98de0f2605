"""What the operations of a jaxpr mean for balls, but those that run other jaxprs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from . import elementwise as entrywise
from . import matrices
from . import operations as arrays
from .elementwise import smooth
from .enclosed import Enclosed, NotProved, balls, computed, constant, each, nothing, whole_numbers
from .named import astype, counted, unknown


def number(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.float64) if array.dtype.kind not in "biuc" else array


def by_jax(equation: Any, values: Sequence[Any]) -> list[Enclosed]:
    bound = [
        jax.numpy.asarray(v, a.aval.dtype) for v, a in zip(values, equation.invars, strict=True)
    ]
    found = equation.primitive.bind(*bound, **equation.params)
    found = found if equation.primitive.multiple_results else [found]
    return [constant(number(x)) for x in found]


def _same_entries(equation: Any, x: Enclosed, *_: Enclosed) -> Enclosed:
    axes = equation.params.get("dimensions")
    if axes is not None and equation.primitive.name == "reshape":
        x = arrays.permute(x, axes)
    return arrays.reshape(x, equation.outvars[0].aval.shape)


def _broadcast(equation: Any, x: Enclosed, *_: Enclosed) -> Enclosed:
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    lengths = [1] * len(shape)
    for axis, length in zip(axes, x.shape, strict=True):
        lengths[axis] = length
    return arrays.broadcast(arrays.reshape(x, lengths), tuple(shape))


def _slice(equation: Any, x: Enclosed) -> Enclosed:
    params = equation.params
    steps = params["strides"] or (1,) * x.ndim
    return arrays.index(
        x, tuple(map(slice, params["start_indices"], params["limit_indices"], steps))
    )


def _select(_: Any, which: Enclosed, *cases: Enclosed) -> Enclosed:
    if len(cases) == 1:
        return cases[0]
    if which.value.dtype.kind == "b":
        return entrywise.where(which, cases[1], cases[0])
    found = cases[0]
    for number, case in enumerate(cases[1:], 1):
        chosen = entrywise.compared("equal", which, constant(number))
        found = entrywise.where(chosen, case, found)
    return found


def _integer_power(equation: Any, x: Enclosed) -> Enclosed:
    return smooth("power", x, constant(float(equation.params["y"])))


def _dot(equation: Any, a: Enclosed, b: Enclosed) -> Enclosed:
    summed, batch = equation.params["dimension_numbers"]
    return arrays.contract(a, b, batch, summed)


def _convolution(equation: Any, x: Enclosed, kernel: Enclosed) -> Enclosed:
    params, numbers = equation.params, equation.params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        raise unknown("a convolution with groups of the batch")
    found = arrays.convolve(
        arrays.dilated(arrays.permute(x, numbers.lhs_spec), params["lhs_dilation"]),
        arrays.permute(kernel, numbers.rhs_spec),
        params["window_strides"],
        params["padding"],
        params["rhs_dilation"],
        params["feature_group_count"],
    )
    return arrays.permute(found, np.argsort(numbers.out_spec).tolist())


def _extreme(name: str, sign: int) -> Callable[..., Enclosed]:
    return lambda equation, x: arrays.extreme(name, x, tuple(equation.params["axes"]), False, sign)


def _best(sign: int) -> Callable[..., Enclosed]:
    return lambda equation, x: arrays.best_place(x, tuple(equation.params["axes"]), False, sign)


def _counted(name: str) -> Callable[..., Enclosed]:
    return lambda equation, x: counted(name, x, tuple(equation.params["axes"]), False)


def _cumulative_product(equation: Any, x: Enclosed) -> Enclosed:
    axis, reverse = equation.params["axis"], equation.params["reverse"]
    if reverse:
        return arrays.flip(arrays.cumulative_product(arrays.flip(x, (axis,)), axis), (axis,))
    return arrays.cumulative_product(x, axis)


def _cumulative_extreme(name: str, sign: int) -> Callable[..., Enclosed]:
    def rule(equation: Any, x: Enclosed) -> Enclosed:
        axis, reverse = equation.params["axis"], equation.params["reverse"]
        x = arrays.flip(x, (axis,)) if reverse else x
        before = (slice(None),) * axis
        rows = [arrays.index(x, (*before, slice(k, k + 1))) for k in range(x.shape[axis])]
        for k in range(1, len(rows)):
            rows[k] = entrywise.larger(name, rows[k - 1], rows[k], sign)
        found = arrays.concat(rows, axis)
        return arrays.flip(found, (axis,)) if reverse else found

    return rule


def _sort(equation: Any, *xs: Enclosed) -> list[Enclosed]:
    axis = equation.params["dimension"]
    if len(xs) == 1:
        return [arrays.sort(xs[0], axis)]
    if equation.params["num_keys"] != 1:
        raise unknown("sort by several keys")
    places = arrays.order(xs[0], axis, "sort")
    return [arrays.along_axis(x, places, axis) for x in xs]


def _in_total_order(name: str) -> Callable[..., Any]:
    """Compare as sorting does, for which -0 is less than 0."""

    def rule(equation: Any, a: Enclosed, b: Enclosed) -> Any:
        if a.value.dtype != object and b.value.dtype != object and not (a.depends or b.depends):
            return by_jax(equation, [a.value, b.value])
        found = entrywise.compared(name, a, b)
        if np.any(each(lambda x, y: x == 0 and y == 0, balls(a.value), balls(b.value))):
            raise NotProved(f"0 is compared with 0 in {equation.primitive.name}, an exact tie")
        return found

    return rule


def _round(equation: Any, x: Enclosed) -> Enclosed:
    to_even = int(equation.params["rounding_method"]) == 1
    return entrywise.stepped("round" if to_even else "round_away", x)


def _clamp(_: Any, low: Enclosed, x: Enclosed, high: Enclosed) -> Enclosed:
    return entrywise.clip(x, low, high)


def _convert(equation: Any, x: Enclosed) -> Enclosed:
    dtype = np.dtype(equation.params["new_dtype"])
    return astype(x, np.dtype(np.float64) if dtype.kind == "V" else dtype)


def _scatter_add(equation: Any, x: Enclosed, where: Enclosed, updates: Enclosed) -> Enclosed:
    """Add updates where JAX's own rule says that each of them arrives."""

    def scattered(values: Any) -> Any:
        zeros = jax.numpy.zeros(x.shape)
        return equation.primitive.bind(
            zeros, jax.numpy.asarray(whole_numbers(where)), values, **equation.params
        )

    numbers = jax.numpy.arange(1.0, math.prod(x.shape) + 1).reshape(x.shape)
    (found,) = jax.vjp(scattered, jax.numpy.zeros(updates.shape))[1](numbers)
    places = np.asarray(found).astype(int).ravel() - 1
    used = places >= 0
    added = nothing((math.prod(x.shape),))
    np.add.at(added, places[used], balls(updates.value).ravel()[used])

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        back = nothing((updates.value.size,))
        back[used] = cotangent.ravel()[places[used]]
        return cotangent, back.reshape(updates.shape)

    value = balls(x.value) + added.reshape(x.shape)
    return computed("scatter_add", value, (x, updates), pullback)


def _scatter(equation: Any, x: Enclosed, where: Enclosed, updates: Enclosed) -> list[Enclosed]:
    size = math.prod(x.shape)
    numbers = jax.numpy.arange(size).reshape(x.shape)
    others = jax.numpy.arange(size, size + math.prod(updates.shape)).reshape(updates.shape)
    places = equation.primitive.bind(
        numbers, jax.numpy.asarray(whole_numbers(where)), others, **equation.params
    )
    flat = arrays.concat([arrays.reshape(x, (-1,)), arrays.reshape(updates, (-1,))], 0)
    return [arrays.index(flat, np.asarray(places))]


# Matrices.


def _triangular_solve(equation: Any, a: Enclosed, b: Enclosed) -> Enclosed:
    params = equation.params
    a = matrices.triangle(a, params["lower"], params["unit_diagonal"])
    if params["transpose_a"]:
        a = matrices.transposed(a)
    if params["left_side"]:
        return matrices.solve(a, b)
    return matrices.transposed(matrices.solve(matrices.transposed(a), matrices.transposed(b)))


def _cholesky(equation: Any, a: Enclosed) -> Enclosed:
    return matrices.cholesky(a)


def _lu(equation: Any, a: Enclosed) -> list[Enclosed]:
    """Factor square matrices; any order of rows gives the same solutions and determinants."""
    size, batch = a.shape[-1], a.shape[:-2]
    if a.shape[-2] != size:
        raise unknown("lu of matrices that are not square")
    found = [_one_lu(arrays.index(a, at)) for at in np.ndindex(batch)]
    factors = arrays.concat([arrays.reshape(one[0], (1, size, size)) for one in found], 0)
    places = (np.asarray([one[k] for one in found]).reshape(*batch, size) for k in (1, 2))
    return [arrays.reshape(factors, a.shape), *map(constant, places)]


def _one_lu(a: Enclosed) -> tuple[Enclosed, list[int], list[int]]:
    size = a.shape[0]
    rows = [[arrays.index(a, (i, j)) for j in range(size)] for i in range(size)]
    pivots, order = [], list(range(size))
    for k in range(size):
        sizes = [float(abs(balls(rows[i][k].value)[()]).mid()) for i in range(k, size)]
        best = k + int(np.argmax(sizes))
        pivots.append(best)
        rows[k], rows[best] = rows[best], rows[k]
        order[k], order[best] = order[best], order[k]
        for i in range(k + 1, size):
            rows[i][k] = smooth("divide", rows[i][k], rows[k][k])
            for j in range(k + 1, size):
                step = smooth("multiply", rows[i][k], rows[k][j])
                rows[i][j] = smooth("subtract", rows[i][j], step)
    flat = arrays.concat([arrays.reshape(x, (1,)) for row in rows for x in row], 0)
    return arrays.reshape(flat, (size, size)), pivots, order


def _qr(equation: Any, a: Enclosed) -> list[Enclosed]:
    if equation.params.get("pivoting"):
        raise unknown("qr with pivoting")
    return list(matrices.qr(a, "complete" if equation.params["full_matrices"] else "reduced"))


def _eigh(equation: Any, a: Enclosed) -> list[Enclosed]:
    def like(floats: np.ndarray) -> np.ndarray:
        return np.asarray(equation.primitive.bind(jax.numpy.asarray(floats), **equation.params)[0])

    values, vectors = matrices.eigh(a, equation.params["lower"], like)
    return [vectors, values]


def _svd(equation: Any, a: Enclosed) -> list[Enclosed]:
    wanted = equation.params["compute_uv"]

    def like(floats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        settings = equation.params | {"compute_uv": True, "full_matrices": False}
        _, u, v = equation.primitive.bind(jax.numpy.asarray(floats), **settings)
        return np.asarray(u), np.asarray(v)

    u, sizes, v = matrices.svd(a, wanted and equation.params["full_matrices"], like)
    return [sizes, u, v] if wanted else [sizes]


def _stack(equation: Any, *xs: Enclosed) -> Enclosed:
    axis = equation.params["axis"]
    shape = equation.outvars[0].aval.shape
    single = (*shape[:axis], 1, *shape[axis + 1 :])
    return arrays.concat([arrays.reshape(x, single) for x in xs], axis)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "stack": _stack,
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda e, *xs: arrays.concat(xs, e.params["dimension"]),
    "reshape": _same_entries,
    "rev": lambda e, x: arrays.flip(x, tuple(e.params["dimensions"])),
    "slice": _slice,
    "squeeze": _same_entries,
    "transpose": lambda e, x: arrays.permute(x, e.params["permutation"]),
    "select_n": _select,
    "integer_pow": _integer_power,
    "conv_general_dilated": _convolution,
    "dot_general": _dot,
    "reduce_sum": lambda e, x: arrays.total(x, tuple(e.params["axes"])),
    "reduce_prod": lambda e, x: arrays.product(x, tuple(e.params["axes"])),
    "reduce_max": _extreme("max", 1),
    "reduce_min": _extreme("min", -1),
    "reduce_and": _counted("all"),
    "reduce_or": _counted("any"),
    "argmax": _best(1),
    "argmin": _best(-1),
    "cumsum": lambda e, x: arrays.cumulative_sum(x, e.params["axis"], e.params["reverse"]),
    "cumprod": _cumulative_product,
    "cummax": _cumulative_extreme("cummax", 1),
    "cummin": _cumulative_extreme("cummin", -1),
    "sort": _sort,
    "round": _round,
    "clamp": _clamp,
    "convert_element_type": _convert,
    "scatter-add": _scatter_add,
    "scatter_add": _scatter_add,
    "scatter": _scatter,
    "triangular_solve": _triangular_solve,
    "cholesky": _cholesky,
    "lu": _lu,
    "qr": _qr,
    "eigh": _eigh,
    "svd": _svd,
    "lt_to": _in_total_order("less"),
    "le_to": _in_total_order("less_equal"),
}
