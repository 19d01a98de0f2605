"""Layers and losses over the array API, as they also run in low precision, with points to draw."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.random import Generator

from .scenario import Draw, Point, Scenario


def _total(c: Any, y: Any) -> Any:
    return array_namespace(y).sum(c * y)


def _exp(x: Any) -> Any:
    return array_namespace(x).exp(x)


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + array_namespace(x).exp(-x))


def softmax(x: Any) -> Any:
    xp = array_namespace(x)
    y = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return y / xp.sum(y, axis=-1, keepdims=True)


def log_softmax(x: Any) -> Any:
    xp = array_namespace(x)
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def cross_entropy(logits: Any, t: Any) -> Any:
    """Return the mean cross entropy; t: labels (N,), or shares of the classes (N, classes)."""
    xp, likely = array_namespace(logits), log_softmax(logits)
    if t.ndim == 1:
        return -xp.mean(xp.take_along_axis(likely, t[:, None], axis=-1))
    return -xp.mean(xp.sum(t * likely, axis=-1))


def normalised(x: Any, axis: int) -> Any:
    xp = array_namespace(x)
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred * centred, axis=axis, keepdims=True) + 1e-5)


def rms_normalised(x: Any) -> Any:
    xp = array_namespace(x)
    return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + 1e-5)


def gelu(x: Any) -> Any:
    return 0.5 * x * (1.0 + array_namespace(x).tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def attended(q: Any, k: Any, v: Any, *, scale: float | None = None, mask: Any = None) -> Any:
    """Return softmax(q k^T scale) v, without the pairs that the mask has as 0."""
    xp = array_namespace(q)
    scores = q @ xp.matrix_transpose(k)
    if scale is not None:
        scores = scores * scale
    if mask is not None:
        scores = xp.where(mask > 0, scores, -1e4 * xp.ones_like(scores))
    return softmax(scores) @ v


def _attention(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    return attended(q, k, v, scale=q.shape[-1] ** -0.5, mask=mask)


def _convolved(x: Any, kernel: Any) -> Any:
    side = x.shape[-1] - 2
    return sum(x[:, i : i + side, j : j + side] * kernel[i, j] for i in range(3) for j in range(3))


def _recurrent(p: Any, x: Any, c: Any) -> Any:
    state = x[:, 0, :] @ p["U"]
    for time in range(1, x.shape[1]):
        state = array_namespace(x).tanh(x[:, time, :] @ p["U"] + state @ p["W"])
    return _total(c, state)


def _block(p: Any, x: Any, c: Any) -> Any:
    normal = normalised(x, -1) * p["gain"]
    x = x + _attention(normal @ p["Q"], normal @ p["K"], normal @ p["V"]) @ p["O"]
    return _total(c, x + gelu(rms_normalised(x) @ p["W1"]) @ p["W2"])


def _relu_net(p: Any, x: Any, t: Any) -> Any:
    hidden = x @ p["W1"] + p["b1"]
    hidden = array_namespace(x).where(hidden > 0, hidden, array_namespace(x).zeros_like(hidden))
    return cross_entropy(hidden @ p["W2"] + p["b2"], t)


def _huber(p: Any, t: Any) -> Any:
    xp = array_namespace(t)
    far = xp.abs(p["x"] - t)
    return xp.mean(xp.where(far < 1.0, 0.5 * far * far, far - 0.5))


def _log_sum_exp(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.log(xp.sum(xp.exp(x), axis=-1))


def _of_unit_length(x: Any) -> Any:
    xp = array_namespace(x)
    return x / xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))


def _squared_error(p: Any, x: Any, t: Any) -> Any:
    residual = x @ p["W"] - t
    return array_namespace(x).mean(residual * residual)


def _divergence(p: Any, x: Any) -> Any:
    ratio = log_softmax(x) - log_softmax(p["x"])
    return array_namespace(x).sum(softmax(x) * ratio) / x.shape[0]


def _tanh_net(p: Any, x: Any, t: Any) -> Any:
    hidden = array_namespace(x).tanh(x @ p["W1"] + p["b1"])
    return cross_entropy(hidden @ p["W2"], t)


def _of_x(operation: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda p, c: _total(c, operation(p["x"]))


def _draws(*shapes: Any, **params: Any) -> Draw:
    """Draw normal arrays; a shape is a function of the size, for a weight its fan-in scales it."""

    def draw(generator: Generator, n: int) -> Point:
        drawn = {}
        for name, shape in params.items():
            sides = shape(n)
            drawn[name] = generator.normal(size=sides)
            if name[0].isupper():
                drawn[name] /= np.sqrt(sides[0])
            if name == "gain":
                drawn[name] = 1.0 + 0.1 * drawn[name]
        return drawn, tuple(generator.normal(size=shape(n)) for shape in shapes)

    return draw


def _with_classes(draw: Draw) -> Draw:
    def draw_with_classes(generator: Generator, n: int) -> Point:
        params, (*rest, logits) = draw(generator, n)
        classes = generator.integers(logits.shape[-1], size=logits.shape[0])
        return params, (*rest, np.eye(logits.shape[-1])[classes])

    return draw_with_classes


def _positive(draw: Draw) -> Draw:
    def draw_positive(generator: Generator, n: int) -> Point:
        params, args = draw(generator, n)
        return {name: 0.2 + np.abs(array) for name, array in params.items()}, args

    return draw_positive


def _masked(draw: Draw) -> Draw:
    def draw_masked(generator: Generator, n: int) -> Point:
        params, (c, square) = draw(generator, n)
        return params, (c, np.tril(np.ones_like(square)))

    return draw_masked


def _row(n: int) -> tuple[int, ...]:
    return (n,)


def _matrix(n: int) -> tuple[int, ...]:
    return (n + 3, n)


def _square(n: int) -> tuple[int, ...]:
    return (n, n)


def _batch(n: int) -> tuple[int, ...]:
    return (2 * n, n)


def _ten(n: int) -> tuple[int, ...]:
    return (n, 10)


_x = _draws(_matrix, x=_matrix)

LAYERS = (
    Scenario.drawn_first("squares", _of_x(lambda x: x * x), _x),
    Scenario.drawn_first("exp", _of_x(_exp), _x),
    Scenario.drawn_first("log", _of_x(lambda x: array_namespace(x).log(x)), _positive(_x)),
    Scenario.drawn_first("tanh", _of_x(lambda x: array_namespace(x).tanh(x)), _x),
    Scenario.drawn_first("sigmoid", _of_x(_sigmoid), _x),
    Scenario.drawn_first("gelu", _of_x(gelu), _x),
    Scenario.drawn_first("softplus", _of_x(lambda x: array_namespace(x).log1p(_exp(x))), _x),
    Scenario.drawn_first(
        "swiglu",
        lambda p, c: _total(c, p["a"] * _sigmoid(p["a"]) * p["b"]),
        _draws(_matrix, a=_matrix, b=_matrix),
    ),
    Scenario.drawn_first("softmax", _of_x(softmax), _x),
    Scenario.drawn_first(
        "cross entropy",
        lambda p, t: cross_entropy(p["x"], t),
        _with_classes(_draws(_matrix, x=_matrix)),
    ),
    Scenario.drawn_first("log-sum-exp", _of_x(_log_sum_exp), _draws(lambda n: (n + 3,), x=_matrix)),
    Scenario.drawn_first(
        "layer norm",
        lambda p, c: _total(c, normalised(p["x"], -1) * p["gain"] + p["bias"]),
        _draws(_batch, x=_batch, gain=_row, bias=_row),
    ),
    Scenario.drawn_first(
        "RMS norm",
        lambda p, c: _total(c, rms_normalised(p["x"]) * p["gain"]),
        _draws(_batch, x=_batch, gain=_row),
    ),
    Scenario.drawn_first(
        "batch norm",
        lambda p, c: _total(c, normalised(p["x"], 0) * p["gain"] + p["bias"]),
        _draws(_batch, x=_batch, gain=_row, bias=_row),
    ),
    Scenario.drawn_first(
        "product", lambda p, c: _total(c, p["x"] @ p["W"]), _draws(_batch, x=_batch, W=_square)
    ),
    Scenario.drawn_first(
        "three products",
        lambda p, x, c: _total(c, x @ p["A"] @ p["B"] @ p["C"]),
        _draws(_batch, _batch, A=_square, B=_square, C=_square),
    ),
    Scenario.drawn_first(
        "linear",
        lambda p, x, c: _total(c, x @ p["W"] + p["b"]),
        _draws(_batch, _batch, W=_square, b=_row),
    ),
    Scenario.drawn_first(
        "attention",
        lambda p, c: _total(c, _attention(p["q"], p["k"], p["v"])),
        _draws(_batch, q=_batch, k=_batch, v=_batch),
    ),
    Scenario.drawn_first(
        "causal attention",
        lambda p, c, mask: _total(c, _attention(p["q"], p["k"], p["v"], mask)),
        _masked(_draws(_batch, lambda n: (2 * n, 2 * n), q=_batch, k=_batch, v=_batch)),
    ),
    Scenario.drawn_first(
        "ReLU net",
        _relu_net,
        _with_classes(
            _draws(_batch, lambda n: (2 * n, 10), W1=_square, b1=_row, W2=_ten, b2=lambda n: (10,))
        ),
    ),
    Scenario.drawn_first(
        "tanh net",
        _tanh_net,
        _with_classes(_draws(_batch, lambda n: (2 * n, 10), W1=_square, b1=_row, W2=_ten)),
    ),
    Scenario.drawn_first(
        "recurrent net", _recurrent, _draws(lambda n: (n, 5, n), _square, U=_square, W=_square)
    ),
    Scenario.drawn_first("L2 normalisation", _of_x(_of_unit_length), _x),
    Scenario.drawn_first("squared error", _squared_error, _draws(_batch, _batch, W=_square)),
    Scenario.drawn_first("Huber loss", _huber, _x),
    Scenario.drawn_first(
        "convolution",
        lambda p, x, c: _total(c, array_namespace(x).tanh(_convolved(x, p["K"]))),
        _draws(lambda n: (4, n + 2, n + 2), lambda n: (4, n, n), K=lambda n: (3, 3)),
    ),
    Scenario.drawn_first(
        "variance",
        _of_x(lambda x: array_namespace(x).var(x, axis=-1)),
        _draws(lambda n: (n + 3,), x=_matrix),
    ),
    Scenario.drawn_first("KL divergence", _divergence, _draws(_matrix, x=_matrix)),
    Scenario.drawn_first(
        "transformer block",
        _block,
        _draws(
            _batch,
            _batch,
            gain=_row,
            Q=_square,
            K=_square,
            V=_square,
            O=_square,
            W1=lambda n: (n, 4 * n),
            W2=lambda n: (4 * n, n),
        ),
    ),
)
