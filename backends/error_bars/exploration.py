"""Decide where a function of one variable has to be sampled to differentiate it at 0."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .fine_structure import discard_roundings, is_noisy
from .one_sided import Reading, read
from .samples import NEIGHBOURS, Samples

# Steps from an eighth of the scale down to 1/250,000 of it show at once where phi is smooth.
LADDER = (3, 6, 9, 12, 15)
# After these the caller is asked: three pairs and five.
QUESTIONS = (9, 15)
FIRST_LOOK = 18
NEXT_LOOK = 12
# A bar as short as this, relative to the derivative, is worth no further evaluation.
GOAL = 1e-8
# A bar as long as this tells hardly more than the sign.
POOR = 0.1
# One-sided derivatives this well known, relative to their difference, are those of a kink at 0:
# the bars of one that is merely near are its distance over the step.
KINK = 1e-6
MOST_EVALUATIONS = 100
MOST_LOOKS = 5


@dataclass(frozen=True)
class Move:
    """Further evaluations: a look at one level, or pairs at several."""

    kind: Literal["look", "coarser", "finer"]
    levels: tuple[float, ...]


def explore(samples: Samples, enough: Callable[[Reading], bool]) -> Reading:
    """Sample until the error bar is short or does not get any shorter, or the caller has enough."""
    reach = samples.step(LADDER[0])
    for rung in LADDER:
        samples.pair(rung)
        if rung in QUESTIONS and enough(reading := read(samples, reach)):
            return reading
    samples.look(FIRST_LOOK)
    reading = read(samples, reach)
    tried: set[Move] = set()
    failures = 0
    while samples.evaluations < MOST_EVALUATIONS and failures < 2:
        move = _next_move(samples, reading, reach)
        if move is None or move in tried:
            break
        tried.add(move)
        for level in move.levels:
            if move.kind == "look":
                samples.look(level)
            else:
                samples.pair(level)
        if move.kind == "look" and discard_roundings(samples, reach):
            reading = read(samples, reach)
            continue
        if reading.error < abs(reading.value) / 2:
            reach = max(reach, _straight(samples, reading))
        before, reading = reading, read(samples, reach)
        if move.kind == "coarser":
            # Far away there may be another straight piece: the bar has to reach back from there.
            shift = abs(reading.value - before.value)
            reading = replace(reading, error=max(reading.error, shift))
            if reading.error >= before.error:
                return before
        if move.kind != "look" and reading.error > before.error / 2:
            failures += 1
    return reading


def is_good(samples: Samples, reading: Reading) -> bool:
    if reading.kink:
        assert reading.left is not None
        assert reading.right is not None
        gap = abs(reading.right.value - reading.left.value)
        return reading.left.error + reading.right.error <= KINK * gap
    if reading.driver is None:
        return False
    rise = samples.rise(reading.driver.coarsest)
    # Where the derivative is 0, the slopes around take its place.
    slope = max(abs(reading.value), rise / reading.driver.coarsest / 10)
    return rise == 0 or reading.error <= GOAL * slope


def _next_move(samples: Samples, reading: Reading, reach: float) -> Move | None:
    """Return what to evaluate next, or nothing to stop."""
    driver = reading.driver
    edge = reading.left is None or reading.right is None
    unresolved = is_noisy(samples, samples.looks[0].noise) and len(samples.looks) < 4
    detached = any(side is not None and side.detached for side in (reading.left, reading.right))
    if edge or unresolved or detached or _contradicted(samples, reading, reach):
        if move := _deeper(samples):
            return move
    if driver is None or is_good(samples, reading):
        return None
    noisy = driver.noise > 0.3 * driver.error
    if reading.kink or not noisy and reading.error > POOR * abs(reading.value):
        return _deeper(samples)
    return _coarser(samples, reading) if noisy else _finer(samples, reading)


def _contradicted(samples: Samples, reading: Reading, reach: float) -> bool:
    """Tell whether only the finest look says what the reading says, and all around it differ."""
    edge = 1.01 * NEIGHBOURS[-1] * samples.looks[0].step
    if reading.driver is None or reading.driver.coarsest > edge:
        return False
    around = read(samples, reach, beyond=edge)
    return abs(around.value - reading.value) > around.error + reading.error


def _straight(samples: Samples, reading: Reading) -> float:
    """Return how far the slopes on both sides are those of the reading, give or take its error."""
    steps = samples.steps()
    straight = np.full(len(steps), True)
    for sign in (-1, 1):
        side = samples.side(sign)
        slopes = sign * (side - samples.origin) / steps[: len(side)]
        straight[: len(side)] &= np.abs(slopes - reading.value) <= reading.error
        straight[len(side) :] = False
    straight[steps <= samples.step(LADDER[0])] = True
    return float(steps[np.logical_and.accumulate(straight)].max(initial=0.0))


def _deeper(samples: Samples) -> Move | None:
    """Look closer, unless at the end of the resolution."""
    deepest, bottom = _level(samples.looks[0].step), _level(samples.finest_step)
    if len(samples.looks) >= MOST_LOOKS or bottom - deepest < NEXT_LOOK / 4:
        return None
    return Move("look", (round(min(deepest + NEXT_LOOK, bottom), 1),))


def _coarser(samples: Samples, reading: Reading) -> Move | None:
    """Lessen the noise with steps beyond the window, or else inside it."""
    assert reading.driver is not None
    steps = samples.steps()
    finest, coarsest = reading.driver.finest, reading.driver.coarsest
    top = _level(coarsest)
    beyond = steps[steps > coarsest]
    if len(beyond) and beyond[0] > 2.5 * coarsest:
        return _pairs("coarser", top, _level(beyond[0]), 2)
    if not len(beyond) or steps[-1] <= 9 * coarsest:
        # As long as nothing but noise is seen, stride out.
        stride = 1 + sum(step > samples.step(LADDER[0]) for step in steps) // 3
        return _pairs("coarser", _level(steps[-1]), _level(steps[-1]) - 4 * stride, 3)
    inside = steps[(steps >= finest) & (steps <= coarsest)]
    for far, near in zip(inside[:0:-1], inside[-2::-1], strict=True):
        if far > 3 * near:
            return _pairs("coarser", _level(far), _level(near), 2)
    return None


def _finer(samples: Samples, reading: Reading) -> Move | None:
    """Lessen the truncation error with steps below the window."""
    assert reading.driver is not None
    steps = samples.steps()
    below = steps[steps < reading.driver.finest]
    if not len(below):
        return _deeper(samples)
    if reading.driver.finest > 2.5 * below[-1]:
        return _pairs("finer", _level(reading.driver.finest), _level(below[-1]), 2)
    return None


def _level(step: float) -> float:
    return -math.log2(step)


def _pairs(kind: Literal["coarser", "finer"], start: float, stop: float, count: int) -> Move:
    """Return pairs at evenly spread levels between two others."""
    levels = np.linspace(start, stop, count + 2)[1:-1]
    return Move(kind, tuple(round(float(level), 1) for level in levels))
