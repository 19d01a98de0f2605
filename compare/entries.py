"""Judge single entries of a candidate: wrong, right, legal at a kink, or beyond judgement."""

import math

import numpy as np

from gradparity.backends.estimate import Estimate

from .black_box import Direction, Span
from .quick_slope import EPSILON
from .trial import DIGITS, Kink, Trial
from .verdicts import Suspect

# A bar holds in 99 of 100 cases; a residual of few bars is measured again before it convicts.
CLEAR_BARS = 8
PERTURBATIONS = 2
# The end of an interval is known where its bar is this short beside its length.
SHARP = 1e-7
# The largest of two changes under random perturbations, against the worst that round-off does.
AMPLIFICATION = 8


def examine(trial: Trial, leaf: int, entry: int) -> bool:
    """Measure one entry and record what it is; return whether it is a suspect.

    A wrong entry is corrected in `trial.gradient`; one at a kink is exempt from directions.
    """
    got = float(trial.original[leaf][entry])
    index = _index(trial, leaf, entry)
    name = trial.black_box.names[leaf]
    plain = trial.meter.plain_kink(leaf, entry)
    if plain and _is_plainly_legal(got, *plain):
        trial.note_smoothness("kink")
        trial.exempt(leaf, entry)
        trial.kinks.append(Kink(name, index, got, plain[:2]))
        return False
    estimate = trial.meter.entry(leaf, entry, DIGITS * _typical(trial, leaf))
    trial.note_smoothness(estimate.smoothness)
    if estimate.smoothness not in ("smooth", "kink"):
        trial.exempt(leaf, entry)
        trial.records[leaf].unknown.append(
            f"{name}{list(index)}: got {got:.6g}; f has no finite derivative there "
            f"({estimate.smoothness})"
        )
        return False
    bar, low, high = estimate.error, estimate.value, estimate.value
    if estimate.smoothness == "kink":
        trial.exempt(leaf, entry)
        bar = max(estimate.one_sided_error)
        low, high = sorted(estimate.one_sided)
        slack = bar + float(trial.tolerance[leaf][entry])
        if _distance(got, low, high) > slack:
            low, high = trial.meter.slopes_nearby(leaf, entry, got, (low, high))
        if math.isnan(got) or _distance(got, low, high) <= slack:
            trial.kinks.append(Kink(name, index, got, (low, high)))
            return False
    elif not _is_wrong(trial, leaf, entry, got, estimate):
        return False
    expected = min(max(got, low), high) if math.isfinite(got) else (low + high) / 2
    trial.suspects.append(Suspect(name, index, got, expected, bar))
    trial.records[leaf].suspects += 1
    trial.gradient[leaf][entry] = expected
    if not math.isfinite(got):
        trial.exempt(leaf, entry)
    return True


def _is_plainly_legal(got: float, low: float, high: float, error: float) -> bool:
    """Tell whether a few evaluations suffice to acquit: well inside, or at a well-known end."""
    slack = error if error <= SHARP * (high - low) else -error
    return low - slack <= got <= high + slack


def _distance(got: float, low: float, high: float) -> float:
    return max(low - got, got - high, 0.0)


def _is_wrong(trial: Trial, leaf: int, entry: int, got: float, estimate: Estimate) -> bool:
    if math.isnan(got):
        return True
    slack = estimate.error + float(trial.tolerance[leaf][entry])
    residual = abs(got - estimate.value)
    if residual <= slack:
        return False
    if trial.size_of_zeros([leaf]) is not None and abs(estimate.value) <= estimate.error:
        return False
    if residual <= CLEAR_BARS * slack:
        second = trial.meter.entry_again(leaf, entry)
        if abs(got - second.value) <= slack + second.error:
            return False
    return residual > slack + sensitivity(
        trial, leaf, {Span(leaf, entry, entry + 1): np.ones(1)}, estimate.value
    )


def sensitivity(trial: Trial, leaf: int, direction: Direction, value: float) -> float:
    """Return what rounding all inputs to the candidate's dtype may do to a slope.

    Arithmetic in float32 gives the exact result for inputs that are slightly off: what these do to
    a derivative, be it ill-conditioned or next to a kink, is no fault of the gradient. In float64
    the arbiter's own bar, from values with the same round-off, holds that already.
    """
    epsilon = trial.epsilons[leaf]
    if epsilon <= EPSILON:
        return 0.0
    changes = [
        abs(meter.arbitrate(direction).value - value)
        for meter in trial.meter.perturbed(epsilon, PERTURBATIONS)
    ]
    return AMPLIFICATION * max(filter(math.isfinite, changes), default=0.0)


def _index(trial: Trial, leaf: int, entry: int) -> tuple[int, ...]:
    return tuple(map(int, np.unravel_index(entry, trial.black_box.leaves[leaf].shape)))


def _typical(trial: Trial, leaf: int) -> float:
    """Return the root mean square of the leaf's gradient."""
    return trial.sizes[leaf] / (trial.black_box.scales[leaf] * math.sqrt(trial.original[leaf].size))
