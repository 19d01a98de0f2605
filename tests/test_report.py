"""The report page of `gradparity compare`: on a phone its verdicts stay in view."""

from types import SimpleNamespace

import browser as chromium
import numpy as np
import pytest

from gradparity.compare.report import drawings, to_page

NAMES = ("numerical[structured] float64", "numerical[loop] float64", "jax float64")


def difference(leaf, first, second):
    return SimpleNamespace(
        leaf=leaf, first=first, second=second, entries=39200, largest=2e-12, relative=3e-11,
        index=(783, 49), beyond_round_off=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    comparison = SimpleNamespace(
        differences=[
            difference(leaf, "numerical", other) for leaf in ("W1", "b1") for other in ("jax", "it")
        ],
        reason="all give the derivative of f", parameters=39760, evaluations=65, resolution=1e-9,
        blamed=(), verdict="agree",
    )  # fmt: skip
    costs = [
        SimpleNamespace(
            backend=name, dtype="float64", parameters=39760, gradient=10.0**-place, ratio=2.0,
            forward=1e-3, first_call=0.1, evaluations=2, predicted=place == 0,
        )
        for place, name in enumerate(name.split()[0] for name in NAMES)
    ]  # fmt: skip
    run = SimpleNamespace(
        losses=np.linspace(2, 1, 20), train_accuracy=np.array([0.5, 0.9]),
        test_accuracy=np.array([0.4, 0.8]),
    )  # fmt: skip
    leaf = SimpleNamespace(leaf="W1", shape=(784, 50), error=3e-17, relative_error=9e-16)
    proof = SimpleNamespace(verdict="proved right", reason="", leaves=[leaf], worst=leaf)
    job = SimpleNamespace(
        exactness={"TwoLayerNet": {name: proof for name in ("numerical", "jax")}},
        agreement={"TwoLayerNet": comparison}, cost=SimpleNamespace(rows=costs), left_out={},
        training=[
            SimpleNamespace(network="49-10-10", backend="jax", run=run, seconds_per_step=1e-3)
        ],
        environment={"data": "some digits"}, verdict="agree",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(to_page(job, drawings(job)).to_html(), "utf-8")
    return path


VERDICTS = """
const cells = [...document.querySelectorAll('#agreement td:last-child')];
return cells.map(cell => {
  const {left, right} = cell.getBoundingClientRect();
  return cell.textContent === 'agree' && left >= 0 && right <= innerWidth;
});
"""
# Names what reaches out of its figure.
CUT_LABELS = """
return [...document.querySelectorAll('.panel svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const {left, right} = text.getBoundingClientRect();
    return left < box.left - 5 || right > box.right + 5;
  }).map(text => text.textContent);
});
"""


def test_on_a_phone_the_verdict_of_each_leaf_is_in_view(window, path):
    window.resize(360, mobile=True)
    window.open(path)
    table = window.run("return document.querySelector('#agreement table').offsetWidth")
    assert table > 360  # it has to be scrolled
    assert window.run(VERDICTS) == [True] * 4
    window.run("document.querySelector('#agreement .table').classList.remove('pinned')")
    assert window.run(VERDICTS) == [False] * 4


@pytest.mark.parametrize("width", [360, 1200])
def test_no_label_is_small_or_cut_and_nothing_overflows(window, path, width):
    window.resize(width, mobile=width < 500)
    window.open(path)
    assert window.run(chromium.SMALL_TEXTS, 11) == []
    assert window.run(CUT_LABELS) == []
    assert window.run(chromium.OVERFLOW) == []
