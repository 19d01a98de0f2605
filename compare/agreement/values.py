"""Whether engines compute one value, and who stands against the others."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from gradparity.backends.precision import UNIT_ROUNDOFF

from ..engines.engines import Engine, Point, answer

# The last few operations of f round the value itself: this many roundings of it are none.
FINAL_ROUNDINGS = 16
# Two algorithms for one function differ by this much of its value: 90 roundings of log_ndtr.
ANOTHER_ALGORITHM = 2.0**-40
# Twice as much float32 noise as was seen at a few points, and room for another algorithm.
SHADOW_MARGIN = 16
NEIGHBOURS = 6
# Rounding errors of neighbouring points scatter around zero; the mean of seven lies within eight
# standard deviations of it except once in 100,000 times.
SYSTEMATIC = 8


def alike_without_casts(values: Sequence[float]) -> bool:
    """Tell whether values agree to the digits of float64, as no cast would have left them."""
    alike = max(values) - min(values) <= ANOTHER_ALGORITHM * abs(values[0])
    return alike and not any(value == float(np.float32(value)) for value in values)


def odd_ones_out(
    engines: Sequence[Engine], values: Sequence[float], point: Point, seed: int
) -> tuple[bool, tuple[str, ...]]:
    """Return whether all values agree, and who stands against a majority of the others.

    Values within a few roundings of each other agree. Others agree where their difference is no
    larger than the round-off of the engines, known from float32 runs, or where it does not
    persist: at neighbouring points a rounding error scatters around zero, a difference between
    two functions stays what it is.
    """
    alike = np.eye(len(engines), dtype=bool)
    for i, j in itertools.combinations(range(len(engines)), 2):
        pair = (engines[i], engines[j])
        alike[i, j] = alike[j, i] = _agree(pair, (values[i], values[j]), point, seed)
    if alike.all():
        return True, ()
    companions = alike.sum(axis=1)
    majority = int(companions.argmax())
    if 2 * companions[majority] <= len(engines):
        return False, ()
    labels = [engine.label for engine in engines]
    return False, tuple(
        label for label, joins in zip(labels, alike[majority], strict=True) if not joins
    )


def _agree(
    pair: tuple[Engine, Engine], values: tuple[float, float], point: Point, seed: int
) -> bool:
    if not all(map(math.isfinite, values)):
        return np.array_equal(values[0], values[1], equal_nan=True)
    difference, size = abs(values[0] - values[1]), max(map(abs, values))
    unit = max(UNIT_ROUNDOFF[engine.backend.dtype] for engine in pair)
    if difference <= max(FINAL_ROUNDINGS * unit, ANOTHER_ALGORITHM) * size:
        return True
    neighbours = _neighbours(point, math.sqrt(2 * unit), seed)
    single = UNIT_ROUNDOFF["float32"]
    noise = max(_float32_noise(engine, neighbours) for engine in pair)
    if difference <= SHADOW_MARGIN * unit / single * noise:
        return True
    nearby = [_value(pair[0], near) - _value(pair[1], near) for near in neighbours]
    return not _is_systematic([values[0] - values[1], *nearby])


def _is_systematic(errors: Sequence[float]) -> bool:
    finite = np.array([error for error in errors if math.isfinite(error)])
    spread = float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0
    return abs(float(np.mean(finite))) > SYSTEMATIC * spread


def _float32_noise(engine: Engine, points: Sequence[Point]) -> float:
    """Return the largest error of float32 runs; 0 where it is unknown."""
    try:
        coarse, fine = engine.in_dtype("float32"), engine.in_dtype("float64")
        errors = [abs(_value(coarse, point) - _value(fine, point)) for point in points]
    except Exception:  # the engine, or f, has no float32; what else is known has to do
        return 0.0
    return max((error for error in errors if math.isfinite(error)), default=0.0)


def _value(engine: Engine, point: Point) -> float:
    return engine.value(point) if engine.differences else answer(engine, point).value


def _neighbours(point: Point, distance: float, seed: int) -> list[Point]:
    rng = np.random.default_rng(seed)

    def moved(leaf: np.ndarray) -> np.ndarray:
        size = np.abs(leaf) if leaf.any() else 1.0
        return leaf + distance * size * rng.uniform(-1, 1, leaf.shape)

    return [point.moved([moved(leaf) for leaf in point.leaves]) for _ in range(NEIGHBOURS)]
