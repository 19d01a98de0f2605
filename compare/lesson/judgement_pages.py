"""Sections 8 to 10 as they stand on the page: the price, the checks, the kinks."""

import math
from collections.abc import Mapping, Sequence

from ..drawing.languages import Text
from ..drawing.page import Block, Formula, Listing, Paragraph, Picture, Table
from ..drawing.plots import plot_growth, plot_seconds, seconds
from .findings import Checks, Kink
from .formulas import FORMULAS
from .function_plots import plot_kink
from .net_plots import plot_remainders
from .pricing import Cost, Prices, is_level, is_linear, slope_of
from .questions import ask
from .run import BOOK_NET, Lesson, count_parameters, decimals


def show_price(lesson: Lesson, found: Prices) -> Sequence[Block]:
    names = list(dict.fromkeys(cost.backend for cost in found.costs))
    by_name = {name: [cost for cost in found.costs if cost.backend == name] for name in names}
    slopes = {name: slope_of(costs) for name, costs in by_name.items()}
    said = [
        f"{name} {decimals(round(slope, 2) + 0.0, 3)}"
        for name, slope in slopes.items()
        if slope is not None
    ]
    growth = {"slopes": lesson.enumerate(said), "names": lesson.enumerate(names)}
    blocks: list[Block] = [
        lesson.paragraph("price.text"),
        lesson.picture(
            "price.growth",
            lesson.panel(
                "price.passes",
                plot_growth,
                found.costs,
                "ratio",
                fit_predicted=True,
                values=growth,
            ),
            lesson.panel(
                "price.seconds", plot_growth, found.costs, fit_predicted=True, values=growth
            ),
            values=growth,
        ),
        *(Paragraph(sentence) for sentence in _growth(lesson, by_name)),
        *(lesson.notice(key, **values) for key, values in _doubts(lesson, found)),
    ]
    if found.bills:
        blocks.append(_bill(lesson, found))
    return blocks


def _growth(lesson: Lesson, by_name: Mapping[str, Sequence[Cost]]) -> list[Text]:
    """Return the sentences about growth that the measurements bear out."""
    sentences = []
    for name, costs in by_name.items():
        if name == "numerical":
            key = "price.linear" if is_linear(costs) else "price.not_linear"
        else:
            key = "price.level" if is_level(costs) else "price.not_level"
        ratios = [cost.ratio for cost in costs]
        sentences.append(
            lesson.text(key, name=name, low=f"{min(ratios):,.2g}", high=f"{max(ratios):,.2g}")
        )
    sentences.append(lesson.text("price.one_thread"))
    if any(cost.predicted for costs in by_name.values() for cost in costs):
        sentences.append(lesson.text("price.open_marks"))
    return sentences


def _doubts(lesson: Lesson, found: Prices) -> list[tuple[str, dict[str, Text]]]:
    """Return what is to be said of measurements that cannot be relied on."""
    doubts = []
    for key, costs in (("price.disturbed", found.disturbed), ("price.left_out", found.left_out)):
        if costs:
            named = [f"{cost.backend} ({cost.parameters:,})" for cost in costs]
            doubts.append((key, {"names": lesson.enumerate(named)}))
    return doubts


def _bill(lesson: Lesson, found: Prices) -> Picture:
    steps, parameters = f"{found.steps:,}", count_parameters(BOOK_NET)
    bills = [f"{name} {seconds(total)}" for name, total in found.bills.items()]
    drawing = lesson.panel(
        "price.bill",
        plot_seconds,
        found.bills,
        found.predicted,
        size=(4.8, 2.8),
        values={"steps": steps, "bill": lesson.enumerate(bills)},
    )
    return lesson.picture(
        "price.bill",
        drawing,
        values={
            "steps": steps,
            "parameters": f"{parameters:,}",
            "evaluations": f"{2 * parameters:,}",
        },
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
    # Who has not both engines cannot look, and the answer is that they differ.
    asked = {absolute.answers.get(name) for name in ("jax", "torch")} == {0.0, 1.0}
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
        lesson.paragraph("kinks.apart" if choose_apart(found) else "kinks.alike"),
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
        *([lesson.paragraph("kinks.nan")] if answer_nan(found) else []),
    )


def choose_apart(found: Sequence[Kink]) -> bool:
    """Tell whether two engines answer differently at a kink."""
    return any(
        len({round(answer, 6) for answer in kink.answers.values() if not math.isnan(answer)}) > 1
        for kink in found
    )


def answer_nan(found: Sequence[Kink]) -> bool:
    return any(math.isnan(answer) for kink in found for answer in kink.answers.values())
