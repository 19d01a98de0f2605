"""Evaluate any framework's function in float64, along directions, and count the calls."""

import copy
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends import Backend, get_backend
from gradparity.backends.checks import is_floating, scalar
from gradparity.backends.errors import (
    GradparityError,
    ImpureFunction,
    InvalidSetting,
)
from gradparity.backends.pytrees import (
    PyTree,
    flatten,
    is_array,
    leaf_names,
    private_numpy,
    tree_map,
    unflatten,
)

from .parameters import float64_leaves, typical_size

FRAMEWORKS = {"jax": "jax", "jaxlib": "jax", "torch": "torch"}


class FunctionFailed(GradparityError, RuntimeError):
    """The function to differentiate raised an error at the given parameters."""


@dataclass(frozen=True)
class Span:
    """Neighbouring entries of one leaf, as flat indices."""

    leaf: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


Direction = Mapping[Span, np.ndarray]
"""How fast the entries of each span move; all other entries stay where they are."""


class BlackBox:
    """A function of float64 leaves, whose value is all that is known of it.

    The framework whose arrays the parameters are (or which f turns out to want) evaluates f, as it
    is, in float64; the leaves are private copies, and an f that changes its inputs is refused.

    leaves: float64, read-only, in the order of `names`; value: f at the leaves
    evaluations: how often f has been called; where JAX compiles f, this counts its runs
    raises: InvalidParameters for no parameters, integers or NaN; NonScalarLoss; ImpureFunction;
        FunctionFailed when f raises at `params`
    """

    def __init__(
        self,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[PyTree, ...] = (),
        backend: str | Backend | None = None,
    ) -> None:
        given, self.structure = flatten(params)
        self.names = leaf_names(params)
        self.leaves = float64_leaves(given, self.names)
        self._tally = [0]
        self._f = f
        self._given_args = args
        self._is_number = [isinstance(leaf, float) for leaf in given]
        self.backend = _choose_backend(backend, (given, args))
        self.value = self._first_value(named=backend is not None)

    def _first_value(self, named: bool) -> float:
        self._prepare()
        try:
            with np.errstate(all="ignore"):
                value = self._evaluate(self._native)
        except GradparityError:
            raise
        except Exception as error:
            raise self._failure(error) from error
        wanted = _framework((value,))
        if wanted and not named and wanted != self.backend.name:
            # A JAX function takes NumPy arrays, and would compute in float32 all the same.
            self.backend = _float64_backend(wanted)
            return self._first_value(named=True)
        self._check_purity()
        return _number(value)

    def _prepare(self) -> None:
        self._native = [self._to_native(i, leaf) for i, leaf in enumerate(self.leaves)]
        self._args = tuple(tree_map(self._native_arg, arg) for arg in self._given_args)
        checked = scalar(self._f)
        self._eager = self.backend._scoped(checked)
        compiled = self.backend.compile(checked)
        self._run = self._eager if compiled is checked else compiled

    def _evaluate(self, leaves: list[Any]) -> Any:
        self._tally[0] += 1
        try:
            return self._run(unflatten(self.structure, leaves), *self._args)
        except Exception:
            if self._run is self._eager:
                raise
            # Not every function can be traced: one that branches on values runs eagerly.
            self._run = self._eager
            return self._evaluate(leaves)

    def _native_arg(self, leaf: Any) -> Any:
        if not is_array(leaf):
            return leaf
        if not is_floating(leaf.dtype) and _framework((leaf,)):
            return leaf  # integers, booleans, random keys
        native = self.backend.asarray(leaf)
        if isinstance(native, np.ndarray):
            native.flags.writeable = False
        return native

    def _to_native(self, position: int, leaf: np.ndarray) -> Any:
        if self._is_number[position]:
            return float(leaf)
        if self.backend.xp is np:
            view = leaf.view()
            view.flags.writeable = False
            return view
        return self.backend.asarray(leaf)

    def _check_purity(self) -> None:
        given = [leaf for leaf in flatten(self._given_args)[0] if is_array(leaf)]
        used = [leaf for leaf in flatten(self._args)[0] if is_array(leaf)]
        pairs = [
            *zip(self.names, self._native, self.leaves, strict=True),
            *(
                ("an argument", native, original)
                for native, original in zip(used, given, strict=True)
            ),
        ]
        for name, native, original in pairs:
            if native is not original and not _same(native, original):
                raise ImpureFunction(
                    f"{name}: {_name(self._f)} changed it in place; expected a pure "
                    "function: work on a copy, for instance x = x + 0"
                )

    def _failure(self, error: Exception) -> Exception:
        shapes = ", ".join(
            f"{name or 'params'} {leaf.shape}"
            for name, leaf in zip(self.names[:4], self.leaves, strict=False)
        )
        return FunctionFailed(
            f"{_name(self._f)} raised {type(error).__name__} on float64 arrays of "
            f"{self.backend.requirement} ({shapes}): {error}; expected a number. If it wants "
            "another framework's arrays, pass those, or backend='torch' or 'jax'"
        )

    @property
    def evaluations(self) -> int:
        """How often f has been called, at perturbed inputs too."""
        return self._tally[0]

    def perturbed(self, epsilon: float, seed: Sequence[int]) -> "BlackBox":
        """Return the same f with parameters and arguments off by up to epsilon, relatively."""
        rng = np.random.default_rng(seed)

        def perturb(leaf: Any) -> Any:
            if not (is_array(leaf) and is_floating(leaf.dtype)):
                return leaf
            array = private_numpy(leaf, "float64")
            return array * (1 + epsilon * rng.uniform(-1, 1, array.shape))

        other = copy.copy(self)
        other.leaves = tuple(perturb(leaf) for leaf in self.leaves)
        other._given_args = tuple(tree_map(perturb, arg) for arg in self._given_args)
        other._prepare()
        other.value = other.at({})
        return other

    def call(self, function: Callable[..., Any]) -> Any:
        """Return function(params, *args) for private copies of what f sees, in float64."""
        if self.backend.xp is np:
            leaves = [leaf.copy() for leaf in self.leaves]
        else:
            leaves = [self._to_native(i, leaf) for i, leaf in enumerate(self.leaves)]
        return self.backend._scoped(function)(unflatten(self.structure, leaves), *self._args)

    def at(self, moved: Mapping[int, np.ndarray]) -> float:
        """Return f with some leaves replaced, NaN where f is not defined there."""
        leaves = list(self._native)
        for position, leaf in moved.items():
            leaves[position] = self._to_native(position, leaf)
        try:
            with np.errstate(all="ignore"):
                return _number(self._evaluate(leaves))
        except (ArithmeticError, ValueError):  # math.log(-1.0), 1 / 0
            return math.nan
        except RuntimeError as error:
            if "LinAlg" in type(error).__name__:  # what torch raises for a singular matrix
                return math.nan
            raise

    def along(self, direction: Direction) -> Callable[[float], float]:
        """Return `shift -> f(params + shift * direction)`."""

        def value(shift: float) -> float:
            if shift == 0.0:
                return self.value
            moved: dict[int, np.ndarray] = {}
            for span, weights in direction.items():
                leaf = moved.get(span.leaf)
                if leaf is None:
                    leaf = moved[span.leaf] = self.leaves[span.leaf].copy()
                leaf.reshape(-1)[span.start : span.stop] += shift * weights
            return self.at(moved)

        return value

    @functools.cached_property
    def scales(self) -> tuple[float, ...]:
        """The typical size of the entries of each leaf, a power of two."""
        return tuple(typical_size(leaf) for leaf in self.leaves)


def _choose_backend(chosen: str | Backend | None, trees: PyTree) -> Backend:
    if isinstance(chosen, Backend):
        if chosen.dtype != "float64":
            raise InvalidSetting(
                f"backend {chosen.name!r}: got dtype {chosen.dtype!r}, expected 'float64': "
                "differences in less have too few digits to judge a gradient by"
            )
        return chosen
    name = chosen or _framework(flatten(trees)[0]) or "numerical"
    return _float64_backend(name)


@functools.cache
def _float64_backend(name: str) -> Backend:
    # To look through all entry points takes longer than to check a small gradient.
    return get_backend(name, dtype="float64")


def _framework(leaves: Any) -> str | None:
    """Return the backend whose arrays are among the leaves, without importing anything."""
    for leaf in leaves:
        for kind in type(leaf).__mro__:
            name = FRAMEWORKS.get(kind.__module__.partition(".")[0])
            if name:
                return name
    return None


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", None) or type(f).__name__


def _number(value: Any) -> float:
    # torch warns when a tensor that requires a gradient becomes a number.
    return float(value.detach() if hasattr(value, "detach") else value)


def _same(native: Any, original: Any) -> bool:
    array = private_numpy(native)
    floating = array.dtype.kind == "f"
    return np.array_equal(array, private_numpy(original), equal_nan=floating)
