"""Tables for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_OF_FILES = 120  # characters, where the output is no terminal and has no width


def make_console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_OF_FILES)


def print_table(
    console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print rows of text; a first column that repeats is shown once."""
    table = Table(*header, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    before = None
    for first, *others in rows:
        # Text, not markup: "numerical[loop]" would lose its brackets.
        table.add_row(*map(Text, ("" if first == before else first, *others)))
        before = first
    console.print(table)
