"""The verdict on a claim in low precision: as good as eager, wrong beyond it, or not to be told."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from gradparity.backends.rounding import Rounding

from ..verdicts import Verdict, VerdictText
from .standing import FITS, WRONG, Standing, standing

# Runs at first, and in all where the first leave a question: with the float64 gradient and eager's
# own that is 26 gradients.
FIRST_RUNS, ALL_RUNS = 8, 24
# What rounding may be of a leaf's norm so that "agree" says something: float32 keeps the four
# digits that float64 promises. In the lower dtypes no net measured had more than 6.6 %.
SMALL = {"float64": 1e-4, "float32": 1e-4, "float16": 0.1, "bfloat16": 0.1}
# A leaf this much smaller than its own rounding is zero but for rounding, as the gradient by a
# key's bias under softmax is.
NOTHING = 2.0**-24


@dataclass(frozen=True)
class LeafJudgement:
    """One leaf: its verdict, how it stands, and what the runs resolve.

    resolution: the rounding of the leaf at the stated confidence, over the norm of the truth
    entry_resolution: the error of a single entry that would be called wrong, over the leaf's
        typical entry
    """

    verdict: VerdictText
    standing: Standing
    resolution: float
    entry_resolution: float
    is_zero: bool

    @property
    def wrong_entries(self) -> tuple[tuple[int, ...], ...]:
        """The indices of entries that are wrong by themselves, the worst first."""
        scores = self.standing.entries.reshape(-1)
        order = np.argsort(-scores)
        wrong = order[scores[order] >= WRONG]
        return tuple(
            tuple(int(i) for i in np.unravel_index(entry, self.standing.entries.shape))
            for entry in wrong
        )


@dataclass(frozen=True)
class Measurement:
    """What a bar for rounding rests on.

    engine: who ran f's gradient in `dtype`, so many times, each rounded at random
    confidence: with which rounding is no larger than the bar
    """

    engine: str
    dtype: str
    runs: int
    confidence: float

    def __str__(self) -> str:
        return (
            f"{self.runs} gradients in {self.dtype} by {self.engine}, each rounded at random; "
            f"bars at {100 * self.confidence:g} % confidence"
        )


@dataclass(frozen=True)
class Judgement:
    """A claim beside the rounding that was measured for it."""

    verdict: VerdictText
    rounding: Rounding
    leaves: tuple[LeafJudgement, ...]

    @property
    def margin(self) -> float:
        """By which factor rounding may exceed the scatter, in one of all leaves."""
        return self.rounding.margin * largest_of_all(self.rounding.runs, len(self.leaves))

    @property
    def reason(self) -> str:
        """One sentence: what the verdict rests on, and how fine it is."""
        if self.verdict is Verdict.AGREE:
            known = [leaf.resolution for leaf in self.leaves if not leaf.is_zero]
            return f"right to {max(known, default=0.0):.1e}, {self.praise}"
        chosen = [k for k, leaf in enumerate(self.leaves) if leaf.verdict is self.verdict]
        return self.sentence_of(
            max(chosen, key=lambda k: (self.leaves[k].standing.score, self.leaves[k].resolution))
        )

    @property
    def praise(self) -> str:
        """How the claim's error compares with the rounding of eager's own gradient."""
        share = max((leaf.standing.share for leaf in self.leaves), default=0.0)
        return f"as good as eager {self.dtype} ({share:.2g} of its rounding)"

    @property
    def measurement(self) -> Measurement:
        rounding = self.rounding
        return Measurement(rounding.backend, self.dtype, rounding.runs, rounding.confidence)

    @property
    def dtype(self) -> str:
        """The coarsest dtype that f rounds to."""
        return self.rounding.rounded_to[-1] if self.rounding.rounded_to else self.rounding.dtype

    def sentence_of(self, position: int) -> str:
        """Say why a leaf does not agree."""
        leaf = self.leaves[position]
        found, name = leaf.standing, leaf.standing.leaf or "params"
        beyond = (
            f"leaf {name} is off by {found.error:.1e}, {found.score:.2g} times what any of "
            f"{self.rounding.runs} runs of eager {self.dtype} loses to rounding"
        )
        if leaf.verdict is Verdict.DIFFER:
            return f"{beyond} ({found.by})"
        if found.score > FITS:
            return f"{beyond}: more than rounding should, and too little to be sure"
        return (
            f"leaf {name}: rounding alone moves eager {self.dtype} by {leaf.resolution:.1e} of "
            "the gradient, which hides what is wrong"
        )


def judge(
    rounding: Rounding, claimed: Sequence[np.ndarray], names: Sequence[str] | None = None
) -> Judgement:
    """Return the verdict on a claim, one float64 array for each leaf of the rounding.

    Runs are added where those at hand leave a question.
    names: of the leaves, where they are others than the rounding's
    """
    names = names or [leaf.name for leaf in rounding.leaves]
    judgement = _judged(rounding, claimed, names)
    if judgement.verdict is not Verdict.AGREE and rounding.runs < ALL_RUNS:
        judgement = _judged(rounding.with_runs(ALL_RUNS), claimed, names)
    return judgement


def largest_of_all(runs: int, leaves: int) -> float:
    """Return which score fits, where so many leaves are scored by their largest among the runs.

    One more run is the largest in a leaf with a probability of 1 in runs + 1. What is as rare
    among all leaves together is farther out by the quotient of two normal quantiles.
    """
    once = 1 / (2 * (runs + 1))
    normal = NormalDist()
    return min(FITS * normal.inv_cdf(once / leaves) / normal.inv_cdf(once), WRONG)


def _judged(rounding: Rounding, claimed: Sequence[np.ndarray], names: Sequence[str]) -> Judgement:
    fits = largest_of_all(rounding.runs, max(len(claimed), 1))
    leaves = tuple(
        _leaf(rounding, position, np.asarray(array, np.float64), names[position], fits)
        for position, array in enumerate(claimed)
    )
    verdicts = {leaf.verdict for leaf in leaves}
    verdict = next(
        (v for v in (Verdict.DIFFER, Verdict.CANNOT_TELL) if v in verdicts), Verdict.AGREE
    )
    return Judgement(verdict, rounding, leaves)


def _leaf(
    rounding: Rounding, position: int, claimed: np.ndarray, name: str, fits: float
) -> LeafJudgement:
    leaf = rounding.leaves[position]
    found = replace(standing(leaf, claimed, seed=rounding.seed), leaf=name)
    limit = max(SMALL[name] for name in (*rounding.rounded_to, leaf.dtype))
    size, scatter = float(np.linalg.norm(leaf.truth)), leaf.leaf
    is_zero = size <= NOTHING * scatter and np.isfinite(scatter)
    resolution = found.scatter * rounding.margin * fits
    typical = size / np.sqrt(max(leaf.truth.size, 1))
    coarsest = float(np.max(found.entry_bar, initial=0.0)) * WRONG
    if not np.isfinite(scatter):
        verdict = Verdict.CANNOT_TELL
    elif found.wrong:
        verdict = Verdict.DIFFER
    elif found.score <= fits and (resolution <= limit or is_zero):
        verdict = Verdict.AGREE
    else:
        verdict = Verdict.CANNOT_TELL
    return LeafJudgement(
        verdict, found, resolution, coarsest / typical if typical else np.inf, is_zero
    )
