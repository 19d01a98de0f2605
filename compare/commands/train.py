"""`gradparity train`: train the two-layer net on the digits with one backend."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Data, Dtype, Json, Seed


def train(
    backend: Annotated[str, typer.Option(help="Backend that differentiates the loss.")],
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the digits; 17 by default.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps, in place of epochs.")] = None,
    hidden_size: Annotated[int, typer.Option(min=1, help="Units of the hidden layer.")] = 50,
    weight_init_std: Annotated[
        float, typer.Option(help="Standard deviation of the initial weights.")
    ] = 0.01,
    batch_size: Annotated[int, typer.Option(min=1, help="Digits in a batch.")] = 100,
    learning_rate: Annotated[float, typer.Option(help="Step of gradient descent.")] = 0.1,
    dtype: Dtype = "float32",
    device: Annotated[
        str | None, typer.Option(help="Where to compute, as `gradparity backends` lists it.")
    ] = None,
    seed: Seed = 0,
    data: Data = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option(help="File that keeps the state after each epoch.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew, though the checkpoint has gone on.")
    ] = False,
    json_file: Json = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train the two-layer net (784-50-10) on handwritten digits by gradient descent."""
    from gradparity.backends import get_backend
    from gradparity.compare.environment import describe_environment
    from gradparity.models import Diverged, TwoLayerNet, load_mnist
    from gradparity.models import train as train_model

    from .files import check_file, write_json
    from .tables import make_console

    check_file(json_file)
    if epochs is None and steps is None:
        epochs = 17
    engine = get_backend(backend, dtype=dtype, device=device)
    digits = load_mnist(data)
    console = make_console(json_file)
    console.print(digits.source)
    failure = None
    try:
        run = train_model(
            TwoLayerNet(784, hidden_size, 10, weight_init_std),
            digits,
            engine,
            epochs=epochs,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            progress=not quiet,
            checkpoint=checkpoint,
            resume=resume,
            overwrite=overwrite,
        )
    except Diverged as error:  # what was learned so far is still reported
        run, failure = error.run, error
    result = {
        "backend": engine.name,
        "dtype": engine.dtype,
        "data": digits.source,
        "steps": len(run.losses),
        "losses": run.losses,
        "train_accuracy": run.train_accuracy,
        "test_accuracy": run.test_accuracy,
        "seconds": run.seconds,
        "environment": describe_environment(device=engine.device, seed=seed),
    }
    write_json(json_file, result)
    if len(run.losses):
        console.print(
            f"{engine.name}, {engine.dtype}: {len(run.losses):,} steps in {run.seconds:.1f} s, "
            f"loss {run.losses[0]:.4f} → {run.losses[-1]:.4f}"
        )
    if len(run.test_accuracy):
        console.print(
            f"accuracy {run.train_accuracy[-1]:.1%} on training digits, "
            f"{run.test_accuracy[-1]:.1%} on test digits"
        )
    if failure is not None:
        raise failure
