"""What a person reads of a comparison: the verdict, then who says what, and where."""

import math
from collections.abc import Iterator, Sequence

from .comparison import Comparison, LeafDifference

MOST_LEAVES = 6
MOST_SUSPECTS = 6
MOST_CONVENTIONS = 4
MOST_NOTES = 5


def report(comparison: Comparison) -> list[str]:
    """Return what there is to say, the verdict first."""
    return [
        f"{comparison.verdict}: {comparison.reason}",
        f"{comparison.parameters:,} parameters in {comparison.dtype}, {_effort(comparison)}",
        *_values(comparison),
        *_suspects(comparison),
        *_conventions(comparison),
        *_opinions(comparison),
        *_few([f"note: {note}" for note in comparison.notes], MOST_NOTES, "notes"),
        *_differences(comparison),
        *(f"left out: {name}: {reason}" for name, reason in comparison.left_out),
    ]


def _effort(comparison: Comparison) -> str:
    if not comparison.evaluations:
        return f"seed {comparison.seed}"
    resolution = (
        f", resolution {comparison.resolution:.1g} (relative)"
        if math.isfinite(comparison.resolution)
        else ""
    )
    return (
        f"f is {comparison.smoothness} here; the arbiter called it {comparison.evaluations} times"
        f"{resolution}, seed {comparison.seed}"
    )


def _values(comparison: Comparison) -> Iterator[str]:
    width = max((len(name) for name, _ in comparison.values), default=0)
    for name, value in comparison.values:
        judged = "  <- wrong" if name in comparison.blamed else ""
        yield f"  {name:{width}}  f = {value:.17g}{judged}"


def _suspects(comparison: Comparison) -> Iterator[str]:
    if comparison.pattern:
        yield f"pattern: {comparison.pattern}"
    lines = []
    for suspect in comparison.suspects:
        where = _where(comparison, suspect.leaf, suspect.index)
        at = "" if suspect.parameter is None else f", parameter {suspect.parameter:.6g}"
        lines.append(
            f"  {where}: {suspect.backend} {suspect.got:.10g}, "
            f"arbiter {suspect.expected:.10g} ± {suspect.error_bar:.1g}{at}"
        )
    yield from _few(lines, MOST_SUSPECTS, "wrong entries")


def _differences(comparison: Comparison) -> Iterator[str]:
    """Yield the leaves that differ the most; pairs that do not have one line each."""
    worst = sorted(comparison.differences, key=lambda difference: -_size(difference))
    lines = [
        f"  {_where(comparison, d.leaf, d.index)}: {d.first} and {d.second} differ by "
        f"{d.largest:.3g} ({d.relative:.1g} of the leaf's largest entry)"
        for d in worst
        if d.beyond_round_off
    ]
    yield from _few(lines, MOST_LEAVES, "differences")
    pairs = dict.fromkeys((d.first, d.second) for d in worst)
    for first, second in pairs:
        largest = next(d for d in worst if (d.first, d.second) == (first, second))
        if not largest.beyond_round_off:
            yield (
                f"  {first} and {second} differ by {largest.relative:.1g} of a leaf's largest "
                "entry at most"
            )


def _size(difference: LeafDifference) -> float:
    return math.inf if math.isnan(difference.relative) else difference.relative


def _conventions(comparison: Comparison) -> Iterator[str]:
    lines = []
    for convention in comparison.conventions:
        left, right = convention.interval
        values = ", ".join(f"{name} {value:.6g}" for name, value in convention.values)
        lines.append(
            f"  {_where(comparison, convention.leaf, convention.index)}: kink, slopes from "
            f"{left:.6g} to {right:.6g} are legal; {values}"
        )
    yield from _few(lines, MOST_CONVENTIONS, "kinks")


def _opinions(comparison: Comparison) -> Iterator[str]:
    for opinion in comparison.second_opinions:
        if opinion.wrong:
            yield (
                f"  {opinion.backend}: {opinion.way} says something else than its gradient; "
                f"the arbiter finds wrong: {opinion.wrong}"
            )


def _where(comparison: Comparison, leaf: str, index: Sequence[int]) -> str:
    place = f"{leaf or 'params'}[{', '.join(map(str, index))}]" if index else leaf or "params"
    names = [
        f"{backend}: {own[leaf]}"
        for backend, pairs in comparison.aliases
        for own in (dict(pairs),)
        if own.get(leaf, leaf) != leaf
    ]
    return f"leaf {place}" + (f" ({', '.join(names)})" if names else "")


def _few(lines: Sequence[str], most: int, what: str) -> list[str]:
    if len(lines) <= most:
        return list(lines)
    return [*lines[:most], f"  ... and {len(lines) - most:,} more {what}"]
