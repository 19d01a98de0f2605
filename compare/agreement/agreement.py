"""Compare the first or second derivatives of several backends, and say whose are wrong."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from gradparity.backends import Backend, GradparityError
from gradparity.backends.base import ModelFunction
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.framework_trees import settled
from gradparity.backends.pytrees import PyTree, flatten

from ..checking.checker import check_seed
from ..checking.function import name_of
from ..checking.maps import SecondDerivatives
from ..checking.result import GradientCheck, how_far_off
from ..checking.spending import Budget, spending
from ..engines.engines import DEFAULT_BACKENDS, Engine, Entrants, Point, entrants, point_for
from ..ports.layouts import Rename, Transpose
from ..verdicts import Verdict
from .comparing import compare, line_of
from .comparison import Comparison, Disagreement, Opinion, with_opinions

Product: TypeAlias = Callable[..., PyTree]
Judge: TypeAlias = Callable[[Product], GradientCheck]


def compare_gradients(
    f: ModelFunction | Mapping[str, Any],
    params: PyTree,
    *args: PyTree,
    backends: Sequence[str | Backend] = DEFAULT_BACKENDS,
    dtype: str = "float64",
    seed: int = 0,
    order: int = 1,
    rename: Mapping[str, Rename] | None = None,
    transpose: Mapping[str, Transpose] | None = None,
    budget: Budget = None,
) -> Comparison:
    """Compare gradients of f(params, *args) by several backends, and find who is wrong.

    First the values are compared, then every engine's whole gradient is checked as
    `check_gradient` does it, differences and forward mode included: also where all agree, slopes
    of f with error bars decide who is wrong.

    f: a function over the array API; or a mapping such as {"jax": f_jax, "torch": f_torch} of
        native implementations, functions or torch modules that return the loss, or the loss and a
        dict of intermediate values to compare in order. Keys are backends, or such as
        "torch:compiled" where several are of one
    params: pytree of floating arrays; for a mapping also one pytree for each of its keys
    backends: names or Backend values; those of the default that are not installed, or cannot
        evaluate f, are left out, and a mapping's default is its keys
    dtype: of backends given by name, "float64" or "float32"
    seed: of the random directions and of samples
    order: 2 for second derivatives: each engine's Hessian-vector products, forward over reverse
        and reverse over reverse
    rename: for each implementation, from the leaf's name in params to its own, both dotted
    transpose: for each implementation, the leaves whose axes it keeps reversed (torch's nn.Linear
        has (out, in)), or a mapping from leaf to the axes that permute_dims leads to its own with
    budget: calls of f by the checks, or a time, after which the verdict is "cannot tell", as in
        `check_gradient`; what engines call for their own gradients is not counted. Of second
        derivatives, each check has it
    raises: BackendUnavailable for a backend asked for by name, InvalidSetting, InvalidParameters,
        NonScalarLoss, ShapeMismatch; what f raises if it fails in every backend

    >>> def f(params, x):
    ...     return ((x @ params["w"]) ** 2).sum()
    >>> params, x = {"w": np.ones(3)}, np.arange(6.0).reshape(2, 3)
    >>> gp.compare_gradients(f, params, x, backends=["numerical", "torch"]).verdict
    <Verdict.AGREE: 'agree'>
    >>> dropped = {"torch": f, "torch:port": lambda params, x: f(params, x[:1])}
    >>> gp.compare_gradients(dropped, params, x).verdict
    <Verdict.DIFFER: 'differ'>
    """
    check_seed(seed)
    if order not in (1, 2):
        raise InvalidSetting(f"order: got {order!r}, expected 1 or 2")
    taking_part = entrants(f, settled(params), backends, dtype, rename, transpose)
    single = any(engine.backend.dtype == "float32" for engine in taking_part.engines)
    point = point_for(taking_part.params, args, "float32" if single else "float64")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the first calls are in the notes
        if order == 2:
            return _compare_second_order(taking_part, point, dtype, seed, budget)
        with spending(budget, name_of(f) if callable(f) else "f") as granted:
            return compare(taking_part, point, dtype, seed, granted)


def assert_gradients_agree(
    f: ModelFunction | Mapping[str, Any],
    params: PyTree,
    *args: PyTree,
    backends: Sequence[str | Backend] = DEFAULT_BACKENDS,
    dtype: str = "float64",
    seed: int = 0,
    order: int = 1,
    rename: Mapping[str, Rename] | None = None,
    transpose: Mapping[str, Transpose] | None = None,
    budget: Budget = None,
) -> None:
    """Raise Disagreement, whose message is the report, unless the verdict is "agree".

    Arguments and further errors: as in `compare_gradients`

    >>> gp.assert_gradients_agree(lambda x: (x**2).sum(), np.ones(2), backends=["numerical"])
    """
    comparison = compare_gradients(
        f,
        params,
        *args,
        backends=backends,
        dtype=dtype,
        seed=seed,
        order=order,
        rename=rename,
        transpose=transpose,
        budget=budget,
    )
    if comparison.verdict is not Verdict.AGREE:
        raise Disagreement(comparison)


# Second derivatives: Hessian-vector products before slopes of a gradient.


def _compare_second_order(
    taking_part: Entrants, point: Point, dtype: str, seed: int, budget: Budget = None
) -> Comparison:
    """Judge what every engine says of second derivatives, in each way that it can be asked.

    Engines that difference f are left out: differences of differences judge nobody.
    """
    engines = [engine for engine in taking_part.engines if not engine.differences]
    opinions: list[Opinion] = []
    notes: list[str] = []
    not_zero: list[bool] = []
    for engine in engines:
        double = engine.in_dtype("float64")
        with spending(budget, name_of(double.value_of)) as granted:
            second = SecondDerivatives(
                double.value_of, point.params, point.args, seed, double.backend, granted
            )
            for way, judge, product in _ways(double, second):
                try:
                    check = judge(_watched(double.backend, product, not_zero))
                    opinions.append(Opinion(engine.label, check, way=way))
                except GradparityError:
                    raise
                except Exception as error:  # a framework says in its own way that it cannot
                    notes.append(f"{engine.label}, {way}: {line_of(error)}")
    known = {opinion.label: opinion.check for opinion in opinions}
    draft = Comparison(
        Verdict.CANNOT_TELL,
        (),
        (),
        "",
        tuple(engine.label for engine in engines),
        dtype,
        seed,
        point.size,
        tuple((label, check.value) for label, check in known.items()),
        notes=tuple(notes),
        evaluations=sum(opinion.check.evaluations for opinion in opinions),
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
