"""From balls, and a candidate where there is one, to the verdict of a proof."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradparity.backends.pytrees import PyTree, unflatten

from ..verdicts import Suspect
from .candidates import Claimed, judge, read_claim, suspects
from .enclosed import NotProved, both_branches, each, upper
from .enclosing import Enclosure, enclose_at
from .programs import Program
from .proof import LeafProof, Proof, ProofText, ProofVerdict

# Balls of the candidate's own bits, less these, hold what it may be: another order of the same
# operations rounds differently, and a dtype's own functions (exp, tanh) err by up to 2 units
# where a ball's err by 1.
SPARE_BITS = 2
# Where they are too few to decide a branch, more are tried, and the widths are scaled to what they
# would have been.
MORE_BITS = (0, 16, 48, 96, 192)
# What is exact at so many bits in one order need not be in another.
ULPS = 8


def conclude(
    program: Program | None,
    leaves: Sequence[np.ndarray],
    names: Sequence[str],
    structure: Any,
    found: Enclosure | None,
    reason: str,
    gradient: PyTree,
    digits: int,
    rtol: float | None,
    seconds: float,
    rounding: "Rounding | None" = None,
) -> Proof:
    """Return the proof; `reason` says why an enclosure does not suffice, or is empty.

    seconds: that the enclosure took; rounding: that of other candidates at the same point
    """
    shapes = [leaf.shape for leaf in leaves]
    claims = None if gradient is None else read_claim(gradient, names, shapes)
    if found is None or program is None:
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
    rounding = rounding or Rounding(program, leaves, names, found)
    allowed = rounding.allowed if rtol is None else _relative(rtol)
    parts, wrong, unsure = [], [], []
    for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        known = float(np.min(found.digits(position, digits), initial=math.inf))
        largest = float(found.scales[position].abs_lower())
        part = LeafProof(name, shape, known, largest)
        if claims is not None:
            judgement = judge(claims[position], found, position, allowed)
            wrong += suspects(name, claims[position], found.leaves[position], judgement)
            unsure += [
                f"{name or 'params'}{[int(i) for i in index] if index else ''}"
                for index in map(tuple, np.argwhere(~judgement.right & ~judgement.wrong))
            ]
            part = _with_errors(part, judgement.error, found, position, digits)
        parts.append(part)
    least = min((part.digits for part in parts), default=math.inf)
    verdict, why = _verdict(parts, wrong, unsure, reason, claims, rtol)
    if verdict is ProofVerdict.WRONG and rounding.undecided:
        bits, branch = next(iter(rounding.undecided.items()))
        verdict = ProofVerdict.NOT_PROVED
        why = f"in {_dtype(bits)} rounding may change a branch of f: {branch}"
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
    if unsure:
        return ProofVerdict.NOT_PROVED, (
            f"{len(unsure):,} of {counted} are as far off as the bound of what is accepted, to "
            f"within their balls: {', '.join(unsure[:4])}"
        )
    worst = max(parts, key=lambda part: part.relative_error)
    bound = (
        f"the accepted {rtol:g}"
        if rtol is not None
        else "what rounding can do in " + " and ".join(sorted({_dtype(c.bits) for c in claims}))
    )
    return ProofVerdict.RIGHT, (
        f"all {counted} are right to within {bound}: off by {worst.error:.1e} at most, "
        f"{worst.relative_error:.1e} of the largest entry of {worst.leaf or 'params'}"
    )


def _dtype(bits: int) -> str:
    return {53: "float64", 24: "float32", 11: "float16", 8: "bfloat16"}[bits]


def _relative(rtol: float) -> Callable[[int, np.ndarray], Any]:
    return lambda bits, balls: each(lambda ball: abs(ball) * rtol, balls)


class Rounding:
    """What rounding in a dtype can do to the entries of a program's gradient.

    undecided: by bits, why a branch is not decided at so few
    """

    def __init__(
        self,
        program: Program,
        leaves: Sequence[np.ndarray],
        names: Sequence[str],
        found: Enclosure,
    ) -> None:
        self._of = (program, leaves, names)
        self._positions = {id(leaf): k for k, leaf in enumerate(found.leaves)}
        self._found = found
        self._radii: dict[int, list[np.ndarray]] = {}
        self.undecided: dict[int, str] = {}

    def allowed(self, bits: int, balls: np.ndarray) -> np.ndarray:
        """Return how far off each entry may be, in balls."""
        if bits not in self._radii:
            self._radii[bits] = self._measured(bits)
        radii = self._radii[bits][self._positions[id(balls)]]
        found: np.ndarray = each(
            lambda radius, ball: radius + abs(ball) * ULPS * 2.0**-bits, radii, balls
        )
        return found

    def _measured(self, bits: int) -> list[np.ndarray]:
        for more in MORE_BITS:
            token = both_branches.set(True)
            try:
                rough = enclose_at(*self._of, bits - SPARE_BITS + more)
            except NotProved as refusal:
                self.undecided.setdefault(bits, str(refusal))
                continue
            finally:
                both_branches.reset(token)
            if rough.trouble is None:
                scale = 2**more
                return [
                    each(lambda r, b, s=scale: (r.rad() + abs(r.mid() - b.mid())) * s, one, leaf)
                    for one, leaf in zip(rough.leaves, self._found.leaves, strict=True)
                ]
        return [each(lambda b: b.rad(), leaf) for leaf in self._found.leaves]
