"""The first gradient of a function: what it takes, and whether it can be repeated at all."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import PyTree

from ..engines.evaluations import Evaluations, OutOfTime, loop_evaluations
from .timing_blocks import FEWEST_BLOCKS

# Gradients of a row: the first one, one to see its memory, and those that are timed.
FEWEST_CALLS = FEWEST_BLOCKS + 2


@dataclass(frozen=True)
class TimedGradient:
    """One value and gradient, ready to be repeated.

    compute: makes it, or as much of it as is sampled, without waiting for results
    seconds: the same under the clock, for a whole gradient
    first_call: seconds of tracing, compiling and running it; None where it is predicted
    evaluations: calls of the function, at the first call
    """

    compute: Callable[[], Any]
    seconds: Callable[[], float]
    first_call: float | None
    evaluations: int


def first_gradient(
    backend: Backend, f: ModelFunction, params: PyTree, args: tuple[PyTree, ...], limit: float
) -> TimedGradient:
    """Make the first gradient, or give up as soon as it is clear that some will exceed the limit.

    params, args: native arrays; limit: seconds for all gradients of a row. Only differences can be
    given up, and are predicted then: they take as long for each entry
    """
    budget = limit / FEWEST_CALLS
    counted = Evaluations(f, expected=loop_evaluations(backend, params), budget=budget)
    watched = _watched(backend, counted)
    gradient = watched.value_and_gradient(counted)
    compiled = watched.compile(gradient)
    start = time.perf_counter()
    try:
        backend.wait(compiled(params, *args))
    except OutOfTime:
        return _sampled(backend, f, params, args, counted.count, budget)
    first_call = time.perf_counter() - start
    if compiled is gradient:  # f runs in every call, and is not to be counted any more
        compiled = backend.value_and_gradient(f)
    return TimedGradient(
        compute=lambda: compiled(params, *args),
        seconds=under_the_clock(backend, lambda: compiled(params, *args)),
        first_call=first_call,
        evaluations=counted.count,
    )


def _watched(backend: Backend, counted: Evaluations) -> Backend:
    """Return the backend, with differences that tell how many entries are done."""
    if isinstance(backend, NumericalDifference):
        return replace(backend, progress=counted.entries_done)
    return backend


def _sampled(
    backend: Backend,
    f: ModelFunction,
    params: PyTree,
    args: tuple[PyTree, ...],
    calls: int,
    budget: float,
) -> TimedGradient:
    needed = loop_evaluations(backend, params)

    def predicted_seconds() -> float:
        counted = Evaluations(f, expected=needed, budget=budget)
        try:
            _watched(backend, counted).value_and_gradient(counted)(params, *args)
        except OutOfTime:
            pass
        return counted.predicted()

    return TimedGradient(predicted_seconds, predicted_seconds, None, needed or calls)


def under_the_clock(backend: Backend, call: Callable[[], Any]) -> Callable[[], float]:
    """Return a call that waits for the results, and returns the seconds until they exist."""

    def seconds() -> float:
        start = time.perf_counter()
        backend.wait(call())
        return time.perf_counter() - start

    return seconds
