"""How long a user waits before anything happens: the command's help, and importing the backends."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from rows import Row

ROUNDS = 15
HELP = "from gradparity.compare.cli import main; main()"


def rows() -> Iterator[Row]:
    commands = {
        "nothing": [sys.executable, "-c", ""],
        "numpy": [sys.executable, "-c", "import numpy"],
        "help": [sys.executable, "-c", HELP, "--help"],
        "backends": [sys.executable, "-c", "import numpy, gradparity.backends"],
    }
    for command in commands.values():
        _seconds(command)
    taken = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(_seconds(command))
    beyond = [a - b for a, b in zip(taken["backends"], taken["numpy"], strict=True)]
    note = f"import numpy takes {statistics.median(taken['numpy']):.3f} s"
    yield _row("start-up: gradparity --help, s", taken["help"], 0.3, note)
    yield _row("start-up: import gradparity.backends beyond NumPy, s", beyond, 0.15, note)


def _row(what: str, seconds: list[float], limit: float, note: str) -> Row:
    low, median, high = statistics.quantiles(seconds, n=4)
    return Row(what, median, low, high, f"≤ {limit:g}", median <= limit, note)


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
