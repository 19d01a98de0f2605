"""Networks as a user writes them over the array API, of more kinds than gradparity's own."""

from array_api_compat import array_namespace


def rectified(x):
    return array_namespace(x).maximum(x, 0.0)


def cross_entropy(logits, t):
    xp = array_namespace(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    log_likelihood = shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
    return -xp.mean(xp.take_along_axis(log_likelihood, t[:, None], axis=-1))


def normalised(x, axis):
    xp = array_namespace(x)
    return (x - xp.mean(x, axis=axis, keepdims=True)) / xp.sqrt(
        xp.var(x, axis=axis, keepdims=True) + 1e-5
    )


def normalised_net(p, x, t):
    hidden = rectified(p["g0"] * normalised(x @ p["W0"] + p["b0"], 0) + p["s0"])
    hidden = rectified(p["g1"] * normalised(hidden @ p["W1"] + p["b1"], -1) + p["s1"])
    return cross_entropy(hidden @ p["W2"] + p["b2"], t)


def convolved(x, kernel):
    """Correlate x of shape (n, c, h, w) with a kernel of shape (o, c, k, k)."""
    xp, size = array_namespace(kernel), kernel.shape[-1]
    rows, columns = x.shape[2] - size + 1, x.shape[3] - size + 1
    total = xp.zeros((x.shape[0], rows, columns, kernel.shape[0]))
    for i in range(size):
        for j in range(size):
            patch = x[:, :, i : i + rows, j : j + columns]
            total += xp.tensordot(patch, kernel[:, :, i, j], axes=((1,), (1,)))
    return xp.permute_dims(total, (0, 3, 1, 2))


def convolution(p, x, t):
    xp = array_namespace(p["W"])
    hidden = rectified(convolved(x, p["K"]) + p["k"][:, None, None])
    n, c, h, w = hidden.shape
    pooled = xp.max(xp.reshape(hidden, (n, c, h // 2, 2, w // 2, 2)), axis=(3, 5))
    return cross_entropy(xp.reshape(pooled, (n, -1)) @ p["W"], t)


def patches_convolution(p, x, t):
    """Gather the patches in the columns of a matrix, and multiply it by the kernels."""
    xp, (n, _, side, _) = array_namespace(p["W"]), x.shape
    out = side - 2
    shifts = [(i, j) for i in range(3) for j in range(3)]
    patches = xp.stack([x[:, 0, i : i + out, j : j + out] for i, j in shifts], axis=-1)
    hidden = rectified(patches @ xp.reshape(p["K"], (-1, 9)).mT + p["k"])
    pooled = xp.mean(xp.reshape(hidden, (n, out // 2, 2, out // 2, 2, -1)), axis=(2, 4))
    return cross_entropy(xp.reshape(pooled, (n, -1)) @ p["W"], t)


def attention(p, x, t):
    xp = array_namespace(p["Q"])
    scores = (x @ p["Q"]) @ xp.matrix_transpose(x @ p["K"])
    weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    weights = weights / xp.sum(weights, axis=-1, keepdims=True)
    mixed = x + weights @ (x @ p["V"])
    return cross_entropy(xp.mean(mixed, axis=1), t)


def recurrent(p, x, t):
    xp = array_namespace(p["W"])
    state = xp.zeros((x.shape[0], p["W"].shape[0]))
    for time in range(x.shape[1]):
        state = xp.tanh(x[:, time, :] @ p["U"] + state @ p["W"])
    return cross_entropy(state, t)
