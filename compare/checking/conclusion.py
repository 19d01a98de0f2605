"""The verdict that follows from what was found."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..verdicts import Suspect, Verdict
from .account import Found, WrongEntry
from .candidate import NO_GRADIENT, Candidate, Problem
from .function import Function
from .patterns import EXPLAINED, Witness, explain, rounded_to, stray_repairs
from .reference import Certificate
from .result import GradientCheck, Kink, LeafCheck, place, sentence
from .rounding import Measured
from .score import Claim, norm
from .slope import Directional
from .thresholds import CONFIRMED, DIGITS, LISTED

MOST_UNKNOWN = 20


@dataclass(frozen=True)
class Case:
    """What a verdict is about.

    claim: its name; spent: calls of f; accepted: what errors the caller does, in words
    counts: lengths that a mean may have been taken over
    """

    function: Directional
    seed: int
    candidate: Candidate
    claim: str
    spent: int
    accepted: str = ""
    smoothness: str = "smooth"
    counts: Sequence[int] = ()

    @functools.cached_property
    def problems(self) -> dict[int, Problem]:
        return dict(self.candidate.problems)


@dataclass(frozen=True)
class Judged:
    """What was found, about which claim, and beside which certified reference.

    witnesses: slopes along directions through wrong leaves that no reference covers
    measured: what measured rounding says, where it was measured
    """

    found: Found = Found()
    claim: Claim | None = None
    certificate: Certificate | None = None
    witnesses: Mapping[int, Sequence[Witness]] = field(default_factory=dict)
    measured: Measured | None = None

    def __add__(self, more: Found) -> "Judged":
        return replace(self, found=self.found + more)

    def resolves(self, leaf: int, resolution: float) -> bool:
        return self.claim is not None and self.claim.resolves(leaf, resolution)

    def reference(self, leaf: int) -> np.ndarray | None:
        """Return what a leaf should be, if a certificate says so."""
        if self.certificate is None or leaf not in self.certificate.spread:
            return None
        return self.certificate.claim.slopes[leaf]


def conclude(case: Case, judged: Judged) -> GradientCheck:
    """Return the verdict; "agree" only where every leaf was resolved as finely as promised."""
    leaves = tuple(_leaf_check(case, judged, leaf) for leaf in range(len(case.function.leaves)))
    kinks = _kinks(case, judged.found)
    unknown = _unknown(case, judged.found, kinks)
    if case.candidate.problems or any(leaf.verdict is Verdict.DIFFER for leaf in leaves):
        verdict = Verdict.DIFFER
    elif unknown or any(leaf.verdict is not Verdict.AGREE for leaf in leaves):
        verdict = Verdict.CANNOT_TELL
    else:
        verdict = Verdict.AGREE
    known = [leaf.resolution for leaf in leaves if not math.isnan(leaf.resolution)]
    check = GradientCheck(
        verdict,
        "",
        _suspects(case, judged.found),
        _overall_pattern(leaves),
        tuple(problem for _, problem in case.candidate.problems),
        leaves,
        kinks,
        unknown,
        (*case.candidate.remarks, *case.function.remarks),
        case.spent,
        case.smoothness,
        max(known, default=math.nan),
        case.function.value,
        case.seed,
        case.claim,
        rounding=judged.measured.judgement.praise if judged.measured else "",
        measurement=judged.measured.judgement.measurement if judged.measured else None,
    )
    return replace(check, reason=sentence(check, case.accepted))


def _kinks(case: Case, found: Found) -> tuple[Kink, ...]:
    kinks: dict[tuple[str, tuple[int, ...]], Kink] = {}
    for one in found.legal:
        leaf = case.function.leaves[one.leaf]
        kink = Kink(leaf.name, leaf.index(one.entry), one.got, one.interval)
        kinks.setdefault((kink.leaf, kink.index), kink)
    return tuple(kinks.values())


def _unknown(case: Case, found: Found, kinks: Sequence[Kink]) -> tuple[str, ...]:
    reasons = [case.function.blocked] if case.function.blocked else []
    reasons += [
        f"{case.function.leaves[leaf].name or 'params'}: {why}"
        for leaf, why in found.unknown
        if leaf not in found.wrong_leaves
    ]
    reasons += [
        f"{place(kink.leaf, kink.index)} is {kink.got} at a kink"
        for kink in kinks
        if not math.isfinite(kink.got)
    ]
    return tuple(dict.fromkeys(reasons))[:MOST_UNKNOWN]


def _suspects(case: Case, found: Found) -> tuple[Suspect, ...]:
    suspects: dict[tuple[int, tuple[int, ...]], Suspect] = {}
    for one in found.wrong:
        leaf = case.function.leaves[one.leaf]
        index = leaf.index(one.entry)
        numbers: tuple[complex, complex] = (one.got, one.expected)
        if leaf.is_complex:
            numbers = _both_parts(case, found, one.leaf, one.entry)
        suspect = Suspect(leaf.name, index, *numbers, one.bar, parameter=_parameter(case, one))
        suspects.setdefault((one.leaf, index), suspect)
    return tuple(suspects.values())


def _parameter(case: Case, wrong: WrongEntry) -> float | complex | None:
    if not isinstance(case.function, Function):
        return None
    leaf = case.function.leaves[wrong.leaf]
    flat = leaf.array.reshape(-1)
    if not leaf.is_complex:
        return float(flat[wrong.entry])
    pair = 2 * (wrong.entry // 2)
    return complex(flat[pair], flat[pair + 1])


def _both_parts(case: Case, found: Found, leaf: int, entry: int) -> tuple[complex, complex]:
    """Return a complex entry, got and expected, as its candidate's convention has it."""
    pair = 2 * (entry // 2)
    got = [float(case.candidate.slopes[leaf][pair + part]) for part in (0, 1)]
    expected = list(got)
    for one in found.wrong:
        if one.leaf == leaf and one.entry // 2 == entry // 2:
            expected[one.entry % 2] = one.expected
    sign = -1 if case.candidate.convention == "jax" else 1
    return complex(got[0], sign * got[1]), complex(expected[0], sign * expected[1])


def _leaf_check(case: Case, judged: Judged, position: int) -> LeafCheck:
    found, leaf = judged.found, case.function.leaves[position]
    problem = case.problems.get(position)
    resolution = found.resolution.get(position, math.nan if leaf.size else 0.0)
    one_entry = found.entry_resolution.get(position, resolution * math.sqrt(max(leaf.size, 1)))
    unknown = position in found.unknown_leaves
    wrong = position in found.wrong_leaves or found.wrong_in[position] > 0
    if problem is not None or wrong:
        verdict = Verdict.DIFFER
    elif unknown or case.function.blocked:
        verdict = Verdict.CANNOT_TELL
    elif not leaf.size or judged.resolves(position, resolution):
        verdict = Verdict.AGREE
    elif math.isnan(resolution) and len(found.decided_in.get(position, ())) >= leaf.size:
        verdict = Verdict.AGREE  # all of it is legal at kinks
    else:
        verdict = Verdict.CANNOT_TELL
    if problem is not None or case.function.blocked:
        resolution = one_entry = math.nan
    error, number = _error(case, judged, position) if not problem else (math.nan, 0)
    if problem is not None:
        pattern = _stray_pattern(case, judged, position) or problem.pattern
        if pattern == NO_GRADIENT and wrong:
            pattern = "detached (None)"
    else:
        pattern = _pattern(case, judged, position, number) if wrong else ""
    listed = found.wrong_in[position]
    more = wrong and (
        number > listed if number else listed in (0, CONFIRMED) and listed < leaf.size
    )
    rest_is_unknown = 0 < listed < leaf.size and (unknown or not resolution <= DIGITS)
    said = judged.measured.leaves.get(position) if judged.measured else None
    share = said.standing.share if said else math.nan
    return LeafCheck(
        leaf.name, leaf.shape, verdict, error, resolution, one_entry, pattern, more, share,
        at_least=judged.reference(position) is None and (more or rest_is_unknown),
    )  # fmt: skip


def _right(case: Case, judged: Judged, position: int) -> np.ndarray | None:
    """Return what a leaf should be, certified or because all wrong entries were measured."""
    reference = judged.reference(position)
    if reference is not None or case.function.leaves[position].size > LISTED:
        return reference
    return _with_measured(case, judged, position)


def _with_measured(case: Case, judged: Judged, position: int) -> np.ndarray:
    """Return a leaf as it was given, but with its wrong entries as they were measured."""
    given = case.candidate.slopes[position]
    right = np.where(np.isfinite(given), given, 0.0)
    for one in judged.found.wrong:
        if one.leaf == position:
            right[one.entry] = one.expected
    return right


def _error(case: Case, judged: Judged, position: int) -> tuple[float, int]:
    """Return how far off a leaf is, relative to its norm, and in how many entries; 0 if unknown."""
    reference, number = judged.reference(position), 0
    if judged.claim is None or reference is None and not judged.found.wrong_in[position]:
        return math.nan, 0
    given = case.candidate.slopes[position]
    right = _with_measured(case, judged, position) if reference is None else reference
    gaps = np.where(np.isfinite(given), given - right, np.inf)
    if reference is not None:
        number = int(np.count_nonzero(np.abs(gaps) > judged.claim.tolerance[position]))
    size, off = norm(right), norm(gaps)
    return (off / size if size else (math.inf if off else 0.0)), number


def _pattern(case: Case, judged: Judged, position: int, number: int) -> str:
    """Describe a wrong leaf by a fault that explains it, or by the entries it is in."""
    leaves, flat = case.function.leaves, _right(case, judged, position)
    leaf, given = leaves[position], case.candidate.slopes[position]
    if leaf.is_complex:
        return _complex_pattern(given, flat, case.candidate.convention)
    wrong = [one for one in judged.found.wrong if one.leaf == position]
    if number != 1 or leaf.size == 1:
        shaped = [
            slopes.reshape(one.shape)
            for slopes, one in zip(case.candidate.slopes, leaves, strict=True)
        ]
        pattern = explain(
            shaped[position],
            None if flat is None else flat.reshape(leaf.shape),
            judged.witnesses.get(position, ()),
            leaf.array,
            [(leaves[k].name, other) for k, other in enumerate(shaped) if k != position],
            case.counts,
        )
        if pattern:
            return pattern
    if flat is None and wrong:
        got, expected = (np.array([getattr(one, k) for one in wrong]) for k in ("got", "expected"))
        if dtype := rounded_to(given, got, expected):
            return f"rounded to {dtype}"
    if len(wrong) > 1 and all(one.got == 0 for one in wrong):
        return "detached (zero) in part"
    if not number and len(wrong) == CONFIRMED < leaf.size:
        return "many entries"  # the search ended there
    number = number or len(wrong)
    if number == leaf.size > 1:
        return f"all {number} entries"
    if number == 1:
        return "one entry"
    return f"{number:,} entries" if number else "spread over many entries"


def _complex_pattern(given: np.ndarray, right: np.ndarray | None, convention: str) -> str:
    if right is None:
        return ""
    wrong = norm(given - right)
    if norm(given * np.tile([1.0, -1.0], given.size // 2) - right) <= EXPLAINED * wrong:
        return f"conjugated: expected the convention of {convention}"
    turned, straight = given.view(np.complex128), right.view(np.complex128)
    factor = complex(np.vdot(turned, straight) / (np.vdot(turned, turned) or 1))
    if factor and norm(turned * factor - straight) <= EXPLAINED * wrong:
        return f"constant factor {1 / factor:.6g}"
    return "detached (zero)" if not given.any() else ""


def _stray_pattern(case: Case, judged: Judged, position: int) -> str:
    """Guess what happened to a leaf of another shape, beside a reference if there is one."""
    array = case.candidate.strays.get(position)
    if array is None:
        return ""
    shape, reference = case.function.leaves[position].shape, judged.reference(position)
    for pattern, repaired in stray_repairs(array, shape):
        if reference is None:
            return pattern
        if norm(repaired.reshape(-1) - reference) <= 1e-4 * norm(reference):
            return f"{pattern}: its values are right" if pattern == "reshaped" else pattern
    return ""


def _overall_pattern(leaves: Sequence[LeafCheck]) -> str:
    patterns = {leaf.leaf: leaf.pattern for leaf in leaves if leaf.pattern}
    distinct = list(dict.fromkeys(patterns.values()))
    if len(distinct) <= 1:
        return distinct[0] if distinct else ""
    return "; ".join(f"{name or 'params'}: {pattern}" for name, pattern in patterns.items())
