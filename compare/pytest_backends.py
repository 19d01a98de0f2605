"""Which backends a test runs on: what is asked for, what its marker says, what is installed.

The pytest plugin loads this module in every run, so that it imports nothing but pytest.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from gradparity.backends import Backend

VARIABLE = "GRADPARITY_BACKENDS"
MARKER = "gradparity"


class Marked(NamedTuple):
    """What the marker says of a test; no backends stands for all."""

    backends: tuple[str, ...] = ()
    dtype: str = "float64"


def marked(node: pytest.Item | pytest.Function) -> Marked:
    """Return what the closest marker says."""
    marker = node.get_closest_marker(MARKER)
    if marker is None:
        return Marked()
    if marker.args or set(marker.kwargs) - set(Marked._fields):
        given = ", ".join([*map(repr, marker.args), *marker.kwargs])
        raise pytest.UsageError(
            f"{node.nodeid}: got the marker {MARKER}({given}), expected "
            f"@pytest.mark.{MARKER}(backends=..., dtype=...)"
        )
    settings = dict(marker.kwargs)
    if "backends" in settings:
        settings["backends"] = _names(settings["backends"])
    return Marked(**settings)


def asked_for(config: pytest.Config) -> tuple[str, ...]:
    """Return the backends that the command line names, or else the environment."""
    return _names(config.getoption("gradparity_backends") or os.environ.get(VARIABLE, ""))


def chosen_backends(config: pytest.Config, node: pytest.Item | pytest.Function) -> tuple[str, ...]:
    """Return the test's own backends, all that are registered by default, if asked for."""
    own, asked = marked(node).backends, asked_for(config)
    if own and asked:
        return tuple(name for name in own if name in asked)
    if own or asked:
        return own or asked
    from gradparity.backends.registry import backend_names

    return backend_names()


def load(config: pytest.Config, name: str, **settings: Any) -> "Backend | str":
    """Return the backend, or the reason why it is missing where nobody asked for it."""
    from gradparity.backends import GradparityError, get_backend
    from gradparity.backends.errors import InvalidSetting, UnknownBackend

    try:
        return get_backend(name, **settings)
    except (InvalidSetting, UnknownBackend):
        raise
    except Exception as error:  # an installed framework may be broken in any way
        known = isinstance(error, GradparityError)
        reason = str(error) if known else f"backend {name!r}: {type(error).__name__}: {error}"
        if name not in asked_for(config):
            return reason
        pytest.fail(f"asked for, and cannot be loaded: {reason}", pytrace=False)


def default_backends(
    request: pytest.FixtureRequest, dtype: str
) -> tuple[list["Backend"], list[str]]:
    """Return the backends to compare, and why others are left out; skip where that is too few."""
    if "gradparity_backend_name" in request.fixturenames:
        names: tuple[str, ...] = (request.getfixturevalue("gradparity_backend_name"),)
    else:
        names = chosen_backends(request.config, request.node)
    found = [load(request.config, name, dtype=dtype) for name in names]
    backends = [backend for backend in found if not isinstance(backend, str)]
    left_out = [reason for reason in found if isinstance(reason, str)]
    # Differences judge themselves only where that was wanted.
    wanted = set(names) == {"numerical"}
    if not (wanted or any(backend.name != "numerical" for backend in backends)):
        pytest.skip("; ".join(left_out) or "nothing to compare among the backends asked for")
    return backends, left_out


def chosen_functions(
    request: pytest.FixtureRequest, f: Mapping[str, Any], dtype: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the implementations whose backends are there, and why others are left out.

    A single one is compared with slopes of its own; skip only where none is left.
    """
    names = chosen_backends(request.config, request.node)
    functions, left_out = {}, []
    for name, function in f.items():
        backend = name.partition(":")[0]
        if backend not in names:
            continue
        loaded = load(request.config, backend, dtype=dtype)
        if isinstance(loaded, str):
            left_out.append(loaded)
        else:
            functions[name] = function
    if not functions:
        pytest.skip("; ".join(left_out) or "no implementation for the backends asked for")
    return functions, left_out


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    entries = [given] if isinstance(given, str) else given
    return tuple(name.strip() for entry in entries for name in entry.split(",") if name.strip())
