"""Whether structured differences agree with the plain loop, at some entries of a leaf."""

from dataclasses import dataclass

import numpy as np

from .chunks import Problem, loss_at, unperturbed_loss

EPSILON = float(np.finfo(np.float64).eps)
RELATIVE_TOLERANCE = 1e-6
# How often f is rounded on the way, in units of eps |f|.
ROUNDINGS = 100
# An f that cancels larger terms shows its round-off in nearby values.
NEARBY_VALUES = 8
NOISE_MARGIN = 10


@dataclass(frozen=True)
class Sample:
    """Differences by the plain loop at some entries, flat indices, of one leaf."""

    leaf: int
    entries: np.ndarray
    differences: np.ndarray

    @classmethod
    def of(cls, problem: Problem, leaf: int, entries: np.ndarray) -> "Sample":
        return cls(leaf, entries, problem.loop(leaf, entries))

    def disagreement(self, problem: Problem, values: np.ndarray) -> str | None:
        """Say where values at these entries differ from the loop's by more than round-off."""
        for entry, expected, got in zip(self.entries, self.differences, values, strict=True):
            if np.array_equal(got, expected, equal_nan=True):
                continue
            difference = abs(got - expected) - RELATIVE_TOLERANCE * abs(expected)
            step = abs(problem.steps[self.leaf].flat[entry])
            if difference * step <= ROUNDINGS * EPSILON * abs(unperturbed_loss(problem)):
                continue
            if difference * step <= NOISE_MARGIN * _noise(problem, self.leaf, int(entry)):
                continue
            index = np.unravel_index(entry, problem.leaves[self.leaf].shape)
            return (
                f"at index {tuple(map(int, index))} they give {got!r}, the plain loop {expected!r}"
            )
        return None


def _noise(problem: Problem, leaf: int, entry: int) -> float:
    """Return how much f varies where its entry does by no more than a few roundings."""
    start = problem.leaves[leaf].flat[entry]
    shifts = np.arange(NEARBY_VALUES) * EPSILON * max(abs(start), EPSILON)
    losses = [loss_at(problem, leaf, entry, start + shift) for shift in shifts]
    return max(losses) - min(losses)
