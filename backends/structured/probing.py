"""Values of f for choosing steps, of many leaves at once where f has so many."""

import numpy as np

from ..precision import EPSILON
from ..step_size import Losses, moved_losses
from .chunks import FAILURES
from .recorded_problem import Group, RecordedProblem
from .replay import RULE
from .self_check import ROUNDINGS

# With fewer leaves, probing them takes a small share of the plain loop.
MANY_LEAVES = 16
CHECKED_VALUES = 3
# Evaluating the rules must not take more than this share of evaluating f itself.
WORTH = 0.5


def structured_losses(recorded: RecordedProblem) -> Losses:
    """Return `Losses` that are evaluated together for the leaves of a group of many."""
    plain = moved_losses(recorded.f, recorded.params, recorded.args)
    if len(recorded.leaves) < MANY_LEAVES:
        return plain

    def losses(entries: np.ndarray, values: np.ndarray) -> np.ndarray:
        try:
            groups = recorded.groups
        except FAILURES:  # the plan will say so
            return plain(entries, values)
        found = np.empty(len(entries))
        for group in groups:
            first, end = recorded.starts[group[0]], recorded.starts[group[-1] + 1]
            here = np.flatnonzero((first <= entries) & (entries < end))
            if not len(here):
                continue
            replayed = _replayed(recorded, group, entries[here], values[here], plain)
            found[here] = plain(entries[here], values[here]) if replayed is None else replayed
        return found

    return losses


def _replayed(
    recorded: RecordedProblem, group: Group, entries: np.ndarray, values: np.ndarray, plain: Losses
) -> np.ndarray | None:
    """Return the losses by the rules, or None where they fail, are wrong or cost too much."""
    effort = WORTH * len(entries) * recorded.recording.effort
    if len(group) == 1 or RULE * len(recorded.program(group).steps) > effort:
        return None
    try:
        losses, _ = recorded.losses(group, entries, values, effort)
    except FAILURES:
        return None
    checked = np.linspace(0, len(entries) - 1, CHECKED_VALUES).astype(int)
    expected = plain(entries[checked], values[checked])
    rounding = ROUNDINGS * EPSILON * np.maximum(np.abs(expected), abs(recorded.unperturbed_loss))
    agree = (np.abs(losses[checked] - expected) <= rounding) | (
        np.isnan(losses[checked]) & np.isnan(expected)
    )
    return losses if agree.all() else None
