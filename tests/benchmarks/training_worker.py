"""Train with one engine in a process of its own, once for every line of standard input.

python tests/benchmarks/training_worker.py MODULE LOOP
"""

import importlib
import json
import sys
import time

import numpy as np
from training_task import EPOCHS, load_task

from gradparity.models import TrainingRun


def main() -> None:
    module, name = sys.argv[1:]
    task = load_task()
    train = importlib.import_module(module).LOOPS[name](task)
    for _ in sys.stdin:
        started = time.perf_counter()
        result = train()
        seconds = time.perf_counter() - started
        if isinstance(result, TrainingRun):
            # Its data checks and accuracies are outside the clocks of the other loops too.
            result, seconds = result.params, float(result.epoch_seconds.sum())
        params = {name: np.asarray(leaf) for name, leaf in result.items()}
        answer = {"seconds": seconds / EPOCHS, "accuracy": task.accuracy(params)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
