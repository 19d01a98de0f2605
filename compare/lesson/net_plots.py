"""The lesson's plots of losses, networks and digits; each draws on `ax` and returns it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ..drawing.drawing import mark_alternative
from ..drawing.house_style import (
    GRID,
    INK,
    MUTED,
    OCHRE,
    PURPLE,
    SMALL,
    VERMILION,
    look_of,
    use_log_scale,
)
from .breaking import RIGHT, BrokenNet
from .findings import Checks, Floats, Losses, SixWeights
from .texts import LABELS


def plot_logarithm(
    ax: Axes, probabilities: Sequence[float], *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw -log y over (0, 1], and the loss of some probabilities of the true class."""
    y = np.geomspace(0.005, 1, 200)
    ax.plot(y, -np.log(y), color=INK)
    for probability, color in zip(probabilities, (PURPLE, VERMILION), strict=False):
        loss = -np.log(probability)
        ax.plot(probability, loss, "o", color=color)
        ax.annotate(
            f"y = {probability:g}: {loss:.3f}",
            (probability, loss),
            (9, 5),
            textcoords="offset points",
            color=color,
        )
    ax.set(xlabel=labels["probability"], ylabel="−log y", xlim=(-0.02, 1.02), ylim=(0, 5.4))
    return ax


def plot_pulls(ax: Axes, found: Losses, *, labels: Mapping[str, str] = LABELS) -> Axes:
    """Draw what pulls a wrong answer back, by the closed forms and by every backend."""
    for loss, color in (("offset loss", INK), ("stable loss", OCHRE)):
        ax.plot(found.gaps, found.exact[loss], color=color, linewidth=1.6, label=labels[loss])
        backends = found.pulls[loss]
        for position, (name, pull) in enumerate(backends.items()):
            # Each backend marks other gaps: on one spot only the last of them would be seen.
            shown = slice(4 * position, None, 4 * len(backends))
            look = look_of(name)
            label = name if loss == "offset loss" else None
            ax.plot(
                found.gaps[shown],
                np.abs(pull[shown]),
                look.marker,
                color=look.color,
                markersize=5,
                label=label,
            )
    ax.set(xlabel=labels["logit gap"], ylabel=labels["pull"], ylim=(-0.05, 1.1))
    ax.legend(loc="center right")
    return ax


def plot_matrix(
    ax: Axes, matrix: ArrayLike, *, title: str = "", labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw a small matrix as tiles, positive and negative in two colours, with its numbers."""
    entries = np.asarray(matrix)
    ax.imshow(_signed_colors(entries), aspect="auto", interpolation="none")
    for (row, column), value in np.ndenumerate(entries):
        ax.text(column, row, f"{value:.3f}".replace("-", "−"), ha="center", va="center")
    ax.set_xticks(range(entries.shape[1]))
    ax.set_yticks(range(entries.shape[0]))
    ax.set_title(title)
    return _bare(ax)


def plot_moved_weight(
    ax: Axes, found: SixWeights, slope: float, *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw the loss while one weight is moved, and the line that the gradient's entry promises."""
    ax.plot(found.shifts, found.moved_losses, color=INK, label=labels["loss"])
    promised = found.loss + slope * found.shifts
    label = f"{labels['slope']} {slope:.4f}".replace("-", "−")
    ax.plot(found.shifts, promised, color=VERMILION, linewidth=1.6, label=label)
    ax.plot(0, found.loss, "o", color=VERMILION)
    ax.plot(
        [found.by] * 2,
        [found.loss + found.by * slope, found.loss_after],
        "o--",
        color=MUTED,
        markersize=5,
        linewidth=1,
    )
    ax.set(xlabel=labels["moved by"], ylabel=labels["loss"])
    ax.legend()
    return ax


def plot_digits(
    ax: Axes,
    images: Floats,
    predicted: Sequence[int],
    truth: Sequence[int],
    *,
    columns: int = 8,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw digits as dark ink on light tiles, each with its prediction; wrong ones are framed.

    images: shape (N, side, side) in [0, 1]
    """
    side = images.shape[-1]
    width, height = side + 3, side + 14  # room between the tiles, and for a line of text below
    tiles = np.zeros((-(-len(images) // columns) * height, columns * width, 4))
    for index, (image, guess, label) in enumerate(zip(images, predicted, truth, strict=True)):
        top, left = index // columns * height, index % columns * width
        tiles[top : top + side, left : left + side, :3] = 1 - image[..., None]
        tiles[top : top + side, left : left + side, 3] = 1
        wrong = guess != label
        if wrong:
            ax.add_patch(_frame(top, left, side, VERMILION, 2.5))
        ax.text(
            left + side / 2,
            top + side + 1,
            f"{guess} ≠ {label}" if wrong else str(guess),
            ha="center",
            va="top",
            fontsize=SMALL,
            color=VERMILION if wrong else INK,
        )
    ax.imshow(tiles, interpolation="none")
    return _bare(ax, ticks=False)


def plot_hidden_units(
    ax: Axes, weights: Floats, *, columns: int = 6, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw the weights into some hidden units as pictures; weights: shape (N, side, side)."""
    side = weights.shape[-1]
    pitch = side + 2
    tiles = np.zeros((-(-len(weights) // columns) * pitch, columns * pitch, 4))
    for index, unit in enumerate(weights):
        top, left = index // columns * pitch, index % columns * pitch
        tiles[top : top + side, left : left + side] = _signed_colors(unit)
        ax.add_patch(_frame(top, left, side, GRID, 1))
    ax.imshow(tiles, interpolation="none")
    return _bare(ax, ticks=False)


def _frame(top: float, left: float, side: int, color: str, width: float) -> Rectangle:
    # Pixels are centred on whole numbers.
    return Rectangle(
        (left - 0.5, top - 0.5), side, side, fill=False, edgecolor=color, linewidth=width
    )


def plot_remainders(ax: Axes, found: Checks, *, labels: Mapping[str, str] = LABELS) -> Axes:
    """Draw what a gradient fails to predict against the step, down to the noise of the loss."""
    use_log_scale(ax)
    tests = (("wrong", found.wrong_taylor, VERMILION, "D"), ("right", found.right_taylor, INK, "o"))
    for name, test, color, marker in tests:
        steps, remainders = np.array(test.step_sizes), np.array(test.remainders)
        clear = remainders > 4 * test.noise
        label = f"{labels[name]}: {labels['slope']} {test.slope:.2f}"
        ax.plot(
            steps[clear],
            remainders[clear],
            color=color,
            marker=marker,
            markersize=5,
            linewidth=1.4,
            label=label,
        )
    ax.set(xlabel=labels["step size"], ylabel=labels["remainder"])
    ax.legend()
    return ax


def plot_broken(
    ax: Axes, net: BrokenNet, faults: Sequence[str], *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw the loss of training with the right gradient, and as alternatives each wrong one."""
    right = net.runs[RIGHT]
    ax.plot(net.steps, right.losses, color=INK, label=labels["right"])
    for number, fault in enumerate(faults):
        artist: Artist
        if fault in net.runs:
            label = labels["wrong"] if fault == next(iter(net.faulty)) else None
            losses = net.runs[fault].losses
            (artist,) = ax.plot(net.steps, losses, color=VERMILION, linewidth=1.6, label=label)
        else:
            artist = ax.text(0.5, 0.6, labels["no room"], color=MUTED, transform=ax.transAxes)
        mark_alternative(number, artist)
    top = 1.6 * float(right.losses[0])
    ax.set(xlabel=labels["step"], ylabel=labels["loss"], ylim=(0, top), title=net.name)
    ax.legend()
    return ax


def _signed_colors(values: ArrayLike) -> Floats:
    """Return RGBA: vermilion for positive, purple for negative, transparent towards zero."""
    array = np.asarray(values, np.float64)
    # A few weights far larger than all the others would leave these without colour.
    scale = max(float(np.quantile(np.abs(array), 0.995)), np.finfo(float).tiny)
    colors = np.where(array[..., None] > 0, _rgb(VERMILION), _rgb(PURPLE))
    # Not quite opaque, so that numbers on top stay readable.
    return np.concatenate([colors, 0.75 * np.minimum(np.abs(array)[..., None] / scale, 1)], axis=-1)


def _rgb(color: str) -> Floats:
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255


def _bare(ax: Any, *, ticks: bool = True) -> Axes:
    """Take away what pictures do not need: spines, grid, and the ticks where they mean nothing."""
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    ax.tick_params(length=0, colors=MUTED)
    if not ticks:
        ax.set_xticks([])
        ax.set_yticks([])
    bare: Axes = ax
    return bare
