"""Put a backend through every law of the contract: as a report, or as a pytest class."""

import dataclasses
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gradparity.backends import Backend, GradparityError, get_backend
from gradparity.backends.pytrees import tree_map
from gradparity.backends.registry import backend_names

from ..scenarios.scenario import Scenario
from .isolation import Failure, FailureKind, IsolatedProcess, describe
from .laws import Law, law_cases

LOADING = "it is a value that loads under its name"

Caller = Callable[..., Any]


@dataclass(frozen=True)
class Breach:
    """A scenario on which a backend breaks a law, and how that showed."""

    scenario: str
    reason: str


@dataclass(frozen=True)
class LawResult:
    """What became of one law in one dtype; `kept` and `not_run` name scenarios."""

    law: str
    dtype: str
    kept: tuple[str, ...] = ()
    broken: tuple[Breach, ...] = ()
    not_run: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return bool(self.kept) and not self.broken and not self.not_run


@dataclass(frozen=True)
class Conformance:
    """What became of every law on one backend; `str()` is the report, `to_dict()` its JSON."""

    backend: str
    results: tuple[LawResult, ...] = field(repr=False)

    @property
    def passed(self) -> bool:
        return bool(self.results) and all(result.passed for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "passed": self.passed,
            "laws": [
                {"passed": result.passed, **dataclasses.asdict(result)} for result in self.results
            ],
        }

    def __str__(self) -> str:
        kept = sum(result.passed for result in self.results)
        lines = [f"backend {self.backend!r} keeps {kept} of {len(self.results)} laws"]
        for result in self.results:
            title = f"  {result.law} ({result.dtype})"
            lines += [f"{title}, {breach.scenario}: {breach.reason}" for breach in result.broken]
            if result.not_run:
                lines.append(f"{title}: {len(result.not_run)} scenarios not run")
        return "\n".join(lines)


def check_conformance(
    backend: str | Backend,
    *,
    isolate: bool = False,
    time_limit: float = 60.0,
    on_result: Callable[[LawResult], None] = lambda result: None,
) -> Conformance:
    """Run every law on every scenario, in float64 and, where its digits suffice, in float32.

    backend: a registered name, or a Backend value
    isolate: run in another process, where a crash, or more than `time_limit` seconds for one
        scenario, ends this law and nothing else
    on_result: called with each law's result as soon as it is known
    raises: UnknownBackend for a name that is not registered

    >>> gp.check_conformance("numerical").passed
    True
    """
    _require_assertions()
    if isinstance(backend, str) and backend not in backend_names():
        get_backend(backend)  # raises, and lists the names that there are
    results = []
    with IsolatedProcess(time_limit) as process:
        call = process.call if isolate else _call_here
        for result in _results(backend, call):
            on_result(result)
            results.append(result)
    return Conformance(backend if isinstance(backend, str) else backend.name, tuple(results))


class BackendConformance:
    """The same laws as tests, one for each law, dtype and scenario.

    A plug-in's test module needs no more than

        class TestMyBackend(BackendConformance):
            backend = "mine"

    >>> class TestMyBackend(gp.BackendConformance):
    ...     backend = "numerical"  # the name that yours is registered under, or a Backend value
    """

    backend: ClassVar[str | Backend]

    def pytest_generate_tests(self, metafunc: Any) -> None:
        if "law" in metafunc.fixturenames:
            cases = [
                (law, dtype, scenario)
                for (law, dtype), scenarios in _plan().items()
                for scenario in scenarios
            ]
            names = [f"{law.__name__}-{dtype}-{scenario.name}" for law, dtype, scenario in cases]
            metafunc.parametrize(("law", "dtype", "scenario"), cases, ids=names)

    def test_it_is_a_value_that_loads_under_its_name(self) -> None:
        _check_loading(self.backend)

    def test_it_keeps_the_law(self, law: Law, dtype: str, scenario: Scenario) -> None:
        _require_assertions()
        _check_law(law, self.backend, dtype, scenario)


def _plan() -> dict[tuple[Law, str], list[Scenario]]:
    """Return the scenarios of each law in each dtype."""
    plan: dict[tuple[Law, str], list[Scenario]] = {}
    for dtype in ("float64", "float32"):
        for law, scenario in law_cases(dtype):
            plan.setdefault((law, dtype), []).append(scenario)
    return plan


def _results(backend: str | Backend, call: Caller) -> Iterator[LawResult]:
    breach = call(_breach, _check_loading, backend)
    if breach is None:
        yield LawResult(LOADING, "float64", kept=("loading",))
    else:
        yield LawResult(LOADING, "float64", broken=(Breach("loading", str(breach)),))
    for (law, dtype), scenarios in _plan().items():
        kept, broken, waiting = [], [], list(scenarios)
        while waiting and breach is None:
            scenario = waiting.pop(0)
            reason = call(_breach, _check_law, law, backend, dtype, scenario)
            if reason is None:
                kept.append(scenario.name)
            else:
                broken.append(Breach(scenario.name, str(reason)))
            if isinstance(reason, Failure) and reason.kind is not FailureKind.RAISED:
                break  # a second crash tells no more, and a second hang takes as long
        yield LawResult(
            law.__name__.replace("_", " "),
            dtype,
            tuple(kept),
            tuple(broken),
            tuple(scenario.name for scenario in waiting),
        )


def _call_here(function: Caller, *args: Any) -> Any:
    return function(*args)


def _breach(check: Caller, *args: Any) -> str | None:
    """Return why the check fails, None where it passes."""
    try:
        check(*args)
    except (Exception, SystemExit) as error:
        return f"{describe(error)} ({_places(error)})"
    return None


def _places(error: BaseException) -> str:
    """Say in which file and line a law failed, and where in other code it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    here = Path(__file__).parent
    inside = [frame for frame in frames if Path(frame.filename).parent == here]
    outside = [frame for frame in frames if "gradparity" not in Path(frame.filename).parts]
    laws = [frame for frame in inside if Path(frame.filename).stem.endswith("_laws")]
    shown = [(laws or inside)[-1], *(outside[-1:] if frames[-1] in outside else [])]
    return ", from ".join(f"{Path(f.filename).name}:{f.lineno}" for f in shown)


def _check_law(law: Law, backend: str | Backend, dtype: str, scenario: Scenario) -> None:
    # A backend that changes its inputs must spoil no other scenario.
    params, args = tree_map(np.array, (scenario.params, scenario.args))
    law(_in_dtype(backend, dtype), dataclasses.replace(scenario, params=params, args=args))


def _check_loading(backend: str | Backend) -> None:
    first, second = _in_dtype(backend, "float64"), _in_dtype(backend, "float64")
    if isinstance(backend, str):
        assert first.name == backend, f"registered as {backend!r}, but its name is {first.name!r}"
    assert first == second, "two backends with the same settings are not equal"
    assert hash(first) == hash(second), "two backends with the same settings hash differently"
    assert first.version(), "no version"
    assert first.devices(), "no devices"
    for device in first.devices():
        moved = dataclasses.replace(first, device=device)
        assert moved.device == device, f"asked for device {device!r}, got {moved.device!r}"


def _in_dtype(backend: str | Backend, dtype: str) -> Backend:
    if isinstance(backend, str):
        return get_backend(backend, dtype=dtype)
    return dataclasses.replace(backend, dtype=dtype)


def _require_assertions() -> None:
    if not __debug__:
        raise GradparityError(
            "got an interpreter that strips assertions (python -O), which the laws are made of; "
            "expected one that keeps them: run without -O and without PYTHONOPTIMIZE"
        )
