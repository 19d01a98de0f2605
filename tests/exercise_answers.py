"""Right answers to the exercises, and the classic mistakes as edits of their text."""

from pathlib import Path

import numpy as np

from gradparity.compare.exercises import layers
from gradparity.compare.exercises.catalogue import EXERCISES
from gradparity.compare.exercises.grading import judge
from gradparity.compare.exercises.submission import Answers, _alike, _try

SOLUTIONS = {
    "affine": """
def affine_backward(dy, x, W, b):
    dx = dy @ W.T
    dW = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dW, db
""",
    "sigmoid": """
def sigmoid_backward(dy, x):
    y = 1 / (1 + np.exp(-x))
    slope = y * (1 - y)
    return dy * slope
""",
    "relu": """
def relu_backward(dy, x):
    mask = x > 0
    return dy * mask
""",
    "softmax_cross_entropy": """
def softmax_cross_entropy_backward(dy, x, t):
    y = np.exp(x - x.max(axis=1, keepdims=True))
    y = y / y.sum(axis=1, keepdims=True)
    y[np.arange(len(t)), t] -= 1
    return dy * y / len(x)
""",
    "batch_norm": """
def batch_norm_backward(dy, x, gamma, beta, eps=1e-5):
    count = len(x)
    centred = x - x.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    std = np.sqrt(variance + eps)
    normalised = centred / std
    dbeta = dy.sum(axis=0)
    dgamma = (dy * normalised).sum(axis=0)
    dnormalised = dy * gamma
    dvariance = (dnormalised * centred).sum(axis=0) * -0.5 / std**3
    dcentred = dnormalised / std + 2 * dvariance * centred / count
    dmean = -dcentred.sum(axis=0)
    dx = dcentred + dmean / count
    return dx, dgamma, dbeta
""",
    "layer_norm": """
def layer_norm_backward(dy, x, gamma, beta, eps=1e-5):
    std = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    normalised = (x - x.mean(axis=1, keepdims=True)) / std
    dbeta = dy.sum(axis=0)
    dgamma = (dy * normalised).sum(axis=0)
    dn = dy * gamma
    through_mean = dn.mean(axis=1, keepdims=True)
    through_variance = normalised * (dn * normalised).mean(axis=1, keepdims=True)
    dx = (dn - through_mean - through_variance) / std
    return dx, dgamma, dbeta
""",
    "convolution": """
def convolution_backward(dy, x, W, b, stride=1, padding=0):
    filters, channels, height, width = W.shape
    columns = im2col(x, height, width, stride, padding)
    rows = dy.transpose(0, 2, 3, 1).reshape(-1, filters)
    db = rows.sum(axis=0)
    dW = (rows.T @ columns).reshape(W.shape)
    kernels = W
    dcolumns = (rows @ kernels.reshape(filters, -1)).reshape(
        len(x), dy.shape[2], dy.shape[3], channels, height, width
    )
    padded = np.zeros((len(x), channels, x.shape[2] + 2 * padding, x.shape[3] + 2 * padding))
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            top, left = i * stride, j * stride
            padded[:, :, top : top + height, left : left + width] += dcolumns[:, i, j]
    dx = padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]
    return dx, dW, db
""",
    "max_pool": """
def max_pool_backward(dy, x, size=2):
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        window = x[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size]
        row, column = np.unravel_index(window.argmax(), window.shape)
        dx[n, c, i * size + row, j * size + column] = dy[n, c, i, j]
    return dx
""",
    "dropout": """
def dropout_backward(dy, x, mask, keep):
    return dy * mask / keep
""",
    "rnn_step": """
def rnn_step_backward(dy, x, h, Wx, Wh, b):
    following = np.tanh(x @ Wx + h @ Wh + b)
    da = dy * (1 - following**2)
    dx = da @ Wx.T
    dh = da @ Wh.T
    dWx = x.T @ da
    dWh = h.T @ da
    db = da.sum(axis=0)
    return dx, dh, dWx, dWh, db
""",
    "attention": """
def attention_backward(dy, q, k, v):
    root = np.sqrt(q.shape[1])
    scores = q @ k.T / root
    a = np.exp(scores - scores.max(axis=1, keepdims=True))
    a = a / a.sum(axis=1, keepdims=True)
    dv = a.T @ dy
    da = dy @ v.T
    dscores = a * (da - (da * a).sum(axis=1, keepdims=True))
    dq = dscores @ k / root
    dk = dscores.T @ q / root
    return dq, dk, dv
""",
}

# exercise: (text to replace, what stands there instead, argument, words that name the mistake)
MISTAKES = {
    "affine": [
        ("dy.sum(axis=0)", "dy.sum(axis=1)", "db", "summed over the wrong axis"),
        ("dy.sum(axis=0)", "dy.mean(axis=0)", "db", "averaged over the batch"),
        ("dy.sum(axis=0)", "dy", "db", "not summed over the batch"),
        ("dy.sum(axis=0)", "dy.sum()", "db", "summed over all entries"),
        ("x.T @ dy", "x.T @ dy / len(x)", "dW", "averaged over the batch"),
        ("x.T @ dy", "dy.T @ x", "dW", "transposed"),
        ("x.T @ dy", "x @ dy", "dW", "x is not transposed"),
        ("x.T @ dy", "x.T @ np.ones_like(dy)", "dW", "forgot dy"),
        ("dy @ W.T", "dy @ W", "dx", "W is not transposed"),
        ("dy @ W.T", "dy @ W.T / len(x)", "dx", "averaged over the batch"),
        ("dy @ W.T", "-dy @ W.T", "dx", "sign"),
        ("dy @ W.T", "0 * x", "dx", "zeros"),
        ("return dx, dW, db", "return dW, dx, db", "dx", "that is dW"),
    ],
    "sigmoid": [
        ("y * (1 - y)", "x * (1 - x)", "dx", "takes x where y"),
        ("y * (1 - y)", "y", "dx", "forgot the factor 1 - y"),
        ("y * (1 - y)", "1 - y", "dx", "forgot the factor y"),
        ("y * (1 - y)", "1 - y**2", "dx", "the derivative of tanh"),
        ("    slope", "    y = 1 / (1 + np.exp(-y))\n    slope", "dx", "sigmoid taken twice"),
        ("y * (1 - y)", "y * (1 + y)", "dx", "y (1 + y)"),
        ("dy * slope", "slope", "dx", "forgot dy"),
    ],
    "relu": [
        ("dy * mask", "dy", "dx", "forgot the mask"),
        ("x > 0", "x <= 0", "dx", "mask inverted"),
        ("x > 0", "dy > 0", "dx", "masks by the sign of dy"),
        ("dy * mask", "dy * x * mask", "dx", "multiplied by the output"),
        ("x > 0", "np.sign(x)", "dx", "sign(x)"),
        ("dy * mask", "1.0 * mask", "dx", "forgot dy"),
    ],
    "softmax_cross_entropy": [
        ("dy * y / len(x)", "dy * y", "dx", "missing 1/N"),
        ("    y[np.arange(len(t)), t] -= 1\n", "", "dx", "forgot to subtract 1 at the label"),
        ("dy * y / len(x)", "-dy * y / len(x)", "dx", "it is y - t, not t - y"),
        ("y / len(x)", "y / x.shape[1]", "dx", "divided by the number of classes"),
        ("y / len(x)", "y / x.size", "dx", "divided by all entries"),
        ("axis=1", "axis=0", "dx", "softmax over the wrong axis"),
        ("    y[", "    y = x.copy()\n    y[", "dx", "takes the logits x"),
        (
            "    y[np.arange(len(t)), t] -= 1\n",
            "    y = -np.eye(x.shape[1])[t] / y\n",
            "dx",
            "the gradient by the probabilities",
        ),
        ("x - x.max(axis=1, keepdims=True)", "x", "dx", "exp(x) overflows"),
        ("dy * y", "y", "dx", "forgot dy"),
    ],
    "batch_norm": [
        ("dcentred + dmean / count", "dcentred", "dx", "forgot the mean's own derivative"),
        (" + 2 * dvariance * centred / count", "", "dx", "forgot the variance's own derivative"),
        ("dcentred + dmean / count", "dy * gamma / std", "dx", "takes mean and variance for const"),
        ("dy * gamma", "dy", "dx", "forgot gamma"),
        ("dcentred + dmean / count", "(dcentred + dmean / count) * std", "dx", "forgot to divide"),
        (
            "dcentred + dmean / count",
            "(dcentred + dmean / count) / std",
            "dx",
            "divided by the variance, not by its root",
        ),
        (
            "dx = dcentred + dmean / count",
            "dx = (dnormalised - dnormalised.sum(axis=0)"
            " - normalised * (dnormalised * normalised).sum(axis=0)) / std",
            "dx",
            "missing 1/N",
        ),
        (
            "dx = dcentred",
            "m, s = x.mean(axis=1, keepdims=True), np.sqrt(x.var(axis=1, keepdims=True) + eps)\n"
            "    n = (x - m) / s\n"
            "    dx = (dnormalised - dnormalised.mean(axis=1, keepdims=True)\n"
            "          - n * (dnormalised * n).mean(axis=1, keepdims=True)) / s\n"
            "    dmean = 0\n"
            "    dx = dx",
            "dx",
            "the wrong axis",
        ),
        (
            "dx = dcentred",
            "std, dmean = np.sqrt(variance), 0\n"
            "    n = centred / std\n"
            "    dx = (dnormalised - dnormalised.mean(axis=0)"
            " - n * (dnormalised * n).mean(axis=0)) / std",
            "dx",
            "forgot eps",
        ),
        ("(dy * normalised).sum", "dy.sum", "dgamma", "forgot the normalised x"),
        ("(dy * normalised).sum", "(dy * x).sum", "dgamma", "takes x where the normalised x"),
        (
            "(dy * normalised).sum",
            "(dy * (gamma * normalised + beta)).sum",
            "dgamma",
            "takes the output y",
        ),
        ("(dy * normalised).sum(axis=0)", "(dy * normalised).sum(axis=1)", "dgamma", "wrong axis"),
        ("(dy * normalised).sum", "(dy * normalised).mean", "dgamma", "averaged over the batch"),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy.sum(axis=1)", "dbeta", "wrong axis"),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy.mean(axis=0)", "dbeta", "averaged over the batch"),
        (
            "dbeta = dy.sum(axis=0)",
            "dbeta = (dy * gamma).sum(axis=0)",
            "dbeta",
            "multiplied by gam",
        ),
        (
            "dx = dcentred",
            "std, dmean = np.sqrt(x.var(axis=0, ddof=1) + eps), 0\n"
            "    n = centred / std\n"
            "    dx = (dnormalised - dnormalised.mean(axis=0)"
            " - n * (dnormalised * n).mean(axis=0)) / std",
            "dx",
            "N - 1",
        ),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy", "dbeta", "not summed over the batch"),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy.sum()", "dbeta", "summed over all entries"),
    ],
    "layer_norm": [
        ("(dn - through_mean -", "(dn -", "dx", "forgot the mean's own derivative"),
        (" - through_variance", "", "dx", "forgot the variance's own derivative"),
        (" - through_mean - through_variance", "", "dx", "takes mean and variance for constants"),
        ("dn = dy * gamma", "dn = dy", "dx", "forgot gamma"),
        (
            "dn - through_mean - through_variance) / std",
            "dn - through_mean - through_variance)",
            "dx",
            "forgot to divide by the standard deviation",
        ),
        (") / std\n    return", ") / std**2\n    return", "dx", "divided by the variance"),
        (
            "dn.mean(axis=1, keepdims=True)",
            "dn.sum(axis=1, keepdims=True)\n    normalised = normalised * x.shape[1] ** 0.5",
            "dx",
            "missing 1/N",
        ),
        ("(dy * normalised).sum", "dy.sum", "dgamma", "forgot the normalised x"),
        ("(dy * normalised).sum(axis=0)", "(dy * normalised).sum(axis=1)", "dgamma", "wrong axis"),
        ("(dy * normalised).sum(axis=0)", "dy * normalised", "dgamma", "not summed over the batch"),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy.sum(axis=1)", "dbeta", "wrong axis"),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy.mean(axis=0)", "dbeta", "averaged over the batch"),
        ("x.var(axis=1, keepdims=True)", "x.var(axis=1, keepdims=True, ddof=1)", "dx", "N - 1"),
        ("+ eps", "", "dx", "forgot eps"),
        ("(dy * normalised).sum", "(dy * x).sum", "dgamma", "takes x where the normalised x"),
        (
            "(dy * normalised).sum",
            "(dy * (gamma * normalised + beta)).sum",
            "dgamma",
            "takes the output y",
        ),
        (
            "dbeta = dy.sum(axis=0)",
            "dbeta = (dy * gamma).sum(axis=0)",
            "dbeta",
            "multiplied by gam",
        ),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy.sum()", "dbeta", "summed over all entries"),
        ("+ eps", "", "dx", "forgot eps"),
        ("(dy * normalised).sum", "(dy * x).sum", "dgamma", "takes x where the normalised x"),
        (
            "(dy * normalised).sum",
            "(dy * (gamma * normalised + beta)).sum",
            "dgamma",
            "takes the output y",
        ),
        (
            "dbeta = dy.sum(axis=0)",
            "dbeta = (dy * gamma).sum(axis=0)",
            "dbeta",
            "multiplied by gam",
        ),
        ("dbeta = dy.sum(axis=0)", "dbeta = dy.sum()", "dbeta", "summed over all entries"),
    ],
    "convolution": [
        ("kernels = W", "kernels = W[:, :, ::-1, ::-1]", "dx", "filters flipped"),
        ("] += dcolumns", "] = dcolumns", "dx", "overlapping windows overwritten"),
        (
            "padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]",
            "padded",
            "dx",
            "padding not cut off",
        ),
        (
            "padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]",
            "padded[:, :, : x.shape[2], : x.shape[3]]",
            "dx",
            "padding cut off at one end",
        ),
        ("i * stride, j * stride", "i, j", "dx", "stride ignored"),
        (".reshape(W.shape)", ".reshape(W.shape)[:, :, ::-1, ::-1]", "dW", "filters flipped"),
        ("(rows.T @ columns)", "(rows.T @ columns / len(x))", "dW", "averaged over the batch"),
        ("(rows.T @ columns)", "(rows.T @ columns / len(rows))", "dW", "averaged over all windows"),
        ("(rows.T @ columns)", "(dy.reshape(-1, filters).T @ columns)", "dW", "transpose(0, 2, 3"),
        ("(rows.T @ columns)", "(columns.T @ rows)", "dW", "without its transpose"),
        ("rows.sum(axis=0)", "dy.sum(axis=0)", "db", "not summed over the places"),
        ("rows.sum(axis=0)", "dy.sum(axis=(2, 3))", "db", "not summed over the batch"),
        ("rows.sum(axis=0)", "dy.sum(axis=(1, 2, 3))", "db", "summed over the wrong axis"),
        ("rows.sum(axis=0)", "rows.mean(axis=0)", "db", "averaged over the batch and the image"),
        ("rows.sum(axis=0)", "rows.sum(axis=0) / len(x)", "db", "averaged over the batch"),
    ],
    "max_pool": [
        (
            "dx[n, c, i * size + row, j * size + column] =",
            "dx[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size] =",
            "dx",
            "every entry of a window",
        ),
        (
            "dx[n, c, i * size + row, j * size + column] = dy[n, c, i, j]",
            "dx[n, c, i*size : (i+1)*size, j*size : (j+1)*size] = dy[n, c, i, j] / size**2",
            "dx",
            "average pooling",
        ),
        ("window.argmax()", "window.argmin()", "dx", "smallest entry"),
        ("window.argmax()", "0", "dx", "first entry"),
        ("row, column = np", "column, row = np", "dx", "rows and columns of the window swapped"),
        ("= dy[n, c, i, j]", "= dy[n, c, i, j] * window.max()", "dx", "the largest entry itself"),
        ("= dy[n, c, i, j]", "= dy[n, c, i, j] / size**2", "dx", "divided by the size"),
        ("= dy[n, c, i, j]", "= 1", "dx", "forgot dy"),
    ],
    "dropout": [
        ("dy * mask / keep", "dy / keep", "dx", "forgot the mask"),
        ("dy * mask / keep", "dy * mask", "dx", "forgot to divide by keep"),
        ("dy * mask / keep", "dy", "dx", "forgot the mask and keep"),
        ("dy * mask / keep", "dy * mask * keep", "dx", "multiplied by keep"),
        ("dy * mask / keep", "dy * (1 - mask) / keep", "dx", "mask inverted"),
        ("dy * mask / keep", "dy * mask / (1 - keep)", "dx", "divided by 1 - keep"),
        ("dy * mask / keep", "x * mask / keep", "dx", "takes x where dy"),
        ("dy * mask / keep", "mask / keep", "dx", "forgot dy"),
        (
            "dy * mask / keep",
            "dy * (np.random.random(x.shape) < keep) / keep",
            "dx",
            "draws nothing at random",
        ),
    ],
    "rnn_step": [
        ("dy * (1 - following**2)", "dy", "dWx", "forgot the derivative of tanh"),
        ("1 - following**2", "1 - np.tanh(following)**2", "dx", "tanh taken twice"),
        ("1 - following**2", "1 - h**2", "db", "of the old state"),
        ("1 - following**2", "following * (1 - following)", "dh", "the derivative of sigmoid"),
        ("1 - following**2", "1 - following", "dWh", "the square is missing"),
        ("h.T @ da", "following.T @ da", "dWh", "takes the next state"),
        ("h.T @ da", "da.T @ h", "dWh", "transposed"),
        ("x.T @ da", "da.T @ x", "dWx", "transposed"),
        ("da @ Wh.T", "da @ Wh", "dh", "Wh is not transposed"),
        ("da @ Wx.T", "da @ Wx", "dx", "Wx is not transposed"),
        ("x.T @ da", "x.T @ da / len(x)", "dWx", "averaged over the batch"),
        ("h.T @ da", "h.T @ da / len(x)", "dWh", "averaged over the batch"),
        ("da.sum(axis=0)", "da.sum(axis=1)", "db", "wrong axis"),
        ("da.sum(axis=0)", "da.mean(axis=0)", "db", "averaged over the batch"),
        ("da.sum(axis=0)", "da", "db", "not summed over the batch"),
        ("da.sum(axis=0)", "da.sum()", "db", "summed over all entries"),
    ],
    "attention": [
        ("k / root", "k", "dq", "forgot to divide by sqrt(D)"),
        ("q / root", "q", "dk", "forgot to divide by sqrt(D)"),
        ("k / root", "k / root**2", "dq", "divided by D"),
        ("k / root", "k * root", "dq", "multiplied by sqrt(D)"),
        (
            "(da - (da * a).sum(axis=1, keepdims=True))",
            "(1 - a) * da",
            "dq",
            "the diagonal of soft",
        ),
        ("(da - (da * a).sum(axis=1, keepdims=True))", "da", "dk", "forgot to subtract the row's"),
        (
            "a * (da - (da * a).sum(axis=1, keepdims=True))",
            "da",
            "dk",
            "forgot the derivative of s",
        ),
        ("(da * a).sum(axis=1", "(da * a).sum(axis=0", "dq", "sums over the wrong axis"),
        (
            "scores.max(axis=1, keepdims=True))\n    a = a / a.sum(axis=1",
            "scores.max(axis=0, keepdims=True))\n    a = a / a.sum(axis=0",
            "dv",
            "softmax over the wrong axis",
        ),
        ("a.T @ dy", "a @ dy", "dv", "the weights are not transposed"),
        ("a.T @ dy", "scores.T @ dy", "dv", "takes the scores"),
        ("dscores.T @ q", "dscores @ q", "dk", "is not transposed"),
    ],
}


def answers_of(text, name, seed=0):
    """Return what a text's backward pass gives for the cases, computed in this process."""
    exercise = EXERCISES[name]
    scope = {"np": np, "im2col": layers.im2col}
    exec(text, scope)
    cases = exercise.cases(seed)
    first, second = (
        [_try(scope[exercise.backward], case, Path("answer.py"))[0] for case in cases]
        for _ in range(2)
    )
    unsteady = {
        position
        for one, two in zip(first, second, strict=True)
        for position, pair in enumerate(zip(one.gradients, two.gradients, strict=True))
        if not _alike(*pair)
    }
    return cases, Answers(tuple(first), unsteady=tuple(unsteady))


def mark_of(text, name, seed=0):
    return judge(EXERCISES[name], *answers_of(text, name, seed))
