"""Planted faults of every size in a low precision: who finds them, and from which size on."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from gradparity.backends.errors import BackendUnavailable, InvalidSetting
from gradparity.backends.pytrees import tree_map
from gradparity.backends.rounding import LOW_PRECISION, Rounding, Unmeasured, measure_rounding
from gradparity.backends.rounding.instrument import Instrument, find_instrument

from ..scenarios.layers import LAYERS
from ..scenarios.scenario import Scenario
from ..verdicts import Verdict
from .judging import ALL_RUNS, judge

RIGHT = "right"
# Fault sizes, relative to the gradient: from below one rounding up to all of it, by factors of 2.
SMALLEST = {"bfloat16": -9, "float16": -12, "float32": -25}
# What `torch.testing.assert_close` grants: relative, and absolute.
USUAL = {"bfloat16": (1.6e-2, 1e-5), "float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5)}
SIZE = 12


def _factor(right: np.ndarray, size: float, generator: Generator) -> np.ndarray:
    wrong: np.ndarray = right * (1.0 + size)
    return wrong


def _shrunk_row(right: np.ndarray, size: float, generator: Generator) -> np.ndarray:
    wrong = right.copy()
    wrong[-1] *= 1.0 - size
    return wrong


def _missing_mean(right: np.ndarray, size: float, generator: Generator) -> np.ndarray:
    wrong: np.ndarray = right - size * np.sqrt(np.mean(right**2))
    return wrong


def _noise(right: np.ndarray, size: float, generator: Generator) -> np.ndarray:
    typical = np.sqrt(np.mean(right**2))
    wrong: np.ndarray = right + size * typical * generator.normal(size=right.shape)
    return wrong


def _one_entry(right: np.ndarray, size: float, generator: Generator) -> np.ndarray:
    wrong = right.copy().reshape(-1)
    wrong[np.argsort(np.abs(wrong))[wrong.size // 2]] *= 1.0 + size
    return wrong.reshape(right.shape)


FAULTS: dict[str, Callable[[np.ndarray, float, Generator], np.ndarray]] = {
    "factor": _factor,
    "last row": _shrunk_row,
    "missing mean": _missing_mean,
    "noise": _noise,
    "one entry": _one_entry,
}


@dataclass(frozen=True)
class Case:
    """One leaf of one claim beside what the checkers may know."""

    rounding: Rounding
    claimed: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        return self.rounding.leaves[0].truth

    @property
    def eager(self) -> np.ndarray:
        return self.rounding.leaves[0].eager


def by_gradparity(case: Case) -> str:
    return str(judge(case.rounding, [case.claimed]).verdict)


def by_allclose(case: Case) -> str:
    relative, absolute = USUAL[case.rounding.dtype]
    near = np.allclose(case.claimed, case.truth, rtol=relative, atol=absolute)
    return str(Verdict.AGREE if near else Verdict.DIFFER)


def by_twice_eager(case: Case) -> str:
    error, eager = np.max(np.abs(case.claimed - case.truth)), np.max(np.abs(case.eager))
    # An eager gradient without any error leaves one rounding: none would pass otherwise.
    least = np.max(case.rounding.leaves[0].one_rounding)
    return str(Verdict.AGREE if error <= 2 * max(eager, least) else Verdict.DIFFER)


CHECKERS: dict[str, Callable[[Case], str]] = {
    "gradparity": by_gradparity,
    "allclose": by_allclose,
    "twice eager's error": by_twice_eager,
}


@dataclass(frozen=True)
class Count:
    """What a checker said of one fault at one size, or of right gradients (size 0)."""

    checker: str
    fault: str
    size: float
    tried: int
    found: int
    not_told: int


@dataclass(frozen=True)
class LowPrecisionSelfTest:
    """All counts of one dtype."""

    dtype: str
    seed: int
    counts: tuple[Count, ...]

    @property
    def passed(self) -> bool:
        """Whether gradparity raised no false alarm, and let no fault of the whole size pass."""
        own = [count for count in self.counts if count.checker == "gradparity"]
        alarms = sum(count.found for count in own if count.fault == RIGHT)
        whole = [count for count in own if count.fault == "factor" and count.size == 1.0]
        return alarms == 0 and all(count.found == count.tried for count in whole)

    def share_found(
        self, checker: str, fault: str | None = None, *, doubted: bool = False
    ) -> tuple[list[float], list[float]]:
        """Return the sizes, and the share of faults of each size that a checker found.

        doubted: count those too of which it could not tell
        """
        sizes = sorted({count.size for count in self.counts if count.fault != RIGHT})
        shares = []
        for size in sizes:
            of_size = [
                count
                for count in self.counts
                if count.checker == checker
                and count.size == size
                and count.fault != RIGHT
                and fault in (None, count.fault)
            ]
            found = sum(c.found + doubted * c.not_told for c in of_size)
            shares.append(found / sum(c.tried for c in of_size))
        return sizes, shares

    def false_alarms(self, checker: str) -> tuple[int, int]:
        """Return how many right gradients a checker called wrong, and of how many."""
        right = [c for c in self.counts if c.checker == checker and c.fault == RIGHT]
        return sum(count.found for count in right), sum(count.tried for count in right)

    def reliable_from(self, checker: str, fault: str | None = None) -> float | None:
        """Return the size from which on the checker finds 99 % of faults; None if it never does."""
        sizes, shares = self.share_found(checker, fault)
        reliable = None
        for size, share in zip(reversed(sizes), reversed(shares), strict=True):
            if share < 0.99:
                break
            reliable = size
        return reliable

    def to_dict(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "seed": self.seed,
            "passed": self.passed,
            "counts": [asdict(count) for count in self.counts],
        }


def run_low_precision_selftest(
    dtype: str,
    *,
    repeats: int = 1,
    seed: int = 0,
    functions: list[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LowPrecisionSelfTest:
    """Plant faults of all sizes into eager and fused gradients of the subjects in `dtype`.

    raises: InvalidSetting for another dtype or an unknown function, BackendUnavailable without
        torch and jax
    """
    if dtype not in LOW_PRECISION:
        raise InvalidSetting(f"got dtype {dtype!r}, expected one of {', '.join(LOW_PRECISION)}")
    subjects = [s for s in LAYERS if functions is None or s.name in functions]
    if functions is not None and len(subjects) != len(set(functions)):
        raise InvalidSetting(
            f"got functions {functions}, expected some of "
            f"{', '.join(repr(subject.name) for subject in LAYERS)}"
        )
    backend, instrument = _engine()
    tasks = [(subject, repeat) for subject in subjects for repeat in range(repeats)]
    answers: dict[tuple[str, str, float], list[str]] = {}
    for done, (subject, repeat) in enumerate(tasks):
        for fault, size, case in _cases(subject, dtype, seed + repeat, backend, instrument):
            for name, checker in CHECKERS.items():
                answers.setdefault((name, fault, size), []).append(checker(case))
        progress(done + 1, len(tasks))
    counts = tuple(
        Count(
            name,
            fault,
            size,
            len(given),
            given.count(Verdict.DIFFER),
            given.count(Verdict.CANNOT_TELL),
        )
        for (name, fault, size), given in answers.items()
    )
    return LowPrecisionSelfTest(dtype, seed, counts)


def _engine() -> tuple[str, Instrument]:
    for name in ("torch", "jax"):
        instrument = find_instrument(name)
        if not isinstance(instrument, Unmeasured):
            return name, instrument
    raise BackendUnavailable(
        "the self-test of low precision needs gradients in it from PyTorch or JAX, and neither is "
        "installed: pip install 'gradparity[torch]'"
    )


def _cases(
    subject: Scenario, dtype: str, seed: int, backend: str, instrument: Instrument
) -> Iterator[tuple[str, float, Case]]:
    generator = np.random.default_rng([seed, LAYERS.index(subject)])
    point = subject.drawn(generator, SIZE)
    params, args = point.params, point.args
    measured = measure_rounding(
        subject.f, params, args, dtype, backend_name=backend, runs=ALL_RUNS, seed=seed
    )
    if isinstance(measured, Unmeasured):
        raise BackendUnavailable(f"{subject.name}: {measured.reason}")
    fused = fused_gradient(subject.f, params, args, dtype, instrument)
    for leaf, once in zip(measured.leaves, fused, strict=True):
        alone = replace(measured, leaves=(leaf,))
        eager = leaf.truth + leaf.eager
        for right in (eager, once):
            yield RIGHT, 0.0, Case(alone, right)
        for fault, plant in FAULTS.items():
            if fault == "last row" and eager.ndim < 2:
                continue
            for power in range(SMALLEST[dtype], 1):
                yield fault, 2.0**power, Case(alone, plant(eager, 2.0**power, generator))


def fused_gradient(
    f: Callable[..., Any], params: Any, args: Any, dtype: str, instrument: Instrument
) -> list[np.ndarray]:
    """Return f's gradient as a fused kernel gives it: inputs and results in `dtype`, the rest wide.

    Inside is float32, and float64 for float32; the leaves are float64 arrays of NumPy.
    """
    wide = "float64" if dtype == "float32" else "float32"

    def native(tree: Any) -> Any:
        return tree_map(
            lambda array: instrument.native(instrument.native(array, dtype), wide), tree
        )

    gradient = instrument.rounded(f, native(params), native(args), None)(None)
    return [instrument.doubles(instrument.native(leaf, dtype)) for leaf in gradient.leaves]
