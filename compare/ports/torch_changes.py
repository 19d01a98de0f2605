"""Torch functions that take another gelu, or flatten images in another order of axes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FLATTENING = (
    torch.flatten,
    torch.reshape,
    torch.Tensor.flatten,
    torch.Tensor.reshape,
    torch.Tensor.view,
)


def changed(f: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield what may be otherwise in f, in words, and f as it is then; see `changed_functions`."""
    yield "gelu is the tanh approximation", _under(_Gelu("tanh"), f)
    yield "gelu is exact", _under(_Gelu("none"), f)
    yield "flatten takes channels last", _under(_Flatten(1, -1), f)
    yield "flatten takes channels first", _under(_Flatten(-1, 1), f)


def _under(mode: TorchFunctionMode, f: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        with mode:
            return f(*args)

    return run


class _Gelu(TorchFunctionMode):
    """Lets every gelu be exact, or every gelu the approximation."""

    def __init__(self, approximate: str) -> None:
        super().__init__()
        self._approximate = approximate

    def __torch_function__(
        self,
        called: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if called is torch.nn.functional.gelu:
            return called(args[0], approximate=self._approximate)
        return called(*args, **(kwargs or {}))


class _Flatten(TorchFunctionMode):
    """Moves an axis of each image before it is flattened."""

    def __init__(self, source: int, destination: int) -> None:
        super().__init__()
        self._axes = source, destination

    def __torch_function__(
        self,
        called: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = called(*args, **(kwargs or {}))
        if called in FLATTENING and isinstance(args[0], torch.Tensor):
            images = args[0]
            if images.ndim > 2 and output.shape == (images.shape[0], images[0].numel()):
                return images.movedim(*self._axes).reshape(output.shape)
        return output
