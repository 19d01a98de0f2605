"""Functions of JAX and of PyTorch are followed in balls, and their own gradients judged."""

import numpy as np
import pytest

pytest.importorskip("flint")

from gradparity.compare import prove_gradient  # noqa: E402

RNG = np.random.default_rng(0)
X, A = RNG.normal(size=4), RNG.normal(size=(4, 4))
CLASSES = np.asarray([0, 1, 2, 3])


def jax_scenarios():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def scanned(x):
        def step(carry, one):
            carry = jnp.tanh(carry * one + 0.5)
            return carry, carry * carry

        last, squares = jax.lax.scan(step, jnp.asarray(0.3), x)
        return last + jnp.sum(squares)

    def net(a):
        hidden = jax.nn.gelu(a @ a.T + 0.1)
        return -jnp.mean(jax.nn.log_softmax(hidden)[jnp.arange(4), CLASSES])

    def transposed(x):
        kernel = jnp.arange(24.0).reshape(2, 4, 3)
        return jax.lax.conv_transpose(
            x, kernel, (2,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
        )

    def chosen(x):
        return jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x[1]) * jnp.max(x)

    return {
        "network": (net, A),
        "loop": (scanned, X),
        "branch": (chosen, X),
        "matrix": (lambda a: jnp.linalg.slogdet(a)[1] + jnp.linalg.inv(a)[0, 1], A),
        "factor": (lambda a: jnp.sum(jnp.linalg.cholesky(a @ a.T + jnp.eye(4))), A),
        "scatter": (lambda x: jnp.sum(x.at[1].add(x[0]).at[2].set(3 * x[3]) ** 2), X),
        "moves": (lambda x: jnp.sum(jnp.pad(jnp.roll(x, 1), 2)[1:5] * jnp.sort(x)), X),
        "sums": (lambda x: jnp.sum(jnp.cumsum(x) ** 2) + jnp.prod(x) + jnp.std(x), X),
        "joined": (
            lambda x: jnp.sum(jnp.stack([x, x * x]) ** 2 * jnp.tile(x, (2, 1))) + jnp.unstack(x)[1],
            X,
        ),
        "convolution": (lambda x: jnp.sum(jnp.convolve(x, jnp.arange(3.0)) ** 2), X),
        "transposed convolution": (lambda a: jnp.sum(transposed(a[None]) ** 2), A),
        "squares": (lambda a: jnp.sum(jnp.linalg.lstsq(a[:, :2], a[:, 2:])[0]), A),
    }


def torch_scenarios():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def in_place(x):
        y = x.clone()
        y[1] = 2 * x[0]
        y.mul_(x)
        return y.sum()

    def net(a):
        hidden = functional.layer_norm(functional.gelu(a @ a.T), (4,))
        return functional.cross_entropy(hidden, torch.from_numpy(CLASSES))

    def picture(a):
        weight = torch.ones(1, 1, 2, 2, dtype=a.dtype)
        return functional.conv2d(a[None, None], weight, padding=1).pow(3).sum()

    def back(a, **settings):
        weight = torch.arange(12.0, dtype=a.dtype).reshape(4, 1, 3)
        return (functional.conv_transpose1d(a[None], weight, groups=2, **settings) ** 2).sum()

    return {
        "transposed convolution": (lambda a: back(a, stride=2, padding=1, output_padding=1), A),
        "dilated": (lambda a: back(a, dilation=2), A),
        "network": (net, A),
        "in place": (in_place, X),
        "convolution": (picture, A),
        "matrix": (lambda a: torch.linalg.det(a) + torch.linalg.inv(a)[0, 1], A),
        "moves": (lambda a: (a[[0, 1, 1]] * a[1:]).sum() + a.triu().diagonal().prod(), A),
        "sums": (lambda x: x.cumsum(0).prod() + torch.sort(x)[0][1] + x.std() + x.norm(), X),
        "unbound": (lambda a: (a.unbind()[1] ** 2).sum(), A),
        "activations": (
            lambda x: (functional.silu(x) + functional.softplus(x) + functional.elu(x)).sum(),
            X,
        ),
        "attention": (
            lambda a: functional.scaled_dot_product_attention(a[None], a[None], a[None]).sum(),
            A,
        ),
    }


def of_jax(f, x):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.grad(f))(jax.numpy.asarray(x)))


def of_torch(f, x):
    torch = pytest.importorskip("torch")
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    f(leaf).backward()
    return leaf.detach(), leaf.grad


@pytest.mark.parametrize("name", sorted(jax_scenarios()))
def test_gradients_of_jax_are_proved_right_and_faults_wrong(name):
    f, x = jax_scenarios()[name]
    gradient = of_jax(f, x)
    proof = prove_gradient(f, x, gradient=gradient)
    assert proof.verdict == "proved right", str(proof)
    assert proof.digits >= 15
    wrong = gradient.copy()
    wrong[np.unravel_index(np.argmax(np.abs(wrong)), wrong.shape)] *= 1 + 1e-11
    assert prove_gradient(f, x, gradient=wrong).verdict == "proved wrong"


@pytest.mark.parametrize("name", sorted(torch_scenarios()))
def test_gradients_of_torch_are_proved_right_and_faults_wrong(name):
    f, x = torch_scenarios()[name]
    leaf, gradient = of_torch(f, x)
    proof = prove_gradient(f, leaf, gradient=gradient)
    assert proof.verdict == "proved right", str(proof)
    assert proof.digits >= 15
    wrong = gradient.clone()
    wrong.view(-1)[wrong.abs().argmax()] *= 1 + 1e-11
    assert prove_gradient(f, leaf, gradient=wrong).verdict == "proved wrong"


def test_a_wrong_custom_rule_of_torch_is_proved_wrong():
    torch = pytest.importorskip("torch")

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, arriving):
            return 3 * ctx.saved_tensors[0] * arriving

    def f(x):
        return Square.apply(x).sum()

    leaf, gradient = of_torch(f, X)
    proof = prove_gradient(f, leaf, gradient=gradient)
    assert proof.verdict == "proved wrong"
    np.testing.assert_allclose(proof.value, 2 * X, rtol=1e-15)


def test_a_wrong_custom_rule_of_jax_is_proved_wrong():
    jax = pytest.importorskip("jax")

    @jax.custom_jvp
    def square(x):
        return x * x

    square.defjvp(lambda primals, tangents: (square(*primals), 3 * primals[0] * tangents[0]))

    def f(x):
        return square(x).sum()

    proof = prove_gradient(f, X, gradient=of_jax(f, X))
    assert proof.verdict == "proved wrong"
    np.testing.assert_allclose(proof.value, 2 * X, rtol=1e-15)


def test_what_balls_cannot_follow_is_named():
    jnp = pytest.importorskip("jax").numpy
    proof = prove_gradient(lambda x: jnp.sum(jnp.abs(jnp.fft.fft(x))), X)
    assert proof.verdict == "not proved"
    assert "complex128" in proof.reason
    torch = pytest.importorskip("torch")
    proof = prove_gradient(lambda x: torch.linalg.matrix_exp(x).sum(), torch.from_numpy(A))
    assert proof.verdict == "not proved"
    assert "matrix_exp" in proof.reason
    proof = prove_gradient(lambda x: (torch.rand(4) * x).sum(), torch.from_numpy(X))
    assert proof.verdict == "not proved"
    assert "random" in proof.reason
    proof = prove_gradient(lambda x: x[0] * x[1].item(), torch.from_numpy(X))
    assert proof.verdict == "not proved"
