"""A check with a proof beside it: the proof decides where it can, and says so where it cannot."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("flint")

from gradparity.backends.errors import InvalidSetting  # noqa: E402
from gradparity.compare import check_gradient, prove_gradient  # noqa: E402
from gradparity.compare.checking.check import with_proof  # noqa: E402
from gradparity.compare.scenarios.random_programs import planted_faults, random_program  # noqa: E402
from gradparity.compare.verdicts import Verdict  # noqa: E402

X = np.asarray([0.3, -1.2, 2.0])


def f(x):
    return np.sum(np.sin(x) * x)


def rule(x):
    return np.sin(x) + x * np.cos(x)


def slightly_wrong(x):
    wrong = rule(x)
    wrong[1] *= 1 + 1e-12
    return wrong


def test_a_proof_finds_what_no_difference_resolves():
    assert check_gradient(f, X, gradient=slightly_wrong).verdict == "agree"
    check = check_gradient(f, X, gradient=slightly_wrong, proof=True)
    assert check.verdict == "differ"
    assert check.proof.verdict == "proved wrong"
    (suspect,) = check.suspects
    assert suspect.index == (1,)
    assert [leaf.verdict for leaf in check.leaves] == ["differ"]
    assert check.reason.startswith("proved wrong")
    assert check.to_dict()["proof"]["verdict"] == "proved wrong"


def test_a_right_gradient_is_proved_right():
    check = check_gradient(f, X, gradient=rule, proof=True)
    assert check.verdict == "agree"
    assert check.proof.verdict == "proved right"
    assert "proved right" in str(check)
    assert check_gradient(f, X, gradient=rule).proof is None


def test_what_the_caller_accepts_is_no_fault():
    for settings in ({"rtol": 1e-6}, {"tolerance": 1e-6}):
        check = check_gradient(f, X, gradient=slightly_wrong, proof=True, **settings)
        assert check.verdict == "agree"
        assert check.proof.verdict == "proved wrong"


def test_a_proof_decides_where_differences_cannot_tell():
    undecided = replace(check_gradient(f, X, gradient=rule), verdict=Verdict.CANNOT_TELL)
    check = with_proof(undecided, prove_gradient(f, X, gradient=rule), False)
    assert check.verdict == "agree"
    assert check.reason.startswith("proved right")
    unproven = prove_gradient(lambda x: np.sum(np.abs(x)), np.zeros(2))
    assert with_proof(undecided, unproven, False).verdict == "cannot tell"


def test_where_nothing_is_proved_what_was_measured_stands():
    check = check_gradient(lambda x: np.sum(np.abs(x)), np.zeros(2), gradient=np.sign, proof=True)
    assert check.proof.verdict == "not proved"
    assert (
        check.verdict
        == check_gradient(lambda x: np.sum(np.abs(x)), np.zeros(2), gradient=np.sign).verdict
    )


def test_a_contradiction_leaves_neither_standing():
    check = check_gradient(f, X, gradient=lambda x: 2 * rule(x))
    proof = prove_gradient(f, X, gradient=rule)
    assert with_proof(check, proof, False).verdict == "cannot tell"
    agreeing = replace(check, verdict=Verdict.AGREE)
    assert with_proof(agreeing, proof, False).verdict == "agree"


def test_a_cotangent_is_refused_with_a_way_out():
    with pytest.raises(InvalidSetting, match="inside f"):
        check_gradient(np.sin, X, gradient=np.cos(X), cotangent=np.ones(3), proof=True)


def test_no_verdict_contradicts_a_proof():
    for program in map(random_program, range(12)):
        if program.kinks:
            continue
        gradients = [program.gradient()]
        gradients += [wrong for _, wrong in planted_faults(gradients[0], program.seed)[:1]]
        for gradient in gradients:
            check = check_gradient(program.f, program.params, gradient=gradient)
            proof = prove_gradient(program.f, program.params, gradient=gradient)
            pair = (str(check.verdict), str(proof.verdict))
            assert pair not in {("differ", "proved right"), ("agree", "proved wrong")}, str(program)
