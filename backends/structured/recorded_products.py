"""Definitions of products, by the matrix product and elementwise multiplication."""

import math
from typing import Any

import numpy as np

from .perturbed_products import matmul as matmul_rule
from .recorded_array import RecordedArray
from .recorded_functions import total
from .recorded_shapes import axis_numbers, expand_dims, permute_dims, reshape, squeeze


def matmul(a: RecordedArray, b: RecordedArray) -> Any:
    if not a.ndim or not b.ndim:
        return NotImplemented
    left = a if a.ndim > 1 else expand_dims(a, 0)
    right = b if b.ndim > 1 else expand_dims(b, 1)
    product = a.recorder.record(matmul_rule, left.value @ right.value, left, right)
    dropped = ((-2,) if a.ndim == 1 else ()) + ((-1,) if b.ndim == 1 else ())
    return squeeze(product, dropped)


def dot(a: RecordedArray, b: RecordedArray) -> Any:
    if not a.ndim or not b.ndim:
        return a * b
    return matmul(a, b) if b.ndim <= 2 else NotImplemented


def vecdot(a: RecordedArray, b: RecordedArray, *, axis: int = -1) -> Any:
    if a.dtype.kind == "c" or axis >= 0:
        return NotImplemented
    return total(a * b, axis, dtype=np.result_type(a.dtype, b.dtype))


def outer(a: RecordedArray, b: RecordedArray) -> Any:
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def tensordot(a: RecordedArray, b: RecordedArray, axes: Any = 2) -> Any:
    if isinstance(axes, int):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    summed_a, summed_b = (
        axis_numbers(x, tuple(np.atleast_1d(one).tolist()))
        for x, one in zip((a, b), axes, strict=True)
    )
    free_a = [axis for axis in range(a.ndim) if axis not in summed_a]
    free_b = [axis for axis in range(b.ndim) if axis not in summed_b]
    count = math.prod(a.shape[axis] for axis in summed_a)
    left = reshape(permute_dims(a, (*free_a, *summed_a)), (-1, count))
    right = reshape(permute_dims(b, (*summed_b, *free_b)), (count, -1))
    shape = [a.shape[axis] for axis in free_a] + [b.shape[axis] for axis in free_b]
    return reshape(matmul(left, right), tuple(shape))
