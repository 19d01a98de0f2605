"""How costs grow: problems of growing size, their slopes, and the command that shows them."""

import json
import time

import numpy as np
import pytest
from speed_rows import a_row
from typer.testing import CliRunner

from gradparity.backends.errors import InvalidSetting
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import flatten
from gradparity.compare.cli import app
from gradparity.compare.speed.sweep import (
    PARAMETERS,
    Problem,
    SpeedGrowth,
    measure_growth,
    two_layer_problems,
)
from gradparity.models import load_mnist

DIGITS = load_mnist("embedded")


def size_of(problem):
    return sum(leaf.size for leaf in flatten(problem.params)[0])


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_nets_have_about_as_many_parameters_as_asked_for(parameters):
    (problem,) = two_layer_problems(DIGITS, [parameters])
    # A hidden unit more or less is 60 parameters.
    assert abs(size_of(problem) - parameters) <= 30


def test_problems_are_losses_of_digits():
    (problem,) = two_layer_problems(DIGITS, [100], batch_size=10)
    x, t = problem.args
    assert (x.shape, t.shape) == ((10, 49), (10,))
    # A net that knows nothing gives each of ten digits the same probability: the loss is log 10.
    assert problem.f(problem.params, x, t) == pytest.approx(2.302585, abs=0.01)


def growth(*points, backend="jax"):
    return SpeedGrowth(
        tuple(
            a_row(backend=backend, parameters=n, gradient=seconds, predicted=predicted)
            for n, seconds, predicted in points
        )
    )


def test_slopes_are_those_of_log_log_axes_with_predicted_cells():
    squares = growth((100, 1e-3, False), (1_000, 1e-1, False), (10_000, 10.0, True))
    assert squares.slopes == {("jax", "float32"): pytest.approx(2.0)}
    assert "jax float32: one gradient takes time like parameters ** 2.00" in str(squares)


def test_every_backend_has_its_own_slope():
    both = SpeedGrowth(
        growth((100, 1e-3, False), (1_000, 1e-2, False)).rows
        + growth((100, 1e-3, False), (1_000, 1e-3, False), backend="torch").rows
    )
    assert list(both.slopes.values()) == [pytest.approx(1.0), pytest.approx(0.0)]


def test_a_single_size_has_no_slope():
    assert growth((100, 1e-3, False)).slopes == {}


def test_a_loop_whose_evaluations_cost_the_same_grows_with_their_number():
    def f(x):
        time.sleep(1e-3)
        return x.sum()

    measured = measure_growth(
        [Problem(f, np.ones(size), ()) for size in (10, 100, 1_000)],
        backends=[NumericalDifference(step_size=1e-4, method="loop")],
        minimum_time=0.02,
        time_limit=2.5,
    )
    assert [row.parameters for row in measured.rows] == [10, 100, 1_000]
    assert [row.evaluations for row in measured.rows] == [21, 201, 2_001]
    assert measured.rows[-1].predicted
    ((_, slope),) = measured.slopes.items()
    assert 0.8 < slope < 1.2


def test_progress_covers_all_problems():
    problems = list(two_layer_problems(DIGITS, [100, 200], batch_size=5))
    shares = []
    measure_growth(
        problems,
        backends=["numerical"],
        minimum_time=0.01,
        progress=lambda what, share: shares.append(share),
    )
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1


def test_nothing_to_measure_is_refused():
    with pytest.raises(InvalidSetting, match="no functions"):
        measure_growth([])


def speed(*arguments):
    return CliRunner().invoke(app, ["speed", "--data", "embedded", "--quiet", *arguments])


def test_the_command_writes_table_json_and_plots(tmp_path):
    quick = ("--backends", "numerical", "--dtypes", "float64", "--minimum-time", "0.01")
    done = speed(
        *quick,
        *("--hidden-size", "2", "--batch-size", "5", "--time-limit", "0.5"),
        *("--json", str(tmp_path / "speed.json"), "--out", str(tmp_path / "out")),
    )
    assert done.exit_code == 0, done.output
    assert "numerical[structured]  float64" in done.output
    assert "numerical[loop]" in done.output
    record = json.loads((tmp_path / "speed.json").read_text())
    assert record["rows"][0]["parameters"] == 784 * 2 + 2 + 2 * 10 + 10
    assert record["environment"]["minimum_time"] == 0.01
    assert record == json.loads((tmp_path / "out" / "speed.json").read_text())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "speed.json",
        "cost.png",
        "cost.svg",
    }


def test_the_sweep_has_slopes_and_plots_of_growth(tmp_path):
    done = speed(
        *("--sweep", "--parameters", "1e2,400", "--backends", "numerical", "--dtypes", "float32"),
        *("--batch-size", "5", "--minimum-time", "0.01", "--time-limit", "0.5"),
        *("--out", str(tmp_path)),
    )
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "speed.json").read_text())
    assert [row["parameters"] for row in record["rows"]] == [130, 130, 370, 370]
    assert record["slopes"][0]["backend"] == "numerical[structured]"
    assert f"** {record['slopes'][0]['slope']:.2f}" in done.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "speed.json",
        "growth-float32.png",
        "growth-float32.svg",
        "ratio-float32.png",
        "ratio-float32.svg",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sweep", "--parameters", "many"), "'many'"),
        (("--dtypes", "float16"), "float16"),
        (("--backends", "nonsense"), "nonsense"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    result = speed(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
