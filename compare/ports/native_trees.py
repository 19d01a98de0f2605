"""The parameters of a native implementation, in whatever it keeps them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradparity.backends.errors import InvalidSetting
from gradparity.backends.precision import is_floating
from gradparity.backends.pytrees import Array, PyTree, flatten, is_array, tree_paths, unflatten


@dataclass(frozen=True)
class NativeTree:
    """The floating arrays of an implementation, and what holds them.

    names: dotted, as in "layers.0.weight"; leaves: in the same order
    build: puts other arrays in their places
    """

    names: tuple[str, ...]
    leaves: tuple[Array, ...]
    build: Callable[[Sequence[Array]], PyTree]


def native_tree(own: Any) -> NativeTree:
    """Return the floating arrays of a pytree, or the trainable parameters of a torch module.

    What is no floating array stays as it is.
    """
    if is_module(own):
        own = {name: leaf for name, leaf in own.named_parameters() if leaf.requires_grad}
    whole, structure = flatten(own)
    names = dotted_names(own)
    kept = [k for k, leaf in enumerate(whole) if is_array(leaf) and is_floating(leaf.dtype)]

    def build(arrays: Sequence[Array]) -> PyTree:
        leaves = list(whole)
        for position, array in zip(kept, arrays, strict=True):
            leaves[position] = array
        return unflatten(structure, leaves)

    return NativeTree(tuple(names[k] for k in kept), tuple(whole[k] for k in kept), build)


def dotted_names(tree: PyTree) -> tuple[str, ...]:
    """Name each leaf as torch modules do: "layers.0.weight", "" for a bare array."""
    return tuple(".".join(map(str, path)) for path in tree_paths(tree))


def is_module(f: Any) -> bool:
    """Tell a torch.nn.Module from a function, without importing torch."""
    return callable(getattr(f, "named_parameters", None))


def module_loss(model: Any, loss: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Return `f(params, *args)` for a model, as compare_gradients takes it.

    model: a torch.nn.Module, whose params are a dict by its names, all that are to be
        differentiated (what else it holds is copied in their dtype, so that it never changes);
        `(flax.linen module, variables)`, with the params of the variables; an nnx or Equinox
        module, which is its own params
    loss: as check_module has it: `loss(model(args[0]), *args[1:])`, for nnx and Equinox
        `loss(model, *args)`; None for a torch module that takes all arguments and returns the loss
    returns: a function that knows its model: its parameters are matched by themselves

    >>> net, x, t = torch.nn.Linear(3, 1), np.ones((4, 3)), np.zeros((4, 1))
    >>> loss = gp.module_loss(net, torch.nn.functional.mse_loss)
    >>> in_parts = gp.variants.micro_batches(loss, 3)
    >>> gp.compare_gradients({"torch": loss, "torch:parts": in_parts}, net, x, t).verdict
    <Verdict.AGREE: 'agree'>
    """
    if is_module(model):
        f = _torch_loss(model, loss)
        own: Any = model
    elif loss is None:
        raise InvalidSetting(
            f"got {type(model).__name__} without a loss; expected module_loss(model, loss)"
        )
    else:
        f, own = _jax_loss(model, loss), model[1]["params"] if _is_linen(model) else model
    setattr(f, OWN_PARAMETERS, own)
    setattr(f, MODEL, model)
    setattr(f, LOSS, loss)
    return f


OWN_PARAMETERS, MODEL, LOSS = "own_parameters", "model", "loss"


def _is_linen(model: Any) -> bool:
    return isinstance(model, tuple) and len(model) == 2 and isinstance(model[1], Mapping)


def _jax_loss(model: Any, loss: Callable[..., Any]) -> Callable[..., Any]:
    pure: list[Callable[..., Any]] = []

    def f(params: PyTree, *args: Any) -> Any:
        if not _is_linen(model):
            return loss(params, *args)
        if not pure:  # which random keys it asks for shows with the first arguments
            from ..modules.check import read_module

            pure.append(read_module(model, loss, args).f)
        return pure[0](params, *args)

    return f


def _torch_loss(module: Any, loss: Callable[..., Any] | None) -> Callable[..., Any]:
    import torch

    def f(params: dict[str, Any], *args: Any) -> Any:
        dtype = next(iter(params.values())).dtype
        state = {
            name: tensor.detach().to(
                dtype if is_floating(tensor.dtype) else tensor.dtype, copy=True
            )
            for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers())
            if name not in params
        }
        if loss is None:
            return torch.func.functional_call(module, {**state, **params}, args)
        return loss(torch.func.functional_call(module, {**state, **params}, args[:1]), *args[1:])

    return f
