"""The laws of the backend contract, and the scenarios that each of them speaks about.

The conformance kit and the tests run them all.
"""

from collections.abc import Callable

from gradparity.backends.base import Backend

from ..scenarios.functions import OUTPUT_SCENARIOS, SCENARIOS
from ..scenarios.models import MODELS
from ..scenarios.scenario import Scenario
from .conduct_laws import (
    compiling_changes_nothing_but_round_off,
    copies_are_private,
    inputs_are_never_changed,
    inputs_survive_a_function_that_writes_into_them,
    integer_parameters_are_refused,
    non_scalar_functions_are_refused,
    scan_is_a_loop,
    two_calls_give_the_same_answer,
)
from .derivative_laws import (
    gradient_has_structure_shapes_and_dtypes_of_params,
    gradient_is_the_derivative,
    hessian_is_symmetric_and_is_not_zero_where_f_curves,
    hessian_vector_product_is_the_hessian_times_the_tangent,
    jacobian_times_tangent_is_the_pushforward,
    pushforward_and_pullback_are_adjoint,
    pushforward_is_the_derivative_along_the_tangent,
    value_equals_f,
)
from .model_laws import (
    a_training_step_is_params_minus_rate_times_gradient,
    models_predict,
    namespace_has_what_is_needed,
)

Law = Callable[[Backend, Scenario], None]

SCALAR_LAWS: tuple[Law, ...] = (
    value_equals_f,
    gradient_has_structure_shapes_and_dtypes_of_params,
    gradient_is_the_derivative,
    hessian_vector_product_is_the_hessian_times_the_tangent,
    hessian_is_symmetric_and_is_not_zero_where_f_curves,
    inputs_are_never_changed,
    inputs_survive_a_function_that_writes_into_them,
    two_calls_give_the_same_answer,
    compiling_changes_nothing_but_round_off,
    copies_are_private,
    scan_is_a_loop,
    integer_parameters_are_refused,
    non_scalar_functions_are_refused,
)
OUTPUT_LAWS: tuple[Law, ...] = (
    pushforward_is_the_derivative_along_the_tangent,
    pushforward_and_pullback_are_adjoint,
    jacobian_times_tangent_is_the_pushforward,
)

# On all but the book's net, which differences would take long for.
MODEL_LAWS: tuple[Law, ...] = (
    value_equals_f,
    models_predict,
    a_training_step_is_params_minus_rate_times_gradient,
)

# What survives the digits of float32: second derivatives by differences do not.
FLOAT32_LAWS: tuple[Law, ...] = (
    value_equals_f,
    gradient_has_structure_shapes_and_dtypes_of_params,
    gradient_is_the_derivative,
    scan_is_a_loop,
)


def law_cases(dtype: str = "float64") -> tuple[tuple[Law, Scenario], ...]:
    """Pair every law that holds in the dtype with the scenarios it speaks about."""
    if dtype == "float32":
        return tuple((law, scenario) for law in FLOAT32_LAWS for scenario in SCENARIOS)
    return (
        (namespace_has_what_is_needed, SCENARIOS[0]),
        *((law, scenario) for law in SCALAR_LAWS for scenario in SCENARIOS),
        *((law, scenario) for law in OUTPUT_LAWS for scenario in (*SCENARIOS, *OUTPUT_SCENARIOS)),
        *((law, scenario) for law in MODEL_LAWS for scenario in MODELS[:3]),
    )
