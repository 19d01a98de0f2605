"""How long a user waits before anything happens: importing, the command's help, pytest's plugin."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from rows import Row

ROUNDS = 25
HELP = "from gradparity.compare.cli import main; main()"
PYTEST = "import pytest; raise SystemExit(pytest.main(['-q', '-p', 'no:cacheprovider', {}]))"
TEST = "def test_nothing():\n    pass\n"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        test = f"{folder}/test_nothing.py"
        with open(test, "w") as file:
            file.write(TEST)
        commands = {
            "nothing": ["-c", ""],
            "front door": ["-c", "import gradparity"],
            "numpy": ["-c", "import numpy"],
            "help": ["-c", HELP, "--help"],
            "backends": ["-c", "import numpy, gradparity.backends"],
            "pytest": ["-c", PYTEST.format(f"'-p', 'no:gradparity', '{test}'")],
            "plugin": ["-c", PYTEST.format(f"'{test}'")],
        }
        for command in commands.values():
            _seconds(command)
        taken = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                taken[name].append(_seconds(command))
    yield _beyond(taken, "import gradparity beyond Python", "front door", "nothing", 0.15)
    yield _beyond(taken, "pytest with the plugin beyond without", "plugin", "pytest", 0.03)
    yield _row(
        "start-up: gradparity --help, s", taken["help"], 0.3, f"at least {min(taken['help']):.3f} s"
    )
    yield _beyond(taken, "import gradparity.backends beyond NumPy", "backends", "numpy", 0.15)


def _beyond(taken: dict[str, list[float]], what: str, longer: str, base: str, limit: float) -> Row:
    """Return by how much one command takes longer than another, run in turn."""
    beyond = [a - b for a, b in zip(taken[longer], taken[base], strict=True)]
    least = min(taken[longer]) - min(taken[base])
    note = f"between the shortest runs {least:.4f} s, of {min(taken[base]):.3f} s"
    return _row(f"start-up: {what}, s", beyond, limit, note)


def _row(what: str, seconds: list[float], limit: float, note: str) -> Row:
    low, median, high = statistics.quantiles(seconds, n=4)
    return Row(what, median, low, high, f"≤ {limit:g}", median <= limit, note)


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-P", *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
