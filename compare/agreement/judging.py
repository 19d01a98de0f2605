"""What f is as each engine computes it, and what the judge says of its gradient."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradparity.backends.precision import EPSILON, UNIT_ROUNDOFF
from gradparity.backends.step_size import LONGEST_STEP

from ..checking.checker import Checker
from ..checking.function import Function
from ..checking.leaves import Span
from ..checking.reference import Reference, reference_by
from ..checking.result import place
from ..checking.score import norm
from ..checking.slope import REACH
from ..checking.thresholds import CONFIRMED, DIGITS, LAST_BITS, NEARBY, SETTLED, WRONG
from ..engines.engines import Answer, Engine, Point, answer
from ..verdicts import Suspect, Verdict
from .comparison import Opinion, listed


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


# Values.


def values_apart(parties: Sequence[Party], point: Point, seed: int) -> tuple[str, tuple[str, ...]]:
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


def choose_references(parties: Sequence[Party]) -> None:
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


def opinion_of(party: Party) -> Opinion:
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
    leaf, entry = position_of(function, suspect.leaf, suspect.index)
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


def position_of(function: Function, name: str, index: tuple[int, ...]) -> tuple[int, int]:
    """Return the position of a leaf, and the flat index of one of its entries."""
    leaf = [one.name for one in function.leaves].index(name)
    shape = function.leaves[leaf].shape
    return leaf, int(np.ravel_multi_index(index, shape)) if shape else 0
