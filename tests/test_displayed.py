"""Results show themselves in notebooks: the report, and a small plot where one helps."""

import re
from importlib.util import find_spec
from xml.etree import ElementTree

import nbclient
import nbformat
import numpy as np
import pytest

import gradparity as gp
from gradparity.backends.displayed import svg

SQUARES = "lambda x: (x**2).sum(), np.ones(2)"
CELLS = [
    "import gradparity as gp\nimport numpy as np",
    "gp.check_gradient(lambda x: (x**2).sum(), np.ones(2), gradient=np.asarray([2.0, 2.5]))",
    "gp.compare_gradients(lambda x: (x**2).sum(), np.ones(2), backends=['numerical'])",
    "gp.taylor_test(lambda x: (x**3).sum(), np.ones(2), gradient=3 * np.ones(2))",
    "gp.TrainingRun(backend='jax', dtype='float64', params={}, losses=np.asarray([2.0, 1, 0.5]))",
    f"gp.measure_speed({SQUARES}, backends=['numerical'], minimum_time=0.05)",
    "gp.check_jacobian(lambda x: x**2, np.ones(2), jacobian=2 * np.eye(2))",
    f"gp.prove_gradient({SQUARES}, gradient=2 * np.ones(2))",
]


@pytest.mark.skipif(find_spec("flint") is None, reason="the proof needs python-flint")
def test_a_real_kernel_shows_reports_and_plots():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    run = nbclient.NotebookClient(notebook, timeout=120).execute()
    shown = [cell.outputs[-1].data for cell in run.cells[1:]]
    for kinds in shown:
        assert kinds["text/html"].startswith(("<pre", "<p>"))
        assert not re.match(r"\w+\(", kinds["text/plain"])  # the report, not the dataclass
    check, comparison, taylor, training, speed, jacobian, proof = shown
    assert "differ" in check["text/plain"]
    assert "#cf222e" in check["text/html"]
    assert "#1a7f37" in comparison["text/html"]
    assert "<svg" in taylor["text/html"]
    assert "<svg" in training["text/html"]
    assert "3 steps" in training["text/plain"]
    assert speed["text/plain"].startswith("backend    dtype    parameters")
    assert "numerical  float64" in speed["text/html"]
    assert "agree: the Jacobian is right" in jacobian["text/plain"]
    assert "<strong>proved right</strong>" in proof["text/html"]
    assert "proved right: " in proof["text/plain"]


def test_what_the_user_named_is_no_markup():
    check = gp.check_gradient(
        lambda p: (p["<b>"] ** 2).sum(), {"<b>": np.ones(2)}, gradient={"<b>": np.ones(2)}
    )
    inside = check._repr_html_().split("</b>", 1)[1]
    assert "&lt;b&gt;" in inside
    assert "<b>" not in inside


def test_a_plot_leaves_gaps_where_nothing_is_finite_and_says_its_range():
    picture = svg("loss", {"a": [1.0, float("nan"), 100.0]})
    root = ElementTree.fromstring(picture)
    assert len(root.find(".//polyline").get("points").split()) == 2
    assert "1 to 100, logarithmic" in picture
    assert svg("loss", {"a": [float("inf")]}) == ""
    heights = [float(y) for y in re.findall(r",(\d+\.\d)", svg("l", {"a": [1.0, 2.0, 3.0]}))]
    assert heights == sorted(heights, reverse=True)
