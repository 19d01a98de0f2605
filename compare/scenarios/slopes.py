"""Functions with known slopes, on which error bars were developed.

Each family is a generator of cases; the truth is a closed form, evaluated apart from f.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class KnownSlope:
    """A function, a point, a direction, and what the derivative is there.

    low, high: the one-sided derivatives in ascending order, equal where there is a derivative
    precise: f is smooth on the scale of x and evaluated to about full precision, so that a short
    bar can be asked for
    """

    name: str
    f: Callable[[Any], Any]
    x: Any
    tangent: Any
    low: float
    high: float
    precise: bool = False


def plain(name: str, f: Any, x: float, truth: float, *, precise: bool = False) -> KnownSlope:
    return KnownSlope(name, f, float(x), 1.0, truth, truth, precise)


# name: (function, derivative, points)
ELEMENTARY: dict[str, tuple[Any, Any, tuple[float, ...]]] = {
    "sin": (math.sin, math.cos, (-30.0, -2.0, 1e-6, 0.1, 1.0, 3.0, 12.3, 100.0)),
    "cos": (math.cos, lambda x: -math.sin(x), (-7.0, 1e-3, 0.5, 2.0, 50.0)),
    "tan": (math.tan, lambda x: 1 / math.cos(x) ** 2, (-1.2, 1e-4, 0.7, 1.5, 1.57)),
    "exp": (math.exp, math.exp, (-600.0, -20.0, -1.0, 1e-8, 0.3, 1.0, 30.0, 300.0, 700.0)),
    "expm1": (math.expm1, math.exp, (-3.0, 1e-10, 1e-5, 0.1, 5.0)),
    "log": (math.log, lambda x: 1 / x, (1e-300, 1e-12, 1e-5, 0.1, 3.0, 1e4, 1e12, 1e300)),
    "log1p": (math.log1p, lambda x: 1 / (1 + x), (-0.999, -0.5, 1e-9, 0.2, 40.0)),
    "sqrt": (math.sqrt, lambda x: 0.5 / math.sqrt(x), (1e-200, 1e-10, 0.01, 2.0, 1e8)),
    "cbrt": (np.cbrt, lambda x: 1 / (3 * np.cbrt(x) ** 2), (-8.0, -1e-6, 1e-9, 0.3, 1e5)),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, (-3.0, 1e-150, 1e-7, 0.2, 1e6)),
    "square": (lambda x: x * x, lambda x: 2 * x, (-1e3, 1e-8, 0.7, 3.0, 1e120)),
    "cube": (lambda x: x**3, lambda x: 3 * x**2, (-5.0, 1e-5, 0.4, 1e4)),
    "x**50": (lambda x: x**50, lambda x: 50 * x**49, (0.1, 0.9, 1.1, 10.0)),
    "x**-20": (lambda x: x**-20, lambda x: -20 * x**-21, (0.5, 1.0, 3.0)),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2, (-2.0, 1e-4, 0.5, 3.0, 6.0)),
    "sinh": (math.sinh, math.cosh, (-10.0, 1e-6, 1.0, 100.0)),
    "atan": (math.atan, lambda x: 1 / (1 + x * x), (-3.0, 1e-3, 1.0, 50.0, 1e5)),
    "asin": (math.asin, lambda x: 1 / math.sqrt(1 - x * x), (-0.9, 1e-5, 0.5, 0.99)),
    "acosh": (math.acosh, lambda x: 1 / math.sqrt(x * x - 1), (1.01, 2.0, 30.0)),
    "sigmoid": (
        lambda x: 1 / (1 + math.exp(-x)),
        lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2,
        (-30.0, -5.0, 1e-3, 0.5, 4.0, 15.0),
    ),
    "softplus": (
        lambda x: math.log1p(math.exp(x)),
        lambda x: 1 / (1 + math.exp(-x)),
        (-40.0, -3.0, 1e-3, 2.0, 30.0),
    ),
    "gauss": (
        lambda x: math.exp(-x * x),
        lambda x: -2 * x * math.exp(-x * x),
        (0.01, 0.7, 3.0, 8.0),
    ),
    "erf": (
        math.erf,
        lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x),
        (-1.0, 1e-6, 0.3, 2.0, 4.0),
    ),
    "runge": (
        lambda x: 1 / (1 + 25 * x * x),
        lambda x: -50 * x / (1 + 25 * x * x) ** 2,
        (-1.0, 0.01, 0.2, 1.0, 30.0),
    ),
    "polynomial": (
        lambda x: ((2 * x - 3) * x + 1) * x**3 - 7,
        lambda x: 10 * x**4 - 12 * x**3 + 3 * x**2,
        (-2.0, 0.01, 0.5, 1.7, 50.0),
    ),
    "x log x": (lambda x: x * math.log(x), lambda x: math.log(x) + 1, (1e-8, 0.1, 2.0, 1e5)),
    "sinc": (
        lambda x: math.sin(x) / x,
        lambda x: math.cos(x) / x - math.sin(x) / x**2,
        (0.1, 1.0, 20.0),
    ),
    "10**x": (lambda x: 10.0**x, lambda x: math.log(10) * 10.0**x, (-3.0, 0.5, 7.0, 100.0)),
}


def elementary() -> Iterator[KnownSlope]:
    for name, (f, derivative, points) in ELEMENTARY.items():
        for x in points:
            yield plain(f"{name} at {x:g}", f, x, float(derivative(x)), precise=True)


def scaled() -> Iterator[KnownSlope]:
    """Yield the same functions with inputs and outputs in other units."""
    for name in ("sin", "exp", "atan", "runge", "sigmoid", "polynomial"):
        f, derivative, _ = ELEMENTARY[name]
        for exponent in (-150, -9, -4, 3, 8, 100):
            a = 10.0**exponent
            x = 0.7 / a
            yield plain(
                f"{name}({a:g} x)",
                lambda x, f=f, a=a: f(a * x),
                x,
                float(a * derivative(a * x)),
                precise=True,
            )
        for size in (1e-200, 1e-9, 1e9, 1e200):
            yield plain(
                f"{size:g} {name}",
                lambda x, f=f, size=size: size * f(x),
                0.7,
                size * derivative(0.7),
                precise=True,
            )


def oscillating() -> Iterator[KnownSlope]:
    """Yield functions about whose scale that of x says little."""
    for frequency in (30.0, 1e2, 1e3, 1e4, 1e5, 1e6, 2.0**20, 2 * math.pi * 2**12):
        for x in (0.3, 1.0, 5.0):
            yield plain(
                f"sin({frequency:g} x) at {x:g}",
                lambda x, k=frequency: math.sin(k * x),
                x,
                frequency * math.cos(frequency * x),
            )
    for shift in (1e3, 1e5, 1e7, 1e8):
        yield plain(f"sin at {shift:g}", math.sin, shift, math.cos(shift))
        yield plain(
            f"exp(x - {shift:g})", lambda x, s=shift: math.exp(x - s), shift + 0.5, math.exp(0.5)
        )
        yield plain(f"atan(x - {shift:g})", lambda x, s=shift: math.atan(x - s), shift + 0.5, 0.8)
    for steepness in (50.0, 100.0, 500.0):
        yield plain(
            f"exp({steepness:g} x)",
            lambda x, k=steepness: math.exp(k * x),
            1.0,
            steepness * math.exp(steepness),
            precise=True,
        )
    yield plain("exp(-1/x)", lambda x: math.exp(-1 / x), 0.02, math.exp(-50) / 0.02**2)
    yield plain("chirp", lambda x: math.sin(1 / x), 0.01, -1e4 * math.cos(100.0))


def offset() -> Iterator[KnownSlope]:
    for constant in (1.0, 1e3, 1e6, 1e10, -1e10, 1e13):
        for x in (0.1, 1.0, 5.0):
            yield plain(
                f"{constant:g} + sin at {x:g}",
                lambda x, c=constant: c + math.sin(x),
                x,
                math.cos(x),
            )
            yield plain(
                f"({constant:g} + exp) - {constant:g} at {x:g}",
                lambda x, c=constant: (c + math.exp(x)) - c,
                x,
                math.exp(x),
            )


def hashed(x: float) -> float:
    """Return a number in -0.5...0.5 that x determines but that looks random."""
    bits = int(np.float64(x).view(np.uint64)) * 0x9E3779B97F4A7C15 % 2**64
    bits = (bits ^ bits >> 31) * 0xBF58476D1CE4E5B9 % 2**64
    return (bits >> 11) / 2**53 - 0.5


def single(x: float) -> float:
    return float(np.sin(np.float32(x)) * np.exp(np.float32(x) / np.float32(3)))


def single_derivative(x: float) -> float:
    return math.exp(x / 3) * (math.cos(x) + math.sin(x) / 3)


def noisy() -> Iterator[KnownSlope]:
    for x in (0.01, 0.3, 1.0, 2.0, 7.0):
        for amplitude in (1e-13, 1e-10, 1e-6, 1e-3):
            yield plain(
                f"sin + {amplitude:g} hash at {x:g}",
                lambda x, a=amplitude: math.sin(x) + a * hashed(x),
                x,
                math.cos(x),
            )
        yield plain(f"float32 at {x:g}", single, x, single_derivative(x))
        yield plain(
            f"float32 + 100 at {x:g}",
            lambda x: float(np.float32(100) + np.sin(np.float32(x))),
            x,
            math.cos(x),
        )
        for digits in (4, 6, 9):
            yield plain(
                f"exp to {digits} digits at {x:g}",
                lambda x, d=digits: round(math.exp(x), d),
                x,
                math.exp(x),
            )
        for frequency in (1e8, 1e10):
            # The ripple is noise for most purposes, so both derivatives have to be covered.
            with_ripple = math.cos(x) + 1e-6 * frequency * math.cos(frequency * x)
            low, high = sorted((math.cos(x), with_ripple))
            name = f"sin with ripple {frequency:g} at {x:g}"
            yield KnownSlope(name, _with_ripple(frequency), x, 1.0, low, high)


def _with_ripple(frequency: float) -> Callable[[float], float]:
    return lambda x: math.sin(x) + 1e-6 * math.sin(frequency * x)


def at_edges() -> Iterator[KnownSlope]:
    """Close to where a function ends or is singular."""
    for k in (3, 8, 15, 20, 26, 30, 36):
        d = 2.0**-k
        yield plain(
            f"sqrt(x - 1) 2^-{k} above 1", lambda x: math.sqrt(x - 1), 1 + d, 0.5 / math.sqrt(d)
        )
        yield plain(f"log(1 - x) 2^-{k} below 1", lambda x: math.log(1 - x), 1 - d, -1 / d)
        yield plain(f"asin 2^-{k} below 1", math.asin, 1 - d, 1 / math.sqrt((2 - d) * d))
        yield plain(f"1/(x - 3) 2^-{k} above 3", lambda x: 1 / (x - 3), 3 + d, -1 / d**2)
        yield plain(
            f"(x - 1)**1.5 2^-{k} above 1", lambda x: (x - 1) ** 1.5, 1 + d, 1.5 * math.sqrt(d)
        )
        yield plain(f"acosh 2^-{k} above 1", math.acosh, 1 + d, 1 / math.sqrt(d * (2 + d)))
        yield plain(
            f"numpy log 2^-{k} above 0",
            lambda x: float(np.log(np.float64(x))),
            d,
            1 / d,
            precise=True,
        )
    for power in (1.5, 2.5, 1.25):
        yield plain(f"x**{power:g} at 0", lambda x, p=power: x**p, 0.0, 0.0)
    yield plain("x sqrt(x) + 3 x at 0", lambda x: x * math.sqrt(x) + 3 * x, 0.0, 3.0)
    yield plain("(1 - x)**1.5 at 1", lambda x: (1 - x) * math.sqrt(1 - x), 1.0, 0.0)
    yield plain(
        "sin below 1, NaN above", lambda x: math.sin(x) if x <= 1 else math.nan, 1.0, math.cos(1)
    )
    yield plain("exp above 0, error below", _exp_of_positive, 0.0, 1.0)
    yield plain("float64 power of negatives", lambda x: x**2.5 + x, 1e-3, 2.5 * 1e-3**1.5 + 1)


def _exp_of_positive(x: float) -> float:
    if x < 0:
        raise ValueError("negative")
    return math.exp(x)


DISTANCES = (0.3, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)


def near_kinks() -> Iterator[KnownSlope]:
    """Yield a kink or a jump on one side of x, at a distance relative to x."""
    for x in (1.0, -3.7, 0.02, 4e5):
        for d in DISTANCES:
            for side in (1, -1):
                c = x + side * d * abs(x)
                away = float(np.sign(x - c))
                name = f"{d:g} {'right' if side > 0 else 'left'} of {x:g}"
                yield plain(f"|x - c| {name}", lambda x, c=c: abs(x - c), x, away)
                yield plain(
                    f"|x - c| + sin {name}",
                    lambda x, c=c: abs(x - c) + math.sin(x),
                    x,
                    away + math.cos(x),
                )
    for d in DISTANCES:
        for side in (1, -1):
            c = 1 + side * d
            right = 1.0 > c
            name = f"{d:g} {'right' if side > 0 else 'left'}"
            yield plain(
                f"relu(sin x - sin c) {name}",
                lambda x, c=c: max(math.sin(x) - math.sin(c), 0.0),
                1.0,
                math.cos(1) if right else 0.0,
            )
            yield plain(
                f"clip {name}",
                lambda x, c=c: min(max(x, c - 0.1), c),
                1.0,
                0.0 if right else (1.0 if c - 0.1 < 1 else 0.0),
            )
            yield plain(
                f"max(exp, line) {name}",
                lambda x, c=c: max(math.exp(x), math.exp(c) + 7 * (x - c)),
                1.0,
                7.0 if right and d < 1 else _steeper(c),
            )
            yield plain(
                f"weak kink {name}",
                lambda x, c=c: math.exp(x) + 1e-3 * abs(x - c),
                1.0,
                math.e + 1e-3 * (1 if right else -1),
            )
            yield plain(
                f"jump {name}",
                lambda x, c=c: math.sin(x) + (x >= c),
                1.0,
                math.cos(1),
            )
            yield plain(
                f"small jump {name}",
                lambda x, c=c: math.exp(x) + 1e-4 * (x >= c),
                1.0,
                math.e,
            )
            yield plain(
                f"square on one side {name}",
                lambda x, c=c: math.sin(x) + max(x - c, 0.0) ** 2,
                1.0,
                math.cos(1) + 2 * max(1 - c, 0.0),
            )
    for x in (2.1, 2.9, 2.999, 2.9999999, -0.5, 1e-3):
        yield plain(f"floor at {x:g}", math.floor, x, 0.0)
        yield plain(f"floor + x at {x:g}", lambda x: math.floor(x) + x, x, 1.0)


def _steeper(c: float) -> float:
    line = math.exp(c) + 7 * (1 - c)
    return 7.0 if line > math.e else math.e


def kinks() -> Iterator[KnownSlope]:
    def kink(name: str, f: Any, x: float, low: float, high: float) -> KnownSlope:
        return KnownSlope(name, f, float(x), 1.0, low, high)

    yield kink("abs at 0", abs, 0.0, -1.0, 1.0)
    yield kink("relu at 0", lambda x: max(x, 0.0), 0.0, 0.0, 1.0)
    yield kink("leaky relu at 0", lambda x: max(x, 0.01 * x), 0.0, 0.01, 1.0)
    yield kink("abs(x - 0.3) at 0.3", lambda x: abs(x - 0.3), 0.3, -1.0, 1.0)
    yield kink("|sin| at pi", lambda x: abs(math.sin(x)), math.pi, -1.0, 1.0)
    yield kink(
        "sin + |x - 1|", lambda x: math.sin(x) + abs(x - 1), 1.0, math.cos(1) - 1, math.cos(1) + 1
    )
    yield kink("max(x, x**2) at 1", lambda x: max(x, x * x), 1.0, 1.0, 2.0)
    yield kink("min(exp, 1 + 3 x) at 0", lambda x: min(math.exp(x), 1 + 3 * x), 0.0, 1.0, 3.0)
    yield kink("clip at its bound", lambda x: min(max(x, -1.0), 1.0), 1.0, 0.0, 1.0)
    yield kink("float32 relu", lambda x: float(np.maximum(np.float32(x), 0)), 0.0, 0.0, 1.0)
    yield kink("noisy abs", lambda x: abs(x) + 1e-9 * hashed(x), 0.0, -1.0, 1.0)
    yield kink("|x| + x**2 + 100", lambda x: abs(x) + x * x + 100, 0.0, -1.0, 1.0)
    yield kink("exp |x|", lambda x: math.exp(abs(x)), 0.0, -1.0, 1.0)
    yield kink("1e-6 |x| + exp", lambda x: 1e-6 * abs(x) + math.exp(x), 0.0, 1 - 1e-6, 1 + 1e-6)
    for size in (1e-200, 1e-8, 1e8, 1e200):
        yield kink(f"{size:g} abs at 0", lambda x, s=size: s * abs(x), 0.0, -size, size)


def flat() -> Iterator[KnownSlope]:
    """Yield functions whose derivative is 0, or nearly."""
    zeros: tuple[tuple[str, Any, float], ...] = (
        ("constant", lambda x: 3.0, 1.0),
        ("zero", lambda x: 0.0, 0.0),
        ("large constant", lambda x: 1e200, -2.0),
        ("cos at 0", math.cos, 0.0),
        ("square at 0", lambda x: x * x, 0.0),
        ("cube at 0", lambda x: x**3, 0.0),
        ("x**4 - 2 x**2 at 1", lambda x: x**4 - 2 * x * x, 1.0),
        ("gauss at 0", lambda x: math.exp(-x * x), 0.0),
        ("relu below 0", lambda x: max(x, 0.0), -0.3),
        ("relu squared at 0", lambda x: max(x, 0.0) ** 2, 0.0),
        ("huber at 0", lambda x: x * x / 2 if abs(x) < 1 else abs(x) - 0.5, 0.0),
        ("exp(-1/x**2) at 0", lambda x: math.exp(-1 / x**2) if x else 0.0, 0.0),
        ("sign at 2", lambda x: float(np.sign(x)), 2.0),
        ("x x sin(1/x) at 0", lambda x: x * x * math.sin(1 / x) if x else 0.0, 0.0),
        ("x - sin x at 0", lambda x: x - math.sin(x), 0.0),
        ("cosh - 1 at 0", lambda x: math.cosh(x) - 1, 0.0),
        ("|x|**1.5 at 0", lambda x: abs(x) ** 1.5, 0.0),
        ("|x|**3 at 0", lambda x: abs(x) ** 3, 0.0),
    )
    for name, f, x in zeros:
        yield plain(name, f, x, 0.0)
    yield plain("sin near its top", math.sin, math.pi / 2 - 1e-5, math.sin(1e-5))
    yield plain("tanh at 15", math.tanh, 15.0, 1 / math.cosh(15.0) ** 2)
    yield plain("gauss at 0 + 1e-9", lambda x: math.exp(-x * x), 1e-9, -2e-9)


def vectors() -> Iterator[KnownSlope]:
    generator = np.random.default_rng(7)
    for size in (1, 3, 30, 1000, 10_000):
        x = generator.normal(size=size)
        for kind in ("signs", "normal"):
            v = generator.normal(size=size)
            if kind == "signs":
                v = np.sign(v)
            name = f"{size} {kind}"

            def case(
                name: str, f: Any, gradient: np.ndarray, x: np.ndarray = x, v: np.ndarray = v
            ) -> KnownSlope:
                truth = math.fsum(gradient * v)
                return KnownSlope(name, f, x, v, truth, truth, precise=True)

            weights = generator.normal(size=size)
            yield case(f"dot {name}", lambda x, w=weights: float(w @ x), weights)
            yield case(f"half square {name}", lambda x: float(x @ x) / 2, x)
            yield case(f"sum sin {name}", lambda x: float(np.sin(x).sum()), np.cos(x))
            yield case(f"mean exp {name}", lambda x: float(np.exp(x).mean()), np.exp(x) / size)
            norm = float(np.linalg.norm(x))
            yield case(f"norm {name}", lambda x: float(np.linalg.norm(x)), x / norm)
            soft = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
            yield case(f"log sum exp {name}", _log_sum_exp, soft)
            yield case(
                f"log softmax {name}", lambda x: float(x[0]) - _log_sum_exp(x), _unit(size) - soft
            )


def _unit(size: int) -> np.ndarray:
    unit = np.zeros(size)
    unit[0] = 1.0
    return unit


def _log_sum_exp(x: np.ndarray) -> float:
    return float(x.max() + np.log(np.exp(x - x.max()).sum()))


def badly_scaled() -> Iterator[KnownSlope]:
    """Leaves of very different sizes, moved alike or each by its own size."""
    generator = np.random.default_rng(8)
    for small, large in ((1e-9, 1e9), (1e-6, 1e6), (1e-12, 1.0), (1.0, 1e15), (1e-3, 1e3)):
        x = {"a": small * generator.uniform(0.5, 2, 5), "b": large * generator.uniform(0.5, 2, 4)}
        for kind in ("ones", "sizes", "normal"):
            v = {
                "ones": {"a": np.ones(5), "b": np.ones(4)},
                "sizes": {"a": np.full(5, small), "b": np.full(4, -large)},
                "normal": {"a": generator.normal(size=5), "b": generator.normal(size=4)},
            }[kind]

            def f(p: Any, s: float = small, b: float = large) -> float:
                return float(np.sin(p["a"] / s).sum() + np.exp(p["b"] / b / 3).sum())

            truth = math.fsum(np.cos(x["a"] / small) / small * v["a"]) + math.fsum(
                np.exp(x["b"] / large / 3) / large / 3 * v["b"]
            )
            yield KnownSlope(f"leaves {small:g} and {large:g}, {kind}", f, x, v, truth, truth)

            def product(p: Any, s: float = small, b: float = large) -> float:
                return float(np.tanh(p["a"] / s).sum() * np.log(p["b"] / b + 3).sum())

            tanh, log = np.tanh(x["a"] / small), np.log(x["b"] / large + 3)
            truth = math.fsum((1 - tanh**2) / small * v["a"]) * math.fsum(log) + math.fsum(
                tanh
            ) * math.fsum(v["b"] / (x["b"] + 3 * large))
            yield KnownSlope(
                f"product {small:g} and {large:g}, {kind}", product, x, v, truth, truth
            )
    point = np.array([1e9, 1e-9])
    truth = 1e9 * math.cos(1.0) + 1e-9
    yield KnownSlope(
        "one leaf, 18 orders",
        lambda x: math.sin(1e9 * x[1]) + 1e-9 * x[0],
        point,
        np.ones(2),
        truth,
        truth,
    )


FAMILIES = (
    elementary,
    scaled,
    oscillating,
    offset,
    noisy,
    at_edges,
    near_kinks,
    kinks,
    flat,
    vectors,
    badly_scaled,
)
SLOPES = tuple(case for family in FAMILIES for case in family())
