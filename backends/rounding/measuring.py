"""Run f's own gradient in a low precision many times, each with another random rounding."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..precision import UNIT_ROUNDOFF
from ..pytrees import PyTree, flatten, is_array, leaf_names, tree_map
from .instrument import LOW_PRECISION, Cast, Gradient, Instrument, Unmeasured, find_instrument
from .scatter import LeafRounding, Rounding

RUNS = 8


def measure_rounding(
    f: Callable[..., Any],
    params: PyTree,
    args: tuple[Any, ...],
    dtype: str | None,
    *,
    backend_name: str,
    runs: int = RUNS,
    seed: int = 0,
    cotangent: PyTree = None,
    truth: PyTree = None,
    truth_at: tuple[PyTree, tuple[Any, ...]] | None = None,
) -> Rounding | Unmeasured:
    """Return the scatter of f's eager gradient in `dtype` under random rounding.

    After every operation that rounds, forward and backward, its result is multiplied by 1 + d with
    d drawn evenly from one rounding either way (Monte Carlo arithmetic: D. S. Parker 1997). The
    errors are those against the float64 gradient at the same rounded inputs.

    dtype: what floating leaves of params and args are rounded to; None leaves each as it is, and
        rounds nothing to float64 at random
    backend_name: "torch" or "jax"; f is its function, or one over the array API
    cotangent: like f's output, for the VJP of an f that gives arrays
    truth: the float64 gradient where it is known; else f without its casts is differentiated
    truth_at: the params and args at which it is known, where they are others; what the rounding of
        the inputs does to the gradient is added to it
    returns: Unmeasured with the reason where f cannot be run that way
    """
    if dtype not in (None, "float64", *LOW_PRECISION):
        return Unmeasured(f"got dtype {dtype!r}, expected one of {', '.join(LOW_PRECISION)}")
    instrument = find_instrument(backend_name)
    if isinstance(instrument, Unmeasured):
        return instrument
    try:
        return _measure(
            instrument,
            f,
            params,
            args,
            dtype,
            backend_name,
            runs,
            seed,
            cotangent,
            truth,
            truth_at or (params, args),
        )
    except Exception as error:  # whatever f or the framework raises is why it cannot be measured
        said = " ".join(str(error).split())
        return Unmeasured(
            f"f could not be run under random rounding by {backend_name}: "
            f"{type(error).__name__}: {said[:300]}"
        )


def _measure(
    instrument: Instrument,
    f: Callable[..., Any],
    params: PyTree,
    args: tuple[Any, ...],
    dtype: str | None,
    backend_name: str,
    runs: int,
    seed: int,
    cotangent: PyTree,
    truth: PyTree,
    truth_at: tuple[PyTree, tuple[Any, ...]],
) -> Rounding:
    def native(tree: PyTree, to: str | None = dtype) -> Any:
        return tree_map(lambda leaf: instrument.native(leaf, to) if is_array(leaf) else leaf, tree)

    low = native(params), native(args), native(cotangent)
    double = native(low[0], "float64"), native(low[1], "float64"), native(low[2], "float64")
    casts: tuple[Cast, ...] = ()
    exact, casts = instrument.lifted(f, *double)
    if truth is not None:
        leaves = [np.asarray(leaf, np.float64) for leaf in flatten(truth)[0]]
        there = native(truth_at[0], "float64"), native(truth_at[1], "float64"), double[2]
        if not _same_numbers(instrument, there, double):
            # As a change, so that a gradient that the framework gets wrong stays wrong.
            before, _ = instrument.lifted(f, *there)
            leaves = [
                leaf + (moved - own)
                for leaf, moved, own in zip(leaves, exact.leaves, before.leaves, strict=True)
            ]
        exact = Gradient(exact.outputs, leaves)
    run = instrument.rounded(f, *low, double=dtype == "float64")
    eager = run(None)
    taken: list[Gradient] = []
    generator = np.random.default_rng([seed, 13])
    names = leaf_names(params)
    dtypes = [_dtype_name(leaf) for leaf in flatten(low[0])[0]]

    def after(number: int) -> Rounding:
        while len(taken) < number:
            taken.append(run(int(generator.integers(2**62))))
        used = taken[:number]
        return Rounding(
            backend=backend_name,
            dtype=dtype or "/".join(sorted(set(dtypes))),
            runs=number,
            seed=seed,
            leaves=tuple(
                _leaf(names[k], dtypes[k], truth_leaf, eager.leaves[k], [r.leaves[k] for r in used])
                for k, truth_leaf in enumerate(exact.leaves)
            ),
            values=tuple(
                _leaf(
                    "",
                    max(dtypes, key=UNIT_ROUNDOFF.__getitem__),
                    output,
                    eager.outputs[k],
                    [r.outputs[k] for r in used],
                )
                for k, output in enumerate(exact.outputs)
            ),
            casts=casts,
            rounded_to=tuple(
                sorted(used[0].rounded_to if used else (), key=UNIT_ROUNDOFF.__getitem__)
            ),
            again=after,
        )

    return after(runs)


def _same_numbers(instrument: Instrument, one: PyTree, other: PyTree) -> bool:
    pairs = zip(flatten(one)[0], flatten(other)[0], strict=True)
    return all(
        np.array_equal(instrument.doubles(a), instrument.doubles(b), equal_nan=True)
        for a, b in pairs
        if is_array(a) and "float" in str(a.dtype)
    )


def _leaf(
    name: str, dtype: str, truth: np.ndarray, eager: np.ndarray, runs: list[np.ndarray]
) -> LeafRounding:
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.stack(runs) - truth
        return LeafRounding(name, dtype, truth, errors, eager - truth)


def _dtype_name(leaf: Any) -> str:
    return str(getattr(leaf.dtype, "name", leaf.dtype)).removeprefix("torch.")
