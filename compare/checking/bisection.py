"""Find the entries at fault: halve what disagrees until single entries are left."""

from collections.abc import Iterator, Sequence

import numpy as np

from .black_box import Direction
from .directions import Region, restrict
from .entries import examine
from .trial import DIGITS, Finding, Kind, Trial

# A gradient and a difference that coincide to this, relative to their size, confirm each other.
SHARP = 1e-10
# ... where the difference has converged so far that coinciding by chance is out of the question.
CONVERGED = 1e-3
# A residual of ten quick bars is worth following.
CLEAR = 10
# Where three of four splits on a way of six find both halves wrong, most of the leaf is.
DEEP, DENSE = 6, 0.7
# As many entries as show what is wrong with most of a leaf.
EXAMPLES = 3
# Which half holds a residual shows in a slope known to a fraction of it.
DECISIVE = 8


def inspect(trial: Trial, region: Region, weights: Sequence[np.ndarray]) -> Finding:
    """Compare the candidate's slope along a region of a direction with that of f."""
    direction = restrict(weights, region)
    predicted, allowance = trial.predicted(direction), trial.allowance(direction)
    size = trial.size(direction)
    zeros = trial.size_of_zeros(span.leaf for span in region.spans)

    def enough(value: float, error: float, noise: float) -> bool:
        sharp = error <= CONVERGED * size and noise <= DIGITS / 100 * size
        gap = abs(predicted - value)
        if sharp and gap <= max(SHARP * size, 2 * noise) + allowance:
            return True
        if zeros is not None and abs(value) <= 2 * noise <= SHARP * zeros:
            return True
        return gap > CLEAR * error + allowance

    slope = trial.meter.quick(direction, enough)
    if slope.kink:
        trial.note_smoothness("kink")
        return Finding(region, Kind.IRREGULAR)
    if slope.settled:
        value, error = slope.value, slope.error
        bar = max(SHARP * size, 2 * slope.noise)
    else:
        estimate = trial.meter.arbitrate(direction, DIGITS * (zeros or size))
        trial.note_smoothness(estimate.smoothness)
        if estimate.smoothness != "smooth":
            return Finding(region, Kind.IRREGULAR)
        value, bar = estimate.value, estimate.error
        error = bar
    if zeros is not None and abs(value) <= bar:
        larger = trial.meter.magnify(direction, value, bar)
        if larger is None:
            _note_resolution(trial, direction, bar, zeros)
            return Finding(region, Kind.FITS)
        value, bar = larger.value, larger.error
        error = bar
    residual = predicted - value
    if abs(residual) > bar + allowance:
        return Finding(region, Kind.FAULTY, residual, error)
    _note_resolution(trial, direction, bar, None)
    return Finding(region, Kind.FITS)


def _note_resolution(trial: Trial, direction: Direction, bar: float, size: float | None) -> None:
    """Note for each leaf how small a slope would have been seen, in units of size or its own."""
    for span, weights in direction.items():
        record = trial.records[span.leaf]
        whole = span.size == trial.gradient[span.leaf].size
        own = trial.size({span: weights}) if whole else trial.sizes[span.leaf]
        relative = bar / (size or own) if bar else 0.0
        if whole:
            record.resolution = min(record.resolution, relative)
        else:
            record.partial = max(record.partial, relative)


def faulty_leaves(
    trial: Trial, finding: Finding, weights: Sequence[np.ndarray]
) -> Iterator[Finding]:
    """Yield the whole leaves that do not fit, of a region of several that does not."""
    stack = [finding]
    while stack:
        finding = stack.pop()
        if len(finding.region.spans) == 1:
            yield finding
        else:
            stack.extend(_split(trial, finding, weights))


def search_entries(
    trial: Trial, finding: Finding, weights: Sequence[np.ndarray], most_suspects: int
) -> list[Finding]:
    """Examine the entries at fault in a leaf, those with the largest residual first.

    returns: the regions left over when the suspects or the evaluations ran out, or where nearly
        everything is wrong and a few entries show it
    """
    before = len(trial.suspects)
    stack = [finding]
    splits = forks = 0
    while stack and not trial.meter.exhausted and len(trial.suspects) < before + most_suspects:
        finding = stack.pop()
        if finding.region.size > 1:
            halves = _split(trial, finding, weights)
            splits, forks = splits + 1, forks + (len(halves) == 2)
            stack.extend(halves)
            continue
        (span,) = finding.region.spans
        examine(trial, span.leaf, span.start)
        if splits >= DEEP and forks > DENSE * splits:
            most_suspects = min(most_suspects, EXAMPLES)
    return stack


def _split(trial: Trial, finding: Finding, weights: Sequence[np.ndarray]) -> list[Finding]:
    """Return the halves that do not fit, the one with the larger residual last."""
    left, right = finding.region.halves()
    if finding.kind is Kind.FAULTY:
        halves = _share(trial, finding, left, right, weights)
    else:
        halves = [inspect(trial, half, weights) for half in (left, right)]
    at_fault = [half for half in halves if half.kind is not Kind.FITS]
    return sorted(at_fault, key=lambda half: abs(half.residual))


def _share(
    trial: Trial, parent: Finding, left: Region, right: Region, weights: Sequence[np.ndarray]
) -> list[Finding]:
    """Measure one half; what it does not explain of the parent's residual lies in the other."""
    direction = restrict(weights, left)
    decisive = abs(parent.residual) / DECISIVE
    slope = trial.meter.quick(direction, lambda value, error, noise: error <= decisive)
    if not slope.settled:
        return [inspect(trial, half, weights) for half in (left, right)]
    here = trial.predicted(direction) - slope.value
    there = parent.residual - here
    halves = [
        _finding(trial, left, here, slope.error, weights),
        _finding(trial, right, there, parent.error + slope.error, weights),
    ]
    if all(half.kind is Kind.FITS for half in halves):
        halves[1] = inspect(trial, right, weights)
    return halves


def _finding(
    trial: Trial, region: Region, residual: float, error: float, weights: Sequence[np.ndarray]
) -> Finding:
    at_fault = abs(residual) > error + trial.allowance(restrict(weights, region))
    return Finding(region, Kind.FAULTY if at_fault else Kind.FITS, residual, error)
