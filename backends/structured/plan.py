"""How to difference a group of leaves: in batches of which size, or in the plain loop.

A few entries are tried both ways. That shows whether the two agree, how much room a copy takes and
how much is computed for it. Costs are counted in array entries, not measured in seconds, so that
the same call takes the same decisions, and gives the same digits, every time.

Whatever is tried is a share of the plain loop: recording f, `RECORDING` of it; trying a group,
`TRIAL` of its part; and a group is differenced by structure only where that costs less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..difference_loop import chunk_size
from ..errors import TooMuchWork
from .chunks import (
    FAILURES,
    Chunk,
    Problem,
    explained,
    structured_differences,
)
from .recorded_problem import SPARE_ROOM, Group, RecordedProblem
from .replay import RULE, Work
from .self_check import Sample, combined_disagreement

# Where arrays are small, recording takes as long as some twenty evaluations of f.
FEWEST_ENTRIES = 100
# How much of the plain loop may be spent on finding out whether there is structure.
TRIAL = 0.15
# A chunk that fails has been in vain, and f that reads values may fail at any of its copies.
WORTH, WORTH_WITH_READS = 0.9, 0.25
CHECKED_ENTRIES = 3
TRIED_ENTRIES = 16
# One array is four megabytes. Smaller ones stay in a core's cache, but calling the rules more often
# takes longer than that saves; of 1, 2, 4 and 8 megabytes this did best on four networks.
BATCH_ENTRIES = 2**19
MOST_COPIES = 2**14


@dataclass(frozen=True)
class Plan:
    """How a group of leaves is differenced.

    sample: what the plain loop gives at some entries, None for a group that it takes whole anyway
    doubt: why the group is left to the plain loop though structured differences might be quicker;
        leaf: whose fault it is, if one was seen
    """

    group: Group
    chunks: list[Chunk]
    sample: Sample | None = None
    doubt: str | None = None
    leaf: int | None = None


def plans(problem: Problem) -> list[Plan]:
    """Group the leaves, try some entries of each group both ways, and choose.

    raises: what f raises in the plain loop
    """
    recorded = problem.recorded
    together = tuple(range(len(recorded.leaves)))
    if recorded.starts[-1] < FEWEST_ENTRIES:
        return [Plan(together, loop_chunks(recorded, together))]
    problem.looped(np.zeros(1, np.intp))  # where f itself fails, it does so here
    try:
        groups = recorded.groups
    except TooMuchWork:
        return [Plan(together, loop_chunks(recorded, together))]
    except FAILURES as error:
        return [Plan(together, loop_chunks(recorded, together), doubt=explained(error))]
    return [plan_group(problem, group) for group in groups]


def plan_group(problem: Problem, group: Group) -> Plan:
    """Try some entries of a group both ways, and choose.

    raises: what f raises in the plain loop
    """
    recorded = problem.recorded
    size, looped = recorded.size(group), Plan(group, loop_chunks(recorded, group))
    plain = 2 * size * recorded.recording.effort
    steps = len(recorded.program(group).steps)
    tried = _tried(recorded, group, min(TRIED_ENTRIES, max(size // 16, 1)))
    roomy = 2 * len(tried) * recorded.recording.effort < _room(recorded)
    many = len(group) > CHECKED_ENTRIES  # more leaves than are tried one by one
    # Runs of the rules: the trial, one of one entry before it, and one of all leaves together.
    if RULE * steps * (1 + (not roomy) + many) > TRIAL * plain:
        return looped
    sample = Sample.of(problem, tried[:CHECKED_ENTRIES])
    try:
        if not roomy:  # one entry shows how many there is room for
            _, work = structured_differences(problem, group, tried[:1], TRIAL * plain)
            tried = tried[: max(_copies_in_memory(recorded, work) // 2, 1)]
        differences, work = structured_differences(problem, group, tried, TRIAL * plain)
        sample = Sample(tried[:CHECKED_ENTRIES], sample.differences[: len(tried)])
        found = sample.disagreement(problem, differences[:CHECKED_ENTRIES])
        if found is None and many:
            together = combined_disagreement(problem, group)
            found = (group[0], together) if together else None
    except TooMuchWork:
        return looped
    except FAILURES as error:  # the plain loop has shown that f is not to blame
        return Plan(group, looped.chunks, sample, explained(error))
    if found is not None:
        return Plan(group, looped.chunks, sample, found[1], found[0])
    batch = _batch(recorded, group, work)
    if not batch:
        return looped
    edges = recorded.batch_edges(group, batch)
    return Plan(group, _grouped(recorded, group, edges, structured=True), sample)


def loop_chunks(recorded: RecordedProblem, group: Group) -> list[Chunk]:
    return _grouped(recorded, group, range(recorded.size(group) + 1), structured=False)


def _tried(recorded: RecordedProblem, group: Group, count: int) -> np.ndarray:
    """Return the same entries in every call, in no pattern that the leaves might share.

    The first are of a leaf each, as far as they go.
    """
    rng = np.random.default_rng(0)
    leaves = [leaf for leaf in group if recorded.leaves[leaf].size]
    entries = recorded.starts[group[0]] + rng.integers(0, recorded.size(group), count)
    if len(leaves) > 1:
        each = leaves[: min(count, CHECKED_ENTRIES)]
        entries[: len(each)] = [
            recorded.starts[leaf] + rng.integers(recorded.leaves[leaf].size) for leaf in each
        ]
    return np.asarray(entries)


def _grouped(
    recorded: RecordedProblem, group: Group, edges: Sequence[int], structured: bool
) -> list[Chunk]:
    """Join batches to chunks that make a smooth progress bar and can be shared among workers."""
    target = chunk_size(int(recorded.starts[-1]))
    chunks, first = [], 0
    for last in range(1, len(edges)):
        if edges[last] - edges[first] >= target or last == len(edges) - 1:
            inner = edges[first : last + 1] if structured else (edges[first], edges[last])
            chunks.append(Chunk(group, tuple(map(int, inner)), structured))
            first = last
    return chunks


def _batch(recorded: RecordedProblem, group: Group, work: Work) -> int:
    """Return how many entries to evaluate at once, or 0 where the plain loop would cost less."""
    quickest = BATCH_ENTRIES * work.copies // max(work.largest, 1)
    copies = min(MOST_COPIES, quickest, _copies_in_memory(recorded, work))
    size, program = recorded.size(group), recorded.program(group)
    batch = max(min(copies // 2, size), 1)
    rules = RULE * len(program.steps) * -(-size // batch)
    structured = 2 * size * work.computed / work.copies + rules
    worth = WORTH_WITH_READS if program.reads else WORTH
    return batch if structured < worth * 2 * size * recorded.recording.effort else 0


def _copies_in_memory(recorded: RecordedProblem, work: Work) -> int:
    return int(_room(recorded) * work.copies / max(work.held, 1))


def _room(recorded: RecordedProblem) -> float:
    """Return how many array entries may be held at once."""
    return recorded.max_bytes / (SPARE_ROOM * np.dtype(np.float64).itemsize)
