"""What is said about speed: counted, waited for, measured or else marked as predicted."""

import dataclasses
import json
import math
import time

import numpy as np
import pytest
from speed_rows import a_row

from gradparity.backends import BackendUnavailable
from gradparity.backends.errors import InvalidParameters, InvalidSetting, NonScalarLoss
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.compare import measure_speed
from gradparity.compare.speed.table import SpeedTable
from gradparity.models import TwoLayerNet

NET = TwoLayerNet(input_size=6, hidden_size=4, output_size=3)
ENTRIES = 6 * 4 + 4 + 4 * 3 + 3
X = np.random.default_rng(0).normal(size=(5, 6))
T = np.array([0, 1, 2, 0, 1])
QUICK = {"minimum_time": 0.01}


def row_of(backends, **settings):
    (row,) = measure_speed(NET.loss, NET.init(0), X, T, backends=backends, **QUICK | settings).rows
    return row


def test_a_row_has_every_figure(load_backend, backend_name):
    load_backend(backend_name)
    row = row_of([backend_name], dtypes=["float32"])
    assert (row.backend, row.dtype, row.device) == (backend_name, "float32", "cpu")
    assert row.parameters == ENTRIES
    assert 0 < row.forward
    assert 0 < row.gradient < math.inf
    assert row.ratio == row.gradient / row.forward
    low, high = row.gradient_quartiles
    assert low <= row.gradient <= high
    assert row.calls >= 3
    assert not row.predicted


def test_the_first_call_stands_apart_from_those_that_need_not_compile(load_backend):
    load_backend("jax")
    row = row_of(["jax"])
    # Tracing and compiling take a few hundred times as long as the call itself.
    assert row.first_call > 10 * row.gradient


def test_there_is_a_row_for_each_backend_and_dtype_in_their_order(load_backend):
    load_backend("torch")
    table = measure_speed(
        NET.loss,
        NET.init(0),
        X,
        T,
        backends=["torch", "numerical"],
        dtypes=["float32", "float64"],
        **QUICK,
    )
    assert [(row.backend, row.dtype) for row in table.rows] == [
        ("torch", "float32"),
        ("torch", "float64"),
        ("numerical", "float32"),
        ("numerical", "float64"),
    ]


def test_a_backend_keeps_its_dtype_unless_dtypes_are_asked_for():
    backends = [NumericalDifference(dtype="float32", step_size=1e-4)]
    assert row_of(backends).dtype == "float32"
    assert row_of(["numerical"]).dtype == "float64"
    assert row_of(backends, dtypes=["float64"]).dtype == "float64"


def test_backends_of_one_name_are_told_apart():
    backends = [NumericalDifference(step_size=1e-4), NumericalDifference(step_size=1e-5)]
    table = measure_speed(NET.loss, NET.init(0), X, T, backends=backends, **QUICK)
    assert [row.backend for row in table.rows] == ["numerical[0.0001]", "numerical[1e-05]"]


def test_evaluations_of_a_loop_are_counted():
    calls = 0

    def f(x):
        nonlocal calls
        calls += 1
        return np.sum(x * x)

    params = np.linspace(1.0, 2.0, 10)
    backend = NumericalDifference(step_size=1e-4, method="loop")
    backend.value_and_gradient(f)(params)
    in_one_gradient = calls
    (row,) = measure_speed(f, params, backends=[backend], **QUICK).rows
    assert row.evaluations == in_one_gradient == 2 * 10 + 1


def test_automatic_differentiation_evaluates_once(load_backend):
    for name in ("jax", "torch"):
        load_backend(name)
        assert row_of([name]).evaluations == 1


def test_a_loop_that_would_take_too_long_is_predicted_and_marked():
    def f(x):
        return sum(math.sin(entry) for entry in x)

    params = np.linspace(0.0, 1.0, 3_000)
    backends = [NumericalDifference(method="loop")]
    table = measure_speed(f, params, backends=backends, time_limit=1.0, **QUICK)
    (row,) = table.rows
    assert row.predicted
    assert row.evaluations == 2 * 3_000 + 1
    # What each evaluation costs in the loop, it costs alone: a sum in Python, on one thread.
    assert 0.5 < row.gradient / (row.evaluations * row.forward) < 2
    assert row.first_call == row.gradient
    assert "~" in str(table)
    assert "predicted from the first evaluations" in str(table)


def test_a_loop_within_the_limit_is_measured():
    row = row_of([NumericalDifference(method="loop")], time_limit=60.0)
    assert not row.predicted
    assert "~" not in str(SpeedTable((row,)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class InChunks(NumericalDifference):
    """Differences that call f once for a whole chunk of entries."""

    method: str = "structured"

    def differentiate(self, f):
        def value_and_gradient(params, *args):
            value = f(params, *args)
            for done in range(1, params.size + 1):
                time.sleep(2e-3)
                if self.progress is not None:
                    self.progress(done, params.size)
            return value, params

        return value_and_gradient


def test_differences_that_do_not_loop_are_predicted_from_the_entries_they_report():
    backends = [InChunks()]
    quick, slow = (
        measure_speed(np.sum, np.ones(size), backends=backends, time_limit=60.0, **QUICK).rows[0]
        for size in (10, 10_000)
    )
    assert (quick.predicted, slow.predicted) == (False, True)
    assert quick.evaluations == slow.evaluations == 1
    assert slow.gradient >= 10_000 * 2e-3


def test_memory_is_that_of_the_gradient(load_backend):
    load_backend("torch")

    def f(x):
        return ((x[:, None] - x) ** 2).sum()

    table = measure_speed(f, np.ones(2_000), backends=["torch"], **QUICK)
    if table.rows[0].peak_memory is None:
        pytest.skip("this system does not tell a process its peak memory")
    # Differences and their squares, 2,000 x 2,000 in float64, are there at the same time.
    assert table.rows[0].peak_memory > 2 * 8 * 2_000**2 * 0.9


def test_ports_are_measured_with_their_own_functions(load_backend):
    torch, jax = load_backend("torch").xp, load_backend("jax").xp
    table = measure_speed(
        {"torch": lambda x: torch.sum(torch.sin(x)), "jax": lambda x: jax.sum(jax.sin(x))},
        np.ones(5),
        **QUICK,
    )
    assert [row.backend for row in table.rows] == ["torch", "jax"]


def test_inputs_stay_as_they_are(load_backend, backend_name):
    load_backend(backend_name)
    params, x = NET.init(0), X.copy()
    measure_speed(NET.loss, params, x, T, backends=[backend_name], **QUICK)
    assert all(np.array_equal(params[name], leaf) for name, leaf in NET.init(0).items())
    assert np.array_equal(x, X)


def test_the_result_fits_into_json(load_backend):
    table = SpeedTable((row_of(["numerical"]),), left_out=(("jax", "not installed"),))
    read = json.loads(json.dumps(table.to_dict()))
    assert read["rows"][0]["ratio"] == table.rows[0].ratio
    assert read["rows"][0]["evaluations"] == table.rows[0].evaluations
    assert read["left_out"] == {"jax": "not installed"}


def test_the_table_is_read_in_lines_of_columns():
    slow = a_row(backend="numerical", gradient=320.0, first_call=320.0, forward=4e-3)
    head, first, second, _ = str(SpeedTable((a_row(), slow))).splitlines()
    assert head.split()[:4] == ["backend", "dtype", "parameters", "first"]
    assert "350 ms" in first
    assert "12%" in first  # 0.05 of 0.4 milliseconds between the quartiles
    assert "3 MiB" in first
    assert "80,000" in second
    assert first.index("jax") == second.index("numerical") == 0


@pytest.mark.parametrize(
    ("row", "remark"),
    [
        (a_row(disturbed=0.4), "! other processes took the cores"),
        (a_row(predicted=True), "~ predicted from the first evaluations"),
    ],
    ids=["disturbed", "predicted"],
)
def test_what_is_doubtful_is_said(row, remark):
    assert remark in str(SpeedTable((row,)))
    assert remark not in str(SpeedTable((a_row(),)))


def test_a_default_backend_that_is_missing_is_named():
    table = SpeedTable((a_row(),), left_out=(("torch", "pip install torch"),))
    assert "left out: torch, pip install torch" in str(table)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minimum_time": 0.0}, "minimum_time 0.0"),
        ({"time_limit": math.nan}, "time_limit nan"),
        ({"dtypes": []}, "no dtypes"),
        ({"dtypes": ["float16"]}, "float16"),
        ({"backends": []}, "no backends"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InvalidSetting, match=message):
        measure_speed(NET.loss, NET.init(0), X, T, **{"backends": ["numerical"]} | settings)


def test_a_backend_that_is_asked_for_by_name_has_to_be_there(monkeypatch):
    from gradparity.backends import registry

    missing = {"jax": "gradparity_missing.module:Backend"}
    monkeypatch.setattr(registry, "BUILT_IN", registry.BUILT_IN | missing)
    with pytest.raises(BackendUnavailable, match="gradparity_missing"):
        measure_speed(NET.loss, NET.init(0), X, T, backends=["numerical", "jax"], **QUICK)


@pytest.mark.parametrize(
    ("f", "params", "error"),
    [
        (lambda x: x, np.ones(3), NonScalarLoss),
        (lambda x: x.sum(), np.arange(3), InvalidParameters),
        (lambda x: 0.0, {}, InvalidParameters),
    ],
    ids=["no scalar", "integers", "no arrays"],
)
def test_what_cannot_be_differentiated_is_refused(f, params, error):
    with pytest.raises(error):
        measure_speed(f, params, backends=["numerical"], **QUICK)
