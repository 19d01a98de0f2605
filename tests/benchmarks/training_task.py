"""The training that every engine is given: digits, initial weights and batches."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradparity.models import Dataset, TwoLayerNet, load_mnist
from gradparity.models.training_loop import epoch_batches

EPOCHS, BATCH_SIZE, LEARNING_RATE, SEED = 3, 100, 0.1, 0
NET = TwoLayerNet(784, 100, 10)
FULL_MNIST = Path(__file__).resolve().parents[2].parent / "shared" / "mnist"


@dataclass(frozen=True)
class Task:
    """What a loop trains on: float32 arrays, and the indices of the samples of each batch.

    batches: shape (EPOCHS, steps, BATCH_SIZE), those of gradparity's own training
    """

    digits: Dataset
    one_hot: np.ndarray
    params: dict[str, np.ndarray]
    batches: np.ndarray

    def accuracy(self, params: dict[str, np.ndarray]) -> float:
        """Return the share of test digits that are told right, by NumPy for every engine."""
        in_float64 = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
        return float(NET.accuracy(in_float64, self.digits.test_x, self.digits.test_t))


def source() -> str:
    """Return where the digits come from: the full set beside the repository, else those within."""
    return str(FULL_MNIST) if FULL_MNIST.is_dir() else os.environ.get("GRADPARITY_DATA", "embedded")


def load_task() -> Task:
    digits = load_mnist(source())
    samples = len(digits.train_x)
    return Task(
        digits=digits,
        one_hot=np.eye(10, dtype=np.float32)[digits.train_t],
        params={name: leaf.astype(np.float32) for name, leaf in NET.init(SEED).items()},
        batches=np.stack(
            [epoch_batches(SEED, epoch, samples, BATCH_SIZE) for epoch in range(EPOCHS)]
        ),
    )
