import dataclasses
import itertools
from dataclasses import dataclass

import array_api_strict
import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidData, ShapeMismatch
from gradparity.backends.pytrees import tree_map
from gradparity.models import Quadratic, SimpleNet, TwoLayerNet

BOOK_STEP = 1e-4


@dataclass(frozen=True)
class Reference:
    """What the reference notebooks print for x = [0.6, 0.9] and class 2, nine digits."""

    weights: tuple[tuple[float, ...], ...]
    prediction: tuple[float, ...]
    loss: float
    gradient: tuple[tuple[float, ...], ...]


REFERENCES = (
    Reference(
        weights=(
            (0.42875037, -1.09670346, 0.24866542),
            (-2.38228839, 0.47330153, -0.20017261),
        ),
        prediction=(-1.88680933, -0.23205069, -0.0309561),
        loss=0.68014004,
        gradient=((0.0475098, 0.24856257, -0.29607237), (0.0712647, 0.37284386, -0.44410856)),
    ),
    Reference(
        weights=(
            (0.58670364, -0.67266957, 1.9104809),
            (2.41928557, 0.24535878, -1.08746554),
        ),
        prediction=(2.5293792, -0.18277884, 0.16756955),
        loss=2.51078247,
        gradient=((0.51695424, 0.03432234, -0.55127658), (0.77543136, 0.0514835, -0.82691487)),
    ),
)
X, ONE_HOT, CLASS = np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0]), np.array(2)
# The weights are printed with eight decimals.
PRINTED = {"rtol": 0, "atol": 2e-8}

each_reference = pytest.mark.parametrize("reference", REFERENCES)


@each_reference
@pytest.mark.parametrize("t", [ONE_HOT, CLASS], ids=["one-hot", "class"])
def test_simple_net_has_the_reference_loss_and_gradient(backend, reference, t):
    net, params = SimpleNet(), {"W": np.array(reference.weights)}
    value, gradient = backend.to_numpy(backend.value_and_gradient(net.loss)(params, X, t))
    np.testing.assert_allclose(net.predict(params, X), reference.prediction, **PRINTED)
    np.testing.assert_allclose(value, reference.loss, **PRINTED)
    np.testing.assert_allclose(gradient["W"], reference.gradient, **PRINTED)


@each_reference
def test_simple_net_has_the_reference_gradient_with_the_step_of_the_book(reference):
    backend = get_backend("numerical", step_size=BOOK_STEP)
    params = {"W": np.array(reference.weights)}
    _, gradient = backend.value_and_gradient(SimpleNet().loss)(params, X, ONE_HOT)
    np.testing.assert_allclose(gradient["W"], reference.gradient, **PRINTED)


@pytest.mark.parametrize(
    ("point", "gradient"),
    [((3.0, 4.0), (6.0, 8.0)), ((0.0, 2.0), (0.0, 4.0)), ((3.0, 0.0), (6.0, 0.0))],
)
def test_the_sum_of_squares_has_the_reference_gradient(backend, point, gradient):
    value, computed = backend.value_and_gradient(Quadratic().loss)(np.array(point))
    assert backend.to_numpy(value) == sum(x * x for x in point)
    # Differences are exact to about eps**(2/3).
    np.testing.assert_allclose(backend.to_numpy(computed), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("x", "slope"), [(5.0, 0.2), (10.0, 0.3)])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_the_quadratic_of_one_variable_has_the_reference_slope(backend, x, slope, shape):
    parabola = Quadratic.one_variable()
    value, computed = backend.value_and_gradient(parabola.loss)(np.full(shape, x))
    np.testing.assert_allclose(backend.to_numpy(value), 0.01 * x**2 + 0.1 * x, rtol=1e-15)
    np.testing.assert_allclose(backend.to_numpy(computed), np.full(shape, slope), rtol=1e-9)


def test_the_step_of_the_book_gives_the_digits_of_the_book():
    slope = get_backend("numerical", step_size=BOOK_STEP).value_and_gradient(Quadratic().loss)
    # Printed by the notebooks, which divide by 2h and not by the step that was taken.
    np.testing.assert_allclose(slope(np.array([3.0, 4.0]))[1][0], 6.00000000000378, atol=1e-11)
    np.testing.assert_allclose(slope(np.array([3.0, 4.0]))[1][1], 7.999999999999119, atol=1e-11)


MODELS = (SimpleNet(), TwoLayerNet(5, 4, 3), TwoLayerNet(5, 4, 3, weight_init_std=1.0))
each_model = pytest.mark.parametrize("model", MODELS, ids=repr)


def batch_for(model, size=7):
    rng = np.random.default_rng(0)
    return rng.random((size, model.input_size)), rng.integers(0, model.output_size, size)


@each_model
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_model_needs_nothing_beyond_the_array_api(model, one_hot):
    params, (x, t) = model.init(seed=0), batch_for(model)
    t = np.eye(model.output_size)[t] if one_hot else t
    strict, strict_x, strict_t = tree_map(array_api_strict.asarray, (params, x, t))
    for function in (model.loss, model.accuracy):
        value = function(strict, strict_x, strict_t)
        assert type(value) is type(strict_x)
        np.testing.assert_allclose(np.asarray(value), function(params, x, t), rtol=1e-14)


@each_model
def test_every_backend_computes_the_loss_and_the_accuracy_of_numpy(backend, model):
    params, batch = model.init(seed=0), batch_for(model)
    for function in (model.loss, model.accuracy):
        value = backend.compile(function)(backend.asarray(params), *backend.asarray(batch))
        np.testing.assert_allclose(backend.to_numpy(value), function(params, *batch), rtol=1e-14)


@each_model
def test_a_single_sample_is_a_batch_of_one(model):
    params, (x, t) = model.init(seed=0), batch_for(model, size=1)
    assert model.loss(params, x[0], t[0]) == model.loss(params, x, t)
    assert model.accuracy(params, x[0], t[0]) == model.accuracy(params, x, t)


def test_accuracy_counts_the_right_classes():
    net, identity = SimpleNet(3, 3), {"W": np.eye(3)}
    assert net.accuracy(identity, np.eye(3), np.array([0, 1, 2])) == 1
    assert net.accuracy(identity, np.eye(3), np.array([0, 1, 0])) == pytest.approx(2 / 3)
    assert net.accuracy(identity, np.eye(3), np.array([1, 2, 0])) == 0


def test_parameters_have_the_names_and_shapes_of_the_book():
    params = TwoLayerNet().init(seed=0)
    shapes = {name: leaf.shape for name, leaf in params.items()}
    assert shapes == {"W1": (784, 50), "b1": (50,), "W2": (50, 10), "b2": (10,)}
    assert SimpleNet().init(seed=0)["W"].shape == (2, 3)
    assert Quadratic().init(seed=0).shape == (2,)
    # 39,200 draws: their standard deviation is known to about 0.4 %.
    assert params["W1"].std() == pytest.approx(0.01, rel=0.02)
    assert not params["b1"].any()
    assert not params["b2"].any()


@pytest.mark.parametrize("model", [*MODELS, Quadratic()], ids=repr)
def test_initial_parameters_follow_from_the_seed(model):
    first, again, other = (model.init(seed) for seed in (1, 1, 2))
    assert tree_map(np.array_equal, first, again) == tree_map(lambda _: True, first)
    assert tree_map(np.array_equal, first, other) != tree_map(lambda _: True, first)
    assert {leaf.dtype for leaf in (first.values() if isinstance(first, dict) else [first])} == {
        np.dtype(np.float64)
    }


@pytest.mark.parametrize("model", [*MODELS, Quadratic()], ids=repr)
def test_a_model_is_a_value(model):
    assert hash(model) == hash(dataclasses.replace(model))
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.input_size = 3


@each_model
def test_bad_batches_are_refused_on_every_backend(backend, model):
    params = backend.asarray(model.init(seed=0))
    loss = backend.compile(model.loss)
    x, t = batch_for(model)
    with pytest.raises(InvalidData, match="empty batch"):
        loss(params, *backend.asarray((x[:0], t[:0])))
    with pytest.raises(ShapeMismatch, match=r"got labels of shape \(7, 1\)"):
        loss(params, *backend.asarray((x, t[:, None])))
    with pytest.raises(ShapeMismatch, match=r"got labels of shape \(6,\)"):
        loss(params, *backend.asarray((x, t[:6])))
    with pytest.raises(ShapeMismatch, match=r"leaf W1?: got inputs of shape \(7, 9\)"):
        loss(params, *backend.asarray((np.ones((7, 9)), t)))


def largest_relative_difference(got, expected):
    """Per leaf: the largest difference over the largest entry."""
    return {
        name: np.abs(got[name] - expected[name]).max() / np.abs(expected[name]).max()
        for name in expected
    }


def gradients_of(backends, model, batch):
    params = model.init(seed=0)
    return {
        backend.name: backend.to_numpy(backend.value_and_gradient(model.loss)(params, *batch)[1])
        for backend in backends
    }


def test_autodiff_engines_agree_on_the_two_layer_net_to_twelve_digits(load_backend):
    net = TwoLayerNet(784, 50, 10)
    gradients = gradients_of(map(load_backend, ("jax", "torch")), net, batch_for(net, size=100))
    difference = largest_relative_difference(gradients["jax"], gradients["torch"])
    assert max(difference.values()) <= 1e-12, difference


def test_numerical_and_exact_gradients_agree_in_every_entry(load_backend):
    net = TwoLayerNet(12, 6, 4, weight_init_std=0.5)
    backends = map(load_backend, ("numerical", "jax", "torch"))
    gradients = gradients_of(backends, net, batch_for(net, size=20))
    for first, second in itertools.combinations(gradients, 2):
        difference = largest_relative_difference(gradients[first], gradients[second])
        assert max(difference.values()) <= 1e-7, (first, second, difference)


def test_a_gradient_off_by_a_millionth_would_be_noticed(load_backend):
    net = TwoLayerNet(12, 6, 4, weight_init_std=0.5)
    exact = gradients_of([load_backend("torch")], net, batch_for(net, size=20))["torch"]
    off = exact | {"W1": exact["W1"] + 1e-6 * np.abs(exact["W1"]).max() * np.eye(12, 6)}
    assert largest_relative_difference(off, exact)["W1"] > 1e-7
