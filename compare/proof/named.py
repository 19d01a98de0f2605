"""Elementwise functions by the names that the tables have, dtypes, and what has no rule."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import elementwise as entrywise
from .elementwise import smooth
from .enclosed import Enclosed, NotProved, constant, each, settled

LOGICAL = {name: getattr(np, name) for name in "logical_and logical_or logical_xor".split()} | {
    "logical_not": np.logical_not
}


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


def counted(name: str, x: Enclosed, axes: tuple[int, ...], keepdims: bool) -> Enclosed:
    if x.value.dtype == object:
        x = entrywise.compared("not_equal", x, constant(0.0))
    settled(x)
    return constant(getattr(np, name)(x.value, axis=axes, keepdims=keepdims))
