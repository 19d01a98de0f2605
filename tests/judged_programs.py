"""Random programs before the judge, for the tests and a benchmark: what it accepts and finds."""

from dataclasses import dataclass, field

from gradparity.compare import Verdict, check_gradient
from gradparity.compare.scenarios.random_programs import planted_faults, random_program


@dataclass
class Tally:
    """Counts, and the programs and faults where something else was to be expected."""

    seed: int
    right: int = 0
    accepted: int = 0
    planted: int = 0
    found: int = 0
    evaluations: list[int] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


def judged(count: int, seed: int) -> Tally:
    """Put the right gradient of each program, and one planted fault, before the judge."""
    tally = Tally(seed)
    for number in range(seed, seed + count):
        program = random_program(number)
        gradient = program.gradient()
        faults = planted_faults(gradient, number)
        name, wrong = faults[number % len(faults)]
        try:
            check = check_gradient(program.f, program.params, gradient=gradient)
            fault = check_gradient(program.f, program.params, gradient=wrong)
        except Exception as error:
            tally.raised.append(f"{program}: {type(error).__name__}: {error}")
            continue
        tally.right += 1
        tally.evaluations.append(check.evaluations)
        # At a kink the gradient of one piece may be one that no slope along a direction shows.
        at_kinks = bool(program.kinks) and check.verdict is Verdict.CANNOT_TELL
        if check.verdict is Verdict.AGREE or at_kinks:
            tally.accepted += 1
        elif check.verdict is Verdict.DIFFER:
            tally.alarms.append(f"{program}: {check.reason}")
        else:
            tally.unsure.append(f"{program}: {check.reason}")
        if not program.kinks:
            tally.planted += 1
            tally.found += fault.verdict is Verdict.DIFFER
            if fault.verdict is not Verdict.DIFFER:
                tally.missed.append(f"{program}, {name}: {fault.reason}")
    return tally
