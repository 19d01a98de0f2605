"""One comparison, step by step: ask, compare the values, judge, settle disputes, conclude."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradparity.backends import GradparityError

from ..checking.check import Arbiter
from ..ports.entrants import Entrants
from ..ports.port_hints import different_parameters, hints
from ..verdicts import Suspect, Verdict
from .arbitration import (
    Judgement,
    arbiters,
    disputed_entries,
    judge,
    judge_quotients,
    position_of,
)
from .comparison import Comparison, SecondOpinion
from .conclusion import conclude, listed, verdict_on
from .engines import Answer, Engine, Point, answer
from .round_off import odd_ones_out
from .rulings import Ruling, Rulings
from .second_opinions import FORWARD_MODE, Entry, OtherWay, other_ways


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
        self.rulings: dict[str, Rulings] = {}
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
            return conclude(self, Verdict.CANNOT_TELL, "f is not finite here, in every backend")
        self.arbiters, notes = arbiters(answered, values, self.point, self.seed)
        self.notes += notes
        books = {id(arbiter): Rulings(arbiter.meter) for arbiter in self.arbiters.values()}
        self.rulings = {label: books[id(one)] for label, one in self.arbiters.items()}
        self._judge(answered)
        functions_differ = self._settle_disputes()
        self._hear_second_opinions()
        return verdict_on(self, functions_differ)

    def _ask(self) -> None:
        for engine in self.engines:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    self.answers[engine.label] = answer(engine, self.point, self.seed)
                except GradparityError:
                    raise
                except Exception as error:  # a framework says in its own way that it cannot
                    self.failures[engine.label] = error
            # What a framework warns of once, such as a tensor cut off from its graph, is a clue.
            self.notes += [
                f"{engine.label} warns: {str(warning.message).partition(chr(10))[0]:.160}"
                for warning in caught
                if not issubclass(warning.category, RuntimeWarning)
            ]
        if not self.answers:
            raise next(iter(self.failures.values()))
        for label, failure in self.failures.items():
            text = str(failure).strip().partition("\n")[0]
            self.doubts.append(f"{label} raised {type(failure).__name__}: {text:.200}")
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
            return conclude(self, Verdict.DIFFER, "the parameters are not the same numbers")
        values = [given.value for given in self.answers.values()]
        apart = (max(values) - min(values)) / max(map(abs, values)) if any(values) else 0.0
        far = f"by {apart:.1g} (relative)" if math.isfinite(apart) else "and not all are finite"
        reason = f"the values differ {far}, which is no dispute about gradients"
        if odd:
            reason += f"; {listed(odd)} against the others"
        return conclude(self, Verdict.DIFFER, reason)

    def _hints(self) -> Iterator[str]:
        natives = [engine for engine in self.engines if engine.layout is not None]
        return hints(natives, self.failures, self.point) if natives else iter(())

    def _judge(self, answered: Sequence[Engine]) -> None:
        exact = [engine for engine in answered if not engine.pays_for_each_entry]
        for engine in exact:
            label = engine.label
            given, arbiter, rulings = self.answers[label], self.arbiters[label], self.rulings[label]
            self._note(judge(engine, given, arbiter, rulings, self.point, self.seed))
        trusted = [engine for engine in exact if not self.judgements[engine.label].is_wrong]
        references = [self.judgements[engine.label].leaves for engine in trusted or exact]
        reference = references[0] if references else None
        for engine in answered:
            if engine.pays_for_each_entry:
                label = engine.label
                self._note(
                    judge_quotients(
                        engine,
                        self.answers[label],
                        reference,
                        self.arbiters[label],
                        self.rulings[label],
                        self.point,
                        self.seed,
                    )
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
        ruling = self.rulings[label].rule(judged.leaves, *entry, got)
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
        finite = all(np.isfinite(leaf).all() for leaf in judged.leaves)
        regular = finite and judged.check.smoothness == "smooth"
        pollutes = way.name == FORWARD_MODE and not regular
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
