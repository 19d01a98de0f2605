"""What can go wrong, in one place; every message says what, got, expected and remedy."""


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
    """A loss became NaN or infinite."""


class ImpureFunction(GradparityError, ValueError):
    """The differentiated function changed its inputs."""


class DownloadFailed(GradparityError, RuntimeError):
    """A file could not be fetched from any mirror, or not be kept."""
