"""How busy other processes keep the machine, while something is timed on it."""

import os
import time
from dataclasses import dataclass
from typing import Any, Self

# A kernel's housekeeping takes a few percent of a core at all times.
NEGLIGIBLE_CORES = 0.15
# Cores count as taken from here on: no scheduler fills them to the last.
FULL = 0.9
# What psutil counts as busy, where the system has it: all but idle, iowait and the guests' time,
# which is in user's already.
BUSY = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")


@dataclass(frozen=True)
class MachineLoad:
    """What the cores that this process may use have done so far, in seconds of one core.

    busy: for all processes, and taken away by a hypervisor; None where the system does not tell
    own: for this process; wall: on the clock
    """

    busy: float | None
    own: float
    wall: float

    @classmethod
    def now(cls) -> Self:
        return cls(_busy_seconds(), time.process_time(), time.perf_counter())

    def others_since(self, earlier: "MachineLoad") -> float:
        """Return how many cores other processes have used in between, on average."""
        return self._cores_since(earlier) - (self.own - earlier.own) / (self.wall - earlier.wall)

    def disturbed_since(self, earlier: "MachineLoad") -> bool:
        """Tell whether others took cores that this process could have used.

        On cores that were idle they disturb nobody.
        """
        # The system counts in ticks, and either end may be off by one.
        unsure = 2 / _ticks_per_second() / (self.wall - earlier.wall)
        taken = self.others_since(earlier) > NEGLIGIBLE_CORES + unsure
        return taken and self._cores_since(earlier) > FULL * len(_cores())

    def _cores_since(self, earlier: "MachineLoad") -> float:
        if self.busy is None or earlier.busy is None:
            return (self.own - earlier.own) / (self.wall - earlier.wall)
        return (self.busy - earlier.busy) / (self.wall - earlier.wall)


def _busy_seconds() -> float | None:
    """Return the seconds that the cores of this process were busy; None where nobody tells."""
    import psutil

    try:
        times = psutil.cpu_times(percpu=True)
        return float(sum(_busy(times[core]) for core in _cores()))
    except (OSError, IndexError, NotImplementedError):
        return None


def _busy(core: Any) -> float:
    return sum(getattr(core, name, 0.0) for name in BUSY)


def _ticks_per_second() -> int:
    return os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 64


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
