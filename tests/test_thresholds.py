"""Each number that the judge decides by has a case for which another one would not do.

`tests/benchmarks/run.py ablation` moves them, and shows that the case fails.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from array_api_compat import array_namespace
from error_bar_figures import covers
from judge_numbers import numbers

from gradparity.backends.error_bars import derivative_along
from gradparity.compare import (
    GradientCheck,
    check_gradient,
    check_hessian,
    compare_gradients,
)
from gradparity.compare.scenarios.held_out_slopes import held_out_slopes
from gradparity.compare.scenarios.slopes import SLOPES, KnownSlope

X = np.array([0.5, -1.0, 2.0])


@dataclass(frozen=True)
class Case:
    """What is demanded of the judge in one case.

    numbers: those that it shows the need of; claim: says that it is the gradient of f at a point
    named: the entries that are called wrong; known: how finely the claim is known, at most
    calls: of f, at most; f: needs an engine where it is given the name of one
    """

    numbers: str
    demand: str
    check: Callable[[], GradientCheck]
    verdict: str
    named: tuple[int, ...] | None = None
    known: float = math.inf
    calls: float = math.inf
    kinks: int | None = None
    engine: str = ""


def of(f, at, claim, **accepted):
    return lambda: check_gradient(f, at, gradient=claim, **accepted)


def sine(p):
    return float(np.sin(p).sum())


def noisy(size):
    """Return a function that a hash of its parameters makes noisy."""
    return lambda p: sine(p) + size * (zlib.crc32(p.tobytes()) / 2**32 - 0.5)


def in_single(offset=0.0):
    return lambda p: float(np.float32(offset + np.tanh(p).sum()))


def unsteady(size):
    """Return a function whose second value at each point is off by so much, relatively."""
    calls = [0]

    def f(p):
        calls[0] += 1
        return float((p**2).sum()) * (1 + size * (calls[0] % 2))

    return f


def partly_rounded(part):
    return lambda p: sine(p) + part * float(np.sum(np.round(p, 2)))


TANH = 1 / np.cosh(X) ** 2
FIVE = np.random.default_rng(0).normal(size=5)
EVERY = np.eye(100)
HUNDRED = np.random.default_rng(0).normal(size=100)
SIGNS = np.random.default_rng(0).choice([-1, 1], 100)
# The last of five entries is 2^-20.5 times as large as the others.
UNLIKE = np.array([1.0, 1.0, 1.0, 1.0, 2.0**-20.5])
PAIR = {"a": X, "b": X}
WAVING = np.random.default_rng(4).normal(size=3)
WAVES = np.random.default_rng([0, 10**11]).normal(size=1)
EDGE = np.append(np.linspace(0.5, 1.5, 20), 0.001)
MANY = np.random.default_rng(0).normal(size=2000)
MILLION = np.random.default_rng(0).normal(size=2**20 + 1)
COSINES = np.cos(MILLION)


def unlike(p):
    return float((UNLIKE * np.sin(p)).sum())


def largest_of_pairs(p):
    return float(p.reshape(-1, 2).max(axis=1).sum())


def wedge(steep):
    """Return what rises in a wedge between both axes, and has a kink along one of them."""
    return lambda p: max(0.0, float(p[0] - steep * abs(p[1] - p[0]))) + 0.1 * abs(float(p[1]))


def complex64(off):
    """Return the check of a complex gradient, which loses digits as its inputs are rounded."""

    def check():
        import torch

        rng = np.random.default_rng(3)
        matrix = 10 * torch.tensor(rng.normal(size=(9, 5)) + 1j * rng.normal(size=(9, 5)))
        z = torch.tensor((rng.normal(size=5) + 1j * rng.normal(size=5)).astype(np.complex64))

        def f(z):
            return torch.sin(matrix.to(z.dtype) @ z).abs().sum()

        def rule(z):
            return (1 + off) * torch.autograd.grad(f(z.requires_grad_()), z)[0]

        return check_gradient(f, z, gradient=rule)

    return check


def normalised_alone():
    import torch

    x = torch.tensor([[3.7]], dtype=torch.float64)
    w = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)

    def f(w, x):
        return torch.nn.functional.layer_norm(x, (1,), w).sum()

    f(w, x).backward()
    return check_gradient(f, w.detach(), x, gradient=w.grad)


def near_its_edges(p):
    """Return a function of numbers from 1/2 to 3/2, whose slope by them at 1 is 1."""
    xp = array_namespace(p)
    return (xp.log(0.25 - (p - 1) ** 2) + p).sum()


def leaves_apart():
    import torch

    def f(p):
        return 2.0**25 * torch.sin(p["a"]).sum() + torch.sin(p["b"]).sum()

    at = {"a": torch.as_tensor(HUNDRED[:50]), "b": torch.as_tensor(HUNDRED[50:])}
    right = {"a": 2.0**25 * torch.cos(at["a"]), "b": torch.cos(at["b"])}
    return check_gradient(f, at, gradient=right)


def million_beside_few():
    def f(p):
        return 1000 * np.sin(p["many"]).sum() + np.sin(p["few"]).sum()

    right = {"many": 1000 * COSINES, "few": np.cos(HUNDRED)}
    return check_gradient(f, {"many": MILLION, "few": HUNDRED}, gradient=right)


CASES = [
    Case(
        "WRONG",
        "twelve bars of a noisy function are clearly wrong",
        of(noisy(1e-8), X, np.cos(X) + [0, 6e-5, 0]),
        "differ",
        named=(1,),
    ),
    Case(
        "WRONG",
        "six bars of a noisy function are not clearly wrong",
        of(noisy(1e-8), X, np.cos(X) + [0, 4e-5, 0]),
        "cannot tell",
    ),
    Case(
        "DIGITS",
        "noise that hides the fourth digit leaves no agreement",
        of(noisy(3e-6), X, np.cos(X)),
        "cannot tell",
    ),
    Case("DIGITS", "noise that leaves four digits is none", of(noisy(1e-6), X, np.cos(X)), "agree"),
    Case(
        "ROUNDINGS",
        "float32 numbers that are off by 24 of their roundings are not right",
        of(sine, FIVE, (np.cos(FIVE) * (1 + 24 * 2.0**-24)).astype(np.float32)),
        "cannot tell",
    ),
    Case(
        "ROUNDINGS",
        "float32 numbers that are off by six of their roundings are",
        of(sine, FIVE, (np.cos(FIVE) * (1 + 6 * 2.0**-24)).astype(np.float32)),
        "agree",
    ),
    Case(
        "AT_RANDOM",
        "errors that are all within the tolerance are accepted together",
        of(sine, HUNDRED, np.cos(HUNDRED) + 0.009 * SIGNS, tolerance=0.01),
        "agree",
    ),
    Case(
        "ASIDE",
        "a point aside is within the domain of f",
        lambda: check_hessian(near_its_edges, np.ones(2), hessian=-8 * np.eye(2)),
        "agree",
        calls=100,
        engine="torch",
    ),
    Case(
        "ORDER",
        "what is accepted of one entry excuses no other one",
        of(
            sine,
            HUNDRED,
            np.cos(HUNDRED) + EVERY[0] / 10 + EVERY[3] / 50,
            tolerance=EVERY[0] / 4 + 1 / 8000,
        ),
        "differ",
        named=(3,),
    ),
    Case(
        "LAST_BITS",
        "a function that changes in its twelfth digit is random",
        of(unsteady(1.3e-12), X, 2 * X),
        "cannot tell",
        calls=2,
    ),
    Case(
        "LAST_BITS",
        "a function that is summed in another order is not random",
        of(unsteady(6e-13), X, 2 * X),
        "agree",
    ),
    Case(
        "VISIBLE",
        "zero but for rounding is not right where a slope as small would not be seen",
        of(
            lambda p: 123.45 + sine(p["a"]) + 1e-10 * float(p["b"].sum()),
            PAIR,
            {"a": np.cos(X), "b": np.full(3, 1e-13)},
        ),
        "cannot tell",
    ),
    Case(
        "OTHER_SCALE",
        "a thousandth is confirmed at other steps where f computes in float32",
        of(in_single(), X, TANH * [1, 1.001, 1]),
        "differ",
        named=(1,),
    ),
    Case(
        "DROWNED",
        "the rounding of large float32 numbers hides no fault of a small one",
        of(unlike, FIVE, (UNLIKE * np.cos(FIVE) * [1, 1, 1, 1, 1.3]).astype(np.float32)),
        "cannot tell",
    ),
    Case(
        "SHORTER",
        "steps are short enough for a function that waves within its scale",
        of(
            lambda p: float((p**2).sum()) + 1e-6 * sine(1e6 * p),
            WAVING,
            2 * WAVING + np.cos(1e6 * WAVING),
        ),
        "agree",
    ),
    Case(
        "exploration.FAR",
        "f depends on a parameter that does not change it nearby",
        of(lambda p: max(float(p[0]) - 5.0, 0.0), np.array([0.1]), np.zeros(1)),
        "agree",
        known=1e-10,
    ),
    Case(
        "ROUND_BITS",
        "a float32 value that does not change may hide a slope",
        of(lambda p: float(np.float32(1.2345678 + 1e-9 * np.tanh(p).sum())), X, 0 * X),
        "cannot tell",
    ),
    Case(
        "GRAINS",
        "a hundredth is found where f computes in float32",
        of(in_single(1.0), X, TANH * [1, 1.01, 1]),
        "differ",
        named=(1,),
    ),
    Case(
        "ENOUGH",
        "a claim that fits in eight digits is measured no longer",
        of(sine, HUNDRED, np.cos(HUNDRED)),
        "agree",
        known=2e-8,
        calls=20,
    ),
    Case(
        "CLEAR PLAINLY",
        "an entry that is wrong beyond doubt is measured no longer",
        of(sine, HUNDRED, np.cos(HUNDRED) + 1e-3 * np.eye(100)[3]),
        "differ",
        named=(3,),
        calls=96,
    ),
    Case(
        "CONFIRMED",
        "three wrong entries of many are confirmed",
        of(sine, HUNDRED, 2 * np.cos(HUNDRED)),
        "differ",
        calls=320,
    ),
    Case(
        "LISTED",
        "a leaf of twelve entries has them all listed",
        of(sine, HUNDRED[:12], 2 * np.cos(HUNDRED[:12])),
        "differ",
        named=tuple(range(12)),
    ),
    Case(
        "PAIRS",
        "no pair of neighbours among six legal entries is left out",
        of(largest_of_pairs, np.ones(6), np.array([0.5, 0.5, 1.0, 1.0, 0.5, 0.5])),
        "cannot tell",
    ),
    Case(
        "MOST_EVALUATIONS",
        "a search through thousands of doubtful entries ends",
        of(sine, MANY, (np.cos(MANY) * (1 + 100 * 2.0**-24)).astype(np.float32)),
        "cannot tell",
        calls=1700,
    ),
    Case(
        "BEND",
        "kinks that hardly bend f are kinks",
        of(
            lambda p: float(p.sum() + 0.01 * (p.max() - p.min())),
            np.ones(3),
            np.array([1.01, 1.01, 1.0]),
        ),
        "cannot tell",
    ),
    Case(
        "CLOSE",
        "waves too fast to be seen are no kinks that make all slopes legal",
        of(lambda p: float((p**2).sum()) / 2 + 1e-3 * sine(1e11 * p), WAVES, WAVES),
        "differ",
    ),
    Case(
        "NEIGHBOURS WITHIN",
        "a slope is legal that one in fifty points around a kink has",
        of(wedge(5.0), np.zeros(2), np.array([1.0, 0.0])),
        "agree",
    ),
    Case(
        "FIRST_NEIGHBOURS",
        "kinks are looked for at enough points",
        of(wedge(7.0), np.zeros(2), np.array([1.0, 0.0]), seed=2),
        "agree",
    ),
    Case("DRAWN", "rounding of the inputs is not wrong", complex64(0.0), "agree", engine="torch"),
    Case(
        "DRAWN",
        "more than the rounding of the inputs is wrong",
        complex64(2e-5),
        "differ",
        engine="torch",
    ),
    Case(
        "DUST",
        "a gradient that is rounding itself convicts nobody",
        normalised_alone,
        "cannot tell",
        engine="torch",
    ),
    Case(
        "LEAST_SHARE",
        "a leaf of small slope is known beside one of large slope",
        leaves_apart,
        "agree",
        known=5e-6,
        engine="torch",
    ),
    Case(
        "SMALL",
        "the edge of a domain near a small entry is found",
        of(lambda p: float(np.log(p).sum()), EDGE, 1 / EDGE),
        "agree",
        calls=60,
    ),
    Case(
        "MANY FINER",
        "a call of f is dear where there are a million entries",
        of(sine, MILLION, COSINES),
        "agree",
        calls=24,
    ),
    Case(
        "SETTLED",
        "a leaf whose slope is small beside that of a million entries is known well enough",
        million_beside_few,
        "agree",
        known=1e-5,
        calls=24,
    ),
    Case(
        "estimate.STEPPED",
        "a part of f that is rounded to few digits has a slope, too",
        of(partly_rounded(0.01), X + 0.001, np.cos(X + 0.001)),
        "cannot tell",
    ),
    Case(
        "estimate.GOES_ON",
        "a single jump of a line hides no slope",
        of(lambda p: float((3 * p + 0.7 * (p > 2.31)).sum()), np.array([2.3]), np.array([3.0])),
        "agree",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.numbers}: {case.demand}")
def test_the_judge_needs_its_number(case, load_backend):
    if case.engine:
        load_backend(case.engine)
    check = case.check()
    assert check.verdict == case.verdict, str(check)
    if case.named is not None:
        assert sorted(suspect.index[-1] for suspect in check.suspects) == sorted(case.named)
    if case.known < math.inf:
        assert 0 < check.resolution <= case.known
    assert check.evaluations <= case.calls
    assert case.kinks is None or len(check.kinks) == case.kinks


# The numbers of error bars.


@dataclass(frozen=True)
class SlopeCase:
    """What is demanded of the slope of a function: that its bar holds, and more.

    bar: how long it may be; calls: of f, at most
    """

    numbers: str
    slope: KnownSlope
    smoothness: str
    bar: float = math.inf
    calls: float = math.inf


KNOWN = {slope.name: slope for slope in (*SLOPES, *held_out_slopes(7), *held_out_slopes(8))}
UNLIKE_LEAVES = KnownSlope(
    "leaves eight orders apart",
    lambda p: float(np.sin(p["a"]).sum() + 2 * (p["b"] - 2.0**27).sum()),
    {"a": np.ones(1), "b": np.full(1, 2.0**27)},
    {"a": np.ones(1), "b": np.ones(1)},
    math.cos(1.0) + 2,
    math.cos(1.0) + 2,
)
PARTLY = KnownSlope(
    "rounded in part", partly_rounded(3e-4), 0.501, 1.0, math.cos(0.501), math.cos(0.501) + 3e-4
)
CBRT = KnownSlope("cbrt at 0", np.cbrt, 0.0, 1.0, math.inf, math.inf)


SLOPE_CASES = [
    SlopeCase(
        "samples.NEIGHBOURS exploration.FIRST_LOOK", KNOWN["exp to 9 digits at 0.01"], "smooth"
    ),
    SlopeCase("samples.LOWEST_ORDER", KNOWN["|x - c| + sin 1e-10 right of 0.02"], "smooth"),
    SlopeCase("samples.AGREEMENT", KNOWN["sin(10000 x) at 1"], "smooth", bar=1e-3),
    SlopeCase("samples.ACROSS", KNOWN["exp to 9 digits at 7"], "smooth", bar=1e-5),
    SlopeCase("samples.AT_ORIGIN", KNOWN["clip 1e-12 left"], "smooth"),
    SlopeCase("samples.ROUNDINGS", KNOWN["log gamma at 1.44879"], "smooth", calls=24),
    SlopeCase("samples.EVEN", KNOWN["(1e+06 + exp) - 1e+06 at 1"], "smooth", bar=5e-8),
    SlopeCase("samples.NUMBERS_WITHIN", KNOWN["triangle wave -4.15210e-12 away"], "smooth"),
    SlopeCase("samples.STEP_BITS", KNOWN["sin(100 x) at 5"], "smooth", bar=2e-10),
    SlopeCase("samples.PLATEAU", KNOWN["soft threshold -8.54996e-05 away"], "smooth", calls=36),
    SlopeCase("samples.CLEARLY", KNOWN["log at 1e-300"], "smooth"),
    SlopeCase("samples.NARROW", KNOWN["(1e+10 + exp) - 1e+10 at 1"], "smooth", bar=1e-3),
    SlopeCase("samples.SUDDEN", KNOWN["exp to 4 digits at 1"], "stairs"),
    SlopeCase(
        "samples.NEAR estimate.TREND extrapolation.STANDARD_DEVIATIONS",
        KNOWN["sin with ripple 1e+08 at 0.01"],
        "smooth",
    ),
    SlopeCase("estimate.STAIRS", KNOWN["float32 sum at 2.24753"], "smooth"),
    SlopeCase("estimate.TELLING", PARTLY, "stairs"),
    SlopeCase("estimate.JUMP", CBRT, "not finite"),
    SlopeCase(
        "exploration.LADDER extrapolation.WIDEST_WINDOW extrapolation.SLOWEST_CONVERGENCE",
        KNOWN["sin(30 x) at 5"],
        "smooth",
        bar=1e-10,
        calls=19,
    ),
    SlopeCase("extrapolation.SHORTER", KNOWN["sin + 1e-10 hash at 0.3"], "smooth", bar=1e-8),
    SlopeCase("exploration.NEXT_LOOK", KNOWN["1/(x - 3) 2^-15 above 3"], "smooth", bar=1.0),
    SlopeCase(
        "exploration.GOAL exploration.STRIDE",
        KNOWN["sin + 1e-10 hash at 0.3"],
        "smooth",
        bar=1e-8,
        calls=43,
    ),
    SlopeCase("exploration.POOR", KNOWN["small jump 1e-06 right"], "stairs"),
    SlopeCase("line.LARGEST_RATIO", UNLIKE_LEAVES, "smooth", bar=1e-10, calls=20),
]


@pytest.mark.parametrize("case", SLOPE_CASES, ids=lambda case: f"{case.numbers}: {case.slope.name}")
def test_the_estimator_needs_its_number(case):
    estimate = derivative_along(case.slope.f, case.slope.x, case.slope.tangent)
    assert covers(estimate, case.slope)
    assert estimate.smoothness == case.smoothness
    assert case.bar == math.inf or estimate.error <= case.bar
    assert estimate.evaluations <= case.calls


# These two have tests of their own.
BELOW = ("NEARBY", "CALLS_BEFORE_COMPILING")


def test_values_that_differ_by_their_rounding_are_compared_at_enough_points(load_backend):
    load_backend("torch")
    import torch

    def f(p):
        return torch.sin(p).sum()

    def rounded(p):
        with torch.no_grad():
            bits = zlib.crc32(p.detach().numpy().tobytes())
        return f(p) + 1e-9 * (bits / 2**32 - 0.5)

    comparison = compare_gradients({"torch": f, "torch:rounded": rounded}, X)
    assert "values differ" not in comparison.reason
    comparison = compare_gradients({"torch": f, "torch:moved": lambda p: f(p) + 1e-9}, X)
    assert "values differ" in comparison.reason


def test_a_function_is_compiled_after_as_many_calls_as_compiling_takes(load_backend):
    load_backend("jax")
    import jax.numpy as jnp

    calls = []

    def f(p):
        calls.append(None)
        return jnp.sin(p).sum()

    check = check_gradient(f, jnp.asarray(HUNDRED), gradient=-np.cos(HUNDRED))
    assert check.verdict == "differ"
    assert check.evaluations > 50
    assert len(calls) < 42


def test_every_number_has_its_case():
    cases = " ".join(case.numbers for case in (*CASES, *SLOPE_CASES)).split()
    shown = {number if "." in number else f"thresholds.{number}" for number in cases}
    assert shown | {f"thresholds.{number}" for number in BELOW} == set(numbers())
