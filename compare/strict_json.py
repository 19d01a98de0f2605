"""Results as strict JSON, which has neither NaN nor arrays."""

import math
from typing import Any


def strict(value: Any) -> Any:
    """Return what JSON can hold: arrays become lists, NaN and infinities their names."""
    if isinstance(value, dict):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    if hasattr(value, "tolist"):
        return strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
