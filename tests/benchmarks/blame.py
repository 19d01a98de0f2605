"""Who is blamed: nobody at awkward points, the right engine for real defects, liars always."""

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from liars import Replaced, Scaled, Shifted
from rows import Row

from gradparity.backends import get_backend
from gradparity.backends.pytrees import PyTree, flatten, leaf_names
from gradparity.compare import compare_gradients
from gradparity.compare.scenarios.awkward import CONVENTIONS, DEFECTS, OWN
from gradparity.compare.scenarios.functions import SCENARIOS

HONEST = ("jax", "torch")


def rows() -> Iterator[Row]:
    points = (*CONVENTIONS, *OWN)
    seconds = []
    false_blames = []
    for point in points:
        start = time.perf_counter()
        comparison = compare_gradients(point.f, point.params)
        seconds.append(time.perf_counter() - start)
        if comparison.blamed:
            false_blames.append(point.name)
    yield _count(
        "false blames at kinks and awkward points", false_blames, 0, f"of {len(points)} points"
    )
    missed = [
        point.name
        for point in DEFECTS
        if compare_gradients(point.f, point.params).blamed != point.blamed
    ]
    yield _count("real defects not blamed on the right engine", missed, 0, f"of {len(DEFECTS)}")
    blamed = [
        f"{scenario.name} in {dtype}"
        for scenario in SCENARIOS
        for dtype in ("float64", "float32")
        if compare_gradients(scenario.f, scenario.params, *scenario.args, dtype=dtype).blamed
    ]
    yield _count("false blames on ordinary functions", blamed, 0, f"of {2 * len(SCENARIOS)}")
    escaped, lies = [], 0
    for scenario in SCENARIOS:
        for name in HONEST:
            honest = get_backend(name)
            leaf = _first_leaf(scenario.params)
            for liar in (
                Scaled(honest, factor=1.001),
                Scaled(honest, factor=-1.0),
                Replaced(honest, number=float("nan")),
                Shifted(honest, *leaf, 1e-3),
            ):
                lies += 1
                backends = ["numerical", honest, liar]
                comparison = compare_gradients(
                    scenario.f, scenario.params, *scenario.args, backends=backends
                )
                if comparison.blamed != ("liar",):
                    escaped.append(f"{scenario.name}: {liar}")
    yield _count("lies not blamed on the liar alone", escaped, 0, f"of {lies}")
    low, _, high = statistics.quantiles(seconds, n=4)
    yield Row("seconds of a comparison", statistics.median(seconds), low, high, "-", True, "")


def _count(what: str, names: list[str], limit: int, note: str) -> Row:
    figure = len(names)
    some = "; ".join([note, *names[:3]])
    return Row(what, figure, figure, figure, f"≤ {limit}", figure <= limit, some)


def _first_leaf(params: PyTree) -> tuple[str, tuple[int, ...]]:
    """Return the first leaf's name, and the index of its first entry."""
    (leaf, *_), (name, *_) = flatten(params)[0], leaf_names(params)
    return name, (0,) * leaf.ndim
