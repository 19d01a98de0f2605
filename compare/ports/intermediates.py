"""What each layer of a model gives out, recorded while a function runs."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gradparity.backends.framework_trees import is_equinox_module, is_nnx_module
from gradparity.backends.pytrees import PyTree, is_array, private_numpy

from ..modules.layers import innermost
from .native_trees import MODEL

Outputs = dict[str, np.ndarray]
Record = Callable[[str, Any], None]


def layer_outputs(
    f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...]
) -> Mapping[str, np.ndarray]:
    """Return what the layers of a model give out, by their dotted names, in the order they ran.

    Layers of torch modules, linen, nnx and Equinox are heard of; torch layers have the names of
    f's model, others that of their class with a number. A layer that runs again keeps its first
    output. Where f raises, what ran before is returned.

    params: in the shape that f takes; an nnx or Equinox module is the model itself
    """
    # Inside jit and scan values have no numbers; a function that needs them runs as it is.
    runs = [_run(f, params, args, plainly) for plainly in (True, False)]
    return max(runs, key=len)


def _run(
    f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...], plainly: bool
) -> Mapping[str, np.ndarray]:
    outputs: Outputs = {}

    def record(name: str, output: Any) -> None:
        if name not in outputs and is_array(output):
            with contextlib.suppress(Exception):  # traced arrays have no numbers
                outputs[name] = np.asarray(private_numpy(output), np.float64)

    with contextlib.ExitStack() as stack:
        _record_torch(f, record, stack)
        _record_linen(record, stack)
        if is_nnx_module(params) or is_equinox_module(params):
            _record_called(params, record, stack)
        if plainly and "jax" in sys.modules:
            stack.enter_context(sys.modules["jax"].disable_jit())
        with contextlib.suppress(Exception):
            f(params, *args)
    return outputs


def _record_torch(f: Callable[..., Any], record: Record, stack: contextlib.ExitStack) -> None:
    torch = sys.modules.get("torch")
    if torch is None:
        return
    model = getattr(f, MODEL, f)
    named = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    names = {id(module): name for name, module in named}

    def after(module: Any, given: Any, output: Any) -> None:
        if not list(module.children()):  # a container gives out what its last layer did
            record(names.get(id(module), f"{type(module).__name__} {len(names)}"), output)

    handle = torch.nn.modules.module.register_module_forward_hook(after)
    stack.callback(handle.remove)


def _record_linen(record: Record, stack: contextlib.ExitStack) -> None:
    linen = sys.modules.get("flax.linen")
    if linen is None:
        return

    def after(
        run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], context: Any
    ) -> Any:
        output = run(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            return _through(".".join(context.module.path), output, record)
        return output

    stack.enter_context(linen.intercept_methods(after))


def _record_called(model: Any, record: Record, stack: contextlib.ExitStack) -> None:
    """Hear of nnx and Equinox layers, which have no hooks: their classes tell of each call."""
    layers = innermost(model)
    names = {identity: name for name, layer in layers.items() for identity in _identities(layer)}

    def name_of(layer: Any) -> str | None:
        return next((names[one] for one in _identities(layer) if one in names), None)

    for kind in dict.fromkeys(type(layer) for layer in layers.values()):
        _tell(kind, name_of, record, stack)
    stack.callback(layers.clear)  # until then no other object takes over an identity


def _identities(layer: Any) -> Iterator[tuple[int, ...]]:
    """Yield what a layer is known by: itself, and its arrays, which `filter_jit` puts elsewhere."""
    yield (id(layer),)
    arrays = sys.modules["jax"].tree_util.tree_leaves(layer)
    if arrays:
        yield tuple(map(id, arrays))


def _tell(
    kind: Any,
    name_of: Callable[[Any], str | None],
    record: Record,
    stack: contextlib.ExitStack,
) -> None:
    before, own = kind.__call__, "__call__" in vars(kind)
    kept = vars(kind).get("__call__")

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = before(self, *args, **kwargs)
        name = name_of(self)
        return output if name is None else _through(name, output, record)

    def restore() -> None:
        if own:
            kind.__call__ = kept
        else:
            del kind.__call__

    kind.__call__ = call
    stack.callback(restore)


def _through(name: str, output: Any, record: Record) -> Any:
    """Record an output and return it; under vmap what it is for the whole batch, which comes first.

    A batched array does not show its numbers; the rule of a function for batches is given them.
    """
    jax = sys.modules["jax"]
    if not isinstance(output, jax.core.Tracer):
        record(name, output)
        return output

    def batch(size: int, batched: list[bool], x: Any) -> tuple[Any, bool]:
        return _through(name, x, record), batched[0]

    same = jax.custom_batching.custom_vmap(lambda x: x)
    same.def_vmap(batch)
    return same(output)


def alike(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Return the second with its axes as the first has them, None where shapes forbid it.

    Images and sequences have their channels last in one framework, and second in the other.
    """
    turned = [second]
    if second.ndim > 2:
        turned += [np.moveaxis(second, 1, -1), np.moveaxis(second, -1, 1)]
    fitting = [array for array in turned if array.shape == first.shape]
    return min(fitting, key=lambda array: float(np.abs(array - first).max()), default=None)
