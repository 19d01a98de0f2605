"""The laws of use: a backend runs gradparity's own models, and a step of their training.

A law raises AssertionError when it is broken.
"""

from typing import Any

import numpy as np

from gradparity.backends.base import Backend
from gradparity.backends.pytrees import tree_map

from ..scenarios.scenario import Scenario
from .leaf_assertions import assert_close, tolerance

# What models, laws and derived operators call on `xp`, beside operators, indexing and .shape.
NEEDED_FUNCTIONS = (
    "arange argmax asarray astype cos exp isdtype log max maximum mean ones_like permute_dims "
    "reshape sin stack sum take tanh tensordot where zeros_like"
).split()


def namespace_has_what_is_needed(backend: Backend, scenario: Scenario) -> None:
    xp = backend.xp
    missing = [name for name in NEEDED_FUNCTIONS if not callable(getattr(xp, name, None))]
    assert not missing, f"xp lacks {', '.join(missing)}"
    array = backend.asarray(np.ones(2))
    assert xp.isdtype(array.dtype, "real floating"), f"{array.dtype} is not 'real floating'"
    moved = xp.asarray(np.ones(2), device=getattr(array, "device", None))
    assert tuple(moved.shape) == (2,), f"asarray(device=) gives shape {tuple(moved.shape)}"


def models_predict(backend: Backend, scenario: Scenario) -> None:
    model: Any = getattr(scenario.f, "__self__", None)
    params, args = backend.asarray(scenario.params), backend.asarray(scenario.args)
    for name in ("predict", "accuracy"):
        if not hasattr(model, name):
            continue
        given = args[:1] if name == "predict" else args
        numpy_given = scenario.args[: len(given)]
        got = backend._scoped(getattr(model, name))(params, *given)
        expected = getattr(model, name)(scenario.params, *numpy_given)
        assert_close(np.asarray(backend.to_numpy(got)), expected, tolerance(backend))


def a_training_step_is_params_minus_rate_times_gradient(
    backend: Backend, scenario: Scenario
) -> None:
    rate = 1e-2
    params, args = backend.asarray(scenario.params), backend.asarray(scenario.args)
    step = backend.compile(backend.value_and_gradient(scenario.f))
    value, gradient = step(params, *args)
    moved = backend._scoped(backend.descend)(params, gradient, rate)
    expected = tree_map(
        lambda leaf, slope: leaf - rate * slope, scenario.params, backend.to_numpy(gradient)
    )
    assert_close(backend.to_numpy(moved), expected, tolerance(backend))
    lower, _ = step(moved, *args)
    before, after = (float(np.asarray(backend.to_numpy(loss))) for loss in (value, lower))
    assert after < before, f"a step of {rate} leads from a loss of {before:.6g} to {after:.6g}"
