"""The command line as a user meets it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradparity.compare.strict_json import strict


def gradparity(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from gradparity.compare.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"} | environment,
    )


def test_help_imports_no_framework_and_no_numpy():
    code = (
        "import sys; from gradparity.compare.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'jax', 'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip().endswith("[]")
    for command in ("compare", "train", "backends", "fetch-mnist"):
        assert command in answer.stdout


@pytest.mark.parametrize("command", ["compare", "train", "backends", "fetch-mnist"])
def test_every_command_has_help(command):
    answer = gradparity(command, "--help")
    assert answer.returncode == 0
    assert "Usage" in answer.stdout


def test_backends_are_listed_with_versions(tmp_path):
    path = tmp_path / "backends.json"
    answer = gradparity("backends", "--json", str(path))
    assert answer.returncode == 0
    assert "numerical" in answer.stdout
    listed = {entry["name"]: entry for entry in json.loads(path.read_text())["backends"]}
    assert {"numerical", "jax", "torch"} <= set(listed)
    assert listed["numerical"]["devices"] == ["cpu"]


WRONG_INPUT = [
    (["compare", "--backends", "numercal"], 2, "expected one of numerical"),
    (["compare", "--dtype", "float16"], 2, "float16"),
    (["train", "--backend", "numercal"], 2, "expected one of numerical"),
    (["train"], 2, "--backend"),
    (["train", "--backend", "numerical", "--epochs", "0"], 2, "epochs"),
    (["train", "--backend", "numerical", "--epochs", "1", "--steps", "1"], 2, "expected one"),
    (["train", "--backend", "numerical", "--learning-rate", "-1"], 2, "learning_rate"),
    (["train", "--backend", "numerical", "--data", "no/such/folder"], 4, "no/such/folder"),
    (["train", "--backend", "numerical", "--device", "tpu"], 2, "'tpu'"),
    (["trian"], 2, "trian"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG_INPUT)
def test_wrong_input_is_named_without_a_traceback(arguments, code, message):
    answer = gradparity(*arguments)
    assert answer.returncode == code, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", [["compare"], ["compare", "--backends", "numerical"]])
def test_an_output_folder_that_cannot_be_written_is_found_before_the_work(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    answer = gradparity(*command, "--out", str(tmp_path / "file" / "results"))
    assert answer.returncode == 4
    assert "cannot be written" in answer.stderr
    assert "Agreement" not in answer.stdout


def test_a_json_file_that_cannot_be_written_is_found_before_the_work(tmp_path):
    answer = gradparity("backends", "--json", str(tmp_path))
    assert answer.returncode == 4
    assert "which is a folder" in answer.stderr


def test_training_writes_its_json(backend_name, load_backend, tmp_path):
    load_backend(backend_name)
    path = tmp_path / "train.json"
    answer = gradparity(
        *("train", "--backend", backend_name, "--steps", "2", "--hidden-size", "2"),
        *("--data", "embedded", "--json", str(path), "--batch-size", "10"),
    )
    assert answer.returncode == 0, answer.stderr
    result = json.loads(path.read_text())
    keys = "backend dtype data steps losses train_accuracy test_accuracy seconds environment"
    assert set(keys.split()) <= set(result)
    assert result["steps"] == len(result["losses"]) == 2
    assert result["backend"] == backend_name
    assert "embedded" in answer.stdout


def test_a_training_that_diverges_says_so_and_keeps_what_it_learned(tmp_path):
    path = tmp_path / "train.json"
    answer = gradparity(
        *("train", "--backend", "numerical", "--steps", "30", "--hidden-size", "1"),
        *("--data", "embedded", "--json", str(path), "--batch-size", "10"),
        *("--learning-rate", "1e300"),
    )
    assert answer.returncode == 4
    assert "learning rate" in answer.stderr
    assert json.loads(path.read_text())["steps"] < 30


@pytest.fixture(scope="module")
def main_job(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess, Path]:
    folder = tmp_path_factory.mktemp("results")
    answer = gradparity(
        "compare", "--data", "embedded", "--out", str(folder), "--json", str(folder / "job.json")
    )
    return answer, folder


@pytest.mark.gradcheck
def test_the_main_job_finds_that_the_backends_agree(main_job):
    answer, _ = main_job
    assert answer.returncode == 0, answer.stderr
    assert "Verdict: agree" in answer.stdout
    for title in ("Agreement", "Cost", "Training"):
        assert title in answer.stdout
    assert "39,760 parameters" in answer.stdout
    for row in ("numerical[structured]", "numerical[loop]"):
        assert row in answer.stdout


def test_the_main_job_says_which_digits_it_used(main_job):
    assert "embedded" in main_job[0].stdout


def test_the_main_job_writes_its_page_plots_and_json(main_job):
    _, folder = main_job
    job = json.loads((folder / "job.json").read_text())
    assert {"verdict", "agreement", "cost", "training", "environment"} <= set(job)
    assert job == json.loads((folder / "compare.json").read_text())
    assert "<svg" in (folder / "index.html").read_text()
    for plot in ("agreement", "cost", "loss-49-10-10", "accuracy-49-10-10"):
        assert (folder / f"{plot}.png").stat().st_size > 5000
        assert (folder / f"{plot}.svg").stat().st_size > 1000


def test_every_backend_of_the_main_job_trains_the_same_network(main_job):
    job = json.loads((main_job[1] / "job.json").read_text())
    small = [run for run in job["training"] if run["network"] == "49-10-10"]
    timed = {row["backend"].partition("[")[0] for row in job["cost"]["rows"]}
    assert {run["backend"] for run in small} == timed
    for run in small:
        assert run["losses"][-1] < run["losses"][0] / 2
        assert abs(run["losses"][-1] - small[0]["losses"][-1]) < 1e-6
        assert run["test_accuracy"][-1] > 0.7


def test_strict_json_has_no_nan():
    import numpy as np

    result = strict({"a": np.asarray([1.0, np.nan]), "b": (float("inf"), 1), "c": np.float32(2)})
    assert result == {"a": [1.0, "nan"], "b": ["inf", 1], "c": 2.0}
    json.dumps(result, allow_nan=False)
