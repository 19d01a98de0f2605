"""Gradients and descent as the notebooks had them, faults included: the lesson shows the faults.

Everything else in gradparity uses the backend "numerical", which takes no array for its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradparity.backends import get_backend

NOTEBOOK_STEP = 1e-4

NOTEBOOK_DIFFERENCES = get_backend("numerical", step_size=NOTEBOOK_STEP, method="loop")
"""The backend that costs what theirs do, without their faults: x stays as it is."""

Floats = NDArray[np.float64]


def notebook_gradient(f: Callable[[Floats], Any], x: Floats) -> Floats:
    """Return central differences of f with one fixed step, whatever the size of x.

    Where x is so large that x + 1e-4 rounds to x, the answer is 0. x is changed during the call.
    """
    gradient = np.zeros_like(x)
    for entry in range(x.size):
        start = x[entry]
        x[entry] = start + NOTEBOOK_STEP
        ahead = f(x)
        x[entry] = start - NOTEBOOK_STEP
        behind = f(x)
        x[entry] = start
        gradient[entry] = (ahead - behind) / (2 * NOTEBOOK_STEP)
    return gradient


def notebook_descent(
    f: Callable[[Floats], Any], x: Floats, *, learning_rate: float, steps: int
) -> Floats:
    """Descend in the array x itself, so that the caller's start is gone; return the path.

    returns: shape (steps + 1, x.size), the start first
    """
    path = [x.copy()]
    for _ in range(steps):
        x -= learning_rate * notebook_gradient(f, x)
        path.append(x.copy())
    return np.array(path)
