"""Python code in colours of the palette."""

import html
from typing import Any

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from .languages import Markup

# The class of what stands in colour on the page; the first kind that fits counts.
CLASSES = (
    (Comment, "code-comment"),
    (String, "code-string"),
    (Number, "code-number"),
    (Keyword, "code-word"),
    (Operator.Word, "code-word"),
    (Name.Function, "code-name"),
    (Name.Class, "code-name"),
)


def highlighted(code: str) -> Markup:
    """Return the code as markup, its words in `<span>` elements of the classes above."""
    pieces = []
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(code):
        name = _class(kind)
        written = html.escape(text, quote=False)
        pieces.append(f'<span class="{name}">{written}</span>' if name else written)
    return Markup("".join(pieces))


def _class(kind: Any) -> str:
    return next((name for token, name in CLASSES if kind in token), "")
