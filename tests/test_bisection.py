"""Bisection finds single faults, several, and whole leaves, and spends few evaluations on it."""

import math

import numpy as np
import pytest

from gradparity.compare import Verdict, check_gradient
from gradparity.compare.checking.black_box import BlackBox, Span
from gradparity.compare.checking.check import Arbiter
from gradparity.compare.checking.directions import Region, random_weights, restrict, whole_leaf
from gradparity.compare.checking.meter import Meter
from gradparity.compare.checking.quick_slope import quick_slope


def smooth(x):
    return np.sum(np.sin(x)) + np.sum(x[1:] * x[:-1])


def smooth_gradient(x):
    gradient = np.cos(x)
    gradient[1:] += x[:-1]
    gradient[:-1] += x[1:]
    return gradient


def at(size, seed=0):
    return np.random.default_rng(seed).normal(size=size)


def indices(check):
    return {suspect.index for suspect in check.suspects}


def always(value, error, noise):
    return True


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 100_000])
def test_one_wrong_entry_is_named_in_fifteen_log2_evaluations(size):
    x = at(size)
    gradient = smooth_gradient(x)
    entry = size * 2 // 3
    gradient[entry] += 1e-3
    check = check_gradient(smooth, x, gradient=gradient)
    assert indices(check) == {(entry,)}
    assert check.evaluations <= max(100, 15 * math.log2(size))


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_several_wrong_entries_are_all_named(count, seed):
    x = at(500)
    rng = np.random.default_rng(seed)
    wrong = rng.choice(500, count, replace=False)
    gradient = smooth_gradient(x)
    gradient[wrong] += rng.choice([-1, 1], count) * 10.0 ** rng.uniform(-4, 0, count)
    check = check_gradient(smooth, x, gradient=gradient, seed=seed)
    assert indices(check) == {(int(entry),) for entry in wrong}
    assert check.pattern == f"{count} entries"


def test_opposite_faults_do_not_cancel():
    x = at(40)
    for seed in range(20):
        gradient = smooth_gradient(x)
        gradient[[7, 31]] += [0.01, -0.01]
        check = check_gradient(smooth, x, gradient=gradient, seed=seed)
        assert indices(check) == {(7,), (31,)}


def test_a_leaf_that_is_wrong_all_over_is_shown_by_a_few_entries():
    x = at(4096)
    gradient = smooth_gradient(x) + 0.1 * at(4096, seed=1)
    check = check_gradient(smooth, x, gradient=gradient)
    assert check.verdict is Verdict.DIFFER
    assert 3 <= len(check.suspects) <= 12
    assert check.leaves[0].more
    assert "more entries than these are wrong" in str(check)
    assert check.evaluations < 500


def test_a_small_leaf_of_a_hundred_is_not_drowned():
    sizes = [10.0 ** -(k % 6) for k in range(50)]
    params = [{"W": at(5, seed=k), "b": np.full(2, size)} for k, size in enumerate(sizes)]

    def f(params):
        return sum(
            np.sum(np.sin(leaves["W"])) + size * np.sum((leaves["b"] / size) ** 3)
            for leaves, size in zip(params, sizes, strict=True)
        )

    gradient = [
        {"W": np.cos(leaves["W"]), "b": 3 * (leaves["b"] / size) ** 2}
        for leaves, size in zip(params, sizes, strict=True)
    ]
    check = check_gradient(f, params, gradient=gradient)
    assert check.verdict is Verdict.AGREE, str(check)
    assert len(check.leaves) == 100
    assert check.evaluations < 200
    gradient[5]["b"] = gradient[5]["b"] * [1.0, 1.001]
    wrong = check_gradient(f, params, gradient=gradient)
    assert [(s.leaf, s.index) for s in wrong.suspects] == [("[5].b", (1,))]


def test_faults_in_many_leaves_are_all_reported():
    params = {f"leaf{k}": at(6, seed=k) for k in range(12)}

    def f(params):
        return sum(np.sum(np.sin(leaf)) for leaf in params.values())

    gradient = {name: np.cos(leaf) for name, leaf in params.items()}
    wrong = {"leaf2", "leaf7", "leaf11"}
    gradient |= {name: gradient[name] + [0, 0, 0.01, 0, 0, 0] for name in wrong}
    check = check_gradient(f, params, gradient=gradient)
    assert {(s.leaf, s.index) for s in check.suspects} == {(name, (2,)) for name in wrong}
    assert {leaf.name for leaf in check.leaves if leaf.verdict is Verdict.DIFFER} == wrong


def test_a_search_stops_when_its_evaluations_are_used_up():
    x = np.zeros(3000)
    arbiter = Arbiter(lambda x: np.sum(np.abs(x)), x, most_evaluations=400)
    check = arbiter.check(np.zeros(3000))
    assert check.verdict is Verdict.CANNOT_TELL
    assert check.evaluations < 600
    assert "were not examined one by one" in str(check)


def test_halves_share_out_every_entry_once():
    region = Region((Span(0, 0, 7), Span(1, 0, 3), Span(2, 0, 1)))
    stack, singles = [region], []
    while stack:
        region = stack.pop()
        if region.size == 1:
            singles.append(region.spans[0])
        else:
            stack.extend(region.halves())
    assert sorted((span.leaf, span.start) for span in singles) == [
        *((0, entry) for entry in range(7)),
        *((1, entry) for entry in range(3)),
        (2, 0),
    ]


def test_random_weights_have_both_signs_and_comparable_sizes():
    leaves = {"tiny": 1e-7 * at(500), "zero": np.zeros(500)}
    black_box = BlackBox(lambda p: np.sum(p["tiny"]) + np.sum(p["zero"]), leaves)
    for weights, scale in zip(random_weights(black_box, 0, 0), black_box.scales, strict=True):
        assert 0.3 < np.mean(weights > 0) < 0.7
        assert (np.abs(weights) >= 0.5 * scale).all()
        assert (np.abs(weights) <= scale).all()


SMOOTH = {
    "sine": (lambda t: math.sin(1 + t), math.cos(1)),
    "exponential": (lambda t: math.exp(3 * t), 3.0),
    "line": (lambda t: 2 + 5 * t, 5.0),
    "pole nearby": (lambda t: 1 / (1e-3 + t), -1e6),
    "edge nearby": (lambda t: math.log(1e-4 + t) if t > -1e-4 else math.nan, 1e4),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_a_quick_slope_holds_the_derivative_within_its_bar(name):
    phi, derivative = SMOOTH[name]
    slope = quick_slope(phi, phi(0.0), 3, lambda v, e, n: e <= 1e-6 * abs(v))
    assert slope.settled
    assert abs(slope.value - derivative) <= slope.error
    assert slope.kink is None


@pytest.mark.parametrize(("left", "right"), [(-1.0, 1.0), (0.0, 1.0), (0.5, 0.7)])
def test_a_quick_slope_sees_a_kink_and_is_not_settled_there(left, right):
    def phi(t):
        return math.sin(t) + (right if t > 0 else left) * t

    slope = quick_slope(phi, 0.0, 3, always)
    assert not slope.settled
    assert slope.kink == pytest.approx((left + 1, right + 1), abs=slope.kink_error)
    assert slope.kink_error < 1e-7 * (right - left)


def test_a_kink_next_to_the_point_does_not_mislead_a_quick_slope():
    def phi(t):
        return math.sin(t) + 3 * abs(t - 1e-4)

    slope = quick_slope(phi, phi(0.0), 3, lambda v, e, n: e <= 1e-6 * abs(v))
    assert not slope.settled or abs(slope.value - (1 - 3)) <= slope.error


def test_the_arbiter_lifts_the_slope_of_a_tiny_parameter_above_round_off():
    params = {"tiny": 1e-9 * np.ones(3), "large": 1e3 * np.ones(3)}
    black_box = BlackBox(lambda p: np.sum(p["tiny"]) + np.sum(p["large"] ** 2), params)
    meter = Meter(black_box, 0, 1000)
    leaf = black_box.names.index("tiny")
    direction = restrict([None] * leaf + [np.full(3, 1e-9)], whole_leaf(leaf, 3))
    estimate = meter.arbitrate(direction, wanted=1e-4 * 3e-9)
    assert abs(estimate.value - 3e-9) <= estimate.error <= 1e-4 * 3e-9
    assert meter.arbitrate(direction).error > 1e-4 * 3e-9
