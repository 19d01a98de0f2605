"""Ctrl-C ends the work, also where a callback swallows the exception that it raises."""

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# Seconds until an interrupt that came to nothing is repeated; by then its callback is over.
PATIENCE = 0.02


class Interrupts:
    """Whether Ctrl-C has been pressed, and the exit code that follows from it."""

    def __init__(self) -> None:
        self.seen = False
        self.exit_code: int | None = None
        # Python dies of SIGINT at its end, whatever its exit code, where the exception went through
        # an exec(), as imports do. What is registered first runs last.
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.exit_code is not None:
            os._exit(self.exit_code)


@contextmanager
def noticed_interrupts(interrupts: Interrupts) -> Iterator[None]:
    """Raise KeyboardInterrupt for every Ctrl-C, again where what it interrupts cannot raise.

    Callbacks of the garbage collector (JAX installs one that takes a while), of weak references
    and `__del__` raise nothing: Python prints "Exception ignored" and goes on. There the interrupt
    is repeated until it gets through.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are not for others
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.seen = True
        raise KeyboardInterrupt

    ignored = sys.unraisablehook

    def notice(lost: "UnraisableHookArgs") -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            repeated = threading.Timer(PATIENCE, _repeat)
            repeated.daemon = True
            repeated.start()
        else:
            ignored(lost)

    before = signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = notice
    try:
        yield
    finally:
        sys.unraisablehook = ignored
        signal.signal(signal.SIGINT, before)


def _repeat() -> None:
    """Interrupt the main thread as Ctrl-C does: out of a system call too, where that can be."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
