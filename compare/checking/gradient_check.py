"""The result of checking a gradient, and how the verdict follows from what was found."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..verdicts import Suspect, Verdict
from .candidate import Candidate, Problem
from .recognition import FLOAT32
from .trial import DIGITS, Kink, LeafRecord, Trial


@dataclass(frozen=True)
class LeafCheck:
    """What a check says about one leaf.

    resolution: the arbiter's bar over the size of the leaf's slope; NaN if it was not judged
    pattern: a guess at what is wrong, "" if nothing is
    more: whether more entries are wrong than are listed among the suspects
    """

    name: str
    shape: tuple[int, ...]
    verdict: Verdict
    resolution: float
    pattern: str = ""
    more: bool = False


@dataclass(frozen=True)
class GradientCheck:
    """Whether a gradient is right, and if not, where.

    suspects: wrong entries with the arbiter's value and bar; a wrong leaf shows a few of its own
    pattern: a guess at what happened; problems: leaves of the wrong structure, shape or dtype
    kinks: entries where f has no derivative, with the interval of legal values
    unknown: what could not be judged, and why
    evaluations: calls of f; smoothness: the worst met; resolution: of the worst leaf, relative
    value: of f; seed: of the random directions
    """

    verdict: Verdict
    suspects: tuple[Suspect, ...]
    pattern: str
    problems: tuple[Problem, ...]
    leaves: tuple[LeafCheck, ...]
    kinks: tuple[Kink, ...]
    unknown: tuple[str, ...]
    evaluations: int
    smoothness: str
    resolution: float
    value: float
    seed: int

    def __str__(self) -> str:
        from .check_report import report

        return report(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; numbers that JSON lacks become "nan", "inf" or "-inf"."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}


def conclude(trial: Trial, candidate: Candidate, evaluations: int) -> GradientCheck:
    """Return the verdict on a candidate of which all leaves have been settled."""
    problems = {leaf: problem for leaf, problem in candidate.problems}
    value = trial.black_box.value
    defined = math.isfinite(value)
    leaves = tuple(
        _leaf_check(trial, leaf, problems.get(leaf), defined) for leaf in range(len(trial.records))
    )
    unknown = [reason for record in trial.records for reason in record.unknown]
    if not defined:
        unknown.append(f"f is {value} at the parameters: there is no derivative to compare with")
    nan_at_kinks = any(math.isnan(kink.got) for kink in trial.kinks)
    if problems or any(leaf.verdict is Verdict.DIFFER for leaf in leaves):
        verdict = Verdict.DIFFER
    elif unknown or nan_at_kinks or any(leaf.verdict is not Verdict.AGREE for leaf in leaves):
        verdict = Verdict.CANNOT_TELL
    else:
        verdict = Verdict.AGREE
    resolutions = [leaf.resolution for leaf in leaves if not math.isnan(leaf.resolution)]
    return GradientCheck(
        verdict,
        tuple(trial.suspects),
        _overall_pattern(leaves),
        tuple(problem for _, problem in candidate.problems),
        leaves,
        tuple(trial.kinks),
        tuple(unknown),
        evaluations,
        trial.smoothness if defined else "not finite",
        max(resolutions, default=math.nan),
        value,
        trial.meter.seed,
    )


def _leaf_check(trial: Trial, leaf: int, problem: Problem | None, defined: bool) -> LeafCheck:
    record = trial.records[leaf]
    shape = trial.black_box.leaves[leaf].shape
    resolution = record.partial if math.isinf(record.resolution) else record.resolution
    if record.closed or not (trial.judged(leaf) and defined):
        resolution = math.nan
    if problem or record.suspects or record.wrong:
        verdict = Verdict.DIFFER
    elif record.unknown or record.more or not defined or resolution > DIGITS:
        verdict = Verdict.CANNOT_TELL
    else:
        verdict = Verdict.AGREE
    pattern = record.pattern or (problem.pattern if problem else _pattern(trial, leaf, record))
    name = trial.black_box.names[leaf]
    return LeafCheck(name, shape, verdict, resolution, pattern, record.more)


def _pattern(trial: Trial, leaf: int, record: LeafRecord) -> str:
    """Describe faults that no repair of the whole leaf explains by the entries they are in."""
    if not record.suspects:
        return ""
    name, size = trial.black_box.names[leaf], trial.original[leaf].size
    suspects = [suspect for suspect in trial.suspects if suspect.leaf == name]
    if record.suspects == size:
        return _ratio(suspects)
    if record.suspects > 1 and all(suspect.got == 0 for suspect in suspects):
        return "detached (zero) in part"
    if record.more:
        return "many entries"
    return "one entry" if record.suspects == 1 else f"{record.suspects} entries"


RATIOS = {-1.0: "sign", 2.0: "factor 2", 0.5: "factor 1/2", 0.0: "detached (zero)"}


def _ratio(suspects: list[Suspect]) -> str:
    """Describe a leaf, all of whose entries are wrong, by what they are multiplied with."""
    sharp = [s for s in suspects if abs(s.expected) > 1 / DIGITS * s.error_bar]
    ratios = [s.got / s.expected for s in sharp if s.expected]
    if not ratios or max(ratios) - min(ratios) > DIGITS * max(map(abs, ratios)):
        return "one entry" if len(suspects) == 1 else f"all {len(suspects)} entries"
    if abs(ratios[0] - 1) <= FLOAT32 and all(np.float32(s.got) == s.got for s in suspects):
        return "rounded to float32"
    for ratio, name in RATIOS.items():
        if abs(ratios[0] - ratio) <= DIGITS:
            return name
    return f"constant factor {ratios[0]:.6g}"


def _overall_pattern(leaves: tuple[LeafCheck, ...]) -> str:
    patterns = {leaf.name: leaf.pattern for leaf in leaves if leaf.pattern}
    distinct = list(dict.fromkeys(patterns.values()))
    if len(distinct) <= 1:
        return distinct[0] if distinct else ""
    return "; ".join(f"{name or 'params'}: {pattern}" for name, pattern in patterns.items())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Verdict) else value
