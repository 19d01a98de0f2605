"""The page frame: self-contained, safe, readable on a phone, with the keyboard and in the dark."""

import re

import browser as chromium
import pytest

from gradparity.compare.drawing import page as frame
from gradparity.compare.drawing.drawing import draw, mark_frame
from gradparity.compare.drawing.page import (
    Listing,
    Markup,
    Notice,
    Page,
    Paragraph,
    Picture,
    Section,
    Slider,
    Table,
)


def plot_frames(ax):
    for number in range(3):
        (line,) = ax.plot([0, 1], [0, number])
        mark_frame(number, line)
    return ax


@pytest.fixture(scope="module")
def page():
    panels = [draw(f"panel-{side}", f"the {side} panel", plot_frames, frame=1) for side in "ab"]
    slider = Slider("slope", ["flat", "one", Markup("<b>two</b>")], start=1)
    table = Table(["name", *(f"column {number}" for number in range(20))], [["x"] + ["1.5"] * 20])
    blocks = [
        Paragraph("a < b & c"),
        Paragraph(Markup("<em>written here</em>")),
        Notice("torch is missing"),
        Picture(panels, "The slope grows.", slider),
        table,
        Listing("<script>alert(1)</script>" + "x" * 300, "the code"),
    ]
    return Page(
        title="A page",
        lead=[Paragraph("What it is about.")],
        sections=[Section("first", "1. First", blocks), Section("second", "2. Second", [])],
        foot=[("machine", "some <processor>")],
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
    assert all('role="img" aria-label="the ' in svg for svg in svgs)


def test_a_section_lists_the_drawings_of_its_pictures(page):
    assert [drawing.name for drawing in page.sections[0].drawings] == ["panel-a", "panel-b"]


def shown(window):
    return window.run(
        "return [...document.querySelectorAll('[data-frame]')]"
        ".filter(f => getComputedStyle(f).display !== 'none').map(f => f.dataset.frame)"
    )


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


def test_a_slider_is_moved_with_the_keyboard_and_changes_every_panel(window, path):
    window.open(path)
    assert shown(window) == ["1", "1"]
    window.run("document.querySelector('input').focus()")
    window.press(chromium.RIGHT)
    assert shown(window) == ["2", "2"]
    assert window.run("return document.querySelector('output').innerHTML") == "<b>two</b>"
    assert window.run("return document.querySelector('input').ariaValueText") == "two"
    window.press(chromium.HOME)
    assert shown(window) == ["0", "0"]


def test_without_a_script_the_chosen_frame_is_there_and_no_dead_control(window, path, tmp_path):
    quiet = tmp_path / "quiet.html"
    quiet.write_text(re.sub(r"<script>.*</script>", "", path.read_text("utf-8"), flags=re.DOTALL))
    window.open(quiet)
    assert shown(window) == ["1", "1"]
    assert window.run("return document.querySelector('input').offsetWidth") == 0


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
    assert {"A", "BUTTON", "INPUT", "SUMMARY"} <= reached


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
