"""The lesson as a notebook: its texts, its code, and figures that are drawn when it is run."""

import functools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from gradparity.backends.errors import BackendUnavailable
from gradparity.models.atomic_file import write_atomically

from ..drawing.languages import Text, in_language, to_markup
from ..drawing.page import (
    Block,
    Code,
    Formula,
    Listing,
    Notice,
    Page,
    Paragraph,
    Picture,
    Section,
    Table,
)
from .questions import Question
from .stepper import Stepper


class Figures:
    """What a cell of the notebook draws: the figures of one section, computed when first asked for.

    quick: cut trainings short, as the command's --quick does; language: of their words
    """

    def __init__(self, *, quick: bool = False, language: str = "en") -> None:
        from .run import Lesson
        from .texts import read_languages

        self.lesson = Lesson.with_what_is_here(quick=quick, languages=read_languages(language))

    @functools.cache  # noqa: B019  it lives as long as its notebook's kernel
    def _pictures(self, section: str) -> list[Picture | Stepper]:
        from .building import SHOWN_BY, write_section

        number = 1 + [compute.__name__ for compute in SHOWN_BY].index(section)
        blocks = write_section(self.lesson, number).blocks
        return [block for block in blocks if isinstance(block, Picture | Stepper)]

    def show(self, section: str, picture: int = 1) -> None:
        """Display the drawings of a picture of a section; pictures count from 1.

        Of a graph to step through it is the one of both finished passes.
        """
        from IPython.display import display

        shown = self._pictures(section.replace("-", "_"))[picture - 1]
        for drawing in shown.drawings if isinstance(shown, Picture) else [shown]:
            display(drawing)


def load_nbformat() -> Any:
    """Return the module nbformat.

    raises: BackendUnavailable where it is missing
    """
    try:
        import nbformat
    except ModuleNotFoundError as error:
        if error.name != "nbformat":
            raise
        raise BackendUnavailable(
            "a notebook needs nbformat: pip install 'gradparity[lesson]'"
        ) from error
    return nbformat


def write_notebook(page: Page, path: Path, *, note: Text = "", quick: bool = False) -> Path:
    """Write the page as a notebook in its first language, and return its path.

    note: what to say of the notebook itself; quick: whether its figures are to be drafts
    raises: BackendUnavailable, OSError
    """
    nbformat = load_nbformat()
    notebook = nbformat.v4.new_notebook(
        cells=list(_cells(page, note, quick, nbformat.v4)),
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # by default a random one, and each writing another file
    nbformat.validate(notebook)
    write_atomically(path, (nbformat.writes(notebook) + "\n").encode())
    return path


def _cells(page: Page, note: Text, quick: bool, v4: Any) -> Iterable[Any]:
    language = next(iter(page.languages))
    lead = [
        to_markdown(block, language) for block in (*page.lead, *([Notice(note)] if note else []))
    ]
    title = to_text(page.title, language)
    yield v4.new_markdown_cell("\n\n".join([f"# {title}", *lead]))
    start = "from gradparity.compare.lesson.notebook import Figures"
    settings = ["quick=True"] * quick + [f'language="{language}"'] * (language != "en")
    yield v4.new_code_cell(f"{start}\n\nfigures = Figures({', '.join(settings)})")
    for section in page.sections:
        yield from _section(section, language, v4)


def _section(section: Section, language: str, v4: Any) -> Iterable[Any]:
    """Yield text cells, and a code cell for each picture and for the section's own code."""
    text, pictures = [f"## {to_text(section.title, language)}"], 0
    for block in section.blocks:
        code = ""
        if isinstance(block, Picture | Stepper):
            pictures += 1
            code = f'figures.show("{section.anchor}", {pictures})'
        elif isinstance(block, Code):
            code = block.code.strip()
        if code and text:
            yield v4.new_markdown_cell("\n\n".join(text))
            text = []
        if code:
            yield v4.new_code_cell(code)
        written = to_markdown(block, language)
        if written:
            text.append(written)
    if text:
        yield v4.new_markdown_cell("\n\n".join(text))


def to_markdown(block: Block, language: str) -> str:
    """Return the words of a block; "" where it has none outside of the page."""
    write = _WRITERS.get(type(block))
    return write(block, language) if write else ""


def _table(table: Table, language: str) -> str:
    rows = [table.header, *table.rows]
    cells = [[to_text(cell, language).replace("|", "\\|") for cell in row] for row in rows]
    cells.insert(1, ["---"] * len(table.header))
    lines = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    return f"{lines}\n\n{to_text(table.caption, language)}" if table.caption else lines


def _walk(stepper: Stepper, language: str) -> str:
    """Return what is said at each step, and what is seen at the end."""
    said = [f"{number}. {to_text(text, language)}" for number, text in enumerate(stepper.said)]
    end = [to_markdown(stepper.end, language)] if stepper.end else []
    return "\n\n".join(["\n".join(said), *end])


def _question(question: Question, language: str) -> str:
    """Return the question, and its answers folded away until they are clicked at."""
    answers = [
        f"<details><summary>{to_markup(in_language(answer, language))}</summary>\n\n"
        f"{to_text(said, language)}\n\n</details>"
        for answer, said in question.answers
    ]
    heading = f"**{to_text(question.heading, language)}** {to_text(question.question, language)}"
    return "\n\n".join([heading, *answers])


_WRITERS: dict[type, Callable[[Any, str], str]] = {
    Paragraph: lambda block, language: to_text(block.text, language),
    Notice: lambda block, language: f"> {to_text(block.text, language)}",
    Formula: lambda block, language: f"$${to_latex(block.mathml)}$$",
    Listing: lambda block, language: f"```\n{in_language(block.text, language).strip()}\n```",
    Picture: lambda block, language: to_text(block.caption, language),
    Table: _table,
    Stepper: _walk,
    Question: _question,
}


def to_text(text: Text, language: str) -> str:
    """Return words in Markdown, with their formulas in LaTeX."""
    writer = _Words()
    writer.feed(to_markup(in_language(text, language)))
    writer.close()
    return "".join(writer.written)


class _Words(HTMLParser):
    """Turns the markup of a text into Markdown."""

    MARKS = {"em": "*", "i": "*", "b": "**", "strong": "**", "code": "`"}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.written: list[str] = []
        self.in_formula = self.in_code = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "math":
            self.in_formula = True
            self.written.append(f"${dict(attrs)['data-latex']}$")
        elif not self.in_formula:
            self.written.append(self.MARKS.get(tag, ""))
            self.in_code |= tag == "code"

    def handle_endtag(self, tag: str) -> None:
        if tag == "math":
            self.in_formula = False
        elif not self.in_formula:
            self.written.append(self.MARKS.get(tag, ""))
            self.in_code &= tag != "code"

    def handle_data(self, data: str) -> None:
        if not self.in_formula:
            escaped = re.sub(r"([*_`$\\])", r"\\\1", data).replace("<", "&lt;")
            self.written.append(data if self.in_code else escaped)


def to_latex(mathml: str) -> str:
    """Return the LaTeX that a `<math>` element was made from."""
    return ElementTree.fromstring(mathml).get("data-latex", "")
