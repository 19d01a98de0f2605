"""Structured differences of random programs against the plain loop, drawn anew in each run.

Run alone, it names the programs: python tests/benchmarks/structured_programs.py [COUNT [SEED]]
"""

import secrets
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from rows import Row, at_most

from gradparity.backends import get_backend
from gradparity.backends.errors import StructureInDoubt
from gradparity.backends.precision import EPSILON
from gradparity.backends.step_size import RELATIVE_STEP
from gradparity.compare.scenarios.random_programs import Program, random_program

PROGRAMS = 1000
LEAST_LEAF = 9
METHODS = ("structured", "loop")
SLOWER = 1.3
# One run of some milliseconds says little: what seems slow is timed again, the two in turn.
AGAIN = 5
# How many roundings of f may lie between two ways to add up the same terms.
ROUNDINGS = 1000


@dataclass
class Tally:
    seed: int
    ratios: dict[str, float] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    apart: dict[str, float] = field(default_factory=dict)

    def add(self, number: int) -> None:
        program = random_program(number)
        if max(leaf.size for leaf in program.leaves(program.params)) < LEAST_LEAF:
            return
        name = f"program {number}"
        expected, looped = measured(program, "loop")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", StructureInDoubt)
                found, structured = measured(program, "structured")
        except Exception as error:  # whatever it is: the loop has had none
            self.doubts[name] = f"{type(error).__name__}: {error}"[:200]
            return
        ratio = structured / looped
        if ratio > SLOWER:
            both = [[measured(program, way)[1] for way in METHODS] for _ in range(AGAIN)]
            ratio = float(np.median([one / other for one, other in both]))
        self.ratios[name] = ratio
        least = ROUNDINGS * EPSILON * abs(float(program.f(program.params))) / RELATIVE_STEP
        for one, other in zip(program.leaves(found), program.leaves(expected), strict=True):
            both = np.isnan(one) & np.isnan(other)
            gap = np.where(both | (one == other), 0.0, np.abs(one - other) - 1e-6 * np.abs(other))
            if not (gap <= least).all():
                self.apart[name] = float(np.max(gap))


def measured(program: Program, method: Any) -> tuple[Any, float]:
    """Return the gradient, and the CPU seconds that it takes."""
    differentiate = get_backend("numerical", method=method, jobs=1).value_and_gradient(program.f)
    started = time.process_time()
    _, gradient = differentiate(program.params)
    return gradient, time.process_time() - started


def tallied(count: int, seed: int) -> Tally:
    tally = Tally(seed)
    for number in range(seed, seed + count):
        tally.add(number)
    return tally


def rows() -> Iterator[Row]:
    tally = tallied(PROGRAMS, secrets.randbelow(2**32))
    ratios = sorted(tally.ratios.values())
    note = f"{len(ratios)} programs from seed {tally.seed}; the slowest {ratios[-1]:.2f}"
    yield at_most("structured over loop, random programs", ratios, 1.0, note)
    slow = sum(ratio > SLOWER for ratio in ratios)
    yield Row(f"of these above {SLOWER}", slow, slow, slow, "0", not slow)
    for what, names in (("in doubt", tally.doubts), ("apart", tally.apart)):
        yield Row(f"of these {what}", len(names), len(names), len(names), "0", not names)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PROGRAMS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(2**32)
    tally = tallied(count, seed)
    quartiles = np.quantile(list(tally.ratios.values()), [0.0, 0.25, 0.5, 0.75, 0.99, 1.0])
    print(f"seed {seed}, {len(tally.ratios)} programs, over the loop: {quartiles.round(2)}")
    slow = {name: ratio for name, ratio in tally.ratios.items() if ratio > SLOWER}
    for what, names in (("slow", slow), ("in doubt", tally.doubts), ("apart", tally.apart)):
        for name, why in names.items():
            print(f"  {what}: {name}: {why}")


if __name__ == "__main__":
    main()
