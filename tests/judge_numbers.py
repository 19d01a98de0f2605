"""The numbers that the judge decides by: where they stand, for the tests and the ablation."""

import ast
import importlib
import inspect
from typing import Any

CHECKING, AGREEMENT = "gradparity.compare.checking", "gradparity.compare.agreement"
BARS = "gradparity.backends.error_bars"
# By the name of its module: the package that a table is in, and those that use it.
TABLES = {
    "thresholds": (CHECKING, (CHECKING, AGREEMENT)),
    "samples": (BARS, (BARS,)),
    "exploration": (BARS, (BARS,)),
    "extrapolation": (BARS, (BARS,)),
    "estimate": (BARS, (BARS,)),
    "line": (BARS, (BARS,)),
}
# The range of float64 is no number that could be another.
RANGE = ("line.SMALLEST", "line.NEAREST", "line.FARTHEST")


def numbers() -> list[str]:
    """Return the names of all numbers, each with that of its table before it."""
    found = []
    for table, (home, _) in TABLES.items():
        module = importlib.import_module(f"{home}.{table}")
        assigned = [one for one in ast.parse(inspect.getsource(module)).body]
        targets = [t for one in assigned if isinstance(one, ast.Assign) for t in one.targets]
        names = [one.id for t in targets for one in ast.walk(t) if isinstance(one, ast.Name)]
        found += [f"{table}.{name}" for name in names if _is_number(getattr(module, name))]
    return [name for name in found if name not in RANGE]


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_number, value))
    return isinstance(value, int | float)
