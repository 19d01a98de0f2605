"""Judge backward passes: right or wrong, which argument, which entry, and what the mistake is."""

import ast
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from gradparity.backends.errors import InvalidSetting

from ..checking.check import check_gradient
from ..verdicts import Verdict
from .catalogue import EXERCISES
from .exercise import Case, Exercise
from .patterns import explain
from .submission import Answers, run_submissions

TIME_LIMIT = 10.0  # seconds for one file; a right answer takes a few hundredths


class Grade(StrEnum):
    """What is said of one answer."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Finding:
    """What is wrong with one gradient, or with the whole answer where argument is "".

    words: for a person; index, got, expected, error_bar: of one wrong entry, if there is one
    judged: False where gradparity could not tell, through no fault of who wrote it
    """

    argument: str
    words: str
    index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None
    error_bar: float | None = None
    judged: bool = True

    def __str__(self) -> str:
        if self.index is None or self.got is None or self.expected is None:
            return self.words
        place = (
            f"{self.argument}[{', '.join(map(str, self.index))}]" if self.index else self.argument
        )
        entry = f"{place} is {self.got:.6g}, expected {self.expected:.6g}"
        return f"{self.words}; {entry}" if self.words else entry


@dataclass(frozen=True)
class Mark:
    """The grade of one exercise in one file.

    findings: what is wrong; remarks: what is worth a word in a right answer too
    seconds: for the judging, the running apart
    """

    file: str
    exercise: str
    grade: Grade
    findings: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return dataclasses.asdict(self) | {"grade": str(self.grade)}


def grade_files(
    files: Sequence[Path], *, seed: int = 0, time_limit: float = TIME_LIMIT
) -> list[Mark]:
    """Return a mark for each exercise in each file, in the order of the files.

    What the files hold is run, each in a process of its own, which is no protection from files
    that mean harm.
    raises: InvalidSetting where there is no such file, or no exercise in it
    """
    wanted = [(path, exercise) for path in files for exercise in _exercises(path)]
    requests = [
        (path.resolve(), exercise.backward, exercise.name, exercise.cases(seed))
        for path, exercise in wanted
    ]
    answers = run_submissions(requests, time_limit)
    return [
        judge(exercise, cases, answer, file=str(path))
        for (path, exercise), (*_, cases), answer in zip(wanted, requests, answers, strict=True)
    ]


def _exercises(path: Path) -> list[Exercise]:
    """Return the exercises that a file has functions for, else the one it is named after."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidSetting(
            f"got {str(path)!r}, which cannot be read ({error.strerror}); expected a Python file "
            "with a backward pass in it, such as `gradparity exercises DIR` writes"
        ) from error
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):  # the run will tell; its name may say what it is
        statements = []
    defined = {node.name for node in statements if isinstance(node, ast.FunctionDef)}
    found = [exercise for exercise in EXERCISES.values() if exercise.backward in defined]
    if not found and path.stem in EXERCISES:
        found = [EXERCISES[path.stem]]
    if not found:
        names = ", ".join(exercise.backward for exercise in EXERCISES.values())
        raise InvalidSetting(
            f"got {str(path)!r}, in which no exercise can be found; expected a function called "
            f"one of {names}"
        )
    return found


def judge(exercise: Exercise, cases: Sequence[Case], answers: Answers, *, file: str = "") -> Mark:
    """Return the mark of what a backward pass gave for these cases."""
    clock = time.perf_counter()
    findings = _findings(exercise, cases, answers)
    wrong = tuple(finding for finding in findings if finding.judged)
    grade = Grade.WRONG if wrong else Grade.NOT_JUDGED if findings else Grade.RIGHT
    return Mark(
        file,
        exercise.name,
        grade,
        wrong or tuple(findings),
        _remarks(exercise, cases, answers),
        time.perf_counter() - clock,
    )


def _findings(exercise: Exercise, cases: Sequence[Case], answers: Answers) -> list[Finding]:
    if answers.failure:
        return [Finding("", answers.failure)]
    names = [f"d{argument}" for argument in exercise.arguments]
    for answer in answers.cases:
        if not answer.failure and len(answer.gradients) != len(names):
            return [
                Finding(
                    "",
                    f"it returns {len(answer.gradients)} values; expected {len(names)}: "
                    + ", ".join(names),
                )
            ]
    found = []
    for position, argument in enumerate(exercise.arguments):
        answered = [
            (case, answer.gradients[position])
            for case, answer in zip(cases, answers.cases, strict=True)
            if not answer.failure
        ]
        finding = _finding(exercise, argument, answered, position in answers.unsteady)
        if finding is not None:
            found.append(finding)
    failures = [answer.failure for answer in answers.cases if answer.failure]
    return [*found, *(Finding("", failure) for failure in failures[:1])]


def _finding(
    exercise: Exercise,
    argument: str,
    answered: Sequence[tuple[Case, ndarray | str]],
    unsteady: bool,
) -> Finding | None:
    """Return what is wrong with the gradient by one argument, None if nothing is."""
    name = f"d{argument}"
    numbers: list[tuple[Case, ndarray]] = []
    for case, got in answered:
        if isinstance(got, str):
            unwritten = " (not written yet)" if got in ("...", "None") else ""
            return Finding(name, f"{name} is {got}{unwritten}; expected an array")
        numbers.append((case, got))
    if unsteady:
        return Finding(
            name, "it is another one at the second call: a backward pass draws nothing at random"
        )
    for case, got in numbers:
        shape = np.shape(case.inputs[argument])
        if got.shape != shape:
            words = f"its shape is {got.shape}, expected {shape}, that of {argument}"
            pattern = explain(exercise, argument, numbers)
            return Finding(name, f"{pattern}; {words}" if pattern else words)
    for _, got in numbers:
        for index in np.argwhere(~np.isfinite(got))[:1]:
            place = tuple(map(int, index))
            pattern = explain(exercise, argument, numbers)
            words = f"{pattern}; " if pattern else ""
            return Finding(name, f"{words}{name}[{', '.join(map(str, place))}] is {got[place]}")
    for case, got in numbers:
        finding = _by_the_checker(exercise, argument, case, got, numbers)
        if finding is not None:
            return finding
    return None


def _by_the_checker(
    exercise: Exercise,
    argument: str,
    case: Case,
    got: ndarray,
    numbers: Sequence[tuple[Case, ndarray]],
) -> Finding | None:
    fixed = {name: value for name, value in case.inputs.items() if name != argument}

    def f(value: Any) -> Any:
        # In NumPy alone: to compile an engine's gradient takes longer than to do without.
        return exercise.forward(**fixed, **{argument: np.asarray(value)})

    check = check_gradient(f, case.inputs[argument], gradient=got, cotangent=case.dy)
    if check.verdict is Verdict.AGREE:
        return None
    name = f"d{argument}"
    if check.verdict is Verdict.CANNOT_TELL:
        return Finding(name, f"could not be judged: {check}".splitlines()[0], judged=False)
    pattern = explain(exercise, argument, numbers) or check.leaves[0].pattern
    for suspect in check.suspects:
        return Finding(
            name,
            pattern,
            tuple(map(int, suspect.index)),
            float(np.real(suspect.got)),
            float(np.real(suspect.expected)),
            float(suspect.error_bar),
        )
    return Finding(name, pattern or "wrong")


def _remarks(exercise: Exercise, cases: Sequence[Case], answers: Answers) -> tuple[str, ...]:
    remarks = []
    if answers.changed:
        remarks.append(
            f"changes its argument {', '.join(answers.changed)}: whoever uses it afterwards gets "
            "other numbers; work on a copy"
        )
    expected = np.asarray(exercise.forward(**cases[0].inputs))
    if answers.forward is not None and not (
        answers.forward.shape == expected.shape and np.allclose(answers.forward, expected)
    ):
        remarks.append(f"{exercise.name} was changed; it is judged by the one that was given")
    return tuple(remarks)
