"""Functions with known slopes that are drawn anew for every seed: nothing is developed on them.

They share no family with `slopes`: algorithms, losses, special functions and random programs
instead of elementary functions, and other scales, noises, kinks and edges, at points drawn at
random.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.random import Generator

from .random_programs import random_program
from .slopes import KnownSlope, plain

PROGRAMS = 60


def held_out_slopes(seed: int) -> tuple[KnownSlope, ...]:
    """Return at least 500 slopes; their names say where each was taken."""
    return tuple(
        slope
        for position, family in enumerate(FAMILIES)
        for slope in family(np.random.default_rng([seed, position]))
    )


def uniform(generator: Generator, low: float, high: float, count: int) -> list[float]:
    return [float(x) for x in generator.uniform(low, high, count)]


def log_uniform(generator: Generator, low: float, high: float, count: int) -> list[float]:
    return [float(x) for x in 10 ** generator.uniform(low, high, count)]


def algorithms(generator: Generator) -> Iterator[KnownSlope]:
    """Loops, series, recurrences and solvers, whose derivative is known in closed form."""
    for x in log_uniform(generator, -3, 3, 6):
        yield plain(f"Newton root of {x:.6g}", _newton_root, x, 0.5 / math.sqrt(x), precise=True)
        yield plain(f"AGM-free log of {x:.6g}", _series_log, x, 1 / x, precise=True)
    for x in uniform(generator, -2, 2, 6):
        yield plain(f"Taylor exp at {x:.6g}", _taylor_exp, x, math.exp(x), precise=True)
        yield plain(f"Simpson of sin to {x:.6g}", _simpson_of_sine, x, math.sin(x), precise=True)
        yield plain(
            f"Chebyshev T9 at {x:.6g}",
            lambda x: _chebyshev(9, x),
            x,
            _chebyshev_slope(9, x),
            precise=True,
        )
        yield plain(
            f"Horner at {x:.6g}",
            lambda x: float(np.polyval([3, -1, 4, 1, -5, 9, 2], x)),
            x,
            float(np.polyval([18, -5, 16, 3, -10, 9], x)),
            precise=True,
        )
    for x in uniform(generator, 0.1, 0.9, 6):
        yield plain(f"logistic map at {x:.6g}", _logistic_map, x, _logistic_map_slope(x))
        yield plain(
            f"Kepler at {x:.6g}", _kepler, x, 1 / (1 - 0.4 * math.cos(_kepler(x))), precise=True
        )
        w = _lambert(x)
        yield plain(f"Lambert W at {x:.6g}", _lambert, x, w / (x * (1 + w)), precise=True)
        yield plain(
            f"geometric sum at {x:.6g}",
            lambda x: sum(x**k for k in range(40)),
            x,
            sum(k * x ** (k - 1) for k in range(1, 40)),
            precise=True,
        )
    for x in uniform(generator, 0.2, 6, 5):
        yield plain(f"log gamma at {x:.6g}", math.lgamma, x, _digamma(x), precise=True)
        yield plain(f"x**x at {x:.6g}", lambda x: x**x, x, x**x * (math.log(x) + 1), precise=True)
        yield plain(
            f"Gompertz at {x:.6g}",
            lambda x: math.exp(-3 * math.exp(-x)),
            x,
            3 * math.exp(-x - 3 * math.exp(-x)),
            precise=True,
        )
        yield plain(
            f"Planck at {x:.6g}",
            lambda x: x**3 / math.expm1(x),
            x,
            3 * x**2 / math.expm1(x) - x**3 * math.exp(x) / math.expm1(x) ** 2,
            precise=True,
        )
        yield plain(
            f"Lennard-Jones at {x:.6g}",
            lambda r: 4 * (r**-12 - r**-6),
            x,
            4 * (-12 * x**-13 + 6 * x**-7),
            precise=True,
        )


def _newton_root(x: float) -> float:
    y = max(x, 1.0)
    for _ in range(60):
        y = (y + x / y) / 2
    return y


def _series_log(x: float) -> float:
    """Sum 2 artanh((m - 1) / (m + 1)) for x = m 2**e."""
    mantissa, exponent = math.frexp(x)
    z = (mantissa - 1) / (mantissa + 1)
    return exponent * math.log(2) + 2 * sum(z**k / k for k in range(1, 60, 2))


def _taylor_exp(x: float) -> float:
    total = term = 1.0
    for k in range(1, 40):
        term *= x / k
        total += term
    return total


def _simpson_of_sine(x: float) -> float:
    nodes = np.linspace(0, x, 2001)
    weights = np.full(2001, 2.0)
    weights[1::2] = 4
    weights[[0, -1]] = 1
    return float(weights @ np.sin(nodes)) * x / 6000


def _chebyshev(n: int, x: float) -> float:
    before, now = 1.0, x
    for _ in range(n - 1):
        before, now = now, 2 * x * now - before
    return now


def _chebyshev_slope(n: int, x: float) -> float:
    coefficients = np.polynomial.chebyshev.chebder([0] * n + [1])
    return float(np.polynomial.chebyshev.chebval(x, coefficients))


def _logistic_map(x: float) -> float:
    for _ in range(8):
        x = 3.7 * x * (1 - x)
    return x


def _logistic_map_slope(x: float) -> float:
    slope = 1.0
    for _ in range(8):
        slope *= 3.7 * (1 - 2 * x)
        x = 3.7 * x * (1 - x)
    return slope


def _kepler(mean_anomaly: float) -> float:
    e = mean_anomaly
    for _ in range(50):
        e -= (e - 0.4 * math.sin(e) - mean_anomaly) / (1 - 0.4 * math.cos(e))
    return e


def _lambert(x: float) -> float:
    w = math.log1p(x)
    for _ in range(50):
        w -= (w * math.exp(w) - x) / (math.exp(w) * (w + 1))
    return w


def _digamma(x: float) -> float:
    shift = 0.0
    while x < 20:
        shift -= 1 / x
        x += 1
    tail = 1 / (12 * x**2) - 1 / (120 * x**4) + 1 / (252 * x**6) - 1 / (240 * x**8)
    return shift + math.log(x) - 1 / (2 * x) - tail


def losses(generator: Generator) -> Iterator[KnownSlope]:
    """Yield what is minimised in practice, with gradients written out."""
    for size in (2, 17, 400, 3000):
        x, y = generator.normal(size=(2, size))
        v = generator.choice([-1.0, 1.0], size)

        def case(
            name: str,
            f: Any,
            gradient: np.ndarray,
            precise: bool = True,
            x: np.ndarray = x,
            v: np.ndarray = v,
            size: int = size,
        ) -> KnownSlope:
            truth = math.fsum(gradient * v)
            return KnownSlope(f"{name} of {size}", f, x, v, truth, truth, precise)

        error = x - y
        yield case(
            "mean squared error", lambda x, y=y: float(np.mean((x - y) ** 2)), 2 * error / size
        )
        yield case("variance", lambda x: float(np.var(x)), 2 * (x - x.mean()) / size)
        yield case(
            "Cauchy likelihood",
            lambda x, y=y: float(np.log1p((x - y) ** 2).sum()),
            2 * error / (1 + error**2),
        )
        yield case(
            "Poisson likelihood", lambda x, y=y: float((np.exp(x) - y * x).sum()), np.exp(x) - y
        )
        yield case(
            "logistic likelihood",
            lambda x, y=y: float(np.logaddexp(0, -np.sign(y) * x).mean()),
            -np.sign(y) / (1 + np.exp(np.sign(y) * x)) / size,
        )
        yield case(
            "Student likelihood",
            lambda x: float(2.5 * np.log1p(x**2 / 4).sum()),
            5 * x / (4 + x**2),
        )
        yield case(
            "cosine similarity",
            lambda x, y=y: float(x @ y / np.sqrt((x @ x) * (y @ y))),
            y / np.sqrt((x @ x) * (y @ y)) - x * (x @ y) / np.sqrt((x @ x) ** 3 * (y @ y)),
        )
        p = np.exp(x) / np.exp(x).sum()
        entropy = -float((p * np.log(p)).sum())
        yield case("entropy of softmax", _softmax_entropy, -p * (np.log(p) + entropy))
        yield case(
            "Huber loss",
            lambda x, y=y: float(
                np.where(abs(x - y) < 1, (x - y) ** 2 / 2, abs(x - y) - 0.5).sum()
            ),
            np.clip(error, -1, 1),
            precise=False,
        )
        yield case("L1 loss", lambda x, y=y: float(abs(x - y).sum()), np.sign(error), precise=False)
        yield case(
            "hinge loss",
            lambda x, y=y: float(np.maximum(0, 1 - np.sign(y) * x).mean()),
            np.where(np.sign(y) * x < 1, -np.sign(y), 0) / size,
            precise=False,
        )
        yield case("largest", lambda x: float(x.max()), (x == x.max()).astype(float), precise=False)
        yield case(
            "median-like", lambda x: float(np.sort(x)[len(x) // 3]), _sorted_unit(x), precise=False
        )
    for number in range(4):
        yield from _networks(generator, number)
        yield from _matrices(generator, number)


def _softmax_entropy(x: np.ndarray) -> float:
    p = np.exp(x - x.max())
    p /= p.sum()
    return -float((p * np.log(p)).sum())


def _sorted_unit(x: np.ndarray) -> np.ndarray:
    unit = np.zeros(len(x))
    unit[np.argsort(x)[len(x) // 3]] = 1.0
    return unit


def _networks(generator: Generator, number: int) -> Iterator[KnownSlope]:
    """Two-layer networks, their gradients by hand."""
    for activation in ("tanh", "relu"):
        for deviation in (0.01, 1.0):
            w1, w2 = (
                deviation * generator.normal(size=(6, 8)),
                deviation * generator.normal(size=(8, 3)),
            )
            params = {"W1": w1, "W2": w2, "b1": np.zeros(8)}
            inputs, targets = generator.normal(size=(20, 6)), generator.normal(size=(20, 3))
            tangent = {
                name: generator.choice([-1.0, 1.0], leaf.shape) for name, leaf in params.items()
            }

            def f(
                p: Any,
                inputs: np.ndarray = inputs,
                targets: np.ndarray = targets,
                activation: str = activation,
            ) -> float:
                hidden = inputs @ p["W1"] + p["b1"]
                hidden = np.tanh(hidden) if activation == "tanh" else np.maximum(hidden, 0)
                return float(((hidden @ p["W2"] - targets) ** 2).mean())

            before = inputs @ w1
            hidden = np.tanh(before) if activation == "tanh" else np.maximum(before, 0)
            slope = 1 - hidden**2 if activation == "tanh" else (before > 0).astype(float)
            error = 2 * (hidden @ w2 - targets) / targets.size
            back = (error @ w2.T) * slope
            gradient = {"W1": inputs.T @ back, "W2": hidden.T @ error, "b1": back.sum(0)}
            truth = math.fsum(
                math.fsum((gradient[name] * tangent[name]).ravel()) for name in sorted(gradient)
            )
            yield KnownSlope(
                f"{activation} network {deviation:g} number {number}",
                f,
                params,
                tangent,
                truth,
                truth,
                precise=activation == "tanh",
            )


def _matrices(generator: Generator, number: int) -> Iterator[KnownSlope]:
    a = generator.normal(size=(5, 5)) + 5 * np.eye(5)
    v = generator.normal(size=(5, 5))
    b = generator.normal(size=5)
    inverse = np.linalg.inv(a)
    solution = inverse @ b

    def case(name: str, f: Any, gradient: np.ndarray) -> KnownSlope:
        truth = math.fsum((gradient * v).ravel())
        return KnownSlope(f"{name} number {number}", f, a, v, truth, truth, precise=True)

    yield case("determinant", lambda a: float(np.linalg.det(a)), np.linalg.det(a) * inverse.T)
    yield case("log determinant", lambda a: float(np.linalg.slogdet(a)[1]), inverse.T)
    yield case(
        "trace of inverse", lambda a: float(np.trace(np.linalg.inv(a))), -(inverse @ inverse).T
    )
    yield case("Frobenius norm", lambda a: float(np.linalg.norm(a)), a / np.linalg.norm(a))
    yield case(
        "linear system",
        lambda a: float(np.linalg.solve(a, b).sum()),
        -np.outer(inverse.T @ np.ones(5), solution),
    )
    yield case("cubic trace", lambda a: float(np.trace(a @ a @ a)), 3 * (a @ a).T)


def units(generator: Generator) -> Iterator[KnownSlope]:
    """Physics in SI units: the sizes of inputs and outputs are far from 1."""
    light, planck, boltzmann, gravity = 2.998e8, 6.626e-34, 1.381e-23, 6.674e-11
    for wavelength in log_uniform(generator, -9, -1, 6):
        yield plain(
            f"photon energy at {wavelength:.5e} m",
            lambda x: planck * light / x,
            wavelength,
            -planck * light / wavelength**2,
            precise=True,
        )
    for distance in log_uniform(generator, 6, 13, 6):
        yield plain(
            f"gravity at {distance:.5e} m",
            lambda r: -gravity * 5.97e24 * 7.35e22 / r,
            distance,
            gravity * 5.97e24 * 7.35e22 / distance**2,
            precise=True,
        )
    for temperature in log_uniform(generator, 1, 4, 6):
        energy = 1.6e-20
        yield plain(
            f"Boltzmann factor at {temperature:.3f} K",
            lambda t, energy=energy: math.exp(-energy / (boltzmann * t)),
            temperature,
            energy / (boltzmann * temperature**2) * math.exp(-energy / (boltzmann * temperature)),
            precise=True,
        )
    for x in log_uniform(generator, -12, -6, 6):
        yield plain(
            f"diode at {x:.5e} V",
            lambda v: 1e-12 * math.expm1(v / 0.02585),
            x,
            1e-12 / 0.02585 * math.exp(x / 0.02585),
        )
    mixed: dict[str, Any] = {
        "mass": 9.1e-31,
        "speed": np.array([1.2e6, -3e5, 4e5]),
        "field": (1e-4, 5e3),
    }
    tangent: dict[str, Any] = {
        "mass": 1e-31,
        "speed": np.array([1e5, 1e5, -1e5]),
        "field": (1e-5, -1e2),
    }

    def lagrangian(p: Any) -> float:
        kinetic = 0.5 * p["mass"] * float(p["speed"] @ p["speed"])
        electric, magnetic = p["field"][1], p["field"][0] * p["speed"].sum()
        return float(kinetic - 1.6e-19 * (electric - magnetic))

    speed = mixed["speed"]
    truth = (
        0.5 * 1e-31 * float(speed @ speed)
        + 9.1e-31 * float(speed @ tangent["speed"])
        - 1.6e-19 * (-1e2 - 1e-5 * float(speed.sum()) - 1e-4 * float(tangent["speed"].sum()))
    )
    yield KnownSlope("electron in a field", lagrangian, mixed, tangent, truth, truth, precise=True)


def imprecise(generator: Generator) -> Iterator[KnownSlope]:
    """Yield truncated computations, low precision, cancellation, noise that is fixed."""
    for x in uniform(generator, 0.2, 3, 5):
        yield plain(
            f"float32 polynomial at {x:.6g}", _float32_polynomial, x, 1.5 * x**2 - 4 * x + 1
        )
        yield plain(
            f"float32 sum at {x:.6g}",
            lambda x: float(np.exp(np.full(50, np.float32(x)) * FLOAT32_GRID).mean()),
            x,
            float((FLOAT32_GRID.astype(float) * np.exp(x * FLOAT32_GRID.astype(float))).mean()),
        )
        yield plain(
            f"float16 square at {x:.6g}", lambda x: float(np.float16(x) * np.float16(x)), x, 2 * x
        )
        yield plain(f"bisection to 1e-7 at {x:.6g}", _bisected_cube_root, x, 1 / (3 * x ** (2 / 3)))
        yield plain(
            f"big minus big at {x:.6g}",
            lambda x: (x + 1e6) ** 3 - 1e18 - 3e12 * x,
            x,
            3 * ((x + 1e6) ** 2 - 1e12),
        )
        yield plain(
            f"(1 - cos x) / x**2 at {x / 1e3:.6g}",
            lambda x: (1 - math.cos(x)) / x**2,
            x / 1e3,
            -(x / 1e3) / 12,
        )
        yield plain(
            f"printed to 5 digits at {x:.6g}", lambda x: float(f"{math.log(x):.5g}"), x, 1 / x
        )
        yield plain(
            f"noise of a dot product at {x:.6g}",
            lambda x: float(RANDOM @ np.cos(x * GRID)),
            x,
            -math.fsum(RANDOM * GRID * np.sin(x * GRID)),
        )
        yield plain(
            f"table of noise at {x:.6g}",
            lambda x: math.tanh(x) + 1e-5 * RANDOM[int(abs(x) * 2**40) % len(RANDOM)],
            x,
            1 / math.cosh(x) ** 2,
        )
        yield plain(
            f"seconds since 1970 at {x:.6g}",
            lambda t: math.exp(-((t - 1.7e9) ** 2)),
            1.7e9 + x,
            -2 * ((1.7e9 + x) - 1.7e9) * math.exp(-(((1.7e9 + x) - 1.7e9) ** 2)),
        )


FLOAT32_GRID = np.linspace(-1, 1, 50, dtype=np.float32)
RANDOM = np.random.default_rng(5).normal(size=997)
GRID = np.linspace(0, 30, 997)


def _float32_polynomial(x: float) -> float:
    y = np.float32(x)
    return float(y * y * y * np.float32(0.5) - np.float32(2) * y * y + y)


def _bisected_cube_root(x: float) -> float:
    low, high = 0.0, 4.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if middle**3 < x else (low, middle)
    return (low + high) / 2


def _leaky(x: float) -> float:
    return max(x, 0.1 * x)


def borders(generator: Generator) -> Iterator[KnownSlope]:
    """Kinks, jumps and edges at all distances, in several parameters at once."""
    for d in log_uniform(generator, -12, -1, 24):
        for sign in (-1.0, 1.0):
            yield plain(
                f"leaky relu of exp {sign * d:.5e} away",
                lambda x, s=sign * d: _leaky(math.exp(x) - (math.exp(0.4) - s)),
                0.4,
                math.exp(0.4) * (1.0 if sign > 0 else 0.1),
            )
            yield plain(
                f"soft threshold {sign * d:.5e} away",
                lambda x, c=2 - sign * d: math.copysign(max(abs(x) - c, 0.0), x),
                2.0,
                1.0 if sign > 0 else 0.0,
            )
            x = 5.0 + sign * d
            yield plain(
                f"triangle wave {sign * d:.5e} away",
                lambda x: abs(x / 2 - math.floor(x / 2 + 0.5)) * 3,
                x,
                -1.5 if sign > 0 else 1.5,
            )
            yield plain(
                f"two kinks {sign * d:.5e} around",
                lambda x, d=d: abs(x - 1 - d) + abs(x - 1 + d) + math.cos(x),
                1.0,
                -math.sin(1),
            )
            yield plain(
                f"rounding plus square {sign * d:.5e} away",
                lambda x: round(x) + x * x,
                0.5 + sign * d,
                1 + 2 * sign * d,
            )
            yield plain(
                f"argument of log {d:.5e} left, sign {sign:g}",
                lambda x, c=1 - sign * d, s=sign: math.log(s * (x - c)),
                1.0,
                sign / ((1.0 - (1 - sign * d)) * sign),
            )
            vector = np.array([0.3, -2.0, 1.0 + sign * d])
            yield KnownSlope(
                f"largest of three {sign * d:.5e} apart",
                lambda p: max(float(p[2]), 0.5 - float(p[1]) / 4),
                vector,
                np.array([1.0, -1.0, 1.0]),
                1.0 if sign > 0 else 0.25,
                1.0 if sign > 0 else 0.25,
            )
    for slopes in ((-3.0, 1e-3), (0.0, 5.0), (1.0, 1.0 + 1e-6), (-1e8, 1e8)):
        low, high = slopes
        for center in (0.0, 1.0, -1e6):
            yield KnownSlope(
                f"kink of {slopes} at {center:g}",
                _kink(low, high, center),
                center,
                1.0,
                low,
                high,
            )


def programs(generator: Generator) -> Iterator[KnownSlope]:
    """Random programs along random directions, at kinks and away from them."""
    for seed in generator.integers(2**32, size=PROGRAMS):
        program = random_program(int(seed))
        pairs = [
            generator.choice([-1.0, 1.0], leaf.shape) for leaf in program.leaves(program.params)
        ]
        right = program.slope(program.tree(pairs))
        left = -program.slope(program.tree([-leaf for leaf in pairs]))
        yield KnownSlope(
            f"random program {seed}",
            program.f,
            program.params,
            program.tree(pairs),
            min(left, right),
            max(left, right),
        )


def _kink(low: float, high: float, center: float) -> Callable[[float], float]:
    return lambda x: max(low * (x - center), high * (x - center))


FAMILIES = (algorithms, losses, units, imprecise, borders, programs)
