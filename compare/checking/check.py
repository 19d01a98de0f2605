"""Check any gradient against error-barred differences, and name the entries that are wrong."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.pytrees import PyTree, flatten, is_array

from .black_box import BlackBox
from .candidate import read_candidate
from .gradient_check import GradientCheck, conclude
from .meter import Meter
from .recognition import Recognition
from .settling import CONFIRMING_ROUND, settle
from .trial import Trial

__all__ = ["Arbiter", "GradientCheck", "check_gradient"]

# Calls of f after which searches end; clearing a right gradient of a smooth f takes under 100.
MOST_EVALUATIONS = 5000


def check_gradient(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    gradient: PyTree | Callable[..., PyTree],
    seed: int = 0,
    backend: str | Backend | None = None,
    tolerance: PyTree | None = None,
) -> GradientCheck:
    """Judge a gradient of f(params, *args) by differences of f, down to their error bars.

    f: any function that returns one real number, over the array API or a framework's own; it is
        evaluated as it is, in float64, on arrays of the framework that params belong to
    gradient: a pytree like params, of any framework's arrays, or `callable(params, *args)` that
        returns one; round-off is granted in its own dtype
    seed: of the random directions; backend: who evaluates f, where params do not tell
    tolerance: absolute, a pytree like params, instead of the round-off of the gradient's dtype
    raises: InvalidParameters, NonScalarLoss, ImpureFunction, FunctionFailed
    """
    return Arbiter(f, params, *args, seed=seed, backend=backend).check(gradient, tolerance)


class Arbiter:
    """Judges candidates for the gradient of one function at one point.

    What is measured of single entries of f serves every candidate.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        params: PyTree,
        *args: PyTree,
        seed: int = 0,
        backend: str | Backend | None = None,
        most_evaluations: int = MOST_EVALUATIONS,
    ) -> None:
        self.black_box = BlackBox(f, params, args, backend)
        self.meter = Meter(self.black_box, seed, most_evaluations)
        shapes = [np.shape(leaf) for leaf in flatten((params, args))[0] if is_array(leaf)]
        self._recognise = Recognition(
            (length for shape in shapes for length in shape), CONFIRMING_ROUND
        )

    def check(
        self, gradient: PyTree | Callable[..., PyTree], tolerance: PyTree | None = None
    ) -> GradientCheck:
        """Return the verdict on one candidate; its `evaluations` are those since the last one."""
        if callable(gradient):
            gradient = self.black_box.call(gradient)
        names, shapes = self.black_box.names, [leaf.shape for leaf in self.black_box.leaves]
        candidate = read_candidate(gradient, names, shapes)
        bounds = None if tolerance is None else read_candidate(tolerance, names, shapes).leaves
        trial = Trial(self.meter, candidate, bounds)
        if math.isfinite(self.black_box.value):
            settle(trial, candidate, self._recognise)
        return conclude(trial, candidate, self.meter.since_last())
