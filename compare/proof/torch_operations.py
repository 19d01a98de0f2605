"""What the operations that PyTorch records mean for balls, called as PyTorch calls them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from . import elementwise as entrywise
from . import matrices
from . import operations as arrays
from .elementwise import operand, smooth
from .enclosed import Enclosed, constant, whole_numbers
from .named import astype, counted, of_numbers, unknown
from .numpy_functions import cross, search_sorted, vector_norm

DONE = constant(np.zeros((), np.int32))  # what functions of matrices say where none failed


def _axes(x: Enclosed, dim: Any) -> tuple[int, ...]:
    if dim is None or dim == []:
        return tuple(range(x.ndim))
    return tuple(dim) if isinstance(dim, list | tuple) else (dim,)


def _sum(x: Enclosed, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Enclosed:
    return arrays.total(x, _axes(x, dim), keepdim)


def _mean(x: Enclosed, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Enclosed:
    count = math.prod(x.shape[axis] for axis in _axes(x, dim))
    return smooth("divide", _sum(x, dim, keepdim), constant(count))


def _var(
    x: Enclosed,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Enclosed:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    count = math.prod(x.shape[axis] for axis in _axes(x, dim))
    square = smooth("square", smooth("subtract", x, _mean(x, dim, True)))
    degrees = count - (int(unbiased) if correction is None else correction)
    return smooth("divide", _sum(square, dim, keepdim), constant(degrees))


def _extreme(name: str, sign: int) -> Callable[..., Any]:
    def rule(x: Enclosed, dim: Any = None, keepdim: bool = False) -> Any:
        if isinstance(dim, Enclosed):
            return entrywise.larger(f"{name}imum", x, dim, sign)
        return arrays.extreme(name, x, _axes(x, dim), keepdim, sign)

    return rule


def _extreme_and_place(name: str, sign: int) -> Callable[..., Any]:
    values = _extreme(name, sign)

    def rule(x: Enclosed, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None or isinstance(dim, Enclosed):
            return values(x, dim)
        return values(x, dim, keepdim), arrays.best_place(x, (dim,), keepdim, sign)

    return rule


def _best(sign: int) -> Callable[..., Enclosed]:
    def rule(x: Enclosed, dim: Any = None, keepdim: bool = False) -> Enclosed:
        if dim is None:
            return arrays.best_place(arrays.reshape(x, (-1,)), (0,), False, sign)
        return arrays.best_place(x, (dim,), keepdim, sign)

    return rule


def _prod(x: Enclosed, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Enclosed:
    return arrays.product(x, _axes(x, dim), keepdim)


def _counted(name: str) -> Callable[..., Enclosed]:
    return lambda x, dim=None, keepdim=False: counted(name, x, _axes(x, dim), keepdim)


def _cumulated(function: Callable[..., Enclosed]) -> Callable[..., Enclosed]:
    return lambda x, dim, *, dtype=None: function(x, dim % x.ndim)


def _sort(x: Enclosed, dim: int = -1, descending: bool = False, **_: Any) -> Any:
    places = arrays.order(x, dim, "sort")
    if descending:
        places = np.flip(places, dim)
    return arrays.along_axis(x, places, dim), constant(places)


def _clamp(x: Enclosed, min: Any = None, max: Any = None) -> Enclosed:  # noqa: A002
    low, high = (None if bound is None else operand(bound) for bound in (min, max))
    return entrywise.clip(x, low, high)


def _relu(x: Enclosed) -> Enclosed:
    return entrywise.larger("relu", x, constant(0.0))


def _where(condition: Enclosed, a: Any, b: Any) -> Enclosed:
    return entrywise.where(condition, operand(a), operand(b))


def _masked_fill(x: Enclosed, mask: Enclosed, value: Any) -> Enclosed:
    return entrywise.where(mask, operand(value), x)


def _divide(a: Any, b: Any, *, rounding_mode: str | None = None) -> Enclosed:
    found = smooth("divide", operand(a), operand(b))
    return found if rounding_mode is None else entrywise.stepped(rounding_mode, found)


def _rounded(x: Enclosed, *, decimals: int = 0) -> Enclosed:
    scale = constant(10.0**decimals)
    return smooth("divide", entrywise.stepped("round", smooth("multiply", x, scale)), scale)


def cast(x: Enclosed, *, dtype: Any = None, **_: Any) -> Enclosed:
    if dtype is None:
        return x
    if dtype.is_complex:
        raise unknown(f"a cast to {dtype}")
    kinds = {True: np.float64, False: np.bool_ if dtype is torch.bool else np.int64}
    return astype(x, np.dtype(kinds[dtype.is_floating_point]))


def _full_like(x: Enclosed, value: Any, **_: Any) -> Enclosed:
    return constant(np.full(x.shape, value))


def _scatter_add(x: Enclosed, dim: int, places: Enclosed, source: Enclosed) -> Enclosed:
    """Add each of the sources where its place says, by a product with zeros and ones."""
    size = math.prod(x.shape)
    numbers = torch.arange(size).reshape(x.shape)
    index = torch.from_numpy(np.array(whole_numbers(places)))
    aims = torch.gather(numbers, dim, index).numpy().ravel()
    cut = arrays.index(source, tuple(slice(n) for n in places.shape))
    chosen = np.zeros((1, aims.size, size))
    chosen[0, np.arange(aims.size), aims] = 1
    added = arrays.matmul(arrays.reshape(cut, (1, 1, -1)), constant(chosen))
    return smooth("add", x, arrays.reshape(added, x.shape))


def _convolution(
    x: Enclosed,
    kernel: Enclosed,
    bias: Enclosed | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Enclosed:
    both = [(n, n) for n in padding]
    if transposed:
        # As the convolution that goes back: of entries with gaps, by the kernel turned about.
        grouped = arrays.reshape(kernel, (groups, -1, *kernel.shape[1:]))
        swapped = arrays.permute(grouped, (0, 2, 1, *range(3, grouped.ndim)))
        turned = arrays.reshape(swapped, (-1, *swapped.shape[2:]))
        kernel = arrays.flip(turned, range(2, turned.ndim))
        reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape[2:], strict=True)]
        both = [(r - p, r - p + o) for r, p, o in zip(reach, padding, output_padding, strict=True)]
        x, stride = arrays.dilated(x, stride), [1] * len(stride)
    found = arrays.convolve(x, kernel, stride, both, dilation, groups)
    if bias is None:
        return found
    return smooth("add", found, arrays.reshape(bias, (-1, *(1,) * (found.ndim - 2))))


def _windows(
    x: Enclosed, fill: float, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Enclosed, tuple[int, ...]]:
    """Return the entries under a kernel, along axis 1, and the shape of its places."""
    height, width = x.shape[-2:]
    kernel, stride, padding, dilation = (
        pair * 2 if len(pair) == 1 else pair
        for pair in map(list, (kernel, stride or kernel, padding, dilation))
    )
    numbers = torch.arange(1.0, x.value.size + 1, dtype=torch.float64)
    columns = torch.nn.functional.unfold(
        numbers.reshape(-1, 1, height, width), kernel, dilation, padding, stride
    )
    flat = arrays.concat([constant(np.full(1, fill)), arrays.reshape(x, (-1,))], 0)
    lengths = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape[-2:], kernel, stride, padding, dilation, strict=True)
    ]
    return arrays.index(flat, columns.numpy().astype(np.int64)), (*x.shape[:-2], *lengths)


def _max_pool(
    x: Enclosed,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0,),
    dilation: Any = (1,),
    ceil_mode: bool = False,
) -> tuple[Any, ...]:
    columns, shape = _windows(x, -math.inf, kernel, stride, padding, dilation)
    return arrays.reshape(arrays.extreme("max", columns, (1,), False, 1), shape), None


def _mean_pool(
    x: Enclosed,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Enclosed:
    if not count_include_pad and any(padding):
        raise unknown("avg_pool2d without its padding")
    columns, shape = _windows(x, 0.0, kernel, stride, padding, (1,))
    count = constant(divisor_override or columns.shape[1])
    return arrays.reshape(smooth("divide", arrays.total(columns, (1,)), count), shape)


def _vector_norm(
    x: Enclosed,
    ord: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    **_: Any,  # noqa: A002
) -> Enclosed:
    return vector_norm(x, axis=_axes(x, dim), keepdims=keepdim, ord=ord)


def _solve(a: Enclosed, b: Enclosed, *, left: bool = True, **_: Any) -> tuple[Any, ...]:
    if not left:
        raise unknown("linalg.solve from the right")
    return matrices.solve(a, b), None, None, DONE


def _search_sorted(
    borders: Enclosed, x: Any, *, right: bool = False, side: str | None = None, **others: Any
) -> Enclosed:
    if others.get("sorter") is not None or borders.ndim != 1:
        raise unknown("searchsorted with sorter, or in rows")
    return search_sorted(borders, x, side or ("right" if right else "left"))


def _svd(a: Enclosed, full_matrices: bool = False, compute_uv: bool = True, **_: Any) -> Any:
    def like(floats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, _, v = torch.linalg.svd(torch.from_numpy(floats), full_matrices=False)
        return u.numpy(), v.numpy()

    u, sizes, v = matrices.svd(a, full_matrices and compute_uv, like)
    return (u, sizes, v) if compute_uv else (constant(np.zeros(0)), sizes, constant(np.zeros(0)))


def _pseudo_inverse(a: Enclosed, *, atol: Any = None, rtol: Any = None, **_: Any) -> Enclosed:
    if not all(x is None or isinstance(x, float) for x in (atol, rtol)) or atol:
        raise unknown("pinv with atol")
    return matrices.pinv(a, rtol)


def _determinant(a: Enclosed) -> tuple[Any, ...]:
    return matrices.determinant(a), None, None


def _log_determinant(a: Enclosed) -> tuple[Any, ...]:
    found = matrices.determinant(a)
    return entrywise.stepped("sign", found), smooth("log", entrywise.absolute(found)), None, None


OPERATIONS: dict[str, Callable[..., Any]] = {
    "sum": _sum,
    "mean": _mean,
    "var": _var,
    "amax": _extreme("max", 1),
    "amin": _extreme("min", -1),
    "max": _extreme_and_place("max", 1),
    "min": _extreme_and_place("min", -1),
    "argmax": _best(1),
    "argmin": _best(-1),
    "prod": _prod,
    "all": _counted("all"),
    "any": _counted("any"),
    "cumsum": _cumulated(arrays.cumulative_sum),
    "cumprod": _cumulated(arrays.cumulative_product),
    "sort": _sort,
    "clamp": _clamp,
    "clamp_min": lambda x, low: _clamp(x, min=low),
    "clamp_max": lambda x, high: _clamp(x, max=high),
    "relu": _relu,
    "where": _where,
    "masked_fill": _masked_fill,
    "divide": _divide,
    "round": _rounded,
    "remainder": lambda a, b: entrywise.remainder(operand(a), operand(b)),
    "fmod": lambda a, b: entrywise.remainder(operand(a), operand(b), "trunc"),
    "rsub": lambda a, b, alpha=1: smooth(
        "subtract", operand(b), smooth("multiply", a, constant(alpha))
    ),
    "convolution": _convolution,
    "copy": lambda x, y, *_: arrays.broadcast(operand(y), x.shape),
    "mm": arrays.matmul,
    "bmm": arrays.matmul,
    "_to_copy": cast,
    "full_like": _full_like,
    "empty_like": lambda x, **_: _full_like(x, 0.0),
    "zeros_like": lambda x, **_: _full_like(x, 0.0),
    "ones_like": lambda x, **_: _full_like(x, 1.0),
    "new_full": lambda x, size, value, **_: constant(np.full(size, float(value))),
    "new_empty": lambda x, size, **_: constant(np.zeros(size)),
    "nan_to_num": lambda x, *_, **__: of_numbers("nan_to_num", "nan_to_num", [x]),
    "new_zeros": lambda x, size, **_: constant(np.zeros(size)),
    "scatter_add": _scatter_add,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _mean_pool,
    "linalg_vector_norm": _vector_norm,
    "linalg_solve_ex": _solve,
    "_linalg_solve_ex": _solve,
    "linalg_inv_ex": lambda a, **_: (matrices.inverse(a), DONE),
    "_linalg_check_errors": lambda *_, **__: None,
    "linalg_pinv": _pseudo_inverse,
    "linalg_qr": lambda a, mode="reduced": matrices.qr(a, mode),
    "_linalg_eigh": lambda a, UPLO="L", compute_v=True: matrices.eigh(
        a, UPLO == "L", lambda floats: torch.linalg.eigh(torch.from_numpy(floats))[1].numpy()
    ),
    "_linalg_svd": _svd,
    "linalg_cross": lambda a, b, *, dim=-1: cross(a, b, dim),
    "searchsorted": _search_sorted,
    "bucketize": lambda x, borders, **settings: _search_sorted(borders, x, **settings),
    "fill": lambda x, value: arrays.broadcast(operand(value), x.shape),
    "_linalg_det": _determinant,
    "_linalg_slogdet": _log_determinant,
    "linalg_cholesky_ex": lambda a, *, upper=False, **_: (
        matrices.cholesky(a, upper),
        DONE,
    ),
}
