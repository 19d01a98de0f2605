"""Functions of array_api_compat's NumPy that would read a recorded array's numbers, recorded whole.

`array_namespace(x)` of a recorded array records every function. Code that imports
`array_api_compat.numpy` itself gets functions in Python, and NumPy passes most of what they call on
to the recording; these few write into an array of their own, or turn theirs into NumPy's first.
"""

import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gradparity.backends.structured.recorded_array import RecordedArray, active_recorder

MODULE = "array_api_compat.numpy"
READING = ("asarray", "clip", "linalg.solve", "linalg.trace")

_lock = threading.Lock()
_originals: list[tuple[Any, str, Callable[..., Any]]] = []
_users = 0


@contextmanager
def recorded_whole() -> Iterator[None]:
    """Let these functions take recorded arrays; what is given other arrays stays as it is."""
    global _users
    with _lock:
        if not _users:
            for path in READING:
                _replace(path)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            while not _users and _originals:
                module, name, original = _originals.pop()
                setattr(module, name, original)


def _replace(path: str) -> None:
    folder, _, name = path.rpartition(".")
    module = importlib.import_module(f"{MODULE}.{folder}" if folder else MODULE)
    original = getattr(module, name)

    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(x, RecordedArray) for x in (*args, *kwargs.values())):
            return original(*args, **kwargs)
        return active_recorder.get().call(path, original, *args, **kwargs)

    _originals.append((module, name, original))
    setattr(module, name, function)
