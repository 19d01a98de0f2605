import math
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import pytest

from gradparity.backends.errors import InvalidData, ShapeMismatch
from gradparity.models.functions import (
    cross_entropy,
    cross_entropy_from_logits,
    fraction_correct,
    sigmoid,
    softmax,
    sum_squared_error,
    weighted_sum,
)

DIGIT_SCORES = np.array([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0])


def one_hot(label, classes=10):
    return np.eye(classes)[label]


@dataclass(frozen=True)
class Scenario:
    name: str
    function: Any
    args: tuple[np.ndarray, ...]
    expected: Any
    """From the reference notebooks, or worked out by hand in the comment beside it."""


BATCH = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
# -(log(0.7 + 1e-7) + log(0.8 + 1e-7)) / 2
BATCH_LOSS = -(math.log(0.7000001) + math.log(0.8000001)) / 2
LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
# log(1 + e^-2 + e^-3) for class 0, log(3) for any class of equal logits
LOGITS_LOSS = (math.log(1 + math.exp(-2) + math.exp(-3)) + math.log(3)) / 2

# e^0.3, e^2.9 and e^4 over their sum
SOFTMAX = [1 / (1 + math.exp(2.6) + math.exp(3.7)), 0.24519181293507392, 0.7365969138636899]

SCENARIOS = (
    Scenario("sigmoid", sigmoid, (np.array([-1.0, 0.0, 1.0]),), 1 / (1 + np.exp([1.0, 0, -1]))),
    Scenario("sigmoid far out", sigmoid, (np.array([-1e4, 1e4]),), [0.0, 1.0]),
    Scenario("softmax", softmax, (np.array([0.3, 2.9, 4.0]),), SOFTMAX),
    Scenario("softmax of large numbers", softmax, (np.array([[1010.0, 1000.0, 990.0]]),),
             [[0.999954602, 4.53978686e-05, 2.06106005e-09]]),
    Scenario("squared error, right", sum_squared_error, (DIGIT_SCORES, one_hot(2)), 0.0975),
    Scenario("squared error, wrong", sum_squared_error, (DIGIT_SCORES, one_hot(1)), 0.6475),
    # 2 * 0.0975 and 2 * 0.6475 over ten entries
    Scenario("cross entropy, right", cross_entropy, (DIGIT_SCORES, one_hot(2)), 0.510825457),
    Scenario("cross entropy, wrong", cross_entropy, (DIGIT_SCORES, one_hot(7)), 2.302584093),
    Scenario("cross entropy, integer", cross_entropy, (DIGIT_SCORES, np.array(2)), 0.510825457),
    Scenario("cross entropy, a batch", cross_entropy, (BATCH, np.eye(3)[[0, 2]]), BATCH_LOSS),
    Scenario("cross entropy, classes", cross_entropy, (BATCH, np.array([0, 2])), BATCH_LOSS),
    Scenario("bytes", cross_entropy, (BATCH, np.array([0, 2], np.uint8)), BATCH_LOSS),
    Scenario("integer one-hot", cross_entropy, (BATCH, np.eye(3, dtype=int)[[0, 2]]), BATCH_LOSS),
    Scenario("cross entropy of zero", cross_entropy, (np.array([0.0, 1.0]), np.array(0)),
             -math.log(1e-7)),
    Scenario("from logits", cross_entropy_from_logits, (LOGITS, np.array([0, 1])), LOGITS_LOSS),
    Scenario("from logits, one-hot", cross_entropy_from_logits, (LOGITS, np.eye(3)[[0, 1]]),
             LOGITS_LOSS),
    # all but the largest logit vanish, so the loss is the gap
    Scenario("from far logits", cross_entropy_from_logits,
             (np.array([[800.0, 0.0, -800.0]]), np.array([2])), 1600.0),
    Scenario("accuracy", fraction_correct, (BATCH, np.array([0, 1])), 0.5),
    Scenario("accuracy, one-hot", fraction_correct, (BATCH, np.eye(3)[[0, 2]]), 1.0),
)  # fmt: skip

each_scenario = pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS]
)
each_loss = pytest.mark.parametrize("loss", [cross_entropy, cross_entropy_from_logits])


def assert_expected(result, scenario):
    # The notebooks print nine digits.
    np.testing.assert_allclose(np.asarray(result), scenario.expected, rtol=3e-9, atol=1e-15)


@each_scenario
def test_a_function_has_its_reference_value(backend, scenario):
    result = backend.compile(scenario.function)(*backend.asarray(scenario.args))
    assert_expected(backend.to_numpy(result), scenario)


@each_scenario
def test_a_function_needs_nothing_beyond_the_array_api(scenario):
    args = [array_api_strict.asarray(arg) for arg in scenario.args]
    result = scenario.function(*args)
    assert type(result) is type(args[0])
    assert result.dtype == args[0].dtype
    assert_expected(result, scenario)


def test_a_wrong_reference_value_is_noticed():
    scenario = Scenario("", sum_squared_error, (), 0.6475)
    with pytest.raises(AssertionError, match="0.6475"):
        assert_expected(sum_squared_error(DIGIT_SCORES, one_hot(2)), scenario)


@each_scenario
def test_float32_stays_float32(load_backend, backend_name, scenario):
    backend = load_backend(backend_name, dtype="float32")
    result = backend.to_numpy(scenario.function(*backend.asarray(scenario.args)))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, scenario.expected, rtol=1e-6, atol=1e-7)


def test_the_slope_of_sigmoid_has_no_kink_and_no_overflow(backend):
    x = np.array([-800.0, -2.0, 0.0, 2.0, 800.0])  # abs and where would have a kink at 0
    _, slope = backend.value_and_gradient(lambda x: backend.xp.sum(sigmoid(x)))(x)
    decay = np.exp(-np.abs(x))
    np.testing.assert_allclose(backend.to_numpy(slope), decay / (1 + decay) ** 2, atol=1e-9)


@pytest.mark.parametrize(
    ("loss_of_logits", "slope"),
    [
        # y (1 - y) / (y + 1e-7) at y = 1 / (1 + e^20), the faithful gradient of a poor loss
        (lambda logits, t: cross_entropy(softmax(logits), t), -0.02019528),
        (cross_entropy_from_logits, -1.0),
    ],
)
def test_the_offset_stops_learning_at_a_large_gap_and_logits_do_not(backend, loss_of_logits, slope):
    logits, t = backend.asarray((np.array([[20.0, 0.0]]), np.array([1])))
    _, gradient = backend.value_and_gradient(loss_of_logits)(logits, t)
    np.testing.assert_allclose(backend.to_numpy(gradient), [[-slope, slope]], rtol=1e-6)


@each_loss
@pytest.mark.parametrize("label", [-1, 3, 99])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_the_loss_of_a_class_that_does_not_exist_is_infinite(backend, loss, label):
    scores, classes = backend.asarray((BATCH, np.array([0, label])))
    assert backend.to_numpy(backend.compile(loss)(scores, classes)) == math.inf


@each_loss
@pytest.mark.parametrize(
    "labels", [np.zeros((2, 1), int), np.zeros(3, int), np.zeros((2, 2)), np.zeros(()), one_hot(1)]
)
def test_labels_never_broadcast(backend, loss, labels):
    with pytest.raises(ShapeMismatch, match=r"expected integer classes of shape \(2,\) or one-hot"):
        backend.compile(loss)(*backend.asarray((BATCH, labels)))


def test_targets_never_broadcast(backend):
    with pytest.raises(ShapeMismatch, match=r"targets of shape \(3, 1\) .* shape \(3,\)"):
        sum_squared_error(*backend.asarray((np.zeros(3), np.zeros((3, 1)))))


@each_loss
def test_classes_have_to_be_integers(backend, loss):
    with pytest.raises(InvalidData, match="float64 and shape .*expected integer classes"):
        backend.compile(loss)(*backend.asarray((BATCH, np.zeros(2))))


@pytest.mark.parametrize(
    ("function", "labels"),
    [
        (cross_entropy, np.zeros(0, int)),
        (cross_entropy, np.zeros((0, 3))),
        (cross_entropy_from_logits, np.zeros(0, int)),
        (fraction_correct, np.zeros(0, int)),
        (sum_squared_error, np.zeros((0, 3))),
    ],
)
def test_an_empty_batch_is_refused(backend, function, labels):
    with pytest.raises(InvalidData, match=r"got an empty batch.* shape \(0, 3\)"):
        backend.compile(function)(*backend.asarray((np.zeros((0, 3)), labels)))


def test_a_scalar_is_no_output(backend):
    with pytest.raises(ShapeMismatch, match=r"expected \(\.\.\., classes\)"):
        cross_entropy(*backend.asarray((np.array(0.5), np.array(0))))


def test_inputs_of_the_wrong_width_name_the_leaf(backend):
    with pytest.raises(ShapeMismatch, match=r"leaf W2: got inputs of shape \(5, 2\) .*\(3, 4\)"):
        weighted_sum(*backend.asarray((np.zeros((5, 2)), np.zeros((3, 4)))), "W2")


def test_many_batches_at_once_give_each_its_loss_in_jax():
    jax = pytest.importorskip("jax")
    many, t = np.random.default_rng(0).random((4, 2, 3)), np.array([0, 2])
    singly = [float(cross_entropy(y, t)) for y in many]
    np.testing.assert_allclose(jax.vmap(cross_entropy, (0, None))(many, t), singly, rtol=1e-6)


def test_many_batches_at_once_give_each_its_loss_in_torch():
    torch = pytest.importorskip("torch")
    many, t = np.random.default_rng(0).random((4, 2, 3)), np.array([0, 2])
    singly = [float(cross_entropy(y, t)) for y in many]
    together = torch.vmap(cross_entropy, (0, None))(torch.tensor(many), torch.tensor(t))
    np.testing.assert_allclose(together, singly, rtol=1e-14)
