"""Find a backend by name: the built-in ones and those that other distributions register."""

import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .base import Backend
from .errors import BackendUnavailable, InvalidSetting, UnknownBackend, did_you_mean

ENTRY_POINT_GROUP = "gradparity.backends"

BUILT_IN = {
    "numerical": "gradparity.backends.numerical_difference:NumericalDifference",
    "jax": "gradparity.backends.jax_autodiff:JaxAutodiff",
    "torch": "gradparity.backends.torch_autograd:TorchAutograd",
}


# The framework whose arrays f must find on the device of its parameters, integers too.
MOVABLE = "torch"


@dataclass(frozen=True)
class BackendInfo:
    """What is known of a backend on this machine; `unavailable` says why it cannot be loaded."""

    name: str
    version: str | None = None
    devices: tuple[str, ...] = ()
    unavailable: str | None = None


def backend_names() -> tuple[str, ...]:
    """Return every registered name, the built-in ones first."""
    return tuple(_entry_points())


def get_backend(
    name: str, *, dtype: str = "float64", device: str | None = None, **settings: Any
) -> Backend:
    """Return the backend of that name with its settings.

    dtype: "float32" or "float64"; device: a name from the backend's `devices()`
    raises: UnknownBackend, BackendUnavailable with what to install, InvalidSetting; a framework
        that is installed but broken raises its own error

    >>> backend = gp.get_backend("numerical")
    >>> value, gradient = backend.value_and_gradient(lambda x: (x**2).sum())(np.ones(2))
    >>> float(value), gradient.round(6)
    (2.0, array([2., 2.]))
    """
    kind = _load(name)
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InvalidSetting(
            f"backend {name!r} has no setting {', '.join(map(repr, unknown))}; "
            f"expected one of {', '.join(sorted(known))}" + did_you_mean(unknown[0], known)
        )
    return kind(dtype=dtype, device=device, **settings)


def device_of(name: str, leaves: Iterable[Any]) -> str | None:
    """Return where a backend's arrays are among some leaves, None where it puts them by itself.

    PyTorch computes only with what is on one device; JAX moves what nobody has committed to one.
    A device without float64, such as Apple's, is none of the backend's.
    """
    for leaf in leaves if name == MOVABLE else ():
        if hasattr(leaf, "detach") and leaf.device.type != "cpu":
            device = str(leaf.device)
            return device if device in get_backend(name).devices() else None
    return None


def available_backends() -> tuple[BackendInfo, ...]:
    """Describe every registered backend; this imports their frameworks.

    >>> [info.name for info in gp.available_backends()][:3]
    ['numerical', 'jax', 'torch']
    """
    return tuple(_describe(name) for name in backend_names())


def _describe(name: str) -> BackendInfo:
    try:
        kind = _load(name)
        return BackendInfo(name, kind.version(), kind.devices())
    except Exception as error:  # a plug-in may break in any way; its row says how
        return BackendInfo(name, unavailable=f"{type(error).__name__}: {error}")


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    built_in = {
        name: importlib.metadata.EntryPoint(name, target, ENTRY_POINT_GROUP)
        for name, target in BUILT_IN.items()
    }
    return built_in | {
        entry.name: entry for entry in _plugged_in(tuple(sys.path)) if entry.name not in built_in
    }


@functools.cache
def _plugged_in(path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    # Reading what all distributions on the path register takes tens of milliseconds.
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))


def _load(name: str) -> type[Backend]:
    entries = _entry_points()
    if name not in entries:
        raise UnknownBackend(
            f"got backend {name!r}, expected one of {', '.join(entries)}"
            + did_you_mean(name, entries)
        )
    entry = entries[name]
    try:
        kind = entry.load()
    except ModuleNotFoundError as error:
        # A module missing inside a framework that is there means that the framework is broken.
        if error.name is None or importlib.util.find_spec(error.name.partition(".")[0]):
            raise
        remedy = f"'gradparity[{name}]'" if name in BUILT_IN else error.name
        raise BackendUnavailable(
            f"backend {name!r} needs {error.name}, which is not installed: pip install {remedy}"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Backend)):
        raise InvalidSetting(
            f"backend {name!r}: entry point {entry.value!r} gives {kind!r}; "
            "expected a subclass of gradparity.backends.Backend"
        )
    return kind
