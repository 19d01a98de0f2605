"""The rounding of a gradient, measured; and a function without the casts inside it."""

if __name__ != "gradparity.backends.rounding":
    raise ImportError(
        f"{__name__!r} is gradparity.backends.rounding imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.backends.rounding"
    )

from .instrument import LOW_PRECISION, Cast, Unmeasured
from .lifting import CannotLift, Lifted, lift
from .measuring import measure_rounding
from .scatter import CONFIDENCE, LeafRounding, Rounding, scatter_margin

__all__ = [
    "CONFIDENCE",
    "LOW_PRECISION",
    "CannotLift",
    "Cast",
    "LeafRounding",
    "Lifted",
    "Rounding",
    "Unmeasured",
    "lift",
    "measure_rounding",
    "scatter_margin",
]
