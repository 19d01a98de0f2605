"""A derivative handed over by anyone, lined up with the leaves that it belongs to."""

import difflib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends.errors import InvalidParameters, InvalidSetting
from gradparity.backends.precision import UNIT_ROUNDOFF, dtype_name, is_floating, unit_roundoff
from gradparity.backends.pytrees import PyTree, is_array, named_leaves, numpy_view, private_numpy

from .hosts import framework_of
from .leaves import Leaf, complex_numpy, holds_complex

NO_GRADIENT = "None"


@dataclass(frozen=True)
class Terms:
    """What a candidate is granted and judged by; see `Checker.check`.

    dtype: the coarsest that its numbers have been through, if that is another than their own
    """

    bounds: Sequence[np.ndarray] | None = None
    rtol: float = 0.0
    rounding: float = 0.0
    only: Sequence[np.ndarray] | None = None
    dtype: str = "float64"

    @property
    def accepted(self) -> str:
        """Say which errors the caller accepts."""
        parts = ["the given tolerance"] * (self.bounds is not None)
        return " and ".join(parts + [f"rtol {self.rtol:g}"] * bool(self.rtol))


NO_TERMS = Terms()


def coarsest(names: Sequence[str]) -> str:
    return max(names, key=lambda name: UNIT_ROUNDOFF.get(name, 0.0), default="float64")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a leaf before any of its numbers is looked at.

    leaf: its name; text: what, got and expected; pattern: a guess at the cause, or ""
    """

    leaf: str
    text: str
    pattern: str = ""


@dataclass(frozen=True)
class Candidate:
    """A derivative whose leaves line up with those of the parameters.

    slopes: flat float64, zeros where there is nothing to use; a complex leaf as pairs
    units: the unit roundoff of each leaf's own dtype; dtypes: their names
    convention: what a complex gradient is, "torch" for df/dx + i df/dy, "jax" for its conjugate;
        "" where it is none, but a tangent
    problems: by the position of the leaf; -1 for a leaf that the parameters do not have
    strays: leaves whose shape is not the parameter's, as they came, by position
    remarks: how it was lined up, where that was not by name
    framework: whose arrays they are, None for NumPy's
    terms: what it is granted and judged by
    """

    slopes: tuple[np.ndarray, ...]
    units: tuple[float, ...]
    dtypes: tuple[str, ...]
    convention: str
    problems: tuple[tuple[int, Problem], ...]
    strays: Mapping[int, np.ndarray]
    remarks: tuple[str, ...] = ()
    framework: str | None = None
    terms: Terms = NO_TERMS

    @property
    def unread(self) -> list[int]:
        """The leaves that have no numbers of the right form; None stands for zeros."""
        problems = [(leaf, problem.pattern) for leaf, problem in self.problems]
        return [leaf for leaf, pattern in problems if leaf >= 0 and pattern != NO_GRADIENT]


def read_candidate(
    gradient: PyTree, leaves: Sequence[Leaf], terms: Terms = NO_TERMS, is_tangent: bool = False
) -> Candidate:
    """Line a derivative up with its leaves by their paths, or else by their order.

    Lists and tuples count alike: torch.autograd.grad returns a tuple whatever it was given.
    is_tangent: of a complex number, whose parts are no derivatives by it
    """
    names = [leaf.name for leaf in leaves]
    offered = named_leaves(gradient)
    remarks: tuple[str, ...] = ()
    if set(offered) != set(names):
        offered, from_lists = _from_lists(offered, leaves)
        offered, remarks = (
            (offered, ()) if set(offered) == set(names) else _by_order(offered, leaves)
        )
        remarks = from_lists + remarks
    framework = framework_of(offered.values())
    convention = "" if is_tangent else "jax" if framework == "jax" else "torch"
    problems: list[tuple[int, Problem]] = []
    slopes, units, dtypes, strays = [], [], [], {}
    for position, leaf in enumerate(leaves):
        array, given, problem = _read_leaf(leaf, leaf.name in offered, offered.get(leaf.name))
        if problem is not None:
            problems.append((position, problem))
        if array is not None and array.shape != leaf.shape:
            strays[position], array = array, None
        slopes.append(_flat(array, leaf, convention))
        dtypes.append(coarsest((dtype_name(given), terms.dtype)))
        units.append(max(unit_roundoff(given), UNIT_ROUNDOFF[terms.dtype]))
    own = set(names)
    strangers = [name for name, leaf in offered.items() if name not in own and leaf is not None]
    if strangers:
        problems.append((-1, Problem("", _strange(strangers, names), "structure")))
    return Candidate(
        tuple(slopes),
        tuple(units),
        tuple(dtypes),
        convention,
        tuple(problems),
        strays,
        remarks,
        framework,
        terms,
    )


def _from_lists(
    offered: dict[str, Any], leaves: Sequence[Leaf]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return arrays where nested lists of numbers hold just the entries of a leaf."""
    read = dict(offered)
    below = defaultdict(list)
    for name in offered:
        above = name
        while above.endswith("]"):
            above = above[: above.rindex("[")]
            below[above].append(name)
    for leaf in leaves:
        own = below[leaf.name]
        if leaf.name in offered or not own or len(own) != math.prod(leaf.shape):
            continue
        numbers = [offered[name] for name in own]
        places = ("".join(f"[{i}]" for i in index) for index in np.ndindex(leaf.shape))
        plain = all(isinstance(one, int | float | complex | np.number) for one in numbers)
        if plain and own == [leaf.name + place for place in places]:
            for name in own:
                del read[name]
            # Python's integers are numbers like all others.
            read[leaf.name] = (1.0 * np.array(numbers)).reshape(leaf.shape)
    return read, ("lists of numbers were read as arrays",) * (read.keys() != offered.keys())


def _strange(strangers: Sequence[str], names: Sequence[str]) -> str:
    if strangers == [""]:
        return (
            f"got one array or number, expected a pytree like params, with the leaves "
            f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        )
    if {name.partition(".")[0] for name in strangers} >= {"[0]", "[1]"}:
        if any(name.startswith("[1].") and name[4:] in names for name in strangers):
            return "got (value, gradient), expected the gradient alone: pass the second of the two"
    listed = ", ".join(strangers[:4]) + (", ..." if len(strangers) > 4 else "")
    text = f"got {len(strangers)} leaves that the parameters do not have: {listed}"
    close = difflib.get_close_matches(strangers[0], names, 1)
    return f"{text}; did you mean {close[0]}?" if close else text


def _by_order(
    offered: dict[str, Any], leaves: Sequence[Leaf]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the leaves under the parameters' names where their number and shapes leave one way."""
    given = list(offered.values())
    if len(given) == 1 and len(leaves) > 1 and is_array(given[0]):
        sizes = [math.prod(leaf.shape) for leaf in leaves]
        if tuple(given[0].shape) == (sum(sizes),):
            cuts = np.cumsum([0, *sizes])
            parts = [given[0][cuts[k] : cuts[k + 1]] for k in range(len(sizes))]
            shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
            names = dict(zip((leaf.name for leaf in leaves), shaped, strict=True))
            return names, ("the gradient is one flat vector: it was cut up in the leaves' order",)
    fits = len(given) == len(leaves) and all(
        is_array(one) and tuple(one.shape) == leaf.shape
        for one, leaf in zip(given, leaves, strict=True)
    )
    # Under names of its own a leaf may be meant for another: only one difference is a spelling.
    known = {leaf.name for leaf in leaves}
    own = [name for name in offered if name not in known]
    if not fits or len({leaf.shape for leaf in leaves}) < len(leaves) and len(own) < len(leaves):
        return offered, ()
    renamed = {leaf.name: one for leaf, one in zip(leaves, given, strict=True)}
    pairs = ", ".join(
        f"{theirs} as {leaf.name or 'params'}"
        for theirs, leaf in zip(offered, leaves, strict=True)
        if theirs != leaf.name
    )
    return renamed, (f"the gradient has other names: it was read in order, {pairs}",)


def _read_leaf(
    leaf: Leaf, offered: bool, given: Any
) -> tuple[np.ndarray | None, Any, Problem | None]:
    name, shape = leaf.name, leaf.shape
    if not offered:
        return None, 0.0, Problem(name, f"got no such leaf, expected shape {shape}", "structure")
    if given is None:
        return None, 0.0, Problem(name, f"got None, expected shape {shape}", NO_GRADIENT)
    if getattr(given, "is_sparse", False):  # torch gives such gradients for embeddings
        given = given.to_dense()
    is_complex = holds_complex(given)
    try:
        # What nobody can change needs no copy.
        read = numpy_view if framework_of((given,)) == "jax" else private_numpy
        array = complex_numpy(given) if is_complex else read(given)
    except (InvalidParameters, TypeError, ValueError, RuntimeError) as error:
        return None, 0.0, Problem(name, f"{error}", "dtype")
    if is_complex and not leaf.is_complex:
        text = f"got complex numbers ({array.dtype}), expected real ones as the parameter's"
        return None, given, Problem(name, text, "dtype")
    if not is_complex and not is_floating(array.dtype) and not isinstance(given, int):
        text = f"got dtype {array.dtype}, expected floating numbers"
        return array.astype(np.float64), given, Problem(name, text, "dtype")
    values = array if is_complex else array.astype(np.float64, copy=False)
    if values.shape != shape:
        return values, given, Problem(name, f"got shape {values.shape}, expected {shape}", "shape")
    return values, given, None


def _flat(array: np.ndarray | None, leaf: Leaf, convention: str) -> np.ndarray:
    if array is None:
        return np.zeros(leaf.size)
    if not leaf.is_complex:
        return array.reshape(-1)
    whole = np.ascontiguousarray(array, np.complex128)
    whole = whole.conj() if convention == "jax" else whole
    return whole.reshape(-1).view(np.float64)


def accepted(
    tolerance: PyTree | None, rtol: float | None, leaves: Sequence[Leaf]
) -> tuple[np.ndarray, ...] | None:
    """Return the absolute error that the caller accepts of each leaf's entries, without rtol.

    tolerance: a number, a number for each leaf, or arrays; None for nothing but rounding
    raises: InvalidSetting for NaN, negative, misspelt or misshapen ones
    """
    if rtol is not None and not (isinstance(rtol, float | int) and 0 <= rtol < math.inf):
        raise InvalidSetting(f"rtol: got {rtol!r}, expected a finite number that is not negative")
    if tolerance is None:
        return None
    names = [leaf.name for leaf in leaves]
    if isinstance(tolerance, float | int) and not isinstance(tolerance, bool):
        given, whats = dict.fromkeys(names, tolerance), ["tolerance"] * len(names)
    else:
        given = named_leaves(tolerance)
        whats = [f"tolerance of {name or 'params'}" for name in names]
    known = set(names)
    for name in (name for name in given if name not in known):
        close = difflib.get_close_matches(name, names, 1)
        raise InvalidSetting(
            f"tolerance: got leaf {name or 'params'!r}, expected one of "
            f"{', '.join(names[:6]) or 'params'}" + (f"; did you mean {close[0]}?" if close else "")
        )
    for name in names:
        if name not in given:
            raise InvalidSetting(
                f"tolerance: got none for leaf {name or 'params'}, expected one for each leaf, or "
                "a single number for all"
            )
    return tuple(
        _accepted_in(what, given[leaf.name], leaf) for what, leaf in zip(whats, leaves, strict=True)
    )


def _accepted_in(what: str, value: Any, leaf: Leaf) -> np.ndarray:
    try:
        array = np.asarray(private_numpy(value), np.float64)
    except (InvalidParameters, TypeError, ValueError) as error:
        raise InvalidSetting(f"{what}: {error}; expected numbers") from None
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise InvalidSetting(
            f"{what}: got {float(array.reshape(-1)[np.argmin(np.nan_to_num(array, nan=-1.0))])}, "
            "expected finite numbers that are not negative"
        )
    if array.shape not in ((), leaf.shape):
        raise InvalidSetting(
            f"{what}: got shape {array.shape}, expected a number or shape {leaf.shape}"
        )
    whole = np.broadcast_to(array, leaf.shape)
    if leaf.is_complex:
        whole = np.repeat(whole.reshape(*leaf.shape, 1), 2, axis=-1)
    return np.ascontiguousarray(whole).reshape(-1)
