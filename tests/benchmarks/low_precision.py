"""What is called wrong in bfloat16, float16 and float32, what is not, and what that costs.

Right gradients are eager's, and those of kernels that are wide inside and round once; each is
judged beside the scatter of eager's own randomly rounded runs. Faults are planted into eager's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rows import Row

from gradparity.backends.rounding import CONFIDENCE, Rounding, Unmeasured, measure_rounding
from gradparity.backends.rounding.instrument import find_instrument
from gradparity.compare import Verdict
from gradparity.compare.low_precision.judging import ALL_RUNS, FIRST_RUNS, judge
from gradparity.compare.low_precision.selftest import fused_gradient
from gradparity.compare.scenarios.layers import LAYERS
from gradparity.compare.scenarios.scenario import Scenario

DTYPES = ("bfloat16", "float16", "float32")
POINTS = ((5, 0), (8, 1), (16, 2), (40, 3))
SMALL_FACTOR = {"bfloat16": 1.03, "float16": 1.005, "float32": 1 + 2e-6}
# Entries of the leaf, and by how much one of typical size is off.
ONE_ENTRY = {"bfloat16": (10_000, 0.3), "float16": (10_000, 0.05), "float32": (58_000, 1e-3)}
ENTRIES_TRIED = 40
Leaves = list[np.ndarray]


@dataclass(frozen=True)
class Measured:
    """A subject at a point in a dtype: its rounding, and two right gradients."""

    subject: Scenario
    rounding: Rounding
    eager: Leaves
    fused: Leaves


def measure(
    subject: Scenario, dtype: str, size: int, seed: int, runs: int = FIRST_RUNS
) -> Measured:
    params, args = subject.draw(np.random.default_rng([seed, size, 99]), size)
    found = measure_rounding(
        subject.f, params, args, dtype, backend_name="torch", runs=runs, seed=seed
    )
    if isinstance(found, Unmeasured):
        raise RuntimeError(f"{subject.name}: {found.reason}")
    instrument = find_instrument("torch")
    if isinstance(instrument, Unmeasured):
        raise RuntimeError(instrument.reason)
    fused = fused_gradient(subject.f, params, args, dtype, instrument)
    return Measured(subject, found, [leaf.truth + leaf.eager for leaf in found.leaves], fused)


def rows() -> Iterator[Row]:
    alarms = agreed = judged = most = 0
    within: list[bool] = []
    found: dict[str, list[bool]] = {dtype: [] for dtype in DTYPES}
    small: dict[str, list[bool]] = {dtype: [] for dtype in DTYPES}
    passed: list[str] = []
    for dtype in DTYPES:
        for subject in LAYERS:
            for size, seed in POINTS:
                measured = measure(subject, dtype, size, seed)
                for right in (measured.eager, measured.fused):
                    verdict = judge(measured.rounding, right)
                    judged += 1
                    alarms += verdict.verdict is Verdict.DIFFER
                    agreed += verdict.verdict is Verdict.AGREE
                    within += [leaf.standing.error <= leaf.resolution for leaf in verdict.leaves]
                    # The float64 gradient and eager's own are two more.
                    most = max(most, verdict.rounding.runs + 2)
                generator = np.random.default_rng([seed, size])
                for wrong in whole_leaf_faults(measured.eager, generator):
                    verdict = judge(measured.rounding, wrong)
                    found[dtype].append(verdict.verdict is Verdict.DIFFER)
                slightly = [leaf * SMALL_FACTOR[dtype] for leaf in measured.eager]
                small[dtype].append(judge(measured.rounding, slightly).verdict is not Verdict.AGREE)
                for name, nonsense in hopeless(measured.eager, generator):
                    if judge(measured.rounding, nonsense).verdict is Verdict.AGREE:
                        passed.append(f"{name} as {subject.name} in {dtype}")
    points = f"{len(LAYERS)} subjects, {len(POINTS)} sizes and seeds, eager and fused"
    yield _count("right gradients called wrong", alarms, f"{judged} gradients: {points}")
    share = agreed / judged
    yield Row("right gradients that agree", share, share, share, "none", True, f"of {judged}")
    share = float(np.mean(within))
    note = f"{len(within)} leaves of right gradients"
    yield _share(f"errors within the bar at {CONFIDENCE:.0%} confidence", share, CONFIDENCE, note)
    for dtype in DTYPES:
        share = float(np.mean(found[dtype]))
        note = f"{len(found[dtype])} in one leaf each"
        yield _share(f"whole-leaf faults in {dtype}: differ", share, 0.99, note)
    for dtype in DTYPES:
        share = float(np.mean(small[dtype]))
        what = f"factor {SMALL_FACTOR[dtype]:.8g} in {dtype}: not agree"
        yield _share(what, share, 0.9, f"{len(small[dtype])} gradients")
    yield from one_entry()
    passed += large_and_small_nonsense()
    note = "; ".join(passed[:3]) or "also with 1 to 100,000 entries in a leaf"
    yield _count("zeros, random numbers, -g, 10g, constants that agree", len(passed), note)
    yield Row("gradients that a verdict costs", most, most, most, "≤ 30", most <= 30, "at most")


def _count(what: str, number: int, note: str) -> Row:
    return Row(what, number, number, number, "0", number == 0, note)


def _share(what: str, share: float, least: float, note: str) -> Row:
    return Row(what, share, share, share, f"≥ {least:g}", share >= least, note)


def whole_leaf_faults(right: Leaves, generator: np.random.Generator) -> Iterator[Leaves]:
    """Yield the gradient with one leaf wrong as a whole, in each way that fits its shape."""
    position = int(generator.integers(len(right)))
    leaf = right[position]

    def with_leaf(wrong: np.ndarray) -> Leaves:
        return [*right[:position], wrong, *right[position + 1 :]]

    yield with_leaf(leaf * 1.1)
    yield with_leaf(leaf * 0.5)  # a wrong scale
    yield with_leaf(leaf - np.sqrt(np.mean(leaf**2)) / 2)  # a missing term
    if leaf.ndim == 2 and min(leaf.shape) > 1:
        for part, factor in (
            (np.s_[-1], 0.0),  # dropped last row
            (np.s_[:, -1], 0.0),  # dropped last column
            (np.s_[-max(1, len(leaf) // 4) :], 0.0),  # truncated tail block
            (np.s_[len(leaf) // 2 :], np.exp(0.5)),  # a stale maximum in one block
        ):
            wrong = leaf.copy()
            wrong[part] *= factor
            yield with_leaf(wrong)
    for other in range(len(right)):
        if other != position and right[other].shape == leaf.shape:
            swapped = list(right)
            swapped[position], swapped[other] = right[other], leaf
            yield swapped
            break


def hopeless(right: Leaves, generator: np.random.Generator) -> Iterator[tuple[str, Leaves]]:
    yield "zeros", [0 * leaf for leaf in right]
    yield "-g", [-leaf for leaf in right]
    yield "10g", [10 * leaf for leaf in right]
    yield "a constant", [np.full_like(leaf, np.mean(np.abs(leaf))) for leaf in right]
    yield (
        "random numbers",
        [np.sqrt(np.mean(leaf**2)) * generator.normal(size=leaf.shape) for leaf in right],
    )


def large_and_small_nonsense() -> Iterator[str]:
    for dtype in DTYPES:
        for entries in (1, 10, 1000, 100_000):
            measured = measure(_leaf_of(entries), dtype, entries, 0)
            generator = np.random.default_rng(entries)
            for name, nonsense in hopeless(measured.eager, generator):
                # A constant is the mean of a single entry's size, and so may be right.
                if name == "a constant" and entries == 1:
                    continue
                if judge(measured.rounding, nonsense).verdict is Verdict.AGREE:
                    yield f"{name} of {entries} entries in {dtype}"


def _leaf_of(entries: int) -> Scenario:
    def f(p: Any, c: Any) -> Any:
        return (c * ((1.3 * p["x"]) ** 2 + p["x"])).sum()

    def draw(generator: np.random.Generator, size: int) -> Any:
        return {"x": generator.normal(size=size)}, (generator.normal(size=size),)

    return Scenario.drawn_first(f"{entries} entries", f, draw)


def one_entry() -> Iterator[Row]:
    """Yield how often one wrong entry of typical size is called wrong, and named."""
    for dtype, (entries, size) in ONE_ENTRY.items():
        side = int(np.sqrt(entries))
        named = 0
        subject = _product(side, entries // side)
        measured = measure(subject, dtype, side, 0, ALL_RUNS)
        generator = np.random.default_rng(0)
        sizes = np.abs(measured.eager[0]).reshape(-1)
        typical = np.flatnonzero(
            (sizes > np.quantile(sizes, 0.4)) & (sizes < np.quantile(sizes, 0.6))
        )
        for entry in generator.choice(typical, ENTRIES_TRIED, replace=False):
            wrong = measured.eager[0].copy().reshape(-1)
            wrong[entry] *= 1 + size
            claim = [wrong.reshape(measured.eager[0].shape), *measured.eager[1:]]
            verdict = judge(measured.rounding, claim)
            index = tuple(int(i) for i in np.unravel_index(entry, measured.eager[0].shape))
            named += verdict.verdict is Verdict.DIFFER and index in verdict.leaves[0].wrong_entries
        share = named / ENTRIES_TRIED
        what = f"one entry {100 * size:g} % off among {len(sizes):,} in {dtype}: named"
        yield _share(what, share, 0.95, f"{ENTRIES_TRIED} entries of typical size")


def _product(rows_: int, columns: int) -> Scenario:
    """Return a net of two layers whose first weights are the leaf in question."""

    def f(p: Any, x: Any, c: Any) -> Any:
        return (c * ((x @ p["W"]).tanh() @ p["Z"])).sum()

    def draw(generator: np.random.Generator, size: int) -> Any:
        params = {
            "W": generator.normal(size=(rows_, columns)) / np.sqrt(rows_),
            "Z": generator.normal(size=(columns, 10)) / np.sqrt(columns),
        }
        return params, (generator.normal(size=(64, rows_)), generator.normal(size=(64, 10)))

    return Scenario.drawn_first("two layers", f, draw)
