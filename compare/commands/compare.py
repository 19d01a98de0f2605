"""`gradparity compare`: the main job."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Backends, Data, Dtype, Json, Out, Seed


def compare(
    backends: Backends = None,
    dtype: Dtype = "float64",
    seed: Seed = 0,
    data: Data = "auto",
    out: Out = Path("gradparity-results"),
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate",
            help="Run each plug-in in a process of its own: one that fails "
            "costs only its own rows.",
        ),
    ] = False,
    time_limit: Annotated[
        float, typer.Option(min=1.0, help="Seconds for each call of an isolated plug-in.")
    ] = 120.0,
    json_file: Json = None,
) -> None:
    """Compare the gradients of all backends, time them, and train the same network with each.

    Exits with 0 where gradients agree, 1 where they differ, 3 where that cannot be told, and
    4 where the work failed.
    """
    from gradparity.compare import report
    from gradparity.compare.main_job import run_main_job
    from gradparity.models.progress import announced

    from .failures import EXIT_CODES
    from .files import check_file, check_folder, write_json
    from .tables import make_console, print_table, print_text
    from .terminal import printable

    check_folder(out)
    check_file(json_file)
    with announced("compare") as announce:
        job = run_main_job(
            names(backends),
            dtype=dtype,
            seed=seed,
            data=data,
            isolate=isolate,
            time_limit=time_limit,
            progress=announce,
        )
    # Files first: a report that cannot be printed loses nothing.
    write_json(json_file, job.to_dict())
    page = report.write_report(job, out)
    console = make_console(json_file)
    console.print(f"Data: {job.environment['data']}")
    for reason in job.left_out.values():
        print_text(console, f"Left out: {printable(reason)}")
    for title, header, rows in (
        ("Agreement", report.AGREEMENT_HEADER, report.agreement_rows(job)),
        ("Exactness", report.EXACTNESS_HEADER, report.exactness_rows(job)),
        ("Cost of one gradient, 784-50-10, batch 100", report.COST_HEADER, report.cost_rows(job)),
        ("Training", report.TRAINING_HEADER, report.training_rows(job)),
    ):
        if rows:
            print_table(console, title, header, rows)
        elif title == "Agreement":
            console.print(title)  # one engine alone differs from nobody
        if title == "Agreement":
            for line in report.agreement_lines(job):
                print_text(console, printable(line))
    console.print(
        f"Verdict: {job.verdict}. Plots, tables and JSON are in {out}: open {page}", soft_wrap=True
    )
    raise typer.Exit(EXIT_CODES[job.verdict])


def names(option: str | None) -> list[str] | None:
    """Return the names in a comma-separated option, None where it was not given."""
    if option is None:
        return None
    return [name.strip() for name in option.split(",") if name.strip()]
