"""What a training has learned so far, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.displayed import Displayed
from gradparity.backends.pytrees import PyTree


def _empty() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingRun(Displayed):
    """The state of a training after some steps.

    params: NumPy arrays in the backend's dtype
    losses: of each step's batch, before its update; shape (steps,)
    train_accuracy, test_accuracy: over all samples, at the end of each epoch, and of the last one
        also where the run stopped within it
    epoch_seconds: wall time of the steps of each epoch, compilation in the first one included
    seconds: wall time of everything, evaluation too; summed over sessions where it was resumed
    """

    backend: str
    dtype: str
    params: PyTree
    losses: NDArray[np.float64] = field(default_factory=_empty)
    train_accuracy: NDArray[np.float64] = field(default_factory=_empty)
    test_accuracy: NDArray[np.float64] = field(default_factory=_empty)
    epoch_seconds: NDArray[np.float64] = field(default_factory=_empty)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        text = f"{self.backend} in {self.dtype}: {self.steps:,} steps in {self.seconds:.3g} s"
        if self.steps:
            text += f", last loss {self.losses[-1]:.4f}"
        for name, share in (("training", self.train_accuracy), ("test", self.test_accuracy)):
            text += f", {share[-1]:.1%} of {name} digits" if len(share) else ""
        return [text]

    def plotted(self) -> tuple[str, dict[str, Sequence[float]]]:
        """Return the losses, no more of them than a small plot can show."""
        every = max(self.steps // 300, 1)
        return "loss of each step", {"loss": [float(loss) for loss in self.losses[::every]]}

    @property
    def steps(self) -> int:
        return len(self.losses)

    def after_steps(self, params: PyTree, losses: NDArray[np.float64], seconds: float) -> Self:
        return replace(
            self,
            params=params,
            losses=np.concatenate([self.losses, losses]),
            seconds=self.seconds + seconds,
        )

    def after_epoch(
        self, train_accuracy: float, test_accuracy: float, epoch_seconds: float, seconds: float
    ) -> Self:
        return replace(
            self,
            train_accuracy=np.append(self.train_accuracy, train_accuracy),
            test_accuracy=np.append(self.test_accuracy, test_accuracy),
            epoch_seconds=np.append(self.epoch_seconds, epoch_seconds),
            seconds=self.seconds + seconds,
        )

    def first_epochs(self, epochs: int) -> Self:
        """Forget what was measured after that many epochs, to measure it anew."""
        return replace(
            self,
            train_accuracy=self.train_accuracy[:epochs],
            test_accuracy=self.test_accuracy[:epochs],
            epoch_seconds=self.epoch_seconds[:epochs],
        )
