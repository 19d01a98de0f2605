"""The checker proves itself: planted faults and right gradients, before it and other checkers."""

import importlib.util
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradparity.backends import get_backend
from gradparity.backends.errors import BackendUnavailable, InvalidSetting
from gradparity.backends.pytrees import flatten, tree_map

from ..scenarios.functions import SCENARIOS
from ..scenarios.models import MODELS
from ..scenarios.networks import NETWORKS
from ..scenarios.random_programs import smooth_program
from ..scenarios.scenario import Scenario, named
from .planted_faults import Leaves, Place, plant_faults
from .rival_checkers import CHECKERS

# Two evaluations for each parameter: more than this many would take minutes for each fault.
MOST_PARAMETERS_IN_SLOW_MODE = 1000
NEEDS = {
    "gradparity": "numpy",
    "torch gradcheck, fast": "torch",
    "torch gradcheck, slow": "torch",
    "jax check_grads": "jax",
}
RIGHT = "right"
FUNCTIONS = (
    *MODELS,
    named(SCENARIOS, "attention"),
    named(NETWORKS, "layer normalisation"),
    named(SCENARIOS, "log-likelihood"),
    named(NETWORKS, "badly scaled sum"),
)
FRESH = "random programs"  # another function at every point: nothing was developed on it
UNSUMMED = "unsummed broadcast"


@dataclass(frozen=True)
class Trial:
    """One gradient before one checker.

    fault: what was planted, "right" if nothing; accepted: whether the checker found nothing wrong
    located: whether the fault's leaf, and entry if it is in one, is among those named; None where
        the checker names none
    """

    function: str
    dtype: str
    fault: str
    checker: str
    accepted: bool
    located: bool | None
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """What one checker made of all trials it took part in; `evaluations`, `seconds`: medians."""

    checker: str
    planted: int
    found: int
    located: int | None
    right: int
    false_alarms: int
    right_float32: int
    false_alarms_float32: int
    evaluations: float
    seconds: float


@dataclass(frozen=True)
class SelfTest:
    """All trials; `left_out`: checkers whose framework is not installed."""

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...]
    seed: int

    @property
    def scores(self) -> tuple[Score, ...]:
        names = dict.fromkeys(trial.checker for trial in self.trials)
        return tuple(_score(name, [t for t in self.trials if t.checker == name]) for name in names)

    @property
    def passed(self) -> bool:
        """Whether gradparity found 99 % of the faults and raised no false alarm."""
        own = next(score for score in self.scores if score.checker == "gradparity")
        return own.found >= 0.99 * own.planted and own.false_alarms == own.false_alarms_float32 == 0

    def by_fault(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Return for each planted fault and checker how many were found, and of how many."""
        table: dict[str, dict[str, tuple[int, int]]] = {}
        for trial in self.trials:
            if trial.fault != RIGHT:
                row = table.setdefault(trial.fault, {})
                found, planted = row.get(trial.checker, (0, 0))
                row[trial.checker] = (found + (not trial.accepted), planted + 1)
        return table

    def to_dict(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "seed": self.seed,
            "left_out": list(self.left_out),
            "scores": [asdict(score) for score in self.scores],
            "trials": [asdict(trial) for trial in self.trials],
        }


def run_selftest(
    *,
    repeats: int = 3,
    seed: int = 0,
    functions: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SelfTest:
    """Plant every fault in every function, and put each before every checker that is installed.

    repeats: points at which each function is tried
    functions: names of `FUNCTIONS`, or `FRESH`; all by default
    jobs: joblib workers; None leaves that to `joblib.parallel_config`
    progress: called with (points done, points in all)
    raises: BackendUnavailable where neither JAX nor PyTorch can give right gradients,
        InvalidSetting for an unknown function or fewer than one repeat
    """
    import joblib

    names = [*(scenario.name for scenario in FUNCTIONS), FRESH]
    chosen = [name for name in names if functions is None or name in functions]
    if not chosen or (functions is not None and len(chosen) != len(set(functions))):
        raise InvalidSetting(
            f"got functions {functions}, expected some of {', '.join(map(repr, names))}"
        )
    if repeats < 1:
        raise InvalidSetting(f"got repeats {repeats}, expected at least 1")
    here = [name for name in CHECKERS if importlib.util.find_spec(NEEDS[name])]
    if not {"torch", "jax"} & {NEEDS[name] for name in here}:
        raise BackendUnavailable(
            "the self-test needs right gradients from JAX or PyTorch, and neither is installed: "
            "pip install 'gradparity[torch]'"
        )
    tasks = [(names.index(name), repeat) for name in chosen for repeat in range(repeats)]
    results = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(try_point)(position, repeat, seed, tuple(here)) for position, repeat in tasks
    )
    trials: list[Trial] = []
    for done, found in enumerate(results, 1):
        trials += found
        progress(done, len(tasks))
    return SelfTest(tuple(trials), tuple(name for name in CHECKERS if name not in here), seed)


def try_point(position: int, repeat: int, seed: int, checkers: tuple[str, ...]) -> list[Trial]:
    """Return all trials of one function at one point; everything follows from the arguments."""
    generator = np.random.default_rng([seed, position, repeat])
    if position < len(FUNCTIONS):
        scenario = FUNCTIONS[position].drawn(generator)
    else:
        scenario = smooth_program(int(generator.integers(2**32))).scenario(FRESH)
    engine = "torch" if any(NEEDS[name] == "torch" for name in checkers) else "jax"
    trials = list(_try_dtype(scenario, "float32", engine, generator, checkers))
    return trials + list(_try_dtype(scenario, "float64", engine, generator, checkers))


def _try_dtype(
    scenario: Scenario,
    dtype: str,
    engine: str,
    generator: np.random.Generator,
    checkers: tuple[str, ...],
) -> Iterator[Trial]:
    point = (scenario.params, scenario.args)
    params, args = tree_map(lambda leaf: np.asarray(leaf, dtype), point)
    backend = get_backend(engine, dtype=dtype)
    gradient = backend.to_numpy(backend.value_and_gradient(scenario.f)(params, *args)[1])
    right = flatten(gradient)[0]
    cases: list[tuple[str, Leaves, Place | None]] = [(RIGHT, right, None)]
    if dtype == "float64":
        cases += [
            (fault.pattern, fault.leaves, (fault.leaf, fault.index))
            for fault in plant_faults(right, generator, scenario.batch)
        ]
    parameters = sum(leaf.size for leaf in right)
    for name in checkers:
        if name.endswith("slow") and parameters > MOST_PARAMETERS_IN_SLOW_MODE:
            continue
        for fault, leaves, place in cases:
            if fault == UNSUMMED and NEEDS[name] == "torch":
                continue  # its engine sums such a gradient itself: there is no fault to find
            answer = CHECKERS[name](
                scenario.f, params, args, leaves, int(generator.integers(2**31))
            )
            yield Trial(
                function=scenario.name,
                dtype=dtype,
                fault=fault,
                checker=name,
                accepted=answer.accepts,
                located=_located(place, answer.named) if name == "gradparity" else None,
                evaluations=answer.evaluations,
                seconds=answer.seconds,
            )


def _located(
    place: tuple[int, tuple[int, ...] | None] | None, named: tuple[tuple[int, Any], ...]
) -> bool | None:
    if place is None:
        return None
    leaf, index = place
    return any(found == leaf and index in (None, where) for found, where in named)


def _score(checker: str, trials: list[Trial]) -> Score:
    planted = [trial for trial in trials if trial.fault != RIGHT]
    located = [trial.located for trial in planted if trial.located is not None]
    right = {
        dtype: [trial for trial in trials if trial.fault == RIGHT and trial.dtype == dtype]
        for dtype in ("float64", "float32")
    }
    alarms = {dtype: sum(not trial.accepted for trial in tried) for dtype, tried in right.items()}
    return Score(
        checker=checker,
        planted=len(planted),
        found=sum(not trial.accepted for trial in planted),
        located=sum(located) if located else None,
        right=len(right["float64"]),
        false_alarms=alarms["float64"],
        right_float32=len(right["float32"]),
        false_alarms_float32=alarms["float32"],
        evaluations=statistics.median(trial.evaluations for trial in trials),
        seconds=statistics.median(trial.seconds for trial in trials),
    )
