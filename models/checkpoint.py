"""Trainings on disk: one .npz without pickles, there entirely or not at all."""

import dataclasses
import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradparity.backends import Backend
from gradparity.backends.errors import InvalidData, InvalidSetting
from gradparity.backends.pytrees import PyTree, flatten, leaf_names, unflatten

from .atomic_file import clear_abandoned, is_replaced, write_atomically
from .training_run import TrainingRun

FORMAT = 2
# What NumPy and zipfile make of a file that is cut, changed, or no archive at all.
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, RuntimeError),
    *(TypeError, ValueError, MemoryError),
)
MEASURED = ("losses", "train_accuracy", "test_accuracy", "epoch_seconds")


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds a TrainingRun and the settings it belongs to.

    settings: all that decides where a training goes, in values that JSON can hold. The batches
        follow from the seed and the number of steps, so that no generator has to be kept
    """

    path: Path
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.path.parent.is_dir() or self.path.is_dir():
            raise InvalidSetting(
                f"got checkpoint {self.path}, expected a file in a directory that exists"
            )
        clear_abandoned(self.path)

    def save(self, run: TrainingRun) -> None:
        """Write the run; raises: OSError, and the file is then as it was."""
        arrays = {name: getattr(run, name) for name in MEASURED}
        arrays |= dict(zip(_keys(run.params), flatten(run.params)[0], strict=True))
        written = self.settings | {"format": FORMAT}
        identity = {"contents": fingerprint(*arrays.values()), "steps": run.steps}
        content = io.BytesIO()
        np.savez(
            content,
            **arrays,
            seconds=run.seconds,
            settings=json.dumps(written),
            identity=json.dumps(identity),
        )
        write_atomically(self.path, content.getvalue())

    def load(self, like: TrainingRun) -> TrainingRun:
        """Return the run in the file, its params structured as those of `like`.

        raises: InvalidSetting where there is no file or it belongs to another training,
            InvalidData where it cannot be read
        """
        if not self.path.exists():
            raise InvalidSetting(
                f"checkpoint {self.path}: there is no such file to resume from; "
                "start without resume, and it will be written after the first epoch"
            )
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as file:
                self._check_settings(json.loads(str(file["settings"])))
                arrays = {name: file[name] for name in (*MEASURED, *_keys(like.params))}
                identity = json.loads(str(file["identity"]))
                # Losses that were cut off would lead back to batches that have been learned.
                if identity["contents"] != fingerprint(*arrays.values()):
                    raise ValueError("its arrays are not those that were written")
                return dataclasses.replace(
                    like,
                    params=unflatten(
                        flatten(like.params)[1], [arrays[key] for key in _keys(like.params)]
                    ),
                    seconds=float(file["seconds"]),
                    **{name: arrays[name] for name in MEASURED},
                )
        except InvalidSetting:
            raise
        except UNREADABLE as error:
            raise InvalidData(
                f"checkpoint {self.path}: got a file that cannot be read ({error}), expected one "
                "written by train; begin anew with overwrite=True, --overwrite"
            ) from error

    def refuse_to_lose(self, steps: int) -> None:
        """Refuse to begin anew where the file holds more than so many steps, or something else.

        steps: what the file will hold when it is first written
        raises: InvalidSetting
        """
        if not self.path.exists() or not is_replaced(self.path):
            return
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as file:
                held = int(json.loads(str(file["identity"]))["steps"])
        except UNREADABLE as error:
            raise InvalidSetting(
                f"checkpoint {self.path}: got a file that train has not written ({error}), which "
                "would be lost; name another file, or overwrite it on purpose: overwrite=True, "
                "--overwrite"
            ) from error
        if held > steps:
            raise InvalidSetting(
                f"checkpoint {self.path} holds a training of {held:,} steps, which the first "
                f"{steps:,} steps of this one would replace; go on from it (resume=True, "
                "--resume), name another file, or overwrite it on purpose (overwrite=True, "
                "--overwrite)"
            )

    def _check_settings(self, written: dict[str, Any]) -> None:
        expected = self.settings | {"format": FORMAT}
        differing = [
            f"{name} {written.get(name)!r} instead of {expected.get(name)!r}"
            for name in sorted(expected.keys() | written.keys())
            if written.get(name) != expected.get(name)
        ]
        if differing:
            raise InvalidSetting(
                f"checkpoint {self.path} belongs to another training: it has "
                f"{', '.join(differing)}; resume with its settings, or name another file"
            )


def describe_settings(model: object, backend: Backend, **settings: Any) -> dict[str, Any]:
    """Return what identifies a training: its model, its backend with all settings, and more."""
    model_type = type(model)
    described: dict[str, Any] = {"model": f"{model_type.__module__}.{model_type.__qualname__}"}
    if dataclasses.is_dataclass(model):
        described["model"] = f"{model_type.__module__}.{model!r}"
    described["backend"] = backend.name
    for setting in dataclasses.fields(backend):
        value = getattr(backend, setting.name)
        if isinstance(value, str | int | float):  # progress and the like change no result
            described[f"backend.{setting.name}"] = value
    return described | settings


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Return a digest of the contents, shapes and dtypes of some arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _keys(params: PyTree) -> list[str]:
    return [f"params:{name}" for name in leaf_names(params)]
