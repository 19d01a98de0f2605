"""The command line: one module in `commands` for each command, streams and signals here."""

import sys
from typing import Annotated

import typer

from .commands.backends import backends
from .commands.check import check
from .commands.compare import compare
from .commands.conformance import conformance
from .commands.exercises import exercises
from .commands.failures import INTERRUPTED, WORK_FAILED, describe_failure, flushed, guarded, say
from .commands.fetch_mnist import fetch_mnist
from .commands.grade import grade
from .commands.interrupts import Interrupts, noticed_interrupts
from .commands.lesson import lesson
from .commands.selftest import selftest
from .commands.speed import speed
from .commands.train import train

app = typer.Typer(
    name="gradparity",
    help="Tell whether gradients can be trusted: numerical differences, JAX and PyTorch compared "
    "on one function.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(asked: bool) -> None:
    if asked:
        import gradparity

        typer.echo(f"gradparity {gradparity.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=print_version
        ),
    ] = False,
) -> None:
    """Tell whether gradients can be trusted."""


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
    app.command()(guarded(command))


def main() -> None:
    """Run the command line, and exit.

    Exit codes: 0 agree or done, 1 differ, 2 usage, 3 cannot tell, 4 the work failed, in whatever
    way, 130 interrupted.
    """
    from .commands.terminal import degrade_output

    degrade_output()
    interrupts, code = Interrupts(), INTERRUPTED
    try:
        with noticed_interrupts(interrupts):
            code = _run()
    except KeyboardInterrupt:  # pressed again, or at the very end
        pass
    if interrupts.seen:
        code = interrupts.exit_code = INTERRUPTED
        say("interrupted")
    sys.exit(flushed(code))


def _run() -> int:
    try:
        app(prog_name="gradparity")  # also as `python -m gradparity`: completion knows it so
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else WORK_FAILED if exit.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # a help text that cannot be written, for one
        say(describe_failure(error))
        return WORK_FAILED
    return 0


if __name__ == "__main__":
    main()
