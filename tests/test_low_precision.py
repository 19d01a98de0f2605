"""Verdicts in low precision: as good as eager, wrong beyond it, or not to be told."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gradparity.backends.errors import InvalidSetting
from gradparity.backends.rounding import measure_rounding
from gradparity.backends.rounding.scatter import LeafRounding, Rounding
from gradparity.compare import Verdict
from gradparity.compare.cli import app
from gradparity.compare.low_precision.judging import ALL_RUNS, FIRST_RUNS, judge
from gradparity.compare.low_precision.selftest import CHECKERS, run_low_precision_selftest
from gradparity.compare.low_precision.yardstick import compare_accuracy, unit_in_the_last_place
from gradparity.compare.scenarios.layers import LAYERS

SHAPES = ((6, 5), (7,))


def drawn(scatter=1e-2, dtype="bfloat16", *, runs=FIRST_RUNS, size=1.0, seed=0):
    """Return a rounding with independent normal errors of a given scatter, and a right claim."""
    generator = np.random.default_rng(seed)
    truths = [size * generator.choice([-1.0, 1.0], size=shape) for shape in SHAPES]
    errors = [scatter * generator.normal(size=(ALL_RUNS + 1, *shape)) for shape in SHAPES]

    def after(number):
        leaves = tuple(
            LeafRounding(name, dtype, truth, error[:number], error[-1])
            for name, truth, error in zip("ab", truths, errors, strict=True)
        )
        return Rounding("torch", dtype, number, seed, leaves, (), (), (), after)

    claim = [truth + error[-1] for truth, error in zip(truths, errors, strict=True)]
    return after(runs), claim


def test_a_claim_like_the_runs_agrees_and_says_how_fine_that_is():
    rounding, claim = drawn()
    found = judge(rounding, claim)
    assert found.verdict is Verdict.AGREE
    assert found.reason.startswith("right to 2.1e-02, as good as eager bfloat16 (")
    assert all(leaf.verdict is Verdict.AGREE for leaf in found.leaves)


def test_what_no_run_loses_differs_and_names_leaf_and_entry():
    rounding, claim = drawn()
    claim[0][2, 3] *= 1.3
    found = judge(rounding, claim)
    assert found.verdict is Verdict.DIFFER
    assert [leaf.verdict for leaf in found.leaves] == [Verdict.DIFFER, Verdict.AGREE]
    assert found.leaves[0].wrong_entries == ((2, 3),)
    assert found.leaves[1].wrong_entries == ()
    assert found.reason.startswith("leaf a is off by 5.")
    assert "(single entries)" in found.reason
    assert found.rounding.runs == ALL_RUNS


def test_a_scatter_as_large_as_the_gradient_tells_nothing():
    for scatter in (0.5, 3.0):
        rounding, claim = drawn(scatter)
        found = judge(rounding, claim)
        assert found.verdict is Verdict.CANNOT_TELL
        assert "hides what is wrong" in found.reason
        assert judge(rounding, [0 * leaf for leaf in claim]).verdict is not Verdict.AGREE


def test_the_limit_of_float32_is_that_of_float64():
    assert judge(*drawn(1e-2, "float32")).verdict is Verdict.CANNOT_TELL
    assert judge(*drawn(1e-6, "float32")).verdict is Verdict.AGREE


def test_an_error_between_rounding_and_a_fault_is_not_told():
    rounding, claim = drawn(runs=ALL_RUNS)
    truth = rounding.leaves[0].truth
    doubtful = [truth + 0.035 * np.eye(6, 5), claim[1]]
    found = judge(rounding, doubtful)
    assert 1.0 < found.leaves[0].standing.score < 2.0
    assert found.verdict is Verdict.CANNOT_TELL
    assert "too little to be sure" in found.reason


def test_a_leaf_that_is_zero_but_for_rounding_may_be_anything_as_small():
    rounding, claim = drawn(size=1e-12, scatter=1e-3)
    found = judge(rounding, claim)
    assert all(leaf.is_zero for leaf in found.leaves)
    assert found.verdict is Verdict.AGREE
    assert judge(rounding, [leaf + 0.1 for leaf in claim]).verdict is Verdict.DIFFER


def test_an_overflow_in_the_runs_tells_nothing():
    rounding, claim = drawn()
    rounding.leaves[1].errors[3, 2] = np.inf
    assert judge(rounding, claim).verdict is Verdict.CANNOT_TELL


def test_a_yardstick_twice_as_good_makes_a_kernel_worse_and_an_equal_one_does_not():
    rounding, claim = drawn(runs=ALL_RUNS)
    truths = [leaf.truth for leaf in rounding.leaves]
    worse = [truth + 2 * (one - truth) for truth, one in zip(truths, claim, strict=True)]
    found = compare_accuracy(rounding, worse, claim)
    assert found.worse
    assert found.ratio == pytest.approx(2.0)
    assert found.confidence > 0.99
    assert str(found).startswith("worse: ")
    reverse = compare_accuracy(rounding, claim, worse)
    assert reverse.better
    assert not reverse.worse
    alike = [
        truth + error[5]
        for truth, error in zip(truths, [leaf.errors for leaf in rounding.leaves], strict=True)
    ]
    equal = compare_accuracy(rounding, alike, claim)
    assert not equal.worse
    assert not equal.better
    assert "not told apart" in str(equal)
    assert json.loads(json.dumps(found.to_dict()))["worse"] is True


def test_errors_in_units_of_the_last_place():
    np.testing.assert_array_equal(
        unit_in_the_last_place(np.asarray([1.0, 1.9, 2.0, -0.75]), "float16"),
        np.asarray([2.0**-10, 2.0**-10, 2.0**-9, 2.0**-11]),
    )
    assert unit_in_the_last_place(np.asarray([0.0]), "float16")[0] == 2.0**-24
    rounding, _ = drawn(runs=4)
    off = [leaf.truth.copy() for leaf in rounding.leaves]
    off[1][4] += 3 * 2.0**-7 * np.sign(off[1][4])
    found = compare_accuracy(rounding, off, [leaf.truth for leaf in rounding.leaves])
    assert (found.claim.worst_ulps, found.claim.leaf, found.claim.index) == (3.0, "b", (4,))
    assert found.yardstick.worst_ulps == 0.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_eager_agrees_with_itself_and_zeros_never_do(load_backend, dtype):
    load_backend("torch")
    for subject in LAYERS[::4]:
        params, args = subject.draw(np.random.default_rng(5), 7)
        rounding = measure_rounding(subject.f, params, args, dtype, backend_name="torch")
        eager = [leaf.truth + leaf.eager for leaf in rounding.leaves]
        assert judge(rounding, eager).verdict is Verdict.AGREE, subject.name
        for wrong in ([0 * leaf for leaf in eager], [1.2 * leaf for leaf in eager]):
            assert judge(rounding, wrong).verdict is Verdict.DIFFER, subject.name


@pytest.fixture(scope="module")
def tested():
    pytest.importorskip("torch")
    return run_low_precision_selftest("bfloat16", functions=["product", "tanh", "layer norm"])


def test_the_selftest_finds_what_usual_tests_miss(tested):
    assert tested.passed
    assert tested.false_alarms("gradparity")[0] == 0
    assert tested.false_alarms("allclose")[0] > 0
    sizes, shares = tested.share_found("gradparity", "missing mean")
    twice = tested.share_found("twice eager's error", "missing mean")[1]
    assert sum(shares) > sum(twice)
    sizes, shares = tested.share_found("gradparity")
    assert sizes == sorted(sizes)
    assert shares[-1] == 1.0
    json.dumps(tested.to_dict(), allow_nan=False)


def test_a_sleeping_checker_fails_the_selftest(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(CHECKERS, "gradparity", lambda case: "agree")
    assert not run_low_precision_selftest("float16", functions=["tanh"]).passed


def test_the_selftest_refuses_what_it_does_not_know():
    with pytest.raises(InvalidSetting, match="float64"):
        run_low_precision_selftest("float64")
    with pytest.raises(InvalidSetting, match="'attention'"):
        run_low_precision_selftest("bfloat16", functions=["atention"])


def test_the_command_prints_a_table_and_draws(tmp_path):
    pytest.importorskip("torch")
    report = tmp_path / "selftest.json"
    command = ["selftest", "--dtype", "bfloat16", "--functions", "tanh,product", "--repeats", "1"]
    run = CliRunner().invoke(app, [*command, "--plots", str(tmp_path), "--json", str(report)])
    assert run.exit_code == 0, run.output
    assert "twice eager's error" in run.output
    assert json.loads(report.read_text())["passed"]
    assert (tmp_path / "found-bfloat16.png").stat().st_size > 10_000
    wrong = CliRunner().invoke(app, ["selftest", "--dtype", "float8"])
    assert wrong.exit_code == 2
