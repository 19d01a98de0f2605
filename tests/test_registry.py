"""Finding backends: by name, through entry points, and what is said when that fails."""

import importlib.metadata
import subprocess
import sys
from typing import ClassVar

import pytest

from gradparity.backends import BackendUnavailable, available_backends, get_backend, registry
from gradparity.backends.errors import InvalidSetting, UnknownBackend
from gradparity.backends.numerical_difference import NumericalDifference


class PluggedIn(NumericalDifference):
    name: ClassVar[str] = "plugged"


@pytest.fixture
def plug(monkeypatch):
    def plug(name: str, target: str) -> None:
        entry = importlib.metadata.EntryPoint(name, target, registry.ENTRY_POINT_GROUP)
        monkeypatch.setattr(registry, "_plugged_in", lambda path: (entry,))

    return plug


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownBackend, match="'jaxx'.*numerical, jax, torch"):
        get_backend("jaxx")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float16"}, "'float16'.*float32, float64"),
        ({"device": "tpu9"}, "'tpu9'.*cpu"),
        ({"setp_size": 1}, "no setting 'setp_size'.*step_size"),
        ({"step_size": -1.0}, "step_size -1.0.*positive"),
        ({"step_size": "auto"}, "step_size 'auto'.*automatic"),
    ],
)
def test_an_invalid_setting_is_named_with_the_valid_ones(settings, message):
    with pytest.raises(InvalidSetting, match=message):
        get_backend("numerical", **settings)


@pytest.mark.parametrize("device", ["tpu9", "cuda:99"])
def test_an_unknown_device_lists_the_known_ones(backend_name, load_backend, device):
    load_backend(backend_name)
    with pytest.raises(InvalidSetting, match=f"'{device}'.*cpu"):
        get_backend(backend_name, device=device)


def test_the_device_holds_the_arrays(backend_name, load_backend):
    backend = load_backend(backend_name, device="cpu")
    array = backend.asarray([1.0, 2.0])[0]
    assert str(getattr(array, "device", "cpu")).lower().startswith(("cpu", "tfrtcpu"))


def test_a_plug_in_is_found_by_its_entry_point(plug):
    plug("plugged", f"{__name__}:PluggedIn")
    sys.modules.setdefault(__name__, sys.modules[PluggedIn.__module__])
    assert type(get_backend("plugged", step_size=1e-4)).__name__ == "PluggedIn"
    assert "plugged" in [info.name for info in available_backends()]


def test_a_plug_in_cannot_take_a_built_in_name(plug):
    plug("numerical", f"{__name__}:PluggedIn")
    assert type(get_backend("numerical")) is NumericalDifference


def test_a_plug_in_that_is_no_backend_is_refused(plug):
    plug("odd", "math:pi")
    with pytest.raises(InvalidSetting, match=r"math:pi.*3\.14"):
        get_backend("odd")


def test_a_missing_framework_says_what_to_install(plug):
    plug("absent", "a_framework_that_is_absent:Backend")
    with pytest.raises(BackendUnavailable, match="pip install a_framework_that_is_absent"):
        get_backend("absent")


def test_a_missing_built_in_framework_names_the_extra(monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "jax", "absent_jax:Backend")
    with pytest.raises(BackendUnavailable, match=r"pip install 'gradparity\[jax\]'"):
        get_backend("jax")


def test_a_broken_framework_shows_its_own_error(plug, tmp_path, monkeypatch):
    (tmp_path / "broken_framework.py").write_text("import broken_framework.core\n")
    monkeypatch.syspath_prepend(tmp_path)
    plug("broken", "broken_framework:Backend")
    with pytest.raises(ModuleNotFoundError, match=r"broken_framework\.core") as caught:
        get_backend("broken")
    assert not isinstance(caught.value, BackendUnavailable)
    (info,) = [info for info in available_backends() if info.name == "broken"]
    assert "broken_framework.core" in info.unavailable


def test_available_backends_gives_versions_and_devices(backend_name, load_backend):
    load_backend(backend_name)
    (info,) = [info for info in available_backends() if info.name == backend_name]
    assert info.unavailable is None
    assert info.version[0].isdigit()
    assert "cpu" in info.devices


def test_importing_the_backends_imports_no_framework():
    code = "import sys, gradparity.backends; print({'jax', 'torch'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
