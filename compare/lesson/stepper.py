"""A computation graph that its reader walks through, forward and back, one step at a time.

The figure is that of both finished passes, which is what is seen without a script. Each of its
parts says from which step on it is there (`data-step`), until which (`data-until`), or at which
steps alone (`data-on`); `live/stepper.js` shows the parts of one step and says its sentence.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..drawing.house_style import PALETTE
from ..drawing.languages import Text, spoken, to_markup
from ..drawing.page import Block
from .graphs import Graph, GraphEdge, GraphNode
from .run import Lesson, decimals

WIDTH, HEIGHT = 55, 50  # of a node, in units of the figure
FOREIGN_SPANS = re.compile(r"(?:<tspan lang=[^>]*>[^<]*</tspan>)+")
# In a file of its own the figure has no page to give it colours.
STANDALONE_STYLE = (
    "svg{{background:{paper}}} text{{font:11.5px sans-serif;fill:{ink}}} line{{stroke:{muted}}} "
    ".name{{fill:{muted};font-weight:600}} .gradient{{fill:{vermilion};font-weight:700}} "
    ".local{{fill:{vermilion}}} .box{{fill:{paper};stroke:{muted}}} .band{{fill:{grid}}} "
    "[data-until],.glow{{display:none}} .ring{{fill:none;stroke:{vermilion};stroke-width:2}} "
    "line.back{{stroke:{vermilion};stroke-width:2}}"
).format_map({name: shade.light for name, shade in PALETTE.items()})
SECTION = "chain_rule"


@dataclass(frozen=True)
class Stepper:
    """The figure with its buttons; what it says at each step; and what is seen at the end.

    alt: the finished figure in words; buttons: words by the name of what a button does
    """

    name: str
    svg: str
    said: Sequence[Text]
    alt: Text
    buttons: dict[str, Text]
    keys: Text
    hint: Text
    end: Block | None = None

    def _repr_svg_(self) -> str:
        """Return the figure of both finished passes in its first language, for a notebook."""
        size = re.match(r'viewBox="0 0 (\S+) (\S+)"', self.svg)
        width, height = size.groups() if size else ("340", "340")
        svg = FOREIGN_SPANS.sub(lambda found: first_of(found[0]), self.svg)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
            f"{svg.replace('>', f'><style>{STANDALONE_STYLE}</style>', 1)}</svg>"
        )

    def to_html(self) -> str:
        said = json.dumps([to_markup(text) for text in self.said], ensure_ascii=False)
        buttons = "".join(
            f'<button type="button" data-do="{name}">{to_markup(words)}</button>'
            for name, words in self.buttons.items()
        )
        last = len(self.said) - 1
        end = f'<div data-step="{last}">{self.end.to_html()}</div>' if self.end else ""
        return (
            f'<figure class="stepper" id="{self.name}" data-said="{html.escape(said)}">'
            f'<div class="walk"><div class="graph"><svg role="group" {spoken(self.alt)} '
            f"{self.svg}</svg></div>"
            f'<div class="beside"><div class="buttons" hidden>{buttons}</div>'
            f'<output aria-live="polite">{to_markup(self.said[-1])}</output>'
            f'<p class="explained">{to_markup(self.hint)}</p>'
            f'<p class="keys" hidden>{to_markup(self.keys)}</p></div></div>{end}</figure>'
        )


def write_stepper(lesson: Lesson, name: str, graph: Graph, end: Block | None = None) -> Stepper:
    """Write the figure of a graph and all that is said along it."""
    schedule = Schedule(graph)
    parts = "; ".join(
        f"{node.name} = {short(node.value)}, {short(node.gradient)}" for node in graph.nodes
    )
    return Stepper(
        name=name,
        svg="".join(_draw(lesson, graph, schedule)),
        said=list(_sentences(lesson, graph)),
        alt=lesson.plain(f"{SECTION}.alt", last=graph.nodes[-1].name, parts=parts),
        buttons={
            do: lesson.text(f"{SECTION}.button.{do}")
            for do in ("back", "step", "play", "pause", "reset")
        },
        keys=lesson.text(f"{SECTION}.keys"),
        hint=lesson.text(f"{SECTION}.hint"),
        end=end,
    )


class Schedule:
    """At which step each part of a graph is there: forward, node by node, then back."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        computed = range(graph.given, len(graph.nodes))
        self.forward = {place: max(0, place - graph.given + 1) for place in range(len(graph.nodes))}
        self.seed = len(computed) + 1
        self.backward = {
            place: self.seed + 1 + number for number, place in enumerate(reversed(computed))
        }

    def arrivals(self, place: int) -> list[tuple[int, float]]:
        """Return (step, sum so far) of the products that arrive at a node."""
        edges = sorted(self.graph.out_of(place), key=lambda edge: self.backward[edge.target])
        if not edges:
            return [(self.seed, 1.0)]
        found, total = [], 0.0
        for edge in edges:
            total += product(self.graph, edge)
            found.append((self.backward[edge.target], total))
        return found


def first_of(spans: str) -> str:
    """Return the words of the first of some spans, which say the same in several languages."""
    return spans.partition(">")[2].partition("<")[0]


def product(graph: Graph, edge: GraphEdge) -> float:
    """Return what an edge carries back: what has arrived at its end, times its derivative."""
    return graph.nodes[edge.target].gradient * edge.local


def short(value: float) -> str:
    return decimals(round(value, 4) + 0.0, 4)


def _sentences(lesson: Lesson, graph: Graph) -> Iterator[Text]:
    def say(key: str, **values: object) -> Text:
        return lesson.text(f"{SECTION}.{key}", **values)

    yield say("start")
    computed = graph.nodes[graph.given :]
    for node in computed:
        yield say("forward", name=node.name, formula=node.formula, value=short(node.value))
    yield say("seed", name=graph.nodes[-1].name)
    arrived = {len(graph.nodes) - 1: 1.0}
    for place in reversed(range(graph.given, len(graph.nodes))):
        ways = []
        edges = graph.into(place)
        for edge in edges:
            source, part = graph.nodes[edge.source], product(graph, edge)
            so_far = arrived.get(edge.source, 0.0)
            arrived[edge.source] = so_far + part
            way = f"{source.name}: {short(arrived[place])} × {short(edge.local)} = {short(part)}"
            ways.append(f"{way}, {short(so_far)} + {short(part)} = {short(so_far + part)}")
            if not so_far:
                ways[-1] = way
        sentence = say(
            "backward",
            name=graph.nodes[place].name,
            gradient=short(arrived[place]),
            ways="; ".join(ways),
            again=say("again", count=len(edges)) if len(edges) > 1 else "",
        )
        last = place == graph.given
        yield say("end", sentence=sentence) if last else sentence


def _draw(lesson: Lesson, graph: Graph, schedule: Schedule) -> Iterator[str]:
    yield f'viewBox="0 0 {graph.width:g} {graph.height:g}">'
    for key, top, height in graph.bands:
        yield f'<rect class="band" x="0" y="{top}" width="{graph.width:g}" height="{height}"/>'
        label = lesson.text(f"{SECTION}.band.{key}")
        yield _text(4, top + height - 10, label, "name", anchor="start")
    for edge in graph.edges:
        yield _draw_edge(graph, edge, schedule.backward[edge.target], schedule.forward[edge.target])
    for place, node in enumerate(graph.nodes):
        yield _draw_node(lesson, graph, place, node, schedule)


def _draw_edge(graph: Graph, edge: GraphEdge, back: int, forward: int) -> str:
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    ends = (source.x, source.y + HEIGHT / 2, target.x, target.y - HEIGHT / 2)
    line = "<line {} x1='{:g}' y1='{:g}' x2='{:g}' y2='{:g}'/>"
    x, y = (ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2
    left = source.x < target.x
    return (
        line.format(f'class="glow" data-on="{forward} {back}"', *ends)
        + line.format('class="edge"', *ends)
        + line.format(f'class="back" data-step="{back}"', *ends)
        + _text(
            x - 6 if left else x + 6,
            y + 4,
            f"×{short(edge.local)}",
            "local",
            anchor="end" if left else "start",
            steps=f'data-step="{back}"',
        )
    )


def _draw_node(
    lesson: Lesson, graph: Graph, place: int, node: GraphNode, schedule: Schedule
) -> str:
    forward, arrivals = schedule.forward[place], schedule.arrivals(place)
    on = [forward, *(step for step, _ in arrivals), schedule.backward.get(place, forward)]
    box = (
        f'x="{node.x - WIDTH / 2:g}" y="{node.y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}"'
    )
    until = [step for step, _ in arrivals[1:]]
    parts = [
        f'<rect class="glow" data-on="{" ".join(map(str, on))}" {box} rx="9"/>',
        f'<rect class="box" {box} rx="9"/>',
        f'<rect class="ring" data-step="{arrivals[-1][0]}" {box} rx="9"/>',
        _text(node.x, node.y - 11, node.name, "name"),
        _text(node.x, node.y + 4, short(node.value), "value", steps=f'data-step="{forward}"'),
    ]
    for number, (step, total) in enumerate(arrivals):
        ends = f' data-until="{until[number]}"' if number < len(until) else ""
        steps = f'data-step="{step}"{ends}'
        parts.append(_text(node.x, node.y + 19, short(total), "gradient", steps=steps))
    key = "node" if node.formula else "node.given"
    explained = lesson.plain(
        f"{SECTION}.{key}",
        name=node.name,
        formula=node.formula,
        value=short(node.value),
        last=graph.nodes[-1].name,
        gradient=short(node.gradient),
    )
    return f'<g class="node" role="img" {spoken(explained)}>{"".join(parts)}</g>'


def _text(
    x: float, y: float, words: Text, style: str, *, anchor: str = "middle", steps: str = ""
) -> str:
    inner = to_markup(words).replace("<span ", "<tspan ").replace("</span>", "</tspan>")
    return (
        f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}" {steps}>{inner}</text>'
    )
