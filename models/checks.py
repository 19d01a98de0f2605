"""Checks on what users hand to training: settings, and every sample before the first step."""

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.errors import (
    GradparityError,
    InvalidData,
    InvalidSetting,
    ShapeMismatch,
)
from gradparity.backends.pytrees import Array, PyTree

from .functions import holds_classes
from .mnist import Dataset

# A row of soft labels in float32 adds up to one within a few rounding errors of its entries.
LABEL_SUM_TOLERANCE = 1e-5
# Samples whose loss tells whether rows serve as well as classes, and roundings of float32.
TRIED, SAME_LOSS = 16, 1e-5


@runtime_checkable
class Model(Protocol):
    """A classifier: an immutable, hashable value; parameters are passed, never held."""

    def init(self, seed: int) -> PyTree:
        """Return parameters, a pytree of float64 NumPy arrays."""

    def predict(self, params: PyTree, x: Array) -> Array:
        """Return scores of shape (N, classes)."""

    def loss(self, params: PyTree, x: Array, t: Array) -> Array:
        """Return the mean loss, a scalar."""

    def accuracy(self, params: PyTree, x: Array, t: Array) -> Array:
        """Return the share of samples predicted right, a scalar."""

    def __hash__(self) -> int:
        """Tell equal models as equal: what is compiled for one serves the other."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs in the dtype of a training, and labels, of one length."""

    x: NDArray[Any]
    t: NDArray[Any]


def check_count(name: str, value: object) -> None:
    """Refuse what is not a whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidSetting(f"got {name} {value!r}, expected a whole number, 1 or more")


def check_seed(value: object) -> None:
    """Refuse what NumPy's generators cannot start from."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise InvalidSetting(f"got seed {value!r}, expected a whole number, 0 or more")


def check_model(model: object) -> None:
    """Refuse what cannot be trained, or cannot be recognised when it comes again."""
    if not isinstance(model, Model):
        raise InvalidSetting(
            f"got model {model!r:.80}, expected a hashable one with init, predict, loss and "
            "accuracy: such as TwoLayerNet(), or a dataclass of yours with frozen=True"
        )


def check_learning_rate(value: object) -> None:
    number = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):  # type: ignore[arg-type, operator]
        raise InvalidSetting(
            f"got learning_rate {value!r}, expected a finite number above zero, such as 0.1"
        )


def checked_samples(
    model: Model, params: PyTree, dataset: Dataset, dtype: str, batch_size: int
) -> tuple[Samples, Samples]:
    """Return the training and the test samples, each known to be fit for the model.

    raises: InvalidData or ShapeMismatch, naming the first sample that is not
    """
    train = _check_split(model, params, "train", dataset.train_x, dataset.train_t, dtype)
    test = _check_split(model, params, "test", dataset.test_x, dataset.test_t, dtype)
    if batch_size > len(train.x):
        raise InvalidData(
            f"got batch_size {batch_size}, expected at most the {len(train.x)} training samples"
        )
    return train, test


def label_rows(model: Model, params: PyTree, samples: Samples) -> NDArray[Any]:
    """Return the labels as one-hot rows where the model takes both alike, else as they are.

    Every step would turn classes into rows again, which takes a tenth of it in PyTorch.
    """
    x, t = samples.x, samples.t
    scores = model.predict(params, x[:1])
    if not holds_classes(scores, t[:1]) or len(t) * scores.shape[-1] > x.size:
        return t
    rows = np.eye(scores.shape[-1], dtype=x.dtype)[t]
    try:
        losses = [float(model.loss(params, x[:TRIED], labels[:TRIED])) for labels in (t, rows)]
    except (ArithmeticError, GradparityError, LookupError, TypeError, ValueError):
        return t  # a loss for classes alone
    return rows if math.isclose(*losses, rel_tol=SAME_LOSS) else t


def _check_split(model: Model, params: PyTree, split: str, x: Any, t: Any, dtype: str) -> Samples:
    x, t = np.asarray(x), np.asarray(t)
    for name, array in ((f"{split}_x", x), (f"{split}_t", t)):
        if array.ndim == 0 or len(array) == 0:
            raise InvalidData(f"{name}: got shape {array.shape}, expected at least one sample")
        if array.dtype.kind not in "iuf":
            raise InvalidData(f"{name}: got dtype {array.dtype}, expected real numbers")
    if len(x) != len(t):
        raise ShapeMismatch(
            f"{split}_t: got {len(t)} labels for the {len(x)} samples of {split}_x, "
            "expected one for each"
        )
    with np.errstate(over="ignore"):
        x = x.astype(dtype, copy=False)
    _refuse_samples(f"{split}_x", ~np.isfinite(x), x, f"finite numbers in {dtype}")
    scores = model.predict(params, x[:1])  # in NumPy, and of one sample: this is for shapes only
    if holds_classes(scores, t[:1]):
        classes = scores.shape[-1]
        _refuse_samples(f"{split}_t", (t < 0) | (t >= classes), t, f"classes 0 to {classes - 1}")
    else:
        sums = t.sum(axis=-1, dtype=np.float64)
        wrong = ~(np.abs(sums - 1) <= LABEL_SUM_TOLERANCE) | (t < 0).any(axis=-1)
        _refuse_samples(f"{split}_t", wrong, t, "rows of shares that add up to 1, such as one-hot")
    return Samples(x, t)


def _refuse_samples(name: str, wrong: NDArray[np.bool_], values: Any, expected: str) -> None:
    if wrong.any():
        first = tuple(map(int, np.argwhere(wrong)[0]))
        place = ", ".join(map(str, first))
        raise InvalidData(
            f"{name}[{place}]: got {values[first]}, expected {expected}; "
            f"{int(wrong.sum())} of {wrong.size} are wrong: correct them or leave them out"
        )
