"""Functions that nobody can differentiate, for the tests and a benchmark, before the judge."""

import math
import zlib
from collections.abc import Callable

import numpy as np

from gradparity.compare import Verdict, check_gradient

FACTORS = {"right": 1.0, "-g": -1.0, "0": 0.0, "2g": 2.0, "100g": 100.0}
Scalar = Callable[[np.ndarray], float]


def judged(count: int, seed: int) -> list[str]:
    """Return the functions and factors whose wrong gradient is called right."""
    found = []
    for number in range(count):
        name, f, x, gradient = noisy(number, seed)
        for factor, times in FACTORS.items():
            check = check_gradient(f, x, gradient=times * gradient, seed=number)
            if check.verdict is Verdict.AGREE and times != 1:
                found.append(f"{name} {number} × {factor}: {check.reason}")
    return found


def noisy(number: int, seed: int) -> tuple[str, Scalar, np.ndarray, np.ndarray]:
    """Return a function of one of eight kinds, its point, and the gradient of what is under it."""
    rng = np.random.default_rng([seed, number])
    x = rng.normal(size=int(rng.integers(1, 20)))
    weights, size = rng.normal(size=x.size), 10.0 ** rng.uniform(-4, 1)
    draws = np.random.default_rng([seed, number, 1])

    def smooth(p: np.ndarray) -> float:
        return float(np.sum(weights * np.tanh(p)) + np.sum(p**2) / 2)

    def chaotic(p: np.ndarray) -> float:
        state = 0.5 + 0.4 * math.sin(smooth(p))
        for _ in range(80):
            state = 3.99 * state * (1 - state)
        return state

    def hashed(p: np.ndarray) -> float:
        return zlib.crc32(np.ascontiguousarray(p).tobytes()) / 2**32

    def dropped(p: np.ndarray) -> float:
        return smooth(p * (draws.random(p.size) < 0.8) / 0.8)

    kinds: dict[str, Scalar] = {
        "additive noise": lambda p: smooth(p) + size * draws.normal(),
        "multiplied noise": lambda p: smooth(p) * (1 + size * draws.normal()),
        "moved point": lambda p: smooth(p + size * draws.normal(size=p.size)),
        "Monte Carlo": lambda p: float(np.mean([smooth(p + draws.normal(size=p.size)), 0.0])),
        "dropout": dropped,
        "hash": lambda p: smooth(p) + size * hashed(p),
        "hash of a hash": lambda p: size * math.sin(1e6 * hashed(p)),
        "chaos": lambda p: size * chaotic(p),
    }
    name = list(kinds)[number % len(kinds)]
    gradient = weights / np.cosh(x) ** 2 + x
    return name, kinds[name], x, gradient
