"""Backends that are wrong on purpose: each wraps an honest one and distorts its gradients."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction, Operator
from gradparity.backends.pytrees import Array, PyTree, flatten, leaf_names, private_numpy, unflatten


@dataclass(frozen=True)
class Liar(Backend):
    """The honest backend, in this one's dtype; what it answers for each leaf goes through `lie`."""

    name: ClassVar[str] = "liar"
    requirement: ClassVar[str] = "numpy"

    honest: Backend

    def lie(self, leaf: str, gradient: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @property
    def inner(self) -> Backend:
        return dataclasses.replace(self.honest, dtype=self.dtype)

    @property
    def xp(self) -> Any:
        return self.inner.xp

    def to_native(self, array: np.ndarray) -> Array:
        return self.inner.to_native(array)

    def _is_native(self, leaf: Any) -> bool:
        return self.inner._is_native(leaf)

    def _scoped(self, operator: Operator) -> Operator:
        return self.inner._scoped(operator)

    def differentiate(self, f: ModelFunction) -> Operator:
        differentiate = self.inner.differentiate(f)

        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            value, gradient = differentiate(params, *args)
            leaves, structure = flatten(gradient)
            lies = [
                self.inner.asarray(np.asarray(self.lie(name, private_numpy(leaf))))
                for name, leaf in zip(leaf_names(gradient), leaves, strict=True)
            ]
            return value, unflatten(structure, lies)

        return value_and_gradient


@dataclass(frozen=True)
class Scaled(Liar):
    """Multiply the gradient, in one leaf or in all."""

    factor: float = 2.0
    leaf: str | None = None

    def lie(self, leaf: str, gradient: np.ndarray) -> np.ndarray:
        return gradient * self.factor if self.leaf in (None, leaf) else gradient


@dataclass(frozen=True)
class Shifted(Liar):
    """Add to one entry of one leaf."""

    leaf: str = ""
    index: tuple[int, ...] = ()
    shift: float = 1e-3

    def lie(self, leaf: str, gradient: np.ndarray) -> np.ndarray:
        if leaf == self.leaf:
            gradient[self.index] += self.shift
        return gradient


@dataclass(frozen=True)
class Replaced(Liar):
    """Return one number for every entry of one leaf, or of all."""

    number: float = float("nan")
    leaf: str | None = None

    def lie(self, leaf: str, gradient: np.ndarray) -> np.ndarray:
        return np.full_like(gradient, self.number) if self.leaf in (None, leaf) else gradient


@dataclass(frozen=True)
class Transposed(Liar):
    """Reverse the axes of every square leaf."""

    def lie(self, leaf: str, gradient: np.ndarray) -> np.ndarray:
        return gradient.T.copy()


@dataclass(frozen=True)
class WrongValue(Liar):
    """Add to the value of f; the gradient is right."""

    shift: float = 1e-3

    def differentiate(self, f: ModelFunction) -> Operator:
        differentiate = self.inner.differentiate(f)

        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            value, gradient = differentiate(params, *args)
            return value + self.shift, gradient

        return value_and_gradient
