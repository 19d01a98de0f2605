"""Everything public is `gradparity.NAME`, loaded on first use."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradparity as gp


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment or None
    )


NEEDS_FLINT = ("prove_gradient",)


def test_every_public_name_of_the_three_packages_is_there():
    for package in (gp.backends, gp.models, gp.compare):
        for name in package.__all__:
            if name in NEEDS_FLINT and importlib.util.find_spec("flint") is None:
                with pytest.raises(gp.BackendUnavailable, match="proof"):
                    getattr(gp, name)
                continue
            assert getattr(gp, name) is getattr(package, name)
            assert name in dir(gp)
            assert name in gp.__all__


def test_one_import_checks_a_gradient():
    check = gp.check_gradient(lambda x: x @ x, np.ones(2), gradient=2 * np.ones(2))
    assert isinstance(check, gp.GradientCheck)
    assert isinstance(check.verdict, gp.Verdict)


def test_an_import_loads_no_framework_and_no_arrays():
    run = python("-c", "import gradparity, sys; print(*sorted(sys.modules))")
    loaded = run.stdout.split()
    assert not {"numpy", "jax", "torch", "matplotlib", "typer", "pytest"} & set(loaded)
    assert len(loaded) < 100  # a bare Python has some 50, and takes a hundredth of a second


def test_a_name_that_is_not_there_is_told_with_its_like():
    with pytest.raises(AttributeError, match="did you mean 'check_gradient'"):
        gp.check_gradients  # noqa: B018
    assert not hasattr(gp, "__wrapped__")


def test_what_type_checkers_see_of_the_judging_names_is_what_loads():
    source = ast.parse(Path(gp.compare.__file__).read_text())
    block = next(
        node
        for node in source.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    modules = {name for name, module in seen.items() if module is None}
    assert {n: m for n, m in seen.items() if n not in modules} == gp.compare._MODULES
    assert sorted(seen) == sorted(gp.compare.__all__)


def test_the_version_is_that_of_the_distribution():
    run = python("-m", "gradparity", "--version")
    assert run.stdout == f"gradparity {gp.__version__}\n"
    assert run.returncode == 0
    assert gp.__version__[0].isdigit()


def test_shells_complete_commands():
    run = python(
        "-m", "gradparity", _GRADPARITY_COMPLETE="complete_bash",
        COMP_WORDS="gradparity conf", COMP_CWORD="1",
    )  # fmt: skip
    assert run.stdout.split() == ["conformance"], run.stderr


def test_usage_without_a_command_still_shows_the_help():
    run = python("-m", "gradparity")
    assert "check" in run.stdout + run.stderr
    assert run.returncode == 2
