"""Derivatives of a black box, each with an error bar that holds."""

if __name__ != "gradparity.backends.error_bars":
    raise ImportError(
        f"{__name__!r} is gradparity.backends.error_bars imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.backends.error_bars"
    )

from .derivative import derivative_along, derivative_at_zero
from .estimate import Estimate

__all__ = ["Estimate", "derivative_along", "derivative_at_zero"]
