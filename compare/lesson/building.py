"""Build the lesson: the page, and each of its figures as SVG and PNG."""

import importlib.resources
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradparity.backends.errors import InvalidSetting

from ..drawing.languages import Text
from ..drawing.page import Block, Code, Page, Section
from ..drawing.plots import seconds
from ..environment import describe_environment
from . import sections as sections
from .backpropagation import backpropagation, chain_rule
from .backpropagation_pages import show_backpropagation, show_chain_rule
from .breaking import break_it
from .breaking_pages import show_breaking
from .calculus_pages import show_descent, show_difference, show_gradient, show_step_size
from .judgement_pages import show_checking, show_kinks, show_price
from .network_pages import show_losses, show_simple_net, show_two_layer_net
from .pricing import price
from .run import Lesson
from .snippets import SNIPPETS
from .texts import LANGUAGES
from .threads import one_thread

SHOWN_BY: dict[Callable[[Lesson], Any], Callable[[Lesson, Any], Sequence[Block]]] = {
    sections.difference: show_difference,
    sections.step_size: show_step_size,
    sections.gradient: show_gradient,
    sections.descent: show_descent,
    sections.losses: show_losses,
    sections.simple_net: show_simple_net,
    sections.two_layer_net: show_two_layer_net,
    chain_rule: show_chain_rule,
    backpropagation: show_backpropagation,
    price: show_price,
    sections.checking: show_checking,
    break_it: show_breaking,
    sections.kinks: show_kinks,
}
"""The sections, in the order of the page, and who writes them."""

LIVE_FILES = (
    "words.js",
    "expression.js",
    "plot.js",
    "step_lab.js",
    "descent_lab.js",
    "stepper.js",
    "lab.css",
    "question.css",
    "stepper.css",
)
"""What makes the page's live figures go: each script uses those before it."""


def build_page(
    lesson: Lesson,
    numbers: Sequence[int] = (),
    *,
    command: str = "",
    names: Mapping[str, str] = LANGUAGES,
) -> Page:
    """Compute the sections of these numbers, from 1, or all of them, and put them on a page.

    command: how the page was made, to be named at its foot
    names: what the languages call themselves, by their codes
    raises: InvalidSetting for a number that there is no section of
    """
    clock = time.perf_counter()
    made = [write_section(lesson, number) for number in numbers or range(1, len(SHOWN_BY) + 1)]
    return Page(
        title=lesson.text("title"),
        lead=_lead(lesson),
        sections=made,
        foot=_foot(lesson, time.perf_counter() - clock, command),
        languages={language.code: names[language.code] for language in lesson.languages},
        styles=_live_files(".css"),
        scripts=_live_files(".js"),
        labels={name: lesson.label(name) for name in ("contents", "language", "skip", "theme")},
    )


def write_section(lesson: Lesson, number: int) -> Section:
    """Compute one section and write it, its code below it."""
    check_sections([number])
    compute, show = list(SHOWN_BY.items())[number - 1]
    name = compute.__name__
    title = lesson.text("section.title", number=number, title=lesson.text(f"{name}.title"))
    lesson.progress(f"{number}. {lesson.english.texts[f'{name}.title']}")
    with one_thread():
        blocks = show(lesson, compute(lesson))
    code = Code(SNIPPETS[name], *lesson.words("code", "title", "copy", "copied"))
    return Section(name.replace("_", "-"), title, [*blocks, code])


def check_sections(numbers: Sequence[int]) -> None:
    """Raise InvalidSetting for a number that there is no section of."""
    for number in numbers:
        if not 1 <= number <= len(SHOWN_BY):
            raise InvalidSetting(f"got section {number}, expected 1 to {len(SHOWN_BY)}")


def save_page(page: Page, directory: Path, *, draft: bool = False) -> Path:
    """Write index.html, and each drawing as SVG and PNG into `figures`; return the page's path.

    draft: write no PNGs
    """
    figures = directory / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for section in page.sections:
        for drawing in section.drawings:
            drawing.save(figures, draft=draft)
    path = directory / "index.html"
    path.write_text(page.to_html(), "utf-8")
    return path


def _live_files(suffix: str) -> list[str]:
    folder = importlib.resources.files(__package__).joinpath("live")
    return [
        folder.joinpath(name).read_text("utf-8") for name in LIVE_FILES if name.endswith(suffix)
    ]


def _lead(lesson: Lesson) -> list[Block]:
    blocks: list[Block] = [
        lesson.paragraph("lead"),
        lesson.paragraph("lead.computed", backends=lesson.enumerate(list(lesson.backends))),
    ]
    if lesson.quick:
        blocks.append(lesson.notice("quick"))
    for name, reason in lesson.missing.items():
        blocks.append(lesson.notice("missing", name=name, reason=reason))
    return blocks


def _foot(lesson: Lesson, elapsed: float, command: str) -> list[tuple[Text, Text]]:
    machine = describe_environment()
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rows = {
        "foot.machine": lesson.text(
            "cores", **{key: machine[key] for key in ("processor", "cores", "system")}
        ),
        "foot.versions": f"Python {machine['python']}, {versions}",
        "foot.data": lesson.digits.source,
        "foot.made": lesson.text(
            "made", time=machine["time"][:16].replace("T", " ") + " UTC", seconds=seconds(elapsed)
        ),
        "foot.command": command,
    }
    return [(lesson.text(name), content) for name, content in rows.items() if content]
