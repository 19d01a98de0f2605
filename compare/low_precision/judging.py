"""The verdict on a claim in low precision: as good as eager, wrong beyond it, or not to be told."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradparity.backends.rounding import Rounding

from ..verdicts import Verdict
from .standing import WRONG, Standing, standing

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

    verdict: Verdict
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
class Judgement:
    """A claim beside the rounding that was measured for it."""

    verdict: Verdict
    rounding: Rounding
    leaves: tuple[LeafJudgement, ...]

    @property
    def reason(self) -> str:
        """One sentence: what the verdict rests on, and how fine it is."""
        dtype, names = self.rounding.dtype, [leaf.standing.leaf or "params" for leaf in self.leaves]
        if self.verdict is Verdict.AGREE:
            resolution = max(
                (leaf.resolution for leaf in self.leaves if not leaf.is_zero), default=0.0
            )
            share = max((leaf.standing.share for leaf in self.leaves), default=0.0)
            return (
                f"right to {resolution:.1e}, as good as eager {dtype} ({share:.2g} of its rounding)"
            )
        chosen = [k for k, leaf in enumerate(self.leaves) if leaf.verdict is self.verdict]
        worst = max(chosen, key=lambda k: self.leaves[k].standing.score)
        found = self.leaves[worst].standing
        if self.verdict is Verdict.DIFFER:
            return (
                f"leaf {names[worst]} is off by {found.error:.1e}, {found.score:.2g} times what "
                f"any of {self.rounding.runs} runs of eager {dtype} loses to rounding ({found.by})"
            )
        if found.score > 1.0:
            return (
                f"leaf {names[worst]} is off by {found.error:.1e}, {found.score:.2g} times what "
                f"any of {self.rounding.runs} runs of eager {dtype} loses to rounding: more than "
                "rounding should, and too little to be sure"
            )
        coarse = max(chosen, key=lambda k: self.leaves[k].resolution)
        return (
            f"leaf {names[coarse]}: rounding alone moves eager {dtype} by "
            f"{self.leaves[coarse].resolution:.1e} of the gradient, which hides what is wrong"
        )


def judge(rounding: Rounding, claimed: Sequence[np.ndarray]) -> Judgement:
    """Return the verdict on a claim, one float64 array for each leaf of the rounding.

    Runs are added where those at hand leave a question.
    """
    judgement = _judged(rounding, claimed)
    if judgement.verdict is not Verdict.AGREE and rounding.runs < ALL_RUNS:
        judgement = _judged(rounding.with_runs(ALL_RUNS), claimed)
    return judgement


def _judged(rounding: Rounding, claimed: Sequence[np.ndarray]) -> Judgement:
    leaves = tuple(
        _leaf(rounding, position, np.asarray(array, np.float64))
        for position, array in enumerate(claimed)
    )
    verdicts = {leaf.verdict for leaf in leaves}
    verdict = next(
        (v for v in (Verdict.DIFFER, Verdict.CANNOT_TELL) if v in verdicts), Verdict.AGREE
    )
    return Judgement(verdict, rounding, leaves)


def _leaf(rounding: Rounding, position: int, claimed: np.ndarray) -> LeafJudgement:
    leaf = rounding.leaves[position]
    found = standing(leaf, claimed, seed=rounding.seed)
    size, scatter = float(np.linalg.norm(leaf.truth)), leaf.leaf
    is_zero = size <= NOTHING * scatter and np.isfinite(scatter)
    resolution = found.scatter * rounding.margin
    typical = size / np.sqrt(max(leaf.truth.size, 1))
    coarsest = float(np.max(found.entry_bar, initial=0.0)) * WRONG
    if not np.isfinite(scatter):
        verdict = Verdict.CANNOT_TELL
    elif found.wrong:
        verdict = Verdict.DIFFER
    elif found.fits and (resolution <= SMALL[leaf.dtype] or is_zero):
        verdict = Verdict.AGREE
    else:
        verdict = Verdict.CANNOT_TELL
    return LeafJudgement(
        verdict, found, resolution, coarsest / typical if typical else np.inf, is_zero
    )
