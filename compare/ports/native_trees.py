"""The parameters of a native implementation, in whatever it keeps them."""

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optree

from gradparity.backends.checks import is_floating
from gradparity.backends.pytrees import Array, PyTree, flatten, is_array, unflatten


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

    A class that is a pytree for JAX only, as an Equinox module is, will do; what is no floating
    array stays as it is.
    """
    if is_module(own):
        own = {name: leaf for name, leaf in own.named_parameters() if leaf.requires_grad}
    names, whole, rebuild = _flatten(own)
    kept = [k for k, leaf in enumerate(whole) if is_array(leaf) and is_floating(leaf.dtype)]

    def build(arrays: Sequence[Array]) -> PyTree:
        leaves = list(whole)
        for position, array in zip(kept, arrays, strict=True):
            leaves[position] = array
        return rebuild(leaves)

    return NativeTree(tuple(names[k] for k in kept), tuple(whole[k] for k in kept), build)


def dotted_names(tree: PyTree) -> tuple[str, ...]:
    """Name each leaf as torch modules do: "layers.0.weight", "" for a bare array."""
    return tuple(".".join(map(str, path)) for path in optree.tree_paths(tree))


def is_module(f: Any) -> bool:
    """Tell a torch.nn.Module from a function, without importing torch."""
    return callable(getattr(f, "named_parameters", None))


def module_loss(module: Any, loss: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Return `f(params, *args)` for a torch.nn.Module, evaluated by `torch.func.functional_call`.

    params: dict from the module's names to tensors, all that are to be differentiated; what else
        the module holds is copied in their dtype, so that the module itself never changes
    loss: called with the module's output for the first argument, and with the other arguments;
        None where the module takes all arguments and returns the loss itself
    """
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


def _flatten(own: PyTree) -> tuple[tuple[str, ...], list[Any], Callable[[Sequence[Any]], PyTree]]:
    leaves, structure = flatten(own)
    if all(map(is_array, leaves)) or "jax" not in sys.modules:
        return dotted_names(own), leaves, lambda whole: unflatten(structure, whole)
    trees = sys.modules["jax"].tree_util
    pairs, registered = trees.tree_flatten_with_path(own)
    names = tuple(".".join(map(_step_name, path)) for path, _ in pairs)
    return names, [leaf for _, leaf in pairs], lambda whole: trees.tree_unflatten(registered, whole)


def _step_name(step: Any) -> str:
    """Spell a step of JAX's paths: a dict key, an attribute or an index."""
    for attribute in ("key", "name", "idx"):
        if hasattr(step, attribute):
            return str(getattr(step, attribute))
    return str(step)
