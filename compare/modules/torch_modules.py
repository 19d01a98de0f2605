"""torch.nn.Module: its own gradients, or those that it holds."""

from collections.abc import Callable
from typing import Any

import torch

from gradparity.backends.precision import is_floating
from gradparity.backends.pytrees import PyTree

from .subject import Subject, in_float64, some

SEED = 0  # of the masks that dropout draws, the same in every call


def torch_subject(
    module: torch.nn.Module, loss: Callable[..., Any], batch: tuple[PyTree, ...]
) -> Subject:
    """Return a torch module as a pure function of its trainable parameters, by their names."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    frozen = [name for name, p in module.named_parameters() if not p.requires_grad]
    held = {name: p.grad for name, p in trained.items() if p.grad is not None}
    draws, notes = _random_layers(module), _notes(module)
    if frozen:
        notes.append(f"frozen, and left out: {some(frozen)}")
    if held:
        notes.append("judged is the .grad that the parameters hold")
        gradient: Any = {
            name: held.get(name, torch.zeros_like(p)).detach() for name, p in trained.items()
        }
        if draws:
            notes.append("what dropout drew for it cannot be repeated: call model.eval() before")
    else:
        notes.append("judged is torch's own backward pass, in float64")
        gradient = None
        if draws:
            notes.append(f"dropout draws one mask, of seed {SEED}, in every call")
    f = _pure(module, loss, set(trained), seeded=bool(draws) and not held)
    return Subject(f, in_float64(trained), batch, "torch", gradient or _backward(f), tuple(notes))


def _pure(
    module: torch.nn.Module, loss: Callable[..., Any], trained: set[str], seeded: bool
) -> Callable[..., Any]:
    def f(params: dict[str, torch.Tensor], *batch: Any) -> Any:
        dtype = next(iter(params.values())).dtype
        state = {
            name: tensor.detach().to(
                dtype if is_floating(tensor.dtype) else tensor.dtype, copy=True
            )
            for name, tensor in (*module.named_parameters(), *module.named_buffers())
            if name not in trained
        }
        if not seeded:
            output = torch.func.functional_call(module, {**state, **params}, batch[:1])
            return loss(output, *batch[1:])
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            output = torch.func.functional_call(module, {**state, **params}, batch[:1])
            return loss(output, *batch[1:])

    return f


def _backward(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `(params, *batch) -> gradient` by .backward(), zeros where nothing arrives."""

    def backward(params: dict[str, torch.Tensor], *batch: Any) -> dict[str, torch.Tensor]:
        leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
        f(leaves, *batch).backward()
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in leaves.items()
        }

    return backward


def _random_layers(module: torch.nn.Module) -> list[str]:
    return [
        name
        for name, layer in module.named_modules()
        if layer.training
        and (
            (isinstance(layer, torch.nn.modules.dropout._DropoutNd) and layer.p > 0)
            or (isinstance(getattr(layer, "dropout", None), float) and getattr(layer, "dropout"))  # noqa: B009
        )
    ]


def _notes(module: torch.nn.Module) -> list[str]:
    notes = []
    if draws := _random_layers(module):
        notes.append(f"dropout is in train mode: {some(draws)}")
    normalised = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.modules.batchnorm._NormBase)
        and layer.training
        and layer.track_running_stats
    ]
    if normalised:
        notes.append(
            f"batch norm is in train mode, and takes the batch's own statistics: {some(normalised)}"
        )
    return notes
