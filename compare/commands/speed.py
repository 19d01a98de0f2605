"""`gradparity speed`: what a gradient costs with each backend, and how that grows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Backends, Data, Json, Seed

if TYPE_CHECKING:
    from gradparity.backends import Backend
    from gradparity.compare.drawing.drawing import Drawing
    from gradparity.compare.speed.table import SpeedRow

# What a process can be told about its engines' threads: figures hold for these settings.
THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_THREAD_TIMEOUT",
    "MKL_NUM_THREADS",
    "XLA_FLAGS",
)


def speed(
    backends: Backends = None,
    dtypes: Annotated[
        str, typer.Option(help="Floating types, separated by commas.")
    ] = "float32,float64",
    hidden_size: Annotated[
        int, typer.Option(min=1, help="Units of the hidden layer; --sweep has sizes of its own.")
    ] = 50,
    batch_size: Annotated[int, typer.Option(min=1, help="Digits in the batch.")] = 100,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Grow the hidden layer, and fit how the cost grows.")
    ] = False,
    parameters: Annotated[
        str,
        typer.Option(help="With --sweep: about how many parameters the nets have, by commas."),
    ] = "1e2,1e3,1e4,1e5,1e6",
    minimum_time: Annotated[
        float,
        typer.Option(min=0.001, help="Seconds to time each gradient, and each forward pass."),
    ] = 1.0,
    time_limit: Annotated[
        float,
        typer.Option(
            min=0.001,
            help="Seconds for the gradients of each backend, dtype and size: a loop of "
            "differences that would take longer is predicted from its first evaluations.",
        ),
    ] = 10.0,
    data: Data = "auto",
    seed: Seed = 0,
    json_file: Json = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for speed.json and the plots, PNG and SVG; made if needed.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Time one gradient of the two-layer net's loss on digits, with each backend.

    First call, which may compile, apart from those after it; forward passes;
    evaluations of the loss; memory. ~ marks what was predicted, and ! what
    other processes disturbed. --sweep has digits of 7x7 pixels and a hidden
    layer that grows.
    """
    import os
    from dataclasses import replace

    from gradparity.backends import available_backends
    from gradparity.compare.environment import describe_environment
    from gradparity.compare.speed.sweep import Problem, measure_growth, two_layer_problems
    from gradparity.models import TwoLayerNet, load_mnist
    from gradparity.models.progress import announced

    from .files import check_file, check_folder, write_json
    from .terminal import printable, report_stream

    check_file(json_file)
    if out is not None:
        check_folder(out)
    sizes = [_count(size) for size in _listed(parameters)]
    found = available_backends() if backends is None else ()
    left_out = tuple((info.name, info.unavailable) for info in found if info.unavailable)
    installed = tuple(info.name for info in found if not info.unavailable)
    names = installed if backends is None else _listed(backends)
    digits = load_mnist(data)
    if sweep:
        problems = list(two_layer_problems(digits, sizes, batch_size=batch_size, seed=seed))
    else:
        net = TwoLayerNet(hidden_size=hidden_size)
        batch = digits.train_x[:batch_size], digits.train_t[:batch_size]
        problems = [Problem(net.loss, net.init(seed), batch)]
    with announced("speed", quiet=quiet) as announce:
        result = measure_growth(
            problems,
            backends=_with_loops(names),
            dtypes=_listed(dtypes),
            minimum_time=minimum_time,
            time_limit=time_limit,
            progress=announce,
        )
    result = replace(result, left_out=left_out)
    threads = {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ}
    environment = describe_environment(
        data=digits.source,
        batch_size=batch_size,
        seed=seed,
        minimum_time=minimum_time,
        time_limit=time_limit,
        threads=threads,
    )
    record = result.to_dict() | {"environment": environment}
    write_json(json_file, record)
    if out is not None:
        write_json(out / "speed.json", record)
        for drawing in _drawings(result.rows, sweep):
            drawing.save(out)
    typer.echo(printable(result), file=report_stream(json_file))


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name for entry in names.split(",") if (name := entry.strip()))


def _with_loops(names: Sequence[str]) -> "list[str | Backend]":
    """Return the backends, differences also as the plain loop that they are measured against."""
    from gradparity.backends import get_backend

    chosen: list[str | Backend] = []
    for name in names:
        chosen.append(name)
        if name == "numerical":
            chosen.append(get_backend(name, method="loop"))
    return chosen


def _count(text: str) -> int:
    from gradparity.backends.errors import InvalidSetting

    try:
        return int(float(text))
    except ValueError:
        raise InvalidSetting(
            f"--parameters: got {text!r}, expected numbers such as 100 or 1e5, separated by commas"
        ) from None


def _drawings(rows: "Sequence[SpeedRow]", sweep: bool) -> "Iterator[Drawing]":
    from gradparity.compare.drawing.drawing import draw
    from gradparity.compare.drawing.plots import plot_cost, plot_growth

    if not sweep:
        size = (6.4, 1.2 + 0.4 * len(rows))
        yield draw("cost", "Seconds of one gradient by backend", plot_cost, rows, size=size)
        return
    for dtype in dict.fromkeys(row.dtype for row in rows):
        alike = [row for row in rows if row.dtype == dtype]
        for name, quantity, what in (
            ("growth", "gradient", "Seconds"),
            ("ratio", "ratio", "Forward passes"),
        ):
            alt = f"{what} of one gradient in {dtype} against the number of parameters, by backend"
            yield draw(f"{name}-{dtype}", alt, plot_growth, alike, quantity, fit_predicted=True)
