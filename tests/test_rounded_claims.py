"""check_gradient on claims in low precision: measured rounding, yardsticks, lifted casts."""

import json

import numpy as np
import pytest

from gradparity.compare import Verdict, check_gradient, compare_gradients
from gradparity.compare.scenarios.layers import LAYERS


@pytest.fixture
def torch(load_backend):
    load_backend("torch")
    return pytest.importorskip("torch")


def draw(torch, dtype, rows=12):
    generator = torch.Generator().manual_seed(0)
    shapes = {"W": (8, 6), "b": (6,), "V": (6, 5)}
    params = {
        name: (torch.randn(shape, generator=generator) / 2).to(getattr(torch, dtype))
        for name, shape in shapes.items()
    }
    x = torch.randn(rows, 8, generator=generator).to(getattr(torch, dtype))
    return params, x, torch.arange(rows) % 5


def net(p, x, t):
    import torch

    hidden = torch.tanh(x @ p["W"] + p["b"])
    return torch.nn.functional.cross_entropy(hidden @ p["V"], t)


def eager(torch, f, params, *args):
    primals = {name: leaf.detach().clone().requires_grad_() for name, leaf in params.items()}
    f(primals, *args).backward()
    return {name: leaf.grad for name, leaf in primals.items()}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_eager_agrees_as_good_as_eager_and_no_fault_does(torch, dtype):
    params, *args = draw(torch, dtype)
    right = eager(torch, net, params, *args)
    check = check_gradient(net, params, *args, gradient=right)
    assert check.verdict is Verdict.AGREE, str(check)
    assert f"as good as eager {dtype} (" in check.reason
    assert all(0 < leaf.share < 1.5 for leaf in check.leaves)
    assert check.resolution < (1e-6 if dtype == "float32" else 0.1)
    assert "by torch, each rounded at random; bars at 95 % confidence" in str(check)
    found = json.loads(json.dumps(check.to_dict(), allow_nan=False))["measurement"]
    assert found == {"engine": "torch", "dtype": dtype, "runs": found["runs"], "confidence": 0.95}
    assert 8 <= found["runs"] <= 24
    entry = right["W"].clone()
    entry[3, 2] *= 1.5
    faults = {
        "zeros": {name: 0 * leaf for name, leaf in right.items()},
        "sign": {name: -leaf for name, leaf in right.items()},
        "factor": right | {"V": 1.2 * right["V"]},
        "one entry": right | {"W": entry},
    }
    for name, wrong in faults.items():
        found = check_gradient(net, params, *args, gradient=wrong)
        assert found.verdict is Verdict.DIFFER, name
    assert [(s.leaf, s.index) for s in found.suspects] == [("W", (3, 2))]
    assert check_gradient(net, params, *args, gradient=wrong, rtol=0.9).verdict is Verdict.AGREE


def test_a_kernel_that_rounds_more_is_worse_than_its_yardstick(torch):
    params, *args = draw(torch, "bfloat16", rows=40)

    def kernel(p, x, t):
        return eager(torch, net, p, x, t)

    def fused(p, x, t):
        wide = eager(torch, net, {k: v.float() for k, v in p.items()}, x.float(), t)
        return {name: leaf.bfloat16() for name, leaf in wide.items()}

    check = check_gradient(net, params, *args, gradient=kernel, yardstick=fused)
    assert check.verdict is Verdict.AGREE
    assert check.yardstick.worse
    assert "beside the yardstick worse" in str(check)
    assert json.loads(json.dumps(check.to_dict()))["yardstick"]["worse"] is True
    alike = check_gradient(net, params, *args, gradient=kernel, yardstick=kernel).yardstick
    assert not alike.worse
    assert alike.ratio == 1.0


def test_a_vjp_in_low_precision_is_judged_with_its_cotangent(torch):
    def layer(p, x):
        return torch.nn.functional.layer_norm(x @ p["W"] + p["b"], (6,))

    params, x, _ = draw(torch, "bfloat16")
    del params["V"]
    cotangent = torch.randn(12, 6, generator=torch.Generator().manual_seed(3)).bfloat16()
    primals = {name: leaf.clone().requires_grad_() for name, leaf in params.items()}
    layer(primals, x).backward(cotangent)
    right = {name: leaf.grad for name, leaf in primals.items()}
    check = check_gradient(layer, params, x, cotangent=cotangent, gradient=right)
    assert check.verdict is Verdict.AGREE, str(check)
    wrong = right | {"b": right["b"] + right["b"].abs().mean()}
    check = check_gradient(layer, params, x, cotangent=cotangent, gradient=wrong)
    assert check.verdict is Verdict.DIFFER
    assert {suspect.leaf for suspect in check.suspects} <= {"b"}


def test_casts_inside_f_are_lifted_and_their_rounding_is_granted(torch):
    def cast(p, x, t):
        return net({name: leaf.bfloat16() for name, leaf in p.items()}, x.bfloat16(), t).float()

    def under_autocast(p, x, t):
        with torch.autocast("cpu", torch.bfloat16):
            return net(p, x, t)

    params, *args = draw(torch, "float32")
    for f in (cast, under_autocast):
        right = eager(torch, f, params, *args)
        check = check_gradient(f, params, *args, gradient=right)
        assert check.verdict is Verdict.AGREE, str(check)
        assert "as good as eager bfloat16" in check.reason
        wrong = right | {"V": 1.3 * right["V"]}
        assert check_gradient(f, params, *args, gradient=wrong).verdict is Verdict.DIFFER
    assert any(
        "casts to bfloat16" in note
        for note in check_gradient(
            cast, params, *args, gradient=eager(torch, cast, params, *args)
        ).notes
    )
    exact = eager(torch, net, {k: v.double() for k, v in params.items()}, args[0].double(), args[1])
    double = {name: leaf.double() for name, leaf in params.items()}
    check = check_gradient(cast, double, args[0].double(), args[1], gradient=exact)
    assert check.verdict is Verdict.AGREE
    assert check.resolution < 1e-6


def test_numpy_claims_of_an_array_function_are_measured_too(load_backend):
    load_backend("torch")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    (tanh,) = [layer for layer in LAYERS if layer.name == "tanh"]
    params, (c,) = tanh.draw(np.random.default_rng(0), 5)
    low = {"x": params["x"].astype(ml_dtypes.bfloat16)}
    wide = low["x"].astype(np.float64)
    right = {"x": (c * (1 - np.tanh(wide) ** 2)).astype(ml_dtypes.bfloat16)}
    check = check_gradient(tanh.f, low, c, gradient=right)
    assert check.verdict is Verdict.AGREE, str(check)
    wrong = {"x": (1.2 * right["x"]).astype(ml_dtypes.bfloat16)}
    assert check_gradient(tanh.f, low, c, gradient=wrong).verdict is Verdict.DIFFER


def test_another_framework_measures_what_the_claims_own_cannot(load_backend):
    load_backend("torch"), load_backend("jax")
    import jax.numpy as jnp

    def branching(x):
        return (x**3).sum() if float(x[0]) > 0 else x.sum()

    x = jnp.asarray(np.linspace(0.3, 2.0, 40), "bfloat16")
    right = 3 * x * x
    check = check_gradient(branching, np.asarray(x), gradient=right)
    assert check.verdict is Verdict.AGREE, str(check)
    assert check.measurement.engine == "torch"
    wrong = check_gradient(branching, np.asarray(x), gradient=1.1 * right)
    assert wrong.verdict is Verdict.DIFFER


def test_what_cannot_be_measured_is_bounded_and_says_so():
    def f(x):
        return float(np.sum(np.sin(np.asarray(x, np.float64)) ** 2))

    x = np.linspace(0.3, 1.2, 6)
    right = np.sin(2 * x).astype(np.float16)
    check = check_gradient(f, x.astype(np.float16), gradient=right)
    assert check.verdict is Verdict.CANNOT_TELL
    wrong = check_gradient(f, x.astype(np.float16), gradient=-right)
    assert wrong.verdict is Verdict.DIFFER


def test_two_precisions_of_one_model_are_compared(torch):
    def small(p, x):
        return torch.tanh(x @ p["W"]).square().mean()

    def low(p, x):
        return small({name: leaf.bfloat16() for name, leaf in p.items()}, x.bfloat16()).float()

    def detached_in_part(p, x):
        return low({"W": p["W"] + 0.3 * (p["W"] - p["W"].detach())}, x)

    generator = torch.Generator().manual_seed(0)
    params = {"W": torch.randn(5, 4, generator=generator).double()}
    x = torch.randn(9, 5, generator=generator).double()
    right = compare_gradients({"torch": small, "torch:bf16": low}, params, x)
    assert right.verdict is Verdict.AGREE, str(right)
    wrong = compare_gradients({"torch": small, "torch:bf16": detached_in_part}, params, x)
    assert wrong.blamed == ("torch:bf16",)


def test_autocast_is_compared_in_float32(torch):
    def f(p, x):
        return torch.tanh(x @ p["W"]).square().mean()

    def under_autocast(p, x):
        with torch.autocast("cpu", torch.bfloat16):
            return f(p, x)

    def low(p, x):
        return f({"W": p["W"].bfloat16()}, x.bfloat16()).float()

    def detached_in_part(p, x):
        return under_autocast({"W": 1.3 * p["W"] - 0.3 * p["W"].detach()}, x)

    generator = torch.Generator().manual_seed(1)
    params, x = (
        {"W": torch.randn(8, 5, generator=generator)},
        torch.randn(30, 8, generator=generator),
    )
    ways = {"torch": f, "torch:bf16": low, "torch:autocast": under_autocast}
    right = compare_gradients(ways, params, x, dtype="float32")
    assert right.verdict is Verdict.AGREE, str(right)
    assert 1e-4 < right.resolution < 0.1  # bfloat16's rounding was in it
    ways["torch:autocast"] = detached_in_part
    wrong = compare_gradients(ways, params, x, dtype="float32")
    assert wrong.blamed == ("torch:autocast",)


@pytest.mark.parametrize("seed", range(6))
def test_many_leaves_give_rounding_no_more_chances_to_look_wrong(seed, load_backend):
    load_backend("torch")
    import torch

    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 8, 8, generator=generator)
    params = {
        f"{layer}.{name}": torch.randn(*shape, generator=generator) / 3
        for layer in range(5)
        for name, shape in dict(q=(8, 8), k=(8, 8), v=(8, 8), bq=(8,), bk=(8,), bv=(8,)).items()
    }

    def loss(p):
        hidden = x.to(p["0.q"].dtype)
        for layer in range(5):
            q, k, v = (hidden @ p[f"{layer}.{n}"] + p[f"{layer}.b{n}"] for n in "qkv")
            hidden = hidden + torch.softmax(q @ k.transpose(-1, -2) / 3, -1) @ v
            hidden = torch.nn.functional.layer_norm(hidden, (8,))
        return (hidden**3).mean()

    leaves = {name: leaf.clone().requires_grad_() for name, leaf in params.items()}
    gradient = dict(
        zip(leaves, torch.autograd.grad(loss(leaves), list(leaves.values())), strict=True)
    )
    right = check_gradient(loss, params, gradient=gradient)
    assert right.verdict == "agree", str(right)
    gradient["3.v"] = gradient["3.v"] * (1 + 1e-5)
    wrong = check_gradient(loss, params, gradient=gradient)
    assert wrong.verdict == "differ", str(wrong)
    assert {leaf.leaf for leaf in wrong.leaves if leaf.verdict == "differ"} == {"3.v"}
