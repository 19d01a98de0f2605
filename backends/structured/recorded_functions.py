"""Definitions of elementwise functions, reductions, sums and norms, by those that have rules."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import perturbed_functions as rules
from .recorded_array import RecordedArray
from .recorded_shapes import Axes, axis_numbers, diagonal, numpy_diagonal, reshape, squeeze

Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Configured:
    """A function with its settings; the last operands are those that it takes by keyword."""

    function: Function
    names: tuple[str, ...]
    settings: dict[str, Any]

    def __call__(self, *blocks: Any) -> Any:
        count = len(blocks) - len(self.names)
        by_keyword = dict(zip(self.names, blocks[count:], strict=True))
        return self.function(*blocks[:count], **by_keyword, **self.settings)


def elementwise(function: Function, *args: Any, **settings: Any) -> Any:
    """Record a function that is evaluated entry by entry; arrays may be given by keyword too."""
    if any(isinstance(arg, list | tuple) for arg in args):
        return NotImplemented
    names = [name for name, value in settings.items() if isinstance(value, RecordedArray)]
    operands = (*args, *(settings.pop(name) for name in names))
    chosen = Configured(function, tuple(names), settings) if settings or names else function
    arrays = [operand for operand in operands if isinstance(operand, RecordedArray)]
    value = chosen(*(x.value if isinstance(x, RecordedArray) else x for x in operands))
    return arrays[0].recorder.record(rules.elementwise, value, chosen, *operands)


def reduction(
    function: Function, x: RecordedArray, axis: Axes = None, *, keepdims: bool = False
) -> Any:
    axes = axis_numbers(x, axis)
    reduced = _along_axes(partial(function, axis=axes, keepdims=True), x, axes)
    return reduced if keepdims else squeeze(reduced, axes)


def extremum(
    function: Function, x: RecordedArray, axis: int | None = None, *, keepdims: bool = False
) -> Any:
    """Record argmax or argmin."""
    if axis is None:
        found = extremum(function, reshape(x, (-1,)), 0, keepdims=True)
        return reshape(found, (1,) * x.ndim if keepdims else ())
    (axis,) = axis_numbers(x, axis)
    found = _along_axes(partial(function, axis=axis, keepdims=True), x, (axis,))
    return found if keepdims else squeeze(found, axis)


def along_one_axis(
    function: Function, default: int | None, x: RecordedArray, *args: Any, **settings: Any
) -> Any:
    if len(args) == 1:
        settings["axis"] = args[0]
    axis = settings.pop("axis", default)
    if axis is None and x.ndim == 1:
        axis = 0
    if (
        axis is None
        or len(args) > 1
        or any(isinstance(s, RecordedArray) for s in settings.values())
    ):
        return NotImplemented
    (axis,) = axis_numbers(x, axis)
    return _along_axes(partial(function, axis=axis, **settings), x, (axis,))


def _along_axes(function: Function, x: RecordedArray, axes: tuple[int, ...]) -> Any:
    return x.recorder.record(rules.along_axes, function(x.value), function, x, axes)


def astype(x: RecordedArray, dtype: Any, *, copy: bool = True, device: Any = None) -> Any:
    return x if x.dtype == dtype else elementwise(partial(np.ndarray.astype, dtype=dtype), x)


def asarray(x: Any, *, dtype: Any = None, copy: bool | None = None, device: Any = None) -> Any:
    if not isinstance(x, RecordedArray):
        return NotImplemented
    return x if dtype is None else astype(x, dtype)


def copied(x: RecordedArray) -> Any:
    return x  # no recorded array is ever changed


def total(x: RecordedArray, axis: Axes = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    dtype = np.sum(np.empty(0, x.dtype)).dtype if dtype is None else dtype
    axes = axis_numbers(x, axis)
    summed = astype(x, dtype)
    # Short axes first: less is left for the long ones, where changes are added up.
    for one in sorted(axes, key=lambda a: x.shape[a]):
        value = np.sum(summed.value, axis=one, keepdims=True)
        summed = x.recorder.record(rules.add_up, value, summed, one)
    return summed if keepdims else squeeze(summed, axes)


def mean(x: RecordedArray, axis: Axes = None, *, keepdims: bool = False) -> Any:
    dtype = x.dtype if x.dtype.kind in "fc" else np.float64
    return total(x, axis, dtype=dtype, keepdims=keepdims) / _count(x, axis)


def var(
    x: RecordedArray,
    axis: Axes = None,
    *,
    correction: float = 0.0,
    ddof: float = 0.0,
    keepdims: bool = False,
) -> Any:
    if x.dtype.kind != "f":
        return NotImplemented
    deviation = x - mean(x, axis, keepdims=True)
    degrees = max(_count(x, axis) - correction - ddof, 0)
    return total(deviation * deviation, axis, keepdims=keepdims) / degrees


def std(
    x: RecordedArray,
    axis: Axes = None,
    *,
    correction: float = 0.0,
    ddof: float = 0.0,
    keepdims: bool = False,
) -> Any:
    variance = var(x, axis, correction=correction, ddof=ddof, keepdims=keepdims)
    return variance if variance is NotImplemented else elementwise(np.sqrt, variance)


def vector_norm(
    x: RecordedArray,
    *,
    axis: Axes = None,
    keepdims: bool = False,
    ord: float | None = 2,  # noqa: A002
) -> Any:
    if ord not in (2, None) or x.dtype.kind != "f":
        return NotImplemented
    return elementwise(np.sqrt, total(x * x, axis, keepdims=keepdims))


def matrix_norm(x: RecordedArray, *, keepdims: bool = False, ord: Any = "fro") -> Any:  # noqa: A002
    if ord != "fro":
        return NotImplemented
    return vector_norm(x, axis=(-2, -1), keepdims=keepdims)


def norm(
    x: RecordedArray,
    ord: Any = None,
    axis: Axes = None,
    keepdims: bool = False,  # noqa: A002
) -> Any:
    """Record NumPy's norm where it is the root of a sum of squares."""
    if ord is not None:
        return NotImplemented
    return vector_norm(x, axis=axis, keepdims=keepdims)


def trace(x: RecordedArray, *, offset: int = 0) -> Any:
    return total(diagonal(x, offset=offset), -1)


def numpy_trace(x: RecordedArray, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return total(numpy_diagonal(x, offset, axis1, axis2), -1)


def triangle(function: Function, x: RecordedArray, k: int = 0) -> Any:
    mask = function(np.ones(x.shape[-2:], bool), k=k)
    return elementwise(np.where, mask, x, np.zeros((), x.dtype))


def _count(x: RecordedArray, axis: Axes) -> int:
    return math.prod(x.shape[a] for a in axis_numbers(x, axis))
