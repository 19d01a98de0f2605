"""What becomes of an exception: one message and an exit code, the same for all commands."""

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

# Exit codes; 0 and 1 are for what was found: agree or done, and differ.
USAGE, CANNOT_TELL, WORK_FAILED, INTERRUPTED = 2, 3, 4, 130
EXIT_CODES = {"agree": 0, "differ": 1, "cannot tell": CANNOT_TELL}
SHOW_TRACEBACK = "GRADPARITY_TRACEBACK"


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with exceptions made into messages: 1 stays for gradients that differ."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except BaseException as error:
            if isinstance(error, typer.BadParameter):
                raise
            if options.get("traceback") or os.environ.get(SHOW_TRACEBACK):
                show_traceback(error)
            say(describe_failure(error))
            raise typer.Exit(_exit_code(error)) from None

    return run


def describe_failure(error: BaseException) -> str:
    """Return what a person has to know of an exception that ended the work."""
    from gradparity.backends.errors import GradparityError

    if isinstance(error, GradparityError):
        return str(error)
    from gradparity.compare.places import place_of

    where = place_of(error)
    if isinstance(error, SystemExit):
        return (
            f"{where or 'the code that was run'} called sys.exit({error.code!r}) before there was "
            "a result; expected a function that returns"
        )
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror}"
    message = " ".join(str(error).split())
    named = type(error).__name__ + (f": {message}" if message else "")
    if isinstance(error, MemoryError) and not message:
        named += ": more memory was needed than there is"
    if isinstance(error, RecursionError):
        named = f"RecursionError: something is nested too deeply ({message})"
    return f"{where}: {named}" if where else f"{named} ({SHOW_TRACEBACK}=1 shows where)"


def say(message: str) -> None:
    """Print a message of gradparity's own to standard error, without a terminal's escapes."""
    from .terminal import printable

    try:
        typer.secho(f"gradparity: {printable(message)}", fg="red", err=True)
    except (OSError, ValueError):  # nobody can be told: the exit code still tells
        pass


def show_traceback(error: BaseException) -> None:
    from .terminal import printable

    typer.echo(printable("".join(traceback.format_exception(error))), err=True)


def _exit_code(error: BaseException) -> int:
    from gradparity.backends.errors import InvalidSetting, UnknownBackend

    return USAGE if isinstance(error, InvalidSetting | UnknownBackend) else WORK_FAILED


def flushed(code: int) -> int:
    """Return the exit code, once all that was printed has arrived; WORK_FAILED where it cannot."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            code = WORK_FAILED
            # Python's own flush at the end would fail again, with an exit code of its own.
            _give_up(stream)
            say(f"standard output cannot be written: {getattr(error, 'strerror', error)}")
    return code


def _give_up(stream: Any) -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError, AttributeError):
        pass
