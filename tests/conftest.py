"""The backends under test: all that are installed, or those that are asked for."""

import os

import pytest

from gradparity.backends import Backend, BackendUnavailable, get_backend

BUILT_IN = ("numerical", "jax", "torch")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        help="test this backend (may be repeated, or separated by commas); failing to load it "
        "is then a failure, not a skip; the environment variable GRADPARITY_BACKENDS does the same",
    )


def asked_for(config: pytest.Config) -> tuple[str, ...]:
    chosen = config.getoption("--backend") or [os.environ.get("GRADPARITY_BACKENDS", "")]
    return tuple(name for entry in chosen for name in entry.split(",") if name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        metafunc.parametrize("backend_name", asked_for(metafunc.config) or BUILT_IN)


@pytest.fixture
def load_backend(request: pytest.FixtureRequest):
    """Return get_backend, which skips where a backend is missing that was not asked for."""

    def load(name: str, **settings: object) -> Backend:
        try:
            return get_backend(name, **settings)
        except BackendUnavailable as error:
            if name in asked_for(request.config):
                raise
            pytest.skip(str(error))

    return load


@pytest.fixture
def backend(backend_name: str, load_backend) -> Backend:
    return load_backend(backend_name)
