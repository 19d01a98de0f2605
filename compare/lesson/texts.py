"""Every word of the lesson and its figures, in each of its languages.

They stand in `languages/CODE/*.toml`; a new section brings a file of its own in each folder. The
key "price.bill" is `bill` of the table `[price]`. In a text, `{name}` is a formula of
`formulas.py` or what the section fills in. A picture has its caption, and each of its drawings has
"....alt" for those who cannot see it. The table `[labels]` has the words within figures.
"""

import importlib.resources
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any

from gradparity.backends.errors import InvalidSetting

from ..drawing.languages import LABELS as SHARED_LABELS

LANGUAGES = {"en": "English", "ja": "日本語", "ko": "한국어"}
"""The languages by their codes, as in HTML's `lang`, each under the name that it has in itself."""

# A line break in a file is a space, but not between two characters of a script without spaces.
_LINE_BREAK = re.compile(r"\s*\n\s*")
_UNSPACED_BREAK = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")


@dataclass(frozen=True)
class Language:
    """A language of the lesson: its texts, and the labels of its figures."""

    code: str
    texts: Mapping[str, str]
    labels: Mapping[str, str]


@cache
def read_language(code: str) -> Language:
    """Read the texts of one language.

    raises: ValueError for a text that stands in two files
    """
    texts: dict[str, str] = {}
    folder = importlib.resources.files(__package__).joinpath("languages", code)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        for key, text in _texts_of(file):
            if key in texts:
                raise ValueError(f"{file.name} has {key} of {code} again: keep one of them")
            texts[key] = text
    labels = {
        key.removeprefix("labels."): texts.pop(key)
        for key in list(texts)
        if key.startswith("labels.")
    }
    return Language(code, texts, SHARED_LABELS | labels if code == "en" else labels)


def read_languages(first: str) -> list[Language]:
    """Read all languages, the named one first.

    raises: InvalidSetting for one that there is none of
    """
    if first not in LANGUAGES:
        raise InvalidSetting(f"got language {first!r}, expected one of {', '.join(LANGUAGES)}")
    return [read_language(code) for code in dict.fromkeys([first, *LANGUAGES])]


def _texts_of(file: Traversable) -> Iterator[tuple[str, str]]:
    if not file.name.endswith(".toml"):
        return
    tables: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    for name, content in tables.items():
        table = content.items() if isinstance(content, dict) else [("", content)]
        for key, text in table:
            yield f"{name}.{key}".rstrip("."), _in_one_line(text)


def _in_one_line(text: str) -> str:
    lines = _UNSPACED_BREAK.sub("", text.strip("\n"))
    return _LINE_BREAK.sub(" ", lines)


TEXTS = read_language("en").texts
LABELS = read_language("en").labels
"""The English ones, in which figures are drawn."""
