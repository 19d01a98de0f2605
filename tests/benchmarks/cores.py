"""What a second core brings to the plain loop of differences."""

import time
from collections.abc import Iterator

import numpy as np
from rows import Row, at_least
from threadpoolctl import threadpool_limits

from gradparity.backends import get_backend
from gradparity.models import TwoLayerNet, load_mnist

ROUNDS = 7


def rows() -> Iterator[Row]:
    digits = load_mnist("embedded")
    net = TwoLayerNet(784, 100, 10)
    batch = digits.train_x[:100].astype(np.float64), digits.train_t[:100]
    params = net.init(0)
    hidden = {"b1": params["b1"], "W2": params["W2"]}  # 1,100 entries: a second or two

    def loss(some, x, t):
        return net.loss({**params, **some}, x, t)

    gradients = {
        jobs: get_backend("numerical", method="loop", jobs=jobs).value_and_gradient(loss)
        for jobs in (1, 2)
    }
    with threadpool_limits(1):
        for gradient in gradients.values():
            gradient(hidden, *batch)
        ratios = []
        for _ in range(ROUNDS):
            taken = {}
            for jobs, gradient in gradients.items():
                started = time.perf_counter()
                gradient(hidden, *batch)
                taken[jobs] = time.perf_counter() - started
            ratios.append(taken[1] / taken[2])
    yield at_least("plain loop: one job over two, one BLAS thread each", ratios, 1.6)
