"""Numerical differences on NumPy: two evaluations for each parameter, no derivative rules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from .base import Backend, ModelFunction, Operator
from .checks import check_same_shapes
from .errors import ImpureFunction, InvalidSetting
from .pytrees import Array, PyTree, flatten, private_numpy, tree_map, unflatten
from .step_size import EPSILON, PROBE_STEP, RELATIVE_STEP, automatic_steps

Progress = Callable[[int, int], None]

# (multiple of h, weight) of f(x + k h) - f(x - k h), over h; the second cancels the h**2 term.
SECOND_ORDER = ((1, 1 / 2),)
FOURTH_ORDER = ((1, 8 / 12), (2, -1 / 12))
# A gradient by differences is exact to about eps**(2/3); a fourth-order difference of such
# values, with its h**4 against that noise over h, is best between eps**(2/15) and eps**(1/5).
NOISY_STEP = EPSILON ** (1 / 6)


@dataclass(frozen=True, kw_only=True)
class NumericalDifference(Backend):
    """Differentiate by central differences, (f(x + h) - f(x - h)) / 2h, one entry at a time.

    Differences are taken in float64 whatever the `dtype` of the results: float32 has too few
    digits for them.

    step_size: "automatic" balances truncation and round-off for each entry; a number is used as is
    jobs: how many joblib workers share the entries; None leaves that to `joblib.parallel_config`
    progress: called with (entries done, entries in all) during long sweeps
    """

    name: ClassVar[str] = "numerical"
    requirement: ClassVar[str] = "numpy"
    cheap_mode: ClassVar[Literal["forward", "reverse"]] = "forward"

    step_size: float | Literal["automatic"] = "automatic"
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

    @property
    def xp(self) -> Any:
        return np

    def _to_native(self, array: np.ndarray) -> Array:
        return array

    def _adopt(self, leaf: Any) -> Array:
        if not isinstance(leaf, np.ndarray):
            return _read_only(self._to_native(private_numpy(leaf, self.dtype)))
        return _read_only(leaf)

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

    def _value_and_gradient(self, f: ModelFunction) -> Operator:
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
        import joblib

        leaves, structure = flatten(params)
        steps = tuple(
            self._steps(f, params, args, position, leaf) for position, leaf in enumerate(leaves)
        )
        sweep = Sweep(f, params, args, steps)
        total = sum(leaf.size for leaf in leaves)
        chunk = max(1, total // CHUNKS)
        tasks = [
            (position, range(start, min(start + chunk, leaf.size)))
            for position, leaf in enumerate(leaves)
            for start in range(0, leaf.size, chunk)
        ]
        results = joblib.Parallel(n_jobs=self.jobs, prefer="threads", return_as="generator")(
            joblib.delayed(difference_entries)(sweep, position, entries)
            for position, entries in tasks
        )
        gradient = [np.zeros(leaf.size) for leaf in leaves]
        done = 0
        for (position, entries), differences in zip(tasks, results, strict=True):
            gradient[position][entries.start : entries.stop] = differences
            done += len(entries)
            if self.progress is not None:
                self.progress(done, total)
        return unflatten(
            structure,
            [entries.reshape(leaf.shape) for entries, leaf in zip(gradient, leaves, strict=True)],
        )

    def _steps(
        self,
        f: ModelFunction,
        params: PyTree,
        args: tuple[PyTree, ...],
        position: int,
        leaf: np.ndarray,
    ) -> np.ndarray:
        if self.step_size != "automatic":
            return np.full(leaf.shape, float(self.step_size))

        def along_entry(entry: int) -> Callable[[float], float]:
            moved, flat = _with_own_leaf(params, position)
            start = flat[entry]

            def along(shift: float) -> float:
                flat[entry] = start + shift
                return float(f(moved, *args))

            return along

        with np.errstate(all="ignore"):
            return automatic_steps(along_entry, leaf)

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
                    f(tree_map(lambda x, v, s=s: _read_only(x + s * v), primal, direction), *args)
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


CHUNKS = 200  # enough for a smooth progress bar and for sharing among workers


class Sweep(NamedTuple):
    """What all tasks of a sweep share, float64 params and a step for each entry of each leaf.

    One tuple, since joblib's Dask backend would put a larger array that is an argument by itself
    on one worker, and whatever dies with a worker and was not computed is lost.
    """

    f: ModelFunction
    params: PyTree
    args: tuple[PyTree, ...]
    steps: tuple[np.ndarray, ...]


def difference_entries(sweep: Sweep, position: int, entries: Iterable[int]) -> np.ndarray:
    """Return the central differences of f at some entries, flat indices, of one leaf."""
    f, params, args, steps = sweep
    moved, flat = _with_own_leaf(params, position)
    flat_steps = steps[position].reshape(-1)

    def difference(entry: int, step: float) -> float:
        start = flat[entry]
        flat[entry] = ahead = start + step
        f_ahead = float(f(moved, *args))
        flat[entry] = behind = start - step
        f_behind = float(f(moved, *args))
        flat[entry] = start
        # The step that was taken is the one that start + step rounds to; a fixed one may be lost
        # in a large entry, and f then seems flat.
        taken = float(ahead - behind)
        return (f_ahead - f_behind) / taken if taken else 0.0

    differences = np.empty(len(list(entries)))
    for index, entry in enumerate(entries):
        differences[index] = difference(entry, flat_steps[entry])
        if not np.isfinite(differences[index]) and flat[entry] != 0:
            # The step may have left the domain, as log does near 0: stay within the entry's size.
            with np.errstate(all="ignore"):
                differences[index] = difference(entry, RELATIVE_STEP * abs(flat[entry]))
    return differences


def _with_own_leaf(params: PyTree, position: int) -> tuple[PyTree, np.ndarray]:
    """Return params with one leaf copied, which f sees read-only, and that copy, flat."""
    leaves, structure = flatten(params)
    own = leaves[position].copy()
    view = _read_only(own)
    return unflatten(structure, [*leaves[:position], view, *leaves[position + 1 :]]), own.reshape(
        -1
    )


def _directional_step(params: PyTree, tangent: PyTree, relative_step: float) -> float:
    ratios = [
        np.maximum(np.abs(x), 1.0)[v != 0] / np.abs(v[v != 0])
        for x, v in zip(flatten(params)[0], flatten(tangent)[0], strict=True)
    ]
    smallest = min((float(ratio.min()) for ratio in ratios if ratio.size), default=0.0)
    return relative_step * smallest


def _double(leaf: Any) -> np.ndarray:
    return _read_only(np.asarray(leaf, np.float64))


def _read_only(leaf: np.ndarray) -> np.ndarray:
    view = np.asarray(leaf).view()
    view.flags.writeable = False
    return view
