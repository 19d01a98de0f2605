"""The remainder of a linear model shrinks with the square of the step for a right gradient only."""

import json

import numpy as np
import pytest

from gradparity.compare import Verdict, taylor_test
from gradparity.compare.scenarios.functions import SCENARIOS

X = np.array([0.3, -0.8, 1.4])


def f(x):
    return np.sum(np.sin(x)) + np.prod(x)


def gradient(x):
    return np.cos(x) + np.prod(x) / x


@pytest.fixture(scope="module")
def right_and_wrong():
    right = taylor_test(f, X, gradient=gradient)
    return right, taylor_test(f, X, gradient=1.001 * gradient(X))


def test_the_slope_is_two_for_a_right_gradient_and_one_for_a_wrong_one(right_and_wrong):
    right, wrong = right_and_wrong
    assert right.verdict is Verdict.AGREE
    assert right.slope == pytest.approx(2, abs=0.05)
    assert wrong.verdict is Verdict.DIFFER
    assert wrong.slope == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenarios_pass_and_fail_when_a_leaf_is_off_by_a_hundredth(scenario, load_backend):
    engine = load_backend("torch")
    _, native = engine.value_and_gradient(scenario.f)(scenario.params, *scenario.args)
    right = engine.to_numpy(native)
    leaves = right.values() if isinstance(right, dict) else [right]
    assert taylor_test(scenario.f, scenario.params, *scenario.args, gradient=right).verdict == (
        Verdict.AGREE
    )
    for leaf in leaves:
        if isinstance(leaf, np.ndarray):
            leaf *= 1.01
    assert taylor_test(scenario.f, scenario.params, *scenario.args, gradient=right).verdict == (
        Verdict.DIFFER
    )


def test_a_straight_function_leaves_no_remainder_but_noise():
    slopes = np.array([2.0, -1.0, 0.5])
    right = taylor_test(lambda x: x @ slopes, X, gradient=slopes)
    assert right.verdict is Verdict.AGREE
    assert np.isnan(right.slope)
    wrong = taylor_test(lambda x: x @ slopes, X, gradient=slopes * [1, 1, 1.0001])
    assert wrong.verdict is Verdict.DIFFER


def test_zeros_pass_for_a_constant_and_fail_for_a_slope():
    assert taylor_test(lambda x: np.sum(x) * 0 + 3, X, gradient=0 * X).verdict is Verdict.AGREE
    assert taylor_test(f, X, gradient=0 * X).verdict is Verdict.DIFFER


def test_a_kink_is_no_reason_to_blame():
    x = np.array([0.0, 0.5])
    test = taylor_test(lambda x: np.sum(np.abs(x)), x, gradient=np.array([0.0, 1.0]))
    assert test.verdict is Verdict.CANNOT_TELL
    assert "kink" in test.reason


def test_float32_is_granted_its_round_off():
    single = gradient(X).astype(np.float32)
    assert taylor_test(f, X, gradient=single).verdict is Verdict.AGREE
    assert taylor_test(f, X, gradient=1.001 * single).verdict is Verdict.DIFFER


def test_noise_hides_a_gradient():
    test = taylor_test(lambda x: 1e17 + f(x), X, gradient=gradient)
    assert test.verdict is Verdict.CANNOT_TELL
    assert test.resolution > 1


def test_a_remainder_in_which_two_terms_cancel_is_not_called_right():
    # (x + h)**2 with the slope 2x + 1e-3: the remainder h**2 - 1e-3 h vanishes at h = 1e-3.
    for seed in range(4):
        test = taylor_test(
            lambda x: 1e5 + np.sum(x**2), np.ones(1), gradient=np.full(1, 2.001), seed=seed
        )
        assert test.verdict is not Verdict.AGREE


def test_what_cancels_in_a_remainder_is_within_the_resolution_of_a_gradient_called_right():
    for seed in range(150):
        rng = np.random.default_rng(seed)
        error = 10 ** rng.uniform(-6, -1) * rng.choice([-1, 1])
        # The noise of f drowns all steps at which the error alone would be seen, or nearly so.
        offset = error**2 / np.finfo(float).eps * 10 ** rng.uniform(-3, 2)
        test = taylor_test(
            lambda x, offset=offset: offset + np.sum(x**2),
            np.ones(1),
            gradient=np.full(1, 2 + error),
            seed=seed,
        )
        if test.verdict is Verdict.AGREE:
            assert abs(error) <= 2 * test.resolution, (seed, error, test)


def test_a_power_between_those_of_right_and_wrong_gradients_blames_nobody():
    at = np.zeros(2)
    test = taylor_test(lambda x: np.sum(np.abs(x) ** 1.5), at, gradient=at)
    assert test.verdict is Verdict.CANNOT_TELL
    assert "between" in test.reason


MALFORMED = {"None": None, "a shape": np.ones(2), "a dict": {"x": np.ones(3), "y": np.ones(3)}}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_gradient_differs_without_a_traceback(name):
    test = taylor_test(f, X, gradient=MALFORMED[name])
    assert test.verdict is Verdict.DIFFER
    assert "expected" in test.reason or "do not have" in test.reason


def test_the_report_begins_with_the_verdict_and_the_result_is_json(right_and_wrong):
    for test in right_and_wrong:
        assert str(test).startswith(test.verdict)
        assert len(str(test).splitlines()) <= 25
        content = json.loads(json.dumps(test.to_dict(), allow_nan=False))
        assert content["verdict"] == test.verdict
        assert len(content["step_sizes"]) == len(content["remainders"])


def test_the_same_seed_gives_the_same_test(right_and_wrong):
    assert taylor_test(f, X, gradient=gradient) == right_and_wrong[0]
    assert taylor_test(f, X, gradient=gradient, seed=1) != right_and_wrong[0]
