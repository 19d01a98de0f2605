"""The pytest plugin in projects of its users: what runs, is skipped or fails, with what text."""

import contextlib
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import complex_step
import hypothesis
import joblib
import pytest

from gradparity.backends import numerical_difference, registry
from gradparity.compare import pytest_backends
from gradparity.compare.agreement import agreement
from gradparity.compare.checking import check

# A run inside this process forgets what it imported, and NumPy cannot be imported twice: what such
# runs need is imported here before.
KEPT = (complex_step, hypothesis, joblib, numerical_difference, agreement, check)
for framework in ("jax", "torch"):  # a check of a wrong gradient asks them, too
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(framework)

pytest_plugins = ["pytester"]

# Stands for a project's tests: NumPy needs no framework, and `wrong` is what they should find.
PROJECT = """
    import numpy as np
    from array_api_compat import array_namespace
    import pytest

    PARAMS = {"W": np.arange(6.0).reshape(2, 3) / 7, "b": np.ones(3)}
    X = np.asarray([[0.5, -1.0], [2.0, 0.25]])

    def loss(params, x):
        xp = array_namespace(params["W"])
        return xp.mean((xp.tanh(x @ params["W"] + params["b"])) ** 2)

    def right(params, x):
        y = np.tanh(x @ params["W"] + params["b"])
        slope = 2 * y * (1 - y**2) / y.size
        return {"W": x.T @ slope, "b": slope.sum(axis=0)}

    def wrong(params, x):
        gradient = right(params, x)
        gradient["W"][1, 2] *= 1.001
        return gradient
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """Start a project in which three plug-in backends are registered: complex, liar and absent."""
    monkeypatch.delenv(pytest_backends.VARIABLE, raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}{os.pathsep}{Path(__file__).parent}")
    monkeypatch.syspath_prepend(pytester.path)
    metadata = pytester.mkdir("plugged-1.0.dist-info")
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n")
    metadata.joinpath("entry_points.txt").write_text(
        "[gradparity.backends]\n"
        "complex = complex_step:ComplexStep\n"
        "liar = complex_step:OffByAThousandth\n"
        "absent = a_framework_that_is_absent:Backend\n"
        "broken = a_broken_framework:Backend\n"
    )
    pytester.path.joinpath("a_broken_framework.py").write_text("raise OSError('no driver')\n")
    return pytester


@pytest.fixture
def three_backends(monkeypatch):
    """Leave numerical as the only built-in backend, whatever is installed."""
    numerical = registry.BUILT_IN["numerical"]
    monkeypatch.setattr(registry, "BUILT_IN", {"numerical": numerical})


def write(project, source: str) -> None:
    project.makepyfile(test_project=PROJECT + source)


def test_loading_the_plugin_imports_no_arrays_frameworks_or_plots(project, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others may import what they like
    project.makepyfile("""
        import sys

        def test_modules():
            heavy = {"jax", "torch", "matplotlib", "numpy", "optree", "joblib", "rich", "typer"}
            assert "gradparity.compare.pytest_plugin" in sys.modules
            assert not heavy & set(sys.modules)
            assert "gradparity.backends" not in sys.modules
    """)
    project.runpytest_subprocess("-p", "gradparity").assert_outcomes(passed=1)


USES_BACKEND = """
    def test_slope(backend):
        value, gradient = backend.value_and_gradient(loss)(PARAMS, X)
        np.testing.assert_allclose(gradient["W"], right(PARAMS, X)["W"], atol=1e-8)
"""


AGREES = """
    def test_slope(gradients_agree):
        result = gradients_agree(loss, PARAMS, X)
        assert result.verdict == "agree"
"""


def test_each_backend_asked_for_is_an_instance_of_the_test(project):
    write(project, USES_BACKEND)
    result = project.runpytest("-v", "--gradparity-backends=numerical,complex")
    result.stdout.fnmatch_lines(["*test_slope?numerical?*PASSED*", "*test_slope?complex?*PASSED*"])
    result.assert_outcomes(passed=2)


def test_the_environment_asks_as_the_command_line_does(project, monkeypatch):
    write(project, USES_BACKEND)
    monkeypatch.setenv(pytest_backends.VARIABLE, "complex, numerical")
    project.runpytest().assert_outcomes(passed=2)
    project.runpytest("--gradparity-backends=complex").assert_outcomes(passed=1)


def test_by_default_all_are_run_and_what_is_missing_is_skipped(project, three_backends):
    write(project, USES_BACKEND)
    result = project.runpytest("-rs")
    result.assert_outcomes(passed=2, failed=1, skipped=2)
    result.stdout.fnmatch_lines(["*_ test_slope?liar? _*"])
    result.stdout.fnmatch_lines(
        ["SKIPPED*'absent' needs a_framework_that_is_absent*", "SKIPPED*'broken': OSError: no *"]
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "asked for, and cannot be loaded: *needs a_framework_that_is_absent*"),
        ("broken", "asked for, and cannot be loaded: *OSError: no driver*"),
        ("nosuch", "*got backend 'nosuch', expected one of numerical*"),
    ],
)
@pytest.mark.parametrize("test", [USES_BACKEND, AGREES], ids=["backend", "gradients_agree"])
def test_a_backend_asked_for_that_does_not_load_is_no_skip(project, name, reason, test):
    write(project, test)
    result = project.runpytest(f"--gradparity-backends={name}")
    outcomes = result.parseoutcomes()
    assert outcomes.get("errors", 0) + outcomes.get("failed", 0) == 1
    assert "skipped" not in outcomes
    result.stdout.fnmatch_lines([f"*{reason}"])


def test_the_marker_restricts_the_backends_and_sets_the_dtype(project):
    write(
        project,
        """
    @pytest.mark.gradparity(backends=["complex", "numerical"], dtype="float32")
    def test_slope(backend):
        assert backend.dtype == "float32"
        assert backend.name != "liar"
    """,
    )
    project.runpytest().assert_outcomes(passed=2)
    project.runpytest("--gradparity-backends=complex,liar").assert_outcomes(passed=1)
    result = project.runpytest("--gradparity-backends=liar", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*for other backends than asked for*"])


@pytest.mark.parametrize("marker", ["backend='jax'", "'jax'"])
def test_a_misspelt_marker_is_refused(project, marker):
    write(
        project,
        f"""
    @pytest.mark.gradparity({marker})
    def test_slope(backend):
        pass
    """,
    )
    result = project.runpytest()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*expected @pytest.mark.gradparity(backends=..., dtype=...)*"])


def test_the_marker_is_known_to_strict_runs(project):
    write(
        project,
        """
    @pytest.mark.gradparity(backends="complex")
    def test_slope(backend):
        assert backend.name == "complex"
    """,
    )
    project.runpytest("--strict-markers").assert_outcomes(passed=1)


def test_a_project_with_a_fixture_named_backend_keeps_its_own(project):
    project.makeconftest("""
        import pytest

        @pytest.fixture
        def backend():
            return "the project's own"
    """)
    project.makepyfile('def test_own(backend): assert backend == "the project\'s own"')
    project.runpytest("--gradparity-backends=complex,numerical").assert_outcomes(passed=1)


def test_right_gradients_agree(project):
    write(
        project,
        AGREES
        + """
    def test_rule(gradients_agree):
        assert gradients_agree(loss, PARAMS, X, gradient=right).verdict == "agree"
        assert gradients_agree(loss, PARAMS, X, gradient=right(PARAMS, X)).verdict == "agree"
    """,
    )
    project.runpytest("--gradparity-backends=numerical,complex").assert_outcomes(passed=2)


def test_a_backend_that_is_wrong_is_named(project):
    write(project, AGREES)
    result = project.runpytest("--gradparity-backends=numerical,complex,liar")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r"E +AssertionError: differ: .*liar.*"])


def test_beside_the_fixture_backend_that_one_alone_is_checked(project):
    write(
        project,
        """
    def test_slope(backend, gradients_agree):
        assert gradients_agree(loss, PARAMS, X).backends == (backend.name,)
    """,
    )
    result = project.runpytest("-v", "--gradparity-backends=numerical,complex,liar")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*test_slope?liar?*FAILED*"])


WRONG = """
    def test_rule(gradients_agree):
        gradients_agree(loss, PARAMS, X, gradient=wrong)
"""


def test_a_failure_shows_the_report_and_the_line_of_the_test(project):
    write(project, WRONG)
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert re.search(r">\s+gradients_agree\(loss, PARAMS, X, gradient=wrong\)", text)
    assert re.search(r"E\s+AssertionError: differ", text)
    assert "W[1, 2]" in text
    assert "array(" not in text
    assert "pytest_plugin.py" not in text.partition("short test summary")[0]


@pytest.mark.parametrize("seed", [0, 7])
def test_the_command_in_the_failure_repeats_it(project, monkeypatch, seed):
    project.makeini("[pytest]")  # the root folder, which pytest names tests from
    write(project, WRONG)
    project.mkdir("folder")
    project.path.joinpath("test_project.py").rename("folder/test_project.py")
    monkeypatch.chdir("folder")
    result = project.runpytest(f"--gradparity-seed={seed}")
    commands = re.findall(
        rf"seed {seed}; to repeat: (pytest .*--gradparity-seed={seed})$",
        result.stdout.str(),
        re.MULTILINE,
    )
    (command,) = set(commands)  # pytest's summary says it again where CI is set
    again = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], capture_output=True, text=True
    )
    assert again.returncode == 1
    assert f"seed {seed}; to repeat: {command}" in again.stdout


def test_a_seed_from_the_test_itself_needs_no_option(project):
    write(
        project,
        """
    def test_rule(gradients_agree):
        gradients_agree(loss, PARAMS, X, gradient=wrong, seed=11)
    """,
    )
    text = project.runpytest("--gradparity-seed=3").stdout.str()
    assert re.search(r"seed 11; to repeat: pytest test_project.py::test_rule$", text, re.MULTILINE)


def test_what_cannot_be_told_is_a_failure(project):
    write(
        project,
        """
    def test_slope(gradients_agree):
        gradients_agree(lambda params, x: loss(params, x) + np.nan, PARAMS, X, gradient=right)
    """,
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: cannot tell*"])


def test_a_wrong_combination_is_refused(project):
    write(
        project,
        """
    def test_slope(gradients_agree):
        gradients_agree(loss, PARAMS, X, gradient=right, backends=["complex"])
    """,
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*got gradient= together with backends=*"])


def test_differences_alone_are_a_skip_unless_wanted(project, three_backends):
    project.path.joinpath("plugged-1.0.dist-info", "entry_points.txt").write_text(
        "[gradparity.backends]\nabsent = a_framework_that_is_absent:Backend\n"
    )
    write(project, AGREES)
    result = project.runpytest("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*'absent' needs a_framework_that_is_absent*"])
    project.runpytest("--gradparity-backends=numerical").assert_outcomes(passed=1)


def test_an_implementation_alone_is_judged_by_its_own_slopes(project):
    write(
        project,
        """
    def test_port(gradients_agree):
        gradients_agree({"complex": loss, "liar": loss}, PARAMS, X)
    """,
    )
    project.runpytest("--gradparity-backends=complex").assert_outcomes(passed=1)
    project.runpytest("--gradparity-backends=liar").assert_outcomes(failed=1)
    project.runpytest("--gradparity-backends=complex,liar").assert_outcomes(failed=1)
    project.runpytest("--gradparity-backends=numerical").assert_outcomes(skipped=1)


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_backends_left_out_are_told_at_the_end(project, workers):
    write(
        project,
        """
    @pytest.mark.gradparity(backends=["complex", "absent"])
    @pytest.mark.parametrize("k", range(3))
    def test_slope(gradients_agree, k):
        gradients_agree(loss, PARAMS, X)
    """,
    )
    result = project.runpytest_subprocess(*workers)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["gradparity: left out of 3 tests: backend 'absent' needs *"])


def test_xdist_workers_share_the_options_and_a_random_seed(project):
    write(
        project,
        """
    @pytest.mark.parametrize("k", range(8))
    def test_rule(gradients_agree, backend, k):
        gradients_agree(loss, PARAMS, X, gradient=wrong)
    """,
    )
    result = project.runpytest_subprocess(
        "-n", "2", "--gradparity-seed=random", "--gradparity-backends=complex,numerical"
    )
    result.assert_outcomes(failed=16)
    seeds = set(re.findall(r"--gradparity-seed=(\d+)", result.stdout.str()))
    assert len(seeds) == 1
    result.stdout.fnmatch_lines([f"gradparity: seed {seeds.pop()}, backends complex, numerical"])


def test_two_random_runs_have_two_seeds(project, three_backends):
    write(project, AGREES)
    texts = [project.runpytest("--gradparity-seed=random").stdout.str() for _ in range(2)]
    headers = [re.findall("gradparity: seed .*", text) for text in texts]
    assert headers[0] != headers[1]


def test_a_seed_that_is_no_number_is_refused(project):
    result = project.runpytest("--gradparity-seed=lucky")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*got 'lucky', expected a number or 'random'*"])


def test_a_hundred_seeds_raise_no_false_alarm(project):
    write(
        project,
        """
    @pytest.mark.parametrize("seed", range(100))
    def test_slope(gradients_agree, seed):
        gradients_agree(loss, PARAMS, X, seed=seed)
    """,
    )
    project.runpytest("--gradparity-backends=complex").assert_outcomes(passed=100)


def test_the_conformance_class_passes_and_fails(project):
    project.makepyfile("""
        from complex_step import OffByAThousandth
        from gradparity.compare.conformance.conformance import BackendConformance

        class TestHonest(BackendConformance):
            backend = "numerical"

        class TestLiar(BackendConformance):
            backend = "liar"
    """)
    result = project.runpytest("-k", "loads or gradient_is_the_derivative-float64-network")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["FAILED *TestLiar*gradient_is_the_derivative-float64-network*"])
