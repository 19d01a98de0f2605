"""Every law of the contract on every backend, and for every law a backend that breaks it."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest

from gradparity.backends.base import Backend
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import tree_map
from gradparity.compare.conformance import laws
from gradparity.compare.scenarios.functions import OUTPUT_SCENARIOS, SCENARIOS

pytestmark = pytest.mark.gradcheck


def cases(dtype: str) -> list:
    return [
        pytest.param(law, scenario, id=f"{law.__name__}-{scenario.name}")
        for law, scenario in laws.law_cases(dtype)
    ]


@pytest.mark.parametrize(("law", "scenario"), cases("float64"))
def test_a_backend_keeps_the_law(backend, law, scenario):
    law(backend, scenario)


@pytest.mark.parametrize(("law", "scenario"), cases("float32"))
def test_a_backend_keeps_the_law_in_float32(backend_name, load_backend, law, scenario):
    law(load_backend(backend_name, dtype="float32"), scenario)


class Honest(NumericalDifference):
    """What the liars below start from."""

    name: ClassVar[str] = "liar"


class LiesAboutTheValue(Honest):
    def differentiate(self, f):
        honest = super().differentiate(f)
        return lambda params, *args: (honest(params, *args)[0] * 1.001, honest(params, *args)[1])


class Scaled(Honest):
    def differentiate(self, f):
        honest = super().differentiate(f)

        def scaled(params, *args):
            value, gradient = honest(params, *args)
            return value, tree_map(lambda leaf: leaf * 1.001, gradient)

        return scaled


class Flattens(Honest):
    def differentiate(self, f):
        honest = super().differentiate(f)

        def flattens(params, *args):
            value, gradient = honest(params, *args)
            return value, tree_map(np.ravel, gradient)

        return flattens


class PushesTwice(Honest):
    def pushforward(self, f):
        honest = super().pushforward(f)

        def twice(params, tangent, *args):
            output, pushed = honest(params, tangent, *args)
            return output, tree_map(lambda leaf: 2 * leaf, pushed)

        return twice


class PullsNothing(Honest):
    def pullback(self, f):
        honest = super().pullback(f)

        def nothing(params, cotangent, *args):
            output, pulled = honest(params, cotangent, *args)
            return output, tree_map(np.zeros_like, pulled)

        return nothing


class TransposesJacobians(Honest):
    def jacobian(self, f):
        honest = super().jacobian(f)
        return lambda params, *args: tree_map(lambda block: block[..., ::-1], honest(params, *args))


class HasNoCurvature(Honest):
    def hessian_vector_product(self, f):
        return lambda params, tangent, *args: tree_map(np.zeros_like, params)


class ChangesItsInput(Honest):
    def value_and_gradient(self, f):
        honest = super().value_and_gradient(f)

        def changes(params, *args):
            answer = honest(params, *args)
            tree_map(lambda leaf: leaf.__iadd__(1.0), params)
            return answer

        return changes


class LendsItsInput(Honest):
    def _adopt(self, leaf):
        return leaf


class Wavers(Honest):
    def differentiate(self, f):
        honest, generator = super().differentiate(f), np.random.default_rng(0)
        return lambda params, *args: tree_map(
            lambda leaf: leaf + 1e-12 * generator.normal(), honest(params, *args)
        )


class Miscompiles(Honest):
    def compile(self, f):
        return lambda *args: tree_map(lambda leaf: leaf * 1.01, f(*args))


class Aliases(Honest):
    def asarray(self, tree: Any) -> Any:
        return tree


class SkipsTheLastStep(Honest):
    def scan(self, step, carry, batches, *constants):
        return super().scan(step, carry, batches[:-1], *constants)


class TakesIntegers(Honest):
    def value_and_gradient(self, f):
        honest = super().value_and_gradient(f)
        return lambda params, *args: honest(tree_map(np.float64, params), *args)


class TakesVectors(Honest):
    def value_and_gradient(self, f):
        return super().value_and_gradient(lambda *args: np.sum(f(*args)))


LIES = [
    (laws.value_equals_f, LiesAboutTheValue),
    (laws.gradient_has_structure_shapes_and_dtypes_of_params, Flattens),
    (laws.gradient_is_the_derivative, Scaled),
    (laws.pushforward_is_the_derivative_along_the_tangent, PushesTwice),
    (laws.pushforward_and_pullback_are_adjoint, PullsNothing),
    (laws.jacobian_times_tangent_is_the_pushforward, TransposesJacobians),
    (laws.hessian_vector_product_is_the_hessian_times_the_tangent, HasNoCurvature),
    (laws.hessian_is_symmetric_and_is_not_zero_where_f_curves, HasNoCurvature),
    (laws.inputs_are_never_changed, ChangesItsInput),
    (laws.inputs_survive_a_function_that_writes_into_them, LendsItsInput),
    (laws.two_calls_give_the_same_answer, Wavers),
    (laws.compiling_changes_nothing_but_round_off, Miscompiles),
    (laws.copies_are_private, Aliases),
    (laws.scan_is_a_loop, SkipsTheLastStep),
    (laws.integer_parameters_are_refused, TakesIntegers),
    (laws.non_scalar_functions_are_refused, TakesVectors),
]


@pytest.mark.parametrize(("law", "liar"), LIES, ids=lambda value: value.__name__)
def test_a_backend_that_breaks_the_law_is_caught(law, liar):
    scenario = (
        OUTPUT_SCENARIOS[0]
        if law in laws.OUTPUT_LAWS
        else next(scenario for scenario in SCENARIOS if scenario.name == "network")
    )
    # A liar that hands out what it was given changes it for all tests that follow.
    params, args = tree_map(np.array, (scenario.params, scenario.args))
    copy = dataclasses.replace(scenario, params=params, args=args)
    law(Honest(), copy)
    with pytest.raises(AssertionError):
        law(liar(), copy)


def test_every_law_has_its_liar():
    assert {law for law, _ in LIES} == {*laws.SCALAR_LAWS, *laws.OUTPUT_LAWS}
    assert all(issubclass(liar, Backend) for _, liar in LIES)
