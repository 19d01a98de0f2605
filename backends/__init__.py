"""One function, differentiated by several engines behind one contract."""

if __name__ != "gradparity.backends":
    raise ImportError(
        f"{__name__!r} is gradparity.backends imported a second time under another name; "
        "run 'pytest', not 'python -m pytest', and import gradparity.backends"
    )

from .base import Backend
from .error_bars import Estimate, derivative_along
from .errors import (
    BackendUnavailable,
    DoesNotWait,
    DownloadFailed,
    GradparityError,
    ImpureFunction,
    InvalidData,
    InvalidParameters,
    InvalidSetting,
    NonScalarLoss,
    ShapeMismatch,
    StructureInDoubt,
    UnknownBackend,
)
from .registry import BackendInfo, available_backends, get_backend

__all__ = [
    "Backend",
    "BackendInfo",
    "BackendUnavailable",
    "DoesNotWait",
    "DownloadFailed",
    "Estimate",
    "GradparityError",
    "ImpureFunction",
    "InvalidData",
    "InvalidParameters",
    "InvalidSetting",
    "NonScalarLoss",
    "ShapeMismatch",
    "StructureInDoubt",
    "UnknownBackend",
    "available_backends",
    "derivative_along",
    "get_backend",
]
