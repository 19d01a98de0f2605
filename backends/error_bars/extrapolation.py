"""Extrapolate a sequence to step size zero, with an error bar that holds."""

from dataclasses import dataclass

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
    residue: the coefficient of 1/step in the sequence, 0 where it has a finite limit
    misfit: by how much more than noise the window's polynomial misses the sequence at finer steps
    finest, coarsest: indices of the ends of the window
    """

    limit: np.ndarray
    truncation: np.ndarray
    noise: np.ndarray
    residue: np.ndarray
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
    ratio = steps / steps[-1]  # squares of the smallest steps would underflow
    nodes = ratio**power
    divided, pole = sequence, 1 / ratio
    weights = np.eye(len(nodes))
    change = np.array([])
    # The polynomials of all windows, a column each, at step 0 and at every step.
    places = np.concatenate([[0.0], nodes])[:, None]
    polynomials = np.tile(sequence, (len(places), 1))
    found = []
    for width in range(1, min(len(nodes), WIDEST_WINDOW)):
        near, far = nodes[:-width], nodes[width:]
        gap = far - near
        limit = polynomials[0]
        polynomials = (
            (far - places) * polynomials[:, :-1] - (near - places) * polynomials[:, 1:]
        ) / gap
        longer = polynomials[0]
        shorter = change
        change = np.maximum(np.abs(longer - limit[:-1]), np.abs(longer - limit[1:]))
        # Compare with the same window less one step, or at first with the next coarser one.
        before = np.maximum(shorter[:-1], shorter[1:]) if width > 1 else np.roll(change, -1)
        weights = (far[:, None] * weights[:-1] - near[:, None] * weights[1:]) / gap[:, None]
        noise = np.abs(weights) @ deviations  # squares of small deviations would underflow
        # Where one more step gains a factor r, all further ones add 1 / (1 - r) times its change.
        slow = change > STANDARD_DEVIATIONS * noise
        gain = np.where(slow, np.minimum(change / before, SLOWEST_CONVERGENCE), 0.0)
        # Divided differences of full width see only what is not a polynomial: the pole.
        divided, pole = np.diff(divided) / gap, np.diff(pole) / gap
        residue = divided / pole * steps[-1]
        misses = np.abs(polynomials[1:].T - sequence) - STANDARD_DEVIATIONS * deviations
        misfit = np.tril(misses, -1).max(axis=1, initial=0.0)
        starts = np.arange(len(gap))
        found.append((longer, change / (1 - gain), noise, residue, misfit, starts, starts + width))
    return Windows(*(np.concatenate(field) for field in zip(*found, strict=True)))


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
