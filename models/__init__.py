"""Model functions, models, digits and training, written once over the array API."""

if __name__ != "gradparity.models":
    raise ImportError(
        f"{__name__!r} is gradparity.models imported a second time under another name; "
        "run 'pytest', not 'python -m pytest', and import gradparity.models"
    )

from .mnist import Dataset, load_mnist
from .mnist_download import fetch_mnist

__all__ = ["Dataset", "fetch_mnist", "load_mnist"]
