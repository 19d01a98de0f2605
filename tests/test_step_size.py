import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.step_size import automatic_steps, moved_losses


@pytest.mark.parametrize(
    ("f", "x", "slopes"),
    [
        (lambda x: np.linalg.det(x), [[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
        (lambda x: np.sum(x * np.abs(x)), [1.0, 0.0, -1.0], [2.0, 0.0, 2.0]),
        (lambda x: np.sum(np.tanh(x)), [20.0, 0.0, -400.0], [0.0, 1.0, 0.0]),
    ],
    ids=["singular determinant", "signed square", "saturated tanh"],
)
def test_differences_are_right_where_f_itself_is_zero(f, x, slopes):
    value, gradient = get_backend("numerical").value_and_gradient(f)(np.asarray(x))
    assert value == 0
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)


def steps_of(f, x):
    """Return the automatic steps of f at one leaf."""
    with np.errstate(all="ignore"):
        return automatic_steps(moved_losses(f, x, ()), float(f(x)), [x])[0]


def test_no_step_is_zero_where_f_is():
    x = np.array([1.0, 2.0])
    assert np.all(steps_of(lambda y: np.sum(y**3 - x**3), x) > 1e-7)


@pytest.mark.parametrize("scale", [1e-150, 1e-120, 1e-107, 1.0, 1e107, 1e120, 1e150])
def test_functions_of_any_scale_have_steps_in_proportion(scale):
    x = scale * np.array([1.0, 2.0, -3.0])
    steps = steps_of(lambda y: np.sum((y / scale) ** 3), x)
    np.testing.assert_allclose(steps / scale, steps_of(lambda y: np.sum(y**3), x / scale), rtol=0.1)


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e-107, 1e107, 1e150, 1e200])
def test_gradients_are_right_at_any_scale(scale):
    x = scale * np.array([1.0, 2.0, 3.0])
    for method in ("loop", "structured"):
        backend = get_backend("numerical", method=method)
        _, gradient = backend.value_and_gradient(lambda y: np.sum(np.log(y)))(x)
        np.testing.assert_allclose(gradient * x, 1.0, rtol=1e-8)


def test_an_f_that_takes_no_notice_of_tiny_entries_is_soon_given_up():
    calls = []

    def f(x):
        calls.append(None)
        return float(np.sum(x))

    steps = steps_of(f, np.full(3, 1e-150))
    np.testing.assert_array_equal(steps, 2.0**-15)
    assert len(calls) < 1000
