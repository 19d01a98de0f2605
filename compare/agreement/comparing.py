"""One comparison, step by step: ask, compare the values, check every gradient, conclude."""

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradparity.backends import GradparityError
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.pytrees import PyTree, flatten, private_numpy
from gradparity.backends.rounding import lift

from ..checking.checker import GradientChecker
from ..checking.function import LIFTING, Function
from ..checking.reference import Reference, reference_of
from ..checking.result import GradientCheck, LeafCheck, how_far_off, place
from ..checking.score import norm
from ..checking.slope import KINDS
from ..checking.spending import BudgetSpent, Spending
from ..checking.thresholds import DIGITS
from ..engines.engines import Answer, Engine, Point, answer
from ..engines.entrants import Entrants
from ..verdicts import Suspect, Verdict, VerdictText
from .comparison import Comparison, Convention, SecondOpinion
from .differences import leaf_differences
from .port_hints import different_parameters, hints
from .quotients import is_a_quotient
from .second_opinions import hear_other_ways
from .values import alike_without_casts, odd_ones_out

MOST_CONVENTIONS = 100
# Entries of one leaf in which differences are compared with what f itself gives for their step.
MOST_QUOTIENTS = 8
# Central differences are right to about eps**(2/3) times what cancels in f; a hundred thousand
# times that is still four digits more than "agree" promises.
USUAL_ERROR = 1e-6


@dataclass(frozen=True)
class Opinion:
    """What was found out about one engine's gradient.

    check: of what it returned; shadow: of the same in float64, where that was another dtype
    explained: entries where differences are far from the slope for a reason of their own
    """

    engine: Engine
    check: GradientCheck
    shadow: GradientCheck | None = None
    explained: tuple[str, ...] = ()

    @property
    def is_wrong(self) -> bool:
        return self.worst.verdict is Verdict.DIFFER and not self.explained

    @property
    def worst(self) -> GradientCheck:
        """The check that the verdict rests on: of the shadow, if that is wrong already."""
        if self.shadow is not None and self.shadow.verdict is not Verdict.AGREE:
            return self.shadow
        return self.check


@dataclass(frozen=True)
class Asked:
    """What the engines answered; failures: what those raised that could not."""

    answers: Mapping[str, Answer]
    failures: Mapping[str, Exception]
    notes: tuple[str, ...]

    @property
    def values(self) -> dict[str, float]:
        return {label: given.value for label, given in self.answers.items()}


def compare(
    taking_part: Entrants, point: Point, dtype: str, seed: int, spending: Spending
) -> Comparison:
    """Ask all engines, and judge each by slopes of its function; see `compare_gradients`."""
    shared = _shared_checker(taking_part, point, seed, spending)
    engines = tuple(_in_its_framework(engine, shared) for engine in taking_part.engines)
    asked = _ask(engines, point, seed)
    answered = [engine for engine in engines if engine.label in asked.answers]
    dropped = {} if taking_part.by_name else dict(asked.failures)
    left_out = tuple((name, f"it raised {_line(error)}") for name, error in dropped.items())
    report = _Draft(taking_part, point, dtype, seed, engines, asked, left_out)
    shadows = [*asked.values.values()]
    if not alike_without_casts(shadows):
        shadows = [_without_casts(one, point, asked.values[one.label]) for one in answered]
    agree, odd = odd_ones_out(answered, shadows, point, seed)
    different = tuple(different_parameters(engines, taking_part.own, point))
    if different or asked.failures or not agree:
        failed = [*asked.failures]
        report.notes += [*different, *_hints(engines, failed, point)]
    if different:
        return report.finish(Verdict.DIFFER, "the parameters are not the same numbers")
    if not all(map(math.isfinite, asked.values.values())):
        if agree:
            reason = "f is not finite here, in every backend"
            return report.finish(Verdict.CANNOT_TELL, reason)
        return report.finish(Verdict.DIFFER, _values_apart(asked.values, odd), odd)
    try:
        report.checkers = _checkers(answered, point, seed, shared, spending, report)
        report.opinions = _opinions(answered, asked, report.checkers, point, seed)
        report.seconds = tuple(_second_opinions(answered, asked, report.checkers, point, seed))
    except BudgetSpent:
        if agree and not report.wrong:
            return report.finish(Verdict.CANNOT_TELL, spending.why)
    if not agree:
        return report.finish(Verdict.DIFFER, _values_apart(asked.values, odd), odd)
    return _conclude(report)


def _hints(engines: Sequence[Engine], failed: Sequence[str], point: Point) -> Iterator[str]:
    natives = [engine for engine in engines if engine.layout is not None]
    return hints(natives, failed, point) if natives else iter(())


def _values_apart(values: Mapping[str, float], odd: Sequence[str]) -> str:
    numbers = list(values.values())
    if all(map(math.isfinite, numbers)):
        apart = (max(numbers) - min(numbers)) / max(map(abs, numbers))
        far = f"by {apart:.1g} (relative)"
    else:
        far = f"and not all are finite ({', '.join(f'{n} {v:g}' for n, v in values.items())})"
    reason = f"the values differ {far}, which is no dispute about gradients"
    return f"{reason}; {listed(odd)} against the others" if odd else reason


def _without_casts(engine: Engine, point: Point, value: float) -> float:
    """Return an engine's value, or what it is without the casts of f to a lower precision."""
    if engine.backend.name not in LIFTING or not math.isfinite(value):
        return value
    lifted = lift(engine.value_of, engine.backend.name)
    try:
        params, args = engine.native(point)
        # JAX tells from a trace whether there is any, without running f.
        if engine.backend.name == "jax" and not lifted.lowers(params, *args):
            return value
        shadow = float(np.asarray(private_numpy(lifted.on_native(params, *args))))
    except Exception:  # f cannot be run that way: its own value has to do
        return value
    return shadow if lifted.casts else value


# Asking.


def _shared_checker(
    taking_part: Entrants, point: Point, seed: int, spending: Spending
) -> GradientChecker | None:
    """Return a checker of the one function of all engines, if there is one and it can be called."""
    if any(engine.layout for engine in taking_part.engines):
        return None
    try:
        f = taking_part.engines[0].function
        return GradientChecker(f, point.params, *point.args, seed=seed, spending=spending)
    except GradparityError:
        return None


def _in_its_framework(engine: Engine, shared: GradientChecker | None) -> Engine:
    """Let differences be taken of f where it computes in float64: in its own framework."""
    if shared is None or not engine.differences or shared.function.backend.name == "numerical":
        return engine
    function = shared.function

    def through(params: PyTree, *args: PyTree) -> Any:
        leaves = [np.asarray(leaf, np.float64) for leaf in flatten(params)[0]]
        return np.float64(function.at(dict(enumerate(leaves))))

    backend = engine.backend
    if isinstance(backend, NumericalDifference):
        backend = replace(backend, method="loop")  # there is nothing to record in a black box
    return replace(engine, function=through, backend=backend)


def _ask(engines: Sequence[Engine], point: Point, seed: int) -> Asked:
    answers: dict[str, Answer] = {}
    failures: dict[str, Exception] = {}
    notes: list[str] = []
    for engine in engines:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                answers[engine.label] = answer(engine, point, seed)
            except BudgetSpent as error:  # of an engine that differences f
                failures[engine.label] = error
            except GradparityError:
                raise
            except Exception as error:  # a framework says in its own way that it cannot
                failures[engine.label] = error
        # What a framework warns of once, such as a tensor cut off from its graph, is a clue.
        notes += [
            f"{engine.label} warns: {str(warning.message).partition(chr(10))[0]:.160}"
            for warning in caught
            if not issubclass(warning.category, RuntimeWarning)
        ]
    if not answers:
        raise next(iter(failures.values()))
    for label, given in answers.items():
        if given.entries is not None:
            asked = sum(map(len, given.entries))
            notes.append(
                f"{label} was asked for {asked} of {point.size:,} entries, drawn at random: each "
                "costs it two evaluations of f"
            )
    return Asked(answers, failures, tuple(notes))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


# Judging.


def _checkers(
    engines: Sequence[Engine],
    point: Point,
    seed: int,
    shared: GradientChecker | None,
    spending: Spending,
    report: "_Draft",
) -> dict[str, GradientChecker]:
    """Return who checks each engine: native implementations are judged by their own values."""
    if shared is not None:
        return {engine.label: shared for engine in engines}
    if not any(engine.layout for engine in engines):
        report.notes.append("each engine evaluates f for itself: NumPy cannot")
    return {
        engine.label: GradientChecker(
            engine.value_of,
            point.params,
            *point.args,
            seed=seed,
            backend=engine.in_dtype("float64").backend,
            spending=spending,
        )
        for engine in engines
    }


def _opinions(
    engines: Sequence[Engine],
    asked: Asked,
    checkers: Mapping[str, GradientChecker],
    point: Point,
    seed: int,
) -> dict[str, Opinion]:
    exact = [engine for engine in engines if not engine.differences]
    shadows = {}
    for engine in exact:
        double = engine.backend.dtype == "float64"
        shadows[engine.label] = (
            asked.answers[engine.label]
            if double
            else answer(engine.in_dtype("float64"), point, seed)
        )
    for checker in {id(one): one for one in checkers.values()}.values():
        if checker.function.casts:
            continue  # what engines return went through them: it is no float64 reference
        own = [engine for engine in exact if checkers[engine.label] is checker]
        others = [engine for engine in exact if checkers[engine.label] is not checker]
        _choose_reference(checker, own, others, shadows, point, seed)
    opinions = {}
    for engine in engines:
        checker, given = checkers[engine.label], asked.answers[engine.label]
        if engine.differences:
            opinions[engine.label] = _of_differences(engine, checker, given)
            continue
        shadow = shadows[engine.label]
        check = checker.check(shadow.gradient)
        if shadow is given:
            opinions[engine.label] = Opinion(engine, check)
        else:
            coarse = checker.check(given.gradient)
            opinions[engine.label] = Opinion(engine, coarse, check)
    return opinions


def _choose_reference(
    checker: GradientChecker,
    own: Sequence[Engine],
    others: Sequence[Engine],
    shadows: Mapping[str, Answer],
    point: Point,
    seed: int,
) -> None:
    """Let the checker use the first gradient that is certified in every leaf, or in most.

    To find out where a wrong one is certified takes a search: one that fits goes first, whoever
    gave it, and with it no wrong one is looked at.

    own: engines of the function that the checker is about; others: of implementations that may be
        of the same function
    """
    if checker.function.blocked:
        checker.search_references = False
        return
    offered = list(_references(checker.function, own, shadows, point, seed))
    if len(offered) > 2:
        alike = [sum(_are_alike(one, other) for other in offered) for one in offered]
        offered = [offered[k] for k in sorted(range(len(alike)), key=lambda k: -alike[k])]
    likely, wrong = None, []
    for reference in offered:
        score = checker.score_of(reference)
        if score.fits:
            likely = reference
            break
        wrong += [reference] if score.is_wrong else []
    if likely is None and wrong:
        for reference in (
            *_references(checker.function, others, shadows, point, seed),
            *_asked_besides(checker.function, own),
        ):
            if checker.score_of(reference).fits:
                likely = reference
                break
    if likely is not None:
        offered = [likely, *(one for one in offered if one is not likely and one not in wrong)]
    best = -1
    for reference in offered:
        certified = len(checker.certify(reference).spread)
        if certified > best:
            best, checker.reference = certified, reference
        if certified == sum(1 for leaf in checker.function.leaves if leaf.size):
            return
    checker.search_references = False


def _references(
    function: Function,
    engines: Sequence[Engine],
    shadows: Mapping[str, Answer],
    point: Point,
    seed: int,
) -> Iterator[Reference]:
    """Yield the gradients of engines that have a finite number for every entry."""
    for engine in engines:
        candidate = shadows[engine.label].read(function)
        if not candidate.problems and all(np.isfinite(leaf).all() for leaf in candidate.slopes):
            moved = _moved_by(engine, function, point, seed)
            yield Reference(engine.label, candidate.slopes, moved)


def _asked_besides(function: Function, engines: Sequence[Engine]) -> Iterator[Reference]:
    """Yield the gradient of an engine that nobody has named, if one can differentiate f."""
    if not any(engine.layout for engine in engines):
        reference = reference_of(function, load=True)
        if reference is not None:
            yield replace(reference, engine=f"{reference.engine}, asked besides")


def _are_alike(one: Reference, other: Reference) -> bool:
    """Tell whether two gradients are as near as right ones are, leaf by leaf."""
    return all(
        norm(a - b) <= USUAL_ERROR * max(norm(a), norm(b))
        for a, b in zip(one.slopes, other.slopes, strict=True)
    )


def _moved_by(engine: Engine, function: Function, point: Point, seed: int) -> Any:
    """Return the engine's gradient as a function of how far all inputs are moved."""
    double = engine.in_dtype("float64")

    def moved(rounding: float, draw: int) -> tuple[np.ndarray, ...] | None:
        rng = np.random.default_rng([seed, draw])
        leaves = [leaf * (1 + rounding * rng.uniform(-1, 1, leaf.shape)) for leaf in point.leaves]
        try:
            return answer(double, point.moved(leaves), seed).read(function).slopes
        except Exception:  # the edge of a domain
            return None

    return moved


def _of_differences(engine: Engine, checker: GradientChecker, given: Answer) -> Opinion:
    """Check an engine that differences f: it is granted what "agree" promises, and no more."""
    sizes = [leaf.size for leaf in checker.function.leaves]
    known = [given.known(leaf, size) for leaf, size in enumerate(sizes)]
    for rounding in (USUAL_ERROR, DIGITS):
        check = checker.check(given.gradient, rounding=rounding, only=known)
        if check.verdict is Verdict.AGREE:
            return Opinion(engine, check)
    explained = []
    step = getattr(engine.backend, "step_size", None)
    fixed = float(step) if isinstance(step, float | int) else None
    names = [leaf.name for leaf in checker.function.leaves]
    for suspect in check.suspects[:MOST_QUOTIENTS]:
        leaf = names.index(suspect.leaf)
        shape = checker.function.leaves[leaf].shape
        entry = int(np.ravel_multi_index(suspect.index, shape)) if shape else 0
        got = float(np.real(suspect.got))
        if not is_a_quotient(checker.function, leaf, entry, got, fixed, engine.backend.dtype):
            return Opinion(engine, check)
        explained.append(
            f"{engine.label} differences f across a kink, a jump or noise at leaf "
            f"{place(suspect.leaf, suspect.index)}: {got:.6g}, not {suspect.expected:.6g}"
        )
    return Opinion(engine, check, explained=tuple(explained))


def _second_opinions(
    engines: Sequence[Engine],
    asked: Asked,
    checkers: Mapping[str, GradientChecker],
    point: Point,
    seed: int,
) -> Iterator[tuple[SecondOpinion, tuple[Suspect, ...]]]:
    for engine in engines:
        # Other ways go through the same casts, and nobody has measured their rounding.
        if engine.differences or not engine.has_other_ways or checkers[engine.label].function.casts:
            continue
        shadow = engine.in_dtype("float64")
        given = asked.answers[engine.label] if shadow is engine else answer(shadow, point, seed)
        yield from hear_other_ways(shadow, checkers[engine.label], given, point, seed)


# Concluding.


class _Draft:
    """What a report holds, as far as it is known."""

    def __init__(
        self,
        taking_part: Entrants,
        point: Point,
        dtype: str,
        seed: int,
        engines: Sequence[Engine],
        asked: Asked,
        left_out: tuple[tuple[str, str], ...],
    ) -> None:
        self.taking_part, self.point, self.dtype, self.seed = taking_part, point, dtype, seed
        self.engines, self.asked, self.left_out = engines, asked, left_out
        self.notes = [*asked.notes]
        self.notes += [f"{label} raised {_line(error)}" for label, error in asked.failures.items()]
        self.checkers: Mapping[str, GradientChecker] = {}
        self.opinions: Mapping[str, Opinion] = {}
        self.seconds: tuple[tuple[SecondOpinion, tuple[Suspect, ...]], ...] = ()

    @property
    def wrong(self) -> tuple[str, ...]:
        """The labels of engines that are wrong, in their order."""
        second = {opinion.backend for opinion, _ in self.seconds if opinion.wrong}
        return tuple(
            label for label, opinion in self.opinions.items() if opinion.is_wrong or label in second
        )

    def suspects(self) -> tuple[Suspect, ...]:
        found: dict[tuple[str | None, str, tuple[int, ...]], Suspect] = {}
        for label, opinion in self.opinions.items():
            for suspect in opinion.worst.suspects if opinion.is_wrong else ():
                named = replace(suspect, backend=label)
                found.setdefault((label, suspect.leaf, suspect.index), named)
        for _, suspects in self.seconds:
            for suspect in suspects:
                found.setdefault((suspect.backend, suspect.leaf, suspect.index), suspect)
        return tuple(found.values())

    def finish(self, verdict: VerdictText, reason: str, blamed: Sequence[str] = ()) -> Comparison:
        checks = [opinion.worst for opinion in self.opinions.values()]
        functions = {id(c): c.function for c in self.checkers.values()}.values()
        for opinion in self.opinions.values():
            self.notes += [f"{opinion.engine.label}: {note}" for note in opinion.worst.notes]
            self.notes += [
                f"{opinion.engine.label}: leaf {problem.leaf or 'params'}: {problem.text}"
                for problem in opinion.worst.problems
            ]
            self.notes += opinion.explained[:1]
            if opinion.is_wrong and opinion.shadow and opinion.shadow.verdict is Verdict.AGREE:
                note = "in float64 it is right: only float32 is at fault"
                self.notes.append(f"{opinion.engine.label}: {note}")
        patterns = [_pattern(o.worst) for o in self.opinions.values() if o.is_wrong]
        known = [check.resolution for check in checks if not math.isnan(check.resolution)]
        return Comparison(
            verdict,
            tuple(
                engine.label for engine in self.engines if engine.label in {*blamed, *self.wrong}
            ),
            self.suspects(),
            reason,
            tuple(engine.label for engine in self.engines),
            self.dtype,
            self.seed,
            self.point.size,
            tuple(self.asked.values.items()),
            leaves=_worst_leaves(checks),
            differences=tuple(leaf_differences(self.opinions, self.asked.answers, self.checkers)),
            conventions=tuple(self._conventions()),
            second_opinions=tuple(opinion for opinion, _ in self.seconds),
            notes=tuple(dict.fromkeys(self.notes)),
            pattern="; ".join(dict.fromkeys(filter(None, patterns))),
            evaluations=sum(function.evaluations for function in functions),
            smoothness=max((c.smoothness for c in checks), key=KINDS.index, default="smooth"),
            resolution=max(known, default=math.nan),
            left_out=(*self.taking_part.left_out, *self.left_out),
            aliases=tuple(
                (engine.label, tuple(zip(self.point.names, engine.layout.names, strict=True)))
                for engine in self.engines
                if engine.layout is not None
            ),
        )

    def _conventions(self) -> Iterator[Convention]:
        kinks: dict[tuple[str, tuple[int, ...]], tuple[float, float]] = {}
        for opinion in self.opinions.values():
            for kink in opinion.worst.kinks:
                kinks.setdefault((kink.leaf, kink.index), kink.interval)
        for (leaf, index), interval in list(kinks.items())[:MOST_CONVENTIONS]:
            values = []
            for label, given in self.asked.answers.items():
                function = self.checkers[label].function
                position = [one.name for one in function.leaves].index(leaf)
                shape = function.leaves[position].shape
                entry = int(np.ravel_multi_index(index, shape)) if shape else 0
                values.append((label, float(given.read(function).slopes[position][entry])))
            yield Convention(leaf, index, interval, tuple(values))


def _pattern(check: GradientCheck) -> str:
    """Return the check's guess; entries that are zero where f has a slope were cut off."""
    cut_off = bool(check.suspects) and all(suspect.got == 0 for suspect in check.suspects)
    if cut_off and "detached" not in check.pattern:
        return f"detached (zero): {check.pattern}"
    return check.pattern


def _worst_leaves(checks: Sequence[GradientCheck]) -> tuple[LeafCheck, ...]:
    order = (Verdict.AGREE, Verdict.CANNOT_TELL, Verdict.DIFFER)

    def badness(leaf: LeafCheck) -> tuple[int, float]:
        return order.index(leaf.verdict), leaf.resolution if leaf.resolution >= 0 else -1.0

    return tuple(
        max(versions, key=badness) for versions in zip(*(c.leaves for c in checks), strict=True)
    )


def _conclude(report: _Draft) -> Comparison:
    """Return the verdict of a comparison whose values agree."""
    if report.wrong:
        return report.finish(Verdict.DIFFER, _who_is_wrong(report))
    agree = [label for label, o in report.opinions.items() if o.worst.verdict is Verdict.AGREE]
    if _functions_differ(report):
        reason = "each gradient is right for its own implementation: they are not one function"
        return report.finish(Verdict.DIFFER, reason)
    for opinion in report.opinions.values():
        if opinion.explained:
            return report.finish(Verdict.CANNOT_TELL, opinion.explained[0])
    if report.asked.failures and not report.left_out:
        label, error = next(iter(report.asked.failures.items()))
        return report.finish(Verdict.CANNOT_TELL, f"{label} raised {_line(error)}")
    for label, opinion in report.opinions.items():
        if label not in agree:
            return report.finish(Verdict.CANNOT_TELL, f"{label}: {opinion.worst.reason}")
    reason = f"{listed(agree)} {'give' if len(agree) > 1 else 'gives'} the derivative of f"
    if all(o.worst.resolution == 0 for o in report.opinions.values()):
        reason += ", which does not depend on params here: this proves nothing"
    if any(opinion.worst.kinks for opinion in report.opinions.values()):
        reason += ", each by its convention at kinks"
    return report.finish(Verdict.AGREE, reason)


def _who_is_wrong(report: _Draft) -> str:
    wrong = report.wrong
    suspects = report.suspects()
    leaves = dict.fromkeys(suspect.leaf for suspect in suspects)
    for label in wrong:
        checks = report.opinions[label].worst.leaves
        leaves |= dict.fromkeys(leaf.leaf for leaf in checks if leaf.verdict is Verdict.DIFFER)
    where = f" in {listed([leaf or 'params' for leaf in leaves])}" if leaves else ""
    text = f"{listed(wrong)} {'is' if len(wrong) == 1 else 'are'} wrong{where}"
    off = [
        leaf
        for label in wrong
        for leaf in report.opinions[label].worst.leaves
        if leaf.verdict is Verdict.DIFFER and not math.isnan(leaf.error)
    ]
    if off:
        worst = max(off, key=lambda leaf: leaf.error)
        text += f": {worst.leaf or 'params'} is {how_far_off(worst)}"
    return text


def _functions_differ(report: _Draft) -> bool:
    """Tell whether native implementations each have the gradient of another function."""
    if len({id(checker) for checker in report.checkers.values()}) < 2:
        return False
    known = []
    for label, opinion in report.opinions.items():
        if opinion.worst.verdict is Verdict.AGREE and not opinion.worst.kinks:
            if not opinion.engine.differences:
                known.append((label, opinion))
    for first, second in itertools.pairwise(known):
        one, other = (
            report.asked.answers[label].read(report.checkers[label].function).slopes
            for label, _ in (first, second)
        )
        resolution = max(DIGITS, first[1].worst.resolution, second[1].worst.resolution)
        for a, b, leaf_a in zip(one, other, first[1].worst.leaves, strict=True):
            limit = max(resolution * max(norm(a), norm(b)), 0.0)
            total = max(norm(np.concatenate(one)), norm(np.concatenate(other)))
            if (
                norm(a - b) > limit
                and norm(a - b) > resolution * 1e-3 * total
                and leaf_a.shape != (0,)
            ):
                return True
    return False


def listed(names: Sequence[str]) -> str:
    few = [*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]
    return few[0] if len(few) == 1 else f"{', '.join(few[:-1])} and {few[-1]}"
