"""Formulas are well-formed MathML, cut into numbers, names and signs."""

import xml.etree.ElementTree as ElementTree

import pytest

from gradparity.compare.lesson.formulas import FORMULAS
from gradparity.compare.lesson.mathml import (
    absolute,
    brackets,
    formula,
    fraction,
    indexed,
    power,
    row,
)

ELEMENTS = {"math", "mrow", "mi", "mn", "mo", "mfrac", "msup", "msub", "munder"}


def tokens(mathml):
    return [(leaf.tag, leaf.text) for leaf in ElementTree.fromstring(mathml).iter() if leaf.text]


def test_text_is_cut_into_numbers_names_and_signs():
    assert tokens(formula("f(x) = 0.5 h")) == [
        ("mi", "f"),
        ("mo", "("),
        ("mi", "x"),
        ("mo", ")"),
        ("mo", "="),
        ("mn", "0.5"),
        ("mi", "h"),
    ]


def test_pieces_are_put_together_in_order():
    assert tokens(formula(fraction("1", "2"), power("x", "2"), "+", indexed("y", "k"))) == [
        ("mn", "1"),
        ("mn", "2"),
        ("mi", "x"),
        ("mn", "2"),
        ("mo", "+"),
        ("mi", "y"),
        ("mi", "k"),
    ]


def test_brackets_grow_only_where_they_are_asked_to():
    small, large = row("f(x)"), brackets(fraction("1", "2"))
    assert small.count('stretchy="false"') == 2
    assert "stretchy" not in large


def test_bars_of_an_absolute_value_open_and_close():
    bars = [leaf for leaf in ElementTree.fromstring(absolute("x")) if leaf.text == "|"]
    assert [bar.get("form") for bar in bars] == ["prefix", "postfix"]


def test_a_formula_in_a_line_of_text_is_no_block():
    assert ElementTree.fromstring(formula("x")).get("display") == "block"
    assert ElementTree.fromstring(formula("x", inline=True)).get("display") is None


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_of_the_lesson_is_well_formed(name):
    root = ElementTree.fromstring(FORMULAS[name])
    assert root.tag == "math"
    assert {element.tag for element in root.iter()} <= ELEMENTS
    for element in root.iter():
        expected = {"mfrac": 2, "msup": 2, "msub": 2, "munder": 2}.get(element.tag)
        assert expected is None or len(element) == expected
