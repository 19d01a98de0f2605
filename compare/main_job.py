"""The main job: compare the gradients of all backends, time them, train with each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gradparity.backends import Backend, get_backend
from gradparity.backends.errors import BackendUnavailable
from gradparity.backends.numerical_difference import NumericalDifference
from gradparity.backends.registry import BUILT_IN, backend_names
from gradparity.models import (
    Dataset,
    Diverged,
    Quadratic,
    SimpleNet,
    TrainingRun,
    TwoLayerNet,
    load_mnist,
    shrink,
    train,
)

from .agreement.agreement import compare_gradients
from .agreement.comparison import Comparison
from .conformance.isolated_backend import IsolatedBackend, IsolatedFailure
from .environment import describe_environment
from .speed.measuring import measure_speed
from .speed.table import SpeedTable
from .verdicts import Verdict, VerdictText

if TYPE_CHECKING:
    from .proof.proof import Proof

# Numerical differences keep up on digits of 7x7 pixels: 610 parameters, 1,220 evaluations a step.
SMALL_SIDE = 7
SMALL_NET = TwoLayerNet(SMALL_SIDE**2, 10, 10, weight_init_std=0.3)
SMALL_STEPS, SMALL_LEARNING_RATE = 200, 2.0
# The book's network; 0.5 instead of its 0.1 learns in 20 epochs of 5,000 digits.
BOOK_NET = TwoLayerNet(784, 50, 10)
BOOK_STEPS, BOOK_LEARNING_RATE = 1000, 0.5
BATCH_SIZE = 100
# For each gradient and forward pass, a first impression; `gradparity speed` takes longer.
TIMING_SECONDS = 0.5

Result = TypeVar("Result")
Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole job that is done."""


@dataclass(frozen=True, eq=False)
class Training:
    """One network trained by one backend.

    network: its layers' sizes, such as "784-50-10"; epoch_steps: the steps of a whole epoch
    """

    network: str
    backend: str
    parameters: int
    epoch_steps: int
    run: TrainingRun

    @property
    def seconds_per_step(self) -> float:
        """Of the median epoch, as the first one may compile; of all there is before the second."""
        whole = self.run.epoch_seconds[: self.run.steps // self.epoch_steps]
        if len(whole) < 2:
            return self.run.seconds / self.run.steps
        return float(np.median(whole)) / self.epoch_steps


@dataclass(frozen=True, eq=False)
class MainJob:
    """What the main job found; `left_out` says why a backend took no part.

    exactness: by model and backend, how far off its gradient is, proven; empty without python-flint
    """

    agreement: Mapping[str, Comparison]
    cost: SpeedTable
    training: tuple[Training, ...]
    environment: Mapping[str, Any]
    left_out: Mapping[str, str]
    exactness: Mapping[str, Mapping[str, "Proof"]] = field(default_factory=dict)

    @property
    def verdict(self) -> VerdictText:
        """The worst verdict over the models."""
        found = {comparison.verdict for comparison in self.agreement.values()}
        order = (Verdict.DIFFER, Verdict.CANNOT_TELL, Verdict.AGREE)
        return next(verdict for verdict in order if verdict in found)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, under the keys that other programs rely on."""
        return {
            "verdict": str(self.verdict),
            "agreement": {name: result.to_dict() for name, result in self.agreement.items()},
            "exactness": {
                name: {engine: _error(proof) for engine, proof in proofs.items()}
                for name, proofs in self.exactness.items()
            },
            "cost": self.cost.to_dict(),
            "training": [
                {
                    "network": training.network,
                    "backend": training.backend,
                    "dtype": training.run.dtype,
                    "parameters": training.parameters,
                    "steps": len(training.run.losses),
                    "seconds_per_step": training.seconds_per_step,
                    "seconds": training.run.seconds,
                    "losses": list(training.run.losses),
                    "train_accuracy": list(training.run.train_accuracy),
                    "test_accuracy": list(training.run.test_accuracy),
                }
                for training in self.training
            ],
            "environment": dict(self.environment),
            "left_out": dict(self.left_out),
        }


def run_main_job(
    backends: Sequence[str | Backend] | None = None,
    *,
    dtype: str = "float64",
    seed: int = 0,
    data: str = "auto",
    isolate: bool = False,
    time_limit: float = 120.0,
    progress: Progress = lambda what, share: None,
) -> MainJob:
    """Compare the backends on all models, time them, and train the same networks with each.

    backends: names or backends; those that are asked for must load. By default all that do
    data: as `load_mnist` takes it
    isolate: run each plug-in in a process of its own; one that crashes, hangs or answers nonsense
        then loses its own rows alone; time_limit: seconds for each of its calls
    raises: BackendUnavailable, UnknownBackend, InvalidSetting, InvalidData; Diverged where a
        training fails
    """
    engines, left_out = choose_backends(backends, dtype, time_limit if isolate else None)
    try:
        return _run(engines, left_out, dtype, seed, load_mnist(data), progress)
    finally:
        for engine in engines:
            if isinstance(engine, IsolatedBackend):
                engine.process.stop()


def _run(
    engines: list[Backend],
    left_out: dict[str, str],
    dtype: str,
    seed: int,
    digits: Dataset,
    progress: Progress,
) -> MainJob:
    batch = (digits.train_x[:BATCH_SIZE], digits.train_t[:BATCH_SIZE])
    taking_part, left_out = list(engines), dict(left_out)

    def with_survivors(work: Callable[[Sequence[Backend]], Result]) -> Result:
        """Repeat the work without the backends that fail in processes of their own."""
        while True:
            try:
                return work(tuple(taking_part))
            except IsolatedFailure as failure:
                left_out[failure.backend] = str(failure)
                taking_part[:] = [e for e in taking_part if e.name != failure.backend]
                if not taking_part:
                    raise

    def compare_all(chosen: Sequence[Backend]) -> dict[str, Comparison]:
        agreement = {}
        for position, (name, f, params, args) in enumerate(_models(batch, seed)):
            progress(f"comparing gradients of {name}", 0.3 * position / 3)
            agreement[name] = compare_gradients(
                f, params, *args, backends=chosen, dtype=dtype, seed=seed
            )
        return agreement

    def prove_all(chosen: Sequence[Backend]) -> dict[str, dict[str, "Proof"]]:
        progress("proving gradients", 0.28)
        return prove_engines(_models(batch, seed), chosen)

    def measure_all(chosen: Sequence[Backend]) -> SpeedTable:
        return measure_speed(
            BOOK_NET.loss,
            BOOK_NET.init(seed),
            *batch,
            backends=_with_plain_loops(chosen),
            dtypes=(dtype,),
            minimum_time=TIMING_SECONDS,
            progress=lambda what, share: progress(f"timing gradients: {what}", 0.3 + 0.3 * share),
        )

    agreement = with_survivors(compare_all)
    exactness = with_survivors(prove_all)
    progress("timing gradients", 0.3)
    cost = with_survivors(measure_all)
    training = with_survivors(lambda chosen: _trainings(chosen, digits, seed, progress))
    return MainJob(
        agreement=agreement,
        cost=cost,
        training=training,
        environment=describe_environment(
            data=digits.source,
            dtype=dtype,
            seed=seed,
            devices={engine.name: engine.device or "default" for engine in taking_part},
        ),
        left_out=left_out,
        exactness=exactness,
    )


def prove_engines(
    models: Sequence[tuple[str, Any, Any, Any]], engines: Sequence[Backend]
) -> dict[str, dict[str, "Proof"]]:
    """Return how exact each engine's gradient of each model is; nothing without python-flint."""
    try:
        from .proof.proving import prove_gradients
    except BackendUnavailable:
        return {}
    found = {}
    for name, f, params, args in models:
        gradients = [engine.value_and_gradient(f)(params, *args)[1] for engine in engines]
        proofs = prove_gradients(f, params, *args, gradients=gradients)
        found[name] = dict(zip((engine.name for engine in engines), proofs, strict=True))
    return found


def _error(proof: "Proof") -> dict[str, Any]:
    return {
        "verdict": str(proof.verdict),
        "error": proof.error,
        "relative_error": proof.relative_error,
        "leaf": proof.worst.leaf if proof.worst else "",
    }


def choose_backends(
    backends: Sequence[str | Backend] | None, dtype: str, time_limit: float | None = None
) -> tuple[list[Backend], dict[str, str]]:
    """Return the backends to compare, and why others that are known were left out.

    time_limit: seconds for each call of a plug-in, which then runs in a process of its own
    """
    chosen: list[Backend] = []
    left_out: dict[str, str] = {}
    for backend in backend_names() if backends is None else backends:
        if not isinstance(backend, str):
            chosen.append(backend)
            continue
        try:
            if time_limit is not None and backend not in BUILT_IN:
                chosen.append(IsolatedBackend.start(backend, dtype=dtype, time_limit=time_limit))
            else:
                chosen.append(get_backend(backend, dtype=dtype))
        except IsolatedFailure as error:
            left_out[backend] = str(error)
        except BackendUnavailable as error:
            if backends is not None:
                raise
            left_out[backend] = str(error)
        except Exception as error:  # a broken plug-in or framework costs only its own rows
            if backends is not None:
                raise
            left_out[backend] = f"{type(error).__name__}: {error}"
    return chosen, left_out


def _with_plain_loops(engines: Sequence[Backend]) -> list[Backend]:
    """Return the engines, and beside structured differences the plain loop that they replace."""
    both = []
    for engine in engines:
        both.append(engine)
        if isinstance(engine, NumericalDifference) and engine.method == "structured":
            both.append(replace(engine, method="loop"))
    return both


def _models(batch: tuple[np.ndarray, np.ndarray], seed: int) -> list[tuple[str, Any, Any, Any]]:
    """Return (name, loss, params, args) of each model; the small ones at the notebooks' points."""
    simple, quadratic = SimpleNet(), Quadratic()
    return [
        ("Quadratic", quadratic.loss, np.asarray([3.0, 4.0]), ()),
        (
            "SimpleNet",
            simple.loss,
            simple.init(seed),
            (np.asarray([0.6, 0.9]), np.asarray([0.0, 0.0, 1.0])),
        ),
        ("TwoLayerNet", BOOK_NET.loss, BOOK_NET.init(seed), batch),
    ]


def _trainings(
    engines: Sequence[Backend], digits: Dataset, seed: int, progress: Progress
) -> tuple[Training, ...]:
    """Train the small network with every backend, the book's with all but differences."""
    small = shrink(digits, SMALL_SIDE)
    plans = [(engine, SMALL_NET, small, SMALL_STEPS, SMALL_LEARNING_RATE) for engine in engines] + [
        (engine, BOOK_NET, digits, BOOK_STEPS, BOOK_LEARNING_RATE)
        for engine in engines
        if engine.cheap_mode == "reverse"
    ]
    trainings = []
    for position, (engine, net, dataset, steps, learning_rate) in enumerate(plans):
        network = f"{net.input_size}-{net.hidden_size}-{net.output_size}"
        what = f"training {network} with {engine.name}"
        report = partial(_report, progress, what, 0.6 + 0.4 * position / len(plans), len(plans))
        try:
            run = train(
                net,
                dataset,
                engine,
                steps=min(steps, 20 * len(dataset.train_x) // BATCH_SIZE),
                batch_size=BATCH_SIZE,
                learning_rate=learning_rate,
                seed=seed,
                progress=report,
            )
        except Diverged as error:  # a wrong gradient trains badly: show how far it came
            run = error.run
            if not len(run.losses):
                continue
        parameters = sum(leaf.size for leaf in run.params.values())
        epoch_steps = len(dataset.train_x) // BATCH_SIZE
        trainings.append(Training(network, engine.name, parameters, epoch_steps, run))
    return tuple(trainings)


def _report(
    progress: Progress, what: str, start: float, parts: int, done: int, steps: int, loss: float
) -> None:
    progress(f"{what}: step {done} of {steps}, loss {loss:.3f}", start + 0.4 / parts * done / steps)
