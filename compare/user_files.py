"""Arrays that a user keeps in files, .npz or .npy, as a pytree."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from gradparity.backends.errors import GradparityError, InvalidSetting, did_you_mean
from gradparity.backends.pytrees import PyTree

MAGIC = b"\x93NUMPY"  # what an .npy file begins with
DEEPEST = 64  # levels of names
UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
# How to save as NumPy does what is kept in other ways; {0} is the file, {1} its name alone.
RECIPES = {
    ".csv": "np.save('{1}.npy', np.loadtxt('{0}', delimiter=','))",
    ".txt": "np.save('{1}.npy', np.loadtxt('{0}'))",
    ".tsv": "np.save('{1}.npy', np.loadtxt('{0}', delimiter='\\t'))",
    ".json": "np.savez('{1}.npz', **{{name: np.asarray(value, float) for name, value in "
    "json.loads(pathlib.Path('{0}').read_text()).items()}})",
    ".pt": "np.savez('{1}.npz', **{{name: value.numpy() for name, value in "
    "torch.load('{0}').items()}})",
    ".safetensors": "np.savez('{1}.npz', **safetensors.numpy.load_file('{0}'))",
    ".pkl": "np.savez('{1}.npz', **pickle.loads(pathlib.Path('{0}').read_bytes()))",
}
RECIPES |= {".pth": RECIPES[".pt"], ".pickle": RECIPES[".pkl"]}
SEPARATOR = "/"  # between the levels of nested parameters; names may hold dots, as torch's do


class UnusableFile(GradparityError, ValueError):
    """A user's file that is there, but whose content cannot be used."""


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


def _read(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    if not path.is_file():
        suffixes = (".npz", ".npy")
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        raise InvalidSetting(
            f"got {str(path)!r}, expected the name of an .npz or .npy file that is there"
            + did_you_mean(path.name, [other.name for other in beside if other.suffix in suffixes])
        )
    if path.suffix.lower() in RECIPES:
        recipe = RECIPES[path.suffix.lower()].format(path.name, path.stem)
        raise UnusableFile(
            f"{path}: got a file that NumPy has not saved; expected .npz or .npy, which this "
            f"writes: {recipe}"
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
