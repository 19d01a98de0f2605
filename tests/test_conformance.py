"""The conformance kit: every law is run, and a bad plug-in loses its own rows only."""

import ctypes
import json
import os
import re
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.errors import UnknownBackend
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import tree_map
from gradparity.compare.conformance import conformance, laws, model_laws
from gradparity.compare.conformance.conformance import BackendConformance, check_conformance
from gradparity.compare.scenarios.functions import SCENARIOS
from gradparity.compare.scenarios.models import MODELS

PLUG_IN = Path(__file__).parent / "plugins" / "autograd_backend" / "gradparity_autograd.py"
AMPLE = 60.0  # seconds for one scenario


class TestNumericalDifference(BackendConformance):
    """The pytest class, as a plug-in's author inherits it."""

    backend = "numerical"


class Forger(NumericalDifference):
    name: ClassVar[str] = "forger"


class Scaled(Forger):
    def differentiate(self, f):
        honest = super().differentiate(f)

        def scaled(params, *args):
            value, gradient = honest(params, *args)
            return value, tree_map(lambda leaf: leaf * 1.001, gradient)

        return scaled


class Rubbish(Forger):
    def value_and_gradient(self, f):
        return lambda params, *args: "rubbish"


class ExitsFromHessians(Forger):
    def hessian(self, f):
        sys.exit("planted")


class CrashesInHessians(Forger):
    def hessian(self, f):
        return lambda *args: os._exit(9)


class FaultsInHessians(Forger):
    def hessian(self, f):
        return lambda *args: ctypes.string_at(0)


class HangsInHessians(Forger):
    def hessian(self, f):
        return lambda *args: time.sleep(600)


@pytest.fixture
def three_laws(monkeypatch):
    """Run three laws on three scenarios: the kit's handling of them is what is tested."""
    chosen = (
        laws.value_equals_f,
        laws.hessian_vector_product_is_the_hessian_times_the_tangent,
        laws.gradient_is_the_derivative,
    )
    plan = {(law, "float64"): list(SCENARIOS[:3]) for law in chosen}
    monkeypatch.setattr(conformance, "_plan", lambda: plan)


def counts(report) -> list[tuple[int, int, int]]:
    return [
        (len(result.kept), len(result.broken), len(result.not_run)) for result in report.results
    ]


@pytest.mark.parametrize("isolate", [False, True])
def test_an_honest_backend_keeps_every_law(isolate):
    seen = []
    report = check_conformance("numerical", isolate=isolate, on_result=seen.append)
    assert report.passed, str(report)
    assert tuple(seen) == report.results
    ran = {(result.law, result.dtype): len(result.kept) for result in report.results[1:]}
    expected = {}
    for dtype in ("float64", "float32"):
        for law, _ in laws.law_cases(dtype):
            key = (law.__name__.replace("_", " "), dtype)
            expected[key] = expected.get(key, 0) + 1
    assert ran == expected


def test_a_gradient_off_by_a_thousandth_fails_its_law_with_the_reason(three_laws):
    report = check_conformance(Scaled())
    assert not report.passed
    assert counts(report) == [(1, 0, 0), (3, 0, 0), (3, 0, 0), (0, 3, 0)]
    assert "gradient is the derivative (float64), rosenbrock: leaf (bare): off by" in str(report)
    assert re.search(r"\(derivative_laws\.py:\d+\)", str(report))


@pytest.mark.parametrize("isolate", [False, True])
def test_rubbish_fails_the_laws_it_touches(three_laws, isolate):
    report = check_conformance(Rubbish(), isolate=isolate, time_limit=AMPLE)
    assert counts(report) == [(1, 0, 0), (0, 3, 0), (0, 3, 0), (0, 3, 0)]


class StandsStill(Forger):
    def descend(self, params, gradient, rate):
        return params


class NoNamespace(Forger):
    @property
    def xp(self):
        return types.SimpleNamespace(asarray=np.asarray)


@pytest.mark.parametrize(
    ("backend", "law", "scenario", "reason"),
    [
        (
            StandsStill(),
            model_laws.a_training_step_is_params_minus_rate_times_gradient,
            MODELS[1],
            "off by",
        ),
        (NoNamespace(), model_laws.namespace_has_what_is_needed, SCENARIOS[0], "lacks arange"),
    ],
)
def test_a_backend_that_could_not_train_breaks_a_law(backend, law, scenario, reason):
    law(get_backend("numerical"), scenario)
    with pytest.raises(AssertionError, match=reason):
        law(backend, scenario)


def test_a_request_to_exit_ends_nothing(three_laws):
    report = check_conformance(ExitsFromHessians())
    assert counts(report) == [(1, 0, 0), (3, 0, 0), (0, 3, 0), (3, 0, 0)]
    assert "SystemExit: planted" in str(report)
    assert re.search(r"from test_conformance\.py:\d+\)", str(report))


@pytest.mark.parametrize(
    ("backend", "time_limit", "reason"),
    [
        (CrashesInHessians(), AMPLE, "crashed: the process ended with status 9"),
        (FaultsInHessians(), AMPLE, "crashed: killed by SIGSEGV"),
        (HangsInHessians(), 2.0, "timed out: no answer within 2 s, in <lambda>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_in_isolation_a_crash_or_a_hang_costs_its_law_only(three_laws, backend, time_limit, reason):
    report = check_conformance(backend, isolate=True, time_limit=time_limit)
    assert counts(report) == [(1, 0, 0), (3, 0, 0), (0, 1, 2), (3, 0, 0)]
    assert report.results[2].broken[0].reason.startswith(reason)
    assert "2 scenarios not run" in str(report)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownBackend, match="'nosuch'.*numerical"):
        check_conformance("nosuch")


def test_laws_without_assertions_are_refused():
    code = (
        "from gradparity.compare.conformance.conformance import *; check_conformance('numerical')"
    )
    answer = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert answer.returncode != 0
    assert "run without -O" in answer.stderr


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """Install a module as the plug-in "plugged", found through its entry point."""

    def plug(source: str) -> None:
        (tmp_path / "plugged.py").write_text(source)
        metadata = tmp_path / "plugged-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            "[gradparity.backends]\nplugged = plugged:Plugged\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return plug


def run_command(*arguments: str) -> subprocess.CompletedProcess:
    code = "from gradparity.compare.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "conformance", *arguments], capture_output=True, text=True
    )


def test_the_command_passes_an_honest_plug_in(plug, tmp_path):
    plug(
        "from gradparity.backends.numerical_difference import NumericalDifference\n"
        "class Plugged(NumericalDifference):\n"
        "    name = 'plugged'\n"
    )
    answer = run_command("plugged", "--json", str(tmp_path / "laws.json"))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "FAIL" not in answer.stdout
    written = json.loads((tmp_path / "laws.json").read_text())
    assert written["backend"] == "plugged"
    assert written["passed"] is True
    assert all(law["passed"] for law in written["laws"])
    assert written["environment"]["versions"]["gradparity"]


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ("import os; os._exit(5)", ["--isolate"], "the process ended with status 5"),
        (
            "import time; time.sleep(600)",
            ["--isolate", "--time-limit", "1"],
            "no answer within 1 s",
        ),
        ("raise OSError('no such driver')", [], "OSError: no such driver"),
        ("Plugged = 3", [], "expected a subclass of"),
        (
            "from gradparity.backends.numerical_difference import NumericalDifference as Plugged",
            [],
            "its name is 'numerical'",
        ),
    ],
)
def test_the_command_says_why_a_plug_in_does_not_load(plug, tmp_path, source, options, reason):
    plug(source)
    answer = run_command("plugged", *options, "--json", str(tmp_path / "laws.json"))
    assert answer.returncode == 1, answer.stderr
    assert "not run" in answer.stdout
    loading, *others = json.loads((tmp_path / "laws.json").read_text())["laws"]
    assert reason in loading["broken"][0]["reason"]
    assert all(law["not_run"] and not law["kept"] for law in others)


def test_the_command_refuses_an_unknown_name_as_wrong_usage():
    answer = run_command("nosuch")
    assert answer.returncode == 2
    assert "expected one of numerical" in answer.stderr


def test_a_plug_in_takes_sixty_lines_of_code_at_most():
    assert len([line for line in PLUG_IN.read_text().splitlines() if line.strip()]) <= 60


def test_the_contract_lists_the_functions_that_the_kit_checks():
    contract = (Path(__file__).parent.parent / "backends" / "README.md").read_text()
    listed = re.search(r"they are there: (.*?)\. Operators", contract, re.DOTALL).group(1)
    named = set(re.findall(r"`(\w+)`", listed))
    assert named == set(model_laws.NEEDED_FUNCTIONS)
