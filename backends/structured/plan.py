"""How to difference one leaf: in batches of which size, or in the plain loop.

A few entries are tried both ways. That shows whether the two agree, how much room a copy takes and
how much is computed for it. Costs are counted in array entries, not measured in seconds, so that
the same call takes the same decisions, and gives the same digits, every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .chunks import (
    SPARE_ROOM,
    Chunk,
    Problem,
    batch_edges,
    explained,
    structured_differences,
)
from .replay import Work, whole_effort
from .self_check import Sample

# In a smaller leaf, looking for structure takes about as long as the plain loop.
SMALL_LEAF = 16
CHECKED_ENTRIES = 3
TRIED_ENTRIES = 16
# One array is four megabytes. Smaller ones stay in a core's cache, but calling the rules more often
# takes longer than that saves; of 1, 2, 4 and 8 megabytes this did best on four networks.
BATCH_ENTRIES = 2**19
MOST_COPIES = 2**14
# As many chunks make a smooth progress bar and can be shared among workers.
CHUNKS = 200
# What evaluating a rule takes besides its blocks, in entries of an elementwise function.
RULE = 30_000


@dataclass(frozen=True)
class Plan:
    """How one leaf is differenced.

    sample: what the plain loop gives at some entries, None for a leaf that it takes whole anyway
    doubt: why the leaf is left to the plain loop though structured differences might be quicker
    """

    chunks: list[Chunk]
    sample: Sample | None = None
    doubt: str | None = None


def plan_leaf(problem: Problem, leaf: int) -> Plan:
    """Try some entries of a leaf both ways, and choose.

    raises: what f raises in the plain loop
    """
    size = problem.leaves[leaf].size
    if size < SMALL_LEAF:
        return Plan(loop_chunks(problem, leaf))
    # The same entries in every call, in no pattern that the array might share.
    tried = np.random.default_rng(0).integers(0, size, min(TRIED_ENTRIES, size // SMALL_LEAF))
    sample = Sample.of(problem, leaf, tried[:CHECKED_ENTRIES])
    try:
        # One entry shows how many there is room for.
        _, work = structured_differences(problem, leaf, tried[:1])
        tried = tried[: max(_copies_in_memory(problem, leaf, work) // 2, 1)]
        differences, work = structured_differences(problem, leaf, tried)
        sample = Sample(leaf, tried[:CHECKED_ENTRIES], sample.differences[: len(tried)])
        doubt = sample.disagreement(problem, differences[:CHECKED_ENTRIES])
    except Exception as error:  # whatever it is: the plain loop has shown that f is not to blame
        return Plan(loop_chunks(problem, leaf), sample, explained(error))
    batch = 0 if doubt else _batch(problem, leaf, work)
    if not batch:
        return Plan(loop_chunks(problem, leaf), sample, doubt)
    edges = batch_edges(problem.leaves[leaf].shape, batch)
    return Plan(_grouped(problem, leaf, edges, structured=True), sample)


def loop_chunks(problem: Problem, leaf: int) -> list[Chunk]:
    edges = range(problem.leaves[leaf].size + 1)
    return _grouped(problem, leaf, edges, structured=False)


def _grouped(problem: Problem, leaf: int, edges: Sequence[int], structured: bool) -> list[Chunk]:
    """Join batches to chunks of about a two-hundredth of all entries."""
    target = sum(array.size for array in problem.leaves) // CHUNKS
    chunks, first = [], 0
    for last in range(1, len(edges)):
        if edges[last] - edges[first] >= target or last == len(edges) - 1:
            inner = edges[first : last + 1] if structured else (edges[first], edges[last])
            chunks.append(Chunk(leaf, tuple(map(int, inner)), structured))
            first = last
    return chunks


def _batch(problem: Problem, leaf: int, work: Work) -> int:
    """Return how many entries to evaluate at once, or 0 where the plain loop would cost less."""
    quickest = BATCH_ENTRIES * work.copies // max(work.largest, 1)
    copies = min(MOST_COPIES, quickest, _copies_in_memory(problem, leaf, work))
    batch = max(copies // 2, 1)
    steps = len(problem.programs[leaf].steps)
    structured = work.computed / work.copies + RULE * steps / (2 * batch)
    return batch if structured < whole_effort(problem.recording.operations) else 0


def _copies_in_memory(problem: Problem, leaf: int, work: Work) -> int:
    room = problem.max_bytes / (SPARE_ROOM * problem.leaves[leaf].itemsize)
    return int(room * work.copies / max(work.held, 1))
