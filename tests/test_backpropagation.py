"""Backpropagation itself: the twenty lines are right, and the graph shows what they do."""

import browser as chromium
import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.compare.lesson.backpropagation import (
    NOTEBOOK_GRADIENT,
    NOTEBOOK_WEIGHTS,
    backpropagate,
    backpropagation,
    chain_rule,
    differences_of,
)
from gradparity.compare.lesson.backpropagation_pages import twenty_lines
from gradparity.compare.lesson.graphs import Graph, draw_parabola, draw_simple_net
from gradparity.compare.lesson.run import Lesson
from gradparity.compare.lesson.stepper import Schedule, product
from gradparity.compare.lesson.tape import (
    SIGMOID,
    count_multiplications,
    tape_simple_net,
    tape_two_layer_net,
)
from gradparity.models import SimpleNet, TwoLayerNet

SMALL = TwoLayerNet(5, 4, 3, weight_init_std=0.7)
NETS = {
    "simple": (SimpleNet(), tape_simple_net, (2, 3)),
    "two layers": (SMALL, tape_two_layer_net, (5, 3)),
}


def batch(inputs: int, classes: int):
    rng = np.random.default_rng(3)
    return rng.normal(size=(6, inputs)), np.eye(classes)[rng.integers(0, classes, 6)]


def on_the_tape(name: str):
    net, record, sizes = NETS[name]
    params, args = net.init(seed=2), batch(*sizes)
    tape, leaves = record(params, *args)
    tape.backward()
    return tape, {leaf: node.gradient for leaf, node in leaves.items()}, (net, params, *args)


@pytest.mark.parametrize("name", NETS)
def test_the_twenty_lines_have_the_value_and_the_gradient_of_every_backend(
    name, backend_name, load_backend
):
    tape, found, (net, params, *args) = on_the_tape(name)
    backend = load_backend(backend_name)
    value, gradient = backend.value_and_gradient(net.loss)(params, *args)
    assert float(tape[-1][0].value) == pytest.approx(float(value), rel=1e-14)
    off = differences_of(found, {backend_name: backend.to_numpy(gradient)})
    assert max(off.values()) < (1e-8 if backend_name == "numerical" else 1e-13)


def test_a_wrong_rule_on_the_tape_would_be_seen(monkeypatch):
    wrong = (SIGMOID[0], lambda g, y, a: (g * y,))
    monkeypatch.setattr("gradparity.compare.lesson.tape.SIGMOID", wrong)
    _, found, (net, params, *args) = on_the_tape("two layers")
    right = get_backend("numerical").value_and_gradient(net.loss)(params, *args)[1]
    assert max(differences_of(found, {"numerical": right}).values()) > 0.1


def test_the_twenty_lines_are_twenty():
    lines = [line for line in twenty_lines().splitlines() if line.strip()]
    assert len(lines) == 20
    assert max(map(len, lines)) <= 100


def test_the_way_back_costs_twice_the_way_there_whatever_the_size():
    for hidden in (10, 40):
        net = TwoLayerNet(60, hidden, 10)
        args = batch(60, 10)
        forward, backward = count_multiplications(tape_two_layer_net, net.init(0), *args)
        products = 6 * (60 * hidden + hidden * 10)
        assert forward == pytest.approx(products, rel=0.1)
        assert 1.9 < backward / forward < 2.1


def test_multiplications_are_counted_one_by_one():
    # x W takes 2 · 3, softmax 3 divisions, the entropy 3 products and a division by the batch.
    forward, _ = count_multiplications(
        tape_simple_net, {"W": NOTEBOOK_WEIGHTS}, np.array([[0.6, 0.9]]), np.eye(3)[[2]]
    )
    assert 6 + 3 + 3 <= forward <= 6 + 3 + 3 + 1


def test_by_hand_is_right_entry_by_entry(backend_name, load_backend):
    params, args = SMALL.init(seed=1), batch(5, 3)
    gradient = load_backend(backend_name).value_and_gradient(SMALL.loss)(params, *args)[1]
    off = differences_of(
        backpropagate(params, *args), {"it": {k: np.asarray(v) for k, v in gradient.items()}}
    )
    # The loss of the book has its offset of 1e-7.
    assert max(off.values()) < 1e-5


def test_the_section_finds_what_the_page_says():
    found = backpropagation(Lesson({"numerical": get_backend("numerical")}, quick=True))
    assert [run.parameters for run in found.runs] == [6, 610, 39760]
    assert all(run.difference < 1e-6 for run in found.runs)
    assert found.runs[-1].backward / found.runs[-1].forward == pytest.approx(2, abs=0.05)
    assert str(found.check).startswith("agree")
    assert set(found.by_hand) == {"W1", "b1", "W2", "b2"}


# The graphs.


@pytest.fixture(scope="module")
def net_graph():
    return draw_simple_net(NOTEBOOK_WEIGHTS.tolist(), [0.6, 0.9])


def came_back(graph: Graph) -> dict[str, float]:
    return {node.name: node.gradient for node in graph.nodes}


def test_the_parabola_has_its_slope_as_the_sum_of_two_ways():
    graph = draw_parabola(5.0)
    assert graph.nodes[-1].value == pytest.approx(0.75)
    assert graph.nodes[0].gradient == pytest.approx(0.2)
    assert sorted(product(graph, edge) for edge in graph.out_of(0)) == pytest.approx([0.1, 0.1])


def test_the_graph_of_six_weights_ends_with_the_numbers_of_the_notebooks(net_graph):
    found = came_back(net_graph)
    weights = [[found[f"w{i}{j}"] for j in "₀₁₂"] for i in "₀₁"]
    np.testing.assert_allclose(weights, NOTEBOOK_GRADIENT, atol=1e-8)
    assert net_graph.nodes[-1].value == pytest.approx(0.68014004, abs=1e-8)


def test_what_arrives_at_a_node_is_the_sum_over_its_uses(net_graph):
    for place, node in enumerate(net_graph.nodes[:-1]):
        parts = [product(net_graph, edge) for edge in net_graph.out_of(place)]
        assert sum(parts) == pytest.approx(node.gradient)


def test_each_edge_is_walked_after_all_that_arrives_at_its_end(net_graph):
    schedule = Schedule(net_graph)
    for edge in net_graph.edges:
        arrivals = [step for step, _ in schedule.arrivals(edge.target)]
        assert max(arrivals) < schedule.backward[edge.target]
        assert schedule.forward[edge.source] < schedule.forward[edge.target]


def test_differences_take_two_evaluations_for_each_weight():
    found = chain_rule(Lesson({"numerical": get_backend("numerical")}))
    assert found.evaluations == 12
    np.testing.assert_allclose(found.differences, NOTEBOOK_GRADIENT, atol=1e-8)


# In a browser.

NET = "document.querySelector('#net-graph')"
SIX = f"""
return [...{NET}.querySelectorAll('.node')].slice(0, 6).map(node =>
  [...node.querySelectorAll('.gradient')]
    .filter(text => getComputedStyle(text).display !== 'none').map(text => text.textContent)
    .join())
"""
# In the order of the figure: the weights of each score side by side.
EXPECTED = ["0.0475", "0.0713", "0.2486", "0.3728", "−0.2961", "−0.4441"]
LAST = 19
LEFT, UP, DOWN = "\ue012", "\ue013", "\ue015"


def now(window) -> int:
    return int(window.run(f"return {NET}.dataset.now"))


@pytest.fixture
def stepper(window, lesson_folder):
    window.resize(1200)
    window.open(lesson_folder / "index.html")
    return window


def test_the_stepper_reaches_the_six_numbers_by_its_buttons(stepper):
    assert stepper.run(SIX) == [""] * 6
    click = f"{NET}.querySelector('[data-do=%s]').click()"
    for _ in range(LAST):
        stepper.run(click % "step")
    assert now(stepper) == LAST
    assert stepper.run(SIX) == EXPECTED
    assert stepper.run(f"return {NET}.querySelector('table').offsetHeight") > 0
    stepper.run(click % "back")
    assert stepper.run(SIX)[:2] == ["", ""]
    stepper.run(click % "reset")
    assert now(stepper) == 0


def test_the_stepper_reaches_the_six_numbers_by_the_keyboard(stepper):
    stepper.run(f"{NET}.querySelector('.node').focus()")
    stepper.press(chromium.RIGHT * (LAST + 3))
    assert now(stepper) == LAST
    assert stepper.run(SIX) == EXPECTED
    stepper.press(LEFT * 2)
    assert now(stepper) == LAST - 2
    stepper.press("r")
    assert now(stepper) == 0


def test_space_plays_and_pauses(stepper):
    stepper.run(f"{NET}.querySelector('.node').focus()")
    hidden = f"return ['play', 'pause'].map(b => {NET}.querySelector(`[data-do=${{b}}]`).hidden)"
    assert stepper.run(hidden) == [False, True]
    stepper.press(" ")
    assert stepper.run(hidden) == [True, False]
    stepper.press(" ")
    assert stepper.run(hidden) == [False, True]


def test_each_step_is_said_and_each_node_explained(stepper):
    output = f"return {NET}.querySelector('output').innerText"
    assert (
        stepper.run(f"return {NET}.querySelector('output').getAttribute('aria-live')") == "polite"
    )
    said = [stepper.run(output)]
    stepper.run(f"{NET}.querySelector('.node').focus()")
    for _ in range(LAST):
        stepper.press(chromium.RIGHT)
        said.append(stepper.run(output))
    assert len(set(said)) == LAST + 1
    assert "used 2 times" in " ".join(said)
    stepper.press(DOWN)
    explained = stepper.run(f"return {NET}.querySelector('.explained').textContent")
    assert explained == stepper.run("return document.activeElement.getAttribute('aria-label')")
    assert "w₁₀" in explained
    stepper.press(UP)
    assert "w₀₀" in stepper.run("return document.activeElement.getAttribute('aria-label')")


def test_without_a_script_the_finished_pass_is_there(stepper, lesson_folder, tmp_path):
    quiet = tmp_path / "quiet.html"
    text = (lesson_folder / "index.html").read_text("utf-8")
    quiet.write_text(text[: text.index("<script>")] + "</body></html>", "utf-8")
    stepper.open(quiet)
    assert stepper.run(SIX) == EXPECTED
    assert stepper.run(f"return {NET}.querySelector('.buttons').offsetHeight") == 0
