"""The laws of the backend contract, one function each, for any backend and scenario.

A law raises AssertionError when it is broken. The conformance kit and the tests run them all.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.backends.base import Backend
from gradparity.backends.errors import GradparityError, InvalidParameters, NonScalarLoss
from gradparity.backends.pytrees import PyTree, flatten, leaf_names, tree_map, unflatten

from .scenarios import OUTPUT_SCENARIOS, SCENARIOS, Scenario

Law = Callable[[Backend, Scenario], None]

# Fourth-order differences of float64 values, and round-off of the dtype with room for the
# conditioning of the scenarios; a gradient off by a thousandth breaks both.
TOLERANCE = {"float64": 1e-6, "float32": 2e-4}


def value_equals_f(backend: Backend, scenario: Scenario) -> None:
    value, _ = backend.value_and_gradient(scenario.f)(scenario.params, *scenario.args)
    expected = scenario.f(scenario.params, *scenario.args)
    assert_close(backend.to_numpy(value), expected, TOLERANCE[backend.dtype])


def gradient_has_structure_shapes_and_dtypes_of_params(
    backend: Backend, scenario: Scenario
) -> None:
    params = backend.asarray(scenario.params)
    _, gradient = backend.value_and_gradient(scenario.f)(params, *scenario.args)
    leaves, structure = flatten(gradient)
    expected, expected_structure = flatten(params)
    assert structure == expected_structure, f"structure {structure}, not {expected_structure}"
    for name, leaf, param in zip(leaf_names(params), leaves, expected, strict=True):
        assert type(leaf) is type(param), f"{name}: {type(leaf)}, not {type(param)}"
        assert leaf.shape == param.shape, f"{name}: shape {leaf.shape}, not {param.shape}"
        assert leaf.dtype == param.dtype, f"{name}: dtype {leaf.dtype}, not {param.dtype}"
        assert backend.dtype in str(leaf.dtype), f"{name}: {leaf.dtype}, not {backend.dtype}"


def gradient_is_the_derivative(backend: Backend, scenario: Scenario) -> None:
    _, gradient = backend.value_and_gradient(scenario.f)(scenario.params, *scenario.args)
    leaves, structure = flatten(scenario.params)
    differences = [np.zeros(leaf.shape) for leaf in leaves]
    for position, leaf in enumerate(leaves):
        for entry in np.ndindex(leaf.shape):
            unit = [np.zeros(other.shape) for other in leaves]
            unit[position][entry] = 1.0
            differences[position][entry] = _directional_difference(
                scenario, unflatten(structure, unit)
            )
    assert_close(backend.to_numpy(gradient), unflatten(structure, differences), _bar(backend))


def pushforward_is_the_derivative_along_the_tangent(backend: Backend, scenario: Scenario) -> None:
    tangent = _like(scenario.params, seed=1)
    output, pushed = backend.pushforward(scenario.f)(scenario.params, tangent, *scenario.args)
    assert_close(
        backend.to_numpy(output), scenario.f(scenario.params, *scenario.args), _bar(backend)
    )
    assert_close(
        backend.to_numpy(pushed), _directional_difference(scenario, tangent), _bar(backend)
    )


def pushforward_and_pullback_are_adjoint(backend: Backend, scenario: Scenario) -> None:
    tangent = _like(scenario.params, seed=1)
    output, pushed = backend.to_numpy(
        backend.pushforward(scenario.f)(scenario.params, tangent, *scenario.args)
    )
    cotangent = _like(output, seed=2)
    _, pulled = backend.to_numpy(
        backend.pullback(scenario.f)(scenario.params, cotangent, *scenario.args)
    )
    assert_close(_inner(cotangent, pushed), _inner(pulled, tangent), _bar(backend))


def jacobian_times_tangent_is_the_pushforward(backend: Backend, scenario: Scenario) -> None:
    tangent = _like(scenario.params, seed=1)
    jacobian = backend.to_numpy(backend.jacobian(scenario.f)(scenario.params, *scenario.args))
    output, pushed = backend.to_numpy(
        backend.pushforward(scenario.f)(scenario.params, tangent, *scenario.args)
    )
    structure = flatten(output)[1]
    products = [_contract(row, tangent) for row in structure.flatten_up_to(jacobian)]
    assert_close(unflatten(structure, products), pushed, _bar(backend))


def hessian_vector_product_is_the_hessian_times_the_tangent(
    backend: Backend, scenario: Scenario
) -> None:
    tangent = _like(scenario.params, seed=1)
    hessian = backend.to_numpy(backend.hessian(scenario.f)(scenario.params, *scenario.args))
    product = backend.to_numpy(
        backend.hessian_vector_product(scenario.f)(scenario.params, tangent, *scenario.args)
    )
    structure = flatten(scenario.params)[1]
    products = [_contract(row, tangent) for row in structure.flatten_up_to(hessian)]
    # Second derivatives by differences keep about half the digits of float64.
    assert_close(unflatten(structure, products), product, 10 * _bar(backend))


def hessian_is_symmetric_and_is_not_zero_where_f_curves(
    backend: Backend, scenario: Scenario
) -> None:
    left, right = _like(scenario.params, seed=1), _like(scenario.params, seed=2)
    product = backend.hessian_vector_product(scenario.f)
    along_left = backend.to_numpy(product(scenario.params, left, *scenario.args))
    along_right = backend.to_numpy(product(scenario.params, right, *scenario.args))
    assert_close(_inner(right, along_left), _inner(left, along_right), 10 * _bar(backend))
    curvature = _curvature(scenario, left)
    assert_close(_inner(left, along_left), curvature, max(1e-4, 10 * _bar(backend)))


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
    assert_close(compiled, expected, _bar(backend) / 10)


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
    assert_close(backend.to_numpy(carry), looped, _bar(backend))
    assert_close(backend.to_numpy(values), np.asarray(expected), _bar(backend))


def integer_parameters_are_refused(backend: Backend, scenario: Scenario) -> None:
    integers = tree_map(lambda leaf: np.ones(leaf.shape, np.int64), scenario.params)
    _refuses(InvalidParameters, backend.value_and_gradient(scenario.f), (integers, *scenario.args))


def non_scalar_functions_are_refused(backend: Backend, scenario: Scenario) -> None:
    def vector(params: PyTree, *args: PyTree) -> Any:
        return backend.xp.reshape(scenario.f(params, *args), (1,))

    _refuses(NonScalarLoss, backend.value_and_gradient(vector), (scenario.params, *scenario.args))


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
    return tuple((law, scenario) for law in SCALAR_LAWS for scenario in SCENARIOS) + tuple(
        (law, scenario) for law in OUTPUT_LAWS for scenario in (*SCENARIOS, *OUTPUT_SCENARIOS)
    )


def assert_close(actual: PyTree, expected: PyTree, tolerance: float) -> None:
    """Compare leaf by leaf: the largest difference over the largest entry, 1 at least."""
    leaves, structure = flatten(actual)
    references, expected_structure = flatten(expected)
    assert structure == expected_structure, f"structure {structure}, not {expected_structure}"
    for name, leaf, reference in zip(leaf_names(expected), leaves, references, strict=True):
        got, want = np.asarray(leaf, np.float64), np.asarray(reference, np.float64)
        assert got.shape == want.shape, f"leaf {name}: shape {got.shape}, not {want.shape}"
        if not got.size:
            continue
        difference = float(np.max(np.abs(got - want)))
        scale = max(1.0, float(np.max(np.abs(want))))
        assert difference <= tolerance * scale, (  # false for NaN, as it should be
            f"leaf {name or '(bare)'}: off by {difference:.3g}, "
            f"more than {tolerance:.0e} of {scale:.3g}"
        )


def assert_equal(actual: PyTree, expected: PyTree) -> None:
    """Compare leaf by leaf, to the last bit."""
    for name, leaf, reference in zip(
        leaf_names(expected), flatten(actual)[0], flatten(expected)[0], strict=True
    ):
        assert np.array_equal(leaf, reference), f"leaf {name or '(bare)'} was changed"


def _bar(backend: Backend) -> float:
    return TOLERANCE[backend.dtype]


def _like(tree: PyTree, seed: int) -> PyTree:
    generator = np.random.default_rng(seed)
    return tree_map(lambda leaf: generator.normal(size=np.shape(leaf)), tree)


def _inner(left: PyTree, right: PyTree) -> float:
    pairs = zip(flatten(left)[0], flatten(right)[0], strict=True)
    return float(sum(np.sum(np.asarray(a) * np.asarray(b)) for a, b in pairs))


def _contract(row: PyTree, tangent: PyTree) -> np.ndarray:
    pairs = zip(flatten(row)[0], flatten(tangent)[0], strict=True)
    return np.asarray(sum(np.tensordot(block, v, axes=np.ndim(v)) for block, v in pairs))


def _moved(scenario: Scenario, tangent: PyTree, step: float) -> PyTree:
    params = tree_map(lambda x, v: x + step * v, scenario.params, tangent)
    return scenario.f(params, *scenario.args)


def _directional_difference(scenario: Scenario, tangent: PyTree, step: float = 1e-3) -> PyTree:
    """Difference NumPy values at fourth order: truncation 1e-12, round-off 1e-13 over f's size."""
    f = {k: _moved(scenario, tangent, k * step) for k in (-2, -1, 1, 2)}
    return tree_map(
        lambda a, b, c, d: (8 * (np.asarray(c) - b) - (np.asarray(d) - a)) / (12 * step),
        f[-2],
        f[-1],
        f[1],
        f[2],
    )


def _curvature(scenario: Scenario, tangent: PyTree, step: float = 1e-3) -> float:
    f = {k: float(_moved(scenario, tangent, k * step)) for k in (-2, -1, 0, 1, 2)}
    return (16 * (f[1] + f[-1]) - (f[2] + f[-2]) - 30 * f[0]) / (12 * step**2)


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
