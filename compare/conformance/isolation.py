"""Call functions in another process: one that crashes, hangs or babbles costs only that call."""

import faulthandler
import os
import pickle
import queue
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any, Self

from gradparity.backends.errors import GradparityError

HEADER = struct.Struct(">Q")  # the length of the pickle that follows
START_LIMIT = 60.0  # seconds for an interpreter to come up on a busy machine
GRACE = 2.0  # seconds for the process to write down where it hangs, before it is killed


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
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __reduce__(self) -> tuple[Any, ...]:
        return IsolatedProcess, (self.time_limit,)  # what holds one is sent without the process

    def call(self, function: Callable[..., Any], *args: Any) -> Any | Failure:
        """Return `function(*args)`, or the Failure that it ended in."""
        request = _pickled(function, args, self.time_limit)
        if self._process is None:
            self._start()
            if self._answer(None, START_LIMIT) is None:
                return self._bury(FailureKind.CRASHED)
        started = time.monotonic()
        answer = self._answer(request, self.time_limit + GRACE)
        if answer is None:
            late = time.monotonic() - started >= self.time_limit
            return self._bury(FailureKind.TIMED_OUT if late else FailureKind.CRASHED)
        try:
            return pickle.loads(answer)
        except Exception as error:
            return Failure(FailureKind.RAISED, f"the answer cannot be read: {describe(error)}")

    def _start(self) -> None:
        self._complaints = tempfile.TemporaryFile()
        start = (
            "import sys; sys.path[:] = sys.argv[1:]; "
            "from gradparity.compare.conformance.isolation import serve; serve()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", start, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,  # what it starts in turn can be ended with it
        )

    def _answer(self, request: bytes | None, limit: float) -> bytes | None:
        """Send the request and wait for one answer; None stands for none in time, or death."""
        process = self._process
        assert process is not None
        answers: queue.Queue[bytes | None] = queue.Queue()

        def exchange() -> None:
            try:
                if request is not None:
                    _write(process.stdin, request)
                answers.put(_read(process.stdout))
            except (OSError, ValueError):  # the process, or this end of the pipe, is gone
                answers.put(None)

        threading.Thread(target=exchange, daemon=True).start()
        try:
            return answers.get(timeout=limit)
        except queue.Empty:
            return None

    def _bury(self, kind: FailureKind) -> Failure:
        """Stop the process and tell what it left behind."""
        assert self._process is not None
        assert self._complaints is not None
        process, complaints = self._process, self._complaints
        try:  # a process that is dying on its own has an exit status worth telling
            process.wait(timeout=0 if kind is FailureKind.TIMED_OUT else GRACE)
        except subprocess.TimeoutExpired:
            _kill(process)
        complaints.seek(0)
        text = complaints.read().decode(errors="replace")
        self.stop()
        if kind is FailureKind.TIMED_OUT:
            ending = f"no answer within {self.time_limit:g} s"
        else:
            ending = _ending(process.returncode)
        return Failure(kind, ending + _last_words(text))

    def stop(self) -> None:
        """End the process, if there is one; the next call would start another."""
        if self._process is not None and self._complaints is not None:
            _kill(self._process)
            for pipe in (self._process.stdin, self._process.stdout, self._complaints):
                try:
                    if pipe is not None:
                        pipe.close()
                except OSError:  # a request that nobody read is lost
                    pass
        self._process = self._complaints = None


def describe(error: BaseException) -> str:
    """Return the error in one line: an assertion by its message alone."""
    message = " ".join(str(error).split())
    if isinstance(error, AssertionError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def serve() -> None:
    """Answer calls until the other end closes; this is what the other process runs."""
    # The pipes are kept aside: what a call reads or prints must not mix with them.
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    _write(replies, b"ready")
    while (request := _read(requests)) is not None:
        _write(replies, _reply(request))


def _reply(request: bytes) -> bytes:
    try:
        time_limit, call = pickle.loads(request)
        # A thread outside Python's reach: it ends even a loop in C, and says where that was.
        faulthandler.dump_traceback_later(time_limit, exit=True, file=2)
        function, args = pickle.loads(call)
        reply = pickle.dumps(function(*args))
    except BaseException as error:  # a call of sys.exit() included
        reply = pickle.dumps(Failure(FailureKind.RAISED, describe(error)))
    finally:
        faulthandler.cancel_dump_traceback_later()
    return reply


def _pickled(function: Callable[..., Any], args: tuple[Any, ...], time_limit: float) -> bytes:
    import cloudpickle

    try:
        # Unpickling may import what the call is about: that is done under the time limit.
        return pickle.dumps((time_limit, cloudpickle.dumps((function, args))))
    except Exception as error:
        raise NotIsolable(
            f"got {getattr(function, '__name__', function)} with arguments that cannot be sent to "
            f"another process ({describe(error)}); expected functions and data that pickle takes: "
            "define them in a module, or go without isolation"
        ) from error


def _write(pipe: IO[bytes] | None, content: bytes) -> None:
    assert pipe is not None
    pipe.write(HEADER.pack(len(content)) + content)
    pipe.flush()


def _read(pipe: IO[bytes] | None) -> bytes | None:
    assert pipe is not None
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    content = pipe.read(length)
    return content if len(content) == length else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):  # Windows, or already gone
        process.kill()
    process.wait()


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
