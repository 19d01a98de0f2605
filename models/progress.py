"""How a training tells where it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

ReportProgress = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the loss of the last step."""


@contextmanager
def reporting(progress: bool | ReportProgress, title: str) -> Iterator[ReportProgress | None]:
    """Give what reports progress: a bar on standard error for True, nothing for False."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    else:
        with _bar(title) as report:
            yield report


@contextmanager
def _bar(title: str) -> Iterator[ReportProgress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, loss=float("nan"))

        def report(step: int, steps: int, loss: float) -> None:
            bar.update(task, completed=step, total=steps, loss=loss)

        yield report
