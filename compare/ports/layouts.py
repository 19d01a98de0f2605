"""How a native implementation's parameters correspond to the common ones: names and axes."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from gradparity.backends.errors import InvalidSetting, ShapeMismatch
from gradparity.backends.pytrees import Array, PyTree, flatten, leaf_names, unflatten

from ..transforms import Made
from .matching import bare, matched
from .native_trees import NativeTree, dotted_names

Axes: TypeAlias = tuple[int, ...]
Rename: TypeAlias = Mapping[str, str | Made]
Transpose: TypeAlias = Mapping[str, Sequence[int]] | Collection[str]

MOST_PERMUTED_AXES = 4  # a kernel of two spatial axes has 24 orders; more axes have hundreds


@dataclass(frozen=True)
class Layout:
    """How one implementation holds the parameters, leaf by leaf in common order.

    names: its own, dotted as in "layers.0.weight"; of several where a leaf goes into several
    axes: those that `permute_dims` turns each common leaf into its own with
    build: puts its own leaves, in common order, into its own pytree
    mixed: the positions of common leaves that its own are made of in another way
    """

    names: tuple[str, ...]
    axes: tuple[Axes, ...]
    build: Callable[[Sequence[Array]], PyTree] = field(repr=False)
    mixed: frozenset[int] = frozenset()

    def native(self, params: PyTree, xp: Any) -> PyTree:
        """Return the implementation's pytree for a common one, with arrays of the namespace xp."""
        leaves = flatten(params)[0]
        return self.build(
            [
                leaf if axes == tuple(range(len(axes))) else xp.permute_dims(leaf, axes)
                for leaf, axes in zip(leaves, self.axes, strict=True)
            ]
        )

    def permuted(self, position: int, axes: Sequence[int]) -> "Layout":
        """Return this layout with the axes of one leaf permuted once more."""
        composed = tuple(self.axes[position][axis] for axis in axes)
        return replace(self, axes=(*self.axes[:position], composed, *self.axes[position + 1 :]))

    def permutations(self) -> Iterator[tuple[str, "Layout"]]:
        """Yield what may have been forgotten, in words, and the layout that makes up for it.

        First each leaf with its axes reversed, then all of them, then every other order of axes.
        """
        matrices = [k for k, axes in enumerate(self.axes) if len(axes) >= 2 and k not in self.mixed]
        every = self
        for position in matrices:
            backwards = range(len(self.axes[position]))[::-1]
            every = every.permuted(position, backwards)
            yield f"{self.names[position]} is transposed", self.permuted(position, backwards)
        if len(matrices) > 1:
            yield "every leaf is transposed", every
        for position in matrices:
            if 2 < len(self.axes[position]) <= MOST_PERMUTED_AXES:
                for order in itertools.permutations(range(len(self.axes[position]))):
                    yield (
                        f"the axes of {self.names[position]} are taken in the order {order}",
                        self.permuted(position, order),
                    )


def layout_of(
    backend: str,
    params: PyTree,
    own: NativeTree | None = None,
    rename: Rename | None = None,
    transpose: Transpose = (),
) -> Layout:
    """Return how an implementation holds params, from its own pytree or from a rename map.

    Where the own pytree is known, what rename does not name is matched by itself, as far as
    shapes, order and the conventions of layers leave one way.

    own: its parameters, for their names and shapes; None where they follow from params: the same
        pytree, or with a rename map a flat dict under the new names
    rename: from the common to its own name (the other way round is understood), or from its own
        name to what that leaf is made of
    transpose: the leaves whose axes are reversed, or from leaf to the axes that `permute_dims`
        turns the common leaf into its own with
    raises: InvalidSetting for names that nobody has, ShapeMismatch naming the leaf
    """
    leaves, structure = flatten(params)
    common = dotted_names(params)
    spelled = dict(zip(leaf_names(params), common, strict=True)) | {name: name for name in common}
    made = {name: leaf for name, leaf in (rename or {}).items() if isinstance(leaf, Made)}
    plain = {left: right for left, right in (rename or {}).items() if isinstance(right, str)}
    sources = _sources(backend, spelled, made)
    renamed = _renamed(backend, spelled, plain)
    shapes = dict(zip(common, (tuple(np.shape(leaf)) for leaf in leaves), strict=True))
    found = _matched(shapes, own, renamed, transpose, made, sources)
    renamed = {**{name: other for name, (other, _) in found.items()}, **renamed}
    mixed = frozenset(common.index(name) for name in sources)
    names = tuple(sources.get(name) or renamed.get(name, name) for name in common)
    whole = [k for k in range(len(common)) if k not in mixed]
    positions = {**{names[k]: k for k in whole}, **_positions(spelled, common)}
    axes = list(_axes(backend, leaves, positions, transpose))
    for name, (_, turned) in found.items():
        position = common.index(name)
        if position not in _named(transpose, positions) and len(turned) == len(axes[position]):
            axes[position] = turned
    if own is not None:
        kept = [(common[k], names[k], leaves[k], axes[k]) for k in whole]
        _check_own(backend, kept, own, made)

    def own_leaves(native: Sequence[Array]) -> dict[str, Array]:
        by_name = {names[k]: native[k] for k in whole}
        for name, leaf in made.items():
            by_name[name] = leaf.of([native[common.index(spelled[n])] for n in leaf.names])
        return by_name

    def build(native: Sequence[Array]) -> PyTree:
        if own is not None:
            by_name = own_leaves(native)
            return own.build(
                [
                    _shaped(name, by_name[name], tuple(leaf.shape))
                    for name, leaf in zip(own.names, own.leaves, strict=True)
                ]
            )
        return own_leaves(native) if renamed or made else unflatten(structure, native)

    return Layout(names, tuple(axes), build, mixed)


def _sources(backend: str, spelled: Mapping[str, str], made: Mapping[str, Made]) -> dict[str, str]:
    """Return the common leaves that own ones are made of, each with the names of these."""
    sources: dict[str, list[str]] = {}
    for name, leaf in made.items():
        for source in leaf.names:
            if source not in spelled:
                raise InvalidSetting(
                    f"rename for backend {backend!r}: {name!r} is made of {source!r}; expected a "
                    f"leaf of params: {_listed(spelled.values())}"
                )
            sources.setdefault(spelled[source], []).append(name)
    return {source: " and ".join(names) for source, names in sources.items()}


def _matched(
    shapes: Mapping[str, tuple[int, ...]],
    own: NativeTree | None,
    renamed: Mapping[str, str],
    transpose: Transpose,
    made: Mapping[str, Made],
    sources: Mapping[str, str],
) -> dict[str, tuple[str, Axes]]:
    """Match by themselves the leaves that nobody named; none where that is not needed."""
    if own is None:
        return {}
    own_shapes = {name: tuple(leaf.shape) for name, leaf in zip(own.names, own.leaves, strict=True)}
    taken = {*renamed.values(), *made}
    rest = {n: shape for n, shape in shapes.items() if n not in renamed and n not in sources}
    other = {name: shape for name, shape in own_shapes.items() if name not in taken}
    if rest == other:
        return {}  # the same names and shapes: what they say is what is meant
    return matched(_bare(rest), _bare(other)) or {}


def _bare(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: bare(name, shape) for name, shape in shapes.items()}


def _shaped(name: str, leaf: Array, shape: tuple[int, ...]) -> Array:
    """Return a leaf with the axes of length one that it has in its own framework."""
    given = tuple(leaf.shape)
    return leaf.reshape(shape) if given != shape and bare(name, given) == shape[:1] else leaf


def _named(transpose: Transpose, positions: Mapping[str, int]) -> set[int]:
    return {positions[name] for name in transpose if name in positions}


def _positions(spelled: Mapping[str, str], common: Sequence[str]) -> dict[str, int]:
    return {spelling: common.index(name) for spelling, name in spelled.items()}


def _renamed(backend: str, spelled: Mapping[str, str], rename: Mapping[str, str]) -> dict[str, str]:
    """Return the map from common names to own ones."""
    renamed = {}
    for left, right in rename.items():
        if left in spelled:
            renamed[spelled[left]] = right
        elif right in spelled:
            renamed[spelled[right]] = left
        else:
            raise InvalidSetting(
                f"rename for backend {backend!r}: got {left!r} and {right!r}; expected one of them "
                f"to be a leaf of params: {_listed(spelled.values())}"
            )
    return renamed


def _axes(
    backend: str, leaves: Sequence[Array], positions: Mapping[str, int], transpose: Transpose
) -> tuple[Axes, ...]:
    axes = [tuple(range(np.ndim(leaf))) for leaf in leaves]
    for name in transpose:
        if name not in positions:
            raise InvalidSetting(
                f"transpose for backend {backend!r}: got leaf {name!r}, expected one of "
                f"{_listed(positions)}"
            )
        position = positions[name]
        own = tuple(transpose[name]) if isinstance(transpose, Mapping) else axes[position][::-1]
        if sorted(own) != list(range(len(axes[position]))):
            raise InvalidSetting(
                f"transpose for backend {backend!r}: leaf {name!r} of shape "
                f"{tuple(np.shape(leaves[position]))} got axes {own}, expected an order of "
                f"{axes[position]}"
            )
        axes[position] = own
    return tuple(axes)


def _check_own(
    backend: str,
    kept: Sequence[tuple[str, str, Array, Axes]],
    own: NativeTree,
    made: Mapping[str, Made],
) -> None:
    names = [*(name for _, name, _, _ in kept), *made]
    if sorted(own.names) != sorted(names):
        raise InvalidSetting(
            f"backend {backend!r} has parameters {_listed(set(own.names) - set(names))} without a "
            f"counterpart, and lacks {_listed(set(names) - set(own.names))}, and shapes and the "
            "conventions of layers leave more than one way, or none; expected one for each other: "
            f"rename={{{backend!r}: {{common name: own name}}}}, or own name: "
            "transforms.fused(...) and its like"
        )
    shapes = {name: tuple(leaf.shape) for name, leaf in zip(own.names, own.leaves, strict=True)}
    for common_name, name, leaf, order in kept:
        shape = tuple(np.shape(leaf)[axis] for axis in order)
        if bare(common_name, shape) != bare(name, shapes[name]):
            raise ShapeMismatch(
                f"leaf {common_name} ({backend}: {name}): got shape {shape}, expected "
                f"{shapes[name]}; where its axes differ, say so with "
                f"transpose={{{backend!r}: [{name!r}]}}"
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"
