"""The layers inside an nnx or Equinox module, by the names that their parameters have."""

from collections.abc import Iterator, Mapping
from typing import Any

from gradparity.backends.framework_trees import is_equinox_module, is_nnx_module
from gradparity.backends.pytrees import is_array


def named_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield every module inside a model once, the model first, with dotted names."""
    yield from _named(model, "", set())


def _named(node: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if is_array(node) or id(node) in seen:
        return
    children: Mapping[Any, Any] = {}
    if isinstance(node, Mapping):
        children = node
    elif isinstance(node, list | tuple):
        children = dict(enumerate(node))
    elif is_nnx_module(node) or is_equinox_module(node):
        yield name, node
        children = vars(node)
    if children:
        seen.add(id(node))  # a module may hold the one that holds it
    for step, child in children.items():
        yield from _named(child, f"{name}.{step}" if name else str(step), seen)


def innermost(model: Any) -> dict[str, Any]:
    """Return the layers that hold no other layer: a container gives out what its last one did."""
    layers = dict(named_layers(model))
    return {
        name: layer
        for name, layer in layers.items()
        if callable(layer) and not any(callable(child) for child in _below(name, layers))
    }


def _below(name: str, layers: Mapping[str, Any]) -> list[Any]:
    start = f"{name}." if name else ""
    return [layer for other, layer in layers.items() if other != name and other.startswith(start)]
