"""The page frame: self-contained, safe, readable on a phone, with the keyboard and in the dark."""

import re

import browser as chromium
import pytest

from gradparity.compare.drawing import page as frame
from gradparity.compare.drawing.drawing import draw
from gradparity.compare.drawing.languages import Markup, Words
from gradparity.compare.drawing.page import (
    Listing,
    Notice,
    Page,
    Paragraph,
    Picture,
    Section,
    Table,
)


def plot_line(ax):
    ax.plot([0, 1], [0, 1], label="slope")
    ax.set_xlabel("step")
    return ax


# In English, in which figures are drawn, and in another language.
STEP = Words({"en": "step", "de": "Schritt"})


@pytest.fixture(scope="module")
def page():
    alt = Words({"en": "the panel", "de": "das Bild"})
    panels = [draw(f"panel-{side}", alt, plot_line, words=[STEP]) for side in "ab"]
    table = Table(["name", *(f"column {number}" for number in range(20))], [["x"] + ["1.5"] * 20])
    blocks = [
        Paragraph("a < b & c"),
        Paragraph(Markup("<em>written here</em>")),
        Notice("torch is missing"),
        Picture(panels, Words({"en": "It grows.", "de": "Es wächst."})),
        table,
        Listing("<script>alert(1)</script>" + "x" * 300, "the code"),
    ]
    return Page(
        title="A page",
        lead=[Paragraph("What it is about.")],
        sections=[Section("first", "1. First", blocks), Section("second", "2. Second", [])],
        foot=[("machine", "some <processor>")],
        languages={"en": "English", "de": "Deutsch"},
    )


@pytest.fixture(scope="module")
def path(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page.to_html(), "utf-8")
    return path


def test_plain_text_is_escaped_and_markup_is_not(page):
    text = page.to_html()
    assert "<p>a &lt; b &amp; c</p>" in text
    assert "<p><em>written here</em></p>" in text
    assert "<script>alert(1)" not in text
    assert "some &lt;processor&gt;" in text


def test_the_page_asks_for_nothing_outside_itself(page):
    text = page.to_html()
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text)
    assert "@import" not in text


def test_every_drawing_has_words_in_its_place(page):
    svgs = re.findall(r"<svg [^>]*>", page.to_html())
    assert len(svgs) == 2
    assert all('role="img" aria-label="the panel"' in svg for svg in svgs)


def test_a_section_lists_the_drawings_of_its_pictures(page):
    assert [drawing.name for drawing in page.sections[0].drawings] == ["panel-a", "panel-b"]


def test_the_page_loads_without_a_word_on_the_console(window, path):
    window.messages()
    window.open(path)
    assert window.messages() == []


def test_a_request_to_the_network_would_show_on_the_console(window, path, tmp_path):
    broken = tmp_path / "broken.html"
    text = path.read_text("utf-8").replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>')
    broken.write_text(text, "utf-8")
    window.open(broken)
    assert any("Content Security Policy" in message for message in window.messages())


SEEN = """
const caption = document.querySelector('.picture figcaption').innerText;
const label = [...document.querySelector('.panel svg').querySelectorAll('tspan')]
  .filter(span => getComputedStyle(span).display !== 'none').map(span => span.textContent);
return [caption, ...label, document.querySelector('.panel svg').getAttribute('aria-label')];
"""


def test_the_reader_chooses_the_language_of_texts_labels_and_spoken_words(window, path):
    window.open(path)
    assert window.run(SEEN) == ["It grows.", "step", "the panel"]
    window.run("document.querySelector('#language').focus()")
    window.press("D")
    assert window.run(SEEN) == ["Es wächst.", "Schritt", "das Bild"]
    assert window.run("return document.documentElement.lang") == "de"


def test_without_a_script_the_first_language_is_there_and_no_dead_control(window, path, tmp_path):
    quiet = tmp_path / "quiet.html"
    quiet.write_text(re.sub(r"<script>.*</script>", "", path.read_text("utf-8"), flags=re.DOTALL))
    window.open(quiet)
    assert window.run(SEEN) == ["It grows.", "step", "the panel"]
    assert window.run("return document.querySelector('#language').offsetWidth") == 0


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_overflows(window, path, width):
    window.resize(width, mobile=width < 500)
    window.open(path)
    window.run("for (const d of document.querySelectorAll('details')) d.open = true")
    assert window.run("return innerWidth") == width
    assert window.run(chromium.OVERFLOW) == []


def test_the_overflow_test_would_see_something_wide(window, path):
    window.resize(360, mobile=True)
    window.open(path)
    window.run("document.querySelector('main p').style.width = '500px'")
    assert window.run(chromium.OVERFLOW) != []


def colours(window):
    return window.run(
        "const style = selector => getComputedStyle(document.querySelector(selector));"
        "return [style('section').backgroundColor, style('p').color, style('svg text').fill]"
    )


def test_the_page_and_its_figures_are_dark_where_the_reader_prefers_it(window, path):
    window.prefer("light")
    window.open(path)
    light = colours(window)
    window.prefer("dark")
    dark = colours(window)
    assert all(before != after for before, after in zip(light, dark, strict=True))
    window.run("document.getElementById('theme').click()")
    assert colours(window) == light
    window.prefer("light")


def test_every_control_is_reached_with_the_tabulator(window, path):
    window.open(path)
    reached = set()
    for _ in range(20):
        window.press(chromium.TAB)
        reached.add(window.run("return document.activeElement.tagName"))
    assert {"A", "BUTTON", "SELECT", "SUMMARY"} <= reached


def test_the_absence_of_a_browser_is_a_failure_where_one_is_required(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(chromium.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium.programs()
    monkeypatch.setenv(chromium.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium.programs()


def test_the_style_and_the_script_come_with_the_package():
    assert "--ink" in frame._palette_css()
    assert "querySelector" in frame._resource("page.js")
    assert "@media print" in frame._resource("page.css")
