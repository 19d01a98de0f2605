"""Jacobians from pullbacks or pushforwards, and the products of pytrees they are made with."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .pytrees import Array, PyTree, flatten, tree_map, unflatten


def inner_product(xp: Any, left: PyTree, right: PyTree) -> Array:
    """Return the sum over all leaves of the elementwise product, a scalar array."""
    products = [xp.sum(a * b) for a, b in zip(flatten(left)[0], flatten(right)[0], strict=True)]
    return sum(products[1:], start=products[0])


def tree_contractions(xp: Any, jacobian_row: PyTree, tangent: PyTree) -> Iterator[Array]:
    """Yield, leaf by leaf, what the tangent's leaf adds to the output."""
    for block, direction in zip(flatten(jacobian_row)[0], flatten(tangent)[0], strict=True):
        yield xp.tensordot(block, direction, axes=direction.ndim)


def jacobian_by_rows(
    xp: Any, output: PyTree, pullback: Any, params: PyTree, args: tuple[PyTree, ...]
) -> PyTree:
    """Build the Jacobian from one pullback for each entry of the output."""
    outputs, structure = flatten(output)
    rows = []
    for position, leaf in enumerate(outputs):
        gradients = [
            pullback(params, cotangent, *args)[1] for cotangent in unit_trees(xp, output, position)
        ]
        shape = tuple(leaf.shape)
        rows.append(
            tree_map(
                lambda *blocks, shape=shape: xp.reshape(
                    xp.stack(blocks), (*shape, *blocks[0].shape)
                ),
                *gradients,
            )
        )
    return unflatten(structure, rows)


def jacobian_by_columns(
    xp: Any, output: PyTree, pushforward: Any, params: PyTree, args: tuple[PyTree, ...]
) -> PyTree:
    """Build the Jacobian from one pushforward for each entry of the parameters."""
    inputs, input_structure = flatten(params)
    columns = []
    for position, leaf in enumerate(inputs):
        pushed = [
            flatten(pushforward(params, tangent, *args)[1])[0]
            for tangent in unit_trees(xp, params, position)
        ]
        columns.append(
            [
                xp.reshape(xp.stack(blocks, axis=-1), (*blocks[0].shape, *leaf.shape))
                for blocks in zip(*pushed, strict=True)
            ]
        )
    rows = [unflatten(input_structure, row) for row in zip(*columns, strict=True)]
    return unflatten(flatten(output)[1], rows)


def unit_trees(xp: Any, tree: PyTree, position: int) -> Iterator[PyTree]:
    """Yield, for each entry of the leaf at `position`, a tree with one 1 there and zeros."""
    leaves, structure = flatten(tree)
    zeros = [xp.zeros_like(leaf) for leaf in leaves]
    shape = tuple(leaves[position].shape)
    for entry in np.ndindex(*shape):
        unit = xp.zeros_like(leaves[position])
        mask = np.zeros(shape, dtype=bool)
        mask[entry] = True
        unit = xp.where(_like(xp, mask, unit), xp.ones_like(unit), unit)
        yield unflatten(structure, [*zeros[:position], unit, *zeros[position + 1 :]])


def _like(xp: Any, array: np.ndarray, reference: Array) -> Array:
    return xp.asarray(array, device=getattr(reference, "device", None))
