"""How a claimed gradient stands beside randomly rounded runs of the right one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradparity.backends.rounding.scatter import LeafRounding, root_mean_square

# A claim that is as good as eager is one more run: among K of them its error along a statistic is
# the largest with a probability of 1 in K + 1, whatever the distribution (the runs are rounded
# twice where eager is once, so that it is rarer). Twice as much as the largest of all was
# not seen in 3,000 leaves of right gradients in three dtypes (the benchmark low_precision).
FITS = 1.0
WRONG = 2.0
# The scatter of an entry is that of its own runs and as much as so many more that have the mean
# size of its row and column: alone, eight runs miss the tail of one entry in thousands.
PRIOR_RUNS = 4
RANDOM_SIGNS = 6
# Sums along more slices than this of one axis are sums of few entries, which the entries tell.
MOST_SLICES = 4096
# As many slices of an axis have a mean size worth adding to that of each.
SLICES_ALIKE = 17


@dataclass(frozen=True)
class Standing:
    """One leaf of a claim.

    score: the largest error over that of any run, over all statistics; `by` names the statistic
    error, scatter: norm of the error and its root mean square over the runs, over that of the truth
    share: the error over the scatter
    entries: the scores of single entries; entry_bar: the error of each that would score 1
    """

    leaf: str
    score: float
    by: str
    error: float
    scatter: float
    share: float
    entries: np.ndarray
    entry_bar: np.ndarray

    @property
    def fits(self) -> bool:
        return self.score <= FITS

    @property
    def wrong(self) -> bool:
        return self.score >= WRONG


def standing(rounding: LeafRounding, claimed: np.ndarray, *, seed: int = 0) -> Standing:
    """Return how the claimed leaf stands beside the runs.

    claimed: float64, in the leaf's shape; not finite is never within rounding
    """
    truth, runs = rounding.truth, rounding.errors
    with np.errstate(all="ignore"):
        error = np.where(np.isfinite(claimed), claimed - truth, np.inf)
        floor = rounding.one_rounding
        entry_bar = _entry_bar(runs, floor)
        entries = _over(np.abs(error), entry_bar)
        scores = {"single entries": float(np.max(entries, initial=0.0))}
        scores["norm"] = _norm(error, runs, floor)
        for name, sums, one_rounding in _sums(error, runs, truth, floor, seed):
            scores[name] = _worst(sums[0], sums[1:], one_rounding)
        size = float(np.linalg.norm(truth))
        found = max(
            scores, key=lambda name: scores[name] if scores[name] == scores[name] else np.inf
        )
        return Standing(
            leaf=rounding.name,
            score=float(np.nan_to_num(scores[found], nan=np.inf, posinf=np.inf)),
            by=found,
            error=_ratio(float(np.linalg.norm(error)), size),
            scatter=_ratio(rounding.leaf, size),
            share=_ratio(float(np.linalg.norm(error)), rounding.leaf),
            entries=entries,
            entry_bar=entry_bar,
        )


def _ratio(part: float, whole: float) -> float:
    if whole > 0.0:
        return part / whole
    return 0.0 if part == 0.0 else float("inf")


def _entry_bar(runs: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Return the scatter of each entry, times the largest error in scatters of any run."""
    squares = runs**2
    together = np.sum(squares, axis=0)
    mean = _smooth(together / len(runs))
    prior = PRIOR_RUNS * mean + floor**2
    total = len(runs) + PRIOR_RUNS
    bar = 0.0
    for square in squares:
        alone = np.sqrt((together - square + prior) / (total - 1))
        bar = max(bar, float(np.max(_over(np.sqrt(square), alone), initial=0.0)))
    # One rounding more or less is none of the claim's faults, whatever the runs show.
    bar = max(bar, 1.0)
    scatter: np.ndarray = np.sqrt((together + prior) / total) * bar
    return scatter


def _smooth(squares: np.ndarray) -> np.ndarray:
    """Return the product of the means along each axis: entries of a row, a column are alike."""
    if squares.ndim < 2 or not np.all(np.isfinite(squares)):
        return np.full_like(squares, np.mean(squares)) if squares.size else squares
    overall = np.mean(squares)
    if overall == 0.0:
        return squares
    product = np.full_like(squares, overall)
    for axis in range(squares.ndim):
        others = tuple(other for other in range(squares.ndim) if other != axis)
        product = product * (np.mean(squares, axis=others, keepdims=True) / overall)
    return product


def _norm(error: np.ndarray, runs: np.ndarray, floor: np.ndarray) -> float:
    sizes = np.sqrt(len(floor.reshape(-1))) * root_mean_square(runs.reshape(len(runs), -1), axis=1)
    bar = max(float(np.max(sizes, initial=0.0)), float(np.linalg.norm(floor)))
    return float(_over(np.asarray(np.linalg.norm(error)), np.asarray(bar)))


def _sums(
    error: np.ndarray, runs: np.ndarray, truth: np.ndarray, floor: np.ndarray, seed: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield sums of the errors along directions of each kind: what entries hide adds up in them.

    Along the truth's signs a factor does, along ones a missing mean does, in a slice what a slice
    lacks. The sums are of shape (1 + runs, directions), the claim's first; beside them are those of
    one rounding of every entry.
    """
    if error.size < 2 or not np.all(np.isfinite(error)):
        return
    everything = np.concatenate([error[None], runs])
    generator = np.random.default_rng([seed, error.size])
    signs = np.sign(truth)
    random = generator.choice([-1.0, 1.0], size=(RANDOM_SIGNS, error.size))
    whole = np.stack([signs.reshape(-1), truth.reshape(-1), np.ones(error.size), *random], axis=1)
    once = np.sqrt(floor.reshape(-1) ** 2 @ whole**2)
    yield "sums of the leaf", everything.reshape(len(everything), -1) @ whole, once
    for axis in range(error.ndim if error.ndim > 1 else 0):
        if not 1 < error.shape[axis] <= MOST_SLICES:
            continue
        others = tuple(other for other in range(error.ndim) if other != axis)
        once = np.sqrt(np.sum(floor**2, axis=others))
        for weight in (signs, np.ones_like(truth)):
            sums = np.sum(everything * weight, axis=tuple(other + 1 for other in others))
            yield f"sums along axis {axis}", sums, once


def _worst(sum_: np.ndarray, sums: np.ndarray, floor: np.ndarray) -> float:
    """Return the largest standardised sum of the claim over the largest of any run."""
    squares = sums**2
    together = np.sum(squares, axis=0)
    extra = PRIOR_RUNS if len(floor) >= SLICES_ALIKE else 0
    prior = extra * np.mean(together / len(sums))
    total = len(sums) + extra
    alone = np.sqrt((together - squares + prior + floor**2) / (total - 1))
    bar = max(1.0, float(np.max(_over(np.abs(sums), alone), initial=0.0)))
    own = _over(np.abs(sum_), np.sqrt((together + prior + floor**2) / total))
    return float(np.max(own, initial=0.0)) / bar


def _over(sizes: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    """Return the quotient, 0 where both are 0, infinite where only the scatter is."""
    quotient = np.divide(sizes, scatter, out=np.full(np.shape(sizes), np.inf), where=scatter > 0.0)
    quotient = np.where((sizes == 0.0) & (scatter == 0.0), 0.0, quotient)
    return np.where(np.isposinf(scatter), 0.0, quotient)
