"""A finished figure: drawn without a display, shown on a page, saved as PNG and SVG."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text as MatplotlibText

from .house_style import CJK_FONTS, PALETTE, RC_PARAMS, can_be_drawn, cjk_fonts_here, house_style
from .languages import Text, Words, spoken

PNG_DOTS_PER_INCH = 220  # a figure of 4.8 inches fills half of a 1920-pixel slide
# The reader's own font, which the page is set in too; no figure needs a font file.
FONTS = ", ".join(
    ["system-ui", "'Segoe UI'", "Roboto", "'Liberation Sans'"]
    + [f"'{name}'" for name in CJK_FONTS]
    + ["sans-serif"]
)


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with its name, which is its file's, and the words that stand in for it.

    labels: what is drawn in English in all languages, of which a file has the first
    """

    name: str
    alt: Text
    figure: Figure
    labels: Sequence[Words] = ()

    def to_svg(self) -> str:
        """Return the figure as an `<svg>` element for a page.

        Colours are CSS variables, and names are unique as long as those of drawings are.
        """
        colours = {shade.light: name for name, shade in PALETTE.items()}
        svg = re.sub(
            "|".join(colours),
            lambda match: f"var(--{colours[match[0]]}, {match[0]})",
            self._svg,
        )
        svg = _in_all_languages(svg, self.labels)
        svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        _, _, drawn = svg.partition("<svg ")
        old, _, rest = drawn.partition(">")
        view = re.findall(r'viewBox="[^"]*"', old)[0]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            f' {view} role="img" {spoken(self.alt)}>{rest}'
        )

    def save(self, directory: Path, *, draft: bool = False) -> tuple[Path, ...]:
        """Write NAME.svg, which turns dark where its reader is, and NAME.png, on light paper.

        No PNG is written of a draft, nor where this machine has no font for the first language: the
        letters of an SVG are its reader's.
        """
        svg, png = directory / f"{self.name}.svg", directory / f"{self.name}.png"
        svg.write_text(self._repr_svg_(), "utf-8")
        if draft or not self._can_be_drawn():
            return (svg,)
        with house_style(), _relabelled(self.figure, self.labels):
            self.figure.savefig(png, dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
        return svg, png

    def _can_be_drawn(self) -> bool:
        translate = _to_first(self.labels)
        texts = self.figure.findobj(MatplotlibText)
        return all(can_be_drawn(translate(text.get_text())) for text in texts)

    def _repr_svg_(self) -> str:
        """Return the figure as it is in a file, and as a notebook shows it."""
        translate = _to_first(self.labels)
        text = TEXT_ELEMENT.sub(lambda found: found[1] + translate(found[2]), self._svg)
        # Programs that do not know the rule, as those for slides, show the light colours.
        dark = "".join(
            f'[style*="{key}: {shade.light}"]{{{key}:{shade.dark}!important}}'
            for shade in PALETTE.values()
            for key in ("fill", "stroke")
        )
        style = f"<style>@media (prefers-color-scheme:dark){{{dark}}}</style>"
        start = text.index(">", text.index("<svg ")) + 1
        alt = next(iter(self.alt.by_language.values())) if isinstance(self.alt, Words) else self.alt
        return f"{text[:start]}<title>{_escape(alt)}</title>{style}{text[start:]}"

    @cached_property
    def _svg(self) -> str:
        file, dots_per_inch = io.StringIO(), self.figure.dpi
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        # `savefig` would draw it twice, the first time for nobody.
        with house_style():
            canvas: Any = FigureCanvasSVG(self.figure)
            canvas.print_svg(file, metadata=metadata)
        self.figure.dpi = dots_per_inch
        # Comments repeat each text, and nobody reads the line breaks within a path.
        svg = re.sub(r"<!--.*?-->", "", file.getvalue(), flags=re.DOTALL)
        svg = re.sub(r"\s*\n\s*", " ", svg)
        return svg.replace("'DejaVu Sans'", FONTS)


def draw(
    name: str,
    alt: Text,
    plot: Callable[..., Axes],
    *args: Any,
    size: tuple[float, float] = (4.8, 3.4),
    projection: str | None = None,
    words: Sequence[Words] = (),
    **settings: Any,
) -> Drawing:
    """Return what `plot(ax, *args, **settings)` draws, in English, on axes of the house style.

    size: inches
    words: what the labels of the plot are in all languages
    """
    with house_style():
        figure = Figure(figsize=size, layout="constrained")
        plot(figure.add_subplot(projection=projection), *args, **settings)
        # The layout is settled once: rendering it again for each file would take most of the time.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return Drawing(name, alt, figure, words)


def mark_alternative(number: int, artist: Artist) -> None:
    """Have a page show the artist only while this alternative is chosen; a file shows all."""
    artist.set_gid(f"alternative-{number}")


# The start of a text in an SVG of matplotlib, and what it says.
TEXT_ELEMENT = re.compile(r"(<text [^>]*>)([^<]+)")


def _in_all_languages(svg: str, labels: Sequence[Words]) -> str:
    """Have each text say what it says in every language, for the page to show one."""
    if not labels:
        return svg
    translators = {language: translator(labels, language) for language in labels[0].by_language}

    def translated(found: re.Match[str]) -> str:
        start, text = found.groups()
        said = {language: translate(text) for language, translate in translators.items()}
        if len(set(said.values())) == 1:
            return found[0]
        spans = (f'<tspan lang="{language}">{words}</tspan>' for language, words in said.items())
        return start + "".join(spans)

    return TEXT_ELEMENT.sub(translated, svg)


def translator(labels: Sequence[Words], language: str) -> Callable[[str], str]:
    """Return what puts the words of a language for all English labels in a text."""
    words = {label.by_language["en"]: label.by_language[language] for label in labels}
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(label)}(?!\w)" for label in longest_first))
    return lambda text: pattern.sub(lambda found: words[found[0]], text) if words else text


def _to_first(labels: Sequence[Words]) -> Callable[[str], str]:
    """Return what puts the words of the first language for all English labels in a text."""
    return translator(labels, next(iter(labels[0].by_language))) if labels else lambda text: text


@contextmanager
def _relabelled(figure: Figure, labels: Sequence[Words]) -> Iterator[None]:
    """Have the figure speak the first language for a while."""
    before, translate = {}, _to_first(labels)
    for text in figure.findobj(MatplotlibText):
        said = translate(text.get_text())
        if said != text.get_text():
            before[text] = (text.get_text(), text.get_fontfamily())
            text.set_text(said)
            text.set_fontfamily([*RC_PARAMS["font.sans-serif"], *cjk_fonts_here()])
    try:
        yield
    finally:
        for text, (said, family) in before.items():
            text.set_text(said)
            text.set_fontfamily(family)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
