"""Every kind of derivative before the judge: right ones accepted, faults found and entries named.

Functions and faults are drawn anew in each run. Run alone, it says what went otherwise:
python tests/benchmarks/kinds.py [COUNT [SEED [KIND ...]]]
"""

import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from judged_kinds import KINDS, judged
from rows import Row

EACH = 300
NAMED = 0.98


def rows() -> Iterator[Row]:
    seed = secrets.randbelow(2**32)
    for kind in KINDS:
        started, tally = time.process_time(), judged(kind, range(seed, seed + EACH))
        note = f"{EACH} functions from seed {seed}, {time.process_time() - started:.0f} s of CPU"
        for what, count, of, least in (
            ("right accepted", tally.accepted, tally.right, 1.0),
            ("planted faults found", tally.found, tally.planted, 1.0),
            ("right entries named", tally.named, tally.planted, NAMED),
        ):
            share = count / of
            target = f"≥ {least:g}"
            yield Row(f"{kind}: {what}", share, share, share, target, share >= least, note)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EACH
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(2**32)
    for kind in sys.argv[3:] or KINDS:
        started, tally = time.process_time(), judged(kind, range(seed, seed + count))
        print(
            f"{kind}, seed {seed}: {tally.accepted} of {tally.right} right accepted, {tally.found} "
            f"of {tally.planted} faults found, {tally.named} named, "
            f"{time.process_time() - started:.0f} s of CPU",
            flush=True,
        )
        for surprise in tally.surprises:
            print(f"  {surprise}")


if __name__ == "__main__":
    main()
