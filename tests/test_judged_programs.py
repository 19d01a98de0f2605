"""The judge accepts right gradients of two hundred random programs, and finds planted faults."""

import pytest
from judged_programs import judged

from gradparity.compare import Verdict, check_gradient
from gradparity.compare.checking.thresholds import MOST_EVALUATIONS
from gradparity.compare.scenarios.random_programs import random_program

PROGRAMS, PARTS = 200, 8
FIRST = 1000


@pytest.mark.parametrize("part", range(PARTS))
def test_right_gradients_are_accepted_and_planted_faults_found(part):
    tally = judged(PROGRAMS // PARTS, FIRST + part * PROGRAMS // PARTS)
    assert tally.raised == []
    assert tally.alarms == []
    assert tally.unsure == []
    assert tally.missed == []
    assert tally.right == tally.accepted == PROGRAMS // PARTS
    assert tally.planted >= 0.7 * tally.right


def test_fresh_programs_raise_no_false_alarm_and_hide_no_fault(held_out_seed):
    tally = judged(10, held_out_seed)
    assert (tally.raised, tally.alarms, tally.missed) == ([], [], [])


@pytest.mark.parametrize("seed", [800050, 800564, 800857, 993359, 904057188])
def test_the_gradient_of_one_piece_is_not_called_wrong_where_kinks_meet(seed):
    program = random_program(seed)
    assert program.kinks
    check = check_gradient(program.f, program.params, gradient=program.gradient())
    assert check.verdict is not Verdict.DIFFER, str(check)
    assert check.evaluations < 2 * MOST_EVALUATIONS


def test_a_judge_that_believes_everything_would_be_noticed(monkeypatch):
    program = random_program(FIRST)
    right = check_gradient(program.f, program.params, gradient=program.gradient())
    assert right.verdict is Verdict.AGREE
    monkeypatch.setattr("judged_programs.check_gradient", lambda *_, **__: right)
    assert len(judged(5, FIRST).missed) >= 4
