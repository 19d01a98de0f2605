"""`gradparity selftest`: planted faults before gradparity and before other checkers."""

from typing import Annotated

import typer

from .options import Json, Seed


def selftest(
    repeats: Annotated[int, typer.Option(min=1, help="Points at which to try each function.")] = 3,
    functions: Annotated[
        str | None,
        typer.Option(help="Functions by name, separated by commas; all by default."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes that share the points.")] = None,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Plant faults into right gradients, and count what each checker finds.

    Exits with 0 where gradparity finds 99 % of them and raises no false alarm, else with 1.
    """
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
