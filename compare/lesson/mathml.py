"""Typeset formulas as MathML, which browsers draw themselves, without fonts or scripts.

An expression is text such as "f(x + h)", cut into numbers, names and signs, or a piece that one of
these functions built; several are set one after the other.
"""

import re

from ..drawing.languages import Markup

TOKENS = re.compile(r"(?P<mn>\d+(?:\.\d+)?)|(?P<mi>[^\W\d_]+|[∇∂′])|(?P<mo>[^\s])")


def formula(*expressions: str, inline: bool = False) -> Markup:
    """Return the `<math>` element; inline ones are set as part of a line of text."""
    display = "" if inline else ' display="block"'
    return Markup(f"<math{display}>{row(*expressions)}</math>")


def row(*expressions: str) -> Markup:
    """Return the expressions one after the other."""
    return Markup(f"<mrow>{''.join(map(_piece, expressions))}</mrow>")


def fraction(above: str, below: str) -> Markup:
    return Markup(f"<mfrac>{row(above)}{row(below)}</mfrac>")


def power(base: str, exponent: str) -> Markup:
    return Markup(f"<msup>{row(base)}{row(exponent)}</msup>")


def indexed(base: str, index: str) -> Markup:
    return Markup(f"<msub>{row(base)}{row(index)}</msub>")


def under(base: str, below: str) -> Markup:
    """Return an operator with what it runs over below it, such as a sum with its index."""
    return Markup(f"<munder>{_piece(base)}{row(below)}</munder>")


def absolute(of: str) -> Markup:
    bars = (
        '<mo form="prefix" stretchy="false">|</mo>',
        '<mo form="postfix" stretchy="false">|</mo>',
    )
    return Markup(f"<mrow>{bars[0]}{row(of)}{bars[1]}</mrow>")


def brackets(of: str) -> Markup:
    """Return the expression in round brackets as high as it is."""
    return Markup(f"<mrow><mo>(</mo>{row(of)}<mo>)</mo></mrow>")


def _piece(expression: str) -> str:
    if isinstance(expression, Markup):
        return expression
    return "".join(_token(match) for match in TOKENS.finditer(expression))


def _token(match: re.Match[str]) -> str:
    kind, text = match.lastgroup, match[0]
    # Brackets around an argument stay small beside a fraction.
    attribute = ' stretchy="false"' if text in "()⟨⟩" else ""
    return f"<{kind}{attribute}>{text}</{kind}>"
