"""The two sections on backpropagation as they stand on the page."""

import inspect
from collections.abc import Sequence

import numpy as np

from ..drawing.page import Block, Formula, Listing, Table
from .backpropagation import (
    NOTEBOOK_GRADIENT,
    Backpropagation,
    ChainRule,
    backpropagate,
)
from .formulas import FORMULAS
from .questions import ask
from .run import Lesson, decimals, scientific
from .stepper import short, write_stepper
from .tape import Tape


def show_chain_rule(lesson: Lesson, found: ChainRule) -> Sequence[Block]:
    graph = found.net
    came_back = {node.name: node.gradient for node in graph.nodes}
    table = Table(
        lesson.words("chain_rule", "entry", "graph", "notebooks", "differences"),
        [
            *(
                (
                    f"dW[{i}, {j}]",
                    decimals(came_back[f"w{'₀₁'[i]}{'₀₁₂'[j]}"], 8),
                    decimals(float(NOTEBOOK_GRADIENT[i, j]), 8),
                    decimals(float(found.differences[i, j]), 8),
                )
                for i, j in np.ndindex(NOTEBOOK_GRADIENT.shape)
            ),
            (
                lesson.text("chain_rule.cost"),
                lesson.text("chain_rule.cost_graph"),
                *[lesson.text("chain_rule.cost_notebooks", count=found.evaluations)] * 2,
            ),
        ],
        lesson.text("chain_rule.table"),
    )
    return (
        lesson.paragraph("chain_rule.text"),
        Formula(FORMULAS["chain_rule"]),
        write_stepper(lesson, "parabola-graph", found.parabola),
        lesson.paragraph("chain_rule.parabola", slope=short(found.parabola.nodes[0].gradient)),
        lesson.paragraph("chain_rule.net", edges=len(graph.edges)),
        write_stepper(lesson, "net-graph", graph, table),
    )


def show_backpropagation(lesson: Lesson, found: Backpropagation) -> Sequence[Block]:
    largest = found.runs[-1]
    ratio = f"{largest.backward / largest.forward:.2f}"
    return (
        lesson.paragraph("backpropagation.text"),
        Listing(twenty_lines()),
        ask(lesson, "backpropagation", ratio=ratio),
        Table(
            lesson.words("backpropagation", "net", "parameters", "forward", "back", "ratio", "off"),
            [
                (
                    run.net,
                    f"{run.parameters:,}",
                    f"{run.forward:,}",
                    f"{run.backward:,}",
                    f"{run.backward / run.forward:.2f}",
                    scientific(run.difference),
                )
                for run in found.runs
            ],
            lesson.text(
                "backpropagation.table",
                ratio=ratio,
                parameters=f"{largest.parameters:,}",
                evaluations=f"{2 * largest.parameters:,}",
            ),
        ),
        lesson.paragraph("backpropagation.hand"),
        Formula(FORMULAS["at_scores"]),
        Formula(FORMULAS["at_hidden"]),
        Formula(FORMULAS["at_weights"]),
        Listing(inspect.getsource(backpropagate)),
        lesson.paragraph("backpropagation.check"),
        Listing(str(found.check)),
        Table(
            lesson.words("backpropagation", "leaf", "off"),
            [(leaf, scientific(difference)) for leaf, difference in found.by_hand.items()],
            lesson.text("backpropagation.by_hand"),
        ),
    )


def twenty_lines() -> str:
    """Return the source of the rules, of the nodes and of the tape."""
    source = inspect.getsource(inspect.getmodule(Tape) or Tape)
    start, end = source.index("MATMUL: Rule"), source.index("# fmt: on")
    return source[start:end].strip()
