"""Points at which derivatives do not exist, are a matter of convention, or are hard to compute.

`blamed` holds who is really wrong there, in jax 0.10 and torch 2.13; usually nobody is.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .scenario import Scenario


def _of_array(
    name: str, f: Callable[[Any, Any], Any], x: Any, blamed: tuple[str, ...] = ()
) -> Scenario:
    return Scenario(name, lambda x: f(array_namespace(x), x), np.asarray(x, float), blamed=blamed)


def _of_two(
    name: str, f: Callable[[Any, Any, Any], Any], x: float, y: float, blamed: tuple[str, ...] = ()
) -> Scenario:
    def of_pair(pair: tuple[Any, Any]) -> Any:
        return f(array_namespace(pair[0]), *pair)

    return Scenario(name, of_pair, (np.asarray(x, float), np.asarray(y, float)), blamed=blamed)


def _stable_softmax(xp: Any, x: Any) -> Any:
    exponentials = xp.exp(x - xp.max(x))
    return exponentials / xp.sum(exponentials)


def _huber(xp: Any, x: Any) -> Any:
    return xp.sum(xp.where(xp.abs(x) <= 1, 0.5 * x**2, xp.abs(x) - 0.5))


def _sinc(xp: Any, x: Any) -> Any:
    safe = xp.where(x == 0, 1.0, x)
    return xp.sum(xp.where(x == 0, 1.0, xp.sin(safe) / safe))


def _bump(xp: Any, x: Any) -> Any:
    return xp.sum(xp.where(x == 0, 0.0, xp.exp(-1 / xp.where(x == 0, 1.0, x) ** 2)))


CONVENTIONS = (
    _of_array("abs at 0", lambda xp, x: xp.sum(xp.abs(x)), [0.0, 1.0, -2.0]),
    _of_array("clip at its bounds", lambda xp, x: xp.sum(xp.clip(x, 0.0, 1.0)), [1.0, 0.0, 2.0]),
    _of_array("vector_norm at 0", lambda xp, x: xp.linalg.vector_norm(x), [0.0, 0.0]),
    _of_array("std of equal values", lambda xp, x: xp.std(x), [1.0, 1.0, 1.0]),
    _of_two("hypot(0, 0)", lambda xp, x, y: xp.hypot(x, y), 0.0, 0.0),
    _of_two("atan2(0, 0)", lambda xp, x, y: xp.atan2(x, y), 0.0, 0.0),
)

OWN = (
    _of_array("max of equal entries", lambda xp, x: xp.max(x), [1.0, 1.0, 0.0]),
    _of_array("max minus min of equals", lambda xp, x: xp.max(x) - xp.min(x), [1.0, 1.0, 1.0]),
    _of_array("max plus min of equals", lambda xp, x: xp.max(x) + xp.min(x), [1.0, 1.0, 1.0]),
    _of_array("largest absolute value", lambda xp, x: xp.max(xp.abs(x)), [1.0, -1.0, 0.0]),
    _of_array("ReLU as maximum", lambda xp, x: xp.sum(xp.maximum(x, 0 * x)), [1.0, 0.0, -1.0]),
    _of_array("ReLU as where", lambda xp, x: xp.sum(xp.where(x > 0, x, 0 * x)), [1.0, 0.0, -1.0]),
    _of_array("leaky ReLU", lambda xp, x: xp.sum(xp.where(x > 0, x, 0.01 * x)), [1.0, 0.0]),
    _of_array("hinge", lambda xp, x: xp.sum(xp.maximum(1 - x, 0 * x)), [1.0, 0.0, 3.0]),
    _of_array("sort of equal entries", lambda xp, x: xp.sum(xp.sort(x) ** 2 * x), [1.0, 1.0, 0.0]),
    _of_array("sqrt of a square at 0", lambda xp, x: xp.sum(xp.sqrt(x**2)), [1.0, 0.0, -1.0]),
    _of_array(
        "clip of a running sum",
        lambda xp, x: xp.sum(xp.clip(xp.cumulative_sum(x), 0.0, 2.0)),
        [1.0, 1.0, 1.0],
    ),
    _of_array(
        "L1 penalty at zero weights",
        lambda xp, x: xp.sum((x - 1) ** 2) + 0.1 * xp.sum(xp.abs(x)),
        [0.0, 0.0, 1.0, 2.0],
    ),
    _of_array("x abs(x) at 0", lambda xp, x: xp.sum(x * xp.abs(x)), [1.0, 0.0, -1.0]),
    _of_two("abs of a product at 0", lambda xp, x, y: xp.abs(x * y), 0.0, 0.0),
    _of_array("Huber where its pieces join", _huber, [1.0, 0.0, 3.0]),
    _of_array("powers at 0", lambda xp, x: xp.sum(x**3 + x**2 + x), [0.0, -2.0]),
    _of_array("x**1.5 at its edge", lambda xp, x: xp.sum(x**1.5), [0.0, 2.0]),
    _of_array("product with one zero", lambda xp, x: xp.prod(x), [0.0, 2.0, 3.0]),
    _of_array("product with two zeros", lambda xp, x: xp.prod(x), [0.0, 0.0, 3.0]),
    _of_array("variance of equal values", lambda xp, x: xp.var(x), [1.0, 1.0, 1.0]),
    _of_array("sinc at 0", _sinc, [0.0, 2.0]),
    _of_array("a flat bump", _bump, [0.0, 2.0]),
    _of_array("sign", lambda xp, x: xp.sum(xp.sign(x) * x**2 + xp.sign(x)), [1.0, 0.0, -1.0]),
    _of_array("floor at integers", lambda xp, x: xp.sum(xp.floor(x) * x), [1.5, 2.0, -1.0]),
    _of_array("round at halves", lambda xp, x: xp.sum(xp.round(x) + x), [0.5, 2.0, -1.5]),
    _of_array("trunc at 0", lambda xp, x: xp.sum(xp.trunc(x) * x), [0.5, -0.5, 0.0]),
    _of_two("remainder at a multiple", lambda xp, x, y: xp.remainder(x, y), 6.0, 3.0),
    _of_two("atan2 on its branch cut", lambda xp, x, y: xp.atan2(x, y), 0.0, -1.0),
    _of_two("copysign of a zero", lambda xp, x, y: xp.copysign(x, y), 2.0, 0.0),
    _of_array("sqrt at 0", lambda xp, x: xp.sum(xp.sqrt(x)), [0.0, 2.0]),
    _of_array("asin at 1", lambda xp, x: xp.sum(xp.asin(x)), [1.0, 0.5]),
    _of_array("acosh at 1", lambda xp, x: xp.sum(xp.acosh(x)), [1.0, 2.0]),
    _of_array("log of a tiny number", lambda xp, x: xp.sum(xp.log(x)), [1e-300, 2.0]),
    _of_array(
        "log in a branch that ends at 0",
        lambda xp, x: xp.sum(xp.where(x > 0, xp.log(x), 0 * x)),
        [1.0, 0.0, 2.0],
    ),
    _of_array("one over a tiny number", lambda xp, x: xp.sum(1 / x), [1e-160, 2.0]),
    _of_array("norm of tiny numbers", lambda xp, x: xp.linalg.vector_norm(x), [3e-100, 4e-100]),
    _of_two("a negative base", lambda xp, x, y: xp.pow(x, y), -2.0, 3.0),
    _of_two("0**2", lambda xp, x, y: xp.pow(x, y), 0.0, 2.0),
    _of_array("saturated tanh", lambda xp, x: xp.sum(xp.tanh(x)), [20.0, 0.0, -400.0]),
    _of_array("saturated sigmoid", lambda xp, x: xp.sum(1 / (1 + xp.exp(-x))), [800.0, -30.0, 3.0]),
    _of_array(
        "softmax of huge logits", lambda xp, x: xp.sum(_stable_softmax(xp, x) ** 2), [1e3, 0]
    ),
    _of_array(
        "a poor loss at a large gap",
        lambda xp, x: -xp.log(_stable_softmax(xp, x)[1] + 1e-7),
        [20.0, 0.0],
    ),
    _of_two("logaddexp of equals", lambda xp, x, y: xp.logaddexp(x, y), 1e3, 1e3),
    _of_array("sin of huge numbers", lambda xp, x: xp.sum(xp.sin(x)), [1e8, 1e6]),
    _of_array("tan near its pole", lambda xp, x: xp.sum(xp.tan(x)), [1.57, 0.0]),
    _of_array("a square on a large offset", lambda xp, x: xp.sum(x**2) + 1e8, [1.0, 2.0]),
    _of_array("a constant", lambda xp, x: 0 * xp.sum(x) + 3.0, [1.0, 2.0]),
    _of_array(
        "inverse of a nearly singular matrix",
        lambda xp, x: xp.sum(xp.linalg.inv(x)),
        [[1.0, 2.0], [2.0, 4.001]],
    ),
)

DEFECTS = (
    _of_array(
        "det of a singular matrix",
        lambda xp, x: xp.linalg.det(x),
        [[1.0, 2.0], [2.0, 4.0]],
        ("torch",),
    ),
    _of_two("hypot of huge numbers", lambda xp, x, y: xp.hypot(x, y), 3e200, 4e200, ("jax",)),
    _of_two("remainder(3.3, 0.3)", lambda xp, x, y: xp.remainder(x, y), 3.3, 0.3, ("jax",)),
    _of_array(
        "NaN in the dead branch of a where",
        lambda xp, x: xp.sum(xp.where(x > 0, xp.sqrt(x), x)),
        [1.0, -1.0, 2.0],
        ("jax", "torch"),
    ),
    _of_array(
        "a kink of one branch where the other is taken",
        lambda xp, x: xp.sum(xp.where(x > 0, x, xp.exp(xp.minimum(x, 0 * x)) - 1)),
        [1.0, 0.0],
        ("jax", "torch"),
    ),
)
