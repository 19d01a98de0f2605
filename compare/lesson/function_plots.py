"""The lesson's plots of functions, slopes and descents; each draws on `ax` and returns it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ..drawing.house_style import GRID, INK, MUTED, OCHRE, PURPLE, VERMILION, look_of, use_log_scale
from .findings import Floats, Function, Kink
from .texts import LABELS


def plot_tangents(
    ax: Axes,
    f: Function,
    slopes: Mapping[float, float],
    *,
    until: float = 20.0,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw f over [0, until], and at each point the line of the given slope."""
    x = np.linspace(0, until, 101)
    ax.plot(x, [f(point) for point in x], color=INK, label="f(x)")
    for (point, slope), color in zip(slopes.items(), (VERMILION, PURPLE), strict=False):
        reach = np.array([point - 5, point + 7.5])
        ax.plot(reach, f(point) + slope * (reach - point), color=color, linewidth=1.6)
        ax.plot(point, f(point), "o", color=color)
        ax.annotate(
            f"{labels['slope']} {slope:.4g}",
            (point, f(point)),
            (8, -14),
            textcoords="offset points",
            color=color,
        )
    ax.set_xticks(np.arange(0, until + 1, 5))
    ax.set(xlabel="x", ylabel="f(x)")
    return ax


def plot_secants(
    ax: Axes, f: Function, x: float, h: float, exact: float, *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw the chords of a forward and of a central difference, and the tangent they stand for."""
    reach = np.linspace(x - 1.6 * h, x + 1.6 * h, 101)
    ax.plot(reach, [f(point) for point in reach], color=INK)
    ends = reach[[0, -1]]
    ax.plot(ends, f(x) + exact * (ends - x), color=MUTED, dashes=(4, 2), label=labels["tangent"])
    for ahead, behind, color, marker, name in (
        (x + h, x, PURPLE, "D", "forward"),
        (x + h, x - h, VERMILION, "o", "central"),
    ):
        slope = (f(ahead) - f(behind)) / (ahead - behind)
        points = np.array([behind, ahead])
        ax.plot(points, [f(point) for point in points], marker, color=color)
        ax.plot(
            ends,
            f(behind) + slope * (ends - behind),
            color=color,
            linewidth=1.6,
            label=f"{labels[name]}: {slope:.3g}",
        )
    ax.set_xticks([x - h, x, x + h], ["x − h", "x", "x + h"])
    ax.set(ylabel="f(x)")
    ax.legend()
    return ax


def plot_wireframe(ax: Any, f: Function, *, labels: Mapping[str, str] = LABELS) -> Axes:
    """Draw f over the plane as a net of lines."""
    x0, x1, height = _plane(f)
    ax.plot_wireframe(x0, x1, height, color=PURPLE, linewidth=0.8)
    return _label_space(ax)


def plot_surface(
    ax: Any,
    f: Function,
    point: Floats,
    gradient: Floats,
    *,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw f as a surface, and on the floor below a point the arrow of its gradient."""
    x0, x1, height = _plane(f)
    ax.plot_surface(x0, x1, height, cmap="viridis", alpha=0.7, linewidth=0, rcount=20, ccount=20)
    (a, b), value, floor = point, f(point), -24.0
    turn = np.linspace(0, 2 * np.pi, 73)
    radius = np.hypot(a, b)
    ax.plot(radius * np.cos(turn), radius * np.sin(turn), floor, color=MUTED, linewidth=1)
    ax.plot([a, a], [b, b], [floor, value], color=MUTED, linewidth=1, zorder=5)
    ax.plot([a], [b], [value], "o", color=VERMILION, zorder=6)
    ax.quiver(a, b, floor, *(0.5 * gradient), 0, color=VERMILION, linewidth=2.4)
    ax.set_zlim(floor, float(height.max()))
    return _label_space(ax)


def _plane(f: Function) -> tuple[Floats, Floats, Floats]:
    side = np.linspace(-4, 4, 21)
    x0, x1 = np.meshgrid(side, side)
    height = np.array([f(point) for point in np.stack([x0, x1], axis=-1).reshape(-1, 2)])
    return x0, x1, height.reshape(x0.shape)


def _label_space(ax: Any) -> Axes:
    ax.set(xlabel="x₀", ylabel="x₁", zlabel="f")
    ax.set_box_aspect((4, 4, 3.4), zoom=1.0)
    ax.set_zticks([0, 10, 20, 30])
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color(MUTED)
    ax.set_xticks(range(-4, 5, 2))
    ax.set_yticks(range(-4, 5, 2))
    flat: Axes = ax
    return flat


def plot_field(
    ax: Axes,
    points: Floats,
    gradients: Mapping[str, Floats],
    *,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw the arrows of -gradient at points of the plane, one backend over the other.

    points, and the gradients by backend: shape (2, N)
    """
    # Shafts and heads lie within one another, so that each backend's colour shows.
    widths = np.linspace(0.014, 0.004, len(gradients))
    for (name, gradient), width in zip(gradients.items(), widths, strict=True):
        head = (0.016 + 1.6 * width) / width
        ax.quiver(
            *points,
            *-gradient,
            color=look_of(name).color,
            width=width,
            headwidth=head,
            headlength=head,
            headaxislength=head,
            angles="xy",
            scale_units="xy",
            scale=10,
            label=name,
        )
    ax.set(xlabel="x₀", ylabel="x₁", aspect="equal")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return ax


RATE_LOOKS: Sequence[dict[str, Any]] = (
    {"color": MUTED, "marker": "v"},
    {"color": VERMILION, "marker": "o"},
    {"color": PURPLE, "marker": "D"},
    {"color": OCHRE, "marker": "s"},
)


def plot_descent(
    ax: Axes, f: Function, paths: Mapping[float, Floats], *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw a path over the contours of f for each learning rate.

    paths: shape (steps + 1, 2); what leaves the picture is cut off
    """
    side = np.linspace(-6, 6, 61)
    heights = [[f(np.array([x0, x1])) for x0 in side] for x1 in side]
    ax.contour(side, side, heights, levels=[1, 4, 9, 16, 25, 36, 49], colors=[GRID], linewidths=1.2)
    ax.plot(0, 0, "+", color=MUTED, markersize=12)
    for (rate, path), look in zip(paths.items(), RATE_LOOKS, strict=False):
        # A line far outside the picture would only make the file larger.
        seen = path[: int(np.argmax([*(np.abs(path).max(axis=1) > 50), True])) + 1]
        ax.plot(*seen.T, linewidth=1, markersize=4, label=f"η = {rate:g}", **look)
    ax.plot(*next(iter(paths.values()))[0], "o", color=INK, markersize=8)
    ax.set(xlim=(-6, 6), ylim=(-6, 6), aspect="equal", xlabel="x₀", ylabel="x₁")
    ax.grid(visible=False)
    return ax


def plot_distances(
    ax: Axes, distances: Mapping[float, Floats], *, labels: Mapping[str, str] = LABELS
) -> Axes:
    """Draw the distance from the minimum at each step for each learning rate."""
    use_log_scale(ax, "y")
    lowest, highest = 1e-12, 1e6
    for (rate, distance), look in zip(distances.items(), RATE_LOOKS, strict=False):
        seen = np.clip(distance, lowest / 10, 10 * highest)
        ax.plot(seen, markersize=5, markevery=20, label=f"η = {rate:g}", **look)
    ax.set(ylim=(lowest, highest), xlabel=labels["step"], ylabel=labels["distance"])
    ax.legend(loc="lower left")
    return ax


def plot_runaway(
    ax: Axes,
    distances: Mapping[str, Floats],
    exact: Floats,
    stalled: Floats,
    *,
    labels: Mapping[str, str] = LABELS,
) -> Axes:
    """Draw how far a learning rate that is too large leads with each backend, and in theory.

    stalled: the distances with the notebooks' own differences
    """
    use_log_scale(ax, "y")
    ax.plot(exact, color=MUTED, linewidth=8, alpha=0.35, label=labels["exact factor"])
    for name, distance in distances.items():
        ax.plot(distance, label=name, **look_of(name).line)
    ax.plot(
        stalled,
        color=INK,
        linewidth=2,
        marker="o",
        markevery=10,
        markersize=4,
        label=labels["notebook"],
    )
    ax.set_yticks(10.0 ** np.arange(0, np.log10(exact[-1]), 20))
    ax.set(xlabel=labels["step"], ylabel=labels["distance"])
    ax.legend(loc="upper left")
    return ax


def plot_kink(ax: Axes, kink: Kink, *, labels: Mapping[str, str] = LABELS) -> Axes:
    """Draw a function of one variable around its kink at 0, the legal slopes, and those taken."""
    reach = np.linspace(-1, 1, 101)
    left, right = (slope * reach for slope in kink.one_sided)
    ax.fill_between(reach, left, right, color=GRID, label=labels["legal slopes"])
    ax.plot(reach, [kink.f(np.array([x])) for x in reach], color=INK, linewidth=7, alpha=0.3)
    for name, slope in kink.answers.items():
        label = f"{name}: {slope:.3g}".replace("-", "−")
        ax.plot(reach, slope * reach, label=label, **look_of(name).line)
    ax.set(xlabel="x", ylim=(-0.8, 1.1))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return ax


def norms(path: ArrayLike) -> Floats:
    """Return the distance of each point of a path, shape (steps + 1, 2), from the origin."""
    return np.asarray(np.linalg.norm(path, axis=-1))
