"""What the repository's own tests add to the plugin that gradparity installs."""

from collections.abc import Callable

import pytest

from gradparity.backends import Backend
from gradparity.compare.pytest_backends import load


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        dest="gradparity_backends",
        action="append",
        metavar="NAMES",
        help="the same as --gradparity-backends",
    )


@pytest.fixture
def backend_name(gradparity_backend_name: str) -> str:
    return gradparity_backend_name


@pytest.fixture
def load_backend(request: pytest.FixtureRequest) -> Callable[..., Backend]:
    """Return get_backend, which skips where a backend is missing that was not asked for."""

    def load_or_skip(name: str, **settings: object) -> Backend:
        loaded = load(request.config, name, **settings)
        if isinstance(loaded, str):
            pytest.skip(loaded)
        return loaded

    return load_or_skip
