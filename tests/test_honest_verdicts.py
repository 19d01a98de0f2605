"""No verdict claims more than was measured: the cases in which one did, and their relatives."""

import math

import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends.errors import InvalidParameters, InvalidSetting, NonScalarLoss
from gradparity.compare import check_gradient, compare_gradients

X = np.array([0.5, -1.0, 2.0])


def square(x):
    return (x**2).sum()


# Functions of which nobody can know a derivative, by the reason.


def random_values(seed=0):
    rng = np.random.default_rng(seed)
    return lambda p: float((p**2).sum() + rng.normal())


def chaotic(p):
    z = 1 / (1 + np.exp(-p.sum()))
    for _ in range(60):
        z = 3.99 * z * (1 - z)
    return z


def hash_noisy(p):
    return float((p**2).sum()) + 1e-2 * (hash(p.tobytes()) % 1000) / 1000


def single_inside(p):
    return float(np.float32(4 + 1e-4 * np.mean(np.tanh(np.outer(np.arange(3), p)))))


def half_inside(p):
    return float((np.asarray(p, dtype=np.float16).astype(np.float64) ** 2).sum())


UNKNOWABLE = {
    "random": random_values,
    "chaotic": lambda: chaotic,
    "noisy by a hash": lambda: hash_noisy,
    "float32 inside": lambda: single_inside,
    "float16 inside": lambda: half_inside,
}


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.0, 2.0, 100.0])
@pytest.mark.parametrize("name", UNKNOWABLE)
def test_no_gradient_agrees_where_nobody_can_know(name, factor):
    check = check_gradient(UNKNOWABLE[name](), X, gradient=factor * 2 * X)
    assert check.verdict != "agree", str(check)
    assert not check.resolution <= 1e-4


def test_a_random_function_is_called_so_with_its_two_values_and_the_remedy():
    check = check_gradient(random_values(), X, gradient=-7 * X)
    assert check.verdict == "cannot tell"
    assert "at the same point: fix its seed, or call model.eval()" in check.reason
    assert check.evaluations == 2


def test_values_that_differ_in_their_last_digits_are_shown_with_them():
    calls = []

    def f(p):
        calls.append(None)
        return (5.25, 5.25000000005)[len(calls) % 2]

    reason = check_gradient(f, X, gradient=0 * X).reason
    assert "f gives 5.25000000005 and 5.25 at the same point" in reason


def test_an_infinite_value_is_not_called_random():
    check = check_gradient(lambda p: math.inf * p.sum(), X, gradient=X)
    assert check.verdict == "cannot tell"
    assert "f is inf at the parameters" in check.reason


def test_a_net_with_dropout_in_train_mode_is_random_for_a_comparison_too(load_backend):
    load_backend("torch")
    import torch

    def f(p):
        return (torch.nn.functional.dropout(p, 0.5, training=True) ** 2).sum()

    # Sizes of their own: no two sets of entries that are kept give one value by chance.
    comparison = compare_gradients({"torch": f}, np.linspace(1, 2, 40))
    assert comparison.verdict == "cannot tell"
    assert "at the same point" in comparison.reason


VECTOR = np.random.default_rng(1).standard_normal(50)
SLOPES = 2 * np.tanh(VECTOR) * (1 - np.tanh(VECTOR) ** 2)


def saturating(p):
    return np.sum(np.tanh(p) ** 2)


def in_dtype(array, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    return array.astype(dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("factor", [2.0, 10.0, -1.0, 0.0])
def test_low_precision_does_not_wave_a_wrong_gradient_through(dtype, factor):
    check = check_gradient(saturating, VECTOR, gradient=in_dtype(factor * SLOPES, dtype))
    assert check.verdict != "agree"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_rounding_granted_is_part_of_the_resolution(dtype):
    check = check_gradient(saturating, VECTOR, gradient=in_dtype(SLOPES, dtype))
    assert check.verdict != "differ"
    unit = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}[dtype]
    assert check.resolution >= unit
    assert check.entry_resolution >= check.resolution / 2


TOLERANCES = {
    "NaN": {"w": np.full(3, np.nan)},
    "negative": -1e-3,
    "misspelt": {"W": 1e-3},
    "misshapen": {"w": np.ones(2)},
    "infinite": math.inf,
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_tolerance_that_is_none_is_refused(name):
    with pytest.raises(InvalidSetting, match="tolerance"):
        check_gradient(
            lambda p: square(p["w"]), {"w": X}, gradient={"w": 3 * X}, tolerance=TOLERANCES[name]
        )


@pytest.mark.parametrize("tolerance", [1e-3, {"w": 1e-3}, {"w": np.full(3, 1e-3)}])
def test_a_tolerance_is_broadcast_and_named_in_the_sentence(tolerance):
    def check(off):
        return check_gradient(
            lambda p: square(p["w"]), {"w": X}, gradient={"w": 2 * X + off}, tolerance=tolerance
        )

    assert check(5e-4).verdict == "agree"
    assert "within the given tolerance" in check(5e-4).reason
    assert check(5e-2).verdict == "differ"


def test_a_relative_error_is_accepted_up_to_rtol():
    def check(factor):
        return check_gradient(square, X, gradient=factor * 2 * X, rtol=1e-3)

    assert check(1.0005).verdict == "agree"
    assert "within rtol 0.001" in check(1.0005).reason
    assert check(1.02).verdict == "differ"
    with pytest.raises(InvalidSetting, match="rtol"):
        check_gradient(square, X, gradient=2 * X, rtol=-1.0)


def test_a_callable_is_called_in_the_dtype_that_was_handed_over(load_backend):
    load_backend("torch")
    import torch

    def rule(x):
        e = torch.exp(x)
        return e / (1 + e)

    def f(x):
        return torch.nn.functional.softplus(x).sum()

    x = torch.tensor([1.0, 100.0, -3.0])
    check = check_gradient(f, x, gradient=rule)
    assert check.verdict == "differ"
    assert [suspect.index for suspect in check.suspects] == [(1,)]
    assert "in float64 it is right: only float32 is at fault" in check.notes
    assert check_gradient(f, x.double(), gradient=rule).verdict == "agree"


@pytest.mark.parametrize("factor", [-1, 0, 2])
def test_an_entry_near_the_edge_of_its_domain_may_not_be_anything(factor):
    p = np.array([1e-14, 0.3, 0.7])
    right = -(np.log(p) + 1)
    check = check_gradient(
        lambda p: -(p * np.log(p)).sum(), p, gradient=right * np.array([factor, 1, 1])
    )
    assert check.verdict != "agree"


@pytest.mark.parametrize("fault", [1e-3, 1e-6, -2e-8])
def test_an_entry_near_the_edge_hides_no_fault_of_all_entries(fault, load_backend):
    load_backend("torch")
    x = np.array([0.5, 2.1, 0.7, 0.13, 1.6e-5, 0.98])

    def f(p):
        xp = array_namespace(p)
        return xp.sum(xp.log(1 + p**2) - xp.log(p))

    right = 2 * x / (1 + x**2) - 1 / x
    assert check_gradient(f, x, gradient=right).verdict == "agree"
    assert check_gradient(f, x, gradient=right * (1 + fault)).verdict == "differ"


def test_faults_of_entries_that_are_next_to_zero_are_seen_beside_the_others(load_backend):
    load_backend("torch")
    x, weights = np.array([1e-14, -2e-14, 0.5, 0.3]), np.array([1.0, 2.0, 3.0, -1.0])

    def f(p):
        xp = array_namespace(p)
        return xp.sum(xp.sin(p) * xp.asarray(weights))

    right = weights * np.cos(x)
    assert check_gradient(f, x, gradient=right).verdict == "agree"
    check = check_gradient(f, x, gradient=right * np.array([1.01, 0.99, 1, 1]))
    assert {suspect.index for suspect in check.suspects} == {(0,), (1,)}, str(check)


@pytest.mark.parametrize("tiny", [1e-4, 1e-6, 1e-9])
def test_one_large_entry_buys_no_rounding_for_its_leaf(tiny):
    x = np.array([tiny, 0.5, 0.3, 0.7])
    wrong = np.array([1 / tiny, 0, 0, 0], np.float32)
    assert check_gradient(lambda p: np.log(p).sum(), x, gradient=wrong).verdict != "agree"
    right = (1 / x).astype(np.float32)
    assert check_gradient(lambda p: np.log(p).sum(), x, gradient=right).verdict != "differ"


def test_a_gradient_that_changes_from_call_to_call_is_wrong():
    calls = [0]

    def rule(x):
        calls[0] += 1
        return 2 * x * (1 if calls[0] % 2 else 0.5)

    check = check_gradient(square, X, gradient=rule)
    assert check.verdict == "differ"
    assert "gives 4 and 2 at [2] for the same input" in check.reason


def test_zeros_of_a_constant_function_prove_nothing_and_say_so():
    check = check_gradient(lambda p: 7.5, X, gradient=0 * X)
    assert "f does not depend on params here: this proves nothing" in check.reason
    assert check_gradient(lambda p: 7.5, X, gradient=X).verdict == "differ"


@pytest.mark.parametrize("offset", [403.8, 592.4, 33.0])
def test_a_slope_that_a_rounded_value_hides_is_not_wrong(offset):
    x = np.array([0.3, -1.2, 0.7])

    def f(x):  # nobody sees that it computes in float16
        return float(np.float16(offset + 1e-3 * np.tanh(x).sum()))

    gradient = 1e-3 / np.cosh(x) ** 2
    assert check_gradient(f, x, gradient=gradient).verdict == "cannot tell"
    assert check_gradient(f, x, gradient=1e4 * gradient).verdict == "differ"


def test_what_f_raises_nearby_is_reported():
    def f(x):
        if x[0] > 0.5:
            raise ValueError("shapes (3,) and (4,)")
        return (x**2).sum()

    check = check_gradient(f, np.array([0.5, 0.9]), gradient=np.array([1.0, 1.8]))
    assert any("ValueError: shapes (3,) and (4,)" in note for note in check.notes)


def test_a_timeout_that_f_raises_is_no_edge_of_a_domain():
    def f(x):
        if x[0] > 0.5:
            raise TimeoutError
        return (x**2).sum()

    with pytest.raises(TimeoutError):
        check_gradient(f, np.array([0.5, 0.9]), gradient=np.array([1.0, 1.8]))


# What is right, and was called wrong.


def test_a_jax_function_of_numpy_arrays_is_differenced_in_float64(load_backend):
    load_backend("jax")
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    params, x = {"W": rng.normal(size=(4, 3))}, rng.normal(size=(6, 4))
    comparison = compare_gradients(
        lambda params, x: jnp.mean(jnp.tanh(x @ params["W"]) ** 2), params, x
    )
    assert comparison.verdict == "agree", str(comparison)
    assert set(dict(comparison.values)) >= {"numerical", "jax"}


def test_differences_are_granted_the_rounding_of_f(load_backend):
    load_backend("torch")
    comparison = compare_gradients(
        lambda x: (x / 1e6).sum() + 1, np.array([0.0, 1e6]), backends=("numerical", "torch")
    )
    assert comparison.verdict == "agree", str(comparison)


def test_rounding_dust_convicts_nobody(load_backend):
    load_backend("torch")
    import torch

    x = torch.tensor([[3.7]], dtype=torch.float64)
    w = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)

    def f(w, x):
        return torch.nn.functional.layer_norm(x, (1,), w).sum()

    f(w, x).backward()
    assert check_gradient(f, w.detach(), x, gradient=w.grad).verdict != "differ"
    assert check_gradient(f, w.detach(), x, gradient=w.grad + 1e-6).verdict == "differ"


def test_values_that_two_algorithms_tell_apart_are_no_dispute(load_backend):
    load_backend("torch"), load_backend("jax")
    import jax
    import torch

    functions = {
        "jax": lambda x: jax.scipy.special.log_ndtr(x).sum(),
        "torch": lambda x: torch.special.log_ndtr(x).sum(),
    }
    comparison = compare_gradients(functions, np.array([-7.3, -20.0, 1.2]))
    assert comparison.verdict == "agree", str(comparison)


def test_a_symmetrised_gradient_is_called_so(load_backend):
    load_backend("torch")
    import torch

    matrix = torch.tensor([[4.0, 1, 0.5], [1, 3, 0.2], [0.5, 0.2, 2]], dtype=torch.float64)

    def f(a):
        return torch.linalg.cholesky(a).sum()

    def rule(a):
        return torch.autograd.grad(f(a.requires_grad_()), a)[0]

    check = check_gradient(f, matrix, gradient=rule)
    assert check.pattern.startswith("symmetrised: right for symmetric changes")


NAMED = {"a": X, "b": np.array([1.0, 2.0])}
NAMED_GRADIENT = {"a": 2 * X, "b": 3 * NAMED["b"] ** 2}


def of_two(p):
    return (p["a"] ** 2).sum() + (p["b"] ** 3).sum()


BY_ORDER = {
    "a tuple": (NAMED_GRADIENT["a"], NAMED_GRADIENT["b"]),
    "a flat vector": np.concatenate([NAMED_GRADIENT["a"], NAMED_GRADIENT["b"]]),
    "other names": {"da": NAMED_GRADIENT["a"], "db": NAMED_GRADIENT["b"]},
    "lists of numbers": {name: leaf.tolist() for name, leaf in NAMED_GRADIENT.items()},
}


@pytest.mark.parametrize("factor", [0.0, 1.0, -1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_values_of_a_smaller_dtype_hide_slopes_however_they_are_held(factor, seed):
    rng = np.random.default_rng([seed, 5])
    x, weights = rng.normal(size=4), rng.normal(size=4) / 300

    def f(x):
        return float(np.float16(np.sum(weights * np.tanh(x)) + 2.375))

    check = check_gradient(f, x, gradient=factor * weights / np.cosh(x) ** 2)
    assert check.verdict == "cannot tell", str(check)


@pytest.mark.parametrize("name", BY_ORDER)
def test_a_gradient_of_another_structure_is_judged_by_order_with_a_remark(name):
    check = check_gradient(of_two, NAMED, gradient=BY_ORDER[name])
    assert check.verdict == "agree", str(check)
    assert check.notes


MISTAKEN = {
    "value and gradient": ((3.0, NAMED_GRADIENT), "expected the gradient alone"),
    "a bare array": (np.ones(7), "expected a pytree like params, with the leaves a, b"),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_a_usual_mistake_of_the_call_is_named(name):
    gradient, message = MISTAKEN[name]
    assert message in check_gradient(of_two, NAMED, gradient=gradient).reason


def test_an_assertion_of_f_at_a_moved_point_is_the_edge_of_its_domain(load_backend):
    load_backend("torch")
    import torch

    t = torch.tensor([0.0, 1, 1], dtype=torch.float64)
    p = torch.tensor([0.01, 0.5, 0.9], dtype=torch.float64)
    check = check_gradient(
        lambda p: torch.nn.functional.binary_cross_entropy(p, t),
        p,
        gradient=(p - t) / (p * (1 - p)) / 3,
    )
    assert check.verdict == "agree", str(check)


def test_kinks_at_negative_zeros_divide_nothing_by_zero():
    params = {"a": np.array([[-0.0, -1, -1], [0, -1, -0.0]]), "u": np.array([0.0, -1e-5])}
    check = check_gradient(
        lambda p: np.mean(np.maximum(p["a"], 0)) + np.mean(p["a"]),
        params,
        gradient={"a": np.zeros((2, 3)), "u": np.zeros(2)},
    )
    assert check.verdict == "differ"


@pytest.mark.parametrize("scale", [1e107, 1e150, 1e-107, 1e-150])
def test_huge_and_tiny_scales_overflow_nothing(scale, load_backend):
    load_backend("torch")
    comparison = compare_gradients(
        lambda x: ((x / scale) ** 2).sum(),
        np.array([1.0, -2.0]) * scale,
        backends=("numerical", "torch"),
    )
    assert comparison.verdict != "differ", str(comparison)


def test_bad_calls_are_refused_by_name(load_backend):
    with pytest.raises(InvalidSetting, match="seed"):
        check_gradient(square, X, gradient=2 * X, seed=-1)
    with pytest.raises(NonScalarLoss, match="None"):
        check_gradient(lambda p: square(p) if p[0] == 0.5 else None, X, gradient=2 * X)
    load_backend("torch")
    import torch

    with pytest.raises(InvalidParameters, match="meta"):
        check_gradient(square, torch.ones(3, device="meta"), gradient=np.ones(3))
    with pytest.raises(InvalidParameters, match="vmap"):
        torch.func.vmap(lambda p: check_gradient(square, p, gradient=2 * p))(torch.ones(2, 3))


@pytest.mark.parametrize(
    "f",
    [
        lambda p: float(np.float32(1e6) + np.float32(1e-4 * np.sum(np.tanh(p)))),
        lambda p: np.float32(4 + 1e-9 * np.sum(np.tanh(p))),
        lambda p: np.float16(701 + 1e-6 * np.sum(p**2)),
    ],
)
def test_zeros_are_not_right_where_the_grain_of_f_may_hide_its_slope(f):
    x = np.array([0.5, -1.0, 2.0])
    check = check_gradient(f, x, gradient=np.zeros(3))
    assert check.verdict == "cannot tell", str(check)
    exact = check_gradient(lambda p: 0 * np.sum(p) + 4.0, x, gradient=np.zeros(3))
    assert exact.verdict == "agree"


# Structure of f that is finer than the steps that most slopes are measured by.


def rippled(height, frequency):
    """Return x^2 / 2 under a ripple, its gradient, and that of the hill alone."""
    return (
        lambda p: np.sum(p**2) / 2 + height * np.sum(np.sin(frequency * p)),
        lambda p: p + height * frequency * np.cos(frequency * p),
        lambda p: p,
    )


@pytest.mark.parametrize("frequency", [1e3, 1e5, 1e7, 1e9, 1e11])
@pytest.mark.parametrize("height", [1e-3, 1e-5, 1e-7])
def test_a_ripple_is_no_kink_and_its_own_gradient_no_fault(height, frequency):
    f, gradient, smooth = rippled(height, frequency)
    for seed in range(4):
        x = np.random.default_rng([seed, int(frequency)]).normal(size=1 + seed % 3)
        right = check_gradient(f, x, gradient=gradient(x))
        assert right.verdict != "differ", str(right)
        wrong = check_gradient(f, x, gradient=smooth(x))
        assert wrong.verdict != "agree", str(wrong)


@pytest.mark.parametrize("frequency", [1e3, 1e6, 1e8])
def test_only_the_wrong_entry_of_a_fast_wave_is_named_with_its_slope(frequency):
    x = np.random.default_rng(3).normal(size=20)
    right = frequency * np.cos(frequency * x)
    wrong = right.copy()
    wrong[0] *= -1
    check = check_gradient(lambda p: np.sum(np.sin(frequency * p)), x, gradient=wrong)
    assert check.verdict == "differ"
    assert [suspect.index for suspect in check.suspects] == [(0,)], str(check)
    assert check.suspects[0].expected == pytest.approx(right[0], rel=1e-4)


@pytest.mark.parametrize("own", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("factor", [-1.0, 0.0, 2.0])
def test_a_small_entry_is_moved_as_far_as_it_takes_to_see_it(own, factor):
    x = np.append(own, np.random.default_rng(3).normal(size=20))
    gradient = 2 * x
    gradient[0] *= factor
    assert check_gradient(square, x, gradient=2 * x).verdict == "agree"
    check = check_gradient(square, x, gradient=gradient)
    assert check.verdict == "differ", str(check)
    assert [suspect.index for suspect in check.suspects] == [(0,)]


@pytest.mark.parametrize("at", [300.0, -700.0])
def test_zeros_are_not_right_where_f_grows_a_billion_times_within_a_step(at):
    check = check_gradient(
        lambda p: float(np.exp(p).sum()), np.array([at, at]), gradient=np.zeros(2)
    )
    assert check.verdict == "differ", str(check)


@pytest.mark.parametrize("offset", [1e14, 1e15, -1e16])
def test_zeros_are_not_right_where_the_rounding_of_f_hides_its_slope(offset):
    check = check_gradient(lambda p: offset + (p**2).sum(), X, gradient=0 * X)
    assert check.verdict == "cannot tell", str(check)


@pytest.mark.parametrize(
    "f", [lambda p: (p**3).sum(), lambda p: (p * abs(p)).sum(), lambda p: 5 + (p**4).sum()]
)
def test_a_function_that_is_flat_at_a_point_is_not_said_to_ignore_its_parameters(f):
    at = np.zeros(3)
    check = check_gradient(f, at, gradient=at)
    assert check.verdict == "agree"
    assert 0 < check.resolution < 1e-8
    assert "does not depend" not in check.reason
    assert check_gradient(f, at, gradient=at + 1e-3).verdict == "differ"


def largest(p):
    return p.max()


def largest_of_windows(p):
    return (p.reshape(-1, 2).max(axis=1) * (1 + np.arange(p.size // 2))).sum()


TIES = {
    "largest of equal numbers": (largest, np.ones(4), np.ones(4), np.ones(4) / 4),
    "largest of two": (largest, np.ones(2), np.ones(2), np.array([0.0, 1.0])),
    "none of equal numbers": (largest, np.ones(2), np.zeros(2), np.array([0.3, 0.7])),
    "windows": (
        largest_of_windows,
        np.array([1.0, 1.0, 3.0, 2.0, 5.0, 5.0]),
        np.array([1.0, 1.0, 2.0, 0.0, 3.0, 3.0]),
        np.array([1.0, 0.0, 2.0, 0.0, 1.5, 1.5]),
    ),
    "norm at the origin": (
        lambda p: np.sqrt((p**2).sum()),
        np.zeros(3),
        np.array([0.9, -0.9, 0.9]),
        np.array([0.5, -0.5, 0.5]),
    ),
    "spread of equal numbers": (
        lambda p: p.max() - 2 * p.min(),
        np.ones(3),
        np.array([1.0, 1.0, 0.0]),
        np.array([1.0, -2.0, 0.0]),
    ),
}


@pytest.mark.parametrize("name", TIES)
def test_entries_that_are_legal_alone_are_not_taken_to_be_so_together(name):
    f, at, wrong, right = TIES[name]
    assert check_gradient(f, at, gradient=right).verdict == "agree"
    check = check_gradient(f, at, gradient=wrong)
    assert check.verdict == "cannot tell", str(check)
    assert "not together" in check.reason


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_kinks_side_by_side_may_all_have_one_convention(at_zero):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=20)
    check = check_gradient(
        lambda p: (weights * np.maximum(p, 0)).sum(), np.zeros(20), gradient=at_zero * weights
    )
    assert check.verdict == "agree", str(check)
    signs = np.sign(weights)
    check = check_gradient(lambda p: (weights * abs(p)).sum(), np.zeros(20), gradient=signs * 0.1)
    assert check.verdict == "agree" if (abs(weights) > 0.1).all() else "differ", str(check)


@pytest.mark.parametrize("seed", range(4))
def test_a_mean_of_pieces_that_few_points_around_show_is_not_called_wrong(seed, load_backend):
    load_backend("torch")
    import torch

    def f(p):  # of three equal numbers, the second one is the median and the smaller in one of six
        return p.sort()[0][:3].sum() + p.median() + torch.minimum(p[0], p[1])

    at = torch.tensor([-2.0, -2.0, 0.0, -2.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(f(at), at)
    check = check_gradient(f, at.detach(), gradient=gradient, seed=seed)
    assert check.verdict != "differ", str(check)


@pytest.mark.parametrize("at", [[1.125, 2.375, -0.625], [0.3125, 7.0625], [1.5, 2.25, 3.125]])
def test_round_numbers_with_a_round_value_are_not_taken_for_float32(at):
    at = np.array(at)
    check = check_gradient(lambda p: (p**3).sum(), at, gradient=3 * at**2)
    assert check.verdict == "agree"
    assert check.resolution < 1e-10
    assert not check.notes


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_what_rounding_hides_is_not_taken_apart(dtype):
    x = np.random.default_rng(0).normal(size=300)

    def f(x):
        return math.fsum(np.tanh(x))

    check = check_gradient(f, x, gradient=(1 / np.cosh(x) ** 2).astype(dtype))
    assert check.verdict != "differ"
    assert check.evaluations < 30


ACCEPTED = {
    "one number": 1e-3,
    "arrays": np.array([1e-3, 1e-3, 1e-3]),
    "one alone": np.array([1.0, 0.0, 1e-3]),
}


@pytest.mark.parametrize("engine", ["torch", None])
@pytest.mark.parametrize("accepted", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize(("part", "verdict"), [(0.9, "agree"), (1.5, "differ")])
def test_an_entry_is_excused_by_its_own_tolerance_alone(
    load_backend, engine, accepted, part, verdict
):
    at = np.array([0.5, -1.2, 2.0])
    params = load_backend(engine).asarray(at) if engine else at

    def f(p):
        return p.sin().sum() if engine else float(np.sin(np.asarray(p)).sum())

    off = np.array([0.4 if np.ndim(accepted) and accepted[0] == 1 else 0.0, 0.0, part * 1e-3])
    check = check_gradient(f, params, gradient=np.cos(at) + off, tolerance=accepted)
    assert check.verdict == verdict, str(check)
    assert verdict == "agree" or {suspect.index for suspect in check.suspects} == {(2,)}
