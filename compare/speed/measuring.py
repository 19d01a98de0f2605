"""Time gradients: what each engine takes, told by a clock that waits for results."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import device as device_of

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.errors import InvalidParameters, InvalidSetting
from gradparity.backends.pytrees import Array, PyTree, flatten, is_array, tree_map

from ..engines.engines import DEFAULT_BACKENDS, Engine, entrants
from .peak_memory import peak_memory
from .table import SpeedRow, SpeedTable
from .timed_gradient import TimedGradient, first_gradient, under_the_clock
from .timing_blocks import BlockTimer, TimedCall, Timings
from .waiting import check_waiting

Progress = Callable[[str, float], None]
"""Called with what is being done, and the share of all work that is done."""


def measure_speed(
    f: ModelFunction | Mapping[str, Any],
    params: PyTree,
    *args: PyTree,
    backends: Sequence[str | Backend] = DEFAULT_BACKENDS,
    dtypes: Sequence[str] | None = None,
    minimum_time: float = 1.0,
    time_limit: float = 10.0,
    progress: Progress = lambda what, share: None,
) -> SpeedTable:
    """Return what one value and gradient of f costs, for each backend and dtype.

    Engines take turns in blocks of calls, so that neither their thread pools nor a machine that
    slows down favour one of them.

    f: `f(params, *args)`, a scalar; or native implementations by backend, for ports
    backends: names, or backends with settings of their own
    dtypes: of each backend; by default a backend keeps its own, and a name stands for float64
    minimum_time: seconds of gradients, and as many of forward passes, for each row
    time_limit: seconds for the gradients of a row; a plain loop of differences that would take
        longer is predicted from its first evaluations
    raises: DoesNotWait, InvalidSetting, BackendUnavailable, whatever f raises

    >>> table = gp.measure_speed(
    ...     lambda x: (x**2).sum(), np.ones(3), backends=["numerical"], minimum_time=0.01
    ... )
    >>> [(row.backend, row.parameters) for row in table.rows]
    [('numerical', 3)]
    """
    for name, seconds in (("minimum_time", minimum_time), ("time_limit", time_limit)):
        if not seconds > 0:
            raise InvalidSetting(f"got {name} {seconds!r}, expected seconds above zero")
    groups = [entrants(f, params, args, *chosen) for chosen in _choices(backends, dtypes)]
    if not groups:
        raise InvalidSetting("got no dtypes, expected at least one, such as 'float64'")
    engines = [
        engine
        for alike in zip(*(group.engines for group in groups), strict=True)
        for engine in alike
    ]
    ready: list[Contender] = []
    for engine in engines:
        progress(f"{engine.label} {engine.backend.dtype}", len(ready) / len(engines) / 2)
        ready.append(prepare(engine, groups[0].params, args, time_limit))
    timings = BlockTimer(minimum_time=minimum_time).time(
        [contender.calls for contender in ready],
        lambda share: progress("all in turn", 0.5 + share / 2),
    )
    rows = (contender.row(timed) for contender, timed in zip(ready, timings, strict=True))
    return SpeedTable(tuple(rows), groups[0].left_out)


def _choices(
    backends: Sequence[str | Backend], dtypes: Sequence[str] | None
) -> list[tuple[Sequence[str | Backend], str]]:
    """Return the backends as they take part in each dtype."""
    if dtypes is None:
        return [(backends, "float64")]
    if backends is DEFAULT_BACKENDS:  # as it is: those that are not installed may be left out
        return [(backends, dtype) for dtype in dtypes]
    return [
        ([b if isinstance(b, str) else replace(b, dtype=dtype) for b in backends], dtype)
        for dtype in dtypes
    ]


@dataclass(frozen=True)
class Contender:
    """An engine that is ready to be timed: nothing is left to compile.

    calls: "gradient" and "forward"
    """

    engine: Engine
    gradient: TimedGradient
    calls: Mapping[str, TimedCall]
    parameters: int
    device: str
    peak_memory: int | None

    def row(self, timings: Mapping[str, Timings]) -> SpeedRow:
        gradient, forward = timings["gradient"], timings["forward"]
        first_call = self.gradient.first_call
        return SpeedRow(
            backend=self.engine.label,
            dtype=self.engine.backend.dtype,
            device=self.device,
            parameters=self.parameters,
            # What is predicted compiles nothing: its first call is one like all others.
            first_call=gradient.median if first_call is None else first_call,
            gradient=gradient.median,
            gradient_quartiles=gradient.quartiles,
            forward=forward.median,
            fastest_gradient=gradient.fastest,
            fastest_forward=forward.fastest,
            evaluations=self.gradient.evaluations,
            predicted=first_call is None,
            calls=len(gradient.seconds),
            peak_memory=self.peak_memory,
            disturbed=max(gradient.disturbed, forward.disturbed),
        )


def prepare(engine: Engine, params: PyTree, args: tuple[PyTree, ...], limit: float) -> Contender:
    """Make an engine's first calls, look at its memory, and see that it can be timed at all."""
    backend = engine.backend
    f = engine.value_of if engine.layout else engine.function
    params = backend.asarray(params)
    args = tree_map(lambda leaf: backend.asarray(leaf) if is_array(leaf) else leaf, args)
    leaves = flatten(params)[0]
    if not leaves:
        raise InvalidParameters(f"got params {params!r:.60}, expected at least one array")
    _start(backend)
    compiled = backend.compile(f)
    forward = under_the_clock(backend, lambda: compiled(params, *args))
    forward()
    gradient = first_gradient(backend, f, params, args, limit)
    device = _device_name(leaves[0])
    memory = peak_memory(gradient.seconds) if device == "cpu" else None
    check_waiting(backend, lambda: compiled(params, *args))
    if gradient.first_call is not None:
        check_waiting(backend, gradient.compute)
    return Contender(
        engine=engine,
        gradient=gradient,
        calls={"forward": TimedCall(forward), "gradient": TimedCall(gradient.seconds)},
        parameters=sum(math.prod(leaf.shape) for leaf in leaves),
        device=device,
        peak_memory=memory,
    )


def _start(backend: Backend) -> None:
    """Have the framework load what it needs for any gradient: no function's first call is that."""
    square = backend.compile(backend.value_and_gradient(lambda x: x * x))
    backend.wait(square(backend.asarray(np.ones(()))))


def _device_name(leaf: Array) -> str:
    """Return the kind of device that an array lives on, such as "cpu" or "cuda"."""
    device = device_of(leaf)
    return str(getattr(device, "platform", None) or getattr(device, "type", None) or device)
