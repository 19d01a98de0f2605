"""Sections 1 to 4 as they stand on the page: slopes, steps, gradients, descents."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..drawing.page import Block, Formula, Table
from .findings import Descents, Differences, Floats, Gradients, StepSizes
from .formulas import FORMULAS
from .function_plots import (
    norms,
    plot_descent,
    plot_distances,
    plot_field,
    plot_runaway,
    plot_secants,
    plot_surface,
    plot_tangents,
    plot_wireframe,
)
from .labs import write_descent_lab, write_step_lab
from .notebook_loops import NOTEBOOK_STEP
from .questions import ask
from .run import Lesson, decimals, scientific, spread
from .step_plots import plot_microscope, plot_step_errors
from .symbolic import differentiate_parabola

IN_SPACE: dict[str, Any] = {"projection": "3d", "size": (4.8, 4.0)}


def show_difference(lesson: Lesson, found: Differences) -> Sequence[Block]:
    slopes = {f"at_{x:g}": f"{slope:.4g}" for x, slope in found.central.items()}
    return (
        lesson.paragraph("difference.text"),
        Formula(FORMULAS["derivative"]),
        lesson.paragraph("difference.practice"),
        Formula(FORMULAS["forward"]),
        Formula(FORMULAS["central"]),
        lesson.picture(
            "difference.tangents",
            lesson.panel(
                "difference.tangents", plot_tangents, found.f, found.central, values=slopes
            ),
            lesson.panel("difference.secants", plot_secants, found.f, 5.0, 4.0, found.exact[5.0]),
            values=slopes,
        ),
        *_on_paper(lesson),
        Table(
            lesson.words("difference", "x", "exact", "forward", "central"),
            [
                (
                    f"{x:g}",
                    *(
                        decimals(slopes[x])
                        for slopes in (found.exact, found.forward, found.central)
                    ),
                )
                for x in found.exact
            ],
            lesson.text("difference.table"),
        ),
    )


def _on_paper(lesson: Lesson) -> Sequence[Block]:
    try:
        paper = differentiate_parabola(0.01, 0.1)
    except ModuleNotFoundError:
        return (lesson.notice("difference.no_sympy"),)
    return (
        lesson.paragraph("difference.symbolic", function=paper.function),
        Formula(paper.derivative),
    )


def show_step_size(lesson: Lesson, found: StepSizes) -> Sequence[Block]:
    best = {"best": scientific(found.best["float64"]), "single": scientific(found.best["float32"])}
    bar = found.estimate.error / abs(found.exact)
    caption = best | {
        "viewed": scientific(found.viewed),
        "evaluations": found.estimate.evaluations,
        "bar": scientific(bar),
        "true_error": scientific(abs(found.estimate.value / found.exact - 1)),
        "single_at_book": scientific(
            np.interp(-NOTEBOOK_STEP, -found.steps, found.round_off["float32"])
        ),
    }
    proof = (
        () if found.proven is None else (lesson.paragraph("step_size.proof", digits=found.proven),)
    )
    return (
        lesson.paragraph("step_size.text"),
        Formula(FORMULAS["two_errors"]),
        lesson.paragraph("step_size.best"),
        Formula(FORMULAS["best_step"]),
        lesson.paragraph("step_size.complex"),
        Formula(FORMULAS["complex_step"]),
        ask(lesson, "step_size", best=best["best"]),
        lesson.picture(
            "step_size.errors",
            lesson.panel("step_size.errors", plot_step_errors, found, bar, values=best),
            lesson.panel("step_size.microscope", plot_microscope, found, values=caption),
            values=caption,
        ),
        *proof,
        write_step_lab(lesson),
    )


def show_gradient(lesson: Lesson, found: Gradients) -> Sequence[Block]:
    (place, by_backend), backends = next(iter(found.named.items())), list(found.at_points)
    point, slope = np.array(place), by_backend[backends[0]]
    arrow = {"point": _point(point), "gradient": _point(slope, 4)}
    return (
        lesson.paragraph("gradient.text"),
        Formula(FORMULAS["gradient"]),
        lesson.picture(
            "gradient.surface",
            lesson.panel("gradient.wireframe", plot_wireframe, found.f, **IN_SPACE),
            lesson.panel(
                "gradient.surface",
                plot_surface,
                found.f,
                point,
                slope,
                values=arrow,
                **IN_SPACE,
            ),
            values=arrow,
        ),
        lesson.picture(
            "gradient.field",
            lesson.panel(
                "gradient.field", plot_field, found.points, found.at_points, size=(4.8, 5.0)
            ),
            values={
                "points": found.points.shape[1],
                "difference": scientific(spread(list(found.at_points.values()))),
            },
        ),
        Table(
            [lesson.text("gradient.point"), *backends],
            [
                (_point(np.array(at)), *(_point(by_backend[name], 12) for name in backends))
                for at, by_backend in found.named.items()
            ],
            lesson.text("gradient.table"),
        ),
    )


def show_descent(lesson: Lesson, found: Descents) -> Sequence[Block]:
    paths = {rate: descent.path for rate, descent in found.paths.items()}
    distances = {rate: norms(path) for rate, path in paths.items()}
    ends = {
        "exact_end": scientific(found.growth[-1]),
        "stalled_end": scientific(found.stalled[-1]),
    }
    return (
        lesson.paragraph("descent.text"),
        Formula(FORMULAS["descent"]),
        ask(lesson, "descent"),
        lesson.picture(
            "descent.path",
            lesson.panel("descent.path", plot_descent, found.f, paths, size=(4.8, 4.4)),
            lesson.panel("descent.distances", plot_distances, distances, size=(4.8, 4.4)),
        ),
        Table(
            ["η", *lesson.words("descent", "factor", "end", "verdict")],
            [
                (
                    f"{rate:g}",
                    decimals(1 - 2 * rate, 4),
                    scientific(distances[rate][-1]),
                    lesson.text(f"descent.{_verdict(path)}"),
                )
                for rate, path in paths.items()
            ],
        ),
        write_descent_lab(lesson),
        lesson.picture(
            "descent.runaway",
            lesson.panel(
                "descent.runaway",
                plot_runaway,
                {name: norms(run.path) for name, run in found.runaways.items()},
                found.growth,
                found.stalled,
                values=ends,
            ),
            values=ends,
        ),
        Table(
            lesson.words("descent", "run", "in_place", "own"),
            [
                (f"η = {scientific(rate)}", _point(shared), _point(own))
                for rate, shared, own in zip(found.rates, found.shared, found.own, strict=True)
            ],
            lesson.text("descent.shared"),
        ),
    )


def _verdict(path: Floats) -> str:
    """Say "good" where a hundredth of the distance is left, else which way the rate is off."""
    start, first, *_, end = path
    if np.linalg.norm(end) < np.linalg.norm(start) / 100:
        return "good"
    overshot = start @ first < 0
    return "large" if overshot else "small"


def _point(point: Floats, digits: int = 9) -> str:
    return "({}, {})".format(
        *(scientific(entry, 3) if abs(entry) > 1000 else decimals(entry, digits) for entry in point)
    )
