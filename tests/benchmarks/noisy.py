"""Wrong gradients of functions that nobody can differentiate: none may be called right.

Random, chaotic, hash-noisy, Monte Carlo and dropout functions, drawn anew in each run.
"""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from noisy_functions import FACTORS, judged
from rows import Row

FUNCTIONS = 48


def rows() -> Iterator[Row]:
    seed = secrets.randbelow(2**32)
    wrong = judged(FUNCTIONS, seed)
    note = f"{FUNCTIONS} functions from seed {seed} × {', '.join(FACTORS)}"
    yield Row(
        "wrong gradients of noisy functions that agree",
        len(wrong),
        len(wrong),
        len(wrong),
        "0",
        not wrong,
        "; ".join([note, *wrong[:4]]),
    )
