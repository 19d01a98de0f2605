"""Where a port went wrong whose values differ: layer by layer, and by trying transposes."""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.backends.precision import UNIT_ROUNDOFF
from gradparity.backends.pytrees import PyTree, private_numpy

from ..checking.thresholds import LAST_BITS
from ..engines.engines import Engine, Point
from ..ports.intermediates import alike, layer_outputs
from ..ports.native_trees import MODEL, NativeTree, is_module
from ..ports.repairs import changed_functions, repaired, with_model

MOST_PERMUTATIONS = 200


def hints(engines: Sequence[Engine], failed: Collection[str], point: Point) -> Iterator[str]:
    """Yield where the values of native implementations part, and what makes them agree.

    engines: of which the first native implementation is what the others are measured by
    failed: labels of those that raised an error
    """
    natives = [engine.in_dtype("float64") for engine in engines if engine.layout is not None]
    if not natives or natives[0].label in failed:
        return
    first, *others = natives
    expected = first.value(point)
    for other in others:
        if other.label not in failed:
            yield from _first_difference(first, other, point)
        if forgotten := _forgotten(other, expected, point):
            yield f"the values agree if in {other.label} {forgotten}"
        elif other.label not in failed:
            yield from _repairs(first, other, point)


def different_parameters(
    engines: Sequence[Engine], own: Mapping[str, NativeTree], point: Point
) -> Iterator[str]:
    """Yield the leaves in which implementations that came with parameters hold other numbers."""
    for engine in engines:
        if engine.label not in own or engine.layout is None:
            continue
        tree = own[engine.label]
        numbers = dict(zip(tree.names, tree.leaves, strict=True))
        for position, (name, leaf, own_name, axes) in enumerate(
            zip(point.names, point.leaves, engine.layout.names, engine.layout.axes, strict=True)
        ):
            if position in engine.layout.mixed:
                continue
            theirs = private_numpy(numbers[own_name], "float64")
            if _close(np.transpose(leaf, axes).squeeze(), theirs.squeeze()):
                continue
            orders = [
                order
                for order in itertools.permutations(range(leaf.ndim))
                if leaf.ndim > 1 and _close(np.transpose(leaf, order), theirs)
            ]
            yield (
                f"leaf {name or 'params'} ({engine.label}: {own_name}) holds other numbers than "
                f"{engines[0].label}'s"
                + (f"; they are equal when its axes are taken as {orders[0]}" if orders else "")
            )


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    # Ported parameters have often been through float32.
    rounding = 2 * UNIT_ROUNDOFF["float32"] * np.abs(second)
    return first.shape == second.shape and bool(np.all(np.abs(first - second) <= rounding))


def _first_difference(first: Engine, other: Engine, point: Point) -> Iterator[str]:
    mine, theirs = first.intermediates(point), other.intermediates(point)
    names = {name: name for name in mine if name in theirs}
    if not names:
        mine, theirs = _layers(first, point), _layers(other, point)
        pairs = _paired_layers(first, other)
        names = {name: pairs[name] for name in mine if pairs.get(name) in theirs}
    last = ""
    for name, own in names.items():
        called = repr(name) if name == own else f"{name!r} ({other.label}: {own!r})"
        second = alike(mine[name], theirs[own])
        if second is None:
            yield (
                f"values differ first in {called}: {first.label} has shape {mine[name].shape}, "
                f"{other.label} {theirs[own].shape}"
            )
            return
        distance = np.abs(mine[name] - second)
        size = float(np.abs(mine[name]).max(initial=0.0))
        if not np.all(distance <= LAST_BITS * size):
            worst = tuple(map(int, np.unravel_index(np.argmax(distance), distance.shape)))
            yield (
                f"values differ first in {called}{last}: at {list(worst)} {first.label} has "
                f"{mine[name][worst]:.8g}, {other.label} {second[worst]:.8g}"
            )
            return
        last = f", after {called} agreed"
    if last:
        yield f"values differ only{last}, the last that both have"


def _layers(engine: Engine, point: Point) -> Mapping[str, np.ndarray]:
    """Return what each layer gives out, in the order they run; what ran before an error too."""
    params, args = engine.native(point)

    def run(params: PyTree, *args: PyTree) -> Mapping[str, np.ndarray]:
        xp, layout = engine.backend.xp, engine.layout
        native = layout.native(params, xp) if layout else params
        return layer_outputs(engine.function, native, args)

    outputs: Mapping[str, np.ndarray] = engine.backend._scoped(run)(params, *args)
    return outputs


def _paired_layers(first: Engine, other: Engine) -> dict[str, str]:
    """Return which layer is which, by the parameters that they hold."""
    if first.layout is None or other.layout is None:
        return {}
    named = zip(first.layout.names, other.layout.names, strict=True)
    return {one.rpartition(".")[0]: two.rpartition(".")[0] for one, two in named}


def _repairs(first: Engine, other: Engine, point: Point) -> Iterator[str]:
    """Yield what else makes the values agree: the first change that does."""
    for engine, reference in ((other, first), (first, other)):
        try:
            expected = reference.value(point)
        except Exception:  # it fails, and is reported as such
            return
        for words, function in _changes(engine):
            try:
                value = replace(engine, function=function).value(point)
            except Exception:  # this change does not fit
                continue
            if abs(value - expected) <= LAST_BITS * abs(expected):
                yield f"the values agree if in {engine.label} {words}"
                return


def _changes(engine: Engine) -> Iterator[tuple[str, Callable[..., Any]]]:
    model = getattr(engine.function, MODEL, None)
    if is_module(model):
        for words, changed in repaired(model):
            yield words, with_model(engine.function, changed)
    yield from changed_functions(engine.backend.name, engine.function)


def _forgotten(engine: Engine, expected: float, point: Point) -> str:
    if engine.layout is None:
        return ""
    for words, layout in itertools.islice(engine.layout.permutations(), MOST_PERMUTATIONS):
        try:
            value = replace(engine, layout=layout).value(point)
        except Exception:  # these axes do not fit
            continue
        if math.isfinite(value) and abs(value - expected) <= LAST_BITS * abs(expected):
            return words
    return ""
