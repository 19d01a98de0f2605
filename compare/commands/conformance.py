"""`gradparity conformance NAME`: tell whether a backend keeps every law of the contract."""

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json

if TYPE_CHECKING:
    from gradparity.compare.conformance.conformance import LawResult

SHOWN_BREACHES = 3  # of each law; the JSON has them all


def conformance(
    name: Annotated[str, typer.Argument(help="A backend, as `gradparity backends` lists it.")],
    isolate: Annotated[
        bool,
        typer.Option(help="Run in another process: a crash or a hang costs its own law only."),
    ] = False,
    time_limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds for one law on one scenario, with --isolate.")
    ] = 60.0,
    json_file: Json = None,
) -> None:
    """Run every law of the backend contract on every scenario, and show which ones hold.

    Exit code 0: all hold; 1: some do not.
    """
    from rich.table import Table
    from rich.text import Text

    from gradparity.compare.conformance.conformance import check_conformance
    from gradparity.compare.environment import describe_environment
    from gradparity.models.progress import announced

    from .files import check_file, write_json
    from .tables import make_console
    from .terminal import printable

    check_file(json_file)
    with announced(f"backend {name}") as announce:
        report = check_conformance(
            name,
            isolate=isolate,
            time_limit=time_limit,
            on_result=lambda result: announce(result.law, None),
        )
    write_json(json_file, report.to_dict() | {"environment": describe_environment(isolate=isolate)})
    console = make_console(json_file)
    results = {(result.law, result.dtype): result for result in report.results}
    laws = tuple(dict.fromkeys(result.law for result in report.results))
    dtypes = tuple(dict.fromkeys(result.dtype for result in report.results))
    table = Table("law", *dtypes, title=f"backend {name}, scenarios kept")
    for law in laws:
        cells = (_cell(results.get((law, dtype))) for dtype in dtypes)
        table.add_row(law, *(Text.assemble(*cell) for cell in cells))
    console.print(table)
    for result in report.results:
        for breach in result.broken[:SHOWN_BREACHES]:
            place = f" ({result.dtype}), {breach.scenario}: {printable(breach.reason)}"
            console.print(Text.assemble((result.law, "red"), place))
        hidden = len(result.broken) - SHOWN_BREACHES
        if hidden > 0:
            console.print(f"  and {hidden} more scenarios of this law")
    kept = sum(result.passed for result in report.results)
    console.print(f"{kept} of {len(report.results)} laws hold")
    raise typer.Exit(0 if report.passed else 1)


def _cell(result: "LawResult | None") -> tuple[str | tuple[str, str], ...]:
    if result is None:
        return ("",)
    total = len(result.kept) + len(result.broken) + len(result.not_run)
    if result.passed:
        return ("pass", "green"), f" {len(result.kept)}/{total}"
    if result.broken:
        return ("FAIL", "red"), f" {len(result.kept)}/{total}"
    return ("not run", "yellow"), f" 0/{total}"
