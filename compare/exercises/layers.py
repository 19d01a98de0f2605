"""The forward passes of the exercises; each is written out in a starter file as it stands here.

A backward pass gets dy, the gradient of some loss by the output y, and after it the arguments of
the forward pass.
"""

import numpy as np

from gradparity.backends.pytrees import Array


def affine(x: Array, W: Array, b: Array) -> Array:
    """Return x W + b.

    x: shape (N, D), one sample a row; W: (D, M); b: (M,)
    returns: shape (N, M)
    """
    return x @ W + b


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), entry by entry; x: any shape."""
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    """Return x where it is positive, else 0; x: any shape."""
    return np.maximum(x, 0)


def softmax_cross_entropy(x: Array, t: Array) -> float:
    """Return the mean over the batch of -log(softmax(x)[label]).

    x: logits, shape (N, C), one sample a row; t: labels, integers of shape (N,)
    returns: a number, so dy is one too
    """
    shifted = x - x.max(axis=1, keepdims=True)  # exp(x) itself would overflow
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_softmax[np.arange(len(t)), t].mean())


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> Array:
    """Scale each feature to mean 0 and variance 1 over the batch, then by gamma and beta.

    x: shape (N, D), one sample a row; gamma, beta: (D,)
    returns: shape (N, D)
    """
    mean = x.mean(axis=0)
    variance = x.var(axis=0)
    normalised = (x - mean) / np.sqrt(variance + eps)
    return gamma * normalised + beta


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> Array:
    """Scale each sample to mean 0 and variance 1 over its features, then by gamma and beta.

    x: shape (N, D), one sample a row; gamma, beta: (D,)
    returns: shape (N, D)
    """
    mean = x.mean(axis=1, keepdims=True)
    variance = x.var(axis=1, keepdims=True)
    normalised = (x - mean) / np.sqrt(variance + eps)
    return gamma * normalised + beta


def im2col(x: Array, height: int, width: int, stride: int, padding: int) -> Array:
    """Return every window of the padded images as one row.

    x: shape (N, C, H, W); windows are of height x width
    returns: shape (N * out_height * out_width, C * height * width)
    """
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out_height = (padded.shape[2] - height) // stride + 1
    out_width = (padded.shape[3] - width) // stride + 1
    windows = np.empty((len(x), out_height, out_width, x.shape[1], height, width))
    for i in range(out_height):
        for j in range(out_width):
            top, left = i * stride, j * stride
            windows[:, i, j] = padded[:, :, top : top + height, left : left + width]
    return windows.reshape(len(x) * out_height * out_width, -1)


def convolution(x: Array, W: Array, b: Array, stride: int = 1, padding: int = 0) -> Array:
    """Slide every filter over the images, by im2col and one matrix product.

    x: shape (N, C, H, W), images; W: (F, C, height, width), filters; b: (F,)
    returns: shape (N, F, out_height, out_width)
    """
    filters, _, height, width = W.shape
    columns = im2col(x, height, width, stride, padding)
    products = columns @ W.reshape(filters, -1).T + b
    out_height = (x.shape[2] + 2 * padding - height) // stride + 1
    return products.reshape(len(x), out_height, -1, filters).transpose(0, 3, 1, 2)


def max_pool(x: Array, size: int = 2) -> Array:
    """Return the largest entry of each window of size x size; windows do not overlap.

    x: shape (N, C, H, W), with H and W multiples of size
    returns: shape (N, C, H / size, W / size)
    """
    batch, channels, height, width = x.shape
    windows = x.reshape(batch, channels, height // size, size, width // size, size)
    return windows.max(axis=(3, 5))


def dropout(x: Array, mask: Array, keep: float) -> Array:
    """Drop the entries that the mask has 0 for, and divide the others by the share that is kept.

    x: any shape; mask: of the same shape, 1 or 0, drawn before; keep: the share, in (0, 1]
    returns: shape of x, with the mean of x on average
    """
    return x * mask / keep


def rnn_step(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    """Return the next state tanh(x Wx + h Wh + b).

    x: shape (N, D), one sample a row; h: (N, H), the state; Wx: (D, H); Wh: (H, H); b: (H,)
    returns: shape (N, H)
    """
    return np.tanh(x @ Wx + h @ Wh + b)


def attention(q: Array, k: Array, v: Array) -> Array:
    """Return softmax(q kT / sqrt(D)) v, the softmax over the keys.

    q: queries, shape (T, D); k: keys, (S, D); v: values, (S, E)
    returns: shape (T, E)
    """
    scores = q @ k.T / np.sqrt(q.shape[1])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    return weights @ v
