"""How error bars fare on cases with known derivatives: shared by the tests and the benchmark."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gradparity.backends.error_bars import derivative_along
from gradparity.backends.error_bars.estimate import Estimate
from gradparity.compare.scenarios.slopes import KnownSlope

Measured = tuple[tuple[KnownSlope, Estimate], ...]

USEFUL = 1e-6
WRONG = 0.01
CLAIMED = 0.001


@dataclass(frozen=True)
class Figures:
    """Names of the cases that failed in each respect, and calls of f for each case."""

    cases: int
    precise: int
    missed: tuple[str, ...]
    long: tuple[str, ...]
    silent: tuple[str, ...]
    evaluations: tuple[int, ...]
    precise_evaluations: tuple[int, ...]

    @property
    def coverage(self) -> float:
        return 1 - len(self.missed) / self.cases

    @property
    def usefulness(self) -> float:
        return 1 - len(self.long) / self.precise


def measure(cases: Iterable[KnownSlope]) -> Measured:
    return tuple((case, derivative_along(case.f, case.x, case.tangent)) for case in cases)


def figures(found: Measured) -> Figures:
    precise = [(case, one) for case, one in found if case.precise]
    return Figures(
        len(found),
        len(precise),
        tuple(case.name for case, one in found if not covers(one, case)),
        tuple(case.name for case, one in precise if one.error > useful_error(case)),
        tuple(case.name for case, one in found if is_silently_wrong(one, case)),
        tuple(one.evaluations for _, one in found),
        tuple(one.evaluations for _, one in precise),
    )


def covers(estimate: Estimate, case: KnownSlope) -> bool:
    if math.isinf(estimate.error):
        return True
    return all(abs(truth - estimate.value) <= estimate.error for truth in (case.low, case.high))


def useful_error(case: KnownSlope) -> float:
    # Relative to a derivative that is 0 nothing is short; 1e-9 is short beside what f is made of.
    return USEFUL * abs(case.low) or 1e-9


def is_silently_wrong(estimate: Estimate, case: KnownSlope) -> bool:
    if case.low != case.high:
        return False
    off = abs(estimate.value - case.low) > WRONG * abs(case.low)
    return off and estimate.error < CLAIMED * abs(estimate.value)
