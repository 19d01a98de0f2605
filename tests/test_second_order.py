"""Second derivatives of every engine go before slopes of a certified gradient."""

import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends.errors import InvalidSetting
from gradparity.compare import compare_gradients

pytest.importorskip("jax")
torch = pytest.importorskip("torch")


def cubic(x):
    return (x**3).sum() + x[0] * x[1]


MATRIX = np.array([[2.0, 1, 0.3], [0.5, 3, 0.1], [0.2, 0.7, 1.5]])


def determinant(matrix):
    return array_namespace(matrix).linalg.det(matrix)


def log_determinant(matrix):
    return array_namespace(matrix).linalg.slogdet(matrix)[1]


def solution(matrix):
    xp = array_namespace(matrix)
    return xp.sum(xp.linalg.solve(matrix, xp.asarray([1.0, -2.0, 0.5], dtype=xp.float64)) ** 2)


def inverse(matrix):
    xp = array_namespace(matrix)
    return xp.sum(xp.sin(xp.linalg.inv(matrix)))


def tanh(x):
    xp = array_namespace(x)
    return xp.sum(xp.tanh(x))


def test_right_second_derivatives_agree_and_differences_are_left_out():
    comparison = compare_gradients(cubic, np.array([0.5, -1.2, 2.0]), order=2)
    assert comparison.verdict == "agree", str(comparison)
    assert comparison.backends == ("jax", "torch")
    assert "numerical" in dict(comparison.left_out)
    assert comparison.resolution < 1e-6


@pytest.mark.parametrize(("f", "blamed"), [(tanh, ()), (determinant, ("torch",))])
def test_second_derivatives_by_several_leaves_are_compared(f, blamed):
    point = {"W": MATRIX, "b": np.array([0.5, 2.0])}
    comparison = compare_gradients(lambda p: f(p["W"]) + cubic(p["b"]), point, order=2)
    assert comparison.blamed == blamed, str(comparison)
    assert [leaf.leaf for leaf in comparison.leaves] == ["W", "b"]


@pytest.mark.parametrize("f", [determinant, log_determinant, solution])
def test_a_wrong_nested_forward_rule_of_a_framework_is_blamed(f):
    comparison = compare_gradients(f, MATRIX, order=2)
    assert comparison.blamed == ("torch",), str(comparison)
    assert "torch is wrong, forward over forward" in comparison.reason
    assert "reverse" not in comparison.reason


def test_right_nested_rules_of_linear_algebra_agree():
    comparison = compare_gradients(inverse, MATRIX, backends=("torch",), order=2)
    assert comparison.verdict == "agree", str(comparison)


def test_a_second_derivative_that_cancelled_is_blamed():
    # 1 - tanh(19)**2 is 1.2e-16, of which a difference of numbers near 1 keeps nothing.
    saturated, point = {"jax": tanh}, np.array([19.0])
    comparison = compare_gradients(saturated, point, order=2)
    assert comparison.blamed == ("jax",), str(comparison)
    assert compare_gradients(saturated, point / 10, order=2).verdict == "agree"


def test_second_derivatives_that_are_zero_prove_little():
    comparison = compare_gradients({"jax": tanh}, np.array([30.0]), order=2)
    assert "all of them 0 here: this proves little" in comparison.reason


def test_a_rule_that_is_right_once_and_wrong_twice_is_found():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(context, cotangent):
            (x,) = context.saved_tensors
            return 2 * x.detach() * cotangent  # its own derivative is lost

    functions = {"torch": lambda x: (Square.apply(x) * x).sum()}
    assert compare_gradients(functions, np.array([0.5, 2.0])).verdict == "agree"
    comparison = compare_gradients(functions, np.array([0.5, 2.0]), order=2)
    assert comparison.blamed == ("torch",), str(comparison)


@pytest.mark.parametrize("factor", [1.001, 3.0, 1.0])
def test_functions_of_other_values_have_no_second_derivatives_in_common(factor):
    functions = {"jax": cubic, "torch": lambda x: factor * cubic(x)}
    comparison = compare_gradients(functions, np.array([0.5, -1.2, 2.0]), order=2)
    assert comparison.verdict == ("agree" if factor == 1 else "differ"), str(comparison)
    assert ("values differ" in comparison.reason) == (factor != 1)


def test_a_budget_is_that_of_all_engines_and_calls_are_counted_once():
    calls = []

    def counted(x):
        calls.append(None)
        return (x**3).sum()

    def of(budget):
        calls.clear()
        functions = {"torch": counted, "torch:again": counted}
        return compare_gradients(functions, np.array([0.5, 2.0]), order=2, budget=budget)

    whole = of(None)
    assert whole.verdict == "agree", str(whole)
    assert whole.evaluations <= len(calls) <= 1.3 * whole.evaluations  # those of products beside
    spent = of(10)
    assert spent.verdict == "cannot tell"
    assert "the budget of 10 calls of f was spent" in spent.reason
    assert spent.evaluations < 20


def test_there_is_no_third_order():
    with pytest.raises(InvalidSetting, match="order"):
        compare_gradients(cubic, np.ones(3), order=3)
