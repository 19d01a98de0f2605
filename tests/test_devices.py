"""Gradients of functions whose arrays are on an accelerator, where alone such a function runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.backends.errors import ImpureFunction
from gradparity.backends.registry import device_of
from gradparity.compare.checking.hosts import on_accelerator

torch = pytest.importorskip("torch")

# torch loads its forward mode through a deprecated part of its own.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning")

DEVICE = "cuda"
accelerated = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def tensor(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    drawn = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return torch.from_numpy(drawn).to(DEVICE, dtype)


def network(dtype: Any) -> tuple[Callable[..., Any], dict[str, Any], tuple[Any, ...]]:
    """Return a classifier that holds a buffer of its own, parameters, and a batch with labels."""
    scale = tensor(8, dtype=dtype)

    def loss(params: dict[str, Any], x: Any, labels: Any) -> Any:
        hidden = torch.tanh(x @ params["W"]) * scale.to(x.dtype)
        return torch.nn.functional.cross_entropy(hidden @ params["V"], labels)

    params = {"W": tensor(6, 8, dtype=dtype), "V": tensor(8, 4, dtype=dtype)}
    return loss, params, (tensor(5, 6, dtype=dtype), torch.tensor([0, 1, 2, 3, 1], device=DEVICE))


def by_autograd(f: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def gradient(params: dict[str, Any], *args: Any) -> dict[str, Any]:
        leaves = {name: leaf.detach().requires_grad_() for name, leaf in params.items()}
        slopes = torch.autograd.grad(f(leaves, *args), list(leaves.values()))
        return dict(zip(leaves, slopes, strict=True))

    return gradient


def with_a_fault(rule: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def wrong(params: dict[str, Any], *args: Any) -> dict[str, Any]:
        gradient = rule(params, *args)
        gradient["V"][1, 2] *= 1.5
        return gradient

    return wrong


@accelerated
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_a_gradient_is_judged_on_the_device_of_its_parameters(dtype: str) -> None:
    f, params, args = network(getattr(torch, dtype))
    rule = by_autograd(f)
    assert gp.check_gradient(f, params, *args, gradient=rule).verdict == "agree"
    assert gp.check_gradient(f, params, *args, gradient=rule(params, *args)).verdict == "agree"
    wrong = gp.check_gradient(f, params, *args, gradient=with_a_fault(rule))
    assert wrong.verdict == "differ"
    assert [(one.leaf, one.index) for one in wrong.suspects] == [("V", (1, 2))]


@accelerated
def test_every_kind_of_claim_is_judged_on_a_device() -> None:
    x, v = tensor(6, 3), tensor(6, 3, seed=1)
    weights = tensor(4, 6)

    def outputs(p: Any) -> Any:
        return torch.tanh(weights @ p)

    def f(p: Any) -> Any:
        return (outputs(p) ** 2).sum()

    value, pull = torch.func.vjp(outputs, x)
    cotangent = torch.ones_like(value)
    pushed = torch.func.jvp(outputs, (x,), (v,))[1]
    jacobian = torch.func.jacrev(outputs)(x)
    hessian = torch.func.hessian(f)(x)

    def judged(factor: float) -> list[Any]:
        return [
            gp.check_gradient(
                outputs, x, cotangent=cotangent, gradient=factor * pull(cotangent)[0]
            ),
            gp.check_pushforward(outputs, x, tangent=v, output_tangent=factor * pushed),
            gp.check_jacobian(outputs, x, jacobian=factor * jacobian),
            gp.check_hessian(f, x, hessian=factor * hessian),
            gp.prove_gradient(f, x, gradient=factor * torch.func.grad(f)(x)),
        ]

    assert [str(one.verdict) for one in judged(1.0)] == ["agree"] * 4 + ["proved right"]
    assert [str(one.verdict) for one in judged(1.01)] == ["differ"] * 4 + ["proved wrong"]


@accelerated
def test_a_module_is_judged_on_its_device() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3),
        torch.nn.BatchNorm2d(3),
        torch.nn.Flatten(),
        torch.nn.Linear(108, 4),
    ).to(DEVICE)
    images, labels = tensor(5, 1, 8, 8, dtype=torch.float32), torch.tensor([0, 1, 2, 3, 1])
    batch = images, labels.to(DEVICE)
    loss = torch.nn.functional.cross_entropy
    assert gp.check_module(module, loss, *batch).verdict == "agree"
    loss(module(images), batch[1]).backward()
    with torch.no_grad():
        module[3].bias.grad *= 2
    assert gp.check_module(module, loss, *batch).verdict == "differ"


@accelerated
def test_engines_are_compared_on_the_device_of_the_parameters() -> None:
    f, params, args = network(torch.float64)

    def halved(params: dict[str, Any], *args: Any) -> Any:
        return f({"W": params["W"], "V": params["V"].detach() / 2 + params["V"] / 2}, *args)

    assert (
        gp.compare_gradients(f, params, *args, backends=["numerical", "torch"]).verdict == "agree"
    )
    both = {"torch": f, "torch:port": halved}
    assert gp.compare_gradients(both, params, *args).blamed == ("torch:port",)
    (row,) = gp.measure_speed(f, params, *args, backends=["torch"], minimum_time=0.01).rows
    assert row.device == DEVICE


@accelerated
def test_labels_on_a_device_are_copies_and_whoever_changes_them_is_told() -> None:
    f, params, (x, labels) = network(torch.float64)

    def changes(params: dict[str, Any], x: Any, labels: Any) -> Any:
        value = f(params, x, labels)
        labels += 1
        return value

    with pytest.raises(ImpureFunction):
        gp.check_gradient(changes, params, x, labels, gradient=by_autograd(f))
    assert labels.tolist() == [0, 1, 2, 3, 1]


@accelerated
def test_products_in_tensor_float_are_named_where_they_hide_what_is_wrong() -> None:
    x, weights = (tensor(64, 64, dtype=torch.float32, seed=seed) for seed in (0, 1))

    weights = weights / 8  # so that no tanh is saturated

    def f(w: Any) -> Any:
        return torch.tanh(x @ w).sum()

    def judged(precision: str) -> gp.GradientCheck:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        try:
            return gp.check_gradient(f, weights, gradient=torch.func.grad(f))
        finally:
            torch.set_float32_matmul_precision(before)

    coarse, fine = judged("high"), judged("highest")
    assert (coarse.verdict, fine.verdict) == ("cannot tell", "agree"), f"{coarse}\n{fine}"
    assert [("TensorFloat" in " ".join(one.notes)) for one in (coarse, fine)] == [True, False]


def test_what_is_on_an_accelerator_is_told_by_its_arrays() -> None:
    here = [torch.ones(2), np.ones(2), 1.0]
    assert not on_accelerator(here)
    assert on_accelerator([*here, torch.ones(2, device="meta")])


def test_a_device_that_is_the_default_or_has_no_float64_is_not_named() -> None:
    class Elsewhere:
        device = torch.device("mps")

        def detach(self) -> None: ...

    assert device_of("torch", [torch.ones(2), np.ones(2), Elsewhere()]) is None


def test_what_jax_has_committed_to_a_device_stays_there() -> None:
    pytest.importorskip("jax")
    code = """
import jax, gradparity as gp
first, second = jax.devices()
x, own = (jax.device_put(jax.numpy.asarray([1.0, 2.0]), second) for _ in range(2))
f = lambda p: (jax.numpy.sin(p * own) ** 2).sum()
for factor in (1.0, 1.01):
    print(gp.check_gradient(f, x, gradient=lambda p: factor * jax.grad(f)(p)).verdict)
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **flags}
    )
    assert run.stdout.split("\n")[:2] == ["agree", "differ"], run.stderr
