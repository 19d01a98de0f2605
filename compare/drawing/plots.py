"""Plots of what a comparison finds; each draws on the `ax` it is given, and returns it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from .house_style import GRID, MUTED, SMALL, look_of, looks_of, use_log_scale
from .languages import LABELS


class CostRow(Protocol):
    """What one gradient costs, in seconds; `predicted` where it was not measured."""

    @property
    def backend(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def gradient(self) -> float: ...
    @property
    def ratio(self) -> float: ...
    @property
    def predicted(self) -> bool: ...


def plot_loss_curves(
    ax: Axes, losses: Mapping[str, Sequence[float]], *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw the loss of each step, one curve for each backend; coinciding ones stay visible."""
    looks = looks_of(losses)
    for name, curve in losses.items():
        ax.plot(np.arange(1, len(curve) + 1), curve, label=name, **looks[name].line)
    ax.set(xlabel=labels["step"], ylabel=labels["loss"])
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def plot_accuracy(
    ax: Axes,
    accuracies: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw the accuracy after each epoch on (training, test) digits for each backend.

    accuracies: shares in [0, 1]; training is drawn as a line, test with markers and dashes
    """
    looks = looks_of(accuracies)
    for name, (train, test) in accuracies.items():
        look = looks[name]
        epochs = np.arange(1, len(train) + 1)
        ax.plot(epochs, train, label=f"{name}, {labels['training']}", **look.line)
        ax.plot(
            epochs,
            test,
            label=f"{name}, {labels['test']}",
            color=look.color,
            marker=look.marker,
            markevery=max(1, len(train) // 10),
            linestyle="dotted",
            linewidth=1.2,
        )
    ax.set(xlabel=labels["epoch"], ylabel=labels["accuracy"])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(lambda value, position: f"{100 * value:.0f} %")
    ax.legend()
    return ax


def plot_agreement(
    ax: Axes,
    differences: Mapping[str, Mapping[str, float]],
    bars: Mapping[str, float] | None = None,
    *,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw for each leaf how far each backend's gradient lies from the reference.

    differences: relative difference by backend and leaf; a zero is drawn at the axis' lower end
    bars: the difference that would still count as agreement, by leaf
    """
    leaves = list(dict.fromkeys(leaf for row in differences.values() for leaf in row))
    sizes = [value for row in differences.values() for value in row.values()]
    positive = [value for value in [*sizes, *(bars or {}).values()] if 0 < value < np.inf]
    lowest = min(positive, default=1e-17) / 10
    use_log_scale(ax, "x")
    heights = {leaf: -position for position, leaf in enumerate(leaves)}
    for leaf, bar in (bars or {}).items():
        ax.plot([lowest, bar], [heights[leaf]] * 2, color=GRID, linewidth=9, zorder=1)
    offsets = np.linspace(0.18, -0.18, len(differences)) if len(differences) != 1 else [0.0]
    looks = looks_of(differences)
    for (name, row), offset in zip(differences.items(), offsets, strict=True):
        look = looks[name]
        ax.plot(
            [max(value, lowest) for value in row.values()],
            [heights[leaf] + offset for leaf in row],
            look.marker,
            color=look.color,
            label=name,
        )
    ax.set_yticks(list(heights.values()), [leaf or labels["parameters"] for leaf in leaves])
    ax.set_ylim(-len(leaves) + 0.4, 0.6)
    ax.set_xlabel(labels["relative difference"])
    if differences:
        ax.legend()
    return ax


def plot_cost(ax: Axes, rows: Sequence[CostRow], *, labels: Mapping[str, str] = LABELS) -> Axes:
    """Draw the seconds of one gradient as a bar for each row, hatched where predicted."""
    names = [f"{row.backend} {getattr(row, 'dtype', '')}".strip() for row in rows]
    times = dict(zip(names, (row.gradient for row in rows), strict=True))
    predicted = {name for name, row in zip(names, rows, strict=True) if row.predicted}
    plot_seconds(ax, times, predicted, labels=labels)
    ax.set_xlabel(labels["seconds per gradient"])
    return ax


def plot_seconds(
    ax: Axes,
    times: Mapping[str, float],
    predicted: Collection[str] = (),
    *,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw seconds as bars on a logarithmic axis, hatched where predicted.

    times: by a name that begins with a backend's, which gives the bar its colour
    """
    use_log_scale(ax, "x")
    lowest, longest = min(times.values()) / 5, max(times.values())
    for position, (name, value) in enumerate(times.items()):
        color, guessed = look_of(name).color, name in predicted
        ax.barh(
            -position,
            value - lowest,
            left=lowest,
            color="none" if guessed else color,
            edgecolor=color,
            hatch="///" if guessed else None,
            height=0.4,
        )
        # Above its bar a long name takes no room from it.
        beside = ax.get_yaxis_transform()
        ax.text(0.02, 0.27 - position, name, transform=beside, va="bottom", fontsize=SMALL)
        ax.annotate(
            seconds(value) + f" ({labels['predicted']})" * guessed,
            (value, -position),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
        )
    ax.set_yticks([])
    ax.set_ylim(0.4 - len(times), 0.8)
    # Room for the text behind the longest bar: half as many powers of ten again.
    ax.set_xlim(lowest, longest * (longest / lowest) ** 0.5)
    ax.set_xlabel(labels["seconds"])
    ax.grid(axis="y", visible=False)
    return ax


def plot_growth(
    ax: Axes,
    rows: Sequence[CostRow],
    quantity: str = "gradient",
    *,
    fit_predicted: bool = False,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw a cost against the number of parameters on log-log axes, with the measured slopes.

    quantity: "gradient", seconds for one gradient; "ratio", the same in forward passes
    fit_predicted: have slopes follow predicted costs too, where each was sampled at its own size
    """
    use_log_scale(ax)
    for name, look in looks_of(dict.fromkeys(row.backend for row in rows)).items():
        series = [row for row in rows if row.backend == name]
        label, fit = name, fit_growth(series, quantity, fit_predicted=fit_predicted)
        if fit is not None:
            slope, constant = fit
            # Adding zero turns a rounded -0.0 into 0.0.
            label += f": {labels['slope']} {round(slope, 2) + 0.0:.2f}".replace("-", "−")
            # Over what was fitted alone: what lies beyond may well go another way.
            sizes = np.unique(
                [row.parameters for row in series if fit_predicted or not row.predicted]
            )
            ax.plot(sizes, constant * sizes**slope, **look.line)
        ax.plot([], [], label=label, marker=look.marker, **look.line)
        for row in series:
            ax.plot(
                row.parameters,
                getattr(row, quantity),
                look.marker,
                color=look.color,
                markerfacecolor="none" if row.predicted else look.color,
                zorder=4,
            )
    if any(row.predicted for row in rows):
        ax.plot([], [], "o", color=MUTED, markerfacecolor="none", label=labels["predicted"])
    ax.set(
        xlabel=labels["parameters"],
        ylabel=labels["seconds per gradient" if quantity == "gradient" else "forward passes"],
    )
    ax.legend()
    return ax


def fit_growth(
    rows: Sequence[CostRow], quantity: str = "gradient", *, fit_predicted: bool = False
) -> tuple[float, float] | None:
    """Return (slope, constant) of the power law in one backend's rows, None for a single size."""
    fitted = {
        row.parameters: getattr(row, quantity) for row in rows if fit_predicted or not row.predicted
    }
    return fit_power_law(list(fitted), list(fitted.values())) if len(fitted) > 1 else None


def fit_power_law(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Return (slope, constant) of the least-squares line log y = log constant + slope log x."""
    slope, intercept = np.polyfit(np.log(x), np.log(y), 1)
    return float(slope), float(np.exp(intercept))


def seconds(value: float) -> str:
    """Return a time as a person reads it: "3.2 µs", "41 ms", "2.5 h", "12 d"."""
    for limit, unit, size in (
        (1e-3, "µs", 1e-6),
        (1.0, "ms", 1e-3),
        (120.0, "s", 1.0),
        (7200.0, "min", 60.0),
        (48 * 3600.0, "h", 3600.0),
    ):
        if value < 0.9995 * limit:  # three digits of more would read 1e+03
            return f"{value / size:.3g} {unit}"
    return f"{value / 86400:,.3g} d"
