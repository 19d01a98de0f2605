"""Tell whether gradients can be trusted: every public name of gradparity in one place.

`import gradparity as gp` loads nothing but this module; a name loads on first use. What is public
is decided by the three packages: a name in the `__all__` of `gradparity.compare`,
`gradparity.models` or `gradparity.backends` is here too.
"""

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "gradparity":
    raise ImportError(
        f"{__name__!r} is gradparity imported a second time under another name; import gradparity"
    )

if TYPE_CHECKING:
    from . import backends as backends
    from . import compare as compare
    from . import models as models
    from .backends import *  # noqa: F403
    from .compare import *  # noqa: F403
    from .models import *  # noqa: F403

    __version__: str

# Asked in this order: the first knows its names without importing arrays.
_PACKAGES = ("compare", "models", "backends")


def _package(name: str) -> Any:
    return importlib.import_module(f".{name}", __name__)


if not TYPE_CHECKING:  # it would let type checkers accept every name

    def __getattr__(name: str) -> Any:
        if name in _PACKAGES:
            return _package(name)
        if name == "__version__":
            from importlib.metadata import version

            return version("gradparity")
        if name == "__all__":
            return _public()
        if not name.startswith("_"):
            for package in map(_package, _PACKAGES):
                if name in package.__all__:
                    globals()[name] = getattr(package, name)  # found once, then without this search
                    return globals()[name]
        raise AttributeError(f"module 'gradparity' has no attribute {name!r}{_hint(name)}")


def _public() -> list[str]:
    return sorted({name for package in _PACKAGES for name in _package(package).__all__})


def _hint(name: str) -> str:
    import difflib

    near = [] if name.startswith("_") else difflib.get_close_matches(name, __dir__(), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def __dir__() -> list[str]:
    dunders = {name for name in globals() if name.startswith("__")}
    return sorted({*dunders, *_PACKAGES, "__version__", *_public()})
