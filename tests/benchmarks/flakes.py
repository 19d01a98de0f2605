"""Print how often right gradients are called wrong, and wrong ones right, over many seeds.

Each seed draws a network, its batch and the directions of the check anew. Run
`python tests/benchmarks/flakes.py [repetitions]`; the exit code is 1 if there was any such case.
"""

import sys
import time
from collections import Counter
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from gradparity.compare import check_gradient


def loss(params: dict[str, Any], x: Any) -> Any:
    xp = array_namespace(params["W"])
    return xp.mean(xp.tanh(x @ params["W"] + params["b"]) ** 2)


def gradient(params: dict[str, Any], x: Any) -> dict[str, Any]:
    """Return the gradient of the loss, worked out by hand."""
    y = np.tanh(x @ params["W"] + params["b"])
    slope = 2 * y * (1 - y**2) / y.size
    return {"W": x.T @ slope, "b": np.sum(slope, axis=0)}


def verdicts(repetitions: int) -> tuple[Counter[str], Counter[str]]:
    """Return the verdicts on right gradients, and on such with one entry off by a thousandth."""
    right, wrong = Counter[str](), Counter[str]()
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        inputs, outputs = rng.integers(1, 9, size=2)
        params = {"W": rng.normal(size=(inputs, outputs)), "b": rng.normal(size=outputs)}
        x = rng.normal(size=(6, inputs))
        true = gradient(params, x)
        right[check_gradient(loss, params, x, gradient=true, seed=seed).verdict.value] += 1
        true["W"].reshape(-1)[np.argmax(np.abs(true["W"]))] *= 1.001
        wrong[check_gradient(loss, params, x, gradient=true, seed=seed).verdict.value] += 1
    return right, wrong


def main() -> int:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    started = time.perf_counter()
    right, wrong = verdicts(repetitions)
    print(f"{repetitions} seeds in {time.perf_counter() - started:.1f} s")
    print(f"right gradients:                {dict(right)}")
    print(f"one entry off by a thousandth:  {dict(wrong)}")
    return int(right["agree"] < repetitions or wrong["differ"] < repetitions)


if __name__ == "__main__":
    sys.exit(main())
