"""What follows from all that was found in a comparison."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..checking.candidate import EPSILONS
from ..verdicts import Verdict
from .arbitration import QUOTIENT_ERROR, ROUND_OFF, Judgement, index_of
from .comparison import Comparison, Convention
from .differences import leaf_differences

if TYPE_CHECKING:
    from .case import Case

MOST_CONVENTIONS = 100


def verdict_on(case: "Case", functions_differ: bool) -> Comparison:
    """Return the comparison that follows from all that was found."""
    if case.blamed:
        leaves = dict.fromkeys(suspect.leaf for suspect in case.suspects.values())
        verb = "is" if len(case.blamed) == 1 else "are"
        where = f" in {listed([leaf or 'params' for leaf in leaves])}" if leaves else ""
        return conclude(case, Verdict.DIFFER, f"{listed(_in_order(case))} {verb} wrong{where}")
    if functions_differ:
        return conclude(
            case,
            Verdict.DIFFER,
            "each gradient is right for its own implementation: they are not one function",
        )
    checks = [j.check for j in case.judgements.values() if j.check is not None]
    if case.doubts:
        return conclude(case, Verdict.CANNOT_TELL, case.doubts[0])
    for label, judgement in case.judgements.items():
        if judgement.check is not None and judgement.check.verdict is Verdict.CANNOT_TELL:
            reason = f"{label} was resolved to {judgement.check.resolution:.1g} only"
            return conclude(case, Verdict.CANNOT_TELL, reason)
    reason = f"{listed([*case.judgements])} give the derivative of f"
    if checks and case.kinks:
        reason += ", each by its convention at kinks"
    return conclude(case, Verdict.AGREE, reason)


def _in_order(case: "Case") -> tuple[str, ...]:
    return tuple(engine.label for engine in case.engines if engine.label in case.blamed)


def conclude(case: "Case", verdict: Verdict, reason: str) -> Comparison:
    """Return the comparison with this verdict."""
    checks = [j.check for j in case.judgements.values() if j.check is not None]
    distinct = {id(arbiter): arbiter for arbiter in case.arbiters.values()}.values()
    order = ("smooth", "kink", "jump", "not finite")
    patterns = dict.fromkeys(filter(None, map(_pattern, case.judgements.values())))
    return Comparison(
        verdict,
        _in_order(case),
        tuple(case.suspects.values()),
        reason,
        tuple(engine.label for engine in case.engines),
        case.dtype,
        case.seed,
        case.point.size,
        tuple((label, given.value) for label, given in case.answers.items()),
        differences=tuple(
            leaf_differences(case.answers, case.point, functools.partial(_round_off, case))
        ),
        conventions=tuple(_conventions(case)),
        second_opinions=tuple(case.opinions),
        notes=tuple(dict.fromkeys(case.notes)),
        pattern="; ".join(patterns),
        evaluations=sum(arbiter.black_box.evaluations for arbiter in distinct),
        smoothness=max((c.smoothness for c in checks), key=order.index, default="smooth"),
        resolution=max((check.resolution for check in checks), default=math.nan),
        left_out=case.taking_part.left_out,
        aliases=tuple(
            (engine.label, tuple(zip(case.point.names, engine.layout.names, strict=True)))
            for engine in case.engines
            if engine.layout is not None
        ),
    )


def _pattern(judgement: Judgement) -> str:
    """Return the check's guess; entries that are zero where f has a slope were cut off."""
    if not judgement.is_wrong or judgement.check is None:
        return ""
    pattern = judgement.check.pattern
    cut_off = bool(judgement.suspects) and all(suspect.got == 0 for suspect in judgement.suspects)
    return f"detached (zero): {pattern}" if cut_off and "detached" not in pattern else pattern


def _round_off(case: "Case", *labels: str) -> float:
    pair = [engine for engine in case.engines if engine.label in labels]
    epsilon = max(EPSILONS[engine.backend.dtype] for engine in pair)
    round_off = ROUND_OFF * epsilon / EPSILONS["float64"]
    differenced = any(engine.pays_for_each_entry for engine in pair)
    return max(round_off, QUOTIENT_ERROR) if differenced else round_off


def _conventions(case: "Case") -> Iterator[Convention]:
    for (leaf, entry), legal in list(case.kinks.items())[:MOST_CONVENTIONS]:
        yield Convention(
            case.point.names[leaf],
            index_of(case.point, leaf, entry),
            legal,
            tuple(
                (label, float(given.leaves[leaf].reshape(-1)[entry]))
                for label, given in case.answers.items()
            ),
        )


def listed(names: Sequence[str]) -> str:
    few = [*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]
    return few[0] if len(few) == 1 else f"{', '.join(few[:-1])} and {few[-1]}"
