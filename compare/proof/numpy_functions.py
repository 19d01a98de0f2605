"""Functions of NumPy that are recorded as they are, called as NumPy's are."""

import string
from collections.abc import Callable
from typing import Any

import numpy as np

from . import elementwise as entrywise
from . import matrices
from . import operations as arrays
from .elementwise import operand, smooth
from .enclosed import Enclosed, constant, settled
from .named import astype, unknown

Function = Callable[..., Any]


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
