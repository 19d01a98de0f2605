"""How much memory a call needs at its peak, on top of what is in use already."""

import ctypes
import gc
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROCESS = Path("/proc/self")
# Frameworks drop what they no longer need on threads of their own, within a millisecond on idle
# cores; on busy ones a thread waits for its turn, some 10 ms.
LOOK_SECONDS = 0.01
QUIET_LOOKS = 3
MOST_LOOKS = 100
# Less than this is what threads need for themselves; more than this is an array.
NEGLIGIBLE_BYTES = 2**18


def peak_memory(call: Callable[[], Any]) -> int | None:
    """Return by how many bytes the process's resident memory rose, at most, during the call.

    It counts whatever a library allocates, in pages: a few hundred kilobytes are below what can be
    seen. None where the system cannot tell; only Linux can.
    """
    before = _settled_size()
    if before is None:
        return None
    # Garbage from before must stay: what is freed during the call would hide what that needs. To
    # collect it now would take longer than most gradients.
    gc.freeze()
    try:
        call()
        return max(0, _resident_peak() - before)
    finally:
        gc.unfreeze()


def _settled_size() -> int | None:
    """Return the size once nothing is freed any more, from which on the peak is counted.

    None where it cannot be told.
    """
    try:
        _let_memory_settle()
        (PROCESS / "clear_refs").write_text("5")
        return _resident_peak()
    except (OSError, TypeError):
        return None


def _let_memory_settle() -> None:
    size, quiet = _resident_now(), 0
    for _ in range(MOST_LOOKS):
        gc.collect(0)  # few objects, and JAX drops the NumPy arrays that it has copied
        _return_free_memory()
        before, size = size, _resident_now()
        quiet = quiet + 1 if before - size < NEGLIGIBLE_BYTES else 0
        if quiet == QUIET_LOOKS:
            return
        time.sleep(LOOK_SECONDS)


def _resident_peak() -> int:
    """Return the largest resident memory since the last `clear_refs`, which psutil cannot tell."""
    status = (PROCESS / "status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])  # type: ignore[index]


def _resident_now() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _return_free_memory() -> None:
    """Hand freed memory back to the system, so that needing it again shows as a rise."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        pass
