"""Run what somebody wrote in a process of its own: it may hang, crash or print."""

import concurrent.futures
import copy
import importlib.util
import linecache
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from loky.backend import get_context
from numpy import ndarray
from pebble import ProcessExpired, ProcessPool

from .exercise import Case, shapes


@dataclass(frozen=True)
class Answer:
    """What a backward pass gave for one case.

    gradients: as many as were returned; a text stands for what is no array of numbers
    failure: why there are none, for a person
    """

    gradients: tuple[ndarray | str, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Answers:
    """What a backward pass gave for each case, or why it gave nothing.

    changed: arguments that it changed; unsteady: positions of gradients that changed from one call
    to the next; forward: what the file's own forward pass gives for the first case, where it runs
    """

    cases: tuple[Answer, ...] = ()
    failure: str = ""
    changed: tuple[str, ...] = ()
    unsteady: tuple[int, ...] = ()
    forward: ndarray | None = None


def run_submissions(
    requests: Sequence[tuple[Path, str, str, tuple[Case, ...]]], time_limit: float
) -> list[Answers]:
    """Run each (file, backward, forward, cases), one process each, and return what came of it.

    time_limit: seconds for each
    """
    workers = max(1, min(len(requests), os.cpu_count() or 1))
    # One task a process: no file sees what another one left behind. Loky starts processes that
    # share no threads with this one, and do not run its main script again.
    pool = ProcessPool(max_workers=workers, max_tasks=1, context=get_context("loky"))
    try:
        futures = [pool.schedule(_run, args=request, timeout=time_limit) for request in requests]
        return [_outcome(future, time_limit) for future in futures]
    finally:
        pool.stop()
        pool.join()


def _outcome(future: "concurrent.futures.Future[Answers]", time_limit: float) -> Answers:
    try:
        return future.result()
    except TimeoutError:
        return Answers(
            failure=f"it was still running after {time_limit:g} s: is there a loop without an end?"
        )
    except ProcessExpired as error:
        status = error.exitcode or 0
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return Answers(failure=f"its process ended with {how} before it returned anything")


def _run(path: Path, backward: str, forward: str, cases: tuple[Case, ...]) -> Answers:
    """Import the file and try its backward pass; this is what the other process does."""
    # What it prints is not part of the table, and it must not wait for a keyboard.
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    sys.path.append(str(path.parent))
    specification = importlib.util.spec_from_file_location("submission", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except BaseException as error:  # SystemExit and all others: whatever a file may raise
        return Answers(failure=f"running the file raised {explained(error, path)}")
    function = getattr(module, backward, None)
    if not callable(function):
        return Answers(failure=f"it has no function {backward}: that is the one to write")
    tried = [_try(function, case, path) for case in cases]
    again = [_try(function, case, path)[0] for case in cases]
    unsteady = {
        position
        for (first, _), second in zip(tried, again, strict=True)
        for position, (one, other) in enumerate(
            zip(first.gradients, second.gradients, strict=False)
        )
        if not _alike(one, other)
    }
    return Answers(
        tuple(answer for answer, _ in tried),
        changed=tuple(sorted({name for _, changed in tried for name in changed})),
        unsteady=tuple(sorted(unsteady)),
        forward=_forward(getattr(module, forward, None), cases[0]),
    )


def _try(function: Any, case: Case, path: Path) -> tuple[Answer, list[str]]:
    """Call the backward pass on copies; return its answer, and the arguments that it changed."""
    dy, inputs = copy.deepcopy((case.dy, case.inputs))
    try:
        with np.errstate(all="ignore"):
            returned = function(dy, **inputs)
    except BaseException as error:
        given = shapes({"dy": case.dy, **case.inputs})
        return Answer(failure=f"it raised {explained(error, path)}; the shapes were {given}"), []
    gradients = returned if isinstance(returned, tuple | list) else (returned,)
    if isinstance(returned, list) and not all(isinstance(item, ndarray) for item in returned):
        gradients = (returned,)  # one gradient, as nested lists
    before, after = {"dy": case.dy, **case.inputs}, {"dy": dy, **inputs}
    changed = [name for name in before if not _alike(before[name], after[name])]
    return Answer(tuple(map(_as_numbers, gradients))), changed


def _as_numbers(gradient: Any) -> ndarray | str:
    """Return a plain array, or what it is instead."""
    if gradient is ...:
        return "..."
    if gradient is None:
        return "None"
    try:
        array = np.array(gradient)
    except Exception:
        return f"a {type(gradient).__name__}"
    if array.dtype.kind not in "biuf":
        return f"a {type(gradient).__name__} of {array.dtype}"
    return array if array.dtype.kind == "f" else array.astype(float)


def _forward(function: Any, case: Case) -> ndarray | None:
    try:
        return np.array(function(**copy.deepcopy(case.inputs)), float)
    except BaseException:
        return None


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, str) or isinstance(right, str):
        return bool(left == right)
    return np.array_equal(left, right, equal_nan=True)


def explained(error: BaseException, path: Path) -> str:
    """Return the exception in one line, with the line of the file that it came from."""
    message = " ".join(str(error).split())
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"SyntaxError: {error.msg} in line {error.lineno}: {(error.text or '').strip()}"
    own = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    if not own:
        return what
    line = linecache.getline(str(path), own[-1].lineno or 0).strip()
    return f"{what} in line {own[-1].lineno}: {line}"
