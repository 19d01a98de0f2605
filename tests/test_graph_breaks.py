"""A gradient that is zero because the graph was cut, and one that is zero because f is flat."""

import math

import numpy as np
import pytest

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

import jax.numpy as jnp  # noqa: E402

from gradparity.compare import Verdict, compare_gradients  # noqa: E402


def torch_rebuilt(x):
    return torch.sum(torch.asarray([x[0].item(), x[1].item()], dtype=x.dtype) ** 2) + 0 * x.sum()


def torch_math(x):
    return math.exp(float(x[0])) + x[1] ** 2


def torch_numpy(x):
    return torch.as_tensor(np.exp(x.detach().numpy())).sum() + 0 * x.sum()


def torch_detach(x):
    return (x.detach() ** 2).sum() + 0 * x.sum()


def torch_no_graph_at_all(x):
    return (x.detach() ** 2).sum()


def jax_stop_gradient(x):
    return jnp.sum(jax.lax.stop_gradient(x) ** 2)


BREAKS = {
    "torch.asarray of numbers": ("torch", torch_rebuilt),
    "a NumPy call in the middle": ("torch", torch_numpy),
    ".detach()": ("torch", torch_detach),
    "a value without a graph": ("torch", torch_no_graph_at_all),
    "jax.lax.stop_gradient": ("jax", jax_stop_gradient),
}
X = np.array([0.7, -1.3])


@pytest.mark.parametrize(("backend", "f"), BREAKS.values(), ids=BREAKS.keys())
def test_a_gradient_that_was_cut_off_is_called_detached(backend, f):
    comparison = compare_gradients({backend: f}, X)
    assert comparison.verdict == Verdict.DIFFER, str(comparison)
    assert comparison.blamed == (backend,)
    assert "detached" in comparison.pattern
    assert "detached" in str(comparison)


def test_one_entry_that_goes_through_math_is_named():
    comparison = compare_gradients({"torch": torch_math}, X)
    assert comparison.blamed == ("torch",)
    (suspect,) = comparison.suspects
    assert suspect.index == (0,)
    assert suspect.got == 0
    assert suspect.expected == pytest.approx(math.exp(0.7), rel=1e-8)
    assert "detached" in comparison.pattern


def test_a_leaf_that_was_cut_off_in_a_port_is_named_and_the_other_port_cleared():
    params = {"W": np.random.default_rng(0).normal(size=(2, 2)), "b": np.array([0.3, -0.2])}

    def whole(params):
        return jnp.sum(jnp.tanh(params["W"] @ params["b"]))

    def cut(params):
        return torch.tanh(params["W"].detach() @ params["b"]).sum()

    comparison = compare_gradients({"jax": whole, "torch": cut}, params)
    assert comparison.blamed == ("torch",)
    assert {suspect.leaf for suspect in comparison.suspects} == {"W"}
    assert "detached" in comparison.pattern


@pytest.mark.parametrize(
    ("backend", "f"),
    [("torch", lambda x: x.detach().sum() * 0 + 3.0), ("jax", lambda x: 3.0 + 0 * jnp.sum(x))],
)
def test_a_zero_gradient_of_a_constant_is_right(backend, f):
    comparison = compare_gradients({backend: f}, X)
    assert comparison.verdict == Verdict.AGREE, str(comparison)
    assert comparison.pattern == ""
