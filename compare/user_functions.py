"""A function that a user keeps in a Python file or module, and the arguments it is called with.

Arguments go by their names, to keyword-only parameters too; without names, in their order.
"""

import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gradparity.backends.errors import InvalidSetting, did_you_mean
from gradparity.backends.pytrees import PyTree

from .places import place_of
from .user_files import UnusableFile

UNNAMED = re.compile(r"arr_(\d+)")  # what numpy.savez calls the arrays that it is given in order
Kind = inspect.Parameter


def load_function(target: str) -> Callable[..., Any]:
    """Return the function that "path/to/file.py:name" or "package.module:name" names.

    The name may have dots. A file is run as a module; modules beside it can be imported, as when
    Python runs it, and within a package relatively.
    raises: InvalidSetting where there is no such file, module or function, UnusableFile where
        running it fails
    """
    path, _, name = target.rpartition(":")
    if not (path and name):
        raise InvalidSetting(
            f"got {target!r}, expected a file or module and a function in it, as in "
            "path/to/file.py:loss or package.module:loss"
        )
    module = _run_file(*_python_file(path)) if _is_file_name(path) else _import(path)
    found: Any = module
    for attribute in name.split("."):
        if not hasattr(found, attribute):
            own = _functions(module)
            raise InvalidSetting(
                f"got {target!r}, but {path} has no {name!r}; expected "
                + (f"one of {', '.join(own)}" if own else "a function in it")
                + did_you_mean(name, own)
            )
        found = getattr(found, attribute)
    if not callable(found):
        raise InvalidSetting(
            f"got {target!r}, which is a {type(found).__name__}; expected a function"
        )
    function: Callable[..., Any] = found
    return function


@dataclass(frozen=True)
class Arguments:
    """What a function is called with after its parameters: values, with names where they have any.

    names: as many as values, or none at all
    """

    values: tuple[PyTree, ...] = ()
    names: tuple[str, ...] = ()

    def adapt(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Return f, called with the values in order: the names of keyword-only ones are added."""
        wanted = _parameters(f)
        keywords = [name for name in self.names if _kind(wanted, name) is Kind.KEYWORD_ONLY]
        if not keywords:
            return f
        names = self.names

        @functools.wraps(f)
        def by_name(params: PyTree, *values: PyTree) -> Any:
            given = dict(zip(names, values, strict=True))
            named = {name: given.pop(name) for name in keywords}
            return f(params, *given.values(), **named)

        return by_name


def match_arguments(
    arrays: PyTree, f: Callable[..., Any], source: str, *, by_position: bool = False
) -> Arguments:
    """Return the arrays of a file as the arguments of f after its first.

    They go by the names of f's arguments. In the order of the file they go only where that is
    asked for, or where they have no names: a single array, and arr_0, arr_1, ... of numpy.savez.
    raises: InvalidSetting where names or their number do not fit f
    """
    if not isinstance(arrays, Mapping):
        return Arguments((arrays,))
    if by_position:
        return Arguments(tuple(arrays.values()))
    if all(UNNAMED.fullmatch(name) for name in arrays):
        order = sorted(arrays, key=lambda name: int(name.removeprefix("arr_")))
        return Arguments(tuple(arrays[name] for name in order))
    parameters = _parameters(f)[1:]
    names = [parameter.name for parameter in parameters]
    unknown = [name for name in arrays if name not in names]
    if unknown:
        raise InvalidSetting(
            f"{source}: got {', '.join(map(repr, unknown))}, which {_name(f)} has no argument for; "
            + (f"expected {', '.join(map(repr, names))}" if names else "it takes params alone")
            + "; to take them in the order of the file, say so: --args-by-position"
            + did_you_mean(unknown[0], names)
        )
    return Arguments(*zip(*_in_order(arrays, parameters, source, f), strict=True))


def _in_order(
    arrays: Mapping[str, PyTree], parameters: Sequence[Kind], source: str, f: Callable[..., Any]
) -> Iterator[tuple[PyTree, str]]:
    """Yield the values and names of f's arguments up to the last that is given."""
    last = max(k for k, parameter in enumerate(parameters) if parameter.name in arrays)
    missing = []
    for position, parameter in enumerate(parameters):
        value = arrays.get(parameter.name, parameter.default)
        if value is not Kind.empty:
            given = parameter.name in arrays
            if given or (parameter.kind is not Kind.KEYWORD_ONLY and position < last):
                yield value, parameter.name
        elif position < last or parameter.kind is Kind.KEYWORD_ONLY:
            missing.append(repr(parameter.name))
    if missing:
        raise InvalidSetting(
            f"{source}: got no {', '.join(missing)}, which {_name(f)} needs; save it there"
        )


def check_signature(f: Callable[..., Any], params: PyTree, arguments: Arguments) -> None:
    """Refuse arguments that f cannot be called with, before anything is computed."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # some callables of compiled modules have none
        return
    wanted = _parameters(f)
    named = dict(zip(arguments.names, arguments.values, strict=False))
    keywords = {n: v for n, v in named.items() if _kind(wanted, n) is Kind.KEYWORD_ONLY}
    values = [v for n, v in named.items() if n not in keywords] or arguments.values
    try:
        signature.bind(params, *values, **keywords)
    except TypeError as error:
        raise InvalidSetting(
            f"{_name(f)}{signature} cannot be called with params and {len(arguments.values)} "
            f"further arguments: {error}; expected the further ones in --args FILE.npz, by their "
            "names"
        ) from None


def _is_file_name(path: str) -> bool:
    return path.endswith(".py") or "/" in path or os.sep in path or Path(path).is_file()


def _python_file(name: str) -> tuple[Path, int]:
    """Return the file and when it was last changed, in nanoseconds."""
    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        folder = path.parent
        beside = [other.name for other in folder.glob("*.py")] if folder.is_dir() else []
        raise InvalidSetting(
            f"got {name!r}, expected the name of a Python file that is there"
            + did_you_mean(path.name, beside)
        )
    return path.resolve(), path.stat().st_mtime_ns


@functools.cache  # a loss and its gradient rule come from one run of their file
def _run_file(path: Path, changed: int) -> ModuleType:
    package = _package_of(path)
    root = path.parents[len(package)]
    if str(root) not in sys.path:
        # Last: a file called numpy.py must not stand in for NumPy, here or in other processes.
        sys.path.append(str(root))
    with _running(path.name):
        if not package:
            return _run_alone(path)
        name = ".".join((*package, *(() if path.stem == "__init__" else (path.stem,))))
        importlib.invalidate_caches()
        module = importlib.import_module(name)
    found = module.__file__
    if found is None or not os.path.samefile(found, path):
        raise UnusableFile(
            f"{path.name}: its package has the name of another one: {name} is {found}; rename it, "
            "or run where the other one is not found"
        )
    return module


def _package_of(path: Path) -> tuple[str, ...]:
    """Return the names of the packages that a file is in, the outermost first."""
    names: tuple[str, ...] = ()
    for folder in path.parents:
        if not ((folder / "__init__.py").is_file() and folder.name.isidentifier()):
            break
        names = (folder.name, *names)
    return names


def _run_alone(path: Path) -> ModuleType:
    # A name of its own: the file may be called numpy.py. Its folder stands for a package.
    package = f"gradparity_user_files_{abs(hash(path.parent)):x}"
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(path.parent)]
    name = f"{package}.{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def _import(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    if not all(part.isidentifier() for part in name.split(".")):
        raise InvalidSetting(
            f"got {name!r}, expected the name of a Python file that is there, or of a module"
        )
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise InvalidSetting(
            f"got {name!r}, expected a module that can be imported from here, or a file: "
            f"{name.replace('.', '/')}.py:..."
        )
    with _running(name):
        return importlib.import_module(name)


@contextmanager
def _running(name: str) -> Iterator[None]:
    """Name what is run where that fails."""
    try:
        yield
    except (Exception, SystemExit) as error:
        place = place_of(error)
        raise UnusableFile(
            f"{name}: running it raised {type(error).__name__}: {error}"
            + (f" ({place})" if place else "")
            + "; expected a file that can be imported"
        ) from error


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]


def _parameters(f: Callable[..., Any]) -> list[Kind]:
    """Return the parameters of f that have names, keyword-only ones last."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD, Kind.KEYWORD_ONLY)
    return [parameter for parameter in parameters if parameter.kind in kinds]


def _kind(parameters: Sequence[Kind], name: str) -> Any:
    return next((parameter.kind for parameter in parameters if parameter.name == name), None)


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", type(f).__name__)
