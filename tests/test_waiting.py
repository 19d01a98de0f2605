"""A backend that does not wait for its results is found out, whatever it is made of."""

import statistics
import time
from typing import Any, ClassVar

import numpy as np
import pytest

from gradparity.backends import Backend
from gradparity.backends.errors import DoesNotWait
from gradparity.compare.speed.measuring import measure_speed
from gradparity.compare.speed.waiting import check_waiting

DELAY = 0.02


class Promise:
    """An array that exists only after a while; reading it takes until then."""

    def __init__(self, array):
        self._array = np.asarray(array)
        self._ready = time.perf_counter() + DELAY
        self.shape, self.dtype = self._array.shape, self._array.dtype

    def wait(self):
        time.sleep(max(0.0, self._ready - time.perf_counter()))

    def __array__(self, dtype=None, copy=None):
        self.wait()
        return np.array(self._array, dtype=dtype)


class Promises(Backend):
    """A backend whose gradients come later, as those of a device do; its `wait` is honest."""

    name: ClassVar[str] = "promises"
    requirement: ClassVar[str] = "numpy"

    @property
    def xp(self) -> Any:
        return np

    def _is_native(self, leaf):
        return isinstance(leaf, np.ndarray)

    def to_native(self, array):
        return array

    def differentiate(self, f):
        return lambda params, *args: (f(params, *args), Promise(2 * params))

    def wait(self, tree):
        for leaf in tree if isinstance(tree, tuple) else ():
            getattr(leaf, "wait", lambda: None)()
        return tree


class EmptyPromises(Promises):
    def wait(self, tree):
        return tree


def square(x):
    return (x * x).sum()


def chain(x):
    for _ in range(8):
        x = x @ x / 20
    return x.sum()


def test_the_clock_runs_until_promised_results_exist():
    table = measure_speed(square, np.ones(3), backends=[Promises()], minimum_time=0.01)
    assert table.rows[0].gradient >= DELAY


def test_a_backend_that_does_not_keep_its_promises_is_refused():
    with pytest.raises(DoesNotWait, match=r"'promises': got results 0\.0\d+ s after its wait"):
        measure_speed(square, np.ones(3), backends=[EmptyPromises()], minimum_time=0.01)


def test_jax_without_waiting_reads_too_low_and_is_refused(load_backend):
    honest = load_backend("jax")

    class Hasty(type(honest)):
        def wait(self, tree):
            return tree

    hasty = Hasty()
    params = honest.asarray(np.random.default_rng(0).normal(size=(200, 200)))
    gradient = honest.compile(honest.value_and_gradient(chain))

    def seconds(backend):
        start = time.perf_counter()
        results = backend.wait(gradient(params))
        elapsed = time.perf_counter() - start
        honest.wait(results)
        return elapsed

    seconds(honest)
    true, read = (
        statistics.median(seconds(backend) for _ in range(9)) for backend in (honest, hasty)
    )
    assert read < true / 3
    check_waiting(honest, lambda: gradient(params))
    with pytest.raises(DoesNotWait, match="'jax'"):
        check_waiting(hasty, lambda: gradient(params))


def test_every_backend_waits(backend):
    params = backend.asarray(np.random.default_rng(0).normal(size=(16, 16)))
    gradient = backend.compile(backend.value_and_gradient(chain))
    check_waiting(backend, lambda: gradient(params))
    assert np.isfinite(backend.to_numpy(gradient(params)[0]))
