"""Guess what went wrong with a leaf: undo each known fault, and see whether the result fits."""

import fractions
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .score import norm

# Of axes to permute; five axes would give 120 orders to try.
MOST_AXES = 4
# A repair has to explain nearly all of what is wrong.
EXPLAINED = 1e-2
# Factors that are written as fractions, as a mean over seven is.
LARGEST_DENOMINATOR = 1000
# Numbers of so few bits are round ones, and show no dtype.
ROUND_BITS = 8

Fits = Callable[[np.ndarray], bool]


def fits_reference(given: np.ndarray, reference: np.ndarray) -> Fits:
    """Return whether a repaired leaf is what the reference says."""
    wrong = norm(np.where(np.isfinite(given), given - reference, reference))

    def fits(repaired: np.ndarray) -> bool:
        return bool(norm(repaired - reference) <= EXPLAINED * wrong)

    return fits


@dataclass(frozen=True)
class Witness:
    """A measured slope along one direction through a leaf, and how far the claim was from it."""

    weights: np.ndarray
    slope: float
    bar: float
    wrong: float


def fits_witnesses(witnesses: Sequence[Witness], repaired: np.ndarray) -> bool:
    """Tell whether a repaired leaf explains what is wrong along all directions."""

    def explains(witness: Witness) -> bool:
        left = abs(float(repaired.reshape(-1) @ witness.weights) - witness.slope)
        return left <= EXPLAINED * witness.wrong and left <= 2 * witness.bar

    return bool(witnesses) and all(map(explains, witnesses))


def explain(
    given: np.ndarray,
    reference: np.ndarray | None,
    parameter: np.ndarray,
    others: Sequence[tuple[str, np.ndarray]],
    counts: Iterable[int],
    fits: Fits,
    factor: float = 0.0,
) -> str:
    """Return the first pattern whose repair fits, or "".

    given, reference, parameter: one leaf; others: name and claim of the other leaves
    counts: lengths that a mean may have been taken over, such as the batch size
    factor: that a witness suggests to multiply the leaf with; 0 for none
    """
    if not np.isfinite(given).all():
        return "not a number in part" if np.isfinite(given).any() else "not a number"
    if not given.any():
        return "detached (zero)"
    if given.size == 1 and reference is None:
        return ""
    if reference is not None:
        for pattern in _against(given, reference, parameter, counts):
            return pattern
    for pattern, repaired in repairs(given, others, counts):
        if fits(repaired):
            return pattern
    if factor and fits(given * factor):
        return factor_name(1 / factor, counts)
    return ""


def _against(
    given: np.ndarray, reference: np.ndarray, parameter: np.ndarray, counts: Iterable[int]
) -> Iterator[str]:
    """Yield patterns that show only beside the right leaf."""
    wrong = given - reference
    fits = fits_reference(given, reference)
    square = float((given * given).sum())
    factor = float((given * reference).sum()) / square if square else 0.0
    if factor and fits(given * factor):
        yield factor_name(1 / factor, counts)
    for name, kind in (("float32", np.float32), ("float16", np.float16)):
        with np.errstate(over="ignore", under="ignore"):
            rounded = reference.astype(kind).astype(np.float64)
        spacing = np.finfo(kind).eps * np.abs(reference)
        if (
            given.size > 1
            and np.all(np.abs(given - rounded) <= spacing)
            and np.any(given.astype(kind).astype(np.float64) == given)
            and is_rounded_to(given, kind)
        ):
            yield f"rounded to {name}"
    decay = float((wrong * parameter).sum()) / (float((parameter * parameter).sum()) or 1.0)
    if given.size > 1 and decay and norm(wrong - decay * parameter) <= EXPLAINED * norm(wrong):
        yield f"{decay:.4g} times the parameter is added (weight decay?)"
    if given.ndim == 2 and given.shape[0] == given.shape[1]:
        if fits((given + given.T) / 2) or fits(np.triu(given) + np.triu(given, 1).T):
            yield "not symmetric, as f's slope is"
        if norm((reference + reference.T) / 2 - given) <= EXPLAINED * norm(wrong):
            yield "symmetrised: right for symmetric changes of a symmetric matrix"
    limit = float(np.abs(given).max())
    if given.size > 2 and norm(np.clip(reference, -limit, limit) - given) <= EXPLAINED * norm(
        wrong
    ):
        yield f"clipped at ±{limit:.4g}"
    total = norm(reference)
    shrunk = norm(given)
    if (
        given.size > 1
        and total
        and abs(shrunk - round(shrunk, 6)) < 1e-12
        and fits(given * total / shrunk)
    ):
        yield f"clipped to the norm {shrunk:.4g}"
    for axis, step in itertools.product(range(given.ndim), (1, -1)):
        if given.shape[axis] > 2:
            body = [slice(None)] * given.ndim
            body[axis] = slice(1, None) if step == 1 else slice(None, -1)
            if np.allclose(
                np.roll(reference, step, axis)[tuple(body)], given[tuple(body)], 1e-6, 0
            ):
                yield f"shifted by one along axis {axis}"


def is_rounded_to(leaf: np.ndarray, kind: type) -> bool:
    """Tell whether all entries are numbers of a dtype, and not just round ones."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.array_equal(leaf.astype(kind).astype(np.float64), leaf)
        return bool(rounded and (np.ldexp(np.frexp(leaf)[0], ROUND_BITS) % 1).any())


def factor_name(factor: float, counts: Iterable[int] = ()) -> str:
    """Name what a leaf is multiplied with: "sign", "factor 2", "missing 1/N (N = 7)", ..."""
    if abs(factor + 1) < 1e-6:
        return "sign"
    for count in sorted({count for count in counts if count > 2}):
        if abs(factor - count) < 1e-6 * count:
            return f"missing 1/N (N = {count})"
        if abs(factor * count - 1) < 1e-6:
            return f"1/N too many (N = {count})"
    fraction = fractions.Fraction(factor).limit_denominator(LARGEST_DENOMINATOR)
    small = min(abs(fraction.numerator), fraction.denominator) == 1
    if small and abs(float(fraction) - factor) <= 1e-6 * abs(factor) and fraction != 1:
        return f"factor {fraction}"
    return (
        f"constant factor {factor:.6g}"
        if f"{factor:.6g}" != "1"
        else (f"constant factor 1 {'+' if factor > 1 else '-'} {abs(factor - 1):.2g}")
    )


def repairs(
    leaf: np.ndarray, others: Sequence[tuple[str, np.ndarray]], counts: Iterable[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (pattern, the leaf with that fault undone), the likeliest first.

    others: name and gradient of the other leaves
    counts: lengths that a mean may have been taken over, such as the batch size
    """
    yield "sign", -leaf
    yield "factor 2", leaf / 2
    yield "factor 1/2", leaf * 2
    for count in sorted({count for count in counts if count > 2}):
        yield f"missing 1/N (N = {count})", leaf / count
        yield f"1/N too many (N = {count})", leaf * count
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
