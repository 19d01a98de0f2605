"""Guess what went wrong with a gradient: a classic mistake of the exercise, or of any exercise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from gradparity.backends import get_backend

from .exercise import Case, Exercise

# A formula gives the same numbers up to some roundings, whoever wrote it down.
SAME_FORMULA = 1e-9
ROUNDINGS = 64
# What is compared with differences is the same up to their error.
SAME_DIFFERENCES = 1e-6

Answered = Sequence[tuple[Case, ndarray]]
"""The cases that there is an answer for, and its gradient by one argument."""


def explain(exercise: Exercise, argument: str, answered: Answered) -> str:
    """Return what was done wrong, for a person, or "" where that is not known."""
    for mistake in exercise.mistakes:
        if all(
            _same(got, _wrong(mistake.wrong, case, argument), SAME_FORMULA)
            for case, got in answered
        ):
            return mistake.words
    if all(not np.any(got) for _, got in answered):
        return "zeros: is it not written yet?"
    return _in_any_exercise(exercise, argument, answered)


def _in_any_exercise(exercise: Exercise, argument: str, answered: Answered) -> str:
    expected = [_by_differences(exercise, case, case.dy) for case, _ in answered]
    ones = [_by_differences(exercise, case, np.ones_like(case.dy)) for case, _ in answered]
    got = [gradient for _, gradient in answered]

    def all_same(others: Sequence[ndarray]) -> bool:
        return all(map(_same, got, others, [SAME_DIFFERENCES] * len(got)))

    if all_same([gradients[argument] for gradients in ones]):
        return "forgot dy: multiply by the gradient that comes in"
    for other in exercise.arguments:
        if other != argument and all_same([gradients[other] for gradients in expected]):
            return f"that is d{other}: returned in another order"
    if all_same([-gradients[argument] for gradients in expected]):
        return "sign"
    if all_same([gradients[argument].T for gradients in expected]):
        return "transposed"
    return ""


def _wrong(wrong: Any, case: Case, argument: str) -> ndarray | None:
    """Return what the mistake gives, None where it says nothing of this argument or cannot run."""
    try:
        with np.errstate(all="ignore"):
            gradient = wrong(dy=case.dy, **case.inputs).get(f"d{argument}")
    except ValueError:  # shapes that do not fit
        return None
    return None if gradient is None else np.asarray(gradient, float)


def _by_differences(exercise: Exercise, case: Case, dy: Any) -> dict[str, ndarray]:
    """Return the gradients by all arguments, up to the error of differences."""
    params = {name: case.inputs[name] for name in exercise.arguments}
    fixed = {name: value for name, value in case.inputs.items() if name not in params}
    backend = get_backend("numerical", method="loop")
    f = backend.value_and_gradient(lambda tree: np.sum(exercise.forward(**tree, **fixed) * dy))
    gradients: dict[str, ndarray] = backend.to_numpy(f(params)[1])
    return gradients


def _same(got: ndarray, other: ndarray | None, tolerance: float) -> bool:
    if other is None or got.shape != other.shape:
        return False
    finite = np.isfinite(other)
    if not np.array_equal(finite, np.isfinite(got)):
        return False
    distance = np.linalg.norm((got - other)[finite])
    tolerance = max(tolerance, ROUNDINGS * float(np.finfo(got.dtype).eps))
    return bool(distance <= tolerance * np.linalg.norm(other[finite]))
