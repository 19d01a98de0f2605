"""The scatter of randomly rounded gradients about the true one: what rounding can explain."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from ..precision import UNIT_ROUNDOFF
from .instrument import SMALLEST_SUBNORMAL

CONFIDENCE = 0.95


def scatter_margin(runs: int, confidence: float = CONFIDENCE) -> float:
    """Return by which factor a scatter of so many runs may be too small, at that confidence.

    The sum of squares of `runs` centred normal errors over their variance follows chi-squared
    (Sohier, De Oliveira Castro, Févotte et al., "Confidence intervals for stochastic arithmetic",
    arXiv 1807.09655, section 3); its quantile is Wilson and Hilferty's, good to 1 % from 4 runs on.
    """
    z = NormalDist().inv_cdf(1 - confidence)
    quantile = runs * (1 - 2 / (9 * runs) + z * math.sqrt(2 / (9 * runs))) ** 3
    return math.sqrt(runs / quantile)


@dataclass(frozen=True)
class LeafRounding:
    """The errors of one leaf in every run, against the float64 gradient at the same inputs.

    truth: the float64 gradient; errors: run by run along the first axis, infinite where a run
    overflowed; eager: the error of the run without random rounding; dtype: the leaf's
    """

    name: str
    dtype: str
    truth: np.ndarray
    errors: np.ndarray
    eager: np.ndarray

    @property
    def entry(self) -> np.ndarray:
        """The root mean square error of each entry, at least that of one rounding to the dtype."""
        scatter: np.ndarray = np.maximum(root_mean_square(self.errors, axis=0), self.one_rounding)
        return scatter

    @property
    def one_rounding(self) -> np.ndarray:
        """The largest error of rounding each entry of the truth to the leaf's dtype, once."""
        unit, smallest = UNIT_ROUNDOFF[self.dtype], SMALLEST_SUBNORMAL[self.dtype]
        absolute = np.where(self.truth == 0.0, 0.0, smallest)
        rounded: np.ndarray = np.maximum(unit * np.abs(self.truth), absolute)
        return rounded

    @property
    def leaf(self) -> float:
        """The root mean square, over the runs, of the norm of the leaf's error."""
        return float(np.linalg.norm(self.entry))

    def along(self, direction: np.ndarray) -> float:
        """Return the root mean square of the errors' sums, each entry times its weight."""
        sums = np.tensordot(self.errors, direction, axes=direction.ndim)
        return float(root_mean_square(sums, axis=0))


@dataclass(frozen=True)
class Rounding:
    """How far rounding alone moves the gradient of f in its own dtype.

    leaves: in the order of the parameters' leaves; values: errors of f's own outputs, in the same
    form; backend: the framework that ran it; casts: what had to be ignored for the true gradient
    rounded_to: the dtypes that f rounds to, the coarsest last
    """

    backend: str
    dtype: str
    runs: int
    seed: int
    leaves: tuple[LeafRounding, ...]
    values: tuple[LeafRounding, ...]
    casts: tuple[Any, ...]
    rounded_to: tuple[str, ...]
    again: Callable[[int], "Rounding"] = field(repr=False, compare=False)

    confidence = CONFIDENCE

    @property
    def margin(self) -> float:
        """The factor by which the scatter may be too small, at the confidence."""
        return scatter_margin(self.runs, self.confidence)

    def with_runs(self, runs: int) -> "Rounding":
        """Return the measurement with that many runs in all; those that were taken are kept."""
        return self if runs <= self.runs else self.again(runs)


def root_mean_square(errors: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the root of the mean of squares without overflow; NaN counts as infinite."""
    sizes = np.nan_to_num(np.abs(errors), nan=np.inf, posinf=np.inf)
    largest = np.max(sizes, axis=axis, keepdims=True, initial=0.0)
    scale = np.where((largest > 0.0) & np.isfinite(largest), largest, 1.0)
    mean = np.sqrt(np.mean((sizes / scale) ** 2, axis=axis, keepdims=True)) * scale
    return np.asarray(np.squeeze(mean, axis=axis) if axis is not None else mean.reshape(()))
