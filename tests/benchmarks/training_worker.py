"""Train with one engine in a process of its own, once for every line of standard input.

python tests/benchmarks/training_worker.py MODULE LOOP
"""

import importlib
import sys
import time

import numpy as np
from training_task import EPOCHS, load_task
from worker_process import answer_questions

from gradparity.models import TrainingRun


def main() -> None:
    module, name = sys.argv[1:]
    task = load_task()
    train = importlib.import_module(module).LOOPS[name](task)

    def answer(_: None) -> dict[str, float]:
        started = time.perf_counter()
        result = train()
        seconds = time.perf_counter() - started
        if isinstance(result, TrainingRun):
            # Its data checks and accuracies are outside the clocks of the other loops too.
            result, seconds = result.params, float(result.epoch_seconds.sum())
        params = {name: np.asarray(leaf) for name, leaf in result.items()}
        return {"seconds": seconds / EPOCHS, "accuracy": task.accuracy(params)}

    answer_questions(answer)


if __name__ == "__main__":
    main()
