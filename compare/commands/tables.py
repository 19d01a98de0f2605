"""Tables for the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .terminal import printable, report_stream

WIDTH_OF_FILES = 120  # characters, where the output is no terminal and has no width


def make_console(json_file: Path | None = None) -> Console:
    """Return a console for the report: text as it is, neither markup nor highlights."""
    console = Console(file=report_stream(json_file), highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console.width = WIDTH_OF_FILES
    return console


def print_text(console: Console, text: str) -> None:
    """Print lines of text, broken to the width of a terminal; into a file they go as they are."""
    console.print(text, soft_wrap=not console.is_terminal)


def print_table(
    console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print rows of text; a first column that repeats is shown once."""
    table = Table(*header, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    before = None
    for first, *others in rows:
        # Text, not markup: "numerical[loop]" would lose its brackets.
        cells = ("" if first == before else first, *others)
        table.add_row(*(Text(printable(cell)) for cell in cells))
        before = first
    if not console.is_terminal:  # a file or a pipe has room for whole words
        options = console.options.update(max_width=10_000)
        console.width = max(console.width, console.measure(table, options=options).maximum)
    console.print(table)
