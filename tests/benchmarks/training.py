"""Seconds per epoch of full MNIST: gradparity's training against loops by hand and other tools."""

import contextlib
import statistics
from collections.abc import Iterator

from rows import Row, at_most, without_target
from training_task import load_task
from worker_process import WorkerProcess

ROUNDS = 9
# A first run may be this much slower than the fastest one, for noise and for tracing: compiling in
# JAX takes half as long as an epoch, in torch.compile as long as ten or more.
PAID_BACK = 2.0
# After three epochs, other shuffles of the same digits give up to half a point more or less.
ACCURACY_TOLERANCE = 0.01

# The fastest of these is the measure.
BY_HAND = {
    "jax": ("scan", "loop over a jitted step"),
    "torch": ("eager autograd", "eager autograd, fused loss", "torch.compile"),
}
PEERS = {"jax": ("optax", "keras"), "torch": ("tutorial", "keras")}
OTHERS = ("scikit-learn", "HIPS autograd")
# Derivatives on paper are no competitor of tools that find them: shown, without a target.
ON_PAPER = {"jax": (), "torch": ("backward by hand",)}


class Worker(WorkerProcess):
    """An engine in a process of its own, which trains when it is asked to."""

    def __init__(self, framework: str, name: str) -> None:
        module = "training_others" if name in OTHERS else f"training_{framework}"
        environment = {"KERAS_BACKEND": framework}
        super().__init__("training_worker.py", module, name, environment=environment)
        self.seconds: list[float] = []
        self.first, self.accuracy = self.train()

    def train(self) -> tuple[float, float]:
        """Return the seconds of an epoch, and the accuracy on the test digits at the end."""
        answer = self.ask()
        return answer["seconds"], answer["accuracy"]

    def measure(self) -> None:
        seconds, accuracy = self.train()
        self.seconds.append(seconds)
        if abs(accuracy - self.accuracy) > ACCURACY_TOLERANCE:
            raise RuntimeError(f"{self.name}: accuracy went from {self.accuracy} to {accuracy}")

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def rows(framework: str) -> Iterator[Row]:
    digits = load_task().digits
    data = f"{digits.source}: {len(digits.train_x):,} samples"
    by_hand = BY_HAND[framework]
    names = ("gradparity", *by_hand, *PEERS[framework], *OTHERS, *ON_PAPER[framework])
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = stack.enter_context(Worker(framework, name))
        for number in range(ROUNDS):
            for name in names if number % 2 else reversed(names):
                workers[name].measure()
    ours = workers.pop("gradparity")
    yield _accuracy_row(framework, ours, workers, data)
    # Only a loop that has earned back its compilation by the end of its first run competes.
    first = min(workers[name].first for name in by_hand)
    paid_back = [name for name in by_hand if workers[name].first <= PAID_BACK * first]
    fastest = min(paid_back, key=lambda name: workers[name].median)
    for name, worker in workers.items():
        ratios = [a / b for a, b in zip(ours.seconds, worker.seconds, strict=True)]
        note = (
            f"{ours.median:.3f} s against {worker.median:.3f} s an epoch; "
            f"in a first run {ours.first:.3f} s against {worker.first:.3f} s"
        )
        what = f"training: {framework} against {name}"
        if name == fastest:
            yield at_most(f"{what}, the fastest by hand", ratios, 1.0, note)
        elif name in ON_PAPER[framework] or (name in by_hand and name not in paid_back):
            yield without_target(what, ratios, note)
        else:
            yield at_most(what, ratios, 1.0, note)


def _accuracy_row(framework: str, ours: Worker, workers: dict[str, Worker], data: str) -> Row:
    accuracies = [worker.accuracy for worker in workers.values()]
    low, high = min(accuracies), max(accuracies)
    return Row(
        what=f"training: {framework}, test accuracy after three epochs",
        figure=ours.accuracy,
        low=low,
        high=high,
        target=f"all within {ACCURACY_TOLERANCE:g}",
        reached=all(abs(ours.accuracy - other) <= ACCURACY_TOLERANCE for other in (low, high)),
        note=data,
    )
