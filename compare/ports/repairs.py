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
    convolutions = [n for n, layer in model.named_modules() if isinstance(layer, torch.nn.Conv2d)]
    if convolutions:
        other = copy.deepcopy(model)
        for name in convolutions:
            _pad_at_the_end(other.get_submodule(name))
        words = f"{convolutions[0]} pads at the end alone, as 'SAME' does at a stride"
        yield words, other


def changed_functions(
    framework: str, f: Callable[..., Any]
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield what f itself may do otherwise, wherever it does it, and an f that does so.

    Both kinds of gelu, and the order in which flattening takes the axes of images.

    framework: whose functions f calls: "torch" or "jax", none for another
    """
    if framework == "torch":
        from .torch_changes import changed
    elif framework == "jax":
        from .jax_changes import changed
    else:
        return
    yield from changed(f)


def _eps(layer: Any) -> Any:
    return getattr(layer, "eps", None)


def _has_modes(layer: Any) -> bool:
    import torch

    return isinstance(
        layer,
        torch.nn.modules.batchnorm._BatchNorm | torch.nn.modules.dropout._DropoutNd,
    )


def _pad_at_the_end(layer: Any) -> None:
    import torch

    if isinstance(layer.padding, str) or max(layer.stride) == 1 or not any(layer.padding):
        return

    def pad(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        (x,) = given
        sides = []
        for axis in (3, 2):
            stride, kernel = module.stride[axis - 2], module.kernel_size[axis - 2]
            needed = max((-(-x.shape[axis] // stride) - 1) * stride + kernel - x.shape[axis], 0)
            sides += [needed // 2, needed - needed // 2]
        return (torch.nn.functional.pad(x, sides),)

    layer.padding = (0, 0)
    layer.register_forward_pre_hook(pad)


def with_model(f: Callable[..., Any], model: Any) -> Callable[..., Any]:
    """Return the function that module_loss made, of another model."""
    from .native_trees import LOSS, module_loss

    return module_loss(model, getattr(f, LOSS))
