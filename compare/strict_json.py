"""Results as strict JSON, which has neither NaN nor arrays nor records."""

import math
from dataclasses import fields, is_dataclass
from typing import Any


def strict(value: Any) -> Any:
    """Return what JSON can hold: records become objects, NaN and infinities their names."""
    if is_dataclass(value):
        return {field.name: strict(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    if hasattr(value, "tolist"):
        return strict(value.tolist())
    if isinstance(value, complex):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if isinstance(value, str):
        return str(value)
    return value
