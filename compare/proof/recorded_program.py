"""A recording of NumPy's functions, followed in balls.

The recording is that of structured differences (`backends/structured`), which writes most functions
in terms of few rules; this module says what each rule means for balls.
"""

import functools
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradparity.backends.pytrees import PyTree, flatten, tree_map, unflatten
from gradparity.backends.structured import (
    perturbed_functions,
    perturbed_indexing,
    perturbed_products,
)
from gradparity.backends.structured.recorded_array import RecordedArray
from gradparity.backends.structured.recorded_functions import Configured
from gradparity.backends.structured.recording import Operation, Recording

from . import elementwise as entrywise
from . import matrices
from . import operations as arrays
from .compat_functions import recorded_whole
from .elementwise import operand, smooth
from .enclosed import (
    Enclosed,
    IsRandom,
    NotProved,
    balls,
    constant,
    each,
    following,
    of_shape,
    settled,
)

Function = Callable[..., Any]

ARC = {f"arc{name}": f"a{name}" for name in "sin cos tan sinh cosh tanh".split()}
# NumPy's names of functions that the tables have under another.
SAME_AS = {
    **ARC,
    "float_power": "power",
    "pow": "power",
    "true_divide": "divide",
    "conjugate": "positive",
    "conj": "positive",
    "real": "positive",
    "fabs": "absolute",
    "abs": "absolute",
    "deg2rad": "radians",
    "rad2deg": "degrees",
    "arctan2": "atan2",
    "rint": "round",
    "around": "round",
    "fmax": "maximum",
    "fmin": "minimum",
    "amax": "max",
    "amin": "min",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "invert": "logical_not",
    "bitwise_invert": "logical_not",
}
LOGICAL = {name: getattr(np, name) for name in "logical_and logical_or logical_xor".split()} | {
    "logical_not": np.logical_not
}


class RecordedProgram:
    """The operations of one run of a function, to be followed at any precision."""

    def __init__(self, f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...]) -> None:
        with recorded_whole():
            self.recording = Recording.of(f, params, args, constants=True)
            again = Recording.of(f, params, args, constants=True).result
        result = self.recording.result
        self.result = result.node if isinstance(result, RecordedArray) else None
        self.value = np.asarray(result.value if isinstance(result, RecordedArray) else result)
        other = np.asarray(_plain(again))
        if not np.array_equal(other, self.value, equal_nan=True):
            raise IsRandom(
                f"f is random: it gave {self.value} and {other} at the same point: fix its seed"
            )
        self.operations = _needed(self.recording.operations, self.result)

    def follow(self, leaves: Sequence[Enclosed]) -> Enclosed:
        """Return f's result for leaves that depend, in the order of the parameters'."""
        known: dict[int, Enclosed] = dict(enumerate(leaves))
        for node, value in self.recording.constant_values.items():
            known[node] = constant(value)
        for operation in self.operations:
            operands = [_known(x, known) for x in operation.operands]
            nested = unflatten(operation.structure, operands)
            name = _name(operation.rule, operands)
            with following(name):
                outcome = _follow(operation, nested)
                leaves_ = [outcome] if len(operation.outputs) == 1 else flatten(outcome)[0]
                results = flatten(operation.result)[0] if operation.outputs else []
                for output, found, result in zip(operation.outputs, leaves_, results, strict=True):
                    of_shape(name, found, np.shape(result))
                    if output is not None:
                        known[output] = found
        return known[self.result] if self.result is not None else constant(self.value)


def _name(rule: Function, operands: Sequence[Any]) -> str:
    named = (x.__name__ for x in operands if callable(x) and hasattr(x, "__name__"))
    return str(next(named, rule.__name__))


def _plain(x: Any) -> Any:
    return x.value if isinstance(x, RecordedArray) else x


def _known(x: Any, known: dict[int, Enclosed]) -> Any:
    if not isinstance(x, RecordedArray):
        return x
    return known[x.node] if x.node is not None else constant(x.value)


def _needed(operations: list[Operation], result: int | None) -> list[Operation]:
    """Leave out what neither the result nor a check of what Python has read needs."""
    nodes, needed = {result}, []
    for operation in reversed(operations):
        if not operation.outputs or not nodes.isdisjoint(operation.outputs):
            nodes |= operation.inputs
            needed.append(operation)
    return needed[::-1]


def _follow(operation: Operation, operands: Sequence[Any]) -> Any:
    rule = operation.rule
    if rule is perturbed_functions.one_by_one:
        return _whole(operation, *operands)
    if rule is perturbed_functions.same_in_all_copies:
        return _read(operation, *operands)
    return RULES[rule](operation, *operands)


def _read(operation: Operation, x: Enclosed) -> None:
    """Let Python have a value, where that is what the balls say too."""
    if settled(x).value.dtype.kind == "b" and np.array_equal(x.value, operation.result):
        return
    if x.depends:
        raise NotProved(
            "f takes a number out of an array, as float() does, and computes with it in Python: "
            "keep it an array"
        )
    same = each(lambda ball, number: ball == number, balls(x.value), balls(operation.result))
    if not np.all(same.astype(bool)):
        raise NotProved(
            f"f takes {operation.result} out of an array, as float() does, which is a rounded "
            "value: keep it an array"
        )


# Rules.


def _elementwise(operation: Operation, function: Function, *operands: Any) -> Enclosed:
    settings: dict[str, Any] = {}
    if isinstance(function, Configured):
        settings = dict(function.settings)
        count = len(operands) - len(function.names)
        settings |= dict(zip(function.names, operands[count:], strict=True))
        operands, function = operands[:count], function.function
    if isinstance(function, functools.partial):
        settings |= function.keywords
        function = function.func
    return apply(function.__name__, function, operands, settings)


def apply(
    given: str, function: Function, operands: Sequence[Any], settings: dict[str, Any]
) -> Enclosed:
    """Evaluate an elementwise function of NumPy by its name."""
    name = SAME_AS.get(given, given)
    if name == "astype":
        return astype(operand(operands[0]), np.dtype(settings["dtype"]))
    if name == "clip":
        low, high = (*operands[1:], None, None)[:2]
        low = settings.get("min", settings.get("a_min", low))
        high = settings.get("max", settings.get("a_max", high))
        low, high = (None if bound is None else operand(bound) for bound in (low, high))
        return entrywise.clip(operand(operands[0]), low, high)
    xs = [operand(x) for x in operands]
    if name == "round" and (len(xs) > 1 or settings):
        decimals = settings.get("decimals", operands[1] if len(xs) > 1 else 0)
        scale = constant(np.asarray(10 ** int(decimals)))
        rounded = entrywise.stepped("round", smooth("multiply", xs[0], scale))
        return smooth("divide", rounded, scale)
    settings.pop("dtype", None)
    whole = all(x.value.dtype.kind in "biu" and x.ties is None for x in xs)
    if whole and not settings and (name not in entrywise.SMOOTH or _stays_whole(name)):
        return constant(function(*(x.value for x in xs)))
    if settings:
        raise unknown(given, settings)
    return of_numbers(name, given, xs)


def _stays_whole(name: str) -> bool:
    return name in ("add", "subtract", "multiply", "negative", "positive", "square")


def of_numbers(name: str, given: str, xs: Sequence[Enclosed]) -> Enclosed:
    """Evaluate an elementwise function of a table's name, without settings."""
    if name in entrywise.SMOOTH:
        return smooth(name, *xs)
    if name in entrywise.COMPARED:
        return entrywise.compared(name, *xs)
    if name in LOGICAL:
        if any(x.value.dtype == object for x in xs):
            raise unknown(given)
        return entrywise.logical(LOGICAL[name], *xs)
    if name in entrywise.STEPS:
        return entrywise.stepped(name, *xs)
    if name in ("maximum", "minimum"):
        return entrywise.larger(name, xs[0], xs[1], 1 if name == "maximum" else -1)
    if name in OTHER:
        return OTHER[name](*xs)
    raise unknown(given)


def unknown(name: str, settings: Any = None) -> NotProved:
    given = f" with {', '.join(settings)}" if settings else ""
    return NotProved(f"no rule in balls for {name}{given}")


def astype(x: Enclosed, dtype: Any) -> Enclosed:
    """Change a dtype: nothing is rounded to fewer digits, but whole numbers are cut off."""
    if dtype.kind == "f":
        if x.value.dtype.kind not in "biu":
            return x
        return constant(settled(x).value.astype(np.float64))
    if dtype.kind not in "biu":
        raise unknown(f"astype to {dtype}")
    if x.value.dtype != object:
        return constant(x.value.astype(dtype)) if x.ties is None else x
    if dtype.kind == "b":
        return entrywise.compared("not_equal", x, constant(0.0))
    whole = entrywise.stepped("trunc", x)
    return constant(each(lambda ball: int(ball.unique_fmpz()), whole.value).astype(dtype))


def _is_finite(x: Enclosed) -> Enclosed:
    if x.value.dtype != object:
        return constant(np.isfinite(x.value))
    finite = np.asarray(each(lambda ball: ball.is_finite(), x.value), bool)
    if not finite.all():
        raise NotProved("isfinite is asked of what has no finite enclosure", hopeless=False)
    return constant(finite)


def _is_not_finite(x: Enclosed) -> Enclosed:
    return constant(~_is_finite(x).value)


def _nan_to_num(x: Enclosed) -> Enclosed:
    _is_finite(x)
    return x


def _sign_bit(x: Enclosed) -> Enclosed:
    if x.value.dtype != object:
        return constant(np.signbit(x.value))
    return entrywise.compared("less", x, constant(0.0))


def _log2_sum(a: Enclosed, b: Enclosed) -> Enclosed:
    two = smooth("log", constant(2.0))
    scaled = (smooth("multiply", x, two) for x in (a, b))
    return smooth("divide", smooth("logaddexp", *scaled), two)


def _floor_divide(a: Enclosed, b: Enclosed) -> Enclosed:
    return entrywise.stepped("floor", smooth("divide", a, b))


OTHER: dict[str, Callable[..., Enclosed]] = {
    "absolute": entrywise.absolute,
    "where": entrywise.where,
    "remainder": entrywise.remainder,
    "mod": entrywise.remainder,
    "fmod": lambda a, b: entrywise.remainder(a, b, "trunc"),
    "floor_divide": _floor_divide,
    "copysign": entrywise.copysign,
    "logaddexp2": _log2_sum,
    "imag": lambda x: constant(np.zeros(x.shape)),
    "isfinite": _is_finite,
    "isnan": _is_not_finite,
    "isinf": _is_not_finite,
    "signbit": _sign_bit,
    "nan_to_num": _nan_to_num,
}


def _along_axes(
    operation: Operation, function: functools.partial[Any], x: Enclosed, axes: tuple[int, ...]
) -> Any:
    settings = dict(function.keywords)
    settings.pop("axis", None)
    keepdims = settings.pop("keepdims", False)
    given = function.func.__name__
    name = SAME_AS.get(given, given)
    if name in ("cumsum", "cumulative_sum", "cumprod", "cumulative_prod"):
        initial = settings.pop("include_initial", False)
        if settings.pop("dtype", None) is None and not settings:
            return _cumulated(name, x, axes[0], initial)
    descending = settings.pop("descending", False) if name in ("sort", "argsort") else False
    settings.pop("stable", None)
    settings.pop("kind", None)
    if settings:
        raise unknown(name, settings)
    if name in ("max", "min"):
        return arrays.extreme(name, x, axes, keepdims, 1 if name == "max" else -1)
    if name in ("argmax", "argmin"):
        return arrays.best_place(x, axes, keepdims, 1 if name == "argmax" else -1)
    if name == "prod":
        return arrays.product(x, axes, keepdims)
    if name == "sort":
        return arrays.sort(x, axes[0], descending)
    if name == "argsort":
        places = arrays.order(x, axes[0])
        return constant(np.flip(places, axes[0]) if descending else places)
    if name in ("all", "any", "count_nonzero"):
        return counted(name, x, axes, keepdims)
    raise unknown(given)


def counted(name: str, x: Enclosed, axes: tuple[int, ...], keepdims: bool) -> Enclosed:
    if x.value.dtype == object:
        x = entrywise.compared("not_equal", x, constant(0.0))
    settled(x)
    return constant(getattr(np, name)(x.value, axis=axes, keepdims=keepdims))


def _cumulated(name: str, x: Enclosed, axis: int, initial: bool) -> Enclosed:
    sums = name in ("cumsum", "cumulative_sum")
    result = arrays.cumulative_sum(x, axis) if sums else arrays.cumulative_product(x, axis)
    if not initial:
        return result
    shape = tuple(1 if a == axis % x.ndim else n for a, n in enumerate(x.shape))
    start = constant(np.zeros(shape) if sums else np.ones(shape))
    return arrays.concat([start, result], axis)


RULES: dict[Function, Function] = {
    perturbed_functions.elementwise: _elementwise,
    perturbed_functions.along_axes: _along_axes,
    perturbed_functions.add_up: lambda _, x, axis: arrays.total(operand(x), (axis,), True),
    perturbed_products.matmul: lambda _, a, b: arrays.matmul(operand(a), operand(b)),
    perturbed_indexing.reshape: lambda o, x: arrays.reshape(x, o.result.shape),
    perturbed_indexing.permute_dims: lambda _, x, axes: arrays.permute(x, axes),
    perturbed_indexing.broadcast_to: lambda o, x: arrays.broadcast(x, o.result.shape),
    perturbed_indexing.concat: lambda _, xs, axis: arrays.concat([operand(x) for x in xs], axis),
    perturbed_indexing.slices: lambda _, x, key: arrays.index(x, tuple(key)),
    perturbed_indexing.pick: lambda _, x, key: arrays.index(x, tuple(key)),
}


# Functions that are recorded as they are.


def _whole(
    operation: Operation, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    name = SAME_AS.get(function.__name__, function.__name__)
    operands = flatten((args, kwargs))[0]
    enclosed = [x for x in operands if isinstance(x, Enclosed)]
    if all(x.value.dtype.kind in "biu" and x.ties is None for x in enclosed):
        plain = tree_map(lambda x: x.value if isinstance(x, Enclosed) else x, (args, kwargs))
        return tree_map(constant, function(*plain[0], **plain[1]))
    if name in WHOLE:
        try:
            return WHOLE[name](*args, **kwargs)
        except TypeError as error:
            raise unknown(name) from error
    if name in entrywise.STEPS:  # in Python, where array_api_compat has them
        return apply(function.__name__, function, args, kwargs)
    if isinstance(function, np.ufunc) and function.nout == 1 and function.signature is None:
        return apply(function.__name__, function, args, kwargs)
    raise unknown(name)


def _getitem(x: Enclosed, key: Any) -> Enclosed:
    parts = key if isinstance(key, tuple) else (key,)
    return arrays.index(x, tuple(_whole_numbers(part) for part in parts))


def _whole_numbers(part: Any) -> Any:
    return settled(part).value if isinstance(part, Enclosed) else part


def _take(x: Enclosed, indices: Any, axis: int | None = None) -> Enclosed:
    if axis is None:
        return _getitem(arrays.reshape(x, (-1,)), indices)
    axis %= x.ndim
    return _getitem(x, (slice(None),) * axis + (indices,))


def _take_along_axis(x: Enclosed, indices: Any, axis: int = -1) -> Enclosed:
    return arrays.along_axis(x, _whole_numbers(indices), axis)


def search_sorted(x1: Any, x2: Any, side: str = "left", sorter: Any = None) -> Enclosed:
    """Count the entries of x1, in increasing order, that are below those of x2."""
    if sorter is not None:
        raise unknown("searchsorted with sorter")
    x1, x2 = operand(x1), operand(x2)
    if not _decided(entrywise.compared("less_equal", _part(x1, 0, -1), _part(x1, 1, None))).all():
        raise unknown("searchsorted among numbers that are not in order")
    below = "less" if side == "left" else "less_equal"
    found = entrywise.compared(below, x1, arrays.reshape(x2, (*x2.shape, 1)))
    return constant(np.sum(_decided(found), axis=-1))


def _part(x: Enclosed, start: int, stop: int | None) -> Enclosed:
    return arrays.index(x, (slice(start, stop),))


def _decided(comparison: Enclosed) -> np.ndarray:
    return np.asarray(settled(comparison).value, bool)


def _mesh_grid(
    *xs: Any, indexing: str = "xy", copy: bool = True, sparse: bool = False
) -> tuple[Enclosed, ...]:
    axes = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        axes[:2] = 1, 0
    lines = [arrays.reshape(operand(x), (-1,)) for x in xs]
    lines = [
        arrays.reshape(x, tuple(-1 if a == axis else 1 for a in range(len(xs))))
        for x, axis in zip(lines, axes, strict=True)
    ]
    shape = np.broadcast_shapes(*(x.shape for x in lines))
    return tuple(lines if sparse else (arrays.broadcast(x, shape) for x in lines))


def _full_like(x: Any, fill_value: Any, dtype: Any = None, device: Any = None) -> Enclosed:
    given = operand(x)
    whole = given.value.dtype.kind in "biu"
    chosen = np.dtype(dtype or (given.value.dtype if whole else np.float64))
    return arrays.broadcast(astype(operand(fill_value), chosen), given.shape)


def _norm(
    x: Enclosed,
    ord: Any = None,  # noqa: A002
    axis: Any = None,
    keepdims: bool = False,
) -> Enclosed:
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())
    if len(axes) == 2 and (axis is not None or ord is not None):
        return _matrix_norm(x, keepdims=keepdims, ord=ord or "fro")
    if len(axes) != 1 and not (axis is None and x.ndim == 1):
        raise unknown(f"a norm of order {ord} of matrices")
    return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)


def vector_norm(
    x: Enclosed,
    *,
    axis: Any = None,
    keepdims: bool = False,
    ord: Any = 2,  # noqa: A002
) -> Enclosed:
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())
    size = entrywise.absolute(x)
    if ord in (np.inf, -np.inf):
        sign = 1 if ord > 0 else -1
        return arrays.extreme("max" if sign > 0 else "min", size, axes, keepdims, sign)
    if ord == 1:
        return arrays.total(size, axes, keepdims)
    if ord in (2, None):
        return smooth("sqrt", arrays.total(smooth("square", x), axes, keepdims))
    if not ord:
        counted_ = entrywise.compared("not_equal", x, constant(0.0))
        return arrays.total(astype(counted_, np.dtype(np.float64)), axes, keepdims)
    powers = arrays.total(smooth("power", size, constant(float(ord))), axes, keepdims)
    return smooth("power", powers, smooth("divide", constant(1.0), constant(float(ord))))


def _matrix_norm(x: Enclosed, *, keepdims: bool = False, ord: Any = "fro") -> Enclosed:  # noqa: A002
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        summed, left = (-2, -1) if abs(ord) == 1 else (-1, -2)
        sums = arrays.total(entrywise.absolute(x), (summed,), True)
        sign = 1 if ord > 0 else -1
        found = arrays.extreme("max" if sign > 0 else "min", sums, (left,), True, sign)
        return found if keepdims else arrays.reshape(found, x.shape[:-2])
    if ord in (2, -2, "nuc"):
        sizes = matrices.svd(x)[1]
        if ord == "nuc":
            found = arrays.total(sizes, (-1,))
        else:
            found = arrays.index(sizes, (..., 0 if ord == 2 else -1))
        return arrays.reshape(found, (*found.shape, 1, 1)) if keepdims else found
    raise unknown(f"a matrix norm of order {ord}")


def _log_determinant(a: Enclosed) -> tuple[Enclosed, Enclosed]:
    found = matrices.determinant(a)
    return entrywise.stepped("sign", found), smooth("log", entrywise.absolute(found))


def _trace(
    a: Enclosed, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None
) -> Enclosed:
    if offset or a.ndim != 2 and (axis1, axis2) != (-2, -1):
        raise unknown("a trace beside the diagonal, or of other axes")
    rows = np.arange(min(a.shape[-2:]))
    return arrays.total(arrays.index(a, (..., rows, rows)), (-1,))


def _matrix_power(a: Enclosed, n: int) -> Enclosed:
    if n < 0:
        return _matrix_power(matrices.inverse(a), -n)
    result = constant(np.broadcast_to(np.eye(a.shape[-1]), a.shape))
    for _ in range(n):
        result = arrays.matmul(result, a)
    return result


def _product(x: Enclosed, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Enclosed:
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())
    return arrays.product(x if dtype is None else astype(x, np.dtype(dtype)), axes, keepdims)


def _pseudo_inverse(a: Enclosed, rcond: Any = None, *, rtol: Any = None) -> Enclosed:
    return matrices.pinv(a, rcond if rtol is None else rtol)


def _svd(a: Enclosed, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    found = matrices.svd(a, compute_uv and full_matrices)
    return found if compute_uv else found[1]


def _einsum(subscripts: str, *xs: Any, **settings: Any) -> Enclosed:
    if set(settings) - {"optimize"} or "." in subscripts:
        raise unknown("einsum", settings or ["..."])
    inputs, _, out = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "->" not in subscripts:
        joined = "".join(terms)
        out = "".join(sorted(label for label in set(joined) if joined.count(label) == 1))
    labels, result = terms[0], operand(xs[0])
    labels, result = _diagonals(labels, result)
    for term, x in zip(terms[1:], xs[1:], strict=True):
        other_labels, other = _diagonals(term, operand(x))
        rest = set(out).union(*terms[terms.index(term) + 1 :])
        labels, result = _paired(labels, result, other_labels, other, rest)
    surplus = tuple(k for k, label in enumerate(labels) if label not in out)
    if surplus:
        result = arrays.total(result, surplus)
        labels = "".join(label for label in labels if label in out)
    return arrays.permute(result, [labels.index(label) for label in out])


def _diagonals(labels: str, x: Enclosed) -> tuple[str, Enclosed]:
    for label in string.ascii_letters:
        while labels.count(label) > 1:
            first, second = [k for k, one in enumerate(labels) if one == label][:2]
            order = [k for k in range(x.ndim) if k not in (first, second)] + [first, second]
            x = arrays.permute(x, order)
            rows = np.arange(x.shape[-1])
            x = arrays.index(x, (..., rows, rows))
            labels = "".join(labels[k] for k in order[:-1])
    return labels, x


def _paired(
    labels: str, a: Enclosed, other: str, b: Enclosed, rest: set[str]
) -> tuple[str, Enclosed]:
    shared = [label for label in labels if label in other]
    batch = [label for label in shared if label in rest]
    summed = [label for label in shared if label not in rest]
    result = arrays.contract(
        a,
        b,
        ([labels.index(x) for x in batch], [other.index(x) for x in batch]),
        ([labels.index(x) for x in summed], [other.index(x) for x in summed]),
    )
    free = [x for x in labels if x not in shared] + [x for x in other if x not in shared]
    return "".join(batch + free), result


def _matmul(a: Any, b: Any) -> Enclosed:
    a, b = operand(a), operand(b)
    if not a.ndim or not b.ndim:
        return smooth("multiply", a, b)
    left = a if a.ndim > 1 else arrays.reshape(a, (1, -1))
    right = b if b.ndim > 1 else arrays.reshape(b, (-1, 1))
    found = arrays.matmul(left, right)
    shape = list(found.shape)
    if b.ndim == 1:
        shape.pop()
    if a.ndim == 1:
        shape.pop(-1 if b.ndim == 1 else -2)
    return arrays.reshape(found, tuple(shape))


def cross(a: Any, b: Any, axis: int = -1) -> Enclosed:
    a, b = (arrays.permute(x, _last(x, axis)) for x in (operand(a), operand(b)))
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise unknown("cross of vectors of other lengths than 3")
    one, two = np.asarray([1, 2, 0]), np.asarray([2, 0, 1])
    found = smooth(
        "subtract",
        smooth("multiply", arrays.index(a, (..., one)), arrays.index(b, (..., two))),
        smooth("multiply", arrays.index(a, (..., two)), arrays.index(b, (..., one))),
    )
    return arrays.permute(found, np.argsort(_last(found, axis)).tolist())


def _last(x: Enclosed, axis: int) -> list[int]:
    axis %= x.ndim
    return [*(a for a in range(x.ndim) if a != axis), axis]


WHOLE: dict[str, Function] = {
    "__getitem__": _getitem,
    "getitem": _getitem,
    "take": _take,
    "take_along_axis": _take_along_axis,
    "searchsorted": search_sorted,
    "meshgrid": _mesh_grid,
    "full_like": _full_like,
    "asarray": lambda x, dtype=None, copy=None: (
        operand(x) if dtype is None else astype(operand(x), np.dtype(dtype))
    ),
    "norm": _norm,
    "vector_norm": vector_norm,
    "matrix_norm": _matrix_norm,
    "det": matrices.determinant,
    "slogdet": _log_determinant,
    "inv": matrices.inverse,
    "solve": lambda a, b: matrices.solve(operand(a), operand(b)),
    "cholesky": lambda a, upper=False: matrices.cholesky(a, upper),
    "matrix_power": _matrix_power,
    "prod": _product,
    "pinv": _pseudo_inverse,
    "qr": lambda a, mode="reduced": matrices.qr(a, mode),
    "eigh": lambda a, UPLO="L": matrices.eigh(a, lower=UPLO == "L"),
    "eigvalsh": lambda a, UPLO="L": matrices.eigh(a, lower=UPLO == "L")[0],
    "svd": _svd,
    "svdvals": lambda a: matrices.svd(a)[1],
    "vecdot": lambda a, b, *, axis=-1: arrays.total(smooth("multiply", a, b), (axis,)),
    "trace": _trace,
    "einsum": _einsum,
    "cross": cross,
    "sinc": lambda x: smooth("sinc", x),
    "matmul": _matmul,
    "dot": _matmul,
    "logical_not": lambda x: entrywise.logical(np.logical_not, x),
}
