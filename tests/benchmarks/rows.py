"""How benchmarks measure and report: interleaved ratios, each against a target."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure of the table; `low` and `high` are its quartiles or its spread."""

    what: str
    figure: float
    low: float
    high: float
    target: str
    reached: bool
    note: str = ""


def at_most(what: str, ratios: list[float], limit: float, note: str = "") -> Row:
    """Return a row whose median ratio should stay at or below the limit."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return Row(what, median, low, high, f"≤ {limit:g}", median <= limit, note)


def at_least(what: str, ratios: list[float], limit: float, note: str = "") -> Row:
    """Return a row whose median ratio should stay at or above the limit."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return Row(what, median, low, high, f"≥ {limit:g}", median >= limit, note)


def without_target(what: str, ratios: list[float], note: str = "") -> Row:
    """Return a row that only informs."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return Row(what, median, low, high, "none", True, note)


def interleaved_ratios(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    rounds: int = 101,
    seconds: float = 0.02,
) -> list[float]:
    """Time the two in turn, many calls a round, and return ours over theirs for each round.

    The order alternates, so that neither always runs behind the other.
    """
    for warm_up in (ours, theirs):
        warm_up()
        warm_up()
    started = time.perf_counter()
    theirs()
    calls = max(1, round(seconds / (time.perf_counter() - started)))
    ratios = []
    for number in range(rounds):
        pair = {}
        for run in (ours, theirs) if number % 2 else (theirs, ours):
            pair[run] = _seconds(run, calls)
        ratios.append(pair[ours] / pair[theirs])
    return ratios


def _seconds(run: Callable[[], object], calls: int) -> float:
    run()
    started = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - started
