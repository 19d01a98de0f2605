"""Functions of array_api_compat's NumPy that would read a recorded array's numbers, recorded whole.

`array_namespace(x)` of a recorded array records every function. Code that imports
`array_api_compat.numpy` itself gets functions in Python, and NumPy passes most of what they call on
to the recording; these few write into an array of their own, or turn theirs into NumPy's first.
"""

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from gradparity.backends.structured.recorded_array import RecordedArray, active_recorder

MODULE = "array_api_compat.numpy"
READING = ("asarray", "clip", "linalg.solve", "linalg.trace")

_lock = threading.Lock()
_publics: dict[str, Callable[..., Any]] = {}
_originals: dict[str, FunctionType] = {}
_users = 0


@contextmanager
def recorded_whole() -> Iterator[None]:
    """Let these functions take recorded arrays, whoever imported them by name.

    So their code is exchanged, for that time; what is given other arrays stays as it is.
    """
    global _users
    with _lock:
        if not _users:
            for path in READING:
                _exchange(path)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for path, original in _originals.items():
                    _code_of(path).__code__ = original.__code__


def _code_of(path: str) -> Any:
    """Return the function whose code it is, which the package wraps in another to give it NumPy."""
    public = _publics[path]
    return getattr(public, "__wrapped__", public)


def _exchange(path: str) -> None:
    if path not in _publics:
        folder, _, name = path.rpartition(".")
        module = importlib.import_module(f"{MODULE}.{folder}" if folder else MODULE)
        _publics[path] = getattr(module, name)
        own = _code_of(path)
        _originals[path] = FunctionType(own.__code__, own.__globals__, name, own.__defaults__)
        _originals[path].__kwdefaults__ = own.__kwdefaults__
    code = _stub.__code__
    named = tuple(path if constant == "path" else constant for constant in code.co_consts)
    _code_of(path).__code__ = code.replace(co_consts=named)


def _stub(*args: Any, **kwargs: Any) -> Any:
    from gradparity.compare.proof.compat_functions import instead

    return instead("path", args, kwargs)


def instead(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record a call where an argument is recorded, else make it."""
    if not any(isinstance(x, RecordedArray) for x in (*args, *kwargs.values())):
        return _originals[path](*args, **kwargs)
    kwargs.pop("xp", None)
    return active_recorder.get().call(path, _publics[path], *args, **kwargs)
