"""Which functions are written, while they are recorded, in terms of the few that have rules.

A definition stands in for the function of its name in the array API standard or in NumPy: it
computes the same up to round-off, for the arguments that its signature takes. It returns
NotImplemented for arguments beyond it; then the function itself is recorded, as functions without
a definition are, and evaluated on every copy in full.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from . import recorded_functions as functions
from . import recorded_products as products
from . import recorded_shapes as shapes

Function = Callable[..., Any]

# Elementwise functions that are no ufuncs.
ELEMENTWISE = frozenset("angle around clip imag nan_to_num real round sign where".split())

# Functions from many entries to one, along any axes, with the settings axis and keepdims.
REDUCTIONS = frozenset("all amax amin any count_nonzero max min prod".split())

# Functions that mix entries along one axis, and the axis they take by default; None if it is the
# only axis of an array that has one.
ALONG_ONE_AXIS = {
    **dict.fromkeys(("argsort", "sort"), -1),
    **dict.fromkeys(("cumprod", "cumsum", "cumulative_prod", "cumulative_sum"), None),
    **{f"fft.{name}": -1 for name in "fft hfft ifft ihfft irfft rfft".split()},
}

# Functions that tell about, or only use, the shape and dtype of their first argument.
ABOUT_SHAPES = frozenset(
    "broadcast_shapes can_cast empty_like finfo iinfo isdtype iscomplexobj isrealobj ndim "
    "ones_like result_type shape size zeros_like".split()
)


@lru_cache(maxsize=1024)
def definition(name: str, function: Function) -> Function | None:
    """Return what records a function of that name, or None where there is nothing but one_by_one.

    name: in the array API standard or in NumPy, with "linalg." or "fft." before it
    """
    name = SAME_AS.get(name, name)
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    if name in REDUCTIONS:
        return partial(functions.reduction, function)
    if name in ("argmax", "argmin"):
        return partial(functions.extremum, function)
    if name in ALONG_ONE_AXIS:
        return partial(functions.along_one_axis, function, ALONG_ONE_AXIS[name])
    ufunc = isinstance(function, np.ufunc) and function.nout == 1 and function.signature is None
    return partial(functions.elementwise, function) if ufunc or name in ELEMENTWISE else None


DEFINITIONS: dict[str, Function] = {
    "asarray": functions.asarray,
    "astype": functions.astype,
    "broadcast_arrays": shapes.broadcast_arrays,
    "broadcast_to": shapes.broadcast_to,
    "concat": shapes.concat,
    "copy": functions.copied,
    "diagonal": shapes.numpy_diagonal,
    "diff": shapes.diff,
    "dot": products.dot,
    "expand_dims": shapes.expand_dims,
    "flip": shapes.flip,
    "getitem": shapes.getitem,
    "linalg.diagonal": shapes.diagonal,
    "linalg.matrix_norm": functions.matrix_norm,
    "linalg.norm": functions.norm,
    "linalg.outer": products.outer,
    "linalg.trace": functions.trace,
    "linalg.vector_norm": functions.vector_norm,
    "matmul": products.matmul,
    "matrix_transpose": shapes.matrix_transpose,
    "mean": functions.mean,
    "moveaxis": shapes.moveaxis,
    "outer": products.outer,
    "permute_dims": shapes.permute_dims,
    "ravel": shapes.ravel,
    "repeat": shapes.repeat,
    "reshape": shapes.reshape,
    "roll": shapes.roll,
    "squeeze": shapes.squeeze,
    "stack": shapes.stack,
    "std": functions.std,
    "sum": functions.total,
    "swapaxes": shapes.swapaxes,
    "take": shapes.take,
    "take_along_axis": shapes.take_along_axis,
    "tensordot": products.tensordot,
    "tile": shapes.tile,
    "trace": functions.numpy_trace,
    "tril": partial(functions.triangle, np.tril),
    "triu": partial(functions.triangle, np.triu),
    "unstack": shapes.unstack,
    "var": functions.var,
    "vecdot": products.vecdot,
}

# Names of NumPy for functions of the standard, and functions that are in two namespaces.
SAME_AS = {
    "concatenate": "concat",
    "linalg.matmul": "matmul",
    "linalg.matrix_transpose": "matrix_transpose",
    "linalg.tensordot": "tensordot",
    "linalg.vecdot": "vecdot",
    "transpose": "permute_dims",
}
