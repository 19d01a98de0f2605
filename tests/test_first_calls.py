"""What a user writes: so many lines and no more, beside the model, the loss and the batch.

Each case runs twice: as it stands, and with a rule planted in the model whose backward pass is 5 %
off, or a term dropped; then the same lines have to say so.
"""

import ast
import os
from dataclasses import dataclass

import numpy as np
import pytest

import gradparity as gp

os.environ.setdefault("KERAS_BACKEND", "jax")  # else Keras asks for TensorFlow
LONGEST_LINE = 100
RNG = np.random.default_rng(0)
BATCH = {"x": RNG.normal(size=(5, 3)), "t": RNG.normal(size=(5, 2))}


@dataclass(frozen=True)
class FirstCall:
    """What a user has (setup), what he writes (lines), and what that is called."""

    name: str
    needs: tuple[str, ...]
    setup: str
    lines: str
    most: int


# FAULT scales the backward pass of `tanh`: 1 is right.
TORCH_TANH = """
import torch

class Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, cotangent):
        (y,) = ctx.saved_tensors
        return FAULT * cotangent * (1 - y**2)

torch.manual_seed(0)
"""
JAX_TANH = """
import jax
import jax.numpy as jnp

@jax.custom_vjp
def tanh(x):
    return jnp.tanh(x)

tanh.defvjp(lambda x: (jnp.tanh(x),) * 2, lambda y, cotangent: (FAULT * cotangent * (1 - y**2),))
"""
TORCH_NET = f"""{TORCH_TANH}
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.last(Tanh.apply(self.first(x)))

net, loss = Net(), torch.nn.functional.mse_loss
x, t = (torch.as_tensor(array, dtype=torch.float32) for array in (x, t))
"""
LINEN_NET = f"""{JAX_TANH}
import flax.linen as nn

class FlaxNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(tanh(nn.Dense(4)(x)))

flax_net = FlaxNet()
variables = flax_net.init(jax.random.key(0), jnp.asarray(x))

def mse(y, t):
    return jnp.mean((y - t) ** 2)
"""
NNX_NET = f"""{JAX_TANH}
from flax import nnx

class Net(nnx.Module):
    def __init__(self, rngs):
        self.first, self.last = nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(tanh(self.first(x)))

net = Net(nnx.Rngs(0))

def loss(model, x, t):
    return jnp.mean((model(x) - t) ** 2)
"""
EQUINOX_NET = f"""{JAX_TANH}
import equinox as eqx

net = eqx.nn.MLP(3, 2, 4, 1, activation=tanh, key=jax.random.key(0))

def loss(model, x, t):
    return jnp.mean((jax.vmap(model)(x) - t) ** 2)
"""
KERAS_NET = f"""{JAX_TANH}
import keras

layers = [keras.Input((3,)), keras.layers.Dense(4, tanh), keras.layers.Dense(2)]
net = keras.Sequential(layers)

def loss(y, t):
    return keras.ops.mean((y - t) ** 2)
"""
# A step that drops a term is what a compiler's, or a rewriting author's, fault looks like.
TORCH_STEP = """
import torch
params = {"w": np.ones((3, 2)), "b": np.zeros(2)}

def f(params, x, t):
    return ((torch.tanh(x @ params["w"] + params["b"]) - t) ** 2).mean()

def rewritten(params, x, t):
    return f(params, x, t) if FAULT == 1 else f({**params, "b": params["b"].detach()}, x, t)

"""
JAX_STEP = """
import jax
import jax.numpy as jnp
params = {"w": np.ones((3, 2)), "b": np.zeros(2)}

def f(params, x, t):
    return ((jnp.tanh(x @ params["w"] + params["b"]) - t) ** 2).mean()

def rewritten(params, x, t):
    stopped = {**params, "b": jax.lax.stop_gradient(params["b"])}
    return f(params if FAULT == 1 else stopped, x, t)
"""

# What a user has; with torch's default backend it compiles C++ for half a minute.
COMPILED = "step = torch.compile(rewritten, backend='aot_eager')"

ONE_MODULE = "check = gp.check_module(net, loss, x, t)"
FIRST_CALLS = [
    FirstCall("torch module", ("torch",), TORCH_NET, ONE_MODULE, 1),
    FirstCall(
        "torch module, its own .grad",
        ("torch",),
        TORCH_NET + "loss(net(x), t).backward()",
        ONE_MODULE,
        1,
    ),
    FirstCall("nnx", ("jax", "flax"), NNX_NET, ONE_MODULE, 1),
    FirstCall("Equinox", ("jax", "equinox"), EQUINOX_NET, ONE_MODULE, 1),
    FirstCall("Keras", ("jax", "keras"), KERAS_NET, ONE_MODULE, 1),
    FirstCall(
        "linen",
        ("jax", "flax"),
        LINEN_NET,
        "check = gp.check_module((flax_net, variables), mse, x, t)",
        1,
    ),
    FirstCall(
        "MLP port, torch to Flax",
        ("torch", "jax", "flax"),
        TORCH_NET.replace("FAULT *", "") + LINEN_NET,
        "losses = {'torch': gp.module_loss(net, loss), "
        "'jax': gp.module_loss((flax_net, variables), mse)}\n"
        "check = gp.compare_gradients(losses, net, x, t)",
        2,
    ),
    FirstCall(
        "compiled against eager, torch",
        ("torch",),
        TORCH_STEP + COMPILED,
        "check = gp.compare_gradients({'torch': f, 'torch:compiled': step}, params, x, t)",
        1,
    ),
    FirstCall(
        "compiled against eager, JAX",
        ("jax",),
        JAX_STEP,
        "check = gp.compare_gradients({'jax': f, 'jax:jit': jax.jit(rewritten)}, params, x, t)",
        1,
    ),
    FirstCall(
        "a function, three engines",
        ("torch", "jax"),
        "def f(w, x): return FAULT * ((x @ w) ** 2).mean()\n"
        "w, rule = np.ones(3), lambda w, x: 2 * x.T @ (x @ w) / len(x)",
        "check = gp.check_gradient(f, w, x, gradient=rule)",
        1,
    ),
]


def verdict_of(call, fault):
    for module in call.needs:
        pytest.importorskip(module)
    names = {"np": np, "gp": gp, "FAULT": fault, **BATCH}
    exec(compile(call.setup, f"<{call.name}>", "exec"), names)
    exec(compile(call.lines, f"<{call.name}>", "exec"), names)
    return names["check"].verdict


@pytest.mark.parametrize("call", FIRST_CALLS, ids=lambda call: call.name)
def test_it_takes_no_more_lines(call):
    lines = call.lines.splitlines()
    assert len(lines) == len(ast.parse(call.lines).body) == call.most
    assert max(map(len, lines)) <= LONGEST_LINE


@pytest.mark.parametrize("call", FIRST_CALLS, ids=lambda call: call.name)
def test_a_right_gradient_agrees(call):
    assert verdict_of(call, 1) == "agree"


@pytest.mark.parametrize("call", FIRST_CALLS, ids=lambda call: call.name)
def test_a_planted_fault_differs(call):
    assert verdict_of(call, 1.05) == "differ"
