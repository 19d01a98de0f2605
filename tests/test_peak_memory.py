"""The memory of a call is what it adds at its peak, whichever library takes it."""

import gc

import numpy as np
import pytest

from gradparity.compare import check_gradient
from gradparity.compare.speed import peak_memory as module
from gradparity.compare.speed.peak_memory import peak_memory

SIZE = 64 * 2**20
needs_linux = pytest.mark.skipif(
    peak_memory(lambda: None) is None, reason="this system does not tell a process its peak memory"
)


def touch(size):
    return np.ones(size // 8)


@needs_linux
def test_memory_that_is_freed_before_the_end_counts():
    def call():
        touch(SIZE)
        touch(SIZE)

    assert peak_memory(call) == pytest.approx(SIZE, rel=0.1)


@needs_linux
def test_memory_that_is_held_at_the_same_time_adds_up():
    assert peak_memory(lambda: (touch(SIZE), touch(SIZE))) == pytest.approx(2 * SIZE, rel=0.1)


@needs_linux
def test_an_earlier_peak_and_memory_in_use_already_do_not_count():
    held = touch(SIZE)
    touch(4 * SIZE)
    assert peak_memory(lambda: held.sum()) < 0.1 * SIZE


@needs_linux
def test_garbage_that_is_collected_during_the_call_hides_nothing():
    garbage = [touch(SIZE)]
    garbage.append(garbage)
    gc.collect()  # so that it is old when it becomes garbage
    del garbage

    def call():
        gc.collect()
        touch(SIZE)

    assert peak_memory(call) == pytest.approx(SIZE, rel=0.1)


@needs_linux
def test_memory_that_another_thread_is_about_to_free_hides_nothing(monkeypatch):
    kept = [touch(SIZE)]
    monkeypatch.setattr(module.time, "sleep", lambda seconds: kept.clear())

    def call():
        kept.clear()
        touch(SIZE)

    assert peak_memory(call) == pytest.approx(SIZE, rel=0.1)


@needs_linux
@pytest.mark.parametrize("backend_name", ["jax", "torch"])
def test_memory_of_frameworks_counts(load_backend, backend_name):
    backend = load_backend(backend_name)
    x = backend.asarray(np.ones(SIZE // 8))
    double = backend.compile(lambda x: x * 2)
    backend.wait(double(x))
    assert peak_memory(lambda: backend.wait(double(x))) == pytest.approx(SIZE, rel=0.1)


@needs_linux
def test_a_check_holds_few_arrays_of_the_size_of_the_parameters(load_backend):
    """Two of the parameters, the candidate, the reference, its bounds, a direction, a point."""
    backend = load_backend("torch")
    params = backend.asarray(np.random.default_rng(0).random(2**21))

    def check(gradient):
        assert check_gradient(lambda p: p @ p, params, gradient=gradient).verdict == "agree"

    gradient = 2 * params
    check(gradient)
    used = peak_memory(lambda: check(gradient))
    assert used < 8.5 * 8 * 2**21
    # A callable's two gradients are held besides, and compared.
    assert peak_memory(lambda: check(lambda p: 2 * p)) > used


def test_a_system_that_does_not_tell_gives_no_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "PROCESS", tmp_path / "missing")
    assert peak_memory(lambda: None) is None
