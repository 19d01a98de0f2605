"""Full numerical gradients: structured differences against the plain loop.

Both may use all cores: structured differences by threads, the plain loop by those of BLAS. The loop
is timed on some entries of the largest leaf and scaled to all of them; each round times both.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from rows import Row, at_least, at_most

from gradparity.backends import get_backend
from gradparity.backends.difference_loop import Sweep, difference_entries
from gradparity.backends.pytrees import flatten
from gradparity.compare.scenarios.networks import convolution, normalised_net
from gradparity.models import TwoLayerNet, load_mnist

STEP = 1e-4
ROUNDS = 5
LOOPED_SECONDS = 0.5
COMPARED_ENTRIES = 12
Case = tuple[Callable[..., Any], Any, tuple[Any, ...]]


def unstructured(w):
    """Mix every entry with every other, in functions that have no rule."""
    product = np.linalg.inv(w) @ np.linalg.pinv(w)
    return np.linalg.slogdet(product)[1] + np.linalg.svd(w)[1].sum()


def normal(seed: int, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: 0.1 * rng.standard_normal(shape) for name, shape in shapes.items()}


def cases() -> dict[str, Case]:
    digits, rng = load_mnist("embedded"), np.random.default_rng(0)
    x, t = digits.train_x[:100].astype(float), digits.train_t[:100]
    dense = rng.random((100, 784))
    large, small = TwoLayerNet(784, 100, 10), TwoLayerNet(784, 50, 10)
    vectors = {f"{n}{i}": (size,) for n in "bgs" for i, size in ((0, 100), (1, 50))}
    net = normal(1, W0=(784, 100), W1=(100, 50), W2=(50, 10), b2=(10,), **vectors)
    kernels = normal(2, K=(8, 1, 3, 3), k=(8,), W=(1352, 10))
    return {
        "784-100-10, dense input": (large.loss, large.init(0), (dense, np.eye(10)[t])),
        "784-100-10, digits": (large.loss, large.init(0), (x, t)),
        "784-50-10, digits": (small.loss, small.init(0), (x, t)),
        "784-100-50-10, normalised": (normalised_net, net, (x, t)),
        "small convolution": (convolution, kernels, (x.reshape(100, 1, 28, 28), t)),
        "nothing to exploit": (unstructured, rng.random((40, 40)) + 40 * np.eye(40), ()),
    }


def rows() -> Iterator[Row]:
    for name, case in cases().items():
        speedups, seconds, difference = measured(*case)
        note = f"{np.median(seconds):.2f} s"
        if name == "nothing to exploit":
            yield at_most(f"structured: {name}", [1 / s for s in speedups], 1.3, note)
        else:
            limit = 50 if name.startswith(("784-100-10", "784-50-10")) else 10
            yield at_least(f"structured: {name}", speedups, limit, note)
        figure = float(difference)
        what = f"structured: {name}, difference"
        yield Row(what, figure, figure, figure, "≤ 1e-9", figure <= 1e-9)


def measured(
    f: Callable[..., Any], params: Any, args: tuple[Any, ...]
) -> tuple[list[float], list[float], float]:
    """Return speed-ups, seconds of structured differences, and their largest difference."""
    leaves, _ = flatten(params)
    loop = partial(
        difference_entries, Sweep(f, params, args, tuple(np.full(x.shape, STEP) for x in leaves))
    )
    differentiate = get_backend("numerical", step_size=STEP).value_and_gradient(f)
    total = sum(leaf.size for leaf in leaves)
    largest = max(range(len(leaves)), key=lambda leaf: leaves[leaf].size)
    speedups, seconds = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        with warnings.catch_warnings(action="error"):  # a fallback would be no measurement
            _, gradient = differentiate(params, *args)
        seconds.append(time.perf_counter() - started)
        speedups.append(loop_seconds(partial(loop, largest)) * total / seconds[-1])
    rng, difference = np.random.default_rng(1), 0.0
    for leaf, array in enumerate(flatten(gradient)[0]):
        entries = rng.integers(0, array.size, COMPARED_ENTRIES)
        difference = max(
            difference, float(np.max(np.abs(loop(leaf, entries) - array.reshape(-1)[entries])))
        )
    return speedups, seconds, difference


def loop_seconds(loop: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the seconds of the plain loop for one entry."""
    loop(np.arange(COMPARED_ENTRIES))
    started, entries = time.perf_counter(), 0
    while time.perf_counter() - started < LOOPED_SECONDS:
        loop(np.arange(entries, entries + COMPARED_ENTRIES))
        entries += COMPARED_ENTRIES
    return (time.perf_counter() - started) / entries
