"""Whether engines cost the same alone, beside others, and once again.

Whatever is compared takes turns, each in a process of its own, so that it meets the same moods of
the machine: engines alone and all together in short turns, whole measurements with one another.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from rows import Row, at_most
from worker_process import WorkerProcess

from gradparity.compare.speed.machine_load import NEGLIGIBLE_CORES, MachineLoad

ENGINES = ("numerical", "jax", "torch")
# So many turns, or fewer where they take longer than that, as on a machine with other work.
TURNS, FEWEST_TURNS, TURN_SECONDS = 40, 12, 120.0
MEASUREMENTS = 5
TRAININGS = 15
TOLERANCE = 0.10
QUIET_SECONDS = 1.0
# Seconds to wait for a quiet machine, in all, and how often to measure again where it did not stay
# quiet.
PATIENCE = 30.0
ATTEMPTS = 4

RATIOS = (
    (("jax", "gradient"), ("torch", "gradient")),
    (("jax", "gradient"), ("jax", "forward")),
    (("torch", "gradient"), ("torch", "forward")),
    (("jax", "forward"), ("numerical", "forward")),
)

Figures = dict[tuple[str, str], float]
"""Median seconds by engine and what it did, "forward" or "gradient"."""


class Quiet:
    """Waits until others leave the cores alone, as long as there is patience left."""

    def __init__(self) -> None:
        self.patience = PATIENCE

    def wait(self) -> bool:
        """Return whether others have left the cores alone for a second."""
        while self.patience > 0:
            before = MachineLoad.now()
            time.sleep(QUIET_SECONDS)
            if MachineLoad.now().others_since(before) < NEGLIGIBLE_CORES:
                return True
            self.patience -= QUIET_SECONDS
        return False


def rows(dtype: str) -> Iterator[Row]:
    with ExitStack() as stack:
        together, again = (
            stack.enter_context(WorkerProcess("speed_worker.py", *ENGINES)) for _ in range(2)
        )
        alone = {
            engine: stack.enter_context(WorkerProcess("speed_worker.py", engine))
            for engine in ENGINES
        }
        yield from _turns(dtype, together, alone)
        yield from _measurements(dtype, together, again)
        if dtype == "float32":
            yield from _trainings(together, alone)


def _turns(dtype: str, together: WorkerProcess, alone: dict[str, WorkerProcess]) -> Iterator[Row]:
    """Compare the medians of all turns; the quartiles are those of single ones."""
    beside: dict[str, list[float]] = {}
    by_itself: dict[str, list[float]] = {}
    question = {"what": "turn", "dtype": dtype}
    started, number = time.monotonic(), 0
    while number < TURNS:
        if number >= FEWEST_TURNS and time.monotonic() - started > TURN_SECONDS:
            break
        workers = [together, *alone.values()]
        order = 1 if number % 2 else -1
        found = [worker.ask(question) for worker in workers[::order]][::order]
        for seconds, turns in ((found[0], beside), ([one for [one] in found[1:]], by_itself)):
            for engine, calls in zip(ENGINES, seconds, strict=True):
                for what, median in calls.items():
                    turns.setdefault(f"{engine} {what}", []).append(median)
        number += 1
    for what, seconds in beside.items():
        ratios = [one / other for one, other in zip(seconds, by_itself[what], strict=True)]
        level = statistics.median(seconds) / statistics.median(by_itself[what])
        yield _level(f"beside others / alone: {what} {dtype}", ratios, level, f"{number} turns")


def _measurements(dtype: str, together: WorkerProcess, again: WorkerProcess) -> Iterator[Row]:
    changes: dict[str, list[float]] = {}
    quiet = Quiet()
    for _ in range(MEASUREMENTS):
        first, second = measure(together, dtype, quiet), measure(again, dtype, quiet)
        for upper, lower in RATIOS:
            change = first[upper] / first[lower] / (second[upper] / second[lower])
            what = f"{' '.join(upper)} / {' '.join(lower)}"
            changes.setdefault(what, []).append(max(change, 1 / change))
    for what, ratios in changes.items():
        note = "" if quiet.patience > 0 else "others were at work"
        yield at_most(f"two runs: {what} {dtype}", ratios, 1 + TOLERANCE, note)


def _trainings(together: WorkerProcess, alone: dict[str, WorkerProcess]) -> Iterator[Row]:
    question = {"what": "train", "dtype": "float32"}
    beside: dict[str, list[float]] = {"jax": [], "torch": []}
    for number in range(TRAININGS + 1):
        found = together.ask(question)
        for engine, ratios in beside.items():
            ratio = found[engine] / alone[engine].ask(question)[engine]
            if number:  # the first training compiles
                ratios.append(ratio)
    for engine, ratios in beside.items():
        level = statistics.median(ratios)
        yield _level(f"training after others / alone: {engine} float32", ratios, level)


def _level(what: str, ratios: Sequence[float], level: float, note: str = "") -> Row:
    """Return a row whose level should be 1, give or take the tolerance."""
    low, _, high = statistics.quantiles(ratios, n=4)
    reached = 1 / (1 + TOLERANCE) <= level <= 1 + TOLERANCE
    return Row(what, level, low, high, f"1 ± {TOLERANCE:.0%}", reached, note)


def measure(worker: WorkerProcess, dtype: str, quiet: Quiet) -> Figures:
    """Return the medians, of an attempt that others did not disturb if there is one."""
    for _ in range(ATTEMPTS):
        waited = quiet.wait()
        found = worker.ask({"what": "measure", "dtype": dtype})
        if not (waited and any(row["disturbed"] for row in found)):
            break
    figures = {}
    for row in found:
        figures[row["backend"], "forward"] = row["forward"]
        if not row["predicted"]:
            figures[row["backend"], "gradient"] = row["gradient"]
    return figures
