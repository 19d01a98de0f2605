"""The main job chooses its backends, and goes on without those that fail in their own process."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from gradparity.backends import BackendUnavailable, get_backend
from gradparity.backends.errors import UnknownBackend
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.compare import main_job
from gradparity.compare.conformance.isolated_backend import IsolatedFailure
from gradparity.compare.main_job import Training, choose_backends, run_main_job
from gradparity.compare.report import exactness_rows
from gradparity.compare.verdicts import Verdict
from gradparity.models import TrainingRun


class Crasher(NumericalDifference):
    name: ClassVar[str] = "crasher"


def fails_with_the_crasher(work):
    def guarded(*args, backends, **settings):
        if any(backend.name == "crasher" for backend in backends):
            raise IsolatedFailure("crasher", "died with signal 9")
        return work(*args, backends=backends, **settings)

    return guarded


def verdict_of(*_, backends, **__):
    return SimpleNamespace(verdict=Verdict.AGREE, backends=[b.name for b in backends])


@pytest.fixture
def quick(monkeypatch):
    """Leave out what other tests look at: measuring and training."""
    monkeypatch.setattr(main_job, "measure_speed", fails_with_the_crasher(verdict_of))
    monkeypatch.setattr(main_job, "_trainings", lambda *_: ())
    monkeypatch.setattr(main_job, "prove_engines", lambda *_: {})


def test_a_backend_that_crashes_costs_only_its_own_rows(monkeypatch, quick):
    monkeypatch.setattr(main_job, "compare_gradients", fails_with_the_crasher(verdict_of))
    job = run_main_job([NumericalDifference(), Crasher()], data="embedded")
    assert job.left_out == {"crasher": str(IsolatedFailure("crasher", "died with signal 9"))}
    assert {tuple(found.backends) for found in job.agreement.values()} == {("numerical",)}


def test_a_job_without_any_backend_left_says_why(monkeypatch, quick):
    monkeypatch.setattr(main_job, "compare_gradients", fails_with_the_crasher(verdict_of))
    with pytest.raises(IsolatedFailure, match="crasher"):
        run_main_job([Crasher()], data="embedded")


@pytest.mark.parametrize(
    ("steps", "epochs", "expected"),
    [
        pytest.param(
            50, [9.0, 1.0, 1.0, 1.0, 5.0], 0.1, id="compiling and a slow epoch are left out"
        ),
        pytest.param(25, [9.0, 1.0, 0.1], 0.5, id="an epoch that stopped within is no epoch"),
        pytest.param(10, [9.0], 2.0, id="one epoch is all there is"),
        pytest.param(4, [], 5.0, id="not even one"),
    ],
)
def test_a_step_takes_what_it_takes_in_the_median_epoch(steps, epochs, expected):
    run = TrainingRun(
        backend="jax",
        dtype="float64",
        params={},
        losses=np.zeros(steps),
        epoch_seconds=np.asarray(epochs),
        seconds=20.0,
    )
    assert Training("2-2", "jax", 10, 10, run).seconds_per_step == pytest.approx(expected)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (["agree", "agree"], "agree"),
        (["agree", "cannot tell"], "cannot tell"),
        (["cannot tell", "differ"], "differ"),
    ],
)
def test_the_worst_verdict_is_the_jobs(found, verdict):
    agreement = {str(k): SimpleNamespace(verdict=Verdict(v)) for k, v in enumerate(found)}
    job = main_job.MainJob(agreement, None, (), {}, {})
    assert job.verdict == verdict


def test_backends_that_are_asked_for_must_load(monkeypatch):
    def missing(name, **settings):
        raise BackendUnavailable(f"{name} is missing")

    monkeypatch.setattr(main_job, "get_backend", missing)
    with pytest.raises(BackendUnavailable):
        choose_backends(["jax"], "float64")
    chosen, left_out = choose_backends(None, "float64")
    assert chosen == []
    assert left_out["jax"] == "jax is missing"


def test_unknown_backends_are_refused():
    with pytest.raises(UnknownBackend, match="numercal"):
        choose_backends(["numercal"], "float64")


def test_a_backend_whose_gradient_is_wrong_makes_the_job_differ(monkeypatch):
    class Liar(NumericalDifference):
        name: ClassVar[str] = "liar"

        def differentiate(self, f):
            honest = super().differentiate(f)

            def doubled(params, *args):
                value, gradient = honest(params, *args)
                return value, 2 * gradient

            return doubled

    monkeypatch.setattr(main_job, "measure_speed", verdict_of)
    monkeypatch.setattr(main_job, "_trainings", lambda *_: ())
    quadratic = ("Quadratic", lambda x: (x * x).sum(), np.asarray([3.0, 4.0]), ())
    monkeypatch.setattr(main_job, "_models", lambda batch, seed: [quadratic])
    job = run_main_job([get_backend("numerical"), Liar()], data="embedded")
    assert job.verdict == "differ"
    assert job.agreement["Quadratic"].blamed == ("liar",)
    pytest.importorskip("flint")
    proofs = job.exactness["Quadratic"]
    assert proofs["liar"].error == pytest.approx(8.0)
    assert proofs["numerical"].relative_error < 1e-9
    rows = exactness_rows(job)
    assert [row[1] for row in rows] == ["numerical", "liar"]
    assert rows[1][3:] == ("8.0e+00", "1.0e+00", "x", "no")
