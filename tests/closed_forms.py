"""Functions of two numbers of all sizes, and their exact gradients in balls of many bits."""

import math

import numpy as np
import pytest
from array_api_compat import array_namespace as xp_of

flint = pytest.importorskip("flint")


def arb(x):
    return flint.arb(float(x))


CLOSED = {
    "product": (lambda x: x[0] * x[1], lambda a, b: (b, a)),
    "quotient": (lambda x: x[0] / x[1], lambda a, b: (1 / b, -a / (b * b))),
    "exp": (lambda x: xp_of(x).exp(x[0] - x[1]), lambda a, b: ((a - b).exp(), -(a - b).exp())),
    "log": (
        lambda x: xp_of(x).log(x[0] * x[0] + x[1] * x[1]),
        lambda a, b: (2 * a / (a * a + b * b), 2 * b / (a * a + b * b)),
    ),
    "cancelled": (
        lambda x: (1 + x[0] * x[0]) - 1 + x[1],
        lambda a, b: (2 * a, flint.arb(1)),
    ),
    "norm": (
        lambda x: xp_of(x).linalg.vector_norm(x),
        lambda a, b: (a / (a * a + b * b).sqrt(), b / (a * a + b * b).sqrt()),
    ),
    "hypot": (
        lambda x: xp_of(x).hypot(x[0], x[1]),
        lambda a, b: (a / (a * a + b * b).sqrt(), b / (a * a + b * b).sqrt()),
    ),
    "larger": (
        lambda x: xp_of(x).maximum(x[0], 3 * x[1]),
        lambda a, b: (flint.arb(int(a > 3 * b)), flint.arb(3 * int(a < 3 * b))),
    ),
    "power": (lambda x: x[0] ** 3 + x[1] ** -2, lambda a, b: (3 * a * a, -2 / (b * b * b))),
    "tanh": (
        lambda x: xp_of(x).tanh(x[0]) * x[1],
        lambda a, b: (b * a.sech() ** 2, a.tanh()),
    ),
}
SIZES = (1e-300, 1e-150, 1e-20, 1e-8, 0.3, 1.0, 7.0, 1e4, 1e9, 1e30, 1e150, 1e300)


def closed_cases(seed):
    rng = np.random.default_rng(seed)
    for name, (f, slopes) in CLOSED.items():
        for size in SIZES:
            for _ in range(3):
                x = size * rng.uniform(0.5, 1.5, 2)
                if name == "larger":
                    x[1] = np.nextafter(x[0] / 3, math.inf * rng.choice([-1, 1]))
                yield name, f, slopes, x


def judged(proof, slopes, x):
    """Yield whether each ball holds the exact derivative, and whether to 15 digits."""
    with flint.ctx.workprec(4000):
        for ball, exact in zip(proof.enclosures, slopes(arb(x[0]), arb(x[1])), strict=True):
            precise = proof.digits >= 15 and ball.rad() <= 1e-15 * abs(exact).mid()
            yield bool(ball.overlaps(exact)), bool(precise)
