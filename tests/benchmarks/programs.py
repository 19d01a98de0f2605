"""What the judge makes of random programs that nothing was developed on, drawn anew in each run.

Run alone, it names the programs: python tests/benchmarks/programs.py [COUNT [SEED]]
"""

import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from judged_programs import judged
from rows import Row

PROGRAMS = 2000


def rows() -> Iterator[Row]:
    started, tally = time.perf_counter(), judged(PROGRAMS, secrets.randbelow(2**32))
    seconds = time.perf_counter() - started
    note = f"{PROGRAMS} random programs from seed {tally.seed}, {seconds:.0f} s"
    share, found = tally.accepted / tally.right, tally.found / tally.planted
    yield Row("right gradients accepted", share, share, share, "≥ 0.999", share >= 0.999, note)
    yield Row("planted faults found", found, found, found, "1", found == 1, note)
    for what, names in (("false alarms", tally.alarms), ("exceptions", tally.raised)):
        yield Row(what, len(names), len(names), len(names), "0", not names, note)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PROGRAMS
    tally = judged(count, int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(2**32))
    print(f"seed {tally.seed}: {tally.accepted} of {tally.right} right accepted, ", end="")
    print(f"{tally.found} of {tally.planted} faults found")
    for what in ("raised", "alarms", "unsure", "missed"):
        for name in getattr(tally, what):
            print(f"  {what}: {name}")


if __name__ == "__main__":
    main()
