"""PyTorch: eager reverse mode by `torch.autograd.grad`, forward mode by dual numbers."""

import importlib
import warnings
from collections.abc import Iterable, Sequence
from operator import attrgetter
from types import NoneType
from typing import Any, ClassVar

import numpy as np
import torch
from array_api_compat import torch as torch_namespace
from torch.autograd import forward_ad

from .base import Backend, ModelFunction, Operator, check_scalar, scalar
from .errors import ImpureFunction
from .pytrees import MANY, Array, PyTree, check_same_shapes, flatten, tree_map, unflatten
from .torch_descent import FusedDescent, NotFused

FLOATING = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})
PLAIN = frozenset({torch.Tensor})
_version = attrgetter("_version")


class TorchAutograd(Backend):
    """Differentiate with eager autograd, about 1.8 times faster than `torch.func` on small nets."""

    name: ClassVar[str] = "torch"
    requirement: ClassVar[str] = "torch"

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        return ("cpu", *(["cuda"] if cuda else []), *cuda)

    @property
    def xp(self) -> Any:
        return torch_namespace

    def _is_native(self, leaf: Any) -> bool:
        return isinstance(leaf, torch.Tensor)

    def to_native(self, array: np.ndarray) -> Array:
        return torch.from_numpy(array).to(self.device or "cpu")

    def moved(self, leaf: Array, tangent: Array, shift: float) -> Array:
        own = None
        if leaf.numel() > MANY and leaf.device.type == "cpu":
            # NumPy's memory comes in large pages, which take a third of the time.
            own = torch.from_numpy(np.empty_like(leaf.numpy()))
        return torch.add(leaf, tangent, alpha=shift, out=own)

    def wait(self, tree: PyTree) -> PyTree:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return tree

    def value_and_gradient(self, f: ModelFunction) -> Operator:
        general = super().value_and_gradient(f)
        trusted = False

        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            nonlocal trusted
            # The checks of the contract cost as much as a small model does: an f that has kept it
            # once, at tensors that only autograd follows, needs none but those in _differentiate.
            named = type(params) is dict
            leaves = params.values() if named else (params,)
            if not (trusted and _plain(leaves, args)):
                answer: tuple[Array, PyTree] = general(params, *args)
                trusted = True
                return answer
            primals = [leaf.detach().requires_grad_() for leaf in leaves]
            tree = dict(zip(params, primals, strict=True)) if named else primals[0]
            value, gradients = _differentiate(f, primals, tree, args, args)
            return value, dict(zip(params, gradients, strict=True)) if named else gradients[0]

        return value_and_gradient

    def differentiate(self, f: ModelFunction) -> Operator:
        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            leaves, structure = flatten(params)
            given = _tensors(args)
            if any(map(torch._C._functorch.is_functorch_wrapped_tensor, (*leaves, *given))):
                gradient, value = torch.func.grad_and_value(f)(params, *args)
                return value, gradient
            nested = any(leaf.requires_grad for leaf in (*leaves, *given))
            # Without a graph of its own, the reverse mode of det, inv and others reads what they
            # kept as if it did not depend on dual numbers.
            keep = nested or forward_ad._current_level >= 0
            if not nested:
                # A function that changes its arguments is found out on copies of them.
                args = tree_map(_clone, args)
                given = _tensors(args)
            primals = [_primal(leaf) for leaf in leaves]
            with torch.enable_grad():
                value, gradients = _differentiate(
                    f, primals, unflatten(structure, primals), args, given, keep
                )
            if keep and not nested:
                value, *gradients = map(_without_graph, (value, *gradients))
            return value, unflatten(structure, gradients)

        return value_and_gradient

    def pushforward(self, f: ModelFunction) -> Operator:
        _load_forward_mode()

        def pushforward(params: PyTree, tangent: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
            params, args = self._native_params(params), self._native_args(args)
            (tangent,) = self._native_args((tangent,))
            check_same_shapes("tangent", tangent, "params", params)
            with forward_ad.dual_level():
                outputs, structure = flatten(
                    f(tree_map(forward_ad.make_dual, params, tangent), *args)
                )
                unpacked = [forward_ad.unpack_dual(output) for output in outputs]
            values = [dual.primal for dual in unpacked]
            pushed = [
                torch.zeros_like(dual.primal) if dual.tangent is None else dual.tangent
                for dual in unpacked
            ]
            return unflatten(structure, values), unflatten(structure, pushed)

        return pushforward

    def curvature(self, f: ModelFunction) -> Operator:
        # Levels of dual numbers cannot be nested, those of torch.func can.
        def curvature(params: PyTree, tangent: PyTree, *args: PyTree) -> Array:
            params, args = self._native_params(params), self._native_args(args)
            (tangent,) = self._native_args((tangent,))

            def slope(own: PyTree) -> Array:
                return torch.func.jvp(lambda inner: f(inner, *args), (own,), (tangent,))[1]

            return torch.func.jvp(slope, (params,), (tangent,))[1]

        return curvature

    def other_gradients(self, f: ModelFunction) -> dict[str, Operator]:
        # Eager autograd and functorch have rules of their own: they differ for a singular det.
        return {"torch.func.grad": torch.func.grad(scalar(f))}

    def descend(self, params: PyTree, gradient: PyTree, rate: float) -> PyTree:
        # One call for all leaves and one pass over the memory, which new tensors would come to as
        # zeroed pages of the operating system.
        leaves, structure = flatten(params)
        with torch.no_grad():
            torch._foreach_add_(leaves, flatten(gradient)[0], alpha=-rate)
        return unflatten(structure, leaves)

    def descent(self, f: ModelFunction, rate: float) -> Operator:
        plain, gradient = super().descent(f, rate), self._gradient(f)
        fused = FusedDescent(f, rate)
        trusted: bool | None = None

        def step(params: PyTree, *args: PyTree) -> tuple[PyTree, Array]:
            nonlocal trusted
            if trusted is None:
                # Before the first step, so that all of them are taken in the same way.
                trusted = fused.agrees(gradient(params, *args), params, *args)
            if trusted:
                try:
                    return params, fused(params, *args)
                except NotFused:  # f goes another way here
                    pass
            stepped: tuple[PyTree, Array] = plain(params, *args)
            return stepped

        return step


def _differentiate(
    f: ModelFunction,
    primals: list[torch.Tensor],
    params: PyTree,
    args: tuple[PyTree, ...],
    given: Sequence[torch.Tensor],
    nested: bool = False,
) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    """Return the value and one gradient for each primal.

    params: the primals in their structure; given: the tensors of args, which f must not change
    nested: an outer derivative follows this one
    """
    versions = [*map(_version, given)]
    value = f(params, *args)
    if versions != [*map(_version, given)]:
        raise ImpureFunction(
            f"{getattr(f, '__name__', 'f')} changed one of its arguments in place; "
            "expected a pure function: work on a copy, for instance x.clone()"
        )
    if type(value) not in PLAIN or value.dim() or value.dtype not in FLOATING:
        check_scalar(f, value)
        value = torch.as_tensor(value, dtype=primals[0].dtype if primals else None)
    if not (primals and value.requires_grad):
        return value, [torch.zeros_like(leaf) for leaf in primals]
    gradients = torch.autograd.grad((value,), primals, allow_unused=True, create_graph=nested)
    if NoneType in map(type, gradients):
        gradients = tuple(
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(primals, gradients, strict=True)
        )
    return value if nested else value.detach(), gradients


def _plain(leaves: Iterable[Any], args: tuple[Any, ...]) -> bool:
    """Tell whether all are tensors that no outer derivative, transform or no_grad concerns."""
    # Loops: for a few tensors they are twice as fast as a pass of map for each condition.
    for leaf in leaves:
        if type(leaf) not in PLAIN or leaf.requires_grad or leaf.dtype not in FLOATING:
            return False
    for arg in args:
        if type(arg) not in PLAIN or arg.requires_grad:
            return False
    return (
        forward_ad._current_level < 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch.is_grad_enabled()
    )


def _primal(leaf: torch.Tensor) -> torch.Tensor:
    """Return a tensor to differentiate with respect to, followed by outer derivatives too."""
    if leaf.requires_grad:  # a new node, so that other uses of the leaf do not count as this one
        return leaf.view_as(leaf)
    primal = leaf.detach().requires_grad_()
    if forward_ad._current_level < 0:
        return primal
    tangent = forward_ad.unpack_dual(leaf).tangent
    return primal if tangent is None else forward_ad.make_dual(primal, tangent)


def _without_graph(dual: torch.Tensor) -> torch.Tensor:
    unpacked = forward_ad.unpack_dual(dual)
    primal: torch.Tensor = unpacked.primal.detach()
    tangent = unpacked.tangent
    return primal if tangent is None else forward_ad.make_dual(primal, tangent.detach())


def _tensors(tree: PyTree) -> list[torch.Tensor]:
    return [leaf for leaf in flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def _clone(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def _load_forward_mode() -> None:
    # Loading it, which make_dual would do at its first call, uses a deprecated part of torch.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")
