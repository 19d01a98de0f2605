"""One comparison, step by step: ask, compare the values, judge, settle disputes, conclude."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gradparity.backends import GradparityError

from .arbitration import (
    QUOTIENT_ERROR,
    ROUND_OFF,
    Judgement,
    Ruling,
    arbiters,
    disputed_entries,
    index_of,
    judge,
    judge_quotients,
    position_of,
    rule,
)
from .candidate import EPSILONS
from .check import Arbiter
from .comparison import Comparison, Convention, SecondOpinion
from .differences import leaf_differences
from .engines import Answer, Engine, Point, answer
from .entrants import Entrants
from .port_hints import different_parameters, hints
from .round_off import odd_ones_out
from .second_opinions import FORWARD_MODE, Entry, OtherWay, other_ways
from .verdicts import Suspect, Verdict

MOST_CONVENTIONS = 100


class Case:
    """What the engines answer, and what the arbiter says of it.

    answers: by label, of the engines that gave one; failures: what the others raised
    """

    def __init__(self, taking_part: Entrants, point: Point, dtype: str, seed: int) -> None:
        self.taking_part = taking_part
        self.engines = taking_part.engines
        self.point = point
        self.dtype = dtype
        self.seed = seed
        self.answers: dict[str, Answer] = {}
        self.failures: dict[str, Exception] = {}
        self.arbiters: dict[str, Arbiter] = {}
        self.judgements: dict[str, Judgement] = {}
        self.suspects: dict[tuple[str, str, tuple[int, ...]], Suspect] = {}
        self.kinks: dict[Entry, tuple[float, float]] = {}
        self.opinions: list[SecondOpinion] = []
        self.notes: list[str] = []
        self.blamed: set[str] = set()
        self.doubts: list[str] = []

    def settle(self) -> Comparison:
        self._ask()
        values = {label: given.value for label, given in self.answers.items()}
        answered = [engine for engine in self.engines if engine.label in self.answers]
        agree, odd = odd_ones_out(answered, list(values.values()), self.point, self.seed)
        different = list(different_parameters(self.engines, self.taking_part.own, self.point))
        if different or self.failures or not agree:
            self.notes += [*different, *self._hints()]
        if different or not agree:
            return self._values_differ(odd, bool(different))
        if not all(map(math.isfinite, values.values())):
            return self._conclude(Verdict.CANNOT_TELL, "f is not finite here, in every backend")
        self.arbiters, notes = arbiters(answered, values, self.point, self.seed)
        self.notes += notes
        self._judge(answered)
        functions_differ = self._settle_disputes()
        self._hear_second_opinions()
        return self._verdict(functions_differ)

    def _ask(self) -> None:
        for engine in self.engines:
            try:
                self.answers[engine.label] = answer(engine, self.point, self.seed)
            except GradparityError:
                raise
            except Exception as error:  # a framework says in its own way that it cannot
                self.failures[engine.label] = error
        if not self.answers:
            raise next(iter(self.failures.values()))
        for label, error in self.failures.items():
            text = str(error).strip().partition("\n")[0]
            self.doubts.append(f"{label} raised {type(error).__name__}: {text:.200}")
            self.notes += [self.doubts[-1]]
        for label, given in self.answers.items():
            if given.entries is not None:
                asked = sum(map(len, given.entries))
                self.notes.append(
                    f"{label} was asked for {asked} of {self.point.size:,} entries, drawn at "
                    f"random: each costs it two evaluations of f"
                )

    def _values_differ(self, odd: Sequence[str], different_parameters: bool) -> Comparison:
        self.blamed |= set(odd)
        if different_parameters:
            return self._conclude(Verdict.DIFFER, "the parameters are not the same numbers")
        values = [given.value for given in self.answers.values()]
        apart = (max(values) - min(values)) / max(map(abs, values)) if any(values) else 0.0
        far = f"by {apart:.1g} (relative)" if math.isfinite(apart) else "and not all are finite"
        reason = f"the values differ {far}, which is no dispute about gradients"
        if odd:
            reason += f"; {_listed(odd)} against the others"
        return self._conclude(Verdict.DIFFER, reason)

    def _hints(self) -> Iterator[str]:
        natives = [engine for engine in self.engines if engine.layout is not None]
        return hints(natives, self.failures, self.point) if natives else iter(())

    def _judge(self, answered: Sequence[Engine]) -> None:
        exact = [engine for engine in answered if not engine.pays_for_each_entry]
        for engine in exact:
            given, arbiter = self.answers[engine.label], self.arbiters[engine.label]
            self._note(judge(engine, given, arbiter, self.point, self.seed))
        trusted = [engine for engine in exact if not self.judgements[engine.label].is_wrong]
        references = [self.judgements[engine.label].leaves for engine in trusted or exact]
        for engine in answered:
            if engine.pays_for_each_entry:
                given, arbiter = self.answers[engine.label], self.arbiters[engine.label]
                reference = references[0] if references else None
                self._note(
                    judge_quotients(engine, given, reference, arbiter, self.point, self.seed)
                )

    def _note(self, judgement: Judgement) -> None:
        label = judgement.engine.label
        self.judgements[label] = judgement
        for suspect in judgement.suspects:
            self._suspect(suspect)
        if judgement.is_wrong:
            self.blamed.add(label)
        for kink in judgement.kinks:
            self.kinks[position_of(self.point, kink)] = kink.interval
            if not math.isfinite(kink.got):
                self._doubt(f"{label} is {kink.got} at a kink")
        for reason in judgement.unknown:
            self._doubt(reason)
        self.notes += [f"{label}: {note}" for note in judgement.notes]

    def _suspect(self, suspect: Suspect) -> None:
        self.suspects.setdefault((suspect.backend or "", suspect.leaf, suspect.index), suspect)
        self.blamed.add(suspect.backend or "")

    def _doubt(self, reason: str) -> None:
        if reason not in self.doubts:
            self.doubts.append(reason)

    def _settle_disputes(self) -> bool:
        """Rule on entries where gradients differ; return whether the functions themselves do."""
        exact = [judged for judged in self.judgements.values() if judged.check is not None]
        functions_differ = False
        for entry in disputed_entries([judged.leaves for judged in exact]):
            rulings = []
            for judged in exact:
                got = float(judged.leaves[entry[0]].reshape(-1)[entry[1]])
                rulings.append(self._rule(judged, entry, got))
            lowest = min(ruling.interval[1] + ruling.bar for ruling in rulings)
            functions_differ |= max(ruling.interval[0] - ruling.bar for ruling in rulings) > lowest
        return functions_differ

    def _rule(self, judged: Judgement, entry: Entry, got: float) -> Ruling:
        """Note and return what the arbiter rules on one number."""
        label = judged.engine.label
        ruling = rule(self.arbiters[label].meter, judged.leaves, *entry, got)
        if ruling.suspect is not None:
            self._suspect(replace(ruling.suspect, backend=label))
        if ruling.kind in ("legal", "not a number"):
            self.kinks[entry] = ruling.interval
        if ruling.kind == "not a number":
            self._doubt(f"{label} is {got} at a kink")
        return ruling

    def _hear_second_opinions(self) -> None:
        for label, judgement in self.judgements.items():
            if judgement.check is None or not judgement.engine.has_other_ways:
                continue
            shadow = judgement.engine.in_dtype("float64")
            for way in other_ways(shadow, self.point, judgement.leaves, self.seed):
                self._hear(label, judgement, way)

    def _hear(self, label: str, judged: Judgement, way: OtherWay) -> None:
        wrong: dict[str, None] = {}
        assert judged.check is not None
        # Forward mode adds up 0 * inf from an infinite slope at any other entry.
        pollutes = way.name == FORWARD_MODE and judged.check.smoothness != "smooth"
        for (leaf, entry), theirs in way.found:
            if pollutes and math.isnan(theirs):
                continue
            mine = float(judged.leaves[leaf].reshape(-1)[entry])
            for name, got in (("its gradient", mine), (way.name, theirs)):
                if self._rule(judged, (leaf, entry), got).kind == "wrong":
                    wrong[name] = None
        self.opinions.append(
            SecondOpinion(label, way.name, not way.found, " and ".join(wrong) or None)
        )

    def _verdict(self, functions_differ: bool) -> Comparison:
        if self.blamed:
            leaves = dict.fromkeys(suspect.leaf for suspect in self.suspects.values())
            verb = "is" if len(self.blamed) == 1 else "are"
            where = f" in {_listed([leaf or 'params' for leaf in leaves])}" if leaves else ""
            return self._conclude(
                Verdict.DIFFER, f"{_listed(self._in_order())} {verb} wrong{where}"
            )
        if functions_differ:
            return self._conclude(
                Verdict.DIFFER,
                "each gradient is right for its own implementation: they are not one function",
            )
        checks = [j.check for j in self.judgements.values() if j.check is not None]
        if self.doubts:
            return self._conclude(Verdict.CANNOT_TELL, self.doubts[0])
        for label, judgement in self.judgements.items():
            if judgement.check is not None and judgement.check.verdict is not Verdict.AGREE:
                reason = f"{label} was resolved to {judgement.check.resolution:.1g} only"
                return self._conclude(Verdict.CANNOT_TELL, reason)
        reason = f"{_listed([*self.judgements])} give the derivative of f"
        if checks and self.kinks:
            reason += ", each by its convention at kinks"
        return self._conclude(Verdict.AGREE, reason)

    def _in_order(self) -> tuple[str, ...]:
        return tuple(engine.label for engine in self.engines if engine.label in self.blamed)

    def _conclude(self, verdict: Verdict, reason: str) -> Comparison:
        checks = [j.check for j in self.judgements.values() if j.check is not None]
        distinct = {id(arbiter): arbiter for arbiter in self.arbiters.values()}.values()
        order = ("smooth", "kink", "jump", "not finite")
        patterns = dict.fromkeys(
            judgement.check.pattern
            for judgement in self.judgements.values()
            if judgement.check is not None and judgement.check.pattern
        )
        return Comparison(
            verdict,
            self._in_order(),
            tuple(self.suspects.values()),
            reason,
            tuple(engine.label for engine in self.engines),
            self.dtype,
            self.seed,
            self.point.size,
            tuple((label, given.value) for label, given in self.answers.items()),
            differences=tuple(leaf_differences(self.answers, self.point, self._round_off)),
            conventions=tuple(self._conventions()),
            second_opinions=tuple(self.opinions),
            notes=tuple(dict.fromkeys(self.notes)),
            pattern="; ".join(patterns),
            evaluations=sum(arbiter.black_box.evaluations for arbiter in distinct),
            smoothness=max((c.smoothness for c in checks), key=order.index, default="smooth"),
            resolution=max((check.resolution for check in checks), default=math.nan),
            left_out=self.taking_part.left_out,
            aliases=tuple(
                (engine.label, tuple(zip(self.point.names, engine.layout.names, strict=True)))
                for engine in self.engines
                if engine.layout is not None
            ),
        )

    def _round_off(self, *labels: str) -> float:
        pair = [engine for engine in self.engines if engine.label in labels]
        epsilon = max(EPSILONS[engine.backend.dtype] for engine in pair)
        round_off = ROUND_OFF * epsilon / EPSILONS["float64"]
        differenced = any(engine.pays_for_each_entry for engine in pair)
        return max(round_off, QUOTIENT_ERROR) if differenced else round_off

    def _conventions(self) -> Iterator[Convention]:
        for (leaf, entry), legal in list(self.kinks.items())[:MOST_CONVENTIONS]:
            yield Convention(
                self.point.names[leaf],
                index_of(self.point, leaf, entry),
                legal,
                tuple(
                    (label, float(given.leaves[leaf].reshape(-1)[entry]))
                    for label, given in self.answers.items()
                ),
            )


def _listed(names: Sequence[str]) -> str:
    few = [*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]
    return few[0] if len(few) == 1 else f"{', '.join(few[:-1])} and {few[-1]}"
