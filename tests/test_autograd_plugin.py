"""A backend from another distribution, found through its entry point: `tox -e plugin`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.registry import BUILT_IN, backend_names
from gradparity.compare import compare_gradients
from gradparity.compare.conformance.conformance import BackendConformance
from gradparity.models import TwoLayerNet

if "autograd" not in (*backend_names(), *os.environ.get("GRADPARITY_BACKENDS", "").split(",")):
    pytest.skip("the plug-in is not installed: run tox -e plugin", allow_module_level=True)


class TestAutograd(BackendConformance):
    backend = "autograd"


def run_command(*arguments: str) -> str:
    code = "from gradparity.compare.cli import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_it_is_no_built_in_backend():
    assert "autograd" not in BUILT_IN
    assert type(get_backend("autograd")).__module__ == "gradparity_autograd"


def test_it_is_listed_as_ready(tmp_path):
    assert "autograd" in run_command("backends", "--json", str(tmp_path / "backends.json"))
    found = json.loads((tmp_path / "backends.json").read_text())["backends"]
    (info,) = [info for info in found if info["name"] == "autograd"]
    assert info["version"]
    assert info["unavailable"] is None


def test_the_command_finds_every_law_kept():
    assert "FAIL" not in run_command("conformance", "autograd", "--isolate")


def test_it_trains_as_differences_do(tmp_path):
    losses = {}
    for backend in ("numerical", "autograd"):
        written = tmp_path / f"{backend}.json"
        run_command(
            *("train", "--backend", backend, "--dtype", "float64", "--hidden-size", "2"),
            *("--steps", "3", "--quiet", "--data", "embedded", "--json", str(written)),
        )
        losses[backend] = json.loads(written.read_text())["losses"]
    # Three steps of rate 0.1 pass on less than the bar of the differences, 1e-9.
    np.testing.assert_allclose(losses["autograd"], losses["numerical"], atol=1e-9)


def test_its_gradient_of_the_network_is_that_of_differences():
    net, rng = TwoLayerNet(input_size=6, hidden_size=4), np.random.default_rng(0)
    batch = rng.normal(size=(5, 6)), rng.integers(0, 10, size=5)
    _, gradient = get_backend("autograd").value_and_gradient(net.loss)(net.init(0), *batch)
    _, expected = get_backend("numerical").value_and_gradient(net.loss)(net.init(0), *batch)
    for name, leaf in expected.items():
        np.testing.assert_allclose(gradient[name], leaf, atol=1e-9)  # the bar of the differences


def test_it_takes_part_in_a_comparison_and_is_not_blamed():
    net, rng = (
        TwoLayerNet(input_size=6, hidden_size=4, weight_init_std=0.5),
        np.random.default_rng(0),
    )
    batch = rng.normal(size=(5, 6)), rng.integers(0, 10, size=5)
    comparison = compare_gradients(
        net.loss, net.init(0), *batch, backends=("numerical", "autograd")
    )
    assert comparison.backends == ("numerical", "autograd")
    assert comparison.verdict == "agree", str(comparison)


def test_the_main_job_runs_with_it(tmp_path):
    run_command(
        *("compare", "--backends", "autograd", "--data", "embedded"),
        *("--out", str(tmp_path / "out"), "--json", str(tmp_path / "job.json")),
    )
    job = json.loads((tmp_path / "job.json").read_text())
    assert job["verdict"] == "agree"
    assert {row["backend"] for row in job["training"]} == {"autograd"}
