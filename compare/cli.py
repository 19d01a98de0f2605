"""The command line: one module in `commands` for each command, errors and exit codes here."""

import sys

import typer

from .commands.backends import backends
from .commands.check import check
from .commands.compare import compare
from .commands.conformance import conformance
from .commands.exercises import exercises
from .commands.fetch_mnist import fetch_mnist
from .commands.grade import grade
from .commands.lesson import lesson
from .commands.selftest import selftest
from .commands.speed import speed
from .commands.train import train

# Exit codes: 0 agree or done, 1 differ, 2 usage, 3 cannot tell, 4 the work failed.
WORK_FAILED = 4

app = typer.Typer(
    name="gradparity",
    help="Tell whether gradients can be trusted: numerical differences, JAX and PyTorch compared "
    "on one function.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    compare,
    check,
    speed,
    train,
    lesson,
    exercises,
    grade,
    backends,
    conformance,
    fetch_mnist,
    selftest,
):
    app.command()(command)


def main() -> None:
    """Run the command line; errors made on purpose become one message and an exit code."""
    try:
        app()
    except Exception as error:
        from gradparity.backends.errors import GradparityError, InvalidSetting, UnknownBackend

        if not isinstance(error, GradparityError):
            raise
        typer.secho(f"gradparity: {error}", fg="red", err=True)
        sys.exit(2 if isinstance(error, InvalidSetting | UnknownBackend) else WORK_FAILED)
