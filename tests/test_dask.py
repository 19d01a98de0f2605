"""Sweeps spread over the processes of a Dask cluster: same numbers, and no loss with a worker."""

import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.models import SimpleNet, TwoLayerNet

distributed = pytest.importorskip("dask.distributed", reason="needs gradparity[dask]")


@pytest.fixture(scope="module")
def cluster():
    """Start two worker processes, reachable on this machine only, without the web dashboard."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,  # a killed worker is what the tests are about
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        yield client


@dataclass(frozen=True)
class CountedLoss:
    """A loss that notes each call of a worker, and kills one worker from the fatal call on."""

    notes: Path
    home: int
    fatal_call: int | None = None

    def __call__(self, x):
        if os.getpid() != self.home:
            with self.notes.open("ab") as notes:
                notes.write(os.getpid().to_bytes(8))
                calls = notes.tell() // 8
            # Two workers may note a call at a time: the count can pass the fatal one by.
            if self.fatal_call is not None and calls >= self.fatal_call:
                self.kill_first_worker()
        return np.sum(np.sin(x) * x)

    def kill_first_worker(self) -> None:
        """Kill this worker, unless there is a victim already."""
        try:
            with self.victim.open("x") as victim:
                victim.write(str(os.getpid()))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    @property
    def victim(self) -> Path:
        return self.notes.with_suffix(".victim")

    def workers(self) -> set[int]:
        noted = self.notes.read_bytes()
        return {int.from_bytes(noted[k : k + 8]) for k in range(0, len(noted), 8)}


def gradients_here_and_spread(f, params, *args, backend="dask", method="loop"):
    value_and_gradient = get_backend("numerical", method=method).value_and_gradient(f)
    here = value_and_gradient(params, *args)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        return here, value_and_gradient(params, *args)


def assert_same(left, right):
    np.testing.assert_array_equal(left[0], right[0])
    for name in left[1]:
        np.testing.assert_array_equal(left[1][name], right[1][name], strict=True)


@pytest.mark.parametrize("method", ["loop", "structured"])
@pytest.mark.parametrize("backend", ["dask", "loky"])
def test_the_gradient_of_a_network_is_the_same_to_the_last_bit(cluster, backend, method):
    net = TwoLayerNet(input_size=20, hidden_size=8)
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(16, 20)), rng.integers(0, 10, size=16)
    assert_same(
        *gradients_here_and_spread(net.loss, net.init(0), *batch, backend=backend, method=method)
    )


def test_both_workers_take_part(cluster, tmp_path):
    loss = CountedLoss(tmp_path / "notes", os.getpid())
    here, spread = gradients_here_and_spread(loss, np.linspace(-2.0, 2.0, 2000))
    np.testing.assert_array_equal(here[1], spread[1])
    assert loss.workers() == set(cluster.run(os.getpid).values())


@pytest.mark.parametrize("fatal_call", [1, 2500])
def test_a_worker_killed_in_the_middle_loses_nothing(cluster, tmp_path, fatal_call):
    workers = set(cluster.run(os.getpid).values())
    loss = CountedLoss(tmp_path / "notes", os.getpid(), fatal_call)
    here, spread = gradients_here_and_spread(loss, np.linspace(-2.0, 2.0, 4000))
    np.testing.assert_array_equal(here[1], spread[1])
    victim = int(loss.victim.read_text())
    assert victim in workers
    cluster.wait_for_workers(2)
    assert victim not in cluster.run(os.getpid).values()


def test_an_error_on_a_worker_is_raised_here(cluster):
    loss, params = SimpleNet().loss, SimpleNet().init(0)

    def fails_abroad(params, home):
        if os.getpid() != home:
            raise ArithmeticError("planted")
        return loss(params, np.asarray([[0.6, 0.9]]), np.asarray([2]))

    with pytest.raises(ArithmeticError, match="planted"):
        gradients_here_and_spread(fails_abroad, params, os.getpid())
