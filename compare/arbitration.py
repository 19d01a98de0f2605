"""Who is wrong: each engine before the arbiter, each disputed entry before all of them."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from gradparity.backends import GradparityError
from gradparity.backends.estimate import Estimate

from .candidate import EPSILONS, Candidate
from .check import Arbiter, GradientCheck
from .engines import Answer, Engine, Point, answer
from .entries import examine
from .meter import Meter
from .quotients import is_a_quotient
from .round_off import float32_fault_persists
from .second_opinions import Entry, differing_entries
from .trial import ROUNDINGS, Kink, Trial
from .verdicts import Suspect

Kind: TypeAlias = Literal["right", "legal", "not a number", "open", "wrong"]

# Where many entries differ, the arbiter looks at the worst of each leaf, and at so many in all.
MOST_IN_A_LEAF = 3
MOST_DISPUTED = 24
MOST_QUOTIENTS = 16
# Sums of a network's terms in another order: some hundreds of roundings of the largest entry.
ROUND_OFF = 1_000 * 2.0**-52
# Central differences are exact to about eps**(2/3); what is off by 1,000 times that is looked at.
QUOTIENT_ERROR = 1_000 * 2.0 ** (-52 * 2 / 3)


@dataclass(frozen=True)
class Ruling:
    """What the arbiter says of a number that claims to be the derivative by one entry.

    kind: "legal" and "not a number" are said at kinks, "open" where there is no derivative
    interval: of legal values, each known to within bar; suspect: the entry if it is wrong
    """

    kind: Kind
    interval: tuple[float, float]
    bar: float
    suspect: Suspect | None = None


@dataclass(frozen=True)
class Judgement:
    """What was found out about one engine.

    check: of its gradient in float64; None where it differences f itself
    suspects: those of the check, and what else turned out to be wrong
    """

    engine: Engine
    leaves: tuple[np.ndarray, ...]
    check: GradientCheck | None = None
    suspects: tuple[Suspect, ...] = ()
    kinks: tuple[Kink, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_wrong(self) -> bool:
        return bool(self.suspects) or (self.check is not None and self.check.verdict == "differ")


def arbiters(
    engines: Sequence[Engine], values: Mapping[str, float], point: Point, seed: int
) -> tuple[dict[str, Arbiter], tuple[str, ...]]:
    """Return an arbiter for each engine, and what there is to say about the choice.

    One function is evaluated by NumPy for all of them, unless it needs its own framework; native
    implementations are judged by their own values.
    """
    notes: tuple[str, ...] = ()
    if not any(engine.layout for engine in engines):
        try:
            shared = Arbiter(engines[0].function, point.params, *point.args, seed=seed)
            return {engine.label: shared for engine in engines}, ()
        except GradparityError as error:
            notes = (f"each engine evaluates f for its own arbiter: NumPy cannot ({error})",)
    return {
        engine.label: Arbiter(
            engine.value_of,
            point.params,
            *point.args,
            seed=seed,
            backend=replace(engine.backend, dtype="float64"),
        )
        for engine in engines
    }, notes


def judge(engine: Engine, given: Answer, arbiter: Arbiter, point: Point, seed: int) -> Judgement:
    """Put an engine's whole gradient before its arbiter.

    A float32 gradient is judged by its float64 shadow: that is where a wrong rule shows. What it
    is off by beyond that is a fault only where it is more than float32's round-off.
    """
    single = engine.backend.dtype == "float32"
    shadow = answer(engine.in_dtype("float64"), point, seed) if single else given
    check = arbiter.check(shadow.gradient)
    suspects = tuple(replace(suspect, backend=engine.label) for suspect in check.suspects)
    judgement = Judgement(
        engine, shadow.leaves, check, suspects, check.kinks, check.unknown, check_notes(check)
    )
    if not single or check.verdict == "differ":
        return judgement
    found = []
    for suspect in arbiter.check(given.gradient).suspects:
        leaf, entry = position_of(point, suspect)
        if float32_fault_persists(engine, point, leaf, entry, seed):
            found.append(replace(suspect, backend=engine.label))
    notes = ("in float64 it is right: only float32 is at fault",) if found else ()
    return replace(judgement, suspects=tuple(found), notes=(*judgement.notes, *notes))


def check_notes(check: GradientCheck) -> tuple[str, ...]:
    return tuple(f"leaf {problem.leaf or 'params'}: {problem.text}" for problem in check.problems)


def judge_quotients(
    engine: Engine,
    given: Answer,
    reference: Sequence[np.ndarray] | None,
    arbiter: Arbiter,
    point: Point,
    seed: int,
) -> Judgement:
    """Judge an engine that differences f, by quotients of f, where it looks worst.

    reference: a gradient to find these entries with; None for some entries at random
    """
    step = getattr(engine.backend, "step_size", None)
    fixed = float(step) if isinstance(step, float | int) else None
    epsilon = EPSILONS[engine.backend.dtype]
    suspects, notes = [], []
    error = max(QUOTIENT_ERROR, ROUNDINGS * epsilon)
    for leaf, entry in _doubtful(given, reference, error, seed):
        got = float(given.leaves[leaf].reshape(-1)[entry])
        ruling = rule(arbiter.meter, given.leaves, leaf, entry, got)
        if ruling.suspect is None:
            continue
        if is_a_quotient(arbiter.black_box, leaf, entry, got, fixed, epsilon):
            notes.append(
                f"{engine.label} differences f across a kink, a jump or noise at leaf "
                f"{point.names[leaf] or 'params'}{list(index_of(point, leaf, entry))}: {got:.6g}, "
                f"not {ruling.suspect.expected:.6g}"
            )
            continue
        suspects.append(replace(ruling.suspect, backend=engine.label))
    return Judgement(engine, given.leaves, None, tuple(suspects), notes=tuple(notes[:1]))


def rule(meter: Meter, leaves: Sequence[np.ndarray], leaf: int, entry: int, got: float) -> Ruling:
    """Return what the arbiter says of a number that claims to be the derivative by one entry.

    leaves: the float64 gradient that the number belongs to

    Where f jumps and is continuous on one side, the branch that f takes at the point is known, and
    with it the derivative.
    """
    own = tuple(np.array(array) for array in leaves)
    own[leaf].reshape(-1)[entry] = got
    trial = Trial(meter, Candidate(own, (EPSILONS["float64"],) * len(own), (), {}))
    estimate = meter.entry(leaf, entry)
    if estimate.smoothness == "jump":
        return _rule_at_jump(trial, estimate, leaf, entry, got)
    if examine(trial, leaf, entry):
        suspect = trial.suspects[-1]
        return Ruling("wrong", (suspect.expected, suspect.expected), suspect.error_bar, suspect)
    if trial.kinks:
        interval = trial.kinks[-1].interval
        kind: Kind = "not a number" if math.isnan(got) else "legal"
        return Ruling(kind, interval, max(estimate.one_sided_error))
    if estimate.smoothness != "smooth":
        return Ruling("open", (-math.inf, math.inf), math.inf)
    return Ruling("right", (estimate.value, estimate.value), estimate.error)


def _rule_at_jump(trial: Trial, estimate: Estimate, leaf: int, entry: int, got: float) -> Ruling:
    sides = [
        (value, error)
        for value, error in zip(estimate.one_sided, estimate.one_sided_error, strict=True)
        if math.isfinite(value) and math.isfinite(error)
    ]
    if len(sides) != 1:
        return Ruling("open", (-math.inf, math.inf), math.inf)
    ((value, error),) = sides
    # False for NaN, as it should be.
    if abs(got - value) <= error + float(trial.tolerance[leaf][entry]):
        return Ruling("right", (value, value), error)
    name, shape = trial.black_box.names[leaf], trial.black_box.leaves[leaf].shape
    index = tuple(map(int, np.unravel_index(entry, shape)))
    return Ruling("wrong", (value, value), error, Suspect(name, index, got, value, error))


def disputed_entries(gradients: Sequence[Sequence[np.ndarray]]) -> tuple[Entry, ...]:
    """Return entries where float64 gradients differ by more than round-off, the worst first."""
    found: dict[Entry, None] = {}
    for leaf, versions in enumerate(zip(*gradients, strict=True)):
        for first, second in itertools.combinations(versions, 2):
            entries = differing_entries(first.reshape(-1), second.reshape(-1), ROUND_OFF)
            found |= {(leaf, int(entry)): None for entry in entries[:MOST_IN_A_LEAF]}
    return tuple(found)[:MOST_DISPUTED]


def index_of(point: Point, leaf: int, entry: int) -> tuple[int, ...]:
    return tuple(map(int, np.unravel_index(entry, point.leaves[leaf].shape)))


def position_of(point: Point, suspect: Suspect | Kink) -> Entry:
    """Return where a suspect's entry is."""
    leaf = point.names.index(suspect.leaf)
    shape = point.leaves[leaf].shape
    return leaf, int(np.ravel_multi_index(suspect.index, shape)) if shape else 0


def _doubtful(
    given: Answer, reference: Sequence[np.ndarray] | None, error: float, seed: int
) -> Iterator[Entry]:
    """Yield entries that differ from the reference by more than a relative error, or any."""
    rng = np.random.default_rng(seed)
    share = max(1, MOST_QUOTIENTS // max(len(given.leaves), 1))
    for leaf, slopes in enumerate(given.leaves):
        known = given.known(leaf)
        mine = slopes.reshape(-1)[known]
        if reference is None:
            chosen = rng.permutation(len(known))
        else:
            chosen = differing_entries(mine, reference[leaf].reshape(-1)[known], error)
        yield from ((leaf, int(known[entry])) for entry in chosen[:share])
