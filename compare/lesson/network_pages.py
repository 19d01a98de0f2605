"""Sections 5 to 7 as they stand on the page: losses, six weights, real digits."""

import math
from collections.abc import Sequence

import numpy as np

from ..drawing.page import Block, Formula, Picture, Table
from ..drawing.plots import plot_accuracy, plot_loss_curves, seconds
from .findings import Losses, SixWeights, Trainings
from .formulas import FORMULAS
from .net_plots import (
    plot_digits,
    plot_hidden_units,
    plot_logarithm,
    plot_matrix,
    plot_moved_weight,
    plot_pulls,
)
from .questions import ask
from .run import (
    BOOK_NET,
    POCKET_NET,
    Lesson,
    count_parameters,
    decimals,
    scientific,
    spread,
)

# Of the height of a figure: curves that are closer lie on top of each other.
INVISIBLE = 1e-3


def show_losses(lesson: Lesson, found: Losses) -> Sequence[Block]:
    at_gap_20 = int(np.searchsorted(found.gaps, 20))
    pull = scientific(found.exact["offset loss"][at_gap_20])
    likely, unlikely = found.answer[2], found.answer[1]
    entropies = {"likely": found.entropies[2], "unlikely": found.entropies[1]}
    return (
        lesson.paragraph("losses.text"),
        Formula(FORMULAS["squares"]),
        Formula(FORMULAS["entropy"]),
        Table(
            lesson.words("losses", "label", "squares", "entropy"),
            [
                (str(label), decimals(found.squares[label]), decimals(found.entropies[label], 7))
                for label in found.squares
            ],
            lesson.text("losses.table"),
        ),
        lesson.paragraph("losses.offset"),
        Formula(FORMULAS["stable"]),
        ask(lesson, "losses", pull=pull),
        lesson.picture(
            "losses.curves",
            lesson.panel(
                "losses.logarithm",
                plot_logarithm,
                (likely, unlikely),
                values={name: f"{loss:.3f}" for name, loss in entropies.items()},
            ),
            lesson.panel("losses.pull", plot_pulls, found),
            values={"pull": pull},
        ),
    )


def show_simple_net(lesson: Lesson, found: SixWeights) -> Sequence[Block]:
    gradient = next(iter(found.gradients.values()))
    slope = float(gradient[found.entry])
    moved = {
        "slope": decimals(slope, 4),
        "before": decimals(found.loss, 4),
        "promised": decimals(found.loss + found.by * slope, 4),
        "after": decimals(found.loss_after, 4),
        "by": decimals(found.by),
    }
    return (
        lesson.paragraph(
            "simple_net.text",
            scores=", ".join(decimals(float(score), 4) for score in found.scores),
            loss=decimals(found.loss, 8),
        ),
        lesson.picture(
            "simple_net.matrices",
            *(
                lesson.panel(
                    f"simple_net.{name}",
                    plot_matrix,
                    matrix,
                    title=title,
                    size=(4.8, 1.9),
                    values={"entries": ", ".join(decimals(entry, 4) for entry in matrix.flat)},
                )
                for name, title, matrix in (
                    ("weights", "W", found.weights),
                    ("gradient", "dW", gradient),
                )
            ),
        ),
        Table(
            [lesson.text("simple_net.entry"), *found.gradients],
            [
                (
                    f"dW[{i}, {j}]",
                    *(decimals(float(by[i, j]), 12) for by in found.gradients.values()),
                )
                for i, j in np.ndindex(gradient.shape)
            ],
            lesson.text(
                "simple_net.table", difference=scientific(spread(list(found.gradients.values())))
            ),
        ),
        Formula(FORMULAS["moved_weight"]),
        lesson.picture(
            "simple_net.moved",
            lesson.panel("simple_net.moved", plot_moved_weight, found, slope, values=moved),
            values=moved,
        ),
    )


def show_two_layer_net(lesson: Lesson, found: Trainings) -> Sequence[Block]:
    blocks: list[Block] = [
        lesson.paragraph("two_layer_net.text"),
        Formula(FORMULAS["two_layers"]),
        lesson.paragraph(
            "two_layer_net.pocket",
            full=f"{count_parameters(BOOK_NET):,}",
            pocket=f"{count_parameters(POCKET_NET):,}",
        ),
        _race(lesson, found),
    ]
    if found.book:
        blocks += _book_training(lesson, found)
    else:
        blocks.append(lesson.notice("two_layer_net.no_autodiff"))
    return (*blocks, _digits(lesson, found))


def _race(lesson: Lesson, found: Trainings) -> Picture:
    losses = {name: run.losses for name, run in found.race.items()}
    times = [f"{name} {seconds(run.seconds)}" for name, run in found.race.items()]
    first = next(iter(losses.values()))
    names = lesson.enumerate(list(losses))
    return lesson.picture(
        f"two_layer_net.{which_race(found)}",
        lesson.panel(
            "two_layer_net.race",
            plot_loss_curves,
            losses,
            values={"first": f"{first[0]:.3g}", "last": f"{first[-1]:.3g}", "names": names},
        ),
        values={
            "count": len(losses),
            "steps": len(first),
            "difference": scientific(spread(list(losses.values()))),
            "times": lesson.enumerate(times),
        },
    )


def which_race(found: Trainings) -> str:
    """Return "race" where all curves are one to the eye, "race_apart" where they are not."""
    losses = [run.losses for run in found.race.values()]
    if len(losses) == 1:
        return "race_alone"
    return "race" if spread(losses) < INVISIBLE * float(np.max(losses)) else "race_apart"


def _book_training(lesson: Lesson, found: Trainings) -> Sequence[Block]:
    accuracies = {name: (run.train_accuracy, run.test_accuracy) for name, run in found.book.items()}
    names = lesson.enumerate(list(found.book))
    finals = [
        lesson.text(
            "two_layer_net.final", name=name, train=f"{train[-1]:.1%}", test=f"{test[-1]:.1%}"
        )
        for name, (train, test) in accuracies.items()
    ]
    picture = lesson.picture(
        "two_layer_net.learning",
        lesson.panel(
            "two_layer_net.losses",
            plot_loss_curves,
            {name: run.losses for name, run in found.book.items()},
            values={"names": names},
        ),
        lesson.panel("two_layer_net.accuracy", plot_accuracy, accuracies, values={"names": names}),
        values={
            "steps": f"{next(iter(found.book.values())).steps:,}",
            "final": lesson.enumerate(finals),
        },
    )
    gap, chance = gap_of(found)
    values = {"gap": f"{abs(gap):.1%}", "chance": f"{chance:.1%}"}
    return picture, lesson.paragraph(f"two_layer_net.{which_gap(gap, chance)}", **values)


def gap_of(found: Trainings) -> tuple[float, float]:
    """Return how much better the training digits are read, and what of it may be chance.

    Both are shares, the means over all backends; chance is two standard deviations of a difference
    of two counts.
    """
    train, test = (
        float(np.mean([getattr(run, accuracy)[-1] for run in found.book.values()]))
        for accuracy in ("train_accuracy", "test_accuracy")
    )
    sizes = found.digits
    variance = train * (1 - train) / sizes[0] + test * (1 - test) / sizes[1]
    return train - test, 2 * math.sqrt(variance)


def which_gap(gap: float, chance: float) -> str:
    if abs(gap) <= chance:
        return "no_gap"
    return "gap" if gap > 0 else "negative_gap"


def _digits(lesson: Lesson, found: Trainings) -> Picture:
    correct = sum(guess == label for guess, label in zip(found.read, found.truth, strict=True))
    return lesson.picture(
        "two_layer_net.digits",
        lesson.panel(
            "two_layer_net.digits",
            plot_digits,
            found.images,
            found.read,
            found.truth,
            size=(4.8, 4.4),
            values={"correct": correct, "count": len(found.read)},
        ),
        lesson.panel(
            "two_layer_net.units",
            plot_hidden_units,
            found.units,
            size=(4.8, 4.4),
            values={"count": len(found.units)},
        ),
    )
