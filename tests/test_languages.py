"""The lesson in its languages: nothing is missing, and numbers, formulas and code are the same."""

import base64
import io
import re

import browser as chromium
import numpy as np
import pytest
from matplotlib.image import imread

from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidSetting
from gradparity.compare.drawing.drawing import translator
from gradparity.compare.drawing.languages import Words
from gradparity.compare.lesson.building import build_page, save_page
from gradparity.compare.lesson.formulas import FORMULAS
from gradparity.compare.lesson.run import Lesson
from gradparity.compare.lesson.texts import LANGUAGES, read_language, read_languages

TRANSLATIONS = [code for code in LANGUAGES if code != "en"]
ENGLISH = read_language("en")
SCRIPTS = {"ja": r"[\u3040-\u30ff\u4e00-\u9fff]", "ko": r"[\uac00-\ud7af]"}


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_no_text_and_no_label_is_missing(code):
    language = read_language(code)
    assert set(language.texts) == set(ENGLISH.texts)
    assert set(language.labels) == set(ENGLISH.labels)
    assert all(text.strip() for text in [*language.texts.values(), *language.labels.values()])


def pieces(text: str) -> dict[str, list[str]]:
    """Return what a translator must leave as it is."""
    return {
        "placeholders": sorted(re.findall(r"\{\w+\}", text)),
        "tags": sorted(re.findall(r"</?\w+>", text)),
        "code": sorted(re.findall(r"<code>.*?</code>", text)),
    }


def numbers(text: str) -> set[str]:
    """Return the numbers of a text that are written in digits."""
    plain = re.sub(r"\{\w+\}|<[^>]*>", " ", text)
    return set(re.findall(r"\d+(?:[.,]\d+)*", plain.replace("⁻", "-")))


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_placeholders_code_and_numbers_are_those_of_the_english_text(code):
    language = read_language(code)
    for key, text in ENGLISH.texts.items():
        assert pieces(language.texts[key]) == pieces(text), key
        assert numbers(text) <= numbers(language.texts[key]), key


def test_a_number_that_a_translation_changes_would_be_seen():
    assert not numbers("with h = 10 and 60 %") <= numbers("mit h = 10 und 66 %")


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_sentences_are_in_the_script_of_their_language(code):
    for key, text in read_language(code).texts.items():
        if re.search(r"[a-z]{4,} [a-z]{2,} [a-z]{2,}", re.sub(r"<code>.*?</code>", "", text)):
            pytest.fail(f"{code} {key} reads like English: {text[:60]}")
        if len(ENGLISH.texts[key]) > 60:
            assert re.search(SCRIPTS[code], text), key


def test_lines_of_japanese_are_joined_without_a_space_and_those_of_korean_with_one():
    text = read_language("ja").texts["price.text"]
    assert not re.search(r"[\u3000-\u9fff] [\u3000-\u9fff]", text)
    assert " " in read_language("ko").texts["price.text"]


def test_a_language_that_is_not_there_is_refused():
    with pytest.raises(InvalidSetting, match="got language 'xx', expected one of en, ja, ko"):
        read_languages("xx")


def test_labels_are_put_in_whole_and_the_longest_first():
    labels = [
        Words({"en": "step", "ja": "ステップ"}),
        Words({"en": "step size h", "ja": "刻み幅 h"}),
        Words({"en": "test", "ja": "テスト"}),
    ]
    translate = translator(labels, "ja")
    assert translate("step size h") == "刻み幅 h"
    assert translate("torch, test") == "torch, テスト"
    assert translate("latest steps") == "latest steps"


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_a_page_begins_with_the_language_that_was_asked_for(code, tmp_path):
    backends = {"numerical": get_backend("numerical")}
    page = build_page(Lesson(backends, languages=read_languages(code)), [5])
    text = page.to_html()
    assert f'<html lang="{code}">' in text
    assert f"<title>{read_language(code).texts['title']}</title>" in text
    assert FORMULAS["entropy"] in text
    save_page(page, tmp_path, draft=True)
    svg = (tmp_path / "figures" / "losses-pull.svg").read_text("utf-8")
    assert read_language(code).labels["logit gap"] in svg
    assert ENGLISH.labels["logit gap"] not in svg


# In a browser, for all languages, widths and both themes.

CHOOSE = """
const chooser = document.getElementById('language');
chooser.value = arguments[0];
chooser.dispatchEvent(new Event('change'));
for (const details of document.querySelectorAll('details')) details.open = true;
"""
# Names labels of figures that reach beyond their figure, or beyond the page.
CUT_LABELS = """
const cut = [];
for (const svg of document.querySelectorAll('main svg')) {
  const box = svg.getBoundingClientRect();
  if (!box.width) continue;
  for (const text of svg.querySelectorAll('text')) {
    const seen = text.getBoundingClientRect();
    const room = box.width / 40;
    if (seen.width && (seen.left < box.left - room || seen.right > box.right + room)) {
      cut.push(text.textContent);
    }
  }
}
return cut;
"""
# Contrast of each text with what lies behind it, as WCAG 2 defines it.
MEASURE = """
const channel = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const brightness = color => {
  const [red, green, blue] = color.match(/[\\d.]+/g).map(Number);
  const scale = color.startsWith('color(') ? 1 : 255;
  return 0.2126 * channel(red / scale) + 0.7152 * channel(green / scale)
    + 0.0722 * channel(blue / scale);
};
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (color !== 'rgba(0, 0, 0, 0)' && color !== 'transparent') return color;
  }
  return 'rgb(255, 255, 255)';
};
const contrast = (one, other) => {
  const [a, b] = [one, other].map(brightness);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
};
const poor = [];
"""
CONTRAST = (
    MEASURE
    + """
for (const element of document.querySelectorAll('body *')) {
  if (element.matches('script, style, option, :disabled') || element.closest('svg')) continue;
  const written = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!written || !element.getClientRects().length) continue;
  const ratio = contrast(getComputedStyle(element).color, behind(element));
  if (ratio < 4.5) poor.push(`${ratio.toFixed(2)}: ${element.textContent.slice(0, 40)}`);
}
return poor;
"""
)
# The same of the labels in figures: behind one is the topmost filled shape, else the paper.
LABEL_CONTRAST = (
    MEASURE
    + """
document.documentElement.style.scrollBehavior = 'auto';
let seen = 0;
for (const svg of document.querySelectorAll('main svg')) {
  if (!svg.getClientRects().length) continue;
  svg.scrollIntoView({block: 'center'});
  const shapes = [...svg.querySelectorAll('rect, path, circle, polygon')].filter(shape => {
    const style = getComputedStyle(shape);
    return style.fill.startsWith('rgb(') && style.display !== 'none' && +style.opacity === 1
      && +style.fillOpacity === 1 && !shape.closest('defs, clipPath')
      && shape.getBoundingClientRect().width;
  }).map(shape => [shape, shape.getBoundingClientRect()]);
  for (const text of svg.querySelectorAll('text')) {
    const box = text.getBoundingClientRect();
    if (!box.width || !text.textContent.trim()) continue;
    seen += 1;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const below = shapes.filter(([shape, area]) =>
      area.left < x && x < area.right && area.top < y && y < area.bottom
      && shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING
      && shape.isPointInFill(new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse()))
    ).map(([shape]) => shape).at(-1);
    const ground = below ? getComputedStyle(below).fill : behind(svg);
    const ratio = contrast(getComputedStyle(text).fill, ground);
    const place = svg.closest('section').id;
    if (ratio < 4.5) poor.push(`${place} ${ratio.toFixed(2)}: ${text.textContent.slice(0, 40)}`);
  }
}
return [seen, poor];
"""
)


@pytest.fixture
def page(window, lesson_folder):
    window.prefer("light")
    window.resize(1200)
    window.open(lesson_folder / "index.html")
    return window


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("width", [360, 1200, 1920])
def test_nothing_overflows_and_nothing_is_too_small_in_any_language(page, code, width):
    page.resize(width, mobile=width < 500)
    page.messages()
    page.run(CHOOSE, code)
    assert page.run(chromium.OVERFLOW) == []
    assert page.run(chromium.SMALL_TEXTS, 11) == []
    assert page.run(CUT_LABELS) == []
    assert page.messages() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(page, theme):
    page.prefer(theme)
    page.run(CHOOSE, "en")
    assert page.run(CONTRAST) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_label_of_a_figure_stands_out_from_what_is_behind_it(page, theme):
    page.prefer(theme)
    page.run(CHOOSE, "en")
    seen, poor = page.run(LABEL_CONTRAST)
    assert seen > 300
    assert poor == []
    page.run("document.querySelector('.panel svg text').style.fill = 'var(--grid)'")
    assert len(page.run(LABEL_CONTRAST)[1]) == 1


def test_a_poor_contrast_would_be_seen(page):
    page.run("document.querySelector('main p').style.color = '#aaa'")
    assert page.run(CONTRAST) != []


@pytest.mark.parametrize("code", LANGUAGES)
def test_choosing_a_language_changes_all_that_is_seen_and_spoken(page, code):
    page.run(CHOOSE, code)
    assert page.run("return document.documentElement.lang") == code
    language = read_language(code)
    assert page.run("return document.title") == language.texts["title"]
    assert (
        page.run("return document.querySelector('h1').innerText.trim()").replace("\n", " ")
        == language.texts["title"]
    )
    spoken = page.run(
        "return [...document.querySelectorAll('[data-spoken]')].map(e => e.ariaLabel)"
    )
    script = SCRIPTS.get(code)
    assert len(spoken) > 20
    assert all(bool(script and re.search(script, words)) == (code != "en") for words in spoken)
    options = page.run("return document.querySelector('[name=landscape]').innerText")
    assert language.texts["descent_lab.saddle"] in options


def test_all_that_can_be_used_is_reached_in_the_order_of_the_page(page):
    order = page.run("""
      const all = [...document.querySelectorAll(
        'a[href], button, input, select, summary, [tabindex="0"]')];
      return all.filter(e => e.getClientRects().length).map(e => e.tabIndex);
    """)
    assert len(order) > 60
    assert set(order) == {0}  # nothing jumps the queue


def test_every_figure_has_its_words(page):
    nameless = page.run(
        "return [...document.querySelectorAll('main svg')]"
        ".filter(svg => (svg.getAttribute('aria-label') || '').length < 15).length"
    )
    assert nameless == 0
    controls = page.run("""
      return [...document.querySelectorAll('input, select')]
        .filter(e => !(e.labels.length && e.labels[0].innerText.trim()) && !e.ariaLabel)
        .map(e => e.outerHTML.slice(0, 80));
    """)
    assert controls == []


BOXES = """
document.documentElement.style.scrollBehavior = 'auto';
window.boxes = [...document.querySelectorAll('.formula, .table .scrolls')]
  .filter(box => box.offsetWidth && box.scrollWidth <= box.clientWidth).slice(0, 8);
return boxes.length;
"""
EDGE = """
boxes[arguments[0]].scrollIntoView({block: 'center'});
const {right, top, bottom} = boxes[arguments[0]].getBoundingClientRect();
return [right - 6, right + 6, top, bottom].map(Math.round);
"""


def colours_at_the_edge(page, box: int) -> int:
    left, right, top, bottom = page.run(EDGE, box)
    answer = page.devtools("Page.captureScreenshot")
    pixels = imread(io.BytesIO(base64.b64decode(answer["data"])), format="png")
    seen = np.round(255 * pixels[top:bottom, left:right]).reshape(-1, pixels.shape[-1])
    return len({tuple(pixel) for pixel in seen})


def test_no_hairline_stands_beside_what_need_not_be_scrolled(page):
    count = page.run(BOXES)
    assert count == 8
    assert [colours_at_the_edge(page, box) for box in range(count)] == [1] * count
    page.run("boxes[0].style.borderRight = '1px solid #eee'")
    assert colours_at_the_edge(page, 0) > 1
