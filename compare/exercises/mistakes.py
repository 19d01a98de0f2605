"""The classic mistakes of each exercise: what they give, so that they are known when seen.

No right backward pass stands here; what all exercises share (a forgotten dy, a wrong sign) is found
by `patterns.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradparity.backends.pytrees import Array

from .exercise import Mistake
from .layers import attention, batch_norm, im2col, layer_norm, sigmoid

MEAN = "averaged over the batch: dy is summed, the mean is the loss's business"
AXIS = "summed over the wrong axis"
UNSUMMED = "not summed over the batch"


def _sums(name: str, share: Callable[..., Array] = lambda dy, **inputs: dy) -> tuple[Mistake, ...]:
    """Return the mistakes of a gradient that sums a share of each sample over the batch."""
    return (
        Mistake(AXIS, lambda **given: {name: share(**given).sum(axis=1)}),
        Mistake(MEAN, lambda **given: {name: share(**given).mean(axis=0)}),
        Mistake(UNSUMMED, lambda **given: {name: share(**given)}),
        Mistake("summed over all entries", lambda **given: {name: share(**given).sum()}),
    )


# Affine, and entry by entry.


AFFINE = (
    *_sums("db"),
    Mistake(MEAN, lambda dy, x, W, b: {"dW": x.T @ dy / len(x)}),
    Mistake("transposed: xT dy, not dyT x", lambda dy, x, W, b: {"dW": dy.T @ x}),
    Mistake("x is not transposed", lambda dy, x, W, b: {"dW": x @ dy}),
    Mistake("W is not transposed", lambda dy, x, W, b: {"dx": dy @ W}),
    Mistake("averaged over the batch", lambda dy, x, W, b: {"dx": dy @ W.T / len(x)}),
)


def _sigmoid_mistakes() -> tuple[Mistake, ...]:
    def mistake(words: str, slope: Callable[[Array, Array], Array]) -> Mistake:
        return Mistake(words, lambda dy, x: {"dx": dy * slope(x, sigmoid(x))})

    return (
        mistake("takes x where y = sigmoid(x) belongs", lambda x, y: x * (1 - x)),
        mistake("forgot the factor 1 - y", lambda x, y: y),
        mistake("forgot the factor y", lambda x, y: 1 - y),
        mistake("the derivative of tanh, 1 - y**2", lambda x, y: 1 - y**2),
        mistake(
            "sigmoid taken twice: it is applied to x once, and y (1 - y) uses its result",
            lambda x, y: sigmoid(y) * (1 - sigmoid(y)),
        ),
        mistake("y (1 + y): the sign within the bracket", lambda x, y: y * (1 + y)),
    )


SIGMOID = _sigmoid_mistakes()

RELU = (
    Mistake("forgot the mask: where x < 0 nothing comes back", lambda dy, x: {"dx": dy}),
    Mistake("mask inverted", lambda dy, x: {"dx": dy * (x < 0)}),
    Mistake("masks by the sign of dy, not of x", lambda dy, x: {"dx": dy * (dy > 0)}),
    Mistake(
        "multiplied by the output, not by its slope 1 or 0",
        lambda dy, x: {"dx": dy * np.maximum(x, 0)},
    ),
    Mistake(
        "multiplied by sign(x), which is -1 where 0 belongs", lambda dy, x: {"dx": dy * np.sign(x)}
    ),
)

DROPOUT = (
    Mistake("forgot the mask", lambda dy, x, mask, keep: {"dx": dy / keep}),
    Mistake("forgot to divide by keep", lambda dy, x, mask, keep: {"dx": dy * mask}),
    Mistake("forgot the mask and keep", lambda dy, x, mask, keep: {"dx": dy}),
    Mistake("multiplied by keep, not divided", lambda dy, x, mask, keep: {"dx": dy * mask * keep}),
    Mistake("mask inverted", lambda dy, x, mask, keep: {"dx": dy * (1 - mask) / keep}),
    Mistake(
        "divided by 1 - keep, the share that is dropped",
        lambda dy, x, mask, keep: {"dx": dy * mask / (1 - keep)},
    ),
    Mistake("takes x where dy belongs", lambda dy, x, mask, keep: {"dx": x * mask / keep}),
)


# Softmax with cross entropy.


def _softmax(x: Array, axis: int) -> Array:
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def _softmax_mistakes() -> tuple[Mistake, ...]:
    def mistake(words: str, slope: Callable[[Array, Array, Array], Array]) -> Mistake:
        """Return one of softmax y, targets T (one-hot) and logits x."""

        def wrong(dy: float, x: Array, t: Array) -> Mapping[str, Any]:
            return {"dx": dy * slope(_softmax(x, 1), np.eye(x.shape[1])[t], x)}

        return Mistake(words, wrong)

    def overflowing(x: Array) -> Array:
        return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)

    return (
        mistake("missing 1/N: the loss is a mean over the batch", lambda y, T, x: y - T),
        mistake(
            "forgot to subtract 1 at the label: y itself is not the gradient",
            lambda y, T, x: y / len(x),
        ),
        mistake("sign: it is y - t, not t - y", lambda y, T, x: (T - y) / len(x)),
        mistake(
            "divided by the number of classes, not of samples", lambda y, T, x: (y - T) / x.shape[1]
        ),
        mistake(
            "divided by all entries, not by the number of samples", lambda y, T, x: (y - T) / x.size
        ),
        mistake("softmax over the wrong axis", lambda y, T, x: (_softmax(x, 0) - T) / len(x)),
        mistake("takes the logits x where softmax(x) belongs", lambda y, T, x: (x - T) / len(x)),
        mistake(
            "the gradient by the probabilities, -t/y, which still has to pass through softmax",
            lambda y, T, x: -T / y / len(x),
        ),
        mistake(
            "exp(x) overflows: subtract each row's largest logit first",
            lambda y, T, x: (overflowing(x) - T) / len(x),
        ),
    )


SOFTMAX_CROSS_ENTROPY = _softmax_mistakes()


# Batch norm and layer norm.


def _norm_mistakes(
    forward: Callable[..., Array], axis: int, *others: Mistake
) -> tuple[Mistake, ...]:
    """Return the mistakes of a layer that normalises along this axis."""

    def normalised(x: Array, eps: float, along: int = axis, ddof: int = 0) -> tuple[Array, Array]:
        """Return (x - mean) / std and std."""
        std = np.sqrt(x.var(axis=along, keepdims=True, ddof=ddof) + eps)
        return (x - x.mean(axis=along, keepdims=True)) / std, std

    def back(
        dn: Array, x: Array, eps: float, *, mean: float = 1, variance: float = 1, **along: int
    ) -> Array:
        """Pass dn back through the normalisation, with shares of two of its terms."""
        n, std = normalised(x, eps, **along)
        where = along.get("along", axis)
        own_mean = dn.mean(axis=where, keepdims=True)
        own_variance = n * (dn * n).mean(axis=where, keepdims=True)
        return (dn - mean * own_mean - variance * own_variance) / std

    def dx(words: str, wrong: Callable[[Array, Array, Array, float], Array]) -> Mistake:
        """Return a mistake of dx, of dy, x, gamma and eps."""
        return Mistake(words, lambda dy, x, gamma, beta, eps: {"dx": wrong(dy, x, gamma, eps)})

    def scaled(dy: Array, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        return dy * normalised(x, eps)[0]

    across = "features" if axis == 0 else "batch"
    return (
        dx(
            "forgot the mean's own derivative",
            lambda dy, x, gamma, eps: back(dy * gamma, x, eps, mean=0),
        ),
        dx(
            "forgot the variance's own derivative",
            lambda dy, x, gamma, eps: back(dy * gamma, x, eps, variance=0),
        ),
        dx(
            "takes mean and variance for constants: forgot both derivatives",
            lambda dy, x, gamma, eps: back(dy * gamma, x, eps, mean=0, variance=0),
        ),
        dx("forgot gamma", lambda dy, x, gamma, eps: back(dy, x, eps)),
        dx(
            "forgot to divide by the standard deviation",
            lambda dy, x, gamma, eps: back(dy * gamma, x, eps) * normalised(x, eps)[1],
        ),
        dx(
            "divided by the variance, not by its root",
            lambda dy, x, gamma, eps: back(dy * gamma, x, eps) / normalised(x, eps)[1],
        ),
        dx(
            "sums where means belong: missing 1/N",
            lambda dy, x, gamma, eps: back(
                dy * gamma, x, eps, mean=x.shape[axis], variance=x.shape[axis]
            ),
        ),
        dx(
            f"mean and variance over the {across}: the wrong axis",
            lambda dy, x, gamma, eps: back(dy * gamma, x, eps, along=1 - axis),
        ),
        dx("forgot eps", lambda dy, x, gamma, eps: back(dy * gamma, x, 0.0)),
        dx(
            "the variance divides by N - 1, where the forward pass has N",
            lambda dy, x, gamma, eps: back(dy * gamma, x, eps, ddof=1),
        ),
        Mistake(
            "forgot the normalised x: that is the gradient of beta",
            lambda dy, x, gamma, beta, eps: {"dgamma": dy.sum(axis=0)},
        ),
        Mistake(
            "takes x where the normalised x belongs",
            lambda dy, x, gamma, beta, eps: {"dgamma": (dy * x).sum(axis=0)},
        ),
        Mistake(
            "takes the output y where the normalised x belongs",
            lambda dy, x, gamma, beta, eps: {
                "dgamma": (dy * forward(x, gamma, beta, eps)).sum(axis=0)
            },
        ),
        *_sums("dgamma", scaled),
        *_sums("dbeta", lambda dy, **inputs: dy),
        Mistake(
            "multiplied by gamma: beta is added after it",
            lambda dy, x, gamma, beta, eps: {"dbeta": (dy * gamma).sum(axis=0)},
        ),
        *others,
    )


BATCH_NORM = _norm_mistakes(batch_norm, 0)
LAYER_NORM = _norm_mistakes(layer_norm, 1)


# Convolution and pooling.


def _spread(
    dy: Array, W: Array, x: Array, stride: int, padding: int, *, add: bool = True, crop: bool = True
) -> Array:
    """Send dy back to the windows that it came from.

    add: overlapping windows are added up, not overwritten; crop: the padding is cut off
    """
    height, width = W.shape[2:]
    padded = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding, x.shape[3] + 2 * padding))
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            window = np.einsum("nf,fchw->nchw", dy[:, :, i, j], W)
            rows = slice(i * stride, i * stride + height)
            columns = slice(j * stride, j * stride + width)
            if add:
                padded[:, :, rows, columns] += window
            else:
                padded[:, :, rows, columns] = window
    end = (padded.shape[2] - padding, padded.shape[3] - padding)
    return padded[:, :, padding : end[0], padding : end[1]] if crop else padded


def _columns(x: Array, W: Array, stride: int, padding: int) -> Array:
    return im2col(x, W.shape[2], W.shape[3], stride, padding)


def _rows(dy: Array) -> Array:
    """Return dy with a row for each window, a column for each filter."""
    return dy.transpose(0, 2, 3, 1).reshape(-1, dy.shape[1])


def _filters(dy: Array, x: Array, W: Array, stride: int, padding: int) -> Array:
    columns = _columns(x, W, stride, padding)
    return (_rows(dy).T @ columns).reshape(W.shape)


def _unstrided(dy: Array, W: Array, x: Array, padding: int) -> Array:
    """Send dy back as if windows lay one step apart."""
    return _spread(dy, W, x, 1, padding)


CONVOLUTION = (
    Mistake(
        "filters flipped: each entry goes back through the weight that it came through",
        lambda dy, x, W, b, stride, padding: {
            "dx": _spread(dy, W[:, :, ::-1, ::-1], x, stride, padding)
        },
    ),
    Mistake(
        "overlapping windows overwritten: add them up, with +=",
        lambda dy, x, W, b, stride, padding: {"dx": _spread(dy, W, x, stride, padding, add=False)},
    ),
    Mistake(
        "padding not cut off",
        lambda dy, x, W, b, stride, padding: {"dx": _spread(dy, W, x, stride, padding, crop=False)},
    ),
    Mistake(
        "stride ignored: windows lie stride entries apart",
        lambda dy, x, W, b, stride, padding: {"dx": _unstrided(dy, W, x, padding)},
    ),
    Mistake(
        "padding cut off at one end only",
        lambda dy, x, W, b, stride, padding: {
            "dx": _spread(dy, W, x, stride, padding, crop=False)[:, :, : x.shape[2], : x.shape[3]]
        },
    ),
    Mistake(
        "filters flipped",
        lambda dy, x, W, b, stride, padding: {
            "dW": _filters(dy, x, W, stride, padding)[:, :, ::-1, ::-1]
        },
    ),
    Mistake(
        MEAN,
        lambda dy, x, W, b, stride, padding: {"dW": _filters(dy, x, W, stride, padding) / len(x)},
    ),
    Mistake(
        "averaged over all windows, not summed",
        lambda dy, x, W, b, stride, padding: {
            "dW": _filters(dy, x, W, stride, padding) / len(_rows(dy))
        },
    ),
    Mistake(
        "dy reshaped without moving its filters to the last axis: transpose(0, 2, 3, 1) first",
        lambda dy, x, W, b, stride, padding: {
            "dW": (dy.reshape(-1, len(W)).T @ _columns(x, W, stride, padding)).reshape(W.shape)
        },
    ),
    Mistake(
        "the product reshaped without its transpose: columnsT dy has the filters last",
        lambda dy, x, W, b, stride, padding: {
            "dW": (_columns(x, W, stride, padding).T @ _rows(dy)).reshape(W.shape)
        },
    ),
    Mistake(
        "not summed over the places of the image",
        lambda dy, x, W, b, stride, padding: {"db": dy.sum(axis=0)},
    ),
    Mistake(
        "not summed over the batch",
        lambda dy, x, W, b, stride, padding: {"db": dy.sum(axis=(2, 3))},
    ),
    Mistake(
        AXIS,
        lambda dy, x, W, b, stride, padding: {"db": dy.sum(axis=(1, 2, 3))},
    ),
    Mistake(AXIS, lambda dy, x, W, b, stride, padding: {"db": dy.sum(axis=(0, 1, 2))}),
    Mistake(
        "averaged over the batch and the image, not summed",
        lambda dy, x, W, b, stride, padding: {"db": dy.mean(axis=(0, 2, 3))},
    ),
    Mistake(
        MEAN,
        lambda dy, x, W, b, stride, padding: {"db": dy.sum(axis=(0, 2, 3)) / len(x)},
    ),
)


def _windows(x: Array, size: int) -> Array:
    """Return shape (N, C, H / size, W / size, size * size): each window's entries last."""
    batch, channels, height, width = x.shape
    parted = x.reshape(batch, channels, height // size, size, width // size, size)
    return parted.transpose(0, 1, 2, 4, 3, 5).reshape(*parted.shape[:3], width // size, -1)


def _routed(dy: Array, chosen: Array, size: int, *, turned: bool = False) -> Array:
    """Send dy to the chosen entry of each window."""
    shares = np.eye(size * size)[chosen] * dy[..., None]
    parted = shares.reshape(*dy.shape, size, size)
    if turned:
        parted = parted.swapaxes(-1, -2)
    batch, channels, height, width = dy.shape
    return parted.transpose(0, 1, 2, 4, 3, 5).reshape(batch, channels, height * size, width * size)


def _enlarged(dy: Array, size: int) -> Array:
    return dy.repeat(size, axis=2).repeat(size, axis=3)


MAX_POOL = (
    Mistake(
        "passed on to every entry of a window: only the largest one had a say",
        lambda dy, x, size: {"dx": _enlarged(dy, size)},
    ),
    Mistake(
        "spread evenly over the window: that is average pooling's",
        lambda dy, x, size: {"dx": _enlarged(dy, size) / size**2},
    ),
    Mistake(
        "passed on to the smallest entry of each window",
        lambda dy, x, size: {"dx": _routed(dy, _windows(x, size).argmin(axis=-1), size)},
    ),
    Mistake(
        "passed on to the first entry of each window, wherever the largest one is",
        lambda dy, x, size: {"dx": _routed(dy, np.zeros(dy.shape, int), size)},
    ),
    Mistake(
        "rows and columns of the window swapped",
        lambda dy, x, size: {
            "dx": _routed(dy, _windows(x, size).argmax(axis=-1), size, turned=True)
        },
    ),
    Mistake(
        "multiplied by the largest entry itself",
        lambda dy, x, size: {
            "dx": _routed(
                dy * _windows(x, size).max(axis=-1), _windows(x, size).argmax(axis=-1), size
            )
        },
    ),
    Mistake(
        "divided by the size of the window",
        lambda dy, x, size: {"dx": _routed(dy, _windows(x, size).argmax(axis=-1), size) / size**2},
    ),
)


# Recurrence and attention.


def _rnn_mistakes() -> tuple[Mistake, ...]:
    def behind(da: Array, x: Array, h: Array, Wx: Array, Wh: Array) -> Mapping[str, Any]:
        """Return what comes back from da, the gradient inside the tanh."""
        return {
            "dx": da @ Wx.T,
            "dh": da @ Wh.T,
            "dWx": x.T @ da,
            "dWh": h.T @ da,
            "db": da.sum(axis=0),
        }

    def slope(words: str, wrong: Callable[[Array, Array], Array]) -> Mistake:
        """Return a mistake in the slope of tanh, of the old and the next state."""

        def gradients(
            dy: Array, x: Array, h: Array, Wx: Array, Wh: Array, b: Array
        ) -> Mapping[str, Any]:
            following = np.tanh(x @ Wx + h @ Wh + b)
            return behind(dy * wrong(h, following), x, h, Wx, Wh)

        return Mistake(words, gradients)

    def inside(dy: Array, x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> Array:
        return dy * (1 - np.tanh(x @ Wx + h @ Wh + b) ** 2)

    def product(words: str, name: str, wrong: Callable[..., Array]) -> Mistake:
        """Return a mistake in one product, of da and the inputs."""
        return Mistake(words, lambda dy, **inputs: {name: wrong(da=inside(dy, **inputs), **inputs)})

    return (
        slope("forgot the derivative of tanh", lambda h, y: np.ones_like(y)),
        slope("tanh taken twice: 1 - y**2 uses its result", lambda h, y: 1 - np.tanh(y) ** 2),
        slope("1 - h**2 of the old state: take the next one", lambda h, y: 1 - h**2),
        slope("the derivative of sigmoid, y (1 - y)", lambda h, y: y * (1 - y)),
        slope("1 - y: the square is missing", lambda h, y: 1 - y),
        product(
            "takes the next state where the old one, h, belongs",
            "dWh",
            lambda da, x, h, Wx, Wh, b: np.tanh(x @ Wx + h @ Wh + b).T @ da,
        ),
        product("Wh is not transposed", "dh", lambda da, Wh, **inputs: da @ Wh),
        product("Wx is not transposed", "dx", lambda da, Wx, **inputs: da @ Wx),
        product("transposed", "dWh", lambda da, h, **inputs: da.T @ h),
        product("transposed", "dWx", lambda da, x, **inputs: da.T @ x),
        product(MEAN, "dWx", lambda da, x, **inputs: x.T @ da / len(x)),
        product(MEAN, "dWh", lambda da, h, **inputs: h.T @ da / len(h)),
        *_sums("db", inside),
    )


RNN_STEP = _rnn_mistakes()


def _attention_mistakes() -> tuple[Mistake, ...]:
    def through(
        words: str, inside: Callable[[Array, Array], Array], scale: Callable[[int], float]
    ) -> Mistake:
        """Return a mistake between the weights and the scores.

        inside: of the weights and their gradient, the gradient of the scores
        scale: of D, what the scores were multiplied with
        """

        def wrong(dy: Array, q: Array, k: Array, v: Array) -> Mapping[str, Any]:
            weights = _softmax(q @ k.T / np.sqrt(q.shape[1]), 1)
            scores = inside(weights, dy @ v.T) * scale(q.shape[1])
            return {"dq": scores @ k, "dk": scores.T @ q}

        return Mistake(words, wrong)

    def right(weights: Array, dweights: Array) -> Array:
        return weights * (dweights - (dweights * weights).sum(axis=1, keepdims=True))

    def root(size: int) -> float:
        return float(1 / np.sqrt(size))

    return (
        through("forgot to divide by sqrt(D)", right, lambda size: 1.0),
        through("divided by D, not by its root", right, lambda size: 1 / size),
        through("multiplied by sqrt(D), not divided", right, lambda size: float(np.sqrt(size))),
        through(
            "a (1 - a) is the diagonal of softmax's Jacobian: a row's weights depend on all of "
            "its scores",
            lambda weights, dweights: weights * (1 - weights) * dweights,
            root,
        ),
        through(
            "forgot to subtract the row's sum of a da: the weights of a row add up to 1",
            lambda weights, dweights: weights * dweights,
            root,
        ),
        through("forgot the derivative of softmax", lambda weights, dweights: dweights, root),
        through(
            "softmax's derivative sums over the wrong axis",
            lambda weights, dweights: (
                weights * (dweights - (dweights * weights).sum(axis=0, keepdims=True))
            ),
            root,
        ),
        Mistake(
            "softmax over the wrong axis",
            lambda dy, q, k, v: {"dv": _softmax(q @ k.T / np.sqrt(q.shape[1]), 0).T @ dy},
        ),
        Mistake(
            "the weights are not transposed",
            lambda dy, q, k, v: {"dv": attention(q, k, dy)},
        ),
        Mistake(
            "takes the scores where their softmax belongs",
            lambda dy, q, k, v: {"dv": (q @ k.T / np.sqrt(q.shape[1])).T @ dy},
        ),
        Mistake(
            "the gradient of the scores is not transposed",
            lambda dy, q, k, v: {
                "dk": right(_softmax(q @ k.T / np.sqrt(q.shape[1]), 1), dy @ v.T)
                @ q
                / np.sqrt(q.shape[1])
            },
        ),
    )


ATTENTION = _attention_mistakes()
