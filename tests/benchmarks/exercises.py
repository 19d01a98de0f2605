"""Marks of right and wrong answers to the exercises, over many seeds."""

import sys
from collections.abc import Iterator
from pathlib import Path

from rows import Row

sys.path.append(str(Path(__file__).parent.parent))
from exercise_answers import MISTAKES, SOLUTIONS, mark_of  # noqa: E402

SEEDS = 100
SEEDS_OF_MISTAKES = 5


def rows() -> Iterator[Row]:
    marks = [
        mark_of(text, name, seed).grade for name, text in SOLUTIONS.items() for seed in range(SEEDS)
    ]
    wrong = sum(mark != "right" for mark in marks)
    note = f"{len(marks)} marks"
    yield Row("right answers not marked right", wrong, wrong, wrong, "0", wrong == 0, note)
    planted = unnamed = 0
    for name, mistakes in MISTAKES.items():
        for old, new, argument, words in mistakes:
            for seed in range(SEEDS_OF_MISTAKES):
                mark = mark_of(SOLUTIONS[name].replace(old, new), name, seed)
                said = {finding.argument: str(finding) for finding in mark.findings}
                planted += 1
                unnamed += mark.grade != "wrong" or words not in said.get(argument, "")
    note = f"{planted} answers with a planted mistake"
    yield Row("mistakes not named", unnamed, unnamed, unnamed, "0", unnamed == 0, note)
