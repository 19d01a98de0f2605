"""One comparison, step by step: ask, compare the values, check every gradient, conclude."""

import functools
import itertools
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradparity.backends import Backend, GradparityError
from gradparity.backends.base import ModelFunction
from gradparity.backends.precision import EPSILON, UNIT_ROUNDOFF
from gradparity.backends.step_size import LONGEST_STEP

from ..checking.candidate import RoundingBounds
from ..checking.checker import Checker
from ..checking.function import Function
from ..checking.leaves import Span
from ..checking.reference import Reference, reference_by
from ..checking.result import how_far_off, place
from ..checking.score import norm
from ..checking.slope import REACH
from ..checking.spending import BudgetSpent, Spending
from ..checking.thresholds import (
    CONFIRMED,
    DIGITS,
    LAST_BITS,
    NEARBY,
    ROUNDINGS,
    SETTLED,
    WRONG,
)
from ..engines.engines import Answer, Engine, Entrants, Point, answer
from ..verdicts import Suspect, Verdict, VerdictText
from .comparison import (
    Comparison,
    Convention,
    LeafDifference,
    Opinion,
    distinct,
    listed,
    with_opinions,
)
from .port_hints import different_parameters, hints
from .second_opinions import Heard, hear_other_ways

MOST_CONVENTIONS = 100


@dataclass(frozen=True)
class Party:
    """An engine with what it answered, and who judges that.

    double: its answer in float64; None where it differences f, and has no better one
    """

    engine: Engine
    given: Answer
    double: Answer | None
    checker: Checker[Function]

    @property
    def label(self) -> str:
        return self.engine.label

    @property
    def function(self) -> Function:
        return self.checker.function

    @functools.cached_property
    def slopes(self) -> tuple[np.ndarray, ...]:
        return self.given.read(self.function).slopes

    @property
    def value(self) -> float:
        """What f is in float64 as the engine computes it, without casts to a lower precision."""
        own = self._own
        return self.function.value if own is None else own.value

    def value_at(self, point: Point) -> float:
        """Return the same at another point."""
        if self._own is None:
            f, backend = self.function.f, self.function.backend
            return Function(f, point.params, point.args, backend).value
        return answer(self.engine.in_dtype("float64"), point).value

    @property
    def _own(self) -> Answer | None:
        return None if self.function.casts else self.double


def compare(
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
    draft = Comparison(
        Verdict.CANNOT_TELL,
        (),
        (),
        "",
        tuple(engine.label for engine in engines),
        dtype,
        seed,
        point.size,
        tuple((label, given.value) for label, given in answers.items()),
        notes=tuple(notes),
        left_out=(*taking_part.left_out, *left_out),
        aliases=tuple(
            (engine.label, tuple(zip(point.names, engine.layout.names, strict=True)))
            for engine in engines
            if engine.layout is not None
        ),
    )
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
        apart, odd = _values_apart(parties, point, seed)
        if failures or apart:
            draft = replace(draft, notes=(*draft.notes, *hints(engines, failures, point)))
        if all(math.isfinite(party.value) for party in parties):
            _choose_references(parties)
            for party in parties:
                opinions.append(_opinion(party))
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
    try:
        return _checker(taking_part.engines[0].function, point, seed, spending)
    except GradparityError:
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
    return answers, failures, notes


def line_of(error: Exception) -> str:
    """Return what an exception says, in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


# Values.


def _values_apart(parties: Sequence[Party], point: Point, seed: int) -> tuple[str, tuple[str, ...]]:
    """Say by how much values differ, and who stands against a majority; "" where they agree."""
    alike = np.eye(len(parties), dtype=bool)
    for i, j in itertools.combinations(range(len(parties)), 2):
        alike[i, j] = alike[j, i] = _alike(parties[i], parties[j], point, seed)
    if alike.all():
        return "", ()
    values = {party.label: party.value for party in parties}
    numbers = list(values.values())
    if all(map(math.isfinite, numbers)):
        far = f"by {(max(numbers) - min(numbers)) / max(map(abs, numbers)):.1g} (relative)"
    else:
        far = f"and not all are finite ({', '.join(f'{n} {v:g}' for n, v in values.items())})"
    reason = f"the values differ {far}, which is no dispute about gradients"
    majority = alike[int(alike.sum(axis=1).argmax())]
    odd = tuple(label for label, joins in zip(values, majority, strict=True) if not joins)
    if not 0 < 2 * len(odd) < len(parties):
        return reason, ()
    return f"{reason}; {listed(odd)} against the others", odd


def _alike(one: Party, other: Party, point: Point, seed: int) -> bool:
    """Tell whether two values of f in float64 differ by no more than rounding.

    At neighbouring points a rounding error scatters around zero; a difference between two
    functions stays what it is.
    """
    values = one.value, other.value
    if not all(map(math.isfinite, values)):
        return np.array_equal(values[0], values[1], equal_nan=True)
    if abs(values[0] - values[1]) <= LAST_BITS * max(map(abs, values)):
        return True
    rng = np.random.default_rng(seed)
    gaps = [values[0] - values[1]]
    for near in (point.beside(math.sqrt(EPSILON), rng) for _ in range(NEARBY)):
        gaps.append(one.value_at(near) - other.value_at(near))
    finite = np.array([gap for gap in gaps if math.isfinite(gap)])
    spread = float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0
    return abs(float(np.mean(finite))) <= WRONG * spread


# Judging.


def _choose_references(parties: Sequence[Party]) -> None:
    """Let every checker use the first gradient that fits its function, whoever gave it.

    To find out where a wrong one is certified takes a search. Those that are alike go first, and
    those of implementations that may be of the same function last.
    """
    for checker in {id(party.checker): party.checker for party in parties}.values():
        if checker.function.casts or checker.function.blocked:
            continue
        offered = [
            (party.checker is not checker, reference)
            for party in parties
            if not party.function.casts and (reference := _reference(party)) is not None
        ]
        pairs = itertools.combinations([one for _, one in offered], 2)
        alike = Counter(id(one) for pair in pairs if _near(*pair) for one in pair)
        offered.sort(key=lambda pair: (pair[0], -alike[id(pair[1])]))
        checker.reference = next((one for _, one in offered if checker.score_of(one).fits), None)


def _reference(party: Party) -> Reference | None:
    """Return the gradient of an engine that has a finite number for every entry."""
    if party.double is None:
        return None
    candidate = party.double.read(party.function)
    if candidate.problems or not all(np.isfinite(leaf).all() for leaf in candidate.slopes):
        return None
    backend = party.engine.in_dtype("float64").backend
    return reference_by(party.function, backend, party.label, candidate.slopes)


def _near(one: Reference, other: Reference) -> bool:
    """Tell whether two gradients are as near as right ones are, leaf by leaf."""
    return all(
        norm(a - b) <= SETTLED * max(norm(a), norm(b))
        for a, b in zip(one.slopes, other.slopes, strict=True)
    )


def _opinion(party: Party) -> Opinion:
    """Check what an engine returned, after the same in float64, if that was in another dtype."""
    if party.double is None:
        return _of_differences(party)
    check = party.checker.check(party.double.gradient)
    if party.double is party.given or check.verdict is not Verdict.AGREE:
        return Opinion(party.label, check)
    check = party.checker.check(party.given.gradient)
    note = "in float64 it is right: only float32 is at fault"
    return Opinion(party.label, check, note=note * (check.verdict is Verdict.DIFFER))


def _of_differences(party: Party) -> Opinion:
    """Check an engine that differences f: it is granted what "agree" promises, and no more."""
    known = [party.given.known(k, leaf.size) for k, leaf in enumerate(party.function.leaves)]
    for rounding in (SETTLED, DIGITS):
        check = party.checker.check(party.given.gradient, rounding=rounding, only=known)
        if check.verdict is Verdict.AGREE:
            return Opinion(party.label, check)
    worst = check.suspects[:CONFIRMED]
    if not worst or not all(_is_a_quotient(party, suspect) for suspect in worst):
        return Opinion(party.label, check)
    excuse = (
        f"{party.label} differences f across a kink, a jump or noise at leaf "
        f"{place(worst[0].leaf, worst[0].index)}: {worst[0].got:.6g}, not {worst[0].expected:.6g}"
    )
    return Opinion(party.label, check, excuse=excuse)


def _is_a_quotient(party: Party, suspect: Suspect) -> bool:
    """Tell whether a number is a central difference of f by one entry, whatever its step was.

    At a kink or a jump within the step, and where f is noisy, a quotient is far from the
    derivative and no error of who took it: it lies between quotients over steps of all lengths
    that a backend chooses, or is the quotient over the step that it was told.
    """
    function, backend = party.function, party.engine.backend
    leaf, entry = _place(function, suspect.leaf, suspect.index)
    described = function.leaves[leaf]
    size = max(abs(float(described.array.reshape(-1)[entry])), described.scale)
    steps = np.array([getattr(backend, "step_size", "automatic")])
    if steps.dtype.kind not in "fi":
        longest = LONGEST_STEP * max(size, 1.0)
        rungs = math.ceil(math.log2(longest / (size * LONGEST_STEP**2)))
        steps = longest * 2.0 ** -np.arange(rungs + 1)
    direction = {Span(leaf, entry, entry + 1): np.ones(1)}
    phi = function.along(direction)
    quotients = np.array([(phi(step) - phi(-step)) / (2 * step) for step in steps])
    got = float(np.real(suspect.got))
    if not math.isfinite(got):
        return not np.isfinite(quotients).all()
    slope = party.checker.directions.measure(direction, described.scale)
    # Noise that a slope is known in spite of, over the checker's longest step, is more over a
    # shorter one; and beyond a jump, a step of half the length doubles what a quotient is off by.
    value, bar = suspect.expected, suspect.error_bar
    if slope.known:
        value, bar = slope.value, slope.bar
    slack = bar * described.scale * REACH / steps
    slack += np.abs(quotients - value) * (len(steps) > 1)
    slack += (2 * UNIT_ROUNDOFF[backend.dtype] + EPSILON * size / steps) * abs(got)
    return bool(np.nanmin(quotients - slack) <= got <= np.nanmax(quotients + slack))


def _place(function: Function, name: str, index: tuple[int, ...]) -> tuple[int, int]:
    """Return the position of a leaf, and the flat index of one of its entries."""
    leaf = [one.name for one in function.leaves].index(name)
    shape = function.leaves[leaf].shape
    return leaf, int(np.ravel_multi_index(index, shape)) if shape else 0


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
            position, entry = _place(party.function, leaf, index)
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
            (granted,) = RoundingBounds([sizes], [unit if by_rule else DIGITS])
            yield LeafDifference(
                first.label,
                second.label,
                leaf.name,
                a.size,
                largest,
                largest / size if largest and size else math.nan if largest else 0.0,
                leaf.index(int(np.arange(leaf.size)[known][worst])),
                not (largest <= granted[worst] or is_dust),
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
