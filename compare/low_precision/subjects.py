"""Operations and nets as they run in low precision, over the array API, with points to draw."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.random import Generator

Point = tuple[dict[str, np.ndarray], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class LowPrecisionSubject:
    """A function and a way to draw points for it.

    draw: gives (params, args) in float64 from a generator and a size, from about 4 on
    """

    name: str
    f: Callable[..., Any] = field(repr=False)
    draw: Callable[[Generator, int], Point] = field(repr=False)


def _total(c: Any, y: Any) -> Any:
    return array_namespace(y).sum(c * y)


def _exp(x: Any) -> Any:
    return array_namespace(x).exp(x)


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + array_namespace(x).exp(-x))


def _softmax(x: Any) -> Any:
    xp = array_namespace(x)
    y = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return y / xp.sum(y, axis=-1, keepdims=True)


def _log_softmax(x: Any) -> Any:
    xp = array_namespace(x)
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def _cross_entropy(logits: Any, t: Any) -> Any:
    xp = array_namespace(logits)
    return -xp.mean(xp.sum(t * _log_softmax(logits), axis=-1))


def _normalised(x: Any, axis: int) -> Any:
    xp = array_namespace(x)
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred * centred, axis=axis, keepdims=True) + 1e-5)


def _rms_normalised(x: Any) -> Any:
    xp = array_namespace(x)
    return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + 1e-5)


def _gelu(x: Any) -> Any:
    return 0.5 * x * (1.0 + array_namespace(x).tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def _attention(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    xp = array_namespace(q)
    scores = (q @ xp.matrix_transpose(k)) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = xp.where(mask > 0, scores, -1e4 * xp.ones_like(scores))
    return _softmax(scores) @ v


def _convolved(x: Any, kernel: Any) -> Any:
    side = x.shape[-1] - 2
    return sum(x[:, i : i + side, j : j + side] * kernel[i, j] for i in range(3) for j in range(3))


def _recurrent(p: Any, x: Any, c: Any) -> Any:
    state = x[:, 0, :] @ p["U"]
    for time in range(1, x.shape[1]):
        state = array_namespace(x).tanh(x[:, time, :] @ p["U"] + state @ p["W"])
    return _total(c, state)


def _block(p: Any, x: Any, c: Any) -> Any:
    normal = _normalised(x, -1) * p["gain"]
    x = x + _attention(normal @ p["Q"], normal @ p["K"], normal @ p["V"]) @ p["O"]
    return _total(c, x + _gelu(_rms_normalised(x) @ p["W1"]) @ p["W2"])


def _relu_net(p: Any, x: Any, t: Any) -> Any:
    hidden = x @ p["W1"] + p["b1"]
    hidden = array_namespace(x).where(hidden > 0, hidden, array_namespace(x).zeros_like(hidden))
    return _cross_entropy(hidden @ p["W2"] + p["b2"], t)


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
    ratio = _log_softmax(x) - _log_softmax(p["x"])
    return array_namespace(x).sum(_softmax(x) * ratio) / x.shape[0]


def _tanh_net(p: Any, x: Any, t: Any) -> Any:
    hidden = array_namespace(x).tanh(x @ p["W1"] + p["b1"])
    return _cross_entropy(hidden @ p["W2"], t)


def _of_x(operation: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda p, c: _total(c, operation(p["x"]))


def _draws(*shapes: Any, **params: Any) -> Callable[[Generator, int], Point]:
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


def _with_classes(draw: Callable[[Generator, int], Point]) -> Callable[[Generator, int], Point]:
    def draw_with_classes(generator: Generator, n: int) -> Point:
        params, (*rest, logits) = draw(generator, n)
        classes = generator.integers(logits.shape[-1], size=logits.shape[0])
        return params, (*rest, np.eye(logits.shape[-1])[classes])

    return draw_with_classes


def _positive(draw: Callable[[Generator, int], Point]) -> Callable[[Generator, int], Point]:
    def draw_positive(generator: Generator, n: int) -> Point:
        params, args = draw(generator, n)
        return {name: 0.2 + np.abs(array) for name, array in params.items()}, args

    return draw_positive


def _masked(draw: Callable[[Generator, int], Point]) -> Callable[[Generator, int], Point]:
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

SUBJECTS = (
    LowPrecisionSubject("squares", _of_x(lambda x: x * x), _x),
    LowPrecisionSubject("exp", _of_x(_exp), _x),
    LowPrecisionSubject("log", _of_x(lambda x: array_namespace(x).log(x)), _positive(_x)),
    LowPrecisionSubject("tanh", _of_x(lambda x: array_namespace(x).tanh(x)), _x),
    LowPrecisionSubject("sigmoid", _of_x(_sigmoid), _x),
    LowPrecisionSubject("gelu", _of_x(_gelu), _x),
    LowPrecisionSubject("softplus", _of_x(lambda x: array_namespace(x).log1p(_exp(x))), _x),
    LowPrecisionSubject(
        "swiglu",
        lambda p, c: _total(c, p["a"] * _sigmoid(p["a"]) * p["b"]),
        _draws(_matrix, a=_matrix, b=_matrix),
    ),
    LowPrecisionSubject("softmax", _of_x(_softmax), _x),
    LowPrecisionSubject(
        "cross entropy",
        lambda p, t: _cross_entropy(p["x"], t),
        _with_classes(_draws(_matrix, x=_matrix)),
    ),
    LowPrecisionSubject("log-sum-exp", _of_x(_log_sum_exp), _draws(lambda n: (n + 3,), x=_matrix)),
    LowPrecisionSubject(
        "layer norm",
        lambda p, c: _total(c, _normalised(p["x"], -1) * p["gain"] + p["bias"]),
        _draws(_batch, x=_batch, gain=_row, bias=_row),
    ),
    LowPrecisionSubject(
        "RMS norm",
        lambda p, c: _total(c, _rms_normalised(p["x"]) * p["gain"]),
        _draws(_batch, x=_batch, gain=_row),
    ),
    LowPrecisionSubject(
        "batch norm",
        lambda p, c: _total(c, _normalised(p["x"], 0) * p["gain"] + p["bias"]),
        _draws(_batch, x=_batch, gain=_row, bias=_row),
    ),
    LowPrecisionSubject(
        "product", lambda p, c: _total(c, p["x"] @ p["W"]), _draws(_batch, x=_batch, W=_square)
    ),
    LowPrecisionSubject(
        "three products",
        lambda p, x, c: _total(c, x @ p["A"] @ p["B"] @ p["C"]),
        _draws(_batch, _batch, A=_square, B=_square, C=_square),
    ),
    LowPrecisionSubject(
        "linear",
        lambda p, x, c: _total(c, x @ p["W"] + p["b"]),
        _draws(_batch, _batch, W=_square, b=_row),
    ),
    LowPrecisionSubject(
        "attention",
        lambda p, c: _total(c, _attention(p["q"], p["k"], p["v"])),
        _draws(_batch, q=_batch, k=_batch, v=_batch),
    ),
    LowPrecisionSubject(
        "causal attention",
        lambda p, c, mask: _total(c, _attention(p["q"], p["k"], p["v"], mask)),
        _masked(_draws(_batch, lambda n: (2 * n, 2 * n), q=_batch, k=_batch, v=_batch)),
    ),
    LowPrecisionSubject(
        "ReLU net",
        _relu_net,
        _with_classes(
            _draws(_batch, lambda n: (2 * n, 10), W1=_square, b1=_row, W2=_ten, b2=lambda n: (10,))
        ),
    ),
    LowPrecisionSubject(
        "tanh net",
        _tanh_net,
        _with_classes(_draws(_batch, lambda n: (2 * n, 10), W1=_square, b1=_row, W2=_ten)),
    ),
    LowPrecisionSubject(
        "recurrent net", _recurrent, _draws(lambda n: (n, 5, n), _square, U=_square, W=_square)
    ),
    LowPrecisionSubject("L2 normalisation", _of_x(_of_unit_length), _x),
    LowPrecisionSubject("squared error", _squared_error, _draws(_batch, _batch, W=_square)),
    LowPrecisionSubject("Huber loss", _huber, _x),
    LowPrecisionSubject(
        "convolution",
        lambda p, x, c: _total(c, array_namespace(x).tanh(_convolved(x, p["K"]))),
        _draws(lambda n: (4, n + 2, n + 2), lambda n: (4, n, n), K=lambda n: (3, 3)),
    ),
    LowPrecisionSubject(
        "variance",
        _of_x(lambda x: array_namespace(x).var(x, axis=-1)),
        _draws(lambda n: (n + 3,), x=_matrix),
    ),
    LowPrecisionSubject("KL divergence", _divergence, _draws(_matrix, x=_matrix)),
    LowPrecisionSubject(
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
