"""Other ways to the same gradient inside one backend, and where they lead elsewhere."""

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.precision import EPSILON
from gradparity.backends.pytrees import PyTree, flatten, private_numpy, unflatten

from ..checking.checker import GradientChecker
from ..engines.engines import Answer, Engine, Point
from ..verdicts import Suspect, Verdict
from .comparison import SecondOpinion

Entry: TypeAlias = tuple[int, int]
"""The position of a leaf, and a flat index into it."""

FORWARD_MODE = "forward mode"
# So few entries are pushed forward one by one where some of them are no numbers.
FEW_ENTRIES = 32
# Round-off of a sum over a network: some hundreds of roundings of its absolute terms.
ROUNDINGS = 1_000
# A wrong rule shows in any entry that differs; slopes of f are measured for each of them.
MOST_ENTRIES = 3

Differences: TypeAlias = tuple[tuple[Entry, float], ...]
"""Entries where another way says something else, and what; the worst ones."""


def hear_other_ways(
    engine: Engine, checker: GradientChecker, given: Answer, point: Point, seed: int
) -> Iterator[tuple[SecondOpinion, tuple[Suspect, ...]]]:
    """Yield what each other way of the backend says, and its wrong entries if it is wrong.

    given: the backend's own gradient in float64; ways that f does not admit are left out
    """
    candidate = given.read(checker.function)
    if candidate.problems:
        return
    finite = all(np.isfinite(leaf).all() for leaf in candidate.slopes)
    regular = finite and checker.directions.kinds <= {"smooth"}
    for name, found in _other_ways(engine, point, candidate.slopes, seed):
        if name == FORWARD_MODE and not regular:
            # Forward mode adds up 0 * inf from an infinite slope at any other entry.
            found = tuple((entry, slope) for entry, slope in found if not math.isnan(slope))
        ways = {}
        if found:
            ways = {"its gradient": None, name: dict(found)}
        wrong, suspects = [], []
        for way, changed in ways.items():
            check = _check_entries(checker, candidate.slopes, [e for e, _ in found], changed or {})
            if check.verdict is Verdict.DIFFER:
                wrong.append(way)
                suspects += [replace(one, backend=engine.label) for one in check.suspects]
        opinion = SecondOpinion(engine.label, name, not found, " and ".join(wrong) or None)
        yield opinion, tuple(suspects)


def _check_entries(
    checker: GradientChecker,
    slopes: Sequence[np.ndarray],
    entries: Sequence[Entry],
    changed: dict[Entry, float],
) -> Any:
    """Check some entries of a gradient, of which some are another way's."""
    leaves = [leaf.copy() for leaf in slopes]
    for (leaf, entry), slope in changed.items():
        leaves[leaf][entry] = slope
    only: list[np.ndarray] = [
        np.array([entry for where, entry in entries if where == leaf], int)
        for leaf in range(len(leaves))
    ]
    shapes = [leaf.shape for leaf in checker.function.leaves]
    shaped = [leaf.reshape(shape) for leaf, shape in zip(leaves, shapes, strict=True)]
    return checker.check(unflatten(checker.function.structure, shaped), only=only)


def _other_ways(
    engine: Engine, point: Point, gradient: Sequence[np.ndarray], seed: int
) -> Iterator[tuple[str, Differences]]:
    backend = engine.backend
    params, args = engine.native(point)
    with warnings.catch_warnings():
        # torch warns where it vectorises less than it might.
        warnings.simplefilter("ignore")
        for name in backend.other_gradients(engine.differentiated):
            found = _differences(engine.differentiated, name, backend, gradient, params, args)
            if found:
                # What was compiled for another call may be of an f that reads other numbers since.
                anew = functools.partial(engine.differentiated)
                found = _differences(anew, name, backend, gradient, params, args)
            if found is not None:
                yield name, found
        if type(backend).pushforward is not Backend.pushforward:
            forward = _Forward(backend, engine.value_of, point, params, args)
            try:
                found = forward.disagreements(gradient, seed)
            except Exception:
                return
            yield FORWARD_MODE, found


def _differences(
    f: ModelFunction,
    name: str,
    backend: Backend,
    gradient: Sequence[np.ndarray],
    params: PyTree,
    args: tuple[PyTree, ...],
) -> Differences | None:
    """Return where a way of the backend differs from its gradient; None where it does not go."""
    try:
        other = backend.other_gradients(f)[name](params, *args)
        leaves = [private_numpy(leaf) for leaf in flatten(other)[0]]
    except Exception:  # not every f can be traced, nor is every rule written twice
        return None
    return _largest_differences(gradient, leaves)


def _largest_differences(
    gradient: Sequence[np.ndarray], other: Sequence[np.ndarray]
) -> Differences:
    found = []
    for position, (mine, theirs) in enumerate(zip(gradient, other, strict=True)):
        theirs = theirs.reshape(-1).astype(np.float64, copy=False)
        for index in _differing_entries(mine, theirs)[:MOST_ENTRIES]:
            found.append(((position, int(index)), float(theirs[index])))
    return tuple(found)


def _differing_entries(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the indices where two flat leaves differ by more than round-off, the worst first.

    Round-off is counted in the largest finite entry; NaN differs from numbers.
    """
    with np.errstate(invalid="ignore"):
        distance = np.abs(first - second)
    farthest = float(distance.max(initial=0.0))
    if farthest <= ROUNDINGS * EPSILON * float(np.abs(first).max(initial=0.0)) < math.inf:
        return np.zeros(0, int)
    finite = np.isfinite(first) & np.isfinite(second)
    size = max((np.abs(leaf[finite]).max(initial=0.0) for leaf in (first, second)), default=0.0)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    distance = np.where(finite, distance, np.where(same, 0.0, np.inf))
    candidates = np.flatnonzero(distance > ROUNDINGS * EPSILON * size)
    return candidates[np.argsort(-distance[candidates], kind="stable")]


@dataclass(frozen=True)
class _Forward:
    """Forward mode along directions, compared with the gradient's inner products."""

    backend: Backend
    f: Callable[..., Any]
    point: Point
    params: PyTree
    args: tuple[PyTree, ...]

    def disagreements(self, gradient: Sequence[np.ndarray], seed: int) -> Differences:
        flat = np.concatenate([leaf.reshape(-1) for leaf in gradient])
        rng = np.random.default_rng(seed)
        if self.point.size <= FEW_ENTRIES and not np.isfinite(flat).all():
            regions = [(index, index + 1) for index in range(self.point.size)]
            weights = np.ones(self.point.size)
        else:
            # Of sizes of their own, so that opposite faults do not cancel.
            regions = [(0, self.point.size)]
            weights = rng.uniform(-1.0, 1.0, self.point.size)
            weights = (weights + np.copysign(1.0, weights)) / 2
        found = [self._search(flat, weights, *region) for region in regions]
        distinct = {entry: slope for few in found for entry, slope in few}
        return tuple((self._entry(index), slope) for index, slope in distinct.items())

    def _search(
        self, flat: np.ndarray, weights: np.ndarray, start: int, stop: int
    ) -> list[tuple[int, float]]:
        """Bisect to the entries in flat[start:stop] where the two modes differ, some of them."""
        pushed = self._pushed(weights, start, stop)
        terms = flat[start:stop] * weights[start:stop]
        round_off = ROUNDINGS * EPSILON * np.abs(terms).sum()
        # False for NaN, as it should be: NaN in one mode is a disagreement.
        if abs(pushed - terms.sum()) <= round_off or (np.isnan(pushed) and np.isnan(terms).any()):
            return []
        if stop - start == 1:
            return [(start, pushed / weights[start])]
        middle = (start + stop) // 2
        found = self._search(flat, weights, start, middle)
        if len(found) < MOST_ENTRIES:
            found += self._search(flat, weights, middle, stop)
        return found

    def _pushed(self, weights: np.ndarray, start: int, stop: int) -> float:
        tangent = np.zeros(self.point.size)
        tangent[start:stop] = weights[start:stop]
        leaves, offset = [], 0
        for leaf in self.point.leaves:
            leaves.append(tangent[offset : offset + leaf.size].reshape(leaf.shape))
            offset += leaf.size
        tree = unflatten(flatten(self.point.params)[1], leaves)
        pushed = self.backend.pushforward(self.f)(
            self.params, self.backend.asarray(tree), *self.args
        )
        return float(private_numpy(pushed[1]))

    def _entry(self, index: int) -> Entry:
        for position, leaf in enumerate(self.point.leaves):
            if index < leaf.size:
                return position, index
            index -= leaf.size
        raise IndexError(index)
