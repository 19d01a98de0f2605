"""What may differ between two frameworks beside the parameters, tried one by one on a copy."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

EPSILONS = (1e-5, 1e-6, 1e-3, 1e-12)  # torch; Flax and many language models; Keras; BERT


def repaired(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield what may be different about a torch module, in words, and a copy where it is."""
    import torch

    norms = [name for name, layer in model.named_modules() if isinstance(_eps(layer), float)]
    for eps in EPSILONS if norms else ():
        other = copy.deepcopy(model)
        for name in norms:
            other.get_submodule(name).eps = eps
        yield f"eps is {eps:g} in {norms[0]}{' and its like' * (len(norms) > 1)}", other
    if any(_has_modes(layer) for layer in model.modules()):
        mode = "eval" if model.training else "train"
        yield f"it is in {mode} mode", copy.deepcopy(model).train(not model.training)
    for kind, words, change in (
        (torch.nn.GELU, "gelu is {}", _other_gelu),
        (torch.nn.Flatten, "{} takes channels last", _channels_last),
        (torch.nn.Conv2d, "{} pads at the end alone, as 'SAME' does at a stride", _pad_at_the_end),
    ):
        names = [name for name, layer in model.named_modules() if isinstance(layer, kind)]
        if names:
            other = copy.deepcopy(model)
            said = [change(other.get_submodule(name)) or name for name in names]
            yield words.format(said[0]), other


def _eps(layer: Any) -> Any:
    return getattr(layer, "eps", None)


def _has_modes(layer: Any) -> bool:
    import torch

    return isinstance(
        layer,
        torch.nn.modules.batchnorm._BatchNorm | torch.nn.modules.dropout._DropoutNd,
    )


def _other_gelu(layer: Any) -> str:
    layer.approximate = "none" if layer.approximate == "tanh" else "tanh"
    return "exact" if layer.approximate == "none" else "the tanh approximation"


def _channels_last(layer: Any) -> str:
    def last(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        (x,) = given
        return (x.movedim(1, -1) if x.ndim > 2 else x,)

    layer.register_forward_pre_hook(last)
    return ""


def _pad_at_the_end(layer: Any) -> str:
    import torch

    if isinstance(layer.padding, str) or max(layer.stride) == 1 or not any(layer.padding):
        return ""
    before = layer.padding

    def pad(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        (x,) = given
        sides = []
        for axis in (3, 2):
            stride, kernel = module.stride[axis - 2], module.kernel_size[axis - 2]
            needed = max((-(-x.shape[axis] // stride) - 1) * stride + kernel - x.shape[axis], 0)
            sides += [needed // 2, needed - needed // 2]
        return (torch.nn.functional.pad(x, sides),)

    if any(before):
        layer.padding = (0, 0)
        layer.register_forward_pre_hook(pad)
    return ""


def with_model(f: Callable[..., Any], model: Any) -> Callable[..., Any]:
    """Return the function that module_loss made, of another model."""
    from .native_trees import LOSS, module_loss

    return module_loss(model, getattr(f, LOSS))
