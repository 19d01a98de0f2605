"""The Taylor test: a second opinion on a gradient, from how fast f leaves its tangent."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.displayed import Displayed
from gradparity.backends.error_bars.samples import difference_table_noise
from gradparity.backends.precision import EPSILON
from gradparity.backends.pytrees import PyTree

from ..strict_json import strict
from ..verdicts import Verdict, VerdictText
from .candidate import Candidate, read_candidate
from .function import Function
from .leaves import Span
from .score import Directions, norm, rounding_bound
from .thresholds import DIGITS

# Steps from 1/8 of the parameters' own size downwards, each half the last.
FIRST_LEVEL, LAST_LEVEL = 3, 30
# Seven neighbours, so close that all they show is noise.
NOISE_STEP, NEIGHBOURS = 2.0**-32, 7
ROUNDINGS = 4
# A remainder this much above the noise has a slope.
CLEAR = 16
# The finest steps that are clear show the lowest power of the step, over a factor of 32.
FITTED, FEWEST = 6, 4
# Halfway between a slope of 1 and one of 2 nothing can be told.
RIGHT, WRONG = 1.8, 1.2
# A power of the step is a straight line; two terms of opposite sign bend it by more than this.
STRAIGHT = 0.35


@dataclass(frozen=True)
class TaylorTest(Displayed):
    """How the remainder of a linear model of f shrinks with the step.

    slope: of log |f(x + h v) - f(x) - h <g, v>| against log h at the finest steps above the noise:
        2, or more where f has no curvature, for a right gradient g, 1 for a wrong one; NaN where
        the remainder is noise at every step
    step_sizes: h, along a random direction v; remainders: with the gradient's term;
    differences: |f(x + h v) - f(x)|, without it; fitted: the range of steps that give the slope
    noise: below which remainders say nothing; resolution: the smallest error of the slope <g, v>
        that would have shown, relative to the gradient's size along v
    """

    verdict: VerdictText
    reason: str
    slope: float
    step_sizes: tuple[float, ...]
    remainders: tuple[float, ...]
    differences: tuple[float, ...]
    fitted: tuple[float, float] | None
    noise: float
    resolution: float
    evaluations: int
    seed: int

    def lines(self) -> list[str]:
        lines = [f"{self.verdict}: {self.reason}"]
        lines.append(f"{self.evaluations} evaluations, seed {self.seed}, noise {self.noise:.1e}")
        lines.append(f"{'step h':>10}  {'without gradient':>16}  {'with gradient':>16}")
        rows = list(zip(self.step_sizes, self.differences, self.remainders, strict=True))
        lines += [f"{h:10.2e}  {without:16.3e}  {with_:16.3e}" for h, without, with_ in rows[::2]]
        return lines

    def plotted(self) -> tuple[str, dict[str, Sequence[float]]]:
        curves: dict[str, Sequence[float]] = {
            "with gradient": self.remainders,
            "without gradient": self.differences,
        }
        return "distance from the tangent (solid), and from f(x) (dashed), against the step", curves

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; numbers that JSON lacks become "nan", "inf" or "-inf"."""
        content: dict[str, Any] = strict(self)
        return content


def taylor_test(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    gradient: PyTree | Callable[..., PyTree],
    seed: int = 0,
    backend: str | Backend | None = None,
) -> TaylorTest:
    """Test a gradient by the remainder of f along one random direction over all parameters.

    It knows nothing of the arbiter: no extrapolation, no error bar of a derivative, only values of
    f. The price is that it names no entry, that it sees half the digits, and that a small leaf may
    hide behind a large one; `check_gradient` does better. Arguments and errors are its.

    >>> test = gp.taylor_test(lambda x: (x**3).sum(), np.ones(2), gradient=3 * np.ones(2))
    >>> test.verdict, round(test.slope)
    (<Verdict.AGREE: 'agree'>, 2)
    """
    function = Function(f, params, args, backend)
    given = function.call(gradient) if callable(gradient) else gradient
    candidate = read_candidate(given, function.leaves)
    unfit = [(Verdict.DIFFER, f"{one.leaf}: {one.text}") for _, one in candidate.problems]
    if not all(np.isfinite(leaf).all() for leaf in candidate.slopes):
        unfit.append((Verdict.CANNOT_TELL, "the gradient holds numbers that are not finite"))
    if function.blocked:
        unfit.append((Verdict.CANNOT_TELL, function.blocked))
    for verdict, reason in unfit:
        nan, reason = math.nan, reason.removeprefix(": ")
        calls = function.evaluations
        return TaylorTest(verdict, reason, nan, (), (), (), None, nan, nan, calls, seed)
    return _measure(function, candidate, seed)


def _measure(function: Function, candidate: Candidate, seed: int) -> TaylorTest:
    weights = Directions(function, seed).weights(0)
    phi = function.along({Span(k, 0, v.size): v for k, v in enumerate(weights) if v.size})
    terms, v = np.concatenate(candidate.slopes), np.concatenate(weights)
    bounds = map(rounding_bound, candidate.slopes, candidate.units)
    granted = np.concatenate([bound[:] for bound in bounds])
    allowance, size, slope_of_g = norm(granted * v), norm(terms * v), float(terms @ v)
    steps = np.array([2.0**-level for level in range(FIRST_LEVEL, LAST_LEVEL + 1)])
    values = np.array([phi(step) for step in steps])
    steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
    noise = _noise(phi, values, function.value)
    changes = values - function.value
    remainders = np.abs(changes - steps * slope_of_g)
    # Round-off in the gradient's own dtype is no fault; nor is what it adds to the remainder.
    clear = remainders > CLEAR * noise + 2 * steps * allowance
    chosen = np.flatnonzero(clear)[-FITTED:]
    slope, fitted = math.nan, None
    if len(chosen) >= FEWEST:
        h, left = steps[chosen], remainders[chosen]
        # Where an error of the slope and the curvature cancel at one step, they do not at another.
        seen, fitted = (left / h)[-2:].max(), (float(h[-1]), float(h[0]))
        slope, intercept = map(float, np.polyfit(np.log(h), np.log(left), 1))
        bend = np.abs(np.log(left) - slope * np.log(h) - intercept).max()
        # At a kink no gradient does better: there f leaves every tangent on one of its sides.
        both = phi(float(h[-1])) + phi(-float(h[-1])) - 2 * function.value if slope <= WRONG else 0
        verdict, reason = _judge(slope, bend > STRAIGHT, abs(both) > left[-1] / CLEAR)
    else:
        seen = CLEAR * noise / steps[0] if len(steps) else math.inf
        verdict, reason = _judge_noise(seen, size, bool(clear.any()), len(steps))
    return TaylorTest(
        verdict,
        reason,
        slope,
        tuple(map(float, steps)),
        tuple(map(float, remainders)),
        tuple(map(float, np.abs(changes))),
        fitted,
        noise,
        float(seen / size) if size else math.nan,
        function.evaluations,
        seed,
    )


def _noise(phi: Callable[[float], float], values: np.ndarray, origin: float) -> float:
    largest = max(abs(origin), float(np.abs(values).max(initial=0.0)))
    nodes = NOISE_STEP * np.arange(-(NEIGHBOURS // 2), NEIGHBOURS // 2 + 1)
    around = np.array([phi(float(node)) for node in nodes])
    measured = difference_table_noise(nodes, around) if np.isfinite(around).all() else 0.0
    return max(ROUNDINGS * EPSILON * largest, measured)


def _judge(slope: float, is_bent: bool, has_kink: bool) -> tuple[VerdictText, str]:
    text = f"the remainder shrinks with the power {slope:.2f} of the step"
    if is_bent:
        reason = "the remainder follows no single power of the step: two terms cancel in it"
        return Verdict.CANNOT_TELL, reason
    if slope >= RIGHT:
        return Verdict.AGREE, f"{text}, as that of a right gradient does (2)"
    if slope > WRONG:
        return Verdict.CANNOT_TELL, f"{text}, between that of a right gradient (2) and a wrong (1)"
    if has_kink:
        return Verdict.CANNOT_TELL, f"{text}, but f has a kink there"
    return Verdict.DIFFER, f"{text}, as that of a wrong gradient does (1)"


def _judge_noise(seen: float, size: float, some: bool, steps: int) -> tuple[VerdictText, str]:
    if not steps:
        return Verdict.CANNOT_TELL, "f is not finite at any step"
    if some:
        return Verdict.CANNOT_TELL, "too few steps lift the remainder above the noise of f"
    if seen <= DIGITS * size or size == 0:
        return Verdict.AGREE, "the gradient leaves no remainder but noise, as f is straight"
    return Verdict.CANNOT_TELL, "the noise of f hides what the gradient would explain"
