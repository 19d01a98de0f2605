"""The complex step: a derivative without a difference, for functions that take complex input."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import NonScalarLoss
from ..pytrees import PyTree
from .line import Line

# Its square is lost beside 1, so there is no truncation; and no difference, so no round-off.
STEP = 2.0**-100


def complex_step(f: Callable[..., Any], x: PyTree, tangent: PyTree, *args: Any) -> float:
    """Return the imaginary part of f(x + ih tangent, *args) over h: one evaluation, no error bar.

    A second opinion to `derivative_along`, exact to round-off where f is analytic and computes with
    complex numbers; meaningless where it uses abs, comparisons, conjugates or real parts.
    f: gets complex128 arrays and Python complex numbers in place of the leaves of x
    raises: NonScalarLoss where f gives no single complex number; else as `derivative_along`

    W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions",
    SIAM Review 40, 1998.
    """
    line = Line(f, x, tangent, args)
    groups = line.groups()
    if not groups:
        return 0.0
    step = STEP * min(direction.scale for direction in groups)
    value = line.at_complex(step)
    if np.shape(value) != () or not np.iscomplexobj(value):
        raise NonScalarLoss(
            f"f returned {value!r:.60} for complex input, expected one complex number; "
            "it may take the real part of its input: use derivative_along"
        )
    return float(np.imag(value)) / step * line.stretch
