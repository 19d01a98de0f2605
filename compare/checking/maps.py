"""Check pushforwards and Jacobians: claims about the slopes of many outputs.

A Jacobian J of F claims that <w, F(x + t v)> has the slope <w, J v>, for every w and v. With w
fixed it is a gradient, with v fixed a pushforward, whose entries are those of the output.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.errors import InvalidParameters, InvalidSetting, NonScalarLoss
from gradparity.backends.precision import dtype_name, is_floating
from gradparity.backends.pytrees import (
    PyTree,
    flatten,
    leaf_names,
    private_numpy,
    unflatten,
)

from ..verdicts import Suspect, Verdict
from .candidate import coarsest, read_candidate
from .checker import Checker
from .function import Function, name_of
from .leaves import Direction, Leaf, Span, complex_numpy, real_parts, typical_size
from .result import GradientCheck, sentence
from .scalars import RANDOM
from .spending import Budget, BudgetSpent, Spending, spending
from .thresholds import CONFIRMED, OTHER_SCALE

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
        whole = OutputMap(Function(f, params, args, backend, RANDOM, granted), seed, "pushforward")
        along = read_candidate(tangent, whole.function.leaves, is_tangent=True)
        for _, problem in along.problems:
            raise InvalidSetting(f"tangent: {problem.leaf or 'params'}: {problem.text}")
        if callable(output_tangent):
            rule = output_tangent
            output_tangent = whole.function.call(lambda own, *rest: rule(own, tangent, *rest))
        flat = np.concatenate(along.slopes)
        return whole.within_budget(lambda: whole.along(flat, output_tangent))


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
        whole = OutputMap(Function(f, params, args, backend, RANDOM, granted), seed, "Jacobian")
        if callable(jacobian):
            jacobian = whole.function.call(jacobian)
        return whole.within_budget(lambda: whole.check(jacobian))


class Outputs:
    """The outputs of F at x + t v as a function of t: what a pushforward claims slopes of.

    Its directions are weights of the outputs, so that F is evaluated once for all of them.

    function: of F, with any cotangent; tangent: v, flat, over all of its leaves
    leaves: of the output, each at the scale of 1 over its size
    """

    casts = ()

    def __init__(self, function: Function, tangent: np.ndarray) -> None:
        self.function, self.value = function, function.value
        parts = zip(function.leaves, cut(tangent, function.leaves), strict=True)
        self._moved = {k: (leaf, v) for k, (leaf, v) in enumerate(parts) if v.any()}
        # A shift of 1 moves the leaf that is moved most, relatively, by its own size.
        ratios = [leaf.scale / float(np.abs(v).max()) for leaf, v in self._moved.values()]
        self._unit = 2.0 ** round(math.log2(min(ratios))) if ratios else 1.0
        origin = function.outputs({})
        self.leaves = output_leaves(origin)
        self._cuts = np.cumsum([0, *(leaf.size for leaf in self.leaves)])
        self._seen = {0.0: self._flat(origin)}
        self.remarks, self.blocked = function.remarks, function.blocked
        # Weights are of the size of 1 over the outputs'.
        self.unsteadiness = function.unsteadiness / abs(function.value or 1.0) / self._unit

    @property
    def evaluations(self) -> int:
        return self.function.evaluations

    @property
    def spending(self) -> Spending | None:
        return self.function.spending

    def along(self, direction: Direction) -> Callable[[float], float]:
        """Return `t -> <weights, F(x + t unit v)> / unit`, of which the slope is <weights, J v>."""

        def value(shift: float) -> float:
            if shift not in self._seen:
                moved = {
                    # Of an array without axes NumPy makes a number.
                    k: np.asarray(leaf.array + shift * self._unit * v)
                    for k, (leaf, v) in self._moved.items()
                }
                self._seen[shift] = self._flat(self.function.outputs(moved))
            total = 0.0
            for span, weights in direction.items():
                start = self._cuts[span.leaf]
                with np.errstate(all="ignore"):  # outputs beyond a domain may be infinite
                    there = self._seen[shift][start + span.start : start + span.stop]
                    total += float(there @ weights)
            return total / self._unit

        return value

    def entry_steps(self, leaf: int, entry: int) -> tuple[float, float]:
        """Return two unrelated steps for the slope of one output."""
        return 1.0, OTHER_SCALE

    def resolution(self, direction: Direction) -> float:
        """Return the spacing of shifts that the moved entries can tell apart."""
        moved = {Span(k, 0, leaf.size): v for k, (leaf, v) in self._moved.items()}
        return self.function.resolution(moved) / self._unit

    def _flat(self, output: PyTree | None) -> np.ndarray:
        """Return all outputs as real numbers; NaN where F raised."""
        if output is None:
            return np.full(self._cuts[-1], np.nan)
        arrays = [_real(leaf).reshape(-1) for leaf in flatten(output)[0]]
        return np.concatenate(arrays) if arrays else np.zeros(0)


def output_leaves(output: PyTree) -> tuple[Leaf, ...]:
    """Return the leaves of an output, each at the scale 1 over its typical size."""
    leaves = []
    for name, leaf in zip(leaf_names(output), flatten(output)[0], strict=True):
        array, is_complex = _real(leaf), dtype_name(leaf).startswith("complex")
        if not is_floating(array.dtype):
            raise NonScalarLoss(
                f"f returned {array.dtype} in leaf {name or 'output'}, expected floating numbers: "
                "return integers apart, they have no derivative"
            )
        leaves.append(Leaf(name, array, 1 / typical_size(array), is_complex))
    if not leaves:
        raise NonScalarLoss(
            f"f returned {output!r:.60}, without a single number; expected arrays, or a pytree of "
            "them"
        )
    return tuple(leaves)


def _real(leaf: Any) -> np.ndarray:
    is_complex = dtype_name(leaf).startswith("complex")
    return real_parts(complex_numpy(leaf)) if is_complex else private_numpy(leaf, "float64")


@dataclass(frozen=True)
class OutputMap:
    """Claims of one name about a map F with many outputs at a point.

    function: of F, with any cotangent
    """

    function: Function
    seed: int
    claim: str

    def within_budget(self, judge: Callable[[], GradientCheck]) -> GradientCheck:
        """Return a verdict, or that nothing is known where a budget ended before."""
        try:
            return judge()
        except BudgetSpent:
            return Checker(self.function, self.seed, self.claim).check(self.function.params)

    def along(self, tangent: np.ndarray, given: PyTree, dtype: str = "float64") -> GradientCheck:
        """Return the verdict on a pushforward, made of numbers of a dtype."""
        checker = Checker(Outputs(self.function, tangent), self.seed, self.claim)
        return checker.check(given, dtype=dtype)

    def against(self, cotangent: PyTree, given: PyTree, dtype: str) -> GradientCheck:
        """Return the verdict on a VJP, made of numbers of a dtype."""
        whole = self.function
        function = Function(
            whole.f, whole.params, whole.given_args, whole.backend, cotangent, whole.spending
        )
        return Checker(function, self.seed, self.claim).check(given, dtype=dtype)

    def check(self, jacobian: PyTree) -> GradientCheck:
        """Check random combinations of a Jacobian's rows, then the columns that are wrong there."""
        before, output = self.function.evaluations, self.function.outputs({})
        structure, outputs = flatten(output)[1], output_leaves(output)
        inputs = self.function.leaves
        refuse_complex(self.claim, (*outputs, *inputs))
        matrix = matrix_of(jacobian, outputs, inputs, self.claim)
        dtype = coarsest([dtype_name(leaf) for leaf in flatten(jacobian)[0]])
        checks = [
            self.against(
                shaped(weights, structure, outputs),
                shaped(weights @ matrix, self.function.structure, inputs),
                dtype,
            )
            for weights in draws(self.seed, outputs)
        ]
        worst = max(checks, key=badness)
        suspects: list[Suspect] = []
        for column in worst.suspects[:CONFIRMED]:
            tangents = [np.zeros(leaf.shape) for leaf in inputs]
            tangents[[leaf.name for leaf in inputs].index(column.leaf)][column.index] = 1.0
            tangent = np.concatenate([one.reshape(-1) for one in tangents])
            claimed = shaped(matrix[:, tangent.argmax()], structure, outputs)
            try:
                found = self.along(tangent, claimed, dtype)
            except BudgetSpent:
                break
            for one in found.suspects:
                name = f"{one.leaf}, {column.leaf}" if len(outputs) > 1 else column.leaf
                index = (*one.index, *column.index)
                suspects.append(replace(one, leaf=name, index=index, parameter=column.parameter))
        spent = sum(check.evaluations for check in checks) + self.function.evaluations - before
        if worst.verdict is not Verdict.DIFFER:
            return replace(worst, evaluations=spent)
        wrong = replace(worst, suspects=tuple(suspects), evaluations=spent)
        return replace(wrong, reason=sentence(wrong))


def draws(seed: int, leaves: Sequence[Leaf]) -> Iterator[np.ndarray]:
    """Yield random vectors over all leaves, entries of the leaves' scales."""
    for draw in range(DIRECTIONS):
        rng = np.random.default_rng([seed, draw])
        parts = [
            leaf.scale * rng.choice((-1, 1), leaf.size) * rng.uniform(0.5, 1, leaf.size)
            for leaf in leaves
        ]
        yield np.concatenate(parts)


def cut(flat: np.ndarray, leaves: Sequence[Leaf]) -> list[np.ndarray]:
    """Return the parts of a flat array in the shapes of the leaves' arrays."""
    parts = np.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return [part.reshape(leaf.array.shape) for part, leaf in zip(parts, leaves, strict=True)]


def shaped(flat: np.ndarray, structure: Any, leaves: Sequence[Leaf]) -> PyTree:
    return unflatten(structure, cut(flat, leaves))


def badness(check: GradientCheck) -> tuple[int, float]:
    order = (Verdict.AGREE, Verdict.CANNOT_TELL, Verdict.DIFFER)
    return order.index(check.verdict), max((leaf.error for leaf in check.leaves), default=0.0)


def matrix_of(
    jacobian: PyTree, outputs: Sequence[Leaf], inputs: Sequence[Leaf], claim: str
) -> np.ndarray:
    """Return a Jacobian as one matrix, of all outputs by all parameters."""
    named = zip(leaf_names(jacobian), flatten(jacobian)[0], strict=True)
    given = [_block(leaf, f"{claim} block {name}".rstrip()) for name, leaf in named]
    wanted = [(*o.shape, *i.shape) for o in outputs for i in inputs]
    shapes = [leaf.shape for leaf in given]
    if shapes != wanted:
        text = (
            f"got {claim} blocks of the shapes {shapes[:6]}, expected the output's shape followed "
            f"by the parameter's, as arrays: {wanted[:6]}"
        )
        if [tuple(reversed(shape)) for shape in shapes] == wanted:
            text += "; it may be transposed"
        raise InvalidSetting(text)
    blocks = iter(given)
    return np.block([[next(blocks).reshape(o.size, i.size) for i in inputs] for o in outputs])


def _block(leaf: Any, what: str) -> np.ndarray:
    try:
        dense = leaf.to_dense() if getattr(leaf, "is_sparse", False) else leaf
        return np.asarray(private_numpy(dense), np.float64)
    except (InvalidParameters, TypeError, ValueError) as error:
        raise InvalidSetting(f"{what}: {error}") from None


def refuse_complex(claim: str, leaves: Sequence[Leaf]) -> None:
    if any(leaf.is_complex for leaf in leaves):
        raise InvalidSetting(
            f"{claim}: got complex parameters or outputs, expected real ones; let f take and give "
            "their real and imaginary parts, or check VJPs, with check_gradient(..., cotangent=...)"
        )
