"""Check pushforwards, Jacobians, Hessians and Hessian-vector products."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.error_bars.derivative import derivative_at_zero
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.pytrees import PyTree, flatten, private_numpy, unflatten

from ..verdicts import Suspect, Verdict
from .candidate import read_candidate
from .checker import Checker, GradientChecker, unknown_to_all
from .function import RANDOM, Function, Leaf, float64_backend, name_of
from .maps import Outputs, output_leaves
from .result import GradientCheck
from .spending import Budget, BudgetSpent, Spending, spending
from .thresholds import CONFIRMED

# Random directions that a map is checked along, each by itself.
DIRECTIONS = 2


def check_pushforward(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    tangent: PyTree,
    output_tangent: PyTree | Callable[..., PyTree],
    seed: int = 0,
    backend: str | Backend | None = None,
    budget: Budget = None,
) -> GradientCheck:
    """Judge a pushforward (JVP) of f(params, *args) along a tangent, output by output.

    f: gives arrays or pytrees of them; tangent: structure and shapes of params
    output_tangent: structure and shapes of f's output, or `callable(params, tangent, *args)` that
        returns it. A suspect's leaf and index are those of the output
    further arguments and errors: as in `check_gradient`

    >>> x, v = np.asarray([1.0, 2.0]), np.asarray([0.5, -1.0])
    >>> gp.check_pushforward(np.exp, x, tangent=v, output_tangent=np.exp(x) * v).verdict
    <Verdict.AGREE: 'agree'>
    """
    with spending(budget, name_of(f)) as granted:
        function = Function(f, params, args, backend, RANDOM, granted)
        along = read_candidate(tangent, function.leaves)
        if along.problems:
            problem = along.problems[0][1]
            raise InvalidSetting(f"tangent: {problem.leaf or 'params'}: {problem.text}")
        if callable(output_tangent):
            rule = output_tangent
            output_tangent = function.call(lambda own, *rest: rule(own, tangent, *rest))
        try:
            checker = Checker(Outputs(function, along.slopes), seed, granted, "pushforward")
        except BudgetSpent:
            return unknown_to_all(function, seed, "pushforward", granted)
        return checker.check_tree(output_tangent)


def check_jacobian(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    jacobian: PyTree | Callable[..., PyTree],
    seed: int = 0,
    backend: str | Backend | None = None,
    budget: Budget = None,
) -> GradientCheck:
    """Judge a Jacobian of f(params, *args), whole and entry by entry.

    jacobian: for each leaf of f's output a pytree like params, of arrays of the output's shape
        followed by the parameter's (for a single output array, just the pytree), or
        `callable(params, *args)` that returns it. A suspect's index is the output's followed by
        the parameter's; its leaf is the parameter's, after the output's where there are several
    further arguments and errors: as in `check_gradient`

    >>> A = np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> gp.check_jacobian(lambda x: A @ x, np.ones(2), jacobian=A).verdict
    <Verdict.AGREE: 'agree'>
    """
    with spending(budget, name_of(f)) as granted:
        function = Function(f, params, args, backend, RANDOM, granted)
        if callable(jacobian):
            jacobian = function.call(jacobian)
        try:
            whole = _Map(f, params, args, function, seed, granted)
            return _check_map(whole, jacobian, "Jacobian")
        except BudgetSpent:
            return unknown_to_all(function, seed, "Jacobian", granted)


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
    The second derivatives are slopes of an engine's gradient, once slopes of f have certified that,
    and slopes of slopes of f where no engine can differentiate it; `.notes` says which, and whether
    a Hessian is symmetric. Further arguments and errors: as in `check_gradient`

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

    first: of the function itself; spending: what calls of f are asked of, for all claims together
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
        self.f, self.args, self.seed, self.spending = f, args, seed, spending
        self.first = GradientChecker(
            f, params, *args, seed=seed, backend=backend, spending=spending
        )

    @property
    def function(self) -> Function:
        return self.first.function

    def matrix(self, hessian: PyTree | Callable[..., PyTree]) -> GradientCheck:
        """Return the verdict on a whole Hessian."""
        return self._within_budget(lambda: self._matrix(hessian))

    def products(self, product: Callable[..., PyTree]) -> GradientCheck:
        """Return the verdict on Hessian-vector products, along random tangents."""
        return self._within_budget(
            lambda: self._along(lambda _: self._whole, product, "Hessian-vector product")
        )

    def curvature(self, curvature: Callable[..., Any]) -> GradientCheck:
        """Return the verdict on `(params, tangent, *args) -> <tangent, H tangent>`."""

        def slope_along(tangent: Sequence[np.ndarray]) -> _Map:
            gradient = self._gradient[0]

            def slope(params: PyTree, *args: PyTree) -> Any:
                leaves = flatten(gradient(params, *args))[0]
                pairs = zip(tangent, leaves, strict=True)
                return np.asarray(sum(v @ np.asarray(leaf).reshape(-1) for v, leaf in pairs))

            return self._map(slope)

        claim = "second derivative along a tangent"
        return self._within_budget(lambda: self._along(slope_along, curvature, claim))

    def _within_budget(self, judge: Callable[[], GradientCheck]) -> GradientCheck:
        if self.function.blocked:
            given = unflatten(self.function.structure, [*self.function.given])
            return self.first.check_tree(given)
        try:
            return judge()
        except BudgetSpent:
            return unknown_to_all(self.function, self.seed, "Hessian", self.spending)

    @cached_property
    def _gradient(self) -> tuple[Callable[..., Any], str]:
        """What slopes are taken of, and what a verdict says of it."""
        return _certified_gradient(self.f, self.first)

    @cached_property
    def _whole(self) -> "_Map":
        return self._map(self._gradient[0])

    def _matrix(self, hessian: PyTree | Callable[..., PyTree]) -> GradientCheck:
        whole = self._whole
        if callable(hessian):
            hessian = self.function.call(hessian)
        check = _check_map(whole, hessian, "Hessian")
        symmetry = _symmetry(hessian, whole.function.leaves)
        return self._about_f(check, f"{self._gradient[1]}; {symmetry}", check.evaluations)

    def _along(
        self,
        whole: Callable[[Sequence[np.ndarray]], "_Map"],
        claimed: Callable[..., PyTree],
        claim: str,
    ) -> GradientCheck:
        checks, spent = [], 0
        for draw in range(DIRECTIONS):
            rng = np.random.default_rng([self.seed, draw])
            leaves = self.function.leaves
            tangent = [
                leaf.scale * rng.choice((-1, 1), leaf.size) * rng.uniform(0.5, 1, leaf.size)
                for leaf in leaves
            ]
            shaped = [v.reshape(leaf.shape) for v, leaf in zip(tangent, leaves, strict=True)]
            native = self.function.backend.asarray(unflatten(self.function.structure, shaped))
            given = self.function.call(lambda own, *rest, v=native: claimed(own, v, *rest))
            of_tangent = whole(tangent)
            before = of_tangent.function.evaluations
            checks.append(of_tangent.along(tangent, claim).check_tree(given))
            spent += of_tangent.function.evaluations - before
        return self._about_f(max(checks, key=_badness), self._gradient[1], spent)

    def _map(self, f: Callable[..., Any]) -> "_Map":
        params = unflatten(self.function.structure, [*self.function.given])
        function = Function(f, params, self.args, self.function.backend, RANDOM, self.spending)
        return _Map(f, params, self.args, function, self.seed, self.spending)

    def _about_f(self, check: GradientCheck, note: str, spent: int) -> GradientCheck:
        spent += self.function.evaluations
        notes = (note, *check.notes)
        return replace(check, notes=notes, evaluations=spent, value=self.function.value)


@dataclass(frozen=True)
class _Map:
    """A map F with many outputs at a point; function: of F, with any cotangent."""

    f: Callable[..., Any]
    params: PyTree
    args: tuple[PyTree, ...]
    function: Function
    seed: int
    spending: Spending

    def along(self, tangent: Sequence[np.ndarray], claim: str) -> Checker:
        return Checker(Outputs(self.function, tangent), self.seed, self.spending, claim)

    def against(self, cotangent: PyTree, claim: str) -> GradientChecker:
        return GradientChecker(
            self.f,
            self.params,
            *self.args,
            seed=self.seed,
            backend=self.function.backend,
            cotangent=cotangent,
            spending=self.spending,
            claim=claim,
        )


def _check_map(whole: _Map, jacobian: PyTree, claim: str) -> GradientCheck:
    """Check random combinations of a Jacobian's rows, then the columns that are wrong there."""
    output = whole.function.outputs({})
    outputs, inputs = output_leaves(output), whole.function.leaves
    if any(leaf.is_complex for leaf in (*outputs, *inputs)):
        raise InvalidSetting(
            f"{claim}: got complex parameters or outputs, expected real ones; check its VJPs, with "
            "check_gradient(..., cotangent=...)"
        )
    blocks = _blocks(jacobian, output, whole, claim)
    if isinstance(blocks, GradientCheck):
        return blocks
    checks = []
    for draw in range(DIRECTIONS):
        rng = np.random.default_rng([whole.seed, draw])
        weights = [
            leaf.scale * rng.choice((-1, 1), leaf.size) * rng.uniform(0.5, 1, leaf.size)
            for leaf in outputs
        ]
        rows = [
            sum(
                weights[i] @ blocks[i][k].reshape(outputs[i].size, inputs[k].size)
                for i in range(len(outputs))
            )
            for k in range(len(inputs))
        ]
        shaped = [np.reshape(row, leaf.shape) for row, leaf in zip(rows, inputs, strict=True)]
        cotangent = unflatten(
            flatten(output)[1],
            [w.reshape(leaf.shape) for w, leaf in zip(weights, outputs, strict=True)],
        )
        checker = whole.against(cotangent, claim)
        checks.append(checker.check_tree(unflatten(whole.function.structure, shaped)))
    worst = max(checks, key=_badness)
    spent = sum(check.evaluations for check in checks)
    if worst.verdict is not Verdict.DIFFER:
        return replace(worst, evaluations=spent)
    suspects, more = _entries(whole, blocks, outputs, inputs, worst, claim)
    found = replace(worst, suspects=suspects, evaluations=spent + more)
    from .report import sentence

    return replace(found, reason=sentence(found))


def _badness(check: GradientCheck) -> tuple[int, float]:
    order = (Verdict.AGREE, Verdict.CANNOT_TELL, Verdict.DIFFER)
    return order.index(check.verdict), max((leaf.error for leaf in check.leaves), default=0.0)


def _entries(
    whole: _Map,
    blocks: Sequence[Sequence[np.ndarray]],
    outputs: Sequence[Leaf],
    inputs: Sequence[Leaf],
    check: GradientCheck,
    claim: str,
) -> tuple[tuple[Suspect, ...], int]:
    """Return the wrong entries of the columns that a combination of rows found, the worst first."""
    names = [leaf.name for leaf in inputs]
    suspects: list[Suspect] = []
    before = whole.function.evaluations
    for column in check.suspects[:CONFIRMED]:
        k = names.index(column.leaf)
        shape = inputs[k].shape
        entry = int(np.ravel_multi_index(column.index, shape)) if shape else 0
        tangent = [np.zeros(leaf.size) for leaf in inputs]
        tangent[k][entry] = 1.0
        claimed = [
            blocks[i][k]
            .reshape(outputs[i].size, inputs[k].size)[:, entry]
            .reshape(outputs[i].shape)
            for i in range(len(outputs))
        ]
        try:
            output = whole.function.outputs({})
            found = whole.along(tangent, claim).check_tree(unflatten(flatten(output)[1], claimed))
        except BudgetSpent:
            break
        for one in found.suspects:
            leaf = f"{one.leaf}, {column.leaf}" if len(outputs) > 1 else column.leaf
            index = (*one.index, *column.index)
            suspects.append(replace(one, leaf=leaf, index=index, parameter=column.parameter))
    return tuple(suspects), whole.function.evaluations - before


def _blocks(
    jacobian: PyTree, output: PyTree, whole: _Map, claim: str
) -> list[list[np.ndarray]] | GradientCheck:
    """Return the block of each output leaf and parameter leaf, or what is wrong with their form."""
    outputs, inputs = output_leaves(output), whole.function.leaves
    given = [np.asarray(private_numpy(leaf), np.float64) for leaf in flatten(jacobian)[0]]
    wanted = [(*o.shape, *i.shape) for o in outputs for i in inputs]
    shapes = [leaf.shape for leaf in given]
    if shapes != wanted:
        text = (
            f"got {claim} blocks of the shapes {shapes[:6]}, expected the output's shape followed "
            f"by the parameter's: {wanted[:6]}"
        )
        if [tuple(reversed(shape)) for shape in shapes] == wanted:
            text += "; it may be transposed"
        raise InvalidSetting(text)
    cut = len(inputs)
    return [given[cut * i : cut * (i + 1)] for i in range(len(outputs))]


def _certified_gradient(
    f: Callable[..., Any], checker: GradientChecker
) -> tuple[Callable[..., Any], str]:
    """Return the gradient of f as a function of params: an engine's if certified, else slopes."""
    certificate = checker.certificate(load=True)
    leaves = checker.function.leaves
    if certificate is not None and len(certificate.spread) == sum(leaf.size > 0 for leaf in leaves):
        assert checker.reference is not None
        engine = float64_backend(checker.reference.engine)
        if engine.name == checker.function.backend.name or checker.function.backend.xp is np:
            differentiate = engine.value_and_gradient(f)

            def gradient(params: PyTree, *args: PyTree) -> PyTree:
                return engine.to_numpy(differentiate(params, *args)[1])

            return gradient, f"second derivatives are slopes of {engine.name}'s certified gradient"

    def slopes(params: PyTree, *args: PyTree) -> PyTree:
        arrays = [np.asarray(private_numpy(leaf), np.float64) for leaf in flatten(params)[0]]
        found = [np.zeros(array.shape) for array in arrays]
        for position, array in enumerate(arrays):
            scale = leaves[position].scale
            for entry in range(array.size):

                def value(shift: float, k: int = position, j: int = entry) -> float:
                    moved = {i: one.copy() for i, one in enumerate(arrays)}
                    moved[k].reshape(-1)[j] += shift
                    return checker.function.at(moved)

                estimate = derivative_at_zero(value, scale)
                found[position].reshape(-1)[entry] = estimate.value
        return unflatten(checker.function.structure, found)

    return slopes, "second derivatives are slopes of slopes of f, which no engine differentiates"


def _symmetry(hessian: PyTree, leaves: Sequence[Leaf]) -> str:
    """Say how symmetric a Hessian is."""
    blocks = [np.asarray(private_numpy(leaf), np.float64) for leaf in flatten(hessian)[0]]
    sizes, count = [leaf.size for leaf in leaves], len(leaves)
    matrix = np.block(
        [
            [blocks[count * i + k].reshape(sizes[i], sizes[k]) for k in range(count)]
            for i in range(count)
        ]
    )
    size = float(np.abs(matrix).max(initial=0.0))
    off = float(np.abs(matrix - matrix.T).max(initial=0.0))
    if not off:
        return "the Hessian given is symmetric"
    return f"the Hessian given is symmetric to {off / size:.1e} of its largest entry"
