"""Types: the installed package passes mypy in strict mode, and its users' mistakes are seen."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import gradparity as gp
from gradparity.compare.proof.proof import ProofText, ProofVerdict

CONFIGURATION = Path(__file__).parents[1] / "pyproject.toml"


USERS = """
from gradparity.compare.verdicts import Verdict, VerdictText
def said(verdict: VerdictText) -> bool:
    assert verdict in ("agree", "differ") or verdict is Verdict.CANNOT_TELL or verdict != "agree"
    return verdict == "agrees"
"""


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """Return what mypy finds in the installed package and in a user's file, each by itself."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users.py").write_text(USERS)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--cache-dir", os.devnull, "--no-error-summary"),
            *("--config-file", str(CONFIGURATION), "-p", "gradparity", "-m", "users"),
        ],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    return [[line for line in lines if line.startswith("users.py") == users] for users in (0, 1)]


def test_the_installed_package_is_typed_strictly(errors):
    assert errors[0] == []


def test_a_misspelt_verdict_is_a_type_error(errors):
    (error,) = errors[1]
    assert error.startswith("users.py:5: error: Non-overlapping equality check")


def test_every_verdict_is_typed_by_its_texts():
    for result in (gp.GradientCheck, gp.LeafCheck, gp.Comparison, gp.TaylorTest):
        assert get_type_hints(result, localns={"Proof": gp.Proof})["verdict"] == gp.VerdictText
    assert get_args(gp.VerdictText) == tuple(gp.Verdict)
    assert get_args(ProofText) == tuple(ProofVerdict)
    assert get_type_hints(gp.Proof)["verdict"] == ProofText
