"""Run the benchmarks and print one table of figures, targets and verdicts.

python tests/benchmarks/run.py [--json FILE] [overhead training speed_stability:float32 ...]

None takes more than some minutes on two cores: what would is cut into parts, named after a colon.
"""

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gradparity.compare.environment import describe_environment

BENCHMARKS = (
    "overhead",
    "startup",
    "training:jax",
    "training:torch",
    "structured_differences",
    "structured_programs",
    "cores",
    "comparison",
    "error_bar_coverage",
    "speed_stability:float32",
    "speed_stability:float64",
    "checker",
    "large",
    "programs",
    "noisy",
    "blame",
    "kinds",
    "ablation",
    "low_precision",
    "proof",
    "exercises",
    "lesson_bill",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"which of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="result file")
    options = parser.parse_args()
    asked = options.names or BENCHMARKS
    chosen = [one for one in BENCHMARKS if {one, one.partition(":")[0]} & set(asked)]
    unknown = set(asked) - set(chosen) - {one.partition(":")[0] for one in chosen}
    if unknown:
        parser.error(f"got {', '.join(unknown)}, expected some of {', '.join(BENCHMARKS)}")
    console = Console(width=130)
    rows = []
    for name in chosen:
        module, _, part = name.partition(":")
        for row in importlib.import_module(module).rows(*[part] * bool(part)):
            rows.append(row)
            console.print(f"{row.what}: {row.figure:.4g}  [{row.low:.4g}, {row.high:.4g}]")
    table = Table("what", "figure", "quartiles", "target", "reached", "note")
    for row in rows:
        table.add_row(
            row.what,
            f"{row.figure:.4g}",
            f"{row.low:.4g} – {row.high:.4g}",
            row.target,
            "yes" if row.reached else "NO",
            row.note,
        )
    console.print(table)
    result = {"rows": [asdict(row) for row in rows], "environment": describe_environment()}
    # NumPy's numbers and booleans are written as Python's.
    options.json.write_text(json.dumps(result, indent=2, default=lambda one: one.item()))
    missed = [row.what for row in rows if not row.reached]
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
