"""Time gradients of nets of growing size, and say which of the measurements can be relied on."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gradparity.models import TwoLayerNet, shrink

from ..drawing.plots import fit_growth
from ..speed.measuring import measure_speed
from ..speed.table import SpeedRow, SpeedTable
from .notebook_loops import NOTEBOOK_DIFFERENCES
from .run import BOOK_NET, BOOK_STEPS, Lesson, count_parameters
from .threads import one_thread

# A gradient comes with the value, so it cannot be cheaper than that alone. The tenth is what the
# quartiles of undisturbed calls leave open.
CHEAPEST = 0.9
# Of the blocks of a row: with fewer disturbed, the quiet ones decide.
MOSTLY_DISTURBED = 0.5
ATTEMPTS = 2
# Backpropagation costs "a few forward passes, whatever the size" up to here.
FEW_PASSES = 10.0
LEVEL_SLOPE = 0.3


@dataclass(frozen=True)
class Cost:
    """What one gradient costs, in seconds and in forward passes.

    ratio: counted for differences, time over time for backpropagation; gradient: seconds, predicted
    where a loop of differences would take too long: its evaluations times what one takes
    disturbed: whether other processes took the cores during most of it, at every attempt
    """

    backend: str
    parameters: int
    gradient: float
    ratio: float
    predicted: bool = False
    disturbed: bool = False

    @property
    def impossible(self) -> bool:
        return self.ratio < CHEAPEST


@dataclass(frozen=True, eq=False)
class Prices:
    """Costs of one gradient by size of the net, and of all gradients of the book's training.

    costs: those that can be; left_out: those that cannot, after all attempts
    bills: seconds of that many steps by backend; predicted: those that were not measured
    """

    costs: Sequence[Cost]
    left_out: Sequence[Cost]
    bills: dict[str, float]
    predicted: frozenset[str]
    steps: int

    @property
    def disturbed(self) -> tuple[Cost, ...]:
        return tuple(cost for cost in self.costs if cost.disturbed)


def price(lesson: Lesson) -> Prices:
    """Time gradients of nets of growing size, and add up the bill for the book's training."""
    sizes = [(7, 2), (28, 50)] if lesson.quick else [(7, 2), (7, 10), (14, 20), (28, 50), (28, 200)]
    # The plain loop: choosing the steps as well would cost some more, the same for every net.
    engines = [
        NOTEBOOK_DIFFERENCES if name == "numerical" else backend
        for name, backend in lesson.backends.items()
    ]
    costs: list[Cost] = []
    for side, hidden in sizes:
        lesson.progress(f"timing {side**2}-{hidden}-10")
        net, digits = TwoLayerNet(side**2, hidden), shrink(lesson.digits, side)
        measure = functools.partial(
            measure_speed,
            net.loss,
            net.init(0),
            digits.train_x[:100],
            digits.train_t[:100],
            backends=engines,
            minimum_time=0.005 if lesson.quick else 0.05,
            time_limit=0.5 if lesson.quick else 2,
        )
        with one_thread():
            costs += steady_costs(measure)
    possible = [cost for cost in costs if not cost.impossible]
    full = [cost for cost in possible if cost.parameters == count_parameters(BOOK_NET)]
    return Prices(
        costs=possible,
        left_out=[cost for cost in costs if cost.impossible],
        bills={cost.backend: BOOK_STEPS * cost.gradient for cost in full},
        predicted=frozenset(cost.backend for cost in full if cost.predicted),
        steps=BOOK_STEPS,
    )


def steady_costs(measure: Callable[[], SpeedTable]) -> list[Cost]:
    """Measure again what is disturbed or impossible; return the best that was seen of each row."""
    best: dict[str, Cost] = {}
    for _ in range(ATTEMPTS):
        for row in measure().rows:
            cost = cost_of(row)
            best[row.backend] = min(best.get(row.backend, cost), cost, key=_doubts)
        if not any(cost.disturbed or cost.impossible for cost in best.values()):
            break
    return list(best.values())


def cost_of(row: SpeedRow) -> Cost:
    """Return what a row says of calls that nobody disturbed."""
    # Others only add to the time of a call: the quickest of many comes nearest to the truth.
    gradient = row.fastest_gradient if row.disturbed else row.gradient
    forward = row.fastest_forward if row.disturbed else row.forward
    counted = row.evaluations > 1
    return Cost(
        backend=row.backend,
        parameters=row.parameters,
        # Of one evaluation there are many measurements, of the sampled loop a few.
        gradient=row.evaluations * forward if row.predicted else gradient,
        ratio=float(row.evaluations) if counted else gradient / forward,
        predicted=row.predicted,
        disturbed=row.disturbed > MOSTLY_DISTURBED,
    )


def _doubts(cost: Cost) -> tuple[bool, bool, float]:
    return cost.impossible, cost.disturbed, cost.gradient


def slope_of(costs: Sequence[Cost]) -> float | None:
    """Return how the forward passes of one backend grow with the parameters; None for one size."""
    fit = fit_growth(costs, "ratio", fit_predicted=True)
    return None if fit is None else fit[0]


def is_linear(costs: Sequence[Cost]) -> bool:
    """Tell whether passes grow in proportion to the parameters."""
    slope = slope_of(costs)
    return slope is not None and math.isclose(slope, 1, abs_tol=0.05)


def is_level(costs: Sequence[Cost]) -> bool:
    """Tell whether a gradient costs a few passes, whatever the size."""
    slope = slope_of(costs)
    few = all(cost.ratio <= FEW_PASSES for cost in costs)
    return few and slope is not None and abs(slope) <= LEVEL_SLOPE
