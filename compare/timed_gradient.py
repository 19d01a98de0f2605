"""The first gradient of a function: what it takes, and whether it can be repeated at all."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import PyTree, flatten

from .evaluations import Evaluations, OutOfTime
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

    params, args: native arrays; limit: seconds for all gradients of a row. Only a plain loop of
    differences can be given up, and is predicted then: its evaluations all take the same time
    """
    needed = evaluations_of_loop(backend, params)
    counted = Evaluations(f, expected=needed, budget=limit / FEWEST_CALLS)
    gradient = backend.value_and_gradient(counted)
    compiled = backend.compile(gradient)
    start = time.perf_counter()
    try:
        backend.wait(compiled(params, *args))
    except OutOfTime:
        assert needed is not None
        return _sampled(backend, f, params, args, needed)
    first_call = time.perf_counter() - start
    if compiled is gradient:  # f runs in every call, and is not to be counted any more
        compiled = backend.value_and_gradient(f)
    return TimedGradient(
        compute=lambda: compiled(params, *args),
        seconds=under_the_clock(backend, lambda: compiled(params, *args)),
        first_call=first_call,
        evaluations=counted.count,
    )


def evaluations_of_loop(backend: Backend, params: PyTree) -> int | None:
    """Return how often the plain loop calls f, two for each entry and once for the value.

    None for a backend that does not loop over entries. What a loop spends beyond that, to find its
    steps, does not grow with the number of entries.
    """
    if isinstance(backend, NumericalDifference):
        entries: int = sum(math.prod(leaf.shape) for leaf in flatten(params)[0])
        return 2 * entries + 1
    return None


def _sampled(
    backend: Backend, f: ModelFunction, params: PyTree, args: tuple[PyTree, ...], needed: int
) -> TimedGradient:
    def predicted_seconds() -> float:
        counted = Evaluations(f, expected=needed)
        try:
            backend.value_and_gradient(counted)(params, *args)
        except OutOfTime:
            pass
        return counted.predicted(needed)

    return TimedGradient(predicted_seconds, predicted_seconds, None, needed)


def under_the_clock(backend: Backend, call: Callable[[], Any]) -> Callable[[], float]:
    """Return a call that waits for the results, and returns the seconds until they exist."""

    def seconds() -> float:
        start = time.perf_counter()
        backend.wait(call())
        return time.perf_counter() - start

    return seconds
