"""Functions of numbers, entry by entry: their values and slopes in balls.

A table, one line for each function, of its value and of its slope in each operand. At a kink (of
`maximum`, say) the slope is a ball that holds those of both sides. A function that jumps can only
be enclosed where the balls tell on which side they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arithmetic import arb
from .enclosed import (
    Enclosed,
    NotProved,
    all_finite,
    balls,
    computed,
    constant,
    each,
    perturbation,
    place,
    rounded,
    scaled,
    settled,
    short,
)

Slope = Callable[..., Any]
Smooth = tuple[Callable[..., Any], tuple[Slope, ...]]

UNIT = arb(0, 1)  # slopes from -1 to 1
SHARE = arb(0.5, 0.5)  # slopes from 0 to 1


def _pi() -> arb:
    return arb.pi()


def _power(x: Any, y: Any) -> Any:
    return x**y


def _logaddexp(x: Any, y: Any) -> Any:
    high, low = (x, y) if x.mid() > y.mid() else (y, x)
    return high + (low - high).exp().log1p()


def _cube_root(x: Any) -> Any:
    return -((-x).root(3)) if x < 0 else x.root(3)


def _times_log(x: Any, y: Any) -> Any:
    return x * y.log() if not x == 0 else arb(0)


def _polygamma(x: Any) -> Any:
    return arb(2).zeta(x)


def _logistic(x: Any) -> Any:
    return 1 / (1 + (-x).exp())


def _softplus(x: Any) -> Any:
    return _logaddexp(x, arb(0))


# Value, and the slope in each operand as a function of the operands and the value.
SMOOTH: dict[str, Smooth] = {
    "negative": (lambda x: -x, (lambda x, y: -1,)),
    "positive": (lambda x: x, (lambda x, y: 1,)),
    "square": (lambda x: x * x, (lambda x, y: 2 * x,)),
    "reciprocal": (lambda x: 1 / x, (lambda x, y: -y * y,)),
    "exp": (arb.exp, (lambda x, y: y,)),
    "exp2": (lambda x: arb(2) ** x, (lambda x, y: y * arb(2).log(),)),
    "expm1": (arb.expm1, (lambda x, y: x.exp(),)),
    "log": (arb.log, (lambda x, y: 1 / x,)),
    "log2": (lambda x: x.log() / arb(2).log(), (lambda x, y: 1 / (x * arb(2).log()),)),
    "log10": (lambda x: x.log() / arb(10).log(), (lambda x, y: 1 / (x * arb(10).log()),)),
    "log1p": (arb.log1p, (lambda x, y: 1 / (1 + x),)),
    "sqrt": (arb.sqrt, (lambda x, y: 0.5 / y,)),
    "rsqrt": (arb.rsqrt, (lambda x, y: -0.5 * y / x,)),
    "cbrt": (_cube_root, (lambda x, y: 1 / (3 * y * y),)),
    "sin": (arb.sin, (lambda x, y: x.cos(),)),
    "cos": (arb.cos, (lambda x, y: -x.sin(),)),
    "tan": (arb.tan, (lambda x, y: 1 + y * y,)),
    "asin": (arb.asin, (lambda x, y: 1 / ((1 - x) * (1 + x)).sqrt(),)),
    "acos": (arb.acos, (lambda x, y: -1 / ((1 - x) * (1 + x)).sqrt(),)),
    "atan": (arb.atan, (lambda x, y: 1 / (1 + x * x),)),
    "sinh": (arb.sinh, (lambda x, y: x.cosh(),)),
    "cosh": (arb.cosh, (lambda x, y: x.sinh(),)),
    "tanh": (arb.tanh, (lambda x, y: x.sech() ** 2,)),
    "asinh": (arb.asinh, (lambda x, y: 1 / (1 + x * x).sqrt(),)),
    "acosh": (arb.acosh, (lambda x, y: 1 / ((x - 1) * (x + 1)).sqrt(),)),
    "atanh": (arb.atanh, (lambda x, y: 1 / ((1 - x) * (1 + x)),)),
    "sinc": (arb.sinc_pi, (lambda x, y: 0 if x == 0 else (x.cos_pi() - y) / x,)),
    "radians": (lambda x: x * _pi() / 180, (lambda x, y: _pi() / 180,)),
    "degrees": (lambda x: x * 180 / _pi(), (lambda x, y: 180 / _pi(),)),
    "logistic": (_logistic, (lambda x, y: _logistic(x) * _logistic(-x),)),
    "softplus": (_softplus, (lambda x, y: _logistic(x),)),
    "erf": (arb.erf, (lambda x, y: 2 * (-x * x).exp() / _pi().sqrt(),)),
    "erfc": (arb.erfc, (lambda x, y: -2 * (-x * x).exp() / _pi().sqrt(),)),
    "erf_inv": (arb.erfinv, (lambda x, y: _pi().sqrt() / 2 * (y * y).exp(),)),
    "lgamma": (arb.lgamma, (lambda x, y: x.digamma(),)),
    "digamma": (arb.digamma, (lambda x, y: _polygamma(x),)),
    "add": (lambda a, b: a + b, (lambda a, b, y: 1, lambda a, b, y: 1)),
    "subtract": (lambda a, b: a - b, (lambda a, b, y: 1, lambda a, b, y: -1)),
    "multiply": (lambda a, b: a * b, (lambda a, b, y: b, lambda a, b, y: a)),
    "divide": (lambda a, b: a / b, (lambda a, b, y: 1 / b, lambda a, b, y: -y / b)),
    "power": (
        _power,
        (
            lambda a, b, y: 0 if b == 0 else b * a ** (b - 1),
            lambda a, b, y: 0 if y == 0 else y * a.log(),
        ),
    ),
    "atan2": (
        arb.atan2,
        (
            lambda a, b, y: b / (a * a + b * b),
            lambda a, b, y: -a / (a * a + b * b),
        ),
    ),
    "hypot": (
        lambda a, b: (a * a + b * b).sqrt(),
        (lambda a, b, y: a / y, lambda a, b, y: b / y),
    ),
    "logaddexp": (
        _logaddexp,
        (lambda a, b, y: _logistic(a - b), lambda a, b, y: _logistic(b - a)),
    ),
    "xlogy": (_times_log, (lambda a, b, y: b.log(), lambda a, b, y: a / b)),
}
# As engines compute slopes from values: these digits are lost where y is near 1.
FROM_VALUES: dict[str, tuple[Slope, ...]] = {
    "tanh": (lambda x, y: 1 - y * y,),
    "logistic": (lambda x, y: y * (1 - y),),
}


def smooth(name: str, *operands: Enclosed) -> Enclosed:
    """Evaluate one of the table's functions on arrays that broadcast."""
    if name == "subtract" and operands[0] is operands[1] and all_finite(operands[0].value):
        return constant(np.zeros(operands[0].shape))
    function, slopes = SMOOTH[name]
    if perturbation.get() is not None:
        slopes = FROM_VALUES.get(name, slopes)
    values = [balls(operand.value) for operand in operands]
    result = rounded(each(function, *values))
    if name in EDGES:
        _off_the_edge(name, operands, values)

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray | None, ...]:
        return tuple(
            _unbroadcast(
                rounded(scaled(cotangent, rounded(each(slope, *values, result)))), operand.shape
            )
            if operand.depends
            else None
            for slope, operand in zip(slopes, operands, strict=True)
        )

    return computed(name, result, operands, pullback)


# Where f is defined on one side only, or jumps, though a formula gives a slope there: of the first
# operand, which depends on parameters.
EDGES: dict[str, Callable[[Any, Any], bool]] = {
    "power": lambda a, b: a.contains(0) and not (b.is_integer() and b.is_exact()),
    "atan2": lambda a, b: a.contains(0) and not b > 0,
}
# What is not negative, however its operands move.
NOT_NEGATIVE = ("abs", "square", "exp", "sqrt")


def _off_the_edge(name: str, operands: Sequence[Enclosed], values: Sequence[Any]) -> None:
    first, second = operands
    if not first.depends or name == "power" and first.operation in NOT_NEGATIVE:
        return
    at = np.asarray(each(EDGES[name], *values), bool)
    if at.any():
        index = tuple(int(i) for i in np.argwhere(at)[0])
        ball = np.broadcast_to(values[0], at.shape)[index]
        node = Enclosed(at, name, (first,))
        how = "exactly" if ball == 0 else f"to within {short(ball)}"
        raise NotProved(
            f"{place(node, index)} is on the edge of {name}, {how}: no slope on both sides",
            hopeless=bool(ball == 0),
        )


def _unbroadcast(cotangent: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Sum over the axes along which an operand of that shape was repeated."""
    cotangent = np.asarray(cotangent)
    leading = cotangent.ndim - len(shape)
    axes = tuple(range(leading)) + tuple(
        leading + axis
        for axis, length in enumerate(shape)
        if length == 1 and cotangent.shape[leading + axis] != 1
    )
    if axes:
        cotangent = np.asarray(np.sum(cotangent, axis=axes, keepdims=True))
    return np.asarray(cotangent.reshape(shape))


# Kinks: each entry is one operand, or lies between two.


def larger(name: str, a: Enclosed, b: Enclosed, sign: int = 1) -> Enclosed:
    """Return the larger of two operands, or the smaller for sign -1: a kink where they meet."""
    if a is b:
        return a
    first, second = np.broadcast_arrays(balls(a.value), balls(b.value), subok=False)
    result = each(arb.max if sign > 0 else arb.min, first, second)
    gap = each(lambda x, y: sign * (x - y), first, second)
    both = a.depends or b.depends
    kinks = _undecided(gap) if both else {}
    share = each(_share_of_first, gap)

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray | None, ...]:
        other = each(lambda s: 0 if s == 1 else 1 - s, share)
        return tuple(
            _unbroadcast(_part(cotangent, part), operand.shape) if operand.depends else None
            for operand, part in ((a, share), (b, other))
        )

    return computed(name, result, (a, b), pullback, kinks=kinks)


def _share_of_first(gap: Any) -> Any:
    if gap > 0:
        return 1
    return 0 if gap < 0 else SHARE


def _part(cotangent: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Multiply by a share; what is not chosen is reached by nothing."""
    return np.asarray(each(lambda c, s: _of_share(c, s), cotangent, share))


def _of_share(cotangent: Any, share: Any) -> Any:
    if type(share) is int:
        return cotangent if share else 0
    return 0 if type(cotangent) is int and cotangent == 0 else cotangent * share


def _undecided(gap: np.ndarray) -> dict[tuple[int, ...], Any]:
    undecided = np.asarray(each(lambda g: not (g > 0 or g < 0), gap), bool)
    return {tuple(map(int, index)): gap[tuple(index)] for index in np.argwhere(undecided)}


def absolute(x: Enclosed) -> Enclosed:
    value = balls(x.value)
    kinks = _undecided(value) if x.depends else {}
    slope = each(lambda v: 1 if v > 0 else -1 if v < 0 else UNIT, value)
    return computed(
        "abs", each(abs, value), (x,), lambda c: (np.asarray(scaled(c, slope)),), kinks=kinks
    )


def clip(x: Enclosed, low: Enclosed | None = None, high: Enclosed | None = None) -> Enclosed:
    if low is not None:
        x = larger("clip", x, low)
    return x if high is None else larger("clip", x, high, -1)


# Comparisons and choices.

COMPARED: dict[str, Callable[[Any], bool | None]] = {
    # Of the difference a - b; None where the balls do not tell.
    "less": lambda d: True if d < 0 else False if d >= 0 else None,
    "less_equal": lambda d: True if d <= 0 else False if d > 0 else None,
    "greater": lambda d: True if d > 0 else False if d <= 0 else None,
    "greater_equal": lambda d: True if d >= 0 else False if d < 0 else None,
    "equal": lambda d: True if d == 0 else False if (d < 0 or d > 0) else None,
    "not_equal": lambda d: False if d == 0 else True if (d < 0 or d > 0) else None,
}


def compared(name: str, a: Enclosed, b: Enclosed) -> Enclosed:
    """Decide a comparison by the balls.

    raises: NotProved where they do not tell
    """
    if a is b and all_finite(a.value):  # as x != x, which asks for NaN
        zeros = np.zeros(a.shape)
        return constant(getattr(np, name)(zeros, zeros))
    if all(x.value.dtype.kind in "biu" for x in (a, b)):
        return logical(getattr(np, name), a, b)
    settled(a), settled(b)
    depends = a.depends or b.depends
    if not depends and a.value.dtype != object and b.value.dtype != object:
        return constant(getattr(np, name)(a.value, b.value))
    gap = each(_gap, balls(a.value), balls(b.value))
    decided = each(COMPARED[name], gap)
    unknown = each(lambda d: d is None, decided).astype(bool)
    node = Enclosed(decided.astype(bool), name, (a, b), depends=depends)
    if unknown.any():
        index = tuple(int(i) for i in np.argwhere(unknown)[0])
        raise _not_decided(node, index, gap[index])
    finite = each(lambda x: x.is_finite(), balls(a.value)).astype(bool)
    ties = each(lambda d: d == 0, gap).astype(bool) & finite  # what is infinite is not moved
    node.ties = ties if depends and ties.any() else None
    return node


def _gap(x: Any, y: Any) -> Any:
    """Return x - y, or 0 for infinities that are equal."""
    return arb(0) if x == y and not x.is_finite() else x - y


def _not_decided(node: Enclosed, index: tuple[int, ...], gap: Any) -> NotProved:
    if not gap.is_finite():
        return NotProved(f"{place(node, index)} is not finite in {node.operation}")
    return NotProved(
        f"{place(node, index)} is at the edge of {node.operation} to within {short(gap)}",
        hopeless=False,
    )


def logical(function: Callable[..., Any], *operands: Enclosed) -> Enclosed:
    """Combine booleans; a tie stays one."""
    node = Enclosed(np.asarray(function(*(operand.value for operand in operands))))
    tied = [operand for operand in operands if operand.ties is not None]
    if tied:
        node.operation, node.parents = tied[0].operation, tied[0].parents
        node.depends = True
        ties = [np.broadcast_to(t.ties, node.shape) for t in tied if t.ties is not None]
        node.ties = np.logical_or.reduce(ties)
    return node


def where(condition: Enclosed, a: Enclosed, b: Enclosed) -> Enclosed:
    """Choose; what is not chosen is reached by nothing, be it finite or not.

    raises: NotProved where the condition is a tie and the choices differ
    """
    chosen = condition.value.astype(bool)
    exact = a.value.dtype != object and b.value.dtype != object
    if exact and not (a.depends or b.depends):
        result = np.where(chosen, a.value, b.value)
    else:
        result = np.where(chosen, balls(a.value), balls(b.value))
    ties = np.broadcast_to(False if condition.ties is None else condition.ties, result.shape)
    kinks = {}
    for index in map(tuple, np.argwhere(ties)):
        one, other = (np.broadcast_to(balls(x.value), result.shape)[index] for x in (a, b))
        if not one == other:
            raise _jump(condition, result.shape, index)
        kinks[tuple(map(int, index))] = arb(0)
    share = np.broadcast_to(chosen, result.shape).astype(int).astype(object)
    share[ties] = SHARE

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray | None, ...]:
        other = each(lambda s: 1 - s, share)
        return tuple(
            _unbroadcast(_part(cotangent, part), operand.shape) if operand.depends else None
            for operand, part in ((a, share), (b, other))
        )

    return computed("where", result, (a, b), pullback, kinks=kinks)


def _jump(condition: Enclosed, shape: tuple[int, ...], index: tuple[int, ...]) -> NotProved:
    at = index if condition.shape == shape else ()
    return NotProved(
        f"{place(condition, at)} is at the edge of {condition.operation}, an exact tie: "
        "f jumps there"
    )


# Steps: whole numbers, decided by the balls.

STEPS: dict[str, Callable[[Any], Any]] = {
    "floor": arb.floor,
    "ceil": arb.ceil,
    "trunc": lambda x: x.floor() if x >= 0 else x.ceil() if x <= 0 else x.floor().union(x.ceil()),
    # Halves go to even, and are exact ties.
    "round": lambda x: _round_half_even(x),
    "round_away": lambda x: (
        (x + 0.5).floor()
        if x >= 0
        else (x - 0.5).ceil()
        if x <= 0
        else arb(0)
        if abs(x) < 0.5
        else (x + 0.5).floor().union((x - 0.5).ceil())
    ),
    "sign": lambda x: x.sgn(),
}
JUMPS_AT: dict[str, Callable[[Any], Any]] = {
    # The distance from the nearest jump is that of this from a whole number.
    "floor": lambda x: x,
    "ceil": lambda x: x,
    "trunc": lambda x: arb(0.5) if abs(x) < 1 else x,
    "round": lambda x: x + 0.5,
    "round_away": lambda x: abs(x) + 0.5,
    "sign": lambda x: arb(0) if x == 0 else arb(0.5) if (x > 0 or x < 0) else x,
}


def _round_half_even(x: Any) -> Any:
    low = (x + 0.5).floor()
    if x + 0.5 == low and low.is_exact():
        half = low / 2
        return low if half.is_integer() else low - 1
    return low


def stepped(name: str, x: Enclosed) -> Enclosed:
    """Return whole numbers, whose slope is 0.

    raises: NotProved where x depends on parameters and may be where the step is
    """
    values = balls(settled(x).value)
    result = each(STEPS[name], values)
    node = Enclosed(result, name, (x,), depends=x.depends)
    for index in np.ndindex(values.shape):
        at = JUMPS_AT[name](values[index])
        if x.depends and at.contains_integer():
            if values[index].is_exact():
                raise NotProved(f"{place(node, index)} is at a jump of {name}, an exact tie")
            raise _not_decided(node, index, at - at.mid().floor() if at.is_finite() else at)
        if not result[index].is_exact():
            raise _not_decided(node, index, values[index])
    return Enclosed(each(lambda v: v.mid(), result), name)


def remainder(a: Enclosed, b: Enclosed, rounding: str = "floor") -> Enclosed:
    """Return a - b * floor(a / b), or with trunc as C does."""
    return smooth("subtract", a, smooth("multiply", b, stepped(rounding, smooth("divide", a, b))))


def copysign(a: Enclosed, b: Enclosed) -> Enclosed:
    return smooth("multiply", absolute(a), sign_of(b))


def sign_of(x: Enclosed) -> Enclosed:
    """Return 1 or -1; the sign of an exact zero is that of its float."""
    if x.value.dtype != object and not x.depends:
        return constant(np.copysign(1.0, x.value))
    return stepped("sign", x)


def operand(value: Any) -> Enclosed:
    return value if isinstance(value, Enclosed) else constant(value)
