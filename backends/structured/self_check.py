"""Whether structured differences agree with the plain loop, at some entries of a leaf."""

from dataclasses import dataclass

import numpy as np

from ..precision import EPSILON
from .chunks import Problem
from .recorded_problem import Group

RELATIVE_TOLERANCE = 1e-6
# How often f is rounded on the way, in units of eps |f|.
ROUNDINGS = 100
# An f that cancels larger terms shows its round-off in nearby values.
NEARBY_VALUES = 8
NOISE_MARGIN = 10


@dataclass(frozen=True)
class Sample:
    """Differences by the plain loop at some entries, numbered over all leaves."""

    entries: np.ndarray
    differences: np.ndarray

    @classmethod
    def of(cls, problem: Problem, entries: np.ndarray) -> "Sample":
        return cls(entries, problem.looped(entries))

    def disagreement(self, problem: Problem, values: np.ndarray) -> tuple[int, str] | None:
        """Return a leaf, and how values at these entries differ from the loop's, if they do."""
        leaves, flat = problem.recorded.located(self.entries)
        for place, (expected, got) in enumerate(zip(self.differences, values, strict=True)):
            if np.array_equal(got, expected, equal_nan=True):
                continue
            leaf, entry = int(leaves[place]), int(flat[place])
            difference = abs(got - expected) - RELATIVE_TOLERANCE * abs(expected)
            step = abs(problem.steps[leaf].flat[entry])
            value = abs(problem.recorded.unperturbed_loss)
            if difference * step <= ROUNDINGS * EPSILON * value:
                continue
            if difference * step <= NOISE_MARGIN * _noise(problem, int(self.entries[place])):
                continue
            index = np.unravel_index(entry, problem.recorded.leaves[leaf].shape)
            where = f"at index {tuple(map(int, index))}"
            return leaf, f"{where} they give {got!r}, the plain loop {expected!r}"
        return None


def combined_disagreement(problem: Problem, group: Group) -> str | None:
    """Say whether f differs from what its recording gives where many entries move at once.

    One entry of each leaf moves, by its step: so every leaf of a group is tried, however many
    there are, for one evaluation of f.
    """
    recorded = problem.recorded
    rng = np.random.default_rng(1)
    entries = np.array(
        [
            recorded.starts[leaf] + rng.integers(recorded.leaves[leaf].size)
            for leaf in group
            if recorded.leaves[leaf].size
        ]
    )
    values = problem.points(entries)[0]
    expected = recorded.loss_with(entries, values)
    got = recorded.replayed_with(group, entries, values)
    if got == expected or (np.isnan(got) and np.isnan(expected)):
        return None
    if abs(got - expected) <= ROUNDINGS * EPSILON * abs(recorded.unperturbed_loss):
        return None
    noise = sum(_noise(problem, int(entry)) for entry in entries[:NEARBY_VALUES])
    if abs(got - expected) <= NOISE_MARGIN * noise:
        return None
    return f"with an entry of each leaf moved they give {got!r}, f itself {expected!r}"


def _noise(problem: Problem, entry: int) -> float:
    """Return how much f varies where an entry does by no more than a few roundings."""
    recorded = problem.recorded
    (leaf,), (flat,) = recorded.located(np.asarray([entry]))
    start = recorded.leaves[leaf].flat[flat]
    shifts = np.arange(NEARBY_VALUES) * EPSILON * max(abs(start), EPSILON)
    losses = [recorded.loss_at(entry, start + shift) for shift in shifts]
    return max(losses) - min(losses)
