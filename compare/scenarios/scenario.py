"""A function to differentiate, as data: a point, and what is known of it there."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.random import Generator

from gradparity.backends.pytrees import tree_map

Point = tuple[Any, tuple[Any, ...]]
Draw = Callable[[Generator, int], Point]

# How far other points are from a scenario's own, where it does not say how they are drawn.
SPREAD = 0.3
# The size of what is drawn, unless another one is asked for: rows, columns, units.
SIZE = 4


@dataclass(frozen=True, eq=False)
class Scenario:
    """A function with the parameters and arguments to differentiate it at.

    f: `f(params, *args)`, over the array API: a scalar, or a pytree of arrays
    params: pytree of float64 NumPy arrays
    batch: samples that f is the mean of, 1 if of none
    kinks: whether f has several one-sided derivatives at this point, or none
    blamed: engines of jax 0.10 and torch 2.13 that are wrong at this point
    draw: gives other points in float64, from a generator and about how large they are to be
    """

    name: str
    f: Callable[..., Any] = field(repr=False)
    params: Any = field(repr=False)
    args: tuple[Any, ...] = field(default=(), repr=False)
    batch: int = 1
    kinks: bool = False
    blamed: tuple[str, ...] = ()
    draw: Draw | None = field(default=None, repr=False)

    @classmethod
    def drawn_first(cls, name: str, f: Callable[..., Any], draw: Draw, batch: int = 1) -> Self:
        """Return the scenario at the first of the points that it draws."""
        params, args = draw(np.random.default_rng(0), SIZE)
        return cls(name, f, params, args, batch, draw=draw)

    def drawn(self, generator: Generator, size: int = SIZE) -> Self:
        """Return the same function at another point."""
        if self.draw is not None:
            params, args = self.draw(generator, size)
            return replace(self, params=params, args=args)

        def moved(leaf: np.ndarray) -> np.ndarray:
            return np.asarray(leaf + SPREAD * generator.normal(size=leaf.shape))

        return replace(self, params=tree_map(moved, self.params))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Return normal numbers, the same ones for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def named(scenarios: tuple[Scenario, ...], name: str) -> Scenario:
    (found,) = [scenario for scenario in scenarios if scenario.name == name]
    return found
