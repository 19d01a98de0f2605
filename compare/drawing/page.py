"""The frame of an HTML page: one file that needs no network, for phones and projectors.

What is written on the page is `Markup`, which is taken as it is, or plain text, which is escaped.
"""

import html
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .drawing import Drawing
from .highlighting import highlighted
from .house_style import PALETTE
from .languages import LABELS, Markup, Text, in_language, spoken, to_markup


class Block(Protocol):
    """One thing on the page, from top to bottom."""

    def to_html(self) -> str: ...


@dataclass(frozen=True)
class Paragraph:
    text: Text

    def to_html(self) -> str:
        return f"<p>{to_markup(self.text)}</p>"


@dataclass(frozen=True)
class Notice:
    """What the reader has to know before the rest, such as a backend that is missing."""

    text: Text

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

    text: Text
    summary: Text = ""

    def to_html(self) -> str:
        listing = f'<pre class="scrolls" tabindex="0">{to_markup(self.text)}</pre>'
        if not self.summary:
            return listing
        return f"<details><summary>{to_markup(self.summary)}</summary>{listing}</details>"


@dataclass(frozen=True)
class Code:
    """Python code in colours, with a button that copies it, folded away under a summary.

    copy, copied: what the button says before and after
    """

    code: str
    summary: Text
    copy: Text
    copied: Text

    def to_html(self) -> str:
        words = "".join(
            f'<span class="{name}">{to_markup(text)}</span>'
            for name, text in (("before", self.copy), ("after", self.copied))
        )
        button = f'<button type="button" class="copy" aria-live="polite" hidden>{words}</button>'
        code = f'<pre class="scrolls" tabindex="0"><code>{highlighted(self.code)}</code></pre>'
        return (
            f"<details><summary>{to_markup(self.summary)}</summary>"
            f'<div class="code">{button}{code}</div></details>'
        )


@dataclass(frozen=True)
class Table:
    """Rows under a header; the first column names the row. The caption says what to see.

    pinned: keep the last column in view where the table is wider than the screen
    """

    header: Sequence[Text]
    rows: Sequence[Sequence[Text]]
    caption: Text = ""
    pinned: bool = False

    def to_html(self) -> str:
        head = "".join(f'<th scope="col">{to_markup(cell)}</th>' for cell in self.header)
        body = "".join(
            f'<tr><th scope="row">{to_markup(first)}</th>'
            + "".join(f"<td>{to_markup(cell)}</td>" for cell in cells)
            + "</tr>"
            for first, *cells in self.rows
        )
        caption = f"<figcaption>{to_markup(self.caption)}</figcaption>" if self.caption else ""
        style = "table pinned" if self.pinned else "table"
        return (
            f'<figure class="{style}"><div class="scrolls" tabindex="0"><table><thead><tr>{head}'
            f"</tr></thead><tbody>{body}</tbody></table></div>{caption}</figure>"
        )


@dataclass(frozen=True)
class Alternatives:
    """Chooses what is shown in the drawings above it, of what they have as `alternative`.

    name: told apart from others on the page; options: what can be chosen
    readouts: what to say of each; the first one is shown at the start
    """

    name: str
    label: Text
    options: Sequence[Text]
    readouts: Sequence[Text]

    def to_html(self) -> str:
        options = "".join(
            f'<label><input type="radio" name="{self.name}" value="{position}" autocomplete="off"'
            f"{' checked' * (position == 0)}><span>{to_markup(option)}</span></label>"
            for position, option in enumerate(self.options)
        )
        return (
            f'<div class="alternatives" data-readouts="{html.escape(_json(self.readouts))}">'
            f"<fieldset hidden><legend>{to_markup(self.label)}</legend>{options}</fieldset>"
            f'<output aria-live="polite">{to_markup(self.readouts[0])}</output></div>'
        )


@dataclass(frozen=True)
class Picture:
    """Drawings side by side, or one above the other where there is no room, and what to see."""

    drawings: Sequence[Drawing]
    caption: Text
    alternatives: Alternatives | None = None

    def to_html(self) -> str:
        panels = "".join(
            f'<div class="panel">{drawing.to_svg()}</div>' for drawing in self.drawings
        )
        single = " single" * (len(self.drawings) == 1)
        alternatives = self.alternatives.to_html() if self.alternatives else ""
        return (
            f'<figure class="picture{single}"><div class="panels">{panels}</div>{alternatives}'
            f"<figcaption>{to_markup(self.caption)}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """A part of the page that can be linked to by its anchor."""

    anchor: str
    title: Text
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

    foot: (name, content) of what the page was made with
    languages: their own names by their codes as in HTML's `lang`, the one to begin with first
    styles, scripts: of the blocks that are more than text and pictures
    """

    title: Text
    lead: Sequence[Block]
    sections: Sequence[Section]
    foot: Sequence[tuple[Text, Text]]
    languages: Mapping[str, str] = field(default_factory=lambda: {"en": "English"})
    labels: Mapping[str, Text] = field(default_factory=lambda: LABELS)
    styles: Sequence[str] = ()
    scripts: Sequence[str] = ()

    def to_html(self) -> str:
        contents = "".join(
            f'<li><a href="#{section.anchor}">{to_markup(section.title)}</a></li>'
            for section in self.sections
        )
        foot = "".join(
            f"<dt>{to_markup(name)}</dt><dd>{to_markup(content)}</dd>"
            for name, content in self.foot
        )
        language = next(iter(self.languages))
        return TEMPLATE.format(
            language=html.escape(language),
            policy="; ".join(CONTENT_POLICY),
            name=html.escape(in_language(self.title, language)),
            title=to_markup(self.title),
            style="\n".join(
                [
                    _palette_css(),
                    _languages_css(self.languages),
                    _resource("page.css"),
                    *self.styles,
                ]
            ),
            scripts="\n".join(
                f"<script>{script}</script>" for script in (_resource("page.js"), *self.scripts)
            ),
            skip=to_markup(self.labels["skip"]),
            theme=to_markup(self.labels["theme"]),
            chooser=self._language_chooser(),
            contents_title=spoken(self.labels["contents"]),
            contents=contents,
            lead="\n".join(block.to_html() for block in self.lead),
            sections="\n".join(section.to_html() for section in self.sections),
            foot=foot,
        )

    def _language_chooser(self) -> str:
        if len(self.languages) == 1:
            return ""
        options = "".join(
            f'<option value="{code}" lang="{code}">{html.escape(name)}</option>'
            for code, name in self.languages.items()
        )
        spoken_label = spoken(self.labels["language"])
        return f'<select id="language" autocomplete="off" {spoken_label} hidden>{options}</select>'


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
<title>{name}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#text">{skip}</a>
<header><h1>{title}</h1>
<div class="choices">{chooser}<button id="theme" type="button" hidden>{theme}</button></div>
</header>
<nav {contents_title}><ol>{contents}</ol></nav>
<main id="text">
{lead}
{sections}
</main>
<footer><dl>{foot}</dl></footer>
{scripts}
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


def _languages_css(languages: Mapping[str, str]) -> str:
    """Show the words of the page's language alone."""
    return "".join(
        f':root[lang="{language}"] body :is({others}):not(option){{display:none}}\n'
        for language in languages
        for others in [", ".join(f'[lang="{code}"]' for code in languages if code != language)]
        if others
    )


def _json(texts: Sequence[Text]) -> str:
    return json.dumps([to_markup(text) for text in texts], ensure_ascii=False)


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")
