"""Computation graphs of two small functions, recorded on the tape, ready to be drawn.

Each number is a node, and each use of it an edge with its local derivative.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gradparity.models.functions import LOG_OFFSET

from .tape import Node, Rule, Tape

SQUARE: Rule = (lambda a: a * a, lambda g, y, a: (g * 2 * a,))
SUM: Rule = (lambda *a: sum(a), lambda g, y, *a: (g,) * len(a))
EXPONENTIAL: Rule = (np.exp, lambda g, y, a: (g * y,))
DIVIDE: Rule = (lambda a, b: a / b, lambda g, y, a, b: (g / b, -g * a / b**2))
SURPRISE: Rule = (lambda a: -np.log(a + LOG_OFFSET), lambda g, y, a: (-g / (a + LOG_OFFSET),))


def weighted(*weights: float) -> Rule:
    """Return the rule of a sum of inputs, each times its fixed weight."""
    return (
        lambda *a: sum(w * value for w, value in zip(weights, a, strict=True)),
        lambda g, y, *a: tuple(g * w for w in weights),
    )


@dataclass(frozen=True)
class GraphNode:
    """One number of a computation.

    name, formula: as a reader writes them; value, gradient: after both passes
    x, y: where it is drawn, in units of the figure
    """

    name: str
    formula: str
    value: float
    gradient: float
    x: float
    y: float


@dataclass(frozen=True)
class GraphEdge:
    """The use of one number by another, by their places in the graph, and its local derivative."""

    source: int
    target: int
    local: float


@dataclass(frozen=True)
class Graph:
    """Nodes in the order in which they are computed, the given ones first, and all their uses.

    bands: name and height of each part of the figure, from its top, by the key of its name
    """

    nodes: Sequence[GraphNode]
    edges: Sequence[GraphEdge]
    width: float
    height: float
    bands: Sequence[tuple[str, float, float]] = ()

    @property
    def given(self) -> int:
        """How many nodes are given and not computed: they come first."""
        return min(edge.target for edge in self.edges)

    def into(self, target: int) -> list[GraphEdge]:
        return [edge for edge in self.edges if edge.target == target]

    def out_of(self, source: int) -> list[GraphEdge]:
        return [edge for edge in self.edges if edge.source == source]


@dataclass
class Sketch:
    """A graph while it is recorded: names and places beside the tape."""

    tape: Tape = field(default_factory=Tape)
    nodes: list[Node] = field(default_factory=list)
    names: list[tuple[str, str, float, float]] = field(default_factory=list)

    def give(self, name: str, value: float, x: float, y: float) -> Node:
        self.nodes.append(Node(value))
        self.names.append((name, "", x, y))
        return self.nodes[-1]

    def compute(
        self, name: str, formula: str, x: float, y: float, rule: Rule, *inputs: Node
    ) -> Node:
        self.nodes.append(self.tape.run(rule, *inputs))
        self.names.append((name, formula, x, y))
        return self.nodes[-1]

    def finish(
        self, width: float, height: float, bands: Sequence[tuple[str, float, float]] = ()
    ) -> Graph:
        """Walk back through the tape, and return what was found."""
        self.tape.backward()
        place = {id(node): number for number, node in enumerate(self.nodes)}
        edges = []
        for output, inputs, go_back in self.tape:
            locals_ = go_back(1.0, output.value, *(source.value for source in inputs))
            edges += [
                GraphEdge(place[id(source)], place[id(output)], float(local))
                for source, local in zip(inputs, locals_, strict=True)
            ]
        nodes = [
            GraphNode(name, formula, float(node.value), float(node.gradient), x, y)
            for node, (name, formula, x, y) in zip(self.nodes, self.names, strict=True)
        ]
        return Graph(nodes, edges, width, height, bands)


def draw_parabola(x: float) -> Graph:
    """Return the graph of f = 0.01 x² + 0.1 x, in which x is used twice."""
    sketch = Sketch()
    given = sketch.give("x", x, 170, 36)
    square = sketch.compute("u", "x²", 90, 126, SQUARE, given)
    first = sketch.compute("v", "0.01 u", 90, 216, weighted(0.01), square)
    second = sketch.compute("w", "0.1 x", 250, 171, weighted(0.1), given)
    sketch.compute("f", "v + w", 170, 306, SUM, first, second)
    return sketch.finish(340, 342)


SUBSCRIPTS = "₀₁₂"


def draw_simple_net(weights: Sequence[Sequence[float]], x: Sequence[float]) -> Graph:
    """Return the graph of the net of six weights: scores, softmax, and the loss of the last class.

    weights: two rows of three; x: two numbers
    """
    sketch, columns = Sketch(), (58.0, 170.0, 282.0)
    given = {
        (row, column): sketch.give(
            f"w{SUBSCRIPTS[row]}{SUBSCRIPTS[column]}",
            weights[row][column],
            columns[column] + (-28, 28)[row],
            32,
        )
        for column in range(3)
        for row in range(2)
    }
    scores = [
        sketch.compute(
            f"a{SUBSCRIPTS[column]}",
            f"{x[0]:g} w₀{SUBSCRIPTS[column]} + {x[1]:g} w₁{SUBSCRIPTS[column]}",
            place,
            132,
            weighted(*x),
            *(given[row, column] for row in range(2)),
        )
        for column, place in enumerate(columns)
    ]
    powers = [
        sketch.compute(f"e{index}", f"exp a{index}", place, 226, EXPONENTIAL, score)
        for index, place, score in zip(SUBSCRIPTS, columns, scores, strict=True)
    ]
    total = sketch.compute("s", "e₀ + e₁ + e₂", 118, 310, SUM, *powers)
    likely = sketch.compute("y₂", "e₂ / s", 226, 404, DIVIDE, powers[2], total)
    sketch.compute("L", "−log(y₂ + 10⁻⁷)", 226, 494, SURPRISE, likely)
    bands = (("scores", 92, 76), ("softmax", 186, 254), ("entropy", 458, 72))
    return sketch.finish(340, 536, bands)
