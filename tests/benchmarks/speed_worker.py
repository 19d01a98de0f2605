"""Measure or train with some engines in a process of their own, as often as asked.

python tests/benchmarks/speed_worker.py numerical jax torch
"""

import sys
from typing import Any

from worker_process import answer_questions

from gradparity.backends import get_backend
from gradparity.compare import measure_speed
from gradparity.models import TwoLayerNet, load_mnist, train

digits, net = load_mnist("embedded"), TwoLayerNet(784, 100, 10)
batch = digits.train_x[:100], digits.train_t[:100]
engines = sys.argv[1:]
STEPS = 600


def answer(question: dict[str, str]) -> Any:
    """Return the rows of a measurement, or the seconds of each engine's training."""
    return {"measure": measured, "train": trained}[question["what"]](question["dtype"])


def measured(dtype: str) -> list[dict[str, Any]]:
    table = measure_speed(
        net.loss, net.init(0), *batch, backends=engines, dtypes=[dtype], time_limit=0.5
    )
    return table.to_dict()["rows"]


def trained(dtype: str) -> dict[str, float]:
    found = {}
    for name in engines:
        if name == "numerical":  # the arbiter's work before a training: NumPy's threads are awake
            for _ in range(300):
                net.loss(net.init(0), *batch)
        else:
            run = train(net, digits, get_backend(name, dtype=dtype), steps=STEPS)
            found[name] = float(run.epoch_seconds.sum())
    return found


if __name__ == "__main__":
    answer_questions(answer)
