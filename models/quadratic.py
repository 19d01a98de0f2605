"""Quadratic functions, whose gradient and descent are known in closed form."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.pytrees import Array

from .functions import array_namespace


@dataclass(frozen=True)
class Quadratic:
    """The sum of `square * x**2 + linear * x` over all entries of x.

    `Quadratic()` is x0**2 + x1**2; `Quadratic.one_variable()` is 0.01 x**2 + 0.1 x.

    >>> gp.Quadratic().loss(np.asarray([3.0, 4.0]))
    np.float64(25.0)
    """

    square: float = 1.0
    linear: float = 0.0
    size: int = 2

    @classmethod
    def one_variable(cls) -> Self:
        return cls(square=0.01, linear=0.1, size=1)

    def init(self, seed: int) -> NDArray[np.float64]:
        """Return a point of shape (size,), standard normal."""
        return np.random.default_rng(seed).standard_normal(self.size)

    def loss(self, params: Array) -> Array:
        """Return the value at params, an array of any shape."""
        terms = params * params
        # A coefficient of one or zero would cost as much as the square itself.
        if self.square != 1:
            terms = self.square * terms
        if self.linear:
            terms = terms + self.linear * params
        return array_namespace(params).sum(terms)
