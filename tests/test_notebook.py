"""The lesson as a notebook: the same story, and every cell of it runs."""

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import nbclient
import nbformat
import pytest
from typer.testing import CliRunner

from gradparity.backends.errors import BackendUnavailable
from gradparity.compare.cli import app
from gradparity.compare.drawing.languages import Markup, Words, in_language
from gradparity.compare.drawing.page import (
    Formula,
    Notice,
    Page,
    Paragraph,
    Picture,
    Section,
    Table,
)
from gradparity.compare.lesson import notebook as notebook_module
from gradparity.compare.lesson.building import build_page
from gradparity.compare.lesson.formulas import FORMULAS, typeset
from gradparity.compare.lesson.notebook import (
    Figures,
    to_latex,
    to_markdown,
    to_text,
    write_notebook,
)
from gradparity.compare.lesson.snippets import SNIPPETS
from gradparity.compare.lesson.stepper import Stepper

RUN_HERE = [1, 2, 8]  # every other section's figures and snippet are run by their own tests


@pytest.fixture(scope="module")
def written(lesson_page, tmp_path_factory):
    path = tmp_path_factory.mktemp("notebook") / "lesson.ipynb"
    return nbformat.read(write_notebook(lesson_page, path, quick=True), as_version=4)


def sources(notebook, kind):
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def test_the_notebook_tells_the_story_of_the_page_in_its_order(written, lesson_page):
    text = "\n".join(sources(written, "markdown"))
    places = [
        text.index(f"## {in_language(section.title, 'en')}") for section in lesson_page.sections
    ]
    assert places == sorted(places)
    assert "$$f'(x) \\approx" in text
    assert "<math" not in text
    assert "&nbsp;" not in text


def test_the_notebook_has_every_snippet_and_a_cell_for_every_picture(written, lesson_page):
    code = sources(written, "code")
    assert [source for source in code if source.strip() + "\n" in SNIPPETS.values()] == [
        snippet.strip() for snippet in SNIPPETS.values()
    ]
    for section in lesson_page.sections:
        pictures = [block for block in section.blocks if isinstance(block, Picture | Stepper)]
        shown = [source for source in code if source.startswith(f'figures.show("{section.anchor}"')]
        assert len(shown) == len(pictures)


def test_the_cells_run_and_draw(lesson_draft, tmp_path):
    page = build_page(lesson_draft, RUN_HERE)
    path = write_notebook(page, tmp_path / "few.ipynb", quick=True)
    run = nbclient.NotebookClient(nbformat.read(path, as_version=4), timeout=120).execute()
    outputs = [output for cell in run.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "image/svg+xml" in kinds
    drawn = [output["data"]["image/svg+xml"] for output in outputs
             if "image/svg+xml" in output.get("data", {})]  # fmt: skip
    assert any("0.0475" in svg and "softmax" in svg for svg in drawn)  # the walk back is done
    for svg in drawn:
        ElementTree.fromstring(svg)
    printed = "".join(output.get("text", "") for output in outputs)
    assert "central 0.200000000" in printed
    assert not [output for output in outputs if output.output_type == "error"]


def test_the_notebook_walks_through_the_graphs_and_asks_the_questions(written):
    text = "\n".join(sources(written, "markdown"))
    assert "1. Forward. u = x² = **25**." in text
    assert "| dW[0, 0] | 0.0475" in text
    assert text.count("<details><summary>") >= 12
    assert "**Before you look**" in text


def test_a_notebook_in_another_language_draws_in_it(lesson_page, tmp_path):
    page = replace(lesson_page, languages={"ja": "日本語", "en": "English"})
    path = write_notebook(page, tmp_path / "ja.ipynb")
    code = sources(nbformat.read(path, as_version=4), "code")
    assert 'Figures(language="ja")' in code[0]
    assert Figures(language="ja").lesson.languages[0].code == "ja"


def test_words_become_markdown_in_one_language():
    text = Words({"en": Markup("<b>h</b> &nbsp;is <em>small</em>: <code>x**2</code>"), "ja": "x"})
    assert to_text(text, "en") == "**h** \xa0is *small*: `x**2`"
    assert to_text("2*3_4 <b>", "en") == r"2\*3\_4 &lt;b>"
    assert to_markdown(Notice("careful"), "en") == "> careful"
    assert to_markdown(Table(("a", "b"), [("1", "2|3")], "see"), "en") == (
        "| a | b |\n| --- | --- |\n| 1 | 2\\|3 |\n\nsee"
    )


def test_what_only_a_page_can_show_is_left_out(tmp_path):
    class Moving:
        def to_html(self):
            return "<svg></svg>"

    page = Page("t", [], [Section("a", "A", [Moving(), Paragraph("said")])], [])
    path = write_notebook(page, tmp_path / "small.ipynb")
    assert "## A\n\nsaid" in sources(nbformat.read(path, as_version=4), "markdown")


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_becomes_latex_with_paired_brackets(name):
    latex = to_latex(FORMULAS[name])
    assert latex
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left ") == latex.count(r"\right ")
    assert "<" not in latex


def test_the_formulas_of_the_best_step_and_the_chain_rule_are_right():
    assert to_latex(FORMULAS["truncation"]) == r"h^2 \left| f''' \right| / 6"
    assert to_latex(typeset('a < "b"')) == 'a < "b"'
    descent = r"$$x \leftarrow x - \eta \nabla f(x)$$"
    assert to_markdown(Formula(FORMULAS["descent"]), "en") == descent
    assert to_text(Markup(f"so {FORMULAS['eta']} it is"), "en") == r"so $\eta$ it is"


def test_the_command_writes_a_notebook_and_no_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["lesson", "--section", "1", "--quick", "--notebook", "few.ipynb"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["few.ipynb"]


def test_without_nbformat_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbformat", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'gradparity\[lesson\]'"):
        notebook_module.load_nbformat()
