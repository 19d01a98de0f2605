"""A proof as text, as HTML and as JSON."""

import html
import math
from typing import Any

import numpy as np

from gradparity.backends.pytrees import flatten

from ..strict_json import strict

STATEMENT = (
    "What is proven is about the mathematical function that f is written as, at the given "
    "floating-point inputs; not about the rounding of f inside an engine. Numbers that f computes "
    "in Python or in plain NumPy before they meet a parameter count as inputs."
)

MOST_SUSPECTS = 10
MOST_LEAVES = 10


def report(proof: Any) -> str:
    """Return the verdict, what was proven of each leaf, and the entries that are wrong."""
    lines = [f"{proof.verdict}: {proof.reason}", _means(proof)]
    shown = sorted(proof.leaves, key=lambda leaf: -_rank(leaf.relative_error))[:MOST_LEAVES]
    lines += [
        line for leaf in proof.leaves if leaf in shown and (line := _leaf_line(leaf)) is not None
    ]
    if len(proof.leaves) > MOST_LEAVES:
        lines.append(f"  and {len(proof.leaves) - MOST_LEAVES} more leaves")
    if proof.suspects:
        lines.append("proved wrong (got, exact derivative):")
        lines += [
            f"  {s.leaf or 'params'}{list(s.index) if s.index else ''}: got {s.got!r}, exact "
            f"{s.expected!r} ± {s.error_bar:.1e}"
            for s in proof.suspects[:MOST_SUSPECTS]
        ]
        if len(proof.suspects) > MOST_SUSPECTS:
            lines.append(f"  and {len(proof.suspects) - MOST_SUSPECTS:,} more")
    return "\n".join(lines)


def _rank(error: float) -> float:
    return error if not math.isnan(error) else -1.0


def _means(proof: Any) -> str:
    if not proof.precision:
        return "no entry is enclosed"
    return (
        f"balls of {proof.precision} bits, {shown_digits(proof.digits)}, {proof.seconds:.2g} s; "
        "of the function as written, at these inputs"
    )


def shown_digits(digits: float) -> str:
    if digits == math.inf:
        return "exact"
    return f"{max(math.floor(digits), 0) if digits > -math.inf else 0} digits or more"


def _leaf_line(leaf: Any) -> str | None:
    if math.isnan(leaf.error):
        return f"  {leaf.leaf or 'params'} {leaf.shape}: {shown_digits(leaf.digits)}"
    return (
        f"  {leaf.leaf or 'params'} {leaf.shape}: off by {leaf.error:.1e} at most, "
        f"{leaf.relative_error:.1e} of the leaf's largest entry, {leaf.entry_error:.1e} of an entry"
    )


def to_html(proof: Any) -> str:
    """Return the report for a notebook, the verdict in front."""
    first, *rest = report(proof).splitlines()
    verdict, _, reason = first.partition(": ")
    below = html.escape("\n".join(rest))
    return (
        f"<p><strong>{html.escape(verdict)}</strong>: {html.escape(reason)}</p><pre>{below}</pre>"
    )


def to_dict(proof: Any) -> dict[str, Any]:
    """Return what JSON can hold; leaves of more than 1,000 entries without their numbers."""
    values, radii = flatten(proof.value)[0], flatten(proof.radius)[0]
    result: dict[str, Any] = strict(
        {
            "verdict": str(proof.verdict),
            "reason": proof.reason,
            "statement": STATEMENT,
            "digits": proof.digits,
            "precision": proof.precision,
            "seconds": proof.seconds,
            "error": proof.error,
            "relative_error": proof.relative_error,
            "entry_error": proof.entry_error,
            "leaves": [
                {
                    "leaf": leaf.leaf,
                    "shape": list(leaf.shape),
                    "digits": leaf.digits,
                    "largest": leaf.largest,
                    "error": leaf.error,
                    "relative_error": leaf.relative_error,
                    "entry_error": leaf.entry_error,
                }
                | (
                    {"value": value.tolist(), "radius": radius.tolist()}
                    if np.size(value) <= 1000
                    else {}
                )
                for leaf, value, radius in zip(proof.leaves, values, radii, strict=True)
            ],
            "suspects": [
                {
                    "leaf": s.leaf,
                    "index": list(s.index),
                    "got": s.got,
                    "expected": s.expected,
                    "error_bar": s.error_bar,
                }
                for s in proof.suspects
            ],
        }
    )
    return result
