"""Extrapolate difference quotients to step size zero, with an error bar that holds."""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .samples import Samples

# Richardson's gain is exhausted here: five steps remove every error up to the 9th power.
WIDEST_WINDOW = 5
# The noise is measured from few values, and may be a few times what it seems.
STANDARD_DEVIATIONS = 5.0
# A sequence that gains less than this factor from one step to the next is not trusted further.
SLOWEST_CONVERGENCE = 0.9
# A step that shortens the bar by less does not belong to the window, however little it harms.
SHORTER = 0.05


@dataclass(frozen=True)
class Limit:
    """A limit with its error bar, the noise's share of the bar, and the steps it came from."""

    value: float
    error: float
    noise: float
    finest: float
    coarsest: float


@dataclass(frozen=True)
class Reading:
    """What samples say about the derivative at 0.

    value, error: the derivative and a bar that covers the one-sided derivatives, too
    driver: the limit whose bar decides the error; None if there is none
    left, right: the one-sided derivatives; None where phi is not finite on that side
    kink: the one-sided derivatives differ by more than their bars
    """

    value: float
    error: float
    driver: Limit | None
    left: Limit | None
    right: Limit | None
    kink: bool = False


NOTHING = Reading(math.nan, math.inf, None, None, None)


def read(
    samples: Samples, reach: float, *, beyond: float = 0.0, until: float = math.inf
) -> Reading:
    """Differentiate at 0 as well as the samples allow.

    reach: see `_best`; beyond, until: leave out samples at smaller and larger steps
    """
    first, last = np.searchsorted(samples.steps, (beyond, until))
    steps = samples.steps[first:last]
    sides = {sign: side[first:last] - samples.origin for sign, side in samples.sides.items()}
    # Weights times quotients of values near the largest number would overflow.
    size = max(float(np.abs(rises).max(initial=0.0)) for rises in sides.values())
    unit = 2.0 ** (math.frexp(size)[1] - 1)
    sides = {sign: rises / unit for sign, rises in sides.items()}
    quantum = samples.quantum()
    noise = {sign: samples.deviations(sign, quantum)[first:last] / unit for sign in sides}
    central: Limit | None = None
    covering: tuple[_Windows, ...] = ()
    count = min(map(len, sides.values()))
    if count > 1:
        near, (left, right) = steps[:count], (sides[sign][:count] for sign in (-1, 1))
        # The even part of a smooth function is a polynomial in t**2 times t**2. What it has of t
        # itself is half the difference of the slopes on both sides: a kink, seen or hidden.
        bends = (right + left) / (2 * near**2)
        scatter = np.hypot(noise[-1][:count], noise[1][:count]) / (2 * near)
        windows = _extrapolate((right - left) / (2 * near), scatter, near, 2, bends)
        central, covering = _best(windows, (), reach, unit), (windows,)

    def one_sided(sign: int) -> Limit | None:
        if len(sides[sign]) < 2:
            return None
        near = steps[: len(sides[sign])]
        quotients = sign * sides[sign] / near
        scatter = np.hypot(noise[sign], noise[sign][0])  # phi(0) is as noisy as the first
        return _best(_extrapolate(quotients, scatter / near, near, 1), covering, reach, unit)

    below, above = one_sided(-1), one_sided(1)
    if below is None or above is None:
        side = below or above
        if side is None:
            return NOTHING
        return Reading(side.value, side.error, side, below, above)
    gap, driver = abs(above.value - below.value), max(below, above, key=lambda side: side.error)
    if gap > below.error + above.error:
        middle = below.value / 2 + above.value / 2
        return Reading(middle, gap / 2 + driver.error, driver, below, above, kink=True)
    # The derivative of one side is that of both, give or take by how much they differ.
    candidates = [(side.error + gap, side.value, driver) for side in (below, above)]
    if central is not None:
        candidates.insert(0, (central.error, central.value, central))
    error, value, driver = min(candidates, key=lambda one: one[0])
    return Reading(value, error, driver, below, above)


class _Windows(NamedTuple):
    """What each run of neighbouring steps says about the limit; all fields have shape (w,)."""

    limit: np.ndarray
    error: np.ndarray
    noise: np.ndarray
    finest: np.ndarray
    coarsest: np.ndarray


def _extrapolate(
    sequence: np.ndarray,
    deviations: np.ndarray,
    steps: np.ndarray,
    power: int,
    bends: np.ndarray | None = None,
) -> _Windows:
    """Extrapolate a sequence that is a polynomial in step**power to step 0.

    sequence, deviations, steps: shape (n,), float64, steps ascending and positive; `deviations`
    are the standard deviations of the noise in the sequence
    power: 1 for one-sided differences, 2 for symmetric ones (L. F. Richardson, "The deferred
    approach to the limit", Phil. Trans. Roy. Soc. A 226, 1927)
    bends: another sequence, whose pole at step 0 is to be doubted

    The truncation error is estimated as by C. J. F. Ridders, "Accurate computation of F'(x) and
    F'(x)F''(x)", Adv. Eng. Softw. 4, 1982: the larger of the changes from the two next lower
    orders. It is the error of those, and thus too large where things converge.
    """
    table = _tableau(steps.tobytes(), power)
    polynomials = table.polynomials @ sequence
    limits = polynomials[:, 0]
    noise = np.abs(table.polynomials[:, 0]) @ deviations  # squares of small ones would underflow
    lower = table.lower
    change = np.abs(limits - limits[lower]).max(axis=0)
    before = change[lower].max(axis=0)
    # Where one more step gains a factor r, all further ones add 1 / (1 - r) times its change.
    slow = change > STANDARD_DEVIATIONS * noise
    gain = np.where(slow, np.minimum(change / before, SLOWEST_CONVERGENCE), 0.0)
    error = change / (1 - gain) + STANDARD_DEVIATIONS * noise
    if bends is not None:
        error += np.abs(table.poles @ bends)
    # No window's polynomial may miss the sequence at finer steps by more than noise.
    misses = np.abs(polynomials[:, 1:] - sequence) - STANDARD_DEVIATIONS * deviations
    error = np.maximum(error, np.where(table.finer, misses, 0.0).max(axis=1))
    error[~np.isfinite(error) | ~np.isfinite(limits)] = np.inf
    wide = slice(len(steps), None)
    return _Windows(
        limits[wide], error[wide], noise[wide], steps[table.first[wide]], steps[table.last[wide]]
    )


def _best(own: _Windows, others: tuple[_Windows, ...], reach: float, unit: float) -> Limit:
    """Choose the window with the shortest bar that all finer windows leave standing.

    others: what else must not contradict them
    reach: the finest step of the window may not lie beyond it. Very far away every bounded
    function has slopes near 0, and no finer window can tell when noise drowns it
    unit: what the windows are in units of

    A coarse window may have converged to what only holds far away, beyond a kink or over an
    oscillation that it cannot see; where a finer one contradicts it, its bar grows until the two
    overlap.
    """
    error = own.error
    for other in (own, *others):
        contradiction = np.abs(own.limit[:, None] - other.limit) - other.error
        counts = (other.finest < own.finest[:, None]) & ~np.isnan(contradiction)
        error = np.maximum(error, np.where(counts, contradiction, 0.0).max(axis=1))
    error = np.where(own.finest > reach, np.inf, error)
    close = error <= (1 + SHORTER) * error.min()
    best = int(np.argmin(np.where(close, own.coarsest, np.inf)))
    return Limit(
        float(unit * own.limit[best]),
        float(unit * error[best]),
        float(unit * STANDARD_DEVIATIONS * own.noise[best]),
        float(own.finest[best]),
        float(own.coarsest[best]),
    )


class _Tableau(NamedTuple):
    """The windows of n steps, single steps first, then wider and wider ones; w in all.

    polynomials: shape (w, n + 1, n), the weights that the values have in each window's polynomial,
    at step 0 and at every step; poles: (w, n), those that they have in the coefficient of 1/step
    lower: (2, w), the windows that lack one end; first, last: (w,), the steps at the ends
    finer: (w, n), which steps are finer than the window
    """

    polynomials: np.ndarray
    poles: np.ndarray
    lower: np.ndarray
    first: np.ndarray
    last: np.ndarray
    finer: np.ndarray


@functools.lru_cache(maxsize=64)
def _tableau(steps: bytes, power: int) -> _Tableau:
    # Most functions are sampled at the same steps, in units of their scale.
    own = np.frombuffer(steps)
    ratio = own / own[-1]  # squares of the smallest steps would underflow
    nodes = ratio**power
    count = len(nodes)
    places = np.concatenate([[0.0], nodes])[:, None]
    # Neville's recursion for the polynomials; divided differences of full width see only what is
    # not a polynomial, the pole, and those of 1/step itself are its measure.
    polynomials = np.repeat(np.eye(count)[:, None], count + 1, axis=1)
    divided, measure = np.eye(count), 1 / ratio
    every = np.arange(count)
    beside = np.where(every + 1 < count, every + 1, every - 1)
    found = [(polynomials, np.zeros((count, count)), np.stack([beside, beside]), every, every)]
    start = 0
    for width in range(1, min(count, WIDEST_WINDOW)):
        gap = (nodes[width:] - nodes[:-width])[:, None]
        far, near = nodes[width:, None, None] - places, nodes[:-width, None, None] - places
        polynomials = (far * polynomials[:-1] - near * polynomials[1:]) / gap[:, None]
        divided = np.diff(divided, axis=0) / gap
        measure = np.diff(measure) / gap[:, 0]
        own_first = every[: len(gap)]
        lower = np.stack([start + own_first, start + own_first + 1])
        found.append((polynomials, divided / measure[:, None], lower, own_first, own_first + width))
        start += len(gap) + 1
    polynomials, poles, firsts, lasts = (
        np.concatenate([field[k] for field in found]) for k in (0, 1, 3, 4)
    )
    lowers = np.concatenate([field[2] for field in found], axis=1)
    finer = every < firsts[:, None]
    return _Tableau(polynomials, poles * own[-1], lowers, firsts, lasts, finer)
