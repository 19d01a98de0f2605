"""Uses of every function of the array API standard, of NumPy's names for them, and of operators.

Each takes the namespace and a matrix of at least 3 × 3 entries between 0.2 and 9, and gives an
array; by the name of the function, and of what is special about the use.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Use = Callable[[Any, Any], Any]

ENTRYWISE = (
    "abs acos acosh asin asinh atan atanh ceil conj cos cosh exp expm1 floor isfinite isinf isnan "
    "log log10 log1p log2 logical_not negative positive real reciprocal round sign signbit sin "
    "sinh sqrt square tan tanh trunc"
).split()
PAIRWISE = (
    "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal "
    "logaddexp maximum minimum multiply nextafter not_equal pow remainder subtract"
).split()
REDUCING = "all any argmax argmin count_nonzero max mean min prod std sum var".split()
ALONG_AN_AXIS = "argsort cumulative_prod cumulative_sum diff flip sort".split()
OF_A_MATRIX = (
    "cholesky det diagonal eigvalsh inv matrix_norm matrix_rank pinv svdvals trace vector_norm"
).split()


def integers(xp: Any, a: Any) -> Any:
    return xp.astype(50 * a, xp.int64)


def row_numbers(xp: Any, a: Any) -> Any:
    return xp.arange(a.shape[0])


def positive_definite(xp: Any, a: Any) -> Any:
    return (a @ a.mT)[:3, :3] + 3 * xp.eye(3)


def added_in_place(xp: Any, a: Any) -> Any:
    total = xp.zeros(a.shape)
    total += a
    total *= 2
    return total


def matrix(rows: int, columns: int) -> Any:
    return stack_of(rows, columns)


def stack_of(*shape: int) -> Any:
    return np.cos(np.arange(math.prod(shape), dtype=float)).reshape(shape)


PAIRS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "with a constant": lambda xp, a: (a, xp.asarray(np.full(a.shape, 0.5))),
    "with itself reversed": lambda xp, a: (a, a[::-1, :]),
    "with its first row": lambda xp, a: (a, a[:1, :]),
    "with sums of rows": lambda xp, a: (xp.sum(a, axis=1, keepdims=True), a),
}


def _entrywise(name: str) -> Use:
    return lambda xp, a: getattr(xp, name)(a)


def _pairwise(name: str, pair: Callable[[Any, Any], tuple[Any, Any]]) -> Use:
    return lambda xp, a: getattr(xp, name)(*pair(xp, a))


def _along(name: str, axis: int | None, **settings: bool) -> Use:
    return lambda xp, a: getattr(xp, name)(a, axis=axis, **settings)


def _of_a_matrix(name: str) -> Use:
    return lambda xp, a: getattr(xp.linalg, name)(positive_definite(xp, a))


USES: dict[str, Use] = {
    **{name: _entrywise(name) for name in ENTRYWISE},
    **{
        f"{name} {with_what}": _pairwise(name, pair)
        for name in PAIRWISE
        for with_what, pair in PAIRS.items()
    },
    **{
        f"{name} along {axis}, keepdims={keep}": _along(name, axis, keepdims=keep)
        for name in REDUCING
        for axis in (None, 0, -1)
        for keep in (False, True)
    },
    **{f"{name} along {axis}": _along(name, axis) for name in ALONG_AN_AXIS for axis in (0, 1)},
    **{f"linalg.{name}": _of_a_matrix(name) for name in OF_A_MATRIX},
    # Dtypes.
    "astype float32": lambda xp, a: xp.astype(a, xp.float32),
    "astype int64": lambda xp, a: integers(xp, a),
    "bitwise_and": lambda xp, a: xp.bitwise_and(integers(xp, a), 6),
    "bitwise_or": lambda xp, a: xp.bitwise_or(integers(xp, a), integers(xp, a[::-1, :])),
    "bitwise_xor": lambda xp, a: xp.bitwise_xor(integers(xp, a), 3),
    "bitwise_invert": lambda xp, a: xp.bitwise_invert(integers(xp, a)),
    "bitwise_left_shift": lambda xp, a: xp.bitwise_left_shift(integers(xp, a), 1),
    "bitwise_right_shift": lambda xp, a: xp.bitwise_right_shift(integers(xp, a), 2),
    "logical_and": lambda xp, a: xp.logical_and(a > 0.5, a[::-1, :] > 0.4),
    "logical_or": lambda xp, a: xp.logical_or(a > 0.5, a[::-1, :] > 0.4),
    "logical_xor": lambda xp, a: xp.logical_xor(a > 0.5, a[::-1, :] > 0.4),
    "sum of booleans": lambda xp, a: xp.sum(a > 0.5, axis=0),
    "sum of integers": lambda xp, a: xp.sum(integers(xp, a), axis=1),
    "sum of float32": lambda xp, a: xp.sum(a, axis=1, dtype=xp.float32),
    "mean of float32": lambda xp, a: xp.mean(xp.astype(a, xp.float32), axis=1),
    "imag": lambda xp, a: xp.imag(a * xp.asarray(np.full(a.shape, 1 + 2j))),
    "complex abs": lambda xp, a: xp.abs(xp.exp(a * xp.asarray(np.full(a.shape, 2j)))),
    "complex sum": lambda xp, a: xp.real(xp.sum(xp.exp(a * xp.asarray(2j)), axis=0)),
    "result_type": lambda xp, a: xp.astype(a, xp.result_type(a, xp.float32)),
    "isdtype": lambda xp, a: a * (2 if xp.isdtype(a.dtype, "real floating") else 1),
    "can_cast": lambda xp, a: a * (2 if xp.can_cast(a.dtype, xp.float64) else 1),
    "finfo": lambda xp, a: a + xp.finfo(a.dtype).max * 0,
    "iinfo": lambda xp, a: a + xp.iinfo(xp.int8).max,
    # Creation.
    "asarray": lambda xp, a: xp.asarray(a, dtype=xp.float64),
    "arange": lambda xp, a: a * xp.arange(a.shape[1]),
    "empty": lambda xp, a: a + 0 * xp.astype(xp.isnan(xp.empty(a.shape)), xp.float64),
    "empty_like": lambda xp, a: a + 0 * xp.astype(xp.isnan(xp.empty_like(a)), xp.float64),
    "eye": lambda xp, a: a @ xp.eye(a.shape[1]),
    "full": lambda xp, a: a * xp.full(a.shape, 2.0),
    "full_like": lambda xp, a: a * xp.full_like(a, 2.0),
    "full_like of a sum": lambda xp, a: a * xp.full_like(a, xp.sum(a)),
    "linspace": lambda xp, a: a * xp.linspace(0, 1, a.shape[1]),
    "ones": lambda xp, a: a + xp.ones(a.shape),
    "ones_like": lambda xp, a: a + xp.ones_like(a),
    "zeros": lambda xp, a: a + xp.zeros(a.shape),
    "zeros_like": lambda xp, a: a + xp.zeros_like(a),
    "meshgrid": lambda xp, a: xp.meshgrid(a[0, :], a[:, 0])[0],
    "tril": lambda xp, a: xp.tril(a),
    "triu above": lambda xp, a: xp.triu(a, k=1),
    # Entries chosen by conditions.
    "where": lambda xp, a: xp.where(a > 0.6, a, -a),
    "where with a mask": lambda xp, a: xp.where(xp.arange(a.shape[1]) > 1, a, 0.0),
    "clip": lambda xp, a: xp.clip(a, 0.3, 0.6),
    "clip between arrays": lambda xp, a: xp.clip(a, a[:1, :], max=a[:1, :] + 0.1),
    "clip by keyword": lambda xp, a: xp.clip(a, min=0.4),
    # Shapes.
    "broadcast_to": lambda xp, a: xp.broadcast_to(a[:1, :], (3, *a.shape)),
    "broadcast_arrays": lambda xp, a: xp.broadcast_arrays(a, a[:1, :])[1],
    "broadcast_shapes": lambda xp, a: xp.broadcast_to(a, xp.broadcast_shapes(a.shape, (2, 1, 1))),
    "concat with itself": lambda xp, a: xp.concat([a, 2 * a], axis=0),
    "concat with constants": lambda xp, a: xp.concat(
        [xp.zeros((2, a.shape[1])), a, xp.ones((1, a.shape[1]))], axis=0
    ),
    "concat side by side": lambda xp, a: xp.concat([a, xp.exp(a)], axis=1),
    "concat flat": lambda xp, a: xp.concat([a, a[:1, :]], axis=None),
    "concat with sums of columns": lambda xp, a: xp.concat(
        [a, xp.sum(a, axis=0, keepdims=True)], axis=0
    ),
    "concat with sums of rows": lambda xp, a: xp.concat(
        [a, xp.sum(a, axis=1, keepdims=True)], axis=1
    ),
    "concat of two dtypes": lambda xp, a: xp.concat([a, xp.astype(a, xp.float32)], axis=0),
    "expand_dims": lambda xp, a: xp.expand_dims(a, axis=1),
    "matrix_transpose": lambda xp, a: xp.matrix_transpose(a),
    "moveaxis": lambda xp, a: xp.moveaxis(a[None, :, :], 0, -1),
    "permute_dims": lambda xp, a: xp.permute_dims(a[None, :, :], (2, 0, 1)),
    "repeat": lambda xp, a: xp.repeat(a, 2, axis=1),
    "repeat flat": lambda xp, a: xp.repeat(a, 2),
    "reshape flat": lambda xp, a: xp.reshape(a, (-1,)),
    "reshape to a column": lambda xp, a: xp.reshape(a, (-1, 1)),
    "reshape of tiles": lambda xp, a: xp.reshape(xp.tile(a, (4, 6)), (a.shape[0], 4, 2, -1)),
    "roll": lambda xp, a: xp.roll(a, 1, axis=1),
    "roll flat": lambda xp, a: xp.roll(a, 2),
    "roll both ways": lambda xp, a: xp.roll(a, (1, 2), axis=(0, 1)),
    "flip all": lambda xp, a: xp.flip(a),
    "squeeze": lambda xp, a: xp.squeeze(a[None, :, :], axis=0),
    "stack": lambda xp, a: xp.stack([a, a * 2, xp.ones(a.shape)], axis=1),
    "stack of rows": lambda xp, a: xp.stack([a[i, :] for i in range(a.shape[0])][::-1], axis=1),
    "tile": lambda xp, a: xp.tile(a, (2, 1, 3)),
    "unstack": lambda xp, a: xp.unstack(a, axis=1)[1],
    # Indices.
    "take": lambda xp, a: xp.take(a, xp.asarray([2, 0, 2]), axis=1),
    "take_along_axis": lambda xp, a: xp.take_along_axis(
        a, xp.asarray(np.arange(a.shape[0])[:, None] % a.shape[1]), axis=1
    ),
    "take_along_axis of a sort": lambda xp, a: xp.take_along_axis(a, xp.argsort(a), axis=1),
    "index with arrays": lambda xp, a: a[row_numbers(xp, a), row_numbers(xp, a) % a.shape[1]],
    "index with a matrix": lambda xp, a: a[:, xp.asarray([[0, 1], [2, 1]])],
    "index with arrays apart": lambda xp, a: a[:, None, :][np.array([0, 1]), :, np.array([0, 2])],
    "index with an array and a number": lambda xp, a: a[None, ...][0, :, np.array([0, 2])],
    "index with a mask": lambda xp, a: a[row_numbers(xp, a) % 2 == 0],
    "index with a mask of all": lambda xp, a: a[np.random.default_rng(1).random(a.shape) < 0.5],
    "index with a number": lambda xp, a: a[-1, ...],
    "index with numbers": lambda xp, a: a[1, -2],
    "index with steps": lambda xp, a: a[1:, ::2],
    "index with steps back": lambda xp, a: a[::-1, ::-2],
    "index with new axes": lambda xp, a: a[None, ..., None, 1],
    "rows in turn": lambda xp, a: sum(row * row for row in a),
    "searchsorted": lambda xp, a: xp.searchsorted(xp.asarray([0.1, 0.3, 0.5]), a[0, :]),
    "isin": lambda xp, a: xp.isin(xp.round(a), xp.asarray([0.0, 1.0])),
    "nonzero": lambda xp, a: xp.nonzero(a > 0)[0],
    "unique_values": lambda xp, a: xp.unique_values(a * 0),
    "unique_counts": lambda xp, a: xp.unique_counts(a * 0).counts,
    "unique_inverse": lambda xp, a: xp.unique_inverse(a * 0).inverse_indices,
    "unique_all": lambda xp, a: xp.unique_all(a * 0).counts,
    # Products.
    "matmul from the left": lambda xp, a: xp.matmul(a, xp.asarray(matrix(a.shape[1], 2))),
    "matmul from the right": lambda xp, a: xp.matmul(xp.asarray(matrix(2, a.shape[0])), a),
    "matmul with its transpose": lambda xp, a: a @ a.mT,
    "matmul of a row": lambda xp, a: a[0, :] @ a[1, :],
    "matmul with a vector": lambda xp, a: a @ xp.arange(1.0, 1 + a.shape[1]),
    "matmul of a vector": lambda xp, a: xp.arange(1.0, 1 + a.shape[0]) @ a,
    "matmul with a stack": lambda xp, a: a[:, :3] @ xp.asarray(stack_of(4, 3, 2)),
    "matmul of a stack": lambda xp, a: xp.asarray(stack_of(4, 2, 3)) @ a[:3, :],
    "matmul of stacks": lambda xp, a: a[:, None, :] @ stack_of(*a.shape, 2),
    "matmul of its own stacks": lambda xp, a: a[:, None, :] @ a[:, :, None],
    "linalg.matmul": lambda xp, a: xp.linalg.matmul(a, a.mT),
    "linalg.matrix_transpose": lambda xp, a: xp.linalg.matrix_transpose(a),
    "tensordot": lambda xp, a: xp.tensordot(a, a, axes=((0,), (0,))),
    "tensordot of all": lambda xp, a: xp.tensordot(a, a, axes=2),
    "tensordot of none": lambda xp, a: xp.tensordot(a[0, :], a[1, :], axes=0),
    "linalg.tensordot": lambda xp, a: xp.linalg.tensordot(
        a, xp.asarray(matrix(a.shape[1], 2)), axes=1
    ),
    "vecdot": lambda xp, a: xp.vecdot(a, a * 2),
    "linalg.vecdot": lambda xp, a: xp.linalg.vecdot(a, a * 2, axis=-2),
    "linalg.outer": lambda xp, a: xp.linalg.outer(a[0, :], a[:, 0]),
    "linalg.cross": lambda xp, a: xp.linalg.cross(a[:, :3], a[::-1, :3]),
    "linalg.matrix_power": lambda xp, a: xp.linalg.matrix_power(positive_definite(xp, a), 3),
    "linalg.solve": lambda xp, a: xp.linalg.solve(positive_definite(xp, a), a[:3, :1]),
    "linalg.slogdet": lambda xp, a: xp.linalg.slogdet(positive_definite(xp, a)).logabsdet,
    "linalg.eigh": lambda xp, a: xp.linalg.eigh(positive_definite(xp, a)).eigenvalues,
    "linalg.qr": lambda xp, a: xp.linalg.qr(positive_definite(xp, a)).R,
    "linalg.svd": lambda xp, a: xp.linalg.svd(positive_definite(xp, a)).S,
    "linalg.vector_norm of rows": lambda xp, a: xp.linalg.vector_norm(a, axis=1),
    "linalg.vector_norm, order 1": lambda xp, a: xp.linalg.vector_norm(a, axis=1, ord=1),
    "std with a correction": lambda xp, a: xp.std(a, axis=0, correction=1),
    # Fourier transforms.
    "fft.fft": lambda xp, a: xp.real(xp.fft.fft(a)),
    "fft.ifft": lambda xp, a: xp.imag(xp.fft.ifft(a)),
    "fft.fftn": lambda xp, a: xp.imag(xp.fft.fftn(a)),
    "fft.ifftn": lambda xp, a: xp.imag(xp.fft.ifftn(a)),
    "fft.rfft": lambda xp, a: xp.abs(xp.fft.rfft(a, axis=0)),
    "fft.irfft": lambda xp, a: xp.fft.irfft(a),
    "fft.rfftn": lambda xp, a: xp.real(xp.fft.rfftn(a)),
    "fft.irfftn": lambda xp, a: xp.fft.irfftn(a),
    "fft.hfft": lambda xp, a: xp.fft.hfft(a),
    "fft.ihfft": lambda xp, a: xp.real(xp.fft.ihfft(a)),
    "fft.fftshift": lambda xp, a: xp.fft.fftshift(a),
    "fft.ifftshift": lambda xp, a: xp.fft.ifftshift(a),
    "fft.fftfreq": lambda xp, a: a * xp.fft.fftfreq(a.shape[1]),
    "fft.rfftfreq": lambda xp, a: a[:, :2] * xp.fft.rfftfreq(a.shape[1])[:2],
    # NumPy's own functions, and arrays of it on either side.
    "numpy exp": lambda xp, a: np.exp(a),
    "numpy sum": lambda xp, a: np.sum(a, axis=1),
    "numpy sum of some": lambda xp, a: np.sum(a, where=np.arange(a.shape[1]) > 0),
    "numpy where": lambda xp, a: np.where(a > 0.5, a, 0),
    "numpy clip": lambda xp, a: np.clip(a, 0.3, 0.6),
    "numpy maximum": lambda xp, a: np.maximum(0.5, a),
    "numpy concatenate": lambda xp, a: np.concatenate([a, np.ones(a.shape)], 1),
    "numpy stack": lambda xp, a: np.stack([a, a]),
    "numpy einsum": lambda xp, a: np.einsum("ij,ij->j", a, a),
    "numpy dot": lambda xp, a: np.dot(a, a.T),
    "numpy outer": lambda xp, a: np.outer(a, a),
    "numpy var": lambda xp, a: np.var(a, axis=0, ddof=1),
    "numpy median": lambda xp, a: np.median(a, axis=0),
    "numpy swapaxes": lambda xp, a: np.swapaxes(a, 0, 1),
    "numpy transpose": lambda xp, a: np.transpose(a[None, ...], (1, 2, 0)),
    "numpy trace": lambda xp, a: np.trace(a),
    "numpy diagonal": lambda xp, a: np.diagonal(a),
    "numpy pad": lambda xp, a: np.pad(a, 1),
    "numpy cumsum": lambda xp, a: np.cumsum(a),
    "numpy add.reduce": lambda xp, a: np.add.reduce(a),
    "numpy max": lambda xp, a: np.max(a, 1),
    "numpy take": lambda xp, a: np.take(a, [1, 2]),
    "numpy squeeze": lambda xp, a: np.squeeze(a[None, ...]),
    "numpy divmod": lambda xp, a: np.divmod(a, 0.3)[1],
    "numpy norm": lambda xp, a: np.linalg.norm(a),
    "numpy norm of columns": lambda xp, a: np.linalg.norm(a, axis=0, keepdims=True),
    "numpy copy": lambda xp, a: np.copy(a),
    "operators": lambda xp, a: 1 / a - 2**a + np.float64(2) * a // 0.3 % 0.7 - abs(-(+a)),
    "operators on arrays": lambda xp, a: np.ones(a.shape) - np.ones(a.shape) * a,
    "operator @": lambda xp, a: np.ones((2, a.shape[0])) @ a,
    "comparisons": lambda xp, a: ~((a > 0.5) | (a <= 0.3) & (a != 0.2) ^ (a == 0.25)),
    "integer operators": lambda xp, a: (integers(xp, a) << 1 >> 2) & 7,
    "in place": added_in_place,
    "methods": lambda xp, a: a.T.reshape(-1).cumsum().astype(float).copy().flatten(),
    "methods that reduce": lambda xp, a: a.sum(axis=0) * a.mean() + a.max() - a.std(axis=0).min(),
    "method transpose": lambda xp, a: a[None, ...].transpose(1, 0, 2).squeeze().ravel(),
    "method clip": lambda xp, a: a.clip(0.3, 0.6).round(1).real,
    # Compositions.
    "softmax": lambda xp, a: (
        xp.exp(a - xp.max(a, axis=-1, keepdims=True))
        / xp.sum(xp.exp(a - xp.max(a, axis=-1, keepdims=True)), axis=-1, keepdims=True)
    ),
    "layer normalisation": lambda xp, a: (
        (a - xp.mean(a, axis=-1, keepdims=True)) / xp.std(a, axis=-1, keepdims=True)
    ),
    "a branch that all copies take": lambda xp, a: a * 2 if xp.sum(a) > 0 else a,
    "a number that no copy changes": lambda xp, a: a * float(xp.sum(a * 0)),
    "no array": lambda xp, a: 3.0,
}
