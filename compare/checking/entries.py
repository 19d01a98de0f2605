"""Judge single entries of a candidate: wrong, right, legal at a kink, or beyond judgement."""

import math

import numpy as np

from gradparity.backends.error_bars.estimate import Estimate

from ..verdicts import Suspect
from .black_box import Direction, Span
from .quick_slope import EPSILON
from .trial import DIGITS, Kink, Trial

# A bar holds in 99 of 100 cases; a residual of few bars is measured again before it convicts.
CLEAR_BARS = 8
PERTURBATIONS = 2
# An infinite slope is wrong where those of both sides are known to be finite.
KNOWN = 1e-3
# The end of an interval is known where its bar is this short beside its length.
SHARP = 1e-7
# The largest of two changes under random perturbations, against the worst that round-off does.
AMPLIFICATION = 8


def examine(trial: Trial, leaf: int, entry: int) -> bool:
    """Measure one entry and record what it is; return whether it is a suspect.

    A wrong entry is corrected in `trial.gradient`; one where f is not smooth is exempt from further
    directions.
    """
    got = float(trial.original[leaf][entry])
    plain = trial.meter.plain_kink(leaf, entry)
    if plain and _is_plainly_legal(got, *plain):
        trial.note_smoothness("kink")
        return _acquit_at_kink(trial, leaf, entry, plain[:2])
    estimate = trial.meter.entry(leaf, entry, DIGITS * _typical(trial, leaf))
    trial.note_smoothness(estimate.smoothness)
    if estimate.smoothness == "smooth":
        if not _is_wrong(trial, leaf, entry, got, estimate):
            return False
        return _convict(trial, leaf, entry, estimate.value, estimate.error)
    if estimate.smoothness == "kink":
        return _examine_kink(trial, leaf, entry, estimate)
    side = _branch_at_a_jump(estimate)
    if side is None or not math.isfinite(got):
        reason = f"f has no finite derivative there ({estimate.smoothness})"
        return _give_up(trial, leaf, entry, reason)
    value, bar = side
    if abs(got - value) <= CLEAR_BARS * (bar + float(trial.tolerance[leaf][entry])):
        return _acquit_at_kink(trial, leaf, entry, (value, value))
    return _convict(trial, leaf, entry, value, bar)


def _examine_kink(trial: Trial, leaf: int, entry: int, estimate: Estimate) -> bool:
    got = float(trial.original[leaf][entry])
    bar = max(estimate.one_sided_error)
    low, high = sorted(estimate.one_sided)
    slack = bar + float(trial.tolerance[leaf][entry])
    if math.isinf(got) and not bar <= KNOWN * (high - low):
        return _give_up(trial, leaf, entry, "the slopes of f grow without a limit in sight")
    if _distance(got, low, high) > slack:
        low, high = trial.meter.slopes_nearby(leaf, entry, got, (low, high))
    if math.isnan(got) or _distance(got, low, high) <= slack:
        return _acquit_at_kink(trial, leaf, entry, (low, high))
    trial.exempt(leaf, entry)
    return _convict(trial, leaf, entry, min(max(got, low), high), bar)


def _acquit_at_kink(trial: Trial, leaf: int, entry: int, interval: tuple[float, float]) -> bool:
    trial.exempt(leaf, entry)
    got = float(trial.original[leaf][entry])
    name, index = trial.black_box.names[leaf], _index(trial, leaf, entry)
    trial.kinks.append(Kink(name, index, got, interval))
    return False


def _give_up(trial: Trial, leaf: int, entry: int, reason: str) -> bool:
    trial.exempt(leaf, entry)
    place = f"{trial.black_box.names[leaf]}{list(_index(trial, leaf, entry))}"
    got = float(trial.original[leaf][entry])
    trial.records[leaf].unknown.append(f"{place}: got {got:.6g}; {reason}")
    return False


def _convict(trial: Trial, leaf: int, entry: int, expected: float, bar: float) -> bool:
    got = float(trial.original[leaf][entry])
    name, index = trial.black_box.names[leaf], _index(trial, leaf, entry)
    trial.suspects.append(Suspect(name, index, got, expected, bar))
    trial.records[leaf].suspects += 1
    trial.gradient[leaf][entry] = expected
    return True


def _branch_at_a_jump(estimate: Estimate) -> tuple[float, float] | None:
    """Return the slope and bar of the side that f belongs to where it jumps, if there is one."""
    if estimate.smoothness != "jump":
        return None
    sides = [
        (value, error)
        for value, error in zip(estimate.one_sided, estimate.one_sided_error, strict=True)
        if math.isfinite(value) and math.isfinite(error)
    ]
    return sides[0] if len(sides) == 1 else None


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
