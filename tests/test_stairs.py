"""Functions that round what they compute on the way: they rise in stairs of many widths."""

import numpy as np
import pytest

from gradparity.compare import Verdict, check_gradient

ml_dtypes = pytest.importorskip("ml_dtypes")  # for bfloat16
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def rounded(values, dtype):
    """Round as compiled code does, where nobody can see and undo it."""
    return np.array(np.asarray(values).tolist()).astype(dtype).astype(np.float64)


def terms(rng, x, w, size, offset, dtype):
    return (
        lambda p: float(rounded(size * w * np.tanh(p) + offset / x.size, dtype).sum()),
        size * w / np.cosh(x) ** 2,
    )


def products(rng, x, w, size, offset, dtype):
    A, v = rng.normal(size=(5, x.size)), rng.normal(size=5)
    return (
        lambda p: float(v @ np.tanh(rounded(A @ p, dtype)) + offset),
        A.T @ (v / np.cosh(A @ x) ** 2),
    )


def running_sum(rng, x, w, size, offset, dtype):
    def f(p):
        total = 0.0
        for term in size * w * np.sin(p):
            total = float(rounded(total + term + offset / x.size, dtype))
        return total

    return f, size * w * np.cos(x)


def inputs(rng, x, w, size, offset, dtype):
    return lambda p: float((w * rounded(p, dtype) ** 2).sum()), 2 * w * x


def exponent(rng, x, w, size, offset, dtype):
    def f(p):
        energy = rounded(0.1 * size * (p * p).sum() + offset / 100, dtype)
        return float(np.exp(-energy) * size)

    return f, -0.2 * size * x * np.exp(-0.1 * size * (x * x).sum() - offset / 100) * size


def mean(rng, x, w, size, offset, dtype):
    return lambda p: float(rounded(w * p, dtype).mean() * size + offset), w * size / x.size


KINDS = (terms, products, running_sum, inputs, exponent, mean)


def draw(kind, dtype, seed):
    """Return a function, its point, and the gradient that it would have without rounding."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=int(rng.integers(1, 12))) * 10 ** rng.uniform(-1, 1)
    w = rng.normal(size=x.size) * 10 ** rng.uniform(-2, 2, x.size)
    size, offset = 10 ** rng.uniform(-3, 0), 10 ** rng.uniform(-1, 3) * rng.integers(2)
    f, gradient = kind(rng, x, w, size, offset, DTYPES[dtype])
    return f, x, gradient


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_called_right_or_wrong_for_the_step_that_the_point_is_on(kind, dtype, seed):
    f, x, gradient = draw(kind, dtype, seed)
    right = check_gradient(f, x, gradient=gradient)
    assert right.verdict is not Verdict.DIFFER, str(right)
    for factor in (0.0, -1.0, 2.0, 100.0):
        wrong = check_gradient(f, x, gradient=factor * gradient)
        proves_nothing = factor == 0 and "this proves nothing" in wrong.reason
        assert wrong.verdict is not Verdict.AGREE or proves_nothing, str(wrong)


# One stair that is lower than those after it is no bend, and few stairs are no single jump.
def test_zeros_are_not_right_on_low_or_few_stairs():
    x = np.array([0.1, -0.3, 0.6])

    def few(p):
        return float(rounded(200 + 1.2 * np.tanh(10 * p).sum(), ml_dtypes.bfloat16)) / 3

    low, at, gradient = draw(inputs, "float16", 7)
    for f, point, claim in ((few, x, 4 / np.cosh(10 * x) ** 2), (low, at, gradient)):
        assert check_gradient(f, point, gradient=0 * claim).verdict is Verdict.CANNOT_TELL
        assert check_gradient(f, point, gradient=claim).verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("off", np.geomspace(0.001, 0.1, 12))
def test_a_bend_is_no_stair(off):
    x = np.array([0.8])
    for f, slope in (
        (lambda p: float((3 * p + np.maximum(p, 0.8 + off)).sum()), 3.0),
        (lambda p: float(np.maximum(p, 0.8 + off).sum()), 0.0),
    ):
        check = check_gradient(f, x, gradient=np.array([slope]))
        assert (check.verdict, check.smoothness) == (Verdict.AGREE, "smooth")


# A slope of the trend and of the step differ by little where only a part is rounded.
def test_a_part_that_is_rounded_is_not_left_out():
    x = np.array([0.31, -0.74, 1.2])

    def f(p):
        return float(rounded(p, ml_dtypes.bfloat16).sum() * 0.01 + np.sin(p).sum())

    without = check_gradient(f, x, gradient=np.cos(x))
    assert without.verdict is Verdict.CANNOT_TELL, str(without)
    assert without.smoothness == "stairs"
    assert any("rises in stairs" in note for note in without.notes)
    assert check_gradient(f, x, gradient=np.cos(x) + 0.01).verdict is Verdict.CANNOT_TELL
    assert check_gradient(f, x, gradient=1.5 * np.cos(x)).verdict is Verdict.DIFFER


# Next to the point are slopes of single steps: they are no kinks that would make a claim legal.
@pytest.mark.parametrize("at", [0.3, 0.0452, 1.7])
def test_steps_as_fine_as_float32_are_no_kinks(at):
    x = np.array([at])
    for f, right in (
        (lambda p: float((rounded(p, np.float32) ** 2).sum()), 2 * x),
        (
            lambda p: float((np.tanh(p) - 0.05 * rounded(p, np.float32)).sum()),
            1 / np.cosh(x) ** 2 - 0.05,
        ),
    ):
        assert check_gradient(f, x, gradient=right).verdict is Verdict.AGREE
        assert check_gradient(f, x, gradient=1.01 * right).verdict is Verdict.DIFFER
        assert check_gradient(f, x, gradient=0 * right).verdict is not Verdict.AGREE


# What is meant to jump has the slope of the piece that the point is on.
@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda p: float(np.floor(p).sum()), 0.0),
        (lambda p: float((p > 2.0).sum()), 0.0),
        (lambda p: float(0.7 * (p > 2.2).sum()), 0.0),
        (lambda p: float((3 * p + 0.7 * (p > 2.31)).sum()), 3.0),
        (lambda p: float(np.maximum(p, 2.31).sum()), 0.0),
    ],
    ids=["floor", "count", "one jump", "a jump of a line", "dead unit"],
)
def test_single_jumps_and_counts_hide_nothing(f, slope):
    x = np.array([2.3])
    assert check_gradient(f, x, gradient=np.array([slope])).verdict is Verdict.AGREE
    for wrong in (slope + 1, slope - 0.5):
        assert check_gradient(f, x, gradient=np.array([wrong])).verdict is Verdict.DIFFER


def test_a_running_sum_shows_the_spacing_of_its_dtype():
    x = np.array([0.17354268, 0.11785026, -0.27343459, 0.14947052, 0.27453764])
    w = np.array([-20.8330636, 16.5502962, -2.75152628e-03, -7.26104439, 0.406551109])
    f, gradient = running_sum(
        None, x, w, 2.46091465971056e-3, 51.595185639173884, ml_dtypes.bfloat16
    )
    assert check_gradient(f, x, gradient=gradient).verdict is not Verdict.DIFFER
    assert check_gradient(f, x, gradient=0 * gradient).verdict is not Verdict.AGREE
