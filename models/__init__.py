"""Model functions, models, digits and training, written once over the array API."""

if __name__ != "gradparity.models":
    raise ImportError(
        f"{__name__!r} is gradparity.models imported a second time under another name; "
        "run 'pytest', not 'python -m pytest', and import gradparity.models"
    )

from gradparity.backends.errors import Diverged

from .gradient_descent import DescentPath, gradient_descent
from .mnist import Dataset, load_mnist, shrink
from .mnist_download import fetch_mnist
from .quadratic import Quadratic
from .simple_net import SimpleNet
from .training import train
from .training_run import TrainingRun
from .two_layer_net import TwoLayerNet

__all__ = [
    "Dataset",
    "DescentPath",
    "Diverged",
    "Quadratic",
    "SimpleNet",
    "TrainingRun",
    "TwoLayerNet",
    "fetch_mnist",
    "gradient_descent",
    "load_mnist",
    "shrink",
    "train",
]
