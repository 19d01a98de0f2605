"""Which leaf of one framework is which of another, where conventions leave one way."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
Axes = tuple[int, ...]

# What layers call the same thing: a norm's factor, a table, a matrix or kernel, an offset.
ROLES = {
    "weight": "factor", "kernel": "factor", "scale": "factor", "gamma": "factor",
    "embedding": "factor", "embeddings": "factor", "w": "factor",
    "bias": "offset", "beta": "offset", "b": "offset", "offset": "offset",
}  # fmt: skip
OUT_FIRST, OUT_LAST, TABLE = "out first", "out last", "table"
CONVENTIONS = {"weight": OUT_FIRST, "kernel": OUT_LAST, "embedding": TABLE, "embeddings": TABLE}
# Numbers at the end of a layer's name count layers: "Dense_0", "layers.2", "fc1".
COUNTED = re.compile(r"\d+")


@dataclass(frozen=True)
class Named:
    """A leaf by its dotted name and shape."""

    name: str
    shape: Shape

    @property
    def layer(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def role(self) -> str:
        return ROLES.get(self.last.lower(), self.last.lower())


def matched(
    common: Mapping[str, Shape], own: Mapping[str, Shape]
) -> dict[str, tuple[str, Axes]] | None:
    """Return for each common leaf the own one, and the axes that `permute_dims` makes it with.

    common, own: shapes by dotted name. Leaves of one name belong together; then layers by their
    shapes and roles; then layers alike by their names or, where both sides count them, in order.
    None where that leaves no way, or more than one.
    """
    if len(common) != len(own):
        return None
    left, right = _layers(common), _layers(own)
    pairs: list[tuple[str, str]] = []
    for first, second in _by_signature(left, right):
        if len(first) != len(second):
            return None
        together = _in_pairs(first, second)
        if together is None:
            return None
        pairs += together
    if len(pairs) != len(left):
        return None
    found: dict[str, tuple[str, Axes]] = {}
    for one, other in pairs:
        leaves = _leaf_pairs(left[one], right[other])
        if leaves is None:
            return None
        found.update(leaves)
    return found if len(found) == len(common) else None


def bare(name: str, shape: Shape) -> Shape:
    """Return a leaf's shape; that of an offset without axes of length one behind its first.

    A convolution's bias is (channels,) in most frameworks, and (channels, 1, 1) in Equinox.
    """
    offset = Named(name, shape).role == "offset"
    return shape[:1] if offset and all(length == 1 for length in shape[1:]) else shape


def axes_between(common: Named, own: Named) -> Axes | None:
    """Return how a common leaf's axes lie in the own one, None where the shapes forbid it.

    By the conventions of "weight" (out, in, ...) and "kernel" (..., in, out) where the names say
    so; else as they are, or reversed where only that fits.
    """
    ndim = len(common.shape)
    if len(own.shape) != ndim:
        return None
    conventions = CONVENTIONS.get(common.last), CONVENTIONS.get(own.last)
    space = tuple(range(2, ndim))
    as_is = tuple(range(ndim))
    to_out_first = (ndim - 1, ndim - 2, *range(ndim - 2))
    to_out_last = (*space, 1, 0)
    orders: list[Axes] = [as_is, as_is[::-1], to_out_first, to_out_last]
    if ndim > 1 and conventions == (OUT_LAST, OUT_FIRST):
        orders.insert(0, to_out_first)
    if ndim > 1 and conventions == (OUT_FIRST, OUT_LAST):
        orders.insert(0, to_out_last)
    for order in orders:
        if sorted(order) == list(as_is) and _permuted(common.shape, order) == own.shape:
            return order
    return None


def _permuted(shape: Shape, order: Axes) -> Shape:
    return tuple(shape[axis] for axis in order)


def _layers(shapes: Mapping[str, Shape]) -> dict[str, list[Named]]:
    layers: dict[str, list[Named]] = {}
    for name, shape in shapes.items():
        leaf = Named(name, shape)
        layers.setdefault(leaf.layer, []).append(leaf)
    return layers


def _signature(leaves: Sequence[Named]) -> tuple[tuple[str, Shape], ...]:
    """Return what does not depend on names and on the order of axes."""
    return tuple(sorted((leaf.role, tuple(sorted(leaf.shape))) for leaf in leaves))


def _by_signature(
    left: Mapping[str, list[Named]], right: Mapping[str, list[Named]]
) -> Iterator[tuple[list[str], list[str]]]:
    signatures = {_signature(leaves) for leaves in (*left.values(), *right.values())}
    for signature in signatures:
        yield (
            [layer for layer, leaves in left.items() if _signature(leaves) == signature],
            [layer for layer, leaves in right.items() if _signature(leaves) == signature],
        )


def _in_pairs(left: Sequence[str], right: Sequence[str]) -> list[tuple[str, str]] | None:
    """Pair layers that look alike: by their names, or in order where both sides count them."""
    if len(left) == 1:
        return [(left[0], right[0])]
    same = [(layer, layer) for layer in left if layer in right]
    left = [layer for layer in left if layer not in right]
    right = [layer for layer in right if layer not in dict(same)]
    spelled = {_spelling(layer): layer for layer in right}
    alike = [(layer, spelled[_spelling(layer)]) for layer in left if _spelling(layer) in spelled]
    if len(spelled) == len(right) and len(alike) == len(left):
        return [*same, *alike]
    if len(left) == 1 or (_counted(left) and _counted(right)):
        return [*same, *zip(_in_order(left), _in_order(right), strict=True)]
    return None


def _spelling(layer: str) -> str:
    """Return the name without what frameworks write differently."""
    return re.sub(r"[^a-z0-9]", "", layer.lower())


def _counted(layers: Sequence[str]) -> bool:
    """Tell whether numbers alone tell these layers apart, so that they have an order."""
    numbers = [tuple(map(int, COUNTED.findall(layer))) for layer in layers]
    stems = {COUNTED.sub("#", layer) for layer in layers}
    return len(stems) == 1 and len(set(numbers)) == len(layers)


def _in_order(layers: Sequence[str]) -> list[str]:
    return sorted(layers, key=lambda layer: tuple(map(int, COUNTED.findall(layer))))


def _leaf_pairs(
    left: Sequence[Named], right: Sequence[Named]
) -> dict[str, tuple[str, Axes]] | None:
    """Return the one way to pair the leaves of two layers by role, name and shape."""
    ways = []
    for order in itertools.permutations(right) if len(right) <= 4 else [right]:
        axes = [axes_between(one, other) for one, other in zip(left, order, strict=True)]
        if all(one.role == other.role for one, other in zip(left, order, strict=True)):
            if None not in axes:
                ways.append(
                    {
                        one.name: (other.name, turned)
                        for one, other, turned in zip(left, order, axes, strict=True)
                        if turned is not None
                    }
                )
    exact = [way for way in ways if all(_last(a) == _last(b) for a, (b, _) in way.items())]
    ways = exact or ways
    return ways[0] if len(ways) == 1 else None


def _last(name: str) -> str:
    return name.rpartition(".")[2]
