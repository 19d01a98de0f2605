"""Steps of gradient descent in PyTorch that never hold the gradient of a weight.

The gradient of W in `addmm(b, x, W)` is x.T @ d, with d the gradient of what addmm gives out. Once
d is known, `W.addmm_(x.T, d, alpha=-rate)` is the product and the update in one pass: on a small
network a sixth of a step, which is otherwise spent on writing the product down and adding it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from .precision import unit_roundoff
from .pytrees import PyTree, flatten, unflatten

# A sum of products in another order: some hundreds of roundings of the largest entry.
ROUNDINGS = 1_000


class NotFused(Exception):
    """f uses its parameters in other ways."""


class Use(NamedTuple):
    """One call `addmm(bias, x, weights)`, and the output and versions that it had."""

    bias: torch.Tensor
    x: torch.Tensor
    weights: torch.Tensor
    output: torch.Tensor
    versions: tuple[int, int]

    @property
    def is_unchanged(self) -> bool:
        return self.versions == (self.x._version, self.output._version)


class Weights(torch.Tensor):
    """Stands for a parameter while f runs: it knows no operation but addmm, which it notes.

    plain: the parameter itself, which autograd does not follow; uses: where calls are noted
    """

    plain: torch.Tensor
    uses: list[Use]
    ndim = property(lambda self: self.plain.ndim)
    shape = property(lambda self: self.plain.shape)
    dtype = property(lambda self: self.plain.dtype)
    device = property(lambda self: self.plain.device)

    @classmethod
    def of(cls, plain: torch.Tensor, uses: list[Use]) -> "Weights":
        weights: Weights = plain.as_subclass(cls)
        weights.plain, weights.uses = plain, uses
        return weights

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        if function is not torch.addmm or kwargs or len(args) != 3:
            raise NotFused
        bias, x, weights = args
        if type(x) is not torch.Tensor or not (type(bias) is type(weights) is Weights):
            raise NotFused
        if bias.ndim != 1:
            raise NotFused
        output: torch.Tensor = torch.addmm(bias.plain, x, weights.plain)
        if not output.requires_grad:
            output.requires_grad_()
        versions = (x._version, output._version)
        weights.uses.append(Use(bias.plain, x.detach(), weights.plain, output, versions))
        return output


class FusedDescent:
    """Steps `(params, *args) -> value` that change params in place.

    raises: NotFused, before anything has been changed
    """

    def __init__(self, f: Callable[..., Any], rate: float) -> None:
        self._f, self._rate = f, rate
        self._params: PyTree = None
        self._marked: PyTree = None
        self._uses: list[Use] = []

    def __call__(self, params: PyTree, *args: PyTree) -> torch.Tensor:
        value, uses, slopes = self._differentiate(params, args)
        for use, slope in zip(uses, slopes, strict=True):
            if slope is not None:
                use.weights.addmm_(use.x.t(), slope, alpha=-self._rate)
                use.bias.sub_(slope.sum(0), alpha=self._rate)
        return value.detach()

    def agrees(self, gradient: PyTree, params: PyTree, *args: PyTree) -> bool:
        """Tell whether what a step would subtract is this gradient, and nothing is changed."""
        leaves = flatten(params)[0]
        if any(leaf.requires_grad for leaf in leaves):
            return False
        try:
            _, uses, slopes = self._differentiate(params, args)
        except NotFused:
            return False
        sums = {id(leaf): torch.zeros_like(leaf) for leaf in leaves}
        for use, slope in zip(uses, slopes, strict=True):
            if slope is not None:
                sums[id(use.weights)] += use.x.t() @ slope
                sums[id(use.bias)] += slope.sum(0)
        return all(
            bool((own - right).abs().max() <= ROUNDINGS * unit_roundoff(right) * right.abs().max())
            for own, right in zip(sums.values(), flatten(gradient)[0], strict=True)
        )

    def _differentiate(
        self, params: PyTree, args: tuple[PyTree, ...]
    ) -> tuple[torch.Tensor, Sequence[Use], Sequence[torch.Tensor | None]]:
        if params is not self._params:
            leaves, structure = flatten(params)
            marked = [Weights.of(leaf, self._uses) for leaf in leaves]
            self._params, self._marked = params, unflatten(structure, marked)
        self._uses.clear()  # an f that failed has left some
        value = self._f(self._marked, *args)
        uses = tuple(self._uses)
        self._uses.clear()  # with the graph that they hold
        if type(value) is not torch.Tensor or value.dim() or not value.requires_grad:
            raise NotFused
        if not (uses and all(use.is_unchanged for use in uses)):
            raise NotFused
        slopes = torch.autograd.grad(value, [use.output for use in uses], allow_unused=True)
        return value, uses, slopes
