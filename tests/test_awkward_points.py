import dataclasses
import math

import numpy as np
import pytest
from array_api_compat import array_namespace
from liars import Replaced, Shifted

from gradparity.backends import get_backend
from gradparity.compare import Verdict, compare_gradients
from gradparity.compare.scenarios.awkward import CONVENTIONS, DEFECTS, OWN

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("point", [*CONVENTIONS, *OWN], ids=lambda point: point.name)
def test_nobody_is_blamed_for_a_convention_or_a_hard_point(point):
    comparison = compare_gradients(point.f, point.params)
    assert comparison.blamed == (), str(comparison)
    assert comparison.verdict != Verdict.DIFFER


@pytest.mark.parametrize("point", DEFECTS, ids=lambda point: point.name)
def test_who_is_really_wrong_is_blamed(point):
    comparison = compare_gradients(point.f, point.params)
    assert comparison.blamed == point.blamed, str(comparison)
    for suspect in comparison.suspects:
        assert suspect.backend in point.blamed


def test_the_expected_values_of_known_defects_are_given():
    truths = {
        "det of a singular matrix": {(0, 0): 4.0, (0, 1): -2.0, (1, 0): -2.0, (1, 1): 1.0},
        "hypot of huge numbers": {(): 0.8},
        "remainder(3.3, 0.3)": {(): -10.0},
        "NaN in the dead branch of a where": {(1,): 1.0},
    }
    for point in DEFECTS:
        if point.name in truths:
            comparison = compare_gradients(point.f, point.params, backends=["jax", "torch"])
            assert comparison.suspects
            for suspect in comparison.suspects:
                truth = truths[point.name][suspect.index]
                assert math.isclose(suspect.expected, truth, rel_tol=1e-8), suspect


def test_the_convention_of_each_backend_is_listed_with_the_legal_interval():
    (absolute, *_) = CONVENTIONS
    comparison = compare_gradients(absolute.f, absolute.params)
    assert comparison.verdict == Verdict.AGREE
    assert comparison.smoothness == "kink"
    (convention,) = comparison.conventions
    assert convention.index == (0,)
    assert convention.interval == pytest.approx((-1.0, 1.0))
    values = dict(convention.values)
    assert (values["jax"], values["torch"]) == (1.0, 0.0)
    said = " ".join(str(comparison).split())
    assert "slopes from -1 to 1 are legal; numerical 0, jax 1, torch 0" in said


def test_nan_at_a_kink_is_reported_with_the_kink_and_not_blamed():
    norm = next(point for point in CONVENTIONS if point.name == "vector_norm at 0")
    comparison = compare_gradients(norm.f, norm.params)
    assert comparison.verdict == Verdict.CANNOT_TELL
    assert comparison.blamed == ()
    assert comparison.reason == "jax: params[0] is nan at a kink"


@pytest.mark.parametrize("slope", [1.5, -3.0])
def test_a_value_outside_the_legal_interval_is_blamed(slope):
    absolute = CONVENTIONS[0]
    liar = Shifted(get_backend("torch"), leaf="", index=(0,), shift=slope)
    comparison = compare_gradients(absolute.f, absolute.params, backends=["jax", liar])
    assert comparison.blamed == ("liar",), str(comparison)


def test_a_fault_beside_a_kink_is_not_excused_by_it():
    absolute = CONVENTIONS[0]
    liar = Shifted(get_backend("torch"), leaf="", index=(2,), shift=0.5)
    comparison = compare_gradients(absolute.f, absolute.params, backends=["jax", liar])
    assert comparison.blamed == ("liar",)
    assert [suspect.index for suspect in comparison.suspects] == [(2,)]


def test_nan_where_f_is_smooth_is_blamed():
    def smooth(x):
        return array_namespace(x).sum(x**2)

    liar = Replaced(get_backend("jax"), number=math.nan)
    assert compare_gradients(smooth, np.ones(3), backends=["torch", liar]).blamed == ("liar",)


def test_a_singular_determinant_is_traced_to_eager_autograd():
    det = DEFECTS[0]
    comparison = compare_gradients(det.f, det.params, backends=["torch"])
    (opinion,) = [one for one in comparison.second_opinions if one.way == "torch.func.grad"]
    assert (opinion.agrees, opinion.wrong) == (False, "its gradient")
    assert "torch.func.grad says something else than its gradient" in str(comparison)


def test_forward_mode_clears_up_a_dead_branch():
    dead = next(point for point in DEFECTS if "dead branch" in point.name)
    comparison = compare_gradients(dead.f, dead.params, backends=["jax", "torch"])
    forward = [one for one in comparison.second_opinions if one.way == "forward mode"]
    assert [(one.backend, one.wrong) for one in forward] == [
        ("jax", "its gradient"),
        ("torch", "its gradient"),
    ]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_forward_mode_is_no_suspect_where_an_infinite_slope_makes_it_no_number(backend):
    def roots(x):
        return array_namespace(x).sum(array_namespace(x).sqrt(x))

    comparison = compare_gradients(roots, np.array([0.0, 0.0, 1.0]), backends=[backend])
    assert (comparison.verdict, comparison.blamed) == (Verdict.CANNOT_TELL, ()), str(comparison)


@pytest.mark.parametrize("size", [3, 500])
def test_a_wrong_forward_rule_is_found_though_the_gradient_is_right(size):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return 2 * x * cotangent

        @staticmethod
        def jvp(ctx, tangent):
            (x,) = ctx.saved_tensors
            return 3 * x * tangent

    comparison = compare_gradients(
        {"torch": lambda x: Square.apply(x).sum()}, np.linspace(0.5, 2.0, size)
    )
    assert comparison.blamed == ("torch",)
    assert "forward mode says something else" in str(comparison)
    (opinion,) = [one for one in comparison.second_opinions if one.wrong]
    assert (opinion.way, opinion.wrong) == ("forward mode", "forward mode")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("point", CONVENTIONS[:2], ids=lambda point: point.name)
def test_conventions_are_legal_in_every_dtype(point, dtype):
    comparison = compare_gradients(point.f, point.params, dtype=dtype)
    assert comparison.blamed == (), str(comparison)


def test_points_have_names_of_their_own():
    points = [*CONVENTIONS, *OWN, *DEFECTS]
    assert len({point.name for point in points}) == len(points)
    assert len(OWN) >= 20
    assert all(dataclasses.is_dataclass(point) for point in points)
