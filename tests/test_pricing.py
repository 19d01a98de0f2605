"""What the lesson says of prices: what was measured, again where it was disturbed, and no more."""

import re
from types import SimpleNamespace

import pytest

from gradparity.backends import get_backend
from gradparity.compare.drawing import plots
from gradparity.compare.lesson.judgement_pages import show_price
from gradparity.compare.lesson.pricing import (
    ATTEMPTS,
    Cost,
    Prices,
    cost_of,
    is_level,
    is_linear,
    steady_costs,
)
from gradparity.compare.lesson.run import Lesson
from gradparity.compare.lesson.threads import one_thread


def row(backend="jax", gradient=2.0, forward=1.0, disturbed=0.0, **others):
    """Return a row whose quickest calls take half of its medians."""
    settings = {"parameters": 10, "evaluations": 1, "predicted": False} | others
    return SimpleNamespace(
        backend=backend,
        gradient=gradient,
        fastest_gradient=gradient / 2,
        forward=forward,
        fastest_forward=forward / 2,
        disturbed=disturbed,
        **settings,
    )


def measuring(*attempts):
    """Return a measurement that gives these rows in turn, and the list of those left."""
    left = [SimpleNamespace(rows=rows) for rows in attempts]
    return lambda: left.pop(0), left


def grown(backend, ratios, **settings):
    return [Cost(backend, 10**power, 1.0, ratio, **settings) for power, ratio in enumerate(ratios)]


def prices(*costs, left_out=(), bills=None):
    return Prices(costs, left_out, bills or {}, frozenset(), 10_000)


def said(found):
    blocks = show_price(Lesson({"numerical": get_backend("numerical")}), found)
    return re.sub("<svg.*?</svg>", "", "\n".join(b.to_html() for b in blocks), flags=re.DOTALL)


def test_a_quiet_measurement_is_not_repeated_and_counts_with_its_medians():
    measure, left = measuring([row()], [row(gradient=9.0)])
    assert steady_costs(measure) == [Cost("jax", 10, 2.0, 2.0)]
    assert len(left) == 1


def test_a_disturbed_measurement_is_repeated_and_the_quiet_one_counts():
    measure, left = measuring([row(gradient=1.5, disturbed=1.0)], [row(gradient=3.0)])
    assert steady_costs(measure) == [Cost("jax", 10, 3.0, 3.0)]
    assert left == []


def test_an_impossible_measurement_is_repeated_and_never_preferred():
    measure, _ = measuring([row(gradient=0.004)], [row(gradient=3.0, disturbed=1.0)])
    (cost,) = steady_costs(measure)
    assert not cost.impossible
    assert cost.disturbed


def test_what_stays_disturbed_counts_with_its_quick_calls_and_is_marked():
    measure, _ = measuring(*[[row(gradient=4.0, forward=2.0, disturbed=1.0)]] * ATTEMPTS)
    assert steady_costs(measure) == [Cost("jax", 10, 2.0, 2.0, disturbed=True)]


def test_a_prediction_is_the_evaluations_times_one_of_them():
    predicted = cost_of(row("numerical", 1e9, forward=0.5, evaluations=101, predicted=True))
    assert predicted == Cost("numerical", 10, 50.5, 101.0, predicted=True)


@pytest.mark.parametrize(("ratio", "impossible"), [(0.004, True), (0.95, False), (2.0, False)])
def test_a_gradient_cannot_be_cheaper_than_the_value_that_it_comes_with(ratio, impossible):
    assert Cost("jax", 10, 1.0, ratio).impossible is impossible


@pytest.mark.parametrize(
    ("ratios", "linear", "level"),
    [
        ([2, 20, 200], True, False),
        ([2.0, 2.5, 2.2], False, True),
        ([2, 9, 40], False, False),
        ([30, 30, 30], False, False),
        ([3], False, False),  # one size says nothing of growth
    ],
)
def test_growth_is_linear_or_level_where_its_numbers_are(ratios, linear, level):
    costs = grown("jax", ratios)
    assert (is_linear(costs), is_level(costs)) == (linear, level)


LEVEL, LINEAR = grown("jax", [2, 2.5, 2.2]), grown("numerical", [2, 20, 200])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (prices(*LINEAR), "as many more evaluations as the net has more parameters"),
        (prices(*grown("numerical", [2, 9, 40])), "which should not be so"),
        (prices(*LEVEL), "a few forward passes, whatever the size: between 2 and 2.5"),
        (prices(*grown("jax", [2, 9, 40])), "not as level"),
        (prices(*grown("numerical", [2, 20], predicted=True)), "Open marks"),
        (prices(*grown("jax", [2, 2], disturbed=True)), "jax (1) and jax (10)"),
        (prices(*LEVEL, left_out=grown("torch", [0.004])), "<b>Left out:</b> torch (1)"),
    ],
)
def test_a_sentence_is_said_where_the_numbers_bear_it_out(found, words):
    assert words in said(found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (prices(*grown("jax", [2, 9, 40])), "whatever the size"),
        (prices(*grown("numerical", [2, 9, 40])), "as many more evaluations"),
        (prices(*LEVEL), "Open marks"),
        (prices(*LEVEL), "Disturbed"),
        (prices(*LEVEL), "Left out"),
    ],
)
def test_a_sentence_is_not_said_where_they_do_not(found, words):
    assert words not in said(found)


def test_torch_gets_its_threads_back():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_what_is_impossible_is_not_drawn():
    with_it = show_price(
        Lesson({"numerical": get_backend("numerical")}),
        prices(*LEVEL, left_out=grown("torch", [0.004])),
    )
    svg = with_it[1].drawings[0].to_svg()
    assert "jax" in svg
    assert "torch" not in svg


def test_a_line_is_drawn_over_what_it_was_fitted_to_alone():
    from matplotlib.figure import Figure

    rows = [*grown("numerical", [2, 20]), Cost("numerical", 10**6, 1.0, 9.0, predicted=True)]
    ax = plots.plot_growth(Figure().add_subplot(), rows, "ratio")
    (line,) = [line for line in ax.lines if len(line.get_xdata()) > 1]
    assert max(line.get_xdata()) == 10
