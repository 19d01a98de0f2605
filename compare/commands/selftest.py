"""`gradparity selftest`: planted faults before gradparity and before other checkers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, Seed

if TYPE_CHECKING:
    from gradparity.compare.low_precision.selftest import LowPrecisionSelfTest


def selftest(
    repeats: Annotated[int, typer.Option(min=1, help="Points at which to try each function.")] = 3,
    functions: Annotated[
        str | None,
        typer.Option(help="Functions by name, separated by commas; all by default."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes that share the points.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="bfloat16, float16 or float32: faults of every size in gradients of that dtype, "
            "beside the usual tests of kernels."
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(help="With --dtype: folder for a plot of fault size against share found."),
    ] = None,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Plant faults into right gradients, and count what each checker finds.

    Exits with 0 where gradparity finds 99 % of them and raises no false alarm, else with 1. With
    --dtype, with 0 where no right gradient is called wrong and every fault of the whole size is
    found.
    """
    if dtype is not None:
        _in_low_precision(dtype, repeats, functions, plots, seed, json_file)
        return
    if plots is not None:
        raise typer.BadParameter("a plot is drawn with --dtype", param_hint="--plots")
    from gradparity.compare.environment import describe_environment
    from gradparity.compare.selftest.selftest import run_selftest
    from gradparity.models.progress import announced

    from .files import check_file, write_json
    from .tables import make_console, print_table

    check_file(json_file)
    with announced("selftest") as announce:
        result = run_selftest(
            repeats=repeats,
            seed=seed,
            functions=None if functions is None else [n.strip() for n in functions.split(",")],
            jobs=jobs,
            progress=lambda done, total: announce(f"point {done} of {total}", done / total),
        )
    write_json(json_file, result.to_dict() | {"environment": describe_environment(seed=seed)})
    console = make_console(json_file)
    print_table(
        console,
        "Planted faults and right gradients",
        (
            "checker",
            "found",
            "located",
            "false alarms",
            "in float32",
            "evaluations",
            "seconds",
        ),
        [
            (
                score.checker,
                f"{score.found} of {score.planted}",
                "" if score.located is None else f"{score.located} of {score.planted}",
                f"{score.false_alarms} of {score.right}",
                f"{score.false_alarms_float32} of {score.right_float32}",
                f"{score.evaluations:g}",
                f"{score.seconds:.3g}",
            )
            for score in result.scores
        ],
    )
    checkers = [score.checker for score in result.scores]
    print_table(
        console,
        "Found, by fault",
        ("fault", *checkers),
        [
            (
                fault,
                *(f"{row[name][0]} of {row[name][1]}" if name in row else "" for name in checkers),
            )
            for fault, row in result.by_fault().items()
        ],
    )
    for name in result.left_out:
        console.print(f"Left out: {name}, whose framework is not installed")
    raise typer.Exit(0 if result.passed else 1)


def _in_low_precision(
    dtype: str,
    repeats: int,
    functions: str | None,
    plots: Path | None,
    seed: int,
    json_file: Path | None,
) -> None:
    from gradparity.backends.rounding import LOW_PRECISION
    from gradparity.compare.environment import describe_environment
    from gradparity.compare.low_precision.selftest import run_low_precision_selftest
    from gradparity.models.progress import announced

    from .files import check_file, write_json

    if dtype not in LOW_PRECISION:
        raise typer.BadParameter(
            f"got {dtype!r}, expected one of {', '.join(LOW_PRECISION)}", param_hint="--dtype"
        )
    check_file(json_file)
    with announced("selftest") as announce:
        result = run_low_precision_selftest(
            dtype,
            repeats=repeats,
            seed=seed,
            functions=None if functions is None else [n.strip() for n in functions.split(",")],
            progress=lambda done, total: announce(f"point {done} of {total}", done / total),
        )
    write_json(json_file, result.to_dict() | {"environment": describe_environment(seed=seed)})
    if plots is not None:
        _draw_found(result, plots)
    _print_found(result, json_file)
    raise typer.Exit(0 if result.passed else 1)


def _draw_found(result: "LowPrecisionSelfTest", folder: Path) -> None:
    from gradparity.compare.drawing.drawing import draw
    from gradparity.compare.low_precision.selftest_plot import plot_found

    folder.mkdir(parents=True, exist_ok=True)
    alt = f"Share of faults found in {result.dtype}, by their size, for each checker"
    drawing = draw(f"found-{result.dtype}", alt, plot_found, result, size=(5.6, 4.6))
    drawing.save(folder)


def _print_found(result: "LowPrecisionSelfTest", json_file: Path | None) -> None:
    from gradparity.compare.low_precision.selftest import CHECKERS, FAULTS

    from .tables import make_console, print_table

    def size(checker: str, fault: str | None) -> str:
        reliable = result.reliable_from(checker, fault)
        return "never" if reliable is None else f"{100 * reliable:.3g} %"

    def alarms(checker: str) -> str:
        wrong, right = result.false_alarms(checker)
        return f"{wrong} of {right}"

    print_table(
        make_console(json_file),
        f"Size from which on 99 % of faults in {result.dtype} are found",
        ("checker", *FAULTS, "right called wrong"),
        [(name, *(size(name, fault) for fault in FAULTS), alarms(name)) for name in CHECKERS],
    )
