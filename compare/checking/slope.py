"""The slope of a function along a direction: an interval, and a bar that holds."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gradparity.backends.error_bars.derivative import derivative_at_zero
from gradparity.backends.error_bars.estimate import Estimate
from gradparity.backends.error_bars.exploration import LADDER
from gradparity.backends.error_bars.samples import last_bit
from gradparity.backends.errors import NonScalarLoss
from gradparity.backends.precision import EPSILON
from gradparity.backends.rounding import Cast

from .leaves import Direction, Leaf
from .spending import Spending
from .thresholds import GRAINS, ROUND_BITS

KINDS = ("smooth", "stairs", "kink", "jump", "not finite")
# The significant bits of bfloat16, float16 and float32.
BITS = (8, 11, 24)
# The longest of the first steps.
REACH = 2.0 ** -LADDER[0][0]


class Directional(Protocol):
    """What a claim is about: it varies along directions in the space of its leaves."""

    @property
    def leaves(self) -> tuple[Leaf, ...]: ...

    @property
    def evaluations(self) -> int: ...

    @property
    def unsteadiness(self) -> float: ...

    @property
    def blocked(self) -> str: ...

    @property
    def remarks(self) -> tuple[str, ...]: ...

    @property
    def casts(self) -> Sequence[Cast]: ...

    @property
    def spending(self) -> Spending | None: ...

    value: float

    def along(self, direction: Direction) -> Callable[[float], float]: ...

    def resolution(self, direction: Direction) -> float: ...

    def entry_steps(self, leaf: int, entry: int) -> tuple[float, ...]: ...


@dataclass(frozen=True)
class Slope:
    """The one-sided derivatives along a direction, from the lower to the higher.

    bar: each of them is known to within it; infinite where nothing is known
    noisy: what noise limits, which no shorter step and no smaller region makes clearer
    grain: the spacing of the values where all are numbers of a smaller dtype, else 0
    rise: the steepest change of f that was seen, over no less than the longest step: a slope on
        the scale of the point, where the one at it is 0
    """

    low: float
    high: float
    bar: float
    kind: str
    noisy: bool = False
    grain: float = 0.0
    rise: float = 0.0

    @property
    def value(self) -> float:
        return self.low / 2 + self.high / 2

    @property
    def spread(self) -> float:
        """How far a legal slope may be from another, bars included."""
        return self.bar + (self.high - self.low)

    @property
    def reach(self) -> float:
        """How far a legal slope may be from `value`, bars included."""
        return self.bar + (self.high - self.low) / 2

    @property
    def known(self) -> bool:
        return math.isfinite(self.bar) and math.isfinite(self.low) and math.isfinite(self.high)

    def distance(self, got: float) -> float:
        """Return how far a claimed slope is from the interval; NaN if nothing is known."""
        if not (self.known and math.isfinite(got)):
            return math.nan
        return max(self.low - got, got - self.high, 0.0)

    def scaled(self, unit: float) -> "Slope":
        return replace(self, low=self.low * unit, high=self.high * unit, bar=self.bar * unit)


def measure(
    function: Directional,
    direction: Direction,
    factor: float = 1.0,
    enough: Callable[[Slope], bool] | None = None,
) -> Slope:
    """Measure the slope along a direction whose weights are of the size of what they move.

    factor: of the steps; enough: told what a few evaluations say, stops there if it says so
    """
    phi = function.along(direction)
    longest = REACH * factor
    seen: dict[float, float] = {}
    misused: list[NonScalarLoss] = []

    def value(shift: float) -> float:
        try:
            seen[shift] = phi(shift)
        except NonScalarLoss as error:  # which the estimator takes for the edge of a domain
            misused.append(error)
            raise
        return seen[shift]

    def conclusion(estimate: Estimate) -> Slope:
        finite = {shift: one for shift, one in seen.items() if math.isfinite(one)}
        grain = granularity(finite.values(), seen[0.0])
        rise = max(
            (abs(one - seen[0.0]) / max(abs(shift), longest) for shift, one in finite.items()),
            default=0.0,
        )
        # Eight grains, over the longest step of the ladder; the same for values that change in
        # their last bits from call to call. What a rounding hides is never seen.
        floor = GRAINS * (grain + function.unsteadiness) / longest
        floor = max(floor, EPSILON * abs(seen[0.0]) / longest)
        reach = max(map(abs, finite), default=0.0)
        if reach and len(set(finite.values())) == 1:  # of whatever dtype, it may hide a slope
            floor = max(floor, GRAINS * spacing(np.array([seen[0.0]])) / reach)
        if estimate.smoothness == "kink":
            low, high = sorted(estimate.one_sided)
            error = max(estimate.one_sided_error) + floor
            return Slope(low, high, error, "kink", grain=grain, rise=rise)
        error = estimate.error + floor
        noise = 0.0 if math.isnan(estimate.noise) else estimate.noise
        value, kind = estimate.value, estimate.smoothness
        noisy = floor > estimate.error or noise * GRAINS > error * longest or kind == "stairs"
        if kind == "jump":  # the branch that f is on at the point has a slope
            value, error = min(
                zip(estimate.one_sided, estimate.one_sided_error, strict=True),
                key=lambda side: side[1] if math.isfinite(side[0]) else math.inf,
            )
        return Slope(value, value, error, kind, noisy, grain, rise)

    estimate = derivative_at_zero(
        value,
        factor,
        resolution=function.resolution(direction),
        enough=enough and (lambda estimate: enough(conclusion(estimate))),
    )
    for error in misused:
        raise error
    return conclusion(estimate)


def granularity(values: Iterable[float], origin: float) -> float:
    """Return the height of the steps in which values change, 0 where they have no such thing.

    It is the spacing of a smaller dtype that holds all values, or a power of two of which all
    changes are small multiples: the sum of some numbers of a smaller dtype shows no other trace.
    """
    finite = np.array([value for value in values if math.isfinite(value)])
    grain, is_round = spacing(finite), _fits(np.frexp(finite)[0], ROUND_BITS)
    changes = np.unique(np.abs(finite - origin))
    changes = changes[changes > 0]
    if not len(changes):
        return 0.0 if is_round else grain
    quantum = last_bit(changes)
    if is_round and (finite % 1 == 0).all() and quantum > spacing(np.array([origin])):
        return 0.0  # small integers show no dtype, unless it has no others there
    # A single change may be a jump, and float64's own spacing is no news; steps have more bits than
    # a float32, and so have the changes of what is straight.
    told = len(changes) > 1 and changes.max() < 2.0 ** BITS[-1] * quantum
    return max(grain, quantum if told and quantum > 16 * EPSILON * abs(origin) else 0.0)


def spacing(values: np.ndarray) -> float:
    """Return the spacing of the smallest dtype that holds all values, 0 for those of float64."""
    mantissas, exponents = np.frexp(values)
    for bits in BITS:
        if values.any() and _fits(mantissas, bits):
            return math.ldexp(1.0, int(exponents[values != 0].max()) - bits)
    return 0.0


def _fits(mantissas: np.ndarray, bits: int) -> bool:
    return bool((np.ldexp(mantissas, bits) % 1 == 0).all())
