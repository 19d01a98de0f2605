"""What a user keeps in files: a function in Python source, arrays in .npz or .npy."""

import functools
import importlib.util
import inspect
import math
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from gradparity.backends.errors import GradparityError, InvalidSetting
from gradparity.backends.pytrees import PyTree

MAGIC = b"\x93NUMPY"  # what an .npy file begins with
DEEPEST = 64  # levels of names
UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
SEPARATOR = "/"  # between the levels of nested parameters; names may hold dots, as torch's do


class UnusableFile(GradparityError, ValueError):
    """A user's file that is there, but whose content cannot be used."""


def load_function(target: str) -> Callable[..., Any]:
    """Return the function that "path/to/file.py:name" names; the name may have dots.

    The file is run as a module; modules beside it can be imported, as when Python runs it.
    raises: InvalidSetting where there is no such file or function, UnusableFile where running the
        file fails
    """
    path, _, name = target.rpartition(":")
    if not (path and name):
        raise InvalidSetting(
            f"got {target!r}, expected a file and a function in it, as in path/to/file.py:loss"
        )
    module = _run(*_python_file(path))
    found: Any = module
    for attribute in name.split("."):
        if not hasattr(found, attribute):
            raise InvalidSetting(
                f"got {target!r}, but {path} has no {name!r}; expected "
                + (f"one of {', '.join(_functions(module))}" or "a function in it")
            )
        found = getattr(found, attribute)
    if not callable(found):
        raise InvalidSetting(
            f"got {target!r}, which is a {type(found).__name__}; expected a function"
        )
    function: Callable[..., Any] = found
    return function


def load_arrays(path: Path) -> PyTree:
    """Return the arrays of an .npz file as a dict, or the one array of an .npy file.

    A name such as "layers/0/W" makes nested dicts, and a list where names count 0, 1, 2, ...;
    pickled objects are refused unread: they could run any code.
    raises: InvalidSetting where there is no such file, UnusableFile
    """
    stored = _read(path)
    if isinstance(stored, np.ndarray):
        return stored
    tree: dict[str, Any] = {}
    for name, array in stored.items():
        *levels, last = name.split(SEPARATOR)
        if len(levels) > DEEPEST:
            raise UnusableFile(
                f"{path}: got a name of {len(levels):,} levels, {name[:20]}...; expected at most "
                f"{DEEPEST}"
            )
        branch = tree
        for level in levels:
            branch = branch.setdefault(level, {})
            if not isinstance(branch, dict):
                raise UnusableFile(f"{path}: got {name!r} beneath an array; expected another name")
        if last in branch:
            raise UnusableFile(f"{path}: got {name!r} as an array and as a level above others")
        branch[last] = array
    return _with_lists(tree)


def load_arguments(path: Path, f: Callable[..., Any]) -> tuple[Any, ...]:
    """Return the arrays of a file as the arguments of f after its first.

    They go by the names of f's arguments, or in the order of the file where no name fits.
    raises: InvalidSetting where names or their number do not fit f; as `load_arrays`
    """
    arrays = load_arrays(path)
    if isinstance(arrays, np.ndarray):
        return (arrays,)
    parameters = _positional(f)[1:]
    names = [parameter.name for parameter in parameters]
    unknown = [name for name in arrays if name not in names]
    if len(unknown) == len(arrays):
        return tuple(arrays.values())
    if unknown:
        raise InvalidSetting(
            f"{path}: got {', '.join(map(repr, unknown))}, which {_name(f)} has no argument for; "
            f"expected {', '.join(map(repr, names))}"
        )
    last = max(names.index(name) for name in arrays)
    given = [arrays.get(parameter.name, parameter.default) for parameter in parameters[: last + 1]]
    missing = [
        name for name, value in zip(names, given, strict=False) if value is inspect.Parameter.empty
    ]
    if missing:
        raise InvalidSetting(
            f"{path}: got no {', '.join(map(repr, missing))}, which {_name(f)} needs; save it there"
        )
    return tuple(given)


def check_signature(f: Callable[..., Any], params: PyTree, args: tuple[Any, ...]) -> None:
    """Refuse arguments that f cannot be called with, before anything is computed."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # some callables of compiled modules have none
        return
    try:
        signature.bind(params, *args)
    except TypeError as error:
        raise InvalidSetting(
            f"{_name(f)}{signature} cannot be called with params and {len(args)} further "
            f"arguments: {error}; expected the further ones in --args FILE.npz, by their names"
        ) from None


def _python_file(name: str) -> tuple[Path, int]:
    """Return the file and when it was last changed, in nanoseconds."""
    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        raise InvalidSetting(f"got {name!r}, expected the name of a Python file that is there")
    return path.resolve(), path.stat().st_mtime_ns


@functools.cache  # a loss and its gradient rule come from one run of their file
def _run(path: Path, changed: int) -> ModuleType:
    # A name of its own: the file may be called numpy.py.
    name = f"gradparity_user_file_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        # Last: a file called numpy.py must not stand in for NumPy, here or in other processes.
        sys.path.append(str(path.parent))
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UnusableFile(
            f"{path.name}: running it raised {type(error).__name__}: {error}; expected a file that "
            "can be imported"
        ) from error
    return module


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]


def _read(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    if not path.is_file():
        raise InvalidSetting(
            f"got {str(path)!r}, expected the name of an .npz or .npy file that is there"
        )
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    for member in archive.infolist():
                        with archive.open(member) as content:
                            _check_claim(content, member.file_size)
            else:
                file.seek(0)
                _check_claim(file, path.stat().st_size)
            file.seek(0)
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                return stored
            arrays = {name: stored[name] for name in stored.files}
    except (*(OSError, ValueError, EOFError, MemoryError), *UNREADABLE) as error:
        raise UnusableFile(
            f"{path}: {error}; expected arrays that numpy.savez or numpy.save wrote, without "
            "pickled objects"
        ) from error
    if not arrays:
        raise UnusableFile(f"{path}: got no arrays; expected one at least, as numpy.savez writes")
    return arrays


def _check_claim(file: IO[bytes], size: int) -> None:
    """Refuse a header of an array that is larger than the file, before memory is asked for.

    raises: ValueError, also for what is no header
    """
    if file.read(len(MAGIC)) != MAGIC:
        return  # no array: NumPy says so
    major, minor = file.read(2)
    read = {1: np.lib.format.read_array_header_1_0}.get(major, np.lib.format.read_array_header_2_0)
    shape, _, dtype = read(file)
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise ValueError(
            f"its header claims {shape} {dtype}, {needed:,} bytes, where there are {size:,}"
        )


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    branches = {name: _with_lists(branch) for name, branch in tree.items()}
    if set(branches) == set(map(str, range(len(branches)))):
        return [branches[str(index)] for index in range(len(branches))]
    return branches


def _positional(f: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind in kinds]


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", type(f).__name__)
