"""The random programs' derivatives are exact, and their planted faults are faults."""

import math

import numpy as np
import pytest

from gradparity.compare.scenarios.held_out_slopes import held_out_slopes
from gradparity.compare.scenarios.random_programs import (
    LARGEST_LEAF,
    TANGENTS,
    VALUES,
    Ties,
    planted_faults,
    random_program,
)

PROGRAMS = [random_program(seed) for seed in range(200)]
SMOOTH = [program for program in PROGRAMS if not program.kinks]
KINKED = [program for program in PROGRAMS if program.kinks]
# What complex numbers have not, by their real parts.
ORDERED = {
    "abs": lambda xp, _, a: np.where(a.real > 0, a, -a),
    "maximum": lambda xp, _, a, b: np.where(a.real > b.real, a, b),
    "minimum": lambda xp, _, a, b: np.where(a.real < b.real, a, b),
    "where greater": lambda xp, _, a, b, c: np.where(a.real > 0, b, c),
    "clip": lambda xp, s, a: np.where(a.real < s[0], s[0], np.where(a.real > s[1], s[1], a)),
    "logaddexp": lambda xp, _, a, b: np.log(np.exp(a) + np.exp(b)),
    "hypot": lambda xp, _, a, b: np.sqrt(a * a + b * b),
    "var": lambda xp, s, a: np.mean(
        (a - np.mean(a, axis=s[0], keepdims=True)) ** 2, axis=s[0], keepdims=s[1]
    ),
}
UNORDERED = {"max", "min", "sort"}


def moved(program, size, direction):
    pairs = zip(program.leaves(program.params), program.leaves(direction), strict=True)
    return program.tree([leaf + size * v for leaf, v in pairs])


def direction(program, seed=5):
    rng = np.random.default_rng([program.seed, seed])
    return program.tree([rng.normal(size=leaf.shape) for leaf in program.leaves(program.params)])


def distance(program, one, other):
    """Return the largest difference of two gradients, as a share of the largest entry."""
    pairs = list(zip(program.leaves(one), program.leaves(other), strict=True))
    return max(np.max(np.abs(a - b)) for a, b in pairs) / max(np.max(np.abs(b)) for _, b in pairs)


def torch_gradient(program):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(a, requires_grad=True) for a in program.leaves(program.params)]
    value = program.f(program.tree(leaves))
    value.backward()
    found = [np.zeros(a.shape) if a.grad is None else a.grad.numpy() for a in leaves]
    return value.item(), program.tree(found)


def test_gradients_of_smooth_programs_are_those_of_torch():
    for program in SMOOTH:
        value, gradient = torch_gradient(program)
        assert value == pytest.approx(float(program.f(program.params)), rel=1e-12, abs=1e-12)
        assert distance(program, program.gradient(), gradient) < 1e-12, str(program)


@pytest.mark.parametrize("name", ["tanh", "matmul", "cumulative_sum", "divide"])
def test_a_rule_that_is_wrong_is_noticed(name, monkeypatch):
    right = TANGENTS[name]
    monkeypatch.setitem(TANGENTS, name, lambda *of: (1 + 1e-6) * right(*of))
    users = [p for p in SMOOTH if name in {step.name for step in p.steps}]
    assert any(distance(p, p.gradient(), torch_gradient(p)[1]) > 1e-9 for p in users)


def test_gradients_of_smooth_programs_are_those_of_jax():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        for program in SMOOTH[:2]:
            params = program.tree([jax.numpy.array(a) for a in program.leaves(program.params)])
            assert distance(program, jax.grad(program.f)(params), program.gradient()) < 1e-12


def test_slopes_are_those_of_a_complex_step(monkeypatch):
    for name, function in ORDERED.items():
        monkeypatch.setitem(VALUES, name, function)
    programs = [p for p in SMOOTH if not UNORDERED & {step.name for step in p.steps}]
    assert len(programs) > 80
    slopes = [p.f(moved(p, 1e-30j, direction(p))).imag / 1e-30 for p in programs]
    monkeypatch.undo()
    for program, slope in zip(programs, slopes, strict=True):
        found = program.slope(direction(program))
        assert found == pytest.approx(slope, rel=1e-11, abs=1e-11), str(program)


def test_a_slope_is_that_of_the_gradient_where_the_program_is_smooth():
    for program in SMOOTH:
        v = direction(program)
        pairs = zip(program.leaves(program.gradient()), program.leaves(v), strict=True)
        expected = math.fsum(np.sum(g * w) for g, w in pairs)
        assert program.slope(v) == pytest.approx(expected, rel=1e-11, abs=1e-11)


def test_slopes_at_kinks_are_those_of_one_side():
    assert len(KINKED) > 8
    differ = 0
    for program in KINKED:
        v, value = direction(program), float(program.f(program.params))
        back = program.tree([-leaf for leaf in program.leaves(v)])
        for w in (v, back):
            quotient = (float(program.f(moved(program, 1e-7, w))) - value) / 1e-7
            assert program.slope(w) == pytest.approx(quotient, rel=1e-4, abs=1e-4), str(program)
        differ += abs(program.slope(v) + program.slope(back)) > 1e-4
    assert differ > 0.8 * len(KINKED)


def test_a_gradient_at_kinks_is_that_of_a_piece_that_meets_there():
    for program in KINKED:
        beside = type(program)(
            program.seed, program.paths, program.steps, moved(program, 1e-8, program.side())
        )
        assert distance(program, beside.gradient(), program.gradient()) < 1e-5, str(program)


def test_ties_are_kinks_only_where_the_branches_have_different_slopes():
    gap, tangents = np.zeros(3), np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -2.0]])
    ties = Ties(shared=True)
    ties.first(gap, tangents)
    assert ties.kinks == 2
    ties = Ties(shared=True)
    ties.first(gap, 0 * tangents)
    ties.first(gap + 0.5, tangents)
    assert (ties.kinks, ties.smallest_gap) == (0, 0.5)


def test_a_seed_gives_always_the_same_program():
    for program in PROGRAMS[:20]:
        again = random_program(program.seed)
        assert str(again) == str(program)
        assert float(again.f(again.params)) == float(program.f(program.params))
        assert [n for n, _ in planted_faults(again.gradient(), 1)] == [
            n for n, _ in planted_faults(program.gradient(), 1)
        ]


@pytest.mark.parametrize("seed", [1784523332, 4227435448])
def test_slopes_that_vanish_far_out_are_no_overflow(seed):
    assert all(math.isfinite(slope.low) for slope in held_out_slopes(seed))


def test_programs_are_of_all_kinds():
    leaves = [leaf for program in PROGRAMS for leaf in program.leaves(program.params)]
    sizes = [leaf.size for leaf in leaves]
    assert min(sizes) == 1
    assert 100 < max(sizes) <= LARGEST_LEAF
    assert {leaf.ndim for leaf in leaves} == {0, 1, 2, 3}
    assert {type(program.params) for program in PROGRAMS} == {dict, list, np.ndarray}
    assert any(len(path) == 3 for program in PROGRAMS for path in program.paths)
    assert {step.name for program in PROGRAMS for step in program.steps} == set(VALUES)


def test_planted_faults_are_wrong_and_leave_the_right_one_alone():
    for program in PROGRAMS:
        gradient = program.gradient()
        before = [leaf.copy() for leaf in program.leaves(gradient)]
        faults = planted_faults(gradient, program.seed)
        assert len(faults) >= 11, str(program)
        for name, wrong in faults:
            off = [
                np.max(np.abs(a - b)) / np.max(np.abs(b))
                for a, b in zip(program.leaves(wrong), before, strict=True)
                if np.any(b)
            ]
            assert max(off) > 9e-4, name
        for leaf, kept in zip(program.leaves(gradient), before, strict=True):
            np.testing.assert_array_equal(leaf, kept)


def test_programs_run_under_the_strict_namespace():
    strict = pytest.importorskip("array_api_strict")
    for program in PROGRAMS[:60]:
        if "index with an array" in {step.name for step in program.steps}:
            continue  # beside slices, which the standard does not have
        params = program.tree([strict.asarray(a) for a in program.leaves(program.params)])
        value = float(program.f(params))
        assert value == pytest.approx(float(program.f(program.params)), rel=1e-12, abs=1e-12)
