"""How backpropagation does it: on a graph, in twenty lines, and by hand as books write it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.models import SimpleNet, TwoLayerNet
from gradparity.models.functions import cross_entropy_from_logits, sigmoid, softmax

from ..checking.check import check_gradient
from ..checking.result import GradientCheck
from .findings import Floats
from .graphs import Graph, draw_parabola, draw_simple_net
from .notebook_loops import notebook_gradient
from .run import Lesson, spread
from .tape import Recording, count_multiplications, tape_simple_net, tape_two_layer_net

NOTEBOOK_WEIGHTS = np.array(
    [[0.42875037, -1.09670346, 0.24866542], [-2.38228839, 0.47330153, -0.20017261]]
)
NOTEBOOK_GRADIENT = np.array(
    [[0.0475098, 0.24856257, -0.29607237], [0.0712647, 0.37284386, -0.44410856]]
)
"""The numbers that the notebooks print for the net of six weights."""


@dataclass(frozen=True, eq=False)
class ChainRule:
    """Two graphs, and the gradient of the second by differences, with its evaluations."""

    parabola: Graph
    net: Graph
    differences: Floats
    evaluations: int


@dataclass(frozen=True)
class TapeRun:
    """One net on the tape: parameters, multiplications forward and back, and how far off.

    difference: the largest from any backend's gradient, over the largest entry
    """

    net: str
    parameters: int
    forward: int
    backward: int
    difference: float


@dataclass(frozen=True, eq=False)
class Backpropagation:
    """The twenty lines on two nets, and the hidden layer by hand, judged.

    by_hand: the largest difference of a leaf from any backend, over its largest entry
    """

    runs: tuple[TapeRun, ...]
    check: GradientCheck
    by_hand: Mapping[str, float]


def chain_rule(lesson: Lesson) -> ChainRule:
    """Record a parabola and the net of six weights as graphs, and walk both back."""
    net, x, t = SimpleNet(), np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0])
    evaluations = 0

    def loss(weights: Floats) -> float:
        nonlocal evaluations
        evaluations += 1
        return float(net.loss({"W": weights.reshape(2, 3)}, x, t))

    differences = notebook_gradient(loss, NOTEBOOK_WEIGHTS.flatten())
    return ChainRule(
        parabola=draw_parabola(5.0),
        net=draw_simple_net(NOTEBOOK_WEIGHTS.tolist(), x.tolist()),
        differences=differences.reshape(2, 3),
        evaluations=evaluations,
    )


def backpropagation(lesson: Lesson) -> Backpropagation:
    """Run the twenty lines on two nets beside all backends, and judge the book's way by hand."""
    one_hot = np.eye(10)
    small, full = TwoLayerNet(49, 10, 10, weight_init_std=0.3), TwoLayerNet()
    pocket, digits = lesson.pocket_digits, lesson.digits
    few = (pocket.train_x[:20].astype(np.float64), one_hot[pocket.train_t[:20]])
    batch = (digits.train_x[:100].astype(np.float64), one_hot[digits.train_t[:100]])
    six = (np.array([[0.6, 0.9]]), np.array([[0.0, 0.0, 1.0]]))
    params = small.init(seed=1)

    def loss(params: dict[str, Floats], x: Floats, t: Floats) -> Any:
        hidden = sigmoid(x @ params["W1"] + params["b1"])
        return cross_entropy_from_logits(hidden @ params["W2"] + params["b2"], t)

    right = backpropagate(params, *few)
    return Backpropagation(
        runs=(
            run_tape(lesson, "2–3", SimpleNet(), tape_simple_net, {"W": NOTEBOOK_WEIGHTS}, *six),
            run_tape(lesson, "49–10–10", small, tape_two_layer_net, params, *few),
            run_tape(lesson, "784–50–10", full, tape_two_layer_net, full.init(seed=0), *batch),
        ),
        check=check_gradient(loss, params, *few, gradient=right),
        by_hand=differences_of(right, lesson.gradients(loss, params, *few)),
    )


def run_tape(
    lesson: Lesson,
    name: str,
    net: SimpleNet | TwoLayerNet,
    record: Recording,
    params: dict[str, Floats],
    x: Floats,
    t: Floats,
) -> TapeRun:
    """Differentiate the loss of a net by the twenty lines, and compare with every backend."""
    tape, leaves = record(params, x, t)
    tape.backward()
    found = {leaf: np.asarray(node.gradient) for leaf, node in leaves.items()}
    forward, backward = count_multiplications(record, params, x, t)
    size = sum(np.size(leaf) for leaf in params.values())
    # Differences in so many parameters would be a fifth of the time of a draft.
    asked = lesson.autodiff if lesson.quick and size > 10_000 else None
    return TapeRun(
        net=name,
        parameters=size,
        forward=forward,
        backward=backward,
        difference=max(
            differences_of(found, lesson.gradients(net.loss, params, x, t, backends=asked)).values()
        ),
    )


def backpropagate(params: dict[str, Floats], x: Floats, t: Floats) -> dict[str, Floats]:
    """Return the gradient of the mean cross entropy of a two-layer net, by hand.

    x: shape (N, inputs); t: one-hot, shape (N, classes)
    """
    hidden = sigmoid(x @ params["W1"] + params["b1"])
    scores = hidden @ params["W2"] + params["b2"]
    at_scores = (softmax(scores) - t) / len(x)
    at_hidden = at_scores @ params["W2"].T
    at_sums = at_hidden * hidden * (1 - hidden)
    return {
        "W1": x.T @ at_sums,
        "b1": at_sums.sum(axis=0),
        "W2": hidden.T @ at_scores,
        "b2": at_scores.sum(axis=0),
    }


def differences_of(
    gradient: dict[str, Floats], by_backend: Mapping[str, Mapping[str, Floats]]
) -> dict[str, float]:
    """Return the largest difference from any backend over the largest entry, by leaf."""
    return {
        name: max(spread([leaf, other[name]]) for other in by_backend.values())
        / float(np.abs(leaf).max())
        for name, leaf in gradient.items()
    }
