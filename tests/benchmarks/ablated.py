"""A pytest plugin that changes one rule or number of the judge: GRADPARITY_ABLATED.

"TABLE.NAME*FACTOR" moves a number of a table; the name of a rule switches it off.
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from judge_numbers import AGREEMENT, BARS, CHECKING, TABLES

NOTHING = "nothing"


def always(answer: Any) -> Callable[..., Callable[..., Any]]:
    """Return what replaces a function by one that gives the same answer whatever it is asked."""
    return lambda was: lambda *args, **settings: answer


def _without_noise(measure: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **settings: replace(measure(*args, **settings), noisy=False)


def _without_grants(was: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, claim, *rest: claim


def _nothing_found() -> Callable[..., Callable[..., Any]]:
    from gradparity.compare.checking.account import Found

    return always(Found())


# By rule: the module, the name in it, and what makes the replacement out of what it was.
RULES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "small entries are judged alone": (
        f"{CHECKING}.account",
        "Account._small",
        lambda was: _nothing_found()(was),
    ),
    "a fault is followed to its entry": (
        f"{CHECKING}.account",
        "Account._chase",
        lambda was: _nothing_found()(was),
    ),
    "kinks that meet": (f"{CHECKING}.surroundings", "Surroundings.explain", always(None)),
    "kinks are legal in pairs": (
        f"{CHECKING}.account",
        "Account.together",
        lambda was: _nothing_found()(was),
    ),
    "shortest steps convict": (
        f"{CHECKING}.account",
        "_all_near",
        lambda was: lambda quotients, one, other: one != other and False,
    ),
    "noise is not taken apart": (f"{CHECKING}.score", "measure", _without_noise),
    "the grain of the values": (f"{CHECKING}.slope", "granularity", always(0.0)),
    "far steps show that f is constant": (f"{BARS}.exploration", "FAR", always(())),
    "two values at the point": (f"{CHECKING}.function", "Function.is_random", always(False)),
    "values that are unsteady": (f"{CHECKING}.function", "Function.unsteadiness", always(0.0)),
    "casts of f are ignored": (f"{CHECKING}.function", "LIFTING", always(())),
    "rounding of the inputs is measured": (
        f"{CHECKING}.reference",
        "Certificate.granting",
        _without_grants,
    ),
    "a gradient that is rounding itself": (
        f"{CHECKING}.reference",
        "Certificate._dust",
        always(0.0),
    ),
    "witnesses of a pattern": (f"{CHECKING}.checker", "Checker._witnesses", always({})),
    "small entries by their own size, in disputes": (
        f"{CHECKING}.reference",
        "DISPUTE_ROUNDS",
        lambda was: was[:1],
    ),
    "small entries as far as others, in disputes": (
        f"{CHECKING}.reference",
        "DISPUTE_ROUNDS",
        lambda was: was[1:],
    ),
    "values: a difference persists": (f"{AGREEMENT}.judging", "NEARBY", always(0)),
    "quotients across a kink": (f"{AGREEMENT}.judging", "_is_a_quotient", always(False)),
    "references that are alike go first": (f"{AGREEMENT}.judging", "_near", always(True)),
    "ports that only meet at the point": (f"{AGREEMENT}.agreement", "_functions_differ", always(0)),
    "bars: a slope hidden by a plateau": (f"{BARS}.estimate", "_hidden", always(0.0)),
    "bars: straight pieces end in a jump": (f"{BARS}.samples", "Samples.jump_after", always(0.0)),
    "bars: inside of a rounding": (f"{BARS}.exploration", "_discard_roundings", always(None)),
    "bars: farther steps lessen noise": (f"{BARS}.exploration", "_farther", always(None)),
    "bars: ripples": (
        f"{BARS}.estimate",
        "_with_ripples",
        lambda was: lambda samples, reading: reading.error,
    ),
    "bars: limits from three looks": (f"{BARS}.estimate", "_slopes", always([])),
    "bars: the spacing of the values": (f"{BARS}.samples", "Samples.quantum", always(0.0)),
}


PATCH = pytest.MonkeyPatch()


def pytest_configure() -> None:
    change(os.environ["GRADPARITY_ABLATED"])


def change(what: str) -> None:
    """Change a rule or a number until `PATCH.undo()`."""
    if what in RULES:
        _switch_off(*RULES[what])
    elif what != NOTHING:
        name, _, factor = what.partition("*")
        _move(name, float(factor))


def _switch_off(module: str, path: str, replacement: Callable[..., Any]) -> None:
    owner: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for one in owners:
        owner = getattr(owner, one)
    was = vars(owner)[name]
    if isinstance(was, property):
        new: Any = property(replacement(was))
    elif isinstance(was, staticmethod):
        new = staticmethod(replacement(was))
    else:
        new = replacement(was) if callable(was) else _constant(replacement, was)
    PATCH.setattr(owner, name, new)


def _constant(replacement: Callable[..., Any], was: Any) -> Any:
    """Return what a constant becomes: itself is replaced, and not what it would return."""
    new = replacement(was)
    return new() if callable(new) else new


def _move(name: str, factor: float) -> None:
    """Move a number of a table wherever it has been imported."""
    table, _, name = name.partition(".")
    home, packages = TABLES[table]
    number = getattr(importlib.import_module(f"{home}.{table}"), name)
    moved = moved_by(number, factor)
    for package in packages:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if module.name == "taylor":  # a test of its own, with thresholds of its own
                continue
            code = importlib.import_module(f"{package}.{module.name}")
            if getattr(code, name, None) is number:  # other tables have numbers of that name, too
                PATCH.setattr(code, name, moved)


def moved_by(number: Any, factor: float) -> Any:
    """Return a number, or all of several, times a factor."""
    if isinstance(number, tuple):
        return tuple(moved_by(one, factor) for one in number)
    return type(number)(number * factor)
