"""The lesson, section by section: from differences to backpropagation, and why to keep both.

Each function computes what its section shows. How it is drawn is in `function_plots.py` and
`net_plots.py`, what is said about it in `languages/`, and what a reader would write to find the
same in `snippets.py`. To run one section alone:

    python -m gradparity.compare.lesson --section 4
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from gradparity.backends import BackendUnavailable
from gradparity.backends.error_bars.derivative import derivative_along
from gradparity.models import Quadratic, SimpleNet, gradient_descent
from gradparity.models.functions import (
    cross_entropy,
    cross_entropy_from_logits,
    sigmoid,
    softmax,
    sum_squared_error,
)

from ..checking.check import check_gradient
from ..checking.taylor import taylor_test
from .backpropagation import NOTEBOOK_WEIGHTS, backpropagate
from .findings import (
    Checks,
    Descents,
    Differences,
    Floats,
    Gradients,
    Kink,
    Losses,
    SixWeights,
    StepSizes,
    Trainings,
)
from .notebook_loops import NOTEBOOK_DIFFERENCES, NOTEBOOK_STEP, notebook_descent
from .run import BOOK_NET, POCKET_NET, Lesson


def difference(lesson: Lesson) -> Differences:
    """Differentiate 0.01 x**2 + 0.1 x at 5 and 10 by taking one small step."""
    parabola, h, points = Quadratic.one_variable(), NOTEBOOK_STEP, (5.0, 10.0)

    def f(x: float) -> float:
        return float(parabola.loss(np.array([x])))

    return Differences(
        f=f,
        h=h,
        exact={x: 2 * parabola.square * x + parabola.linear for x in points},
        forward={x: (f(x + h) - f(x)) / h for x in points},
        central={x: (f(x + h) - f(x - h)) / (2 * h) for x in points},
    )


def step_size(lesson: Lesson) -> StepSizes:
    """Differentiate exp(x) sin(x) at 1 with steps from 1 down to 1e-16."""

    def f(x: Any) -> Any:
        return np.exp(x) * np.sin(x)

    value, exact = math.e * math.sin(1), math.e * (math.sin(1) + math.cos(1))
    third = 2 * math.e * (math.cos(1) - math.sin(1))
    steps = np.logspace(0, -16, 161)
    x, x32, h32 = 1.0, np.float32(1), steps.astype(np.float32)
    slopes = {
        "forward float64": (f(x + steps) - f(x)) / steps,
        "central float32": (f(x32 + h32) - f(x32 - h32)) / (2 * h32),
        "central float64": (f(x + steps) - f(x - steps)) / (2 * steps),
        "complex float64": np.imag(f(x + 1j * steps)) / steps,
    }
    errors, proven = _errors_of(f, x, slopes, exact)
    # Where float32 has come apart already, and float64 has not.
    viewed, positions = 10**-6.5, np.linspace(-2, 2, 81)

    def seen(dtype: Any) -> Floats:
        around = f(dtype(x) + (viewed * positions).astype(dtype)) - f(dtype(x))
        return np.asarray(around, np.float64) / (viewed * exact)

    epsilon = {name: float(np.finfo(name).eps) for name in ("float32", "float64")}
    return StepSizes(
        steps=steps,
        errors=errors,
        best={name: math.cbrt(3 * eps * value / abs(third)) for name, eps in epsilon.items()},
        truncation=steps**2 / 6 * abs(third) / exact,
        round_off={name: eps * value / steps / exact for name, eps in epsilon.items()},
        exact=exact,
        estimate=derivative_along(f, np.array(x), np.array(1.0)),
        viewed=viewed,
        positions=positions,
        view={"float32": seen(np.float32), "float64": seen(np.float64)},
        proven=proven,
    )


def _errors_of(
    f: Callable[[Any], Any], x: float, slopes: Mapping[str, Floats], exact: float
) -> tuple[dict[str, Floats], int | None]:
    """Return relative errors of slopes at x, from an enclosure of the derivative if it can be had.

    returns: the errors, and to how many digits the derivative is enclosed
    """
    try:
        from ..proof.candidates import relative_errors
        from ..proof.proving import prove_gradient
    except BackendUnavailable:
        return {name: np.abs(slope / exact - 1) for name, slope in slopes.items()}, None
    proof = prove_gradient(f, np.array(x))
    ball = proof.enclosures[()]
    errors = {name: relative_errors(slope, ball) for name, slope in slopes.items()}
    return errors, math.floor(proof.digits)


def gradient(lesson: Lesson) -> Gradients:
    """Find the gradient of x0**2 + x1**2 all over the plane, with every backend."""
    f = Quadratic().loss
    side = np.linspace(-4, 4, 9)
    points = np.stack(np.meshgrid(side, side)).reshape(2, -1)

    # The sum over points that do not touch each other has each one's gradient in its place.
    engines = lesson.differentiators(f)
    named = {
        place: {name: engine(np.array(place)) for name, engine in engines.items()}
        for place in ((1.5, -2.0), (3.0, 4.0), (0.0, 2.0), (3.0, 0.0))
    }
    return Gradients(f, points, {name: engine(points) for name, engine in engines.items()}, named)


def descent(lesson: Lesson) -> Descents:
    """Walk down from (-3, 4) with learning rates that are too small, good and too large."""
    f, start, steps = Quadratic().loss, np.array([-3.0, 4.0]), 100
    rates = (0.01, 0.1, 0.9, 1.01)
    shared, large, tiny = start.copy(), 10.0, 1e-10
    first = notebook_descent(f, shared, learning_rate=large, steps=steps)
    second = notebook_descent(f, shared, learning_rate=tiny, steps=steps)
    own = notebook_descent(f, start.copy(), learning_rate=tiny, steps=steps)
    return Descents(
        f=f,
        paths={
            rate: gradient_descent(
                f, start, backend=NOTEBOOK_DIFFERENCES, learning_rate=rate, steps=steps
            )
            for rate in rates
        },
        runaways={
            name: gradient_descent(f, start, backend=backend, learning_rate=large, steps=steps)
            for name, backend in lesson.backends.items()
        },
        growth=np.linalg.norm(start) * abs(1 - 2 * large) ** np.arange(steps + 1.0),
        stalled=np.linalg.norm(first, axis=1),
        rates=(large, tiny),
        shared=(first[-1], second[-1]),
        own=(first[-1], own[-1]),
    )


def losses(lesson: Lesson) -> Losses:
    """Judge one answer by two losses, and ask every backend for the gradient of a poor one."""
    answer = np.array([0.1, 0.05, 0.6, 0, 0.05, 0.1, 0, 0.1, 0, 0])
    one_hot = np.eye(10)
    gaps = np.linspace(0, 40, 161)
    # Two classes, the second one true, the first one ahead by the gap.
    logits, truth = np.stack([gaps, 0 * gaps], axis=1), np.ones(len(gaps), np.int64)
    wrong = 1 / (1 + np.exp(-gaps))
    right = np.exp(-gaps) * wrong
    total = {
        "offset loss": lambda logits, t: len(gaps) * cross_entropy(softmax(logits), t),
        "stable loss": lambda logits, t: len(gaps) * cross_entropy_from_logits(logits, t),
    }
    return Losses(
        answer=answer,
        squares={label: float(sum_squared_error(answer, one_hot[label])) for label in (2, 1)},
        entropies={label: float(cross_entropy(answer, one_hot[label])) for label in (2, 1)},
        gaps=gaps,
        exact={"offset loss": wrong * right / (right + 1e-7), "stable loss": wrong},
        pulls={
            loss: {name: pull[:, 0] for name, pull in lesson.gradients(f, logits, truth).items()}
            for loss, f in total.items()
        },
    )


def simple_net(lesson: Lesson) -> SixWeights:
    """Differentiate the loss of six weights, and move one of them to see what its entry means."""
    net, x, t = SimpleNet(), np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0])
    weights = NOTEBOOK_WEIGHTS
    entry = (0, 2)
    unit = np.zeros_like(weights)
    unit[entry] = 1
    shifts = np.linspace(-1.5, 1.5, 61)
    return SixWeights(
        weights=weights,
        scores=net.predict({"W": weights}, x),
        loss=float(net.loss({"W": weights}, x, t)),
        gradients={
            name: gradient["W"]
            for name, gradient in lesson.gradients(net.loss, {"W": weights}, x, t).items()
        },
        entry=entry,
        shifts=shifts,
        moved_losses=np.array([net.loss({"W": weights + s * unit}, x, t) for s in shifts]),
        by=1.0,
    )


def two_layer_net(lesson: Lesson) -> Trainings:
    """Train on real digits: a small net with every backend, the book's with those that can."""
    race, book = lesson.race, lesson.book_training
    if book:
        net, params, digits = BOOK_NET, next(iter(book.values())).params, lesson.digits
    else:
        net, params, digits = POCKET_NET, next(iter(race.values())).params, lesson.pocket_digits
    side = math.isqrt(net.input_size)
    x, truth = digits.test_x[:48], digits.test_t[:48]
    return Trainings(
        race=race,
        book=book,
        images=x.reshape(-1, side, side),
        read=np.argmax(net.predict(params, x), axis=1).tolist(),
        truth=truth.tolist(),
        units=params["W1"].T[:24].reshape(-1, side, side).astype(np.float64),
        digits=(len(lesson.digits.train_x), len(lesson.digits.test_x)),
    )


def checking(lesson: Lesson) -> Checks:
    """Write backpropagation by hand, forget a mean in it, and see who notices."""
    digits, net = lesson.pocket_digits, POCKET_NET
    x, t = digits.train_x[:20].astype(np.float64), digits.train_t[:20]
    params = net.init(seed=1)

    def loss(params: dict[str, Any], x: Any, t: Any) -> Any:
        hidden = sigmoid(x @ params["W1"] + params["b1"])
        return cross_entropy_from_logits(hidden @ params["W2"] + params["b2"], t)

    right = backpropagate(params, x, np.eye(10)[t])
    wrong = right | {"b2": right["b2"] * len(x)}
    return Checks(
        right=check_gradient(loss, params, x, t, gradient=right),
        wrong=check_gradient(loss, params, x, t, gradient=wrong),
        right_taylor=taylor_test(loss, params, x, t, gradient=right),
        wrong_taylor=taylor_test(loss, params, x, t, gradient=wrong),
    )


def kinks(lesson: Lesson) -> list[Kink]:
    """Ask every engine for a derivative where there is none, or more than one."""

    def relu(x: Any) -> Any:
        return array_namespace(x).maximum(x, array_namespace(x).zeros_like(x))[0]

    asked = {
        "abs": (lambda x: abs(x[0]), [0.0]),
        "relu": (relu, [0.0]),
        "clip": (lambda x: array_namespace(x).clip(x, -1, 1)[0], [1.0]),
        "norm": (lambda x: array_namespace(x).linalg.vector_norm(x), [0.0, 0.0]),
    }
    found = []
    for name, (f, point) in asked.items():
        x = np.array(point)
        answers = {
            backend: float(gradient[0]) for backend, gradient in lesson.gradients(f, x).items()
        }
        estimate = derivative_along(f, x, np.eye(len(x))[0])
        found.append(Kink(name, f, estimate.one_sided, answers))
    return found
