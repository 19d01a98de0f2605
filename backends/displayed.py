"""How results show themselves in a notebook and in IPython."""

import html
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

WIDTH, HEIGHT, MARGIN = 320, 90, 6
COLOURS = {"agree": "#1a7f37", "differ": "#cf222e", "cannot tell": "#9a6700"}


class Displayed:
    """A result whose `str()` is its report; a notebook shows the same, with a small plot."""

    def plotted(self) -> tuple[str, dict[str, Sequence[float]]] | None:
        """Return what the plot shows, in words, and its curves; None where there is nothing."""
        return None

    def _repr_html_(self) -> str:
        first, _, rest = str(self).partition("\n")
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
