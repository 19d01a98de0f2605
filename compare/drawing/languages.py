"""The same text in several languages, all of them on one page, where its reader chooses."""

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LABELS = {
    # the frame of a page
    "contents": "Contents",
    "language": "Language",
    "skip": "Skip to the text",
    "theme": "Light or dark",
    # plots of comparisons
    "accuracy": "correct",
    "epoch": "epoch",
    "forward passes": "forward passes per gradient",
    "loss": "loss",
    "parameters": "parameters",
    "predicted": "predicted",
    "relative difference": "relative difference",
    "seconds": "seconds",
    "seconds per gradient": "seconds per gradient",
    "slope": "slope",
    "step": "step",
    "test": "test",
    "training": "training",
}
"""The English words of a page's frame and of plots of comparisons, by what they are called."""


class Markup(str):
    """HTML that is written here, not by a user, and so needs no escaping."""


@dataclass(frozen=True)
class Words:
    """One text in several languages, by their codes as in HTML's `lang`; each text or markup."""

    by_language: Mapping[str, str]

    def __format__(self, specification: str) -> str:
        raise TypeError("words in several languages: choose one with in_language() first")


# What a reader sees: in the language that was chosen, or the same in all of them.
Text = str | Words


def in_language(text: Text, language: str) -> str:
    """Return the text in this language; plain text is in every one."""
    return text.by_language[language] if isinstance(text, Words) else text


def every_language(write: Callable[[str], str], *languages: str) -> Text:
    """Return `write(language)` for all languages; plain text where all are the same."""
    written = {language: write(language) for language in languages}
    first = next(iter(written.values()))
    return first if all(text == first for text in written.values()) else Words(written)


def to_markup(text: Text) -> Markup:
    """Return plain text escaped, markup as it is, and words once in each language."""
    if isinstance(text, Words):
        return Markup(
            "".join(
                f'<span lang="{language}">{to_markup(words)}</span>'
                for language, words in text.by_language.items()
            )
        )
    return text if isinstance(text, Markup) else Markup(html.escape(text))


def spoken(text: Text) -> str:
    """Return the attributes that tell a screen reader this plain text, in the language chosen."""
    if not isinstance(text, Words):
        return f'aria-label="{html.escape(text)}"'
    first = next(iter(text.by_language.values()))
    words = json.dumps(dict(text.by_language), ensure_ascii=False)
    return f'aria-label="{html.escape(first)}" data-spoken="{html.escape(words)}"'
