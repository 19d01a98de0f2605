"""The loop of stochastic gradient descent, through `Backend.scan` so that JAX may fuse it."""

import functools
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradparity.backends import Backend
from gradparity.backends.base import Operator
from gradparity.backends.errors import Diverged
from gradparity.backends.pytrees import Array, PyTree, flatten

from .checks import Model
from .progress import ReportProgress
from .training_run import TrainingRun

# Between two looks at the losses, where a loop costs the same wherever it is cut.
BLOCK_SECONDS = 0.25
# A fused loop is cut only to report: every new length would compile anew.
REPORTS_PER_EPOCH = 20


def sgd_step(model: Model, backend: Backend, learning_rate: float) -> Operator:
    """Return `(params, indices, x, t) -> (params, loss)`, one update from the samples at indices.

    It may take the memory of params, and is not for two threads at once.
    """
    descent, rows = backend.descent(model.loss, learning_rate), RowReader(backend.xp)

    def step(params: PyTree, indices: Array, x: Array, t: Array) -> tuple[PyTree, Array]:
        stepped: tuple[PyTree, Array] = descent(
            params, rows("x", x, indices), rows("t", t, indices)
        )
        return stepped

    return step


shared_step = functools.lru_cache(maxsize=32)(sgd_step)
"""The same step for equal arguments, which JAX then has compiled already."""


class RowReader:
    """Reads rows of arrays at indices, all of which are known to be rows.

    PyTorch reads into the memory of the last rows of that name, which is still in a cache of the
    processor. xp.take would look for indices out of range, one twentieth of an epoch in JAX and in
    PyTorch.
    """

    def __init__(self, xp: Any) -> None:
        self._select = getattr(xp, "index_select", None)
        self._rows: dict[str, Array] = {}

    def __call__(self, name: str, x: Array, indices: Array) -> Array:
        if self._select is None:
            return x[indices]
        rows = self._rows.get(name)
        if rows is not None and rows.shape[0] == indices.shape[0]:
            return self._select(x, 0, indices, out=rows)
        rows = self._rows[name] = self._select(x, 0, indices)
        return rows


@functools.lru_cache(maxsize=32)
def compiled_accuracy(model: Model, backend: Backend) -> Operator:
    """Return the model's accuracy compiled, once for equal arguments."""
    return backend.compile(model.accuracy)


def epoch_batches(seed: int, epoch: int, samples: int, batch_size: int) -> NDArray[np.int32]:
    """Return the batches of an epoch as indices of samples, shape (batches, batch_size).

    Epoch n reads a stream of its own from the one generator of the seed, so that it can be drawn
    again at any time; the start of that generator is left to the initial weights.
    """
    generator = np.random.Generator(np.random.PCG64(seed).jumped(epoch + 1))
    batches = samples // batch_size
    order = generator.permutation(samples)[: batches * batch_size]
    return order.reshape(batches, batch_size).astype(np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingLoop:
    """What stays the same throughout a training, the samples on the device among it.

    targets: the training labels, as the steps take them

    Every method leads from a run to a longer run, through nothing but that run: one that was read
    from a file and one that was never interrupted continue alike.
    """

    backend: Backend
    model: Model
    training: tuple[Array, Array]
    targets: Array
    test: tuple[Array, Array]
    steps: int
    batch_size: int
    learning_rate: float
    seed: int

    @functools.cached_property
    def _step(self) -> Operator:
        make = shared_step if self.backend.fused_scan else sgd_step
        return make(self.model, self.backend, self.learning_rate)

    def epoch(self, run: TrainingRun, report: ReportProgress | None) -> TrainingRun:
        """Continue to the end of the epoch, or to the last step, and measure the accuracy."""
        samples = self.training[0].shape[0]
        epoch, done = divmod(run.steps, samples // self.batch_size)
        run = run.first_epochs(epoch)
        batches = epoch_batches(self.seed, epoch, samples, self.batch_size)[done:]
        batches = batches[: self.steps - run.steps]
        length = self._first_block(len(batches), reported=report is not None)
        epoch_seconds = 0.0
        while len(batches):
            earlier = run.seconds
            run = self._block(run, batches[:length])
            batches = batches[length:]
            epoch_seconds += run.seconds - earlier
            length = self._next_block(length, run.seconds - earlier)
            if report is not None:
                report(run.steps, self.steps, float(run.losses[-1]))
        started = time.perf_counter()
        train_accuracy = self._accuracy(run.params, *self.training)
        test_accuracy = self._accuracy(run.params, *self.test)
        seconds = time.perf_counter() - started
        return run.after_epoch(train_accuracy, test_accuracy, epoch_seconds, seconds)

    def _first_block(self, steps: int, *, reported: bool) -> int:
        if not self.backend.fused_scan:
            return 1
        return math.ceil(steps / REPORTS_PER_EPOCH) if reported else steps

    def _next_block(self, length: int, seconds: float) -> int:
        if self.backend.fused_scan:
            return length
        return max(1, min(10 * length, int(length * BLOCK_SECONDS / seconds)))

    def _block(self, run: TrainingRun, batches: NDArray[np.int32]) -> TrainingRun:
        """Take one step for each batch; raises: Diverged."""
        started = time.perf_counter()
        native = self.backend.asarray((run.params, batches))
        # What overflows is found below, by its step.
        with np.errstate(all="ignore"):
            scanned = self.backend.scan(self._step, *native, self.training[0], self.targets)
            params, losses = self.backend.to_numpy(scanned)
        if np.isfinite(losses).all() and _all_finite(params):
            return run.after_steps(params, losses, time.perf_counter() - started)
        raise self._divergence(run, batches, losses)

    def _divergence(
        self, run: TrainingRun, batches: NDArray[np.int32], losses: NDArray[np.floating]
    ) -> Diverged:
        """Name the step of a block at which a loss, or its update, stopped being finite."""
        finite = np.isfinite(losses)
        spoiled = bool(finite.all())  # by the last update of the block
        good = len(losses) - 1 if spoiled else int(np.argmin(finite))
        step = run.steps + good + 1
        try:
            kept = self._block(run, batches[:good]) if good else run
        except Diverged as error:
            kept = error.run
        what = f"the update of step {step} gave parameters that are not finite"
        if not spoiled:
            what = f"the loss of step {step} is {losses[good]}"
        if step == 1 and not spoiled:
            remedy = (
                "before any update: the learning rate is not to blame, look for a logarithm or a "
                "division in the model's loss"
            )
        else:
            remedy = (
                f"the learning rate, {self.learning_rate:g}, is probably too large: try "
                f"{self.learning_rate / 10:g}"
            )
        return Diverged(
            f"{what}, expected a finite number; {remedy}. What was learned in {kept.steps} steps "
            "is in this error's run",
            kept,
        )

    def _accuracy(self, params: PyTree, x: Array, t: Array) -> float:
        accuracy = compiled_accuracy(self.model, self.backend)
        share = float(self.backend.to_numpy(accuracy(self.backend.asarray(params), x, t)))
        samples: int = x.shape[0]
        return round(share * samples) / samples  # the same number from float32 and float64


def _all_finite(tree: PyTree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in flatten(tree)[0])
