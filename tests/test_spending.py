"""What a check may spend ends it with what is known so far; slow work says how much is to come."""

import datetime
import re
import time

import numpy as np
import pytest

import gradparity as gp
from gradparity.backends.errors import InvalidSetting
from gradparity.compare.checking import spending
from gradparity.compare.checking.spending import Spending, duration
from gradparity.compare.checking.thresholds import MOST_EVALUATIONS
from gradparity.models.progress import announced

X = np.linspace(0.5, 2.0, 60)


class Loss:
    """Counts its calls; each takes `seconds`."""

    def __init__(self, seconds=0.0):
        self.calls, self.seconds = 0, seconds

    def __call__(self, x):
        self.calls += 1
        time.sleep(self.seconds)
        return (x**3).sum()


def wrong(x):
    gradient = 3 * x**2
    gradient[[3, 40]] *= 1.01
    return gradient


def test_calls_of_f_end_with_the_budget():
    f = Loss()
    check = gp.check_gradient(f, X, gradient=wrong, budget=10)
    assert check.evaluations == f.calls == 10
    assert check.verdict == "cannot tell"
    assert check.reason == "params: the budget of 10 calls of f was spent"
    assert gp.check_gradient(Loss(), X, gradient=wrong).verdict == "differ"


@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_an_engine_that_is_asked_for_a_reference_is_counted(engine):
    pytest.importorskip(engine)
    for gradient, verdict in ((wrong, "differ"), (3 * X**2, "agree")):
        f = Loss()
        check = gp.check_gradient(f, X, gradient=gradient, backend=engine)
        assert check.verdict == verdict
        assert f.calls <= check.evaluations + (engine == "jax")  # which traces f to compile it
        for budget in (3, 4, 7):
            f = Loss()
            assert gp.check_gradient(f, X, gradient=gradient, budget=budget).evaluations == budget
            assert f.calls == budget


class Opaque(Loss):
    """No engine can differentiate it: what is wrong is found entry by entry."""

    def __call__(self, x):
        return float(super().__call__(np.array(x, copy=True)))


def test_what_was_found_before_the_end_is_kept():
    whole = gp.check_gradient(f := Opaque(), X, gradient=wrong)
    kept = gp.check_gradient(Opaque(), X, gradient=wrong, budget=f.calls - 50)
    assert kept.verdict == "differ"
    assert {s.index for s in kept.suspects} < {s.index for s in whole.suspects} == {(3,), (40,)}


@pytest.mark.parametrize("budget", [range(3, 40)], ids=["up to forty calls"])
def test_no_budget_lets_a_wrong_gradient_agree(budget):
    for calls in budget:
        assert gp.check_gradient(Loss(), X, gradient=wrong, budget=calls).verdict != "agree"


def test_a_time_is_a_budget():
    for given in ("50 ms", datetime.timedelta(milliseconds=50)):
        f = Loss(seconds=0.01)
        check = gp.check_gradient(f, X, gradient=wrong, budget=given)
        assert check.verdict == "cannot tell"
        assert "the budget of 0.05 s was spent" in str(check)
        assert f.calls <= 8
    assert gp.check_gradient(Loss(), X, gradient=3 * X**2, budget="1 min").verdict == "agree"


@pytest.mark.parametrize(
    "given", [0, -3, True, 2.5, "30", "soon", "0 s", "1.5 calls", datetime.timedelta(0)]
)
def test_what_is_no_budget_is_refused_by_name(given):
    with pytest.raises(InvalidSetting, match="budget: got .*such as 200, or a time"):
        gp.check_gradient(Loss(), X, gradient=3 * X**2, budget=given)


def test_budgets_can_be_written():
    for text, read in {
        "200 calls": (200, np.inf), "30s": (None, 30.0), "5 min": (None, 300.0),
        "2 minutes": (None, 120.0), "1.5 h": (None, 5400.0),
    }.items():  # fmt: skip
        granted = Spending(text)
        assert (granted.calls, granted.seconds) == read


def test_every_kind_of_check_has_a_budget():
    identity, vector = np.diag(2 * X), np.ones(60)
    checks = [
        gp.check_pushforward(lambda x: x**2, X, tangent=vector, output_tangent=2 * X, budget=4),
        gp.check_jacobian(lambda x: x**2, X, jacobian=identity, budget=4),
        gp.check_hessian(lambda x: (x**3).sum() / 3, X, hessian=identity, budget=4),
        gp.compare_gradients(Loss(), X, backends=["numerical"], budget=4),
    ]
    assert [check.verdict for check in checks] == ["cannot tell"] * 4
    assert all("budget" in str(check) for check in checks)
    assert all(check.evaluations <= 6 for check in checks)


def test_slow_work_says_how_many_calls_are_to_come(monkeypatch):
    told = []
    monkeypatch.setattr(spending, "QUIET_SECONDS", 0.02)
    with announced("outer", quiet=True):
        gp.check_gradient(Loss(seconds=0.01), X, gradient=3 * X**2)  # a quiet caller stays quiet
    monkeypatch.setattr(spending, "announced", lambda title: told_by(title, told))
    gp.check_gradient(Loss(seconds=0.01), X, gradient=3 * X**2)
    assert told[0] == "checking Loss"
    assert re.fullmatch(
        rf"call [23] of {MOST_EVALUATIONS:,} at most, about \d s left where all is right, "
        r"\d+ (s|min) left at most",
        told[1],
    )
    assert told[-1] == "over"
    told.clear()
    monkeypatch.setattr(spending, "QUIET_SECONDS", 60.0)  # a busy machine takes its time
    gp.check_gradient(Loss(), X, gradient=3 * X**2)
    assert told == []


def test_nothing_is_promised_of_a_search_after_the_first():
    granted = Spending()
    granted.made = 100
    assert granted._told(1.0).startswith("call 101 of 1,500 at most")
    granted.made = MOST_EVALUATIONS + 100
    assert granted._told(1.0) == "call 1,601"


class told_by:
    def __init__(self, title, told):
        self.title, self.told = title, told

    def __enter__(self):
        self.told.append(self.title)
        return lambda what, share: self.told.append(what)

    def __exit__(self, *error):
        self.told.append("over")


def test_times_are_written_as_a_person_says_them():
    assert [duration(s) for s in (4.4, 720, 12600)] == ["4 s", "12 min", "3.5 h"]
