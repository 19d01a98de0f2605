"""Compare second derivatives: each engine's Hessian-vector products before slopes of a gradient."""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from gradparity.backends import Backend, GradparityError
from gradparity.backends.pytrees import PyTree, flatten

from ..checking.function import name_of
from ..checking.maps import SecondDerivatives
from ..checking.result import GradientCheck, how_far_off
from ..checking.slope import KINDS
from ..checking.spending import Budget, spending
from ..engines.engines import Engine, Point
from ..engines.entrants import Entrants
from ..verdicts import Suspect, Verdict
from .comparison import Comparison

Product = Callable[..., PyTree]
Ask = Callable[[], tuple[GradientCheck, bool]]

FORWARD_OVER_REVERSE = "forward over reverse"
REVERSE_OVER_REVERSE = "reverse over reverse"
FORWARD_OVER_FORWARD = "forward over forward"


def compare_second_order(
    taking_part: Entrants, point: Point, dtype: str, seed: int, budget: Budget = None
) -> Comparison:
    """Judge what every engine says of second derivatives, in each way that it can be asked.

    Engines that difference f are left out: differences of differences judge nobody.
    """
    engines = [engine for engine in taking_part.engines if not engine.differences]
    left_out = [
        (engine.label, "differences of differences have too few digits")
        for engine in taking_part.engines
        if engine.differences
    ]
    checks: dict[tuple[str, str], GradientCheck] = {}
    notes: list[str] = []
    all_zero = True
    for engine in engines:
        double = engine.in_dtype("float64")
        with spending(budget, name_of(double.value_of)) as granted:
            second = SecondDerivatives(
                double.value_of, point.params, point.args, seed, double.backend, granted
            )
            for way, ask in _ways(double, second):
                try:
                    checks[engine.label, way], is_zero = ask()
                    all_zero &= is_zero
                except GradparityError:
                    raise
                except Exception as error:  # a framework says in its own way that it cannot
                    text = " ".join(str(error).split())
                    notes.append(f"{engine.label}, {way}: {type(error).__name__}: {text:.160}")
    wrong = [key for key, check in checks.items() if check.verdict is Verdict.DIFFER]
    doubtful = [key for key, check in checks.items() if check.verdict is Verdict.CANNOT_TELL]
    missing = [one.label for one in engines if not any(label == one.label for label, _ in checks)]
    if wrong:
        verdict, reason = (
            Verdict.DIFFER,
            "; ".join(
                f"{label} is wrong, {way}: {_how_wrong(checks[label, way])}" for label, way in wrong
            ),
        )
    elif doubtful:
        label, way = doubtful[0]
        verdict, reason = Verdict.CANNOT_TELL, f"{label}, {way}: {checks[label, way].reason}"
    elif missing or not checks:
        verdict, reason = Verdict.CANNOT_TELL, (notes or ["no engine could be asked"])[0]
    else:
        names = ", ".join(dict.fromkeys(label for label, _ in checks))
        verdict, reason = Verdict.AGREE, f"{names}: right second derivatives of f"
        if all_zero:
            reason += ", all of them 0 here: this proves little"
    known = [check.resolution for check in checks.values() if not math.isnan(check.resolution)]
    return Comparison(
        verdict,
        tuple(dict.fromkeys(label for label, _ in wrong)),
        tuple(_suspects(checks)),
        reason,
        tuple(engine.label for engine in engines),
        dtype,
        seed,
        point.size,
        tuple({label: check.value for (label, _), check in checks.items()}.items()),
        leaves=next(iter(checks.values())).leaves if checks else (),
        notes=tuple(dict.fromkeys([*notes, *(n for c in checks.values() for n in c.notes)])),
        pattern="; ".join(dict.fromkeys(checks[key].pattern for key in wrong)),
        evaluations=sum(check.evaluations for check in checks.values()),
        smoothness=max((c.smoothness for c in checks.values()), key=KINDS.index, default="smooth"),
        resolution=max(known, default=math.nan),
        left_out=(*taking_part.left_out, *left_out),
    )


def _how_wrong(check: GradientCheck) -> str:
    known = [leaf for leaf in check.leaves if not math.isnan(leaf.error)]
    return how_far_off(max(known, key=lambda leaf: leaf.error)) if known else "wrong"


def _suspects(checks: dict[tuple[str, str], GradientCheck]) -> Iterator[Suspect]:
    seen = set()
    for (label, _), check in checks.items():
        for suspect in check.suspects:
            if (label, suspect.leaf, suspect.index) not in seen:
                seen.add((label, suspect.leaf, suspect.index))
                yield replace(suspect, backend=label)


def _ways(engine: Engine, second: SecondDerivatives) -> Iterator[tuple[str, Ask]]:
    """Yield the ways in which an engine can be asked, with who judges its answers."""
    backend, f = engine.backend, engine.differentiated
    pullback = backend.pullback(backend._gradient(f))
    yield FORWARD_OVER_REVERSE, _asked(second.products, backend, backend.hessian_vector_product(f))
    yield (
        REVERSE_OVER_REVERSE,
        _asked(second.products, backend, lambda own, v, *rest: pullback(own, v, *rest)[1]),
    )
    if type(backend).pushforward is not Backend.pushforward:
        yield FORWARD_OVER_FORWARD, _asked(second.curvature, backend, backend.curvature(f))


def _asked(judge: Callable[..., GradientCheck], backend: Backend, claimed: Product) -> Ask:
    def ask() -> tuple[GradientCheck, bool]:
        is_zero = True

        def answered(own: PyTree, v: PyTree, *rest: PyTree) -> PyTree:
            nonlocal is_zero
            given = backend.to_numpy(claimed(own, v, *rest))
            is_zero &= not any(np.any(leaf) for leaf in flatten(given)[0])
            return given

        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return judge(answered), is_zero

    return ask
