"""Who evaluates a function in float64, and its arguments in the arrays of that framework."""

import functools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gradparity.backends import Backend, get_backend
from gradparity.backends.errors import BackendUnavailable, InvalidSetting
from gradparity.backends.precision import dtype_name, is_floating
from gradparity.backends.pytrees import PyTree, flatten, is_array, tree_map
from gradparity.backends.registry import MOVABLE, device_of

from .leaves import complex_numpy

FRAMEWORKS = {"jax": "jax", "jaxlib": "jax", "torch": "torch"}


def native_args(backend: Backend, args: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return private, float64 copies of arguments in the backend's arrays."""

    def native(leaf: Any) -> Any:
        if not is_array(leaf):
            return leaf
        if dtype_name(leaf).startswith("complex"):
            return backend._scoped(backend.to_native)(complex_numpy(leaf))
        if not is_floating(leaf.dtype) and (framework := framework_of((leaf,))):
            # Integers, booleans, random keys.
            return leaf.to(backend.device or "cpu", copy=True) if framework == MOVABLE else leaf
        copy = backend.asarray(leaf)
        if isinstance(copy, np.ndarray):
            copy.flags.writeable = False
        return copy

    return tuple(tree_map(native, arg) for arg in args)


def private_native(backend: Backend, leaf: Any, native: Any) -> Any:
    """Return a copy of a leaf in its own dtype, of its own framework or else of the backend's."""
    if hasattr(leaf, "detach"):
        copy = leaf.detach().clone()
        return copy.requires_grad_() if leaf.requires_grad else copy
    if not is_array(leaf) or framework_of((leaf,)):
        return leaf  # numbers; JAX's arrays cannot be changed
    copy = np.array(leaf, copy=True)
    if backend.name == "torch":  # a torch rule for parameters that came as NumPy arrays
        return backend.to_native(copy) if copy.dtype.kind in "fciub" else native
    return copy


def choose_backend(chosen: str | Backend | None, trees: PyTree) -> Backend:
    if isinstance(chosen, Backend):
        if chosen.dtype != "float64":
            raise InvalidSetting(
                f"backend {chosen.name!r}: got dtype {chosen.dtype!r}, expected 'float64': "
                "differences in less have too few digits to judge a gradient by"
            )
        return chosen
    leaves = flatten(trees)[0]
    name = chosen or framework_of(leaves) or "numerical"
    return float64_backend(name, device_of(name, leaves))


def other_engines(first: Backend) -> Iterator[Backend]:
    """Yield what else may evaluate a function that does not take NumPy's arrays."""
    for name in ("torch", "jax"):
        if name != first.name and name in sys.modules and first.name == "numerical":
            try:
                yield float64_backend(name)
            except BackendUnavailable:
                continue


@functools.cache
def float64_backend(name: str, device: str | None = None) -> Backend:
    # To look through all entry points takes longer than to check a small gradient.
    return get_backend(name, dtype="float64", device=device)


def on_accelerator(leaves: Iterable[Any]) -> bool:
    """Tell whether any of some arrays is elsewhere than in the machine's own memory."""
    held = (
        leaf.devices() if hasattr(leaf, "devices") else [getattr(leaf, "device", None)]
        for leaf in leaves
    )
    # JAX's devices have a platform, torch's a type, NumPy's is a word.
    kinds = (getattr(one, "platform", getattr(one, "type", "cpu")) for ones in held for one in ones)
    return any(kind != "cpu" for kind in kinds)


def framework_of(leaves: Any) -> str | None:
    """Return the backend whose arrays are among the leaves, without importing anything."""
    for leaf in leaves:
        for kind in type(leaf).__mro__:
            name = FRAMEWORKS.get(kind.__module__.partition(".")[0])
            if name and is_array(leaf):
                return name
    return None
