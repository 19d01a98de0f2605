"""Say what a check found in a few lines that a person can act on."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..verdicts import Suspect, Verdict
from .candidate import Problem
from .gradient_check import GradientCheck, LeafCheck
from .trial import Kink

Item = TypeVar("Item")

MOST_LINES = 25
MOST_SUSPECTS = 10
# Of everything else, so that suspects find room.
MOST_OTHERS = 3


def report(check: GradientCheck) -> str:
    """Return the verdict, what it rests on, and the entries at fault; at most 25 lines."""
    above = [_headline(check), _circumstances(check)]
    above += _some(check.problems, MOST_OTHERS, "leaves", _problem)
    below = _some(check.kinks, MOST_OTHERS, "kinks", _kink)
    below += _some(check.unknown, MOST_OTHERS, "reasons", str)
    below += _leaves(check)
    if check.suspects:
        room = MOST_LINES - len(above) - len(below) - 2
        above.append("wrong entries (got, expected ± error bar):")
        above += _some(check.suspects, min(MOST_SUSPECTS, room), "of them", _suspect)
    return "\n".join(line if len(line) <= 160 else line[:157] + "..." for line in above + below)


def _headline(check: GradientCheck) -> str:
    wrong = [leaf for leaf in check.leaves if leaf.verdict is Verdict.DIFFER]
    parameters = sum(math.prod(leaf.shape) for leaf in check.leaves)
    over = f"{parameters:,} parameters in {len(check.leaves)} leaves"
    known = not math.isnan(check.resolution)
    if check.verdict is Verdict.AGREE:
        bar = f"right to {check.resolution:.1e} (relative)" if known else "legal at every kink"
        return f"agree: the gradient is {bar} over {over}"
    if check.verdict is Verdict.CANNOT_TELL:
        bar = f"the arbiter resolves {check.resolution:.1e}" if known else "nothing was resolved"
        return f"cannot tell: {bar} (relative) of the gradient over {over}"
    where = ", ".join(_name(leaf.name) for leaf in wrong[:4]) or "the structure"
    where += f" and {len(wrong) - 4} more leaves" if len(wrong) > 4 else ""
    return f"differ: the gradient is wrong in {where}" + (
        f"; the pattern is: {check.pattern}" if check.pattern else ""
    )


def _circumstances(check: GradientCheck) -> str:
    return (
        f"f = {check.value:.10g}, {check.smoothness} along all directions tried; "
        f"{check.evaluations} evaluations, seed {check.seed}"
    )


def _problem(problem: Problem) -> str:
    return f"{problem.leaf}: {problem.text}" if problem.leaf else problem.text


def _suspect(suspect: Suspect) -> str:
    place = _name(suspect.leaf) + (str(list(suspect.index)) if suspect.index else "")
    return (
        f"{place}: got {suspect.got:.12g}, expected {suspect.expected:.12g} "
        f"± {suspect.error_bar:.1e}"
    )


def _kink(kink: Kink) -> str:
    place = _name(kink.leaf) + (str(list(kink.index)) if kink.index else "")
    low, high = kink.interval
    legal = "is not a number" if math.isnan(kink.got) else "is legal"
    return f"{place}: a kink, {kink.got:.6g} {legal} (slopes {low:.6g} to {high:.6g})"


def _leaves(check: GradientCheck) -> list[str]:
    doubtful = [leaf for leaf in check.leaves if leaf.verdict is Verdict.CANNOT_TELL]
    more = [leaf for leaf in check.leaves if leaf.more]
    lines = _some(
        doubtful,
        MOST_OTHERS,
        "leaves",
        lambda leaf: f"{_name(leaf.name)}: resolved to {_bar(leaf)}",
    )
    if more:
        names = ", ".join(_name(leaf.name) for leaf in more[:MOST_OTHERS])
        names += ", ..." if len(more) > MOST_OTHERS else ""
        lines.append(f"more entries than these are wrong in {names}")
    return lines


def _bar(leaf: LeafCheck) -> str:
    return "nothing" if math.isnan(leaf.resolution) else f"{leaf.resolution:.1e} of its size"


def _some(
    items: Sequence[Item], most: int, what: str, describe: Callable[[Item], str]
) -> list[str]:
    lines = [f"  {describe(item)}" for item in items[:most]]
    if len(items) > most:
        lines.append(f"  and {len(items) - most} more {what}")
    return lines


def _name(leaf: str) -> str:
    return leaf or "params"
