"""Find a backend whose `wait` returns before the results exist: its times would be too short."""

import time
from collections.abc import Callable
from typing import Any

from gradparity.backends import Backend
from gradparity.backends.errors import DoesNotWait

TRIES = 5
# What a call may still owe after it was waited for, as a share of the call, and in seconds: the
# time to read a few arrays varies by some microseconds.
TOLERATED_SHARE = 0.25
TOLERATED_SECONDS = 50e-6
# Calls that seem to take longer are not repeated for this: whoever does not wait seems quick.
LONGEST_CALL = 0.05


def check_waiting(backend: Backend, call: Callable[[], Any]) -> None:
    """Read results at once after waiting for them, and again some time later, which must be alike.

    call: makes results without waiting for them
    raises: DoesNotWait
    """
    waits, at_once, later = [], [], []
    for _ in range(TRIES):
        start = time.perf_counter()
        results = backend.wait(call())
        waits.append(time.perf_counter() - start)
        if waits[-1] > LONGEST_CALL:
            return
        at_once.append(_reading_seconds(backend, results))
        results = backend.wait(call())
        time.sleep(2 * (waits[-1] + at_once[-1]))
        later.append(_reading_seconds(backend, results))
    owed = min(at_once) - min(later)
    if owed > TOLERATED_SECONDS + TOLERATED_SHARE * min(waits):
        raise DoesNotWait(
            f"backend {backend.name!r}: got results {owed:.2g} s after its wait() had returned, "
            f"for a call that seemed to take {min(waits):.2g} s; expected wait() to return once "
            "the results exist: have it block until the device is done"
        )


def _reading_seconds(backend: Backend, results: Any) -> float:
    start = time.perf_counter()
    backend.to_numpy(results)
    return time.perf_counter() - start
