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
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from gradparity.compare.conformance.conformance import check_conformance
    from gradparity.compare.environment import describe_environment

    from .files import check_file, write_json

    check_file(json_file)
    console = Console()
    with console.status(f"backend {name}") as status:
        report = check_conformance(
            name,
            isolate=isolate,
            time_limit=time_limit,
            on_result=lambda result: status.update(f"backend {name}: {result.law}"),
        )
    results = {(result.law, result.dtype): result for result in report.results}
    laws = tuple(dict.fromkeys(result.law for result in report.results))
    dtypes = tuple(dict.fromkeys(result.dtype for result in report.results))
    table = Table("law", *dtypes, title=f"backend {name}, scenarios kept")
    for law in laws:
        table.add_row(law, *(_cell(results.get((law, dtype))) for dtype in dtypes))
    console.print(table)
    for result in report.results:
        for breach in result.broken[:SHOWN_BREACHES]:
            console.print(
                f"[red]{result.law}[/] ({result.dtype}), {breach.scenario}: {escape(breach.reason)}"
            )
        hidden = len(result.broken) - SHOWN_BREACHES
        if hidden > 0:
            console.print(f"  and {hidden} more scenarios of this law")
    kept = sum(result.passed for result in report.results)
    console.print(f"{kept} of {len(report.results)} laws hold")
    write_json(json_file, report.to_dict() | {"environment": describe_environment(isolate=isolate)})
    raise typer.Exit(0 if report.passed else 1)


def _cell(result: "LawResult | None") -> str:
    if result is None:
        return ""
    total = len(result.kept) + len(result.broken) + len(result.not_run)
    if result.passed:
        return f"[green]pass[/] {len(result.kept)}/{total}"
    if result.broken:
        return f"[red]FAIL[/] {len(result.kept)}/{total}"
    return f"[yellow]not run[/] 0/{total}"
