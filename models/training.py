"""Train a classifier by stochastic gradient descent, the same way on every backend."""

import os
from pathlib import Path

from gradparity.backends import Backend, get_backend
from gradparity.backends.errors import InvalidSetting

from .checkpoint import Checkpoint, describe_settings, fingerprint
from .checks import (
    Model,
    check_count,
    check_learning_rate,
    check_model,
    check_seed,
    checked_samples,
    label_rows,
)
from .mnist import Dataset
from .progress import ReportProgress, reporting
from .training_loop import TrainingLoop
from .training_run import TrainingRun


def train(
    model: Model,
    dataset: Dataset,
    backend: str | Backend,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 100,
    learning_rate: float = 0.1,
    seed: int = 0,
    progress: bool | ReportProgress = False,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainingRun:
    """Train by stochastic gradient descent: params - learning_rate * gradient, batch by batch.

    Initial weights and batches follow from the seed alone: they are the same on every backend.
    Each epoch is a random permutation of the samples; those that fill no last batch sit out.

    backend: a backend, or the name of one for float64
    epochs, steps: how long, one of the two; a resumed training counts from its very beginning
    progress: True for a bar on standard error, or called with (steps done, steps in all, loss)
    checkpoint: a file written after every epoch; with resume the training continues from it, and
        ends with the same parameters, bit for bit, as one that was never interrupted
    overwrite: whether the checkpoint may be replaced although it holds more than one epoch, or is
        no checkpoint; without it, neither is lost
    raises: InvalidSetting, InvalidData, ShapeMismatch before the first step; Diverged, whose `run`
        holds the steps before it that left finite parameters; the checkpoint keeps the last epoch

    >>> net, digits = gp.TwoLayerNet(), gp.load_mnist("embedded")
    >>> run = gp.train(net, digits, "numerical", steps=2)
    >>> run.losses.shape, run.params["W1"].shape
    ((2,), (784, 50))
    """
    backend = get_backend(backend) if isinstance(backend, str) else backend
    check_model(model)
    check_count("batch_size", batch_size)
    check_learning_rate(learning_rate)
    check_seed(seed)
    params = model.init(seed)
    training, test = checked_samples(model, params, dataset, backend.dtype, batch_size)
    loop = TrainingLoop(
        backend=backend,
        model=model,
        # Copies that are still under way would count as training.
        training=backend.wait(backend.asarray((training.x, training.t))),
        targets=backend.wait(backend.asarray(label_rows(model, params, training))),
        test=backend.wait(backend.asarray((test.x, test.t))),
        steps=_total_steps(epochs, steps, len(training.x) // batch_size),
        batch_size=batch_size,
        learning_rate=float(learning_rate),
        seed=seed,
    )
    run = TrainingRun(
        backend=backend.name,
        dtype=backend.dtype,
        params=backend.to_numpy(backend.asarray(params)),
    )
    store = None
    if checkpoint is not None:
        settings = describe_settings(
            model,
            backend,
            batch_size=int(batch_size),
            learning_rate=loop.learning_rate,
            seed=int(seed),
            dataset=fingerprint(training.x, training.t, test.x, test.t),
        )
        store = Checkpoint(Path(checkpoint), settings)
    if resume:
        run = _resume(store, run, loop.steps)
    elif store is not None and not overwrite:
        store.refuse_to_lose(min(loop.steps, len(training.x) // batch_size))
    with reporting(progress, f"{type(model).__name__} on {backend.name}") as report:
        while run.steps < loop.steps:
            run = loop.epoch(run, report)
            if store is not None:
                store.save(run)
    return run


def _total_steps(epochs: int | None, steps: int | None, steps_per_epoch: int) -> int:
    if (epochs is None) == (steps is None):
        raise InvalidSetting(
            f"got epochs {epochs} and steps {steps}, expected one of the two, such as epochs=1"
        )
    if epochs is None:
        check_count("steps", steps)
        return int(steps or 0)
    check_count("epochs", epochs)
    return epochs * steps_per_epoch


def _resume(store: Checkpoint | None, fresh: TrainingRun, steps: int) -> TrainingRun:
    if store is None:
        raise InvalidSetting("got resume without a checkpoint, expected the file to resume from")
    run = store.load(fresh)
    if run.steps > steps:
        raise InvalidSetting(
            f"checkpoint {store.path} holds {run.steps} steps, expected at most the {steps} "
            "asked for: ask for more steps or epochs"
        )
    return run
