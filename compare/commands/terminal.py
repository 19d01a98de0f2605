"""Text for a person: where it goes, on streams that may be unable to show it."""

import codecs
import re
import sys
import unicodedata
from pathlib import Path
from typing import TextIO

TO_STANDARD_OUTPUT = Path("-")  # as a JSON file: the report makes way, to standard error

# What texts of gradparity hold, for encodings that do not have it.
ASCII = {"→": "->", "×": "x", "±": "+-", "≤": "<=", "≥": ">=", "–": "-", "—": "-", "·": "*"}
# Sequences that move the cursor, rename the window or colour what follows; then lone controls.
CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]",
    re.DOTALL,
)


def degrade_output() -> None:
    """Let both streams print what their encoding lacks in other words, instead of failing."""
    codecs.register_error("gradparity", _in_other_words)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="gradparity")


def _in_other_words(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(map(_spelled, missing)), error.end


def _spelled(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    plain = decomposed.encode("ascii", "ignore").decode()
    return ASCII.get(character) or plain or "?"


def printable(text: object) -> str:
    """Return the text without what would steer a terminal; lines and tabs stay."""
    return CONTROLS.sub("", str(text).replace("\r\n", "\n"))


def report_stream(json_file: Path | None) -> TextIO:
    """Return where the report goes: to standard error where the JSON takes standard output."""
    return sys.stderr if json_file == TO_STANDARD_OUTPUT else sys.stdout
