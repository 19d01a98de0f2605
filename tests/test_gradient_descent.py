import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidParameters, InvalidSetting, NonScalarLoss
from gradparity.models import Quadratic, SimpleNet, gradient_descent

START = (-3.0, 4.0)


def descend(backend, start=START, f=None, **settings):
    return gradient_descent(f or Quadratic().loss, np.array(start), backend=backend, **settings)


def test_a_good_learning_rate_reaches_the_reference_minimum(backend):
    end = descend(backend, learning_rate=0.1).end
    np.testing.assert_allclose(end, [-6.11110793e-10, 8.14814391e-10], rtol=1e-7)


def test_a_tiny_learning_rate_hardly_moves_from_where_it_was_told_to_start(backend):
    start = np.array(START)
    descend(backend, start, learning_rate=10.0)
    end = descend(backend, start, learning_rate=1e-10).end
    # The notebooks, which change the start in place, print where lr=10 had ended.
    np.testing.assert_allclose(end, [-2.99999994, 3.99999992], rtol=0, atol=5e-9)
    assert start.tolist() == list(START)


def test_a_large_learning_rate_diverges_as_the_closed_form_does(load_backend, backend_name):
    backend = load_backend(backend_name)
    # x - 10 * 2x = -19x at each step
    np.testing.assert_allclose(
        descend(backend, learning_rate=10.0).end, np.array(START) * 19.0**100, rtol=1e-6
    )


def test_the_step_of_the_book_stops_growing_where_it_is_lost_in_round_off():
    end = descend(get_backend("numerical", step_size=1e-4), learning_rate=10.0).end
    assert 1e12 < np.abs(end).max() < 1e14
    assert np.abs(descend("numerical", learning_rate=10.0).end).max() > 1e127


def test_the_path_has_every_step_and_its_value(backend):
    descent = descend(backend, learning_rate=0.25, steps=4)
    halved = np.array(START) * 0.5 ** np.arange(5)[:, None]
    np.testing.assert_allclose(descent.path, halved, rtol=1e-9)
    np.testing.assert_allclose(descent.values, (halved**2).sum(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(descent.end, descent.path[-1])
    assert descent.path[0].tolist() == list(START)


def test_results_are_numpy_arrays_in_the_dtype_of_the_backend(load_backend, backend_name):
    descent = descend(load_backend(backend_name, dtype="float32"), steps=3)
    assert isinstance(descent.path, np.ndarray)
    assert descent.path.dtype == descent.values.dtype == np.float32
    assert (descent.path.shape, descent.values.shape) == ((4, 2), (4,))


def test_pytrees_descend_with_their_arguments(backend):
    net, x, t = SimpleNet(), np.array([[0.6, 0.9], [-1.0, 0.3]]), np.array([2, 0])
    params = net.init(seed=0)
    descent = gradient_descent(net.loss, params, x, t, backend=backend, learning_rate=1.0, steps=30)
    assert descent.path["W"].shape == (31, 2, 3)
    assert (np.diff(descent.values) < 0).all()
    np.testing.assert_allclose(descent.values[-1], net.loss(descent.end, x, t), rtol=1e-12)


def test_a_number_descends_as_an_array_without_axes(backend):
    descent = gradient_descent(Quadratic.one_variable().loss, 5.0, backend=backend, steps=1)
    np.testing.assert_allclose(descent.path, [5.0, 5.0 - 0.01 * 0.2], rtol=1e-12)


@pytest.mark.parametrize("learning_rate", [0.0, -0.1, float("nan"), float("inf"), "0.1", True])
def test_a_learning_rate_has_to_be_positive_and_finite(learning_rate):
    with pytest.raises(InvalidSetting, match="learning_rate"):
        descend("numerical", learning_rate=learning_rate)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_steps_have_to_be_counted(steps):
    with pytest.raises(InvalidSetting, match="got steps .*expected a whole number"):
        descend("numerical", steps=steps)


def test_integers_cannot_descend(backend):
    with pytest.raises(InvalidParameters, match="int64"):
        descend(backend, (3, 4))


def test_only_scalars_descend(backend):
    with pytest.raises(NonScalarLoss, match=r"shape \(2,\)"):
        descend(backend, f=lambda x: x * x)
