"""Reports fit the terminal: at most 25 lines, and none is broken in the middle of a word."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed_rows import a_row

import gradparity as gp
from gradparity.backends.displayed import MOST_LINES, fitted

INDEX = re.compile(r", (?=\d+[],])")  # an index is one word
WIDTHS = (40, 57, 80, 100, 139, 200)
LONG = "encoder.layers.11.attention.self.query.weight"


def f(params, x):
    return np.mean(np.tanh(x @ params[LONG] + params["b"]) ** 2)


RNG = np.random.default_rng(0)
PARAMS = {LONG: RNG.normal(size=(6, 6)), "b": RNG.normal(size=6)}
X = RNG.normal(size=(4, 6))


def right():
    y = np.tanh(X @ PARAMS[LONG] + PARAMS["b"])
    back = 2 * y * (1 - y**2) / y.size
    return {LONG: X.T @ back, "b": back.sum(0)}


def one_entry_off(gradient):
    gradient[LONG][3, 1] *= 1.05
    return gradient


FAULTS = {
    "agree": lambda g: g,
    "one entry": one_entry_off,
    "sign": lambda g: {name: -leaf for name, leaf in g.items()},
    "not averaged": lambda g: {name: 24 * leaf for name, leaf in g.items()},
    "transposed": lambda g: {**g, LONG: g[LONG].T},
    "detached": lambda g: {**g, "b": np.zeros(6)},
    "noise": lambda g: {n: leaf + RNG.normal(size=leaf.shape) for n, leaf in g.items()},
    "not a number": lambda g: {**g, "b": np.full(6, np.nan)},
    "another shape": lambda g: {**g, "b": np.zeros((4, 6))},
    "leaf missing": lambda g: {LONG: g[LONG], "of another model": np.ones(3)},
    "no structure": lambda g: [1.0, 2.0],
}


@pytest.fixture(scope="module")
def results():
    """Return results of every kind, right, wrong and undecided."""
    gradient = right()
    found = {
        name: gp.check_gradient(f, PARAMS, X, gradient=fault(right()))
        for name, fault in FAULTS.items()
    }
    found["budget"] = gp.check_gradient(f, PARAMS, X, gradient=gradient, budget=4)
    found["kinks"] = gp.check_gradient(
        lambda p: np.abs(p["w"]).sum(), {"w": np.zeros(9)}, gradient={"w": np.full(9, 2.0)}
    )
    found["random"] = gp.check_gradient(
        lambda p: p["b"].sum() * RNG.normal(), {"b": np.ones(2)}, gradient={"b": np.ones(2)}
    )
    found["comparison"] = gp.compare_gradients(f, PARAMS, X, backends=["numerical"])
    suspects = tuple(
        gp.Suspect(LONG, (k, k), 0.5 + k, 1 / 3, 1e-12, backend="numerical") for k in range(6)
    )
    found["wrong comparison"] = replace(
        found["comparison"], verdict="differ", blamed=("numerical",), suspects=suspects,
        notes=tuple(f"{k}: values differ in {LONG!r}, {LONG!r} agreed; " * k for k in range(5)),
    )  # fmt: skip
    assert found["agree"].verdict == "agree"
    found["many notes"] = replace(
        found["noise"], notes=tuple(f"constants: {LONG}, {LONG} and {k} more" for k in range(30))
    )
    found["taylor"] = gp.taylor_test(f, PARAMS, X, gradient=gradient)
    return found


def faults_of(rows, lines, width):
    """Return the rows that are too long, and the words that are in no line."""
    long = [row for row in rows if len(row) > width and len(INDEX.sub(",", row).split()) > 1]
    known = set(" ".join(lines).split()) | {"..."}
    end = re.compile(r"\.\.\. \d+ more lines?$")
    cut = [word for row in rows if not end.match(row) for word in row.split() if word not in known]
    return long + cut


@pytest.mark.parametrize("width", WIDTHS)
def test_reports_of_every_kind_fit_the_terminal(results, width):
    for name, result in results.items():
        rows = result.report(width).splitlines()
        assert faults_of(rows, result.lines(), width) == [], name
        assert len(rows) <= MOST_LINES, name
        assert rows[0].startswith(result.verdict), name


def test_lines_that_are_cut_at_a_column_would_be_seen(results):
    lines = results["many notes"].lines()
    assert faults_of([line[:40] for line in lines], lines, 40)
    assert faults_of(lines, lines, 40)


def test_the_report_is_as_wide_as_the_terminal(results, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, str(results["one entry"]).splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "200")
    assert max(map(len, str(results["one entry"]).splitlines())) > 100


@given(
    st.lists(st.lists(st.text("abcdef", min_size=1, max_size=70), min_size=1), max_size=40),
    st.integers(40, 200),
)
def test_any_lines_are_broken_between_words(paragraphs, width):
    lines = [" ".join(words) for words in paragraphs]
    rows = fitted(lines, width)
    assert faults_of(rows, lines, width) == []
    assert len(rows) <= MOST_LINES


def test_an_index_and_a_number_with_its_unit_stay_in_one_piece():
    line = "W1 is 5 % off (worst entry W1[12, 345]: got 0.31, expected 0.295 ± 2e-11)"
    for width in range(40, 80):
        rows = fitted([line], width)
        text = "\n".join(rows)
        assert "W1[12, 345]:" in text
        assert "5 %" in text
        assert "± 2e-11" in text
        assert " ".join(text.split()) == line


def test_a_speed_table_that_is_too_wide_becomes_sentences():
    table = gp.SpeedTable((a_row(), a_row(backend="torch")))
    assert "backend" in table.report(200).splitlines()[0]
    narrow = table.report(60).splitlines()
    assert narrow[0].startswith("jax float32: parameters")
    assert max(map(len, narrow)) <= 60


def test_the_parameter_stands_beside_the_wrong_entry(results):
    check = results["one entry"]
    (suspect,) = check.suspects
    assert suspect.parameter == PARAMS[LONG][3, 1]
    assert check.to_dict()["suspects"][0]["parameter"] == suspect.parameter
    assert f"± {suspect.error_bar:.1e}, parameter {suspect.parameter:.6g}" in check.report(200)
    wrong = gp.check_jacobian(lambda x: x**2, X[0], jacobian=np.diag(3 * X[0])).suspects[0]
    assert wrong.parameter == X[0][wrong.index[1]]
    v = np.ones(6)
    pushed = gp.check_pushforward(lambda x: x**2, X[0], tangent=v, output_tangent=3 * X[0])
    assert {suspect.parameter for suspect in pushed.suspects} == {None}
