"""The lesson: what it computes is true, and what it shows is complete, for every reader."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import browser as chromium
import numpy as np
import pytest
from typer.testing import CliRunner

from gradparity.backends import BackendInfo, get_backend
from gradparity.backends.errors import InvalidSetting
from gradparity.compare import Verdict
from gradparity.compare.cli import app
from gradparity.compare.drawing.languages import in_language
from gradparity.compare.drawing.plots import fit_power_law
from gradparity.compare.lesson import run as lesson_run
from gradparity.compare.lesson import sections as lesson
from gradparity.compare.lesson import texts as lesson_texts
from gradparity.compare.lesson.building import SHOWN_BY, build_page, save_page, write_section
from gradparity.compare.lesson.findings import Kink
from gradparity.compare.lesson.formulas import typeset
from gradparity.compare.lesson.judgement_pages import answer_nan, choose_apart, show_kinks
from gradparity.compare.lesson.network_pages import gap_of, which_gap, which_race
from gradparity.compare.lesson.pricing import price
from gradparity.compare.lesson.questions import QUESTIONS, Question
from gradparity.compare.lesson.run import Lesson, decimals, scientific, spread
from gradparity.compare.lesson.snippets import SNIPPETS
from gradparity.compare.lesson.texts import LABELS, TEXTS, Language, read_language
from gradparity.models import Quadratic, gradient_descent

MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def here(lesson_draft):
    return lesson_draft


@pytest.fixture(scope="module")
def page(lesson_page):
    return lesson_page


@pytest.fixture(scope="module")
def folder(lesson_folder):
    return lesson_folder


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def numerical_alone(recorded_languages):
    """A draft as it is where neither JAX nor PyTorch is installed."""
    return Lesson(
        backends={"numerical": get_backend("numerical")},
        missing={"jax": "pip install 'gradparity[jax]'", "torch": "torch <broken>"},
        quick=True,
        languages=recorded_languages(),
    )


# What the sections find. The reference values are those of the notebooks, in double precision.


def test_section_1_finds_the_slopes_of_the_notebooks(here):
    found = lesson.difference(here)
    assert found.exact == pytest.approx({5.0: 0.2, 10.0: 0.3}, rel=1e-15)
    assert found.central == pytest.approx(found.exact, abs=1e-11)
    # h f'' / 2 = 1e-6: what a forward difference leaves out.
    assert found.forward == pytest.approx({5.0: 0.200001, 10.0: 0.300001}, abs=1e-10)


def test_section_2_finds_truncation_on_one_side_and_round_off_on_the_other(here):
    found = lesson.step_size(here)
    central = found.errors["central float64"]
    large = (found.steps < 0.1) & (found.steps > 1e-3)
    np.testing.assert_allclose(central[large], found.truncation[large], rtol=0.02)
    small = found.steps < 1e-8
    assert np.all(central[small] <= 4 * found.round_off["float64"][small])
    assert np.median(central[small] / found.round_off["float64"][small]) > 0.05


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_best_step_of_section_2_is_where_the_error_is_smallest(here, dtype):
    found = lesson.step_size(here)
    error = found.errors[f"central {dtype}"]
    decade = np.round(np.log10(found.steps / found.best[dtype]))
    typical = {float(shift): np.median(error[decade == shift]) for shift in (-2, 0, 2)}
    assert typical[0.0] < typical[-2.0] / 3
    assert typical[0.0] < typical[2.0] / 3


def test_the_complex_step_stays_exact_and_the_arbiter_keeps_its_bar(here):
    found = lesson.step_size(here)
    assert found.errors["complex float64"][found.steps < 1e-8].max() < 1e-15
    assert abs(found.estimate.value - found.exact) <= found.estimate.error
    assert found.estimate.error / found.exact < 1e-9


def test_the_errors_of_section_2_are_proven_where_that_can_be_had(here):
    pytest.importorskip("flint")
    found = lesson.step_size(here)
    assert found.proven >= 30
    assert found.errors["complex float64"].min() > 1e-18  # below what a float64 reference tells


def test_section_3_finds_the_gradients_of_the_notebooks(here):
    found = lesson.gradient(here)
    for by_backend in (found.named[3.0, 4.0], found.named[0.0, 2.0], found.named[3.0, 0.0]):
        assert set(by_backend) == set(here.backends)
    for (x0, x1), by_backend in found.named.items():
        for gradient in by_backend.values():
            np.testing.assert_allclose(gradient, [2 * x0, 2 * x1], atol=1e-9)
    for gradient in found.at_points.values():
        np.testing.assert_allclose(gradient, 2 * found.points, atol=1e-6)


def test_section_4_reproduces_the_stall_and_the_shared_array(here):
    found = lesson.descent(here)
    np.testing.assert_allclose(
        found.paths[0.1].end, [-6.11110793e-10, 8.14814391e-10], rtol=1e-8, atol=1e-16
    )
    assert 1e12 < found.stalled[-1] < 1e14
    assert found.stalled[-1] == found.stalled[50]
    np.testing.assert_array_equal(*found.shared)
    np.testing.assert_allclose(found.own[1], [-2.99999994, 3.99999992], atol=1e-8)
    for run in found.runaways.values():
        distance = np.linalg.norm(run.path, axis=1)
        np.testing.assert_allclose(distance, found.growth, rtol=1e-6)
    assert found.growth[-1] == pytest.approx(5 * 19.0**100)


def test_section_5_finds_the_losses_of_the_notebooks_and_the_dying_gradient(here):
    found = lesson.losses(here)
    assert found.squares == pytest.approx({2: 0.0975, 1: 0.6475})
    assert found.entropies == pytest.approx({2: -np.log(0.6), 1: -np.log(0.05)}, abs=1e-5)
    at_20 = np.searchsorted(found.gaps, 20)
    assert found.exact["offset loss"][at_20] == pytest.approx(0.0202, abs=1e-4)
    assert found.exact["stable loss"][at_20] == pytest.approx(1, abs=1e-8)
    for loss, exact in found.exact.items():
        assert set(found.pulls[loss]) == set(here.backends)
        for pull in found.pulls[loss].values():
            np.testing.assert_allclose(pull, exact, atol=1e-6)


def test_section_6_finds_the_gradient_of_the_notebooks(here):
    found = lesson.simple_net(here)
    np.testing.assert_allclose(found.scores, [-1.88680933, -0.23205069, -0.0309561], atol=1e-8)
    assert found.loss == pytest.approx(0.68014004, abs=1e-8)
    expected = [[0.0475098, 0.24856257, -0.29607237], [0.0712647, 0.37284386, -0.44410856]]
    for gradient in found.gradients.values():
        np.testing.assert_allclose(gradient, expected, atol=1e-8)
    slope = expected[0][2]
    assert abs(found.loss + found.by * slope - found.loss_after) > 0.01
    near = np.gradient(found.moved_losses, found.shifts)[len(found.shifts) // 2]
    assert near == pytest.approx(slope, rel=1e-2)


def test_what_section_6_says_of_its_gradient_is_so(here):
    found = lesson.simple_net(here)
    exact = [gradient for name, gradient in found.gradients.items() if name != "numerical"]
    for gradient in found.gradients.values():
        assert np.all(gradient[:, -1] < 0)  # "the gradient's last column is negative"
        np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-9)  # "each row sums to 0"
    if exact:  # "the differences' own error is all there is between them"
        assert spread(exact) < 1e-15
        assert spread(list(found.gradients.values())) < 1e-9


def test_what_section_1_says_of_its_digits_is_so(here):
    found = lesson.difference(here)
    for x, exact in found.exact.items():
        assert -np.log10(abs(found.forward[x] - exact)) == pytest.approx(6, abs=0.1)  # the sixth
        assert abs(found.central[x] / exact - 1) < 1e-11  # the last few of sixteen digits
    errors = lesson.step_size(here)
    assert errors.best["float64"] < 1e-4  # "on the safe side of it"


def training(train, test, *losses):
    return SimpleNamespace(
        losses=np.array(losses), seconds=1.0, train_accuracy=[train], test_accuracy=[test]
    )


def trained(*runs, digits=(5000, 1000)):
    by_name = {name: run for name, run in zip(("jax", "torch"), runs, strict=False)}
    return SimpleNamespace(race=by_name, book=by_name, digits=digits)


@pytest.mark.parametrize(
    ("train", "test", "digits", "said"),
    [
        (0.99, 0.92, (5000, 1000), "gap"),
        (0.860, 0.862, (5000, 1000), "no_gap"),
        (0.94, 0.93, (5000, 1000), "no_gap"),
        (0.94, 0.93, (60_000, 10_000), "gap"),
        (0.80, 0.90, (5000, 1000), "negative_gap"),
        (1.0, 1.0, (5000, 1000), "no_gap"),
    ],
)
def test_a_gap_is_said_to_be_one_where_chance_cannot_make_it(train, test, digits, said):
    assert which_gap(*gap_of(trained(training(train, test), digits=digits))) == said


@pytest.mark.parametrize(
    ("others", "said"),
    [((2.0, 1.0), "race"), ((2.0, 1.0 + 1e-9), "race"), ((2.0, 1.2), "race_apart")],
)
def test_curves_are_said_to_be_one_where_nobody_can_see_two(others, said):
    assert which_race(trained(training(1, 1, 2.0, 1.0), training(1, 1, *others))) == said
    assert which_race(trained(training(1, 1, 2.0, 1.0))) == "race_alone"


@pytest.mark.parametrize(
    ("answers", "apart", "nan"),
    [({"jax": 1.0, "torch": 0.0}, True, False), ({"jax": 0.5, "torch": 0.5}, False, False),
     ({"jax": np.nan, "torch": 0.0}, False, True), ({"jax": 1.0}, False, False)],
)  # fmt: skip
def test_engines_are_said_to_choose_as_they_did(here, answers, apart, nan):
    kinks = [Kink("abs", abs, (-1.0, 1.0), answers)]
    assert (choose_apart(kinks), answer_nan(kinks)) == (apart, nan)
    text = "".join(block.to_html() for block in show_kinks(here, kinks))
    assert ("different choices" in text, "A NaN is no slope" in text) == (apart, nan)


def test_central_differences_give_the_mean_of_both_slopes(here):
    for kink in lesson.kinks(here):
        if kink.name != "norm":  # the plain central difference, where the step is the same ahead
            assert kink.answers["numerical"] == pytest.approx(np.mean(kink.one_sided), abs=1e-6)


def test_section_7_trains_every_backend_along_one_path(here):
    found = lesson.two_layer_net(here)
    assert set(found.race) == set(here.backends)
    assert set(found.book) == set(here.backends) - {"numerical"}
    assert spread([run.losses for run in found.race.values()]) < 1e-7
    for run in found.race.values():
        assert run.losses[-1] < run.losses[0]
    assert len(found.images) == len(found.read) == len(found.truth)


def test_the_price_of_differences_grows_with_the_net(here):
    found = price(here)
    assert set(found.bills) <= set(here.backends)
    rows = [cost for cost in found.costs if cost.backend == "numerical"]
    slope, _ = fit_power_law([row.parameters for row in rows], [row.ratio for row in rows])
    assert slope == pytest.approx(1, abs=0.01)
    assert "numerical" in found.predicted
    for name in set(found.bills) - {"numerical"}:
        assert found.bills["numerical"] > 100 * found.bills[name]


def test_the_checks_clear_the_right_gradient_and_convict_the_wrong_one(here):
    found = lesson.checking(here)
    assert found.right.verdict is Verdict.AGREE
    assert found.wrong.verdict is Verdict.DIFFER
    assert {suspect.leaf for suspect in found.wrong.suspects} == {"b2"}
    assert found.right_taylor.slope == pytest.approx(2, abs=0.1)
    assert found.wrong_taylor.slope == pytest.approx(1, abs=0.1)


def test_at_kinks_each_engine_is_within_the_legal_slopes(here):
    conventions = {
        "abs": {"numerical": 0, "jax": 1, "torch": 0},
        "clip": {"numerical": 0.5, "jax": 0.5, "torch": 1},
        "norm": {"numerical": 0, "jax": np.nan, "torch": 0},
    }
    for kink in lesson.kinks(here):
        for name, answer in kink.answers.items():
            if name in conventions.get(kink.name, {}):
                assert answer == pytest.approx(conventions[kink.name][name], abs=1e-6, nan_ok=True)
            low, high = sorted(kink.one_sided)
            assert np.isnan(answer) or low - 1e-6 <= answer <= high + 1e-6


# What the questions before a figure call right is what the section finds.


def test_the_best_step_is_the_answer_in_the_middle(here):
    error = (found := lesson.step_size(here)).errors["central float64"]
    typical = {
        exponent: np.median(error[np.abs(np.log10(found.steps) - exponent) < 0.3])
        for exponent in (-16, -5, -1)
    }
    assert min(typical, key=typical.get) == -5


def test_a_rate_of_one_leaps_to_and_fro(here):
    path = gradient_descent(
        Quadratic().loss, np.array([-3.0, 4.0]), backend=get_backend("numerical"),
        learning_rate=1.0, steps=3,
    ).path  # fmt: skip
    np.testing.assert_allclose(path[1], [3, -4], atol=1e-8)
    np.testing.assert_allclose(path[2], [-3, 4], atol=1e-8)


def test_the_book_loss_hardly_pulls_where_it_is_needed(here):
    found = lesson.losses(here)
    pull = {name: exact[np.searchsorted(found.gaps, 20)] for name, exact in found.exact.items()}
    assert pull["offset loss"] < 0.05
    assert 0.99 < pull["stable loss"] <= 1


def test_jax_and_torch_differ_on_the_absolute_value(here):
    for framework in ("jax", "torch"):
        pytest.importorskip(framework)
    answers = lesson.kinks(here)[0].answers
    assert {answers["jax"], answers["torch"]} == {0, 1}


def test_there_are_five_questions_and_each_answer_is_explained(page):
    pytest.importorskip("jax")  # one of them is about the engines
    pytest.importorskip("torch")
    asked = [block for section in page.sections for block in section.blocks
             if isinstance(block, Question)]  # fmt: skip
    assert len(asked) == len(QUESTIONS) == 5
    for question in asked:
        assert 2 <= len(question.answers) <= 3
        for place, (_, said) in enumerate(question.answers):
            assert in_language(said, "en").startswith("Right") == (place == question.right)


# What stands on the page.


def test_the_page_has_its_sections_each_with_a_figure_and_its_code(page):
    assert [in_language(section.title, "en").split(". ")[0] for section in page.sections] == [
        str(number) for number in range(1, len(SHOWN_BY) + 1)
    ]
    for section, compute in zip(page.sections, SHOWN_BY, strict=True):
        assert section.drawings or "<svg " in section.to_html() or "<pre" in section.to_html()
        assert section.blocks[-1].code == SNIPPETS[compute.__name__]


def test_the_page_is_one_file_of_moderate_size_that_asks_for_nothing(folder, text):
    assert (folder / "index.html").stat().st_size < MOST_BYTES
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text)
    assert not re.findall(r"url\((?!#|&quot;#)[^)]*\)", text)


def test_every_drawing_has_its_own_name_its_words_and_its_files(page, folder, text):
    drawings = [drawing for section in page.sections for drawing in section.drawings]
    names = [drawing.name for drawing in drawings]
    assert len(set(names)) == len(names)
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.svg"
        for name in names  # those of a draft
    }
    assert all(len(in_language(drawing.alt, "en")) > 20 for drawing in drawings)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)


def test_every_formula_on_the_page_is_well_formed(text):
    formulas = re.findall(r"<math.*?</math>", text, flags=re.DOTALL)
    assert len(formulas) > 20
    for formula in formulas:
        ElementTree.fromstring(formula)


def test_no_placeholder_is_left_unfilled_and_no_number_is_lost(text):
    prose = re.sub(r"<(style|script|pre|svg).*?</\1>", "", text, flags=re.DOTALL)
    prose = re.sub(r'data-(words|latex)="[^"]*"', "", prose)
    assert not re.findall(r"\{\w*\}", prose)
    assert "&lt;m" not in prose  # a formula that was escaped
    assert not re.findall(r"\bnan\b|\binf\b|None", prose)


def test_the_foot_names_machine_versions_data_and_command(page):
    names = [in_language(name, "en") for name, _ in page.foot]
    assert names == [
        TEXTS[f"foot.{key}"] for key in ("machine", "versions", "data", "made", "command")
    ]
    contents = " ".join(in_language(content, "en") for _, content in page.foot)
    assert f"numpy {np.__version__}" in contents
    assert "5,000 training" in contents


def test_sympy_typesets_the_derivative_or_the_page_says_that_it_is_missing(here, monkeypatch):
    sympy = pytest.importorskip("sympy")
    x = sympy.Symbol("x")
    derivative = typeset(f"f'(x) = {sympy.latex(x / 50 + sympy.Rational(1, 10))}")
    assert derivative in write_section(here, 1).to_html()
    monkeypatch.setitem(sys.modules, "sympy", None)
    without = write_section(here, 1).to_html()
    assert derivative not in without
    assert TEXTS["difference.no_sympy"] in without


def test_a_page_without_frameworks_says_so_and_is_complete(numerical_alone):
    page = build_page(numerical_alone)
    text = page.to_html()
    assert len(page.sections) == len(SHOWN_BY)
    assert "pip install &#x27;gradparity[jax]&#x27;" in text
    assert "torch &lt;broken&gt;" in text
    assert TEXTS["two_layer_net.no_autodiff"] in text


# Which of them are said depends on what was measured; tests of their own see to each.
CHOSEN_BY_MEASUREMENTS = {
    *(f"break_it.{which}" for which in ("all_worse", "some_worse", "none_worse", "none_learns")),
    *(f"break_it.{which}" for which in ("missed", "none_missed", "alarm", "factor")),
    "break_it.readout_unnoticed",
    *(f"price.{which}" for which in ("linear", "not_linear", "level", "not_level", "open_marks")),
    *(f"price.{which}" for which in ("disturbed", "left_out")),
    *(f"two_layer_net.{which}" for which in ("gap", "no_gap", "negative_gap", "race_apart")),
    *(f"kinks.{which}" for which in ("apart", "alike", "nan")),
}


def test_every_text_and_label_is_used_somewhere(here, page, numerical_alone):
    for framework in ("jax", "torch"):
        pytest.importorskip(framework)
    for made in (page, build_page(numerical_alone, [7, 10])):
        made.to_html()
    for recorded in (here, numerical_alone):
        recorded.plain("notebook")  # a notebook says it
    used = here.english.texts.used | numerical_alone.english.texts.used
    assert set(TEXTS) == used | {"difference.no_sympy"} | CHOSEN_BY_MEASUREMENTS
    elsewhere = {"relative difference"}  # in the comparison's report
    assert set(LABELS) == here.english.labels.used | elsewhere


def translated(texts):
    """Put a Cyrillic letter for every word that is no placeholder, tag or entity."""
    kept = r"(\{[^}]*\}|<[^>]*>|&\w+;)|[A-Za-z]+"
    return {key: re.sub(kept, lambda word: word[1] or "ж", text) for key, text in texts.items()}


@pytest.fixture(scope="module")
def in_two_languages():
    """Section 5 in a made-up language and in English."""
    made_up = Language("xx", translated(TEXTS), translated(LABELS))
    made = Lesson({"numerical": get_backend("numerical")}, languages=[made_up, read_language("en")])
    return build_page(made, [5], names={"xx": "жж", "en": "English"})


def test_a_translation_leaves_no_english_on_the_page(in_two_languages):
    text = in_two_languages.to_html()
    text = text[text.index("<body>") : text.index("<footer>")]
    text = re.sub(r'<(\w+) lang="en">.*?</\1>', "", text, flags=re.DOTALL)
    alts = re.findall(r'aria-label="([^"]*)"', text)
    # Code stays as it is, and so do the names in formulas.
    prose = re.sub(
        r"<(script|style|pre|code|math|option).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL
    )
    words = set(re.findall(r"[A-Za-z]{4,}", " ".join([prose, *alts])))
    assert words <= {"numerical", "nbsp"}
    assert "ж" in prose
    assert all("ж" in alt for alt in alts)


def test_the_files_of_figures_are_in_the_first_language(in_two_languages, tmp_path):
    save_page(in_two_languages, tmp_path, draft=True)
    text = (tmp_path / "figures" / "losses-pull.svg").read_text("utf-8")
    shown = " ".join(re.findall(r"<text [^>]*>([^<]*)", text))
    assert "ж" in shown
    assert set(re.findall(r"[A-Za-z]{4,}", shown)) <= {"numerical"}


def test_a_text_that_stands_in_two_files_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "languages" / "xx"
    folder.mkdir(parents=True)
    for name in ("a.toml", "b.toml"):
        (folder / name).write_text('[price]\ntitle = "x"\n')
    monkeypatch.setattr(lesson_texts.importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="b.toml has price.title of xx again"):
        read_language.__wrapped__("xx")


@pytest.mark.parametrize("number", [0, len(SHOWN_BY) + 1])
def test_a_section_that_is_not_there_is_refused(here, number):
    with pytest.raises(
        InvalidSetting, match=f"got section {number}, expected 1 to {len(SHOWN_BY)}"
    ):
        build_page(here, [number])


# The backends that are here, and the command.


def test_a_backend_that_cannot_be_loaded_is_left_out_with_its_reason(monkeypatch):
    for framework in ("jax", "torch"):
        pytest.importorskip(framework)
    infos = (BackendInfo("numerical", "2.0"), BackendInfo("jax", unavailable="no jax here"))
    monkeypatch.setattr(lesson_run, "available_backends", lambda: infos)
    made = Lesson.with_what_is_here()
    assert "jax" not in made.backends
    assert made.missing["jax"] == "no jax here"


def test_an_output_that_cannot_be_written_fails_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(Lesson, "with_what_is_here", lambda **settings: pytest.fail("worked"))
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["lesson", "--out", str(tmp_path / "file" / "below")])
    assert result.exit_code == 4
    assert "cannot be written" in result.output


def test_a_wrong_section_number_is_a_usage_error(tmp_path):
    result = CliRunner().invoke(app, ["lesson", "--section", "99", "--out", str(tmp_path)])
    assert result.exit_code == 2


def test_the_module_runs_one_section_by_itself(tmp_path):
    command = [sys.executable, "-m", "gradparity.compare.lesson", "--section", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path / "index.html")]
    assert "A derivative as a difference" in done.stderr
    text = (tmp_path / "index.html").read_text("utf-8")
    assert text.count("<section ") == 1
    assert (tmp_path / "figures" / "difference-tangents.png").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.24e-5, "3.2·10⁻⁵"), (0.0821, "0.082"), (0.0, "0"), (19.0**100, "7.5·10¹²⁷")],
)
def test_sizes_are_written_for_readers(value, text):
    assert scientific(value) == text


def test_numbers_keep_the_digits_that_are_asked_for():
    assert decimals(7.999999999999119) == "7.99999999999912"
    assert decimals(-0.5) == "−0.5"
    assert decimals(float("nan")) == "NaN"


def test_the_spread_is_the_largest_difference_of_any_two():
    assert spread([[1, 2], [1, 2.5], [1, 1.5]]) == 1
    assert spread([[1, 2]]) == 0


# In a browser.


def test_an_answer_opens_with_a_key_and_closes_the_other(window, folder):
    window.open(folder / "index.html")
    window.run("document.querySelectorAll('.question summary')[0].focus()")
    shown = (
        "return [...document.querySelectorAll('.question details')].slice(0, 3).map(d => d.open)"
    )
    window.press(chromium.TAB + " ")
    assert window.run(shown) == [False, True, False]
    window.press(chromium.TAB + " ")
    assert window.run(shown) == [False, False, True]


def test_the_lesson_loads_without_a_word_on_the_console(window, folder):
    window.messages()
    window.open(folder / "index.html")
    assert window.messages() == []


@pytest.mark.parametrize("width", [360, 1920])
def test_nothing_of_the_lesson_overflows(window, folder, width):
    window.resize(width, mobile=width < 500)
    window.open(folder / "index.html")
    window.run("for (const d of document.querySelectorAll('details')) d.open = true")
    assert window.run("return innerWidth") == width
    assert window.run(chromium.OVERFLOW) == []


def test_no_text_is_too_small_on_a_phone(window, folder):
    window.resize(360, mobile=True)
    window.open(folder / "index.html")
    assert window.run(chromium.SMALL_TEXTS, 11) == []
    assert window.run(chromium.SMALL_TEXTS, 12) != []  # it would see one


def test_formulas_are_drawn_and_not_empty(window, folder):
    window.open(folder / "index.html")
    sizes = window.run(
        "return [...document.querySelectorAll('math')].filter(m => m.getClientRects().length)"
        ".map(m => m.getBoundingClientRect().width)"
    )
    assert min(sizes) > 5


def test_a_screenshot_of_the_whole_page_can_be_kept(window, folder, tmp_path):
    path = Path(tmp_path) / "page.png"
    window.open(folder / "index.html")
    window.screenshot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
