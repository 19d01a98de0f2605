"""The lesson's plots of the step size; each draws on `ax` and returns it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..drawing.house_style import GRID, INK, MUTED, OCHRE, PURPLE, SMALL, use_log_scale
from .findings import StepSizes
from .notebook_loops import NOTEBOOK_STEP
from .texts import LABELS

# What is drawn for an error of zero, which a logarithmic axis has no room for.
NO_ERROR = 1e-17

STEP_LOOKS: dict[str, dict[str, Any]] = {
    "forward float64": {"color": MUTED, "linewidth": 1.4, "linestyle": (0, (4, 2))},
    "central float32": {"color": PURPLE},
    "central float64": {"color": INK},
    "complex float64": {"color": OCHRE, "linestyle": (0, (1, 1))},
}


def plot_step_errors(
    ax: Axes, found: StepSizes, bar: float, *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw the errors against the step size, large steps first.

    bar: the arbiter's error bar, relative
    """
    use_log_scale(ax)
    for name, error in found.errors.items():
        ax.plot(found.steps, np.maximum(error, NO_ERROR), label=labels[name], **STEP_LOOKS[name])
    ax.axhspan(NO_ERROR / 3, bar, color=GRID, zorder=0)
    marks = (("book's step", NOTEBOOK_STEP, "right"), ("best step", found.best["float64"], "left"))
    for name, step, side in marks:
        ax.axvline(step, color=MUTED, linewidth=1, dashes=(1, 2))
        ax.text(step, 5, labels[name], color=MUTED, fontsize=SMALL, ha=side, va="bottom")
    ax.text(
        2e-16, bar * 1.5, labels["error bar"], color=MUTED, fontsize=SMALL, ha="right", va="bottom"
    )
    ax.set(xlim=(2, 5e-17), ylim=(NO_ERROR / 3, 3))
    ax.set(xlabel=labels["step size"], ylabel=labels["relative error"])
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return ax


def plot_microscope(ax: Axes, found: StepSizes, *, labels: Mapping[str, str] = LABELS) -> Axes:
    """Draw f around x in units of the step, as each dtype computes it."""
    ax.plot([-2, 2], [-2, 2], color=MUTED, dashes=(4, 2), linewidth=1.2, label=labels["tangent"])
    looks: dict[str, dict[str, Any]] = {
        "float32": {"color": PURPLE, "linewidth": 1.4},
        "float64": {"color": INK, "linewidth": 2.0},
    }
    ends = np.searchsorted(found.positions, [-1, 1])
    for dtype, values in found.view.items():
        ax.plot(found.positions, values, label=dtype, **looks[dtype])
        ax.plot(found.positions[ends], values[ends], "o", color=looks[dtype]["color"])
    ax.legend(loc="upper left")
    ax.set(xlim=(-2, 2), ylim=(-3, 3), ylabel=labels["rise"])
    ax.set_xticks([-1, 0, 1], ["x − h", "x", "x + h"])
    return ax
