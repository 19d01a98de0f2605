"""The smallest classifier: one matrix of weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.pytrees import Array

from .functions import cross_entropy, fraction_correct, softmax, weighted_sum


@dataclass(frozen=True)
class SimpleNet:
    """Logits x @ W for two features and three classes.

    >>> net = gp.SimpleNet()
    >>> net.predict(net.init(seed=0), np.asarray([0.6, 0.9])).shape
    (3,)
    """

    input_size: int = 2
    output_size: int = 3

    def init(self, seed: int) -> dict[str, NDArray[np.float64]]:
        """Return standard normal weights, `W` of shape (input_size, output_size)."""
        rng = np.random.default_rng(seed)
        return {"W": rng.standard_normal((self.input_size, self.output_size))}

    def predict(self, params: dict[str, Array], x: Array) -> Array:
        """Return logits of shape (..., output_size) for x of shape (..., input_size)."""
        return weighted_sum(x, params["W"], "W")

    def loss(self, params: dict[str, Array], x: Array, t: Array) -> Array:
        """Return the cross entropy of softmax; t: classes, or one-hot rows."""
        return cross_entropy(softmax(self.predict(params, x)), t)

    def accuracy(self, params: dict[str, Array], x: Array, t: Array) -> Array:
        return fraction_correct(self.predict(params, x), t)
