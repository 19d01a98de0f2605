"""A classifier with one hidden layer: sigmoid, then softmax."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.pytrees import Array

from .functions import affine, cross_entropy, fraction_correct, sigmoid, softmax


@dataclass(frozen=True)
class TwoLayerNet:
    """Probabilities softmax(sigmoid(x @ W1 + b1) @ W2 + b2).

    >>> net = gp.TwoLayerNet(input_size=4, hidden_size=3, output_size=2)
    >>> {name: leaf.shape for name, leaf in net.init(seed=0).items()}
    {'W1': (4, 3), 'b1': (3,), 'W2': (3, 2), 'b2': (2,)}
    >>> round(float(net.loss(net.init(seed=0), np.ones((5, 4)), np.zeros(5, int))), 1)
    0.7
    """

    input_size: int = 784
    hidden_size: int = 50
    output_size: int = 10
    weight_init_std: float = 0.01

    def init(self, seed: int) -> dict[str, NDArray[np.float64]]:
        """Return normal weights `W1`, `W2` of the given standard deviation, zero `b1`, `b2`."""
        rng = np.random.default_rng(seed)
        return {
            "W1": self.weight_init_std * rng.standard_normal((self.input_size, self.hidden_size)),
            "b1": np.zeros(self.hidden_size),
            "W2": self.weight_init_std * rng.standard_normal((self.hidden_size, self.output_size)),
            "b2": np.zeros(self.output_size),
        }

    def predict(self, params: dict[str, Array], x: Array) -> Array:
        """Return probabilities of shape (..., output_size) for x of shape (..., input_size)."""
        hidden = sigmoid(affine(x, params["W1"], params["b1"], "W1"))
        return softmax(affine(hidden, params["W2"], params["b2"], "W2"))

    def loss(self, params: dict[str, Array], x: Array, t: Array) -> Array:
        """Return the cross entropy; t: classes of shape (...), or one-hot rows."""
        return cross_entropy(self.predict(params, x), t)

    def accuracy(self, params: dict[str, Array], x: Array, t: Array) -> Array:
        """Return the share of samples whose largest probability is at the true class."""
        return fraction_correct(self.predict(params, x), t)
