"""`gradparity check FILE.py:FUNCTION`: judge the gradient of a user's function."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .compare import names
from .failures import EXIT_CODES, WORK_FAILED
from .options import Backends, Json, Seed

SHOWN = 240  # characters of the reason why a backend was left out; the JSON has all of it


def check(
    function: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:FUNCTION",
            help="f(params, *args), which returns a number; or package.module:FUNCTION",
        ),
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
    args_by_position: Annotated[
        bool,
        typer.Option(
            "--args-by-position", help="Take the arrays of --args in the order of the file."
        ),
    ] = False,
    gradient: Annotated[
        str | None,
        typer.Option(
            help="A function of the same arguments that returns the gradient, to be checked "
            "instead of the backends' own: FILE.py:FUNCTION, or a name in the same file.",
            show_default=False,
        ),
    ] = None,
    yardstick: Annotated[
        str | None,
        typer.Option(
            help="Another function that returns the gradient, such as eager's beside a kernel's: "
            "in low precision, which of the two rounds worse is said with its confidence.",
            show_default=False,
        ),
    ] = None,
    backends: Backends = None,
    rtol: Annotated[
        float | None,
        typer.Option(help="A relative error of each leaf that is accepted.", show_default=False),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="An error of each entry that is accepted.", show_default=False),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Calls of the function for each gradient, such as 200, or a time, such as 30s or "
            "'5 min', after which nobody can tell.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    json_file: Json = None,
    proof: Annotated[
        bool,
        typer.Option(
            "--proof",
            help="Enclose every entry in arithmetic that cannot err, and judge gradients by that "
            "too (needs python-flint).",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where your code failed, with all calls.")
    ] = False,
) -> None:
    """Check each backend's gradient of your function against error-barred differences.

    The function is taken as it is, over the array API or in one framework, custom gradient rules
    included. Backends that cannot evaluate it are left out, unless they are named.

    Exits with 0 where gradients are right, 1 where one is wrong, 3 where that cannot be told, and
    4 where the work failed.
    """
    from gradparity.compare.environment import describe_environment
    from gradparity.compare.user_files import load_arrays
    from gradparity.compare.user_functions import (
        Arguments,
        check_signature,
        load_function,
        match_arguments,
    )
    from gradparity.models.progress import announced

    from .failures import show_traceback
    from .files import check_file, write_json
    from .function_checks import check_function, why_nothing
    from .tables import make_console, print_text
    from .terminal import printable

    check_file(json_file)
    f = load_function(function)
    tree = load_arrays(params)
    arguments = Arguments()
    if args is not None:
        arrays = load_arrays(args)
        arguments = match_arguments(arrays, f, str(args), by_position=args_by_position)
    check_signature(f, tree, arguments)
    if yardstick is not None and gradient is None:
        raise typer.BadParameter("it is compared with --gradient", param_hint="--yardstick")
    rules: list[Callable[..., Any] | None] = []
    for name in (gradient, yardstick):
        if name is None:
            rules.append(None)
            continue
        path = function.rpartition(":")[0]
        found = load_function(name if ":" in name else f"{path}:{name}")
        check_signature(found, tree, arguments)
        rules.append(arguments.adapt(found))
    rule, other = rules
    with announced("check", quiet=quiet) as announce:
        result = check_function(
            arguments.adapt(f),
            rule,
            (tree, *arguments.values),
            backends=names(backends),
            announce=announce,
            seed=seed,
            rtol=rtol,
            tolerance=tolerance,
            proof=proof,
            yardstick=other,
            budget=int(budget) if budget and budget.isdigit() else budget,
        )
    described = {"function": function, "params": str(params), "args": args and str(args)}
    environment = describe_environment(seed=seed)
    write_json(json_file, result.to_dict() | described | {"environment": environment})
    console = make_console(json_file)
    for name, checked in result.checks.items():
        print_text(console, f"{name}: {printable(checked)}")
    for name, reason in result.failures.items():
        print_text(console, f"left out {name}: {textwrap.shorten(printable(reason), SHOWN)}")
        if traceback:
            show_traceback(result.errors[name])
    if not result.checks:
        print_text(console, why_nothing(f, tree, arguments, rule is not None))
    if not result.complete and result.verdict != "differ":
        raise typer.Exit(WORK_FAILED)
    raise typer.Exit(EXIT_CODES[result.verdict])
