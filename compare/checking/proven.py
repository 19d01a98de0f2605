"""What a proof adds to a check: it decides where it can, below what differences resolve."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gradparity.backends.pytrees import PyTree

from ..proof.proof import Proof, ProofVerdict
from ..verdicts import Verdict
from .result import GradientCheck, LeafCheck


def proven(
    check: GradientCheck,
    f: Callable[..., Any],
    params: PyTree,
    args: tuple[PyTree, ...],
    gradient: PyTree | Callable[..., PyTree],
    *,
    accepted: bool,
) -> GradientCheck:
    """Return the check with a proof beside it, and the verdict that both allow.

    accepted: whether the caller accepts errors: then what is proved wrong may be within them
    raises: BackendUnavailable without python-flint, and as `prove_gradient`
    """
    from ..proof.proving import prove_gradient

    return with_proof(check, prove_gradient(f, params, *args, gradient=gradient), accepted)


def with_proof(check: GradientCheck, proof: Proof, accepted: bool) -> GradientCheck:
    """Return the check with a proof beside it.

    "proved wrong" is `differ`, whatever differences could resolve, unless errors were `accepted`;
    "proved right" is `agree` where differences could not tell. A proof that contradicts what was
    measured leaves neither standing.
    """
    said = f"{proof.verdict}: {proof.reason}"
    check = replace(check, proof=proof, notes=(said, *check.notes))
    if proof.verdict is ProofVerdict.WRONG and not accepted and check.verdict is not Verdict.DIFFER:
        leaves = tuple(_with_error(leaf, proof) for leaf in check.leaves)
        return replace(
            check, verdict=Verdict.DIFFER, reason=said, suspects=proof.suspects, leaves=leaves
        )
    if proof.verdict is ProofVerdict.RIGHT:
        if check.verdict is Verdict.DIFFER:
            reason = f"differences of f say {check.reason}; but the gradient is {said}"
            return replace(check, verdict=Verdict.CANNOT_TELL, reason=reason)
        if check.verdict is Verdict.CANNOT_TELL:
            return replace(check, verdict=Verdict.AGREE, reason=said)
    return check


def _with_error(leaf: LeafCheck, proof: Proof) -> LeafCheck:
    wrong = any(suspect.leaf == leaf.leaf for suspect in proof.suspects)
    found = next((one for one in proof.leaves if one.leaf == leaf.leaf), None)
    if found is None or not wrong:
        return leaf
    error = found.relative_error if not math.isnan(found.relative_error) else leaf.error
    return replace(leaf, verdict=Verdict.DIFFER, error=error)
