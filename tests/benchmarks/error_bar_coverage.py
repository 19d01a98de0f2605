"""How often the error bars of derivative_along hold, on both sets of cases.

Run alone, it also names the cases: python tests/benchmarks/error_bar_coverage.py
"""

import itertools
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from error_bar_figures import figures, measure
from rows import Row

from gradparity.compare.scenarios import held_out_slopes, slopes
from gradparity.compare.scenarios.slopes import KnownSlope

Families = dict[str, tuple[KnownSlope, ...]]


def sets() -> dict[str, Families]:
    """Return the slopes by family; what is held out is drawn anew, its seed printed."""
    seed = secrets.randbelow(2**32)
    print(f"held out: seed {seed}", file=sys.stderr)
    return {
        "developed on": {family.__name__: tuple(family()) for family in slopes.FAMILIES},
        "held out": {
            family.__name__: tuple(family(np.random.default_rng([seed, position])))
            for position, family in enumerate(held_out_slopes.FAMILIES)
        },
    }


def rows() -> Iterator[Row]:
    for name, families in sets().items():
        found = figures(measure(itertools.chain(*families.values())))
        calls = f"{found.cases} cases, {np.median(found.evaluations):.0f} calls of f each"
        for what, figure, target, reached in (
            ("error bar covers the truth", found.coverage, "≥ 0.99", found.coverage >= 0.99),
            ("error bar is useful", found.usefulness, "≥ 0.9", found.usefulness >= 0.9),
            ("silently wrong", len(found.silent), "0", not found.silent),
        ):
            yield Row(f"{what}: {name}", figure, figure, figure, target, reached, calls)


def main() -> None:
    for name, families in sets().items():
        print(name)
        for family, chosen in families.items():
            found = figures(measure(chosen))
            useful = f"{found.usefulness:7.1%} of {found.precise:3}" if found.precise else " " * 15
            median, most = np.median(found.evaluations), max(found.evaluations)
            print(
                f"  {family:14} {found.cases:4} cases, covered {found.coverage:7.2%}, "
                f"useful {useful}, silent {len(found.silent)}, calls {median:3.0f} to {most}"
            )
        found = figures(measure(itertools.chain(*families.values())))
        for respect in ("missed", "long", "silent"):
            for case in getattr(found, respect):
                print(f"    {respect}: {case}")


if __name__ == "__main__":
    main()
