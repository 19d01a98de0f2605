"""What the repository's own tests add to the plugin that gradparity installs."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browser
import pytest
import scheduling

from gradparity.backends import Backend
from gradparity.compare.pytest_backends import load

HELD_OUT_SEED = "GRADPARITY_HELD_OUT_SEED"

if TYPE_CHECKING:
    from gradparity.compare.drawing.page import Page
    from gradparity.compare.lesson.run import Lesson
    from gradparity.compare.lesson.texts import Language


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        dest="gradparity_backends",
        action="append",
        metavar="NAMES",
        help="the same as --gradparity-backends",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Reports are as wide as the terminal, which tests know nothing of.
    os.environ["COLUMNS"] = "160"
    # In the environment, so that parallel workers draw the same functions.
    os.environ.setdefault(HELD_OUT_SEED, str(secrets.randbelow(2**32)))
    # JAX compiles a function once for all tests, workers, commands and runs: keys are the programs.
    cache = getattr(config, "cache", None)
    if cache is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("jax").absolute()))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    scheduling.begin_with_the_longest(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return scheduling.scheduler(config, log)


def pytest_report_header() -> str:
    return f"held-out functions are those of {HELD_OUT_SEED}={os.environ[HELD_OUT_SEED]}"


@pytest.fixture(scope="session")
def held_out_seed() -> int:
    """Return the seed of functions that nothing was developed on: another one in each run."""
    return int(os.environ[HELD_OUT_SEED])


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


# The lesson takes long to make: all tests look at one draft of it.


class Recorded(Mapping[str, str]):
    """Texts that remember which of them were asked for."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts: Mapping[str, str] = texts
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> str:
        self.used.add(key)
        return self.texts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


@pytest.fixture(scope="session")
def recorded_languages() -> Callable[[], "list[Language]"]:
    """Return all languages of the lesson, with texts that remember who asked for them."""
    from gradparity.compare.lesson.texts import Language, read_languages

    def record() -> Any:
        return [
            Language(language.code, Recorded(language.texts), Recorded(language.labels))
            for language in read_languages("en")
        ]

    return record


@pytest.fixture(scope="session")
def lesson_draft(recorded_languages: Callable[[], Any]) -> "Lesson":
    """A draft with every backend that is installed."""
    from gradparity.compare.lesson.run import Lesson

    return Lesson.with_what_is_here(quick=True, languages=recorded_languages())


@pytest.fixture(scope="session")
def lesson_page(lesson_draft: "Lesson") -> "Page":
    from gradparity.compare.lesson.building import build_page

    return build_page(lesson_draft, command="gradparity lesson --quick")


@pytest.fixture(scope="session")
def lesson_folder(lesson_page: "Page", tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gradparity.compare.lesson.building import save_page

    folder = tmp_path_factory.mktemp("lesson")
    save_page(lesson_page, folder, draft=True)
    return folder


@pytest.fixture(scope="module")
def window() -> Iterator[browser.Browser]:
    with browser.open_browser() as window:
        yield window
