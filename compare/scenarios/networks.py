"""Networks as users write them over the array API, of more kinds than gradparity's own."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.random import Generator

from .layers import attended, cross_entropy, normalised
from .scenario import Draw, Point, Scenario, normal

CLASSES = 4
SAMPLES = 12


def rectified(x: Any) -> Any:
    return array_namespace(x).maximum(x, 0.0)


def normalised_by_variance(x: Any, axis: int) -> Any:
    xp = array_namespace(x)
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return centred / xp.sqrt(xp.var(x, axis=axis, keepdims=True) + 1e-5)


def normalised_net(p: Any, x: Any, t: Any) -> Any:
    """Classify after a batch normalisation and a layer normalisation."""
    hidden = rectified(p["g0"] * normalised_by_variance(x @ p["W0"] + p["b0"], 0) + p["s0"])
    hidden = rectified(p["g1"] * normalised_by_variance(hidden @ p["W1"] + p["b1"], -1) + p["s1"])
    return cross_entropy(hidden @ p["W2"] + p["b2"], t)


def convolved(x: Any, kernel: Any) -> Any:
    """Correlate x of shape (n, c, h, w) with a kernel of shape (o, c, k, k)."""
    xp, size = array_namespace(kernel), kernel.shape[-1]
    rows, columns = x.shape[2] - size + 1, x.shape[3] - size + 1
    total = xp.zeros((x.shape[0], rows, columns, kernel.shape[0]))
    for i in range(size):
        for j in range(size):
            patch = x[:, :, i : i + rows, j : j + columns]
            total += xp.tensordot(patch, kernel[:, :, i, j], axes=((1,), (1,)))
    return xp.permute_dims(total, (0, 3, 1, 2))


def convolution(p: Any, x: Any, t: Any) -> Any:
    xp = array_namespace(p["W"])
    hidden = rectified(convolved(x, p["K"]) + p["k"][:, None, None])
    n, c, h, w = hidden.shape
    pooled = xp.max(xp.reshape(hidden, (n, c, h // 2, 2, w // 2, 2)), axis=(3, 5))
    return cross_entropy(xp.reshape(pooled, (n, -1)) @ p["W"], t)


def patches_convolution(p: Any, x: Any, t: Any) -> Any:
    """Gather the patches in the columns of a matrix, and multiply it by the kernels."""
    xp, (n, _, side, _) = array_namespace(p["W"]), x.shape
    out = side - 2
    shifts = [(i, j) for i in range(3) for j in range(3)]
    patches = xp.stack([x[:, 0, i : i + out, j : j + out] for i, j in shifts], axis=-1)
    hidden = rectified(patches @ xp.reshape(p["K"], (-1, 9)).mT + p["k"])
    pooled = xp.mean(xp.reshape(hidden, (n, out // 2, 2, out // 2, 2, -1)), axis=(2, 4))
    return cross_entropy(xp.reshape(pooled, (n, -1)) @ p["W"], t)


def attention(p: Any, x: Any, t: Any) -> Any:
    mixed = x + attended(x @ p["Q"], x @ p["K"], x @ p["V"])
    return cross_entropy(array_namespace(x).mean(mixed, axis=1), t)


def recurrent(p: Any, x: Any, t: Any) -> Any:
    xp = array_namespace(p["W"])
    state = xp.zeros((x.shape[0], p["W"].shape[0]))
    for time in range(x.shape[1]):
        state = xp.tanh(x[:, time, :] @ p["U"] + state @ p["W"])
    return cross_entropy(state, t)


def relu_net(p: Any, x: Any) -> Any:
    xp = array_namespace(x)
    hidden = x @ p["W1"] + p["b1"]
    return xp.mean((xp.maximum(hidden, xp.zeros_like(hidden)) @ p["W2"]) ** 2)


def batch_normalised(p: Any, x: Any) -> Any:
    standard = normalised(x @ p["W"] + p["b"], 0)
    return array_namespace(x).mean(array_namespace(x).tanh(standard * p["gain"] + p["shift"]) ** 2)


def biased_attention(p: Any, x: Any) -> Any:
    query, key, value = (x @ p[name] + p["b" + name] for name in ("q", "k", "v"))
    return array_namespace(x).mean(attended(query, key, value) ** 2)


def layer_normalised(p: Any, x: Any) -> Any:
    xp = array_namespace(x)
    standard = normalised(x @ p["W"], -1) * p["gain"] + p["bias"]
    return xp.mean(xp.tanh(standard) ** 2 + 0.1 * standard)


def badly_scaled(p: Any) -> Any:
    """Return a sum whose leaves live on scales 13 orders of magnitude apart."""
    xp = array_namespace(p["small"])
    return (
        xp.sum(xp.sin(p["small"] * 1e7))
        + xp.sum(xp.exp(p["middle"]))
        + xp.sum(xp.cos(p["large"] / 1e6))
    )


def absolute(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.sum(xp.abs(x)) + xp.sum(x[1:] * x[:-1])


def _log_likelihood_near_zero(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.sum(x - xp.log(x))


def _classifier(scale: float, inputs: tuple[int, ...], **shapes: tuple[int, ...]) -> Draw:
    """Draw normal parameters, uniform inputs of this shape for each sample, and labels."""

    def draw(generator: Generator, size: int) -> Point:
        params = {name: scale * generator.normal(size=shape) for name, shape in shapes.items()}
        x = generator.uniform(size=(SAMPLES, *inputs))
        return params, (x, generator.integers(0, CLASSES, SAMPLES))

    return draw


def _draw_layer(generator: Generator, size: int) -> Point:
    params = {
        "W": generator.normal(size=(6, 5)),
        "gain": 1.0 + 0.1 * generator.normal(size=5),
        "bias": 0.1 * generator.normal(size=5),
    }
    return params, (generator.normal(size=(8, 6)),)


def _draw_scales(generator: Generator, size: int) -> Point:
    return {
        "small": 1e-7 * generator.normal(size=7),
        "middle": generator.normal(size=(3, 4)),
        "large": 1e6 * generator.normal(size=5),
    }, ()


_vectors = {f"{name}{i}": (n,) for name in "bgs" for i, n in ((0, 8), (1, 6))}

CLASSIFIERS = (
    Scenario.drawn_first(
        "batch and layer normalisation",
        normalised_net,
        _classifier(0.3, (20,), W0=(20, 8), W1=(8, 6), W2=(6, 4), b2=(4,), **_vectors),
    ),
    Scenario.drawn_first(
        "convolution",
        convolution,
        _classifier(0.3, (2, 8, 8), K=(3, 2, 3, 3), k=(3,), W=(27, 4)),
        batch=SAMPLES,
    ),
    Scenario.drawn_first(
        "convolution by patches",
        patches_convolution,
        _classifier(0.3, (1, 8, 8), K=(3, 1, 3, 3), k=(3,), W=(27, 4)),
        batch=SAMPLES,
    ),
    Scenario.drawn_first(
        "attention of sequences",
        attention,
        _classifier(0.3, (5, 4), Q=(4, 4), K=(4, 4), V=(4, 4)),
        batch=SAMPLES,
    ),
    Scenario.drawn_first(
        "recurrence",
        recurrent,
        _classifier(0.3, (5, 4), U=(4, 6), W=(6, 6)),
        batch=SAMPLES,
    ),
)

NETWORKS = (
    Scenario(
        "relu net", relu_net, {"W1": normal(6, 9), "b1": normal(9), "W2": normal(9, 2)},
        (normal(8, 6),), batch=8,
    ),
    Scenario(
        "batch normalisation",
        batch_normalised,
        {"W": normal(5, 6), "b": normal(6)}
        | {"gain": 1 + 0.1 * normal(6), "shift": normal(6, seed=1)},
        (normal(12, 5),),
    ),
    Scenario(
        "attention with biases",
        biased_attention,
        {name: normal(4, 4, seed=k) for k, name in enumerate("qkv")}
        | {"b" + name: normal(4, seed=k) for k, name in enumerate("qkv")},
        (normal(6, 4),),
    ),
    Scenario.drawn_first("layer normalisation", layer_normalised, _draw_layer, batch=8),
    Scenario.drawn_first("badly scaled sum", badly_scaled, _draw_scales),
    Scenario("log-likelihood near 0", _log_likelihood_near_zero, np.abs(normal(9)) ** 3),
)  # fmt: skip

# Entries at 0 stay there: some of the parameters, or all that reach a unit, are at a kink.
KINKS = (
    Scenario(
        "absolute values, some of 0",
        absolute,
        normal(8) * np.array([0, 1, 1, 0, 1, 1, 1, 0]),
        kinks=True,
    ),
    Scenario(
        "relu net with dead inputs",
        relu_net,
        {"W1": normal(6, 9), "b1": np.zeros(9), "W2": normal(9, 2)},
        (np.vstack([normal(8, 6), np.zeros((1, 6))]),),
        kinks=True,
    ),
)
