"""Blocks give every engine its own figure, by a clock that only the tests can move."""

import itertools

import numpy as np
import pytest

from gradparity.compare.speed.timing_blocks import (
    BLOCK_SECONDS,
    FEWEST_BLOCKS,
    LOOK_SECONDS,
    PATIENCE,
    SETTLING_SECONDS,
    WARM_UP_SECONDS,
    BlockTimer,
    TimedCall,
)

COSTS = {"numerical": 0.7e-3, "jax": 0.5e-3, "torch": 1.1e-3}
SPINNING = 0.1  # seconds for which idle threads of an engine look for work
BLOCKS = round(1.0 / BLOCK_SECONDS)  # of a second
SLOWER = 5.0  # with its cores taken by threads of another engine


class Machine:
    """Engines on one clock: whoever runs while threads of another engine spin is slower."""

    def __init__(self):
        self.clock = 0.0
        self.spun = 0.0
        self.last_call = {}
        self.calls = []

    def now(self):
        return self.clock

    def engine(self, name, cost=None):
        """Return a call of this engine that returns its seconds, as an honest clock sees them."""

        def call():
            others = [end for other, end in self.last_call.items() if other != name]
            spinning = any(self.clock - end < SPINNING for end in others)
            seconds = (cost or COSTS[name]) * (SLOWER if spinning else 1.0)
            self.clock += seconds
            self.last_call[name] = self.clock
            self.calls.append(name)
            return seconds

        return {"gradient": TimedCall(call)}

    def others(self):
        return self.spun

    def keep_busy(self, seconds):
        for end in self.last_call.values():
            self.spun += max(0.0, min(end + SPINNING - self.clock, seconds))
        self.clock += seconds

    def timer(self, **settings):
        machine = {"now": self.now, "others": self.others, "keep_busy": self.keep_busy}
        return BlockTimer(**{"load": lambda: Quiet()} | machine | settings)

    def medians(self, names, **settings):
        timings = self.timer(**settings).time([self.engine(name) for name in names])
        return {name: timed["gradient"].median for name, timed in zip(names, timings, strict=True)}


class Quiet:
    def disturbed_since(self, earlier):
        return False


class Loud:
    """A machine with another process on it, for as many looks at it as given."""

    def __init__(self, disturbed):
        self.disturbed = disturbed
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return self

    def disturbed_since(self, earlier):
        return self.looks // 2 <= self.disturbed


def test_every_engine_in_turn_is_level_with_itself_alone():
    assert Machine().medians(COSTS) == pytest.approx(COSTS, rel=0.01)


def test_call_by_call_engines_would_disturb_each_other():
    measured = Machine().medians(COSTS, minimum_time=1e-3, settling=0.0)
    assert all(measured[name] > 2 * cost for name, cost in COSTS.items())


def test_every_call_is_timed_for_the_minimum_and_in_several_blocks():
    machine = Machine()
    timings = machine.timer(minimum_time=1.0).time([machine.engine(name) for name in COSTS])
    for timed in timings:
        assert 1.0 <= timed["gradient"].seconds.sum() < 1.2
    turns = [a for a, b in zip(machine.calls, [None, *machine.calls], strict=False) if a != b]
    # Each round begins where the one before it ended: the two blocks there follow each other.
    back_and_forth = itertools.cycle(["numerical", "jax", "torch", "jax"])
    assert turns == [name for name, _ in zip(back_and_forth, range(2 * BLOCKS + 1), strict=False)]


def test_calls_longer_than_a_block_are_repeated_for_quartiles():
    machine = Machine()
    (timed,) = machine.timer(minimum_time=1.0).time([machine.engine("numerical", cost=4.0)])
    assert len(timed["gradient"].seconds) == FEWEST_BLOCKS


def test_only_short_calls_are_warmed_up():
    machine = Machine()
    calls = machine.engine("jax") | {"long": machine.engine("jax", cost=4.0)["gradient"]}
    (timed,) = machine.timer(minimum_time=1.0).time([calls])
    between = BLOCKS * (SPINNING + LOOK_SECONDS + WARM_UP_SECONDS)
    assert machine.clock == pytest.approx(1.0 + 4.0 * FEWEST_BLOCKS + between, abs=0.2)
    assert len(timed["long"].seconds) == FEWEST_BLOCKS


@pytest.mark.parametrize(
    ("others", "waited"),
    [
        pytest.param(lambda machine: 0.0, LOOK_SECONDS, id="no threads that spin"),
        pytest.param(lambda machine: machine.clock, SETTLING_SECONDS, id="threads always at work"),
    ],
)
def test_a_turn_waits_as_long_as_needed_but_not_for_ever(others, waited):
    machine = Machine()
    machine.timer(others=lambda: others(machine)).time([machine.engine("jax")])
    assert machine.clock == pytest.approx(1.0 + BLOCKS * (waited + WARM_UP_SECONDS), rel=0.05)


def test_long_calls_are_spread_over_the_time_of_all():
    machine = Machine()
    engines = [machine.engine("jax"), machine.engine("numerical", cost=0.3)]
    machine.timer(minimum_time=1.0).time(engines)
    when = [place for place, name in enumerate(machine.calls) if name == "numerical"]
    assert when[0] < 0.1 * len(machine.calls)
    assert when[-1] > 0.6 * len(machine.calls)


def test_quartiles_are_those_of_single_calls():
    machine = Machine()
    durations = iter(np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 20))

    def call():
        seconds = next(durations)
        machine.clock += seconds
        return seconds

    timer = machine.timer(minimum_time=90.0, settling=0.0)
    (timed,) = timer.time([{"gradient": TimedCall(call)}])
    assert timed["gradient"].median == 3.0
    assert timed["gradient"].quartiles == (2.0, 4.0)


def test_disturbed_blocks_are_repeated_and_do_not_count():
    machine, load = Machine(), Loud(disturbed=4)
    (timed,) = machine.timer(load=load).time([machine.engine("jax")])
    assert load.looks // 2 == 4 + BLOCKS
    assert timed["gradient"].disturbed == 0.0
    assert timed["gradient"].seconds.sum() == pytest.approx(1.0, rel=0.1)


def test_a_machine_that_is_never_quiet_is_measured_all_the_same_and_said_to_be_disturbed():
    machine = Machine()
    (timed,) = machine.timer(load=Loud(disturbed=10**6)).time([machine.engine("jax")])
    assert timed["gradient"].disturbed == 1.0
    assert timed["gradient"].seconds.sum() == pytest.approx(PATIENCE * 1.0, rel=0.1)


def test_progress_goes_from_nothing_to_all():
    machine, shares = Machine(), []
    machine.timer().time([machine.engine(name) for name in COSTS], shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1
