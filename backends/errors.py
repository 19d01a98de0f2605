"""What can go wrong, in one place; every message says what, got, expected and remedy."""

import difflib
from collections.abc import Iterable
from typing import Any


class GradparityError(Exception):
    """The base of every error that gradparity raises on purpose."""


class UnknownBackend(GradparityError, ValueError):
    """No backend of that name is registered."""


class BackendUnavailable(GradparityError, ImportError):
    """The backend is known, but its framework is not installed."""


class InvalidSetting(GradparityError, ValueError):
    """A dtype, device or other setting that the backend does not have."""


class InvalidParameters(GradparityError, TypeError):
    """Parameters that cannot be differentiated, such as integers."""


class NonScalarLoss(GradparityError, ValueError):
    """The differentiated function returned something other than one real number."""


class ShapeMismatch(GradparityError, ValueError):
    """Two arrays or pytrees that should have matching shapes do not."""


class InvalidData(GradparityError, ValueError):
    """A data set, label or batch that cannot be used."""


class Diverged(GradparityError, ArithmeticError):
    """A loss became NaN or infinite; `run` holds what was learned before that."""

    def __init__(self, message: str, run: Any = None) -> None:
        super().__init__(message)
        self.run = run


class ImpureFunction(GradparityError, ValueError):
    """The differentiated function changed its inputs."""


class DownloadFailed(GradparityError, RuntimeError):
    """A file could not be fetched from any mirror, or not be kept."""


class CopiesDiffer(GradparityError):
    """Python read a value of an array that stands for several copies with different values."""


class CannotRecord(GradparityError):
    """An array operation with a side effect, which a list of operations cannot hold."""


class TooMuchMemory(GradparityError, MemoryError):
    """Perturbed copies that need more memory than they were given, unless they are fewer."""


class TooMuchWork(GradparityError):
    """Perturbed copies that take more work than they were granted."""


class StructureInDoubt(UserWarning):
    """Structured differences were not to be trusted, and the plain loop was taken instead."""


class DoesNotWait(GradparityError, RuntimeError):
    """A backend's `wait` returned before the results existed, so that it cannot be timed."""


def did_you_mean(got: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'loss'?" for the name nearest to one that is unknown, else nothing."""
    nearest = difflib.get_close_matches(got, list(known), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
