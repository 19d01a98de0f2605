"""Check candidates for the derivative of one function at one point."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np

from gradparity.backends.errors import InvalidSetting, ShapeMismatch
from gradparity.backends.framework_trees import is_model
from gradparity.backends.precision import UNIT_ROUNDOFF
from gradparity.backends.pytrees import PyTree
from gradparity.backends.rounding import Rounding

from ..low_precision.judging import ALL_RUNS
from ..low_precision.standing import WRONG as STANDS_OUT
from ..low_precision.yardstick import compare_accuracy
from ..verdicts import Verdict
from .account import CONFIRMING_ROUNDS, Account, Found, LegalEntry, WrongEntry, unknown
from .candidate import Candidate, Terms, accepted, read_candidate
from .conclusion import Judged, conclude
from .function import Function
from .hosts import on_accelerator
from .leaves import Span
from .patterns import Witness
from .reference import Certificate, Reference, certify, claim_of, compare, reference_of
from .result import GradientCheck
from .rounding import judge_measured, measure_for
from .score import Claim, Directions, RoundingBound, Score, norm, rounding_bound
from .slope import Directional
from .spending import BudgetSpent, Spending
from .thresholds import CONFIRMED, ROUNDINGS

DOUBLE = UNIT_ROUNDOFF["float64"]
TENSOR_FLOAT = (
    "an accelerator may multiply matrices in TensorFloat-32, which has ten bits: for float32, set "
    "jax_default_matmul_precision to 'highest', or call torch.set_float32_matmul_precision with it"
)
Varying = TypeVar("Varying", bound=Directional)


class Checker(Generic[Varying]):
    """Checks claims about one function; what is known of it serves them all.

    function: what varies along directions; seed: of the random directions; claim: its name
    reference: a gradient of some engine to compare with, once it is certified
    """

    def __init__(self, function: Varying, seed: int = 0, claim: str = "gradient") -> None:
        check_seed(seed)
        self.function, self.claim = function, claim
        self.directions = Directions(function, seed)
        self.spending = function.spending or Spending()
        self.certificates: dict[str, Certificate] = {}
        self.reference: Reference | None = None
        self.search_references = isinstance(function, Function)
        self.unmeasured = ""
        self._roundings: dict[Any, Rounding | str] = {}
        self._reported = 0

    def check(
        self,
        gradient: PyTree | Callable[..., PyTree],
        tolerance: PyTree | None = None,
        rtol: float | None = None,
        rounding: float = 0.0,
        only: Sequence[np.ndarray] | None = None,
        yardstick: PyTree | Callable[..., PyTree] | None = None,
        dtype: str = "float64",
    ) -> GradientCheck:
        """Return the verdict on one candidate; its `evaluations` are those since the last one.

        gradient: numbers, or a rule that is called twice
        rounding: what the candidate's own method loses, relatively, more than its dtype does
        only: the entries of each leaf to be judged, flat; None for all
        yardstick: another gradient, whose accuracy the candidate's is compared with
        dtype: what the candidate is a combination of in float64
        """
        granted = accepted(tolerance, rtol, self.function.leaves)
        terms = Terms(granted, rtol or 0.0, rounding, only, dtype)
        given = self._called(gradient)
        check = self._verdict(given, terms)
        if given is not gradient:
            check = self._asked_again(check, gradient, given, terms)
        if self.unmeasured and not check.rounding and check.verdict != "agree":
            check = replace(check, notes=(*check.notes, self.unmeasured))
        elif check.verdict == "cannot tell" and _in_float32(check):
            if isinstance(self.function, Function) and on_accelerator(self.function.given):
                check = replace(check, notes=(*check.notes, TENSOR_FLOAT))
        return check if yardstick is None else self._beside(check, given, yardstick)

    def _called(self, gradient: PyTree | Callable[..., PyTree]) -> PyTree:
        """Return numbers, given as they are or by a rule."""
        if not callable(gradient) or is_model(gradient):
            return gradient
        assert isinstance(self.function, Function)
        return self.function.call(gradient)

    def _verdict(self, given: PyTree, terms: Terms) -> GradientCheck:
        is_tangent = not isinstance(self.function, Function)
        candidate = read_candidate(given, self.function.leaves, terms, is_tangent)
        judged = Judged(candidate)
        # Where the whole is of another form, there is not one number to judge.
        if not self.function.blocked and len(candidate.unread) < len(self.function.leaves):
            try:
                judged = self._judge(candidate)
            except BudgetSpent:
                every = range(len(self.function.leaves))
                judged = Judged(candidate, unknown(every, self.spending.why))
        spent = self.function.evaluations - self._reported
        self._reported = self.function.evaluations
        return conclude(self.directions, judged, self.claim, spent)

    def _asked_again(
        self, check: GradientCheck, rule: Callable[..., PyTree], given: PyTree, terms: Terms
    ) -> GradientCheck:
        """Return the verdict on a rule: it gives one answer, and in float64 it may be right."""
        function = self.function
        assert isinstance(function, Function)
        if again := self._differently(given, function.call(rule)):
            reason = f"the {self.claim} changes from call to call: it {again}"
            return replace(check, verdict=Verdict.DIFFER, reason=reason)
        if check.verdict == "differ" and not function.is_double:
            try:
                double = function.call_in_float64(rule)
            except Exception:  # it takes its own dtype alone
                return check
            if self._verdict(double, terms).verdict == "agree":
                note = f"in float64 it is right: only {function.dtype} is at fault"
                return replace(check, notes=(note, *check.notes))
        return check

    def _differently(self, first: PyTree, second: PyTree) -> str:
        """Say where two answers differ by more than rounding explains."""
        one, two = (read_candidate(tree, self.function.leaves) for tree in (first, second))
        for position, leaf in enumerate(self.function.leaves):
            a, b = one.slopes[position], two.slopes[position]
            if np.array_equal(a, b):
                continue
            granted = rounding_bound(a, max(one.units[position], DOUBLE))[:]
            apart = ~((np.abs(a - b) <= granted) | (np.isnan(a) & np.isnan(b)) | (a == b))
            if apart.any():
                entry = int(np.argmax(np.where(apart, np.abs(a - b), -1.0)))
                place = (leaf.name or "") + (str(list(leaf.index(entry))) if leaf.shape else "")
                return f"gives {a[entry]:.6g} and {b[entry]:.6g} at {place} for the same input"
        return ""

    def _account(self) -> Account:
        last = self.function.evaluations + self.spending.most
        return Account(self.directions, last, why=self.spending.why)

    def _judge(self, candidate: Candidate) -> Judged:
        """Judge numbers by measured rounding where that may matter, else by slopes of f."""
        self.unmeasured = ""
        casts = self.function.casts
        certificate = self.certificate(load=True) if casts else None
        coarse = any(unit > DOUBLE for unit in candidate.units)
        if coarse or certificate and self._is_off(candidate, certificate):
            if rounded := self._rounded(candidate):
                return rounded
        if casts and (certificate is None or self.unmeasured):
            # Nobody has measured what the casts of f round: they are granted their unit roundoff.
            unit = max(UNIT_ROUNDOFF[cast.to] for cast in casts)
            for units in (candidate.units, tuple(max(own, unit) for own in candidate.units)):
                claim = self._claim(replace(candidate, units=units), certificate)
                if claim.whole() and (fits := self._account().at_once(claim)):
                    return Judged(candidate, fits, claim)
        return self._by_slopes(candidate)

    def _by_slopes(self, candidate: Candidate) -> Judged:
        account, certificate = self._account(), self.certificate(load=False)
        claim = self._claim(candidate, certificate)
        found, claim = self._not_finite(account, claim)
        if certificate is None and claim.whole():
            if fits := account.at_once(claim):
                return Judged(candidate, found + fits, claim)
            # Something is wrong or hard to see: now any engine that is installed may help.
            certificate = self.certificate(load=True)
            if certificate is not None:
                claim = self._claim(candidate, certificate)
                found, claim = self._not_finite(account, claim)
        if certificate is not None:
            smooth = self.directions.kinds <= {"smooth"}
            claim = certificate.granting(claim, candidate.units, smooth)
            found += compare(account, claim, certificate)
        covered = certificate.spread if certificate else ()
        found += account.of(claim.without_leaves(covered))
        if len(found.legal) > 1:
            found += account.together(found.legal)
        judged = Judged(candidate, found, claim, certificate)
        return replace(judged, witnesses=self._witnesses(judged))

    def _witnesses(self, judged: Judged) -> dict[int, list[Witness]]:
        """Measure slopes through the first wrong leaves that no reference explains."""
        covered = judged.certificate.spread if judged.certificate else {}
        witnesses: dict[int, list[Witness]] = {}
        for leaf in [leaf for leaf in judged.found.wrong_leaves if leaf not in covered][:CONFIRMED]:
            size = self.function.leaves[leaf].size
            if judged.claim is None or size == 1 or judged.found.wrong_in[leaf] == 1:
                continue
            whole = replace(judged.claim, open=(None,) * len(self.function.leaves))
            for round_ in CONFIRMING_ROUNDS:
                try:
                    score = self.directions.score(whole, (Span(leaf, 0, size),), round_)
                except BudgetSpent:
                    return witnesses
                if score.slope.kind == "smooth" and score.slope.known:
                    weights = self.directions.weights(round_)[leaf]
                    witnesses.setdefault(leaf, []).append((weights, score))
        return witnesses

    # The reference.

    def certificate(self, load: bool) -> Certificate | None:
        if self.reference is None and self.search_references:
            assert isinstance(self.function, Function)
            self.reference = reference_of(self.function, load)
            self.search_references = not load
        return None if self.reference is None else self.certify(self.reference)

    def certify(self, reference: Reference) -> Certificate:
        """Return what slopes of f say of a reference; it is measured once."""
        if reference.engine not in self.certificates:
            self.certificates[reference.engine] = certify(self._account(), reference)
        return self.certificates[reference.engine]

    def score_of(self, reference: Reference) -> Score:
        """Return how a reference fits along the first direction that would certify it.

        raises: BudgetSpent
        """
        claim = reference.claim.balanced
        return self.directions.score(claim, claim.whole(), 0)

    # The claim.

    def _claim(self, candidate: Candidate, certificate: Certificate | None) -> Claim:
        terms = candidate.terms
        # Where slopes of f contradict an engine, its gradient is no measure of anything.
        known = certificate.known if certificate else {}
        sizes = certificate.claim.sizes if certificate else ()
        units = [max(unit, terms.rounding / ROUNDINGS) for unit in candidate.units]
        leaves = self.function.leaves
        claim = claim_of(leaves, candidate.slopes, units)
        granted = list(claim.tolerance)
        for leaf, slopes in known.items():
            granted[leaf] = RoundingBound(slopes, sizes[leaf] / leaves[leaf].scale, units[leaf])
        slack = [terms.rtol + ROUNDINGS * terms.rounding] * len(granted)
        for leaf, bound in enumerate(terms.bounds or ()):
            size = norm(known.get(leaf, candidate.slopes[leaf]))
            slack[leaf] += norm(bound) / size if size else math.inf
        accepted = terms.bounds or (0.0,) * len(granted)
        claim = replace(
            claim,
            tolerance=granted,
            accepted=tuple(accepted),
            slack=tuple(slack),
            rtol=terms.rtol,
        )
        claim = claim.without_leaves(candidate.unread)
        if terms.only is None:
            return claim
        rest = {
            leaf: np.setdiff1d(np.arange(claim.slopes[leaf].size), entries)
            for leaf, entries in enumerate(terms.only)
        }
        return claim.without({leaf: entries for leaf, entries in rest.items() if entries.size})

    def _not_finite(self, account: Account, claim: Claim) -> tuple[Found, Claim]:
        """Judge entries that are no numbers, a few in each leaf, and take them out of the claim."""
        found = Found()
        slopes = list(claim.slopes)
        decided: dict[int, np.ndarray] = {}
        for leaf, given in enumerate(claim.slopes):
            mask = claim.open[leaf]
            bad = np.flatnonzero(~np.isfinite(given))
            bad = bad if mask is None else bad[mask[bad]]
            if not bad.size:
                continue
            decided[leaf] = bad
            slopes[leaf] = np.where(np.isfinite(given), given, 0.0)
            for entry in bad[:CONFIRMED]:
                found += self._not_a_number(account, leaf, int(entry), float(given[entry]))
            if len(bad) > CONFIRMED and leaf not in found.wrong_leaves:
                why = f"{len(bad)} entries are not finite, of which {CONFIRMED} were looked at"
                found += Found(unknown=((leaf, why),))
        if not decided:
            return found, claim
        return found, replace(claim, slopes=tuple(slopes)).without(decided)

    def _not_a_number(self, account: Account, leaf: int, entry: int, got: float) -> Found:
        described = self.function.leaves[leaf]
        slope = account.slope_of_entry(leaf, entry, described.scale)
        if slope.kind == "smooth" and slope.known:
            wrong = WrongEntry(leaf, entry, got, slope.value, slope.reach)
            return Found(wrong=(wrong,), wrong_leaves=frozenset((leaf,)))
        if slope.kind == "kink":
            return Found(legal=(LegalEntry(leaf, entry, got, (slope.low, slope.high)),))
        where = f"{list(described.index(entry))} " if described.shape else ""
        return Found(unknown=((leaf, f"{where}is {got}, and so may be the slope of f"),))

    # Low precision.

    def _is_off(self, candidate: Candidate, certificate: Certificate) -> bool:
        """Tell whether any number is farther off than its rounding."""
        claim, reference = self._claim(candidate, certificate), certificate.claim.slopes
        return not all(
            (np.abs(claim.slopes[leaf] - reference[leaf]) <= claim.tolerance[leaf][:]).all()
            for leaf in certificate.spread
        )

    def _rounding_of(self, candidate: Candidate) -> Rounding | None:
        """Return the rounding of f's own gradient in the candidate's precision, measured once."""
        certificate = self.certificate(load=True)
        if certificate is None or candidate.unread or not certificate.spread:
            return None
        assert isinstance(self.function, Function)
        key = (candidate.dtypes, candidate.framework)
        if key not in self._roundings:
            seed = self.directions.seed
            self._roundings[key] = measure_for(self.function, candidate, certificate, seed)
        measured = self._roundings[key]
        if isinstance(measured, str):
            self.unmeasured = f"its rounding is bounded, not measured: {measured}"
            return None
        return measured

    def _rounded(self, candidate: Candidate) -> Judged | None:
        """Judge by measured rounding what a certified reference covers; None where it cannot be."""
        if candidate.terms.rounding or candidate.terms.only is not None:
            return None
        rounding, certificate = self._rounding_of(candidate), self.certificate(load=True)
        if rounding is None or certificate is None:
            return None
        leaves = self.function.leaves
        judgement, said, limits = judge_measured(leaves, candidate, certificate, rounding)
        account = self._account()
        found, claim = self._not_finite(account, self._claim(candidate, certificate))
        found += said + account.of(claim.without_leaves(certificate.spread))
        slack, granted = list(claim.slack), list(claim.tolerance)
        for leaf, limit in limits.items():
            slack[leaf] = max(slack[leaf], limit)
            # An entry counts as off where it would be wrong by itself.
            granted[leaf] = STANDS_OUT * judgement.leaves[leaf].standing.entry_bar.reshape(-1)
        claim = replace(claim, slack=tuple(slack), tolerance=tuple(granted))
        return Judged(candidate, found, claim, certificate, measured=judgement)

    def _beside(self, check: GradientCheck, given: PyTree, yardstick: Any) -> GradientCheck:
        """Compare the accuracies of a candidate and of a yardstick, by measured rounding."""
        leaves, trees = self.function.leaves, (given, self._called(yardstick))
        one, two = (read_candidate(tree, leaves) for tree in trees)
        for _, problem in two.problems:
            raise ShapeMismatch(f"yardstick: leaf {problem.leaf or 'params'}: {problem.text}")
        rounding = None if one.problems else self._rounding_of(one)
        if rounding is None:
            why = self.unmeasured or "no reference is certified, or the claim has other leaves"
            return replace(check, notes=(*check.notes, f"no yardstick: {why}"))
        candidates, yardsticks = (
            [own.reshape(leaf.shape) for own, leaf in zip(tree.slopes, leaves, strict=True)]
            for tree in (one, two)
        )
        names = [leaf.name for leaf in leaves]
        measured = rounding.with_runs(ALL_RUNS)
        beside = compare_accuracy(measured, candidates, yardsticks, names)
        return replace(check, yardstick=beside)


def _in_float32(check: GradientCheck) -> bool:
    return check.measurement is not None and check.measurement.dtype == "float32"


def check_seed(seed: int) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InvalidSetting(f"seed: got {seed!r}, expected an integer that is not negative")
