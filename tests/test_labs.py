"""The live figures: computed in the page, for any function that it can read, and for no other."""

import browser as chromium
import numpy as np
import pytest

from gradparity.compare.lesson.labs import FUNCTIONS


@pytest.fixture
def page(window, lesson_folder):
    window.resize(1200)
    window.open(lesson_folder / "index.html")
    return window


SET = """
const control = document.querySelector(`${arguments[0]} [name=${arguments[1]}]`);
control.value = arguments[2];
control.dispatchEvent(new Event('input', {bubbles: true}));
"""


def move(page, lab: str, **values: object) -> None:
    for name, value in values.items():
        page.run(SET, f"#{lab}", name, str(value))


def said(page, lab: str) -> str:
    return page.run(f"return document.querySelector('#{lab} output').innerText")


def drawn(page, lab: str) -> str:
    return page.run(
        f"return [...document.querySelectorAll('#{lab} svg')].map(svg => svg.innerHTML).join()"
    )


# The reader of formulas.


@pytest.fixture(scope="module")
def reader(window, lesson_folder):
    """The page for those that change nothing in it: opened once."""
    window.open(lesson_folder / "index.html")
    return window


def evaluate(reader, formula: str, x: float, using: str = "FLOAT64"):
    return reader.run(f"return readFormula(arguments[0])(arguments[1], {using})", formula, x)


FORMULAS = {
    "x**3": lambda x: x**3,
    "sin(x)/x": lambda x: np.sin(x) / x,
    "abs(x)": abs,
    "-x^2": lambda x: -(x**2),
    "2*-x": lambda x: -2 * x,
    "1 - 2 - x": lambda x: -1 - x,
    "2**3**x": lambda x: 2 ** (3**x),
    "2**-x": lambda x: 2**-x,
    "8/4/x": lambda x: 2 / x,
    "(1 + x) * (1 - x)": lambda x: 1 - x**2,
    "exp(-x**2/2)/sqrt(2*pi)": lambda x: np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
    "log(x) + tanh(x)*tan(x) - cos(e)": lambda x: np.log(x) + np.tanh(x) * np.tan(x) - np.cos(np.e),
    "1.5e-3*x + .5": lambda x: 1.5e-3 * x + 0.5,
}


@pytest.mark.parametrize("formula", [*FORMULAS, *FUNCTIONS])
def test_a_formula_is_read_as_python_reads_it_and_its_slope_is_exact(reader, formula):
    f = FORMULAS.get(formula) or (lambda x: eval(formula, {"x": x} | vars(np)))  # noqa: S307
    x = 1.3
    assert evaluate(reader, formula, x) == pytest.approx(f(x), rel=1e-14)
    dual = reader.run(
        "return readFormula(arguments[0])({value: arguments[1], slope: 1}, DUAL)", formula, x
    )
    assert dual["value"] == pytest.approx(f(x), rel=1e-14)
    assert dual["slope"] == pytest.approx((f(x + 1e-6) - f(x - 1e-6)) / 2e-6, rel=1e-7)


def test_float32_is_rounded_after_each_operation(reader):
    x = np.float32(1.3)
    expected = x * x * x + np.float32(0.1)
    assert evaluate(reader, "x*x*x + 0.1", float(x), "FLOAT32") == float(expected)


REFUSED = {
    "alert(1)": "alert",
    "x.constructor": ".",
    "constructor(x)": "constructor",
    "x; x": ";",
    "x = 2": "=",
    "toString(x)": "toString",
    "2 x": "x",
    "sin x": "(",
    "(x": ")",
    "x +": "",
    "": "",
}


@pytest.mark.parametrize("formula", REFUSED)
def test_what_is_no_formula_is_refused_and_never_run(reader, formula):
    script = "try { readFormula(arguments[0]); return 'read'; } catch (e) { return e.what; }"
    assert reader.run(script, formula) == REFUSED[formula]


# The step-size lab.


def test_the_own_function_box_plots_a_cube_and_refuses_a_program(page):
    page.messages()
    page.run("window.alert = () => { throw new Error('it ran'); }")
    move(page, "step-lab", function="own", own="x**3", point=2)
    assert "the derivative 12" in said(page, "step-lab")
    cube = drawn(page, "step-lab")
    move(page, "step-lab", own="alert(1)")
    assert "“alert” is unknown" in said(page, "step-lab")
    assert page.run("return document.querySelector('[name=own]').ariaInvalid") == "true"
    assert drawn(page, "step-lab") == cube
    move(page, "step-lab", own="<img src=x onerror=alert(1)>")
    assert page.run("return document.querySelectorAll('#step-lab output img').length") == 0
    move(page, "step-lab", own="x**2")
    assert "the derivative 4" in said(page, "step-lab")
    assert drawn(page, "step-lab") != cube
    assert page.messages() == []


def test_the_figure_and_its_words_follow_step_point_and_dtype(page):
    seen = {drawn(page, "step-lab")}
    words = {said(page, "step-lab")}
    for change in ({"step": -9}, {"point": 2}, {"dtype": "float32"}, {"function": "tanh(x)"}):
        move(page, "step-lab", **change)
        seen.add(drawn(page, "step-lab"))
        words.add(said(page, "step-lab"))
    assert len(seen) == len(words) == 5
    page.run("document.querySelector('#step-lab [data-do=reset]').click()")
    assert drawn(page, "step-lab") in seen
    assert "h = 10⁻⁴ at x = 1" in said(page, "step-lab")


def test_a_kink_has_two_slopes_and_is_said_to(page):
    move(page, "step-lab", function="own", own="abs(x)", point=0)
    assert "it is −1, going to the right 1" in said(page, "step-lab")


def test_the_error_in_float32_is_that_of_numpy(page):
    move(page, "step-lab", dtype="float32", step=-3)
    x, h = np.float32(1), np.float32(1e-3)

    def f(x):
        return np.exp(x) * np.sin(x)

    found = (f(x + h) - f(x - h)) / (np.float32(2) * h)
    shown = float(said(page, "step-lab").split("difference is ")[1].split(",")[0])
    # The exponential and the sine may be rounded otherwise in their last digit.
    assert shown == pytest.approx(float(found), abs=4 * 2**-23 * 2.3 / 1e-3)
    assert shown != pytest.approx(np.e * (np.sin(1) + np.cos(1)), abs=1e-9)


# The descent lab.


def test_descent_begins_with_the_numbers_of_the_notebooks(page):
    assert "at (−6.11·10⁻¹⁰, 8.15·10⁻¹⁰)" in said(page, "descent-lab")


def test_a_click_starts_there_and_the_arrows_move_the_start(page):
    page.run(
        "const map = document.querySelector('#descent-lab svg');"
        "map.scrollIntoView({block: 'center'});"
        "const box = map.getBoundingClientRect();"
        "const at = (share, size, low, high) => low + share * (size - low - high);"
        "map.dispatchEvent(new MouseEvent('click', {bubbles: true,"
        " clientX: box.x + box.width * at(0.75, 345, 56, 12) / 345,"
        " clientY: box.y + box.height * at(0.25, 333, 10, 46) / 333}))"
    )
    assert "From (3, 3)" in said(page, "descent-lab")
    page.run("document.querySelector('#descent-lab svg').focus()")
    page.press(chromium.RIGHT)
    assert "From (3.2, 3)" in said(page, "descent-lab")
    page.run("document.querySelector('#descent-lab [data-do=reset]').click()")
    assert "From (−3, 4)" in said(page, "descent-lab")


def test_each_landscape_and_rate_ends_as_it_must(page):
    for landscape, rate, verdict in (
        ("bowl", 0.1, "leaps or runs away"),
        ("bowl", -3, "still on its way"),
        ("saddle", -1, "leaps or runs away"),
        ("minima", -1, "come to rest"),
        ("valley", -1, "still on its way"),
    ):
        move(page, "descent-lab", landscape=landscape, rate=rate)
        assert verdict in said(page, "descent-lab"), (landscape, rate)
