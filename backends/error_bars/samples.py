"""Values of a function of one variable around 0, and the noise measured in them."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..precision import EPSILON

# Four neighbours on each side: differences of order 3 and 4 on one side, up to 8 on both. Round-off
# in equally spaced numbers can be as regular as the function, so the spacing is not.
NEIGHBOURS = (1.0, 2.31, 3.43, 4.87)
# Differences of lower order still hold the function itself, not only its noise.
LOWEST_ORDER = 3
# Moré and Wild: noise is what three orders in a row agree on, within this factor.
AGREEMENT = 4.0
# Noise that differences across 0 see and those of one side do not is a kink or a jump at 0.
ACROSS = 8.0
# Noise that vanishes to this degree when phi(0) is left out is a jump there.
AT_ORIGIN = 2.0**-10
# More noise than so many roundings of the largest value near 0 needs an explanation.
ROUNDINGS = 128
# What is near, as a part of the scale.
NEAR = 0.2
# The standard deviation of an error that is evenly spread over one unit.
EVEN = 12**-0.5
# With fewer numbers than these within a step, round-off is no longer random.
NUMBERS_WITHIN = 64
# Enough for steps without a pattern, few enough for x + t to be exact at the usual steps.
STEP_BITS = 26
# A side that is constant this far out, in units of the scale, is a plateau: a single jump beyond it
# makes no staircase.
PLATEAU = 2.0**-7
# So many times as much noise, or as long as a bar, is no accident.
CLEARLY = 16.0
# The end of a straight piece is found to this part of it, and to the square of it if there seems to
# be a jump: one that is longer than this part of what there is at twice the step.
NARROW = 1 / 16
SUDDEN = 1 / 8


@dataclass(frozen=True)
class Look:
    """The noise left and right of 0 as seen at one spacing; NaN where most neighbours are equal.

    size: the largest value around
    """

    step: float
    sides: tuple[float, float]
    size: float

    @property
    def noise(self) -> float:
        """The lesser of both, as a kink on one side looks like noise there; NaN if all is flat."""
        return float(np.fmin(*self.sides))


class Samples:
    """phi at 0 and at +-t for a growing set of steps t, each evaluated once, t in units of a scale.

    phi: what is not finite, and errors of the kind that leaving a domain causes, count as NaN away
    from 0
    scale: on which phi varies, or on a finer one
    resolution: the spacing of the numbers t that phi can tell apart, near 0
    steps, sides: the steps in ascending order, and phi on the left and on the right (key -1 and 1),
    each up to the first step where it is not finite
    """

    def __init__(self, phi: Callable[[float], float], scale: float, resolution: float) -> None:
        self._phi = phi
        self.unit = 2.0 ** round(math.log2(scale))  # a power of two, which rounds nothing
        # x may be at the end of its binade, and beyond, numbers are twice as far apart.
        grain = 2.0 ** (math.ceil(math.log2(resolution)) + 2) if resolution > 0 else 0.0
        self._grain = grain / self.unit
        self.finest_step = max(NUMBERS_WITHIN * self._grain, EPSILON)
        self.evaluations = 0
        self.looks: list[Look] = []
        self._asked: dict[float, float] = {}
        self._values: dict[float, float] = {}
        self.steps = np.zeros(0)
        self.sides: dict[int, np.ndarray] = {-1: self.steps, 1: self.steps}
        self.origin = self.at(0.0)

    def step(self, level: float) -> float:
        """Return about 2**-level, irregular so that no period can hide between the steps."""
        # The golden section spreads the factors evenly over 0.9...1.1.
        return self._rounded(2.0**-level * (0.9 + 0.2 * ((level * 0.6180339887) % 1.0)))

    def pairs(self, *levels: float) -> None:
        """Evaluate phi at a step to the right and to the left for each level."""
        self._evaluate([self.step(level) for level in levels])

    def look(self, level: float) -> None:
        """Evaluate phi at the multiples of a small step, and measure the noise there."""
        step = self.step(level)
        steps = [self._rounded(k * step) for k in NEIGHBOURS]
        below, above = (np.array([self.origin, *side]) for side in self._evaluate(steps))
        nodes = np.array([0.0, *steps])
        sides = _side_noise(nodes, below), _side_noise(nodes, above)
        if not any(map(math.isnan, sides)):
            around = np.concatenate([-nodes[:0:-1], nodes])
            across = difference_table_noise(around, np.concatenate([below[:0:-1], above]))
            if across <= ACROSS * min(sides):
                sides = across, across
        size = float(np.nanmax(np.abs([below, above])))
        self.looks = sorted([*self.looks, Look(step, sides, size)], key=lambda look: look.step)

    def at(self, t: float) -> float:
        """Return phi at t, evaluated once, and not kept as a sample."""
        if t in self._asked:
            return self._asked[t]
        self.evaluations += 1
        try:
            value = self._phi(self.unit * t)
        except (ArithmeticError, ValueError):
            if t == 0:
                raise
            value = math.nan
        self._asked[t] = value if math.isfinite(value) else math.nan
        return self._asked[t]

    def _evaluate(self, steps: list[float]) -> list[list[float]]:
        """Return phi left and right of 0, and keep it."""
        for t in (sign * step for step in steps for sign in (1, -1)):
            if t not in self._values:
                self._values[t] = self.at(t)
        self._line_up()
        return [[self._values[sign * step] for step in steps] for sign in (-1, 1)]

    def _line_up(self) -> None:
        steps = sorted(t for t in self._values if t > 0)
        self.steps = np.array(steps)
        for sign in (-1, 1):
            values = np.array([self._values[sign * t] for t in steps])
            finite = np.isfinite(values)
            self.sides[sign] = values if finite.all() else values[: int(np.argmin(finite))]

    def discard_below(self, step: float) -> None:
        """Forget what was seen at finer steps, and stay away from there."""
        self.finest_step = step
        self.looks = [look for look in self.looks if look.step >= step]
        self._values = {t: value for t, value in self._values.items() if abs(t) >= step}
        self._line_up()

    # What the values say together.

    def deviations(self, sign: int, quantum: float) -> np.ndarray:
        """Return the standard deviation of each value of a side, from the look next below it."""
        values = self.sides[sign]
        steps = self.steps[: len(values)]
        floor = np.maximum(EPSILON * np.abs(values), quantum * EVEN)
        telling = [look for look in self.looks if not math.isnan(look.sides[sign > 0])]
        deviations: np.ndarray = floor
        seen = 0.0
        for look in telling:
            # What is noise at fine steps is noise at all coarser ones.
            seen = max(seen, look.sides[sign > 0])
            growth = np.maximum(1.0, np.abs(values) / (look.size or np.inf))
            above = steps >= (look.step if look is not telling[0] else 0.0)
            deviations = np.where(above, np.maximum(seen * growth, floor), deviations)
        return deviations

    def is_noisy(self, noise: float) -> bool:
        """Tell whether there is more noise than round-off explains."""
        return noise > ROUNDINGS * EPSILON * max(abs(self.origin), self.rise(NEAR))

    def is_flat(self) -> bool:
        """Tell whether phi is constant around 0, but for a jump at most on each side."""
        return all(
            len(side) and side[0] == self.origin and len(set(side)) <= 2
            for side in self.sides.values()
        )

    def rise(self, reach: float) -> float:
        """Return the largest change of phi within the reach."""
        near = int(np.searchsorted(self.steps, reach, side="right"))
        return max(
            float(np.abs(side[:near] - self.origin).max(initial=0.0))
            for side in self.sides.values()
        )

    def steepest(self) -> float:
        """Return the largest slope of phi from 0 to any step."""
        return max(
            float((np.abs(side - self.origin) / self.steps[: len(side)]).max(initial=0.0))
            for side in self.sides.values()
        )

    def plateau(self, sign: int) -> float:
        """Return how far phi is constant on a side; 0 if not even at the two finest steps."""
        side = self.sides[sign]
        same = next((k for k, value in enumerate(side) if value != self.origin), len(side))
        return float(self.steps[same - 1]) if same > 1 else 0.0

    def quantum(self) -> float:
        """Return the spacing of the values of phi where they are coarser than float64, else 0.

        Those of a function that computes in float32, or subtracts what it has added before.
        """
        if max(self.plateau(sign) for sign in (-1, 1)) >= PLATEAU:
            return 0.0
        values = np.array([*self.sides[-1], *self.sides[1], self.origin])
        return last_bit(values)

    def departure(self, sign: int, slope: float = 0.0) -> Callable[[float], float]:
        """Return how far phi, or its odd part where sign is 0, is from a line at a step."""
        if sign:
            return lambda t: abs(self.at(sign * t) - self.origin - sign * slope * t)
        return lambda t: abs((self.at(t) - self.at(-t)) / 2 - slope * t)

    @staticmethod
    def end_of_line(
        departure: Callable[[float], float],
        straight: float,
        bent: float,
        allowed: Callable[[float], float],
        narrow: float = NARROW,
    ) -> float:
        """Return the step at which phi leaves a line, from above; 0 if it has left it before.

        straight, bent: steps where it is on the line, and where it is not
        allowed: how far it may be from the line, at a step, where it is on it
        """
        if departure(straight) > allowed(straight):
            return 0.0
        while bent - straight > narrow * straight:
            middle = math.sqrt(straight * bent)
            if departure(middle) <= allowed(middle):
                straight = middle
            else:
                bent = middle
        return bent if departure(bent) > CLEARLY * allowed(bent) else 0.0

    def jump_after(
        self,
        departure: Callable[[float], float],
        straight: float,
        bent: float,
        allowed: Callable[[float], float],
    ) -> float:
        """Return the step at which phi leaves a line by a jump; 0 if it does not, or by a bend.

        A bend rises from nothing: near its edge it has a small part of what it has farther out.
        """
        end = self.end_of_line(departure, straight, bent, allowed)
        if departure(end) <= SUDDEN * departure(2 * end):
            return 0.0
        straight = max(straight, end / (1 + NARROW))
        nearest = self.end_of_line(departure, straight, end, allowed, NARROW**2)
        return end if departure(nearest) > departure(end) / 2 else 0.0

    def _rounded(self, step: float) -> float:
        """Return the step as a multiple of what phi can tell apart, so that x + t is exact."""
        grain = max(2.0 ** (math.frexp(step)[1] - STEP_BITS), self._grain)
        return max(round(step / grain), 1) * grain


def difference_table_noise(nodes: np.ndarray, values: np.ndarray) -> float:
    """Return the standard deviation of the noise in values of a smooth function.

    nodes, values: shape (n,), n >= 4, float64, finite; nodes ascending, of similar spacing
    returns: in units of the values; 0 for a polynomial of low degree without noise, and too much
    rather than too little where the nodes are so wide apart that no three orders agree

    The k-th differences of a smooth function vanish as the k-th power of the spacing; those of
    independent noise keep its variance times the sum of the squared weights, (2k)! / (k!)**2 for
    equal spacing (J. J. Moré and S. M. Wild, "Estimating computational noise", SIAM J. Sci.
    Comput. 33, 2011). Divided differences do the same for unequal spacing, whose round-off
    cannot follow a pattern. Unlike there, the largest of the orders is taken from where three of
    them agree: an error bar suffers less from too much noise than from too little.
    """
    weights, starts = _difference_table(nodes.tobytes())
    size = float(np.abs(values).max()) or 1.0
    squares = (weights @ (values / size)) ** 2  # those of large values overflow
    counts = np.diff(starts, append=len(weights))
    levels: list[float] = (size * np.sqrt(np.add.reduceat(squares, starts) / counts)).tolist()
    for start in range(len(levels) - 2):
        three = levels[start : start + 3]
        if max(three) <= AGREEMENT * min(three):
            return max(levels[start:])
    return max(levels[-3:])


def last_bit(values: np.ndarray) -> float:
    """Return the largest power of two of which all values are multiples, 0 if all are 0."""
    mantissas, exponents = np.frexp(values[values != 0])
    integers = np.ldexp(mantissas, 53).astype(np.int64)
    last_bits = np.ldexp((integers & -integers).astype(np.float64), exponents - 53)
    return float(last_bits.min()) if len(last_bits) else 0.0


@functools.lru_cache(maxsize=256)
def _difference_table(nodes: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of all differences, of norm 1, and where each order starts."""
    own = np.frombuffer(nodes)
    own = own / (own[-1] - own[0])
    weights = np.eye(len(own))
    found: list[np.ndarray] = []
    starts = [0]
    for order in range(1, len(own)):
        weights = np.diff(weights, axis=0) / (own[order:] - own[:-order])[:, None]
        if order >= LOWEST_ORDER:
            found.append(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)))
            starts.append(starts[-1] + len(weights))
    return np.concatenate(found), np.array(starts[:-1])


def _side_noise(steps: np.ndarray, values: np.ndarray) -> float:
    """Return the noise on one side; the first value is that at 0."""
    moves = np.diff(values)
    if not np.isfinite(values).all() or np.count_nonzero(moves) <= len(moves) // 2:
        return math.nan
    noise = difference_table_noise(steps, values)
    beside = difference_table_noise(steps[1:], values[1:])
    return beside if beside < AT_ORIGIN * noise else noise
