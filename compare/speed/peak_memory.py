"""How much memory a call needs at its peak, on top of what is in use already."""

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROCESS = Path("/proc/self")


def peak_memory(call: Callable[[], Any]) -> int | None:
    """Return by how many bytes the process's resident memory rose, at most, during the call.

    It counts whatever a library allocates, in pages: a few hundred kilobytes are below what can be
    seen. None where the system cannot tell; only Linux can.
    """
    _return_free_memory()
    # Garbage from before must stay: what is freed during the call would hide what that needs. To
    # collect it now would take longer than most gradients.
    gc.freeze()
    try:
        before = _restarted_peak()
        if before is None:
            return None
        call()
        return max(0, _resident() - before)
    finally:
        gc.unfreeze()


def _restarted_peak() -> int | None:
    """Lower the peak so far to the present size, and return that; None where it cannot be told."""
    try:
        (PROCESS / "clear_refs").write_text("5")
        return _resident()
    except (OSError, TypeError):
        return None


def _resident() -> int:
    """Return the peak of the resident memory in bytes."""
    status = (PROCESS / "status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])  # type: ignore[index]


def _return_free_memory() -> None:
    """Hand freed memory back to the system, so that needing it again shows as a rise."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        pass
