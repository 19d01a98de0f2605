"""Compare second derivatives: Hessian-vector products before slopes of a gradient."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from gradparity.backends import Backend, GradparityError
from gradparity.backends.pytrees import PyTree, flatten

from ..checking.hessians import SecondDerivatives
from ..checking.result import GradientCheck, how_far_off
from ..checking.spending import Spending
from ..engines.engines import Answer, Engine, Entrants, Point
from ..verdicts import Verdict
from .comparison import Comparison, Opinion, line_of, undecided, with_opinions
from .judging import Party, values_apart

Product: TypeAlias = Callable[..., PyTree]
Judge: TypeAlias = Callable[[Product], GradientCheck]


def compare_second_order(
    taking_part: Entrants, point: Point, dtype: str, seed: int, granted: Spending
) -> Comparison:
    """Judge what every engine says of second derivatives, in each way that it can be asked.

    Engines that difference f are left out: differences of differences judge nobody.
    """
    engines = [engine for engine in taking_part.engines if not engine.differences]
    opinions: list[Opinion] = []
    parties: list[Party] = []
    notes: list[str] = []
    not_zero: list[bool] = []
    for engine in engines:
        double = engine.in_dtype("float64")
        second = SecondDerivatives(
            double.value_of, point.params, point.args, seed, double.backend, granted
        )
        value = Answer(second.function.value, ())
        parties.append(Party(engine, value, None, second.first))
        for way, judge, product in _ways(double, second):
            try:
                check = judge(_watched(double.backend, product, not_zero))
                opinions.append(Opinion(engine.label, check, way=way))
            except GradparityError:
                raise
            except Exception as error:  # a framework says in its own way that it cannot
                notes.append(f"{engine.label}, {way}: {line_of(error)}")
    known = {opinion.label: opinion.check for opinion in opinions}
    draft = replace(
        undecided(engines, point, dtype, seed, known),
        notes=tuple(notes),
        evaluations=granted.made,
        left_out=(
            *taking_part.left_out,
            *(
                (engine.label, "differences of differences have too few digits")
                for engine in taking_part.engines
                if engine.differences
            ),
        ),
    )
    found = with_opinions(draft, opinions)
    doubts = [
        f"{one.label}, {one.way}: {one.check.reason}"
        for one in opinions
        if one.check.verdict is Verdict.CANNOT_TELL
    ]
    apart, odd = values_apart(parties, point, seed)
    if apart:
        blamed = tuple(one for one in found.backends if one in {*odd, *found.blamed})
        return replace(found, verdict=Verdict.DIFFER, reason=apart, blamed=blamed)
    if found.blamed:
        wrong = (
            f"{one.label} is wrong, {one.way}: {_how_wrong(one.check)}"
            for one in opinions
            if one.is_wrong
        )
        return replace(found, verdict=Verdict.DIFFER, reason="; ".join(wrong))
    if doubts or len(known) < len(engines) or not known:
        return replace(found, reason=[*doubts, *notes, "no engine could be asked"][0])
    reason = f"{', '.join(known)}: right second derivatives of f"
    reason += ", all of them 0 here: this proves little" * (not any(not_zero))
    return replace(found, verdict=Verdict.AGREE, reason=reason)


def _how_wrong(check: GradientCheck) -> str:
    known = [leaf for leaf in check.leaves if not math.isnan(leaf.error)]
    return how_far_off(max(known, key=lambda leaf: leaf.error)) if known else "wrong"


def _ways(engine: Engine, second: SecondDerivatives) -> Iterator[tuple[str, Judge, Product]]:
    """Yield the ways in which an engine can be asked, with who judges its answers."""
    backend, f = engine.backend, engine.differentiated
    pullback = backend.pullback(backend._gradient(f))
    yield "forward over reverse", second.products, backend.hessian_vector_product(f)
    yield (
        "reverse over reverse",
        second.products,
        lambda own, v, *rest: pullback(own, v, *rest)[1],
    )
    if type(backend).pushforward is not Backend.pushforward:
        yield "forward over forward", second.curvature, backend.curvature(f)


def _watched(backend: Backend, product: Product, not_zero: list[bool]) -> Product:
    """Return a product in NumPy's arrays, which notes whether it has ever been other than zero."""

    def answered(own: PyTree, v: PyTree, *rest: PyTree) -> PyTree:
        given = backend.to_numpy(product(own, v, *rest))
        not_zero.extend(bool(np.any(leaf)) for leaf in flatten(given)[0])
        return given

    return answered
