"""The leaves that entries of a claim belong to: private, real float64 numbers."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends.errors import InvalidParameters
from gradparity.backends.precision import dtype_name, is_floating
from gradparity.backends.pytrees import Array, is_array, private_numpy

# Entries that show the typical size of a leaf: their median is within 4 % of the leaf's, by rank.
SAMPLED = 1000


@dataclass(frozen=True)
class Span:
    """Neighbouring entries of one leaf, as flat indices."""

    leaf: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def halves(self) -> tuple["Span", "Span"]:
        middle = (self.start + self.stop) // 2
        return Span(self.leaf, self.start, middle), Span(self.leaf, middle, self.stop)


Direction = Mapping[Span, np.ndarray]
"""How fast the entries of each span move; all other entries stay where they are."""


@dataclass(frozen=True)
class Leaf:
    """One leaf that entries of a claim belong to, as real float64 numbers.

    array: read-only; a complex leaf has a last axis more, of real and imaginary parts
    scale: a power of two near the typical size of its entries, by which they move
    """

    name: str
    array: np.ndarray
    scale: float
    is_complex: bool = False

    @property
    def size(self) -> int:
        return self.array.size

    @functools.cached_property
    def largest(self) -> float:
        """The largest absolute value of its entries."""
        return largest(self.array)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape[:-1] if self.is_complex else self.array.shape

    def index(self, entry: int) -> tuple[int, ...]:
        return tuple(
            int(i) for i in np.unravel_index(entry // (2 if self.is_complex else 1), self.shape)
        )


def read_leaves(given: Sequence[Any], names: Sequence[str]) -> tuple[Leaf, ...]:
    """Return private, read-only float64 copies.

    raises: InvalidParameters for leaves that are not finite floating numbers, or for none at all
    """
    leaves = []
    for name, leaf in zip(names, given, strict=True):
        where = f"leaf {name}" if name else "params"
        if getattr(getattr(leaf, "device", None), "type", "") == "meta":
            raise InvalidParameters(
                f"{where}: got a tensor on torch's meta device, which holds no numbers; expected "
                "one on a device with memory, such as leaf.to_empty(device='cpu')"
            )
        is_complex = holds_complex(leaf)
        try:
            array = complex_numpy(leaf) if is_complex else private_numpy(leaf)
        except (InvalidParameters, TypeError, ValueError) as error:
            raise InvalidParameters(f"{where}: {error}") from None
        except RuntimeError as error:  # torch.func's wrappers hold no numbers
            raise InvalidParameters(
                f"{where}: cannot be read as numbers ({str(error).partition('.')[0]}); check "
                "outside of vmap, grad and jit"
            ) from None
        if not is_complex and not is_floating(array.dtype):
            raise InvalidParameters(
                f"{where}: got dtype {array.dtype}, expected floating numbers; convert them, for "
                "instance with .astype('float64'), or pass them as an argument after params"
            )
        if is_complex:
            array = real_parts(array)
        array = np.ascontiguousarray(array, np.float64).reshape(array.shape)
        if not np.isfinite(array).all():
            first = np.argwhere(~np.isfinite(array))[0]
            raise InvalidParameters(
                f"{where}: got {array[tuple(first)]} at index {tuple(map(int, first))}, expected "
                "finite numbers; there is no derivative at such a point"
            )
        array.flags.writeable = False
        leaves.append(Leaf(name, array, typical_size(array), is_complex))
    if not any(leaf.size for leaf in leaves):
        raise InvalidParameters(
            f"params: got {len(leaves)} leaves without a single entry, expected a pytree with at "
            "least one number to differentiate by"
        )
    return tuple(leaves)


def largest(array: np.ndarray) -> float:
    """Return the largest absolute value, without a copy; 0 of no numbers."""
    return max(float(array.max(initial=0.0)), -float(array.min(initial=0.0)))


def typical_size(leaf: np.ndarray) -> float:
    """Return a power of two near the median size of the entries that are not 0; 1 for zeros.

    A step that is a power of two is not rounded when it is added to a number of its scale. The
    median is that of a sample, drawn at random, where there are more entries.
    """
    sizes = leaf.reshape(-1)
    if sizes.size > SAMPLED:
        sizes = _sample(sizes)
    if not sizes.all():
        sizes = leaf[leaf != 0]
        sizes = _sample(sizes) if sizes.size > SAMPLED else sizes
    if not sizes.size:
        return 1.0
    ordered = np.sort(np.abs(sizes))
    median = float(ordered[(ordered.size - 1) // 2] / 2 + ordered[ordered.size // 2] / 2)
    return math.ldexp(1.0, max(math.frexp(median)[1], -1000))


def _sample(entries: np.ndarray) -> np.ndarray:
    return entries[np.random.default_rng(0).integers(entries.size, size=SAMPLED)]


def holds_complex(leaf: Any) -> bool:
    return dtype_name(leaf).startswith("complex") or isinstance(leaf, complex)


def complex_numpy(leaf: Any) -> np.ndarray:
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu().resolve_conj().numpy()
    return np.array(leaf, np.complex128, order="C", copy=True)


def real_parts(array: np.ndarray) -> np.ndarray:
    """Return complex numbers as real ones, with a last axis more; numbers of no axis included."""
    return array[..., None].view(np.float64)


def assembler(given: Sequence[Any]) -> Callable[[Sequence[Array]], Sequence[Any]]:
    """Return what makes of real arrays what f is to get.

    That is complex numbers from their parts, and Python numbers where they were some.
    """
    forms: list[Callable[[Array], Any] | None] = [_form(original) for original in given]
    if not any(forms):
        return lambda leaves: leaves
    return lambda leaves: [
        form(leaf) if form else leaf for form, leaf in zip(forms, leaves, strict=True)
    ]


def _form(original: Any) -> Callable[[Array], Any] | None:
    if holds_complex(original):
        return _complex_array if is_array(original) else _complex_number
    return _python_number if isinstance(original, float) else None


def _complex_number(leaf: Array) -> Any:
    return leaf[..., 0] + 1j * leaf[..., 1]


def _complex_array(leaf: Array) -> Any:
    whole = _complex_number(leaf)
    return np.asarray(whole) if isinstance(whole, np.generic) else whole


def _python_number(leaf: Array) -> Any:
    return float(leaf) if isinstance(leaf, np.ndarray) else leaf
