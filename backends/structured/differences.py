"""Full numerical gradients without two evaluations of the function for each parameter.

The differences are the central ones of the plain loop, of the same function values up to round-off;
only the values are computed for many perturbed copies of the parameters together, and without what
does not differ between them (`perturbed_array` says how). The plain loop stays the judge: it takes
some entries of every leaf before and after, and all of a leaf where structured differences
disagree with it, cannot be had, or would cost more.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from ..errors import StructureInDoubt
from ..pytrees import PyTree, flatten, leaf_names, unflatten
from .chunks import Chunk, Differences, Problem, chunk_entries, difference_chunk
from .plan import loop_chunks, plans

ChunkMap = Callable[[Callable[[Chunk], Differences], Sequence[Chunk]], Iterable[Differences]]


def structured_gradient(
    problem: Problem,
    progress: Callable[[int, int], None] | None = None,
    chunk_map: ChunkMap = map,
) -> PyTree:
    """Return (f(x + h e_i) - f(x - h e_i)) / 2h for every entry i of params, a pytree like params.

    progress: called with (entries done, entries in all)
    chunk_map: maps a function over independent chunks, in order, as `map` does; it may send them to
        threads, or to processes if f can be pickled
    warns: StructureInDoubt, naming the leaf and the reason, where the plain loop was taken because
        structured differences failed or disagreed with it
    raises: what f raises
    """
    recorded = problem.recorded
    total = int(recorded.starts[-1])
    gradient = np.empty(total)
    doubts: dict[int, str] = {}

    def sweep(chunks: Sequence[Chunk], done: int) -> None:
        swept = chunk_map(partial(difference_chunk, problem), chunks)
        for chunk, differences in zip(chunks, swept, strict=True):
            gradient[chunk_entries(problem, chunk)] = differences.values
            if differences.doubt:
                doubts[chunk.group[0]] = differences.doubt
            done += chunk.edges[-1] - chunk.edges[0]
            if progress is not None:
                progress(done, total)

    chosen = plans(problem)
    sweep([chunk for plan in chosen for chunk in plan.chunks], 0)
    for plan in chosen:
        if plan.doubt:
            doubts[plan.group[0] if plan.leaf is None else plan.leaf] = plan.doubt
        elif plan.sample is not None:
            found = plan.sample.disagreement(problem, gradient[plan.sample.entries])
            if found is not None:
                doubts[found[0]] = found[1]
                sweep(loop_chunks(recorded, plan.group), total - recorded.size(plan.group))
    for leaf, doubt in doubts.items():
        warnings.warn(
            f"leaf {leaf_names(recorded.params)[leaf] or 'params'}: structured differences are in "
            f"doubt, and the plain loop is used: {doubt}; method='loop' uses it from the start",
            StructureInDoubt,
            stacklevel=2,
        )
    leaves, structure = flatten(recorded.params)
    parts = np.split(gradient, recorded.starts[1:-1])
    return unflatten(
        structure, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    )
