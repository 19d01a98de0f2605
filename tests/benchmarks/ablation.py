"""Move each threshold of the judge by a factor, and see which test notices.

A number that no test misses, however far it is moved, decides nothing and should go; each is moved
by two first, and further where that is within what it leaves open.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rows import Row

from gradparity.compare.checking import thresholds

TESTS = (
    "test_check.py",
    "test_honest_verdicts.py",
    "test_fault_patterns.py",
    "test_derivative_maps.py",
    "test_awkward_points.py",
    "test_agreement.py",
    "test_judged_programs.py",
)
FACTORS = (2.0, 0.5, 64.0, 1 / 64)


def rows() -> Iterator[Row]:
    for name in sorted(vars(thresholds)):
        if not isinstance(getattr(thresholds, name), int | float) or not name.isupper():
            continue
        noticed = next(filter(None, (_noticed_by(name, factor) for factor in FACTORS)), "")
        note = noticed or "nobody notices"
        yield Row(f"ablation: {name}", float(bool(noticed)), 0, 1, "1", bool(noticed), note)


def _noticed_by(name: str, factor: float) -> str:
    """Return the factor and the first test that fails, "" if none does."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", "import pytest, sys; sys.path.pop(0); pytest.console_main()"]
    arguments = ["-x", "-q", "-p", "ablated", "-p", "no:cacheprovider", "-n", "0"]
    environment = os.environ | {
        "GRADPARITY_ABLATED": f"{name}*{factor!r}",
        "PYTHONPATH": str(here),
    }
    run = subprocess.run(
        [*command, *arguments, *(str(here.parent / test) for test in TESTS)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=here.parent.parent,
        check=False,
    )
    failure = re.search(r"^(?:FAILED|ERROR) \S*?::(\S+)", run.stdout, re.MULTILINE)
    if run.returncode == 0:
        return ""
    return f"times {factor:g}: {failure[1] if failure else run.stdout.strip()[-80:]}"
