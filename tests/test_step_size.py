import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.step_size import automatic_steps


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


def test_no_step_is_zero_where_f_is():
    x = np.array([1.0, 2.0])

    def along_entry(entry):
        return lambda shift: (x[entry] + shift) ** 3 - x[entry] ** 3

    assert np.all(automatic_steps(along_entry, x) > 1e-7)
