"""The main job's report: three tables for the terminal, a page with plots, and JSON."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gradparity.models.atomic_file import write_atomically

from .agreement.comparison import Comparison
from .drawing.drawing import Drawing, draw
from .drawing.languages import to_markup
from .drawing.page import Page, Paragraph, Picture, Section, Table
from .drawing.plots import plot_accuracy, plot_agreement, plot_cost, plot_loss_curves, seconds
from .main_job import MainJob
from .strict_json import strict

Rows = list[tuple[str, ...]]

AGREEMENT_HEADER = ("model", "leaf", "backends", "entries", "largest", "relative", "at", "verdict")
EXACTNESS_HEADER = (
    "model", "backend", "entries", "largest error, proved", "of the leaf's largest", "leaf",
    "by rounding alone",
)  # fmt: skip
COST_HEADER = (
    "backend", "first call", "one gradient", "forward pass", "gradient/forward", "evaluations",
)  # fmt: skip
TRAINING_HEADER = (
    "network", "backend", "steps", "per step", "last loss", "training digits", "test digits",
)  # fmt: skip


def agreement_rows(job: MainJob) -> Rows:
    """Return each pair of backends on each leaf: by how much they differ, and where."""
    return [
        (
            name,
            row.leaf or "x",
            f"{row.first} – {row.second}",
            f"{row.entries:,}",
            f"{row.largest:.1e}",
            f"{row.relative:.1e}",
            str(list(row.index)),
            _row_verdict(comparison, row.first, row.second, row.beyond_round_off),
        )
        for name, comparison in job.agreement.items()
        for row in comparison.differences
    ]


def _row_verdict(comparison: Comparison, first: str, second: str, beyond: bool) -> str:
    blamed = [name for name in (first, second) if name in comparison.blamed]
    if blamed:
        return f"{' and '.join(blamed)} wrong"
    return "differ" if beyond and comparison.verdict == "differ" else "agree"


def agreement_lines(job: MainJob) -> Iterator[str]:
    """Yield the arbiter's word on each model."""
    for name, comparison in job.agreement.items():
        line = (
            f"{name}: {comparison.reason}; all {comparison.parameters:,} parameters checked "
            f"against the arbiter's error bars in {comparison.evaluations} evaluations, "
            f"resolution {comparison.resolution:.0e}"
        )
        yield f"{line}; blamed: {', '.join(comparison.blamed)}" if comparison.blamed else line
        if comparison.verdict != "agree":
            yield from str(comparison).splitlines()


def exactness_rows(job: MainJob) -> Rows:
    """Return how far off each backend's gradient is at most, by enclosures of all entries."""
    rows: Rows = []
    for name, proofs in job.exactness.items():
        for backend, proof in proofs.items():
            entries = f"{sum(math.prod(leaf.shape) for leaf in proof.leaves):,}"
            worst = proof.worst
            if worst is None:
                rows.append((name, backend, entries, "not proved", "", "", proof.reason))
                continue
            alone = {"proved right": "yes", "proved wrong": "no"}.get(proof.verdict, "not proved")
            rows.append(
                (
                    name,
                    backend,
                    entries,
                    f"{worst.error:.1e}",
                    f"{worst.relative_error:.1e}",
                    worst.leaf or "x",
                    alone,
                )
            )
    return rows


def cost_rows(job: MainJob) -> Rows:
    return [
        (
            row.backend,
            seconds(row.first_call),
            seconds(row.gradient) + " (predicted)" * row.predicted,
            seconds(row.forward),
            f"{row.ratio:,.1f}",
            f"{row.evaluations:,}",
        )
        for row in job.cost.rows
    ]


def training_rows(job: MainJob) -> Rows:
    return [
        (
            training.network,
            training.backend,
            f"{len(training.run.losses):,}",
            seconds(training.seconds_per_step),
            f"{training.run.losses[-1]:.4f}",
            _last(training.run.train_accuracy),
            _last(training.run.test_accuracy),
        )
        for training in job.training
    ]


def _last(shares: Any) -> str:
    return f"{shares[-1]:.1%}" if len(shares) else ""


def drawings(job: MainJob) -> dict[str, tuple[Drawing, ...]]:
    """Return the plots by the part of the job they belong to."""
    model, comparison = list(job.agreement.items())[-1]
    differences: dict[str, dict[str, float]] = {}
    for row in comparison.differences:
        differences.setdefault(f"{row.first} – {row.second}", {})[row.leaf] = row.relative
    agreement = draw(
        "agreement",
        f"Relative difference of each pair of backends in each leaf of {model}.",
        plot_agreement,
        differences,
        size=(4.8, 4.2),
    )
    cost = draw(
        "cost",
        "Seconds that one gradient takes with each backend, on a logarithmic axis.",
        plot_cost,
        job.cost.rows,
        size=(4.8, 3.2),
    )
    trained = []
    for network in dict.fromkeys(training.network for training in job.training):
        runs = {t.backend: t.run for t in job.training if t.network == network}
        trained.append(
            draw(
                f"loss-{network}",
                f"Loss of each step of the network {network}, one curve for each backend.",
                plot_loss_curves,
                {name: run.losses for name, run in runs.items()},
            )
        )
        accuracies = {
            name: (run.train_accuracy, run.test_accuracy)
            for name, run in runs.items()
            if len(run.test_accuracy)
        }
        if accuracies:
            trained.append(
                draw(
                    f"accuracy-{network}",
                    f"Accuracy of the network {network} after each epoch, for each backend.",
                    plot_accuracy,
                    accuracies,
                )
            )
    return {"agreement": (agreement,), "cost": (cost,), "training": tuple(trained)}


def to_page(job: MainJob, plots: Mapping[str, tuple[Drawing, ...]]) -> Page:
    """Return the report as a page of the same frame as the lesson's."""
    return Page(
        title=f"gradparity: {job.verdict}",
        lead=[Paragraph(to_markup(f"Data: {job.environment['data']}."))]
        + [Paragraph(to_markup(f"Left out: {reason}")) for reason in job.left_out.values()],
        sections=[
            Section(
                "agreement",
                "Agreement",
                [
                    *(Paragraph(to_markup(line)) for line in agreement_lines(job)),
                    _picture(
                        plots["agreement"],
                        "Two engines of autodiff differ in the last bits, numerical differences "
                        "by their own round-off.",
                    ),
                    Table(AGREEMENT_HEADER, agreement_rows(job), pinned=True),
                ],
            ),
            *_exactness(job),
            Section(
                "cost",
                "Cost",
                [
                    _picture(plots["cost"], "One gradient of the network 784-50-10, batch 100."),
                    Table(COST_HEADER, cost_rows(job)),
                ],
            ),
            Section(
                "training",
                "Training",
                [
                    _picture(
                        plots["training"],
                        "Every engine starts from the same weights and "
                        "sees the same batches: the curves lie on each other.",
                    ),
                    Table(TRAINING_HEADER, training_rows(job)),
                ],
            ),
        ],
        foot=[(name, str(value)) for name, value in job.environment.items()],
    )


def _exactness(job: MainJob) -> list[Section]:
    if not job.exactness:
        return []
    said = (
        "How far each engine's gradient is from the exact derivatives, which ball arithmetic "
        "encloses in intervals that hold them by construction."
    )
    table = Table(EXACTNESS_HEADER, exactness_rows(job))
    return [Section("exactness", "Exactness", [Paragraph(to_markup(said)), table])]


def _picture(plots: tuple[Drawing, ...], caption: str) -> Picture:
    return Picture(plots, to_markup(caption))


def write_report(job: MainJob, folder: Path) -> Path:
    """Write index.html, compare.json and the plots as PNG and SVG; return the page's path."""
    plots = drawings(job)
    for part in plots.values():
        for drawing in part:
            drawing.save(folder)
    write_atomically(folder / "index.html", to_page(job, plots).to_html().encode())
    content = json.dumps(strict(job.to_dict()), indent=2, allow_nan=False) + "\n"
    write_atomically(folder / "compare.json", content.encode())
    return folder / "index.html"
