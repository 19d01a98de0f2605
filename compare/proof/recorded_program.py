"""A recording of NumPy's functions, followed in balls.

The recording is that of structured differences (`backends/structured`), which writes most functions
in terms of few rules; this module says what each rule means for balls.
"""

import functools
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
from . import operations as arrays
from .compat_functions import recorded_whole
from .elementwise import operand, smooth
from .enclosed import (
    Enclosed,
    IsRandom,
    NotProved,
    balls,
    check_value,
    constant,
    each,
    following,
    of_shape,
    settled,
)
from .named import astype, counted, of_numbers, unknown
from .numpy_functions import WHOLE

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
        check_value(self.value, f(*tree_map(np.copy, (params, *args))))
        self.operations = _needed(self.recording.operations, self.result)

    def follow(self, leaves: Sequence[Enclosed]) -> Enclosed:
        """Return f's result for leaves that depend, in the order of the parameters'."""
        known: dict[int, Enclosed] = dict(enumerate(leaves))
        for node, value in self.recording.constant_values.items():
            known[node] = constant(value)
        for operation in self.operations:
            name = _name(operation.rule, operation.operands)
            with following(name):
                operands = [_known(x, known) for x in operation.operands]
                nested = unflatten(operation.structure, operands)
                outcome = _follow(operation, nested)
                leaves_ = [outcome] if len(operation.outputs) == 1 else flatten(outcome)[0]
                results = flatten(operation.result)[0] if operation.outputs else []
                for output, found, result in zip(operation.outputs, leaves_, results, strict=True):
                    of_shape(name, found, np.shape(result))
                    if output is not None:
                        known[output] = found
        with following("the result"):
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
