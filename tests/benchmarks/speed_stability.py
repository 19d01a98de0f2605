"""Whether `measure_speed` says the same of an engine alone, beside others, and once again.

Every measurement has a process of its own, and waits until other processes leave the cores alone.
"""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rows import Row, at_most

from gradparity.compare.speed.machine_load import NEGLIGIBLE_CORES, MachineLoad

ENGINES = ("numerical", "jax", "torch")
DTYPES = ("float32", "float64")
RUNS = 5
TOLERANCE = 0.10
QUIET_SECONDS = 1.0
# Seconds to wait for a quiet machine, and how often to measure again where it did not stay quiet.
PATIENCE = 300.0
ATTEMPTS = 4
MEASURE = """
import json, sys
from gradparity.compare import measure_speed
from gradparity.models import TwoLayerNet, load_mnist

digits, net = load_mnist("embedded"), TwoLayerNet(784, 100, 10)
batch = digits.train_x[:100], digits.train_t[:100]
table = measure_speed(
    net.loss, net.init(0), *batch, backends=sys.argv[2:], dtypes=[sys.argv[1]], time_limit=1.0
)
json.dump(table.to_dict()["rows"], sys.stdout)
"""

RATIOS = (
    (("jax", "gradient"), ("torch", "gradient")),
    (("jax", "gradient"), ("jax", "forward")),
    (("torch", "gradient"), ("torch", "forward")),
    (("jax", "forward"), ("numerical", "forward")),
)

TRAIN = """
import json, sys
from gradparity.backends import get_backend
from gradparity.models import TwoLayerNet, load_mnist, train

digits, net, found = load_mnist("embedded"), TwoLayerNet(784, 100, 10), []
for name in sys.argv[2:]:
    if name == "numerical":  # the arbiter's work before a training: NumPy's threads are awake
        for _ in range(1000):
            net.loss(net.init(0), digits.train_x[:100], digits.train_t[:100])
    else:
        backend = get_backend(name, dtype=sys.argv[1])
        for steps in (600, 600):  # the first training compiles
            seconds = train(net, digits, backend, steps=steps).epoch_seconds.sum()
        found.append([name, seconds])
json.dump(found, sys.stdout)
"""

Figures = dict[tuple[str, str], float]
"""Median seconds by engine and what it did, "forward" or "gradient"."""


def rows() -> Iterator[Row]:
    for dtype in DTYPES:
        together: list[Figures] = []
        alone: list[Figures] = []
        disturbed = 0
        for _ in range(RUNS):
            figures, noise = measure(dtype, ENGINES)
            together.append(figures)
            disturbed += noise
            alone.append({})
            for engine in ENGINES:
                figures, noise = measure(dtype, [engine])
                alone[-1] |= figures
                disturbed += noise
        note = f"{disturbed} of {RUNS * (1 + len(ENGINES))} measurements disturbed"
        for timed in together[0]:
            ratios = [run[timed] / other[timed] for run, other in zip(together, alone, strict=True)]
            yield level(f"beside others / alone: {' '.join(timed)} {dtype}", ratios, note)
        for upper, lower in RATIOS:
            ratios = [run[upper] / run[lower] for run in together]
            changes = [max(a / b, b / a) for a, b in itertools.pairwise(ratios)]
            what = f"two runs: {' '.join(upper)} / {' '.join(lower)} {dtype}"
            yield at_most(what, changes, 1 + TOLERANCE, note)
    yield from training_rows()


def training_rows() -> Iterator[Row]:
    beside: dict[str, list[float]] = {"jax": [], "torch": []}
    for _ in range(RUNS):
        together = trained(ENGINES)
        for engine, ratios in beside.items():
            ratios.append(together[engine] / trained([engine])[engine])
    for engine, ratios in beside.items():
        yield level(f"training after others / alone: {engine} float32", ratios, "600 steps")


def trained(engines: Sequence[str]) -> dict[str, float]:
    wait_for_quiet()
    return dict(run(TRAIN, "float32", engines))


def level(what: str, ratios: Sequence[float], note: str) -> Row:
    """Return a row whose median ratio should be 1, give or take the tolerance."""
    low, median, high = statistics.quantiles(ratios, n=4)
    reached = 1 / (1 + TOLERANCE) <= median <= 1 + TOLERANCE
    return Row(what, median, low, high, f"1 ± {TOLERANCE:.0%}", reached, note)


def measure(dtype: str, engines: Sequence[str]) -> tuple[Figures, bool]:
    """Return the medians, and whether others disturbed even the best of all attempts."""
    for _ in range(ATTEMPTS):
        wait_for_quiet()
        found = run(MEASURE, dtype, engines)
        disturbed = any(row["disturbed"] for row in found)
        if not disturbed:
            break
    figures = {}
    for row in found:
        figures[row["backend"], "forward"] = row["forward"]
        if not row["predicted"]:
            figures[row["backend"], "gradient"] = row["gradient"]
    return figures, disturbed


def run(program: str, dtype: str, engines: Sequence[str]) -> Any:
    """Return what a program finds, as JSON, in a process of its own."""
    command = [sys.executable, "-c", program, dtype, *engines]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def wait_for_quiet() -> None:
    """Return when others have left the cores alone for a second, or after a long time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = MachineLoad.now()
        time.sleep(QUIET_SECONDS)
        if MachineLoad.now().others_since(before) < NEGLIGIBLE_CORES:
            return
