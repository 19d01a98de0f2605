"""Print how often the error bars of derivative_along hold, on both sets of cases.

Run: python tests/benchmarks/error_bar_coverage.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import derivative_cases
import heldout_derivative_cases
import numpy as np
from error_bar_figures import figures, measure

for name, module in (("developed on", derivative_cases), ("held out", heldout_derivative_cases)):
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
    print(
        f"  {'all':14} {found.cases:4} cases, covered {found.coverage:7.2%}, "
        f"useful {found.usefulness:7.1%} of {found.precise:3}, silent {len(found.silent)}, calls "
        f"{np.median(found.evaluations):3.0f} to {max(found.evaluations)}"
    )
    for respect in ("missed", "long", "silent"):
        for case in getattr(found, respect):
            print(f"    {respect}: {case}")
