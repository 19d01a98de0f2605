"""JAX by an interpreter of jaxprs: random rounding after each equation, or none of f's casts."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..precision import UNIT_ROUNDOFF
from ..pytrees import PyTree, is_array
from .instrument import LOW_PRECISION, SMALLEST_SUBNORMAL, Cast, Gradient

Apply = Callable[[Any, list[Any]], Sequence[Any]]

# Primitives that pick, place or order values without computing with them, or are always exact.
MOVES = frozenset(
    """
    abs argmax argmin broadcast_in_dim ceil clamp concatenate copy copy_p copy_start cummax cummin
    dynamic_slice dynamic_update_slice expand_dims floor gather iota is_finite max min neg pad
    real imag reduce_max reduce_min reshape rev round scatter select_and_gather_add select_n sign
    slice sort split squeeze stop_gradient top_k transpose bitcast_convert_type device_put
    optimization_barrier empty full random_bits random_wrap random_unwrap random_seed
    """.split()
)
POINTWISE = frozenset(
    """
    exp exp2 expm1 log log1p tanh sin cos tan asin acos atan sinh cosh asinh acosh atanh atan2 sqrt
    rsqrt cbrt pow integer_pow logistic erf erfc erf_inv square rem lgamma digamma
    """.split()
)

LIBRARIES = ("/jax/", "/jaxlib/", "/backends/rounding/", "/contextlib.py", "/functools.py")


class JaxInstrument:
    """Trace functions of arrays, and evaluate what was traced equation by equation."""

    def native(self, leaf: Any, dtype: str | None) -> Any:
        if hasattr(leaf, "detach"):
            leaf = leaf.detach().cpu()
            narrow = str(leaf.dtype) == "torch.bfloat16"
            leaf = leaf.float().numpy() if narrow else leaf.numpy()
            dtype = dtype or ("bfloat16" if narrow else None)
        with jax.enable_x64(True):
            array = jnp.array(np.array(leaf, copy=True))
            if dtype is not None and jnp.issubdtype(array.dtype, jnp.floating):
                array = array.astype(dtype)
            return jax.block_until_ready(array)

    def doubles(self, array: Any) -> np.ndarray:
        return np.asarray(array).astype(np.float64)

    def rounded(
        self,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[Any, ...],
        cotangent: PyTree,
        double: bool = False,
    ) -> Callable[[int | None], Gradient]:
        wide = any(
            leaf.dtype == np.float64
            for leaf in jax.tree_util.tree_leaves((params, args))
            if is_array(leaf)
        )
        with jax.enable_x64(wide):
            traced = _Traced(f, params, args, cotangent)

        def run(seed: int | None) -> Gradient:
            with jax.enable_x64(wide):
                if seed is None:
                    return traced.gradient(plainly)
                apply = RandomRounding(seed, double)
                gradient = traced.gradient(apply)
                return gradient._replace(rounded_to=frozenset(apply.rounded_to))

        return run

    def lifted(
        self, f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], cotangent: PyTree
    ) -> tuple[Gradient, tuple[Cast, ...]]:
        without = WithoutCasts()
        with jax.enable_x64(True):
            gradient = _Traced(f, params, args, cotangent).gradient(without)
        return gradient, without.casts

    def lifted_output(
        self, f: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Cast, ...], int]:
        without = WithoutCasts()
        with jax.enable_x64(True):
            leaves, static = _split(args)
            closed, shape = jax.make_jaxpr(lambda given: f(*static(given)), return_shape=True)(
                leaves
            )
            found = evaluate(closed.jaxpr, closed.consts, leaves, without)
            structure = jax.tree_util.tree_structure(shape)
            output = jax.tree_util.tree_unflatten(structure, found)
            return output, without.casts, without.widened

    def lowers(self, f: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        with jax.enable_x64(True):
            leaves, static = _split(args)
            closed = jax.make_jaxpr(lambda given: f(*static(given)))(leaves)
        return _is_lowered(closed.jaxpr)


def _is_lowered(jaxpr: Any) -> bool:
    """Tell whether an equation of a jaxpr, or of one within, gives less than float64."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "reduce_precision":
            return True
        if any(_is_low(getattr(output.aval, "dtype", None)) for output in equation.outvars):
            return True
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if _is_jaxpr(inner) and _is_lowered(getattr(inner, "jaxpr", inner)):
                    return True
    return False


class _Traced:
    """The equations of a function's output and VJP at given arrays."""

    def __init__(
        self, f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], cotangent: PyTree
    ) -> None:
        self._arrays, static = _split((params, args, cotangent))

        def output_and_gradient(arrays: list[Any]) -> tuple[list[Any], list[Any]]:
            params, args, cotangent = static(arrays)
            output, pull = jax.vjp(lambda primal: f(primal, *args), params)
            if cotangent is None:
                weights = jax.tree_util.tree_map(lambda leaf: jnp.ones((), leaf.dtype), output)
            else:
                weights = jax.tree_util.tree_map(
                    lambda weight, leaf: weight.astype(leaf.dtype), cotangent, output
                )
            return (
                jax.tree_util.tree_leaves(output),
                jax.tree_util.tree_leaves(pull(weights)[0]),
            )

        self._closed, shapes = jax.make_jaxpr(output_and_gradient, return_shape=True)(self._arrays)
        self._outputs = len(shapes[0])

    def gradient(self, apply: Apply) -> Gradient:
        found = evaluate(self._closed.jaxpr, self._closed.consts, self._arrays, apply)
        doubles = [np.asarray(array).astype(np.float64) for array in found]
        return Gradient(doubles[: self._outputs], doubles[self._outputs :])


def _split(tree: PyTree) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Return the tree's arrays, and what puts others in their places beside the rest."""
    leaves, structure = jax.tree_util.tree_flatten(tree)
    places = [place for place, leaf in enumerate(leaves) if is_array(leaf)]

    def joined(arrays: list[Any]) -> Any:
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        return jax.tree_util.tree_unflatten(structure, filled)

    return [leaves[place] for place in places], joined


def evaluate(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], apply: Apply) -> list[Any]:
    """Evaluate a jaxpr with `apply(equation, inputs) -> outputs` for what holds no other jaxpr."""
    known: dict[Any, Any] = {}

    def read(variable: Any) -> Any:
        if hasattr(variable, "val"):  # a literal, which may be a number of Python
            dtype = variable.aval.dtype
            return np.asarray(variable.val, dtype) if isinstance(dtype, np.dtype) else variable.val
        return known[variable]

    known.update(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, args, strict=True))
    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        run = WITHIN.get(equation.primitive.name)
        outputs = run(equation, inputs, apply) if run is not None else apply(equation, inputs)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _evaluate_closed(closed: Any, inputs: Sequence[Any], apply: Apply) -> list[Any]:
    return evaluate(closed.jaxpr, closed.consts, inputs, apply)


def _call(equation: Any, inputs: list[Any], apply: Apply) -> list[Any]:
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    if hasattr(inner, "consts"):
        return _evaluate_closed(inner, inputs, apply)
    return evaluate(inner, (), inputs, apply)


def _scan(equation: Any, inputs: list[Any], apply: Apply) -> list[Any]:
    params = equation.params
    consts = inputs[: params["num_consts"]]
    carry = inputs[params["num_consts"] : params["num_consts"] + params["num_carry"]]
    columns = [np.asarray(column) for column in inputs[len(consts) + len(carry) :]]
    order = range(params["length"])
    stacked: list[list[Any]] = []
    for index in reversed(order) if params["reverse"] else order:
        row = [column[index] for column in columns]
        found = _evaluate_closed(params["jaxpr"], [*consts, *carry, *row], apply)
        carry = found[: len(carry)]
        stacked.append(found[len(carry) :])
    if params["reverse"]:
        stacked.reverse()
    if not stacked:
        return [*carry, *_bind(equation, inputs)[len(carry) :]]
    return [*carry, *(np.stack(column) for column in zip(*stacked, strict=True))]


def _while(equation: Any, inputs: list[Any], apply: Apply) -> list[Any]:
    params = equation.params
    first, second = params["cond_nconsts"], params["body_nconsts"]
    of_test, of_body = inputs[:first], inputs[first : first + second]
    carry = inputs[first + second :]
    while bool(_evaluate_closed(params["cond_jaxpr"], [*of_test, *carry], apply)[0]):
        carry = _evaluate_closed(params["body_jaxpr"], [*of_body, *carry], apply)
    return carry


def _cond(equation: Any, inputs: list[Any], apply: Apply) -> list[Any]:
    branches = equation.params["branches"]
    chosen = min(max(int(inputs[0]), 0), len(branches) - 1)
    return _evaluate_closed(branches[chosen], inputs[1:], apply)


WITHIN: dict[str, Callable[[Any, list[Any], Apply], list[Any]]] = {
    **dict.fromkeys(
        (
            "jit",
            "pjit",
            "closed_call",
            "core_call",
            "remat",
            "remat2",
            "checkpoint",
            "custom_jvp_call",
            "custom_vjp_call",
            "custom_vjp_call_jaxpr",
        ),
        _call,
    ),
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}


# What NumPy does in the same bits as JAX, which would compile each of them for each shape: values
# that only move, and arithmetic, which IEEE 754 rounds correctly in both.
ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "square": np.square,
}
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "max": np.maximum,
    "min": np.minimum,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "not": np.invert,
    "is_finite": np.isfinite,
    "stop_gradient": np.asarray,
    "copy": np.asarray,
    "copy_p": np.asarray,
}
MOVING: dict[str, Callable[[dict[str, Any], list[Any]], Any]] = {
    "broadcast_in_dim": lambda params, given: _broadcast(
        given[0], params["shape"], params["broadcast_dimensions"]
    ),
    "reshape": lambda params, given: np.reshape(given[0], params["new_sizes"]),
    "squeeze": lambda params, given: np.squeeze(given[0], tuple(params["dimensions"])),
    "expand_dims": lambda params, given: np.expand_dims(given[0], tuple(params["dimensions"])),
    "transpose": lambda params, given: np.transpose(given[0], params["permutation"]),
    "rev": lambda params, given: np.flip(given[0], tuple(params["dimensions"])),
    "concatenate": lambda params, given: np.concatenate(given, params["dimension"]),
    "slice": lambda params, given: np.asarray(given[0])[
        tuple(
            map(
                slice,
                params["start_indices"],
                params["limit_indices"],
                params["strides"] or [None] * len(params["start_indices"]),
            )
        )
    ],
    "reduce_max": lambda params, given: np.max(given[0], tuple(params["axes"])),
    "reduce_min": lambda params, given: np.min(given[0], tuple(params["axes"])),
    "iota": lambda params, given: _broadcast(
        np.arange(params["shape"][params["dimension"]]), params["shape"], (params["dimension"],)
    ),
    "select_n": lambda params, given: np.where(given[0], given[2], given[1]),
}


def _broadcast(array: Any, shape: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    array = np.asarray(array)
    spread = [1] * len(shape)
    for axis, length in zip(axes, array.shape, strict=True):
        spread[axis] = length
    return np.broadcast_to(array.reshape(spread), shape)


def _run(equation: Any, inputs: list[Any], dtype: Any = None, /, **changed: Any) -> list[Any]:
    """Return the outputs of an equation, by NumPy where that gives the same bits.

    dtype: of the output where it is not what the equation says
    """
    name = equation.primitive.name
    if any(isinstance(given, jax.core.Tracer) for given in inputs):
        return _bind(equation, inputs, **changed)
    floating = all("float" in _dtype(given) for given in inputs)
    with np.errstate(all="ignore"):
        found = None
        if name in ELEMENTWISE or (name in ARITHMETIC and floating):
            operation = ELEMENTWISE.get(name) or ARITHMETIC[name]
            found = operation(*map(np.asarray, inputs))
        elif name in MOVING and not (name == "select_n" and len(inputs) > 3):
            found = MOVING[name](equation.params, inputs)
        elif name == "convert_element_type" and (floating or _dtype(inputs[0]) == "bool"):
            found = np.asarray(inputs[0])
            if not (dtype or _is_floating(equation.outvars[0].aval.dtype)):
                found = None
        if found is not None:
            dtype = dtype or equation.outvars[0].aval.dtype
            if isinstance(dtype, np.dtype):
                return [np.asarray(found).astype(dtype, copy=False)]
    return _bind(equation, inputs, **changed)


def _bind(equation: Any, inputs: Sequence[Any], **changed: Any) -> list[Any]:
    given = equation.primitive.get_bind_params(equation.params | changed)
    # Up to JAX 0.9 a pair, with functions that none of these equations has.
    params = given[1] if isinstance(given, tuple) else given
    outputs = equation.primitive.bind(*inputs, **params)
    return list(outputs) if equation.primitive.multiple_results else [outputs]


def plainly(equation: Any, inputs: list[Any]) -> list[Any]:
    """Return the outputs of an equation as they are, for `evaluate`."""
    return _run(equation, inputs)


class RandomRounding:
    """Multiply what each equation rounds by 1 + d, d even in one rounding either way.

    Sums and products of matrices, which JAX accumulates in an order and precision of its own, run
    on terms in random order: their accumulators round as they do. Of other equations that reduce,
    operands of float32, or of float64, are perturbed too.

    double: whether float64 is rounded at random as well, to a neighbour up to its whole spacing
        away: half of it would mostly be rounded off again
    """

    def __init__(self, seed: int, double: bool = False) -> None:
        self._generator = np.random.default_rng(seed)
        self._names = {*LOW_PRECISION, "float64"} if double else {*LOW_PRECISION}
        self._accumulated = self._names & {"float32", "float64"}
        self.rounded_to: set[str] = set()

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name in MOVES or not any(
            _is_floating(getattr(output.aval, "dtype", None)) for output in equation.outvars
        ):
            return _run(equation, inputs)
        if name == "dot_general":
            inputs = self._product(equation, inputs)
        elif name == "reduce_sum":
            inputs = [self._sum(inputs[0], equation.params["axes"])]
        elif name not in ARITHMETIC and name not in POINTWISE and name != "convert_element_type":
            inputs = [
                self._perturbed(given) if _dtype(given) in self._accumulated else given
                for given in inputs
            ]
        outputs = _run(equation, inputs)
        if name in ARITHMETIC and all(_is_low(given.dtype) for given in inputs):
            # 24 bits times 24 bits fit into float64, so that an exact result is seen.
            doubles = [np.asarray(given).astype(np.float64) for given in inputs]
            with np.errstate(all="ignore"):
                exact = ARITHMETIC[name](*doubles)
            return [self._perturbed(outputs[0], exact)]
        if name == "convert_element_type":
            source = np.asarray(inputs[0])
            if "float" not in source.dtype.name:
                return outputs
            return [self._perturbed(outputs[0], source.astype(np.float64))]
        return [self._perturbed(output) for output in outputs]

    def _product(self, equation: Any, inputs: list[Any]) -> list[Any]:
        (left_axes, right_axes), _ = equation.params["dimension_numbers"]
        left, right = (np.asarray(given) for given in inputs)
        for left_axis, right_axis in zip(left_axes, right_axes, strict=True):
            order = self._generator.permutation(left.shape[left_axis])
            left, right = np.take(left, order, left_axis), np.take(right, order, right_axis)
        return [left, right]

    def _sum(self, given: Any, axes: Sequence[int]) -> Any:
        array = np.asarray(given)
        for axis in axes:
            if array.shape[axis] > 2:
                array = np.take(array, self._generator.permutation(array.shape[axis]), axis)
        return array

    def _perturbed(self, output: Any, exact: np.ndarray | None = None) -> Any:
        name = _dtype(output)
        if name not in self._names or not output.size:
            return output
        self.rounded_to.add(name)
        array = np.asarray(output)
        # float32 holds a few roundings of the lower dtypes, but not of its own.
        wide = np.float64 if name in ("float32", "float64") else np.float32
        unit = UNIT_ROUNDOFF[name] * (2 if name == "float64" else 1)
        values = array.astype(wide)
        noise = 2 * self._generator.random(array.shape, dtype=wide) - 1
        with np.errstate(all="ignore"):
            size = np.abs(values) * wide(unit)
            if name == "float16":  # half of it is where roundings are absolute
                size = np.maximum(size, SMALLEST_SUBNORMAL[name]) * (values != 0)
            moved = (values + size * noise).astype(array.dtype)
            moved = np.where(np.isfinite(moved), moved, array)
        if exact is not None:
            moved = np.where(values == exact, array, moved)
        return moved


class WithoutCasts:
    """Evaluate every equation in float64: arrays of a lower precision and casts are widened."""

    def __init__(self) -> None:
        self._met: Counter[tuple[str, str]] = Counter()
        self.widened = 0

    @property
    def casts(self) -> tuple[Cast, ...]:
        return tuple(Cast(to, where, count) for (to, where), count in self._met.items())

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name, params = equation.primitive.name, equation.params
        if name == "bitcast_convert_type":
            return _bind(equation, inputs)
        if name == "reduce_precision":
            self._met["a lower precision", _line(equation)] += 1
            return inputs
        if name == "convert_element_type" and np.dtype(params["new_dtype"]).name in LOW_PRECISION:
            if _dtype(inputs[0]) == "float64":
                self._met[np.dtype(params["new_dtype"]).name, _line(equation)] += 1
        wide = [
            given.astype(np.float64) if _dtype(given) in LOW_PRECISION else given
            for given in inputs
        ]
        to = getattr(equation.outvars[0].aval, "dtype", None)
        self.widened += any(_dtype(given) in LOW_PRECISION for given in inputs) or _is_low(to)
        changed = {
            key: np.dtype(np.float64)
            for key in ("new_dtype", "preferred_element_type", "dtype", "out_dtype")
            if params.get(key) is not None and _is_low(params[key])
        }
        inner = {
            key: widened
            for key, value in params.items()
            if (widened := self._widened(value)) is not value
        }
        dtype = np.dtype(np.float64) if _is_low(to) else None
        return _run(equation, wide, dtype, **changed, **inner)

    def _widened(self, value: Any) -> Any:
        """Return a jaxpr within an equation, such as how a scatter combines, in float64."""
        if isinstance(value, tuple) and any(map(_is_jaxpr, value)):
            parts = map(self._widened, value)
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        closed = hasattr(value, "consts")
        jaxpr = value.jaxpr if closed else value
        if not _is_jaxpr(value) or not any(
            _is_low(getattr(variable.aval, "dtype", None))
            for equation in jaxpr.eqns
            for variable in (*equation.invars, *equation.outvars)
        ):
            return value
        like = [
            jax.ShapeDtypeStruct(
                v.aval.shape, np.float64 if _is_low(v.aval.dtype) else v.aval.dtype
            )
            for v in jaxpr.invars
        ]
        consts = value.consts if closed else ()
        again = jax.make_jaxpr(lambda *given: evaluate(jaxpr, consts, given, self))(*like)
        return again if closed else again.jaxpr


def _is_jaxpr(value: Any) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")


def _is_floating(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and "float" in dtype.name


def _is_low(dtype: Any) -> bool:
    # Other than np.dtype are dtypes of JAX's own, such as that of its keys, and scalar types.
    return dtype is not None and getattr(dtype, "name", getattr(dtype, "__name__", "")) in (
        LOW_PRECISION
    )


def _dtype(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return getattr(dtype, "name", "")


def _line(equation: Any) -> str:
    """Name the innermost line outside JAX and this package that asked for an equation."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        file = frame.file_name.replace("\\", "/")
        if not any(folder in file for folder in LIBRARIES):
            return f"{file.rpartition('/')[2]}:{frame.line_num}, in {frame.function_name}"
    return ""
