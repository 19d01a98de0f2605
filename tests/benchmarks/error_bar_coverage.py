"""How often the error bars of derivative_along hold, on both sets of cases.

Run alone, it also names the cases: python tests/benchmarks/error_bar_coverage.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import derivative_cases
import heldout_derivative_cases
import numpy as np
from error_bar_figures import figures, measure
from rows import Row

SETS = {"developed on": derivative_cases, "held out": heldout_derivative_cases}


def rows() -> Iterator[Row]:
    for name, module in SETS.items():
        found = figures(measure(module.CASES))
        calls = f"{found.cases} cases, {np.median(found.evaluations):.0f} calls of f each"
        for what, figure, target, reached in (
            ("error bar covers the truth", found.coverage, "≥ 0.99", found.coverage >= 0.99),
            ("error bar is useful", found.usefulness, "≥ 0.9", found.usefulness >= 0.9),
            ("silently wrong", len(found.silent), "0", not found.silent),
        ):
            yield Row(f"{what}: {name}", figure, figure, figure, target, reached, calls)


def main() -> None:
    for name, module in SETS.items():
        print(name)
        for family in module.FAMILIES:
            found = figures(measure(family()))
            useful = f"{found.usefulness:7.1%} of {found.precise:3}" if found.precise else " " * 15
            median, most = np.median(found.evaluations), max(found.evaluations)
            print(
                f"  {family.__name__:14} {found.cases:4} cases, covered {found.coverage:7.2%}, "
                f"useful {useful}, silent {len(found.silent)}, calls {median:3.0f} to {most}"
            )
        found = figures(measure(module.CASES))
        for respect in ("missed", "long", "silent"):
            for case in getattr(found, respect):
                print(f"    {respect}: {case}")


if __name__ == "__main__":
    main()
