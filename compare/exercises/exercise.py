"""What an exercise is: a forward pass, inputs to try it at, and mistakes that are often made."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.random import Generator

Inputs = dict[str, Any]
"""The arguments of a forward pass by their names, in its order."""

Wrong = Callable[..., Mapping[str, Any]]
"""Called with dy and the inputs by name; returns wrong gradients by argument."""


@dataclass(frozen=True)
class Mistake:
    """A classic mistake: what a person is told, and the gradients that it leads to."""

    words: str
    wrong: Wrong


@dataclass(frozen=True)
class Case:
    """Inputs to try a backward pass at, and the gradient that comes in."""

    dy: Any
    inputs: Inputs


@dataclass(frozen=True)
class Exercise:
    """A backward pass to write.

    forward: of NumPy arrays; its name is the exercise's
    arguments: those to differentiate by; the backward pass returns their gradients in this order
    draw: (generator, square) -> inputs, of all sizes different or all alike
    needs: functions that the forward pass calls
    hint: a sentence for the starter file
    """

    forward: Callable[..., Any]
    arguments: tuple[str, ...]
    draw: Callable[[Generator, bool], Inputs]
    mistakes: tuple[Mistake, ...]
    needs: tuple[Callable[..., Any], ...] = ()
    hint: str = ""

    @property
    def name(self) -> str:
        return self.forward.__name__

    @property
    def backward(self) -> str:
        """The name of the function to write."""
        return f"{self.name}_backward"

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.forward).parameters)

    def cases(self, seed: int) -> tuple[Case, ...]:
        """Return two cases of different sizes, and one in which all sizes are alike.

        What has the wrong shape cannot run in the first two, and may show what it is in the last.
        """
        generator = np.random.default_rng([seed, *self.name.encode()])
        drawn = [self.draw(generator, square) for square in (False, False, True)]
        return tuple(
            Case(_cotangent(self.forward(**inputs), generator), inputs) for inputs in drawn
        )


def _cotangent(output: Any, generator: Generator) -> Any:
    """Return a gradient like the output, with no entry near zero, where a mask could hide."""
    shape = np.shape(output)
    size = generator.uniform(0.5, 2, shape) * generator.choice([-1.0, 1.0], shape)
    return float(size) if shape == () else size


def shapes(inputs: Mapping[str, Any]) -> str:
    """Return "x (4, 3), b (3,)": what a person needs to know where shapes do not fit."""
    return ", ".join(
        f"{name} {value.shape}" for name, value in inputs.items() if isinstance(value, ndarray)
    )
