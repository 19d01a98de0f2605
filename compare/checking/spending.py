"""What a check may spend on calls of f, and what it says while they take long."""

import contextlib
import datetime
import math
import re
import time
from collections.abc import Iterator
from typing import TypeAlias

from gradparity.backends.errors import GradparityError, InvalidSetting
from gradparity.models.progress import Announce, announced

from .thresholds import MOST_EVALUATIONS

Budget: TypeAlias = int | str | datetime.timedelta | None

# What a right gradient takes at any size: 13 to 40 calls, and two at the point itself.
USUAL_CALLS = 40
# Work that is over sooner says nothing.
QUIET_SECONDS = 2.0
UNITS = {"ms": 1e-3, "s": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "call": 0.0}
WRITTEN = re.compile(r"\s*(\d+(?:\.\d*)?)\s*(ms|s|seconds?|min|minutes?|h|calls?)\s*")


class BudgetSpent(GradparityError):
    """No more calls of f were granted; whoever judges says what is known so far."""


class Spending:
    """The calls of f that a check may take, from now on; it announces them where they take long.

    calls: at most, None where the default limits searches only; seconds: inf without a limit
    why: what a verdict says of the end
    """

    def __init__(self, budget: Budget = None, name: str = "f") -> None:
        self.calls, self.seconds = _read(budget)
        self.name = name
        self.made = 0
        self.started = time.monotonic()
        self._announce: Announce | None = None
        self._open = contextlib.ExitStack()

    @property
    def most(self) -> int:
        """The calls after which a search ends."""
        return MOST_EVALUATIONS if self.calls is None else self.calls

    @property
    def why(self) -> str:
        if self.calls is None and math.isinf(self.seconds):
            return "the budget of evaluations was spent"
        limit = f"{self.seconds:g} s" if self.calls is None else f"{self.calls:,} calls of f"
        return f"the budget of {limit} was spent"

    def before_call(self, binding: bool = True) -> None:
        """Count and announce a call of f.

        raises: BudgetSpent, if it is binding
        """
        now = time.monotonic() - self.started
        if binding and (now > self.seconds or (self.calls or math.inf) <= self.made):
            raise BudgetSpent(self.why)
        if now > QUIET_SECONDS and self.made:
            if self._announce is None:
                self._announce = self._open.enter_context(announced(f"checking {self.name}"))
            self._announce(self._told(now), None)
        self.made += 1

    def _told(self, now: float) -> str:
        left = min((self.most - self.made) * now / self.made, self.seconds - now)
        if left < 0:  # one search after the other, each of which may take as many
            return f"call {self.made + 1:,}"
        usual = (USUAL_CALLS - self.made) * now / self.made
        parts = [f"call {self.made + 1:,} of {self.most:,} at most"]
        if 0 < usual < left:
            parts.append(f"about {duration(usual)} left where all is right")
        return ", ".join([*parts, f"{duration(left)} left at most"])

    def close(self) -> None:
        """End what is shown."""
        self._open.close()
        self._announce = None


@contextlib.contextmanager
def spending(budget: Budget, name: str) -> Iterator[Spending]:
    """Give what a check may spend, and end what it shows with it.

    budget: calls of f as an int, or a time: "30 s", "5 min", a timedelta
    raises: InvalidSetting
    """
    granted = Spending(budget, name)
    try:
        yield granted
    finally:
        granted.close()


def duration(seconds: float) -> str:
    """Write a time as a person says it: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _read(budget: Budget) -> tuple[int | None, float]:
    """Return the calls, None where they are not limited, and the seconds."""
    if budget is None:
        return None, math.inf
    if isinstance(budget, datetime.timedelta) and budget.total_seconds() > 0:
        return None, budget.total_seconds()
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        return budget, math.inf
    written = WRITTEN.fullmatch(budget) if isinstance(budget, str) else None
    if written and float(written[1]) > 0:
        number, unit = float(written[1]), UNITS.get(written[2]) or UNITS[written[2].rstrip("s")]
        if unit:
            return None, number * unit
        if number.is_integer():
            return int(number), math.inf
    raise InvalidSetting(
        f"budget: got {budget!r}, expected calls of f, such as 200, or a time, such as '30 s', "
        "'5 min' or a datetime.timedelta"
    )
