"""What each layer of a model gives out, recorded while a function runs."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gradparity.backends.pytrees import is_array, private_numpy

from .native_trees import MODEL

Outputs = dict[str, np.ndarray]


@contextlib.contextmanager
def recorded(f: Callable[..., Any]) -> Iterator[Outputs]:
    """Record the outputs of torch and linen layers by their dotted names, in the order they ran.

    f: what runs inside the block; torch layers have the names of its model, others that of their
        class with a number. A layer that runs again keeps its first output.
    """
    outputs: Outputs = {}

    def record(name: str, output: Any) -> None:
        if name not in outputs and is_array(output):
            with contextlib.suppress(Exception):  # traced arrays have no numbers
                outputs[name] = np.asarray(private_numpy(output), np.float64)

    with contextlib.ExitStack() as stack:
        _record_torch(f, record, stack)
        _record_linen(record, stack)
        yield outputs


def _record_torch(
    f: Callable[..., Any], record: Callable[[str, Any], None], stack: contextlib.ExitStack
) -> None:
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


def _record_linen(record: Callable[[str, Any], None], stack: contextlib.ExitStack) -> None:
    linen = sys.modules.get("flax.linen")
    if linen is None:
        return

    def after(
        run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], context: Any
    ) -> Any:
        output = run(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            record(".".join(context.module.path), output)
        return output

    stack.enter_context(linen.intercept_methods(after))


def alike(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Return the second with its axes as the first has them, None where shapes forbid it.

    Images and sequences have their channels last in one framework, and second in the other.
    """
    turned = [second]
    if second.ndim > 2:
        turned += [np.moveaxis(second, 1, -1), np.moveaxis(second, -1, 1)]
    fitting = [array for array in turned if array.shape == first.shape]
    return min(fitting, key=lambda array: float(np.abs(array - first).max()), default=None)
