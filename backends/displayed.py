"""How results show themselves in a terminal, a notebook and IPython."""

import html
import math
import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

WIDTH, HEIGHT, MARGIN = 320, 90, 6
COLOURS = {"agree": "#1a7f37", "differ": "#cf222e", "cannot tell": "#9a6700"}

MOST_LINES = 25
# Of one sentence in a narrow terminal, so that it does not push out all the others.
MOST_ROWS = 8
# Columns where nobody knows better: a file, a pipe, a notebook, the log of a CI.
COLUMNS = 160
FEWEST_COLUMNS = 30
# What is read as one word: an index, a number with what follows it.
ONE_WORD = re.compile(r"\[-?\d+(?:, -?\d+)*\]|\d %|± \S|f = \S")


class Displayed:
    """A result whose `str()` is its report; a notebook shows the same, with a small plot."""

    def lines(self) -> list[str]:
        """Return what there is to say, however long, what matters most first."""
        raise TypeError(f"{type(self).__name__} says nothing of itself")

    def report(self, columns: int | None = None) -> str:
        """Return the report in at most 25 lines, none longer than that unless a word is.

        columns: by default those of the terminal, 160 where standard output is none
        """
        return "\n".join(fitted(self.lines(), columns or terminal_columns()))

    def __str__(self) -> str:
        return self.report()

    def plotted(self) -> tuple[str, dict[str, Sequence[float]]] | None:
        """Return what the plot shows, in words, and its curves; None where there is nothing."""
        return None

    def _repr_html_(self) -> str:
        first, _, rest = self.report(COLUMNS).partition("\n")
        colour = COLOURS.get(str(getattr(self, "verdict", "")), "inherit")
        text = f"<b style='color:{colour}'>{html.escape(first)}</b>\n{html.escape(rest)}"
        report = f"<pre style='white-space:pre-wrap'>{text.rstrip()}</pre>"
        plot = self.plotted()
        return report if plot is None else report + svg(*plot)

    # IPython looks for it in the class itself, before the `__repr__` that dataclass writes there.
    _repr_pretty_: ClassVar[Callable[[Any, Any, bool], None]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._repr_pretty_ = _show


def _show(result: Displayed, printer: Any, cycle: bool) -> None:
    printer.text("..." if cycle else str(result))


def terminal_columns() -> int:
    """Return how many columns standard output has, 160 where it is no terminal."""
    return shutil.get_terminal_size((COLUMNS, MOST_LINES)).columns


def fitted(lines: Sequence[str], columns: int, most: int = MOST_LINES) -> list[str]:
    """Break lines between words so that none is longer than so many columns, a long word apart.

    What goes on is indented. Where the rows are more than `most`, the last lines make way.
    """
    rows: list[str] = []
    wrapped = [_wrapped(line, max(columns, FEWEST_COLUMNS)) for line in lines]
    for k, own in enumerate(wrapped):
        last = k == len(wrapped) - 1
        if len(rows) + len(own) > most - (not last):
            left = len(wrapped) - k
            return [*rows, f"... {left} more line{'s' * (left > 1)}"]
        rows += own
    return rows


def _wrapped(line: str, columns: int) -> list[str]:
    if len(line) <= columns:
        return [line]
    first, *words = ONE_WORD.sub(lambda found: found[0].replace(" ", "\0"), line.strip()).split(" ")
    margin = " " * (len(line) - len(line.lstrip()))
    rows = [margin + first]
    for word in words:
        if len(rows[-1]) + 1 + len(word) <= columns:
            rows[-1] += f" {word}"
        else:
            rows.append(f"{margin}    {word}")
    if len(rows) > MOST_ROWS:
        rows = [*rows[: MOST_ROWS - 1], f"{margin}    ..."]
    return [row.replace("\0", " ").rstrip() for row in rows]


def svg(title: str, curves: dict[str, Sequence[float]]) -> str:
    """Return a picture of curves over their position, on one logarithmic axis where all allow it.

    What is not finite leaves a gap.
    """
    known = [y for curve in curves.values() for y in curve if math.isfinite(y)]
    if len(known) < 2:
        return ""
    logarithmic = min(known) > 0 and max(known) > 10 * min(known)

    def height(y: float) -> float:
        return math.log10(y) if logarithmic else y

    low, high = height(min(known)), height(max(known))
    scale = (HEIGHT - 2 * MARGIN) / (high - low or 1.0)
    lines = []
    for position, (name, curve) in enumerate(curves.items()):
        step = (WIDTH - 2 * MARGIN) / max(len(curve) - 1, 1)
        points = " ".join(
            f"{MARGIN + k * step:.1f},{HEIGHT - MARGIN - (height(y) - low) * scale:.1f}"
            for k, y in enumerate(curve)
            if math.isfinite(y)
        )
        dashes = f" stroke-dasharray='{3 * position}'" if position else ""
        lines.append(
            f"<polyline points='{points}' fill='none' stroke='currentColor'{dashes}>"
            f"<title>{html.escape(name)}</title></polyline>"
        )
    axis = f"{min(known):.3g} to {max(known):.3g}" + ", logarithmic" * logarithmic
    said = html.escape(f"{title} ({axis})")
    return (
        f"<figure style='margin:0'><svg width='{WIDTH}' height='{HEIGHT}' role='img' "
        f"aria-label='{said}'>{''.join(lines)}</svg><figcaption>{said}</figcaption></figure>"
    )
