"""What gradparity adds to one value and gradient: against the same, written by hand."""

import functools
from collections.abc import Iterator

import numpy as np
from rows import Row, at_most, interleaved_ratios

from gradparity.backends import get_backend
from gradparity.models import Quadratic, SimpleNet, TwoLayerNet, load_mnist


def cases():
    digits = load_mnist("embedded")
    x, t = digits.train_x[:100], np.eye(10)[digits.train_t[:100]]
    yield "TwoLayerNet", TwoLayerNet(784, 100, 10), (x, t), 1.03
    yield "SimpleNet", SimpleNet(), (np.asarray([0.6, 0.9]), np.asarray([0.0, 0.0, 1.0])), 1.10
    yield "Quadratic", Quadratic(), (), 1.10


def rows() -> Iterator[Row]:
    for name, model, args, limit in cases():
        for dtype in ("float32", "float64"):
            for framework, by_hand in (("jax", jax_by_hand), ("torch", torch_by_hand)):
                backend = get_backend(framework, dtype=dtype)
                params, native = backend.asarray(model.init(0)), backend.asarray(args)
                ours = backend.compile(backend.value_and_gradient(model.loss))
                theirs = by_hand(name, dtype)
                ratios = interleaved_ratios(
                    functools.partial(waited, backend, ours, params, *native),
                    functools.partial(waited, backend, theirs, params, *native),
                )
                yield at_most(f"overhead: {name} {framework} {dtype}", ratios, limit)


def waited(backend, value_and_gradient, *inputs):
    return backend.wait(value_and_gradient(*inputs))


def jax_by_hand(name: str, dtype: str):
    import jax
    import jax.numpy as jnp

    # A user who wants float64 sets this at the start of the process.
    jax.config.update("jax_enable_x64", dtype == "float64")

    def softmax_loss(logits, t):
        e = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
        y = e / jnp.sum(e, axis=-1, keepdims=True)
        return -jnp.sum(t * jnp.log(y + 1e-7)) / (1 if y.ndim == 1 else y.shape[0])

    def two_layer(p, x, t):
        return softmax_loss(jax.nn.sigmoid(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"], t)

    f = {
        "TwoLayerNet": two_layer,
        "SimpleNet": lambda p, x, t: softmax_loss(x @ p["W"], t),
        "Quadratic": lambda x: jnp.sum(x * x),
    }[name]
    return jax.jit(jax.value_and_grad(f))


def torch_by_hand(name: str, dtype: str):
    import torch

    def softmax_loss(logits, t):
        y = torch.softmax(logits, dim=-1)
        return -torch.sum(t * torch.log(y + 1e-7)) / (1 if y.ndim == 1 else y.shape[0])

    def two_layer(p, x, t):
        return softmax_loss(torch.sigmoid(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"], t)

    f = {
        "TwoLayerNet": two_layer,
        "SimpleNet": lambda p, x, t: softmax_loss(x @ p["W"], t),
        "Quadratic": lambda x: torch.sum(x * x),
    }[name]

    def value_and_gradient(params, *args):
        if name == "Quadratic":
            leaf = params.detach().requires_grad_()
            value = f(leaf)
            return value.detach(), torch.autograd.grad(value, leaf)[0]
        leaves = {key: leaf.detach().requires_grad_() for key, leaf in params.items()}
        value = f(leaves, *args)
        gradients = torch.autograd.grad(value, list(leaves.values()))
        return value.detach(), dict(zip(leaves, gradients, strict=True))

    return value_and_gradient
