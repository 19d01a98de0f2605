"""The laws of the operators: what they return is f and its derivatives, and they fit together.

A law raises AssertionError when it is broken.
"""

import numpy as np

from gradparity.backends.base import Backend
from gradparity.backends.pytrees import PyTree, flatten, leaf_names, tree_map, unflatten

from ..scenarios.scenario import Scenario
from .leaf_assertions import assert_close, tolerance


def value_equals_f(backend: Backend, scenario: Scenario) -> None:
    value, _ = backend.value_and_gradient(scenario.f)(scenario.params, *scenario.args)
    expected = scenario.f(scenario.params, *scenario.args)
    assert_close(backend.to_numpy(value), expected, tolerance(backend))


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
    assert_close(backend.to_numpy(gradient), unflatten(structure, differences), tolerance(backend))


def pushforward_is_the_derivative_along_the_tangent(backend: Backend, scenario: Scenario) -> None:
    tangent = _like(scenario.params, seed=1)
    output, pushed = backend.pushforward(scenario.f)(scenario.params, tangent, *scenario.args)
    assert_close(
        backend.to_numpy(output), scenario.f(scenario.params, *scenario.args), tolerance(backend)
    )
    assert_close(
        backend.to_numpy(pushed), _directional_difference(scenario, tangent), tolerance(backend)
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
    assert_close(_inner(cotangent, pushed), _inner(pulled, tangent), tolerance(backend))


def jacobian_times_tangent_is_the_pushforward(backend: Backend, scenario: Scenario) -> None:
    tangent = _like(scenario.params, seed=1)
    jacobian = backend.to_numpy(backend.jacobian(scenario.f)(scenario.params, *scenario.args))
    output, pushed = backend.to_numpy(
        backend.pushforward(scenario.f)(scenario.params, tangent, *scenario.args)
    )
    structure = flatten(output)[1]
    products = [_contract(row, tangent) for row in structure.flatten_up_to(jacobian)]
    assert_close(unflatten(structure, products), pushed, tolerance(backend))


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
    assert_close(unflatten(structure, products), product, 10 * tolerance(backend))


def hessian_is_symmetric_and_is_not_zero_where_f_curves(
    backend: Backend, scenario: Scenario
) -> None:
    left, right = _like(scenario.params, seed=1), _like(scenario.params, seed=2)
    product = backend.hessian_vector_product(scenario.f)
    along_left = backend.to_numpy(product(scenario.params, left, *scenario.args))
    along_right = backend.to_numpy(product(scenario.params, right, *scenario.args))
    assert_close(_inner(right, along_left), _inner(left, along_right), 10 * tolerance(backend))
    curvature = _curvature(scenario, left)
    assert_close(_inner(left, along_left), curvature, max(1e-4, 10 * tolerance(backend)))


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
