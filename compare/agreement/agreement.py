"""Compare the derivatives of several engines: ask all, judge each, and say whose are wrong."""

import functools
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.backends import Backend, GradparityError
from gradparity.backends.base import ModelFunction
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.framework_trees import settled
from gradparity.backends.precision import UNIT_ROUNDOFF
from gradparity.backends.pytrees import PyTree

from ..checking.checker import Checker, check_seed
from ..checking.function import Function, name_of
from ..checking.result import how_far_off
from ..checking.score import rounding_bound
from ..checking.spending import Budget, BudgetSpent, Spending, spending
from ..checking.thresholds import DIGITS, LAST_BITS, ROUNDINGS
from ..engines.engines import (
    DEFAULT_BACKENDS,
    Answer,
    Engine,
    Entrants,
    Point,
    answer,
    entrants,
    point_for,
)
from ..ports.layouts import Rename, Transpose
from ..verdicts import Verdict, VerdictText
from .comparison import (
    Comparison,
    Convention,
    Disagreement,
    LeafDifference,
    Opinion,
    distinct,
    line_of,
    listed,
    undecided,
    with_opinions,
)
from .judging import Party, choose_references, opinion_of, position_of, values_apart
from .port_hints import different_parameters, hints
from .second_opinions import Heard, hear_other_ways
from .second_order import compare_second_order

MOST_CONVENTIONS = 100


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
    taking_part = entrants(f, settled(params), args, backends, dtype, rename, transpose)
    single = any(engine.backend.dtype == "float32" for engine in taking_part.engines)
    point = point_for(taking_part.params, args, "float32" if single else "float64")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the first calls are in the notes
        with spending(budget, name_of(f) if callable(f) else "f") as granted:
            compare = compare_second_order if order == 2 else _compare
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


# The course of one comparison.


def _compare(
    taking_part: Entrants, point: Point, dtype: str, seed: int, spending: Spending
) -> Comparison:
    """Ask all engines, and judge each by slopes of its function; see `compare_gradients`."""
    shared = _shared_checker(taking_part, point, seed, spending)
    engines = taking_part.engines
    if shared is not None:
        engines = tuple(engine.in_the_framework_of(shared.function) for engine in engines)
    answers, failures, notes = _ask(engines, point, seed)
    if shared is None and not any(engine.layout for engine in engines):
        notes.append("each engine evaluates f for itself: NumPy cannot")
    notes += [f"{label} raised {line_of(error)}" for label, error in failures.items()]
    dropped = {} if taking_part.by_name else failures
    left_out = [(label, f"it raised {line_of(error)}") for label, error in dropped.items()]
    draft = undecided(engines, point, dtype, seed, answers)
    draft = replace(draft, notes=tuple(notes), left_out=(*taking_part.left_out, *left_out))
    if taking_part.own and (different := [*different_parameters(engines, taking_part.own, point)]):
        reason = "the parameters are not the same numbers"
        said = (*draft.notes, *different, *hints(engines, failures, point))
        return replace(draft, verdict=Verdict.DIFFER, reason=reason, notes=said)
    parties = []
    for engine in (engine for engine in engines if engine.label in answers):
        given, double = answers[engine.label], engine.in_dtype("float64")
        fine = None if engine.differences else given if double is engine else answer(double, point)
        # Native implementations are judged by values of their own.
        checker = shared or _checker(engine.value_of, point, seed, spending, double.backend)
        parties.append(Party(engine, given, fine, checker))
    opinions: list[Opinion] = []
    heard: list[Heard] = []
    odd: tuple[str, ...] = ()
    apart = spent = ""
    try:
        apart, odd = values_apart(parties, point, seed)
        if failures or apart:
            draft = replace(draft, notes=(*draft.notes, *hints(engines, failures, point)))
        if all(math.isfinite(party.value) for party in parties):
            choose_references(parties)
            for party in parties:
                opinions.append(opinion_of(party))
            for party in parties:
                # Other ways go through the same casts, and nobody has measured their rounding.
                if party.double is not None and not party.function.casts:
                    double = party.engine.in_dtype("float64")
                    heard += hear_other_ways(double, party.checker, party.double, point)
    except BudgetSpent:
        spent = spending.why
    draft = _about(draft, parties, opinions, heard)
    if apart:
        blamed = tuple(one for one in draft.backends if one in {*odd, *draft.blamed})
        return replace(draft, verdict=Verdict.DIFFER, reason=apart, blamed=blamed)
    if draft.blamed:
        return replace(draft, verdict=Verdict.DIFFER, reason=_who_is_wrong(draft, opinions))
    if spent or not opinions:
        return replace(draft, reason=spent or "f is not finite here, in every backend")
    verdict, reason = _conclusion(draft, parties, opinions, {} if dropped else failures)
    return replace(draft, verdict=verdict, reason=reason)


# Asking.


def _shared_checker(
    taking_part: Entrants, point: Point, seed: int, spending: Spending
) -> Checker[Function] | None:
    """Return a checker of the one function of all engines, if there is one and it can be called."""
    if any(engine.layout for engine in taking_part.engines):
        return None
    f = taking_part.engines[0].function
    elsewhere = [
        one.in_dtype("float64").backend for one in taking_part.engines if one.backend.device
    ]
    for backend in (None, *elsewhere):  # f may hold arrays on a device that NumPy's are not on
        try:
            return _checker(f, point, seed, spending, backend)
        except GradparityError:
            continue
    return None


def _checker(
    f: ModelFunction,
    point: Point,
    seed: int,
    spending: Spending,
    backend: Backend | None = None,
) -> Checker[Function]:
    return Checker(Function(f, point.params, point.args, backend, spending=spending), seed)


def _ask(
    engines: Sequence[Engine], point: Point, seed: int
) -> tuple[dict[str, Answer], dict[str, Exception], list[str]]:
    """Return what engines answered, what those raised that could not, and what was noticed."""
    answers: dict[str, Answer] = {}
    failures: dict[str, Exception] = {}
    notes: list[str] = []
    for engine in engines:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                answers[engine.label] = answer(engine, point, seed)
            except Exception as error:
                # A framework says in its own way that it cannot, and differences may take too much.
                if isinstance(error, GradparityError) and not isinstance(error, BudgetSpent):
                    raise
                failures[engine.label] = error
        # What a framework warns of once, such as a tensor cut off from its graph, is a clue.
        notes += [
            f"{engine.label} warns: {str(warning.message).partition(chr(10))[0]:.160}"
            for warning in caught
            if not issubclass(warning.category, RuntimeWarning)
        ]
    if not answers:
        raise next(iter(failures.values()))
    notes += [
        f"{label} was asked for {sum(map(len, given.entries))} of {point.size:,} entries, drawn at "
        "random: each costs it two evaluations of f"
        for label, given in answers.items()
        if given.entries is not None
    ]
    notes += [
        f"{label} was asked for f with all of its arrays in float64: as it is, f fails there"
        for label, given in answers.items()
        if given.is_widened
    ]
    return answers, failures, notes


# Concluding.


def _about(
    draft: Comparison,
    parties: Sequence[Party],
    opinions: Sequence[Opinion],
    heard: Sequence[Heard],
) -> Comparison:
    """Return a comparison with all that was found out, and who is wrong."""
    judged = with_opinions(draft, opinions)
    blamed = {*judged.blamed, *(opinion.backend for opinion, _ in heard if opinion.wrong)}
    suspects = itertools.chain(judged.suspects, *(found for _, found in heard))
    functions = {id(party.checker): party.function for party in parties}.values()
    return replace(
        judged,
        blamed=tuple(label for label in draft.backends if label in blamed),
        suspects=distinct(suspects),
        differences=tuple(_differences(parties)) if opinions else (),
        conventions=tuple(_conventions(parties, opinions)),
        second_opinions=tuple(opinion for opinion, _ in heard),
        evaluations=sum(function.evaluations for function in functions) if opinions else 0,
    )


def _conventions(parties: Sequence[Party], opinions: Sequence[Opinion]) -> Iterator[Convention]:
    """Yield what every engine returned where some of them met a kink."""
    kinks: dict[tuple[str, tuple[int, ...]], tuple[float, float]] = {}
    for kink in itertools.chain(*(opinion.check.kinks for opinion in opinions)):
        kinks.setdefault((kink.leaf, kink.index), kink.interval)
    for (leaf, index), interval in itertools.islice(kinks.items(), MOST_CONVENTIONS):
        values = []
        for party in parties:
            position, entry = position_of(party.function, leaf, index)
            values.append((party.label, float(party.slopes[position][entry])))
        yield Convention(leaf, index, interval, tuple(values))


def _differences(parties: Sequence[Party]) -> Iterator[LeafDifference]:
    """Yield the largest difference of every pair of engines in every leaf that is not empty."""
    for first, second in itertools.combinations(parties, 2):
        unit = ROUNDINGS * max(UNIT_ROUNDOFF[one.engine.backend.dtype] for one in (first, second))
        by_rule = first.double is not None and second.double is not None
        total = max(float(np.nanmax(np.abs(one), initial=0.0)) for one in first.slopes)
        for position, leaf in enumerate(first.function.leaves):
            asked = [one.given.entries[position] for one in (first, second) if one.given.entries]
            known = functools.reduce(np.intersect1d, asked) if asked else slice(None)
            a, b = first.slopes[position][known], second.slopes[position][known]
            if not a.size:
                continue
            distance, sizes = np.abs(a - b), np.fmax(np.abs(a), np.abs(b))
            if not math.isfinite(distance.max()):
                # Infinities of one sign are equal, and two NaN.
                distance[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
            # Where one of two is NaN so is the distance, and argmax finds it first.
            worst = int(np.argmax(distance))
            largest, size = float(distance[worst]), float(sizes.max())
            # A leaf that is zero but for rounding is measured against the whole gradient.
            whole = max(total, abs(first.given.value) / leaf.scale)
            is_dust = size <= max(LAST_BITS, unit) * whole
            size = whole if is_dust else size
            granted = rounding_bound(sizes, unit if by_rule else DIGITS)[worst]
            yield LeafDifference(
                first.label,
                second.label,
                leaf.name,
                a.size,
                largest,
                largest / size if largest and size else math.nan if largest else 0.0,
                leaf.index(int(np.arange(leaf.size)[known][worst])),
                not (largest <= granted or is_dust),
            )


def _who_is_wrong(found: Comparison, opinions: Sequence[Opinion]) -> str:
    """Return the reason of "differ": whose gradient, in which leaves, and how far off it is."""
    wrong = [
        leaf
        for opinion in opinions
        if opinion.label in found.blamed
        for leaf in opinion.check.leaves
        if leaf.verdict is Verdict.DIFFER
    ]
    leaves = dict.fromkeys([one.leaf for one in found.suspects] + [leaf.leaf for leaf in wrong])
    where = f" in {listed([leaf or 'params' for leaf in leaves])}" if leaves else ""
    text = f"{listed(found.blamed)} {'is' if len(found.blamed) == 1 else 'are'} wrong{where}"
    off = [leaf for leaf in wrong if not math.isnan(leaf.error)]
    if off:
        worst = max(off, key=lambda leaf: leaf.error)
        text += f": {worst.leaf or 'params'} is {how_far_off(worst)}"
    return text


def _conclusion(
    found: Comparison,
    parties: Sequence[Party],
    opinions: Sequence[Opinion],
    failures: Mapping[str, Exception],
) -> tuple[VerdictText, str]:
    """Return the verdict and its reason where values agree and no gradient is wrong."""
    if _functions_differ(found, parties, opinions):
        reason = "each gradient is right for its own implementation: they are not one function"
        return Verdict.DIFFER, reason
    doubts = [opinion.excuse for opinion in opinions if opinion.excuse]
    doubts += [f"{label} raised {line_of(error)}" for label, error in failures.items()]
    doubts += [
        f"{opinion.label}: {opinion.check.reason}"
        for opinion in opinions
        if opinion.check.verdict is not Verdict.AGREE
    ]
    if doubts:
        return Verdict.CANNOT_TELL, doubts[0]
    labels = [opinion.label for opinion in opinions]
    reason = f"{listed(labels)} {'give' if len(labels) > 1 else 'gives'} the derivative of f"
    if found.resolution == 0:
        reason += ", which does not depend on params here: this proves nothing"
    return Verdict.AGREE, reason + ", each by its convention at kinks" * bool(found.conventions)


def _functions_differ(
    found: Comparison, parties: Sequence[Party], opinions: Sequence[Opinion]
) -> bool:
    """Tell whether native implementations each have the gradient of another function."""
    right = {
        party.label: (party.checker, opinion.check.resolution)
        for party, opinion in zip(parties, opinions, strict=True)
        if opinion.check.verdict is Verdict.AGREE
        and not (opinion.check.kinks or party.double is None)
    }
    for one in found.differences:
        if one.first in right and one.second in right:
            (checker, known), (other, known_of_other) = right[one.first], right[one.second]
            if checker is not other and one.relative > max(DIGITS, known + known_of_other):
                return True
    return False
