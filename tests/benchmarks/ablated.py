"""A pytest plugin that moves one threshold of the judge: GRADPARITY_ABLATED=NAME*FACTOR."""

import importlib
import os
import pkgutil


def pytest_configure() -> None:
    name, _, factor = os.environ["GRADPARITY_ABLATED"].partition("*")
    package = importlib.import_module("gradparity.compare.checking")
    thresholds = importlib.import_module("gradparity.compare.checking.thresholds")
    was = getattr(thresholds, name)
    moved = type(was)(was * float(factor))
    found = False
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "taylor":  # a test of its own, with thresholds of its own
            code = importlib.import_module(f"{package.__name__}.{module.name}")
            found |= hasattr(code, name)
            if hasattr(code, name):
                setattr(code, name, moved)
    assert found, name
