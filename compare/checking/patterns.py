"""Guess what went wrong with a leaf: undo each known fault, and see whether the result fits."""

import fractions
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from .score import Score, norm

# Of axes to permute; five axes would give 120 orders to try.
MOST_AXES = 4
# A repair has to explain nearly all of what is wrong.
EXPLAINED = 1e-2
# What measurements and sums lose of a factor, at the least.
EXACT = 1e-6
# Factors that are written as fractions, as a mean over seven is.
LARGEST_DENOMINATOR = 1000
# Numbers of so few bits are round ones, and show no dtype.
ROUND_BITS = 8


Witness: TypeAlias = tuple[np.ndarray, Score]
"""Weights of a direction through one leaf, and how its claim compares with the slope along it."""


def explain(
    given: np.ndarray,
    reference: np.ndarray | None,
    witnesses: Sequence[Witness],
    parameter: np.ndarray,
    others: Sequence[tuple[str, np.ndarray]],
    counts: Iterable[int],
) -> str:
    """Return the first pattern whose repair fits, or "".

    given, reference, parameter: one leaf; others: name and claim of the other leaves
    witnesses: where there is no reference
    counts: lengths that a mean may have been taken over, such as the batch size
    """
    if not np.isfinite(given).all():
        return "not a number in part" if np.isfinite(given).any() else "not a number"
    if not given.any():
        return "detached (zero)"
    if reference is None and (given.size == 1 or not witnesses):
        return ""
    unsure = EXACT
    if reference is not None:
        wrong = norm(given - reference)
        factor = float((given * reference).sum()) / (float((given * given).sum()) or 1.0)
    else:
        (_, first), *_ = witnesses
        factor = first.slope.value / first.got if first.got else 0.0
        unsure = max(unsure, 2 * first.bar / abs(first.got or 1.0))

    def fits(repaired: np.ndarray) -> bool:
        if reference is None:
            return all(_fits(repaired, weights, score) for weights, score in witnesses)
        return norm(repaired - reference) <= EXPLAINED * wrong

    if factor and math.isfinite(1 / factor) and fits(given * factor):
        return factor_name(1 / factor, counts, unsure)
    if reference is not None and given.size > 1:
        for pattern in _beside(given, reference, parameter, fits):
            return pattern
    return next((pattern for pattern, one in repairs(given, others) if fits(one)), "")


def _fits(repaired: np.ndarray, weights: np.ndarray, score: Score) -> bool:
    left = abs(float(repaired.reshape(-1) @ weights) - score.slope.value)
    return left <= EXPLAINED * abs(score.got - score.slope.value) and left <= 2 * score.bar


def _beside(
    given: np.ndarray,
    reference: np.ndarray,
    parameter: np.ndarray,
    fits: Callable[[np.ndarray], bool],
) -> Iterator[str]:
    """Yield patterns that show only beside the right leaf."""
    wrong = given - reference

    def explains(fault: np.ndarray) -> bool:
        return norm(wrong - fault) <= EXPLAINED * norm(wrong)

    if dtype := rounded_to(given, given, reference):
        yield f"rounded to {dtype}"
    decay = float((wrong * parameter).sum()) / (float((parameter * parameter).sum()) or 1.0)
    if decay and explains(decay * parameter):
        yield f"{decay:.4g} times the parameter is added (weight decay?)"
    if given.ndim == 2 and given.shape[0] == given.shape[1]:
        mirrored = (np.triu(given) + np.triu(given, 1).T, np.tril(given) + np.tril(given, -1).T)
        if fits((given + given.T) / 2) or any(map(fits, mirrored)):
            yield "not symmetric, as f's slope is"
        if explains((reference.T - reference) / 2):
            yield "symmetrised: right for symmetric changes of a symmetric matrix"
    limit, shrunk, total = float(np.abs(given).max()), norm(given), norm(reference)
    if given.size > 2 and explains(np.clip(reference, -limit, limit) - reference):
        yield f"clipped at ±{limit:.4g}"
    if total and abs(shrunk - round(shrunk, 6)) < 1e-12 and fits(given * total / shrunk):
        yield f"clipped to the norm {shrunk:.4g}"
    for axis, step in itertools.product(range(given.ndim), (1, -1)):
        if given.shape[axis] > 2:
            body = [slice(None)] * given.ndim
            body[axis] = slice(1, None) if step == 1 else slice(None, -1)
            shifted = np.roll(reference, step, axis)[tuple(body)]
            if np.allclose(shifted, given[tuple(body)], EXACT, 0):
                yield f"shifted by one along axis {axis}"


def rounded_to(leaf: np.ndarray, got: np.ndarray, expected: np.ndarray) -> str:
    """Return the dtype that a leaf's numbers are of, if its spacing explains what is wrong."""
    for kind in (np.float16, np.float32):
        if is_rounded_to(leaf, kind):
            near = np.abs(got - expected) <= np.finfo(kind).eps * np.abs(expected)
            return kind.__name__ if near.all() else ""
    return ""


def is_rounded_to(leaf: np.ndarray, kind: type) -> bool:
    """Tell whether all entries are numbers of a dtype, and not just round ones."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.array_equal(leaf.astype(kind).astype(np.float64), leaf)
        return bool(rounded and (np.ldexp(np.frexp(leaf)[0], ROUND_BITS) % 1).any())


def factor_name(factor: float, counts: Iterable[int] = (), unsure: float = EXACT) -> str:
    """Name what a leaf is multiplied with: "sign", "factor 2", "missing 1/N (N = 7)", ..."""

    def near(number: float) -> bool:
        return abs(factor - number) < unsure * abs(number)

    if near(-1):
        return "sign"
    for count in sorted({count for count in counts if count > 2}):
        if near(count) or near(1 / count):
            return f"{'missing 1/N' if factor > 1 else '1/N too many'} (N = {count})"
    fraction = fractions.Fraction(factor).limit_denominator(LARGEST_DENOMINATOR)
    small = min(abs(fraction.numerator), fraction.denominator) == 1
    if small and near(float(fraction)) and fraction != 1:
        return f"factor {fraction}"
    if f"{factor:.6g}" != "1":
        return f"constant factor {factor:.6g}"
    return f"constant factor 1 {'+' if factor > 1 else '-'} {abs(factor - 1):.2g}"


def repairs(
    leaf: np.ndarray, others: Sequence[tuple[str, np.ndarray]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (pattern, the leaf with that fault undone), the likeliest first.

    others: name and gradient of the other leaves
    """
    yield from _rearranged(leaf)
    for name, other in others:
        if other.shape == leaf.shape:
            yield f"swapped with {name}", other
        elif leaf.ndim == 2 and other.shape == leaf.shape[::-1]:
            yield f"swapped with {name}, transposed", other.T


def _rearranged(leaf: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if leaf.ndim == 1:
        yield "flipped", leaf[::-1]
    if not 2 <= leaf.ndim <= MOST_AXES:
        return
    for order in itertools.permutations(range(leaf.ndim)):
        if order == tuple(range(leaf.ndim)):
            continue
        permuted_shape = tuple(leaf.shape[axis] for axis in order)
        # With equal axes both are the transpose itself; otherwise memory was read in another order.
        yield "transposed", leaf.reshape(permuted_shape).transpose(np.argsort(order))
        if permuted_shape != leaf.shape:
            yield "transposed", leaf.transpose(order).reshape(leaf.shape)
    for count in range(1, leaf.ndim + 1):
        for axes in itertools.combinations(range(leaf.ndim), count):
            yield "flipped", np.flip(leaf, axes)


def stray_repairs(array: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (pattern, repaired) for a leaf that does not have the parameter's shape."""
    if array.size == int(np.prod(shape)):
        if array.ndim == len(shape) <= MOST_AXES:
            for order in itertools.permutations(range(array.ndim)):
                if tuple(array.shape[axis] for axis in order) == shape:
                    yield "transposed", array.transpose(order)
        yield "reshaped", array.reshape(shape)
    summed = _summed(array, shape)
    if summed is not None:
        yield "unsummed broadcast", summed
        yield "unsummed broadcast", summed / (array.size / max(summed.size, 1))


def _summed(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the sum over the axes that broadcasting `shape` to the array's shape adds."""
    try:
        if np.broadcast_shapes(array.shape, shape) != array.shape:
            return None
    except ValueError:
        return None
    leading = array.ndim - len(shape)
    stretched = [
        leading + axis
        for axis, length in enumerate(shape)
        if length == 1 and array.shape[leading + axis] != 1
    ]
    total = array.sum(axis=(*range(leading), *stretched), keepdims=True)
    return np.asarray(total.reshape(shape))
