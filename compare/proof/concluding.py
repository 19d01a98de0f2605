"""From balls, and a candidate where there is one, to the verdict of a proof."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.backends.pytrees import PyTree, unflatten

from ..verdicts import Suspect
from .candidates import Bound, Claimed, judge, read_claim, suspects
from .enclosed import each, upper
from .enclosing import Enclosure
from .granted import DTYPES, Granted
from .proof import LeafProof, Proof, ProofText, ProofVerdict

# Entries that are so much smaller than the largest of their leaf are zero in theory, mostly, and
# what is accepted of these has to be more than nothing.
ZERO = 1e-40


def conclude(
    leaves: Sequence[np.ndarray],
    names: Sequence[str],
    structure: Any,
    found: Enclosure | None,
    reason: str,
    gradient: PyTree,
    digits: int,
    rtol: float | None,
    seconds: float,
    granted: Granted | None = None,
) -> Proof:
    """Return the proof; `reason` says why an enclosure does not suffice, or is empty.

    granted: what rounding may do, where no rtol says what is accepted
    seconds: that the enclosure took
    """
    shapes = [leaf.shape for leaf in leaves]
    claims = None if gradient is None else read_claim(gradient, names, shapes)
    if found is None or granted is None:
        nan = [np.full(shape, math.nan) for shape in shapes]
        infinite = [np.full(shape, math.inf) for shape in shapes]
        nothing = tuple(
            LeafProof(name, shape, -math.inf, math.nan)
            for name, shape in zip(names, shapes, strict=True)
        )
        return Proof(
            unflatten(structure, nan),
            unflatten(structure, infinite),
            -math.inf,
            ProofVerdict.NOT_PROVED,
            reason,
            nothing,
            seconds=seconds,
        )
    allowed = granted.bounds if rtol is None else (_relative(rtol, found),)
    parts, wrong, unsure, symmetrised = [], [], [], []
    for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        known = float(np.min(found.digits(position, digits), initial=math.inf))
        largest = float(found.scales[position].abs_lower())
        part = LeafProof(name, shape, known, largest)
        if claims is not None:
            judgement = judge(claims[position], found, position, allowed)
            wrong += suspects(name, claims[position], found.leaves[position], judgement)
            if judgement.wrong.any() and _is_symmetrised(
                leaves[position], claims[position], found, position, allowed
            ):
                symmetrised.append(name or "params")
            unsure += [
                f"{name or 'params'}{[int(i) for i in index] if index else ''}"
                for index in map(tuple, np.argwhere(~judgement.right & ~judgement.wrong))
            ]
            part = _with_errors(part, judgement.error, found, position, digits)
        parts.append(part)
    least = min((part.digits for part in parts), default=math.inf)
    verdict, why = _verdict(parts, wrong, unsure, reason, claims, rtol, granted.drowned)
    if verdict is ProofVerdict.WRONG and granted.undecided:
        bits, branch = next(iter(granted.undecided.items()))
        verdict = ProofVerdict.NOT_PROVED
        why = f"in {DTYPES[bits]} rounding may change a branch of f: {branch}"
    if symmetrised and verdict is ProofVerdict.WRONG:
        why += (
            f"; in {', '.join(symmetrised)} it is symmetrised: right for symmetric changes of a "
            "symmetric matrix"
        )
    values = [each(_middle, leaf).astype(np.float64) for leaf in found.leaves]
    return Proof(
        unflatten(structure, values),
        unflatten(
            structure,
            [_radii(leaf, value) for leaf, value in zip(found.leaves, values, strict=True)],
        ),
        least,
        verdict,
        why,
        tuple(parts),
        tuple(wrong),
        found.precision,
        seconds,
        unflatten(structure, found.leaves),
    )


def _is_symmetrised(
    matrix: np.ndarray,
    claim: Claimed,
    found: Enclosure,
    position: int,
    allowed: Sequence[Bound],
) -> bool:
    """Return whether a claim is right for symmetric changes of a symmetric matrix."""
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        return False
    if not np.array_equal(matrix, np.swapaxes(matrix, -1, -2)):
        return False
    balls = list(found.leaves)
    turned = np.swapaxes(balls[position], -1, -2)
    balls[position] = each(lambda one, other: (one + other) / 2, balls[position], turned)
    return bool(judge(claim, replace(found, leaves=balls), position, allowed).right.all())


def _middle(ball: Any) -> float:
    return float(ball.mid()) if ball.is_finite() else math.nan


def _radii(balls: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return how far from `values`, which are rounded, an exact derivative can be."""

    def radius(ball: Any, value: float) -> float:
        if not (ball.is_finite() and math.isfinite(value)):
            return math.inf
        return upper(ball - value)

    return np.asarray(each(radius, balls, values.astype(object)), np.float64)


def _with_errors(
    part: LeafProof, error: np.ndarray, found: Enclosure, position: int, digits: int
) -> LeafProof:
    largest = float(np.max(error, initial=0.0))
    balls = found.leaves[position]
    floor = float(found.scales[position]) * 10.0**-digits
    sizes = each(lambda ball: float(ball.abs_lower()), balls).astype(np.float64)
    with np.errstate(all="ignore"):
        ratios = np.where(error == 0, 0.0, error / np.maximum(sizes, floor))
    return LeafProof(
        part.leaf,
        part.shape,
        part.digits,
        part.largest,
        largest,
        largest / part.largest if part.largest else (math.inf if largest else 0.0),
        float(np.max(ratios, initial=0.0)),
    )


def _verdict(
    parts: Sequence[LeafProof],
    wrong: Sequence[Suspect],
    unsure: Sequence[str],
    reason: str,
    claims: Sequence[Claimed] | None,
    rtol: float | None,
    drowned: Mapping[str, float],
) -> tuple[ProofText, str]:
    entries = sum(math.prod(part.shape) for part in parts)
    counted = f"{entries:,} entr{'y' if entries == 1 else 'ies'}"
    if wrong:
        first = max(wrong, key=lambda s: abs(s.got - s.expected) if s.got == s.got else math.inf)
        at = f"{first.leaf or 'params'}{list(first.index) if first.index else ''}"
        return ProofVerdict.WRONG, (
            f"{len(wrong):,} of {counted} wrong, the farthest off {at}: got {first.got!r}, and "
            f"the exact derivative is {first.expected!r} ± {first.error_bar:.1e}"
        )
    if reason:
        return ProofVerdict.NOT_PROVED, reason
    if claims is None:
        return ProofVerdict.RIGHT, f"{counted}, each enclosed"
    if unsure and drowned:
        dtypes = " and ".join(sorted({DTYPES[claim.bits] for claim in claims}))
        where = ", ".join(sorted(drowned))
        return ProofVerdict.NOT_PROVED, (
            f"rounding in {dtypes} may be larger than {max(drowned.values()):g} of the largest "
            f"entry of {where}: rtol= says what is accepted"
        )
    if unsure:
        return ProofVerdict.NOT_PROVED, (
            f"{len(unsure):,} of {counted} are as far off as the bound of what is accepted, to "
            f"within their balls: {', '.join(unsure[:4])}"
        )
    worst = max(parts, key=lambda part: part.relative_error)
    bound = (
        f"the accepted {rtol:g}"
        if rtol is not None
        else "what rounding can do in " + " and ".join(sorted({DTYPES[c.bits] for c in claims}))
    )
    return ProofVerdict.RIGHT, (
        f"all {counted} are right to within {bound}: off by {worst.error:.1e} at most, "
        f"{worst.relative_error:.1e} of the largest entry of {worst.leaf or 'params'}"
    )


def _relative(rtol: float, found: Enclosure) -> Bound:
    """Return what a caller accepts; also of entries that are zero, as far as balls tell."""

    def bound(bits: int, leaf: int, balls: np.ndarray) -> Any:
        least = found.scales[leaf] * ZERO
        return each(lambda ball: abs(ball).max(least) * rtol, balls)

    return bound
