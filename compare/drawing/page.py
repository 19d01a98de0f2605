"""The frame of an HTML page: one file that needs no network, for phones and projectors.

What is written on the page is `Markup`, which is taken as it is, or plain text, which is escaped.
"""

import html
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..lesson.texts import LABELS
from .drawing import Drawing
from .house_style import PALETTE


class Markup(str):
    """HTML that is written here, not by a user, and so needs no escaping."""


def to_markup(text: str) -> Markup:
    """Return plain text escaped, and markup as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(text))


class Block(Protocol):
    """One thing on the page, from top to bottom."""

    def to_html(self) -> str: ...


@dataclass(frozen=True)
class Paragraph:
    text: str

    def to_html(self) -> str:
        return f"<p>{to_markup(self.text)}</p>"


@dataclass(frozen=True)
class Notice:
    """What the reader has to know before the rest, such as a backend that is missing."""

    text: str

    def to_html(self) -> str:
        return f'<p class="notice" role="note">{to_markup(self.text)}</p>'


@dataclass(frozen=True)
class Formula:
    """A formula on a line of its own, a MathML element."""

    mathml: Markup

    def to_html(self) -> str:
        return f'<div class="formula scrolls" tabindex="0">{self.mathml}</div>'


@dataclass(frozen=True)
class Listing:
    """Text in its own line breaks: a report, or code; folded away under a summary, if any."""

    text: str
    summary: str = ""

    def to_html(self) -> str:
        listing = f'<pre class="scrolls" tabindex="0">{to_markup(self.text)}</pre>'
        if not self.summary:
            return listing
        return f"<details><summary>{to_markup(self.summary)}</summary>{listing}</details>"


@dataclass(frozen=True)
class Table:
    """Rows under a header; the first column names the row. The caption says what to see."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def to_html(self) -> str:
        head = "".join(f'<th scope="col">{to_markup(cell)}</th>' for cell in self.header)
        body = "".join(
            f'<tr><th scope="row">{to_markup(first)}</th>'
            + "".join(f"<td>{to_markup(cell)}</td>" for cell in cells)
            + "</tr>"
            for first, *cells in self.rows
        )
        caption = f"<figcaption>{to_markup(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure class="table"><div class="scrolls" tabindex="0"><table><thead><tr>{head}'
            f"</tr></thead><tbody>{body}</tbody></table></div>{caption}</figure>"
        )


@dataclass(frozen=True)
class Slider:
    """Chooses a frame of the drawings above it.

    readouts: what to say at each position, one for each frame; start: the first position
    """

    label: str
    readouts: Sequence[str]
    start: int

    def to_html(self) -> str:
        readout = to_markup(self.readouts[self.start])
        return (
            f'<div class="slider" data-readouts="{html.escape(json.dumps(list(self.readouts)))}">'
            f'<label><span>{to_markup(self.label)}</span><input type="range" min="0" '
            f'max="{len(self.readouts) - 1}" step="1" value="{self.start}" autocomplete="off" '
            f"hidden></label><output>{readout}</output></div>"
        )


@dataclass(frozen=True)
class Picture:
    """Drawings side by side, or one above the other where there is no room, and what to see."""

    drawings: Sequence[Drawing]
    caption: str
    slider: Slider | None = None

    def to_html(self) -> str:
        panels = "".join(
            f'<div class="panel">{drawing.to_svg()}</div>' for drawing in self.drawings
        )
        slider = self.slider.to_html() if self.slider else ""
        single = " single" * (len(self.drawings) == 1 and not self.slider)
        return (
            f'<figure class="picture{single}"><div class="panels">{panels}</div>{slider}'
            f"<figcaption>{to_markup(self.caption)}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """A part of the page that can be linked to by its anchor."""

    anchor: str
    title: str
    blocks: Sequence[Block]

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        pictures = (block for block in self.blocks if isinstance(block, Picture))
        return tuple(drawing for picture in pictures for drawing in picture.drawings)

    def to_html(self) -> str:
        blocks = "\n".join(block.to_html() for block in self.blocks)
        heading = f'<h2><a href="#{self.anchor}">{to_markup(self.title)}</a></h2>'
        return f'<section id="{self.anchor}">{heading}\n{blocks}\n</section>'


@dataclass(frozen=True)
class Page:
    """A whole page.

    foot: (name, content) of what the page was made with; language: as in HTML's `lang`
    """

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]
    foot: Sequence[tuple[str, str]]
    language: str = "en"
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)

    def to_html(self) -> str:
        contents = "".join(
            f'<li><a href="#{section.anchor}">{to_markup(section.title)}</a></li>'
            for section in self.sections
        )
        foot = "".join(
            f"<dt>{to_markup(name)}</dt><dd>{to_markup(content)}</dd>"
            for name, content in self.foot
        )
        return TEMPLATE.format(
            language=html.escape(self.language),
            policy="; ".join(CONTENT_POLICY),
            title=to_markup(self.title),
            style=_palette_css() + _resource("page.css"),
            script=_resource("page.js"),
            skip=to_markup(self.labels["skip"]),
            theme=to_markup(self.labels["theme"]),
            contents_title=to_markup(self.labels["contents"]),
            contents=contents,
            lead="\n".join(block.to_html() for block in self.lead),
            sections="\n".join(section.to_html() for section in self.sections),
            foot=foot,
        )


# The browser itself makes sure that the page asks no network for anything.
CONTENT_POLICY = (
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    "script-src 'unsafe-inline'",
    "img-src data:",
)

TEMPLATE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#text">{skip}</a>
<header><h1>{title}</h1><button id="theme" type="button" hidden>{theme}</button></header>
<nav aria-label="{contents_title}"><ol>{contents}</ol></nav>
<main id="text">
{lead}
{sections}
</main>
<footer><dl>{foot}</dl></footer>
<script>{script}</script>
</body>
</html>
"""


def _palette_css() -> str:
    light = "".join(f"--{name}:{shade.light};" for name, shade in PALETTE.items())
    dark = "".join(f"--{name}:{shade.dark};" for name, shade in PALETTE.items())
    return (
        f":root{{{light}color-scheme:light}}\n"
        f":root[data-theme=dark]{{{dark}color-scheme:dark}}\n"
        "@media (prefers-color-scheme:dark){"
        f":root:not([data-theme=light]){{{dark}color-scheme:dark}}}}\n"
    )


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")
