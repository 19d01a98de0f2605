"""Custom gradient rules as users write them, checked as they are: right ones pass, wrong do not."""

import numpy as np
import pytest

from gradparity.compare import check_gradient, check_pushforward, compare_gradients

pytestmark = pytest.mark.gradcheck

POINT = np.asarray([-3.0, -0.5, 0.25, 2.0])
MATRIX = np.asarray([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]])


def jax_softplus(rule: str):
    """Return the sum of log(1 + exp(x)) twice, its rule given to custom_vjp or custom_jvp."""
    import jax
    import jax.numpy as jnp

    def stable(x):
        return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))

    slope = {
        "right": jax.nn.sigmoid,
        "sign": lambda x: -jax.nn.sigmoid(x),
        "factor 2": lambda x: 2 * jax.nn.sigmoid(x),
        "slightly off": lambda x: jax.nn.sigmoid(1.001 * x),
    }[rule]
    reverse = jax.custom_vjp(stable)
    reverse.defvjp(lambda x: (stable(x), x), lambda x, cotangent: (cotangent * slope(x),))
    forward = jax.custom_jvp(stable)
    forward.defjvp(lambda primals, tangents: (stable(*primals), slope(*primals) * tangents[0]))
    return (lambda x: jnp.sum(reverse(x))), (lambda x: jnp.sum(forward(x)))


def torch_product(rule: str):
    """Return the sum of tanh(x @ weights), where a Function holds the rule of the product."""
    import torch

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(x, weights):
            return x @ weights

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, cotangent):
            x, weights = ctx.saved_tensors
            to_weights = {
                "right": lambda: x.T @ cotangent,
                "missing 1/N": lambda: x.T @ cotangent * len(x),
                "detached": lambda: torch.zeros_like(weights),
                "None": lambda: None,
            }[rule]()
            return cotangent @ weights.T, to_weights

    def loss(params, x):
        return torch.sum(torch.tanh(Product.apply(x, params["weights"]) + params["bias"]))

    return loss


@pytest.fixture
def jax(load_backend):
    return load_backend("jax")


@pytest.fixture
def torch(load_backend):
    return load_backend("torch")


def jax_gradients(f):
    import jax

    return {"reverse": jax.grad(f), "compiled": jax.jit(jax.grad(f)), "forward": jax.jacfwd(f)}


@pytest.mark.parametrize("points", ["numpy", "jax"])
def test_right_jax_rules_agree(jax, points):
    reverse, forward = jax_softplus("right")
    point = POINT if points == "numpy" else jax.asarray(POINT)
    for f, way in ((reverse, "reverse"), (forward, "reverse"), (forward, "forward")):
        check = check_gradient(f, point, gradient=jax_gradients(f)[way])
        assert check.verdict == "agree", str(check)
        assert check.resolution < 1e-9  # float64 throughout: float32 would leave 1e-5


@pytest.mark.parametrize(
    ("rule", "pattern"), [("sign", "sign"), ("factor 2", "factor 2"), ("slightly off", "all 4")]
)
@pytest.mark.parametrize("kind", ["custom_vjp", "custom_jvp"])
def test_wrong_jax_rules_differ(jax, kind, rule, pattern):
    f = jax_softplus(rule)[("custom_vjp", "custom_jvp").index(kind)]
    check = check_gradient(f, POINT, gradient=jax_gradients(f)["compiled"])
    assert check.verdict == "differ"
    assert check.pattern.startswith(pattern)
    right = 1 / (1 + np.exp(-POINT))
    for suspect in check.suspects:
        assert abs(suspect.expected - right[suspect.index]) <= suspect.error_bar
    assert compare_gradients(f, POINT, backends=[jax]).blamed == ("jax",)


def test_a_right_jax_rule_agrees_in_a_comparison(jax):
    comparison = compare_gradients(jax_softplus("right")[0], POINT, backends=[jax])
    assert comparison.verdict == "agree"
    assert comparison.resolution < 1e-9


def torch_gradient(loss):
    def gradient(params, x):
        leaves = {name: leaf.detach().clone().requires_grad_() for name, leaf in params.items()}
        loss(leaves, x).backward()
        return {name: leaf.grad for name, leaf in leaves.items()}

    return gradient


@pytest.fixture
def torch_point(torch):
    params = {"weights": MATRIX.T.copy(), "bias": np.zeros(3)}
    x = np.random.default_rng(0).normal(size=(5, 2))
    return torch.asarray(params), torch.asarray(x)


def test_a_right_torch_function_agrees(torch, torch_point):
    loss = torch_product("right")
    check = check_gradient(loss, *torch_point, gradient=torch_gradient(loss))
    assert check.verdict == "agree", str(check)
    assert compare_gradients(loss, *torch_point, backends=[torch]).verdict == "agree"


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [
        ("missing 1/N", "missing 1/N (N = 5)"),
        ("detached", "detached (zero)"),
        ("None", "detached (None)"),
    ],
)
def test_wrong_torch_functions_are_called_by_their_fault(torch, torch_point, rule, pattern):
    loss = torch_product(rule)
    check = check_gradient(loss, *torch_point, gradient=torch_gradient(loss))
    assert check.verdict == "differ"
    assert check.pattern == pattern
    assert [leaf.leaf for leaf in check.leaves if leaf.verdict == "differ"] == ["weights"]


TANGENT = np.asarray([1.0, -0.5, 2.0, 0.3])


@pytest.mark.parametrize(("rule", "verdict"), [("right", "agree"), ("slightly off", "differ")])
def test_a_custom_jvp_is_a_pushforward(jax, rule, verdict):
    import jax as library

    f = jax_softplus(rule)[1]
    check = check_pushforward(
        f,
        POINT,
        tangent=TANGENT,
        output_tangent=lambda x, v: library.jvp(f, (x,), (v.astype(x.dtype),))[1],
    )
    assert check.verdict == verdict, str(check)


@pytest.mark.parametrize(
    ("factor", "verdict", "named"), [(1.0, "agree", set()), (1.001, "differ", {(2,)})]
)
def test_the_jvp_of_a_torch_function_is_a_pushforward(torch, factor, verdict, named):
    import torch as library

    class Square(library.autograd.Function):
        @staticmethod
        def forward(x):
            return x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_forward(*inputs)

        @staticmethod
        def jvp(ctx, tangent):
            (x,) = ctx.saved_tensors
            slope = 2 * x
            slope[2] *= factor
            return slope * tangent

    check = check_pushforward(
        Square.apply,
        torch.asarray(POINT),
        tangent=torch.asarray(TANGENT),
        output_tangent=lambda x, v: library.func.jvp(Square.apply, (x,), (v,))[1],
    )
    assert check.verdict == verdict, str(check)
    assert {suspect.index for suspect in check.suspects} == named


def test_torch_s_own_float32_tensors_are_checked_as_float32(torch, torch_point, load_backend):
    loss = torch_product("right")
    single = load_backend("torch", dtype="float32")
    params, x = single.asarray(torch.to_numpy(torch_point))
    check = check_gradient(loss, params, x, gradient=torch_gradient(loss))
    assert check.verdict == "agree", str(check)
    assert 1e-7 < check.resolution < 1e-5  # the rounding of float32 is part of it
