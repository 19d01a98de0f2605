"""Whether a kernel rounds worse than another implementation of the same gradient."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradparity.backends.precision import UNIT_ROUNDOFF
from gradparity.backends.rounding import Rounding
from gradparity.backends.rounding.instrument import SMALLEST_SUBNORMAL

# A kernel is called worse where no more than this share of pairs of eager's own runs is as far
# apart as the kernel and its yardstick are.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Accuracy:
    """How far one gradient is from the truth.

    share: the root mean square, over the leaves, of the error's norm in scatters of the leaf
    ulps, worst_ulps: root mean square and largest error of an entry, in units of the last place of
        the true entry in the leaf's dtype; leaf, index: where the largest is
    """

    share: float
    ulps: float
    worst_ulps: float
    leaf: str
    index: tuple[int, ...]


@dataclass(frozen=True)
class Yardstick:
    """A claim beside another gradient of the same function, in units of the measured rounding.

    ratio: the claim's share over the yardstick's
    chance: the share of pairs of eager's own runs of which one is as much worse than the other
    """

    claim: Accuracy
    yardstick: Accuracy
    ratio: float
    chance: float
    dtype: str
    runs: int

    @property
    def worse(self) -> bool:
        """Whether the claim is significantly worse."""
        return self.ratio > 1.0 and self.chance <= SIGNIFICANT

    @property
    def better(self) -> bool:
        """Whether the claim is significantly better."""
        return self.ratio < 1.0 and self.chance <= SIGNIFICANT

    @property
    def confidence(self) -> float:
        """How sure it is that the two differ."""
        return 1.0 - self.chance

    def __str__(self) -> str:
        word = "worse" if self.worse else "better" if self.better else "not told apart"
        return (
            f"{word}: {self.claim.share:.3g} of eager {self.dtype}'s rounding beside the "
            f"yardstick's {self.yardstick.share:.3g}, ratio {self.ratio:.3g}, confidence "
            f"{100 * self.confidence:.3g} %; {_ulps(self.claim)}, the yardstick "
            f"{_ulps(self.yardstick)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        verdicts = {"worse": self.worse, "better": self.better, "confidence": self.confidence}
        return asdict(self) | verdicts


def _ulps(accuracy: Accuracy) -> str:
    place = f"{accuracy.leaf or 'params'}{list(accuracy.index) if accuracy.index else ''}"
    return f"{accuracy.ulps:.3g} ULP rms and {accuracy.worst_ulps:.3g} at worst ({place})"


def compare_accuracy(
    rounding: Rounding,
    claimed: Sequence[np.ndarray],
    yardstick: Sequence[np.ndarray],
    names: Sequence[str] | None = None,
) -> Yardstick:
    """Return which of two gradients is nearer to the truth, and whether by more than chance.

    Eager's own randomly rounded runs say what chance is: of two runs, one is worse than the other
    by such a ratio in a share of all pairs.
    claimed, yardstick: one float64 array for each leaf
    names: of the leaves, where they are others than the rounding's
    """
    names = names or [leaf.name for leaf in rounding.leaves]
    one, other = (_accuracy(rounding, arrays, names) for arrays in (claimed, yardstick))
    ratio = _quotient(one.share, other.share)
    shares = np.sqrt(
        np.mean(
            [
                np.sum(leaf.errors.reshape(rounding.runs, -1) ** 2, axis=1) / leaf.leaf**2
                for leaf in rounding.leaves
                if 0.0 < leaf.leaf < np.inf
            ]
            or [np.zeros(rounding.runs)],
            axis=0,
        )
    )
    pairs = [
        _quotient(float(a), float(b))
        for i, a in enumerate(shares)
        for j, b in enumerate(shares)
        if i != j
    ]
    apart = max(ratio, _quotient(1.0, ratio))
    chance = (1 + sum(pair >= apart for pair in pairs)) / (1 + len(pairs))
    return Yardstick(one, other, ratio, chance, rounding.dtype, rounding.runs)


def _quotient(part: float, whole: float) -> float:
    if whole > 0.0:
        return part / whole
    return 1.0 if part == whole else float("inf")


def _accuracy(rounding: Rounding, arrays: Sequence[np.ndarray], names: Sequence[str]) -> Accuracy:
    shares, ulps = [], []
    worst = -1.0
    where: tuple[str, tuple[int, ...]] = ("", ())
    for leaf, array, name in zip(rounding.leaves, arrays, names, strict=True):
        error = np.nan_to_num(np.abs(np.asarray(array) - leaf.truth), nan=np.inf)
        if 0.0 < leaf.leaf < np.inf:
            shares.append(float(np.linalg.norm(error)) / leaf.leaf)
        in_ulps = error / unit_in_the_last_place(leaf.truth, leaf.dtype)
        ulps.append(in_ulps.reshape(-1))
        if in_ulps.size and in_ulps.max() > worst:
            worst = float(in_ulps.max())
            index = np.unravel_index(int(np.argmax(in_ulps)), in_ulps.shape)
            where = (name, tuple(int(i) for i in index))
    every = np.concatenate(ulps) if ulps else np.zeros(0)
    return Accuracy(
        share=float(np.sqrt(np.mean(np.square(shares)))) if shares else 0.0,
        ulps=float(np.sqrt(np.mean(every**2))) if every.size else 0.0,
        worst_ulps=max(worst, 0.0),
        leaf=where[0],
        index=where[1],
    )


def unit_in_the_last_place(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return the spacing of the dtype's numbers at each value, that of subnormals at least."""
    exponent = np.frexp(values)[1] - 1
    spacing: np.ndarray = np.ldexp(2 * UNIT_ROUNDOFF[dtype], exponent)
    return np.maximum(np.where(values == 0.0, 0.0, spacing), SMALLEST_SUBNORMAL[dtype])
