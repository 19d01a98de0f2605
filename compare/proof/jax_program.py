"""A function of JAX, followed in balls through its jaxpr.

Rules that somebody wrote (`custom_jvp`, `custom_vjp`) are not used: f itself is followed.
Where entries only move, JAX itself moves their numbers, and the balls go where those went.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from gradparity.backends.pytrees import PyTree, flatten, unflatten

from . import elementwise as entrywise
from . import matrices
from . import operations as arrays
from .elementwise import smooth
from .enclosed import (
    Enclosed,
    IsRandom,
    NotProved,
    balls,
    computed,
    constant,
    each,
    following,
    nothing,
    of_shape,
    whole_numbers,
)
from .recorded_program import astype, counted, of_numbers, unknown

MOST_STEPS = 100_000  # of one while loop

# JAX's names of the tables' functions.
SAME_AS = {
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "neg": "negative",
    "pow": "power",
    "max": "maximum",
    "min": "minimum",
    "abs": "absolute",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
    "not": "logical_not",
    "is_finite": "isfinite",
    "rem": "fmod",
    "real": "positive",
    "conj": "positive",
}
UNCHANGED = frozenset(
    "copy copy_p stop_gradient optimization_barrier sharding_constraint mul_unity pvary".split()
)
# How many of the first operands are moved; the others say where to.
MOVED = {
    "tile": 1,
    "unstack": 1,
    "dynamic_slice": 1,
    "dynamic_update_slice": 2,
    "gather": 1,
    "pad": 2,
    "split": 1,
}
# Functions of whole numbers that NumPy has too; JAX would compile each of them.
WHOLE = frozenset(
    "add subtract multiply negative absolute maximum minimum equal not_equal less less_equal "
    "greater greater_equal logical_and logical_or logical_xor".split()
)
QUICK = WHOLE | frozenset(
    "sub mul neg abs max min eq ne lt le gt ge broadcast_in_dim concatenate convert_element_type "
    "reshape rev select_n slice squeeze transpose".split()
)
# Operations that do nothing but call a jaxpr.
CALLS = frozenset(
    "jit pjit call closed_call core_call remat remat2 checkpoint custom_jvp_call custom_vjp_call "
    "custom_vjp_call_jaxpr custom_vmap_call".split()
)
CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")


class JaxProgram:
    """The jaxpr of a function at a point."""

    def __init__(self, f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...]) -> None:
        with jax.enable_x64(True):
            leaves, structure = flatten(params)
            others, others_structure = flatten(args)
            self._args = list(map(_constant, others))

            def flat(leaves: list[Any], others: list[Any]) -> Any:
                return f(unflatten(structure, leaves), *unflatten(others_structure, others))

            def traced() -> ClosedJaxpr:
                return jax.make_jaxpr(lambda *given: flat(*given))(leaves, others)

            try:
                self._closed = traced()
                again = traced()
            except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
                flat(leaves, others)  # raises what f itself raises
                first = str(error).partition("\n")[0]
                raise NotProved(f"its operations cannot be traced: {first}") from error
            if not _same(self._closed, again):
                raise IsRandom("f is random: its constants differ from call to call: fix its seed")
            outputs = self._closed.out_avals
            if len(outputs) != 1 or np.dtype(outputs[0].dtype).kind not in "fV":
                raise NotProved(f"f returns {outputs}; expected one real number")
            self.value = np.zeros(outputs[0].shape)

    def follow(self, leaves: Sequence[Enclosed]) -> Enclosed:
        with jax.enable_x64(True):
            inputs = [*leaves, *self._args]
            return evaluate(self._closed, inputs)[0]


def _same(one: ClosedJaxpr, other: ClosedJaxpr) -> bool:
    """Return whether two jaxprs are of the same operations and constants."""
    if str(one.jaxpr) != str(other.jaxpr) or len(one.consts) != len(other.consts):
        return False
    pairs = zip(one.consts, other.consts, strict=True)
    return all(a is b or _equal(a, b) for a, b in pairs)


def _equal(a: Any, b: Any) -> bool:
    if _is_key(a):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.array_equal(_number(a), _number(b), equal_nan=True)


def _number(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.float64) if array.dtype.kind not in "biuc" else array


def _constant(leaf: Any) -> Any:
    """Return an array, or what is one of keys of jax.random, as it is."""
    return leaf if _is_key(leaf) else constant(_number(leaf))


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and bool(jax.numpy.issubdtype(dtype, jax.dtypes.prng_key))


def evaluate(closed: ClosedJaxpr, inputs: Sequence[Enclosed]) -> list[Enclosed]:
    """Evaluate a jaxpr, equation by equation."""
    return _run(closed.jaxpr, list(map(_constant, closed.consts)), inputs)


def _run(jaxpr: Any, consts: Sequence[Enclosed], inputs: Sequence[Enclosed]) -> list[Enclosed]:
    known: dict[Any, Enclosed] = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Enclosed:
        return _constant(atom.val) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        name = equation.primitive.name
        with following(name):
            found = _follow(equation, [read(atom) for atom in equation.invars])
            for out, result in zip(equation.outvars, found, strict=True):
                of_shape(name, result, out.aval.shape)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _follow(equation: Any, xs: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    keys = not all(isinstance(x, Enclosed) for x in xs)
    if (keys or not all(map(_has_dtype, equation.outvars))) and not _nested(params):
        return _of_keys(equation, xs)
    if name in UNCHANGED:
        return xs
    if name not in QUICK and _all_whole(xs) and not _nested(params):
        kinds = {np.dtype(out.aval.dtype).kind for out in equation.outvars if _has_dtype(out)}
        if kinds <= set("biu") or name in ("iota", "bitcast_convert_type"):
            return _by_jax(equation, [x.value for x in xs])
    name = SAME_AS.get(name, name)
    if name in WHOLE and _all_whole(xs):
        return [constant(getattr(np, name)(*(x.value for x in xs)))]
    if name in RULES:
        found = RULES[name](equation, *xs)
        return found if isinstance(found, list) else [found]
    if name in MOVED:
        return _move(equation, xs, MOVED[name])
    if name in CALLS:
        inner = next(params[key] for key in CALLED if key in params)
        if params.get("name") == "signbit" and str(inner) == _sign_bits(xs[0].shape):
            return [of_numbers("signbit", "signbit", xs)]
        return evaluate(inner, xs) if hasattr(inner, "consts") else _run(inner, [], xs)
    return [of_numbers(name, name, xs)]


@functools.cache
def _sign_bits(shape: tuple[int, ...]) -> str:
    """Return how JAX itself reads the sign of a float64, which is out of its bits."""
    made = jax.make_jaxpr(jax.numpy.signbit)(jax.ShapeDtypeStruct(shape, np.float64))
    return str(made.jaxpr.eqns[0].params["jaxpr"])


def _all_whole(xs: Sequence[Enclosed]) -> bool:
    return all(
        isinstance(x, Enclosed) and x.value.dtype.kind in "biu" and x.ties is None for x in xs
    )


def _has_dtype(out: Any) -> bool:
    return isinstance(getattr(out.aval, "dtype", None), np.dtype)  # keys of jax.random have others


def _nested(params: dict[str, Any]) -> bool:
    return any(hasattr(v, "eqns") or hasattr(v, "jaxpr") for v in params.values())


def _by_jax(equation: Any, values: Sequence[Any]) -> list[Enclosed]:
    bound = [
        jax.numpy.asarray(v, a.aval.dtype) for v, a in zip(values, equation.invars, strict=True)
    ]
    found = equation.primitive.bind(*bound, **equation.params)
    found = found if equation.primitive.multiple_results else [found]
    return [constant(_number(x)) for x in found]


def _of_keys(equation: Any, xs: Sequence[Any]) -> list[Any]:
    """Let JAX do what keys of jax.random go into, or come from: they stay its own."""
    bound = [
        jax.numpy.asarray(whole_numbers(x), a.aval.dtype) if isinstance(x, Enclosed) else x
        for x, a in zip(xs, equation.invars, strict=True)
    ]
    found = equation.primitive.bind(*bound, **equation.params)
    found = found if equation.primitive.multiple_results else [found]
    return [
        constant(_number(x)) if _has_dtype(out) else x
        for x, out in zip(found, equation.outvars, strict=True)
    ]


def _move(equation: Any, xs: list[Enclosed], count: int) -> list[Enclosed]:
    """Let JAX move the numbers of the entries of the first operands, and follow them."""
    start, numbered = 0, []
    for x in xs[:count]:
        size = math.prod(x.shape)
        numbered.append(jax.numpy.arange(start, start + size).reshape(x.shape))
        start += size
    others = [
        jax.numpy.asarray(whole_numbers(x), atom.aval.dtype)
        for x, atom in zip(xs[count:], equation.invars[count:], strict=True)
    ]
    params = dict(equation.params)
    if "fill_value" in params:
        params["fill_value"] = -1
    found = equation.primitive.bind(*numbered, *others, **params)
    found = found if equation.primitive.multiple_results else [found]
    if count == 1:
        flat = arrays.reshape(xs[0], (-1,))
    else:
        flat = arrays.concat([arrays.reshape(x, (-1,)) for x in xs[:count]], 0)
    return [_picked(flat, np.asarray(places), start) for places in found]


def _picked(flat: Enclosed, places: np.ndarray, size: int) -> Enclosed:
    outside = (places < 0) | (places >= size)
    picked = arrays.index(flat, np.where(outside, 0, places))
    if not outside.any():
        return picked
    return entrywise.where(constant(outside), constant(np.full(places.shape, np.nan)), picked)


# Rules.


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
            return _by_jax(equation, [a.value, b.value])
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


def _linear_solve(equation: Any, *xs: Enclosed) -> list[Enclosed]:
    lengths, jaxprs = equation.params["const_lengths"], equation.params["jaxprs"]
    start = lengths.matvec + lengths.vecmat
    consts = xs[start : start + lengths.solve]
    right = xs[start + lengths.solve + lengths.transpose_solve :]
    return evaluate(jaxprs.solve, [*consts, *right])


# Control flow.


def _truth(x: Enclosed) -> Any:
    return whole_numbers(x)[()]


def _cond(equation: Any, which: Enclosed, *xs: Enclosed) -> list[Enclosed]:
    branches = equation.params["branches"]
    return evaluate(branches[min(max(int(_truth(which)), 0), len(branches) - 1)], xs)


def _while(equation: Any, *xs: Enclosed) -> list[Enclosed]:
    params = equation.params
    conditions = xs[: params["cond_nconsts"]]
    bodies = xs[params["cond_nconsts"] :][: params["body_nconsts"]]
    carry = list(xs[params["cond_nconsts"] + params["body_nconsts"] :])
    for _ in range(MOST_STEPS):
        if not _truth(evaluate(params["cond_jaxpr"], [*conditions, *carry])[0]):
            return carry
        carry = evaluate(params["body_jaxpr"], [*bodies, *carry])
    raise NotProved(f"a while loop takes more than {MOST_STEPS:,} steps")


def _scan(equation: Any, *xs: Enclosed) -> list[Enclosed]:
    params = equation.params
    count, carried, length = params["num_consts"], params["num_carry"], params["length"]
    consts, carry = xs[:count], list(xs[count : count + carried])
    stacked = xs[count + carried :]
    outputs: list[list[Enclosed]] = []
    steps = range(length - 1, -1, -1) if params["reverse"] else range(length)
    for step in steps:
        row = [arrays.index(x, (step,)) if isinstance(x, Enclosed) else x[step] for x in stacked]
        found = evaluate(params["jaxpr"], [*consts, *carry, *row])
        carry = found[:carried]
        outputs.append(found[carried:])
    if params["reverse"]:
        outputs.reverse()
    if not length:
        raise unknown("scan of no steps")
    columns = list(zip(*outputs, strict=True))
    return carry + [
        arrays.concat([arrays.reshape(x, (1, *x.shape)) for x in column], 0) for column in columns
    ]


def _stack(equation: Any, *xs: Enclosed) -> Enclosed:
    axis = equation.params["axis"]
    shape = equation.outvars[0].aval.shape
    single = (*shape[:axis], 1, *shape[axis + 1 :])
    return arrays.concat([arrays.reshape(x, single) for x in xs], axis)


RULES: dict[str, Callable[..., Any]] = {
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
    "custom_linear_solve": _linear_solve,
    "cond": _cond,
    "while": _while,
    "scan": _scan,
}
