"""The verdict that follows from what was found."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradparity.backends.pytrees import flatten, is_array

from ..low_precision.judging import Judgement
from ..verdicts import Suspect, Verdict
from .account import Found, WrongEntry
from .candidate import NO_GRADIENT, Candidate, Problem
from .function import Function
from .leaves import Leaf
from .patterns import EXPLAINED, Witness, explain, rounded_to, stray_repairs
from .reference import Certificate
from .result import GradientCheck, Kink, LeafCheck, place, sentence
from .score import Claim, Directions, blocks, norm
from .slope import KINDS, Directional
from .thresholds import CONFIRMED, DIGITS, LISTED

MOST_UNKNOWN = 20
STAIRS = (
    "f rises in stairs around the point, as what is rounded on the way does: the slope of all of "
    "them is another than that of the step that the point is on"
)


@dataclass(frozen=True)
class Judged:
    """A candidate, what was found, about which claim, and beside which certified reference.

    witnesses: slopes along directions through wrong leaves that no reference covers
    measured: what measured rounding says, where it was measured
    """

    candidate: Candidate
    found: Found = Found()
    claim: Claim | None = None
    certificate: Certificate | None = None
    witnesses: Mapping[int, Sequence[Witness]] = field(default_factory=dict)
    measured: Judgement | None = None


def conclude(directions: Directions, judged: Judged, claim: str, spent: int) -> GradientCheck:
    """Return the verdict; "agree" only where every leaf was resolved as finely as promised.

    claim: its name; spent: calls of f
    """
    function, candidate, found = directions.function, judged.candidate, judged.found
    problems, measured = dict(candidate.problems), judged.measured
    parts = [_Part(function, judged, position) for position in range(len(function.leaves))]
    leaves = tuple(part.check(problems.get(part.position)) for part in parts)
    kinks = _kinks(function, found)
    unknown = _unknown(function, found, kinks)
    if candidate.problems or any(leaf.verdict is Verdict.DIFFER for leaf in leaves):
        verdict = Verdict.DIFFER
    elif unknown or any(leaf.verdict is not Verdict.AGREE for leaf in leaves):
        verdict = Verdict.CANNOT_TELL
    else:
        verdict = Verdict.AGREE
    known = [leaf.resolution for leaf in leaves if not math.isnan(leaf.resolution)]
    check = GradientCheck(
        verdict,
        "",
        _suspects(parts, found),
        _overall_pattern(leaves),
        tuple(problem for _, problem in candidate.problems),
        leaves,
        kinks,
        unknown,
        (*candidate.remarks, *function.remarks, *[STAIRS] * ("stairs" in directions.kinds)),
        spent,
        max(directions.kinds, key=KINDS.index, default="smooth"),
        max(known, default=math.nan),
        function.value,
        directions.seed,
        claim,
        judged.certificate.reference.engine if judged.certificate else "",
        rounding=measured.praise if measured else "",
        measurement=measured.measurement if measured else None,
    )
    return replace(check, reason=sentence(check, candidate.terms.accepted))


def _kinks(function: Directional, found: Found) -> tuple[Kink, ...]:
    kinks: dict[tuple[str, tuple[int, ...]], Kink] = {}
    for one in found.legal:
        leaf = function.leaves[one.leaf]
        kink = Kink(leaf.name, leaf.index(one.entry), one.got, one.interval)
        kinks.setdefault((kink.leaf, kink.index), kink)
    return tuple(kinks.values())


def _unknown(function: Directional, found: Found, kinks: Sequence[Kink]) -> tuple[str, ...]:
    reasons = [function.blocked] if function.blocked else []
    reasons += [
        f"{function.leaves[leaf].name or 'params'}: {why}"
        for leaf, why in found.unknown
        if leaf not in found.wrong_leaves
    ]
    reasons += [
        f"{place(kink.leaf, kink.index)} is {kink.got} at a kink"
        for kink in kinks
        if not math.isfinite(kink.got)
    ]
    return tuple(dict.fromkeys(reasons))[:MOST_UNKNOWN]


def _suspects(parts: Sequence["_Part"], found: Found) -> tuple[Suspect, ...]:
    suspects: dict[tuple[int, tuple[int, ...]], Suspect] = {}
    for one in found.wrong:
        suspect = parts[one.leaf].suspect(one)
        suspects.setdefault((one.leaf, suspect.index), suspect)
    return tuple(suspects.values())


@dataclass(frozen=True)
class _Part:
    """One leaf of what was judged.

    position: of the leaf
    """

    function: Directional
    judged: Judged
    position: int

    @property
    def leaf(self) -> Leaf:
        return self.function.leaves[self.position]

    @property
    def given(self) -> np.ndarray:
        return self.judged.candidate.slopes[self.position]

    @functools.cached_property
    def wrong(self) -> list[WrongEntry]:
        return [one for one in self.judged.found.wrong if one.leaf == self.position]

    @property
    def reference(self) -> np.ndarray | None:
        """What the leaf should be, if a certificate says so."""
        certificate = self.judged.certificate
        if certificate is None or self.position not in certificate.spread:
            return None
        return certificate.claim.slopes[self.position]

    @functools.cached_property
    def as_measured(self) -> np.ndarray:
        """The leaf as it was given, but with its wrong entries as they were measured."""
        right = np.where(np.isfinite(self.given), self.given, 0.0)
        for one in self.wrong:
            right[one.entry] = one.expected
        return right

    def suspect(self, wrong: WrongEntry) -> Suspect:
        leaf = self.leaf
        pair = slice(2 * (wrong.entry // 2), 2 * (wrong.entry // 2) + 2)
        parameter = leaf.array.reshape(-1)
        numbers: tuple[complex, complex] = (wrong.got, wrong.expected)
        at: complex = float(parameter[wrong.entry])
        if leaf.is_complex:  # as its candidate's convention has it
            sign = -1 if self.judged.candidate.convention == "jax" else 1
            got, expected = self.given[pair], self.given[pair].copy()
            for one in self.wrong:
                if one.entry // 2 == wrong.entry // 2:
                    expected[one.entry % 2] = one.expected
            numbers = complex(got[0], sign * got[1]), complex(expected[0], sign * expected[1])
            at = complex(*parameter[pair])
        known = at if isinstance(self.function, Function) else None
        return Suspect(leaf.name, leaf.index(wrong.entry), *numbers, wrong.bar, parameter=known)

    def check(self, problem: Problem | None) -> LeafCheck:
        judged, found, leaf = self.judged, self.judged.found, self.leaf
        resolution = found.resolution.get(self.position, math.nan if leaf.size else 0.0)
        one_entry = found.entry_resolution.get(
            self.position, resolution * math.sqrt(max(leaf.size, 1))
        )
        unknown = self.position in found.unknown_leaves
        wrong = self.position in found.wrong_leaves
        if problem is not None or wrong:
            verdict = Verdict.DIFFER
        elif unknown or self.function.blocked:
            verdict = Verdict.CANNOT_TELL
        elif not leaf.size or judged.claim and judged.claim.resolves(self.position, resolution):
            verdict = Verdict.AGREE
        elif math.isnan(resolution) and len(found.decided_in.get(self.position, ())) >= leaf.size:
            verdict = Verdict.AGREE  # all of it is legal at kinks
        else:
            verdict = Verdict.CANNOT_TELL
        if problem is not None or self.function.blocked:
            resolution = one_entry = math.nan
        error, number, pattern = math.nan, 0, ""
        if problem is not None:
            is_detached = problem.pattern == NO_GRADIENT and wrong
            pattern = "detached (None)" if is_detached else self._stray() or problem.pattern
        else:
            error, number = self._error()
            pattern = self._pattern(number) if wrong else ""
        listed = len(self.wrong)
        more = wrong and (
            number > listed if number else listed in (0, CONFIRMED) and listed < leaf.size
        )
        rest_is_unknown = 0 < listed < leaf.size and (unknown or not resolution <= DIGITS)
        share = math.nan
        if judged.measured is not None and self.reference is not None:
            share = judged.measured.leaves[self.position].standing.share
        return LeafCheck(
            leaf.name,
            leaf.shape,
            verdict,
            error,
            resolution,
            one_entry,
            pattern,
            more,
            share,
            at_least=self.reference is None and (more or rest_is_unknown),
        )

    def _error(self) -> tuple[float, int]:
        """Return how far off it is, relative to its norm, and in how many entries; 0 if unknown."""
        claim, reference, number = self.judged.claim, self.reference, 0
        if claim is None or reference is None and not self.wrong:
            return math.nan, 0
        right = self.as_measured if reference is None else reference
        parts, granted = [], claim.tolerance[self.position]
        for block in blocks(right.size):
            gaps = self.given[block] - right[block]
            gaps[~np.isfinite(gaps)] = np.inf
            if reference is not None:
                number += int(np.count_nonzero(np.abs(gaps) > granted[block]))
            parts.append(norm(gaps))
        size, off = norm(right), math.hypot(*parts)
        return (off / size if size else (math.inf if off else 0.0)), number

    def _pattern(self, number: int) -> str:
        """Describe a wrong leaf by a fault that explains it, or by the entries it is in."""
        leaf, given, wrong = self.leaf, self.given, self.wrong
        right = self.reference
        if right is None and leaf.size <= LISTED:
            right = self.as_measured
        if leaf.is_complex:
            return _complex_pattern(given, right, self.judged.candidate.convention)
        if number != 1 or leaf.size == 1:
            slopes = zip(self.function.leaves, self.judged.candidate.slopes, strict=True)
            shaped = [(one.name, own.reshape(one.array.shape)) for one, own in slopes]
            _, own = shaped.pop(self.position)
            pattern = explain(
                own,
                None if right is None else right.reshape(leaf.shape),
                self.judged.witnesses.get(self.position, ()),
                leaf.array,
                shaped,
                _lengths(self.function),
            )
            if pattern:
                return pattern
        if right is None and wrong:
            got, expected = (
                np.array([getattr(one, k) for one in wrong]) for k in ("got", "expected")
            )
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

    def _stray(self) -> str:
        """Guess what happened to a leaf of another shape, beside a reference if there is one."""
        array = self.judged.candidate.strays.get(self.position)
        if array is None:
            return ""
        for pattern, repaired in stray_repairs(array, self.leaf.shape):
            if self.reference is None:
                return pattern
            if norm(repaired.reshape(-1) - self.reference) <= 1e-4 * norm(self.reference):
                return f"{pattern}: its values are right" if pattern == "reshaped" else pattern
        return ""


def _lengths(function: Directional) -> list[int]:
    """Return what a mean in f may have been taken over: the lengths of all axes."""
    if not isinstance(function, Function):
        return []
    leaves = flatten((function.given, function.given_args))[0]
    return [length for leaf in leaves if is_array(leaf) for length in np.shape(leaf)]


def _complex_pattern(given: np.ndarray, right: np.ndarray | None, convention: str) -> str:
    if right is None:
        return ""
    wrong = norm(given - right)
    if norm(given * np.tile([1.0, -1.0], given.size // 2) - right) <= EXPLAINED * wrong:
        return "conjugated" + f": expected the convention of {convention}" * bool(convention)
    turned, straight = given.view(np.complex128), right.view(np.complex128)
    factor = complex(np.vdot(turned, straight) / (np.vdot(turned, turned) or 1))
    if factor and norm(turned * factor - straight) <= EXPLAINED * wrong:
        return f"constant factor {1 / factor:.6g}"
    return "detached (zero)" if not given.any() else ""


def _overall_pattern(leaves: Sequence[LeafCheck]) -> str:
    patterns = {leaf.leaf: leaf.pattern for leaf in leaves if leaf.pattern}
    distinct = list(dict.fromkeys(patterns.values()))
    if len(distinct) <= 1:
        return distinct[0] if distinct else ""
    return "; ".join(f"{name or 'params'}: {pattern}" for name, pattern in patterns.items())
