"""Functions to differentiate, as data: written once over the array API, for every backend."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace


@dataclass(frozen=True)
class Scenario:
    """A function with the parameters and arguments to differentiate it at.

    f: `f(params, *args)`, a scalar or a pytree of arrays; params: pytree of float64 NumPy arrays
    """

    name: str
    f: Callable[..., Any] = field(repr=False)
    params: Any = field(repr=False)
    args: tuple[Any, ...] = field(default=(), repr=False)


def _draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def _polynomial(x: Any) -> Any:
    return 0.01 * x**2 + 0.1 * x


def _rosenbrock(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def _network(params: Any, x: Any, targets: Any) -> Any:
    xp = array_namespace(params["W1"])
    hidden = xp.tanh(x @ params["W1"] + params["b1"])
    return xp.mean((hidden @ params["W2"] + params["b2"] - targets) ** 2)


def _nested(params: Any) -> Any:
    xp = array_namespace(params["scale"])
    total = params["scale"] * 0.0
    for layer in params["layers"]:
        total = total + xp.sum(xp.exp(-(layer["W"] ** 2)) * layer["b"])
    return total * params["scale"]


def _ignores_a_leaf(params: Any) -> Any:
    return array_namespace(params["used"]).sum(params["used"] ** 3)


def _broadcast(params: Any, x: Any) -> Any:
    xp = array_namespace(params["row"])
    return xp.sum(xp.sin(x * params["row"] + params["column"]))


def _selected(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.sum(xp.where(x > 0.0, x**2, -xp.sin(x))) + x[1] * x[-1]


def _log_likelihood(params: Any, x: Any) -> Any:
    xp = array_namespace(params["mean"])
    standardised = (x - params["mean"]) / xp.exp(params["log_std"])
    return -0.5 * xp.sum(standardised**2) - x.shape[0] * xp.sum(params["log_std"])


def _softmax_attention(params: Any, x: Any) -> Any:
    xp = array_namespace(params["query"])
    scores = (x @ params["query"]) @ xp.matrix_transpose(x @ params["key"])
    weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    weights = weights / xp.sum(weights, axis=-1, keepdims=True)
    return xp.mean((weights @ (x @ params["value"])) ** 2)


def _vector_valued(params: Any, x: Any) -> Any:
    xp = array_namespace(params["W"])
    return xp.tanh(x @ params["W"])


def _tree_valued(params: Any, x: Any) -> Any:
    xp = array_namespace(params["W"])
    product = x @ params["W"]
    return {"norms": xp.sum(product**2, axis=0), "total": xp.sum(xp.cos(product))}


SCENARIOS = (
    Scenario("polynomial of one number", _polynomial, np.asarray(5.0)),
    Scenario("rosenbrock", _rosenbrock, _draw(6)),
    Scenario(
        "network",
        _network,
        {"W1": _draw(4, 5), "b1": _draw(5), "W2": _draw(5, 2), "b2": _draw(2)},
        (_draw(7, 4), _draw(7, 2)),
    ),
    Scenario(
        "nested pytree",
        _nested,
        {
            "layers": [{"W": _draw(2, 3), "b": _draw(3)}, {"W": _draw(3, 2), "b": _draw(2)}],
            "scale": np.asarray(1.7),
        },
    ),
    Scenario("unused leaf", _ignores_a_leaf, {"used": _draw(3), "unused": _draw(2, 2)}),
    Scenario("broadcast", _broadcast, {"row": _draw(4), "column": _draw(3, 1)}, (_draw(3, 4),)),
    Scenario("where and indexing", _selected, _draw(5)),
    Scenario(
        "log-likelihood", _log_likelihood, {"mean": _draw(3), "log_std": _draw(3)}, (_draw(9, 3),)
    ),
    Scenario(
        "attention",
        _softmax_attention,
        {name: _draw(3, 3, seed=k) for k, name in enumerate(("query", "key", "value"))},
        (_draw(4, 3),),
    ),
)

OUTPUT_SCENARIOS = (
    Scenario("vector output", _vector_valued, {"W": _draw(3, 2)}, (_draw(2, 3),)),
    Scenario("pytree output", _tree_valued, {"W": _draw(3, 2)}, (_draw(2, 3),)),
)
