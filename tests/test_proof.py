"""Gradients enclosed in balls: they hold the truth, and judge candidates by it."""

import math

import numpy as np
import pytest
from array_api_compat import array_namespace
from closed_forms import CLOSED, arb, closed_cases, flint, judged, xp_of

from gradparity.backends.errors import InvalidParameters, InvalidSetting, ShapeMismatch
from gradparity.backends.rounding import Unmeasured
from gradparity.compare import prove_gradient
from gradparity.compare.checking.thresholds import DIGITS
from gradparity.compare.proof.granted import DROWNED
from gradparity.compare.scenarios.random_programs import planted_faults, random_program
from gradparity.models import Quadratic, SimpleNet, TwoLayerNet

SMOOTH = [program for program in map(random_program, range(40)) if not program.kinks]
PROVED = [(program, prove_gradient(program.f, program.params)) for program in SMOOTH]


def test_enclosures_contain_more_than_500_derivatives_known_in_closed_form():
    inside = known = count = 0
    with np.errstate(all="ignore"):
        for name, f, slopes, x in closed_cases(4):
            for holds, precise in judged(prove_gradient(f, x), slopes, x):
                count += 1
                inside += holds
                known += precise
                assert holds, (name, x)
    assert count >= 500
    assert inside == count
    assert known >= 0.95 * count


def test_an_enclosure_of_another_number_is_noticed():
    proof = prove_gradient(CLOSED["product"][0], np.asarray([3.0, 4.0]))
    assert not proof.enclosures[0].overlaps(arb(np.nextafter(4.0, 5.0)))


def test_value_and_radius_hold_the_enclosure():
    program, proof = PROVED[3]
    for value, radius, balls in zip(
        program.leaves(proof.value),
        program.leaves(proof.radius),
        program.leaves(proof.enclosures),
        strict=True,
    ):
        assert value.dtype == radius.dtype == np.float64
        for index in np.ndindex(value.shape):
            assert abs(balls[index] - arb(value[index])) <= arb(radius[index])


# Programs.


def test_smooth_programs_are_proved_and_their_gradients_right():
    proved = [proof for _, proof in PROVED if proof.verdict == "proved right"]
    assert len(proved) >= 0.95 * len(PROVED)
    assert all(proof.digits >= 15 for proof in proved)
    for program, proof in PROVED[:25]:
        checked = prove_gradient(program.f, program.params, gradient=program.gradient())
        assert checked.verdict != "proved wrong", str(program)
        assert (checked.verdict == "proved right") == (proof.verdict == "proved right")


def test_planted_faults_are_proved_wrong():
    for program, proof in PROVED[:12]:
        faults = planted_faults(program.gradient(), program.seed)
        name, wrong = faults[program.seed % len(faults)]
        if proof.verdict == "proved right":
            checked = prove_gradient(program.f, program.params, gradient=wrong)
            assert checked.verdict == "proved wrong", (str(program), name)


@pytest.mark.parametrize("measured", [True, False])
def test_a_fault_that_no_difference_resolves_is_proved_wrong(monkeypatch, measured):
    if measured:
        pytest.importorskip("torch")
    else:
        monkeypatch.setattr("gradparity.compare.proof.proving.measure_rounding", not_measured)
    rng = np.random.default_rng(2)
    for program, proof in PROVED[12:24]:
        leaves = [leaf.copy() for leaf in program.leaves(proof.value)]
        chosen = leaves[rng.integers(len(leaves))]
        places = np.argwhere(chosen)
        if proof.verdict != "proved right" or not len(places):
            continue
        chosen[tuple(places[rng.integers(len(places))])] *= 1 + 1e-13
        for rtol, verdict in (
            (1e-14, "proved wrong"),
            (None, "proved wrong"),
            (1e-12, "proved right"),
        ):
            checked = prove_gradient(
                program.f, program.params, gradient=program.tree(leaves), rtol=rtol
            )
            assert checked.verdict == verdict, str(program)


def test_programs_at_kinks_contradict_no_gradient_of_a_piece():
    kinked = [program for program in map(random_program, range(80)) if program.kinks]
    for program in kinked:
        proof = prove_gradient(program.f, program.params, gradient=program.gradient())
        assert proof.verdict != "proved wrong", str(program)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding_that_no_framework_measures_explains_what_an_engine_loses(monkeypatch, dtype):
    backend = pytest.importorskip("gradparity.backends").get_backend("torch", dtype=dtype)
    monkeypatch.setattr("gradparity.compare.proof.proving.measure_rounding", not_measured)
    for program, proof in PROVED[:12]:
        params = backend.asarray(program.params)
        claim = backend.value_and_gradient(program.f)(params)[1]
        of = program.params if dtype == "float64" else backend.to_numpy(params)
        checked = prove_gradient(program.f, of, gradient=claim)
        assert checked.verdict != "proved wrong", (str(program), str(checked))
        zeros = program.tree([np.zeros_like(leaf) for leaf in program.leaves(proof.value)])
        assert prove_gradient(program.f, of, gradient=zeros).verdict != "proved right"


def saturated(x):
    return xp_of(x).sum(xp_of(x).tanh(x))


def not_measured(f, *_, **__):
    return Unmeasured("no framework")


@pytest.mark.parametrize("measured", [True, False])
def test_digits_that_an_engine_loses_to_rounding_are_no_fault(monkeypatch, measured):
    if measured:
        pytest.importorskip("torch")
    else:
        monkeypatch.setattr("gradparity.compare.proof.proving.measure_rounding", not_measured)
    x = np.asarray([1.0, 5.0, 12.0])
    engine = 1 - np.tanh(x) ** 2
    proof = prove_gradient(saturated, x, gradient=engine)
    assert proof.verdict == "proved right"
    assert proof.entry_error > 1e-8  # of 1.5e-10, with 7e-17 lost beside 1
    engine[2] *= 1 + 1e-4
    (suspect,) = prove_gradient(saturated, x, gradient=engine).suspects
    assert suspect.index == (2,)


def test_rounding_as_large_as_the_gradient_leaves_nothing_right():
    pytest.importorskip("torch")
    x = np.asarray([25.0])  # the slope of tanh is 8e-22 there, and 1 - tanh**2 is 0
    for claimed in (0.0, 1e-20):
        proof = prove_gradient(saturated, x, gradient=np.asarray([claimed]))
        assert proof.verdict == "not proved"
        assert "rounding in float64 may be larger than 0.0001 of the largest" in proof.reason
    assert prove_gradient(saturated, x, gradient=np.asarray([1.0])).verdict != "proved right"


def test_the_dust_of_terms_that_cancel_is_rounding_and_no_more():
    def f(x):  # of inner entries, 1 - 1
        return xp_of(x).sum(x[1:] - x[:-1]) * xp_of(x).sum(x * x)

    x = np.asarray([0.3, -0.2, 0.6, -0.3])
    g = xp_of(x).sum(x[1:] - x[:-1]) * 2 * x
    g[0] -= np.sum(x * x)
    g[-1] += np.sum(x * x)
    assert prove_gradient(f, x, gradient=g).verdict == "proved right"

    def differences(x):
        return xp_of(x).sum(x[1:] - x[:-1])

    claim = np.asarray([-1.0, 3e-17, -3e-17, 1.0])
    assert prove_gradient(differences, x, gradient=claim).verdict == "proved right"
    claim[1] = 1e-13
    assert prove_gradient(differences, x, gradient=claim).verdict == "proved wrong"


@pytest.mark.parametrize("order", [math.inf, -math.inf, 1, 3])
def test_rounding_explains_no_fault_of_a_norm(order):
    pytest.importorskip("torch")

    def f(x):
        return xp_of(x).linalg.vector_norm(x, ord=order)

    x = np.asarray([0.31, 0.87, -0.23, 0.64])
    claim = prove_gradient(f, x).value
    assert prove_gradient(f, x, gradient=claim).verdict == "proved right"
    claim[np.argmax(np.abs(claim))] *= 1 + 1e-13
    assert prove_gradient(f, x, gradient=claim).verdict == "proved wrong"


def test_a_fault_that_rounding_could_be_is_neither_right_nor_wrong():
    pytest.importorskip("torch")

    def cancelled(x):  # three digits of the square survive
        return xp_of(x).log(1 + (xp_of(x).sum(x * x) + 1e13) - 1e13)

    x = np.asarray([0.3, 0.4])
    claim = prove_gradient(cancelled, x).value
    claim[0] *= 1 + 1e-6
    proof = prove_gradient(cancelled, x, gradient=claim)
    assert proof.verdict == "not proved"
    assert "rtol= says what is accepted" in proof.reason
    assert prove_gradient(cancelled, x, gradient=claim, rtol=1e-5).verdict == "proved right"
    assert prove_gradient(cancelled, x, gradient=claim, rtol=1e-7).verdict == "proved wrong"


def test_nothing_is_right_that_the_judge_could_not_resolve():
    assert set(DROWNED.values()) == {DIGITS}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_claims_in_a_low_dtype_have_its_rounding_and_no_more(dtype):
    program, proof = PROVED[3]
    right = [leaf.astype(dtype) for leaf in program.leaves(proof.value)]
    claim = program.tree(right)
    assert prove_gradient(program.f, program.params, gradient=claim).verdict == "proved right"
    zeros = program.tree([np.zeros_like(leaf) for leaf in right])
    assert prove_gradient(program.f, program.params, gradient=zeros).verdict == "proved wrong"


# Models.


def test_the_models_are_proved_to_15_digits():
    rng = np.random.default_rng(0)
    net = TwoLayerNet(30, 12, 10)
    cases = [
        (Quadratic().loss, np.asarray([3.0, 4.0]), ()),
        (SimpleNet().loss, SimpleNet().init(0), (np.asarray([0.6, 0.9]), np.asarray([0, 0, 1.0]))),
        (net.loss, net.init(0), (rng.random((5, 30)), rng.integers(0, 10, 5))),
    ]
    for loss, params, args in cases:
        proof = prove_gradient(loss, params, *args)
        assert proof.verdict == "proved right"
        assert proof.digits >= 15
    assert proof.value["W1"].shape == proof.radius["W1"].shape == (30, 12)


def test_the_exact_gradient_of_the_quadratic_is_exact():
    proof = prove_gradient(Quadratic().loss, np.asarray([3.0, 4.0]))
    assert proof.value.tolist() == [6.0, 8.0]
    assert proof.radius.tolist() == [0.0, 0.0]
    assert proof.digits == math.inf


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-14), ("float32", 1e-5)])
def test_an_engine_in_its_own_dtype_is_proved_right(dtype, error):
    backend = pytest.importorskip("gradparity.backends").get_backend("torch", dtype=dtype)
    net, rng = TwoLayerNet(12, 6, 10), np.random.default_rng(0)
    params, args = net.init(1), (rng.random((4, 12)), rng.integers(0, 10, 4))
    gradient = backend.value_and_gradient(net.loss)(params, *args)[1]
    proof = prove_gradient(net.loss, params, *args, gradient=gradient)
    assert proof.verdict == "proved right", str(proof)
    assert 0 < proof.relative_error < error


def test_differences_are_good_to_eight_digits_or_so_and_no_more():
    backend = pytest.importorskip("gradparity.backends").get_backend("numerical")
    model = SimpleNet()
    params, args = model.init(0), (np.asarray([0.6, 0.9]), np.asarray([0.0, 0.0, 1.0]))
    gradient = backend.value_and_gradient(model.loss)(params, *args)[1]
    proof = prove_gradient(model.loss, params, *args, gradient=gradient)
    assert proof.verdict == "proved wrong"
    assert 1e-13 < proof.relative_error < 1e-7
    assert prove_gradient(model.loss, params, *args, gradient=gradient, rtol=1e-6).verdict == (
        "proved right"
    )


# What a proof says.


def test_a_wrong_entry_is_named_with_its_enclosure():
    def rule(x):
        wrong = 2 * x
        wrong[1] *= 1 + 1e-13
        return wrong

    proof = prove_gradient(lambda x: xp_of(x).sum(x * x), np.arange(1.0, 4.0), gradient=rule)
    assert proof.verdict == "proved wrong"
    (suspect,) = proof.suspects
    assert (suspect.leaf, suspect.index, suspect.expected, suspect.error_bar) == ("", (1,), 4.0, 0)
    assert "params[1]: got 4.0000000000004" in str(proof)


@pytest.mark.parametrize(
    ("f", "reason"),
    [
        (lambda x: xp_of(x).sum(xp_of(x).maximum(x, xp_of(x).zeros_like(x))), "maximum"),
        (lambda x: xp_of(x).sum(xp_of(x).abs(x)), "abs"),
        (lambda x: xp_of(x).sum(xp_of(x).where(x > 0, x, 0 * x)), "where"),
        (lambda x: xp_of(x).sum(xp_of(x).clip(x, min=0.0)), "clip"),
    ],
)
def test_a_kink_is_proved_to_be_one(f, reason):
    x = np.asarray([1.0, -2.0, 3.0, 0.0])
    proof = prove_gradient(f, x)
    assert proof.verdict == "not proved"
    assert f"kink of {reason}, an exact tie" in proof.reason
    assert "[3]" in proof.reason
    x[3] = 5e-324
    assert prove_gradient(f, x).verdict == "proved right"


@pytest.mark.parametrize("size", [1.0, 1e-20, 1e-100, 1e-200])
def test_a_kink_however_flat_is_no_gradient_of_zero(size):
    x = np.asarray(0.0)
    proof = prove_gradient(lambda x: size * xp_of(x).abs(x), x)
    assert proof.verdict == "not proved"
    assert "kink of abs, an exact tie" in proof.reason
    assert prove_gradient(lambda x: size * x * x, x).verdict == "proved right"


def test_a_slope_without_bound_is_named():
    proof = prove_gradient(lambda x: xp_of(x).sqrt(x[0]) + x[1], np.asarray([0.0, 1.0]))
    assert proof.verdict == "not proved"
    assert "the slope of sqrt is not finite" in proof.reason
    assert "params[0]" in proof.reason


def test_a_branch_on_a_tie_is_not_proved():
    def f(x):
        return x[0] * x[0] if x[0] > 1 else x[0]

    assert prove_gradient(f, np.asarray([2.0])).value.tolist() == [4.0]
    proof = prove_gradient(f, np.asarray([1.0]))
    assert proof.verdict == "not proved"
    assert "exact tie" in proof.reason


def test_the_largest_of_equal_logits_is_no_obstacle():
    def f(x):
        xp = xp_of(x)
        shifted = x - xp.max(x)
        return xp.sum(xp.exp(shifted)[1:]) / xp.sum(xp.exp(shifted))

    proof = prove_gradient(f, np.ones(4))
    assert proof.verdict == "proved right"
    np.testing.assert_allclose(proof.value, [-3 / 16, 1 / 16, 1 / 16, 1 / 16], rtol=1e-15)


def test_a_choice_that_is_not_taken_may_be_infinite():
    def f(x):
        xp = xp_of(x)
        return xp.sum(xp.where(x > 0, xp.log(x), x))

    with np.errstate(all="ignore"):
        proof = prove_gradient(f, np.asarray([2.0, -1.0]))
    assert proof.value.tolist() == [0.5, 1.0]


def test_a_number_taken_out_of_an_array_is_not_followed():
    proof = prove_gradient(lambda x: x[0] * float(x[1]), np.asarray([2.0, 3.0]))
    assert proof.verdict == "not proved"
    assert "float()" in proof.reason


def test_a_random_function_is_not_proved():
    generator = np.random.default_rng(0)

    def noisy(x):
        return x[0] * (1 + 1e-9 * generator.random())

    proof = prove_gradient(noisy, np.asarray([2.0]))
    assert proof.verdict == "not proved"
    assert "random" in proof.reason


def test_an_error_near_the_accepted_one_takes_more_digits():
    def f(x):  # an entry of 1, and one of 3e-31
        return x[0] + x[1] * 1e-30 / 3

    gradient = np.asarray([1.0, 1e-30 / 3])
    gradient[1] *= 1 + 1e-13
    proof = prove_gradient(f, np.ones(2), gradient=gradient, digits=1, rtol=1e-14)
    assert proof.verdict == "proved wrong"


def test_what_has_no_rule_is_named():
    proof = prove_gradient(lambda x: xp_of(x).real(xp_of(x).fft.fft(x))[0], np.asarray([2.0, 3.0]))
    assert proof.verdict == "not proved"
    assert "fft" in proof.reason


def test_operations_on_constants_are_followed_too():
    def f(x, shift):
        xp = xp_of(x)
        return xp.sum(x * xp.exp(shift))

    proof = prove_gradient(f, np.asarray([1.0]), np.asarray([0.1]), digits=40)
    with flint.ctx.workprec(200):
        assert proof.enclosures[0].overlaps(arb(0.1).exp())
        assert proof.enclosures[0].rad() < 1e-40


@pytest.mark.parametrize("digits", [15, 60, 300])
def test_any_number_of_digits_can_be_had(digits):
    proof = prove_gradient(lambda x: xp_of(x).sum(xp_of(x).exp(x)), np.ones(2), digits=digits)
    assert proof.verdict == "proved right"
    assert proof.digits >= digits


def wild(x):
    return xp_of(x).cos(1e60 * xp_of(x).sin(x[0]))


def test_precision_is_raised_where_digits_cancel():
    proof = prove_gradient(wild, np.asarray([0.7]))
    assert proof.verdict == "proved right"
    assert proof.precision > 128


def test_a_budget_that_ends_is_said():
    proof = prove_gradient(wild, np.asarray([0.7]), seconds=1e-9)
    assert proof.verdict == "not proved"
    assert "budget" in proof.reason


def test_matrix_functions_are_enclosed():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(3, 3))
    inverse = np.linalg.inv(a)
    det = prove_gradient(lambda a: xp_of(a).linalg.det(a), a)
    np.testing.assert_allclose(det.value, np.linalg.det(a) * inverse.T, rtol=1e-12)
    inv = prove_gradient(lambda a: xp_of(a).linalg.inv(a)[0, 1], a)
    np.testing.assert_allclose(inv.value, -np.outer(inverse[0], inverse[:, 1]), rtol=1e-12)
    symmetric = a @ a.T + np.eye(3)
    factor = prove_gradient(
        lambda a: xp_of(a).sum(xp_of(a).log(xp_of(a).linalg.diagonal(xp_of(a).linalg.cholesky(a)))),
        symmetric,
    )
    expected = np.tril(np.linalg.inv(symmetric)) - np.diag(np.diag(np.linalg.inv(symmetric))) / 2
    np.testing.assert_allclose(factor.value, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("f", "a", "reason"),
    [
        (lambda xp, a: xp.sum(xp.linalg.eigvalsh(a)), np.eye(2), "eigenvalues of eigh apart"),
        (lambda xp, a: xp.sum(xp.linalg.svdvals(a) ** 3), np.diag([1.0, 0.0]), "not finite"),
        (lambda xp, a: xp.sum(xp.linalg.qr(a)[1]), np.triu(np.ones((2, 2))), "below the diagonal"),
        (lambda xp, a: xp.sum(xp.linalg.pinv(a)), np.diag([1.0, 1e-15]), "cut off"),
        (lambda xp, a: xp.sum(xp.linalg.pinv(a)), np.ones((3, 2)), "singular"),
    ],
)
def test_where_factors_of_a_matrix_have_no_slope_none_is_proved(f, a, reason):
    proof = prove_gradient(lambda a: f(xp_of(a), a), a, seconds=0.1)
    assert proof.verdict == "not proved"
    assert reason in proof.reason
    apart = a + np.asarray([[0.1, 0.2], [0.3, 0.7]] + [[0.5, 0.6]] * (len(a) - 2))
    assert prove_gradient(lambda a: f(xp_of(a), a), apart).verdict == "proved right"


def test_what_is_right_for_symmetric_changes_is_told_from_what_is_not():
    a = np.asarray([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])

    def f(a):
        return xp_of(a).sum(xp_of(a).linalg.eigvalsh(a) ** 2)  # reads the lower triangle alone

    exact = prove_gradient(f, a).value
    np.testing.assert_allclose(exact, np.tril(4 * a) - 2 * np.diag(np.diag(a)), rtol=1e-14)
    engine = prove_gradient(f, a, gradient=(exact + exact.T) / 2)
    assert engine.verdict == "proved wrong"
    assert "symmetrised: right for symmetric changes" in engine.reason
    assert "symmetrised" not in prove_gradient(f, a, gradient=1.01 * (exact + exact.T) / 2).reason


def test_traces_and_norms_of_matrices_are_enclosed():
    a = np.asarray([[3.0, 1.0], [2.0, 5.0]])
    trace = prove_gradient(lambda a: xp_of(a).linalg.trace(a), a)
    assert trace.value.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    also = prove_gradient(lambda a: array_namespace(a).linalg.trace(a), a)
    assert also.value.tolist() == trace.value.tolist()
    norm = prove_gradient(lambda a: xp_of(a).linalg.matrix_norm(a), a)
    np.testing.assert_allclose(norm.value, a / np.linalg.norm(a), rtol=1e-15)


def test_a_singular_matrix_has_the_cofactors_as_slopes_of_its_determinant():
    proof = prove_gradient(lambda a: xp_of(a).linalg.det(a), np.asarray([[1.0, 2.0], [2.0, 4.0]]))
    assert proof.verdict == "proved right"
    assert proof.value.tolist() == [[4.0, -2.0], [-2.0, 1.0]]


def test_results_can_be_written_down():
    import json

    program, proof = PROVED[0]
    content = json.loads(json.dumps(proof.to_dict(), allow_nan=False))
    assert content["verdict"] == proof.verdict
    assert "as written" in str(proof)
    assert proof._repr_html_().startswith("<p><strong>proved right</strong>")


def test_what_cannot_be_proved_about_is_refused():
    with pytest.raises(InvalidParameters, match="int64"):
        prove_gradient(lambda x: x, np.arange(3))
    with pytest.raises(InvalidSetting, match="digits"):
        prove_gradient(lambda x: x[0], np.ones(1), digits=0)
    with pytest.raises(ShapeMismatch, match="W"):
        prove_gradient(lambda p: xp_of(p["W"]).sum(p["W"]), {"W": np.ones(3)}, gradient={})
    with pytest.raises(ShapeMismatch, match=r"\(2,\)"):
        prove_gradient(lambda x: x[0], np.ones(3), gradient=np.ones(2))


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    import importlib
    import sys

    from gradparity.backends.errors import BackendUnavailable

    arithmetic = importlib.import_module("gradparity.compare.proof.arithmetic")
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'gradparity\[proof\]'"):
        importlib.reload(arithmetic)


def test_errors_of_numbers_are_proven_to_more_digits_than_they_have():
    from gradparity.compare.proof.candidates import relative_errors

    proof = prove_gradient(lambda x: xp_of(x).exp(x), np.asarray(1.0))
    errors = relative_errors(np.asarray([math.e, 1.001 * math.e]), proof.enclosures[()])
    assert 1e-18 < errors[0] < 1.2e-16
    assert errors[1] == pytest.approx(1e-3)


def test_a_number_that_nothing_reaches_has_no_slope():
    def f(params):
        xp = xp_of(params["b"])
        low = xp.sin(xp.min(params["a"])) - xp.asarray([1.0, 2.0])
        return xp.max(xp.concat([low, params["b"]]))

    proof = prove_gradient(f, {"a": np.asarray([0.3]), "b": np.asarray([2.0, 3.0])})
    assert proof.value["a"].tolist() == [0.0]
    assert proof.value["b"].tolist() == [0.0, 1.0]
