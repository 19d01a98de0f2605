"""Check derivatives of any kind against error-barred differences, and name what is wrong."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gradparity.backends import Backend
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.framework_trees import hint_at_models
from gradparity.backends.pytrees import PyTree

from ..proof.proof import Proof, ProofVerdict
from ..verdicts import Verdict
from .checker import Checker
from .function import Function, name_of
from .result import GradientCheck, LeafCheck
from .spending import Budget, spending

__all__ = ["GradientCheck", "check_gradient"]


def check_gradient(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    gradient: PyTree | Callable[..., PyTree],
    cotangent: PyTree | None = None,
    rtol: float | None = None,
    tolerance: PyTree | None = None,
    seed: int = 0,
    backend: str | Backend | None = None,
    budget: Budget = None,
    proof: bool = False,
    yardstick: PyTree | Callable[..., PyTree] | None = None,
) -> GradientCheck:
    """Judge a gradient of f(params, *args) by differences of f, down to their error bars.

    f: any function that returns one real number, over the array API or a framework's own; it is
        evaluated as it is, in float64, on arrays of the framework that params belong to, on their
        device. With a cotangent it returns arrays or pytrees, and the gradient is the VJP
    params: real or complex floating arrays, any pytree of them
    gradient: a pytree like params, of any framework's arrays, or `callable(params, *args)` that
        returns one: it is called twice, in the dtype that was handed over. Round-off is granted in
        the gradient's own dtype. Of a complex parameter, torch's convention is df/dx + i df/dy,
        JAX's the conjugate; NumPy arrays count as torch's
    cotangent: the structure and shapes of f's output
    rtol: what error of a leaf is accepted, the norm of it over the leaf's norm
    tolerance: what error of an entry is accepted: a number, one for each leaf, or arrays
    seed: of the random directions; backend: who evaluates f, where params do not tell
    budget: calls of f, such as 200, or a time, such as "30 s" or a timedelta, after which the
        verdict is "cannot tell", with what is known so far; a search for what is wrong ends anyway
    yardstick: another gradient in the same low precision, such as eager's own beside a kernel's:
        the result's `.yardstick` says whether the candidate is significantly worse
    proof: enclose all entries in ball arithmetic besides, see `prove_gradient`: what is proved
        wrong is `differ` below what differences resolve, unless rtol or tolerance accept errors
    raises: InvalidParameters, InvalidSetting, NonScalarLoss, ImpureFunction, FunctionFailed,
        ShapeMismatch of the cotangent

    >>> check = gp.check_gradient(lambda x: (x**3).sum(), np.ones(2), gradient=np.array([3, 3.3]))
    >>> check.verdict, check.suspects[0].index
    (<Verdict.DIFFER: 'differ'>, (1,))
    >>> gp.check_gradient(lambda x: (x**3).sum(), np.ones(2), gradient=lambda x: 3 * x**2).verdict
    <Verdict.AGREE: 'agree'>
    """
    with spending(budget, name_of(f)) as granted:
        checker = Checker(Function(f, params, args, backend, cotangent, granted), seed)
        found = checker.check(gradient, tolerance, rtol, yardstick=yardstick)
    if hint := hint_at_models(f):
        found = replace(found, notes=(*found.notes, hint))
    if not proof:
        return found
    if cotangent is not None:
        raise InvalidSetting(
            "got proof=True with a cotangent; a proof takes an f that returns one real number: "
            "multiply its output by the cotangent and sum, inside f"
        )
    from ..proof.proving import prove_gradient

    accepted = rtol is not None or tolerance is not None
    return with_proof(found, prove_gradient(f, params, *args, gradient=gradient), accepted)


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
    if leaf.leaf not in {suspect.leaf for suspect in proof.suspects}:
        return leaf
    found = [one.relative_error for one in proof.leaves if one.leaf == leaf.leaf]
    error = found[0] if found and not math.isnan(found[0]) else leaf.error
    return replace(leaf, verdict=Verdict.DIFFER, error=error)
