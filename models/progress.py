"""How long work tells where it is, on standard error."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ReportProgress = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the loss of the last step."""

Announce = Callable[[str, float | None], None]
"""Called with what is being done, and the share of all the work that is done where it is known."""

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

    The lines come also while nothing is reported: the work goes on, and for how long it has.
    """
    if quiet or sys.stderr is None:
        yield lambda what, share: None
    elif sys.stderr.isatty():
        with _bar(title) as announce:
            yield announce
    else:
        with _lines(title) as announce:
            yield announce


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
