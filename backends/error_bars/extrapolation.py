"""Extrapolate a sequence to step size zero, with an error bar that holds."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Richardson's gain is exhausted here: seven steps remove every error up to the 13th power.
WIDEST_WINDOW = 7
# The noise is measured from few values, and may be a few times what it seems.
STANDARD_DEVIATIONS = 5.0
# A sequence that gains less than this factor from one step to the next is not trusted further.
SLOWEST_CONVERGENCE = 0.9


@dataclass(frozen=True)
class Windows:
    """What each run of neighbouring steps says about the limit; all fields have shape (w,).

    limit: the sequence extrapolated to step size 0
    truncation: by how much the limit moves when the window loses one of its ends
    noise: at most the standard deviation of the limit, due to that of the sequence
    misfit: by how much more than noise the window's polynomial misses the sequence at finer steps
    finest, coarsest: indices of the ends of the window
    """

    limit: np.ndarray
    truncation: np.ndarray
    noise: np.ndarray
    misfit: np.ndarray
    finest: np.ndarray
    coarsest: np.ndarray


@dataclass(frozen=True)
class Limit:
    """A limit with its error bar, the noise's share of the bar, and the steps it came from.

    detached: the values at these steps do not tend to the value at 0
    """

    value: float
    error: float
    noise: float
    finest: float
    coarsest: float
    detached: bool = False


def extrapolate(
    sequence: np.ndarray, deviations: np.ndarray, steps: np.ndarray, power: int
) -> Windows:
    """Extrapolate a sequence that is a polynomial in step**power to step 0.

    sequence, deviations, steps: shape (n,), float64, steps ascending and positive; `deviations`
    are the standard deviations of the noise in the sequence
    power: 1 for one-sided differences, 2 for symmetric ones (L. F. Richardson, "The deferred
    approach to the limit", Phil. Trans. Roy. Soc. A 226, 1927)

    The tableau is Neville's; the truncation error is estimated as by C. J. F. Ridders, "Accurate
    computation of F'(x) and F'(x)F''(x)", Adv. Eng. Softw. 4, 1982: the larger of the changes from
    the two next lower orders. It is the error of those, and thus too large where things converge.
    """
    tableau = _tableau(steps.tobytes(), power)
    change = np.array([])
    # The polynomials of all windows, a column each, at step 0 and at every step.
    polynomials = np.tile(sequence, (len(steps) + 1, 1))
    found = []
    for width in tableau.widths:
        limit = polynomials[0]
        polynomials = (
            width.from_far * polynomials[:, :-1] - width.from_near * polynomials[:, 1:]
        ) / width.gap
        longer = polynomials[0]
        shorter = change
        change = np.maximum(np.abs(longer - limit[:-1]), np.abs(longer - limit[1:]))
        # Compare with the same window less one step, or at first with the next coarser one.
        before = np.maximum(shorter[:-1], shorter[1:]) if len(shorter) else change[width.coarser]
        noise = width.weights @ deviations  # squares of small deviations would underflow
        # Where one more step gains a factor r, all further ones add 1 / (1 - r) times its change.
        slow = change > STANDARD_DEVIATIONS * noise
        gain = np.where(slow, np.minimum(change / before, SLOWEST_CONVERGENCE), 0.0)
        misses = np.abs(polynomials[1:].T - sequence) - STANDARD_DEVIATIONS * deviations
        misfit = np.where(width.finer, misses, 0.0).max(axis=1)
        found.append((longer, change / (1 - gain), noise, misfit))
    limits, truncations, noises, misfits = (
        np.concatenate(field) for field in zip(*found, strict=True)
    )
    return Windows(limits, truncations, noises, misfits, tableau.finest, tableau.coarsest)


def pole(sequence: np.ndarray, steps: np.ndarray, power: int) -> np.ndarray:
    """Return the coefficient of 1/step in a sequence, as each window of `extrapolate` has it.

    It is 0 where the sequence has a finite limit.
    """
    divided, residues = sequence, []
    for width in _tableau(steps.tobytes(), power).widths:
        # Divided differences of full width see only what is not a polynomial: the pole.
        divided = (divided[1:] - divided[:-1]) / width.gap
        residues.append(divided / width.pole * steps[-1])
    return np.concatenate(residues)


class Width(NamedTuple):
    """What windows of one width have in common, whatever the sequence; a column for each.

    from_near, from_far: how far step 0 and every step are from the ends of the window
    gap: the distance of these; weights: how large a part each step has in the limit
    pole: divided differences of 1/step; coarser: the next window; finer: steps finer than it
    """

    from_near: np.ndarray
    from_far: np.ndarray
    gap: np.ndarray
    weights: np.ndarray
    pole: np.ndarray
    coarser: np.ndarray
    finer: np.ndarray


class Tableau(NamedTuple):
    """The windows of all widths, narrow ones first, and the indices of their ends."""

    widths: tuple[Width, ...]
    finest: np.ndarray
    coarsest: np.ndarray


@functools.lru_cache(maxsize=256)
def _tableau(steps: bytes, power: int) -> Tableau:
    # Most functions are sampled at the same steps, in units of their scale.
    own = np.frombuffer(steps)
    ratio = own / own[-1]  # squares of the smallest steps would underflow
    nodes = ratio**power
    places = np.concatenate([[0.0], nodes])[:, None]
    weights, pole = np.eye(len(nodes)), 1 / ratio
    widths, ends = [], []
    for width in range(1, min(len(nodes), WIDEST_WINDOW)):
        near, far = nodes[:-width], nodes[width:]
        gap = far - near
        weights = (far[:, None] * weights[:-1] - near[:, None] * weights[1:]) / gap[:, None]
        pole = np.diff(pole) / gap
        starts = np.arange(len(gap))
        finer = np.tri(len(gap), len(nodes), -1, dtype=bool)
        widths.append(
            Width(
                near - places, far - places, gap, np.abs(weights), pole, np.roll(starts, -1), finer
            )
        )
        ends.append((starts, starts + width))
    finest, coarsest = (np.concatenate(end) for end in zip(*ends, strict=True))
    return Tableau(tuple(widths), finest, coarsest)


@dataclass(frozen=True)
class Bars:
    """Where each window puts the limit, give or take its bar, and its finest step."""

    limit: np.ndarray
    error: np.ndarray
    finest: np.ndarray


def bars(windows: Windows, steps: np.ndarray, doubt: np.ndarray | float = 0.0) -> Bars:
    """Return the windows' error bars: truncation, noise, and what else there is to doubt."""
    error = windows.truncation + STANDARD_DEVIATIONS * windows.noise + doubt
    error = np.maximum(error, windows.misfit)
    error[~np.isfinite(error) | ~np.isfinite(windows.limit)] = np.inf
    return Bars(windows.limit, error, steps[windows.finest])


def best_limit(
    windows: Windows, own: Bars, others: tuple[Bars, ...], steps: np.ndarray, reach: float
) -> Limit:
    """Choose the window with the shortest bar that all finer windows leave standing.

    own: the bars of the windows; others: what else must not contradict them
    reach: the finest step of the window may not lie beyond it. Very far away every bounded
    function has slopes near 0, and no finer window can tell when noise drowns it

    A coarse window may have converged to what only holds far away, beyond a kink or over an
    oscillation that it cannot see; where a finer one contradicts it, its bar grows until the two
    overlap.
    """
    error = own.error
    for other in (own, *others):
        contradiction = np.abs(own.limit[:, None] - other.limit) - other.error
        finer = other.finest < own.finest[:, None]
        contradiction[~finer | np.isnan(contradiction)] = 0.0
        error = np.maximum(error, contradiction.max(axis=1, initial=0.0))
    error = np.where(own.finest > reach, np.inf, error)
    # A step that adds nothing does not belong to the window, however little it harms.
    close = error <= 1.05 * error.min()
    best = int(np.argmin(np.where(close, windows.coarsest, np.inf)))
    return Limit(
        float(windows.limit[best]),
        float(error[best]),
        float(STANDARD_DEVIATIONS * windows.noise[best]),
        float(steps[windows.finest[best]]),
        float(steps[windows.coarsest[best]]),
    )
