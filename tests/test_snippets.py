"""The code that readers paste from the lesson runs as it stands, and prints what its section says.

Each snippet is run like a script, in this process: the frameworks are loaded once for all of them.
"""

import ast
import re

import pytest

from gradparity.compare.drawing.highlighting import highlighted
from gradparity.compare.lesson.building import SHOWN_BY
from gradparity.compare.lesson.snippets import SNIPPETS

PRINTED = {
    "difference": [r"x = 5: forward 0\.20000\d+, central 0\.2000000", r"exact 0\.300000000"],
    "step_size": [r"h = 1e-15: central off by \d\.\de-0[12]", r"derivative_along: 3\.75604922"],
    "gradient": [r"numerical at \(3\.0, 4\.0\): \[6\. +8\.\]"],
    "descent": [r"rate 0\.1: ends 1\.02e-09 from the minimum, promised 1\.02e-09"],
    "losses": [r"with the offset: gradient 0\.0202", r"from logits: gradient 1\.0000"],
    "simple_net": [r"loss 0\.68014004", r"0\.0475098 .*0\.24856257 .*-0\.29607237", "agree"],
    "two_layer_net": [r"numerical: loss 2\.3507\d+ to 2\.\d+"],
    "chain_rule": [r"0\.0475098\d? .*0\.248562\d+ .*-0\.296072", "agree"],
    "backpropagation": ["agree"],
    "price": [r"610 parameters, numerical: [\d.]+ ms, (\d{3}|\d\.\d+e\+03) forward passes"],
    "checking": [
        "agree",
        r"differ: (the gradient is wrong in )?b\b",
        r"Taylor test: 2\.0",
        r"Taylor test: 1\.0",
    ],
    "break_it": [r"right: .*agree", r"twice: loss .*differ", r"axis: loss .*differ"],
    "kinks": [r"\|x\| at 0 has a kink: slopes \(-1\.0\d*, 1\.0\d*\)"],
}


def test_every_section_has_its_snippet():
    assert set(SNIPPETS) == {compute.__name__ for compute in SHOWN_BY} == set(PRINTED)


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_runs_by_itself_and_prints_what_its_section_says(name, capsys):
    exec(compile(SNIPPETS[name], f"{name}.py", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    for expected in PRINTED[name]:
        assert re.search(expected, printed), printed


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_is_short_and_keeps_to_public_names(name):
    lines = [line for line in SNIPPETS[name].splitlines() if line]
    assert 10 <= len(lines) <= 20
    assert max(map(len, lines)) <= 100
    public = re.compile(r"gradparity(\.backends|\.models|\.models\.functions|\.compare)?")
    for node in ast.walk(ast.parse(SNIPPETS[name])):
        if isinstance(node, ast.ImportFrom):
            assert public.fullmatch(node.module) or node.module == "array_api_compat"
            assert not any(alias.name.startswith("_") for alias in node.names)


def test_colours_change_nothing_of_the_code():
    code = 'def f(x):  # "<b>"\n    return x < 1 and "a & b"\n'
    markup = str(highlighted(code))
    assert '<span class="code-comment"># "&lt;b&gt;"</span>' in markup
    text = re.sub("<[^>]*>", "", markup)
    assert text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == code


def test_the_button_copies_the_code_as_it_stands(window, lesson_folder):
    window.open(lesson_folder / "index.html")
    window.run("for (const d of document.querySelectorAll('details')) d.open = true")
    # The browser's clipboard needs a permission that nobody here can give: its door is watched.
    window.run(
        "navigator.clipboard.writeText = async text => { window.copied = text };"
        "document.querySelector('.copy').click()"
    )
    assert window.run("return window.copied") == SNIPPETS["difference"]
    shown = "return getComputedStyle(document.querySelector('.copy .after')).display"
    assert window.run(shown) != "none"


def test_without_a_clipboard_the_code_is_selected(window, lesson_folder):
    window.open(lesson_folder / "index.html")
    window.run("for (const d of document.querySelectorAll('details')) d.open = true")
    window.run(
        "navigator.clipboard.writeText = () => Promise.reject(new Error('planted'));"
        "document.querySelector('.copy').click()"
    )
    assert window.run("return getSelection().toString()").strip() == SNIPPETS["difference"].strip()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_code_can_be_read_in_light_and_dark(window, lesson_folder, theme):
    window.open(lesson_folder / "index.html")
    window.run("document.documentElement.dataset.theme = arguments[0]", theme)
    window.run("for (const d of document.querySelectorAll('details')) d.open = true")
    for kind in ("comment", "string", "number", "word"):
        assert window.run(CONTRAST, f".code-{kind}") >= 4.5, kind


CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d');
const luminance = colour => {
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(byte => {
    const share = byte / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }).reduce((sum, share, index) => sum + share * [0.2126, 0.7152, 0.0722][index], 0);
};
const element = document.querySelector(arguments[0]);
const [low, high] = [
  luminance(getComputedStyle(element).color),
  luminance(getComputedStyle(element.closest('pre')).backgroundColor),
].sort((a, b) => a - b);
return (high + 0.05) / (low + 0.05);
"""
