"""What each section of the lesson finds out; the pages are written from this alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.error_bars.estimate import Estimate
from gradparity.models import DescentPath, TrainingRun

from ..checking.result import GradientCheck
from ..checking.taylor import TaylorTest

Function = Callable[[Any], Any]
Floats = NDArray[np.float64]
# An array of numbers by the name of the backend that found them.
ByBackend = Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Differences:
    """Slopes of f at some x: exact, and by forward and central differences of step h."""

    f: Function
    h: float
    exact: Mapping[float, float]
    forward: Mapping[float, float]
    central: Mapping[float, float]


@dataclass(frozen=True, eq=False)
class StepSizes:
    """Relative errors of differences of f at x.

    steps: from large to small; errors: along them, by the name of formula and dtype
    best: the step that theory calls best, by dtype
    truncation, round_off: relative, in theory, the latter by dtype
    estimate: the arbiter's derivative, in the units of `exact`
    viewed: the step h of the microscope; positions: (point - x) / h; view: by dtype,
        (f(point) - f(x)) / (h f'(x))
    proven: to how many digits a proof encloses the derivative, which the errors are then measured
        from; None without python-flint
    """

    steps: Floats
    errors: Mapping[str, Floats]
    best: Mapping[str, float]
    truncation: Floats
    round_off: Mapping[str, Floats]
    exact: float
    estimate: Estimate
    viewed: float
    positions: Floats
    view: Mapping[str, Floats]
    proven: int | None = None


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of f at points, shape (2, N), and at a few named points."""

    f: Function
    points: Floats
    at_points: ByBackend
    named: Mapping[tuple[float, float], ByBackend]


@dataclass(frozen=True, eq=False)
class Descents:
    """Paths from the same start.

    paths: by learning rate; runaways: with a rate that is too large, by backend
    growth: what the distance should be after each step there; stalled: that of the notebooks' loop
    shared, own: the ends of the notebooks' two runs, in one array and each in its own
    """

    f: Function
    paths: Mapping[float, DescentPath]
    runaways: Mapping[str, DescentPath]
    growth: Floats
    stalled: Floats
    rates: tuple[float, float]
    shared: tuple[Floats, Floats]
    own: tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Losses:
    """Two losses of one answer, by label; and what pulls a wrong answer back, over logit gaps.

    pulls: by loss ("offset loss", "stable loss") and backend; exact: their closed forms
    """

    answer: Floats
    squares: Mapping[int, float]
    entropies: Mapping[int, float]
    gaps: Floats
    exact: Mapping[str, Floats]
    pulls: Mapping[str, ByBackend]


@dataclass(frozen=True, eq=False)
class SixWeights:
    """The net of six weights: scores, loss and gradients, and the loss while one weight moves.

    moved_losses: with the weight at `entry` moved by each of shifts; `by` is one of them
    """

    weights: Floats
    scores: Floats
    loss: float
    gradients: ByBackend
    entry: tuple[int, int]
    shifts: Floats
    moved_losses: Floats
    by: float

    @property
    def loss_after(self) -> float:
        return float(np.interp(self.by, self.shifts, self.moved_losses))


@dataclass(frozen=True, eq=False)
class Trainings:
    """The small net by all backends, the book's net by those that differentiate.

    images: some test digits, shape (N, side, side), and what the best net reads in them
    units: weights into some hidden units, shape (N, side, side)
    digits: how many training and test digits the book's net was tried on
    """

    race: Mapping[str, TrainingRun]
    book: Mapping[str, TrainingRun]
    images: Floats
    read: Sequence[int]
    truth: Sequence[int]
    units: Floats
    digits: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Checks:
    """What the checker and the Taylor test say of a right and of a wrong gradient."""

    right: GradientCheck
    wrong: GradientCheck
    right_taylor: TaylorTest
    wrong_taylor: TaylorTest


@dataclass(frozen=True, eq=False)
class Kink:
    """A function at a kink: the slopes on both sides, and what each backend answers."""

    name: str
    f: Function
    one_sided: tuple[float, float]
    answers: Mapping[str, float]
