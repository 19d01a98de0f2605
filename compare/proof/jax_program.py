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
from . import operations as arrays
from .enclosed import (
    Enclosed,
    IsRandom,
    NotProved,
    constant,
    following,
    of_shape,
    whole_numbers,
)
from .jax_operations import OPERATIONS, by_jax, number
from .named import of_numbers, unknown

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
    return np.array_equal(number(a), number(b), equal_nan=True)


def _constant(leaf: Any) -> Any:
    """Return an array, or what is one of keys of jax.random, as it is."""
    return leaf if _is_key(leaf) else constant(number(leaf))


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

    for equation in _needed(jaxpr):
        name = equation.primitive.name
        with following(name):
            found = _follow(equation, [read(atom) for atom in equation.invars])
            for out, result in zip(equation.outvars, found, strict=True):
                of_shape(name, result, out.aval.shape)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


@functools.lru_cache(maxsize=256)
def _needed(jaxpr: Any) -> tuple[Any, ...]:
    """Return the equations that the results need, in order."""
    needed, kept = {x for x in jaxpr.outvars if not isinstance(x, Literal)}, []
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed.update(x for x in equation.invars if not isinstance(x, Literal))
            kept.append(equation)
    return tuple(reversed(kept))


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
            return by_jax(equation, [x.value for x in xs])
    name = SAME_AS.get(name, name)
    if name in WHOLE and _all_whole(xs):
        return [constant(getattr(np, name)(*(x.value for x in xs)))]
    rule = CONTROL.get(name) or OPERATIONS.get(name)
    if rule is not None:
        found = rule(equation, *xs)
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


def _of_keys(equation: Any, xs: Sequence[Any]) -> list[Any]:
    """Let JAX do what keys of jax.random go into, or come from: they stay its own."""
    bound = [
        jax.numpy.asarray(whole_numbers(x), a.aval.dtype) if isinstance(x, Enclosed) else x
        for x, a in zip(xs, equation.invars, strict=True)
    ]
    found = equation.primitive.bind(*bound, **equation.params)
    found = found if equation.primitive.multiple_results else [found]
    return [
        constant(number(x)) if _has_dtype(out) else x
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


def _linear_solve(equation: Any, *xs: Enclosed) -> list[Enclosed]:
    lengths, jaxprs = equation.params["const_lengths"], equation.params["jaxprs"]
    start = lengths.matvec + lengths.vecmat
    consts = xs[start : start + lengths.solve]
    right = xs[start + lengths.solve + lengths.transpose_solve :]
    return evaluate(jaxprs.solve, [*consts, *right])


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


CONTROL: dict[str, Callable[..., Any]] = {
    "custom_linear_solve": _linear_solve,
    "cond": _cond,
    "while": _while,
    "scan": _scan,
}
