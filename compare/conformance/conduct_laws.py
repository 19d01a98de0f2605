"""The laws of conduct: a backend leaves inputs alone, repeats itself, and refuses what it must.

A law raises AssertionError when it is broken.
"""

import contextlib
from typing import Any

import numpy as np

from gradparity.backends.base import Backend
from gradparity.backends.errors import GradparityError, InvalidParameters, NonScalarLoss
from gradparity.backends.pytrees import PyTree, flatten, tree_map

from ..scenarios.scenario import Scenario
from .leaf_assertions import assert_close, assert_equal, tolerance


def inputs_are_never_changed(backend: Backend, scenario: Scenario) -> None:
    native = backend.asarray((scenario.params, scenario.args))
    before = tree_map(np.array, (scenario.params, scenario.args))
    for params, args in ((scenario.params, scenario.args), native):
        backend.wait(backend.value_and_gradient(scenario.f)(params, *args))
        _raises_within(backend, scenario.f, params, args)
    assert_equal((scenario.params, scenario.args), before)
    assert_equal(backend.to_numpy(native), backend.to_numpy(backend.asarray(before)))


def inputs_survive_a_function_that_writes_into_them(backend: Backend, scenario: Scenario) -> None:
    native = backend.asarray((scenario.params, scenario.args))
    before = tree_map(np.array, (scenario.params, scenario.args))
    for params, args in ((scenario.params, scenario.args), native):
        with contextlib.suppress(Exception):  # refusing such a function is as good
            backend.wait(backend.value_and_gradient(_writing(scenario.f))(params, *args))
    assert_equal((scenario.params, scenario.args), before)
    assert_equal(backend.to_numpy(native), backend.to_numpy(backend.asarray(before)))


def two_calls_give_the_same_answer(backend: Backend, scenario: Scenario) -> None:
    value_and_gradient = backend.value_and_gradient(scenario.f)
    first = backend.to_numpy(value_and_gradient(scenario.params, *scenario.args))
    second = backend.to_numpy(value_and_gradient(scenario.params, *scenario.args))
    assert_equal(first, second)


def compiling_changes_nothing_but_round_off(backend: Backend, scenario: Scenario) -> None:
    plain = backend.value_and_gradient(scenario.f)
    params, args = backend.asarray(scenario.params), backend.asarray(scenario.args)
    expected = backend.to_numpy(plain(params, *args))
    compiled = backend.to_numpy(backend.compile(plain)(params, *args))
    assert_close(compiled, expected, tolerance(backend) / 10)


def copies_are_private(backend: Backend, scenario: Scenario) -> None:
    source = tree_map(np.array, scenario.params)
    native = backend.asarray(source)
    expected = backend.to_numpy(native)
    taken = backend.to_numpy(native)
    for leaf in (*flatten(source)[0], *flatten(taken)[0]):
        leaf[...] = np.nan
    assert_equal(backend.to_numpy(native), expected)


def scan_is_a_loop(backend: Backend, scenario: Scenario) -> None:
    value_and_gradient = backend.value_and_gradient(scenario.f)

    def step(params: PyTree, rate: Any, *args: PyTree) -> tuple[PyTree, Any]:
        value, gradient = value_and_gradient(params, *args)
        return tree_map(lambda leaf, slope: leaf - rate * slope, params, gradient), value

    rates = backend.asarray(np.asarray([1e-3, 2e-3, 1e-3]))
    params, args = backend.asarray(scenario.params), backend.asarray(scenario.args)
    carry, values = backend.scan(step, params, rates, *args)
    looped, expected = scenario.params, []
    for rate in (1e-3, 2e-3, 1e-3):
        value, gradient = backend.to_numpy(value_and_gradient(looped, *scenario.args))
        looped = tree_map(lambda leaf, slope, r=rate: leaf - r * slope, looped, gradient)
        expected.append(value)
    assert_close(backend.to_numpy(carry), looped, tolerance(backend))
    assert_close(backend.to_numpy(values), np.asarray(expected), tolerance(backend))


def integer_parameters_are_refused(backend: Backend, scenario: Scenario) -> None:
    integers = tree_map(lambda leaf: np.ones(leaf.shape, np.int64), scenario.params)
    _refuses(InvalidParameters, backend.value_and_gradient(scenario.f), (integers, *scenario.args))


def non_scalar_functions_are_refused(backend: Backend, scenario: Scenario) -> None:
    def vector(params: PyTree, *args: PyTree) -> Any:
        return backend.xp.reshape(scenario.f(params, *args), (1,))

    _refuses(NonScalarLoss, backend.value_and_gradient(vector), (scenario.params, *scenario.args))


def _raises_within(backend: Backend, f: Any, params: PyTree, args: Any) -> None:
    calls = 0

    def fails_at_the_second_call(params: PyTree, *args: PyTree) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ArithmeticError("planted")
        return f(params, *args)

    value_and_gradient = backend.value_and_gradient(fails_at_the_second_call)
    try:
        for _ in range(2):
            value_and_gradient(params, *args)
    except ArithmeticError:
        return
    raise AssertionError("an exception inside f was swallowed")


def _writing(f: Any) -> Any:
    """Return f with an assignment into each of its inputs that allows one."""

    def writing(params: PyTree, *args: PyTree) -> Any:
        value = f(params, *args)
        for leaf in flatten((params, args))[0]:
            with contextlib.suppress(Exception):
                leaf[...] = 0.0
        return value

    return writing


def _refuses(kind: type[GradparityError], operator: Any, arguments: tuple[Any, ...]) -> None:
    try:
        operator(*arguments)
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, but nothing was raised")
