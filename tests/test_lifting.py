"""A function with casts inside it has a float64 shadow: the same without them."""

import warnings

import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends.rounding import CannotLift, lift
from gradparity.compare import check_gradient

X = np.random.default_rng(0).normal(size=(5, 4))
W = {"W": np.random.default_rng(1).normal(size=(4, 3)), "b": np.asarray([0.1, -0.4, 0.3])}


@pytest.fixture
def torch(load_backend):
    load_backend("torch")
    return pytest.importorskip("torch")


@pytest.fixture
def jax(load_backend):
    load_backend("jax")
    return pytest.importorskip("jax")


def expected(params, x):
    """Return the value and the gradient of mean(tanh(x @ W + b)**2), by hand."""
    y = np.tanh(x @ params["W"] + params["b"])
    inner = 2 * y * (1 - y**2) / y.size
    return np.mean(y**2), {"W": x.T @ inner, "b": inner.sum(axis=0)}


def torch_ways(torch):
    def plain(p, x):
        return torch.tanh(x @ p["W"] + p["b"]).square().mean()

    def under_autocast(p, x):
        with torch.autocast("cpu", torch.bfloat16):
            return plain(p, x)

    def through_a_buffer(p, x):
        y = torch.zeros(5, 3, dtype=torch.float32)
        y += x @ p["W"] + p["b"]
        return torch.tanh(y).square().mean()

    def beside_a_constant(p, x):
        one = torch.eye(3, dtype=torch.float32)
        return torch.tanh((x.float() @ p["W"].float()) @ one + p["b"].float()).square().mean()

    identity = torch.eye(3)
    return {
        "float": lambda p, x: plain({k: v.float() for k, v in p.items()}, x.float()),
        "half": lambda p, x: plain({k: v.half() for k, v in p.items()}, x.half()).float(),
        "to": lambda p, x: plain(p, x).to(torch.bfloat16),
        "type_as": lambda p, x: plain(p, x).type_as(identity),
        "autocast": under_autocast,
        "factory": through_a_buffer,
        "constant": beside_a_constant,
        "closure": lambda p, x: (
            torch.tanh((x @ p["W"]) @ identity.double().float() + p["b"]).square().mean()
        ),
        "softmax dtype": lambda p, x: (
            plain(p, x) * torch.softmax(x, -1, dtype=torch.float32).sum() / 5
        ),
    }


def test_no_cast_of_torch_is_left(torch):
    value, gradient = expected(W, X)
    for name, f in torch_ways(torch).items():
        lifted = lift(f, "torch")
        found, leaves = lifted.value_and_gradient(W, X)
        assert found == pytest.approx(value, rel=1e-13), name
        for leaf, array in leaves.items():
            np.testing.assert_allclose(array, gradient[leaf], rtol=1e-11, err_msg=name)
        assert float(lifted(W, X)) == pytest.approx(value, rel=1e-13), name


def test_the_casts_are_reported_with_their_lines(torch):
    lifted = lift(torch_ways(torch)["float"], "torch")
    lifted(W, X)
    assert [cast.to for cast in lifted.casts] == ["float32", "float32"]
    assert sum(cast.count for cast in lifted.casts) == 3
    assert all("test_lifting.py" in cast.where for cast in lifted.casts)
    lifted = lift(lambda p, x: (x @ p["W"]).sum(), "torch")
    lifted(W, X)
    assert lifted.casts == ()


def test_without_lifting_the_casts_are_felt(torch):
    exact = expected(W, X)[0]
    f = torch_ways(torch)["half"]
    native = {name: torch.from_numpy(array) for name, array in W.items()}
    assert abs(float(f(native, torch.from_numpy(X))) - exact) > 1e-6


def test_a_custom_rule_that_casts_is_lifted(torch):
    class Squared(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x.half())
            return (x.half() * x.half()).to(x.dtype)

        @staticmethod
        def backward(ctx, cotangent):
            return (2 * ctx.saved_tensors[0].float() * cotangent.float()).to(cotangent.dtype)

    value, gradient = lift(lambda x: Squared.apply(x).sum(), "torch").value_and_gradient(X)
    assert value == pytest.approx(np.sum(X**2), rel=1e-14)
    np.testing.assert_allclose(gradient, 2 * X, rtol=1e-14)


def test_a_buffer_that_keeps_its_precision_is_still_written(torch):
    count = torch.zeros((), dtype=torch.float32)

    def counting(x):
        count.add_(1.0)
        return (x * x).sum()

    lift(counting, "torch")(X)
    assert count.item() == 1.0


def test_a_seeded_draw_stays_the_one_that_f_makes(torch):
    def noisy(x):
        torch.manual_seed(3)
        return (x * torch.rand(4)).sum()

    torch.manual_seed(3)
    drawn = torch.rand(4).double().numpy()
    assert float(lift(noisy, "torch")(X)) == pytest.approx(np.sum(X * drawn), rel=1e-14)


def test_float32_that_torch_makes_by_itself_is_no_randomness_of_f(torch):
    x = torch.from_numpy(X)
    ways = {
        "factory": lambda x: (x**2 * torch.linspace(0.1, 1, 4)).sum(),
        "whole numbers": lambda x: (x**2 * (100.0 ** (-torch.arange(4) / 3)).to(x.dtype)).sum(),
    }
    for name, f in ways.items():
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(f(leaf), leaf)
        check = check_gradient(f, x, gradient=gradient)
        assert check.verdict == "agree", (name, str(check))
        assert check.resolution < 1e-7
        assert check_gradient(f, x, gradient=1.001 * gradient).verdict == "differ", name


def test_no_cast_of_jax_is_left(jax):
    jnp = jax.numpy

    def plain(p, x):
        return jnp.mean(jnp.tanh(x @ p["W"] + p["b"]) ** 2)

    def scanned(p, x):
        def step(total, row):
            return total + jnp.sum(jnp.tanh(row.astype(jnp.float32) @ p["W"] + p["b"]) ** 2), None

        return jax.lax.scan(step, jnp.zeros((), jnp.float32), x)[0] / 15

    ways = {
        "astype": lambda p, x: plain(p, x.astype(jnp.float16)),
        "params": lambda p, x: plain(jax.tree.map(lambda v: v.astype("bfloat16"), p), x),
        "preferred": lambda p, x: jnp.mean(
            jnp.tanh(jnp.matmul(x, p["W"], preferred_element_type=jnp.float32) + p["b"]) ** 2
        ),
        "reduced": lambda p, x: plain(p, jax.lax.reduce_precision(x, 5, 10)),
        "jit": jax.jit(lambda p, x: plain(p, x).astype(jnp.float32)),
        "checkpoint": jax.checkpoint(lambda p, x: plain(p, x.astype(jnp.float32))),
        "gathered": lambda p, x: plain(p, x.astype(jnp.float32)[jnp.arange(5)]),
    }
    ways = {**ways, "scan": lambda p, x: scanned({k: v.astype("float32") for k, v in p.items()}, x)}
    value, gradient = expected(W, X)
    for name, f in ways.items():
        lifted = lift(f, "jax")
        found, leaves = lifted.value_and_gradient(W, X)
        assert found == pytest.approx(value, rel=1e-13), name
        for leaf, array in leaves.items():
            np.testing.assert_allclose(array, gradient[leaf], rtol=1e-11, err_msg=name)
        assert float(lifted(W, X)) == pytest.approx(value, rel=1e-13), name
        assert lifted.casts or name == "preferred", name
        assert all("test_lifting.py" in cast.where for cast in lifted.casts), lifted.casts


def numpy_ways():
    def plain(p, x):
        return np.mean(np.tanh(x @ p["W"] + p["b"]) ** 2)

    def through_the_array_api(p, x):
        xp = array_namespace(x)
        return xp.mean(xp.tanh(xp.astype(x, xp.float32) @ p["W"] + p["b"]) ** 2)

    def row_by_row(p, x):
        total = np.zeros((), np.float64)
        for row in x:
            total = total + (np.tanh(row.astype("f4") @ p["W"] + p["b"]) ** 2).sum()
        return total.astype(np.float32) / 15

    return {
        "astype": lambda p, x: plain({k: v.astype(np.float32) for k, v in p.items()}, x),
        "half": lambda p, x: float(plain(p, x.astype("float16"))),
        "array API": through_the_array_api,
        "rows": row_by_row,
        "ufunc": lambda p, x: plain(p, np.add(x, 0, dtype=np.float32)),
        "reduction": lambda p, x: (np.tanh(x @ p["W"] + p["b"]) ** 2).sum(dtype=np.float32) / 15,
        "function": lambda p, x: np.mean(
            np.tanh(np.where(x < 9, x, 0).astype(np.float32) @ p["W"] + p["b"]) ** 2,
            dtype=np.float32,
        ),
    }


def test_no_cast_of_numpy_is_left():
    value, _ = expected(W, X)
    for name, f in numpy_ways().items():
        lifted = lift(f, "numerical")
        assert float(lifted(W, X)) == pytest.approx(value, rel=1e-14), name
        assert lifted.casts, name
        assert all("test_lifting.py" in cast.where for cast in lifted.casts), lifted.casts
        assert abs(float(f(W, X)) - value) > 1e-10, name  # without lifting they are felt


def test_what_casts_nothing_is_left_as_it_is():
    def f(x):
        counted = (x > 0).astype(np.float32)  # of what is no float64
        return (x[0] ** 3 + x * counted).sum()

    lifted = lift(f, "numerical")
    assert float(lifted(X)) == pytest.approx(float(f(X)), rel=1e-15)
    assert lifted.casts == ()


def test_a_numpy_function_with_casts_is_checked_without_them():
    _, gradient = expected(W, X)
    for name, f in numpy_ways().items():
        check = check_gradient(f, W, X, gradient=gradient)
        assert check.verdict == "agree", (name, str(check))
        assert check.resolution < 1e-6, name
        assert any("without f's casts" in note for note in check.notes)
        wrong = {**gradient, "W": gradient["W"].copy()}
        wrong["W"][1, 2] *= 1.01
        check = check_gradient(f, W, X, gradient=wrong)
        assert [(one.leaf, one.index) for one in check.suspects] == [("W", (1, 2))], name


def test_numbers_that_went_through_the_casts_of_a_numpy_function_are_right():
    def single(params, x):
        low = {name: leaf.astype(np.float32) for name, leaf in params.items()}
        found = expected(low, x.astype(np.float32))[1]
        return {name: leaf.astype(np.float64) for name, leaf in found.items()}

    check = check_gradient(numpy_ways()["astype"], W, X, gradient=single)
    assert check.verdict == "agree", str(check)
    assert check.resolution > 1e-7
    plain = check_gradient(lambda p, x: expected(p, x)[0], W, X, gradient=single)
    assert plain.verdict == "differ"


def test_the_spacing_of_a_float32_black_box_is_the_floor_of_its_noise():
    def black_box(p, x):
        W, b, x = (np.asarray(leaf, dtype=np.float32) for leaf in (p["W"], p["b"], x))
        return float(np.mean(np.tanh(x @ W + b) ** 2))

    _, gradient = expected(W, X)
    check = check_gradient(black_box, W, X, gradient=gradient)
    assert check.verdict != "differ", str(check)
    assert check.resolution < 1e-2
    assert "f's values are float32 numbers" in str(check)
    for factor in (0.0, -1.0, 1.1, 10.0):
        wrong = {name: factor * leaf for name, leaf in gradient.items()}
        assert check_gradient(black_box, W, X, gradient=wrong).verdict == "differ", factor


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_positions_in_float32_are_no_obstacle_to_jax(jax, dtype):
    jnp = jax.numpy

    def f(x):
        return jnp.sum((x * jnp.arange(4, dtype=jnp.float32)) ** 2 * jnp.linspace(0, 1, 5)[:, None])

    with jax.enable_x64(True):
        x = jnp.asarray(X, dtype)
    gradient = 2 * np.asarray(x, "float64") * np.arange(4) ** 2 * np.linspace(0, 1, 5)[:, None]
    check = check_gradient(f, x, gradient=gradient.astype(x.dtype))
    assert check.verdict == "agree", str(check)
    assert (check.measurement is not None) == (dtype == "bfloat16")
    wrong = (1.1 * gradient).astype(x.dtype)
    assert check_gradient(f, x, gradient=wrong).verdict == "differ"


def test_a_backend_that_cannot_lift_is_refused():
    with pytest.raises(CannotLift, match="torch and jax can"):
        lift(lambda x: x.sum(), "autograd")


def language_models(torch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 40, "bos_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    yield transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_positions=16,
            n_embd=8,
            n_layer=2,
            n_head=2,
            attn_pdrop=0.0,
            embd_pdrop=0.0,
            resid_pdrop=0.0,
            loss_type="ForCausalLM",
            **sizes,
        )
    )
    yield transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=16,
            loss_type="ForCausalLM",
            **sizes,
        )
    )


def language_losses(torch):
    """Yield the loss of each model by its parameters, these in float64, and tokens."""
    for model in language_models(torch):
        model.eval()
        tokens = torch.randint(0, 40, (2, 7))

        def loss(params, tokens, model=model):
            return torch.func.functional_call(
                model, params, (), {"input_ids": tokens, "labels": tokens}
            ).loss

        yield loss, {n: leaf.detach().double() for n, leaf in model.named_parameters()}, tokens


@pytest.mark.filterwarnings("ignore")
def test_language_models_with_labels_are_lifted(torch):
    for loss, params, tokens in language_losses(torch):
        lifted = lift(loss, "torch")
        gradient = lifted.value_and_gradient(params, tokens)[1]
        assert any("loss" in cast.where for cast in lifted.casts)
        generator = torch.Generator().manual_seed(0)
        along = {
            name: torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
            for name, leaf in params.items()
        }

        values = {
            step: float(lifted({n: leaf + step * along[n] for n, leaf in params.items()}, tokens))
            for step in (-2e-4, -1e-4, 1e-4, 2e-4)
        }
        slope = (8 * (values[1e-4] - values[-1e-4]) - (values[2e-4] - values[-2e-4])) / 12e-4
        claimed = sum(float((along[name].numpy() * gradient[name]).sum()) for name in params)
        assert claimed == pytest.approx(slope, rel=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_language_models_with_labels_are_checked_to_a_ten_millionth(torch):
    for loss, params, tokens in language_losses(torch):
        gradient = lift(loss, "torch").value_and_gradient(params, tokens)[1]
        check = check_gradient(loss, params, tokens, gradient=gradient)
        assert check.verdict == "agree", str(check)
        assert check.resolution < 1e-7
        assert check.evaluations < 100
        assert any("casts to float32 at" in note for note in check.notes)
        leaf, wrong = list(gradient)[5], dict(gradient)
        wrong[leaf] = gradient[leaf].copy()
        wrong[leaf].flat[5] *= 1.01
        check = check_gradient(loss, params, tokens, gradient=wrong)
        assert check.verdict == "differ", str(check)
        index = np.unravel_index(5, gradient[leaf].shape)
        assert [(one.leaf, one.index) for one in check.suspects] == [(leaf, index)]

        def own(params, tokens, loss=loss):  # through its casts
            leaves = {name: leaf.detach().requires_grad_() for name, leaf in params.items()}
            found = torch.autograd.grad(loss(leaves, tokens), list(leaves.values()))
            return dict(zip(leaves, found, strict=True))

        check = check_gradient(loss, params, tokens, gradient=own)
        assert check.verdict == "agree", str(check)
        assert "as good as eager float32" in check.reason


def test_a_function_that_holds_its_parameters_is_constant_and_not_random(load_backend):
    load_backend("torch")
    import torch

    held = torch.tensor([0.1, 0.7, -1.3], requires_grad=True)
    check = check_gradient(lambda p: (held**2).sum(), held, gradient=2 * held.detach())
    assert check.verdict == "differ", str(check)
    assert {suspect.expected for suspect in check.suspects} == {0.0}
    assert "not zero where it should be (worst entry params[2]" in check.reason
