"""The exercises: right answers pass, mistakes are named, and nothing ends in a bare traceback."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from exercise_answers import MISTAKES, SOLUTIONS, mark_of

from gradparity.compare.cli import main
from gradparity.compare.exercises.catalogue import EXERCISES
from gradparity.compare.exercises.grading import Grade, grade_files
from gradparity.compare.exercises.starters import starter, write_starters

PLANTED = [(name, *mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]


def test_there_are_eleven_exercises_each_with_an_answer_and_mistakes():
    assert len(EXERCISES) == 11
    assert set(SOLUTIONS) == set(MISTAKES) == set(EXERCISES)
    assert min(map(len, MISTAKES.values())) >= 3


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers_are_right_whatever_the_seed(name):
    marks = [mark_of(SOLUTIONS[name], name, seed) for seed in range(10)]
    assert [str(mark) for mark in marks if mark.grade is not Grade.RIGHT] == []


@pytest.mark.parametrize(
    ("name", "old", "new", "argument", "words"), PLANTED, ids=[f"{p[0]}: {p[4]}" for p in PLANTED]
)
def test_a_classic_mistake_is_named(name, old, new, argument, words):
    assert old in SOLUTIONS[name]
    mark = mark_of(SOLUTIONS[name].replace(old, new), name)
    assert mark.grade is Grade.WRONG
    found = {finding.argument: str(finding) for finding in mark.findings}
    assert words in found[argument]


def test_every_mistake_of_the_dictionary_is_planted():
    for name, exercise in EXERCISES.items():
        planted = {words for *_, words in MISTAKES[name]}
        for mistake in exercise.mistakes:
            assert any(words in mistake.words for words in planted), (name, mistake.words)


def test_a_right_answer_in_single_precision_is_right_and_its_mistakes_are_known():
    text = SOLUTIONS["affine"].replace("    dx", "    dy = dy.astype(np.float32)\n    dx")
    text = text.replace("return dx, dW, db", "return tuple(map(np.float32, (dx, dW, db)))")
    assert mark_of(text, "affine").grade is Grade.RIGHT
    mark = mark_of(text.replace("dy.sum(axis=0)", "dy.mean(axis=0)"), "affine")
    assert [finding.words.split(":")[0] for finding in mark.findings] == ["averaged over the batch"]


def test_a_wrong_entry_without_a_known_mistake_is_shown_with_what_was_expected():
    text = SOLUTIONS["affine"].replace("    db", "    dW[1, 2] *= 1.001\n    db")
    (finding,) = mark_of(text, "affine").findings
    assert (finding.argument, finding.index) == ("dW", (1, 2))
    assert finding.got == pytest.approx(1.001 * finding.expected)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("dx, dW", "it returns 2 values; expected 3: dx, dW, db"),
        ("dx, dW, ...", "db is ... (not written yet)"),
        ("dx, None, db", "dW is None (not written yet)"),
        ("dx, dW, 'three'", "db is a str"),
        ("dx, dW, db[:2]", "its shape is (2,), expected"),
        ("dx, dW, db * np.nan", "db[0] is nan"),
        ("dx, dW, db[:, None]", "expected"),
    ],
)
def test_what_is_no_gradient_is_said_to_be_none(returned, words):
    text = SOLUTIONS["affine"].replace("return dx, dW, db", f"return {returned}")
    mark = mark_of(text, "affine")
    assert mark.grade is Grade.WRONG
    assert words in str(mark.findings[0])


def test_a_starter_file_holds_the_forward_pass_and_no_answer():
    for exercise in EXERCISES.values():
        text = starter(exercise)
        scope = {}
        exec(text, scope)
        case = exercise.cases(0)[0]
        expected = exercise.forward(**case.inputs)
        assert np.array_equal(scope[exercise.name](**case.inputs), expected)
        returned = scope[exercise.backward](case.dy, **case.inputs)
        given = returned if isinstance(returned, tuple) else (returned,)
        assert given == (...,) * len(exercise.arguments), exercise.name
        assert max(map(len, text.splitlines())) <= 100, exercise.name


def test_starter_files_never_overwrite_what_somebody_wrote(tmp_path):
    (tmp_path / "relu.py").write_text("mine")
    written = write_starters(tmp_path)
    assert not written.pop(tmp_path / "relu.py")
    assert all(written.values())
    assert (tmp_path / "relu.py").read_text() == "mine"


# In processes of their own.

ENDINGS = {
    "affine": ("    dx = dy", "    dx = dy.T", "raised ValueError"),
    "attention": ("    dq", "    return (", "SyntaxError: invalid syntax in line"),
    "dropout": ("    return", "    import os; os._exit(3)\n    return", "exit status 3"),
    "max_pool": (
        "    return",
        "    print('hel' 'lo'); raise SystemExit(0)\n    return",
        "SystemExit",
    ),
    "relu": ("    mask", "    dy *= x > 0\n    return dy\n    mask", "changes its argument dy"),
    "rnn_step": ("    da = dy", "    da = dz", "NameError: name 'dz' is not defined in line"),
    "sigmoid": ("    slope", "    while True: pass\n    slope", "still running after 4 s"),
}


def written_out(folder, edits=None):
    """Write every answer into its starter file, some of them edited; return the files."""
    write_starters(folder)
    for name, answer in SOLUTIONS.items():
        path = folder / f"{name}.py"
        given, _, _ = path.read_text().partition(f"def {name}_backward")
        old, new, _ = (edits or {}).get(name, ("", "", ""))
        path.write_text(given + (answer.replace(old, new, 1) if old else answer))
    return sorted(folder.glob("*.py"))


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gradparity", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code or 0


def test_right_files_are_right_and_the_exit_code_says_so(tmp_path, monkeypatch, capsys):
    files = written_out(tmp_path)[:2]
    assert run(monkeypatch, "grade", *files, "--json", tmp_path / "marks.json") == 0
    assert "2 of 2 right" in capsys.readouterr().out
    marks = json.loads((tmp_path / "marks.json").read_text())["marks"]
    assert [mark["grade"] for mark in marks] == ["right", "right"]


def test_whatever_a_file_does_is_explained_and_costs_its_own_grade_only(
    tmp_path, monkeypatch, capfd
):
    files = written_out(tmp_path, ENDINGS)
    arguments = ("--time-limit", "4", "--json", tmp_path / "marks.json")
    assert run(monkeypatch, "grade", *files, *arguments) == 1
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed
    assert "hello" not in printed
    marks = json.loads((tmp_path / "marks.json").read_text())["marks"]
    found = {mark["exercise"]: mark for mark in marks}
    right = {name for name, mark in found.items() if mark["grade"] == "right"}
    assert right == {*SOLUTIONS} - {*ENDINGS} | {"relu"}
    for name, (_, _, words) in ENDINGS.items():
        said = [finding["words"] for finding in found[name]["findings"]] + found[name]["remarks"]
        assert any(words in line for line in said), (name, said)


def test_what_cannot_be_judged_is_a_failure_of_the_work_not_a_wrong_answer(
    tmp_path, monkeypatch, capsys
):
    files = written_out(tmp_path)[:1]
    noise = np.random.default_rng(0)

    def affine(x, W, b):
        return x @ W + b + 1e-3 * noise.normal()

    monkeypatch.setitem(EXERCISES, "affine", replace(EXERCISES["affine"], forward=affine))
    assert run(monkeypatch, "grade", *files) == 4


@pytest.mark.parametrize("text", ["x = 1", "def affine(x): pass", "def ("])
def test_a_file_without_an_exercise_is_a_usage_error(tmp_path, monkeypatch, capsys, text):
    (tmp_path / "mine.py").write_text(text)
    assert run(monkeypatch, "grade", tmp_path / "mine.py") == 2
    assert "affine_backward" in capsys.readouterr().err


def test_a_file_may_hold_several_exercises(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\n" + SOLUTIONS["relu"] + SOLUTIONS["sigmoid"])
    marks = grade_files([path])
    assert [(mark.exercise, mark.grade) for mark in marks] == [
        ("sigmoid", Grade.RIGHT),
        ("relu", Grade.RIGHT),
    ]


def test_files_with_the_same_exercise_are_told_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = "import numpy as np\n" + SOLUTIONS["relu"]
    for name in ("ann.py", "bob.py"):
        (tmp_path / name).write_text(text)
    assert run(monkeypatch, "grade", "ann.py", "bob.py") == 0
    printed = capsys.readouterr().out
    assert "relu (ann.py)" in printed
    assert "relu (bob.py)" in printed


def test_the_exercises_command_writes_them_and_says_so(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "exercises", tmp_path / "new") == 0
    assert {path.stem for path in (tmp_path / "new").iterdir()} == set(EXERCISES)
    assert "gradparity grade" in capsys.readouterr().out
