"""Find out before the work whether its results can be written, and write strict JSON."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from gradparity.backends.errors import GradparityError
from gradparity.compare.strict_json import strict
from gradparity.models.atomic_file import clear_abandoned, is_replaced, write_atomically

from .terminal import TO_STANDARD_OUTPUT


class Unwritable(GradparityError, OSError):
    """A result cannot be written where it was asked to go."""


def check_folder(folder: Path) -> Path:
    """Make the folder, and prove before any work that a file can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Unwritable(
            f"got output folder {str(folder)!r}, which cannot be written ({error.strerror}); "
            "expected a folder of your own: choose another one"
        ) from error
    return folder


def check_file(path: Path | None) -> None:
    """Prove before any work that this file can be written; "-" is standard output."""
    if path is None or path == TO_STANDARD_OUTPUT:
        return
    if path.is_dir():
        raise Unwritable(f"got {str(path)!r}, which is a folder; expected the name of a file")
    if is_replaced(path):
        check_folder(Path(os.path.realpath(path)).parent)
        clear_abandoned(path)
    elif not os.access(path, os.W_OK):
        raise Unwritable(f"got {str(path)!r}, which cannot be written; choose another file")


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write strict JSON; NaN and infinities, which JSON does not have, become strings.

    raises: Unwritable
    """
    if path is None:
        return
    text = json.dumps(strict(result), indent=2, allow_nan=False) + "\n"
    try:
        if path == TO_STANDARD_OUTPUT:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_atomically(path, text.encode())
    except OSError as error:
        raise Unwritable(
            f"{path}: the JSON cannot be written ({error.strerror}); expected a file with room "
            "for it: make room or choose another one"
        ) from error
