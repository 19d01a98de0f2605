"""Switch off each rule of the judge, move each of its numbers, and see which test notices.

What no test misses decides nothing, and should go. GRADPARITY_ABLATE=WORD takes those alone whose
name holds the word.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ablated import NOTHING, RULES
from judge_numbers import numbers
from rows import Row

TESTS_FOLDER = Path(__file__).parents[1]
# The first one has the cases that numbers are needed for: its own are tried with each factor first.
TESTS = (
    "test_thresholds.py",
    "test_stairs.py",
    "test_honest_verdicts.py",
    "test_fault_patterns.py",
    "test_awkward_points.py",
    "test_check.py",
    "test_agreement.py",
    "test_derivative_maps.py",
    "test_rounded_claims.py",
    "test_noisy_functions.py",
    "test_judged_programs.py",
    "test_error_bars.py",
    "test_ports.py",
)
# A number is moved by two where a test notices that, else as far as shows whether it matters.
FACTORS = (2.0, 0.5, 64.0, 1 / 64)

LONGEST = 600


def rows() -> Iterator[Row]:
    word = os.environ.get("GRADPARITY_ABLATE", "")
    everything = [str(TESTS_FOLDER / test) for test in TESTS]
    if not word:  # the tests pass as long as nothing is changed, and each change is one of its own
        noticed = _noticed(NOTHING, everything)
        yield Row("ablation: nothing", float(bool(noticed)), 0, 1, "0", not noticed, noticed)
    for rule in RULES:
        if word in rule:
            yield _row(rule, _noticed(rule, everything))
    for name in numbers():
        if word in name:
            own = [everything[0], "-k", name.rpartition(".")[2]]
            found = (
                _noticed(f"{name}*{factor!r}", tests)
                for tests in (own, everything)
                for factor in FACTORS
            )
            yield _row(name, next(filter(None, found), ""))


def _row(what: str, noticed: str) -> Row:
    print(what, "|", noticed or "nobody notices", flush=True)
    return Row(
        f"ablation: {what}", float(bool(noticed)), 0, 1, "1", bool(noticed), noticed or "nobody"
    )


def _noticed(change: str, tests: list[str]) -> str:
    """Return the first test that fails with a change, "" if none does."""
    command = [sys.executable, "-c", "import pytest, sys; sys.path.pop(0); sys.exit(pytest.main())"]
    arguments = ["-x", "-q", "-p", "ablated", "-p", "no:cacheprovider", "-n", "0"]
    env = {"GRADPARITY_ABLATED": change, "PYTHONPATH": str(TESTS_FOLDER / "benchmarks")}
    try:
        run = subprocess.run(
            [*command, *arguments, *tests],
            capture_output=True,
            text=True,
            env=os.environ | env,
            cwd=TESTS_FOLDER.parent,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{change.partition('*')[2]} takes longer than {LONGEST} s"
    if run.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        return ""
    failure = re.search(r"^(?:FAILED|ERROR) \S*?::(.{,120})", run.stdout, re.MULTILINE)
    if run.returncode != pytest.ExitCode.TESTS_FAILED or failure is None:
        raise RuntimeError(f"{change}: {(run.stdout + run.stderr).strip()[-2000:]}")
    return f"{change.partition('*')[2]} {failure[1]}".strip()
