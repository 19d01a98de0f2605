"""Derivatives of a black box, each with an error bar that holds."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InvalidSetting
from ..pytrees import PyTree
from .estimate import Estimate, along_the_sum, conclude
from .exploration import explore
from .line import Line
from .samples import Samples

NO_CHANGE = Estimate(0.0, 0.0, 1, "smooth", (0.0, 0.0), (0.0, 0.0), 0.0)


def derivative_along(f: Callable[..., Any], x: PyTree, tangent: PyTree, *args: Any) -> Estimate:
    """Differentiate f(x + t tangent, *args) by t at 0, from values of f alone.

    f: gives one real number, of any framework. It gets private float64 copies of x, Python floats
    where x has Python floats and NumPy arrays else, and may change them. NaN, infinities, and
    errors such as "math domain error", away from x count as the edge of its domain.
    x: pytree of real floating numbers or arrays of any framework; tangent: the same structure
    and shapes
    returns: an Estimate, in units of f; its bar combines truncation, round-off and noise. 19
    evaluations where f is smooth on the scale of x; up to 100 at kinks, edges and in noise; more
    where leaves differ by so many orders of magnitude that they cannot share a step
    raises: InvalidParameters and ShapeMismatch naming the leaf, NonScalarLoss; what f raises at x

    Differences at many steps are extrapolated to 0 in the light of the noise, from each side and
    from both (see `extrapolation`); where they contradict each other or their bar is long, more
    steps are tried (see `exploration`).

    >>> estimate = gp.derivative_along(lambda x: (x**3).sum(), np.ones(2), np.asarray([1.0, 0.0]))
    >>> abs(estimate.value - 3) <= estimate.error < 1e-9
    True
    >>> gp.derivative_along(abs, 0.0, 1.0).smoothness
    'kink'
    """
    line = Line(f, x, tangent, args)
    parts = [
        derivative_at_zero(direction.phi, direction.scale, resolution=direction.resolution)
        for direction in line.directions()
    ]
    line.value()
    estimate = along_the_sum(parts) if len(parts) > 1 else (*parts, NO_CHANGE)[0]
    return replace(estimate, evaluations=line.evaluations)


def derivative_at_zero(
    phi: Callable[[float], float],
    scale: float,
    *,
    resolution: float = 0.0,
    enough: Callable[[Estimate], bool] | None = None,
) -> Estimate:
    """Differentiate a function of one real variable at 0; see `derivative_along`.

    phi: gives a float; NaN, infinities, ArithmeticError and ValueError away from 0 count as the
    edge of its domain
    scale: positive; a step that changes phi noticeably, if in doubt the size of what it moves
    resolution: the distance of the numbers t that phi can tell apart near 0, such as the spacing
    of floating-point numbers near x / v for phi(t) = f(x + t v)
    enough: told what 6 and 10 evaluations say, before the noise has been measured; where it says
    so, they are returned. For a caller with a prediction: that it fits in many digits is evidence
    in itself
    raises: what phi raises at 0
    """
    if not 0 < scale < math.inf:
        raise InvalidSetting(f"got scale {scale!r}, expected a positive, finite number")
    # Overflow and the like belong to looking for the edges of a domain.
    quiet = warnings.catch_warnings(action="ignore", category=RuntimeWarning)
    with quiet, np.errstate(all="ignore"):
        samples = Samples(phi, scale, resolution)
        told = (lambda reading: enough(conclude(samples, reading))) if enough else None
        return conclude(samples, explore(samples, told))
