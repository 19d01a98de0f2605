"""Figures that the page itself computes, while its reader moves their controls.

Without a script they are not there, since the pictures beside them show the same for the book's
numbers. What a script says comes from the lesson's texts, in all languages.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..drawing.languages import Text, Words, spoken, to_markup
from .run import Lesson


class Control(Protocol):
    def to_html(self) -> str: ...


@dataclass(frozen=True)
class Choice:
    """One of several values, by the words for them."""

    name: str
    label: Text
    options: Mapping[str, Text]

    def to_html(self) -> str:
        options = "".join(
            _option(value, words, first=position == 0)
            for position, (value, words) in enumerate(self.options.items())
        )
        select = f'<select name="{self.name}" autocomplete="off">{options}</select>'
        return f"<label><span>{to_markup(self.label)}</span>{select}</label>"


@dataclass(frozen=True)
class Range:
    """A number from low to high."""

    name: str
    label: Text
    low: float
    high: float
    pitch: float
    start: float

    def to_html(self) -> str:
        return (
            f"<label><span>{to_markup(self.label)}</span>"
            f'<input type="range" name="{self.name}" min="{self.low:g}" max="{self.high:g}" '
            f'step="{self.pitch:g}" value="{self.start:g}" autocomplete="off">'
            '<span class="shown"></span></label>'
        )


@dataclass(frozen=True)
class Line:
    """A line of text that its reader writes."""

    name: str
    label: Text
    start: str

    def to_html(self) -> str:
        return (
            f"<label><span>{to_markup(self.label)}</span>"
            f'<input type="text" name="{self.name}" value="{html.escape(self.start)}" '
            'spellcheck="false" autocapitalize="off" autocomplete="off"></label>'
        )


@dataclass(frozen=True)
class Lab:
    """Controls, figures, and words that a script of the same name puts to use.

    figures: what each shows, for those who cannot see it; aimed: the first one takes clicks
    words: what the script says, by key
    """

    name: str
    title: Text
    controls: Sequence[Control]
    reset: Text
    figures: Sequence[Text]
    words: Mapping[str, Text]
    caption: Text
    aimed: bool = False

    def to_html(self) -> str:
        words = {
            key: dict(text.by_language) if isinstance(text, Words) else text
            for key, text in self.words.items()
        }
        controls = "".join(control.to_html() for control in self.controls)
        svgs = "".join(
            f'<div class="panel"><svg id="{self.name}-{number}" {spoken(figure)} '
            + ('role="application" tabindex="0" class="aim"' if aimed else 'role="img"')
            + "></svg></div>"
            for number, figure in enumerate(self.figures)
            for aimed in [self.aimed and number == 0]
        )
        data = html.escape(json.dumps(words, ensure_ascii=False))
        return (
            f'<figure class="lab" id="{self.name}" data-words="{data}" hidden>'
            f'<p class="title">{to_markup(self.title)}</p><div class="controls">{controls}<div>'
            f'<button type="button" data-do="reset">{to_markup(self.reset)}</button></div></div>'
            f'<div class="panels">{svgs}</div><output aria-live="polite"></output>'
            f"<figcaption>{to_markup(self.caption)}</figcaption></figure>"
        )


FUNCTIONS = (
    "exp(x) * sin(x)",
    "0.01 * x**2 + 0.1 * x",
    "tanh(x)",
    "log(x)",
    "sqrt(x)",
)
"""The first is the one of the section's picture."""


def write_step_lab(lesson: Lesson) -> Lab:
    """Show the error of differences against the step, for any function, point, step and dtype."""
    own = lesson.plain("step_lab.own")
    return Lab(
        name="step-lab",
        title=lesson.text("step_lab.title"),
        controls=(
            Choice(
                "function",
                lesson.text("step_lab.function"),
                {**{formula: formula for formula in FUNCTIONS}, "own": own},
            ),
            Line("own", "f(x) =", "x**3"),
            Range("point", lesson.text("step_lab.point"), -10, 10, 0.1, 1),
            Range("step", lesson.text("step_lab.size"), -16, 0, 0.1, -4),
            Choice("dtype", "dtype", {"float64": "float64", "float32": "float32"}),
        ),
        reset=lesson.text("lab.reset"),
        figures=(lesson.plain("step_lab.errors.alt"), lesson.plain("step_lab.microscope.alt")),
        words=lesson.unfilled(
            "step_lab",
            *("step", "relative", "error", "forward", "central", "shares", "rise"),
            *("found", "noslope", "unknown", "unexpected", "unfinished", "missing"),
        ),
        caption=lesson.text("step_lab.caption"),
    )


def write_descent_lab(lesson: Lesson) -> Lab:
    """Descend from a point that is clicked, on one of four landscapes."""
    return Lab(
        name="descent-lab",
        title=lesson.text("descent_lab.title"),
        controls=(
            Choice(
                "landscape",
                lesson.text("descent_lab.landscape"),
                {
                    name: lesson.plain(f"descent_lab.{name}")
                    for name in ("bowl", "valley", "saddle", "minima")
                },
            ),
            Range("rate", lesson.text("descent_lab.rate"), -3, 0.2, 0.02, -1),
        ),
        reset=lesson.text("lab.reset"),
        figures=(lesson.plain("descent_lab.map.alt"), lesson.plain("descent_lab.lengths.alt")),
        words=lesson.unfilled("descent_lab", "step", "length", "found", "there", "slow", "away"),
        caption=lesson.text("descent_lab.caption"),
        aimed=True,
    )


def _option(value: str, words: Text, *, first: bool) -> str:
    """Write an option, whose words the page's script changes: there is no markup in one."""
    selected = " selected" if first else ""
    start = f'<option value="{html.escape(value)}"{selected}'
    if not isinstance(words, Words):
        return f"{start}>{html.escape(words)}</option>"
    every = html.escape(json.dumps(dict(words.by_language), ensure_ascii=False))
    return f'{start} data-said="{every}">{next(iter(words.by_language.values()))}</option>'
