"""What is built and installed is what is in the tree."""

import importlib
import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("backends", "models", "compare")
FRONT = ROOT / "compare" / "front"  # installed as gradparity itself


def packages_in_the_tree() -> set[str]:
    inits = [init for folder in FOLDERS for init in (ROOT / folder).rglob("__init__.py")]
    folders = [init.parent for init in inits if init.parent != FRONT]
    return {"gradparity", *(".".join(("gradparity", *f.relative_to(ROOT).parts)) for f in folders)}


def folder_of(package: str) -> Path:
    return FRONT if package == "gradparity" else ROOT.joinpath(*package.split(".")[1:])


def test_the_package_list_is_the_tree():
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_in_the_tree()


def test_no_folder_with_python_code_lacks_its_init():
    for folder in FOLDERS:
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} has no __init__.py"


@pytest.mark.parametrize("package", sorted(packages_in_the_tree()))
def test_every_package_is_typed_and_installed(package):
    location = Path(importlib.import_module(package).__file__).parent
    assert (location / "py.typed").exists()


@pytest.mark.parametrize("package", sorted(packages_in_the_tree()))
def test_a_second_import_under_another_name_is_refused(package):
    init = folder_of(package) / "__init__.py"
    specification = importlib.util.spec_from_file_location("copy_of_it", init)
    module = importlib.util.module_from_spec(specification)
    with pytest.raises(ImportError, match=f"{package} imported a second time"):
        specification.loader.exec_module(module)


def test_the_installed_modules_are_those_of_the_tree():
    for package in packages_in_the_tree():
        installed = Path(importlib.import_module(package).__file__).parent
        source = folder_of(package)
        assert {path.name for path in installed.glob("*.py")} == {
            path.name for path in source.glob("*.py")
        }


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_one_way(folder):
    forbidden = {"backends": ("models", "compare"), "models": ("compare",), "compare": ()}[folder]
    for module in (ROOT / folder).rglob("*.py"):
        text = module.read_text()
        for other in forbidden:
            assert f"gradparity.{other} import" not in text, f"{module} imports {other}"
            assert f"import gradparity.{other}" not in text, f"{module} imports {other}"


def test_no_module_shadows_a_framework():
    names = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert not names & {"jax.py", "torch.py", "numpy.py"}
