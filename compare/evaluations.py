"""Count the calls of a function, and tell from the first of them how long a loop would take."""

import functools
import statistics
import time
from typing import Any

from gradparity.backends.base import ModelFunction

# So long a loop runs before the time of all of it is estimated.
SAMPLE_SECONDS = 0.25
# Evaluations differ in pairs, h ahead and h behind, and those of two jobs may start together.
WINDOW = 4


class OutOfTime(Exception):
    """A loop was stopped, since all its evaluations would take too long."""


class Evaluations:
    """A function that counts its calls, for use in a single loop.

    expected: how many calls the loop will make, where that is known
    budget: seconds; as soon as it is clear that the loop takes longer, a call raises OutOfTime
    """

    def __init__(
        self, f: ModelFunction, *, expected: int | None = None, budget: float = 0.0
    ) -> None:
        functools.update_wrapper(self, f)
        self._f = f
        self._expected = expected
        self._budget = budget
        self._starts: list[float] = []

    @property
    def count(self) -> int:
        return len(self._starts)

    def __call__(self, *args: Any) -> Any:
        self._starts.append(time.perf_counter())
        sampled = self.count > WINDOW and self._starts[-1] - self._starts[0] > SAMPLE_SECONDS
        if sampled and self._expected and self.predicted(self._expected) > self._budget:
            raise OutOfTime
        return self._f(*args)

    def predicted(self, expected: int) -> float:
        """Return the seconds of so many evaluations, by the pace of those made so far."""
        windows = map(float.__sub__, self._starts[WINDOW:], self._starts)
        return expected * statistics.median(windows) / WINDOW
