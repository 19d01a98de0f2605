"""Who takes part: a backend, the function as it sees it, and what it answers at a point."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from gradparity.backends import Backend, BackendUnavailable, get_backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.errors import GradparityError, InvalidParameters, InvalidSetting
from gradparity.backends.framework_trees import FrameworkStructure
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.precision import is_floating
from gradparity.backends.pytrees import (
    PyTree,
    flatten,
    is_array,
    leaf_names,
    private_numpy,
    tree_map,
    unflatten,
)
from gradparity.backends.registry import device_of
from gradparity.backends.rounding import lift

from ..checking.candidate import Candidate, read_candidate
from ..checking.function import LIFTING, Function
from ..ports.layouts import Layout, Rename, Transpose, layout_of
from ..ports.native_trees import OWN_PARAMETERS, NativeTree, is_module, module_loss, native_tree
from .evaluations import Evaluations, OutOfTime, loop_evaluations

DEFAULT_BACKENDS = ("numerical", "jax", "torch")
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

    def beside(self, distance: float, rng: np.random.Generator) -> "Point":
        """Return a point that is off by up to this distance, relative to the size of each entry."""

        def moved(leaf: Any) -> Any:
            if not isinstance(leaf, np.ndarray) or not is_floating(leaf.dtype):
                return leaf
            size = np.abs(leaf) if leaf.any() else 1.0
            return leaf + distance * size * rng.uniform(-1, 1, leaf.shape)

        return Point(tree_map(moved, self.params), tree_map(moved, self.args))


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

    @property
    def may_widen(self) -> bool:
        """Tell whether what f holds in a lower precision can be widened to what it computes in."""
        return self.backend.name in LIFTING and self.backend.dtype == "float64"

    def in_dtype(self, dtype: str) -> "Engine":
        """Return the same engine computing in that dtype."""
        if self.backend.dtype == dtype:
            return self
        return replace(self, backend=replace(self.backend, dtype=dtype))

    def in_the_framework_of(self, function: Function) -> "Engine":
        """Let differences be taken of f where it computes in float64: in its own framework."""
        if not self.differences or function.backend.name == "numerical":
            return self

        def through(params: PyTree, *args: PyTree) -> Any:
            leaves = [np.asarray(leaf, np.float64) for leaf in flatten(params)[0]]
            return np.float64(function.at(dict(enumerate(leaves))))

        backend = self.backend
        if isinstance(backend, NumericalDifference):
            backend = replace(backend, method="loop")  # there is nothing to record in a black box
        return replace(self, function=through, backend=backend)


@dataclass(frozen=True)
class Answer:
    """What an engine says about f at a point.

    gradient: as the engine returned it
    entries: for each leaf the flat indices that it was asked for, None for all of them
    is_widened: whether f ran with what it holds in a lower precision, and its casts, in float64
    """

    value: float
    gradient: PyTree
    entries: list[np.ndarray] | None = None
    is_widened: bool = False

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
    except Exception as error:
        if isinstance(error, GradparityError) or not engine.may_widen:
            raise
        try:  # what f holds in float32 may have no place among float64
            value, gradient = lift(f, backend.name).value_and_gradient(params, *args)
        except Exception:
            raise error from None
        return Answer(_number(value), gradient, is_widened=True)
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


# Backends by name or value, each with its function.


@dataclass(frozen=True)
class Entrants:
    """The engines of a comparison, and the parameters that they share.

    params: common to all; left_out: default backends that are not installed, with the reason
    own: for a native implementation that came with parameters of its own, those
    by_name: whether somebody asked for these backends, who wants to know if one fails
    """

    engines: tuple[Engine, ...]
    params: PyTree
    left_out: tuple[tuple[str, str], ...] = ()
    own: Mapping[str, NativeTree] = field(default_factory=dict)
    by_name: bool = True


def entrants(
    f: ModelFunction | Mapping[str, Any],
    params: PyTree,
    args: tuple[PyTree, ...],
    backends: Sequence[str | Backend],
    dtype: str,
    rename: Mapping[str, Rename] | None = None,
    transpose: Mapping[str, Transpose] | None = None,
) -> Entrants:
    """Return an engine for each backend, or for each native implementation in a mapping.

    A backend given by name computes on the device that its arrays among all of these are on.
    raises: BackendUnavailable for a backend named explicitly, InvalidSetting for names that do not
        fit together, ShapeMismatch
    """
    if not isinstance(f, Mapping):
        if rename or transpose:
            raise InvalidSetting(
                "got rename or transpose with one function; expected a mapping of native "
                "implementations such as {'jax': f_jax, 'torch': f_torch}"
            )
        chosen, missing = _load(backends, dtype, flatten((params, args))[0])
        shared = tuple(Engine(label, backend, f) for label, backend in _labelled(chosen))
        return Entrants(shared, params, missing, by_name=backends is not DEFAULT_BACKENDS)
    left_out: tuple[tuple[str, str], ...] = ()
    held = [getattr(one, OWN_PARAMETERS, one if is_module(one) else None) for one in f.values()]
    leaves = flatten((params, args, held))[0]
    if backends is DEFAULT_BACKENDS:
        # What stands before a colon is the backend; the whole is the implementation's name.
        labelled = [(name, _named(name.partition(":")[0], dtype, leaves)) for name in f]
    else:
        chosen, left_out = _load(backends, dtype, leaves)
        labelled = _labelled(chosen)
    _check_names("backends", [label for label, _ in labelled], f)
    for what, named in (("rename", rename), ("transpose", transpose)):
        _check_names(what, named or {}, f)
    trees = params if isinstance(params, Mapping) and set(params) == set(f) else {}
    own = {label: native_tree(trees[label]) for label, _ in labelled if label in trees}
    common = _common(trees[labelled[0][0]]) if own else _plain(params)
    engines = []
    for label, backend in labelled:
        tree = own.get(label) or _known_tree(f[label])
        layout = layout_of(
            label, common, tree, (rename or {}).get(label), (transpose or {}).get(label, ())
        )
        function = module_loss(f[label]) if is_module(f[label]) else f[label]
        engines.append(Engine(label, backend, function, layout))
    return Entrants(tuple(engines), common, left_out, own)


def _known_tree(f: Any) -> NativeTree | None:
    """Return the parameters of a module, or of the model that a function was made of."""
    if is_module(f):
        return native_tree(f)
    model = getattr(f, OWN_PARAMETERS, None)
    return None if model is None else native_tree(model)


def _plain(params: PyTree) -> PyTree:
    """Return params that came as a model as a dict by the names of its leaves."""
    model = isinstance(flatten(params)[1], FrameworkStructure)
    return _common(params) if model else params


def _named(name: str, dtype: str, leaves: Iterable[Any]) -> Backend:
    return get_backend(name, dtype=dtype, device=device_of(name, leaves))


def _load(
    backends: Sequence[str | Backend], dtype: str, leaves: Sequence[Any]
) -> tuple[list[Backend], tuple[tuple[str, str], ...]]:
    chosen, left_out = [], []
    for backend in backends:
        if isinstance(backend, Backend):
            chosen.append(backend)
            continue
        try:
            chosen.append(_named(backend, dtype, leaves))
        except BackendUnavailable as error:
            # The very tuple of the signature: nobody asked for this backend by its name.
            if backends is not DEFAULT_BACKENDS:
                raise
            left_out.append((backend, str(error)))
    if not chosen:
        raise InvalidSetting("got no backends; expected at least one, such as 'jax' or 'torch'")
    return chosen, tuple(left_out)


def _labelled(backends: Sequence[Backend]) -> list[tuple[str, Backend]]:
    """Name each backend; where two have one name, by what their settings differ in."""
    labels: list[str] = []
    for backend in backends:
        alike = [other for other in backends if other.name == backend.name]
        label = backend.name if len(alike) == 1 else f"{backend.name}[{_settings(backend, alike)}]"
        taken = sum(other.partition(" #")[0] == label for other in labels)
        labels.append(f"{label} #{taken + 1}" if taken else label)
    return list(zip(labels, backends, strict=True))


def _settings(backend: Backend, alike: Sequence[Backend]) -> str:
    differing = [
        field.name
        for field in fields(backend)
        if len({str(getattr(other, field.name, None)) for other in alike}) > 1
    ]
    return ", ".join(str(getattr(backend, name)) for name in differing) or backend.dtype


def _check_names(what: str, names: Iterable[str], f: Mapping[str, Any]) -> None:
    for name in names:
        if name not in f:
            raise InvalidSetting(
                f"{what}: got {name!r}, expected a key of the mapping of native implementations: "
                f"{', '.join(map(repr, f))}"
            )


def _common(own: PyTree) -> PyTree:
    """Return the first implementation's parameters as NumPy arrays, a dict for a module's own."""
    leaves, structure = flatten(own)
    if not isinstance(structure, FrameworkStructure) and all(map(is_array, leaves)):
        return tree_map(private_numpy, own)
    tree = native_tree(own)
    return {n: private_numpy(leaf) for n, leaf in zip(tree.names, tree.leaves, strict=True)}
