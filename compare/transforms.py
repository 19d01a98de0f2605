"""Leaves that are no other leaf's transpose: fused, cut and added up.

Each function here says what one of an implementation's own leaves is made of, as a value of
`rename`:

>>> rename = {"torch": {
...     "attention.qkv.weight": gp.transforms.fused("query.kernel", "key.kernel", "value.kernel"),
...     "lstm.bias_hh_l0": gp.transforms.zeros("lstm.bias"),
... }}
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from array_api_compat import array_namespace

from gradparity.backends.pytrees import Array

__all__ = ["Made", "fused", "made", "piece", "summed", "zeros"]


@dataclass(frozen=True)
class Made:
    """An own leaf as a function of common ones.

    names: of the common leaves, dotted; by: takes the namespace of the arrays, then these leaves

    >>> isinstance(gp.transforms.summed("first.bias", "second.bias"), gp.transforms.Made)
    True
    """

    names: tuple[str, ...]
    by: Callable[..., Array] = field(repr=False)

    def of(self, leaves: Sequence[Array]) -> Array:
        return self.by(array_namespace(*leaves), *leaves)


def made(*names: str, by: Callable[..., Array]) -> Made:
    """Return an own leaf that is `by(xp, *common leaves)`; differentiated through.

    >>> halves = gp.transforms.made("w", by=lambda xp, w: xp.reshape(w, (2, -1)))
    >>> halves.of([np.arange(4.0)])
    array([[0., 1.],
           [2., 3.]])
    """
    return Made(names, by)


def fused(*names: str, axis: int = 0, transpose: bool = False) -> Made:
    """Return an own leaf that is common ones end to end: the gates of an LSTM, or q, k and v.

    axis: of the own leaf; transpose: the axes of each common leaf are reversed before

    >>> query, key = np.zeros((2, 3)), np.ones((2, 3))
    >>> gp.transforms.fused("query", "key", transpose=True).of([query, key]).shape
    (6, 2)
    """
    return Made(
        names,
        lambda xp, *leaves: xp.concat([_turned(xp, leaf, transpose) for leaf in leaves], axis=axis),
    )


def piece(name: str, index: int, of: int, *, axis: int = 0, transpose: bool = False) -> Made:
    """Return an own leaf that is one of several equal pieces of a common one.

    axis: of the common leaf, along which piece number `index` of `of` is cut; transpose: the axes
    of the piece are reversed after

    >>> gp.transforms.piece("qkv", 1, of=3).of([np.arange(6.0)])
    array([2., 3.])
    """

    def cut(xp: Any, leaf: Array) -> Array:
        length = leaf.shape[axis] // of
        where = [slice(None)] * leaf.ndim
        where[axis] = slice(index * length, (index + 1) * length)
        return _turned(xp, leaf[tuple(where)], transpose)

    return Made((name,), cut)


def summed(*names: str) -> Made:
    """Return an own leaf that is the sum of common ones: one bias for two.

    >>> gp.transforms.summed("bias_ih", "bias_hh").of([np.ones(2), np.ones(2)])
    array([2., 2.])
    """
    return Made(names, lambda xp, *leaves: sum(leaves[1:], start=leaves[0]))


def zeros(like: str) -> Made:
    """Return an own leaf of zeros with the shape of a common one: the second of two biases.

    >>> gp.transforms.zeros("bias").of([np.ones(2)])
    array([0., 0.])
    """
    return Made((like,), lambda xp, leaf: xp.zeros_like(leaf))


def _turned(xp: Any, leaf: Array, transpose: bool) -> Array:
    return xp.permute_dims(leaf, tuple(range(leaf.ndim))[::-1]) if transpose else leaf
