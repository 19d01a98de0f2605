"""Time several engines in one process without letting their thread pools disturb each other.

When an engine has finished, its idle OpenMP and BLAS threads go on spinning, in wait for the next
call: OpenBLAS's for a tenth of a second. Called in turn, each engine would find its cores taken by
the threads of the one before, and seem several times slower than it is. So every engine gets blocks
of many calls, and waits for all threads to fall asleep before its turn. The blocks alternate, so
that slow drifts of the machine reach all engines alike.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .machine_load import MachineLoad

# OpenMP of Intel and LLVM spins for 0.2 s, all others for less.
SETTLING_SECONDS = 0.3
# A system may count what threads on other cores do in ticks, of 10 ms at most.
LOOK_SECONDS = 0.02
# Of one core: a thread that spins takes all of it.
ASLEEP = 0.2
# Calls at the start of a turn that do not count: they wake the engine's own threads.
WARM_UP_SECONDS = 0.01
# Many short blocks, so that all engines meet the same moods of a machine: neighbours on a virtual
# one may slow down either core by half, for some tenths of a second, and no statistics show it.
BLOCK_SECONDS = 0.025
# Calls that are longer than a block are repeated so often at least: there have to be quartiles.
FEWEST_BLOCKS = 3
# Blocks that others disturb are repeated, until this many times the minimum time is spent.
PATIENCE = 3


@dataclass(frozen=True, eq=False)
class Timings:
    """What single calls took.

    seconds: shape (calls,); disturbed: share of their blocks in which others took the cores
    """

    seconds: NDArray[np.float64]
    disturbed: float = 0.0

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def fastest(self) -> float:
        return float(np.min(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.quantile(self.seconds, (0.25, 0.75))
        return float(low), float(high)


class Load(Protocol):
    """What the machine has done so far, as `MachineLoad` tells it."""

    def disturbed_since(self, earlier: Any) -> bool: ...


@dataclass(frozen=True)
class Block:
    """Calls in a row: what each counts with, and how long they took together."""

    seconds: list[float]
    duration: float


@dataclass
class TimedCall:
    """Something to call under the clock, and the blocks of its calls so far.

    call: does its work once, waits for the results, and returns the seconds to count it with
    latest: how long the latest call took
    """

    call: Callable[[], float]
    latest: float = math.inf
    quiet: list[Block] = field(default_factory=list)
    disturbed: list[Block] = field(default_factory=list)

    def share(self, minimum_time: float) -> float:
        """Return how much of its measurement is done, 1 when nothing is left to do."""
        blocks = [*self.quiet, *self.disturbed]
        return min(
            max(_share(self.quiet, minimum_time), _share(blocks, PATIENCE * minimum_time)), 1.0
        )

    def timings(self, minimum_time: float) -> Timings:
        """Return the calls of the quiet blocks, or of all where those are too few."""
        disturbed = [] if _share(self.quiet, minimum_time) >= 1 else self.disturbed
        blocks = [*self.quiet, *disturbed]
        return Timings(
            np.concatenate([block.seconds for block in blocks]), len(disturbed) / len(blocks)
        )


def _share(blocks: Sequence[Block], time: float) -> float:
    return min(sum(block.duration for block in blocks) / time, len(blocks) / FEWEST_BLOCKS)


def _keep_busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@dataclass(frozen=True, kw_only=True)
class BlockTimer:
    """How long to measure, and by which clock.

    minimum_time: seconds of calls that count, for each call of each engine
    settling: seconds to wait, at most, for other engines' threads before a turn
    now, others: seconds on the clock, and of all cores for the other threads of this process
    keep_busy: spends some seconds; a core that has slept for 0.1 s is slow for as long again
    """

    minimum_time: float = 1.0
    settling: float = SETTLING_SECONDS
    now: Callable[[], float] = time.perf_counter
    others: Callable[[], float] = lambda: time.process_time() - time.thread_time()
    keep_busy: Callable[[float], None] = _keep_busy
    load: Callable[[], Load] = MachineLoad.now

    def time(
        self,
        engines: Sequence[Mapping[str, TimedCall]],
        progress: Callable[[float], None] = lambda share: None,
    ) -> list[dict[str, Timings]]:
        """Return the timings of every engine's calls, by their names.

        engines: their calls, ready to be made: nothing is left to compile
        progress: called with the share of the work that is done
        """
        shares = {id(timed): 0.0 for calls in engines for timed in calls.values()}
        backwards = False
        while (least := min(shares.values(), default=1.0)) < 1:
            # Long calls, done in a few blocks, wait for the others: all see the same times.
            bound = min(1.0, least + BLOCK_SECONDS / self.minimum_time)
            for calls in reversed(engines) if backwards else engines:
                left = [timed for timed in calls.values() if shares[id(timed)] < bound]
                if left:
                    self._add_blocks(left)
                for timed in left:
                    shares[id(timed)] = timed.share(self.minimum_time)
                progress(sum(shares.values()) / len(shares))
            backwards = not backwards  # so that no engine runs behind the same one always
        return [
            {name: timed.timings(self.minimum_time) for name, timed in calls.items()}
            for calls in engines
        ]

    def _add_blocks(self, left: Collection[TimedCall]) -> None:
        """Give an engine its turn: a block for each of its calls that are not done yet."""
        before = self.load()
        self._let_threads_fall_asleep()
        self._warm_up(left)
        blocks = [self._block(timed) for timed in left]
        disturbed = self.load().disturbed_since(before)
        for timed, block in zip(left, blocks, strict=True):
            (timed.disturbed if disturbed else timed.quiet).append(block)

    def _let_threads_fall_asleep(self) -> None:
        end = self.now() + self.settling
        while self.now() < end:
            start, busy = self.now(), self.others()
            self.keep_busy(LOOK_SECONDS)
            if self.others() - busy < ASLEEP * (self.now() - start):
                return

    def _warm_up(self, calls: Collection[TimedCall]) -> None:
        short = [timed for timed in calls if timed.latest < WARM_UP_SECONDS]
        end = self.now() + WARM_UP_SECONDS
        while short and self.now() < end:
            for timed in short:
                self._call(timed)

    def _block(self, timed: TimedCall) -> Block:
        start = self.now()
        end = start + min(BLOCK_SECONDS, self.minimum_time / FEWEST_BLOCKS)
        seconds = [self._call(timed)]
        while self.now() < end:
            seconds.append(self._call(timed))
        return Block(seconds, self.now() - start)

    def _call(self, timed: TimedCall) -> float:
        start = self.now()
        seconds = timed.call()
        timed.latest = self.now() - start
        return seconds
