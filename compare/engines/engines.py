"""What is compared: a backend, the function as it sees it, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.checks import is_floating
from gradparity.backends.errors import InvalidParameters
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import (
    PyTree,
    flatten,
    is_array,
    leaf_names,
    private_numpy,
    tree_map,
    unflatten,
)

from ..checking.candidate import Candidate, read_candidate
from ..checking.function import Function
from ..ports.layouts import Layout
from .evaluations import Evaluations, OutOfTime, loop_evaluations

# By differences each entry costs two evaluations: these few are worth them in any case.
AFFORDABLE_ENTRIES = 500
AFFORDABLE_SECONDS = 10.0
SAMPLED_ENTRIES = 256


@dataclass(frozen=True)
class Point:
    """Where gradients are compared: float64 NumPy arrays, rounded to the coarsest dtype in use."""

    params: PyTree
    args: tuple[PyTree, ...]

    @property
    def leaves(self) -> list[np.ndarray]:
        return flatten(self.params)[0]

    @property
    def names(self) -> tuple[str, ...]:
        return leaf_names(self.params)

    @property
    def size(self) -> int:
        return sum(leaf.size for leaf in self.leaves)

    def moved(self, leaves: list[np.ndarray]) -> "Point":
        return replace(self, params=unflatten(flatten(self.params)[1], leaves))


@dataclass(frozen=True)
class Engine:
    """A backend and the function that it differentiates, under a name of its own.

    function: as it was given; a native implementation may return (value, intermediates)
    layout: how a native implementation holds the common params; None where it takes them as
        they are
    """

    label: str
    backend: Backend
    function: ModelFunction = field(repr=False)
    layout: Layout | None = None

    @property
    def differences(self) -> bool:
        """Tell whether the backend differences f, and has the errors of that."""
        return self.backend.differences

    @property
    def has_other_ways(self) -> bool:
        """Tell whether the backend has rules of its own for more than its gradient."""
        kind = type(self.backend)
        return (
            kind.other_gradients is not Backend.other_gradients
            or kind.pushforward is not Backend.pushforward
        )

    def f(self, params: PyTree, *args: PyTree) -> Any:
        """Return what the function gives for the common params, in the backend's arrays."""
        native = self.layout.native(params, self.backend.xp) if self.layout else params
        return self.function(native, *args)

    def value_of(self, params: PyTree, *args: PyTree) -> Any:
        """Return f without intermediates."""
        output = self.f(params, *args)
        return output[0] if self.layout and isinstance(output, tuple) else output

    @property
    def differentiated(self) -> ModelFunction:
        """The function to differentiate: the given one itself, where it is one, to be known by."""
        return self.value_of if self.layout else self.function

    def intermediates(self, point: Point) -> Mapping[str, np.ndarray]:
        """Return the intermediate values that f reports, in its order; none where it does not."""
        params, args = self.native(point)
        output = self.backend._scoped(self.f)(params, *args)
        named = output[1] if isinstance(output, tuple) else {}
        return {name: np.asarray(private_numpy(named[name]), np.float64) for name in named}

    def native(self, point: Point) -> tuple[PyTree, tuple[PyTree, ...]]:
        """Return private copies of params and args in the backend's arrays and dtype."""
        return self.backend.asarray(point.params), tree_map(self._native_arg, point.args)

    def _native_arg(self, leaf: Any) -> Any:
        # What NumPy does not hold, such as JAX's random keys, is for f to understand.
        return self.backend.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf

    def value(self, point: Point) -> float:
        params, args = self.native(point)
        return _number(self.backend._scoped(self.value_of)(params, *args))

    def in_dtype(self, dtype: str) -> "Engine":
        """Return the same engine computing in that dtype."""
        if self.backend.dtype == dtype:
            return self
        return replace(self, backend=replace(self.backend, dtype=dtype))


@dataclass(frozen=True)
class Answer:
    """What an engine says about f at a point.

    gradient: as the engine returned it
    entries: for each leaf the flat indices that it was asked for, None for all of them
    """

    value: float
    gradient: PyTree
    entries: list[np.ndarray] | None = None

    def known(self, position: int, size: int) -> np.ndarray:
        """Return the flat indices of a leaf for which the engine gave an answer."""
        return np.arange(size) if self.entries is None else self.entries[position]

    def read(self, function: Function) -> Candidate:
        """Return the gradient lined up with the leaves of the function that it is of."""
        return read_candidate(self.gradient, function.leaves)


def point_for(params: PyTree, args: tuple[PyTree, ...], dtype: str) -> Point:
    """Return params and args as NumPy arrays, floating ones rounded to dtype and held in float64.

    Python numbers among the params become arrays, among the args they stay as they are.
    """

    def rounded(leaf: Any) -> Any:
        array = private_numpy(leaf, dtype)
        return array.astype(np.float64) if is_floating(array.dtype) else array

    def rounded_arg(leaf: Any) -> Any:
        if not is_array(leaf):
            return leaf
        try:
            return rounded(leaf)
        except (InvalidParameters, TypeError):  # complex numbers, random keys
            return leaf

    leaves, structure = flatten(params)
    own = []
    for name, leaf in zip(leaf_names(params), leaves, strict=True):
        try:
            own.append(rounded(leaf))
        except InvalidParameters as error:
            raise InvalidParameters(f"leaf {name or 'params'}: {error}") from None
    return Point(unflatten(structure, own), tree_map(rounded_arg, args))


def answer(engine: Engine, point: Point, seed: int = 0) -> Answer:
    """Differentiate; where every entry has its price and there are many, a sample of them.

    raises: whatever f or the backend raises
    """
    params, args = engine.native(point)
    backend: Backend = engine.backend
    f: ModelFunction = engine.differentiated
    if isinstance(backend, NumericalDifference) and point.size > AFFORDABLE_ENTRIES:
        calls = loop_evaluations(backend, params)
        f = counted = Evaluations(f, expected=calls, budget=AFFORDABLE_SECONDS)
        backend = replace(backend, progress=counted.entries_done)
    try:
        value, gradient = backend.value_and_gradient(f)(params, *args)
    except OutOfTime:
        return _sampled_answer(engine, params, args, seed)
    return Answer(_number(value), gradient)


def _sampled_answer(engine: Engine, params: PyTree, args: tuple[PyTree, ...], seed: int) -> Answer:
    """Differentiate f as a function of some entries only; NumPy arrays."""
    leaves, structure = flatten(params)
    rng = np.random.default_rng(seed)
    total = sum(leaf.size for leaf in leaves)
    shares = [
        min(
            leaf.size,
            max(SAMPLED_ENTRIES // len(leaves) // 2, SAMPLED_ENTRIES * leaf.size // total),
        )
        for leaf in leaves
    ]
    entries = [
        np.sort(rng.choice(leaf.size, share, replace=False))
        for leaf, share in zip(leaves, shares, strict=True)
    ]

    def of_the_sample(picked: list[np.ndarray], params: PyTree, *args: PyTree) -> Any:
        # In the dtype of what is moved: a small step would be lost in float32.
        moved = [
            np.array(leaf, values.dtype)
            for leaf, values in zip(flatten(params)[0], picked, strict=True)
        ]
        for leaf, indices, values in zip(moved, entries, picked, strict=True):
            leaf.reshape(-1)[indices] = values
        return engine.value_of(unflatten(structure, moved), *args)

    picked = [leaf.reshape(-1)[indices] for leaf, indices in zip(leaves, entries, strict=True)]
    value, slopes = engine.backend.value_and_gradient(of_the_sample)(picked, params, *args)
    gradient = [np.full(leaf.shape, np.nan) for leaf in leaves]
    for leaf, indices, slope in zip(gradient, entries, slopes, strict=True):
        leaf.reshape(-1)[indices] = slope
    return Answer(_number(value), unflatten(structure, gradient), entries)


def _number(value: Any) -> float:
    return float(np.asarray(private_numpy(value)))
