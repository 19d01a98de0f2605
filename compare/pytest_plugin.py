"""The pytest plugin: fixtures `backend`, `gradients_agree` and `module_gradients_agree`, a marker.

Every pytest run of its users loads this module, so that it imports nothing but pytest; arrays and
frameworks come in with the first test that asks for them.
"""

import os
import random
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from .pytest_backends import (
    MARKER,
    VARIABLE,
    asked_for,
    chosen_backends,
    chosen_functions,
    default_backends,
    load,
    marked,
)

if TYPE_CHECKING:
    from gradparity.backends import Backend

    from .agreement.comparison import Comparison
    from .checking.result import GradientCheck

LEFT_OUT = "gradparity left out"
# Before the lines of an error, "E" and spaces.
PYTEST_MARGIN = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradparity", "gradients compared across backends")
    group.addoption(
        "--gradparity-backends",
        dest="gradparity_backends",
        action="append",
        metavar="NAMES",
        help="test these backends, separated by commas; one that cannot be loaded is then a "
        f"failure, not a skip (the environment variable {VARIABLE} does the same)",
    )
    group.addoption(
        "--gradparity-seed",
        dest="gradparity_seed",
        default="0",
        metavar="SEED",
        help="seed of the random directions along which gradients are checked: a number, or "
        "'random' for a new one in each run (default: 0)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(backends=..., dtype=...): test these backends only, in this dtype",
    )
    drawn = getattr(config, "workerinput", {}).get("gradparity_seed")
    given = config.getoption("gradparity_seed") if drawn is None else drawn
    config.option.gradparity_seed = _seed(given)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the workers of pytest-xdist the seed that was drawn: a run has one seed."""
    node.workerinput["gradparity_seed"] = node.config.getoption("gradparity_seed")


def pytest_report_header(config: pytest.Config) -> str | None:
    chosen, seed = asked_for(config), config.getoption("gradparity_seed")
    if not chosen and not seed:
        return None
    return f"gradparity: seed {seed}, backends {', '.join(chosen) or 'all that are installed'}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "gradparity_backend_name" in metafunc.fixturenames:
        names = chosen_backends(metafunc.config, metafunc.definition)
        nothing = pytest.param("none", marks=pytest.mark.skip("for other backends than asked for"))
        metafunc.parametrize("gradparity_backend_name", names or [nothing], indirect=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons: dict[str, int] = {}
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, reason in getattr(report, "user_properties", ()):
            if name == LEFT_OUT:
                reasons[reason] = reasons.get(reason, 0) + 1
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"gradparity: left out of {tests} tests: {reason}")


@pytest.fixture
def gradparity_backend_name(request: pytest.FixtureRequest) -> str:
    """Name the backend that this instance of the test is about."""
    return str(request.param)


@pytest.fixture
def backend(request: pytest.FixtureRequest, gradparity_backend_name: str) -> "Backend":
    """Load each backend in turn: those asked for, those of the marker, or all there are."""
    loaded = load(request.config, gradparity_backend_name, dtype=marked(request.node).dtype)
    if isinstance(loaded, str):
        pytest.skip(loaded)
    return loaded


@pytest.fixture
def gradients_agree(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[..., "Comparison | GradientCheck"]:
    """Compare gradients: `gradients_agree(f, params, *args)` fails unless they agree.

    All backends are compared; in a test that also has the fixture `backend`, that one alone is
    checked against differences. `gradient=` checks a gradient from elsewhere.
    """

    def gradients_agree(
        f: Callable[..., Any] | Mapping[str, Any],
        params: Any,
        *args: Any,
        gradient: Any = None,
        backends: Sequence["str | Backend"] | None = None,
        dtype: str | None = None,
        seed: int | None = None,
        rename: Mapping[str, Any] | None = None,
        transpose: Mapping[str, Any] | None = None,
    ) -> "Comparison | GradientCheck":
        __tracebackhide__ = True
        from gradparity.compare import check_gradient, compare_gradients

        directions = request.config.getoption("gradparity_seed") if seed is None else seed
        result: Comparison | GradientCheck
        if gradient is not None:
            if isinstance(f, Mapping) or backends or dtype or rename or transpose:
                raise pytest.UsageError(
                    "gradients_agree: got gradient= together with backends=, dtype= or a mapping "
                    "of functions; expected one function, whose gradient is to be checked"
                )
            result = check_gradient(f, params, *args, gradient=gradient, seed=directions)
        else:
            dtype = dtype or marked(request.node).dtype
            chosen: dict[str, Any] = {"backends": backends}
            if backends is None:
                if isinstance(f, Mapping):
                    f, left_out = chosen_functions(request, f, dtype)
                    chosen = {}  # each implementation by the backend that it names
                else:
                    chosen["backends"], left_out = default_backends(request, dtype)
                for reason in left_out:
                    record_property(LEFT_OUT, reason)
            result = compare_gradients(
                f,
                params,
                *args,
                **chosen,
                dtype=dtype,
                seed=directions,
                rename=rename,
                transpose=transpose,
            )
        if result.verdict != "agree":
            raise AssertionError(_failure(request, result, directions, seed is None))
        return result

    return gradients_agree


@pytest.fixture
def module_gradients_agree(request: pytest.FixtureRequest) -> Callable[..., "GradientCheck"]:
    """Check a model: `module_gradients_agree(model, loss, *batch)` fails unless its gradient fits.

    The model and the loss are those of `gradparity.check_module`, as are `gradient=` and the rest.
    """

    def module_gradients_agree(
        model: Any, loss: Callable[..., Any], *batch: Any, seed: int | None = None, **accepted: Any
    ) -> "GradientCheck":
        __tracebackhide__ = True
        from gradparity.compare import check_module

        directions = request.config.getoption("gradparity_seed") if seed is None else seed
        check = check_module(model, loss, *batch, seed=directions, **accepted)
        if check.verdict != "agree":
            raise AssertionError(_failure(request, check, directions, seed is None))
        return check

    return module_gradients_agree


def _failure(
    request: pytest.FixtureRequest,
    result: "Comparison | GradientCheck",
    seed: int,
    from_option: bool,
) -> str:
    """Return the report, as wide as pytest's own terminal, and the command that repeats it."""
    columns = request.config.get_terminal_writer().fullwidth - PYTEST_MARGIN
    return f"{result.report(columns)}\n{reproduction(request, seed, from_option)}"


def reproduction(request: pytest.FixtureRequest, seed: int, from_option: bool) -> str:
    """Return the command that repeats a failure, from the folder that pytest was started in."""
    path, *rest = str(request.node.nodeid).partition("::")  # relative to pytest's root folder
    started_in = request.config.invocation_params.dir
    words = ["pytest", os.path.relpath(request.config.rootpath / path, started_in) + "".join(rest)]
    if from_option:
        words.append(f"--gradparity-seed={seed}")
    if asked_for(request.config):
        words.append(f"--gradparity-backends={','.join(asked_for(request.config))}")
    return f"seed {seed}; to repeat: {shlex.join(words)}"


def _seed(given: str | int) -> int:
    if given == "random":
        return random.randrange(2**31)
    try:
        return int(given)
    except ValueError:
        raise pytest.UsageError(
            f"--gradparity-seed: got {given!r}, expected a number or 'random'"
        ) from None
