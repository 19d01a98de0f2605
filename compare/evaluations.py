"""Count the calls of a function, and tell from the first of them how long a sweep would take."""

import functools
import statistics
import time
from typing import Any

from gradparity.backends.base import ModelFunction

# So long a sweep runs before the time of all of it is estimated.
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
        self._whole_sweep = 0.0

    @property
    def count(self) -> int:
        return len(self._starts)

    def __call__(self, *args: Any) -> Any:
        self._starts.append(time.perf_counter())
        if self._expected and self.count > WINDOW:
            self._check()
        return self._f(*args)

    def entries_done(self, done: int, total: int) -> None:
        """Take note of how many entries of the gradient are there, as a backend reports it."""
        self._whole_sweep = (time.perf_counter() - self._starts[0]) * total / done
        if not self._expected:
            self._check()

    def predicted(self) -> float:
        """Return the seconds of the whole sweep, by its pace so far."""
        if not self._expected:
            return self._whole_sweep
        windows = map(float.__sub__, self._starts[WINDOW:], self._starts)
        return self._expected * statistics.median(windows) / WINDOW

    def _check(self) -> None:
        sampled = time.perf_counter() - self._starts[0] > SAMPLE_SECONDS
        if sampled and self.predicted() > self._budget:
            raise OutOfTime
