"""The scatter of randomly rounded gradients: right ones stand within it, wrong ones outside."""

import numpy as np
import pytest

from gradparity.backends.precision import UNIT_ROUNDOFF
from gradparity.backends.rounding import Unmeasured, measure_rounding, scatter_margin
from gradparity.backends.rounding.instrument import find_instrument
from gradparity.backends.rounding.scatter import LeafRounding
from gradparity.compare.low_precision.standing import standing
from gradparity.compare.scenarios.layers import LAYERS

DTYPES = ("bfloat16", "float16", "float32")
RUNS = 12


@pytest.fixture(params=["torch", "jax"])
def engine(request, load_backend):
    load_backend(request.param)
    return request.param


@pytest.fixture
def torch(load_backend):
    load_backend("torch")
    return pytest.importorskip("torch")


@pytest.fixture
def jax(load_backend):
    load_backend("jax")
    return pytest.importorskip("jax")


def subject(name):
    (found,) = [subject for subject in LAYERS if subject.name == name]
    return found


def measured(name, dtype, *, size=6, seed=0, backend="torch", runs=RUNS):
    chosen = subject(name)
    params, args = chosen.draw(np.random.default_rng([seed, size]), size)
    found = measure_rounding(
        chosen.f, params, args, dtype, backend_name=backend, runs=runs, seed=seed
    )
    assert not isinstance(found, Unmeasured), found
    return found


def computed_in_float32_and_rounded_once(name, dtype, size=6, seed=0):
    """Return the gradient as a fused kernel gives it, float64 arrays."""
    instrument = find_instrument("torch")
    chosen = subject(name)
    params, args = chosen.draw(np.random.default_rng([seed, size]), size)
    wide = "float64" if dtype == "float32" else "float32"

    def native(array):
        return instrument.native(instrument.native(array, dtype), wide)

    gradient = instrument.rounded(
        chosen.f,
        {leaf: native(array) for leaf, array in params.items()},
        tuple(map(native, args)),
        None,
    )(None)
    return [instrument.native(leaf, dtype).double().numpy() for leaf in gradient.leaves]


@pytest.mark.parametrize("dtype", DTYPES)
def test_right_gradients_stand_within_their_scatter_and_wrong_ones_do_not(torch, dtype):
    fits = []
    for chosen in LAYERS:
        rounding = measured(chosen.name, dtype)
        fused = computed_in_float32_and_rounded_once(chosen.name, dtype)
        for leaf, once in zip(rounding.leaves, fused, strict=True):
            eager = leaf.truth + leaf.eager
            for right in (eager, once):
                found = standing(leaf, right)
                assert not found.wrong, (chosen.name, found)
                fits.append(found.fits)
            for wrong in (0 * eager, -eager, 10 * eager, np.roll(eager, 1) + eager.std()):
                assert standing(leaf, wrong).wrong, chosen.name
            if eager.ndim == 2:
                dropped = eager.copy()
                dropped[-1] = 0.0
                assert standing(leaf, dropped).wrong, chosen.name
    assert np.mean(fits) > 0.97


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["layer norm", "attention", "tanh net"])
def test_a_leaf_a_tenth_too_large_is_outside(torch, name, dtype):
    for leaf in measured(name, dtype, size=12).leaves:
        assert standing(leaf, 1.1 * (leaf.truth + leaf.eager)).wrong


def test_what_no_entry_shows_adds_up_along_the_leaf(torch):
    leaf = measured("product", "bfloat16", size=30).leaves[0]
    right = leaf.truth + leaf.eager
    missing_mean = right + 0.5 * np.median(leaf.entry)
    found = standing(leaf, missing_mean)
    assert np.max(found.entries) < 1.0
    assert found.wrong
    assert found.by.startswith("sums")
    assert standing(leaf, right).fits


def test_one_wrong_entry_is_named(torch):
    leaf = measured("three products", "bfloat16", size=60, runs=24).leaves[0]
    claimed = leaf.truth + leaf.eager
    index = np.unravel_index(np.argsort(np.abs(claimed), axis=None)[1800], claimed.shape)
    claimed[index] *= 1.3
    found = standing(leaf, claimed)
    assert found.wrong
    assert np.unravel_index(np.argmax(found.entries), claimed.shape) == index


def test_a_claim_that_is_not_finite_is_wrong(torch):
    leaf = measured("exp", "float16").leaves[0]
    claimed = leaf.truth.copy()
    claimed[0, 0] = np.nan
    assert standing(leaf, claimed).wrong


def test_float64_is_rounded_at_random_where_it_is_asked_for(engine):
    scatters = {}
    for dtype in ("float32", "float64"):
        rounding = measured("softmax", dtype, backend=engine)
        scatters[dtype] = rounding.leaves[0].leaf
        assert rounding.rounded_to == (dtype,)
    # One rounding either way in float64 is twice that, so that it is not rounded off again.
    assert 0.5 < scatters["float64"] / scatters["float32"] * 2**29 < 5
    chosen = subject("softmax")
    params, args = chosen.draw(np.random.default_rng(0), 6)
    as_they_are = measure_rounding(chosen.f, params, args, None, backend_name=engine)
    assert all(np.max(abs(leaf.errors)) < 1e-14 for leaf in as_they_are.leaves)
    assert as_they_are.rounded_to == ()


def test_moving_values_is_not_rounded(engine):
    def moved(p, c):
        return (c * p["x"].reshape(4, 6).T[1:, :]).sum() + p["x"][0, 0]

    params = {"x": np.random.default_rng(0).normal(size=(6, 4))}
    args = (np.random.default_rng(1).normal(size=(5, 4)),)
    (leaf,) = measure_rounding(moved, params, args, "bfloat16", backend_name=engine).leaves
    assert not leaf.errors.any()
    (leaf,) = measure_rounding(
        lambda p, c: moved(p, c * 1.1), params, args, "bfloat16", backend_name=engine
    ).leaves
    assert leaf.errors.any()


def test_products_are_rounded_once_and_not_as_often_as_they_have_terms(engine):
    params = {"W": np.random.default_rng(0).normal(size=(900, 2))}
    args = (np.random.default_rng(1).normal(size=(3, 900)), np.ones((3, 2)))

    def product(p, x, c):
        return (c * (x @ p["W"]) * (x @ p["W"])).sum()

    (leaf,) = measure_rounding(product, params, args, "bfloat16", backend_name=engine).leaves
    scatter = leaf.leaf / np.linalg.norm(leaf.truth)
    assert 0.3 * UNIT_ROUNDOFF["bfloat16"] < scatter < 4 * UNIT_ROUNDOFF["bfloat16"]


def test_both_frameworks_scatter_alike(torch, jax):
    for name in ("linear", "softmax"):
        for dtype in ("bfloat16", "float32"):
            pairs = zip(
                measured(name, dtype).leaves,
                measured(name, dtype, backend="jax").leaves,
                strict=True,
            )
            for one, other in pairs:
                np.testing.assert_allclose(one.truth, other.truth, atol=1e-12)
                assert 0.5 < one.leaf / other.leaf < 2.0
                assert not standing(one, other.truth + other.eager).wrong


def test_a_seed_gives_the_same_runs_and_more_runs_keep_them(engine):
    one, other = (measured("softmax", "float32", backend=engine, runs=3) for _ in range(2))
    np.testing.assert_array_equal(one.leaves[0].errors, other.leaves[0].errors)
    more = one.with_runs(5)
    assert (one.runs, more.runs) == (3, 5)
    np.testing.assert_array_equal(more.leaves[0].errors[:3], one.leaves[0].errors)
    assert not np.array_equal(more.leaves[0].errors[3], more.leaves[0].errors[4])
    another = measured("softmax", "float32", backend=engine, runs=3, seed=1)
    assert not np.array_equal(another.leaves[0].errors, one.leaves[0].errors)


def test_all_that_jax_nests_is_rounded_too(jax):
    @jax.custom_vjp
    def doubled(x):
        return 2.1 * x

    doubled.defvjp(lambda x: (2.1 * x, None), lambda _, cotangent: (2.1 * cotangent,))
    inside = {
        "jit": jax.jit(lambda x: 1.1 * x),
        "scan": lambda x: jax.lax.scan(lambda c, _: (1.1 * c, None), x, None, length=2)[0],
        "cond": lambda x: jax.lax.cond(x[0] > 9, lambda y: y, lambda y: 1.1 * y, x),
        "while": lambda x: (
            x
            * jax.lax.while_loop(lambda s: s < 3.0, lambda s: s * 1.3, jax.numpy.ones((), x.dtype))
        ),
        "checkpoint": jax.checkpoint(lambda x: 1.1 * x),
        "custom rule": doubled,
    }
    x = np.asarray([0.3, -1.2, 0.7, 2.0])
    for name, g in inside.items():
        found = measure_rounding(lambda x, g=g: g(x).sum(), x, (), "bfloat16", backend_name="jax")
        assert not isinstance(found, Unmeasured), (name, found)
        assert found.leaves[0].errors.any(), name
        with jax.enable_x64(True):
            low = jax.numpy.asarray(x, "bfloat16").astype("float64")
            expected = jax.grad(lambda x, g=g: g(x).sum())(low)
        np.testing.assert_allclose(found.leaves[0].truth, expected, rtol=1e-12, err_msg=name)


def test_a_vjp_is_measured_with_its_cotangent(engine):
    def squares(p):
        return {"y": p * p}

    x, c = np.asarray([1.1, 2.3, -0.7]), np.asarray([1.1, -2.3, 0.6])
    found = measure_rounding(squares, x, (), "float16", backend_name=engine, cotangent={"y": c})
    low_x, low_c = (array.astype(np.float16).astype(float) for array in (x, c))
    np.testing.assert_allclose(found.leaves[0].truth, 2 * low_x * low_c)
    assert found.leaves[0].errors.any()


@pytest.mark.parametrize(
    ("f", "backend", "reason"),
    [
        (lambda x: (x * x).sum(), "numerical", "torch and jax can"),
        (lambda x: float(np.sum(np.square(np.asarray(x)))), "jax", "TracerArrayConversion"),
        (lambda x: 1.0, "torch", "returned float"),
    ],
)
def test_what_cannot_be_run_that_way_says_why(load_backend, f, backend, reason):
    load_backend(backend)
    found = measure_rounding(f, np.ones(3), (), "bfloat16", backend_name=backend)
    assert isinstance(found, Unmeasured)
    assert reason in found.reason


def test_the_margin_follows_chi_squared():
    # The 5 % quantiles of chi-squared for 8 and 24 degrees of freedom: 2.7326, 13.848.
    assert scatter_margin(8) == pytest.approx(np.sqrt(8 / 2.7326), rel=0.01)
    assert scatter_margin(24) == pytest.approx(np.sqrt(24 / 13.848), rel=0.01)


def test_an_overflow_in_a_run_leaves_no_finite_bar():
    errors = np.zeros((4, 3))
    errors[2, 1] = np.inf
    leaf = LeafRounding("w", "float16", np.ones(3), errors, np.zeros(3))
    assert not np.isfinite(leaf.entry[1])
    assert not np.isfinite(leaf.leaf)
