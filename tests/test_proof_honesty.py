"""What is no derivative is never proved: jumps, edges, ties, random or misread functions."""

import random

import numpy as np
import pytest

pytest.importorskip("flint")

from gradparity.backends.errors import NonScalarLoss  # noqa: E402
from gradparity.compare import prove_gradient  # noqa: E402

AT_ZERO = np.asarray([0.0, 1.0, 2.0])
X = np.asarray([0.5, 1.25, -2.0])


def reason(f, x, *args):
    proof = prove_gradient(f, x, *args)
    assert proof.verdict == "not proved", str(proof)
    return proof.reason


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x**2) * np.sum(x > 0),
        lambda x: np.sum(x**2) * ((x > 0) @ (x >= -1)),
        lambda x: np.sum(np.where((x > 0) == 1, 2 * x, x)),
        lambda x: np.sum(np.where((x > 0).astype(int) != 1, x, 2 * x)),
        lambda x: np.sum(x[x > 0] * 3),
    ],
)
def test_a_count_of_what_is_tied_jumps(f):
    assert "exact tie" in reason(f, AT_ZERO)
    assert prove_gradient(f, AT_ZERO + 0.5).verdict == "proved right"


def test_an_order_of_what_is_tied_jumps():
    def f(x):
        return np.sum(x[np.argsort(x[:2] > 0)] ** 2)

    assert "tie" in reason(f, AT_ZERO)
    assert prove_gradient(f, AT_ZERO - 0.5).verdict == "proved right"


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.arctan2(x[0], -1.0) + x[1], [0.0, 1.0]),
        (lambda x: np.arctan2(x[0], x[1]), [0.0, -1.0]),
        (lambda x: np.sum(x**1.5), [0.0, 1.0]),
    ],
)
def test_the_edge_of_a_domain_and_the_cut_of_an_angle_have_no_slope(f, x):
    assert "on the edge of" in reason(f, np.asarray(x))
    assert prove_gradient(f, np.asarray(x) + 0.1).verdict == "proved right"


def test_what_is_smooth_at_the_edge_is_proved():
    x = np.asarray([0.0, 1.0])
    assert prove_gradient(lambda x: np.sum(np.abs(x) ** 1.5), x).value.tolist() == [0.0, 1.5]
    assert prove_gradient(lambda x: np.sum(x**2), x).value.tolist() == [0.0, 2.0]
    assert prove_gradient(lambda x: np.arctan2(x[0], 1.0), x).value.tolist() == [1.0, 0.0]
    both = prove_gradient(lambda x: np.sum(np.where(x >= 0, x * x, -x * x)), x)
    assert both.value.tolist() == [0.0, 2.0]


@pytest.mark.parametrize("size", [1e-16, 1e-40, 1e-200])
def test_a_kink_is_one_however_small_it_is_beside_the_rest(size):
    x = np.asarray([1.0, 0.0])
    assert "kink of abs" in reason(lambda x: x[0] + size * np.abs(x[1]), x)
    assert prove_gradient(lambda x: x[0] + size * x[1], x).verdict == "proved right"


def test_a_function_without_a_value_has_no_gradient():
    with np.errstate(all="ignore"):
        assert "log is not finite" in reason(lambda x: np.sum(np.log(x)), np.asarray([-1.0]))
    assert "params[1] is nan" in reason(lambda x: x[0] ** 2, np.asarray([1.0, np.nan]))
    assert "params[0] is inf" in reason(lambda x: np.sum(np.exp(-x)), np.asarray([np.inf]))
    with pytest.raises(NonScalarLoss, match="bool"):
        prove_gradient(lambda x: np.sum(x) > 0, X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.real((1j * x) ** 2)),
        lambda x: np.sum(np.exp(1j * x).imag),
        lambda x: np.sum(x * (np.longdouble(1) / 3)),
    ],
)
def test_numbers_that_balls_do_not_hold_are_refused(f):
    assert "f computes with" in reason(f, X)
    assert prove_gradient(lambda x: np.sum(x * np.longdouble(0.5)), X).verdict == "proved right"


def test_a_rule_that_writes_into_its_arguments_is_judged_at_the_same_point():
    def rule(x, y):
        x *= 2
        y *= 2
        return y / 2

    x, y = np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])
    proof = prove_gradient(lambda x, y: np.sum(x * y), x, y, gradient=rule)
    assert proof.verdict == "proved right"
    assert (x.tolist(), y.tolist()) == ([1.0, 2.0], [3.0, 4.0])


def test_a_function_that_notices_how_it_is_read_is_not_proved():
    def asks(x):
        return np.sum(x) if type(x) is np.ndarray else np.sum(x * x)

    assert "asks what it is given" in reason(asks, X)
    torch = pytest.importorskip("torch")
    leaf = torch.from_numpy(X)
    assert "whether gradients are taken" in reason(
        lambda x: x.sum() if torch.is_grad_enabled() else (x * x).sum(), leaf
    )


# JAX and PyTorch.


def of_jax():
    jax = pytest.importorskip("jax")
    jnp, lax = jax.numpy, jax.lax
    return {
        "count": (lambda x: jnp.sum(x**2) * jnp.sum(x > 0), AT_ZERO, "exact tie"),
        "choice": (
            lambda x: jnp.sum(lax.select_n((x > 0).astype(jnp.int32), x, 2 * x)),
            AT_ZERO,
            "exact tie",
        ),
        "reduce": (lambda x: lax.reduce(x, 0.0 * x[0], lambda a, b: a / 2 + b, (0,)), X, "reduce"),
        "window": (
            lambda x: jnp.sum(lax.reduce_window(x, 1.0, lax.mul, (2,), (1,), "VALID")),
            X,
            "reduce_window",
        ),
        "apply": (lambda x: jnp.sum(x.at[jnp.asarray([0, 1])].apply(jnp.sin)), X, "scatter"),
        "random": (lambda x: jnp.sum(x * np.random.default_rng().random()), X, "random"),
    }


def of_torch():
    torch = pytest.importorskip("torch")
    at = torch.tensor([0, 0, 2])
    return {
        "count": (lambda x: (x**2).sum() * (x > 0).sum(), AT_ZERO, "exact tie"),
        "mask": (lambda x: (x[x > 0] * 3).sum(), AT_ZERO, "exact tie"),
        "complex": (lambda x: x.to(torch.complex128).abs().sum(), X, "complex128"),
        "imaginary": (lambda x: (x * 1j).abs().sum(), X, "complex"),
        "added": (lambda x: (x.index_put((at,), x * x, True) ** 2).sum(), X, "which computes"),
        "reduced": (
            lambda x: (torch.scatter(x, 0, at, x * x, reduce="add") ** 2).sum(),
            X,
            "which computes",
        ),
        "numbers": (lambda x: x.scatter(0, at[1:], 3.0).sum(), np.arange(5.0), "which computes"),
        "bits": (lambda x: x.view(torch.int64).double().sum(), X, "view"),
        "random": (lambda x: (x * random.random()).sum(), X, "random"),
    }


@pytest.mark.parametrize("name", sorted(of_jax()))
def test_what_jax_does_is_not_misread(name):
    jnp = pytest.importorskip("jax").numpy
    f, x, why = of_jax()[name]
    assert why in reason(f, jnp.asarray(x))


@pytest.mark.parametrize("name", sorted(of_torch()))
def test_what_torch_does_is_not_misread(name):
    torch = pytest.importorskip("torch")
    f, x, why = of_torch()[name]
    assert why in reason(f, torch.from_numpy(x))


def test_torch_takes_a_mask_and_casts_what_it_sums():
    torch = pytest.importorskip("torch")
    leaf = torch.from_numpy(X)
    masked = prove_gradient(lambda x: (x[x > 0] * 3).sum(), leaf)
    assert masked.value.tolist() == [3.0, 3.0, 0.0]
    whole = prove_gradient(lambda x: (x.sum(dtype=torch.int64) * x).sum(), leaf[:2])
    assert whole.value.tolist() == [1.0, 1.0]


def test_what_is_written_into_an_array_is_not_lost():
    torch = pytest.importorskip("torch")

    class Square(torch.autograd.Function):  # such a function is recorded with its writing
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, arriving):
            return 2 * ctx.saved_tensors[0] * arriving

    def tripled(x):
        y = x * 1.0
        y.mul_(3.0)
        return Square.apply(y).sum()

    def through_a_view(x):
        y = x * 1.0
        y[1:].mul_(3.0)
        return Square.apply(y).sum()

    leaf = torch.from_numpy(X)
    assert prove_gradient(tripled, leaf).value.tolist() == (18 * X).tolist()
    seen = prove_gradient(through_a_view, leaf)
    assert seen.verdict == "not proved" or seen.value.tolist() == (X * [2, 18, 18]).tolist()


def test_a_mask_of_minus_infinity_and_what_is_padded_are_followed():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def attended(a):
        return functional.scaled_dot_product_attention(a, a, a * a, is_causal=True).sum()

    def pooled(a):
        widest = functional.max_pool2d(a[None], 3, 2, padding=1)
        return (widest**2).sum() + (functional.avg_pool2d(a[None], 2) ** 3).sum()

    a = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 5, 4)))
    for f in (attended, pooled):
        leaf = a.clone().requires_grad_()
        f(leaf).backward()
        assert prove_gradient(f, a, gradient=leaf.grad).verdict == "proved right"


def test_what_f_does_not_use_is_no_obstacle():
    def f(x, xp):
        unused = xp.floor(x)  # which jumps here
        return xp.sum(x * x) if unused is not None else unused

    x = np.asarray([1.0, 2.0])
    assert prove_gradient(lambda x: f(x, np), x).value.tolist() == [2.0, 4.0]
    jnp = pytest.importorskip("jax").numpy
    assert prove_gradient(lambda x: f(x, jnp), jnp.asarray(x)).value.tolist() == [2.0, 4.0]
    torch = pytest.importorskip("torch")
    assert prove_gradient(lambda x: f(x, torch), torch.from_numpy(x)).value.tolist() == [2.0, 4.0]


def test_jax_joins_columns_and_draws_from_keys():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def columns(x):
        return jnp.sum(jnp.outer(x, x + 1).ravel(order="F") * jnp.arange(9.0))

    def dropped(x, key):
        kept = jax.random.bernoulli(key, 0.5, x.shape)
        return jnp.sum(jnp.where(kept, x**2, 0.0) * jax.random.normal(jax.random.key(1), x.shape))

    with jax.enable_x64(True):
        x, key = jnp.asarray(X), jax.random.key(3)
        for f, args in ((columns, ()), (dropped, (key,))):
            claim = np.asarray(jax.grad(f)(x, *args))
            assert prove_gradient(f, x, *args, gradient=claim).verdict == "proved right"


def test_torch_may_write_into_what_it_is_given():
    torch = pytest.importorskip("torch")

    def f(x, y):
        return (x.mul_(2) * y.mul_(3)).sum()

    x, y = torch.from_numpy(X.copy()), torch.from_numpy(X.copy())
    assert prove_gradient(f, x, y).value.tolist() == (6 * X).tolist()
    assert (x.tolist(), y.tolist()) == (X.tolist(), X.tolist())
