"""Write the starter files: a forward pass that is given, and a backward pass to write."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import EXERCISES
from .exercise import Exercise

TEMPLATE = '''"""{title}: write {backward}.

It returns the gradients of a loss, some number that depends on the output y of
{name}; dy is the gradient of that loss by y.{hint}

To have it judged: gradparity grade {name}.py
"""

import numpy as np


{forwards}


def {backward}(dy, {inputs}):
    """Return {results}.

    dy: {dy}
    {shapes}
    """
{blanks}
    return {results}
'''


def write_starters(folder: Path, exercises: Sequence[Exercise] = ()) -> dict[Path, bool]:
    """Write a file for each exercise, all by default; return for each whether it was written.

    A file that is there already is left as it is: it may hold somebody's work.
    raises: OSError
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for exercise in exercises or EXERCISES.values():
        path = folder / f"{exercise.name}.py"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(starter(exercise))
            written[path] = True
        except FileExistsError:
            written[path] = False
    return written


def starter(exercise: Exercise) -> str:
    """Return the text of the file to start from."""
    results = ", ".join(f"d{name}" for name in exercise.arguments)
    return TEMPLATE.format(
        title=exercise.name.replace("_", " ").capitalize(),
        name=exercise.name,
        backward=exercise.backward,
        hint=f"\n\n{exercise.hint}" if exercise.hint else "",
        forwards="\n\n\n".join(map(_untyped, (*exercise.needs, exercise.forward))),
        inputs=_declared(exercise.forward),
        results=results,
        dy="a number" if np.ndim(exercise.cases(0)[0].dy) == 0 else "shape of the output",
        shapes="\n    ".join(f"d{name}: shape of {name}" for name in exercise.arguments),
        blanks="\n".join(f"    d{name} = ...  # yours" for name in exercise.arguments),
    )


def _untyped(function: Callable[..., Any]) -> str:
    """Return the source of a function without its annotations, which beginners need not read."""
    source = inspect.getsource(function)
    body = source[source.index('    """') :]
    return f"def {function.__name__}({_declared(function)}):\n{body}".rstrip()


def _declared(function: Callable[..., Any]) -> str:
    """Return "x, W, b, stride=1"."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(
        str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in parameters
    )
