"""Draw a Taylor test: remainders against the step, with the slopes that they are compared to."""

from typing import TYPE_CHECKING

import numpy as np

from .taylor import TaylorTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_taylor(ax: "Axes", test: TaylorTest) -> "Axes":
    """Draw both remainders on logarithmic axes, and lines of slope 1 and 2; return `ax`.

    Remainders that are exactly 0 have no place there and are left out.
    """
    steps = np.array(test.step_sizes)
    series = (
        ("without gradient", np.array(test.differences), "o", 1),
        ("with gradient", np.array(test.remainders), "s", 2),
    )
    for label, remainders, marker, power in series:
        shown = remainders > 0
        if not shown.any():
            continue
        (line,) = ax.plot(
            steps[shown], remainders[shown], marker, markersize=4, linestyle="none", label=label
        )
        start = np.flatnonzero(shown)[0]
        guide = remainders[start] * (steps / steps[start]) ** power
        visible = guide >= test.noise
        ax.plot(
            steps[visible],
            guide[visible],
            color=line.get_color(),
            linewidth=0.8,
            label=f"slope {power}",
        )
    if np.isfinite(test.noise) and test.noise > 0:
        ax.axhline(test.noise, color="0.6", linewidth=0.8, linestyle="--", label="noise of f")
    ax.set(xlabel="step h", ylabel="remainder")
    ax.set_xscale("log")
    ax.set_yscale("log")
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    return ax
