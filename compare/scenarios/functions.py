"""Small functions of many kinds, written once over the array API: every law is tried on each."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .layers import attended
from .scenario import Scenario, normal


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
    projected = (x @ params[name] for name in ("query", "key", "value"))
    return xp.mean(attended(*projected) ** 2)


def _vector_valued(params: Any, x: Any) -> Any:
    xp = array_namespace(params["W"])
    return xp.tanh(x @ params["W"])


def _tree_valued(params: Any, x: Any) -> Any:
    xp = array_namespace(params["W"])
    product = x @ params["W"]
    return {"norms": xp.sum(product**2, axis=0), "total": xp.sum(xp.cos(product))}


SCENARIOS = (
    Scenario("polynomial of one number", _polynomial, np.asarray(5.0)),
    Scenario("rosenbrock", _rosenbrock, normal(6)),
    Scenario(
        "network",
        _network,
        {"W1": normal(4, 5), "b1": normal(5), "W2": normal(5, 2), "b2": normal(2)},
        (normal(7, 4), normal(7, 2)),
    ),
    Scenario(
        "nested pytree",
        _nested,
        {
            "layers": [{"W": normal(2, 3), "b": normal(3)}, {"W": normal(3, 2), "b": normal(2)}],
            "scale": np.asarray(1.7),
        },
    ),
    Scenario("unused leaf", _ignores_a_leaf, {"used": normal(3), "unused": normal(2, 2)}),
    Scenario("broadcast", _broadcast, {"row": normal(4), "column": normal(3, 1)}, (normal(3, 4),)),
    Scenario("where and indexing", _selected, normal(5)),
    Scenario(
        "log-likelihood",
        _log_likelihood,
        {"mean": normal(3), "log_std": normal(3)},
        (normal(9, 3),),
    ),
    Scenario(
        "attention",
        _softmax_attention,
        {name: normal(3, 3, seed=k) for k, name in enumerate(("query", "key", "value"))},
        (normal(4, 3),),
        batch=4,
    ),
)

OUTPUT_SCENARIOS = (
    Scenario("vector output", _vector_valued, {"W": normal(3, 2)}, (normal(2, 3),)),
    Scenario("pytree output", _tree_valued, {"W": normal(3, 2)}, (normal(2, 3),)),
)
