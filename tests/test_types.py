"""Types: the installed package passes mypy in strict mode, and its users' mistakes are seen."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import gradparity as gp
from gradparity.compare import verdicts
from gradparity.compare.proof.proof import ProofText, ProofVerdict

CONFIGURATION = Path(__file__).parents[1] / "pyproject.toml"


def mypy(directory, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", os.devnull, *arguments],
        cwd=directory, capture_output=True, text=True,
    )  # fmt: skip


def test_the_installed_package_is_typed_strictly(tmp_path):
    run = mypy(tmp_path, "--config-file", str(CONFIGURATION), "-p", "gradparity")
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_misspelt_verdict_is_a_type_error(tmp_path):
    (tmp_path / "verdicts.py").write_text(Path(verdicts.__file__).read_text())
    users = """
from verdicts import Verdict, VerdictText
def said(verdict: VerdictText) -> bool:
    assert verdict in ("agree", "differ") or verdict is Verdict.CANNOT_TELL or verdict != "agree"
    return verdict == "agrees"
"""
    (tmp_path / "users.py").write_text(users)
    run = mypy(tmp_path, "--strict", "users.py")
    assert "users.py:5: error: Non-overlapping equality check" in run.stdout
    assert "Found 1 error" in run.stdout


def test_every_verdict_is_typed_by_its_texts():
    for result in (gp.GradientCheck, gp.LeafCheck, gp.Comparison, gp.TaylorTest):
        assert get_type_hints(result, localns={"Proof": gp.Proof})["verdict"] == gp.VerdictText
    assert get_args(gp.VerdictText) == tuple(gp.Verdict)
    assert get_args(ProofText) == tuple(ProofVerdict)
    assert get_type_hints(gp.Proof)["verdict"] == ProofText
