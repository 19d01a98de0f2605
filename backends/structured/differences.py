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
from typing import Any

import numpy as np

from ..errors import StructureInDoubt
from ..pytrees import PyTree, flatten, leaf_names, unflatten
from .chunks import (
    Chunk,
    Differences,
    Loop,
    Problem,
    chunk_entries,
    difference_chunk,
)
from .plan import loop_chunks, plan_leaf

ChunkMap = Callable[[Callable[[Chunk], Differences], Sequence[Chunk]], Iterable[Differences]]


def structured_gradient(
    f: Callable[..., Any],
    params: PyTree,
    args: tuple[PyTree, ...],
    steps: PyTree,
    loop: Loop,
    *,
    max_bytes: int = 2**28,
    progress: Callable[[int, int], None] | None = None,
    chunk_map: ChunkMap = map,
) -> PyTree:
    """Return (f(x + h e_i) - f(x - h e_i)) / 2h for every entry i of params, a pytree like params.

    f: pure, `f(params, *args) -> scalar`, over the array API or NumPy; params, args: with NumPy
        arrays, float64 ones in params; steps: h for each entry, a pytree like params
    loop: `(position of a leaf, flat indices) -> differences`, from two evaluations for each entry
    max_bytes: about what the perturbed copies of one chunk may take up
    progress: called with (entries done, entries in all)
    chunk_map: maps a function over independent chunks, in order, as `map` does; it may send them to
        threads, or to processes if f can be pickled
    warns: StructureInDoubt, naming the leaf and the reason, where the plain loop was taken because
        structured differences failed or disagreed with it
    raises: what f raises
    """
    leaves, structure = flatten(params)
    problem = Problem(f, params, args, tuple(flatten(steps)[0]), loop, max_bytes)
    gradient = [np.empty(leaf.size) for leaf in leaves]
    total = sum(leaf.size for leaf in leaves)
    doubts: dict[int, str] = {}

    def sweep(chunks: Sequence[Chunk], done: int) -> None:
        differenced = chunk_map(partial(difference_chunk, problem), chunks)
        for chunk, differences in zip(chunks, differenced, strict=True):
            gradient[chunk.leaf][chunk_entries(problem, chunk)] = differences.values
            if differences.doubt:
                doubts[chunk.leaf] = differences.doubt
            done += chunk.edges[-1] - chunk.edges[0]
            if progress is not None:
                progress(done, total)

    plans = [plan_leaf(problem, leaf) for leaf in range(len(leaves))]
    sweep([chunk for plan in plans for chunk in plan.chunks], 0)
    for leaf, plan in enumerate(plans):
        if plan.doubt:
            doubts[leaf] = plan.doubt
        elif plan.sample is not None:
            disagreement = plan.sample.disagreement(problem, gradient[leaf][plan.sample.entries])
            if disagreement:
                doubts[leaf] = disagreement
                sweep(loop_chunks(problem, leaf), total - leaves[leaf].size)
    for leaf, doubt in doubts.items():
        warnings.warn(
            f"leaf {leaf_names(params)[leaf] or 'params'}: structured differences are in doubt, "
            f"and the plain loop is used: {doubt}; method='loop' uses it from the start",
            StructureInDoubt,
            stacklevel=2,
        )
    return unflatten(
        structure, [flat.reshape(leaf.shape) for flat, leaf in zip(gradient, leaves, strict=True)]
    )
