"""Gradient descent on any function, with the whole path kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradparity.backends import Backend, get_backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.pytrees import Array, PyTree, is_array, tree_map

from .checks import check_count, check_learning_rate


@dataclass(frozen=True, eq=False)
class DescentPath:
    """Where a descent went.

    path: like the parameters, each leaf of shape (steps + 1, *shape), the start first
    values: the function along the path, shape (steps + 1,)
    """

    path: PyTree
    values: NDArray[Any]

    @property
    def end(self) -> PyTree:
        """The last point of the path."""
        return tree_map(lambda points: points[-1], self.path)


def gradient_descent(
    f: ModelFunction,
    init_params: PyTree,
    *args: PyTree,
    backend: str | Backend,
    learning_rate: float = 0.01,
    steps: int = 100,
) -> DescentPath:
    """Follow params - learning_rate * gradient from init_params, which stays as it is.

    f: scalar function of (params, *args); args: arrays or numbers
    backend: a backend, or the name of one for float64
    returns: NumPy arrays in the backend's dtype. A learning rate that is too large shows as a
        path that grows, to infinity at last; that is an answer, not an error
    raises: InvalidSetting, InvalidParameters for integers, NonScalarLoss

    >>> descent = gp.gradient_descent(
    ...     gp.Quadratic().loss, np.asarray([-3.0, 4.0]), backend="numerical", learning_rate=0.1
    ... )
    >>> bool(np.abs(descent.end).max() < 1e-8), descent.path.shape
    (True, (101, 2))
    """
    check_count("steps", steps)
    check_learning_rate(learning_rate)
    backend = get_backend(backend) if isinstance(backend, str) else backend
    value_and_gradient = backend.value_and_gradient(f)

    def descend(params: PyTree, _: Array, *args: PyTree) -> tuple[PyTree, tuple[PyTree, Array]]:
        value, gradient = value_and_gradient(params, *args)
        return _moved(params, gradient, learning_rate), (params, value)

    # One step more than asked for: each reports where it starts, the last where all end.
    _, visited = backend.scan(
        descend,
        backend.asarray(init_params),
        backend.asarray(np.arange(steps + 1)),
        *tree_map(lambda arg: backend.asarray(arg) if is_array(arg) else arg, args),
    )
    return DescentPath(*backend.to_numpy(visited))


def _moved(params: PyTree, gradient: PyTree, learning_rate: float) -> PyTree:
    return tree_map(lambda leaf, slope: leaf - learning_rate * slope, params, gradient)
