"""Other ways to the same gradient inside one backend, and where they lead elsewhere."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.pytrees import flatten, private_numpy, unflatten

from ..checking.checker import Checker
from ..checking.function import Function
from ..checking.result import GradientCheck
from ..checking.thresholds import CONFIRMED, LAST_BITS
from ..engines.engines import Answer, Engine, Point
from ..verdicts import Suspect, Verdict
from .comparison import SecondOpinion

FORWARD = "forward mode"

Entry: TypeAlias = tuple[int, int]
"""The position of a leaf, and a flat index into it."""

Differences: TypeAlias = Mapping[Entry, float]
"""Entries where another way says something else, and what; a few of the worst."""

Heard: TypeAlias = tuple[SecondOpinion, tuple[Suspect, ...]]
"""What another way says, and its wrong entries if it is wrong."""


def hear_other_ways(
    engine: Engine, checker: Checker[Function], given: Answer, point: Point
) -> Iterator[Heard]:
    """Yield what each other way of the backend says; ways that f does not admit are left out.

    given: the backend's own gradient, in float64
    """
    candidate = given.read(checker.function)
    if candidate.problems:
        return
    finite = all(np.isfinite(leaf).all() for leaf in candidate.slopes)
    for way, found in _other_ways(engine, checker, point, candidate.slopes):
        if way == FORWARD and not (finite and checker.directions.kinds <= {"smooth"}):
            # It adds up 0 * inf from an infinite slope at any other entry.
            found = {entry: slope for entry, slope in found.items() if not math.isnan(slope)}
        wrong: list[str] = []
        suspects: list[Suspect] = []
        for name, changed in (("its gradient", {}), (way, found)) if found else ():
            check = _check_entries(checker, candidate.slopes, found, changed)
            if check.verdict is Verdict.DIFFER:
                wrong.append(name)
                suspects += check.suspects
        opinion = SecondOpinion(engine.label, way, not found, " and ".join(wrong) or None)
        yield opinion, tuple(replace(one, backend=engine.label) for one in suspects)


def _check_entries(
    checker: Checker[Function],
    gradient: Sequence[np.ndarray],
    entries: Differences,
    changed: Differences,
) -> GradientCheck:
    """Check some entries of a gradient, of which some are another way's."""
    leaves = [slopes.copy() for slopes in gradient]
    for (leaf, entry), slope in changed.items():
        leaves[leaf][entry] = slope
    only = [
        np.array([entry for where, entry in entries if where == leaf], int)
        for leaf in range(len(leaves))
    ]
    shapes = [leaf.shape for leaf in checker.function.leaves]
    shaped = [leaf.reshape(shape) for leaf, shape in zip(leaves, shapes, strict=True)]
    return checker.check(unflatten(checker.function.structure, shaped), only=only)


def _other_ways(
    engine: Engine, checker: Checker[Function], point: Point, gradient: Sequence[np.ndarray]
) -> Iterator[tuple[str, Differences]]:
    backend, f = engine.backend, engine.differentiated
    native = engine.native(point)
    for way in backend.other_gradients(f):
        found = _of_another(engine, f, way, native, gradient)
        if found:
            # What was compiled for another call may be of an f that reads other numbers since.
            found = _of_another(engine, functools.partial(f), way, native, gradient)
        if found is not None:
            yield way, found
    if type(backend).pushforward is not Backend.pushforward:
        try:
            yield FORWARD, _by_forward_mode(engine, checker, native, gradient)
        except Exception:  # not every rule has one
            return


def _of_another(
    engine: Engine, f: ModelFunction, way: str, native: Any, gradient: Sequence[np.ndarray]
) -> Differences | None:
    """Return where another gradient differs by more than round-off; None where there is none.

    Round-off is counted in the largest entry of a leaf that is finite in both; NaN differs from
    numbers.
    """
    params, args = native
    try:
        other = engine.backend.other_gradients(f)[way](params, *args)
        leaves = [private_numpy(leaf, "float64").reshape(-1) for leaf in flatten(other)[0]]
    except Exception:  # not every f can be traced, nor is every rule written twice
        return None
    found = {}
    for leaf, (mine, theirs) in enumerate(zip(gradient, leaves, strict=True)):
        distance = np.abs(mine - theirs)
        size = np.abs(mine).max(initial=0.0, where=np.isfinite(distance))
        apart = np.flatnonzero(~(distance <= LAST_BITS * size))
        a, b = mine[apart], theirs[apart]
        apart = apart[~((a == b) | (np.isnan(a) & np.isnan(b)))]
        order = np.argsort(-np.nan_to_num(distance[apart], nan=math.inf), kind="stable")
        for entry in apart[order[:CONFIRMED]]:
            found[leaf, int(entry)] = float(theirs[entry])
    return found


def _by_forward_mode(
    engine: Engine, checker: Checker[Function], native: Any, gradient: Sequence[np.ndarray]
) -> Differences:
    """Return where forward mode differs, along directions, from the gradient's inner products."""
    params, args = native
    push = engine.backend.pushforward(engine.value_of)
    leaves, structure = checker.function.leaves, checker.function.structure
    flat, ends = np.concatenate(gradient), np.cumsum([leaf.size for leaf in gradient])
    # Of sizes of their own, so that opposite faults do not cancel.
    drawn = zip(checker.directions.weights(0), leaves, strict=True)
    weights = np.concatenate([weights / leaf.scale for weights, leaf in drawn])

    def search(start: int, stop: int) -> dict[int, float]:
        """Bisect to the entries where the two modes differ, some of them."""
        tangent = np.zeros(flat.size)
        tangent[start:stop] = weights[start:stop]
        parts = zip(np.split(tangent, ends[:-1]), leaves, strict=True)
        tree = unflatten(structure, [part.reshape(leaf.shape) for part, leaf in parts])
        pushed = float(private_numpy(push(params, engine.backend.asarray(tree), *args)[1]))
        terms = flat[start:stop] * weights[start:stop]
        # False for NaN, as it should be: NaN in one mode is a disagreement.
        near = abs(pushed - terms.sum()) <= LAST_BITS * np.abs(terms).sum()
        if near or pushed == terms.sum() or (math.isnan(pushed) and np.isnan(terms).any()):
            return {}
        if stop - start == 1:
            return {start: pushed / weights[start]}
        middle = (start + stop) // 2
        found = search(start, middle)
        return found if len(found) >= CONFIRMED else found | search(middle, stop)

    found = {}
    for index, slope in search(0, flat.size).items():
        leaf = int(np.searchsorted(ends, index, side="right"))
        found[leaf, index - int(ends[leaf] - gradient[leaf].size)] = slope
    return found
