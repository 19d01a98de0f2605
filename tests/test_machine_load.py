"""Others disturb where they take cores that the process could have used."""

from types import SimpleNamespace

import psutil
import pytest

from gradparity.compare.speed import machine_load
from gradparity.compare.speed.machine_load import MachineLoad

BEFORE = MachineLoad(busy=100.0, own=10.0, wall=50.0)
CORES = [
    SimpleNamespace(user=u, nice=n, system=s, idle=40.0, iowait=7.0, irq=i, softirq=0.5, guest=9.0)
    for u, n, s, i in ((1.0, 0.2, 0.3, 0.04), (2.0, 0, 0, 0), (3.0, 0, 0, 0))
]


def after(*, own, others, wall=2.0):
    """Return the load after `wall` seconds; own, others: cores in use."""
    return MachineLoad(
        busy=BEFORE.busy + (own + others) * wall,
        own=BEFORE.own + own * wall,
        wall=BEFORE.wall + wall,
    )


@pytest.mark.parametrize(
    ("own", "others", "disturbed"),
    [
        pytest.param(2.0, 0.0, False, id="alone on all cores"),
        pytest.param(1.95, 0.05, False, id="beside the kernel's housekeeping"),
        pytest.param(1.0, 0.5, False, id="others on an idle core"),
        pytest.param(1.0, 1.0, True, id="others on what would be the second core"),
        pytest.param(0.4, 1.6, True, id="crowded out"),
    ],
)
def test_others_disturb_when_no_core_is_left(monkeypatch, own, others, disturbed):
    monkeypatch.setattr(machine_load, "_cores", lambda: {0, 1})
    assert after(own=own, others=others).disturbed_since(BEFORE) is disturbed
    assert after(own=own, others=others).others_since(BEFORE) == pytest.approx(others)


def test_a_tick_of_the_system_is_no_other_process(monkeypatch):
    monkeypatch.setattr(machine_load, "_cores", lambda: {0, 1})
    monkeypatch.setattr(machine_load, "_ticks_per_second", lambda: 100)
    assert not after(own=1.9, others=0.2, wall=0.1).disturbed_since(BEFORE)
    assert after(own=1.5, others=0.5, wall=0.1).disturbed_since(BEFORE)
    assert after(own=1.9, others=0.2, wall=1.0).disturbed_since(BEFORE)


def test_a_system_that_does_not_tell_counts_as_quiet():
    unknown = MachineLoad(busy=None, own=1.0, wall=60.0)
    assert not MachineLoad(busy=None, own=2.0, wall=61.0).disturbed_since(unknown)
    assert not after(own=0.1, others=1.9).disturbed_since(unknown)


def test_only_cores_of_this_process_count_and_neither_idle_nor_guest_time(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: CORES)
    monkeypatch.setattr(machine_load, "_cores", lambda: {0, 2})
    assert MachineLoad.now().busy == pytest.approx(1.0 + 0.2 + 0.3 + 0.04 + 0.5 + 3.0 + 0.5)


def test_no_statistics_are_no_error(monkeypatch):
    def missing(percpu):
        raise FileNotFoundError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", missing)
    assert MachineLoad.now().busy is None
