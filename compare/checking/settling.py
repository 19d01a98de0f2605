"""Account for every leaf of a candidate: it fits, its faults are found, or nobody can tell."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .bisection import faulty_leaves, inspect, search_entries
from .candidate import NO_GRADIENT, Candidate
from .directions import Region, restrict, whole_leaf
from .entries import examine, sensitivity
from .fault_patterns import stray_repairs
from .trial import DIGITS, Finding, Kind, Trial

# So many leaves are differentiated one by one; more are put together with those of their size.
FEW_LEAVES = 6
# Leaves whose slopes differ by less keep enough digits of the smallest beside the largest.
ALIKE = 30.0
MOST_SUSPECTS = 24
MOST_SUSPECTS_IN_A_LEAF = 12
# NaN entries of a leaf that are looked at one by one.
MOST_NAN = 8
# Each search finds at least one more fault, or is the last.
MOST_SEARCHES = 4
CONFIRMING_ROUND = 2
WITNESSES = (3, 4, 5)
# A leaf is convicted without a single entry where three directions are off by so many bars.
CLEAR_BARS = 8

Recognise = Callable[[Trial, Finding, Sequence[np.ndarray]], bool]


def settle(trial: Trial, candidate: Candidate, recognise: Recognise) -> None:
    """Judge all leaves along two random directions, and whatever does not fit until it does."""
    for leaf in range(len(trial.original)):
        _settle_non_finite(trial, leaf)
    for leaf, stray in candidate.strays.items():
        _settle_stray(trial, leaf, stray)
    for leaf, problem in candidate.problems:
        if problem.pattern == NO_GRADIENT:
            _settle_missing(trial, leaf)
    judged = [leaf for leaf in range(len(trial.original)) if trial.judged(leaf)]
    if len(judged) <= FEW_LEAVES:
        for leaf in judged:
            _settle_region(trial, _whole(trial, [leaf]), 0, recognise)
    for round_ in (0, 1) if len(judged) > FEW_LEAVES else (1,):
        for group in _groups(trial, judged):
            _settle_region(trial, _whole(trial, group), round_, recognise)
    for leaf in judged:
        if trial.records[leaf].resolution > DIGITS and trial.shrink(leaf):
            _settle_region(trial, _whole(trial, [leaf]), 0, recognise)


def _whole(trial: Trial, leaves: Sequence[int]) -> Region:
    return Region(
        tuple(span for leaf in leaves for span in whole_leaf(leaf, trial.original[leaf].size).spans)
    )


def _groups(trial: Trial, leaves: Sequence[int]) -> Iterator[list[int]]:
    """Yield leaves whose slopes have a similar size."""
    group: list[int] = []
    for leaf in sorted(leaves, key=lambda leaf: trial.sizes[leaf]):
        if group and trial.sizes[leaf] > ALIKE * trial.sizes[group[0]]:
            yield group
            group = []
        group.append(leaf)
    if group:
        yield group


def _settle_region(trial: Trial, region: Region, round_: int, recognise: Recognise) -> None:
    for _ in range(MOST_SEARCHES):
        leaves = [
            span.leaf
            for span in region.spans
            if trial.judged(span.leaf) and not trial.records[span.leaf].closed
        ]
        if not leaves:
            return
        region, weights = _whole(trial, leaves), trial.weights(round_)
        finding = inspect(trial, region, weights)
        if finding.kind is Kind.FITS:
            return
        before = trial.progress
        for fault in list(faulty_leaves(trial, finding, weights)):
            _settle_leaf(trial, fault, round_, recognise)
        if len(leaves) == 1 or trial.progress == before:
            return


def _settle_leaf(trial: Trial, finding: Finding, round_: int, recognise: Recognise) -> None:
    leaf = finding.region.spans[0].leaf
    record, weights = trial.records[leaf], trial.weights(round_)
    if finding.kind is Kind.IRREGULAR and trial.shrink(leaf):
        weights = trial.weights(round_)
        finding = inspect(trial, finding.region, weights)
    for _ in range(MOST_SEARCHES):
        if finding.kind is Kind.FITS:
            return
        if finding.kind is Kind.FAULTY and recognise(trial, finding, weights):
            return
        before = trial.progress
        room = max(1, MOST_SUSPECTS - len(trial.suspects))
        rest = search_entries(trial, finding, weights, min(MOST_SUSPECTS_IN_A_LEAF, room))
        if rest:
            record.closed = True
            record.more = any(part.kind is Kind.FAULTY for part in rest)
            irregular = sum(part.region.size for part in rest if part.kind is Kind.IRREGULAR)
            if irregular:
                record.unknown.append(
                    f"{trial.black_box.names[leaf] or 'params'}: {irregular} entries around kinks "
                    "were not examined one by one"
                )
            return
        if finding.kind is Kind.IRREGULAR:
            return
        if trial.progress == before:
            _call_witnesses(trial, leaf)
            return
        weights = trial.weights(round_)
        finding = inspect(trial, finding.region, weights)


def _call_witnesses(trial: Trial, leaf: int) -> None:
    """Let the arbiter decide on a leaf that does not fit though no single entry is wrong."""
    record, region = trial.records[leaf], _whole(trial, [leaf])
    offs, bar = [], 0.0
    for round_ in WITNESSES:
        direction = restrict(trial.weights(round_), region)
        estimate = trial.meter.arbitrate(direction)
        slack = estimate.error + trial.allowance(direction)
        slack += sensitivity(trial, leaf, direction, estimate.value)
        residual = abs(trial.predicted(direction) - estimate.value)
        smooth = estimate.smoothness == "smooth"
        offs.append(residual / slack if smooth and slack else float(smooth and residual > 0))
        bar = max(bar, estimate.error / trial.size(direction))
    if max(offs) <= 1:
        record.resolution = max(bar, record.partial)
    elif min(offs) > CLEAR_BARS:
        record.wrong = record.closed = True
        record.pattern = record.pattern or "spread over entries, each within its own bar"
    else:
        record.unknown.append(
            f"{trial.black_box.names[leaf] or 'params'}: the slope along random directions is off "
            f"by {max(offs):.2g} error bars, but no single entry is"
        )


def _settle_non_finite(trial: Trial, leaf: int) -> None:
    """Examine NaN and infinite entries: wrong where f is smooth, reported at a kink."""
    entries = np.flatnonzero(~np.isfinite(trial.original[leaf]))
    if not entries.size:
        return
    record = trial.records[leaf]
    chosen = np.unique(np.linspace(0, entries.size - 1, MOST_NAN).astype(int))
    suspects = sum(examine(trial, leaf, int(entries[i])) for i in chosen)
    if suspects:
        record.pattern = "NaN" if np.isnan(trial.original[leaf][entries]).any() else "infinite"
        record.more = suspects < entries.size
    elif entries.size > chosen.size:
        record.unknown.append(
            f"{trial.black_box.names[leaf] or 'params'}: {entries.size} entries are not finite, "
            f"{chosen.size} of them were examined"
        )


def _settle_stray(trial: Trial, leaf: int, stray: np.ndarray) -> None:
    """See whether a leaf of the wrong shape would be right in another arrangement."""
    for pattern, repaired in stray_repairs(stray, trial.black_box.leaves[leaf].shape):
        if not np.isfinite(repaired).all():
            continue
        trial.admit(leaf, repaired)
        region = _whole(trial, [leaf])
        if all(
            inspect(trial, region, trial.weights(round_)).kind is Kind.FITS
            for round_ in (0, CONFIRMING_ROUND)
        ):
            trial.records[leaf].pattern = pattern
            return
    trial.dismiss(leaf)


def _settle_missing(trial: Trial, leaf: int) -> None:
    """See whether f has a slope where the candidate has None."""
    trial.admit(leaf, np.zeros(trial.original[leaf].size))
    finding = inspect(trial, _whole(trial, [leaf]), trial.weights(0))
    if finding.kind is Kind.FAULTY:
        trial.records[leaf].pattern = "detached (None)"
    trial.dismiss(leaf)
