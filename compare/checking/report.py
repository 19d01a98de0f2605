"""Say what a check found in a few lines that a person can act on."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from gradparity.backends.displayed import MOST_LINES

from ..verdicts import Suspect, Verdict
from .candidate import Problem
from .result import GradientCheck, Kink, LeafCheck

Item = TypeVar("Item")

MOST_SUSPECTS = 10
# Of everything else, so that suspects find room.
MOST_OTHERS, MOST_NOTES = 3, 6


def place(leaf: str, index: Sequence[int]) -> str:
    """Write an entry as Python does: "W1[3, 1]"."""
    return (leaf or "params") + (f"[{', '.join(map(str, index))}]" if index else "")


def percent(error: float) -> str:
    """Write a relative error as a person says it: "5 %", "1e-06 of its size"."""
    if math.isnan(error):
        return "wrong"
    if math.isinf(error):
        return "not finite, or not zero where it should be"
    if error >= 10:
        return f"off by {error:.3g} times its size"
    return f"{100 * error:.3g} % off" if error >= 1e-3 else f"off by {error:.1e} of its size"


def sentence(check: GradientCheck, accepted: str = "") -> str:
    """Return the reason of a verdict: what it rests on, or what is wrong and by how much."""
    parameters = sum(math.prod(leaf.shape) for leaf in check.leaves)
    leaves = f"{len(check.leaves)} {'leaf' if len(check.leaves) == 1 else 'leaves'}"
    over = f"over {parameters:,} parameters in {leaves}"
    if check.verdict is Verdict.AGREE:
        return f"the {check.claim} is {_agreement(check, accepted)} {over}"
    if check.verdict is Verdict.CANNOT_TELL:
        if check.unknown:
            return check.unknown[0]
        if math.isnan(check.resolution):
            return f"nothing was resolved {over}"
        return (
            f"no error of the {check.claim} below {check.resolution:.1e} of its size "
            f"can be seen {over}"
        )
    wrong = [leaf for leaf in check.leaves if leaf.verdict is Verdict.DIFFER]
    foreign = [problem.text for problem in check.problems if not problem.leaf]
    if not wrong or (foreign and not check.suspects):
        return (foreign or [check.problems[0].text])[0]
    worst = max(wrong, key=lambda leaf: -1.0 if math.isnan(leaf.error) else leaf.error)
    text = f"{worst.leaf or f'the {check.claim}'} is {percent(worst.error)}"
    if suspect := next((one for one in check.suspects if one.leaf == worst.leaf), None):
        text += f" (worst entry {_suspect(suspect)})"
    if len(wrong) > 1:
        names = ", ".join(leaf.leaf or "params" for leaf in wrong[:4] if leaf is not worst)
        more = f" and {len(wrong) - 4} more leaves" if len(wrong) > 4 else ""
        text += f"; {names}{more} wrong, too"
    return text


def _agreement(check: GradientCheck, accepted: str) -> str:
    within = f" within {accepted}" if accepted else ""
    if math.isnan(check.resolution):
        return f"legal at every kink{within}"
    if check.resolution == 0:
        return (
            f"exactly right{within}; f does not depend on params here: this proves nothing, and "
            "there is nothing to see"
        )
    entry = check.entry_resolution
    if check.rounding:
        return f"right to {check.resolution:.1e}, {check.rounding}{within}"
    return f"right to {check.resolution:.1e} (relative; a single entry to {entry:.1e}){within}"


def report(check: GradientCheck) -> list[str]:
    """Return the verdict, what it rests on, and the entries at fault; at most 25 lines."""
    above = [f"{check.verdict}: {check.reason}"]
    above += [f"the pattern is: {check.pattern}"] * bool(check.pattern)
    above.append(_circumstances(check))
    above += [f"rounding: {check.measurement}"] * (check.measurement is not None)
    above += [f"beside the yardstick {check.yardstick}"] * (check.yardstick is not None)
    above += _some(check.problems, MOST_OTHERS, "leaves", _problem)
    below = _some(check.kinks, MOST_OTHERS, "kinks", _kink)
    below += _some(check.unknown, MOST_OTHERS, "reasons", str)
    below += _some(check.notes, MOST_NOTES, "notes", lambda note: f"note: {note}")
    below += _leaves(check)
    if check.suspects:
        room = max(MOST_LINES - len(above) - len(below) - 2, 1)
        above.append("wrong entries (got, expected ± error bar):")
        above += _some(check.suspects, min(MOST_SUSPECTS, room), "of them", _at_its_parameter)
    return above + below


def _circumstances(check: GradientCheck) -> str:
    return (
        f"f = {check.value:.10g}, {check.smoothness} along all directions tried; "
        f"{check.evaluations} evaluations, seed {check.seed}"
    )


def _problem(problem: Problem) -> str:
    return f"{problem.leaf}: {problem.text}" if problem.leaf else problem.text


def _suspect(suspect: Suspect) -> str:
    return (
        f"{place(suspect.leaf, suspect.index)}: got {suspect.got:.12g}, expected "
        f"{suspect.expected:.12g} ± {suspect.error_bar:.1e}"
    )


def _at_its_parameter(suspect: Suspect) -> str:
    at = "" if suspect.parameter is None else f", parameter {suspect.parameter:.6g}"
    return _suspect(suspect) + at


def _kink(kink: Kink) -> str:
    low, high = kink.interval
    legal = "is not a number" if math.isnan(kink.got) else "is legal"
    where = place(kink.leaf, kink.index)
    return f"{where}: a kink, {kink.got:.6g} {legal} (slopes {low:.6g} to {high:.6g})"


def _leaves(check: GradientCheck) -> list[str]:
    wrong = [leaf for leaf in check.leaves if leaf.verdict is Verdict.DIFFER]
    doubtful = [leaf for leaf in check.leaves if leaf.verdict is Verdict.CANNOT_TELL]
    more = [leaf.leaf or "params" for leaf in wrong if leaf.more]
    lines = []
    if len(wrong) > 1:
        lines += _some(wrong, MOST_OTHERS, "wrong leaves", _wrong_leaf)
    lines += _some(doubtful, MOST_OTHERS, "leaves", _doubtful_leaf)
    if more:
        names = ", ".join(more[:MOST_OTHERS]) + (", ..." if len(more) > MOST_OTHERS else "")
        lines.append(f"more entries than these are wrong in {names}")
    return lines


def _wrong_leaf(leaf: LeafCheck) -> str:
    return f"{leaf.leaf or 'params'}: {percent(leaf.error)}" + (
        f" ({leaf.pattern})" if leaf.pattern else ""
    )


def _doubtful_leaf(leaf: LeafCheck) -> str:
    name = leaf.leaf or "params"
    if math.isnan(leaf.resolution):
        return f"{name}: resolved to nothing"
    return (
        f"{name}: errors below {leaf.resolution:.1e} of its size, or {leaf.entry_resolution:.1e} "
        "of a single entry's, cannot be seen"
    )


def _some(
    items: Sequence[Item], most: int, what: str, describe: Callable[[Item], str]
) -> list[str]:
    lines = [f"  {describe(item)}" for item in items[:most]]
    if len(items) > most:
        lines.append(f"  and {len(items) - most} more {what}")
    return lines
