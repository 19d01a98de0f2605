"""The result of comparing the gradients of several backends, and what a person reads of it."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradparity.backends.displayed import Displayed
from gradparity.backends.errors import GradparityError

from ..checking.result import GradientCheck, LeafCheck
from ..checking.slope import KINDS
from ..engines.engines import Answer, Engine, Point
from ..strict_json import strict
from ..verdicts import Suspect, Verdict, VerdictText

MOST_LEAVES = 6
MOST_SUSPECTS = 6
MOST_CONVENTIONS = 4
MOST_NOTES = 5


@dataclass(frozen=True)
class LeafDifference:
    """By how much two backends differ in one leaf.

    entries: how many were compared; a sample where one backend pays for each
    largest: the largest absolute difference, at `index`; NaN where one of the two is NaN
    relative: that over the largest entry of the leaf in either backend, in [0, 2]; of a leaf that
        is zero but for rounding, over what the whole gradient has
    beyond_round_off: whether it is more than roundings of that entry explain
    """

    first: str
    second: str
    leaf: str
    entries: int
    largest: float
    relative: float
    index: tuple[int, ...]
    beyond_round_off: bool


@dataclass(frozen=True)
class Convention:
    """What the backends return at a kink, where every slope between left and right is legal.

    interval: the one-sided derivatives, sorted; values: one for each backend
    """

    leaf: str
    index: tuple[int, ...]
    interval: tuple[float, float]
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class SecondOpinion:
    """Whether another way to the gradient inside one backend gives the same.

    way: such as "forward mode" or "jit"; wrong: the way that was found wrong, if any
    """

    backend: str
    way: str
    agrees: bool
    wrong: str | None = None


@dataclass(frozen=True)
class Comparison(Displayed):
    """Whether gradients agree, and if not, whose is wrong and where.

    blamed: backends whose gradient, or value where there are three, is wrong
    suspects: the wrong entries, each with its backend; pattern: a guess at what happened
    evaluations: calls of f by the checks; smoothness: the worst that it met
    leaves: for each leaf, what is said of the worst backend's
    resolution: the smallest error of a leaf, relative to its size, that would have been seen; of
        the worst leaf and backend, NaN where nothing was judged
    differences: every pair of backends and leaf; aliases: a backend's own names for leaves
    values: f as each backend computes it; left_out: backends not compared, with the reason
    seed: of the random directions and of samples
    """

    verdict: VerdictText
    blamed: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    reason: str
    backends: tuple[str, ...]
    dtype: str
    seed: int
    parameters: int
    values: tuple[tuple[str, float], ...]
    leaves: tuple[LeafCheck, ...] = ()
    differences: tuple[LeafDifference, ...] = ()
    conventions: tuple[Convention, ...] = ()
    second_opinions: tuple[SecondOpinion, ...] = ()
    notes: tuple[str, ...] = ()
    pattern: str = ""
    evaluations: int = 0
    smoothness: str = "smooth"
    resolution: float = math.nan
    left_out: tuple[tuple[str, str], ...] = ()
    aliases: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()

    def lines(self) -> list[str]:
        """Return what there is to say, the verdict first."""
        return [
            f"{self.verdict}: {self.reason}",
            f"{self.parameters:,} parameters in {self.dtype}, {_effort(self)}",
            *_values(self),
            *_suspects(self),
            *_conventions(self),
            *_opinions(self),
            *_few([f"note: {note}" for note in self.notes], MOST_NOTES, "notes"),
            *_differences(self),
            *(f"left out: {name}: {reason}" for name, reason in self.left_out),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; numbers that JSON lacks become "nan", "inf" or "-inf"."""
        content: dict[str, Any] = strict(self)
        for pairs in ("values", "left_out", "aliases"):
            content[pairs] = dict(content[pairs])
        content["aliases"] = {name: dict(leaves) for name, leaves in content["aliases"].items()}
        for convention in content["conventions"]:
            convention["values"] = dict(convention["values"])
        return content


def undecided(
    engines: Sequence[Engine],
    point: Point,
    dtype: str,
    seed: int,
    known: Mapping[str, Answer | GradientCheck],
) -> Comparison:
    """Return a comparison of engines as it is before anybody has been judged.

    known: by engine, what has the value of f
    """
    return Comparison(
        Verdict.CANNOT_TELL,
        (),
        (),
        "",
        tuple(engine.label for engine in engines),
        dtype,
        seed,
        point.size,
        tuple((label, one.value) for label, one in known.items()),
        aliases=tuple(
            (engine.label, tuple(zip(point.names, engine.layout.names, strict=True)))
            for engine in engines
            if engine.layout is not None
        ),
    )


class Disagreement(GradparityError, AssertionError):
    """Gradients were asserted to agree, and do not; the message is the report."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(str(comparison))
        self.comparison = comparison


# From opinions.


@dataclass(frozen=True)
class Opinion:
    """What was found out about a derivative of one engine.

    check: what the verdict rests on; way: how the engine was asked, if there are several
    note: what else there is to say
    excuse: why differences are far from the slope, and no fault of who took them
    """

    label: str
    check: GradientCheck
    way: str = ""
    note: str = ""
    excuse: str = ""

    @property
    def is_wrong(self) -> bool:
        return self.check.verdict is Verdict.DIFFER and not self.excuse


def with_opinions(draft: Comparison, opinions: Sequence[Opinion]) -> Comparison:
    """Return a comparison with what opinions say of each leaf, and of whom they find wrong.

    Leaves are those of the first opinion; a slope along a tangent is about none of them.
    """
    wrong = [opinion for opinion in opinions if opinion.is_wrong]
    checks = [opinion.check for opinion in opinions]
    notes = [*draft.notes]
    for one in opinions:
        problems = (f"leaf {bad.leaf or 'params'}: {bad.text}" for bad in one.check.problems)
        own = (*one.check.notes, *problems, one.note)
        notes += [f"{one.label}: {note}" for note in own if note]
        notes += [one.excuse] * bool(one.excuse)
    known = [check.resolution for check in checks if not math.isnan(check.resolution)]
    by_leaf: dict[tuple[str, tuple[int, ...]], list[LeafCheck]] = {}
    for check in checks:
        for leaf in check.leaves:
            if check is checks[0] or (leaf.leaf, leaf.shape) in by_leaf:
                by_leaf.setdefault((leaf.leaf, leaf.shape), []).append(leaf)
    return replace(
        draft,
        blamed=tuple(dict.fromkeys(opinion.label for opinion in wrong)),
        suspects=distinct(
            replace(suspect, backend=one.label) for one in wrong for suspect in one.check.suspects
        ),
        leaves=tuple(max(versions, key=_badness) for versions in by_leaf.values()),
        notes=tuple(dict.fromkeys(notes)),
        pattern="; ".join(dict.fromkeys(filter(None, map(_pattern, wrong)))),
        smoothness=max((check.smoothness for check in checks), key=KINDS.index, default="smooth"),
        resolution=max(known, default=math.nan),
    )


def _pattern(opinion: Opinion) -> str:
    """Return the check's guess; entries that are zero where f has a slope were cut off."""
    check = opinion.check
    cut_off = bool(check.suspects) and all(suspect.got == 0 for suspect in check.suspects)
    return "detached (zero): " * (cut_off and "detached" not in check.pattern) + check.pattern


def distinct(suspects: Iterable[Suspect]) -> tuple[Suspect, ...]:
    """Return the first suspect of every backend and entry."""
    found: dict[tuple[str | None, str, tuple[int, ...]], Suspect] = {}
    for one in suspects:
        found.setdefault((one.backend, one.leaf, one.index), one)
    return tuple(found.values())


def _badness(leaf: LeafCheck) -> tuple[int, float]:
    order = (Verdict.AGREE, Verdict.CANNOT_TELL, Verdict.DIFFER)
    return order.index(leaf.verdict), leaf.resolution if leaf.resolution >= 0 else -1.0


# In words.


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


def listed(names: Sequence[str]) -> str:
    """Write names as a person does: "a, b and c"."""
    few = [*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]
    return few[0] if len(few) == 1 else f"{', '.join(few[:-1])} and {few[-1]}"


def line_of(error: Exception) -> str:
    """Return what an exception says, in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
