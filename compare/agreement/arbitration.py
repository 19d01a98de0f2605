"""Who is wrong: each engine before the arbiter, each disputed entry before all of them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradparity.backends import GradparityError

from ..checking.candidate import EPSILONS
from ..checking.check import Arbiter, GradientCheck
from ..checking.trial import ROUNDINGS, Kink
from ..verdicts import Suspect, Verdict
from .engines import Answer, Engine, Point, answer
from .quotients import is_a_quotient
from .round_off import float32_fault_persists
from .rulings import Rulings
from .second_opinions import Entry, differing_entries

# Where many entries differ, the arbiter looks at the worst of each leaf, and at so many in all.
MOST_IN_A_LEAF = 3
MOST_DISPUTED = 24
MOST_QUOTIENTS = 16
# Sums of a network's terms in another order: some hundreds of roundings of the largest entry.
ROUND_OFF = 1_000 * 2.0**-52
# Central differences are exact to about eps**(2/3); what is off by 1,000 times that is looked at.
QUOTIENT_ERROR = 1_000 * 2.0 ** (-52 * 2 / 3)


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
        if self.suspects or self.check is None:
            return bool(self.suspects)
        # A whole leaf, or its form, may be wrong without an entry of its own to show.
        return self.check.verdict is Verdict.DIFFER and not self.check.suspects


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
            backend=engine.in_dtype("float64").backend,
        )
        for engine in engines
    }, notes


def judge(
    engine: Engine, given: Answer, arbiter: Arbiter, rulings: Rulings, point: Point, seed: int
) -> Judgement:
    """Put an engine's whole gradient before its arbiter.

    A float32 gradient is judged by its float64 shadow: that is where a wrong rule shows. What it
    is off by beyond that is a fault only where it is more than float32's round-off.
    """
    single = engine.backend.dtype == "float32"
    shadow = answer(engine.in_dtype("float64"), point, seed) if single else given
    check = arbiter.check(shadow.gradient)
    suspects, kinks, unknown = _confirmed(check, shadow.leaves, rulings, point)
    judgement = Judgement(
        engine,
        shadow.leaves,
        check,
        tuple(replace(suspect, backend=engine.label) for suspect in suspects),
        tuple(kinks),
        unknown,
        tuple(f"leaf {problem.leaf or 'params'}: {problem.text}" for problem in check.problems),
    )
    if not single or judgement.is_wrong:
        return judgement
    found = []
    for suspect in arbiter.check(given.gradient).suspects:
        leaf, entry = position_of(point, suspect)
        if float32_fault_persists(engine, point, leaf, entry, seed):
            found.append(replace(suspect, backend=engine.label))
    notes = ("in float64 it is right: only float32 is at fault",) if found else ()
    return replace(judgement, suspects=tuple(found), notes=(*judgement.notes, *notes))


def _confirmed(
    check: GradientCheck, leaves: Sequence[np.ndarray], rulings: Rulings, point: Point
) -> tuple[list[Suspect], list[Kink], tuple[str, ...]]:
    """Return the suspects that stand a closer look, and the kinks and jumps that others are at.

    The first one of a leaf that does stands for the rest of it.
    """
    suspects: list[Suspect] = []
    kinks, doubts = list(check.kinks), list(check.unknown)
    for suspect in check.suspects:
        if suspect.leaf in {confirmed.leaf for confirmed in suspects}:
            suspects.append(suspect)
            continue
        ruling = rulings.rule(leaves, *position_of(point, suspect), suspect.got)
        if ruling.suspect is not None:
            suspects.append(ruling.suspect)
        elif ruling.kind == "legal":
            kinks.append(Kink(suspect.leaf, suspect.index, suspect.got, ruling.interval))
        else:
            doubts.append(
                f"{suspect.leaf or 'params'}{list(suspect.index)}: got {suspect.got:.6g} where f "
                "jumps"
            )
    return suspects, kinks, tuple(doubts)


def judge_quotients(
    engine: Engine,
    given: Answer,
    reference: Sequence[np.ndarray] | None,
    arbiter: Arbiter,
    rulings: Rulings,
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
        ruling = rulings.rule(given.leaves, leaf, entry, got)
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
