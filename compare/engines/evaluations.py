"""Count the calls of a function, and tell from the first of them how long a sweep would take."""

import functools
import math
import statistics
import time
from typing import Any

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import PyTree, flatten

# So long a sweep runs, or for its budget if that is less, before the time of all is estimated.
SAMPLE_SECONDS = 0.25
# Evaluations differ in pairs, h ahead and h behind, and those of two jobs may start together.
WINDOW = 4


class OutOfTime(Exception):
    """A sweep was stopped, since all of it would take too long."""


class Evaluations:
    """A function that counts its calls in one sweep of differences, and can stop the sweep.

    expected: how many calls a plain loop will make; None where calls do not tell how far it is,
        and `entries_done` has to
    budget: seconds; as soon as it is clear that the sweep takes longer, OutOfTime is raised
    """

    def __init__(
        self, f: ModelFunction, *, expected: int | None = None, budget: float = 0.0
    ) -> None:
        functools.update_wrapper(self, f)
        self._f = f
        self._expected = expected
        self._budget = budget
        self._starts: list[float] = []
        self._reports: list[tuple[float, int]] = []
        self._entries = 0

    @property
    def count(self) -> int:
        return len(self._starts)

    def __call__(self, *args: Any) -> Any:
        self._starts.append(time.perf_counter())
        if self._expected and self.count > WINDOW:
            self._check(since=self._starts[0])
        return self._f(*args)

    def entries_done(self, done: int, total: int) -> None:
        """Take note of how many entries of the gradient are there, as a backend reports it."""
        self._reports.append((time.perf_counter(), done))
        self._entries = total
        if not self._expected and len(self._reports) > 1:
            self._check(since=self._reports[0][0])

    def predicted(self) -> float:
        """Return the seconds of the whole sweep, by its pace so far."""
        if not self._expected:
            return self._predicted_by_reports()
        windows = map(float.__sub__, self._starts[WINDOW:], self._starts)
        return self._expected * statistics.median(windows) / WINDOW

    def _predicted_by_reports(self) -> float:
        # What comes before the first report is done once, to plan the sweep.
        (first, few), (latest, more) = self._reports[0], self._reports[-1]
        pace = (latest - first) / max(more - few, 1)
        return first - self._starts[0] + (self._entries - few) * pace

    def _check(self, since: float) -> None:
        sampled = time.perf_counter() - since > min(SAMPLE_SECONDS, self._budget)
        if sampled and self.predicted() > self._budget:
            raise OutOfTime


def loop_evaluations(backend: Backend, params: PyTree) -> int | None:
    """Return how often a plain loop calls f, two for each entry and once for the value.

    None for a backend that does not loop over entries. What a loop spends beyond that, to find its
    steps, does not grow with the number of entries.
    """
    if not (isinstance(backend, NumericalDifference) and backend.method == "loop"):
        return None
    entries: int = sum(math.prod(leaf.shape) for leaf in flatten(params)[0])
    return 2 * entries + 1
