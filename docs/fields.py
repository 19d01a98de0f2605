"""Show the fields of docstrings, lines such as "seed: of the directions", as a list."""

import re
from typing import Any

import griffe

FIELD = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): ")


class Fields(griffe.Extension):
    """Turns the project's docstrings into Markdown before they are rendered."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """Return a docstring with its fields as list items and its examples as code."""
    lines: list[str] = []
    in_fields = in_example = False
    for line in docstring.splitlines():
        if in_example and not line.strip():
            lines.append("```")
            in_example = False
        if line.startswith(">>> ") and not in_example:
            lines += ["", "```pycon"]
            in_example = True
        field = None if in_example else FIELD.match(line)
        if field:
            lines += [] if in_fields else [""]
            names = ", ".join(f"**{name}**" for name in field[1].split(", "))
            line = f"- {names}: {line[field.end() :]}"
        goes_on = bool(field) or line.startswith("    ")
        if in_fields and not goes_on and line.strip():
            lines.append("")  # a paragraph of its own, no part of the last field
        in_fields = bool(field) or in_fields and goes_on
        lines.append(line)
    return "\n".join([*lines, "```"] if in_example else lines)
