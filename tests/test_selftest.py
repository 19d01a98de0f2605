"""The self-test plants what it says, counts what it finds, and fails where a checker sleeps."""

import dataclasses
import json

import numpy as np
import pytest

from gradparity.backends.errors import InvalidSetting
from gradparity.compare.selftest.planted_faults import PLANTERS, plant_faults
from gradparity.compare.selftest.rival_checkers import Answer
from gradparity.compare.selftest.selftest import SelfTest, run_selftest

SMALL = ("SimpleNet", "layer normalisation", "attention")


def example() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape) for shape in ((4, 4), (3,), (4, 4), ())]


def test_every_fault_can_be_planted():
    faults = plant_faults(example(), np.random.default_rng(1), batch=5)
    assert {fault.pattern for fault in faults} == set(PLANTERS)


@pytest.mark.parametrize("pattern", PLANTERS)
def test_a_fault_changes_its_place_and_leaves_the_right_gradient_alone(pattern):
    right, untouched = example(), example()
    (fault,) = [
        fault
        for fault in plant_faults(right, np.random.default_rng(2), batch=5)
        if fault.pattern == pattern
    ]
    assert not np.array_equal(fault.leaves[fault.leaf], right[fault.leaf])
    if fault.index is not None:
        assert fault.leaves[fault.leaf][fault.index] != right[fault.leaf][fault.index]
    for leaf, before in zip(right, untouched, strict=True):
        np.testing.assert_array_equal(leaf, before)


def test_what_would_be_no_fault_is_not_planted():
    zeros = [np.zeros((2, 2)), np.zeros(3)]
    assert plant_faults(zeros, np.random.default_rng(0), batch=1) == []


@pytest.fixture(scope="module")
def result() -> SelfTest:
    pytest.importorskip("torch")
    return run_selftest(repeats=1, functions=SMALL)


def test_gradparity_finds_and_locates_every_planted_fault(result):
    own = next(score for score in result.scores if score.checker == "gradparity")
    assert own.planted >= 15
    assert own.found == own.planted
    assert own.located == own.planted
    assert own.false_alarms == own.false_alarms_float32 == 0
    assert result.passed


def test_the_other_checkers_see_the_same_faults_and_find_some(result):
    own, *others = result.scores
    assert {score.checker for score in others} >= {"torch gradcheck, fast", "torch gradcheck, slow"}
    for score in others:
        assert 0 < score.found <= own.planted
        assert score.evaluations > 0


def test_the_result_is_json(result):
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert {"passed", "scores", "trials", "seed"} <= set(content)


def test_the_same_seed_gives_the_same_trials(result):
    again = run_selftest(repeats=1, functions=SMALL[:1])
    timeless = [
        [dataclasses.replace(t, seconds=0.0) for t in run.trials if t.function == SMALL[0]]
        for run in (result, again)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("accepts", [True, False])
def test_a_checker_that_always_says_the_same_does_not_pass(monkeypatch, accepts):
    pytest.importorskip("torch")

    def always(*_):
        return Answer(accepts, (), 1, 0.0)

    monkeypatch.setitem(run_selftest.__globals__["CHECKERS"], "gradparity", always)
    assert not run_selftest(repeats=1, functions=SMALL[:1]).passed


def test_unknown_functions_and_no_repeats_are_refused():
    with pytest.raises(InvalidSetting, match="'attention'"):
        run_selftest(functions=["atention"])
    with pytest.raises(InvalidSetting, match="repeats 0"):
        run_selftest(repeats=0)
