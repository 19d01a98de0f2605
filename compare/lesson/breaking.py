"""Plant faults in a gradient: what becomes of the training, and which checkers notice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends.pytrees import flatten
from gradparity.models.functions import cross_entropy_from_logits, sigmoid, softmax

from ..selftest.rival_checkers import CHECKERS
from .findings import Floats
from .notebook_loops import NOTEBOOK_DIFFERENCES
from .run import POCKET_NET, Lesson

Params = dict[str, Floats]
Gradient = Callable[[Params, Floats, Floats], Params]
"""Called with parameters, inputs of shape (N, features) and one-hot labels."""

FAULTS = ("sign", "twice", "mean", "transposed", "detached", "entry", "softmax", "bias")
RIGHT = "right"
# As many samples as there are classes and hidden units: a bias summed over the wrong axis has its
# own shape then, and nothing raises.
BATCH = 10
# The book's check prints the mean difference for a person to look at; from here on it is no longer
# the rounding of differences, which is some 1e-10.
SUSPICIOUS = 1e-6


@dataclass(frozen=True, eq=False)
class BrokenRun:
    """A training with a planted fault.

    losses: on samples that are the same for all, at the steps of its `BrokenNet`
    correct: share of test samples; noticed: by checker, whether it calls the gradient wrong
    mean_difference: from the notebooks' differences, of the worst leaf
    """

    losses: Floats
    correct: float
    noticed: Mapping[str, bool]
    mean_difference: float

    @property
    def noticed_by_the_book(self) -> bool:
        return self.mean_difference > SUSPICIOUS

    @property
    def learns(self) -> bool:
        """Whether the loss has fallen by a fifth at least."""
        return bool(self.losses[-1] < 0.8 * self.losses[0])


@dataclass(frozen=True, eq=False)
class BrokenNet:
    """One net, trained with each fault that it has room for; the right one is the first run."""

    name: str
    steps: Floats
    runs: Mapping[str, BrokenRun]

    @property
    def faulty(self) -> dict[str, BrokenRun]:
        return {fault: run for fault, run in self.runs.items() if fault != RIGHT}


@dataclass(frozen=True)
class Subject:
    """A net to break.

    gradient: of a fault's name, the gradient that has it, None where there is no room for it
    train, test: (inputs, one-hot labels)
    """

    name: str
    loss: Callable[[Any, Any, Any], Any]
    scores: Callable[[Params, Floats], Floats]
    gradient: Callable[[str], Gradient | None]
    start: Params
    train: tuple[Floats, Floats]
    test: tuple[Floats, Floats]
    learning_rate: float
    steps: int


def break_it(lesson: Lesson) -> list[BrokenNet]:
    """Train two nets with every fault, and put each wrong gradient before all checkers."""
    checkers = {
        name: checker
        for name, checker in CHECKERS.items()
        if name == "gradparity" or name.split()[0] in lesson.backends
    }
    return [_broken(subject, checkers) for subject in (_small(), _pocket(lesson))]


def _broken(subject: Subject, checkers: Mapping[str, Any]) -> BrokenNet:
    shown = np.linspace(0, subject.steps, 41).astype(int)
    runs = {}
    for fault in (RIGHT, *FAULTS):
        gradient = subject.gradient(fault)
        if gradient is not None:
            losses, correct = _trained(subject, gradient, set(shown.tolist()))
            noticed, difference = _checked(subject, gradient, checkers)
            runs[fault] = BrokenRun(losses, correct, noticed, difference)
    return BrokenNet(subject.name, shown, runs)


def _trained(subject: Subject, gradient: Gradient, shown: set[int]) -> tuple[Floats, float]:
    """Return the losses at the steps to be shown, and the share of test samples read correctly."""
    generator = np.random.default_rng(0)  # the same batches for all
    (x, t), params, losses = subject.train, subject.start, []
    for step in range(subject.steps + 1):
        if step in shown:
            losses.append(float(subject.loss(params, x[:500], t[:500])))
        batch = generator.integers(len(x), size=BATCH)
        found = gradient(params, x[batch], t[batch])
        params = {name: leaf - subject.learning_rate * found[name] for name, leaf in params.items()}
    guesses = subject.scores(params, subject.test[0]).argmax(axis=1)
    return np.array(losses), float((guesses == subject.test[1].argmax(axis=1)).mean())


def _checked(
    subject: Subject, gradient: Gradient, checkers: Mapping[str, Any]
) -> tuple[dict[str, bool], float]:
    """Ask every checker, and the book: the mean difference from its own gradient."""
    batch = (subject.train[0][:BATCH], subject.train[1][:BATCH])
    found = gradient(subject.start, *batch)
    leaves = flatten(found)[0]
    noticed = {
        name: not checker(subject.loss, subject.start, batch, leaves, 0).accepts
        for name, checker in checkers.items()
    }
    _, differences = NOTEBOOK_DIFFERENCES.value_and_gradient(subject.loss)(subject.start, *batch)
    means = [float(np.abs(found[name] - differences[name]).mean()) for name in found]
    return noticed, max(means)


def _faulty_softmax(fault: str, scores: Floats) -> Floats:
    return np.asarray(softmax(scores.T).T if fault == "softmax" else softmax(scores))


def _retouched(fault: str, gradient: Params, leaf: str) -> Params:
    """Plant what can be planted in any finished gradient; some faults sit in one leaf."""
    wrong = gradient[leaf]
    if fault == "sign":
        wrong = -wrong
    elif fault == "transposed":
        wrong = wrong.T.reshape(wrong.shape)
    elif fault == "detached":
        wrong = np.zeros_like(wrong)
    elif fault == "entry":
        typical = np.abs(wrong).ravel().argsort()[wrong.size // 2]
        factors = np.ones(wrong.size)
        factors[typical] = 1.01
        wrong = wrong * factors.reshape(wrong.shape)
    factor = 2.0 if fault == "twice" else 1.0
    return {name: factor * entries for name, entries in (gradient | {leaf: wrong}).items()}


def _small() -> Subject:
    """Return the net of six weights, which tells apart three clouds of points in the plane."""

    def scores(params: Params, x: Floats) -> Floats:
        return x @ params["W"]

    def gradient(fault: str) -> Gradient | None:
        if fault == "bias":
            return None

        def found(params: Params, x: Floats, t: Floats) -> Params:
            count = 1 if fault == "mean" else len(x)
            at_scores = (_faulty_softmax(fault, scores(params, x)) - t) / count
            return _retouched(fault, {"W": x.T @ at_scores}, "W")

        return found

    generator = np.random.default_rng(3)
    centres = np.array([[1.5, 0.4], [-1.0, 1.2], [-0.4, -1.5]])
    classes = generator.integers(3, size=400)
    x, t = centres[classes] + 0.7 * generator.normal(size=(400, 2)), np.eye(3)[classes]
    return Subject(
        name="2–3",
        loss=lambda params, x, t: cross_entropy_from_logits(x @ params["W"], t),
        scores=scores,
        gradient=gradient,
        start={"W": generator.normal(size=(2, 3))},
        train=(x[:200], t[:200]),
        test=(x[200:], t[200:]),
        learning_rate=0.05,
        steps=400,
    )


def _pocket(lesson: Lesson) -> Subject:
    """Return the small net for digits, its backpropagation written out so that it can be broken."""

    def hidden(params: Params, x: Floats) -> Floats:
        return np.asarray(sigmoid(x @ params["W1"] + params["b1"]))

    def scores(params: Params, x: Floats) -> Floats:
        return np.asarray(hidden(params, x) @ params["W2"] + params["b2"])

    def loss(params: Any, x: Any, t: Any) -> Any:
        layer = sigmoid(x @ params["W1"] + params["b1"])
        return cross_entropy_from_logits(layer @ params["W2"] + params["b2"], t)

    def gradient(fault: str) -> Gradient:
        def found(params: Params, x: Floats, t: Floats) -> Params:
            layer, count = hidden(params, x), 1 if fault == "mean" else len(x)
            y = _faulty_softmax(fault, layer @ params["W2"] + params["b2"])
            at_scores = (y - t) / count
            at_sums = at_scores @ params["W2"].T * layer * (1 - layer)
            axis = 1 if fault == "bias" else 0
            right = {
                "W1": x.T @ at_sums,
                "b1": at_sums.sum(axis=axis),
                "W2": layer.T @ at_scores,
                "b2": at_scores.sum(axis=axis),
            }
            return _retouched(fault, right, "W2" if fault == "transposed" else "W1")

        return found

    digits, one_hot = lesson.pocket_digits, np.eye(10)
    return Subject(
        name="49–10–10",
        loss=loss,
        scores=scores,
        gradient=gradient,
        start=POCKET_NET.init(seed=1),
        train=(digits.train_x.astype(np.float64), one_hot[digits.train_t]),
        test=(digits.test_x.astype(np.float64), one_hot[digits.test_t]),
        learning_rate=0.5,
        steps=200 if lesson.quick else 2000,
    )


def learning(nets: Sequence[BrokenNet]) -> tuple[int, int, int]:
    """Return how many wrong gradients train, how many of them do worse, and how many there are.

    Worse is what reads fewer test samples than with the right gradient.
    """
    runs = [(run, net.runs[RIGHT]) for net in nets for run in net.faulty.values()]
    trains = [(run, right) for run, right in runs if run.learns]
    return len(trains), sum(run.correct < right.correct for run, right in trains), len(runs)
