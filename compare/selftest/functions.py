"""Functions with right gradients to plant faults in: the shipped models and harder ones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator

from gradparity.models import Quadratic, SimpleNet, TwoLayerNet
from gradparity.models.functions import array_namespace

from ..conformance.scenarios import SCENARIOS

Point = tuple[Any, tuple[Any, ...]]


@dataclass(frozen=True)
class Subject:
    """A function and a way to draw points to differentiate it at.

    draw: gives (params, args) in float64; batch: samples that f is the mean of, 1 if of none
    """

    name: str
    f: Callable[..., Any] = field(repr=False)
    draw: Callable[[Generator], Point] = field(repr=False)
    batch: int = 1


def _layer_normalised(params: Any, x: Any) -> Any:
    xp = array_namespace(params["gain"])
    hidden = x @ params["W"]
    centred = hidden - xp.mean(hidden, axis=-1, keepdims=True)
    variance = xp.mean(centred**2, axis=-1, keepdims=True)
    normalised = centred / xp.sqrt(variance + 1e-5) * params["gain"] + params["bias"]
    return xp.mean(xp.tanh(normalised) ** 2 + 0.1 * normalised)


def _badly_scaled(params: Any) -> Any:
    xp = array_namespace(params["small"])
    return (
        xp.sum(xp.sin(params["small"] * 1e7))
        + xp.sum(xp.exp(params["middle"]))
        + xp.sum(xp.cos(params["large"] / 1e6))
    )


def _draw_layer(generator: Generator) -> Point:
    params = {
        "W": generator.normal(size=(6, 5)),
        "gain": 1.0 + 0.1 * generator.normal(size=5),
        "bias": 0.1 * generator.normal(size=5),
    }
    return params, (generator.normal(size=(8, 6)),)


def _draw_scales(generator: Generator) -> Point:
    return {
        "small": 1e-7 * generator.normal(size=7),
        "middle": generator.normal(size=(3, 4)),
        "large": 1e6 * generator.normal(size=5),
    }, ()


def _draw_net(net: TwoLayerNet, batch: int) -> Callable[[Generator], Point]:
    def draw(generator: Generator) -> Point:
        params = net.init(int(generator.integers(2**31)))
        x = generator.uniform(size=(batch, net.input_size))
        return params, (x, np.eye(net.output_size)[generator.integers(net.output_size, size=batch)])

    return draw


def _draw_simple(generator: Generator) -> Point:
    classes = np.eye(3)[generator.integers(3, size=4)]
    return SimpleNet().init(int(generator.integers(2**31))), (
        generator.normal(size=(4, 2)),
        classes,
    )


def _from_scenario(name: str) -> Callable[[Generator], Point]:
    """Draw points around those of a scenario."""
    (scenario,) = [scenario for scenario in SCENARIOS if scenario.name == name]

    def draw(generator: Generator) -> Point:
        params = {
            leaf: array + 0.3 * generator.normal(size=array.shape)
            for leaf, array in scenario.params.items()
        }
        return params, scenario.args

    return draw


def _scenario_function(name: str) -> Callable[..., Any]:
    return next(scenario.f for scenario in SCENARIOS if scenario.name == name)


POCKET_NET = TwoLayerNet(49, 10, 10, weight_init_std=0.3)
BOOK_NET = TwoLayerNet(784, 100, 10)

SUBJECTS = (
    Subject("Quadratic", Quadratic().loss, lambda generator: (generator.normal(size=2), ())),
    Subject("SimpleNet", SimpleNet().loss, _draw_simple, batch=4),
    Subject("TwoLayerNet 49-10-10", POCKET_NET.loss, _draw_net(POCKET_NET, 20), batch=20),
    Subject("TwoLayerNet 784-100-10", BOOK_NET.loss, _draw_net(BOOK_NET, 100), batch=100),
    Subject("attention", _scenario_function("attention"), _from_scenario("attention"), batch=4),
    Subject("layer normalisation", _layer_normalised, _draw_layer, batch=8),
    Subject(
        "log-likelihood", _scenario_function("log-likelihood"), _from_scenario("log-likelihood")
    ),
    Subject("badly scaled sum", _badly_scaled, _draw_scales),
)
