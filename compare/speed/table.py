"""What gradients cost: one row for each backend and dtype."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gradparity.backends.displayed import MOST_ROWS, Displayed, fitted, terminal_columns

# Resident memory is counted in pages and in batches of them: less cannot be told from nothing.
SMALLEST_MEMORY = 2**18


@dataclass(frozen=True, kw_only=True)
class SpeedRow:
    """One backend's costs for one function; times are seconds, medians over calls.

    parameters: how many numbers the gradient has
    first_call: of a new gradient, traced and compiled where the backend does that
    gradient, forward: of value and gradient, and of the function alone, both compiled
    gradient_quartiles: lower and upper; calls: how many gradients were timed
    fastest_gradient, fastest_forward: of all calls; others can only add to what a call takes
    evaluations: calls of the function for one gradient, or tracings of it
    predicted: one gradient would take too long; its cost is that of its first evaluations,
        multiplied by how many it needs
    peak_memory: bytes that one gradient needs at most beyond parameters and arguments, None where
        the system cannot tell
    disturbed: share of the time in which other processes took the cores; the row may be too slow
    """

    backend: str
    dtype: str
    device: str
    parameters: int
    first_call: float
    gradient: float
    gradient_quartiles: tuple[float, float]
    forward: float
    fastest_gradient: float
    fastest_forward: float
    evaluations: int
    predicted: bool
    calls: int
    peak_memory: int | None
    disturbed: float

    @property
    def ratio(self) -> float:
        """The cost of a gradient in forward passes."""
        return self.gradient / self.forward

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio}


@dataclass(frozen=True)
class SpeedTable(Displayed):
    """The costs of one function's gradient; `str` gives the table.

    left_out: default backends that are not installed, each with the reason
    """

    rows: tuple[SpeedRow, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        return [*format_rows(self.rows), *remarks(self.rows, self.left_out)]

    def report(self, columns: int | None = None) -> str:
        """Return the table; where it is too wide, each row as a sentence."""
        columns = columns or terminal_columns()
        lines = self.lines()
        if max(map(len, lines[: len(self.rows) + 1])) > columns:
            lines = [*map(_in_words, self.rows), *lines[len(self.rows) + 1 :]]
        return "\n".join(fitted(lines, columns, most=MOST_ROWS * len(lines)))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"rows": [row.to_dict() for row in self.rows], "left_out": dict(self.left_out)}


def format_rows(rows: Sequence[SpeedRow]) -> list[str]:
    """Return lines of text, the first with the names of the columns."""
    cells = [_cells(row) for row in rows]
    names = list(cells[0])
    widths = [max(len(name), *(len(row[name]) for row in cells)) for name in names]
    return [
        "  ".join(
            text.ljust(width) if name in ("backend", "dtype") else text.rjust(width)
            for name, text, width in zip(names, line, widths, strict=True)
        ).rstrip()
        for line in (names, *(row.values() for row in cells))
    ]


def remarks(rows: Sequence[SpeedRow], left_out: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Return what has to be known before the rows are trusted."""
    lines = ["first call: with compiling; spread: between quartiles; ratio: gradient / forward"]
    if any(row.predicted for row in rows):
        lines.append("~ predicted from the first evaluations of one gradient")
    if any(row.disturbed for row in rows):
        lines.append("! other processes took the cores: the figures may be too high")
    return lines + [f"left out: {name}, {reason}" for name, reason in left_out]


def _cells(row: SpeedRow) -> dict[str, str]:
    from ..drawing.plots import seconds

    mark = "~" if row.predicted else ""
    low, high = row.gradient_quartiles
    return {
        "backend": row.backend,
        "dtype": row.dtype,
        "parameters": f"{row.parameters:,}",
        "first call": mark + seconds(row.first_call),
        "gradient": mark + seconds(row.gradient),
        "spread": f"{(high - low) / row.gradient:.0%}" + " !" * bool(row.disturbed),
        "forward": seconds(row.forward),
        "ratio": mark + (f"{row.ratio:.3g}" if row.ratio < 1000 else f"{row.ratio:,.0f}"),
        "evaluations": f"{mark}{row.evaluations:,}",
        "memory": _memory(row.peak_memory),
    }


def _in_words(row: SpeedRow) -> str:
    """Return a row of the table as "jax float64: gradient 3 ms, ..."."""
    backend, dtype, *rest = _cells(row).items()
    return f"{backend[1]} {dtype[1]}: " + ", ".join(f"{name} {text}" for name, text in rest)


def _memory(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 2**20:.3g} MiB" if size >= SMALLEST_MEMORY else "< 0.25 MiB"
