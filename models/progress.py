"""How long work tells where it is, on standard error."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

ReportProgress = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the loss of the last step."""

Announce = Callable[[str, float | None], None]
"""Called with what is being done, and the share of all the work that is done where it is known."""

# What work that is part of other work tells its progress to; a second bar would disturb the first.
_OUTER: ContextVar["_Shown | None"] = ContextVar("_OUTER", default=None)

# Seconds between two lines where standard error is no terminal.
PERIOD = 10.0


@contextmanager
def reporting(progress: bool | ReportProgress, title: str) -> Iterator[ReportProgress | None]:
    """Give what reports a training: a bar on standard error for True, nothing for False."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    else:
        with announced(title) as announce:

            def report(step: int, steps: int, loss: float) -> None:
                announce(f"step {step:,} of {steps:,}, loss {loss:.4f}", step / steps)

            yield report


@contextmanager
def announced(title: str, *, quiet: bool = False) -> Iterator[Announce]:
    """Show how far some work is: a bar on a terminal, else a line every ten seconds.

    The lines come also while nothing is reported: the work goes on, and for how long it has. Work
    inside of other work that is shown, or quiet, goes on under its title.
    """
    outer = _OUTER.get()
    if outer is not None:
        yield outer.part()
        return
    with _display(title, quiet) as announce:
        shown = _Shown(announce)
        token = _OUTER.set(shown)
        try:
            yield shown
        finally:
            _OUTER.reset(token)


class _Shown:
    """Announces, and knows what it announced last: a part of that work goes on from there."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._what = ""
        self._share: float | None = None

    def __call__(self, what: str, share: float | None) -> None:
        self._what, self._share = what, share
        self._announce(what, share)

    def part(self) -> Announce:
        what, share = self._what, self._share

        def announce(more: str, of_part: float | None) -> None:
            self._announce(f"{what}: {more}" if what else more, share)

        return announce


def _display(title: str, quiet: bool) -> AbstractContextManager[Announce]:
    if quiet or sys.stderr is None:
        return nullcontext(lambda what, share: None)
    return _bar(title) if sys.stderr.isatty() else _lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Announce]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def announce(what: str, share: float | None) -> None:
            total = None if share is None else 1.0
            bar.update(task, description=f"{title}: {what}", completed=share or 0.0, total=total)

        yield announce


@contextmanager
def _lines(title: str) -> Iterator[Announce]:
    started, over = time.monotonic(), threading.Event()
    latest: list[tuple[str, float | None]] = [("", None)]

    def announce(what: str, share: float | None) -> None:
        latest[0] = what, share

    def tell() -> None:
        while not over.wait(PERIOD):
            try:
                print(_line(title, *latest[0], time.monotonic() - started), file=sys.stderr)
            except (OSError, ValueError):  # nobody listens any more
                return

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield announce
    finally:
        over.set()
        teller.join()


def _line(title: str, what: str, share: float | None, seconds: float) -> str:
    """Return such as "training: step 40 of 100: 40 %, 20 s so far, about 30 s left"."""
    parts = [f"{seconds:.0f} s so far"]
    if share:
        left = seconds * (1 - share) / share
        parts = [f"{share:.0%}", *parts, f"about {left:.0f} s left"]
    return ": ".join(filter(None, (title, what, ", ".join(parts))))
