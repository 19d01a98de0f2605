"""Arrows between packages and modules run one way, as the contracts of import-linter say."""

import subprocess
import sys
from pathlib import Path

CONFIGURATION = Path(__file__).parents[1] / "pyproject.toml"
LINTER = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(directory, configuration):
    return subprocess.run(
        [sys.executable, "-P", "-c", LINTER, str(configuration), "--no-cache"],
        cwd=directory, capture_output=True, text=True,
    )  # fmt: skip


def test_the_contracts_of_imports_are_kept(tmp_path):
    run = lint(tmp_path, CONFIGURATION)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " kept, 0 broken" in run.stdout


def test_an_arrow_that_runs_up_breaks_a_contract(tmp_path):
    (tmp_path / "reversed.toml").write_text("""
[tool.importlinter]
root_package = "gradparity"

[[tool.importlinter.contracts]]
name = "arrows run the other way"
type = "layers"
layers = ["gradparity.backends", "gradparity.models"]
""")
    run = lint(tmp_path, tmp_path / "reversed.toml")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "gradparity.models is not allowed to import gradparity.backends" in run.stdout
