"""Activations and losses, over any array API namespace; nothing here branches on values."""

import math
from typing import Any

from array_api_compat import array_namespace as find_namespace
from array_api_compat import device

from gradparity.backends.errors import InvalidData, ShapeMismatch
from gradparity.backends.pytrees import Array

_namespaces: dict[type, Any] = {}


def array_namespace(x: Array) -> Any:
    """Return the array API namespace of x, looked up once for each type of array.

    Looking it up at every call would take a tenth of the gradient of a small model.
    """
    namespace = _namespaces.get(type(x))
    if namespace is None:
        namespace = _namespaces[type(x)] = find_namespace(x)
    return namespace


# Keeps the logarithm of a probability of zero finite, as in the reference notebooks.
LOG_OFFSET = 1e-7


def weighted_sum(x: Array, weights: Array, leaf: str) -> Array:
    """Return x @ weights.

    x: shape (..., inputs); weights: shape (inputs, outputs), the parameters' leaf of that name
    raises: ShapeMismatch, naming the leaf
    """
    if x.shape[-1:] != weights.shape[:1]:
        raise ShapeMismatch(
            f"leaf {leaf}: got inputs of shape {tuple(x.shape)} for weights of shape "
            f"{tuple(weights.shape)}; expected inputs of shape (..., {weights.shape[0]}): "
            "flatten them, or build the model with their size"
        )
    return x @ weights


def affine(x: Array, weights: Array, bias: Array, leaf: str) -> Array:
    """Return x @ weights + bias, with the shapes and errors of `weighted_sum`."""
    if x.ndim == 2 and weights.ndim == 2:
        xp = array_namespace(weights)
        if x.shape[-1] == weights.shape[0] and hasattr(xp, "addmm"):
            return xp.addmm(bias, x, weights)  # not in the array API; PyTorch has it in one pass
    return weighted_sum(x, weights, leaf) + bias


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), written with tanh so that no exponential overflows.

    x: any shape; the result is accurate to a rounding error of 1, not of its own size
    """
    xp = array_namespace(x)
    if hasattr(xp, "sigmoid"):  # not in the array API; PyTorch has it in one pass
        return xp.sigmoid(x)
    return 0.5 * xp.tanh(0.5 * x) + 0.5


def softmax(x: Array) -> Array:
    """Return exp(x) over its sum along the last axis; the largest entry is subtracted first."""
    xp = array_namespace(x)
    if hasattr(xp, "softmax"):  # not in the array API; PyTorch has it in one pass
        return xp.softmax(x, -1)
    exponentials = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return exponentials / xp.sum(exponentials, axis=-1, keepdims=True)


def sum_squared_error(y: Array, t: Array) -> Array:
    """Return half the sum of squared differences over all entries of y and t, of one shape."""
    xp, difference = array_namespace(y), _difference(y, t)
    return 0.5 * xp.sum(difference * difference)


def cross_entropy(y: Array, t: Array) -> Array:
    """Return the mean over samples of -log(y + 1e-7) at the true class.

    y: probabilities, shape (..., classes)
    t: of y's shape, a distribution or one-hot; or integer classes, of y's shape without its last
        axis. A class outside 0 <= t < classes has probability zero: the loss is infinite, in every
        framework and under jit, where no label can be looked at
    raises: ShapeMismatch, InvalidData for an empty batch or labels that are not integers
    """
    xp = array_namespace(y)
    samples = count_samples(y)
    if holds_classes(y, t):
        # The offset comes before the mask, so that without a true class the sum is 0, its log -inf.
        likelihood = xp.sum(_one_hot(t, y) * (y + LOG_OFFSET), axis=-1)
        return xp.sum(xp.log(likelihood)) / -samples
    return xp.sum(_like(t, y) * xp.log(y + LOG_OFFSET)) / -samples


def cross_entropy_from_logits(logits: Array, t: Array) -> Array:
    """Return the mean over samples of -log(softmax(logits)) at the true class, without an offset.

    Exact for any logits: its gradient, (softmax(logits) - t) / samples, never vanishes where the
    prediction is wrong, as that of `cross_entropy` does from a gap of about 16 = -log(1e-7) on.

    logits: shape (..., classes); t and errors as in `cross_entropy`
    """
    xp = array_namespace(logits)
    samples = count_samples(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    log_likelihood = shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
    if holds_classes(logits, t):
        t = _one_hot(t, logits)
        # Adds 0 to a sample with a true class, -inf to one without.
        return (xp.sum(t * log_likelihood) + xp.sum(xp.log(xp.sum(t, axis=-1)))) / -samples
    return xp.sum(_like(t, logits) * log_likelihood) / -samples


def fraction_correct(y: Array, t: Array) -> Array:
    """Return the share of samples whose largest entry of y is at the true class of t.

    y, t: shapes and errors as in `cross_entropy`; a scalar of y's dtype, in [0, 1]
    """
    xp = array_namespace(y)
    count_samples(y)
    classes = t if holds_classes(y, t) else xp.argmax(t, axis=-1)
    return xp.mean(xp.astype(xp.argmax(y, axis=-1) == classes, y.dtype))


def count_samples(y: Array) -> int:
    """Return how many samples an output of shape (..., classes) holds; one without leading axes.

    raises: ShapeMismatch for a scalar, InvalidData where there is no sample or no class
    """
    shape = tuple(y.shape)
    if not shape:
        raise ShapeMismatch("got an output of shape (), expected (..., classes)")
    if 0 in shape:
        raise InvalidData(
            f"got an empty batch, an output of shape {shape}: its mean is undefined; "
            "expected at least one sample and one class"
        )
    return math.prod(shape[:-1])


def holds_classes(y: Array, t: Array) -> bool:
    """Tell integer classes, True, from one target for each entry of y, False.

    raises: ShapeMismatch where t fits neither, InvalidData where classes are not integers
    """
    if t.shape == y.shape:
        return False
    shape, expected = tuple(t.shape), tuple(y.shape)
    if shape != expected[:-1]:
        # Broadcasting would turn (N, 1) against (N,) into a silent (N, N).
        raise ShapeMismatch(
            f"got labels of shape {shape} for an output of shape {expected}; expected integer "
            f"classes of shape {expected[:-1]} or one-hot rows of shape {expected}"
            + (": drop the last axis" if shape == (*expected[:-1], 1) else "")
        )
    if not array_namespace(t).isdtype(t.dtype, "integral"):
        raise InvalidData(
            f"got labels of dtype {t.dtype} and shape {shape}; expected integer classes: "
            "convert them, or pass one-hot rows"
        )
    return True


def _one_hot(classes: Array, y: Array) -> Array:
    xp = array_namespace(classes)
    every_class = xp.arange(y.shape[-1], device=device(classes))
    return xp.astype(classes[..., None] == every_class, y.dtype)


def _like(t: Array, y: Array) -> Array:
    return t if t.dtype == y.dtype else array_namespace(t).astype(t, y.dtype)


def _difference(y: Array, t: Array) -> Array:
    if y.shape != t.shape:
        raise ShapeMismatch(
            f"got targets of shape {tuple(t.shape)} for an output of shape {tuple(y.shape)}; "
            "expected one shape, since broadcasting would compare every sample with every other"
        )
    if 0 in y.shape:
        raise InvalidData(f"got an empty batch, shape {tuple(y.shape)}; expected a sample")
    return y - t
