"""Check Hessians and products with them: a Hessian is the Jacobian of a gradient."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.error_bars.derivative import derivative_at_zero
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.pytrees import PyTree, flatten, private_numpy, tree_map, unflatten

from ..verdicts import Verdict
from .checker import Checker
from .function import Function, FunctionFailed, name_of
from .hosts import float64_backend
from .maps import OutputMap, badness, cut, draws, matrix_of, refuse_complex
from .reference import Certificate
from .result import GradientCheck, sentence
from .scalars import RANDOM, real_product
from .score import norm
from .spending import Budget, Spending, spending
from .thresholds import ASIDE, DIGITS, LAST_BITS


def check_hessian(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    hessian: PyTree | Callable[..., PyTree] | None = None,
    hessian_vector_product: Callable[..., PyTree] | None = None,
    seed: int = 0,
    backend: str | Backend | None = None,
    budget: Budget = None,
) -> GradientCheck:
    """Judge second derivatives of a real f(params, *args): a Hessian, or products with it.

    hessian: for each leaf of params a pytree like params, of arrays of the one's shape followed by
        the other's, or `callable(params, *args)`; hessian_vector_product: `callable(params,
        tangent, *args)`, which is asked along random tangents
    The second derivatives are slopes of an engine's gradient, once slopes of f have certified that
    here and at a point aside, else slopes of slopes of f; `.notes` says which, and whether a
    Hessian is symmetric. Further arguments and errors: as in `check_gradient`

    >>> f = lambda x: (x**3).sum()
    >>> gp.check_hessian(f, np.ones(2), hessian=lambda x: np.diag(6 * x)).verdict
    <Verdict.AGREE: 'agree'>
    >>> product = lambda x, tangent: 5 * x * tangent
    >>> gp.check_hessian(f, np.ones(2), hessian_vector_product=product).verdict
    <Verdict.DIFFER: 'differ'>
    """
    if (hessian is None) == (hessian_vector_product is None):
        raise InvalidSetting(
            "check_hessian: got "
            + ("neither" if hessian is None else "both")
            + " of hessian and hessian_vector_product, expected one of them"
        )
    with spending(budget, name_of(f)) as granted:
        second = SecondDerivatives(f, params, args, seed, backend, granted)
        if hessian_vector_product is not None:
            return second.products(hessian_vector_product)
        return second.matrix(hessian)


class SecondDerivatives:
    """Checks claims about the second derivatives of a real function at one point.

    function: that one; spending: what calls of f are asked of, for all claims together
    """

    def __init__(
        self,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[PyTree, ...],
        seed: int,
        backend: str | Backend | None,
        spending: Spending,
    ) -> None:
        self.seed = seed
        self.function = Function(f, params, args, backend, spending=spending)
        refuse_complex("second derivatives", self.function.leaves)
        self.first = Checker(self.function, seed)
        self._known_to = 0.0

    def matrix(self, hessian: PyTree | Callable[..., PyTree]) -> GradientCheck:
        """Return the verdict on a whole Hessian."""
        claim, leaves = "Hessian", self.function.leaves

        def judge() -> GradientCheck:
            whole = self._map(self._gradient[0], claim)
            given = self.function.call(hessian) if callable(hessian) else hessian
            check = whole.check(given)
            return self._about_f([check], _symmetry(matrix_of(given, leaves, leaves, claim)))

        return self._judged(claim, judge)

    def products(self, product: Callable[..., PyTree]) -> GradientCheck:
        """Return the verdict on Hessian-vector products, along random tangents."""
        return self._along("Hessian-vector product", product, lambda gradient, _: gradient)

    def curvature(self, curvature: Callable[..., Any]) -> GradientCheck:
        """Return the verdict on `(params, tangent, *args) -> <tangent, H tangent>`."""

        def slope_along(gradient: Callable[..., Any], tangent: PyTree) -> Callable[..., Any]:
            return lambda params, *args: real_product(tangent, gradient(params, *args))

        return self._along("second derivative along a tangent", curvature, slope_along)

    def _along(
        self,
        claim: str,
        claimed: Callable[..., PyTree],
        differentiated: Callable[[Callable[..., Any], PyTree], Callable[..., Any]],
    ) -> GradientCheck:
        """Judge what is claimed of random tangents.

        differentiated: told the gradient of f and a tangent, what has the claim as its slope
        """

        def judge() -> GradientCheck:
            checks = []
            function, (gradient, _, engine) = self.function, self._gradient
            for drawn in draws(self.seed, function.leaves):
                native = function.like_params(cut(drawn, function.leaves))
                given = function.call(lambda own, *rest, v=native: claimed(own, v, *rest))
                doubles = tree_map(lambda leaf: private_numpy(leaf, "float64"), native)
                tangent = np.concatenate([leaf.reshape(-1) for leaf in flatten(doubles)[0]])
                whole = self._map(differentiated(gradient, engine.asarray(doubles)), claim)
                checks.append(whole.along(tangent, given))
            return self._about_f(checks)

        return self._judged(claim, judge)

    def _judged(self, claim: str, judge: Callable[[], GradientCheck]) -> GradientCheck:
        if self.function.blocked:
            return self.first.check(self.function.params)
        return OutputMap(self.function, self.seed, claim).within_budget(judge)

    def _map(self, f: Callable[..., Any], claim: str) -> OutputMap:
        first, backend = self.function, self._gradient[2]
        function = Function(f, first.params, first.given_args, backend, RANDOM, first.spending)
        return OutputMap(function, self.seed, claim)

    def _about_f(self, checks: Sequence[GradientCheck], *notes: str) -> GradientCheck:
        """Return the worst of some checks, as one of f."""
        worst, who = max(checks, key=badness), "; ".join([self._gradient[1], *notes])
        spent = self.function.evaluations + sum(check.evaluations for check in checks)
        notes = (who, *worst.notes)
        found = replace(worst, notes=notes, evaluations=spent, value=self.function.value)
        if found.verdict is not Verdict.AGREE:
            return found
        leaves = tuple(leaf.known_to(self._known_to) for leaf in found.leaves)
        resolution = max(found.resolution, self._known_to)
        found = replace(found, leaves=leaves, resolution=resolution)
        return replace(found, reason=sentence(found))

    @cached_property
    def _gradient(self) -> tuple[Callable[..., Any], str, Backend]:
        """The gradient of f, an engine's if it is certified; who gives it, in whose arrays."""
        certificate, function = self.first.certificate(load=True), self.function
        sized = sum(leaf.size > 0 for leaf in function.leaves)
        if certificate is not None and len(certificate.spread) == sized:
            own, name = function.backend, certificate.reference.engine
            engine = own if own.name == name else float64_backend(name)
            takes_them = engine is own or own.xp is np
            known = self._confirmed_aside(certificate) if takes_them else math.inf
            if known <= DIGITS:
                self._known_to = known
                return (
                    function.gradient_by(engine),
                    f"second derivatives are slopes of {engine.name}'s certified gradient",
                    engine,
                )
        note = "second derivatives are slopes of slopes of f: no engine's gradient is certified"
        return self._slopes, note, function.backend

    def _confirmed_aside(self, certificate: Certificate) -> float:
        """Return how finely slopes of f confirm by how much the gradient changes to a point aside.

        An engine may be right at the point alone: where what it loses happens to be 0.
        """
        function, here = self.function, certificate.claim
        weights = self.first.directions.weights(1)
        for side in (ASIDE, -ASIDE):
            try:
                aside = function.moved([side * own for own in weights])
            except FunctionFailed:
                continue  # beyond the domain of f
            there = Checker(aside, self.seed).certificate(load=True)
            function.evaluations += aside.evaluations
            if there is None or there.reference.engine != certificate.reference.engine:
                continue
            known = 0.0
            for k, leaf in enumerate(aside.leaves):
                if leaf.size:
                    change = leaf.scale * norm(there.claim.slopes[k] - here.slopes[k])
                    size = change if change > LAST_BITS * here.total else ASIDE * here.total
                    known = max(known, there.spread.get(k, math.inf) / size)
            if known <= DIGITS:
                return known
        return math.inf

    def _slopes(self, params: PyTree, *args: PyTree) -> PyTree:
        """Return the slopes of f by all entries at a moved point."""
        arrays = [np.asarray(private_numpy(leaf), np.float64) for leaf in flatten(params)[0]]
        found = [np.zeros(array.shape) for array in arrays]
        for k, array in enumerate(arrays):
            for entry in np.ndindex(array.shape):

                def value(shift: float, k: int = k, entry: tuple[int, ...] = entry) -> float:
                    moved = {j: one.copy() for j, one in enumerate(arrays)}
                    moved[k][entry] += shift
                    return self.function.at(moved)

                found[k][entry] = derivative_at_zero(value, self.function.leaves[k].scale).value
        return unflatten(self.function.structure, self.function.backend.asarray(found))


def _symmetry(matrix: np.ndarray) -> str:
    """Say how symmetric a Hessian is."""
    if not np.isfinite(matrix).all():
        return "the Hessian given holds numbers that are not finite"
    size = float(np.abs(matrix).max(initial=0.0))
    off = float(np.abs(matrix - matrix.T).max(initial=0.0))
    if not off:
        return "the Hessian given is symmetric"
    return f"the Hessian given is symmetric to {off / size:.1e} of its largest entry"
