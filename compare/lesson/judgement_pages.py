"""Sections 8 to 10 as they stand on the page: the price, the checks, the kinks."""

from collections.abc import Sequence

from ..drawing.page import Block, Formula, Listing, Table
from ..drawing.plots import fit_growth, plot_growth, plot_seconds, seconds
from .findings import Checks, Kink, Prices
from .formulas import FORMULAS
from .function_plots import plot_kink
from .net_plots import plot_remainders
from .questions import ask
from .run import BOOK_NET, Lesson, count_parameters, decimals


def show_price(lesson: Lesson, found: Prices) -> Sequence[Block]:
    names = list(dict.fromkeys(cost.backend for cost in found.costs))
    fits = {
        name: fit_growth([row for row in found.passes if row.backend == name], "ratio")
        for name in names
    }
    slopes = [f"{name} {decimals(round(fit[0], 2))}" for name, fit in fits.items() if fit]
    steps, parameters = f"{found.steps:,}", count_parameters(BOOK_NET)
    how = "measured" if found.measured_steps >= found.steps else "scaled"
    measured = lesson.text(f"price.{how}", measured_steps=f"{found.measured_steps:,}")
    bills = [f"{name} {seconds(total)}" for name, total in found.bills.items()]
    growth = {"slopes": lesson.enumerate(slopes), "names": lesson.enumerate(names)}
    bill = {"steps": steps, "bill": lesson.enumerate(bills)}
    return (
        lesson.paragraph("price.text"),
        lesson.picture(
            "price.growth",
            lesson.panel("price.passes", plot_growth, found.passes, "ratio", values=growth),
            lesson.panel("price.seconds", plot_growth, found.costs, values=growth),
            values=growth,
        ),
        lesson.picture(
            "price.bill",
            lesson.panel(
                "price.bill",
                plot_seconds,
                found.bills,
                found.predicted,
                size=(4.8, 2.4),
                values=bill,
            ),
            values={
                "steps": steps,
                "parameters": f"{parameters:,}",
                "evaluations": f"{2 * parameters:,}",
                "measured": measured if found.measured_steps else "",
            },
        ),
    )


def show_checking(lesson: Lesson, found: Checks) -> Sequence[Block]:
    slopes = {
        "right": f"{found.right_taylor.slope:.2f}",
        "wrong": f"{found.wrong_taylor.slope:.2f}",
    }
    return (
        lesson.paragraph("checking.text"),
        lesson.paragraph("checking.right"),
        Listing(str(found.right)),
        lesson.paragraph("checking.wrong"),
        Listing(str(found.wrong)),
        lesson.paragraph("checking.taylor"),
        Formula(FORMULAS["taylor_zero"]),
        Formula(FORMULAS["taylor_one"]),
        lesson.picture(
            "checking.remainders",
            lesson.panel("checking.remainders", plot_remainders, found, values=slopes),
            values=slopes,
        ),
    )


def show_kinks(lesson: Lesson, found: Sequence[Kink]) -> Sequence[Block]:
    absolute = found[0]
    slopes = [f"{name} {decimals(slope, 3)}" for name, slope in absolute.answers.items()]
    # Who has not both engines cannot look.
    asked = {"jax", "torch"} <= set(absolute.answers)
    question = [ask(lesson, "kinks", answers=lesson.enumerate(slopes))] if asked else []
    return (
        lesson.paragraph("kinks.text"),
        *question,
        lesson.picture(
            "kinks.absolute",
            lesson.panel(
                "kinks.absolute",
                plot_kink,
                absolute,
                values={"slopes": lesson.enumerate(slopes)},
            ),
        ),
        Table(
            [*lesson.words("kinks", "function", "left", "right"), *absolute.answers],
            [
                (
                    lesson.text(f"kinks.{kink.name}"),
                    *(decimals(slope, 3) for slope in (*kink.one_sided, *kink.answers.values())),
                )
                for kink in found
            ],
            lesson.text("kinks.table"),
        ),
    )
