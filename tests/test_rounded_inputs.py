"""A batch in float64, as NumPy makes it, and a model in float32: JAX rounds it silently."""

import numpy as np
import pytest

from gradparity.compare import check_gradient

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402


def draw(seed, first):
    """Return f and its point; x - t loses four digits if x and t are rounded before.

    first: what f does with x and t before it takes the difference
    """
    rng = np.random.default_rng(seed)
    params = {"w": rng.normal(size=(2, 3)), "b": rng.normal(size=3)}
    x = rng.normal(size=(6, 2))

    def f(params, x, t):
        return jnp.mean(jnp.tanh(100 * (first(x) - first(t)) @ params["w"] + params["b"]) ** 2)

    return f, params, x, x + 1e-4 * rng.normal(size=x.shape)


def in_float32(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


@pytest.mark.parametrize("first", [jnp.asarray, lambda x: x], ids=["rounded", "taken as it is"])
@pytest.mark.parametrize("seed", range(3))
def test_a_batch_in_float64_convicts_no_model_in_float32(seed, first):
    f, params, x, t = draw(seed, first)
    for given in (in_float32(params), params):
        gradient = jax.grad(f)(given, x, t)
        assert check_gradient(f, given, x, t, gradient=gradient).verdict == "agree"
        if given is not params:  # else it is called with float64, and is float64
            assert check_gradient(f, given, x, t, gradient=jax.grad(f)).verdict == "agree"


@pytest.mark.parametrize("first", [jnp.asarray, lambda x: x], ids=["rounded", "taken as it is"])
@pytest.mark.parametrize("leaf", ["w", "b"])
def test_a_fault_below_what_the_rounding_of_the_batch_does_is_found(leaf, first):
    f, params, x, t = draw(0, first)
    params = in_float32(params)
    gradient = jax.grad(f)(params, x, t)
    wrong = {**gradient, leaf: (1 + 1e-5) * gradient[leaf]}
    check = check_gradient(f, params, x, t, gradient=wrong)
    assert check.verdict == "differ"
    assert {suspect.leaf for suspect in check.suspects} == {leaf}


def test_a_batch_of_other_numbers_is_no_rounding():
    f, params, x, t = draw(0, jnp.asarray)
    params = in_float32(params)
    gradient = jax.grad(f)(params, x * (1 + 1e-5), t)
    assert check_gradient(f, params, x, t, gradient=gradient).verdict == "differ"


@pytest.mark.parametrize("seed", range(3))
def test_rounding_that_nobody_measures_is_what_rounded_inputs_do_to_a_reference(seed, load_backend):
    torch = load_backend("torch").xp
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return torch.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape))

    a, z = draw(200, 6).to(torch.complex64), draw(6).to(torch.complex64)
    y = a @ z + 1e-3 * draw(200).to(torch.complex64)  # most digits of a z - y cancel

    def f(z, a, y):
        return ((a @ z - y).abs() ** 2).mean()

    def gradient(z, a, y):
        own = z.detach().requires_grad_()
        f(own, a, y).backward()
        return own.grad

    right = check_gradient(f, z, a, y, gradient=gradient)
    assert right.verdict == "cannot tell", str(right)
    assert 1e-4 < right.resolution < 0.1
    wrong = check_gradient(f, z, a, y, gradient=lambda *given: 1.5 * gradient(*given))
    assert wrong.verdict == "differ", str(wrong)
