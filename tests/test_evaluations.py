"""Calls are counted, and a loop of them is stopped as soon as it is sure to take too long."""

import itertools
import time

import pytest

from gradparity.compare.engines.evaluations import SAMPLE_SECONDS, WINDOW, Evaluations, OutOfTime

PAUSE = 2e-3


def slow(x):
    """Return x."""
    time.sleep(PAUSE)
    return x


def run(evaluations, calls):
    return [evaluations(number) for number in range(calls)]


def report_entries(evaluations, total):
    for done in range(1, total + 1):
        time.sleep(PAUSE)
        evaluations.entries_done(done, total)


def test_calls_are_counted_and_passed_on():
    counted = Evaluations(slow)
    assert run(counted, 7) == list(range(7))
    assert counted.count == 7


def test_it_goes_by_the_name_of_the_function():
    assert (Evaluations(slow).__name__, Evaluations(slow).__doc__) == ("slow", "Return x.")


def test_a_loop_over_its_budget_is_stopped_after_a_sample():
    counted = Evaluations(slow, expected=100_000, budget=10.0)
    with pytest.raises(OutOfTime):
        run(counted, 100_000)
    # Pauses are never shorter than asked for: no more of them fit into the sample.
    assert WINDOW < counted.count <= SAMPLE_SECONDS / PAUSE + 2


def test_the_prediction_is_all_evaluations_at_the_pace_of_the_sample():
    counted = Evaluations(slow, expected=100_000, budget=1.0)
    with pytest.raises(OutOfTime):
        run(counted, 100_000)
    # A pause is never shorter than asked for; a busy machine makes it longer.
    assert 100_000 * PAUSE <= counted.predicted() < 20 * 100_000 * PAUSE


def test_a_few_stalls_of_the_machine_do_not_move_the_prediction():
    durations = [1.0] * 40 + [500.0] + [1.0] * 40
    counted = Evaluations(slow, expected=1000)
    counted._starts = list(itertools.accumulate(durations))
    assert counted.predicted() == pytest.approx(1000.0)


def test_a_loop_is_sampled_no_longer_than_it_may_take():
    counted = Evaluations(slow, expected=100_000, budget=SAMPLE_SECONDS / 10)
    with pytest.raises(OutOfTime):
        run(counted, 100_000)
    assert WINDOW < counted.count <= SAMPLE_SECONDS / 10 / PAUSE + WINDOW + 2


def test_a_loop_within_its_budget_runs_to_its_end():
    counted = Evaluations(slow, expected=200, budget=1000.0)
    run(counted, 200)
    assert counted.count == 200


def test_nothing_is_stopped_where_the_number_of_calls_is_not_known():
    counted = Evaluations(slow, budget=0.0)
    run(counted, 2 * int(SAMPLE_SECONDS / PAUSE))
    assert counted.count == 2 * int(SAMPLE_SECONDS / PAUSE)


def test_a_sweep_that_tells_its_entries_is_stopped_by_these():
    counted = Evaluations(slow, budget=10.0)
    counted(0)
    with pytest.raises(OutOfTime):
        report_entries(counted, 100_000)
    assert counted.count == 1
    assert counted.predicted() >= 100_000 * PAUSE


def test_a_sweep_whose_entries_come_fast_enough_is_not_stopped():
    counted = Evaluations(slow, budget=1000.0)
    counted(0)
    report_entries(counted, 200)
    assert counted.predicted() >= 200 * PAUSE


def test_what_a_sweep_does_once_is_not_multiplied_by_its_entries():
    counted = Evaluations(slow, budget=1000.0)
    counted(0)
    time.sleep(0.3)  # planning
    report_entries(counted, 100)
    reported = counted._reports[-1][0] - counted._starts[0]
    assert counted.predicted() == pytest.approx(reported, rel=1e-6)
    counted._reports = counted._reports[:11]
    pace = (counted._reports[10][0] - counted._reports[0][0]) / 10
    planned = counted._reports[0][0] - counted._starts[0]
    assert counted.predicted() == pytest.approx(planned + 99 * pace)
