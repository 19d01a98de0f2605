"""A derivative with an error bar."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Smoothness = Literal["smooth", "kink", "jump", "not finite"]


@dataclass(frozen=True)
class Estimate:
    """The derivative of a function of one variable at a point, measured from its values.

    value: the derivative; the middle of the one-sided ones at a kink, the only one at the edge of
    the domain or beside a jump, infinite with the sign of its slope where that grows without bound
    error: |derivative - value| <= error; at a kink every value between the one-sided derivatives
    is within it; infinite where there is no derivative, and where none can be told
    evaluations: calls of the function
    smoothness: "smooth" where there is a derivative, if only on one side of an edge; "kink" where
    the one-sided derivatives differ; "jump" where the function does; "not finite" where the
    function or its slope is not
    one_sided, one_sided_error: the derivatives from the left and from the right, and their bars;
    NaN on a side where the function is not finite
    noise: the standard deviation of the values around the point, in units of the function; NaN
    where it is constant there
    """

    value: float
    error: float
    evaluations: int
    smoothness: Smoothness
    one_sided: tuple[float, float]
    one_sided_error: tuple[float, float]
    noise: float = math.nan

    def in_units(self, unit: float) -> "Estimate":
        """Return the estimate for t in other units, in which a step of 1 is `unit` of the old."""
        left, right = self.one_sided
        below, above = self.one_sided_error
        return replace(
            self,
            value=self.value * unit,
            error=self.error * unit,
            one_sided=(left * unit, right * unit),
            one_sided_error=(below * unit, above * unit),
        )


def along_the_sum(parts: Sequence[Estimate]) -> Estimate:
    """Return the derivative along the sum of several directions.

    It is the sum of theirs where the function has a gradient, and where at most one of them meets
    a kink; else its error is infinite.
    """
    rough = [part for part in parts if part.smoothness != "smooth"]
    additive = len(rough) < 2

    def both(name: str) -> tuple[float, float]:
        pairs = [getattr(part, name) for part in parts]
        return sum(left for left, _ in pairs), sum(right for _, right in pairs)

    return Estimate(
        sum(part.value for part in parts),
        sum(part.error for part in parts) if additive else math.inf,
        sum(part.evaluations for part in parts),
        rough[0].smoothness if rough else "smooth",
        both("one_sided"),
        both("one_sided_error") if additive else (math.inf, math.inf),
        max(part.noise for part in parts),
    )
