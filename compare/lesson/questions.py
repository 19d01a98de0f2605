"""Predict before you look: a question with a few answers comes before the figure that shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..drawing.languages import Text, to_markup
from .run import Lesson

QUESTIONS = {
    "step_size": (("tiny", "middling", "large"), "middling"),
    "descent": (("arrives", "leaps", "leaves"), "leaps"),
    "losses": (("strong", "same", "none"), "none"),
    "backpropagation": (("three", "thousands", "twice"), "three"),
    "kinks": (("zero", "one", "differ"), "differ"),
}
"""The sections that ask: their answers, and the right one."""


@dataclass(frozen=True)
class Question:
    """A question and its answers, each with what is to be said of it; it opens with a click.

    answers: (answer, what is said of it); right: the place of the right one
    """

    name: str
    heading: Text
    question: Text
    answers: Sequence[tuple[Text, Text]]
    right: int

    def to_html(self) -> str:
        answers = "".join(
            f'<details name="{self.name}"{" class=right" * (place == self.right)}>'
            f"<summary>{to_markup(answer)}</summary><p>{to_markup(said)}</p></details>"
            for place, (answer, said) in enumerate(self.answers)
        )
        return (
            f'<div class="question" role="group"><p class="heading">{to_markup(self.heading)}</p>'
            f"<p>{to_markup(self.question)}</p>{answers}</div>"
        )


def ask(lesson: Lesson, section: str, **values: object) -> Question:
    """Write the question of a section; `values` are set into what is said of the answers."""
    answers, right = QUESTIONS[section]
    return Question(
        name=f"question-{section.replace('_', '-')}",
        heading=lesson.text("question.heading"),
        question=lesson.text(f"question.{section}"),
        answers=[
            (
                lesson.text(f"question.{section}.{answer}"),
                lesson.text(f"question.{section}.{answer}.said", **values),
            )
            for answer in answers
        ],
        right=answers.index(right),
    )
