"""A right port of a language model of 84 leaves, keys' biases without a gradient included."""

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
nn = pytest.importorskip("flax.linen")
jnp = jax.numpy

WIDTH, HEADS, WORDS, LENGTH, BLOCKS = 4, 2, 5, 3, 5
NAMES = ("query", "key", "value", "out")


class TorchBlock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        for name in NAMES:
            setattr(self, name, torch.nn.Linear(WIDTH, WIDTH))
        self.up = torch.nn.Linear(WIDTH, 2 * WIDTH)
        self.down = torch.nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        h, (n, length, _) = self.norm_1(x), x.shape
        query, key, value = (
            getattr(self, name)(h).reshape(n, length, HEADS, -1).transpose(1, 2)
            for name in NAMES[:3]
        )
        logits = query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        future = ~torch.ones(length, length, dtype=torch.bool).tril()
        mixed = logits.masked_fill(future, -1e9).softmax(-1) @ value
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        up = torch.nn.functional.gelu(self.up(self.norm_2(x)), approximate="tanh")
        return x + self.down(up)


class TorchModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = (torch.nn.Embedding(n, WIDTH) for n in (WORDS, LENGTH))
        self.blocks = torch.nn.ModuleList(TorchBlock() for _ in range(BLOCKS))
        self.norm = torch.nn.LayerNorm(WIDTH)

    def forward(self, x):
        y = self.words(x) + self.places.weight
        for block in self.blocks:
            y = block(y)
        return self.norm(y) @ self.words.weight.T


class FlaxBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        h, (n, length, _) = nn.LayerNorm(epsilon=1e-5, name="norm_1")(x), x.shape
        query, key, value = (
            nn.Dense(WIDTH, name=name)(h).reshape(n, length, HEADS, -1).swapaxes(1, 2)
            for name in NAMES[:3]
        )
        logits = query @ key.swapaxes(-1, -2) / (WIDTH // HEADS) ** 0.5
        past = jnp.tril(jnp.ones((length, length), bool))
        mixed = jax.nn.softmax(jnp.where(past, logits, -1e9), -1) @ value
        x = x + nn.Dense(WIDTH, name="out")(mixed.swapaxes(1, 2).reshape(x.shape))
        up = nn.Dense(2 * WIDTH, name="up")(nn.LayerNorm(epsilon=1e-5, name="norm_2")(x))
        return x + nn.Dense(WIDTH, name="down")(nn.gelu(up))


class FlaxModel(nn.Module):
    @nn.compact
    def __call__(self, x):
        words = nn.Embed(WORDS, WIDTH, name="words")
        y = words(x) + nn.Embed(LENGTH, WIDTH, name="places").embedding
        for k in range(BLOCKS):
            y = FlaxBlock(name=f"blocks_{k}")(y)
        return words.attend(nn.LayerNorm(epsilon=1e-5, name="norm")(y))


def torch_loss(y, words):
    return torch.nn.functional.cross_entropy(y.reshape(-1, WORDS), words.reshape(-1))


def flax_loss(y, words):
    log_likelihood = jax.nn.log_softmax(y).reshape(-1, WORDS)
    return -jnp.take_along_axis(log_likelihood, words.reshape(-1, 1), 1).mean()


def test_a_right_port_takes_less_than_a_hundred_calls_of_each():
    rng = np.random.default_rng(0)
    x, words = rng.integers(0, WORDS, (2, 2, LENGTH))
    torch.manual_seed(0)
    model, variables = TorchModel(), jax.jit(FlaxModel().init)(jax.random.key(0), x)
    assert len(jax.tree.leaves(variables)) == 84
    calls = []
    losses = {
        "torch": gp.module_loss(model, lambda *of: calls.append("torch") or torch_loss(*of)),
        "jax": gp.module_loss((FlaxModel(), variables), flax_loss),
    }
    comparison = gp.compare_gradients(losses, model, x, words)
    assert comparison.verdict == "agree", str(comparison)
    assert calls.count("torch") < 100
    assert comparison.evaluations < 200  # of both; JAX's compiled ones count here alone
    keys = [d for d in comparison.differences if d.leaf.endswith("key.bias")]
    assert len(keys) == BLOCKS
    assert max(d.relative for d in keys) < 1e-12
    assert "differ by 2 of" not in str(comparison)
