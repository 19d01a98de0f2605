"""Call functions in another process: one that crashes, hangs or babbles costs only that call."""

import faulthandler
import os
import pickle
import re
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gradparity.backends.errors import GradparityError

if TYPE_CHECKING:
    from pebble import ProcessPool

GRACE = 2.0  # seconds for the process to write down where it hangs and to end, before it is killed
HUNG = re.compile(r"^Timeout \(\d+:\d\d:\d\d", re.MULTILINE)  # what faulthandler writes then


class NotIsolable(GradparityError, TypeError):
    """A function or argument that cannot be sent to another process."""


class FailureKind(StrEnum):
    """How a call in another process came to nothing."""

    RAISED = "raised"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Failure:
    """What came of a call that gave no result; `reason` is one line for a person."""

    kind: FailureKind
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class IsolatedProcess:
    """A process for one call after another; after a crash the next call gets a fresh one.

    The process sees this one's `sys.path`, environment and folder, and nothing of its memory.
    Functions of importable modules are sent by name, all others with their code.
    """

    def __init__(self, time_limit: float) -> None:
        self.time_limit = time_limit
        self._pool: ProcessPool | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __reduce__(self) -> tuple[Any, ...]:
        return IsolatedProcess, (self.time_limit,)  # what holds one is sent without the process

    def call(self, function: Callable[..., Any], *args: Any) -> Any | Failure:
        """Return `function(*args)`, or the Failure that it ended in."""
        from pebble import ProcessExpired

        request = _pickled(function, args)
        pool = self._pool or self._start()
        limit = self.time_limit
        future = pool.schedule(_reply, args=(request, limit), timeout=limit + GRACE)
        try:
            answer = future.result()
        except (TimeoutError, ProcessExpired) as error:
            complaints = self._complaints.read_text(errors="replace")
            self._complaints.write_text("")  # forgotten
            if isinstance(error, TimeoutError) or (error.exitcode == 1 and HUNG.search(complaints)):
                kind, why = FailureKind.TIMED_OUT, f"no answer within {limit:g} s"
            else:
                kind, why = FailureKind.CRASHED, _ending(error.exitcode or 0)
            return Failure(kind, why + _last_words(complaints))
        except BrokenProcessPool:
            self.stop()
            return Failure(FailureKind.CRASHED, "no process could be started")
        try:
            return pickle.loads(answer)
        except Exception as error:
            return Failure(FailureKind.RAISED, f"the answer cannot be read: {describe(error)}")

    def _start(self) -> "ProcessPool":
        from loky.backend import get_context
        from pebble import ProcessPool

        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # Loky's processes share no threads with this one, and do not run its main script again.
        self._pool = ProcessPool(
            max_workers=1,
            context=get_context("loky"),
            initializer=_begin,
            initargs=(str(self._complaints),),
        )
        return self._pool

    @property
    def _complaints(self) -> Path:
        """What the process writes to standard output and standard error."""
        assert self._folder is not None
        return Path(self._folder.name) / "complaints"

    def stop(self) -> None:
        """End the process, if there is one; the next call would start another."""
        if self._pool is not None and self._folder is not None:
            self._pool.stop()
            self._pool.join()
            self._folder.cleanup()
        self._pool = self._folder = None


def describe(error: BaseException) -> str:
    """Return the error in one line: an assertion by its message alone."""
    message = " ".join(str(error).split())
    if isinstance(error, AssertionError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _begin(complaints: str) -> None:
    """Keep what calls print, and where they crash, out of the way; calls read nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    kept = os.open(complaints, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream, target in ((0, nothing), (1, kept), (2, kept)):
        os.dup2(target, stream)
    faulthandler.enable(file=2)


def _reply(request: bytes, time_limit: float) -> bytes:
    """Answer one call; this is what the other process does."""
    # A thread outside Python's reach: it says where even a loop in C hangs, and ends the process.
    faulthandler.dump_traceback_later(time_limit, file=2, exit=True)
    try:
        function, args = pickle.loads(request)
        return pickle.dumps(function(*args))
    except BaseException as error:  # a call of sys.exit() included
        return pickle.dumps(Failure(FailureKind.RAISED, describe(error)))
    finally:
        faulthandler.cancel_dump_traceback_later()


def _pickled(function: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    import cloudpickle

    try:
        pickled: bytes = cloudpickle.dumps((function, args))
    except Exception as error:
        raise NotIsolable(
            f"got {getattr(function, '__name__', function)} with arguments that cannot be sent to "
            f"another process ({describe(error)}); expected functions and data that pickle takes: "
            "define them in a module, or go without isolation"
        ) from error
    return pickled


def _ending(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"the process ended with status {status}"


def _last_words(complaints: str) -> str:
    """Return where the process was, as faulthandler wrote it down, else its last line."""
    places = re.findall(
        r'^(Current t|T)hread 0x.*\n  File "(.+)", line (\d+) in (.+)$', complaints, re.MULTILINE
    )
    if places:  # the thread that crashed, else the main thread, which comes last
        current = [place for place in places if place[0].startswith("Current")]
        _, file, line, function = (current or places)[-1]
        return f", in {function} ({os.path.basename(file)}, line {line})"
    lines = complaints.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"; its last words: {last[:200]}" if last else ""
