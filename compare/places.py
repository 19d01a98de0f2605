"""Where in the user's own code an exception comes from."""

import functools
import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path


def place_of(error: BaseException) -> str | None:
    """Return the file and line, in the user's code, that an exception comes from."""
    found = None
    for cause in _causes(error):
        for frame, line in traceback.walk_tb(cause.__traceback__):
            if not _is_installed(frame.f_code.co_filename):
                found = f"{_shortened(frame.f_code.co_filename)}, line {line}"
        if isinstance(cause, SyntaxError) and cause.filename and not _is_installed(cause.filename):
            found = f"{_shortened(cause.filename)}, line {cause.lineno}"
    return found


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


@functools.cache
def _is_installed(file: str) -> bool:
    """Return whether a file of a traceback is Python's, a package's or gradparity's own."""
    if file.startswith("<") or {"site-packages", "dist-packages"} & set(Path(file).parts):
        return True
    names = (os.path.abspath(file), os.path.realpath(file))
    folders = (*_standard(), *_own())
    return any(name.startswith(folder + os.sep) for folder in folders for name in names)


def _standard() -> set[str]:
    paths = sysconfig.get_paths()
    return {os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib", "purelib")}


def _own() -> set[str]:
    """Return where gradparity's own packages are, links of an editable installation resolved."""
    roots = {Path(__file__).parents[1], Path(__file__).resolve().parents[1]}
    return {str(root / name) for root in roots for name in ("backends", "models", "compare")}


def _shortened(file: str) -> str:
    """Return the name of a file from here, where that is shorter."""
    try:
        relative = os.path.relpath(file)
    except ValueError:  # another drive
        return file
    return min(relative, file, key=len)
