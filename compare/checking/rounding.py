"""Judge a claim that was computed in low precision by the rounding measured for its function."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradparity.backends.precision import UNIT_ROUNDOFF, dtype_name, unit_roundoff
from gradparity.backends.pytrees import flatten, is_array, private_numpy, tree_map, unflatten
from gradparity.backends.rounding import Rounding, Unmeasured, measure_rounding
from gradparity.backends.rounding.instrument import find_instrument

from ..low_precision.judging import SMALL, Judgement, LeafJudgement, judge
from ..verdicts import Verdict
from .account import Found, WrongEntry
from .candidate import Candidate, coarsest
from .function import Function
from .hosts import framework_of
from .leaves import Leaf
from .reference import Certificate
from .score import norm
from .thresholds import LISTED

DOUBLE = UNIT_ROUNDOFF["float64"]
ENGINES = ("torch", "jax")
BEST_FIRST = (Verdict.AGREE, Verdict.CANNOT_TELL, Verdict.DIFFER)


def measure_for(
    function: Function, candidate: Candidate, certificate: Certificate, seed: int
) -> Rounding | str:
    """Return the rounding of f's own gradient in the claim's precision, or why there is none.

    The claim's framework, or that of the parameters, measures; where it cannot, and for NumPy's
    arrays, whichever is there.
    """
    if any(leaf.is_complex for leaf in function.leaves):
        return "the rounding of complex gradients is not measured"
    claimed = coarsest(candidate.dtypes)
    args = [leaf for leaf in flatten(function.given_args)[0] if is_array(leaf)]
    floating = [leaf for leaf in (*function.given, *args) if "float" in dtype_name(leaf)]
    given = max((unit_roundoff(leaf) for leaf in floating), default=DOUBLE)
    # Leaves as they were handed over, unless the claim is coarser than all of them.
    dtype = claimed if UNIT_ROUNDOFF.get(claimed, DOUBLE) > given else None
    own = candidate.framework or framework_of(floating)
    own = own or (function.backend.name if function.backend.name in ENGINES else None)

    given_args = function.given_args
    low = UNIT_ROUNDOFF.get(claimed, DOUBLE) > DOUBLE
    if low and candidate.framework == "jax" and dtype is None and _without_x64():
        given_args = tree_map(_halved, given_args)

    def f(leaves: list[Any], *args: Any) -> Any:
        return function.f(unflatten(function.structure, leaves), *args)

    truth = [
        slopes.reshape(leaf.shape)
        for slopes, leaf in zip(certificate.claim.slopes, function.leaves, strict=True)
    ]
    reasons = []
    for engine in dict.fromkeys((own, *ENGINES) if own else ENGINES):
        if engine != own and isinstance(find_instrument(engine), Unmeasured):
            continue
        found = measure_rounding(
            f,
            list(function.given),
            given_args,
            dtype,
            backend_name=engine,
            seed=seed,
            cotangent=function.cotangent,
            truth=truth,
            truth_at=(list(function.given), function.given_args),
        )
        if not isinstance(found, Unmeasured):
            return found
        reasons.append(found.reason)
    return (
        reasons[0] if own else "; ".join(reasons)
    ) or "neither torch nor jax is installed to measure it"


def _without_x64() -> bool:
    return not sys.modules["jax"].config.jax_enable_x64


def _halved(leaf: Any) -> Any:
    """Return what JAX without x64 makes of an argument: of NumPy's float64, float32."""
    wide = is_array(leaf) and dtype_name(leaf) == "float64"
    return private_numpy(leaf, "float32") if wide else leaf


def judge_measured(
    described: Sequence[Leaf],
    candidate: Candidate,
    certificate: Certificate,
    rounding: Rounding,
) -> tuple[Judgement, Found, dict[int, float]]:
    """Judge every leaf that the certificate covers, and turn the answer into findings.

    described: the leaves of the parameters; errors that the caller accepts are taken off before
    returns: the answer, the findings, and the resolution up to which each leaf may agree
    """
    names = [leaf.name for leaf in described]
    bounds, rtol = candidate.terms.bounds, candidate.terms.rtol
    judged = []
    # The gradient at the inputs as they were given, and as rounded: f may round them, or not.
    given = certificate.claim.slopes
    rounded = [leaf.truth.reshape(-1) for leaf in rounding.leaves]
    same = all(np.array_equal(a, b) for a, b in zip(given, rounded, strict=True))
    for truths in (given,) if same else (given, rounded):
        claims = []
        for position, leaf in enumerate(described):
            truth = truths[position]
            error = candidate.slopes[position] - truth
            if position not in certificate.spread or norm(error) <= rtol * norm(truth):
                error = np.zeros_like(error)
            elif bounds is not None:
                error = np.sign(error) * np.maximum(np.abs(error) - bounds[position], 0.0)
            claims.append((rounded[position] + error).reshape(leaf.shape))
        judged.append((judge(rounding, claims, names), truths))
    judgement, truths = min(judged, key=lambda one: _how_bad(one[0]))
    total = max(norm(slopes) for slopes in certificate.claim.slopes)
    found = Found()
    limits: dict[int, float] = {}
    for position in certificate.spread:
        said = judgement.leaves[position]
        dtype = coarsest(
            [*rounding.rounded_to, candidate.dtypes[position], rounding.leaves[position].dtype]
        )
        limits[position] = SMALL.get(dtype, SMALL["bfloat16"])
        extra = certificate.resolution[position] + rtol
        if bounds is not None:
            extra += norm(bounds[position]) / (norm(certificate.claim.slopes[position]) or total)
        known, known_of_one = said.resolution, said.entry_resolution
        if said.is_zero:  # it is known as finely as the whole is
            scatter = rounding.leaves[position].leaf * judgement.margin
            known = known_of_one = scatter / total if total else 0.0
        found += Found({position: extra + known}, {position: extra + known_of_one})
        limits[position] += extra
        if said.verdict is Verdict.DIFFER:
            found += _wrong(candidate, truths[position], position, said)
        elif said.verdict is Verdict.CANNOT_TELL and (
            said.standing.score > 1.0 or said.resolution > limits[position]
        ):
            found += Found(unknown=((position, judgement.sentence_of(position)),))
    return judgement, found, limits


def _wrong(candidate: Candidate, truth: np.ndarray, position: int, leaf: LeafJudgement) -> Found:
    bars = leaf.standing.entry_bar.reshape(-1)
    got, shape = candidate.slopes[position], leaf.standing.entries.shape
    entries = [int(np.ravel_multi_index(i, shape)) if i else 0 for i in leaf.wrong_entries[:LISTED]]
    wrong = tuple(
        WrongEntry(position, k, float(got[k]), float(truth[k]), float(bars[k])) for k in entries
    )
    return Found(wrong=wrong, wrong_leaves=frozenset((position,)))


def _how_bad(judgement: Judgement) -> tuple[int, int, float]:
    wrong = [leaf for leaf in judgement.leaves if leaf.verdict is Verdict.DIFFER]
    worst = max((leaf.standing.score for leaf in judgement.leaves), default=0.0)
    return BEST_FIRST.index(judgement.verdict), len(wrong), worst
