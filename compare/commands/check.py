"""`gradparity check FILE.py:FUNCTION`: judge the gradient of a user's function."""

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from .compare import names
from .failures import EXIT_CODES, WORK_FAILED
from .options import Backends, Json, Seed

SHOWN = 240  # characters of the reason why a backend was left out; the JSON has all of it


def check(
    function: Annotated[
        str,
        typer.Argument(metavar="FILE.py:FUNCTION", help="f(params, *args), which returns a number"),
    ],
    params: Annotated[
        Path,
        typer.Option(help="Parameters, an .npz or .npy file; names as in layers/0/W nest."),
    ],
    args: Annotated[
        Path | None,
        typer.Option(
            help="Further arguments, by their names, in an .npz file.", show_default=False
        ),
    ] = None,
    gradient: Annotated[
        str | None,
        typer.Option(
            help="A function of the same arguments that returns the gradient, to be checked "
            "instead of the backends' own: FILE.py:FUNCTION, or a name in the same file.",
            show_default=False,
        ),
    ] = None,
    backends: Backends = None,
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Check each backend's gradient of your function against error-barred differences.

    The function is taken as it is, over the array API or in one framework, custom gradient rules
    included. Backends that cannot evaluate it are left out, unless they are named.

    Exits with 0 where gradients are right, 1 where one is wrong, 3 where that cannot be told, and
    4 where the work failed.
    """
    from gradparity.compare.environment import describe_environment
    from gradparity.compare.user_files import (
        check_signature,
        load_arguments,
        load_arrays,
        load_function,
    )

    from .files import check_file, write_json
    from .function_checks import check_backends, check_rule
    from .tables import make_console
    from .terminal import printable

    check_file(json_file)
    f = load_function(function)
    tree = load_arrays(params)
    further = load_arguments(args, f) if args is not None else ()
    check_signature(f, tree, further)
    chosen = names(backends)
    if gradient is None:
        result = check_backends(f, tree, *further, backends=chosen, seed=seed)
    else:
        path = function.rpartition(":")[0]
        rule = load_function(gradient if ":" in gradient else f"{path}:{gradient}")
        result = check_rule(f, rule, tree, *further, backends=chosen, seed=seed)
    described = {"function": function, "params": str(params), "args": args and str(args)}
    environment = describe_environment(seed=seed)
    write_json(json_file, result.to_dict() | described | {"environment": environment})
    console = make_console(json_file)
    for name, found in result.checks.items():
        console.print(f"{name}: {printable(found)}")
    for name, reason in result.failures.items():
        console.print(f"left out {name}: {textwrap.shorten(printable(reason), SHOWN)}")
    if not result.complete and result.verdict != "differ":
        raise typer.Exit(WORK_FAILED)
    raise typer.Exit(EXIT_CODES[result.verdict])
