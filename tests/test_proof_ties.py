"""Random piecewise polynomials at their ties: what is proved is the slope on every side."""

import random
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

pytest.importorskip("flint")

from gradparity.compare import prove_gradient  # noqa: E402

# Of numbers, exactly, and of NumPy's arrays.
FUNCTIONS = {
    "abs": (abs, np.abs),
    "square": (lambda a: a * a, np.square),
    "cube": (lambda a: a**3, lambda a: a**3),
    "negative": (lambda a: -a, np.negative),
    "floor": (lambda a: Fraction(floor(a)), np.floor),
    "ceil": (lambda a: Fraction(ceil(a)), np.ceil),
    "sign": (lambda a: Fraction((a > 0) - (a < 0)), np.sign),
    "relu": (lambda a: max(a, Fraction(0)), lambda a: np.maximum(a, 0.0)),
    "clip": (lambda a: min(max(a, Fraction(-1)), Fraction(1)), lambda a: np.clip(a, -1.0, 1.0)),
    "add": (lambda a, b: a + b, np.add),
    "subtract": (lambda a, b: a - b, np.subtract),
    "multiply": (lambda a, b: a * b, np.multiply),
    "maximum": (max, np.maximum),
    "minimum": (min, np.minimum),
    "greater": (lambda a, b, c, d: c if a > b else d, lambda a, b, c, d: np.where(a > b, c, d)),
    "at least": (lambda a, b, c, d: c if a >= b else d, lambda a, b, c, d: np.where(a >= b, c, d)),
    "equal": (lambda a, b, c, d: c if a == b else d, lambda a, b, c, d: np.where(a == b, c, d)),
}
COUNTS = {"greater": 4, "at least": 4, "equal": 4, "add": 2, "subtract": 2, "multiply": 2} | {
    "maximum": 2,
    "minimum": 2,
}
STEP = Fraction(1, 2**80)


def drawn(seed):
    """Return a point, and the steps of a function: a name, and numbers of earlier results."""
    generator = random.Random(seed)
    x = [generator.choice([0.0, 1.0, -1.0, 2.0, 0.5, -0.5]) for _ in range(generator.randint(1, 3))]
    steps = []
    for number in range(len(x), len(x) + generator.randint(2, 7)):
        name = generator.choice(sorted(FUNCTIONS))
        inputs = [generator.randrange(number) for _ in range(COUNTS.get(name, 1))]
        steps.append((name, inputs))
    return np.asarray(x), steps


def evaluated(steps, x, kind):
    results = list(x)
    for name, inputs in steps:
        results.append(FUNCTIONS[name][kind](*(results[number] for number in inputs)))
    return results[-1]


def slopes(steps, x, direction):
    """Return the one-sided derivatives along a direction, to 20 digits; a jump makes them huge."""
    point = [Fraction(a) for a in x.tolist()]
    along = [Fraction(a) for a in direction]
    here, *others = (
        evaluated(steps, [a + sign * STEP * d for a, d in zip(point, along, strict=True)], 0)
        for sign in (0, 1, -1)
    )
    return [
        float((other - here) / (sign * STEP)) for other, sign in zip(others, (1, -1), strict=True)
    ]


def test_what_is_proved_at_a_tie_is_the_slope_on_every_side():
    proved = smooth = 0
    for seed in range(400):
        x, steps = drawn(seed)
        proof = prove_gradient(
            lambda x, steps=steps: evaluated(steps, [x[k] for k in range(len(x))], 1), x
        )
        directions = [*np.eye(len(x)), np.ones(len(x)), np.asarray([1.0, -2.0, 3.0])[: len(x)]]
        found = np.asarray([slopes(steps, x, direction) for direction in directions])
        smooth += np.allclose(found[:, 0], found[:, 1], atol=1e-9)
        if proof.verdict == "proved right":
            proved += 1
            expected = np.stack([np.asarray(directions) @ proof.value] * 2, axis=1)
            np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=f"{seed}: {steps} {x}")
    assert proved > 0.6 * smooth > 0.3 * 400
    assert smooth < 0.9 * 400  # many have a tie
