"""The roundings of floating-point dtypes: one home for every machine epsilon."""

import functools
from typing import Any

# Half the spacing of numbers at 1: a rounding changes a number by at most this part of it.
UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "complex128": 2.0**-53,
    "float32": 2.0**-24,
    "complex64": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "float8_e4m3fn": 2.0**-4,
    "float8_e5m2": 2.0**-3,
}
EPSILON = 2 * UNIT_ROUNDOFF["float64"]
SINGLE = UNIT_ROUNDOFF["float32"]


def dtype_name(leaf: Any) -> str:
    """Return the name that every framework gives the dtype: "bfloat16" for torch.bfloat16."""
    return _name(getattr(leaf, "dtype", "float64"))


@functools.cache  # NumPy spells the name anew each time
def _name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def unit_roundoff(leaf: Any) -> float:
    """Return the unit of a leaf's own dtype; that of float64 for Python numbers and integers."""
    return UNIT_ROUNDOFF.get(dtype_name(leaf), UNIT_ROUNDOFF["float64"])


def is_floating(dtype: Any) -> bool:
    # Every framework spells its real floating dtypes so, from "float32" to "torch.bfloat16".
    return "float" in _name(dtype)
