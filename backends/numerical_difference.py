"""Numerical differences on NumPy: two evaluations for each parameter, no derivative rules."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from .base import Backend, ModelFunction, Operator
from .difference_loop import Sweep, chunk_size, difference_entries, read_only
from .errors import ImpureFunction, InvalidSetting
from .precision import EPSILON
from .pytrees import Array, PyTree, check_same_shapes, flatten, private_numpy, tree_map, unflatten
from .step_size import PROBE_STEP, Losses, automatic_steps, moved_losses
from .structured.chunks import Problem
from .structured.differences import structured_gradient
from .structured.probing import structured_losses
from .structured.recorded_problem import RecordedProblem
from .workers import idle_cores, one_at_a_time, share, share_if_long

Progress = Callable[[int, int], None]
Stencil = tuple[tuple[int, float], ...]

# (multiple of h, weight) of f(x + k h) - f(x - k h), over h; the second cancels the h**2 term.
SECOND_ORDER: Stencil = ((1, 1 / 2),)
FOURTH_ORDER: Stencil = ((1, 8 / 12), (2, -1 / 12))
# A gradient by differences is exact to about eps**(2/3); a fourth-order difference of such
# values, with its h**4 against that noise over h, is best between eps**(2/15) and eps**(1/5).
NOISY_STEP = EPSILON ** (1 / 6)


@dataclass(frozen=True, kw_only=True)
class NumericalDifference(Backend):
    """Differentiate by central differences, (f(x + h) - f(x - h)) / 2h, one entry at a time.

    Differences are taken in float64 whatever the `dtype` of the results: float32 has too few
    digits for them.

    step_size: "automatic" balances truncation and round-off for each entry; a number is used as is
    method: "structured" computes what the perturbed functions have in common once, and checks
        itself against the plain loop; "loop" calls f twice for each entry, as the book does
    max_bytes: about what the perturbed copies of the structured method may take up, in each worker
    jobs: how many joblib workers share the entries. None leaves that to `joblib.parallel_config`;
        without one, structured differences take a thread for each core, the plain loop just one
    progress: called with (entries done, entries in all) during long sweeps
    """

    name: ClassVar[str] = "numerical"
    requirement: ClassVar[str] = "numpy"
    cheap_mode: ClassVar[Literal["forward", "reverse"]] = "forward"
    differences: ClassVar[bool] = True

    step_size: float | Literal["automatic"] = "automatic"
    method: Literal["structured", "loop"] = "structured"
    max_bytes: int = 2**28
    jobs: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        automatic = self.step_size == "automatic"
        if not automatic and not (isinstance(self.step_size, float | int) and self.step_size > 0):
            raise InvalidSetting(
                f"backend 'numerical': got step_size {self.step_size!r}, "
                "expected 'automatic' or a positive number such as 1e-4"
            )
        if self.method not in ("structured", "loop"):
            raise InvalidSetting(
                f"backend 'numerical': got method {self.method!r}, expected 'structured' or 'loop'"
            )

    @property
    def xp(self) -> Any:
        return np

    def to_native(self, array: np.ndarray) -> Array:
        return array

    def _adopt(self, leaf: Any) -> Array:
        if not isinstance(leaf, np.ndarray):
            return read_only(self.to_native(private_numpy(leaf, self.dtype)))
        return read_only(leaf)

    def moved(self, leaf: Array, tangent: Array, shift: float) -> Array:
        new: Array = np.multiply(tangent, shift, out=np.empty_like(leaf))
        new += leaf
        return new

    def _scoped(self, operator: Operator) -> Operator:
        def scoped(*args: Any) -> Any:
            try:
                return operator(*args)
            except ValueError as error:
                if "read-only" not in str(error):
                    raise
                raise ImpureFunction(
                    "f changed one of its inputs in place; expected a pure function: "
                    "work on a copy, for instance x = x + 0"
                ) from error

        return scoped

    def differentiate(self, f: ModelFunction) -> Operator:
        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            dtypes = tree_map(lambda leaf: leaf.dtype, params)
            value = f(params, *args)
            gradient = self._sweep(f, tree_map(_double, params), args)
            return (
                np.asarray(value, self.dtype)[()],
                tree_map(lambda leaf, dtype: leaf.astype(dtype), gradient, dtypes),
            )

        return value_and_gradient

    def _sweep(self, f: ModelFunction, params: PyTree, args: tuple[PyTree, ...]) -> PyTree:
        """Difference every entry, in chunks that joblib may spread over threads or machines."""
        leaves, structure = flatten(params)
        if self.method == "structured":
            return self._structured(f, params, args)
        steps = self._steps(f, params, args, moved_losses(f, params, args))
        loop = functools.partial(difference_entries, Sweep(f, params, args, steps))
        total = sum(leaf.size for leaf in leaves)
        size = chunk_size(total)
        tasks = [
            (position, range(start, min(start + size, leaf.size)))
            for position, leaf in enumerate(leaves)
            for start in range(0, leaf.size, size)
        ]
        gradient = [np.zeros(leaf.size) for leaf in leaves]
        done = 0
        differenced = share(functools.partial(_call_with, loop), tasks, self.jobs)
        for (position, entries), differences in zip(tasks, differenced, strict=True):
            gradient[position][entries.start : entries.stop] = differences
            done += len(entries)
            if self.progress is not None:
                self.progress(done, total)
        return unflatten(
            structure,
            [entries.reshape(leaf.shape) for entries, leaf in zip(gradient, leaves, strict=True)],
        )

    def _structured(self, f: ModelFunction, params: PyTree, args: tuple[PyTree, ...]) -> PyTree:
        chunk_map = functools.partial(share, jobs=self.jobs)
        if self.jobs is None and (threads := idle_cores()) > 1:
            # Nobody has asked for threads: f, which may not be made for them, is called by one.
            f, chunk_map = one_at_a_time(f), functools.partial(share_if_long, threads=threads)
        recorded = RecordedProblem(f, params, args, self.max_bytes)
        steps = self._steps(f, params, args, structured_losses(recorded))
        loop = functools.partial(difference_entries, Sweep(f, params, args, steps))
        return structured_gradient(Problem(recorded, steps, loop), self.progress, chunk_map)

    def _steps(
        self, f: ModelFunction, params: PyTree, args: tuple[PyTree, ...], losses: Losses
    ) -> tuple[np.ndarray, ...]:
        """Return a step for each entry of each leaf."""
        leaves = flatten(params)[0]
        if self.step_size != "automatic":
            return tuple(np.full(leaf.shape, float(self.step_size)) for leaf in leaves)
        with np.errstate(all="ignore"):
            return tuple(automatic_steps(losses, float(f(params, *args)), leaves))

    def pushforward(self, f: ModelFunction) -> Operator:
        return self._pushforward(f, PROBE_STEP)

    def hessian_vector_product(self, f: ModelFunction) -> Operator:
        pushforward = self._pushforward(self._gradient(f), NOISY_STEP)
        return lambda params, tangent, *args: pushforward(params, tangent, *args)[1]

    def hessian(self, f: ModelFunction) -> Operator:
        return self._jacobian(self._gradient(f), self._pushforward(self._gradient(f), NOISY_STEP))

    def _pushforward(self, f: ModelFunction, relative_step: float) -> Operator:
        """Difference f along a tangent; every entry moves by at most its own relative step."""

        def pushforward(params: PyTree, tangent: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
            params, args = self._native_params(params), self._native_args(args)
            check_same_shapes("tangent", tangent, "params", params)
            primal, direction = tree_map(_double, params), tree_map(_double, tangent)
            if self.step_size == "automatic":
                stencil, step = FOURTH_ORDER, _directional_step(primal, direction, relative_step)
            else:
                stencil, step = SECOND_ORDER, float(self.step_size)
            output = f(params, *args)
            pushed = tree_map(lambda leaf: np.zeros(np.shape(leaf)), output)
            for multiple, weight in stencil if step else ():
                shift = multiple * step
                ahead, behind = (
                    f(tree_map(lambda x, v, s=s: read_only(x + s * v), primal, direction), *args)
                    for s in (shift, -shift)
                )
                pushed = tree_map(
                    lambda total, a, b, w=weight: total + w * (np.asarray(a) - b) / step,
                    pushed,
                    ahead,
                    behind,
                )
            return output, tree_map(lambda leaf: leaf.astype(self.dtype), pushed)

        return self._scoped(pushforward)


def _call_with(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def _directional_step(params: PyTree, tangent: PyTree, relative_step: float) -> float:
    ratios = [
        np.maximum(np.abs(x), 1.0)[v != 0] / np.abs(v[v != 0])
        for x, v in zip(flatten(params)[0], flatten(tangent)[0], strict=True)
    ]
    smallest = min((float(ratio.min()) for ratio in ratios if ratio.size), default=0.0)
    return relative_step * smallest


def _double(leaf: Any) -> np.ndarray:
    return read_only(np.asarray(leaf, np.float64))
