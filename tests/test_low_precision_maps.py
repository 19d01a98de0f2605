"""Derivatives of every kind in low precision, of functions that hold such arrays themselves too."""

import numpy as np
import pytest

import gradparity as gp

# torch loads its forward mode through a deprecated part of its own.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning")

RNG = np.random.default_rng(3)
X, V = RNG.uniform(0.2, 1.0, (2, 5, 3))
WEIGHTS = RNG.normal(size=(4, 5)) / 3


def torch_claims(dtype, holds):
    """Return the functions, point, tangent, and every kind of derivative of them by torch."""
    import torch

    kind = getattr(torch, dtype)
    x, v, weights = (torch.tensor(array).to(kind) for array in (X, V, WEIGHTS))
    args = () if holds else (weights,)

    def outputs(p, weights=weights):
        return torch.tanh(weights @ p)

    def loss(p, *args):
        return (outputs(p, *args) ** 2).sum()

    def product(p, tangent, *args):
        return torch.func.jvp(lambda own: torch.func.grad(loss)(own, *args), (p,), (tangent,))[1]

    def pushed(p, tangent, *args):
        return torch.func.jvp(lambda own: outputs(own, *args), (p,), (tangent,))[1]

    return outputs, loss, x, v, args, torch.func, product, pushed


def jax_claims(dtype, holds):
    import jax
    import jax.numpy as jnp

    x, v, weights = (jnp.asarray(array, dtype) for array in (X, V, WEIGHTS))
    args = () if holds else (weights,)

    def outputs(p, weights=weights):
        return jnp.tanh(weights @ p)

    def loss(p, *args):
        return (outputs(p, *args) ** 2).sum()

    def product(p, tangent, *args):
        return jax.jvp(lambda own: jax.grad(loss)(own, *args), (p,), (tangent,))[1]

    def pushed(p, tangent, *args):
        return jax.jvp(lambda own: outputs(own, *args), (p,), (tangent,))[1]

    return outputs, loss, x, v, args, jax, product, pushed


CLAIMS = {"torch": torch_claims, "jax": jax_claims}


def judged(claims, factor):
    """Return the verdict on every kind of claim, each entry off by a factor."""
    outputs, loss, x, v, args, framework, product, pushed = claims
    cotangent = outputs(x, *args) ** 0

    def scaled(rule):
        return lambda *given: factor * rule(*given)

    def vjp(p, *args):
        return framework.vjp(lambda own: outputs(own, *args), p)[1](cotangent)[0]

    return {
        "gradient": gp.check_gradient(loss, x, *args, gradient=scaled(framework.grad(loss))),
        "VJP": gp.check_gradient(outputs, x, *args, cotangent=cotangent, gradient=scaled(vjp)),
        "pushforward": gp.check_pushforward(
            outputs, x, *args, tangent=v, output_tangent=factor * pushed(x, v, *args)
        ),
        "Jacobian": gp.check_jacobian(
            outputs, x, *args, jacobian=scaled(framework.jacrev(outputs))
        ),
        "Hessian": gp.check_hessian(loss, x, *args, hessian=scaled(framework.hessian(loss))),
        "product": gp.check_hessian(loss, x, *args, hessian_vector_product=scaled(product)),
    }


# JAX promotes what f holds in float32; torch raises where two dtypes meet in a product.
@pytest.mark.parametrize(("engine", "holds"), [("torch", False), ("torch", True), ("jax", False)])
def test_float32_is_granted_its_rounding_and_no_more(load_backend, engine, holds):
    load_backend(engine)
    claims = CLAIMS[engine]("float32", holds)
    for kind, check in judged(claims, 1.0).items():
        assert check.verdict == "agree", f"{kind}: {check}"
    for kind, check in judged(claims, 1.001).items():
        assert check.verdict == "differ", f"{kind}: {check}"


@pytest.mark.parametrize(
    ("engine", "dtype"), [("torch", "bfloat16"), ("torch", "float16"), ("jax", "bfloat16")]
)
def test_no_right_derivative_in_half_precision_differs(load_backend, engine, dtype):
    load_backend(engine)
    pytest.importorskip("ml_dtypes")
    claims = CLAIMS[engine](dtype, holds=False)
    for kind, check in judged(claims, 1.0).items():
        assert check.verdict != "differ", f"{kind}: {check}"
    for kind, check in judged(claims, -1.0).items():
        assert check.verdict == "differ", f"{kind}: {check}"


def test_what_f_holds_in_float32_is_no_obstacle_to_a_comparison(load_backend):
    load_backend("torch")
    _, loss, x, *_ = torch_claims("float32", holds=True)

    def wrong(p):
        return loss(p.detach() + 1.001 * (p - p.detach()))

    for dtype in ("float64", "float32"):
        found = gp.compare_gradients(loss, x, backends=["torch"], dtype=dtype)
        assert found.verdict == "agree", str(found)
        assert any("as it is, f fails" in note for note in found.notes) == (dtype == "float64")
        mapping = {"torch": loss, "torch:wrong": wrong}
        assert gp.compare_gradients(mapping, x, dtype=dtype).blamed == ("torch:wrong",)
