"""Plots draw what they are given, in one style that every eye and every theme can read."""

import itertools
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from gradparity.compare.drawing import house_style as looks
from gradparity.compare.drawing import plots
from gradparity.compare.drawing.drawing import draw
from gradparity.compare.drawing.house_style import (
    LOOKS,
    PALETTE,
    SPARE_LOOKS,
    house_style,
    look_of,
    looks_of,
    power_of_ten,
    use_log_scale,
)
from gradparity.compare.drawing.languages import Words


@dataclass(frozen=True)
class Row:
    backend: str
    parameters: int
    gradient: float
    ratio: float = 2.0
    predicted: bool = False
    dtype: str = "float64"


ROWS = [
    Row("numerical", 100, 2e-3, 200),
    Row("numerical", 1000, 2e-2, 2000),
    Row("numerical", 10_000, 0.2, 20_000, predicted=True),
    Row("jax", 100, 1e-4, 2.1),
    Row("jax", 1000, 1e-4, 1.9),
    Row("jax", 10_000, 1e-4, 2.0),
]
DRAWN = {
    plots.plot_loss_curves: ({"jax": [2.3, 1.0, 0.5], "torch": [2.3, 1.0, 0.5]},),
    plots.plot_accuracy: ({"jax": ([0.5, 0.9], [0.4, 0.8])},),
    plots.plot_agreement: ({"jax": {"W1": 1e-12, "b1": 0.0}}, {"W1": 1e-9, "b1": 1e-9}),
    plots.plot_cost: (ROWS,),
    plots.plot_growth: (ROWS,),
}


def axes():
    return Figure().add_subplot()


@pytest.mark.parametrize("plot", DRAWN, ids=lambda plot: plot.__name__)
def test_a_plot_returns_the_axes_it_was_given_with_something_on_them(plot):
    ax = axes()
    assert plot(ax, *DRAWN[plot]) is ax
    assert ax.lines or ax.patches
    assert ax.get_xlabel()


def test_a_loss_curve_holds_the_losses_from_step_one():
    (line,) = plots.plot_loss_curves(axes(), {"jax": [2.3, 1.0]}).lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 2.3], [2, 1.0]])


def test_a_zero_difference_is_drawn_at_the_lower_end_and_not_lost():
    ax = plots.plot_agreement(axes(), {"jax": {"W1": 1e-12, "b1": 0.0}})
    (points,) = ax.lines
    assert 0 < points.get_xdata()[1] < 1e-12


def test_nothing_compared_gives_an_empty_plot_and_no_warning():
    ax = plots.plot_agreement(axes(), {})
    assert not ax.lines
    assert ax.get_legend() is None


def test_a_power_law_is_fitted_exactly():
    x = np.array([1.0, 10, 1000])
    assert plots.fit_power_law(x, 3 * x**1.5) == pytest.approx((1.5, 3))


def test_growth_is_named_with_its_slope():
    ax = plots.plot_growth(axes(), ROWS)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["numerical: slope 1.00", "jax: slope 0.00", "predicted"]


def test_predictions_do_not_bend_the_measured_slope():
    bent = [*ROWS[:2], Row("numerical", 10_000, 1e6, predicted=True)]
    ax = plots.plot_growth(axes(), bent)
    assert ax.get_legend().get_texts()[0].get_text() == "numerical: slope 1.00"


def test_predictions_sampled_at_their_own_size_count_for_the_slope_on_demand():
    steep = [*ROWS[:2], Row("numerical", 10_000, 20.0, predicted=True)]
    ax = plots.plot_growth(axes(), steep, fit_predicted=True)
    assert ax.get_legend().get_texts()[0].get_text() == "numerical: slope 2.00"


def test_two_ways_of_one_backend_grow_in_looks_of_their_own():
    ways = [Row(f"numerical[{way}]", 10, 1.0) for way in ("structured", "loop")]
    ax = plots.plot_growth(axes(), ways)
    colors = [handle.get_color() for handle in ax.get_legend().legend_handles]
    assert colors[0] == LOOKS["numerical"].color
    assert colors[1] != colors[0]


def test_one_size_has_no_slope():
    ax = plots.plot_growth(axes(), ROWS[:1])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["numerical"]


def test_predicted_costs_are_hatched_and_said_to_be_predicted():
    ax = plots.plot_cost(axes(), ROWS)
    assert [bar.get_hatch() for bar in ax.patches].count("///") == 1
    assert [text.get_text() for text in ax.texts if "predicted" in text.get_text()] == [
        "200 ms (predicted)"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.2e-6, "3.2 µs"),
        (0.041, "41 ms"),
        (0.9996, "1 s"),
        (7.5, "7.5 s"),
        (600, "10 min"),
        (1.1e6, "12.7 d"),
    ],
)
def test_times_are_said_in_fitting_units(value, text):
    assert plots.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-4, "10⁻⁴"), (3e-8, "3·10⁻⁸"), (0.1, "0.1"), (1e13, "10¹³"), (-2e5, "−2·10⁵"), (0, "0")],
)
def test_powers_of_ten_are_written_in_plain_text(value, text):
    assert power_of_ten(value) == text


def luminance(color):
    # Relative luminance and contrast ratio as WCAG 2.2 defines them.
    channels = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", sorted(set(PALETTE) - {"paper", "grid"}))
def test_every_colour_stands_out_from_its_paper(name, theme):
    # 4.5 is WCAG's level AA for text, 3 that for the lines of a figure.
    needed = 4.5 if name in ("ink", "muted") else 3
    assert contrast(*(getattr(PALETTE[key], theme) for key in (name, "paper"))) >= needed


# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as it is seen without red cones,
# and without green ones.
SEEN_BY = {
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def seen(color, matrix):
    channels = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(matrix) @ linear, 0, 1)
    # To CIELAB for the distance that an eye sees; 2.3 of it are just noticeable.
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = (np.asarray(to_xyz) @ linear) / [0.9505, 1.0, 1.089]
    cube = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * cube[1] - 16, 500 * (cube[0] - cube[1]), 200 * (cube[1] - cube[2])])


@pytest.mark.parametrize("eye", SEEN_BY)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_backends_are_told_apart_by_the_colour_blind(eye, theme):
    themed = {shade.light: getattr(shade, theme) for shade in PALETTE.values()}
    colors = [themed[look.color] for look in LOOKS.values()]
    for first, second in itertools.combinations(colors, 2):
        difference = seen(first, SEEN_BY[eye]) - seen(second, SEEN_BY[eye])
        assert np.linalg.norm(difference) > 10 * 2.3


def test_the_distance_test_would_catch_red_beside_green():
    red, green = (seen(color, SEEN_BY["deuteranope"]) for color in ("#a06000", "#608000"))
    assert np.linalg.norm(red - green) < 10 * 2.3


def test_backends_differ_in_marker_and_dashes_too():
    looks = [*LOOKS.values(), *SPARE_LOOKS]
    assert len({look.marker for look in looks}) == len(looks)
    assert len({str(look.dashes) + str(look.width) for look in looks}) == len(looks)


def test_a_backend_keeps_its_look_with_any_dtype_and_a_plug_in_gets_one():
    assert look_of("jax float32") is look_of("jax")
    assert look_of("numerical[loop]") is look_of("numerical")
    assert look_of("my-engine") in SPARE_LOOKS


def test_two_series_of_one_backend_are_told_apart_in_one_plot():
    found = looks_of(["jax", "numerical – jax", "numerical – torch", "jax float32"])
    assert found["jax"] is LOOKS["jax"]
    assert len({look.marker for look in found.values()}) == 4


def test_the_style_is_left_behind_where_it_was():
    import matplotlib

    before = matplotlib.rcParams["font.size"]
    with house_style():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert matplotlib.rcParams["font.size"] == before


def plot_line(ax):
    use_log_scale(ax)
    ax.plot([1e-8, 1], [1e-3, 1], color=PALETTE["blue"].light)
    ax.set_xlabel("step size")
    return ax


@pytest.fixture(scope="module")
def drawing():
    return draw("a-line", 'a "line" & two \\1 points', plot_line)


def test_a_drawing_on_a_page_is_well_formed_and_has_its_alt_text(drawing):
    root = ElementTree.fromstring(drawing.to_svg())
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "line" & two \\1 points'
    assert root.get("viewBox") is not None
    assert root.get("width") is None


def test_the_colours_on_a_page_follow_its_theme(drawing):
    svg = drawing.to_svg()
    assert "var(--blue, #0072b2)" in svg
    assert not re.search(r"(?<!, )#0072b2", svg)


def test_names_within_a_drawing_are_its_own(drawing):
    svg = drawing.to_svg()
    ids = set(re.findall(r' id="([^"]+)"', svg))
    assert ids
    assert all(name.startswith("a-line-") for name in ids)
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
    assert used
    assert {first or second for first, second in used} <= ids


def test_a_figure_fills_half_of_a_slide(tmp_path):
    _, png = draw("a-line", "alt", plot_line, size=(4.8, 3.4)).save(tmp_path)
    height, width, _ = imread(png).shape
    assert (width, height) == (4.8 * 220, 3.4 * 220)


def test_a_draft_has_no_png(tmp_path):
    (svg,) = draw("a-line", "alt", plot_line).save(tmp_path, draft=True)
    assert [path.name for path in tmp_path.iterdir()] == [svg.name] == ["a-line.svg"]


def test_where_no_font_has_its_letters_a_figure_is_an_svg_alone(tmp_path, monkeypatch):
    words = Words({"ja": "刻み幅", "en": "step size"})
    monkeypatch.setattr(looks, "cjk_fonts_here", lambda: ())
    (svg,) = draw("a-line", "alt", plot_line, words=[words]).save(tmp_path)
    assert ">刻み幅</text>" in svg.read_text("utf-8")
    assert len(draw("another", "alt", plot_line).save(tmp_path)) == 2


def test_a_font_is_asked_for_each_letter(monkeypatch):
    monkeypatch.setattr(looks, "cjk_fonts_here", lambda: ("DejaVu Sans",))
    assert looks.can_be_drawn("step")
    assert not looks.can_be_drawn("刻み")
    monkeypatch.setattr(looks, "CJK", re.compile("[a-z]"))
    assert looks.can_be_drawn("step")  # which DejaVu has


def test_the_svg_file_turns_dark_with_its_reader(drawing, tmp_path):
    text = drawing.save(tmp_path)[0].read_text()
    assert "prefers-color-scheme:dark" in text
    assert '[style*="stroke: #0072b2"]{stroke:#62b8f2!important}' in text
    assert "stroke: #0072b2" in text.split("</style>")[-1]


def test_the_same_figure_gives_the_same_files(tmp_path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        draw("a-line", "alt", plot_line).save(tmp_path / folder)
    for name in ("a-line.png", "a-line.svg"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_no_figure_is_left_open():
    import sys

    draw("a-line", "alt", plot_line)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
