"""Measure, take turns or train with some engines in a process of their own, as often as asked.

python tests/benchmarks/speed_worker.py numerical jax torch
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

from worker_process import answer_questions

from gradparity.backends import get_backend
from gradparity.compare import measure_speed
from gradparity.compare.engines.engines import entrants
from gradparity.compare.speed.measuring import prepare
from gradparity.compare.speed.timing_blocks import BlockTimer, TimedCall
from gradparity.models import TwoLayerNet, load_mnist, train

digits, net = load_mnist("embedded"), TwoLayerNet(784, 100, 10)
batch = digits.train_x[:100], digits.train_t[:100]
engines = sys.argv[1:]
STEPS = 600
# Seconds of each call in one turn, a few blocks.
TURN = 0.1


def answer(question: dict[str, str]) -> Any:
    """Return the rows of a measurement, or the seconds of each engine's calls or training."""
    answers = {"measure": measured, "turn": timed, "train": trained}
    return answers[question["what"]](question["dtype"])


def measured(dtype: str) -> list[dict[str, Any]]:
    table = measure_speed(
        net.loss, net.init(0), *batch, backends=engines, dtypes=[dtype], time_limit=0.5
    )
    return table.to_dict()["rows"]


def timed(dtype: str) -> list[dict[str, float]]:
    """Return the median seconds of every engine's calls, in a turn as `measure_speed` has many.

    There is a short turn before it that does not count: this process has slept.
    """
    for seconds in (TURN / 5, TURN):
        timer = BlockTimer(minimum_time=seconds)
        turns = [
            {what: TimedCall(call) for what, call in calls.items()} for calls in prepared(dtype)
        ]
        timings = timer.time(turns)
    return [{what: found.median for what, found in each.items()} for each in timings]


@functools.cache
def prepared(dtype: str) -> list[dict[str, Callable[[], float]]]:
    """Return every engine's calls, ready to be timed; of differences only the forward pass."""
    params = net.init(0)
    found = []
    for engine in entrants(net.loss, params, (), engines, dtype).engines:
        contender = prepare(engine, params, batch, limit=0.5)
        calls = {what: call.call for what, call in contender.calls.items()}
        if engine.backend.name == "numerical":
            del calls["gradient"]
        found.append(calls)
    return found


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
