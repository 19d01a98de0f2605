"""What people really hand to a backend: odd arrays work, wrong ones are refused by name."""

import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends.errors import (
    ImpureFunction,
    InvalidParameters,
    NonScalarLoss,
    ShapeMismatch,
)


def sum_of_squares(x, *args):
    return array_namespace(x).sum(x**2)


def gradient(backend, f, params, *args):
    return backend.to_numpy(backend.value_and_gradient(f)(params, *args)[1])


ODD_ARRAYS = {
    "negative strides": lambda: np.arange(6.0)[::-1],
    "a transposed view": lambda: np.arange(6.0).reshape(2, 3).T,
    "big-endian": lambda: np.arange(6.0).astype(">f8"),
    "Fortran order": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every second entry": lambda: np.arange(12.0)[::2],
    "no entries": lambda: np.zeros((0, 3)),
    "no dimensions": lambda: np.asarray(3.0),
    "a Python float": lambda: 3.0,
    "a NumPy scalar": lambda: np.float64(3.0),
}


@pytest.mark.parametrize("kind", ODD_ARRAYS)
def test_odd_arrays_are_differentiated_like_plain_ones(backend, kind):
    array = ODD_ARRAYS[kind]()
    np.testing.assert_allclose(
        gradient(backend, sum_of_squares, array), 2 * np.asarray(array, float), atol=1e-8
    )


def test_a_read_only_array_is_differentiated(backend):
    array = np.arange(3.0)
    array.flags.writeable = False
    np.testing.assert_allclose(gradient(backend, sum_of_squares, array), 2 * array, atol=1e-8)


def test_arguments_may_have_any_layout(backend):
    def weighted(x, weights):
        return array_namespace(x).sum(x * weights)

    weights = np.arange(6.0)[::-1].astype(">f8")
    np.testing.assert_allclose(gradient(backend, weighted, np.ones(6), weights), weights, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, bool])
def test_parameters_without_fractions_are_refused_by_name(backend, dtype):
    params = {"layers": [{"W": np.ones(3)}, {"W": np.ones(3, dtype)}]}
    with pytest.raises(InvalidParameters, match=r"layers\[1\]\.W.*expected float32 or float64"):
        backend.value_and_gradient(lambda params: sum_of_squares(params["layers"][0]["W"]))(params)


@pytest.mark.parametrize("leaf", [np.ones(2) + 1j, "text", np.array([None])])
def test_parameters_that_are_no_real_numbers_are_refused(backend, leaf):
    with pytest.raises(InvalidParameters, match="W.*expected"):
        backend.asarray({"W": leaf})
    with pytest.raises(InvalidParameters, match="expected"):
        backend.value_and_gradient(lambda params: 0.0)({"W": leaf})


@pytest.mark.parametrize(
    ("f", "got"),
    [
        (lambda x: x, r"shape \(3,\)"),
        (lambda x: x[:1], r"shape \(1,\)"),
        (lambda x: None, "None"),
        (lambda x: x[0] > 0, "dtype"),
        (lambda x: "text", "text"),
    ],
)
def test_a_loss_that_is_no_real_scalar_is_refused(backend, f, got):
    with pytest.raises(NonScalarLoss, match=got):
        backend.value_and_gradient(f)(np.arange(3.0))


def test_a_constant_loss_has_gradient_zero(backend):
    value, slope = backend.value_and_gradient(lambda x: 2.5)(np.arange(3.0))
    assert float(value) == 2.5
    np.testing.assert_array_equal(backend.to_numpy(slope), np.zeros(3))


def test_mismatched_tangents_and_cotangents_are_refused_by_name(backend):
    params = {"W": np.ones((2, 3)), "b": np.ones(3)}

    def f(params):
        return params["W"] + params["b"]

    with pytest.raises(ShapeMismatch, match=r"W.*\(3, 2\).*\(2, 3\)"):
        backend.pushforward(f)(params, {"W": np.ones((3, 2)), "b": np.ones(3)})
    with pytest.raises(ShapeMismatch, match="structure"):
        backend.pushforward(f)(params, {"W": np.ones((2, 3))})
    with pytest.raises(ShapeMismatch, match=r"\(6,\).*\(2, 3\)"):
        backend.pullback(f)(params, np.ones(6))


def test_nan_parameters_give_a_nan_gradient_not_a_number(backend):
    slope = gradient(backend, sum_of_squares, np.asarray([1.0, np.nan]))
    assert np.isnan(slope[1])
    value, _ = backend.value_and_gradient(sum_of_squares)(np.asarray([1.0, np.nan]))
    assert np.isnan(float(value))


def test_an_exception_in_f_comes_through_and_leaves_the_input_alone(backend):
    params, calls = np.arange(3.0), []

    def fails(x):
        calls.append(1)
        if len(calls) > (3 if backend.name == "numerical" else 0):
            raise LookupError("planted")
        return sum_of_squares(x)

    with pytest.raises(LookupError, match="planted"):
        backend.value_and_gradient(fails)(params)
    np.testing.assert_array_equal(params, np.arange(3.0))


def changes_its_parameters(x, weights):
    x += 1.0
    return array_namespace(x).sum(x * weights)


def changes_its_argument(x, weights):
    weights += 1.0
    return array_namespace(x).sum(x * weights)


@pytest.mark.parametrize("f", [changes_its_parameters, changes_its_argument])
def test_an_impure_function_cannot_change_its_inputs(backend, f):
    params, weights = np.arange(3.0), np.ones(3)
    native = backend.asarray((params, weights))
    for inputs in ((params, weights), native):
        if backend.name == "jax":  # its arrays cannot be changed: += makes new ones
            expected = weights + (f is changes_its_argument)
            np.testing.assert_allclose(gradient(backend, f, *inputs), expected)
        else:
            with pytest.raises((ImpureFunction, RuntimeError), match="in.place"):
                backend.value_and_gradient(f)(*inputs)
    np.testing.assert_array_equal(params, np.arange(3.0))
    np.testing.assert_array_equal(weights, np.ones(3))
    np.testing.assert_array_equal(backend.to_numpy(native[0]), np.arange(3.0))
    np.testing.assert_array_equal(backend.to_numpy(native[1]), np.ones(3))


def test_changing_the_numpy_array_afterwards_does_not_reach_a_compiled_call(backend):
    compiled = backend.compile(backend.value_and_gradient(sum_of_squares))
    # Large enough that an engine which reads late is still reading; differences read at once.
    size = 100 if backend.name == "numerical" else 1_000_000
    params = np.ones(size)
    value, slope = compiled(params)
    params[...] = np.nan
    assert float(value) == size
    assert np.all(np.abs(backend.to_numpy(slope)[:3] - 2.0) < 1e-6)


def test_python_numbers_and_strings_among_the_arguments_stay_as_they_are(backend):
    def power(x, exponent, how):
        assert isinstance(exponent, int)
        assert how == "sum"
        return array_namespace(x).sum(x**exponent)

    np.testing.assert_allclose(
        gradient(backend, power, np.arange(3.0), 3, "sum"), 3 * np.arange(3.0) ** 2, atol=1e-7
    )
