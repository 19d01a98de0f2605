"""Faults planted for the lesson: what is said of them is what was measured."""

import re
from dataclasses import replace

import browser as chromium
import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.compare.lesson.breaking import (
    FAULTS,
    RIGHT,
    SUSPICIOUS,
    BrokenNet,
    BrokenRun,
    break_it,
    learning,
)
from gradparity.compare.lesson.breaking_pages import alarmed, missed_by, show_breaking
from gradparity.compare.lesson.run import Lesson


@pytest.fixture(scope="module")
def found(lesson_draft):
    return break_it(lesson_draft)


def run(*losses, correct=0.5, noticed=True, mean=1.0):
    return BrokenRun(np.array(losses), correct, {"gradparity": noticed}, mean)


def nets(**faulty):
    """Return one net twice, all of its faults found and untrainable but for those given."""
    runs = {fault: run(2.0, 2.0) for fault in FAULTS} | faulty
    right = run(2.0, 0.5, correct=0.9, noticed=False, mean=0.0)
    return [BrokenNet("net", np.array([0, 1]), {RIGHT: right} | runs)] * 2


def said(found):
    lesson = Lesson({"numerical": get_backend("numerical")})
    blocks = show_breaking(lesson, found)
    return re.sub("<svg.*?</svg>", "", "\n".join(b.to_html() for b in blocks), flags=re.DOTALL)


def test_gradparity_notices_every_fault_and_no_checker_calls_a_right_gradient_wrong(found):
    assert [set(net.faulty) for net in found] == [set(FAULTS) - {"bias"}, set(FAULTS)]
    for net in found:
        assert not any(net.runs[RIGHT].noticed.values())
        assert net.runs[RIGHT].mean_difference < SUSPICIOUS / 100
        assert all(broken.noticed["gradparity"] for broken in net.faulty.values())


def test_the_right_gradient_trains_and_a_detached_layer_hardly_does(found):
    digits = found[-1]
    assert digits.runs[RIGHT].losses[-1] < digits.runs["detached"].losses[-1]
    assert digits.runs[RIGHT].losses[0] == digits.runs["sign"].losses[0]


def test_one_entry_among_hundreds_hides_in_the_books_mean(found):
    assert not found[-1].runs["entry"].noticed_by_the_book
    assert found[0].runs["entry"].noticed_by_the_book  # six weights are too few to hide in


def test_counts_are_of_what_trains_and_of_what_ends_worse():
    assert learning(nets(twice=run(2, 1, correct=0.9), mean=run(2, 1, correct=0.8))) == (4, 2, 16)
    assert learning(nets()) == (0, 0, 16)


@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        ({}, "None of the 16 wrong gradients trains"),
        ({"bias": run(2, 1, correct=0.8)}, "and each of them ends with fewer"),
        ({"bias": run(2, 1, correct=0.9)}, "none of them reads fewer"),
        ({"bias": run(2, 1, correct=0.9), "mean": run(2, 1)}, "2 of them end with fewer"),
        ({"twice": run(2, 1)}, "a learning rate in disguise"),
        ({}, "Every checker noticed every fault here"),
        ({"entry": run(2, 2, noticed=False)}, "by gradparity: one entry, 1 %"),
        ({"entry": run(2, 2, mean=1e-8)}, "by the book&#x27;s mean difference: one entry"),
    ],
)
def test_a_sentence_is_said_where_the_numbers_bear_it_out(faulty, words):
    assert words in said(nets(**faulty))


@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        ({"bias": run(2, 1, correct=0.9)}, "each of them ends with fewer"),
        ({}, "a learning rate in disguise"),
        ({"entry": run(2, 2, noticed=False)}, "Every checker noticed every fault"),
        ({}, "called a right gradient wrong"),
    ],
)
def test_a_sentence_is_not_said_where_they_do_not(faulty, words):
    assert words not in said(nets(**faulty))


def test_a_false_alarm_is_told():
    made = nets()
    right = replace(made[0].runs[RIGHT], noticed={"gradparity": True})
    made = [replace(net, runs=dict(net.runs) | {RIGHT: right}) for net in made]
    assert alarmed(made) == ["gradparity"]
    assert "gradparity called a right gradient wrong" in said(made)
    assert missed_by(made) == {}


def test_a_fault_can_be_chosen_by_keyboard_and_changes_figures_and_words(window, lesson_folder):
    window.open(lesson_folder / "index.html")
    window.run("document.querySelector('.alternatives input').focus()")
    seen, words = [], []
    for _ in FAULTS:
        seen.append(str(window.run(SHOWN)))
        words.append(window.run("return document.querySelector('.alternatives output').innerText"))
        window.press(chromium.RIGHT)
    assert len(set(seen)) == len(set(words)) == len(FAULTS)
    assert all(seen)


SHOWN = """
const figure = document.querySelector('.alternatives').closest('figure');
return [...figure.querySelectorAll('[id*="-alternative-"]')]
  .filter(frame => getComputedStyle(frame).display !== 'none')
  .map(frame => frame.innerHTML);
"""
