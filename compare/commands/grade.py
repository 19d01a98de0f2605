"""`gradparity grade FILE...`: judge the backward passes that somebody wrote."""

from pathlib import Path
from typing import Annotated

import typer

from .failures import WORK_FAILED
from .options import Json, Seed

WRONG = 1


def grade(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Python files that `gradparity exercises` began."),
    ],
    time_limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds for each exercise to run.")
    ] = 10.0,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Tell which backward passes are right, and what is wrong with the others.

    Each file is run in a process of its own, at the user's own risk: that is no sandbox.

    Exits with 0 where all are right, 1 where one is wrong, and 4 where one could not be judged.
    """
    from gradparity.compare.environment import describe_environment
    from gradparity.compare.exercises.grading import Grade, grade_files
    from gradparity.models.progress import announced

    from .files import check_file, write_json
    from .tables import make_console, print_table

    check_file(json_file)
    with announced("running the exercises"):
        marks = grade_files(files, seed=seed, time_limit=time_limit)
    rows = []
    answered = [mark.exercise for mark in marks]
    for mark in marks:
        twice = answered.count(mark.exercise) > 1
        name = f"{mark.exercise} ({mark.file})" if twice else mark.exercise
        lines = [(finding.argument, str(finding)) for finding in mark.findings]
        lines += [("", f"note: {remark}") for remark in mark.remarks]
        for number, (argument, words) in enumerate(lines or [("", "")]):
            rows.append((name, "" if number else str(mark.grade), argument, words))
    right = sum(mark.grade is Grade.RIGHT for mark in marks)
    environment = describe_environment(seed=seed)
    write_json(
        json_file,
        {
            "right": right,
            "of": len(marks),
            "marks": [mark.to_dict() for mark in marks],
            "environment": environment,
        },
    )
    console = make_console(json_file)
    print_table(
        console, "Backward passes", ("exercise", "grade", "gradient", "what is wrong"), rows
    )
    console.print(f"{right} of {len(marks)} right")
    grades = {mark.grade for mark in marks}
    if Grade.WRONG in grades:
        raise typer.Exit(WRONG)
    raise typer.Exit(WORK_FAILED if Grade.NOT_JUDGED in grades else 0)
