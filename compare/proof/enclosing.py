"""The gradient of a program in balls, at a precision that is raised until they are small."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arithmetic import arb, ctx
from .enclosed import (
    Enclosed,
    Kink,
    NotProved,
    balls,
    each,
    first_trouble,
    gradient_of,
    is_finite,
)
from .programs import Program

# Bits: 128 are two machine words, and leave 75 beyond those of a float64.
FIRST_PRECISION = 128
# Beyond, an entry is taken for undecidable.
LAST_PRECISION = 4096


@dataclass(frozen=True)
class Enclosure:
    """Balls for each entry of each leaf of a gradient, at one precision.

    scales: a lower bound of each leaf's largest entry, else of the largest of all, else of |f|
    """

    leaves: list[np.ndarray]
    scales: list[arb]
    kinks: list[Kink]
    precision: int
    trouble: str | None

    @property
    def kinked(self) -> bool:
        """Whether f is at a kink, exactly, and its value depends on the side."""
        return any(kink.certain and kink.exact for kink in self.kinks)

    def digits(self, leaf: int, wanted: int) -> np.ndarray:
        """Return to how many digits each entry is known.

        One that is less than 10**-wanted of its leaf's scale is counted as if it were as large,
        unless f has a kink there: what has no slope is not 0, however small the kink.
        """
        floor = arb(0) if self.kinked else self.scales[leaf] * arb(10) ** -wanted

        def digits_of(ball: Any) -> float:
            if not ball.is_finite():
                return -math.inf
            radius = ball.rad()
            if radius == 0:
                return math.inf
            size = abs(ball.mid())
            if size == 0 and floor == 0:
                return -math.inf
            return float(((size if size > floor else floor) / radius).log()) / math.log(10)

        return np.asarray(each(digits_of, self.leaves[leaf]), np.float64)


def enclose_at(
    program: Program, leaves: Sequence[np.ndarray], names: Sequence[str], precision: int
) -> Enclosure:
    """Enclose the gradient with so many bits.

    raises: NotProved where a branch is not decided
    """
    with ctx.workprec(precision):
        nodes = [
            Enclosed(leaf, depends=True, name=name)
            for leaf, name in zip(leaves, names, strict=True)
        ]
        result = program.follow(nodes)
        gradient, kinks = gradient_of(result, nodes)
        values = [result.value, *gradient]
        finite = all(is_finite(ball) for leaf in values for ball in balls(leaf).ravel())
        trouble = None if finite else first_trouble(result) or _steep(result, nodes)
        return Enclosure(gradient, _scales(gradient, result), kinks, precision, trouble)


def _steep(result: Enclosed, leaves: Sequence[Enclosed]) -> str:
    watch: list[str] = []
    gradient_of(result, leaves, watch)
    return f"the slope of {watch[0]} is not finite" if watch else "a slope is not finite"


def _scales(gradient: Sequence[np.ndarray], result: Enclosed) -> list[arb]:
    largest = [_largest(leaf) for leaf in gradient]
    overall = max(largest, default=arb(0))
    if not overall > 0:
        overall = _largest(np.asarray(result.value)) if result.value.dtype == object else arb(0)
    if not overall > 0:
        overall = arb(1)
    return [size if size > 0 else overall for size in largest]


def _largest(balls: np.ndarray) -> arb:
    sizes = [ball.abs_lower() for ball in balls.ravel() if ball.is_finite()]
    return max(sizes, default=arb(0))


def enclose(
    program: Program,
    leaves: Sequence[np.ndarray],
    names: Sequence[str],
    digits: int,
    seconds: float,
) -> tuple[Enclosure | None, str]:
    """Enclose a gradient, with more and more bits until every entry has so many digits.

    returns: the last enclosure, and why it does not suffice or ""
    """
    found, reason = None, ""
    start = time.perf_counter()
    for precision in _precisions(digits):
        before = time.perf_counter()
        try:
            found = enclose_at(program, leaves, names, precision)
            reason, hopeless = _shortcoming(found, names, digits)
        except NotProved as refusal:
            reason, hopeless = str(refusal), refusal.hopeless
        if not reason or hopeless:
            break
        now = time.perf_counter()
        if now - start + 3 * (now - before) > seconds:
            reason += f"; {precision} bits took {now - before:.1f} s, and more are over the budget"
            break
    return found, reason


def _precisions(digits: int) -> Iterator[int]:
    precision = max(FIRST_PRECISION, 64 * math.ceil((75 + digits * math.log2(10)) / 64))
    yield precision
    while precision < LAST_PRECISION:
        precision *= 2
        yield precision


def _shortcoming(found: Enclosure, names: Sequence[str], digits: int) -> tuple[str, bool]:
    """Say why an enclosure does not suffice, and whether more bits would not help."""
    worst, where = math.inf, ""
    for leaf, name in enumerate(names):
        known = found.digits(leaf, digits)
        if known.size and known.min() < worst:
            worst = float(known.min())
            index = [int(i) for i in np.unravel_index(int(known.argmin()), known.shape)]
            where = f"{name or 'params'}{index if index else ''}"
    if worst >= digits:
        return (f"{found.trouble}, so that f has no value", False) if found.trouble else ("", False)
    with_effect = [kink for kink in found.kinks if kink.effect > 0]
    if with_effect:
        exact = [kink for kink in with_effect if kink.exact]
        chosen = max(exact or with_effect, key=lambda kink: kink.effect)
        others = len(with_effect) - 1
        more = f", and {others} more kinks" if others else ""
        return f"{chosen}{more}", bool(exact)
    if found.trouble is not None:
        return f"{found.trouble}, so that {where} has no finite enclosure", False
    return f"{where} is known to {max(worst, 0):.0f} digits at {found.precision} bits", False
