"""Who shares the work of a sweep, and who must not."""

import threading
import time

import joblib
import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends import get_backend
from gradparity.backends.difference_loop import chunk_size
from gradparity.backends.workers import (
    HEAD_START,
    idle_cores,
    one_at_a_time,
    share,
    share_if_long,
)
from gradparity.models import TwoLayerNet


def slow_square(x):
    time.sleep(HEAD_START / 4)
    return x * x, threading.get_ident()


def test_long_work_goes_to_threads_and_comes_back_in_order():
    squares, threads = zip(*share_if_long(slow_square, range(20), 3), strict=True)
    assert squares == tuple(x * x for x in range(20))
    assert set(threads[:4]) == {threading.get_ident()}
    assert len(set(threads)) == 4


def test_threads_keep_numpys_error_state():
    def state(_):
        time.sleep(HEAD_START / 2)
        return np.geterr()["over"]

    for asked in ("ignore", "raise"):
        with np.errstate(over=asked):
            assert set(share_if_long(state, range(12), 2)) == {asked}


def test_short_work_stays_where_it_is():
    threads = set(share_if_long(lambda _: threading.get_ident(), range(1000), 3))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_share_all_work(jobs):
    squares, threads = zip(*share(slow_square, range(8), jobs), strict=True)
    assert squares == tuple(x * x for x in range(8))
    assert len(set(threads)) == jobs


def test_a_task_that_fails_in_a_thread_fails_here():
    def fails(x):
        time.sleep(HEAD_START)
        if x == 5:
            raise ValueError("five")
        return x

    with pytest.raises(ValueError, match="five"):
        list(share_if_long(fails, range(10), 2))


@pytest.mark.parametrize("shared", [share, share_if_long])
def test_work_that_nobody_waits_for_any_more_is_given_up_in_silence(shared):
    done = []

    def slow(task):
        time.sleep(HEAD_START / 2)
        done.append(task)

    results = shared(slow, range(100), 2)
    for _ in range(6):
        next(results)
    results.close()
    time.sleep(4 * HEAD_START)
    assert 6 <= len(done) < 20


def test_cores_help_unasked_only_where_joblib_was_told_nothing(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 5)
    assert idle_cores() == 5
    for settings in ({"n_jobs": 1}, {"n_jobs": 2}, {"backend": "loky", "n_jobs": 2}):
        with joblib.parallel_config(**settings):
            assert idle_cores() == 1
    (inside,) = joblib.Parallel(n_jobs=2, prefer="threads")([joblib.delayed(idle_cores)()])
    assert inside == 1


def test_one_at_a_time_never_calls_twice_at_once():
    busy = threading.Lock()

    @one_at_a_time
    def f(x):
        assert busy.acquire(blocking=False)
        time.sleep(0.001)
        busy.release()
        return x

    assert list(share(f, range(50), 4)) == list(range(50))


def test_unasked_threads_give_the_same_digits_and_call_f_from_one_at_a_time(monkeypatch):
    monkeypatch.setattr("gradparity.backends.workers.HEAD_START", 0.0)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    net, rng = TwoLayerNet(40, 30, 10), np.random.default_rng(0)
    params, batch = net.init(0), (rng.random((20, 40)), rng.integers(0, 10, 20))
    calling = threading.Lock()

    def loss(params, x, t):
        assert calling.acquire(blocking=False), "f is called by two threads at once"
        try:
            return net.loss(params, x, t)
        finally:
            calling.release()

    found = get_backend("numerical").value_and_gradient(loss)(params, *batch)[1]
    alone = get_backend("numerical", jobs=1).value_and_gradient(loss)(params, *batch)[1]
    for name in params:
        np.testing.assert_array_equal(found[name], alone[name])


def test_a_function_whose_structure_fails_in_threads_falls_back_one_at_a_time(monkeypatch):
    monkeypatch.setattr("gradparity.backends.workers.HEAD_START", 0.0)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)

    def branches(x):
        xp = array_namespace(x)
        # One branch for all copies that are tried first, but not for both of the last entry.
        return xp.sum(x * x) if float(x[-1]) < 1e-9 else xp.sum(x * x * x)

    x = np.append(np.linspace(0.1, 1, 999), 0.0)
    with pytest.warns(UserWarning, match="the plain loop is used"):
        gradient = get_backend("numerical").value_and_gradient(branches)(x)[1]
    loop = get_backend("numerical", method="loop").value_and_gradient(branches)(x)[1]
    np.testing.assert_allclose(gradient, loop, rtol=1e-7)


@pytest.mark.parametrize(
    ("entries", "size"), [(0, 1), (1, 1), (6, 1), (30, 3), (201, 25), (1110, 25), (79_510, 397)]
)
def test_chunks_are_large_enough_to_be_worth_it_and_many_enough_to_share(entries, size):
    assert chunk_size(entries) == size
