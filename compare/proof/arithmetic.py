"""Ball arithmetic, python-flint's: the one place that asks for it."""

from gradparity.backends.errors import BackendUnavailable

try:
    from flint import acb_mat, arb, arb_mat, ctx
except ModuleNotFoundError as error:
    if error.name != "flint":
        raise
    raise BackendUnavailable("proofs need python-flint: pip install 'gradparity[proof]'") from error

__all__ = ["acb_mat", "arb", "arb_mat", "ctx"]
